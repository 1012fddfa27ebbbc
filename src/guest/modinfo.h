/*
 * What a kernel module's file says about itself: the strings of the section
 * .modinfo of a 64-bit ELF file. Pure; the file may be hostile.
 */
#ifndef HK_GUEST_MODINFO_H
#define HK_GUEST_MODINFO_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

struct hk_modinfo {
    const char *text; /* strings, each ended by NUL, inside the file */
    uint64_t len;     /* 0, or the last byte is a NUL */
};

/* -HK_ENOEXEC when the file is no module. `name` is for the sentence. */
int hk_modinfo_parse(const char *name, const uint8_t *file, uint64_t size,
                     struct hk_modinfo *info,
                     struct hk_errmsg *err) HK_MUST_CHECK;

/* The value of the first string "KEY=value", or NULL. Borrowed. */
const char *hk_modinfo_get(const struct hk_modinfo *info, const char *key);

/* The file's size without a signature at its end. A kernel that does not
 * insist on signatures loads it as well, without the work of checking. */
uint64_t hk_modinfo_unsigned_size(const uint8_t *file, uint64_t size);

#endif
