/*
 * Overflow-checked unsigned arithmetic for numbers from outside.
 *
 * Each function returns true and stores the result, or returns false and
 * leaves `*out` alone. Any thread; no state.
 */
#ifndef HK_BASE_CHECKED_H
#define HK_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool hk_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool hk_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

/* True when [start, start+len) lies within [0, limit); len 0 is legal. */
static inline bool hk_range_within(uint64_t start, uint64_t len, uint64_t limit)
{
    return start <= limit && limit - start >= len;
}

/* True when [a, a+alen) and [b, b+blen) share a byte. Neither may wrap. */
static inline bool hk_ranges_overlap(uint64_t a, uint64_t alen, uint64_t b,
                                     uint64_t blen)
{
    return alen != 0 && blen != 0 && a < b + blen && b < a + alen;
}

/* `align` is a power of two; false when the result does not fit. */
static inline bool hk_align_up_u64(uint64_t value, uint64_t align,
                                   uint64_t *out)
{
    uint64_t sum;
    if (!hk_add_u64(value, align - 1, &sum))
        return false;
    *out = sum & ~(align - 1);
    return true;
}

static inline bool hk_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

#endif
