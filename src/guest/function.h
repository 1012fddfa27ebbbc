/*
 * What a guest's kernel can do for a VM, by name: each function is a driver or
 * file system that a kernel has built in, has as modules, or lacks.
 */
#ifndef HK_GUEST_FUNCTION_H
#define HK_GUEST_FUNCTION_H

#include <stddef.h>
#include <stdint.h>

/* Bits, in the order in which their modules are loaded. */
enum hk_kernel_function {
    HK_KERNEL_MMIO = 1 << 0, /* virtio devices at all */
    HK_KERNEL_CONSOLE = 1 << 1,
    HK_KERNEL_BLK = 1 << 2,
    HK_KERNEL_NET = 1 << 3,
    HK_KERNEL_VSOCK = 1 << 4,
    HK_KERNEL_FS = 1 << 5, /* virtiofs */
    HK_KERNEL_RNG = 1 << 6,
    HK_KERNEL_BALLOON = 1 << 7,
    HK_KERNEL_INPUT = 1 << 8,
    HK_KERNEL_SND = 1 << 9,
    HK_KERNEL_OVERLAY = 1 << 10,
    HK_KERNEL_EXT4 = 1 << 11,
    HK_KERNEL_XFS = 1 << 12,
    HK_KERNEL_BTRFS = 1 << 13,
    HK_KERNEL_SQUASHFS = 1 << 14,
    HK_KERNEL_EROFS = 1 << 15,
    HK_KERNEL_VFAT = 1 << 16,
    HK_KERNEL_DUMMY = 1 << 17, /* a network interface for nothing */
    HK_KERNEL_FUNCTIONS = 18,
};

/* The function's name in manifests and messages; NULL past the last. */
const char *hk_kernel_function_name(size_t number);

/* Its modules without what they depend on, ended by NULL; the last one is the
 * one that makes the function, the others are used where they exist. */
const char *const *hk_kernel_function_modules(size_t number);

/* The bit for a name of `len` bytes; 0 when unknown. */
uint32_t hk_kernel_function_find(const char *name, size_t len);

#endif
