/*
 * A virtqueue whose memory is the input. The first byte chooses features and
 * what the device does with its chains; the rest is laid over the page that
 * holds the rings, the page after it, and the end of memory.
 */
#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "bus/bus.h"
#include "loop/loop.h"
#include "mem/gmem.h"
#include "virtio/device.h"
#include "virtio/mmio.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    BASE = 0xd0000000u,
    QUEUE_SIZE = 16,
    DESC = 0,
    AVAIL = DESC + QUEUE_SIZE * 16,
    USED = AVAIL + 6 + 2 * QUEUE_SIZE + 2,
    PAGES = 3,
    RAM = PAGES * HK_GMEM_PAGE,

    REG_FEATURES = 0x20,
    REG_FEATURES_SEL = 0x24,
    REG_QUEUE_NUM = 0x38,
    REG_QUEUE_READY = 0x44,
    REG_NOTIFY = 0x50,
    REG_STATUS = 0x70,
    REG_DESC = 0x80,
    REG_AVAIL = 0x90,
    REG_USED = 0xa0,

    KICKS = 3,
};

/* What the device does, by bit of the first byte. */
enum {
    USE_EVENTS = 1,
    USE_TABLES = 2,
    KEEP = 4,   /* chains are pushed at the next kick only */
    PIECES = 8, /* moves by iov */
    UNPOP = 16,
};

static struct {
    struct hk_vdev dev;
    struct hk_loop *loop;
    struct hk_gmem *gmem;
    struct hk_bus *bus;
    struct hk_vmmio *transport;
    struct hk_chain *kept[QUEUE_SIZE];
    uint32_t kept_count;
    uint8_t how;
} rig;

static int fuzz_activate(struct hk_vdev *dev, uint64_t features)
{
    (void)dev;
    (void)features;
    return 0;
}

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void move_pieces(struct hk_chain *chain)
{
    struct hk_iov iov[4];
    uint64_t total = 0;
    size_t count;

    while ((count = hk_chain_write_iov(chain, UINT64_MAX, iov, 4)) != 0) {
        for (size_t i = 0; i < count; i++) {
            must(iov[i].len != 0 && iov[i].len <= RAM);
            memset(iov[i].base, 0x41, iov[i].len);
            total += iov[i].len;
        }
        hk_chain_wrote(chain, iov, count);
    }
    must(total == hk_chain_writable(chain));
}

static void move_bytes(struct hk_chain *chain)
{
    uint8_t bytes[512];
    uint64_t total = 0;
    size_t len;

    while ((len = hk_chain_read(chain, bytes, sizeof(bytes))) != 0)
        total += len;
    must(total == hk_chain_readable(chain));
    total = hk_chain_write(chain, bytes, 1);
    total += hk_chain_write_zeroes(chain, UINT64_MAX);
    must(total == hk_chain_writable(chain));
    must(hk_chain_read_left(chain) == 0 && hk_chain_write_left(chain) == 0);
    (void)hk_chain_write_at(chain, 3, "xyz", 3);
}

static void push_kept(struct hk_virtq *vq)
{
    for (; rig.kept_count > 0; rig.kept_count--)
        hk_virtq_push(vq, rig.kept[rig.kept_count - 1], UINT32_MAX);
}

static void fuzz_kick(struct hk_vdev *dev, uint32_t index)
{
    struct hk_virtq *vq = hk_vdev_queue(dev, index);
    struct hk_chain *chain;

    push_kept(vq);
    for (int i = 0; i < QUEUE_SIZE && hk_virtq_pop(vq, &chain) == 1; i++) {
        must(hk_virtq_in_flight(vq) <= QUEUE_SIZE);
        if ((rig.how & UNPOP) != 0 && i == 2) {
            hk_virtq_unpop(vq, chain);
            break;
        }
        if ((rig.how & PIECES) != 0)
            move_pieces(chain);
        else
            move_bytes(chain);
        if ((rig.how & KEEP) != 0)
            rig.kept[rig.kept_count++] = chain;
        else
            hk_virtq_push(vq, chain, 1);
    }
    hk_virtq_signal(vq);
    must(hk_virtq_in_flight(vq) == rig.kept_count);
}

static void fuzz_reset(struct hk_vdev *dev)
{
    rig.kept_count = 0;
    hk_vdev_reset_done(dev);
}

static void fuzz_destroy(struct hk_vdev *dev)
{
    (void)dev;
}

static const struct hk_vdev_ops ops = {
    .name = "fuzz",
    .type = 1,
    .activate = fuzz_activate,
    .kick = fuzz_kick,
    .reset = fuzz_reset,
    .destroy = fuzz_destroy,
};

static void make_once(void)
{
    const struct hk_vdev_info info = {
        .queue_count = 1,
        .queue_size = {QUEUE_SIZE},
    };

    if (rig.bus != NULL)
        return;
    hk_log_set_level(HK_LOG_OFF);
    must(hk_loop_create(&rig.loop) == 0);
    must(hk_gmem_create(&rig.gmem) == 0);
    must(hk_gmem_add(rig.gmem, 0, HK_GMEM_PAGE, NULL) == 0);
    must(hk_gmem_add(rig.gmem, HK_GMEM_PAGE, RAM - HK_GMEM_PAGE, NULL) == 0);
    hk_vdev_init(&rig.dev, &ops, rig.loop, &info);
    must(hk_vmmio_create(&rig.dev, rig.gmem, (struct hk_irq){0},
                         &rig.transport) == 0);
    must(hk_bus_create(&rig.bus) == 0);
    must(hk_bus_add(rig.bus, HK_BUS_MEM, BASE, HK_VMMIO_SIZE, HK_BUS_SIZE_ANY,
                    &hk_vmmio_bus_ops, rig.transport) == 0);
}

static void set(uint32_t reg, uint32_t value)
{
    hk_bus_write(rig.bus, HK_BUS_MEM, (uint64_t)BASE + reg, 4, value);
}

static void start_device(uint8_t how)
{
    const uint64_t features =
        ((how & USE_EVENTS) != 0 ? HK_VIRTIO_F_EVENT_IDX : 0) |
        ((how & USE_TABLES) != 0 ? HK_VIRTIO_F_INDIRECT_DESC : 0);

    rig.how = how;
    set(REG_STATUS, 0);
    set(REG_STATUS, 1);
    set(REG_STATUS, 3);
    set(REG_FEATURES_SEL, 1);
    set(REG_FEATURES, 1);
    set(REG_FEATURES_SEL, 0);
    set(REG_FEATURES, (uint32_t)features);
    set(REG_STATUS, 11);
    set(REG_QUEUE_NUM, QUEUE_SIZE);
    set(REG_DESC, DESC);
    set(REG_AVAIL, AVAIL);
    set(REG_USED, USED);
    set(REG_QUEUE_READY, 1);
    set(REG_STATUS, 15);
    must(hk_vdev_is_active(&rig.dev));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    make_once();
    must(hk_gmem_fill(rig.gmem, 0, 0, RAM) == 0);
    start_device(data[0]);
    data++;
    size--;
    /* Each kick sees the next third of the input laid over the rings. */
    for (int kick = 0; kick < KICKS; kick++) {
        size_t len = size / (size_t)(KICKS - kick);
        if (len > RAM)
            len = RAM;
        must(hk_gmem_copy_out(rig.gmem, 0, data, len) == 0);
        data += len;
        size -= len;
        set(REG_NOTIFY, 0);
        hk_loop_turn(rig.loop);
    }
    set(REG_STATUS, 0);
    must(!hk_vdev_is_active(&rig.dev));
    return 0;
}
