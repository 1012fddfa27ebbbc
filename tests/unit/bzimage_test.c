/* Taking bzImages apart: the setup header and the payload. */
#include "make_kernel.h"

#include "boot/cmdline.h"
#include "boot/image.h"
#include "boot/layout.h"

static struct hk_image image;
static struct hk_errmsg err;

static int parse_max(const void *bytes, size_t size, uint64_t max)
{
    struct hk_image_source source = {.name = "/boot/vmlinuz",
                                     .data = bytes,
                                     .size = size,
                                     .unpack_max = max};
    err.text[0] = '\0';
    return hk_image_parse(&source, &image, &err);
}

static int parse(struct made bz)
{
    return parse_max(bz.bytes, bz.size, 0);
}

static int finish(void **state)
{
    hk_image_fini(&image);
    return 0;
}

static struct made small(enum made_packing packing)
{
    struct made elf = make_small_elf();
    struct made bz = make_bzimage(elf, packing);
    free(elf.bytes);
    return bz;
}

static void refuses(struct made bz, int code, const char *words)
{
    assert_int_equal(parse(bz), code);
    assert_non_null(strstr(err.text, "/boot/vmlinuz"));
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    hk_image_fini(&image);
    free(bz.bytes);
}

static void every_compression_is_unpacked_on_the_host(void **state)
{
    for (int p = 0; p < MADE_PACKINGS; p++) {
        struct made bz = small((enum made_packing)p);
        int rc = parse(bz);
        if (rc)
            fail_msg("%s: %s", made_packing_name[p], err.text);
        assert_int_equal(image.format, HK_IMAGE_BZIMAGE);
        assert_string_equal(image.packing, made_packing_name[p]);
        assert_int_equal(image.entry, 0x200010);
        assert_int_equal(image.segment_count, 2);
        assert_int_equal(image.segment[1].bytes[99], 0x42);
        hk_image_fini(&image);
        free(bz.bytes);
    }
}

static void the_setup_header_is_kept(void **state)
{
    struct made bz = small(MADE_GZIP);
    assert_int_equal(parse(bz), 0);
    assert_int_equal(image.setup_size, 0x202 + 0x6a - 0x1f1);
    assert_memory_equal(image.setup, bz.bytes + 0x1f1, image.setup_size);
    assert_int_equal(image.cmdline_max, 2047);
    assert_int_equal(image.initrd_last, 0x7fffffff);
    hk_image_fini(&image);

    bz.bytes[0x201] = 0xff; /* longer than there is room for */
    hk_put_le32(bz.bytes + 0x238, UINT32_MAX);
    hk_put_le32(bz.bytes + 0x22c, UINT32_MAX);
    assert_int_equal(parse(bz), 0);
    assert_int_equal(image.setup_size, 0x290 - 0x1f1);
    assert_int_equal(image.cmdline_max, HK_CMDLINE_MAX);
    assert_int_equal(image.initrd_last, HK_BOOT_HOLE_START - 1);
    free(bz.bytes);
}

static void relocations_after_the_elf_file_are_ignored(void **state)
{
    struct made elf = make_small_elf();
    elf.bytes = realloc(elf.bytes, elf.size + 64);
    assert_non_null(elf.bytes);
    memset(elf.bytes + elf.size, 0xcc, 64);
    elf.size += 64;
    struct made bz = make_bzimage(elf, MADE_ZSTD);
    assert_int_equal(parse(bz), 0);
    free(elf.bytes);
    free(bz.bytes);
}

static void no_setup_sectors_means_four(void **state)
{
    struct made bz = small(MADE_XZ);
    enum { MORE = 3 * 512 };
    uint8_t *longer = calloc(1, bz.size + MORE);
    assert_non_null(longer);
    memcpy(longer, bz.bytes, 1024);
    memcpy(longer + 1024 + MORE, bz.bytes + 1024, bz.size - 1024);
    longer[0x1f1] = 0;
    assert_int_equal(parse_max(longer, bz.size + MORE, 0), 0);
    free(longer);
    free(bz.bytes);
}

