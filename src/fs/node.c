/*
 * The inodes that the guest knows.
 *
 * The guest speaks of inodes by number. A number is a slot of our table and
 * the slot's generation, so a number that was made up or kept too long finds
 * nothing. Each LOOKUP (and each reply that holds an entry) adds one to the
 * inode's `nlookup`; FORGET takes away. `refs` counts our own users: requests
 * that work on it, open handles, and children in the table, which need their
 * parent to be found again. When both are zero the slot is free.
 *
 *     number --> slot --> (dev, ino) <-- hash table <-- what the host found
 *                 |
 *                 +--> parent and name: how to find it again
 *                 +--> obj: the host's open object, or NULL
 *
 * The same host inode always has the same number, whatever name it was found
 * by. While an object is open the host cannot give its inode number to another
 * file. Without one it can; then time of birth and type have to agree too.
 *
 * An open object costs a descriptor, so only the recently used ones are kept
 * (node_load.c). An inode without one is opened again by name in its parent
 * and compared; when the name shows another file, the guest gets ESTALE, and
 * its kernel looks the path up again. When the guest itself renames, the table
 * follows; when it removes the last known name of an inode that it still uses,
 * the object is opened before and stays ("anchored").
 *
 * A hostile guest may make the host's tree disagree with ours: names that are
 * gone, even circles of parents after renames behind our back. So walks up
 * have a bound, and nothing here is needed for safety: every access is made
 * on an object that the host found below the root by single names.
 */
#include "fs/node_int.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

static uint32_t bucket_of(const struct hk_fuse_nodes *nodes, uint64_t dev,
                          uint64_t ino)
{
    uint64_t h = (ino ^ (dev << 32 | dev >> 32)) * 0x9e3779b97f4a7c15ull;

    return (uint32_t)(h >> 32) & (nodes->bucket_count - 1);
}

static void hash_add(struct hk_fuse_nodes *nodes, struct hk_fuse_node *node)
{
    uint32_t b = bucket_of(nodes, node->dev, node->ino);

    node->chain = nodes->buckets[b];
    nodes->buckets[b] = node;
    node->hashed = true;
}

static void hash_remove(struct hk_fuse_nodes *nodes, struct hk_fuse_node *node)
{
    struct hk_fuse_node **at;

    if (!node->hashed)
        return;
    at = &nodes->buckets[bucket_of(nodes, node->dev, node->ino)];
    while (*at != node)
        at = &(*at)->chain;
    *at = node->chain;
    node->chain = NULL;
    node->hashed = false;
}

static struct hk_fuse_node *hash_find(struct hk_fuse_nodes *nodes, uint64_t dev,
                                      uint64_t ino)
{
    struct hk_fuse_node *node = nodes->buckets[bucket_of(nodes, dev, ino)];

    while (node != NULL && (node->dev != dev || node->ino != ino))
        node = node->chain;
    return node;
}

/* Doubles the buckets; without memory the chains get longer instead. */
static void hash_grow(struct hk_fuse_nodes *nodes)
{
    uint32_t old_count = nodes->bucket_count;
    struct hk_fuse_node **old = nodes->buckets;
    struct hk_fuse_node **more = calloc((size_t)old_count * 2, sizeof(*more));

    if (more == NULL)
        return;
    nodes->buckets = more;
    nodes->bucket_count = old_count * 2;
    for (uint32_t b = 0; b < old_count; b++) {
        while (old[b] != NULL) {
            struct hk_fuse_node *node = old[b];

            old[b] = node->chain;
            hash_add(nodes, node);
        }
    }
    free(old);
}

bool hk_fuse_node_is(const struct hk_fuse_node *node,
                     const struct hk_fs_attr *attr)
{
    if (node->dev != attr->dev || node->ino != attr->ino ||
        node->type != (attr->mode & HK_S_IFMT))
        return false;
    return node->obj != NULL || node->birth == attr->birth;
}

/* ------------------------------------------------------------------ */
/* Slots                                                              */

static struct hk_fuse_node *slot_at(struct hk_fuse_nodes *nodes, uint32_t i)
{
    return &nodes->chunks[i / HK_FUSE_CHUNK][i % HK_FUSE_CHUNK];
}

