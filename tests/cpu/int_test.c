/*
 * Shifts, multiplication, division and bit instructions: the software CPU
 * against the host it runs on, and what the host cannot run.
 */
#include "hk_test.h"

#include "base/compiler.h"
#include "cpu/bmi_int.h"
#include "cpu/cpu.h"
#include "cpu/cpu_int.h"

#include <cpuid.h>

/* int_forms.S */
struct form {
    const uint8_t *start, *end;
    const char *text;
    uint64_t undefined; /* flags */
};
extern const struct form hk_int_forms[], hk_int_decimal[];
HK_SYSV void hk_int_run(uint64_t regs[17], const uint8_t *code);

enum {
    RAM_SIZE = 1 << 20,
    TABLES = 0x1000,
    STACK = 0x8000,
    DATA = 0x10000,
    DATA_SIZE = 4096,
    CODE = 0x20000,
    CODE_STEP = 32,
    FLAGS = 0x8d5, /* the arithmetic ones */
    ROUNDS = 40,
};

/* Three ways to run a form. */
enum variant {
    PLAIN,      /* as it is */
    DEAD_FLAGS, /* a CMP overwrites its flags */
    ADDR32,     /* with an address size prefix */
    VARIANTS
};

struct machine {
    uint8_t *ram;
    struct hk_cpu_machine *machine;
    struct hk_cpu *cpu;
    struct hk_vcpu_state base; /* 64-bit mode, identity mapped */
    bool exact; /* the host is of the kind whose undefined flags we give */
};

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Numbers at the edges as often as any others. */
static uint64_t next_operand(void)
{
    uint64_t v = next_random();
    unsigned shift = v >> 8 & 63;
    switch (v & 7) {
    case 0:
        return 0;
    case 1:
        return ~0ull >> shift;
    case 2:
        return 1ull << shift;
    case 3:
        return ~0ull << shift;
    case 4:
        return next_random() >> shift;
    default:
        return next_random();
    }
}

/* ---- the machine --------------------------------------------------------- */

static uint64_t no_port_read(void *v, uint16_t port, uint32_t size)
{
    return ~0ull;
}

static void no_port_write(void *v, uint16_t port, uint32_t size, uint64_t value)
{
}

static uint64_t no_mem_read(void *v, hk_gpa_t gpa, uint32_t size)
{
    return ~0ull;
}

static void no_mem_write(void *v, hk_gpa_t gpa, uint32_t size, uint64_t value)
{
}

static bool no_msr_read(void *v, uint32_t msr, uint64_t *value)
{
    return false;
}

static bool no_msr_write(void *v, uint32_t msr, uint64_t value)
{
    return false;
}

static uint8_t no_cr8(void *v)
{
    return 0;
}

static void no_set_cr8(void *v, uint8_t value)
{
}

static bool no_interrupt(void *v)
{
    return false;
}

static int no_vector(void *v)
{
    return -1;
}

static uint64_t no_time(void *v)
{
    return 0;
}

static void no_set_tsc(void *v, uint64_t value)
{
}

static uint64_t known_random(void *v)
{
    return 0x123456789abcdef0;
}

static void nothing(void *v)
{
}

static const struct hk_cpu_host host = {
    .port_read = no_port_read,
    .port_write = no_port_write,
    .mem_read = no_mem_read,
    .mem_write = no_mem_write,
    .apic_msr_read = no_msr_read,
    .apic_msr_write = no_msr_write,
    .get_cr8 = no_cr8,
    .set_cr8 = no_set_cr8,
    .has_interrupt = no_interrupt,
    .ack_interrupt = no_vector,
    .tsc = no_time,
    .set_tsc = no_set_tsc,
    .wall_ns = no_time,
    .random = known_random,
    .exclusive_begin = nothing,
    .exclusive_end = nothing,
    .safepoint = nothing,
};

static void put64(struct machine *m, uint64_t gpa, uint64_t value)
{
    memcpy(m->ram + gpa, &value, sizeof(value));
}

static void make_long_mode(struct machine *m)
{
    struct hk_vcpu_state *s = &m->base;
    put64(m, TABLES, (TABLES + 0x1000) | 3);
    put64(m, TABLES + 0x1000, (TABLES + 0x2000) | 3);
    put64(m, TABLES + 0x2000, 0x83); /* 2 MiB at 0 */
    hk_cpu_get_state(m->cpu, s);
    s->cr0 = 0x80000011;
    s->cr3 = TABLES;
    s->cr4 = 0x20;
    s->efer = 0x500;
    s->cs = (struct hk_segment){0, ~0u, 8, 0xa09b};
    s->ss = s->ds = s->es = s->fs = s->gs =
        (struct hk_segment){0, ~0u, 16, 0xc093};
    s->gdtr.limit = s->idtr.limit = 0;
}

