/*
 * The host's open objects behind inodes, kept under a limit of descriptors:
 * see the essay in node.c. Objects that nobody uses at the moment form a list
 * from oldest to newest; room is made at its old end.
 */
#include "fs/node_int.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Directories above an inode that are opened to reach it again. */
    DEPTH_MAX = 4096,
};

void hk_fuse_lru_add(struct hk_fuse *fuse, struct hk_fuse_node *node)
{
    struct hk_fuse_nodes *nodes = &fuse->nodes;

    if (node->obj == NULL || node->pins > 0 || node->anchored || node->in_lru ||
        node == nodes->root)
        return;
    node->in_lru = true;
    node->older = nodes->newest;
    node->newer = NULL;
    if (nodes->newest != NULL)
        nodes->newest->newer = node;
    else
        nodes->oldest = node;
    nodes->newest = node;
}

void hk_fuse_lru_remove(struct hk_fuse *fuse, struct hk_fuse_node *node)
{
    struct hk_fuse_nodes *nodes = &fuse->nodes;

    if (!node->in_lru)
        return;
    if (node->older != NULL)
        node->older->newer = node->newer;
    else
        nodes->oldest = node->newer;
    if (node->newer != NULL)
        node->newer->older = node->older;
    else
        nodes->newest = node->older;
    node->older = node->newer = NULL;
    node->in_lru = false;
}

static void throw_away(struct hk_fuse *fuse, struct hk_fs_node *obj,
                       struct hk_fuse_trash *trash)
{
    if (trash->count < HK_COUNT(trash->objs))
        trash->objs[trash->count++] = obj;
    else
        fuse->root->ops->close_node(fuse->root, obj);
}

void hk_fuse_node_unload(struct hk_fuse *fuse, struct hk_fuse_node *node,
                         struct hk_fuse_trash *trash)
{
    if (node->obj == NULL)
        return;
    hk_fuse_lru_remove(fuse, node);
    throw_away(fuse, node->obj, trash);
    node->obj = NULL;
    fuse->nodes.loaded--;
}

void hk_fuse_trash_empty(struct hk_fuse *fuse, struct hk_fuse_trash *trash)
{
    for (size_t i = 0; i < trash->count; i++)
        fuse->root->ops->close_node(fuse->root, trash->objs[i]);
    trash->count = 0;
}

static uint32_t held(const struct hk_fuse *fuse)
{
    return fuse->nodes.loaded + fuse->handles.count;
}

/* Lock held. False when there is no room for one more. */
static bool evict(struct hk_fuse *fuse, uint32_t limit,
                  struct hk_fuse_trash *trash)
{
    while (fuse->nodes.oldest != NULL &&
           (held(fuse) >= limit || fuse->nodes.loaded >= fuse->cached))
        hk_fuse_node_unload(fuse, fuse->nodes.oldest, trash);
    return held(fuse) < fuse->descriptors;
}

int hk_fuse_make_room(struct hk_fuse *fuse, bool all)
{
    struct hk_fuse_trash trash = {.count = 0};
    bool room;

    uv_mutex_lock(&fuse->lock);
    room = evict(fuse, all ? 0 : fuse->descriptors, &trash);
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_trash_empty(fuse, &trash);
    return room ? 0 : -HK_ENFILE;
}

static bool is_exhausted(int rc)
{
    return rc == -HK_EMFILE || rc == -HK_ENFILE;
}

/* Without the lock; `parent` is pinned. */
static int open_child(struct hk_fuse *fuse, struct hk_fuse_node *parent,
                      const char *name, struct hk_fs_node **obj,
                      struct hk_fs_attr *attr)
{
    const struct hk_fs_ops *ops = fuse->root->ops;
    int rc = hk_fuse_make_room(fuse, false);

    if (rc < 0)
        return rc;
    rc = ops->open_node(fuse->root, parent->obj, name, obj, attr);
    if (is_exhausted(rc) && hk_fuse_make_room(fuse, true) == 0)
        rc = ops->open_node(fuse->root, parent->obj, name, obj, attr);
    return is_exhausted(rc) ? -HK_ENFILE : rc;
}

