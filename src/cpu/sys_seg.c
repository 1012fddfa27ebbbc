/*
 * Instructions on segment registers and descriptor tables.
 */
#include "cpu/slow_int.h"

/* ---- GDTR and IDTR ------------------------------------------------------ */

/* SGDT, SIDT, SLDT, STR and SMSW at CPL 3 under CR4.UMIP. */
static bool umip_ok(struct hk_cpu *c)
{
    if (c->cpl == 0 || (c->cr4 & HK_CR4_UMIP) == 0)
        return true;
    return hk_fault_err(c, HK_VEC_GP, 0);
}

static bool load_table(struct hk_cpu *c, const struct hk_insn *i,
                       struct hk_table_reg *out)
{
    uint64_t la, limit, base;
    uint32_t width = hk_is_code64(c) ? 8 : 4;
    if (!hk_need_cpl0(c) ||
        !hk_insn_linear(c, i, 2 + width, HK_ACC_READ, &la) ||
        !hk_mem_read(c, la, 2, HK_ACC_READ, &limit) ||
        !hk_mem_read(c, la + 2, width, HK_ACC_READ, &base))
        return false;
    if (width == 4 && i->opsize == 2)
        base &= 0xffffff;
    if (!hk_is_canonical(base) && width == 8)
        return hk_fault_err(c, HK_VEC_GP, 0);
    out->limit = (uint16_t)limit;
    out->base = base;
    return true;
}

static bool store_table(struct hk_cpu *c, const struct hk_insn *i,
                        const struct hk_table_reg *t)
{
    uint64_t la;
    uint32_t width = hk_is_code64(c) ? 8 : 4;
    return umip_ok(c) && hk_insn_linear(c, i, 2 + width, HK_ACC_WRITE, &la) &&
           hk_mem_probe(c, la, 2 + width, HK_ACC_WRITE) &&
           hk_mem_write(c, la, 2, HK_ACC_WRITE, t->limit) &&
           hk_mem_write(c, la + 2, width, HK_ACC_WRITE, t->base);
}

bool hk_slow_lgdt(struct hk_cpu *c, const struct hk_insn *i)
{
    return load_table(c, i, &c->gdtr);
}

bool hk_slow_lidt(struct hk_cpu *c, const struct hk_insn *i)
{
    return load_table(c, i, &c->idtr);
}

bool hk_slow_sgdt(struct hk_cpu *c, const struct hk_insn *i)
{
    return store_table(c, i, &c->gdtr);
}

bool hk_slow_sidt(struct hk_cpu *c, const struct hk_insn *i)
{
    return store_table(c, i, &c->idtr);
}

/* ---- LDTR and TR -------------------------------------------------------- */

static bool need_protected(struct hk_cpu *c)
{
    return hk_is_protected(c) || hk_fault(c, HK_VEC_UD);
}

/* Reads a system descriptor of a selector in the GDT. */
static bool system_desc(struct hk_cpu *c, uint16_t selector, struct hk_desc *d,
                        struct hk_segment *s)
{
    uint64_t high = 0;
    if ((selector & 4) != 0)
        return hk_fault_err(c, HK_VEC_GP, selector & ~3u);
    if (!hk_desc_read(c, selector, HK_VEC_GP, d))
        return false;
    hk_desc_unpack(d, s);
    if (!hk_is_long(c))
        return true;
    if (!hk_desc_high(c, d, &high))
        return false;
    s->base |= high << 32;
    if (!hk_is_canonical(s->base) || (high >> 40 & 0x1f) != 0)
        return hk_fault_err(c, HK_VEC_GP, selector & ~3u);
    return true;
}

bool hk_slow_lldt(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t value;
    struct hk_desc d;
    struct hk_segment s;
    if (!need_protected(c) || !hk_need_cpl0(c) ||
        !hk_opnd_get(c, i, &i->opnd[0], &value))
        return false;
    uint16_t selector = (uint16_t)value;
    if (hk_is_null(selector)) {
        c->ldtr = (struct hk_segment){.selector = selector};
        return true;
    }
    if (!system_desc(c, selector, &d, &s))
        return false;
    if ((d.attr & (HK_SEG_S | HK_SEG_TYPE)) != HK_SYS_LDT)
        return hk_fault_err(c, HK_VEC_GP, selector & ~3u);
    if (!hk_desc_is_present(&d))
        return hk_fault_err(c, HK_VEC_NP, selector & ~3u);
    c->ldtr = s;
    return true;
}

