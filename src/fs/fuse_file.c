/*
 * FUSE: open files. Reads and writes go straight between the file and the
 * guest's buffers, in batches of pieces, without a buffer of ours.
 */
#define HK_LOG_TAG "fs"
#include "fs/fuse_int.h"

#include "base/log.h"

#include <string.h>

enum {
    BATCH = 260, /* pieces at once: a request of 256 pages in one go */
    COPY_MAX = 64 << 20,
    IOCTL_EXIT = 0x7602,
};

uint32_t hk_fuse_open_flags(uint32_t linux_flags)
{
    static const uint32_t access[] = {HK_FS_READ, HK_FS_WRITE,
                                      HK_FS_READ | HK_FS_WRITE, 0};
    uint32_t flags = access[linux_flags & HK_O_ACCMODE];

    if ((linux_flags & HK_O_TRUNC) != 0)
        flags |= HK_FS_TRUNCATE;
    if ((linux_flags & HK_O_SYNC) == HK_O_SYNC)
        flags |= HK_FS_SYNC;
    else if ((linux_flags & HK_O_DSYNC) != 0)
        flags |= HK_FS_DSYNC;
    return flags;
}

/* ------------------------------------------------------------------ */
/* Open and release                                                   */

static int open_host(struct hk_fuse *fuse, struct hk_fuse_node *node,
                     uint32_t flags, struct hk_fs_file **file)
{
    const struct hk_fs_ops *ops = fuse->root->ops;
    struct hk_fs_node *obj;
    int rc = hk_fuse_node_pin(fuse, node, &obj);

    if (rc < 0)
        return rc;
    rc = hk_fuse_make_room(fuse, false);
    if (rc == 0)
        rc = ops->open(fuse->root, obj, flags, file);
    if (rc == -HK_EMFILE && hk_fuse_make_room(fuse, true) == 0)
        rc = ops->open(fuse->root, obj, flags, file);
    hk_fuse_node_unpin(fuse, node);
    return rc;
}

/*
 * The guest may keep the data that it read before when neither size nor change
 * time moved since: what programs and libraries that are started again and
 * again live on.
 */
static bool can_keep_cache(struct hk_fuse *fuse, struct hk_fuse_node *node,
                           struct hk_fs_file *file)
{
    struct hk_fs_attr attr;

    if (node->is_virtual)
        return true;
    return fuse->root->ops->getattr(fuse->root, NULL, file, &attr) == 0 &&
           hk_fuse_node_stamp(fuse, node, &attr);
}

/* A FLUSH at each close is asked for only where it can tell something. */
uint32_t hk_fuse_reply_flags(struct hk_fuse *fuse, uint32_t linux_flags)
{
    uint32_t flags = 0;

    if ((linux_flags & HK_O_DIRECT) != 0)
        flags |= HK_FOPEN_DIRECT_IO;
    if ((linux_flags & HK_O_ACCMODE) == 0 || fuse->root == NULL ||
        !fuse->root->late_errors)
        flags |= HK_FOPEN_NOFLUSH;
    return flags;
}

static int open_node(struct hk_fuse_req *req, struct hk_fuse_node *node,
                     const struct hk_fuse_open_in *in,
                     struct hk_fuse_open_out *out)
{
    struct hk_fuse *fuse = req->fuse;
    uint32_t flags = hk_fuse_open_flags(in->flags);
    bool changes = (flags & (HK_FS_WRITE | HK_FS_TRUNCATE)) != 0;
    struct hk_fs_file *file = NULL;
    int rc = 0;

    if (node->type != HK_S_IFREG)
        return node->type == HK_S_IFDIR ? -HK_EISDIR : -HK_ENXIO;
    if ((flags & (HK_FS_READ | HK_FS_WRITE)) == 0)
        return -HK_EINVAL;
    if (changes && fuse->config.read_only)
        return -HK_EROFS;
    if (changes && node->is_virtual)
        return -HK_EACCES;
    if (!node->is_virtual)
        rc = open_host(fuse, node, flags, &file);
    if (rc == 0 && (flags & HK_FS_TRUNCATE) != 0 &&
        (in->open_flags & HK_FUSE_OPEN_KILL_SUIDGID) != 0) {
        const struct hk_fs_set set = {.flags = HK_FS_SET_KILL_PRIV};

        rc = fuse->root->ops->setattr(fuse->root, NULL, file, &set);
    }
    out->open_flags = hk_fuse_reply_flags(fuse, in->flags);
    if (rc == 0 && can_keep_cache(fuse, node, file))
        out->open_flags |= HK_FOPEN_KEEP_CACHE;
    if (rc == 0)
        rc = hk_fuse_handle_add(fuse, node, file, NULL, flags, &out->fh);
    if (rc < 0 && file != NULL)
        fuse->root->ops->close(fuse->root, file);
    return rc;
}

