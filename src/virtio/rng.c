/*
 * The entropy device (VIRTIO 1.2, 5.4). A buffer is filled up to
 * BYTES_PER_BUFFER, which a driver may always do, so that no request keeps
 * the loop for long. When the source fails, the buffer stays with the driver's
 * other available ones, and nothing is given to the guest until the next kick
 * finds the source working.
 */
#define HK_LOG_TAG "rng"

#include "virtio/rng.h"

#include "base/log.h"

#include <stdlib.h>

enum { TYPE_ENTROPY = 4, QUEUE_SIZE = 256, BYTES_PER_BUFFER = 4096 };

struct rng {
    struct hk_vdev dev;
    hk_rng_source_fn source;
    void *opaque;
};

static int rng_activate(struct hk_vdev *dev, uint64_t features)
{
    return hk_vdev_queue(dev, 0) == NULL ? -HK_EINVAL : 0;
}

/* Fills one buffer; false when the source failed. */
static bool fill(struct rng *rng, struct hk_chain *chain, uint32_t *written)
{
    uint8_t bytes[BYTES_PER_BUFFER];
    uint64_t room = hk_chain_writable(chain);
    size_t len = room < sizeof(bytes) ? (size_t)room : sizeof(bytes);

    int rc = len == 0 ? 0 : rng->source(rng->opaque, bytes, len);
    if (rc != 0) {
        HK_LOG_GUEST_W("the host has no random bytes: %s", hk_err_text(rc));
        return false;
    }
    *written = (uint32_t)hk_chain_write(chain, bytes, len);
    return true;
}

static void rng_kick(struct hk_vdev *dev, uint32_t index)
{
    struct rng *rng = hk_container_of(dev, struct rng, dev);
    struct hk_virtq *vq = hk_vdev_queue(dev, index);
    struct hk_chain *chain;
    uint32_t budget = hk_virtq_size(vq);
    uint32_t written;

    while (budget > 0 && hk_virtq_pop(vq, &chain) == 1) {
        if (!fill(rng, chain, &written)) {
            hk_virtq_unpop(vq, chain);
            hk_virtq_want_kicks(vq, true);
            break;
        }
        hk_virtq_push(vq, chain, written);
        budget--;
    }
    hk_virtq_signal(vq);
    if (budget == 0)
        hk_vdev_kick_again(dev, index);
}

static void rng_reset(struct hk_vdev *dev)
{
    hk_vdev_reset_done(dev);
}

static void rng_destroy(struct hk_vdev *dev)
{
    free(hk_container_of(dev, struct rng, dev));
}

static const struct hk_vdev_ops rng_ops = {
    .name = "rng",
    .type = TYPE_ENTROPY,
    .activate = rng_activate,
    .kick = rng_kick,
    .reset = rng_reset,
    .destroy = rng_destroy,
};

int hk_rng_create(struct hk_loop *loop, hk_rng_source_fn source, void *opaque,
                  struct hk_vdev **out)
{
    const struct hk_vdev_info info = {
        .queue_count = 1,
        .queue_size = {QUEUE_SIZE},
    };
    struct rng *rng = calloc(1, sizeof(*rng));
    if (rng == NULL)
        return -HK_ENOMEM;
    rng->source = source;
    rng->opaque = opaque;
    hk_vdev_init(&rng->dev, &rng_ops, loop, &info);
    *out = &rng->dev;
    return 0;
}
