/*
 * Private to the SSE files: operands, checks, and the emitters of each half.
 */
#ifndef HK_CPU_SSE_INT_H
#define HK_CPU_SSE_INT_H

#include "cpu/mem_int.h"
#include "cpu/sse.h"
#include "cpu/uop_int.h"

#include <string.h>

/* An aligned copy of a memory operand that has no host pointer. */
struct hk_sse_buf {
    HK_ALIGNED(16) uint8_t bytes[16];
};

/* Offsets from r[] for struct hk_uop's dst and src. */
#define HK_SSE_OFFSET(member) \
    (offsetof(struct hk_cpu, member) - offsetof(struct hk_cpu, r))
_Static_assert(HK_SSE_OFFSET(fpu) + sizeof(struct hk_fpu) < 65536,
               "operand offsets are 16 bits");

HK_INLINE uint16_t hk_xmm_offset(unsigned n)
{
    return (uint16_t)(HK_SSE_OFFSET(fpu.xmm) + 16 * (n & 15));
}

/* MM registers are the physical x87 registers. */
HK_INLINE uint16_t hk_mm_offset(unsigned n)
{
    return (uint16_t)(HK_SSE_OFFSET(fpu.st) + 16 * (n & 7));
}

HK_INLINE uint16_t hk_gpr_offset(unsigned n)
{
    return (uint16_t)(8 * (n & 15));
}

/* The slow half of hk_sse_src: copies the operand to c->fpu.scratch. */
const void *hk_sse_src_slow(struct hk_cpu *c, uint64_t la, uint32_t size);

/* The uop's memory operand for reading; NULL: a fault is pending. */
HK_INLINE const void *hk_sse_src(struct hk_cpu *c, const struct hk_uop *u,
                                 uint32_t size, bool aligned)
{
    const uint64_t la = hk_ea(c, u);
    if (aligned && hk_unlikely(la & 15)) {
        hk_fault_err(c, HK_VEC_GP, 0);
        return NULL;
    }
    const void *p = hk_rptr(c, la, size);
    return hk_likely(p != NULL) ? p : hk_sse_src_slow(c, la, size);
}

/* Before an MMX instruction: false when an x87 exception is pending. */
HK_INLINE bool hk_mmx_begin(struct hk_cpu *c)
{
    if (hk_unlikely(c->fpu.sw & HK_X87_ES))
        return hk_fault(c, HK_VEC_MF);
    return true;
}

/* What every MMX instruction but EMMS does to the x87 state. */
HK_INLINE void hk_mmx_enter(struct hk_cpu *c)
{
    c->fpu.top = 0;
    c->fpu.tag = 0xff;
}

/* After a write to an MM register: the exponent is all ones. */
HK_INLINE void hk_mmx_wrote(uint8_t *mm)
{
    memset(mm + 8, 0xff, 2);
}

/* The general handlers of forms that write an XMM register, by the operand:
 * a register, or memory of so many bytes (16 aligned). */
struct hk_uop *hk_sse_general_r(struct hk_cpu *c, struct hk_uop *u);
struct hk_uop *hk_sse_general_4(struct hk_cpu *c, struct hk_uop *u);
struct hk_uop *hk_sse_general_8(struct hk_cpu *c, struct hk_uop *u);
struct hk_uop *hk_sse_general_16(struct hk_cpu *c, struct hk_uop *u);

/* A handler of its own for a frequent form, or NULL; see sse_fast.c. */
hk_uop_fn hk_sse_fast_find(const struct hk_insn *i, struct hk_mem_ref m);

/* The half of hk_emit_sse for the kinds in C; see sse_move.c. */
void hk_emit_sse_move(struct hk_builder *b, const struct hk_insn *i);

#endif
