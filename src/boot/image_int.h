/* The parts of image.h: one parser for each format. Private to boot. */
#ifndef HK_BOOT_IMAGE_INT_H
#define HK_BOOT_IMAGE_INT_H

#include "boot/image.h"

/* Fills segments, entry, start and end of a zeroed `image` from an ELF64. */
int hk_elf_parse(const char *name, const uint8_t *data, uint64_t size,
                 struct hk_image *image, struct hk_errmsg *err) HK_MUST_CHECK;

/* A bzImage's payload, still packed. */
struct hk_bzimage {
    const uint8_t *payload;
    uint64_t payload_size; /* without the size at its end, if it has one */
    uint32_t unpacked_size;
    const struct hk_packing *packing;
};

bool hk_bzimage_is(const uint8_t *data, uint64_t size);

/* Checks the setup header and copies what `image` keeps of it. */
int hk_bzimage_parse(const char *name, const uint8_t *data, uint64_t size,
                     struct hk_bzimage *out, struct hk_image *image,
                     struct hk_errmsg *err) HK_MUST_CHECK;

#endif
