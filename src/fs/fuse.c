/*
 * The FUSE server: takes a request apart, finds its operation, answers.
 *
 * Each operation has one line in the table below: the bytes of its fixed body
 * and of its fixed reply, so that a request that is too short, or a buffer
 * that could not take the reply, is refused before anything was done; and
 * whether it changes the share, which a read-only one refuses here, whatever
 * the guest's own mount flags say.
 */
#define HK_LOG_TAG "fs"
#include "fs/fuse_int.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_WRITE = 1 << 20,
    MAX_PAGES = 256,
    MAX_BACKGROUND = 1024,
    DEFAULT_VALID_MS = 1000,
    DEFAULT_NODES = 2 << 20,
    LEAST_DESCRIPTORS = 32,
    MOST_DESCRIPTORS = 65536,
    MOST_CACHED = 2048,
};

static int op_init(struct hk_fuse_req *req);
static int op_destroy(struct hk_fuse_req *req);
static int op_interrupt(struct hk_fuse_req *req);

struct op {
    int (*serve)(struct hk_fuse_req *req);
    uint16_t in;  /* fixed bytes after the header */
    uint16_t out; /* fixed bytes after the reply's header */
    bool changes; /* refused on a read-only share */
};

#define IN(name) sizeof(struct hk_fuse_##name##_in)
#define ENTRY sizeof(struct hk_fuse_entry_out)

static const struct op ops_table[HK_FUSE_OPCODES] = {
    [HK_FUSE_LOOKUP] = {hk_fuse_op_lookup, 1, ENTRY, false},
    [HK_FUSE_FORGET] = {hk_fuse_op_forget, IN(forget), 0, false},
    [HK_FUSE_GETATTR] = {hk_fuse_op_getattr, IN(getattr),
                         sizeof(struct hk_fuse_attr_out), false},
    [HK_FUSE_SETATTR] = {hk_fuse_op_setattr, IN(setattr),
                         sizeof(struct hk_fuse_attr_out), true},
    [HK_FUSE_READLINK] = {hk_fuse_op_readlink, 0, 0, false},
    [HK_FUSE_SYMLINK] = {hk_fuse_op_symlink, 2, ENTRY, true},
    [HK_FUSE_MKNOD] = {hk_fuse_op_mknod, IN(mknod), ENTRY, true},
    [HK_FUSE_MKDIR] = {hk_fuse_op_mkdir, IN(mkdir), ENTRY, true},
    [HK_FUSE_UNLINK] = {hk_fuse_op_unlink, 1, 0, true},
    [HK_FUSE_RMDIR] = {hk_fuse_op_rmdir, 1, 0, true},
    [HK_FUSE_RENAME] = {hk_fuse_op_rename, IN(rename), 0, true},
    [HK_FUSE_LINK] = {hk_fuse_op_link, IN(link), ENTRY, true},
    [HK_FUSE_OPEN] = {hk_fuse_op_open, IN(open),
                      sizeof(struct hk_fuse_open_out), false},
    [HK_FUSE_READ] = {hk_fuse_op_read, IN(read), 0, false},
    [HK_FUSE_WRITE] = {hk_fuse_op_write, IN(write),
                       sizeof(struct hk_fuse_write_out), true},
    [HK_FUSE_STATFS] = {hk_fuse_op_statfs, 0, sizeof(struct hk_fuse_statfs_out),
                        false},
    [HK_FUSE_RELEASE] = {hk_fuse_op_release, IN(release), 0, false},
    [HK_FUSE_FSYNC] = {hk_fuse_op_fsync, IN(fsync), 0, false},
    [HK_FUSE_SETXATTR] = {hk_fuse_op_setxattr, IN(setxattr), 0, true},
    [HK_FUSE_GETXATTR] = {hk_fuse_op_getxattr, IN(getxattr), 0, false},
    [HK_FUSE_LISTXATTR] = {hk_fuse_op_listxattr, IN(getxattr), 0, false},
    [HK_FUSE_REMOVEXATTR] = {hk_fuse_op_removexattr, 1, 0, true},
    [HK_FUSE_FLUSH] = {hk_fuse_op_flush, IN(flush), 0, false},
    [HK_FUSE_INIT] = {op_init, IN(init), sizeof(struct hk_fuse_init_out),
                      false},
    [HK_FUSE_OPENDIR] = {hk_fuse_op_opendir, IN(open),
                         sizeof(struct hk_fuse_open_out), false},
    [HK_FUSE_READDIR] = {hk_fuse_op_readdir, IN(read), 0, false},
    [HK_FUSE_RELEASEDIR] = {hk_fuse_op_releasedir, IN(release), 0, false},
    [HK_FUSE_FSYNCDIR] = {hk_fuse_op_fsyncdir, IN(fsync), 0, false},
    [HK_FUSE_ACCESS] = {hk_fuse_op_access, IN(access), 0, false},
    [HK_FUSE_CREATE] = {hk_fuse_op_create, IN(create),
                        ENTRY + sizeof(struct hk_fuse_open_out), true},
    [HK_FUSE_INTERRUPT] = {op_interrupt, 0, 0, false},
    [HK_FUSE_DESTROY] = {op_destroy, 0, 0, false},
    [HK_FUSE_IOCTL] = {hk_fuse_op_ioctl, IN(ioctl),
                       sizeof(struct hk_fuse_ioctl_out), false},
    [HK_FUSE_BATCH_FORGET] = {hk_fuse_op_batch_forget, IN(batch_forget), 0,
                              false},
    [HK_FUSE_FALLOCATE] = {hk_fuse_op_fallocate, IN(fallocate), 0, true},
    [HK_FUSE_READDIRPLUS] = {hk_fuse_op_readdirplus, IN(read), 0, false},
    [HK_FUSE_RENAME2] = {hk_fuse_op_rename2, IN(rename2), 0, true},
    [HK_FUSE_LSEEK] = {hk_fuse_op_lseek, IN(lseek),
                       sizeof(struct hk_fuse_lseek_out), false},
    [HK_FUSE_COPY_FILE_RANGE] = {hk_fuse_op_copy, IN(copy),
                                 sizeof(struct hk_fuse_write_out), true},
};