int hk_fuse_op_open(struct hk_fuse_req *req)
{
    struct hk_fuse_open_in in;
    struct hk_fuse_open_out out = {.fh = 0};
    struct hk_fuse_node *node;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_node_get(req->fuse, req->in.nodeid, &node);
    if (rc < 0)
        return rc;
    rc = open_node(req, node, &in, &out);
    if (rc < 0) {
        hk_fuse_node_put(req->fuse, node);
        return rc;
    }
    return hk_fuse_reply(req, &out, sizeof(out));
}

/* What the guest wrote is in its cache too: no reason to read it again. */
static void stamp_written(struct hk_fuse *fuse, uint64_t fh, uint64_t nodeid)
{
    struct hk_fuse_handle *handle;
    struct hk_fs_attr attr;

    if (hk_fuse_handle_get(fuse, fh, nodeid, false, &handle) < 0)
        return;
    if (handle->file != NULL && (handle->flags & HK_FS_WRITE) != 0 &&
        fuse->root->ops->getattr(fuse->root, NULL, handle->file, &attr) == 0)
        (void)hk_fuse_node_stamp(fuse, handle->node, &attr);
    hk_fuse_handle_put(fuse, handle);
}

int hk_fuse_op_release(struct hk_fuse_req *req)
{
    struct hk_fuse_release_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0) {
        stamp_written(req->fuse, in.fh, req->in.nodeid);
        rc = hk_fuse_handle_release(req->fuse, in.fh, req->in.nodeid, false);
    }
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

/* ------------------------------------------------------------------ */
/* Read and write                                                     */

static size_t iov_sum(const struct hk_iov *iov, size_t count)
{
    size_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += iov[i].len;
    return sum;
}

static int64_t read_virtual(struct hk_fuse_req *req,
                            const struct hk_overlay_entry *entry,
                            uint64_t offset, uint64_t len)
{
    if (offset >= entry->size)
        return 0;
    if (len > entry->size - offset)
        len = entry->size - offset;
    return (int64_t)req->ops->write(req->io, entry->data + offset, len);
}

static int64_t read_host(struct hk_fuse_req *req, struct hk_fs_file *file,
                         uint64_t offset, uint64_t len)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_iov iov[BATCH];
    uint64_t done = 0;

    while (done < len) {
        size_t count =
            req->ops->write_iov(req->io, len - done, iov, HK_COUNT(iov));
        size_t asked = iov_sum(iov, count);
        int64_t got;

        if (asked == 0)
            break;
        got =
            fuse->root->ops->readv(fuse->root, file, iov, count, offset + done);
        if (got < 0)
            return done > 0 ? (int64_t)done : got;
        req->ops->wrote(req->io, iov, count);
        done += (uint64_t)got;
        if ((size_t)got < asked)
            break;
    }
    return (int64_t)done;
}

/* Offsets are signed on the host. */
static bool is_range(uint64_t offset, uint64_t len)
{
    return offset <= INT64_MAX && len <= INT64_MAX - offset;
}

int hk_fuse_op_read(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *handle;
    struct hk_fuse_read_in in;
    uint64_t len;
    int64_t got;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_get(fuse, in.fh, req->in.nodeid, false, &handle);
    if (rc < 0)
        return rc;
    len = in.size < req->room ? in.size : req->room;
    if ((handle->flags & HK_FS_READ) == 0)
        rc = -HK_EBADF;
    else if (!is_range(in.offset, len))
        rc = -HK_EINVAL;
    else
        rc = hk_fuse_reply_begin(req);
    if (rc == 0) {
        got = handle->node->is_virtual
                  ? read_virtual(req, handle->node->virt, in.offset, len)
                  : read_host(req, handle->file, in.offset, len);
        if (got < 0)
            rc = (int)got;
        else
            hk_fuse_reply_end(req, (size_t)got);
    }
    hk_fuse_handle_put(fuse, handle);
    return rc;
}

