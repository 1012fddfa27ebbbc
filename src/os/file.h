/*
 * Files by position, and a whole file at once. Paths are UTF-8, without NUL
 * or length surprises: they are given to the host as they are.
 * Twins: linux/file.c.
 *
 * Threads: any; one open file may be used by several threads at once, but
 * close needs the others to be done.
 * Every function that takes `err` fills it with one sentence that names the
 * path; `err` may be NULL.
 */
#ifndef HK_OS_FILE_H
#define HK_OS_FILE_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/iov.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_os_file;

/*
 * Opens an existing file for reading, and for writing too when `writable`.
 * A directory is refused with -HK_EISDIR. Other errors: the host's.
 */
int hk_os_file_open(const char *path, bool writable, struct hk_os_file **out,
                    struct hk_errmsg *err) HK_MUST_CHECK;
void hk_os_file_close(struct hk_os_file *file); /* NULL is legal */

/* How hk_os_file_open_as opens. */
enum {
    HK_OS_FILE_WRITE = 1,
    /* Past the host's page cache where request and file system allow it; what
     * they do not allow goes through the cache. */
    HK_OS_FILE_DIRECT = 2,
    /* For a name that came from a file: a regular file only, no symbolic link
     * as its last part; anything else is -HK_EPERM or -HK_ELOOP. */
    HK_OS_FILE_PLAIN = 4,
};

int hk_os_file_open_as(const char *path, unsigned flags,
                       struct hk_os_file **out,
                       struct hk_errmsg *err) HK_MUST_CHECK;

/* Which file it is: the numbers that stat gives. */
struct hk_os_file_id {
    uint64_t device;
    uint64_t special; /* of a block device: its own number */
    uint64_t inode;
    bool is_block_device;
};
int hk_os_file_id(struct hk_os_file *file,
                  struct hk_os_file_id *id) HK_MUST_CHECK;

/*
 * Keeps others from writing the file, and, when `writing`, from using it at
 * all, for as long as it is open here. Only those who ask are kept out; on
 * Linux the locks are those that QEMU takes on disk images. -HK_EBUSY taken;
 * -HK_ENOTSUP the file system has no locks.
 */
int hk_os_file_lock(struct hk_os_file *file, bool writing) HK_MUST_CHECK;

/* Bytes in a regular file or on a block device. */
int hk_os_file_size(struct hk_os_file *file, uint64_t *size) HK_MUST_CHECK;

/*
 * Moves exactly `len` bytes at `offset`, or fails. A read past the end of the
 * file gives -HK_ENODATA; the buffer's contents are undefined then.
 */
int hk_os_file_pread(struct hk_os_file *file, void *to, uint64_t len,
                     uint64_t offset) HK_MUST_CHECK;
int hk_os_file_pwrite(struct hk_os_file *file, const void *from, uint64_t len,
                      uint64_t offset) HK_MUST_CHECK;

/* The same from and to several pieces. */
int hk_os_file_preadv(struct hk_os_file *file, const struct hk_iov *iov,
                      size_t count, uint64_t offset) HK_MUST_CHECK;
int hk_os_file_pwritev(struct hk_os_file *file, const struct hk_iov *iov,
                       size_t count, uint64_t offset) HK_MUST_CHECK;

/* What was written is on stable storage afterwards. */
int hk_os_file_flush(struct hk_os_file *file) HK_MUST_CHECK;

/*
 * Makes a range read as zeroes without writing them: `punch` gives its space
 * back, otherwise it stays reserved. Never changes the size. -HK_ENOTSUP the
 * file system cannot.
 */
int hk_os_file_zero(struct hk_os_file *file, uint64_t offset, uint64_t len,
                    bool punch) HK_MUST_CHECK;

/* Lets a host that asks for it keep holes in the file. */
int hk_os_file_allow_holes(struct hk_os_file *file) HK_MUST_CHECK;

/*
 * Reads all of a file, pipe or device up to its end. The buffer is the
 * caller's, to be released with free(); it is never NULL on success and holds
 * one extra NUL byte that `len` does not count. Errors: -HK_EISDIR a
 * directory; -HK_EFBIG more than `max` bytes; -HK_ENOMEM; the host's.
 */
int hk_os_file_read_all(const char *path, uint64_t max, uint8_t **out,
                        uint64_t *len, struct hk_errmsg *err) HK_MUST_CHECK;

/*
 * Keeps a regular file at hand for the rest of the process: from now on
 * hk_os_file_read_all gives its bytes for exactly this path, wherever the path
 * leads by then. For processes that change their root directory. Holds no
 * descriptor, and no memory but what is read of it. The file must not shrink.
 * Keeping a path again does nothing. Errors: -HK_EISDIR, -HK_EINVAL not a
 * regular file, -HK_ENOMEM, the host's.
 */
int hk_os_file_keep(const char *path) HK_MUST_CHECK;

#endif
