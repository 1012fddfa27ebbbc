/*
 * The exit port: ends the VM with a status of the guest's choosing.
 *
 * A write of 1, 2 or 4 bytes at HK_EXIT_PORT with value v ends the VM with
 * status v. The first write counts; later ones (other vCPUs still running)
 * are ignored. Reads give HK_EXIT_PORT_ID so that a guest can tell that the
 * port is there.
 *
 * Threads: any. The callback comes on the thread of the access, once, with
 * the bus region's lock held.
 */
#ifndef HK_CHIP_EXIT_PORT_H
#define HK_CHIP_EXIT_PORT_H

#include "base/compiler.h"
#include "bus/bus.h"

enum {
    HK_EXIT_PORT = 0x501,
    HK_EXIT_PORT_PORTS = 4,
    HK_EXIT_PORT_ID = 0x4b53, /* "SK", low bytes of it for shorter reads */
};

struct hk_exit_port;

/* `fn` and `opaque` are borrowed until destroy. */
int hk_exit_port_create(void (*fn)(void *opaque, uint32_t status), void *opaque,
                        struct hk_exit_port **out) HK_MUST_CHECK;
void hk_exit_port_destroy(struct hk_exit_port *port); /* NULL is legal */

/* Table for hk_bus_add at HK_EXIT_PORT, HK_EXIT_PORT_PORTS and
 * HK_BUS_SIZE_1 | HK_BUS_SIZE_2 | HK_BUS_SIZE_4. */
extern const struct hk_bus_ops hk_exit_port_bus_ops;

#endif
