#include "base/lock.h"

#include <stddef.h>

enum { SPINS_BEFORE_YIELD = 200 };

static void (*_Atomic yield_fn)(void);

void hk_lock_set_yield(void (*yield)(void))
{
    atomic_store(&yield_fn, yield);
}

void hk_lock_wait(struct hk_lock *lock)
{
    int spins = 0;

    do {
        while (atomic_load_explicit(&lock->held, memory_order_relaxed)) {
            void (*yield)(void) = atomic_load(&yield_fn);

            hk_cpu_relax();
            if (++spins < SPINS_BEFORE_YIELD || yield == NULL)
                continue;
            spins = 0;
            yield();
        }
    } while (!hk_lock_try(lock));
}
