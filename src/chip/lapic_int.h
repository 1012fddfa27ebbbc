/*
 * The inside of a local APIC, shared by its registers (lapic.c), its timer
 * (lapic_timer.c) and the routing of messages (apic_bus.c).
 *
 * Atomic fields are read by other vCPUs when they route or deliver; all of
 * them are written under the lock except `irr`, `tmr` and `esr_new`, which
 * any sender may change. Functions that may produce a callback leave it in a
 * `struct lapic_todo`, carried out after the lock is released.
 */
#ifndef HK_CHIP_LAPIC_INT_H
#define HK_CHIP_LAPIC_INT_H

#include "base/lock.h"
#include "chip/lapic.h"

#include <stdatomic.h>

enum {
    LAPIC_VECTORS = 256,
    LAPIC_FIRST_VECTOR = 16, /* 0 to 15 are illegal */
    LAPIC_WORDS = LAPIC_VECTORS / 64,
};

/* IA32_APIC_BASE */
enum {
    LAPIC_BASE_BSP = 1 << 8,
    LAPIC_BASE_EXTD = 1 << 10,
    LAPIC_BASE_EN = 1 << 11,
};

/* SVR, ESR */
enum {
    LAPIC_SVR_ENABLE = 1 << 8,
    LAPIC_ESR_SEND_VECTOR = 1 << 5,
    LAPIC_ESR_RECV_VECTOR = 1 << 6,
    LAPIC_ESR_REGISTER = 1 << 7,
};

/* Local vector table entries, in register order from 0x320. */
enum {
    LAPIC_LVT_TIMER,
    LAPIC_LVT_THERMAL,
    LAPIC_LVT_PERF,
    LAPIC_LVT_LINT0,
    LAPIC_LVT_LINT1,
    LAPIC_LVT_ERROR,
    LAPIC_LVTS,
};

enum {
    LAPIC_LVT_MASKED = 1 << 16,
    LAPIC_TIMER_MODE = 3 << 17,
    LAPIC_TIMER_ONE_SHOT = 0,
    LAPIC_TIMER_PERIODIC = 1 << 17,
    LAPIC_TIMER_DEADLINE = 2 << 17,
};

/* Destination shorthands of the ICR. */
enum lapic_short {
    LAPIC_SHORT_NONE,
    LAPIC_SHORT_SELF,
    LAPIC_SHORT_ALL,
    LAPIC_SHORT_OTHERS,
};

struct lapic_timer {
    uint32_t initial;  /* TMICT */
    uint32_t divide;   /* TDCR */
    bool running;      /* counting; not in TSC-deadline mode */
    uint64_t start;    /* guest TSC at which the count began */
    uint64_t next;     /* expiry, in counts since `start` */
    uint64_t deadline; /* IA32_TSC_DEADLINE, 0 when not armed */
};

struct hk_lapic {
    struct hk_apic_bus *bus;
    const struct hk_lapic_host *host;
    void *vcpu;
    uint32_t index;
    struct hk_lock lock;

    _Atomic uint64_t base; /* IA32_APIC_BASE */
    _Atomic uint32_t id;
    _Atomic uint32_t ldr;
    _Atomic uint32_t dfr;
    _Atomic uint32_t svr;
    _Atomic uint32_t tpr;
    _Atomic uint32_t ppr;
    _Atomic uint32_t lvt[LAPIC_LVTS];
    _Atomic uint64_t irr[LAPIC_WORDS];
    _Atomic uint64_t tmr[LAPIC_WORDS];
    uint64_t isr[LAPIC_WORDS];

    _Atomic uint32_t esr_new; /* errors since the last write of ESR */
    uint32_t esr;
    uint64_t icr;

    struct lapic_timer timer;
    _Atomic uint64_t due; /* next poll_timer, UINT64_MAX for never */
};

struct hk_apic_bus {
    uint32_t max;
    uint32_t phys_bits;
    uint64_t timer_hz;
    uint64_t tsc_hz;
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    atomic_uint rotor; /* where the search for lowest priority starts */
    _Atomic uint32_t count;
    struct hk_lapic *apics[];
};

struct lapic_todo {
    bool wake;
    bool eoi;
    uint8_t eoi_vector;
    bool send;
    bool wide; /* the destination has 32 bits */
    enum lapic_short to;
    struct hk_apic_msg msg;
};

/* Sets the IRR bit. True when it was clear: the vCPU must be woken. */
bool hk_lapic_accept(struct hk_lapic *apic, uint8_t vector, bool level);

/* Notes an error and raises its interrupt. True: wake the vCPU. */
bool hk_lapic_raise_error(struct hk_lapic *apic, uint32_t bits);

/* Raises the interrupt of a local source of fixed mode. True: wake. */
bool hk_lapic_raise_local(struct hk_lapic *apic, uint32_t lvt);

/* Routes a message. `from` is NULL for one that is no IPI. */
void hk_apic_bus_route(struct hk_apic_bus *bus, struct hk_lapic *from,
                       const struct hk_apic_msg *msg, enum lapic_short to,
                       bool wide);

/* Timer; all under the lock. A true result asks for a wake. */
void hk_lapic_timer_reset(struct hk_lapic *apic);
bool hk_lapic_timer_sync(struct hk_lapic *apic); /* fires it if it is due */
bool hk_lapic_timer_set_lvt(struct hk_lapic *apic, uint32_t lvt);
bool hk_lapic_timer_set_initial(struct hk_lapic *apic, uint32_t count);
bool hk_lapic_timer_set_divide(struct hk_lapic *apic, uint32_t divide);
bool hk_lapic_timer_set_deadline(struct hk_lapic *apic, uint64_t tsc);
uint32_t hk_lapic_timer_current(struct hk_lapic *apic);

#endif
