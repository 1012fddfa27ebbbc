/* The ACPI tables, read back by hand and by the reference disassembler. */
#include "hk_test.h"

#include "base/endian.h"
#include "boot/acpi.h"
#include "boot/layout.h"

enum { GPA = HK_BOOT_ACPI };

static uint8_t tables[HK_BOOT_ACPI_MAX];
static size_t tables_len;

static const struct hk_boot_slot two_slots[] = {
    {.gpa = 0xd0000000, .size = 0x1000, .irq = 5},
    {.gpa = 0xd0001000, .size = 0x200, .irq = 23, .level = true},
};

static struct hk_boot_machine machine(void)
{
    return (struct hk_boot_machine){
        .vcpu_count = 2,
        .lapic_gpa = 0xfee00000,
        .ioapic_gpa = 0xfec00000,
        .has_com1 = true,
        .has_rtc = true,
        .slots = two_slots,
        .slot_count = 2,
        .acpi = {.sleep_control_port = 0x600,
                 .sleep_status_port = 0x601,
                 .reset_port = 0x602,
                 .reset_value = 1,
                 .s5_type = 5},
    };
}

static void write_tables(const struct hk_boot_machine *m)
{
    assert_int_equal(
        hk_acpi_write(m, GPA, tables, sizeof(tables), &tables_len, NULL), 0);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t total = 0;
    while (len--)
        total = (uint8_t)(total + *p++);
    return total;
}

/* The table at a guest address, checked for room and checksum. */
static const uint8_t *table_at(uint64_t gpa, const char *signature)
{
    assert_in_range(gpa, GPA, GPA + tables_len - 36);
    const uint8_t *t = tables + (gpa - GPA);
    uint32_t len = hk_get_le32(t + 4);
    assert_memory_equal(t, signature, 4);
    assert_in_range(len, 36, tables_len - (gpa - GPA));
    assert_int_equal(sum(t, len), 0);
    return t;
}

static const uint8_t *fadt(void)
{
    const uint8_t *xsdt = table_at(hk_get_le64(tables + 24), "XSDT");
    return table_at(hk_get_le64(xsdt + 36), "FACP");
}

static const uint8_t *madt(void)
{
    const uint8_t *xsdt = table_at(hk_get_le64(tables + 24), "XSDT");
    return table_at(hk_get_le64(xsdt + 44), "APIC");
}

static void the_root_pointer_has_both_checksums(void **state)
{
    struct hk_boot_machine m = machine();
    write_tables(&m);
    assert_memory_equal(tables, "RSD PTR ", 8);
    assert_int_equal(tables[15], 2);
    assert_int_equal(sum(tables, 20), 0);
    assert_int_equal(sum(tables, 36), 0);
    const uint8_t *xsdt = table_at(hk_get_le64(tables + 24), "XSDT");
    assert_int_equal(hk_get_le32(xsdt + 4), 36 + 16);
}

static void the_fixed_table_says_hardware_reduced_and_how_to_end(void **state)
{
    struct hk_boot_machine m = machine();
    write_tables(&m);
    const uint8_t *f = fadt();
    assert_int_equal(hk_get_le32(f + 4), 276);
    assert_int_equal(f[8], 6);
    uint32_t flags = hk_get_le32(f + 112);
    assert_true(flags & 1u << 20);
    assert_true(flags & 1u << 10);
    const uint8_t reset[12] = {1, 8, 0, 1, 0x02, 0x06};
    const uint8_t control[12] = {1, 8, 0, 1, 0x00, 0x06};
    const uint8_t status[12] = {1, 8, 0, 1, 0x01, 0x06};
    assert_memory_equal(f + 116, reset, 12);
    assert_int_equal(f[128], 1);
    assert_memory_equal(f + 244, control, 12);
    assert_memory_equal(f + 256, status, 12);
    table_at(hk_get_le64(f + 140), "DSDT");
    assert_int_equal(hk_get_le32(f + 40), hk_get_le64(f + 140));
}

