/*
 * krun_*: disks.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"

#include <stdlib.h>

static void free_disk(struct hk_krun_disk *disk)
{
    free(disk->id);
    free(disk->path);
    free(disk);
}

int32_t krun_add_disk(uint32_t ctx_id, const char *block_id,
                      const char *disk_path, bool read_only)
{
    return krun_add_disk3(ctx_id, block_id, disk_path, KRUN_DISK_FORMAT_RAW,
                          read_only, false, KRUN_SYNC_FULL);
}

int32_t krun_add_disk2(uint32_t ctx_id, const char *block_id,
                       const char *disk_path, uint32_t disk_format,
                       bool read_only)
{
    return krun_add_disk3(ctx_id, block_id, disk_path, disk_format, read_only,
                          false, KRUN_SYNC_FULL);
}

int32_t krun_add_disk3(uint32_t ctx_id, const char *block_id,
                       const char *disk_path, uint32_t disk_format,
                       bool read_only, bool direct_io, uint32_t sync_mode)
{
    if (disk_format > KRUN_DISK_FORMAT_VMDK || sync_mode > KRUN_SYNC_FULL)
        return -HK_EINVAL;
    struct hk_krun_disk *disk = calloc(1, sizeof(*disk));
    if (disk == NULL)
        return -HK_ENOMEM;
    int rc = hk_krun_copy_text(block_id, &disk->id);
    if (rc == 0)
        rc = hk_krun_copy_text(disk_path, &disk->path);
    disk->format = disk_format;
    disk->sync = sync_mode;
    disk->read_only = read_only;
    disk->direct = direct_io;
    struct hk_krun *ctx = rc == 0 ? hk_krun_begin(ctx_id) : NULL;
    if (ctx == NULL) {
        free_disk(disk);
        return rc != 0 ? rc : -HK_ENOENT;
    }
    hk_krun_append(&ctx->disks, &disk->node);
    hk_krun_end();
    return 0;
}

int32_t krun_set_root_disk(uint32_t ctx_id, const char *disk_path)
{
    char *copy = NULL;
    int rc = hk_krun_copy_text(disk_path, &copy);
    return hk_krun_set_text(ctx_id, rc, copy, HK_KRUN_SLOT(root_disk));
}

int32_t krun_set_data_disk(uint32_t ctx_id, const char *disk_path)
{
    char *copy = NULL;
    int rc = hk_krun_copy_text(disk_path, &copy);
    return hk_krun_set_text(ctx_id, rc, copy, HK_KRUN_SLOT(data_disk));
}
