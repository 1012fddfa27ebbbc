/*
 * The kernel command line as libkrun composes it, for guests whose first
 * program is not started by us: their own init, or ours on a first file
 * system of theirs. It carries the workload: settings and environment as
 * KEY=VALUE words, which the kernel hands to init as its environment, and
 * arguments after "--".
 */
#include "api/krun_int.h"

#define HK_LOG_TAG "krun"
#include "base/log.h"
#include "boot/cmdline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stands first when krun_set_kernel gave nothing. */
static const char prolog[] =
    "reboot=k panic=-1 panic_print=0 console=hvc0 rootfstype=virtiofs rw "
    "quiet init=/init.krun";

/* One word of the environment. What a command line cannot carry is left out:
 * it may well be the caller's own environment, of which nobody has thought. */
static int add_env(struct hk_cmdline *line, const char *assignment,
                   struct hk_errmsg *err)
{
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment)
        return 0; /* nothing that a kernel could hand on */
    char *key = strndup(assignment, (size_t)(equals - assignment));
    if (key == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    int rc = hk_cmdline_add_value(line, key, equals + 1, err);
    if (rc == -HK_EINVAL) {
        HK_LOG_W("the command line cannot carry the variable %s: %s", key,
                 err->text);
        rc = 0;
    }
    free(key);
    return rc;
}

static int add_optional(struct hk_cmdline *line, const char *key,
                        const char *value, struct hk_errmsg *err)
{
    return value != NULL ? hk_cmdline_add_value(line, key, value, err) : 0;
}

static int add_rlimits(struct hk_cmdline *line, const hk_krun_strings rlimits,
                       struct hk_errmsg *err)
{
    size_t len = 0;
    if (rlimits == NULL || rlimits[0] == NULL)
        return 0;
    for (size_t i = 0; rlimits[i] != NULL; i++)
        len += strlen(rlimits[i]) + 1;
    char *text = calloc(1, len + 1);
    if (text == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    for (size_t i = 0, at = 0; rlimits[i] != NULL; i++)
        at += (size_t)snprintf(text + at, len + 1 - at, "%s%s",
                               i != 0 ? "," : "", rlimits[i]);
    int rc = hk_cmdline_add_value(line, "KRUN_RLIMITS", text, err);
    free(text);
    return rc;
}

static int add_workload(struct hk_cmdline *line, const struct hk_krun *ctx,
                        struct hk_errmsg *err)
{
    int rc = add_optional(line, "KRUN_INIT", ctx->exec, err);
    if (rc == 0)
        rc = add_optional(line, "KRUN_WORKDIR", ctx->workdir, err);
    if (rc == 0)
        rc =
            add_optional(line, "KRUN_BLOCK_ROOT_DEVICE", ctx->root_device, err);
    if (rc == 0)
        rc = add_optional(line, "KRUN_BLOCK_ROOT_FSTYPE", ctx->root_type, err);
    if (rc == 0)
        rc = add_optional(line, "KRUN_BLOCK_ROOT_OPTIONS", ctx->root_options,
                          err);
    if (rc == 0)
        rc = add_rlimits(line, ctx->rlimits, err);
    for (size_t i = 0; rc == 0 && ctx->env != NULL && ctx->env[i] != NULL; i++)
        rc = add_env(line, ctx->env[i], err);
    return rc;
}

int hk_krun_compose_cmdline(const struct hk_krun *ctx, char **out,
                            struct hk_errmsg *err)
{
    struct hk_cmdline line;
    int rc = hk_cmdline_init(&line, HK_CMDLINE_MAX);
    if (rc != 0)
        return hk_err_set(err, rc, "out of memory");
    rc = hk_cmdline_add(&line, ctx->cmdline != NULL ? ctx->cmdline : prolog,
                        err);
    if (rc == 0)
        rc = add_workload(&line, ctx, err);
    if (rc == 0 && ctx->kernel_console != NULL)
        rc = hk_cmdline_set(&line, "console", ctx->kernel_console, err);
    for (size_t i = 0; rc == 0 && ctx->args != NULL && ctx->args[i] != NULL;
         i++)
        rc = hk_cmdline_add_arg(&line, ctx->args[i], err);
    if (rc == 0) {
        *out = line.text; /* the buffer is the caller's now */
        return 0;
    }
    hk_cmdline_fini(&line);
    return rc;
}
