/*
 * Emission helpers: from one decoded instruction to uops.
 */
#include "cpu/block_int.h"
#include "cpu/mem_int.h"
#include "cpu/slow_int.h"
#include "cpu/sse.h"
#include "cpu/uop_int.h"

#include <string.h>

static const hk_emit_fn emitters[HK_OP_COUNT] = {
#define X(op, emitter) [HK_OP_##op] = hk_emit_##emitter,
#include "cpu/ops.def"
#undef X
};

struct hk_uop *hk_emit(struct hk_builder *b, hk_uop_fn fn, unsigned info)
{
    struct hk_uop *u = &b->uops[b->count];
    memset(u, 0, sizeof(*u));
    u->fn = fn;
    u->base = HK_SLOT_ZERO;
    u->index = HK_SLOT_ZERO;
    u->seg = HK_SLOT_ZERO;
    u->start = b->start;
    u->next = b->next;
    b->nf[b->count] = NULL;
    b->info[b->count] = (uint8_t)info;
    b->count++;
    return u;
}

struct hk_uop *hk_emit_fl(struct hk_builder *b, hk_uop_fn fn, hk_uop_fn nf,
                          unsigned info)
{
    struct hk_uop *u = hk_emit(b, fn, info);
    b->nf[b->count - 1] = nf;
    return u;
}

void hk_build_insn(struct hk_builder *b, const struct hk_insn *i)
{
    b->insn = i;
    b->sti_last = i->op == HK_OP_STI;
    emitters[i->op](b, i);
    b->insn = NULL;
}

/* Picks the twin without flags where all of them are overwritten later. */
static void drop_dead_flags(struct hk_builder *b)
{
    bool live = true;
    for (uint32_t n = b->count; n-- > 0;) {
        unsigned info = b->info[n];
        if ((info & HK_UF_WRITES) != 0) {
            if (!live && b->nf[n] != NULL) {
                b->uops[n].fn = b->nf[n];
                info &= (unsigned)~HK_UF_READS;
            } else {
                live = false;
            }
        }
        if ((info & (HK_UF_READS | HK_UF_FAULTS)) != 0)
            live = true;
    }
}

static struct hk_uop *op_fall_through(struct hk_cpu *c, struct hk_uop *u)
{
    return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->next, u + 1);
}

/* STI was the last instruction of the block: its shadow goes on. */
static struct hk_uop *op_fall_through_sti(struct hk_cpu *c, struct hk_uop *u)
{
    c->shadow = 1;
    HK_LEAVE(c, u);
}

void hk_build_finish(struct hk_builder *b)
{
    if (!b->ended) {
        bool sti = b->sti_last;
        (void)hk_emit(b, sti ? op_fall_through_sti : op_fall_through,
                      HK_UF_FAULTS);
        (void)hk_emit(b, hk_uop_leave, HK_UF_FAULTS);
    }
    drop_dead_flags(b);
}

/* ---- memory operands ---------------------------------------------------- */

/* What counts before a fault of the segment; `seg` of op_ea_seg. */
enum {
    EA_ALIGNED = 1, /* #GP when not aligned to 16 bytes, also for SS */
    EA_MF = 2,      /* a pending x87 exception */
    EA_LATER = 4,   /* an x87 store, which an exception of it suppresses */
};

#define NOWHERE (1ull << 62) /* not canonical */

static HK_NOINLINE struct hk_uop *segment_fault(struct hk_cpu *c,
                                                struct hk_uop *u, uint64_t off)
{
    bool odd = ((c->seg[u->dst].base + off) & 15) != 0;
    if ((u->seg & EA_MF) != 0 && (c->fpu.sw & HK_X87_ES) != 0) {
        c->exc = (struct hk_exc){0};
        (void)hk_fault(c, HK_VEC_MF);
    } else if ((u->seg & EA_LATER) != 0) {
        /* The store will find the fault pending, or hk_emit_forget_fault's
         * uop takes it back. */
        c->r[HK_SLOT_EA] = NOWHERE;
        HK_NEXT(c, u);
    } else if ((u->seg & EA_ALIGNED) != 0 && odd) {
        c->exc.vector = HK_VEC_GP;
    }
    return hk_uop_fault(c, u);
}

