/*
 * krun_*: what the machine starts with.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "os/file.h"
#include "os/process.h"

#include <stdlib.h>

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
