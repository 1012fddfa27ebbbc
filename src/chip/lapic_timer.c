/*
 * The local APIC's timer (Intel SDM volume 3, "APIC Timer").
 *
 * Nothing ticks. A count in progress is the guest TSC at which it began and
 * the number of counts after which it expires next; everything else follows
 * from the TSC read when somebody asks. A periodic timer moves `next` on by
 * whole periods, so its phase never drifts, however late it is polled, and
 * a change between one-shot and periodic goes on from the same count.
 */
#include "chip/lapic_int.h"

enum {
    /* A periodic timer asks to be polled at most this often. */
    POLLS_PER_SECOND = 50000,
};

__extension__ typedef unsigned __int128 wide_t;

/* Divider of the bus clock: the three bits 3, 1 and 0 of TDCR. */
static uint32_t divisor(uint32_t divide)
{
    uint32_t code = (divide & 3) | ((divide >> 1) & 4);

    return code == 7 ? 1 : 2u << code;
}

static uint32_t timer_mode(const struct hk_lapic *apic)
{
    return apic->lvt[LAPIC_LVT_TIMER] & LAPIC_TIMER_MODE;
}

static uint64_t tsc_now(const struct hk_lapic *apic)
{
    return apic->host->tsc(apic->vcpu);
}

/* Counts from the start until `now`. A TSC that was set back counts none. */
static uint64_t counts(const struct hk_lapic *apic, uint64_t now)
{
    const struct lapic_timer *timer = &apic->timer;
    wide_t unit = (wide_t)apic->bus->tsc_hz * divisor(timer->divide);

    if (now <= timer->start)
        return 0;
    wide_t n = (wide_t)(now - timer->start) * apic->bus->timer_hz / unit;
    return n > UINT64_MAX ? UINT64_MAX : (uint64_t)n;
}

/* Guest TSC of the next expiry, rounded up. */
static uint64_t expiry(const struct hk_lapic *apic)
{
    const struct lapic_timer *timer = &apic->timer;
    wide_t hz = apic->bus->timer_hz;
    /* Whole seconds and the rest apart: no product passes 128 bits. */
    wide_t ticks = (wide_t)timer->next * divisor(timer->divide);
    wide_t tsc = ticks / hz * apic->bus->tsc_hz +
                 (ticks % hz * apic->bus->tsc_hz + hz - 1) / hz;

    tsc += timer->start;
    return tsc >= UINT64_MAX ? UINT64_MAX - 1 : (uint64_t)tsc;
}

/* Works out when the timer wants to be polled. */
static void arm(struct hk_lapic *apic, uint64_t now)
{
    const struct lapic_timer *timer = &apic->timer;
    uint64_t due = UINT64_MAX;

    if ((apic->lvt[LAPIC_LVT_TIMER] & LAPIC_LVT_MASKED) != 0) {
        /* Nobody will hear it; timer_sync catches up when asked. */
    } else if (timer_mode(apic) == LAPIC_TIMER_DEADLINE) {
        if (timer->deadline != 0)
            due = timer->deadline;
    } else if (timer->running) {
        due = expiry(apic);
        if (timer_mode(apic) == LAPIC_TIMER_PERIODIC) {
            uint64_t soon = now + apic->bus->tsc_hz / POLLS_PER_SECOND;

            if (due < soon && now < soon)
                due = soon;
        }
    }
    atomic_store(&apic->due, due);
}

static bool expire_count(struct hk_lapic *apic, uint64_t now)
{
    struct lapic_timer *timer = &apic->timer;
    uint64_t count = counts(apic, now);

    if (!timer->running || count < timer->next)
        return false;
    if (timer_mode(apic) == LAPIC_TIMER_PERIODIC)
        timer->next +=
            ((count - timer->next) / timer->initial + 1) * timer->initial;
    else
        timer->running = false;
    return true;
}

