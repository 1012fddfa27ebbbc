/*
 * Error numbers and error sentences.
 *
 * The numbers are Linux errno numbers on every host, so that one value can go
 * to the caller of the ABI, into a FUSE reply and into a TSI reply unchanged.
 * Functions return 0 or a count, or one of these codes negated
 * (`return -HK_EINVAL;`).
 */
#ifndef HK_BASE_ERR_H
#define HK_BASE_ERR_H

#include "base/compiler.h"

#include <stdarg.h>

/* name, Linux number, text */
#define HK_ERR_LIST(X)                                  \
    X(EPERM, 1, "operation not permitted")              \
    X(ENOENT, 2, "no such file or directory")           \
    X(ESRCH, 3, "no such process")                      \
    X(EINTR, 4, "interrupted")                          \
    X(EIO, 5, "input/output error")                     \
    X(ENXIO, 6, "no such device or address")            \
    X(E2BIG, 7, "argument list too long")               \
    X(ENOEXEC, 8, "not a recognised executable format") \
    X(EBADF, 9, "bad file descriptor")                  \
    X(ECHILD, 10, "no child process")                   \
    X(EAGAIN, 11, "try again")                          \
    X(ENOMEM, 12, "out of memory")                      \
    X(EACCES, 13, "permission denied")                  \
    X(EFAULT, 14, "bad address")                        \
    X(EBUSY, 16, "resource busy")                       \
    X(EEXIST, 17, "file exists")                        \
    X(EXDEV, 18, "cross-device link")                   \
    X(ENODEV, 19, "no such device")                     \
    X(ENOTDIR, 20, "not a directory")                   \
    X(EISDIR, 21, "is a directory")                     \
    X(EINVAL, 22, "invalid argument")                   \
    X(ENFILE, 23, "too many open files in the system")  \
    X(EMFILE, 24, "too many open files")                \
    X(ENOTTY, 25, "not a terminal")                     \
    X(EFBIG, 27, "file too large")                      \
    X(ENOSPC, 28, "no space left")                      \
    X(ESPIPE, 29, "not seekable")                       \
    X(EROFS, 30, "read-only file system")               \
    X(EMLINK, 31, "too many links")                     \
    X(EPIPE, 32, "broken pipe")                         \
    X(EDOM, 33, "out of domain")                        \
    X(ERANGE, 34, "out of range")                       \
    X(EDEADLK, 35, "would deadlock")                    \
    X(ENAMETOOLONG, 36, "name too long")                \
    X(ENOSYS, 38, "function not implemented")           \
    X(ENOTEMPTY, 39, "directory not empty")             \
    X(ELOOP, 40, "too many symbolic links")             \
    X(ENODATA, 61, "no data available")                 \
    X(ETIME, 62, "timer expired")                       \
    X(EPROTO, 71, "protocol error")                     \
    X(EBADMSG, 74, "malformed data")                    \
    X(EOVERFLOW, 75, "value too large")                 \
    X(EILSEQ, 84, "invalid byte sequence")              \
    X(ENOTSOCK, 88, "not a socket")                     \
    X(EMSGSIZE, 90, "message too long")                 \
    X(ENOTSUP, 95, "not supported")                     \
    X(EAFNOSUPPORT, 97, "address family not supported") \
    X(EADDRINUSE, 98, "address in use")                 \
    X(EADDRNOTAVAIL, 99, "address not available")       \
    X(ENETUNREACH, 101, "network unreachable")          \
    X(ECONNABORTED, 103, "connection aborted")          \
    X(ECONNRESET, 104, "connection reset")              \
    X(ENOBUFS, 105, "no buffer space")                  \
    X(EISCONN, 106, "already connected")                \
    X(ENOTCONN, 107, "not connected")                   \
    X(ETIMEDOUT, 110, "timed out")                      \
    X(ECONNREFUSED, 111, "connection refused")          \
    X(EHOSTUNREACH, 113, "host unreachable")            \
    X(EALREADY, 114, "already in progress")             \
    X(EINPROGRESS, 115, "in progress")                  \
    X(ESTALE, 116, "stale file handle")                 \
    X(ECANCELED, 125, "cancelled")

enum hk_err {
#define HK_ERR_ENUM(name, number, text) HK_##name = number,
    HK_ERR_LIST(HK_ERR_ENUM)
#undef HK_ERR_ENUM
};

/* Text for a code (sign ignored); never NULL; static storage. */
const char *hk_err_text(int code);

/* Symbol for a code (sign ignored), e.g. "ENOENT"; never NULL; static. */
const char *hk_err_name(int code);

/*
 * A caller-owned sentence that tells a user what failed and what to do. No
 * allocation. Functions that take one accept NULL. Callers prepend context.
 */
struct hk_errmsg {
    char text[512];
};

/* Replaces the sentence (truncates; control characters become '?') and returns
 * `code`, for `return hk_err_set(...)`. `msg` may be NULL. */
int hk_err_set(struct hk_errmsg *msg, int code, const char *format, ...)
    HK_PRINTF(3, 4);

/* Puts "context: " before the present sentence and returns `code`. */
int hk_err_prepend(struct hk_errmsg *msg, int code, const char *format, ...)
    HK_PRINTF(3, 4);

#endif
