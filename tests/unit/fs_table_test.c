/* The FUSE server's inodes, handles and virtual files, on a host in memory */
#include "fuse_client.h"
#include "memory_host.h"

#include "base/err.h"

static struct {
    struct memory_host *host;
    struct hk_fuse *fuse;
    struct fuse_client c;
    uint32_t status;
} rig;

static void exit_status(void *opaque, uint32_t status)
{
    assert_ptr_equal(opaque, &rig);
    rig.status = status;
}

static void open_rig(const struct hk_fuse_config *config, bool with_host)
{
    memset(&rig, 0, sizeof(rig));
    rig.host = memory_host_create();
    memory_host_add(rig.host, "a", HK_S_IFREG | 0644, "text of a");
    memory_host_add(rig.host, "b", HK_S_IFREG | 0644, "text of b");
    memory_host_add(rig.host, "d", HK_S_IFDIR | 0755, NULL);
    memory_host_add(rig.host, "d/e", HK_S_IFDIR | 0755, NULL);
    memory_host_add(rig.host, "d/e/f", HK_S_IFREG | 0644, "text of f");
    assert_int_equal(
        hk_fuse_create(with_host ? &rig.host->base : NULL, config, &rig.fuse),
        0);
    fuse_client_direct(&rig.c, rig.fuse);
}

static void start_with(const struct hk_fuse_config *config)
{
    open_rig(config, true);
    fuse_init(&rig.c);
}

static int setup(void **state)
{
    const struct hk_fuse_config config = {.exit_status = exit_status,
                                          .opaque = &rig};

    (void)state;
    start_with(&config);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hk_fuse_destroy(rig.fuse);
    fuse_client_fini(&rig.c);
    if (!rig.host->closed) /* it was not given to the server */
        rig.host->base.ops->close_root(&rig.host->base);
    memory_host_free(rig.host);
    return 0;
}

static void restart(const struct hk_fuse_config *config)
{
    teardown(NULL);
    start_with(config);
}

static uint64_t look(uint64_t dir, const char *name)
{
    struct hk_fuse_entry_out out;

    assert_int_equal(fuse_lookup(&rig.c, dir, name, &out), 0);
    return out.nodeid;
}

static void read_is(uint64_t node, const char *want)
{
    struct hk_fuse_open_out open;
    char text[64] = {0};

    assert_int_equal(fuse_open(&rig.c, node, 0, &open), 0);
    assert_int_equal(fuse_read(&rig.c, node, open.fh, 0, text, 60),
                     strlen(want));
    assert_string_equal(text, want);
    assert_int_equal(fuse_release(&rig.c, node, open.fh), 0);
}

/* ------------------------------------------------------------------ */
/* Inodes                                                             */

static void row109_the_same_file_has_the_same_number(void **state)
{
    struct hk_fuse_entry_out out;

    uint64_t a = look(1, "a");
    assert_int_equal(look(1, "a"), a);
    assert_int_equal(fuse_link(&rig.c, a, 1, "another", &out), 0);
    assert_int_equal(out.nodeid, a);
    assert_int_equal(out.attr.nlink, 2);
    assert_int_not_equal(look(1, "b"), a);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 3);
}

static void row110_forget_frees_what_lookup_counted(void **state)
{
    struct hk_fuse_attr attr;
    uint64_t a = look(1, "a");

    look(1, "a");
    assert_int_equal(fuse_forget(&rig.c, a, 1), FUSE_NOTHING);
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), 0);
    fuse_forget(&rig.c, a, 1);
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), -HK_ENOENT);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 1);
}

static void row110_a_number_is_not_used_twice(void **state)
{
    uint64_t first = look(1, "a");
    struct hk_fuse_attr attr;

    for (int i = 0; i < 1000; i++) {
        fuse_forget(&rig.c, look(1, "b"), 1);
        assert_int_not_equal(look(1, "b"), first);
        fuse_forget(&rig.c, look(1, "b"), 2);
    }
    fuse_forget(&rig.c, first, 1);
    uint64_t again = look(1, "a");
    assert_int_not_equal(again, first);
    assert_int_equal(fuse_getattr(&rig.c, first, &attr), -HK_ENOENT);
}

