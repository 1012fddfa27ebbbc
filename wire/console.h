/*
 * Names of console ports that host and guest agree on, and what the control
 * port speaks. Shared by both sides: fixed-width integers only.
 *
 * The control port carries records both ways, each a struct hk_control; the
 * host's tell init what to do with the workload, init's say what became of it.
 * Either side ignores records it does not know.
 */
#ifndef HK_WIRE_CONSOLE_H
#define HK_WIRE_CONSOLE_H

#include <stdint.h>

/* virtio console port names; the first three are libkrun's. */
#define HK_PORT_STDIN "krun-stdin"
#define HK_PORT_STDOUT "krun-stdout"
#define HK_PORT_STDERR "krun-stderr"
#define HK_PORT_CONTROL "husk-control"

enum hk_control_kind {
    HK_CONTROL_SIGNAL = 1,  /* to init: value = signal number for the workload
                               (its process group) */
    HK_CONTROL_STOP = 2,    /* to init: SIGTERM to the workload, SIGKILL after
                               `value` milliseconds */
    HK_CONTROL_STARTED = 3, /* from init: the workload runs; value = its pid */
    HK_CONTROL_FAILED = 4,  /* from init: the workload could not be started;
                               value = Linux errno or 0; a sentence went to its
                               standard error and the kernel log */
    HK_CONTROL_STDIN_END = 5, /* to init: value 0; no more input will come */
};

struct hk_control { /* little endian, 8 bytes */
    uint32_t kind;
    uint32_t value;
};

#endif
