/*
 * What holds for every user who runs the VM: included by fs_test.c, which
 * runs as whoever starts the tests, and fs_user_test.c, which runs as an
 * ordinary user in any case.
 */
#ifndef FS_CASES_H
#define FS_CASES_H

#include "fs_rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ------------------------------------------------------------------ */
/* The device                                                         */

static HK_UNUSED void row108_the_device_has_a_tag_and_two_queues(void **state)
{
    char tag[36];

    assert_int_equal(gdrv_read(rig.g, GDRV_DEVICE_ID), 26);
    for (uint32_t i = 0; i < sizeof(tag); i++)
        tag[i] = (char)gdrv_config(rig.g, i, 1);
    assert_string_equal(tag, "share");
    assert_int_equal(gdrv_config(rig.g, 36, 4), 1);
    gdrv_write(rig.g, GDRV_QUEUE_SEL, 0);
    assert_int_equal(gdrv_read(rig.g, GDRV_QUEUE_NUM_MAX), 128);
    gdrv_write(rig.g, GDRV_QUEUE_SEL, 1);
    assert_int_equal(gdrv_read(rig.g, GDRV_QUEUE_NUM_MAX), 1024);
    gdrv_write(rig.g, GDRV_QUEUE_SEL, 2);
    assert_int_equal(gdrv_read(rig.g, GDRV_QUEUE_NUM_MAX), 0);
}

static HK_UNUSED void row108_a_tag_has_1_to_36_bytes(void **state)
{
    static const char *const bad[] = {"",
                                      "1234567890123456789012345678901234567"};
    const struct hk_fuse_config config = {0};
    struct hk_fuse *fuse;
    struct hk_vdev *dev;

    for (size_t i = 0; i < HK_COUNT(bad); i++) {
        assert_int_equal(hk_fuse_create(NULL, &config, &fuse), 0);
        assert_int_equal(
            hk_fs_create(rig.g->loop, rig.g->pool, bad[i], fuse, &dev),
            -HK_EINVAL);
    }
    rig.tag = "123456789012345678901234567890123456";
    rig_again();
    assert_int_equal(gdrv_config(rig.g, 35, 1), '6');
}

static HK_UNUSED void row108_a_missing_directory_is_named(void **state)
{
    const struct hk_fs_root_config config = {.path = "/nowhere/at/all"};
    struct hk_errmsg err = {.text = ""};
    struct hk_fs_root *root;

    assert_int_equal(hk_fs_root_open(&config, &root, &err), -HK_ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

static HK_UNUSED void forgets_arrive_on_the_other_queue(void **state)
{
    const struct {
        struct hk_fuse_in_header head;
        struct hk_fuse_forget_in in;
    } forget = {{48, HK_FUSE_FORGET, 1, 0, 0, 0, 0, 0}, {1}};
    struct hk_fuse_attr attr;

    put_file("share/f", "x");
    uint64_t f = look(1, "f");
    uint8_t bytes[48];
    memcpy(bytes, &forget, sizeof(bytes));
    memcpy(bytes + 16, &f, 8);
    assert_int_equal(gdrv_request(rig.g, 0, bytes, 48, NULL, 0), 0);
    assert_int_equal(fuse_getattr(&rig.c, f, &attr), -HK_ENOENT);
}

static HK_UNUSED void a_reset_closes_what_the_guest_had(void **state)
{
    put_file("share/f", "x");
    open_node(look(1, "f"), 0);
    assert_int_equal(hk_fuse_counts(rig.server).handles, 1);
    gdrv_reset(rig.g);
    assert_int_equal(hk_fuse_counts(rig.server).handles, 0);
    assert_int_equal(hk_fuse_counts(rig.server).nodes, 1);
    gdrv_start(rig.g, 0);
    fuse_init(&rig.c);
    assert_string_equal(text_of(look(1, "f")), "x");
}

/* Each of many requests in flight gets its own answer. */
static HK_UNUSED void many_requests_are_in_flight_at_once(void **state)
{
    enum { COUNT = 400, LEN = 4096 };
    struct {
        struct hk_fuse_in_header head;
        struct hk_fuse_read_in in;
    } req = {{80, HK_FUSE_READ, 0, 0, 0, 0, 0, 0}, {.size = LEN}};
    static uint8_t page[LEN];
    hk_gpa_t reply[1024];
    struct gdrv_used used;

    uint64_t f = new_file(1, "f", 0644, NULL, &req.in.fh);
    req.head.nodeid = f;
    for (int i = 0; i < COUNT; i++) {
        memset(page, i, sizeof(page));
        fuse_write(&rig.c, f, req.in.fh, (uint64_t)i * LEN, page, LEN, 2);
    }
    for (int i = 0; i < COUNT; i++) {
        struct gdrv_buf bufs[2];

        req.head.unique = (uint64_t)i;
        req.in.offset = (uint64_t)i * LEN;
        bufs[0] =
            (struct gdrv_buf){gdrv_put(rig.g, &req, sizeof(req)), 80, false};
        bufs[1] =
            (struct gdrv_buf){gdrv_alloc(rig.g, LEN + 16, 16), LEN + 16, true};
        reply[gdrv_add(rig.g, 1, bufs, 2)] = bufs[1].gpa;
    }
    gdrv_kick(rig.g, 1);
    gdrv_turn(rig.g);
    for (int i = 0; i < COUNT; i++) {
        struct hk_fuse_out_header head;
        uint8_t first;

        assert_true(gdrv_take_used(rig.g, 1, &used));
        assert_int_equal(used.len, LEN + 16);
        gdrv_load(rig.g, reply[used.head], &head, sizeof(head));
        gdrv_load(rig.g, reply[used.head] + 16 + LEN - 1, &first, 1);
        assert_int_equal(head.error, 0);
        assert_int_equal(first, head.unique & 0xff);
    }
}

/* ------------------------------------------------------------------ */
/* Attributes and listings                                            */

static HK_UNUSED void row111_attributes_are_the_hosts(void **state)
{
    put_file("share/f", "12345");
    assert_int_equal(chmod(at("share/f"), 0640), 0);
    const struct timespec times[2] = {{1000000000, 123456789}, {2000, 5}};
    assert_int_equal(utimensat(AT_FDCWD, at("share/f"), times, 0), 0);
    struct stat st = host_stat("share/f");
    struct hk_fuse_attr attr = attr_of(look(1, "f"));

    assert_int_equal(attr.size, 5);
    assert_int_equal(attr.mode, S_IFREG | 0640);
    assert_int_equal(attr.ino, st.st_ino);
    assert_int_equal(attr.nlink, 1);
    assert_int_equal(attr.blocks, st.st_blocks);
    assert_int_equal(attr.blksize, st.st_blksize);
    assert_int_equal(attr.atime, 1000000000);
    assert_int_equal(attr.atimensec, 123456789);
    assert_int_equal(attr.mtime, 2000);
    assert_int_equal(attr.mtimensec, 5);
    assert_int_equal(attr.ctime, st.st_ctim.tv_sec);
    assert_int_equal(attr_of(1).mode, S_IFDIR | 0755);
}

static HK_UNUSED void row112_a_listing_equals_the_directory(void **state)
{
    char *names;

    put_file("share/file", "");
    assert_int_equal(mkdir(at("share/dir"), 0755), 0);
    assert_int_equal(symlink("file", at("share/link")), 0);
    names = fuse_list(&rig.c, 1, 4096, false);
    assert_string_equal(names, ". .. dir file link");
    free(names);
    names = fuse_list(&rig.c, 1, 4096, true);
    assert_string_equal(names, ". .. dir file link");
    free(names);
    names = fuse_list(&rig.c, look(1, "dir"), 4096, true);
    assert_string_equal(names, ". ..");
    free(names);
}

static HK_UNUSED void row112_small_buffers_give_the_same_names(void **state)
{
    char name[64];
    char *once, *pieces;

    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "share/a-name-of-some-length-%d", i);
        put_file(name, "");
    }
    once = fuse_list(&rig.c, 1, 1 << 20, false);
    pieces = fuse_list(&rig.c, 1, 300, false);
    assert_string_equal(once, pieces);
    free(pieces);
    pieces = fuse_list(&rig.c, 1, 4096, true);
    assert_string_equal(once, pieces);
    free(pieces);
    free(once);
    assert_int_equal(hk_fuse_counts(rig.server).handles, 0);
}

