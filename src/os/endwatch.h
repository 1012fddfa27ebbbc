/*
 * Requests to end what runs: SIGTERM and SIGINT, and an event that another
 * program was handed. Twins: linux/endwatch.c.
 *
 * Each signal is taken over only if nobody handles or ignores it, and given
 * back at the end. The first request calls `asked`; a signal that comes after
 * that calls `insisted`. Both may be called in a signal handler, on any
 * thread, and `asked` twice when requests come at one time.
 *
 * Threads: one watch at a time; its functions by one thread.
 */
#ifndef HK_OS_ENDWATCH_H
#define HK_OS_ENDWATCH_H

#include "base/compiler.h"

struct hk_endwatch;

struct hk_endwatch_events {
    void (*asked)(void *opaque);
    void (*insisted)(void *opaque);
};

/* From now on requests are noted. `event` is of os/event.h, or -1. -HK_EBUSY
 * there is a watch already; -HK_ENOMEM. */
int hk_endwatch_create(int event, const struct hk_endwatch_events *events,
                       void *opaque, struct hk_endwatch **out) HK_MUST_CHECK;

/* From now on they are passed on, the noted one at once. The event is waited
 * for by a thread of its own. The system's errors. */
int hk_endwatch_start(struct hk_endwatch *watch) HK_MUST_CHECK;

/* No callback comes any more, and the memory is freed. NULL is legal. */
void hk_endwatch_destroy(struct hk_endwatch *watch);

#endif
