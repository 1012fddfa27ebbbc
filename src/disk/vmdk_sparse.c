/*
 * Sparse extents. The grain directory points to grain tables of 512 entries,
 * which point to grains; a compressed grain has a small header and a zlib
 * stream. One grain table and one unpacked grain are kept.
 */
#include "disk/vmdk_int.h"

#include "base/checked.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include <zlib.h>

enum {
    HEADER_BYTES = 512,
    TABLE_ENTRIES_MAX = 512,
    GRAIN_BYTES_MAX = 1 << 20,
    DIRECTORY_ENTRIES_MAX = 4 << 20,
    FLAG_ZERO_GRAINS = 1 << 2,
    FLAG_COMPRESSED = 1 << 16,
    FLAG_MARKERS = 1 << 17,
    FOOTER_BACK = 1024, /* from the end */
    PACKED_HEAD = 12,
    PACKED_SLACK = 64 * 1024,
};

#define AT_END UINT64_MAX
#define NO_TABLE UINT32_MAX

struct vmdk_sparse {
    struct hk_disk *store;
    uint32_t flags;
    uint64_t sectors;
    uint64_t grain; /* bytes */
    uint32_t table_entries;
    uint64_t descriptor; /* bytes from the start, and their number */
    uint64_t descriptor_len;
    uint64_t directory_at; /* sectors */
    uint32_t *directory;
    uint32_t directory_count;

    bool has_lock;
    uv_mutex_t lock; /* guards what follows */
    uint32_t table_index;
    uint32_t table[TABLE_ENTRIES_MAX];
    uint64_t kept; /* sector of the packed grain in `unpacked`; 0: none */
    uint8_t *unpacked;
};

static int damaged(struct hk_errmsg *err, const char *what)
{
    return hk_err_set(err, -HK_EBADMSG, "%s; the image is damaged", what);
}

static int read_header(struct vmdk_sparse *s, uint64_t at, uint8_t *raw,
                       struct hk_errmsg *err)
{
    int rc = hk_disk_read(s->store, raw, HEADER_BYTES, at);
    if (rc == -HK_EINVAL || (rc == 0 && hk_get_le32(raw) != VMDK_SPARSE_MAGIC))
        return hk_err_set(err, -HK_EBADMSG, "this is not a VMDK image");
    return rc < 0 ? hk_err_set(err, rc, "%s", hk_err_text(rc)) : 0;
}

static int check_header(struct vmdk_sparse *s, const uint8_t *raw,
                        struct hk_errmsg *err)
{
    uint64_t grain = hk_get_le64(raw + 20);
    uint32_t version = hk_get_le32(raw + 4);
    uint16_t packing = hk_get_le16(raw + 77);
    if (version < 1 || version > 3)
        return hk_err_set(err, -HK_ENOTSUP,
                          "version %u of the VMDK format is not supported",
                          (unsigned)version);
    s->flags = hk_get_le32(raw + 8);
    s->sectors = hk_get_le64(raw + 12);
    s->table_entries = hk_get_le32(raw + 44);
    if (!hk_is_power_of_two(grain) || grain > GRAIN_BYTES_MAX / VMDK_SECTOR)
        return damaged(err, "its grains have an impossible size");
    if (s->table_entries == 0 || s->table_entries > TABLE_ENTRIES_MAX)
        return damaged(err, "its grain tables have an impossible size");
    if (s->sectors == 0 || s->sectors > INT64_MAX / VMDK_SECTOR)
        return damaged(err, "it has an impossible size");
    if ((s->flags & FLAG_COMPRESSED) && packing != 1)
        return hk_err_set(err, -HK_ENOTSUP,
                          "this kind of compression is not supported");
    s->grain = grain * VMDK_SECTOR;
    s->directory_at = hk_get_le64(raw + 56);
    return 0;
}

