/*
 * Open files and directories on Linux; see host.c.
 */
#define _GNU_SOURCE
#include "host_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

_Static_assert(sizeof(struct hk_iov) == sizeof(struct iovec) &&
                   offsetof(struct hk_iov, len) ==
                       offsetof(struct iovec, iov_len),
               "one shape");
_Static_assert(FALLOC_FL_KEEP_SIZE == HK_FS_KEEP_SIZE &&
                   FALLOC_FL_PUNCH_HOLE == HK_FS_PUNCH_HOLE &&
                   FALLOC_FL_ZERO_RANGE == HK_FS_ZERO_RANGE,
               "fallocate flags");
_Static_assert(SEEK_DATA == HK_FS_SEEK_DATA && SEEK_HOLE == HK_FS_SEEK_HOLE,
               "seek");

enum { LISTING = 32768 };

/* ------------------------------------------------------------------ */
/* Opening                                                            */

/* See the essay in host.c. */
static bool is_forbidden(const struct hk_lx_root *root,
                         const struct hk_fs_node *node)
{
    struct statfs st;

    if (!node->foreign)
        return root->is_proc;
    return fstatfs(node->fd, &st) < 0 || st.f_type == PROC_SUPER_MAGIC;
}

static int reopen_once(struct hk_lx_root *root, int fd, int flags)
{
    char path[HK_LX_PATH];
    int got;

    snprintf(path, sizeof(path), "%d", fd);
    flags |= O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    /* Only the owner may leave the access time alone. */
    got = root->read_only ? openat(root->proc, path, flags | O_NOATIME) : -1;
    if (got < 0 && (!root->read_only || errno == EPERM))
        got = openat(root->proc, path, flags);
    return got < 0 ? -errno : got;
}

/* Opens what an O_PATH descriptor stands for; its type was checked. */
static int reopen(struct hk_lx_root *root, int fd, int flags)
{
    int rc;

    do
        rc = reopen_once(root, fd, flags);
    while (rc == -HK_EACCES && hk_lx_reach(root, fd));
    return rc;
}

static int flags_of(uint32_t flags)
{
    static const int access[] = {O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR};
    int out = access[flags & (HK_FS_READ | HK_FS_WRITE)];

    if ((flags & HK_FS_TRUNCATE) != 0)
        out |= O_TRUNC;
    if ((flags & HK_FS_SYNC) != 0)
        out |= O_SYNC;
    else if ((flags & HK_FS_DSYNC) != 0)
        out |= O_DSYNC;
    return out;
}

int hk_lx_open(struct hk_fs_root *root, struct hk_fs_node *node,
               uint32_t open_flags, struct hk_fs_file **out)
{
    struct hk_fs_file *file;
    int fd;

    if (node->type != HK_S_IFREG)
        return node->type == HK_S_IFDIR ? -HK_EISDIR : -HK_ENXIO;
    if (is_forbidden(hk_lx(root), node))
        return -HK_EACCES;
    file = calloc(1, sizeof(*file));
    if (file == NULL)
        return -HK_ENOMEM;
    fd = reopen(hk_lx(root), node->fd, flags_of(open_flags));
    if (fd < 0) {
        free(file);
        return fd;
    }
    file->fd = fd;
    *out = file;
    return 0;
}

void hk_lx_close(struct hk_fs_root *root, struct hk_fs_file *file)
{
    (void)root;
    close(file->fd);
    free(file);
}

/* ------------------------------------------------------------------ */
/* Bytes                                                              */

static const struct iovec *iovec_of(const struct hk_iov *iov)
{
    return (const struct iovec *)(const void *)iov;
}

