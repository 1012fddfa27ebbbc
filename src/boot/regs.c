/*
 * The CPU state of the 64-bit Linux boot protocol: long mode with paging on,
 * flat segments, interrupts off, the zero page's address in RSI.
 */
#include "boot/regs.h"

#include "base/endian.h"
#include "boot/boot.h"

#include <string.h>

enum {
    SELECTOR_CODE = 0x08,
    SELECTOR_DATA = 0x10,
    SELECTOR_TASK = 0x18,
    ATTR_CODE = 0xa09b,
    ATTR_DATA = 0xc093,
    ATTR_TASK = 0x808b,
    ATTR_LDT = 0x0082,

    PAGE_PRESENT_WRITE = 0x3,
    PAGE_LARGE = 0x80,
    PAGE_2M_SHIFT = 21,
    ENTRIES = 512,

    CR0_PE_ET = 0x11,
    CR4_PAE = 0x20,
    EFER_LME_LMA = 0x500,
    RFLAGS_FIXED = 0x2,
    FCW_RESET = 0x37f,
    MXCSR_RESET = 0x1f80,
    FXSAVE_MXCSR = 24,
};
#define CR0_PG 0x80000000ull
#define PAT_RESET 0x0007040600070406ull

void hk_boot_write_gdt(uint8_t out[HK_BOOT_GDT_SIZE])
{
    hk_put_le64(out, 0);
    hk_put_le64(out + SELECTOR_CODE, 0x00af9b000000ffffull);
    hk_put_le64(out + SELECTOR_DATA, 0x00cf93000000ffffull);
    hk_put_le64(out + SELECTOR_TASK, 0x008f8b000000ffffull);
}

void hk_boot_write_pdpt(uint32_t gib, uint8_t out[HK_BOOT_PAGE])
{
    memset(out, 0, HK_BOOT_PAGE);
    for (uint32_t i = 0; i < gib; i++)
        hk_put_le64(out + i * 8,
                    (HK_BOOT_PD + i * HK_BOOT_PAGE) | PAGE_PRESENT_WRITE);
}

void hk_boot_write_pd(uint32_t index, uint8_t out[HK_BOOT_PAGE])
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint64_t page = (uint64_t)index * ENTRIES + i;
        hk_put_le64(out + i * 8,
                    page << PAGE_2M_SHIFT | PAGE_LARGE | PAGE_PRESENT_WRITE);
    }
}

static struct hk_segment flat(uint16_t selector, uint16_t attr)
{
    /* Granularity is 4 KiB: a limit of 0xfffff pages is all 4 GiB. */
    return (struct hk_segment){
        .selector = selector, .attr = attr, .limit = 0xffffffff};
}

static void set_segments(struct hk_vcpu_state *state)
{
    struct hk_segment data = flat(SELECTOR_DATA, ATTR_DATA);
    state->cs = flat(SELECTOR_CODE, ATTR_CODE);
    state->ds = data;
    state->es = data;
    state->fs = data;
    state->gs = data;
    state->ss = data;
    state->tr = flat(SELECTOR_TASK, ATTR_TASK);
    state->ldtr = (struct hk_segment){.attr = ATTR_LDT, .limit = 0xffff};
    state->gdtr = (struct hk_table_reg){HK_BOOT_GDT, HK_BOOT_GDT_SIZE - 1};
    state->idtr = (struct hk_table_reg){HK_BOOT_IDT, 7};
}

void hk_boot_set_regs(const struct hk_boot_info *info,
                      struct hk_vcpu_state *state)
{
    memset(state, 0, sizeof(*state));
    state->rip = info->entry;
    state->rflags = RFLAGS_FIXED;
    state->gpr[HK_RSI] = HK_BOOT_ZERO_PAGE;
    state->gpr[HK_RSP] = HK_BOOT_STACK;
    state->gpr[HK_RBP] = HK_BOOT_STACK;
    set_segments(state);
    state->cr0 = CR0_PG | CR0_PE_ET;
    state->cr3 = HK_BOOT_PML4;
    state->cr4 = CR4_PAE;
    state->efer = EFER_LME_LMA;
    state->dr[6] = 0xffff0ff0;
    state->dr[7] = 0x400;
    state->xcr0 = 1;
    state->pat = PAT_RESET;
    hk_put_le16(state->fxsave, FCW_RESET);
    hk_put_le32(state->fxsave + FXSAVE_MXCSR, MXCSR_RESET);
}
