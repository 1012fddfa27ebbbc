/*
 * FUSE: making, removing and renaming. The host does it first; then the table
 * of inodes follows.
 */
#include "fs/fuse_int.h"

#include <string.h>

/*
 * The directory of a request that changes names in it: counted and pinned.
 * -EACCES for virtual ones.
 */
static int enter_dir(struct hk_fuse *fuse, uint64_t id,
                     struct hk_fuse_node **dir, struct hk_fs_node **obj)
{
    int rc = hk_fuse_node_get(fuse, id, dir);

    if (rc < 0)
        return rc;
    rc = (*dir)->type == HK_S_IFDIR ? hk_fuse_node_pin(fuse, *dir, obj)
                                    : -HK_ENOTDIR;
    if (rc < 0)
        hk_fuse_node_put(fuse, *dir);
    return rc;
}

static void leave_dir(struct hk_fuse *fuse, struct hk_fuse_node *dir)
{
    hk_fuse_node_unpin(fuse, dir);
    hk_fuse_node_put(fuse, dir);
}

static struct hk_fs_caller caller_of(const struct hk_fuse_req *req)
{
    return (struct hk_fs_caller){req->in.uid, req->in.gid};
}

/* ------------------------------------------------------------------ */
/* Making                                                             */

static int reply_entry(struct hk_fuse_req *req, struct hk_fuse_node *dir,
                       const char *name)
{
    struct hk_fuse_entry_out out;
    struct hk_fuse_node *node;
    struct hk_fs_attr attr;
    int rc = hk_fuse_find(req->fuse, dir, name, &attr, &node);

    if (rc < 0)
        return rc;
    hk_fuse_fill_entry(req->fuse, node, &attr, &out);
    hk_fuse_node_put(req->fuse, node);
    return hk_fuse_reply(req, &out, sizeof(out));
}

static int make(struct hk_fuse_req *req, const char *name,
                const struct hk_fs_make *what)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fs_caller caller = caller_of(req);
    struct hk_fuse_node *dir;
    struct hk_fs_node *obj;
    int rc = enter_dir(fuse, req->in.nodeid, &dir, &obj);

    if (rc < 0)
        return rc;
    if (hk_fuse_is_virtual_name(fuse, dir, name))
        rc = -HK_EEXIST;
    if (rc == 0)
        rc = fuse->root->ops->make(fuse->root, obj, name, what, &caller);
    if (rc == 0)
        rc = reply_entry(req, dir, name);
    leave_dir(fuse, dir);
    return rc;
}

int hk_fuse_op_symlink(struct hk_fuse_req *req)
{
    char name[HK_FS_NAME_MAX + 1], target[HK_FS_TARGET_MAX + 1];
    struct hk_fs_make what = {.mode = HK_S_IFLNK | 0777, .target = target};
    int rc = hk_fuse_take_name(req, name);

    if (rc == 0)
        rc = hk_fuse_take_text(req, target, sizeof(target));
    if (rc == 0 && target[0] == '\0')
        rc = -HK_ENOENT;
    return rc < 0 ? rc : make(req, name, &what);
}

static bool can_be_made(uint32_t type)
{
    return type == HK_S_IFREG || type == HK_S_IFIFO || type == HK_S_IFSOCK ||
           type == HK_S_IFCHR || type == HK_S_IFBLK;
}

int hk_fuse_op_mknod(struct hk_fuse_req *req)
{
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_mknod_in in;
    struct hk_fs_make what;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_take_name(req, name);
    if (rc < 0)
        return rc;
    what = (struct hk_fs_make){.mode = in.mode, .rdev = in.rdev};
    if ((what.mode & HK_S_IFMT) == 0)
        what.mode |= HK_S_IFREG;
    if ((what.mode & ~(HK_S_IFMT | 07777u)) != 0 ||
        !can_be_made(what.mode & HK_S_IFMT))
        return -HK_EINVAL;
    return make(req, name, &what);
}

int hk_fuse_op_mkdir(struct hk_fuse_req *req)
{
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_mkdir_in in;
    struct hk_fs_make what;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_take_name(req, name);
    if (rc < 0)
        return rc;
    what = (struct hk_fs_make){.mode = HK_S_IFDIR | (in.mode & 07777)};
    return make(req, name, &what);
}

int hk_fuse_op_link(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_link_in in;
    struct hk_fuse_node *dir, *node;
    struct hk_fs_node *dir_obj, *obj;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_take_name(req, name);
    if (rc == 0)
        rc = hk_fuse_node_get(fuse, in.oldnodeid, &node);
    if (rc < 0)
        return rc;
    rc = enter_dir(fuse, req->in.nodeid, &dir, &dir_obj);
    if (rc == 0) {
        if (hk_fuse_is_virtual_name(fuse, dir, name))
            rc = -HK_EEXIST;
        else if (node->type == HK_S_IFDIR)
            rc = -HK_EPERM;
        else if (node->is_virtual)
            rc = -HK_EXDEV;
        else
            rc = hk_fuse_node_pin(fuse, node, &obj);
        if (rc == 0) {
            rc = fuse->root->ops->link(fuse->root, obj, dir_obj, name);
            hk_fuse_node_unpin(fuse, node);
        }
        if (rc == 0)
            rc = reply_entry(req, dir, name);
        leave_dir(fuse, dir);
    }
    hk_fuse_node_put(fuse, node);
    return rc;
}

