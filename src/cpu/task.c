/*
 * Hardware task switches: Intel SDM volume 3, chapter 8 "Task Management".
 *
 * Until the state of the old task is saved, a fault belongs to the old task
 * and restarts its instruction. After that the new task is running: its
 * registers are loaded, and a fault (a segment that is no good, mostly) is
 * delivered with its EIP.
 */
#include "cpu/slow_int.h"

#include <string.h>

enum { TSS32_SIZE = 0x68, TSS16_SIZE = 0x2c };

/* A task as a TSS holds it; the same for both sizes. */
struct task {
    uint32_t cr3, eip, eflags;
    uint32_t gpr[8];
    uint16_t sreg[6]; /* in the order of enum hk_seg: ES, CS, SS, DS, FS, GS */
    uint16_t ldt;
    bool is32, trap;
};

static uint32_t word(const uint8_t *p, uint32_t size)
{
    uint32_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static void parse(const uint8_t *tss, struct task *t)
{
    uint32_t width = t->is32 ? 4 : 2;
    const uint8_t *p = tss + (t->is32 ? 0x20 : 0x0e);
    uint32_t high = t->is32 ? 0 : 0xffff0000;
    t->cr3 = t->is32 ? word(tss + 0x1c, 4) : 0;
    t->eip = word(p, width);
    t->eflags = word(p + width, width);
    for (unsigned n = 0; n < 8; n++)
        t->gpr[n] = high | word(p + (2 + n) * width, width);
    for (unsigned n = 0; n < (t->is32 ? 6u : 4u); n++)
        t->sreg[n] = (uint16_t)word(p + (10 + n) * width, 2);
    t->ldt = (uint16_t)word(tss + (t->is32 ? 0x60 : 0x2a), 2);
    t->trap = t->is32 && (tss[0x64] & 1) != 0;
}

/* Saves the running task; `eflags` is the image that it gets. */
static bool save_old(struct hk_cpu *c, uint32_t eflags)
{
    bool is32 = (c->tr.attr & 8) != 0;
    uint32_t width = is32 ? 4 : 2;
    uint8_t image[16 * 4] = {0};
    uint32_t value[16] = {(uint32_t)c->rip, eflags};
    uint32_t fields = is32 ? 16 : 14;
    for (unsigned n = 0; n < 8; n++)
        value[2 + n] = (uint32_t)c->r[n];
    for (unsigned n = 0; n < 6; n++)
        value[10 + n] = c->seg[n].selector;
    for (unsigned n = 0; n < fields; n++)
        memcpy(image + n * width, &value[n], width);
    return hk_mem_write_bytes(c, (uint32_t)(c->tr.base + (is32 ? 0x20 : 0x0e)),
                              image, fields * width,
                              HK_ACC_WRITE | HK_ACC_SYSTEM);
}

static bool set_busy(struct hk_cpu *c, const struct hk_desc *d, bool busy)
{
    uint8_t type = (uint8_t)(d->raw >> 40 & ~2ull);
    return hk_mem_write(c, d->addr + 5, 1, HK_ACC_WRITE | HK_ACC_SYSTEM,
                        busy ? type | 2u : type);
}

/* ---- the new task ------------------------------------------------------- */

static bool load_ldt(struct hk_cpu *c, uint16_t selector)
{
    struct hk_desc d;
    uint32_t err = selector & ~3u;
    c->ldtr = (struct hk_segment){.selector = selector};
    if (hk_is_null(selector))
        return true;
    if ((selector & 4) != 0)
        return hk_fault_err(c, HK_VEC_TS, err);
    if (!hk_desc_read(c, selector, HK_VEC_TS, &d))
        return false;
    if ((d.attr & (HK_SEG_S | HK_SEG_TYPE)) != HK_SYS_LDT ||
        !hk_desc_is_present(&d))
        return hk_fault_err(c, HK_VEC_TS, err);
    hk_desc_unpack(&d, &c->ldtr);
    return true;
}

static bool load_code(struct hk_cpu *c, uint16_t selector)
{
    struct hk_desc d;
    uint32_t err = selector & ~3u;
    unsigned rpl = selector & 3;
    if (hk_is_null(selector))
        return hk_fault_err(c, HK_VEC_TS, 0);
    if (!hk_desc_read(c, selector, HK_VEC_TS, &d))
        return false;
    unsigned dpl = hk_desc_dpl(&d);
    bool conforming = (d.attr & HK_TYPE_CONFORMING) != 0;
    if (!hk_desc_is_code(&d) || (conforming ? dpl > rpl : dpl != rpl))
        return hk_fault_err(c, HK_VEC_TS, err);
    if (!hk_desc_is_present(&d))
        return hk_fault_err(c, HK_VEC_NP, err);
    if (!hk_desc_touch(c, &d))
        return false;
    hk_desc_unpack(&d, &c->seg[HK_SEG_CS]);
    hk_update_mode(c);
    return true;
}

static bool load_data(struct hk_cpu *c, unsigned seg, uint16_t selector)
{
    if (hk_seg_load(c, seg, selector))
        return true;
    if (c->exc.vector == HK_VEC_GP)
        c->exc.vector = HK_VEC_TS;
    return false;
}

static bool load_segments(struct hk_cpu *c, const struct task *t)
{
    static const uint8_t data[4] = {HK_SEG_ES, HK_SEG_DS, HK_SEG_FS, HK_SEG_GS};
    if (!load_ldt(c, t->ldt))
        return false;
    if ((c->sysflags & HK_RF_VM) != 0) {
        c->cpl = 3;
        for (unsigned seg = 0; seg < 6; seg++)
            hk_seg_load_real(c, seg, t->sreg[seg]);
        hk_update_mode(c);
    } else {
        unsigned cpl = t->sreg[HK_SEG_CS] & 3;
        c->cpl = (uint8_t)cpl;
        if (!hk_seg_check_stack(c, t->sreg[HK_SEG_SS], cpl, HK_VEC_TS,
                                &c->seg[HK_SEG_SS]) ||
            !load_code(c, t->sreg[HK_SEG_CS]))
            return false;
        for (unsigned n = 0; n < 4; n++) {
            if (!load_data(c, data[n], t->sreg[data[n]]))
                return false;
        }
    }
    return c->rip <= c->seg[HK_SEG_CS].limit || hk_fault_err(c, HK_VEC_GP, 0);
}

static void load_registers(struct hk_cpu *c, const struct task *t)
{
    if (t->is32 && (c->cr0 & HK_CR0_PG) != 0) {
        c->cr3 = t->cr3;
        hk_tlb_flush_nonglobal(c);
    }
    c->cr0 |= HK_CR0_TS;
    c->dr[7] &= ~0x155ull; /* the breakpoints of one task */
    for (unsigned n = 0; n < 8; n++)
        c->r[n] = t->gpr[n];
    for (unsigned seg = 0; seg < 6; seg++) {
        if (seg != HK_SEG_CS)
            hk_seg_set_null(c, seg, t->sreg[seg]);
    }
    c->seg[HK_SEG_CS].selector = t->sreg[HK_SEG_CS];
    c->rip = t->eip;
    hk_set_rflags(c, t->eflags);
    hk_update_mode(c);
}

/* ---- switching ---------------------------------------------------------- */

/* The descriptor of the task to enter, checked. */
static bool find_tss(struct hk_cpu *c, uint16_t selector, enum hk_task_how how,
                     struct hk_desc *d, struct hk_segment *s)
{
    uint32_t err = selector & ~3u;
    bool back = how == HK_TASK_RETURN;
    unsigned bad = back ? HK_VEC_TS : HK_VEC_GP;
    if ((selector & 4) != 0 || hk_is_null(selector))
        return hk_fault_err(c, bad, err);
    if (!hk_desc_read(c, selector, bad, d))
        return false;
    unsigned type = d->attr & (HK_SEG_S | HK_SEG_TYPE);
    unsigned want = back ? HK_SYS_TSS16_BUSY : HK_SYS_TSS16;
    if ((type & ~8u) != want)
        return hk_fault_err(c, bad, err);
    if (!hk_desc_is_present(d))
        return hk_fault_err(c, HK_VEC_NP, err);
    hk_desc_unpack(d, s);
    if (s->limit < ((type & 8) != 0 ? TSS32_SIZE : TSS16_SIZE) - 1u)
        return hk_fault_err(c, HK_VEC_TS, err);
    return true;
}

/* Everything that the old task still answers for. */
static bool leave_old(struct hk_cpu *c, const struct hk_desc *d,
                      const struct hk_segment *s, enum hk_task_how how,
                      uint32_t eflags)
{
    struct hk_desc old;
    bool found;
    unsigned acc = HK_ACC_WRITE | HK_ACC_SYSTEM;
    if (how == HK_TASK_RETURN)
        eflags &= ~(uint32_t)HK_RF_NT;
    if (!hk_desc_peek(c, c->tr.selector, &old, &found) || !save_old(c, eflags))
        return false;
    if (how != HK_TASK_CALL && found && !set_busy(c, &old, false))
        return false;
    if (how == HK_TASK_CALL &&
        !hk_mem_write(c, (uint32_t)s->base, 2, acc, c->tr.selector))
        return false;
    return how == HK_TASK_RETURN || set_busy(c, d, true);
}

bool hk_task_switch(struct hk_cpu *c, uint16_t selector, enum hk_task_how how,
                    uint64_t rflags, bool *entered)
{
    struct hk_desc d;
    struct hk_segment s;
    uint8_t tss[TSS32_SIZE] = {0};
    struct task t = {0};
    *entered = false;
    if (!find_tss(c, selector, how, &d, &s))
        return false;
    t.is32 = (d.attr & 8) != 0;
    uint32_t size = t.is32 ? TSS32_SIZE : TSS16_SIZE;
    if (!hk_mem_read_bytes(c, (uint32_t)s.base, tss, size,
                           HK_ACC_READ | HK_ACC_SYSTEM))
        return false;
    parse(tss, &t);
    if (!leave_old(c, &d, &s, how, (uint32_t)rflags))
        return false;
    *entered = true;
    if (how == HK_TASK_CALL)
        t.eflags |= HK_RF_NT;
    c->tr = s;
    c->tr.attr |= 2;
    load_registers(c, &t);
    if (!load_segments(c, &t))
        return false;
    if (t.trap) {
        c->dr[6] |= 1u << 15;
        hk_event_debug_trap(c);
    }
    return true;
}

bool hk_task_instruction(struct hk_cpu *c, uint16_t selector,
                         enum hk_task_how how)
{
    bool entered;
    if (hk_task_switch(c, selector, how, hk_get_rflags(c), &entered))
        return true;
    if (entered)
        hk_event_deliver(c, HK_EVENT_FAULT, c->exc.vector);
    return entered;
}

bool hk_task_return(struct hk_cpu *c)
{
    uint64_t link;
    if (!hk_mem_read(c, (uint32_t)c->tr.base, 2, HK_ACC_READ | HK_ACC_SYSTEM,
                     &link))
        return false;
    return hk_task_instruction(c, (uint16_t)link, HK_TASK_RETURN);
}
