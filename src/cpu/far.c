/*
 * Far transfers: JMP, CALL and RET, directly and through call gates. JMP and
 * CALL to a task are in task.c.
 */
#include "cpu/slow_int.h"

static uint64_t size_mask(uint32_t size)
{
    return size == 8 ? ~0ull : size == 4 ? 0xffffffff : 0xffff;
}

/* A code segment that a far transfer is about to enter. */
struct far_target {
    struct hk_desc cs;
    uint64_t offset;
    unsigned cpl;    /* afterwards */
    uint32_t size;   /* of pushes: operand size or the gate's */
    unsigned params; /* of a 16- or 32-bit call gate */
    bool gate;
    bool task;    /* nothing but the next field counts */
    uint16_t tss; /* its selector */
};

static bool offset_ok(const struct hk_cpu *c, const struct hk_desc *cs,
                      uint64_t offset)
{
    struct hk_segment s;
    if (hk_is_long(c) && (cs->attr & HK_SEG_L) != 0)
        return hk_is_canonical(offset);
    hk_desc_unpack(cs, &s);
    return offset <= s.limit;
}

static bool bad_long_size(const struct hk_cpu *c, const struct hk_desc *cs)
{
    uint16_t both = HK_SEG_L | HK_SEG_DB;
    return hk_is_long(c) && (cs->attr & both) == both;
}

static bool commit_cs(struct hk_cpu *c, struct hk_desc *cs, unsigned cpl,
                      uint64_t offset)
{
    if (!hk_desc_touch(c, cs))
        return false;
    /* Compatibility mode sees half of RSP, and the other half is lost. */
    if (hk_is_code64(c) && (cs->attr & HK_SEG_L) == 0)
        c->r[HK_SLOT_RSP] = (uint32_t)c->r[HK_SLOT_RSP];
    hk_desc_unpack(cs, &c->seg[HK_SEG_CS]);
    c->seg[HK_SEG_CS].selector = (uint16_t)((cs->selector & ~3u) | cpl);
    c->cpl = (uint8_t)cpl;
    c->rip = offset;
    hk_update_mode(c);
    return true;
}

/* ---- where a far pointer leads ------------------------------------------ */

static bool check_direct(struct hk_cpu *c, const struct hk_desc *cs)
{
    unsigned dpl = hk_desc_dpl(cs);
    unsigned rpl = cs->selector & 3;
    bool ok = (cs->attr & HK_TYPE_CONFORMING) != 0
                  ? dpl <= c->cpl
                  : rpl <= c->cpl && dpl == c->cpl;
    if (!ok || bad_long_size(c, cs))
        return hk_fault_err(c, HK_VEC_GP, cs->selector & ~3u);
    if (!hk_desc_is_present(cs))
        return hk_fault_err(c, HK_VEC_NP, cs->selector & ~3u);
    return true;
}

static bool read_gate(struct hk_cpu *c, const struct hk_desc *gate,
                      struct far_target *t, uint16_t *selector)
{
    unsigned type = gate->attr & HK_SEG_TYPE;
    uint32_t err = gate->selector & ~3u;
    unsigned dpl = hk_desc_dpl(gate);
    uint64_t high = 0;
    bool ok = type == HK_SYS_CALL || (type == HK_SYS_CALL16 && !hk_is_long(c));
    if (!ok || dpl < c->cpl || dpl < (gate->selector & 3u))
        return hk_fault_err(c, HK_VEC_GP, err);
    if (!hk_desc_is_present(gate))
        return hk_fault_err(c, HK_VEC_NP, err);
    t->gate = true;
    t->size = type == HK_SYS_CALL16 ? 2 : 4;
    t->offset = gate->raw & 0xffff;
    if (type == HK_SYS_CALL)
        t->offset |= gate->raw >> 32 & 0xffff0000;
    t->params = gate->raw >> 32 & 0x1f;
    if (hk_is_long(c)) {
        if (!hk_desc_high(c, gate, &high))
            return false;
        if ((high >> 40 & 0x1f) != 0)
            return hk_fault_err(c, HK_VEC_GP, err);
        t->offset |= high << 32;
        t->size = 8;
        t->params = 0;
    }
    *selector = (uint16_t)(gate->raw >> 16);
    return true;
}

static bool check_gate_code(struct hk_cpu *c, struct far_target *t,
                            uint16_t selector, bool call)
{
    uint32_t err = selector & ~3u;
    if (hk_is_null(selector))
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_desc_read(c, selector, HK_VEC_GP, &t->cs))
        return false;
    unsigned dpl = hk_desc_dpl(&t->cs);
    bool conforming = (t->cs.attr & HK_TYPE_CONFORMING) != 0;
    bool ok = hk_desc_is_code(&t->cs) && dpl <= c->cpl &&
              (call || conforming || dpl == c->cpl);
    if (hk_is_long(c) && (t->cs.attr & (HK_SEG_L | HK_SEG_DB)) != HK_SEG_L)
        ok = false;
    if (!ok)
        return hk_fault_err(c, HK_VEC_GP, err);
    if (!hk_desc_is_present(&t->cs))
        return hk_fault_err(c, HK_VEC_NP, err);
    t->cpl = conforming ? c->cpl : dpl;
    return true;
}

