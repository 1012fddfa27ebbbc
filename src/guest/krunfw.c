/* libkrunfw, looked for when it is needed. Its interface: krunfw_get_kernel
 * gives the image and fills in load address, entry and size. */
#include "guest/krunfw.h"

#include "base/checked.h"
#include "os/dynlib.h"

#include <stdatomic.h>
#include <stddef.h>

enum {
    ABI_VERSION = 5,
    PAGE = 4096,
    LOWEST = 1 << 20, /* below lie the tables that we make */
};
#define SIZE_LIMIT (1ull << 30)

typedef char *(*get_kernel_fn)(size_t *load, size_t *entry, size_t *size);

static _Atomic(get_kernel_fn) known;

static int find(get_kernel_fn *get, struct hk_errmsg *err)
{
    struct hk_dynlib *library;

    *get = atomic_load(&known);
    if (*get != NULL)
        return 0;
    int rc = hk_dynlib_open("krunfw", ABI_VERSION, &library, err);
    if (rc != 0)
        return rc;
    rc = hk_dynlib_find(library, "krunfw_get_kernel", get, err);
    if (rc != 0) {
        hk_dynlib_close(library);
        return rc;
    }
    /* A thread that was faster opened the same library: nothing is lost. */
    atomic_store(&known, *get);
    return 0;
}

int hk_krunfw_get(struct hk_krunfw *out, struct hk_errmsg *err)
{
    get_kernel_fn get;
    size_t load = 0, entry = 0, size = 0;
    uint64_t end;

    int rc = find(&get, err);
    if (rc != 0)
        return hk_err_prepend(err, rc, "there is no usable libkrunfw");
    *out = (struct hk_krunfw){.data = get(&load, &entry, &size)};
    out->gpa = load;
    out->entry = entry;
    out->size = size;
    if (out->data != NULL && size > 0 && size <= SIZE_LIMIT && load >= LOWEST &&
        load % PAGE == 0 && hk_add_u64(load, size, &end) && entry >= load &&
        entry < end)
        return 0;
    return hk_err_set(err, -HK_ENOEXEC,
                      "the installed libkrunfw gives no kernel that fits "
                      "(%zu bytes at %#zx, entry %#zx)",
                      size, load, entry);
}
