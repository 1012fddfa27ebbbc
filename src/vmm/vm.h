/*
 * A running machine: assembly, threads, life cycle, end.
 *
 *     create -> start -> (wait | kill)* -> destroy
 *
 * Threads of a VM: one for each vCPU, one for the event loop that owns the
 * devices' host side, and one that waits for the end and then shuts the
 * machine down in order. All are joined by destroy; none exists before start.
 *
 * Threads of callers: create, start and destroy one at a time; wait, kill,
 * result and counter any time between create and destroy, from any thread
 * that is not the VM's own.
 */
#ifndef HK_VMM_VM_H
#define HK_VMM_VM_H

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/parts.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_hv_ops;
struct hk_vm;
struct hk_vm_device;

enum {
    HK_VM_SIGNAL_MAX = 64,
    HK_VM_CPUS_MAX = 254, /* 8-bit APIC ids; 255 means all */
};

#define HK_VM_MEMORY_MIN ((uint64_t)32 << 20)
#define HK_VM_FOREVER UINT64_MAX

/* Everything is borrowed for the call of hk_vm_start, except the parts and
 * descriptors, which stay until the VM has ended. */
struct hk_vm_config {
    const struct hk_hv_ops *hv; /* mandatory; already probed */
    const char *kernel;         /* path; NULL: nothing is loaded (tests) */
    int kernel_format;          /* enum husk_kernel_format in husk.h */
    const char *initrd;         /* path or NULL */
    const char *cmdline;        /* or NULL */
    bool cmdline_additions;     /* add Husk's own parameters */
    uint64_t memory;            /* bytes, at least HK_VM_MEMORY_MIN */
    uint32_t cpus;              /* 1 to HK_VM_CPUS_MAX */
    bool cpu_bugs_shown;        /* the guest knows of speculation bugs */

    int serial_in;   /* descriptor or -1 */
    int serial_out;  /* descriptor or -1 */
    bool serial_raw; /* raw mode and end key if serial_in is a terminal */
    bool no_end_key; /* not that key: every one is the guest's */

    const struct hk_vm_parts *parts; /* NULL: none */

    /* Devices of the caller's own, in the slots after all others (devices.h);
     * NULL: none. */
    const struct hk_vm_device *devices;
    uint32_t device_count;

    /* NULL, or called by hk_vm_start to give up rights of the process: disks
     * are open then, shares are not. A code other than 0 ends the start. */
    int (*change_user)(void *opaque, struct hk_errmsg *err);
    void *change_user_opaque;
};

/* The numbers are those of enum husk_end in husk.h. */
enum hk_end {
    HK_END_NONE,
    HK_END_POWER_OFF,
    HK_END_RESET,
    HK_END_EXIT,
    HK_END_CRASH,
    HK_END_TRIPLE_FAULT,
    HK_END_KILLED,
    HK_END_ESCAPE,
    HK_END_FAILED,
};

struct hk_vm_result {
    enum hk_end reason;
    int status; /* for HK_END_EXIT */
    char text[512];
};

enum hk_vm_counter {
    HK_VM_PORT_ACCESSES,
    HK_VM_MEMORY_ACCESSES,
    HK_VM_HALTS,
    HK_VM_WAKES,
    HK_VM_COUNTERS,
};

/* Parts of hk_vm_start's checks, for those who want to know early. */
int hk_vm_check_cpus(uint32_t count, struct hk_errmsg *err) HK_MUST_CHECK;
int hk_vm_check_memory(uint64_t bytes, struct hk_errmsg *err) HK_MUST_CHECK;
int hk_vm_check_cmdline(const char *text, struct hk_errmsg *err) HK_MUST_CHECK;
/* -HK_ENOTTY. */
int hk_vm_check_tty(int fd, struct hk_errmsg *err) HK_MUST_CHECK;

int hk_vm_create(struct hk_vm **out) HK_MUST_CHECK;

/* Kills what runs, waits for it, frees. NULL is legal. */
void hk_vm_destroy(struct hk_vm *vm);

/*
 * Builds the machine and starts its threads. On failure nothing is left and
 * it may be called again. -HK_EBUSY already started; -HK_ECANCELED killed
 * before; the kernel loader's and the back end's codes.
 */
int hk_vm_start(struct hk_vm *vm, const struct hk_vm_config *config,
                struct hk_errmsg *err) HK_MUST_CHECK;

/*
 * 0 once the VM has ended and everything is shut down; -HK_ETIMEDOUT after
 * `timeout_ms`; -HK_EINVAL not started.
 */
int hk_vm_wait(struct hk_vm *vm, uint64_t timeout_ms) HK_MUST_CHECK;

/* Also legal from a signal handler, before start, and after the end. */
void hk_vm_kill(struct hk_vm *vm);

/*
 * Asks the workload to end and kills the VM when it has not after `grace_ms`;
 * kills it at once where nobody can be asked. Returns at once; also legal from
 * a signal handler and after the end. -HK_EINVAL not started.
 */
int hk_vm_ask_stop(struct hk_vm *vm, uint64_t grace_ms) HK_MUST_CHECK;

/*
 * Signal 1 to 64 for the workload. Also legal from a signal handler.
 * -HK_EINVAL another number; -HK_ENOTCONN no workload runs now.
 */
int hk_vm_signal(struct hk_vm *vm, int number) HK_MUST_CHECK;

/* HK_END_NONE until hk_vm_wait has returned 0. Borrowed until destroy. */
const struct hk_vm_result *hk_vm_result(struct hk_vm *vm);

uint64_t hk_vm_counter(struct hk_vm *vm, enum hk_vm_counter counter);

#endif
