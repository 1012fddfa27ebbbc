/*
 * Disk images: a table of blocking operations on bytes at a position, called
 * on workers. Each either does all it was asked or fails; a failed write may
 * have changed any part of its range and nothing else.
 *
 * Threads: all operations but close may run side by side on one image, unless
 * `one_at_a_time` is set, which the caller then honours. Overlapping requests
 * in flight have the usual meaning on a disk: either order.
 *
 * Formats (qcow2, VMDK) and filters are disks on top of another disk, the
 * byte store, which they own.
 */
#ifndef HK_DISK_DISK_H
#define HK_DISK_DISK_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_disk;

/* The same shape as struct hk_iov of virtio/virtq.h: a layer of its own. */
struct hk_disk_iov {
    uint8_t *base;
    size_t len;
};

struct hk_disk_info {
    uint64_t size;       /* bytes that the guest sees */
    uint32_t block_size; /* best request size and alignment; power of two,
                            at least 512 */
    bool read_only;
    bool can_trim;      /* trim does something */
    bool can_zero;      /* zero is cheaper than writing zeroes */
    bool one_at_a_time; /* not safe to run operations side by side */
    /* Made of the file's identity: device and inode number; at most 20
     * bytes are shown to guests. */
    char id[40];
};

/* For implementers. Offsets and lengths were checked against info.size and
 * writes against info.read_only by the wrappers. */
struct hk_disk_ops {
    const char *name; /* "raw", "qcow2", ... */
    int (*readv)(struct hk_disk *disk, const struct hk_disk_iov *iov,
                 size_t count, uint64_t offset);
    int (*writev)(struct hk_disk *disk, const struct hk_disk_iov *iov,
                  size_t count, uint64_t offset);
    int (*flush)(struct hk_disk *disk); /* everything written so far is on
                                           stable storage afterwards */
    int (*trim)(struct hk_disk *disk, uint64_t offset, uint64_t len);
    int (*zero)(struct hk_disk *disk, uint64_t offset, uint64_t len,
                bool may_trim);
    void (*close)(struct hk_disk *disk);
};

struct hk_disk {
    const struct hk_disk_ops *ops;
    struct hk_disk_info info;
};

enum hk_disk_format {
    HK_DISK_RAW = 0, /* numbers as in krun_add_disk2 */
    HK_DISK_QCOW2 = 1,
    HK_DISK_VMDK = 2,
};

/* What flush means (krun_add_disk3). */
enum hk_disk_sync {
    HK_DISK_SYNC_NONE = 0,    /* nothing: for data that may be lost */
    HK_DISK_SYNC_RELAXED = 1, /* to the host's storage, its cache excluded */
    HK_DISK_SYNC_FULL = 2,    /* to stable storage */
};

struct hk_disk_config {
    const char *path; /* UTF-8 */
    enum hk_disk_format format;
    bool read_only;
    bool direct; /* past the host's page cache, where it can */
    enum hk_disk_sync sync;
};

/*
 * Opens an image and everything it refers to. Each error has one sentence
 * that names the file and a way out: the host's codes; -HK_EBADMSG damaged or
 * not of this format; -HK_ENOTSUP a feature of the format that is not
 * supported; -HK_EINVAL size not a multiple of 512 (raw); -HK_EBUSY another
 * process has it open for writing (read-write opens lock the file).
 * A format never opens another file that the image names (backing file,
 * extent) outside the image's own folder, unless it is a plain name there.
 */
int hk_disk_open(const struct hk_disk_config *config, struct hk_disk **out,
                 struct hk_errmsg *err) HK_MUST_CHECK;
void hk_disk_close(struct hk_disk *disk); /* flushes; NULL is legal */

/*
 * 0 or a negative code. -HK_EINVAL outside the disk or overflowing, -HK_EROFS
 * a change of a read-only disk (also trim and zero).
 */
int hk_disk_readv(struct hk_disk *disk, const struct hk_disk_iov *iov,
                  size_t count, uint64_t offset) HK_MUST_CHECK;
int hk_disk_writev(struct hk_disk *disk, const struct hk_disk_iov *iov,
                   size_t count, uint64_t offset) HK_MUST_CHECK;
int hk_disk_read(struct hk_disk *disk, void *to, size_t len,
                 uint64_t offset) HK_MUST_CHECK;
int hk_disk_write(struct hk_disk *disk, const void *from, size_t len,
                  uint64_t offset) HK_MUST_CHECK;
int hk_disk_flush(struct hk_disk *disk) HK_MUST_CHECK;
int hk_disk_trim(struct hk_disk *disk, uint64_t offset,
                 uint64_t len) HK_MUST_CHECK;
int hk_disk_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
                 bool may_trim) HK_MUST_CHECK;

#endif
