/*
 * The block device (VIRTIO 1.2, 5.2). How a request goes:
 *
 *   kick, home loop     pop the chain, copy the header, check everything that
 *                       needs no disk; a slot for it
 *   worker              the disk call, straight from and to guest memory
 *   done, home loop     status byte, push, signal
 *
 *   readable: | type, reserved, sector | data (OUT) or segments |
 *   writable: | data (IN, GET_ID) | status |
 *
 * There is a slot for every buffer that the queue can hold. Requests run side
 * by side and end in any order; a flush covers the writes that had ended
 * before it was made, which is what a driver may expect (5.2.6.2). A driver
 * that did not take FLUSH gets every write flushed.
 *
 * A reset waits for the requests in flight and pushes none of them.
 */
#include "virtio/blk.h"

#include "base/assert.h"
#include "base/checked.h"
#include "base/endian.h"
#include "disk/disk.h"
#include "loop/pool.h"

#include <stdlib.h>
#include <string.h>

enum {
    TYPE_BLOCK = 2,
    QUEUE_SIZE = 256,
    SECTOR = 512,
    HEADER_BYTES = 16,
    SEGMENT_BYTES = 16,
    CONFIG_BYTES = 60,
    RANGE_SECTORS_MAX = 1 << 21, /* of one discard or write zeroes: 1 GiB */
    PIECES = 64,                 /* of one disk call */
};

enum {
    F_SEG_MAX = 1 << 2,
    F_RO = 1 << 5,
    F_BLK_SIZE = 1 << 6,
    F_FLUSH = 1 << 9,
    F_TOPOLOGY = 1 << 10,
    F_DISCARD = 1 << 13,
    F_WRITE_ZEROES = 1 << 14,
};

enum {
    STATUS_OK = 0,
    STATUS_IOERR = 1,
    STATUS_UNSUPP = 2,
};

enum { SEGMENT_UNMAP = 1 };

enum request {
    REQUEST_IN = 0,
    REQUEST_OUT = 1,
    REQUEST_FLUSH = 4,
    REQUEST_GET_ID = 8,
    REQUEST_DISCARD = 11,
    REQUEST_WRITE_ZEROES = 13,
};

struct slot {
    struct hk_work work;
    struct blk *blk;
    struct slot *next_free;
    struct hk_chain *chain;
    enum request request;
    uint64_t offset; /* bytes */
    uint64_t len;
    bool unmap;
    uint8_t status;
    uint64_t data_room; /* of the writable part, without the status */
    uint64_t written;   /* bytes from its start */
};

struct blk {
    struct hk_vdev dev;
    struct hk_disk *disk;
    struct hk_pool *pool;
    char id[HK_BLK_ID_BYTES]; /* no NUL when full */
    struct slot *slots;       /* from activate to reset */
    struct slot *free;
    uint32_t in_flight; /* on the pool */
    bool resetting;
    bool flushes_writes; /* the driver did not take FLUSH */
};

/* ------------------------------------------------------------------ */
/* On a worker                                                        */

static int read_data(struct blk *blk, struct slot *slot)
{
    struct hk_iov pieces[PIECES];
    uint64_t done = 0;
    while (done < slot->len) {
        uint64_t part = 0;
        size_t n =
            hk_chain_write_iov(slot->chain, slot->len - done, pieces, PIECES);
        if (n == 0 || !hk_iov_total(pieces, n, &part))
            return -HK_EIO;
        int rc = hk_disk_readv(blk->disk, pieces, n, slot->offset + done);
        /* Also after a failure: some of it may have been written. */
        hk_chain_wrote(slot->chain, pieces, n);
        if (rc < 0)
            return rc;
        done += part;
        slot->written = done;
    }
    return 0;
}

static int write_data(struct blk *blk, struct slot *slot)
{
    struct hk_iov pieces[PIECES];
    uint64_t done = 0;
    while (done < slot->len) {
        uint64_t part = 0;
        size_t n =
            hk_chain_read_iov(slot->chain, slot->len - done, pieces, PIECES);
        if (n == 0 || !hk_iov_total(pieces, n, &part))
            return -HK_EIO;
        int rc = hk_disk_writev(blk->disk, pieces, n, slot->offset + done);
        if (rc < 0)
            return rc;
        done += part;
    }
    return 0;
}

