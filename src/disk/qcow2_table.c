/* L1 and L2 tables: from a guest cluster to its place. */
#include "disk/qcow2_int.h"

#include "base/assert.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

static uint32_t sectors_of(uint32_t count)
{
    return (count + QCOW2_SECTOR_ENTRIES - 1) / QCOW2_SECTOR_ENTRIES;
}

int qcow2_root_load(struct hk_qcow2 *q, struct qcow2_root *root,
                    uint64_t offset, uint32_t count)
{
    size_t bytes = (size_t)count * sizeof(*root->entries);
    root->offset = offset;
    root->count = root->store_count = count;
    root->entries = malloc(bytes + (bytes == 0));
    root->dirty = calloc(sectors_of(count) + 1, 1);
    if (!root->entries || !root->dirty)
        return -HK_ENOMEM;
    int rc = qcow2_store_read(q, root->entries, bytes, offset);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < count; i++)
        root->entries[i] = hk_get_be64(&root->entries[i]);
    return 0;
}

void qcow2_root_fini(struct qcow2_root *root)
{
    free(root->entries);
    free(root->dirty);
    *root = (struct qcow2_root){0};
}

void qcow2_root_set(struct qcow2_root *root, uint32_t index, uint64_t entry)
{
    root->entries[index] = entry;
    root->dirty[index / QCOW2_SECTOR_ENTRIES] = 1;
    root->any_dirty = true;
}

uint64_t qcow2_entry_get(const struct qcow2_table *table, uint32_t index)
{
    return hk_get_be64(table->bytes + (size_t)index * 8);
}

struct qcow2_packing qcow2_packing_of(const struct hk_qcow2 *q, uint64_t entry)
{
    uint32_t bits = 62 - (q->cluster_bits - 8);
    uint64_t offset = entry & ((1ull << bits) - 1);
    uint64_t sectors = (entry >> bits & ((1ull << (62 - bits)) - 1)) + 1;
    return (struct qcow2_packing){offset, sectors * QCOW2_SECTOR -
                                              offset % QCOW2_SECTOR};
}

/* *out is NULL when there is no L2 table. */
static int l2_for_reading(struct hk_qcow2 *q, uint64_t cluster,
                          struct qcow2_table **out)
{
    uint64_t index = cluster >> q->l2_bits;
    hk_assert(index < q->l1.count);
    uint64_t offset = q->l1.entries[index] & QCOW2_OFFSET_MASK;
    *out = NULL;
    if (offset == 0)
        return 0;
    if (!qcow2_is_cluster(q, offset))
        return qcow2_broken(q, "an L2 table lies at an impossible place");
    return qcow2_cache_get(q, &q->l2, offset, out);
}

static int classify(struct hk_qcow2 *q, uint64_t entry,
                    struct qcow2_extent *out)
{
    uint64_t host = entry & QCOW2_OFFSET_MASK;
    out->in_place = false;
    out->entry = entry;
    out->host = host;
    if (entry & QCOW2_COMPRESSED) {
        out->kind = QCOW2_PACKED;
        return 0;
    }
    if (q->header.version >= 3 && (entry & QCOW2_ZERO)) {
        out->kind = QCOW2_ZEROES;
        return 0;
    }
    if (host == 0) {
        out->kind = QCOW2_HOLE;
        return 0;
    }
    if (!qcow2_is_cluster(q, host))
        return qcow2_broken(q, "a cluster lies at an impossible place");
    out->kind = QCOW2_DATA;
    out->in_place = (entry & QCOW2_COPIED) != 0;
    return 0;
}

static bool continues(const struct hk_qcow2 *q, const struct qcow2_extent *run,
                      const struct qcow2_extent *next, uint64_t clusters)
{
    if (next->kind != run->kind || next->in_place != run->in_place ||
        run->kind == QCOW2_PACKED)
        return false;
    return run->kind != QCOW2_DATA ||
           next->host == run->host + (clusters << q->cluster_bits);
}

/* A flush that writes tables must not be asked to throw one out. */
static void wait_for_room(struct hk_qcow2 *q)
{
    while (q->flushing && !qcow2_cache_has_room(&q->l2))
        uv_cond_wait(&q->changed, &q->lock);
}

int qcow2_lookup(struct hk_qcow2 *q, uint64_t offset, uint64_t len,
                 struct qcow2_extent *out)
{
    uint64_t within = offset & (q->cluster_size - 1);
    uint64_t cluster = offset >> q->cluster_bits;
    uint32_t index = (uint32_t)(cluster & ((1ull << q->l2_bits) - 1));
    uint64_t left = (1ull << q->l2_bits) - index;
    uint64_t wanted = qcow2_round_up(q, within + len);
    uint64_t clusters = 1;
    struct qcow2_table *table;
    wait_for_room(q);
    int rc = l2_for_reading(q, cluster, &table);
    if (rc < 0)
        return rc;
    if (!table) {
        *out = (struct qcow2_extent){.kind = QCOW2_HOLE};
        clusters = left;
    } else {
        rc = classify(q, qcow2_entry_get(table, index), out);
        if (rc < 0)
            return rc;
        while (clusters < left && clusters < wanted) {
            struct qcow2_extent next;
            uint64_t entry = qcow2_entry_get(table, index + (uint32_t)clusters);
            if (classify(q, entry, &next) < 0 ||
                !continues(q, out, &next, clusters))
                break;
            clusters++;
        }
    }
    out->host += within;
    out->len = (clusters << q->cluster_bits) - within;
    if (out->len > len)
        out->len = len;
    return 0;
}

