/* Tables to the file in the order of qcow2_int.h, and the life of a request. */
#include "disk/qcow2_int.h"

#include "base/assert.h"
#include "base/endian.h"

#include <string.h>

/* ------------------------------------------------------------------ */
/* Tables                                                             */

static int write_root_sector(struct hk_qcow2 *q, const struct qcow2_root *root,
                             uint32_t sector)
{
    uint8_t bytes[QCOW2_SECTOR] = {0};
    uint32_t first = sector * QCOW2_SECTOR_ENTRIES;
    uint32_t n = root->count - first;
    if (n > QCOW2_SECTOR_ENTRIES)
        n = QCOW2_SECTOR_ENTRIES;
    for (uint32_t i = 0; i < n; i++)
        hk_put_be64(bytes + i * 8, root->entries[first + i]);
    return hk_disk_write(q->store, bytes, (size_t)n * 8,
                         root->offset + (uint64_t)first * 8);
}

static int write_root(struct hk_qcow2 *q, struct qcow2_root *root)
{
    if (!root->any_dirty)
        return 0;
    uint32_t last = (root->count - 1) / QCOW2_SECTOR_ENTRIES;
    for (uint32_t sector = 0; sector <= last; sector++) {
        if (!root->dirty[sector])
            continue;
        int rc = write_root_sector(q, root, sector);
        if (rc < 0)
            return rc;
        root->dirty[sector] = 0;
    }
    root->any_dirty = false;
    return 0;
}

/* May give up the lock: `flushing` keeps the tables as they are. */
static int sync_store(struct hk_qcow2 *q, bool may_unlock)
{
    if (may_unlock)
        uv_mutex_unlock(&q->lock);
    int rc = hk_disk_flush(q->store);
    if (may_unlock)
        uv_mutex_lock(&q->lock);
    return rc;
}

