/*
 * Control and debug registers, and the instructions that drop translations:
 * Intel SDM volume 3, sections 2.5, 4.10 and 17.2.
 *
 * The soft TLB does not tag its entries with a PCID, so a load of CR3 drops
 * every translation that is not global, whatever bit 63 asks for: keeping
 * entries is a permission, not a promise.
 */
#include "cpu/slow_int.h"

#define CR0_KNOWN                                                            \
    (HK_CR0_PE | HK_CR0_MP | HK_CR0_EM | HK_CR0_TS | HK_CR0_ET | HK_CR0_NE | \
     HK_CR0_WP | HK_CR0_AM | HK_CR0_NW | HK_CR0_CD | HK_CR0_PG)
#define CR3_NOFLUSH (1ull << 63)
#define CR3_PCID 0xfffull

static bool gp0(struct hk_cpu *c)
{
    return hk_fault_err(c, HK_VEC_GP, 0);
}

/* ---- CR0 ---------------------------------------------------------------- */

/* The four PDPTEs must be valid when PAE paging starts to use them. */
static bool pdptes_ok(struct hk_cpu *c, uint64_t cr3)
{
    uint64_t bad = 0x1e6 | ~c->phys_mask;
    for (unsigned n = 0; n < 4; n++) {
        uint64_t e;
        if (!hk_phys_read64(c->machine, (cr3 & 0xffffffe0) + n * 8, &e))
            continue;
        if ((e & 1) != 0 && (e & bad) != 0)
            return false;
    }
    return true;
}

static bool cr0_paging_ok(struct hk_cpu *c, uint64_t next)
{
    bool was = (c->cr0 & HK_CR0_PG) != 0;
    bool on = (next & HK_CR0_PG) != 0;
    bool cs_long = (c->seg[HK_SEG_CS].attr & HK_SEG_L) != 0;
    bool pae = (c->cr4 & HK_CR4_PAE) != 0;
    if (on == was)
        return true;
    if (!on)
        return (c->cr4 & HK_CR4_PCIDE) == 0 && !(hk_is_long(c) && cs_long);
    if ((c->msr.efer & HK_EFER_LME) != 0)
        return pae && !cs_long;
    return !pae || pdptes_ok(c, c->cr3);
}

static bool cr0_ok(struct hk_cpu *c, uint64_t next)
{
    if (next >> 32 != 0)
        return false;
    if ((next & HK_CR0_PG) != 0 && (next & HK_CR0_PE) == 0)
        return false;
    if ((next & HK_CR0_NW) != 0 && (next & HK_CR0_CD) == 0)
        return false;
    return cr0_paging_ok(c, next);
}

static bool set_cr0(struct hk_cpu *c, uint64_t value)
{
    uint64_t next = (value & (CR0_KNOWN | ~0xffffffffull)) | HK_CR0_ET;
    uint64_t changed = next ^ c->cr0;
    if (!cr0_ok(c, next))
        return gp0(c);
    c->cr0 = next;
    if ((changed & HK_CR0_PG) != 0) {
        c->msr.efer &= ~HK_EFER_LMA;
        if ((next & HK_CR0_PG) != 0 && (c->msr.efer & HK_EFER_LME) != 0)
            c->msr.efer |= HK_EFER_LMA;
    }
    if ((changed & (HK_CR0_PG | HK_CR0_WP | HK_CR0_PE)) != 0)
        hk_tlb_flush_all(c);
    hk_update_mode(c);
    return true;
}

bool hk_slow_lmsw(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t value;
    if (!hk_need_cpl0(c) || !hk_opnd_get(c, i, &i->opnd[0], &value))
        return false;
    /* It can set PE, never clear it. */
    uint64_t next = (c->cr0 & ~0xeull) | (value & 0xf);
    return set_cr0(c, next);
}

bool hk_slow_smsw(struct hk_cpu *c, const struct hk_insn *i)
{
    if (c->cpl != 0 && (c->cr4 & HK_CR4_UMIP) != 0)
        return gp0(c);
    return hk_opnd_set(c, i, &i->opnd[0], c->cr0);
}