static HK_UNUSED void row112_what_is_above_the_share_has_no_number(void **state)
{
    uint8_t bytes[512];
    uint64_t fh;
    struct stat above = host_stat("");

    assert_int_equal(fuse_opendir(&rig.c, 1, &fh), 0);
    int len = fuse_readdir(&rig.c, 1, fh, 0, bytes, sizeof(bytes));
    assert_true(len > 0);
    for (int i = 0; i + 8 <= len; i += 8) {
        uint64_t value;
        memcpy(&value, bytes + i, 8);
        assert_int_not_equal(value, above.st_ino);
    }
}

static HK_UNUSED void
row112_a_listing_goes_on_while_names_come_and_go(void **state)
{
    uint8_t bytes[1024];
    char name[64], seen[400] = {0};
    uint64_t fh, offset = 0;
    int len, round = 0;

    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof(name), "share/k%03d", i);
        put_file(name, "");
    }
    assert_int_equal(fuse_opendir(&rig.c, 1, &fh), 0);
    while ((len = fuse_readdir(&rig.c, 1, fh, offset, bytes, 1024)) > 0) {
        for (int i = 0; i < len;) {
            struct hk_fuse_dirent e;

            memcpy(&e, bytes + i, sizeof(e));
            const char *text = (char *)bytes + i + sizeof(e);
            if (text[0] == 'k') {
                int n = (text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] -
                        '0';
                assert_int_equal(seen[n], 0); /* no name comes twice */
                seen[n] = 1;
                snprintf(name, sizeof(name), "k%03d", n);
                assert_int_equal(fuse_unlink(&rig.c, 1, name), 0);
            }
            offset = e.off;
            i += (int)((sizeof(e) + e.namelen + 7) & ~7u);
        }
        snprintf(name, sizeof(name), "new%d", round++);
        new_file(1, name, 0644, NULL, NULL);
    }
    for (int i = 0; i < 400; i++)
        assert_int_equal(seen[i], 1);
    len = fuse_readdir(&rig.c, 1, fh, 0, bytes, 1024); /* rewound */
    assert_true(len > 0);
    for (int i = 0; i < len;) {
        struct hk_fuse_dirent e;
        memcpy(&e, bytes + i, sizeof(e));
        assert_int_not_equal(bytes[i + sizeof(e)], 'k');
        i += (int)((sizeof(e) + e.namelen + 7) & ~7u);
    }
}

static HK_UNUSED void row112_a_removed_directory_lists_nothing(void **state)
{
    uint8_t bytes[512];
    uint64_t fh;

    assert_int_equal(mkdir(at("share/d"), 0755), 0);
    uint64_t d = look(1, "d");
    assert_int_equal(fuse_opendir(&rig.c, d, &fh), 0);
    assert_int_equal(fuse_rmdir(&rig.c, 1, "d"), 0);
    assert_int_equal(fuse_readdir(&rig.c, d, fh, 0, bytes, 512), 0);
    assert_int_equal(attr_of(d).nlink, 0);
}

/* ------------------------------------------------------------------ */
/* Data                                                               */

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761u >> 13);
}

static HK_UNUSED void row113_contents_are_equal_at_any_offset(void **state)
{
    enum { SIZE = 300000 };
    static uint8_t bytes[SIZE], got[SIZE + 10];
    static const uint32_t offsets[] = {0, 1, 4095, 4096, 65537, 299999, 300000};
    static const uint32_t sizes[] = {1, 100, 4096, 65536, 131072, SIZE};

    for (uint32_t i = 0; i < SIZE; i++)
        bytes[i] = pattern(i);
    int fd = open(at("share/f"), O_CREAT | O_WRONLY, 0644);
    assert_int_equal(write(fd, bytes, SIZE), SIZE);
    close(fd);
    uint64_t f = look(1, "f"), fh = open_node(f, 0);
    for (size_t o = 0; o < HK_COUNT(offsets); o++) {
        for (size_t s = 0; s < HK_COUNT(sizes); s++) {
            uint32_t want = SIZE - offsets[o];

            want = want < sizes[s] ? want : sizes[s];
            assert_int_equal(
                fuse_read(&rig.c, f, fh, offsets[o], got, sizes[s]), want);
            assert_memory_equal(got, bytes + offsets[o], want);
        }
    }
    assert_int_equal(fuse_read(&rig.c, f, fh, 1ull << 62, got, 10), 0);
    assert_int_equal(fuse_read(&rig.c, f, fh, ~0ull, got, 10), -HK_EINVAL);
    assert_int_equal(fuse_read(&rig.c, f, fh, 0, got, 0), 0);
}

static HK_UNUSED void row113_a_directory_is_not_opened_as_a_file(void **state)
{
    struct hk_fuse_open_out open;

    assert_int_equal(fuse_open(&rig.c, 1, 0, &open), -HK_EISDIR);
}

static HK_UNUSED void row114_direct_and_synchronous_files(void **state)
{
    struct hk_fuse_open_out open;

    put_file("share/f", "12345");
    uint64_t f = look(1, "f");
    assert_int_equal(
        fuse_open(&rig.c, f, HK_O_RDWR | HK_O_DIRECT | HK_O_SYNC, &open), 0);
    assert_int_not_equal(open.open_flags & HK_FOPEN_DIRECT_IO, 0);
    assert_int_equal(fuse_write(&rig.c, f, open.fh, 1, "x", 1, HK_O_RDWR), 1);
    assert_string_equal(get_file("share/f"), "1x345");
    assert_int_equal(fuse_open(&rig.c, f, HK_O_DSYNC, &open), 0);
    assert_int_equal(open.open_flags & HK_FOPEN_DIRECT_IO, 0);
}

static HK_UNUSED void row115_statfs_is_the_volumes(void **state)
{
    struct hk_fuse_statfs_out out;
    struct statvfs st;

    assert_int_equal(statvfs(at("share"), &st), 0);
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_STATFS, 1, NULL, 0, NULL, 0,
                               &out, sizeof(out)),
                     sizeof(out));
    assert_int_equal(out.blocks, st.f_blocks);
    assert_int_equal(out.files, st.f_files);
    assert_int_equal(out.bsize, st.f_bsize);
    assert_int_equal(out.frsize, st.f_frsize);
    assert_int_equal(out.namelen, st.f_namemax);
    assert_true(out.bavail <= out.bfree);
}

