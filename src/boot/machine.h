/*
 * What the tables tell a guest about the machine: plain data, filled by vmm
 * from the devices it created. Used by boot.h, the MP table and ACPI.
 */
#ifndef HK_BOOT_MACHINE_H
#define HK_BOOT_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* One virtio-mmio transport. */
struct hk_boot_slot {
    uint64_t gpa; /* below 4 GiB */
    uint32_t size;
    uint32_t irq; /* IOAPIC pin, 1..23 */
    bool level;   /* level triggered, active high; else edge */
};

/* Registers of the hardware-reduced machine; ports of chip/acpi_pm.h. */
struct hk_boot_acpi {
    bool off; /* write no ACPI tables at all */
    uint16_t sleep_control_port;
    uint16_t sleep_status_port;
    uint16_t reset_port;
    uint8_t reset_value;
    uint8_t s5_type; /* SLP_TYP of soft off */
};

struct hk_boot_machine {
    uint32_t vcpu_count;              /* 1..HK_BOOT_CPUS_MAX; APIC id = index */
    uint32_t lapic_gpa;               /* usually 0xfee00000 */
    uint32_t ioapic_gpa;              /* usually 0xfec00000 */
    bool has_com1;                    /* 16550 at 0x3f8, IRQ 4 */
    bool has_rtc;                     /* CMOS clock at 0x70 */
    bool has_i8042;                   /* with a keyboard worth probing for */
    const struct hk_boot_slot *slots; /* borrowed during the call */
    uint32_t slot_count;
    struct hk_boot_acpi acpi;
};

#endif
