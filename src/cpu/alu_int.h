/*
 * The arithmetic kernels: value in, value and flags out, by the host's own
 * instruction. One place to replace on a host of another kind.
 *
 * hk_<op><bits>(a, b, &fl) returns the result and stores the flags (HK_FL_*).
 * ADC, SBB, INC and DEC take the old CF from *fl.
 */
#ifndef HK_CPU_ALU_INT_H
#define HK_CPU_ALU_INT_H

#include "cpu/uop_int.h"

#define HK_ALU2(name, insn, bits)                                            \
    HK_INLINE uint##bits##_t hk_##name##bits(uint##bits##_t a,               \
                                             uint##bits##_t b, uint16_t *fl) \
    {                                                                        \
        uint16_t f;                                                          \
        __asm__(insn " %[b],%[a]" HK_ASM_FLAGS                               \
                : [a] "+&r"(a), "=&a"(f)                                     \
                : [b] "r"(b)                                                 \
                : "cc");                                                     \
        *fl = f;                                                             \
        return a;                                                            \
    }

#define HK_ALU2C(name, insn, bits)                                           \
    HK_INLINE uint##bits##_t hk_##name##bits(uint##bits##_t a,               \
                                             uint##bits##_t b, uint16_t *fl) \
    {                                                                        \
        uint16_t f = *fl;                                                    \
        __asm__("btw $8,%%ax\n\t" insn " %[b],%[a]" HK_ASM_FLAGS             \
                : [a] "+&r"(a), "+&a"(f)                                     \
                : [b] "r"(b)                                                 \
                : "cc");                                                     \
        *fl = f;                                                             \
        return a;                                                            \
    }

#define HK_ALU1C(name, insn, bits)                                           \
    HK_INLINE uint##bits##_t hk_##name##bits(uint##bits##_t a, uint16_t *fl) \
    {                                                                        \
        uint16_t f = *fl;                                                    \
        __asm__("btw $8,%%ax\n\t" insn " %[a]" HK_ASM_FLAGS                  \
                : [a] "+&r"(a), "+&a"(f)                                     \
                :                                                            \
                : "cc");                                                     \
        *fl = f;                                                             \
        return a;                                                            \
    }

#define HK_ALU_SIZES(make, name, insn)                                        \
    make(name, insn "b", 8) make(name, insn "w", 16) make(name, insn "l", 32) \
        make(name, insn "q", 64)

HK_ALU_SIZES(HK_ALU2, add, "add")
HK_ALU_SIZES(HK_ALU2, or, "or")
HK_ALU_SIZES(HK_ALU2, and, "and")
HK_ALU_SIZES(HK_ALU2, sub, "sub")
HK_ALU_SIZES(HK_ALU2, xor, "xor")
HK_ALU_SIZES(HK_ALU2, cmp, "cmp")
HK_ALU_SIZES(HK_ALU2, test, "test")
HK_ALU_SIZES(HK_ALU2C, adc, "adc")
HK_ALU_SIZES(HK_ALU2C, sbb, "sbb")
HK_ALU_SIZES(HK_ALU1C, inc, "inc")
HK_ALU_SIZES(HK_ALU1C, dec, "dec")
HK_ALU_SIZES(HK_ALU1C, neg, "neg")

/* What a CMP or TEST handler with register operands compares. */
struct hk_compare {
    bool is_test;
    bool has_imm;
    unsigned bits; /* 8, 32 or 64 */
};

/* True when `fn` is such a handler: a conditional branch may join it. */
bool hk_alu_is_compare(hk_uop_fn fn, struct hk_compare *out);

#endif
