/* Folders and whole files of the host. */
#include "hk_test.h"

#include "os/dynlib.h"
#include "os/file.h"
#include "os/folder.h"

static char top[128];
static struct hk_errmsg err;

static int start(void **state)
{
    return hk_os_folder_make_new("os_folder_test-", top, sizeof(top), NULL);
}

static int finish(void **state)
{
    return hk_os_tree_remove(top, NULL);
}

static const char *in_top(const char *path)
{
    static char text[2][256];
    static int turn;
    char *to = text[turn++ % 2];
    snprintf(to, sizeof(text[0]), "%s/%s", top, path);
    return to;
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(
        hk_os_file_write_all(in_top(path), text, strlen(text), NULL), 0);
}

static void folders_are_made_with_those_above(void **state)
{
    assert_int_equal(hk_os_folder_make(in_top("a/b/c"), &err), 0);
    assert_int_equal(hk_os_kind_of(in_top("a/b/c")), HK_OS_FOLDER);
    assert_int_equal(hk_os_folder_make(in_top("a/b/c"), &err), 0);
    write_text("a/file", "x");
    assert_true(hk_os_folder_make(in_top("a/file"), &err) < 0);
    assert_non_null(strstr(err.text, "a/file"));
    assert_true(hk_os_folder_make(in_top("a/file/d"), &err) < 0);
    assert_true(hk_os_folder_make("", &err) < 0);
}

static void what_is_at_a_path_is_told(void **state)
{
    write_text("file", "x");
    assert_int_equal(hk_os_kind_of(in_top("file")), HK_OS_FILE);
    assert_int_equal(hk_os_kind_of(in_top("nothing")), HK_OS_NOTHING);
    assert_int_equal(hk_os_kind_of(top), HK_OS_FOLDER);
}

static void a_file_is_written_anew(void **state)
{
    uint8_t *data;
    uint64_t len;
    write_text("file", "long text");
    write_text("file", "short");
    assert_int_equal(
        hk_os_file_read_all(in_top("file"), 100, &data, &len, NULL), 0);
    assert_int_equal(len, 5);
    assert_memory_equal(data, "short", 5);
    free(data);
    assert_int_equal(hk_os_file_write_all(in_top("no/file"), "x", 1, &err),
                     -HK_ENOENT);
    assert_non_null(strstr(err.text, "no/file"));
}

static int count(void *opaque, const char *name)
{
    return ++*(int *)opaque == 2 ? 77 : 0;
}

static void a_listing_ends_when_it_is_told_to(void **state)
{
    int seen = 0;
    write_text("one", "");
    assert_int_equal(hk_os_folder_list(top, count, &seen, NULL), 0);
    assert_int_equal(seen, 1);
    write_text("two", "");
    write_text("three", "");
    seen = 0;
    assert_int_equal(hk_os_folder_list(top, count, &seen, NULL), 77);
    assert_int_equal(seen, 2);
    assert_int_equal(hk_os_folder_list(in_top("none"), count, &seen, &err),
                     -HK_ENOENT);
}

static void a_tree_goes_with_all_that_is_in_it(void **state)
{
    assert_int_equal(hk_os_folder_make(in_top("a/b"), NULL), 0);
    write_text("a/b/file", "x");
    write_text("a/file", "x");
    write_text("beside", "x");
    assert_int_equal(hk_os_tree_remove(in_top("a"), &err), 0);
    assert_int_equal(hk_os_kind_of(in_top("a")), HK_OS_NOTHING);
    assert_int_equal(hk_os_kind_of(in_top("beside")), HK_OS_FILE);
    assert_int_equal(hk_os_tree_remove(in_top("a"), &err), 0);
    assert_int_equal(hk_os_tree_remove(in_top("beside"), &err), 0);
    assert_int_equal(hk_os_kind_of(in_top("beside")), HK_OS_NOTHING);
}

static void a_folder_gets_another_name_but_no_others_place(void **state)
{
    assert_int_equal(hk_os_folder_make(in_top("a"), NULL), 0);
    assert_int_equal(hk_os_folder_make(in_top("c"), NULL), 0);
    write_text("c/file", "x");
    assert_int_equal(hk_os_rename(in_top("a"), in_top("b"), &err), 0);
    assert_int_equal(hk_os_kind_of(in_top("b")), HK_OS_FOLDER);
    assert_true(hk_os_rename(in_top("b"), in_top("c"), &err) < 0);
    assert_int_equal(hk_os_kind_of(in_top("c/file")), HK_OS_FILE);
}

static void new_folders_have_names_of_their_own(void **state)
{
    char one[160], two[160], tiny[8];
    assert_int_equal(
        hk_os_folder_make_new(in_top("n-"), one, sizeof(one), &err), 0);
    assert_int_equal(
        hk_os_folder_make_new(in_top("n-"), two, sizeof(two), &err), 0);
    assert_string_not_equal(one, two);
    assert_int_equal(
        hk_os_folder_make_new(in_top("n-"), tiny, sizeof(tiny), &err),
        -HK_ENAMETOOLONG);
}

static void a_library_that_is_not_there_has_a_sentence(void **state)
{
    struct hk_dynlib *library = NULL;
    err.text[0] = '\0';
    assert_int_equal(
        hk_dynlib_open("husk-none-of-this-name", 1, &library, &err),
        -HK_ENOENT);
    assert_null(library);
    assert_non_null(strstr(err.text, "husk-none-of-this-name"));
    hk_dynlib_close(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(folders_are_made_with_those_above),
    CASE(what_is_at_a_path_is_told),
    CASE(a_file_is_written_anew),
    CASE(a_listing_ends_when_it_is_told_to),
    CASE(a_tree_goes_with_all_that_is_in_it),
    CASE(a_folder_gets_another_name_but_no_others_place),
    CASE(new_folders_have_names_of_their_own),
    CASE(a_library_that_is_not_there_has_a_sentence),
};
HK_TEST_MAIN(cases)
