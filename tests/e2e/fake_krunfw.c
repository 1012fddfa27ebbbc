/*
 * A libkrunfw for tests: the kernel is the ELF file that FAKE_KRUNFW names,
 * laid out as the real library carries it. Any error ends the process.
 */
#include "base/endian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PHDR_SIZE = 56, PT_LOAD = 1, PAGE = 4096, FILE_MAX = 1 << 28 };

struct image {
    unsigned char *data;
    size_t start, end, entry;
};

char *krunfw_get_kernel(size_t *load, size_t *entry, size_t *size);
int krunfw_get_version(void);

static unsigned char *read_file(const char *path)
{
    unsigned char *data = malloc(FILE_MAX);
    FILE *file = path != NULL ? fopen(path, "rb") : NULL;
    if (data == NULL || file == NULL || fread(data, 1, FILE_MAX, file) < 64)
        exit(99);
    fclose(file);
    return data;
}

/* Calls `fn` for each loadable segment's place, bytes and length. */
static void each_segment(const unsigned char *elf, struct image *image,
                         void (*fn)(struct image *image, size_t at,
                                    const unsigned char *bytes, size_t len))
{
    const unsigned char *p = elf + hk_get_le64(elf + 32);
    for (unsigned i = hk_get_le16(elf + 56); i > 0; i--, p += PHDR_SIZE) {
        if (hk_get_le32(p) == PT_LOAD)
            fn(image, hk_get_le64(p + 24), elf + hk_get_le64(p + 8),
               hk_get_le64(p + 32));
    }
}

static void measure(struct image *image, size_t at, const unsigned char *bytes,
                    size_t len)
{
    if (at < image->start)
        image->start = at;
    if (at + len > image->end)
        image->end = at + len;
}

static void copy(struct image *image, size_t at, const unsigned char *bytes,
                 size_t len)
{
    memcpy(image->data + (at - image->start), bytes, len);
}

__attribute__((visibility("default"))) char *
krunfw_get_kernel(size_t *load, size_t *entry, size_t *size)
{
    static struct image image;
    if (image.data == NULL) {
        unsigned char *elf = read_file(getenv("FAKE_KRUNFW"));
        image.start = (size_t)-1;
        image.entry = hk_get_le64(elf + 24);
        each_segment(elf, &image, measure);
        image.end = (image.end + PAGE - 1) & ~(size_t)(PAGE - 1);
        image.data = calloc(1, image.end - image.start);
        if (image.data == NULL)
            exit(99);
        each_segment(elf, &image, copy);
        free(elf);
    }
    *load = image.start;
    *entry = image.entry;
    *size = image.end - image.start;
    return (char *)image.data;
}

__attribute__((visibility("default"))) int krunfw_get_version(void)
{
    return 5;
}