static bool is_intel(void)
{
    unsigned a, b = 0, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) != 0 && b == 0x756e6547;
}

static const struct form *form_at(unsigned n)
{
    return hk_int_forms[n].start != NULL ? &hk_int_forms[n] : NULL;
}

static uint64_t code_of(unsigned n, enum variant variant)
{
    return CODE + (n * VARIANTS + variant) * (uint64_t)CODE_STEP;
}

/* Every form in its variants, each followed by HLT. */
static void place_forms(struct machine *m)
{
    for (unsigned n = 0; form_at(n) != NULL; n++) {
        const struct form *f = form_at(n);
        size_t len = (size_t)(f->end - f->start);
        assert_true(code_of(n + 1, 0) <= RAM_SIZE);
        for (unsigned v = 0; v < VARIANTS; v++) {
            uint8_t *to = m->ram + code_of(n, v);
            if (v == ADDR32)
                *to++ = 0x67;
            memcpy(to, f->start, len);
            to += len;
            if (v == DEAD_FLAGS) {
                *to++ = 0x39; /* cmp %eax, %eax */
                *to++ = 0xc0;
            }
            *to = 0xf4;
        }
    }
}

static int make_machine(void **state)
{
    static struct machine m;
    static const struct hk_cpu_config config = {
        .host = &host, .vcpu_count = 1, .tsc_hz = 1000000000};
    m.ram = aligned_alloc(4096, RAM_SIZE);
    if (m.ram == NULL)
        return -1;
    memset(m.ram, 0, RAM_SIZE);
    if (hk_cpu_machine_create(&config, &m.machine) < 0 ||
        hk_cpu_machine_map(m.machine, 0, RAM_SIZE, m.ram, true) < 0 ||
        hk_cpu_create(m.machine, NULL, &m.cpu) < 0)
        return -1;
    make_long_mode(&m);
    place_forms(&m);
    m.exact = is_intel();
    *state = &m;
    return 0;
}

static int drop_machine(void **state)
{
    struct machine *m = *state;
    hk_cpu_machine_destroy(m->machine);
    free(m->ram);
    return 0;
}

/* ---- one run ------------------------------------------------------------- */

struct regs {
    uint64_t r[17]; /* hk_int_run's: the GPRs, then RFLAGS */
};

static struct regs random_regs(void)
{
    struct regs in;
    for (unsigned n = 0; n < 16; n++)
        in.r[n] = next_operand();
    in.r[HK_R9] = (uint64_t)((int64_t)(next_random() % 2048) - 1024);
    in.r[HK_RBP] = 512;
    in.r[16] = (next_random() & FLAGS) | 2;
    return in;
}

/* RBP is an offset in the data here; false: the CPU shut down. */
static bool run_soft(struct machine *m, uint64_t rip, const struct regs *in,
                     struct regs *out)
{
    struct hk_vcpu_state s = m->base;
    memcpy(s.gpr, in->r, sizeof(s.gpr));
    s.gpr[HK_RBP] += DATA;
    s.gpr[HK_RSP] = STACK;
    s.rip = rip;
    s.rflags = in->r[16];
    assert_int_equal(hk_cpu_set_state(m->cpu, &s), 0);
    enum hk_cpu_exit why = hk_cpu_run(m->cpu, 1000);
    assert_int_not_equal(why, HK_CPU_EXIT_BUDGET);
    hk_cpu_get_state(m->cpu, &s);
    memcpy(out->r, s.gpr, sizeof(s.gpr));
    out->r[HK_RBP] -= DATA;
    out->r[HK_RSP] = in->r[HK_RSP];
    out->r[16] = s.rflags;
    return why == HK_CPU_EXIT_HALTED;
}

static void run_host(const struct form *f, uint8_t *data, const struct regs *in,
                     struct regs *out)
{
    *out = *in;
    out->r[HK_RBP] = (uint64_t)(uintptr_t)(data + in->r[HK_RBP]);
    hk_int_run(out->r, f->start);
    out->r[HK_RBP] = in->r[HK_RBP];
}

static bool same_regs(const struct regs *a, const struct regs *b,
                      uint64_t flags)
{
    for (unsigned n = 0; n < 16; n++)
        if (a->r[n] != b->r[n])
            return false;
    return ((a->r[16] ^ b->r[16]) & flags) == 0;
}