static HK_UNUSED void row116_written_bytes_are_on_the_host(void **state)
{
    uint64_t fh, f = new_file(1, "f", 0644, "hello", &fh);

    assert_string_equal(get_file("share/f"), "hello");
    assert_int_equal(fuse_write(&rig.c, f, fh, 5, " world", 6, 2), 6);
    assert_int_equal(fuse_write(&rig.c, f, fh, 0, "H", 1, 2), 1);
    assert_string_equal(get_file("share/f"), "Hello world");
    assert_int_equal(attr_of(f).size, 11);
    assert_int_equal(fuse_write(&rig.c, f, fh, ~0ull, "x", 1, 2), -HK_EINVAL);
}

static HK_UNUSED void
row116_create_keeps_what_is_there_unless_exclusive(void **state)
{
    struct hk_fuse_entry_out entry;
    struct hk_fuse_open_out open;
    char text[16] = {0};

    put_file("share/f", "there");
    assert_int_equal(
        fuse_create(&rig.c, 1, "f", HK_O_RDWR | HK_O_EXCL, 0644, &entry, &open),
        -HK_EEXIST);
    assert_int_equal(
        fuse_create(&rig.c, 1, "f", HK_O_RDWR, 0600, &entry, &open), 0);
    assert_int_equal(fuse_read(&rig.c, entry.nodeid, open.fh, 0, text, 10), 5);
    assert_string_equal(text, "there");
    assert_int_equal(entry.attr.mode & 0777,
                     host_stat("share/f").st_mode & 0777);
    assert_int_equal(fuse_create(&rig.c, 1, "f", HK_O_RDWR | HK_O_TRUNC, 0600,
                                 &entry, &open),
                     0);
    assert_string_equal(get_file("share/f"), "");
}

static HK_UNUSED void row116_appended_bytes_go_to_the_end(void **state)
{
    put_file("share/f", "12345");
    uint64_t f = look(1, "f"), fh = open_node(f, HK_O_WRONLY | HK_O_APPEND);
    const struct hk_fuse_write_in back = {.fh = fh,
                                          .offset = 1,
                                          .size = 1,
                                          .write_flags = HK_FUSE_WRITE_CACHE,
                                          .flags = HK_O_WRONLY | HK_O_APPEND};

    assert_int_equal(
        fuse_write(&rig.c, f, fh, 0, "6", 1, HK_O_WRONLY | HK_O_APPEND), 1);
    assert_string_equal(get_file("share/f"), "123456");
    /* A page written back through the same handle keeps its place. */
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_WRITE, f, &back, sizeof(back),
                               "x", 1, NULL, 0),
                     8);
    assert_string_equal(get_file("share/f"), "1x3456");
}

static HK_UNUSED void row127_a_megabyte_moves_in_one_request(void **state)
{
    enum { SIZE = 1 << 20 };
    uint8_t *bytes = malloc(SIZE), *got = malloc(SIZE);
    uint64_t fh, f = new_file(1, "f", 0644, NULL, &fh);

    for (uint32_t i = 0; i < SIZE; i++)
        bytes[i] = pattern(i);
    assert_int_equal(fuse_write(&rig.c, f, fh, 3, bytes, SIZE, 2), SIZE);
    assert_int_equal(host_stat("share/f").st_size, SIZE + 3);
    assert_int_equal(fuse_read(&rig.c, f, fh, 3, got, SIZE), SIZE);
    assert_memory_equal(bytes, got, SIZE);
    free(bytes);
    free(got);
}

/* ------------------------------------------------------------------ */
/* Names                                                              */

static HK_UNUSED void row117_make_and_remove(void **state)
{
    struct hk_fuse_entry_out out;

    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0751, &out), 0);
    assert_int_equal(out.attr.mode, S_IFDIR | 0751);
    assert_true(S_ISDIR(host_stat("share/d").st_mode));
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0755, &out), -HK_EEXIST);
    new_file(look(1, "d"), "f", 0644, "x", NULL);
    assert_int_equal(fuse_rmdir(&rig.c, 1, "d"), -HK_ENOTEMPTY);
    assert_int_equal(fuse_unlink(&rig.c, 1, "d"), -HK_EISDIR);
    assert_int_equal(fuse_rmdir(&rig.c, look(1, "d"), "f"), -HK_ENOTDIR);
    assert_int_equal(fuse_unlink(&rig.c, look(1, "d"), "f"), 0);
    assert_false(host_has("share/d/f"));
    assert_int_equal(fuse_rmdir(&rig.c, 1, "d"), 0);
    assert_false(host_has("share/d"));
    assert_int_equal(fuse_rmdir(&rig.c, 1, "d"), -HK_ENOENT);
    assert_int_equal(fuse_unlink(&rig.c, 1, "d"), -HK_ENOENT);
}

static HK_UNUSED void row117_an_open_file_outlives_its_name(void **state)
{
    char text[16] = {0};
    uint64_t fh, f = new_file(1, "f", 0644, "alive", &fh);

    assert_int_equal(fuse_unlink(&rig.c, 1, "f"), 0);
    assert_int_equal(fuse_read(&rig.c, f, fh, 0, text, 10), 5);
    assert_string_equal(text, "alive");
    assert_int_equal(attr_of(f).nlink, 0);
    assert_int_equal(fuse_chmod(&rig.c, f, 0600), 0);
    assert_int_equal(fuse_truncate(&rig.c, f, 2), 0);
    assert_int_equal(attr_of(f).size, 2);
}

static HK_UNUSED void row118_rename_within_and_across(void **state)
{
    struct hk_fuse_entry_out out;
    uint64_t a = new_file(1, "a", 0644, "a", NULL);
    uint64_t b = new_file(1, "b", 0644, "b", NULL);

    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0755, &out), 0);
    uint64_t d = out.nodeid;
    assert_int_equal(fuse_rename(&rig.c, 1, "a", 1, "c", 0), 0);
    assert_int_equal(look(1, "c"), a);
    assert_int_equal(fuse_rename(&rig.c, 1, "c", d, "a", 0), 0);
    assert_string_equal(get_file("share/d/a"), "a");
    assert_int_equal(fuse_rename(&rig.c, 1, "b", d, "a", 1), -HK_EEXIST);
    assert_int_equal(fuse_rename(&rig.c, 1, "b", d, "a", 2), 0);
    assert_string_equal(get_file("share/b"), "a");
    assert_int_equal(look(d, "a"), b);
    assert_int_equal(fuse_rename(&rig.c, 1, "b", d, "a", 0), 0);
    assert_string_equal(get_file("share/d/a"), "a");
    assert_string_equal(text_of(b), "b"); /* replaced, not gone */
    assert_int_equal(fuse_rename(&rig.c, 1, "x", 1, "y", 0), -HK_ENOENT);
    assert_int_equal(fuse_rename(&rig.c, 1, "d", d, "d", 0), -HK_EINVAL);
    assert_int_equal(fuse_rename(&rig.c, 1, "d", 1, "d2", 8), -HK_EINVAL);
    assert_int_equal(fuse_rename(&rig.c, 1, "d", 1, "d2", 3), -HK_EINVAL);
}

