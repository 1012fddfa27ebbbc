/*
 * The zero page (struct boot_params of the Linux/x86 boot protocol): the
 * setup header, the memory map, command line, initrd and RSDP addresses.
 */
#ifndef HK_BOOT_ZEROPAGE_H
#define HK_BOOT_ZEROPAGE_H

#include "base/compiler.h"
#include "base/err.h"
#include "boot/image.h"
#include "mem/gmem.h"

#include <stdint.h>

enum {
    HK_ZEROPAGE_SIZE = 4096,
    HK_E820_MAX = 32, /* a machine has at most 16 regions */
    HK_E820_RAM = 1,
    HK_E820_RESERVED = 2,
};

struct hk_e820 {
    uint64_t gpa;
    uint64_t size;
    uint32_t type;
};

struct hk_e820_map {
    struct hk_e820 entry[HK_E820_MAX];
    uint32_t count;
};

/* The RAM of `gmem` in ascending order, adjacent regions as one. */
void hk_e820_ram(const struct hk_gmem *gmem, struct hk_e820_map *map);

/*
 * The map a guest gets: RAM, with 0x9fc00..0x100000 reserved for the tables.
 * -HK_EINVAL when the first region does not reach from 0 beyond 1 MiB.
 */
int hk_e820_build(const struct hk_gmem *gmem, struct hk_e820_map *map,
                  struct hk_errmsg *err) HK_MUST_CHECK;

struct hk_zeropage {
    const struct hk_image *image; /* for its setup header */
    const struct hk_e820_map *map;
    uint32_t cmdline_gpa;
    uint32_t cmdline_len; /* without the NUL */
    uint32_t initrd_gpa;
    uint32_t initrd_size; /* 0: none */
    uint64_t rsdp_gpa;    /* 0: no ACPI */
};

void hk_zeropage_write(const struct hk_zeropage *info,
                       uint8_t out[HK_ZEROPAGE_SIZE]);

#endif
