/*
 * The host layer of file sharing: what one shared directory of the host can
 * do, as operations on opaque objects. The FUSE server (fuse.h) is its only
 * caller; it keeps the guest's numbers, checks names and enforces read-only
 * shares before anything arrives here.
 *
 * Objects:
 *   root  a shared directory and the rules that go with it
 *   node  holds on to one file, directory, link, ... that was found; opening
 *         one has no side effect on what it stands for. Costs a descriptor.
 *   file  a regular file, open for reading or writing
 *   dir   a directory, open for listing
 *
 * Names are single components: 1 to 255 bytes, no separator, no NUL, neither
 * "." nor "..". An implementation adds its own system's rules (reserved names)
 * and never follows a symbolic link, never opens anything but regular files
 * and directories, and never leaves the root.
 *
 * Results: 0 or a count, or a negative Linux errno number. Modes, device
 * numbers, rename and fallocate flags and xattr flags are Linux's.
 *
 * Threads: everything but close_root may be called from several threads at
 * once, also on the same object, except that a close needs the other users of
 * that object to be done and that one dir is used by one thread at a time.
 */
#ifndef HK_FS_HOST_H
#define HK_FS_HOST_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/iov.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HK_FS_NAME_MAX = 255,
    HK_FS_TARGET_MAX = 4095, /* bytes in a symbolic link */
    HK_FS_XATTR_MAX = 65536, /* bytes in an extended attribute, and in a list
                                of their names */
};

enum {
    HK_S_IFMT = 0170000,
    HK_S_IFSOCK = 0140000,
    HK_S_IFLNK = 0120000,
    HK_S_IFREG = 0100000,
    HK_S_IFBLK = 0060000,
    HK_S_IFDIR = 0040000,
    HK_S_IFCHR = 0020000,
    HK_S_IFIFO = 0010000,
    HK_S_ISUID = 04000,
    HK_S_ISGID = 02000,
    HK_S_ISVTX = 01000,
};

enum hk_fs_rename_flags {
    HK_FS_RENAME_NOREPLACE = 1,
    HK_FS_RENAME_EXCHANGE = 2,
    HK_FS_RENAME_WHITEOUT = 4,
};

enum hk_fs_open_flags {
    HK_FS_READ = 1,
    HK_FS_WRITE = 2,
    HK_FS_TRUNCATE = 4,
    HK_FS_SYNC = 8,   /* each write reaches stable storage */
    HK_FS_DSYNC = 16, /* ... its data does */
};

enum hk_fs_fallocate_flags {
    HK_FS_KEEP_SIZE = 1,
    HK_FS_PUNCH_HOLE = 2,
    HK_FS_ZERO_RANGE = 16,
};

enum hk_fs_seek {
    HK_FS_SEEK_SET = 0,
    HK_FS_SEEK_CUR = 1,
    HK_FS_SEEK_END = 2,
    HK_FS_SEEK_DATA = 3,
    HK_FS_SEEK_HOLE = 4,
};

struct hk_fs_ops;
struct hk_fs_node;
struct hk_fs_file;
struct hk_fs_dir;

/* The first member of an implementation's own root. */
struct hk_fs_root {
    const struct hk_fs_ops *ops;
    bool late_errors; /* closing a file may tell of a failed write, as on
                         network file systems: flush does something */
};

struct hk_fs_time {
    int64_t sec;
    uint32_t nsec;
};

struct hk_fs_attr {
    uint64_t dev;   /* of the file system it lies on */
    uint64_t ino;   /* unique there, while the file exists */
    uint64_t birth; /* tells files apart that had the same number one after
                       the other; 0 where the host does not know */
    uint64_t size;
    uint64_t blocks; /* of 512 bytes */
    struct hk_fs_time atime;
    struct hk_fs_time mtime;
    struct hk_fs_time ctime;
    uint32_t mode; /* as the guest shall see it, with type */
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev; /* minor 7:0 and 31:20, major 19:8 */
    uint32_t blksize;
};