static HK_UNUSED void row119_size_and_times_are_set(void **state)
{
    struct hk_fuse_setattr_in in = {
        .valid = HK_FATTR_MTIME | HK_FATTR_ATIME,
        .mtime = 1234567890,
        .mtimensec = 987654321,
        .atime = 1111111111,
    };
    struct hk_fuse_attr out;
    uint64_t fh, f = new_file(1, "f", 0644, "12345", &fh);

    assert_int_equal(fuse_truncate(&rig.c, f, 2), 0);
    assert_string_equal(get_file("share/f"), "12");
    assert_int_equal(fuse_truncate(&rig.c, f, 100), 0);
    assert_int_equal(host_stat("share/f").st_size, 100);
    assert_int_equal(fuse_setattr(&rig.c, f, &in, &out), 0);
    assert_int_equal(out.mtime, 1234567890);
    assert_int_equal(host_stat("share/f").st_mtim.tv_nsec, 987654321);
    assert_int_equal(host_stat("share/f").st_atim.tv_sec, 1111111111);
    in = (struct hk_fuse_setattr_in){.valid =
                                         HK_FATTR_MTIME | HK_FATTR_MTIME_NOW};
    assert_int_equal(fuse_setattr(&rig.c, f, &in, &out), 0);
    assert_true(out.mtime > 1234567890);
    assert_int_equal(out.atime, 1111111111);
    in = (struct hk_fuse_setattr_in){
        .valid = HK_FATTR_SIZE | HK_FATTR_FH, .size = 7, .fh = fh};
    assert_int_equal(fuse_setattr(&rig.c, f, &in, &out), 0);
    assert_int_equal(out.size, 7);
    in.size = ~0ull;
    assert_int_equal(fuse_setattr(&rig.c, f, &in, &out), -HK_EFBIG);
}

static HK_UNUSED void row119_mode_and_owner_are_seen_again(void **state)
{
    uint64_t f = new_file(1, "f", 0640, "x", NULL);

    assert_int_equal(attr_of(f).mode, S_IFREG | 0640);
    assert_int_equal(fuse_chmod(&rig.c, f, 0), 0);
    assert_int_equal(attr_of(f).mode, S_IFREG);
    assert_int_equal(fuse_chown(&rig.c, f, 1234, 4321), 0);
    assert_int_equal(attr_of(f).uid, 1234);
    assert_int_equal(attr_of(f).gid, 4321);
    assert_int_equal(fuse_chmod(&rig.c, f, 06755), 0);
    assert_int_equal(attr_of(f).mode, S_IFREG | 06755);
    /* A new owner does not inherit set-id bits. */
    assert_int_equal(fuse_chown(&rig.c, f, 0, 0), 0);
    assert_int_equal(attr_of(f).mode, S_IFREG | 0755);
    assert_string_equal(text_of(f), "x");
    rig_again(); /* nothing of it was only in our memory */
    assert_int_equal(attr_of(look(1, "f")).mode, S_IFREG | 0755);
}

static HK_UNUSED void row119_a_write_by_a_user_drops_set_id(void **state)
{
    uint64_t fh, f = new_file(1, "f", 0755, "x", &fh);
    struct hk_fuse_write_in in = {
        .fh = fh, .size = 1, .write_flags = HK_FUSE_WRITE_KILL_SUIDGID};

    assert_int_equal(fuse_chmod(&rig.c, f, 06755), 0);
    assert_int_equal(
        fuse_call(&rig.c, HK_FUSE_WRITE, f, &in, sizeof(in), "y", 1, NULL, 0),
        8);
    assert_int_equal(attr_of(f).mode, S_IFREG | 0755);
}

static HK_UNUSED void row116_the_mode_of_new_things_is_the_guests(void **state)
{
    mode_t old = umask(077);
    struct hk_fuse_entry_out out;

    rig_again();
    new_file(1, "f", 0666, "x", NULL);
    assert_int_equal(attr_of(look(1, "f")).mode, S_IFREG | 0666);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 01777, &out), 0);
    assert_int_equal(out.attr.mode, S_IFDIR | 01777);
    umask(old);
}

static HK_UNUSED void groups_of_directories_are_inherited(void **state)
{
    struct hk_fuse_entry_out out;

    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0755, &out), 0);
    uint64_t d = out.nodeid;
    assert_int_equal(fuse_chown(&rig.c, d, 0, 777), 0);
    assert_int_equal(fuse_chmod(&rig.c, d, 02775), 0);
    rig.c.uid = 1000;
    rig.c.gid = 1000;
    uint64_t f = new_file(d, "f", 0644, "x", NULL);
    assert_int_equal(attr_of(f).uid, 1000);
    assert_int_equal(attr_of(f).gid, 777);
    assert_int_equal(fuse_mkdir(&rig.c, d, "e", 0755, &out), 0);
    assert_int_equal(out.attr.gid, 777);
    assert_int_equal(out.attr.mode, S_IFDIR | 02755);
    assert_int_equal(fuse_symlink(&rig.c, d, "l", "x", &out), 0);
    f = new_file(1, "g", 0644, "x", NULL);
    assert_int_equal(attr_of(f).gid, 1000);
}

static HK_UNUSED void row120_flush_and_sync_succeed(void **state)
{
    uint64_t fh, dir, f = new_file(1, "f", 0644, "x", &fh);
    const struct hk_fuse_flush_in flush = {.fh = fh};

    assert_int_equal(fuse_call(&rig.c, HK_FUSE_FLUSH, f, &flush, sizeof(flush),
                               NULL, 0, NULL, 0),
                     0);
    assert_int_equal(fuse_fsync(&rig.c, HK_FUSE_FSYNC, f, fh, false), 0);
    assert_int_equal(fuse_fsync(&rig.c, HK_FUSE_FSYNC, f, fh, true), 0);
    assert_int_equal(fuse_fsync(&rig.c, HK_FUSE_FSYNC, f, fh + 9, true),
                     -HK_EBADF);
    assert_int_equal(fuse_opendir(&rig.c, 1, &dir), 0);
    assert_int_equal(fuse_fsync(&rig.c, HK_FUSE_FSYNCDIR, 1, dir, false), 0);
    assert_int_equal(fuse_fsync(&rig.c, HK_FUSE_FSYNCDIR, 1, dir, true), 0);
    assert_int_equal(fuse_fsync(&rig.c, HK_FUSE_FSYNCDIR, 1, fh, true),
                     -HK_EBADF);
}

static HK_UNUSED void row121_seek_answers(void **state)
{
    uint64_t fh, f = new_file(1, "f", 0644, "data", &fh);

    assert_int_equal(fuse_truncate(&rig.c, f, 1 << 20), 0);
    assert_int_equal(fuse_lseek(&rig.c, f, fh, 10, 0), 10);
    assert_int_equal(fuse_lseek(&rig.c, f, fh, 0, 2), 1 << 20);
    assert_int_equal(fuse_lseek(&rig.c, f, fh, 0, 3), 0);
    int64_t hole = fuse_lseek(&rig.c, f, fh, 0, 4);
    assert_in_range(hole, 4, 1 << 20);
    assert_int_equal(fuse_lseek(&rig.c, f, fh, 1 << 20, 3), -HK_ENXIO);
    assert_int_equal(fuse_lseek(&rig.c, f, fh, 0, 5), -HK_EINVAL);
    assert_int_equal(fuse_lseek(&rig.c, f, fh, ~0ull, 0), -HK_EINVAL);
}

static HK_UNUSED void row122_fallocate_grows_and_punches(void **state)
{
    char text[5000] = {0};
    uint64_t fh, f = new_file(1, "f", 0644, "data", &fh);
    int rc = fuse_fallocate(&rig.c, f, fh, 0, 0, 10000);

    if (rc == -HK_ENOTSUP)
        hk_skip("the file system of %s has no fallocate", rig.top);
    assert_int_equal(rc, 0);
    assert_int_equal(host_stat("share/f").st_size, 10000);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 0, 0, 100), 0);
    assert_int_equal(host_stat("share/f").st_size, 10000);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 1, 0, 20000), 0);
    assert_int_equal(host_stat("share/f").st_size, 10000);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 3, 0, 4096), 0);
    assert_int_equal(fuse_read(&rig.c, f, fh, 0, text, 4), 4);
    assert_int_equal(text[0], 0);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 2, 0, 100), -HK_ENOTSUP);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 8, 0, 4096), -HK_ENOTSUP);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 0, 0, 0), -HK_EINVAL);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 0, 1, ~0ull >> 1),
                     -HK_EFBIG);
}