static int add_chunk(struct hk_fuse_nodes *nodes)
{
    struct hk_fuse_node *chunk;
    uint32_t first = nodes->slots;

    if (first / HK_FUSE_CHUNK >= nodes->chunks_max)
        return -HK_ENFILE;
    chunk = calloc(HK_FUSE_CHUNK, sizeof(*chunk));
    if (chunk == NULL)
        return -HK_ENOMEM;
    nodes->chunks[first / HK_FUSE_CHUNK] = chunk;
    nodes->slots += HK_FUSE_CHUNK;
    for (uint32_t i = HK_FUSE_CHUNK; i-- > 0;) {
        chunk[i].id = first + i;
        if (first + i <= HK_FUSE_ROOT_ID)
            continue; /* 0 is no number, the root has its own */
        chunk[i].chain = nodes->free;
        nodes->free = &chunk[i];
    }
    return 0;
}

static int slot_take(struct hk_fuse_nodes *nodes, struct hk_fuse_node **out)
{
    struct hk_fuse_node *node;

    if (nodes->count >= nodes->max)
        return -HK_ENFILE;
    if (nodes->free == NULL) {
        int rc = add_chunk(nodes);

        if (rc < 0)
            return rc;
    }
    node = nodes->free;
    nodes->free = node->chain;
    node->chain = NULL;
    node->used = true;
    nodes->count++;
    *out = node;
    return 0;
}

/* The number becomes invalid: the next user of the slot has another one. */
static void slot_free(struct hk_fuse_nodes *nodes, struct hk_fuse_node *node)
{
    uint64_t id = node->id + (1ull << 32);

    memset(node, 0, sizeof(*node));
    node->id = id;
    node->chain = nodes->free;
    nodes->free = node;
    nodes->count--;
}

/* ------------------------------------------------------------------ */

int hk_fuse_nodes_init(struct hk_fuse *fuse)
{
    struct hk_fuse_nodes *nodes = &fuse->nodes;
    int rc;

    nodes->max = fuse->config.max_nodes;
    nodes->chunks_max = nodes->max / HK_FUSE_CHUNK + 1;
    nodes->chunks = calloc(nodes->chunks_max, sizeof(*nodes->chunks));
    nodes->bucket_count = 256;
    nodes->buckets = calloc(nodes->bucket_count, sizeof(*nodes->buckets));
    if (nodes->chunks == NULL || nodes->buckets == NULL)
        return -HK_ENOMEM;
    rc = add_chunk(nodes);
    if (rc < 0)
        return rc;
    nodes->root = slot_at(nodes, HK_FUSE_ROOT_ID);
    nodes->root->used = true;
    nodes->root->refs = 1;
    nodes->root->type = HK_S_IFDIR;
    nodes->root->virt = hk_overlay_root(fuse->overlay);
    nodes->root->is_virtual = fuse->root == NULL;
    nodes->root->dev = HK_FUSE_VIRTUAL_DEV;
    nodes->root->ino = nodes->root->virt->number;
    nodes->count = 1;
    if (fuse->root != NULL) {
        struct hk_fs_attr attr;

        rc = fuse->root->ops->open_node(fuse->root, NULL, NULL,
                                        &nodes->root->obj, &attr);
        if (rc < 0)
            return rc;
        nodes->root->dev = attr.dev;
        nodes->root->ino = attr.ino;
        nodes->root->birth = attr.birth;
        nodes->loaded = 1;
    }
    fuse->root_dev = nodes->root->dev;
    hash_add(nodes, nodes->root);
    return 0;
}

/* Frees a slot whatever counts it has. */
static void scrap(struct hk_fuse *fuse, struct hk_fuse_node *node)
{
    if (node->obj != NULL) {
        fuse->root->ops->close_node(fuse->root, node->obj);
        fuse->nodes.loaded--;
    }
    free(node->name);
    slot_free(&fuse->nodes, node);
}

void hk_fuse_nodes_reset(struct hk_fuse *fuse)
{
    struct hk_fuse_nodes *nodes = &fuse->nodes;

    hk_fuse_nodes_forget(fuse);
    /* What is left held on to itself: a circle of parents. */
    for (uint32_t i = HK_FUSE_ROOT_ID + 1; i < nodes->slots; i++) {
        struct hk_fuse_node *node = slot_at(nodes, i);

        if (node->used)
            hash_remove(nodes, node);
    }
    for (uint32_t i = HK_FUSE_ROOT_ID + 1; i < nodes->slots; i++)
        if (slot_at(nodes, i)->used)
            scrap(fuse, slot_at(nodes, i));
    nodes->oldest = nodes->newest = NULL;
    nodes->root->refs = 1;
}

