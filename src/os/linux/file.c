/* Files. Linux twin. Linux errno values are our error numbers already. */
#include "os/file.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_BUFFER = 64 * 1024, TRANSFER_MAX = 1 << 30 };

struct hk_os_file {
    int fd;
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

int hk_os_file_open(const char *path, bool writable, struct hk_os_file **out,
                    struct hk_errmsg *err)
{
    struct stat info;
    int fd = open_path(path, writable ? O_RDWR : O_RDONLY, &info);
    if (fd < 0)
        return describe(err, fd, path);
    struct hk_os_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        close(fd);
        return describe(err, -HK_ENOMEM, path);
    }
    file->fd = fd;
    *out = file;
    return 0;
}

void hk_os_file_close(struct hk_os_file *file)
{
    if (file == NULL)
        return;
    close(file->fd);
    free(file);
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

/* Transfers are cut so that the host's limit of one call is never met. */
static size_t next_part(uint64_t left)
{
    return left < TRANSFER_MAX ? (size_t)left : TRANSFER_MAX;
}

int hk_os_file_pread(struct hk_os_file *file, void *to, uint64_t len,
                     uint64_t offset)
{
    uint8_t *bytes = to;
    if (!hk_range_within(offset, len, INT64_MAX))
        return -HK_EINVAL;
    while (len > 0) {
        ssize_t n = pread(file->fd, bytes, next_part(len), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -HK_ENODATA;
        bytes += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

int hk_os_file_pwrite(struct hk_os_file *file, const void *from, uint64_t len,
                      uint64_t offset)
{
    const uint8_t *bytes = from;
    if (!hk_range_within(offset, len, INT64_MAX))
        return -HK_EINVAL;
    while (len > 0) {
        ssize_t n = pwrite(file->fd, bytes, next_part(len), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -HK_EIO;
        bytes += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
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
