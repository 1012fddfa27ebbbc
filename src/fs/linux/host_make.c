/*
 * Making, removing, renaming and changing files on Linux; see host.c and
 * host_owner.c.
 */
#define _GNU_SOURCE
#include "host_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

_Static_assert(RENAME_NOREPLACE == HK_FS_RENAME_NOREPLACE &&
                   RENAME_EXCHANGE == HK_FS_RENAME_EXCHANGE,
               "rename flags");

/* Plain access bits for open; see hk_lx_open for the others. */
static int access_flags(uint32_t flags)
{
    static const int access[] = {O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR};
    int out = access[flags & (HK_FS_READ | HK_FS_WRITE)];

    if ((flags & HK_FS_SYNC) != 0)
        out |= O_SYNC;
    else if ((flags & HK_FS_DSYNC) != 0)
        out |= O_DSYNC;
    return out;
}

/* ------------------------------------------------------------------ */
/* Making                                                             */

/* The mode that a new file is made with. */
static mode_t first_mode(const struct hk_lx_root *root, uint32_t mode)
{
    if (root->real)
        return mode & 07777;
    return (mode & 0777) | ((mode & HK_S_IFMT) == HK_S_IFDIR ? 0700 : 0600);
}

/* A new plain file, open; as the caller. */
static int make_file(struct hk_lx_root *root, int dir, const char *name,
                     int flags, uint32_t mode,
                     const struct hk_fs_caller *caller)
{
    int rc = hk_lx_enter(root, caller), fd;

    if (rc < 0)
        return rc;
    fd = openat(dir, name,
                flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY |
                    O_NONBLOCK,
                first_mode(root, mode));
    rc = fd < 0 ? -errno : fd;
    hk_lx_leave(root);
    return rc;
}

/* A plain file and what the guest shall see of it; removed on failure. */
static int new_file(struct hk_lx_root *root, int dir, const char *name,
                    int flags, uint32_t mode, uint32_t rdev,
                    const struct hk_fs_caller *caller)
{
    struct hk_fs_override wanted;
    int rc = hk_lx_inherit(root, dir, caller, mode, &wanted), fd;

    if (rc < 0)
        return rc;
    wanted.rdev = rdev;
    fd = make_file(root, dir, name, flags, mode, caller);
    if (fd < 0)
        return fd;
    rc = hk_lx_adopt_new(root, fd, &wanted);
    if (rc < 0) {
        close(fd);
        (void)unlinkat(dir, name, 0);
        return rc;
    }
    return fd;
}

static int new_dir(struct hk_lx_root *root, int dir, const char *name,
                   uint32_t mode, const struct hk_fs_caller *caller)
{
    struct hk_fs_override wanted;
    struct hk_fs_attr attr;
    int rc = hk_lx_inherit(root, dir, caller, mode, &wanted), fd;

    if (rc == 0)
        rc = hk_lx_enter(root, caller);
    if (rc < 0)
        return rc;
    rc = mkdirat(dir, name, first_mode(root, mode)) < 0 ? -errno : 0;
    hk_lx_leave(root);
    if (rc < 0)
        return rc;
    fd = hk_lx_open_path(root, dir, name);
    if (fd < 0)
        return fd;
    /* Whoever else may write here could have put something in its place;
     * what is not such a directory is left alone. */
    rc = hk_lx_stat(root, fd, NULL, true, &attr);
    if (rc == 0 && (attr.mode & HK_S_IFMT) == HK_S_IFDIR &&
        attr.uid == (root->real ? caller->uid : root->uid)) {
        if (root->real) /* group and set-group-id came from the host */
            wanted.mode |= attr.mode & HK_S_ISGID;
        rc = hk_lx_adopt_new(root, fd, &wanted);
        if (rc < 0)
            (void)unlinkat(dir, name, AT_REMOVEDIR);
    }
    close(fd);
    return rc;
}

static int new_link(struct hk_lx_root *root, int dir, const char *name,
                    const char *target, const struct hk_fs_caller *caller)
{
    int rc = hk_lx_enter(root, caller);

    if (rc < 0)
        return rc;
    rc = symlinkat(target, dir, name) < 0 ? -errno : 0;
    hk_lx_leave(root);
    return rc;
}

/* FIFOs, sockets, and the whiteout of overlay file systems, which is a
 * character device in name only. */
static int new_special(struct hk_lx_root *root, int dir, const char *name,
                       const struct hk_fs_make *make,
                       const struct hk_fs_caller *caller)
{
    int rc = hk_lx_enter(root, caller);

    if (rc < 0)
        return rc;
    rc = mknodat(dir, name, make->mode, 0) < 0 ? -errno : 0;
    hk_lx_leave(root);
    return rc;
}

