/*
 * Model-specific registers: Intel SDM volume 4, and the KVM clock ones.
 *
 * Plain registers are in a table: where they live and what they take. The
 * local APIC's belong to the host (hk_cpu_host). What is not here is #GP(0),
 * which kernels expect of registers that a CPU lacks.
 */
#define HK_LOG_TAG "cpu"
#include "base/log.h"
#include "cpu/slow_int.h"

#include <stddef.h>

enum {
    MSR_TSC = 0x10,
    MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_UCODE_REV = 0x8b,
    MSR_PLATFORM_INFO = 0xce,
    MSR_MISC_FEATURES = 0x140,
    MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_PAT = 0x277,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_PKRS = 0x6e1,
    MSR_X2APIC_FIRST = 0x800,
    MSR_X2APIC_LAST = 0x8ff,
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_CSTAR = 0xc0000083,
    MSR_FMASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
    MSR_KERNEL_GS_BASE = 0xc0000102,
    MSR_TSC_AUX = 0xc0000103,
    MSR_K7_EVNTSEL0 = 0xc0010000,
    MSR_K7_PERFCTR3 = 0xc0010007,
};

enum { FEATURE_CONTROL_LOCKED = 1 };

#define EFER_KNOWN (HK_EFER_SCE | HK_EFER_LME | HK_EFER_LMA | HK_EFER_NXE)
/* MISC_ENABLE: fast strings, and the debug facilities that are not here. */
#define MISC_ENABLE_RO (1ull << 7 | 1ull << 11 | 1ull << 12)
#define MISC_ENABLE_SET (1ull << 11 | 1ull << 12)

enum rule {
    RULE_ANY,
    RULE_LOW32,     /* bits 63-32 must be 0 */
    RULE_CANONICAL, /* the value is an address */
    RULE_IGNORE,    /* writes do nothing */
    RULE_ZERO_ONLY, /* only 0 may be written */
    RULE_READ_ONLY,
};

struct plain_msr {
    uint32_t number;
    uint32_t offset; /* of the uint64_t in struct hk_cpu, or NOWHERE */
    enum rule rule;
};

enum { NOWHERE = 0xffffffff };

#define AT(field) offsetof(struct hk_cpu, field)

static const struct plain_msr plain[] = {
    {MSR_STAR, AT(msr.star), RULE_ANY},
    {MSR_LSTAR, AT(msr.lstar), RULE_CANONICAL},
    {MSR_CSTAR, AT(msr.cstar), RULE_CANONICAL},
    {MSR_FMASK, AT(msr.fmask), RULE_LOW32},
    {MSR_KERNEL_GS_BASE, AT(msr.kernel_gs_base), RULE_CANONICAL},
    {MSR_TSC_AUX, AT(msr.tsc_aux), RULE_LOW32},
    {MSR_SYSENTER_CS, AT(msr.sysenter_cs), RULE_LOW32},
    {MSR_SYSENTER_ESP, AT(msr.sysenter_esp), RULE_CANONICAL},
    {MSR_SYSENTER_EIP, AT(msr.sysenter_eip), RULE_CANONICAL},
    {MSR_UCODE_REV, NOWHERE, RULE_IGNORE},
    {MSR_PLATFORM_INFO, NOWHERE, RULE_IGNORE},
    {MSR_MISC_FEATURES, NOWHERE, RULE_ZERO_ONLY},
    {MSR_MCG_CAP, NOWHERE, RULE_READ_ONLY}, /* no banks */
    {MSR_MCG_STATUS, NOWHERE, RULE_ZERO_ONLY},
    {MSR_DEBUGCTL, NOWHERE, RULE_ZERO_ONLY},
};

static const struct plain_msr *find_plain(uint32_t msr)
{
    for (size_t n = 0; n < HK_COUNT(plain); n++) {
        if (plain[n].number == msr)
            return &plain[n];
    }
    return NULL;
}

static uint64_t *plain_at(struct hk_cpu *c, const struct plain_msr *p)
{
    return (uint64_t *)(void *)((char *)c + p->offset);
}

