/*
 * What the guest finds when it starts: the first file system, with our init,
 * the records that tell it what to do (wire/init_config.h), and modules.
 */
#ifndef HK_VMM_WORKLOAD_H
#define HK_VMM_WORKLOAD_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct hk_kernel_folder;
struct hk_streams;
struct hk_vm_parts;

/*
 * Makes the archive; the caller's to free(). `folder` is the kernel's, or
 * NULL for one that must have everything built in. -HK_E2BIG command and
 * environment are too long; -HK_ENOTSUP the kernel lacks what the VM needs;
 * each with a sentence.
 */
int hk_workload_make(const struct hk_vm_parts *parts,
                     const struct hk_streams *streams,
                     const struct hk_kernel_folder *folder, uint8_t **data,
                     size_t *len, struct hk_errmsg *err) HK_MUST_CHECK;

/* Only the records, for a kernel that takes no first file system. */
int hk_workload_make_records(const struct hk_vm_parts *parts,
                             const struct hk_streams *streams, uint8_t **data,
                             size_t *len, struct hk_errmsg *err) HK_MUST_CHECK;

#endif
