/*
 * The soft back end: hv.h on top of the software CPU (cpu/cpu.h).
 *
 * What the CPU library leaves to others is here: threads, time and entropy.
 *
 * Time. The guest's TSC counts nanoseconds of the host's monotonic clock, so
 * its rate is known exactly, never changes, and is the same on every vCPU.
 *
 * Standing still. Some changes need every other vCPU between two
 * instructions: `exclusive` names the vCPU that asked, `running` counts those
 * inside the CPU library. A vCPU joins or waits at three places only: on
 * entry, at a safepoint that a poke asked for, and when it wants to be
 * exclusive itself. One lock guards both; it is held for bookkeeping only.
 */
#include "hv/soft/soft.h"

#include "cpu/cpu.h"
#include "os/mem.h"
#include "os/thread.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    /* Instructions between two looks at the APIC timer: about 0.1 ms. */
    SLICE = 20000,
    RANDOM_POOL = 512,
};

#define TSC_HZ 1000000000ull

struct hk_hv_vcpu {
    struct hk_hv_vm *vm;
    struct hk_cpu *cpu;
    void *opaque;
    uint64_t tsc_offset; /* own thread writes; vcpu_tsc reads */
    uint32_t random_left;
    uint8_t random[RANDOM_POOL];
};

struct hk_hv_vm {
    const struct hk_hv_sink *sink;
    struct hk_cpu_machine *machine;
    uint32_t vcpu_count;
    struct hk_hv_vcpu *vcpus[HK_CPU_MAX_VCPUS];

    uv_mutex_t lock; /* guards the two below */
    uv_cond_t changed;
    uint32_t running;
    struct hk_hv_vcpu *exclusive;
};

/* ---- standing still ------------------------------------------------------ */

/* With the lock held: waits until no other vCPU is exclusive. */
static void wait_turn(struct hk_hv_vm *vm, const struct hk_hv_vcpu *self)
{
    while (vm->exclusive != NULL && vm->exclusive != self)
        uv_cond_wait(&vm->changed, &vm->lock);
}

static void enter_guest(struct hk_hv_vcpu *v)
{
    struct hk_hv_vm *vm = v->vm;
    uv_mutex_lock(&vm->lock);
    wait_turn(vm, v);
    vm->running++;
    uv_mutex_unlock(&vm->lock);
}

static void leave_guest(struct hk_hv_vcpu *v)
{
    struct hk_hv_vm *vm = v->vm;
    uv_mutex_lock(&vm->lock);
    vm->running--;
    if (vm->exclusive != NULL)
        uv_cond_broadcast(&vm->changed);
    uv_mutex_unlock(&vm->lock);
}

/* With the lock held: stands aside while another vCPU is exclusive. */
static void stand_aside(struct hk_hv_vcpu *v)
{
    struct hk_hv_vm *vm = v->vm;
    if (vm->exclusive == NULL)
        return;
    vm->running--;
    uv_cond_broadcast(&vm->changed);
    wait_turn(vm, v);
    vm->running++;
}

static void soft_safepoint(void *vcpu)
{
    struct hk_hv_vcpu *v = vcpu;
    uv_mutex_lock(&v->vm->lock);
    stand_aside(v);
    uv_mutex_unlock(&v->vm->lock);
}

static void soft_exclusive_begin(void *vcpu)
{
    struct hk_hv_vcpu *v = vcpu;
    struct hk_hv_vm *vm = v->vm;
    uv_mutex_lock(&vm->lock);
    while (vm->exclusive != NULL)
        stand_aside(v);
    vm->exclusive = v;
    for (uint32_t i = 0; i < vm->vcpu_count; i++) {
        if (vm->vcpus[i] != NULL && vm->vcpus[i] != v)
            hk_cpu_poke(vm->vcpus[i]->cpu, HK_CPU_POKE_SAFEPOINT);
    }
    while (vm->running > 1)
        uv_cond_wait(&vm->changed, &vm->lock);
    uv_mutex_unlock(&vm->lock);
}

static void soft_exclusive_end(void *vcpu)
{
    struct hk_hv_vcpu *v = vcpu;
    struct hk_hv_vm *vm = v->vm;
    uv_mutex_lock(&vm->lock);
    vm->exclusive = NULL;
    uv_cond_broadcast(&vm->changed);
    uv_mutex_unlock(&vm->lock);
}

/* ---- what the CPU asks for ------------------------------------------------
 */

#define SINK(v) (((struct hk_hv_vcpu *)(v))->vm->sink)
#define OPAQUE(v) (((struct hk_hv_vcpu *)(v))->opaque)

