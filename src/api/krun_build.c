/*
 * From a context to a VM of husk.h.
 *
 * What is first in the guest decides how:
 *
 *     a root, and no initramfs of the caller's    our init, told by husk.h
 *       ... with krun_disable_implicit_init       our init, which makes room
 *                                                 for the caller's /init.krun
 *     anything else                               what the kernel finds; told
 *                                                 by the command line
 */
#define HK_LOG_TAG "krun"
#include "api/husk_int.h"
#include "api/krun_int.h"
#include "base/log.h"
#include "guest/init_image.h"
#include "guest/kernel.h"
#include "libkrun.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name in the root under which libkrun's kernels start an init. */
#define INIT_NAME "init.krun"

enum { MODE_BITS = 07777, INIT_MODE = 0755, KERNEL_NAME_MAX = 4096 };

/* Walks a list of nodes that begin with a struct hk_krun_node. */
#define EACH(type, item, list)                                      \
    for (type *item = (type *)(void *)(list).first; (item) != NULL; \
         (item) = (type *)(void *)(item)->node.next)

static const struct hk_krun_share *root_share(const struct hk_krun *ctx)
{
    EACH(struct hk_krun_share, share, ctx->shares)
    {
        if (share->is_root)
            return share;
    }
    return NULL;
}

static bool our_init_runs(const struct hk_krun *ctx)
{
    return root_share(ctx) != NULL && ctx->initramfs == NULL;
}

int32_t krun_get_default_init(const uint8_t **data_out, size_t *len_out)
{
    if (data_out == NULL || len_out == NULL)
        return -HK_EINVAL;
    *data_out = hk_init_image;
    *len_out = hk_init_image_size;
    return 0;
}

/* ------------------------------------------------------------------ */
/* Machine and kernel                                                 */

/* Callers ask for memory without knowing the host: what it has not, the guest
 * could not use either. */
static int set_memory(struct husk_vm *vm, const struct hk_krun *ctx)
{
    uint64_t bytes = (uint64_t)ctx->ram_mib << 20;
    uint64_t most = husk_host_memory();
    if (most != 0 && bytes > most) {
        HK_LOG_W("the host has not %u MiB; the guest gets %u", ctx->ram_mib,
                 (unsigned)(most >> 20));
        bytes = most;
    }
    return husk_vm_set_memory(vm, bytes);
}

static int set_machine(struct husk_vm *vm, const struct hk_krun *ctx)
{
    int rc = husk_vm_set_backend(vm, getenv("HUSK_BACKEND"));
    if (rc == 0)
        rc = husk_vm_set_cpus(vm, ctx->cpus);
    return rc == 0 ? set_memory(vm, ctx) : rc;
}

/* With our init the command line is the kernel's alone. */
static int compose_for_our_init(const struct hk_krun *ctx, char **out)
{
    static const char key[] = " console=";
    const char *given = ctx->cmdline != NULL ? ctx->cmdline : "";
    const char *console = ctx->kernel_console;
    size_t size = strlen(given) + 1;
    if (console != NULL)
        size += strlen(key) + strlen(console);
    char *text = malloc(size);
    if (text == NULL)
        return -HK_ENOMEM;
    (void)snprintf(text, size, "%s%s%s", given, console != NULL ? key : "",
                   console != NULL ? console : "");
    *out = text;
    return 0;
}

static int set_cmdline(struct husk_vm *vm, const struct hk_krun *ctx)
{
    char *text = NULL;
    int rc = our_init_runs(ctx) ? compose_for_our_init(ctx, &text)
                                : hk_krun_compose_cmdline(ctx, &text, &vm->err);
    if (rc == 0)
        rc = husk_vm_set_cmdline(vm, text);
    free(text);
    return rc;
}

/* What HUSK_KERNEL says now, else what was found before the root directory
 * may have changed, else what can be found now. */
static int set_default_kernel(struct husk_vm *vm)
{
    char name[KERNEL_NAME_MAX];
    const char *wanted = getenv("HUSK_KERNEL");
    if (wanted == NULL || wanted[0] == '\0')
        wanted = hk_krun_kept_kernel();
    if (wanted != NULL)
        return husk_vm_set_kernel(vm, wanted);
    int rc = hk_kernel_default(name, sizeof(name), &vm->err);
    if (rc != 0)
        return -HK_ENOENT;
    return husk_vm_set_kernel(vm, name);
}

