/* Taking ELF kernels apart. */
#include "make_kernel.h"

#include "boot/image.h"

static struct hk_image image;
static struct hk_errmsg err;

static int parse(const void *bytes, size_t size)
{
    struct hk_image_source source = {
        .name = "/boot/vmlinux", .data = bytes, .size = size};
    err.text[0] = '\0';
    return hk_image_parse(&source, &image, &err);
}

static int finish(void **state)
{
    hk_image_fini(&image);
    return 0;
}

/* Parses `elf`, expects refusal with `words` in a sentence naming the file. */
static void refuses(struct made elf, const char *words)
{
    assert_int_equal(parse(elf.bytes, elf.size), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "/boot/vmlinux"));
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    hk_image_fini(&image);
    free(elf.bytes);
}

static void row029_segments_go_to_their_physical_address(void **state)
{
    struct made elf = make_small_elf();
    assert_int_equal(parse(elf.bytes, elf.size), 0);
    assert_int_equal(image.format, HK_IMAGE_ELF);
    assert_int_equal(image.segment_count, 2);
    assert_int_equal(image.segment[0].gpa, 0x200000);
    assert_int_equal(image.segment[0].file_size, 600);
    assert_int_equal(image.segment[0].mem_size, 4096);
    assert_int_equal(image.segment[0].bytes[599], 0x90);
    assert_int_equal(image.segment[1].gpa, 0x300000);
    assert_int_equal(image.segment[1].bytes[0], 0x42);
    assert_int_equal(image.start, 0x200000);
    assert_int_equal(image.end, 0x300000 + 300);
    free(elf.bytes);
}

static void row029_a_physical_entry_is_taken_as_it_is(void **state)
{
    struct made elf = make_small_elf();
    assert_int_equal(parse(elf.bytes, elf.size), 0);
    assert_int_equal(image.entry, 0x200010);
    free(elf.bytes);
}

static void row029_a_virtual_entry_is_translated(void **state)
{
    struct made elf = make_small_elf();
    hk_put_le64(elf.bytes + 24, 0xffffffff80300007);
    assert_int_equal(parse(elf.bytes, elf.size), 0);
    assert_int_equal(image.entry, 0x300007);
    free(elf.bytes);
}

static void row029_refuses_an_entry_outside_of_the_segments(void **state)
{
    struct made elf = make_small_elf();
    hk_put_le64(elf.bytes + 24, 0x201000);
    refuses(elf, "starts at 0x201000");
}

static void row029_refuses_files_for_other_machines(void **state)
{
    struct made elf = make_small_elf();
    elf.bytes[4] = 1;
    refuses(elf, "32-bit");
    elf = make_small_elf();
    hk_put_le16(elf.bytes + 18, 183);
    refuses(elf, "another processor (ELF machine 183)");
    elf = make_small_elf();
    elf.bytes[5] = 2;
    refuses(elf, "another processor");
    elf = make_small_elf();
    hk_put_le16(elf.bytes + 16, 1);
    refuses(elf, "not an executable");
}

static void row029_refuses_a_program(void **state)
{
    struct made elf = make_small_elf();
    hk_put_le32(elf.bytes + MADE_PHOFF + MADE_PHDR, 3); /* PT_INTERP */
    refuses(elf, "is a program, not a kernel");
}

static void row029_refuses_a_file_cut_short_anywhere(void **state)
{
    struct made elf = make_small_elf();
    for (size_t size = 0; size < elf.size; size++) {
        uint8_t *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, elf.bytes, size);
        assert_int_equal(parse(copy, size), -HK_ENOEXEC);
        assert_non_null(strstr(err.text, "/boot/vmlinux"));
        free(copy);
    }
    free(elf.bytes);
}

static void row029_refuses_bad_program_headers(void **state)
{
    struct made elf = make_small_elf();
    hk_put_le16(elf.bytes + 56, 0);
    refuses(elf, "0 ELF program headers");
    elf = make_small_elf();
    hk_put_le16(elf.bytes + 56, 0xffff);
    refuses(elf, "65535 ELF program headers");
    elf = make_small_elf();
    hk_put_le16(elf.bytes + 54, 32);
    refuses(elf, "of 32 bytes");
    elf = make_small_elf();
    hk_put_le64(elf.bytes + 32, UINT64_MAX - 8);
    refuses(elf, "cut short");
    elf = make_small_elf();
    hk_put_le32(elf.bytes + MADE_PHOFF, 4);
    hk_put_le32(elf.bytes + MADE_PHOFF + MADE_PHDR, 4);
    refuses(elf, "nothing to load");
}

