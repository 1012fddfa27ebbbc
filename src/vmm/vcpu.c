/*
 * A vCPU's thread: runs the guest, sleeps while it is halted, and carries out
 * what other vCPUs ask of it (INIT, start-up, NMI).
 *
 * How sleeping and waking fit together: whoever has something for a vCPU sets
 * a bit in `events` under its lock and signals. The thread first takes the
 * bits (and so clears them), then looks at the local APIC, then sleeps only
 * while no bit is set. An interrupt that arrives between the look and the
 * sleep has set its bit, so it is never slept over. A vCPU that is inside the
 * guest is poked (look at interrupts) or kicked (come out) as well; the back
 * end keeps both for the next entry when they come too early.
 */
#define HK_LOG_TAG "vcpu"
#include "vmm/vm_int.h"

#include "base/log.h"
#include "chip/lapic.h"
#include "os/thread.h"

#include <stdio.h>
#include <string.h>

static void raise_event(struct hk_vm_vcpu *vcpu, uint32_t events)
{
    uv_mutex_lock(&vcpu->lock);
    vcpu->events |= events;
    uv_mutex_unlock(&vcpu->lock);
    /* Outside, so that who wakes up finds the lock free. */
    uv_cond_signal(&vcpu->cond);
}

static const struct hk_hv_ops *hv_of(const struct hk_vm_vcpu *vcpu)
{
    return vcpu->vm->machine.hv;
}

/* ------------------------------------------------------------------ */
/* What the local APIC asks; any thread                               */

static void on_wake(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    raise_event(vcpu, HK_VCPU_WAKE);
    hv_of(vcpu)->vcpu_poke(vcpu->hv);
}

static void on_init(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    uv_mutex_lock(&vcpu->lock);
    /* A start-up IPI counts only after INIT. */
    vcpu->events = (vcpu->events | HK_VCPU_INIT) & ~(uint32_t)HK_VCPU_SIPI;
    uv_cond_signal(&vcpu->cond);
    uv_mutex_unlock(&vcpu->lock);
    hv_of(vcpu)->vcpu_kick(vcpu->hv);
}

static void on_sipi(void *opaque, uint8_t vector)
{
    struct hk_vm_vcpu *vcpu = opaque;
    uv_mutex_lock(&vcpu->lock);
    vcpu->events |= HK_VCPU_SIPI;
    vcpu->sipi_vector = vector;
    uv_cond_signal(&vcpu->cond);
    uv_mutex_unlock(&vcpu->lock);
}

static void on_nmi(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    /* A processor that waits for its start-up IPI takes no NMI. */
    if (atomic_load(&vcpu->mode) == HK_VCPU_WAITING)
        return;
    hv_of(vcpu)->vcpu_nmi(vcpu->hv);
    raise_event(vcpu, HK_VCPU_NMI);
}

static uint64_t on_tsc(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    return hv_of(vcpu)->vcpu_tsc(vcpu->hv);
}

const struct hk_lapic_host hk_vcpu_lapic_host = {
    .wake = on_wake,
    .init = on_init,
    .sipi = on_sipi,
    .nmi = on_nmi,
    .tsc = on_tsc,
};

/* ------------------------------------------------------------------ */
/* INIT and start-up                                                  */

static struct hk_segment real_mode_segment(uint16_t attr)
{
    return (struct hk_segment){.limit = 0xffff, .attr = attr};
}

void hk_vcpu_startup_state(struct hk_vcpu_state *state, uint8_t vector)
{
    enum {
        CODE = 0x9b, /* present, code, readable, accessed */
        DATA = 0x93, /* present, data, writable, accessed */
        LDT = 0x82,
        TSS = 0x8b,
    };
    memset(state->gpr, 0, sizeof(state->gpr));
    memset(state->dr, 0, sizeof(state->dr));
    state->rip = 0;
    state->rflags = 2;
    /* CD and NW stay as they are: SDM 3, table "INIT". */
    state->cr0 = (state->cr0 & 0x60000000) | 0x10;
    state->cr2 = state->cr3 = state->cr4 = state->cr8 = 0;
    state->efer = 0;
    state->cs = real_mode_segment(CODE);
    state->cs.selector = (uint16_t)(vector << 8);
    state->cs.base = (uint64_t)vector << 12;
    state->ds = state->es = state->fs = state->gs = state->ss =
        real_mode_segment(DATA);
    state->ldtr = real_mode_segment(LDT);
    state->tr = real_mode_segment(TSS);
    state->gdtr = state->idtr = (struct hk_table_reg){.limit = 0xffff};
    state->dr[6] = 0xffff0ff0;
    state->dr[7] = 0x400;
}