/* A TSS or a task gate; false: neither, or a fault is pending. */
static bool find_task(struct hk_cpu *c, const struct hk_desc *d,
                      struct far_target *t)
{
    unsigned type = d->attr & HK_SEG_TYPE;
    unsigned dpl = hk_desc_dpl(d);
    bool gate = type == HK_SYS_TASK;
    bool tss = type == HK_SYS_TSS || type == HK_SYS_TSS16;
    if (hk_is_long(c) || (!gate && !tss))
        return false;
    t->task = true;
    t->tss = gate ? (uint16_t)(d->raw >> 16) : d->selector;
    if (dpl < c->cpl || dpl < (d->selector & 3u))
        return hk_fault_err(c, HK_VEC_GP, d->selector & ~3u);
    if (gate && !hk_desc_is_present(d))
        return hk_fault_err(c, HK_VEC_NP, d->selector & ~3u);
    return true;
}

static bool target_ok(struct hk_cpu *c, struct far_target *t)
{
    return hk_far_return_offset(c, &t->cs, &t->offset);
}

/* Checks the far pointer of a JMP or CALL in protected mode. */
static bool resolve(struct hk_cpu *c, uint16_t selector, uint64_t offset,
                    bool call, struct far_target *t)
{
    struct hk_desc d;
    uint16_t inner = 0;
    if (hk_is_null(selector))
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_desc_read(c, selector, HK_VEC_GP, &d))
        return false;
    t->offset = offset;
    t->cpl = c->cpl;
    if (hk_desc_is_code(&d)) {
        t->cs = d;
        if (!check_direct(c, &d))
            return false;
    } else if ((d.attr & HK_SEG_S) != 0) {
        return hk_fault_err(c, HK_VEC_GP, selector & ~3u);
    } else if (find_task(c, &d, t) || t->task) {
        return !c->exc.pending;
    } else if (!read_gate(c, &d, t, &inner) ||
               !check_gate_code(c, t, inner, call)) {
        return false;
    }
    /* A CALL without a gate writes the return address first. */
    bool later = call && !t->gate;
    return later || target_ok(c, t);
}

/* The far pointer: in the instruction, or in memory, offset first. */
static bool far_pointer(struct hk_cpu *c, const struct hk_insn *i,
                        uint16_t *selector, uint64_t *offset)
{
    uint64_t value;
    uint32_t size = i->opsize;
    if (!i->is_mem) {
        *selector = i->imm2;
        *offset = i->imm & size_mask(size);
        return true;
    }
    if (!hk_far_operand(c, i, offset, &value))
        return false;
    *selector = (uint16_t)value;
    return true;
}

static bool enter_real(struct hk_cpu *c, uint16_t selector, uint64_t offset)
{
    hk_seg_load_real(c, HK_SEG_CS, selector);
    c->rip = offset;
    return true;
}

/* ---- JMP and CALL ------------------------------------------------------- */

static bool real_offset_ok(struct hk_cpu *c, uint64_t offset)
{
    return offset <= c->seg[HK_SEG_CS].limit || hk_fault_err(c, HK_VEC_GP, 0);
}

bool hk_slow_jmp_far(struct hk_cpu *c, const struct hk_insn *i)
{
    struct far_target t = {.size = i->opsize};
    uint16_t selector = 0;
    uint64_t offset = 0;
    if (!far_pointer(c, i, &selector, &offset))
        return false;
    if (!hk_is_protected(c))
        return real_offset_ok(c, offset) && enter_real(c, selector, offset);
    if (!resolve(c, selector, offset, false, &t))
        return false;
    return t.task ? hk_task_instruction(c, t.tss, HK_TASK_JUMP)
                  : commit_cs(c, &t.cs, t.cpl, t.offset);
}

static bool push_return(struct hk_cpu *c, struct hk_stack *s, uint32_t size)
{
    return hk_stack_push(c, s, size, c->seg[HK_SEG_CS].selector) &&
           hk_stack_push(c, s, size, c->rip);
}

static bool copy_params(struct hk_cpu *c, const struct far_target *t,
                        struct hk_stack *to)
{
    struct hk_stack from;
    uint64_t value[32];
    hk_stack_current(c, &from);
    for (unsigned n = 0; n < t->params; n++) {
        if (!hk_stack_pop(c, &from, t->size, &value[n]))
            return false;
    }
    for (unsigned n = t->params; n > 0; n--) {
        if (!hk_stack_push(c, to, t->size, value[n - 1]))
            return false;
    }
    return true;
}

