/* The header of a qcow2 image and its extensions. */
#include "disk/qcow2_int.h"

#include "base/checked.h"
#include "base/endian.h"

#include <inttypes.h>
#include <string.h>

enum {
    MAGIC = 0x514649fb, /* "QFI\xfb" */
    V2_LENGTH = 72,
    V3_LENGTH = 104,
    HEADER_READ = 112,
    BACKING_NAME_MAX = 1023,
    EXT_BACKING_FORMAT = 0xe2792aca - 0x100000000,
    EXTENSIONS_MAX = 64,
};

/* Incompatible features. */
enum {
    DIRTY = 1 << 0,
    CORRUPT = 1 << 1,
    EXTERNAL_DATA = 1 << 2,
    COMPRESSION = 1 << 3,
    EXTENDED_L2 = 1 << 4,
};

struct reader {
    struct hk_disk *store;
    struct hk_errmsg *err;
    uint8_t raw[HEADER_READ];
};

static int damaged(struct reader *r, const char *what)
{
    return hk_err_set(r->err, -HK_EBADMSG,
                      "%s; the image is damaged: see what `qemu-img check` "
                      "says of it",
                      what);
}

static int unsupported(struct reader *r, const char *what)
{
    return hk_err_set(r->err, -HK_ENOTSUP,
                      "%s is not supported; `qemu-img convert -O qcow2` makes "
                      "an image without it",
                      what);
}

static int read_at(struct reader *r, void *to, size_t len, uint64_t offset)
{
    int rc = hk_disk_read(r->store, to, len, offset);
    if (rc == -HK_EINVAL)
        return damaged(r, "the file ends within its header");
    if (rc < 0)
        return hk_err_set(r->err, rc, "%s", hk_err_text(rc));
    return 0;
}

static int check_features(struct reader *r, const struct qcow2_header *h)
{
    if (h->incompatible & EXTERNAL_DATA)
        return unsupported(r, "an external data file");
    if (h->incompatible & EXTENDED_L2)
        return unsupported(r, "the extended L2 form");
    if (h->incompatible & ~(uint64_t)(DIRTY | CORRUPT | COMPRESSION))
        return unsupported(r, "a newer feature of the format");
    if (r->store->info.read_only)
        return 0;
    if (h->incompatible & CORRUPT)
        return hk_err_set(r->err, -HK_EBADMSG,
                          "the image is marked as damaged; repair it with "
                          "`qemu-img check -r all`, or open it read-only");
    if (h->incompatible & DIRTY)
        return hk_err_set(r->err, -HK_EBADMSG,
                          "the image was not closed by the last one who wrote "
                          "it; let `qemu-img check -r all` count its clusters "
                          "anew, or open it read-only");
    return 0;
}

static int parse_v3(struct reader *r, struct qcow2_header *h)
{
    h->incompatible = hk_get_be64(r->raw + 72);
    h->autoclear = hk_get_be64(r->raw + 88);
    h->refcount_order = hk_get_be32(r->raw + 96);
    h->length = hk_get_be32(r->raw + 100);
    if (h->refcount_order > 6)
        return damaged(r, "its reference counts have an impossible width");
    if (h->length < V3_LENGTH || h->length % 8 != 0 ||
        h->length > 1ull << h->cluster_bits)
        return damaged(r, "its header has an impossible length");
    int rc = check_features(r, h);
    if (rc < 0)
        return rc;
    if (h->length > V3_LENGTH && r->raw[104] != 0) {
        if (r->raw[104] != 1)
            return unsupported(r, "this kind of compression");
        h->is_zstd = true;
    }
    return 0;
}

static int check_tables(struct reader *r, const struct qcow2_header *h)
{
    uint64_t mask = (1ull << h->cluster_bits) - 1;
    uint64_t covered = h->cluster_bits + h->cluster_bits - 3;
    uint64_t needed =
        (h->size >> covered) + ((h->size & ((1ull << covered) - 1)) != 0);
    uint64_t store = hk_disk_size(r->store);
    uint64_t reftable = (uint64_t)h->reftable_clusters << h->cluster_bits;
    if (h->size > INT64_MAX)
        return damaged(r, "it says it is impossibly large");
    if (h->l1_entries > QCOW2_L1_BYTES_MAX / 8)
        return damaged(r, "its L1 table is too large");
    if (h->l1_entries < needed)
        return damaged(r, "its L1 table is too small for its size");
    if (h->reftable_clusters == 0 || reftable > QCOW2_REFTABLE_BYTES_MAX)
        return damaged(r, "its refcount table has an impossible size");
    if ((h->l1_offset & mask) || (h->reftable_offset & mask) ||
        h->reftable_offset == 0 || (h->l1_entries > 0 && h->l1_offset == 0) ||
        !hk_range_within(h->l1_offset, (uint64_t)h->l1_entries * 8, store) ||
        !hk_range_within(h->reftable_offset, reftable, store) ||
        hk_ranges_overlap(h->l1_offset, (uint64_t)h->l1_entries * 8,
                          h->reftable_offset, reftable))
        return damaged(r, "its tables lie at impossible places");
    return 0;
}

