/*
 * The machine: every part and how they are wired, top down.
 *
 *                     vCPU threads
 *                ports |      | memory, APIC page, APIC MSRs
 *                      v      v
 *      bus: serial 0x3f8 --irq 4--+      local APIC of each vCPU
 *           i8042  0x60           |          ^            ^
 *           CMOS   0x70           v          | IPIs       | messages
 *           exit   0x501      I/O APIC ------+-- or the back end's own
 *           ACPI   0x600      0xfec00000
 *                      |     virtio slots 0xd0000000 and on --irq 5...
 *                      v        |
 *      loop: console ports, devices -- pool: blocking work of devices
 */
#define HK_LOG_TAG "machine"
#include "vmm/vm_int.h"

#include "base/log.h"
#include "boot/layout.h"
#include "bus/bus.h"
#include "chip/acpi_pm.h"
#include "chip/cmos.h"
#include "chip/exit_port.h"
#include "chip/i8042.h"
#include "chip/ioapic.h"
#include "chip/lapic.h"
#include "chip/serial.h"
#include "console/port.h"
#include "loop/loop.h"
#include "loop/pool.h"
#include "mem/gmem.h"
#include "virtio/rng.h"
#include "vmm/consoles.h"
#include "vmm/devices.h"
#include "vmm/files.h"
#include "vmm/loading.h"
#include "vmm/tap_port.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    IO_APIC_MSI_BASE = 0xfee00000, /* where message interrupts are written */
};

/* ------------------------------------------------------------------ */
/* What devices tell the VM; on a vCPU's thread                       */

static void on_power_off(void *opaque)
{
    hk_vm_end(opaque, HK_END_POWER_OFF, 0, NULL);
}

/* Only noted here: the vCPU that did it speaks up when the access is over,
 * because who asked matters (ending.h). */
static void on_reset(void *opaque)
{
    struct hk_vm *vm = opaque;
    atomic_store(&vm->reset_asked, true);
}

static void on_exit_status(void *opaque, uint32_t status)
{
    hk_vm_end(opaque, HK_END_EXIT, (int)(status & 0xff), NULL);
}

static void on_escape(void *opaque)
{
    hk_vm_end(opaque, HK_END_ESCAPE, 0, NULL);
}

/* A message from the I/O APIC, in the form of MSI address and data. */
static void send_msi(void *opaque, const struct hk_apic_msg *msg)
{
    struct hk_vm *vm = opaque;
    struct hk_machine *m = &vm->machine;
    if (!m->has_lapic) {
        hk_apic_bus_send(m->apics, msg);
        return;
    }
    uint64_t address = IO_APIC_MSI_BASE | (uint64_t)(msg->dest & 0xff) << 12 |
                       (msg->logical ? 1u << 2 : 0);
    uint32_t data = msg->vector | (uint32_t)msg->mode << 8 |
                    (msg->assert_level ? 1u << 14 : 0) |
                    (msg->level ? 1u << 15 : 0);
    if (m->hv->msi(m->hv_vm, address, data) != 0)
        HK_LOG_GUEST_W("message interrupt 0x%x was refused", data);
}

static void on_eoi(void *opaque, uint8_t vector)
{
    struct hk_vm *vm = opaque;
    hk_ioapic_eoi(vm->machine.ioapic, vector);
}

static void on_host_write(void *opaque, hk_gpa_t gpa, uint64_t len)
{
    struct hk_vm *vm = opaque;
    vm->machine.hv->note_write(vm->machine.hv_vm, gpa, len);
}

/* ------------------------------------------------------------------ */
/* Assembly                                                           */

static int add_ram(struct hk_machine *m, uint64_t bytes, struct hk_errmsg *err)
{
    struct hk_boot_ram ram;
    int rc = hk_boot_layout_ram(bytes, &ram, err);
    if (rc == 0)
        rc = hk_gmem_create(&m->gmem);
    for (uint32_t i = 0; rc == 0 && i < ram.count; i++)
        rc = hk_gmem_add(m->gmem, ram.region[i].gpa, ram.region[i].size, err);
    return rc;
}