static struct hk_uop *op_forget_fault(struct hk_cpu *c, struct hk_uop *u)
{
    c->exc = (struct hk_exc){0};
    HK_NEXT(c, u);
}

void hk_emit_forget_fault(struct hk_builder *b)
{
    if ((b->mode & HK_MODE_SIZE) != HK_CODE64)
        (void)hk_emit(b, op_forget_fault, 0);
}

/* Address uop outside 64-bit mode: wraps, then checks the segment. */
static struct hk_uop *op_ea_seg(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t off = c->r[u->base] + (c->r[u->index] << u->scale) +
                   (uint64_t)(int64_t)u->disp;
    unsigned seg = u->dst;
    off &= u->imm;
    if (!hk_seg_linear(c, seg, off, u->src & 0xff, u->src >> 8,
                       &c->r[HK_SLOT_EA]))
        return segment_fault(c, u, off);
    HK_NEXT(c, u);
}

/* Address uop for 32-bit addressing in 64-bit mode. */
static struct hk_uop *op_ea_32(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t off = c->r[u->base] + (c->r[u->index] << u->scale) +
                   (uint64_t)(int64_t)u->disp;
    c->r[HK_SLOT_EA] = (uint32_t)off + c->r[u->seg];
    HK_NEXT(c, u);
}

/* A 64-bit absolute offset. */
static struct hk_uop *op_ea_const(struct hk_cpu *c, struct hk_uop *u)
{
    c->r[HK_SLOT_EA] = u->imm + c->r[u->base] + c->r[u->seg];
    HK_NEXT(c, u);
}

static uint8_t slot_of(unsigned reg)
{
    if (reg == HK_REG_NONE)
        return HK_SLOT_ZERO;
    if (reg == HK_REG_RIP)
        return HK_SLOT_RIP;
    return (uint8_t)reg;
}

static struct hk_mem_ref made_address(void)
{
    return (struct hk_mem_ref){
        .base = HK_SLOT_EA, .index = HK_SLOT_ZERO, .seg = HK_SLOT_ZERO};
}

static bool is_mmx(const struct hk_sse_form *form)
{
    switch (form->kind) {
    case HK_SSE_KIND_MMX:
    case HK_SSE_KIND_MM_XMM:
    case HK_SSE_KIND_MOVQ_MM:
    case HK_SSE_KIND_MOVQ_MM_ST:
    case HK_SSE_KIND_MOVD_MM:
    case HK_SSE_KIND_MOVD_MM_ST:
    case HK_SSE_KIND_MMXI:
    case HK_SSE_KIND_SHIFT_MM:
    case HK_SSE_KIND_PINSRW_MM:
        return true;
    default:
        return false;
    }
}

static uint8_t ea_traits(const struct hk_insn *i, unsigned acc)
{
    unsigned traits = 0;
    if (i->op == HK_OP_X87)
        return acc == HK_ACC_WRITE ? EA_MF | EA_LATER : EA_MF;
    if (i->op != HK_OP_SSE)
        return 0;
    if ((i->sse->traits & HK_SSE_ALIGN) != 0)
        traits |= EA_ALIGNED;
    if (is_mmx(i->sse))
        traits |= EA_MF;
    return (uint8_t)traits;
}

static struct hk_mem_ref emit_mem_seg(struct hk_builder *b, uint32_t size,
                                      unsigned acc)
{
    const struct hk_insn *i = b->insn;
    struct hk_uop *u = hk_emit(b, op_ea_seg, HK_UF_FAULTS);
    u->seg = ea_traits(i, acc);
    u->base = slot_of(i->base);
    u->index = slot_of(i->index);
    u->scale = i->scale;
    u->disp = (int32_t)i->disp;
    u->imm = i->addrsize == 2 ? 0xffff : 0xffffffff;
    u->dst = i->seg;
    u->src = (uint16_t)(size | acc << 8);
    return made_address();
}