/* ------------------------------------------------------------------ */
/* Create and open at once                                            */

struct created {
    struct hk_fuse_node *node;
    struct hk_fs_file *file;
    struct hk_fs_attr attr;
};

/* Opens what was there before, unless the guest said O_EXCL. */
static int open_existing(struct hk_fuse *fuse, struct hk_fuse_node *dir,
                         const char *name, uint32_t flags, struct created *out)
{
    struct hk_fs_node *obj;
    int rc = hk_fuse_find(fuse, dir, name, &out->attr, &out->node);

    if (rc < 0)
        return rc;
    if (out->node->type == HK_S_IFREG)
        rc = hk_fuse_node_pin(fuse, out->node, &obj);
    else
        rc = out->node->type == HK_S_IFDIR ? -HK_EISDIR : -HK_ENXIO;
    if (rc == 0) {
        rc = fuse->root->ops->open(fuse->root, obj, flags, &out->file);
        hk_fuse_node_unpin(fuse, out->node);
    }
    if (rc < 0) {
        hk_fuse_node_forget(fuse, out->node->id, 1);
        hk_fuse_node_put(fuse, out->node);
    }
    return rc;
}

static int create_or_open(struct hk_fuse_req *req, struct hk_fuse_node *dir,
                          struct hk_fs_node *obj, const char *name,
                          const struct hk_fuse_create_in *in,
                          struct created *out)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fs_caller caller = caller_of(req);
    uint32_t flags = hk_fuse_open_flags(in->flags);
    int rc = -HK_EEXIST;

    if (!hk_fuse_is_virtual_name(fuse, dir, name))
        rc = fuse->root->ops->create(fuse->root, obj, name, in->mode & 07777,
                                     flags, &caller, &out->file, &out->attr);
    else
        return rc;
    if (rc == 0) {
        rc = hk_fuse_node_enter(fuse, dir, name, &out->attr, &out->node);
        if (rc < 0)
            fuse->root->ops->close(fuse->root, out->file);
        return rc;
    }
    if (rc == -HK_EEXIST && (in->flags & HK_O_EXCL) == 0)
        rc = open_existing(fuse, dir, name, flags, out);
    return rc;
}

static int reply_created(struct hk_fuse_req *req,
                         const struct hk_fuse_create_in *in,
                         struct created *created)
{
    struct hk_fuse *fuse = req->fuse;
    struct {
        struct hk_fuse_entry_out entry;
        struct hk_fuse_open_out open;
    } out;
    int rc;

    memset(&out, 0, sizeof(out));
    hk_fuse_fill_entry(fuse, created->node, &created->attr, &out.entry);
    rc = hk_fuse_handle_add(fuse, created->node, created->file, NULL,
                            hk_fuse_open_flags(in->flags), &out.open.fh);
    if (rc < 0) {
        fuse->root->ops->close(fuse->root, created->file);
        hk_fuse_node_forget(fuse, created->node->id, 1);
        hk_fuse_node_put(fuse, created->node);
        return rc;
    }
    out.open.open_flags = hk_fuse_reply_flags(fuse, in->flags);
    return hk_fuse_reply(req, &out, sizeof(out));
}

int hk_fuse_op_create(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_create_in in;
    struct created created;
    struct hk_fuse_node *dir;
    struct hk_fs_node *obj;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_take_name(req, name);
    if (rc == 0 && (in.flags & HK_O_ACCMODE) == HK_O_ACCMODE)
        rc = -HK_EINVAL;
    if (rc == 0)
        rc = enter_dir(fuse, req->in.nodeid, &dir, &obj);
    if (rc < 0)
        return rc;
    rc = hk_fuse_make_room(fuse, false);
    if (rc == 0)
        rc = create_or_open(req, dir, obj, name, &in, &created);
    if (rc == -HK_EMFILE && hk_fuse_make_room(fuse, true) == 0)
        rc = create_or_open(req, dir, obj, name, &in, &created);
    leave_dir(fuse, dir);
    return rc < 0 ? rc : reply_created(req, &in, &created);
}

/* ------------------------------------------------------------------ */
/* Removing and renaming                                              */

/*
 * The inode behind a name that is about to go or to change, if the guest knows
 * it: counted, and pinned where possible, so that it can be used without its
 * name. NULL if not.
 */
struct victim {
    struct hk_fuse_node *node;
    bool pinned;
};

