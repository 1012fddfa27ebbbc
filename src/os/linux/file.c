/* Files. Linux twin. Linux errno values are our error numbers already. */
#define _GNU_SOURCE
#include "os/file.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FIRST_BUFFER = 64 * 1024,
    TRANSFER_MAX = 1 << 30,
    PIECES_MAX = 64, /* of one host call */
    DIRECT_ALIGN = 4096,
    BOUNCE_MAX = 1 << 20,
};

/* Requests that direct I/O does not allow go through the second descriptor;
 * the host keeps its page cache and direct transfers in step. */
struct hk_os_file {
    int fd;
    int direct; /* or -1 */
};

static int describe(struct hk_errmsg *err, int code, const char *path)
{
    return hk_err_set(err, code, "%s: %s", path, hk_err_text(code));
}

/* Returns a descriptor of something that is not a directory, or a code. */
static int open_path(const char *path, int flags, struct stat *info)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int code = fstat(fd, info) == 0 ? 0 : -errno;
    if (code == 0 && S_ISDIR(info->st_mode))
        code = -HK_EISDIR;
    if (code == 0)
        return fd;
    close(fd);
    return code;
}

/* Links and everything that could wait or act when opened are refused. */
static int open_plain(const char *path, int flags, struct stat *info)
{
    int fd = open_path(path, flags | O_NOFOLLOW | O_NONBLOCK, info);
    if (fd < 0 || S_ISREG(info->st_mode))
        return fd;
    close(fd);
    return -HK_EPERM;
}

int hk_os_file_open(const char *path, bool writable, struct hk_os_file **out,
                    struct hk_errmsg *err)
{
    return hk_os_file_open_as(path, writable ? HK_OS_FILE_WRITE : 0, out, err);
}

/* By way of the open descriptor, so that both are the same file. A file
 * system without direct I/O says EINVAL: then there is only the cached way. */
static int open_direct(int fd, int flags)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_DIRECT | O_CLOEXEC);
}

int hk_os_file_open_as(const char *path, unsigned flags,
                       struct hk_os_file **out, struct hk_errmsg *err)
{
    struct stat info;
    int mode = flags & HK_OS_FILE_WRITE ? O_RDWR : O_RDONLY;
    int fd = flags & HK_OS_FILE_PLAIN ? open_plain(path, mode, &info)
                                      : open_path(path, mode, &info);
    if (fd < 0)
        return describe(err, fd, path);
    struct hk_os_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        close(fd);
        return describe(err, -HK_ENOMEM, path);
    }
    file->fd = fd;
    file->direct = flags & HK_OS_FILE_DIRECT ? open_direct(fd, mode) : -1;
    *out = file;
    return 0;
}

void hk_os_file_close(struct hk_os_file *file)
{
    if (file == NULL)
        return;
    if (file->direct >= 0)
        close(file->direct);
    close(file->fd);
    free(file);
}

int hk_os_file_id(struct hk_os_file *file, struct hk_os_file_id *id)
{
    struct stat info;
    if (fstat(file->fd, &info) < 0)
        return -errno;
    id->device = info.st_dev;
    id->special = info.st_rdev;
    id->inode = info.st_ino;
    id->is_block_device = S_ISBLK(info.st_mode);
    return 0;
}

/*
 * QEMU's convention for images: a shared lock on byte 100+n says "I use
 * permission n", one on byte 200+n "nobody else may use permission n". After
 * taking its own, everybody looks whether someone holds the opposite ones.
 */
enum {
    LOCK_USED = 100,
    LOCK_REFUSED = 200,
    PERM_READ = 1 << 0,
    PERM_WRITE = 1 << 1,
    PERM_RESIZE = 1 << 3,
    PERM_COUNT = 4,
};

static int take_locks(int fd, off_t first, unsigned bits)
{
    for (int n = 0; n < PERM_COUNT; n++) {
        struct flock lock = {.l_type = F_RDLCK,
                             .l_whence = SEEK_SET,
                             .l_start = first + n,
                             .l_len = 1};
        if ((bits >> n & 1) && fcntl(fd, F_OFD_SETLK, &lock) < 0)
            return -errno;
    }
    return 0;
}