/* The stack of the more privileged side of a call gate. */
static bool inner_stack(struct hk_cpu *c, const struct far_target *t,
                        struct hk_stack *s)
{
    *s = (struct hk_stack){.acc = HK_ACC_SYSTEM};
    if (hk_is_long(c)) {
        s->flat = true;
        s->mask = ~0ull;
        s->ss.selector = (uint16_t)t->cpl;
        return hk_tss_rsp(c, t->cpl, &s->sp);
    }
    if (!hk_tss_stack(c, t->cpl, &s->ss, &s->sp))
        return false;
    s->mask = (s->ss.attr & HK_SEG_DB) != 0 ? 0xffffffff : 0xffff;
    s->sp &= s->mask;
    s->err = s->ss.selector & ~3u;
    return true;
}

static bool call_inner(struct hk_cpu *c, struct far_target *t)
{
    struct hk_stack s;
    if (!inner_stack(c, t, &s) ||
        !hk_stack_push(c, &s, t->size, c->seg[HK_SEG_SS].selector) ||
        !hk_stack_push(c, &s, t->size, c->r[HK_SLOT_RSP]) ||
        !copy_params(c, t, &s) || !push_return(c, &s, t->size) ||
        !commit_cs(c, &t->cs, t->cpl, t->offset))
        return false;
    c->seg[HK_SEG_SS] = s.ss;
    hk_update_mode(c);
    hk_stack_set(c, s.sp);
    return true;
}

/* Processors push as the code that is called would: to 64-bit code on a flat
 * stack, from there on the segment's. */
static void stack_of_target(const struct hk_cpu *c, const struct hk_desc *cs,
                            struct hk_stack *s)
{
    bool big = (s->ss.attr & HK_SEG_DB) != 0;
    if (!hk_is_long(c))
        return;
    s->flat = (cs->attr & HK_SEG_L) != 0;
    s->mask = s->flat ? ~0ull : big ? 0xffffffff : 0xffff;
    s->sp = c->r[HK_SLOT_RSP] & s->mask;
}

static bool call_same(struct hk_cpu *c, struct far_target *t)
{
    struct hk_stack s;
    hk_stack_current(c, &s);
    stack_of_target(c, &t->cs, &s);
    if (!push_return(c, &s, t->size) || !target_ok(c, t))
        return false;
    uint64_t mask = s.mask;
    if (!commit_cs(c, &t->cs, t->cpl, t->offset))
        return false;
    uint64_t keep = mask == 0xffff ? c->r[HK_SLOT_RSP] & ~mask : 0;
    c->r[HK_SLOT_RSP] = keep | s.sp;
    return true;
}

static bool call_real(struct hk_cpu *c, const struct hk_insn *i,
                      uint16_t selector, uint64_t offset)
{
    struct hk_stack s;
    hk_stack_current(c, &s);
    if (!real_offset_ok(c, offset) || !push_return(c, &s, i->opsize))
        return false;
    hk_stack_set(c, s.sp);
    return enter_real(c, selector, offset);
}

bool hk_slow_call_far(struct hk_cpu *c, const struct hk_insn *i)
{
    struct far_target t = {.size = i->opsize};
    uint16_t selector = 0;
    uint64_t offset = 0;
    if (!far_pointer(c, i, &selector, &offset))
        return false;
    if (!hk_is_protected(c))
        return call_real(c, i, selector, offset);
    if (!resolve(c, selector, offset, true, &t))
        return false;
    if (t.task)
        return hk_task_instruction(c, t.tss, HK_TASK_CALL);
    return t.cpl < c->cpl ? call_inner(c, &t) : call_same(c, &t);
}

/* ---- RET ---------------------------------------------------------------- */

bool hk_far_return_code(struct hk_cpu *c, uint16_t selector, struct hk_desc *cs)
{
    uint32_t err = selector & ~3u;
    unsigned rpl = selector & 3;
    if (hk_is_null(selector))
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_desc_read(c, selector, HK_VEC_GP, cs))
        return false;
    unsigned dpl = hk_desc_dpl(cs);
    bool privilege =
        (cs->attr & HK_TYPE_CONFORMING) != 0 ? dpl <= rpl : dpl == rpl;
    if (!hk_desc_is_code(cs) || rpl < c->cpl || !privilege ||
        bad_long_size(c, cs))
        return hk_fault_err(c, HK_VEC_GP, err);
    if (!hk_desc_is_present(cs))
        return hk_fault_err(c, HK_VEC_NP, err);
    return hk_desc_touch(c, cs);
}