static struct victim hold_victim(struct hk_fuse *fuse, struct hk_fs_node *dir,
                                 const char *name)
{
    struct victim victim = {.node = NULL};
    struct hk_fs_node *obj;
    struct hk_fs_attr attr;

    if (fuse->root->ops->lookup(fuse->root, dir, name, &attr) < 0)
        return victim;
    victim.node = hk_fuse_node_peek(fuse, &attr);
    victim.pinned =
        victim.node != NULL && hk_fuse_node_pin(fuse, victim.node, &obj) == 0;
    return victim;
}

static void let_go(struct hk_fuse *fuse, struct victim *victim)
{
    if (victim->pinned)
        hk_fuse_node_unpin(fuse, victim->node);
    hk_fuse_node_put(fuse, victim->node);
}

static int remove_name(struct hk_fuse_req *req, bool directory)
{
    struct hk_fuse *fuse = req->fuse;
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_node *dir;
    struct hk_fs_node *obj;
    struct victim victim;
    int rc = hk_fuse_take_name(req, name);

    if (rc == 0)
        rc = enter_dir(fuse, req->in.nodeid, &dir, &obj);
    if (rc < 0)
        return rc;
    if (hk_fuse_is_virtual_name(fuse, dir, name)) {
        leave_dir(fuse, dir);
        return -HK_EACCES;
    }
    victim = hold_victim(fuse, obj, name);
    rc = fuse->root->ops->unlink(fuse->root, obj, name, directory);
    if (rc == 0 && victim.pinned)
        hk_fuse_node_removed(fuse, victim.node, dir, name);
    let_go(fuse, &victim);
    leave_dir(fuse, dir);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

int hk_fuse_op_unlink(struct hk_fuse_req *req)
{
    return remove_name(req, false);
}

int hk_fuse_op_rmdir(struct hk_fuse_req *req)
{
    return remove_name(req, true);
}

struct place {
    struct hk_fuse_node *dir;
    struct hk_fs_node *obj;
    char name[HK_FS_NAME_MAX + 1];
};

static int rename_places(struct hk_fuse *fuse, struct place *from,
                         struct place *to, uint32_t flags)
{
    struct victim moved = hold_victim(fuse, from->obj, from->name);
    struct victim target = hold_victim(fuse, to->obj, to->name);
    int rc = fuse->root->ops->rename(fuse->root, from->obj, from->name, to->obj,
                                     to->name, flags);

    /* Two names of one inode: the host does nothing. */
    if (rc == 0 && (moved.node != target.node || moved.node == NULL)) {
        if (target.node != NULL && (flags & HK_FS_RENAME_EXCHANGE) != 0)
            hk_fuse_node_moved(fuse, target.node, from->dir, from->name);
        else if (target.pinned)
            hk_fuse_node_removed(fuse, target.node, to->dir, to->name);
        if (moved.node != NULL)
            hk_fuse_node_moved(fuse, moved.node, to->dir, to->name);
    }
    let_go(fuse, &target);
    let_go(fuse, &moved);
    return rc;
}

static int rename_names(struct hk_fuse_req *req, uint64_t new_dir,
                        uint32_t flags)
{
    struct hk_fuse *fuse = req->fuse;
    struct place from, to;
    int rc = hk_fuse_take_name(req, from.name);

    if (rc == 0)
        rc = hk_fuse_take_name(req, to.name);
    if (rc == 0)
        rc = enter_dir(fuse, req->in.nodeid, &from.dir, &from.obj);
    if (rc < 0)
        return rc;
    rc = enter_dir(fuse, new_dir, &to.dir, &to.obj);
    if (rc == 0) {
        if (hk_fuse_is_virtual_name(fuse, from.dir, from.name))
            rc = -HK_EACCES;
        else if (hk_fuse_is_virtual_name(fuse, to.dir, to.name))
            rc =
                (flags & HK_FS_RENAME_NOREPLACE) != 0 ? -HK_EEXIST : -HK_EACCES;
        else
            rc = rename_places(fuse, &from, &to, flags);
        leave_dir(fuse, to.dir);
    }
    leave_dir(fuse, from.dir);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

int hk_fuse_op_rename(struct hk_fuse_req *req)
{
    struct hk_fuse_rename_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    return rc < 0 ? rc : rename_names(req, in.newdir, 0);
}

int hk_fuse_op_rename2(struct hk_fuse_req *req)
{
    const uint32_t known =
        HK_FS_RENAME_NOREPLACE | HK_FS_RENAME_EXCHANGE | HK_FS_RENAME_WHITEOUT;
    struct hk_fuse_rename2_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0 && (in.flags & ~known) != 0)
        rc = -HK_EINVAL;
    if (rc == 0 && (in.flags & HK_FS_RENAME_EXCHANGE) != 0 &&
        in.flags != HK_FS_RENAME_EXCHANGE)
        rc = -HK_EINVAL;
    return rc < 0 ? rc : rename_names(req, in.newdir, in.flags);
}
