/*
 * The kernel of a VM: choosing it, what it finds first, its command line, and
 * putting all of that into guest memory.
 *
 *     choose     before anything is built
 *     prepare    the streams are known
 *     load       every device is in its slot
 */
#ifndef HK_VMM_LOADING_H
#define HK_VMM_LOADING_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_loading;
struct hk_streams;
struct hk_vm;
struct hk_vm_config;
struct hk_vm_file;

/* `config` is borrowed for the call. No kernel in it: nothing is loaded. */
int hk_loading_choose(const struct hk_vm_config *config,
                      struct hk_loading **out,
                      struct hk_errmsg *err) HK_MUST_CHECK;
void hk_loading_destroy(struct hk_loading *loading); /* NULL is legal */

/* True when our init runs in the guest. */
bool hk_loading_has_init(const struct hk_loading *loading);

/* Makes the first file system. As hk_workload_make. */
int hk_loading_prepare(struct hk_loading *loading,
                       const struct hk_vm_config *config,
                       const struct hk_streams *streams,
                       struct hk_errmsg *err) HK_MUST_CHECK;

/*
 * Files that the root share needs besides its own, for a kernel that takes no
 * first file system; usually none. Borrowed until destroy, which comes after
 * the share is gone.
 */
const struct hk_vm_file *hk_loading_files(const struct hk_loading *loading,
                                          uint32_t *count);

/* Errors of hk_boot_load, with their sentences. */
int hk_loading_load(struct hk_vm *vm, const struct hk_vm_config *config,
                    const struct hk_loading *loading,
                    struct hk_errmsg *err) HK_MUST_CHECK;

#endif
