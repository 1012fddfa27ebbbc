/*
 * The list of MMX and SSE forms that run as themselves on the host.
 *
 * sse_forms.def names each form once; the decoder finds forms here, sse.c
 * emits them, sse_stubs.S holds one small host routine for each.
 */
#ifndef HK_CPU_SSE_H
#define HK_CPU_SSE_H

#include "cpu/decode.h"

/* Which CPUID feature a form needs; see cpuid.c. */
enum hk_sse_feature {
    HK_SSE_MMX,
    HK_SSE_SSE,
    HK_SSE_SSE2,
    HK_SSE_SSE3,
    HK_SSE_SSSE3,
    HK_SSE_SSE41,
    HK_SSE_SSE42,
    HK_SSE_AES,
    HK_SSE_PCLMUL,
    HK_SSE_SHA,
    HK_SSE_FEATURE_COUNT
};

/* Private to sse.c but for these leading members. */
struct hk_sse_form {
    const char *name; /* the mnemonic */
    uint8_t map, prefix, opcode;
    int8_t modrm_ext;  /* /0 to /7, or -1 */
    uint8_t feature;   /* enum hk_sse_feature */
    uint8_t mem_size;  /* bytes of the memory operand, 0 if none allowed */
    bool reg_ok;       /* the r/m operand may be a register */
    bool has_imm;
    uint8_t kind; /* private */
    uint16_t stub; /* private */
};

/*
 * The form for these fields, or NULL. `prefix` is 0, 0x66, 0xf2 or 0xf3;
 * `map` 1, 2 or 3 as in struct hk_insn. Called by the decoder after the
 * integer tables did not claim the opcode.
 */
const struct hk_sse_form *hk_sse_find(unsigned map, unsigned prefix,
                                      unsigned opcode, unsigned modrm);

/* All forms, for tests. */
const struct hk_sse_form *hk_sse_forms(size_t *count);

/* True when this host can run forms of that feature. */
bool hk_sse_host_has(enum hk_sse_feature feature);

#endif
