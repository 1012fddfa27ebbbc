/*
 * The files of a VM: shared directories and disks, as devices.
 */
#ifndef HK_VMM_FILES_H
#define HK_VMM_FILES_H

#include "base/compiler.h"
#include "base/err.h"

struct hk_vm;
struct hk_vm_parts;

/*
 * Adds a disk for each of the parts, in order; a share for each. The first
 * failure names the file and what to do. `parts` may be NULL.
 */
int hk_files_add_disks(struct hk_vm *vm, const struct hk_vm_parts *parts,
                       struct hk_errmsg *err) HK_MUST_CHECK;
int hk_files_add_shares(struct hk_vm *vm, const struct hk_vm_parts *parts,
                        struct hk_errmsg *err) HK_MUST_CHECK;

#endif
