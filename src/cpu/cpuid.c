/*
 * CPUID as the guest sees it. docs/cpu.md says why each part is as it is.
 *
 * Rule: nothing is offered that does not work. Features that run as
 * themselves on the host are offered when the host has them; the rest is code
 * of ours. Features stand in tables, one line for each.
 *
 * Family and model say what Linux concludes about speculation. With tell_safe
 * the model is an in-order Atom (6-28-10), which Linux lists as one that does
 * not speculate: no page-table isolation, no retpolines, no fences. Else it
 * is a Westmere (6-44-2) without any claim, so that the guest takes every
 * precaution that it can.
 */
#include "cpu/slow_int.h"
#include "cpu/sse.h"

#include <string.h>

enum {
    SIGNATURE_SAFE = 0x106ca,   /* 6-28-10 */
    SIGNATURE_HONEST = 0x206c2, /* 6-44-2 */
    MAX_BASIC = 0x16,
    MAX_EXTENDED = 0x80000008,
    MAX_HYPERVISOR = 0x40000001,
    CACHE_LINE = 64,
};

enum { EAX, EBX, ECX, EDX };

static const char brand[48] = "Husk Software CPU";

/* ---- features ----------------------------------------------------------- */

/* `needs` is an enum hk_sse_feature that the host must have, or ALWAYS. */
enum { ALWAYS = HK_SSE_FEATURE_COUNT };

struct feature {
    uint8_t reg, bit;
    uint8_t needs;
};

static const struct feature leaf1[] = {
    {ECX, 0, HK_SSE_SSE3},   {ECX, 1, HK_SSE_PCLMUL},
    {ECX, 9, HK_SSE_SSSE3},  {ECX, 13, ALWAYS}, /* CMPXCHG16B */
    {ECX, 17, ALWAYS},                          /* PCID */
    {ECX, 19, HK_SSE_SSE41}, {ECX, 20, HK_SSE_SSE42},
    {ECX, 21, ALWAYS},                          /* x2APIC */
    {ECX, 22, ALWAYS},                          /* MOVBE */
    {ECX, 23, ALWAYS},                          /* POPCNT */
    {ECX, 24, ALWAYS},                          /* TSC deadline */
    {ECX, 25, HK_SSE_AES},   {ECX, 26, ALWAYS}, /* XSAVE */
    {ECX, 30, ALWAYS},                          /* RDRAND */
    {ECX, 31, ALWAYS},                          /* hypervisor */
    {EDX, 0, ALWAYS},                           /* FPU */
    {EDX, 2, ALWAYS},                           /* DE */
    {EDX, 3, ALWAYS},                           /* PSE */
    {EDX, 4, ALWAYS},                           /* TSC */
    {EDX, 5, ALWAYS},                           /* MSR */
    {EDX, 6, ALWAYS},                           /* PAE */
    {EDX, 7, ALWAYS},                           /* MCE */
    {EDX, 8, ALWAYS},                           /* CMPXCHG8B */
    {EDX, 9, ALWAYS},                           /* APIC */
    {EDX, 11, ALWAYS},                          /* SYSENTER */
    {EDX, 13, ALWAYS},                          /* PGE */
    {EDX, 14, ALWAYS},                          /* MCA, no banks */
    {EDX, 15, ALWAYS},                          /* CMOV */
    {EDX, 16, ALWAYS},                          /* PAT */
    {EDX, 17, ALWAYS},                          /* PSE-36 */
    {EDX, 19, ALWAYS},                          /* CLFLUSH */
    {EDX, 23, HK_SSE_MMX},   {EDX, 24, ALWAYS}, /* FXSR */
    {EDX, 25, HK_SSE_SSE},   {EDX, 26, HK_SSE_SSE2},
};

static const struct feature leaf7[] = {
    {EBX, 0, ALWAYS},                        /* FSGSBASE */
    {EBX, 1, ALWAYS},                        /* TSC_ADJUST */
    {EBX, 3, ALWAYS},                        /* BMI1 */
    {EBX, 7, ALWAYS},                        /* SMEP */
    {EBX, 8, ALWAYS},                        /* BMI2 */
    {EBX, 9, ALWAYS},                        /* ERMS */
    {EBX, 10, ALWAYS},                       /* INVPCID */
    {EBX, 13, ALWAYS},                       /* FPU CS and DS are deprecated */
    {EBX, 18, ALWAYS},                       /* RDSEED */
    {EBX, 19, ALWAYS},                       /* ADX */
    {EBX, 20, ALWAYS},                       /* SMAP */
    {EBX, 23, ALWAYS},                       /* CLFLUSHOPT */
    {EBX, 24, ALWAYS},                       /* CLWB */
    {EBX, 29, HK_SSE_SHA}, {ECX, 2, ALWAYS}, /* UMIP */
    {ECX, 22, ALWAYS},                       /* RDPID */
    {EDX, 4, ALWAYS},                        /* FSRM */
};