static HK_UNUSED void row123_links_round_trip(void **state)
{
    struct hk_fuse_entry_out out;
    char target[4200], text[4200];

    memset(target, 't', sizeof(target));
    target[4095] = '\0';
    assert_int_equal(fuse_symlink(&rig.c, 1, "long", target, &out), 0);
    assert_int_equal(fuse_readlink(&rig.c, out.nodeid, text, sizeof(text)),
                     4095);
    assert_string_equal(text, target);
    target[4095] = 't';
    target[4096] = '\0';
    assert_int_equal(fuse_symlink(&rig.c, 1, "longer", target, &out),
                     -HK_ENAMETOOLONG);
    assert_int_equal(fuse_symlink(&rig.c, 1, "l", "../a b/\xff", &out), 0);
    assert_int_equal(out.attr.mode, S_IFLNK | 0777);
    assert_int_equal(fuse_readlink(&rig.c, out.nodeid, text, sizeof(text)), 8);
    assert_string_equal(text, "../a b/\xff");
    assert_int_equal(fuse_readlink(&rig.c, 1, text, sizeof(text)), -HK_EINVAL);
    assert_int_equal(fuse_symlink(&rig.c, 1, "e", "", &out), -HK_ENOENT);
    assert_int_equal(fuse_chown(&rig.c, look(1, "l"), 5, 5), 0);
}

static HK_UNUSED void row124_access_follows_the_mode(void **state)
{
    uint64_t f = new_file(1, "f", 0640, "x", NULL);

    assert_int_equal(fuse_chown(&rig.c, f, 100, 200), 0);
    assert_int_equal(fuse_access(&rig.c, f, 6), 0); /* root may */
    assert_int_equal(fuse_access(&rig.c, f, 1), -HK_EACCES);
    rig.c.uid = 100;
    rig.c.gid = 1;
    assert_int_equal(fuse_access(&rig.c, f, 0), 0);
    assert_int_equal(fuse_access(&rig.c, f, 6), 0);
    assert_int_equal(fuse_access(&rig.c, f, 1), -HK_EACCES);
    rig.c.uid = 101;
    rig.c.gid = 200;
    assert_int_equal(fuse_access(&rig.c, f, 4), 0);
    assert_int_equal(fuse_access(&rig.c, f, 2), -HK_EACCES);
    rig.c.gid = 201;
    assert_int_equal(fuse_access(&rig.c, f, 4), -HK_EACCES);
    assert_int_equal(fuse_access(&rig.c, f, 8), -HK_EINVAL);
}

/* ------------------------------------------------------------------ */
/* What Windows lacks                                                 */

static HK_UNUSED void row125_hard_links_are_one_file(void **state)
{
    struct hk_fuse_entry_out out;
    uint64_t f = new_file(1, "f", 0644, "x", NULL);

    assert_int_equal(fuse_link(&rig.c, f, 1, "g", &out), 0);
    assert_int_equal(out.nodeid, f);
    assert_int_equal(out.attr.nlink, 2);
    assert_int_equal(host_stat("share/g").st_ino, host_stat("share/f").st_ino);
    assert_int_equal(fuse_link(&rig.c, f, 1, "g", &out), -HK_EEXIST);
    assert_int_equal(fuse_unlink(&rig.c, 1, "f"), 0);
    assert_string_equal(text_of(look(1, "g")), "x");
}

static HK_UNUSED void row125_special_files_are_what_the_guest_made(void **state)
{
    static const struct {
        const char *name;
        uint32_t mode;
        uint32_t rdev;
    } made[] = {{"char", S_IFCHR | 0666, 0x103},
                {"block", S_IFBLK | 0660, 0x800},
                {"fifo", S_IFIFO | 0600, 0},
                {"socket", S_IFSOCK | 0755, 0},
                {"plain", S_IFREG | 0640, 0}};
    struct hk_fuse_entry_out out;
    struct hk_fuse_attr attr;

    for (size_t i = 0; i < HK_COUNT(made); i++) {
        int rc = fuse_mknod(&rig.c, 1, made[i].name, made[i].mode, made[i].rdev,
                            &out);

        if (rc == -HK_EPERM)
            hk_skip("no extended attributes in %s", rig.top);
        assert_int_equal(rc, 0);
        assert_int_equal(out.attr.mode, made[i].mode);
        assert_int_equal(out.attr.rdev, made[i].rdev);
    }
    assert_true(S_ISREG(host_stat("share/char").st_mode));
    assert_true(S_ISREG(host_stat("share/block").st_mode));
    rig_again();
    for (size_t i = 0; i < HK_COUNT(made); i++) {
        attr = attr_of(look(1, made[i].name));
        assert_int_equal(attr.mode, made[i].mode);
        assert_int_equal(attr.rdev, made[i].rdev);
    }
    assert_int_equal(fuse_chmod(&rig.c, look(1, "char"), 0600), 0);
    assert_int_equal(attr_of(look(1, "char")).mode, S_IFCHR | 0600);
    assert_int_equal(fuse_mknod(&rig.c, 1, "d", S_IFDIR | 0755, 0, &out),
                     -HK_EINVAL);
    assert_int_equal(fuse_mknod(&rig.c, 1, "d", S_IFLNK | 0755, 0, &out),
                     -HK_EINVAL);
    assert_int_equal(fuse_mknod(&rig.c, 1, "d", 0170000, 0, &out), -HK_EINVAL);
}

static HK_UNUSED void row125_copies_are_made_on_the_host(void **state)
{
    struct hk_fuse_copy_in in = {.len = 4, .off_in = 1, .off_out = 2};
    uint64_t a = new_file(1, "a", 0644, "abcdef", &in.fh_in);

    in.nodeid_out = new_file(1, "b", 0644, "123456", &in.fh_out);
    int rc = fuse_copy(&rig.c, &in, a);
    if (rc == -HK_ENOSYS || rc == -HK_ENOTSUP)
        hk_skip("no copy_file_range on this host");
    assert_int_equal(rc, 4);
    assert_string_equal(get_file("share/b"), "12bcde");
    in.flags = 1;
    assert_int_equal(fuse_copy(&rig.c, &in, a), -HK_EINVAL);
    in.flags = 0;
    in.off_in = ~0ull - 1;
    assert_int_equal(fuse_copy(&rig.c, &in, a), -HK_EINVAL);
}

static bool no_xattrs(uint64_t node)
{
    return fuse_setxattr(&rig.c, node, "user.probe", "x", 1, 0) == -HK_ENOTSUP;
}

