/* Reading: from clusters, from the backing file, or zeroes. */
#include "disk/qcow2_int.h"

enum { PIECES = 64 };

int qcow2_move(struct hk_disk *disk, struct hk_iov_pos *pos, uint64_t len,
               uint64_t offset, bool is_write)
{
    struct hk_iov pieces[PIECES];
    size_t count;
    while (len > 0) {
        uint64_t n = hk_iov_take(pos, len, pieces, PIECES, &count);
        int rc = is_write ? hk_disk_writev(disk, pieces, count, offset)
                          : hk_disk_readv(disk, pieces, count, offset);
        if (rc < 0)
            return rc;
        offset += n;
        len -= n;
    }
    return 0;
}

/* What lies past the end of the disk below is zeroes. */
static int move_below(struct hk_disk *below, struct hk_iov_pos *to,
                      uint64_t len, uint64_t offset)
{
    uint64_t size = hk_disk_size(below);
    uint64_t there = offset < size ? size - offset : 0;
    if (there > len)
        there = len;
    int rc = qcow2_move(below, to, there, offset, false);
    if (rc == 0)
        (void)hk_iov_put(to, NULL, len - there);
    return rc;
}

int qcow2_store_read(struct hk_qcow2 *q, void *to, size_t len, uint64_t offset)
{
    struct hk_iov piece = {to, len};
    struct hk_iov_pos pos = {&piece, 1, 0};
    return move_below(q->store, &pos, len, offset);
}

static int read_extent(struct hk_qcow2 *q, const struct qcow2_extent *extent,
                       struct hk_iov_pos *to, uint64_t offset)
{
    switch (extent->kind) {
    case QCOW2_DATA:
        return move_below(q->store, to, extent->len, extent->host);
    case QCOW2_PACKED:
        return qcow2_packed_read(
            q, extent->entry, offset & (q->cluster_size - 1), to, extent->len);
    case QCOW2_HOLE:
        if (q->backing)
            return move_below(q->backing, to, extent->len, offset);
        break;
    case QCOW2_ZEROES:
        break;
    }
    (void)hk_iov_put(to, NULL, extent->len);
    return 0;
}

int qcow2_read_range(struct hk_qcow2 *q, struct hk_iov_pos *to, uint64_t len,
                     uint64_t offset)
{
    while (len > 0) {
        struct qcow2_extent extent;
        uv_mutex_lock(&q->lock);
        int rc = qcow2_lookup(q, offset, len, &extent);
        uv_mutex_unlock(&q->lock);
        if (rc == 0)
            rc = read_extent(q, &extent, to, offset);
        if (rc < 0)
            return rc;
        offset += extent.len;
        len -= extent.len;
    }
    return 0;
}

int qcow2_readv(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                uint64_t offset)
{
    struct hk_qcow2 *q = (struct hk_qcow2 *)disk;
    struct hk_iov_pos pos = {iov, count, 0};
    uint64_t len = 0;
    if (!hk_iov_total(iov, count, &len))
        return -HK_EINVAL;
    qcow2_begin(q);
    uv_mutex_unlock(&q->lock);
    int rc = qcow2_read_range(q, &pos, len, offset);
    uv_mutex_lock(&q->lock);
    qcow2_end(q);
    return rc;
}
