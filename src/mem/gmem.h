/*
 * Guest physical memory.
 *
 * A `struct hk_gmem` is a short sorted list of RAM regions, each backed by
 * host memory. This is the one place where a guest-physical address becomes a
 * host pointer. Bytes are moved with the copy functions, which check the range
 * first and fail with -HK_EFAULT when any byte is outside RAM (nothing is
 * copied then). Virtqueues, whose buffers go to the host without a copy in
 * between, ask for a span instead.
 *
 * Life: regions are added before the first vCPU runs and stay until destroy.
 * Threads: after set-up, every copy function may be called from any thread.
 * The guest may change bytes at any time; copy once, check the copy, use it.
 */
#ifndef HK_MEM_GMEM_H
#define HK_MEM_GMEM_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A guest-physical address; never dereferenced, never cast to a pointer. */
typedef uint64_t hk_gpa_t;

enum { HK_GMEM_MAX_REGIONS = 16, HK_GMEM_PAGE = 4096 };

struct hk_gmem;

struct hk_gmem_region {
    hk_gpa_t gpa;  /* page aligned */
    uint64_t size; /* bytes, page aligned, not zero */
    uint8_t *host; /* page aligned; zero filled at creation */
};

int hk_gmem_create(struct hk_gmem **out) HK_MUST_CHECK;
void hk_gmem_destroy(struct hk_gmem *gmem); /* NULL is legal */

/*
 * Adds `size` bytes of zeroed RAM at `gpa` (both page aligned). Errors:
 * -HK_EINVAL not aligned, empty or wrapping; -HK_EEXIST overlaps a region;
 * -HK_ENOSPC too many regions; -HK_ENOMEM the host refused.
 */
int hk_gmem_add(struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t size,
                struct hk_errmsg *err) HK_MUST_CHECK;

/* Regions in ascending order, for mapping them into a back end. */
uint32_t hk_gmem_region_count(const struct hk_gmem *gmem);
struct hk_gmem_region hk_gmem_region(const struct hk_gmem *gmem,
                                     uint32_t index);

/* Sum of all region sizes, bytes. */
uint64_t hk_gmem_total(const struct hk_gmem *gmem);

/* True when every byte of [gpa, gpa+len) is RAM (regions may be adjacent). */
bool hk_gmem_has(const struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t len);

int hk_gmem_copy_in(struct hk_gmem *gmem, void *to, hk_gpa_t from,
                    uint64_t len) HK_MUST_CHECK;
int hk_gmem_copy_out(struct hk_gmem *gmem, hk_gpa_t to, const void *from,
                     uint64_t len) HK_MUST_CHECK;
int hk_gmem_fill(struct hk_gmem *gmem, hk_gpa_t to, uint8_t value,
                 uint64_t len) HK_MUST_CHECK;

/*
 * The bytes of [gpa, gpa+len) that lie in one piece of host memory from its
 * start: *host is where, the result how many; 0 when `gpa` is not RAM. The
 * pointer is good as long as the memory.
 */
uint64_t hk_gmem_span(const struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t len,
                      uint8_t **host) HK_MUST_CHECK;

/* After a write through a span: tells the watcher. [host, host+len) lies in
 * one span. */
void hk_gmem_wrote(struct hk_gmem *gmem, const uint8_t *host, uint64_t len);

/*
 * Called after host code wrote [gpa, gpa+len), so that a back end which
 * caches decoded guest code can drop it. At most one watcher; set before the
 * first vCPU runs; called on the writing thread; must not block.
 */
typedef void (*hk_gmem_watch_fn)(void *opaque, hk_gpa_t gpa, uint64_t len);
void hk_gmem_set_watch(struct hk_gmem *gmem, hk_gmem_watch_fn watch,
                       void *opaque);

#endif
