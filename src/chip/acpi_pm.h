/*
 * ACPI power management of a hardware-reduced machine: the sleep control and
 * status registers and the reset register (ACPI specification 6.4, sections
 * 4.8.3.6, 4.8.3.7 and 4.8.4). The tables in boot/ name the ports below.
 *
 *   0x600  sleep control   bits 2-4 SLP_TYP, bit 5 SLP_EN
 *   0x601  sleep status    bit 7 WAK_STS, always clear: nothing ever wakes
 *   0x602  reset           writing HK_ACPI_RESET_VALUE resets the machine
 *
 * Threads: any; no state beyond SLP_TYP. The callbacks come on the thread of
 * the access (a vCPU's) with the bus region's lock held: they must not block
 * or touch these ports.
 */
#ifndef HK_CHIP_ACPI_PM_H
#define HK_CHIP_ACPI_PM_H

#include "base/compiler.h"
#include "bus/bus.h"

enum {
    HK_ACPI_PM_PORT = 0x600, /* the region: three ports, bytes */
    HK_ACPI_PM_PORTS = 3,
    HK_ACPI_SLEEP_CONTROL_PORT = 0x600,
    HK_ACPI_SLEEP_STATUS_PORT = 0x601,
    HK_ACPI_RESET_PORT = 0x602,
    HK_ACPI_RESET_VALUE = 1,
    HK_ACPI_S5_TYPE = 5, /* SLP_TYP of soft off, for the \_S5 object */
};

struct hk_acpi_pm;

/* Both optional. `power_off`: the guest entered S5. */
struct hk_acpi_pm_events {
    void (*power_off)(void *opaque);
    void (*reset)(void *opaque);
};

/* `events` and `opaque` are borrowed until destroy. */
int hk_acpi_pm_create(const struct hk_acpi_pm_events *events, void *opaque,
                      struct hk_acpi_pm **out) HK_MUST_CHECK;
void hk_acpi_pm_destroy(struct hk_acpi_pm *pm); /* NULL is legal */

/* Table for hk_bus_add at HK_ACPI_PM_PORT, HK_ACPI_PM_PORTS, HK_BUS_SIZE_1. */
extern const struct hk_bus_ops hk_acpi_pm_bus_ops;

#endif
