/*
 * Between node.c (the table) and node_load.c (open objects and their limit).
 * Everything here is called with the lock held.
 */
#ifndef HK_FS_NODE_INT_H
#define HK_FS_NODE_INT_H

#include "fs/fuse_int.h"

/* Host objects to close once the lock is released. */
struct hk_fuse_trash {
    struct hk_fs_node *objs[32];
    size_t count;
};

/* Throws away the open object of a node, if any. */
void hk_fuse_node_unload(struct hk_fuse *fuse, struct hk_fuse_node *node,
                         struct hk_fuse_trash *trash);
/* Closes what gathered; without the lock. */
void hk_fuse_trash_empty(struct hk_fuse *fuse, struct hk_fuse_trash *trash);

void hk_fuse_lru_add(struct hk_fuse *fuse, struct hk_fuse_node *node);
void hk_fuse_lru_remove(struct hk_fuse *fuse, struct hk_fuse_node *node);

/* Gives up one count of `node` and, when it was the last, frees it and what
 * only it held on to. */
void hk_fuse_node_drop(struct hk_fuse *fuse, struct hk_fuse_node *node,
                       struct hk_fuse_trash *trash);

/* Whether what the host found is the inode that the node stands for. */
bool hk_fuse_node_is(const struct hk_fuse_node *node,
                     const struct hk_fs_attr *attr);

#endif
