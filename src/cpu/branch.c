/*
 * Near control transfer: JMP, Jcc, CALL, RET, LOOP, JCXZ.
 *
 * Exits of a block are linked to their targets as they are first taken;
 * computed targets go through the jump cache (block_int.h).
 */
#include "cpu/alu_int.h"
#include "cpu/block_int.h"
#include "cpu/mem_int.h"
#include "cpu/uop_int.h"

#include <string.h>

enum { SS_SLOT = HK_SLOT_SEG + HK_SEG_SS };

static void emit_link(struct hk_builder *b)
{
    (void)hk_emit(b, hk_uop_leave, HK_UF_FAULTS);
}

static bool is_64(const struct hk_builder *b)
{
    return (b->mode & HK_MODE_SIZE) == HK_CODE64;
}

/* Targets outside 64-bit mode wrap at the operand size, kept in `src`. */
HK_INLINE uint64_t mask_ip(uint64_t ip, unsigned opsize)
{
    return opsize == 2 ? (uint16_t)ip : (uint32_t)ip;
}

static bool beyond_limit(struct hk_cpu *c, uint64_t ip)
{
    if ((c->mode & HK_MODE_CSLIM) == 0 || ip <= c->seg[HK_SEG_CS].limit)
        return false;
    (void)hk_fault_err(c, HK_VEC_GP, 0);
    return true;
}

/* ---- JMP
 * --------------------------------------------------------------------- */

static struct hk_uop *jmp64(struct hk_cpu *c, struct hk_uop *u)
{
    return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->imm, u + 1);
}

/* Any target that could need a check: non-canonical, segmented. */
static struct hk_uop *jmp_checked(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t ip = c->r[HK_SLOT_RIP] + u->imm;
    if (u->src != 8)
        ip = mask_ip(ip, u->src);
    if (beyond_limit(c, ip))
        return hk_uop_fault(c, u);
    return hk_exit_direct(c, ip, u + 1);
}

static void emit_jump(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_uop *u = hk_emit(b, is_64(b) ? jmp64 : jmp_checked, HK_UF_FAULTS);
    u->imm = i->imm + b->next;
    u->src = i->opsize;
    emit_link(b);
    b->ended = true;
}

void hk_emit_jmp(struct hk_builder *b, const struct hk_insn *i)
{
    emit_jump(b, i);
}

static struct hk_uop *jmp_ind(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t ip = HK_R64(c, u->src);
    if (hk_unlikely(!hk_is_canonical(ip))) {
        (void)hk_fault_err(c, HK_VEC_GP, 0);
        return hk_uop_fault(c, u);
    }
    return hk_exit_indirect(c, ip);
}

static struct hk_uop *jmp_ind_checked(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t ip = mask_ip(HK_R64(c, u->src), u->dst);
    if (beyond_limit(c, ip))
        return hk_uop_fault(c, u);
    return hk_exit_indirect(c, ip);
}

void hk_emit_jmp_ind(struct hk_builder *b, const struct hk_insn *i)
{
    uint16_t src = hk_emit_operand(b, 0, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u =
        hk_emit(b, is_64(b) ? jmp_ind : jmp_ind_checked, HK_UF_FAULTS);
    u->src = src;
    u->dst = i->opsize;
    b->ended = true;
}

/* ---- Jcc
 * ----------------------------------------------------------------------- */

#define JCC(cc)                                                          \
    static struct hk_uop *jcc_##cc(struct hk_cpu *c, struct hk_uop *u)   \
    {                                                                    \
        if (hk_cond(c->fl, cc))                                          \
            return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->imm, u + 1); \
        return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->next, u + 2);    \
    }

JCC(0)
JCC(1)
JCC(2)
JCC(3)
JCC(4)
JCC(5)
JCC(6)
JCC(7)
JCC(8)
JCC(9)
JCC(10)
JCC(11)
JCC(12)
JCC(13)
JCC(14)
JCC(15)

/* ---- CMP or TEST with Jcc in one uop ----------------------------------------
 */

/*
 * The most frequent pair of instructions there is. The flags are still
 * written, since what follows may read them; the branch uses the operands.
 */
#define FUSED_CC(name, bits, cc, calc, b_value, taken)                     \
    static struct hk_uop *name##bits##_##cc(struct hk_cpu *c,              \
                                            struct hk_uop *u)              \
    {                                                                      \
        uint##bits##_t a = HK_R##bits(c, u->dst);                          \
        uint##bits##_t b = (b_value);                                      \
        (void)calc(a, b, &c->fl);                                          \
        if (taken)                                                         \
            return hk_exit_direct(                                         \
                c, c->r[HK_SLOT_RIP] + (uint64_t)(int64_t)u->disp, u + 1); \
        return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->next, u + 2);      \
    }

