/*
 * Unpacking of one compressed stream in memory: gzip, bzip2, lzma, xz,
 * lz4 (the legacy form, which kernels use) and zstd.
 */
#ifndef HK_BOOT_UNPACK_H
#define HK_BOOT_UNPACK_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_packing {
    const char *name;
    uint8_t magic[6];
    uint8_t magic_size;
    bool has_own_size; /* the stream ends with its unpacked size (gzip) */
    int filter;        /* libarchive's number; 0: cannot be unpacked */
};

/* By the first bytes; NULL when unknown. */
const struct hk_packing *hk_packing_find(const uint8_t *data, uint64_t size);

struct hk_unpack {
    const char *name; /* for messages */
    const struct hk_packing *packing;
    const uint8_t *data;
    uint64_t size;
    uint64_t max;      /* bytes of output, above that -HK_EFBIG */
    uint64_t expected; /* exact bytes of output; 0 when not known */
};

/*
 * `*out` is the caller's, to be released with free(). Errors: -HK_ENOEXEC
 * damaged, or not `expected` bytes; -HK_EFBIG; -HK_ENOTSUP; -HK_ENOMEM.
 */
int hk_unpack_run(const struct hk_unpack *job, uint8_t **out,
                  uint64_t *out_size, struct hk_errmsg *err) HK_MUST_CHECK;

#endif
