/* os/file.h */
#include "hk_test.h"

#include "os/file.h"

static const char path[] = "os_file_test.\xc3\xa4.tmp";

static void put_file(size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(fputc((int)(i % 251), file), (int)(i % 251));
    assert_int_equal(fclose(file), 0);
}

static int remove_file(void **state)
{
    remove(path);
    return 0;
}

static void check_whole_file(size_t size)
{
    uint8_t *bytes = NULL;
    uint64_t len = 1;
    put_file(size);
    assert_int_equal(hk_os_file_read_all(path, size, &bytes, &len, NULL), 0);
    assert_int_equal(len, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], i % 251);
    assert_int_equal(bytes[size], 0);
    free(bytes);
}

static void reads_whole_files_of_every_kind_of_size(void **state)
{
    static const size_t sizes[] = {0, 1, 4096, 65535, 65536, 65537, 300000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        check_whole_file(sizes[i]);
}

static void refuses_a_file_above_the_limit(void **state)
{
    uint8_t *bytes = NULL;
    uint64_t len;
    struct hk_errmsg err = {{0}};
    put_file(101);
    assert_int_equal(hk_os_file_read_all(path, 100, &bytes, &len, &err),
                     -HK_EFBIG);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "limit of 100 bytes"));
    assert_null(bytes);
}

static void refuses_an_endless_device(void **state)
{
    uint8_t *bytes = NULL;
    uint64_t len;
    assert_int_equal(
        hk_os_file_read_all("/dev/zero", 100000, &bytes, &len, NULL),
        -HK_EFBIG);
}

static void refuses_a_directory_with_a_sentence(void **state)
{
    uint8_t *bytes = NULL;
    uint64_t len;
    struct hk_os_file *file = NULL;
    struct hk_errmsg err = {{0}};
    assert_int_equal(hk_os_file_read_all(".", 100, &bytes, &len, &err),
                     -HK_EISDIR);
    assert_string_equal(err.text, ".: is a directory");
    assert_int_equal(hk_os_file_open(".", false, &file, &err), -HK_EISDIR);
}

static void names_a_missing_file(void **state)
{
    struct hk_os_file *file = NULL;
    struct hk_errmsg err = {{0}};
    assert_int_equal(hk_os_file_open("not-there", false, &file, &err),
                     -HK_ENOENT);
    assert_string_equal(err.text, "not-there: no such file or directory");
    assert_null(file);
}

static void reads_and_writes_by_position(void **state)
{
    struct hk_os_file *file = NULL;
    uint64_t size = 0;
    uint8_t bytes[4];
    put_file(1000);
    assert_int_equal(hk_os_file_open(path, true, &file, NULL), 0);
    assert_int_equal(hk_os_file_size(file, &size), 0);
    assert_int_equal(size, 1000);
    assert_int_equal(hk_os_file_pwrite(file, "wxyz", 4, 500), 0);
    assert_int_equal(hk_os_file_pread(file, bytes, 4, 500), 0);
    assert_memory_equal(bytes, "wxyz", 4);
    assert_int_equal(hk_os_file_pread(file, bytes, 4, 498), 0);
    assert_int_equal(bytes[0], 498 % 251);
    assert_int_equal(bytes[2], 'w');
    hk_os_file_close(file);
}

static void reading_past_the_end_fails(void **state)
{
    struct hk_os_file *file = NULL;
    uint8_t bytes[4];
    put_file(10);
    assert_int_equal(hk_os_file_open(path, false, &file, NULL), 0);
    assert_int_equal(hk_os_file_pread(file, bytes, 4, 8), -HK_ENODATA);
    assert_int_equal(hk_os_file_pread(file, bytes, 0, 10), 0);
    assert_int_equal(hk_os_file_pread(file, bytes, 4, UINT64_MAX - 1),
                     -HK_EINVAL);
    assert_int_equal(hk_os_file_pwrite(file, "x", 1, 0), -HK_EBADF);
    hk_os_file_close(file);
}

static void a_kept_file_is_read_when_it_is_gone(void **state)
{
    uint8_t *bytes = NULL;
    uint64_t len = 0;
    const char *kept = "os_file_test.kept.tmp";
    put_file(70000);
    assert_int_equal(rename(path, kept), 0);
    assert_int_equal(hk_os_file_keep(kept), 0);
    assert_int_equal(hk_os_file_keep(kept), 0);
    (void)remove(kept);
    assert_int_equal(hk_os_file_read_all(kept, 69999, &bytes, &len, NULL),
                     -HK_EFBIG);
    assert_int_equal(hk_os_file_read_all(kept, 70000, &bytes, &len, NULL), 0);
    assert_int_equal(len, 70000);
    assert_int_equal(bytes[69999], 69999 % 251);
    assert_int_equal(bytes[70000], 0);
    free(bytes);
    assert_int_equal(hk_os_file_keep("not-there"), -HK_ENOENT);
    assert_int_equal(hk_os_file_keep("."), -HK_EISDIR);
    assert_int_equal(hk_os_file_keep("/dev/zero"), -HK_EINVAL);
}

