#include "gdrv.h"
#include "hk_test.h"

#include "base/endian.h"
#include "bus/bus.h"

enum {
    HEAP_START = 0x10000,
    POOL_THREADS = 2,
    HIGH_RAM = 1 << 20,
    RING_ENTRIES = 4, /* flags and idx come before */
};

static const hk_gpa_t high_ram_at = UINT64_C(1) << 32;

/* ------------------------------------------------------------------ */
/* Life                                                               */

static void set_line(void *controller, uint32_t pin, bool level)
{
    struct gdrv *g = controller;
    (void)pin;

    if (level && !g->line)
        g->rises++;
    g->line = level;
}

static void add_memory(struct gdrv *g)
{
    assert_int_equal(hk_gmem_create(&g->gmem), 0);
    assert_int_equal(hk_gmem_add(g->gmem, 0, GDRV_SEAM, NULL), 0);
    assert_int_equal(
        hk_gmem_add(g->gmem, GDRV_SEAM, GDRV_RAM - GDRV_SEAM, NULL), 0);
    assert_int_equal(hk_gmem_add(g->gmem, high_ram_at, HIGH_RAM, NULL), 0);
    g->heap = HEAP_START;
}

void gdrv_init(struct gdrv *g, gdrv_make_fn make)
{
    const struct hk_irq irq = {.set = set_line, .controller = g, .pin = 5};
    struct hk_vdev *dev;

    memset(g, 0, sizeof(*g));
    add_memory(g);
    assert_int_equal(hk_loop_create(&g->loop), 0);
    assert_int_equal(
        hk_pool_create(g->loop, "test-pool", POOL_THREADS, &g->pool), 0);
    assert_int_equal(make(g->loop, g->pool, &dev), 0);
    assert_int_equal(hk_vmmio_create(dev, g->gmem, irq, &g->transport), 0);
    g->dev = hk_vmmio_device(g->transport);
    assert_int_equal(hk_bus_create(&g->bus), 0);
    assert_int_equal(hk_bus_add(g->bus, HK_BUS_MEM, GDRV_BASE, HK_VMMIO_SIZE,
                                HK_BUS_SIZE_ANY, &hk_vmmio_bus_ops,
                                g->transport),
                     0);
}

void gdrv_fini(struct gdrv *g)
{
    gdrv_turn(g);
    hk_vmmio_quiesce(g->transport, false);
    hk_vmmio_destroy(g->transport);
    hk_bus_destroy(g->bus);
    gdrv_turn(g);
    hk_pool_destroy(g->pool);
    hk_loop_destroy(g->loop);
    hk_gmem_destroy(g->gmem);
    memset(g, 0, sizeof(*g));
}

/* ------------------------------------------------------------------ */
/* Registers                                                          */

uint32_t gdrv_read(struct gdrv *g, uint32_t reg)
{
    return (uint32_t)hk_bus_read(g->bus, HK_BUS_MEM, (uint64_t)GDRV_BASE + reg,
                                 4);
}

void gdrv_write(struct gdrv *g, uint32_t reg, uint32_t value)
{
    hk_bus_write(g->bus, HK_BUS_MEM, (uint64_t)GDRV_BASE + reg, 4, value);
}

void gdrv_write64(struct gdrv *g, uint32_t reg, uint64_t value)
{
    gdrv_write(g, reg, (uint32_t)value);
    gdrv_write(g, reg + 4, (uint32_t)(value >> 32));
}

uint64_t gdrv_config(struct gdrv *g, uint32_t offset, uint32_t size)
{
    return hk_bus_read(g->bus, HK_BUS_MEM,
                       (uint64_t)GDRV_BASE + GDRV_CONFIG + offset, size);
}

void gdrv_set_config(struct gdrv *g, uint32_t offset, uint32_t size,
                     uint64_t value)
{
    hk_bus_write(g->bus, HK_BUS_MEM, (uint64_t)GDRV_BASE + GDRV_CONFIG + offset,
                 size, value);
}

