/*
 * What the files of the FUSE server share. The essay on inodes is in node.c.
 */
#ifndef HK_FS_FUSE_INT_H
#define HK_FS_FUSE_INT_H

#include "fs/fuse.h"
#include "fs/fuse_abi.h"
#include "fs/host.h"
#include "fs/name.h"
#include "fs/overlay.h"

#include <stdatomic.h>
#include <uv.h>

/* Inode numbers of virtual files lie on a file system of their own. */
#define HK_FUSE_VIRTUAL_DEV UINT64_MAX

/* ------------------------------------------------------------------ */
/* Inodes: node.c. All fields but id, virt and is_virtual under the lock. */

struct hk_fuse_node {
    uint64_t id;      /* generation << 32 | index */
    uint64_t nlookup; /* how often the guest was told of it */
    uint32_t refs;    /* requests, handles and children in the table */
    uint32_t pins;    /* of refs, those that use obj now */
    bool used;        /* the slot holds an inode */
    bool hashed;
    bool in_lru;
    bool anchored; /* its name is gone: obj must stay */
    bool is_virtual;
    bool stamped; /* size and ctime are those of the guest's cached data */
    uint32_t type;
    uint64_t dev;
    uint64_t ino;
    uint64_t birth;
    uint64_t stamp_size;
    struct hk_fs_time stamp_ctime;
    struct hk_fs_node *obj;      /* NULL: not open at present */
    struct hk_fuse_node *parent; /* counted; NULL for the root */
    char *name;                  /* in parent */
    struct hk_fuse_node *chain;  /* same bucket, or free slots */
    struct hk_fuse_node *older;
    struct hk_fuse_node *newer;
    struct hk_overlay_entry *virt; /* what is virtual there or below it */
};

struct hk_fuse_nodes {
    struct hk_fuse_node **chunks; /* HK_FUSE_CHUNK slots each */
    uint32_t chunks_max;
    uint32_t slots; /* in use or free, all chunks */
    uint32_t max;
    struct hk_fuse_node *free;
    struct hk_fuse_node **buckets;
    uint32_t bucket_count; /* power of two */
    uint32_t count;
    uint32_t loaded;
    struct hk_fuse_node *oldest; /* least recently used with an obj */
    struct hk_fuse_node *newest;
    struct hk_fuse_node *root;
};

enum { HK_FUSE_CHUNK = 512 };

int hk_fuse_nodes_init(struct hk_fuse *fuse) HK_MUST_CHECK;
void hk_fuse_nodes_fini(struct hk_fuse *fuse);
/* The guest forgets everything; what a request still uses goes with it. */
void hk_fuse_nodes_forget(struct hk_fuse *fuse);
/* The same while there is no request: nothing but the root is left. */
void hk_fuse_nodes_reset(struct hk_fuse *fuse);

/* The inode of a number from the guest, counted. -ENOENT. */
int hk_fuse_node_get(struct hk_fuse *fuse, uint64_t id,
                     struct hk_fuse_node **out) HK_MUST_CHECK;
void hk_fuse_node_put(struct hk_fuse *fuse, struct hk_fuse_node *node);

/*
 * The host's object of a counted inode that is not virtual; it stays open
 * until unpin. -ESTALE when it is not found again where it was, -ENFILE when
 * no descriptor is left for it.
 */
int hk_fuse_node_pin(struct hk_fuse *fuse, struct hk_fuse_node *node,
                     struct hk_fs_node **obj) HK_MUST_CHECK;
void hk_fuse_node_unpin(struct hk_fuse *fuse, struct hk_fuse_node *node);

/*
 * The inode for what the host found as `name` in `parent`: a known one or a
 * new one, counted, and told to the guest once more. -ENFILE the table is
 * full, -ENOMEM.
 */
int hk_fuse_node_enter(struct hk_fuse *fuse, struct hk_fuse_node *parent,
                       const char *name, const struct hk_fs_attr *attr,
                       struct hk_fuse_node **out) HK_MUST_CHECK;
int hk_fuse_node_enter_virtual(struct hk_fuse *fuse,
                               struct hk_fuse_node *parent,
                               struct hk_overlay_entry *entry,
                               struct hk_fuse_node **out) HK_MUST_CHECK;

/* The inode for it if the guest knows one, counted; else NULL. */
struct hk_fuse_node *hk_fuse_node_peek(struct hk_fuse *fuse,
                                       const struct hk_fs_attr *attr);