/* Lock held. Gives the node its object, unless another thread did or it is
 * not the same file; then `obj` is thrown away. */
static int install(struct hk_fuse *fuse, struct hk_fuse_node *node,
                   struct hk_fs_node *obj, const struct hk_fs_attr *attr,
                   struct hk_fuse_trash *trash)
{
    bool same = hk_fuse_node_is(node, attr);

    if (same && node->obj == NULL) {
        node->obj = obj;
        fuse->nodes.loaded++;
        hk_fuse_lru_add(fuse, node);
        return 0;
    }
    throw_away(fuse, obj, trash);
    return same ? 0 : -HK_ESTALE;
}

static bool is_named(const struct hk_fuse_node *node,
                     const struct hk_fuse_node *parent, const char *name)
{
    return node->parent == parent && strcmp(node->name, name) == 0;
}

/*
 * Lock held on entry and return, released between. Opens `node`, whose parent
 * has an object, by its name. 0 also when its name changed meanwhile: look
 * again.
 */
static int load_one(struct hk_fuse *fuse, struct hk_fuse_node *node,
                    struct hk_fuse_trash *trash)
{
    struct hk_fuse_node *parent = node->parent;
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fs_attr attr;
    struct hk_fs_node *obj = NULL;
    int rc;

    memcpy(name, node->name, strlen(node->name) + 1);
    node->refs++;
    parent->refs++;
    parent->pins++;
    hk_fuse_lru_remove(fuse, parent);
    uv_mutex_unlock(&fuse->lock);

    rc = open_child(fuse, parent, name, &obj, &attr);

    uv_mutex_lock(&fuse->lock);
    if (rc == 0)
        rc = install(fuse, node, obj, &attr, trash);
    else if (rc == -HK_ENOENT || rc == -HK_ENOTDIR)
        rc = -HK_ESTALE;
    if (rc == -HK_ESTALE && !is_named(node, parent, name))
        rc = 0;
    parent->pins--;
    hk_fuse_lru_add(fuse, parent);
    hk_fuse_node_drop(fuse, parent, trash);
    hk_fuse_node_drop(fuse, node, trash);
    return rc;
}

/* Lock held. One step towards an object for `node`. */
static int load_step(struct hk_fuse *fuse, struct hk_fuse_node *node,
                     struct hk_fuse_trash *trash)
{
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        if (node->parent == NULL || node->anchored)
            return -HK_ESTALE;
        if (node->parent->is_virtual)
            return -HK_ESTALE;
        if (node->parent->obj != NULL)
            return load_one(fuse, node, trash);
        node = node->parent;
    }
    return -HK_ELOOP;
}

int hk_fuse_node_pin(struct hk_fuse *fuse, struct hk_fuse_node *node,
                     struct hk_fs_node **obj)
{
    struct hk_fuse_trash trash = {.count = 0};
    int rc = 0;

    if (node->is_virtual)
        return -HK_EACCES;
    uv_mutex_lock(&fuse->lock);
    for (int step = 0; node->obj == NULL && rc == 0; step++) {
        rc = step < 2 * DEPTH_MAX ? load_step(fuse, node, &trash) : -HK_ESTALE;
        if (trash.count > 16) {
            uv_mutex_unlock(&fuse->lock);
            hk_fuse_trash_empty(fuse, &trash);
            uv_mutex_lock(&fuse->lock);
        }
    }
    if (node->obj != NULL) {
        node->pins++;
        hk_fuse_lru_remove(fuse, node);
        *obj = node->obj;
        rc = 0;
    }
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_trash_empty(fuse, &trash);
    return rc;
}

void hk_fuse_node_unpin(struct hk_fuse *fuse, struct hk_fuse_node *node)
{
    uv_mutex_lock(&fuse->lock);
    hk_assert(node->pins > 0);
    node->pins--;
    hk_fuse_lru_add(fuse, node);
    uv_mutex_unlock(&fuse->lock);
}
