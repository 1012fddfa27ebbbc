/*
 * Opening an image and the files that it names.
 *
 * What an image says is not trusted: a name in it must be that of a plain
 * file beside the image, its format must be said, and the chain has an end.
 * So a foreign image cannot make Husk show the guest some other file.
 */
#include "disk/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, PATH_BYTES = 4096 };

struct context {
    const struct hk_disk_config *config; /* its path names the image */
    unsigned depth;
};

static int open_at_depth(const struct hk_disk_config *config, unsigned depth,
                         struct hk_disk **out, struct hk_errmsg *err);

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The last part of `name` when it lies in the image's folder, or NULL. */
static const char *plain_name(const char *image, const char *name)
{
    size_t folder = folder_length(image);
    if (folder > 0 && name[0] == '/' && strncmp(name, image, folder) == 0)
        name += folder;
    if (name[0] == '\0' || strpbrk(name, "/\\:") || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return NULL;
    return name;
}

static int open_named(void *opaque, const char *name,
                      enum hk_disk_format format, struct hk_disk **out,
                      struct hk_errmsg *err)
{
    const struct context *context = opaque;
    const char *image = context->config->path;
    const char *plain = plain_name(image, name);
    if (!plain)
        return hk_err_set(err, -HK_EPERM,
                          "refers to \"%.200s\": only a plain file in the "
                          "image's own folder is opened; move it there and "
                          "change the name in the image (qemu-img rebase -u)",
                          name);
    char *path = malloc(PATH_BYTES);
    if (!path)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    int len = snprintf(path, PATH_BYTES, "%.*s%s", (int)folder_length(image),
                       image, plain);
    int rc = -HK_ENAMETOOLONG;
    if (len >= PATH_BYTES) {
        (void)hk_err_set(err, rc, "refers to a file with too long a name");
    } else {
        struct hk_disk_config config = *context->config;
        config.path = path;
        config.format = format;
        config.read_only = true;
        rc = open_at_depth(&config, context->depth + 1, out, err);
    }
    free(path);
    return rc;
}

static int open_format(const struct hk_disk_config *config,
                       struct hk_disk *take_store, unsigned depth,
                       struct hk_disk **out, struct hk_errmsg *err)
{
    struct context context = {config, depth};
    struct hk_disk_opener opener = {open_named, &context};
    int rc;
    if (config->format == HK_DISK_QCOW2)
        rc = hk_qcow2_open(take_store, &opener, out, err);
    else
        rc = hk_vmdk_open(take_store, &opener, out, err);
    if (rc == 0 || (rc == -HK_ELOOP && depth > 0)) /* long enough already */
        return rc;
    return hk_err_prepend(err, rc, "%s", config->path);
}

static int open_at_depth(const struct hk_disk_config *config, unsigned depth,
                         struct hk_disk **out, struct hk_errmsg *err)
{
    if (depth > DEPTH_MAX)
        return hk_err_set(err, -HK_ELOOP,
                          "%s: more than %d images on top of each other, or "
                          "they refer to each other in a circle",
                          config->path, DEPTH_MAX);
    bool is_raw = config->format == HK_DISK_RAW;
    /* A flat file that an image names may have any size. */
    struct hk_disk *store = NULL;
    int rc = hk_raw_open(config, !is_raw || depth > 0, depth > 0, &store, err);
    if (rc == 0 && !is_raw)
        return open_format(config, store, depth, out, err);
    if (rc == 0)
        *out = store;
    return rc;
}

int hk_disk_open(const struct hk_disk_config *config, struct hk_disk **out,
                 struct hk_errmsg *err)
{
    return open_at_depth(config, 0, out, err);
}