static int perform(struct blk *blk, struct slot *slot)
{
    switch (slot->request) {
    case REQUEST_IN:
        return read_data(blk, slot);
    case REQUEST_OUT:
        return write_data(blk, slot);
    case REQUEST_FLUSH:
        return hk_disk_flush(blk->disk);
    case REQUEST_DISCARD:
        return hk_disk_trim(blk->disk, slot->offset, slot->len);
    case REQUEST_WRITE_ZEROES:
        return hk_disk_zero(blk->disk, slot->offset, slot->len, slot->unmap);
    case REQUEST_GET_ID:
        break;
    }
    return 0;
}

static bool changes_disk(enum request request)
{
    return request == REQUEST_OUT || request == REQUEST_DISCARD ||
           request == REQUEST_WRITE_ZEROES;
}

static void slot_work(struct hk_work *work)
{
    struct slot *slot = hk_container_of(work, struct slot, work);
    struct blk *blk = slot->blk;
    int rc = perform(blk, slot);
    if (rc == 0 && blk->flushes_writes && changes_disk(slot->request))
        rc = hk_disk_flush(blk->disk);
    slot->status = rc < 0 ? STATUS_IOERR : STATUS_OK;
}

/* ------------------------------------------------------------------ */
/* The end of a request                                               */

/* The status is the last writable byte. The length that the driver is told
 * covers what was written without a gap from the start (2.7.8.2). */
static void finish(struct blk *blk, struct slot *slot)
{
    struct hk_virtq *vq = hk_chain_queue(slot->chain);
    uint64_t written = slot->written;
    (void)hk_chain_write_at(slot->chain, slot->data_room, &slot->status, 1);
    if (written == slot->data_room)
        written++;
    if (written > UINT32_MAX)
        written = UINT32_MAX;
    hk_virtq_push(vq, slot->chain, (uint32_t)written);
    slot->chain = NULL;
    slot->next_free = blk->free;
    blk->free = slot;
}

static void forget_guest(struct blk *blk)
{
    free(blk->slots);
    blk->slots = NULL;
    blk->free = NULL;
    blk->resetting = false;
    hk_vdev_reset_done(&blk->dev);
}

static void slot_done(struct hk_work *work)
{
    struct slot *slot = hk_container_of(work, struct slot, work);
    struct blk *blk = slot->blk;
    blk->in_flight--;
    if (blk->resetting) {
        if (blk->in_flight == 0)
            forget_guest(blk);
        return;
    }
    if (hk_vdev_is_broken(&blk->dev))
        return;
    struct hk_virtq *vq = hk_chain_queue(slot->chain);
    finish(blk, slot);
    hk_virtq_signal(vq);
}

/* ------------------------------------------------------------------ */
/* The start of a request                                             */

static bool to_request(uint32_t number, enum request *out)
{
    switch (number) {
    case REQUEST_IN:
    case REQUEST_OUT:
    case REQUEST_FLUSH:
    case REQUEST_GET_ID:
    case REQUEST_DISCARD:
    case REQUEST_WRITE_ZEROES:
        *out = (enum request)number;
        return true;
    }
    return false;
}

/* Sets offset and length, in bytes, of sectors that exist. */
static bool set_range(struct blk *blk, struct slot *slot, uint64_t sector,
                      uint64_t len)
{
    uint64_t size = hk_disk_size(blk->disk);
    slot->len = len;
    return len % SECTOR == 0 && hk_mul_u64(sector, SECTOR, &slot->offset) &&
           hk_range_within(slot->offset, len, size - size % SECTOR);
}

