/* A whole boot image in guest memory, and the registers to start it. */
#include "make_kernel.h"

#include "boot/boot.h"

enum { MIB = 1 << 20 };

static struct hk_gmem *gmem;
static struct hk_errmsg err;
static unsigned writes;
static struct made kernel;

static void count_write(void *opaque, hk_gpa_t gpa, uint64_t len)
{
    writes++;
}

static int start(void **state)
{
    writes = 0;
    kernel = make_small_elf();
    if (hk_gmem_create(&gmem) || hk_gmem_add(gmem, 0, 32 * MIB, NULL))
        return -1;
    hk_gmem_set_watch(gmem, count_write, NULL);
    return 0;
}

static int finish(void **state)
{
    hk_gmem_destroy(gmem);
    free(kernel.bytes);
    return 0;
}

static struct hk_boot_config config(void)
{
    return (struct hk_boot_config){
        .gmem = gmem,
        .kernel = {.data = kernel.bytes, .size = kernel.size},
        .cmdline = "console=ttyS0",
        .machine = {.vcpu_count = 2,
                    .lapic_gpa = 0xfee00000,
                    .ioapic_gpa = 0xfec00000,
                    .has_com1 = true,
                    .acpi = {.sleep_control_port = 0x600,
                             .sleep_status_port = 0x601,
                             .reset_port = 0x602,
                             .reset_value = 1,
                             .s5_type = 5}},
    };
}

static void use_kernel(struct hk_boot_config *c, struct made new_kernel)
{
    free(kernel.bytes);
    kernel = new_kernel;
    c->kernel.data = kernel.bytes;
    c->kernel.size = kernel.size;
}

static struct hk_boot_info load(const struct hk_boot_config *c)
{
    struct hk_boot_info info;
    if (hk_boot_load(c, &info, &err))
        fail_msg("%s", err.text);
    return info;
}

/* Expects refusal with these words, and that nothing was written. */
static void refuses(const struct hk_boot_config *c, int code, const char *words)
{
    struct hk_boot_info info;
    err.text[0] = '\0';
    assert_int_equal(hk_boot_load(c, &info, &err), code);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    assert_int_equal(writes, 0);
}

static void at(hk_gpa_t gpa, void *out, size_t len)
{
    assert_int_equal(hk_gmem_copy_in(gmem, out, gpa, len), 0);
}

static uint64_t qword(hk_gpa_t gpa)
{
    uint8_t bytes[8];
    at(gpa, bytes, 8);
    return hk_get_le64(bytes);
}

static uint32_t dword(hk_gpa_t gpa)
{
    return (uint32_t)qword(gpa);
}

static uint8_t byte(hk_gpa_t gpa)
{
    return (uint8_t)qword(gpa);
}

static void row029_an_elf_is_loaded_and_its_rest_is_zero(void **state)
{
    struct hk_boot_config c = config();
    assert_int_equal(hk_gmem_fill(gmem, 0x200000, 0xee, 8192), 0);
    struct hk_boot_info info = load(&c);
    assert_int_equal(info.entry, 0x200010);
    assert_int_equal(info.kernel_start, 0x200000);
    assert_int_equal(info.kernel_end, 0x300000 + 300);
    assert_int_equal(byte(0x200000), 0x90);
    assert_int_equal(byte(0x200000 + 599), 0x90);
    assert_int_equal(byte(0x200000 + 600), 0);
    assert_int_equal(byte(0x200000 + 4095), 0);
    assert_int_equal(byte(0x200000 + 4096), 0xee);
    assert_int_equal(byte(0x300000 + 99), 0x42);
    assert_int_equal(info.packing == NULL, true);
}

static void a_bzimage_is_loaded_with_its_setup_header(void **state)
{
    struct hk_boot_config c = config();
    use_kernel(&c, make_bzimage(kernel, MADE_ZSTD));
    struct hk_boot_info info = load(&c);
    assert_int_equal(info.entry, 0x200010);
    assert_string_equal(info.packing, "zstd");
    assert_int_equal(byte(0x200010), 0x90);
    assert_int_equal(dword(HK_BOOT_ZERO_PAGE + 0x22c), 0x7fffffff);
    assert_int_equal(dword(HK_BOOT_ZERO_PAGE + 0x24c),
                     hk_get_le32(kernel.bytes + 0x24c));
}

