/*
 * muvm: the host's own root, a second share, 200 ports that are registered
 * and not connected, and the command in a file that KRUN_CONFIG names.
 *
 *     muvm ROOT CONFIG-IN-ROOT SOCKET-FOLDER
 */
#include "client.h"

#include "libkrun.h"

#include <errno.h>

int main(int argc, char **argv)
{
    char config[256], path[256];
    const char *const env[] = {config, NULL};
    if (argc < 4)
        return CLIENT_FAILED;
    (void)snprintf(config, sizeof(config), "KRUN_CONFIG=%s", argv[2]);
    OK(krun_set_log_level(0));
    uint32_t id = (uint32_t)NUMBER(krun_create_ctx());
    OK(krun_set_vm_config(id, 2, 512));
    OK(krun_set_gpu_options2(id,
                             VIRGLRENDERER_USE_EGL | VIRGLRENDERER_DRM |
                                 VIRGLRENDERER_THREAD_SYNC |
                                 VIRGLRENDERER_USE_ASYNC_FENCE_CB,
                             (uint64_t)4 << 30));
    OK(krun_set_root(id, argv[1]));
    OK(krun_add_virtiofs2(id, "devshm", "/dev/shm/", 512 << 20));
    /* There are no network cards yet. */
    GIVES(-ENOTSUP, krun_set_passt_fd(id, 0));
    for (uint32_t port = 50000; port < 50200; port++) {
        (void)snprintf(path, sizeof(path), "%s/port-%u", argv[3], port);
        OK(krun_add_vsock_port(id, port, path));
    }
    (void)snprintf(path, sizeof(path), "%s/control", argv[3]);
    OK(krun_add_vsock_port2(id, 3334, path, true));
    OK(krun_set_workdir(id, "/tmp"));
    OK(krun_set_env(id, env));
    return client_returned(krun_start_enter(id));
}