static uint64_t soft_port_read(void *v, uint16_t port, uint32_t size)
{
    return SINK(v)->port_read(OPAQUE(v), port, size);
}

static void soft_port_write(void *v, uint16_t port, uint32_t size,
                            uint64_t value)
{
    SINK(v)->port_write(OPAQUE(v), port, size, value);
}

static uint64_t soft_mem_read(void *v, hk_gpa_t gpa, uint32_t size)
{
    return SINK(v)->mem_read(OPAQUE(v), gpa, size);
}

static void soft_mem_write(void *v, hk_gpa_t gpa, uint32_t size, uint64_t value)
{
    SINK(v)->mem_write(OPAQUE(v), gpa, size, value);
}

static bool soft_apic_msr_read(void *v, uint32_t msr, uint64_t *value)
{
    return SINK(v)->apic_msr_read(OPAQUE(v), msr, value);
}

static bool soft_apic_msr_write(void *v, uint32_t msr, uint64_t value)
{
    return SINK(v)->apic_msr_write(OPAQUE(v), msr, value);
}

static uint8_t soft_get_cr8(void *v)
{
    return SINK(v)->apic_get_cr8(OPAQUE(v));
}

static void soft_set_cr8(void *v, uint8_t value)
{
    SINK(v)->apic_set_cr8(OPAQUE(v), value);
}

static bool soft_has_interrupt(void *v)
{
    return SINK(v)->apic_has_interrupt(OPAQUE(v));
}

static int soft_ack_interrupt(void *v)
{
    return SINK(v)->apic_ack(OPAQUE(v));
}

static uint64_t soft_tsc(void *vcpu)
{
    struct hk_hv_vcpu *v = vcpu;
    return uv_hrtime() + __atomic_load_n(&v->tsc_offset, __ATOMIC_RELAXED);
}

static void soft_set_tsc(void *vcpu, uint64_t value)
{
    struct hk_hv_vcpu *v = vcpu;
    __atomic_store_n(&v->tsc_offset, value - uv_hrtime(), __ATOMIC_RELAXED);
}

static uint64_t soft_wall_ns(void *vcpu)
{
    uv_timeval64_t now = {0, 0};
    (void)uv_gettimeofday(&now);
    return (uint64_t)now.tv_sec * 1000000000ull +
           (uint64_t)now.tv_usec * 1000ull;
}

static uint64_t soft_random(void *vcpu)
{
    struct hk_hv_vcpu *v = vcpu;
    uint64_t value = 0;
    if (v->random_left < sizeof(value)) {
        /* Cannot fail where the system has an entropy source at all. */
        if (uv_random(NULL, NULL, v->random, sizeof(v->random), 0, NULL) != 0)
            return 0;
        v->random_left = RANDOM_POOL;
    }
    v->random_left -= (uint32_t)sizeof(value);
    memcpy(&value, v->random + v->random_left, sizeof(value));
    memset(v->random + v->random_left, 0, sizeof(value));
    return value;
}

static const struct hk_cpu_host soft_host = {
    .port_read = soft_port_read,
    .port_write = soft_port_write,
    .mem_read = soft_mem_read,
    .mem_write = soft_mem_write,
    .apic_msr_read = soft_apic_msr_read,
    .apic_msr_write = soft_apic_msr_write,
    .get_cr8 = soft_get_cr8,
    .set_cr8 = soft_set_cr8,
    .has_interrupt = soft_has_interrupt,
    .ack_interrupt = soft_ack_interrupt,
    .tsc = soft_tsc,
    .set_tsc = soft_set_tsc,
    .wall_ns = soft_wall_ns,
    .random = soft_random,
    .exclusive_begin = soft_exclusive_begin,
    .exclusive_end = soft_exclusive_end,
    .safepoint = soft_safepoint,
};

/* ---- the interface ---------------------------------------------------------
 */

static void soft_vm_destroy(struct hk_hv_vm *vm)
{
    if (vm == NULL)
        return;
    hk_cpu_machine_destroy(vm->machine);
    uv_cond_destroy(&vm->changed);
    uv_mutex_destroy(&vm->lock);
    free(vm);
}