static int add_hypervisor(struct hk_vm *vm, const struct hk_vm_config *config,
                          struct hk_errmsg *err)
{
    struct hk_machine *m = &vm->machine;
    struct hk_hv_vm_config hv_config = {
        .sink = &hk_vcpu_sink,
        .vcpu_count = config->cpus,
        .ram_bytes = hk_gmem_total(m->gmem),
        .cpu_bugs_shown = config->cpu_bugs_shown,
    };
    m->hv = config->hv;
    int rc = m->hv->vm_create(&hv_config, &m->hv_vm, err);
    if (rc != 0)
        return rc;
    struct hk_hv_caps caps = {0};
    m->hv->vm_caps(m->hv_vm, &caps);
    m->has_lapic = caps.has_lapic;
    m->tsc_hz = caps.tsc_hz;
    m->apic_hz = caps.apic_hz;
    if (config->cpus > caps.max_vcpus)
        return hk_err_set(err, -HK_EINVAL,
                          "back end %s has at most %u CPUs in a VM, not %u",
                          m->hv->name, caps.max_vcpus, config->cpus);
    for (uint32_t i = 0; i < hk_gmem_region_count(m->gmem); i++) {
        struct hk_gmem_region r = hk_gmem_region(m->gmem, i);
        rc = m->hv->map(m->hv_vm, r.gpa, r.size, r.host, true);
        if (rc != 0)
            return hk_err_set(err, rc,
                              "back end %s cannot map the VM's memory: %s",
                              m->hv->name, hk_err_text(rc));
    }
    if (m->hv->note_write != NULL)
        hk_gmem_set_watch(m->gmem, on_host_write, vm);
    return 0;
}

static int add_interrupts(struct hk_vm *vm, uint32_t cpus)
{
    struct hk_machine *m = &vm->machine;
    int rc = hk_bus_create(&m->bus);
    if (rc == 0 && !m->has_lapic)
        rc = hk_apic_bus_create(cpus, m->apic_hz, m->tsc_hz, &m->apics);
    if (rc == 0)
        rc = hk_ioapic_create((uint8_t)(cpus + 1), send_msi, vm, &m->ioapic);
    if (rc == 0)
        rc = hk_bus_add(m->bus, HK_BUS_MEM, HK_IOAPIC_BASE, HK_IOAPIC_SIZE,
                        HK_BUS_SIZE_ANY, &hk_ioapic_bus_ops, m->ioapic);
    if (rc == 0 && m->apics != NULL)
        hk_apic_bus_set_eoi(m->apics, on_eoi, vm);
    return rc;
}

static int add_vcpu(struct hk_vm *vm, uint32_t index, struct hk_errmsg *err)
{
    struct hk_machine *m = &vm->machine;
    struct hk_vm_vcpu *vcpu = &m->vcpus[index];
    int rc = hk_vcpu_init(vcpu, vm, index);
    if (rc != 0)
        return rc;
    m->vcpu_count = index + 1;
    rc = m->hv->vcpu_create(m->hv_vm, index, vcpu, &vcpu->hv, err);
    if (rc != 0 || m->has_lapic)
        return rc;
    atomic_store(&vcpu->mode, index == 0 ? HK_VCPU_RUNNING : HK_VCPU_WAITING);
    return hk_lapic_add(m->apics, &hk_vcpu_lapic_host, vcpu, &vcpu->lapic);
}

static int add_vcpus(struct hk_vm *vm, uint32_t cpus, struct hk_errmsg *err)
{
    struct hk_machine *m = &vm->machine;
    m->vcpus = calloc(cpus, sizeof(*m->vcpus));
    if (m->vcpus == NULL)
        return -HK_ENOMEM;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < cpus; i++)
        rc = add_vcpu(vm, i, err);
    return rc;
}

static int add_console(struct hk_vm *vm, const struct hk_vm_config *config,
                       struct hk_errmsg *err)
{
    struct hk_machine *m = &vm->machine;
    struct hk_port *port = NULL;
    int rc = hk_loop_create(&m->loop);
    if (rc == 0)
        rc = hk_consoles_open_serial(m->loop, config, &port, err);
    if (rc == 0)
        rc = hk_tap_open(port, on_escape, vm, &m->console);
    return rc;
}

/* Creates each chip and puts it on the bus. */
static int add_serial(struct hk_machine *m)
{
    struct hk_irq irq = hk_ioapic_irq(m->ioapic, HK_SERIAL_COM1_IRQ);
    int rc = hk_serial_create(m->loop, m->console, irq, &m->serial);
    if (rc != 0)
        return rc;
    return hk_bus_add(m->bus, HK_BUS_PORT, HK_SERIAL_COM1_PORT, HK_SERIAL_PORTS,
                      HK_BUS_SIZE_1, &hk_serial_bus_ops, m->serial);
}

static int add_i8042(struct hk_vm *vm)
{
    struct hk_machine *m = &vm->machine;
    struct hk_irq irq = hk_ioapic_irq(m->ioapic, HK_I8042_IRQ);
    int rc = hk_i8042_create(irq, on_reset, vm, &m->i8042);
    if (rc != 0)
        return rc;
    return hk_bus_add(m->bus, HK_BUS_PORT, HK_I8042_PORT, HK_I8042_PORTS,
                      HK_BUS_SIZE_1, &hk_i8042_bus_ops, m->i8042);
}

