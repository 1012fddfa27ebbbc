/*
 * Debug registers: Intel SDM volume 3, chapter 17.
 *
 * Execute breakpoints are faults, looked for before an instruction; single
 * step and data breakpoints are traps, delivered after it. With any
 * breakpoint enabled the CPU runs one instruction at a time, and watched
 * pages stay out of the soft TLB so that tlb.c sees every access.
 */
#include "cpu/slow_int.h"

#define DR6_BS (1ull << 14)

enum { KIND_EXECUTE = 0, KIND_WRITE = 1, KIND_IO = 2, KIND_ACCESS = 3 };

static bool is_enabled(const struct hk_cpu *c, unsigned n)
{
    return (c->dr[7] >> (2 * n) & 3) != 0;
}

static unsigned kind_of(const struct hk_cpu *c, unsigned n)
{
    return c->dr[7] >> (16 + 4 * n) & 3;
}

/* LEN 0, 1, 2, 3: 1, 2, 8, 4 bytes. */
static uint64_t length_of(const struct hk_cpu *c, unsigned n)
{
    static const uint8_t bytes[4] = {1, 2, 8, 4};
    return bytes[c->dr[7] >> (18 + 4 * n) & 3];
}

static bool overlaps(const struct hk_cpu *c, unsigned n, uint64_t at,
                     uint64_t size)
{
    uint64_t len = length_of(c, n);
    uint64_t start = c->dr[n] & ~(len - 1);
    return at - start < len || start - at < size;
}

bool hk_debug_before_insn(struct hk_cpu *c)
{
    uint64_t la = c->rip + c->r[HK_SLOT_SEG + HK_SEG_CS];
    unsigned hits = 0;
    if ((c->dr[7] & 0xff) == 0 || (c->sysflags & HK_RF_RF) != 0)
        return true;
    if (c->shadow == HK_SHADOW_SS) /* lost, as on Intel processors */
        return true;
    if (!hk_is_code64(c))
        la = (uint32_t)la;
    for (unsigned n = 0; n < 4; n++) {
        if (is_enabled(c, n) && kind_of(c, n) == KIND_EXECUTE && c->dr[n] == la)
            hits |= 1u << n;
    }
    if (hits == 0)
        return true;
    c->dr[6] = (c->dr[6] & ~0xfull) | hits;
    return hk_fault(c, HK_VEC_DB);
}

void hk_debug_after_insn(struct hk_cpu *c)
{
    uint64_t why = c->dbg_hits;
    bool steps = c->step_tf;
    /* IRET is how RF gets set: it holds for the instruction after it. */
    if (!c->dbg_keep_rf)
        c->sysflags &= ~(uint32_t)HK_RF_RF;
    c->dbg_keep_rf = false;
    if (c->shadow == HK_SHADOW_SS)
        return;
    if (steps)
        why |= DR6_BS;
    c->dbg_hits = 0;
    if (why == 0)
        return;
    c->dr[6] = (c->dr[6] & ~0xfull) | why;
    hk_event_debug_trap(c);
}

void hk_debug_single_step(struct hk_cpu *c)
{
    c->dr[6] = (c->dr[6] & ~0xfull) | DR6_BS;
    hk_event_debug_trap(c);
}

void hk_debug_data(struct hk_cpu *c, uint64_t la, uint32_t size, bool write)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = kind_of(c, n);
        if (!is_enabled(c, n) || !overlaps(c, n, la, size))
            continue;
        if (kind == KIND_ACCESS || (kind == KIND_WRITE && write))
            c->dbg_hits |= (uint8_t)(1u << n);
    }
}

bool hk_debug_watches_page(const struct hk_cpu *c, uint64_t la)
{
    for (unsigned n = 0; n < 4; n++) {
        if (is_enabled(c, n) && (kind_of(c, n) & 1) != 0 &&
            overlaps(c, n, la & ~0xfffull, 4096))
            return true;
    }
    return false;
}

void hk_debug_io(struct hk_cpu *c, uint16_t port, uint32_t size)
{
    if ((c->dr[7] & 0xff) == 0 || (c->cr4 & HK_CR4_DE) == 0)
        return;
    for (unsigned n = 0; n < 4; n++) {
        if (is_enabled(c, n) && kind_of(c, n) == KIND_IO &&
            overlaps(c, n, port, size))
            c->dbg_hits |= (uint8_t)(1u << n);
    }
}