static void report(const char *text, const char *what, const struct regs *in,
                   const struct regs *want, const struct regs *got)
{
    fprintf(stderr, "%s: %s\n", text, what);
    for (unsigned n = 0; n < 17; n++)
        if (n == 16 || in->r[n] != want->r[n] || want->r[n] != got->r[n])
            fprintf(stderr, "  %u: in %016llx host %016llx soft %016llx\n", n,
                    (unsigned long long)in->r[n],
                    (unsigned long long)want->r[n],
                    (unsigned long long)got->r[n]);
}

/* False after a difference, which has been reported. */
static bool check_once(struct machine *m, unsigned n, enum variant variant)
{
    const struct form *f = form_at(n);
    uint8_t *data = m->ram + DATA, before[DATA_SIZE], soft[DATA_SIZE];
    struct regs in = random_regs(), want, got;
    for (unsigned k = 0; k < DATA_SIZE; k += 8) {
        uint64_t v = next_operand();
        memcpy(before + k, &v, 8);
    }
    memcpy(data, before, DATA_SIZE);
    if (!run_soft(m, code_of(n, variant), &in, &got))
        return true; /* #DE: the host would fault as well */
    memcpy(soft, data, DATA_SIZE);
    memcpy(data, before, DATA_SIZE);
    run_host(f, data, &in, &want);
    uint64_t flags = variant == DEAD_FLAGS ? 0 : FLAGS;
    if (!m->exact)
        flags &= ~f->undefined;
    if (!same_regs(&want, &got, flags)) {
        report(f->text, "registers", &in, &want, &got);
        return false;
    }
    if (memcmp(data, soft, DATA_SIZE) != 0) {
        report(f->text, "memory", &in, &want, &got);
        return false;
    }
    return true;
}

static bool host_has(const struct form *f)
{
    static const struct {
        const char *stem;
        uint8_t bit; /* CPUID leaf 7, EBX */
    } needs[] = {
        {"andn", 3}, {"bextr", 3}, {"bls", 3},   {"bzhi", 8},  {"pdep", 8},
        {"pext", 8}, {"mulx", 8},  {"rorx", 8},  {"sarx", 8},  {"shlx", 8},
        {"shrx", 8}, {"adcx", 19}, {"adox", 19}, {"tzcnt", 3},
    };
    unsigned a, b = 0, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        b = 0;
    for (unsigned n = 0; n < HK_COUNT(needs); n++)
        if (strncmp(f->text, needs[n].stem, strlen(needs[n].stem)) == 0)
            return b >> needs[n].bit & 1;
    return true;
}

static void check_all(struct machine *m, enum variant variant)
{
    unsigned bad = 0, forms = 0;
    for (unsigned n = 0; form_at(n) != NULL; n++) {
        if (!host_has(form_at(n)))
            continue;
        bool ok = true;
        forms++;
        for (unsigned k = 0; k < ROUNDS && ok; k++)
            ok = check_once(m, n, variant);
        bad += !ok;
    }
    assert_true(forms > 400);
    assert_int_equal(bad, 0);
}

/* ---- cases --------------------------------------------------------------- */

static void does_what_the_host_does(void **state)
{
    check_all(*state, PLAIN);
}

static void does_the_same_where_flags_are_dead(void **state)
{
    check_all(*state, DEAD_FLAGS);
}

static void does_the_same_with_32_bit_addresses(void **state)
{
    check_all(*state, ADDR32);
}

static void give_code(struct machine *m, const uint8_t *code, size_t len)
{
    const uint64_t at = CODE - 0x1000;
    memcpy(m->ram + at, code, len);
    m->ram[at + len] = 0xf4;
    hk_cpu_machine_note_write(m->machine, at, len + 1);
}

/* Divides high:low by RBX; true when that went through. */
static bool divide(struct machine *m, const uint8_t code[3], uint64_t high,
                   uint64_t low, uint64_t by, struct regs *out)
{
    struct regs in = {.r = {[HK_RAX] = low, [HK_RDX] = high, [HK_RBX] = by}};
    in.r[16] = 2;
    give_code(m, code, 3);
    bool ok = run_soft(m, CODE - 0x1000, &in, out);
    if (!ok) /* the instruction has not happened */
        assert_true(out->r[HK_RAX] == low && out->r[HK_RDX] == high);
    return ok;
}

