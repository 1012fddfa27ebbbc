/*
 * The registers of a local APIC. One set of registers, numbered by their
 * place in the memory-mapped page divided by 16, serves both modes: x2APIC
 * MSR 0x800+n is register n. What differs (the ICR's width, the ID, which
 * registers exist, #GP instead of silence) is decided at the two doors.
 */
#include "chip/lapic_int.h"

enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32, /* LAPIC_LVTS of them */
    REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
    VECTOR_REGS = 8, /* ISR, TMR and IRR are eight registers each */
};

enum {
    /* Version 0x14 (integrated, with x2APIC), last LVT entry 5. */
    VERSION = 0x00050014,
    SVR_BITS = 0x3ff,
    DIVIDE_BITS = 0xb,
    ICR_BUSY = 1 << 12, /* delivery status: a message never waits here */
    ICR_LEVEL = 1 << 15,
    ICR_ASSERT = 1 << 14,
    ICR_LOGICAL = 1 << 11,
    MODE_REMOTE_READ = 3,
    DFR_FIXED = 0x0fffffff,
};

/* Bits 31:20, 17:16 and 13 of the x2APIC ICR. */
static const uint64_t ICR_RESERVED = 0xfff32000;

/* Bits of each LVT entry that a guest may change, and that read only but may
 * be written (delivery status, remote IRR). */
static const uint32_t lvt_bits[LAPIC_LVTS] = {
    [LAPIC_LVT_TIMER] = 0x700ff, [LAPIC_LVT_THERMAL] = 0x107ff,
    [LAPIC_LVT_PERF] = 0x107ff,  [LAPIC_LVT_LINT0] = 0x1a7ff,
    [LAPIC_LVT_LINT1] = 0x1a7ff, [LAPIC_LVT_ERROR] = 0x100ff,
};
static const uint32_t lvt_status_bits[LAPIC_LVTS] = {
    [LAPIC_LVT_TIMER] = 0x1000, [LAPIC_LVT_THERMAL] = 0x1000,
    [LAPIC_LVT_PERF] = 0x1000,  [LAPIC_LVT_LINT0] = 0x5000,
    [LAPIC_LVT_LINT1] = 0x5000, [LAPIC_LVT_ERROR] = 0x1000,
};

static bool is_x2apic(const struct hk_lapic *apic)
{
    return (apic->base & LAPIC_BASE_EXTD) != 0;
}

/* Highest vector of a 256-bit set, or -1. */
static int highest(const uint64_t words[LAPIC_WORDS])
{
    for (int i = LAPIC_WORDS - 1; i >= 0; i--)
        if (words[i] != 0)
            return i * 64 + 63 - __builtin_clzll(words[i]);
    return -1;
}

static int highest_requested(struct hk_lapic *apic)
{
    for (int i = LAPIC_WORDS - 1; i >= 0; i--) {
        uint64_t word =
            atomic_load_explicit(&apic->irr[i], memory_order_acquire);

        if (word != 0)
            return i * 64 + 63 - __builtin_clzll(word);
    }
    return -1;
}

/* Processor priority: the higher of task priority and what is in service. */
static void update_ppr(struct hk_lapic *apic)
{
    int in_service = highest(apic->isr);
    uint32_t service = in_service < 0 ? 0 : (uint32_t)in_service & 0xf0;
    uint32_t tpr = apic->tpr;

    atomic_store(&apic->ppr, (tpr & 0xf0) >= service ? tpr : service);
}

bool hk_lapic_accept(struct hk_lapic *apic, uint8_t vector, bool level)
{
    uint64_t bit = UINT64_C(1) << (vector % 64);

    if (level)
        atomic_fetch_or(&apic->tmr[vector / 64], bit);
    else
        atomic_fetch_and(&apic->tmr[vector / 64], ~bit);
    return (atomic_fetch_or(&apic->irr[vector / 64], bit) & bit) == 0;
}

bool hk_lapic_raise_error(struct hk_lapic *apic, uint32_t bits)
{
    uint32_t lvt = apic->lvt[LAPIC_LVT_ERROR];
    uint8_t vector = (uint8_t)lvt;

    atomic_fetch_or(&apic->esr_new, bits);
    if ((lvt & LAPIC_LVT_MASKED) != 0)
        return false;
    if (vector < LAPIC_FIRST_VECTOR) {
        atomic_fetch_or(&apic->esr_new, LAPIC_ESR_RECV_VECTOR);
        return false;
    }
    return hk_lapic_accept(apic, vector, false);
}

