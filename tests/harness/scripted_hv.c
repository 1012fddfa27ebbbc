/*
 * The scripted back end. See scripted_hv.h.
 */
#include "scripted_hv.h"

#include <stdlib.h>
#include <uv.h>

struct hk_hv_vm {
    struct scripted_plan *plan;
    const struct hk_hv_sink *sink;
};

enum { MAX_STEPS = 64, SLICE_NS = 1000000 };

struct hk_hv_vcpu {
    struct hk_hv_vm *vm;
    struct scripted_seen *seen;
    const struct script_step *steps;
    void *opaque;
    uint32_t index;

    uint32_t at;
    uint64_t jumped[MAX_STEPS];
    bool interrupts_off;
    bool waiting;   /* at an HLT or AWAIT step, not taken yet */
    uint64_t taken; /* interrupts taken, to see a new one */
    uint64_t taken_before;

    uv_mutex_t lock; /* guards kicked, poked, nmi */
    uv_cond_t cond;
    bool kicked, poked, nmi;
};

static _Thread_local struct scripted_plan *current_plan;

void scripted_hv_use(struct scripted_plan *plan)
{
    current_plan = plan;
}

static int probe(struct hk_errmsg *err)
{
    (void)err;
    return 0;
}

static int vm_create(const struct hk_hv_vm_config *config,
                     struct hk_hv_vm **out, struct hk_errmsg *err)
{
    struct scripted_plan *plan = current_plan;
    if (plan->fail_vm != 0)
        return hk_err_set(err, plan->fail_vm, "the script says no");
    struct hk_hv_vm *vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return -HK_ENOMEM;
    vm->plan = plan;
    vm->sink = config->sink;
    atomic_fetch_add(&plan->vms, 1);
    *out = vm;
    return 0;
}

static void vm_destroy(struct hk_hv_vm *vm)
{
    if (vm == NULL)
        return;
    atomic_fetch_sub(&vm->plan->vms, 1);
    free(vm);
}

static void vm_caps(struct hk_hv_vm *vm, struct hk_hv_caps *caps)
{
    uint32_t max = vm->plan->max_vcpus;
    *caps = (struct hk_hv_caps){
        .max_vcpus = max != 0 ? max : SCRIPTED_VCPUS,
        .tsc_hz = 1000000000,
        .apic_hz = 25000000,
    };
}

static int map(struct hk_hv_vm *vm, hk_gpa_t gpa, uint64_t size, void *host,
               bool writable)
{
    (void)vm;
    (void)gpa;
    (void)size;
    (void)writable;
    return host != NULL ? 0 : -HK_EINVAL;
}

static int vcpu_create(struct hk_hv_vm *vm, uint32_t index, void *opaque,
                       struct hk_hv_vcpu **out, struct hk_errmsg *err)
{
    static const struct script_step nothing = {SCRIPT_END, 0, 0, 0};
    struct scripted_plan *plan = vm->plan;
    if (atomic_fetch_add(&plan->created, 1) + 1 == plan->fail_at)
        return hk_err_set(err, -HK_ENOSPC, "the script makes no vCPU");
    struct hk_hv_vcpu *vcpu = calloc(1, sizeof(*vcpu));
    if (vcpu == NULL)
        return -HK_ENOMEM;
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->opaque = opaque;
    vcpu->seen = &plan->seen[index];
    vcpu->steps = plan->steps[index] != NULL ? plan->steps[index] : &nothing;
    uv_mutex_init(&vcpu->lock);
    uv_cond_init(&vcpu->cond);
    atomic_fetch_add(&plan->vcpus, 1);
    *out = vcpu;
    return 0;
}

static void vcpu_destroy(struct hk_hv_vcpu *vcpu)
{
    if (vcpu == NULL)
        return;
    uv_cond_destroy(&vcpu->cond);
    uv_mutex_destroy(&vcpu->lock);
    atomic_fetch_sub(&vcpu->vm->plan->vcpus, 1);
    free(vcpu);
}

static int get_state(struct hk_hv_vcpu *vcpu, struct hk_vcpu_state *state)
{
    const uint64_t interrupt_flag = 1 << 9;
    *state = vcpu->seen->state;
    state->rflags = vcpu->interrupts_off ? 2 : 2 | interrupt_flag;
    return 0;
}

