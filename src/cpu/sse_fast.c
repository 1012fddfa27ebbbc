/*
 * The frequent SSE instructions without the detour through a host routine.
 *
 * Each form here is a handler that holds the host's instruction itself, for a
 * register and for a memory operand that the TLB has. Everything out of the
 * ordinary (a miss, a misaligned operand, unmasked exceptions) goes to the
 * general handler in sse.c, which finds the form's routine in the same uop.
 *
 * Only forms of the x86-64 baseline: this file is compiled for any host.
 */
#include "cpu/sse_int.h"

typedef float vec __attribute__((vector_size(16), may_alias));
typedef float one __attribute__((may_alias));
typedef double two __attribute__((may_alias));

HK_INLINE bool unmasked(const struct hk_cpu *c)
{
    return hk_unlikely((c->fpu.mxcsr & HK_MXCSR_MASKS) != HK_MXCSR_MASKS);
}

#define FAST_R(id, mnemonic, special)                                \
    static struct hk_uop *id##_r(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                \
        if (special)                                                 \
            return hk_sse_general_r(c, u);                           \
        vec *to = hk_reg(c, u->dst);                                 \
        vec d = *to;                                                 \
        __asm__(mnemonic " %1,%0"                                    \
                : "+x"(d)                                            \
                : "x"(*(const vec *)hk_reg(c, u->src)));             \
        *to = d;                                                     \
        HK_NEXT(c, u);                                               \
    }

#define FAST_M(id, mnemonic, special, kind, ea, type, size, align)        \
    static struct hk_uop *id##_##kind(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                     \
        const uint64_t la = ea(c, u);                                     \
        const void *p;                                                    \
        if (hk_unlikely(!hk_rhit(c, la, size, &p)) ||                     \
            hk_unlikely((la & (align)) != 0) || special)                  \
            return hk_sse_general_##size(c, u);                           \
        vec *to = hk_reg(c, u->dst);                                      \
        vec d = *to;                                                      \
        __asm__(mnemonic " %1,%0" : "+x"(d) : "m"(*(const type *)p));     \
        *to = d;                                                          \
        HK_NEXT(c, u);                                                    \
    }

#define FAST(id, mnemonic, special, type, size, align)         \
    FAST_R(id, mnemonic, special)                              \
    FAST_M(id, mnemonic, special, m, hk_ea, type, size, align) \
    FAST_M(id, mnemonic, special, f, hk_ea_flat, type, size, align)

/* X(id of sse_forms.def): scalar float and double, packed float or double,
 * and what raises nothing. */
/* clang-format off */
#define FORMS_SS(X)                                                        \
    X(addss) X(subss) X(mulss) X(divss) X(minss) X(maxss) X(sqrtss)        \
    X(cvtss2sd)
#define FORMS_SD(X)                                                        \
    X(addsd) X(subsd) X(mulsd) X(divsd) X(minsd) X(maxsd) X(sqrtsd)        \
    X(cvtsd2ss)
#define FORMS_FP(X)                                                        \
    X(addps) X(subps) X(mulps) X(divps) X(minps) X(maxps) X(sqrtps)        \
    X(addpd) X(subpd) X(mulpd) X(divpd) X(minpd) X(maxpd) X(sqrtpd)
#define FORMS_PLAIN(X)                                                     \
    X(andps) X(andnps) X(orps) X(xorps) X(andpd) X(andnpd) X(orpd)         \
    X(xorpd) X(unpcklps) X(unpckhps) X(unpcklpd) X(unpckhpd) X(pand)       \
    X(pandn) X(por) X(pxor) X(paddb) X(paddw) X(paddd) X(paddq) X(psubb)   \
    X(psubw) X(psubd) X(psubq) X(pmullw) X(pmulhw) X(pmulhuw) X(pmuludq)   \
    X(pmaddwd) X(pcmpeqb) X(pcmpeqw) X(pcmpeqd) X(pcmpgtb) X(pcmpgtw)      \
    X(pcmpgtd) X(pminub) X(pmaxub) X(pminsw) X(pmaxsw) X(pavgb) X(pavgw)   \
    X(psadbw) X(punpcklbw) X(punpcklwd) X(punpckldq) X(punpcklqdq)         \
    X(punpckhbw) X(punpckhwd) X(punpckhdq) X(punpckhqdq) X(packsswb)       \
    X(packssdw) X(packuswb)
/* clang-format on */

#define MAKE_SS(id) FAST(id, #id, unmasked(c), one, 4, 0)
#define MAKE_SD(id) FAST(id, #id, unmasked(c), two, 8, 0)
#define MAKE_FP(id) FAST(id, #id, unmasked(c), vec, 16, 15)
#define MAKE_PLAIN(id) FAST(id, #id, false, vec, 16, 15)

FORMS_SS(MAKE_SS)
FORMS_SD(MAKE_SD)
FORMS_FP(MAKE_FP)
FORMS_PLAIN(MAKE_PLAIN)

#define DECLARE(id) \
    uint64_t hk_sse_stub_##id(void *, const void *, const void *);
FORMS_SS(DECLARE)
FORMS_SD(DECLARE)
FORMS_FP(DECLARE)
FORMS_PLAIN(DECLARE)

struct fast_form {
    hk_sse_stub stub; /* names the form */
    hk_uop_fn reg, mem, flat;
};

#define ROW(id) {hk_sse_stub_##id, id##_r, id##_m, id##_f},
static const struct fast_form forms[] = {FORMS_SS(ROW) FORMS_SD(ROW)
                                             FORMS_FP(ROW) FORMS_PLAIN(ROW)};

hk_uop_fn hk_sse_fast_find(const struct hk_insn *i, struct hk_mem_ref m)
{
    for (size_t n = 0; n < HK_COUNT(forms); n++) {
        const struct fast_form *f = &forms[n];
        if (f->stub != i->sse->stub)
            continue;
        if (!i->is_mem)
            return f->reg;
        return hk_mem_is_flat(m) ? f->flat : f->mem;
    }
    return NULL;
}
