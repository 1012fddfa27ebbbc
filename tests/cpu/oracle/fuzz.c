/*
 * The loop over case numbers.
 *
 * Case n is a sequence when n is a multiple of 8, else it is the form number
 * n - n / 8 - 1 modulo the catalogue, so that all forms get the same share.
 * Each case runs once on the host and twice on ours: with fresh code, and
 * again with what the first run left in its caches.
 */
#include "oracle.h"

#include "base/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SEQUENCE_EVERY = 8, FILL = 0xcc };

/* Writable memory before a case's patches; one fixed pattern for all. */
static uint8_t pristine_data[ORACLE_DATA_SIZE];
static uint8_t pristine_stack[ORACLE_STACK_SIZE];

static void make_pristine(void)
{
    struct oracle_rng rng;
    oracle_rng_init(&rng, 1, 1);
    for (uint32_t i = 0; i < ORACLE_DATA_SIZE; i += 32)
        oracle_number_bytes(&rng, pristine_data + i, 32);
    for (uint32_t i = 0; i < ORACLE_STACK_SIZE; i += 32)
        oracle_number_bytes(&rng, pristine_stack + i, 32);
}

int oracle_open(const char **why)
{
    *why = "out of memory";
    if (!oracle_forms_init())
        return -HK_ENOMEM;
    make_pristine();
    int ret = oracle_native_open(why);
    if (ret < 0)
        return ret;
    const struct oracle_memory *native = oracle_native_memory();
    ret = oracle_guest_open(native->low != NULL, why);
    if (ret < 0) {
        oracle_native_close();
        return ret;
    }
    memset(native->code, FILL, ORACLE_CODE_SIZE);
    memset(oracle_guest_memory()->code, FILL, ORACLE_CODE_SIZE);
    return 0;
}

void oracle_close(void)
{
    oracle_guest_close();
    oracle_native_close();
}

/* Copies what of [address, address + size) lies in an area. */
static void copy_into(uint8_t *area, uint32_t base, uint32_t area_size,
                      const struct oracle_patch *p)
{
    uint64_t from = p->address, to = from + p->size;
    uint64_t low = from > base ? from : base;
    uint64_t high = to < base + area_size ? to : base + area_size;
    if (area != NULL && low < high)
        memcpy(area + (low - base), p->bytes + (low - from), high - low);
}

static void load_memory(const struct oracle_case *c,
                        const struct oracle_memory *m)
{
    memcpy(m->data, pristine_data, ORACLE_DATA_SIZE);
    memcpy(m->stack, pristine_stack, ORACLE_STACK_SIZE);
    if (m->low != NULL)
        memcpy(m->low, pristine_data, ORACLE_LOW_SIZE);
    for (uint32_t i = 0; i < c->patch_count; i++) {
        const struct oracle_patch *p = &c->patches[i];
        copy_into(m->data, ORACLE_DATA, ORACLE_DATA_SIZE, p);
        copy_into(m->stack, ORACLE_STACK, ORACLE_STACK_SIZE, p);
        copy_into(m->low, ORACLE_LOW, ORACLE_LOW_SIZE, p);
    }
}

/* Code that would reach over the end of the area is cut there. */
static uint32_t code_that_fits(const struct oracle_case *c)
{
    uint32_t room = ORACLE_CODE + ORACLE_CODE_SIZE - c->code_address;
    return c->code_len < room ? c->code_len : room;
}

static void load_code(const struct oracle_case *c,
                      const struct oracle_memory *m)
{
    memcpy(m->code + (c->code_address - ORACLE_CODE), c->code,
           code_that_fits(c));
}

static void unload_code(const struct oracle_case *c,
                        const struct oracle_memory *m)
{
    memset(m->code + (c->code_address - ORACLE_CODE), FILL, code_that_fits(c));
}

struct runner {
    const struct oracle_options *options;
    struct oracle_totals *totals;
    const struct oracle_memory *native, *guest;
    struct oracle_case c;
    struct oracle_result expected, got;
    uint32_t reported;
};

static void run_other(struct runner *r)
{
    load_memory(&r->c, r->guest);
    if (r->options->self)
        oracle_native_run(&r->c, &r->got);
    else
        oracle_guest_run(&r->c, &r->got);
}

