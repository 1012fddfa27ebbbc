/* A file or block device as it is; also the byte store of the formats. */
#define HK_LOG_TAG "disk"
#include "disk/disk.h"

#include "base/log.h"
#include "os/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECTOR = 512, BLOCK = 4096 };

struct raw {
    struct hk_disk disk;
    struct hk_os_file *file;
    enum hk_disk_sync sync;
};

static int raw_readv(struct hk_disk *disk, const struct hk_iov *iov,
                     size_t count, uint64_t offset)
{
    struct raw *raw = (struct raw *)disk;
    int rc = hk_os_file_preadv(raw->file, iov, count, offset);
    /* Someone made the file shorter meanwhile. */
    return rc == -HK_ENODATA ? -HK_EIO : rc;
}

static int raw_writev(struct hk_disk *disk, const struct hk_iov *iov,
                      size_t count, uint64_t offset)
{
    return hk_os_file_pwritev(((struct raw *)disk)->file, iov, count, offset);
}

static int raw_flush(struct hk_disk *disk)
{
    struct raw *raw = (struct raw *)disk;
    if (raw->sync == HK_DISK_SYNC_NONE)
        return 0;
    return hk_os_file_flush(raw->file);
}

static int raw_trim(struct hk_disk *disk, uint64_t offset, uint64_t len)
{
    return hk_os_file_zero(((struct raw *)disk)->file, offset, len, true);
}

/* Not every file system can do both. With `may_trim` either will do; without
 * it a punched hole would give up what the guest wants kept. */
static int raw_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
                    bool may_trim)
{
    struct raw *raw = (struct raw *)disk;
    int rc = hk_os_file_zero(raw->file, offset, len, may_trim);
    if (rc == -HK_ENOTSUP && may_trim)
        rc = hk_os_file_zero(raw->file, offset, len, false);
    return rc;
}

static void raw_close(struct hk_disk *disk)
{
    struct raw *raw = (struct raw *)disk;
    hk_os_file_close(raw->file);
    free(raw);
}

static const struct hk_disk_ops raw_ops = {
    .name = "raw",
    .readv = raw_readv,
    .writev = raw_writev,
    .flush = raw_flush,
    .trim = raw_trim,
    .zero = raw_zero,
    .close = raw_close,
};

static int lock(struct hk_os_file *file, const struct hk_disk_config *config,
                struct hk_errmsg *err)
{
    int rc = hk_os_file_lock(file, !config->read_only);
    if (rc == -HK_ENOTSUP) {
        HK_LOG_W("%s: the file system has no locks: take care that nobody "
                 "else writes it",
                 config->path);
        return 0;
    }
    if (rc == -HK_EBUSY && config->read_only)
        return hk_err_set(err, rc,
                          "%s: in use for writing by another machine "
                          "or program; end that one first",
                          config->path);
    if (rc == -HK_EBUSY)
        return hk_err_set(err, rc,
                          "%s: in use by another machine or program; end that "
                          "one first, or use the disk read-only in both",
                          config->path);
    if (rc < 0)
        return hk_err_set(err, rc, "%s: cannot be locked: %s", config->path,
                          hk_err_text(rc));
    return 0;
}

static int measure(struct raw *raw, const struct hk_disk_config *config,
                   bool as_store, uint64_t *size, struct hk_errmsg *err)
{
    struct hk_disk_info info = {.block_size = BLOCK,
                                .read_only = config->read_only,
                                .can_trim = true,
                                .can_zero = true};
    struct hk_os_file_id id;
    int rc = hk_os_file_id(raw->file, &id);
    if (rc == 0)
        rc = hk_os_file_size(raw->file, size);
    if (rc < 0)
        return hk_err_set(err, rc, "%s: %s", config->path, hk_err_text(rc));
    if (!as_store && *size < SECTOR)
        return hk_err_set(err, -HK_EINVAL,
                          "%s: %" PRIu64 " bytes are less than a sector of "
                          "512; is it an image of another format?",
                          config->path, *size);
    if (!as_store && *size % SECTOR != 0) {
        HK_LOG_W("%s: the last %" PRIu64 " bytes are no whole sector of 512: "
                 "the guest does not see them",
                 config->path, *size % SECTOR);
        *size -= *size % SECTOR;
    }
    info.grows = as_store && !config->read_only && !id.is_block_device;
    (void)snprintf(info.id, sizeof(info.id), "%" PRIu64 "%" PRIu64 "%" PRIu64,
                   id.device, id.special, id.inode);
    hk_disk_init(&raw->disk, &raw_ops, &info, *size);
    return 0;
}

int hk_raw_open(const struct hk_disk_config *config, bool as_store,
                bool named_by_image, struct hk_disk **out,
                struct hk_errmsg *err)
{
    unsigned flags = (config->read_only ? 0 : HK_OS_FILE_WRITE) |
                     (config->direct ? HK_OS_FILE_DIRECT : 0) |
                     (named_by_image ? HK_OS_FILE_PLAIN : 0);
    struct raw *raw = calloc(1, sizeof(*raw));
    uint64_t size = 0;
    if (!raw)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    raw->sync = config->sync;
    int rc = hk_os_file_open_as(config->path, flags, &raw->file, err);
    if (rc == 0)
        rc = lock(raw->file, config, err);
    if (rc == 0)
        rc = measure(raw, config, as_store, &size, err);
    if (rc < 0) {
        raw_close(&raw->disk);
        return rc;
    }
    if (!config->read_only && hk_os_file_allow_holes(raw->file) < 0)
        HK_LOG_W("%s: the file cannot have holes: trimming frees no space",
                 config->path);
    *out = &raw->disk;
    return 0;
}
