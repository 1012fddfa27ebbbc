/*
 * Inside api/: a VM as its caller sees it, and what the files that fill it
 * share. No thread, no descriptor, no pointer into the caller's memory: a VM
 * that was not started survives fork.
 */
#ifndef HK_API_HUSK_INT_H
#define HK_API_HUSK_INT_H

#include "husk.h"

#include "base/err.h"
#include "vmm/vm.h"

struct husk_vm {
    struct hk_vm *vm;
    bool started;
    char *backend, *kernel, *initrd, *cmdline;
    struct hk_vm_config config; /* without the strings and the back end */
    struct hk_vm_parts parts;
    struct hk_errmsg err;
};

/* Every husk_vm_set_* and husk_vm_add_* begins with this. */
int hk_husk_begin(struct husk_vm *vm) HK_MUST_CHECK;

/* The sentence for a failed allocation. */
int hk_husk_no_memory(struct husk_vm *vm);

/* 0, or one sentence about bits of `flags` that are not in `known`. */
int hk_husk_check_flags(struct husk_vm *vm, unsigned flags,
                        unsigned known) HK_MUST_CHECK;

/* -1 or a number that can be a descriptor. */
int hk_husk_check_fd(struct husk_vm *vm, int fd) HK_MUST_CHECK;

/* An absolute guest path without "..". `what` begins the sentence. */
int hk_husk_check_guest_path(struct husk_vm *vm, const char *what,
                             const char *path) HK_MUST_CHECK;

/* Replaces the string by a copy; NULL empties. */
int hk_husk_set_string(struct husk_vm *vm, char **slot,
                       const char *text) HK_MUST_CHECK;

/* Replaces the list (ended by NULL) by a copy; NULL empties. */
int hk_husk_set_list(struct husk_vm *vm, char ***slot,
                     const char *const list[]) HK_MUST_CHECK;
void hk_husk_free_list(char **list); /* NULL is legal */

/*
 * Makes room for one element more in an array of `count`; the new one is
 * zeroed and not counted yet. NULL with a sentence when there is no memory.
 */
void *hk_husk_grow(struct husk_vm *vm, void **array, uint32_t count,
                   size_t size) HK_MUST_CHECK;

/* What each file of the folder added to the parts. */
void hk_husk_free_files(struct hk_vm_parts *parts);
void hk_husk_free_workload(struct hk_vm_parts *parts);
void hk_husk_free_consoles(struct hk_vm_parts *parts);

#endif
