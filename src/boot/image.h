/*
 * A kernel file, taken apart: which bytes go to which guest-physical address
 * and where the CPU starts. Nothing here touches guest memory; everything a
 * file says is checked before it is believed.
 *
 * Formats: ELF64 (a vmlinux), bzImage (its payload is unpacked on the host
 * and must be an ELF64), an ELF64 packed as a whole, and flat images.
 *
 * Any thread; one image per thread at a time.
 */
#ifndef HK_BOOT_IMAGE_H
#define HK_BOOT_IMAGE_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum hk_image_format {
    HK_IMAGE_AUTO, /* by the first bytes; never flat */
    HK_IMAGE_ELF,
    HK_IMAGE_BZIMAGE,
    HK_IMAGE_RAW, /* flat: copied as it is */
};

enum {
    HK_IMAGE_SEGMENTS_MAX = 32,
    HK_IMAGE_SETUP_AT = 0x1f1, /* the setup header's place in the zero page */
    HK_IMAGE_SETUP_END = 0x290,
};
#define HK_IMAGE_UNPACK_MAX (1ull << 30) /* bytes, the default limit */

/* What to take apart; all pointers borrowed as long as the image lives. */
struct hk_image_source {
    const char *name; /* for messages, usually the path */
    const uint8_t *data;
    uint64_t size;
    enum hk_image_format format;
    uint64_t raw_gpa;    /* HK_IMAGE_RAW: where the first byte goes */
    uint64_t raw_entry;  /* HK_IMAGE_RAW: where to start */
    uint64_t unpack_max; /* bytes; 0 for HK_IMAGE_UNPACK_MAX */
};

struct hk_image_segment {
    uint64_t gpa;
    uint64_t mem_size;  /* not 0; what the file does not fill is zero */
    uint64_t file_size; /* at most mem_size */
    const uint8_t *bytes;
};

struct hk_image {
    enum hk_image_format format; /* never AUTO */
    const char *packing;         /* "zstd", ...; NULL when not packed */
    struct hk_image_segment segment[HK_IMAGE_SEGMENTS_MAX];
    uint32_t segment_count; /* at least 1 */
    uint64_t entry;         /* guest-physical, inside a segment */
    uint64_t start, end;    /* of all segments */

    /* From a bzImage's setup header; else what any kernel takes. */
    uint32_t cmdline_max; /* bytes without the NUL */
    uint64_t initrd_last; /* highest address an initrd may use */
    uint8_t setup[HK_IMAGE_SETUP_END - HK_IMAGE_SETUP_AT];
    uint32_t setup_size; /* 0: no setup header */

    uint8_t *unpacked;      /* owned; NULL when not packed */
    uint64_t unpacked_size; /* bytes: an ELF file */
};

/*
 * Fills `image`; to be released with hk_image_fini, also after failure.
 * Errors, each with a sentence that names the file and a way out:
 * -HK_ENOEXEC not a kernel for this machine or a damaged one; -HK_ENOTSUP a
 * compression this build cannot unpack; -HK_EFBIG unpacks to more than the
 * limit; -HK_EINVAL raw addresses that make no sense; -HK_ENOMEM.
 */
int hk_image_parse(const struct hk_image_source *source, struct hk_image *image,
                   struct hk_errmsg *err) HK_MUST_CHECK;
/* Are these bytes anywhere in what is loaded? */
bool hk_image_has(const struct hk_image *image, const char *text);

void hk_image_fini(struct hk_image *image);

#endif