bool hk_slow_clts(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!hk_need_cpl0(c))
        return false;
    c->cr0 &= ~HK_CR0_TS;
    hk_update_mode(c);
    return true;
}

/* ---- CR3, CR4, CR8 ------------------------------------------------------ */

static bool set_cr3(struct hk_cpu *c, uint64_t value)
{
    bool pae = (c->cr4 & HK_CR4_PAE) != 0 && (c->cr0 & HK_CR0_PG) != 0;
    if ((c->cr4 & HK_CR4_PCIDE) != 0)
        value &= ~CR3_NOFLUSH;
    if ((value & ~(c->phys_mask | CR3_PCID)) != 0)
        return gp0(c);
    if (pae && !hk_is_long(c) && !pdptes_ok(c, value))
        return gp0(c);
    c->cr3 = value;
    hk_tlb_flush_nonglobal(c);
    return true;
}

uint64_t hk_cr4_allowed(const struct hk_cpu_machine *m)
{
    uint64_t keys = m->config.protection_keys ? HK_CR4_PKE | HK_CR4_PKS : 0;
    return keys | HK_CR4_TSD | HK_CR4_DE | HK_CR4_PSE | HK_CR4_PAE |
           HK_CR4_MCE | HK_CR4_PGE | HK_CR4_PCE | HK_CR4_OSFXSR |
           HK_CR4_OSXMMEXCPT | HK_CR4_UMIP | HK_CR4_FSGSBASE | HK_CR4_PCIDE |
           HK_CR4_OSXSAVE | HK_CR4_SMEP | HK_CR4_SMAP;
}

static bool cr4_ok(struct hk_cpu *c, uint64_t next)
{
    uint64_t set = next & ~c->cr4;
    uint64_t cleared = c->cr4 & ~next;
    if ((next & ~hk_cr4_allowed(c->machine)) != 0)
        return false;
    if ((cleared & HK_CR4_PAE) != 0 && hk_is_long(c))
        return false;
    if ((set & HK_CR4_PCIDE) != 0 &&
        (!hk_is_long(c) || (c->cr3 & CR3_PCID) != 0))
        return false;
    bool starts_pae =
        (set & HK_CR4_PAE) != 0 && (c->cr0 & HK_CR0_PG) != 0 && !hk_is_long(c);
    return !starts_pae || pdptes_ok(c, c->cr3);
}

static bool set_cr4(struct hk_cpu *c, uint64_t value)
{
    uint64_t paging = HK_CR4_PGE | HK_CR4_PAE | HK_CR4_PSE | HK_CR4_PCIDE |
                      HK_CR4_SMEP | HK_CR4_SMAP | HK_CR4_PKE | HK_CR4_PKS;
    uint64_t changed = value ^ c->cr4;
    if (!cr4_ok(c, value))
        return gp0(c);
    c->cr4 = value;
    if ((changed & paging) != 0)
        hk_tlb_flush_all(c);
    hk_update_mode(c);
    return true;
}

static bool set_cr8(struct hk_cpu *c, uint64_t value)
{
    if (value > 15)
        return gp0(c);
    HK_OUTSIDE(c, c->machine->host.set_cr8(c->opaque, (uint8_t)value));
    c->irq_check = true;
    return true;
}

bool hk_slow_mov_to_cr(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t value = hk_reg_get(c, &i->opnd[1]);
    if (!hk_need_cpl0(c))
        return false;
    switch (i->opnd[0].reg) {
    case 0:
        return set_cr0(c, value);
    case 2:
        c->cr2 = value;
        return true;
    case 3:
        return set_cr3(c, value);
    case 4:
        return set_cr4(c, value);
    case 8:
        return set_cr8(c, value);
    default:
        return hk_fault(c, HK_VEC_UD);
    }
}

bool hk_slow_mov_from_cr(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t value;
    if (!hk_need_cpl0(c))
        return false;
    switch (i->opnd[1].reg) {
    case 0:
        value = c->cr0;
        break;
    case 2:
        value = c->cr2;
        break;
    case 3:
        value = c->cr3;
        break;
    case 4:
        value = c->cr4;
        break;
    case 8:
        HK_OUTSIDE(c, value = c->machine->host.get_cr8(c->opaque));
        break;
    default:
        return hk_fault(c, HK_VEC_UD);
    }
    hk_reg_set(c, &i->opnd[0], value);
    return true;
}

