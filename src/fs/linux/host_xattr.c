/*
 * Extended attributes on Linux. The guest has user.*, and, where owners are
 * real, trusted.* and file capabilities. Our own records are not shown; labels
 * and ACLs of the host's security modules are the host's business.
 */
#define _GNU_SOURCE
#include "host_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

enum verdict { ALLOWED, ABSENT, UNSUPPORTED };

static bool starts(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static enum verdict judge(const struct hk_lx_root *root, const char *name)
{
    if (strcmp(name, HK_FS_OVERRIDE_XATTR) == 0)
        return ABSENT;
    if (starts(name, "user."))
        return ALLOWED;
    if (strcmp(name, "security.capability") == 0)
        return root->real ? ALLOWED : ABSENT;
    if (starts(name, "trusted.") && root->real)
        return ALLOWED;
    return UNSUPPORTED;
}

int hk_lx_get_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                    const char *name, void *to, size_t size)
{
    char path[HK_LX_PATH];
    enum verdict verdict = judge(hk_lx(root), name);
    ssize_t len;

    if (verdict != ALLOWED)
        return verdict == ABSENT ? -HK_ENODATA : -HK_ENOTSUP;
    hk_lx_path(node->fd, path);
    len = getxattr(path, name, to, size);
    return len < 0 ? -errno : (int)len;
}

int hk_lx_set_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                    const char *name, const void *value, size_t size,
                    uint32_t flags)
{
    char path[HK_LX_PATH];
    enum verdict verdict = judge(hk_lx(root), name);
    int rc;

    if (strcmp(name, HK_FS_OVERRIDE_XATTR) == 0)
        return -HK_EPERM;
    if (verdict != ALLOWED)
        return -HK_ENOTSUP;
    hk_lx_path(node->fd, path);
    do
        rc = setxattr(path, name, value, size, (int)flags) < 0 ? -errno : 0;
    while (rc == -HK_EACCES && hk_lx_reach(hk_lx(root), node->fd));
    return rc;
}

int hk_lx_remove_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                       const char *name)
{
    char path[HK_LX_PATH];
    enum verdict verdict = judge(hk_lx(root), name);
    int rc;

    if (verdict != ALLOWED)
        return verdict == ABSENT ? -HK_ENODATA : -HK_ENOTSUP;
    hk_lx_path(node->fd, path);
    do
        rc = removexattr(path, name) < 0 ? -errno : 0;
    while (rc == -HK_EACCES && hk_lx_reach(hk_lx(root), node->fd));
    return rc;
}

/* Leaves the names that the guest may know of; returns their bytes. */
static size_t filter(const struct hk_lx_root *root, char *names, size_t len)
{
    size_t kept = 0;

    for (size_t at = 0; at < len;) {
        size_t one = strnlen(names + at, len - at) + 1;

        if (at + one > len)
            break;
        if (judge(root, names + at) == ALLOWED) {
            memmove(names + kept, names + at, one);
            kept += one;
        }
        at += one;
    }
    return kept;
}

int hk_lx_list_xattr(struct hk_fs_root *root, struct hk_fs_node *node, char *to,
                     size_t size)
{
    char path[HK_LX_PATH];
    char *names = malloc(HK_FS_XATTR_MAX);
    ssize_t len;
    size_t kept;

    if (names == NULL)
        return -HK_ENOMEM;
    hk_lx_path(node->fd, path);
    len = listxattr(path, names, HK_FS_XATTR_MAX);
    if (len < 0) {
        free(names);
        return -errno;
    }
    kept = filter(hk_lx(root), names, (size_t)len);
    if (size != 0 && kept <= size)
        memcpy(to, names, kept);
    free(names);
    return size != 0 && kept > size ? -HK_ERANGE : (int)kept;
}
