/*
 * I/O APIC, 24 pins (82093AA, with the EOI register of version 0x20).
 *
 * One model for all back ends. Pins are driven by hk_irq lines; a message
 * leaves through `send`, which is the APIC bus for soft and the platform's
 * interrupt request for KVM and WHPX.
 *
 * Threads: any; one lock, not held across `send`.
 */
#ifndef HK_CHIP_IOAPIC_H
#define HK_CHIP_IOAPIC_H

#include "bus/bus.h"
#include "bus/irq.h"
#include "chip/lapic.h"

enum {
    HK_IOAPIC_BASE = 0xfec00000u,
    HK_IOAPIC_SIZE = 0x1000,
    HK_IOAPIC_PINS = 24,
};

struct hk_ioapic;

int hk_ioapic_create(uint8_t id,
                     void (*send)(void *opaque, const struct hk_apic_msg *),
                     void *opaque, struct hk_ioapic **out) HK_MUST_CHECK;
void hk_ioapic_destroy(struct hk_ioapic *ioapic);

/* Table for hk_bus_add at HK_IOAPIC_BASE. */
extern const struct hk_bus_ops hk_ioapic_bus_ops;

/* The line for one pin, 0 to 23. */
struct hk_irq hk_ioapic_irq(struct hk_ioapic *ioapic, uint32_t pin);

/* A local APIC finished a level-triggered vector. */
void hk_ioapic_eoi(struct hk_ioapic *ioapic, uint8_t vector);

#endif
