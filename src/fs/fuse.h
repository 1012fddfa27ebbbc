/*
 * A FUSE server for one shared directory: decodes what a guest's kernel
 * sends, keeps the tables of inodes and handles, and asks the host layer
 * (host.h). It knows nothing of virtio: requests come through a table of
 * functions that move bytes.
 *
 * The guest's kernel is hostile. Whatever it sends, it reaches what lies in
 * the shared directory and nothing else; a wrong request gets an errno.
 *
 * Threads: hk_fuse_serve from any number of threads at once. Everything else
 * while nothing is being served.
 */
#ifndef HK_FS_FUSE_H
#define HK_FS_FUSE_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/iov.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_fs_root;
struct hk_fuse;

struct hk_fuse_config {
    bool read_only; /* every change fails with EROFS */
    /*
     * The guest may keep written data and times to itself for a while: fast,
     * but then it does not see what the host changes in a file it knows.
     */
    bool writeback;
    /* How long the guest may believe what it was told, in milliseconds: that
     * a name is this file, its attributes, that a name does not exist. 0
     * means the default, a second each. */
    uint32_t entry_ms;
    uint32_t attr_ms;
    uint32_t negative_ms;
    /* Inodes that the guest may know at once; 0: two million. */
    uint32_t max_nodes;
    /* Descriptors of the host that the share may hold, at least 32; 0: half
     * of what the process may have, at most 65536. */
    uint32_t max_descriptors;
    /* ioctl 0x7602 on any file: the workload's exit status. On the thread
     * that serves. May be NULL. */
    void (*exit_status)(void *opaque, uint32_t status);
    void *opaque;
};

/*
 * Takes ownership of `take_root`, also on failure; NULL for a share that holds
 * only what hk_fuse_add_file and hk_fuse_add_dir put there. -ENOMEM, and the
 * host's codes when the root cannot be reached. Starts no thread.
 */
int hk_fuse_create(struct hk_fs_root *take_root,
                   const struct hk_fuse_config *config,
                   struct hk_fuse **out) HK_MUST_CHECK;
void hk_fuse_destroy(struct hk_fuse *fuse); /* NULL is legal */

/*
 * A file that is only in memory: read-only, found by name, not listed. `path`
 * is relative to the share (one leading '/' is dropped); its parents are
 * directories of hk_fuse_add_dir. `data` is borrowed until destroy. A name in
 * the host's directory is hidden by it. `one_shot`: found by one lookup, then
 * gone. -EINVAL an empty or forbidden name, -ENOENT no such parent, -ENOTDIR,
 * -EEXIST, -ENOMEM. Before the first request.
 */
int hk_fuse_add_file(struct hk_fuse *fuse, const char *path, const void *data,
                     size_t size, uint32_t mode, bool one_shot) HK_MUST_CHECK;
/* An empty directory, to mount on or to put such files in. */
int hk_fuse_add_dir(struct hk_fuse *fuse, const char *path,
                    uint32_t mode) HK_MUST_CHECK;

/*
 * How a request's bytes are reached: a readable part, then a writable part,
 * each with a position. The functions mean what those of the same name in
 * virtio/virtq.h mean.
 */
struct hk_fuse_io_ops {
    uint64_t (*readable)(void *io); /* bytes in all */
    uint64_t (*writable)(void *io);
    size_t (*read)(void *io, void *to, size_t len);
    size_t (*write)(void *io, const void *from, size_t len);
    size_t (*write_at)(void *io, uint64_t at, const void *from, size_t len);
    size_t (*read_iov)(void *io, uint64_t len, struct hk_iov *iov, size_t max);
    size_t (*write_iov)(void *io, uint64_t len, struct hk_iov *iov, size_t max);
    void (*wrote)(void *io, const struct hk_iov *iov, size_t count);
};

/*
 * Serves one request to its end; may block on the host's files. Returns how
 * many bytes of the writable part are the reply; 0 when there is none.
 */
uint32_t hk_fuse_serve(struct hk_fuse *fuse, const struct hk_fuse_io_ops *ops,
                       void *io);

/* The guest went away: closes all that it had, as after create. One-shot
 * files that were found stay gone. */
void hk_fuse_reset(struct hk_fuse *fuse);

/* For tests: what is held. */
struct hk_fuse_count {
    uint32_t nodes;   /* inodes in the table, the root included */
    uint32_t loaded;  /* of these, with an open host object */
    uint32_t handles; /* open files and directories */
};
struct hk_fuse_count hk_fuse_counts(struct hk_fuse *fuse);

#endif
