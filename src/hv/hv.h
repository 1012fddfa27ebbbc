/*
 * The hypervisor interface: one neutral view of KVM, WHPX and our software
 * CPU.
 *
 * For callers
 * -----------
 * hk_hv_backends lists what this build has, best first. `probe` says whether
 * one works on this host, and why not. Then: vm_create, map RAM, vcpu_create
 * for each vCPU, set_state on the boot processor, and a thread for each vCPU
 * that calls vcpu_run until the VM ends. Order of destruction is the reverse.
 *
 * While a vCPU is inside vcpu_run, port and memory accesses reach the VMM
 * through the sink given at creation, on the vCPU's own thread. vcpu_run
 * returns only for life-cycle reasons (enum hk_hv_exit).
 *
 * Back ends whose capability `has_lapic` is false also use the sink's APIC
 * operations: the VMM then owns the local APICs (chip/lapic.h), parks halted
 * vCPUs itself and carries out INIT and SIPI through set_state.
 *
 * A back end never knows virtio or chips; a device never knows a back end.
 *
 * Threads: probe and vm_* from one thread; vcpu_run, vcpu_get_state and
 * vcpu_set_state only on the vCPU's thread (or while it does not run);
 * vcpu_kick and note_write from any thread.
 */
#ifndef HK_HV_HV_H
#define HK_HV_HV_H

#include "base/compiler.h"
#include "base/err.h"
#include "hv/state.h"
#include "mem/gmem.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_hv_vm;
struct hk_hv_vcpu;

enum hk_hv_exit {
    HK_HV_EXIT_KICKED,   /* vcpu_kick, or a time slice ended: call again */
    HK_HV_EXIT_HALTED,   /* HLT with no interrupt waiting */
    HK_HV_EXIT_SHUTDOWN, /* triple fault */
    HK_HV_EXIT_DEBUG,    /* single step or breakpoint asked for by the VMM */
    HK_HV_EXIT_FAILED,   /* the back end cannot go on; see the log */
};

/*
 * Called on the vCPU's thread from inside vcpu_run. `vcpu` is the opaque
 * pointer given to vcpu_create. Sizes are 1, 2, 4 or 8 (ports: up to 4).
 * The apic_* operations are needed only when !caps.has_lapic.
 */
struct hk_hv_sink {
    uint64_t (*port_read)(void *vcpu, uint16_t port, uint32_t size);
    void (*port_write)(void *vcpu, uint16_t port, uint32_t size,
                       uint64_t value);
    uint64_t (*mem_read)(void *vcpu, hk_gpa_t gpa, uint32_t size);
    void (*mem_write)(void *vcpu, hk_gpa_t gpa, uint32_t size, uint64_t value);

    /* MSRs 0x1b, 0x6e0, 0x800 to 0x8ff; false means #GP. */
    bool (*apic_msr_read)(void *vcpu, uint32_t msr, uint64_t *value);
    bool (*apic_msr_write)(void *vcpu, uint32_t msr, uint64_t value);
    uint8_t (*apic_get_cr8)(void *vcpu);
    void (*apic_set_cr8)(void *vcpu, uint8_t value);
    /* Is a fixed interrupt deliverable now? Cheap, may be called often. */
    bool (*apic_has_interrupt)(void *vcpu);
    int (*apic_ack)(void *vcpu); /* vector, or -1 if it went away */
    /* Called at every time slice: fires due timers. */
    void (*apic_tick)(void *vcpu);
};

struct hk_hv_caps {
    uint32_t max_vcpus;
    bool has_lapic;      /* the platform models local APICs */
    bool has_irq_events; /* reserved for irqfd-like wiring */
    uint64_t tsc_hz;     /* the guest's TSC rate; never 0 */
    uint64_t apic_hz;    /* !has_lapic: what the guest is told clocks its
                            APIC timer; never 0 */
};

struct hk_hv_vm_config {
    const struct hk_hv_sink *sink;
    uint32_t vcpu_count;
    uint64_t ram_bytes;
    bool cpu_bugs_shown; /* tell the guest of speculation weaknesses, where
                            the back end decides that */
};

/* For implementers. Every operation is mandatory unless said otherwise. */
struct hk_hv_ops {
    const char *name;    /* "kvm", "whpx", "soft" */
    const char *summary; /* for `husk doctor` */

    /* 0 when usable; else a negative code and a sentence that says why. */
    int (*probe)(struct hk_errmsg *err);

    int (*vm_create)(const struct hk_hv_vm_config *config,
                     struct hk_hv_vm **out, struct hk_errmsg *err);
    void (*vm_destroy)(struct hk_hv_vm *vm); /* NULL is legal */
    void (*vm_caps)(struct hk_hv_vm *vm, struct hk_hv_caps *caps);

    /* Host memory stays valid until vm_destroy. Page aligned. */
    int (*map)(struct hk_hv_vm *vm, hk_gpa_t gpa, uint64_t size, void *host,
               bool writable);

    int (*vcpu_create)(struct hk_hv_vm *vm, uint32_t index, void *opaque,
                       struct hk_hv_vcpu **out, struct hk_errmsg *err);
    void (*vcpu_destroy)(struct hk_hv_vcpu *vcpu); /* NULL is legal */
    int (*vcpu_get_state)(struct hk_hv_vcpu *vcpu, struct hk_vcpu_state *st);
    int (*vcpu_set_state)(struct hk_hv_vcpu *vcpu,
                          const struct hk_vcpu_state *st);

    enum hk_hv_exit (*vcpu_run)(struct hk_hv_vcpu *vcpu);

    /* Makes vcpu_run return HK_HV_EXIT_KICKED soon; never lost when it races
     * with entry. Any thread. */
    void (*vcpu_kick)(struct hk_hv_vcpu *vcpu);

    /* Makes a running vCPU look at apic_has_interrupt soon, without leaving
     * vcpu_run. Only when !has_lapic. Any thread. */
    void (*vcpu_poke)(struct hk_hv_vcpu *vcpu);

    /* Latches an NMI. Any thread. */
    void (*vcpu_nmi)(struct hk_hv_vcpu *vcpu);

    /* The guest's TSC as the vCPU would read it now. Any thread. */
    uint64_t (*vcpu_tsc)(struct hk_hv_vcpu *vcpu);

    /* Host code wrote guest memory. Optional. Any thread. */
    void (*note_write)(struct hk_hv_vm *vm, hk_gpa_t gpa, uint64_t len);

    /* Message interrupt to the platform. Only when has_lapic. */
    int (*msi)(struct hk_hv_vm *vm, uint64_t address, uint32_t data);
};

/* NULL-terminated, in the order that `auto` tries them. */
extern const struct hk_hv_ops *const hk_hv_backends[];

/* By name, or NULL. */
const struct hk_hv_ops *hk_hv_find(const char *name);

/*
 * Resolves a name ("auto" and NULL: the first that passes its probe) and
 * probes it. -HK_EINVAL for an unknown name, the probe's code otherwise, with
 * one sentence. On success `err` holds why this one was taken.
 */
int hk_hv_select(const char *name, const struct hk_hv_ops **out,
                 struct hk_errmsg *err) HK_MUST_CHECK;

#endif
