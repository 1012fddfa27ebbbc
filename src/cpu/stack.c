/*
 * PUSH, POP, PUSHF, POPF, PUSHA, POPA, ENTER, LEAVE.
 *
 * In 64-bit mode with the default size these are single uops; every other
 * combination goes through hk_push and hk_pop.
 */
#include "cpu/mem_int.h"
#include "cpu/uop_int.h"

#include <string.h>

enum { SS_SLOT = HK_SLOT_SEG + HK_SEG_SS };

static bool is_fast(const struct hk_builder *b, const struct hk_insn *i)
{
    return (b->mode & HK_MODE_SIZE) == HK_CODE64 && i->opsize == 8;
}

static HK_NOINLINE struct hk_uop *push_missed(struct hk_cpu *c,
                                              struct hk_uop *u, uint64_t v)
{
    uint64_t sp = c->r[HK_SLOT_RSP] - 8;
    if (!hk_mem_write(c, sp, 8, HK_ACC_WRITE, v))
        return hk_uop_fault(c, u);
    c->r[HK_SLOT_RSP] = sp;
    HK_NEXT(c, u);
}

HK_INLINE struct hk_uop *push_value(struct hk_cpu *c, struct hk_uop *u,
                                    uint64_t v)
{
    uint64_t sp = c->r[HK_SLOT_RSP] - 8;
    void *p;
    if (hk_unlikely(!hk_whit(c, sp, 8, &p)))
        return push_missed(c, u, v);
    memcpy(p, &v, 8);
    c->r[HK_SLOT_RSP] = sp;
    HK_NEXT(c, u);
}

static struct hk_uop *push_r64(struct hk_cpu *c, struct hk_uop *u)
{
    return push_value(c, u, HK_R64(c, u->src));
}

static struct hk_uop *push_i64(struct hk_cpu *c, struct hk_uop *u)
{
    return push_value(c, u, u->imm);
}

static HK_NOINLINE struct hk_uop *pop_missed(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t v;
    if (!hk_mem_read(c, c->r[HK_SLOT_RSP], 8, HK_ACC_READ, &v))
        return hk_uop_fault(c, u);
    c->r[HK_SLOT_RSP] += 8;
    HK_R64(c, u->dst) = v;
    HK_NEXT(c, u);
}

static struct hk_uop *pop_r64(struct hk_cpu *c, struct hk_uop *u)
{
    const void *p;
    uint64_t v, sp = c->r[HK_SLOT_RSP];
    if (hk_unlikely(!hk_rhit(c, sp, 8, &p)))
        return pop_missed(c, u);
    memcpy(&v, p, 8);
    c->r[HK_SLOT_RSP] = sp + 8;
    HK_R64(c, u->dst) = v;
    HK_NEXT(c, u);
}

static bool slow_push(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t v;
    return hk_opnd_get(c, i, &i->opnd[0], &v) && hk_push(c, i->opsize, v);
}

/* POP to memory computes its address with the stack pointer already moved;
 * a fault leaves the stack pointer alone. */
static bool slow_pop(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t v, sp = c->r[HK_SLOT_RSP];
    if (!hk_pop(c, i->opsize, &v))
        return false;
    if (hk_opnd_set(c, i, &i->opnd[0], v))
        return true;
    c->r[HK_SLOT_RSP] = sp;
    return false;
}

void hk_emit_push(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_fast(b, i)) {
        hk_emit_slow(b, slow_push, false);
        return;
    }
    struct hk_uop *u;
    if (i->opnd[0].kind == HK_OPND_IMM) {
        u = hk_emit(b, push_i64, HK_UF_FAULTS);
        u->imm = i->imm;
    } else {
        uint16_t src = hk_emit_operand(b, 0, HK_OFF_TMP, HK_ACC_READ);
        u = hk_emit(b, push_r64, HK_UF_FAULTS);
        u->src = src;
    }
    u->seg = SS_SLOT;
}

void hk_emit_pop(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_fast(b, i) || i->opnd[0].kind == HK_OPND_MEM) {
        hk_emit_slow(b, slow_pop, false);
        return;
    }
    struct hk_uop *u = hk_emit(b, pop_r64, HK_UF_FAULTS);
    u->dst = hk_reg_offset(&i->opnd[0]);
    u->seg = SS_SLOT;
}