static void signed_division_faults_just_outside_its_range(void **state)
{
    static const uint8_t idivq[] = {0x48, 0xf7, 0xfb};
    static const int64_t divisors[] = {1, -1, 3, -7, INT64_MAX, INT64_MIN};
    const __int128 most = INT64_MAX, least = INT64_MIN;
    const __int128 quotients[] = {most, most + 1, least, least - 1, 0, -1};
    struct regs out;
    for (unsigned d = 0; d < HK_COUNT(divisors); d++) {
        for (unsigned q = 0; q < HK_COUNT(quotients); q++) {
            __int128 n = quotients[q] * divisors[d];
            /* The rest has the sign of the dividend. */
            __int128 rest = divisors[d] < 0 ? -((__int128)divisors[d] + 1)
                                            : (__int128)divisors[d] - 1;
            n += n < 0 ? -rest : rest;
            bool fits = n / divisors[d] >= least && n / divisors[d] <= most;
            bool ok = divide(*state, idivq, (uint64_t)(n >> 64), (uint64_t)n,
                             (uint64_t)divisors[d], &out);
            assert_int_equal(ok, fits);
            if (ok)
                assert_true((int64_t)out.r[HK_RAX] == n / divisors[d] &&
                            (int64_t)out.r[HK_RDX] == n % divisors[d]);
        }
    }
    assert_false(divide(*state, idivq, 0, 1, 0, &out));
}

static void narrow_division_faults_just_outside_its_range(void **state)
{
    static const uint8_t idivl[] = {0x90, 0xf7, 0xfb};
    static const uint8_t idivb[] = {0x90, 0xf6, 0xfb};
    static const uint8_t divl[] = {0x90, 0xf7, 0xf3};
    static const uint8_t divb[] = {0x90, 0xf6, 0xf3};
    struct regs out;
    assert_false(divide(*state, divb, 0, 0x0500, 5, &out));
    assert_true(divide(*state, divb, 0, 0x04ff, 5, &out));
    assert_int_equal(out.r[HK_RAX], 0x04ff);
    assert_false(divide(*state, divb, 0, 0, 0, &out));
    assert_false(divide(*state, idivb, 0, 128, 1, &out));
    assert_true(divide(*state, idivb, 0, 0xff80, 1, &out));
    assert_int_equal(out.r[HK_RAX], 0x0080);
    assert_false(divide(*state, divl, 3, 0, 3, &out));
    assert_true(divide(*state, divl, 2, 0xffffffff, 3, &out));
    assert_int_equal(out.r[HK_RAX], 0xffffffff);
    assert_false(divide(*state, idivl, 0, 0x80000000, 1, &out));
    assert_true(divide(*state, idivl, ~0ull >> 32, 0x80000000, 1, &out));
    assert_false(divide(*state, idivl, ~0ull >> 32, 0x80000000, ~0ull, &out));
    assert_false(divide(*state, idivl, 0x80000000, 0, ~0ull, &out));
}

/* Hashes made by an Intel CPU with the same code. */
static void decimal_results_are_those_of_an_intel_cpu(void **state)
{
    static const uint32_t want[] = {0xfa608dc5, 0xa558c9c5, 0xa5185dc5,
                                    0x28be5dc5, 0x6b47bdc5, 0xe8ab2bc5,
                                    0xd4a42dc5, 0xcbbe5045};
    struct machine *m = *state;
    for (unsigned n = 0; n < HK_COUNT(want); n++) {
        const struct form *f = &hk_int_decimal[n];
        struct hk_vcpu_state s = m->base;
        give_code(m, f->start, (size_t)(f->end - f->start));
        s.cr0 = 0x11;
        s.cr4 = s.efer = s.cr3 = 0;
        s.cs.attr = 0xc09b;
        s.gpr[HK_RSP] = STACK;
        s.rip = CODE - 0x1000;
        s.rflags = 2;
        assert_int_equal(hk_cpu_set_state(m->cpu, &s), 0);
        assert_int_equal(hk_cpu_run(m->cpu, 10000000), HK_CPU_EXIT_HALTED);
        hk_cpu_get_state(m->cpu, &s);
        if ((uint32_t)s.gpr[HK_RDI] != want[n])
            fprintf(stderr, "%s\n", f->text);
        assert_int_equal((uint32_t)s.gpr[HK_RDI], want[n]);
    }
}

/* Not run on the host, which may punish it. */
static void a_locked_bit_may_lie_across_a_line_boundary(void **state)
{
    static const uint8_t lock_btr[] = {0xf0, 0x0f, 0xba, 0x75, 0x3d, 0x1f};
    struct machine *m = *state;
    struct regs in = random_regs(), out;
    uint8_t *word = m->ram + DATA + in.r[HK_RBP] + 61;
    give_code(m, lock_btr, sizeof(lock_btr));
    memset(word - 1, 0xff, 6);
    in.r[16] = 2;
    assert_true(run_soft(m, CODE - 0x1000, &in, &out));
    assert_int_equal(out.r[16] & FLAGS, 1);
    assert_memory_equal(word - 1, "\xff\xff\xff\xff\x7f\xff", 6);
}