static void row110_a_flood_of_forgets_does_no_harm(void **state)
{
    uint64_t a = look(1, "a");
    struct hk_fuse_attr attr;
    struct {
        struct hk_fuse_batch_forget_in in;
        struct hk_fuse_forget_one one[3];
    } batch = {{3, 0}, {{1, UINT64_MAX}, {a, UINT64_MAX}, {a, 5}}};

    fuse_forget(&rig.c, 1, UINT64_MAX);
    fuse_forget(&rig.c, 1, UINT64_MAX);
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), 0);
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_BATCH_FORGET, 0, &batch,
                               sizeof(batch), NULL, 0, NULL, 0),
                     FUSE_NOTHING);
    batch.in.count = UINT32_MAX; /* more than was sent */
    fuse_call(&rig.c, HK_FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), NULL, 0,
              NULL, 0);
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), -HK_ENOENT);
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), 0);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 1);
}

static void forged_numbers_find_nothing(void **state)
{
    static const uint64_t forged[] = {
        0, 2, 511, 512, UINT32_MAX, 1ull << 32, (1ull << 32) | 1, UINT64_MAX};
    struct hk_fuse_attr attr;
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;

    for (size_t i = 0; i < HK_COUNT(forged); i++) {
        assert_int_equal(fuse_getattr(&rig.c, forged[i], &attr), -HK_ENOENT);
        assert_int_equal(fuse_lookup(&rig.c, forged[i], "a", &out), -HK_ENOENT);
        assert_int_equal(fuse_open(&rig.c, forged[i], 0, &open), -HK_ENOENT);
    }
    uint64_t a = look(1, "a");
    assert_int_equal(fuse_getattr(&rig.c, a | 1ull << 40, &attr), -HK_ENOENT);
}

static void a_parent_stays_while_a_child_is_known(void **state)
{
    uint64_t d = look(1, "d"), e = look(d, "e"), f = look(e, "f");
    struct hk_fuse_attr attr;

    fuse_forget(&rig.c, d, 1);
    fuse_forget(&rig.c, e, 1);
    assert_int_equal(fuse_getattr(&rig.c, e, &attr), -HK_ENOENT);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 4);
    read_is(f, "text of f");
    fuse_forget(&rig.c, f, 1);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 1);
}

static void the_table_of_inodes_has_an_end(void **state)
{
    const struct hk_fuse_config config = {.max_nodes = 3};
    struct hk_fuse_entry_out out;

    restart(&config);
    look(1, "a");
    uint64_t b = look(1, "b");
    assert_int_equal(fuse_lookup(&rig.c, 1, "d", &out), -HK_ENFILE);
    fuse_forget(&rig.c, b, 1);
    assert_int_equal(fuse_lookup(&rig.c, 1, "d", &out), 0);
}

/* ------------------------------------------------------------------ */
/* Descriptors                                                        */

static void many_files(int count)
{
    char path[32];

    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "d/e/n%d", i);
        memory_host_add(rig.host, path, HK_S_IFREG | 0644, path);
    }
}

static void more_inodes_than_descriptors_work(void **state)
{
    const struct hk_fuse_config config = {.max_descriptors = 32};
    uint64_t ids[300];
    char name[32], text[32];

    restart(&config);
    rig.host->limit = 40;
    many_files(300);
    uint64_t e = fuse_walk(&rig.c, "d/e");
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        ids[i] = look(e, name);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(text, sizeof(text), "d/e/n%d", i);
            read_is(ids[i], text);
        }
    }
    assert_true(rig.host->most <= 32);
}

static void the_host_running_out_sooner_is_survived(void **state)
{
    const struct hk_fuse_config config = {.max_descriptors = 1000};
    char name[32];

    restart(&config);
    rig.host->limit = 8;
    many_files(100);
    uint64_t e = fuse_walk(&rig.c, "d/e");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        uint64_t id = look(e, name);
        snprintf(name, sizeof(name), "d/e/n%d", i);
        read_is(id, name);
    }
}

static void open_files_have_a_limit_and_inodes_still_work(void **state)
{
    const struct hk_fuse_config config = {.max_descriptors = 32};
    struct hk_fuse_open_out open[64];
    struct hk_fuse_attr attr;
    int count = 0, rc;

    restart(&config);
    uint64_t a = look(1, "a"), f = fuse_walk(&rig.c, "d/e/f");
    while ((rc = fuse_open(&rig.c, a, 0, &open[count])) == 0)
        count++;
    assert_int_equal(rc, -HK_ENFILE);
    assert_in_range(count, 16, 32);
    assert_int_equal(fuse_getattr(&rig.c, f, &attr), 0);
    while (count-- > 0)
        assert_int_equal(fuse_release(&rig.c, a, open[count].fh), 0);
    read_is(f, "text of f");
}

/* Fills what may be open with other files. */
static void evict_all(void)
{
    char name[32];

    uint64_t e = fuse_walk(&rig.c, "d/e");
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        read_is(look(e, name), "");
    }
}

