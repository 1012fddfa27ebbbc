/*
 * Delivery of exceptions and interrupts: Intel SDM volume 3, chapter 6.
 *
 * How it works
 * ------------
 * One attempt to deliver reads the gate, checks it, writes the frame, and
 * only then commits registers. So an attempt that fails has changed nothing
 * but memory below the stack pointer, and leaves its exception in c->exc.
 * hk_event_deliver then merges the two as table 6-5 says (serially, double
 * fault, shutdown) and tries again; three attempts are the most.
 *
 * Software interrupts are attempted once, by the instruction: an exception of
 * that attempt is an exception of the instruction and restarts it.
 *
 * A task gate is the exception: once the new task has begun (`entered`), a
 * fault is one of that task.
 */
#include "cpu/slow_int.h"

#include <string.h>

struct event {
    enum hk_event_kind kind;
    uint8_t vector;
    bool has_err;
    uint32_t err;
    uint64_t rflags; /* the image to push */
    bool entered;    /* another task has begun */
};

enum { ERR_EXT = 1, ERR_IDT = 2 };

/* What a gate leads to, checked. */
struct target {
    struct hk_desc cs;
    uint64_t offset;
    unsigned cpl; /* afterwards */
    unsigned ist;
    bool inner;    /* to a more privileged stack */
    bool int_gate; /* clears IF */
    bool task;     /* a task gate: only its selector counts */
    uint32_t size; /* of what is pushed */
};

static uint32_t gate_error(const struct event *e)
{
    return (uint32_t)e->vector << 3 | ERR_IDT;
}

/* ---- the gate ----------------------------------------------------------- */

static bool check_gate(struct hk_cpu *c, const struct event *e, uint64_t low,
                       struct target *t)
{
    unsigned type = low >> 40 & 0x1f;
    unsigned dpl = low >> 45 & 3;
    bool is32 = type == HK_SYS_INT || type == HK_SYS_TRAP;
    bool is16 = type == HK_SYS_INT16 || type == HK_SYS_TRAP16;
    t->task = type == HK_SYS_TASK && !hk_is_long(c);
    if (!is32 && !t->task && (!is16 || hk_is_long(c)))
        return hk_fault_err(c, HK_VEC_GP, gate_error(e));
    if (e->kind == HK_EVENT_SOFT && dpl < c->cpl)
        return hk_fault_err(c, HK_VEC_GP, gate_error(e));
    if ((low >> 47 & 1) == 0)
        return hk_fault_err(c, HK_VEC_NP, gate_error(e));
    t->int_gate = (type & 1) == 0;
    t->size = is16 ? 2 : 4;
    t->offset = low & 0xffff;
    if (is32)
        t->offset |= low >> 32 & 0xffff0000;
    return true;
}

static bool read_gate(struct hk_cpu *c, const struct event *e, struct target *t,
                      uint16_t *selector)
{
    bool is64 = hk_is_long(c);
    uint32_t width = is64 ? 16 : 8;
    uint32_t off = e->vector * width;
    uint64_t at = c->idtr.base + off;
    uint64_t part[2] = {0, 0};
    if (off + width - 1 > c->idtr.limit)
        return hk_fault_err(c, HK_VEC_GP, gate_error(e));
    if (!is64)
        at = (uint32_t)at;
    if (!hk_mem_read_bytes(c, at, part, width, HK_ACC_READ | HK_ACC_SYSTEM) ||
        !check_gate(c, e, part[0], t))
        return false;
    if (is64) {
        t->offset |= part[1] << 32;
        t->ist = part[0] >> 32 & 7;
        t->size = 8;
    }
    *selector = (uint16_t)(part[0] >> 16);
    return true;
}

static bool check_target(struct hk_cpu *c, uint16_t selector, struct target *t)
{
    uint32_t err = selector & ~3u;
    if (hk_is_null(selector))
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_desc_read(c, selector, HK_VEC_GP, &t->cs))
        return false;
    unsigned dpl = hk_desc_dpl(&t->cs);
    bool bad_size =
        hk_is_long(c) && (t->cs.attr & (HK_SEG_L | HK_SEG_DB)) != HK_SEG_L;
    if (!hk_desc_is_code(&t->cs) || dpl > c->cpl || bad_size)
        return hk_fault_err(c, HK_VEC_GP, err);
    if (!hk_desc_is_present(&t->cs))
        return hk_fault_err(c, HK_VEC_NP, err);
    bool conforming = (t->cs.attr & HK_TYPE_CONFORMING) != 0;
    t->cpl = conforming ? c->cpl : dpl;
    t->inner = t->cpl < c->cpl;
    if ((c->sysflags & HK_RF_VM) != 0 && t->cpl != 0)
        return hk_fault_err(c, HK_VEC_GP, err);
    return hk_desc_touch(c, &t->cs);
}