uint64_t gdrv_offered(struct gdrv *g)
{
    gdrv_write(g, GDRV_DEVICE_FEATURES_SEL, 1);
    uint64_t features = (uint64_t)gdrv_read(g, GDRV_DEVICE_FEATURES) << 32;
    gdrv_write(g, GDRV_DEVICE_FEATURES_SEL, 0);
    return features | gdrv_read(g, GDRV_DEVICE_FEATURES);
}

uint32_t gdrv_status(struct gdrv *g)
{
    return gdrv_read(g, GDRV_STATUS);
}

/* ------------------------------------------------------------------ */
/* Memory                                                             */

hk_gpa_t gdrv_alloc(struct gdrv *g, uint64_t bytes, uint64_t align)
{
    hk_gpa_t at = (g->heap + align - 1) & ~(align - 1);

    g->heap = at + bytes;
    assert_true(g->heap <= GDRV_RAM);
    return at;
}

void gdrv_store(struct gdrv *g, hk_gpa_t to, const void *bytes, size_t len)
{
    assert_int_equal(hk_gmem_copy_out(g->gmem, to, bytes, len), 0);
}

void gdrv_load(struct gdrv *g, hk_gpa_t from, void *bytes, size_t len)
{
    assert_int_equal(hk_gmem_copy_in(g->gmem, bytes, from, len), 0);
}

hk_gpa_t gdrv_put(struct gdrv *g, const void *bytes, size_t len)
{
    hk_gpa_t at = gdrv_alloc(g, len, 16);

    gdrv_store(g, at, bytes, len);
    return at;
}

void gdrv_store16(struct gdrv *g, hk_gpa_t to, uint16_t value)
{
    uint8_t bytes[2];

    hk_put_le16(bytes, value);
    gdrv_store(g, to, bytes, sizeof(bytes));
}

uint16_t gdrv_load16(struct gdrv *g, hk_gpa_t from)
{
    uint8_t bytes[2];

    gdrv_load(g, from, bytes, sizeof(bytes));
    return hk_get_le16(bytes);
}

uint32_t gdrv_load32(struct gdrv *g, hk_gpa_t from)
{
    uint8_t bytes[4];

    gdrv_load(g, from, bytes, sizeof(bytes));
    return hk_get_le32(bytes);
}

/* ------------------------------------------------------------------ */
/* Set-up                                                             */

void gdrv_reset(struct gdrv *g)
{
    gdrv_write(g, GDRV_STATUS, 0);
    assert_int_equal(gdrv_status(g), 0);
    assert_false(g->line);
    memset(g->queue, 0, sizeof(g->queue));
    g->heap = HEAP_START;
    g->features = 0;
}

void gdrv_negotiate(struct gdrv *g, uint64_t features)
{
    uint32_t status = GDRV_ACKNOWLEDGE;

    gdrv_reset(g);
    assert_int_equal(gdrv_read(g, GDRV_MAGIC), 0x74726976);
    assert_int_equal(gdrv_read(g, GDRV_VERSION), 2);
    gdrv_write(g, GDRV_STATUS, status);
    status |= GDRV_DRIVER;
    gdrv_write(g, GDRV_STATUS, status);
    g->features = features | HK_VIRTIO_F_VERSION_1;
    assert_int_equal(g->features & ~gdrv_offered(g), 0);
    gdrv_write(g, GDRV_DRIVER_FEATURES_SEL, 1);
    gdrv_write(g, GDRV_DRIVER_FEATURES, (uint32_t)(g->features >> 32));
    gdrv_write(g, GDRV_DRIVER_FEATURES_SEL, 0);
    gdrv_write(g, GDRV_DRIVER_FEATURES, (uint32_t)g->features);
    status |= GDRV_FEATURES_OK;
    gdrv_write(g, GDRV_STATUS, status);
    assert_int_equal(gdrv_status(g), status);
}