static HK_UNUSED void row125_extended_attributes(void **state)
{
    char text[64] = {0};
    uint64_t f = new_file(1, "f", 0644, "x", NULL);

    if (no_xattrs(f))
        hk_skip("no extended attributes in %s", rig.top);
    assert_int_equal(fuse_removexattr(&rig.c, f, "user.probe"), 0);
    assert_int_equal(fuse_setxattr(&rig.c, f, "user.a", "value", 5, 0), 0);
    assert_int_equal(fuse_getxattr(&rig.c, f, "user.a", NULL, 0), 5);
    assert_int_equal(fuse_getxattr(&rig.c, f, "user.a", text, 64), 5);
    assert_string_equal(text, "value");
    assert_int_equal(fuse_getxattr(&rig.c, f, "user.a", text, 2), -HK_ERANGE);
    assert_int_equal(fuse_setxattr(&rig.c, f, "user.a", "b", 1, 1), -HK_EEXIST);
    assert_int_equal(fuse_setxattr(&rig.c, f, "user.b", "b", 1, 2),
                     -HK_ENODATA);
    assert_int_equal(fuse_listxattr(&rig.c, f, NULL, 0), 7);
    assert_int_equal(fuse_listxattr(&rig.c, f, text, 64), 7);
    assert_string_equal(text, "user.a");
    assert_int_equal(fuse_listxattr(&rig.c, f, text, 3), -HK_ERANGE);
    assert_int_equal(fuse_removexattr(&rig.c, f, "user.a"), 0);
    assert_int_equal(fuse_getxattr(&rig.c, f, "user.a", text, 64), -HK_ENODATA);
}

static HK_UNUSED void long_attributes_are_refused(void **state)
{
    struct hk_fuse_setxattr_in in = {.size = 65537};
    char name[300];
    uint64_t f = new_file(1, "f", 0644, "x", NULL);

    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[256] = '\0';
    assert_int_equal(fuse_setxattr(&rig.c, f, name, "x", 1, 0), -HK_ERANGE);
    assert_int_equal(fuse_getxattr(&rig.c, f, name, name, 10), -HK_ERANGE);
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_SETXATTR, f, &in, sizeof(in),
                               "user.a\0xyz", 10, NULL, 0),
                     -HK_E2BIG);
    in.size = 60000; /* and three are there */
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_SETXATTR, f, &in, sizeof(in),
                               "user.a\0xyz", 10, NULL, 0),
                     -HK_EINVAL);
    in.size = 1;
    in.flags = 4;
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_SETXATTR, f, &in, sizeof(in),
                               "user.a\0x", 8, NULL, 0),
                     -HK_EINVAL);
    assert_int_equal(fuse_setxattr(&rig.c, f, "", "x", 1, 0), -HK_EINVAL);
}

static HK_UNUSED void our_own_records_are_hidden(void **state)
{
    static const char name[] = HK_FS_OVERRIDE_XATTR;
    char text[256];
    uint64_t f = new_file(1, "f", 0644, "x", NULL);

    if (no_xattrs(f))
        hk_skip("no extended attributes in %s", rig.top);
    assert_int_equal(fuse_chown(&rig.c, f, 77, 88), 0);
    assert_int_equal(fuse_getxattr(&rig.c, f, name, text, 64), -HK_ENODATA);
    assert_int_equal(fuse_setxattr(&rig.c, f, name, "0:0:0777", 8, 0),
                     -HK_EPERM);
    assert_int_equal(fuse_removexattr(&rig.c, f, name), -HK_ENODATA);
    int len = fuse_listxattr(&rig.c, f, text, sizeof(text));
    assert_true(len >= 0);
    assert_null(memmem(text, (size_t)len, name, sizeof(name)));
    assert_int_equal(attr_of(f).uid, 77);
    assert_int_equal(fuse_setxattr(&rig.c, f, "security.selinux", "x", 1, 0),
                     -HK_ENOTSUP);
    assert_int_equal(
        fuse_getxattr(&rig.c, f, "system.posix_acl_access", text, 64),
        -HK_ENOTSUP);
}

/* ------------------------------------------------------------------ */
/* Read-only shares                                                   */

static void stop_changing(void)
{
    rig.root.read_only = true;
    rig_again();
}

static HK_UNUSED void a_read_only_share_refuses_every_change(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    struct hk_fuse_copy_in copy = {.len = 1};

    put_file("share/f", "kept");
    put_file("share/g", "kept");
    assert_int_equal(mkdir(at("share/d"), 0755), 0);
    stop_changing();
    struct stat before = host_stat("share/f"), dir = host_stat("share");
    uint64_t f = look(1, "f"), fh = open_node(f, 0);
    copy.fh_in = copy.fh_out = fh;
    copy.nodeid_out = f;
    const struct hk_fuse_setattr_in touch = {.valid = HK_FATTR_ATIME |
                                                      HK_FATTR_ATIME_NOW};

    assert_int_equal(fuse_open(&rig.c, f, HK_O_WRONLY, &open), -HK_EROFS);
    assert_int_equal(fuse_open(&rig.c, f, HK_O_RDWR, &open), -HK_EROFS);
    assert_int_equal(fuse_open(&rig.c, f, HK_O_TRUNC, &open), -HK_EROFS);
    assert_int_equal(fuse_write(&rig.c, f, fh, 0, "x", 1, 0), -HK_EROFS);
    assert_int_equal(fuse_create(&rig.c, 1, "n", 2, 0644, &out, &open),
                     -HK_EROFS);
    assert_int_equal(fuse_truncate(&rig.c, f, 0), -HK_EROFS);
    assert_int_equal(fuse_chmod(&rig.c, f, 0600), -HK_EROFS);
    assert_int_equal(fuse_chown(&rig.c, f, 1, 1), -HK_EROFS);
    assert_int_equal(fuse_setattr(&rig.c, f, &touch, NULL), -HK_EROFS);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "n", 0755, &out), -HK_EROFS);
    assert_int_equal(fuse_mknod(&rig.c, 1, "n", S_IFREG, 0, &out), -HK_EROFS);
    assert_int_equal(fuse_symlink(&rig.c, 1, "n", "x", &out), -HK_EROFS);
    assert_int_equal(fuse_link(&rig.c, f, 1, "n", &out), -HK_EROFS);
    assert_int_equal(fuse_unlink(&rig.c, 1, "f"), -HK_EROFS);
    assert_int_equal(fuse_rmdir(&rig.c, 1, "d"), -HK_EROFS);
    assert_int_equal(fuse_rename(&rig.c, 1, "f", 1, "n", 0), -HK_EROFS);
    assert_int_equal(fuse_rename(&rig.c, 1, "f", 1, "g", 2), -HK_EROFS);
    assert_int_equal(fuse_setxattr(&rig.c, f, "user.x", "y", 1, 0), -HK_EROFS);
    assert_int_equal(fuse_removexattr(&rig.c, f, "user.x"), -HK_EROFS);
    assert_int_equal(fuse_fallocate(&rig.c, f, fh, 0, 0, 10), -HK_EROFS);
    assert_int_equal(fuse_copy(&rig.c, &copy, f), -HK_EROFS);
    assert_int_equal(fuse_access(&rig.c, f, 2), -HK_EROFS);

    struct stat after = host_stat("share/f"), dir_after = host_stat("share");
    assert_memory_equal(&before, &after, sizeof(before));
    assert_memory_equal(&dir.st_mtim, &dir_after.st_mtim, sizeof(dir.st_mtim));
    assert_string_equal(get_file("share/f"), "kept");
}

static HK_UNUSED void a_read_only_share_is_read_without_a_trace(void **state)
{
    const struct timespec old[2] = {{1000, 0}, {2000, 0}};

    put_file("share/f", "text");
    assert_int_equal(utimensat(AT_FDCWD, at("share/f"), old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, at("share"), old, 0), 0);
    stop_changing();
    assert_string_equal(text_of(look(1, "f")), "text");
    char *names = fuse_list(&rig.c, 1, 4096, true);
    assert_string_equal(names, ". .. f");
    free(names);
    assert_int_equal(host_stat("share/f").st_atim.tv_sec, 1000);
    assert_int_equal(host_stat("share").st_atim.tv_sec, 1000);
}

