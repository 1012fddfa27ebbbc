/*
 * Reference counts: one for each cluster of the file, 1 to 64 bits wide, in
 * blocks of one cluster that the refcount table points to.
 */
#include "disk/qcow2_int.h"

#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

static uint64_t count_get(const uint8_t *bytes, uint64_t index, uint32_t order)
{
    uint32_t bits = 1u << order;
    switch (order) {
    case 3:
        return bytes[index];
    case 4:
        return hk_get_be16(bytes + index * 2);
    case 5:
        return hk_get_be32(bytes + index * 4);
    case 6:
        return hk_get_be64(bytes + index * 8);
    default: /* several in a byte, the first in the lowest bits */
        return (uint64_t)(bytes[index * bits / 8] >> (index * bits % 8)) &
               ((1u << bits) - 1);
    }
}

static void count_put(uint8_t *bytes, uint64_t index, uint32_t order,
                      uint64_t count)
{
    uint32_t bits = 1u << order;
    uint32_t shift = (uint32_t)(index * bits % 8);
    uint8_t *byte = bytes + index * bits / 8;
    switch (order) {
    case 3:
        *byte = (uint8_t)count;
        break;
    case 4:
        hk_put_be16(byte, (uint16_t)count);
        break;
    case 5:
        hk_put_be32(byte, (uint32_t)count);
        break;
    case 6:
        hk_put_be64(byte, count);
        break;
    default:
        *byte = (uint8_t)((*byte & ~(((1u << bits) - 1) << shift)) |
                          (uint32_t)count << shift);
    }
}

static uint64_t count_max(const struct hk_qcow2 *q)
{
    uint32_t bits = 1u << q->header.refcount_order;
    return bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
}

static uint64_t index_in_block(const struct hk_qcow2 *q, uint64_t cluster)
{
    return cluster & ((1ull << q->refblock_bits) - 1);
}

/* NULL in *out: no block yet, every count in it is 0. */
static int get_block(struct hk_qcow2 *q, uint64_t cluster,
                     struct qcow2_table **out)
{
    uint64_t index = cluster >> q->refblock_bits;
    *out = NULL;
    if (index >= q->reftable.count || q->reftable.entries[index] == 0)
        return 0;
    uint64_t offset = q->reftable.entries[index] & QCOW2_OFFSET_MASK;
    if (!qcow2_is_cluster(q, offset))
        return qcow2_broken(q, "a refcount block lies at an impossible place");
    return qcow2_cache_get(q, &q->refblocks, offset, out);
}

int qcow2_refcount_get(struct hk_qcow2 *q, uint64_t cluster, uint64_t *count)
{
    struct qcow2_table *block;
    int rc = get_block(q, cluster, &block);
    if (rc < 0)
        return rc;
    *count = block ? count_get(block->bytes, index_in_block(q, cluster),
                               q->header.refcount_order)
                   : 0;
    return 0;
}

int qcow2_refcount_add(struct hk_qcow2 *q, uint64_t cluster, int delta)
{
    struct qcow2_table *block;
    int rc = get_block(q, cluster, &block);
    if (rc < 0)
        return rc;
    if (!block)
        return qcow2_broken(q, "a used cluster has no refcount block");
    uint32_t order = q->header.refcount_order;
    uint64_t index = index_in_block(q, cluster);
    uint64_t count = count_get(block->bytes, index, order);
    if (delta < 0 ? count == 0 : count == count_max(q))
        return qcow2_broken(q, "a reference count is out of range");
    count += delta < 0 ? (uint64_t)-1 : 1;
    count_put(block->bytes, index, order, count);
    qcow2_cache_set_dirty(&q->refblocks, block);
    if (count == 0 && cluster < q->next_free)
        q->next_free = cluster;
    return 0;
}

