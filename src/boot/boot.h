/*
 * Putting a kernel into guest memory, ready to run: kernel, initrd, command
 * line, zero page, descriptor and page tables, MP table and ACPI tables, as
 * the 64-bit Linux boot protocol wants them (layout.h has the map).
 *
 * Everything is read and checked before the first byte of guest memory is
 * written: a refused kernel leaves guest memory as it was.
 *
 * Thread: one, before the first vCPU runs.
 */
#ifndef HK_BOOT_BOOT_H
#define HK_BOOT_BOOT_H

#include "base/compiler.h"
#include "base/err.h"
#include "boot/image.h"
#include "boot/layout.h"
#include "boot/machine.h"
#include "hv/state.h"
#include "mem/gmem.h"

/* A file, or bytes in memory when `path` is NULL. All borrowed. */
struct hk_boot_blob {
    const char *path;
    const void *data;
    uint64_t size;
};

struct hk_boot_config {
    struct hk_gmem *gmem; /* RAM is there: hk_boot_layout_ram */
    struct hk_boot_blob kernel;
    enum hk_image_format format;
    uint64_t raw_gpa;           /* flat images; 0 for HK_BOOT_RAW_GPA */
    uint64_t raw_entry;         /* 0 for the first byte */
    struct hk_boot_blob initrd; /* empty: none */
    const char *cmdline;        /* NULL for empty; complete as it is */
    bool cmdline_devices; /* but for virtio_mmio.device=, which is to be added
                             for a kernel that cannot read ACPI */
    /* Names of drivers that the kernel must have built in, ended by NULL; or
     * NULL. Words that such a driver's code holds. */
    const char *const *drivers;
    struct hk_boot_machine machine;
};

struct hk_boot_info {
    uint64_t entry;
    uint64_t kernel_start, kernel_end;
    uint32_t initrd_gpa, initrd_size; /* size 0: none */
    uint64_t acpi_rsdp;               /* 0: no ACPI */
    enum hk_image_format format;
    const char *packing; /* static text; NULL when not packed */
};

/*
 * Errors, each with a sentence that names the file and a way out: the host's
 * for files that cannot be read; those of hk_image_parse; -HK_ENOSPC kernel
 * or initrd do not fit into RAM; -HK_E2BIG command line too long; -HK_EINVAL
 * unprintable command line, machine that cannot be described; -HK_ENOTSUP a
 * driver is not built in; -HK_ENOMEM.
 */
int hk_boot_load(const struct hk_boot_config *config, struct hk_boot_info *info,
                 struct hk_errmsg *err) HK_MUST_CHECK;

/* The registers every vCPU starts with; the others than the first wait for
 * their start-up interrupt first. */
void hk_boot_set_regs(const struct hk_boot_info *info,
                      struct hk_vcpu_state *state);

#endif
