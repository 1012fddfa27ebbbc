/*
 * Inside virtio/: what a popped chain is made of. virtq.c fills it, chain.c
 * moves bytes.
 */
#ifndef HK_VIRTIO_CHAIN_INT_H
#define HK_VIRTIO_CHAIN_INT_H

#include <stdint.h>

struct hk_virtq;

/* Guest memory in one piece. */
struct span {
    uint8_t *host;
    uint64_t len; /* not 0 */
};

/* A position in one part of a chain. */
struct cursor {
    uint32_t span;
    uint64_t offset; /* within the span */
    uint64_t left;   /* bytes of the part from here */
};

struct hk_chain {
    struct hk_virtq *vq;
    struct hk_chain *next_free;
    uintptr_t tag;
    uint16_t head;
    uint16_t avail; /* the queue's index when it was popped, for unpop */
    struct span *spans;
    uint32_t room;
    uint32_t count;
    uint32_t first_writable; /* index into spans */
    uint64_t readable;
    uint64_t writable;
    struct cursor rd;
    struct cursor wr;
};

#endif