/* More room in memory; the place on the file is found at the next flush. */
static int grow_reftable(struct hk_qcow2 *q, uint64_t index)
{
    struct qcow2_root *root = &q->reftable;
    uint64_t wanted = root->count + root->count / 2;
    uint64_t limit = QCOW2_REFTABLE_BYTES_MAX / 8;
    if (wanted <= index)
        wanted = index + 1;
    wanted = (wanted + QCOW2_SECTOR_ENTRIES - 1) / QCOW2_SECTOR_ENTRIES *
             QCOW2_SECTOR_ENTRIES;
    if (wanted > limit)
        wanted = limit;
    if (index >= wanted)
        return -HK_ENOSPC;
    uint64_t *entries = realloc(root->entries, wanted * sizeof(*entries));
    if (!entries)
        return -HK_ENOMEM;
    root->entries = entries;
    uint64_t sectors = wanted / QCOW2_SECTOR_ENTRIES;
    uint8_t *dirty = realloc(root->dirty, sectors);
    if (!dirty)
        return -HK_ENOMEM;
    root->dirty = dirty;
    memset(entries + root->count, 0, (wanted - root->count) * sizeof(*entries));
    memset(dirty, 1, sectors);
    root->any_dirty = true;
    root->count = (uint32_t)wanted;
    return 0;
}

/* A block that describes the cluster it lies in. */
static int make_block_here(struct hk_qcow2 *q, uint64_t cluster)
{
    struct qcow2_table *block;
    int rc = qcow2_set_add(&q->tables, cluster);
    if (rc == -HK_EEXIST)
        return qcow2_broken(q, "a table is not counted as used");
    if (rc == 0)
        rc = qcow2_cache_make(q, &q->refblocks, cluster << q->cluster_bits,
                              &block);
    if (rc < 0) {
        qcow2_set_remove(&q->tables, cluster);
        return rc;
    }
    count_put(block->bytes, index_in_block(q, cluster),
              q->header.refcount_order, 1);
    qcow2_root_set(&q->reftable, (uint32_t)(cluster >> q->refblock_bits),
                   cluster << q->cluster_bits);
    return 0;
}

/* A block in a cluster that has a count already. */
static int make_block_at(struct hk_qcow2 *q, uint64_t index, uint64_t cluster)
{
    struct qcow2_table *block;
    int rc = qcow2_refcount_add(q, cluster, 1);
    if (rc < 0)
        return rc;
    rc = qcow2_set_add(&q->tables, cluster);
    if (rc == -HK_EEXIST)
        return qcow2_broken(q, "a table is not counted as used");
    if (rc == 0)
        rc = qcow2_cache_make(q, &q->refblocks, cluster << q->cluster_bits,
                              &block);
    if (rc == 0)
        qcow2_root_set(&q->reftable, (uint32_t)index,
                       cluster << q->cluster_bits);
    return rc;
}

int qcow2_refblock_ensure(struct hk_qcow2 *q, uint64_t cluster, bool *made)
{
    uint64_t index = cluster >> q->refblock_bits;
    /* Each turn makes a block; the second one at the latest is ours, because
     * the first free cluster is then counted. */
    for (int turn = 0; turn < 3; turn++) {
        struct qcow2_run run;
        if (index < q->reftable.count && q->reftable.entries[index] != 0)
            return 0;
        *made = true;
        int rc = qcow2_find_free(q, 1, true, &run);
        if (rc < 0)
            return rc;
        uint64_t home = run.first >> q->refblock_bits;
        if (index >= q->reftable.count || home >= q->reftable.count) {
            rc = grow_reftable(q, index > home ? index : home);
            if (rc < 0)
                return rc;
        }
        if (q->reftable.entries[home] == 0)
            rc = make_block_here(q, run.first);
        else
            rc = make_block_at(q, index, run.first);
        if (rc < 0)
            return rc;
        if (run.first >= q->fresh_from)
            q->fresh_from = run.first + 1;
    }
    return qcow2_broken(q, "no refcount block can be made");
}
