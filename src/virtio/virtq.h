/*
 * One split virtqueue as a device sees it (VIRTIO 1.2, 2.7): buffers come out
 * of hk_virtq_pop as chains, bytes are moved with the hk_chain_* functions,
 * hk_virtq_push hands the buffer back. No device touches a descriptor, a ring
 * index or a barrier.
 *
 * What the driver writes is copied once, checked, then used: descriptors
 * (also indirect ones), the available index, addresses and lengths. A driver
 * that breaks a rule makes hk_virtq_pop fail once; the device has then
 * already been marked broken and every later pop gives nothing.
 *
 * Geometry (size and addresses) is frozen when the device is activated.
 *
 * Threads: pop, push and signal on the device's home loop. A chain that was
 * popped may be read and written by one other thread at a time (a worker)
 * until it is pushed.
 */
#ifndef HK_VIRTIO_VIRTQ_H
#define HK_VIRTIO_VIRTQ_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/iov.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HK_VIRTQ_SIZE_MAX = 1024 };

struct hk_virtq;
struct hk_chain;

/*
 * 1: *out is the next buffer, the queue's until it is pushed (never more than
 * the queue's size at a time). 0: none now. -HK_EPROTO: the driver broke a
 * rule; the device is marked broken.
 */
int hk_virtq_pop(struct hk_virtq *vq, struct hk_chain **out) HK_MUST_CHECK;

/* Puts a chain that was popped last back, as if it had not been popped: for a
 * device that finds it cannot take it now. */
void hk_virtq_unpop(struct hk_virtq *vq, struct hk_chain *chain);

/*
 * Gives a buffer back to the driver; `written` is how many bytes the device
 * wrote into it from its start. Does not interrupt.
 */
void hk_virtq_push(struct hk_virtq *vq, struct hk_chain *chain,
                   uint32_t written);

/* Interrupts the driver if it wants to hear of what was pushed. */
void hk_virtq_signal(struct hk_virtq *vq);

/*
 * The driver need not (false) or shall (true) kick. After turning kicks on
 * the device must pop again until there is nothing. Kicks are on at first. A
 * device that leaves buffers in the queue and wants to hear of further ones
 * turns kicks on again, because with the event index it has had its kick.
 */
void hk_virtq_want_kicks(struct hk_virtq *vq, bool on);

/* Anything to pop? A look only; a hostile driver may change its mind. */
bool hk_virtq_has_more(struct hk_virtq *vq);

uint32_t hk_virtq_size(const struct hk_virtq *vq);  /* 0: not set up */
uint32_t hk_virtq_index(const struct hk_virtq *vq); /* within the device */

/* Buffers popped and not yet pushed. */
uint32_t hk_virtq_in_flight(const struct hk_virtq *vq);

/* ------------------------------------------------------------------ */
/* Chains: a readable part, then a writable part                      */

/* The device's own mark on a chain while it has it; 0 after pop. */
void hk_chain_set_tag(struct hk_chain *chain, uintptr_t tag);
uintptr_t hk_chain_tag(const struct hk_chain *chain);
struct hk_virtq *hk_chain_queue(const struct hk_chain *chain);

uint64_t hk_chain_readable(const struct hk_chain *chain); /* bytes in all */
uint64_t hk_chain_writable(const struct hk_chain *chain);

/* What is left after the reads and writes so far. */
uint64_t hk_chain_read_left(const struct hk_chain *chain);
uint64_t hk_chain_write_left(const struct hk_chain *chain);

/*
 * Moves up to `len` bytes at the present position and moves on; returns how
 * many: less than `len` only at the end of the part.
 */
size_t hk_chain_read(struct hk_chain *chain, void *to, size_t len);
size_t hk_chain_write(struct hk_chain *chain, const void *from, size_t len);

/* The same without bytes: skips readable ones, zeroes writable ones. */
uint64_t hk_chain_skip(struct hk_chain *chain, uint64_t len);
uint64_t hk_chain_write_zeroes(struct hk_chain *chain, uint64_t len);

/* Writes at a distance from the start of the writable part without moving
 * the position (a status or a length at its place). Bytes past the end are
 * dropped; returns how many were written. */
size_t hk_chain_write_at(struct hk_chain *chain, uint64_t at, const void *from,
                         size_t len);

/*
 * For moving data without a copy in between: fills `iov` with at most `max`
 * pieces of the next `len` bytes of the part, in order, and moves on by what
 * they hold; returns how many pieces. The pieces are the guest's memory, valid
 * until the chain is pushed. Bytes read this way may change under
 * the reader at any time.
 *
 * After the host wrote through pieces of the writable part, the device calls
 * hk_chain_wrote with the same pieces, so that back ends which cache guest
 * code hear of it.
 */
size_t hk_chain_read_iov(struct hk_chain *chain, uint64_t len,
                         struct hk_iov *iov, size_t max);
size_t hk_chain_write_iov(struct hk_chain *chain, uint64_t len,
                          struct hk_iov *iov, size_t max);
void hk_chain_wrote(struct hk_chain *chain, const struct hk_iov *iov,
                    size_t count);

#endif