/* ------------------------------------------------------------------ */
/* Bodies and replies                                                 */

int hk_fuse_take(struct hk_fuse_req *req, void *to, size_t len)
{
    if (req->in_left < len || req->ops->read(req->io, to, len) != len)
        return -HK_EINVAL;
    req->in_left -= len;
    return 0;
}

int hk_fuse_take_text(struct hk_fuse_req *req, char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int rc = hk_fuse_take(req, &text[i], 1);

        if (rc < 0)
            return rc;
        if (text[i] == '\0')
            return 0;
    }
    return -HK_ENAMETOOLONG;
}

int hk_fuse_take_name(struct hk_fuse_req *req, char *name)
{
    int rc = hk_fuse_take_text(req, name, HK_FS_NAME_MAX + 1);

    return rc < 0 ? rc : hk_fs_name_check(name, strlen(name));
}

static void write_header(struct hk_fuse_req *req, size_t body, int error)
{
    struct hk_fuse_out_header out = {
        .len = (uint32_t)(sizeof(out) + body),
        .error = error,
        .unique = req->in.unique,
    };

    req->ops->write_at(req->io, 0, &out, sizeof(out));
    req->reply_len = out.len;
}

int hk_fuse_reply_begin(struct hk_fuse_req *req)
{
    struct hk_fuse_out_header empty = {.len = 0};

    return req->ops->write(req->io, &empty, sizeof(empty)) == sizeof(empty)
               ? 0
               : -HK_EIO;
}

void hk_fuse_reply_end(struct hk_fuse_req *req, size_t body)
{
    write_header(req, body, 0);
}

int hk_fuse_reply(struct hk_fuse_req *req, const void *body, size_t len)
{
    int rc;

    if (len > req->room)
        return -HK_EIO;
    rc = hk_fuse_reply_begin(req);
    if (rc < 0)
        return rc;
    if (len > 0 && req->ops->write(req->io, body, len) != len)
        return -HK_EIO;
    hk_fuse_reply_end(req, len);
    return 0;
}

/* ------------------------------------------------------------------ */
/* The life of a session                                              */

/* What we offer and the guest has. */
static uint32_t agreed(const struct hk_fuse *fuse, uint32_t theirs)
{
    uint32_t ours = HK_FUSE_ASYNC_READ | HK_FUSE_ATOMIC_O_TRUNC |
                    HK_FUSE_BIG_WRITES | HK_FUSE_HAS_IOCTL_DIR |
                    HK_FUSE_AUTO_INVAL_DATA | HK_FUSE_DO_READDIRPLUS |
                    HK_FUSE_READDIRPLUS_AUTO | HK_FUSE_ASYNC_DIO |
                    HK_FUSE_PARALLEL_DIROPS | HK_FUSE_MAX_PAGES |
                    HK_FUSE_CACHE_SYMLINKS | HK_FUSE_HANDLE_KILLPRIV_V2;

    if (fuse->config.writeback)
        ours |= HK_FUSE_WRITEBACK_CACHE;
    return ours & theirs;
}

