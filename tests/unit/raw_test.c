/* disk/raw.c with real files */
#include "hk_test.h"

#include "disk/disk.h"

#include <sys/stat.h>
#include <unistd.h>

static const char path[] = "raw_test.tmp.img";

static int make_file(void **state)
{
    uint8_t bytes[65536];
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i % 251);
    size_t n = fwrite(bytes, 1, sizeof(bytes), file);
    return fclose(file) == 0 && n == sizeof(bytes) ? 0 : -1;
}

static int remove_file(void **state)
{
    remove(path);
    return 0;
}

static int open_as(bool read_only, bool direct, struct hk_disk **out,
                   struct hk_errmsg *err)
{
    struct hk_disk_config config = {.path = path,
                                    .read_only = read_only,
                                    .direct = direct,
                                    .sync = HK_DISK_SYNC_FULL};
    return hk_disk_open(&config, out, err);
}

static struct hk_disk *must_open(bool read_only, bool direct)
{
    struct hk_errmsg err = {{0}};
    struct hk_disk *disk = NULL;
    if (open_as(read_only, direct, &disk, &err) != 0)
        fail_msg("%s", err.text);
    return disk;
}

static void row061_the_size_is_that_of_the_file(void **state)
{
    struct hk_disk *disk = must_open(false, false);
    assert_int_equal(hk_disk_size(disk), 65536);
    assert_true(strlen(disk->info.id) > 0);
    hk_disk_close(disk);
}

static void row061_a_read_only_open_needs_no_write_permission(void **state)
{
    struct hk_errmsg err = {{0}};
    struct hk_disk *disk = NULL;
    assert_int_equal(chmod(path, 0444), 0);
    if (geteuid() != 0) { /* root may write everything */
        assert_int_equal(open_as(false, false, &disk, &err), -HK_EACCES);
        assert_non_null(strstr(err.text, path));
    }
    disk = must_open(true, false);
    assert_true(disk->info.read_only);
    assert_int_equal(hk_disk_write(disk, "x", 1, 0), -HK_EROFS);
    assert_int_equal(hk_disk_zero(disk, 0, 512, true), -HK_EROFS);
    assert_int_equal(hk_disk_trim(disk, 0, 512), -HK_EROFS);
    hk_disk_close(disk);
}

static void a_file_without_a_sector_is_refused_with_a_hint(void **state)
{
    struct hk_errmsg err = {{0}};
    struct hk_disk *disk = NULL;
    assert_int_equal(truncate(path, 511), 0);
    assert_int_equal(open_as(false, false, &disk, &err), -HK_EINVAL);
    assert_non_null(strstr(err.text, "511 bytes"));
    assert_non_null(strstr(err.text, "another format"));
}

static void bytes_after_the_last_whole_sector_are_left_out(void **state)
{
    assert_int_equal(truncate(path, 1000), 0);
    struct hk_disk *disk = must_open(false, false);
    char sector[512];
    assert_int_equal(hk_disk_size(disk), 512);
    assert_int_equal(hk_disk_read(disk, sector, 512, 0), 0);
    assert_int_equal(hk_disk_read(disk, sector, 1, 512), -HK_EINVAL);
    hk_disk_close(disk);
}

static void a_missing_file_and_a_directory_are_named(void **state)
{
    struct hk_disk_config config = {.path = "not-there.img"};
    struct hk_errmsg err = {{0}};
    struct hk_disk *disk = NULL;
    assert_int_equal(hk_disk_open(&config, &disk, &err), -HK_ENOENT);
    assert_non_null(strstr(err.text, "not-there.img"));
    config.path = ".";
    config.read_only = true;
    assert_int_equal(hk_disk_open(&config, &disk, &err), -HK_EISDIR);
}

static void two_writers_are_refused(void **state)
{
    struct hk_errmsg err = {{0}};
    struct hk_disk *other = NULL;
    struct hk_disk *disk = must_open(false, false);
    assert_int_equal(open_as(false, false, &other, &err), -HK_EBUSY);
    assert_non_null(strstr(err.text, "in use by another"));
    assert_int_equal(open_as(true, false, &other, &err), -HK_EBUSY);
    assert_non_null(strstr(err.text, "in use for writing"));
    hk_disk_close(disk);
    disk = must_open(false, false);
    hk_disk_close(disk);
}

static void many_readers_are_welcome_but_keep_a_writer_out(void **state)
{
    struct hk_errmsg err = {{0}};
    struct hk_disk *other = NULL;
    struct hk_disk *first = must_open(true, false);
    struct hk_disk *second = must_open(true, false);
    assert_int_equal(open_as(false, false, &other, &err), -HK_EBUSY);
    hk_disk_close(first);
    assert_int_equal(open_as(false, false, &other, &err), -HK_EBUSY);
    hk_disk_close(second);
    hk_disk_close(must_open(false, false));
}

