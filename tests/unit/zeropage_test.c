/* The zero page and the memory map in it. */
#include "make_kernel.h"

#include "boot/layout.h"
#include "boot/zeropage.h"

static struct hk_gmem *gmem;
static struct hk_e820_map map;
static uint8_t page[HK_ZEROPAGE_SIZE];

static int start(void **state)
{
    return hk_gmem_create(&gmem);
}

static int finish(void **state)
{
    hk_gmem_destroy(gmem);
    return 0;
}

static void add(uint64_t gpa, uint64_t size)
{
    assert_int_equal(hk_gmem_add(gmem, gpa, size, NULL), 0);
}

static void entry_is(uint32_t index, uint64_t gpa, uint64_t size, uint32_t type)
{
    const uint8_t *p = page + 0x2d0 + index * 20;
    assert_int_equal(hk_get_le64(p), gpa);
    assert_int_equal(hk_get_le64(p + 8), size);
    assert_int_equal(hk_get_le32(p + 16), type);
}

static void write_page(const struct hk_image *image)
{
    struct hk_zeropage info = {.image = image,
                               .map = &map,
                               .cmdline_gpa = HK_BOOT_CMDLINE,
                               .cmdline_len = 5,
                               .initrd_gpa = 0x3f00000,
                               .initrd_size = 0x1234,
                               .rsdp_gpa = HK_BOOT_ACPI};
    assert_int_equal(hk_e820_build(gmem, &map, NULL), 0);
    memset(page, 0xa5, sizeof(page));
    hk_zeropage_write(&info, page);
}

static void row028_the_page_of_an_elf_kernel_has_exactly_these_bytes(void **s)
{
    static uint8_t expected[HK_ZEROPAGE_SIZE];
    struct hk_image image = {0};
    add(0, 64 << 20);
    write_page(&image);

    hk_put_le64(expected + 0x70, 0xe0000);
    expected[0x1e8] = 3;
    hk_put_le16(expected + 0x1fe, 0xaa55);
    hk_put_le32(expected + 0x202, 0x53726448);
    hk_put_le16(expected + 0x206, 0x20f);
    expected[0x210] = 0xff;
    expected[0x211] = 1;
    hk_put_le32(expected + 0x218, 0x3f00000);
    hk_put_le32(expected + 0x21c, 0x1234);
    hk_put_le32(expected + 0x228, 0x20000);
    hk_put_le32(expected + 0x230, 0x1000000);
    hk_put_le32(expected + 0x238, 5);
    const uint64_t e820[3][3] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {0x100000, 0x3f00000, 1}};
    for (int i = 0; i < 3; i++) {
        hk_put_le64(expected + 0x2d0 + i * 20, e820[i][0]);
        hk_put_le64(expected + 0x2d8 + i * 20, e820[i][1]);
        expected[0x2e0 + i * 20] = (uint8_t)e820[i][2];
    }
    assert_memory_equal(page, expected, sizeof(page));
}

static void row028_a_setup_header_is_copied_and_filled_in(void **state)
{
    struct hk_image image = {.setup_size = 0x26c - 0x1f1};
    memset(image.setup, 0x5a, sizeof(image.setup));
    add(0, 64 << 20);
    write_page(&image);
    assert_int_equal(page[0x1f0], 0);
    assert_int_equal(page[0x1f1], 0x5a);
    assert_int_equal(page[0x26b], 0x5a);
    assert_int_equal(page[0x26c], 0);
    assert_int_equal(page[0x210], 0xff);
    assert_int_equal(hk_get_le32(page + 0x202), 0x53726448);
    assert_int_equal(hk_get_le64(page + 0x250), 0); /* setup_data */
    assert_int_equal(hk_get_le32(page + 0x228), 0x20000);
    assert_int_equal(page[0x1ef], 0); /* else the kernel wipes the header */
}

static void row028_memory_above_the_hole_is_listed(void **state)
{
    struct hk_boot_ram ram;
    struct hk_image image = {0};
    assert_int_equal(hk_boot_layout_ram(5ull << 30, &ram, NULL), 0);
    for (uint32_t i = 0; i < ram.count; i++)
        add(ram.region[i].gpa, ram.region[i].size);
    write_page(&image);
    assert_int_equal(page[0x1e8], 4);
    entry_is(2, 0x100000, 0xd0000000 - 0x100000, HK_E820_RAM);
    entry_is(3, 1ull << 32, (5ull << 30) - 0xd0000000, HK_E820_RAM);
}