static bool check(struct runner *r, size_t form, const char *what)
{
    struct oracle_mismatch m = {&r->c,    &r->expected,     &r->got, r->native,
                                r->guest, r->options->seed, what};
    struct oracle_result expected = r->expected;
    if (r->options->plant && r->c.number % 16 == 5)
        r->got.out.gpr[HK_RBX] ^= 1;
    oracle_normalise(&r->c, &expected, &r->got);
    m.native = &expected;
    bool faulted = expected.vector == 12 || expected.vector == 13;
    bool same = oracle_memory_equal(&r->c, faulted, r->native, r->guest) &&
                oracle_results_equal(&expected, &r->got);
    if (same)
        return true;
    r->totals->mismatches++;
    if (r->c.form != NULL && r->totals->per_form_bad[form]++ > 1)
        return false; /* two of a kind are enough */
    if (r->reported < r->options->report_limit) {
        r->reported++;
        oracle_report(&m);
    }
    return false;
}

static void run_guest_only(struct runner *r)
{
    load_code(&r->c, r->guest);
    oracle_guest_code_changed(&r->c);
    for (unsigned i = 0; i < 2; i++) {
        run_other(r);
        if (r->got.vector > 255)
            r->totals->mismatches++; /* never came back */
    }
    unload_code(&r->c, r->guest);
    oracle_guest_code_changed(&r->c);
}

/* The host's random numbers run out when asked for often, and a host that
 * punishes split locks may seem to stand still. */
static bool ran_dry(const struct runner *r)
{
    unsigned op = r->c.insn.op;
    return r->c.insn_count == 1 && r->expected.vector <= 3 &&
           (op == HK_OP_RDRAND || op == HK_OP_RDSEED) &&
           (r->expected.out.rflags & 1) == 0;
}

static void run_native(struct runner *r)
{
    enum { TRIES = 200, STUCK_TRIES = 3 };
    for (unsigned i = 0, stuck = 0; i < TRIES && stuck < STUCK_TRIES; i++) {
        load_memory(&r->c, r->native);
        oracle_native_run(&r->c, &r->expected);
        stuck += r->expected.vector == ORACLE_TIMEOUT;
        if (r->expected.vector != ORACLE_TIMEOUT && !ran_dry(r))
            return;
    }
}

static void run_case(struct runner *r, size_t form)
{
    if (r->options->guest_only) {
        run_guest_only(r);
        return;
    }
    memset(&r->expected, 0, sizeof(r->expected));
    memset(&r->got, 0, sizeof(r->got));
    load_code(&r->c, r->native);
    run_native(r);
    if (r->expected.vector == ORACLE_TIMEOUT) {
        r->totals->timeouts++;
        printf("case %" PRIu64 " does not end on the host: %s\n", r->c.number,
               r->c.form != NULL ? r->c.form->name : "a sequence");
    } else {
        load_code(&r->c, r->guest);
        oracle_guest_code_changed(&r->c);
        run_other(r);
        if (check(r, form, "fresh code") && r->c.mode == ORACLE_RUN) {
            run_other(r);
            check(r, form, "code seen before");
        }
        unload_code(&r->c, r->guest);
        oracle_guest_code_changed(&r->c);
    }
    unload_code(&r->c, r->native);
}

static bool is_wanted(const struct oracle_options *o,
                      const struct oracle_form *form)
{
    if (form->why_not != NULL)
        return false;
    return o->filter == NULL || strstr(form->name, o->filter) != NULL;
}

static void run_single(struct runner *r, uint64_t number)
{
    size_t form = (number - number / SEQUENCE_EVERY - 1) % oracle_form_count();
    if (r->options->no_singles || !is_wanted(r->options, oracle_form_get(form)))
        return;
    oracle_case_single(&r->c, oracle_form_get(form), r->options->seed, number);
    if (r->c.code_len == 0) {
        r->totals->unmade++;
        return;
    }
    r->totals->cases++;
    r->totals->per_form[form]++;
    run_case(r, form);
}

static void run_sequence(struct runner *r, uint64_t number)
{
    if (r->options->no_sequences)
        return;
    oracle_case_sequence(&r->c, r->options->seed, number);
    r->totals->cases++;
    r->totals->sequences++;
    run_case(r, 0);
}

void oracle_fuzz(const struct oracle_options *options,
                 struct oracle_totals *totals)
{
    static struct runner r;
    r.options = options;
    r.totals = totals;
    r.native = oracle_native_memory();
    r.guest = options->self ? r.native : oracle_guest_memory();
    r.reported = 0;
    for (uint64_t n = options->first; n - options->first < options->count;
         n += options->stride) {
        if (n % SEQUENCE_EVERY == 0)
            run_sequence(&r, n);
        else
            run_single(&r, n);
    }
}