static int64_t write_host(struct hk_fuse_req *req, struct hk_fs_file *file,
                          const struct hk_fuse_write_in *in)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_iov iov[BATCH];
    /* A page that is written back goes to its own place, whatever the file
     * that carries it was opened for. */
    bool append = (in->flags & HK_O_APPEND) != 0 &&
                  (in->write_flags & HK_FUSE_WRITE_CACHE) == 0;
    uint64_t done = 0;

    while (done < in->size) {
        size_t count =
            req->ops->read_iov(req->io, in->size - done, iov, HK_COUNT(iov));
        size_t asked = iov_sum(iov, count);
        int64_t put;

        if (asked == 0)
            break;
        put = fuse->root->ops->writev(fuse->root, file, iov, count,
                                      in->offset + done, append);
        if (put < 0)
            return done > 0 ? (int64_t)done : put;
        done += (uint64_t)put;
        if ((size_t)put < asked)
            break;
    }
    return (int64_t)done;
}

static int write_file(struct hk_fuse_req *req, struct hk_fuse_handle *handle,
                      const struct hk_fuse_write_in *in, uint32_t *size)
{
    const struct hk_fs_set kill = {.flags = HK_FS_SET_KILL_PRIV};
    struct hk_fuse *fuse = req->fuse;
    int64_t put;
    int rc;

    if (in->size > req->in_left || !is_range(in->offset, in->size))
        return -HK_EINVAL;
    if (handle->file == NULL || (handle->flags & HK_FS_WRITE) == 0)
        return -HK_EBADF;
    if ((in->write_flags & HK_FUSE_WRITE_KILL_SUIDGID) != 0) {
        rc = fuse->root->ops->setattr(fuse->root, NULL, handle->file, &kill);
        if (rc < 0)
            return rc;
    }
    put = write_host(req, handle->file, in);
    if (put < 0)
        return (int)put;
    *size = (uint32_t)put;
    return 0;
}

int hk_fuse_op_write(struct hk_fuse_req *req)
{
    struct hk_fuse_handle *handle;
    struct hk_fuse_write_in in;
    struct hk_fuse_write_out out = {.size = 0};
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_get(req->fuse, in.fh, req->in.nodeid, false,
                                &handle);
    if (rc < 0)
        return rc;
    rc = write_file(req, handle, &in, &out.size);
    hk_fuse_handle_put(req->fuse, handle);
    return rc < 0 ? rc : hk_fuse_reply(req, &out, sizeof(out));
}

/* ------------------------------------------------------------------ */
/* The rest                                                           */

