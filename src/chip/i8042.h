/*
 * Keyboard controller (8042) with nothing plugged in: enough for a kernel's
 * probe to be answered at once, and for its reset pulse, which is how many
 * kernels reboot.
 *
 *   0x60  data
 *   0x61  system control port B: a changing refresh bit, the timer's output
 *         reads high so that a guest that waits for it does not wait for ever
 *   0x64  status (read), command (write)
 *
 * Threads: any. The callback comes on the thread of the access (a vCPU's),
 * with the bus region's lock held.
 */
#ifndef HK_CHIP_I8042_H
#define HK_CHIP_I8042_H

#include "base/compiler.h"
#include "bus/bus.h"
#include "bus/irq.h"

enum {
    HK_I8042_PORT = 0x60,
    HK_I8042_PORTS = 5,
    HK_I8042_IRQ = 1,
};

struct hk_i8042;

/* `irq` is the keyboard's line and may be zeroed. `reset` is called for a
 * reset pulse; `opaque` is borrowed until destroy. */
int hk_i8042_create(struct hk_irq irq, void (*reset)(void *opaque),
                    void *opaque, struct hk_i8042 **out) HK_MUST_CHECK;
void hk_i8042_destroy(struct hk_i8042 *i8042); /* NULL is legal */

/* Table for hk_bus_add at HK_I8042_PORT, HK_I8042_PORTS, HK_BUS_SIZE_1. */
extern const struct hk_bus_ops hk_i8042_bus_ops;

#endif
