/*
 * Loading in two steps. `plan_*` reads files, takes them apart, chooses
 * places and builds every table in host memory; `write_*` copies the finished
 * plan into guest memory and can fail only if RAM is not what was checked.
 */
#include "boot/boot.h"

#include "base/checked.h"
#include "base/endian.h"
#include "boot/acpi.h"
#include "boot/cmdline.h"
#include "boot/mptable.h"
#include "boot/regs.h"
#include "boot/zeropage.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>

#define HK_LOG_TAG "boot"
#include "base/log.h"

enum { MPTABLE_MAX = HK_BOOT_ACPI - HK_BOOT_MPTABLE };
#define KERNEL_FILE_MAX (1ull << 30)
#define INITRD_MAX HK_BOOT_HOLE_START
#define GIB_SHIFT 30

/* Bytes of a blob: our own copy of a file, or borrowed. */
struct bytes {
    const char *name;
    const uint8_t *data;
    uint64_t size;
    uint8_t *owned;
};

struct plan {
    struct bytes kernel, initrd;
    struct hk_image image;
    struct hk_e820_map ram, map;
    struct hk_cmdline cmdline;
    uint32_t idmap_gib;
    uint64_t initrd_gpa;
    size_t acpi_len;
    uint8_t acpi[HK_BOOT_ACPI_MAX];
    uint8_t mptable[MPTABLE_MAX];
    uint8_t zeropage[HK_ZEROPAGE_SIZE];
};

static bool blob_is_empty(const struct hk_boot_blob *blob)
{
    return !blob->path && !blob->data;
}

/* `what`: "kernel" or "initrd", for messages. */
static int read_blob(const struct hk_boot_blob *blob, const char *what,
                     uint64_t max, struct bytes *out, struct hk_errmsg *err)
{
    out->name = blob->path ? blob->path : what;
    if (!blob->path) {
        out->data = blob->data;
        out->size = blob->size;
        if (out->size > max)
            return hk_err_set(err, -HK_EFBIG, "the %s is too large", what);
        return 0;
    }
    if (*blob->path == '\0')
        return hk_err_set(err, -HK_ENOENT,
                          "the name of the %s file is empty; give its path",
                          what);
    int rc = hk_os_file_read_all(blob->path, max, &out->owned, &out->size, err);
    if (rc)
        return hk_err_prepend(err, rc, "cannot read the %s", what);
    out->data = out->owned;
    return 0;
}

static int plan_kernel(const struct hk_boot_config *config, struct plan *plan,
                       struct hk_errmsg *err)
{
    if (blob_is_empty(&config->kernel))
        return hk_err_set(err, -HK_EINVAL,
                          "no kernel was given; name a bzImage or a vmlinux");
    int rc = read_blob(&config->kernel, "kernel", KERNEL_FILE_MAX,
                       &plan->kernel, err);
    if (rc)
        return rc;

    /* An ELF file is a little larger than what it loads. */
    uint64_t ram = hk_gmem_total(config->gmem);
    uint64_t gpa = config->raw_gpa ? config->raw_gpa : HK_BOOT_RAW_GPA;
    struct hk_image_source source = {
        .name = plan->kernel.name,
        .data = plan->kernel.data,
        .size = plan->kernel.size,
        .format = config->format,
        .raw_gpa = gpa,
        .raw_entry = config->raw_entry ? config->raw_entry : gpa,
        .unpack_max = ram + ram / 4,
    };
    return hk_image_parse(&source, &plan->image, err);
}

/* Every segment must be RAM, and within reach of the first page tables. */
static int check_fit(const struct hk_boot_config *config, struct plan *plan,
                     struct hk_errmsg *err)
{
    const struct hk_image *image = &plan->image;
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct hk_image_segment *s = &image->segment[i];
        if (!hk_gmem_has(config->gmem, s->gpa, s->mem_size))
            return hk_err_set(
                err, -HK_ENOSPC,
                "%s needs memory from %#llx to %#llx, which this VM with %llu "
                "MiB does not have; give it more memory",
                plan->kernel.name, (unsigned long long)s->gpa,
                (unsigned long long)(s->gpa + s->mem_size),
                (unsigned long long)(hk_gmem_total(config->gmem) >> 20));
    }
    uint64_t gib = (image->end - 1) >> GIB_SHIFT;
    if (gib >= HK_BOOT_IDMAP_GIB)
        return hk_err_set(err, -HK_ENOSPC,
                          "%s is to be loaded above %d GiB, out of reach; link "
                          "it lower",
                          plan->kernel.name, HK_BOOT_IDMAP_GIB);
    plan->idmap_gib = (uint32_t)gib + 1;
    return 0;
}

/* The highest page-aligned place that ends at or below `top`, or 0. */
static uint64_t place_below(uint64_t start, uint64_t top, uint64_t size)
{
    if (top <= start || top - start < size)
        return 0;
    uint64_t gpa = (top - size) & ~(uint64_t)(HK_GMEM_PAGE - 1);
    return gpa >= start ? gpa : 0;
}

