/*
 * husk_kernel_*: guest kernels that do not belong to a VM yet.
 */
#include "husk.h"

#include "base/err.h"
#include "guest/kernel.h"
#include "guest/kernel_folder.h"
#include "guest/kernel_import.h"

#include <stdio.h>

enum { PATH_ROOM = 4096 };

static int answer(int rc, const struct hk_errmsg *err, char *why, size_t size)
{
    if (why != NULL && size != 0)
        (void)snprintf(why, size, "%s", rc != 0 ? err->text : "");
    return rc;
}

int husk_kernel_import(const char *source, const char *folder, char *why,
                       size_t size)
{
    struct hk_errmsg err = {""};
    char path[PATH_ROOM];
    int rc;

    if (source == NULL || *source == '\0')
        rc = hk_err_set(&err, -HK_EINVAL, "no kernel package is named");
    else
        rc = hk_kernel_folder_path(folder, path, sizeof(path), &err);
    if (rc == 0)
        rc = hk_kernel_import(source, path, &err);
    return answer(rc, &err, why, size);
}

int husk_kernel_default(char *path, size_t size, char *why, size_t why_size)
{
    struct hk_errmsg err = {""};
    return answer(hk_kernel_default(path, size, &err), &err, why, why_size);
}

struct listing {
    int (*fn)(void *opaque, const char *path, const char *release);
    void *opaque;
};

static int list_one(void *opaque, const char *path)
{
    const struct listing *l = opaque;
    struct hk_kernel_folder *folder;

    if (hk_kernel_folder_open(path, &folder, NULL) != 0)
        return 0;
    int rc = l->fn(l->opaque, path, hk_kernel_folder_manifest(folder)->release);
    hk_kernel_folder_close(folder);
    return rc;
}

int husk_kernel_list(int (*fn)(void *opaque, const char *path,
                               const char *release),
                     void *opaque)
{
    struct listing l = {.fn = fn, .opaque = opaque};
    return hk_kernel_list(list_one, &l);
}
