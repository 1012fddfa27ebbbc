/*
 * krunvm: an unpacked image as the root, ports of the host for those of the
 * guest; with a command its arguments, without one only an environment.
 */
#include "client.h"

#include "libkrun.h"

int main(int argc, char **argv)
{
    const char *const ports[] = {"18000:8000", "18001:8001", NULL};
    const char *const env[] = {"HOSTNAME=krunvm", "HOME=/root",
                               "TEST=from krunvm", NULL};
    if (argc < 2)
        return CLIENT_FAILED;
    uint32_t id = (uint32_t)NUMBER(krun_create_ctx());
    OK(krun_set_vm_config(id, 2, 256));
    OK(krun_set_root(id, argv[1]));
    OK(krun_set_port_map(id, ports));
    OK(krun_set_workdir(id, "/root"));
    if (argc > 2)
        OK(krun_set_exec(id, argv[2], (const char *const *)&argv[3], env));
    else
        OK(krun_set_env(id, env));
    return client_returned(krun_start_enter(id));
}