static int read_backing_format(struct reader *r, struct qcow2_header *h,
                               uint64_t at, uint32_t len)
{
    if (len >= sizeof(h->backing_format))
        return unsupported(r, "a backing file of this format");
    return read_at(r, h->backing_format, len, at);
}

/* Extensions follow the header: type, length, data padded to 8 bytes. All of
 * them lie in the first cluster, before the backing file's name. */
static int read_extensions(struct reader *r, struct qcow2_header *h,
                           uint64_t limit)
{
    uint64_t at = h->length;
    for (int i = 0; i < EXTENSIONS_MAX && hk_range_within(at, 8, limit); i++) {
        uint8_t head[8];
        int rc = read_at(r, head, sizeof(head), at);
        if (rc < 0)
            return rc;
        uint32_t type = hk_get_be32(head), len = hk_get_be32(head + 4);
        at += sizeof(head);
        if (type == 0)
            return 0;
        if (!hk_range_within(at, len, limit))
            return damaged(r, "one of its header extensions is too long");
        if (type == (uint32_t)EXT_BACKING_FORMAT)
            rc = read_backing_format(r, h, at, len);
        if (rc < 0)
            return rc;
        at += ((uint64_t)len + 7) & ~7ull;
    }
    return 0;
}

static int read_names(struct reader *r, struct qcow2_header *h)
{
    uint64_t offset = hk_get_be64(r->raw + 8);
    uint32_t len = hk_get_be32(r->raw + 16);
    uint64_t limit = 1ull << h->cluster_bits;
    if (hk_disk_size(r->store) < limit)
        limit = hk_disk_size(r->store);
    if (offset != 0 && len != 0) {
        if (len > BACKING_NAME_MAX || offset < h->length ||
            !hk_range_within(offset, len, limit))
            return damaged(r, "its backing file has an impossible name");
        int rc = read_at(r, h->backing, len, offset);
        if (rc < 0)
            return rc;
        if (strlen(h->backing) != len)
            return damaged(r, "its backing file has an impossible name");
        limit = offset;
    }
    return read_extensions(r, h, limit);
}

static int parse_common(struct reader *r, struct qcow2_header *h)
{
    h->version = hk_get_be32(r->raw + 4);
    if (h->version != 2 && h->version != 3)
        return hk_err_set(r->err, -HK_ENOTSUP,
                          "version %" PRIu32 " of the qcow format is not "
                          "supported; `qemu-img convert -O qcow2` makes "
                          "version 3",
                          h->version);
    h->cluster_bits = hk_get_be32(r->raw + 20);
    if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
        h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
        return damaged(r, "its clusters have an impossible size");
    if (hk_get_be32(r->raw + 32) != 0)
        return unsupported(r, "encryption");
    h->size = hk_get_be64(r->raw + 24);
    h->l1_entries = hk_get_be32(r->raw + 36);
    h->l1_offset = hk_get_be64(r->raw + 40);
    h->reftable_offset = hk_get_be64(r->raw + 48);
    h->reftable_clusters = hk_get_be32(r->raw + 56);
    h->refcount_order = 4;
    h->length = V2_LENGTH;
    return 0;
}

int qcow2_header_read(struct hk_disk *store, struct qcow2_header *header,
                      struct hk_errmsg *err)
{
    struct reader r = {.store = store, .err = err};
    uint64_t size = hk_disk_size(store);
    *header = (struct qcow2_header){0};
    int rc =
        read_at(&r, r.raw, size < HEADER_READ ? V2_LENGTH : HEADER_READ, 0);
    if (rc == -HK_EBADMSG || (rc == 0 && hk_get_be32(r.raw) != (uint32_t)MAGIC))
        return hk_err_set(err, -HK_EBADMSG, "this is not a qcow2 image");
    if (rc == 0)
        rc = parse_common(&r, header);
    if (rc == 0 && header->version == 3)
        rc = parse_v3(&r, header);
    if (rc == 0)
        rc = check_tables(&r, header);
    if (rc == 0)
        rc = read_names(&r, header);
    return rc;
}
