/*
 * The run loop of a vCPU.
 *
 * Between blocks: take pokes from other threads, deliver what is pending
 * (fault, NMI, interrupt), find the next block, run it. Blocks chain among
 * themselves and come back here for events, a used-up budget, unlinked exits
 * and instructions that change the mode.
 */
#include "cpu/block_int.h"
#include "cpu/cpu_int.h"
#include "cpu/slow_int.h"
#include "cpu/uop_int.h"

bool hk_fault(struct hk_cpu *c, unsigned vector)
{
    if (!c->exc.pending)
        c->exc = (struct hk_exc){.pending = true, .vector = (uint8_t)vector};
    return false;
}

bool hk_fault_err(struct hk_cpu *c, unsigned vector, uint32_t err)
{
    if (!c->exc.pending)
        c->exc = (struct hk_exc){.pending = true,
                                 .has_err = true,
                                 .vector = (uint8_t)vector,
                                 .err = err};
    return false;
}

bool hk_fault_page(struct hk_cpu *c, uint64_t la, uint32_t err)
{
    c->cr2 = la;
    return hk_fault_err(c, HK_VEC_PF, err);
}

struct hk_uop *hk_uop_fault(struct hk_cpu *c, struct hk_uop *u)
{
    c->rip = c->r[HK_SLOT_RIP] + u->start;
    if (c->exc.noncanonical && u->seg == HK_SLOT_SEG + HK_SEG_SS)
        c->exc.vector = HK_VEC_SS;
    c->exc.noncanonical = false;
    return NULL;
}

static void update_segments(struct hk_cpu *c, bool code64)
{
    for (unsigned s = 0; s < HK_SEG_COUNT; s++) {
        bool flat = code64 && s != HK_SEG_FS && s != HK_SEG_GS;
        c->r[HK_SLOT_SEG + s] = flat ? 0 : c->seg[s].base;
    }
}

static uint32_t code_mode(const struct hk_cpu *c)
{
    const struct hk_segment *cs = &c->seg[HK_SEG_CS];
    uint32_t mode;
    if (hk_is_long(c) && (cs->attr & HK_SEG_L) != 0)
        return HK_CODE64;
    mode = (cs->attr & HK_SEG_DB) != 0 ? HK_CODE32 : HK_CODE16;
    if ((c->seg[HK_SEG_SS].attr & HK_SEG_DB) != 0)
        mode |= HK_MODE_STACK32;
    if (cs->limit != 0xffffffff)
        mode |= HK_MODE_CSLIM;
    return mode;
}

void hk_update_mode(struct hk_cpu *c)
{
    uint32_t mode = code_mode(c);
    if ((c->cr0 & HK_CR0_TS) != 0)
        mode |= HK_MODE_FP_NM;
    if ((c->cr0 & HK_CR0_EM) != 0)
        mode |= HK_MODE_FP_EM;
    if ((c->cr4 & HK_CR4_OSFXSR) == 0)
        mode |= HK_MODE_SSE_UD;
    if (c->cpl == 3)
        mode |= HK_MODE_USER;
    if ((c->cr0 & HK_CR0_PE) != 0)
        mode |= HK_MODE_PROT;
    if ((c->sysflags & HK_RF_VM) != 0)
        mode |= HK_MODE_V86;
    if ((c->sysflags & HK_RF_TF) != 0 || (c->dr[7] & 0xff) != 0)
        mode |= HK_MODE_STEP;
    c->mode = mode;
    unsigned view = HK_VIEW_USER;
    if (c->cpl != 3)
        view = (c->cr4 & HK_CR4_SMAP) != 0 && (c->sysflags & HK_RF_AC) == 0
                   ? HK_VIEW_KERNEL
                   : HK_VIEW_KERNEL_AC;
    c->view = &c->views[view];
    update_segments(c, (mode & HK_MODE_SIZE) == HK_CODE64);
}

void hk_set_rflags(struct hk_cpu *c, uint64_t rflags)
{
    uint32_t known = HK_RF_ARITH | HK_RF_TF | HK_RF_IF | HK_RF_DF | HK_RF_IOPL |
                     HK_RF_NT | HK_RF_RF | HK_RF_VM | HK_RF_AC | HK_RF_VIF |
                     HK_RF_VIP | HK_RF_ID;
    uint32_t next = (uint32_t)rflags & known & ~(uint32_t)HK_RF_ARITH;
    uint32_t changed = next ^ c->sysflags;
    c->fl = hk_fl_from_rf(rflags);
    c->sysflags = next;
    if ((changed & (HK_RF_TF | HK_RF_AC | HK_RF_VM)) != 0)
        hk_update_mode(c);
    if ((changed & next & HK_RF_IF) != 0)
        c->irq_check = true;
}

