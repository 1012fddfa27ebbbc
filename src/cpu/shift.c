/*
 * Shifts and rotates: ROL to SAR by CL or an immediate, SHLD and SHRD.
 *
 * Results and flags are the host's own, also where the manuals leave flags
 * (OF of counts above 1) or results (16-bit SHLD by more than 16) open. A
 * count of zero leaves the flags alone; the host would, but catching them
 * needs them loaded first, so the handlers skip the instruction instead.
 */
#include "cpu/mem_int.h"
#include "cpu/uop_int.h"

#define SETR8(c, off, v) (HK_R8(c, off) = (v))
#define SETR16(c, off, v) (HK_R16(c, off) = (v))
#define SETR32(c, off, v) HK_SET32(c, off, v)
#define SETR64(c, off, v) (HK_R64(c, off) = (v))

#define COUNT8 31
#define COUNT16 31
#define COUNT32 31
#define COUNT64 63

/*
 * Kernels: the result of shifting `a` by `n`, which is not 0, and its flags.
 * `written` matters to ROL and ROR only.
 */

/* All flags are written and none read (SHL, SHR, SAR). */
#define KERNEL_ALL(name, insn, bits)                                    \
    HK_INLINE uint##bits##_t name##bits(uint##bits##_t a, unsigned n,   \
                                        unsigned written, uint16_t *fl) \
    {                                                                   \
        uint16_t f;                                                     \
        __asm__(insn " %%cl,%[a]" HK_ASM_FLAGS                          \
                : [a] "+&r"(a), "=&a"(f)                                \
                : "c"(n)                                                \
                : "cc");                                                \
        *fl = f;                                                        \
        return a;                                                       \
    }

/* `written` of CF and OF are written, none read (ROL, ROR). */
#define KERNEL_SOME(name, insn, bits)                                   \
    HK_INLINE uint##bits##_t name##bits(uint##bits##_t a, unsigned n,   \
                                        unsigned written, uint16_t *fl) \
    {                                                                   \
        uint16_t f;                                                     \
        __asm__(insn " %%cl,%[a]" HK_ASM_FLAGS                          \
                : [a] "+&r"(a), "=&a"(f)                                \
                : "c"(n)                                                \
                : "cc");                                                \
        *fl = (uint16_t)((*fl & ~written) | (f & written));             \
        return a;                                                       \
    }

/* CF is read as well (RCL, RCR): all flags go in and out. */
#define KERNEL_CARRY(name, insn, bits)                                      \
    HK_INLINE uint##bits##_t name##bits(uint##bits##_t a, unsigned n,       \
                                        unsigned written, uint16_t *fl)     \
    {                                                                       \
        uint16_t f = *fl;                                                   \
        __asm__("addb $127,%%al\n\tsahf\n\t" insn " %%cl,%[a]" HK_ASM_FLAGS \
                : [a] "+&r"(a), "+&a"(f)                                    \
                : "c"(n)                                                    \
                : "cc");                                                    \
        *fl = f;                                                            \
        return a;                                                           \
    }

/* The result alone; n may be 0. */
#define KERNEL_PLAIN(name, insn, bits)                                        \
    HK_INLINE uint##bits##_t name##_plain##bits(uint##bits##_t a, unsigned n) \
    {                                                                         \
        __asm__(insn " %%cl,%[a]" : [a] "+&r"(a) : "c"(n) : "cc");            \
        return a;                                                             \
    }

/* dst by CL, and by the count in imm. */
#define HANDLERS(name, bits)                                                   \
    static struct hk_uop *name##_cl##bits(struct hk_cpu *c, struct hk_uop *u)  \
    {                                                                          \
        unsigned n = HK_R8(c, 8) & COUNT##bits;                                \
        uint##bits##_t a = HK_R##bits(c, u->dst);                              \
        if (n != 0)                                                            \
            a = name##bits(a, n, u->src, &c->fl);                              \
        SETR##bits(c, u->dst, a);                                              \
        HK_NEXT(c, u);                                                         \
    }                                                                          \
    static struct hk_uop *name##_imm##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                          \
        uint##bits##_t a = HK_R##bits(c, u->dst);                              \
        a = name##bits(a, (unsigned)u->imm, u->src, &c->fl);                   \
        SETR##bits(c, u->dst, a);                                              \
        HK_NEXT(c, u);                                                         \
    }

