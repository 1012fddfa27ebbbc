/* The checks around every disk operation, and what formats leave out. */
#include "disk/disk.h"

#include "base/assert.h"
#include "base/checked.h"

enum { ZERO_BYTES = 64 * 1024, ZERO_PIECES = 16 };

void hk_disk_init(struct hk_disk *disk, const struct hk_disk_ops *ops,
                  const struct hk_disk_info *info, uint64_t size)
{
    hk_assert(hk_is_power_of_two(info->block_size) && info->block_size >= 512);
    hk_assert(ops->readv && ops->close);
    hk_assert(info->read_only || (ops->writev && ops->flush));
    disk->ops = ops;
    disk->info = *info;
    atomic_init(&disk->size, size);
}

void hk_disk_close(struct hk_disk *disk)
{
    if (!disk)
        return;
    if (!disk->info.read_only)
        (void)disk->ops->flush(disk); /* nobody is left to be told */
    disk->ops->close(disk);
}

/* The size never shrinks, so what was inside stays inside. */
static int check(struct hk_disk *disk, uint64_t offset, uint64_t len,
                 bool is_write)
{
    uint64_t limit = hk_disk_size(disk);
    if (is_write && disk->info.read_only)
        return -HK_EROFS;
    if (is_write && disk->info.grows)
        limit = INT64_MAX;
    return hk_range_within(offset, len, limit) ? 0 : -HK_EINVAL;
}

static void note_end(struct hk_disk *disk, uint64_t end)
{
    uint_fast64_t size = hk_disk_size(disk);
    while (size < end && !atomic_compare_exchange_weak(&disk->size, &size, end))
        ;
}

int hk_disk_readv(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                  uint64_t offset)
{
    uint64_t len;
    if (!hk_iov_total(iov, count, &len))
        return -HK_EINVAL;
    int rc = check(disk, offset, len, false);
    if (rc < 0 || len == 0)
        return rc;
    rc = disk->ops->readv(disk, iov, count, offset);
    hk_assert(rc <= 0);
    return rc;
}

int hk_disk_writev(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                   uint64_t offset)
{
    uint64_t len;
    if (!hk_iov_total(iov, count, &len))
        return -HK_EINVAL;
    int rc = check(disk, offset, len, true);
    if (rc < 0 || len == 0)
        return rc;
    rc = disk->ops->writev(disk, iov, count, offset);
    hk_assert(rc <= 0);
    if (rc == 0 && disk->info.grows)
        note_end(disk, offset + len);
    return rc;
}

int hk_disk_read(struct hk_disk *disk, void *to, size_t len, uint64_t offset)
{
    struct hk_iov piece = {to, len};
    return hk_disk_readv(disk, &piece, 1, offset);
}

int hk_disk_write(struct hk_disk *disk, const void *from, size_t len,
                  uint64_t offset)
{
    struct hk_iov piece = {(uint8_t *)(uintptr_t)from, len};
    return hk_disk_writev(disk, &piece, 1, offset);
}

int hk_disk_flush(struct hk_disk *disk)
{
    if (disk->info.read_only)
        return 0;
    int rc = disk->ops->flush(disk);
    hk_assert(rc <= 0);
    return rc;
}

int hk_disk_trim(struct hk_disk *disk, uint64_t offset, uint64_t len)
{
    int rc = check(disk, offset, 0, true);
    if (rc == 0 && !hk_range_within(offset, len, hk_disk_size(disk)))
        rc = -HK_EINVAL;
    if (rc < 0 || len == 0 || !disk->ops->trim)
        return rc;
    rc = disk->ops->trim(disk, offset, len);
    hk_assert(rc <= 0);
    return rc == -HK_ENOTSUP ? 0 : rc;
}

static int write_zeroes(struct hk_disk *disk, uint64_t offset, uint64_t len)
{
    static const uint8_t zeroes[ZERO_BYTES];
    struct hk_iov pieces[ZERO_PIECES];
    while (len > 0) {
        uint64_t part = 0;
        size_t n = 0;
        for (; n < ZERO_PIECES && part < len; n++) {
            uint64_t left = len - part;
            pieces[n].base = (uint8_t *)(uintptr_t)zeroes;
            pieces[n].len = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;
            part += pieces[n].len;
        }
        int rc = disk->ops->writev(disk, pieces, n, offset);
        if (rc < 0)
            return rc;
        offset += part;
        len -= part;
    }
    return 0;
}

int hk_disk_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
                 bool may_trim)
{
    int rc = check(disk, offset, len, true);
    if (rc == 0 && !hk_range_within(offset, len, hk_disk_size(disk)))
        rc = -HK_EINVAL;
    if (rc < 0 || len == 0)
        return rc;
    rc = -HK_ENOTSUP;
    if (disk->ops->zero)
        rc = disk->ops->zero(disk, offset, len, may_trim);
    hk_assert(rc <= 0);
    return rc == -HK_ENOTSUP ? write_zeroes(disk, offset, len) : rc;
}
