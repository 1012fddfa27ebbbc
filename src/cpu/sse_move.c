/*
 * SSE and MMX instructions that only move bytes: moves, inserts, extracts and
 * the masked stores. They need no host routine.
 *
 * Nearly all are a copy of 1 to 16 bytes from one offset of the register file
 * to another, or a load or store at such an offset, with or without clearing
 * what is above. The emitters work out the offsets.
 */
#include "cpu/sse_int.h"

#include "base/endian.h"

struct bytes16 {
    HK_ALIGNED(16) uint64_t half[2];
};

HK_INLINE struct bytes16 *vec(struct hk_cpu *c, unsigned offset)
{
    return hk_reg(c, offset);
}

#define HANDLER(name, body)                                        \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        body HK_NEXT(c, u);                                        \
    }

#define OR_FAULT(done)        \
    if (hk_unlikely(!(done))) \
        return hk_uop_fault(c, u);

/* Register to register: part of the destination, */
HANDLER(copy8, HK_R8(c, u->dst) = HK_R8(c, u->src);)
HANDLER(copy16, HK_R16(c, u->dst) = HK_R16(c, u->src);)
HANDLER(copy32, HK_R32(c, u->dst) = HK_R32(c, u->src);)
HANDLER(copy64, HK_R64(c, u->dst) = HK_R64(c, u->src);)
HANDLER(copy128, *vec(c, u->dst) = *vec(c, u->src);)
/* zero extended to 64 bits, */
HANDLER(wide8, HK_R64(c, u->dst) = HK_R8(c, u->src);)
HANDLER(wide16, HK_R64(c, u->dst) = HK_R16(c, u->src);)
HANDLER(wide32, HK_R64(c, u->dst) = HK_R32(c, u->src);)
/* and to 128. */
HANDLER(full32, *vec(c, u->dst) = (struct bytes16){{HK_R32(c, u->src)}};)
HANDLER(full64, *vec(c, u->dst) = (struct bytes16){{HK_R64(c, u->src)}};)

/* Loads of a part, and zero extended to 128 bits. */
#define LOADED(bits)      \
    uint##bits##_t value; \
    OR_FAULT(hk_ld##bits(c, hk_ea(c, u), &value))
HANDLER(load8, LOADED(8) HK_R8(c, u->dst) = value;)
HANDLER(load16, LOADED(16) HK_R16(c, u->dst) = value;)
HANDLER(load32, LOADED(32) HK_R32(c, u->dst) = value;)
HANDLER(load64, LOADED(64) HK_R64(c, u->dst) = value;)
HANDLER(load_full32, LOADED(32) * vec(c, u->dst) = (struct bytes16){{value}};)
HANDLER(load_full64, LOADED(64) * vec(c, u->dst) = (struct bytes16){{value}};)

HANDLER(store8, OR_FAULT(hk_st8(c, hk_ea(c, u), HK_R8(c, u->src))))
HANDLER(store16, OR_FAULT(hk_st16(c, hk_ea(c, u), HK_R16(c, u->src))))
HANDLER(store32, OR_FAULT(hk_st32(c, hk_ea(c, u), HK_R32(c, u->src))))
HANDLER(store64, OR_FAULT(hk_st64(c, hk_ea(c, u), HK_R64(c, u->src))))

/* Sixteen bytes, at any address or at an aligned one. */
#define LOAD128(aligned)                             \
    const void *src = hk_sse_src(c, u, 16, aligned); \
    OR_FAULT(src != NULL)                            \
    memcpy(hk_reg(c, u->dst), src, 16);
HANDLER(load128, LOAD128(false))
HANDLER(load128_aligned, LOAD128(true))

HK_INLINE bool put128(struct hk_cpu *c, const struct hk_uop *u, bool aligned)
{
    const uint64_t la = hk_ea(c, u);
    const void *from = hk_reg(c, u->src);
    if (aligned && hk_unlikely(la & 15))
        return hk_fault_err(c, HK_VEC_GP, 0);
    void *p = hk_wptr(c, la, 16);
    if (hk_likely(p != NULL)) {
        memcpy(p, from, 16);
        return true;
    }
    return hk_mem_write_bytes(c, la, from, 16, HK_ACC_WRITE);
}

HANDLER(store128, OR_FAULT(put128(c, u, false)))
HANDLER(store128_aligned, OR_FAULT(put128(c, u, true)))

/* ---- on a TLB hit ------------------------------------------------------- */

/* The frequent loads and stores without a call behind them; the handlers
 * above are their slow twins. Whole registers are written in one piece, or
 * the next reader would wait for the pieces to reach the cache. */
typedef uint64_t vec128 __attribute__((vector_size(16), may_alias));

HK_INLINE void set_full(struct hk_cpu *c, unsigned offset, uint64_t value)
{
    *(vec128 *)hk_reg(c, offset) = (vec128){value, 0};
}

#define FAST_LOAD128(name, slow, ea, align)                        \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        const uint64_t la = ea(c, u);                              \
        const void *p;                                             \
        if (hk_unlikely(!hk_rhit(c, la, 16, &p)) ||                \
            hk_unlikely((la & (align)) != 0))                      \
            return slow(c, u);                                     \
        memcpy(hk_reg(c, u->dst), p, 16);                          \
        HK_NEXT(c, u);                                             \
    }

