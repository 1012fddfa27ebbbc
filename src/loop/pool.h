/*
 * Worker threads for calls that block: files, mostly.
 *
 * 1. A pool belongs to a loop. hk_pool_submit is called on the loop's thread
 *    (or before the loop runs); `work` then runs on one of the pool's threads
 *    and after it `done` on the loop's thread, in no particular order.
 * 2. The item is the caller's, usually part of a larger struct; it must stay
 *    until `done` was called. The pool allocates nothing per item.
 * 3. Threads are made when the first items wait for them, up to the number
 *    given, and joined by destroy. A pool whose threads cannot be made runs
 *    the work on the loop's thread.
 * 4. hk_pool_destroy: loop thread (or no loop running any more); every item
 *    has had its `done` called by then, so the owner drains first.
 */
#ifndef HK_LOOP_POOL_H
#define HK_LOOP_POOL_H

#include "base/compiler.h"

#include <stdint.h>

struct hk_loop;
struct hk_pool;

struct hk_work {
    void (*work)(struct hk_work *work); /* a worker's thread; may block */
    void (*done)(struct hk_work *work); /* the loop's thread */
    struct hk_work *next;               /* the pool's */
};

/* -HK_ENOMEM. `threads` is 1 to 64. */
int hk_pool_create(struct hk_loop *loop, const char *name, uint32_t threads,
                   struct hk_pool **out) HK_MUST_CHECK;
void hk_pool_destroy(struct hk_pool *pool); /* NULL is legal */

void hk_pool_submit(struct hk_pool *pool, struct hk_work *work);

/* Loop thread: items submitted whose `done` was not called yet. */
uint32_t hk_pool_pending(const struct hk_pool *pool);

#endif
