/* Reading a kernel folder. */
#include "guest/kernel_folder.h"

#include "guest/init_config.h"
#include "guest/initramfs.h"
#include "os/file.h"
#include "os/folder.h"
#include "wire/init_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_ROOM = 4096,
    MANIFEST_MAX = 64 << 10,
    MODULE_MAX = 64 << 20,
};

struct hk_kernel_folder {
    char path[PATH_ROOM];
    char image[PATH_ROOM + HK_KERNEL_NAME_MAX];
    struct hk_kernel_manifest manifest;
};

/* FOLDER/manifest, with a NUL at its end. */
static int read_manifest(const char *path, char **text, struct hk_errmsg *err)
{
    char file[PATH_ROOM + HK_KERNEL_NAME_MAX];
    uint8_t *data;
    uint64_t len;

    snprintf(file, sizeof(file), "%s/" HK_KERNEL_MANIFEST, path);
    int rc = hk_os_file_read_all(file, MANIFEST_MAX, &data, &len, err);
    if (rc != 0)
        return rc;
    *text = (char *)data;
    return 0;
}

bool hk_kernel_folder_is(const char *path)
{
    char *text;
    if (strlen(path) >= PATH_ROOM || read_manifest(path, &text, NULL) != 0)
        return false;
    bool is = strncmp(text, HK_KERNEL_MANIFEST_FIRST "\n",
                      strlen(HK_KERNEL_MANIFEST_FIRST "\n")) == 0;
    free(text);
    return is;
}

static int fill(struct hk_kernel_folder *folder, struct hk_errmsg *err)
{
    char *text;
    int rc = read_manifest(folder->path, &text, err);
    if (rc != 0)
        return rc;
    rc = hk_kernel_manifest_parse(text, &folder->manifest, err);
    free(text);
    if (rc != 0)
        return hk_err_prepend(err, rc, "%s", folder->path);
    snprintf(folder->image, sizeof(folder->image), "%s/%s", folder->path,
             folder->manifest.image);
    return 0;
}

int hk_kernel_folder_open(const char *path, struct hk_kernel_folder **out,
                          struct hk_errmsg *err)
{
    if (strlen(path) >= PATH_ROOM)
        return hk_err_set(err, -HK_ENAMETOOLONG,
                          "the path of the kernel folder is too long");
    struct hk_kernel_folder *folder = calloc(1, sizeof(*folder));
    if (folder == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    snprintf(folder->path, sizeof(folder->path), "%s", path);
    int rc = fill(folder, err);
    if (rc != 0) {
        hk_kernel_folder_close(folder);
        return rc;
    }
    *out = folder;
    return 0;
}

void hk_kernel_folder_close(struct hk_kernel_folder *folder)
{
    free(folder);
}

const struct hk_kernel_manifest *
hk_kernel_folder_manifest(const struct hk_kernel_folder *folder)
{
    return &folder->manifest;
}

const char *hk_kernel_folder_at(const struct hk_kernel_folder *folder)
{
    return folder->path;
}

const char *hk_kernel_folder_image(const struct hk_kernel_folder *folder)
{
    return folder->image;
}

uint32_t hk_kernel_folder_functions(const struct hk_kernel_folder *folder)
{
    const struct hk_kernel_manifest *m = &folder->manifest;
    uint32_t functions = m->builtin;
    for (size_t i = 0; i < m->module_count; i++)
        functions |= m->module[i].functions;
    return functions;
}

/* FOLDER/modules/NAME. */
static void module_path(const struct hk_kernel_folder *folder, const char *name,
                        char *path, size_t size)
{
    snprintf(path, size, "%s/modules/%s", folder->path, name);
}

enum { MODULE_PATH_ROOM = PATH_ROOM + HK_KERNEL_NAME_MAX + 16 };

int hk_kernel_folder_keep(const struct hk_kernel_folder *folder)
{
    const struct hk_kernel_manifest *m = &folder->manifest;
    char path[MODULE_PATH_ROOM];

    snprintf(path, sizeof(path), "%s/" HK_KERNEL_MANIFEST, folder->path);
    int rc = hk_os_file_keep(path);
    if (rc == 0)
        rc = hk_os_file_keep(folder->image);
    for (size_t i = 0; rc == 0 && i < m->module_count; i++) {
        module_path(folder, m->module[i].file, path, sizeof(path));
        rc = hk_os_file_keep(path);
    }
    return rc;
}

static int add_module(const struct hk_kernel_folder *folder, const char *name,
                      struct hk_initramfs *archive,
                      struct hk_init_config *config, struct hk_errmsg *err)
{
    char path[MODULE_PATH_ROOM];
    char inside[HK_KERNEL_NAME_MAX + sizeof("/modules/")];
    uint8_t *data;
    uint64_t len;

    module_path(folder, name, path, sizeof(path));
    int rc = hk_os_file_read_all(path, MODULE_MAX, &data, &len, err);
    if (rc != 0)
        return rc;
    snprintf(inside, sizeof(inside), "/modules/%s", name);
    hk_initramfs_add_file(archive, inside + 1, 0600, data, (size_t)len);
    hk_init_config_add_text(config, HK_CFG_MODULE, inside);
    free(data);
    return 0;
}

int hk_kernel_folder_add_modules(const struct hk_kernel_folder *folder,
                                 uint32_t functions,
                                 struct hk_initramfs *archive,
                                 struct hk_init_config *config,
                                 struct hk_errmsg *err)
{
    const struct hk_kernel_manifest *m = &folder->manifest;
    uint32_t missing = functions & ~hk_kernel_folder_functions(folder);

    for (size_t i = 0; i < HK_KERNEL_FUNCTIONS; i++) {
        if ((missing >> i & 1) != 0)
            return hk_err_set(err, -HK_ENOTSUP,
                              "the kernel %s cannot do %s; use another one",
                              m->release, hk_kernel_function_name(i));
    }
    for (size_t i = 0; i < m->module_count; i++) {
        if ((m->module[i].functions & functions) == 0)
            continue;
        int rc = add_module(folder, m->module[i].file, archive, config, err);
        if (rc != 0)
            return hk_err_prepend(err, rc, "the kernel %s", m->release);
    }
    return 0;
}
