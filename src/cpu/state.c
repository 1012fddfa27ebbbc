/*
 * The state of a vCPU in the neutral form of hv/state.h, and after reset.
 */
#include "base/err.h"
#include "cpu/block_int.h"
#include "cpu/slow_int.h"

#include <string.h>

/* Segments of struct hk_vcpu_state in the order of enum hk_seg_index. */
static const struct hk_segment *state_segs(const struct hk_vcpu_state *s,
                                           unsigned n)
{
    const struct hk_segment *at[HK_SEG_COUNT] = {&s->es, &s->cs, &s->ss,
                                                 &s->ds, &s->fs, &s->gs};
    return at[n];
}

/* ---- reset -------------------------------------------------------------- */

/* Intel SDM volume 3, table 9-1. */
void hk_cpu_reset(struct hk_cpu *c)
{
    memset(c->r, 0, sizeof(c->r));
    for (unsigned n = 0; n < HK_SEG_COUNT; n++)
        c->seg[n] = (struct hk_segment){.limit = 0xffff,
                                        .attr = HK_SEG_P | HK_SEG_S | 3};
    c->seg[HK_SEG_CS].selector = 0xf000;
    c->seg[HK_SEG_CS].base = 0xffff0000;
    c->seg[HK_SEG_CS].attr |= HK_TYPE_CODE;
    c->ldtr =
        (struct hk_segment){.limit = 0xffff, .attr = HK_SEG_P | HK_SYS_LDT};
    c->tr = (struct hk_segment){.limit = 0xffff,
                                .attr = HK_SEG_P | HK_SYS_TSS_BUSY};
    c->gdtr = (struct hk_table_reg){.limit = 0xffff};
    c->idtr = (struct hk_table_reg){.limit = 0xffff};
    c->rip = 0xfff0;
    c->fl = HK_FL_FIXED;
    c->sysflags = 0;
    c->cpl = 0;
    c->cr0 = HK_CR0_ET | HK_CR0_NW | HK_CR0_CD;
    c->cr2 = c->cr3 = c->cr4 = 0;
    c->xcr0 = 1;
    memset(c->dr, 0, sizeof(c->dr));
    c->dr[6] = HK_DR6_ONE;
    c->dr[7] = HK_DR7_ONE;
    memset(&c->msr, 0, sizeof(c->msr));
    c->msr.pat = 0x0007040600070406ull;
    c->msr.misc_enable = 1;
    c->pkru = 0;
    c->phys_mask = (1ull << HK_PHYS_BITS) - 1;
    c->r[HK_RDX] = 0x600;
    hk_fp_reset(c, false);
    hk_update_mode(c);
}

/* ---- reading ------------------------------------------------------------ */

void hk_cpu_get_state(struct hk_cpu *c, struct hk_vcpu_state *s)
{
    memset(s, 0, sizeof(*s));
    memcpy(s->gpr, c->r, sizeof(s->gpr));
    s->rip = c->rip;
    s->rflags = hk_get_rflags(c);
    s->es = c->seg[HK_SEG_ES];
    s->cs = c->seg[HK_SEG_CS];
    s->ss = c->seg[HK_SEG_SS];
    s->ds = c->seg[HK_SEG_DS];
    s->fs = c->seg[HK_SEG_FS];
    s->gs = c->seg[HK_SEG_GS];
    s->ldtr = c->ldtr;
    s->tr = c->tr;
    s->gdtr = c->gdtr;
    s->idtr = c->idtr;
    s->cr0 = c->cr0;
    s->cr2 = c->cr2;
    s->cr3 = c->cr3;
    s->cr4 = c->cr4;
    s->cr8 = c->machine->host.get_cr8(c->opaque);
    memcpy(s->dr, c->dr, sizeof(s->dr));
    s->xcr0 = c->xcr0;
    s->efer = c->msr.efer;
    s->star = c->msr.star;
    s->lstar = c->msr.lstar;
    s->cstar = c->msr.cstar;
    s->fmask = c->msr.fmask;
    s->kernel_gs_base = c->msr.kernel_gs_base;
    s->sysenter_cs = c->msr.sysenter_cs;
    s->sysenter_esp = c->msr.sysenter_esp;
    s->sysenter_eip = c->msr.sysenter_eip;
    s->pat = c->msr.pat;
    s->tsc_aux = c->msr.tsc_aux;
    hk_fp_get_fxsave(c, s->fxsave);
}

/* ---- writing ------------------------------------------------------------ */

