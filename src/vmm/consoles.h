/*
 * The consoles of a VM: the serial port's back end, the streams of the
 * workload with the control port, and what else the caller added.
 */
#ifndef HK_VMM_CONSOLES_H
#define HK_VMM_CONSOLES_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_loop;
struct hk_port;
struct hk_vdev;
struct hk_vm;
struct hk_vm_config;

/* What init must know of the streams. */
struct hk_streams {
    uint32_t flags;         /* of enum hk_cfg_flags */
    uint16_t columns, rows; /* of the terminal; 0: not known */
};

/*
 * Where the serial port's bytes go and come from: the descriptors of the
 * configuration, or the kernel log of a VM with a workload.
 */
int hk_consoles_open_serial(struct hk_loop *loop,
                            const struct hk_vm_config *config,
                            struct hk_port **out,
                            struct hk_errmsg *err) HK_MUST_CHECK;

/*
 * Makes the virtio console devices in the order in which the guest shall find
 * them and hands each to `add`, which takes it, also on failure. The
 * workload's comes first: its terminal is hvc0.
 */
int hk_consoles_create(struct hk_vm *vm, const struct hk_vm_config *config,
                       int (*add)(struct hk_vm *vm, struct hk_vdev *take_dev,
                                  struct hk_errmsg *err),
                       struct hk_streams *streams,
                       struct hk_errmsg *err) HK_MUST_CHECK;

#endif
