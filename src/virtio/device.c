/*
 * What all devices and all transports share: the life of a device between
 * activation and reset, kicks, the configuration space, and the end that a
 * driver meets which breaks the protocol.
 *
 * Kicks: any thread sets the queue's bit in `kicks`; who finds the mask empty
 * posts. The home loop takes the whole mask and calls the device once for each
 * bit. So there is at most one post under way whatever a driver does, and a
 * kick that comes while the device works is delivered after.
 */
#define HK_LOG_TAG "virtio"

#include "virtio/device.h"
#include "virtio/host_int.h"

#include "base/assert.h"
#include "base/checked.h"
#include "base/log.h"
#include "loop/loop.h"

#include <string.h>

/* ------------------------------------------------------------------ */
/* For the transport                                                  */

void hk_vhost_init(struct hk_vhost *host, const struct hk_vhost_ops *ops,
                   struct hk_vdev *take_dev, struct hk_gmem *gmem)
{
    host->ops = ops;
    host->dev = take_dev;
    host->gmem = gmem;
    take_dev->host = host;
}

void hk_vhost_fini(struct hk_vhost *host)
{
    hk_assert(!host->active);
    if (host->dev != NULL)
        host->dev->host = NULL;
    hk_vdev_destroy(host->dev);
    host->dev = NULL;
}

int hk_vhost_post(struct hk_vhost *host, void (*fn)(void *opaque))
{
    atomic_fetch_add(&host->posts, 1);
    int rc = hk_loop_post(host->dev->loop, fn, host);
    if (rc != 0)
        atomic_fetch_sub(&host->posts, 1);
    return rc;
}

void hk_vhost_post_ran(struct hk_vhost *host)
{
    atomic_fetch_sub(&host->posts, 1);
}

static void deliver_kicks(void *opaque)
{
    struct hk_vhost *host = opaque;
    const struct hk_vdev *dev = host->dev;

    hk_vhost_post_ran(host);
    uint64_t mask = atomic_exchange(&host->kicks, 0);
    for (uint32_t i = 0; mask != 0; i++, mask >>= 1) {
        /* The device may break, or be reset, by what it finds. */
        if (!host->active || host->broken || host->resetting)
            return;
        if ((mask & 1) != 0 && host->queues[i] != NULL)
            dev->ops->kick(host->dev, i);
    }
}

void hk_vhost_kick(struct hk_vhost *host, uint32_t index)
{
    hk_assert(index < host->dev->info.queue_count);
    uint64_t before = atomic_fetch_or(&host->kicks, UINT64_C(1) << index);

    if (before != 0)
        return; /* a post is under way */
    if (hk_vhost_post(host, deliver_kicks) != 0) {
        atomic_store(&host->kicks, 0);
        HK_LOG_GUEST_W("%s: a kick is lost: no host memory",
                       host->dev->ops->name);
    }
}

static void queue_broken(void *opaque, const char *reason)
{
    struct hk_vhost *host = opaque;
    hk_vdev_broken(host->dev, reason);
}

static void queue_interrupt(void *opaque)
{
    struct hk_vhost *host = opaque;
    host->ops->queue_interrupt(host);
}

static const struct hk_virtq_host virtq_host = {
    .broken = queue_broken,
    .interrupt = queue_interrupt,
};

static struct hk_virtq_config queue_config(const struct hk_vhost *host,
                                           uint32_t index, uint64_t features,
                                           const struct hk_vqueue_setup *setup)
{
    return (struct hk_virtq_config){
        .gmem = host->gmem,
        .index = index,
        .size = setup->size,
        .desc = setup->desc,
        .avail = setup->avail,
        .used = setup->used,
        .event_idx = (features & HK_VIRTIO_F_EVENT_IDX) != 0,
        .indirect = (features & HK_VIRTIO_F_INDIRECT_DESC) != 0,
        .host = &virtq_host,
    };
}

const char *hk_vhost_check_queue(const struct hk_vhost *host, uint32_t index,
                                 const struct hk_vqueue_setup *setup)
{
    const struct hk_virtq_config config = queue_config(host, index, 0, setup);

    if (setup->size > host->dev->info.queue_size[index])
        return "its size is more than was offered";
    return hk_virtq_check(&config);
}

static void drop_queues(struct hk_vhost *host)
{
    for (uint32_t i = 0; i < host->dev->info.queue_count; i++) {
        hk_virtq_destroy(host->queues[i]);
        host->queues[i] = NULL;
    }
}

static int make_queues(struct hk_vhost *host, uint64_t features,
                       const struct hk_vqueue_setup *setup)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < host->dev->info.queue_count; i++) {
        struct hk_virtq_config config =
            queue_config(host, i, features, &setup[i]);

        config.opaque = host;
        if (setup[i].ready)
            rc = hk_virtq_create(&config, &host->queues[i]);
    }
    return rc;
}