static enum hk_cpu_exit run_16_bit(struct machine *m, bool is_protected)
{
    static const uint8_t andn[] = {0xc4, 0xe2, 0x60, 0xf2, 0xc1};
    struct hk_vcpu_state s = m->base;
    give_code(m, andn, sizeof(andn));
    s.cr0 = is_protected ? 0x11 : 0x10;
    s.cr4 = s.efer = s.cr3 = 0;
    s.cs.attr = 0x9b;
    s.gpr[HK_RSP] = STACK;
    s.gpr[HK_RCX] = 0xff;
    s.gpr[HK_RBX] = 0x0f;
    s.rip = CODE - 0x1000;
    s.rflags = 2;
    assert_int_equal(hk_cpu_set_state(m->cpu, &s), 0);
    enum hk_cpu_exit why = hk_cpu_run(m->cpu, 1000);
    hk_cpu_get_state(m->cpu, &s);
    if (why == HK_CPU_EXIT_HALTED)
        assert_int_equal(s.gpr[HK_RAX], 0xf0);
    return why;
}

static void vex_instructions_need_protected_mode(void **state)
{
    static const struct form andn = {.text = "andn"};
    if (!host_has(&andn))
        hk_skip("this host has no BMI1");
    assert_int_equal(run_16_bit(*state, true), HK_CPU_EXIT_HALTED);
    /* #UD through an IDT without entries. */
    assert_int_equal(run_16_bit(*state, false), HK_CPU_EXIT_SHUTDOWN);
}

/* What hosts without BMI use, against what this host gives. */
static void plain_bit_manipulation_equals_the_hosts(void **state)
{
    unsigned compared = 0;
    for (unsigned n = 0; form_at(n) != NULL; n++) {
        const struct form *f = form_at(n);
        struct hk_insn i;
        int len =
            hk_decode(f->start, (size_t)(f->end - f->start), HK_CODE64, &i);
        enum hk_op op = (enum hk_op)i.op;
        if (len < 0 || !hk_bmi_can_compute(op) || i.is_mem || !host_has(f))
            continue;
        for (unsigned k = 0; k < 2000; k++) {
            struct regs in = random_regs(), want;
            run_host(f, NULL, &in, &want);
            unsigned bits = i.opnd[0].size * 8u;
            uint16_t fl = hk_fl_from_rf(in.r[16]);
            uint64_t v = hk_bmi_compute(op, bits, in.r[i.opnd[1].reg],
                                        in.r[i.opnd[2].reg], &fl);
            uint64_t flags = FLAGS & ~f->undefined;
            uint64_t got = want.r[i.opnd[0].reg];
            assert_int_equal(v, bits == 16 ? got & 0xffff : got);
            assert_int_equal(hk_fl_to_rf(fl) & flags, want.r[16] & flags);
        }
        compared++;
    }
    if (compared == 0)
        hk_skip("this host has no BMI");
}

static void random_numbers_come_from_the_host_with_carry_set(void **state)
{
    static const uint8_t rdrand[] = {0x0f, 0xc7, 0xf0};
    static const uint8_t rdseed16[] = {0x66, 0x0f, 0xc7, 0xf9};
    struct regs in = random_regs(), out;
    give_code(*state, rdrand, sizeof(rdrand));
    in.r[16] = 2 | FLAGS;
    assert_true(run_soft(*state, CODE - 0x1000, &in, &out));
    assert_int_equal(out.r[HK_RAX], 0x9abcdef0);
    assert_int_equal(out.r[16] & FLAGS, 1);

    give_code(*state, rdseed16, sizeof(rdseed16));
    assert_true(run_soft(*state, CODE - 0x1000, &in, &out));
    assert_int_equal(out.r[HK_RCX], (in.r[HK_RCX] & ~0xffffull) | 0xdef0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(does_what_the_host_does),
    cmocka_unit_test(does_the_same_where_flags_are_dead),
    cmocka_unit_test(does_the_same_with_32_bit_addresses),
    cmocka_unit_test(signed_division_faults_just_outside_its_range),
    cmocka_unit_test(narrow_division_faults_just_outside_its_range),
    cmocka_unit_test(decimal_results_are_those_of_an_intel_cpu),
    cmocka_unit_test(a_locked_bit_may_lie_across_a_line_boundary),
    cmocka_unit_test(vex_instructions_need_protected_mode),
    cmocka_unit_test(plain_bit_manipulation_equals_the_hosts),
    cmocka_unit_test(random_numbers_come_from_the_host_with_carry_set),
};
HK_TEST_MAIN_WITH(cases, make_machine, drop_machine)