/* ---- stacks from the TSS ------------------------------------------------ */

bool hk_tss_rsp(struct hk_cpu *c, unsigned index, uint64_t *rsp)
{
    uint32_t off = 4 + 8 * index;
    if (off + 7 > c->tr.limit)
        return hk_fault_err(c, HK_VEC_TS, c->tr.selector & ~3u);
    return hk_mem_read(c, c->tr.base + off, 8, HK_ACC_READ | HK_ACC_SYSTEM,
                       rsp);
}

static bool tss_field(struct hk_cpu *c, uint32_t off, uint32_t size,
                      uint64_t *value)
{
    return hk_mem_read(c, (uint32_t)(c->tr.base + off), size,
                       HK_ACC_READ | HK_ACC_SYSTEM, value);
}

bool hk_tss_stack(struct hk_cpu *c, unsigned cpl, struct hk_segment *ss,
                  uint64_t *sp)
{
    bool is32 = (c->tr.attr & 8) != 0;
    uint32_t width = is32 ? 4 : 2;
    uint32_t off = is32 ? 4 + 8 * cpl : 2 + 4 * cpl;
    uint64_t selector;
    if (off + 2 * width - 1 > c->tr.limit)
        return hk_fault_err(c, HK_VEC_TS, c->tr.selector & ~3u);
    return tss_field(c, off, width, sp) &&
           tss_field(c, off + width, 2, &selector) &&
           hk_seg_check_stack(c, (uint16_t)selector, cpl, HK_VEC_TS, ss);
}

/* ---- committing --------------------------------------------------------- */

static void commit(struct hk_cpu *c, const struct target *t)
{
    uint64_t clear = HK_RF_TF | HK_RF_NT | HK_RF_RF | HK_RF_VM;
    if (t->int_gate)
        clear |= HK_RF_IF;
    hk_desc_unpack(&t->cs, &c->seg[HK_SEG_CS]);
    c->seg[HK_SEG_CS].selector = (uint16_t)((t->cs.selector & ~3u) | t->cpl);
    c->cpl = (uint8_t)t->cpl;
    c->rip = t->offset;
    c->sysflags &= ~(uint32_t)clear;
    c->step_tf = false;
    hk_update_mode(c);
}

/* ---- long mode ---------------------------------------------------------- */

static bool deliver_long(struct hk_cpu *c, const struct event *e,
                         const struct target *t)
{
    uint64_t frame[6] = {e->err,
                         c->rip,
                         c->seg[HK_SEG_CS].selector,
                         e->rflags,
                         c->r[HK_SLOT_RSP],
                         c->seg[HK_SEG_SS].selector};
    unsigned skip = e->has_err ? 0 : 1;
    uint32_t bytes = (6 - skip) * 8;
    uint64_t rsp = c->r[HK_SLOT_RSP];
    unsigned acc = HK_ACC_WRITE;
    if (t->ist != 0) {
        if (!hk_tss_rsp(c, 3 + t->ist, &rsp))
            return false;
    } else if (t->inner && !hk_tss_rsp(c, t->cpl, &rsp)) {
        return false;
    }
    if (t->inner)
        acc |= HK_ACC_SYSTEM;
    rsp = (rsp & ~15ull) - bytes;
    if (!hk_is_canonical(rsp) || !hk_is_canonical(rsp + bytes - 1))
        return hk_fault_err(c, HK_VEC_SS, 0);
    if (!hk_is_canonical(t->offset))
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_mem_write_bytes(c, rsp, frame + skip, bytes, acc))
        return false;
    if (t->inner)
        c->seg[HK_SEG_SS] = (struct hk_segment){.selector = (uint16_t)t->cpl};
    c->r[HK_SLOT_RSP] = rsp;
    commit(c, t);
    return true;
}

/* ---- 32-bit and 16-bit gates -------------------------------------------- */

static bool push_v86_segments(struct hk_cpu *c, struct hk_stack *s,
                              uint32_t size)
{
    static const uint8_t order[4] = {HK_SEG_GS, HK_SEG_FS, HK_SEG_DS,
                                     HK_SEG_ES};
    for (unsigned i = 0; i < 4; i++) {
        if (!hk_stack_push(c, s, size, c->seg[order[i]].selector))
            return false;
    }
    return true;
}