bool hk_slow_ltr(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t value;
    struct hk_desc d;
    struct hk_segment s;
    if (!need_protected(c) || !hk_need_cpl0(c) ||
        !hk_opnd_get(c, i, &i->opnd[0], &value))
        return false;
    uint16_t selector = (uint16_t)value;
    if (hk_is_null(selector))
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!system_desc(c, selector, &d, &s))
        return false;
    unsigned type = d.attr & (HK_SEG_S | HK_SEG_TYPE);
    if (type != HK_SYS_TSS && (type != HK_SYS_TSS16 || hk_is_long(c)))
        return hk_fault_err(c, HK_VEC_GP, selector & ~3u);
    if (!hk_desc_is_present(&d))
        return hk_fault_err(c, HK_VEC_NP, selector & ~3u);
    if (!hk_mem_write(c, d.addr + 5, 1, HK_ACC_WRITE | HK_ACC_SYSTEM,
                      (d.raw >> 40 & 0xff) | 2))
        return false;
    s.attr |= 2; /* busy */
    c->tr = s;
    return true;
}

bool hk_slow_sldt(struct hk_cpu *c, const struct hk_insn *i)
{
    return need_protected(c) && umip_ok(c) &&
           hk_opnd_set(c, i, &i->opnd[0], c->ldtr.selector);
}

bool hk_slow_str(struct hk_cpu *c, const struct hk_insn *i)
{
    return need_protected(c) && umip_ok(c) &&
           hk_opnd_set(c, i, &i->opnd[0], c->tr.selector);
}

/* ---- asking about selectors --------------------------------------------- */

static bool set_zf(struct hk_cpu *c, bool on)
{
    c->fl = (uint16_t)((c->fl & ~HK_FL_ZF) | (on ? HK_FL_ZF : 0));
    return true;
}

/* The selector operand and its descriptor; `*ok` is false when there is none
 * or, for anything but conforming code, its privilege is out of reach. */
static bool ask(struct hk_cpu *c, const struct hk_insn *i, unsigned operand,
                struct hk_desc *d, bool *ok)
{
    uint64_t value;
    *ok = false;
    if (!need_protected(c) || !hk_opnd_get(c, i, &i->opnd[operand], &value))
        return false;
    uint16_t selector = (uint16_t)value;
    if (hk_is_null(selector))
        return true;
    if (!hk_desc_peek(c, selector, d, ok))
        return false;
    bool conforming = hk_desc_is_code(d) && (d->attr & HK_TYPE_CONFORMING) != 0;
    unsigned dpl = *ok ? hk_desc_dpl(d) : 0;
    if (*ok && !conforming && (dpl < c->cpl || dpl < (selector & 3u)))
        *ok = false;
    return true;
}

bool hk_slow_verr(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_desc d = {0};
    bool ok;
    if (!ask(c, i, 0, &d, &ok))
        return false;
    bool readable = (d.attr & HK_TYPE_CODE) == 0 || (d.attr & HK_TYPE_RW) != 0;
    return set_zf(c, ok && (d.attr & HK_SEG_S) != 0 && readable);
}

bool hk_slow_verw(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_desc d = {0};
    bool ok;
    uint16_t want = HK_SEG_S | HK_TYPE_RW;
    if (!ask(c, i, 0, &d, &ok))
        return false;
    return set_zf(c, ok && (d.attr & (want | HK_TYPE_CODE)) == want);
}

/* Whether LAR (or LSL) knows a system type; a bit for each. */
static bool type_known(const struct hk_cpu *c, const struct hk_desc *d,
                       bool lsl)
{
    unsigned type = d->attr & HK_SEG_TYPE;
    uint32_t legacy = lsl ? 0x0a0e : 0x1a3e;
    uint32_t in_long = lsl ? 0x0a04 : 0x1a04;
    if ((d->attr & HK_SEG_S) != 0)
        return true;
    return ((hk_is_long(c) ? in_long : legacy) >> type & 1) != 0;
}

