/*
 * Moves and what only shuffles bits without arithmetic: MOV, MOVZX, MOVSX,
 * LEA, XLAT, BSWAP, MOVBE, CMOVcc, SETcc, CBW and CWD.
 */
#include "cpu/mem_int.h"
#include "cpu/uop_int.h"

static unsigned size_index(unsigned size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

#define SETR8(c, off, v) (HK_R8(c, off) = (v))
#define SETR16(c, off, v) (HK_R16(c, off) = (v))
#define SETR32(c, off, v) HK_SET32(c, off, v)
#define SETR64(c, off, v) (HK_R64(c, off) = (v))

#define MOVES(bits)                                                         \
    static struct hk_uop *mov_rr##bits(struct hk_cpu *c, struct hk_uop *u)  \
    {                                                                       \
        SETR##bits(c, u->dst, HK_R##bits(c, u->src));                       \
        HK_NEXT(c, u);                                                      \
    }                                                                       \
    static struct hk_uop *mov_ri##bits(struct hk_cpu *c, struct hk_uop *u)  \
    {                                                                       \
        SETR##bits(c, u->dst, (uint##bits##_t)u->imm);                      \
        HK_NEXT(c, u);                                                      \
    }                                                                       \
    static HK_NOINLINE struct hk_uop *mov_rm##bits##_slow(struct hk_cpu *c, \
                                                          struct hk_uop *u) \
    {                                                                       \
        uint64_t v;                                                         \
        if (!hk_mem_read(c, hk_ea(c, u), (bits) / 8, HK_ACC_READ, &v))      \
            return hk_uop_fault(c, u);                                      \
        SETR##bits(c, u->dst, (uint##bits##_t)v);                           \
        HK_NEXT(c, u);                                                      \
    }                                                                       \
    static HK_NOINLINE struct hk_uop *mov_mr##bits##_slow(struct hk_cpu *c, \
                                                          struct hk_uop *u) \
    {                                                                       \
        if (!hk_mem_write(c, hk_ea(c, u), (bits) / 8, HK_ACC_WRITE,         \
                          HK_R##bits(c, u->src)))                           \
            return hk_uop_fault(c, u);                                      \
        HK_NEXT(c, u);                                                      \
    }                                                                       \
    static HK_NOINLINE struct hk_uop *mov_mi##bits##_slow(struct hk_cpu *c, \
                                                          struct hk_uop *u) \
    {                                                                       \
        if (!hk_mem_write(c, hk_ea(c, u), (bits) / 8, HK_ACC_WRITE,         \
                          (uint##bits##_t)u->imm))                          \
            return hk_uop_fault(c, u);                                      \
        HK_NEXT(c, u);                                                      \
    }                                                                       \
    MOVES_MEM(bits, hk_ea, )                                                \
    MOVES_MEM(bits, hk_ea_flat, f)

#define MOVES_MEM(bits, ea, tag)                                    \
    HK_FAST_LOAD(mov_rm##bits##tag, mov_rm##bits##_slow, bits, ea,  \
                 SETR##bits(c, u->dst, v))                          \
    HK_FAST_STORE(mov_mr##bits##tag, mov_mr##bits##_slow, bits, ea, \
                  HK_R##bits(c, u->src))                            \
    HK_FAST_STORE(mov_mi##bits##tag, mov_mi##bits##_slow, bits, ea, \
                  (uint##bits##_t)u->imm)

MOVES(8)
MOVES(16)
MOVES(32)
MOVES(64)

/* The memory forms twice: any address, and base with displacement only. */
enum {
    FORM_RR,
    FORM_RI,
    FORM_RM,
    FORM_MR,
    FORM_MI,
    FORM_FLAT = 3,
    FORM_COUNT = 8
};

#define MOV_ROW(bits)                                                         \
    {                                                                         \
        mov_rr##bits, mov_ri##bits, mov_rm##bits, mov_mr##bits, mov_mi##bits, \
            mov_rm##bits##f, mov_mr##bits##f, mov_mi##bits##f                 \
    }
static const hk_uop_fn mov_handlers[4][FORM_COUNT] = {MOV_ROW(8), MOV_ROW(16),
                                                      MOV_ROW(32), MOV_ROW(64)};

static unsigned mov_form(const struct hk_insn *i)
{
    const struct hk_operand *d = &i->opnd[0], *s = &i->opnd[1];
    if (d->kind == HK_OPND_MEM)
        return s->kind == HK_OPND_IMM ? FORM_MI : FORM_MR;
    return s->kind == HK_OPND_IMM   ? FORM_RI
           : s->kind == HK_OPND_MEM ? FORM_RM
                                    : FORM_RR;
}

void hk_emit_mov(struct hk_builder *b, const struct hk_insn *i)
{
    const struct hk_operand *d = &i->opnd[0], *s = &i->opnd[1];
    unsigned form = mov_form(i);
    struct hk_mem_ref m = {0};
    bool mem = form >= FORM_RM;
    if (mem) {
        m = hk_emit_mem(b, d->size,
                        form == FORM_RM ? HK_ACC_READ : HK_ACC_WRITE);
        form += hk_mem_is_flat(m) ? FORM_FLAT : 0;
    }
    struct hk_uop *u = hk_emit(b, mov_handlers[size_index(d->size)][form],
                               mem ? HK_UF_FAULTS : 0);
    if (mem)
        hk_use_mem(u, m);
    if (d->kind != HK_OPND_MEM)
        u->dst = hk_reg_offset(d);
    if (s->kind == HK_OPND_GPR || s->kind == HK_OPND_GPR8H)
        u->src = hk_reg_offset(s);
    u->imm = i->imm;
}

/* ---- MOVZX, MOVSX ----------------------------------------------------------
 */

#define EXTEND(name, to, from, cast)                                        \
    static struct hk_uop *name##_r##to##_##from(struct hk_cpu *c,           \
                                                struct hk_uop *u)           \
    {                                                                       \
        SETR##to(c, u->dst, (uint##to##_t)(cast)HK_R##from(c, u->src));     \
        HK_NEXT(c, u);                                                      \
    }                                                                       \
    static HK_NOINLINE struct hk_uop *name##_m##to##_##from##_slow(         \
        struct hk_cpu *c, struct hk_uop *u)                                 \
    {                                                                       \
        uint64_t v;                                                         \
        if (!hk_mem_read(c, hk_ea(c, u), (from) / 8, HK_ACC_READ, &v))      \
            return hk_uop_fault(c, u);                                      \
        SETR##to(c, u->dst, (uint##to##_t)(cast)v);                         \
        HK_NEXT(c, u);                                                      \
    }                                                                       \
    HK_FAST_LOAD(name##_m##to##_##from, name##_m##to##_##from##_slow, from, \
                 hk_ea, SETR##to(c, u->dst, (uint##to##_t)(cast)v))         \
    HK_FAST_LOAD(name##_f##to##_##from, name##_m##to##_##from##_slow, from, \
                 hk_ea_flat, SETR##to(c, u->dst, (uint##to##_t)(cast)v))

#define EXTENDS(to)                 \
    EXTEND(movzx, to, 8, uint8_t)   \
    EXTEND(movzx, to, 16, uint16_t) \
    EXTEND(movsx, to, 8, int8_t)    \
    EXTEND(movsx, to, 16, int16_t)  \
    EXTEND(movsx, to, 32, int32_t)

EXTENDS(16)
EXTENDS(32)
EXTENDS(64)

/* [destination size][source size][register, memory, flat memory] */
#define ZX_ROW(to)                                                  \
    {                                                               \
        {movzx_r##to##_8, movzx_m##to##_8, movzx_f##to##_8},        \
            {movzx_r##to##_16, movzx_m##to##_16, movzx_f##to##_16}, \
        {                                                           \
            NULL, NULL, NULL                                        \
        }                                                           \
    }
#define SX_ROW(to)                                                  \
    {                                                               \
        {movsx_r##to##_8, movsx_m##to##_8, movsx_f##to##_8},        \
            {movsx_r##to##_16, movsx_m##to##_16, movsx_f##to##_16}, \
        {                                                           \
            movsx_r##to##_32, movsx_m##to##_32, movsx_f##to##_32    \
        }                                                           \
    }
static const hk_uop_fn movzx[3][3][3] = {ZX_ROW(16), ZX_ROW(32), ZX_ROW(64)};
static const hk_uop_fn movsx[3][3][3] = {SX_ROW(16), SX_ROW(32), SX_ROW(64)};

void hk_emit_movx(struct hk_builder *b, const struct hk_insn *i)
{
    const struct hk_operand *d = &i->opnd[0], *s = &i->opnd[1];
    bool mem = s->kind == HK_OPND_MEM;
    struct hk_mem_ref m = {0};
    if (mem)
        m = hk_emit_mem(b, s->size, HK_ACC_READ);
    unsigned form = !mem ? 0 : hk_mem_is_flat(m) ? 2 : 1;
    const hk_uop_fn(*table)[3][3] = i->op == HK_OP_MOVZX ? movzx : movsx;
    hk_uop_fn fn = table[size_index(d->size) - 1][size_index(s->size)][form];
    struct hk_uop *u = hk_emit(b, fn, mem ? HK_UF_FAULTS : 0);
    u->dst = hk_reg_offset(d);
    if (mem)
        hk_use_mem(u, m);
    else
        u->src = hk_reg_offset(s);
}

/* ---- LEA -------------------------------------------------------------------
 */

#define LEA(bits, mask)                                                       \
    static struct hk_uop *lea##bits##mask(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        uint64_t v = c->r[u->base] + (c->r[u->index] << u->scale) +           \
                     (uint64_t)(int64_t)u->disp;                              \
        SETR##bits(c, u->dst, (uint##bits##_t)(uint##mask##_t)v);             \
        HK_NEXT(c, u);                                                        \
    }

LEA(16, 16)
LEA(16, 32)
LEA(16, 64)
LEA(32, 16)
LEA(32, 32)
LEA(32, 64)
LEA(64, 32)
LEA(64, 64)

static uint8_t slot_of(unsigned reg)
{
    if (reg == HK_REG_NONE)
        return HK_SLOT_ZERO;
    if (reg == HK_REG_RIP)
        return HK_SLOT_RIP;
    return (uint8_t)reg;
}

void hk_emit_lea(struct hk_builder *b, const struct hk_insn *i)
{
    /* [operand size 16, 32, 64][address size 16, 32, 64] */
    static const hk_uop_fn table[3][3] = {{lea1616, lea1632, lea1664},
                                          {lea3216, lea3232, lea3264},
                                          {NULL, lea6432, lea6464}};
    unsigned to = size_index(i->opsize) - 1;
    unsigned from = size_index(i->addrsize) - 1;
    struct hk_uop *u = hk_emit(b, table[to][from], 0);
    u->base = slot_of(i->base);
    u->index = slot_of(i->index);
    u->scale = i->scale;
    u->disp = (int32_t)i->disp;
    if (i->base == HK_REG_RIP)
        u->disp = (int32_t)(i->disp + b->next);
    u->dst = hk_reg_offset(&i->opnd[0]);
}

/* ---- BSWAP, MOVBE, XLAT
 * ------------------------------------------------------ */

static struct hk_uop *bswap16(struct hk_cpu *c, struct hk_uop *u)
{
    HK_R16(c, u->dst) = 0; /* undefined; what processors do */
    HK_NEXT(c, u);
}

static struct hk_uop *bswap32(struct hk_cpu *c, struct hk_uop *u)
{
    HK_SET32(c, u->dst, __builtin_bswap32(HK_R32(c, u->dst)));
    HK_NEXT(c, u);
}

static struct hk_uop *bswap64(struct hk_cpu *c, struct hk_uop *u)
{
    HK_R64(c, u->dst) = __builtin_bswap64(HK_R64(c, u->dst));
    HK_NEXT(c, u);
}

void hk_emit_bswap(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn table[4] = {NULL, bswap16, bswap32, bswap64};
    struct hk_uop *u = hk_emit(b, table[size_index(i->opsize)], 0);
    u->dst = hk_reg_offset(&i->opnd[0]);
}

static bool slow_movbe(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t v;
    if (!hk_opnd_get(c, i, &i->opnd[1], &v))
        return false;
    v = __builtin_bswap64(v) >> (64 - 8 * i->opsize);
    return hk_opnd_set(c, i, &i->opnd[0], v);
}

void hk_emit_movbe(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_slow(b, slow_movbe, false);
}

static bool slow_xlat(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la, v;
    uint64_t off = c->r[HK_RBX] + (uint8_t)c->r[HK_RAX];
    if (i->addrsize != 8)
        off &= i->addrsize == 4 ? 0xffffffff : 0xffff;
    if (!hk_seg_linear(c, i->seg, off, 1, HK_ACC_READ, &la) ||
        !hk_mem_read(c, la, 1, HK_ACC_READ, &v))
        return false;
    HK_R8(c, 0) = (uint8_t)v;
    return true;
}

void hk_emit_xlat(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_slow(b, slow_xlat, false);
}

/* ---- CMOVcc, SETcc
 * ----------------------------------------------------------- */

#define CMOV(bits)                                                       \
    static struct hk_uop *cmov##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                    \
        uint##bits##_t v = HK_R##bits(c, u->src);                        \
        if (!hk_cond(c->fl, (unsigned)u->imm))                           \
            v = HK_R##bits(c, u->dst);                                   \
        SETR##bits(c, u->dst, v);                                        \
        HK_NEXT(c, u);                                                   \
    }

CMOV(16)
CMOV(32)
CMOV(64)

void hk_emit_cmov(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn table[4] = {NULL, cmov16, cmov32, cmov64};
    uint16_t src = hk_emit_operand(b, 1, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u = hk_emit(b, table[size_index(i->opsize)], HK_UF_READS);
    u->dst = hk_reg_offset(&i->opnd[0]);
    u->src = src;
    u->imm = i->cc;
}

static struct hk_uop *setcc_r(struct hk_cpu *c, struct hk_uop *u)
{
    HK_R8(c, u->dst) = hk_cond(c->fl, (unsigned)u->imm);
    HK_NEXT(c, u);
}

static struct hk_uop *setcc_m(struct hk_cpu *c, struct hk_uop *u)
{
    if (!hk_st8(c, hk_ea(c, u), hk_cond(c->fl, (unsigned)u->imm)))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}

void hk_emit_setcc(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_uop *u;
    if (i->opnd[0].kind == HK_OPND_MEM) {
        struct hk_mem_ref m = hk_emit_mem(b, 1, HK_ACC_WRITE);
        u = hk_emit(b, setcc_m, HK_UF_READS | HK_UF_FAULTS);
        hk_use_mem(u, m);
    } else {
        u = hk_emit(b, setcc_r, HK_UF_READS);
        u->dst = hk_reg_offset(&i->opnd[0]);
    }
    u->imm = i->cc;
}

/* ---- CBW, CWD and kin
 * ---------------------------------------------------------- */

static struct hk_uop *cbw(struct hk_cpu *c, struct hk_uop *u)
{
    HK_R16(c, 0) = (uint16_t)(int8_t)c->r[HK_RAX];
    HK_NEXT(c, u);
}

static struct hk_uop *cwde(struct hk_cpu *c, struct hk_uop *u)
{
    c->r[HK_RAX] = (uint32_t)(int16_t)c->r[HK_RAX];
    HK_NEXT(c, u);
}

static struct hk_uop *cdqe(struct hk_cpu *c, struct hk_uop *u)
{
    c->r[HK_RAX] = (uint64_t)(int32_t)c->r[HK_RAX];
    HK_NEXT(c, u);
}

static struct hk_uop *cwd(struct hk_cpu *c, struct hk_uop *u)
{
    HK_R16(c, HK_RDX * 8) = (uint16_t)((int16_t)c->r[HK_RAX] >> 15);
    HK_NEXT(c, u);
}

static struct hk_uop *cdq(struct hk_cpu *c, struct hk_uop *u)
{
    c->r[HK_RDX] = (uint32_t)((int32_t)c->r[HK_RAX] >> 31);
    HK_NEXT(c, u);
}

static struct hk_uop *cqo(struct hk_cpu *c, struct hk_uop *u)
{
    c->r[HK_RDX] = (uint64_t)((int64_t)c->r[HK_RAX] >> 63);
    HK_NEXT(c, u);
}

void hk_emit_cbw(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn table[4] = {NULL, cbw, cwde, cdqe};
    (void)hk_emit(b, table[size_index(i->opsize)], 0);
}

void hk_emit_cwd(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn table[4] = {NULL, cwd, cdq, cqo};
    (void)hk_emit(b, table[size_index(i->opsize)], 0);
}
