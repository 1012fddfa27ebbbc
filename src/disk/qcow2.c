/* Opening and closing a qcow2 image; qcow2_int.h says how it works. */
#define HK_LOG_TAG "qcow2"
#include "disk/qcow2_int.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    L2_CACHE_BYTES = 16 << 20,
    REFBLOCK_CACHE_BYTES = 4 << 20,
    AUTOCLEAR_AT = 88,
};

bool qcow2_is_cluster(const struct hk_qcow2 *q, uint64_t offset)
{
    uint64_t cluster = offset >> q->cluster_bits;
    if (cluster == 0 || (offset & (q->cluster_size - 1)) != 0)
        return false;
    return cluster < q->fresh_from ||
           cluster < qcow2_round_up(q, hk_disk_size(q->store));
}

int qcow2_broken(struct hk_qcow2 *q, const char *what)
{
    if (!q->broken)
        HK_LOG_E("%s: the image is damaged (%s): it is not written any more; "
                 "`qemu-img check` says what is wrong",
                 q->store->info.id, what);
    q->broken = true;
    return -HK_EIO;
}

static int qcow2_flush_op(struct hk_disk *disk)
{
    return qcow2_flush((struct hk_qcow2 *)disk);
}

static void destroy(struct hk_qcow2 *q)
{
    if (q->has_lock) {
        uv_cond_destroy(&q->changed);
        uv_mutex_destroy(&q->lock);
    }
    qcow2_packed_destroy(q->packed);
    qcow2_root_fini(&q->l1);
    qcow2_root_fini(&q->reftable);
    qcow2_cache_fini(&q->l2);
    qcow2_cache_fini(&q->refblocks);
    qcow2_set_fini(&q->tables);
    hk_disk_close(q->backing);
    hk_disk_close(q->store);
    free(q);
}

/* The flush before has freed clusters, and counted them down; once more so
 * that the counts are on the file. */
static void qcow2_close(struct hk_disk *disk)
{
    struct hk_qcow2 *q = (struct hk_qcow2 *)disk;
    if (!disk->info.read_only && !q->broken && qcow2_flush(q) < 0)
        HK_LOG_E("%s: the image could not be closed in order; some space in "
                 "it may be lost",
                 q->store->info.id);
    destroy(q);
}

static const struct hk_disk_ops qcow2_ops = {
    .name = "qcow2",
    .readv = qcow2_readv,
    .writev = qcow2_writev,
    .flush = qcow2_flush_op,
    .trim = qcow2_trim,
    .zero = qcow2_zero,
    .close = qcow2_close,
};

/* ------------------------------------------------------------------ */
/* Open                                                               */

static int init(struct hk_qcow2 *q)
{
    if (uv_mutex_init(&q->lock) != 0)
        return -HK_ENOMEM;
    if (uv_cond_init(&q->changed) != 0) {
        uv_mutex_destroy(&q->lock);
        return -HK_ENOMEM;
    }
    q->has_lock = true;
    q->cluster_bits = q->header.cluster_bits;
    q->cluster_size = 1ull << q->cluster_bits;
    q->l2_bits = q->cluster_bits - 3;
    q->refblock_bits = q->cluster_bits + 3 - q->header.refcount_order;
    q->fresh_from = qcow2_round_up(q, hk_disk_size(q->store));
    int rc = qcow2_cache_init(&q->l2, q->cluster_size, L2_CACHE_BYTES);
    if (rc == 0)
        rc = qcow2_cache_init(&q->refblocks, q->cluster_size,
                              REFBLOCK_CACHE_BYTES);
    return rc == 0 ? qcow2_packed_create(q) : rc;
}

static int load(struct hk_qcow2 *q)
{
    uint32_t reftable_entries = q->header.reftable_clusters
                                << (q->cluster_bits - 3);
    int rc =
        qcow2_root_load(q, &q->l1, q->header.l1_offset, q->header.l1_entries);
    if (rc == 0 && !q->store->info.read_only)
        rc = qcow2_root_load(q, &q->reftable, q->header.reftable_offset,
                             reftable_entries);
    return rc;
}