static void qemu_img_sees_our_lock(void **state)
{
    if (system("qemu-img --version >/dev/null 2>&1") != 0)
        hk_skip("qemu-img is not installed (package qemu-utils)");
    static const char command[] =
        "qemu-io -f raw -c 'write 0 512' raw_test.tmp.img >/dev/null 2>&1";
    struct hk_disk *disk = must_open(false, false);
    assert_int_not_equal(system(command), 0);
    hk_disk_close(disk);
    assert_int_equal(system(command), 0);
}

static void row067_zeroed_ranges_give_their_space_back(void **state)
{
    struct stat before, after;
    uint8_t bytes[65536];
    struct hk_disk *disk = must_open(false, false);
    assert_int_equal(hk_disk_flush(disk), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(hk_disk_zero(disk, 4096, 32768, true), 0);
    assert_int_equal(hk_disk_flush(disk), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, 65536);
    assert_int_equal(hk_disk_read(disk, bytes, sizeof(bytes), 0), 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], i >= 4096 && i < 4096 + 32768 ? 0 : i % 251);
    hk_disk_close(disk);
    if (before.st_blocks < 128)
        hk_skip("this file system does not show its use of space");
    assert_true(after.st_blocks <= before.st_blocks - 64);
}

static void row067_trimming_and_odd_ranges_change_nothing_else(void **state)
{
    uint8_t bytes[65536];
    struct hk_disk *disk = must_open(false, false);
    assert_int_equal(hk_disk_zero(disk, 1000, 3, false), 0);
    assert_int_equal(hk_disk_zero(disk, 5000, 5000, true), 0);
    assert_int_equal(hk_disk_trim(disk, 20001, 10001), 0);
    assert_int_equal(hk_disk_read(disk, bytes, sizeof(bytes), 0), 0);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if ((i >= 1000 && i < 1003) || (i >= 5000 && i < 10000))
            assert_int_equal(bytes[i], 0);
        else if (i < 20001 || i >= 30002)
            assert_int_equal(bytes[i], i % 251);
    }
    hk_disk_close(disk);
}

/* Every alignment of memory, position and length, with two pieces. */
static void check_transfers(struct hk_disk *disk)
{
    static uint8_t out[20000], in[20000];
    static const size_t shifts[] = {0, 1, 512, 4096};
    static const uint64_t places[] = {0, 512, 4096, 8192};
    static const size_t lens[] = {512, 4096, 8192, 12800};
    for (unsigned i = 0; i < 64; i++) {
        size_t shift = shifts[i % 4], len = lens[i / 16];
        uint64_t at = places[i / 4 % 4];
        for (size_t k = 0; k < len; k++)
            out[shift + k] = (uint8_t)(i + k);
        struct hk_iov pieces[] = {{out + shift, len / 3},
                                  {out + shift + len / 3, len - len / 3}};
        assert_int_equal(hk_disk_writev(disk, pieces, 2, at), 0);
        memset(in, 0, sizeof(in));
        assert_int_equal(hk_disk_read(disk, in + shift, len, at), 0);
        assert_memory_equal(in + shift, out + shift, len);
    }
}

static void direct_transfers_of_any_alignment_work(void **state)
{
    struct hk_disk *disk = must_open(false, true);
    check_transfers(disk);
    assert_int_equal(hk_disk_flush(disk), 0);
    hk_disk_close(disk);
    disk = must_open(false, false);
    check_transfers(disk);
    hk_disk_close(disk);
}

static void a_file_that_got_shorter_is_an_error(void **state)
{
    uint8_t bytes[512];
    struct hk_disk *disk = must_open(true, false);
    assert_int_equal(truncate(path, 512), 0);
    assert_int_equal(hk_disk_read(disk, bytes, 512, 0), 0);
    assert_int_equal(hk_disk_read(disk, bytes, 512, 512), -HK_EIO);
    hk_disk_close(disk);
}

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, make_file, remove_file)

static const struct CMUnitTest cases[] = {
    CASE(row061_the_size_is_that_of_the_file),
    CASE(row061_a_read_only_open_needs_no_write_permission),
    CASE(a_file_without_a_sector_is_refused_with_a_hint),
    CASE(bytes_after_the_last_whole_sector_are_left_out),
    CASE(a_missing_file_and_a_directory_are_named),
    CASE(two_writers_are_refused),
    CASE(many_readers_are_welcome_but_keep_a_writer_out),
    CASE(qemu_img_sees_our_lock),
    CASE(row067_zeroed_ranges_give_their_space_back),
    CASE(row067_trimming_and_odd_ranges_change_nothing_else),
    CASE(direct_transfers_of_any_alignment_work),
    CASE(a_file_that_got_shorter_is_an_error),
};
HK_TEST_MAIN(cases)