static int look_for_locks(int fd, off_t first, unsigned bits)
{
    for (int n = 0; n < PERM_COUNT; n++) {
        struct flock lock = {.l_type = F_WRLCK,
                             .l_whence = SEEK_SET,
                             .l_start = first + n,
                             .l_len = 1};
        if (!(bits >> n & 1))
            continue;
        if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
            return -errno;
        if (lock.l_type != F_UNLCK)
            return -HK_EBUSY;
    }
    return 0;
}

int hk_os_file_lock(struct hk_os_file *file, bool writing)
{
    unsigned used = PERM_READ, refused = PERM_WRITE | PERM_RESIZE;
    if (writing)
        used |= PERM_WRITE | PERM_RESIZE;
    int code = take_locks(file->fd, LOCK_USED, used);
    if (code == 0)
        code = take_locks(file->fd, LOCK_REFUSED, refused);
    if (code == 0)
        code = look_for_locks(file->fd, LOCK_REFUSED, used);
    if (code == 0)
        code = look_for_locks(file->fd, LOCK_USED, refused);
    if (code == -EAGAIN || code == -EACCES)
        return -HK_EBUSY;
    if (code == -ENOLCK || code == -EINVAL || code == -ENOSYS)
        return -HK_ENOTSUP;
    return code;
}

int hk_os_file_size(struct hk_os_file *file, uint64_t *size)
{
    /* A block device's stat size is 0; its end is found by seeking. All
     * transfers name their offset, so the moved file position is harmless. */
    off_t end = lseek(file->fd, 0, SEEK_END);
    if (end < 0)
        return -errno;
    *size = (uint64_t)end;
    return 0;
}

int hk_os_file_pread(struct hk_os_file *file, void *to, uint64_t len,
                     uint64_t offset)
{
    struct hk_iov piece = {to, (size_t)len};
    return hk_os_file_preadv(file, &piece, 1, offset);
}

int hk_os_file_pwrite(struct hk_os_file *file, const void *from, uint64_t len,
                      uint64_t offset)
{
    struct hk_iov piece = {(uint8_t *)(uintptr_t)from, (size_t)len};
    return hk_os_file_pwritev(file, &piece, 1, offset);
}

/* One host call for the front of `*left`, which moves on by what was done. */
static int transfer_some(int fd, struct hk_iov_pos *left, uint64_t *offset,
                         bool is_write)
{
    struct hk_iov pieces[PIECES_MAX];
    struct iovec host[PIECES_MAX];
    struct hk_iov_pos ahead = *left;
    size_t count, unused;
    (void)hk_iov_take(&ahead, TRANSFER_MAX, pieces, PIECES_MAX, &count);
    for (size_t i = 0; i < count; i++)
        host[i] = (struct iovec){pieces[i].base, pieces[i].len};

    ssize_t n = is_write ? pwritev(fd, host, (int)count, (off_t)*offset)
                         : preadv(fd, host, (int)count, (off_t)*offset);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (n == 0)
        return is_write ? -HK_EIO : -HK_ENODATA;
    *offset += (uint64_t)n;
    while (n > 0)
        n -= (ssize_t)hk_iov_take(left, (uint64_t)n, pieces, PIECES_MAX,
                                  &unused);
    return 0;
}

static int transfer(int fd, struct hk_iov_pos left, uint64_t len,
                    uint64_t offset, bool is_write)
{
    uint64_t end = offset + len;
    while (offset < end) {
        int code = transfer_some(fd, &left, &offset, is_write);
        if (code < 0)
            return code;
    }
    return 0;
}

static bool is_aligned(const struct hk_iov *iov, size_t count)
{
    uintptr_t bits = 0;
    for (size_t i = 0; i < count; i++)
        bits |= (uintptr_t)iov[i].base | iov[i].len;
    return bits % DIRECT_ALIGN == 0;
}

