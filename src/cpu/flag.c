/*
 * Single flags: CMC, CLC, STC, CLD, STD, LAHF, SAHF, CLI, STI, STAC, CLAC;
 * and the instructions that only order things.
 */
#include "cpu/mem_int.h"
#include "cpu/slow_int.h"
#include "cpu/uop_int.h"

static struct hk_uop *op_cmc(struct hk_cpu *c, struct hk_uop *u)
{
    c->fl ^= HK_FL_CF;
    HK_NEXT(c, u);
}

static struct hk_uop *op_clc(struct hk_cpu *c, struct hk_uop *u)
{
    c->fl &= (uint16_t)~HK_FL_CF;
    HK_NEXT(c, u);
}

static struct hk_uop *op_stc(struct hk_cpu *c, struct hk_uop *u)
{
    c->fl |= HK_FL_CF;
    HK_NEXT(c, u);
}

static struct hk_uop *op_cld(struct hk_cpu *c, struct hk_uop *u)
{
    c->sysflags &= ~(uint32_t)HK_RF_DF;
    HK_NEXT(c, u);
}

static struct hk_uop *op_std(struct hk_cpu *c, struct hk_uop *u)
{
    c->sysflags |= HK_RF_DF;
    HK_NEXT(c, u);
}

static struct hk_uop *op_lahf(struct hk_cpu *c, struct hk_uop *u)
{
    HK_R8(c, 1) = (uint8_t)(c->fl >> 8);
    HK_NEXT(c, u);
}

static struct hk_uop *op_sahf(struct hk_cpu *c, struct hk_uop *u)
{
    c->fl = (uint16_t)((HK_R8(c, 1) & 0xd5) << 8 | (c->fl & HK_FL_OF) |
                       HK_FL_FIXED);
    HK_NEXT(c, u);
}

void hk_emit_flag(struct hk_builder *b, const struct hk_insn *i)
{
    hk_uop_fn fn = i->op == HK_OP_CMC    ? op_cmc
                   : i->op == HK_OP_CLC  ? op_clc
                   : i->op == HK_OP_STC  ? op_stc
                   : i->op == HK_OP_CLD  ? op_cld
                   : i->op == HK_OP_STD  ? op_std
                   : i->op == HK_OP_LAHF ? op_lahf
                                         : op_sahf;
    (void)hk_emit(b, fn, HK_UF_READS);
}

/* ---- CLI, STI
 * ---------------------------------------------------------------- */

static bool may_change_if(const struct hk_cpu *c)
{
    return c->cpl <= ((c->sysflags & HK_RF_IOPL) >> 12);
}

static struct hk_uop *op_cli(struct hk_cpu *c, struct hk_uop *u)
{
    if (hk_unlikely(!may_change_if(c))) {
        (void)hk_fault_err(c, HK_VEC_GP, 0);
        return hk_uop_fault(c, u);
    }
    c->sysflags &= ~(uint32_t)HK_RF_IF;
    HK_NEXT(c, u);
}

void hk_emit_cli(struct hk_builder *b, const struct hk_insn *i)
{
    (void)hk_emit(b, op_cli, HK_UF_FAULTS);
}

/* The next instruction runs before any interrupt. Only one that already
 * waits matters: a later poke is seen at the end of the block, and the
 * builder ends no block right after STI without passing the shadow on. */
static struct hk_uop *op_sti(struct hk_cpu *c, struct hk_uop *u)
{
    if (hk_unlikely(!may_change_if(c))) {
        (void)hk_fault_err(c, HK_VEC_GP, 0);
        return hk_uop_fault(c, u);
    }
    bool was = (c->sysflags & HK_RF_IF) != 0;
    c->sysflags |= HK_RF_IF;
    if (!was && c->irq_check) {
        c->shadow = 1;
        HK_LEAVE(c, u);
    }
    HK_NEXT(c, u);
}

void hk_emit_sti(struct hk_builder *b, const struct hk_insn *i)
{
    (void)hk_emit(b, op_sti, HK_UF_FAULTS);
}

/* ---- STAC, CLAC
 * ----------------------------------------------------------------- */

static struct hk_uop *op_ac(struct hk_cpu *c, struct hk_uop *u)
{
    if (hk_unlikely(c->cpl != 0)) {
        (void)hk_fault(c, HK_VEC_UD);
        return hk_uop_fault(c, u);
    }
    bool smap = (c->cr4 & HK_CR4_SMAP) != 0;
    if (u->dst != 0) {
        c->sysflags |= HK_RF_AC;
        c->view = &c->views[HK_VIEW_KERNEL_AC];
    } else {
        c->sysflags &= ~(uint32_t)HK_RF_AC;
        c->view = &c->views[smap ? HK_VIEW_KERNEL : HK_VIEW_KERNEL_AC];
    }
    HK_NEXT(c, u);
}

void hk_emit_ac(struct hk_builder *b, const struct hk_insn *i)
{
    struct hk_uop *u = hk_emit(b, op_ac, HK_UF_FAULTS);
    u->dst = i->op == HK_OP_STAC;
}

/* ---- order
 * ------------------------------------------------------------------------ */

static struct hk_uop *op_mfence(struct hk_cpu *c, struct hk_uop *u)
{
    atomic_thread_fence(memory_order_seq_cst);
    HK_NEXT(c, u);
}

void hk_emit_fence(struct hk_builder *b, const struct hk_insn *i)
{
    if (i->op == HK_OP_MFENCE)
        (void)hk_emit(b, op_mfence, 0);
}

/*
 * What a guest waits for in a PAUSE loop is often another vCPU that the host
 * has put aside. So after more rounds than a short critical section takes,
 * the vCPU leaves and its thread makes room.
 */
static struct hk_uop *op_pause(struct hk_cpu *c, struct hk_uop *u)
{
    hk_cpu_relax();
    if (hk_unlikely(++c->pauses == HK_PAUSES_MAX))
        hk_cpu_poke(c, HK_CPU_POKE_EXIT);
    HK_NEXT(c, u);
}

void hk_emit_pause(struct hk_builder *b, const struct hk_insn *i)
{
    (void)hk_emit(b, op_pause, 0);
}

/* CLFLUSH touches its line as a read would; there is no cache to flush. */
static struct hk_uop *op_clflush(struct hk_cpu *c, struct hk_uop *u)
{
    uint8_t ignored;
    if (!hk_ld8(c, hk_ea(c, u), &ignored))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}

void hk_emit_clflush(struct hk_builder *b, const struct hk_insn *i)
{
    /* Code that may not be read may be flushed. */
    struct hk_mem_ref m = hk_emit_mem(b, 1, HK_ACC_FETCH);
    struct hk_uop *u = hk_emit(b, op_clflush, HK_UF_FAULTS);
    hk_use_mem(u, m);
}