int hk_vhost_activate(struct hk_vhost *host, uint64_t features,
                      const struct hk_vqueue_setup *setup)
{
    struct hk_vdev *dev = host->dev;

    hk_assert(!host->active);
    int rc = make_queues(host, features, setup);
    if (rc == 0) {
        host->features = features;
        host->broken = false;
        host->active = true;
        rc = dev->ops->activate(dev, features);
    }
    if (rc == 0) {
        HK_LOG_D("%s: active, features 0x%llx", dev->ops->name,
                 (unsigned long long)features);
        return 0;
    }
    HK_LOG_GUEST_W("%s: cannot be activated: %s", dev->ops->name,
                   hk_err_text(rc));
    host->active = false;
    host->broken = false;
    host->features = 0;
    drop_queues(host);
    return rc;
}

void hk_vhost_reset(struct hk_vhost *host)
{
    hk_assert(!host->resetting);
    host->resetting = true;
    if (host->active && !host->broken && host->dev->ops->leave != NULL)
        host->dev->ops->leave(host->dev);
    for (uint32_t i = 0; i < host->dev->info.queue_count; i++)
        if (host->queues[i] != NULL)
            hk_virtq_stop(host->queues[i]);
    if (host->active)
        host->dev->ops->reset(host->dev);
    else
        hk_vdev_reset_done(host->dev);
}

void hk_vhost_read_config(struct hk_vhost *host, uint64_t offset, void *to,
                          uint32_t len)
{
    uint8_t *out = to;

    hk_lock(&host->lock);
    for (uint32_t i = 0; i < len; i++) {
        uint64_t at = offset + i;
        out[i] = at < host->dev->info.config_size ? host->dev->config[at] : 0;
    }
    hk_unlock(&host->lock);
}

uint32_t hk_vhost_generation(struct hk_vhost *host)
{
    hk_lock(&host->lock);
    uint32_t generation = host->generation;
    hk_unlock(&host->lock);
    return generation;
}

/* ------------------------------------------------------------------ */
/* For devices                                                        */

void hk_vdev_init(struct hk_vdev *dev, const struct hk_vdev_ops *ops,
                  struct hk_loop *loop, const struct hk_vdev_info *info)
{
    hk_assert(info->queue_count <= HK_VDEV_QUEUES_MAX);
    hk_assert(info->config_size <= HK_VDEV_CONFIG_MAX);
    for (uint32_t i = 0; i < info->queue_count; i++)
        hk_assert(hk_is_power_of_two(info->queue_size[i]) &&
                  info->queue_size[i] <= HK_VIRTQ_SIZE_MAX);
    dev->ops = ops;
    dev->loop = loop;
    dev->info = *info;
    dev->info.config = NULL;
    dev->info.features |= HK_VIRTIO_F_VERSION_1 | HK_VIRTIO_F_INDIRECT_DESC |
                          HK_VIRTIO_F_EVENT_IDX;
    if (info->config != NULL)
        memcpy(dev->config, info->config, info->config_size);
}

void hk_vdev_destroy(struct hk_vdev *dev)
{
    if (dev != NULL)
        dev->ops->destroy(dev);
}

struct hk_virtq *hk_vdev_queue(struct hk_vdev *dev, uint32_t index)
{
    if (dev->host == NULL || index >= dev->info.queue_count)
        return NULL;
    return dev->host->queues[index];
}

bool hk_vdev_is_active(const struct hk_vdev *dev)
{
    return dev->host != NULL && dev->host->active;
}

uint64_t hk_vdev_features(const struct hk_vdev *dev)
{
    return hk_vdev_is_active(dev) ? dev->host->features : 0;
}

void hk_vdev_kick_again(struct hk_vdev *dev, uint32_t index)
{
    if (dev->host != NULL)
        hk_vhost_kick(dev->host, index);
}

void hk_vdev_set_config(struct hk_vdev *dev, uint32_t offset, const void *bytes,
                        uint32_t len, bool notify)
{
    struct hk_vhost *host = dev->host;

    hk_assert(hk_range_within(offset, len, dev->info.config_size));
    if (host == NULL) {
        memcpy(dev->config + offset, bytes, len);
        return;
    }
    hk_lock(&host->lock);
    bool changed = memcmp(dev->config + offset, bytes, len) != 0;
    if (changed) {
        memcpy(dev->config + offset, bytes, len);
        host->generation++;
    }
    hk_unlock(&host->lock);
    if (changed && notify && host->active)
        host->ops->config_interrupt(host);
}

void hk_vdev_broken(struct hk_vdev *dev, const char *reason)
{
    struct hk_vhost *host = dev->host;

    if (!hk_vdev_is_active(dev) || host->broken)
        return;
    HK_LOG_GUEST_W("%s: the driver broke the protocol: %s; the device stops "
                   "until it is reset",
                   dev->ops->name, reason);
    host->broken = true;
    for (uint32_t i = 0; i < dev->info.queue_count; i++)
        if (host->queues[i] != NULL)
            hk_virtq_stop(host->queues[i]);
    host->ops->needs_reset(host);
    host->ops->config_interrupt(host);
}

bool hk_vdev_is_broken(const struct hk_vdev *dev)
{
    return dev->host != NULL && dev->host->broken;
}

void hk_vdev_reset_done(struct hk_vdev *dev)
{
    struct hk_vhost *host = dev->host;

    hk_assert(host != NULL && host->resetting);
    drop_queues(host);
    host->active = false;
    host->broken = false;
    host->resetting = false;
    host->features = 0;
    host->ops->reset_done(host);
}