/* The guest forgets `count` of the times it was told. Unknown: ignored. */
void hk_fuse_node_forget(struct hk_fuse *fuse, uint64_t id, uint64_t count);

/* The inode's name is now this one. Keeps the old one when out of memory. */
void hk_fuse_node_moved(struct hk_fuse *fuse, struct hk_fuse_node *node,
                        struct hk_fuse_node *parent, const char *name);
/* This name of a pinned inode is gone. */
void hk_fuse_node_removed(struct hk_fuse *fuse, struct hk_fuse_node *node,
                          struct hk_fuse_node *parent, const char *name);

/*
 * Whether the guest's cached data of the file are still what the host has, as
 * far as size and change time tell; the new ones are remembered.
 */
bool hk_fuse_node_stamp(struct hk_fuse *fuse, struct hk_fuse_node *node,
                        const struct hk_fs_attr *attr);

/* Before a descriptor is opened for something else; `all`: after the host
 * said that there is none left. */
int hk_fuse_make_room(struct hk_fuse *fuse, bool all) HK_MUST_CHECK;

/* ------------------------------------------------------------------ */
/* Open files and directories: handle.c                               */

struct hk_fuse_handle {
    uint64_t id;
    uint32_t refs;
    uint32_t flags; /* HK_FS_READ, HK_FS_WRITE */
    bool is_dir;
    struct hk_fuse_node *node;
    struct hk_fs_file *file; /* NULL: virtual */
    struct hk_fs_dir *dir;
    uv_mutex_t listing; /* one reader of dir at a time */
};

struct hk_fuse_handles {
    struct hk_fuse_handle **slots;
    uint32_t *generations;
    uint32_t size;
    uint32_t count;
    uint32_t max;
    uint32_t hint; /* where to look for a free slot */
};

void hk_fuse_handles_fini(struct hk_fuse *fuse);
void hk_fuse_handles_reset(struct hk_fuse *fuse);

/*
 * Makes a handle on a counted node, whose count it takes over on success
 * only; `file` or `dir` too. -ENFILE, -ENOMEM.
 */
int hk_fuse_handle_add(struct hk_fuse *fuse, struct hk_fuse_node *node,
                       struct hk_fs_file *file, struct hk_fs_dir *dir,
                       uint32_t flags, uint64_t *id) HK_MUST_CHECK;
/* -EBADF unless it is open, of that kind, and of that inode. */
int hk_fuse_handle_get(struct hk_fuse *fuse, uint64_t id, uint64_t nodeid,
                       bool is_dir, struct hk_fuse_handle **out) HK_MUST_CHECK;
void hk_fuse_handle_put(struct hk_fuse *fuse, struct hk_fuse_handle *handle);
/* The guest closes it; gone with the last user. */
int hk_fuse_handle_release(struct hk_fuse *fuse, uint64_t id, uint64_t nodeid,
                           bool is_dir) HK_MUST_CHECK;

/* ------------------------------------------------------------------ */

struct hk_fuse {
    struct hk_fs_root *root; /* NULL: virtual only */
    struct hk_fuse_config config;
    struct hk_overlay *overlay;
    uint64_t root_dev;
    uint32_t descriptors; /* max_descriptors, made definite */
    uint32_t cached;      /* of these, inodes kept open that nobody uses */
    atomic_bool ready;    /* INIT was seen */
    uv_mutex_t lock;      /* nodes and handles; never across a host call
                             that may block */
    bool lock_made;
    struct hk_fuse_nodes nodes;
    struct hk_fuse_handles handles;
};

/* One request while it is served. */
struct hk_fuse_req {
    struct hk_fuse *fuse;
    const struct hk_fuse_io_ops *ops;
    void *io;
    struct hk_fuse_in_header in;
    uint64_t in_left;   /* bytes of the request's own length not yet read */
    uint64_t room;      /* writable bytes after the reply's header */
    uint32_t reply_len; /* set once a reply was written */
};

/* Reads exactly `len` bytes of the body, or gives -EINVAL. */
int hk_fuse_take(struct hk_fuse_req *req, void *to, size_t len) HK_MUST_CHECK;
/* Reads a name with its NUL and checks it; `name` has HK_FS_NAME_MAX + 1
 * bytes. */
int hk_fuse_take_name(struct hk_fuse_req *req, char *name) HK_MUST_CHECK;
/* The same for any text; `size` counts the NUL, -ENAMETOOLONG above. */
int hk_fuse_take_text(struct hk_fuse_req *req, char *text,
                      size_t size) HK_MUST_CHECK;