static void refuses_a_bad_setup_header(void **state)
{
    struct made bz = small(MADE_GZIP);
    hk_put_le16(bz.bytes + 0x1fe, 0);
    refuses(bz, -HK_ENOEXEC, "boot signature");
    bz = small(MADE_GZIP);
    hk_put_le16(bz.bytes + 0x206, 0x207);
    refuses(bz, -HK_ENOEXEC, "boot protocol 2.07");
    bz = small(MADE_GZIP);
    hk_put_le16(bz.bytes + 0x236, 0);
    refuses(bz, -HK_ENOEXEC, "32-bit kernel");
}

static void refuses_a_payload_outside_of_the_file(void **state)
{
    const struct {
        int field;
        uint32_t value;
    } lies[] = {{0x24c, UINT32_MAX},
                {0x24c, 4},
                {0x24c, 0},
                {0x248, UINT32_MAX},
                {0x248, 0x7fffffff}};
    for (size_t i = 0; i < HK_COUNT(lies); i++) {
        struct made bz = small(MADE_ZSTD);
        hk_put_le32(bz.bytes + lies[i].field, lies[i].value);
        refuses(bz, -HK_ENOEXEC, "payload");
    }
    struct made bz = small(MADE_ZSTD);
    hk_put_le32(bz.bytes + 0x24c, hk_get_le32(bz.bytes + 0x24c) + 1);
    refuses(bz, -HK_ENOEXEC, "not inside the file");
}

static void refuses_a_file_cut_short_anywhere(void **state)
{
    struct made bz = small(MADE_XZ);
    for (size_t size = 0; size < bz.size; size++) {
        uint8_t *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, bz.bytes, size);
        assert_int_equal(parse_max(copy, size, 0), -HK_ENOEXEC);
        hk_image_fini(&image);
        free(copy);
    }
    bz.size -= 64;
    refuses(bz, -HK_ENOEXEC, "cut short");
}

static void refuses_a_lying_unpacked_size(void **state)
{
    for (int p = 0; p < MADE_PACKINGS; p++) {
        for (int32_t off = -1; off <= 1; off += 2) {
            struct made bz = small((enum made_packing)p);
            uint8_t *size = bz.bytes + bz.size - 4;
            hk_put_le32(size, hk_get_le32(size) + (uint32_t)off);
            assert_int_equal(parse(bz), -HK_ENOEXEC);
            assert_non_null(strstr(err.text, "payload"));
            hk_image_fini(&image);
            free(bz.bytes);
        }
    }
    struct made bz = small(MADE_ZSTD);
    hk_put_le32(bz.bytes + bz.size - 4, 0);
    refuses(bz, -HK_ENOEXEC, "unpacks to nothing");
    bz = small(MADE_ZSTD);
    hk_put_le32(bz.bytes + bz.size - 4, UINT32_MAX);
    refuses(bz, -HK_EFBIG, "more memory");
}

static void refuses_to_unpack_more_than_the_limit(void **state)
{
    struct made elf = make_small_elf();
    struct made bz = make_bzimage(elf, MADE_XZ);
    struct made packed = pack(elf, MADE_GZIP);
    assert_int_equal(parse_max(bz.bytes, bz.size, elf.size), 0);
    hk_image_fini(&image);
    assert_int_equal(parse_max(bz.bytes, bz.size, elf.size - 1), -HK_EFBIG);
    assert_int_equal(parse_max(packed.bytes, packed.size, elf.size), 0);
    hk_image_fini(&image);
    assert_int_equal(parse_max(packed.bytes, packed.size, elf.size - 1),
                     -HK_EFBIG);
    assert_null(image.unpacked);
    free(packed.bytes);
    free(bz.bytes);
    free(elf.bytes);
}

static void refuses_a_damaged_payload(void **state)
{
    for (int p = 0; p < MADE_PACKINGS; p++) {
        struct made bz = small((enum made_packing)p);
        memset(bz.bytes + MADE_PAYLOAD + 8, 0xff, 24);
        refuses(bz, -HK_ENOEXEC, "payload");
    }
}

