/* Lists of pieces of memory. */
#include "base/iov.h"

#include <string.h>

bool hk_iov_total(const struct hk_iov *iov, size_t count, uint64_t *total)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(sum, iov[i].len, &sum))
            return false;
    *total = sum;
    return true;
}

uint64_t hk_iov_take(struct hk_iov_pos *pos, uint64_t len, struct hk_iov *out,
                     size_t max, size_t *pieces)
{
    uint64_t taken = 0;
    size_t n = 0;
    while (pos->count > 0 && taken < len && n < max) {
        size_t part = pos->iov->len - pos->skip;
        if (part > len - taken)
            part = (size_t)(len - taken);
        if (part > 0) {
            out[n].base = pos->iov->base + pos->skip;
            out[n++].len = part;
        }
        taken += part;
        pos->skip += part;
        if (pos->skip == pos->iov->len) {
            pos->iov++;
            pos->count--;
            pos->skip = 0;
        }
    }
    *pieces = n;
    return taken;
}

uint64_t hk_iov_put(struct hk_iov_pos *pos, const void *from, uint64_t len)
{
    const uint8_t *bytes = from;
    struct hk_iov piece = {0};
    uint64_t done = 0;
    size_t count = 1;
    while (done < len && count > 0) {
        uint64_t n = hk_iov_take(pos, len - done, &piece, 1, &count);
        if (n > 0 && bytes)
            memcpy(piece.base, bytes + done, n);
        else if (n > 0)
            memset(piece.base, 0, n);
        done += n;
    }
    return done;
}

uint64_t hk_iov_get(struct hk_iov_pos *pos, void *to, uint64_t len)
{
    uint8_t *bytes = to;
    struct hk_iov piece = {0};
    uint64_t done = 0;
    size_t count = 1;
    while (done < len && count > 0) {
        uint64_t n = hk_iov_take(pos, len - done, &piece, 1, &count);
        if (n > 0)
            memcpy(bytes + done, piece.base, n);
        done += n;
    }
    return done;
}