static const struct feature extended1[] = {
    {ECX, 0, ALWAYS},  /* LAHF in 64-bit mode */
    {ECX, 5, ALWAYS},  /* LZCNT */
    {ECX, 8, ALWAYS},  /* PREFETCHW */
    {EDX, 11, ALWAYS}, /* SYSCALL */
    {EDX, 20, ALWAYS}, /* NX */
    {EDX, 26, ALWAYS}, /* 1G pages */
    {EDX, 27, ALWAYS}, /* RDTSCP */
    {EDX, 29, ALWAYS}, /* long mode */
};

static void offer(const struct feature *list, size_t count, uint32_t r[4])
{
    for (size_t n = 0; n < count; n++) {
        const struct feature *f = &list[n];
        if (f->needs == ALWAYS ||
            hk_sse_host_has((enum hk_sse_feature)f->needs))
            r[f->reg] |= 1u << f->bit;
    }
}

/* ---- leaves ------------------------------------------------------------- */

struct query {
    const struct hk_cpu_machine *m;
    const struct hk_cpu *c; /* NULL before the vCPU exists */
    uint32_t index, leaf, subleaf;
};

static void vendor(const struct query *q, uint32_t r[4])
{
    const char *name = q->m->config.amd ? "AuthenticAMD" : "GenuineIntel";
    r[EAX] = MAX_BASIC;
    memcpy(&r[EBX], name, 4);
    memcpy(&r[EDX], name + 4, 4);
    memcpy(&r[ECX], name + 8, 4);
}

static void identity(const struct query *q, uint32_t r[4])
{
    uint32_t count = q->m->config.vcpu_count;
    r[EAX] = q->m->config.tell_safe ? SIGNATURE_SAFE : SIGNATURE_HONEST;
    r[EBX] = q->index << 24 | count << 16 | (CACHE_LINE / 8) << 8;
    offer(leaf1, HK_COUNT(leaf1), r);
    if (count > 1)
        r[EDX] |= 1u << 28; /* EBX bits 23-16 are valid */
    if (q->c != NULL && (q->c->cr4 & HK_CR4_OSXSAVE) != 0)
        r[ECX] |= 1u << 27;
}

/* Bits that hold the number of any vCPU. */
static uint32_t index_bits(const struct hk_cpu_machine *m)
{
    uint32_t bits = 0;
    while (1u << bits < m->config.vcpu_count)
        bits++;
    return bits;
}

/* Leaf 4: L1 data, L1 code, L2, and an L3 that all vCPUs share. */
static void caches(const struct query *q, uint32_t r[4])
{
    static const struct {
        uint8_t type, level, ways;
        uint32_t sets;
    } cache[] = {
        {1, 1, 8, 64},
        {2, 1, 8, 64},
        {3, 2, 16, 1024},
        {3, 3, 16, 16384},
    };
    uint32_t ids = (1u << index_bits(q->m)) - 1;
    if (q->subleaf >= HK_COUNT(cache))
        return;
    uint32_t sharing = cache[q->subleaf].level == 3 ? ids : 0;
    r[EAX] = cache[q->subleaf].type | (uint32_t)cache[q->subleaf].level << 5 |
             1u << 8 | sharing << 14 | (ids > 63 ? 63 : ids) << 26;
    r[EBX] = (CACHE_LINE - 1) | (uint32_t)(cache[q->subleaf].ways - 1) << 22;
    r[ECX] = cache[q->subleaf].sets - 1;
}

static void structured(const struct query *q, uint32_t r[4])
{
    if (q->subleaf != 0)
        return;
    offer(leaf7, HK_COUNT(leaf7), r);
    if (q->m->config.protection_keys)
        r[ECX] |= 1u << 3 | 1u << 31; /* PKU, PKS */
    if (q->c != NULL && (q->c->cr4 & HK_CR4_PKE) != 0)
        r[ECX] |= 1u << 4; /* OSPKE */
    if (q->m->config.tell_safe)
        r[EDX] |= 1u << 29; /* ARCH_CAPABILITIES */
}

/* One thread in each core, all cores in one package. */
static void topology(const struct query *q, uint32_t r[4])
{
    r[ECX] = q->subleaf & 0xff;
    r[EDX] = q->index;
    if (q->subleaf == 0) {
        r[EBX] = 1;
        r[ECX] |= 1 << 8;
    } else if (q->subleaf == 1) {
        r[EAX] = index_bits(q->m);
        r[EBX] = q->m->config.vcpu_count;
        r[ECX] |= 2 << 8;
    }
}