#define PLAIN_HANDLERS(name, bits)                                      \
    static struct hk_uop *name##_cl_nf##bits(struct hk_cpu *c,          \
                                             struct hk_uop *u)          \
    {                                                                   \
        uint##bits##_t a = HK_R##bits(c, u->dst);                       \
        SETR##bits(c, u->dst, name##_plain##bits(a, HK_R8(c, 8)));      \
        HK_NEXT(c, u);                                                  \
    }                                                                   \
    static struct hk_uop *name##_imm_nf##bits(struct hk_cpu *c,         \
                                              struct hk_uop *u)         \
    {                                                                   \
        uint##bits##_t a = HK_R##bits(c, u->dst);                       \
        SETR##bits(c, u->dst, name##_plain##bits(a, (unsigned)u->imm)); \
        HK_NEXT(c, u);                                                  \
    }

#define SIZE(kernel, name, insn, bits)                      \
    kernel(name, insn, bits) KERNEL_PLAIN(name, insn, bits) \
        HANDLERS(name, bits) PLAIN_HANDLERS(name, bits)
#define SIZES(kernel, name, insn)    \
    SIZE(kernel, name, insn "b", 8)  \
    SIZE(kernel, name, insn "w", 16) \
    SIZE(kernel, name, insn "l", 32) \
    SIZE(kernel, name, insn "q", 64)

SIZES(KERNEL_SOME, rol, "rol")
SIZES(KERNEL_SOME, ror, "ror")
SIZES(KERNEL_ALL, shl, "shl")
SIZES(KERNEL_ALL, shr, "shr")
SIZES(KERNEL_ALL, sar, "sar")

#define CARRY_SIZE(name, insn, bits) \
    KERNEL_CARRY(name, insn, bits)   \
    HANDLERS(name, bits)
#define CARRY_SIZES(name, insn)    \
    CARRY_SIZE(name, insn "b", 8)  \
    CARRY_SIZE(name, insn "w", 16) \
    CARRY_SIZE(name, insn "l", 32) \
    CARRY_SIZE(name, insn "q", 64)

CARRY_SIZES(rcl, "rcl")
CARRY_SIZES(rcr, "rcr")

/* A zero count that must still clear the upper half. */
static struct hk_uop *op_zero_extend(struct hk_cpu *c, struct hk_uop *u)
{
    HK_SET32(c, u->dst, HK_R32(c, u->dst));
    HK_NEXT(c, u);
}

#define ROW(name)                             \
    {                                         \
        name##8, name##16, name##32, name##64 \
    }

struct shift_row {
    hk_uop_fn cl[4], imm[4], cl_nf[4], imm_nf[4];
    unsigned imm_info;
};

static const struct shift_row rows[] = {
    [HK_OP_ROL - HK_OP_ROL] = {ROW(rol_cl), ROW(rol_imm), ROW(rol_cl_nf),
                               ROW(rol_imm_nf), HK_UF_READS | HK_UF_WRITES},
    [HK_OP_ROR - HK_OP_ROL] = {ROW(ror_cl), ROW(ror_imm), ROW(ror_cl_nf),
                               ROW(ror_imm_nf), HK_UF_READS | HK_UF_WRITES},
    [HK_OP_RCL - HK_OP_ROL] =
        {ROW(rcl_cl), ROW(rcl_imm), {0}, {0}, HK_UF_READS | HK_UF_WRITES},
    [HK_OP_RCR - HK_OP_ROL] =
        {ROW(rcr_cl), ROW(rcr_imm), {0}, {0}, HK_UF_READS | HK_UF_WRITES},
    [HK_OP_SHL - HK_OP_ROL] = {ROW(shl_cl), ROW(shl_imm), ROW(shl_cl_nf),
                               ROW(shl_imm_nf), HK_UF_WRITES},
    [HK_OP_SHR - HK_OP_ROL] = {ROW(shr_cl), ROW(shr_imm), ROW(shr_cl_nf),
                               ROW(shr_imm_nf), HK_UF_WRITES},
    [HK_OP_SAR - HK_OP_ROL] = {ROW(sar_cl), ROW(sar_imm), ROW(sar_cl_nf),
                               ROW(sar_imm_nf), HK_UF_WRITES},
};

