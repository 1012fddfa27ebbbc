/*
 * FUSE: finding inodes and what is known about them.
 */
#include "fs/fuse_int.h"

#include <string.h>

enum {
    MAY_EXEC = 1,
    MAY_WRITE = 2,
    BLOCK = 4096,
    VIRTUAL_MS = 10000,
};

/* ------------------------------------------------------------------ */
/* Attributes                                                         */

/*
 * On the file system of the share's root the host's numbers are kept. Those of
 * other file systems below it are scattered over the upper half of the range,
 * where those of the root do not go; within one file system the mapping is one
 * to one.
 */
uint64_t hk_fuse_ino(const struct hk_fuse *fuse, uint64_t dev, uint64_t ino)
{
    const uint64_t top = 1ull << 63;
    uint64_t mixed;

    if (dev == fuse->root_dev && ino < top)
        return ino;
    mixed = (ino ^ (dev * 0x9e3779b97f4a7c15ull)) * 0xd6e8feb86659fd93ull;
    return mixed | top;
}

void hk_fuse_fill_attr(struct hk_fuse *fuse, const struct hk_fs_attr *attr,
                       struct hk_fuse_attr *out)
{
    *out = (struct hk_fuse_attr){
        .ino = hk_fuse_ino(fuse, attr->dev, attr->ino),
        .size = attr->size,
        .blocks = attr->blocks,
        .atime = (uint64_t)attr->atime.sec,
        .mtime = (uint64_t)attr->mtime.sec,
        .ctime = (uint64_t)attr->ctime.sec,
        .atimensec = attr->atime.nsec,
        .mtimensec = attr->mtime.nsec,
        .ctimensec = attr->ctime.nsec,
        .mode = attr->mode,
        .nlink = attr->nlink,
        .uid = attr->uid,
        .gid = attr->gid,
        .rdev = attr->rdev,
        .blksize = attr->blksize,
    };
}

static void set_valid(uint32_t ms, uint64_t *sec, uint32_t *nsec)
{
    *sec = ms / 1000;
    *nsec = ms % 1000 * 1000000;
}

void hk_fuse_fill_entry(struct hk_fuse *fuse, const struct hk_fuse_node *node,
                        const struct hk_fs_attr *attr,
                        struct hk_fuse_entry_out *out)
{
    uint32_t entry_ms = fuse->config.entry_ms, attr_ms = fuse->config.attr_ms;

    /* They never change, and to start a program takes several lookups of its
     * name, of which a one-shot file answers the first. */
    if (node->is_virtual)
        entry_ms = attr_ms = VIRTUAL_MS;
    memset(out, 0, sizeof(*out));
    out->nodeid = node->id;
    out->generation = node->id >> 32;
    set_valid(entry_ms, &out->entry_valid, &out->entry_valid_nsec);
    set_valid(attr_ms, &out->attr_valid, &out->attr_valid_nsec);
    hk_fuse_fill_attr(fuse, attr, &out->attr);
}

void hk_fuse_virtual_attr(struct hk_fuse *fuse,
                          const struct hk_overlay_entry *entry,
                          struct hk_fs_attr *out)
{
    bool is_dir = (entry->mode & HK_S_IFMT) == HK_S_IFDIR;

    (void)fuse;
    *out = (struct hk_fs_attr){
        .dev = HK_FUSE_VIRTUAL_DEV,
        .ino = entry->number,
        .size = entry->size,
        .blocks = (entry->size + 511) / 512,
        .mode = entry->mode,
        .nlink = is_dir ? 2 + entry->subdirs : 1,
        .blksize = BLOCK,
    };
}

/* The attributes of a counted node, by its open file where there is one. */
static int get_attr(struct hk_fuse *fuse, struct hk_fuse_node *node,
                    struct hk_fs_file *file, struct hk_fs_attr *attr)
{
    struct hk_fs_node *obj;
    int rc;

    if (node->is_virtual) {
        hk_fuse_virtual_attr(fuse, node->virt, attr);
        return 0;
    }
    if (file != NULL)
        return fuse->root->ops->getattr(fuse->root, NULL, file, attr);
    rc = hk_fuse_node_pin(fuse, node, &obj);
    if (rc < 0)
        return rc;
    rc = fuse->root->ops->getattr(fuse->root, obj, NULL, attr);
    hk_fuse_node_unpin(fuse, node);
    return rc;
}