static int64_t wall_clock(void *opaque)
{
    (void)opaque;
    return (int64_t)time(NULL);
}

static int add_cmos(struct hk_machine *m)
{
    struct hk_gmem_region low = hk_gmem_region(m->gmem, 0);
    const struct hk_cmos_config config = {
        .now = wall_clock,
        .ram_below_4g = low.size,
        .ram_above_4g = hk_gmem_total(m->gmem) - low.size,
    };
    int rc = hk_cmos_create(&config, &m->cmos);
    if (rc != 0)
        return rc;
    return hk_bus_add(m->bus, HK_BUS_PORT, HK_CMOS_PORT, HK_CMOS_PORTS,
                      HK_BUS_SIZE_1, &hk_cmos_bus_ops, m->cmos);
}

static int add_exit_port(struct hk_vm *vm)
{
    struct hk_machine *m = &vm->machine;
    int rc = hk_exit_port_create(on_exit_status, vm, &m->exit_port);
    if (rc != 0)
        return rc;
    return hk_bus_add(m->bus, HK_BUS_PORT, HK_EXIT_PORT, HK_EXIT_PORT_PORTS,
                      HK_BUS_SIZE_1 | HK_BUS_SIZE_2 | HK_BUS_SIZE_4,
                      &hk_exit_port_bus_ops, m->exit_port);
}

static int add_acpi(struct hk_vm *vm)
{
    static const struct hk_acpi_pm_events events = {
        .power_off = on_power_off,
        .reset = on_reset,
    };
    struct hk_machine *m = &vm->machine;
    int rc = hk_acpi_pm_create(&events, vm, &m->acpi_pm);
    if (rc != 0)
        return rc;
    return hk_bus_add(m->bus, HK_BUS_PORT, HK_ACPI_PM_PORT, HK_ACPI_PM_PORTS,
                      HK_BUS_SIZE_1, &hk_acpi_pm_bus_ops, m->acpi_pm);
}

static int add_chips(struct hk_vm *vm)
{
    int rc = add_serial(&vm->machine);
    if (rc == 0)
        rc = add_i8042(vm);
    if (rc == 0)
        rc = add_cmos(&vm->machine);
    if (rc == 0)
        rc = add_exit_port(vm);
    if (rc == 0)
        rc = add_acpi(vm);
    return rc;
}

/* ------------------------------------------------------------------ */
/* Devices                                                            */

static int random_bytes(void *opaque, void *to, size_t len)
{
    (void)opaque;
    return uv_random(NULL, NULL, to, len, 0, NULL) == 0 ? 0 : -HK_EIO;
}

static int add_rng(struct hk_machine *m, struct hk_errmsg *err)
{
    struct hk_vdev *dev = NULL;
    int rc = hk_rng_create(m->loop, random_bytes, NULL, &dev);
    return rc == 0 ? hk_devices_add(m->devices, dev, err) : rc;
}

static int add_callers_device(struct hk_machine *m,
                              const struct hk_vm_device *device,
                              struct hk_errmsg *err)
{
    const struct hk_device_env env = {
        .loop = m->loop,
        .pool = m->pool,
        .gmem = m->gmem,
    };
    struct hk_vdev *dev = NULL;
    int rc = device->make(device->opaque, &env, &dev, err);
    return rc == 0 ? hk_devices_add(m->devices, dev, err) : rc;
}

static int add_device(struct hk_vm *vm, struct hk_vdev *take_dev,
                      struct hk_errmsg *err)
{
    return hk_devices_add(vm->machine.devices, take_dev, err);
}

static int add_devices(struct hk_vm *vm, const struct hk_vm_config *config,
                       struct hk_errmsg *err)
{
    enum { WORKERS = 8 };
    struct hk_streams streams;
    struct hk_machine *m = &vm->machine;
    int rc = hk_pool_create(m->loop, "husk-io", WORKERS, &m->pool);
    if (rc == 0)
        rc = hk_devices_create(m, &m->devices);
    if (rc == 0)
        rc = add_rng(m, err);
    if (rc == 0)
        rc = hk_consoles_create(vm, config, add_device, &streams, err);
    if (rc == 0)
        rc = hk_loading_prepare(m->loading, config, &streams, err);
    if (rc == 0)
        rc = hk_files_add_disks(vm, config->parts, err);
    if (rc == 0 && config->change_user != NULL)
        rc = config->change_user(config->change_user_opaque, err);
    if (rc == 0)
        rc = hk_files_add_shares(vm, config->parts, err);
    for (uint32_t i = 0; rc == 0 && i < config->device_count; i++)
        rc = add_callers_device(m, &config->devices[i], err);
    return rc;
}

