/* base/err.h and base/checked.h */
#include "hk_test.h"

#include "base/checked.h"
#include "base/err.h"

static void names_and_texts_ignore_the_sign(void **state)
{
    assert_string_equal(hk_err_name(HK_ENOENT), "ENOENT");
    assert_string_equal(hk_err_name(-HK_ENOENT), "ENOENT");
    assert_string_equal(hk_err_text(-HK_EISDIR), "is a directory");
    assert_string_equal(hk_err_text(0), "no error");
}

static void an_unknown_code_has_a_text(void **state)
{
    assert_string_equal(hk_err_text(4000), "unknown error");
    assert_string_equal(hk_err_name(INT32_MIN), "EUNKNOWN");
}

static void set_returns_the_code_and_formats(void **state)
{
    struct hk_errmsg msg;
    assert_int_equal(hk_err_set(&msg, -HK_EIO, "disk %d", 2), -HK_EIO);
    assert_string_equal(msg.text, "disk 2");
}

static void set_and_prepend_accept_no_message(void **state)
{
    assert_int_equal(hk_err_set(NULL, -HK_EIO, "x"), -HK_EIO);
    assert_int_equal(hk_err_prepend(NULL, -HK_EIO, "x"), -HK_EIO);
}

static void a_sentence_is_one_line(void **state)
{
    struct hk_errmsg msg = {""};
    (void)state;
    (void)hk_err_set(&msg, -HK_EINVAL, "'%s' is no name", "a\n\033[1mb\t");
    assert_string_equal(msg.text, "'a??[1mb?' is no name");
}

static void prepend_puts_context_first(void **state)
{
    struct hk_errmsg msg;
    hk_err_set(&msg, -HK_EIO, "header: short");
    assert_int_equal(hk_err_prepend(&msg, -HK_EIO, "disk %d", 2), -HK_EIO);
    assert_string_equal(msg.text, "disk 2: header: short");
}

static void prepend_may_use_the_present_text(void **state)
{
    struct hk_errmsg msg;
    hk_err_set(&msg, -HK_EIO, "a");
    hk_err_prepend(&msg, -HK_EIO, "<%s>", msg.text);
    assert_string_equal(msg.text, "<a>: a");
}

static void long_sentences_are_cut_not_overrun(void **state)
{
    struct {
        struct hk_errmsg msg;
        char guard;
    } box = {.guard = 'g'};
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';

    hk_err_set(&box.msg, -HK_EIO, "%s", text);
    assert_int_equal(strlen(box.msg.text), sizeof(box.msg.text) - 1);
    hk_err_prepend(&box.msg, -HK_EIO, "%s", text);
    assert_int_equal(strlen(box.msg.text), sizeof(box.msg.text) - 1);
    assert_int_equal(box.guard, 'g');
}

static void checked_arithmetic_refuses_overflow(void **state)
{
    uint64_t out = 7;
    assert_false(hk_add_u64(UINT64_MAX, 1, &out));
    assert_false(hk_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
    assert_false(hk_align_up_u64(UINT64_MAX - 1, 4096, &out));
    assert_int_equal(out, 7);
    assert_true(hk_align_up_u64(4097, 4096, &out));
    assert_int_equal(out, 8192);
}

static void ranges_end_where_they_should(void **state)
{
    assert_true(hk_range_within(10, 0, 10));
    assert_true(hk_range_within(4, 6, 10));
    assert_false(hk_range_within(4, 7, 10));
    assert_false(hk_range_within(11, 0, 10));
    assert_false(hk_range_within(4, UINT64_MAX, 10));
    assert_true(hk_ranges_overlap(0, 5, 4, 1));
    assert_false(hk_ranges_overlap(0, 5, 5, 1));
    assert_false(hk_ranges_overlap(0, 0, 0, 1));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(names_and_texts_ignore_the_sign),
    cmocka_unit_test(an_unknown_code_has_a_text),
    cmocka_unit_test(set_returns_the_code_and_formats),
    cmocka_unit_test(set_and_prepend_accept_no_message),
    cmocka_unit_test(a_sentence_is_one_line),
    cmocka_unit_test(prepend_puts_context_first),
    cmocka_unit_test(prepend_may_use_the_present_text),
    cmocka_unit_test(long_sentences_are_cut_not_overrun),
    cmocka_unit_test(checked_arithmetic_refuses_overflow),
    cmocka_unit_test(ranges_end_where_they_should),
};
HK_TEST_MAIN(cases)
