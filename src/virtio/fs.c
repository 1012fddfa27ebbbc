/*
 * The file system device (VIRTIO 1.2, 5.11). It moves requests between the
 * queues and the FUSE server (fs/fuse.h) and does not look into them.
 *
 * Each buffer popped gets a slot and goes to a worker, which serves it from
 * beginning to end; back on the loop it is pushed. Slots are made when the
 * driver is ready, one for each descriptor of the queues: a queue hands out no
 * more buffers than that. Replies come in any order, which FUSE allows.
 *
 * A reset waits until the last worker is done, drops the replies and what the
 * guest had open.
 */
#include "virtio/fs.h"

#include "base/endian.h"
#include "fs/fuse.h"
#include "loop/pool.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_FS = 26,
    QUEUES = 2, /* high priority, requests */
    HIPRIO_SIZE = 128,
    REQUEST_SIZE = 1024,
    CONFIG_SIZE = HK_FS_TAG_MAX + 4, /* tag, number of request queues */
};

struct slot {
    struct hk_work work;
    struct fs *fs;
    struct slot *next; /* free ones */
    struct hk_chain *chain;
    uint32_t written;
};

struct fs {
    struct hk_vdev dev;
    struct hk_pool *pool;
    struct hk_fuse *fuse;
    struct slot *slots;
    struct slot *free;
    uint32_t in_flight;
    bool resetting;
};

/* ------------------------------------------------------------------ */
/* The server's view of a chain                                       */

static uint64_t io_readable(void *io)
{
    return hk_chain_readable(io);
}

static uint64_t io_writable(void *io)
{
    return hk_chain_writable(io);
}

static size_t io_read(void *io, void *to, size_t len)
{
    return hk_chain_read(io, to, len);
}

static size_t io_write(void *io, const void *from, size_t len)
{
    return hk_chain_write(io, from, len);
}

static size_t io_write_at(void *io, uint64_t at, const void *from, size_t len)
{
    return hk_chain_write_at(io, at, from, len);
}

static size_t io_read_iov(void *io, uint64_t len, struct hk_iov *iov,
                          size_t max)
{
    return hk_chain_read_iov(io, len, iov, max);
}

static size_t io_write_iov(void *io, uint64_t len, struct hk_iov *iov,
                           size_t max)
{
    return hk_chain_write_iov(io, len, iov, max);
}

static void io_wrote(void *io, const struct hk_iov *iov, size_t count)
{
    hk_chain_wrote(io, iov, count);
}

static const struct hk_fuse_io_ops io_ops = {
    .readable = io_readable,
    .writable = io_writable,
    .read = io_read,
    .write = io_write,
    .write_at = io_write_at,
    .read_iov = io_read_iov,
    .write_iov = io_write_iov,
    .wrote = io_wrote,
};

/* ------------------------------------------------------------------ */
/* Requests                                                           */

static void serve(struct hk_work *work)
{
    struct slot *slot = hk_container_of(work, struct slot, work);

    slot->written = hk_fuse_serve(slot->fs->fuse, &io_ops, slot->chain);
}

static void finish_reset(struct fs *fs)
{
    hk_fuse_reset(fs->fuse);
    free(fs->slots);
    fs->slots = fs->free = NULL;
    fs->resetting = false;
    hk_vdev_reset_done(&fs->dev);
}

static void served(struct hk_work *work)
{
    struct slot *slot = hk_container_of(work, struct slot, work);
    struct fs *fs = slot->fs;

    slot->next = fs->free;
    fs->free = slot;
    fs->in_flight--;
    if (!fs->resetting) {
        struct hk_virtq *vq = hk_chain_queue(slot->chain);

        hk_virtq_push(vq, slot->chain, slot->written);
        hk_virtq_signal(vq);
    } else if (fs->in_flight == 0)
        finish_reset(fs);
}

static void fs_kick(struct hk_vdev *dev, uint32_t index)
{
    struct fs *fs = hk_container_of(dev, struct fs, dev);
    struct hk_virtq *vq = hk_vdev_queue(dev, index);
    uint32_t budget = hk_virtq_size(vq);
    struct hk_chain *chain;

    while (budget > 0 && fs->free != NULL && hk_virtq_pop(vq, &chain) == 1) {
        struct slot *slot = fs->free;

        fs->free = slot->next;
        slot->chain = chain;
        fs->in_flight++;
        hk_pool_submit(fs->pool, &slot->work);
        budget--;
    }
    if (budget == 0)
        hk_vdev_kick_again(dev, index);
}

/* ------------------------------------------------------------------ */
/* Life                                                               */

static int fs_activate(struct hk_vdev *dev, uint64_t features)
{
    struct fs *fs = hk_container_of(dev, struct fs, dev);
    uint32_t count = 0;

    for (uint32_t i = 0; i < QUEUES; i++) {
        if (hk_vdev_queue(dev, i) == NULL)
            return -HK_EINVAL;
        count += hk_virtq_size(hk_vdev_queue(dev, i));
    }
    fs->slots = calloc(count, sizeof(*fs->slots));
    if (fs->slots == NULL)
        return -HK_ENOMEM;
    fs->free = NULL;
    for (uint32_t i = 0; i < count; i++) {
        fs->slots[i].work = (struct hk_work){.work = serve, .done = served};
        fs->slots[i].fs = fs;
        fs->slots[i].next = fs->free;
        fs->free = &fs->slots[i];
    }
    return 0;
}

static void fs_reset(struct hk_vdev *dev)
{
    struct fs *fs = hk_container_of(dev, struct fs, dev);

    fs->resetting = true;
    if (fs->in_flight == 0)
        finish_reset(fs);
}

static void fs_destroy(struct hk_vdev *dev)
{
    struct fs *fs = hk_container_of(dev, struct fs, dev);

    hk_fuse_destroy(fs->fuse);
    free(fs->slots);
    free(fs);
}

static const struct hk_vdev_ops fs_ops = {
    .name = "fs",
    .type = TYPE_FS,
    .activate = fs_activate,
    .kick = fs_kick,
    .reset = fs_reset,
    .destroy = fs_destroy,
};

int hk_fs_create(struct hk_loop *loop, struct hk_pool *pool, const char *tag,
                 struct hk_fuse *take_fuse, struct hk_vdev **out)
{
    uint8_t config[CONFIG_SIZE] = {0};
    struct hk_vdev_info info = {
        .queue_count = QUEUES,
        .queue_size = {HIPRIO_SIZE, REQUEST_SIZE},
        .config_size = sizeof(config),
        .config = config,
    };
    size_t len = strlen(tag);
    bool is_tag = len > 0 && len <= HK_FS_TAG_MAX;
    struct fs *fs = is_tag ? calloc(1, sizeof(*fs)) : NULL;

    if (fs == NULL) {
        hk_fuse_destroy(take_fuse);
        return is_tag ? -HK_ENOMEM : -HK_EINVAL;
    }
    memcpy(config, tag, len);
    hk_put_le32(config + HK_FS_TAG_MAX, 1);
    fs->pool = pool;
    fs->fuse = take_fuse;
    hk_vdev_init(&fs->dev, &fs_ops, loop, &info);
    *out = &fs->dev;
    return 0;
}