/* As high as RAM, the hole and the kernel's header allow, clear of the
 * kernel: above it or, where there is no room, below. */
static uint64_t place_initrd(const struct plan *plan, uint64_t size)
{
    uint64_t limit = plan->image.initrd_last + 1;
    for (uint32_t i = plan->ram.count; i-- > 0;) {
        uint64_t start = plan->ram.entry[i].gpa;
        uint64_t end = start + plan->ram.entry[i].size;
        if (start < HK_BOOT_HIGH)
            start = HK_BOOT_HIGH;
        if (end > limit)
            end = limit;
        uint64_t gpa = place_below(start, end, size);
        if (gpa && hk_ranges_overlap(gpa, size, plan->image.start,
                                     plan->image.end - plan->image.start))
            gpa = place_below(start, plan->image.start, size);
        if (gpa)
            return gpa;
    }
    return 0;
}

static int plan_initrd(const struct hk_boot_config *config, struct plan *plan,
                       struct hk_errmsg *err)
{
    if (blob_is_empty(&config->initrd))
        return 0;
    int rc =
        read_blob(&config->initrd, "initrd", INITRD_MAX, &plan->initrd, err);
    if (rc)
        return rc;
    if (plan->initrd.size == 0)
        return hk_err_set(err, -HK_EINVAL,
                          "%s is an empty initrd; leave it out or give a "
                          "complete one",
                          plan->initrd.name);
    plan->initrd_gpa = place_initrd(plan, plan->initrd.size);
    if (plan->initrd_gpa == 0)
        return hk_err_set(
            err, -HK_ENOSPC,
            "%s: an initrd of %llu bytes and the kernel do not fit into the "
            "VM's %llu MiB; give it more memory",
            plan->initrd.name, (unsigned long long)plan->initrd.size,
            (unsigned long long)(hk_gmem_total(config->gmem) >> 20));
    return 0;
}

/*
 * A kernel with ACPI finds devices in its tables and would find those of the
 * command line a second time. Whoever reads ACPI has the signature of its
 * first table in it.
 */
static bool wants_devices_named(const struct hk_boot_config *config,
                                const struct hk_image *image)
{
    if (!config->cmdline_devices || config->machine.slot_count == 0)
        return false;
    return config->machine.acpi.off || !hk_image_has(image, "RSD PTR ");
}

static int plan_cmdline(const struct hk_boot_config *config, struct plan *plan,
                        struct hk_errmsg *err)
{
    const char *given = config->cmdline ? config->cmdline : "";
    int rc = hk_cmdline_check(given, plan->image.cmdline_max, err);
    if (rc == 0)
        rc = hk_cmdline_init(&plan->cmdline, plan->image.cmdline_max);
    if (rc == 0)
        rc = hk_cmdline_add(&plan->cmdline, given, err);
    if (rc || !wants_devices_named(config, &plan->image))
        return rc;
    for (uint32_t i = 0; rc == 0 && i < config->machine.slot_count; i++) {
        const struct hk_boot_slot *slot = &config->machine.slots[i];
        rc = hk_cmdline_add_virtio(&plan->cmdline, slot->gpa, slot->size,
                                   slot->irq, err);
    }
    HK_LOG_D("devices are named on the command line: %s", plan->cmdline.text);
    return rc;
}

static int plan_tables(const struct hk_boot_config *config, struct plan *plan,
                       struct hk_errmsg *err)
{
    const struct hk_boot_machine *machine = &config->machine;
    int rc = hk_mptable_write(machine, HK_BOOT_MPTABLE, plan->mptable, err);
    if (rc == 0 && !machine->acpi.off)
        rc = hk_acpi_write(machine, HK_BOOT_ACPI, plan->acpi,
                           sizeof(plan->acpi), &plan->acpi_len, err);
    if (rc)
        return rc;

    rc = plan_cmdline(config, plan, err);
    if (rc)
        return rc;
    struct hk_zeropage zero = {
        .image = &plan->image,
        .map = &plan->map,
        .cmdline_gpa = HK_BOOT_CMDLINE,
        .cmdline_len = (uint32_t)plan->cmdline.len,
        .initrd_gpa = (uint32_t)plan->initrd_gpa,
        .initrd_size = (uint32_t)plan->initrd.size,
        .rsdp_gpa = plan->acpi_len ? HK_BOOT_ACPI : 0,
    };
    hk_zeropage_write(&zero, plan->zeropage);
    return 0;
}

static int check_drivers(const struct hk_boot_config *config,
                         const struct plan *plan, struct hk_errmsg *err)
{
    for (size_t i = 0; config->drivers && config->drivers[i]; i++) {
        if (!hk_image_has(&plan->image, config->drivers[i]))
            return hk_err_set(err, -HK_ENOTSUP,
                              "%s has no %s built in, and a kernel file brings "
                              "no modules; 'husk kernel import' makes a kernel "
                              "folder of the package that it came in",
                              plan->kernel.name, config->drivers[i]);
    }
    return 0;
}

