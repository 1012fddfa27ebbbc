/*
 * Writes seeds of fuzz targets below the folder given (usually tests/corpus):
 * here small kernels in every format and compression, and virtqueues;
 * make_disk_seeds.c has the images.
 */
#include "make_seeds.h"

#include "../unit/make_kernel.h"

static const char *root;

static void save(const char *target, const char *name, struct made head,
                 struct made body)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s/%s", root, target, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(head.bytes, 1, head.size, file) != head.size ||
        fwrite(body.bytes, 1, body.size, file) != body.size ||
        fclose(file) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
}

static void save_kernel(const char *target, const char *name, struct made body)
{
    static uint8_t head[16 + 4 + 8] = {1, 1, 2, 5, 0, 0, 0,   0xd0, 0,   0x10,
                                       5, 0, 4, 0, 8, 0, 'q', 'u',  'i', 't'};
    save(target, name, (struct made){0}, body);
    save("fuzz_boot", name, (struct made){head, sizeof(head)}, body);
}

/* ------------------------------------------------------------------ */
/* Rings for fuzz_virtq: three states of the same memory              */

enum {
    RING_BYTES = 512,
    RING_STATES = 3,
    AVAIL = 16 * 16, /* as in fuzz_virtq.c */
    NEXT = 1,
    WRITE = 2,
    TABLE = 4,
    TABLE_AT = 480,
};

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put_desc(uint8_t *at, uint64_t gpa, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    put(at, gpa, 8);
    put(at + 8, len, 4);
    put(at + 12, flags, 2);
    put(at + 14, next, 2);
}

/* Descriptors 0 to 2: a readable one across two regions, a writable one, and
 * one that is a table of one entry. */
static void make_rings(uint8_t *at, uint16_t idx, bool tables)
{
    put_desc(at, 4000, 200, NEXT, 1);
    put_desc(at + 16, 8000, 64, WRITE, 0);
    put_desc(at + 32, TABLE_AT, 16, tables ? TABLE : WRITE, 0);
    put(at + AVAIL + 2, idx, 2);
    for (int i = 0; i < 16; i++)
        put(at + AVAIL + 4 + 2 * i, i % 2 == 0 ? 0 : 2, 2);
    put(at + AVAIL + 4 + 2 * 16, idx, 2);
    put_desc(at + TABLE_AT, 6000, 100, WRITE, 0);
}

static void save_rings(const char *name, uint8_t how, bool tables)
{
    static uint8_t rings[RING_BYTES * RING_STATES];

    memset(rings, 0, sizeof(rings));
    for (int i = 0; i < RING_STATES; i++)
        make_rings(rings + i * RING_BYTES, (uint16_t)(2 * (i + 1)), tables);
    save("fuzz_virtq", name, (struct made){&how, 1},
         (struct made){rings, sizeof(rings)});
}

int main(int argc, char **argv)
{
    static const char *const names[MADE_PACKINGS] = {"gzip", "bzip2", "xz",
                                                     "lzma", "lz4",   "zstd"};
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds FOLDER\n");
        return 2;
    }
    root = argv[1];
    const struct made_segment s = {0x200000, 0, 192, 256, 0x90};
    struct made elf = make_elf(&s, 1, 0x200010);
    struct made two = make_small_elf();
    save_kernel("fuzz_elf", "one-segment", elf);
    save_kernel("fuzz_elf", "two-segments", two);
    for (int p = 0; p < MADE_PACKINGS; p++) {
        uint8_t expected = (uint8_t)((elf.size + 63) / 64);
        struct made packed = pack(elf, (enum made_packing)p);
        struct made bz = make_bzimage(elf, (enum made_packing)p);
        save("fuzz_unpack", names[p], (struct made){&expected, 1}, packed);
        save("fuzz_elf", names[p], (struct made){0}, packed);
        save_kernel("fuzz_bzimage", names[p], bz);
        free(packed.bytes);
        free(bz.bytes);
    }
    static uint8_t words[] = "\1a b\0\3c\0\5-x\0\0y=1 z\0\4y\0\6quiet\0\7p";
    save("fuzz_cmdline", "every-verb", (struct made){words, sizeof(words)},
         (struct made){0});
    save_rings("plain", 0, false);
    save_rings("events-and-tables", 3, true);
    save_rings("kept", 1 | 4 | 8, false);
    save_rings("put-back", 2 | 16, true);
    free(elf.bytes);
    free(two.bytes);
    make_disk_seeds(root);
    return 0;
}