enum hk_fs_set_flags {
    HK_FS_SET_MODE = 1,
    HK_FS_SET_UID = 2,
    HK_FS_SET_GID = 4,
    HK_FS_SET_SIZE = 8,
    HK_FS_SET_ATIME = 16,
    HK_FS_SET_MTIME = 32,
    HK_FS_SET_ATIME_NOW = 64,
    HK_FS_SET_MTIME_NOW = 128,
    HK_FS_SET_KILL_PRIV = 256, /* drop set-id bits, as a write does */
};

struct hk_fs_set {
    uint32_t flags;
    uint32_t mode; /* permission bits only */
    uint32_t uid;
    uint32_t gid;
    uint64_t size;
    struct hk_fs_time atime;
    struct hk_fs_time mtime;
};

/* The guest's process on whose behalf something is made. */
struct hk_fs_caller {
    uint32_t uid;
    uint32_t gid;
};

/* What make shall make. */
struct hk_fs_make {
    uint32_t mode;      /* type and permission bits; umask already applied */
    uint32_t rdev;      /* for devices */
    const char *target; /* for symbolic links */
};

struct hk_fs_dirent {
    uint64_t ino;
    uint64_t next; /* cookie of the entry after this one */
    uint32_t type; /* Linux DT_*, that is mode type >> 12; 0 unknown */
    uint32_t len;
    const char *name; /* borrowed until the next call on the dir */
};

struct hk_fs_statfs {
    uint64_t blocks; /* of frsize */
    uint64_t bfree;
    uint64_t bavail;
    uint64_t files;
    uint64_t ffree;
    uint32_t bsize;
    uint32_t frsize;
    uint32_t namelen;
};

/* For implementers. All are mandatory. */
struct hk_fs_ops {
    const char *name; /* "linux", "memory" */
    void (*close_root)(struct hk_fs_root *root);

    /* What `name` in `dir` is, without holding on to it. */
    int (*lookup)(struct hk_fs_root *root, struct hk_fs_node *dir,
                  const char *name, struct hk_fs_attr *attr);
    /* The same and holds on to it; `dir` and `name` NULL: the root. -EMFILE,
     * -ENFILE when descriptors ran out. */
    int (*open_node)(struct hk_fs_root *root, struct hk_fs_node *dir,
                     const char *name, struct hk_fs_node **out,
                     struct hk_fs_attr *attr);
    void (*close_node)(struct hk_fs_root *root, struct hk_fs_node *node);

    /* By `file` when it is not NULL (then `node` may be NULL). */
    int (*getattr)(struct hk_fs_root *root, struct hk_fs_node *node,
                   struct hk_fs_file *file, struct hk_fs_attr *attr);
    int (*setattr)(struct hk_fs_root *root, struct hk_fs_node *node,
                   struct hk_fs_file *file, const struct hk_fs_set *set);
    /* Length of the target, at most `size`; no NUL is written. */
    int (*readlink)(struct hk_fs_root *root, struct hk_fs_node *node, char *to,
                    size_t size);
    int (*statfs)(struct hk_fs_root *root, struct hk_fs_node *node,
                  struct hk_fs_statfs *out);

    /* Makes anything but what create makes. */
    int (*make)(struct hk_fs_root *root, struct hk_fs_node *dir,
                const char *name, const struct hk_fs_make *make,
                const struct hk_fs_caller *caller);
    /* A new regular file, open. -EEXIST when there is something. */
    int (*create)(struct hk_fs_root *root, struct hk_fs_node *dir,
                  const char *name, uint32_t mode, uint32_t open_flags,
                  const struct hk_fs_caller *caller, struct hk_fs_file **out,
                  struct hk_fs_attr *attr);
    int (*link)(struct hk_fs_root *root, struct hk_fs_node *node,
                struct hk_fs_node *dir, const char *name);
    int (*unlink)(struct hk_fs_root *root, struct hk_fs_node *dir,
                  const char *name, bool directory);
    int (*rename)(struct hk_fs_root *root, struct hk_fs_node *dir,
                  const char *name, struct hk_fs_node *new_dir,
                  const char *new_name, uint32_t flags);

