/*
 * The fake guest driver: a small machine with one virtio device behind its
 * real transport, driven through the bus as a kernel would drive it.
 *
 *     static int make(struct hk_loop *loop, struct hk_pool *pool,
 *                     struct hk_vdev **out) { return hk_rng_create(...); }
 *
 *     struct gdrv g;
 *     gdrv_init(&g, make);
 *     gdrv_start(&g, 0);                    reset to DRIVER_OK, all queues
 *     gdrv_request(&g, 0, NULL, 0, bytes, sizeof(bytes));
 *     gdrv_fini(&g);
 *
 * The polite functions do what the specification asks and assert on every
 * answer. The rest of the struct is open for hostile ones: write registers,
 * descriptors and rings as you like. Everything runs on one thread: the loop
 * is turned by gdrv_turn, and by register writes that wait for the device.
 *
 * Memory: RAM from 0 to 16 MiB in two adjoining regions that meet at 8 MiB,
 * then nothing, and 1 MiB at 4 GiB. gdrv_alloc takes from the low end;
 * gdrv_reset gives everything back.
 */
#ifndef GDRV_H
#define GDRV_H

#include "loop/loop.h"
#include "loop/pool.h"
#include "mem/gmem.h"
#include "virtio/device.h"
#include "virtio/mmio.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel's view of the registers. */
enum {
    GDRV_MAGIC = 0x00,
    GDRV_VERSION = 0x04,
    GDRV_DEVICE_ID = 0x08,
    GDRV_VENDOR_ID = 0x0c,
    GDRV_DEVICE_FEATURES = 0x10,
    GDRV_DEVICE_FEATURES_SEL = 0x14,
    GDRV_DRIVER_FEATURES = 0x20,
    GDRV_DRIVER_FEATURES_SEL = 0x24,
    GDRV_QUEUE_SEL = 0x30,
    GDRV_QUEUE_NUM_MAX = 0x34,
    GDRV_QUEUE_NUM = 0x38,
    GDRV_QUEUE_READY = 0x44,
    GDRV_QUEUE_NOTIFY = 0x50,
    GDRV_INTERRUPT_STATUS = 0x60,
    GDRV_INTERRUPT_ACK = 0x64,
    GDRV_STATUS = 0x70,
    GDRV_QUEUE_DESC = 0x80, /* low; high is 4 further */
    GDRV_QUEUE_AVAIL = 0x90,
    GDRV_QUEUE_USED = 0xa0,
    GDRV_SHM_SEL = 0xac,
    GDRV_SHM_LEN = 0xb0,
    GDRV_SHM_BASE = 0xb8,
    GDRV_CONFIG_GENERATION = 0xfc,
    GDRV_CONFIG = 0x100,
};

enum {
    GDRV_ACKNOWLEDGE = 1,
    GDRV_DRIVER = 2,
    GDRV_DRIVER_OK = 4,
    GDRV_FEATURES_OK = 8,
    GDRV_NEEDS_RESET = 64,
    GDRV_FAILED = 128,

    GDRV_DESC_NEXT = 1,
    GDRV_DESC_WRITE = 2,
    GDRV_DESC_INDIRECT = 4,
};

enum {
    GDRV_BASE = 0xd0000000u, /* of the transport */
    GDRV_RAM = 16 << 20,     /* bytes from 0 */
    GDRV_SEAM = 8 << 20,     /* where two regions meet */
    GDRV_NO_RAM = GDRV_RAM,  /* the first address that is no memory */
};

typedef int (*gdrv_make_fn)(struct hk_loop *loop, struct hk_pool *pool,
                            struct hk_vdev **out);

struct gdrv_queue {
    uint32_t size;
    hk_gpa_t desc;
    hk_gpa_t avail;
    hk_gpa_t used;
    uint16_t avail_idx; /* what the driver published last */
    uint16_t kicked;    /* avail_idx at the last gdrv_kick */
    uint16_t used_idx;  /* what the driver has taken */
    uint16_t free_count;
    uint16_t free[HK_VIRTQ_SIZE_MAX];  /* descriptors nobody uses */
    uint16_t count[HK_VIRTQ_SIZE_MAX]; /* by head: descriptors of the chain */
    uint16_t next[HK_VIRTQ_SIZE_MAX];
};

struct gdrv {
    struct hk_loop *loop;
    struct hk_pool *pool;
    struct hk_gmem *gmem;
    struct hk_bus *bus;
    struct hk_vmmio *transport;
    struct hk_vdev *dev;
    uint64_t features; /* negotiated */
    hk_gpa_t heap;     /* next free byte */
    bool line;         /* level of the interrupt line */
    unsigned rises;    /* of the line so far */
    struct gdrv_queue queue[HK_VDEV_QUEUES_MAX];
};

