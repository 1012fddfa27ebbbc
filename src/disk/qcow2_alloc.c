/* Finding and taking free clusters. */
#include "disk/qcow2_int.h"

#define CLUSTER_LIMIT (1ull << 55) /* bytes */

static uint64_t cluster_limit(const struct hk_qcow2 *q)
{
    uint64_t bytes =
        q->store->info.grows ? CLUSTER_LIMIT : hk_disk_size(q->store);
    return bytes >> q->cluster_bits;
}

/* Length of the free run at `first`, at most `want`. */
static int measure_run(struct hk_qcow2 *q, uint64_t first, uint64_t want,
                       uint64_t limit, uint64_t *len)
{
    uint64_t n = 0;
    while (n < want && first + n < limit) {
        uint64_t count;
        int rc = qcow2_refcount_get(q, first + n, &count);
        if (rc < 0)
            return rc;
        if (count != 0)
            break;
        n++;
    }
    *len = n;
    return 0;
}

/* Up to `want` free clusters side by side, or exactly so many. Takes nothing.
 * The search ends: behind the last counted cluster all are free. */
int qcow2_find_free(struct hk_qcow2 *q, uint64_t want, bool exactly,
                    struct qcow2_run *run)
{
    uint64_t limit = cluster_limit(q);
    bool is_first = true;
    for (uint64_t at = q->next_free; at < limit;) {
        uint64_t len;
        int rc = measure_run(q, at, want, limit, &len);
        if (rc < 0)
            return rc;
        if (len > 0 && is_first)
            q->next_free = at;
        is_first = is_first && len == 0;
        if (len == want || (len > 0 && !exactly)) {
            run->first = at;
            run->count = len;
            run->is_fresh = at >= q->fresh_from;
            return 0;
        }
        at += len + 1;
    }
    return -HK_ENOSPC;
}

/* No table may lie in what the counts call free. */
static int check_run(struct hk_qcow2 *q, const struct qcow2_run *run)
{
    for (uint64_t i = 0; i < run->count; i++)
        if (run->first + i == 0 || qcow2_set_has(&q->tables, run->first + i))
            return qcow2_broken(q, "a table is not counted as used");
    return 0;
}

static int ensure_blocks(struct hk_qcow2 *q, const struct qcow2_run *run,
                         bool *made)
{
    uint64_t step = 1ull << q->refblock_bits;
    uint64_t last = run->first + run->count - 1;
    for (uint64_t at = run->first; at <= last;) {
        int rc = qcow2_refblock_ensure(q, at, made);
        if (rc < 0)
            return rc;
        at = (at & ~(step - 1)) + step;
    }
    return 0;
}

static int count_up(struct hk_qcow2 *q, const struct qcow2_run *run)
{
    for (uint64_t i = 0; i < run->count; i++) {
        int rc = qcow2_refcount_add(q, run->first + i, 1);
        if (rc < 0) {
            struct qcow2_run done = {run->first, i, false};
            qcow2_unalloc(q, &done);
            return rc;
        }
    }
    return 0;
}

int qcow2_alloc(struct hk_qcow2 *q, uint64_t want, bool exactly,
                struct qcow2_run *run)
{
    bool made;
    if (q->broken)
        return -HK_EIO;
    /* A new refcount block may take a cluster of the run: look again. */
    do {
        made = false;
        int rc = qcow2_find_free(q, want, exactly, run);
        if (rc == 0)
            rc = check_run(q, run);
        if (rc == 0)
            rc = ensure_blocks(q, run, &made);
        if (rc < 0)
            return rc;
    } while (made);

    int rc = count_up(q, run);
    if (rc < 0)
        return rc;
    if (run->first + run->count > q->fresh_from)
        q->fresh_from = run->first + run->count;
    return 0;
}

void qcow2_unalloc(struct hk_qcow2 *q, const struct qcow2_run *run)
{
    for (uint64_t i = 0; i < run->count; i++)
        if (qcow2_refcount_add(q, run->first + i, -1) < 0)
            return; /* a leak */
}
