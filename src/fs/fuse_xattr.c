/*
 * FUSE: extended attributes. Values pass through a buffer of at most 64 KiB.
 */
#include "fs/fuse_int.h"

#include <stdlib.h>
#include <string.h>

enum { CREATE = 1, REPLACE = 2 };

static int take_xattr_name(struct hk_fuse_req *req, char *name)
{
    int rc = hk_fuse_take_text(req, name, HK_FS_NAME_MAX + 1);

    if (rc == -HK_ENAMETOOLONG)
        return -HK_ERANGE;
    return rc == 0 && name[0] == '\0' ? -HK_EINVAL : rc;
}

/* The host object of the request's inode, with its node counted and pinned. */
static int pin_target(struct hk_fuse_req *req, struct hk_fuse_node **node,
                      struct hk_fs_node **obj, int if_virtual)
{
    int rc = hk_fuse_node_get(req->fuse, req->in.nodeid, node);

    if (rc < 0)
        return rc;
    rc = (*node)->is_virtual ? if_virtual
                             : hk_fuse_node_pin(req->fuse, *node, obj);
    if (rc < 0)
        hk_fuse_node_put(req->fuse, *node);
    return rc;
}

static void unpin_target(struct hk_fuse_req *req, struct hk_fuse_node *node)
{
    hk_fuse_node_unpin(req->fuse, node);
    hk_fuse_node_put(req->fuse, node);
}

int hk_fuse_op_setxattr(struct hk_fuse_req *req)
{
    const struct hk_fs_ops *ops;
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_setxattr_in in;
    struct hk_fuse_node *node;
    struct hk_fs_node *obj;
    uint8_t *value;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = take_xattr_name(req, name);
    if (rc < 0)
        return rc;
    if (in.size > HK_FS_XATTR_MAX)
        return -HK_E2BIG;
    if ((in.flags & ~(CREATE | REPLACE)) != 0 || in.size > req->in_left)
        return -HK_EINVAL;
    value = malloc(in.size + (in.size == 0));
    if (value == NULL)
        return -HK_ENOMEM;
    rc = hk_fuse_take(req, value, in.size);
    if (rc == 0)
        rc = pin_target(req, &node, &obj, -HK_EACCES);
    if (rc == 0) {
        ops = req->fuse->root->ops;
        rc = ops->set_xattr(req->fuse->root, obj, name, value, in.size,
                            in.flags);
        unpin_target(req, node);
    }
    free(value);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

static int reply_size(struct hk_fuse_req *req, int size)
{
    struct hk_fuse_getxattr_out out = {.size = (uint32_t)size};

    return size < 0 ? size : hk_fuse_reply(req, &out, sizeof(out));
}

/* `name` NULL: the list of names. */
static int read_xattr(struct hk_fuse_req *req, const char *name, uint32_t size)
{
    const struct hk_fs_ops *ops;
    struct hk_fuse_node *node;
    struct hk_fs_node *obj;
    char *buffer;
    int rc;

    if (size > HK_FS_XATTR_MAX)
        size = HK_FS_XATTR_MAX;
    if (size > req->room)
        return -HK_ERANGE;
    buffer = malloc(size + (size == 0));
    if (buffer == NULL)
        return -HK_ENOMEM;
    rc = pin_target(req, &node, &obj, -HK_ENODATA);
    if (rc == 0) {
        ops = req->fuse->root->ops;
        rc = name != NULL
                 ? ops->get_xattr(req->fuse->root, obj, name, buffer, size)
                 : ops->list_xattr(req->fuse->root, obj, buffer, size);
        unpin_target(req, node);
    } else if (rc == -HK_ENODATA && name == NULL)
        rc = 0;
    if (size == 0)
        rc = reply_size(req, rc);
    else if (rc >= 0)
        rc = hk_fuse_reply(req, buffer, (size_t)rc);
    free(buffer);
    return rc;
}

int hk_fuse_op_getxattr(struct hk_fuse_req *req)
{
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_getxattr_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = take_xattr_name(req, name);
    return rc < 0 ? rc : read_xattr(req, name, in.size);
}

int hk_fuse_op_listxattr(struct hk_fuse_req *req)
{
    struct hk_fuse_getxattr_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    return rc < 0 ? rc : read_xattr(req, NULL, in.size);
}

int hk_fuse_op_removexattr(struct hk_fuse_req *req)
{
    char name[HK_FS_NAME_MAX + 1];
    struct hk_fuse_node *node;
    struct hk_fs_node *obj;
    int rc = take_xattr_name(req, name);

    if (rc == 0)
        rc = pin_target(req, &node, &obj, -HK_EACCES);
    if (rc < 0)
        return rc;
    rc = req->fuse->root->ops->remove_xattr(req->fuse->root, obj, name);
    unpin_target(req, node);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}
