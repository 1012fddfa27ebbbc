/* Whole clusters that become zeroes, or whose contents are not needed. */
#include "disk/qcow2_int.h"

enum { ZERO_BYTES = 64 * 1024, ZERO_PIECES = 32 };

enum wish { TRIM, ZERO, ZERO_KEEPING_SPACE };

static uint64_t new_entry(const struct hk_qcow2 *q, uint64_t old,
                          enum wish wish)
{
    bool is_packed = (old & QCOW2_COMPRESSED) != 0;
    bool is_hole = !is_packed && (old & (QCOW2_OFFSET_MASK | QCOW2_ZERO)) == 0;
    if (is_hole && (!q->backing || wish == TRIM))
        return old;
    if (wish == ZERO_KEEPING_SPACE && !is_packed && (old & QCOW2_COPIED))
        return old | QCOW2_ZERO;
    return q->backing ? QCOW2_ZERO : 0;
}

/* Lock held. All in one L2 table. */
static int change_entries(struct hk_qcow2 *q, uint64_t first, uint64_t count,
                          enum wish wish)
{
    struct qcow2_table *table;
    uint32_t index;
    int rc = qcow2_want_change(q, first, count);
    if (rc < 0)
        return rc;
    /* Nothing there and nothing below: no table is made for that. */
    if (q->l1.entries[first >> q->l2_bits] == 0 &&
        (!q->backing || wish == TRIM))
        return 0;
    rc = qcow2_l2_for_change(q, first, &table, &index);
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        uint32_t at = index + (uint32_t)i;
        uint64_t old = qcow2_entry_get(table, at);
        rc = qcow2_entry_set(q, table, at, new_entry(q, old, wish));
    }
    return rc;
}

static int change_clusters(struct hk_qcow2 *q, uint64_t first, uint64_t end,
                           enum wish wish)
{
    uint64_t entries = 1ull << q->l2_bits;
    int rc = 0;
    qcow2_begin(q);
    while (rc == 0 && first < end) {
        uint64_t n = entries - (first & (entries - 1));
        if (n > QCOW2_RUN_CLUSTERS)
            n = QCOW2_RUN_CLUSTERS;
        if (n > end - first)
            n = end - first;
        rc = change_entries(q, first, n, wish);
        first += n;
    }
    qcow2_end(q);
    return rc;
}

/* Part of a cluster: zeroes are written unless it reads as zeroes already. */
static int zero_part(struct hk_qcow2 *q, uint64_t offset, uint64_t len)
{
    static const uint8_t zeroes[ZERO_BYTES];
    struct hk_iov pieces[ZERO_PIECES];
    struct qcow2_extent extent;
    size_t n = 0;
    if (len == 0)
        return 0;
    qcow2_begin(q);
    int rc = qcow2_lookup(q, offset, len, &extent);
    qcow2_end(q);
    if (rc < 0 || extent.kind == QCOW2_ZEROES ||
        (extent.kind == QCOW2_HOLE && !q->backing))
        return rc;
    for (uint64_t left = len; left > 0; left -= pieces[n++].len) {
        pieces[n].base = (uint8_t *)(uintptr_t)zeroes;
        pieces[n].len = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;
    }
    return qcow2_writev(&q->disk, pieces, n, offset);
}

struct span {
    uint64_t first, end; /* whole clusters; first >= end: none */
};

/* The last cluster is whole too when the disk ends within it. */
static struct span whole_clusters(const struct hk_qcow2 *q, uint64_t offset,
                                  uint64_t len)
{
    uint64_t end = offset + len;
    struct span span = {qcow2_round_up(q, offset), end >> q->cluster_bits};
    if (end == hk_disk_size(&q->disk))
        span.end = qcow2_round_up(q, end);
    return span;
}

int qcow2_trim(struct hk_disk *disk, uint64_t offset, uint64_t len)
{
    struct hk_qcow2 *q = (struct hk_qcow2 *)disk;
    struct span span = whole_clusters(q, offset, len);
    /* Version 2 cannot hide what the backing file has there. */
    if (span.first >= span.end || (q->header.version < 3 && q->backing))
        return 0;
    return change_clusters(q, span.first, span.end, TRIM);
}

int qcow2_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
               bool may_trim)
{
    struct hk_qcow2 *q = (struct hk_qcow2 *)disk;
    uint64_t end = offset + len;
    struct span span = whole_clusters(q, offset, len);
    if (q->header.version < 3 && (q->backing || !may_trim))
        return -HK_ENOTSUP;
    if (span.first > span.end) /* within one cluster */
        return zero_part(q, offset, len);
    uint64_t start = span.first << q->cluster_bits;
    int rc = zero_part(q, offset, (start < end ? start : end) - offset);
    if (rc == 0)
        rc = change_clusters(q, span.first, span.end,
                             may_trim ? ZERO : ZERO_KEEPING_SPACE);
    uint64_t tail = span.end << q->cluster_bits;
    if (rc == 0 && tail < end)
        rc = zero_part(q, tail, end - tail);
    return rc;
}
