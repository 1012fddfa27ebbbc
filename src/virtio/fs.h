/*
 * The file system device (VIRTIO 1.2, 5.11): a queue for requests that do not
 * wait, a queue for all others, and a tag by which the guest mounts it.
 */
#ifndef HK_VIRTIO_FS_H
#define HK_VIRTIO_FS_H

#include "virtio/device.h"

struct hk_fuse;
struct hk_loop;
struct hk_pool;

enum { HK_FS_TAG_MAX = 36 };

/*
 * Serves `take_fuse` on the workers of `pool`, as many requests at once as
 * these allow. Takes ownership of it, also on failure. -HK_EINVAL: `tag` is
 * empty or longer than HK_FS_TAG_MAX bytes; -HK_ENOMEM.
 */
int hk_fs_create(struct hk_loop *loop, struct hk_pool *pool, const char *tag,
                 struct hk_fuse *take_fuse, struct hk_vdev **out) HK_MUST_CHECK;

#endif