static void moves_several_pieces_at_once(void **state)
{
    struct hk_os_file *file = NULL;
    uint8_t bytes[300];
    struct hk_iov pieces[100];
    put_file(1000);
    assert_int_equal(hk_os_file_open(path, true, &file, NULL), 0);
    for (size_t i = 0; i < 100; i++)
        pieces[i] = (struct hk_iov){bytes + i * 3, i % 4};
    assert_int_equal(hk_os_file_preadv(file, pieces, 100, 7), 0);
    size_t at = 7;
    for (size_t i = 0; i < 100; i++)
        for (size_t k = 0; k < i % 4; k++)
            pieces[i].base[k] = (uint8_t)(at++ % 251);
    assert_int_equal(hk_os_file_pwritev(file, pieces, 100, 500), 0);
    assert_int_equal(hk_os_file_flush(file), 0);
    uint8_t back[150];
    assert_int_equal(hk_os_file_pread(file, back, 150, 500), 0);
    for (size_t i = 0; i < 99; i++) /* pieces of 3 overlap by none */
        assert_int_equal(back[i], (7 + i) % 251);
    hk_os_file_close(file);
}

static void zeroes_without_changing_the_size(void **state)
{
    struct hk_os_file *file = NULL;
    uint64_t size;
    uint8_t bytes[10000];
    put_file(10000);
    assert_int_equal(hk_os_file_open(path, true, &file, NULL), 0);
    assert_int_equal(hk_os_file_allow_holes(file), 0);
    int rc = hk_os_file_zero(file, 5000, 100000, true);
    if (rc == -HK_ENOTSUP) {
        hk_os_file_close(file);
        hk_skip("this file system cannot punch holes");
    }
    assert_int_equal(rc, 0);
    assert_int_equal(hk_os_file_size(file, &size), 0);
    assert_int_equal(size, 10000);
    assert_int_equal(hk_os_file_pread(file, bytes, 10000, 0), 0);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(bytes[i], i < 5000 ? i % 251 : 0);
    hk_os_file_close(file);
}

static void a_lock_keeps_others_out(void **state)
{
    struct hk_os_file *first = NULL, *second = NULL;
    put_file(512);
    assert_int_equal(hk_os_file_open(path, true, &first, NULL), 0);
    assert_int_equal(hk_os_file_open(path, false, &second, NULL), 0);
    assert_int_equal(hk_os_file_lock(first, true), 0);
    assert_int_equal(hk_os_file_lock(second, false), -HK_EBUSY);
    hk_os_file_close(first);
    assert_int_equal(hk_os_file_lock(second, false), 0);
    hk_os_file_close(second);
}

static void tells_files_apart(void **state)
{
    struct hk_os_file *first = NULL, *second = NULL;
    struct hk_os_file_id a, b;
    put_file(1);
    assert_int_equal(hk_os_file_open(path, false, &first, NULL), 0);
    assert_int_equal(hk_os_file_open(path, false, &second, NULL), 0);
    assert_int_equal(hk_os_file_id(first, &a), 0);
    assert_int_equal(hk_os_file_id(second, &b), 0);
    assert_int_equal(a.inode, b.inode);
    assert_int_equal(a.device, b.device);
    assert_false(a.is_block_device);
    hk_os_file_close(first);
    hk_os_file_close(second);
}

static void a_plain_file_only_is_opened_on_demand(void **state)
{
    struct hk_os_file *file = NULL;
    put_file(1);
    assert_int_equal(hk_os_file_open_as(path, HK_OS_FILE_PLAIN, &file, NULL),
                     0);
    hk_os_file_close(file);
    assert_int_equal(
        hk_os_file_open_as("/dev/null", HK_OS_FILE_PLAIN, &file, NULL),
        -HK_EPERM);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_teardown(reads_whole_files_of_every_kind_of_size,
                              remove_file),
    cmocka_unit_test_teardown(refuses_a_file_above_the_limit, remove_file),
    cmocka_unit_test(refuses_an_endless_device),
    cmocka_unit_test(refuses_a_directory_with_a_sentence),
    cmocka_unit_test(names_a_missing_file),
    cmocka_unit_test_teardown(reads_and_writes_by_position, remove_file),
    cmocka_unit_test_teardown(reading_past_the_end_fails, remove_file),
    cmocka_unit_test(a_kept_file_is_read_when_it_is_gone),
    cmocka_unit_test_teardown(moves_several_pieces_at_once, remove_file),
    cmocka_unit_test_teardown(zeroes_without_changing_the_size, remove_file),
    cmocka_unit_test_teardown(a_lock_keeps_others_out, remove_file),
    cmocka_unit_test_teardown(tells_files_apart, remove_file),
    cmocka_unit_test_teardown(a_plain_file_only_is_opened_on_demand,
                              remove_file),
};
HK_TEST_MAIN(cases)