bool hk_far_return_offset(struct hk_cpu *c, const struct hk_desc *cs,
                          uint64_t *offset)
{
    if ((cs->attr & HK_SEG_L) == 0) /* hosts forget the upper half */
        *offset = (uint32_t)*offset;
    return offset_ok(c, cs, *offset) || hk_fault_err(c, HK_VEC_GP, 0);
}

bool hk_far_pop_stack(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                      uint64_t *selector, uint64_t *sp)
{
    struct hk_stack upper = *s;
    upper.sp = (s->sp + size) & s->mask;
    return hk_stack_pop(c, &upper, 2, selector) && hk_stack_pop(c, s, size, sp);
}

bool hk_far_return_stack(struct hk_cpu *c, uint16_t selector,
                         const struct hk_desc *cs, struct hk_segment *ss)
{
    unsigned rpl = cs->selector & 3;
    bool code64 = hk_is_long(c) && (cs->attr & HK_SEG_L) != 0;
    if (hk_is_null(selector) && code64 && rpl != 3 && (selector & 3) == rpl) {
        *ss = (struct hk_segment){.selector = selector};
        return true;
    }
    return hk_seg_check_stack(c, selector, rpl, HK_VEC_GP, ss);
}

/* A segment that the outer privilege may not hold becomes null, and so does a
 * null one with an RPL: it counts as data of DPL 0. Its base stays, which
 * 64-bit code sees for FS and GS. */
static void drop_data(struct hk_cpu *c, unsigned seg)
{
    struct hk_segment *s = &c->seg[seg];
    unsigned dpl = s->attr >> HK_SEG_DPL_SHIFT & 3;
    uint16_t conforming = HK_TYPE_CODE | HK_TYPE_CONFORMING;
    bool is_conforming = (s->attr & conforming) == conforming;
    if (dpl < c->cpl && !is_conforming) {
        s->selector = 0;
        s->attr = 0;
    }
}

void hk_far_commit_outer(struct hk_cpu *c, const struct hk_desc *cs,
                         uint64_t offset, const struct hk_segment *ss,
                         uint64_t sp)
{
    bool outer = (cs->selector & 3) != c->cpl;
    hk_desc_unpack(cs, &c->seg[HK_SEG_CS]);
    c->seg[HK_SEG_SS] = *ss;
    c->cpl = cs->selector & 3;
    c->rip = offset;
    hk_update_mode(c);
    hk_stack_set(c, sp);
    if (!outer)
        return;
    drop_data(c, HK_SEG_ES);
    drop_data(c, HK_SEG_DS);
    drop_data(c, HK_SEG_FS);
    drop_data(c, HK_SEG_GS);
}

/* `s` is past the return address; `release` bytes of parameters follow. */
static bool ret_outer(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                      uint64_t release, const struct hk_desc *cs,
                      uint64_t offset)
{
    uint64_t sp = 0, selector = 0;
    struct hk_segment ss;
    s->sp = (s->sp + release) & s->mask;
    if (!hk_far_pop_stack(c, s, size, &selector, &sp) ||
        !hk_far_return_stack(c, (uint16_t)selector, cs, &ss) ||
        !hk_far_return_offset(c, cs, &offset))
        return false;
    hk_far_commit_outer(c, cs, offset, &ss, sp);
    hk_stack_set(c, sp + release);
    return true;
}

bool hk_slow_ret_far(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_stack s;
    struct hk_desc cs;
    uint64_t offset = 0, selector = 0;
    uint64_t release = (i->opcode & 1) == 0 ? i->imm & 0xffff : 0;
    hk_stack_current(c, &s);
    struct hk_stack upper = s; /* the selector is read first, two bytes */
    upper.sp = (s.sp + i->opsize) & s.mask;
    if (!hk_stack_pop(c, &upper, 2, &selector) ||
        !hk_stack_pop(c, &s, i->opsize, &offset))
        return false;
    s.sp = (s.sp + i->opsize) & s.mask;
    if (!hk_is_protected(c)) {
        if (!real_offset_ok(c, offset))
            return false;
        hk_stack_set(c, s.sp + release);
        return enter_real(c, (uint16_t)selector, offset);
    }
    if (!hk_far_return_code(c, (uint16_t)selector, &cs))
        return false;
    if ((selector & 3) != c->cpl)
        return ret_outer(c, &s, i->opsize, release, &cs, offset);
    if (!hk_far_return_offset(c, &cs, &offset))
        return false;
    /* The sum of all that is popped wraps as the stack was, the stack pointer
     * as it is for the code entered. */
    release += 2ull * i->opsize;
    if (s.mask == 0xffff)
        release &= s.mask;
    if (!commit_cs(c, &cs, c->cpl, offset))
        return false;
    hk_stack_set(c, c->r[HK_SLOT_RSP] + release);
    return true;
}
