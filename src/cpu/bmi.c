/* The bit manipulation instructions in plain C; see bmi_int.h. */
#include "cpu/bmi_int.h"

#include "cpu/cpu_int.h"

static uint64_t low_bits(unsigned n)
{
    return n >= 64 ? ~0ull : (1ull << n) - 1;
}

static uint64_t deposit(uint64_t from, uint64_t mask)
{
    uint64_t out = 0;
    for (; mask != 0; mask &= mask - 1, from >>= 1)
        if (from & 1)
            out |= mask & (0 - mask);
    return out;
}

static uint64_t extract(uint64_t from, uint64_t mask)
{
    uint64_t out = 0;
    for (unsigned n = 0; mask != 0; mask &= mask - 1, n++)
        if (from & mask & (0 - mask))
            out |= 1ull << n;
    return out;
}

static uint64_t field(uint64_t from, uint64_t control)
{
    unsigned start = control & 255, len = control >> 8 & 255;
    return start >= 64 ? 0 : from >> start & low_bits(len);
}

static uint64_t shift_right_signed(uint64_t a, unsigned n, unsigned bits)
{
    int64_t wide = bits == 32 ? (int32_t)a : (int64_t)a;
    return (uint64_t)(wide >> n);
}

static uint64_t leading_zeros(uint64_t a, unsigned bits)
{
    return a == 0 ? bits : (unsigned)__builtin_clzll(a) - (64 - bits);
}

static uint64_t result(enum hk_op op, unsigned bits, uint64_t a, uint64_t b)
{
    unsigned n = (unsigned)b & (bits - 1);
    switch ((unsigned)op) {
    case HK_OP_TZCNT:
        return a == 0 ? bits : (unsigned)__builtin_ctzll(a);
    case HK_OP_LZCNT:
        return leading_zeros(a, bits);
    case HK_OP_ANDN:
        return ~a & b;
    case HK_OP_BEXTR:
        return field(a, b);
    case HK_OP_BLSI:
        return a & (0 - a);
    case HK_OP_BLSMSK:
        return a ^ (a - 1);
    case HK_OP_BLSR:
        return a & (a - 1);
    case HK_OP_BZHI:
        return a & low_bits(b & 255);
    case HK_OP_PDEP:
        return deposit(a, b);
    case HK_OP_PEXT:
        return extract(a, b);
    case HK_OP_SARX:
        return shift_right_signed(a, n, bits);
    case HK_OP_SHLX:
        return a << n;
    default: /* SHRX */
        return a >> n;
    }
}

static bool carry(enum hk_op op, unsigned bits, uint64_t a, uint64_t b)
{
    switch ((unsigned)op) {
    case HK_OP_TZCNT:
    case HK_OP_LZCNT:
    case HK_OP_BLSMSK:
    case HK_OP_BLSR:
        return a == 0;
    case HK_OP_BLSI:
        return a != 0;
    case HK_OP_BZHI:
        return (b & 255) >= bits;
    default:
        return false;
    }
}

static bool has_sign(enum hk_op op)
{
    return op != HK_OP_TZCNT && op != HK_OP_LZCNT && op != HK_OP_BEXTR;
}

static bool writes_flags(enum hk_op op)
{
    return op == HK_OP_TZCNT || op == HK_OP_LZCNT ||
           (op >= HK_OP_ANDN && op <= HK_OP_BZHI);
}

bool hk_bmi_can_compute(enum hk_op op)
{
    return writes_flags(op) || op == HK_OP_PDEP || op == HK_OP_PEXT ||
           op == HK_OP_SARX || op == HK_OP_SHLX || op == HK_OP_SHRX;
}

uint64_t hk_bmi_compute(enum hk_op op, unsigned bits, uint64_t a, uint64_t b,
                        uint16_t *fl)
{
    a &= low_bits(bits);
    b &= low_bits(bits);
    uint64_t v = result(op, bits, a, b) & low_bits(bits);
    if (!writes_flags(op))
        return v;
    *fl = HK_FL_FIXED;
    if (v == 0)
        *fl |= HK_FL_ZF;
    if (has_sign(op) && (v >> (bits - 1) & 1))
        *fl |= HK_FL_SF;
    if (carry(op, bits, a, b))
        *fl |= HK_FL_CF;
    return v;
}
