/*
 * The block device: a list of requests of 12 bytes each (type, place of the
 * sector, sector, lengths of the two parts, pieces), a byte of the input at a
 * time as their data. Every request gets an answer whatever it is.
 */
#include "disk_fakes.h"
#include "gdrv.h"

#include "base/endian.h"
#include "base/log.h"
#include "virtio/blk.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECTORS = 64, REQUEST_BYTES = 12, REQUESTS_MAX = 64, PIECES_MAX = 8 };

static struct mem_store store;
static unsigned flags;

static int make(struct hk_loop *loop, struct hk_pool *pool,
                struct hk_vdev **out)
{
    return hk_blk_create(loop, pool, mem_disk_create(&store, flags), NULL, out);
}

/* Cuts [at, at+len) into pieces. */
static size_t cut(struct gdrv_buf *bufs, hk_gpa_t at, uint32_t len,
                  uint32_t pieces, bool writable)
{
    size_t n = 0;
    uint32_t part = len / pieces + 1;
    while (len > 0) {
        uint32_t now = len < part ? len : part;
        bufs[n++] = (struct gdrv_buf){at, now, writable};
        at += now;
        len -= now;
    }
    return n;
}

static void request(struct gdrv *g, const uint8_t *r, size_t left)
{
    struct gdrv_buf bufs[2 * PIECES_MAX];
    struct gdrv_used used;
    uint8_t header[16] = {r[0]};
    uint32_t out_len = 16 + hk_get_le16(r + 6) % 2048;
    uint32_t in_len = hk_get_le16(r + 8) % 2048;
    if (r[1] & 1)
        out_len = r[6] % 17; /* a short header */
    hk_put_le64(header + 8, (uint64_t)hk_get_le32(r + 2) << (r[1] >> 2));
    hk_gpa_t out = GDRV_SEAM - r[11] * 16, in = out + 4096;
    gdrv_store(g, out, header, sizeof(header));
    if (out_len > 16)
        gdrv_store(g, out + 16, r, left < out_len - 16 ? left : out_len - 16);
    size_t n = cut(bufs, out, out_len, 1 + r[10] % PIECES_MAX, false);
    n += cut(bufs + n, in, in_len, 1 + r[10] / 16 % PIECES_MAX, true);
    if (n == 0)
        return;
    gdrv_add(g, 0, bufs, n);
    gdrv_kick(g, 0);
    gdrv_turn(g);
    bool answered = gdrv_take_used(g, 0, &used);
    if (answered == (in_len == 0) || (answered && used.len > in_len))
        abort();
    if (!answered)
        gdrv_start(g, gdrv_offered(g)); /* it was broken by that */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gdrv *g = calloc(1, sizeof(*g));
    if (!g)
        return 0;
    hk_log_set_level(HK_LOG_OFF);
    mem_store_init(&store, SECTORS * 512);
    flags = size > 0 ? data[0] & (MEM_READ_ONLY | MEM_NO_ZERO) : 0;
    gdrv_init(g, make);
    gdrv_start(g, gdrv_offered(g));
    for (size_t i = 1, n = 0; i + REQUEST_BYTES <= size && n < REQUESTS_MAX;
         i += REQUEST_BYTES, n++)
        request(g, data + i, size - i);
    gdrv_fini(g);
    free(g);
    mem_store_fini(&store);
    return 0;
}