static void refuses_lengths_that_would_take_the_host_s_memory(void **state)
{
    struct made bz = small(MADE_LZ4);
    hk_put_le32(bz.bytes + MADE_PAYLOAD + 4, 0xfffffff0);
    refuses(bz, -HK_ENOEXEC, "a length in it is wrong");
    bz = small(MADE_LZMA);
    hk_put_le32(bz.bytes + MADE_PAYLOAD + 1, 0x20000000);
    refuses(bz, -HK_ENOEXEC, "a length in it is wrong");
}

static void refuses_unknown_compression(void **state)
{
    struct made bz = small(MADE_ZSTD);
    memcpy(bz.bytes + MADE_PAYLOAD, "\xde\xad\xbe\xef", 4);
    refuses(bz, -HK_ENOEXEC, "first bytes de ad be ef");
    bz = small(MADE_ZSTD);
    memcpy(bz.bytes + MADE_PAYLOAD, "\x89LZO", 4);
    refuses(bz, -HK_ENOTSUP, "packed with lzo");
    bz = small(MADE_ZSTD);
    memcpy(bz.bytes + MADE_PAYLOAD, "\x04\x22\x4d\x18", 4);
    refuses(bz, -HK_ENOTSUP, "packed with lz4-frame");
}

static void refuses_a_payload_that_is_no_elf(void **state)
{
    uint8_t text[64] = "not a kernel";
    struct made bz =
        make_bzimage((struct made){text, sizeof(text)}, MADE_BZIP2);
    refuses(bz, -HK_ENOEXEC, "not an ELF file");
}

static void a_packed_payload_is_unpacked_once_only(void **state)
{
    struct made elf = make_small_elf();
    struct made once = pack(elf, MADE_GZIP);
    struct made bz = make_bzimage(once, MADE_XZ);
    free(elf.bytes);
    free(once.bytes);
    refuses(bz, -HK_ENOEXEC, "not an ELF file");
}

static void check_real_kernel(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("HUSK_TEST_KERNELS names %s, which cannot be opened", path);
    const size_t max = 64u << 20;
    struct made bz = {.bytes = malloc(max)};
    assert_non_null(bz.bytes);
    bz.size = fread(bz.bytes, 1, max, file);
    fclose(file);
    if (parse(bz))
        fail_msg("%s", err.text);
    assert_int_equal(image.format, HK_IMAGE_BZIMAGE);
    assert_int_equal(image.start, 0x1000000);
    assert_in_range(image.entry, 0x1000000, 0x1200000);
    assert_int_equal(image.cmdline_max, 2047);
    print_message("# %s: %s, %u segments to %#llx\n", path, image.packing,
                  image.segment_count, (unsigned long long)image.end);
    hk_image_fini(&image);
    free(bz.bytes);
}

static void distribution_kernels_are_accepted(void **state)
{
    const char *list = getenv("HUSK_TEST_KERNELS");
    if (!list || !*list)
        hk_skip("HUSK_TEST_KERNELS names no kernels (paths with spaces or ; "
                "between them)");
    char *copy = strdup(list);
    assert_non_null(copy);
    for (char *p = strtok(copy, " ;\n"); p; p = strtok(NULL, " ;\n"))
        check_real_kernel(p);
    free(copy);
}

#define CASE(name) cmocka_unit_test_teardown(name, finish)
static const struct CMUnitTest cases[] = {
    CASE(every_compression_is_unpacked_on_the_host),
    CASE(the_setup_header_is_kept),
    CASE(relocations_after_the_elf_file_are_ignored),
    CASE(no_setup_sectors_means_four),
    CASE(refuses_a_bad_setup_header),
    CASE(refuses_a_payload_outside_of_the_file),
    CASE(refuses_a_file_cut_short_anywhere),
    CASE(refuses_a_lying_unpacked_size),
    CASE(refuses_to_unpack_more_than_the_limit),
    CASE(refuses_a_damaged_payload),
    CASE(refuses_lengths_that_would_take_the_host_s_memory),
    CASE(refuses_unknown_compression),
    CASE(refuses_a_payload_that_is_no_elf),
    CASE(a_packed_payload_is_unpacked_once_only),
    CASE(distribution_kernels_are_accepted),
};
HK_TEST_MAIN(cases)
