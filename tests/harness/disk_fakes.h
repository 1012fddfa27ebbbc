/*
 * Disks for tests: one in memory, and filters that fail, lose writes or hold
 * requests up. A filter takes the disk below it.
 */
#ifndef HK_TEST_DISK_FAKES_H
#define HK_TEST_DISK_FAKES_H

#include "disk/disk.h"

#include <stdatomic.h>
#include <uv.h>

/* The bytes outlive the disks that are made on them. */
struct mem_store {
    uint8_t *bytes;
    size_t size;
    size_t room;
    uv_mutex_t lock;
    unsigned flushes;
};

void mem_store_init(struct mem_store *store, size_t size);
void mem_store_fini(struct mem_store *store);
void mem_store_copy(struct mem_store *to, const struct mem_store *from);
void mem_store_load(struct mem_store *store, const char *path);
void mem_store_save(const struct mem_store *store, const char *path);
/* Makes room and writes zeroes in between. */
void mem_store_put(struct mem_store *store, uint64_t at, const void *bytes,
                   size_t len);

enum { MEM_READ_ONLY = 1, MEM_GROWS = 2, MEM_NO_ZERO = 4 };
struct hk_disk *mem_disk_create(struct mem_store *store, unsigned flags);

/*
 * The `nth` call from now on (1 is the next) fails with -HK_EIO, and those
 * after it when `for_ever`. 0: none. `seen` counts calls.
 */
struct fault_plan {
    unsigned nth;
    bool for_ever;
    atomic_uint seen;
};
struct hk_disk *fault_disk_create(struct hk_disk *take_below,
                                  struct fault_plan *plan);

/*
 * The machine stops at the `nth` write or flush: it and all later ones fail.
 * With `loses`, each write since the last flush is then, sector by sector,
 * there or not, by the random numbers of `seed`. crash_plan_finish puts what
 * is on the platter into the store.
 */
struct crash_write;
struct crash_plan {
    unsigned nth;
    bool loses;
    uint32_t seed;
    unsigned seen;
    bool is_dead;
    struct crash_write *pending;
    struct mem_store *store; /* of the disk below */
    struct mem_store stable;
};
void crash_plan_init(struct crash_plan *plan, struct mem_store *store);
struct hk_disk *crash_disk_create(struct hk_disk *take_below,
                                  struct crash_plan *plan);
void crash_plan_finish(struct crash_plan *plan);

/* Requests wait while `held`; `waiting` counts them. With `writes_at` not 0
 * only writes at this position do. */
struct hold_plan {
    uv_mutex_t lock;
    uv_cond_t changed;
    bool held;
    uint64_t writes_at;
    unsigned waiting;
};
void hold_plan_init(struct hold_plan *plan);
void hold_plan_fini(struct hold_plan *plan);
void hold_plan_set(struct hold_plan *plan, bool held);
void hold_plan_await(struct hold_plan *plan, unsigned waiting);
struct hk_disk *hold_disk_create(struct hk_disk *take_below,
                                 struct hold_plan *plan);

/* Numbers for tests: a fixed sequence for each start value. */
static inline uint32_t test_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

#endif