/* One segment (5.2.6.2); STATUS_OK when it may be carried out. */
static uint8_t check_segment(struct blk *blk, struct slot *slot)
{
    uint8_t raw[SEGMENT_BYTES];
    uint64_t features = hk_vdev_features(&blk->dev);
    bool is_discard = slot->request == REQUEST_DISCARD;
    if (!(features & (is_discard ? F_DISCARD : F_WRITE_ZEROES)))
        return STATUS_UNSUPP;
    if (hk_chain_read_left(slot->chain) != sizeof(raw))
        return STATUS_IOERR;
    (void)hk_chain_read(slot->chain, raw, sizeof(raw));
    uint32_t sectors = hk_get_le32(raw + 8);
    uint32_t flags = hk_get_le32(raw + 12);
    if (flags & ~(is_discard ? 0u : SEGMENT_UNMAP))
        return STATUS_UNSUPP;
    slot->unmap = flags != 0;
    if (sectors > RANGE_SECTORS_MAX ||
        !set_range(blk, slot, hk_get_le64(raw), (uint64_t)sectors * SECTOR))
        return STATUS_IOERR;
    return STATUS_OK;
}

static uint8_t check_transfer(struct blk *blk, struct slot *slot,
                              uint64_t sector)
{
    uint64_t len = slot->request == REQUEST_IN
                       ? slot->data_room
                       : hk_chain_read_left(slot->chain);
    return set_range(blk, slot, sector, len) ? STATUS_OK : STATUS_IOERR;
}

/* Copies the header and checks the request; an answer, or STATUS_OK and
 * *needs_disk says whether there is something left to do. */
static uint8_t parse(struct blk *blk, struct slot *slot, bool *needs_disk)
{
    uint8_t raw[HEADER_BYTES];
    *needs_disk = false;
    if (hk_chain_read(slot->chain, raw, sizeof(raw)) != sizeof(raw))
        return STATUS_IOERR;
    if (!to_request(hk_get_le32(raw), &slot->request))
        return STATUS_UNSUPP;
    if (blk->disk->info.read_only && changes_disk(slot->request))
        return STATUS_IOERR;
    *needs_disk = slot->request != REQUEST_GET_ID;
    switch (slot->request) {
    case REQUEST_IN:
    case REQUEST_OUT:
        return check_transfer(blk, slot, hk_get_le64(raw + 8));
    case REQUEST_DISCARD:
    case REQUEST_WRITE_ZEROES:
        return check_segment(blk, slot);
    case REQUEST_GET_ID:
        slot->written = hk_chain_write(slot->chain, blk->id,
                                       slot->data_room < sizeof(blk->id)
                                           ? (size_t)slot->data_room
                                           : sizeof(blk->id));
        break;
    case REQUEST_FLUSH:
        break;
    }
    return STATUS_OK;
}

/* False when the device is broken now. */
static bool start(struct blk *blk, struct hk_chain *chain)
{
    bool needs_disk;
    if (hk_chain_writable(chain) == 0) {
        hk_vdev_broken(&blk->dev, "a request has no room for its status");
        return false;
    }
    struct slot *slot = blk->free;
    hk_assert(slot);
    blk->free = slot->next_free;
    slot->chain = chain;
    slot->data_room = hk_chain_writable(chain) - 1;
    slot->written = 0;
    slot->status = parse(blk, slot, &needs_disk);
    if (slot->status != STATUS_OK || !needs_disk) {
        finish(blk, slot);
        return true;
    }
    blk->in_flight++;
    hk_pool_submit(blk->pool, &slot->work);
    return true;
}

static void blk_kick(struct hk_vdev *dev, uint32_t index)
{
    struct blk *blk = hk_container_of(dev, struct blk, dev);
    struct hk_virtq *vq = hk_vdev_queue(dev, index);
    struct hk_chain *chain;
    uint32_t budget = hk_virtq_size(vq);
    while (budget > 0 && hk_virtq_pop(vq, &chain) == 1) {
        if (!start(blk, chain))
            return;
        budget--;
    }
    hk_virtq_signal(vq);
    if (budget == 0)
        hk_vdev_kick_again(dev, index);
}

/* ------------------------------------------------------------------ */
/* Life                                                               */

