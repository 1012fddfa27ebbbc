#include "boot/image.h"

#include "base/checked.h"
#include "boot/cmdline.h"
#include "boot/image_int.h"
#include "boot/layout.h"
#include "boot/unpack.h"

#include <stdlib.h>
#include <string.h>

static bool is_elf(const uint8_t *data, uint64_t size)
{
    return size >= 4 && memcmp(data, "\177ELF", 4) == 0;
}

/* Unpacks into image->unpacked and takes the ELF file inside apart. */
static int parse_packed(struct hk_unpack *job, struct hk_image *image,
                        struct hk_errmsg *err)
{
    uint64_t size;
    int rc = hk_unpack_run(job, &image->unpacked, &size, err);
    image->unpacked_size = rc == 0 ? size : 0;
    if (rc)
        return rc;
    image->packing = job->packing->name;
    if (!is_elf(image->unpacked, size))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s: what its %s payload holds is not an ELF file, "
                          "so it is no Linux kernel for x86-64",
                          job->name, image->packing);
    return hk_elf_parse(job->name, image->unpacked, size, image, err);
}

static int parse_bzimage(const struct hk_image_source *source,
                         uint64_t unpack_max, struct hk_image *image,
                         struct hk_errmsg *err)
{
    struct hk_bzimage bz;
    int rc = hk_bzimage_parse(source->name, source->data, source->size, &bz,
                              image, err);
    if (rc)
        return rc;
    image->format = HK_IMAGE_BZIMAGE;
    struct hk_unpack job = {.name = source->name,
                            .packing = bz.packing,
                            .data = bz.payload,
                            .size = bz.payload_size,
                            .max = unpack_max,
                            .expected = bz.unpacked_size};
    return parse_packed(&job, image, err);
}

static int parse_raw(const struct hk_image_source *source,
                     struct hk_image *image, struct hk_errmsg *err)
{
    uint64_t gpa = source->raw_gpa, end;
    if (gpa < HK_BOOT_HIGH || !hk_add_u64(gpa, source->size, &end) ||
        source->raw_entry < gpa || source->raw_entry >= end)
        return hk_err_set(err, -HK_EINVAL,
                          "%s cannot be loaded at %#llx and started at %#llx: "
                          "a flat image goes above 1 MiB and starts inside "
                          "itself",
                          source->name, (unsigned long long)gpa,
                          (unsigned long long)source->raw_entry);
    image->format = HK_IMAGE_RAW;
    image->segment[0] = (struct hk_image_segment){.gpa = gpa,
                                                  .mem_size = source->size,
                                                  .file_size = source->size,
                                                  .bytes = source->data};
    image->segment_count = 1;
    image->start = gpa;
    image->end = end;
    image->entry = source->raw_entry;
    return 0;
}

static int refuse_unknown(const struct hk_image_source *source,
                          struct hk_errmsg *err)
{
    if (source->size >= 0x3c && memcmp(source->data + 0x38, "ARM\x64", 4) == 0)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is a kernel for arm64; get one for x86-64",
                          source->name);
    return hk_err_set(err, -HK_ENOEXEC,
                      "%s is not a kernel that Husk knows; give a bzImage "
                      "(vmlinuz) or an ELF file (vmlinux), or say that it is "
                      "a raw image",
                      source->name);
}

static int parse_auto(const struct hk_image_source *source, uint64_t unpack_max,
                      struct hk_image *image, struct hk_errmsg *err)
{
    const struct hk_packing *packing;

    if (is_elf(source->data, source->size)) {
        image->format = HK_IMAGE_ELF;
        return hk_elf_parse(source->name, source->data, source->size, image,
                            err);
    }
    if (hk_bzimage_is(source->data, source->size))
        return parse_bzimage(source, unpack_max, image, err);
    packing = hk_packing_find(source->data, source->size);
    if (!packing)
        return refuse_unknown(source, err);
    image->format = HK_IMAGE_ELF;
    struct hk_unpack job = {.name = source->name,
                            .packing = packing,
                            .data = source->data,
                            .size = source->size,
                            .max = unpack_max};
    return parse_packed(&job, image, err);
}

int hk_image_parse(const struct hk_image_source *source, struct hk_image *image,
                   struct hk_errmsg *err)
{
    uint64_t max = source->unpack_max;
    if (max == 0 || max > HK_IMAGE_UNPACK_MAX)
        max = HK_IMAGE_UNPACK_MAX;
    *image = (struct hk_image){.cmdline_max = HK_CMDLINE_MAX,
                               .initrd_last = HK_BOOT_HOLE_START - 1};
    if (source->size == 0)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is empty; copy or download the kernel again",
                          source->name);
    switch (source->format) {
    case HK_IMAGE_AUTO:
        return parse_auto(source, max, image, err);
    case HK_IMAGE_ELF:
        image->format = HK_IMAGE_ELF;
        return hk_elf_parse(source->name, source->data, source->size, image,
                            err);
    case HK_IMAGE_BZIMAGE:
        return parse_bzimage(source, max, image, err);
    case HK_IMAGE_RAW:
        return parse_raw(source, image, err);
    }
    return hk_err_set(err, -HK_EINVAL, "unknown kernel format %d",
                      (int)source->format);
}

static bool has_bytes(const uint8_t *data, uint64_t size, const char *text,
                      size_t len)
{
    const uint8_t *at = data;
    const uint8_t *end = data + size;
    while ((size_t)(end - at) >= len) {
        at = memchr(at, text[0], (size_t)(end - at) - len + 1);
        if (at == NULL)
            return false;
        if (memcmp(at, text, len) == 0)
            return true;
        at++;
    }
    return false;
}

bool hk_image_has(const struct hk_image *image, const char *text)
{
    size_t len = strlen(text);
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct hk_image_segment *s = &image->segment[i];
        if (has_bytes(s->bytes, s->file_size, text, len))
            return true;
    }
    return false;
}

void hk_image_fini(struct hk_image *image)
{
    free(image->unpacked);
    *image = (struct hk_image){0};
}
