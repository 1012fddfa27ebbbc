/*
 * Moving bytes in and out of a popped chain. A chain is a list of spans, the
 * readable ones first; each part has a cursor that only moves on.
 */
#include "virtio/chain_int.h"
#include "virtio/virtq.h"
#include "virtio/virtq_int.h"

#include <string.h>

void hk_chain_set_tag(struct hk_chain *chain, uintptr_t tag)
{
    chain->tag = tag;
}

uintptr_t hk_chain_tag(const struct hk_chain *chain)
{
    return chain->tag;
}

struct hk_virtq *hk_chain_queue(const struct hk_chain *chain)
{
    return chain->vq;
}

uint64_t hk_chain_readable(const struct hk_chain *chain)
{
    return chain->readable;
}

uint64_t hk_chain_writable(const struct hk_chain *chain)
{
    return chain->writable;
}

uint64_t hk_chain_read_left(const struct hk_chain *chain)
{
    return chain->rd.left;
}

uint64_t hk_chain_write_left(const struct hk_chain *chain)
{
    return chain->wr.left;
}

/* The next piece in one span, of at most `len` bytes; 0 at the end. */
static uint64_t next_piece(const struct hk_chain *chain, struct cursor *at,
                           uint64_t len, uint8_t **host)
{
    if (len > at->left)
        len = at->left;
    if (len == 0)
        return 0;
    const struct span *span = &chain->spans[at->span];
    uint64_t run = span->len - at->offset;
    if (run > len)
        run = len;
    *host = span->host + at->offset;
    at->offset += run;
    at->left -= run;
    if (at->offset == span->len) {
        at->span++;
        at->offset = 0;
    }
    return run;
}

static void wrote(struct hk_chain *chain, const uint8_t *host, uint64_t len)
{
    hk_gmem_wrote(hk_virtq_gmem(chain->vq), host, len);
}

size_t hk_chain_read(struct hk_chain *chain, void *to, size_t len)
{
    uint8_t *out = to;
    uint8_t *host;
    size_t done = 0;
    uint64_t run;

    while ((run = next_piece(chain, &chain->rd, len - done, &host)) != 0) {
        memcpy(out + done, host, (size_t)run);
        done += (size_t)run;
    }
    return done;
}

static size_t write_from(struct hk_chain *chain, struct cursor *at,
                         const void *from, size_t len)
{
    const uint8_t *in = from;
    uint8_t *host;
    size_t done = 0;
    uint64_t run;

    while ((run = next_piece(chain, at, len - done, &host)) != 0) {
        memcpy(host, in + done, (size_t)run);
        wrote(chain, host, run);
        done += (size_t)run;
    }
    return done;
}

size_t hk_chain_write(struct hk_chain *chain, const void *from, size_t len)
{
    return write_from(chain, &chain->wr, from, len);
}

static uint64_t skip(const struct hk_chain *chain, struct cursor *at,
                     uint64_t len)
{
    uint8_t *host;
    uint64_t done = 0;
    uint64_t run;

    while ((run = next_piece(chain, at, len - done, &host)) != 0)
        done += run;
    return done;
}

uint64_t hk_chain_skip(struct hk_chain *chain, uint64_t len)
{
    return skip(chain, &chain->rd, len);
}

uint64_t hk_chain_write_zeroes(struct hk_chain *chain, uint64_t len)
{
    uint8_t *host;
    uint64_t done = 0;
    uint64_t run;

    while ((run = next_piece(chain, &chain->wr, len - done, &host)) != 0) {
        memset(host, 0, (size_t)run);
        wrote(chain, host, run);
        done += run;
    }
    return done;
}

size_t hk_chain_write_at(struct hk_chain *chain, uint64_t at, const void *from,
                         size_t len)
{
    struct cursor cursor = {
        .span = chain->first_writable,
        .left = chain->writable,
    };

    if (skip(chain, &cursor, at) != at)
        return 0;
    return write_from(chain, &cursor, from, len);
}

static size_t take_iov(struct hk_chain *chain, struct cursor *at, uint64_t len,
                       struct hk_iov *iov, size_t max)
{
    size_t count = 0;
    uint8_t *host;
    uint64_t run;

    while (count < max && (run = next_piece(chain, at, len, &host)) != 0) {
        iov[count++] = (struct hk_iov){host, (size_t)run};
        len -= run;
    }
    return count;
}

size_t hk_chain_read_iov(struct hk_chain *chain, uint64_t len,
                         struct hk_iov *iov, size_t max)
{
    return take_iov(chain, &chain->rd, len, iov, max);
}

size_t hk_chain_write_iov(struct hk_chain *chain, uint64_t len,
                          struct hk_iov *iov, size_t max)
{
    return take_iov(chain, &chain->wr, len, iov, max);
}

void hk_chain_wrote(struct hk_chain *chain, const struct hk_iov *iov,
                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        wrote(chain, iov[i].base, iov[i].len);
}
