/*
 * The virtual files and directories of a share: a small tree in memory, laid
 * over the shared directory at its root.
 *
 * Threads: find and take under the server's lock; the rest before the first
 * request. Entries live until destroy.
 */
#ifndef HK_FS_OVERLAY_H
#define HK_FS_OVERLAY_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_overlay;

struct hk_overlay_entry {
    struct hk_overlay_entry *parent; /* NULL: the root */
    struct hk_overlay_entry *child;
    struct hk_overlay_entry *next; /* sibling */
    char *name;
    const uint8_t *data; /* borrowed */
    size_t size;
    uint32_t mode;   /* with type */
    uint32_t number; /* 1: the root */
    uint32_t subdirs;
    bool one_shot;
    bool gone; /* a one-shot file that was found */
};

int hk_overlay_create(struct hk_overlay **out) HK_MUST_CHECK;
void hk_overlay_destroy(struct hk_overlay *overlay); /* NULL is legal */

struct hk_overlay_entry *hk_overlay_root(struct hk_overlay *overlay);

/*
 * Adds an entry at `path`, whose type is in entry->mode; the other fields
 * taken from `entry` are data, size and one_shot. Errors as in
 * hk_fuse_add_file.
 */
int hk_overlay_add(struct hk_overlay *overlay, const char *path,
                   const struct hk_overlay_entry *entry) HK_MUST_CHECK;

/* The entry of that name, NULL when there is none (any more). */
struct hk_overlay_entry *hk_overlay_find(struct hk_overlay_entry *dir,
                                         const char *name);

/* The same for a lookup by the guest: uses up a one-shot file. */
struct hk_overlay_entry *hk_overlay_take(struct hk_overlay_entry *dir,
                                         const char *name);

#endif