struct hk_mem_ref hk_emit_mem(struct hk_builder *b, uint32_t size, unsigned acc)
{
    const struct hk_insn *i = b->insn;
    if ((b->mode & HK_MODE_SIZE) != HK_CODE64)
        return emit_mem_seg(b, size, acc);
    int64_t disp = i->disp;
    uint8_t seg = (uint8_t)(HK_SLOT_SEG + i->seg);
    if (i->base == HK_REG_RIP)
        disp += b->next;
    if (i->addrsize == 4) {
        struct hk_uop *u = hk_emit(b, op_ea_32, 0);
        u->base = slot_of(i->base);
        u->index = slot_of(i->index);
        u->scale = i->scale;
        u->disp = (int32_t)disp;
        u->seg = seg;
        return made_address();
    }
    if (disp != (int32_t)disp) {
        struct hk_uop *u = hk_emit(b, op_ea_const, 0);
        u->base = slot_of(i->base);
        u->imm = (uint64_t)disp;
        u->seg = seg;
        return made_address();
    }
    return (struct hk_mem_ref){.base = slot_of(i->base),
                               .index = slot_of(i->index),
                               .scale = i->scale,
                               .seg = seg,
                               .disp = (int32_t)disp};
}

/* ---- operands as registers ---------------------------------------------- */

