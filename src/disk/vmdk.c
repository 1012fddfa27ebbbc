/* VMDK images: the list of extents. Read-only. */
#include "disk/vmdk_int.h"

#include "base/checked.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

static const char descriptor_start[] = "# Disk DescriptorFile";

struct extent {
    enum vmdk_kind kind;
    uint64_t start; /* in the image, bytes */
    uint64_t len;
    uint64_t first; /* FLAT: in its file, bytes */
    struct hk_disk *file;
    struct vmdk_sparse *sparse;
};

struct vmdk {
    struct hk_disk disk;
    struct hk_disk *store;
    struct extent *extent; /* in order, without gaps */
    uint32_t count;
};

/* ------------------------------------------------------------------ */
/* Reading                                                            */

static struct extent *find(struct vmdk *vmdk, uint64_t offset)
{
    uint32_t low = 0, high = vmdk->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (vmdk->extent[middle].start <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    return &vmdk->extent[low];
}

static int read_flat(const struct extent *e, struct hk_iov_pos *to,
                     uint64_t len, uint64_t offset)
{
    struct hk_iov piece;
    size_t count;
    if (e->kind == VMDK_HOLE) {
        (void)hk_iov_put(to, NULL, len);
        return 0;
    }
    while (len > 0) {
        uint64_t n = hk_iov_take(to, len, &piece, 1, &count);
        int rc = hk_disk_readv(e->file, &piece, count, e->first + offset);
        if (rc < 0)
            return rc;
        offset += n;
        len -= n;
    }
    return 0;
}

static int vmdk_readv(struct hk_disk *disk, const struct hk_iov *iov,
                      size_t count, uint64_t offset)
{
    struct vmdk *vmdk = (struct vmdk *)disk;
    struct hk_iov_pos to = {iov, count, 0};
    uint64_t left = 0;
    int rc = hk_iov_total(iov, count, &left) ? 0 : -HK_EINVAL;
    while (rc == 0 && left > 0) {
        struct extent *e = find(vmdk, offset);
        uint64_t within = offset - e->start;
        uint64_t part = e->len - within < left ? e->len - within : left;
        rc = e->kind == VMDK_SPARSE
                 ? vmdk_sparse_read(e->sparse, &to, part, within)
                 : read_flat(e, &to, part, within);
        offset += part;
        left -= part;
    }
    return rc;
}

static void vmdk_close(struct hk_disk *disk)
{
    struct vmdk *vmdk = (struct vmdk *)disk;
    for (uint32_t i = 0; i < vmdk->count; i++) {
        vmdk_sparse_destroy(vmdk->extent[i].sparse);
        hk_disk_close(vmdk->extent[i].file);
    }
    free(vmdk->extent);
    hk_disk_close(vmdk->store);
    free(vmdk);
}

static const struct hk_disk_ops vmdk_ops = {
    .name = "vmdk",
    .readv = vmdk_readv,
    .close = vmdk_close,
};

/* ------------------------------------------------------------------ */
/* Open                                                               */

static int make_extents(struct vmdk *vmdk, uint32_t count,
                        struct hk_errmsg *err)
{
    vmdk->extent = calloc(count, sizeof(*vmdk->extent));
    if (!vmdk->extent)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    vmdk->count = count;
    return 0;
}

static int check_flat(const struct extent *e, const char *name,
                      struct hk_errmsg *err)
{
    if (hk_range_within(e->first, e->len, hk_disk_size(e->file)))
        return 0;
    return hk_err_set(err, -HK_EBADMSG, "its extent %.200s is too short", name);
}

static int open_sparse(struct extent *e, const char *name,
                       struct hk_errmsg *err)
{
    int rc = vmdk_sparse_create(e->file, &e->sparse, err);
    if (rc == 0 && vmdk_sparse_sectors(e->sparse) * VMDK_SECTOR < e->len)
        rc = hk_err_set(err, -HK_EBADMSG, "the image is too short");
    return rc < 0 ? hk_err_prepend(err, rc, "its extent %.200s", name) : 0;
}

static int open_extent(struct extent *e, const struct vmdk_line *line,
                       const struct hk_disk_opener *opener,
                       struct hk_errmsg *err)
{
    e->kind = line->kind;
    e->len = line->sectors * VMDK_SECTOR;
    e->first = line->first * VMDK_SECTOR;
    if (e->kind == VMDK_HOLE)
        return 0;
    int rc =
        opener->open(opener->opaque, line->file, HK_DISK_RAW, &e->file, err);
    if (rc < 0)
        return hk_err_prepend(err, rc, "extent");
    return e->kind == VMDK_FLAT ? check_flat(e, line->file, err)
                                : open_sparse(e, line->file, err);
}

static int open_extents(struct vmdk *vmdk, const struct vmdk_descriptor *list,
                        const struct hk_disk_opener *opener,
                        struct hk_errmsg *err)
{
    uint64_t start = 0;
    int rc = make_extents(vmdk, list->count, err);
    for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
        struct extent *e = &vmdk->extent[i];
        e->start = start;
        rc = open_extent(e, &list->line[i], opener, err);
        if (rc == 0 &&
            (!hk_add_u64(start, e->len, &start) || start > INT64_MAX))
            rc = hk_err_set(err, -HK_EBADMSG, "it is impossibly large");
    }
    return rc;
}

