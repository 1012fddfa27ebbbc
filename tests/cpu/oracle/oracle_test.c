/*
 * The short run of the differential fuzzer. Its cases are fixed, unless
 * HUSK_FUZZ_SEED is set; `make cpu-fuzz` does the long run.
 */
#include "oracle.h"

#include "hk_test.h"

static struct oracle_totals totals;

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

static void the_host_agrees_with_itself(void **state)
{
    struct oracle_options options = {.count = 8000, .self = true};
    run(options);
    assert_int_equal(totals.mismatches, 0);
}

static void a_planted_difference_is_found(void **state)
{
    struct oracle_options options = {.count = 160, .self = true, .plant = true};
    run(options);
    assert_true(totals.mismatches >= 10);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_host_agrees_with_itself),
    cmocka_unit_test(a_planted_difference_is_found),
};

HK_TEST_MAIN(cases)