static void small_table(void)
{
    const struct hk_fuse_config config = {.max_descriptors = 32};
    char path[32];

    restart(&config);
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof(path), "d/e/n%d", i);
        memory_host_add(rig.host, path, HK_S_IFREG | 0644, "");
    }
}

static void a_file_renamed_by_the_guest_is_found_again(void **state)
{
    small_table();
    uint64_t a = look(1, "a"), d = look(1, "d");
    assert_int_equal(fuse_rename(&rig.c, 1, "a", d, "moved", 0), 0);
    evict_all();
    read_is(a, "text of a");
    assert_int_equal(look(d, "moved"), a);
}

static void files_in_a_renamed_directory_are_found_again(void **state)
{
    small_table();
    uint64_t d = look(1, "d"), e = look(d, "e"), f = look(e, "f");
    assert_int_equal(fuse_rename(&rig.c, d, "e", 1, "e2", 0), 0);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d", i);
        read_is(look(e, name), "");
    }
    read_is(f, "text of f");
}

static void exchanged_files_are_found_again(void **state)
{
    small_table();
    uint64_t a = look(1, "a"), b = look(1, "b");
    assert_int_equal(fuse_rename(&rig.c, 1, "a", 1, "b", HK_FS_RENAME_EXCHANGE),
                     0);
    evict_all();
    read_is(a, "text of a");
    read_is(b, "text of b");
    assert_int_equal(look(1, "a"), b);
}

static void a_file_that_the_guest_removed_still_works(void **state)
{
    struct hk_fuse_attr attr;

    small_table();
    uint64_t a = look(1, "a");
    evict_all();
    assert_int_equal(fuse_unlink(&rig.c, 1, "a"), 0);
    evict_all();
    read_is(a, "text of a");
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), 0);
    assert_int_equal(attr.nlink, 0);
    fuse_forget(&rig.c, a, 1);
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), -HK_ENOENT);
}

static void row118_a_file_that_was_replaced_still_works(void **state)
{
    small_table();
    uint64_t a = look(1, "a"), b = look(1, "b");
    assert_int_equal(fuse_rename(&rig.c, 1, "a", 1, "b", 0), 0);
    evict_all();
    read_is(b, "text of b");
    read_is(a, "text of a");
    assert_int_equal(look(1, "b"), a);
}

static void a_file_the_host_replaced_is_stale(void **state)
{
    struct hk_fuse_attr attr;

    small_table();
    uint64_t a = look(1, "a");
    evict_all();
    memory_host_remove(rig.host, "a");
    memory_host_add(rig.host, "a", HK_S_IFREG | 0644, "a new one");
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), -HK_ESTALE);
    uint64_t again = look(1, "a");
    assert_int_not_equal(again, a);
    read_is(again, "a new one");
}

static void a_new_file_with_an_old_number_is_another_file(void **state)
{
    struct hk_fuse_attr attr;

    small_table();
    uint64_t a = look(1, "a");
    evict_all();
    rig.host->reuse_inos = true;
    memory_host_remove(rig.host, "a");
    memory_host_add(rig.host, "a", HK_S_IFREG | 0644, "a new one");
    uint64_t again = look(1, "a");
    assert_int_not_equal(again, a);
    read_is(again, "a new one");
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), -HK_ESTALE);
}

static void a_file_the_host_moved_is_found_when_looked_up(void **state)
{
    struct hk_fuse_attr attr;

    small_table();
    uint64_t a = look(1, "a");
    evict_all();
    memory_host_rename(rig.host, "a", "d/a");
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), -HK_ESTALE);
    assert_int_equal(look(look(1, "d"), "a"), a);
    read_is(a, "text of a");
}

static void circles_made_by_the_host_end(void **state)
{
    struct hk_fuse_attr attr;

    small_table();
    memory_host_add(rig.host, "x", HK_S_IFDIR | 0755, NULL);
    memory_host_add(rig.host, "x/y", HK_S_IFDIR | 0755, NULL);
    uint64_t x = look(1, "x"), y = look(x, "y");
    assert_int_equal(fuse_getattr(&rig.c, y, &attr), 0);
    /* Seen once as x/y and once as y/x: each is the other's parent. */
    memory_host_rename(rig.host, "x/y", "y");
    memory_host_rename(rig.host, "x", "y/x");
    assert_int_equal(look(y, "x"), x);
    evict_all();
    assert_int_equal(fuse_getattr(&rig.c, x, &attr), -HK_ELOOP);
    assert_int_equal(look(1, "y"), y);
    assert_int_equal(fuse_getattr(&rig.c, x, &attr), 0);
}

/* ------------------------------------------------------------------ */
/* Handles                                                            */

