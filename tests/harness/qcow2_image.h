/*
 * qcow2 images made and judged byte by byte, without the code under test.
 */
#ifndef HK_TEST_QCOW2_IMAGE_H
#define HK_TEST_QCOW2_IMAGE_H

#include "disk_fakes.h"

struct qcow2_shape {
    uint32_t version;
    uint32_t cluster_bits;
    uint32_t refcount_order;
    uint64_t size;
    const char *backing; /* NULL: none */
    const char *backing_format;
};

/* An empty image. Layout in clusters: header, refcount table, one refcount
 * block, L1 table. Gives where the L1 table is. */
uint64_t qcow2_image_make(struct mem_store *store,
                          const struct qcow2_shape *shape);

struct qcow2_verdict {
    unsigned errors; /* two users of a cluster, or used and not counted */
    unsigned leaks;
    char text[160]; /* the first error */
};

/* Counts all references and compares. */
void qcow2_image_check(const struct mem_store *store,
                       struct qcow2_verdict *out);

#endif
