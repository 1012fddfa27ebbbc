/*
 * A kernel folder: what hk_kernel_import makes and a VM is started from.
 *
 *     manifest      text, below
 *     vmlinux       the kernel, unpacked
 *     modules/      modules that VMs need, unpacked, without signatures
 *
 * The manifest's lines, each once except `module`:
 *
 *     husk-kernel 1                      the first line
 *     release 6.1.0-56-cloud-amd64
 *     image vmlinux                      file name
 *     devices acpi|cmdline               how the kernel finds its devices
 *     builtin mmio fs ...                functions that need no module
 *     module virtio.ko mmio,console,...  file name and functions, in the
 *                                        order in which they are loaded
 *
 * Everything in a folder is checked as it is read: it may come from anywhere.
 * One thread at a time.
 */
#ifndef HK_GUEST_KERNEL_FOLDER_H
#define HK_GUEST_KERNEL_FOLDER_H

#include "base/compiler.h"
#include "base/err.h"
#include "guest/function.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_init_config;
struct hk_initramfs;

#define HK_KERNEL_MANIFEST "manifest"
#define HK_KERNEL_MANIFEST_FIRST "husk-kernel 1"

enum { HK_KERNEL_NAME_MAX = 96, HK_KERNEL_MODULES_MAX = 128 };

struct hk_kernel_module {
    char file[HK_KERNEL_NAME_MAX];
    uint32_t functions; /* bits of enum hk_kernel_function */
};

/* What a manifest says. */
struct hk_kernel_manifest {
    char release[HK_KERNEL_NAME_MAX];
    char image[HK_KERNEL_NAME_MAX];
    bool devices_from_cmdline; /* else from ACPI */
    uint32_t builtin;
    struct hk_kernel_module module[HK_KERNEL_MODULES_MAX];
    size_t module_count;
};

/* -HK_EBADMSG with a sentence that names the line. `text` ends with NUL. */
int hk_kernel_manifest_parse(const char *text,
                             struct hk_kernel_manifest *manifest,
                             struct hk_errmsg *err) HK_MUST_CHECK;

/* The text, to be released with free(); NULL when there is no memory. */
char *hk_kernel_manifest_format(const struct hk_kernel_manifest *manifest);

/* True for the name of a file: letters, digits and . _ + -, no dot first. */
bool hk_kernel_name_is_plain(const char *name);

struct hk_kernel_folder;

/* True when there is a folder with a manifest of ours in it. */
bool hk_kernel_folder_is(const char *path);

int hk_kernel_folder_open(const char *path, struct hk_kernel_folder **out,
                          struct hk_errmsg *err) HK_MUST_CHECK;
void hk_kernel_folder_close(struct hk_kernel_folder *folder); /* NULL: legal */

/* Borrowed until close. */
const struct hk_kernel_manifest *
hk_kernel_folder_manifest(const struct hk_kernel_folder *folder);

/* The path by which it was opened. Borrowed until close. */
const char *hk_kernel_folder_at(const struct hk_kernel_folder *folder);

/* The kernel's path. Borrowed until close. */
const char *hk_kernel_folder_image(const struct hk_kernel_folder *folder);

/* The functions that it has, built in or as modules. */
uint32_t hk_kernel_folder_functions(const struct hk_kernel_folder *folder);

/* Keeps all its files at hand, as hk_os_file_keep does: it can then be opened
 * by the same path wherever that leads. Errors: the host's. */
int hk_kernel_folder_keep(const struct hk_kernel_folder *folder) HK_MUST_CHECK;

/*
 * Puts the modules for `functions` into the archive and their records into
 * init's orders. -HK_ENOTSUP: the kernel lacks one of them; else the host's
 * errors.
 */
int hk_kernel_folder_add_modules(const struct hk_kernel_folder *folder,
                                 uint32_t functions,
                                 struct hk_initramfs *archive,
                                 struct hk_init_config *config,
                                 struct hk_errmsg *err) HK_MUST_CHECK;

#endif