static void handles_belong_to_their_inode_and_kind(void **state)
{
    struct hk_fuse_open_out open;
    char text[8];
    uint64_t a = look(1, "a"), b = look(1, "b"), dir;

    assert_int_equal(fuse_open(&rig.c, a, 0, &open), 0);
    assert_int_equal(fuse_opendir(&rig.c, 1, &dir), 0);
    assert_int_equal(fuse_read(&rig.c, b, open.fh, 0, text, 4), -HK_EBADF);
    assert_int_equal(fuse_read(&rig.c, a, open.fh + 1, 0, text, 4), -HK_EBADF);
    assert_int_equal(fuse_read(&rig.c, a, ~0ull, 0, text, 4), -HK_EBADF);
    assert_int_equal(fuse_read(&rig.c, 1, dir, 0, text, 4), -HK_EBADF);
    assert_int_equal(fuse_readdir(&rig.c, a, open.fh, 0, text, 4), -HK_EBADF);
    assert_int_equal(fuse_write(&rig.c, a, open.fh, 0, "x", 1, 1), -HK_EBADF);
    assert_int_equal(fuse_releasedir(&rig.c, a, open.fh), -HK_EBADF);
    assert_int_equal(fuse_release(&rig.c, a, open.fh), 0);
    assert_int_equal(fuse_release(&rig.c, a, open.fh), -HK_EBADF);
    assert_int_equal(fuse_read(&rig.c, a, open.fh, 0, text, 4), -HK_EBADF);
    assert_int_equal(fuse_releasedir(&rig.c, 1, dir), 0);
}

static void row127_data_are_not_copied_on_the_way(void **state)
{
    enum { SIZE = 1 << 20 };
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    uint8_t *bytes = malloc(SIZE);

    memset(bytes, 'd', SIZE);
    assert_int_equal(fuse_create(&rig.c, 1, "n", 2, 0644, &out, &open), 0);
    assert_int_equal(fuse_write(&rig.c, out.nodeid, open.fh, 0, bytes, SIZE, 2),
                     SIZE);
    assert_int_equal(rig.c.lent, SIZE);
    assert_true(rig.c.copied < 200); /* headers */
    assert_int_equal(fuse_read(&rig.c, out.nodeid, open.fh, 0, bytes, SIZE),
                     SIZE);
    assert_int_equal(rig.c.lent, SIZE);
    assert_true(rig.c.copied < 200);
    free(bytes);
}

static void closing_is_told_only_where_it_matters(void **state)
{
    struct hk_fuse_open_out open;
    uint64_t a = look(1, "a");

    assert_int_equal(fuse_open(&rig.c, a, HK_O_RDWR, &open), 0);
    assert_int_not_equal(open.open_flags & HK_FOPEN_NOFLUSH, 0);
    rig.host->base.late_errors = true;
    assert_int_equal(fuse_open(&rig.c, a, HK_O_RDWR, &open), 0);
    assert_int_equal(open.open_flags & HK_FOPEN_NOFLUSH, 0);
    assert_int_equal(fuse_open(&rig.c, a, 0, &open), 0);
    assert_int_not_equal(open.open_flags & HK_FOPEN_NOFLUSH, 0);
}

static void a_file_is_opened_for_something(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;

    assert_int_equal(fuse_open(&rig.c, look(1, "a"), 3, &open), -HK_EINVAL);
    assert_int_equal(fuse_create(&rig.c, 1, "n", 3, 0644, &out, &open),
                     -HK_EINVAL);
}

static void the_end_of_a_session_closes_everything(void **state)
{
    struct hk_fuse_open_out open;
    struct hk_fuse_attr attr;
    uint64_t dir, f = fuse_walk(&rig.c, "d/e/f");

    assert_int_equal(fuse_open(&rig.c, f, 2, &open), 0);
    assert_int_equal(fuse_opendir(&rig.c, 1, &dir), 0);
    assert_int_equal(
        fuse_call(&rig.c, HK_FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL, 0), 0);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 1);
    assert_int_equal(hk_fuse_counts(rig.fuse).handles, 0);
    assert_int_equal(rig.host->files + rig.host->dirs, 0);
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), -HK_EIO);
    fuse_init(&rig.c);
    assert_int_equal(fuse_getattr(&rig.c, f, &attr), -HK_ENOENT);
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), 0);
}

static void a_second_init_starts_afresh(void **state)
{
    struct hk_fuse_attr attr;
    uint64_t a = look(1, "a");

    fuse_init(&rig.c);
    assert_int_equal(fuse_getattr(&rig.c, a, &attr), -HK_ENOENT);
}

