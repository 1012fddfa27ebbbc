/*
 * MOVS, STOS, LODS, CMPS, SCAS with and without REP.
 *
 * One element at a time through the ordinary access functions is the
 * reference. REP MOVS and REP STOS going up in 64-bit mode move whole
 * stretches within a page by the host's own copy. The registers are up to
 * date after every element or stretch, so a fault or an interrupt in the
 * middle restarts where it stopped (SDM volume 1, 7.3.9.1).
 */
#include "cpu/alu_int.h"
#include "cpu/block_int.h"
#include "cpu/mem_int.h"
#include "cpu/uop_int.h"

#include <string.h>

static uint64_t address_mask(const struct hk_insn *i)
{
    return i->addrsize == 8 ? ~0ull : i->addrsize == 4 ? 0xffffffff : 0xffff;
}

/* Adds to a pointer or count register under the address size. */
static void advance(struct hk_cpu *c, const struct hk_insn *i, unsigned reg,
                    int64_t by)
{
    uint64_t v = c->r[reg] + (uint64_t)by;
    if (i->addrsize == 2)
        HK_R16(c, reg * 8) = (uint16_t)v;
    else
        c->r[reg] = v & address_mask(i);
}

static bool source_address(struct hk_cpu *c, const struct hk_insn *i,
                           uint64_t *la)
{
    return hk_seg_linear(c, i->seg, c->r[HK_RSI] & address_mask(i), i->opsize,
                         HK_ACC_READ, la);
}

static bool target_address(struct hk_cpu *c, const struct hk_insn *i,
                           unsigned acc, uint64_t *la)
{
    return hk_seg_linear(c, HK_SEG_ES, c->r[HK_RDI] & address_mask(i),
                         i->opsize, acc, la);
}

static void compare(struct hk_cpu *c, unsigned size, uint64_t a, uint64_t b)
{
    switch (size) {
    case 1:
        (void)hk_cmp8((uint8_t)a, (uint8_t)b, &c->fl);
        break;
    case 2:
        (void)hk_cmp16((uint16_t)a, (uint16_t)b, &c->fl);
        break;
    case 4:
        (void)hk_cmp32((uint32_t)a, (uint32_t)b, &c->fl);
        break;
    default:
        (void)hk_cmp64(a, b, &c->fl);
        break;
    }
}

static bool do_lods(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_operand acc = {
        .kind = HK_OPND_GPR, .reg = HK_RAX, .size = i->opsize};
    uint64_t la, v;
    if (!source_address(c, i, &la) ||
        !hk_mem_read(c, la, i->opsize, HK_ACC_READ, &v))
        return false;
    hk_reg_set(c, &acc, v);
    return true;
}

static bool do_cmps(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t from, to, a, b;
    /* ES:DI first: that is the address which hosts report. */
    if (!target_address(c, i, HK_ACC_READ, &to) ||
        !hk_mem_read(c, to, i->opsize, HK_ACC_READ, &b) ||
        !source_address(c, i, &from) ||
        !hk_mem_read(c, from, i->opsize, HK_ACC_READ, &a))
        return false;
    compare(c, i->opsize, a, b);
    return true;
}

static bool do_movs(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t from, to, v;
    return source_address(c, i, &from) &&
           hk_mem_read(c, from, i->opsize, HK_ACC_READ, &v) &&
           target_address(c, i, HK_ACC_WRITE, &to) &&
           hk_mem_write(c, to, i->opsize, HK_ACC_WRITE, v);
}

static bool do_stos(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t to;
    return target_address(c, i, HK_ACC_WRITE, &to) &&
           hk_mem_write(c, to, i->opsize, HK_ACC_WRITE, c->r[HK_RAX]);
}

static bool do_scas(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t to, v;
    if (!target_address(c, i, HK_ACC_READ, &to) ||
        !hk_mem_read(c, to, i->opsize, HK_ACC_READ, &v))
        return false;
    compare(c, i->opsize, c->r[HK_RAX], v);
    return true;
}

static bool uses_source(unsigned op)
{
    return op == HK_OP_MOVS || op == HK_OP_CMPS || op == HK_OP_LODS;
}

static bool uses_target(unsigned op)
{
    return op != HK_OP_LODS;
}

static bool one_element(struct hk_cpu *c, const struct hk_insn *i)
{
    int64_t step = i->opsize;
    bool ok;
    switch (i->op) {
    case HK_OP_MOVS:
        ok = do_movs(c, i);
        break;
    case HK_OP_STOS:
        ok = do_stos(c, i);
        break;
    case HK_OP_LODS:
        ok = do_lods(c, i);
        break;
    case HK_OP_CMPS:
        ok = do_cmps(c, i);
        break;
    default:
        ok = do_scas(c, i);
        break;
    }
    if (!ok)
        return false;
    if ((c->sysflags & HK_RF_DF) != 0)
        step = -step;
    if (uses_source(i->op))
        advance(c, i, HK_RSI, step);
    if (uses_target(i->op))
        advance(c, i, HK_RDI, step);
    return true;
}

/* ---- stretches
 * ---------------------------------------------------------------- */

static uint64_t room(uint64_t la)
{
    return 4096 - (la & 0xfff);
}

/* Overlapping in the way that repeats a pattern: byte order matters. */
static void copy_up(uint8_t *to, const uint8_t *from, size_t len, unsigned size)
{
    if (to <= from || to >= from + len) {
        memmove(to, from, len);
        return;
    }
    for (size_t at = 0; at < len; at += size) {
        uint64_t v = 0;
        memcpy(&v, from + at, size);
        memcpy(to + at, &v, size);
    }
}