/* ------------------------------------------------------------------ */
/* All of it                                                          */

int hk_machine_build(struct hk_vm *vm, const struct hk_vm_config *config,
                     struct hk_errmsg *err)
{
    struct hk_errmsg why = {""};
    struct hk_machine *m = &vm->machine;
    int rc = hk_loading_choose(config, &m->loading, &why);
    if (rc == 0)
        rc = add_ram(m, config->memory, &why);
    if (rc == 0)
        rc = add_hypervisor(vm, config, &why);
    if (rc == 0)
        rc = add_interrupts(vm, config->cpus);
    if (rc == 0)
        rc = add_vcpus(vm, config->cpus, &why);
    if (rc == 0)
        rc = add_console(vm, config, &why);
    if (rc == 0)
        rc = add_chips(vm);
    if (rc == 0)
        rc = add_devices(vm, config, &why);
    if (rc == 0)
        rc = hk_loading_load(vm, config, m->loading, &why);
    atomic_store(&vm->control.has_init,
                 rc == 0 && hk_loading_has_init(m->loading));
    if (rc == 0)
        return 0;
    if (why.text[0] == '\0') /* only our own allocations fail wordlessly */
        return hk_err_set(err, rc, "cannot build the machine: %s",
                          hk_err_text(rc));
    return hk_err_set(err, rc, "%s", why.text);
}

/* ------------------------------------------------------------------ */
/* The end                                                            */

/* Did the guest end by itself? Then its last output is wanted. */
static bool guest_left(struct hk_vm *vm)
{
    uv_mutex_lock(&vm->lock);
    enum hk_end reason = vm->end_reason;
    uv_mutex_unlock(&vm->lock);
    switch (reason) {
    case HK_END_POWER_OFF:
    case HK_END_RESET:
    case HK_END_EXIT:
    case HK_END_CRASH:
    case HK_END_TRIPLE_FAULT:
        return !atomic_load(&vm->kill_requested);
    case HK_END_NONE:
    case HK_END_KILLED:
    case HK_END_ESCAPE:
    case HK_END_FAILED:
        break;
    }
    return false;
}

void hk_machine_quiesce(struct hk_vm *vm)
{
    struct hk_machine *m = &vm->machine;
    hk_control_close(vm);
    hk_devices_quiesce(m->devices, guest_left(vm));
    /* A guest pulled off the plug has no claim to its last output, and the
     * one who reads it may be the reason for the kill. */
    if (!atomic_load(&vm->kill_requested))
        hk_port_drain(m->console);
    vm->words = hk_tap_words(m->console);
    hk_tap_last_words(m->console, vm->last_words, sizeof(vm->last_words));
    hk_port_close(m->console);
    m->console = NULL;
}

enum hk_pins hk_machine_pins(struct hk_vm *vm)
{
    enum {
        SELECT = 0x00,
        WINDOW = 0x10,
        FIRST_PIN = 0x10, /* two registers for each pin from here */
        MASKED = 1 << 16,
    };
    void *ioapic = vm->machine.ioapic;
    if (ioapic == NULL)
        return HK_PINS_UNKNOWN;
    for (uint32_t i = 0; i < HK_IOAPIC_PINS; i++) {
        hk_ioapic_bus_ops.write(ioapic, SELECT, 4, FIRST_PIN + 2 * i);
        if (hk_ioapic_bus_ops.read(ioapic, WINDOW, 4) != MASKED)
            return HK_PINS_IN_USE;
    }
    return HK_PINS_CLEAR;
}

static void remove_vcpus(struct hk_machine *m)
{
    for (uint32_t i = m->vcpu_count; i > 0; i--) {
        m->hv->vcpu_destroy(m->vcpus[i - 1].hv);
        hk_vcpu_fini(&m->vcpus[i - 1]);
    }
    free(m->vcpus);
}

void hk_machine_take_down(struct hk_vm *vm)
{
    struct hk_machine *m = &vm->machine;
    hk_acpi_pm_destroy(m->acpi_pm);
    hk_exit_port_destroy(m->exit_port);
    hk_cmos_destroy(m->cmos);
    hk_i8042_destroy(m->i8042);
    hk_port_close(m->console);
    hk_serial_destroy(m->serial);
    hk_devices_destroy(m->devices);
    hk_pool_destroy(m->pool);
    hk_loading_destroy(m->loading);
    hk_loop_destroy(m->loop);
    remove_vcpus(m);
    hk_ioapic_destroy(m->ioapic);
    hk_apic_bus_destroy(m->apics);
    hk_bus_destroy(m->bus);
    if (m->hv != NULL)
        m->hv->vm_destroy(m->hv_vm);
    hk_gmem_destroy(m->gmem);
    memset(m, 0, sizeof(*m));
}