#define LOADERS(bits)                                                        \
    static struct hk_uop *op_load##bits(struct hk_cpu *c, struct hk_uop *u)  \
    {                                                                        \
        uint##bits##_t v;                                                    \
        if (!hk_ld##bits(c, hk_ea(c, u), &v))                                \
            return hk_uop_fault(c, u);                                       \
        HK_R64(c, u->dst) = v;                                               \
        HK_NEXT(c, u);                                                       \
    }                                                                        \
    static struct hk_uop *op_loadw##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                        \
        uint##bits##_t v;                                                    \
        if (!hk_ldw##bits(c, hk_ea(c, u), &v))                               \
            return hk_uop_fault(c, u);                                       \
        HK_R64(c, u->dst) = v;                                               \
        HK_NEXT(c, u);                                                       \
    }                                                                        \
    static struct hk_uop *op_store##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                        \
        if (!hk_st##bits(c, hk_ea(c, u), (uint##bits##_t)HK_R64(c, u->src))) \
            return hk_uop_fault(c, u);                                       \
        HK_NEXT(c, u);                                                       \
    }

LOADERS(8)
LOADERS(16)
LOADERS(32)
LOADERS(64)

static struct hk_uop *op_const(struct hk_cpu *c, struct hk_uop *u)
{
    HK_R64(c, u->dst) = u->imm;
    HK_NEXT(c, u);
}

static unsigned size_index(unsigned size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

uint16_t hk_emit_operand(struct hk_builder *b, unsigned n, uint16_t tmp,
                         unsigned acc)
{
    static const hk_uop_fn load[2][4] = {
        {op_load8, op_load16, op_load32, op_load64},
        {op_loadw8, op_loadw16, op_loadw32, op_loadw64}};
    const struct hk_operand *o = &b->insn->opnd[n];
    struct hk_uop *u;
    if (o->kind == HK_OPND_GPR || o->kind == HK_OPND_GPR8H)
        return hk_reg_offset(o);
    if (o->kind == HK_OPND_IMM) {
        u = hk_emit(b, op_const, 0);
        u->imm = b->insn->imm;
        u->dst = tmp;
        return tmp;
    }
    bool write = (acc & HK_ACC_KIND) == HK_ACC_WRITE;
    struct hk_mem_ref m = hk_emit_mem(b, o->size, acc);
    u = hk_emit(b, load[write][size_index(o->size)], HK_UF_FAULTS);
    hk_use_mem(u, m);
    u->dst = tmp;
    return tmp;
}

void hk_emit_writeback(struct hk_builder *b, unsigned n, uint16_t tmp)
{
    static const hk_uop_fn store[4] = {op_store8, op_store16, op_store32,
                                       op_store64};
    const struct hk_operand *o = &b->insn->opnd[n];
    if (o->kind != HK_OPND_MEM)
        return;
    /* The load left its address in a register only for address uops; an
     * ordinary operand is computed again from registers, which the
     * instruction has not changed yet. */
    struct hk_uop *load = NULL;
    for (uint32_t k = b->count; k-- > 0 && b->uops[k].start == b->start;) {
        hk_uop_fn fn = b->uops[k].fn;
        if (fn == op_loadw8 || fn == op_loadw16 || fn == op_loadw32 ||
            fn == op_loadw64) {
            load = &b->uops[k];
            break;
        }
    }
    struct hk_uop *u = hk_emit(b, store[size_index(o->size)], HK_UF_FAULTS);
    if (load != NULL) {
        u->base = load->base;
        u->index = load->index;
        u->scale = load->scale;
        u->seg = load->seg;
        u->disp = load->disp;
    }
    u->src = tmp;
}

/* ---- slow instructions --------------------------------------------------- */

struct slow_call {
    hk_slow_fn fn;
    struct hk_insn insn;
};

struct hk_uop *hk_uop_slow(struct hk_cpu *c, struct hk_uop *u)
{
    const struct slow_call *s = (const struct slow_call *)(uintptr_t)u->imm;
    c->rip = c->r[HK_SLOT_RIP] + u->next;
    if (!s->fn(c, &s->insn))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}

static struct hk_uop *op_slow_end(struct hk_cpu *c, struct hk_uop *u)
{
    const struct slow_call *s = (const struct slow_call *)(uintptr_t)u->imm;
    c->rip = c->r[HK_SLOT_RIP] + u->next;
    if (!s->fn(c, &s->insn))
        return hk_uop_fault(c, u);
    return NULL;
}

struct hk_uop *hk_emit_slow_twin(struct hk_builder *b, hk_uop_fn fast,
                                 hk_slow_fn slow)
{
    hk_emit_slow(b, slow, false);
    struct hk_uop *u = &b->uops[b->count - 1];
    u->fn = fast;
    return u;
}

void hk_emit_slow(struct hk_builder *b, hk_slow_fn fn, bool ends)
{
    struct slow_call *s = hk_code_alloc(b->c, sizeof(*s));
    s->fn = fn;
    s->insn = *b->insn;
    struct hk_uop *u = hk_emit(b, ends ? op_slow_end : hk_uop_slow,
                               HK_UF_READS | HK_UF_FAULTS);
    u->imm = (uint64_t)(uintptr_t)s;
    if (ends)
        b->ended = true;
}

static struct hk_uop *op_raise(struct hk_cpu *c, struct hk_uop *u)
{
    unsigned vector = u->dst;
    bool with_err = vector == HK_VEC_DF || vector == HK_VEC_AC ||
                    (vector >= HK_VEC_TS && vector <= HK_VEC_PF);
    if (with_err)
        (void)hk_fault_err(c, vector, 0);
    else
        (void)hk_fault(c, vector);
    return hk_uop_fault(c, u);
}

void hk_emit_raise(struct hk_builder *b, unsigned vector)
{
    struct hk_uop *u = hk_emit(b, op_raise, HK_UF_READS | HK_UF_FAULTS);
    u->dst = (uint16_t)vector;
    b->ended = true;
}

void hk_emit_ud(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_raise(b, HK_VEC_UD);
}

void hk_emit_sys(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_slow(b, hk_slow_find((enum hk_op)i->op), false);
}

void hk_emit_sys_end(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_slow(b, hk_slow_find((enum hk_op)i->op), true);
}

void hk_emit_nop(struct hk_builder *b, const struct hk_insn *i)
{
    /* Nothing: the next uop's `start` accounts for it. */
}
