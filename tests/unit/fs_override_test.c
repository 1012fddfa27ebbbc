/* fs/override.h: owner and mode as text, and fs/name.h */
#include "hk_test.h"

#include "base/compiler.h"
#include "base/err.h"
#include "fs/host.h"
#include "fs/name.h"
#include "fs/override.h"

static bool parse(const char *text, struct hk_fs_override *out)
{
    return hk_fs_override_parse(text, strlen(text), out);
}

static void the_text_of_a_plain_file_is_that_of_libkrun(void **state)
{
    const struct hk_fs_override in = {1000, 100, 0644, 0};
    char text[HK_FS_OVERRIDE_MAX];

    size_t len = hk_fs_override_format(&in, text);
    assert_string_equal(text, "1000:100:0644");
    assert_int_equal(len, 13);
}

static void every_record_comes_back(void **state)
{
    static const struct hk_fs_override all[] = {
        {0, 0, 0, 0},
        {UINT32_MAX, UINT32_MAX, 07777, 0},
        {1, 2, HK_S_IFIFO | 0600, 0},
        {1, 2, HK_S_IFSOCK | 0755, 0},
        {3, 4, HK_S_IFCHR | 0666, 0x103},
        {3, 4, HK_S_IFBLK | 0660, 0xfff00000 | 0xfff00 | 0xff},
    };
    char text[HK_FS_OVERRIDE_MAX];
    struct hk_fs_override out;

    for (size_t i = 0; i < HK_COUNT(all); i++) {
        size_t len = hk_fs_override_format(&all[i], text);

        assert_true(hk_fs_override_parse(text, len, &out));
        assert_memory_equal(&out, &all[i], sizeof(out));
    }
}

static void other_programs_records_are_read(void **state)
{
    struct hk_fs_override out;

    assert_true(parse("0:0:0755:dir", &out));
    assert_int_equal(out.mode, 0755);
    assert_true(parse("5:6:4755:file", &out));
    assert_int_equal(out.mode, 04755);
    assert_true(parse("0:0:0620:char-5-1", &out));
    assert_int_equal(out.mode, HK_S_IFCHR | 0620);
    assert_int_equal(hk_fs_rdev_major(out.rdev), 5);
    assert_int_equal(hk_fs_rdev_minor(out.rdev), 1);
    assert_true(parse("0:0:0644:pipe", &out));
    assert_int_equal(out.mode, HK_S_IFIFO | 0644);
    assert_true(parse("1:2:0100644", &out)); /* with the type of a file */
    assert_int_equal(out.mode, 0644);
}

static void other_text_is_no_record(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "0:0",
        "0:0:",
        "a:0:0644",
        "0::0644",
        "0:0:0648",
        "0:0:99999999",
        "0:0:0644 ",
        "-1:0:0644",
        "0:0:0644:char-1",
        "0:0:0644:block-1-",
        "4294967296:0:0644",
        "0:0:0644:char-1-3x",
    };
    struct hk_fs_override out;

    for (size_t i = 0; i < HK_COUNT(bad); i++)
        assert_false(parse(bad[i], &out));
}

static void names_are_single_components(void **state)
{
    char name[300];

    memset(name, 'n', sizeof(name));
    assert_int_equal(hk_fs_name_check("a", 1), 0);
    assert_int_equal(hk_fs_name_check("...", 3), 0);
    assert_int_equal(hk_fs_name_check(".a", 2), 0);
    assert_int_equal(hk_fs_name_check("..a", 3), 0);
    assert_int_equal(hk_fs_name_check("\\", 1), 0);
    assert_int_equal(hk_fs_name_check(name, 255), 0);
    assert_int_equal(hk_fs_name_check(name, 256), -HK_ENAMETOOLONG);
    assert_int_equal(hk_fs_name_check("", 0), -HK_EINVAL);
    assert_int_equal(hk_fs_name_check(".", 1), -HK_EINVAL);
    assert_int_equal(hk_fs_name_check("..", 2), -HK_EINVAL);
    assert_int_equal(hk_fs_name_check("a/b", 3), -HK_EINVAL);
    assert_int_equal(hk_fs_name_check("a\0b", 3), -HK_EINVAL);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_text_of_a_plain_file_is_that_of_libkrun),
    cmocka_unit_test(every_record_comes_back),
    cmocka_unit_test(other_programs_records_are_read),
    cmocka_unit_test(other_text_is_no_record),
    cmocka_unit_test(names_are_single_components),
};
HK_TEST_MAIN(cases)