static int reply_attr(struct hk_fuse_req *req, const struct hk_fs_attr *attr)
{
    struct hk_fuse_attr_out out;

    memset(&out, 0, sizeof(out));
    set_valid(req->fuse->config.attr_ms, &out.attr_valid, &out.attr_valid_nsec);
    hk_fuse_fill_attr(req->fuse, attr, &out.attr);
    return hk_fuse_reply(req, &out, sizeof(out));
}

int hk_fuse_op_getattr(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *handle = NULL;
    struct hk_fuse_node *node;
    struct hk_fuse_getattr_in in;
    struct hk_fs_attr attr;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_node_get(fuse, req->in.nodeid, &node);
    if (rc < 0)
        return rc;
    /* A handle only spares finding the inode again. */
    if ((in.flags & HK_FUSE_GETATTR_FH) != 0 && node->type == HK_S_IFREG)
        rc = hk_fuse_handle_get(fuse, in.fh, req->in.nodeid, false, &handle);
    if (rc == 0)
        rc = get_attr(fuse, node, handle != NULL ? handle->file : NULL, &attr);
    hk_fuse_handle_put(fuse, handle);
    hk_fuse_node_put(fuse, node);
    return rc < 0 ? rc : reply_attr(req, &attr);
}

static void decode_set(const struct hk_fuse_setattr_in *in,
                       struct hk_fs_set *set)
{
    static const struct {
        uint32_t from;
        uint32_t to;
    } bits[] = {
        {HK_FATTR_MODE, HK_FS_SET_MODE},
        {HK_FATTR_UID, HK_FS_SET_UID},
        {HK_FATTR_GID, HK_FS_SET_GID},
        {HK_FATTR_SIZE, HK_FS_SET_SIZE},
        {HK_FATTR_ATIME, HK_FS_SET_ATIME},
        {HK_FATTR_MTIME, HK_FS_SET_MTIME},
        {HK_FATTR_ATIME_NOW, HK_FS_SET_ATIME_NOW},
        {HK_FATTR_MTIME_NOW, HK_FS_SET_MTIME_NOW},
        {HK_FATTR_KILL_SUIDGID, HK_FS_SET_KILL_PRIV},
    };

    *set = (struct hk_fs_set){
        .mode = in->mode & 07777,
        .uid = in->uid,
        .gid = in->gid,
        .size = in->size,
        .atime = {(int64_t)in->atime, in->atimensec},
        .mtime = {(int64_t)in->mtime, in->mtimensec},
    };
    for (size_t i = 0; i < HK_COUNT(bits); i++)
        if ((in->valid & bits[i].from) != 0)
            set->flags |= bits[i].to;
    if (set->atime.nsec > 999999999)
        set->atime.nsec = 999999999;
    if (set->mtime.nsec > 999999999)
        set->mtime.nsec = 999999999;
}

/* Changes a host inode and says what it is then. */
static int change(struct hk_fuse *fuse, struct hk_fuse_node *node,
                  struct hk_fs_file *file, const struct hk_fs_set *set,
                  struct hk_fs_attr *attr)
{
    struct hk_fs_node *obj;
    int rc;

    if (node->is_virtual)
        return -HK_EACCES;
    if ((set->flags & HK_FS_SET_SIZE) != 0) {
        if (set->size > INT64_MAX)
            return -HK_EFBIG;
        if (node->type != HK_S_IFREG)
            return node->type == HK_S_IFDIR ? -HK_EISDIR : -HK_EINVAL;
    }
    rc = hk_fuse_node_pin(fuse, node, &obj);
    if (rc < 0)
        return rc;
    rc = fuse->root->ops->setattr(fuse->root, obj, file, set);
    if (rc == 0)
        rc = fuse->root->ops->getattr(fuse->root, obj, NULL, attr);
    hk_fuse_node_unpin(fuse, node);
    return rc;
}

