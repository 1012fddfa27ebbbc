/*
 * What the host offers to VMs. Any thread; no state.
 */
#ifndef HK_VMM_HOST_H
#define HK_VMM_HOST_H

#include <stddef.h>
#include <stdint.h>

/* Logical CPUs this process may run on; at least 1. */
uint32_t hk_host_cpus(void);

/* Physical memory, or the limit put on this process if that is less; bytes.
 * 0 when it cannot be told. */
uint64_t hk_host_memory(void);

/* Names of the CPU's features that matter here, one blank between; cut to
 * `size` bytes with the NUL. Returns the full length without it. */
size_t hk_host_cpu_features(char *text, size_t size);

#endif
