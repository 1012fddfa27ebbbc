/*
 * The list of MMX and SSE forms that run as themselves on the host.
 *
 * sse_forms.def names each form once; the decoder finds forms here, sse.c
 * emits them, sse_stubs.S holds one small host routine for each.
 */
#ifndef HK_CPU_SSE_H
#define HK_CPU_SSE_H

#include "base/compiler.h"
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

/* Operands and direction of a form; the kinds with an immediate are last.
 * Unless said otherwise the destination is ModRM.reg. */
enum hk_sse_kind {
    /* With a host routine, see sse_stubs.S. */
    HK_SSE_KIND_XMM,     /* xmm, xmm/mem */
    HK_SSE_KIND_XMM0,    /* xmm, xmm/mem, and xmm0 implied */
    HK_SSE_KIND_MMX,     /* mm, mm/mem */
    HK_SSE_KIND_XMM_MM,  /* xmm, mm/mem */
    HK_SSE_KIND_MM_XMM,  /* mm, xmm/mem */
    HK_SSE_KIND_XMM_GPR, /* xmm, r/mem 32 or 64 */
    HK_SSE_KIND_GPR_XMM, /* r 32 or 64, xmm/mem */
    HK_SSE_KIND_MASK,    /* r32, xmm */
    HK_SSE_KIND_MASK_MM, /* r32, mm */
    HK_SSE_KIND_FLAGS,   /* RFLAGS from xmm, xmm/mem */
    /* C code. _ST: the destination is ModRM.rm. */
    HK_SSE_KIND_MOV16,
    HK_SSE_KIND_MOV16_ST,
    HK_SSE_KIND_MOVSS,
    HK_SSE_KIND_MOVSS_ST,
    HK_SSE_KIND_MOVSD,
    HK_SSE_KIND_MOVSD_ST,
    HK_SSE_KIND_MOVLO, /* low half from memory or, MOVHLPS, a high half */
    HK_SSE_KIND_MOVLO_ST,
    HK_SSE_KIND_MOVHI, /* high half from memory or, MOVLHPS, a low half */
    HK_SSE_KIND_MOVHI_ST,
    HK_SSE_KIND_MOVQ,
    HK_SSE_KIND_MOVQ_ST,
    HK_SSE_KIND_MOVD, /* xmm, r/mem 32 or 64 */
    HK_SSE_KIND_MOVD_ST,
    HK_SSE_KIND_MOVQ_MM,
    HK_SSE_KIND_MOVQ_MM_ST,
    HK_SSE_KIND_MOVD_MM, /* mm, r/mem 32 or 64 */
    HK_SSE_KIND_MOVD_MM_ST,
    HK_SSE_KIND_MOVDQ2Q, /* mm, xmm */
    HK_SSE_KIND_MOVQ2DQ, /* xmm, mm */
    HK_SSE_KIND_MASKMOV, /* DS:rDI, xmm, xmm */
    HK_SSE_KIND_MASKMOV_MM,
    /* Host routines with an immediate. */
    HK_SSE_KIND_XMMI,
    HK_SSE_KIND_INSERTPS, /* as XMMI but memory is one float */
    HK_SSE_KIND_MMXI,
    HK_SSE_KIND_SHIFT,    /* xmm is ModRM.rm */
    HK_SSE_KIND_SHIFT_MM, /* mm is ModRM.rm */
    HK_SSE_KIND_ESTRM,
    HK_SSE_KIND_ESTRI,
    HK_SSE_KIND_ISTRM,
    HK_SSE_KIND_ISTRI,
    /* C code with an immediate. */
    HK_SSE_KIND_PINSRB,
    HK_SSE_KIND_PINSRW,
    HK_SSE_KIND_PINSRD, /* 32 or 64 */
    HK_SSE_KIND_PINSRW_MM,
    HK_SSE_KIND_PEXTRB, /* r/mem, xmm */
    HK_SSE_KIND_PEXTRW, /* r/mem, xmm */
    HK_SSE_KIND_PEXTRD, /* r/mem 32 or 64, xmm */
    HK_SSE_KIND_EXTRACTPS,
    HK_SSE_KIND_PEXTRW_R,  /* r, xmm */
    HK_SSE_KIND_PEXTRW_MM, /* r, mm */
};

enum {
    HK_SSE_PLAIN = 0,
    HK_SSE_ALIGN = 1, /* #GP unless memory is aligned to 16 bytes */
    HK_SSE_FP = 2,    /* may raise a SIMD floating-point exception */
    HK_SSE_ALIGN_FP = HK_SSE_ALIGN | HK_SSE_FP,
};

/* A host routine, see sse_stubs.S. */
typedef uint64_t (*hk_sse_stub)(void *reg, const void *rm, const void *xmm0);

struct hk_sse_form {
    const char *name; /* the mnemonic */
    uint8_t map, prefix, opcode;
    int8_t modrm_ext; /* /0 to /7, or -1 */
    uint8_t feature;  /* enum hk_sse_feature */
    uint8_t mem_size; /* bytes of the memory operand, 0 if none allowed */
    bool reg_ok;      /* the r/m operand may be a register */
    bool has_imm;     /* an 8-bit immediate follows */
    uint8_t kind;     /* enum hk_sse_kind */
    uint8_t traits;   /* HK_SSE_ALIGN, HK_SSE_FP */
    hk_sse_stub stub; /* NULL for the kinds in C */
};

/*
 * The form for these fields, or NULL. `prefix` is 0, 0x66, 0xf2 or 0xf3;
 * `map` 1, 2 or 3 as in struct hk_insn. Called by the decoder after the
 * integer tables did not claim the opcode. A form that the host cannot run is
 * not found, so that it raises #UD.
 */
const struct hk_sse_form *hk_sse_find(unsigned map, unsigned prefix,
                                      unsigned opcode, unsigned modrm);

/* All forms, for tests. */
const struct hk_sse_form *hk_sse_forms(size_t *count);

/* True when this host can run forms of that feature. */
bool hk_sse_host_has(enum hk_sse_feature feature);

#endif
