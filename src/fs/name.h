/*
 * Names that a guest may use: one component of a path.
 */
#ifndef HK_FS_NAME_H
#define HK_FS_NAME_H

#include "base/compiler.h"

#include <stddef.h>

/*
 * `len` bytes at `name`. -EINVAL empty, "." or "..", or holding '/' or NUL;
 * -ENAMETOOLONG above HK_FS_NAME_MAX.
 */
int hk_fs_name_check(const char *name, size_t len) HK_MUST_CHECK;

#endif
