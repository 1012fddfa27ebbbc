/*
 * Multiplication, division and decimal adjustment.
 *
 * Products and their flags are the host's own. Division checks for overflow
 * first, so that the host never faults; it leaves the flags alone, as the
 * hosts that were looked at do. The decimal instructions do not exist in
 * 64-bit mode; their undefined flags (OF clear, SF, ZF and PF of AL) were
 * compared with an Intel CPU over all inputs.
 */
#include "cpu/alu_int.h"
#include "cpu/mem_int.h"
#include "cpu/uop_int.h"

enum { OFF_AL = 0, OFF_AH = 1, OFF_AX = 0, OFF_CX = 8, OFF_DX = 16 };

static unsigned size_index(unsigned size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

/* ---- MUL, IMUL with one operand ------------------------------------------ */

#define WIDE8(name, insn)                                               \
    static struct hk_uop *name##8(struct hk_cpu * c, struct hk_uop * u) \
    {                                                                   \
        uint16_t ax = HK_R8(c, OFF_AL), product;                        \
        __asm__(insn "b %[s]\n\tmovw %%ax,%[p]" HK_ASM_FLAGS            \
                : [p] "=&r"(product), "+&a"(ax)                         \
                : [s] "r"(HK_R8(c, u->src))                             \
                : "cc");                                                \
        HK_R16(c, OFF_AX) = product;                                    \
        c->fl = ax;                                                     \
        HK_NEXT(c, u);                                                  \
    }

#define WIDE(name, insn, bits, mov, SET)                                 \
    static struct hk_uop *name##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                    \
        uint##bits##_t a = HK_R##bits(c, OFF_AX), low, high;             \
        __asm__(insn " %[s]\n\t" mov " %[a],%[p]" HK_ASM_FLAGS           \
                : [p] "=&r"(low), [a] "+&a"(a), "=&d"(high)              \
                : [s] "r"(HK_R##bits(c, u->src))                         \
                : "cc");                                                 \
        SET(c, OFF_AX, low);                                             \
        SET(c, OFF_DX, high);                                            \
        c->fl = (uint16_t)a;                                             \
        HK_NEXT(c, u);                                                   \
    }

#define SETR16(c, off, v) (HK_R16(c, off) = (v))
#define SETR64(c, off, v) (HK_R64(c, off) = (v))

WIDE8(mul, "mul")
WIDE8(imul1_, "imul")
WIDE(mul, "mulw", 16, "movw", SETR16)
WIDE(imul1_, "imulw", 16, "movw", SETR16)
WIDE(mul, "mull", 32, "movl", HK_SET32)
WIDE(imul1_, "imull", 32, "movl", HK_SET32)
WIDE(mul, "mulq", 64, "movq", SETR64)
WIDE(imul1_, "imulq", 64, "movq", SETR64)

static struct hk_uop *mul_nf64(struct hk_cpu *c, struct hk_uop *u)
{
    unsigned __int128 p = (unsigned __int128)c->r[0] * HK_R64(c, u->src);
    HK_R64(c, OFF_AX) = (uint64_t)p;
    HK_R64(c, OFF_DX) = (uint64_t)(p >> 64);
    HK_NEXT(c, u);
}

void hk_emit_mul1(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn handlers[2][4] = {
        {mul8, mul16, mul32, mul64},
        {imul1_8, imul1_16, imul1_32, imul1_64},
    };
    bool is_signed = i->op == HK_OP_IMUL1;
    unsigned size = size_index(i->opnd[0].size);
    uint16_t src = hk_emit_operand(b, 0, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u =
        hk_emit_fl(b, handlers[is_signed][size],
                   !is_signed && size == 3 ? mul_nf64 : NULL, HK_UF_WRITES);
    u->src = src;
}

/* ---- IMUL with two and three operands ------------------------------------ */

#define IMUL(insn, bits, SET)                                                  \
    HK_INLINE uint##bits##_t imul_flags##bits(uint##bits##_t a,                \
                                              uint##bits##_t s, uint16_t *fl)  \
    {                                                                          \
        uint16_t f;                                                            \
        __asm__(insn " %[s],%[a]" HK_ASM_FLAGS                                 \
                : [a] "+&r"(a), "=&a"(f)                                       \
                : [s] "r"(s)                                                   \
                : "cc");                                                       \
        *fl = f;                                                               \
        return a;                                                              \
    }                                                                          \
    static struct hk_uop *imul_rr##bits(struct hk_cpu *c, struct hk_uop *u)    \
    {                                                                          \
        SET(c, u->dst,                                                         \
            imul_flags##bits(HK_R##bits(c, u->dst), HK_R##bits(c, u->src),     \
                             &c->fl));                                         \
        HK_NEXT(c, u);                                                         \
    }                                                                          \
    static struct hk_uop *imul_ri##bits(struct hk_cpu *c, struct hk_uop *u)    \
    {                                                                          \
        SET(c, u->dst,                                                         \
            imul_flags##bits((uint##bits##_t)u->imm, HK_R##bits(c, u->src),    \
                             &c->fl));                                         \
        HK_NEXT(c, u);                                                         \
    }                                                                          \
    static struct hk_uop *imul_rr_nf##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                          \
        uint64_t p = (uint64_t)HK_R##bits(c, u->dst) * HK_R##bits(c, u->src);  \
        SET(c, u->dst, (uint##bits##_t)p);                                     \
        HK_NEXT(c, u);                                                         \
    }                                                                          \
    static struct hk_uop *imul_ri_nf##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                          \
        uint64_t p = u->imm * HK_R##bits(c, u->src);                           \
        SET(c, u->dst, (uint##bits##_t)p);                                     \
        HK_NEXT(c, u);                                                         \
    }

IMUL("imulw", 16, SETR16)
IMUL("imull", 32, HK_SET32)
IMUL("imulq", 64, SETR64)

void hk_emit_imul(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn fl[2][4] = {
        {NULL, imul_rr16, imul_rr32, imul_rr64},
        {NULL, imul_ri16, imul_ri32, imul_ri64},
    };
    static const hk_uop_fn nf[2][4] = {
        {NULL, imul_rr_nf16, imul_rr_nf32, imul_rr_nf64},
        {NULL, imul_ri_nf16, imul_ri_nf32, imul_ri_nf64},
    };
    bool imm = i->opnd[2].kind == HK_OPND_IMM;
    unsigned size = size_index(i->opnd[0].size);
    uint16_t src = hk_emit_operand(b, 1, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u =
        hk_emit_fl(b, fl[imm][size], nf[imm][size], HK_UF_WRITES);
    u->dst = hk_reg_offset(&i->opnd[0]);
    u->src = src;
    u->imm = i->imm;
}

/* ---- DIV, IDIV ----------------------------------------------------------- */

static struct hk_uop *divide_error(struct hk_cpu *c, struct hk_uop *u)
{
    (void)hk_fault(c, HK_VEC_DE);
    return hk_uop_fault(c, u);
}

/*
 * The quotient of |n| by |s| fits in `bits` bits with its sign when it is
 * below 2^(bits-1), or equal to it and negative.
 */
#define FITS(n_mag, s_mag, negative, bits) \
    ((n_mag) < ((s_mag) << ((bits)-1)) + ((negative) ? (s_mag) : 0))

#define MAGNITUDE(type, v) ((v) < 0 ? 0 - (type)(v) : (type)(v))

static struct hk_uop *div8(struct hk_cpu *c, struct hk_uop *u)
{
    uint16_t n = HK_R16(c, OFF_AX);
    uint8_t s = HK_R8(c, u->src);
    if (n >> 8 >= s)
        return divide_error(c, u);
    HK_R8(c, OFF_AL) = (uint8_t)(n / s);
    HK_R8(c, OFF_AH) = (uint8_t)(n % s);
    HK_NEXT(c, u);
}

static struct hk_uop *idiv8(struct hk_cpu *c, struct hk_uop *u)
{
    int32_t n = (int16_t)HK_R16(c, OFF_AX);
    int32_t s = (int8_t)HK_R8(c, u->src);
    if (s == 0 || n / s != (int8_t)(n / s))
        return divide_error(c, u);
    HK_R8(c, OFF_AL) = (uint8_t)(n / s);
    HK_R8(c, OFF_AH) = (uint8_t)(n % s);
    HK_NEXT(c, u);
}

static struct hk_uop *div16(struct hk_cpu *c, struct hk_uop *u)
{
    uint32_t n = (uint32_t)HK_R16(c, OFF_DX) << 16 | HK_R16(c, OFF_AX);
    uint16_t s = HK_R16(c, u->src);
    if (n >> 16 >= s)
        return divide_error(c, u);
    HK_R16(c, OFF_AX) = (uint16_t)(n / s);
    HK_R16(c, OFF_DX) = (uint16_t)(n % s);
    HK_NEXT(c, u);
}

static struct hk_uop *idiv16(struct hk_cpu *c, struct hk_uop *u)
{
    int64_t n =
        (int32_t)((uint32_t)HK_R16(c, OFF_DX) << 16 | HK_R16(c, OFF_AX));
    int64_t s = (int16_t)HK_R16(c, u->src);
    if (s == 0 || n / s != (int16_t)(n / s))
        return divide_error(c, u);
    HK_R16(c, OFF_AX) = (uint16_t)(n / s);
    HK_R16(c, OFF_DX) = (uint16_t)(n % s);
    HK_NEXT(c, u);
}

static struct hk_uop *div32(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t n = (uint64_t)HK_R32(c, OFF_DX) << 32 | HK_R32(c, OFF_AX);
    uint32_t s = HK_R32(c, u->src);
    if (n >> 32 >= s)
        return divide_error(c, u);
    HK_SET32(c, OFF_AX, n / s);
    HK_SET32(c, OFF_DX, n % s);
    HK_NEXT(c, u);
}

static struct hk_uop *idiv32(struct hk_cpu *c, struct hk_uop *u)
{
    int64_t n =
        (int64_t)((uint64_t)HK_R32(c, OFF_DX) << 32 | HK_R32(c, OFF_AX));
    int64_t s = (int32_t)HK_R32(c, u->src);
    uint64_t n_mag = MAGNITUDE(uint64_t, n), s_mag = MAGNITUDE(uint64_t, s);
    if (!FITS(n_mag, s_mag, (n ^ s) < 0, 32))
        return divide_error(c, u);
    HK_SET32(c, OFF_AX, n / s);
    HK_SET32(c, OFF_DX, n % s);
    HK_NEXT(c, u);
}

static struct hk_uop *div64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t low = HK_R64(c, OFF_AX), high = HK_R64(c, OFF_DX);
    uint64_t s = HK_R64(c, u->src);
    if (high >= s)
        return divide_error(c, u);
    __asm__("divq %[s]" : "+a"(low), "+d"(high) : [s] "r"(s) : "cc");
    HK_R64(c, OFF_AX) = low;
    HK_R64(c, OFF_DX) = high;
    HK_NEXT(c, u);
}

static struct hk_uop *idiv64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t low = HK_R64(c, OFF_AX), high = HK_R64(c, OFF_DX);
    int64_t s = (int64_t)HK_R64(c, u->src);
    unsigned __int128 n_mag = (unsigned __int128)high << 64 | low;
    unsigned __int128 s_mag = MAGNITUDE(uint64_t, s);
    bool negative = ((int64_t)high ^ s) < 0;
    if ((int64_t)high < 0)
        n_mag = 0 - n_mag;
    if (!FITS(n_mag, s_mag, negative, 64))
        return divide_error(c, u);
    __asm__("idivq %[s]" : "+a"(low), "+d"(high) : [s] "r"(s) : "cc");
    HK_R64(c, OFF_AX) = low;
    HK_R64(c, OFF_DX) = high;
    HK_NEXT(c, u);
}

void hk_emit_div(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn handlers[2][4] = {
        {div8, div16, div32, div64},
        {idiv8, idiv16, idiv32, idiv64},
    };
    uint16_t src = hk_emit_operand(b, 0, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u =
        hk_emit(b, handlers[i->op == HK_OP_IDIV][size_index(i->opnd[0].size)],
                HK_UF_FAULTS);
    u->src = src;
}

/* ---- decimal ------------------------------------------------------------- */

/* Stores SF, ZF and PF of AL, and CF and AF as told; OF is clear. */
static void set_decimal_flags(struct hk_cpu *c, bool cf, bool af)
{
    uint8_t al = HK_R8(c, OFF_AL);
    (void)hk_test8(al, al, &c->fl);
    c->fl &= (uint16_t)~HK_FL_AF;
    c->fl |= (uint16_t)((cf ? HK_FL_CF : 0) | (af ? HK_FL_AF : 0));
}

static bool low_digit_overflows(const struct hk_cpu *c, uint8_t al)
{
    return (al & 15) > 9 || (c->fl & HK_FL_AF) != 0;
}

static struct hk_uop *op_daa(struct hk_cpu *c, struct hk_uop *u)
{
    uint8_t al = HK_R8(c, OFF_AL);
    bool low = low_digit_overflows(c, al);
    bool high = al > 0x99 || (c->fl & HK_FL_CF) != 0;
    HK_R8(c, OFF_AL) = (uint8_t)(al + (low ? 6 : 0) + (high ? 0x60 : 0));
    set_decimal_flags(c, high, low);
    HK_NEXT(c, u);
}

static struct hk_uop *op_das(struct hk_cpu *c, struct hk_uop *u)
{
    uint8_t al = HK_R8(c, OFF_AL);
    bool low = low_digit_overflows(c, al);
    bool high = al > 0x99 || (c->fl & HK_FL_CF) != 0;
    HK_R8(c, OFF_AL) = (uint8_t)(al - (low ? 6 : 0) - (high ? 0x60 : 0));
    set_decimal_flags(c, high || (low && al < 6), low);
    HK_NEXT(c, u);
}

/* AAA and AAS; imm is 0x106 or its negative. */
static struct hk_uop *op_ascii_adjust(struct hk_cpu *c, struct hk_uop *u)
{
    uint16_t ax = HK_R16(c, OFF_AX);
    bool adjust = low_digit_overflows(c, (uint8_t)ax);
    if (adjust)
        ax = (uint16_t)(ax + u->imm);
    HK_R16(c, OFF_AX) = ax & 0xff0f;
    set_decimal_flags(c, adjust, adjust);
    HK_NEXT(c, u);
}

static struct hk_uop *op_aam(struct hk_cpu *c, struct hk_uop *u)
{
    uint8_t al = HK_R8(c, OFF_AL), base = (uint8_t)u->imm;
    HK_R8(c, OFF_AH) = al / base;
    HK_R8(c, OFF_AL) = al % base;
    set_decimal_flags(c, false, false);
    HK_NEXT(c, u);
}

static struct hk_uop *op_aad(struct hk_cpu *c, struct hk_uop *u)
{
    uint8_t tens = (uint8_t)(HK_R8(c, OFF_AH) * u->imm);
    HK_R16(c, OFF_AX) = hk_add8(HK_R8(c, OFF_AL), tens, &c->fl);
    HK_NEXT(c, u);
}

void hk_emit_bcd(struct hk_builder *b, const struct hk_insn *i)
{
    const unsigned both = HK_UF_READS | HK_UF_WRITES;
    if (i->op == HK_OP_DAA) {
        (void)hk_emit(b, op_daa, both);
    } else if (i->op == HK_OP_DAS) {
        (void)hk_emit(b, op_das, both);
    } else if (i->op == HK_OP_AAA) {
        hk_emit(b, op_ascii_adjust, both)->imm = 0x106;
    } else if (i->op == HK_OP_AAS) {
        hk_emit(b, op_ascii_adjust, both)->imm = (uint64_t)-0x106;
    } else if (i->op == HK_OP_AAD) {
        hk_emit(b, op_aad, HK_UF_WRITES)->imm = i->imm;
    } else if (i->imm == 0) {
        hk_emit_raise(b, HK_VEC_DE); /* AAM 0 */
    } else {
        hk_emit(b, op_aam, HK_UF_WRITES)->imm = i->imm;
    }
}