static void absent_devices_are_declared_absent(void **state)
{
    struct hk_boot_machine m = machine();
    write_tables(&m);
    assert_int_equal(hk_get_le16(fadt() + 109), 0x15);
    m.has_com1 = m.has_rtc = false;
    m.has_i8042 = true;
    write_tables(&m);
    assert_int_equal(hk_get_le16(fadt() + 109), 0x36);
}

static void every_cpu_and_the_ioapic_are_listed(void **state)
{
    struct hk_boot_machine m = machine();
    m.vcpu_count = HK_BOOT_CPUS_MAX;
    write_tables(&m);
    const uint8_t *t = madt();
    assert_int_equal(hk_get_le32(t + 36), 0xfee00000);
    assert_int_equal(hk_get_le32(t + 40), 0); /* no PIC */
    const uint8_t *p = t + 44;
    for (uint32_t i = 0; i < m.vcpu_count; i++, p += 8) {
        const uint8_t cpu[8] = {0, 8, (uint8_t)i, (uint8_t)i, 1};
        assert_memory_equal(p, cpu, 8);
    }
    const uint8_t ioapic[12] = {1, 12, 255, 0, 0, 0, 0xc0, 0xfe};
    const uint8_t nmi[6] = {4, 6, 0xff, 0, 0, 1};
    assert_memory_equal(p, ioapic, 12);
    assert_memory_equal(p + 12, nmi, 6);
    assert_int_equal(p + 18 - t, hk_get_le32(t + 4));
}

static bool find(const uint8_t *in, size_t in_len, const void *what, size_t len)
{
    for (size_t i = 0; i + len <= in_len; i++) {
        if (memcmp(in + i, what, len) == 0)
            return true;
    }
    return false;
}

static void each_slot_is_a_device_with_memory_and_interrupt(void **state)
{
    struct hk_boot_machine m = machine();
    write_tables(&m);
    const uint8_t *d = table_at(hk_get_le64(fadt() + 140), "DSDT");
    size_t len = hk_get_le32(d + 4);
    const uint8_t edge[] = {0x86, 9, 0, 1,    0, 0, 0, 0xd0, 0, 0x10, 0, 0,
                            0x89, 6, 0, 0x03, 1, 5, 0, 0,    0, 0x79, 0};
    const uint8_t level[] = {0x86, 9, 0, 1,    0, 0x10, 0, 0xd0, 0, 2,    0, 0,
                             0x89, 6, 0, 0x01, 1, 23,   0, 0,    0, 0x79, 0};
    const uint8_t com1[] = {0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x89,
                            6,    0, 3,    1, 4,    0, 0, 0};
    assert_true(find(d, len, edge, sizeof(edge)));
    assert_true(find(d, len, level, sizeof(level)));
    assert_true(find(d, len, com1, sizeof(com1)));
    assert_true(find(d, len, "V000", 4) && find(d, len, "V001", 4));
    assert_false(find(d, len, "V002", 4));
}

static void refuses_a_slot_that_cannot_be_described(void **state)
{
    struct hk_errmsg err;
    struct hk_boot_machine m = machine();
    struct hk_boot_slot slot = two_slots[0];
    size_t len = 7;
    m.slots = &slot;
    m.slot_count = 1;
    slot.irq = HK_BOOT_IOAPIC_PINS;
    assert_int_equal(hk_acpi_write(&m, GPA, tables, sizeof(tables), &len, &err),
                     -HK_EINVAL);
    assert_non_null(strstr(err.text, "interrupt 24"));
    slot = two_slots[0];
    slot.gpa = 0xfffff800;
    assert_int_equal(hk_acpi_write(&m, GPA, tables, sizeof(tables), &len, &err),
                     -HK_EINVAL);
    m.vcpu_count = 0;
    assert_int_equal(hk_acpi_write(&m, GPA, tables, sizeof(tables), &len, &err),
                     -HK_EINVAL);
    assert_int_equal(len, 7);
}