static void run_block(struct hk_cpu *c, struct hk_block *b)
{
    struct hk_uop *u = b->uops;
    int64_t before = c->budget;
    c->r[HK_SLOT_RIP] = c->rip;
    c->link = NULL;
    c->budget -= b->insns;
#if HK_TAIL_CALLS
    (void)u->fn(c, u);
#else
    while (u != NULL)
        u = u->fn(c, u);
#endif
    c->insns += (uint64_t)(before - c->budget);
}

/* One instruction: single step, breakpoints, interrupt shadow. */
static void step_one(struct hk_cpu *c)
{
    bool debug = (c->mode & HK_MODE_STEP) != 0;
    if (debug && !hk_debug_before_insn(c))
        return;
    c->shadow = 0;
    c->step_tf = (c->sysflags & HK_RF_TF) != 0;
    struct hk_block *b = hk_block_find(c, true);
    if (b == NULL)
        return;
    /* With no budget no exit goes on by itself. */
    int64_t budget = c->budget;
    c->budget = 0;
    run_block(c, b);
    c->budget = budget - 1;
    c->link = NULL;
    if (debug && !c->exc.pending)
        hk_debug_after_insn(c);
}

static void advance(struct hk_cpu *c)
{
    if (hk_unlikely((c->mode & HK_MODE_STEP) != 0 || c->shadow != 0)) {
        step_one(c);
        return;
    }
    struct hk_block *b = hk_block_find(c, false);
    if (b == NULL)
        return;
    if (c->link != NULL)
        hk_block_link(c, c->link, b);
    bool cached = hk_block_is_cached(b);
    run_block(c, b);
    if (!cached)
        c->link = NULL;
}

/* One NMI may be in service and one waits behind it; more are lost. */
static void take_nmis(struct hk_cpu *c)
{
    unsigned waiting = c->nmi_pending + atomic_exchange(&c->nmi_posted, 0);
    unsigned most = c->nmi_blocked ? 1 : 2;
    c->nmi_pending = (uint8_t)(waiting < most ? waiting : most);
}

/* True: leave hk_cpu_run. */
static bool take_pokes(struct hk_cpu *c)
{
    uint32_t bits = atomic_exchange_explicit(&c->poke, 0, memory_order_acquire);
    if ((bits & HK_CPU_POKE_SAFEPOINT) != 0)
        c->machine->host.safepoint(c->opaque);
    if ((bits & HK_CPU_POKE_CODE) != 0)
        hk_code_take_posted(c);
    if ((bits & HK_CPU_POKE_NMI) != 0)
        take_nmis(c);
    if ((bits & HK_CPU_POKE_INTERRUPT) != 0)
        c->irq_check = true;
    return (bits & HK_CPU_POKE_EXIT) != 0;
}

/* Delivers one waiting event; true if there was one. */
static bool take_event(struct hk_cpu *c)
{
    if (c->exc.pending) {
        hk_event_deliver(c, HK_EVENT_FAULT, c->exc.vector);
        return true;
    }
    if (c->shadow != 0)
        return false;
    if (c->nmi_pending != 0 && !c->nmi_blocked) {
        c->nmi_pending--;
        c->nmi_blocked = true;
        c->halted = false;
        hk_event_deliver(c, HK_EVENT_NMI, HK_VEC_NMI);
        return true;
    }
    if (!c->irq_check || (c->sysflags & HK_RF_IF) == 0)
        return false;
    if (!c->machine->host.has_interrupt(c->opaque)) {
        c->irq_check = false;
        return false;
    }
    int vector = c->machine->host.ack_interrupt(c->opaque);
    if (vector < 0)
        return false;
    c->halted = false;
    hk_event_deliver(c, HK_EVENT_EXTERNAL, (unsigned)vector);
    return true;
}

static enum hk_cpu_exit run_loop(struct hk_cpu *c)
{
    bool leave = false;
    for (;;) {
        if (hk_unlikely(hk_poked(c))) {
            leave |= take_pokes(c);
            c->link = NULL;
        }
        if (hk_unlikely(c->shutdown))
            return HK_CPU_EXIT_SHUTDOWN;
        if (take_event(c)) {
            c->link = NULL;
            continue;
        }
        if (leave || c->budget <= 0)
            return HK_CPU_EXIT_BUDGET;
        if (c->halted)
            return HK_CPU_EXIT_HALTED;
        advance(c);
    }
}

enum hk_cpu_exit hk_cpu_run(struct hk_cpu *c, uint64_t budget)
{
    c->budget = budget > INT64_MAX ? INT64_MAX : (int64_t)budget;
    c->irq_check = true;
    c->link = NULL;
    c->pauses = 0;
    hk_fp_enter(c);
    enum hk_cpu_exit why = run_loop(c);
    hk_fp_leave(c);
    if (why == HK_CPU_EXIT_BUDGET && c->pauses >= HK_PAUSES_MAX)
        why = HK_CPU_EXIT_SPINNING;
    return why;
}
