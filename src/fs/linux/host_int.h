/*
 * What the files of the Linux host layer share. The essay is in host.c.
 */
#ifndef HK_FS_LINUX_HOST_INT_H
#define HK_FS_LINUX_HOST_INT_H

#include "base/err.h"
#include "fs/host.h"
#include "fs/override.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct hk_lx_root {
    struct hk_fs_root base;
    int fd;       /* the shared directory, O_PATH */
    int proc;     /* /proc/self/fd, O_PATH */
    uint64_t dev; /* of the shared directory */
    bool real;    /* owners are real, not overridden */
    bool xattrs;  /* the root's file system has user attributes */
    bool read_only;
    bool is_proc; /* it is a procfs */
    uid_t uid;    /* of this process */
    gid_t gid;
    mode_t umask;           /* of this process when the root was opened */
    uint32_t caps[2];       /* effective capabilities of this process */
    pthread_mutex_t owners; /* a record is read, changed and written */
};

struct hk_fs_node {
    int fd; /* O_PATH */
    uint32_t type;
    bool foreign; /* on another file system than the root */
};

struct hk_fs_file {
    int fd;
};

enum { HK_LX_PATH = 32 };

static inline struct hk_lx_root *hk_lx(struct hk_fs_root *root)
{
    return (struct hk_lx_root *)(void *)root;
}

/* "/proc/self/fd/N": a path to what an O_PATH descriptor stands for. */
void hk_lx_path(int fd, char path[HK_LX_PATH]);

/* An O_PATH descriptor for one name; links are not followed. */
int hk_lx_open_path(struct hk_lx_root *root, int dir, const char *name);

/*
 * Attributes of `name` in `fd`, or of `fd` itself when `name` is NULL; `raw`:
 * as the host has them, else as the guest sees them.
 */
int hk_lx_stat(struct hk_lx_root *root, int fd, const char *name, bool raw,
               struct hk_fs_attr *attr);

/* ------------------------------------------------------------------ */
/* Owners and modes: host_owner.c                                     */

/* Decides how the root keeps owners. */
void hk_lx_choose_owners(struct hk_lx_root *root, enum hk_fs_owners owners);

/* Turns the host's attributes into what the guest sees. */
void hk_lx_view(struct hk_lx_root *root, int fd, const char *name,
                struct hk_fs_attr *attr);

/* Changes mode, owner and group, as the flags say. */
int hk_lx_set_owner(struct hk_lx_root *root, int fd,
                    const struct hk_fs_set *set);
/* Drops set-id bits, as a write by an ordinary user does. */
int hk_lx_kill_priv(struct hk_lx_root *root, int fd);

/*
 * Owner and mode of something that was just made by name in `dir`; `fd` is
 * open on it. `wanted` is what the guest asked for, type included.
 */
int hk_lx_adopt_new(struct hk_lx_root *root, int fd,
                    const struct hk_fs_override *wanted);
/* What a new file in `dir` gets: group and set-group-id are inherited. */
int hk_lx_inherit(struct hk_lx_root *root, int dir,
                  const struct hk_fs_caller *caller, uint32_t mode,
                  struct hk_fs_override *out);

/*
 * The host refused our own file or directory for its mode, which the guest's
 * root would pass over. Lets us in and records the mode for the guest. True
 * when something changed and the call is worth repeating.
 */
bool hk_lx_reach(struct hk_lx_root *root, int fd);

/* The calling thread makes files as that user until leave. */
int hk_lx_enter(struct hk_lx_root *root, const struct hk_fs_caller *caller);
void hk_lx_leave(struct hk_lx_root *root);

/* ------------------------------------------------------------------ */
/* Operations in other files                                          */

int hk_lx_setattr(struct hk_fs_root *root, struct hk_fs_node *node,
                  struct hk_fs_file *file, const struct hk_fs_set *set);
int hk_lx_make(struct hk_fs_root *root, struct hk_fs_node *dir,
               const char *name, const struct hk_fs_make *make,
               const struct hk_fs_caller *caller);
int hk_lx_create(struct hk_fs_root *root, struct hk_fs_node *dir,
                 const char *name, uint32_t mode, uint32_t open_flags,
                 const struct hk_fs_caller *caller, struct hk_fs_file **out,
                 struct hk_fs_attr *attr);
int hk_lx_link(struct hk_fs_root *root, struct hk_fs_node *node,
               struct hk_fs_node *dir, const char *name);
int hk_lx_unlink(struct hk_fs_root *root, struct hk_fs_node *dir,
                 const char *name, bool directory);
int hk_lx_rename(struct hk_fs_root *root, struct hk_fs_node *dir,
                 const char *name, struct hk_fs_node *new_dir,
                 const char *new_name, uint32_t flags);
int hk_lx_open(struct hk_fs_root *root, struct hk_fs_node *node,
               uint32_t open_flags, struct hk_fs_file **out);
void hk_lx_close(struct hk_fs_root *root, struct hk_fs_file *file);
int64_t hk_lx_readv(struct hk_fs_root *root, struct hk_fs_file *file,
                    const struct hk_iov *iov, size_t count, uint64_t offset);
int64_t hk_lx_writev(struct hk_fs_root *root, struct hk_fs_file *file,
                     const struct hk_iov *iov, size_t count, uint64_t offset,
                     bool append);
int hk_lx_flush(struct hk_fs_root *root, struct hk_fs_file *file);
int hk_lx_fsync(struct hk_fs_root *root, struct hk_fs_file *file,
                bool data_only);
int hk_lx_fallocate(struct hk_fs_root *root, struct hk_fs_file *file,
                    uint32_t flags, uint64_t offset, uint64_t len);
int64_t hk_lx_seek(struct hk_fs_root *root, struct hk_fs_file *file,
                   uint64_t offset, enum hk_fs_seek whence);
int64_t hk_lx_copy(struct hk_fs_root *root, struct hk_fs_file *from,
                   uint64_t from_offset, struct hk_fs_file *to,
                   uint64_t to_offset, uint64_t len);
int hk_lx_open_dir(struct hk_fs_root *root, struct hk_fs_node *node,
                   struct hk_fs_dir **out);
void hk_lx_close_dir(struct hk_fs_root *root, struct hk_fs_dir *dir);
int hk_lx_next_entry(struct hk_fs_root *root, struct hk_fs_dir *dir,
                     uint64_t cookie, struct hk_fs_dirent *out);
int hk_lx_sync_dir(struct hk_fs_root *root, struct hk_fs_dir *dir,
                   bool data_only);
int hk_lx_get_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                    const char *name, void *to, size_t size);
int hk_lx_set_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                    const char *name, const void *value, size_t size,
                    uint32_t flags);
int hk_lx_list_xattr(struct hk_fs_root *root, struct hk_fs_node *node, char *to,
                     size_t size);
int hk_lx_remove_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                       const char *name);

#endif