/* XCR0 holds x87 and SSE: the legacy area and the header, no more. */
static void xstate(const struct query *q, uint32_t r[4])
{
    enum { LEGACY_AND_HEADER = 512 + 64, XSAVEOPT = 1 };
    if (q->subleaf == 0) {
        r[EAX] = HK_XCR0_ALLOWED;
        r[EBX] = LEGACY_AND_HEADER;
        r[ECX] = LEGACY_AND_HEADER;
    } else if (q->subleaf == 1) {
        r[EAX] = XSAVEOPT;
    }
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Leaf 0x15: TSC rate = crystal (ECX) * EBX / EAX. */
static void tsc_ratio(const struct query *q, uint32_t r[4])
{
    uint64_t hz = q->m->config.tsc_hz;
    uint64_t common = divisor(hz, HK_CPU_CRYSTAL_HZ);
    uint64_t numerator = hz / common;
    if (numerator > UINT32_MAX)
        return;
    r[EAX] = (uint32_t)(HK_CPU_CRYSTAL_HZ / common);
    r[EBX] = (uint32_t)numerator;
    r[ECX] = HK_CPU_CRYSTAL_HZ;
}

static void frequencies(const struct query *q, uint32_t r[4])
{
    uint64_t mhz = q->m->config.tsc_hz / 1000000;
    uint32_t shown = mhz > 0xffff ? 0xffff : (uint32_t)mhz;
    r[EAX] = shown;
    r[EBX] = shown;
    r[ECX] = 100;
}

static void hypervisor(uint32_t r[4])
{
    r[EAX] = MAX_HYPERVISOR;
    memcpy(&r[EBX], "KVMK", 4);
    memcpy(&r[ECX], "VMKV", 4);
    memcpy(&r[EDX], "M\0\0\0", 4);
}

static void hypervisor_features(uint32_t r[4])
{
    enum {
        CLOCKSOURCE = 1 << 0,
        NOP_IO_DELAY = 1 << 1,
        CLOCKSOURCE2 = 1 << 3,
        CLOCKSOURCE_STABLE = 1 << 24,
    };
    r[EAX] = CLOCKSOURCE | NOP_IO_DELAY | CLOCKSOURCE2 | CLOCKSOURCE_STABLE;
}

static void basic(const struct query *q, uint32_t r[4])
{
    switch (q->leaf) {
    case 0:
        vendor(q, r);
        break;
    case 1:
        identity(q, r);
        break;
    case 2:
        r[EAX] = 0x00feff01; /* see leaf 4; no TLB information */
        break;
    case 4:
        caches(q, r);
        break;
    case 6:
        r[EAX] = 1 << 2; /* ARAT */
        break;
    case 7:
        structured(q, r);
        break;
    case 0xb:
        topology(q, r);
        break;
    case 0xd:
        xstate(q, r);
        break;
    case 0x15:
        tsc_ratio(q, r);
        break;
    case 0x16:
        frequencies(q, r);
        break;
    default:
        break;
    }
}

static void extended(const struct query *q, uint32_t r[4])
{
    switch (q->leaf) {
    case 0x80000000:
        r[EAX] = MAX_EXTENDED;
        break;
    case 0x80000001:
        offer(extended1, HK_COUNT(extended1), r);
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        memcpy(r, brand + (q->leaf - 0x80000002) * 16, 16);
        break;
    case 0x80000006:
        r[ECX] = 1024u << 16 | 8 << 12 | CACHE_LINE; /* L2, 16 ways */
        break;
    case 0x80000007:
        r[EDX] = 1 << 8; /* invariant TSC */
        break;
    case 0x80000008:
        r[EAX] = 48 << 8 | HK_PHYS_BITS;
        break;
    default:
        break;
    }
}

void hk_cpu_cpuid(const struct hk_cpu_machine *m, uint32_t index, uint32_t leaf,
                  uint32_t subleaf, uint32_t regs[4])
{
    struct query q = {.m = m, .index = index, .leaf = leaf, .subleaf = subleaf};
    if (index < m->cpu_count)
        q.c = m->cpus[index];
    memset(regs, 0, 4 * sizeof(regs[0]));
    if (leaf <= MAX_BASIC)
        basic(&q, regs);
    else if (leaf == 0x40000000)
        hypervisor(regs);
    else if (leaf == 0x40000001)
        hypervisor_features(regs);
    else if (leaf >= 0x80000000 && leaf <= MAX_EXTENDED)
        extended(&q, regs);
}
