/*
 * krun_*: what the machine starts with.
 *
 * Container runtimes load the library in the host's root directory and make
 * and start their context in the container's, where no kernel can be found any
 * more. So the default kernel is looked for when the library is loaded, and
 * again with each new context until there is one. What is found is kept by
 * mapping its files: no descriptor, and no memory but what is used later.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "guest/kernel.h"
#include "os/file.h"
#include "os/process.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { NAME_ROOM = 4096 };

/* One default for the process, like the ABI. */
static struct {
    atomic_flag is_sought; /* a thread looks for it, or has found it */
    atomic_bool is_found;
    char name[NAME_ROOM];
} kept = {.is_sought = ATOMIC_FLAG_INIT};

void hk_krun_keep_kernel(void)
{
    if (atomic_flag_test_and_set(&kept.is_sought))
        return;
    if (hk_kernel_keep(NULL, kept.name, sizeof(kept.name)) == 0)
        atomic_store(&kept.is_found, true);
    else
        atomic_flag_clear(&kept.is_sought);
}

HK_AT_LOAD static void keep_kernel_at_load(void)
{
    hk_krun_keep_kernel();
}

const char *hk_krun_kept_kernel(void)
{
    return atomic_load(&kept.is_found) ? kept.name : NULL;
}

int32_t krun_set_kernel(uint32_t ctx_id, const char *kernel_path,
                        uint32_t kernel_format, const char *initramfs,
                        const char *cmdline)
{
    char *texts[3] = {NULL, NULL, NULL};
    struct hk_krun *ctx = NULL;
    int rc = hk_krun_copy_text(kernel_path, &texts[0]);
    if (rc == 0)
        rc = hk_krun_copy_optional(initramfs, &texts[1]);
    if (rc == 0)
        rc = hk_krun_copy_optional(cmdline, &texts[2]);
    if (rc == 0 && kernel_format > KRUN_KERNEL_FORMAT_IMAGE_ZSTD)
        rc = -HK_EINVAL;
    if (rc == 0 && kernel_format == KRUN_KERNEL_FORMAT_RAW &&
        hk_os_file_keep(kernel_path) != 0)
        rc = -HK_EINVAL;
    if (rc == 0 && initramfs != NULL && hk_process_path_exists(initramfs) != 1)
        rc = -HK_EINVAL;
    if (rc == 0) {
        ctx = hk_krun_begin(ctx_id);
        rc = ctx != NULL ? 0 : -HK_ENOENT;
    }
    if (ctx != NULL) {
        char **slots[3] = {&ctx->kernel, &ctx->initramfs, &ctx->cmdline};
        for (int i = 0; i < 3; i++) {
            char *old = *slots[i];
            *slots[i] = texts[i];
            texts[i] = old;
        }
        ctx->kernel_format = kernel_format;
        hk_krun_end();
    }
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return rc;
}

/* The checks of a call that this build cannot carry out. */
static int refuse_path(uint32_t ctx_id, const char *path)
{
    if (path == NULL || !hk_krun_is_utf8(path))
        return -HK_EINVAL;
    if (hk_krun_begin(ctx_id) == NULL)
        return -HK_ENOENT;
    hk_krun_end();
    return -HK_ENOTSUP;
}

int32_t krun_set_firmware(uint32_t ctx_id, const char *firmware_path)
{
    return refuse_path(ctx_id, firmware_path);
}

int32_t krun_set_tee_config_file(uint32_t ctx_id, const char *filepath)
{
    return refuse_path(ctx_id, filepath);
}

int32_t krun_set_kernel_console(uint32_t ctx_id, const char *console_id)
{
    char *copy = NULL;
    int rc = hk_krun_copy_text(console_id, &copy);
    return hk_krun_set_text(ctx_id, rc, copy, HK_KRUN_SLOT(kernel_console));
}
