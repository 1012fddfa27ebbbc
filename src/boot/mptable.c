#include "boot/mptable.h"

#include "base/endian.h"
#include "boot/layout.h"

#include <string.h>

enum {
    FLOATING_SIZE = 16,
    HEADER_SIZE = 44,
    CPU_SIZE = 20,
    ENTRY_SIZE = 8, /* every other kind of entry */

    ENTRY_CPU = 0,
    ENTRY_BUS = 1,
    ENTRY_IOAPIC = 2,
    ENTRY_IRQ = 3,
    ENTRY_LINT = 4,

    IRQ_INT = 0,
    IRQ_NMI = 1,
    IRQ_EXTINT = 3,
    IRQ_LEVEL_HIGH = 0xd, /* polarity active high, trigger level */

    CPU_ENABLED = 1,
    CPU_BOOT = 2,
    APIC_VERSION = 0x14,
    ALL_APICS = 0xff,
    SPEC_1_4 = 4,
};

static uint32_t entry_count(uint32_t vcpu_count)
{
    return vcpu_count + 2 + HK_BOOT_IOAPIC_PINS + 2;
}

size_t hk_mptable_size(uint32_t vcpu_count)
{
    return FLOATING_SIZE + HEADER_SIZE + (size_t)vcpu_count * CPU_SIZE +
           (size_t)(entry_count(vcpu_count) - vcpu_count) * ENTRY_SIZE;
}

static uint8_t checksum(const uint8_t *bytes, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

static uint8_t *put_cpu(uint8_t *p, uint32_t index)
{
    p[0] = ENTRY_CPU;
    p[1] = (uint8_t)index;
    p[2] = APIC_VERSION;
    p[3] = index == 0 ? CPU_ENABLED | CPU_BOOT : CPU_ENABLED;
    hk_put_le32(p + 4, 0x600); /* signature: family 6 */
    hk_put_le32(p + 8, 0x201); /* features: APIC, FPU */
    return p + CPU_SIZE;
}

/* Both kinds of interrupt entry have the same form. */
static uint8_t *put_irq(uint8_t *p, uint8_t entry, uint8_t kind, uint16_t flags,
                        uint8_t irq, uint8_t apic, uint8_t pin)
{
    p[0] = entry;
    p[1] = kind;
    hk_put_le16(p + 2, flags);
    p[4] = 0; /* source bus: ISA */
    p[5] = irq;
    p[6] = apic;
    p[7] = pin;
    return p + ENTRY_SIZE;
}

static uint16_t pin_flags(const struct hk_boot_machine *machine, uint32_t pin)
{
    for (uint32_t i = 0; i < machine->slot_count; i++) {
        if (machine->slots[i].irq == pin && machine->slots[i].level)
            return IRQ_LEVEL_HIGH;
    }
    return 0; /* as the ISA bus has it: edge, active high */
}

static uint8_t *put_entries(const struct hk_boot_machine *machine, uint8_t *p)
{
    uint8_t ioapic_id = (uint8_t)(machine->vcpu_count + 1);

    for (uint32_t i = 0; i < machine->vcpu_count; i++)
        p = put_cpu(p, i);

    p[0] = ENTRY_BUS;
    memcpy(p + 2, "ISA   ", 6);
    p += ENTRY_SIZE;

    p[0] = ENTRY_IOAPIC;
    p[1] = ioapic_id;
    p[2] = APIC_VERSION;
    p[3] = 1; /* usable */
    hk_put_le32(p + 4, machine->ioapic_gpa);
    p += ENTRY_SIZE;

    for (uint8_t pin = 0; pin < HK_BOOT_IOAPIC_PINS; pin++)
        p = put_irq(p, ENTRY_IRQ, IRQ_INT, pin_flags(machine, pin), pin,
                    ioapic_id, pin);
    p = put_irq(p, ENTRY_LINT, IRQ_EXTINT, 0, 0, 0, 0);
    return put_irq(p, ENTRY_LINT, IRQ_NMI, 0, 0, ALL_APICS, 1);
}

int hk_mptable_write(const struct hk_boot_machine *machine, uint32_t gpa,
                     uint8_t *out, struct hk_errmsg *err)
{
    if (machine->vcpu_count == 0 || machine->vcpu_count > HK_BOOT_CPUS_MAX)
        return hk_err_set(err, -HK_EINVAL, "a VM has 1 to %d CPUs, not %u",
                          HK_BOOT_CPUS_MAX, machine->vcpu_count);

    memset(out, 0, hk_mptable_size(machine->vcpu_count));
    memcpy(out, "_MP_", 4);
    hk_put_le32(out + 4, gpa + FLOATING_SIZE);
    out[8] = 1; /* length in 16-byte units */
    out[9] = SPEC_1_4;
    out[10] = checksum(out, FLOATING_SIZE);

    uint8_t *table = out + FLOATING_SIZE;
    uint8_t *end = put_entries(machine, table + HEADER_SIZE);
    size_t len = (size_t)(end - table);
    memcpy(table, "PCMP", 4);
    hk_put_le16(table + 4, (uint16_t)len);
    table[6] = SPEC_1_4;
    memcpy(table + 8, "HUSK    ", 8);
    memcpy(table + 16, "VM          ", 12);
    hk_put_le16(table + 34, (uint16_t)entry_count(machine->vcpu_count));
    hk_put_le32(table + 36, machine->lapic_gpa);
    table[7] = checksum(table, len);
    return 0;
}