static void apply_init(struct hk_vm_vcpu *vcpu)
{
    if (vcpu->index == 0) {
        /* The boot processor would start firmware that is not there. */
        hk_vm_end(vcpu->vm, HK_END_RESET, 0, vcpu);
        return;
    }
    hk_lapic_reset(vcpu->lapic, true);
    vcpu->svr = (struct hk_svr_watch){0};
    atomic_store(&vcpu->mode, HK_VCPU_WAITING);
}

static void apply_sipi(struct hk_vm_vcpu *vcpu, uint8_t vector)
{
    if (atomic_load(&vcpu->mode) != HK_VCPU_WAITING)
        return; /* the second of a pair, or a stray one */
    struct hk_vcpu_state state;
    int rc = hv_of(vcpu)->vcpu_get_state(vcpu->hv, &state);
    hk_vcpu_startup_state(&state, vector);
    if (rc != 0 || hv_of(vcpu)->vcpu_set_state(vcpu->hv, &state) != 0) {
        HK_LOG_E("vCPU %u: the back end refused the start-up state",
                 vcpu->index);
        hk_vm_end(vcpu->vm, HK_END_FAILED, 0, NULL);
        return;
    }
    HK_LOG_D("vCPU %u starts at 0x%x", vcpu->index, (unsigned)vector << 12);
    atomic_store(&vcpu->mode, HK_VCPU_RUNNING);
}

/* Takes the waiting events and carries out all but WAKE. */
static void handle_events(struct hk_vm_vcpu *vcpu)
{
    uv_mutex_lock(&vcpu->lock);
    uint32_t events = vcpu->events;
    uint8_t vector = vcpu->sipi_vector;
    vcpu->events = 0;
    uv_mutex_unlock(&vcpu->lock);

    if (events & HK_VCPU_INIT)
        apply_init(vcpu);
    if (events & HK_VCPU_SIPI)
        apply_sipi(vcpu, vector);
    if ((events & HK_VCPU_NMI) && atomic_load(&vcpu->mode) == HK_VCPU_HALTED)
        atomic_store(&vcpu->mode, HK_VCPU_RUNNING);
}

/* ------------------------------------------------------------------ */
/* Sleeping                                                           */

/* Sleeps until there is an event, the VM stops, or `ns` are over. */
static void wait_for_event(struct hk_vm_vcpu *vcpu, uint64_t ns)
{
    uv_mutex_lock(&vcpu->lock);
    while (vcpu->events == 0 && !atomic_load(&vcpu->vm->stopping)) {
        if (ns == UINT64_MAX)
            uv_cond_wait(&vcpu->cond, &vcpu->lock);
        else if (uv_cond_timedwait(&vcpu->cond, &vcpu->lock, ns) != 0)
            break;
    }
    uv_mutex_unlock(&vcpu->lock);
}

/* Host nanoseconds until the guest's TSC reaches `deadline`. */
static uint64_t ns_until(struct hk_vm_vcpu *vcpu, uint64_t deadline)
{
    const uint64_t longest = (uint64_t)3600 * 1000000000;
    if (deadline == UINT64_MAX)
        return UINT64_MAX;
    uint64_t now = hv_of(vcpu)->vcpu_tsc(vcpu->hv);
    if (now >= deadline)
        return 0;
    /* Rounded up, so that the timer is due when the sleep is over. */
    uint64_t hz = vcpu->vm->machine.tsc_hz;
    unsigned __int128 ns =
        ((unsigned __int128)(deadline - now) * 1000000000 + hz - 1) / hz;
    return ns > longest ? longest : (uint64_t)ns;
}

static bool takes_interrupts(struct hk_vm_vcpu *vcpu)
{
    const uint64_t interrupt_flag = 1 << 9;
    struct hk_vcpu_state state;
    if (hv_of(vcpu)->vcpu_get_state(vcpu->hv, &state) != 0)
        return true;
    return (state.rflags & interrupt_flag) != 0;
}

