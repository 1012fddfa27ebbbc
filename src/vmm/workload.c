/*
 * Telling init what to do.
 */
#include "vmm/workload.h"

#include "guest/init_config.h"
#include "guest/initramfs.h"
#include "guest/kernel_folder.h"
#include "vmm/consoles.h"
#include "vmm/parts.h"
#include "wire/init_config.h"

#include <stdlib.h>

static void add_root(struct hk_init_config *config,
                     const struct hk_vm_root *root)
{
    struct hk_init_mount mount = {
        .type = "virtiofs",
        .source = HK_VM_ROOT_TAG,
        .target = "/",
        .read_only = root->read_only,
    };
    if (root->kind == HK_VM_ROOT_DISK) {
        mount.type = root->type != NULL ? root->type : "auto";
        mount.source = root->device;
        mount.options = root->options;
    }
    hk_init_config_add_mount(config, HK_CFG_ROOT, &mount);
}

static void add_volumes(struct hk_init_config *config,
                        const struct hk_vm_parts *parts)
{
    for (uint32_t i = 0; i < parts->share_count; i++) {
        const struct hk_vm_share *share = &parts->shares[i];
        const struct hk_init_mount mount = {
            .type = "virtiofs",
            .source = share->tag,
            .target = share->guest_path,
            .read_only = share->read_only,
        };
        if (share->guest_path != NULL)
            hk_init_config_add_mount(config, HK_CFG_MOUNT, &mount);
    }
}

static uint32_t flags_of(const struct hk_vm_parts *parts)
{
    unsigned given = parts->workload.flags;
    uint32_t flags = HK_CFG_EXIT_PORT;
    if (parts->root.kind == HK_VM_ROOT_SHARE)
        flags |= HK_CFG_EXIT_IOCTL;
    if (parts->root.read_only)
        flags |= HK_CFG_READ_ONLY;
    if ((given & HK_VM_WORKLOAD_PID1) != 0)
        flags |= HK_CFG_PID1;
    if ((given & HK_VM_WORKLOAD_DHCP) != 0)
        flags |= HK_CFG_DHCP;
    if ((given & HK_VM_WORKLOAD_CONFIG_FILE) != 0)
        flags |= HK_CFG_CONFIG_FILE;
    if ((given & HK_VM_WORKLOAD_LIBKRUN) != 0)
        flags |= HK_CFG_CMDLINE;
    if (parts->workload.workdir != NULL)
        flags |= HK_CFG_WORKDIR_MUST;
    return flags;
}

static void add_command(struct hk_init_config *config,
                        const struct hk_vm_workload *workload)
{
    hk_init_config_add_text(config, HK_CFG_EXEC, workload->command);
    hk_init_config_add_texts(config, HK_CFG_ARG,
                             (const char *const *)workload->args);
    hk_init_config_add_texts(config, HK_CFG_ENV,
                             (const char *const *)workload->env);
    hk_init_config_add_text(config, HK_CFG_WORKDIR, workload->workdir);
    hk_init_config_add_text(config, HK_CFG_USER, workload->user);
    hk_init_config_add_text(config, HK_CFG_HOSTNAME, workload->hostname);
    hk_init_config_add_texts(config, HK_CFG_RLIMIT,
                             (const char *const *)workload->rlimits);
}

/* All but the modules, which were added before. */
static void add_records(struct hk_init_config *config,
                        const struct hk_vm_parts *parts,
                        const struct hk_streams *streams)
{
    add_root(config, &parts->root);
    add_volumes(config, parts);
    add_command(config, &parts->workload);
    hk_init_config_add_flags(config, flags_of(parts) | streams->flags);
    if ((streams->flags & HK_CFG_TTY) != 0)
        hk_init_config_add_text(config, HK_CFG_CONSOLE, "hvc0");
    if (streams->rows != 0 && streams->columns != 0)
        hk_init_config_add_size(config, streams->rows, streams->columns);
}

int hk_workload_make_records(const struct hk_vm_parts *parts,
                             const struct hk_streams *streams, uint8_t **data,
                             size_t *len, struct hk_errmsg *err)
{
    struct hk_init_config config;
    hk_init_config_init(&config);
    add_records(&config, parts, streams);
    int rc = hk_init_config_take(&config, data, len, err);
    hk_init_config_fini(&config);
    return rc;
}

/* What the guest's kernel must be able to do. */
static uint32_t functions_of(const struct hk_vm_parts *parts)
{
    uint32_t functions = HK_KERNEL_MMIO | HK_KERNEL_CONSOLE;
    if (parts->share_count > 0)
        functions |= HK_KERNEL_FS;
    if (parts->disk_count > 0)
        functions |= HK_KERNEL_BLK;
    return functions;
}

/* What is of use and may be missing. */
static uint32_t extras_of(const struct hk_vm_parts *parts)
{
    uint32_t functions = HK_KERNEL_RNG;
    if (parts->root.kind == HK_VM_ROOT_DISK)
        functions |= HK_KERNEL_EXT4 | HK_KERNEL_XFS | HK_KERNEL_BTRFS |
                     HK_KERNEL_SQUASHFS | HK_KERNEL_EROFS;
    return functions;
}

static int add_modules(const struct hk_vm_parts *parts,
                       const struct hk_kernel_folder *folder,
                       struct hk_initramfs *archive,
                       struct hk_init_config *config, struct hk_errmsg *err)
{
    if (folder == NULL)
        return 0;
    uint32_t extras = extras_of(parts) & hk_kernel_folder_functions(folder);
    return hk_kernel_folder_add_modules(folder, functions_of(parts) | extras,
                                        archive, config, err);
}

static int add_config(struct hk_initramfs *archive,
                      struct hk_init_config *config, struct hk_errmsg *err)
{
    uint8_t *data = NULL;
    size_t len = 0;
    int rc = hk_init_config_take(config, &data, &len, err);
    if (rc == 0)
        hk_initramfs_add_file(archive, &HK_CFG_PATH[1], 0400, data, len);
    free(data);
    return rc;
}

int hk_workload_make(const struct hk_vm_parts *parts,
                     const struct hk_streams *streams,
                     const struct hk_kernel_folder *folder, uint8_t **data,
                     size_t *len, struct hk_errmsg *err)
{
    struct hk_initramfs archive;
    struct hk_init_config config;
    hk_initramfs_init(&archive);
    hk_init_config_init(&config);
    hk_initramfs_add_base(&archive);
    int rc = add_modules(parts, folder, &archive, &config, err);
    add_records(&config, parts, streams);
    if (rc == 0)
        rc = add_config(&archive, &config, err);
    if (rc == 0)
        rc = hk_initramfs_take(&archive, data, len, err);
    hk_init_config_fini(&config);
    hk_initramfs_fini(&archive);
    return rc;
}
