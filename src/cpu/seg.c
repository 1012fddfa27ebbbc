/*
 * Segments: descriptors, loads with every check, offset to linear address.
 *
 * A segment whose attributes lack P is unusable (a null selector, or the
 * power-off state of LDTR): Intel SDM volume 3, chapters 3 and 5.
 */
#include "cpu/slow_int.h"

#include "cpu/mem_int.h"

/* ---- limits and linear addresses ---------------------------------------- */

bool hk_seg_in_limit(const struct hk_segment *s, uint64_t off, uint32_t size)
{
    uint64_t last = off + size - 1;
    bool down = (s->attr & (HK_SEG_S | HK_TYPE_CODE | HK_TYPE_DOWN)) ==
                (HK_SEG_S | HK_TYPE_DOWN);
    /* With a limit of 4 GiB an access wraps around. */
    if (!down)
        return last <= s->limit || s->limit == 0xffffffff;
    uint64_t top = (s->attr & HK_SEG_DB) != 0 ? 0xffffffff : 0xffff;
    return off > s->limit && last <= top;
}

static bool limit_fault(struct hk_cpu *c, unsigned seg)
{
    return hk_fault_err(c, seg == HK_SEG_SS ? HK_VEC_SS : HK_VEC_GP, 0);
}

static bool linear64(struct hk_cpu *c, unsigned seg, uint64_t off,
                     uint32_t size, uint64_t *la)
{
    uint64_t a = off;
    if (seg == HK_SEG_FS || seg == HK_SEG_GS)
        a += c->seg[seg].base;
    if (!hk_is_canonical(a) || !hk_is_canonical(a + size - 1))
        return limit_fault(c, seg);
    *la = a;
    return true;
}

/* The type of a segment allows the access (protected mode). */
static bool type_allows(const struct hk_segment *s, unsigned acc)
{
    bool code = (s->attr & HK_TYPE_CODE) != 0;
    if ((acc & HK_ACC_KIND) == HK_ACC_FETCH)
        return true;
    if ((acc & HK_ACC_KIND) == HK_ACC_WRITE)
        return !code && (s->attr & HK_TYPE_RW) != 0;
    return !code || (s->attr & HK_TYPE_RW) != 0;
}

bool hk_seg_linear(struct hk_cpu *c, unsigned seg, uint64_t off, uint32_t size,
                   unsigned acc, uint64_t *la)
{
    const struct hk_segment *s = &c->seg[seg];
    if (hk_is_code64(c))
        return linear64(c, seg, off, size, la);
    if (hk_is_protected(c) &&
        ((s->attr & HK_SEG_P) == 0 || !type_allows(s, acc)))
        return limit_fault(c, seg);
    if (!hk_seg_in_limit(s, off, size))
        return limit_fault(c, seg);
    *la = (uint32_t)(s->base + off);
    return true;
}

/* ---- descriptors -------------------------------------------------------- */

bool hk_desc_peek(struct hk_cpu *c, uint16_t selector, struct hk_desc *d,
                  bool *ok)
{
    uint64_t base = c->gdtr.base;
    uint32_t limit = c->gdtr.limit;
    uint32_t off = selector & ~7u;
    *ok = false;
    if ((selector & 4) != 0) {
        if ((c->ldtr.attr & HK_SEG_P) == 0)
            return true;
        base = c->ldtr.base;
        limit = c->ldtr.limit;
    }
    if (off + 7 > limit)
        return true;
    d->addr = base + off;
    if (!hk_is_long(c))
        d->addr = (uint32_t)d->addr;
    if (!hk_mem_read(c, d->addr, 8, HK_ACC_READ | HK_ACC_SYSTEM, &d->raw))
        return false;
    d->selector = selector;
    d->attr = (uint16_t)(d->raw >> 40 & 0xf0ff);
    *ok = true;
    return true;
}

bool hk_desc_read(struct hk_cpu *c, uint16_t selector, unsigned vector,
                  struct hk_desc *d)
{
    bool ok;
    if (!hk_desc_peek(c, selector, d, &ok))
        return false;
    return ok || hk_fault_err(c, vector, selector & ~3u);
}

bool hk_desc_high(struct hk_cpu *c, const struct hk_desc *d, uint64_t *high)
{
    uint32_t limit = (d->selector & 4) != 0 ? c->ldtr.limit : c->gdtr.limit;
    if ((d->selector & ~7u) + 15 > limit)
        return hk_fault_err(c, HK_VEC_GP, d->selector & ~3u);
    return hk_mem_read(c, d->addr + 8, 8, HK_ACC_READ | HK_ACC_SYSTEM, high);
}

bool hk_desc_touch(struct hk_cpu *c, struct hk_desc *d)
{
    if ((d->attr & HK_TYPE_ACCESSED) != 0)
        return true;
    uint8_t type = (uint8_t)(d->raw >> 40) | HK_TYPE_ACCESSED;
    if (!hk_mem_write(c, d->addr + 5, 1, HK_ACC_WRITE | HK_ACC_SYSTEM, type))
        return false;
    d->attr |= HK_TYPE_ACCESSED;
    return true;
}

void hk_desc_unpack(const struct hk_desc *d, struct hk_segment *s)
{
    uint32_t limit = (uint32_t)((d->raw & 0xffff) | (d->raw >> 32 & 0xf0000));
    if ((d->attr & HK_SEG_G) != 0)
        limit = limit << 12 | 0xfff;
    s->base = (d->raw >> 16 & 0xffffff) | (d->raw >> 32 & 0xff000000);
    s->limit = limit;
    s->selector = d->selector;
    s->attr = d->attr;
}

