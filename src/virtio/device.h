/*
 * What a virtio device is to its transport, and the other way round.
 *
 * A device embeds struct hk_vdev as its first member, fills the constant part
 * with hk_vdev_init and has a table of operations. It never sees a register,
 * an interrupt line or a back end.
 *
 * Life: create (by the device's own function) -> [activate -> reset]* ->
 * destroy. Everything is called on the device's home loop; a device has no
 * lock of its own.
 *
 *   activate  the driver is ready: features are agreed and the queues live.
 *             On failure the transport sets FAILED, logs, and the VM goes on.
 *   kick      the driver says that queue `index` has buffers. May come
 *             without any, and more often than needed. At most one queue's
 *             worth of buffers is worked on before the loop has its turn:
 *             hk_vdev_kick_again asks for another call.
 *   config    optional: the driver wrote bytes of the configuration space;
 *             they are not stored unless the device does it with
 *             hk_vdev_set_config.
 *   leave     optional: a reset is about to come, the queues are still live.
 *             For what the driver counts as done by then: output of programs.
 *             Does not block.
 *   reset     the driver (or the end of the VM) starts over: the device
 *             finishes or abandons what is in flight, pushes nothing any
 *             more, forgets the guest's state and then calls
 *             hk_vdev_reset_done, at once or later. Never called before
 *             activate succeeded.
 *   drain     optional: the guest has ended by itself. Take what the driver
 *             has made available for output and bring it to the host (console
 *             output, unwritten data), as far as that works without the
 *             guest. May block for a bounded time. A device with `leave` is
 *             also drained when it is not active, or broken.
 *   destroy   after reset_done, or never activated.
 */
#ifndef HK_VIRTIO_DEVICE_H
#define HK_VIRTIO_DEVICE_H

#include "base/compiler.h"
#include "base/err.h"
#include "virtio/virtq.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_gmem;
struct hk_loop;
struct hk_vdev;
struct hk_vhost;

enum {
    HK_VDEV_QUEUES_MAX = 64,
    HK_VDEV_CONFIG_MAX = 256,
};

/* Feature bits that the core handles for every device. */
#define HK_VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define HK_VIRTIO_F_EVENT_IDX (1ull << 29)
#define HK_VIRTIO_F_VERSION_1 (1ull << 32)

struct hk_vdev_ops {
    const char *name; /* "rng"; in log lines */
    uint32_t type;    /* VIRTIO 1.2, 5: 2 is block, 4 is entropy, ... */
    int (*activate)(struct hk_vdev *dev, uint64_t features);
    void (*kick)(struct hk_vdev *dev, uint32_t index);
    void (*config)(struct hk_vdev *dev, uint32_t offset, const uint8_t *bytes,
                   uint32_t len);
    void (*leave)(struct hk_vdev *dev);
    void (*reset)(struct hk_vdev *dev);
    void (*drain)(struct hk_vdev *dev);
    void (*destroy)(struct hk_vdev *dev);
};

struct hk_vdev_info {
    uint64_t features; /* the device's own; the core adds VERSION_1,
                          INDIRECT_DESC and EVENT_IDX */
    uint32_t queue_count;
    uint16_t queue_size[HK_VDEV_QUEUES_MAX]; /* largest; powers of two, at
                                                most HK_VIRTQ_SIZE_MAX */
    uint32_t config_size;                    /* 0 to HK_VDEV_CONFIG_MAX */
    const void *config;                      /* first contents; copied */
};

struct hk_vdev {
    const struct hk_vdev_ops *ops;
    struct hk_vdev_info info;           /* .config is NULL here */
    struct hk_loop *loop;               /* home */
    struct hk_vhost *host;              /* the transport's side; set by it */
    uint8_t config[HK_VDEV_CONFIG_MAX]; /* the transport's copy and lock rule
                                           it: use the functions */
};

/* For devices: fills the constant part. */
void hk_vdev_init(struct hk_vdev *dev, const struct hk_vdev_ops *ops,
                  struct hk_loop *loop, const struct hk_vdev_info *info);

/* ------------------------------------------------------------------ */
/* What a device may ask of its transport; home loop only             */

/* Queue `index`, from activate until reset; NULL when the driver did not set
 * it up. */
struct hk_virtq *hk_vdev_queue(struct hk_vdev *dev, uint32_t index);

/* What activate was given. 0 when not active. */
uint64_t hk_vdev_features(const struct hk_vdev *dev);
bool hk_vdev_is_active(const struct hk_vdev *dev);

/* Another kick for this queue, after whatever else waits for the loop. */
void hk_vdev_kick_again(struct hk_vdev *dev, uint32_t index);

/* Changes configuration bytes; tells the driver when `notify` and the bytes
 * differ. Also before activate. */
void hk_vdev_set_config(struct hk_vdev *dev, uint32_t offset, const void *bytes,
                        uint32_t len, bool notify);

/*
 * The driver broke the protocol: sets DEVICE_NEEDS_RESET, stops the queues,
 * tells the driver, logs one rate-limited line. The VM goes on and the driver
 * may reset the device. `reason` is a static text.
 */
void hk_vdev_broken(struct hk_vdev *dev, const char *reason);
bool hk_vdev_is_broken(const struct hk_vdev *dev);

/* The end of a reset that ops->reset began. */
void hk_vdev_reset_done(struct hk_vdev *dev);

/* ------------------------------------------------------------------ */
/* For the VMM, through the transport                                 */

void hk_vdev_destroy(struct hk_vdev *dev); /* NULL is legal */

#endif