static void row028_tables_and_command_line_are_where_they_belong(void **state)
{
    struct hk_boot_config c = config();
    struct hk_boot_info info = load(&c);
    char text[16];
    at(HK_BOOT_CMDLINE, text, sizeof(text));
    assert_string_equal(text, "console=ttyS0");
    assert_int_equal(dword(HK_BOOT_ZERO_PAGE + 0x228), HK_BOOT_CMDLINE);
    assert_int_equal(dword(HK_BOOT_ZERO_PAGE + 0x238), 13);
    at(0x9fc00, text, 4);
    assert_memory_equal(text, "_MP_", 4);
    at(0xe0000, text, 8);
    assert_memory_equal(text, "RSD PTR ", 8);
    assert_int_equal(info.acpi_rsdp, 0xe0000);
    assert_int_equal(qword(HK_BOOT_ZERO_PAGE + 0x70), 0xe0000);
    assert_int_equal(byte(HK_BOOT_ZERO_PAGE + 0x1e8), 3);
}

static void acpi_can_be_left_out(void **state)
{
    struct hk_boot_config c = config();
    c.machine.acpi.off = true;
    struct hk_boot_info info = load(&c);
    assert_int_equal(info.acpi_rsdp, 0);
    assert_int_equal(qword(HK_BOOT_ZERO_PAGE + 0x70), 0);
    assert_int_equal(qword(0xe0000), 0);
}

static void the_first_gibibyte_is_mapped_onto_itself(void **state)
{
    struct hk_boot_config c = config();
    load(&c);
    assert_int_equal(qword(0x500), 0);
    assert_int_equal(qword(0x508), 0x00af9b000000ffff);
    assert_int_equal(qword(0x510), 0x00cf93000000ffff);
    assert_int_equal(qword(0x518), 0x008f8b000000ffff);
    assert_int_equal(qword(0x520), 0);
    assert_int_equal(qword(0x9000), 0xa003);
    assert_int_equal(qword(0x9008), 0);
    assert_int_equal(qword(0xa000), 0xb003);
    assert_int_equal(qword(0xa008), 0);
    for (uint64_t i = 0; i < 512; i++)
        assert_int_equal(qword(0xb000 + i * 8), i << 21 | 0x83);
    assert_int_equal(qword(0xc000), 0);
}

static void a_kernel_higher_up_gets_a_larger_map(void **state)
{
    struct hk_boot_config c = config();
    const struct made_segment s = {0x82345000, 0, 16, 16, 0xf4};
    use_kernel(&c, make_elf(&s, 1, 0x82345000));
    assert_int_equal(hk_gmem_add(gmem, 0x82345000, 0x1000, NULL), 0);
    load(&c);
    assert_int_equal(qword(0xa008), 0xc003);
    assert_int_equal(qword(0xa010), 0xd003);
    assert_int_equal(qword(0xa018), 0);
    assert_int_equal(qword(0xd000 + 0x11 * 8), 0x82200083);
}

static void refuses_a_kernel_out_of_reach_of_the_map(void **state)
{
    struct hk_boot_config c = config();
    const struct made_segment s = {21ull << 30, 0, 16, 16, 0xf4};
    use_kernel(&c, make_elf(&s, 1, 21ull << 30));
    assert_int_equal(hk_gmem_add(gmem, 21ull << 30, 0x1000, NULL), 0);
    refuses(&c, -HK_ENOSPC, "above 21 GiB");
}

static void the_registers_are_those_of_the_boot_protocol(void **state)
{
    struct hk_boot_config c = config();
    struct hk_boot_info info = load(&c);
    struct hk_vcpu_state s;
    memset(&s, 0xa5, sizeof(s));
    hk_boot_set_regs(&info, &s);
    assert_int_equal(s.rip, 0x200010);
    assert_int_equal(s.rflags, 2);
    assert_int_equal(s.gpr[HK_RSI], 0x7000);
    assert_int_equal(s.gpr[HK_RSP], 0x8ff0);
    assert_int_equal(s.gpr[HK_RBP], 0x8ff0);
    assert_int_equal(s.gpr[HK_RAX], 0);
    assert_int_equal(s.cr0, 0x80000011);
    assert_int_equal(s.cr3, 0x9000);
    assert_int_equal(s.cr4, 0x20);
    assert_int_equal(s.efer, 0x500);
    assert_int_equal(s.cs.selector, 8);
    assert_int_equal(s.cs.attr, 0xa09b);
    assert_int_equal(s.ds.selector, 0x10);
    assert_int_equal(s.ss.attr, 0xc093);
    assert_int_equal(s.tr.selector, 0x18);
    assert_int_equal(s.tr.attr, 0x808b);
    assert_int_equal(s.gdtr.base, 0x500);
    assert_int_equal(s.gdtr.limit, 31);
    assert_int_equal(s.idtr.base, 0x520);
    assert_int_equal(s.idtr.limit, 7);
    assert_int_equal(hk_get_le16(s.fxsave), 0x37f);
    assert_int_equal(hk_get_le32(s.fxsave + 24), 0x1f80);
}

