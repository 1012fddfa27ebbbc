/*
 * krun_*: shared directories and what is laid over them.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static void free_share(struct hk_krun_share *share)
{
    if (share == NULL)
        return;
    free(share->tag);
    free(share->path);
    free(share);
}

static int make_share(const char *tag, const char *path, bool read_only,
                      struct hk_krun_share **out)
{
    struct hk_krun_share *share = calloc(1, sizeof(*share));
    if (share == NULL)
        return -HK_ENOMEM;
    int rc = hk_krun_copy_text(tag, &share->tag);
    if (rc == 0)
        rc = hk_krun_copy_optional(path, &share->path);
    if (rc == 0 && strlen(share->tag) > HK_KRUN_TAG_MAX)
        rc = -HK_EINVAL;
    if (rc != 0) {
        free_share(share);
        return rc;
    }
    share->read_only = read_only;
    share->is_root = strcmp(tag, KRUN_FS_ROOT_TAG) == 0;
    *out = share;
    return 0;
}

static int add_share(uint32_t ctx_id, const char *tag, const char *path,
                     bool read_only)
{
    struct hk_krun_share *share = NULL;
    int rc = make_share(tag, path, read_only, &share);
    if (rc != 0)
        return rc;
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL) {
        free_share(share);
        return -HK_ENOENT;
    }
    share->with_init = share->is_root && !ctx->no_init;
    hk_krun_append(&ctx->shares, &share->node);
    hk_krun_end();
    return 0;
}

int32_t krun_set_root(uint32_t ctx_id, const char *root_path)
{
    if (root_path == NULL)
        return -HK_EINVAL;
    return add_share(ctx_id, KRUN_FS_ROOT_TAG, root_path, false);
}

int32_t krun_add_virtiofs(uint32_t ctx_id, const char *c_tag,
                          const char *c_path)
{
    return krun_add_virtiofs3(ctx_id, c_tag, c_path, 0, false);
}

int32_t krun_add_virtiofs2(uint32_t ctx_id, const char *c_tag,
                           const char *c_path, uint64_t shm_size)
{
    return krun_add_virtiofs3(ctx_id, c_tag, c_path, shm_size, false);
}

/* There is no window into which the guest could map files. */
int32_t krun_add_virtiofs3(uint32_t ctx_id, const char *c_tag,
                           const char *c_path, uint64_t shm_size,
                           bool read_only)
{
    return add_share(ctx_id, c_tag, c_path, read_only);
}

int32_t krun_set_mapped_volumes(uint32_t ctx_id,
                                const char *const mapped_volumes[])
{
    return -HK_EINVAL;
}

int32_t krun_disable_implicit_init(uint32_t ctx_id)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->no_init = true;
    hk_krun_end();
    return 0;
}

/* ------------------------------------------------------------------ */
/* Overlays                                                           */

static struct hk_krun_share *find_share(struct hk_krun *ctx, const char *tag)
{
    struct hk_krun_node *node = ctx->shares.first;
    for (; node != NULL; node = node->next) {
        struct hk_krun_share *share = (struct hk_krun_share *)(void *)node;
        if (strcmp(share->tag, tag) == 0)
            return share;
    }
    return NULL;
}

/* The overlay whose path is the first `len` bytes of `path`. */
static struct hk_krun_overlay *find_overlay(struct hk_krun_share *share,
                                            const char *path, size_t len)
{
    struct hk_krun_node *node = share->overlays.first;
    for (; node != NULL; node = node->next) {
        struct hk_krun_overlay *overlay =
            (struct hk_krun_overlay *)(void *)node;
        if (strncmp(overlay->path, path, len) == 0 &&
            overlay->path[len] == '\0')
            return overlay;
    }
    return NULL;
}

/* Every directory on the way must be one of ours. */
static int check_parents(struct hk_krun_share *share, const char *path)
{
    const char *slash = path;
    while ((slash = strchr(slash, '/')) != NULL) {
        struct hk_krun_overlay *parent =
            find_overlay(share, path, (size_t)(slash - path));
        if (parent == NULL)
            return -HK_ENOENT;
        if (!parent->is_dir)
            return -HK_ENOTDIR;
        slash++;
    }
    return 0;
}

/* No empty last name, and no name that means a directory that is there. */
static bool is_overlay_path(const char *path)
{
    for (;;) {
        size_t len = strcspn(path, "/");
        if (path[len] == '\0' && len == 0)
            return false;
        if (len <= 2 && len != 0 && strncmp(path, "..", len) == 0)
            return false;
        if (path[len] == '\0')
            return true;
        path += len + 1;
    }
}

