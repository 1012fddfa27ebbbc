/*
 * Open files and directories of the guest. A handle's number is a slot and its
 * generation; it counts its users, so one that is released while another
 * request still works on it is closed by that request.
 */
#include "fs/fuse_int.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64 };

/* Lock held. */
static int grow(struct hk_fuse_handles *table)
{
    uint32_t size = table->size == 0 ? FIRST_SLOTS : table->size * 2;
    struct hk_fuse_handle **slots;
    uint32_t *generations;

    slots = realloc(table->slots, size * sizeof(*slots));
    if (slots == NULL)
        return -HK_ENOMEM;
    table->slots = slots;
    generations = realloc(table->generations, size * sizeof(*generations));
    if (generations == NULL)
        return -HK_ENOMEM;
    table->generations = generations;
    memset(slots + table->size, 0, (size - table->size) * sizeof(*slots));
    memset(generations + table->size, 0,
           (size - table->size) * sizeof(*generations));
    table->hint = table->size;
    table->size = size;
    return 0;
}

/* Lock held. */
static int insert(struct hk_fuse_handles *table, struct hk_fuse_handle *handle)
{
    if (table->count >= table->max)
        return -HK_ENFILE;
    if (table->count >= table->size) {
        int rc = grow(table);

        if (rc < 0)
            return rc;
    }
    while (table->slots[table->hint % table->size] != NULL)
        table->hint++;
    table->hint %= table->size;
    handle->id = (uint64_t)table->generations[table->hint] << 32 | table->hint;
    table->slots[table->hint] = handle;
    table->count++;
    return 0;
}

int hk_fuse_handle_add(struct hk_fuse *fuse, struct hk_fuse_node *node,
                       struct hk_fs_file *file, struct hk_fs_dir *dir,
                       uint32_t flags, uint64_t *id)
{
    struct hk_fuse_handle *handle = calloc(1, sizeof(*handle));
    int rc;

    if (handle == NULL)
        return -HK_ENOMEM;
    if (uv_mutex_init(&handle->listing) != 0) {
        free(handle);
        return -HK_ENOMEM;
    }
    handle->refs = 1;
    handle->flags = flags;
    handle->is_dir = node->type == HK_S_IFDIR;
    handle->node = node;
    handle->file = file;
    handle->dir = dir;
    uv_mutex_lock(&fuse->lock);
    rc = insert(&fuse->handles, handle);
    *id = handle->id;
    uv_mutex_unlock(&fuse->lock);
    if (rc < 0) {
        uv_mutex_destroy(&handle->listing);
        free(handle);
    }
    return rc;
}

/* Lock held. */
static struct hk_fuse_handle *find(struct hk_fuse_handles *table, uint64_t id,
                                   uint64_t nodeid, bool is_dir)
{
    uint32_t index = (uint32_t)id;
    struct hk_fuse_handle *handle;

    if (index >= table->size)
        return NULL;
    handle = table->slots[index];
    if (handle == NULL || handle->id != id || handle->is_dir != is_dir ||
        handle->node->id != nodeid)
        return NULL;
    return handle;
}

int hk_fuse_handle_get(struct hk_fuse *fuse, uint64_t id, uint64_t nodeid,
                       bool is_dir, struct hk_fuse_handle **out)
{
    struct hk_fuse_handle *handle;

    uv_mutex_lock(&fuse->lock);
    handle = find(&fuse->handles, id, nodeid, is_dir);
    if (handle != NULL)
        handle->refs++;
    uv_mutex_unlock(&fuse->lock);
    *out = handle;
    return handle != NULL ? 0 : -HK_EBADF;
}

void hk_fuse_handle_put(struct hk_fuse *fuse, struct hk_fuse_handle *handle)
{
    bool last;

    if (handle == NULL)
        return;
    uv_mutex_lock(&fuse->lock);
    last = --handle->refs == 0;
    uv_mutex_unlock(&fuse->lock);
    if (!last)
        return;
    if (handle->file != NULL)
        fuse->root->ops->close(fuse->root, handle->file);
    if (handle->dir != NULL)
        fuse->root->ops->close_dir(fuse->root, handle->dir);
    uv_mutex_lock(&fuse->lock);
    fuse->handles.count--;
    uv_mutex_unlock(&fuse->lock);
    hk_fuse_node_put(fuse, handle->node);
    uv_mutex_destroy(&handle->listing);
    free(handle);
}

/* Lock held. */
static void forget_number(struct hk_fuse_handles *table, uint32_t index)
{
    table->slots[index] = NULL;
    table->generations[index]++;
    table->hint = index;
}

int hk_fuse_handle_release(struct hk_fuse *fuse, uint64_t id, uint64_t nodeid,
                           bool is_dir)
{
    struct hk_fuse_handle *handle;

    uv_mutex_lock(&fuse->lock);
    handle = find(&fuse->handles, id, nodeid, is_dir);
    if (handle != NULL)
        forget_number(&fuse->handles, (uint32_t)id);
    uv_mutex_unlock(&fuse->lock);
    if (handle == NULL)
        return -HK_EBADF;
    hk_fuse_handle_put(fuse, handle);
    return 0;
}

void hk_fuse_handles_reset(struct hk_fuse *fuse)
{
    bool more = true;

    /* The table may grow meanwhile: a request may still open something. */
    for (uint32_t i = 0; more; i++) {
        struct hk_fuse_handle *handle = NULL;

        uv_mutex_lock(&fuse->lock);
        more = i < fuse->handles.size;
        if (more)
            handle = fuse->handles.slots[i];
        if (handle != NULL)
            forget_number(&fuse->handles, i);
        uv_mutex_unlock(&fuse->lock);
        hk_fuse_handle_put(fuse, handle);
    }
}

void hk_fuse_handles_fini(struct hk_fuse *fuse)
{
    if (fuse->lock_made)
        hk_fuse_handles_reset(fuse);
    free(fuse->handles.slots);
    free(fuse->handles.generations);
    memset(&fuse->handles, 0, sizeof(fuse->handles));
}
