/*
 * Inside virtio/: the half of a transport that is the same for all of them.
 * It holds the queues, delivers kicks on the home loop and is what a device
 * talks to. The transport embeds it and supplies the rest by a table.
 *
 * Threads: the home loop, except where said.
 */
#ifndef HK_VIRTIO_HOST_INT_H
#define HK_VIRTIO_HOST_INT_H

#include "base/lock.h"
#include "virtio/device.h"
#include "virtio/virtq_int.h"

#include <stdatomic.h>

struct hk_vhost_ops {
    void (*queue_interrupt)(struct hk_vhost *host);
    void (*config_interrupt)(struct hk_vhost *host);
    void (*needs_reset)(struct hk_vhost *host); /* sets the status bit */
    void (*reset_done)(struct hk_vhost *host);
};

/* What the driver wrote about a queue; not live unless `ready`. */
struct hk_vqueue_setup {
    bool ready;
    uint32_t size;
    hk_gpa_t desc;
    hk_gpa_t avail;
    hk_gpa_t used;
};

struct hk_vhost {
    const struct hk_vhost_ops *ops;
    struct hk_vdev *dev;
    struct hk_gmem *gmem;

    struct hk_lock lock; /* guards dev->config and generation; a leaf lock */
    uint32_t generation;

    atomic_uint_fast64_t kicks; /* queues to kick; not 0: a post is under way */
    atomic_uint posts;          /* posted calls that have not run yet */

    bool active;
    bool broken;
    bool resetting;
    uint64_t features;
    struct hk_virtq *queues[HK_VDEV_QUEUES_MAX];
};

/* Takes ownership of `dev`. */
void hk_vhost_init(struct hk_vhost *host, const struct hk_vhost_ops *ops,
                   struct hk_vdev *take_dev, struct hk_gmem *gmem);
void hk_vhost_fini(struct hk_vhost *host); /* not active */

/* What is wrong with a queue's set-up, or NULL. Any thread. */
const char *hk_vhost_check_queue(const struct hk_vhost *host, uint32_t index,
                                 const struct hk_vqueue_setup *setup);

/* Makes the queues that are ready and hands them to the device. On failure
 * there are none. */
int hk_vhost_activate(struct hk_vhost *host, uint64_t features,
                      const struct hk_vqueue_setup *setup) HK_MUST_CHECK;

/* Begins a reset; ops->reset_done follows, at once or later. */
void hk_vhost_reset(struct hk_vhost *host);

/* Any thread: the driver kicked queue `index`, which exists. */
void hk_vhost_kick(struct hk_vhost *host, uint32_t index);

/* Any thread: posts to the home loop and counts. */
int hk_vhost_post(struct hk_vhost *host,
                  void (*fn)(void *opaque)) HK_MUST_CHECK;
/* The posted function says first that it runs. */
void hk_vhost_post_ran(struct hk_vhost *host);

/* Any thread: bytes of the configuration space; zero past its end. */
void hk_vhost_read_config(struct hk_vhost *host, uint64_t offset, void *to,
                          uint32_t len);
uint32_t hk_vhost_generation(struct hk_vhost *host);

#endif
