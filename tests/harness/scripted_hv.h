/*
 * The scripted back end: a hypervisor that plays a list of steps for each
 * vCPU instead of running a guest. It tests vmm/ with no kernel and no CPU.
 *
 * A test fills a plan, calls scripted_hv_use on the thread that will start
 * the VM, and gives &scripted_hv to the VM. The plan stays the test's and must
 * outlive the VM. After its last step a vCPU spins until it is kicked.
 *
 * Its local APICs are those of chip/, its TSC runs at 1 GHz.
 */
#ifndef HK_SCRIPTED_HV_H
#define HK_SCRIPTED_HV_H

#include "hv/hv.h"

#include <stdatomic.h>

enum script_op {
    SCRIPT_END,    /* spins for ever; what follows the last step */
    SCRIPT_OUT,    /* port `where`, `size`, `value` */
    SCRIPT_IN,     /* port; the result goes to the vCPU's `last` */
    SCRIPT_STORE,  /* memory */
    SCRIPT_LOAD,   /* memory; result as for IN */
    SCRIPT_WRMSR,  /* `where`, `value`; counts a fault when refused */
    SCRIPT_HLT,    /* sleeps until an interrupt was taken; with a `value`,
                      interrupts are on only while it sleeps (sti; hlt; cli) */
    SCRIPT_AWAIT,  /* the same, but stays in the guest */
    SCRIPT_CLI,    /* interrupts off */
    SCRIPT_STI,    /* interrupts on (the state at the start) */
    SCRIPT_EOI,    /* x2APIC-less end of interrupt: a store to the page */
    SCRIPT_JUMP,   /* to step `where`, `value` times */
    SCRIPT_TRIPLE, /* triple fault */
    SCRIPT_FAIL,   /* the back end gives up */
    SCRIPT_DEBUG,  /* a debug exit */
    SCRIPT_TIMER,  /* TSC deadline `value` nanoseconds from now */
};

struct script_step {
    enum script_op op;
    uint64_t where;
    uint64_t value;
    uint32_t size; /* 0: 1 byte for ports, 4 for memory */
};

enum { SCRIPTED_VCPUS = 8 };

/* What a vCPU did; written by its thread. */
struct scripted_seen {
    atomic_uint runs;       /* calls of vcpu_run */
    atomic_uint interrupts; /* taken */
    atomic_int vector;      /* of the last one */
    atomic_uint nmis;
    atomic_uint pokes;
    atomic_uint faults;
    atomic_uint states; /* set_state calls */
    struct hk_vcpu_state state;
    atomic_uint_fast64_t last;
};

struct scripted_plan {
    const struct script_step *steps[SCRIPTED_VCPUS]; /* ended by SCRIPT_END */
    int fail_vm;         /* code for vm_create, or 0 */
    uint32_t fail_at;    /* 1-based vcpu_create call that fails, or 0 */
    uint32_t max_vcpus;  /* 0: SCRIPTED_VCPUS */
    bool restart_at_set; /* set_state goes back to the first step */

    struct scripted_seen seen[SCRIPTED_VCPUS];
    atomic_int vms;   /* alive */
    atomic_int vcpus; /* alive */
    atomic_uint created;
};

extern const struct hk_hv_ops scripted_hv;

/* The plan for VMs that this thread creates from now on. */
void scripted_hv_use(struct scripted_plan *plan);

#endif
