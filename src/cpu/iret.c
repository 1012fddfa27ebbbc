/*
 * IRET in every mode: Intel SDM volume 2, "IRET".
 */
#include "cpu/slow_int.h"

/* RFLAGS bits that an IRET of operand size `size` may load. */
static uint64_t loadable(const struct hk_cpu *c, uint32_t size)
{
    uint64_t mask = HK_RF_ARITH | HK_RF_TF | HK_RF_DF | HK_RF_NT;
    if (size >= 4)
        mask |= HK_RF_RF | HK_RF_AC | HK_RF_ID;
    if (c->cpl <= hk_iopl(c))
        mask |= HK_RF_IF;
    if (c->cpl == 0) {
        mask |= HK_RF_IOPL;
        if (size >= 4)
            mask |= HK_RF_VIF | HK_RF_VIP;
    }
    return mask;
}

/*
 * RF matters only while breakpoints are armed, or in the trap of a single
 * step; otherwise it is dropped, so that it need not be cleared after the
 * next instruction.
 */
static void load_flags(struct hk_cpu *c, uint64_t value, uint64_t mask)
{
    if ((c->dr[7] & 0xff) == 0 && !c->step_tf)
        value &= ~(uint64_t)HK_RF_RF;
    c->dbg_keep_rf = (value & mask & HK_RF_RF) != 0;
    hk_set_rflags(c, (hk_get_rflags(c) & ~mask) | (value & mask));
}

/* IP, CS and FLAGS; hosts begin with the last. */
static bool pop3(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                 uint64_t v[3])
{
    struct hk_stack at = *s;
    for (unsigned n = 3; n-- > 0;) {
        at.sp = (s->sp + n * size) & s->mask;
        if (!hk_stack_pop(c, &at, size, &v[n]))
            return false;
    }
    s->sp = (s->sp + 3 * size) & s->mask;
    return true;
}

static bool iret_real(struct hk_cpu *c, uint32_t size)
{
    struct hk_stack s;
    uint64_t v[3]; /* IP, CS, FLAGS */
    uint64_t mask = HK_RF_ARITH | HK_RF_TF | HK_RF_DF | HK_RF_NT | HK_RF_IF;
    bool v86 = (c->sysflags & HK_RF_VM) != 0;
    if (v86 && hk_iopl(c) != 3)
        return hk_fault_err(c, HK_VEC_GP, 0);
    hk_stack_current(c, &s);
    if (!pop3(c, &s, size, v))
        return false;
    if (v[0] > c->seg[HK_SEG_CS].limit)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!v86)
        mask |= HK_RF_IOPL;
    if (size == 4)
        mask |= HK_RF_RF | HK_RF_AC | HK_RF_ID;
    hk_stack_set(c, s.sp);
    hk_seg_load_real(c, HK_SEG_CS, (uint16_t)v[1]);
    c->rip = v[0];
    load_flags(c, v[2], mask);
    return true;
}

static bool to_v86(struct hk_cpu *c, struct hk_stack *s, const uint64_t v[3])
{
    static const uint8_t order[5] = {HK_SEG_SS, HK_SEG_ES, HK_SEG_DS, HK_SEG_FS,
                                     HK_SEG_GS};
    uint64_t sp, selector[5];
    if (!hk_stack_pop(c, s, 4, &sp))
        return false;
    for (unsigned n = 0; n < 5; n++) {
        if (!hk_stack_pop(c, s, 4, &selector[n]))
            return false;
    }
    load_flags(c, v[2], loadable(c, 4) | HK_RF_VM);
    c->cpl = 3;
    hk_seg_load_real(c, HK_SEG_CS, (uint16_t)v[1]);
    for (unsigned n = 0; n < 5; n++)
        hk_seg_load_real(c, order[n], (uint16_t)selector[n]);
    c->rip = v[0] & 0xffff;
    c->r[HK_SLOT_RSP] = (uint32_t)sp;
    hk_update_mode(c);
    return true;
}

/* A return that pops SS:RSP: to outer privilege, or any in 64-bit mode. */
static bool return_stack(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                         const struct hk_desc *cs, uint64_t v[3])
{
    uint64_t sp, selector;
    struct hk_segment ss;
    uint64_t mask = loadable(c, size);
    if (!hk_far_pop_stack(c, s, size, &selector, &sp) ||
        !hk_far_return_stack(c, (uint16_t)selector, cs, &ss) ||
        !hk_far_return_offset(c, cs, &v[0]))
        return false;
    hk_far_commit_outer(c, cs, v[0], &ss, sp);
    load_flags(c, v[2], mask);
    return true;
}

static bool return_same(struct hk_cpu *c, const struct hk_stack *s,
                        uint32_t size, const struct hk_desc *cs, uint64_t v[3])
{
    uint64_t mask = loadable(c, size);
    if (!hk_far_return_offset(c, cs, &v[0]))
        return false;
    hk_stack_set(c, s->sp);
    hk_desc_unpack(cs, &c->seg[HK_SEG_CS]);
    c->rip = v[0];
    hk_update_mode(c);
    load_flags(c, v[2], mask);
    return true;
}

static bool iret_protected(struct hk_cpu *c, uint32_t size)
{
    struct hk_stack s;
    struct hk_desc cs;
    uint64_t v[3];
    if ((c->sysflags & HK_RF_NT) != 0)
        return hk_is_long(c) ? hk_fault_err(c, HK_VEC_GP, 0)
                             : hk_task_return(c);
    hk_stack_current(c, &s);
    if (!pop3(c, &s, size, v))
        return false;
    if ((v[2] & HK_RF_VM) != 0 && size == 4 && c->cpl == 0 && !hk_is_long(c))
        return to_v86(c, &s, v);
    if (!hk_far_return_code(c, (uint16_t)v[1], &cs))
        return false;
    if (hk_is_code64(c) || (cs.selector & 3) != c->cpl)
        return return_stack(c, &s, size, &cs, v);
    return return_same(c, &s, size, &cs, v);
}

bool hk_slow_iret(struct hk_cpu *c, const struct hk_insn *i)
{
    bool ok = hk_is_protected(c) ? iret_protected(c, i->opsize)
                                 : iret_real(c, i->opsize);
    if (ok)
        c->nmi_blocked = false;
    return ok;
}
