/*
 * Two- and one-operand integer arithmetic: ADD to CMP, TEST, INC, DEC, NEG,
 * NOT, plain and locked.
 *
 * Results and flags come from the host's own instruction. Every operation has
 * handlers by size (8 to 64 bits) and operand form (register or memory
 * destination; register, immediate or memory source), each with a twin that
 * leaves the flags alone.
 */
#include "cpu/alu_int.h"
#include "cpu/atomic_int.h"
#include "cpu/mem_int.h"
#include "cpu/uop_int.h"

enum {
    OP_ADD,
    OP_OR,
    OP_ADC,
    OP_SBB,
    OP_AND,
    OP_SUB,
    OP_XOR,
    OP_CMP,
    OP_TEST,
    OP_COUNT
};
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

#define SETR8(c, off, v) (HK_R8(c, off) = (v))
#define SETR16(c, off, v) (HK_R16(c, off) = (v))
#define SETR32(c, off, v) HK_SET32(c, off, v)
#define SETR64(c, off, v) (HK_R64(c, off) = (v))

/* Operations that write their destination. `calc` yields the result from a
 * and b and may set fl. */
#define WRITERS(name, bits, tag, calc)                                        \
    static struct hk_uop *name##_rr##bits##tag(struct hk_cpu *c,              \
                                               struct hk_uop *u)              \
    {                                                                         \
        uint##bits##_t a = HK_R##bits(c, u->dst);                             \
        uint##bits##_t b = HK_R##bits(c, u->src);                             \
        SETR##bits(c, u->dst, calc);                                          \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static struct hk_uop *name##_ri##bits##tag(struct hk_cpu *c,              \
                                               struct hk_uop *u)              \
    {                                                                         \
        uint##bits##_t a = HK_R##bits(c, u->dst);                             \
        uint##bits##_t b = (uint##bits##_t)u->imm;                            \
        SETR##bits(c, u->dst, calc);                                          \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static HK_NOINLINE struct hk_uop *name##_rms##bits##tag(struct hk_cpu *c, \
                                                            struct hk_uop *u) \
    {                                                                         \
        uint64_t v;                                                           \
        if (!hk_mem_read(c, hk_ea(c, u), (bits) / 8, HK_ACC_READ, &v))        \
            return hk_uop_fault(c, u);                                        \
        uint##bits##_t a = HK_R##bits(c, u->dst), b = (uint##bits##_t)v;      \
        SETR##bits(c, u->dst, calc);                                          \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static HK_NOINLINE struct hk_uop *name##_mrs##bits##tag(struct hk_cpu *c, \
                                                            struct hk_uop *u) \
    {                                                                         \
        uint64_t v, la = hk_ea(c, u);                                         \
        if (!hk_mem_read(c, la, (bits) / 8, HK_ACC_WRITE, &v))                \
            return hk_uop_fault(c, u);                                        \
        uint##bits##_t a = (uint##bits##_t)v, b = HK_R##bits(c, u->src);      \
        if (!hk_mem_write(c, la, (bits) / 8, HK_ACC_WRITE, calc))             \
            return hk_uop_fault(c, u);                                        \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static HK_NOINLINE struct hk_uop *name##_mis##bits##tag(struct hk_cpu *c, \
                                                            struct hk_uop *u) \
    {                                                                         \
        uint64_t v, la = hk_ea(c, u);                                         \
        if (!hk_mem_read(c, la, (bits) / 8, HK_ACC_WRITE, &v))                \
            return hk_uop_fault(c, u);                                        \
        uint##bits##_t a = (uint##bits##_t)v, b = (uint##bits##_t)u->imm;     \
        if (!hk_mem_write(c, la, (bits) / 8, HK_ACC_WRITE, calc))             \
            return hk_uop_fault(c, u);                                        \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    WRITERS_FAST(name, bits, tag, calc, hk_ea, x)                             \
    WRITERS_FAST(name, bits, tag, calc, hk_ea_flat, f)

/* On a TLB hit; what misses goes to the slow twins above. */
#define WRITERS_FAST(name, bits, tag, calc, ea, kind)                         \
    HK_FAST_LOAD(name##_rm##kind##bits##tag, name##_rms##bits##tag, bits, ea, \
                 uint##bits##_t b = v;                                        \
                 uint##bits##_t a = HK_R##bits(c, u->dst);                    \
                 SETR##bits(c, u->dst, calc))                                 \
    HK_FAST_RMW(name##_mr##kind##bits##tag, name##_mrs##bits##tag, bits, ea,  \
                uint##bits##_t a = v;                                         \
                uint##bits##_t b = HK_R##bits(c, u->src); v = calc)           \
    HK_FAST_RMW(name##_mi##kind##bits##tag, name##_mis##bits##tag, bits, ea,  \
                uint##bits##_t a = v;                                         \
                uint##bits##_t b = (uint##bits##_t)u->imm; v = calc)

#define WRITER_SIZES(name, tag, calc8, calc16, calc32, calc64) \
    WRITERS(name, 8, tag, calc8)                               \
    WRITERS(name, 16, tag, calc16)                             \
    WRITERS(name, 32, tag, calc32)                             \
    WRITERS(name, 64, tag, calc64)

#define PLAIN_OP(name, op)                                                 \
    WRITER_SIZES(name, _fl, hk_##name##8(a, b, &c->fl),                    \
                 hk_##name##16(a, b, &c->fl), hk_##name##32(a, b, &c->fl), \
                 hk_##name##64(a, b, &c->fl))                              \
    WRITER_SIZES(name, _nf, (uint8_t)(a op b), (uint16_t)(a op b), a op b, \
                 a op b)

#define CARRY_OP(name, op)                                                 \
    WRITER_SIZES(name, _fl, hk_##name##8(a, b, &c->fl),                    \
                 hk_##name##16(a, b, &c->fl), hk_##name##32(a, b, &c->fl), \
                 hk_##name##64(a, b, &c->fl))                              \
    WRITER_SIZES(name, _nf, (uint8_t)(a op b op((c->fl & HK_FL_CF) != 0)), \
                 (uint16_t)(a op b op((c->fl & HK_FL_CF) != 0)),           \
                 a op b op((c->fl & HK_FL_CF) != 0),                       \
                 a op b op((c->fl & HK_FL_CF) != 0))

PLAIN_OP(add, +)
PLAIN_OP(or, |)
PLAIN_OP(and, &)
PLAIN_OP(sub, -)
PLAIN_OP(xor, ^)
CARRY_OP(adc, +)
CARRY_OP(sbb, -)

/* CMP and TEST: flags only. */
#define READERS(name, bits, calc)                                             \
    static struct hk_uop *name##_rr##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        calc(HK_R##bits(c, u->dst), HK_R##bits(c, u->src), &c->fl);           \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static struct hk_uop *name##_ri##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        calc(HK_R##bits(c, u->dst), (uint##bits##_t)u->imm, &c->fl);          \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    READER_MEM(name, rm, bits, calc(HK_R##bits(c, u->dst), v, &c->fl))        \
    READER_MEM(name, mr, bits, calc(v, HK_R##bits(c, u->src), &c->fl))        \
    READER_MEM(name, mi, bits, calc(v, (uint##bits##_t)u->imm, &c->fl))

#define READER_MEM(name, form, bits, statement)                                \
    static HK_NOINLINE struct hk_uop *name##_##form##s##bits(struct hk_cpu *c, \
                                                             struct hk_uop *u) \
    {                                                                          \
        uint64_t wide;                                                         \
        if (!hk_mem_read(c, hk_ea(c, u), (bits) / 8, HK_ACC_READ, &wide))      \
            return hk_uop_fault(c, u);                                         \
        uint##bits##_t v = (uint##bits##_t)wide;                               \
        statement;                                                             \
        HK_NEXT(c, u);                                                         \
    }                                                                          \
    HK_FAST_LOAD(name##_##form##x##bits, name##_##form##s##bits, bits, hk_ea,  \
                 statement)                                                    \
    HK_FAST_LOAD(name##_##form##f##bits, name##_##form##s##bits, bits,         \
                 hk_ea_flat, statement)

#define READER_SIZES(name)                 \
    READERS(name, 8, (void)hk_##name##8)   \
    READERS(name, 16, (void)hk_##name##16) \
    READERS(name, 32, (void)hk_##name##32) \
    READERS(name, 64, (void)hk_##name##64)

READER_SIZES(cmp)
READER_SIZES(test)

#define FORMS(name, bits, tag)                                             \
    {                                                                      \
        name##_rr##bits##tag, name##_ri##bits##tag, name##_rmx##bits##tag, \
            name##_mrx##bits##tag, name##_mix##bits##tag,                  \
            name##_rmf##bits##tag, name##_mrf##bits##tag,                  \
            name##_mif##bits##tag                                          \
    }
#define SIZES(name, tag)                                                 \
    {                                                                    \
        FORMS(name, 8, tag), FORMS(name, 16, tag), FORMS(name, 32, tag), \
            FORMS(name, 64, tag)                                         \
    }

static const hk_uop_fn handlers[OP_COUNT][4][FORM_COUNT] = {
    SIZES(add, _fl), SIZES(or, _fl),  SIZES(adc, _fl),
    SIZES(sbb, _fl), SIZES(and, _fl), SIZES(sub, _fl),
    SIZES(xor, _fl), SIZES(cmp, ),    SIZES(test, )};

static const hk_uop_fn handlers_nf[OP_COUNT][4][FORM_COUNT] = {
    SIZES(add, _nf), SIZES(or, _nf),  SIZES(adc, _nf), SIZES(sbb, _nf),
    SIZES(and, _nf), SIZES(sub, _nf), SIZES(xor, _nf)};

static unsigned size_index(unsigned size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

static unsigned form_of(const struct hk_insn *i)
{
    unsigned dst = i->opnd[0].kind, src = i->opnd[1].kind;
    if (dst == HK_OPND_MEM)
        return src == HK_OPND_IMM ? FORM_MI : FORM_MR;
    return src == HK_OPND_IMM   ? FORM_RI
           : src == HK_OPND_MEM ? FORM_RM
                                : FORM_RR;
}

bool hk_alu_is_compare(hk_uop_fn fn, struct hk_compare *out)
{
    static const unsigned bits[4] = {8, 16, 32, 64};
    for (unsigned op = OP_CMP; op <= OP_TEST; op++) {
        for (unsigned size = 0; size < 4; size++) {
            for (unsigned form = FORM_RR; form <= FORM_RI; form++) {
                if (handlers[op][size][form] != fn || bits[size] == 16)
                    continue;
                out->is_test = op == OP_TEST;
                out->has_imm = form == FORM_RI;
                out->bits = bits[size];
                return true;
            }
        }
    }
    return false;
}

static bool is_reg(const struct hk_operand *o)
{
    return o->kind == HK_OPND_GPR || o->kind == HK_OPND_GPR8H;
}

void hk_emit_alu(struct hk_builder *b, const struct hk_insn *i)
{
    if (i->lock) {
        hk_emit_locked(b, i);
        return;
    }
    unsigned op =
        i->op == HK_OP_TEST ? (unsigned)OP_TEST : (unsigned)(i->op - HK_OP_ADD);
    unsigned size = size_index(i->opnd[0].size);
    unsigned form = form_of(i);
    bool writes = op < OP_CMP;
    unsigned info = HK_UF_WRITES;
    struct hk_mem_ref m = {0};
    bool mem = form >= FORM_RM;
    if (op == OP_ADC || op == OP_SBB)
        info |= HK_UF_READS;
    if (mem) {
        bool to = writes && form != FORM_RM;
        m = hk_emit_mem(b, i->opnd[0].size, to ? HK_ACC_WRITE : HK_ACC_READ);
        info |= HK_UF_FAULTS;
        form += hk_mem_is_flat(m) ? FORM_FLAT : 0;
    }
    hk_uop_fn nf = handlers_nf[op][size][form];
    /* The twin without flags of ADC and SBB still reads CF. */
    if (op == OP_ADC || op == OP_SBB)
        nf = NULL;
    struct hk_uop *u = hk_emit_fl(b, handlers[op][size][form], nf, info);
    if (mem)
        hk_use_mem(u, m);
    if (is_reg(&i->opnd[0]))
        u->dst = hk_reg_offset(&i->opnd[0]);
    if (is_reg(&i->opnd[1]))
        u->src = hk_reg_offset(&i->opnd[1]);
    u->imm = i->imm;
}

/* ---- INC, DEC, NEG, NOT -------------------------------------------------- */

#define UNARY(name, bits, tag, calc)                                         \
    static struct hk_uop *name##_r##bits##tag(struct hk_cpu *c,              \
                                              struct hk_uop *u)              \
    {                                                                        \
        uint##bits##_t a = HK_R##bits(c, u->dst);                            \
        SETR##bits(c, u->dst, calc);                                         \
        HK_NEXT(c, u);                                                       \
    }                                                                        \
    static HK_NOINLINE struct hk_uop *name##_ms##bits##tag(struct hk_cpu *c, \
                                                           struct hk_uop *u) \
    {                                                                        \
        uint64_t v, la = hk_ea(c, u);                                        \
        if (!hk_mem_read(c, la, (bits) / 8, HK_ACC_WRITE, &v))               \
            return hk_uop_fault(c, u);                                       \
        uint##bits##_t a = (uint##bits##_t)v;                                \
        if (!hk_mem_write(c, la, (bits) / 8, HK_ACC_WRITE, calc))            \
            return hk_uop_fault(c, u);                                       \
        HK_NEXT(c, u);                                                       \
    }                                                                        \
    HK_FAST_RMW(name##_m##bits##tag, name##_ms##bits##tag, bits, hk_ea,      \
                uint##bits##_t a = v;                                        \
                v = calc)

#define UNARY_SIZES(name, plain)                   \
    UNARY(name, 8, _fl, hk_##name##8(a, &c->fl))   \
    UNARY(name, 16, _fl, hk_##name##16(a, &c->fl)) \
    UNARY(name, 32, _fl, hk_##name##32(a, &c->fl)) \
    UNARY(name, 64, _fl, hk_##name##64(a, &c->fl)) \
    UNARY(name, 8, _nf, (uint8_t)(plain))          \
    UNARY(name, 16, _nf, (uint16_t)(plain))        \
    UNARY(name, 32, _nf, plain)                    \
    UNARY(name, 64, _nf, plain)

UNARY_SIZES(inc, a + 1)
UNARY_SIZES(dec, a - 1)
UNARY_SIZES(neg, 0 - a)
UNARY(not, 8, _nf, (uint8_t)~a)
UNARY(not, 16, _nf, (uint16_t)~a)
UNARY(not, 32, _nf, ~a)
UNARY(not, 64, _nf, ~a)

#define UNARY_ROW(name, tag)                                                  \
    {                                                                         \
        {name##_r8##tag, name##_m8##tag}, {name##_r16##tag, name##_m16##tag}, \
            {name##_r32##tag, name##_m32##tag},                               \
        {                                                                     \
            name##_r64##tag, name##_m64##tag                                  \
        }                                                                     \
    }

static const hk_uop_fn unary[4][4][2] = {
    UNARY_ROW(inc, _fl), UNARY_ROW(dec, _fl), UNARY_ROW(neg, _fl),
    UNARY_ROW(not, _nf)};
static const hk_uop_fn unary_nf[4][4][2] = {
    UNARY_ROW(inc, _nf), UNARY_ROW(dec, _nf), UNARY_ROW(neg, _nf)};

void hk_emit_alu1(struct hk_builder *b, const struct hk_insn *i)
{
    if (i->lock) {
        hk_emit_locked(b, i);
        return;
    }
    unsigned op = i->op - HK_OP_INC;
    unsigned size = size_index(i->opnd[0].size);
    bool mem = i->opnd[0].kind == HK_OPND_MEM;
    unsigned info = i->op == HK_OP_NOT   ? 0
                    : i->op == HK_OP_NEG ? HK_UF_WRITES
                                         : HK_UF_WRITES | HK_UF_READS;
    struct hk_mem_ref m = {0};
    if (mem) {
        m = hk_emit_mem(b, i->opnd[0].size, HK_ACC_WRITE);
        info |= HK_UF_FAULTS;
    }
    struct hk_uop *u =
        hk_emit_fl(b, unary[op][size][mem], unary_nf[op][size][mem], info);
    if (mem)
        hk_use_mem(u, m);
    else
        u->dst = hk_reg_offset(&i->opnd[0]);
}
