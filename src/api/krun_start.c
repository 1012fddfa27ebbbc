/*
 * krun_start_enter: a context becomes a VM of husk.h and takes the process
 * over.
 */
#define HK_LOG_TAG "krun"
#include "libkrun.h"

#include "api/husk_int.h"
#include "api/krun_int.h"
#include "base/lock.h"
#include "base/log.h"
#include "os/endwatch.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GRACE_MS = 10000, /* from SIGTERM to the end at the latest */

    /* The process's status where the workload gave none. */
    STATUS_CRASH = 1,    /* of a guest with an init of its own */
    STATUS_SETUP = 125,  /* the same where a workload was to run */
    STATUS_ESCAPE = 130, /* as if by SIGINT */
    STATUS_KILLED = 137, /* as if by SIGKILL */
};

/* A VM that krun_start_enter runs, until the process ends. */
struct running {
    struct running *next;
    uint32_t id;
    const struct hk_krun *ctx;
    struct husk_vm *vm;
    bool is_freed; /* by krun_free_ctx */
    int user_rc;   /* of the change of user and group */
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
    (void)husk_vm_ask_stop(run->vm, GRACE_MS);
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
    bool has_init = vm->parts.root.kind != HK_VM_ROOT_NONE;
    switch (husk_vm_end_reason(vm)) {
    case HUSK_END_EXIT:
        return husk_vm_end_status(vm);
    case HUSK_END_CRASH:
    case HUSK_END_TRIPLE_FAULT:
    case HUSK_END_FAILED:
        return has_init ? STATUS_SETUP : STATUS_CRASH;
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
static int start_and_wait(struct running *run)
{
    struct hk_endwatch *watch = NULL;
    int rc = hk_endwatch_create(run->ctx->shutdown_event, &watch_events, run,
                                &watch);
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

/* Called once disks are open. */
static int change_user(void *opaque, struct hk_errmsg *err)
{
    struct running *run = opaque;
    const struct hk_krun *ctx = run->ctx;
    run->user_rc = hk_process_set_ids(ctx->has_uid ? &ctx->uid : NULL,
                                      ctx->has_gid ? &ctx->gid : NULL);
    if (run->user_rc == 0)
        return 0;
    return hk_err_set(err, run->user_rc, "cannot become user %u, group %u: %s",
                      ctx->uid, ctx->gid, hk_err_text(run->user_rc));
}

/* Returns only when the VM did not start, or krun_free_ctx ended it. */
static int run_vm(struct running *run)
{
    run->vm->config.change_user = change_user;
    run->vm->config.change_user_opaque = run;
    run->vm->config.no_end_key = true;
    link_running(run);
    int rc = start_and_wait(run);
    unlink_running(run);
    if (run->is_freed)
        return -HK_ECANCELED;
    if (rc == 0) {
        HK_LOG_I("%s", husk_vm_end_text(run->vm));
        hk_process_exit(exit_status(run->vm));
    }
    /* libkrun has no more codes for a VM that does not start. */
    return run->user_rc != 0 ? run->user_rc : -HK_EINVAL;
}

static int build_and_run(struct running *run)
{
    int output = -1;
    int rc = hk_krun_build(run->ctx, run->vm, &output);
    if (rc == 0)
        rc = run_vm(run);
    if (rc != -HK_ECANCELED)
        HK_LOG_E("the VM cannot start: %s", husk_vm_error(run->vm));
    hk_process_close(output);
    return rc;
}

int32_t krun_start_enter(uint32_t ctx_id)
{
    struct hk_krun *ctx = hk_krun_take(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    struct running run = {.id = ctx_id, .ctx = ctx};
    int rc = husk_vm_create(&run.vm);
    if (rc == 0) {
        name_process();
        hk_process_raise_file_limit();
        rc = build_and_run(&run);
    }
    husk_vm_destroy(run.vm);
    hk_krun_free(ctx);
    return rc;
}
