/*
 * A shared directory of the host with a secret next to it, behind a real
 * virtio device, for the tests of file sharing.
 *
 *     TOP/share             what is shared
 *     TOP/outside/secret    what no reply may ever hold
 */
#ifndef FS_RIG_H
#define FS_RIG_H

#define _GNU_SOURCE
#include "fuse_client.h"
#include "hostile.h"

#include "base/compiler.h"
#include "base/err.h"
#include "fs/host.h"
#include "fs/override.h"
#include "virtio/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SECRET "the secret that lies outside"

static struct {
    char top[200];
    struct hk_fs_root_config root;
    struct hk_fuse_config fuse;
    const char *tag;
    struct hk_fuse *server;
    struct gdrv *g;
    struct fuse_client c;
} rig;

static char *at(const char *path)
{
    static char text[8][5000];
    static unsigned turn;
    char *to = text[turn++ % 8];

    snprintf(to, sizeof(text[0]), "%s/%s", rig.top, path);
    return to;
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(at(path), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *get_file(const char *path)
{
    static char text[4096];
    FILE *file = fopen(at(path), "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static struct stat host_stat(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(at(path), &st), 0);
    return st;
}

static bool host_has(const char *path)
{
    struct stat st;

    return lstat(at(path), &st) == 0;
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int open_up(const char *path, const struct stat *st, int kind,
                   struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    return kind == FTW_D || kind == FTW_DNR ? chmod(path, 0700) : 0;
}

static void make_tree(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(rig.top, sizeof(rig.top), "%s/husk-fs-XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(rig.top));
    assert_int_equal(mkdir(at("share"), 0755), 0);
    assert_int_equal(mkdir(at("outside"), 0755), 0);
    put_file("outside/secret", SECRET);
}

static void drop_tree(void)
{
    nftw(rig.top, open_up, 16, FTW_PHYS);
    assert_int_equal(nftw(rig.top, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static int make_device(struct hk_loop *loop, struct hk_pool *pool,
                       struct hk_vdev **out)
{
    struct hk_errmsg err = {.text = ""};
    struct hk_fs_root *root;
    int rc;

    rig.root.path = at("share");
    rc = hk_fs_root_open(&rig.root, &root, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    rig.fuse.read_only = rig.root.read_only;
    assert_int_equal(hk_fuse_create(root, &rig.fuse, &rig.server), 0);
    return hk_fs_create(loop, pool, rig.tag, rig.server, out);
}

static void rig_open(void)
{
    rig.g = malloc(sizeof(*rig.g));
    assert_non_null(rig.g);
    gdrv_init(rig.g, make_device);
    gdrv_start(rig.g, 0);
    fuse_client_gdrv(&rig.c, rig.g);
    fuse_init(&rig.c);
}

static void rig_close(void)
{
    gdrv_fini(rig.g);
    free(rig.g);
    fuse_client_fini(&rig.c);
}

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    rig.tag = "share";
    make_tree();
    rig_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close();
    drop_tree();
    return 0;
}

/* The same tree with other settings in rig.root or rig.fuse. */
static void rig_again(void)
{
    rig_close();
    rig_open();
}

static void no_secret(void)
{
    assert_null(memmem(rig.c.reply, rig.c.reply_len, SECRET, strlen(SECRET)));
}

static uint64_t look(uint64_t dir, const char *name)
{
    struct hk_fuse_entry_out out;

    assert_int_equal(fuse_lookup(&rig.c, dir, name, &out), 0);
    return out.nodeid;
}

static struct hk_fuse_attr attr_of(uint64_t node)
{
    struct hk_fuse_attr attr;

    assert_int_equal(fuse_getattr(&rig.c, node, &attr), 0);
    return attr;
}

static uint64_t open_node(uint64_t node, uint32_t flags)
{
    struct hk_fuse_open_out open;

    assert_int_equal(fuse_open(&rig.c, node, flags, &open), 0);
    return open.fh;
}

/* A new file with that text; its node, and its handle when asked for. */
static uint64_t new_file(uint64_t dir, const char *name, uint32_t mode,
                         const char *text, uint64_t *fh)
{
    struct hk_fuse_entry_out entry;
    struct hk_fuse_open_out open;

    assert_int_equal(
        fuse_create(&rig.c, dir, name, HK_O_RDWR, mode, &entry, &open), 0);
    if (text != NULL)
        assert_int_equal(fuse_write(&rig.c, entry.nodeid, open.fh, 0, text,
                                    (uint32_t)strlen(text), HK_O_RDWR),
                         strlen(text));
    if (fh != NULL)
        *fh = open.fh;
    else
        assert_int_equal(fuse_release(&rig.c, entry.nodeid, open.fh), 0);
    return entry.nodeid;
}

static const char *text_of(uint64_t node)
{
    static char text[4096];
    uint64_t fh = open_node(node, 0);
    int len = fuse_read(&rig.c, node, fh, 0, text, sizeof(text) - 1);

    assert_true(len >= 0);
    text[len] = '\0';
    assert_int_equal(fuse_release(&rig.c, node, fh), 0);
    return text;
}

#endif
