/*
 * The entropy device (VIRTIO 1.2, 5.4): one queue, every writable buffer is
 * filled with random bytes.
 */
#ifndef HK_VIRTIO_RNG_H
#define HK_VIRTIO_RNG_H

#include "virtio/device.h"

/*
 * Fills all `len` bytes with unpredictable ones, or returns a negative code.
 * Called on the home loop; must not block for long.
 */
typedef int (*hk_rng_source_fn)(void *opaque, void *to, size_t len);

/* -HK_ENOMEM. */
int hk_rng_create(struct hk_loop *loop, hk_rng_source_fn source, void *opaque,
                  struct hk_vdev **out) HK_MUST_CHECK;

#endif