/* Conditions by operands: O, S and P go by the flags. */
#define FUSED_SET(name, bits, calc, b_value, aa, bb)            \
    FUSED_CC(name, bits, 0, calc, b_value, hk_cond(c->fl, 0))   \
    FUSED_CC(name, bits, 1, calc, b_value, hk_cond(c->fl, 1))   \
    FUSED_CC(name, bits, 2, calc, b_value, (aa) < (bb))         \
    FUSED_CC(name, bits, 3, calc, b_value, (aa) >= (bb))        \
    FUSED_CC(name, bits, 4, calc, b_value, (aa) == (bb))        \
    FUSED_CC(name, bits, 5, calc, b_value, (aa) != (bb))        \
    FUSED_CC(name, bits, 6, calc, b_value, (aa) <= (bb))        \
    FUSED_CC(name, bits, 7, calc, b_value, (aa) > (bb))         \
    FUSED_CC(name, bits, 8, calc, b_value, hk_cond(c->fl, 8))   \
    FUSED_CC(name, bits, 9, calc, b_value, hk_cond(c->fl, 9))   \
    FUSED_CC(name, bits, 10, calc, b_value, hk_cond(c->fl, 10)) \
    FUSED_CC(name, bits, 11, calc, b_value, hk_cond(c->fl, 11)) \
    FUSED_CC(name, bits, 12, calc, b_value,                     \
             (int##bits##_t)(aa) < (int##bits##_t)(bb))         \
    FUSED_CC(name, bits, 13, calc, b_value,                     \
             (int##bits##_t)(aa) >= (int##bits##_t)(bb))        \
    FUSED_CC(name, bits, 14, calc, b_value,                     \
             (int##bits##_t)(aa) <= (int##bits##_t)(bb))        \
    FUSED_CC(name, bits, 15, calc, b_value,                     \
             (int##bits##_t)(aa) > (int##bits##_t)(bb))

#define FUSED_SIZE(bits)                                                \
    FUSED_SET(cmp_rr, bits, hk_cmp##bits, HK_R##bits(c, u->src), a, b)  \
    FUSED_SET(cmp_ri, bits, hk_cmp##bits, (uint##bits##_t)u->imm, a, b) \
    FUSED_SET(test_rr, bits, hk_test##bits, HK_R##bits(c, u->src),      \
              (uint##bits##_t)(a & b), (uint##bits##_t)0)               \
    FUSED_SET(test_ri, bits, hk_test##bits, (uint##bits##_t)u->imm,     \
              (uint##bits##_t)(a & b), (uint##bits##_t)0)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits"
FUSED_SIZE(8)
FUSED_SIZE(32)
FUSED_SIZE(64)
#pragma GCC diagnostic pop

#define FUSED_ROW(name, bits)                                                  \
    {                                                                          \
        name##bits##_0, name##bits##_1, name##bits##_2, name##bits##_3,        \
            name##bits##_4, name##bits##_5, name##bits##_6, name##bits##_7,    \
            name##bits##_8, name##bits##_9, name##bits##_10, name##bits##_11,  \
            name##bits##_12, name##bits##_13, name##bits##_14, name##bits##_15 \
    }
#define FUSED_ROWS(name)                                             \
    {                                                                \
        FUSED_ROW(name, 8), FUSED_ROW(name, 32), FUSED_ROW(name, 64) \
    }

/* [CMP or TEST][register or immediate][size 8, 32, 64][condition] */
static const hk_uop_fn fused[2][2][3][16] = {
    {FUSED_ROWS(cmp_rr), FUSED_ROWS(cmp_ri)},
    {FUSED_ROWS(test_rr), FUSED_ROWS(test_ri)}};

/* Turns the compare just emitted into the branch, if it is of that kind. */
static bool fuse(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_compare cmp;
    if (b->count == 0 || !hk_alu_is_compare(b->uops[b->count - 1].fn, &cmp) ||
        (int64_t)(i->imm + b->next) != (int32_t)(i->imm + b->next))
        return false;
    struct hk_uop *u = &b->uops[b->count - 1];
    unsigned size = cmp.bits == 8 ? 0 : cmp.bits == 32 ? 1 : 2;
    u->fn = fused[cmp.is_test][cmp.has_imm][size][i->cc];
    u->disp = (int32_t)(i->imm + b->next);
    u->next = b->next;
    b->nf[b->count - 1] = NULL;
    b->info[b->count - 1] = HK_UF_WRITES;
    return true;
}

static struct hk_uop *take_checked(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t ip = mask_ip(c->r[HK_SLOT_RIP] + u->imm, u->src);
    if (beyond_limit(c, ip))
        return hk_uop_fault(c, u);
    return hk_exit_direct(c, ip, u + 1);
}

static struct hk_uop *jcc_checked(struct hk_cpu *c, struct hk_uop *u)
{
    if (hk_cond(c->fl, u->dst))
        return take_checked(c, u);
    return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->next, u + 2);
}

void hk_emit_jcc(struct hk_builder *b, const struct hk_insn *i)
{
    static const hk_uop_fn table[16] = {
        jcc_0, jcc_1, jcc_2,  jcc_3,  jcc_4,  jcc_5,  jcc_6,  jcc_7,
        jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15};
    if (!is_64(b) || !fuse(b, i)) {
        struct hk_uop *u = hk_emit(b, is_64(b) ? table[i->cc] : jcc_checked,
                                   HK_UF_READS | HK_UF_FAULTS);
        u->imm = i->imm + b->next;
        u->src = i->opsize;
        u->dst = i->cc;
    }
    emit_link(b);
    emit_link(b);
    b->ended = true;
}

/* ---- LOOP, JCXZ
 * ------------------------------------------------------------------ */

/* `base` is the address size, `index` the operation. */
static bool loop_taken(struct hk_cpu *c, const struct hk_uop *u)
{
    uint64_t mask = u->base == 8 ? ~0ull : u->base == 4 ? 0xffffffff : 0xffff;
    bool zf = (c->fl & HK_FL_ZF) != 0;
    unsigned op = u->dst;
    if (op == HK_OP_JCXZ)
        return (c->r[HK_RCX] & mask) == 0;
    uint64_t count = (c->r[HK_RCX] - 1) & mask;
    if (op == HK_OP_LOOPE)
        return count != 0 && zf;
    if (op == HK_OP_LOOPNE)
        return count != 0 && !zf;
    return count != 0;
}

static void loop_count(struct hk_cpu *c, const struct hk_uop *u)
{
    if (u->dst == HK_OP_JCXZ)
        return;
    if (u->base == 2)
        HK_R16(c, HK_RCX * 8) = (uint16_t)(c->r[HK_RCX] - 1);
    else if (u->base == 4)
        c->r[HK_RCX] = (uint32_t)(c->r[HK_RCX] - 1);
    else
        c->r[HK_RCX]--;
}

static struct hk_uop *op_loop(struct hk_cpu *c, struct hk_uop *u)
{
    bool taken = loop_taken(c, u);
    uint64_t ip = c->r[HK_SLOT_RIP] + u->imm;
    if (u->src != 8)
        ip = mask_ip(ip, u->src);
    if (taken && beyond_limit(c, ip))
        return hk_uop_fault(c, u);
    loop_count(c, u);
    if (taken)
        return hk_exit_direct(c, ip, u + 1);
    return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->next, u + 2);
}

void hk_emit_loop(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_uop *u = hk_emit(b, op_loop, HK_UF_READS | HK_UF_FAULTS);
    u->imm = i->imm + b->next;
    u->src = i->opsize;
    u->dst = i->op;
    u->base = i->addrsize;
    emit_link(b);
    emit_link(b);
    b->ended = true;
}

/* ---- CALL, RET
 * ---------------------------------------------------------------------- */

static HK_NOINLINE struct hk_uop *call_missed(struct hk_cpu *c,
                                              struct hk_uop *u)
{
    uint64_t sp = c->r[HK_SLOT_RSP] - 8;
    uint64_t back = c->r[HK_SLOT_RIP] + u->next;
    if (!hk_mem_write(c, sp, 8, HK_ACC_WRITE, back))
        return hk_uop_fault(c, u);
    c->r[HK_SLOT_RSP] = sp;
    return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->imm, u + 1);
}

static struct hk_uop *call64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t sp = c->r[HK_SLOT_RSP] - 8;
    uint64_t back = c->r[HK_SLOT_RIP] + u->next;
    void *p;
    if (hk_unlikely(!hk_whit(c, sp, 8, &p)))
        return call_missed(c, u);
    memcpy(p, &back, 8);
    c->r[HK_SLOT_RSP] = sp;
    return hk_exit_direct(c, c->r[HK_SLOT_RIP] + u->imm, u + 1);
}

/* The limit is checked after the store, as hosts do. */
static bool slow_call_to(struct hk_cpu *c, const struct hk_insn *i, uint64_t ip)
{
    uint64_t sp = c->r[HK_SLOT_RSP];
    if (!hk_push(c, i->opsize, c->rip))
        return false;
    if (beyond_limit(c, ip)) {
        c->r[HK_SLOT_RSP] = sp;
        return false;
    }
    c->rip = ip;
    return true;
}

static bool slow_call(struct hk_cpu *c, const struct hk_insn *i)
{
    return slow_call_to(c, i, mask_ip(c->rip + i->imm, i->opsize));
}

void hk_emit_call(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_64(b)) {
        hk_emit_slow(b, slow_call, true);
        return;
    }
    struct hk_uop *u = hk_emit(b, call64, HK_UF_FAULTS);
    u->imm = i->imm + b->next;
    u->seg = SS_SLOT;
    emit_link(b);
    b->ended = true;
}

static struct hk_uop *call_ind64(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t ip = HK_R64(c, u->src);
    uint64_t sp = c->r[HK_SLOT_RSP] - 8;
    if (hk_unlikely(!hk_st64(c, sp, c->r[HK_SLOT_RIP] + u->next)))
        return hk_uop_fault(c, u);
    /* Checked after the store, as hosts do. */
    if (hk_unlikely(!hk_is_canonical(ip))) {
        (void)hk_fault_err(c, HK_VEC_GP, 0);
        return hk_uop_fault(c, u);
    }
    c->r[HK_SLOT_RSP] = sp;
    return hk_exit_indirect(c, ip);
}

static bool slow_call_ind(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t ip;
    if (!hk_opnd_get(c, i, &i->opnd[0], &ip))
        return false;
    return slow_call_to(c, i, mask_ip(ip, i->opsize));
}

void hk_emit_call_ind(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_64(b)) {
        hk_emit_slow(b, slow_call_ind, true);
        return;
    }
    uint16_t src = hk_emit_operand(b, 0, HK_OFF_TMP, HK_ACC_READ);
    struct hk_uop *u = hk_emit(b, call_ind64, HK_UF_FAULTS);
    u->src = src;
    u->seg = SS_SLOT;
    b->ended = true;
}

static HK_NOINLINE struct hk_uop *ret_missed(struct hk_cpu *c, struct hk_uop *u)
{
    uint64_t ip;
    if (!hk_mem_read(c, c->r[HK_SLOT_RSP], 8, HK_ACC_READ, &ip))
        return hk_uop_fault(c, u);
    if (!hk_is_canonical(ip)) {
        (void)hk_fault_err(c, HK_VEC_GP, 0);
        return hk_uop_fault(c, u);
    }
    c->r[HK_SLOT_RSP] += 8 + u->imm;
    return hk_exit_indirect(c, ip);
}

/* A target in the jump cache has been run and so is canonical; any other is
 * looked at by the slow twin. */
static struct hk_uop *ret64(struct hk_cpu *c, struct hk_uop *u)
{
    const void *p;
    uint64_t ip, sp = c->r[HK_SLOT_RSP];
    if (hk_unlikely(!hk_rhit(c, sp, 8, &p)))
        return ret_missed(c, u);
    memcpy(&ip, p, 8);
    struct hk_block *b = hk_jump_find(c, ip);
    if (hk_unlikely(b == NULL))
        return ret_missed(c, u);
    c->r[HK_SLOT_RSP] = sp + 8 + u->imm;
    return hk_enter(c, b, ip);
}

static bool slow_ret(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t ip, sp = c->r[HK_SLOT_RSP];
    if (!hk_pop(c, i->opsize, &ip))
        return false;
    ip = mask_ip(ip, i->opsize);
    if (beyond_limit(c, ip)) {
        c->r[HK_SLOT_RSP] = sp;
        return false;
    }
    uint64_t top = c->r[HK_SLOT_RSP] + (i->imm & 0xffff);
    if ((c->mode & HK_MODE_STACK32) != 0)
        c->r[HK_SLOT_RSP] = (uint32_t)top;
    else
        HK_R16(c, HK_SLOT_RSP * 8) = (uint16_t)top;
    c->rip = ip;
    return true;
}

void hk_emit_ret(struct hk_builder *b, const struct hk_insn *i)
{
    if (!is_64(b)) {
        hk_emit_slow(b, slow_ret, true);
        return;
    }
    struct hk_uop *u = hk_emit(b, ret64, HK_UF_FAULTS);
    u->imm = i->opnd[0].kind == HK_OPND_IMM ? i->imm & 0xffff : 0;
    u->seg = SS_SLOT;
    b->ended = true;
}
