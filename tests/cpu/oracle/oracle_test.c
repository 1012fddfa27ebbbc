/*
 * The short run of the differential fuzzer. Its cases are fixed, unless
 * HUSK_FUZZ_SEED is set; `make cpu-fuzz` does the long run.
 */
#include "oracle.h"

#include "hk_test.h"

enum { SINGLES_PER_FORM = 12, SEQUENCES = 8000, EVERY = 8 };

static struct oracle_totals totals;

static void need_host(void)
{
    if (!ORACLE_HAS_HOST)
        hk_skip("the address checker's memory is where random pointers point");
}

/* Runs with everything opened, and only then lets a case fail: a failing
 * assertion must not leave the signal handlers in place. */
static void run(struct oracle_options options)
{
    const char *why = "out of memory";
    const char *seed = getenv("HUSK_FUZZ_SEED");
    int ret = oracle_open(&why);
    if (ret < 0)
        hk_skip("%s", why);
    options.seed = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    options.first = 1;
    options.stride = 1;
    options.report_limit = 10;
    free(totals.per_form);
    free(totals.per_form_bad);
    memset(&totals, 0, sizeof(totals));
    totals.per_form = calloc(oracle_form_count(), sizeof(uint32_t));
    totals.per_form_bad = calloc(oracle_form_count(), sizeof(uint32_t));
    oracle_fuzz(&options, &totals);
    oracle_close();
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