/* Elements done by one host copy; 0: take the slow way. */
static uint64_t movs_stretch(struct hk_cpu *c, const struct hk_insn *i,
                             uint64_t count)
{
    uint64_t from = c->r[HK_RSI] + c->r[HK_SLOT_SEG + i->seg];
    uint64_t to = c->r[HK_RDI];
    const uint8_t *s = hk_rptr(c, from, i->opsize);
    uint8_t *d = hk_wptr(c, to, i->opsize);
    if (s == NULL || d == NULL)
        return 0;
    uint64_t bytes = room(from) < room(to) ? room(from) : room(to);
    uint64_t n = bytes / i->opsize;
    if (n > count)
        n = count;
    copy_up(d, s, n * i->opsize, i->opsize);
    c->r[HK_RSI] += n * i->opsize;
    c->r[HK_RDI] += n * i->opsize;
    return n;
}

static void fill(uint8_t *to, uint64_t v, uint64_t n, unsigned size)
{
    uint64_t pattern = (v & 0xff) * 0x0101010101010101ull;
    uint64_t mask = size == 8 ? ~0ull : (1ull << (8 * size)) - 1;
    if ((v & mask) == (pattern & mask)) {
        memset(to, (int)(v & 0xff), n * size);
        return;
    }
    for (uint64_t k = 0; k < n; k++)
        memcpy(to + k * size, &v, size);
}

static uint64_t stos_stretch(struct hk_cpu *c, const struct hk_insn *i,
                             uint64_t count)
{
    uint8_t *d = hk_wptr(c, c->r[HK_RDI], i->opsize);
    if (d == NULL)
        return 0;
    uint64_t n = room(c->r[HK_RDI]) / i->opsize;
    if (n > count)
        n = count;
    fill(d, c->r[HK_RAX], n, i->opsize);
    c->r[HK_RDI] += n * i->opsize;
    return n;
}

static uint64_t stretch(struct hk_cpu *c, const struct hk_insn *i,
                        uint64_t count)
{
    if (i->addrsize != 8 || (c->sysflags & HK_RF_DF) != 0 ||
        (c->mode & HK_MODE_STEP) != 0)
        return 0;
    if (i->op == HK_OP_MOVS)
        return movs_stretch(c, i, count);
    if (i->op == HK_OP_STOS)
        return stos_stretch(c, i, count);
    return 0;
}

/* The condition of REPE and REPNE after one element: go on? */
static bool goes_on(const struct hk_cpu *c, const struct hk_insn *i)
{
    if (i->op != HK_OP_CMPS && i->op != HK_OP_SCAS)
        return true;
    bool zf = (c->fl & HK_FL_ZF) != 0;
    return zf == (i->rep == 0xf3);
}

/*
 * Between two elements. RF is set in what an event pushes here, and a single
 * step shows it (SDM volume 3, 18.3.1.1).
 */
static struct hk_uop *again(struct hk_cpu *c, const struct hk_uop *u,
                            uint16_t flags)
{
    c->rip = c->r[HK_SLOT_RIP] + u->start;
    c->fl = flags;
    c->sysflags |= HK_RF_RF;
    c->dbg_keep_rf = (c->mode & HK_MODE_STEP) != 0;
    return NULL;
}

/*
 * With 32-bit addresses the count loses its upper half even if it is zero or
 * the first element faults; on hosts the pointers of MOVS and STOS do so too,
 * those of the others follow with their first advance.
 */
static void narrow(struct hk_cpu *c, const struct hk_insn *i)
{
    if (i->addrsize != 4)
        return;
    c->r[HK_RCX] = (uint32_t)c->r[HK_RCX];
    if (i->op == HK_OP_MOVS)
        c->r[HK_RSI] = (uint32_t)c->r[HK_RSI];
    if (i->op == HK_OP_MOVS || i->op == HK_OP_STOS)
        c->r[HK_RDI] = (uint32_t)c->r[HK_RDI];
}

/*
 * The status flags change with the last element only: an event in the middle
 * sees those from before the instruction (SDM volume 2, REP).
 */
static struct hk_uop *op_rep(struct hk_cpu *c, struct hk_uop *u)
{
    const struct hk_insn *i = (const struct hk_insn *)(uintptr_t)u->imm;
    uint64_t mask = address_mask(i);
    hk_uop_fn next = u[1].fn;
    uint16_t flags = c->fl;
    narrow(c, i);
    for (;;) {
        uint64_t count = c->r[HK_RCX] & mask;
        if (count == 0)
            break;
        uint64_t n = stretch(c, i, count);
        if (n == 0) {
            if (!one_element(c, i)) {
                c->fl = flags;
                return hk_uop_fault(c, u);
            }
            n = 1;
        }
        advance(c, i, HK_RCX, -(int64_t)n);
        c->budget -= (int64_t)((n + 15) / 16);
        if (!goes_on(c, i))
            break;
        if ((c->r[HK_RCX] & mask) == 0)
            break;
        /* Code of this block may be gone; a single step takes a trap after
         * each element; others may want something. */
        if (u[1].fn != next || (c->mode & HK_MODE_STEP) != 0 || hk_poked(c) ||
            c->budget <= 0)
            return again(c, u, flags);
    }
    c->sysflags &= ~(uint32_t)HK_RF_RF;
    HK_NEXT(c, u);
}

static struct hk_uop *op_once(struct hk_cpu *c, struct hk_uop *u)
{
    const struct hk_insn *i = (const struct hk_insn *)(uintptr_t)u->imm;
    if (!one_element(c, i))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}

void hk_emit_string(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_insn *copy = hk_code_alloc(b->c, sizeof(*copy));
    *copy = *i;
    struct hk_uop *u =
        hk_emit(b, i->rep != 0 ? op_rep : op_once, HK_UF_READS | HK_UF_FAULTS);
    u->imm = (uint64_t)(uintptr_t)copy;
}
