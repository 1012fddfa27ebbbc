/*
 * Fast system calls and the bases of FS and GS.
 *
 * As on Intel processors: SYSCALL and SYSRET exist in 64-bit mode only, and
 * SYSRET to an address that is not canonical is #GP(0) at CPL 0. A machine
 * that says AMD also has SYSCALL in compatibility mode, and then no SYSENTER
 * in long mode (AMD64 volume 3, SYSCALL and SYSENTER).
 */
#include "cpu/slow_int.h"

#define SYSRET_FLAGS 0x3c7fd7ull /* what SYSRET takes from R11 */

bool hk_slow_syscall(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t rflags = hk_get_rflags(c) & ~(uint64_t)HK_RF_RF;
    uint16_t selector = (uint16_t)(c->msr.star >> 32);
    bool exists = c->machine->config.amd ? hk_is_long(c) : hk_is_code64(c);
    if (!exists || (c->msr.efer & HK_EFER_SCE) == 0)
        return hk_fault(c, HK_VEC_UD);
    c->r[HK_RCX] = c->rip;
    c->r[HK_R11] = rflags;
    c->rip = hk_is_code64(c) ? c->msr.lstar : c->msr.cstar;
    hk_seg_set_flat_code(c, selector & 0xfffc, 0, true);
    hk_seg_set_flat_stack(c, (uint16_t)((selector & 0xfffc) + 8), 0);
    hk_set_rflags(c, rflags & ~c->msr.fmask);
    hk_update_mode(c);
    /* TF counts as it is afterwards. */
    c->step_tf = (c->sysflags & HK_RF_TF) != 0;
    return true;
}

bool hk_slow_sysret(struct hk_cpu *c, const struct hk_insn *i)
{
    bool to64 = i->opsize == 8;
    uint16_t selector = (uint16_t)(c->msr.star >> 48);
    if (!hk_is_code64(c) || (c->msr.efer & HK_EFER_SCE) == 0)
        return hk_fault(c, HK_VEC_UD);
    if (!hk_need_cpl0(c))
        return false;
    if (to64 && !hk_is_canonical(c->r[HK_RCX]))
        return hk_fault_err(c, HK_VEC_GP, 0);
    c->rip = to64 ? c->r[HK_RCX] : (uint32_t)c->r[HK_RCX];
    hk_seg_set_flat_code(c, (uint16_t)(selector + (to64 ? 16 : 0)), 3, to64);
    hk_seg_set_flat_stack(c, (uint16_t)(selector + 8), 3);
    hk_set_rflags(c, c->r[HK_R11] & SYSRET_FLAGS);
    hk_update_mode(c);
    if ((c->sysflags & HK_RF_TF) != 0)
        hk_debug_single_step(c);
    return true;
}

bool hk_slow_sysenter(struct hk_cpu *c, const struct hk_insn *i)
{
    bool is64 = hk_is_long(c);
    uint16_t selector = c->msr.sysenter_cs & 0xfffc;
    if (is64 && c->machine->config.amd)
        return hk_fault(c, HK_VEC_UD);
    if ((c->cr0 & HK_CR0_PE) == 0 || selector == 0)
        return hk_fault_err(c, HK_VEC_GP, 0);
    c->rip = is64 ? c->msr.sysenter_eip : (uint32_t)c->msr.sysenter_eip;
    c->r[HK_SLOT_RSP] =
        is64 ? c->msr.sysenter_esp : (uint32_t)c->msr.sysenter_esp;
    hk_seg_set_flat_code(c, selector, 0, is64);
    hk_seg_set_flat_stack(c, (uint16_t)(selector + 8), 0);
    c->sysflags &= ~(uint32_t)(HK_RF_VM | HK_RF_IF | HK_RF_RF);
    hk_update_mode(c);
    return true;
}

bool hk_slow_sysexit(struct hk_cpu *c, const struct hk_insn *i)
{
    bool to64 = i->opsize == 8;
    uint16_t selector = c->msr.sysenter_cs & 0xfffc;
    uint64_t rip = c->r[HK_RDX], rsp = c->r[HK_RCX];
    if (hk_is_long(c) && c->machine->config.amd)
        return hk_fault(c, HK_VEC_UD);
    if ((c->cr0 & HK_CR0_PE) == 0 || selector == 0 || c->cpl != 0)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (to64 && (!hk_is_canonical(rip) || !hk_is_canonical(rsp)))
        return hk_fault_err(c, HK_VEC_GP, 0);
    c->rip = to64 ? rip : (uint32_t)rip;
    c->r[HK_SLOT_RSP] = to64 ? rsp : (uint32_t)rsp;
    hk_seg_set_flat_code(c, (uint16_t)(selector + (to64 ? 32 : 16)), 3, to64);
    hk_seg_set_flat_stack(c, (uint16_t)(selector + (to64 ? 40 : 24)), 3);
    hk_update_mode(c);
    return true;
}

/* ---- bases -------------------------------------------------------------- */

static void set_base(struct hk_cpu *c, unsigned seg, uint64_t base)
{
    c->seg[seg].base = base;
    c->r[HK_SLOT_SEG + seg] = base;
}

bool hk_slow_swapgs(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!hk_is_code64(c))
        return hk_fault(c, HK_VEC_UD);
    if (!hk_need_cpl0(c))
        return false;
    uint64_t base = c->seg[HK_SEG_GS].base;
    set_base(c, HK_SEG_GS, c->msr.kernel_gs_base);
    c->msr.kernel_gs_base = base;
    return true;
}

static bool base_allowed(struct hk_cpu *c)
{
    if (!hk_is_code64(c) || (c->cr4 & HK_CR4_FSGSBASE) == 0)
        return hk_fault(c, HK_VEC_UD);
    return true;
}

static bool write_base(struct hk_cpu *c, const struct hk_insn *i, unsigned seg)
{
    uint64_t base = hk_reg_get(c, &i->opnd[0]);
    if (!base_allowed(c))
        return false;
    if (!hk_is_canonical(base))
        return hk_fault_err(c, HK_VEC_GP, 0);
    set_base(c, seg, base);
    return true;
}

static bool read_base(struct hk_cpu *c, const struct hk_insn *i, unsigned seg)
{
    if (!base_allowed(c))
        return false;
    hk_reg_set(c, &i->opnd[0], c->seg[seg].base);
    return true;
}

bool hk_slow_rdfsbase(struct hk_cpu *c, const struct hk_insn *i)
{
    return read_base(c, i, HK_SEG_FS);
}

bool hk_slow_rdgsbase(struct hk_cpu *c, const struct hk_insn *i)
{
    return read_base(c, i, HK_SEG_GS);
}

bool hk_slow_wrfsbase(struct hk_cpu *c, const struct hk_insn *i)
{
    return write_base(c, i, HK_SEG_FS);
}

bool hk_slow_wrgsbase(struct hk_cpu *c, const struct hk_insn *i)
{
    return write_base(c, i, HK_SEG_GS);
}
