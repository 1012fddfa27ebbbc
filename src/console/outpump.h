/*
 * Output half of a descriptor port: a bounded buffer and a thread that hands
 * it to the host in order, with blocking writes, whatever the descriptor is.
 *
 * Threads: create and destroy from one; write and drain from any. `space` is
 * called on the pump's thread once there is room again after a short write.
 */
#ifndef HK_CONSOLE_OUTPUMP_H
#define HK_CONSOLE_OUTPUMP_H

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

enum { HK_OUTPUMP_SIZE = 65536 };

struct hk_outpump;

int hk_outpump_create(int fd, void (*space)(void *opaque), void *opaque,
                      struct hk_outpump **out) HK_MUST_CHECK;

/* Gives the host a second to take what is left. NULL is legal. */
void hk_outpump_destroy(struct hk_outpump *pump);

size_t hk_outpump_write(struct hk_outpump *pump, const uint8_t *bytes,
                        size_t len);

/* Blocks until the buffer is empty (or the descriptor broke). */
void hk_outpump_drain(struct hk_outpump *pump);

#endif