static void adjacent_regions_are_one_entry(void **state)
{
    struct hk_image image = {0};
    add(0, 0x1000000);
    add(0x1000000, 0x200000);
    add(0x1200000, 0x100000);
    add(0x80000000, 0x1000);
    write_page(&image);
    assert_int_equal(page[0x1e8], 4);
    entry_is(2, 0x100000, 0x1200000, HK_E820_RAM);
    entry_is(3, 0x80000000, 0x1000, HK_E820_RAM);
}

static void no_initrd_means_no_address(void **state)
{
    struct hk_image image = {0};
    struct hk_zeropage info = {
        .image = &image, .map = &map, .initrd_gpa = 0x1000};
    add(0, 64 << 20);
    assert_int_equal(hk_e820_build(gmem, &map, NULL), 0);
    hk_zeropage_write(&info, page);
    assert_int_equal(hk_get_le32(page + 0x218), 0);
    assert_int_equal(hk_get_le32(page + 0x21c), 0);
    assert_int_equal(hk_get_le64(page + 0x70), 0);
}

static void refuses_a_machine_without_low_memory(void **state)
{
    struct hk_errmsg err;
    assert_int_equal(hk_e820_build(gmem, &map, &err), -HK_EINVAL);
    add(0, 0x100000);
    assert_int_equal(hk_e820_build(gmem, &map, &err), -HK_EINVAL);
    assert_non_null(strstr(err.text, "give it more"));
}

static void every_region_fits_into_the_map(void **state)
{
    add(0, 0x200000);
    for (uint64_t i = 1; i < HK_GMEM_MAX_REGIONS; i++)
        add(i << 30, 0x1000);
    assert_int_equal(hk_e820_build(gmem, &map, NULL), 0);
    assert_int_equal(map.count, HK_GMEM_MAX_REGIONS + 2);
}

static void small_memory_is_one_region(void **state)
{
    struct hk_boot_ram ram;
    assert_int_equal(hk_boot_layout_ram(HK_BOOT_HOLE_START, &ram, NULL), 0);
    assert_int_equal(ram.count, 1);
    assert_int_equal(ram.region[0].gpa, 0);
    assert_int_equal(ram.region[0].size, 0xd0000000);
    assert_int_equal(ram.end, 0xd0000000);
    assert_int_equal(ram.window_gpa, 1ull << 32);
}

static void large_memory_goes_around_the_hole(void **state)
{
    struct hk_boot_ram ram;
    assert_int_equal(hk_boot_layout_ram(0xd0000001, &ram, NULL), 0);
    assert_int_equal(ram.count, 2);
    assert_int_equal(ram.region[0].size, 0xd0000000);
    assert_int_equal(ram.region[1].gpa, 1ull << 32);
    assert_int_equal(ram.region[1].size, 0x1000);
    assert_int_equal(ram.end, 0x100001000);
    assert_int_equal(ram.window_gpa, 5ull << 30);
    assert_int_equal(hk_boot_layout_ram((4ull << 30) + 0xd0000000, &ram, NULL),
                     0);
    assert_int_equal(ram.end, 8ull << 30);
    assert_int_equal(ram.window_gpa, 9ull << 30);
}

static void refuses_too_little_and_too_much_memory(void **state)
{
    struct hk_boot_ram ram;
    struct hk_errmsg err;
    assert_int_equal(hk_boot_layout_ram(0, &ram, &err), -HK_EINVAL);
    assert_non_null(strstr(err.text, "at least 4 MiB"));
    assert_int_equal(hk_boot_layout_ram(UINT64_MAX, &ram, &err), -HK_EINVAL);
    assert_non_null(strstr(err.text, "at most 1024 GiB"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(row028_the_page_of_an_elf_kernel_has_exactly_these_bytes),
    CASE(row028_a_setup_header_is_copied_and_filled_in),
    CASE(row028_memory_above_the_hole_is_listed),
    CASE(adjacent_regions_are_one_entry),
    CASE(no_initrd_means_no_address),
    CASE(refuses_a_machine_without_low_memory),
    CASE(every_region_fits_into_the_map),
    CASE(small_memory_is_one_region),
    CASE(large_memory_goes_around_the_hole),
    CASE(refuses_too_little_and_too_much_memory),
};
HK_TEST_MAIN(cases)
