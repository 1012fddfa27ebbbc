/* Locked instructions; atomic.c. */
#ifndef HK_CPU_ATOMIC_INT_H
#define HK_CPU_ATOMIC_INT_H

#include "cpu/uop_int.h"

/* ADD to XOR, INC, DEC, NEG, NOT with a LOCK prefix. */
void hk_emit_locked(struct hk_builder *b, const struct hk_insn *i);

/*
 * A handler for the frequent locked instructions on 4 and 8 bytes of RAM
 * within a cache line, or NULL; atomic_fast.c. The source register
 * is the uop's `src`.
 */
hk_uop_fn hk_atomic_fast(const struct hk_insn *i);

/*
 * A read-modify-write that other vCPUs and devices see as one. `change`
 * computes the new value of `size` bytes from the old one (and may set flags
 * and registers: it may run several times, only the last counts); false from
 * it stores the old value back. False: a fault is pending.
 */
typedef bool (*hk_atomic_fn)(struct hk_cpu *c, const struct hk_insn *i,
                             uint64_t old, uint64_t *value);
bool hk_atomic_update(struct hk_cpu *c, const struct hk_insn *i, uint64_t la,
                      uint32_t size, hk_atomic_fn change) HK_MUST_CHECK;

#endif
