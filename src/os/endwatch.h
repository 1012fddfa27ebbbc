/*
 * Requests to end what runs: SIGTERM and SIGINT, and an event that another
 * program was handed. Twins: linux/endwatch.c.
 *
 * Each signal is taken over only if nobody handles or ignores it, and given
 * back at the end. The first request calls `asked` on a thread of the watch,
 * which may wait as long as it likes; a signal that comes after that calls
 * `insisted`.
 *
 * Threads: one watch at a time; its functions by one thread.
 */
#ifndef HK_OS_ENDWATCH_H
#define HK_OS_ENDWATCH_H

#include "base/compiler.h"

struct hk_endwatch;

struct hk_endwatch_events {
    void (*asked)(void *opaque);    /* once */
    void (*insisted)(void *opaque); /* in a signal handler */
};

/* From now on requests are noted. `event` is of os/event.h, or -1. -HK_EBUSY
 * there is a watch already; -HK_ENOMEM; the system's own errors. */
int hk_endwatch_create(int event, const struct hk_endwatch_events *events,
                       void *opaque, struct hk_endwatch **out) HK_MUST_CHECK;

/* From now on they are passed on, the noted one at once. */
int hk_endwatch_start(struct hk_endwatch *watch) HK_MUST_CHECK;

/* Waits for a running `asked`, then frees. NULL is legal. */
void hk_endwatch_destroy(struct hk_endwatch *watch);

#endif