void gdrv_setup_queue(struct gdrv *g, uint32_t index, uint32_t size)
{
    struct gdrv_queue *q = &g->queue[index];

    gdrv_write(g, GDRV_QUEUE_SEL, index);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_READY), 0);
    uint32_t max = gdrv_read(g, GDRV_QUEUE_NUM_MAX);
    assert_int_not_equal(max, 0);
    memset(q, 0, sizeof(*q));
    q->size = size == 0 ? max : size;
    q->desc = gdrv_alloc(g, q->size * 16, 16);
    q->avail = gdrv_alloc(g, 6 + 2 * q->size, 2);
    q->used = gdrv_alloc(g, 6 + 8 * q->size, 4);
    assert_int_equal(hk_gmem_fill(g->gmem, q->desc, 0, g->heap - q->desc), 0);
    for (uint32_t i = 0; i < q->size; i++)
        q->free[i] = (uint16_t)(q->size - 1 - i);
    q->free_count = (uint16_t)q->size;
    gdrv_write(g, GDRV_QUEUE_NUM, q->size);
    gdrv_write64(g, GDRV_QUEUE_DESC, q->desc);
    gdrv_write64(g, GDRV_QUEUE_AVAIL, q->avail);
    gdrv_write64(g, GDRV_QUEUE_USED, q->used);
    gdrv_write(g, GDRV_QUEUE_READY, 1);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_READY), 1);
}

void gdrv_driver_ok(struct gdrv *g)
{
    uint32_t status =
        GDRV_ACKNOWLEDGE | GDRV_DRIVER | GDRV_FEATURES_OK | GDRV_DRIVER_OK;

    gdrv_write(g, GDRV_STATUS, status);
    assert_int_equal(gdrv_status(g), status);
}

void gdrv_start(struct gdrv *g, uint64_t features)
{
    gdrv_negotiate(g, features);
    for (uint32_t i = 0; i < g->dev->info.queue_count; i++)
        gdrv_setup_queue(g, i, 0);
    gdrv_driver_ok(g);
}

/* ------------------------------------------------------------------ */
/* Rings                                                              */

void gdrv_set_desc(struct gdrv *g, hk_gpa_t table, uint32_t at, hk_gpa_t gpa,
                   uint32_t len, uint16_t flags, uint16_t next)
{
    uint8_t bytes[16];

    hk_put_le64(bytes, gpa);
    hk_put_le32(bytes + 8, len);
    hk_put_le16(bytes + 12, flags);
    hk_put_le16(bytes + 14, next);
    gdrv_store(g, table + (uint64_t)at * 16, bytes, sizeof(bytes));
}

void gdrv_set_avail_idx(struct gdrv *g, uint32_t index, uint16_t idx)
{
    struct gdrv_queue *q = &g->queue[index];

    q->avail_idx = idx;
    gdrv_store16(g, q->avail + 2, idx);
}

void gdrv_publish(struct gdrv *g, uint32_t index, uint16_t head)
{
    struct gdrv_queue *q = &g->queue[index];
    uint32_t slot = q->avail_idx % q->size;

    gdrv_store16(g, q->avail + RING_ENTRIES + 2 * slot, head);
    gdrv_set_avail_idx(g, index, (uint16_t)(q->avail_idx + 1));
}

static uint16_t take_desc(struct gdrv_queue *q)
{
    assert_true(q->free_count > 0);
    return q->free[--q->free_count];
}

static uint16_t buf_flags(const struct gdrv_buf *bufs, size_t i, size_t count)
{
    return (uint16_t)((bufs[i].writable ? GDRV_DESC_WRITE : 0) |
                      (i + 1 < count ? GDRV_DESC_NEXT : 0));
}

uint16_t gdrv_add(struct gdrv *g, uint32_t index, const struct gdrv_buf *bufs,
                  size_t count)
{
    struct gdrv_queue *q = &g->queue[index];

    assert_true(count > 0);
    uint16_t head = take_desc(q);
    uint16_t at = head;
    for (size_t i = 0; i < count; i++) {
        q->next[at] = i + 1 < count ? take_desc(q) : 0;
        gdrv_set_desc(g, q->desc, at, bufs[i].gpa, bufs[i].len,
                      buf_flags(bufs, i, count), q->next[at]);
        at = q->next[at];
    }
    q->count[head] = (uint16_t)count;
    gdrv_publish(g, index, head);
    return head;
}