int hk_fuse_op_setattr(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *handle = NULL;
    struct hk_fuse_node *node;
    struct hk_fuse_setattr_in in;
    struct hk_fs_set set;
    struct hk_fs_attr attr;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_node_get(fuse, req->in.nodeid, &node);
    if (rc < 0)
        return rc;
    decode_set(&in, &set);
    if ((in.valid & HK_FATTR_FH) != 0 && node->type == HK_S_IFREG)
        rc = hk_fuse_handle_get(fuse, in.fh, req->in.nodeid, false, &handle);
    if (rc == 0 && (set.flags & HK_FS_SET_SIZE) != 0 && handle != NULL &&
        (handle->flags & HK_FS_WRITE) == 0)
        rc = -HK_EBADF;
    if (rc == 0)
        rc = change(fuse, node, handle != NULL ? handle->file : NULL, &set,
                    &attr);
    hk_fuse_handle_put(fuse, handle);
    hk_fuse_node_put(fuse, node);
    return rc < 0 ? rc : reply_attr(req, &attr);
}

/* ------------------------------------------------------------------ */
/* Lookup and forget                                                  */

static struct hk_overlay_entry *
take_virtual(struct hk_fuse *fuse, struct hk_fuse_node *dir, const char *name)
{
    struct hk_overlay_entry *entry;

    if (dir->virt == NULL)
        return NULL;
    uv_mutex_lock(&fuse->lock);
    entry = hk_overlay_take(dir->virt, name);
    uv_mutex_unlock(&fuse->lock);
    return entry;
}

bool hk_fuse_is_virtual_name(struct hk_fuse *fuse, struct hk_fuse_node *dir,
                             const char *name)
{
    bool found;

    if (dir->virt == NULL)
        return false;
    uv_mutex_lock(&fuse->lock);
    found = hk_overlay_find(dir->virt, name) != NULL;
    uv_mutex_unlock(&fuse->lock);
    return found;
}

int hk_fuse_find(struct hk_fuse *fuse, struct hk_fuse_node *dir,
                 const char *name, struct hk_fs_attr *attr,
                 struct hk_fuse_node **out)
{
    struct hk_overlay_entry *entry;
    struct hk_fs_node *obj;
    int rc;

    if (dir->type != HK_S_IFDIR)
        return -HK_ENOTDIR;
    entry = take_virtual(fuse, dir, name);
    if (entry != NULL) {
        hk_fuse_virtual_attr(fuse, entry, attr);
        return hk_fuse_node_enter_virtual(fuse, dir, entry, out);
    }
    if (dir->is_virtual)
        return -HK_ENOENT;
    rc = hk_fuse_node_pin(fuse, dir, &obj);
    if (rc < 0)
        return rc;
    rc = fuse->root->ops->lookup(fuse->root, obj, name, attr);
    hk_fuse_node_unpin(fuse, dir);
    return rc < 0 ? rc : hk_fuse_node_enter(fuse, dir, name, attr, out);
}

/* The guest may remember for a while that there is no such name. */
static int reply_negative(struct hk_fuse_req *req)
{
    struct hk_fuse_entry_out out;

    memset(&out, 0, sizeof(out));
    set_valid(req->fuse->config.negative_ms, &out.entry_valid,
              &out.entry_valid_nsec);
    return hk_fuse_reply(req, &out, sizeof(out));
}

int hk_fuse_op_lookup(struct hk_fuse_req *req)
{
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_entry_out out;
    struct hk_fuse_node *dir, *node;
    struct hk_fs_attr attr;
    int rc = hk_fuse_take_name(req, name);

    if (rc == 0)
        rc = hk_fuse_node_get(req->fuse, req->in.nodeid, &dir);
    if (rc < 0)
        return rc;
    rc = hk_fuse_find(req->fuse, dir, name, &attr, &node);
    hk_fuse_node_put(req->fuse, dir);
    if (rc == -HK_ENOENT)
        return reply_negative(req);
    if (rc < 0)
        return rc;
    hk_fuse_fill_entry(req->fuse, node, &attr, &out);
    if (node->is_virtual && node->virt->one_shot) /* it is gone already */
        set_valid(0, &out.entry_valid, &out.entry_valid_nsec);
    hk_fuse_node_put(req->fuse, node);
    return hk_fuse_reply(req, &out, sizeof(out));
}

int hk_fuse_op_forget(struct hk_fuse_req *req)
{
    struct hk_fuse_forget_in in;

    if (hk_fuse_take(req, &in, sizeof(in)) == 0)
        hk_fuse_node_forget(req->fuse, req->in.nodeid, in.nlookup);
    return HK_FUSE_SILENT;
}