int64_t hk_lx_readv(struct hk_fs_root *root, struct hk_fs_file *file,
                    const struct hk_iov *iov, size_t count, uint64_t offset)
{
    ssize_t got;

    (void)root;
    do
        got = preadv(file->fd, iovec_of(iov), (int)count, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static ssize_t append_at_end(int fd, const struct hk_iov *iov, size_t count)
{
    ssize_t put = pwritev2(fd, iovec_of(iov), (int)count, 0, RWF_APPEND);
    off_t end;

    if (put >= 0 || errno != EOPNOTSUPP)
        return put;
    end = lseek(fd, 0, SEEK_END);
    return end < 0 ? -1 : pwritev(fd, iovec_of(iov), (int)count, end);
}

int64_t hk_lx_writev(struct hk_fs_root *root, struct hk_fs_file *file,
                     const struct hk_iov *iov, size_t count, uint64_t offset,
                     bool append)
{
    ssize_t put;

    (void)root;
    do
        put = append
                  ? append_at_end(file->fd, iov, count)
                  : pwritev(file->fd, iovec_of(iov), (int)count, (off_t)offset);
    while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : put;
}

/* Network file systems report at close; so close a copy. */
int hk_lx_flush(struct hk_fs_root *root, struct hk_fs_file *file)
{
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);

    (void)root;
    if (fd < 0) /* no descriptor left is no fault of the file */
        return 0;
    return close(fd) < 0 ? -errno : 0;
}

static int sync_fd(int fd, bool data_only)
{
    return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

int hk_lx_fsync(struct hk_fs_root *root, struct hk_fs_file *file,
                bool data_only)
{
    (void)root;
    return sync_fd(file->fd, data_only);
}

int hk_lx_fallocate(struct hk_fs_root *root, struct hk_fs_file *file,
                    uint32_t flags, uint64_t offset, uint64_t len)
{
    int rc;

    (void)root;
    do
        rc = fallocate(file->fd, (int)flags, (off_t)offset, (off_t)len);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

int64_t hk_lx_seek(struct hk_fs_root *root, struct hk_fs_file *file,
                   uint64_t offset, enum hk_fs_seek whence)
{
    off_t at = lseek(file->fd, (off_t)offset, (int)whence);

    (void)root;
    return at < 0 ? -errno : at;
}

int64_t hk_lx_copy(struct hk_fs_root *root, struct hk_fs_file *from,
                   uint64_t from_offset, struct hk_fs_file *to,
                   uint64_t to_offset, uint64_t len)
{
    off64_t in = (off64_t)from_offset, out = (off64_t)to_offset;
    ssize_t done = copy_file_range(from->fd, &in, to->fd, &out, len, 0);

    (void)root;
    return done < 0 ? -errno : done;
}

/* ------------------------------------------------------------------ */
/* Directories                                                        */

struct linux_dirent {
    uint64_t ino;
    int64_t next;
    uint16_t len;
    uint8_t type;
    char name[];
};

struct hk_fs_dir {
    int fd;
    uint32_t pos;  /* of the next entry in buffer */
    uint32_t len;  /* bytes in buffer */
    uint32_t last; /* position of the entry given last */
    uint64_t at;   /* cookie of the next entry */
    uint64_t last_at;
    bool has_last;
    uint64_t buffer[LISTING / sizeof(uint64_t)];
};

int hk_lx_open_dir(struct hk_fs_root *root, struct hk_fs_node *node,
                   struct hk_fs_dir **out)
{
    struct hk_fs_dir *dir;
    int fd;

    if (node->type != HK_S_IFDIR)
        return -HK_ENOTDIR;
    fd = reopen(hk_lx(root), node->fd, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    dir = malloc(sizeof(*dir));
    if (dir == NULL) {
        close(fd);
        return -HK_ENOMEM;
    }
    dir->fd = fd;
    dir->pos = dir->len = 0;
    dir->at = 0;
    dir->has_last = false;
    *out = dir;
    return 0;
}

void hk_lx_close_dir(struct hk_fs_root *root, struct hk_fs_dir *dir)
{
    (void)root;
    close(dir->fd);
    free(dir);
}

/* Brings the stream to `cookie`; usually it is there, or one entry ahead. */
static int go_to(struct hk_fs_dir *dir, uint64_t cookie)
{
    if (cookie != 0 && cookie == dir->at)
        return 0;
    if (cookie != 0 && dir->has_last && cookie == dir->last_at) {
        dir->pos = dir->last;
        dir->at = cookie;
        return 0;
    }
    dir->pos = dir->len = 0;
    dir->has_last = false;
    if (lseek(dir->fd, (off_t)cookie, SEEK_SET) < 0)
        return -errno;
    dir->at = cookie;
    return 0;
}

static int fill(struct hk_fs_dir *dir)
{
    long got = syscall(SYS_getdents64, dir->fd, dir->buffer, LISTING);

    /* A directory that was removed has no entries any more. */
    if (got < 0)
        return errno == ENOENT ? 0 : -errno;
    dir->pos = 0;
    dir->len = (uint32_t)got;
    dir->has_last = false;
    return got > 0;
}

int hk_lx_next_entry(struct hk_fs_root *root, struct hk_fs_dir *dir,
                     uint64_t cookie, struct hk_fs_dirent *out)
{
    const struct linux_dirent *d;
    int rc = go_to(dir, cookie);

    (void)root;
    if (rc == 0)
        rc = dir->pos < dir->len ? 1 : fill(dir);
    if (rc <= 0)
        return rc;
    d = (const void *)((const char *)dir->buffer + dir->pos);
    *out = (struct hk_fs_dirent){
        .ino = d->ino,
        .next = (uint64_t)d->next,
        .type = d->type,
        .len = (uint32_t)strnlen(d->name, HK_FS_NAME_MAX + 1),
        .name = d->name,
    };
    dir->last = dir->pos;
    dir->last_at = dir->at;
    dir->has_last = true;
    dir->pos += d->len;
    dir->at = (uint64_t)d->next;
    return 1;
}

int hk_lx_sync_dir(struct hk_fs_root *root, struct hk_fs_dir *dir,
                   bool data_only)
{
    (void)root;
    return sync_fd(dir->fd, data_only);
}
