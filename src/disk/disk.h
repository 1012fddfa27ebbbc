/*
 * Disk images: a table of blocking operations on bytes at a position, called
 * on workers. Each either does all it was asked or fails; a failed write may
 * have changed any part of its range and nothing else.
 *
 * Threads: all operations but close may run side by side on one image.
 * Overlapping requests in flight have the usual meaning on a disk: either
 * order. A flush is about what had ended before it began.
 *
 * Formats (qcow2, VMDK) and filters are disks on top of another disk, the
 * byte store, which they own.
 */
#ifndef HK_DISK_DISK_H
#define HK_DISK_DISK_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/iov.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_disk;

struct hk_disk_info {
    uint32_t block_size; /* best request size and alignment; power of two,
                            at least 512 */
    bool read_only;
    bool can_trim; /* trim does something */
    bool can_zero; /* zero is cheaper than writing zeroes */
    bool grows;    /* a byte store: a write past the end makes it longer */
    /* Which file it is: device, special device and inode number, decimal; at
     * most 20 bytes are shown to guests. Empty when there is no file. */
    char id[64];
};

/* For implementers. Offsets and lengths were checked against the size (writes
 * only unless it grows) and changes against info.read_only by the wrappers;
 * there is at least one byte. */
struct hk_disk_ops {
    const char *name; /* "raw", "qcow2", ... */
    int (*readv)(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                 uint64_t offset);
    int (*writev)(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                  uint64_t offset);
    int (*flush)(struct hk_disk *disk); /* everything written so far is on
                                           stable storage afterwards */
    /* The bytes are not needed any more: they may read as before or as
     * zeroes. Optional. */
    int (*trim)(struct hk_disk *disk, uint64_t offset, uint64_t len);
    /* The bytes read as zeroes afterwards; their space may be given back only
     * when `may_trim`. Optional; -HK_ENOTSUP: the wrapper writes zeroes. */
    int (*zero)(struct hk_disk *disk, uint64_t offset, uint64_t len,
                bool may_trim);
    void (*close)(struct hk_disk *disk); /* after a flush; frees `disk` */
};

struct hk_disk {
    const struct hk_disk_ops *ops;
    struct hk_disk_info info; /* fixed */
    atomic_uint_fast64_t size;
};

/* For implementers: fills what callers see. */
void hk_disk_init(struct hk_disk *disk, const struct hk_disk_ops *ops,
                  const struct hk_disk_info *info, uint64_t size);

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
 * supported; -HK_EINVAL less than a sector (raw); -HK_EBUSY someone
 * else has it open for writing, or has it open and we want to write;
 * -HK_EROFS a format that can only be read, and writing is wanted;
 * -HK_EPERM it refers to a file that may not be opened: other files that the
 * image names (backing file, extent) must be plain files in the image's own
 * folder; they are opened read-only.
 */
int hk_disk_open(const struct hk_disk_config *config, struct hk_disk **out,
                 struct hk_errmsg *err) HK_MUST_CHECK;
void hk_disk_close(struct hk_disk *disk); /* flushes; NULL is legal */

/* Bytes that the guest sees. */
static inline uint64_t hk_disk_size(const struct hk_disk *disk)
{
    return atomic_load_explicit(&disk->size, memory_order_acquire);
}

/*
 * 0 or a negative code. -HK_EINVAL outside the disk or overflowing, -HK_EROFS
 * a change of a read-only disk (also trim and zero). Nothing to do is done at
 * once.
 */
int hk_disk_readv(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                  uint64_t offset) HK_MUST_CHECK;
int hk_disk_writev(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                   uint64_t offset) HK_MUST_CHECK;
int hk_disk_read(struct hk_disk *disk, void *to, size_t len,
                 uint64_t offset) HK_MUST_CHECK;
int hk_disk_write(struct hk_disk *disk, const void *from, size_t len,
                  uint64_t offset) HK_MUST_CHECK;
int hk_disk_flush(struct hk_disk *disk) HK_MUST_CHECK;
int hk_disk_trim(struct hk_disk *disk, uint64_t offset,
                 uint64_t len) HK_MUST_CHECK;
int hk_disk_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
                 bool may_trim) HK_MUST_CHECK;

/* ------------------------------------------------------------------ */
/* The parts of hk_disk_open                                          */

/* Opens the other files that an image names; a table so that tests and the
 * fuzzer can do without files. `name` is what the image says, unchecked. */
struct hk_disk_opener {
    int (*open)(void *opaque, const char *name, enum hk_disk_format format,
                struct hk_disk **out, struct hk_errmsg *err);
    void *opaque;
};

/* A file as it is. With `as_store` any size is legal and it grows. */
int hk_raw_open(const struct hk_disk_config *config, bool as_store,
                bool named_by_image, struct hk_disk **out,
                struct hk_errmsg *err) HK_MUST_CHECK;

/*
 * An image in a byte store, which is taken, also on failure. `opener` is used
 * before they return only. Their sentences do not name the file. The image is
 * read-only when the store is.
 */
int hk_qcow2_open(struct hk_disk *take_store,
                  const struct hk_disk_opener *opener, struct hk_disk **out,
                  struct hk_errmsg *err) HK_MUST_CHECK;
int hk_vmdk_open(struct hk_disk *take_store,
                 const struct hk_disk_opener *opener, struct hk_disk **out,
                 struct hk_errmsg *err) HK_MUST_CHECK;

#endif
