/* Everything that a parsed kernel image promises, checked. */
#ifndef HK_FUZZ_IMAGE_CHECK_H
#define HK_FUZZ_IMAGE_CHECK_H

#include "boot/image.h"

#include <stdlib.h>

static volatile uint8_t image_check_sink;

static void check_image(const struct hk_image *image)
{
    bool entry_inside = false;
    if (image->segment_count == 0)
        abort();
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct hk_image_segment *s = &image->segment[i];
        if (s->mem_size == 0 || s->file_size > s->mem_size ||
            s->gpa < image->start || s->gpa + s->mem_size > image->end)
            abort();
        if (image->entry >= s->gpa && image->entry - s->gpa < s->mem_size)
            entry_inside = true;
        for (uint64_t at = 0; at < s->file_size; at++)
            image_check_sink = s->bytes[at]; /* for the address sanitizer */
    }
    if (!entry_inside)
        abort();
}

/* Parses, checks the result or that the refusal has a sentence. */
static void run_image(const uint8_t *data, size_t size,
                      enum hk_image_format format)
{
    struct hk_image image;
    struct hk_errmsg err = {{0}};
    struct hk_image_source source = {.name = "kernel",
                                     .data = data,
                                     .size = size,
                                     .format = format,
                                     .unpack_max = 1 << 16};

    int rc = hk_image_parse(&source, &image, &err);
    if (rc == 0)
        check_image(&image);
    else if (err.text[0] == '\0')
        abort();
    hk_image_fini(&image);
}

#endif
