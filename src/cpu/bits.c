/*
 * Single bits and bit fields: BT to BTC, bit scans and counts, BMI, the
 * two-carry additions, CRC32 and random numbers.
 *
 * BT with a register as bit number reaches beyond its memory operand: the
 * number is signed and picks the operand-sized word first. CF is the only
 * flag these four write, as hosts do.
 */
#include "cpu/atomic_int.h"
#include "cpu/block_int.h"
#include "cpu/bmi_int.h"
#include "cpu/mem_int.h"
#include "cpu/sse.h"
#include "cpu/uop_int.h"

#include <cpuid.h>

#define SETR16(c, off, v) (HK_R16(c, off) = (v))
#define SETR32(c, off, v) HK_SET32(c, off, v)
#define SETR64(c, off, v) (HK_R64(c, off) = (v))

enum { PARTIAL = HK_UF_READS | HK_UF_WRITES };

/* 16, 32, 64 bits: 0, 1, 2. */
static unsigned size_index(unsigned size)
{
    return size == 2 ? 0 : size == 4 ? 1 : 2;
}

static void set_cf(struct hk_cpu *c, bool cf)
{
    c->fl = (uint16_t)((c->fl & ~HK_FL_CF) | (cf ? HK_FL_CF : 0));
}

/* ---- BT, BTS, BTR, BTC ----------------------------------------------------
 */

/* Distance in bytes of the word that holds bit `n`, which is signed. */
#define WORD16(n) ((uint64_t)((n) >> 4) * 2)
#define WORD32(n) ((uint64_t)((n) >> 5) * 4)
#define WORD64(n) ((uint64_t)((n) >> 6) * 8)

