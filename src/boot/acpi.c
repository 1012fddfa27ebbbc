#include "boot/acpi.h"

#include "base/checked.h"
#include "base/endian.h"
#include "boot/aml.h"
#include "boot/layout.h"

#include <stdio.h>
#include <string.h>

enum {
    RSDP_SIZE = 36,
    HEADER_SIZE = 36,
    XSDT_SIZE = HEADER_SIZE + 2 * 8,
    FADT_SIZE = 276, /* revision 6 */
    MADT_FIXED = HEADER_SIZE + 8,
    MADT_LAPIC = 8,
    MADT_IOAPIC = 12,
    MADT_NMI = 6,

    COM1_PORT = 0x3f8,
    COM1_IRQ = 4,
    RTC_PORT = 0x70,
};

/* Bits of IAPC_BOOT_ARCH (5.2.9.3) and of the fixed feature flags (table
 * 5-10). */
enum {
    ARCH_LEGACY_DEVICES = 1 << 0,
    ARCH_8042 = 1 << 1,
    ARCH_NO_VGA = 1 << 2,
    ARCH_NO_ASPM = 1 << 4,
    ARCH_NO_RTC = 1 << 5,

    FLAG_WBINVD = 1 << 0,
    FLAG_PROC_C1 = 1 << 2,
    FLAG_NO_POWER_BUTTON = 1 << 4,
    FLAG_NO_SLEEP_BUTTON = 1 << 5,
    FLAG_RESET_REGISTER = 1 << 10,
    FLAG_HW_REDUCED = 1 << 20,
};

static void put_checksum(uint8_t *bytes, size_t len, size_t at)
{
    uint8_t sum = 0;
    bytes[at] = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[at] = (uint8_t)-sum;
}

/* Fills the common header (5.2.6) of a table whose body is complete. */
static void finish_table(uint8_t *table, const char *signature,
                         uint8_t revision, uint32_t len)
{
    memcpy(table, signature, 4);
    hk_put_le32(table + 4, len);
    table[8] = revision;
    memcpy(table + 10, "HUSK  ", 6);
    memcpy(table + 16, "HUSKVM  ", 8);
    hk_put_le32(table + 24, 1);
    memcpy(table + 28, "HUSK", 4);
    hk_put_le32(table + 32, 1);
    put_checksum(table, len, 9);
}

static void put_com1(struct hk_aml *aml)
{
    hk_aml_mark device = hk_aml_device_begin(aml, "COM1");
    hk_aml_name_eisa(aml, "_HID", "PNP0501");
    hk_aml_name_int(aml, "_UID", 1);
    struct hk_aml_crs crs = hk_aml_crs_begin(aml);
    hk_aml_crs_io(aml, COM1_PORT, 8);
    hk_aml_crs_irq(aml, COM1_IRQ, false);
    hk_aml_crs_end(aml, crs);
    hk_aml_end(aml, device);
}

static void put_rtc(struct hk_aml *aml)
{
    hk_aml_mark device = hk_aml_device_begin(aml, "RTC_");
    hk_aml_name_eisa(aml, "_HID", "PNP0B00");
    struct hk_aml_crs crs = hk_aml_crs_begin(aml);
    hk_aml_crs_io(aml, RTC_PORT, 2);
    hk_aml_crs_end(aml, crs);
    hk_aml_end(aml, device);
}

static void put_slot(struct hk_aml *aml, const struct hk_boot_slot *slot,
                     uint32_t index)
{
    char name[16];
    snprintf(name, sizeof(name), "V%03X", index & 0xfff);
    hk_aml_mark device = hk_aml_device_begin(aml, name);
    hk_aml_name_string(aml, "_HID", "LNRO0005");
    hk_aml_name_int(aml, "_UID", index);
    hk_aml_name_int(aml, "_CCA", 1);
    struct hk_aml_crs crs = hk_aml_crs_begin(aml);
    hk_aml_crs_memory(aml, (uint32_t)slot->gpa, slot->size);
    hk_aml_crs_irq(aml, slot->irq, slot->level);
    hk_aml_crs_end(aml, crs);
    hk_aml_end(aml, device);
}

/* Bytes written, or 0 when `size` is too small. */
static size_t put_dsdt(const struct hk_boot_machine *machine, uint8_t *out,
                       size_t size)
{
    const uint8_t s5[4] = {machine->acpi.s5_type, 0, 0, 0};
    struct hk_aml aml = {.bytes = out, .size = size, .len = HEADER_SIZE};
    if (size < HEADER_SIZE)
        return 0;
    memset(out, 0, HEADER_SIZE);

    hk_aml_name_package(&aml, "_S5_", s5, sizeof(s5));
    hk_aml_mark scope = hk_aml_scope_begin(&aml, "\\_SB_");
    if (machine->has_com1)
        put_com1(&aml);
    if (machine->has_rtc)
        put_rtc(&aml);
    for (uint32_t i = 0; i < machine->slot_count && !aml.failed; i++)
        put_slot(&aml, &machine->slots[i], i);
    hk_aml_end(&aml, scope);
    if (aml.failed)
        return 0;
    finish_table(out, "DSDT", 2, (uint32_t)aml.len);
    return aml.len;
}

/* A generic address structure (5.2.3.2) for one byte-wide port. */
static void put_port(uint8_t *gas, uint16_t port)
{
    gas[0] = 1; /* system I/O */
    gas[1] = 8; /* bits */
    gas[3] = 1; /* byte access */
    hk_put_le64(gas + 4, port);
}

