/*
 * The kernel of a VM. It is a file, a kernel folder (guest/kernel_folder.h) or
 * that of an installed libkrunfw. A folder brings modules along and says how
 * the kernel finds its devices.
 *
 * A VM with a root gets a first file system of ours, unless the caller gave
 * one. The kernel talks on the serial port, little, so that what it says last
 * is known when it fails.
 *
 * The kernel of libkrunfw takes no first file system: it mounts the root share
 * and runs init from there. So init and its orders are files in memory that
 * the share has besides its own, each found once.
 */
#define HK_LOG_TAG "kernel"
#include "vmm/loading.h"

#include "base/log.h"
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "chip/acpi_pm.h"
#include "chip/ioapic.h"
#include "chip/lapic.h"
#include "guest/init_image.h"
#include "guest/kernel.h"
#include "guest/kernel_folder.h"
#include "vmm/consoles.h"
#include "vmm/devices.h"
#include "vmm/vm_int.h"
#include "vmm/workload.h"
#include "wire/init_config.h"

#include <stdlib.h>
#include <string.h>

/* The numbers of enum husk_kernel_format. */
enum { FORMAT_RAW = 0, FORMAT_ELF = 1, FORMAT_PE_GZ = 2 };

#define SHARED_INIT ".husk-init"

struct hk_loading {
    bool has_kernel;
    struct hk_kernel kernel;
    enum hk_image_format format;
    bool has_init;

    uint8_t *data; /* the first file system, or init's orders */
    size_t len;
    struct hk_vm_file file[6];
    uint32_t file_count;
};

/* ------------------------------------------------------------------ */
/* Which kernel                                                       */

static int choose_format(struct hk_loading *loading, int format,
                         struct hk_errmsg *err)
{
    loading->format = HK_IMAGE_AUTO;
    if (loading->kernel.kind == HK_KERNEL_KRUNFW)
        loading->format = HK_IMAGE_RAW;
    if (loading->kernel.kind != HK_KERNEL_FILE)
        return 0;
    if (format == FORMAT_PE_GZ)
        return hk_err_set(err, -HK_ENOTSUP,
                          "kernels of the format PE are for arm64, and this "
                          "host's guests are x86-64");
    if (format == FORMAT_RAW)
        loading->format = HK_IMAGE_RAW;
    if (format == FORMAT_ELF)
        loading->format = HK_IMAGE_ELF;
    return 0; /* packed images tell what they are */
}

static bool wants_init(const struct hk_vm_config *config)
{
    return config->parts != NULL &&
           config->parts->root.kind != HK_VM_ROOT_NONE &&
           config->initrd == NULL;
}

int hk_loading_choose(const struct hk_vm_config *config,
                      struct hk_loading **out, struct hk_errmsg *err)
{
    struct hk_loading *loading = calloc(1, sizeof(*loading));
    if (loading == NULL)
        return -HK_ENOMEM;
    *out = loading;
    if (config->kernel == NULL)
        return 0;
    int rc = hk_kernel_open(config->kernel, &loading->kernel, err);
    if (rc != 0)
        return rc;
    loading->has_kernel = true;
    loading->has_init = wants_init(config);
    return choose_format(loading, config->kernel_format, err);
}

void hk_loading_destroy(struct hk_loading *loading)
{
    if (loading == NULL)
        return;
    if (loading->has_kernel)
        hk_kernel_close(&loading->kernel);
    free(loading->data);
    free(loading);
}

bool hk_loading_has_init(const struct hk_loading *loading)
{
    return loading->has_init;
}

/* ------------------------------------------------------------------ */
/* What it finds first                                                */

static void add_file(struct hk_loading *loading, char *path, const void *data,
                     size_t size, uint32_t mode)
{
    loading->file[loading->file_count++] = (struct hk_vm_file){
        .path = path,
        .data = data,
        .size = size,
        .mode = mode,
        .is_dir = data == NULL,
        .one_shot = data != NULL,
    };
}

