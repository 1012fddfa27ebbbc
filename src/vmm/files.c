/*
 * Opening what a VM shares, and the devices in front of it.
 */
#include "vmm/files.h"

#include "disk/disk.h"
#include "fs/fuse.h"
#include "fs/host.h"
#include "husk.h"
#include "virtio/blk.h"
#include "virtio/fs.h"
#include "vmm/devices.h"
#include "vmm/loading.h"
#include "vmm/vm_int.h"

#include <string.h>

/* ------------------------------------------------------------------ */
/* Shares                                                             */

/* A worker's thread: libkrun's way to tell the workload's status. The machine
 * is ended by what init does next. */
static void on_exit_status(void *opaque, uint32_t status)
{
    struct hk_vm *vm = opaque;
    atomic_store(&vm->noted_status, (int)(status & 0xff));
}

static int add_virtual(struct hk_fuse *fuse, const char *tag,
                       const struct hk_vm_file *files, uint32_t count,
                       struct hk_errmsg *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hk_vm_file *file = &files[i];
        int rc = file->is_dir
                     ? hk_fuse_add_dir(fuse, file->path, file->mode)
                     : hk_fuse_add_file(fuse, file->path, file->data,
                                        file->size, file->mode, file->one_shot);
        if (rc != 0)
            return hk_err_set(err, rc, "cannot add '%s' to the share '%s': %s",
                              file->path, tag, hk_err_text(rc));
    }
    return 0;
}

static bool is_root(const struct hk_vm_share *share)
{
    return strcmp(share->tag, HK_VM_ROOT_TAG) == 0;
}

static int add_all_virtual(struct hk_machine *m, struct hk_fuse *fuse,
                           const struct hk_vm_share *share,
                           struct hk_errmsg *err)
{
    uint32_t count = 0;
    const struct hk_vm_file *own = hk_loading_files(m->loading, &count);
    int rc = 0;
    if (is_root(share))
        rc = add_virtual(fuse, share->tag, own, count, err);
    if (rc == 0)
        rc =
            add_virtual(fuse, share->tag, share->files, share->file_count, err);
    return rc;
}

/* What people call the share. */
static const char *role_of(const struct hk_vm_share *share)
{
    if (is_root(share))
        return "the root";
    return share->guest_path != NULL ? "the volume" : "the shared directory";
}

static int open_root(const struct hk_vm_share *share, struct hk_fs_root **out,
                     struct hk_errmsg *err)
{
    const struct hk_fs_root_config config = {
        .path = share->host_path,
        .read_only = share->read_only,
    };
    *out = NULL;
    if (share->host_path == NULL)
        return 0;
    int rc = hk_fs_root_open(&config, out, err);
    return rc == 0 ? 0 : hk_err_prepend(err, rc, "%s", role_of(share));
}

static int make_share(struct hk_vm *vm, const struct hk_vm_share *share,
                      struct hk_vdev **out, struct hk_errmsg *err)
{
    struct hk_machine *m = &vm->machine;
    const struct hk_fuse_config config = {
        .read_only = share->read_only,
        .exit_status = on_exit_status,
        .opaque = vm,
    };
    struct hk_fs_root *root;
    struct hk_fuse *fuse = NULL;
    int rc = open_root(share, &root, err);
    if (rc != 0)
        return rc;
    rc = hk_fuse_create(root, &config, &fuse);
    if (rc != 0)
        return hk_err_set(
            err, rc, "%s '%s' cannot be shared: %s", role_of(share),
            share->host_path != NULL ? share->host_path : "", hk_err_text(rc));
    rc = add_all_virtual(m, fuse, share, err);
    if (rc != 0) {
        hk_fuse_destroy(fuse);
        return rc;
    }
    return hk_fs_create(m->loop, m->pool, share->tag, fuse, out);
}

static int add_share(struct hk_vm *vm, const struct hk_vm_share *share,
                     struct hk_errmsg *err)
{
    struct hk_vdev *dev = NULL;
    int rc = make_share(vm, share, &dev, err);
    return rc == 0 ? hk_devices_add(vm->machine.devices, dev, err) : rc;
}

/* A kernel that runs init from a share, and a root that is none. */
static int add_init_share(struct hk_vm *vm, const struct hk_vm_parts *parts,
                          struct hk_errmsg *err)
{
    static char tag[] = HK_VM_ROOT_TAG;
    const struct hk_vm_share share = {.tag = tag};
    uint32_t count = 0;
    (void)hk_loading_files(vm->machine.loading, &count);
    if (count == 0)
        return 0;
    for (uint32_t i = 0; i < parts->share_count; i++) {
        if (is_root(&parts->shares[i]))
            return 0;
    }
    return add_share(vm, &share, err);
}

int hk_files_add_shares(struct hk_vm *vm, const struct hk_vm_parts *parts,
                        struct hk_errmsg *err)
{
    if (parts == NULL)
        return 0;
    int rc = add_init_share(vm, parts, err);
    for (uint32_t i = 0; rc == 0 && i < parts->share_count; i++)
        rc = add_share(vm, &parts->shares[i], err);
    return rc;
}

/* ------------------------------------------------------------------ */
/* Disks                                                              */

_Static_assert((int)HUSK_DISK_VMDK == (int)HK_DISK_VMDK &&
                   (int)HUSK_SYNC_FULL == (int)HK_DISK_SYNC_FULL,
               "the public numbers are the disk's");

static int add_disk(struct hk_vm *vm, const struct hk_vm_disk *disk,
                    struct hk_errmsg *err)
{
    struct hk_machine *m = &vm->machine;
    const struct hk_disk_config config = {
        .path = disk->path,
        .format = (enum hk_disk_format)disk->format,
        .read_only = disk->read_only,
        .direct = disk->direct,
        .sync = (enum hk_disk_sync)disk->sync,
    };
    struct hk_disk *image = NULL;
    struct hk_vdev *dev = NULL;
    int rc = hk_disk_open(&config, &image, err);
    if (rc == 0)
        rc = hk_blk_create(m->loop, m->pool, image, disk->id, &dev);
    return rc == 0 ? hk_devices_add(m->devices, dev, err) : rc;
}

int hk_files_add_disks(struct hk_vm *vm, const struct hk_vm_parts *parts,
                       struct hk_errmsg *err)
{
    int rc = 0;
    for (uint32_t i = 0; parts != NULL && rc == 0 && i < parts->disk_count; i++)
        rc = add_disk(vm, &parts->disks[i], err);
    return rc;
}
