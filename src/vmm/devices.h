/*
 * The virtio devices of a machine: one slot each, with a page of the device
 * window and an interrupt line.
 *
 * Lines are pins of the I/O APIC that no chip uses. There are fewer pins than
 * slots may be wanted: from then on slots share them, level-triggered.
 */
#ifndef HK_VMM_DEVICES_H
#define HK_VMM_DEVICES_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_boot_slot;
struct hk_devices;
struct hk_gmem;
struct hk_loop;
struct hk_machine;
struct hk_pool;
struct hk_vdev;

enum { HK_DEVICES_MAX = 256 };

/* What a device may be made of; borrowed, and there until destroy. */
struct hk_device_env {
    struct hk_loop *loop; /* its home */
    struct hk_pool *pool; /* for calls that block */
    struct hk_gmem *gmem;
};

/*
 * Makes one device: called once, while the machine is built. The device then
 * belongs to the machine, `opaque` stays the caller's.
 */
struct hk_vm_device {
    int (*make)(void *opaque, const struct hk_device_env *env,
                struct hk_vdev **out, struct hk_errmsg *err);
    void *opaque;
};

int hk_devices_create(struct hk_machine *m,
                      struct hk_devices **out) HK_MUST_CHECK;

/* Takes the device, also on failure. Before the vCPUs run. -HK_ENOSPC. */
int hk_devices_add(struct hk_devices *devices, struct hk_vdev *take_dev,
                   struct hk_errmsg *err) HK_MUST_CHECK;

/* For the tables; borrowed until destroy. */
const struct hk_boot_slot *hk_devices_slots(const struct hk_devices *devices,
                                            uint32_t *count);

/* Any thread: vCPUs that wait for a device go on. NULL is legal. */
void hk_devices_release(struct hk_devices *devices);

/* The loop's thread, no vCPU runs: brings what guests wrote to the host when
 * `drain`, then resets every device. NULL is legal. */
void hk_devices_quiesce(struct hk_devices *devices, bool drain);

/* After quiesce, or when the loop never ran. NULL is legal. */
void hk_devices_destroy(struct hk_devices *devices);

#endif