static unsigned size_index(unsigned size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

/* Shifts by zero: nothing but the upper half. Memory was loaded for a write
 * and needs no store. */
static void emit_zero_count(struct hk_builder *b, const struct hk_insn *i,
                            uint16_t dst)
{
    if (i->opnd[0].size == 4 && i->opnd[0].kind != HK_OPND_MEM)
        hk_emit(b, op_zero_extend, 0)->dst = dst;
}

/*
 * Rotating a register by an immediate other than 1 leaves OF alone on hosts;
 * by CL and in memory it does not.
 */
static uint16_t rotate_flags(const struct hk_insn *i, unsigned n)
{
    bool keeps_of = i->opnd[0].kind != HK_OPND_MEM &&
                    i->opnd[1].kind == HK_OPND_IMM && n != 1;
    return (uint16_t)(keeps_of ? HK_FL_CF : HK_FL_CF | HK_FL_OF);
}

void hk_emit_shift(struct hk_builder *b, const struct hk_insn *i)
{
    const struct shift_row *row = &rows[i->op - HK_OP_ROL];
    unsigned size = size_index(i->opnd[0].size);
    unsigned n = (unsigned)i->imm & (size == 3 ? 63 : 31);
    bool by_imm = i->opnd[1].kind == HK_OPND_IMM;
    uint16_t dst = hk_emit_operand(b, 0, HK_OFF_TMP, HK_ACC_WRITE);
    if (by_imm && n == 0) {
        emit_zero_count(b, i, dst);
        return;
    }
    struct hk_uop *u;
    if (by_imm)
        u = hk_emit_fl(b, row->imm[size], row->imm_nf[size], row->imm_info);
    else
        u = hk_emit_fl(b, row->cl[size], row->cl_nf[size],
                       HK_UF_READS | HK_UF_WRITES);
    u->dst = dst;
    u->src = rotate_flags(i, n);
    u->imm = n;
    hk_emit_writeback(b, 0, dst);
}

/* ---- SHLD, SHRD --------------------------------------------------------- */

#define DOUBLE(name, insn, bits)                                               \
    HK_INLINE uint##bits##_t name##bits(uint##bits##_t a, uint##bits##_t s,    \
                                        unsigned n, uint16_t *fl)              \
    {                                                                          \
        uint16_t f;                                                            \
        __asm__(insn " %%cl,%[s],%[a]" HK_ASM_FLAGS                            \
                : [a] "+&r"(a), "=&a"(f)                                       \
                : [s] "r"(s), "c"(n)                                           \
                : "cc");                                                       \
        *fl = f;                                                               \
        return a;                                                              \
    }                                                                          \
    static struct hk_uop *name##_cl##bits(struct hk_cpu *c, struct hk_uop *u)  \
    {                                                                          \
        unsigned n = HK_R8(c, 8) & COUNT##bits;                                \
        uint##bits##_t a = HK_R##bits(c, u->dst);                              \
        if (n != 0)                                                            \
            a = name##bits(a, HK_R##bits(c, u->src), n, &c->fl);               \
        SETR##bits(c, u->dst, a);                                              \
        HK_NEXT(c, u);                                                         \
    }                                                                          \
    static struct hk_uop *name##_imm##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                          \
        uint##bits##_t a = HK_R##bits(c, u->dst);                              \
        a = name##bits(a, HK_R##bits(c, u->src), (unsigned)u->imm, &c->fl);    \
        SETR##bits(c, u->dst, a);                                              \
        HK_NEXT(c, u);                                                         \
    }

DOUBLE(shld, "shldw", 16)
DOUBLE(shld, "shldl", 32)
DOUBLE(shld, "shldq", 64)
DOUBLE(shrd, "shrdw", 16)
DOUBLE(shrd, "shrdl", 32)
DOUBLE(shrd, "shrdq", 64)

#define DOUBLE_ROW(name)                   \
    {                                      \
        NULL, name##16, name##32, name##64 \
    }

void hk_emit_shiftd(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn by_cl[2][4] = {DOUBLE_ROW(shld_cl),
                                          DOUBLE_ROW(shrd_cl)};
    static const hk_uop_fn by_imm[2][4] = {DOUBLE_ROW(shld_imm),
                                           DOUBLE_ROW(shrd_imm)};
    unsigned right = i->op == HK_OP_SHRD;
    unsigned size = size_index(i->opnd[0].size);
    unsigned n = (unsigned)i->imm & (size == 3 ? 63 : 31);
    bool imm = i->opnd[2].kind == HK_OPND_IMM;
    uint16_t dst = hk_emit_operand(b, 0, HK_OFF_TMP, HK_ACC_WRITE);
    if (imm && n == 0) {
        emit_zero_count(b, i, dst);
        return;
    }
    struct hk_uop *u;
    if (imm)
        u = hk_emit(b, by_imm[right][size], HK_UF_WRITES);
    else
        u = hk_emit(b, by_cl[right][size], HK_UF_READS | HK_UF_WRITES);
    u->dst = dst;
    u->src = hk_reg_offset(&i->opnd[1]);
    u->imm = n;
    hk_emit_writeback(b, 0, dst);
}
