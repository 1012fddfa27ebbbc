/*
 * Runs a list of cmocka cases and reports them as TAP.
 *
 * cmocka has a TAP form of its own, but it prints a skipped case as "not ok",
 * loses the reason and cannot count one case at a time. So each case runs as
 * a group of its own, what is printed meanwhile goes into a temporary file,
 * and that file is shown (as TAP comments) only when the case fails.
 */
#include "hk_test.h"

#include <unistd.h>

struct run {
    FILE *tap;     /* the real standard output */
    FILE *capture; /* what file descriptor 1 is while a case runs */
    unsigned int number;
    unsigned int failed;
};

static char skip_reason[256];

void hk_test_note_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(skip_reason, sizeof(skip_reason), format, args);
    va_end(args);
}

/* * and ? as in file names. */
static bool matches(const char *pattern, const char *name)
{
    if (*pattern == '\0')
        return *name == '\0';
    if (*pattern == '*')
        return matches(pattern + 1, name) ||
               (*name != '\0' && matches(pattern, name + 1));
    return (*pattern == '?' ? *name != '\0' : *pattern == *name) &&
           matches(pattern + 1, name + 1);
}

static void die(const char *what)
{
    perror(what);
    exit(99);
}

static void start_capture(struct run *run)
{
    int tap_fd = dup(STDOUT_FILENO);
    run->tap = tap_fd < 0 ? NULL : fdopen(tap_fd, "w");
    run->capture = tmpfile();
    if (run->tap == NULL || run->capture == NULL)
        die("test harness");
    if (dup2(fileno(run->capture), STDOUT_FILENO) < 0)
        die("test harness: dup2");
}

static void forget_captured(struct run *run)
{
    fflush(stdout);
    rewind(run->capture);
    if (ftruncate(fileno(run->capture), 0) < 0)
        die("test harness: ftruncate");
}

static void show_captured(struct run *run)
{
    char line[1024];
    fflush(stdout);
    rewind(run->capture);
    while (fgets(line, sizeof(line), run->capture) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        fprintf(run->tap, "# %s\n", line);
    }
}

static void run_case(struct run *run, const struct CMUnitTest *unit,
                     void *state)
{
    const struct CMUnitTest only[] = {{
        .name = unit->name,
        .test_func = unit->test_func,
        .setup_func = unit->setup_func,
        .teardown_func = unit->teardown_func,
        .initial_state =
            unit->initial_state != NULL ? unit->initial_state : state,
    }};

    forget_captured(run);
    skip_reason[0] = '\0';
    int failed = cmocka_run_group_tests_name(unit->name, only, NULL, NULL);
    run->number++;
    if (failed != 0) {
        run->failed++;
        fprintf(run->tap, "not ok %u - %s\n", run->number, unit->name);
        show_captured(run);
    } else if (skip_reason[0] != '\0') {
        fprintf(run->tap, "ok %u - %s # SKIP %s\n", run->number, unit->name,
                skip_reason);
    } else {
        fprintf(run->tap, "ok %u - %s\n", run->number, unit->name);
    }
    fflush(run->tap);
}

static size_t count_matches(const struct CMUnitTest *cases, size_t count,
                            const char *pattern)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += matches(pattern, cases[i].name);
    return found;
}

int hk_test_main(int argc, char **argv, const struct CMUnitTest *cases,
                 size_t count, CMFixtureFunction setup,
                 CMFixtureFunction teardown)
{
    const char *pattern = argc > 1 ? argv[1] : getenv("HK_TEST_FILTER");
    if (pattern == NULL)
        pattern = "*";
    if (strcmp(pattern, "--list") == 0) {
        for (size_t i = 0; i < count; i++)
            puts(cases[i].name);
        return 0;
    }

    struct run run = {0};
    void *state = NULL;
    start_capture(&run);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    size_t planned = count_matches(cases, count, pattern);
    if (planned == 0) {
        fprintf(run.tap, "Bail out! No case matches %s\n", pattern);
        return 1;
    }
    fprintf(run.tap, "1..%zu\n", planned);
    fflush(run.tap);
    if (setup != NULL && setup(&state) != 0) {
        fprintf(run.tap, "Bail out! The common set-up failed\n");
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        if (matches(pattern, cases[i].name))
            run_case(&run, &cases[i], state);
    if (teardown != NULL && teardown(&state) != 0) {
        fprintf(run.tap, "Bail out! The common tear-down failed\n");
        return 1;
    }
    return run.failed == 0 ? 0 : 1;
}
