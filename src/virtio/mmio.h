/*
 * The memory-mapped transport, version 2 (VIRTIO 1.2, 4.2): registers,
 * feature negotiation, the status machine, queue addresses, interrupts.
 *
 * Threads: registers are reached from vCPU threads through the bus. A notify
 * is posted to the device's home loop. Writes to the status register and to
 * the configuration space wait until the home loop has acted; the loop never
 * waits for a vCPU. After hk_vmmio_release nobody waits any more.
 */
#ifndef HK_VIRTIO_MMIO_H
#define HK_VIRTIO_MMIO_H

#include "base/compiler.h"
#include "bus/bus.h"
#include "bus/irq.h"
#include "virtio/device.h"

struct hk_vmmio;

enum { HK_VMMIO_SIZE = 0x1000 };

/*
 * Puts the device behind a transport. Takes ownership of `dev`, also on
 * failure. `gmem` is borrowed until destroy. -HK_ENOMEM.
 */
int hk_vmmio_create(struct hk_vdev *take_dev, struct hk_gmem *gmem,
                    struct hk_irq irq, struct hk_vmmio **out) HK_MUST_CHECK;

/* For hk_bus_add with HK_VMMIO_SIZE and HK_BUS_SIZE_ANY. */
extern const struct hk_bus_ops hk_vmmio_bus_ops;

struct hk_vdev *hk_vmmio_device(struct hk_vmmio *t);

/* Any thread, at the end of the VM: lets vCPUs that wait go on. */
void hk_vmmio_release(struct hk_vmmio *t);

/*
 * The home loop's thread, no vCPU runs any more: drains the device when
 * `drain`, then resets it; turns the loop until the reset is done.
 */
void hk_vmmio_quiesce(struct hk_vmmio *t, bool drain);

/* After quiesce (or when the loop never ran). NULL is legal. */
void hk_vmmio_destroy(struct hk_vmmio *t);

#endif