static int reserve_tables(struct hk_qcow2 *q, const struct qcow2_run *run)
{
    for (uint64_t i = 0; i < run->count; i++) {
        int rc = qcow2_set_add(&q->tables, run->first + i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Offset and size of the refcount table change in one small write. */
static int switch_reftable(struct hk_qcow2 *q, const struct qcow2_run *to)
{
    uint8_t field[12];
    struct qcow2_root *root = &q->reftable;
    uint64_t old = root->offset >> q->cluster_bits;
    uint64_t old_count = qcow2_round_up(q, (uint64_t)root->store_count * 8);
    root->offset = to->first << q->cluster_bits;
    root->any_dirty = true;
    memset(root->dirty, 1,
           (root->count + QCOW2_SECTOR_ENTRIES - 1) / QCOW2_SECTOR_ENTRIES);
    int rc = qcow2_cache_write(q, &q->refblocks);
    if (rc == 0)
        rc = write_root(q, root);
    if (rc == 0)
        rc = hk_disk_flush(q->store);
    hk_put_be64(field, root->offset);
    hk_put_be32(field + 8, (uint32_t)to->count);
    if (rc == 0)
        rc = hk_disk_write(q->store, field, sizeof(field), 48);
    if (rc == 0)
        rc = hk_disk_flush(q->store);
    if (rc < 0) {
        /* Unknown which one the header names: the new one stays allocated and
         * the old one stays in use, until this succeeds. */
        root->offset = old << q->cluster_bits;
        return rc;
    }
    root->store_count = (uint32_t)(to->count << (q->cluster_bits - 3));
    for (uint64_t i = 0; i < old_count; i++)
        qcow2_set_remove(&q->tables, old + i);
    struct qcow2_run gone = {old, old_count, false};
    qcow2_unalloc(q, &gone);
    return 0;
}

/* Finds a place for a refcount table that has outgrown its own. */
static int place_reftable(struct hk_qcow2 *q)
{
    struct qcow2_run run;
    uint64_t clusters = 0;
    if (q->reftable.count <= q->reftable.store_count)
        return 0;
    /* Taking the clusters may make the table grow once more. */
    for (;;) {
        clusters = qcow2_round_up(q, (uint64_t)q->reftable.count * 8);
        int rc = qcow2_alloc(q, clusters, true, &run);
        if (rc < 0)
            return rc;
        if (clusters == qcow2_round_up(q, (uint64_t)q->reftable.count * 8))
            break;
        qcow2_unalloc(q, &run);
    }
    int rc = reserve_tables(q, &run);
    return rc < 0 ? rc : switch_reftable(q, &run);
}

static int write_counts(struct hk_qcow2 *q, bool may_unlock)
{
    int rc = place_reftable(q);
    bool is_first = q->refblocks.dirty > 0 || q->l2.dirty > 0;
    if (rc == 0)
        rc = qcow2_cache_write(q, &q->refblocks);
    if (rc == 0 && is_first)
        rc = sync_store(q, may_unlock);
    if (rc < 0 || !q->reftable.any_dirty)
        return rc;
    rc = write_root(q, &q->reftable);
    return rc < 0 ? rc : sync_store(q, may_unlock);
}

int qcow2_write_tables(struct hk_qcow2 *q, bool may_unlock)
{
    if (q->broken)
        return -HK_EIO;
    int rc = write_counts(q, may_unlock);
    if (rc < 0 || (q->l2.dirty == 0 && !q->l1.any_dirty))
        return rc;
    rc = qcow2_cache_write(q, &q->l2);
    if (rc == 0 && q->l1.any_dirty) {
        rc = sync_store(q, may_unlock);
        if (rc == 0)
            rc = write_root(q, &q->l1);
    }
    return rc < 0 ? rc : sync_store(q, may_unlock);
}

/* ------------------------------------------------------------------ */
/* Freed clusters                                                     */

static void settle(struct hk_qcow2 *q)
{
    for (uint32_t i = 0; i < q->freed.count; i++)
        q->settled.item[q->settled.count + i] = q->freed.item[i];
    q->settled.count += q->freed.count;
    q->freed.count = 0;
}

/* Waits until every request that may still know the clusters has ended. */
static void drain(struct hk_qcow2 *q)
{
    while (q->draining)
        uv_cond_wait(&q->changed, &q->lock);
    q->draining = true;
    while (q->in_flight > 0)
        uv_cond_wait(&q->changed, &q->lock);
    q->draining = false;
    uv_cond_broadcast(&q->changed);
}

/* Gives the space of clusters back that nobody else uses: still counted, so
 * nobody takes them meanwhile. A failure only costs space. */
static int punch(struct hk_qcow2 *q, struct qcow2_freed use)
{
    uint64_t first = use.cluster, n = 0;
    for (uint64_t i = 0; i <= use.count; i++) {
        uint64_t count = 0;
        if (i < use.count) {
            int rc = qcow2_refcount_get(q, use.cluster + i, &count);
            if (rc < 0)
                return rc;
        }
        if (count == 1) {
            first = n == 0 ? use.cluster + i : first;
            n++;
        } else if (n > 0) {
            uint64_t at = first << q->cluster_bits;
            uint64_t len = n << q->cluster_bits;
            uint64_t end = hk_disk_size(q->store);
            if (at < end)
                (void)!hk_disk_trim(q->store, at,
                                    len < end - at ? len : end - at);
            n = 0;
        }
    }
    return 0;
}

static int count_down(struct hk_qcow2 *q, struct qcow2_freed use)
{
    for (uint64_t i = 0; i < use.count; i++) {
        uint64_t count = 0;
        int rc = qcow2_refcount_add(q, use.cluster + i, -1);
        if (rc == 0)
            rc = qcow2_refcount_get(q, use.cluster + i, &count);
        if (rc < 0)
            return rc;
        if (count == 0)
            qcow2_set_remove(&q->tables, use.cluster + i);
    }
    return 0;
}

/* Lock held, outside any request. What fails is a leak. */
static void reuse_settled(struct hk_qcow2 *q)
{
    if (q->settled.count == 0)
        return;
    drain(q);
    /* No other flush is at it: it would have had to be `flushing`. */
    for (uint32_t i = 0; i < q->settled.count && !q->broken; i++) {
        if (punch(q, q->settled.item[i]) < 0 ||
            count_down(q, q->settled.item[i]) < 0)
            break;
    }
    q->settled.count = 0;
}

int qcow2_flush(struct hk_qcow2 *q)
{
    uv_mutex_lock(&q->lock);
    while (q->flushing)
        uv_cond_wait(&q->changed, &q->lock);
    q->flushing = true;
    bool tables = q->l2.dirty > 0 || q->l1.any_dirty ||
                  q->refblocks.dirty > 0 || q->reftable.any_dirty;
    int rc = q->broken ? -HK_EIO : 0;
    if (rc == 0)
        rc = tables ? qcow2_write_tables(q, true) : sync_store(q, true);
    if (rc == 0 && q->freed.count > 0 && q->settled.count == 0)
        settle(q);
    if (rc == 0) {
        /* Requests that wait for the end of the flush go on, and end. */
        q->flushing = false;
        uv_cond_broadcast(&q->changed);
        reuse_settled(q);
    }
    q->flushing = false;
    uv_cond_broadcast(&q->changed);
    uv_mutex_unlock(&q->lock);
    return rc;
}

/* ------------------------------------------------------------------ */
/* The life of a request                                              */

void qcow2_begin(struct hk_qcow2 *q)
{
    uv_mutex_lock(&q->lock);
    while (q->draining)
        uv_cond_wait(&q->changed, &q->lock);
    q->in_flight++;
}

void qcow2_end(struct hk_qcow2 *q)
{
    hk_assert(q->in_flight > 0);
    if (--q->in_flight == 0 && q->draining)
        uv_cond_broadcast(&q->changed);
    uv_mutex_unlock(&q->lock);
}

static bool overlaps_busy(const struct hk_qcow2 *q, uint64_t first,
                          uint64_t end)
{
    for (const struct qcow2_busy *b = q->busy; b; b = b->next)
        if (first < b->end && b->first < end)
            return true;
    return false;
}

bool qcow2_wait_quiet(struct hk_qcow2 *q, uint64_t first, uint64_t end)
{
    bool waited = false;
    while (q->flushing || overlaps_busy(q, first, end)) {
        uv_cond_wait(&q->changed, &q->lock);
        waited = true;
    }
    return waited;
}

static int want_room(struct hk_qcow2 *q, uint64_t pieces)
{
    while (q->freed.count + q->promised + pieces > QCOW2_FREED_MAX) {
        if (q->freed.count + pieces <= QCOW2_FREED_MAX) {
            uv_cond_wait(&q->changed, &q->lock); /* for a promise to end */
            continue;
        }
        qcow2_end(q);
        int rc = qcow2_flush(q);
        qcow2_begin(q);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int qcow2_want_change(struct hk_qcow2 *q, uint64_t first, uint64_t count)
{
    do {
        int rc = want_room(q, count + 1);
        if (rc < 0)
            return rc;
    } while (qcow2_wait_quiet(q, first, first + count));
    return q->broken ? -HK_EIO : 0;
}