/* ------------------------------------------------------------------ */
/* A hostile guest                                                    */

static HK_UNUSED void hostile_names_reach_nothing(void **state)
{
    static const char *const names[] = {
        "..",          "../outside",   "../outside/secret", "/",
        "/etc/passwd", "./../outside", "d/../../outside",   ".",
        "d/",
    };
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;

    assert_int_equal(mkdir(at("share/d"), 0755), 0);
    put_file("share/f", "x");
    uint64_t dirs[] = {1, look(1, "d")}, f = look(1, "f");
    for (size_t d = 0; d < 2; d++) {
        for (size_t i = 0; i < HK_COUNT(names); i++) {
            const char *n = names[i];

            assert_true(fuse_lookup(&rig.c, dirs[d], n, &out) < 0);
            assert_true(fuse_create(&rig.c, dirs[d], n, 2, 0644, &out, &open) <
                        0);
            assert_true(fuse_mkdir(&rig.c, dirs[d], n, 0755, &out) < 0);
            assert_true(fuse_symlink(&rig.c, dirs[d], n, "x", &out) < 0);
            assert_true(fuse_mknod(&rig.c, dirs[d], n, S_IFREG, 0, &out) < 0);
            assert_true(fuse_link(&rig.c, f, dirs[d], n, &out) < 0);
            assert_true(fuse_unlink(&rig.c, dirs[d], n) < 0);
            assert_true(fuse_rmdir(&rig.c, dirs[d], n) < 0);
            assert_true(fuse_rename(&rig.c, 1, "f", dirs[d], n, 0) < 0);
            assert_true(fuse_rename(&rig.c, dirs[d], n, 1, "n", 0) < 0);
            no_secret();
        }
    }
    assert_string_equal(get_file("outside/secret"), SECRET);
}

static HK_UNUSED void links_to_the_outside_are_only_text(void **state)
{
    static const char *const links[] = {"rel", "abs", "dir", "proc"};
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    char text[256];
    uint64_t fh;

    assert_int_equal(symlink("../outside/secret", at("share/rel")), 0);
    assert_int_equal(symlink(at("outside/secret"), at("share/abs")), 0);
    assert_int_equal(symlink("../outside", at("share/dir")), 0);
    assert_int_equal(symlink("/proc/self/root", at("share/proc")), 0);
    for (size_t i = 0; i < HK_COUNT(links); i++) {
        uint64_t l = look(1, links[i]);

        assert_int_equal(attr_of(l).mode & S_IFMT, S_IFLNK);
        assert_int_equal(fuse_open(&rig.c, l, 0, &open), -HK_ENXIO);
        assert_int_equal(fuse_opendir(&rig.c, l, &fh), -HK_ENOTDIR);
        assert_int_equal(fuse_lookup(&rig.c, l, "secret", &out), -HK_ENOTDIR);
        assert_int_equal(fuse_mkdir(&rig.c, l, "x", 0755, &out), -HK_ENOTDIR);
        assert_int_equal(fuse_unlink(&rig.c, l, "secret"), -HK_ENOTDIR);
        assert_int_equal(fuse_truncate(&rig.c, l, 0), -HK_EINVAL);
        assert_true(fuse_setxattr(&rig.c, l, "user.x", "y", 1, 0) < 0);
        assert_true(fuse_getxattr(&rig.c, l, "user.x", text, 64) < 0);
        assert_true(fuse_chmod(&rig.c, l, 0777) < 0);
        assert_int_equal(fuse_chown(&rig.c, l, 12, 12), 0);
        assert_true(fuse_readlink(&rig.c, l, text, sizeof(text)) > 0);
        assert_int_equal(fuse_create(&rig.c, 1, links[i], 2, 0644, &out, &open),
                         -HK_ENXIO);
        no_secret();
    }
    assert_string_equal(get_file("outside/secret"), SECRET);
    assert_int_not_equal(host_stat("outside/secret").st_uid, 12);
    assert_int_equal(host_stat("outside/secret").st_mode & 07777,
                     host_stat("outside/secret").st_mode & 0644);
}

static HK_UNUSED void special_files_of_the_host_are_not_opened(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct hk_fuse_open_out open;
    struct hk_fuse_entry_out out;
    static const char *const names[] = {"fifo", "socket", "device"};

    assert_int_equal(mkfifo(at("share/fifo"), 0666), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at("share/socket"));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    bool device = mknod(at("share/device"), S_IFCHR | 0666, makedev(1, 3)) == 0;
    for (size_t i = 0; i < (device ? 3 : 2); i++) {
        uint64_t n = look(1, names[i]);

        for (uint32_t flags = 0; flags < 3; flags++)
            assert_int_equal(fuse_open(&rig.c, n, flags, &open), -HK_ENXIO);
        assert_int_equal(fuse_create(&rig.c, 1, names[i], 2, 0644, &out, &open),
                         -HK_ENXIO);
        assert_int_equal(fuse_truncate(&rig.c, n, 0), -HK_EINVAL);
    }
    close(fd);
}

static HK_UNUSED void a_proc_file_system_is_not_read(void **state)
{
    const struct hk_fs_root_config config = {.path = "/proc/self"};
    const struct hk_fuse_config fuse_config = {0};
    struct hk_fuse_open_out open;
    struct hk_fs_root *root;
    struct hk_fuse *fuse;
    struct fuse_client c;

    assert_int_equal(hk_fs_root_open(&config, &root, NULL), 0);
    assert_int_equal(hk_fuse_create(root, &fuse_config, &fuse), 0);
    fuse_client_direct(&c, fuse);
    fuse_init(&c);
    assert_int_equal(fuse_open(&c, fuse_walk(&c, "mem"), 2, &open), -HK_EACCES);
    assert_int_equal(fuse_open(&c, fuse_walk(&c, "status"), 0, &open),
                     -HK_EACCES);
    assert_int_equal(fuse_open(&c, fuse_walk(&c, "root"), 0, &open), -HK_ENXIO);
    fuse_client_fini(&c);
    hk_fuse_destroy(fuse);
}

static atomic_bool mover_stop;

static void *mover(void *opaque)
{
    (void)opaque;
    while (!atomic_load(&mover_stop)) {
        (void)rename(at("share/moving"), at("outside/moved"));
        (void)rename(at("outside/moved"), at("share/moving"));
        (void)unlink(at("share/swap"));
        (void)symlink("../outside/secret", at("share/swap"));
        (void)unlink(at("share/swap"));
        put_file("share/swap", "harmless");
    }
    return NULL;
}