/* ---- debug registers ---------------------------------------------------- */

/* DR4 and DR5 are DR6 and DR7, or undefined under CR4.DE. General detect
 * (DR7.GD) is a fault that shows in DR6.BD. */
static bool pick_dr(struct hk_cpu *c, unsigned *n)
{
    if (*n == 4 || *n == 5) {
        if ((c->cr4 & HK_CR4_DE) != 0)
            return hk_fault(c, HK_VEC_UD);
        *n |= 2;
    }
    if (!hk_need_cpl0(c))
        return false;
    if ((c->dr[7] & 1ull << 13) == 0)
        return true;
    c->dr[6] |= 1ull << 13;
    c->dbg_detect = true;
    return hk_fault(c, HK_VEC_DB);
}

bool hk_slow_mov_from_dr(struct hk_cpu *c, const struct hk_insn *i)
{
    unsigned n = i->opnd[1].reg & 7;
    if (!pick_dr(c, &n))
        return false;
    hk_reg_set(c, &i->opnd[0], c->dr[n & 7]);
    return true;
}

bool hk_slow_mov_to_dr(struct hk_cpu *c, const struct hk_insn *i)
{
    unsigned n = i->opnd[0].reg & 7;
    uint64_t value = hk_reg_get(c, &i->opnd[1]);
    if (!pick_dr(c, &n))
        return false;
    if (n >= 6 && value >> 32 != 0)
        return gp0(c);
    if (n == 6)
        value = (value & 0xe00f) | HK_DR6_ONE;
    if (n == 7)
        value = (value & 0xffff23ff) | HK_DR7_ONE;
    c->dr[n & 7] = value;
    if (n != 6) {
        hk_tlb_flush_all(c); /* watched pages have no entries */
        hk_update_mode(c);
    }
    return true;
}

/* ---- translations ------------------------------------------------------- */

bool hk_slow_invlpg(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!hk_need_cpl0(c))
        return false;
    uint64_t la = hk_insn_offset(c, i);
    if (!hk_is_code64(c) || i->seg == HK_SEG_FS || i->seg == HK_SEG_GS)
        la += c->seg[i->seg].base;
    if (!hk_is_code64(c))
        la = (uint32_t)la;
    if (hk_is_canonical(la))
        hk_mmu_invalidate(c, la);
    return true;
}

enum {
    INVPCID_ADDRESS = 0,
    INVPCID_CONTEXT = 1,
    INVPCID_ALL = 2,
    INVPCID_NONGLOBAL = 3,
};

static bool invpcid(struct hk_cpu *c, uint64_t type, const uint64_t desc[2])
{
    bool pcide = (c->cr4 & HK_CR4_PCIDE) != 0;
    bool needs_pcid = type == INVPCID_ADDRESS || type == INVPCID_CONTEXT;
    if (type > INVPCID_NONGLOBAL || (desc[0] & ~CR3_PCID) != 0)
        return gp0(c);
    if (needs_pcid && !pcide && desc[0] != 0)
        return gp0(c);
    if (type == INVPCID_ADDRESS && !hk_is_canonical(desc[1]))
        return gp0(c);
    if (type == INVPCID_ADDRESS)
        hk_mmu_invalidate(c, desc[1]);
    else if (type == INVPCID_ALL)
        hk_tlb_flush_all(c);
    else
        hk_tlb_flush_nonglobal(c);
    return true;
}

bool hk_slow_invpcid(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t type = hk_reg_get(c, &i->opnd[0]);
    uint64_t desc[2], la;
    if (!hk_is_code64(c))
        type = (uint32_t)type;
    if ((c->sysflags & HK_RF_VM) != 0 || !hk_need_cpl0(c))
        return gp0(c);
    if (!hk_insn_linear(c, i, 16, HK_ACC_READ, &la) ||
        !hk_mem_read_bytes(c, la, desc, sizeof(desc), HK_ACC_READ))
        return false;
    return invpcid(c, type, desc);
}
