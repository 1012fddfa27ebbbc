/*
 * Slow instructions that fit nowhere else, and the table of all of them.
 */
#include "cpu/slow_int.h"

#include "base/assert.h"

/* ---- software interrupts ------------------------------------------------ */

bool hk_slow_int3(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_event_software(c, HK_EVENT_SOFT, HK_VEC_BP);
}

bool hk_slow_int_n(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_event_software(c, HK_EVENT_SOFT, i->imm & 0xff);
}

bool hk_slow_into(struct hk_cpu *c, const struct hk_insn *i)
{
    if ((c->fl & HK_FL_OF) == 0)
        return true;
    return hk_event_software(c, HK_EVENT_SOFT, HK_VEC_OF);
}

bool hk_slow_int1(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_event_software(c, HK_EVENT_SOFT_PRIV, HK_VEC_DB);
}

bool hk_slow_bound(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la, low, high;
    uint32_t size = i->opsize;
    unsigned shift = 64 - size * 8;
    int64_t value = (int64_t)(hk_reg_get(c, &i->opnd[0]) << shift);
    if (!hk_insn_linear(c, i, size, HK_ACC_READ, &la) ||
        !hk_mem_read(c, la, size, HK_ACC_READ, &low))
        return false;
    if (value < (int64_t)(low << shift)) /* before the other one is read */
        return hk_fault(c, HK_VEC_BR);
    uint64_t at = hk_insn_offset(c, i) + size;
    if (!hk_seg_linear(c, i->seg, at, size, HK_ACC_READ, &la) ||
        !hk_mem_read(c, la, size, HK_ACC_READ, &high))
        return false;
    if (value > (int64_t)(high << shift))
        return hk_fault(c, HK_VEC_BR);
    return true;
}

/* ---- flags, halt -------------------------------------------------------- */

bool hk_slow_cli(struct hk_cpu *c, const struct hk_insn *i)
{
    if ((c->cr0 & HK_CR0_PE) != 0 && c->cpl > hk_iopl(c))
        return hk_fault_err(c, HK_VEC_GP, 0);
    c->sysflags &= ~(uint32_t)HK_RF_IF;
    return true;
}

static bool set_ac(struct hk_cpu *c, bool on)
{
    if (c->cpl != 0)
        return hk_fault(c, HK_VEC_UD);
    c->sysflags &= ~(uint32_t)HK_RF_AC;
    if (on)
        c->sysflags |= HK_RF_AC;
    hk_update_mode(c);
    return true;
}

bool hk_slow_stac(struct hk_cpu *c, const struct hk_insn *i)
{
    return set_ac(c, true);
}

bool hk_slow_clac(struct hk_cpu *c, const struct hk_insn *i)
{
    return set_ac(c, false);
}

bool hk_slow_hlt(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!hk_need_cpl0(c))
        return false;
    c->halted = true;
    return true;
}

bool hk_slow_salc(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t al = (c->fl & HK_FL_CF) != 0 ? 0xff : 0;
    c->r[HK_RAX] = (c->r[HK_RAX] & ~0xffull) | al;
    return true;
}

/* INVD and WBINVD: no caches to write back here. */
bool hk_slow_invd(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_need_cpl0(c);
}

/* ---- time and identity -------------------------------------------------- */

static void set_edx_eax(struct hk_cpu *c, uint64_t value)
{
    c->r[HK_RAX] = (uint32_t)value;
    c->r[HK_RDX] = value >> 32;
}

static uint64_t get_edx_eax(const struct hk_cpu *c)
{
    return (uint32_t)c->r[HK_RAX] | c->r[HK_RDX] << 32;
}

uint64_t hk_tsc_now(struct hk_cpu *c)
{
    return c->machine->host.tsc(c->opaque);
}

static bool tsc_allowed(struct hk_cpu *c)
{
    if (c->cpl == 0 || (c->cr4 & HK_CR4_TSD) == 0)
        return true;
    return hk_fault_err(c, HK_VEC_GP, 0);
}

bool hk_slow_rdtsc(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!tsc_allowed(c))
        return false;
    set_edx_eax(c, hk_tsc_now(c));
    return true;
}

bool hk_slow_rdtscp(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!hk_slow_rdtsc(c, i))
        return false;
    c->r[HK_RCX] = (uint32_t)c->msr.tsc_aux;
    return true;
}

bool hk_slow_rdpid(struct hk_cpu *c, const struct hk_insn *i)
{
    hk_reg_set(c, &i->opnd[0], (uint32_t)c->msr.tsc_aux);
    return true;
}

/* There are no performance counters (CPUID leaf 0xA is zero). */
bool hk_slow_rdpmc(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_fault_err(c, HK_VEC_GP, 0);
}

