/*
 * krun_start_enter: a context becomes a VM of husk.h and takes the process
 * over.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "base/lock.h"
#define HK_LOG_TAG "krun"
#include "base/log.h"
#include "husk.h"
#include "os/endwatch.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GRACE_MS = 10000, /* from SIGTERM to the end at the latest */

    /* The process's status where the workload gave none. */
    STATUS_CRASH = 1,
    STATUS_ESCAPE = 130, /* as if by SIGINT */
    STATUS_KILLED = 137, /* as if by SIGKILL */
};

/* A VM that krun_start_enter runs, until the process ends. */
struct running {
    struct running *next;
    uint32_t id;
    struct husk_vm *vm;
    bool is_freed; /* by krun_free_ctx */
};

/* One for the process, like the ABI. */
static struct {
    struct hk_lock lock;
    struct running *first;
} all;

static void link_running(struct running *run)
{
    hk_lock(&all.lock);
    run->next = all.first;
    all.first = run;
    hk_unlock(&all.lock);
}

/* After this nobody else knows of it. */
static void unlink_running(struct running *run)
{
    hk_lock(&all.lock);
    struct running **place = &all.first;
    while (*place != run)
        place = &(*place)->next;
    *place = run->next;
    hk_unlock(&all.lock);
}

int hk_krun_end_running(uint32_t ctx_id)
{
    hk_lock(&all.lock);
    struct running *run = all.first;
    while (run != NULL && run->id != ctx_id)
        run = run->next;
    if (run != NULL) {
        run->is_freed = true;
        husk_vm_kill(run->vm);
    }
    hk_unlock(&all.lock);
    return run != NULL ? 0 : -HK_ENOENT;
}

bool hk_krun_has_disks(void)
{
    return false;
}

int32_t krun_get_default_init(const uint8_t **data_out, size_t *len_out)
{
    if (data_out == NULL || len_out == NULL)
        return -HK_EINVAL;
    return -HK_ENOTSUP;
}

/* ------------------------------------------------------------------ */
/* From the context to the VM                                         */

/* What this build has no device for. */
static int check_devices(const struct hk_krun *ctx)
{
    if (ctx->shares.count == 0 && ctx->disks.count == 0 &&
        ctx->root_disk == NULL && ctx->data_disk == NULL)
        return 0;
    HK_LOG_E("shared directories and disks are not in this build");
    return -HK_ENOTSUP;
}

static int set_serial(struct husk_vm *vm, const struct hk_krun *ctx)
{
    bool is_set = false;
    for (struct hk_krun_node *n = ctx->consoles.first; n != NULL; n = n->next) {
        struct hk_krun_console *console = (struct hk_krun_console *)(void *)n;
        if (console->kind != HK_KRUN_CONSOLE_SERIAL)
            continue;
        if (is_set) {
            HK_LOG_E("there is only one serial port");
            return -HK_EINVAL;
        }
        int rc = husk_vm_set_serial(vm, console->in_fd, console->out_fd,
                                    HUSK_SERIAL_RAW);
        if (rc != 0)
            return rc;
        is_set = true;
    }
    return 0;
}

static int set_kernel(struct husk_vm *vm, const struct hk_krun *ctx)
{
    const char *path =
        ctx->kernel != NULL ? ctx->kernel : getenv("HUSK_KERNEL");
    if (path == NULL || path[0] == '\0') {
        HK_LOG_E("there is no kernel: name one in HUSK_KERNEL");
        return -HK_ENOENT;
    }
    int rc = husk_vm_set_kernel(vm, path);
    if (rc == 0)
        rc = husk_vm_set_initrd(vm, ctx->initramfs);
    if (rc == 0 && ctx->cmdline != NULL)
        rc = husk_vm_set_cmdline(vm, ctx->cmdline);
    return rc;
}

/* Callers ask for memory without knowing the host: what it has not, the guest
 * could not use either. */
static int set_memory(struct husk_vm *vm, const struct hk_krun *ctx)
{
    uint64_t bytes = (uint64_t)ctx->ram_mib << 20;
    uint64_t most = husk_host_memory();
    if (bytes > most) {
        HK_LOG_W("the host has not %u MiB; the guest gets %u", ctx->ram_mib,
                 (unsigned)(most >> 20));
        bytes = most;
    }
    return husk_vm_set_memory(vm, bytes);
}

