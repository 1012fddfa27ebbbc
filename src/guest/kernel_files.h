/*
 * The files of a kernel package that matter, wherever it comes from.
 */
#ifndef HK_GUEST_KERNEL_FILES_H
#define HK_GUEST_KERNEL_FILES_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* One file. `path` is relative ("boot/vmlinuz-6.1"), without a leading "./"
 * or "usr/". */
struct hk_kernel_file {
    const char *path;
    void *source;
    int (*read)(const struct hk_kernel_file *file, uint64_t max, uint8_t **data,
                uint64_t *len, struct hk_errmsg *err);
};

/*
 * Reads its contents, once, during the visit; the caller's to free(), with
 * one NUL more than `len`. -HK_EFBIG.
 */
int hk_kernel_file_read(const struct hk_kernel_file *file, uint64_t max,
                        uint8_t **data, uint64_t *len,
                        struct hk_errmsg *err) HK_MUST_CHECK;

/* Not 0 ends the walk with that result. */
typedef int (*hk_kernel_visit_fn)(void *opaque,
                                  const struct hk_kernel_file *file,
                                  struct hk_errmsg *err);

struct hk_kernel_files;

/* A package or a folder. */
int hk_kernel_files_open(const char *source, struct hk_kernel_files **out,
                         struct hk_errmsg *err) HK_MUST_CHECK;
void hk_kernel_files_close(struct hk_kernel_files *files); /* NULL is legal */

/* Visits the files below boot and lib/modules; any number of times. */
int hk_kernel_files_walk(struct hk_kernel_files *files,
                         hk_kernel_visit_fn visit, void *opaque,
                         struct hk_errmsg *err) HK_MUST_CHECK;

#endif
