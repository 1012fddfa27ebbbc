/*
 * Minimal ACPI tables of a hardware-reduced machine (ACPI specification 6.4,
 * chapter 5): RSDP, XSDT, FADT, MADT and a DSDT with one LNRO0005 device for
 * each virtio-mmio slot. Stock kernels find CPUs, interrupts, devices and the
 * way to switch off here and nowhere else.
 *
 * A hardware-reduced Linux has no legacy interrupts: an ISA line reaches the
 * IOAPIC only because a device's _CRS names it. So COM1 is a device too, or
 * its interrupt 4 could not be requested.
 */
#ifndef HK_BOOT_ACPI_H
#define HK_BOOT_ACPI_H

#include "base/compiler.h"
#include "base/err.h"
#include "boot/machine.h"

#include <stddef.h>

/*
 * Writes all tables, to be placed at guest address `gpa` (a multiple of 16,
 * the RSDP comes first), into at most `size` bytes of `out`; `*len` is what
 * was used. Errors: -HK_EINVAL CPU count, a slot above 4 GiB, an interrupt
 * that is not a pin; -HK_ENOSPC too many slots.
 */
int hk_acpi_write(const struct hk_boot_machine *machine, uint32_t gpa,
                  uint8_t *out, size_t size, size_t *len,
                  struct hk_errmsg *err) HK_MUST_CHECK;

#endif
