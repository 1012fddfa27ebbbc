/*
 * Output half of a descriptor port: a bounded buffer and a thread that hands
 * it to the host in order, with blocking writes, whatever the descriptor is.
 *
 * Threads: create and destroy from one; the rest from any. The owner is called
 * on the pump's thread and must only note it.
 */
#ifndef HK_CONSOLE_OUTPUMP_H
#define HK_CONSOLE_OUTPUMP_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { HK_OUTPUMP_SIZE = 65536 };

struct hk_outpump;

struct hk_outpump_owner {
    void (*space)(void *opaque);  /* room again after a short write */
    void (*broken)(void *opaque); /* hk_outpump_error is set; at most once */
    void *opaque;
};

int hk_outpump_create(int fd, const struct hk_outpump_owner *owner,
                      struct hk_outpump **out) HK_MUST_CHECK;

/* Gives the host a second to take what is left, or none when `give_up` (may
 * be NULL) is true. NULL is legal. */
void hk_outpump_destroy(struct hk_outpump *pump, const atomic_bool *give_up);

size_t hk_outpump_write(struct hk_outpump *pump, const uint8_t *bytes,
                        size_t len);

/* Blocks until the buffer is empty, the descriptor broke, or `give_up` (may
 * be NULL) is true. */
void hk_outpump_drain(struct hk_outpump *pump, const atomic_bool *give_up);

/* 0, or why all output is discarded. */
int hk_outpump_error(struct hk_outpump *pump);

#endif
