/*
 * The end of a kernel's log in a few words.
 */
#include "hk_test.h"

#include "vmm/last_words.h"

static char text[128];

static const char *words_of(const char *log)
{
    hk_last_words(log, strlen(log), text, sizeof(text));
    return text;
}

static void a_panic_is_its_reason(void **state)
{
    (void)state;
    assert_string_equal(
        words_of("[    0.000000] Linux version 6.1\r\n"
                 "[    1.234567] Kernel panic - not syncing: no root\r\n"
                 "[    1.234568] CPU: 0 PID: 1 Comm: swapper/0\r\n"
                 "[    1.234569] Call Trace:\r\n"
                 "[    1.234570] ---[ end Kernel panic - not syncing: no root "
                 "]---\r\n"),
        "no root");
}

static void a_complaint_of_init_comes_first(void **state)
{
    (void)state;
    assert_string_equal(
        words_of("[    1.0] husk: cannot mount the root: no such device\n"
                 "[    1.1] Kernel panic - not syncing: killed init!\n"),
        "cannot mount the root: no such device; killed init!");
}

static void without_a_panic_the_last_lines_count(void **state)
{
    (void)state;
    assert_string_equal(words_of("one\ntwo\nRIP: 0010:x\nthree\n"),
                        "two; three");
    assert_string_equal(words_of("only"), "only");
}

static void nothing_said_is_nothing(void **state)
{
    (void)state;
    assert_string_equal(words_of(""), "");
    assert_string_equal(words_of("\r\n\n\r\n"), "");
    assert_string_equal(words_of("[    1.0] \n"), "");
}

static void what_a_guest_writes_is_made_harmless(void **state)
{
    (void)state;
    assert_string_equal(words_of("a\033[2Jb\a\xff\n"), "a?[2Jb??");
    static const char zeros[] = "x\0y";
    hk_last_words(zeros, sizeof(zeros) - 1, text, sizeof(text));
    assert_string_equal(text, "x?y");
}

static void long_lines_are_cut(void **state)
{
    char log[1000], small[8] = "1234567";
    (void)state;
    memset(log, 'a', sizeof(log));
    hk_last_words(log, sizeof(log), text, sizeof(text));
    assert_int_equal(strlen(text), sizeof(text) - 1);
    hk_last_words("a\nbcdefghijk", 12, small, sizeof(small));
    assert_string_equal(small, "a; bcde");
    hk_last_words("abc", 3, small, 0);
    hk_last_words("abc", 3, small, 1);
    assert_string_equal(small, "");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_panic_is_its_reason),
    cmocka_unit_test(a_complaint_of_init_comes_first),
    cmocka_unit_test(without_a_panic_the_last_lines_count),
    cmocka_unit_test(nothing_said_is_nothing),
    cmocka_unit_test(what_a_guest_writes_is_made_harmless),
    cmocka_unit_test(long_lines_are_cut),
};
HK_TEST_MAIN(cases)