#define FAST_STORE128(name, slow, ea, align)                       \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        const uint64_t la = ea(c, u);                              \
        void *p;                                                   \
        if (hk_unlikely(!hk_whit(c, la, 16, &p)) ||                \
            hk_unlikely((la & (align)) != 0))                      \
            return slow(c, u);                                     \
        memcpy(p, hk_reg(c, u->src), 16);                          \
        HK_NEXT(c, u);                                             \
    }

#define FAST_MOVES(ea, tag)                                                 \
    FAST_LOAD128(load128_##tag, load128, ea, 0)                             \
    FAST_LOAD128(load128_aligned_##tag, load128_aligned, ea, 15)            \
    FAST_STORE128(store128_##tag, store128, ea, 0)                          \
    FAST_STORE128(store128_aligned_##tag, store128_aligned, ea, 15)         \
    HK_FAST_LOAD(full32_##tag, load_full32, 32, ea, set_full(c, u->dst, v)) \
    HK_FAST_LOAD(full64_##tag, load_full64, 64, ea, set_full(c, u->dst, v)) \
    HK_FAST_STORE(store32_##tag, store32, 32, ea, HK_R32(c, u->src))        \
    HK_FAST_STORE(store64_##tag, store64, 64, ea, HK_R64(c, u->src))

FAST_MOVES(hk_ea, any)
FAST_MOVES(hk_ea_flat, flat)

#define FAST_ROW(slow, name)        \
    {                               \
        slow,                       \
        {                           \
            name##_any, name##_flat \
        }                           \
    }
static const struct {
    hk_uop_fn slow, fast[2];
} fast_moves[] = {
    FAST_ROW(load128, load128),    FAST_ROW(load128_aligned, load128_aligned),
    FAST_ROW(store128, store128),  FAST_ROW(store128_aligned, store128_aligned),
    FAST_ROW(load_full32, full32), FAST_ROW(load_full64, full64),
    FAST_ROW(store32, store32),    FAST_ROW(store64, store64),
};

static hk_uop_fn fast_move(hk_uop_fn slow, struct hk_mem_ref m)
{
    for (size_t n = 0; n < HK_COUNT(fast_moves); n++) {
        if (fast_moves[n].slow == slow)
            return fast_moves[n].fast[hk_mem_is_flat(m)];
    }
    return slow;
}

/* ---- MMX -------------------------------------------------------------- */

/* Around the move: a pending x87 exception first. A load that faults changes
 * nothing, but hardware has reset TOP before a store faults, and before a
 * masked one even set the tags. */
#define MM_HANDLER(name, body) \
    HANDLER(name, OR_FAULT(hk_mmx_begin(c)) body hk_mmx_enter(c);)
#define MM_STORER(name, body) MM_HANDLER(name, c->fpu.top = 0; body)
#define MM_WRITER(name, body) \
    MM_HANDLER(name, body hk_mmx_wrote((uint8_t *)vec(c, u->dst & ~15u));)

MM_WRITER(mm_copy16, HK_R16(c, u->dst) = HK_R16(c, u->src);)
MM_WRITER(mm_copy64, HK_R64(c, u->dst) = HK_R64(c, u->src);)
MM_WRITER(mm_wide32, HK_R64(c, u->dst) = HK_R32(c, u->src);)
MM_WRITER(mm_load16, LOADED(16) HK_R16(c, u->dst) = value;)
MM_WRITER(mm_load32, LOADED(32) HK_R64(c, u->dst) = value;)
MM_WRITER(mm_load64, LOADED(64) HK_R64(c, u->dst) = value;)
MM_HANDLER(mm_get16, HK_R64(c, u->dst) = HK_R16(c, u->src);)
MM_HANDLER(mm_get32, HK_R64(c, u->dst) = HK_R32(c, u->src);)
MM_HANDLER(mm_get64, HK_R64(c, u->dst) = HK_R64(c, u->src);)
MM_HANDLER(mm_full64, *vec(c, u->dst) = (struct bytes16){{HK_R64(c, u->src)}};)
MM_STORER(mm_store32, OR_FAULT(hk_st32(c, hk_ea(c, u), HK_R32(c, u->src))))
MM_STORER(mm_store64, OR_FAULT(hk_st64(c, hk_ea(c, u), HK_R64(c, u->src))))

/* Outside 64-bit mode the address can fault as well: this goes before it. */
HANDLER(mm_before_store, OR_FAULT(hk_mmx_begin(c)) c->fpu.top = 0;)
HANDLER(mm_before_masked, OR_FAULT(hk_mmx_begin(c)) hk_mmx_enter(c);)

HK_INLINE bool address_can_fault(const struct hk_builder *b)
{
    return (b->mode & HK_MODE_SIZE) != HK_CODE64;
}

/* ---- masked stores ---------------------------------------------------- */

/* Writes the bytes of `from` whose mask byte has its top bit set. All of the
 * operand must be writable, whatever is selected; hardware looks at its halves
 * of 8 bytes, the upper one first. A fault writes nothing. With 32-bit
 * addresses the operand may wrap around: `wrap` cuts its linear addresses. */
static bool masked_store(struct hk_cpu *c, uint64_t la, const uint8_t *from,
                         const uint8_t *mask, unsigned size, uint64_t wrap)
{
    for (unsigned i = size; i > 0;) {
        i -= 8;
        if (!hk_mem_probe(c, (la + i) & wrap, 8, HK_ACC_WRITE))
            return false;
    }
    for (unsigned i = 0; i < size; i++) {
        if (mask[i] & 0x80 &&
            !hk_mem_write(c, (la + i) & wrap, 1, HK_ACC_WRITE, from[i]))
            return false;
    }
    return true;
}

#define MASKED(size)                                         \
    OR_FAULT(masked_store(c, hk_ea(c, u), hk_reg(c, u->src), \
                          hk_reg(c, u->dst), size, u->imm))
HANDLER(maskmov, MASKED(16))
MM_HANDLER(mm_maskmov, hk_mmx_enter(c); MASKED(8))

/* The memory operand DS:[rDI] is implied. */
static void emit_maskmov(struct hk_builder *b, const struct hk_insn *i)
{
    const bool mm = i->sse->kind == HK_SSE_KIND_MASKMOV_MM;
    struct hk_insn with_mem = *i;
    with_mem.is_mem = true;
    with_mem.base = 7;
    with_mem.index = HK_REG_NONE;
    with_mem.scale = 0;
    with_mem.disp = 0;
    if (mm && address_can_fault(b))
        hk_emit(b, mm_before_masked, HK_UF_FAULTS);
    b->insn = &with_mem;
    const struct hk_mem_ref m = hk_emit_mem(b, mm ? 8 : 16, HK_ACC_WRITE);
    b->insn = i;
    struct hk_uop *u = hk_emit(b, mm ? mm_maskmov : maskmov, HK_UF_FAULTS);
    hk_use_mem(u, m);
    /* A segment base moves the place of the wrap beyond what is kept here. */
    bool wraps =
        address_can_fault(b) ||
        (i->addrsize == 4 && i->seg != HK_SEG_FS && i->seg != HK_SEG_GS);
    u->imm = wraps ? 0xffffffff : ~0ull;
    u->src = mm ? hk_mm_offset(i->reg) : hk_xmm_offset(i->reg);
    u->dst = mm ? hk_mm_offset(i->rm) : hk_xmm_offset(i->rm);
}

/* ---- emitting --------------------------------------------------------- */

/* A move by its handlers for register and memory; `size` of the latter. */
struct move {
    hk_uop_fn reg, mem;
    uint16_t dst, src;
    uint8_t size;
    bool is_store;
    bool is_mmx;
};

static bool is_wide(const struct hk_insn *i)
{
    return (i->rex & 8) != 0;
}

/* Moves into an XMM register that is ModRM.reg. */
static bool find_load(const struct hk_insn *i, struct move *m)
{
    const uint16_t dst = hk_xmm_offset(i->reg), src = hk_xmm_offset(i->rm);
    const uint16_t gpr = hk_gpr_offset(i->rm);
    switch (i->sse->kind) {
    case HK_SSE_KIND_MOV16:
        *m = (struct move){copy128, load128, dst, src, 16};
        if (i->sse->traits & HK_SSE_ALIGN)
            m->mem = load128_aligned;
        return true;
    case HK_SSE_KIND_MOVSS:
        *m = (struct move){copy32, load_full32, dst, src, 4};
        return true;
    case HK_SSE_KIND_MOVSD:
        *m = (struct move){copy64, load_full64, dst, src, 8};
        return true;
    case HK_SSE_KIND_MOVQ:
        *m = (struct move){full64, load_full64, dst, src, 8};
        return true;
    case HK_SSE_KIND_MOVLO:
        *m = (struct move){copy64, load64, dst, (uint16_t)(src + 8), 8};
        return true;
    case HK_SSE_KIND_MOVHI:
        *m = (struct move){copy64, load64, (uint16_t)(dst + 8), src, 8};
        return true;
    case HK_SSE_KIND_MOVD:
        if (is_wide(i))
            *m = (struct move){full64, load_full64, dst, gpr, 8};
        else
            *m = (struct move){full32, load_full32, dst, gpr, 4};
        return true;
    default:
        return false;
    }
}

/* Moves out of an XMM register that is ModRM.reg. */
static bool find_store(const struct hk_insn *i, struct move *m)
{
    const uint16_t src = hk_xmm_offset(i->reg), dst = hk_xmm_offset(i->rm);
    const uint16_t gpr = hk_gpr_offset(i->rm);
    switch (i->sse->kind) {
    case HK_SSE_KIND_MOV16_ST:
        *m = (struct move){copy128, store128, dst, src, 16, true};
        if (i->sse->traits & HK_SSE_ALIGN)
            m->mem = store128_aligned;
        return true;
    case HK_SSE_KIND_MOVSS_ST:
        *m = (struct move){copy32, store32, dst, src, 4, true};
        return true;
    case HK_SSE_KIND_MOVSD_ST:
        *m = (struct move){copy64, store64, dst, src, 8, true};
        return true;
    case HK_SSE_KIND_MOVQ_ST:
        *m = (struct move){full64, store64, dst, src, 8, true};
        return true;
    case HK_SSE_KIND_MOVLO_ST:
        *m = (struct move){NULL, store64, dst, src, 8, true};
        return true;
    case HK_SSE_KIND_MOVHI_ST:
        *m = (struct move){NULL, store64, dst, (uint16_t)(src + 8), 8, true};
        return true;
    case HK_SSE_KIND_MOVD_ST:
        if (is_wide(i))
            *m = (struct move){copy64, store64, gpr, src, 8, true};
        else
            *m = (struct move){wide32, store32, gpr, src, 4, true};
        return true;
    default:
        return false;
    }
}

/* Inserts and extracts; the immediate becomes part of the offset. */
static bool find_element(const struct hk_insn *i, struct move *m)
{
    const unsigned imm = (unsigned)i->imm;
    const unsigned xmm = hk_xmm_offset(i->reg);
    const uint16_t gpr = hk_gpr_offset(i->rm);
    const uint16_t at8 = (uint16_t)(xmm + (imm & 15));
    const uint16_t at16 = (uint16_t)(xmm + 2 * (imm & 7));
    const uint16_t at32 = (uint16_t)(xmm + 4 * (imm & 3));
    const uint16_t at64 = (uint16_t)(xmm + 8 * (imm & 1));
    switch (i->sse->kind) {
    case HK_SSE_KIND_PINSRB:
        *m = (struct move){copy8, load8, at8, gpr, 1};
        return true;
    case HK_SSE_KIND_PINSRW:
        *m = (struct move){copy16, load16, at16, gpr, 2};
        return true;
    case HK_SSE_KIND_PINSRD:
        if (is_wide(i))
            *m = (struct move){copy64, load64, at64, gpr, 8};
        else
            *m = (struct move){copy32, load32, at32, gpr, 4};
        return true;
    case HK_SSE_KIND_PEXTRB:
        *m = (struct move){wide8, store8, gpr, at8, 1, true};
        return true;
    case HK_SSE_KIND_PEXTRW:
        *m = (struct move){wide16, store16, gpr, at16, 2, true};
        return true;
    case HK_SSE_KIND_PEXTRD:
        if (is_wide(i)) {
            *m = (struct move){copy64, store64, gpr, at64, 8, true};
            return true;
        }
        HK_FALLTHROUGH;
    case HK_SSE_KIND_EXTRACTPS:
        *m = (struct move){wide32, store32, gpr, at32, 4, true};
        return true;
    case HK_SSE_KIND_PEXTRW_R:
        *m = (struct move){wide16, NULL, hk_gpr_offset(i->reg),
                           (uint16_t)(hk_xmm_offset(i->rm) + 2 * (imm & 7)), 2};
        return true;
    default:
        return false;
    }
}

static void find_mmx(const struct hk_insn *i, struct move *m)
{
    const uint16_t reg = hk_mm_offset(i->reg), rm = hk_mm_offset(i->rm);
    const uint16_t gpr = hk_gpr_offset(i->rm);
    const uint16_t word = (uint16_t)(2 * (i->imm & 3));
    switch (i->sse->kind) {
    case HK_SSE_KIND_MOVQ_MM:
        *m = (struct move){mm_copy64, mm_load64, reg, rm, 8};
        break;
    case HK_SSE_KIND_MOVQ_MM_ST:
        *m = (struct move){mm_copy64, mm_store64, rm, reg, 8, true};
        break;
    case HK_SSE_KIND_MOVD_MM:
        if (is_wide(i))
            *m = (struct move){mm_copy64, mm_load64, reg, gpr, 8};
        else
            *m = (struct move){mm_wide32, mm_load32, reg, gpr, 4};
        break;
    case HK_SSE_KIND_MOVD_MM_ST:
        if (is_wide(i))
            *m = (struct move){mm_get64, mm_store64, gpr, reg, 8, true};
        else
            *m = (struct move){mm_get32, mm_store32, gpr, reg, 4, true};
        break;
    case HK_SSE_KIND_MOVDQ2Q:
        *m = (struct move){mm_copy64, NULL, reg, hk_xmm_offset(i->rm), 8};
        break;
    case HK_SSE_KIND_MOVQ2DQ:
        *m = (struct move){mm_full64, NULL, hk_xmm_offset(i->reg), rm, 8};
        break;
    case HK_SSE_KIND_PINSRW_MM:
        *m =
            (struct move){mm_copy16, mm_load16, (uint16_t)(reg + word), gpr, 2};
        break;
    default: /* HK_SSE_KIND_PEXTRW_MM */
        *m = (struct move){mm_get16, NULL, hk_gpr_offset(i->reg),
                           (uint16_t)(rm + word), 2};
        break;
    }
    m->is_mmx = true;
}

void hk_emit_sse_move(struct hk_builder *b, const struct hk_insn *i)
{
    struct move m;
    struct hk_mem_ref ref = {0};
    if (i->sse->kind == HK_SSE_KIND_MASKMOV ||
        i->sse->kind == HK_SSE_KIND_MASKMOV_MM) {
        emit_maskmov(b, i);
        return;
    }
    if (!find_load(i, &m) && !find_store(i, &m) && !find_element(i, &m))
        find_mmx(i, &m);
    if (i->is_mem && m.is_mmx && m.is_store && address_can_fault(b))
        hk_emit(b, mm_before_store, HK_UF_FAULTS);
    if (i->is_mem)
        ref = hk_emit_mem(b, m.size, m.is_store ? HK_ACC_WRITE : HK_ACC_READ);
    struct hk_uop *u = hk_emit(b, i->is_mem ? fast_move(m.mem, ref) : m.reg,
                               i->is_mem || m.is_mmx ? HK_UF_FAULTS : 0);
    if (i->is_mem)
        hk_use_mem(u, ref);
    u->dst = m.dst;
    u->src = m.src;
}
