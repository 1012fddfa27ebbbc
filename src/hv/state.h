/*
 * The neutral register state of one x86-64 vCPU, as set and read through the
 * hypervisor interface. Plain data; segment attributes are in the layout of
 * VMX access rights without the unusable bit (type 0-3, S 4, DPL 5-6, P 7,
 * AVL 12, L 13, D/B 14, G 15).
 */
#ifndef HK_HV_STATE_H
#define HK_HV_STATE_H

#include <stdint.h>

enum hk_gpr {
    HK_RAX,
    HK_RCX,
    HK_RDX,
    HK_RBX,
    HK_RSP,
    HK_RBP,
    HK_RSI,
    HK_RDI,
    HK_R8,
    HK_R9,
    HK_R10,
    HK_R11,
    HK_R12,
    HK_R13,
    HK_R14,
    HK_R15,
};

struct hk_segment {
    uint64_t base;
    uint32_t limit; /* bytes, already scaled by G */
    uint16_t selector;
    uint16_t attr;
};

struct hk_table_reg {
    uint64_t base;
    uint16_t limit;
};

struct hk_vcpu_state {
    uint64_t gpr[16]; /* enum hk_gpr */
    uint64_t rip;
    uint64_t rflags;

    struct hk_segment es, cs, ss, ds, fs, gs, ldtr, tr;
    struct hk_table_reg gdtr, idtr;

    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t dr[8];
    uint64_t xcr0;

    uint64_t efer;
    uint64_t star, lstar, cstar, fmask;
    uint64_t kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat;
    uint64_t tsc_aux;

    /* The 512-byte FXSAVE64 image. */
    uint8_t fxsave[512] __attribute__((aligned(16)));
};

#endif