bool hk_lapic_raise_local(struct hk_lapic *apic, uint32_t lvt)
{
    if ((lvt & LAPIC_LVT_MASKED) != 0)
        return false;
    if ((uint8_t)lvt < LAPIC_FIRST_VECTOR)
        return hk_lapic_raise_error(apic, LAPIC_ESR_RECV_VECTOR);
    return hk_lapic_accept(apic, (uint8_t)lvt, false);
}

/* Logical ID in x2APIC mode: cluster of sixteen, and a bit within it. */
static uint32_t x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 0xf);
}

/* Everything but IA32_APIC_BASE, the ID and the task priority. */
static void reset_registers(struct hk_lapic *apic)
{
    for (size_t i = 0; i < LAPIC_WORDS; i++) {
        apic->irr[i] = 0;
        apic->tmr[i] = 0;
        apic->isr[i] = 0;
    }
    for (size_t i = 0; i < LAPIC_LVTS; i++)
        apic->lvt[i] = LAPIC_LVT_MASKED;
    apic->ldr = is_x2apic(apic) ? x2apic_ldr(apic->index) : 0;
    apic->dfr = UINT32_MAX;
    apic->svr = 0xff;
    apic->esr_new = 0;
    apic->esr = 0;
    apic->icr = 0;
    hk_lapic_timer_reset(apic);
    update_ppr(apic);
}

void hk_lapic_reset(struct hk_lapic *apic, bool init)
{
    hk_lock(&apic->lock);
    if (!init) {
        apic->base = HK_APIC_BASE | LAPIC_BASE_EN |
                     (apic->index == 0 ? LAPIC_BASE_BSP : 0);
        apic->id = apic->index;
    }
    apic->tpr = 0;
    reset_registers(apic);
    hk_unlock(&apic->lock);
}

static void finish(struct hk_lapic *apic, const struct lapic_todo *todo)
{
    struct hk_apic_bus *bus = apic->bus;

    if (todo->wake)
        apic->host->wake(apic->vcpu);
    if (todo->eoi && bus->eoi != NULL)
        bus->eoi(bus->eoi_opaque, todo->eoi_vector);
    if (todo->send)
        hk_apic_bus_route(bus, apic, &todo->msg, todo->to, todo->wide);
}

static void write_eoi(struct hk_lapic *apic, struct lapic_todo *todo)
{
    int vector = highest(apic->isr);

    if (vector < 0)
        return;
    uint64_t bit = UINT64_C(1) << (vector % 64);
    apic->isr[vector / 64] &= ~bit;
    update_ppr(apic);
    if ((apic->tmr[vector / 64] & bit) != 0) {
        todo->eoi = true;
        todo->eoi_vector = (uint8_t)vector;
    }
}

/* Sends what an ICR value says. `dest` as wide as the mode allows. */
static void send_ipi(struct hk_lapic *apic, uint32_t icr, uint32_t dest,
                     struct lapic_todo *todo)
{
    uint32_t mode = (icr >> 8) & 7;
    uint8_t vector = (uint8_t)icr;
    bool level = (icr & ICR_LEVEL) != 0;
    bool assert_level = (icr & ICR_ASSERT) != 0;

    if (mode == MODE_REMOTE_READ || mode == HK_APIC_EXTINT)
        return;
    /* INIT level de-assert only synchronised the arbitration IDs of old. */
    if (mode == HK_APIC_INIT && level && !assert_level)
        return;
    if ((mode == HK_APIC_FIXED || mode == HK_APIC_LOWEST) &&
        vector < LAPIC_FIRST_VECTOR &&
        hk_lapic_raise_error(apic, LAPIC_ESR_SEND_VECTOR))
        todo->wake = true;
    todo->send = true;
    todo->wide = is_x2apic(apic);
    todo->to = (enum lapic_short)((icr >> 18) & 3);
    /* Trigger mode and level mean nothing to other modes: IPIs are edges. */
    todo->msg = (struct hk_apic_msg){
        .dest = dest,
        .vector = vector,
        .mode = (enum hk_apic_mode)mode,
        .logical = (icr & ICR_LOGICAL) != 0,
        .assert_level = true,
    };
}

static void write_svr(struct hk_lapic *apic, uint32_t value)
{
    apic->svr = value & SVR_BITS;
    if ((value & LAPIC_SVR_ENABLE) != 0)
        return;
    /* Software-disabled: every mask bit is set and stays so. */
    for (size_t i = LAPIC_LVT_THERMAL; i < LAPIC_LVTS; i++)
        apic->lvt[i] |= LAPIC_LVT_MASKED;
}