static int parse_header(struct vmdk_sparse *s, struct hk_errmsg *err)
{
    uint8_t raw[HEADER_BYTES];
    uint64_t size = hk_disk_size(s->store);
    int rc = read_header(s, 0, raw, err);
    if (rc < 0)
        return rc;
    uint64_t sector = hk_get_le64(raw + 28), count = hk_get_le64(raw + 36);
    if (hk_get_le64(raw + 56) == AT_END) {
        if (size < 2 * FOOTER_BACK)
            return damaged(err, "the file ends too early");
        rc = read_header(s, size - FOOTER_BACK, raw, err);
        if (rc < 0)
            return rc;
    }
    if (count > 0) {
        if (sector > size / VMDK_SECTOR ||
            count > VMDK_DESCRIPTOR_MAX / VMDK_SECTOR)
            return damaged(err, "its descriptor lies at an impossible place");
        s->descriptor = sector * VMDK_SECTOR;
        s->descriptor_len = count * VMDK_SECTOR;
    }
    return check_header(s, raw, err);
}

static int read_directory(struct vmdk_sparse *s, struct hk_errmsg *err)
{
    uint64_t grains = (s->sectors * VMDK_SECTOR + s->grain - 1) / s->grain;
    uint64_t count = (grains + s->table_entries - 1) / s->table_entries;
    uint64_t at, size = hk_disk_size(s->store);
    if (count > DIRECTORY_ENTRIES_MAX ||
        !hk_mul_u64(s->directory_at, VMDK_SECTOR, &at) ||
        !hk_range_within(at, count * 4, size))
        return damaged(err, "its grain directory lies outside the file");
    s->directory_count = (uint32_t)count;
    s->directory = malloc((size_t)count * sizeof(*s->directory));
    if (!s->directory)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    int rc = hk_disk_read(s->store, s->directory, (size_t)count * 4, at);
    if (rc < 0)
        return hk_err_set(err, rc, "%s", hk_err_text(rc));
    for (uint64_t i = 0; i < count; i++)
        s->directory[i] = hk_get_le32(&s->directory[i]);
    return 0;
}

int vmdk_sparse_create(struct hk_disk *store, struct vmdk_sparse **out,
                       struct hk_errmsg *err)
{
    struct vmdk_sparse *s = calloc(1, sizeof(*s));
    if (!s)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    s->store = store;
    s->table_index = NO_TABLE;
    int rc = parse_header(s, err);
    if (rc == 0)
        rc = read_directory(s, err);
    if (rc == 0 && uv_mutex_init(&s->lock) != 0)
        rc = hk_err_set(err, -HK_ENOMEM, "out of memory");
    if (rc < 0) {
        vmdk_sparse_destroy(s);
        return rc;
    }
    s->has_lock = true;
    *out = s;
    return 0;
}

void vmdk_sparse_destroy(struct vmdk_sparse *sparse)
{
    if (!sparse)
        return;
    if (sparse->has_lock)
        uv_mutex_destroy(&sparse->lock);
    free(sparse->directory);
    free(sparse->unpacked);
    free(sparse);
}

uint64_t vmdk_sparse_sectors(const struct vmdk_sparse *sparse)
{
    return sparse->sectors;
}

int vmdk_sparse_descriptor(const struct vmdk_sparse *sparse, char **text,
                           struct hk_errmsg *err)
{
    *text = NULL;
    if (sparse->descriptor_len == 0)
        return 0;
    char *bytes = calloc(1, (size_t)sparse->descriptor_len + 1);
    if (!bytes)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    int rc = hk_disk_read(sparse->store, bytes, (size_t)sparse->descriptor_len,
                          sparse->descriptor);
    if (rc < 0) {
        free(bytes);
        return damaged(err, "its descriptor lies outside the file");
    }
    *text = bytes;
    return 0;
}