static bool controls_possible(const struct hk_cpu *c,
                              const struct hk_vcpu_state *s)
{
    bool pe = (s->cr0 & HK_CR0_PE) != 0, pg = (s->cr0 & HK_CR0_PG) != 0;
    bool lme = (s->efer & HK_EFER_LME) != 0;
    bool lma = (s->efer & HK_EFER_LMA) != 0;
    bool pae = (s->cr4 & HK_CR4_PAE) != 0;
    uint64_t efer = HK_EFER_SCE | HK_EFER_LME | HK_EFER_LMA | HK_EFER_NXE;
    if (s->cr0 >> 32 != 0 || (pg && !pe) || (s->efer & ~efer) != 0)
        return false;
    if ((s->cr4 & ~hk_cr4_allowed(c->machine)) != 0)
        return false;
    if (lma != (lme && pg) || (lma && !pae))
        return false;
    return s->xcr0 == 0 ||
           ((s->xcr0 & 1) != 0 && (s->xcr0 & ~HK_XCR0_ALLOWED) == 0);
}

static bool addresses_possible(const struct hk_vcpu_state *s)
{
    for (unsigned n = 0; n < HK_SEG_COUNT; n++) {
        if (!hk_is_canonical(state_segs(s, n)->base))
            return false;
    }
    return hk_is_canonical(s->gdtr.base) && hk_is_canonical(s->idtr.base) &&
           hk_is_canonical(s->tr.base) && hk_is_canonical(s->ldtr.base) &&
           hk_is_canonical(s->kernel_gs_base) && hk_is_canonical(s->lstar) &&
           hk_is_canonical(s->cstar) && hk_is_canonical(s->sysenter_esp) &&
           hk_is_canonical(s->sysenter_eip) && s->cr3 >> HK_PHYS_BITS == 0 &&
           s->cr8 <= 15;
}

static void set_control(struct hk_cpu *c, const struct hk_vcpu_state *s)
{
    c->cr0 = s->cr0 | HK_CR0_ET;
    c->cr2 = s->cr2;
    c->cr3 = s->cr3;
    c->cr4 = s->cr4;
    memcpy(c->dr, s->dr, sizeof(c->dr));
    c->dr[6] = (c->dr[6] & 0xe00f) | HK_DR6_ONE;
    c->dr[7] = (c->dr[7] & 0xffff23ff) | HK_DR7_ONE;
    c->xcr0 = s->xcr0 != 0 ? s->xcr0 : 1;
    c->msr.efer = s->efer;
    c->msr.star = s->star;
    c->msr.lstar = s->lstar;
    c->msr.cstar = s->cstar;
    c->msr.fmask = (uint32_t)s->fmask;
    c->msr.kernel_gs_base = s->kernel_gs_base;
    c->msr.sysenter_cs = (uint32_t)s->sysenter_cs;
    c->msr.sysenter_esp = s->sysenter_esp;
    c->msr.sysenter_eip = s->sysenter_eip;
    c->msr.pat = s->pat;
    c->msr.tsc_aux = (uint32_t)s->tsc_aux;
    c->machine->host.set_cr8(c->opaque, (uint8_t)s->cr8);
}

/* The privilege level: RPL of CS, or 0 and 3 in the modes without one. */
static uint8_t level_of(const struct hk_vcpu_state *s)
{
    if ((s->cr0 & HK_CR0_PE) == 0)
        return 0;
    if ((s->rflags & HK_RF_VM) != 0)
        return 3;
    return s->cs.selector & 3;
}

int hk_cpu_set_state(struct hk_cpu *c, const struct hk_vcpu_state *s)
{
    if (!controls_possible(c, s) || !addresses_possible(s))
        return -HK_EINVAL;
    if (!hk_fp_set_fxsave(c, s->fxsave))
        return -HK_EINVAL;
    memcpy(c->r, s->gpr, sizeof(s->gpr));
    for (unsigned n = 0; n < HK_SEG_COUNT; n++)
        c->seg[n] = *state_segs(s, n);
    c->ldtr = s->ldtr;
    c->tr = s->tr;
    c->gdtr = s->gdtr;
    c->idtr = s->idtr;
    c->rip = s->rip;
    c->cpl = level_of(s);
    set_control(c, s);
    hk_set_rflags(c, s->rflags);
    c->exc = (struct hk_exc){0};
    c->shadow = 0;
    c->halted = false;
    c->shutdown = false;
    c->nmi_blocked = false;
    c->dbg_hits = 0;
    c->dbg_keep_rf = false;
    hk_tlb_flush_all(c);
    hk_update_mode(c);
    c->irq_check = true;
    return 0;
}