static int soft_vm_create(const struct hk_hv_vm_config *config,
                          struct hk_hv_vm **out, struct hk_errmsg *err)
{
    struct hk_cpu_config cpu_config = {
        .host = &soft_host,
        .vcpu_count = config->vcpu_count,
        .tsc_hz = TSC_HZ,
        .tell_safe = !config->cpu_bugs_shown,
    };
    struct hk_hv_vm *vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return hk_err_set(err, -HK_ENOMEM, "soft: out of memory");
    if (uv_mutex_init(&vm->lock) != 0) {
        free(vm);
        return hk_err_set(err, -HK_ENOMEM, "soft: cannot create a lock");
    }
    if (uv_cond_init(&vm->changed) != 0) {
        uv_mutex_destroy(&vm->lock);
        free(vm);
        return hk_err_set(err, -HK_ENOMEM, "soft: cannot create a lock");
    }
    vm->sink = config->sink;
    int rc = hk_cpu_machine_create(&cpu_config, &vm->machine);
    if (rc < 0) {
        soft_vm_destroy(vm);
        return hk_err_set(err, rc, "soft: at most %d vCPUs, not %u",
                          HK_CPU_MAX_VCPUS, config->vcpu_count);
    }
    *out = vm;
    return 0;
}

static void soft_vm_caps(struct hk_hv_vm *vm, struct hk_hv_caps *caps)
{
    *caps = (struct hk_hv_caps){
        .max_vcpus = HK_CPU_MAX_VCPUS,
        .tsc_hz = TSC_HZ,
        .apic_hz = HK_CPU_CRYSTAL_HZ,
    };
}

static int soft_map(struct hk_hv_vm *vm, hk_gpa_t gpa, uint64_t size,
                    void *host, bool writable)
{
    return hk_cpu_machine_map(vm->machine, gpa, size, host, writable);
}

static int soft_vcpu_create(struct hk_hv_vm *vm, uint32_t index, void *opaque,
                            struct hk_hv_vcpu **out, struct hk_errmsg *err)
{
    if (index != vm->vcpu_count)
        return hk_err_set(err, -HK_EINVAL, "soft: vCPUs are created in order");
    struct hk_hv_vcpu *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return hk_err_set(err, -HK_ENOMEM, "soft: out of memory");
    v->vm = vm;
    v->opaque = opaque;
    v->tsc_offset = 0 - uv_hrtime();
    if (index > 0)
        v->tsc_offset = vm->vcpus[0]->tsc_offset;
    int rc = hk_cpu_create(vm->machine, v, &v->cpu);
    if (rc < 0) {
        free(v);
        return hk_err_set(err, rc, "soft: cannot create vCPU %u: %s", index,
                          hk_err_text(rc));
    }
    vm->vcpus[vm->vcpu_count++] = v;
    *out = v;
    return 0;
}

static void soft_vcpu_destroy(struct hk_hv_vcpu *v)
{
    if (v == NULL)
        return;
    for (uint32_t i = 0; i < v->vm->vcpu_count; i++) {
        if (v->vm->vcpus[i] == v)
            v->vm->vcpus[i] = NULL;
    }
    free(v);
}

static int soft_get_state(struct hk_hv_vcpu *v, struct hk_vcpu_state *st)
{
    hk_cpu_get_state(v->cpu, st);
    return 0;
}

static int soft_set_state(struct hk_hv_vcpu *v, const struct hk_vcpu_state *st)
{
    /* It empties the TLBs, which an exclusive vCPU may be looking at. */
    enter_guest(v);
    int rc = hk_cpu_set_state(v->cpu, st);
    leave_guest(v);
    return rc;
}

static enum hk_hv_exit soft_run(struct hk_hv_vcpu *v)
{
    v->vm->sink->apic_tick(v->opaque);
    enter_guest(v);
    enum hk_cpu_exit why = hk_cpu_run(v->cpu, SLICE);
    leave_guest(v);
    switch (why) {
    case HK_CPU_EXIT_BUDGET:
        return HK_HV_EXIT_KICKED;
    case HK_CPU_EXIT_SPINNING:
        hk_thread_yield();
        return HK_HV_EXIT_KICKED;
    case HK_CPU_EXIT_HALTED:
        return HK_HV_EXIT_HALTED;
    case HK_CPU_EXIT_SHUTDOWN:
        return HK_HV_EXIT_SHUTDOWN;
    }
    return HK_HV_EXIT_FAILED;
}

static void soft_kick(struct hk_hv_vcpu *v)
{
    hk_cpu_poke(v->cpu, HK_CPU_POKE_EXIT);
}

static void soft_poke(struct hk_hv_vcpu *v)
{
    hk_cpu_poke(v->cpu, HK_CPU_POKE_INTERRUPT);
}

static void soft_nmi(struct hk_hv_vcpu *v)
{
    hk_cpu_poke(v->cpu, HK_CPU_POKE_NMI);
}