static bool push_frame(struct hk_cpu *c, const struct event *e,
                       const struct target *t, struct hk_stack *s)
{
    uint32_t n = t->size;
    if (t->inner) {
        if (!hk_stack_push(c, s, n, c->seg[HK_SEG_SS].selector) ||
            !hk_stack_push(c, s, n, c->r[HK_SLOT_RSP]))
            return false;
    }
    return hk_stack_push(c, s, n, e->rflags) &&
           hk_stack_push(c, s, n, c->seg[HK_SEG_CS].selector) &&
           hk_stack_push(c, s, n, c->rip) &&
           (!e->has_err || hk_stack_push(c, s, n, e->err));
}

static bool deliver_legacy(struct hk_cpu *c, const struct event *e,
                           const struct target *t)
{
    bool v86 = (c->sysflags & HK_RF_VM) != 0;
    struct hk_stack s;
    struct hk_segment cs;
    hk_stack_current(c, &s);
    if (t->inner) {
        if (!hk_tss_stack(c, t->cpl, &s.ss, &s.sp))
            return false;
        s.mask = (s.ss.attr & HK_SEG_DB) != 0 ? 0xffffffff : 0xffff;
        s.sp &= s.mask;
        s.acc = HK_ACC_SYSTEM;
        s.err = s.ss.selector & ~3u;
    }
    hk_desc_unpack(&t->cs, &cs);
    if (t->offset > cs.limit)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if ((v86 && !push_v86_segments(c, &s, t->size)) || !push_frame(c, e, t, &s))
        return false;
    if (v86) {
        c->sysflags &= ~(uint32_t)HK_RF_VM;
        hk_seg_set_null(c, HK_SEG_ES, 0);
        hk_seg_set_null(c, HK_SEG_DS, 0);
        hk_seg_set_null(c, HK_SEG_FS, 0);
        hk_seg_set_null(c, HK_SEG_GS, 0);
    }
    c->seg[HK_SEG_SS] = s.ss;
    hk_update_mode(c);
    hk_stack_set(c, s.sp);
    commit(c, t);
    return true;
}

/* ---- task gates --------------------------------------------------------- */

static bool deliver_task(struct hk_cpu *c, struct event *e, uint16_t selector)
{
    if (!hk_task_switch(c, selector, HK_TASK_CALL, e->rflags, &e->entered))
        return false;
    uint32_t size = (c->tr.attr & 8) != 0 ? 4 : 2;
    return !e->has_err || hk_push(c, size, e->err);
}

/* ---- real mode ---------------------------------------------------------- */

static bool deliver_real(struct hk_cpu *c, const struct event *e)
{
    struct hk_stack s;
    uint64_t vector;
    uint32_t off = e->vector * 4u;
    if (off + 3 > c->idtr.limit)
        return hk_fault_err(c, HK_VEC_GP, gate_error(e));
    if (!hk_mem_read(c, (uint32_t)(c->idtr.base + off), 4,
                     HK_ACC_READ | HK_ACC_SYSTEM, &vector))
        return false;
    hk_stack_current(c, &s);
    if (!hk_stack_push(c, &s, 2, e->rflags & 0xffff) ||
        !hk_stack_push(c, &s, 2, c->seg[HK_SEG_CS].selector) ||
        !hk_stack_push(c, &s, 2, c->rip & 0xffff))
        return false;
    hk_stack_set(c, s.sp);
    c->sysflags &= ~(uint32_t)(HK_RF_IF | HK_RF_TF | HK_RF_AC | HK_RF_RF);
    c->step_tf = false;
    hk_seg_load_real(c, HK_SEG_CS, (uint16_t)(vector >> 16));
    c->rip = vector & 0xffff;
    return true;
}

/* ---- one attempt -------------------------------------------------------- */

static bool attempt(struct hk_cpu *c, struct event *e)
{
    struct target t = {0};
    uint16_t selector = 0;
    if ((c->cr0 & HK_CR0_PE) == 0)
        return deliver_real(c, e);
    if (e->kind == HK_EVENT_SOFT && (c->sysflags & HK_RF_VM) != 0 &&
        hk_iopl(c) != 3)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!read_gate(c, e, &t, &selector))
        return false;
    if (t.task)
        return deliver_task(c, e, selector);
    if (!check_target(c, selector, &t))
        return false;
    if (hk_is_long(c))
        return deliver_long(c, e, &t);
    return deliver_legacy(c, e, &t);
}

