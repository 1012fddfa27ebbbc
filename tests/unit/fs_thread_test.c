/* One FUSE server, several threads: what the workers of a pool do to it */
#define _GNU_SOURCE
#include "fuse_client.h"

#include "base/err.h"
#include "base/log.h"
#include "fs/host.h"

#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 300, NAMES = 6 };

static struct {
    char top[64];
    struct hk_fuse *fuse;
} rig;

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    const struct hk_fuse_config config = {.max_descriptors = 32};
    struct hk_fs_root_config root_config = {.path = rig.top};
    struct hk_fs_root *root;

    (void)state;
    hk_log_set_level(HK_LOG_OFF);
    snprintf(rig.top, sizeof(rig.top), "/tmp/husk-fst-XXXXXX");
    assert_non_null(mkdtemp(rig.top));
    assert_int_equal(hk_fs_root_open(&root_config, &root, NULL), 0);
    assert_int_equal(hk_fuse_create(root, &config, &rig.fuse), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hk_fuse_destroy(rig.fuse);
    return nftw(rig.top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static const char *a_name(uint32_t *seed)
{
    static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};

    return names[next(seed) % NAMES];
}

static void use_file(struct fuse_client *c, uint64_t node, uint32_t *seed)
{
    struct hk_fuse_open_out open;
    char text[100];

    if (fuse_open(c, node, 2, &open) != 0)
        return;
    (void)fuse_write(c, node, open.fh, next(seed) % 9, "text", 4, 2);
    (void)fuse_read(c, node, open.fh, 0, text, sizeof(text));
    (void)fuse_release(c, node, open.fh);
}

/* One random step; every answer is right as long as it is one. */
static void step(struct fuse_client *c, uint32_t *seed, uint64_t dir)
{
    struct hk_fuse_entry_out out, other;
    struct hk_fuse_open_out open;
    struct hk_fuse_attr attr;
    const char *name = a_name(seed);

    switch (next(seed) % 9) {
    case 0:
        if (fuse_create(c, dir, name, 2, 0644, &out, &open) == 0) {
            (void)fuse_release(c, out.nodeid, open.fh);
            (void)fuse_forget(c, out.nodeid, 1);
        }
        return;
    case 1:
        (void)fuse_unlink(c, dir, name);
        return;
    case 2:
        if (fuse_mkdir(c, dir, name, 0755, &out) == 0)
            (void)fuse_forget(c, out.nodeid, 1);
        return;
    case 3:
        (void)fuse_rename(c, dir, name, 1, a_name(seed), next(seed) % 3);
        return;
    case 4:
        (void)fuse_rmdir(c, dir, name);
        return;
    default:
        break;
    }
    if (fuse_lookup(c, dir, name, &out) != 0)
        return;
    (void)fuse_getattr(c, out.nodeid, &attr);
    if ((out.attr.mode & HK_S_IFMT) == HK_S_IFREG) {
        use_file(c, out.nodeid, seed);
        if (fuse_link(c, out.nodeid, dir, a_name(seed), &other) == 0)
            (void)fuse_forget(c, other.nodeid, 1);
    } else
        step(c, seed, out.nodeid);
    (void)fuse_forget(c, out.nodeid, 1);
}

static void *worker(void *opaque)
{
    uint32_t seed = (uint32_t)(uintptr_t)opaque;
    struct fuse_client c;

    fuse_client_direct(&c, rig.fuse);
    for (int i = 0; i < ROUNDS; i++)
        step(&c, &seed, 1);
    fuse_client_fini(&c);
    return NULL;
}

static void threads_leave_nothing_behind(void **state)
{
    pthread_t threads[THREADS];
    struct fuse_client c;

    fuse_client_direct(&c, rig.fuse);
    fuse_init(&c);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, worker, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* All was forgotten and closed. */
    assert_int_equal(hk_fuse_counts(rig.fuse).handles, 0);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 1);
    assert_int_equal(hk_fuse_counts(rig.fuse).loaded, 1);
    fuse_client_fini(&c);
}

/* The end of a session while requests are under way. */
static void a_session_ends_in_the_middle(void **state)
{
    pthread_t threads[THREADS];
    struct fuse_client c;

    fuse_client_direct(&c, rig.fuse);
    fuse_init(&c);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, worker, (void *)(i + 11)), 0);
    for (int i = 0; i < 30; i++) {
        (void)fuse_call(&c, HK_FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL, 0);
        fuse_init(&c);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    hk_fuse_reset(rig.fuse);
    assert_int_equal(hk_fuse_counts(rig.fuse).handles, 0);
    assert_int_equal(hk_fuse_counts(rig.fuse).nodes, 1);
    fuse_client_fini(&c);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown(threads_leave_nothing_behind, setup,
                                    teardown),
    cmocka_unit_test_setup_teardown(a_session_ends_in_the_middle, setup,
                                    teardown),
};
HK_TEST_MAIN(cases)