static bool write_lvt(struct hk_lapic *apic, uint32_t entry, uint32_t value)
{
    value &= lvt_bits[entry];
    if ((apic->svr & LAPIC_SVR_ENABLE) == 0)
        value |= LAPIC_LVT_MASKED;
    if (entry == LAPIC_LVT_TIMER)
        return hk_lapic_timer_set_lvt(apic, value);
    apic->lvt[entry] = value;
    return false;
}

/* Registers that both modes write alike. False: there is no such register. */
static bool write_common(struct hk_lapic *apic, uint32_t reg, uint32_t value,
                         struct lapic_todo *todo)
{
    switch (reg) {
    case REG_TPR:
        apic->tpr = value & 0xff;
        update_ppr(apic);
        break;
    case REG_EOI:
        write_eoi(apic, todo);
        break;
    case REG_SVR:
        write_svr(apic, value);
        if ((value & LAPIC_SVR_ENABLE) == 0)
            todo->wake |= hk_lapic_timer_set_lvt(
                apic, apic->lvt[LAPIC_LVT_TIMER] | LAPIC_LVT_MASKED);
        break;
    case REG_ESR:
        apic->esr = atomic_exchange(&apic->esr_new, 0);
        break;
    case REG_TIMER_INITIAL:
        todo->wake |= hk_lapic_timer_set_initial(apic, value);
        break;
    case REG_TIMER_DIVIDE:
        todo->wake |= hk_lapic_timer_set_divide(apic, value & DIVIDE_BITS);
        break;
    default:
        if (reg < REG_LVT || reg >= REG_LVT + LAPIC_LVTS)
            return false;
        todo->wake |= write_lvt(apic, reg - REG_LVT, value);
        break;
    }
    return true;
}

static uint32_t read_vectors(uint64_t word, uint32_t reg)
{
    return (uint32_t)(word >> ((reg & 1) * 32));
}

/* Registers that both modes read alike. False: there is no such register. */
static bool read_common(struct hk_lapic *apic, uint32_t reg, uint32_t *value,
                        struct lapic_todo *todo)
{
    switch (reg) {
    case REG_VERSION:
        *value = VERSION;
        return true;
    case REG_TPR:
        *value = apic->tpr;
        return true;
    case REG_PPR:
        *value = apic->ppr;
        return true;
    case REG_LDR:
        *value = apic->ldr;
        return true;
    case REG_SVR:
        *value = apic->svr;
        return true;
    case REG_ESR:
        *value = apic->esr;
        return true;
    case REG_TIMER_INITIAL:
        *value = apic->timer.initial;
        return true;
    case REG_TIMER_CURRENT:
        todo->wake |= hk_lapic_timer_sync(apic);
        *value = hk_lapic_timer_current(apic);
        return true;
    case REG_TIMER_DIVIDE:
        *value = apic->timer.divide;
        return true;
    default:
        break;
    }
    if (reg >= REG_LVT && reg < REG_LVT + LAPIC_LVTS)
        *value = apic->lvt[reg - REG_LVT];
    else if (reg >= REG_ISR && reg < REG_ISR + VECTOR_REGS)
        *value = read_vectors(apic->isr[(reg - REG_ISR) / 2], reg);
    else if (reg >= REG_TMR && reg < REG_TMR + VECTOR_REGS)
        *value = read_vectors(apic->tmr[(reg - REG_TMR) / 2], reg);
    else if (reg >= REG_IRR && reg < REG_IRR + VECTOR_REGS)
        *value = read_vectors(apic->irr[(reg - REG_IRR) / 2], reg);
    else
        return false;
    return true;
}

static uint32_t read_mmio(struct hk_lapic *apic, uint32_t reg,
                          struct lapic_todo *todo)
{
    uint32_t value = 0;

    switch (reg) {
    case REG_ID:
        return apic->id << 24;
    case REG_EOI: /* write only */
        return 0;
    case REG_DFR:
        return apic->dfr;
    case REG_ICR:
        return (uint32_t)apic->icr;
    case REG_ICR_HIGH:
        return (uint32_t)(apic->icr >> 32);
    default:
        break;
    }
    if (!read_common(apic, reg, &value, todo))
        todo->wake |= hk_lapic_raise_error(apic, LAPIC_ESR_REGISTER);
    return value;
}