/* Through a buffer of the alignment that direct I/O wants. */
static int transfer_bounced(int fd, struct hk_iov_pos left, uint64_t len,
                            uint64_t offset, bool is_write)
{
    size_t room = len < BOUNCE_MAX ? (size_t)len : BOUNCE_MAX;
    void *bounce;
    if (posix_memalign(&bounce, DIRECT_ALIGN, room) != 0)
        return -HK_ENOMEM;
    int code = 0;
    while (len > 0 && code == 0) {
        struct hk_iov piece = {bounce, len < room ? (size_t)len : room};
        struct hk_iov_pos whole = {&piece, 1, 0};
        if (is_write)
            (void)hk_iov_get(&left, bounce, piece.len);
        code = transfer(fd, whole, piece.len, offset, is_write);
        if (code == 0 && !is_write)
            (void)hk_iov_put(&left, bounce, piece.len);
        offset += piece.len;
        len -= piece.len;
    }
    free(bounce);
    return code;
}

static int transfer_pieces(struct hk_os_file *file, const struct hk_iov *iov,
                           size_t count, uint64_t offset, bool is_write)
{
    struct hk_iov_pos all = {iov, count, 0};
    uint64_t len;
    if (!hk_iov_total(iov, count, &len) ||
        !hk_range_within(offset, len, INT64_MAX))
        return -HK_EINVAL;
    if (file->direct < 0 || (offset | len) % DIRECT_ALIGN != 0)
        return transfer(file->fd, all, len, offset, is_write);
    int code = is_aligned(iov, count)
                   ? transfer(file->direct, all, len, offset, is_write)
                   : transfer_bounced(file->direct, all, len, offset, is_write);
    if (code != -EINVAL)
        return code;
    /* The device wants more alignment than is usual. */
    return transfer(file->fd, all, len, offset, is_write);
}

int hk_os_file_preadv(struct hk_os_file *file, const struct hk_iov *iov,
                      size_t count, uint64_t offset)
{
    return transfer_pieces(file, iov, count, offset, false);
}

int hk_os_file_pwritev(struct hk_os_file *file, const struct hk_iov *iov,
                       size_t count, uint64_t offset)
{
    return transfer_pieces(file, iov, count, offset, true);
}

int hk_os_file_flush(struct hk_os_file *file)
{
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}

