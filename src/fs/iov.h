/*
 * A piece of memory to read into or write from. The same shape as struct
 * hk_iov of virtio/virtq.h, in a layer of its own.
 */
#ifndef HK_FS_IOV_H
#define HK_FS_IOV_H

#include <stddef.h>
#include <stdint.h>

struct hk_fs_iov {
    uint8_t *base;
    size_t len;
};

#endif