static void forget_guest(struct hk_fuse *fuse)
{
    hk_fuse_handles_reset(fuse);
    hk_fuse_nodes_forget(fuse);
}

static int op_init(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    struct hk_fuse_init_in in;
    struct hk_fuse_init_out out = {
        .major = HK_FUSE_MAJOR,
        .minor = HK_FUSE_MINOR,
        .max_background = MAX_BACKGROUND,
        .congestion_threshold = MAX_BACKGROUND / 4 * 3,
        .max_write = MAX_WRITE,
        .time_gran = 1,
        .max_pages = MAX_PAGES,
    };
    int rc = hk_fuse_take(req, &in, sizeof(in));

    if (rc < 0)
        return rc;
    if (in.major < HK_FUSE_MAJOR ||
        (in.major == HK_FUSE_MAJOR && in.minor < HK_FUSE_MINOR_LEAST)) {
        HK_LOG_GUEST_W("the guest's FUSE %u.%u is too old", in.major, in.minor);
        return -HK_EPROTO;
    }
    if (in.major > HK_FUSE_MAJOR) /* it will try again with ours */
        return hk_fuse_reply(req, &out, sizeof(out));
    if (atomic_load(&fuse->ready))
        forget_guest(fuse);
    if (in.minor < out.minor)
        out.minor = in.minor;
    out.max_readahead = in.max_readahead;
    out.flags = agreed(fuse, in.flags);
    HK_LOG_D("FUSE %u.%u, flags %x of %x", out.major, out.minor, out.flags,
             in.flags);
    atomic_store(&fuse->ready, true);
    return hk_fuse_reply(req, &out, sizeof(out));
}

static int op_destroy(struct hk_fuse_req *req)
{
    atomic_store(&req->fuse->ready, false);
    forget_guest(req->fuse);
    return hk_fuse_reply(req, NULL, 0);
}

/* Nothing we do can be interrupted, and nothing waits for the guest. */
static int op_interrupt(struct hk_fuse_req *req)
{
    (void)req;
    return HK_FUSE_SILENT;
}

/* ------------------------------------------------------------------ */

static int dispatch(struct hk_fuse_req *req)
{
    struct hk_fuse *fuse = req->fuse;
    const struct op *op;

    if (req->in.opcode >= HK_FUSE_OPCODES ||
        ops_table[req->in.opcode].serve == NULL)
        return -HK_ENOSYS;
    op = &ops_table[req->in.opcode];
    if (req->in_left < op->in)
        return -HK_EINVAL;
    if (req->room < op->out)
        return -HK_EIO;
    if (!atomic_load(&fuse->ready) && req->in.opcode != HK_FUSE_INIT)
        return -HK_EIO;
    if (op->changes && fuse->config.read_only)
        return -HK_EROFS;
    return op->serve(req);
}

/* Those that the guest does not wait for, whatever it sent with them. */
static bool is_silent(uint32_t opcode)
{
    return opcode == HK_FUSE_FORGET || opcode == HK_FUSE_BATCH_FORGET ||
           opcode == HK_FUSE_INTERRUPT;
}

uint32_t hk_fuse_serve(struct hk_fuse *fuse, const struct hk_fuse_io_ops *ops,
                       void *io)
{
    struct hk_fuse_req req = {.fuse = fuse, .ops = ops, .io = io};
    uint64_t readable = ops->readable(io), writable = ops->writable(io);
    int rc;

    if (readable < sizeof(req.in) ||
        ops->read(io, &req.in, sizeof(req.in)) != sizeof(req.in))
        return 0;
    if (req.in.len < sizeof(req.in) || req.in.len > readable)
        rc = -HK_EINVAL;
    else if (writable < sizeof(struct hk_fuse_out_header) &&
             !is_silent(req.in.opcode))
        return 0;
    else {
        req.in_left = req.in.len - sizeof(req.in);
        if (writable >= sizeof(struct hk_fuse_out_header))
            req.room = writable - sizeof(struct hk_fuse_out_header);
        rc = dispatch(&req);
    }
    if (is_silent(req.in.opcode) ||
        writable < sizeof(struct hk_fuse_out_header))
        return 0;
    if (rc < 0)
        write_header(&req, 0, rc);
    return req.reply_len;
}