static int make_plan(const struct hk_boot_config *config, struct plan *plan,
                     struct hk_errmsg *err)
{
    hk_e820_ram(config->gmem, &plan->ram);
    int rc = hk_e820_build(config->gmem, &plan->map, err);
    if (rc == 0)
        rc = plan_kernel(config, plan, err);
    if (rc == 0)
        rc = check_drivers(config, plan, err);
    if (rc == 0)
        rc = check_fit(config, plan, err);
    if (rc == 0)
        rc = plan_initrd(config, plan, err);
    if (rc == 0)
        rc = plan_tables(config, plan, err);
    return rc;
}

static int write_kernel(struct hk_gmem *gmem, const struct hk_image *image)
{
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct hk_image_segment *s = &image->segment[i];
        int rc = hk_gmem_copy_out(gmem, s->gpa, s->bytes, s->file_size);
        if (rc == 0)
            rc = hk_gmem_fill(gmem, s->gpa + s->file_size, 0,
                              s->mem_size - s->file_size);
        if (rc)
            return rc;
    }
    return 0;
}

static int write_cpu_tables(struct hk_gmem *gmem, uint32_t gib)
{
    uint8_t page[HK_BOOT_PAGE] = {0};
    hk_boot_write_gdt(page);
    memset(page + HK_BOOT_GDT_SIZE, 0, 8); /* the empty IDT follows */
    int rc = hk_gmem_copy_out(gmem, HK_BOOT_GDT, page, HK_BOOT_GDT_SIZE + 8);

    memset(page, 0, sizeof(page));
    hk_put_le64(page, HK_BOOT_PDPT | 3); /* present, writable */
    if (rc == 0)
        rc = hk_gmem_copy_out(gmem, HK_BOOT_PML4, page, sizeof(page));
    hk_boot_write_pdpt(gib, page);
    if (rc == 0)
        rc = hk_gmem_copy_out(gmem, HK_BOOT_PDPT, page, sizeof(page));
    for (uint32_t i = 0; i < gib && rc == 0; i++) {
        hk_boot_write_pd(i, page);
        rc = hk_gmem_copy_out(gmem, HK_BOOT_PD + (uint64_t)i * HK_BOOT_PAGE,
                              page, sizeof(page));
    }
    return rc;
}

static int write_plan(const struct hk_boot_config *config,
                      const struct plan *plan)
{
    const struct {
        uint64_t gpa;
        const void *from;
        uint64_t len;
    } pieces[] = {
        {plan->initrd_gpa, plan->initrd.data, plan->initrd.size},
        {HK_BOOT_CMDLINE, plan->cmdline.text, plan->cmdline.len + 1},
        {HK_BOOT_ZERO_PAGE, plan->zeropage, sizeof(plan->zeropage)},
        {HK_BOOT_MPTABLE, plan->mptable,
         hk_mptable_size(config->machine.vcpu_count)},
        {HK_BOOT_ACPI, plan->acpi, plan->acpi_len},
    };
    int rc = write_kernel(config->gmem, &plan->image);
    if (rc == 0)
        rc = write_cpu_tables(config->gmem, plan->idmap_gib);
    for (size_t i = 0; i < HK_COUNT(pieces) && rc == 0; i++) {
        if (pieces[i].len)
            rc = hk_gmem_copy_out(config->gmem, pieces[i].gpa, pieces[i].from,
                                  pieces[i].len);
    }
    return rc;
}

static void tell(const struct plan *plan, struct hk_boot_info *info)
{
    *info = (struct hk_boot_info){
        .entry = plan->image.entry,
        .kernel_start = plan->image.start,
        .kernel_end = plan->image.end,
        .initrd_gpa = (uint32_t)plan->initrd_gpa,
        .initrd_size = (uint32_t)plan->initrd.size,
        .acpi_rsdp = plan->acpi_len ? HK_BOOT_ACPI : 0,
        .format = plan->image.format,
        .packing = plan->image.packing,
    };
    HK_LOG_D("%s: %#llx..%#llx, entry %#llx, packing %s, initrd %u bytes at "
             "%#x",
             plan->kernel.name, (unsigned long long)info->kernel_start,
             (unsigned long long)info->kernel_end,
             (unsigned long long)info->entry,
             info->packing ? info->packing : "none", info->initrd_size,
             info->initrd_gpa);
}

int hk_boot_load(const struct hk_boot_config *config, struct hk_boot_info *info,
                 struct hk_errmsg *err)
{
    struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");

    int rc = make_plan(config, plan, err);
    if (rc == 0) {
        rc = write_plan(config, plan);
        if (rc)
            hk_err_set(err, rc, "guest memory cannot be written: %s",
                       hk_err_text(rc));
    }
    if (rc == 0)
        tell(plan, info);
    hk_image_fini(&plan->image);
    hk_cmdline_fini(&plan->cmdline);
    free(plan->kernel.owned);
    free(plan->initrd.owned);
    free(plan);
    return rc;
}
