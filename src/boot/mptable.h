/*
 * The MP configuration table (Intel MultiProcessor Specification 1.4, chapter
 * 4), for kernels without ACPI: CPUs, one ISA bus, one IOAPIC with every pin
 * announced, and the local interrupt lines. A pin without an entry would get
 * no IRQ number where there is no PIC.
 */
#ifndef HK_BOOT_MPTABLE_H
#define HK_BOOT_MPTABLE_H

#include "base/compiler.h"
#include "base/err.h"
#include "boot/machine.h"

#include <stddef.h>

/* Bytes of floating pointer and table for `vcpu_count` CPUs. */
size_t hk_mptable_size(uint32_t vcpu_count);

/*
 * Writes hk_mptable_size bytes, to be placed at guest address `gpa` (a
 * multiple of 16). -HK_EINVAL on a CPU count outside 1..HK_BOOT_CPUS_MAX.
 */
int hk_mptable_write(const struct hk_boot_machine *machine, uint32_t gpa,
                     uint8_t *out, struct hk_errmsg *err) HK_MUST_CHECK;

#endif