int hk_fuse_op_batch_forget(struct hk_fuse_req *req)
{
    struct hk_fuse_batch_forget_in in;
    struct hk_fuse_forget_one one;

    if (hk_fuse_take(req, &in, sizeof(in)) < 0)
        return HK_FUSE_SILENT;
    /* The bytes that came bound the loop, whatever the count says. */
    for (uint32_t i = 0; i < in.count; i++) {
        if (hk_fuse_take(req, &one, sizeof(one)) < 0)
            break;
        hk_fuse_node_forget(req->fuse, one.nodeid, one.nlookup);
    }
    return HK_FUSE_SILENT;
}

/* ------------------------------------------------------------------ */

int hk_fuse_op_readlink(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    char target[HK_FS_TARGET_MAX];
    struct hk_fuse_node *node;
    struct hk_fs_node *obj;
    int rc = hk_fuse_node_get(fuse, req->in.nodeid, &node);

    if (rc < 0)
        return rc;
    rc = node->type == HK_S_IFLNK ? hk_fuse_node_pin(fuse, node, &obj)
                                  : -HK_EINVAL;
    if (rc == 0) {
        rc = fuse->root->ops->readlink(fuse->root, obj, target, sizeof(target));
        hk_fuse_node_unpin(fuse, node);
    }
    hk_fuse_node_put(fuse, node);
    return rc < 0 ? rc : hk_fuse_reply(req, target, (size_t)rc);
}

static int get_statfs(struct hk_fuse *fuse, struct hk_fuse_node *node,
                      struct hk_fs_statfs *st)
{
    struct hk_fs_node *obj;
    int rc;

    *st = (struct hk_fs_statfs){
        .bsize = BLOCK, .frsize = BLOCK, .namelen = HK_FS_NAME_MAX};
    if (node->is_virtual)
        return 0;
    rc = hk_fuse_node_pin(fuse, node, &obj);
    if (rc < 0)
        return rc;
    rc = fuse->root->ops->statfs(fuse->root, obj, st);
    hk_fuse_node_unpin(fuse, node);
    return rc;
}

int hk_fuse_op_statfs(struct hk_fuse_req *req)
{
    struct hk_fuse_statfs_out out;
    struct hk_fuse_node *node;
    struct hk_fs_statfs st;
    int rc = hk_fuse_node_get(req->fuse, req->in.nodeid, &node);

    if (rc < 0)
        return rc;
    rc = get_statfs(req->fuse, node, &st);
    hk_fuse_node_put(req->fuse, node);
    if (rc < 0)
        return rc;
    out = (struct hk_fuse_statfs_out){
        .blocks = st.blocks,
        .bfree = st.bfree,
        .bavail = st.bavail,
        .files = st.files,
        .ffree = st.ffree,
        .bsize = st.bsize,
        .namelen = st.namelen,
        .frsize = st.frsize,
    };
    return hk_fuse_reply(req, &out, sizeof(out));
}

/* What the mode grants this caller. Groups other than its first are not
 * known here; guests check permissions themselves and do not ask. */
static int check_access(const struct hk_fs_attr *attr,
                        const struct hk_fuse_in_header *caller, uint32_t mask)
{
    uint32_t shift = 0;

    if (caller->uid == 0)
        return (mask & MAY_EXEC) != 0 && (attr->mode & 0111) == 0 &&
                       (attr->mode & HK_S_IFMT) != HK_S_IFDIR
                   ? -HK_EACCES
                   : 0;
    if (caller->uid == attr->uid)
        shift = 6;
    else if (caller->gid == attr->gid)
        shift = 3;
    return (mask & ~(attr->mode >> shift) & 7) == 0 ? 0 : -HK_EACCES;
}

int hk_fuse_op_access(struct hk_fuse_req *req)
{
    struct hk_fuse_access_in in;
    struct hk_fuse_node *node;
    struct hk_fs_attr attr;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0 && (in.mask & ~7u) != 0)
        rc = -HK_EINVAL;
    if (rc == 0)
        rc = hk_fuse_node_get(req->fuse, req->in.nodeid, &node);
    if (rc < 0)
        return rc;
    rc = get_attr(req->fuse, node, NULL, &attr);
    hk_fuse_node_put(req->fuse, node);
    if (rc == 0)
        rc = check_access(&attr, &req->in, in.mask);
    if (rc == 0 && (in.mask & MAY_WRITE) != 0 && req->fuse->config.read_only)
        rc = -HK_EROFS;
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}