static void the_initrd_goes_to_the_end_of_memory(void **state)
{
    struct hk_boot_config c = config();
    uint8_t disk[5000];
    memset(disk, 0x77, sizeof(disk));
    c.initrd = (struct hk_boot_blob){.data = disk, .size = sizeof(disk)};
    struct hk_boot_info info = load(&c);
    assert_int_equal(info.initrd_gpa, 32 * MIB - 8192);
    assert_int_equal(info.initrd_size, 5000);
    assert_int_equal(dword(HK_BOOT_ZERO_PAGE + 0x218), info.initrd_gpa);
    assert_int_equal(dword(HK_BOOT_ZERO_PAGE + 0x21c), 5000);
    assert_int_equal(byte(info.initrd_gpa), 0x77);
    assert_int_equal(byte(info.initrd_gpa + 4999), 0x77);
    assert_int_equal(byte(info.initrd_gpa + 5000), 0);
}

static void the_initrd_respects_the_header_and_the_hole(void **state)
{
    struct hk_boot_config c = config();
    uint8_t disk[100] = {1};
    c.initrd = (struct hk_boot_blob){.data = disk, .size = sizeof(disk)};
    assert_int_equal(hk_gmem_add(gmem, 1ull << 32, MIB, NULL), 0);
    assert_int_equal(load(&c).initrd_gpa, 32 * MIB - 4096);

    use_kernel(&c, make_bzimage(kernel, MADE_GZIP));
    hk_put_le32(kernel.bytes + 0x22c, 0xffffff);
    assert_int_equal(load(&c).initrd_gpa, 0xfff000);
}

static void the_initrd_never_overlaps_the_kernel(void **state)
{
    struct hk_boot_config c = config();
    const struct made_segment s = {31 * MIB, 0, 16, MIB, 0xf4};
    uint8_t disk[100] = {1};
    use_kernel(&c, make_elf(&s, 1, 31 * MIB));
    c.initrd = (struct hk_boot_blob){.data = disk, .size = sizeof(disk)};
    assert_int_equal(load(&c).initrd_gpa, 31 * MIB - 4096);
}

static void refuses_an_initrd_that_does_not_fit(void **state)
{
    struct hk_boot_config c = config();
    c.initrd.size = 30 * MIB;
    uint8_t *disk = calloc(1, c.initrd.size);
    assert_non_null(disk);
    c.initrd.data = disk;
    refuses(&c, -HK_ENOSPC, "give it more memory");
    c.initrd.size = 0;
    refuses(&c, -HK_EINVAL, "empty initrd");
    free(disk);
}

static void refuses_a_kernel_larger_than_memory(void **state)
{
    struct hk_boot_config c = config();
    const struct made_segment s = {31 * MIB, 0, 16, MIB + 1, 0xf4};
    use_kernel(&c, make_elf(&s, 1, 31 * MIB));
    refuses(&c, -HK_ENOSPC, "this VM with 32 MiB does not have; give it more");
}

static void refuses_a_kernel_in_the_device_window(void **state)
{
    struct hk_boot_config c = config();
    const struct made_segment s = {0xd0000000, 0, 16, 16, 0xf4};
    use_kernel(&c, make_elf(&s, 1, 0xd0000000));
    refuses(&c, -HK_ENOSPC, "0xd0000000");
}

static void refuses_a_bad_command_line(void **state)
{
    struct hk_boot_config c = config();
    static char line[0x10001];
    memset(line, 'x', 0x10000);
    c.cmdline = line;
    refuses(&c, -HK_E2BIG, "shorten it");
    c.cmdline = "a\nb";
    refuses(&c, -HK_EINVAL, "printable");
    use_kernel(&c, make_bzimage(kernel, MADE_GZIP));
    line[2048] = '\0';
    c.cmdline = line;
    refuses(&c, -HK_E2BIG, "this kernel takes 2047");
}

