/*
 * An event that other programs can be handed: whoever holds the descriptor
 * signals by writing eight bytes, a number that is not 0.
 * Twins: linux/event.c.
 *
 * Threads: any.
 */
#ifndef HK_OS_EVENT_H
#define HK_OS_EVENT_H

#include "base/compiler.h"

#include <stdbool.h>

/* Closed on exec. -HK_ENOTSUP where the system has no such thing, and the
 * system's own errors. */
int hk_event_open(int *out) HK_MUST_CHECK;
void hk_event_close(int event); /* -1 is legal */

void hk_event_set(int event);

/*
 * Waits until one of the two is set and takes that back; -1 for one that is
 * not there. True for the first of them, false for the second. A descriptor
 * that is no event (any more) is never set.
 */
bool hk_event_wait_either(int first, int second);

#endif