/* Each returns 0 or -EIO when it does not fit. */
int hk_fuse_reply(struct hk_fuse_req *req, const void *body,
                  size_t len) HK_MUST_CHECK;
/* For a reply whose body is written piece by piece: room for the header now,
 * its contents at the end. */
int hk_fuse_reply_begin(struct hk_fuse_req *req) HK_MUST_CHECK;
void hk_fuse_reply_end(struct hk_fuse_req *req, size_t body);

void hk_fuse_fill_attr(struct hk_fuse *fuse, const struct hk_fs_attr *attr,
                       struct hk_fuse_attr *out);
void hk_fuse_fill_entry(struct hk_fuse *fuse, const struct hk_fuse_node *node,
                        const struct hk_fs_attr *attr,
                        struct hk_fuse_entry_out *out);
void hk_fuse_virtual_attr(struct hk_fuse *fuse,
                          const struct hk_overlay_entry *entry,
                          struct hk_fs_attr *out);
/* A file's number for the guest: different for each (dev, ino). */
uint64_t hk_fuse_ino(const struct hk_fuse *fuse, uint64_t dev, uint64_t ino);

/* A virtual entry of that name hides what the host has. */
bool hk_fuse_is_virtual_name(struct hk_fuse *fuse, struct hk_fuse_node *dir,
                             const char *name);
/* LOOKUP without the protocol: the inode counted and told to the guest. */
int hk_fuse_find(struct hk_fuse *fuse, struct hk_fuse_node *dir,
                 const char *name, struct hk_fs_attr *attr,
                 struct hk_fuse_node **out) HK_MUST_CHECK;
uint32_t hk_fuse_open_flags(uint32_t linux_flags);
/* HK_FOPEN_* for a file opened with these. */
uint32_t hk_fuse_reply_flags(struct hk_fuse *fuse, uint32_t linux_flags);

/* The operations; each replies or returns a negative code. */
int hk_fuse_op_lookup(struct hk_fuse_req *req);
int hk_fuse_op_forget(struct hk_fuse_req *req);
int hk_fuse_op_batch_forget(struct hk_fuse_req *req);
int hk_fuse_op_getattr(struct hk_fuse_req *req);
int hk_fuse_op_setattr(struct hk_fuse_req *req);
int hk_fuse_op_readlink(struct hk_fuse_req *req);
int hk_fuse_op_statfs(struct hk_fuse_req *req);
int hk_fuse_op_access(struct hk_fuse_req *req);
int hk_fuse_op_symlink(struct hk_fuse_req *req);
int hk_fuse_op_mknod(struct hk_fuse_req *req);
int hk_fuse_op_mkdir(struct hk_fuse_req *req);
int hk_fuse_op_unlink(struct hk_fuse_req *req);
int hk_fuse_op_rmdir(struct hk_fuse_req *req);
int hk_fuse_op_rename(struct hk_fuse_req *req);
int hk_fuse_op_rename2(struct hk_fuse_req *req);
int hk_fuse_op_link(struct hk_fuse_req *req);
int hk_fuse_op_create(struct hk_fuse_req *req);
int hk_fuse_op_open(struct hk_fuse_req *req);
int hk_fuse_op_read(struct hk_fuse_req *req);
int hk_fuse_op_write(struct hk_fuse_req *req);
int hk_fuse_op_release(struct hk_fuse_req *req);
int hk_fuse_op_flush(struct hk_fuse_req *req);
int hk_fuse_op_fsync(struct hk_fuse_req *req);
int hk_fuse_op_fallocate(struct hk_fuse_req *req);
int hk_fuse_op_lseek(struct hk_fuse_req *req);
int hk_fuse_op_copy(struct hk_fuse_req *req);
int hk_fuse_op_ioctl(struct hk_fuse_req *req);
int hk_fuse_op_opendir(struct hk_fuse_req *req);
int hk_fuse_op_readdir(struct hk_fuse_req *req);
int hk_fuse_op_readdirplus(struct hk_fuse_req *req);
int hk_fuse_op_releasedir(struct hk_fuse_req *req);
int hk_fuse_op_fsyncdir(struct hk_fuse_req *req);
int hk_fuse_op_setxattr(struct hk_fuse_req *req);
int hk_fuse_op_getxattr(struct hk_fuse_req *req);
int hk_fuse_op_listxattr(struct hk_fuse_req *req);
int hk_fuse_op_removexattr(struct hk_fuse_req *req);

/* Returned by an operation that has no reply. */
enum { HK_FUSE_SILENT = 1 };

#endif