static void the_longest_command_line_is_taken(void **state)
{
    struct hk_boot_config c = config();
    static char line[0x10000], back[0x10000];
    memset(line, 'y', 0xffff);
    c.cmdline = line;
    load(&c);
    at(HK_BOOT_CMDLINE, back, sizeof(back));
    assert_memory_equal(line, back, sizeof(back));
}

/* What the kernel's command line is with two devices in the machine. */
static const char *line_with_devices(struct hk_boot_config *c)
{
    static const struct hk_boot_slot slots[] = {{0xd0000000, 0x1000, 5, true},
                                                {0xd0001000, 0x1000, 6, true}};
    static char line[256];
    c->machine.slots = slots;
    c->machine.slot_count = 2;
    load(c);
    at(HK_BOOT_CMDLINE, line, sizeof(line));
    return line;
}

static void a_kernel_without_acpi_is_told_of_devices(void **state)
{
    struct hk_boot_config c = config();
    c.cmdline = "quiet -- word";
    c.cmdline_devices = true;
    assert_string_equal(line_with_devices(&c),
                        "quiet virtio_mmio.device=4K@0xd0000000:5 "
                        "virtio_mmio.device=4K@0xd0001000:6 -- word");
}

static void a_kernel_with_acpi_finds_devices_itself(void **state)
{
    struct hk_boot_config c = config();
    c.cmdline_devices = true;
    memcpy(kernel.bytes + kernel.size - 8, "RSD PTR ", 8);
    assert_string_equal(line_with_devices(&c), "console=ttyS0");
    c.machine.acpi.off = true; /* then it cannot */
    assert_non_null(strstr(line_with_devices(&c), "virtio_mmio.device="));
}

static void devices_are_not_named_unasked(void **state)
{
    struct hk_boot_config c = config();
    assert_string_equal(line_with_devices(&c), "console=ttyS0");
}

static void refuses_a_kernel_without_a_driver(void **state)
{
    struct hk_boot_config c = config();
    static const char *const drivers[] = {"husk_one", "husk_two", NULL};
    c.drivers = drivers;
    refuses(&c, -HK_ENOTSUP, "no husk_one built in");
    memcpy(kernel.bytes + kernel.size - 8, "husk_one", 8);
    refuses(&c, -HK_ENOTSUP, "no husk_two built in");
    c.drivers = &drivers[2];
    (void)load(&c);
}

static void refuses_impossible_machines(void **state)
{
    struct hk_boot_config c = config();
    c.machine.vcpu_count = 255;
    refuses(&c, -HK_EINVAL, "1 to 254 CPUs");
    c = config();
    c.machine.slots = &(struct hk_boot_slot){0xd0000000, 0x1000, 24, false};
    c.machine.slot_count = 1;
    refuses(&c, -HK_EINVAL, "interrupt 24");
    c = config();
    c.kernel = (struct hk_boot_blob){0};
    refuses(&c, -HK_EINVAL, "no kernel was given");
}

static void the_largest_machine_keeps_its_tables_apart(void **state)
{
    struct hk_boot_config c = config();
    c.machine.vcpu_count = HK_BOOT_CPUS_MAX;
    load(&c);
    char text[8];
    at(0xe0000, text, 8);
    assert_memory_equal(text, "RSD PTR ", 8);
    at(0x9fc00, text, 4);
    assert_memory_equal(text, "_MP_", 4);
}

static void a_flat_image_is_loaded_where_it_is_told(void **state)
{
    struct hk_boot_config c = config();
    uint8_t code[3] = {0x90, 0x90, 0xf4};
    c.kernel = (struct hk_boot_blob){.data = code, .size = sizeof(code)};
    c.format = HK_IMAGE_RAW;
    refuses(&c, -HK_ENOSPC, "0x80000000"); /* the default place */
    c.raw_gpa = 0x400000;
    c.raw_entry = 0x400002;
    assert_int_equal(load(&c).entry, 0x400002);
    assert_int_equal(dword(0x400000) & 0xffffff, 0xf49090);
}

#define TEMP "loader_test.tmp"