static int note_table(struct hk_qcow2 *q, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset >> q->cluster_bits;
    for (uint64_t i = 0; i < qcow2_round_up(q, bytes); i++) {
        int rc = qcow2_set_add(&q->tables, first + i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int note_root(struct hk_qcow2 *q, const struct qcow2_root *root)
{
    int rc = note_table(q, root->offset, (uint64_t)root->count * 8);
    for (uint32_t i = 0; rc == 0 && i < root->count; i++) {
        uint64_t offset = root->entries[i] & QCOW2_OFFSET_MASK;
        if (root->entries[i] == 0)
            continue;
        if (!qcow2_is_cluster(q, offset))
            return -HK_EBADMSG;
        rc = note_table(q, offset, q->cluster_size);
    }
    return rc;
}

/* Where the tables are, for writing. No two may be at one place. */
static int note_tables(struct hk_qcow2 *q, struct hk_errmsg *err)
{
    int rc = note_table(q, 0, q->cluster_size);
    if (rc == 0)
        rc = note_root(q, &q->l1);
    if (rc == 0)
        rc = note_root(q, &q->reftable);
    if (rc == -HK_EEXIST || rc == -HK_EBADMSG)
        return hk_err_set(err, -HK_EBADMSG,
                          "its tables lie on top of each other or outside the "
                          "file; the image is damaged: see what `qemu-img "
                          "check` says of it");
    return rc;
}

static int open_backing(struct hk_qcow2 *q, const struct hk_disk_opener *opener,
                        struct hk_errmsg *err)
{
    const char *name = q->header.backing;
    const char *format = q->header.backing_format;
    enum hk_disk_format number = HK_DISK_RAW;
    if (name[0] == '\0')
        return 0;
    if (format[0] == '\0')
        return hk_err_set(err, -HK_ENOTSUP,
                          "does not say which format its backing file has; "
                          "`qemu-img rebase -u -b FILE -F raw|qcow2` adds it");
    if (strcmp(format, "qcow2") == 0)
        number = HK_DISK_QCOW2;
    else if (strcmp(format, "raw") != 0)
        return hk_err_set(err, -HK_ENOTSUP,
                          "backing files of the format \"%s\" are not "
                          "supported",
                          format);
    int rc = opener->open(opener->opaque, name, number, &q->backing, err);
    if (rc == 0 || rc == -HK_ELOOP)
        return rc;
    return hk_err_prepend(err, rc, "backing file");
}

/* Unknown features that say "whoever changes the image without knowing me
 * clears my bit". */
static int clear_autoclear(struct hk_qcow2 *q)
{
    static const uint8_t none[8];
    if (q->store->info.read_only || q->header.autoclear == 0)
        return 0;
    return hk_disk_write(q->store, none, sizeof(none), AUTOCLEAR_AT);
}

static void present(struct hk_qcow2 *q)
{
    struct hk_disk_info info = {.read_only = q->store->info.read_only,
                                .block_size = (uint32_t)q->cluster_size,
                                .can_trim = true,
                                .can_zero = true};
    memcpy(info.id, q->store->info.id, sizeof(info.id));
    hk_disk_init(&q->disk, &qcow2_ops, &info, q->header.size);
}

int hk_qcow2_open(struct hk_disk *take_store,
                  const struct hk_disk_opener *opener, struct hk_disk **out,
                  struct hk_errmsg *err)
{
    struct hk_qcow2 *q = calloc(1, sizeof(*q));
    if (!q) {
        hk_disk_close(take_store);
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    }
    if (err)
        err->text[0] = '\0';
    q->store = take_store;
    int rc = qcow2_header_read(take_store, &q->header, err);
    if (rc == 0)
        rc = init(q);
    if (rc == 0)
        rc = load(q);
    if (rc == 0 && !take_store->info.read_only)
        rc = note_tables(q, err);
    if (rc == 0)
        rc = open_backing(q, opener, err);
    if (rc == 0)
        rc = clear_autoclear(q);
    if (rc < 0) {
        if (err && err->text[0] == '\0')
            (void)hk_err_set(err, rc, "%s", hk_err_text(rc));
        destroy(q);
        return rc;
    }
    present(q);
    *out = &q->disk;
    return 0;
}
