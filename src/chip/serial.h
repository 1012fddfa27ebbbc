/*
 * Serial port, a 16550A with FIFOs, in front of a console port.
 *
 * Output goes to the port at once; while the port is full the transmitter
 * reads as busy, and nothing is dropped (a guest that writes on regardless
 * has HK_SERIAL_TX_MAX bytes of patience). Input waits in the console port
 * until the FIFO has room, so the guest never sees an overrun except in
 * loopback mode, and until the guest has enabled the receive interrupt, so
 * that no driver's set-up eats it. The line rate is not modelled.
 *
 * Threads: create, destroy and the port's events on the loop's thread;
 * registers from any thread. A lock orders them; it is held across the
 * interrupt line and hk_port_write, which take no lock of ours.
 */
#ifndef HK_CHIP_SERIAL_H
#define HK_CHIP_SERIAL_H

#include "base/compiler.h"
#include "bus/bus.h"
#include "bus/irq.h"

enum {
    HK_SERIAL_COM1_PORT = 0x3f8,
    HK_SERIAL_COM1_IRQ = 4,
    HK_SERIAL_PORTS = 8,
    HK_SERIAL_TX_MAX = 4096,
};

struct hk_loop;
struct hk_port;
struct hk_serial;

/*
 * Listens on `port`, which is borrowed until destroy, as is `loop`. `loop`
 * may be NULL when everything happens on one thread (tests).
 */
int hk_serial_create(struct hk_loop *loop, struct hk_port *port,
                     struct hk_irq irq, struct hk_serial **out) HK_MUST_CHECK;

/* After the port was closed, or with no event of it to come. NULL is legal. */
void hk_serial_destroy(struct hk_serial *serial);

/* Table for hk_bus_add, HK_SERIAL_PORTS ports, HK_BUS_SIZE_1. */
extern const struct hk_bus_ops hk_serial_bus_ops;

#endif