static void nothing_is_served_before_init(void **state)
{
    struct hk_fuse_attr attr;

    hk_fuse_reset(rig.fuse);
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), -HK_EIO);
}

static void cached_data_are_kept_while_the_file_is_the_same(void **state)
{
    struct hk_fuse_open_out open;
    uint64_t a = look(1, "a");

    assert_int_equal(fuse_open(&rig.c, a, 0, &open), 0);
    assert_int_equal(open.open_flags & HK_FOPEN_KEEP_CACHE, 0);
    assert_int_equal(fuse_open(&rig.c, a, 0, &open), 0);
    assert_int_not_equal(open.open_flags & HK_FOPEN_KEEP_CACHE, 0);
    assert_int_equal(fuse_truncate(&rig.c, a, 3), 0);
    assert_int_equal(fuse_open(&rig.c, a, 0, &open), 0);
    assert_int_equal(open.open_flags & HK_FOPEN_KEEP_CACHE, 0);
}

/* ------------------------------------------------------------------ */
/* INIT                                                               */

static int init_with(uint32_t major, uint32_t minor, uint32_t flags,
                     struct hk_fuse_init_out *out)
{
    const struct hk_fuse_init_in in = {major, minor, 4096, flags};

    return fuse_call(&rig.c, HK_FUSE_INIT, 0, &in, sizeof(in), NULL, 0, out,
                     sizeof(*out));
}

static void row110_init_agrees_on_version_and_flags(void **state)
{
    struct hk_fuse_init_out out;

    assert_int_equal(init_with(6, 40, 0, &out), -HK_EPROTO);
    assert_int_equal(init_with(7, 26, 0, &out), -HK_EPROTO);
    assert_int_equal(init_with(7, 27, ~0u, &out), sizeof(out));
    assert_int_equal(out.minor, 27);
    assert_int_equal(out.max_pages, 256);
    assert_int_equal(out.flags & (HK_FUSE_POSIX_LOCKS | HK_FUSE_FLOCK_LOCKS |
                                  HK_FUSE_WRITEBACK_CACHE),
                     0);
    assert_int_equal(out.flags & HK_FUSE_MAX_PAGES, HK_FUSE_MAX_PAGES);
    assert_int_equal(init_with(7, 40, HK_FUSE_MAX_PAGES, &out), sizeof(out));
    assert_int_equal(out.minor, HK_FUSE_MINOR);
    assert_int_equal(out.flags, HK_FUSE_MAX_PAGES);
    assert_int_equal(init_with(8, 0, ~0u, &out), sizeof(out));
    assert_int_equal(out.major, 7);
}

/* ------------------------------------------------------------------ */
/* Virtual files                                                      */

static const char bytes[] = "only in memory";

static void virtual_rig(bool with_host)
{
    const struct hk_fuse_config config = {.exit_status = exit_status,
                                          .opaque = &rig};

    teardown(NULL);
    open_rig(&config, with_host);
    assert_int_equal(hk_fuse_add_file(rig.fuse, "/once", bytes, 14, 0755, true),
                     0);
    assert_int_equal(hk_fuse_add_dir(rig.fuse, "vd", 0755), 0);
    assert_int_equal(hk_fuse_add_dir(rig.fuse, "vd/sub", 0700), 0);
    assert_int_equal(
        hk_fuse_add_file(rig.fuse, "vd/sub/kept", bytes, 14, 0444, false), 0);
    assert_int_equal(hk_fuse_add_file(rig.fuse, "a", bytes, 4, 0444, false), 0);
    fuse_init(&rig.c);
}

static void virtual_files_are_read_by_name(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    char text[64] = {0};

    virtual_rig(true);
    uint64_t kept = fuse_walk(&rig.c, "vd/sub/kept");
    read_is(kept, bytes);
    assert_int_equal(fuse_open(&rig.c, kept, 0, &open), 0);
    assert_int_equal(fuse_read(&rig.c, kept, open.fh, 5, text, 2), 2);
    assert_string_equal(text, "in");
    assert_int_equal(fuse_read(&rig.c, kept, open.fh, 14, text, 2), 0);
    assert_int_equal(fuse_read(&rig.c, kept, open.fh, 1 << 30, text, 2), 0);
    assert_int_equal(fuse_lseek(&rig.c, kept, open.fh, 0, 2), 14);
    assert_int_equal(fuse_lseek(&rig.c, kept, open.fh, 3, 3), 3);
    assert_int_equal(fuse_lseek(&rig.c, kept, open.fh, 3, 4), 14);
    assert_int_equal(fuse_lookup(&rig.c, 1, "a", &out), 0);
    assert_int_equal(out.attr.size, 4); /* hides the host's */
    assert_int_equal(out.attr.mode, HK_S_IFREG | 0444);
    assert_int_equal(fuse_lookup(&rig.c, look(1, "vd"), "none", &out),
                     -HK_ENOENT);
}