/* ---- LEAVE, ENTER
 * ------------------------------------------------------------ */

static struct hk_uop *leave64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t v, sp = c->r[HK_RBP];
    if (hk_unlikely(!hk_ld64(c, sp, &v)))
        return hk_uop_fault(c, u);
    c->r[HK_SLOT_RSP] = sp + 8;
    c->r[HK_RBP] = v;
    HK_NEXT(c, u);
}

static uint64_t stack_mask(const struct hk_cpu *c)
{
    if (hk_is_code64(c))
        return ~0ull;
    return (c->mode & HK_MODE_STACK32) != 0 ? 0xffffffff : 0xffff;
}

static void set_sp(struct hk_cpu *c, uint64_t sp)
{
    uint64_t mask = stack_mask(c);
    if (mask == 0xffff)
        HK_R16(c, HK_SLOT_RSP * 8) = (uint16_t)sp;
    else
        c->r[HK_SLOT_RSP] = sp & mask;
}

static void set_bp(struct hk_cpu *c, unsigned opsize, uint64_t v)
{
    struct hk_operand bp = {
        .kind = HK_OPND_GPR, .reg = HK_RBP, .size = (uint8_t)opsize};
    hk_reg_set(c, &bp, v);
}

static bool slow_leave(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t v, sp = c->r[HK_SLOT_RSP];
    set_sp(c, c->r[HK_RBP]);
    if (!hk_pop(c, i->opsize, &v)) {
        c->r[HK_SLOT_RSP] = sp;
        return false;
    }
    set_bp(c, i->opsize, v);
    return true;
}

void hk_emit_leave(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_fast(b, i)) {
        hk_emit_slow(b, slow_leave, false);
        return;
    }
    struct hk_uop *u = hk_emit(b, leave64, HK_UF_FAULTS);
    u->seg = SS_SLOT;
}

/* Copies the outer frame pointers of ENTER with a nesting level. */
static bool push_display(struct hk_cpu *c, const struct hk_insn *i,
                         unsigned level, uint64_t frame)
{
    uint64_t bp = c->r[HK_RBP], mask = stack_mask(c);
    for (unsigned n = 1; n < level; n++) {
        uint64_t la, v;
        bp -= i->opsize;
        if (!hk_seg_linear(c, HK_SEG_SS, bp & mask, i->opsize, HK_ACC_READ,
                           &la) ||
            !hk_mem_read(c, la, i->opsize, HK_ACC_READ, &v) ||
            !hk_push(c, i->opsize, v))
            return false;
    }
    return hk_push(c, i->opsize, frame);
}

static bool slow_enter(struct hk_cpu *c, const struct hk_insn *i)
{
    unsigned level = i->imm2 & 31;
    uint64_t sp = c->r[HK_SLOT_RSP], la, ignored;
    bool ok = hk_push(c, i->opsize, c->r[HK_RBP]);
    uint64_t frame = c->r[HK_SLOT_RSP];
    if (ok && level != 0)
        ok = push_display(c, i, level, frame);
    uint64_t top = c->r[HK_SLOT_RSP] - (i->imm & 0xffff);
    /* The new top must be writable, as if something were pushed there. */
    ok = ok &&
         hk_seg_linear(c, HK_SEG_SS, top & stack_mask(c), i->opsize,
                       HK_ACC_WRITE, &la) &&
         hk_mem_read(c, la, i->opsize, HK_ACC_WRITE, &ignored);
    if (!ok) {
        c->r[HK_SLOT_RSP] = sp;
        return false;
    }
    set_sp(c, top);
    set_bp(c, i->opsize, frame);
    return true;
}

void hk_emit_enter(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_slow(b, slow_enter, false);
}

/* ---- PUSHA, POPA
 * --------------------------------------------------------------- */

static bool slow_pusha(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t sp = c->r[HK_SLOT_RSP];
    for (unsigned n = 0; n < 8; n++) {
        uint64_t v = n == HK_RSP ? sp : c->r[n];
        if (!hk_push(c, i->opsize, v)) {
            c->r[HK_SLOT_RSP] = sp;
            return false;
        }
    }
    return true;
}

/* A fault in the middle keeps what was loaded, but not the stack pointer, so
 * that the instruction can start again; hosts do the same. */