static void refuses_more_than_fits_and_stays_in_bounds(void **state)
{
    struct hk_boot_machine m = machine();
    struct hk_errmsg err;
    size_t len;
    write_tables(&m);
    uint8_t *small = malloc(tables_len);
    assert_non_null(small);
    for (size_t size = 0; size < tables_len; size++) {
        memset(small, 0xa5, tables_len);
        assert_int_equal(hk_acpi_write(&m, GPA, small, size, &len, &err),
                         -HK_ENOSPC);
        for (size_t i = size; i < tables_len; i++)
            assert_int_equal(small[i], 0xa5);
    }
    assert_non_null(strstr(err.text, "attach fewer"));
    free(small);
}

#define DIR "acpi_test.tmp"

static int shell(const char *script)
{
    char command[1024];
    snprintf(command, sizeof(command), "cd " DIR " && %s", script);
    return system(command);
}

/* Disassembles `bytes` and, for AML, compiles the result again; the reference
 * tool must have nothing to complain about. */
static void check_with_iasl(const uint8_t *bytes, uint32_t len, bool aml)
{
    assert_int_equal(system("mkdir -p " DIR), 0);
    FILE *file = fopen(DIR "/table.aml", "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);

    int rc = shell("iasl -d table.aml >log 2>&1 && "
                   "! grep -iE 'error|warning|invalid|incorrect' log "
                   "table.dsl");
    if (rc == 0 && aml)
        rc = shell("iasl -p again table.dsl >log 2>&1 && "
                   "grep -q ' 0 Errors, 0 Warnings, 0 Remarks' log "
                   "|| { cat log; false; }");
    assert_int_equal(system("rm -r " DIR), 0);
    assert_int_equal(rc, 0);
}

static void the_reference_tool_accepts_every_table(void **state)
{
    if (system("iasl -v >/dev/null 2>&1") != 0)
        hk_skip("iasl is not installed (package acpica-tools)");
    struct hk_boot_machine m = machine();
    write_tables(&m);
    const uint8_t *d = table_at(hk_get_le64(fadt() + 140), "DSDT");
    check_with_iasl(d, hk_get_le32(d + 4), true);
    check_with_iasl(fadt(), hk_get_le32(fadt() + 4), false);
    check_with_iasl(madt(), hk_get_le32(madt() + 4), false);
    const uint8_t *x = table_at(hk_get_le64(tables + 24), "XSDT");
    check_with_iasl(x, hk_get_le32(x + 4), false);
}

static void the_reference_tool_accepts_many_slots(void **state)
{
    enum { MANY = 300 };
    if (system("iasl -v >/dev/null 2>&1") != 0)
        hk_skip("iasl is not installed (package acpica-tools)");
    struct hk_boot_machine m = machine();
    struct hk_boot_slot slots[MANY];
    for (uint32_t i = 0; i < MANY; i++)
        slots[i] = (struct hk_boot_slot){
            .gpa = 0xd0000000 + i * 0x1000, .size = 0x1000, .irq = 5 + i % 19};
    m.slots = slots;
    m.slot_count = MANY;
    write_tables(&m);
    const uint8_t *d = table_at(hk_get_le64(fadt() + 140), "DSDT");
    check_with_iasl(d, hk_get_le32(d + 4), true);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_root_pointer_has_both_checksums),
    cmocka_unit_test(the_fixed_table_says_hardware_reduced_and_how_to_end),
    cmocka_unit_test(absent_devices_are_declared_absent),
    cmocka_unit_test(every_cpu_and_the_ioapic_are_listed),
    cmocka_unit_test(each_slot_is_a_device_with_memory_and_interrupt),
    cmocka_unit_test(refuses_a_slot_that_cannot_be_described),
    cmocka_unit_test(refuses_more_than_fits_and_stays_in_bounds),
    cmocka_unit_test(the_reference_tool_accepts_every_table),
    cmocka_unit_test(the_reference_tool_accepts_many_slots),
};
HK_TEST_MAIN(cases)
