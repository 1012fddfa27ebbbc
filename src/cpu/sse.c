/*
 * MMX and SSE instructions that run as themselves on the host.
 *
 * A handler finds its operands, which are pointers into the register file or
 * straight into guest RAM, and calls the form's host routine (sse_stubs.S).
 * Handlers differ in where the second operand comes from and in what happens
 * to the result, so they are made by macros and chosen from a table.
 *
 * Floating-point exceptions: the host runs with all of them masked and
 * collects the guest's sticky flags by itself. Only when the guest has
 * unmasked one do the arithmetic forms take the way through run_checked.
 */
#include "cpu/sse_int.h"

#include "cpu/sse_abi.h"

const void *hk_sse_src_slow(struct hk_cpu *c, uint64_t la, uint32_t size)
{
    if (!hk_mem_read_bytes(c, la, c->fpu.scratch, size, HK_ACC_READ))
        return NULL;
    return c->fpu.scratch;
}

/* ---- unmasked floating-point exceptions ------------------------------- */

HK_INLINE bool has_unmasked(const struct hk_cpu *c)
{
    return (c->fpu.mxcsr & HK_MXCSR_MASKS) != HK_MXCSR_MASKS;
}

/*
 * The flags that the instruction raises as the hardware reports them. Those
 * found before the operation (invalid, denormal, divide by zero) stop it, so
 * that none of the others is seen.
 */
static uint32_t reported(uint32_t flags, uint32_t unmasked)
{
    const uint32_t early = 0x07;
    return flags & unmasked & early ? flags & early : flags;
}

/*
 * Runs a host routine on a copy of its destination, to see the exceptions
 * before there is a result. With underflow unmasked a tiny result counts even
 * if it is exact, which masked hardware shows only when it flushes to zero.
 * The routine's value goes to the TMP slot. (With underflow or overflow
 * unmasked, hardware may not report precision where this does; and DPPS and
 * DPPD report only the flags of the step that stopped them.)
 */
static HK_NOINLINE bool run_checked(struct hk_cpu *c, const struct hk_uop *u,
                                    const void *src)
{
    const uint32_t old = hk_mxcsr_get(c);
    const uint32_t unmasked = ~old >> 7 & HK_MXCSR_EXC;
    struct hk_sse_buf copy;
    void *dst = hk_reg(c, u->dst);
    memcpy(copy.bytes, dst, sizeof(copy.bytes));

    uint32_t trial = (old | HK_MXCSR_MASKS) & ~(uint32_t)HK_MXCSR_EXC;
    if (!(old & HK_MXCSR_UM))
        trial |= HK_MXCSR_FTZ;
    __builtin_ia32_ldmxcsr(trial);
    c->r[HK_SLOT_TMP] = ((hk_sse_stub)u->imm)(copy.bytes, src, c->fpu.xmm[0]);
    const uint32_t flags =
        reported(__builtin_ia32_stmxcsr() & HK_MXCSR_EXC, unmasked);
    hk_mxcsr_set(c, old | flags);

    if (flags & unmasked)
        return hk_fault(c, c->cr4 & HK_CR4_OSXMMEXCPT ? HK_VEC_XM : HK_VEC_UD);
    memcpy(dst, copy.bytes, sizeof(copy.bytes));
    return true;
}

/* ---- handlers --------------------------------------------------------- */

/* Where the second operand comes from. */
#define SRC_R const void *src = hk_reg(c, u->src);
#define SRC_M(size, aligned)                           \
    const void *src = hk_sse_src(c, u, size, aligned); \
    if (hk_unlikely(src == NULL))                      \
        return hk_uop_fault(c, u);

/* Running the routine. */
#define RUN_PLAIN \
    const uint64_t value = STUB(u)(hk_reg(c, u->dst), src, c->fpu.xmm[0]);
