/* What a kernel folder holds that is taken apart: the manifest and modules.
 * The first byte says which; a manifest that is taken comes back the same. */
#include "guest/kernel_folder.h"
#include "guest/modinfo.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_manifest(const char *text)
{
    static struct hk_kernel_manifest m, back;
    struct hk_errmsg err = {""};

    int rc = hk_kernel_manifest_parse(text, &m, &err);
    if (rc != 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    char *made = hk_kernel_manifest_format(&m);
    if (made == NULL || hk_kernel_manifest_parse(made, &back, &err) != 0 ||
        memcmp(&m, &back, sizeof(m)) != 0)
        abort();
    free(made);
}

static void try_module(const uint8_t *data, size_t size)
{
    struct hk_modinfo info;

    if (hk_modinfo_unsigned_size(data, size) > size)
        abort();
    if (hk_modinfo_parse("fuzz", data, size, &info, NULL) != 0)
        return;
    (void)hk_modinfo_get(&info, "depends");
    (void)hk_modinfo_get(&info, "no such key");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    copy[size - 1] = 0;
    if ((data[0] & 1) == 0)
        try_manifest((const char *)copy);
    else
        try_module(copy, size - 1);
    free(copy);
    return 0;
}
