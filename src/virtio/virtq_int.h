/*
 * Inside virtio/: how the core makes and ends a queue.
 */
#ifndef HK_VIRTIO_VIRTQ_INT_H
#define HK_VIRTIO_VIRTQ_INT_H

#include "mem/gmem.h"
#include "virtio/virtq.h"

struct hk_virtq_host {
    /* The driver broke a rule; `reason` is a static text. */
    void (*broken)(void *opaque, const char *reason);
    /* The driver wants to hear of used buffers. */
    void (*interrupt)(void *opaque);
};

struct hk_virtq_config {
    struct hk_gmem *gmem; /* borrowed until destroy */
    uint32_t index;
    uint32_t size;
    hk_gpa_t desc;
    hk_gpa_t avail;
    hk_gpa_t used;
    bool event_idx;
    bool indirect;
    const struct hk_virtq_host *host;
    void *opaque;
};

/* NULL when the size and the three areas are such that create takes them,
 * else what is wrong with them. */
const char *hk_virtq_check(const struct hk_virtq_config *config);

/* -HK_EINVAL hk_virtq_check complains; -HK_ENOMEM. */
int hk_virtq_create(const struct hk_virtq_config *config,
                    struct hk_virtq **out) HK_MUST_CHECK;

/* No pops, pushes or signals do anything any more. */
void hk_virtq_stop(struct hk_virtq *vq);

struct hk_gmem *hk_virtq_gmem(const struct hk_virtq *vq);

/* No chain of it is in use. NULL is legal. */
void hk_virtq_destroy(struct hk_virtq *vq);

#endif
