/*
 * kernel_elf BZIMAGE ELF: writes the ELF file that a bzImage carries, so that
 * the tests can boot both. (Linux boot protocol 2.08: payload_offset at 0x248,
 * payload_length at 0x24c, after the boot sector and setup_sects.)
 */
#include "base/checked.h"
#include "base/endian.h"
#include "boot/unpack.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>

static int unpack(const uint8_t *file, uint64_t size, uint8_t **elf,
                  uint64_t *elf_size, struct hk_errmsg *err)
{
    const uint64_t header_end = 0x250, max = 1ull << 30;
    if (size < header_end)
        return hk_err_set(err, -HK_ENOEXEC, "too short for a bzImage");
    uint64_t start = (file[0x1f1] + 1ull) * 512 + hk_get_le32(file + 0x248);
    uint64_t len = hk_get_le32(file + 0x24c);
    if (len < 4 || !hk_range_within(start, len, size))
        return hk_err_set(err, -HK_ENOEXEC, "the payload is outside the file");
    const struct hk_packing *packing = hk_packing_find(file + start, len);
    if (packing == NULL)
        return hk_err_set(err, -HK_ENOTSUP, "unknown compression");
    const struct hk_unpack job = {
        .name = "payload",
        .packing = packing,
        .data = file + start,
        .size = packing->has_own_size ? len : len - 4,
        .max = max,
        .expected = hk_get_le32(file + start + len - 4),
    };
    return hk_unpack_run(&job, elf, elf_size, err);
}

int main(int argc, char **argv)
{
    struct hk_errmsg err = {""};
    uint8_t *file = NULL, *elf = NULL;
    uint64_t size = 0, elf_size = 0;
    if (argc != 3) {
        (void)fputs("usage: kernel_elf BZIMAGE ELF\n", stderr);
        return 2;
    }
    int rc = hk_os_file_read_all(argv[1], 1ull << 30, &file, &size, &err);
    if (rc == 0)
        rc = unpack(file, size, &elf, &elf_size, &err);
    free(file);
    if (rc != 0) {
        (void)fprintf(stderr, "kernel_elf: %s: %s\n", argv[1], err.text);
        return 1;
    }
    FILE *out = fopen(argv[2], "wb");
    bool good = out != NULL && fwrite(elf, 1, elf_size, out) == elf_size;
    if (out != NULL && fclose(out) != 0)
        good = false;
    free(elf);
    if (!good)
        perror(argv[2]);
    return good ? 0 : 1;
}