uint16_t gdrv_add_indirect(struct gdrv *g, uint32_t index,
                           const struct gdrv_buf *bufs, size_t count)
{
    struct gdrv_queue *q = &g->queue[index];
    hk_gpa_t table = gdrv_alloc(g, count * 16, 16);

    for (size_t i = 0; i < count; i++)
        gdrv_set_desc(g, table, (uint32_t)i, bufs[i].gpa, bufs[i].len,
                      buf_flags(bufs, i, count), (uint16_t)(i + 1));
    uint16_t head = take_desc(q);
    gdrv_set_desc(g, q->desc, head, table, (uint32_t)(count * 16),
                  GDRV_DESC_INDIRECT, 0);
    q->count[head] = 1;
    gdrv_publish(g, index, head);
    return head;
}

void gdrv_notify(struct gdrv *g, uint32_t index)
{
    gdrv_write(g, GDRV_QUEUE_NOTIFY, index);
}

bool gdrv_kick(struct gdrv *g, uint32_t index)
{
    struct gdrv_queue *q = &g->queue[index];
    bool wanted;

    if ((g->features & HK_VIRTIO_F_EVENT_IDX) != 0) {
        uint16_t event = gdrv_load16(g, q->used + RING_ENTRIES + 8 * q->size);
        wanted = (uint16_t)(q->avail_idx - event - 1) <
                 (uint16_t)(q->avail_idx - q->kicked);
    } else {
        wanted = (gdrv_load16(g, q->used) & 1) == 0;
    }
    q->kicked = q->avail_idx;
    if (wanted)
        gdrv_notify(g, index);
    return wanted;
}

void gdrv_turn(struct gdrv *g)
{
    hk_loop_turn(g->loop);
    while (hk_pool_pending(g->pool) != 0) {
        hk_loop_step(g->loop);
        hk_loop_turn(g->loop);
    }
}

static void free_chain(struct gdrv_queue *q, uint32_t head)
{
    assert_true(head < q->size);
    assert_int_not_equal(q->count[head], 0); /* else it was not ours to give */
    uint16_t at = (uint16_t)head;
    for (uint16_t i = q->count[head]; i > 0; i--) {
        q->free[q->free_count++] = at;
        at = q->next[at];
    }
    q->count[head] = 0;
}

bool gdrv_take_used(struct gdrv *g, uint32_t index, struct gdrv_used *used)
{
    struct gdrv_queue *q = &g->queue[index];
    uint32_t slot = q->used_idx % q->size;

    if (gdrv_load16(g, q->used + 2) == q->used_idx)
        return false;
    used->head = gdrv_load32(g, q->used + RING_ENTRIES + 8 * slot);
    used->len = gdrv_load32(g, q->used + RING_ENTRIES + 8 * slot + 4);
    q->used_idx++;
    gdrv_store16(g, q->avail + RING_ENTRIES + 2 * q->size, q->used_idx);
    free_chain(q, used->head);
    return true;
}

unsigned gdrv_take_interrupts(struct gdrv *g, uint32_t *status)
{
    unsigned rises = g->rises;
    uint32_t bits = gdrv_read(g, GDRV_INTERRUPT_STATUS);

    assert_int_equal(g->line, bits != 0);
    if (bits != 0)
        gdrv_write(g, GDRV_INTERRUPT_ACK, bits);
    if (status != NULL)
        *status = bits;
    g->rises = 0;
    return rises;
}

int64_t gdrv_request(struct gdrv *g, uint32_t index, const void *out,
                     size_t out_len, void *in, size_t in_len)
{
    struct gdrv_buf bufs[2];
    size_t count = 0;
    hk_gpa_t mark = g->heap;
    struct gdrv_used used;

    if (out_len != 0)
        bufs[count++] = (struct gdrv_buf){gdrv_put(g, out, out_len),
                                          (uint32_t)out_len, false};
    hk_gpa_t in_at = gdrv_alloc(g, in_len, 16);
    if (in_len != 0)
        bufs[count++] = (struct gdrv_buf){in_at, (uint32_t)in_len, true};
    uint16_t head = gdrv_add(g, index, bufs, count);
    gdrv_kick(g, index);
    gdrv_turn(g);
    if (!gdrv_take_used(g, index, &used))
        return -1;
    assert_int_equal(used.head, head);
    assert_true(used.len <= in_len);
    if (in_len != 0)
        gdrv_load(g, in_at, in, in_len);
    g->heap = mark;
    return used.len;
}
