/*
 * Owner and mode of a file as text, for hosts where the file itself cannot
 * have them: "uid:gid:0mode", in the extended attribute
 * user.containers.override_stat that libkrun and Podman use too.
 *
 * The mode is octal and holds the type only for what the host keeps as a
 * plain file in place of a special one. A fourth field names the kind of such
 * a file, with its numbers for devices: "char-1-3", "block-8-0", "pipe",
 * "socket".
 */
#ifndef HK_FS_OVERRIDE_H
#define HK_FS_OVERRIDE_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HK_FS_OVERRIDE_XATTR "user.containers.override_stat"

enum { HK_FS_OVERRIDE_MAX = 96 };

struct hk_fs_override {
    uint32_t uid;
    uint32_t gid;
    uint32_t mode; /* permission bits, and the type of a special file or 0 */
    uint32_t rdev; /* of a device */
};

/* False for text that is anything else; it comes from the host's files. */
bool hk_fs_override_parse(const char *text, size_t len,
                          struct hk_fs_override *out);
/* Length without the closing NUL; `text` has HK_FS_OVERRIDE_MAX bytes. */
size_t hk_fs_override_format(const struct hk_fs_override *in, char *text);

/* Device numbers in the form of struct hk_fs_attr. */
uint32_t hk_fs_rdev(uint32_t major, uint32_t minor);
uint32_t hk_fs_rdev_major(uint32_t rdev);
uint32_t hk_fs_rdev_minor(uint32_t rdev);

#endif