struct gdrv_buf {
    hk_gpa_t gpa;
    uint32_t len;
    bool writable;
};

void gdrv_init(struct gdrv *g, gdrv_make_fn make);
/* Quiesces and frees everything. */
void gdrv_fini(struct gdrv *g);

/* ------------------------------------------------------------------ */
/* Registers                                                          */

uint32_t gdrv_read(struct gdrv *g, uint32_t reg);
void gdrv_write(struct gdrv *g, uint32_t reg, uint32_t value);
void gdrv_write64(struct gdrv *g, uint32_t reg, uint64_t value);
/* Configuration space: 1, 2, 4 or 8 bytes. */
uint64_t gdrv_config(struct gdrv *g, uint32_t offset, uint32_t size);
void gdrv_set_config(struct gdrv *g, uint32_t offset, uint32_t size,
                     uint64_t value);
uint64_t gdrv_offered(struct gdrv *g); /* features */
uint32_t gdrv_status(struct gdrv *g);

/* ------------------------------------------------------------------ */
/* Memory                                                             */

hk_gpa_t gdrv_alloc(struct gdrv *g, uint64_t bytes, uint64_t align);
/* New memory with these bytes in it. */
hk_gpa_t gdrv_put(struct gdrv *g, const void *bytes, size_t len);
void gdrv_store(struct gdrv *g, hk_gpa_t to, const void *bytes, size_t len);
void gdrv_load(struct gdrv *g, hk_gpa_t from, void *bytes, size_t len);
void gdrv_store16(struct gdrv *g, hk_gpa_t to, uint16_t value);
uint16_t gdrv_load16(struct gdrv *g, hk_gpa_t from);
uint32_t gdrv_load32(struct gdrv *g, hk_gpa_t from);

/* ------------------------------------------------------------------ */
/* The polite driver                                                  */

void gdrv_reset(struct gdrv *g);
/* Reset to FEATURES_OK with VERSION_1 and `features`. */
void gdrv_negotiate(struct gdrv *g, uint64_t features);
/* Lays a queue out and enables it; `size` 0 is the largest. */
void gdrv_setup_queue(struct gdrv *g, uint32_t index, uint32_t size);
void gdrv_driver_ok(struct gdrv *g);
/* All of it, with every queue at its largest. */
void gdrv_start(struct gdrv *g, uint64_t features);

/* Makes a chain available without a kick; returns its head. */
uint16_t gdrv_add(struct gdrv *g, uint32_t index, const struct gdrv_buf *bufs,
                  size_t count);
/* The same through an indirect table. */
uint16_t gdrv_add_indirect(struct gdrv *g, uint32_t index,
                           const struct gdrv_buf *bufs, size_t count);
/* Notifies if the device wants it; true if it did. */
bool gdrv_kick(struct gdrv *g, uint32_t index);
void gdrv_notify(struct gdrv *g, uint32_t index);
/* Turns the loop until nothing is ready and no work is on the pool. */
void gdrv_turn(struct gdrv *g);

struct gdrv_used {
    uint32_t head;
    uint32_t len;
};
/* The next used buffer, whose descriptors are then free; false: none. Asks
 * for an interrupt at the one after. */
bool gdrv_take_used(struct gdrv *g, uint32_t index, struct gdrv_used *used);

/* Rises of the line since the last call; reads and acknowledges what is
 * pending and gives its bits in *status (may be NULL). */
unsigned gdrv_take_interrupts(struct gdrv *g, uint32_t *status);

/*
 * One round trip: `out` to the device, `in` from it; each may be NULL with
 * length 0. Kicks, turns, takes the used entry. Returns its length, or -1 when
 * the device did not use the buffer.
 */
int64_t gdrv_request(struct gdrv *g, uint32_t index, const void *out,
                     size_t out_len, void *in, size_t in_len);

/* ------------------------------------------------------------------ */
/* Pieces for hostile drivers                                         */

void gdrv_set_desc(struct gdrv *g, hk_gpa_t table, uint32_t at, hk_gpa_t gpa,
                   uint32_t len, uint16_t flags, uint16_t next);
/* Puts a head into the available ring and raises the index. */
void gdrv_publish(struct gdrv *g, uint32_t index, uint16_t head);
void gdrv_set_avail_idx(struct gdrv *g, uint32_t index, uint16_t idx);

#endif
