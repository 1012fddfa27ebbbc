/*
 * VMDK, read-only. An image is a list of extents, one after the other:
 * flat files, holes, and sparse extents with two levels of tables. The
 * descriptor, a text, names them; a single sparse file holds its own.
 */
#ifndef HK_DISK_VMDK_INT_H
#define HK_DISK_VMDK_INT_H

#include "disk/disk.h"

enum {
    VMDK_SECTOR = 512,
    VMDK_EXTENTS_MAX = 1024,
    VMDK_NAME_MAX = 256,
    VMDK_DESCRIPTOR_MAX = 1 << 20,
};

enum vmdk_kind { VMDK_FLAT, VMDK_HOLE, VMDK_SPARSE };

/* ---- the descriptor (vmdk_descriptor.c): text to struct, no I/O ---- */

struct vmdk_line {
    enum vmdk_kind kind;
    uint64_t sectors;
    uint64_t first; /* FLAT: where it begins in its file, sectors */
    char file[VMDK_NAME_MAX];
};

struct vmdk_descriptor {
    struct vmdk_line *line;
    uint32_t count;
};

/* `text` ends with a NUL byte. On success the caller frees `line`. */
int vmdk_descriptor_parse(const char *text, struct vmdk_descriptor *out,
                          struct hk_errmsg *err) HK_MUST_CHECK;

/* ---- a sparse extent (vmdk_sparse.c) ---- */

struct vmdk_sparse;

#define VMDK_SPARSE_MAGIC 0x564d444bu /* "KDMV" */

/* `store` is borrowed until destroy. */
int vmdk_sparse_create(struct hk_disk *store, struct vmdk_sparse **out,
                       struct hk_errmsg *err) HK_MUST_CHECK;
void vmdk_sparse_destroy(struct vmdk_sparse *sparse); /* NULL is legal */
uint64_t vmdk_sparse_sectors(const struct vmdk_sparse *sparse);

/* The descriptor inside, NUL-ended, to be freed; NULL when there is none. */
int vmdk_sparse_descriptor(const struct vmdk_sparse *sparse, char **text,
                           struct hk_errmsg *err) HK_MUST_CHECK;

/* Any thread. The range lies within the extent. */
int vmdk_sparse_read(struct vmdk_sparse *sparse, struct hk_iov_pos *to,
                     uint64_t len, uint64_t offset) HK_MUST_CHECK;

#endif