static bool slow_popa(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t sp = c->r[HK_SLOT_RSP], v;
    for (unsigned n = 8; n-- > 0;) {
        struct hk_operand o = {
            .kind = HK_OPND_GPR, .reg = (uint8_t)n, .size = i->opsize};
        if (!hk_pop(c, i->opsize, &v)) {
            c->r[HK_SLOT_RSP] = sp;
            return false;
        }
        if (n != HK_RSP)
            hk_reg_set(c, &o, v);
    }
    return true;
}

void hk_emit_pusha(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_slow(b, i->op == HK_OP_PUSHA ? slow_pusha : slow_popa, false);
}

/* ---- PUSHF, POPF
 * ---------------------------------------------------------------- */

static unsigned iopl(const struct hk_cpu *c)
{
    return (c->sysflags & HK_RF_IOPL) >> 12;
}

static struct hk_uop *pushf64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t sp = c->r[HK_SLOT_RSP] - 8;
    uint64_t v = hk_get_rflags(c) & ~(uint64_t)(HK_RF_RF | HK_RF_VM);
    if (hk_unlikely(!hk_st64(c, sp, v)))
        return hk_uop_fault(c, u);
    c->r[HK_SLOT_RSP] = sp;
    HK_NEXT(c, u);
}

static bool slow_pushf(struct hk_cpu *c, const struct hk_insn *i)
{
    if ((c->sysflags & HK_RF_VM) != 0 && iopl(c) < 3)
        return hk_fault_err(c, HK_VEC_GP, 0);
    return hk_push(c, i->opsize,
                   hk_get_rflags(c) & ~(uint64_t)(HK_RF_RF | HK_RF_VM));
}

void hk_emit_pushf(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_fast(b, i)) {
        hk_emit_slow(b, slow_pushf, false);
        return;
    }
    struct hk_uop *u = hk_emit(b, pushf64, HK_UF_READS | HK_UF_FAULTS);
    u->seg = SS_SLOT;
}

/* Which bits POPF may change: SDM volume 2, POPF. */
static uint32_t popf_mask(const struct hk_cpu *c, unsigned opsize)
{
    uint32_t mask =
        HK_RF_ARITH | HK_RF_TF | HK_RF_DF | HK_RF_NT | HK_RF_AC | HK_RF_ID;
    if (c->cpl == 0)
        mask |= HK_RF_IOPL;
    if (c->cpl <= iopl(c))
        mask |= HK_RF_IF;
    return opsize == 2 ? mask & 0xffff : mask;
}

static void popf_value(struct hk_cpu *c, unsigned opsize, uint64_t v)
{
    uint32_t mask = popf_mask(c, opsize);
    uint32_t keep = (uint32_t)hk_get_rflags(c) & ~mask & ~(uint32_t)HK_RF_RF;
    hk_set_rflags(c, keep | ((uint32_t)v & mask));
}

static struct hk_uop *popf64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t v;
    uint32_t before = c->sysflags;
    if (hk_unlikely(!hk_ld64(c, c->r[HK_SLOT_RSP], &v)))
        return hk_uop_fault(c, u);
    c->r[HK_SLOT_RSP] += 8;
    bool asked = c->irq_check;
    popf_value(c, 8, v);
    uint32_t changed = before ^ c->sysflags;
    if ((changed & HK_RF_TF) != 0)
        HK_LEAVE(c, u);
    if ((changed & HK_RF_IF) != 0 && (c->sysflags & HK_RF_IF) != 0) {
        /* Only an interrupt that already waits needs the run loop. */
        c->irq_check = asked;
        if (asked)
            HK_LEAVE(c, u);
    }
    HK_NEXT(c, u);
}

static bool slow_popf(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t v;
    if ((c->sysflags & HK_RF_VM) != 0 && iopl(c) < 3)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_pop(c, i->opsize, &v))
        return false;
    popf_value(c, i->opsize, v);
    return true;
}

void hk_emit_popf(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_fast(b, i)) {
        hk_emit_slow(b, slow_popf, true);
        return;
    }
    struct hk_uop *u = hk_emit(b, popf64, HK_UF_READS | HK_UF_FAULTS);
    u->seg = SS_SLOT;
}