/* FADT, 5.2.9. */
static void put_fadt(const struct hk_boot_machine *machine, uint32_t dsdt,
                     uint8_t *out)
{
    const struct hk_boot_acpi *acpi = &machine->acpi;
    memset(out, 0, FADT_SIZE);
    hk_put_le32(out + 40, dsdt);
    hk_put_le16(out + 109,
                (uint16_t)(ARCH_NO_VGA | ARCH_NO_ASPM |
                           (machine->has_rtc ? 0 : ARCH_NO_RTC) |
                           (machine->has_i8042 ? ARCH_8042 : 0) |
                           (machine->has_com1 ? ARCH_LEGACY_DEVICES : 0)));
    hk_put_le32(out + 112, FLAG_WBINVD | FLAG_PROC_C1 | FLAG_NO_POWER_BUTTON |
                               FLAG_NO_SLEEP_BUTTON | FLAG_RESET_REGISTER |
                               FLAG_HW_REDUCED);
    put_port(out + 116, acpi->reset_port);
    out[128] = acpi->reset_value;
    out[131] = 4; /* minor version: 6.4 */
    hk_put_le64(out + 140, dsdt);
    put_port(out + 244, acpi->sleep_control_port);
    put_port(out + 256, acpi->sleep_status_port);
    memcpy(out + 268, "HUSK", 4); /* hypervisor vendor */
    finish_table(out, "FACP", 6, FADT_SIZE);
}

static uint32_t madt_size(const struct hk_boot_machine *machine)
{
    return MADT_FIXED + machine->vcpu_count * MADT_LAPIC + MADT_IOAPIC +
           MADT_NMI;
}

/* MADT, 5.2.12. No PC-AT compatible PIC. */
static void put_madt(const struct hk_boot_machine *machine, uint8_t *out)
{
    uint32_t len = madt_size(machine);
    uint8_t *p = out + MADT_FIXED;

    memset(out, 0, len);
    hk_put_le32(out + 36, machine->lapic_gpa);
    for (uint32_t i = 0; i < machine->vcpu_count; i++, p += MADT_LAPIC) {
        p[0] = 0;
        p[1] = MADT_LAPIC;
        p[2] = (uint8_t)i;     /* processor UID */
        p[3] = (uint8_t)i;     /* APIC id */
        hk_put_le32(p + 4, 1); /* enabled */
    }
    p[0] = 1;
    p[1] = MADT_IOAPIC;
    p[2] = (uint8_t)(machine->vcpu_count + 1); /* as in the MP table */
    hk_put_le32(p + 4, machine->ioapic_gpa);
    hk_put_le32(p + 8, 0); /* first global interrupt */
    p += MADT_IOAPIC;
    p[0] = 4;
    p[1] = MADT_NMI;
    p[2] = 0xff; /* every processor */
    p[5] = 1;    /* LINT1 */
    finish_table(out, "APIC", 5, len);
}

static void put_xsdt(uint8_t *out, uint64_t fadt, uint64_t madt)
{
    hk_put_le64(out + HEADER_SIZE, fadt);
    hk_put_le64(out + HEADER_SIZE + 8, madt);
    finish_table(out, "XSDT", 1, XSDT_SIZE);
}

/* RSDP, 5.2.5.3; the first 20 bytes have a checksum of their own. */
static void put_rsdp(uint8_t *out, uint64_t xsdt)
{
    memcpy(out, "RSD PTR ", 8);
    memcpy(out + 9, "HUSK  ", 6);
    out[15] = 2; /* revision */
    hk_put_le32(out + 20, RSDP_SIZE);
    hk_put_le64(out + 24, xsdt);
    put_checksum(out, 20, 8);
    put_checksum(out, RSDP_SIZE, 32);
}

static int check_machine(const struct hk_boot_machine *machine,
                         struct hk_errmsg *err)
{
    if (machine->vcpu_count == 0 || machine->vcpu_count > HK_BOOT_CPUS_MAX)
        return hk_err_set(err, -HK_EINVAL, "a VM has 1 to %d CPUs, not %u",
                          HK_BOOT_CPUS_MAX, machine->vcpu_count);
    for (uint32_t i = 0; i < machine->slot_count; i++) {
        const struct hk_boot_slot *slot = &machine->slots[i];
        if (slot->size == 0 || slot->irq >= HK_BOOT_IOAPIC_PINS ||
            !hk_range_within(slot->gpa, slot->size, 1ull << 32))
            return hk_err_set(err, -HK_EINVAL,
                              "device slot %u (at %#llx, interrupt %u) cannot "
                              "be described to the guest",
                              i, (unsigned long long)slot->gpa, slot->irq);
    }
    return 0;
}

int hk_acpi_write(const struct hk_boot_machine *machine, uint32_t gpa,
                  uint8_t *out, size_t size, size_t *len, struct hk_errmsg *err)
{
    int rc = check_machine(machine, err);
    if (rc)
        return rc;

    /* Each table starts at a multiple of 16. */
    const size_t mask = 15;
    size_t xsdt = (RSDP_SIZE + mask) & ~mask;
    size_t fadt = (xsdt + XSDT_SIZE + mask) & ~mask;
    size_t madt = (fadt + FADT_SIZE + mask) & ~mask;
    size_t dsdt = (madt + madt_size(machine) + mask) & ~mask;
    size_t dsdt_len = 0;
    if (dsdt < size) {
        memset(out, 0, dsdt);
        dsdt_len = put_dsdt(machine, out + dsdt, size - dsdt);
    }
    if (dsdt_len == 0)
        return hk_err_set(err, -HK_ENOSPC,
                          "%u devices do not fit into the ACPI tables; attach "
                          "fewer",
                          machine->slot_count);

    put_rsdp(out, gpa + xsdt);
    put_xsdt(out + xsdt, gpa + fadt, gpa + madt);
    put_fadt(machine, (uint32_t)(gpa + dsdt), out + fadt);
    put_madt(machine, out + madt);
    *len = dsdt + dsdt_len;
    return 0;
}
