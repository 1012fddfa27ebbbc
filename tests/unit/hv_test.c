/*
 * The list of back ends and the choice among them.
 */
#include "hk_test.h"

#include "hv/hv.h"

static void an_unknown_name_is_refused_with_the_known_ones(void **state)
{
    const struct hk_hv_ops *ops = NULL;
    struct hk_errmsg err = {""};
    (void)state;
    assert_int_equal(hk_hv_select("magic", &ops, &err), -HK_EINVAL);
    assert_null(ops);
    assert_non_null(strstr(err.text, "'magic'"));
    assert_null(hk_hv_find("magic"));
}

static void every_back_end_is_found_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; hk_hv_backends[i] != NULL; i++) {
        const struct hk_hv_ops *ops = hk_hv_backends[i];
        assert_ptr_equal(hk_hv_find(ops->name), ops);
        assert_non_null(ops->summary);
        assert_non_null(ops->vcpu_run);
    }
}

static void auto_takes_the_first_that_works_and_says_why(void **state)
{
    const struct hk_hv_ops *ops = NULL, *named = NULL;
    struct hk_errmsg err = {""};
    (void)state;
    int rc = hk_hv_select("auto", &ops, &err);
    assert_true(err.text[0] != '\0');
    if (rc != 0) {
        assert_int_equal(rc, -HK_ENODEV);
        return;
    }
    assert_int_equal(hk_hv_select(NULL, &named, NULL), 0);
    assert_ptr_equal(ops, named);
    assert_int_equal(hk_hv_select(ops->name, &named, &err), 0);
    assert_ptr_equal(ops, named);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(an_unknown_name_is_refused_with_the_known_ones),
    cmocka_unit_test(every_back_end_is_found_by_its_name),
    cmocka_unit_test(auto_takes_the_first_that_works_and_says_why),
};
HK_TEST_MAIN(cases)