bool hk_slow_cpuid(struct hk_cpu *c, const struct hk_insn *i)
{
    uint32_t r[4];
    uint64_t apic_base = 0;
    hk_cpu_cpuid(c->machine, c->index, (uint32_t)c->r[HK_RAX],
                 (uint32_t)c->r[HK_RCX], r);
    /* Leaf 1 shows whether the local APIC is on. */
    if ((uint32_t)c->r[HK_RAX] == 1 && hk_msr_read(c, 0x1b, &apic_base) &&
        (apic_base & 1u << 11) == 0)
        r[3] &= ~(1u << 9);
    c->r[HK_RAX] = r[0];
    c->r[HK_RBX] = r[1];
    c->r[HK_RCX] = r[2];
    c->r[HK_RDX] = r[3];
    return true;
}

/* ---- MSRs, XCR0, hypercalls --------------------------------------------- */

bool hk_slow_rdmsr(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t value;
    if (!hk_need_cpl0(c) || !hk_msr_read(c, (uint32_t)c->r[HK_RCX], &value))
        return false;
    set_edx_eax(c, value);
    return true;
}

bool hk_slow_wrmsr(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_need_cpl0(c) &&
           hk_msr_write(c, (uint32_t)c->r[HK_RCX], get_edx_eax(c));
}

bool hk_slow_xgetbv(struct hk_cpu *c, const struct hk_insn *i)
{
    if ((c->cr4 & HK_CR4_OSXSAVE) == 0)
        return hk_fault(c, HK_VEC_UD);
    if ((uint32_t)c->r[HK_RCX] != 0)
        return hk_fault_err(c, HK_VEC_GP, 0);
    set_edx_eax(c, c->xcr0);
    return true;
}

bool hk_slow_xsetbv(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t value = get_edx_eax(c);
    if ((c->cr4 & HK_CR4_OSXSAVE) == 0)
        return hk_fault(c, HK_VEC_UD);
    bool ok = (uint32_t)c->r[HK_RCX] == 0 && (value & 1) != 0 &&
              (value & ~HK_XCR0_ALLOWED) == 0;
    if (c->cpl != 0 || !ok)
        return hk_fault_err(c, HK_VEC_GP, 0);
    c->xcr0 = value;
    return true;
}

/* ---- protection keys ---------------------------------------------------- */

static bool keys_on(struct hk_cpu *c)
{
    if ((c->cr4 & HK_CR4_PKE) == 0)
        return hk_fault(c, HK_VEC_UD);
    return (uint32_t)c->r[HK_RCX] == 0 || hk_fault_err(c, HK_VEC_GP, 0);
}

bool hk_slow_rdpkru(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!keys_on(c))
        return false;
    set_edx_eax(c, c->pkru);
    return true;
}

bool hk_slow_wrpkru(struct hk_cpu *c, const struct hk_insn *i)
{
    uint32_t next = (uint32_t)c->r[HK_RAX];
    if (!keys_on(c))
        return false;
    if ((uint32_t)c->r[HK_RDX] != 0)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (next != c->pkru)
        hk_tlb_flush_all(c);
    c->pkru = next;
    return true;
}

enum { KVM_EPERM = 1, KVM_ENOSYS = 1000 };

/* The KVM hypercall interface: a number in RAX, none of which is offered. */
bool hk_slow_vmcall(struct hk_cpu *c, const struct hk_insn *i)
{
    int64_t result = c->cpl != 0 ? -KVM_EPERM : -KVM_ENOSYS;
    if (!hk_is_protected(c))
        return hk_fault(c, HK_VEC_UD);
    c->r[HK_RAX] = hk_is_code64(c) ? (uint64_t)result : (uint32_t)result;
    return true;
}

/* ---- the table ---------------------------------------------------------- */

