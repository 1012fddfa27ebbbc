/*
 * x87 instructions.
 *
 * The frequent ones have handlers that run one host instruction on 80-bit
 * registers in memory (x87_stubs.S), as long as nothing unusual is going on:
 * every exception masked, no register missing or in the way. Everything else
 * goes through hk_x87_exact, which is right for all cases and slower.
 *
 * The host's sticky flags are a subset of the guest's (hk_x87_update clears
 * them when the guest's are cleared), so a routine's status word may simply
 * be ORed in.
 */
#include "cpu/x87_int.h"

#include "base/endian.h"

typedef uint32_t (*x87_stub)(void *a, const void *b);

#define X(shape, name, insn) \
    uint32_t hk_x87_stub_##name(void *a, const void *b);
#include "cpu/x87_stubs.def"
#undef X

#define STUB(u) ((x87_stub)(uintptr_t)(u)->imm)

/* ---- the stack -------------------------------------------------------- */

HK_INLINE unsigned phys(const struct hk_cpu *c, unsigned i)
{
    return (c->fpu.top + i) & 7;
}

HK_INLINE uint8_t *st(struct hk_cpu *c, unsigned i)
{
    return c->fpu.st[phys(c, i)];
}

HK_INLINE bool has(const struct hk_cpu *c, unsigned i)
{
    return c->fpu.tag >> phys(c, i) & 1;
}

/* All masked, so that no exception can be pending either. */
HK_INLINE bool all_masked(const struct hk_cpu *c)
{
    return (c->fpu.cw & HK_X87_EXC) == HK_X87_EXC;
}

HK_INLINE void pop(struct hk_cpu *c)
{
    c->fpu.tag &= (uint8_t) ~(1u << c->fpu.top);
    c->fpu.top = (c->fpu.top + 1) & 7;
}

HK_INLINE void push(struct hk_cpu *c)
{
    c->fpu.top = (c->fpu.top - 1) & 7;
    c->fpu.tag |= (uint8_t)(1u << c->fpu.top);
}

/* Takes C1 and new exception flags from a status word; `codes` are further
 * condition codes to take. */
HK_INLINE void take_status(struct hk_cpu *c, const struct hk_uop *u,
                           uint32_t sw, unsigned codes)
{
    codes |= HK_X87_C1;
    c->fpu.sw = (uint16_t)((c->fpu.sw & ~codes) | (sw & (codes | HK_X87_EXC)));
    hk_x87_note(c, u);
}

#define EXACT_UNLESS(cond)    \
    if (hk_unlikely(!(cond))) \
        return hk_x87_exact(c, u);

#define HANDLER(name) \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u)

#define SRC_M(size)                                  \
    const void *src = hk_sse_src(c, u, size, false); \
    if (hk_unlikely(src == NULL))                    \
        return hk_uop_fault(c, u);

/* ---- arithmetic ------------------------------------------------------- */

/* uop src: destination in bits 0-2, source in bits 4-6, pop in bit 8. */
HANDLER(arith_reg)
{
    const unsigned d = u->src & 7, s = u->src >> 4 & 7;
    EXACT_UNLESS(all_masked(c) && has(c, d) && has(c, s))
    take_status(c, u, STUB(u)(st(c, d), st(c, s)), 0);
    if (u->src & 0x100)
        pop(c);
    HK_NEXT(c, u);
}

#define ARITH_MEM(size)                      \
    EXACT_UNLESS(all_masked(c) && has(c, 0)) \
    SRC_M(size)                              \
    take_status(c, u, STUB(u)(st(c, 0), src), 0);
HANDLER(arith_mem2)
{
    ARITH_MEM(2)
    HK_NEXT(c, u);
}

HANDLER(arith_mem4)
{
    ARITH_MEM(4)
    HK_NEXT(c, u);
}

HANDLER(arith_mem8)
{
    ARITH_MEM(8)
    HK_NEXT(c, u);
}

HANDLER(unary)
{
    EXACT_UNLESS(all_masked(c) && has(c, 0))
    take_status(c, u, STUB(u)(st(c, 0), NULL), 0);
    HK_NEXT(c, u);
}

/* Sign bits: uop src is ANDed, then imm is XORed. */
HANDLER(sign)
{
    EXACT_UNLESS(all_masked(c) && has(c, 0))
    uint8_t *top = st(c, 0) + 9;
    *top = (uint8_t)((*top & u->src) ^ u->imm);
    take_status(c, u, 0, 0);
    HK_NEXT(c, u);
}

