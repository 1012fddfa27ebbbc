/* The one check that every name from a guest passes; see name.h. */
#include "fs/name.h"

#include "base/err.h"
#include "fs/host.h"

#include <string.h>

int hk_fs_name_check(const char *name, size_t len)
{
    if (len > HK_FS_NAME_MAX)
        return -HK_ENAMETOOLONG;
    if (len == 0 || memchr(name, '/', len) != NULL ||
        memchr(name, '\0', len) != NULL)
        return -HK_EINVAL;
    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
        return -HK_EINVAL;
    return 0;
}