#define RUN_FP                                                  \
    uint64_t value;                                             \
    if (hk_unlikely(has_unmasked(c))) {                         \
        if (!run_checked(c, u, src))                            \
            return hk_uop_fault(c, u);                          \
        value = c->r[HK_SLOT_TMP];                              \
    } else {                                                    \
        value = STUB(u)(hk_reg(c, u->dst), src, c->fpu.xmm[0]); \
    }
#define STUB(u) ((hk_sse_stub)(uintptr_t)(u)->imm)

/* What happens to the result. */
#define TO_XMM (void)value;
#define TO_GPR HK_R64(c, u->dst) = value;
#define TO_FLAGS c->fl = (uint16_t)(value << 8);

#define HANDLER(name, source, run, result)                         \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        source run result HK_NEXT(c, u);                           \
    }

/* By source: register, 2, 4, 8 bytes, 16 aligned. */
enum { FROM_R, FROM_2, FROM_4, FROM_8, FROM_16, FROM_COUNT };

#define HANDLERS(name, run, result)                                          \
    HANDLER(name##_r, SRC_R, run, result)                                    \
    HANDLER(name##_2, SRC_M(2, false), run, result)                          \
    HANDLER(name##_4, SRC_M(4, false), run, result)                          \
    HANDLER(name##_8, SRC_M(8, false), run, result)                          \
    HANDLER(name##_16, SRC_M(16, true), run, result)                         \
    static const hk_uop_fn name[FROM_COUNT] = {name##_r, name##_2, name##_4, \
                                               name##_8, name##_16};

HANDLERS(to_xmm, RUN_PLAIN, TO_XMM)
HANDLERS(to_xmm_fp, RUN_FP, TO_XMM)
struct hk_uop *hk_sse_general_r(struct hk_cpu *c, struct hk_uop *u)
{
    return to_xmm_fp_r(c, u);
}

struct hk_uop *hk_sse_general_4(struct hk_cpu *c, struct hk_uop *u)
{
    return to_xmm_fp_4(c, u);
}

struct hk_uop *hk_sse_general_8(struct hk_cpu *c, struct hk_uop *u)
{
    return to_xmm_fp_8(c, u);
}

struct hk_uop *hk_sse_general_16(struct hk_cpu *c, struct hk_uop *u)
{
    return to_xmm_fp_16(c, u);
}

HANDLERS(to_gpr, RUN_FP, TO_GPR)
HANDLERS(to_flags, RUN_FP, TO_FLAGS)

/* PTEST and the masks raise nothing. */
HANDLER(ptest_r, SRC_R, RUN_PLAIN, TO_FLAGS)
HANDLER(ptest_16, SRC_M(16, true), RUN_PLAIN, TO_FLAGS)
HANDLER(mask_r, SRC_R, RUN_PLAIN, TO_GPR)

/* MMX instructions are rare: one body does for all. */
HK_INLINE struct hk_uop *mmx_run(struct hk_cpu *c, struct hk_uop *u,
                                 const void *src)
{
    uint8_t *mm = hk_reg(c, u->dst);
    STUB(u)(mm, src, NULL);
    hk_mmx_enter(c);
    hk_mmx_wrote(mm);
    HK_NEXT(c, u);
}

#define MMX_BEGIN         \
    if (!hk_mmx_begin(c)) \
        return hk_uop_fault(c, u);

#define MMX_HANDLER(name, source)                                  \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        MMX_BEGIN source return mmx_run(c, u, src);                \
    }

MMX_HANDLER(mmx_r, SRC_R)
MMX_HANDLER(mmx_4, SRC_M(4, false))
MMX_HANDLER(mmx_8, SRC_M(8, false))

static struct hk_uop *mask_mm(struct hk_cpu *c, struct hk_uop *u)
{
    MMX_BEGIN
    HK_R64(c, u->dst) = STUB(u)(NULL, hk_reg(c, u->src), NULL);
    hk_mmx_enter(c);
    HK_NEXT(c, u);
}

/* Conversions enter the MMX state even if they then raise #XM. CVTPI2PS and
 * CVTPI2PD do so only from a register. */
static struct hk_uop *xmm_from_mm(struct hk_cpu *c, struct hk_uop *u)
{
    MMX_BEGIN
    hk_mmx_enter(c);
    if (!run_checked(c, u, hk_reg(c, u->src)))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}

#define MM_FROM_XMM(name, source)                                  \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        MMX_BEGIN source hk_mmx_enter(c);                          \
        if (!run_checked(c, u, src))                               \
            return hk_uop_fault(c, u);                             \
        hk_mmx_wrote(hk_reg(c, u->dst));                           \
        HK_NEXT(c, u);                                             \
    }

MM_FROM_XMM(mm_from_xmm_r, SRC_R)
MM_FROM_XMM(mm_from_xmm_8, SRC_M(8, false))
MM_FROM_XMM(mm_from_xmm_16, SRC_M(16, true))

/* ---- string compares -------------------------------------------------- */

/* The third argument of their routines, see sse_stubs.S. */
struct string_arg {
    HK_ALIGNED(16) int32_t length[2];
    HK_ALIGNED(16) uint8_t mask[16];
};

/* A 64-bit length saturates like a 32-bit one: beyond 16 all are equal. */
static int32_t clamp_length(uint64_t reg, bool wide)
{
    const int64_t length = wide ? (int64_t)reg : (int32_t)reg;
    return length > 99 ? 99 : length < -99 ? -99 : (int32_t)length;
}

enum { STR_WIDE = 1, STR_INDEX = 2 };

static HK_NOINLINE void string_run(struct hk_cpu *c, const struct hk_uop *u,
                                   const void *src, unsigned traits)
{
    struct string_arg arg;
    arg.length[0] = clamp_length(c->r[0], traits & STR_WIDE);
    arg.length[1] = clamp_length(c->r[2], traits & STR_WIDE);
    const uint64_t value = STUB(u)(hk_reg(c, u->dst), src, &arg);
    c->fl = hk_fl_from_rf((uint32_t)value);
    if (traits & STR_INDEX)
        c->r[1] = value >> 32;
    else
        memcpy(c->fpu.xmm[0], arg.mask, sizeof(arg.mask));
}

#define STRING_HANDLERS(name, traits)                                  \
    static struct hk_uop *name##_r(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                  \
        SRC_R string_run(c, u, src, traits);                           \
        HK_NEXT(c, u);                                                 \
    }                                                                  \
    static struct hk_uop *name##_m(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                  \
        SRC_M(16, false) string_run(c, u, src, traits);                \
        HK_NEXT(c, u);                                                 \
    }

STRING_HANDLERS(string_mask, 0)
STRING_HANDLERS(string_mask_wide, STR_WIDE)
STRING_HANDLERS(string_index, STR_INDEX)
STRING_HANDLERS(string_index_wide, STR_INDEX | STR_WIDE)

static hk_uop_fn string_handler(const struct hk_insn *i)
{
    static const hk_uop_fn table[2][2][2] = {
        {{string_mask_r, string_mask_m},
         {string_mask_wide_r, string_mask_wide_m}},
        {{string_index_r, string_index_m},
         {string_index_wide_r, string_index_wide_m}},
    };
    const unsigned kind = i->sse->kind;
    const bool index = kind == HK_SSE_KIND_ESTRI || kind == HK_SSE_KIND_ISTRI;
    return table[index][(i->rex & 8) != 0][i->is_mem];
}

/* ---- emitting --------------------------------------------------------- */

static unsigned source_of(const struct hk_insn *i, uint32_t size)
{
    if (!i->is_mem)
        return FROM_R;
    switch (size) {
    case 2:
        return FROM_2;
    case 4:
        return FROM_4;
    case 8:
        return FROM_8;
    default:
        return FROM_16;
    }
}

/* The routine for this immediate and operand size. */
static uintptr_t routine_of(const struct hk_insn *i)
{
    const uintptr_t base = (uintptr_t)i->sse->stub;
    const unsigned imm = (uint8_t)i->imm;
    switch (i->sse->kind) {
    case HK_SSE_KIND_XMM_GPR:
    case HK_SSE_KIND_GPR_XMM:
        return base + (i->rex & 8 ? HK_SSE_SLOT : 0);
    case HK_SSE_KIND_SHIFT:
    case HK_SSE_KIND_SHIFT_MM:
        return base + HK_SSE_SLOT * (imm < 64 ? imm : 64);
    case HK_SSE_KIND_ESTRM:
    case HK_SSE_KIND_ESTRI:
    case HK_SSE_KIND_ISTRM:
    case HK_SSE_KIND_ISTRI:
        return base + HK_SSE_WIDE_SLOT * imm;
    default:
        return i->sse->has_imm ? base + HK_SSE_SLOT * imm : base;
    }
}

static uint32_t memory_size(const struct hk_insn *i)
{
    if (i->sse->kind == HK_SSE_KIND_XMM_GPR && i->rex & 8)
        return 8;
    return i->sse->mem_size;
}

static hk_uop_fn handler_of(const struct hk_insn *i)
{
    const unsigned from = source_of(i, memory_size(i));
    const bool fp = i->sse->traits & HK_SSE_FP;
    switch (i->sse->kind) {
    case HK_SSE_KIND_MMX:
    case HK_SSE_KIND_MMXI:
    case HK_SSE_KIND_SHIFT_MM:
        return from == FROM_R ? mmx_r : from == FROM_4 ? mmx_4 : mmx_8;
    case HK_SSE_KIND_MM_XMM:
        return from == FROM_R   ? mm_from_xmm_r
               : from == FROM_8 ? mm_from_xmm_8
                                : mm_from_xmm_16;
    case HK_SSE_KIND_XMM_MM:
        return from == FROM_R ? xmm_from_mm : to_xmm_fp[from];
    case HK_SSE_KIND_MASK:
        return mask_r;
    case HK_SSE_KIND_MASK_MM:
        return mask_mm;
    case HK_SSE_KIND_GPR_XMM:
        return to_gpr[from];
    case HK_SSE_KIND_FLAGS:
        if (!fp)
            return from == FROM_R ? ptest_r : ptest_16;
        return to_flags[from];
    case HK_SSE_KIND_ESTRM:
    case HK_SSE_KIND_ESTRI:
    case HK_SSE_KIND_ISTRM:
    case HK_SSE_KIND_ISTRI:
        return string_handler(i);
    default:
        return fp ? to_xmm_fp[from] : to_xmm[from];
    }
}

/* The register operands, as offsets. INSERTPS takes one float, which the
 * immediate selects if the source is a register. */
static void set_registers(struct hk_uop *u, const struct hk_insn *i)
{
    const unsigned kind = i->sse->kind;
    u->dst = hk_xmm_offset(i->reg);
    u->src = hk_xmm_offset(i->rm);
    switch (kind) {
    case HK_SSE_KIND_MMX:
    case HK_SSE_KIND_MMXI:
        u->dst = hk_mm_offset(i->reg);
        u->src = hk_mm_offset(i->rm);
        break;
    case HK_SSE_KIND_SHIFT_MM:
        u->dst = hk_mm_offset(i->rm);
        break;
    case HK_SSE_KIND_SHIFT:
        u->dst = hk_xmm_offset(i->rm);
        break;
    case HK_SSE_KIND_XMM_MM:
        u->src = hk_mm_offset(i->rm);
        break;
    case HK_SSE_KIND_MM_XMM:
        u->dst = hk_mm_offset(i->reg);
        break;
    case HK_SSE_KIND_XMM_GPR:
        u->src = hk_gpr_offset(i->rm);
        break;
    case HK_SSE_KIND_GPR_XMM:
    case HK_SSE_KIND_MASK:
        u->dst = hk_gpr_offset(i->reg);
        break;
    case HK_SSE_KIND_MASK_MM:
        u->dst = hk_gpr_offset(i->reg);
        u->src = hk_mm_offset(i->rm);
        break;
    case HK_SSE_KIND_INSERTPS:
        u->src = (uint16_t)(u->src + 4 * (i->imm >> 6 & 3));
        break;
    }
}

/* What the builder must know: FP forms may raise #XM, MMX forms #MF. */
static unsigned info_of(const struct hk_insn *i)
{
    unsigned info = 0;
    switch (i->sse->kind) {
    case HK_SSE_KIND_FLAGS:
    case HK_SSE_KIND_ESTRM:
    case HK_SSE_KIND_ESTRI:
    case HK_SSE_KIND_ISTRM:
    case HK_SSE_KIND_ISTRI:
        info = HK_UF_WRITES;
        break;
    case HK_SSE_KIND_MMX:
    case HK_SSE_KIND_MMXI:
    case HK_SSE_KIND_SHIFT_MM:
    case HK_SSE_KIND_MASK_MM:
    case HK_SSE_KIND_XMM_MM:
    case HK_SSE_KIND_MM_XMM:
        info = HK_UF_FAULTS;
        break;
    }
    if (i->is_mem || i->sse->traits & HK_SSE_FP)
        info |= HK_UF_FAULTS;
    return info;
}

static void emit_routine(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_mem_ref m = {0};
    if (i->is_mem)
        m = hk_emit_mem(b, memory_size(i), HK_ACC_READ);
    hk_uop_fn fn = hk_sse_fast_find(i, m);
    if (fn == NULL)
        fn = handler_of(i);
    struct hk_uop *u = hk_emit(b, fn, info_of(i));
    u->imm = routine_of(i);
    set_registers(u, i);
    if (i->is_mem)
        hk_use_mem(u, m);
}

static bool uses_xmm(const struct hk_sse_form *form)
{
    switch (form->kind) {
    case HK_SSE_KIND_MMX:
    case HK_SSE_KIND_MMXI:
    case HK_SSE_KIND_MASK_MM:
    case HK_SSE_KIND_SHIFT_MM:
    case HK_SSE_KIND_MOVQ_MM:
    case HK_SSE_KIND_MOVQ_MM_ST:
    case HK_SSE_KIND_MOVD_MM:
    case HK_SSE_KIND_MOVD_MM_ST:
    case HK_SSE_KIND_MASKMOV_MM:
    case HK_SSE_KIND_PINSRW_MM:
    case HK_SSE_KIND_PEXTRW_MM:
        return false;
    default:
        return true;
    }
}

void hk_emit_sse(struct hk_builder *b, const struct hk_insn *i)
{
    if (b->mode & HK_MODE_FP_EM ||
        (b->mode & HK_MODE_SSE_UD && uses_xmm(i->sse)))
        hk_emit_raise(b, HK_VEC_UD);
    else if (b->mode & HK_MODE_FP_NM)
        hk_emit_raise(b, HK_VEC_NM);
    else if (i->sse->stub != NULL)
        emit_routine(b, i);
    else
        hk_emit_sse_move(b, i);
}

/* ---- EMMS ------------------------------------------------------------- */

static struct hk_uop *emms(struct hk_cpu *c, struct hk_uop *u)
{
    MMX_BEGIN
    c->fpu.tag = 0;
    c->fpu.top = 0;
    HK_NEXT(c, u);
}

void hk_emit_emms(struct hk_builder *b, const struct hk_insn *i)
{
    if (b->mode & HK_MODE_FP_EM)
        hk_emit_raise(b, HK_VEC_UD);
    else if (b->mode & HK_MODE_FP_NM)
        hk_emit_raise(b, HK_VEC_NM);
    else
        hk_emit(b, emms, HK_UF_FAULTS);
}
