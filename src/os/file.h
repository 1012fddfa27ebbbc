/*
 * Files by position, and a whole file at once. Paths are UTF-8, without NUL
 * or length surprises: they are given to the host as they are.
 * Twins: linux/file.c.
 *
 * Threads: any; one open file may be read by several threads at once, but
 * close needs the others to be done.
 * Every function that takes `err` fills it with one sentence that names the
 * path; `err` may be NULL.
 */
#ifndef HK_OS_FILE_H
#define HK_OS_FILE_H

#include "base/compiler.h"
#include "base/err.h"

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
