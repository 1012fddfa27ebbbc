/*
 * Tiny kernel files for tests: ELF64 executables and bzImages around them,
 * made in memory. Everything returned is malloc'ed and the test's to free.
 */
#ifndef HK_TEST_MAKE_KERNEL_H
#define HK_TEST_MAKE_KERNEL_H

#include "hk_test.h"

#include "base/compiler.h"
#include "base/endian.h"

#include <archive.h>
#include <archive_entry.h>

struct made {
    uint8_t *bytes;
    size_t size;
};

struct made_segment {
    uint64_t paddr, vaddr, file_size, mem_size;
    uint8_t fill; /* the byte of which its file part consists */
};

enum { MADE_EHDR = 64, MADE_PHDR = 56, MADE_PHOFF = 64 };

static struct made HK_UNUSED make_elf(const struct made_segment *segments,
                                      uint16_t count, uint64_t entry)
{
    struct made elf = {.size = MADE_EHDR + (size_t)count * MADE_PHDR};
    for (uint16_t i = 0; i < count; i++)
        elf.size += segments[i].file_size;
    uint8_t *b = elf.bytes = calloc(1, elf.size);
    assert_non_null(b);
    memcpy(b, "\177ELF\2\1\1", 7);
    hk_put_le16(b + 16, 2);  /* executable */
    hk_put_le16(b + 18, 62); /* x86-64 */
    hk_put_le32(b + 20, 1);
    hk_put_le64(b + 24, entry);
    hk_put_le64(b + 32, MADE_PHOFF);
    hk_put_le16(b + 52, MADE_EHDR);
    hk_put_le16(b + 54, MADE_PHDR);
    hk_put_le16(b + 56, count);
    uint64_t at = MADE_EHDR + (uint64_t)count * MADE_PHDR;
    for (uint16_t i = 0; i < count; i++) {
        uint8_t *p = b + MADE_PHOFF + i * MADE_PHDR;
        hk_put_le32(p, 1); /* PT_LOAD */
        hk_put_le32(p + 4, 7);
        hk_put_le64(p + 8, at);
        hk_put_le64(p + 16, segments[i].vaddr);
        hk_put_le64(p + 24, segments[i].paddr);
        hk_put_le64(p + 32, segments[i].file_size);
        hk_put_le64(p + 40, segments[i].mem_size);
        memset(b + at, segments[i].fill, (size_t)segments[i].file_size);
        at += segments[i].file_size;
    }
    return elf;
}

/* Two segments at 2 and 3 MiB, entry 0x10 bytes into the first. */
static struct made HK_UNUSED make_small_elf(void)
{
    const struct made_segment segments[2] = {
        {0x200000, 0xffffffff80200000, 600, 4096, 0x90},
        {0x300000, 0xffffffff80300000, 100, 300, 0x42},
    };
    return make_elf(segments, 2, 0x200010);
}

enum made_packing {
    MADE_GZIP,
    MADE_BZIP2,
    MADE_XZ,
    MADE_LZMA,
    MADE_LZ4,
    MADE_ZSTD,
    MADE_PACKINGS
};

static const char *const made_packing_name[MADE_PACKINGS] HK_UNUSED = {
    "gzip", "bzip2", "xz", "lzma", "lz4", "zstd"};

/* The legacy form, stored: blocks of literals only, `block` bytes each. */
static struct made HK_UNUSED pack_lz4_legacy(struct made in, size_t block)
{
    struct made out = {.bytes = malloc(in.size * 2 + 64)};
    assert_non_null(out.bytes);
    hk_put_le32(out.bytes, 0x184c2102);
    out.size = 4;
    for (size_t at = 0; at < in.size; at += block) {
        size_t n = in.size - at < block ? in.size - at : block;
        uint8_t *start = out.bytes + out.size, *p = start + 4;
        if (n < 15) {
            *p++ = (uint8_t)(n << 4);
        } else {
            *p++ = 0xf0;
            size_t left = n - 15;
            for (; left >= 255; left -= 255)
                *p++ = 255;
            *p++ = (uint8_t)left;
        }
        memcpy(p, in.bytes + at, n);
        hk_put_le32(start, (uint32_t)(p + n - start - 4));
        out.size += (size_t)(p + n - start);
    }
    return out;
}

static struct made HK_UNUSED pack(struct made in, enum made_packing packing)
{
    if (packing == MADE_LZ4)
        return pack_lz4_legacy(in, 512);
    struct made out = {.bytes = malloc(in.size * 2 + 4096)};
    struct archive *w = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    assert_true(out.bytes && w && entry);
    int (*const add[MADE_PACKINGS])(struct archive *) = {
        [MADE_GZIP] = archive_write_add_filter_gzip,
        [MADE_BZIP2] = archive_write_add_filter_bzip2,
        [MADE_XZ] = archive_write_add_filter_xz,
        [MADE_LZMA] = archive_write_add_filter_lzma,
        [MADE_ZSTD] = archive_write_add_filter_zstd,
    };
    assert_int_equal(add[packing](w), ARCHIVE_OK);
    assert_int_equal(archive_write_set_format_raw(w), ARCHIVE_OK);
    assert_int_equal(archive_write_set_bytes_in_last_block(w, 1), ARCHIVE_OK);
    assert_int_equal(
        archive_write_open_memory(w, out.bytes, in.size * 2 + 4096, &out.size),
        ARCHIVE_OK);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "kernel");
    assert_int_equal(archive_write_header(w, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(w, in.bytes, in.size), in.size);
    assert_int_equal(archive_write_close(w), ARCHIVE_OK);
    archive_entry_free(entry);
    archive_write_free(w);
    return out;
}

enum { MADE_PAYLOAD = 1024 + 16 }; /* one setup sector, then 16 bytes */

/* A bzImage around a packed payload; `unpacked` goes to its end unless the
 * stream carries its size itself. */
static struct made HK_UNUSED wrap_bzimage(struct made packed, bool has_own_size,
                                          uint32_t unpacked)
{
    size_t length = packed.size + (has_own_size ? 0 : 4);
    struct made bz = {.size = MADE_PAYLOAD + length};
    uint8_t *b = bz.bytes = calloc(1, bz.size);
    assert_non_null(b);
    b[0x1ef] = 0xff; /* the sentinel of the real ones */
    b[0x1f1] = 1;
    hk_put_le32(b + 0x1f4, (uint32_t)((16 + length + 15) / 16));
    hk_put_le16(b + 0x1fe, 0xaa55);
    b[0x201] = 0x6a;
    memcpy(b + 0x202, "HdrS", 4);
    hk_put_le16(b + 0x206, 0x20f);
    b[0x211] = 1;
    hk_put_le32(b + 0x22c, 0x7fffffff);
    hk_put_le32(b + 0x230, 0x200000);
    hk_put_le16(b + 0x236, 1);
    hk_put_le32(b + 0x238, 2047);
    hk_put_le32(b + 0x248, 16);
    hk_put_le32(b + 0x24c, (uint32_t)length);
    hk_put_le64(b + 0x258, 0x1000000);
    memcpy(b + MADE_PAYLOAD, packed.bytes, packed.size);
    if (!has_own_size)
        hk_put_le32(b + bz.size - 4, unpacked);
    return bz;
}

static struct made HK_UNUSED make_bzimage(struct made inner,
                                          enum made_packing packing)
{
    struct made packed = pack(inner, packing);
    struct made bz =
        wrap_bzimage(packed, packing == MADE_GZIP, (uint32_t)inner.size);
    free(packed.bytes);
    return bz;
}

#endif