static int open_by_text(struct vmdk *vmdk, const struct hk_disk_opener *opener,
                        struct hk_errmsg *err)
{
    struct vmdk_descriptor list;
    uint64_t size = hk_disk_size(vmdk->store);
    if (size > VMDK_DESCRIPTOR_MAX)
        return hk_err_set(err, -HK_EBADMSG, "its descriptor is too large");
    char *text = calloc(1, (size_t)size + 1);
    if (!text)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    int rc = hk_disk_read(vmdk->store, text, (size_t)size, 0);
    if (rc < 0)
        (void)hk_err_set(err, rc, "%s", hk_err_text(rc));
    else
        rc = vmdk_descriptor_parse(text, &list, err);
    free(text);
    if (rc < 0)
        return rc;
    rc = open_extents(vmdk, &list, opener, err);
    free(list.line);
    return rc;
}

/* One sparse file with its descriptor inside; the descriptor's own line is
 * about the file itself. */
static int open_single(struct vmdk *vmdk, struct hk_errmsg *err)
{
    struct vmdk_descriptor list;
    char *text;
    int rc = make_extents(vmdk, 1, err);
    if (rc < 0)
        return rc;
    struct extent *e = &vmdk->extent[0];
    e->kind = VMDK_SPARSE;
    rc = vmdk_sparse_create(vmdk->store, &e->sparse, err);
    if (rc < 0)
        return rc;
    e->len = vmdk_sparse_sectors(e->sparse) * VMDK_SECTOR;
    rc = vmdk_sparse_descriptor(e->sparse, &text, err);
    if (rc < 0 || !text)
        return rc;
    rc = vmdk_descriptor_parse(text, &list, err);
    free(text);
    if (rc < 0)
        return rc;
    if (list.count != 1)
        rc = hk_err_set(err, -HK_ENOTSUP,
                        "it is one of several extents; use the descriptor "
                        "file that names them all");
    free(list.line);
    return rc;
}

static int open_any(struct vmdk *vmdk, const struct hk_disk_opener *opener,
                    struct hk_errmsg *err)
{
    char start[sizeof(descriptor_start)] = {0};
    if (!vmdk->store->info.read_only)
        return hk_err_set(err, -HK_EROFS,
                          "VMDK images can only be read: say that the disk is "
                          "read-only, or make a qcow2 image of it with "
                          "`qemu-img convert -O qcow2`");
    int rc = hk_disk_read(vmdk->store, start, sizeof(start) - 1, 0);
    if (rc == 0 && hk_get_le32(start) == VMDK_SPARSE_MAGIC)
        return open_single(vmdk, err);
    if (rc == 0 && memcmp(start, descriptor_start, sizeof(start) - 1) == 0)
        return open_by_text(vmdk, opener, err);
    if (rc == 0 || rc == -HK_EINVAL)
        return hk_err_set(err, -HK_EBADMSG, "this is not a VMDK image");
    return hk_err_set(err, rc, "%s", hk_err_text(rc));
}

int hk_vmdk_open(struct hk_disk *take_store,
                 const struct hk_disk_opener *opener, struct hk_disk **out,
                 struct hk_errmsg *err)
{
    struct hk_disk_info info = {
        .block_size = BLOCK, .read_only = true, .can_trim = false};
    struct vmdk *vmdk = calloc(1, sizeof(*vmdk));
    if (!vmdk) {
        hk_disk_close(take_store);
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    }
    vmdk->store = take_store;
    int rc = open_any(vmdk, opener, err);
    if (rc < 0) {
        vmdk_close(&vmdk->disk);
        return rc;
    }
    struct extent *last = &vmdk->extent[vmdk->count - 1];
    memcpy(info.id, take_store->info.id, sizeof(info.id));
    hk_disk_init(&vmdk->disk, &vmdk_ops, &info, last->start + last->len);
    *out = &vmdk->disk;
    return 0;
}