static int blk_activate(struct hk_vdev *dev, uint64_t features)
{
    struct blk *blk = hk_container_of(dev, struct blk, dev);
    struct hk_virtq *vq = hk_vdev_queue(dev, 0);
    if (vq == NULL)
        return -HK_EINVAL;
    uint32_t count = hk_virtq_size(vq);
    blk->slots = calloc(count, sizeof(*blk->slots));
    if (blk->slots == NULL)
        return -HK_ENOMEM;
    blk->flushes_writes = !(features & F_FLUSH);
    for (uint32_t i = 0; i < count; i++) {
        struct slot *slot = &blk->slots[i];
        slot->work.work = slot_work;
        slot->work.done = slot_done;
        slot->blk = blk;
        slot->next_free = blk->free;
        blk->free = slot;
    }
    return 0;
}

static void blk_reset(struct hk_vdev *dev)
{
    struct blk *blk = hk_container_of(dev, struct blk, dev);
    blk->resetting = true;
    if (blk->in_flight == 0)
        forget_guest(blk);
}

/* What the driver has made available goes to the disk; the reset that follows
 * waits for it. */
static void blk_drain(struct hk_vdev *dev)
{
    blk_kick(dev, 0);
}

static void blk_destroy(struct hk_vdev *dev)
{
    struct blk *blk = hk_container_of(dev, struct blk, dev);
    hk_disk_close(blk->disk);
    free(blk->slots);
    free(blk);
}

static const struct hk_vdev_ops blk_ops = {
    .name = "blk",
    .type = TYPE_BLOCK,
    .activate = blk_activate,
    .kick = blk_kick,
    .reset = blk_reset,
    .drain = blk_drain,
    .destroy = blk_destroy,
};

static uint64_t features_of(const struct hk_disk_info *info)
{
    uint64_t features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY;
    if (info->read_only)
        return features | F_RO;
    if (info->can_trim)
        features |= F_DISCARD;
    if (info->can_zero)
        features |= F_WRITE_ZEROES;
    return features;
}

/* 5.2.4. The logical block is a sector; the topology tells what is better. */
static void make_config(const struct hk_disk *disk, uint8_t *config)
{
    uint32_t best = disk->info.block_size / SECTOR;
    uint8_t physical = 0;
    while (physical < 3 && 2u << physical <= best)
        physical++;
    hk_put_le64(config, hk_disk_size(disk) / SECTOR);
    hk_put_le32(config + 12, QUEUE_SIZE - 2); /* seg_max */
    hk_put_le32(config + 20, SECTOR);
    config[24] = physical;
    hk_put_le16(config + 26, (uint16_t)(1u << physical));
    hk_put_le32(config + 28, best);
    hk_put_le32(config + 36, RANGE_SECTORS_MAX); /* discard */
    hk_put_le32(config + 40, 1);
    hk_put_le32(config + 44, best);
    hk_put_le32(config + 48, RANGE_SECTORS_MAX); /* write zeroes */
    hk_put_le32(config + 52, 1);
    config[56] = 1; /* they may unmap */
}

int hk_blk_create(struct hk_loop *loop, struct hk_pool *pool,
                  struct hk_disk *take_disk, const char *id,
                  struct hk_vdev **out)
{
    uint8_t config[CONFIG_BYTES] = {0};
    const struct hk_vdev_info info = {
        .features = features_of(&take_disk->info),
        .queue_count = 1,
        .queue_size = {QUEUE_SIZE},
        .config_size = sizeof(config),
        .config = config,
    };
    struct blk *blk = calloc(1, sizeof(*blk));
    if (blk == NULL) {
        hk_disk_close(take_disk);
        return -HK_ENOMEM;
    }
    if (id == NULL)
        id = take_disk->info.id;
    blk->disk = take_disk;
    blk->pool = pool;
    size_t len = strlen(id);
    memcpy(blk->id, id, len < sizeof(blk->id) ? len : sizeof(blk->id));
    make_config(take_disk, config);
    hk_vdev_init(&blk->dev, &blk_ops, loop, &info);
    *out = &blk->dev;
    return 0;
}