/* ------------------------------------------------------------------ */
/* The server                                                         */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void choose_limits(struct hk_fuse *fuse)
{
    struct hk_fuse_config *config = &fuse->config;
    uint32_t limit = hk_fs_descriptor_limit() / 2;

    config->entry_ms = or_default(config->entry_ms, DEFAULT_VALID_MS);
    config->attr_ms = or_default(config->attr_ms, DEFAULT_VALID_MS);
    config->negative_ms = or_default(config->negative_ms, DEFAULT_VALID_MS);
    config->max_nodes = or_default(config->max_nodes, DEFAULT_NODES);
    if (limit > MOST_DESCRIPTORS)
        limit = MOST_DESCRIPTORS;
    limit = or_default(config->max_descriptors, limit);
    if (limit < LEAST_DESCRIPTORS)
        limit = LEAST_DESCRIPTORS;
    fuse->descriptors = limit;
    fuse->cached = limit / 4 < MOST_CACHED ? limit / 4 : MOST_CACHED;
    /* Some are always left for inodes, or nothing could be reached. */
    fuse->handles.max = limit - limit / 8 - 8;
}

int hk_fuse_create(struct hk_fs_root *take_root,
                   const struct hk_fuse_config *config, struct hk_fuse **out)
{
    struct hk_fuse *fuse = calloc(1, sizeof(*fuse));
    int rc;

    if (fuse == NULL) {
        hk_fs_root_close(take_root);
        return -HK_ENOMEM;
    }
    fuse->root = take_root;
    fuse->config = *config;
    choose_limits(fuse);
    rc = hk_overlay_create(&fuse->overlay);
    if (rc == 0 && uv_mutex_init(&fuse->lock) != 0)
        rc = -HK_ENOMEM;
    if (rc == 0) {
        fuse->lock_made = true;
        rc = hk_fuse_nodes_init(fuse);
    }
    if (rc < 0) {
        hk_fuse_destroy(fuse);
        return rc;
    }
    *out = fuse;
    return 0;
}

void hk_fuse_destroy(struct hk_fuse *fuse)
{
    if (fuse == NULL)
        return;
    hk_fuse_handles_fini(fuse);
    hk_fuse_nodes_fini(fuse);
    hk_overlay_destroy(fuse->overlay);
    hk_fs_root_close(fuse->root);
    if (fuse->lock_made)
        uv_mutex_destroy(&fuse->lock);
    free(fuse);
}

void hk_fuse_reset(struct hk_fuse *fuse)
{
    atomic_store(&fuse->ready, false);
    hk_fuse_handles_reset(fuse);
    hk_fuse_nodes_reset(fuse);
}

void hk_fs_root_close(struct hk_fs_root *root)
{
    if (root != NULL)
        root->ops->close_root(root);
}

static int add_virtual(struct hk_fuse *fuse, const char *path,
                       const struct hk_overlay_entry *entry)
{
    hk_assert(!atomic_load(&fuse->ready));
    return hk_overlay_add(fuse->overlay, path, entry);
}

int hk_fuse_add_file(struct hk_fuse *fuse, const char *path, const void *data,
                     size_t size, uint32_t mode, bool one_shot)
{
    struct hk_overlay_entry entry = {
        .data = data,
        .size = size,
        .mode = HK_S_IFREG | (mode & 07777),
        .one_shot = one_shot,
    };

    if (data == NULL && size != 0)
        return -HK_EINVAL;
    return add_virtual(fuse, path, &entry);
}

int hk_fuse_add_dir(struct hk_fuse *fuse, const char *path, uint32_t mode)
{
    struct hk_overlay_entry entry = {.mode = HK_S_IFDIR | (mode & 07777)};

    return add_virtual(fuse, path, &entry);
}

struct hk_fuse_count hk_fuse_counts(struct hk_fuse *fuse)
{
    struct hk_fuse_count count;

    uv_mutex_lock(&fuse->lock);
    count.nodes = fuse->nodes.count;
    count.loaded = fuse->nodes.loaded;
    count.handles = fuse->handles.count;
    uv_mutex_unlock(&fuse->lock);
    return count;
}
