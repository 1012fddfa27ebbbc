/*
 * The FUSE kernel interface, version 7.36: numbers and layouts of what a
 * Linux guest sends and expects (linux/fuse.h describes the same bytes).
 *
 * A request is a header and a body of fixed size, then names or data; a reply
 * is a header and a body. All numbers are in the guest's byte order, which is
 * little endian here. Errno numbers, open flags and mode bits are those of
 * Linux on x86-64 and arm64 alike, save the open flags marked below.
 */
#ifndef HK_FS_FUSE_ABI_H
#define HK_FS_FUSE_ABI_H

#include <stdint.h>

enum {
    HK_FUSE_MAJOR = 7,
    HK_FUSE_MINOR = 36,
    HK_FUSE_MINOR_LEAST = 27,
    HK_FUSE_ROOT_ID = 1,
};

enum hk_fuse_opcode {
    HK_FUSE_LOOKUP = 1,
    HK_FUSE_FORGET = 2,
    HK_FUSE_GETATTR = 3,
    HK_FUSE_SETATTR = 4,
    HK_FUSE_READLINK = 5,
    HK_FUSE_SYMLINK = 6,
    HK_FUSE_MKNOD = 8,
    HK_FUSE_MKDIR = 9,
    HK_FUSE_UNLINK = 10,
    HK_FUSE_RMDIR = 11,
    HK_FUSE_RENAME = 12,
    HK_FUSE_LINK = 13,
    HK_FUSE_OPEN = 14,
    HK_FUSE_READ = 15,
    HK_FUSE_WRITE = 16,
    HK_FUSE_STATFS = 17,
    HK_FUSE_RELEASE = 18,
    HK_FUSE_FSYNC = 20,
    HK_FUSE_SETXATTR = 21,
    HK_FUSE_GETXATTR = 22,
    HK_FUSE_LISTXATTR = 23,
    HK_FUSE_REMOVEXATTR = 24,
    HK_FUSE_FLUSH = 25,
    HK_FUSE_INIT = 26,
    HK_FUSE_OPENDIR = 27,
    HK_FUSE_READDIR = 28,
    HK_FUSE_RELEASEDIR = 29,
    HK_FUSE_FSYNCDIR = 30,
    HK_FUSE_ACCESS = 34,
    HK_FUSE_CREATE = 35,
    HK_FUSE_INTERRUPT = 36,
    HK_FUSE_DESTROY = 38,
    HK_FUSE_IOCTL = 39,
    HK_FUSE_BATCH_FORGET = 42,
    HK_FUSE_FALLOCATE = 43,
    HK_FUSE_READDIRPLUS = 44,
    HK_FUSE_RENAME2 = 45,
    HK_FUSE_LSEEK = 46,
    HK_FUSE_COPY_FILE_RANGE = 47,
    HK_FUSE_OPCODES = 48, /* one more than the last that is served */
};

/* INIT flags. */
#define HK_FUSE_ASYNC_READ (1u << 0)
#define HK_FUSE_POSIX_LOCKS (1u << 1)
#define HK_FUSE_ATOMIC_O_TRUNC (1u << 3)
#define HK_FUSE_BIG_WRITES (1u << 5)
#define HK_FUSE_FLOCK_LOCKS (1u << 10)
#define HK_FUSE_HAS_IOCTL_DIR (1u << 11)
#define HK_FUSE_AUTO_INVAL_DATA (1u << 12)
#define HK_FUSE_DO_READDIRPLUS (1u << 13)
#define HK_FUSE_READDIRPLUS_AUTO (1u << 14)
#define HK_FUSE_ASYNC_DIO (1u << 15)
#define HK_FUSE_WRITEBACK_CACHE (1u << 16)
#define HK_FUSE_PARALLEL_DIROPS (1u << 18)
#define HK_FUSE_MAX_PAGES (1u << 22)
#define HK_FUSE_CACHE_SYMLINKS (1u << 23)
#define HK_FUSE_HANDLE_KILLPRIV_V2 (1u << 28)

/* Flags of single requests and replies. */
enum {
    HK_FOPEN_DIRECT_IO = 1,
    HK_FOPEN_KEEP_CACHE = 2,
    HK_FOPEN_NOFLUSH = 32,