/* -HK_ENOENT for want of a kernel; all else is -HK_EINVAL, as in libkrun. */
static int configure(struct husk_vm *vm, const struct hk_krun *ctx)
{
    int rc = check_devices(ctx);
    if (rc == 0)
        rc = husk_vm_set_backend(vm, getenv("HUSK_BACKEND"));
    if (rc == 0)
        rc = husk_vm_set_cpus(vm, ctx->cpus);
    if (rc == 0)
        rc = set_memory(vm, ctx);
    if (rc == 0)
        rc = set_serial(vm, ctx);
    if (rc == 0)
        rc = set_kernel(vm, ctx);
    return rc == 0 || rc == -HK_ENOENT ? rc : -HK_EINVAL;
}

/* ------------------------------------------------------------------ */
/* Running                                                            */

static void name_process(void)
{
    const char *host = getenv("HOSTNAME");
    char name[32];
    (void)snprintf(name, sizeof(name), "VM:%s", host != NULL ? host : "");
    hk_process_set_name(host != NULL ? name : "libkrun VM");
}

static void on_asked(void *opaque)
{
    struct running *run = opaque;
    HK_LOG_I("asked to end the VM");
    (void)husk_vm_stop(run->vm, GRACE_MS);
}

static void on_insisted(void *opaque)
{
    struct running *run = opaque;
    husk_vm_kill(run->vm);
}

static const struct hk_endwatch_events watch_events = {
    .asked = on_asked,
    .insisted = on_insisted,
};

static int exit_status(struct husk_vm *vm)
{
    switch (husk_vm_end_reason(vm)) {
    case HUSK_END_EXIT:
        return husk_vm_end_status(vm);
    case HUSK_END_CRASH:
    case HUSK_END_TRIPLE_FAULT:
    case HUSK_END_FAILED:
        return STATUS_CRASH;
    case HUSK_END_KILLED:
        return STATUS_KILLED;
    case HUSK_END_ESCAPE:
        return STATUS_ESCAPE;
    case HUSK_END_NONE:
    case HUSK_END_POWER_OFF:
    case HUSK_END_RESET:
        break;
    }
    return 0;
}

/* Starts the VM and sees it to its end. */
static int start_and_wait(struct running *run, const struct hk_krun *ctx)
{
    struct hk_endwatch *watch = NULL;
    int rc =
        hk_endwatch_create(ctx->shutdown_event, &watch_events, run, &watch);
    if (rc == -HK_EBUSY)
        rc = 0; /* a second VM of the process: the first one's watch serves */
    if (rc == 0)
        rc = husk_vm_start(run->vm);
    if (rc == 0 && watch != NULL)
        rc = hk_endwatch_start(watch);
    if (rc == 0)
        rc = husk_vm_wait(run->vm, HUSK_FOREVER);
    hk_endwatch_destroy(watch);
    return rc;
}

/* Returns only when the VM could not start, or krun_free_ctx ended it. */
static int run_vm(struct running *run, const struct hk_krun *ctx)
{
    link_running(run);
    int rc = start_and_wait(run, ctx);
    unlink_running(run);
    if (run->is_freed)
        return -HK_ECANCELED;
    if (rc == 0) {
        HK_LOG_I("%s", husk_vm_end_text(run->vm));
        hk_process_exit(exit_status(run->vm));
    }
    return -HK_EINVAL;
}

int32_t krun_start_enter(uint32_t ctx_id)
{
    struct hk_krun *ctx = hk_krun_take(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    struct running run = {.id = ctx_id};
    int rc = husk_vm_create(&run.vm);
    if (rc == 0) {
        name_process();
        hk_process_raise_file_limit();
        rc = configure(run.vm, ctx);
    }
    if (rc == 0)
        rc = run_vm(&run, ctx);
    if (run.vm != NULL && !run.is_freed && husk_vm_error(run.vm)[0] != '\0')
        HK_LOG_E("the VM cannot start: %s", husk_vm_error(run.vm));
    husk_vm_destroy(run.vm);
    hk_krun_free(ctx);
    return rc;
}