/* What is found while the host moves things about is never the secret. */
static HK_UNUSED void races_with_the_host_yield_nothing(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    char text[64];
    pthread_t thread;

    assert_int_equal(mkdir(at("share/moving"), 0755), 0);
    assert_int_equal(mkdir(at("share/moving/sub"), 0755), 0);
    put_file("share/moving/sub/file", "harmless");
    atomic_store(&mover_stop, false);
    assert_int_equal(pthread_create(&thread, NULL, mover, NULL), 0);
    for (int i = 0; i < 300; i++) {
        if (fuse_lookup(&rig.c, 1, "moving", &out) == 0) {
            uint64_t m = out.nodeid;

            assert_true(fuse_lookup(&rig.c, m, "..", &out) < 0);
            assert_true(fuse_lookup(&rig.c, m, "secret", &out) < 0);
            if (fuse_lookup(&rig.c, m, "sub", &out) == 0)
                assert_true(fuse_lookup(&rig.c, out.nodeid, "..", &out) < 0);
            no_secret();
        }
        if (fuse_create(&rig.c, 1, "swap", HK_O_RDWR, 0644, &out, &open) == 0) {
            (void)fuse_read(&rig.c, out.nodeid, open.fh, 0, text, 64);
            no_secret();
            (void)fuse_write(&rig.c, out.nodeid, open.fh, 0, "x", 1, 2);
            (void)fuse_release(&rig.c, out.nodeid, open.fh);
        }
        if (fuse_lookup(&rig.c, 1, "swap", &out) == 0 &&
            fuse_open(&rig.c, out.nodeid, 0, &open) == 0) {
            (void)fuse_read(&rig.c, out.nodeid, open.fh, 0, text, 64);
            no_secret();
            (void)fuse_release(&rig.c, out.nodeid, open.fh);
        }
    }
    atomic_store(&mover_stop, true);
    pthread_join(thread, NULL);
    assert_string_equal(get_file("outside/secret"), SECRET);
}

static HK_UNUSED void truncated_messages_are_refused(void **state)
{
    uint8_t message[200] = {0};
    struct hk_fuse_in_header head = {.nodeid = 1};

    put_file("share/f", "x");
    for (uint32_t op = 0; op < 56; op++) {
        if (op == HK_FUSE_DESTROY || op == HK_FUSE_INIT)
            continue;
        for (uint32_t len = 40; len < 140; len += 3) {
            head.opcode = op;
            head.len = len;
            memcpy(message, &head, sizeof(head));
            fuse_send(&rig.c, message, len); /* shorter than it should be */
            no_secret();
            head.len = len + 50; /* says more than it has */
            memcpy(message, &head, sizeof(head));
            uint32_t got = fuse_send(&rig.c, message, len);
            assert_true(got == 0 || got == 16);
        }
    }
    assert_string_equal(text_of(look(1, "f")), "x");
}

/* ------------------------------------------------------------------ */
/* Few descriptors                                                    */

static HK_UNUSED void a_large_tree_needs_few_descriptors(void **state)
{
    enum { DIRS = 20, FILES = 100 };
    struct rlimit old, low;
    char name[64];
    uint64_t dirs[DIRS];
    struct hk_fuse_entry_out out;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 128;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    rig_again();
    for (int d = 0; d < DIRS; d++) {
        snprintf(name, sizeof(name), "d%d", d);
        assert_int_equal(fuse_mkdir(&rig.c, 1, name, 0755, &out), 0);
        dirs[d] = out.nodeid;
        for (int f = 0; f < FILES; f++) {
            snprintf(name, sizeof(name), "f%d", f);
            new_file(dirs[d], name, 0644, name, NULL);
        }
    }
    assert_int_equal(hk_fuse_counts(rig.server).nodes, 1 + DIRS * (FILES + 1));
    assert_true(hk_fuse_counts(rig.server).loaded <= 64);
    for (int f = 0; f < FILES; f += 7) {
        for (int d = DIRS; d-- > 0;) {
            snprintf(name, sizeof(name), "f%d", f);
            assert_string_equal(text_of(look(dirs[d], name)), name);
        }
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static HK_UNUSED void row128_the_host_layer_is_complete(void **state)
{
    const struct hk_fs_root_config config = {.path = at("share")};
    struct hk_fs_root *root;

    assert_int_equal(hk_fs_root_open(&config, &root, NULL), 0);
    const void *const *op = (const void *const *)(const void *)root->ops;
    for (size_t i = 0; i < sizeof(*root->ops) / sizeof(*op); i++)
        assert_non_null(op[i]);
    hk_fs_root_close(root);
}

static HK_UNUSED void row126_errors_are_linux_numbers(void **state)
{
    struct hk_fuse_entry_out out;
    char name[256];

    memset(name, 'x', 255);
    name[255] = '\0';
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0755, &out), 0);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0755, &out), -17);
    assert_int_equal(fuse_lookup(&rig.c, 1, "x", &out), -2);
    new_file(look(1, "d"), "f", 0644, NULL, NULL);
    assert_int_equal(fuse_rmdir(&rig.c, 1, "d"), -39);
    assert_int_equal(fuse_rename(&rig.c, 1, "d", look(1, "d"), "e", 0), -22);
    assert_int_equal(fuse_mkdir(&rig.c, 1, name, 0755, &out), 0);
}

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

#define COMMON_CASES                                                         \
    CASE(row108_the_device_has_a_tag_and_two_queues),                        \
        CASE(row108_a_tag_has_1_to_36_bytes),                                \
        CASE(row108_a_missing_directory_is_named),                           \
        CASE(forgets_arrive_on_the_other_queue),                             \
        CASE(a_reset_closes_what_the_guest_had),                             \
        CASE(many_requests_are_in_flight_at_once),                           \
        CASE(row111_attributes_are_the_hosts),                               \
        CASE(row112_a_listing_equals_the_directory),                         \
        CASE(row112_small_buffers_give_the_same_names),                      \
        CASE(row112_what_is_above_the_share_has_no_number),                  \
        CASE(row112_a_listing_goes_on_while_names_come_and_go),              \
        CASE(row112_a_removed_directory_lists_nothing),                      \
        CASE(row113_contents_are_equal_at_any_offset),                       \
        CASE(row113_a_directory_is_not_opened_as_a_file),                    \
        CASE(row114_direct_and_synchronous_files),                           \
        CASE(row115_statfs_is_the_volumes),                                  \
        CASE(row116_written_bytes_are_on_the_host),                          \
        CASE(row116_create_keeps_what_is_there_unless_exclusive),            \
        CASE(row116_appended_bytes_go_to_the_end),                           \
        CASE(row116_the_mode_of_new_things_is_the_guests),                   \
        CASE(row117_make_and_remove),                                        \
        CASE(row117_an_open_file_outlives_its_name),                         \
        CASE(row118_rename_within_and_across),                               \
        CASE(row119_size_and_times_are_set),                                 \
        CASE(row119_mode_and_owner_are_seen_again),                          \
        CASE(row119_a_write_by_a_user_drops_set_id),                         \
        CASE(groups_of_directories_are_inherited),                           \
        CASE(row120_flush_and_sync_succeed), CASE(row121_seek_answers),      \
        CASE(row122_fallocate_grows_and_punches),                            \
        CASE(row123_links_round_trip), CASE(row124_access_follows_the_mode), \
        CASE(row125_hard_links_are_one_file),                                \
        CASE(row125_special_files_are_what_the_guest_made),                  \
        CASE(row125_copies_are_made_on_the_host),                            \
        CASE(row125_extended_attributes),                                    \
        CASE(row126_errors_are_linux_numbers),                               \
        CASE(row127_a_megabyte_moves_in_one_request),                        \
        CASE(row128_the_host_layer_is_complete),                             \
        CASE(long_attributes_are_refused), CASE(our_own_records_are_hidden), \
        CASE(a_read_only_share_refuses_every_change),                        \
        CASE(a_read_only_share_is_read_without_a_trace),                     \
        CASE(hostile_names_reach_nothing),                                   \
        CASE(links_to_the_outside_are_only_text),                            \
        CASE(special_files_of_the_host_are_not_opened),                      \
        CASE(a_proc_file_system_is_not_read),                                \
        CASE(races_with_the_host_yield_nothing),                             \
        CASE(truncated_messages_are_refused),                                \
        CASE(a_large_tree_needs_few_descriptors)

#endif
