/*
 * Changing data. A cluster that is ours alone is overwritten in place.
 * Everything else gets a new cluster: the parts of it that the request does
 * not cover are copied, and the L2 entry changes last.
 */
#include "disk/qcow2_int.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ */
/* In place                                                           */

/* Lock held. A damaged image must not lead a write into its tables. */
static int check_place(struct hk_qcow2 *q, const struct qcow2_extent *extent)
{
    uint64_t first = extent->host >> q->cluster_bits;
    uint64_t last = (extent->host + extent->len - 1) >> q->cluster_bits;
    if (q->broken)
        return -HK_EIO;
    for (uint64_t at = first; at <= last; at++)
        if (qcow2_set_has(&q->tables, at))
            return qcow2_broken(q, "a data cluster lies in a table");
    return 0;
}

/* ------------------------------------------------------------------ */
/* New clusters                                                       */

struct fresh_write {
    struct qcow2_busy busy;
    struct qcow2_run run;
    uint64_t head; /* bytes of the first cluster before the request */
    uint64_t body; /* bytes of the request */
};

static void add_busy(struct hk_qcow2 *q, struct qcow2_busy *busy)
{
    busy->next = q->busy;
    q->busy = busy;
}

static void remove_busy(struct hk_qcow2 *q, struct qcow2_busy *busy)
{
    struct qcow2_busy **at = &q->busy;
    while (*at != busy)
        at = &(*at)->next;
    *at = busy->next;
    uv_cond_broadcast(&q->changed);
}

/* How many clusters from `first` on cannot be overwritten in place. */
static int count_new(struct hk_qcow2 *q, uint64_t first, uint64_t max,
                     uint64_t *count)
{
    uint64_t n = 0;
    while (n < max) {
        struct qcow2_extent extent;
        int rc = qcow2_lookup(q, (first + n) << q->cluster_bits,
                              (max - n) << q->cluster_bits, &extent);
        if (rc < 0)
            return rc;
        if (extent.kind == QCOW2_DATA && extent.in_place)
            break;
        n += extent.len >> q->cluster_bits;
    }
    *count = n;
    return 0;
}

static uint64_t run_max(const struct hk_qcow2 *q, uint64_t first, uint64_t want)
{
    uint64_t entries = 1ull << q->l2_bits;
    uint64_t in_table = entries - (first & (entries - 1));
    uint64_t limit = QCOW2_RUN_BYTES >> q->cluster_bits;
    if (limit > QCOW2_RUN_CLUSTERS)
        limit = QCOW2_RUN_CLUSTERS;
    if (limit > in_table)
        limit = in_table;
    return want < limit ? want : limit;
}

