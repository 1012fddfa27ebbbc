/*
 * The control port: how the VM talks to our init about the workload
 * (wire/console.h has the records). Signals and the wish to stop are noted
 * where any thread or signal handler may be, and sent by the loop.
 *
 *     hk_vm_signal, hk_vm_ask_stop     any thread: notes, wakes husk-vm
 *     husk-vm                          posts hk_control_serve
 *     hk_control_serve                 loop: sends what was noted
 *     init's records                   loop: the workload runs, or cannot
 *
 * A workload that does not run cannot be asked: a wish to stop is then the
 * end at once.
 */
#ifndef HK_VMM_CONTROL_H
#define HK_VMM_CONTROL_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hk_port;
struct hk_timer;
struct hk_vm;

struct hk_control_state {
    /* Any thread. */
    atomic_bool has_init;
    atomic_bool runs;               /* the workload does */
    atomic_uint_fast64_t signals;   /* bit n-1: signal n is to be sent */
    atomic_uint_fast64_t stop_plus; /* grace in ms plus 1; 0: not asked */

    /* The loop's thread. */
    struct hk_port *port; /* NULL: none, or not any more */
    struct hk_timer *timer;
    uint8_t bytes[8]; /* of a record that is not whole yet */
    uint32_t have;
};

/* Makes the port for the console device, which takes it. */
int hk_control_open(struct hk_vm *vm, struct hk_port **out) HK_MUST_CHECK;

/* hk_loop_fn; `opaque` is the VM. */
void hk_control_serve(void *opaque);

/* The loop's thread, before the console devices go: nothing is sent or heard
 * any more. */
void hk_control_close(struct hk_vm *vm);

#endif
