/*
 * Compressed clusters: a raw deflate stream or a Zstandard frame that unpacks
 * to one cluster. The last ones are kept, because a guest reads a cluster in
 * several requests.
 */
#include "disk/qcow2_int.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum { KEPT = 4, WINDOW_BITS = 15 };

struct kept {
    uint64_t entry; /* 0: none */
    uint64_t used;
    uint8_t *bytes;
};

/* `lock` covers unpacking too: two requests for one cluster unpack once. An
 * entry never gets other contents: we write no compressed clusters. */
struct qcow2_packed {
    uv_mutex_t lock;
    uint64_t clock;
    struct kept kept[KEPT];
};

int qcow2_packed_create(struct hk_qcow2 *q)
{
    struct qcow2_packed *packed = calloc(1, sizeof(*packed));
    if (!packed || uv_mutex_init(&packed->lock) != 0) {
        free(packed);
        return -HK_ENOMEM;
    }
    q->packed = packed;
    return 0;
}

void qcow2_packed_destroy(struct qcow2_packed *packed)
{
    if (!packed)
        return;
    for (int i = 0; i < KEPT; i++)
        free(packed->kept[i].bytes);
    uv_mutex_destroy(&packed->lock);
    free(packed);
}

static int inflate_cluster(uint8_t *to, size_t to_len, uint8_t *from,
                           size_t from_len)
{
    z_stream z = {.next_in = from,
                  .avail_in = (uInt)from_len,
                  .next_out = to,
                  .avail_out = (uInt)to_len};
    if (inflateInit2(&z, -WINDOW_BITS) != Z_OK)
        return -HK_ENOMEM;
    int rc = inflate(&z, Z_FINISH);
    (void)inflateEnd(&z);
    /* Full, whatever follows: the stream's end is padded to a sector. */
    bool is_full = z.avail_out == 0 &&
                   (rc == Z_STREAM_END || rc == Z_OK || rc == Z_BUF_ERROR);
    return is_full ? 0 : -HK_EIO;
}

static int unzstd_cluster(uint8_t *to, size_t to_len, const uint8_t *from,
                          size_t from_len)
{
    ZSTD_outBuffer out = {to, to_len, 0};
    ZSTD_inBuffer in = {from, from_len, 0};
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (!stream)
        return -HK_ENOMEM;
    bool moves = true;
    while (out.pos < out.size && moves) {
        size_t before = out.pos + in.pos;
        size_t rc = ZSTD_decompressStream(stream, &out, &in);
        moves = !ZSTD_isError(rc) && out.pos + in.pos > before;
    }
    (void)ZSTD_freeDStream(stream);
    return out.pos == out.size ? 0 : -HK_EIO;
}

static int unpack(struct hk_qcow2 *q, uint64_t entry, uint8_t *to)
{
    struct qcow2_packing at = qcow2_packing_of(q, entry);
    if (at.offset >= hk_disk_size(q->store))
        return -HK_EIO;
    uint8_t *from = malloc(at.len);
    if (!from)
        return -HK_ENOMEM;
    int rc = qcow2_store_read(q, from, at.len, at.offset);
    if (rc == 0 && q->header.is_zstd)
        rc = unzstd_cluster(to, q->cluster_size, from, at.len);
    else if (rc == 0)
        rc = inflate_cluster(to, q->cluster_size, from, at.len);
    free(from);
    return rc;
}

static int get(struct hk_qcow2 *q, uint64_t entry, const uint8_t **out)
{
    struct qcow2_packed *packed = q->packed;
    struct kept *oldest = &packed->kept[0];
    for (int i = 0; i < KEPT; i++) {
        struct kept *kept = &packed->kept[i];
        if (kept->entry == entry) {
            kept->used = ++packed->clock;
            *out = kept->bytes;
            return 0;
        }
        if (kept->used < oldest->used)
            oldest = kept;
    }
    oldest->entry = 0;
    if (!oldest->bytes)
        oldest->bytes = malloc(q->cluster_size);
    if (!oldest->bytes)
        return -HK_ENOMEM;
    int rc = unpack(q, entry, oldest->bytes);
    if (rc < 0)
        return rc;
    oldest->entry = entry;
    oldest->used = ++packed->clock;
    *out = oldest->bytes;
    return 0;
}

int qcow2_packed_read(struct hk_qcow2 *q, uint64_t entry, uint64_t at,
                      struct hk_iov_pos *to, uint64_t len)
{
    const uint8_t *bytes = NULL;
    uv_mutex_lock(&q->packed->lock);
    int rc = get(q, entry, &bytes);
    if (rc == 0)
        (void)hk_iov_put(to, bytes + at, len);
    uv_mutex_unlock(&q->packed->lock);
    return rc;
}
