/*
 * The software x86-64 CPU: a library without files, threads or clocks.
 *
 * A machine holds the guest-physical map and the vCPUs that share it. Each
 * vCPU is driven by one thread of the caller's that calls hk_cpu_run. Guest
 * RAM is host memory; anything else goes to the callbacks.
 *
 * Threads: machine_create, map and cpu_create before the first run.
 * hk_cpu_run, get_state and set_state only on the vCPU's own thread, or while
 * it does not run; set_state, as hk_cpu_run, not while another vCPU is
 * exclusive (see exclusive_begin). hk_cpu_poke, hk_cpu_nmi and
 * hk_cpu_machine_note_write from any thread.
 */
#ifndef HK_CPU_CPU_H
#define HK_CPU_CPU_H

#include "base/compiler.h"
#include "hv/state.h"
#include "mem/gmem.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_cpu_machine;
struct hk_cpu;

enum {
    HK_CPU_MAX_VCPUS = 64,
    /* The crystal of CPUID leaf 0x15: whoever makes the local APICs must
     * clock their timers with it. */
    HK_CPU_CRYSTAL_HZ = 1000000000,
};

enum hk_cpu_exit {
    HK_CPU_EXIT_BUDGET,   /* the budget ran out, or HK_CPU_POKE_EXIT */
    HK_CPU_EXIT_HALTED,   /* HLT and nothing deliverable */
    HK_CPU_EXIT_SPINNING, /* a long wait in a PAUSE loop: let others run */
    HK_CPU_EXIT_SHUTDOWN, /* triple fault */
};

/* Bits for hk_cpu_poke. */
enum {
    HK_CPU_POKE_INTERRUPT = 1, /* look at has_interrupt */
    HK_CPU_POKE_EXIT = 2,      /* leave hk_cpu_run soon */
    HK_CPU_POKE_NMI = 4,       /* an NMI is latched */
    HK_CPU_POKE_SAFEPOINT = 8, /* call the safepoint callback */
    HK_CPU_POKE_CODE = 16,     /* drop invalidated code (internal) */
};

/* What a CPU asks of the world. `vcpu` is the opaque pointer of hk_cpu_create.
 * All mandatory, on the vCPU's thread. Sizes in bytes. */
struct hk_cpu_host {
    uint64_t (*port_read)(void *vcpu, uint16_t port, uint32_t size);
    void (*port_write)(void *vcpu, uint16_t port, uint32_t size,
                       uint64_t value);
    uint64_t (*mem_read)(void *vcpu, hk_gpa_t gpa, uint32_t size);
    void (*mem_write)(void *vcpu, hk_gpa_t gpa, uint32_t size, uint64_t value);
    /* MSRs 0x1b, 0x6e0 and 0x800 to 0x8ff; false: #GP. */
    bool (*apic_msr_read)(void *vcpu, uint32_t msr, uint64_t *value);
    bool (*apic_msr_write)(void *vcpu, uint32_t msr, uint64_t value);
    uint8_t (*get_cr8)(void *vcpu);
    void (*set_cr8)(void *vcpu, uint8_t value);
    bool (*has_interrupt)(void *vcpu);
    int (*ack_interrupt)(void *vcpu); /* vector or -1 */

    uint64_t (*tsc)(void *vcpu); /* the guest's TSC before TSC_ADJUST */
    void (*set_tsc)(void *vcpu, uint64_t value); /* WRMSR to TSC */
    uint64_t (*wall_ns)(void *vcpu); /* nanoseconds since 1970, for kvmclock */
    uint64_t (*random)(void *vcpu);  /* 64 good random bits */

    /*
     * Stop-the-world sections. exclusive_begin returns when every other vCPU
     * of the machine is at a safepoint or outside hk_cpu_run; exclusive_end
     * lets them go on. safepoint is called by a poked vCPU between two
     * instructions and may block while another vCPU is exclusive.
     */
    void (*exclusive_begin)(void *vcpu);
    void (*exclusive_end)(void *vcpu);
    void (*safepoint)(void *vcpu);
};

/* What the guest is told; see docs/cpu.md. */
struct hk_cpu_config {
    const struct hk_cpu_host *host;
    uint32_t vcpu_count;
    uint64_t tsc_hz; /* rate of host->tsc, not 0 */
    bool tell_safe;  /* say "not vulnerable": see SECURITY.md */
    /* Offer protection keys for user and supervisor pages. PKRU is no XSAVE
     * component here, which kernels that switch processes expect. */
    bool protection_keys;
    /* Be an AMD processor where the makers' system calls differ: the vendor's
     * name, SYSCALL from compatibility mode, no SYSENTER in long mode. */
    bool amd;
    /* Memory for decoded code of each vCPU; when it is full, all of it is
     * dropped. 0: the default, enough for a distribution's boot. Raised to a
     * least size of 256 KiB. */
    uint32_t code_bytes;
};

int hk_cpu_machine_create(const struct hk_cpu_config *config,
                          struct hk_cpu_machine **out) HK_MUST_CHECK;
void hk_cpu_machine_destroy(struct hk_cpu_machine *machine); /* and vCPUs */

/* RAM (or ROM). Page aligned; host memory is borrowed until destroy.
 * -HK_EINVAL, -HK_EEXIST overlap, -HK_ENOSPC more than 32, -HK_ENOMEM. */
int hk_cpu_machine_map(struct hk_cpu_machine *machine, hk_gpa_t gpa,
                       uint64_t size, void *host, bool writable) HK_MUST_CHECK;

/* The next vCPU (index, APIC id = number so far), in the reset state. */
int hk_cpu_create(struct hk_cpu_machine *machine, void *vcpu,
                  struct hk_cpu **out) HK_MUST_CHECK;

void hk_cpu_get_state(struct hk_cpu *cpu, struct hk_vcpu_state *state);
/* -HK_EINVAL for a state no CPU can have (for example PG without PE). */
int hk_cpu_set_state(struct hk_cpu *cpu,
                     const struct hk_vcpu_state *state) HK_MUST_CHECK;

/* Executes about `budget` instructions at the most. */
enum hk_cpu_exit hk_cpu_run(struct hk_cpu *cpu, uint64_t budget);

void hk_cpu_poke(struct hk_cpu *cpu, uint32_t bits);
uint64_t hk_cpu_instructions(const struct hk_cpu *cpu);

/* Host code wrote guest RAM: decoded code there is dropped. */
void hk_cpu_machine_note_write(struct hk_cpu_machine *machine, hk_gpa_t gpa,
                               uint64_t len);

/* CPUID as the guest sees it (vCPU `index`). */
void hk_cpu_cpuid(const struct hk_cpu_machine *machine, uint32_t index,
                  uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

#endif