/* With the table locked. The same path again replaces. */
static int link_overlay(struct hk_krun *ctx, const char *tag,
                        struct hk_krun_overlay *take_overlay)
{
    struct hk_krun_share *share = find_share(ctx, tag);
    if (share == NULL)
        return -HK_ENOENT;
    int rc = check_parents(share, take_overlay->path);
    if (rc != 0)
        return rc;
    struct hk_krun_overlay *old =
        find_overlay(share, take_overlay->path, strlen(take_overlay->path));
    if (old == NULL) {
        hk_krun_append(&share->overlays, &take_overlay->node);
        return 0;
    }
    old->is_dir = take_overlay->is_dir;
    old->data = take_overlay->data;
    old->size = take_overlay->size;
    old->mode = take_overlay->mode;
    old->one_shot = take_overlay->one_shot;
    return 1; /* the new one is not needed */
}

static int add_overlay(uint32_t ctx_id, const char *tag, const char *path,
                       const struct hk_krun_overlay *model)
{
    if (tag == NULL || !hk_krun_is_utf8(tag) || path == NULL)
        return -HK_EINVAL;
    if (path[0] == '/')
        path++;
    if (!is_overlay_path(path) || (model->data == NULL && model->size != 0))
        return -HK_EINVAL;
    struct hk_krun_overlay *overlay = malloc(sizeof(*overlay));
    if (overlay == NULL)
        return -HK_ENOMEM;
    *overlay = *model;
    int rc = hk_krun_copy_text(path, &overlay->path);
    if (rc == 0) {
        struct hk_krun *ctx = hk_krun_begin(ctx_id);
        rc = -HK_ENOENT;
        if (ctx != NULL) {
            rc = link_overlay(ctx, tag, overlay);
            hk_krun_end();
        }
        if (rc != 0)
            free(overlay->path);
    }
    if (rc != 0)
        free(overlay);
    return rc < 0 ? rc : 0;
}

int32_t krun_fs_add_overlay_file(uint32_t ctx_id, const char *fs_tag,
                                 const char *path, const uint8_t *data,
                                 size_t data_len, uint32_t mode, bool one_shot)
{
    struct hk_krun_overlay model = {
        .data = data, .size = data_len, .mode = mode, .one_shot = one_shot};
    return add_overlay(ctx_id, fs_tag, path, &model);
}

int32_t krun_fs_add_overlay_dir(uint32_t ctx_id, const char *fs_tag,
                                const char *path, uint32_t mode)
{
    struct hk_krun_overlay model = {.is_dir = true, .mode = mode};
    return add_overlay(ctx_id, fs_tag, path, &model);
}

/* ------------------------------------------------------------------ */
/* A root on a disk                                                   */

/* With the table locked: the place that a root share would have is taken. */
static int take_root(struct hk_krun *ctx, struct hk_krun_share *take_share,
                     char *texts[3])
{
    struct hk_krun_node *node = ctx->shares.first;
    for (; node != NULL; node = node->next)
        if (((struct hk_krun_share *)(void *)node)->is_root)
            return -HK_EINVAL;
    if (ctx->disks.count == 0)
        return -HK_EINVAL;
    take_share->for_disk = true;
    take_share->with_init = !ctx->no_init;
    hk_krun_append(&ctx->shares, &take_share->node);
    ctx->root_device = texts[0];
    ctx->root_type = texts[1];
    ctx->root_options = texts[2];
    return 0;
}

int32_t krun_set_root_disk_remount(uint32_t ctx_id, const char *device,
                                   const char *fstype, const char *options)
{
    struct hk_krun_share *share = NULL;
    char *texts[3] = {NULL, NULL, NULL};
    int rc = hk_krun_copy_text(device, &texts[0]);
    if (rc == 0)
        rc = hk_krun_copy_optional(fstype, &texts[1]);
    if (rc == 0)
        rc = hk_krun_copy_optional(options, &texts[2]);
    if (rc == 0)
        rc = make_share(KRUN_FS_ROOT_TAG, NULL, false, &share);
    if (rc == 0) {
        struct hk_krun *ctx = hk_krun_begin(ctx_id);
        rc = -HK_ENOENT;
        if (ctx != NULL) {
            rc = take_root(ctx, share, texts);
            hk_krun_end();
        }
    }
    if (rc != 0) {
        free_share(share);
        for (int i = 0; i < 3; i++)
            free(texts[i]);
    }
    return rc;
}
