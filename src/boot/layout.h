/*
 * Where things lie in guest-physical memory, and how RAM is split around the
 * hole for devices below 4 GiB.
 *
 *        0x500  GDT, 4 entries          0x20000  command line, 64 KiB
 *        0x520  IDT, 1 empty entry      0x9fc00  MP table; end of low RAM
 *       0x7000  zero page               0xe0000  RSDP, then the ACPI tables
 *       0x8ff0  first stack            0x100000  start of high memory
 *       0x9000  PML4                 0xd0000000  device window, IOAPIC,
 *       0xa000  PDPT                             local APIC
 *       0xb000  page directories    0x100000000  RAM that did not fit below
 *
 * Any thread; no state.
 */
#ifndef HK_BOOT_LAYOUT_H
#define HK_BOOT_LAYOUT_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

enum {
    HK_BOOT_GDT = 0x500,
    HK_BOOT_IDT = 0x520,
    HK_BOOT_ZERO_PAGE = 0x7000,
    HK_BOOT_STACK = 0x8ff0,
    HK_BOOT_PML4 = 0x9000,
    HK_BOOT_PDPT = 0xa000,
    HK_BOOT_PD = 0xb000, /* one page for each GiB of the identity map */
    HK_BOOT_PD_END = 0x20000,
    HK_BOOT_CMDLINE = 0x20000,
    HK_BOOT_CMDLINE_MAX = 0x10000, /* bytes with the closing NUL */
    HK_BOOT_LOW_END = 0x9fc00,     /* end of low RAM, start of the EBDA */
    HK_BOOT_MPTABLE = 0x9fc00,
    HK_BOOT_ACPI = 0xe0000, /* RSDP first, then the tables */
    HK_BOOT_HIGH = 0x100000,
    HK_BOOT_ACPI_MAX = HK_BOOT_HIGH - HK_BOOT_ACPI,

    HK_BOOT_CPUS_MAX = 254,  /* 8-bit APIC ids, 255 is "everybody" */
    HK_BOOT_IDMAP_GIB = 21,  /* what fits between PD and command line */
    HK_BOOT_IOAPIC_PINS = 24 /* all of them are announced */
};

#define HK_BOOT_HOLE_START 0xd0000000ull /* devices, to 4 GiB */
#define HK_BOOT_HOLE_END 0x100000000ull
#define HK_BOOT_RAW_GPA 0x80000000ull /* where a flat image goes by default */
#define HK_BOOT_RAM_MIN 0x400000ull
#define HK_BOOT_RAM_MAX (1ull << 40)

struct hk_boot_ram {
    struct {
        uint64_t gpa;
        uint64_t size;
    } region[2];
    uint32_t count;
    uint64_t end;        /* first byte after the last RAM */
    uint64_t window_gpa; /* first free address for large windows, 1 GiB
                            aligned, at least 4 GiB */
};

/*
 * The regions for `bytes` of RAM (rounded up to whole pages): one below
 * 0xd0000000, and what is left from 4 GiB on. -HK_EINVAL outside
 * HK_BOOT_RAM_MIN..HK_BOOT_RAM_MAX.
 */
int hk_boot_layout_ram(uint64_t bytes, struct hk_boot_ram *out,
                       struct hk_errmsg *err) HK_MUST_CHECK;

#endif