/* ---- comparing -------------------------------------------------------- */

enum { CODES = HK_X87_C0 | HK_X87_C2 | HK_X87_C3 };

/* uop src: the register in bits 0-2, how often to pop in bits 4-5. */
HK_INLINE void pops(struct hk_cpu *c, const struct hk_uop *u)
{
    for (unsigned n = u->src >> 4; n > 0; n--)
        pop(c);
}

HANDLER(compare_reg)
{
    const unsigned s = u->src & 7;
    EXACT_UNLESS(all_masked(c) && has(c, 0) && has(c, s))
    take_status(c, u, STUB(u)(st(c, 0), st(c, s)), CODES);
    pops(c, u);
    HK_NEXT(c, u);
}

#define COMPARE_MEM(size)                             \
    EXACT_UNLESS(all_masked(c) && has(c, 0))          \
    SRC_M(size)                                       \
    take_status(c, u, STUB(u)(st(c, 0), src), CODES); \
    pops(c, u);
HANDLER(compare_mem2)
{
    COMPARE_MEM(2)
    HK_NEXT(c, u);
}

HANDLER(compare_mem4)
{
    COMPARE_MEM(4)
    HK_NEXT(c, u);
}

HANDLER(compare_mem8)
{
    COMPARE_MEM(8)
    HK_NEXT(c, u);
}

/* FCOMI: C0, C2 and C3 are where c->fl has CF, PF and ZF. Hardware leaves C1
 * alone unless the stack underflows. */
_Static_assert(CODES == (HK_FL_CF | HK_FL_PF | HK_FL_ZF), "");
HANDLER(compare_flags)
{
    const unsigned s = u->src & 7;
    EXACT_UNLESS(all_masked(c) && has(c, 0) && has(c, s))
    const uint32_t sw = STUB(u)(st(c, 0), st(c, s));
    c->fl = (uint16_t)((sw & CODES) | HK_FL_FIXED);
    c->fpu.sw |= (uint16_t)(sw & HK_X87_EXC);
    hk_x87_note(c, u);
    pops(c, u);
    HK_NEXT(c, u);
}

/* ---- loads and stores ------------------------------------------------- */

#define LOAD_MEM(size)                            \
    EXACT_UNLESS(all_masked(c) && !has(c, 7))     \
    SRC_M(size)                                   \
    take_status(c, u, STUB(u)(st(c, 7), src), 0); \
    push(c);
HANDLER(load_mem2)
{
    LOAD_MEM(2)
    HK_NEXT(c, u);
}

HANDLER(load_mem4)
{
    LOAD_MEM(4)
    HK_NEXT(c, u);
}

HANDLER(load_mem8)
{
    LOAD_MEM(8)
    HK_NEXT(c, u);
}

HANDLER(load_mem10)
{
    EXACT_UNLESS(all_masked(c) && !has(c, 7))
    SRC_M(10)
    memcpy(st(c, 7), src, 10);
    take_status(c, u, 0, 0);
    push(c);
    HK_NEXT(c, u);
}

HANDLER(load_const)
{
    EXACT_UNLESS(all_masked(c) && !has(c, 7))
    take_status(c, u, STUB(u)(st(c, 7), NULL) & ~(uint32_t)HK_X87_C1, 0);
    push(c);
    HK_NEXT(c, u);
}

HANDLER(load_st)
{
    EXACT_UNLESS(all_masked(c) && has(c, u->src) && !has(c, 7))
    memcpy(st(c, 7), st(c, u->src), 10);
    take_status(c, u, 0, 0);
    push(c);
    HK_NEXT(c, u);
}

/* The flags of a store that faults must not stay in the host. */
static HK_NOINLINE struct hk_uop *store_fault(struct hk_cpu *c,
                                              struct hk_uop *u)
{
    hk_x87_update(c);
    return hk_uop_fault(c, u);
}

