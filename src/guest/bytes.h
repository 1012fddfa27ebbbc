/*
 * A growing row of bytes. After a failure it stays failed and empty, so that
 * a writer need look only once, at the end.
 *
 * One thread. The caller owns the struct; start with {0}.
 */
#ifndef HK_GUEST_BYTES_H
#define HK_GUEST_BYTES_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_bytes {
    uint8_t *data;
    size_t len, room;
    bool failed;
};

void hk_bytes_add(struct hk_bytes *bytes, const void *data, size_t len);
void hk_bytes_fini(struct hk_bytes *bytes);

/* The bytes become the caller's, to be released with free(). -HK_ENOMEM when
 * an addition failed. */
int hk_bytes_take(struct hk_bytes *bytes, uint8_t **data,
                  size_t *len) HK_MUST_CHECK;

#endif
