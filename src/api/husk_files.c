/*
 * husk_vm_set_root, _add_volume, _add_share, _add_disk: what files a VM sees.
 * Nothing is opened here; husk_vm_start does that.
 */
#include "api/husk_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODE_BITS = 07777 }; /* of a virtual file */

/* ------------------------------------------------------------------ */
/* Shares                                                             */

static struct hk_vm_share *find_share(struct husk_vm *vm, const char *tag)
{
    for (uint32_t i = 0; i < vm->parts.share_count; i++) {
        if (strcmp(vm->parts.shares[i].tag, tag) == 0)
            return &vm->parts.shares[i];
    }
    return NULL;
}

static void free_share(struct hk_vm_share *share)
{
    for (uint32_t i = 0; i < share->file_count; i++)
        free(share->files[i].path);
    free(share->files);
    free(share->tag);
    free(share->host_path);
    free(share->guest_path);
}

/* Adds a share; returns its number or a code. Arguments were checked. */
static int add_share(struct husk_vm *vm, const char *tag, const char *host_path,
                     const char *guest_path, unsigned flags)
{
    struct hk_vm_parts *parts = &vm->parts;
    if (parts->share_count == HK_VM_SHARES_MAX)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "a VM has at most %d shared directories",
                          HK_VM_SHARES_MAX);
    struct hk_vm_share *share = hk_husk_grow(
        vm, (void **)&parts->shares, parts->share_count, sizeof(*share));
    if (share == NULL)
        return -HK_ENOMEM;
    share->read_only = (flags & HUSK_SHARE_READ_ONLY) != 0;
    int rc = hk_husk_set_string(vm, &share->tag, tag);
    if (rc == 0)
        rc = hk_husk_set_string(vm, &share->host_path, host_path);
    if (rc == 0)
        rc = hk_husk_set_string(vm, &share->guest_path, guest_path);
    if (rc != 0) {
        free_share(share);
        return rc;
    }
    return (int)parts->share_count++;
}

static void remove_share(struct husk_vm *vm, struct hk_vm_share *share)
{
    struct hk_vm_parts *parts = &vm->parts;
    size_t after = parts->share_count - (size_t)(share - parts->shares) - 1;
    free_share(share);
    memmove(share, share + 1, after * sizeof(*share));
    parts->share_count--;
}

/* A host path that may be NULL but not empty. */
static int check_host_path(struct husk_vm *vm, const char *path)
{
    if (path != NULL && path[0] == '\0')
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "the path of the shared directory is empty");
    return 0;
}

static int check_tag(struct husk_vm *vm, const char *tag)
{
    size_t len = tag != NULL ? strlen(tag) : 0;
    if (len == 0 || len > HK_VM_TAG_MAX)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "the tag of a share has 1 to %d bytes, not %zu",
                          HK_VM_TAG_MAX, len);
    if (strncmp(tag, HK_VM_TAG_PREFIX, strlen(HK_VM_TAG_PREFIX)) == 0)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "tags that begin with '%s' are Husk's own",
                          HK_VM_TAG_PREFIX);
    if (find_share(vm, tag) != NULL)
        return hk_err_set(&vm->err, -HK_EEXIST,
                          "there is already a share with the tag '%s'", tag);
    return 0;
}

int husk_vm_add_share(struct husk_vm *vm, const char *tag,
                      const char *host_path, unsigned flags)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_flags(vm, flags, HUSK_SHARE_READ_ONLY);
    if (rc == 0)
        rc = check_host_path(vm, host_path);
    if (rc == 0)
        rc = check_tag(vm, tag);
    if (rc != 0)
        return rc;
    rc = add_share(vm, tag, host_path, NULL, flags);
    struct hk_vm_root *root = &vm->parts.root;
    if (rc >= 0 && strcmp(tag, HK_VM_ROOT_TAG) == 0 &&
        root->kind == HK_VM_ROOT_NONE) {
        root->kind = HK_VM_ROOT_SHARE;
        root->read_only = (flags & HUSK_SHARE_READ_ONLY) != 0;
    }
    return rc;
}

