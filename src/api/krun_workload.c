/*
 * krun_*: what runs in the guest.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "os/process.h"

#include <stdlib.h>

/* NULL stands for the host's environment at this moment. */
static int copy_env(const char *const envp[], hk_krun_strings *out)
{
    return hk_krun_copy_array(envp != NULL ? envp : hk_process_environment(),
                              out);
}

int32_t krun_set_exec(uint32_t ctx_id, const char *exec_path,
                      const char *const argv[], const char *const envp[])
{
    char *exec = NULL;
    hk_krun_strings args = NULL, env = NULL;
    struct hk_krun *ctx = NULL;
    int rc = hk_krun_copy_text(exec_path, &exec);
    if (rc == 0 && argv != NULL)
        rc = hk_krun_copy_array(argv, &args);
    if (rc == 0)
        rc = copy_env(envp, &env);
    if (rc == 0) {
        ctx = hk_krun_begin(ctx_id);
        rc = ctx != NULL ? 0 : -HK_ENOENT;
    }
    if (ctx != NULL) {
        char *old_exec = ctx->exec;
        hk_krun_strings old_args = ctx->args, old_env = ctx->env;
        ctx->exec = exec;
        ctx->args = args;
        ctx->env = env;
        hk_krun_end();
        exec = old_exec;
        args = old_args;
        env = old_env;
    }
    free(exec);
    hk_krun_strings_free(args);
    hk_krun_strings_free(env);
    return rc;
}

int32_t krun_set_env(uint32_t ctx_id, const char *const envp[])
{
    hk_krun_strings copy = NULL;
    int rc = copy_env(envp, &copy);
    return hk_krun_set_strings(ctx_id, rc, copy, HK_KRUN_SLOT(env));
}

int32_t krun_set_workdir(uint32_t ctx_id, const char *workdir_path)
{
    char *copy = NULL;
    int rc = hk_krun_copy_text(workdir_path, &copy);
    return hk_krun_set_text(ctx_id, rc, copy, HK_KRUN_SLOT(workdir));
}

int32_t krun_set_rlimits(uint32_t ctx_id, const char *const rlimits[])
{
    hk_krun_strings copy = NULL;
    int rc = hk_krun_copy_array(rlimits, &copy);
    return hk_krun_set_strings(ctx_id, rc, copy, HK_KRUN_SLOT(rlimits));
}
