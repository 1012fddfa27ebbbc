/* Libraries at run time. Linux twin: libNAME.so.VERSION. */
#include "os/dynlib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct hk_dynlib {
    uv_lib_t lib;
};

static int refuse(struct hk_dynlib *library, struct hk_errmsg *err)
{
    return hk_err_set(err, -HK_ENOENT, "%s", uv_dlerror(&library->lib));
}

int hk_dynlib_open(const char *name, unsigned version, struct hk_dynlib **out,
                   struct hk_errmsg *err)
{
    char file[64];
    struct hk_dynlib *library = calloc(1, sizeof(*library));

    if (library == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    snprintf(file, sizeof(file), "lib%s.so.%u", name, version);
    if (uv_dlopen(file, &library->lib) != 0) {
        int rc = refuse(library, err);
        hk_dynlib_close(library);
        return rc;
    }
    *out = library;
    return 0;
}

void hk_dynlib_close(struct hk_dynlib *library)
{
    if (library == NULL)
        return;
    uv_dlclose(&library->lib);
    free(library);
}

int hk_dynlib_find(struct hk_dynlib *library, const char *symbol,
                   void *function, struct hk_errmsg *err)
{
    void *address = NULL;
    if (uv_dlsym(&library->lib, symbol, &address) != 0)
        return refuse(library, err);
    memcpy(function, &address, sizeof(address));
    return 0;
}
