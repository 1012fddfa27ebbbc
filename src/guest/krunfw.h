/*
 * The kernel that an installed libkrunfw carries: a flat image of a Linux
 * kernel made for libkrun.
 *
 * Threads: any. The library is opened at the first call that finds it and
 * stays in memory until the process ends, as libkrun keeps it.
 */
#ifndef HK_GUEST_KRUNFW_H
#define HK_GUEST_KRUNFW_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

/* The name that stands for it where a kernel's path is asked for. */
#define HK_KRUNFW_NAME "libkrunfw"

struct hk_krunfw {
    const void *data; /* the library's own, for good */
    uint64_t size;
    uint64_t gpa;   /* where it is loaded; zeroed RAM follows it */
    uint64_t entry; /* 64-bit Linux entry, inside the image */
};

/* -HK_ENOENT no such library; -HK_ENOEXEC what it says makes no sense. */
int hk_krunfw_get(struct hk_krunfw *out, struct hk_errmsg *err) HK_MUST_CHECK;

#endif