static int set_kernel(struct husk_vm *vm, const struct hk_krun *ctx)
{
    if (ctx->kernel == NULL)
        return set_default_kernel(vm);
    int rc = husk_vm_set_kernel(vm, ctx->kernel);
    if (rc == 0)
        rc = husk_vm_set_kernel_format(vm, (int)ctx->kernel_format);
    if (rc == 0)
        rc = husk_vm_set_initrd(vm, ctx->initramfs);
    return rc;
}

/* ------------------------------------------------------------------ */
/* Files                                                              */

static int add_overlays(struct husk_vm *vm, const struct hk_krun_share *share)
{
    int rc = 0;
    EACH(struct hk_krun_overlay, overlay, share->overlays)
    {
        unsigned mode = overlay->mode & MODE_BITS;
        if (overlay->is_dir)
            rc = husk_vm_add_share_dir(vm, share->tag, overlay->path, mode);
        else
            rc = husk_vm_add_share_file(vm, share->tag, overlay->path,
                                        overlay->data, overlay->size, mode,
                                        overlay->one_shot);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* What the caller laid over the place of init, or NULL. */
static const struct hk_krun_overlay *
init_overlay(const struct hk_krun_share *share)
{
    EACH(struct hk_krun_overlay, overlay, share->overlays)
    {
        if (strcmp(overlay->path, INIT_NAME) == 0)
            return overlay;
    }
    return NULL;
}

/* Ours, put there by the rules or by the caller (krun_get_default_init). */
static bool has_our_init(const struct hk_krun_share *share)
{
    const struct hk_krun_overlay *init = init_overlay(share);
    if (init == NULL)
        return share->with_init;
    return init->size == hk_init_image_size &&
           memcmp(init->data, hk_init_image, init->size) == 0;
}

/* A root whose init the kernel starts itself. */
static int add_init(struct husk_vm *vm, const struct hk_krun_share *share)
{
    if (init_overlay(share) != NULL)
        return 0;
    return husk_vm_add_share_file(vm, share->tag, INIT_NAME, hk_init_image,
                                  hk_init_image_size, INIT_MODE, 1);
}

/* What a share that stands in for a root on a disk has. */
static int add_disk_root_dirs(struct husk_vm *vm)
{
    static const char *const names[] = {"dev", "proc", "sys", "newroot"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < HK_COUNT(names); i++)
        rc = husk_vm_add_share_dir(vm, KRUN_FS_ROOT_TAG, names[i], INIT_MODE);
    return rc;
}

/* Linux takes the first of two shares with one tag. */
static bool is_repeated(const struct hk_krun *ctx,
                        const struct hk_krun_share *share)
{
    EACH(struct hk_krun_share, other, ctx->shares)
    {
        if (other == share)
            return false;
        if (strcmp(other->tag, share->tag) == 0)
            return true;
    }
    return false;
}

static int add_share(struct husk_vm *vm, const struct hk_krun *ctx,
                     const struct hk_krun_share *share)
{
    bool ours = our_init_runs(ctx);
    unsigned flags = share->read_only ? HUSK_SHARE_READ_ONLY : 0;
    if (share->for_disk && ours)
        return 0; /* our init mounts the disk from where it is */
    if (is_repeated(ctx, share)) {
        HK_LOG_W("the share %s is there already; %s is left out", share->tag,
                 share->path != NULL ? share->path : "the empty one");
        return 0;
    }
    int rc = husk_vm_add_share(vm, share->tag, share->path, flags);
    if (rc >= 0 && share->for_disk)
        rc = add_disk_root_dirs(vm);
    if (rc >= 0)
        rc = add_overlays(vm, share);
    if (rc == 0 && share->with_init && !ours)
        rc = add_init(vm, share);
    return rc;
}

static int add_shares(struct husk_vm *vm, const struct hk_krun *ctx)
{
    int rc = 0;
    EACH(struct hk_krun_share, share, ctx->shares)
    {
        rc = add_share(vm, ctx, share);
        if (rc != 0)
            return rc;
    }
    if (ctx->root_device != NULL && our_init_runs(ctx))
        rc = husk_vm_set_root_disk(vm, ctx->root_device, ctx->root_type,
                                   ctx->root_options, 0);
    else if (!our_init_runs(ctx))
        vm->parts.root.kind = HK_VM_ROOT_NONE; /* a share like any other */
    return rc;
}

static int add_disks(struct husk_vm *vm, const struct hk_krun *ctx)
{
    int rc = 0;
    EACH(struct hk_krun_disk, disk, ctx->disks)
    {
        rc = husk_vm_add_disk(vm, disk->id, disk->path, (int)disk->format,
                              (int)disk->sync,
                              (disk->read_only ? HUSK_DISK_READ_ONLY : 0) |
                                  (disk->direct ? HUSK_DISK_DIRECT : 0));
        if (rc != 0)
            return rc;
    }
    if (ctx->disks.count != 0)
        return 0; /* the older calls do not count */
    if (ctx->root_disk != NULL)
        rc = husk_vm_add_disk(vm, "root", ctx->root_disk, HUSK_DISK_RAW,
                              HUSK_SYNC_FULL, 0);
    if (rc == 0 && ctx->data_disk != NULL)
        rc = husk_vm_add_disk(vm, "data", ctx->data_disk, HUSK_DISK_RAW,
                              HUSK_SYNC_FULL, 0);
    return rc;
}

/* ------------------------------------------------------------------ */
/* The workload                                                       */

/* Those of `list` that `takes` takes, one at a time; a block of pointers to
 * be freed, the strings are the list's. NULL: no memory. */
static const char **those_that_fit(struct husk_vm *vm, hk_krun_strings list,
                                   int (*takes)(struct husk_vm *vm,
                                                const char *const one[]))
{
    size_t count = 0, kept = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    const char **fit = calloc(count + 1, sizeof(*fit));
    for (size_t i = 0; fit != NULL && i < count; i++) {
        const char *const one[] = {list[i], NULL};
        if (takes(vm, one) == 0)
            fit[kept++] = list[i];
        else
            HK_LOG_W("left out: %s", husk_vm_error(vm));
    }
    return fit;
}

/* libkrun leaves out what makes no sense rather than fail. */
static int set_list(struct husk_vm *vm, hk_krun_strings list,
                    int (*set)(struct husk_vm *vm, const char *const list[]))
{
    const char **fit = those_that_fit(vm, list, set);
    if (fit == NULL)
        return -HK_ENOMEM;
    int rc = set(vm, fit);
    free(fit);
    return rc;
}

static int set_workdir(struct husk_vm *vm, const char *workdir)
{
    if (workdir == NULL || workdir[0] == '/')
        return workdir != NULL ? husk_vm_set_workdir(vm, workdir) : 0;
    size_t size = strlen(workdir) + 2;
    char *path = malloc(size);
    if (path == NULL)
        return -HK_ENOMEM;
    (void)snprintf(path, size, "/%s", workdir);
    int rc = husk_vm_set_workdir(vm, path);
    free(path);
    return rc;
}

/* The caller's init in the root takes the place of ours, with all that it
 * would have had from the kernel. */
static int set_foreign_init(struct husk_vm *vm, const struct hk_krun *ctx)
{
    static const char *const names[] = {"KRUN_INIT=", "KRUN_WORKDIR="};
    const char *values[] = {ctx->exec, ctx->workdir};
    int rc =
        husk_vm_set_command(vm, "/" INIT_NAME, (const char *const *)ctx->args);
    for (size_t i = 0; rc == 0 && i < HK_COUNT(names); i++) {
        if (values[i] == NULL)
            continue;
        size_t size = strlen(names[i]) + strlen(values[i]) + 1;
        char *text = malloc(size);
        if (text == NULL)
            return -HK_ENOMEM;
        (void)snprintf(text, size, "%s%s", names[i], values[i]);
        rc = husk_vm_add_env(vm, text);
        free(text);
    }
    vm->parts.workload.flags = HK_VM_WORKLOAD_PID1;
    return rc;
}

static int set_workload(struct husk_vm *vm, const struct hk_krun *ctx)
{
    int rc = set_list(vm, ctx->env, husk_vm_set_env);
    if (rc == 0)
        rc = set_list(vm, ctx->rlimits, husk_vm_set_rlimits);
    if (rc != 0)
        return rc;
    if (!has_our_init(root_share(ctx)))
        return set_foreign_init(vm, ctx);
    if (ctx->exec != NULL && ctx->exec[0] != '\0')
        rc = husk_vm_set_command(vm, ctx->exec, (const char *const *)ctx->args);
    if (rc == 0)
        rc = set_workdir(vm, ctx->workdir);
    vm->parts.workload.flags =
        HK_VM_WORKLOAD_CONFIG_FILE | HK_VM_WORKLOAD_LIBKRUN;
    return rc;
}

/* ------------------------------------------------------------------ */
/* Consoles                                                           */

/* A terminal port (hvcN) without a terminal: the file has the output. */
static int add_output_console(struct husk_vm *vm, const char *path, int *output)
{
    int rc = hk_process_open_output(path, output);
    if (rc != 0)
        return hk_err_set(&vm->err, rc, "cannot write to %s: %s", path,
                          hk_err_text(rc));
    int console = husk_vm_add_console(vm);
    if (console < 0)
        return console;
    rc = husk_vm_add_port(vm, (unsigned)console, NULL, -1, *output);
    if (rc == 0)
        vm->parts.consoles[console].ports[0].is_tty = true;
    return rc;
}

static int add_implicit_console(struct husk_vm *vm, const struct hk_krun *ctx,
                                int *output)
{
    if (ctx->no_console)
        return 0;
    if (ctx->console_output != NULL)
        return add_output_console(vm, ctx->console_output, output);
    int rc = husk_vm_add_console_default(vm, 0, 1, 2);
    return rc < 0 ? rc : 0;
}

static int add_ports(struct husk_vm *vm, const struct hk_krun_console *console)
{
    int number = husk_vm_add_console(vm);
    int rc = number < 0 ? number : 0;
    EACH(struct hk_krun_port, port, console->ports)
    {
        if (rc == 0 && port->is_tty)
            rc = husk_vm_add_port_tty(vm, (unsigned)number, port->name,
                                      port->in_fd);
        else if (rc == 0)
            rc = husk_vm_add_port(vm, (unsigned)number, port->name, port->in_fd,
                                  port->out_fd);
    }
    return rc;
}

static int add_serial(struct husk_vm *vm, const struct hk_krun_console *console,
                      bool *is_taken)
{
    if (*is_taken)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "there is one serial port; a second cannot be added");
    *is_taken = true;
    return husk_vm_set_serial(vm, console->in_fd, console->out_fd,
                              HUSK_SERIAL_RAW);
}

static int add_consoles(struct husk_vm *vm, const struct hk_krun *ctx,
                        int *output)
{
    bool has_serial = false;
    int rc = add_implicit_console(vm, ctx, output);
    EACH(struct hk_krun_console, console, ctx->consoles)
    {
        if (rc < 0)
            break;
        switch (console->kind) {
        case HK_KRUN_CONSOLE_DEFAULT:
            rc = husk_vm_add_console_default(vm, console->in_fd,
                                             console->out_fd, console->err_fd);
            break;
        case HK_KRUN_CONSOLE_SERIAL:
            rc = add_serial(vm, console, &has_serial);
            break;
        case HK_KRUN_CONSOLE_PORTS:
            rc = add_ports(vm, console);
            break;
        }
    }
    return rc < 0 ? rc : 0;
}

/* ------------------------------------------------------------------ */

/* What was asked for and is not in this build. */
static void warn(const struct hk_krun *ctx)
{
    if (ctx->vsock == HK_KRUN_VSOCK_ADDED || ctx->vsock_ports.count != 0)
        HK_LOG_W("there is no vsock device in this build; "
                 "the guest's ports lead nowhere");
    if (ctx->port_map != NULL && ctx->port_map[0] != NULL)
        HK_LOG_W("there is no network in this build; no port is mapped");
}

int hk_krun_build(const struct hk_krun *ctx, struct husk_vm *vm, int *output)
{
    warn(ctx);
    int rc = set_kernel(vm, ctx);
    if (rc != 0)
        return rc == -HK_ENOENT ? rc : -HK_EINVAL;
    rc = set_machine(vm, ctx);
    if (rc == 0)
        rc = set_cmdline(vm, ctx);
    if (rc == 0)
        rc = add_shares(vm, ctx);
    if (rc == 0)
        rc = add_disks(vm, ctx);
    if (rc == 0 && our_init_runs(ctx))
        rc = set_workload(vm, ctx);
    if (rc == 0)
        rc = add_consoles(vm, ctx, output);
    return rc == 0 ? 0 : -HK_EINVAL;
}