static int make_one(struct hk_lx_root *root, int dir, const char *name,
                    const struct hk_fs_make *make,
                    const struct hk_fs_caller *caller)
{
    uint32_t type = make->mode & HK_S_IFMT;
    bool is_device = type == HK_S_IFCHR || type == HK_S_IFBLK;
    int fd;

    if (type == HK_S_IFDIR)
        return new_dir(root, dir, name, make->mode, caller);
    if (type == HK_S_IFLNK)
        return new_link(root, dir, name, make->target, caller);
    if (type == HK_S_IFCHR && make->rdev == 0)
        return new_special(root, dir, name, make, caller);
    if (type != HK_S_IFREG && !is_device && (root->real || !root->xattrs))
        return new_special(root, dir, name, make, caller);
    fd = new_file(root, dir, name, O_RDONLY, make->mode, make->rdev, caller);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int hk_lx_make(struct hk_fs_root *root, struct hk_fs_node *dir,
               const char *name, const struct hk_fs_make *make,
               const struct hk_fs_caller *caller)
{
    int rc;

    do
        rc = make_one(hk_lx(root), dir->fd, name, make, caller);
    while (rc == -HK_EACCES && hk_lx_reach(hk_lx(root), dir->fd));
    return rc;
}

int hk_lx_create(struct hk_fs_root *base, struct hk_fs_node *dir,
                 const char *name, uint32_t mode, uint32_t open_flags,
                 const struct hk_fs_caller *caller, struct hk_fs_file **out,
                 struct hk_fs_attr *attr)
{
    struct hk_lx_root *root = hk_lx(base);
    struct hk_fs_file *file = calloc(1, sizeof(*file));
    int rc;

    if (file == NULL)
        return -HK_ENOMEM;
    do
        rc = new_file(root, dir->fd, name, access_flags(open_flags),
                      HK_S_IFREG | mode, 0, caller);
    while (rc == -HK_EACCES && hk_lx_reach(root, dir->fd));
    file->fd = rc;
    if (rc >= 0)
        rc = hk_lx_stat(root, file->fd, NULL, false, attr);
    if (rc < 0) {
        if (file->fd >= 0)
            close(file->fd);
        free(file);
        return rc;
    }
    *out = file;
    return 0;
}

/* ------------------------------------------------------------------ */
/* Names                                                              */

int hk_lx_link(struct hk_fs_root *root, struct hk_fs_node *node,
               struct hk_fs_node *dir, const char *name)
{
    char path[HK_LX_PATH];
    int rc;

    hk_lx_path(node->fd, path);
    do
        rc = linkat(AT_FDCWD, path, dir->fd, name, AT_SYMLINK_FOLLOW) < 0
                 ? -errno
                 : 0;
    while (rc == -HK_EACCES && hk_lx_reach(hk_lx(root), dir->fd));
    return rc;
}

int hk_lx_unlink(struct hk_fs_root *root, struct hk_fs_node *dir,
                 const char *name, bool directory)
{
    int rc;

    do
        rc = unlinkat(dir->fd, name, directory ? AT_REMOVEDIR : 0) < 0 ? -errno
                                                                       : 0;
    while (rc == -HK_EACCES && hk_lx_reach(hk_lx(root), dir->fd));
    return rc;
}

int hk_lx_rename(struct hk_fs_root *base, struct hk_fs_node *dir,
                 const char *name, struct hk_fs_node *new_dir,
                 const char *new_name, uint32_t flags)
{
    struct hk_lx_root *root = hk_lx(base);
    bool again = true;
    int rc = 0;

    while (again) {
        rc = renameat2(dir->fd, name, new_dir->fd, new_name, flags) < 0 ? -errno
                                                                        : 0;
        again = false;
        if (rc == -HK_EACCES) {
            again = hk_lx_reach(root, dir->fd);
            again = hk_lx_reach(root, new_dir->fd) || again;
        }
    }
    return rc;
}

/* ------------------------------------------------------------------ */
/* Attributes                                                         */

static int set_size(struct hk_lx_root *root, int fd, struct hk_fs_file *file,
                    uint64_t size)
{
    char path[HK_LX_PATH];
    int rc;

    if (file != NULL)
        return ftruncate(file->fd, (off_t)size) < 0 ? -errno : 0;
    hk_lx_path(fd, path);
    do
        rc = truncate(path, (off_t)size) < 0 ? -errno : 0;
    while (rc == -HK_EACCES && hk_lx_reach(root, fd));
    return rc;
}

static struct timespec timespec_of(const struct hk_fs_set *set, uint32_t given,
                                   uint32_t now, const struct hk_fs_time *t)
{
    struct timespec ts = {.tv_nsec = UTIME_OMIT};

    if ((set->flags & now) != 0)
        ts.tv_nsec = UTIME_NOW;
    else if ((set->flags & given) != 0)
        ts = (struct timespec){.tv_sec = t->sec, .tv_nsec = t->nsec};
    return ts;
}

static int set_times(int fd, const struct hk_fs_set *set)
{
    char path[HK_LX_PATH];
    struct timespec times[2] = {
        timespec_of(set, HK_FS_SET_ATIME, HK_FS_SET_ATIME_NOW, &set->atime),
        timespec_of(set, HK_FS_SET_MTIME, HK_FS_SET_MTIME_NOW, &set->mtime),
    };

    if (utimensat(fd, "", times, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOENT)
        return -errno;
    hk_lx_path(fd, path); /* before Linux 5.8 */
    return utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
}

int hk_lx_setattr(struct hk_fs_root *base, struct hk_fs_node *node,
                  struct hk_fs_file *file, const struct hk_fs_set *set)
{
    const uint32_t owner = HK_FS_SET_MODE | HK_FS_SET_UID | HK_FS_SET_GID;
    const uint32_t times = HK_FS_SET_ATIME | HK_FS_SET_MTIME |
                           HK_FS_SET_ATIME_NOW | HK_FS_SET_MTIME_NOW;
    struct hk_lx_root *root = hk_lx(base);
    int fd = node != NULL ? node->fd : file->fd;
    int rc = 0;

    if ((set->flags & owner) != 0)
        rc = hk_lx_set_owner(root, fd, set);
    if (rc == 0 && (set->flags & HK_FS_SET_KILL_PRIV) != 0)
        rc = hk_lx_kill_priv(root, fd);
    if (rc == 0 && (set->flags & HK_FS_SET_SIZE) != 0)
        rc = set_size(root, fd, file, set->size);
    if (rc == 0 && (set->flags & times) != 0)
        rc = set_times(fd, set);
    return rc;
}