    HK_FUSE_OPEN_KILL_SUIDGID = 1,
    HK_FUSE_GETATTR_FH = 1,
    HK_FUSE_WRITE_CACHE = 1, /* writes a page back, at its own place */
    HK_FUSE_WRITE_KILL_SUIDGID = 4,
    HK_FUSE_FSYNC_DATA = 1,

    HK_FATTR_MODE = 1 << 0,
    HK_FATTR_UID = 1 << 1,
    HK_FATTR_GID = 1 << 2,
    HK_FATTR_SIZE = 1 << 3,
    HK_FATTR_ATIME = 1 << 4,
    HK_FATTR_MTIME = 1 << 5,
    HK_FATTR_FH = 1 << 6,
    HK_FATTR_ATIME_NOW = 1 << 7,
    HK_FATTR_MTIME_NOW = 1 << 8,
    HK_FATTR_KILL_SUIDGID = 1 << 11,
};

/* Open flags of a Linux guest on x86-64. */
enum {
    HK_O_ACCMODE = 3,
    HK_O_WRONLY = 1,
    HK_O_RDWR = 2,
    HK_O_EXCL = 0200,
    HK_O_TRUNC = 01000,
    HK_O_APPEND = 02000,
    HK_O_DSYNC = 010000,
    HK_O_DIRECT = 040000, /* another number on arm64 */
    HK_O_SYNC = 04010000, /* holds O_DSYNC too */
};

struct hk_fuse_in_header {
    uint32_t len;
    uint32_t opcode;
    uint64_t unique;
    uint64_t nodeid;
    uint32_t uid;
    uint32_t gid;
    uint32_t pid;
    uint32_t padding;
};

struct hk_fuse_out_header {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};

struct hk_fuse_attr {
    uint64_t ino;
    uint64_t size;
    uint64_t blocks; /* of 512 bytes */
    uint64_t atime;
    uint64_t mtime;
    uint64_t ctime;
    uint32_t atimensec;
    uint32_t mtimensec;
    uint32_t ctimensec;
    uint32_t mode;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev;
    uint32_t blksize;
    uint32_t flags;
};

struct hk_fuse_entry_out {
    uint64_t nodeid; /* 0: there is none, and that may be remembered */
    uint64_t generation;
    uint64_t entry_valid;
    uint64_t attr_valid;
    uint32_t entry_valid_nsec;
    uint32_t attr_valid_nsec;
    struct hk_fuse_attr attr;
};

struct hk_fuse_init_in {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags; /* more follows, which is not used */
};

struct hk_fuse_init_out {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint16_t max_background;
    uint16_t congestion_threshold;
    uint32_t max_write;
    uint32_t time_gran;
    uint16_t max_pages;
    uint16_t map_alignment;
    uint32_t flags2;
    uint32_t unused[7];
};

struct hk_fuse_forget_in {
    uint64_t nlookup;
};

struct hk_fuse_batch_forget_in {
    uint32_t count;
    uint32_t dummy;
};

struct hk_fuse_forget_one {
    uint64_t nodeid;
    uint64_t nlookup;
};

struct hk_fuse_getattr_in {
    uint32_t flags;
    uint32_t dummy;
    uint64_t fh;
};

struct hk_fuse_attr_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec;
    uint32_t dummy;
    struct hk_fuse_attr attr;
};

struct hk_fuse_setattr_in {
    uint32_t valid;
    uint32_t padding;
    uint64_t fh;
    uint64_t size;
    uint64_t lock_owner;
    uint64_t atime;
    uint64_t mtime;
    uint64_t ctime;
    uint32_t atimensec;
    uint32_t mtimensec;
    uint32_t ctimensec;
    uint32_t mode;
    uint32_t unused4;
    uint32_t uid;
    uint32_t gid;
    uint32_t unused5;
};

struct hk_fuse_mknod_in {
    uint32_t mode;
    uint32_t rdev;
    uint32_t umask;
    uint32_t padding;
};

struct hk_fuse_mkdir_in {
    uint32_t mode;
    uint32_t umask;
};

struct hk_fuse_rename_in {
    uint64_t newdir;
};

struct hk_fuse_rename2_in {
    uint64_t newdir;
    uint32_t flags;
    uint32_t padding;
};

struct hk_fuse_link_in {
    uint64_t oldnodeid;
};

struct hk_fuse_open_in {
    uint32_t flags;
    uint32_t open_flags;
};

struct hk_fuse_create_in {
    uint32_t flags;
    uint32_t mode;
    uint32_t umask;
    uint32_t open_flags;
};

