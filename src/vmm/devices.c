/*
 * Slots for virtio devices.
 */
#include "vmm/devices.h"

#include "boot/layout.h"
#include "boot/machine.h"
#include "bus/bus.h"
#include "chip/ioapic.h"
#include "virtio/mmio.h"
#include "vmm/vm_int.h"

#include <stdlib.h>

/* Not 0 to 4, 8 (timer, keyboard, serial ports, clock): what a kernel without
 * ACPI takes for granted. */
static const uint8_t pins[] = {5,  6,  7,  9,  10, 11, 12, 13, 14,
                               15, 16, 17, 18, 19, 20, 21, 22, 23};
enum { PINS = sizeof(pins) };

/* One pin and how many of its slots hold it up. */
struct line {
    struct hk_irq irq;
    uint32_t raised;
};

struct hk_devices {
    struct hk_machine *m;
    uint32_t count;
    struct hk_vmmio *transport[HK_DEVICES_MAX];
    struct hk_boot_slot slot[HK_DEVICES_MAX];

    uv_mutex_t lock; /* guards what follows; a leaf but for the I/O APIC */
    bool is_raised[HK_DEVICES_MAX];
    struct line line[PINS];
};

int hk_devices_create(struct hk_machine *m, struct hk_devices **out)
{
    struct hk_devices *devices = calloc(1, sizeof(*devices));
    if (devices == NULL)
        return -HK_ENOMEM;
    if (uv_mutex_init(&devices->lock) != 0) {
        free(devices);
        return -HK_ENOMEM;
    }
    devices->m = m;
    for (uint32_t i = 0; i < PINS; i++)
        devices->line[i].irq = hk_ioapic_irq(m->ioapic, pins[i]);
    *out = devices;
    return 0;
}

/* A slot's line as its transport drives it; any thread. */
static void set_line(void *opaque, uint32_t slot, bool level)
{
    struct hk_devices *devices = opaque;
    struct line *line = &devices->line[slot % PINS];
    uv_mutex_lock(&devices->lock);
    if (devices->is_raised[slot] != level) {
        devices->is_raised[slot] = level;
        line->raised += level ? 1u : -1u;
    }
    /* Also when nothing changed: a new edge for kernels that count those. */
    hk_irq_set(&line->irq, line->raised != 0);
    uv_mutex_unlock(&devices->lock);
}

int hk_devices_add(struct hk_devices *devices, struct hk_vdev *take_dev,
                   struct hk_errmsg *err)
{
    uint32_t number = devices->count;
    struct hk_machine *m = devices->m;
    if (number == HK_DEVICES_MAX) {
        hk_vdev_destroy(take_dev);
        return hk_err_set(err, -HK_ENOSPC, "a VM has at most %d devices",
                          HK_DEVICES_MAX);
    }
    const struct hk_irq irq = {set_line, devices, number};
    int rc =
        hk_vmmio_create(take_dev, m->gmem, irq, &devices->transport[number]);
    if (rc != 0)
        return rc;
    devices->count++;
    devices->slot[number] = (struct hk_boot_slot){
        .gpa = HK_BOOT_HOLE_START + (uint64_t)number * HK_VMMIO_SIZE,
        .size = HK_VMMIO_SIZE,
        .irq = pins[number % PINS],
        .level = true,
    };
    return hk_bus_add(m->bus, HK_BUS_MEM, devices->slot[number].gpa,
                      HK_VMMIO_SIZE, HK_BUS_SIZE_ANY, &hk_vmmio_bus_ops,
                      devices->transport[number]);
}

const struct hk_boot_slot *hk_devices_slots(const struct hk_devices *devices,
                                            uint32_t *count)
{
    *count = devices->count;
    return devices->slot;
}

void hk_devices_release(struct hk_devices *devices)
{
    for (uint32_t i = 0; devices != NULL && i < devices->count; i++)
        hk_vmmio_release(devices->transport[i]);
}

void hk_devices_quiesce(struct hk_devices *devices, bool drain)
{
    for (uint32_t i = 0; devices != NULL && i < devices->count; i++)
        hk_vmmio_quiesce(devices->transport[i], drain);
}

void hk_devices_destroy(struct hk_devices *devices)
{
    if (devices == NULL)
        return;
    for (uint32_t i = 0; i < devices->count; i++)
        hk_vmmio_destroy(devices->transport[i]);
    uv_mutex_destroy(&devices->lock);
    free(devices);
}