/* True for what exists but cannot be written. */
static bool is_read_only(uint32_t reg)
{
    return reg == REG_VERSION || reg == REG_PPR || reg == REG_TIMER_CURRENT ||
           (reg >= REG_ISR && reg < REG_IRR + VECTOR_REGS);
}

static void write_mmio(struct hk_lapic *apic, uint32_t reg, uint32_t value,
                       struct lapic_todo *todo)
{
    switch (reg) {
    case REG_ID:
        apic->id = value >> 24;
        return;
    case REG_LDR:
        apic->ldr = value & 0xff000000;
        return;
    case REG_DFR:
        apic->dfr = value | DFR_FIXED;
        return;
    case REG_ICR:
        value &= ~(uint32_t)ICR_BUSY;
        apic->icr = (apic->icr & ~UINT64_C(0xffffffff)) | value;
        send_ipi(apic, value, (uint32_t)(apic->icr >> 56), todo);
        return;
    case REG_ICR_HIGH:
        apic->icr = (apic->icr & 0xffffffff) | (uint64_t)(value & 0xff000000)
                                                   << 32;
        return;
    default:
        break;
    }
    if (!write_common(apic, reg, value, todo) && !is_read_only(reg))
        todo->wake |= hk_lapic_raise_error(apic, LAPIC_ESR_REGISTER);
}

uint64_t hk_lapic_read(struct hk_lapic *apic, uint64_t offset, uint32_t size)
{
    struct lapic_todo todo = {0};

    if (!hk_lapic_is_mapped(apic) || offset >= HK_APIC_SIZE)
        return UINT64_MAX;
    uint32_t reg = (uint32_t)offset >> 4;
    uint32_t within = (uint32_t)offset & 0xf;
    /* Only the first four of each sixteen bytes are a register. */
    if (within >= 4)
        return 0;
    hk_lock(&apic->lock);
    uint32_t value = read_mmio(apic, reg, &todo);
    hk_unlock(&apic->lock);
    finish(apic, &todo);
    return value >> (within * 8);
}

void hk_lapic_write(struct hk_lapic *apic, uint64_t offset, uint32_t size,
                    uint64_t value)
{
    struct lapic_todo todo = {0};

    if (!hk_lapic_is_mapped(apic) || offset >= HK_APIC_SIZE ||
        (offset & 0xf) != 0 || size < 4)
        return;
    hk_lock(&apic->lock);
    write_mmio(apic, (uint32_t)offset >> 4, (uint32_t)value, &todo);
    hk_unlock(&apic->lock);
    finish(apic, &todo);
}

/* Bits that may be written in x2APIC mode; the ICR has its own rule. */
static uint32_t x2apic_bits(uint32_t reg)
{
    switch (reg) {
    case REG_TPR:
    case REG_SELF_IPI:
        return 0xff;
    case REG_SVR:
        return SVR_BITS;
    case REG_TIMER_INITIAL:
        return UINT32_MAX;
    case REG_TIMER_DIVIDE:
        return DIVIDE_BITS;
    default:
        break;
    }
    if (reg >= REG_LVT && reg < REG_LVT + LAPIC_LVTS)
        return lvt_bits[reg - REG_LVT] | lvt_status_bits[reg - REG_LVT];
    return 0; /* EOI and ESR take only 0 */
}

static bool read_x2apic(struct hk_lapic *apic, uint32_t reg, uint64_t *value,
                        struct lapic_todo *todo)
{
    uint32_t low;

    if (reg == REG_ID) {
        *value = apic->id;
        return true;
    }
    if (reg == REG_ICR) {
        *value = apic->icr;
        return true;
    }
    if (!read_common(apic, reg, &low, todo))
        return false;
    *value = low;
    return true;
}

static bool write_x2apic(struct hk_lapic *apic, uint32_t reg, uint64_t value,
                         struct lapic_todo *todo)
{
    if (reg == REG_ICR) {
        if ((value & ICR_RESERVED) != 0)
            return false;
        apic->icr = value & ~(uint64_t)ICR_BUSY;
        send_ipi(apic, (uint32_t)apic->icr, (uint32_t)(value >> 32), todo);
        return true;
    }
    if ((value & ~(uint64_t)x2apic_bits(reg)) != 0)
        return false;
    if (reg == REG_SELF_IPI) {
        send_ipi(apic, LAPIC_SHORT_SELF << 18 | (uint32_t)value, 0, todo);
        return true;
    }
    return write_common(apic, reg, (uint32_t)value, todo);
}