/* One look at a halted vCPU: goes on, or sleeps until something happens. */
static void rest(struct hk_vm_vcpu *vcpu)
{
    if (vcpu->lapic == NULL) { /* the platform knows when to go on */
        atomic_store(&vcpu->mode, HK_VCPU_RUNNING);
        return;
    }
    uint64_t deadline = hk_lapic_poll_timer(vcpu->lapic);
    if (hk_lapic_has_interrupt(vcpu->lapic) && takes_interrupts(vcpu)) {
        atomic_fetch_add(&vcpu->counters[HK_VM_WAKES], 1);
        atomic_store(&vcpu->mode, HK_VCPU_RUNNING);
        return;
    }
    uint64_t ns = ns_until(vcpu, deadline);
    if (ns != 0)
        wait_for_event(vcpu, ns);
}

/* ------------------------------------------------------------------ */
/* Running                                                            */

static void run(struct hk_vm_vcpu *vcpu)
{
    switch (hv_of(vcpu)->vcpu_run(vcpu->hv)) {
    case HK_HV_EXIT_KICKED:
        return;
    case HK_HV_EXIT_HALTED:
        atomic_fetch_add(&vcpu->counters[HK_VM_HALTS], 1);
        atomic_store(&vcpu->mode, HK_VCPU_HALTED);
        return;
    case HK_HV_EXIT_SHUTDOWN:
        hk_vm_end(vcpu->vm, HK_END_TRIPLE_FAULT, 0, vcpu);
        return;
    case HK_HV_EXIT_DEBUG:
        HK_LOG_E("vCPU %u: a debug stop that nobody asked for", vcpu->index);
        hk_vm_end(vcpu->vm, HK_END_FAILED, 0, vcpu);
        return;
    case HK_HV_EXIT_FAILED:
        HK_LOG_E("vCPU %u: the back end cannot go on", vcpu->index);
        hk_vm_end(vcpu->vm, HK_END_FAILED, 0, vcpu);
        return;
    }
}

/* False when the VM stops before it ran. */
static bool wait_for_go(struct hk_vm *vm)
{
    uv_mutex_lock(&vm->lock);
    while (!vm->go && !atomic_load(&vm->stopping))
        uv_cond_wait(&vm->cond, &vm->lock);
    uv_mutex_unlock(&vm->lock);
    return !atomic_load(&vm->stopping);
}

void hk_vcpu_main(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    char name[16];
    (void)snprintf(name, sizeof(name), "husk-cpu%u", vcpu->index);
    hk_thread_enter(name);
    if (!wait_for_go(vcpu->vm))
        return;
    while (!atomic_load(&vcpu->vm->stopping)) {
        handle_events(vcpu);
        switch (atomic_load(&vcpu->mode)) {
        case HK_VCPU_RUNNING:
            run(vcpu);
            break;
        case HK_VCPU_HALTED:
            rest(vcpu);
            break;
        case HK_VCPU_WAITING:
            wait_for_event(vcpu, UINT64_MAX);
            break;
        }
    }
}

void hk_vcpu_stop(struct hk_vm_vcpu *vcpu)
{
    uv_mutex_lock(&vcpu->lock);
    uv_cond_signal(&vcpu->cond);
    uv_mutex_unlock(&vcpu->lock);
    hv_of(vcpu)->vcpu_kick(vcpu->hv);
}

int hk_vcpu_init(struct hk_vm_vcpu *vcpu, struct hk_vm *vm, uint32_t index)
{
    vcpu->vm = vm;
    vcpu->index = index;
    if (uv_mutex_init(&vcpu->lock) != 0)
        return -HK_ENOMEM;
    if (uv_cond_init(&vcpu->cond) != 0) {
        uv_mutex_destroy(&vcpu->lock);
        return -HK_ENOMEM;
    }
    vcpu->has_lock = true;
    return 0;
}

void hk_vcpu_fini(struct hk_vm_vcpu *vcpu)
{
    if (!vcpu->has_lock)
        return;
    uv_cond_destroy(&vcpu->cond);
    uv_mutex_destroy(&vcpu->lock);
    vcpu->has_lock = false;
}
