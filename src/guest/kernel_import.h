/*
 * Making a kernel folder out of what a distribution ships.
 *
 * `source` is a Debian package (.deb), or a folder with a kernel in boot and
 * its modules in lib/modules or usr/lib/modules, as an unpacked package has.
 * The kernel is unpacked, and of the modules those are taken that some function
 * needs, with what they depend on.
 *
 * Thread: one; needs as much memory as the package and the kernel together.
 */
#ifndef HK_GUEST_KERNEL_IMPORT_H
#define HK_GUEST_KERNEL_IMPORT_H

#include "base/compiler.h"
#include "base/err.h"

/*
 * The folder is made under another name next to its own and renamed when it
 * is complete; an older kernel folder of that name is replaced, anything else
 * there is refused with -HK_EEXIST. Other errors: -HK_ENOENT nothing at
 * `source`; -HK_ENOEXEC no package or no kernel in it, or damaged; -HK_EINVAL
 * several kernels; -HK_EFBIG, -HK_ENOMEM, the host's. Nothing is left behind.
 */
int hk_kernel_import(const char *source, const char *folder,
                     struct hk_errmsg *err) HK_MUST_CHECK;

#endif