static int make_l2(struct hk_qcow2 *q, uint32_t l1_index,
                   struct qcow2_table **out)
{
    struct qcow2_run run;
    int rc = qcow2_alloc(q, 1, true, &run);
    if (rc < 0)
        return rc;
    rc = qcow2_set_add(&q->tables, run.first);
    if (rc == 0)
        rc = qcow2_cache_make(q, &q->l2, run.first << q->cluster_bits, out);
    if (rc < 0) {
        qcow2_set_remove(&q->tables, run.first);
        qcow2_unalloc(q, &run);
        return rc;
    }
    qcow2_root_set(&q->l1, l1_index,
                   run.first << q->cluster_bits | QCOW2_COPIED);
    return 0;
}

/* A snapshot has the table too: ours goes to a new place, as it is. The old
 * one stays a table. */
static int move_l2(struct hk_qcow2 *q, uint32_t l1_index,
                   struct qcow2_table *table)
{
    struct qcow2_run run;
    uint64_t old = table->offset >> q->cluster_bits;
    if (table->dirty || q->freed.count == QCOW2_FREED_MAX)
        return qcow2_broken(q, "a shared table was changed");
    int rc = qcow2_alloc(q, 1, true, &run);
    if (rc < 0)
        return rc;
    rc = qcow2_set_add(&q->tables, run.first);
    if (rc < 0) {
        qcow2_unalloc(q, &run);
        return rc;
    }
    qcow2_cache_move(&q->l2, table, run.first << q->cluster_bits);
    qcow2_root_set(&q->l1, l1_index,
                   run.first << q->cluster_bits | QCOW2_COPIED);
    q->freed.item[q->freed.count++] = (struct qcow2_freed){old, 1};
    return 0;
}

int qcow2_l2_for_change(struct hk_qcow2 *q, uint64_t cluster,
                        struct qcow2_table **out, uint32_t *index)
{
    uint32_t l1_index = (uint32_t)(cluster >> q->l2_bits);
    *index = (uint32_t)(cluster & ((1ull << q->l2_bits) - 1));
    if (q->broken)
        return -HK_EIO;
    int rc = l2_for_reading(q, cluster, out);
    if (rc < 0)
        return rc;
    if (!*out)
        return make_l2(q, l1_index, out);
    if (!(q->l1.entries[l1_index] & QCOW2_COPIED))
        return move_l2(q, l1_index, *out);
    return 0;
}

/* What an entry keeps in use on the file. */
static struct qcow2_freed use_of(const struct hk_qcow2 *q, uint64_t entry)
{
    if (entry & QCOW2_COMPRESSED) {
        struct qcow2_packing p = qcow2_packing_of(q, entry);
        uint64_t first = p.offset >> q->cluster_bits;
        uint64_t last = (p.offset + p.len - 1) >> q->cluster_bits;
        return (struct qcow2_freed){first, last - first + 1};
    }
    uint64_t host = entry & QCOW2_OFFSET_MASK;
    return (struct qcow2_freed){host >> q->cluster_bits, host != 0};
}

/* Neighbours become one item. */
static int add_freed(struct qcow2_freed_list *list, struct qcow2_freed use)
{
    if (use.count == 0)
        return 0;
    struct qcow2_freed *last =
        list->count > 0 ? &list->item[list->count - 1] : NULL;
    if (last && last->cluster + last->count == use.cluster) {
        last->count += use.count;
        return 0;
    }
    if (list->count == QCOW2_FREED_MAX)
        return -HK_ENOBUFS;
    list->item[list->count++] = use;
    return 0;
}

int qcow2_entry_set(struct hk_qcow2 *q, struct qcow2_table *table,
                    uint32_t index, uint64_t entry)
{
    uint64_t old = qcow2_entry_get(table, index);
    if (old == entry)
        return 0;
    struct qcow2_freed use = use_of(q, old);
    if ((old & QCOW2_OFFSET_MASK) == (entry & QCOW2_OFFSET_MASK) &&
        !((old | entry) & QCOW2_COMPRESSED))
        use.count = 0; /* the same cluster with another flag */
    int rc = add_freed(&q->freed, use);
    if (rc < 0)
        return rc;
    hk_put_be64(table->bytes + (size_t)index * 8, entry);
    qcow2_cache_set_dirty(&q->l2, table);
    return 0;
}