/* Lock held. *sector is where the grain is, 0 when it reads as zeroes. */
static int find_grain(struct vmdk_sparse *s, uint64_t grain, uint32_t *sector)
{
    uint32_t index = (uint32_t)(grain / s->table_entries);
    *sector = 0;
    if (index >= s->directory_count || s->directory[index] == 0)
        return 0;
    if (s->table_index != index) {
        size_t bytes = s->table_entries * sizeof(s->table[0]);
        s->table_index = NO_TABLE;
        int rc = hk_disk_read(s->store, s->table, bytes,
                              (uint64_t)s->directory[index] * VMDK_SECTOR);
        if (rc < 0)
            return -HK_EIO;
        s->table_index = index;
    }
    *sector = hk_get_le32(&s->table[grain % s->table_entries]);
    if (*sector == 1 && (s->flags & FLAG_ZERO_GRAINS))
        *sector = 0;
    return 0;
}

static int unpack(uint8_t *to, size_t to_len, uint8_t *from, size_t from_len)
{
    uLongf len = (uLongf)to_len;
    int rc = uncompress(to, &len, from, (uLong)from_len);
    if (rc != Z_OK)
        return rc == Z_MEM_ERROR ? -HK_ENOMEM : -HK_EIO;
    memset(to + len, 0, to_len - len); /* the last grain may be short */
    return 0;
}

/* Lock held. */
static int load_packed(struct vmdk_sparse *s, uint64_t grain, uint32_t sector)
{
    uint8_t head[PACKED_HEAD];
    uint64_t at = (uint64_t)sector * VMDK_SECTOR;
    if (s->kept == sector)
        return 0;
    s->kept = 0;
    if (hk_disk_read(s->store, head, sizeof(head), at) < 0)
        return -HK_EIO;
    uint32_t len = hk_get_le32(head + 8);
    if (hk_get_le64(head) * VMDK_SECTOR != grain * s->grain || len == 0 ||
        len > s->grain + PACKED_SLACK)
        return -HK_EIO;
    if (!s->unpacked)
        s->unpacked = malloc((size_t)s->grain);
    uint8_t *from = malloc(len);
    int rc = s->unpacked && from ? 0 : -HK_ENOMEM;
    if (rc == 0 && hk_disk_read(s->store, from, len, at + PACKED_HEAD) < 0)
        rc = -HK_EIO;
    if (rc == 0)
        rc = unpack(s->unpacked, (size_t)s->grain, from, len);
    free(from);
    if (rc == 0)
        s->kept = sector;
    return rc;
}

static int copy_plain(struct hk_disk *store, struct hk_iov_pos *to,
                      uint64_t len, uint64_t at)
{
    struct hk_iov piece;
    size_t count;
    while (len > 0) {
        uint64_t n = hk_iov_take(to, len, &piece, 1, &count);
        if (count > 0 && hk_disk_readv(store, &piece, count, at) < 0)
            return -HK_EIO;
        at += n;
        len -= n;
    }
    return 0;
}

static int read_in_grain(struct vmdk_sparse *s, struct hk_iov_pos *to,
                         uint64_t len, uint64_t grain, uint64_t within)
{
    uint32_t sector;
    uv_mutex_lock(&s->lock);
    int rc = find_grain(s, grain, &sector);
    bool is_packed = sector != 0 && (s->flags & FLAG_COMPRESSED);
    if (rc == 0 && is_packed)
        rc = load_packed(s, grain, sector);
    if (rc == 0 && is_packed)
        (void)hk_iov_put(to, s->unpacked + within, len);
    uv_mutex_unlock(&s->lock);
    if (rc < 0 || is_packed)
        return rc;
    if (sector == 0) {
        (void)hk_iov_put(to, NULL, len);
        return 0;
    }
    return copy_plain(s->store, to, len,
                      (uint64_t)sector * VMDK_SECTOR + within);
}

int vmdk_sparse_read(struct vmdk_sparse *sparse, struct hk_iov_pos *to,
                     uint64_t len, uint64_t offset)
{
    while (len > 0) {
        uint64_t within = offset % sparse->grain;
        uint64_t part = sparse->grain - within;
        if (part > len)
            part = len;
        int rc =
            read_in_grain(sparse, to, part, offset / sparse->grain, within);
        if (rc < 0)
            return rc;
        offset += part;
        len -= part;
    }
    return 0;
}