static uint64_t soft_vcpu_tsc(struct hk_hv_vcpu *v)
{
    return soft_tsc(v);
}

static void soft_note_write(struct hk_hv_vm *vm, hk_gpa_t gpa, uint64_t len)
{
    hk_cpu_machine_note_write(vm->machine, gpa, len);
}

static int soft_msi(struct hk_hv_vm *vm, uint64_t address, uint32_t data)
{
    return -HK_ENOTSUP; /* the local APICs are the VMM's */
}

/* ---- probe ------------------------------------------------------------------
 */

static bool no_msr(void *v, uint32_t msr, uint64_t *value)
{
    return false;
}

static bool no_msr_write(void *v, uint32_t msr, uint64_t value)
{
    return false;
}

static uint8_t zero_cr8(void *v)
{
    return 0;
}

static void drop_cr8(void *v, uint8_t value)
{
}

static bool no_interrupt(void *v)
{
    return false;
}

static int no_vector(void *v)
{
    return -1;
}

static void no_tick(void *v)
{
}

static const struct hk_hv_sink probe_sink = {
    .apic_msr_read = no_msr,
    .apic_msr_write = no_msr_write,
    .apic_get_cr8 = zero_cr8,
    .apic_set_cr8 = drop_cr8,
    .apic_has_interrupt = no_interrupt,
    .apic_ack = no_vector,
    .apic_tick = no_tick,
};

/* mov eax, 0x1234; imul eax, eax, 5; hlt, in real mode at 0x1000. */
static const uint8_t probe_code[] = {0x66, 0xb8, 0x34, 0x12, 0x00, 0x00,
                                     0x66, 0x6b, 0xc0, 0x05, 0xf4};

enum { PROBE_RAM = 0x2000, PROBE_IP = 0x1000 };

static int run_probe(struct hk_hv_vm *vm, uint8_t *ram, struct hk_errmsg *err)
{
    struct hk_hv_vcpu *v = NULL;
    struct hk_vcpu_state st;
    memcpy(ram + PROBE_IP, probe_code, sizeof(probe_code));
    int rc = soft_map(vm, 0, PROBE_RAM, ram, true);
    if (rc == 0)
        rc = soft_vcpu_create(vm, 0, NULL, &v, err);
    if (rc != 0)
        return rc;
    hk_cpu_get_state(v->cpu, &st);
    st.cs.base = 0;
    st.cs.selector = 0;
    st.rip = PROBE_IP;
    rc = hk_cpu_set_state(v->cpu, &st);
    if (rc == 0 && soft_run(v) != HK_HV_EXIT_HALTED)
        rc = -HK_EIO;
    if (rc == 0) {
        hk_cpu_get_state(v->cpu, &st);
        if ((uint32_t)st.gpr[HK_RAX] != 0x1234 * 5)
            rc = -HK_EIO;
    }
    soft_vcpu_destroy(v);
    return rc == 0 ? 0
                   : hk_err_set(err, rc,
                                "the software CPU gave a wrong "
                                "result in its self-test");
}

static int soft_probe(struct hk_errmsg *err)
{
    struct hk_hv_vm_config config = {.sink = &probe_sink, .vcpu_count = 1};
    struct hk_hv_vm *vm = NULL;
    uint8_t *ram = NULL;
    int rc = hk_os_mem_alloc(PROBE_RAM, &ram);
    if (rc < 0)
        return hk_err_set(err, rc, "out of memory");
    rc = soft_vm_create(&config, &vm, err);
    if (rc == 0)
        rc = run_probe(vm, ram, err);
    soft_vm_destroy(vm);
    hk_os_mem_free(ram, PROBE_RAM);
    return rc;
}

const struct hk_hv_ops hk_hv_soft = {
    .name = "soft",
    .summary = "software CPU, works everywhere",
    .probe = soft_probe,
    .vm_create = soft_vm_create,
    .vm_destroy = soft_vm_destroy,
    .vm_caps = soft_vm_caps,
    .map = soft_map,
    .vcpu_create = soft_vcpu_create,
    .vcpu_destroy = soft_vcpu_destroy,
    .vcpu_get_state = soft_get_state,
    .vcpu_set_state = soft_set_state,
    .vcpu_run = soft_run,
    .vcpu_kick = soft_kick,
    .vcpu_poke = soft_poke,
    .vcpu_nmi = soft_nmi,
    .vcpu_tsc = soft_vcpu_tsc,
    .note_write = soft_note_write,
    .msi = soft_msi,
};