static void add_files(struct hk_loading *loading,
                      const struct hk_vm_parts *parts)
{
    static char init[] = SHARED_INIT, orders[] = HK_CFG_SHARE_NAME;
    static char folders[][8] = {"dev", "proc", "sys", "newroot"};
    add_file(loading, init, hk_init_image, hk_init_image_size, 0755);
    add_file(loading, orders, loading->data, loading->len, 0400);
    for (int i = 0; parts->root.kind == HK_VM_ROOT_DISK && i < 4; i++)
        add_file(loading, folders[i], NULL, 0, 0755);
}

int hk_loading_prepare(struct hk_loading *loading,
                       const struct hk_vm_config *config,
                       const struct hk_streams *streams, struct hk_errmsg *err)
{
    if (!loading->has_init)
        return 0;
    if (loading->kernel.kind != HK_KERNEL_KRUNFW)
        return hk_workload_make(config->parts, streams, loading->kernel.folder,
                                &loading->data, &loading->len, err);
    int rc = hk_workload_make_records(config->parts, streams, &loading->data,
                                      &loading->len, err);
    if (rc == 0)
        add_files(loading, config->parts);
    return rc;
}

const struct hk_vm_file *hk_loading_files(const struct hk_loading *loading,
                                          uint32_t *count)
{
    *count = loading->file_count;
    return loading->file;
}

/* ------------------------------------------------------------------ */
/* The command line                                                   */

static bool has_kernel_log(const struct hk_vm_config *config)
{
    return config->serial_out >= 0 ||
           (config->parts != NULL && config->parts->kernel_log >= 0);
}

/* What Husk adds to the user's command line. */
static int add_own(const struct hk_vm_config *config,
                   const struct hk_loading *loading, struct hk_cmdline *line,
                   struct hk_errmsg *err)
{
    bool is_read = has_kernel_log(config) || hk_log_enabled(HK_LOG_DEBUG);
    const struct hk_cmdline_defaults defaults = {
        .console = loading->has_init || has_kernel_log(config) ? "ttyS0" : NULL,
        .virtio_only = true,
        .quiet = loading->has_init && !is_read,
    };
    int rc = hk_cmdline_add_defaults(line, &defaults, err);
    if (rc == 0 && loading->file_count > 0) {
        rc = hk_cmdline_add_default(line, "rootfstype=virtiofs", err);
        if (rc == 0)
            rc = hk_cmdline_add_default(line, "rw", err);
        if (rc == 0)
            rc = hk_cmdline_add_default(line, "init=/" SHARED_INIT, err);
    }
    return rc;
}

static int compose_cmdline(const struct hk_vm_config *config,
                           const struct hk_loading *loading,
                           struct hk_cmdline *line, struct hk_errmsg *err)
{
    int rc = 0;
    if (config->cmdline != NULL)
        rc = hk_cmdline_add(line, config->cmdline, err);
    if (rc == 0 && config->cmdline_additions)
        rc = add_own(config, loading, line, err);
    if (rc == 0)
        HK_LOG_I("kernel command line: %s", line->text);
    return rc;
}

/* ------------------------------------------------------------------ */
/* Into memory                                                        */

/*
 * There is no firmware, but Linux may jump to where it would start: with
 * hardware-reduced ACPI and no reboot= the way to restart is by EFI, which is
 * not there, and then by the BIOS. What stands at F000:FFF0 asks for a reset.
 */
static int add_reset_vector(struct hk_machine *m)
{
    static const uint8_t code[] = {
        0xba,
        HK_ACPI_RESET_PORT & 0xff,
        HK_ACPI_RESET_PORT >> 8, /* mov dx */
        0xb0,
        HK_ACPI_RESET_VALUE, /* mov al */
        0xee,                /* out */
        0xf4,
        0xeb,
        0xfd, /* hlt; again */
    };
    const hk_gpa_t reset_vector = 0xffff0;
    return hk_gmem_copy_out(m->gmem, reset_vector, code, sizeof(code));
}