static bool expire_deadline(struct hk_lapic *apic, uint64_t now)
{
    struct lapic_timer *timer = &apic->timer;

    if (timer->deadline == 0 || now < timer->deadline)
        return false;
    timer->deadline = 0;
    return true;
}

static bool sync_at(struct hk_lapic *apic, uint64_t now)
{
    uint32_t lvt = apic->lvt[LAPIC_LVT_TIMER];
    bool fired = timer_mode(apic) == LAPIC_TIMER_DEADLINE
                     ? expire_deadline(apic, now)
                     : expire_count(apic, now);

    if (fired)
        arm(apic, now);
    return fired && hk_lapic_raise_local(apic, lvt);
}

bool hk_lapic_timer_sync(struct hk_lapic *apic)
{
    return sync_at(apic, tsc_now(apic));
}

void hk_lapic_timer_reset(struct hk_lapic *apic)
{
    apic->timer = (struct lapic_timer){0};
    atomic_store(&apic->due, UINT64_MAX);
}

bool hk_lapic_timer_set_lvt(struct hk_lapic *apic, uint32_t lvt)
{
    uint64_t now = tsc_now(apic);
    bool wake = sync_at(apic, now);
    uint32_t old = timer_mode(apic);
    uint32_t mode = lvt & LAPIC_TIMER_MODE;

    apic->lvt[LAPIC_LVT_TIMER] = lvt;
    /* Entering or leaving TSC-deadline mode disarms (and mode 3, which is
     * reserved, never counts). */
    if (mode != old &&
        (mode >= LAPIC_TIMER_DEADLINE || old >= LAPIC_TIMER_DEADLINE)) {
        apic->timer.running = false;
        apic->timer.initial = 0;
        apic->timer.deadline = 0;
    }
    arm(apic, now);
    return wake;
}

bool hk_lapic_timer_set_initial(struct hk_lapic *apic, uint32_t count)
{
    struct lapic_timer *timer = &apic->timer;

    if (timer_mode(apic) >= LAPIC_TIMER_DEADLINE)
        return false;
    uint64_t now = tsc_now(apic);
    bool wake = sync_at(apic, now);

    timer->initial = count;
    timer->running = count != 0;
    timer->start = now;
    timer->next = count;
    arm(apic, now);
    return wake;
}

bool hk_lapic_timer_set_divide(struct hk_lapic *apic, uint32_t divide)
{
    struct lapic_timer *timer = &apic->timer;
    uint64_t now = tsc_now(apic);
    bool wake = sync_at(apic, now);

    if (timer->running) {
        timer->next -= counts(apic, now);
        timer->start = now;
    }
    timer->divide = divide;
    arm(apic, now);
    return wake;
}

bool hk_lapic_timer_set_deadline(struct hk_lapic *apic, uint64_t tsc)
{
    if (timer_mode(apic) != LAPIC_TIMER_DEADLINE)
        return false;
    uint64_t now = tsc_now(apic);
    bool wake = sync_at(apic, now);

    apic->timer.deadline = tsc;
    arm(apic, now);
    return sync_at(apic, now) || wake;
}

uint32_t hk_lapic_timer_current(struct hk_lapic *apic)
{
    const struct lapic_timer *timer = &apic->timer;

    if (!timer->running || timer_mode(apic) >= LAPIC_TIMER_DEADLINE)
        return 0;
    uint64_t count = counts(apic, tsc_now(apic));
    /* A count that ended since the last sync: about to be seen. */
    return count >= timer->next ? 0 : (uint32_t)(timer->next - count);
}

uint64_t hk_lapic_poll_timer(struct hk_lapic *apic)
{
    uint64_t due = atomic_load_explicit(&apic->due, memory_order_relaxed);

    if (due == UINT64_MAX || tsc_now(apic) < due)
        return due;
    hk_lock(&apic->lock);
    bool wake = hk_lapic_timer_sync(apic);
    due = atomic_load(&apic->due);
    hk_unlock(&apic->lock);
    if (wake)
        apic->host->wake(apic->vcpu);
    return due;
}
