/*
 * FUSE: listing directories. Entries are written one by one behind the place
 * of the reply's header; an offset is the host's cookie of the next entry.
 */
#include "fs/fuse_int.h"

#include <string.h>

enum { ALIGN = 8, PAD_MAX = 7 };

static int open_host(struct hk_fuse *fuse, struct hk_fuse_node *node,
                     struct hk_fs_dir **dir)
{
    const struct hk_fs_ops *ops = fuse->root->ops;
    struct hk_fs_node *obj;
    int rc = hk_fuse_node_pin(fuse, node, &obj);

    if (rc < 0)
        return rc;
    rc = hk_fuse_make_room(fuse, false);
    if (rc == 0)
        rc = ops->open_dir(fuse->root, obj, dir);
    if (rc == -HK_EMFILE && hk_fuse_make_room(fuse, true) == 0)
        rc = ops->open_dir(fuse->root, obj, dir);
    hk_fuse_node_unpin(fuse, node);
    return rc;
}

int hk_fuse_op_opendir(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_open_out out = {.fh = 0};
    struct hk_fs_dir *dir = NULL;
    struct hk_fuse_node *node;
    int rc = hk_fuse_node_get(fuse, req->in.nodeid, &node);

    if (rc < 0)
        return rc;
    if (node->type != HK_S_IFDIR)
        rc = -HK_ENOTDIR;
    else if (!node->is_virtual)
        rc = open_host(fuse, node, &dir);
    if (rc == 0)
        rc = hk_fuse_handle_add(fuse, node, NULL, dir, HK_FS_READ, &out.fh);
    if (rc < 0) {
        if (dir != NULL)
            fuse->root->ops->close_dir(fuse->root, dir);
        hk_fuse_node_put(fuse, node);
        return rc;
    }
    return hk_fuse_reply(req, &out, sizeof(out));
}

int hk_fuse_op_releasedir(struct hk_fuse_req *req)
{
    struct hk_fuse_release_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_release(req->fuse, in.fh, req->in.nodeid, true);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

int hk_fuse_op_fsyncdir(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *handle;
    struct hk_fuse_fsync_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_get(fuse, in.fh, req->in.nodeid, true, &handle);
    if (rc < 0)
        return rc;
    if (handle->dir != NULL && !fuse->config.read_only)
        rc = fuse->root->ops->sync_dir(fuse->root, handle->dir,
                                       (in.fsync_flags & HK_FUSE_FSYNC_DATA) !=
                                           0);
    hk_fuse_handle_put(fuse, handle);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

/* ------------------------------------------------------------------ */

/* A virtual directory lists nothing but itself. */
static int next_virtual(uint64_t cookie, struct hk_fs_dirent *out)
{
    if (cookie > 1)
        return 0;
    *out = (struct hk_fs_dirent){
        .ino = 1,
        .next = cookie + 1,
        .type = HK_S_IFDIR >> 12,
        .len = cookie == 0 ? 1 : 2,
        .name = "..",
    };
    return 1;
}

static bool is_dots(const struct hk_fs_dirent *entry)
{
    return entry->name[0] == '.' &&
           (entry->len == 1 || (entry->len == 2 && entry->name[1] == '.'));
}

/* What a name of a listing is; nodeid 0 when it cannot be told. */
static void fill_plus(struct hk_fuse *fuse, struct hk_fuse_node *dir,
                      const struct hk_fs_dirent *entry,
                      struct hk_fuse_entry_out *out)
{
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_node *node;
    struct hk_fs_attr attr;

    memset(out, 0, sizeof(*out));
    if (is_dots(entry))
        return;
    memcpy(name, entry->name, entry->len);
    name[entry->len] = '\0';
    /* Listing is no lookup: one-shot files that hide a name stay. */
    if (hk_fuse_is_virtual_name(fuse, dir, name) ||
        hk_fuse_find(fuse, dir, name, &attr, &node) < 0)
        return;
    hk_fuse_fill_entry(fuse, node, &attr, out);
    hk_fuse_node_put(fuse, node);
}

/* Bytes of the entry in the reply, or 0 when it does not fit any more. */
static size_t put_entry(struct hk_fuse_req *req, struct hk_fuse_handle *handle,
                        const struct hk_fs_dirent *entry, bool plus,
                        uint64_t room)
{
    static const uint8_t zeroes[PAD_MAX];
    size_t head = plus ? sizeof(struct hk_fuse_direntplus)
                       : sizeof(struct hk_fuse_dirent);
    size_t len = head + entry->len;
    size_t pad = (ALIGN - len % ALIGN) % ALIGN;
    struct hk_fuse_direntplus out;
    uint64_t dev = handle->node->dev;

    if (len + pad > room)
        return 0;
    /* The number of what is above the share is not the guest's business. */
    out.dirent = (struct hk_fuse_dirent){
        .ino = hk_fuse_ino(req->fuse, dev,
                           is_dots(entry) ? handle->node->ino : entry->ino),
        .off = entry->next,
        .namelen = entry->len,
        .type = entry->type,
    };
    if (plus)
        fill_plus(req->fuse, handle->node, entry, &out.entry);
    req->ops->write(req->io, plus ? (void *)&out : (void *)&out.dirent, head);
    req->ops->write(req->io, entry->name, entry->len);
    req->ops->write(req->io, zeroes, pad);
    return len + pad;
}

static int list(struct hk_fuse_req *req, struct hk_fuse_handle *handle,
                const struct hk_fuse_read_in *in, bool plus)
{
    struct hk_fuse *fuse = req->fuse;
    uint64_t room = in->size < req->room ? in->size : req->room;
    uint64_t cookie = in->offset, done = 0;
    int rc = hk_fuse_reply_begin(req);

    while (rc == 0) {
        struct hk_fs_dirent entry;
        size_t len;

        rc = handle->dir == NULL ? next_virtual(cookie, &entry)
                                 : fuse->root->ops->next_entry(
                                       fuse->root, handle->dir, cookie, &entry);
        if (rc <= 0)
            break;
        rc = 0;
        cookie = entry.next;
        if (entry.len == 0 || entry.len > HK_FS_NAME_MAX)
            continue;
        len = put_entry(req, handle, &entry, plus, room - done);
        if (len == 0)
            break;
        done += len;
    }
    if (rc < 0 && done == 0)
        return rc;
    hk_fuse_reply_end(req, done);
    return 0;
}

static int read_dir(struct hk_fuse_req *req, bool plus)
{
    struct hk_fuse_handle *handle;
    struct hk_fuse_read_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc =
            hk_fuse_handle_get(req->fuse, in.fh, req->in.nodeid, true, &handle);
    if (rc < 0)
        return rc;
    uv_mutex_lock(&handle->listing);
    rc = list(req, handle, &in, plus);
    uv_mutex_unlock(&handle->listing);
    hk_fuse_handle_put(req->fuse, handle);
    return rc;
}

int hk_fuse_op_readdir(struct hk_fuse_req *req)
{
    return read_dir(req, false);
}

int hk_fuse_op_readdirplus(struct hk_fuse_req *req)
{
    return read_dir(req, true);
}
