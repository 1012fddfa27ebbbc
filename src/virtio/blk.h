/*
 * The block device (VIRTIO 1.2, 5.2) on a disk image.
 */
#ifndef HK_VIRTIO_BLK_H
#define HK_VIRTIO_BLK_H

#include "virtio/device.h"

struct hk_disk;
struct hk_pool;

enum { HK_BLK_ID_BYTES = 20 };

/*
 * Takes the disk, also on failure; it is flushed and closed with the device.
 * `pool` belongs to the loop and outlives the device. `id` is what GET_ID
 * says, cut to HK_BLK_ID_BYTES; NULL: the image's own. -HK_ENOMEM.
 */
int hk_blk_create(struct hk_loop *loop, struct hk_pool *pool,
                  struct hk_disk *take_disk, const char *id,
                  struct hk_vdev **out) HK_MUST_CHECK;

#endif