int hk_fuse_op_flush(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *handle;
    struct hk_fuse_flush_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_get(fuse, in.fh, req->in.nodeid, false, &handle);
    if (rc < 0)
        return rc;
    if (handle->file != NULL && (handle->flags & HK_FS_WRITE) != 0)
        rc = fuse->root->ops->flush(fuse->root, handle->file);
    hk_fuse_handle_put(fuse, handle);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

int hk_fuse_op_fsync(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *handle;
    struct hk_fuse_fsync_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_get(fuse, in.fh, req->in.nodeid, false, &handle);
    if (rc < 0)
        return rc;
    if (handle->file != NULL && !fuse->config.read_only)
        rc = fuse->root->ops->fsync(fuse->root, handle->file,
                                    (in.fsync_flags & HK_FUSE_FSYNC_DATA) != 0);
    hk_fuse_handle_put(fuse, handle);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

static int allocate(struct hk_fuse *fuse, struct hk_fuse_handle *handle,
                    const struct hk_fuse_fallocate_in *in)
{
    const uint32_t known =
        HK_FS_KEEP_SIZE | HK_FS_PUNCH_HOLE | HK_FS_ZERO_RANGE;

    if (handle->file == NULL || (handle->flags & HK_FS_WRITE) == 0)
        return -HK_EBADF;
    if ((in->mode & ~known) != 0)
        return -HK_ENOTSUP;
    if (in->length == 0 || in->offset > INT64_MAX)
        return -HK_EINVAL;
    if (!is_range(in->offset, in->length))
        return -HK_EFBIG;
    return fuse->root->ops->fallocate(fuse->root, handle->file, in->mode,
                                      in->offset, in->length);
}

int hk_fuse_op_fallocate(struct hk_fuse_req *req)
{
    struct hk_fuse_handle *handle;
    struct hk_fuse_fallocate_in in;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_get(req->fuse, in.fh, req->in.nodeid, false,
                                &handle);
    if (rc < 0)
        return rc;
    rc = allocate(req->fuse, handle, &in);
    hk_fuse_handle_put(req->fuse, handle);
    return rc < 0 ? rc : hk_fuse_reply(req, NULL, 0);
}

/* A file in memory has data up to its end and a hole there. */
static int64_t seek_virtual(const struct hk_overlay_entry *entry,
                            const struct hk_fuse_lseek_in *in)
{
    switch (in->whence) {
    case HK_FS_SEEK_SET:
    case HK_FS_SEEK_CUR:
        return (int64_t)in->offset;
    case HK_FS_SEEK_END:
        return (int64_t)(entry->size + in->offset);
    case HK_FS_SEEK_DATA:
        return in->offset < entry->size ? (int64_t)in->offset : -HK_ENXIO;
    default:
        return in->offset < entry->size ? (int64_t)entry->size : -HK_ENXIO;
    }
}

int hk_fuse_op_lseek(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *handle;
    struct hk_fuse_lseek_in in;
    struct hk_fuse_lseek_out out;
    int64_t at;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0 && (in.whence > HK_FS_SEEK_HOLE || in.offset > INT64_MAX))
        rc = -HK_EINVAL;
    if (rc == 0)
        rc = hk_fuse_handle_get(fuse, in.fh, req->in.nodeid, false, &handle);
    if (rc < 0)
        return rc;
    at = handle->file == NULL
             ? seek_virtual(handle->node->virt, &in)
             : fuse->root->ops->seek(fuse->root, handle->file, in.offset,
                                     (enum hk_fs_seek)in.whence);
    hk_fuse_handle_put(fuse, handle);
    out.offset = (uint64_t)at;
    return at < 0 ? (int)at : hk_fuse_reply(req, &out, sizeof(out));
}

static int64_t copy(struct hk_fuse *fuse, struct hk_fuse_handle *from,
                    struct hk_fuse_handle *to, const struct hk_fuse_copy_in *in)
{
    uint64_t len = in->len < COPY_MAX ? in->len : COPY_MAX;

    if (from->file == NULL || to->file == NULL)
        return -HK_EXDEV;
    if ((from->flags & HK_FS_READ) == 0 || (to->flags & HK_FS_WRITE) == 0)
        return -HK_EBADF;
    if (in->flags != 0 || !is_range(in->off_in, len) ||
        !is_range(in->off_out, len))
        return -HK_EINVAL;
    return fuse->root->ops->copy(fuse->root, from->file, in->off_in, to->file,
                                 in->off_out, len);
}

int hk_fuse_op_copy(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_handle *from, *to;
    struct hk_fuse_copy_in in;
    struct hk_fuse_write_out out = {.size = 0};
    int64_t done;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_handle_get(fuse, in.fh_in, req->in.nodeid, false, &from);
    if (rc < 0)
        return rc;
    rc = hk_fuse_handle_get(fuse, in.fh_out, in.nodeid_out, false, &to);
    if (rc == 0) {
        done = copy(fuse, from, to, &in);
        rc = done < 0 ? (int)done : 0;
        out.size = (uint32_t)done;
        hk_fuse_handle_put(fuse, to);
    }
    hk_fuse_handle_put(fuse, from);
    return rc < 0 ? rc : hk_fuse_reply(req, &out, sizeof(out));
}

int hk_fuse_op_ioctl(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_ioctl_in in;
    struct hk_fuse_ioctl_out out = {.result = 0};
    struct hk_fuse_node *node;
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc == 0)
        rc = hk_fuse_node_get(fuse, req->in.nodeid, &node);
    if (rc < 0)
        return rc;
    hk_fuse_node_put(fuse, node);
    if (in.cmd != IOCTL_EXIT)
        return -HK_ENOTTY;
    HK_LOG_D("the workload ended with status %u", (uint32_t)in.arg);
    if (fuse->config.exit_status != NULL)
        fuse->config.exit_status(fuse->config.opaque, (uint32_t)in.arg);
    return hk_fuse_reply(req, &out, sizeof(out));
}