static bool refuse(struct hk_cpu *c, const char *what, uint32_t msr)
{
    HK_LOG_GUEST_D("%s of MSR 0x%x refused", what, msr);
    return hk_fault_err(c, HK_VEC_GP, 0);
}

static bool is_apic(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE ||
           (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

/*
 * What way the guest is told about speculation: with tell_safe the family and
 * model already say "no speculation" to Linux; these bits say it to others.
 */
uint64_t hk_msr_arch_capabilities(const struct hk_cpu_machine *m)
{
    enum {
        RDCL_NO = 1 << 0,
        SKIP_L1DFL = 1 << 3,
        SSB_NO = 1 << 4,
        MDS_NO = 1 << 5,
        PSCHANGE_MC_NO = 1 << 6,
        TAA_NO = 1 << 8,
        SBDR_SSDP_NO = 1 << 13,
        FBSDP_NO = 1 << 14,
        PSDP_NO = 1 << 15,
        BHI_NO = 1 << 20,
        PBRSB_NO = 1 << 24,
        GDS_NO = 1 << 26,
        RFDS_NO = 1 << 27,
    };
    const uint64_t its_no = 1ull << 62;
    if (!m->config.tell_safe)
        return 0;
    return (RDCL_NO | SKIP_L1DFL | SSB_NO | MDS_NO | PSCHANGE_MC_NO | TAA_NO |
            SBDR_SSDP_NO | FBSDP_NO | PSDP_NO | BHI_NO | PBRSB_NO | GDS_NO |
            RFDS_NO) |
           its_no;
}

/* Every AMD processor has these counters; ours do not count. */
static bool is_amd_counter(const struct hk_cpu *c, uint32_t msr)
{
    return c->machine->config.amd && msr >= MSR_K7_EVNTSEL0 &&
           msr <= MSR_K7_PERFCTR3;
}

/* ---- reading ------------------------------------------------------------ */

static bool read_apic(struct hk_cpu *c, uint32_t msr, uint64_t *value)
{
    bool ok;
    HK_OUTSIDE(c, ok = c->machine->host.apic_msr_read(c->opaque, msr, value));
    return ok || refuse(c, "read", msr);
}

bool hk_msr_read(struct hk_cpu *c, uint32_t msr, uint64_t *value)
{
    const struct plain_msr *p = find_plain(msr);
    if (p != NULL) {
        *value = p->offset == NOWHERE ? 0 : *plain_at(c, p);
        return true;
    }
    if (is_apic(msr))
        return read_apic(c, msr, value);
    if (is_amd_counter(c, msr)) {
        *value = 0;
        return true;
    }
    switch (msr) {
    case MSR_TSC:
        *value = hk_tsc_now(c);
        return true;
    case MSR_TSC_ADJUST:
        *value = c->msr.tsc_adjust;
        return true;
    case MSR_FEATURE_CONTROL:
        /* Locked with nothing on. Kernels try to lock it otherwise. */
        *value = FEATURE_CONTROL_LOCKED;
        return true;
    case MSR_EFER:
        *value = c->msr.efer;
        return true;
    case MSR_PAT:
        *value = c->msr.pat;
        return true;
    case MSR_MISC_ENABLE:
        *value = c->msr.misc_enable | MISC_ENABLE_SET;
        return true;
    case MSR_FS_BASE:
        *value = c->seg[HK_SEG_FS].base;
        return true;
    case MSR_GS_BASE:
        *value = c->seg[HK_SEG_GS].base;
        return true;
    case MSR_PKRS:
        *value = c->msr.pkrs;
        return c->machine->config.protection_keys || refuse(c, "read", msr);
    case MSR_ARCH_CAPABILITIES:
        *value = hk_msr_arch_capabilities(c->machine);
        return c->machine->config.tell_safe || refuse(c, "read", msr);
    default:
        return hk_kvmclock_read(c, msr, value) || refuse(c, "read", msr);
    }
}

/* ---- writing ------------------------------------------------------------ */

static bool write_apic(struct hk_cpu *c, uint32_t msr, uint64_t value)
{
    bool ok;
    HK_OUTSIDE(c, ok = c->machine->host.apic_msr_write(c->opaque, msr, value));
    c->irq_check = true;
    return ok || refuse(c, "write", msr);
}

static bool write_plain(struct hk_cpu *c, const struct plain_msr *p,
                        uint64_t value)
{
    bool ok = true;
    switch (p->rule) {
    case RULE_ANY:
    case RULE_IGNORE:
        break;
    case RULE_LOW32:
        ok = value >> 32 == 0;
        break;
    case RULE_CANONICAL:
        ok = hk_is_canonical(value);
        break;
    case RULE_ZERO_ONLY:
        ok = value == 0;
        break;
    case RULE_READ_ONLY:
        ok = false;
        break;
    }
    if (!ok)
        return refuse(c, "write", p->number);
    if (p->offset != NOWHERE)
        *plain_at(c, p) = value;
    return true;
}

static bool write_efer(struct hk_cpu *c, uint64_t value)
{
    uint64_t changed;
    if ((value & ~EFER_KNOWN) != 0)
        return refuse(c, "write", MSR_EFER);
    value = (value & ~HK_EFER_LMA) | (c->msr.efer & HK_EFER_LMA);
    changed = value ^ c->msr.efer;
    if ((changed & HK_EFER_LME) != 0 && (c->cr0 & HK_CR0_PG) != 0)
        return refuse(c, "write", MSR_EFER);
    c->msr.efer = value;
    if ((changed & HK_EFER_NXE) != 0)
        hk_tlb_flush_all(c);
    hk_update_mode(c);
    return true;
}

static bool write_pat(struct hk_cpu *c, uint64_t value)
{
    for (unsigned n = 0; n < 8; n++) {
        unsigned type = value >> (8 * n) & 0xff;
        if (type > 7 || type == 2 || type == 3)
            return refuse(c, "write", MSR_PAT);
    }
    c->msr.pat = value;
    return true;
}

static bool write_pkrs(struct hk_cpu *c, uint64_t value)
{
    if (!c->machine->config.protection_keys || value >> 32 != 0)
        return refuse(c, "write", MSR_PKRS);
    c->msr.pkrs = value;
    hk_tlb_flush_all(c);
    return true;
}

static bool write_base(struct hk_cpu *c, uint32_t msr, unsigned seg,
                       uint64_t value)
{
    if (!hk_is_canonical(value))
        return refuse(c, "write", msr);
    c->seg[seg].base = value;
    c->r[HK_SLOT_SEG + seg] = value;
    return true;
}

/* Both ways to move the TSC move the host's idea of it as well, so that the
 * deadline timer and RDTSC always agree. */
static void move_tsc(struct hk_cpu *c, uint64_t delta)
{
    uint64_t next = hk_tsc_now(c) + delta;
    c->msr.tsc_adjust += delta;
    HK_OUTSIDE(c, c->machine->host.set_tsc(c->opaque, next));
    hk_kvmclock_update(c);
}

bool hk_msr_write(struct hk_cpu *c, uint32_t msr, uint64_t value)
{
    const struct plain_msr *p = find_plain(msr);
    if (p != NULL)
        return write_plain(c, p, value);
    if (is_apic(msr))
        return write_apic(c, msr, value);
    if (is_amd_counter(c, msr))
        return true;
    switch (msr) {
    case MSR_TSC:
        move_tsc(c, value - hk_tsc_now(c));
        return true;
    case MSR_TSC_ADJUST:
        move_tsc(c, value - c->msr.tsc_adjust);
        return true;
    case MSR_EFER:
        return write_efer(c, value);
    case MSR_PAT:
        return write_pat(c, value);
    case MSR_MISC_ENABLE:
        c->msr.misc_enable = value & ~MISC_ENABLE_RO;
        return true;
    case MSR_PKRS:
        return write_pkrs(c, value);
    case MSR_FS_BASE:
        return write_base(c, msr, HK_SEG_FS, value);
    case MSR_GS_BASE:
        return write_base(c, msr, HK_SEG_GS, value);
    default:
        return hk_kvmclock_write(c, msr, value) || refuse(c, "write", msr);
    }
}
