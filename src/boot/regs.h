/* Descriptor tables and page tables of the first instructions. */
#ifndef HK_BOOT_REGS_H
#define HK_BOOT_REGS_H

#include <stdint.h>

enum { HK_BOOT_GDT_SIZE = 32, HK_BOOT_PAGE = 4096 };

/* Null, 64-bit code, data, task state. */
void hk_boot_write_gdt(uint8_t out[HK_BOOT_GDT_SIZE]);

/* The PDPT for an identity map of `gib` GiB, directories from HK_BOOT_PD. */
void hk_boot_write_pdpt(uint32_t gib, uint8_t out[HK_BOOT_PAGE]);

/* The page directory for GiB number `index`: 512 pages of 2 MiB. */
void hk_boot_write_pd(uint32_t index, uint8_t out[HK_BOOT_PAGE]);

#endif