/* Register or memory operand; bit number in a register or in imm. */
#define BIT_TEST(bits)                                                    \
    static struct hk_uop *bt_rr##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                     \
        unsigned n = HK_R8(c, u->src) & ((bits)-1);                       \
        set_cf(c, HK_R##bits(c, u->dst) >> n & 1);                        \
        HK_NEXT(c, u);                                                    \
    }                                                                     \
    static struct hk_uop *bt_ri##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                     \
        set_cf(c, HK_R##bits(c, u->dst) >> u->imm & 1);                   \
        HK_NEXT(c, u);                                                    \
    }                                                                     \
    static struct hk_uop *bt_mi##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                     \
        uint##bits##_t v;                                                 \
        if (hk_unlikely(!hk_ld##bits(c, hk_ea(c, u), &v)))                \
            return hk_uop_fault(c, u);                                    \
        set_cf(c, v >> u->imm & 1);                                       \
        HK_NEXT(c, u);                                                    \
    }                                                                     \
    static struct hk_uop *bt_mr##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                     \
        int64_t n = (int##bits##_t)HK_R##bits(c, u->src);                 \
        uint64_t la = hk_ea(c, u) + WORD##bits(n);                        \
        uint##bits##_t v;                                                 \
        if (hk_unlikely(!hk_ld##bits(c, la, &v)))                         \
            return hk_uop_fault(c, u);                                    \
        set_cf(c, v >> (n & ((bits)-1)) & 1);                             \
        HK_NEXT(c, u);                                                    \
    }

BIT_TEST(16)
BIT_TEST(32)
BIT_TEST(64)

/* `calc` gives the new value from v and mask. */
#define BIT_CHANGE(name, bits, calc)                                          \
    static struct hk_uop *name##_rr##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        unsigned n = HK_R8(c, u->src) & ((bits)-1);                           \
        uint##bits##_t v = HK_R##bits(c, u->dst);                             \
        uint##bits##_t mask = (uint##bits##_t)(1ull << n);                    \
        set_cf(c, (v & mask) != 0);                                           \
        SETR##bits(c, u->dst, (uint##bits##_t)(calc));                        \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static struct hk_uop *name##_ri##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        uint##bits##_t v = HK_R##bits(c, u->dst);                             \
        uint##bits##_t mask = (uint##bits##_t)(1ull << u->imm);               \
        set_cf(c, (v & mask) != 0);                                           \
        SETR##bits(c, u->dst, (uint##bits##_t)(calc));                        \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static struct hk_uop *name##_mi##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        uint64_t la = hk_ea(c, u);                                            \
        uint##bits##_t v, mask = (uint##bits##_t)(1ull << u->imm);            \
        if (hk_unlikely(!hk_ldw##bits(c, la, &v) ||                           \
                        !hk_st##bits(c, la, (uint##bits##_t)(calc))))         \
            return hk_uop_fault(c, u);                                        \
        set_cf(c, (v & mask) != 0);                                           \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static struct hk_uop *name##_mr##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        int64_t n = (int##bits##_t)HK_R##bits(c, u->src);                     \
        uint64_t la = hk_ea(c, u) + WORD##bits(n);                            \
        uint##bits##_t v, mask = (uint##bits##_t)(1ull << (n & ((bits)-1)));  \
        if (hk_unlikely(!hk_ldw##bits(c, la, &v) ||                           \
                        !hk_st##bits(c, la, (uint##bits##_t)(calc))))         \
            return hk_uop_fault(c, u);                                        \
        set_cf(c, (v & mask) != 0);                                           \
        HK_NEXT(c, u);                                                        \
    }

#define BIT_CHANGES(name, calc) \
    BIT_CHANGE(name, 16, calc)  \
    BIT_CHANGE(name, 32, calc)  \
    BIT_CHANGE(name, 64, calc)

BIT_CHANGES(bts, v | mask)
BIT_CHANGES(btr, v & ~mask)
BIT_CHANGES(btc, v ^ mask)

/* How far a register's bit number reaches from the operand, in bytes. */
static uint64_t reach(const struct hk_cpu *c, const struct hk_insn *i)
{
    unsigned size = i->opnd[0].size;
    if (i->opnd[1].kind == HK_OPND_IMM)
        return 0;
    uint64_t n = hk_reg_get(c, &i->opnd[1]);
    if (size == 2)
        return WORD16((int64_t)(int16_t)n);
    if (size == 4)
        return WORD32((int64_t)(int32_t)n);
    return WORD64((int64_t)n);
}

static bool change_bit(struct hk_cpu *c, const struct hk_insn *i, uint64_t old,
                       uint64_t *v)
{
    uint64_t n =
        i->opnd[1].kind == HK_OPND_IMM ? i->imm : hk_reg_get(c, &i->opnd[1]);
    uint64_t mask = 1ull << (n & (i->opnd[0].size * 8u - 1));
    set_cf(c, (old & mask) != 0);
    if (i->op == HK_OP_BT)
        return false;
    *v = i->op == HK_OP_BTS   ? old | mask
         : i->op == HK_OP_BTR ? old & ~mask
                              : old ^ mask;
    return true;
}

/* Any mode and addressing; locked or not. */
static bool slow_bt(struct hk_cpu *c, const struct hk_insn *i)
{
    uint32_t size = i->opnd[0].size;
    unsigned acc = i->op == HK_OP_BT ? HK_ACC_READ : HK_ACC_WRITE;
    uint64_t off = hk_insn_offset(c, i) + reach(c, i), la, old, v;
    if (i->addrsize < 8)
        off &= i->addrsize == 4 ? 0xffffffff : 0xffff;
    if (!hk_seg_linear(c, i->seg, off, size, acc, &la))
        return false;
    if (i->lock)
        return hk_atomic_update(c, i, la, size, change_bit);
    if (!hk_mem_read(c, la, size, acc, &old))
        return false;
    if (!change_bit(c, i, old, &v))
        return true;
    return hk_mem_write(c, la, size, acc, v);
}

/* Locked, in 64-bit mode with 64-bit addresses. */
static struct hk_uop *op_locked_bit(struct hk_cpu *c, struct hk_uop *u)
{
    const struct hk_insn *i = (const struct hk_insn *)(uintptr_t)u->imm;
    uint64_t la = hk_ea(c, u) + reach(c, i);
    if (!hk_atomic_update(c, i, la, i->opnd[0].size, change_bit))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}

enum { FORM_RR, FORM_RI, FORM_MR, FORM_MI, FORM_COUNT };

#define FORMS(name, bits)                                                  \
    {                                                                      \
        name##_rr##bits, name##_ri##bits, name##_mr##bits, name##_mi##bits \
    }
#define BIT_ROW(name)                                     \
    {                                                     \
        FORMS(name, 16), FORMS(name, 32), FORMS(name, 64) \
    }

static const hk_uop_fn bit_handlers[4][3][FORM_COUNT] = {
    BIT_ROW(bt), BIT_ROW(bts), BIT_ROW(btr), BIT_ROW(btc)};

static void emit_bt_mem(struct hk_builder *b, const struct hk_insn *i,
                        hk_uop_fn fn)
{
    bool flat = i->code_size == HK_CODE64 && i->addrsize == 8;
    bool by_reg = i->opnd[1].kind != HK_OPND_IMM;
    if (!flat && (by_reg || i->lock)) {
        hk_emit_slow(b, slow_bt, false);
        return;
    }
    struct hk_mem_ref m = hk_emit_mem(
        b, i->opnd[0].size, i->op == HK_OP_BT ? HK_ACC_READ : HK_ACC_WRITE);
    struct hk_uop *u =
        hk_emit(b, i->lock ? op_locked_bit : fn, PARTIAL | HK_UF_FAULTS);
    hk_use_mem(u, m);
    if (by_reg)
        u->src = hk_reg_offset(&i->opnd[1]);
    u->imm = i->imm & (i->opnd[0].size * 8u - 1);
    if (i->lock) {
        struct hk_insn *copy = hk_code_alloc(b->c, sizeof(*copy));
        *copy = *i;
        u->imm = (uint64_t)(uintptr_t)copy;
    }
}

void hk_emit_bt(struct hk_builder *b, const struct hk_insn *i)
{
    bool by_reg = i->opnd[1].kind != HK_OPND_IMM;
    bool mem = i->opnd[0].kind == HK_OPND_MEM;
    unsigned form =
        mem ? (by_reg ? FORM_MR : FORM_MI) : (by_reg ? FORM_RR : FORM_RI);
    hk_uop_fn fn =
        bit_handlers[i->op - HK_OP_BT][size_index(i->opnd[0].size)][form];
    if (mem) {
        emit_bt_mem(b, i, fn);
        return;
    }
    struct hk_uop *u = hk_emit(b, fn, PARTIAL);
    u->dst = hk_reg_offset(&i->opnd[0]);
    if (by_reg)
        u->src = hk_reg_offset(&i->opnd[1]);
    u->imm = i->imm & (i->opnd[0].size * 8u - 1);
}

/* ---- what the host has ------------------------------------------------- */

enum { HOST_BMI1 = 1, HOST_BMI2 = 2, HOST_LZCNT = 4, HOST_ASKED = 8 };

static unsigned ask_host(void)
{
    unsigned a, b, c, d, has = HOST_ASKED;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        has |= b >> 3 & 1 ? HOST_BMI1 : 0;
        has |= b >> 8 & 1 ? HOST_BMI2 : 0;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
        has |= c >> 5 & 1 ? HOST_LZCNT : 0;
    return has;
}

/* CPUID traps in a VM and is slow there: asked once. */
static bool host_has(unsigned features)
{
    static _Atomic unsigned known;
    if (known == 0)
        known = ask_host();
    return (known & features) == features;
}

/* For hosts without: `disp` is the operation, 8 << `scale` its size. */
static struct hk_uop *op_plain(struct hk_cpu *c, struct hk_uop *u)
{
    unsigned bits = 8u << u->scale;
    uint64_t v = hk_bmi_compute((enum hk_op)u->disp, bits, HK_R64(c, u->src),
                                HK_R64(c, (unsigned)u->imm), &c->fl);
    if (bits == 16)
        HK_R16(c, u->dst) = (uint16_t)v;
    else
        HK_R64(c, u->dst) = v;
    HK_NEXT(c, u);
}

static struct hk_uop *emit_plain(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_uop *u = hk_emit(b, op_plain, PARTIAL);
    u->disp = i->op;
    u->scale = (uint8_t)(size_index(i->opnd[0].size) + 1);
    return u;
}

/* ---- scans and counts --------------------------------------------------- */

/*
 * The whole destination goes in and out, so that a zero source leaves of it
 * what the host leaves.
 */
#define SCAN(name, insn, mod, bits)                                           \
    static struct hk_uop *name##bits(struct hk_cpu *c, struct hk_uop *u)      \
    {                                                                         \
        uint64_t d = HK_R64(c, u->dst);                                       \
        uint16_t f;                                                           \
        __asm__(insn " %" mod "[s],%" mod "[d]" HK_ASM_FLAGS                  \
                : [d] "+&r"(d), "=&a"(f)                                      \
                : [s] "r"(HK_R##bits(c, u->src))                              \
                : "cc");                                                      \
        HK_R64(c, u->dst) = d;                                                \
        c->fl = f;                                                            \
        HK_NEXT(c, u);                                                        \
    }                                                                         \
    static struct hk_uop *name##_nf##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                         \
        uint64_t d = HK_R64(c, u->dst);                                       \
        __asm__(insn " %" mod "[s],%" mod "[d]"                               \
                : [d] "+&r"(d)                                                \
                : [s] "r"(HK_R##bits(c, u->src))                              \
                : "cc");                                                      \
        HK_R64(c, u->dst) = d;                                                \
        HK_NEXT(c, u);                                                        \
    }

#define SCANS(name, insn)     \
    SCAN(name, insn, "w", 16) \
    SCAN(name, insn, "k", 32) \
    SCAN(name, insn, "q", 64)

SCANS(bsf, "bsf")
SCANS(bsr, "bsr")
SCANS(tzcnt, "tzcnt")
SCANS(lzcnt, "lzcnt")

#define COUNT(bits)                                                        \
    static struct hk_uop *popcnt##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                      \
        uint##bits##_t v = HK_R##bits(c, u->src);                          \
        SETR##bits(c, u->dst, (uint##bits##_t)__builtin_popcountll(v));    \
        c->fl = HK_FL_FIXED | (v == 0 ? HK_FL_ZF : 0);                     \
        HK_NEXT(c, u);                                                     \
    }

COUNT(16)
COUNT(32)
COUNT(64)

#define SCAN_ROW(name)               \
    {                                \
        name##16, name##32, name##64 \
    }

void hk_emit_bitscan(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn fl[5][3] = {SCAN_ROW(bsf), SCAN_ROW(bsr),
                                       SCAN_ROW(tzcnt), SCAN_ROW(lzcnt),
                                       SCAN_ROW(popcnt)};
    static const hk_uop_fn nf[5][3] = {SCAN_ROW(bsf_nf), SCAN_ROW(bsr_nf),
                                       SCAN_ROW(tzcnt_nf), SCAN_ROW(lzcnt_nf)};
    unsigned op = i->op - HK_OP_BSF;
    unsigned size = size_index(i->opnd[0].size);
    uint16_t src = hk_emit_operand(b, 1, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u;
    if ((i->op == HK_OP_TZCNT && !host_has(HOST_BMI1)) ||
        (i->op == HK_OP_LZCNT && !host_has(HOST_LZCNT)))
        u = emit_plain(b, i);
    else
        u = hk_emit_fl(b, fl[op][size], nf[op][size], HK_UF_WRITES);
    u->dst = hk_reg_offset(&i->opnd[0]);
    u->src = src;
}

/* ---- BMI -------------------------------------------------------------------
 */

/* Three operands: dst, src, and the register at offset imm. */
#define BMI(name, insn, bits)                                               \
    static struct hk_uop *name##bits(struct hk_cpu *c, struct hk_uop *u)    \
    {                                                                       \
        uint##bits##_t d;                                                   \
        uint16_t f;                                                         \
        __asm__(insn " %[b],%[a],%[d]" HK_ASM_FLAGS                         \
                : [d] "=&r"(d), "=&a"(f)                                    \
                : [a] "r"(HK_R##bits(c, u->src)), [b] "r"(HK_R##bits(       \
                                                      c, (unsigned)u->imm)) \
                : "cc");                                                    \
        SETR##bits(c, u->dst, d);                                           \
        c->fl = f;                                                          \
        HK_NEXT(c, u);                                                      \
    }
#define BMI_PLAIN(name, insn, bits)                                           \
    static struct hk_uop *name##bits(struct hk_cpu *c, struct hk_uop *u)      \
    {                                                                         \
        uint##bits##_t d;                                                     \
        __asm__(insn " %[b],%[a],%[d]"                                        \
                : [d] "=r"(d)                                                 \
                : [a] "r"(HK_R##bits(c, u->src)), [b] "r"(HK_R##bits(         \
                                                      c, (unsigned)u->imm))); \
        SETR##bits(c, u->dst, d);                                             \
        HK_NEXT(c, u);                                                        \
    }
/* Two operands: dst and src. */
#define BMI_ONE(name, insn, bits)                                        \
    static struct hk_uop *name##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                    \
        uint##bits##_t d;                                                \
        uint16_t f;                                                      \
        __asm__(insn " %[a],%[d]" HK_ASM_FLAGS                           \
                : [d] "=&r"(d), "=&a"(f)                                 \
                : [a] "r"(HK_R##bits(c, u->src))                         \
                : "cc");                                                 \
        SETR##bits(c, u->dst, d);                                        \
        c->fl = f;                                                       \
        HK_NEXT(c, u);                                                   \
    }
#define BMI_SIZES(make, name, insn) make(name, insn, 32) make(name, insn, 64)

BMI_SIZES(BMI, andn, "andn")
BMI_SIZES(BMI, bextr, "bextr")
BMI_SIZES(BMI_ONE, blsi, "blsi")
BMI_SIZES(BMI_ONE, blsmsk, "blsmsk")
BMI_SIZES(BMI_ONE, blsr, "blsr")
BMI_SIZES(BMI, bzhi, "bzhi")
BMI_SIZES(BMI_PLAIN, pdep, "pdep")
BMI_SIZES(BMI_PLAIN, pext, "pext")
BMI_SIZES(BMI_PLAIN, sarx, "sarx")
BMI_SIZES(BMI_PLAIN, shlx, "shlx")
BMI_SIZES(BMI_PLAIN, shrx, "shrx")

/* The low half first: the same register twice holds the high half. */
static struct hk_uop *mulx32(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t p = (uint64_t)HK_R32(c, 2 * 8) * HK_R32(c, (unsigned)u->imm);
    HK_SET32(c, u->src, p);
    HK_SET32(c, u->dst, p >> 32);
    HK_NEXT(c, u);
}

static struct hk_uop *mulx64(struct hk_cpu *c, struct hk_uop *u)
{
    unsigned __int128 p =
        (unsigned __int128)HK_R64(c, 2 * 8) * HK_R64(c, (unsigned)u->imm);
    HK_R64(c, u->src) = (uint64_t)p;
    HK_R64(c, u->dst) = (uint64_t)(p >> 64);
    HK_NEXT(c, u);
}

static struct hk_uop *rorx32(struct hk_cpu *c, struct hk_uop *u)
{
    uint32_t v = HK_R32(c, u->src);
    unsigned n = u->imm & 31;
    HK_SET32(c, u->dst, v >> n | v << (-n & 31));
    HK_NEXT(c, u);
}

static struct hk_uop *rorx64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t v = HK_R64(c, u->src);
    unsigned n = u->imm & 63;
    HK_R64(c, u->dst) = v >> n | v << (-n & 63);
    HK_NEXT(c, u);
}

struct bmi_row {
    hk_uop_fn fn[2];
    uint8_t needs; /* of the host; without it hk_bmi_compute does it */
    uint8_t info;
};

#define BMI_ROW(name, needs, info)        \
    {                                     \
        {name##32, name##64}, needs, info \
    }

static const struct bmi_row bmi_rows[] = {
    [HK_OP_ANDN - HK_OP_ANDN] = BMI_ROW(andn, HOST_BMI1, HK_UF_WRITES),
    [HK_OP_BEXTR - HK_OP_ANDN] = BMI_ROW(bextr, HOST_BMI1, HK_UF_WRITES),
    [HK_OP_BLSI - HK_OP_ANDN] = BMI_ROW(blsi, HOST_BMI1, HK_UF_WRITES),
    [HK_OP_BLSMSK - HK_OP_ANDN] = BMI_ROW(blsmsk, HOST_BMI1, HK_UF_WRITES),
    [HK_OP_BLSR - HK_OP_ANDN] = BMI_ROW(blsr, HOST_BMI1, HK_UF_WRITES),
    [HK_OP_BZHI - HK_OP_ANDN] = BMI_ROW(bzhi, HOST_BMI2, HK_UF_WRITES),
    [HK_OP_MULX - HK_OP_ANDN] = BMI_ROW(mulx, 0, 0),
    [HK_OP_PDEP - HK_OP_ANDN] = BMI_ROW(pdep, HOST_BMI2, 0),
    [HK_OP_PEXT - HK_OP_ANDN] = BMI_ROW(pext, HOST_BMI2, 0),
    [HK_OP_RORX - HK_OP_ANDN] = BMI_ROW(rorx, 0, 0),
    [HK_OP_SARX - HK_OP_ANDN] = BMI_ROW(sarx, HOST_BMI2, 0),
    [HK_OP_SHLX - HK_OP_ANDN] = BMI_ROW(shlx, HOST_BMI2, 0),
    [HK_OP_SHRX - HK_OP_ANDN] = BMI_ROW(shrx, HOST_BMI2, 0),
};

void hk_emit_bmi(struct hk_builder *b, const struct hk_insn *i)
{
    const struct bmi_row *row = &bmi_rows[i->op - HK_OP_ANDN];
    bool imm = i->opnd[2].kind == HK_OPND_IMM;
    uint16_t third = 0;
    /* VEX does not exist in real and virtual-8086 mode. */
    if ((b->mode & HK_MODE_PROT) == 0 || (b->mode & HK_MODE_V86) != 0) {
        hk_emit_raise(b, HK_VEC_UD);
        return;
    }
    uint16_t second = hk_emit_operand(b, 1, HK_OFF_TMP, HK_ACC_READ);
    if (!imm && i->opnd[2].kind != HK_OPND_NONE)
        third = hk_emit_operand(b, 2, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u =
        host_has(row->needs)
            ? hk_emit(b, row->fn[i->opnd[0].size == 8], row->info)
            : emit_plain(b, i);
    u->dst = hk_reg_offset(&i->opnd[0]);
    u->src = second;
    u->imm = imm ? i->imm : third;
}

/* ---- ADCX, ADOX ------------------------------------------------------------
 */

#define ADX(name, bits, flag)                                                \
    static struct hk_uop *name##bits(struct hk_cpu *c, struct hk_uop *u)     \
    {                                                                        \
        uint##bits##_t sum, a = HK_R##bits(c, u->dst);                       \
        bool carry = __builtin_add_overflow(a, HK_R##bits(c, u->src), &sum); \
        carry |= __builtin_add_overflow(                                     \
            sum, (uint##bits##_t)((c->fl & (flag)) != 0), &sum);             \
        SETR##bits(c, u->dst, sum);                                          \
        c->fl = (uint16_t)((c->fl & ~(flag)) | (carry ? (flag) : 0));        \
        HK_NEXT(c, u);                                                       \
    }

ADX(adcx, 32, HK_FL_CF)
ADX(adcx, 64, HK_FL_CF)
ADX(adox, 32, HK_FL_OF)
ADX(adox, 64, HK_FL_OF)

void hk_emit_adx(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn handlers[2][2] = {{adcx32, adcx64},
                                             {adox32, adox64}};
    uint16_t src = hk_emit_operand(b, 1, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u = hk_emit(
        b, handlers[i->op == HK_OP_ADOX][i->opnd[0].size == 8], PARTIAL);
    u->dst = hk_reg_offset(&i->opnd[0]);
    u->src = src;
}

/* ---- CRC32, RDRAND, RDSEED -------------------------------------------------
 */

/* A 64-bit destination holds a 32-bit value as well. */
#define CRC(insn, mod, bits)                                            \
    static struct hk_uop *crc##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                   \
        uint64_t d = HK_R32(c, u->dst);                                 \
        __asm__(insn " %[s],%" mod "[d]"                                \
                : [d] "+r"(d)                                           \
                : [s] "r"(HK_R##bits(c, u->src)));                      \
        HK_R64(c, u->dst) = d;                                          \
        HK_NEXT(c, u);                                                  \
    }

CRC("crc32b", "k", 8)
CRC("crc32w", "k", 16)
CRC("crc32l", "k", 32)
CRC("crc32q", "q", 64)

void hk_emit_crc32(struct hk_builder *b, const struct hk_insn *i)
{
    unsigned size = i->opnd[1].size;
    if (!hk_sse_host_has(HK_SSE_SSE42)) {
        hk_emit_raise(b, HK_VEC_UD);
        return;
    }
    uint16_t src = hk_emit_operand(b, 1, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u = hk_emit(b,
                               size == 1   ? crc8
                               : size == 2 ? crc16
                               : size == 4 ? crc32
                                           : crc64,
                               0);
    u->dst = hk_reg_offset(&i->opnd[0]);
    u->src = src;
}

#define RANDOM(bits)                                                       \
    static struct hk_uop *random##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                      \
        uint64_t v = c->machine->host.random(c->opaque);                   \
        SETR##bits(c, u->dst, (uint##bits##_t)v);                          \
        c->fl = HK_FL_FIXED | HK_FL_CF;                                    \
        HK_NEXT(c, u);                                                     \
    }

RANDOM(16)
RANDOM(32)
RANDOM(64)

void hk_emit_rdrand(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn handlers[3] = {random16, random32, random64};
    struct hk_uop *u =
        hk_emit(b, handlers[size_index(i->opnd[0].size)], HK_UF_WRITES);
    u->dst = hk_reg_offset(&i->opnd[0]);
}
