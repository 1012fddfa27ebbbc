/*
 * Local APIC, one for each vCPU, in xAPIC (memory-mapped) and x2APIC (MSR)
 * mode: Intel SDM volume 3, chapter "APIC". Used by back ends whose own
 * platform has none (soft, scripted).
 *
 * A `struct hk_apic_bus` joins the local APICs of one VM: it routes IPIs and
 * messages from the I/O APIC by destination.
 *
 * Threads: every function may be called from any thread. The 256-bit IRR is
 * atomic; all other state is the vCPU's own and is guarded by a lock in each
 * local APIC. Lock order: never two local APICs at once; callbacks are made
 * with no lock held.
 */
#ifndef HK_CHIP_LAPIC_H
#define HK_CHIP_LAPIC_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_lapic;
struct hk_apic_bus;

enum {
    HK_APIC_BASE = 0xfee00000u,
    HK_APIC_SIZE = 0x1000,
    HK_APIC_MSR_BASE = 0x1b,
    HK_APIC_MSR_TSC_DEADLINE = 0x6e0,
    HK_APIC_MSR_X2APIC = 0x800, /* up to 0x8ff */
};

/* What a local APIC asks of its vCPU. All mandatory; any thread; no block. */
struct hk_lapic_host {
    void (*wake)(void *vcpu); /* an interrupt, NMI, INIT or SIPI is waiting */
    void (*init)(void *vcpu);
    void (*sipi)(void *vcpu, uint8_t vector);
    void (*nmi)(void *vcpu);
    uint64_t (*tsc)(void *vcpu); /* the guest's TSC now */
};

/* Delivery modes of the ICR, I/O APIC entries and MSIs. */
enum hk_apic_mode {
    HK_APIC_FIXED = 0,
    HK_APIC_LOWEST = 1,
    HK_APIC_SMI = 2,
    HK_APIC_NMI = 4,
    HK_APIC_INIT = 5,
    HK_APIC_STARTUP = 6,
    HK_APIC_EXTINT = 7,
};

struct hk_apic_msg {
    uint32_t dest; /* APIC ID or logical set; 0xff / 0xffffffff broadcast */
    uint8_t vector;
    enum hk_apic_mode mode;
    bool logical;
    bool level; /* trigger mode */
    bool assert_level;
};

/*
 * `timer_hz` is the rate of the APIC timer's bus clock, `tsc_hz` the guest's
 * TSC rate (both needed to turn counts into deadlines). `max` is the number
 * of local APICs that will be added.
 */
int hk_apic_bus_create(uint32_t max, uint64_t timer_hz, uint64_t tsc_hz,
                       struct hk_apic_bus **out) HK_MUST_CHECK;
void hk_apic_bus_destroy(struct hk_apic_bus *bus); /* and all its APICs */

/* `eoi` is called when a level-triggered vector was finished (I/O APIC). */
void hk_apic_bus_set_eoi(struct hk_apic_bus *bus,
                         void (*eoi)(void *opaque, uint8_t vector),
                         void *opaque);

/* Width of a physical address, for the reserved bits of IA32_APIC_BASE; 52
 * unless set. Before the first vCPU runs. */
void hk_apic_bus_set_phys_bits(struct hk_apic_bus *bus, uint32_t bits);

/* Adds the local APIC of the next vCPU; its id is its index, the first one is
 * the boot processor. `host` and `vcpu` are borrowed until destroy. */
int hk_lapic_add(struct hk_apic_bus *bus, const struct hk_lapic_host *host,
                 void *vcpu, struct hk_lapic **out) HK_MUST_CHECK;

/* Power-on state, or with `init` what an INIT leaves: mode, base address and
 * ID stay. The vCPU's thread, or while it does not run. */
void hk_lapic_reset(struct hk_lapic *apic, bool init);

/* Delivers a message to every APIC that it addresses. */
void hk_apic_bus_send(struct hk_apic_bus *bus, const struct hk_apic_msg *msg);

/* The message that a write of `data` at `address` (0xfeexxxxx) means. */
void hk_apic_msg_from_msi(uint64_t address, uint32_t data,
                          struct hk_apic_msg *out);

/*
 * Memory-mapped page of this vCPU's APIC; offset 0 to 0xfff, any size. Reads
 * all ones and ignores writes while hk_lapic_is_mapped is false. Registers
 * are 32 bits at multiples of 16; writes of other shapes are ignored.
 */
uint64_t hk_lapic_read(struct hk_lapic *apic, uint64_t offset, uint32_t size);
void hk_lapic_write(struct hk_lapic *apic, uint64_t offset, uint32_t size,
                    uint64_t value);

/* MSRs 0x1b, 0x6e0 and 0x800 to 0x8ff. False: #GP. */
bool hk_lapic_msr_read(struct hk_lapic *apic, uint32_t msr,
                       uint64_t *value) HK_MUST_CHECK;
bool hk_lapic_msr_write(struct hk_lapic *apic, uint32_t msr,
                        uint64_t value) HK_MUST_CHECK;

/* CR8 (task priority class, 0 to 15). */
uint8_t hk_lapic_get_cr8(struct hk_lapic *apic);
void hk_lapic_set_cr8(struct hk_lapic *apic, uint8_t value);

/* True when the memory-mapped page answers (enabled, not x2APIC), and where
 * the guest has put it: HK_APIC_BASE unless it wrote IA32_APIC_BASE. */
bool hk_lapic_is_mapped(struct hk_lapic *apic);
uint64_t hk_lapic_base(struct hk_lapic *apic);

/* False while IA32_APIC_BASE has the APIC off: CPUID.1:EDX.APIC then. */
bool hk_lapic_is_enabled(struct hk_lapic *apic);

/* A fixed interrupt above the processor priority waits. No lock, no call. */
bool hk_lapic_has_interrupt(struct hk_lapic *apic);

/* Takes it: IRR to ISR. Returns the vector or -1. */
int hk_lapic_ack(struct hk_lapic *apic);

/*
 * Fires the timer if it is due. Returns the guest TSC value at which it must
 * be called next, or UINT64_MAX when no timer is armed.
 */
uint64_t hk_lapic_poll_timer(struct hk_lapic *apic);

#endif
