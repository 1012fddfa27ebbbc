/* Seeds of fuzz_qcow2, fuzz_vmdk and fuzz_blk: see there for the form. */
#include "make_seeds.h"

#include "hk_test.h"
#include "qcow2_image.h"

#include "base/endian.h"

/* Writes, a flush, a trim, zeroes, reads. */
static const uint8_t requests[] = {
    0, 0, 0, 0,  0,  4, 0, 9, 9, 1,    100, 1, 1, 0, 0, 0,
    0, 0, 2, 0,  16, 0, 0, 8, 3, 0,    0,   3, 0, 9, 4, 0,
    0, 0, 0, 40, 0,  7, 1, 5, 9, 0x30, 4,   0, 1, 0, 0, 3,
};

static FILE *start(const char *root, const char *target, const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s/%s", root, target, name);
    FILE *file = fopen(path, "wb");
    if (!file) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
    return file;
}

static void put(FILE *file, const void *bytes, size_t len)
{
    if (fwrite(bytes, 1, len, file) != len)
        exit(1);
}

static void save_qcow2(const char *root, const char *name,
                       const struct mem_store *store)
{
    const uint8_t head[] = {0, sizeof(requests) / 6};
    FILE *file = start(root, "fuzz_qcow2", name);
    put(file, head, sizeof(head));
    put(file, store->bytes, store->size);
    put(file, requests, sizeof(requests));
    fclose(file);
}

static int no_other(void *opaque, const char *name, enum hk_disk_format format,
                    struct hk_disk **out, struct hk_errmsg *err)
{
    *out = mem_disk_create(opaque, MEM_READ_ONLY);
    return 0;
}

static void make_qcow2(const char *root, const char *name,
                       const struct qcow2_shape *shape)
{
    struct mem_store store, base;
    struct hk_disk_opener opener = {no_other, &base};
    struct hk_disk *disk = NULL;
    uint8_t bytes[1500] = {1, 2, 3};
    mem_store_init(&store, 0);
    mem_store_init(&base, 10000);
    qcow2_image_make(&store, shape);
    if (hk_qcow2_open(mem_disk_create(&store, MEM_GROWS), &opener, &disk,
                      NULL) < 0 ||
        hk_disk_write(disk, bytes, sizeof(bytes), 700) < 0 ||
        hk_disk_write(disk, bytes, 512, shape->size - 512) < 0 ||
        hk_disk_zero(disk, 1024, 512, false) < 0)
        exit(1);
    hk_disk_close(disk);
    save_qcow2(root, name, &store);
    mem_store_fini(&store);
    mem_store_fini(&base);
}

static void make_sparse_vmdk(const char *root)
{
    uint8_t bytes[24 * 512] = {0, 'K', 'D', 'M', 'V', 1};
    uint8_t *image = bytes + 1;
    FILE *file = start(root, "fuzz_vmdk", "sparse");
    hk_put_le32(image + 8, 4);
    hk_put_le64(image + 12, 160);
    hk_put_le64(image + 20, 8);
    hk_put_le32(image + 44, 512);
    hk_put_le64(image + 56, 1);
    hk_put_le32(image + 512, 2);
    hk_put_le32(image + 1024 + 4, 8);
    hk_put_le32(image + 1024 + 8, 1);
    hk_put_le32(image + 1024 + 12, 16);
    put(file, bytes, sizeof(bytes));
    fclose(file);
}

/* One request of each kind. */
static void make_requests(const char *root)
{
    static const uint8_t types[] = {0, 1, 4, 8, 11, 13, 99};
    uint8_t bytes[1 + sizeof(types) * 12] = {0};
    for (size_t i = 0; i < sizeof(types); i++) {
        uint8_t *r = bytes + 1 + i * 12;
        r[0] = types[i];
        hk_put_le32(r + 2, (uint32_t)i * 3);
        hk_put_le16(r + 6, types[i] == 1 ? 512 : types[i] > 8 ? 16 : 0);
        hk_put_le16(r + 8, types[i] == 0 ? 513 : types[i] == 8 ? 21 : 1);
        r[10] = (uint8_t)(i * 37);
        r[11] = (uint8_t)(i * 2);
    }
    FILE *file = start(root, "fuzz_blk", "every-request");
    put(file, bytes, sizeof(bytes));
    fclose(file);
}

void make_disk_seeds(const char *root)
{
    static const struct qcow2_shape v2 = {2, 9, 4, 1 << 16, NULL, NULL};
    static const struct qcow2_shape v3 = {3, 9, 4, 1 << 16, NULL, NULL};
    static const struct qcow2_shape one_bit = {3, 9, 0, 1 << 18, NULL, NULL};
    static const struct qcow2_shape wide = {3, 10, 6, 1 << 16, NULL, NULL};
    static const struct qcow2_shape above = {3, 9, 4, 1 << 16, "base", "raw"};
    static const char text[] =
        "\0# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\n"
        "createType=\"twoGbMaxExtentFlat\"\nRW 4 ZERO\nRW 2 FLAT \"e\" 0\n";
    make_qcow2(root, "version-2", &v2);
    make_qcow2(root, "version-3", &v3);
    make_qcow2(root, "one-bit-counts", &one_bit);
    make_qcow2(root, "wide-counts", &wide);
    make_qcow2(root, "backing", &above);
    make_sparse_vmdk(root);
    make_requests(root);
    FILE *file = start(root, "fuzz_vmdk", "descriptor");
    put(file, text, sizeof(text) - 1);
    fclose(file);
}