static void row029_refuses_bad_segments(void **state)
{
    enum { OFFSET = 8, PADDR = 24, FILE_SIZE = 32, MEM_SIZE = 40 };
    const struct {
        int field;
        uint64_t value;
        const char *words;
    } bad[] = {
        {OFFSET, UINT64_MAX - 10, "not in the file"},
        {OFFSET, 1 << 20, "not in the file"},
        {FILE_SIZE, 4097, "not in the file"},
        {FILE_SIZE, UINT64_MAX, "not in the file"},
        {PADDR, 0, "below 1 MiB"},
        {PADDR, 0xfffff, "below 1 MiB"},
        {PADDR, UINT64_MAX - 100, "past the end of physical memory"},
        {PADDR, 1ull << 52, "past the end of physical memory"},
        {MEM_SIZE, UINT64_MAX, "past the end of physical memory"},
        {PADDR, 0x300000 - 4095, "overlapping segments"},
        {MEM_SIZE, 0x100001, "overlapping segments"},
    };
    for (size_t i = 0; i < HK_COUNT(bad); i++) {
        struct made elf = make_small_elf();
        hk_put_le64(elf.bytes + MADE_PHOFF + bad[i].field, bad[i].value);
        refuses(elf, bad[i].words);
    }
}

static void touching_segments_do_not_overlap(void **state)
{
    struct made elf = make_small_elf();
    hk_put_le64(elf.bytes + MADE_PHOFF + 40, 0x100000);
    assert_int_equal(parse(elf.bytes, elf.size), 0);
    free(elf.bytes);
}

static void refuses_too_many_segments(void **state)
{
    struct made_segment s[HK_IMAGE_SEGMENTS_MAX + 1];
    for (unsigned i = 0; i < HK_COUNT(s); i++)
        s[i] = (struct made_segment){0x200000 + i * 0x1000, 0, 1, 1, 1};
    refuses(make_elf(s, HK_COUNT(s), 0x200000), "more than 32 segments");
}

static void empty_segments_are_skipped(void **state)
{
    const struct made_segment s[2] = {{0, 0, 0, 0, 0}, {0x100000, 0, 1, 1, 1}};
    struct made elf = make_elf(s, 2, 0x100000);
    assert_int_equal(parse(elf.bytes, elf.size), 0);
    assert_int_equal(image.segment_count, 1);
    assert_int_equal(image.start, 0x100000);
    free(elf.bytes);
}

static void an_elf_packed_as_a_whole_is_unpacked(void **state)
{
    struct made elf = make_small_elf();
    for (int p = 0; p < MADE_PACKINGS; p++) {
        struct made packed = pack(elf, (enum made_packing)p);
        assert_int_equal(parse(packed.bytes, packed.size), 0);
        assert_string_equal(image.packing, made_packing_name[p]);
        assert_int_equal(image.entry, 0x200010);
        hk_image_fini(&image);
        free(packed.bytes);
    }
    free(elf.bytes);
}

static void refuses_what_is_no_kernel_at_all(void **state)
{
    uint8_t text[100] = "#!/bin/sh\necho hello\n";
    assert_int_equal(parse(text, sizeof(text)), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "give a bzImage (vmlinuz) or an ELF"));
    memcpy(text + 0x38, "ARM\x64", 4);
    assert_int_equal(parse(text, sizeof(text)), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "arm64"));
    assert_int_equal(parse(text, 0), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "is empty"));
}

static void a_flat_image_goes_where_it_is_told(void **state)
{
    uint8_t bytes[64] = {0x90};
    struct hk_image_source source = {.name = "flat.bin",
                                     .data = bytes,
                                     .size = sizeof(bytes),
                                     .format = HK_IMAGE_RAW,
                                     .raw_gpa = 0x200000,
                                     .raw_entry = 0x20003f};
    assert_int_equal(hk_image_parse(&source, &image, &err), 0);
    assert_int_equal(image.segment[0].gpa, 0x200000);
    assert_int_equal(image.segment[0].mem_size, 64);
    assert_int_equal(image.entry, 0x20003f);
    source.raw_entry = 0x200040;
    assert_int_equal(hk_image_parse(&source, &image, &err), -HK_EINVAL);
    source.raw_entry = source.raw_gpa = 0xff000;
    assert_int_equal(hk_image_parse(&source, &image, &err), -HK_EINVAL);
    source.raw_entry = source.raw_gpa = UINT64_MAX - 4;
    assert_int_equal(hk_image_parse(&source, &image, &err), -HK_EINVAL);
    assert_non_null(strstr(err.text, "flat.bin"));
}

#define CASE(name) cmocka_unit_test_teardown(name, finish)
static const struct CMUnitTest cases[] = {
    CASE(row029_segments_go_to_their_physical_address),
    CASE(row029_a_physical_entry_is_taken_as_it_is),
    CASE(row029_a_virtual_entry_is_translated),
    CASE(row029_refuses_an_entry_outside_of_the_segments),
    CASE(row029_refuses_files_for_other_machines),
    CASE(row029_refuses_a_program),
    CASE(row029_refuses_a_file_cut_short_anywhere),
    CASE(row029_refuses_bad_program_headers),
    CASE(row029_refuses_bad_segments),
    CASE(touching_segments_do_not_overlap),
    CASE(refuses_too_many_segments),
    CASE(empty_segments_are_skipped),
    CASE(an_elf_packed_as_a_whole_is_unpacked),
    CASE(refuses_what_is_no_kernel_at_all),
    CASE(a_flat_image_goes_where_it_is_told),
};
HK_TEST_MAIN(cases)