bool hk_slow_lar(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_desc d = {0};
    bool ok;
    if (!ask(c, i, 1, &d, &ok))
        return false;
    if (!ok || !type_known(c, &d, false))
        return set_zf(c, false);
    hk_reg_set(c, &i->opnd[0], d.raw >> 32 & 0xffff00);
    return set_zf(c, true);
}

bool hk_slow_lsl(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_desc d = {0};
    struct hk_segment s;
    bool ok;
    if (!ask(c, i, 1, &d, &ok))
        return false;
    if (!ok || !type_known(c, &d, true))
        return set_zf(c, false);
    hk_desc_unpack(&d, &s);
    hk_reg_set(c, &i->opnd[0], s.limit);
    return set_zf(c, true);
}

bool hk_slow_arpl(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t to, from;
    if (!need_protected(c) || !hk_opnd_get(c, i, &i->opnd[0], &to) ||
        !hk_opnd_get(c, i, &i->opnd[1], &from))
        return false;
    if ((to & 3) >= (from & 3))
        return set_zf(c, false);
    if (!hk_opnd_set(c, i, &i->opnd[0], (to & ~3ull) | (from & 3)))
        return false;
    return set_zf(c, true);
}

/* ---- moving segment registers ------------------------------------------- */

bool hk_slow_mov_from_sreg(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_opnd_set(c, i, &i->opnd[0], c->seg[i->opnd[1].reg].selector);
}

static bool load(struct hk_cpu *c, unsigned seg, uint64_t selector)
{
    if (!hk_seg_load(c, seg, (uint16_t)selector))
        return false;
    if (seg == HK_SEG_SS)
        c->shadow = HK_SHADOW_SS;
    return true;
}

bool hk_slow_mov_to_sreg(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t selector;
    return hk_opnd_get(c, i, &i->opnd[1], &selector) &&
           load(c, i->opnd[0].reg, selector);
}

bool hk_slow_push_sreg(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t selector = c->seg[i->opnd[0].reg].selector;
    uint64_t sp = c->r[HK_SLOT_RSP];
    if (i->opsize != 4)
        return hk_push(c, i->opsize, selector);
    /* Processors of today write two of the four bytes (SDM, PUSH). */
    hk_stack_set(c, sp - 2);
    if (!hk_push(c, 2, selector)) {
        c->r[HK_SLOT_RSP] = sp;
        return false;
    }
    return true;
}

bool hk_slow_pop_sreg(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_stack s;
    uint64_t selector;
    hk_stack_current(c, &s);
    uint64_t mask = s.mask;
    uint64_t next = (s.sp + i->opsize) & mask;
    /* Of a larger slot only two bytes are read. */
    if (!hk_stack_pop(c, &s, 2, &selector) ||
        !load(c, i->opnd[0].reg, selector))
        return false;
    /* The stack pointer moves as the old SS says. */
    s.sp = next;
    uint64_t keep = mask == 0xffff ? c->r[HK_SLOT_RSP] & ~mask : 0;
    c->r[HK_SLOT_RSP] = keep | s.sp;
    return true;
}

/* LDS, LES, LFS, LGS, LSS: offset and selector from memory. */
bool hk_slow_load_far(struct hk_cpu *c, const struct hk_insn *i)
{
    static const uint8_t seg_of[] = {
        [HK_OP_LDS - HK_OP_LDS] = HK_SEG_DS,
        [HK_OP_LES - HK_OP_LDS] = HK_SEG_ES,
        [HK_OP_LFS - HK_OP_LDS] = HK_SEG_FS,
        [HK_OP_LGS - HK_OP_LDS] = HK_SEG_GS,
        [HK_OP_LSS - HK_OP_LDS] = HK_SEG_SS,
    };
    uint64_t offset, selector;
    if (!hk_far_operand(c, i, &offset, &selector) ||
        !load(c, seg_of[i->op - HK_OP_LDS], selector))
        return false;
    /* LSS of both needs no shadow. */
    if (i->op == HK_OP_LSS)
        c->shadow = 0;
    hk_reg_set(c, &i->opnd[0], offset);
    return true;
}
