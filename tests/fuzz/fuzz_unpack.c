/* Compressed streams: one byte that says how long the output is to be, then
 * the stream. */
#include "boot/unpack.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MAX = 1 << 14 };
    if (size < 2)
        return 0;
    struct hk_unpack job = {.name = "kernel",
                            .packing = hk_packing_find(data + 1, size - 1),
                            .data = data + 1,
                            .size = size - 1,
                            .max = MAX,
                            .expected = (uint64_t)data[0] * 64};
    struct hk_errmsg err = {{0}};
    uint8_t *out = NULL;
    uint64_t out_size = 0;
    if (!job.packing)
        return 0;
    int rc = hk_unpack_run(&job, &out, &out_size, &err);
    if (rc == 0 &&
        (out_size > MAX || (job.expected && out_size != job.expected)))
        abort();
    if (rc != 0 && (out != NULL || err.text[0] == '\0'))
        abort();
    free(out);
    return 0;
}