static int set_state(struct hk_hv_vcpu *vcpu, const struct hk_vcpu_state *state)
{
    vcpu->seen->state = *state;
    if (vcpu->vm->plan->restart_at_set) {
        vcpu->at = 0;
        vcpu->waiting = false;
        vcpu->interrupts_off = false;
    }
    atomic_fetch_add(&vcpu->seen->states, 1);
    return 0;
}

static uint64_t tsc(struct hk_hv_vcpu *vcpu)
{
    (void)vcpu;
    return uv_hrtime();
}

static void set_flag(struct hk_hv_vcpu *vcpu, bool *flag)
{
    uv_mutex_lock(&vcpu->lock);
    *flag = true;
    uv_cond_signal(&vcpu->cond);
    uv_mutex_unlock(&vcpu->lock);
}

static void kick(struct hk_hv_vcpu *vcpu)
{
    set_flag(vcpu, &vcpu->kicked);
}

static void poke(struct hk_hv_vcpu *vcpu)
{
    atomic_fetch_add(&vcpu->seen->pokes, 1);
    set_flag(vcpu, &vcpu->poked);
}

static void nmi(struct hk_hv_vcpu *vcpu)
{
    set_flag(vcpu, &vcpu->nmi);
}

static bool take_flag(struct hk_hv_vcpu *vcpu, bool *flag)
{
    uv_mutex_lock(&vcpu->lock);
    bool was = *flag;
    *flag = false;
    uv_mutex_unlock(&vcpu->lock);
    return was;
}

/* Takes an interrupt or NMI as a CPU does between two instructions. */
static void look_at_interrupts(struct hk_hv_vcpu *vcpu)
{
    const struct hk_hv_sink *sink = vcpu->vm->sink;
    sink->apic_tick(vcpu->opaque);
    if (take_flag(vcpu, &vcpu->nmi)) {
        atomic_fetch_add(&vcpu->seen->nmis, 1);
        vcpu->taken++;
    }
    if (vcpu->interrupts_off || !sink->apic_has_interrupt(vcpu->opaque))
        return;
    int vector = sink->apic_ack(vcpu->opaque);
    if (vector < 0)
        return;
    atomic_store(&vcpu->seen->vector, vector);
    atomic_fetch_add(&vcpu->seen->interrupts, 1);
    vcpu->taken++;
}

/* Burns guest time until something is up; false when kicked. */
static bool spin(struct hk_hv_vcpu *vcpu)
{
    uv_mutex_lock(&vcpu->lock);
    if (!vcpu->kicked && !vcpu->poked && !vcpu->nmi)
        (void)uv_cond_timedwait(&vcpu->cond, &vcpu->lock, SLICE_NS);
    bool kicked = vcpu->kicked;
    vcpu->poked = false;
    uv_mutex_unlock(&vcpu->lock);
    return !kicked;
}

/* At HLT or AWAIT: true when an interrupt came since the step was reached. */
static bool woken(struct hk_hv_vcpu *vcpu)
{
    bool opens = vcpu->steps[vcpu->at].value != 0;
    if (!vcpu->waiting) {
        vcpu->waiting = true;
        vcpu->taken_before = vcpu->taken;
        vcpu->interrupts_off = vcpu->interrupts_off && !opens;
        look_at_interrupts(vcpu);
    }
    if (vcpu->taken == vcpu->taken_before)
        return false;
    vcpu->waiting = false;
    vcpu->interrupts_off = vcpu->interrupts_off || opens;
    return true;
}

static void jump(struct hk_hv_vcpu *vcpu, const struct script_step *step)
{
    uint64_t *count = &vcpu->jumped[vcpu->at % MAX_STEPS];
    if (*count < step->value) {
        ++*count;
        vcpu->at = (uint32_t)step->where;
    } else {
        *count = 0;
        vcpu->at++;
    }
}

