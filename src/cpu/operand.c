/*
 * Operands of slow instructions: registers, memory, immediates, the stack.
 */
#include "cpu/slow_int.h"

static uint64_t low_mask(uint32_t size)
{
    return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
}

uint64_t hk_reg_get(const struct hk_cpu *c, const struct hk_operand *o)
{
    if (o->kind == HK_OPND_GPR8H)
        return c->r[o->reg & 3] >> 8 & 0xff;
    return c->r[o->reg & 15] & low_mask(o->size);
}

void hk_reg_set(struct hk_cpu *c, const struct hk_operand *o, uint64_t value)
{
    if (o->kind == HK_OPND_GPR8H) {
        uint64_t *r = &c->r[o->reg & 3];
        *r = (*r & ~0xff00ull) | (value & 0xff) << 8;
        return;
    }
    uint64_t *r = &c->r[o->reg & 15];
    if (o->size >= 8) {
        *r = value;
    } else if (o->size == 4) {
        *r = (uint32_t)value;
    } else {
        uint64_t mask = low_mask(o->size);
        *r = (*r & ~mask) | (value & mask);
    }
}

uint64_t hk_insn_offset(const struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t off = (uint64_t)i->disp;
    if (i->base == HK_REG_RIP)
        off += c->rip;
    else if (i->base != HK_REG_NONE)
        off += c->r[i->base & 15];
    if (i->index != HK_REG_NONE)
        off += c->r[i->index & 15] << i->scale;
    return off & low_mask(i->addrsize);
}

bool hk_insn_linear(struct hk_cpu *c, const struct hk_insn *i, uint32_t size,
                    unsigned acc, uint64_t *la)
{
    return hk_seg_linear(c, i->seg, hk_insn_offset(c, i), size, acc, la);
}

bool hk_opnd_get(struct hk_cpu *c, const struct hk_insn *i,
                 const struct hk_operand *o, uint64_t *value)
{
    uint64_t la;
    switch (o->kind) {
    case HK_OPND_MEM:
        return hk_insn_linear(c, i, o->size, HK_ACC_READ, &la) &&
               hk_mem_read(c, la, o->size, HK_ACC_READ, value);
    case HK_OPND_IMM:
        *value = i->imm & low_mask(o->size);
        return true;
    case HK_OPND_SREG:
        *value = c->seg[o->reg].selector;
        return true;
    default:
        *value = hk_reg_get(c, o);
        return true;
    }
}

bool hk_opnd_set(struct hk_cpu *c, const struct hk_insn *i,
                 const struct hk_operand *o, uint64_t value)
{
    uint64_t la;
    if (o->kind != HK_OPND_MEM) {
        hk_reg_set(c, o, value);
        return true;
    }
    return hk_insn_linear(c, i, o->size, HK_ACC_WRITE, &la) &&
           hk_mem_write(c, la, o->size, HK_ACC_WRITE, value);
}

/* Segments take the two parts one by one. */
bool hk_far_operand(struct hk_cpu *c, const struct hk_insn *i, uint64_t *offset,
                    uint64_t *selector)
{
    uint64_t la, at = hk_insn_offset(c, i);
    uint32_t size = i->opsize;
    return hk_seg_linear(c, i->seg, at, size, HK_ACC_READ, &la) &&
           hk_mem_read(c, la, size, HK_ACC_READ, offset) &&
           hk_seg_linear(c, i->seg, at + size, 2, HK_ACC_READ, &la) &&
           hk_mem_read(c, la, 2, HK_ACC_READ, selector);
}

/* ---- the stack ---------------------------------------------------------- */

uint64_t hk_stack_mask(const struct hk_cpu *c)
{
    if (hk_is_code64(c))
        return ~0ull;
    return (c->seg[HK_SEG_SS].attr & HK_SEG_DB) != 0 ? 0xffffffff : 0xffff;
}

void hk_stack_set(struct hk_cpu *c, uint64_t sp)
{
    uint64_t mask = hk_stack_mask(c);
    uint64_t keep = mask == 0xffff ? c->r[HK_SLOT_RSP] & 0xffff0000 : 0;
    c->r[HK_SLOT_RSP] = keep | (sp & mask);
}

void hk_stack_current(const struct hk_cpu *c, struct hk_stack *s)
{
    *s = (struct hk_stack){
        .ss = c->seg[HK_SEG_SS],
        .mask = hk_stack_mask(c),
        .flat = hk_is_code64(c),
    };
    s->sp = c->r[HK_SLOT_RSP] & s->mask;
}

static bool stack_linear(struct hk_cpu *c, const struct hk_stack *s,
                         uint64_t sp, uint32_t size, uint64_t *la)
{
    bool ok = s->flat ? hk_is_canonical(sp) && hk_is_canonical(sp + size - 1)
                      : hk_seg_in_limit(&s->ss, sp, size);
    if (!ok)
        return hk_fault_err(c, HK_VEC_SS, s->err);
    *la = s->flat ? sp : (uint32_t)(s->ss.base + sp);
    return true;
}

bool hk_stack_push(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                   uint64_t value)
{
    uint64_t sp = (s->sp - size) & s->mask;
    uint64_t la = 0;
    if (!stack_linear(c, s, sp, size, &la) ||
        !hk_mem_write(c, la, size, HK_ACC_WRITE | s->acc, value))
        return false;
    s->sp = sp;
    return true;
}

bool hk_stack_pop(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                  uint64_t *value)
{
    uint64_t la = 0;
    if (!stack_linear(c, s, s->sp, size, &la) ||
        !hk_mem_read(c, la, size, HK_ACC_READ | s->acc, value))
        return false;
    s->sp = (s->sp + size) & s->mask;
    return true;
}

bool hk_push(struct hk_cpu *c, uint32_t size, uint64_t value)
{
    struct hk_stack s;
    hk_stack_current(c, &s);
    if (!hk_stack_push(c, &s, size, value))
        return false;
    hk_stack_set(c, s.sp);
    return true;
}

bool hk_pop(struct hk_cpu *c, uint32_t size, uint64_t *value)
{
    struct hk_stack s;
    hk_stack_current(c, &s);
    if (!hk_stack_pop(c, &s, size, value))
        return false;
    hk_stack_set(c, s.sp);
    return true;
}
