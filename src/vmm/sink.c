/*
 * Port, memory and APIC accesses of a running vCPU, on its own thread.
 *
 * The local APIC's page is each vCPU's own and therefore answered here, in
 * front of the bus that all of them share.
 */
#include "vmm/vm_int.h"

#include "bus/bus.h"
#include "chip/lapic.h"

enum {
    APIC_SVR = 0xf0, /* offset in the page */
    APIC_MSR_SVR = HK_APIC_MSR_X2APIC + 0xf,
};

/* A device was told to reset the machine during this access. */
static void check_reset(struct hk_vm_vcpu *vcpu)
{
    if (atomic_load_explicit(&vcpu->vm->reset_asked, memory_order_relaxed))
        hk_vm_end(vcpu->vm, HK_END_RESET, 0, vcpu);
}

static void count(struct hk_vm_vcpu *vcpu, enum hk_vm_counter which)
{
    atomic_fetch_add_explicit(&vcpu->counters[which], 1, memory_order_relaxed);
}

static uint64_t port_read(void *opaque, uint16_t port, uint32_t size)
{
    struct hk_vm_vcpu *vcpu = opaque;
    count(vcpu, HK_VM_PORT_ACCESSES);
    return hk_bus_read(vcpu->vm->machine.bus, HK_BUS_PORT, port, size);
}

static void port_write(void *opaque, uint16_t port, uint32_t size,
                       uint64_t value)
{
    struct hk_vm_vcpu *vcpu = opaque;
    count(vcpu, HK_VM_PORT_ACCESSES);
    hk_bus_write(vcpu->vm->machine.bus, HK_BUS_PORT, port, size, value);
    check_reset(vcpu);
}

static bool is_apic_page(struct hk_vm_vcpu *vcpu, hk_gpa_t gpa, uint32_t size)
{
    return vcpu->lapic != NULL && gpa >= HK_APIC_BASE &&
           gpa - HK_APIC_BASE <= HK_APIC_SIZE - size &&
           hk_lapic_is_mapped(vcpu->lapic);
}

static uint64_t mem_read(void *opaque, hk_gpa_t gpa, uint32_t size)
{
    struct hk_vm_vcpu *vcpu = opaque;
    count(vcpu, HK_VM_MEMORY_ACCESSES);
    if (is_apic_page(vcpu, gpa, size))
        return hk_lapic_read(vcpu->lapic, gpa - HK_APIC_BASE, size);
    return hk_bus_read(vcpu->vm->machine.bus, HK_BUS_MEM, gpa, size);
}

static void mem_write(void *opaque, hk_gpa_t gpa, uint32_t size, uint64_t value)
{
    struct hk_vm_vcpu *vcpu = opaque;
    count(vcpu, HK_VM_MEMORY_ACCESSES);
    if (is_apic_page(vcpu, gpa, size)) {
        uint64_t offset = gpa - HK_APIC_BASE;
        if (offset == APIC_SVR)
            hk_svr_note(&vcpu->svr, (uint32_t)value);
        hk_lapic_write(vcpu->lapic, offset, size, value);
        /* An end of interrupt or a lower priority may let the next one in. */
        if (hk_lapic_has_interrupt(vcpu->lapic))
            vcpu->vm->machine.hv->vcpu_poke(vcpu->hv);
        return;
    }
    hk_bus_write(vcpu->vm->machine.bus, HK_BUS_MEM, gpa, size, value);
    check_reset(vcpu);
}

static bool apic_msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    struct hk_vm_vcpu *vcpu = opaque;
    return hk_lapic_msr_read(vcpu->lapic, msr, value);
}

static bool apic_msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    struct hk_vm_vcpu *vcpu = opaque;
    if (!hk_lapic_msr_write(vcpu->lapic, msr, value))
        return false;
    if (msr == APIC_MSR_SVR)
        hk_svr_note(&vcpu->svr, (uint32_t)value);
    return true;
}

static uint8_t apic_get_cr8(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    return hk_lapic_get_cr8(vcpu->lapic);
}

static void apic_set_cr8(void *opaque, uint8_t value)
{
    struct hk_vm_vcpu *vcpu = opaque;
    hk_lapic_set_cr8(vcpu->lapic, value);
}

static bool apic_has_interrupt(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    return hk_lapic_has_interrupt(vcpu->lapic);
}

static int apic_ack(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    return hk_lapic_ack(vcpu->lapic);
}

static void apic_tick(void *opaque)
{
    struct hk_vm_vcpu *vcpu = opaque;
    (void)hk_lapic_poll_timer(vcpu->lapic);
}

const struct hk_hv_sink hk_vcpu_sink = {
    .port_read = port_read,
    .port_write = port_write,
    .mem_read = mem_read,
    .mem_write = mem_write,
    .apic_msr_read = apic_msr_read,
    .apic_msr_write = apic_msr_write,
    .apic_get_cr8 = apic_get_cr8,
    .apic_set_cr8 = apic_set_cr8,
    .apic_has_interrupt = apic_has_interrupt,
    .apic_ack = apic_ack,
    .apic_tick = apic_tick,
};
