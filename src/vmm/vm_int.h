/*
 * Inside vmm/: the structs that its files share.
 */
#ifndef HK_VMM_VM_INT_H
#define HK_VMM_VM_INT_H

#include "hv/hv.h"
#include "vmm/control.h"
#include "vmm/ending.h"
#include "vmm/vm.h"

#include <stdatomic.h>
#include <uv.h>

struct hk_vm_vcpu;

/* What other threads want of a vCPU; bits, sticky until it looked. */
enum {
    HK_VCPU_WAKE = 1, /* an interrupt may be waiting */
    HK_VCPU_NMI = 2,
    HK_VCPU_INIT = 4,
    HK_VCPU_SIPI = 8,
};

enum hk_vcpu_mode {
    HK_VCPU_RUNNING,
    HK_VCPU_HALTED,
    HK_VCPU_WAITING, /* for a start-up IPI */
};

struct hk_vm_vcpu {
    struct hk_vm *vm;
    uint32_t index;
    struct hk_hv_vcpu *hv;
    struct hk_lapic *lapic; /* NULL when the platform has its own */
    uv_thread_t thread;
    bool has_thread;

    uv_mutex_t lock; /* guards events and sipi_vector; a leaf lock */
    uv_cond_t cond;  /* events or vm->stopping changed */
    bool has_lock;
    uint32_t events;
    uint8_t sipi_vector;

    /* The vCPU's own thread writes; others may read. */
    _Atomic enum hk_vcpu_mode mode;
    atomic_uint_fast64_t counters[HK_VM_COUNTERS];

    struct hk_svr_watch svr; /* own thread, then the VM's after the join */
};

/* The parts of the machine; zeroed before assembly and after take-down. */
struct hk_machine {
    const struct hk_hv_ops *hv;
    bool has_lapic;
    uint64_t tsc_hz;
    uint64_t apic_hz; /* only without has_lapic */

    struct hk_loop *loop;
    struct hk_gmem *gmem;
    struct hk_bus *bus;
    struct hk_hv_vm *hv_vm;
    struct hk_apic_bus *apics; /* only when !has_lapic */
    struct hk_ioapic *ioapic;
    struct hk_port *console; /* the tap */
    struct hk_serial *serial;
    struct hk_i8042 *i8042;
    struct hk_cmos *cmos;
    struct hk_exit_port *exit_port;
    struct hk_acpi_pm *acpi_pm;
    struct hk_devices *devices;
    struct hk_pool *pool; /* for devices that block */
    struct hk_loading *loading;

    struct hk_vm_vcpu *vcpus;
    uint32_t vcpu_count;
};

enum hk_vm_state { HK_VM_NEW, HK_VM_STARTED, HK_VM_DONE };

struct hk_vm {
    uv_mutex_t lock; /* guards state, go, end_* and result; never held while
                        a vCPU's lock is taken */
    uv_cond_t cond;  /* go, stopping or state changed */
    enum hk_vm_state state;
    bool go; /* the vCPUs may enter the guest */
    enum hk_end end_reason;
    int end_status;
    struct hk_vm_vcpu *end_asker; /* who asked for the reset, or NULL */
    struct hk_vm_result result;

    atomic_bool was_started;    /* hk_vm_start has succeeded */
    atomic_bool stopping;       /* every vCPU thread leaves */
    atomic_bool kill_requested; /* set by signal handlers too */
    atomic_bool reset_asked;    /* a device was told to reset the machine */
    uv_sem_t wake;              /* posted when the VM should look: end, kill */
    uv_thread_t thread;         /* shuts down */
    bool has_thread;
    uv_thread_t loop_thread;
    bool has_loop_thread;

    struct hk_control_state control;
    atomic_int noted_status; /* told by a share, -1 for none: counts when the
                                machine ends without another */
    bool answered;           /* init said that the workload runs, or cannot */

    /* Taken when the console is closed. */
    enum hk_words words;
    char last_words[256];
    uint64_t counted[HK_VM_COUNTERS];
    struct hk_machine machine;
};

/* machine.c: makes every part, or none. */
int hk_machine_build(struct hk_vm *vm, const struct hk_vm_config *config,
                     struct hk_errmsg *err) HK_MUST_CHECK;
/* The loop's thread, when the loop has ended: hands out the last output and
 * gives host resources back. */
void hk_machine_quiesce(struct hk_vm *vm);
/* No thread of the VM left but the caller: frees every part. */
void hk_machine_take_down(struct hk_vm *vm);
/* Are the I/O APIC's pins in use? No vCPU runs. */
enum hk_pins hk_machine_pins(struct hk_vm *vm);

/* vcpu.c */
extern const struct hk_hv_sink hk_vcpu_sink;
struct hk_lapic_host;
extern const struct hk_lapic_host hk_vcpu_lapic_host;
int hk_vcpu_init(struct hk_vm_vcpu *vcpu, struct hk_vm *vm,
                 uint32_t index) HK_MUST_CHECK;
void hk_vcpu_fini(struct hk_vm_vcpu *vcpu);
void hk_vcpu_main(void *vcpu); /* the thread */
/* Makes the vCPU's thread see vm->stopping. Any thread. */
void hk_vcpu_stop(struct hk_vm_vcpu *vcpu);
/* From the state before INIT that after it and a start-up IPI with this vector:
 * real mode at vector << 12. What INIT leaves alone stays: x87, SSE, XCR0, PAT
 * and the other MSRs but EFER. */
void hk_vcpu_startup_state(struct hk_vcpu_state *state, uint8_t vector);

/* life.c: the VM shall end. The first reason counts. Any thread, also with a
 * bus region's lock held; never blocks for long. */
void hk_vm_end(struct hk_vm *vm, enum hk_end reason, int status,
               struct hk_vm_vcpu *asker);

#endif
