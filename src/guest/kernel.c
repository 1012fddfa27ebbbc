/* Finding kernels. */
#include "guest/kernel.h"

#include "guest/kernel_folder.h"
#include "guest/krunfw.h"
#include "os/file.h"
#include "os/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 4096 };

#define SYSTEM_DATA "/usr/local/share:/usr/share"
#define DEFAULT_NAME "default"

static const char *get_env(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

static int put_path(char *path, size_t size, const char *a, const char *b,
                    struct hk_errmsg *err)
{
    int n = snprintf(path, size, "%s%s", a, b);
    if (n >= 0 && (size_t)n < size)
        return 0;
    return hk_err_set(err, -HK_ENAMETOOLONG,
                      "the path of a kernel is too long");
}

/* The user's kernels: XDG_DATA_HOME, or where the host's users expect it. */
static int user_kernels(char *path, size_t size, struct hk_errmsg *err)
{
    const char *data = get_env("XDG_DATA_HOME"), *home = get_env("HOME");
    const char *local = get_env("LOCALAPPDATA");

    if (data != NULL)
        return put_path(path, size, data, "/husk/kernels", err);
    if (home != NULL)
        return put_path(path, size, home, "/.local/share/husk/kernels", err);
    if (local != NULL)
        return put_path(path, size, local, "/husk/kernels", err);
    return hk_err_set(err, -HK_ENOENT,
                      "there is no place for kernels: neither XDG_DATA_HOME "
                      "nor HOME is set");
}

int hk_kernel_folder_path(const char *name, char *path, size_t size,
                          struct hk_errmsg *err)
{
    char folder[PATH_ROOM];

    if (name == NULL)
        name = DEFAULT_NAME;
    if (!hk_kernel_name_is_plain(name))
        return put_path(path, size, name, "", err);
    int rc = user_kernels(folder, sizeof(folder), err);
    if (rc != 0)
        return rc;
    size_t len = strlen(folder);
    if (len + 1 < sizeof(folder))
        memcpy(folder + len, "/", 2);
    return put_path(path, size, folder, name, err);
}

/* The next place of the system's kernels after those that *dirs has given
 * (XDG base directories: XDG_DATA_DIRS). False at the end. */
static bool next_system_kernels(const char **dirs, char *path, size_t size)
{
    while (**dirs != '\0') {
        size_t len = strcspn(*dirs, ":");
        int n = snprintf(path, size, "%.*s/husk/kernels", (int)len, *dirs);
        bool is_absolute = (*dirs)[0] == '/';
        *dirs += len + ((*dirs)[len] == ':');
        if (is_absolute && n >= 0 && (size_t)n < size)
            return true;
    }
    return false;
}

static const char *system_data(void)
{
    const char *dirs = get_env("XDG_DATA_DIRS");
    return dirs != NULL ? dirs : SYSTEM_DATA;
}

/* A folder of that name among the user's kernels, then the system's. */
static int find_folder(const char *name, char *path, size_t size)
{
    char place[PATH_ROOM];
    const char *dirs = system_data();

    if (hk_kernel_folder_path(name, path, size, NULL) == 0 &&
        hk_kernel_folder_is(path))
        return 0;
    while (next_system_kernels(&dirs, place, sizeof(place))) {
        int n = snprintf(path, size, "%s/%s", place, name);
        if (n >= 0 && (size_t)n < size && hk_kernel_folder_is(path))
            return 0;
    }
    return -HK_ENOENT;
}

int hk_kernel_default(char *name, size_t size, struct hk_errmsg *err)
{
    const char *wanted = get_env("HUSK_KERNEL");
    struct hk_krunfw krunfw;

    if (wanted != NULL)
        return put_path(name, size, wanted, "", err);
    if (hk_krunfw_get(&krunfw, NULL) == 0)
        return put_path(name, size, HK_KRUNFW_NAME, "", err);
    if (find_folder(DEFAULT_NAME, name, size) == 0)
        return 0;
    return hk_err_set(err, -HK_ENOENT,
                      "there is no guest kernel on this host: 'husk kernel "
                      "import' takes one from a Debian package, or HUSK_KERNEL "
                      "names one");
}

static int open_krunfw(struct hk_kernel *kernel, struct hk_errmsg *err)
{
    struct hk_krunfw krunfw;
    int rc = hk_krunfw_get(&krunfw, err);
    if (rc != 0)
        return rc;
    kernel->kind = HK_KERNEL_KRUNFW;
    kernel->path = NULL;
    kernel->data = krunfw.data;
    kernel->size = krunfw.size;
    kernel->gpa = krunfw.gpa;
    kernel->entry = krunfw.entry;
    return 0;
}

static int open_folder(struct hk_kernel *kernel, const char *path,
                       struct hk_errmsg *err)
{
    int rc = hk_kernel_folder_open(path, &kernel->folder, err);
    if (rc != 0)
        return rc;
    kernel->kind = HK_KERNEL_FOLDER;
    kernel->path = hk_kernel_folder_image(kernel->folder);
    return 0;
}

/* What is at the path decides; a plain name that is no file here may be the
 * name of a folder elsewhere. */
static int open_named(struct hk_kernel *kernel, struct hk_errmsg *err)
{
    char found[PATH_ROOM];
    const char *name = kernel->name;

    if (hk_kernel_folder_is(name)) /* it may be one that is kept at hand */
        return open_folder(kernel, name, err);
    enum hk_os_kind kind = hk_os_kind_of(name);
    if (kind == HK_OS_FOLDER)
        return hk_err_set(err, -HK_EISDIR,
                          "%s is a folder, but no kernel folder; 'husk kernel "
                          "import' makes one",
                          name);
    if (kind != HK_OS_NOTHING || !hk_kernel_name_is_plain(name))
        return 0;
    if (strcmp(name, HK_KRUNFW_NAME) == 0)
        return open_krunfw(kernel, err);
    if (find_folder(name, found, sizeof(found)) == 0)
        return open_folder(kernel, found, err);
    return 0;
}

int hk_kernel_open(const char *name, struct hk_kernel *kernel,
                   struct hk_errmsg *err)
{
    char chosen[PATH_ROOM];
    int rc = 0;

    *kernel = (struct hk_kernel){0};
    if (name == NULL) {
        rc = hk_kernel_default(chosen, sizeof(chosen), err);
        name = chosen;
    }
    if (rc != 0)
        return rc;
    kernel->name = malloc(strlen(name) + 1);
    if (kernel->name == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    memcpy(kernel->name, name, strlen(name) + 1);
    kernel->path = kernel->name;
    rc = open_named(kernel, err);
    if (rc != 0)
        hk_kernel_close(kernel);
    return rc;
}

void hk_kernel_close(struct hk_kernel *kernel)
{
    hk_kernel_folder_close(kernel->folder);
    free(kernel->name);
    *kernel = (struct hk_kernel){0};
}

int hk_kernel_keep(const char *name, char *path, size_t size)
{
    struct hk_kernel kernel;
    int rc = hk_kernel_open(name, &kernel, NULL);
    if (rc != 0)
        return rc;
    const char *found = kernel.name;
    if (kernel.kind == HK_KERNEL_FOLDER) {
        found = hk_kernel_folder_at(kernel.folder);
        rc = hk_kernel_folder_keep(kernel.folder);
    } else if (kernel.kind == HK_KERNEL_FILE) {
        rc = hk_os_file_keep(kernel.path);
    }
    if (rc == 0)
        rc = put_path(path, size, found, "", NULL);
    hk_kernel_close(&kernel);
    return rc;
}

struct listing {
    const char *folder;
    int (*fn)(void *opaque, const char *path);
    void *opaque;
};

static int list_one(void *opaque, const char *name)
{
    const struct listing *l = opaque;
    char path[PATH_ROOM];
    int n = snprintf(path, sizeof(path), "%s/%s", l->folder, name);

    /* unfinished ones have a dot and more behind their name */
    if (n < 0 || (size_t)n >= sizeof(path) || strstr(name, ".new-") != NULL ||
        !hk_kernel_folder_is(path))
        return 0;
    return l->fn(l->opaque, path);
}

int hk_kernel_list(int (*fn)(void *opaque, const char *path), void *opaque)
{
    char place[PATH_ROOM];
    const char *dirs = system_data();
    struct listing l = {.folder = place, .fn = fn, .opaque = opaque};
    int rc = 0;

    bool is_there = user_kernels(place, sizeof(place), NULL) == 0;
    if (!is_there)
        is_there = next_system_kernels(&dirs, place, sizeof(place));
    while (rc == 0 && is_there) {
        if (hk_os_kind_of(place) == HK_OS_FOLDER)
            rc = hk_os_folder_list(place, list_one, &l, NULL);
        is_there = next_system_kernels(&dirs, place, sizeof(place));
    }
    return rc;
}