void hk_fuse_nodes_fini(struct hk_fuse *fuse)
{
    struct hk_fuse_nodes *nodes = &fuse->nodes;

    if (nodes->root != NULL) {
        hk_fuse_nodes_reset(fuse);
        if (nodes->root->obj != NULL)
            fuse->root->ops->close_node(fuse->root, nodes->root->obj);
    }
    for (uint32_t i = 0; nodes->chunks != NULL && i < nodes->chunks_max; i++)
        free(nodes->chunks[i]);
    free(nodes->chunks);
    free(nodes->buckets);
    memset(nodes, 0, sizeof(*nodes));
}

/* ------------------------------------------------------------------ */

/* Lock held. Frees unused nodes up the chain of parents. */
static void collect(struct hk_fuse *fuse, struct hk_fuse_node *node,
                    struct hk_fuse_trash *trash)
{
    while (node != NULL && node != fuse->nodes.root && node->refs == 0 &&
           node->nlookup == 0) {
        struct hk_fuse_node *parent = node->parent;

        hash_remove(&fuse->nodes, node);
        hk_fuse_node_unload(fuse, node, trash);
        free(node->name);
        slot_free(&fuse->nodes, node);
        node = parent;
        if (node != NULL)
            node->refs--;
    }
}

void hk_fuse_node_drop(struct hk_fuse *fuse, struct hk_fuse_node *node,
                       struct hk_fuse_trash *trash)
{
    hk_assert(node->refs > 0);
    node->refs--;
    collect(fuse, node, trash);
}

void hk_fuse_nodes_forget(struct hk_fuse *fuse)
{
    struct hk_fuse_trash trash = {.count = 0};
    struct hk_fuse_nodes *nodes = &fuse->nodes;

    uv_mutex_lock(&fuse->lock);
    for (uint32_t i = HK_FUSE_ROOT_ID; i < nodes->slots; i++) {
        struct hk_fuse_node *node = slot_at(nodes, i);

        if (!node->used)
            continue;
        node->nlookup = 0;
        node->stamped = false;
        collect(fuse, node, &trash);
    }
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_trash_empty(fuse, &trash);
}

int hk_fuse_node_get(struct hk_fuse *fuse, uint64_t id,
                     struct hk_fuse_node **out)
{
    struct hk_fuse_nodes *nodes = &fuse->nodes;
    uint32_t index = (uint32_t)id;
    int rc = -HK_ENOENT;

    uv_mutex_lock(&fuse->lock);
    if (index < nodes->slots) {
        struct hk_fuse_node *node = slot_at(nodes, index);

        if (node->used && node->id == id &&
            (node->nlookup > 0 || node == nodes->root)) {
            node->refs++;
            *out = node;
            rc = 0;
        }
    }
    uv_mutex_unlock(&fuse->lock);
    return rc;
}

void hk_fuse_node_put(struct hk_fuse *fuse, struct hk_fuse_node *node)
{
    struct hk_fuse_trash trash = {.count = 0};

    if (node == NULL)
        return;
    uv_mutex_lock(&fuse->lock);
    hk_fuse_node_drop(fuse, node, &trash);
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_trash_empty(fuse, &trash);
}

void hk_fuse_node_forget(struct hk_fuse *fuse, uint64_t id, uint64_t count)
{
    struct hk_fuse_trash trash = {.count = 0};
    struct hk_fuse_node *node;

    if (hk_fuse_node_get(fuse, id, &node) < 0)
        return;
    uv_mutex_lock(&fuse->lock);
    node->nlookup = node->nlookup > count ? node->nlookup - count : 0;
    hk_fuse_node_drop(fuse, node, &trash);
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_trash_empty(fuse, &trash);
}

/* Lock held. A node was found under this name: remember it. */
static void rename_node(struct hk_fuse *fuse, struct hk_fuse_node *node,
                        struct hk_fuse_node *parent, const char *name,
                        struct hk_fuse_trash *trash)
{
    struct hk_fuse_node *old = node->parent;
    char *copy;

    if (node == fuse->nodes.root || node == parent)
        return;
    if (old != parent || node->name == NULL || strcmp(node->name, name) != 0) {
        copy = strdup(name);
        if (copy == NULL)
            return;
        free(node->name);
        node->name = copy;
        if (old != parent) {
            parent->refs++;
            node->parent = parent;
            if (old != NULL)
                hk_fuse_node_drop(fuse, old, trash);
        }
    }
    if (node->anchored) {
        node->anchored = false;
        hk_fuse_lru_add(fuse, node);
    }
}

