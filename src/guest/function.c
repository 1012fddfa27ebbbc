/* The table of functions. */
#include "guest/function.h"

#include "base/compiler.h"

#include <string.h>

/* crc32c_generic: an algorithm that file systems ask for by name only, so
 * that no module says that it depends on it. */
static const struct {
    const char *name;
    const char *modules[3];
} functions[] = {
    {"mmio", {"virtio_mmio", NULL}},
    {"console", {"virtio_console", NULL}},
    {"blk", {"virtio_blk", NULL}},
    {"net", {"virtio_net", NULL}},
    {"vsock", {"vmw_vsock_virtio_transport", NULL}},
    {"fs", {"virtiofs", NULL}},
    {"rng", {"virtio_rng", NULL}},
    {"balloon", {"virtio_balloon", NULL}},
    {"input", {"virtio_input", NULL}},
    {"snd", {"virtio_snd", NULL}},
    {"overlay", {"overlay", NULL}},
    {"ext4", {"crc32c_generic", "ext4", NULL}},
    {"xfs", {"crc32c_generic", "xfs", NULL}},
    {"btrfs", {"crc32c_generic", "btrfs", NULL}},
    {"squashfs", {"squashfs", NULL}},
    {"erofs", {"crc32c_generic", "erofs", NULL}},
    {"vfat", {"nls_cp437", "vfat", NULL}},
    {"dummy", {"dummy", NULL}},
};

_Static_assert(HK_COUNT(functions) == HK_KERNEL_FUNCTIONS,
               "one line for each bit, in their order");

const char *hk_kernel_function_name(size_t number)
{
    return number < HK_COUNT(functions) ? functions[number].name : NULL;
}

const char *const *hk_kernel_function_modules(size_t number)
{
    return number < HK_COUNT(functions) ? functions[number].modules : NULL;
}

uint32_t hk_kernel_function_find(const char *name, size_t len)
{
    for (size_t i = 0; i < HK_COUNT(functions); i++) {
        if (strlen(functions[i].name) == len &&
            memcmp(functions[i].name, name, len) == 0)
            return 1u << i;
    }
    return 0;
}
