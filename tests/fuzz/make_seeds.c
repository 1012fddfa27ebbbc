/*
 * Writes the seeds of the boot fuzz targets below the folder given (usually
 * tests/corpus): small kernels in every format and compression.
 */
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
    free(elf.bytes);
    free(two.bytes);
    return 0;
}