int husk_vm_set_root(struct husk_vm *vm, const char *path, unsigned flags)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_flags(vm, flags, HUSK_SHARE_READ_ONLY);
    if (rc == 0)
        rc = check_host_path(vm, path);
    if (rc != 0)
        return rc;
    bool read_only = (flags & HUSK_SHARE_READ_ONLY) != 0;
    struct hk_vm_share *share = find_share(vm, HK_VM_ROOT_TAG);
    if (path == NULL) {
        if (share != NULL)
            remove_share(vm, share);
        vm->parts.root.kind = HK_VM_ROOT_NONE;
        return 0;
    }
    if (share != NULL)
        rc = hk_husk_set_string(vm, &share->host_path, path);
    else
        rc = add_share(vm, HK_VM_ROOT_TAG, path, NULL, flags);
    if (rc < 0)
        return rc;
    find_share(vm, HK_VM_ROOT_TAG)->read_only = read_only;
    vm->parts.root.kind = HK_VM_ROOT_SHARE;
    vm->parts.root.read_only = read_only;
    return 0;
}

int husk_vm_add_volume(struct husk_vm *vm, const char *host_path,
                       const char *guest_path, unsigned flags)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_flags(vm, flags, HUSK_SHARE_READ_ONLY);
    if (rc == 0)
        rc =
            hk_husk_check_guest_path(vm, "the volume's guest path", guest_path);
    if (rc != 0)
        return rc;
    if (host_path == NULL || host_path[0] == '\0')
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "the volume for '%s' has no host path", guest_path);
    if (guest_path[strspn(guest_path, "/")] == '\0')
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "a volume cannot be mounted on /; that is the root");
    for (uint32_t i = 0; i < vm->parts.share_count; i++) {
        const char *other = vm->parts.shares[i].guest_path;
        if (other != NULL && strcmp(other, guest_path) == 0)
            return hk_err_set(&vm->err, -HK_EINVAL,
                              "there are two volumes for '%s'", guest_path);
    }
    char tag[HK_VM_TAG_MAX + 1];
    (void)snprintf(tag, sizeof(tag), HK_VM_TAG_PREFIX "vol%u",
                   vm->parts.volume_count);
    rc = add_share(vm, tag, host_path, guest_path, flags);
    if (rc < 0)
        return rc;
    vm->parts.volume_count++;
    return 0;
}

/* ------------------------------------------------------------------ */
/* Files that are only in memory                                      */

static struct hk_vm_file *find_file(struct hk_vm_share *share, const char *path,
                                    size_t len)
{
    for (uint32_t i = 0; i < share->file_count; i++) {
        if (strlen(share->files[i].path) == len &&
            memcmp(share->files[i].path, path, len) == 0)
            return &share->files[i];
    }
    return NULL;
}

/* "a/b/c": relative, every component a plain name. */
static bool is_plain_path(const char *path)
{
    if (path == NULL || path[0] == '\0')
        return false;
    for (;;) {
        size_t len = strcspn(path, "/");
        if (len == 0 || len > 255 || (len == 1 && path[0] == '.') ||
            (len == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        if (path[len] == '\0')
            return true;
        path += len + 1;
    }
}

static int check_place(struct husk_vm *vm, const char *tag, const char *path,
                       struct hk_vm_share **share)
{
    if (!is_plain_path(path))
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "'%s' is no relative path without '.' and '..'",
                          path != NULL ? path : "");
    *share = tag != NULL ? find_share(vm, tag) : NULL;
    if (*share == NULL)
        return hk_err_set(&vm->err, -HK_ENOENT,
                          "there is no share with the tag '%s'",
                          tag != NULL ? tag : "");
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        struct hk_vm_file *parent =
            find_file(*share, path, (size_t)(slash - path));
        if (parent == NULL)
            return hk_err_set(&vm->err, -HK_ENOENT,
                              "the folder of '%s' was not added", path);
        if (!parent->is_dir)
            return hk_err_set(&vm->err, -HK_ENOTDIR,
                              "'%s' is below a file, not a folder", path);
    }
    if (find_file(*share, path, strlen(path)) != NULL)
        return hk_err_set(&vm->err, -HK_EEXIST, "'%s' was already added", path);
    return 0;
}

static int add_file(struct husk_vm *vm, const char *tag, const char *path,
                    const struct hk_vm_file *file)
{
    struct hk_vm_share *share = NULL;
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = check_place(vm, tag, path, &share);
    if (rc != 0)
        return rc;
    if ((file->mode & ~(uint32_t)MODE_BITS) != 0)
        return hk_err_set(&vm->err, -HK_EINVAL, "0%o is no file mode",
                          file->mode);
    struct hk_vm_file *slot = hk_husk_grow(vm, (void **)&share->files,
                                           share->file_count, sizeof(*slot));
    if (slot == NULL)
        return -HK_ENOMEM;
    *slot = *file;
    slot->path = NULL;
    rc = hk_husk_set_string(vm, &slot->path, path);
    if (rc == 0)
        share->file_count++;
    return rc;
}

