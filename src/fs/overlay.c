/* The tree of virtual files; see overlay.h. */
#include "fs/overlay.h"

#include "base/err.h"
#include "fs/host.h"
#include "fs/name.h"

#include <stdlib.h>
#include <string.h>

struct hk_overlay {
    struct hk_overlay_entry root;
    uint32_t count; /* numbers given */
};

int hk_overlay_create(struct hk_overlay **out)
{
    struct hk_overlay *overlay = calloc(1, sizeof(*overlay));

    if (overlay == NULL)
        return -HK_ENOMEM;
    overlay->root.mode = HK_S_IFDIR | 0755;
    overlay->root.number = overlay->count = 1;
    *out = overlay;
    return 0;
}

static void free_entry(struct hk_overlay_entry *entry)
{
    free(entry->name);
    free(entry);
}

/* Frees leaves first, without recursion. */
void hk_overlay_destroy(struct hk_overlay *overlay)
{
    struct hk_overlay_entry *at;

    if (overlay == NULL)
        return;
    at = &overlay->root;
    while (at != &overlay->root || at->child != NULL) {
        struct hk_overlay_entry *up = at->parent;

        if (at->child != NULL) {
            at = at->child;
            continue;
        }
        up->child = at->next;
        free_entry(at);
        at = up;
    }
    free(overlay);
}

struct hk_overlay_entry *hk_overlay_root(struct hk_overlay *overlay)
{
    return &overlay->root;
}

struct hk_overlay_entry *hk_overlay_find(struct hk_overlay_entry *dir,
                                         const char *name)
{
    for (struct hk_overlay_entry *e = dir->child; e != NULL; e = e->next)
        if (!e->gone && strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

struct hk_overlay_entry *hk_overlay_take(struct hk_overlay_entry *dir,
                                         const char *name)
{
    struct hk_overlay_entry *entry = hk_overlay_find(dir, name);

    if (entry != NULL && entry->one_shot)
        entry->gone = true;
    return entry;
}

/* Walks to the parent of `path` and leaves its last component in `leaf`. */
static int walk(struct hk_overlay *overlay, const char *path,
                struct hk_overlay_entry **dir, char *leaf)
{
    struct hk_overlay_entry *at = &overlay->root;

    if (*path == '/')
        path++;
    for (;;) {
        size_t len = strcspn(path, "/");
        int rc;

        if (len > HK_FS_NAME_MAX)
            return -HK_ENAMETOOLONG;
        memcpy(leaf, path, len);
        leaf[len] = '\0';
        rc = hk_fs_name_check(leaf, len);
        if (rc < 0)
            return -HK_EINVAL;
        if (path[len] == '\0')
            break;
        at = hk_overlay_find(at, leaf);
        if (at == NULL)
            return -HK_ENOENT;
        if ((at->mode & HK_S_IFMT) != HK_S_IFDIR)
            return -HK_ENOTDIR;
        path += len + 1;
    }
    *dir = at;
    return 0;
}

int hk_overlay_add(struct hk_overlay *overlay, const char *path,
                   const struct hk_overlay_entry *entry)
{
    char leaf[HK_FS_NAME_MAX + 1];
    struct hk_overlay_entry *dir, *made;
    int rc = walk(overlay, path, &dir, leaf);

    if (rc < 0)
        return rc;
    if (hk_overlay_find(dir, leaf) != NULL)
        return -HK_EEXIST;
    made = calloc(1, sizeof(*made));
    if (made == NULL)
        return -HK_ENOMEM;
    made->name = strdup(leaf);
    if (made->name == NULL) {
        free_entry(made);
        return -HK_ENOMEM;
    }
    made->data = entry->data;
    made->size = entry->size;
    made->mode = entry->mode;
    made->one_shot = entry->one_shot;
    made->number = ++overlay->count;
    made->parent = dir;
    made->next = dir->child;
    dir->child = made;
    if ((made->mode & HK_S_IFMT) == HK_S_IFDIR)
        dir->subdirs++;
    return 0;
}