/* uop src: pop. */
#define STORE_MEM(bits)                                                     \
    EXACT_UNLESS(all_masked(c) && has(c, 0))                                \
    const uint32_t sw = STUB(u)(st(c, 0), c->fpu.scratch);                  \
    if (hk_unlikely(                                                        \
            !hk_st##bits(c, hk_ea(c, u), hk_get_le##bits(c->fpu.scratch)))) \
        return store_fault(c, u);                                           \
    take_status(c, u, sw, 0);                                               \
    if (u->src)                                                             \
        pop(c);
HANDLER(store_mem2)
{
    STORE_MEM(16)
    HK_NEXT(c, u);
}

HANDLER(store_mem4)
{
    STORE_MEM(32)
    HK_NEXT(c, u);
}

HANDLER(store_mem8)
{
    STORE_MEM(64)
    HK_NEXT(c, u);
}

HANDLER(store_mem10)
{
    EXACT_UNLESS(all_masked(c) && has(c, 0))
    void *to = hk_wptr(c, hk_ea(c, u), 10);
    if (hk_likely(to != NULL))
        memcpy(to, st(c, 0), 10);
    else if (!hk_x87_store10(c, hk_ea(c, u), st(c, 0)))
        return hk_uop_fault(c, u);
    take_status(c, u, 0, 0);
    pop(c);
    HK_NEXT(c, u);
}

/* uop src: the register in bits 0-2, pop in bit 4. */
HANDLER(store_st)
{
    const unsigned d = u->src & 7;
    EXACT_UNLESS(all_masked(c) && has(c, 0))
    if (d != 0)
        memcpy(st(c, d), st(c, 0), 10);
    c->fpu.tag |= (uint8_t)(1u << phys(c, d));
    take_status(c, u, 0, 0);
    if (u->src & 0x10)
        pop(c);
    HK_NEXT(c, u);
}

HANDLER(exchange)
{
    EXACT_UNLESS(all_masked(c) && has(c, 0) && has(c, u->src))
    memcpy(c->fpu.scratch, st(c, 0), 16);
    memcpy(st(c, 0), st(c, u->src), 16);
    memcpy(st(c, u->src), c->fpu.scratch, 16);
    take_status(c, u, 0, 0);
    HK_NEXT(c, u);
}

/* ---- choosing a handler ----------------------------------------------- */

struct choice {
    hk_uop_fn fn;
    x87_stub stub;
    uint16_t src;
    uint8_t imm; /* for `sign` */
};

/* By ModRM.reg of the arithmetic opcodes; compares have their own. */
static const x87_stub arith_stubs[8] = {
    hk_x87_stub_fadd,
    hk_x87_stub_fmul,
    NULL,
    NULL,
    hk_x87_stub_fsub,
    hk_x87_stub_fsubr,
    hk_x87_stub_fdiv,
    hk_x87_stub_fdivr,
};

/* Memory operands of D8, DA, DC and DE. */
static struct choice choose_arith_mem(unsigned opcode, unsigned reg)
{
#define ROW(add, mul, com, sub, subr, div, divr)                      \
    {                                                                 \
        hk_x87_stub_##add, hk_x87_stub_##mul, hk_x87_stub_##com,      \
            hk_x87_stub_##com, hk_x87_stub_##sub, hk_x87_stub_##subr, \
            hk_x87_stub_##div, hk_x87_stub_##divr                     \
    }
    static const x87_stub stubs[4][8] = {
        ROW(fadd32, fmul32, fcom32, fsub32, fsubr32, fdiv32, fdivr32),
        ROW(fiadd32, fimul32, ficom32, fisub32, fisubr32, fidiv32, fidivr32),
        ROW(fadd64, fmul64, fcom64, fsub64, fsubr64, fdiv64, fdivr64),
        ROW(fiadd16, fimul16, ficom16, fisub16, fisubr16, fidiv16, fidivr16),
    };
#undef ROW
    static const hk_uop_fn arith[4] = {arith_mem4, arith_mem4, arith_mem8,
                                       arith_mem2};
    static const hk_uop_fn compare[4] = {compare_mem4, compare_mem4,
                                         compare_mem8, compare_mem2};
    const unsigned row = opcode / 2;
    const bool compares = reg == 2 || reg == 3;
    return (struct choice){
        .fn = compares ? compare[row] : arith[row],
        .stub = stubs[row][reg],
        .src = reg == 3 ? 0x10 : 0,
    };
}

/* Memory operands of D9, DB, DD and DF. */
static struct choice choose_move_mem(unsigned opcode, unsigned reg)
{
#define M(handler, routine, pops)               \
    {                                           \
        handler, hk_x87_stub_##routine, pops, 0 \
    }
    static const struct choice moves[4][8] = {
        {M(load_mem4, fld32, 0),
         {0},
         M(store_mem4, fst32, 0),
         M(store_mem4, fst32, 1)},
        {M(load_mem4, fild32, 0),
         M(store_mem4, fistt32, 1),
         M(store_mem4, fist32, 0),
         M(store_mem4, fist32, 1),
         {0},
         {load_mem10, NULL, 0, 0},
         {0},
         {store_mem10, NULL, 0, 0}},
        {M(load_mem8, fld64, 0), M(store_mem8, fistt64, 1),
         M(store_mem8, fst64, 0), M(store_mem8, fst64, 1)},
        {M(load_mem2, fild16, 0),
         M(store_mem2, fistt16, 1),
         M(store_mem2, fist16, 0),
         M(store_mem2, fist16, 1),
         {0},
         M(load_mem8, fild64, 0),
         {0},
         M(store_mem8, fist64, 1)},
    };
#undef M
    return moves[opcode / 2][reg];
}

/* Register forms of D8, DC and DE: the latter two have the operands the
 * other way round, so that the reversed forms change places. */
static struct choice choose_arith_reg(unsigned opcode, unsigned reg, unsigned i)
{
    if (reg == 2 || reg == 3) {
        if (opcode == 6 && reg == 3) /* FCOMPP */
            return (struct choice){compare_reg, hk_x87_stub_fcom, 0x21, 0};
        const unsigned count = reg == 3 || opcode == 6;
        return (struct choice){compare_reg, hk_x87_stub_fcom,
                               (uint16_t)(i | count << 4), 0};
    }
    if (opcode == 0)
        return (struct choice){arith_reg, arith_stubs[reg], (uint16_t)(i << 4),
                               0};
    return (struct choice){arith_reg, arith_stubs[reg < 4 ? reg : reg ^ 1],
                           (uint16_t)(i | (opcode == 6 ? 0x100 : 0)), 0};
}

/* Register forms of D9. */
static struct choice choose_d9(unsigned modrm)
{
    static const x87_stub constants[] = {hk_x87_stub_fld1,   hk_x87_stub_fldl2t,
                                         hk_x87_stub_fldl2e, hk_x87_stub_fldpi,
                                         hk_x87_stub_fldlg2, hk_x87_stub_fldln2,
                                         hk_x87_stub_fldz};
    if (modrm < 0xc8)
        return (struct choice){load_st, NULL, modrm & 7, 0};
    if (modrm < 0xd0)
        return (struct choice){exchange, NULL, modrm & 7, 0};
    if (modrm >= 0xe8 && modrm <= 0xee)
        return (struct choice){load_const, constants[modrm - 0xe8], 0, 0};
    switch (modrm) {
    case 0xe0:
        return (struct choice){sign, NULL, 0xff, 0x80};
    case 0xe1:
        return (struct choice){sign, NULL, 0x7f, 0};
    case 0xfa:
        return (struct choice){unary, hk_x87_stub_fsqrt, 0, 0};
    case 0xfc:
        return (struct choice){unary, hk_x87_stub_frndint, 0, 0};
    default:
        return (struct choice){0};
    }
}

/* Register forms of DA, DB, DD and DF. */
static struct choice choose_odd(unsigned opcode, unsigned modrm)
{
    const uint16_t i = modrm & 7;
    switch (opcode << 8 | (modrm & 0xf8)) {
    case 0x2e8: /* FUCOMPP */
        return (struct choice){compare_reg, hk_x87_stub_fucom, 0x21, 0};
    case 0x3e8:
        return (struct choice){compare_flags, hk_x87_stub_fucom, i, 0};
    case 0x3f0:
        return (struct choice){compare_flags, hk_x87_stub_fcom, i, 0};
    case 0x5d0:
        return (struct choice){store_st, NULL, i, 0};
    case 0x5d8:
        return (struct choice){store_st, NULL, i | 0x10, 0};
    case 0x5e0:
        return (struct choice){compare_reg, hk_x87_stub_fucom, i, 0};
    case 0x5e8:
        return (struct choice){compare_reg, hk_x87_stub_fucom, i | 0x10, 0};
    case 0x7e8:
        return (struct choice){compare_flags, hk_x87_stub_fucom, i | 0x10, 0};
    case 0x7f0:
        return (struct choice){compare_flags, hk_x87_stub_fcom, i | 0x10, 0};
    default:
        return (struct choice){0};
    }
}

static struct choice choose(unsigned fop)
{
    const unsigned opcode = fop >> 8, modrm = fop & 0xff;
    const unsigned reg = modrm >> 3 & 7;
    if (modrm < 0xc0)
        return opcode & 1 ? choose_move_mem(opcode, reg)
                          : choose_arith_mem(opcode, reg);
    if (opcode == 0 || opcode == 4 || opcode == 6)
        return choose_arith_reg(opcode, reg, modrm & 7);
    return opcode == 1 ? choose_d9(modrm) : choose_odd(opcode, modrm);
}

/* ---- emitting --------------------------------------------------------- */

/* Bit n: the register forms 0xc0 + 8 * n of that opcode are undefined; D9, DA,
 * DB, DE and DF have single ones as well. */
static bool is_undefined(unsigned fop)
{
    const unsigned opcode = fop >> 8, modrm = fop & 0xff;
    if (modrm < 0xc0)
        return hk_x87_mem_size(fop) == 0;
    switch (opcode) {
    case 1:
        return (modrm > 0xd0 && modrm < 0xd8) || modrm == 0xe2 ||
               modrm == 0xe3 || modrm == 0xe6 || modrm == 0xe7 || modrm == 0xef;
    case 2:
        return modrm >= 0xe0 && modrm != 0xe9;
    case 3:
        return (modrm >= 0xe5 && modrm < 0xe8) || modrm >= 0xf8;
    case 5:
        return modrm >= 0xf0;
    case 6:
        return modrm >= 0xd8 && modrm < 0xe0 && modrm != 0xd9;
    case 7:
        return (modrm > 0xe0 && modrm < 0xe8) || modrm >= 0xf8;
    default:
        return false;
    }
}

/* FCMOV reads the flags and FCOMI writes them. */
static unsigned info_of(unsigned fop)
{
    const unsigned opcode = fop >> 8, modrm = fop & 0xff;
    if ((opcode == 2 || opcode == 3) && modrm >= 0xc0 && modrm < 0xe0)
        return HK_UF_FAULTS | HK_UF_READS;
    if ((opcode == 3 || opcode == 7) && modrm >= 0xe8)
        return HK_UF_FAULTS | HK_UF_WRITES;
    return HK_UF_FAULTS;
}

static void emit_operation(struct hk_builder *b, unsigned fop)
{
    const struct choice choice = choose(fop);
    const int size = fop % 256 < 0xc0 ? hk_x87_mem_size(fop) : 0;
    struct hk_mem_ref m = {0};
    if (size > 0)
        m = hk_emit_mem(b, (uint32_t)size, HK_ACC_READ);
    else if (size < 0)
        m = hk_emit_mem(b, (uint32_t)-size, HK_ACC_WRITE);
    struct hk_uop *u =
        hk_emit(b, choice.fn ? choice.fn : hk_x87_exact, info_of(fop));
    u->dst = (uint16_t)fop;
    u->src = choice.src;
    u->imm = choice.stub ? (uintptr_t)choice.stub : choice.imm;
    if (size != 0)
        hk_use_mem(u, m);
    if (size < 0)
        hk_emit_forget_fault(b);
}

void hk_emit_x87(struct hk_builder *b, const struct hk_insn *i)
{
    const unsigned fop = hk_x87_fop(i);
    const hk_slow_fn control = hk_x87_control(fop);
    if (b->mode & (HK_MODE_FP_NM | HK_MODE_FP_EM))
        hk_emit_raise(b, HK_VEC_NM);
    else if (control != NULL)
        hk_emit_slow(b, control, false);
    else if (is_undefined(fop))
        hk_emit_raise(b, HK_VEC_UD);
    else
        emit_operation(b, fop);
}

static struct hk_uop *fwait(struct hk_cpu *c, struct hk_uop *u)
{
    const uint64_t both = HK_CR0_MP | HK_CR0_TS;
    if ((c->cr0 & both) == both) {
        hk_fault(c, HK_VEC_NM);
        return hk_uop_fault(c, u);
    }
    if (c->fpu.sw & HK_X87_ES) {
        hk_fault(c, HK_VEC_MF);
        return hk_uop_fault(c, u);
    }
    HK_NEXT(c, u);
}

void hk_emit_fwait(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit(b, fwait, HK_UF_FAULTS);
}
