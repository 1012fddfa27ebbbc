/*
 * libkrun's first example: a directory as the root, everything asked for that
 * an example asks for.
 */
#include "client.h"

#include "libkrun.h"

int main(int argc, char **argv)
{
    const char *const env[] = {"TEST=works", NULL};
    const char *const ports[] = {"18000:8000", NULL};
    const char *const rlimits[] = {"6=4096:8192", NULL};
    if (argc < 3)
        return CLIENT_FAILED;
    OK(krun_init_log(KRUN_LOG_TARGET_DEFAULT, KRUN_LOG_LEVEL_ERROR,
                     KRUN_LOG_STYLE_AUTO, 0));
    uint32_t id = (uint32_t)NUMBER(krun_create_ctx());
    OK(krun_set_vm_config(id, 4, 4096));
    OK(krun_set_root(id, argv[1]));
    OK(krun_set_gpu_options(id, 1283));
    OK(krun_set_port_map(id, ports));
    OK(krun_set_rlimits(id, rlimits));
    OK(krun_set_workdir(id, "/"));
    OK(krun_set_exec(id, argv[2], (const char *const *)&argv[3], env));
    OK(krun_split_irqchip(id, false));
    return client_returned(krun_start_enter(id));
}