static const hk_slow_fn slow_table[HK_OP_COUNT] = {
    [HK_OP_JMP_FAR] = hk_slow_jmp_far,
    [HK_OP_CALL_FAR] = hk_slow_call_far,
    [HK_OP_RET_FAR] = hk_slow_ret_far,
    [HK_OP_IRET] = hk_slow_iret,
    [HK_OP_INT3] = hk_slow_int3,
    [HK_OP_INT] = hk_slow_int_n,
    [HK_OP_INTO] = hk_slow_into,
    [HK_OP_INT1] = hk_slow_int1,
    [HK_OP_SYSCALL] = hk_slow_syscall,
    [HK_OP_SYSRET] = hk_slow_sysret,
    [HK_OP_SYSENTER] = hk_slow_sysenter,
    [HK_OP_SYSEXIT] = hk_slow_sysexit,
    [HK_OP_IN] = hk_slow_in,
    [HK_OP_OUT] = hk_slow_out,
    [HK_OP_INS] = hk_slow_ins,
    [HK_OP_OUTS] = hk_slow_outs,
    [HK_OP_HLT] = hk_slow_hlt,
    [HK_OP_CPUID] = hk_slow_cpuid,
    [HK_OP_RDTSC] = hk_slow_rdtsc,
    [HK_OP_RDTSCP] = hk_slow_rdtscp,
    [HK_OP_RDPMC] = hk_slow_rdpmc,
    [HK_OP_RDPID] = hk_slow_rdpid,
    [HK_OP_RDMSR] = hk_slow_rdmsr,
    [HK_OP_WRMSR] = hk_slow_wrmsr,
    [HK_OP_CLI] = hk_slow_cli,
    [HK_OP_MOV_FROM_CR] = hk_slow_mov_from_cr,
    [HK_OP_MOV_TO_CR] = hk_slow_mov_to_cr,
    [HK_OP_MOV_FROM_DR] = hk_slow_mov_from_dr,
    [HK_OP_MOV_TO_DR] = hk_slow_mov_to_dr,
    [HK_OP_LGDT] = hk_slow_lgdt,
    [HK_OP_LIDT] = hk_slow_lidt,
    [HK_OP_SGDT] = hk_slow_sgdt,
    [HK_OP_SIDT] = hk_slow_sidt,
    [HK_OP_LLDT] = hk_slow_lldt,
    [HK_OP_LTR] = hk_slow_ltr,
    [HK_OP_SLDT] = hk_slow_sldt,
    [HK_OP_STR] = hk_slow_str,
    [HK_OP_LMSW] = hk_slow_lmsw,
    [HK_OP_SMSW] = hk_slow_smsw,
    [HK_OP_CLTS] = hk_slow_clts,
    [HK_OP_INVLPG] = hk_slow_invlpg,
    [HK_OP_INVPCID] = hk_slow_invpcid,
    [HK_OP_INVD] = hk_slow_invd,
    [HK_OP_WBINVD] = hk_slow_invd,
    [HK_OP_SWAPGS] = hk_slow_swapgs,
    [HK_OP_RDFSBASE] = hk_slow_rdfsbase,
    [HK_OP_RDGSBASE] = hk_slow_rdgsbase,
    [HK_OP_WRFSBASE] = hk_slow_wrfsbase,
    [HK_OP_WRGSBASE] = hk_slow_wrgsbase,
    [HK_OP_XGETBV] = hk_slow_xgetbv,
    [HK_OP_XSETBV] = hk_slow_xsetbv,
    [HK_OP_RDPKRU] = hk_slow_rdpkru,
    [HK_OP_WRPKRU] = hk_slow_wrpkru,
    [HK_OP_STAC] = hk_slow_stac,
    [HK_OP_CLAC] = hk_slow_clac,
    [HK_OP_VERR] = hk_slow_verr,
    [HK_OP_VERW] = hk_slow_verw,
    [HK_OP_LAR] = hk_slow_lar,
    [HK_OP_LSL] = hk_slow_lsl,
    [HK_OP_ARPL] = hk_slow_arpl,
    [HK_OP_BOUND] = hk_slow_bound,
    [HK_OP_VMCALL] = hk_slow_vmcall,
    [HK_OP_MOV_FROM_SREG] = hk_slow_mov_from_sreg,
    [HK_OP_MOV_TO_SREG] = hk_slow_mov_to_sreg,
    [HK_OP_PUSH_SREG] = hk_slow_push_sreg,
    [HK_OP_POP_SREG] = hk_slow_pop_sreg,
    [HK_OP_LDS] = hk_slow_load_far,
    [HK_OP_LES] = hk_slow_load_far,
    [HK_OP_LFS] = hk_slow_load_far,
    [HK_OP_LGS] = hk_slow_load_far,
    [HK_OP_LSS] = hk_slow_load_far,
    [HK_OP_SALC] = hk_slow_salc,
    [HK_OP_FXSAVE] = hk_slow_fxsave,
    [HK_OP_FXRSTOR] = hk_slow_fxrstor,
    [HK_OP_XSAVE] = hk_slow_xsave,
    [HK_OP_XRSTOR] = hk_slow_xrstor,
    [HK_OP_XSAVEOPT] = hk_slow_xsave,
    [HK_OP_LDMXCSR] = hk_slow_ldmxcsr,
    [HK_OP_STMXCSR] = hk_slow_stmxcsr,
};

hk_slow_fn hk_slow_find(enum hk_op op)
{
    hk_assert((unsigned)op < HK_OP_COUNT && slow_table[op] != NULL);
    return slow_table[op];
}