static void a_one_shot_file_is_found_once(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    char text[32] = {0};

    virtual_rig(true);
    uint64_t once = look(1, "once");
    assert_int_equal(fuse_lookup(&rig.c, 1, "once", &out), -HK_ENOENT);
    read_is(once, bytes); /* what was found works on */
    assert_int_equal(fuse_open(&rig.c, once, 0, &open), 0);
    fuse_forget(&rig.c, once, 1);
    assert_int_equal(fuse_read(&rig.c, once, open.fh, 0, text, 30), 14);
    assert_int_equal(fuse_release(&rig.c, once, open.fh), 0);
    assert_int_equal(fuse_lookup(&rig.c, 1, "once", &out), -HK_ENOENT);
}

static void virtual_files_are_not_listed(void **state)
{
    char *names;

    virtual_rig(true);
    names = fuse_list(&rig.c, 1, 4096, false);
    assert_string_equal(names, ". .. a b d");
    free(names);
    names = fuse_list(&rig.c, 1, 4096, true);
    assert_string_equal(names, ". .. a b d");
    free(names);
    names = fuse_list(&rig.c, look(1, "vd"), 4096, false);
    assert_string_equal(names, ". ..");
    free(names);
    look(1, "once"); /* a listing was no lookup */
}

static void virtual_files_cannot_be_changed(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;

    virtual_rig(true);
    uint64_t a = look(1, "a"), vd = look(1, "vd"), b = look(1, "b");
    assert_int_equal(fuse_open(&rig.c, a, 1, &open), -HK_EACCES);
    assert_int_equal(fuse_open(&rig.c, a, HK_O_TRUNC, &open), -HK_EACCES);
    assert_int_equal(fuse_truncate(&rig.c, a, 0), -HK_EACCES);
    assert_int_equal(fuse_chmod(&rig.c, a, 0777), -HK_EACCES);
    assert_int_equal(fuse_unlink(&rig.c, 1, "a"), -HK_EACCES);
    assert_int_equal(fuse_rmdir(&rig.c, 1, "vd"), -HK_EACCES);
    assert_int_equal(fuse_rename(&rig.c, 1, "a", 1, "z", 0), -HK_EACCES);
    assert_int_equal(fuse_rename(&rig.c, 1, "b", 1, "a", 0), -HK_EACCES);
    assert_int_equal(fuse_create(&rig.c, 1, "a", 2, 0644, &out, &open),
                     -HK_EEXIST);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "vd", 0755, &out), -HK_EEXIST);
    assert_int_equal(fuse_symlink(&rig.c, 1, "once", "x", &out), -HK_EEXIST);
    assert_int_equal(fuse_link(&rig.c, b, 1, "a", &out), -HK_EEXIST);
    assert_int_equal(fuse_link(&rig.c, a, 1, "z", &out), -HK_EXDEV);
    assert_int_equal(fuse_mkdir(&rig.c, vd, "new", 0755, &out), -HK_EACCES);
    assert_int_equal(fuse_setxattr(&rig.c, a, "user.x", "y", 1, 0), -HK_EACCES);
    assert_int_equal(fuse_getxattr(&rig.c, a, "user.x", NULL, 0), -HK_ENODATA);
    assert_int_equal(fuse_listxattr(&rig.c, a, NULL, 0), 0);
}

static void copying_to_and_from_virtual_files_is_left_to_the_guest(void **state)
{
    struct hk_fuse_open_out from, to;
    struct hk_fuse_copy_in in = {.len = 10};

    virtual_rig(true);
    uint64_t a = look(1, "a"), b = look(1, "b");
    assert_int_equal(fuse_open(&rig.c, a, 0, &from), 0);
    assert_int_equal(fuse_open(&rig.c, b, 2, &to), 0);
    in.fh_in = from.fh;
    in.fh_out = to.fh;
    in.nodeid_out = b;
    assert_int_equal(fuse_copy(&rig.c, &in, a), -HK_EXDEV);
}

