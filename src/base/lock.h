/*
 * A small spin lock for state that vCPU threads touch for a few instructions.
 *
 * It belongs where the layer has no threads of its own (bus, chip). Waiting
 * spins with the processor's pause hint and, once that has gone on for long,
 * calls the yield function of the process, because a host often has fewer
 * processors than vCPUs and the holder may be waiting for ours. Not
 * recursive; not fair. A zeroed lock is free.
 *
 * Threads: any.
 */
#ifndef HK_BASE_LOCK_H
#define HK_BASE_LOCK_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>

struct hk_lock {
    atomic_bool held;
};

/* Sets what a long wait calls to let other threads run; NULL for none. */
void hk_lock_set_yield(void (*yield)(void));

/* The slow path of hk_lock. */
HK_COLD void hk_lock_wait(struct hk_lock *lock);

static inline bool hk_lock_try(struct hk_lock *lock)
{
    return !atomic_exchange_explicit(&lock->held, true, memory_order_acquire);
}

static inline void hk_lock(struct hk_lock *lock)
{
    if (hk_unlikely(!hk_lock_try(lock)))
        hk_lock_wait(lock);
}

static inline void hk_unlock(struct hk_lock *lock)
{
    atomic_store_explicit(&lock->held, false, memory_order_release);
}

#endif
