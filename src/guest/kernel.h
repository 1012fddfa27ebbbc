/*
 * Which kernel: the names that people give, and where kernel folders are.
 *
 * A kernel is named by a path (a file, or a kernel folder), by the name of a
 * folder among the user's or the system's kernels, or by HK_KRUNFW_NAME.
 * Threads: any.
 */
#ifndef HK_GUEST_KERNEL_H
#define HK_GUEST_KERNEL_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct hk_kernel_folder;

enum hk_kernel_kind { HK_KERNEL_FILE, HK_KERNEL_FOLDER, HK_KERNEL_KRUNFW };

/*
 * A kernel ready to be booted. `path`: of the kernel's file; NULL with
 * HK_KERNEL_KRUNFW, then it is `size` bytes of a flat image at `data`, to be
 * loaded at `gpa` and entered at `entry`.
 */
struct hk_kernel {
    enum hk_kernel_kind kind;
    const char *path;
    const void *data;
    uint64_t size, gpa, entry;
    struct hk_kernel_folder *folder; /* HK_KERNEL_FOLDER: owned */
    char *name;                      /* owned: what `path` borrows from */
};

/* `name` NULL: the default. -HK_ENOENT with a sentence. */
int hk_kernel_open(const char *name, struct hk_kernel *kernel,
                   struct hk_errmsg *err) HK_MUST_CHECK;
void hk_kernel_close(struct hk_kernel *kernel);

/*
 * Finds a kernel now, and gives a name by which it can be opened later, even
 * if the process has changed its root directory by then. `name` NULL: the
 * default. Keeps no descriptor open. -HK_ENOENT, the host's errors.
 */
int hk_kernel_keep(const char *name, char *path, size_t size) HK_MUST_CHECK;

/*
 * The name of the default: HUSK_KERNEL, HK_KRUNFW_NAME if it is installed, the
 * path of the folder "default". Longer than `size`: -HK_ENAMETOOLONG; none:
 * -HK_ENOENT with a sentence that says how to get one.
 */
int hk_kernel_default(char *name, size_t size,
                      struct hk_errmsg *err) HK_MUST_CHECK;

/* Where a new kernel folder of that name belongs: a path stays what it is, a
 * plain name lies among the user's kernels; NULL is "default". */
int hk_kernel_folder_path(const char *name, char *path, size_t size,
                          struct hk_errmsg *err) HK_MUST_CHECK;

/* Calls `fn` with the path of each kernel folder of the user and the system
 * until it returns something other than 0, which is then the result. */
int hk_kernel_list(int (*fn)(void *opaque, const char *path), void *opaque);

#endif
