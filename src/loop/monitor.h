/*
 * A lock with a condition, for the few places below vmm/ where one thread
 * sleeps until another has done something: a vCPU that waits for a device's
 * home loop. Not recursive.
 *
 * Threads: any.
 */
#ifndef HK_LOOP_MONITOR_H
#define HK_LOOP_MONITOR_H

#include "base/compiler.h"

struct hk_monitor;

/* -HK_ENOMEM. */
int hk_monitor_create(struct hk_monitor **out) HK_MUST_CHECK;
void hk_monitor_destroy(struct hk_monitor *monitor); /* NULL is legal */

void hk_monitor_enter(struct hk_monitor *monitor);
void hk_monitor_leave(struct hk_monitor *monitor);

/* Inside only: sleeps outside until hk_monitor_wake, or without reason; the
 * caller looks again. */
void hk_monitor_wait(struct hk_monitor *monitor);

/* Inside only: wakes all who wait. */
void hk_monitor_wake(struct hk_monitor *monitor);

#endif