static void a_share_without_a_host_works(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    struct hk_fuse_attr attr;
    char *names;

    virtual_rig(false);
    read_is(fuse_walk(&rig.c, "vd/sub/kept"), bytes);
    look(1, "once");
    assert_int_equal(fuse_lookup(&rig.c, 1, "once", &out), -HK_ENOENT);
    assert_int_equal(fuse_lookup(&rig.c, 1, "b", &out), -HK_ENOENT);
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), 0);
    assert_int_equal(attr.mode, HK_S_IFDIR | 0755);
    uint64_t file = fuse_walk(&rig.c, "vd/sub/kept");
    for (uint32_t flags = 1; flags < 4; flags++)
        assert_true(fuse_open(&rig.c, file, flags, &open) < 0);
    assert_int_equal(fuse_create(&rig.c, 1, "new", 2, 0644, &out, &open),
                     -HK_EACCES);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "new", 0755, &out), -HK_EACCES);
    names = fuse_list(&rig.c, 1, 4096, false);
    assert_string_equal(names, ". ..");
    free(names);
}

static void bad_virtual_paths_are_refused(void **state)
{
    hk_fuse_reset(rig.fuse);
    struct hk_fuse *f = rig.fuse;
    assert_int_equal(hk_fuse_add_dir(f, "", 0755), -HK_EINVAL);
    assert_int_equal(hk_fuse_add_dir(f, "/", 0755), -HK_EINVAL);
    assert_int_equal(hk_fuse_add_dir(f, "..", 0755), -HK_EINVAL);
    assert_int_equal(hk_fuse_add_dir(f, "x/", 0755), -HK_ENOENT);
    assert_int_equal(hk_fuse_add_dir(f, "x/y", 0755), -HK_ENOENT);
    assert_int_equal(hk_fuse_add_file(f, "x", NULL, 3, 0755, 0), -HK_EINVAL);
    assert_int_equal(hk_fuse_add_file(f, "x", NULL, 0, 0755, 0), 0);
    assert_int_equal(hk_fuse_add_file(f, "x/y", NULL, 0, 0755, 0), -HK_ENOTDIR);
    assert_int_equal(hk_fuse_add_file(f, "x", NULL, 0, 0755, 0), -HK_EEXIST);
}

static void the_exit_status_arrives(void **state)
{
    const struct hk_fuse_ioctl_in in = {.cmd = 0x7602, .arg = 42};
    const struct hk_fuse_ioctl_in other = {.cmd = 0x5401};
    struct hk_fuse_ioctl_out out;

    assert_int_equal(fuse_call(&rig.c, HK_FUSE_IOCTL, 1, &other, sizeof(other),
                               NULL, 0, &out, sizeof(out)),
                     -HK_ENOTTY);
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_IOCTL, 1, &in, sizeof(in), NULL,
                               0, &out, sizeof(out)),
                     sizeof(out));
    assert_int_equal(out.result, 0);
    assert_int_equal(rig.status, 42);
}

/* ------------------------------------------------------------------ */
/* Wrong messages                                                     */

static void short_and_lying_messages_are_refused(void **state)
{
    struct hk_fuse_in_header in = {.opcode = HK_FUSE_GETATTR, .nodeid = 1};
    uint8_t message[64] = {0};

    assert_int_equal(fuse_send(&rig.c, message, 0), 0);
    assert_int_equal(fuse_send(&rig.c, message, 39), 0);
    static const uint32_t lens[] = {0, 39, 57, 64, 65, UINT32_MAX};
    for (size_t i = 0; i < HK_COUNT(lens); i++) {
        in.len = lens[i];
        memcpy(message, &in, sizeof(in));
        assert_int_equal(fuse_send(&rig.c, message, 56), 16);
        int32_t error;
        memcpy(&error, rig.c.reply + 4, 4);
        assert_int_equal(error, -HK_EINVAL);
    }
    in.len = 56;
    memcpy(message, &in, sizeof(in));
    assert_int_equal(fuse_send(&rig.c, message, 56), 16 + 104);
}

static void a_reply_without_room_is_none(void **state)
{
    struct hk_fuse_attr attr;
    struct hk_fuse_entry_out out;

    rig.c.room = 0;
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), FUSE_NOTHING);
    rig.c.room = 15;
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), FUSE_NOTHING);
    rig.c.room = 100;
    assert_int_equal(fuse_getattr(&rig.c, 1, &attr), -HK_EIO);
    rig.c.room = 16;
    assert_int_equal(fuse_lookup(&rig.c, 1, "a", &out), -HK_EIO);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 1); /* nothing leaks */
}

static void unknown_operations_are_unknown(void **state)
{
    static const uint32_t ops[] = {0,  7,  19, 31, 33,   37,
                                   40, 41, 48, 51, 4096, UINT32_MAX};

    for (size_t i = 0; i < HK_COUNT(ops); i++)
        assert_int_equal(
            fuse_call(&rig.c, ops[i], 1, NULL, 0, NULL, 0, NULL, 0),
            -HK_ENOSYS);
}

