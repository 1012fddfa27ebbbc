/*
 * The start of every test program: cmocka with the headers that it wants
 * before it, and a main function.
 *
 *     static void adds_two_numbers(void **state) { ... }
 *
 *     static const struct CMUnitTest cases[] = {
 *         cmocka_unit_test(adds_two_numbers),
 *     };
 *     HK_TEST_MAIN(cases)
 *
 * The program speaks TAP on stdout. `PROGRAM --list` prints the case names,
 * `PROGRAM PATTERN` (or HK_TEST_FILTER=PATTERN) runs the cases whose name
 * matches the pattern, in which * and ? stand for any text and any character.
 * A run of no case at all is a failure.
 */
#ifndef HK_TEST_H
#define HK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* cmocka's own skip() gives no reason and is counted as a pass here. */
#undef skip

/* Leaves the running case as skipped; the text is a sentence for people. */
#define hk_skip(...)                    \
    do {                                \
        hk_test_note_skip(__VA_ARGS__); \
        _skip(__FILE__, __LINE__);      \
    } while (0)

void hk_test_note_skip(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Returns the status for main. `setup` and `teardown` run once around all
 * cases and may be NULL. */
int hk_test_main(int argc, char **argv, const struct CMUnitTest *cases,
                 size_t count, CMFixtureFunction setup,
                 CMFixtureFunction teardown);

#define HK_TEST_MAIN_WITH(cases, setup, teardown)                      \
    int main(int argc, char **argv)                                    \
    {                                                                  \
        return hk_test_main(argc, argv, cases,                         \
                            sizeof(cases) / sizeof((cases)[0]), setup, \
                            teardown);                                 \
    }

#define HK_TEST_MAIN(cases) HK_TEST_MAIN_WITH(cases, NULL, NULL)

#endif
