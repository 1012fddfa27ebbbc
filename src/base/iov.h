/*
 * A piece of memory, and a position in a list of pieces that belong together.
 *
 * Any thread; the caller keeps the list alive and unchanged.
 */
#ifndef HK_BASE_IOV_H
#define HK_BASE_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_iov {
    uint8_t *base;
    size_t len;
};

/* What is left of a list; a plain value: a copy is a second position. */
struct hk_iov_pos {
    const struct hk_iov *iov;
    size_t count;
    size_t skip; /* bytes of *iov that are behind */
};

/* Sum of all lengths; false when it does not fit. */
bool hk_iov_total(const struct hk_iov *iov, size_t count, uint64_t *total);

/*
 * Cuts at most `max` pieces with at most `len` bytes in all off the front;
 * `*pieces` says how many. Returns their bytes: less than `len` only when
 * `max` or the list is used up. Empty pieces are left out.
 */
uint64_t hk_iov_take(struct hk_iov_pos *pos, uint64_t len, struct hk_iov *out,
                     size_t max, size_t *pieces);

/* Copies bytes (zeroes when `from` is NULL) into the next pieces, or out of
 * them; returns how many: less than `len` only at the end of the list. */
uint64_t hk_iov_put(struct hk_iov_pos *pos, const void *from, uint64_t len);
uint64_t hk_iov_get(struct hk_iov_pos *pos, void *to, uint64_t len);

#endif