static void access_step(struct hk_hv_vcpu *vcpu, const struct script_step *step)
{
    const struct hk_hv_sink *sink = vcpu->vm->sink;
    uint32_t psize = step->size != 0 ? step->size : 1;
    uint32_t msize = step->size != 0 ? step->size : 4;
    uint16_t port = (uint16_t)step->where;

    if (step->op == SCRIPT_OUT)
        sink->port_write(vcpu->opaque, port, psize, step->value);
    else if (step->op == SCRIPT_IN)
        atomic_store(&vcpu->seen->last,
                     sink->port_read(vcpu->opaque, port, psize));
    else if (step->op == SCRIPT_STORE)
        sink->mem_write(vcpu->opaque, step->where, msize, step->value);
    else if (step->op == SCRIPT_LOAD)
        atomic_store(&vcpu->seen->last,
                     sink->mem_read(vcpu->opaque, step->where, msize));
    else if (step->op == SCRIPT_EOI)
        sink->mem_write(vcpu->opaque, 0xfee000b0, 4, 0);
    else if (!sink->apic_msr_write(vcpu->opaque, (uint32_t)step->where,
                                   step->value))
        atomic_fetch_add(&vcpu->seen->faults, 1);
    vcpu->at++;
}

static void set_timer(struct hk_hv_vcpu *vcpu, uint64_t ns)
{
    enum { TSC_DEADLINE = 0x6e0 };
    if (!vcpu->vm->sink->apic_msr_write(vcpu->opaque, TSC_DEADLINE,
                                        uv_hrtime() + ns))
        atomic_fetch_add(&vcpu->seen->faults, 1);
    vcpu->at++;
}

/* One step. True when vcpu_run is to return `*exit`. */
static bool play(struct hk_hv_vcpu *vcpu, enum hk_hv_exit *exit)
{
    const struct script_step *step = &vcpu->steps[vcpu->at];
    switch (step->op) {
    case SCRIPT_OUT:
    case SCRIPT_IN:
    case SCRIPT_STORE:
    case SCRIPT_LOAD:
    case SCRIPT_WRMSR:
    case SCRIPT_EOI:
        access_step(vcpu, step);
        return false;
    case SCRIPT_TIMER:
        set_timer(vcpu, step->value);
        return false;
    case SCRIPT_CLI:
    case SCRIPT_STI:
        vcpu->interrupts_off = step->op == SCRIPT_CLI;
        vcpu->at++;
        return false;
    case SCRIPT_JUMP:
        jump(vcpu, step);
        return false;
    case SCRIPT_HLT:
        *exit = HK_HV_EXIT_HALTED;
        if (!woken(vcpu))
            return true;
        vcpu->at++;
        return false;
    case SCRIPT_AWAIT:
        if (woken(vcpu))
            vcpu->at++;
        else
            (void)spin(vcpu);
        return false;
    case SCRIPT_END:
        (void)spin(vcpu);
        return false;
    case SCRIPT_TRIPLE:
        *exit = HK_HV_EXIT_SHUTDOWN;
        return true;
    case SCRIPT_FAIL:
        *exit = HK_HV_EXIT_FAILED;
        return true;
    case SCRIPT_DEBUG:
        *exit = HK_HV_EXIT_DEBUG;
        return true;
    }
    return true;
}

static enum hk_hv_exit run(struct hk_hv_vcpu *vcpu)
{
    enum hk_hv_exit exit = HK_HV_EXIT_KICKED;
    atomic_fetch_add(&vcpu->seen->runs, 1);
    for (;;) {
        if (take_flag(vcpu, &vcpu->kicked))
            return HK_HV_EXIT_KICKED;
        look_at_interrupts(vcpu);
        if (play(vcpu, &exit))
            return exit;
    }
}

const struct hk_hv_ops scripted_hv = {
    .name = "scripted",
    .summary = "plays a list of exits",
    .probe = probe,
    .vm_create = vm_create,
    .vm_destroy = vm_destroy,
    .vm_caps = vm_caps,
    .map = map,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .vcpu_get_state = get_state,
    .vcpu_set_state = set_state,
    .vcpu_run = run,
    .vcpu_kick = kick,
    .vcpu_poke = poke,
    .vcpu_nmi = nmi,
    .vcpu_tsc = tsc,
};