/* ---- combining exceptions ----------------------------------------------- */

static bool is_contributory(unsigned vector)
{
    return vector == HK_VEC_DE || (vector >= HK_VEC_TS && vector <= HK_VEC_GP);
}

/* Faults of selectors carry EXT when the program did not ask for the event. */
static uint32_t with_ext(const struct event *e, uint32_t err, unsigned vector)
{
    bool selector_error = vector >= HK_VEC_TS && vector <= HK_VEC_GP;
    return selector_error && e->kind != HK_EVENT_SOFT ? err | ERR_EXT : err;
}

static void shut_down(struct hk_cpu *c)
{
    c->shutdown = true;
}

/* The event that follows when delivering `e` raised c->exc. False: triple. */
static bool combine(struct hk_cpu *c, struct event *e)
{
    struct hk_exc next = c->exc;
    bool first_fault = e->kind == HK_EVENT_FAULT;
    c->exc = (struct hk_exc){0};
    if (first_fault && e->vector == HK_VEC_DF)
        return false;
    bool second_bad = is_contributory(next.vector);
    bool both =
        first_fault &&
        ((is_contributory(e->vector) && second_bad) ||
         (e->vector == HK_VEC_PF && (second_bad || next.vector == HK_VEC_PF)));
    uint32_t err = with_ext(e, next.err, next.vector);
    e->kind = HK_EVENT_FAULT;
    e->vector = both ? HK_VEC_DF : next.vector;
    e->has_err = both || next.has_err;
    e->err = both ? 0 : err;
    if (e->entered)
        e->rflags = hk_get_rflags(c);
    e->entered = false;
    /* Faults ask for the instruction to be run again without breakpoints. */
    if (!both)
        e->rflags |= HK_RF_RF;
    return true;
}

static void deliver(struct hk_cpu *c, struct event *e)
{
    c->in_delivery = true;
    while (!attempt(c, e)) {
        if (!combine(c, e)) {
            shut_down(c);
            break;
        }
    }
    c->in_delivery = false;
    c->exc = (struct hk_exc){0};
}

static void take_fault(struct hk_cpu *c, struct event *e)
{
    e->vector = c->exc.vector;
    e->has_err = c->exc.has_err;
    e->err = c->exc.err;
    c->dbg_hits = 0;
    /* An execute breakpoint's #DB must be able to see RF clear. */
    bool breakpoint = e->vector == HK_VEC_DB && !c->dbg_detect;
    if (!breakpoint && e->vector != HK_VEC_DF)
        e->rflags |= HK_RF_RF;
    c->exc = (struct hk_exc){0};
}

void hk_event_deliver(struct hk_cpu *c, enum hk_event_kind kind,
                      unsigned vector)
{
    struct event e = {
        .kind = kind, .vector = (uint8_t)vector, .rflags = hk_get_rflags(c)};
    if (kind == HK_EVENT_FAULT)
        take_fault(c, &e);
    if (kind == HK_EVENT_NMI)
        c->nmi_blocked = true;
    if (e.vector == HK_VEC_DB && kind == HK_EVENT_FAULT)
        c->dr[7] &= ~(1ull << 13);
    c->dbg_detect = false;
    deliver(c, &e);
}

bool hk_event_software(struct hk_cpu *c, enum hk_event_kind kind,
                       unsigned vector)
{
    struct event e = {
        .kind = kind, .vector = (uint8_t)vector, .rflags = hk_get_rflags(c)};
    if (attempt(c, &e)) {
        /* Data breakpoints that a MOV SS held back join INT1's #DB; with
         * other vectors they trap in the handler. */
        if (kind == HK_EVENT_SOFT_PRIV) {
            c->dr[6] |= c->dbg_hits;
            c->dbg_hits = 0;
        }
        return true;
    }
    if (e.entered) {
        hk_event_deliver(c, HK_EVENT_FAULT, c->exc.vector);
        return true;
    }
    c->exc.err = with_ext(&e, c->exc.err, c->exc.vector);
    return false;
}

void hk_event_debug_trap(struct hk_cpu *c)
{
    struct event e = {.kind = HK_EVENT_SOFT_PRIV,
                      .vector = HK_VEC_DB,
                      .rflags = hk_get_rflags(c)};
    c->dr[7] &= ~(1ull << 13);
    c->halted = false; /* the trap of HLT itself */
    deliver(c, &e);
}