static struct hk_boot_machine describe(const struct hk_machine *m)
{
    uint32_t count = 0;
    const struct hk_boot_slot *slots = hk_devices_slots(m->devices, &count);
    return (struct hk_boot_machine){
        .slots = slots,
        .slot_count = count,
        .vcpu_count = m->vcpu_count,
        .lapic_gpa = HK_APIC_BASE,
        .ioapic_gpa = HK_IOAPIC_BASE,
        .has_com1 = true,
        .has_rtc = true,
        .acpi =
            {
                .sleep_control_port = HK_ACPI_SLEEP_CONTROL_PORT,
                .sleep_status_port = HK_ACPI_SLEEP_STATUS_PORT,
                .reset_port = HK_ACPI_RESET_PORT,
                .reset_value = HK_ACPI_RESET_VALUE,
                .s5_type = HK_ACPI_S5_TYPE,
            },
    };
}

/* What a VM with our init cannot do without, by words in the drivers. */
static const char *const *drivers_for(const struct hk_vm_config *config,
                                      const struct hk_loading *loading)
{
    static const char *const consoles[] = {"virtio_console", NULL};
    static const char *const consoles_shares[] = {"virtio_console", "virtiofs",
                                                  NULL};
    if (!loading->has_init || loading->kernel.kind != HK_KERNEL_FILE ||
        loading->format == HK_IMAGE_RAW)
        return NULL;
    return config->parts->share_count > 0 ? consoles_shares : consoles;
}

static struct hk_boot_config describe_boot(const struct hk_machine *m,
                                           const struct hk_vm_config *config,
                                           const struct hk_loading *loading)
{
    const struct hk_kernel *kernel = &loading->kernel;
    struct hk_boot_config boot = {
        .gmem = m->gmem,
        .kernel = {.path = kernel->path,
                   .data = kernel->data,
                   .size = kernel->size},
        .format = loading->format,
        .raw_gpa = kernel->gpa,
        .raw_entry = kernel->entry,
        .initrd = {.path = config->initrd},
        .cmdline_devices = config->cmdline_additions,
        .drivers = drivers_for(config, loading),
        .machine = describe(m),
    };
    if (loading->has_init && loading->file_count == 0)
        boot.initrd =
            (struct hk_boot_blob){.data = loading->data, .size = loading->len};
    return boot;
}

static int set_registers(struct hk_machine *m, const struct hk_boot_info *info,
                         struct hk_errmsg *err)
{
    struct hk_vcpu_state state;
    uint32_t count = m->has_lapic ? m->vcpu_count : 1;
    int rc = 0;
    hk_boot_set_regs(info, &state);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = m->hv->vcpu_set_state(m->vcpus[i].hv, &state);
    if (rc != 0)
        return hk_err_set(err, rc,
                          "back end %s refused the kernel's first registers",
                          m->hv->name);
    HK_LOG_I("kernel at 0x%llx to 0x%llx, entry 0x%llx",
             (unsigned long long)info->kernel_start,
             (unsigned long long)info->kernel_end,
             (unsigned long long)info->entry);
    return 0;
}

int hk_loading_load(struct hk_vm *vm, const struct hk_vm_config *config,
                    const struct hk_loading *loading, struct hk_errmsg *err)
{
    struct hk_machine *m = &vm->machine;
    struct hk_cmdline line;
    struct hk_boot_info info;
    if (!loading->has_kernel)
        return 0;
    int rc = hk_cmdline_init(&line, HK_CMDLINE_MAX);
    if (rc != 0)
        return rc;
    struct hk_boot_config boot = describe_boot(m, config, loading);
    rc = compose_cmdline(config, loading, &line, err);
    boot.cmdline = line.text;
    if (rc == 0)
        rc = hk_boot_load(&boot, &info, err);
    hk_cmdline_fini(&line);
    if (rc == 0)
        rc = add_reset_vector(m);
    return rc == 0 ? set_registers(m, &info, err) : rc;
}