int hk_os_file_zero(struct hk_os_file *file, uint64_t offset, uint64_t len,
                    bool punch)
{
    int mode = punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    if (!hk_range_within(offset, len, INT64_MAX))
        return -HK_EINVAL;
    while (fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)len) < 0) {
        if (errno == ENOSYS || errno == ENODEV)
            return -HK_ENOTSUP;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int hk_os_file_allow_holes(struct hk_os_file *file)
{
    (void)file; /* every file may have some */
    return 0;
}

struct buffer {
    uint8_t *bytes;
    uint64_t len;
    uint64_t room; /* without the closing NUL */
};

static int grow(struct buffer *buffer, uint64_t room)
{
    if (room >= PTRDIFF_MAX)
        return -HK_ENOMEM;
    uint8_t *bytes = realloc(buffer->bytes, (size_t)room + 1);
    if (bytes == NULL)
        return -HK_ENOMEM;
    buffer->bytes = bytes;
    buffer->room = room;
    return 0;
}

/* Transfers are cut so that the host's limit of one call is never met. */
static size_t next_part(uint64_t left)
{
    return left < TRANSFER_MAX ? (size_t)left : TRANSFER_MAX;
}

/* Reads to the end. One byte beyond `max` is asked for to notice an excess. */
static int read_to_end(int fd, uint64_t max, struct buffer *buffer)
{
    for (;;) {
        if (buffer->len == buffer->room) {
            int code = grow(buffer, buffer->room * 2);
            if (code < 0)
                return code;
        }
        ssize_t n = read(fd, buffer->bytes + buffer->len,
                         next_part(buffer->room - buffer->len));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        buffer->len += (uint64_t)n;
        if (buffer->len > max)
            return -HK_EFBIG;
    }
    buffer->bytes[buffer->len] = 0;
    return 0;
}

/* The size that stat gives is a hint only: a file can grow meanwhile, and
 * pipes, devices and files under /proc say 0. */
static uint64_t first_room(const struct stat *info, uint64_t max)
{
    uint64_t size = info->st_size > 0 ? (uint64_t)info->st_size : 0;
    if (size < FIRST_BUFFER)
        return FIRST_BUFFER;
    return size <= max ? size + 1 : FIRST_BUFFER;
}

static int read_path(const char *path, uint64_t max, struct buffer *buffer)
{
    struct stat info;
    int fd = open_path(path, O_RDONLY, &info);
    if (fd < 0)
        return fd;
    int code = 0;
    if (S_ISREG(info.st_mode) && (uint64_t)info.st_size > max)
        code = -HK_EFBIG;
    if (code == 0)
        code = grow(buffer, first_room(&info, max));
    if (code == 0)
        code = read_to_end(fd, max, buffer);
    close(fd);
    return code;
}

/* ------------------------------------------------------------------ */
/* Files that are kept at hand                                        */

/* Never freed: `next` is set before the element can be found. */
struct kept {
    struct kept *next;
    char *path;
    void *bytes; /* a mapping; NULL: the file is empty */
    uint64_t len;
};

static _Atomic(struct kept *) all_kept;

static const struct kept *find_kept(const char *path)
{
    const struct kept *kept = atomic_load(&all_kept);
    while (kept != NULL && strcmp(kept->path, path) != 0)
        kept = kept->next;
    return kept;
}

static int map_file(const char *path, struct kept *kept)
{
    struct stat info;
    int fd = open_path(path, O_RDONLY | O_NONBLOCK, &info);
    if (fd < 0)
        return fd;
    int code = S_ISREG(info.st_mode) ? 0 : -HK_EINVAL;
    kept->len = (uint64_t)info.st_size;
    if (code == 0 && kept->len != 0) {
        kept->bytes = mmap(NULL, kept->len, PROT_READ, MAP_PRIVATE, fd, 0);
        code = kept->bytes != MAP_FAILED ? 0 : -errno;
    }
    close(fd);
    return code;
}

int hk_os_file_keep(const char *path)
{
    if (find_kept(path) != NULL)
        return 0;
    struct kept *kept = calloc(1, sizeof(*kept));
    if (kept == NULL)
        return -HK_ENOMEM;
    kept->path = strdup(path);
    int code = kept->path != NULL ? map_file(path, kept) : -HK_ENOMEM;
    if (code != 0) {
        free(kept->path);
        free(kept);
        return code;
    }
    kept->next = atomic_load(&all_kept);
    while (!atomic_compare_exchange_weak(&all_kept, &kept->next, kept))
        ;
    return 0;
}

static int read_kept(const struct kept *kept, uint64_t max,
                     struct buffer *buffer)
{
    if (kept->len > max)
        return -HK_EFBIG;
    int code = grow(buffer, kept->len);
    if (code != 0)
        return code;
    if (kept->len != 0)
        memcpy(buffer->bytes, kept->bytes, kept->len);
    buffer->bytes[kept->len] = 0;
    buffer->len = kept->len;
    return 0;
}

/* ------------------------------------------------------------------ */

int hk_os_file_read_all(const char *path, uint64_t max, uint8_t **out,
                        uint64_t *len, struct hk_errmsg *err)
{
    struct buffer buffer = {0};
    const struct kept *kept = find_kept(path);
    int code = kept != NULL ? read_kept(kept, max, &buffer)
                            : read_path(path, max, &buffer);
    if (code == 0) {
        *out = buffer.bytes;
        *len = buffer.len;
        return 0;
    }
    free(buffer.bytes);
    if (code == -HK_EFBIG)
        return hk_err_set(err, code, "%s: larger than the limit of %llu bytes",
                          path, (unsigned long long)max);
    return describe(err, code, path);
}