/* Lock held. The node that already stands for what was found, if any. */
static struct hk_fuse_node *known(struct hk_fuse *fuse,
                                  const struct hk_fs_attr *attr)
{
    struct hk_fuse_node *node = hash_find(&fuse->nodes, attr->dev, attr->ino);

    if (node == NULL || hk_fuse_node_is(node, attr)) {
        if (node != NULL)
            node->birth = attr->birth;
        return node;
    }
    /* The number went to a new file; the old inode is no more. */
    if (node != fuse->nodes.root)
        hash_remove(&fuse->nodes, node);
    return NULL;
}

int hk_fuse_node_enter(struct hk_fuse *fuse, struct hk_fuse_node *parent,
                       const char *name, const struct hk_fs_attr *attr,
                       struct hk_fuse_node **out)
{
    struct hk_fuse_trash trash = {.count = 0};
    struct hk_fuse_nodes *nodes = &fuse->nodes;
    struct hk_fuse_node *node;
    int rc = 0;

    uv_mutex_lock(&fuse->lock);
    node = known(fuse, attr);
    if (node == NULL) {
        rc = slot_take(nodes, &node);
        if (rc == 0) {
            node->dev = attr->dev;
            node->ino = attr->ino;
            node->birth = attr->birth;
            node->type = attr->mode & HK_S_IFMT;
            if (nodes->count > nodes->bucket_count)
                hash_grow(nodes);
            hash_add(nodes, node);
        }
    }
    if (rc == 0) {
        node->refs++;
        node->nlookup++;
        rename_node(fuse, node, parent, name, &trash);
        *out = node;
    }
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_trash_empty(fuse, &trash);
    return rc;
}

int hk_fuse_node_enter_virtual(struct hk_fuse *fuse,
                               struct hk_fuse_node *parent,
                               struct hk_overlay_entry *entry,
                               struct hk_fuse_node **out)
{
    const struct hk_fs_attr attr = {
        .dev = HK_FUSE_VIRTUAL_DEV,
        .ino = entry->number,
        .mode = entry->mode,
    };
    int rc = hk_fuse_node_enter(fuse, parent, entry->name, &attr, out);

    if (rc == 0) {
        uv_mutex_lock(&fuse->lock);
        (*out)->virt = entry;
        (*out)->is_virtual = true;
        uv_mutex_unlock(&fuse->lock);
    }
    return rc;
}

struct hk_fuse_node *hk_fuse_node_peek(struct hk_fuse *fuse,
                                       const struct hk_fs_attr *attr)
{
    struct hk_fuse_node *node;

    uv_mutex_lock(&fuse->lock);
    node = hash_find(&fuse->nodes, attr->dev, attr->ino);
    if (node != NULL && hk_fuse_node_is(node, attr))
        node->refs++;
    else
        node = NULL;
    uv_mutex_unlock(&fuse->lock);
    return node;
}

void hk_fuse_node_moved(struct hk_fuse *fuse, struct hk_fuse_node *node,
                        struct hk_fuse_node *parent, const char *name)
{
    struct hk_fuse_trash trash = {.count = 0};

    uv_mutex_lock(&fuse->lock);
    rename_node(fuse, node, parent, name, &trash);
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_trash_empty(fuse, &trash);
}

void hk_fuse_node_removed(struct hk_fuse *fuse, struct hk_fuse_node *node,
                          struct hk_fuse_node *parent, const char *name)
{
    uv_mutex_lock(&fuse->lock);
    if (node->parent == parent && node->name != NULL &&
        strcmp(node->name, name) == 0) {
        node->anchored = true;
        hk_fuse_lru_remove(fuse, node);
    }
    uv_mutex_unlock(&fuse->lock);
}

bool hk_fuse_node_stamp(struct hk_fuse *fuse, struct hk_fuse_node *node,
                        const struct hk_fs_attr *attr)
{
    bool same;

    uv_mutex_lock(&fuse->lock);
    same = node->stamped && node->stamp_size == attr->size &&
           node->stamp_ctime.sec == attr->ctime.sec &&
           node->stamp_ctime.nsec == attr->ctime.nsec;
    node->stamped = true;
    node->stamp_size = attr->size;
    node->stamp_ctime = attr->ctime;
    node->birth = attr->birth;
    uv_mutex_unlock(&fuse->lock);
    return same;
}