static void make_temp(const void *bytes, size_t size)
{
    FILE *file = fopen(TEMP, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void kernels_and_initrds_come_from_files(void **state)
{
    struct hk_boot_config c = config();
    make_temp(kernel.bytes, kernel.size);
    c.kernel = (struct hk_boot_blob){.path = TEMP};
    c.initrd = (struct hk_boot_blob){.path = TEMP};
    struct hk_boot_info info = load(&c);
    assert_int_equal(info.entry, 0x200010);
    assert_int_equal(info.initrd_size, kernel.size);
    assert_int_equal(dword(info.initrd_gpa), 0x464c457f);
    assert_int_equal(remove(TEMP), 0);
}

static void refuses_files_that_are_no_kernel(void **state)
{
    struct hk_boot_config c = config();
    make_temp("", 0);
    c.kernel.path = TEMP;
    refuses(&c, -HK_ENOEXEC, "is empty");
    assert_non_null(strstr(err.text, TEMP));
    c.kernel.path = ".";
    refuses(&c, -HK_EISDIR, "directory");
    c.kernel.path = "";
    refuses(&c, -HK_ENOENT, "empty");
    assert_int_equal(remove(TEMP), 0);
    c.kernel.path = TEMP;
    refuses(&c, -HK_ENOENT, TEMP);
    c = config();
    c.initrd.path = TEMP;
    refuses(&c, -HK_ENOENT, "cannot read the initrd");
}

static void load_real_kernel(const char *path)
{
    struct hk_gmem *large;
    struct hk_boot_info info;
    struct hk_boot_config c = config();
    assert_int_equal(hk_gmem_create(&large), 0);
    assert_int_equal(hk_gmem_add(large, 0, 256 * MIB, NULL), 0);
    c.gmem = large;
    c.kernel = (struct hk_boot_blob){.path = path};
    if (hk_boot_load(&c, &info, &err))
        fail_msg("%s", err.text);
    uint8_t code[16], zero[16] = {0};
    assert_int_equal(hk_gmem_copy_in(large, code, info.entry, 16), 0);
    assert_memory_not_equal(code, zero, 16);
    assert_string_not_equal(info.packing, "");
    hk_gmem_destroy(large);

    /* The same kernel does not fit into this test's 32 MiB. */
    c.gmem = gmem;
    assert_int_not_equal(hk_boot_load(&c, &info, &err), 0);
    assert_non_null(strstr(err.text, "more memory"));
    assert_int_equal(writes, 0);
}

static void distribution_kernels_load_into_memory(void **state)
{
    const char *list = getenv("HUSK_TEST_KERNELS");
    if (!list || !*list)
        hk_skip("HUSK_TEST_KERNELS names no kernels (paths with spaces or ; "
                "between them)");
    char *copy = strdup(list);
    assert_non_null(copy);
    for (char *p = strtok(copy, " ;\n"); p; p = strtok(NULL, " ;\n"))
        load_real_kernel(p);
    free(copy);
}

static void no_sentence_is_wanted_always(void **state)
{
    struct hk_boot_config c = config();
    struct hk_boot_info info;
    c.kernel.size = 3;
    assert_int_equal(hk_boot_load(&c, &info, NULL), -HK_ENOEXEC);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(row029_an_elf_is_loaded_and_its_rest_is_zero),
    CASE(a_bzimage_is_loaded_with_its_setup_header),
    CASE(row028_tables_and_command_line_are_where_they_belong),
    CASE(acpi_can_be_left_out),
    CASE(the_first_gibibyte_is_mapped_onto_itself),
    CASE(a_kernel_higher_up_gets_a_larger_map),
    CASE(refuses_a_kernel_out_of_reach_of_the_map),
    CASE(the_registers_are_those_of_the_boot_protocol),
    CASE(the_initrd_goes_to_the_end_of_memory),
    CASE(the_initrd_respects_the_header_and_the_hole),
    CASE(the_initrd_never_overlaps_the_kernel),
    CASE(refuses_an_initrd_that_does_not_fit),
    CASE(refuses_a_kernel_larger_than_memory),
    CASE(refuses_a_kernel_in_the_device_window),
    CASE(refuses_a_bad_command_line),
    CASE(the_longest_command_line_is_taken),
    CASE(a_kernel_without_acpi_is_told_of_devices),
    CASE(a_kernel_with_acpi_finds_devices_itself),
    CASE(devices_are_not_named_unasked),
    CASE(refuses_a_kernel_without_a_driver),
    CASE(refuses_impossible_machines),
    CASE(the_largest_machine_keeps_its_tables_apart),
    CASE(a_flat_image_is_loaded_where_it_is_told),
    CASE(kernels_and_initrds_come_from_files),
    CASE(refuses_files_that_are_no_kernel),
    CASE(distribution_kernels_load_into_memory),
    CASE(no_sentence_is_wanted_always),
};
HK_TEST_MAIN(cases)
