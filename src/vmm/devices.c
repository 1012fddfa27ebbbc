/*
 * Slots for virtio devices.
 */
#include "vmm/devices.h"

#include "boot/layout.h"
#include "boot/machine.h"
#include "bus/bus.h"
#include "bus/irq_share.h"
#include "chip/ioapic.h"
#include "virtio/mmio.h"
#include "vmm/vm_int.h"

#include <stdlib.h>

/*
 * Pins in the order in which they are given out. Not among them: what serial
 * ports, keyboard and clock have (1, 3, 4, 8), and what a kernel without ACPI
 * takes for timer, second PIC, ACPI, mouse and FPU (0, 2, 9, 12, 13).
 */
static const uint8_t pins[] = {5,  6,  7,  10, 11, 14, 15, 16,
                               17, 18, 19, 20, 21, 22, 23};
enum { PINS = sizeof(pins) };
_Static_assert(HK_DEVICES_MAX <= PINS * HK_IRQ_SHARE_MAX, "pins to share");

struct hk_devices {
    struct hk_machine *m;
    uint32_t count;
    struct hk_vmmio *transport[HK_DEVICES_MAX];
    struct hk_boot_slot slot[HK_DEVICES_MAX];

    struct hk_irq_share share[PINS];
    struct hk_irq_member member[HK_DEVICES_MAX];
};

int hk_devices_create(struct hk_machine *m, struct hk_devices **out)
{
    struct hk_devices *devices = calloc(1, sizeof(*devices));
    if (devices == NULL)
        return -HK_ENOMEM;
    devices->m = m;
    for (uint32_t i = 0; i < PINS; i++)
        devices->share[i].pin = hk_ioapic_irq(m->ioapic, pins[i]);
    *out = devices;
    return 0;
}

int hk_devices_add(struct hk_devices *devices, struct hk_vdev *take_dev,
                   struct hk_errmsg *err)
{
    uint32_t number = devices->count;
    struct hk_machine *m = devices->m;
    if (number == HK_DEVICES_MAX) {
        hk_vdev_destroy(take_dev);
        return hk_err_set(err, -HK_ENOSPC,
                          "a VM has at most %d devices; attach fewer",
                          HK_DEVICES_MAX);
    }
    const struct hk_irq irq = hk_irq_share_join(&devices->share[number % PINS],
                                                &devices->member[number]);
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
    free(devices);
}