    /* -EISDIR for directories, -ENXIO for all else that is not a regular
     * file. */
    int (*open)(struct hk_fs_root *root, struct hk_fs_node *node,
                uint32_t open_flags, struct hk_fs_file **out);
    void (*close)(struct hk_fs_root *root, struct hk_fs_file *file);
    /* At most what was asked; less only at the end of the file, when the
     * disk is full, or after an error that the next call will meet. */
    int64_t (*readv)(struct hk_fs_root *root, struct hk_fs_file *file,
                     const struct hk_iov *iov, size_t count, uint64_t offset);
    /* `append`: at the end of the file, whatever `offset`. */
    int64_t (*writev)(struct hk_fs_root *root, struct hk_fs_file *file,
                      const struct hk_iov *iov, size_t count, uint64_t offset,
                      bool append);
    /* An error that the host only tells at close. */
    int (*flush)(struct hk_fs_root *root, struct hk_fs_file *file);
    int (*fsync)(struct hk_fs_root *root, struct hk_fs_file *file,
                 bool data_only);
    int (*fallocate)(struct hk_fs_root *root, struct hk_fs_file *file,
                     uint32_t flags, uint64_t offset, uint64_t len);
    int64_t (*seek)(struct hk_fs_root *root, struct hk_fs_file *file,
                    uint64_t offset, enum hk_fs_seek whence);
    int64_t (*copy)(struct hk_fs_root *root, struct hk_fs_file *from,
                    uint64_t from_offset, struct hk_fs_file *to,
                    uint64_t to_offset, uint64_t len);

    int (*open_dir)(struct hk_fs_root *root, struct hk_fs_node *node,
                    struct hk_fs_dir **out);
    void (*close_dir)(struct hk_fs_root *root, struct hk_fs_dir *dir);
    /* The entry at `cookie` (0: the first): 1 and *out, or 0 at the end. "."
     * and ".." are included. Cookies stay valid while entries come and go. */
    int (*next_entry)(struct hk_fs_root *root, struct hk_fs_dir *dir,
                      uint64_t cookie, struct hk_fs_dirent *out);
    int (*sync_dir)(struct hk_fs_root *root, struct hk_fs_dir *dir,
                    bool data_only);

    /* Sizes: `size` 0 asks for the length only; -ERANGE when it is too
     * small. Attributes that are the host's own business do not exist. */
    int (*get_xattr)(struct hk_fs_root *root, struct hk_fs_node *node,
                     const char *name, void *to, size_t size);
    int (*set_xattr)(struct hk_fs_root *root, struct hk_fs_node *node,
                     const char *name, const void *value, size_t size,
                     uint32_t flags);
    int (*list_xattr)(struct hk_fs_root *root, struct hk_fs_node *node,
                      char *to, size_t size);
    int (*remove_xattr)(struct hk_fs_root *root, struct hk_fs_node *node,
                        const char *name);
};

/* ------------------------------------------------------------------ */
/* The host system's own implementation; twins: linux/host.c          */

/* How owners and modes are kept. */
enum hk_fs_owners {
    HK_FS_OWNERS_AUTO = 0,
    HK_FS_OWNERS_REAL,     /* on the host's files: needs the right to */
    HK_FS_OWNERS_OVERRIDE, /* in an extended attribute of each file */
};

struct hk_fs_root_config {
    const char *path; /* UTF-8; a directory; links in it are followed */
    bool read_only;   /* nothing of the host changes, access times neither */
    enum hk_fs_owners owners;
};

/*
 * Opens a directory of the host for sharing. -ENOTDIR and the host's codes,
 * with a sentence that names the path.
 */
int hk_fs_root_open(const struct hk_fs_root_config *config,
                    struct hk_fs_root **out,
                    struct hk_errmsg *err) HK_MUST_CHECK;
void hk_fs_root_close(struct hk_fs_root *root); /* NULL is legal */

/* How many files and directories this process may have open at once, in all;
 * UINT32_MAX where there is no limit to speak of. */
uint32_t hk_fs_descriptor_limit(void);

#endif