struct hk_fuse_open_out {
    uint64_t fh;
    uint32_t open_flags;
    uint32_t padding;
};

struct hk_fuse_release_in {
    uint64_t fh;
    uint32_t flags;
    uint32_t release_flags;
    uint64_t lock_owner;
};

struct hk_fuse_flush_in {
    uint64_t fh;
    uint32_t unused;
    uint32_t padding;
    uint64_t lock_owner;
};

struct hk_fuse_read_in {
    uint64_t fh;
    uint64_t offset;
    uint32_t size;
    uint32_t read_flags;
    uint64_t lock_owner;
    uint32_t flags;
    uint32_t padding;
};

struct hk_fuse_write_in {
    uint64_t fh;
    uint64_t offset;
    uint32_t size;
    uint32_t write_flags;
    uint64_t lock_owner;
    uint32_t flags; /* the file's open flags */
    uint32_t padding;
};

struct hk_fuse_write_out {
    uint32_t size;
    uint32_t padding;
};

struct hk_fuse_statfs_out {
    uint64_t blocks;
    uint64_t bfree;
    uint64_t bavail;
    uint64_t files;
    uint64_t ffree;
    uint32_t bsize;
    uint32_t namelen;
    uint32_t frsize;
    uint32_t padding;
    uint32_t spare[6];
};

struct hk_fuse_fsync_in {
    uint64_t fh;
    uint32_t fsync_flags;
    uint32_t padding;
};

struct hk_fuse_setxattr_in {
    uint32_t size;
    uint32_t flags;
};

struct hk_fuse_getxattr_in {
    uint32_t size;
    uint32_t padding;
};

struct hk_fuse_getxattr_out {
    uint32_t size;
    uint32_t padding;
};

struct hk_fuse_access_in {
    uint32_t mask;
    uint32_t padding;
};

struct hk_fuse_ioctl_in {
    uint64_t fh;
    uint32_t flags;
    uint32_t cmd;
    uint64_t arg;
    uint32_t in_size;
    uint32_t out_size;
};

struct hk_fuse_ioctl_out {
    int32_t result;
    uint32_t flags;
    uint32_t in_iovs;
    uint32_t out_iovs;
};

struct hk_fuse_fallocate_in {
    uint64_t fh;
    uint64_t offset;
    uint64_t length;
    uint32_t mode;
    uint32_t padding;
};

struct hk_fuse_lseek_in {
    uint64_t fh;
    uint64_t offset;
    uint32_t whence;
    uint32_t padding;
};

struct hk_fuse_lseek_out {
    uint64_t offset;
};

struct hk_fuse_copy_in {
    uint64_t fh_in;
    uint64_t off_in;
    uint64_t nodeid_out;
    uint64_t fh_out;
    uint64_t off_out;
    uint64_t len;
    uint64_t flags;
};

struct hk_fuse_dirent { /* the name follows, padded to 8 bytes */
    uint64_t ino;
    uint64_t off;
    uint32_t namelen;
    uint32_t type;
};

struct hk_fuse_direntplus {
    struct hk_fuse_entry_out entry;
    struct hk_fuse_dirent dirent;
};

_Static_assert(sizeof(struct hk_fuse_in_header) == 40, "in header");
_Static_assert(sizeof(struct hk_fuse_out_header) == 16, "out header");
_Static_assert(sizeof(struct hk_fuse_attr) == 88, "attr");
_Static_assert(sizeof(struct hk_fuse_entry_out) == 128, "entry");
_Static_assert(sizeof(struct hk_fuse_attr_out) == 104, "attr out");
_Static_assert(sizeof(struct hk_fuse_init_out) == 64, "init out");
_Static_assert(sizeof(struct hk_fuse_setattr_in) == 88, "setattr");
_Static_assert(sizeof(struct hk_fuse_statfs_out) == 80, "statfs");
_Static_assert(sizeof(struct hk_fuse_read_in) == 40, "read");
_Static_assert(sizeof(struct hk_fuse_write_in) == 40, "write");
_Static_assert(sizeof(struct hk_fuse_ioctl_in) == 32, "ioctl");
_Static_assert(sizeof(struct hk_fuse_copy_in) == 56, "copy");
_Static_assert(sizeof(struct hk_fuse_direntplus) == 152, "direntplus");

#endif