static void names_that_are_not_names_are_refused(void **state)
{
    struct hk_fuse_entry_out out;
    char long_name[300];

    memset(long_name, 'x', sizeof(long_name));
    long_name[299] = '\0';
    static const char *const bad[] = {"", ".", "..", "/", "/etc", "d/e", "a/"};
    for (size_t i = 0; i < HK_COUNT(bad); i++) {
        assert_int_equal(fuse_lookup(&rig.c, 1, bad[i], &out), -HK_EINVAL);
        assert_int_equal(fuse_mkdir(&rig.c, 1, bad[i], 0755, &out), -HK_EINVAL);
        assert_int_equal(fuse_unlink(&rig.c, 1, bad[i]), -HK_EINVAL);
        assert_int_equal(fuse_rename(&rig.c, 1, bad[i], 1, "z", 0), -HK_EINVAL);
        assert_int_equal(fuse_rename(&rig.c, 1, "a", 1, bad[i], 0), -HK_EINVAL);
    }
    assert_int_equal(fuse_lookup(&rig.c, 1, long_name, &out), -HK_ENAMETOOLONG);
    long_name[255] = '\0';
    assert_int_equal(fuse_lookup(&rig.c, 1, long_name, &out), -HK_ENOENT);
    /* A name without its end. */
    assert_int_equal(fuse_call(&rig.c, HK_FUSE_LOOKUP, 1, NULL, 0, "a", 1, &out,
                               sizeof(out)),
                     -HK_EINVAL);
}

static void files_are_no_directories(void **state)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_open_out open;
    uint64_t a = look(1, "a"), fh;

    assert_int_equal(fuse_lookup(&rig.c, a, "x", &out), -HK_ENOTDIR);
    assert_int_equal(fuse_mkdir(&rig.c, a, "x", 0755, &out), -HK_ENOTDIR);
    assert_int_equal(fuse_opendir(&rig.c, a, &fh), -HK_ENOTDIR);
    assert_int_equal(fuse_open(&rig.c, 1, 0, &open), -HK_EISDIR);
    assert_int_equal(fuse_truncate(&rig.c, 1, 0), -HK_EISDIR);
    assert_int_equal(fuse_link(&rig.c, look(1, "d"), 1, "x", &out), -HK_EPERM);
}

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(row109_the_same_file_has_the_same_number),
    CASE(row110_forget_frees_what_lookup_counted),
    CASE(row110_a_number_is_not_used_twice),
    CASE(row110_a_flood_of_forgets_does_no_harm),
    CASE(forged_numbers_find_nothing),
    CASE(a_parent_stays_while_a_child_is_known),
    CASE(the_table_of_inodes_has_an_end),
    CASE(more_inodes_than_descriptors_work),
    CASE(the_host_running_out_sooner_is_survived),
    CASE(open_files_have_a_limit_and_inodes_still_work),
    CASE(a_file_renamed_by_the_guest_is_found_again),
    CASE(files_in_a_renamed_directory_are_found_again),
    CASE(exchanged_files_are_found_again),
    CASE(a_file_that_the_guest_removed_still_works),
    CASE(row118_a_file_that_was_replaced_still_works),
    CASE(a_file_the_host_replaced_is_stale),
    CASE(a_new_file_with_an_old_number_is_another_file),
    CASE(a_file_the_host_moved_is_found_when_looked_up),
    CASE(circles_made_by_the_host_end),
    CASE(handles_belong_to_their_inode_and_kind),
    CASE(row127_data_are_not_copied_on_the_way),
    CASE(closing_is_told_only_where_it_matters),
    CASE(a_file_is_opened_for_something),
    CASE(the_end_of_a_session_closes_everything),
    CASE(a_second_init_starts_afresh),
    CASE(nothing_is_served_before_init),
    CASE(cached_data_are_kept_while_the_file_is_the_same),
    CASE(row110_init_agrees_on_version_and_flags),
    CASE(virtual_files_are_read_by_name),
    CASE(a_one_shot_file_is_found_once),
    CASE(virtual_files_are_not_listed),
    CASE(virtual_files_cannot_be_changed),
    CASE(copying_to_and_from_virtual_files_is_left_to_the_guest),
    CASE(a_share_without_a_host_works),
    CASE(bad_virtual_paths_are_refused),
    CASE(the_exit_status_arrives),
    CASE(short_and_lying_messages_are_refused),
    CASE(a_reply_without_room_is_none),
    CASE(unknown_operations_are_unknown),
    CASE(names_that_are_not_names_are_refused),
    CASE(files_are_no_directories),
};
HK_TEST_MAIN(cases)
