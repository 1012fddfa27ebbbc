#include "boot/layout.h"

#include "base/checked.h"

int hk_boot_layout_ram(uint64_t bytes, struct hk_boot_ram *out,
                       struct hk_errmsg *err)
{
    const uint64_t page = 4096, gib = 1ull << 30;
    uint64_t size;

    if (bytes < HK_BOOT_RAM_MIN)
        return hk_err_set(err, -HK_EINVAL,
                          "%llu bytes of memory are too few for a VM; give "
                          "it at least %llu MiB",
                          (unsigned long long)bytes, HK_BOOT_RAM_MIN >> 20);
    if (bytes > HK_BOOT_RAM_MAX || !hk_align_up_u64(bytes, page, &size))
        return hk_err_set(err, -HK_EINVAL,
                          "%llu MiB of memory are too many for a VM; it can "
                          "have at most %llu GiB",
                          (unsigned long long)(bytes >> 20),
                          HK_BOOT_RAM_MAX >> 30);

    *out = (struct hk_boot_ram){.count = 1, .window_gpa = HK_BOOT_HOLE_END};
    if (size <= HK_BOOT_HOLE_START) {
        out->region[0].size = size;
        out->end = size;
        return 0;
    }
    out->region[0].size = HK_BOOT_HOLE_START;
    out->region[1].gpa = HK_BOOT_HOLE_END;
    out->region[1].size = size - HK_BOOT_HOLE_START;
    out->count = 2;
    out->end = HK_BOOT_HOLE_END + out->region[1].size;
    /* Always at least one step, as callers of the old ABI expect. */
    out->window_gpa = (out->end / gib + 1) * gib;
    return 0;
}
