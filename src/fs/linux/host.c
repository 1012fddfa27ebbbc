/*
 * File sharing on Linux.
 *
 * Every inode is reached through an O_PATH descriptor, found by one name in
 * another such descriptor, never following a link: openat2 with all its
 * restrictions where the kernel has it, else openat with O_NOFOLLOW, which for
 * a single component without ".." amounts to the same. An O_PATH descriptor
 * opens nothing: a FIFO does not block, a device does not notice.
 *
 * What an O_PATH descriptor cannot do itself is done through its magic link,
 * /proc/self/fd/N. That is the one link that is followed, and it is made by
 * us. Regular files and directories are opened that way for reading and
 * writing, after their type was seen on the descriptor; nothing else ever is.
 *
 * A procfs below the root shows the guest names and links, but its files are
 * not opened: /proc/self/mem would be our own memory.
 */
#define _GNU_SOURCE
#include "host_int.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(S_IFMT == HK_S_IFMT && S_IFSOCK == HK_S_IFSOCK, "mode bits");

void hk_lx_path(int fd, char path[HK_LX_PATH])
{
    snprintf(path, HK_LX_PATH, "/proc/self/fd/%d", fd);
}

/* ------------------------------------------------------------------ */
/* Names to descriptors                                               */

int hk_lx_open_path(struct hk_lx_root *root, int dir, const char *name)
{
    static atomic_bool no_openat2;
    const struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
        .resolve =
            RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    int fd;

    (void)root;
    if (strchr(name, '/') != NULL || strcmp(name, "..") == 0)
        return -HK_EINVAL;
    if (!atomic_load_explicit(&no_openat2, memory_order_relaxed)) {
        fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
        if (fd >= 0)
            return fd;
        /* Old kernels have no such call, containers may forbid it. */
        if (errno != ENOSYS && errno != EPERM)
            return -errno;
        atomic_store_explicit(&no_openat2, true, memory_order_relaxed);
    }
    fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static struct hk_fs_time time_of(const struct statx_timestamp *t)
{
    return (struct hk_fs_time){t->tv_sec, t->tv_nsec};
}

static void from_statx(const struct statx *st, struct hk_fs_attr *attr)
{
    *attr = (struct hk_fs_attr){
        .dev = makedev(st->stx_dev_major, st->stx_dev_minor),
        .ino = st->stx_ino,
        .size = st->stx_size,
        .blocks = st->stx_blocks,
        .atime = time_of(&st->stx_atime),
        .mtime = time_of(&st->stx_mtime),
        .ctime = time_of(&st->stx_ctime),
        .mode = st->stx_mode,
        .nlink = st->stx_nlink,
        .uid = st->stx_uid,
        .gid = st->stx_gid,
        .rdev = hk_fs_rdev(st->stx_rdev_major, st->stx_rdev_minor),
        .blksize = st->stx_blksize,
    };
    if ((st->stx_mask & STATX_BTIME) != 0)
        attr->birth = (uint64_t)st->stx_btime.tv_sec * 1000000000u +
                      st->stx_btime.tv_nsec;
}

int hk_lx_stat(struct hk_lx_root *root, int fd, const char *name, bool raw,
               struct hk_fs_attr *attr)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    struct statx st;

    if (name == NULL)
        flags |= AT_EMPTY_PATH;
    if (statx(fd, name != NULL ? name : "", flags,
              STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
        return -errno;
    from_statx(&st, attr);
    if (!raw)
        hk_lx_view(root, fd, name, attr);
    return 0;
}

static int lookup(struct hk_fs_root *root, struct hk_fs_node *dir,
                  const char *name, struct hk_fs_attr *attr)
{
    int rc;

    do
        rc = hk_lx_stat(hk_lx(root), dir->fd, name, false, attr);
    while (rc == -HK_EACCES && hk_lx_reach(hk_lx(root), dir->fd));
    return rc;
}

static int new_node(struct hk_lx_root *root, int fd, struct hk_fs_node **out,
                    struct hk_fs_attr *attr)
{
    struct hk_fs_node *node = calloc(1, sizeof(*node));
    int rc = node == NULL ? -HK_ENOMEM : hk_lx_stat(root, fd, NULL, true, attr);

    if (rc < 0) {
        free(node);
        close(fd);
        return rc;
    }
    node->fd = fd;
    node->type = attr->mode & HK_S_IFMT;
    node->foreign = attr->dev != root->dev;
    hk_lx_view(root, fd, NULL, attr);
    *out = node;
    return 0;
}

static int open_node(struct hk_fs_root *base, struct hk_fs_node *dir,
                     const char *name, struct hk_fs_node **out,
                     struct hk_fs_attr *attr)
{
    struct hk_lx_root *root = hk_lx(base);
    int fd;

    if (dir == NULL) {
        fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            return -errno;
    } else {
        do
            fd = hk_lx_open_path(root, dir->fd, name);
        while (fd == -HK_EACCES && hk_lx_reach(root, dir->fd));
        if (fd < 0)
            return fd;
    }
    return new_node(root, fd, out, attr);
}

static void close_node(struct hk_fs_root *root, struct hk_fs_node *node)
{
    (void)root;
    close(node->fd);
    free(node);
}

/* ------------------------------------------------------------------ */

static int getattr(struct hk_fs_root *root, struct hk_fs_node *node,
                   struct hk_fs_file *file, struct hk_fs_attr *attr)
{
    return hk_lx_stat(hk_lx(root), file != NULL ? file->fd : node->fd, NULL,
                      false, attr);
}

static int readlink_node(struct hk_fs_root *root, struct hk_fs_node *node,
                         char *to, size_t size)
{
    ssize_t len = readlinkat(node->fd, "", to, size);

    (void)root;
    return len < 0 ? -errno : (int)len;
}

static int statfs_node(struct hk_fs_root *root, struct hk_fs_node *node,
                       struct hk_fs_statfs *out)
{
    struct statfs st;

    (void)root;
    if (fstatfs(node->fd, &st) < 0)
        return -errno;
    *out = (struct hk_fs_statfs){
        .blocks = st.f_blocks,
        .bfree = st.f_bfree,
        .bavail = st.f_bavail,
        .files = st.f_files,
        .ffree = st.f_ffree,
        .bsize = (uint32_t)st.f_bsize,
        .frsize = (uint32_t)(st.f_frsize != 0 ? st.f_frsize : st.f_bsize),
        .namelen = (uint32_t)st.f_namelen,
    };
    return 0;
}

/* ------------------------------------------------------------------ */
/* The root                                                           */

static void close_root(struct hk_fs_root *base)
{
    struct hk_lx_root *root = hk_lx(base);

    if (root->fd >= 0)
        close(root->fd);
    if (root->proc >= 0)
        close(root->proc);
    pthread_mutex_destroy(&root->owners);
    free(root);
}

static const struct hk_fs_ops linux_ops = {
    .name = "linux",
    .close_root = close_root,
    .lookup = lookup,
    .open_node = open_node,
    .close_node = close_node,
    .getattr = getattr,
    .setattr = hk_lx_setattr,
    .readlink = readlink_node,
    .statfs = statfs_node,
    .make = hk_lx_make,
    .create = hk_lx_create,
    .link = hk_lx_link,
    .unlink = hk_lx_unlink,
    .rename = hk_lx_rename,
    .open = hk_lx_open,
    .close = hk_lx_close,
    .readv = hk_lx_readv,
    .writev = hk_lx_writev,
    .flush = hk_lx_flush,
    .fsync = hk_lx_fsync,
    .fallocate = hk_lx_fallocate,
    .seek = hk_lx_seek,
    .copy = hk_lx_copy,
    .open_dir = hk_lx_open_dir,
    .close_dir = hk_lx_close_dir,
    .next_entry = hk_lx_next_entry,
    .sync_dir = hk_lx_sync_dir,
    .get_xattr = hk_lx_get_xattr,
    .set_xattr = hk_lx_set_xattr,
    .list_xattr = hk_lx_list_xattr,
    .remove_xattr = hk_lx_remove_xattr,
};

/* Whether files there can have attributes of ours. */
static bool has_xattrs(int fd)
{
    char path[HK_LX_PATH], text[HK_FS_OVERRIDE_MAX];

    hk_lx_path(fd, path);
    return getxattr(path, HK_FS_OVERRIDE_XATTR, text, sizeof(text)) >= 0 ||
           errno != EOPNOTSUPP;
}

/* Those whose files come from elsewhere may refuse written data late. */
static bool has_late_errors(long type)
{
    static const uint32_t late[] = {
        NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
        CEPH_SUPER_MAGIC, V9FS_MAGIC,      AFS_FS_MAGIC,     CODA_SUPER_MAGIC,
        FUSE_SUPER_MAGIC, AFS_SUPER_MAGIC};

    for (size_t i = 0; i < HK_COUNT(late); i++)
        if ((uint32_t)type == late[i])
            return true;
    return false;
}

static int open_descriptors(struct hk_lx_root *root, const char *path,
                            struct hk_errmsg *err)
{
    struct hk_fs_attr attr;
    struct statfs st;
    int rc;

    root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root->fd < 0)
        return hk_err_set(err, -errno, "cannot share %s: %s", path,
                          strerror(errno));
    root->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root->proc < 0)
        return hk_err_set(err, -errno, "cannot share %s: /proc is needed: %s",
                          path, strerror(errno));
    rc = hk_lx_stat(root, root->fd, NULL, true, &attr);
    if (rc < 0 || fstatfs(root->fd, &st) < 0)
        return hk_err_set(err, rc < 0 ? rc : -errno,
                          "cannot look into %s to share it", path);
    root->dev = attr.dev;
    root->base.late_errors = has_late_errors(st.f_type);
    root->is_proc = st.f_type == PROC_SUPER_MAGIC;
    root->xattrs = has_xattrs(root->fd);
    return 0;
}

int hk_fs_root_open(const struct hk_fs_root_config *config,
                    struct hk_fs_root **out, struct hk_errmsg *err)
{
    struct hk_lx_root *root = calloc(1, sizeof(*root));
    int rc;

    if (root == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    root->base.ops = &linux_ops;
    root->fd = root->proc = -1;
    root->read_only = config->read_only;
    pthread_mutex_init(&root->owners, NULL);
    rc = open_descriptors(root, config->path, err);
    if (rc < 0) {
        close_root(&root->base);
        return rc;
    }
    hk_lx_choose_owners(root, config->owners);
    *out = &root->base;
    return 0;
}

uint32_t hk_fs_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 256;
    return limit.rlim_cur < UINT32_MAX ? (uint32_t)limit.rlim_cur : UINT32_MAX;
}