/* Lock held. *count is 0 when someone else was first. */
static int reserve(struct hk_qcow2 *q, uint64_t offset, uint64_t len,
                   struct fresh_write *w)
{
    uint64_t first = offset >> q->cluster_bits;
    w->head = offset & (q->cluster_size - 1);
    uint64_t want = run_max(q, first, qcow2_round_up(q, w->head + len));
    w->run = (struct qcow2_run){0};
    int rc = qcow2_want_change(q, first, want);
    if (rc == 0)
        rc = count_new(q, first, want, &want);
    if (rc < 0 || want == 0)
        return rc;
    rc = qcow2_alloc(q, want, false, &w->run);
    if (rc < 0) {
        w->run = (struct qcow2_run){0};
        return rc;
    }
    w->body = (w->run.count << q->cluster_bits) - w->head;
    if (w->body > len)
        w->body = len;
    q->promised += w->run.count + 1;
    w->busy = (struct qcow2_busy){first, first + w->run.count, NULL};
    add_busy(q, &w->busy);
    return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return len == 0 ||
           (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* Brings what the guest sees at `from` to `to` on the store; a new cluster of
 * a growing file is zeroes already. */
static int copy_part(struct hk_qcow2 *q, uint8_t *buffer, uint64_t from,
                     uint64_t len, uint64_t to, bool is_fresh)
{
    uint64_t size = hk_disk_size(&q->disk);
    uint64_t there = from < size ? size - from : 0;
    if (there > len)
        there = len;
    struct hk_iov piece = {buffer, (size_t)there};
    struct hk_iov_pos pos = {&piece, 1, 0};
    int rc = qcow2_read_range(q, &pos, there, from);
    if (rc < 0)
        return rc;
    memset(buffer + there, 0, (size_t)(len - there));
    if (is_fresh && is_zero(buffer, (size_t)len))
        return 0;
    return hk_disk_write(q->store, buffer, (size_t)len, to);
}

static int copy_edges(struct hk_qcow2 *q, uint64_t offset,
                      const struct fresh_write *w)
{
    uint64_t place = w->run.first << q->cluster_bits;
    uint64_t whole = w->run.count << q->cluster_bits;
    uint64_t tail = whole - w->head - w->body;
    if (w->head == 0 && tail == 0)
        return 0;
    uint8_t *buffer = malloc(q->cluster_size);
    if (!buffer)
        return -HK_ENOMEM;
    int rc = 0;
    if (w->head > 0)
        rc = copy_part(q, buffer, offset - w->head, w->head, place,
                       w->run.is_fresh);
    if (rc == 0 && tail > 0)
        rc = copy_part(q, buffer, offset + w->body, tail, place + whole - tail,
                       w->run.is_fresh);
    free(buffer);
    return rc;
}

/* Lock held: the guest's clusters are these from now on. What could not be
 * entered is given back. */
static int link_run(struct hk_qcow2 *q, const struct fresh_write *w)
{
    struct qcow2_table *table;
    uint32_t index;
    uint64_t done = 0;
    int rc = qcow2_l2_for_change(q, w->busy.first, &table, &index);
    while (rc == 0 && done < w->run.count) {
        uint64_t host = (w->run.first + done) << q->cluster_bits;
        rc = qcow2_entry_set(q, table, index + (uint32_t)done,
                             host | QCOW2_COPIED);
        if (rc == 0)
            done++;
    }
    struct qcow2_run rest = {w->run.first + done, w->run.count - done, false};
    qcow2_unalloc(q, &rest);
    return rc;
}

static void wait_for_flush(struct hk_qcow2 *q)
{
    while (q->flushing)
        uv_cond_wait(&q->changed, &q->lock);
}

/* Lock held at the start and at the end. */
static int write_new(struct hk_qcow2 *q, struct hk_iov_pos *from,
                     uint64_t offset, uint64_t len, uint64_t *done)
{
    struct fresh_write w;
    *done = 0;
    int rc = reserve(q, offset, len, &w);
    if (rc < 0 || w.run.count == 0)
        return rc;
    uv_mutex_unlock(&q->lock);
    rc = copy_edges(q, offset, &w);
    if (rc == 0)
        rc = qcow2_move(q->store, from, w.body,
                        (w.run.first << q->cluster_bits) + w.head, true);
    uv_mutex_lock(&q->lock);
    wait_for_flush(q);
    if (rc == 0)
        rc = link_run(q, &w);
    else
        qcow2_unalloc(q, &w.run);
    q->promised -= w.run.count + 1;
    remove_busy(q, &w.busy);
    *done = w.body;
    return rc;
}

/* Lock held at the start and at the end. */
static int write_some(struct hk_qcow2 *q, struct hk_iov_pos *from,
                      uint64_t offset, uint64_t len, uint64_t *done)
{
    struct qcow2_extent extent;
    int rc = qcow2_lookup(q, offset, len, &extent);
    if (rc < 0)
        return rc;
    if (extent.kind != QCOW2_DATA || !extent.in_place)
        return write_new(q, from, offset, len, done);
    rc = check_place(q, &extent);
    if (rc < 0)
        return rc;
    uv_mutex_unlock(&q->lock);
    rc = qcow2_move(q->store, from, extent.len, extent.host, true);
    uv_mutex_lock(&q->lock);
    *done = extent.len;
    return rc;
}

int qcow2_writev(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                 uint64_t offset)
{
    struct hk_qcow2 *q = (struct hk_qcow2 *)disk;
    struct hk_iov_pos pos = {iov, count, 0};
    uint64_t len = 0;
    int rc = 0;
    if (!hk_iov_total(iov, count, &len))
        return -HK_EINVAL;
    qcow2_begin(q);
    while (rc == 0 && len > 0) {
        uint64_t done = 0;
        rc = write_some(q, &pos, offset, len, &done);
        offset += done;
        len -= done;
    }
    qcow2_end(q);
    return rc;
}
