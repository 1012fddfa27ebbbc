/*
 * The short run of the differential fuzzer. Its cases are fixed, unless
 * HUSK_FUZZ_SEED is set; `make cpu-fuzz` does the long run.
 */
#include "oracle.h"

#include "hk_test.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SINGLES_PER_FORM = 12, SEQUENCES = 8000, EVERY = 8 };

static struct oracle_totals totals;

static void need_host(void)
{
    if (!ORACLE_HAS_HOST)
        hk_skip("the address checker's memory is where random pointers point");
}

/* What a process of its own leaves behind. */
struct outcome {
    int ret;
    char why[80];
    struct oracle_totals totals;
    uint32_t counters[];
};

static struct outcome *outcome;

static void make_outcome(void)
{
    size_t forms = oracle_form_count();
    size_t size = sizeof(*outcome) + 2 * forms * sizeof(uint32_t);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    outcome = at;
    outcome->totals.per_form = outcome->counters;
    outcome->totals.per_form_bad = outcome->counters + forms;
}

static void run_here(const struct oracle_options *options)
{
    const char *why = "";
    if (!options->guest_only && oracle_vdso_can_exchange())
        (void)oracle_vdso_exchange();
    outcome->ret = oracle_open(&why);
    snprintf(outcome->why, sizeof(outcome->why), "%s", why);
    if (outcome->ret < 0)
        return;
    oracle_fuzz(options, &outcome->totals);
    oracle_close();
}

/* In a process of its own, which may end in any way. */
static void run(struct oracle_options options)
{
    const char *seed = getenv("HUSK_FUZZ_SEED");
    int status = 1;
    options.seed = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    options.first = 1;
    options.stride = 1;
    options.report_limit = 10;
    assert_true(oracle_forms_init());
    make_outcome();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run_here(&options);
        fflush(stdout);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    if (outcome->ret < 0)
        hk_skip("%s", outcome->why);
    totals = outcome->totals;
}

static uint64_t single_count(void)
{
    return (uint64_t)SINGLES_PER_FORM * oracle_form_count() * EVERY /
           (EVERY - 1);
}

static void the_host_agrees_with_itself(void **state)
{
    need_host();
    struct oracle_options options = {.count = 8000, .self = true};
    run(options);
    assert_int_equal(totals.mismatches, 0);
}

static void a_planted_difference_is_found(void **state)
{
    need_host();
    struct oracle_options options = {.count = 160, .self = true, .plant = true};
    run(options);
    assert_true(totals.mismatches >= 10);
}

static void every_form_agrees_with_the_host(void **state)
{
    need_host();
    assert_true(oracle_forms_init());
    struct oracle_options options = {.count = single_count(),
                                     .no_sequences = true};
    run(options);
    assert_int_equal(totals.mismatches, 0);
    for (size_t i = 0; i < oracle_form_count(); i++)
        if (oracle_form_get(i)->why_not == NULL &&
            totals.per_form[i] < SINGLES_PER_FORM / 2)
            fail_msg("%s was tried %u times only", oracle_form_get(i)->name,
                     totals.per_form[i]);
}

static void sequences_agree_with_the_host(void **state)
{
    need_host();
    struct oracle_options options = {.count = (uint64_t)SEQUENCES * EVERY,
                                     .no_singles = true};
    run(options);
    assert_int_equal(totals.mismatches, 0);
    assert_int_equal(totals.sequences, SEQUENCES);
}

static void every_random_case_comes_to_an_end(void **state)
{
    struct oracle_options options = {.count = 40000, .guest_only = true};
    run(options);
    assert_int_equal(totals.mismatches, 0);
    assert_true(totals.cases > 39000);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(every_random_case_comes_to_an_end),
    cmocka_unit_test(the_host_agrees_with_itself),
    cmocka_unit_test(a_planted_difference_is_found),
    cmocka_unit_test(every_form_agrees_with_the_host),
    cmocka_unit_test(sequences_agree_with_the_host),
};

HK_TEST_MAIN(cases)
