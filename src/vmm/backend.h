/*
 * The back ends of this build, by index, for whoever may not know hv/.
 * One thread at a time; no state.
 */
#ifndef HK_VMM_BACKEND_H
#define HK_VMM_BACKEND_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct hk_hv_ops;

size_t hk_backend_count(void);

/* NULL past the end; static storage. */
const struct hk_hv_ops *hk_backend_get(size_t index);
const char *hk_backend_name(size_t index);
const char *hk_backend_summary(size_t index);

/* As hk_hv_ops.probe; -HK_EINVAL past the end. */
int hk_backend_probe(size_t index, struct hk_errmsg *err) HK_MUST_CHECK;

/* The most vCPUs of a VM; makes one to ask. The back end's codes. */
int hk_backend_max_cpus(size_t index, uint32_t *count,
                        struct hk_errmsg *err) HK_MUST_CHECK;

/* As hk_hv_select; gives the index. */
int hk_backend_choose(const char *name, size_t *index,
                      struct hk_errmsg *err) HK_MUST_CHECK;

#endif