/* IA32_APIC_BASE. Legal steps: off to xAPIC, xAPIC to x2APIC, any to off. */
static bool write_base(struct hk_lapic *apic, uint64_t value)
{
    const uint64_t modes = LAPIC_BASE_EN | LAPIC_BASE_EXTD;
    uint64_t reserved = 0x2ff;
    uint64_t old = apic->base & modes;
    uint64_t mode = value & modes;

    if (apic->bus->phys_bits < 64)
        reserved |= UINT64_MAX << apic->bus->phys_bits;
    if ((value & reserved) != 0 || mode == LAPIC_BASE_EXTD)
        return false;
    if (old == modes && mode == LAPIC_BASE_EN)
        return false;
    if (old == 0 && mode == modes)
        return false;

    apic->base = value;
    if (mode == old)
        return true;
    if (mode == 0) {
        apic->id = apic->index;
        reset_registers(apic);
    } else if (mode == modes) {
        apic->id = apic->index;
        apic->ldr = x2apic_ldr(apic->index);
    }
    return true;
}

bool hk_lapic_msr_read(struct hk_lapic *apic, uint32_t msr, uint64_t *value)
{
    struct lapic_todo todo = {0};
    bool ok = true;

    hk_lock(&apic->lock);
    if (msr == HK_APIC_MSR_BASE) {
        *value = apic->base;
    } else if (msr == HK_APIC_MSR_TSC_DEADLINE) {
        todo.wake |= hk_lapic_timer_sync(apic);
        *value = apic->timer.deadline;
    } else {
        ok = is_x2apic(apic) && msr - HK_APIC_MSR_X2APIC <= 0xff &&
             read_x2apic(apic, msr - HK_APIC_MSR_X2APIC, value, &todo);
    }
    hk_unlock(&apic->lock);
    finish(apic, &todo);
    return ok;
}

bool hk_lapic_msr_write(struct hk_lapic *apic, uint32_t msr, uint64_t value)
{
    struct lapic_todo todo = {0};
    bool ok = true;

    hk_lock(&apic->lock);
    if (msr == HK_APIC_MSR_BASE)
        ok = write_base(apic, value);
    else if (msr == HK_APIC_MSR_TSC_DEADLINE)
        todo.wake |= hk_lapic_timer_set_deadline(apic, value);
    else
        ok = is_x2apic(apic) && msr - HK_APIC_MSR_X2APIC <= 0xff &&
             write_x2apic(apic, msr - HK_APIC_MSR_X2APIC, value, &todo);
    hk_unlock(&apic->lock);
    finish(apic, &todo);
    return ok;
}

uint8_t hk_lapic_get_cr8(struct hk_lapic *apic)
{
    return (uint8_t)(apic->tpr >> 4);
}

void hk_lapic_set_cr8(struct hk_lapic *apic, uint8_t value)
{
    hk_lock(&apic->lock);
    apic->tpr = (uint32_t)(value & 0xf) << 4;
    update_ppr(apic);
    hk_unlock(&apic->lock);
}

bool hk_lapic_is_mapped(struct hk_lapic *apic)
{
    return (apic->base & (LAPIC_BASE_EN | LAPIC_BASE_EXTD)) == LAPIC_BASE_EN;
}

bool hk_lapic_is_enabled(struct hk_lapic *apic)
{
    return (apic->base & LAPIC_BASE_EN) != 0;
}

uint64_t hk_lapic_base(struct hk_lapic *apic)
{
    return apic->base & ~UINT64_C(0xfff);
}

/* The waiting vector, or -1 when none is above the processor priority. */
static int deliverable(struct hk_lapic *apic)
{
    int vector = highest_requested(apic);

    if (vector < 0)
        return -1;
    uint32_t ppr = atomic_load_explicit(&apic->ppr, memory_order_acquire);
    return ((uint32_t)vector & 0xf0) > (ppr & 0xf0) ? vector : -1;
}

bool hk_lapic_has_interrupt(struct hk_lapic *apic)
{
    return deliverable(apic) >= 0;
}

int hk_lapic_ack(struct hk_lapic *apic)
{
    hk_lock(&apic->lock);
    int vector = deliverable(apic);
    if (vector >= 0) {
        uint64_t bit = UINT64_C(1) << (vector % 64);

        atomic_fetch_and(&apic->irr[vector / 64], ~bit);
        apic->isr[vector / 64] |= bit;
        update_ppr(apic);
    }
    hk_unlock(&apic->lock);
    return vector;
}
