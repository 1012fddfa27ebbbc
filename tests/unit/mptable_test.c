/* The MP table, read back the way a kernel reads it. */
#include "hk_test.h"

#include "base/endian.h"
#include "boot/layout.h"
#include "boot/mptable.h"

static struct hk_boot_machine machine(uint32_t cpus)
{
    return (struct hk_boot_machine){
        .vcpu_count = cpus, .lapic_gpa = 0xfee00000, .ioapic_gpa = 0xfec00000};
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t total = 0;
    while (len--)
        total = (uint8_t)(total + *p++);
    return total;
}

static uint8_t *make(const struct hk_boot_machine *m)
{
    uint8_t *out = malloc(hk_mptable_size(m->vcpu_count));
    assert_non_null(out);
    assert_int_equal(hk_mptable_write(m, HK_BOOT_MPTABLE, out, NULL), 0);
    return out;
}

static void row028_the_floating_pointer_leads_to_the_table(void **state)
{
    struct hk_boot_machine m = machine(1);
    uint8_t *t = make(&m);
    const uint8_t expected[10] = {'_',  'M',  'P', '_', 0x10,
                                  0xfc, 0x09, 0,   1,   4};
    assert_memory_equal(t, expected, sizeof(expected));
    assert_int_equal(sum(t, 16), 0);
    assert_memory_equal(t + 16, "PCMP", 4);
    assert_int_equal(t[16 + 6], 4);
    assert_int_equal(hk_get_le32(t + 16 + 36), 0xfee00000);
    free(t);
}

static void row028_the_table_length_count_and_checksum_agree(void **state)
{
    for (uint32_t cpus = 1; cpus <= HK_BOOT_CPUS_MAX; cpus += 11) {
        struct hk_boot_machine m = machine(cpus);
        uint8_t *t = make(&m);
        uint16_t len = hk_get_le16(t + 16 + 4);
        assert_int_equal(len + 16, hk_mptable_size(cpus));
        assert_int_equal(sum(t + 16, len), 0);
        size_t at = 16 + 44;
        uint32_t entries = 0;
        for (; at < len + 16u; entries++)
            at += t[at] == 0 ? 20 : 8;
        assert_int_equal(at, len + 16u);
        assert_int_equal(entries, hk_get_le16(t + 16 + 34));
        free(t);
    }
}

static void row028_cpu_entries_match_the_expected_bytes(void **state)
{
    struct hk_boot_machine m = machine(2);
    uint8_t *t = make(&m);
    const uint8_t cpu0[20] = {0, 0, 0x14, 3, 0, 6, 0, 0, 1, 2};
    const uint8_t cpu1[20] = {0, 1, 0x14, 1, 0, 6, 0, 0, 1, 2};
    assert_memory_equal(t + 60, cpu0, 20);
    assert_memory_equal(t + 80, cpu1, 20);
    const uint8_t bus[8] = {1, 0, 'I', 'S', 'A', ' ', ' ', ' '};
    const uint8_t ioapic[8] = {2, 3, 0x14, 1, 0, 0, 0xc0, 0xfe};
    assert_memory_equal(t + 100, bus, 8);
    assert_memory_equal(t + 108, ioapic, 8);
    free(t);
}

static void every_pin_has_an_entry(void **state)
{
    struct hk_boot_slot slots[2] = {
        {.gpa = 0xd0000000, .size = 0x1000, .irq = 5},
        {.gpa = 0xd0001000, .size = 0x1000, .irq = 17, .level = true},
    };
    struct hk_boot_machine m = machine(1);
    m.slots = slots;
    m.slot_count = 2;
    uint8_t *t = make(&m);
    for (uint8_t pin = 0; pin < HK_BOOT_IOAPIC_PINS; pin++) {
        uint8_t flags = pin == 17 ? 0xd : 0;
        const uint8_t irq[8] = {3, 0, flags, 0, 0, pin, 2, pin};
        assert_memory_equal(t + 96 + pin * 8, irq, 8);
    }
    free(t);
}

static void local_lines_are_extint_and_nmi(void **state)
{
    struct hk_boot_machine m = machine(1);
    uint8_t *t = make(&m);
    size_t at = hk_mptable_size(1) - 16;
    const uint8_t extint[8] = {4, 3, 0, 0, 0, 0, 0, 0};
    const uint8_t nmi[8] = {4, 1, 0, 0, 0, 0, 0xff, 1};
    assert_memory_equal(t + at, extint, 8);
    assert_memory_equal(t + at + 8, nmi, 8);
    free(t);
}

static void refuses_no_cpu_and_too_many(void **state)
{
    struct hk_boot_machine m = machine(0);
    struct hk_errmsg err;
    uint8_t byte = 0x5a;
    assert_int_equal(hk_mptable_write(&m, 0x9fc00, &byte, &err), -HK_EINVAL);
    m.vcpu_count = HK_BOOT_CPUS_MAX + 1;
    assert_int_equal(hk_mptable_write(&m, 0x9fc00, &byte, &err), -HK_EINVAL);
    assert_non_null(strstr(err.text, "1 to 254 CPUs"));
    assert_int_equal(byte, 0x5a);
}

static void the_largest_table_ends_before_the_acpi_tables(void **state)
{
    assert_true(HK_BOOT_MPTABLE + hk_mptable_size(HK_BOOT_CPUS_MAX) <=
                HK_BOOT_ACPI);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(row028_the_floating_pointer_leads_to_the_table),
    cmocka_unit_test(row028_the_table_length_count_and_checksum_agree),
    cmocka_unit_test(row028_cpu_entries_match_the_expected_bytes),
    cmocka_unit_test(every_pin_has_an_entry),
    cmocka_unit_test(local_lines_are_extint_and_nmi),
    cmocka_unit_test(refuses_no_cpu_and_too_many),
    cmocka_unit_test(the_largest_table_ends_before_the_acpi_tables),
};
HK_TEST_MAIN(cases)
