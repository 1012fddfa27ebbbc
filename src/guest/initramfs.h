/*
 * The first file system of a guest: an uncompressed cpio archive of the kind
 * "newc", made in memory.
 *
 * Paths have no leading slash; parents come before their children. Everything
 * belongs to root and has the time 0, so that the same calls give the same
 * bytes. A failure is remembered and told by take. One thread; the caller
 * owns the struct.
 */
#ifndef HK_GUEST_INITRAMFS_H
#define HK_GUEST_INITRAMFS_H

#include "base/compiler.h"
#include "base/err.h"
#include "guest/bytes.h"

struct hk_initramfs {
    struct hk_bytes bytes;
    uint32_t inode;
};

void hk_initramfs_init(struct hk_initramfs *archive);
void hk_initramfs_fini(struct hk_initramfs *archive);

/* `mode`: permission bits. */
void hk_initramfs_add_dir(struct hk_initramfs *archive, const char *path,
                          unsigned mode);
/* At most 4 GiB - 1 bytes, as the format has it; more counts as no memory. */
void hk_initramfs_add_file(struct hk_initramfs *archive, const char *path,
                           unsigned mode, const void *data, size_t len);
void hk_initramfs_add_char_device(struct hk_initramfs *archive,
                                  const char *path, unsigned mode,
                                  unsigned major, unsigned minor);

/* Folders that every guest needs, its first devices, and init. */
void hk_initramfs_add_base(struct hk_initramfs *archive);

/* The whole archive, the caller's to free(). -HK_ENOMEM. */
int hk_initramfs_take(struct hk_initramfs *archive, uint8_t **data, size_t *len,
                      struct hk_errmsg *err) HK_MUST_CHECK;

#endif