/* ---- loads -------------------------------------------------------------- */

/* Effective base of one segment; CS and SS need hk_update_mode. */
static void follow_base(struct hk_cpu *c, unsigned seg)
{
    bool flat = hk_is_code64(c) && seg != HK_SEG_FS && seg != HK_SEG_GS;
    c->r[HK_SLOT_SEG + seg] = flat ? 0 : c->seg[seg].base;
    if (seg == HK_SEG_SS || seg == HK_SEG_CS)
        hk_update_mode(c);
}

void hk_seg_set_null(struct hk_cpu *c, unsigned seg, uint16_t selector)
{
    c->seg[seg] = (struct hk_segment){.selector = selector};
    follow_base(c, seg);
}

void hk_seg_load_real(struct hk_cpu *c, unsigned seg, uint16_t selector)
{
    struct hk_segment *s = &c->seg[seg];
    s->selector = selector;
    s->base = (uint64_t)selector << 4;
    if ((c->sysflags & HK_RF_VM) != 0) {
        s->limit = 0xffff;
        s->attr = HK_SEG_P | 3 << HK_SEG_DPL_SHIFT | HK_SEG_S | 3;
    } else {
        /* Limit and size stay: "unreal mode" lives on it. */
        s->attr = (uint16_t)((s->attr & (HK_SEG_DB | HK_SEG_G)) | HK_SEG_P |
                             HK_SEG_S | 3);
    }
    follow_base(c, seg);
}

bool hk_seg_check_stack(struct hk_cpu *c, uint16_t selector, unsigned cpl,
                        unsigned bad, struct hk_segment *s)
{
    struct hk_desc d;
    uint32_t err = selector & ~3u;
    if (hk_is_null(selector))
        return hk_fault_err(c, bad, 0);
    if (!hk_desc_read(c, selector, bad, &d))
        return false;
    bool writable_data = (d.attr & (HK_SEG_S | HK_TYPE_CODE | HK_TYPE_RW)) ==
                         (HK_SEG_S | HK_TYPE_RW);
    if ((selector & 3u) != cpl || hk_desc_dpl(&d) != cpl || !writable_data)
        return hk_fault_err(c, bad, err);
    if (!hk_desc_is_present(&d))
        return hk_fault_err(c, HK_VEC_SS, err);
    if (!hk_desc_touch(c, &d))
        return false;
    hk_desc_unpack(&d, s);
    return true;
}

static bool load_stack(struct hk_cpu *c, uint16_t selector)
{
    if (hk_is_null(selector)) {
        if (!hk_is_code64(c) || c->cpl == 3 || (selector & 3) != c->cpl)
            return hk_fault_err(c, HK_VEC_GP, 0);
        hk_seg_set_null(c, HK_SEG_SS, selector);
        return true;
    }
    struct hk_segment s;
    if (!hk_seg_check_stack(c, selector, c->cpl, HK_VEC_GP, &s))
        return false;
    c->seg[HK_SEG_SS] = s;
    hk_update_mode(c);
    return true;
}

static bool load_data(struct hk_cpu *c, unsigned seg, uint16_t selector)
{
    struct hk_desc d;
    uint32_t err = selector & ~3u;
    if (hk_is_null(selector)) {
        hk_seg_set_null(c, seg, selector);
        return true;
    }
    if (!hk_desc_read(c, selector, HK_VEC_GP, &d))
        return false;
    bool code = (d.attr & HK_TYPE_CODE) != 0;
    if ((d.attr & HK_SEG_S) == 0 || (code && (d.attr & HK_TYPE_RW) == 0))
        return hk_fault_err(c, HK_VEC_GP, err);
    if (!code || (d.attr & HK_TYPE_CONFORMING) == 0) {
        unsigned dpl = hk_desc_dpl(&d);
        if ((selector & 3u) > dpl || c->cpl > dpl)
            return hk_fault_err(c, HK_VEC_GP, err);
    }
    if (!hk_desc_is_present(&d))
        return hk_fault_err(c, HK_VEC_NP, err);
    if (!hk_desc_touch(c, &d))
        return false;
    hk_desc_unpack(&d, &c->seg[seg]);
    follow_base(c, seg);
    return true;
}

bool hk_seg_load(struct hk_cpu *c, unsigned seg, uint16_t selector)
{
    if (!hk_is_protected(c)) {
        hk_seg_load_real(c, seg, selector);
        return true;
    }
    if (seg == HK_SEG_SS)
        return load_stack(c, selector);
    return load_data(c, seg, selector);
}

void hk_seg_set_flat_code(struct hk_cpu *c, uint16_t selector, unsigned cpl,
                          bool code64)
{
    c->seg[HK_SEG_CS] = (struct hk_segment){
        .limit = 0xffffffff,
        .selector = (uint16_t)((selector & ~3u) | cpl),
        .attr = (uint16_t)(HK_SEG_P | HK_SEG_S | HK_SEG_G | 0xb |
                           cpl << HK_SEG_DPL_SHIFT |
                           (code64 ? HK_SEG_L : HK_SEG_DB)),
    };
    c->cpl = (uint8_t)cpl;
}

void hk_seg_set_flat_stack(struct hk_cpu *c, uint16_t selector, unsigned cpl)
{
    c->seg[HK_SEG_SS] = (struct hk_segment){
        .limit = 0xffffffff,
        .selector = (uint16_t)((selector & ~3u) | cpl),
        .attr = (uint16_t)(HK_SEG_P | HK_SEG_S | HK_SEG_G | HK_SEG_DB | 3 |
                           cpl << HK_SEG_DPL_SHIFT),
    };
}