int husk_vm_add_share_file(struct husk_vm *vm, const char *tag,
                           const char *path, const void *data, size_t size,
                           unsigned mode, int one_shot)
{
    const struct hk_vm_file file = {
        .data = data,
        .size = size,
        .mode = mode,
        .one_shot = one_shot != 0,
    };
    if (data == NULL && size != 0)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "a file of %zu bytes has no data", size);
    return add_file(vm, tag, path, &file);
}

int husk_vm_add_share_dir(struct husk_vm *vm, const char *tag, const char *path,
                          unsigned mode)
{
    const struct hk_vm_file file = {.mode = mode, .is_dir = true};
    return add_file(vm, tag, path, &file);
}

/* ------------------------------------------------------------------ */
/* Disks                                                              */

int husk_vm_set_root_disk(struct husk_vm *vm, const char *device,
                          const char *type, const char *options, unsigned flags)
{
    struct hk_vm_root *root = &vm->parts.root;
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_flags(vm, flags, HUSK_SHARE_READ_ONLY);
    if (rc == 0)
        rc = hk_husk_check_guest_path(vm, "the root's device", device);
    if (rc == 0)
        rc = hk_husk_set_string(vm, &root->device, device);
    if (rc == 0)
        rc = hk_husk_set_string(vm, &root->type, type);
    if (rc == 0)
        rc = hk_husk_set_string(vm, &root->options, options);
    if (rc != 0)
        return rc;
    root->kind = HK_VM_ROOT_DISK;
    root->read_only = (flags & HUSK_SHARE_READ_ONLY) != 0;
    return 0;
}

static int check_disk(struct husk_vm *vm, const char *path, int format,
                      int sync)
{
    if (path == NULL || path[0] == '\0')
        return hk_err_set(&vm->err, -HK_EINVAL, "the path of a disk is empty");
    if (format < HUSK_DISK_RAW || format > HUSK_DISK_VMDK)
        return hk_err_set(&vm->err, -HK_EINVAL, "%d is no disk format", format);
    if (sync < HUSK_SYNC_NONE || sync > HUSK_SYNC_FULL)
        return hk_err_set(&vm->err, -HK_EINVAL, "%d is no way to flush a disk",
                          sync);
    if (vm->parts.disk_count == HK_VM_DISKS_MAX)
        return hk_err_set(&vm->err, -HK_EINVAL, "a VM has at most %d disks",
                          HK_VM_DISKS_MAX);
    return 0;
}

int husk_vm_add_disk(struct husk_vm *vm, const char *id, const char *path,
                     int format, int sync, unsigned flags)
{
    struct hk_vm_parts *parts = &vm->parts;
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_flags(vm, flags,
                                 HUSK_DISK_READ_ONLY | HUSK_DISK_DIRECT);
    if (rc == 0)
        rc = check_disk(vm, path, format, sync);
    if (rc != 0)
        return rc;
    struct hk_vm_disk *disk = hk_husk_grow(vm, (void **)&parts->disks,
                                           parts->disk_count, sizeof(*disk));
    if (disk == NULL)
        return -HK_ENOMEM;
    disk->format = format;
    disk->sync = sync;
    disk->read_only = (flags & HUSK_DISK_READ_ONLY) != 0;
    disk->direct = (flags & HUSK_DISK_DIRECT) != 0;
    rc = hk_husk_set_string(vm, &disk->path, path);
    if (rc == 0)
        rc = hk_husk_set_string(vm, &disk->id, id);
    if (rc != 0) {
        free(disk->path);
        return rc;
    }
    parts->disk_count++;
    return 0;
}

void hk_husk_free_files(struct hk_vm_parts *parts)
{
    for (uint32_t i = 0; i < parts->share_count; i++)
        free_share(&parts->shares[i]);
    free(parts->shares);
    for (uint32_t i = 0; i < parts->disk_count; i++) {
        free(parts->disks[i].id);
        free(parts->disks[i].path);
    }
    free(parts->disks);
    free(parts->root.device);
    free(parts->root.type);
    free(parts->root.options);
}
