/*
 * A FUSE client for tests: says what a guest's kernel says, request by
 * request, and takes what comes back apart. It has no cache and no opinion:
 * hostile cases send their own bytes with fuse_send.
 *
 * It talks to a server in memory (fuse_client_direct) or to a virtio device
 * through the fake guest driver (fuse_client_gdrv).
 *
 * Functions return 0 or a count, or the server's negative errno; FUSE_NOTHING
 * when there was no reply.
 */
#ifndef FUSE_CLIENT_H
#define FUSE_CLIENT_H

#include "fs/fuse.h"
#include "fs/fuse_abi.h"
#include "gdrv.h"
#include "hk_test.h"

enum { FUSE_NOTHING = -100000, FUSE_REPLY_MAX = 1 << 21 };

struct fuse_client {
    struct hk_fuse *fuse; /* direct */
    struct gdrv *g;       /* or by virtio */
    uint64_t unique;
    uint32_t uid;
    uint32_t gid;
    uint8_t *request; /* the last one */
    uint8_t *reply;   /* its whole reply */
    uint32_t reply_len;
    uint32_t room; /* writable bytes offered, header included */
    /* Of the last direct request: bytes copied, and bytes handed out where
     * they lie. */
    size_t copied;
    size_t lent;
};

void fuse_client_direct(struct fuse_client *c, struct hk_fuse *fuse);
void fuse_client_gdrv(struct fuse_client *c, struct gdrv *g);
void fuse_client_fini(struct fuse_client *c);

/* Sends `len` bytes as they are and offers c->room bytes; returns the length
 * of the reply. */
uint32_t fuse_send(struct fuse_client *c, const void *bytes, size_t len);

/*
 * Header, body and `extra` (names, data) in one; copies up to `out_len` bytes
 * of the reply's body to `out`. Returns the length of the body.
 */
int fuse_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid,
              const void *body, size_t body_len, const void *extra,
              size_t extra_len, void *out, size_t out_len);

/* INIT with all flags of a recent kernel; asserts. */
void fuse_init(struct fuse_client *c);

int fuse_lookup(struct fuse_client *c, uint64_t dir, const char *name,
                struct hk_fuse_entry_out *out);
/* The nodeid of a path of names below the root; asserts that it is there. */
uint64_t fuse_walk(struct fuse_client *c, const char *path);
int fuse_forget(struct fuse_client *c, uint64_t node, uint64_t count);
int fuse_getattr(struct fuse_client *c, uint64_t node,
                 struct hk_fuse_attr *out);
int fuse_setattr(struct fuse_client *c, uint64_t node,
                 const struct hk_fuse_setattr_in *in, struct hk_fuse_attr *out);
int fuse_chmod(struct fuse_client *c, uint64_t node, uint32_t mode);
int fuse_chown(struct fuse_client *c, uint64_t node, uint32_t uid,
               uint32_t gid);
int fuse_truncate(struct fuse_client *c, uint64_t node, uint64_t size);
int fuse_readlink(struct fuse_client *c, uint64_t node, char *to, size_t size);
int fuse_open(struct fuse_client *c, uint64_t node, uint32_t flags,
              struct hk_fuse_open_out *out);
int fuse_release(struct fuse_client *c, uint64_t node, uint64_t fh);
int fuse_read(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t at,
              void *to, uint32_t size);
int fuse_write(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t at,
               const void *from, uint32_t size, uint32_t open_flags);
int fuse_create(struct fuse_client *c, uint64_t dir, const char *name,
                uint32_t flags, uint32_t mode, struct hk_fuse_entry_out *entry,
                struct hk_fuse_open_out *open);
int fuse_mkdir(struct fuse_client *c, uint64_t dir, const char *name,
               uint32_t mode, struct hk_fuse_entry_out *out);
int fuse_mknod(struct fuse_client *c, uint64_t dir, const char *name,
               uint32_t mode, uint32_t rdev, struct hk_fuse_entry_out *out);
int fuse_symlink(struct fuse_client *c, uint64_t dir, const char *name,
                 const char *target, struct hk_fuse_entry_out *out);
int fuse_link(struct fuse_client *c, uint64_t node, uint64_t dir,
              const char *name, struct hk_fuse_entry_out *out);
int fuse_unlink(struct fuse_client *c, uint64_t dir, const char *name);
int fuse_rmdir(struct fuse_client *c, uint64_t dir, const char *name);
int fuse_rename(struct fuse_client *c, uint64_t dir, const char *name,
                uint64_t new_dir, const char *new_name, uint32_t flags);
int fuse_opendir(struct fuse_client *c, uint64_t node, uint64_t *fh);
int fuse_releasedir(struct fuse_client *c, uint64_t node, uint64_t fh);
/* One reply of READDIR, as it is. */
int fuse_readdir(struct fuse_client *c, uint64_t node, uint64_t fh,
                 uint64_t offset, void *to, uint32_t size);
int fuse_setxattr(struct fuse_client *c, uint64_t node, const char *name,
                  const void *value, uint32_t size, uint32_t flags);
int fuse_getxattr(struct fuse_client *c, uint64_t node, const char *name,
                  void *to, uint32_t size);
int fuse_listxattr(struct fuse_client *c, uint64_t node, char *to,
                   uint32_t size);
int fuse_removexattr(struct fuse_client *c, uint64_t node, const char *name);
int fuse_fsync(struct fuse_client *c, uint32_t opcode, uint64_t node,
               uint64_t fh, bool data_only);
int fuse_fallocate(struct fuse_client *c, uint64_t node, uint64_t fh,
                   uint32_t mode, uint64_t offset, uint64_t len);
int64_t fuse_lseek(struct fuse_client *c, uint64_t node, uint64_t fh,
                   uint64_t offset, uint32_t whence);
int fuse_access(struct fuse_client *c, uint64_t node, uint32_t mask);
int fuse_copy(struct fuse_client *c, const struct hk_fuse_copy_in *in,
              uint64_t nodeid);

/* All names of a directory, sorted, one blank between; asserts. The caller
 * frees it. */
char *fuse_list(struct fuse_client *c, uint64_t node, uint32_t size, bool plus);

#endif
