/*
 * boxlite: limits, shares, disks, then the root either a directory or a disk;
 * two vsock ports; the console in a file.
 *
 *     boxlite share ROOT SHARE SOCKET-FOLDER OUTPUT COMMAND [ARG...]
 *     boxlite disk IMAGE SHARE SOCKET-FOLDER OUTPUT COMMAND [ARG...]
 */
#include "client.h"

#include "libkrun.h"

enum { MODE = 1, ROOT, SHARE, SOCKETS, OUTPUT, COMMAND };

int main(int argc, char **argv)
{
    const char *const rlimits[] = {"7=1024:2048", "6=4096:8192", NULL};
    const char *const env[] = {"TEST=from boxlite", NULL};
    char path[256];
    if (argc < COMMAND + 1)
        return CLIENT_FAILED;
    int on_disk = strcmp(argv[MODE], "disk") == 0;
    OK(krun_init_log(KRUN_LOG_TARGET_DEFAULT, KRUN_LOG_LEVEL_ERROR,
                     KRUN_LOG_STYLE_NEVER, 0));
    uint32_t id = (uint32_t)NUMBER(krun_create_ctx());
    OK(krun_set_vm_config(id, 2, 512));
    OK(krun_set_rlimits(id, rlimits));
    OK(krun_add_virtiofs(id, "shared", argv[SHARE]));
    if (on_disk) {
        OK(krun_add_disk2(id, "rootfs", argv[ROOT], KRUN_DISK_FORMAT_RAW,
                          false));
        OK(krun_set_root_disk_remount(id, "/dev/vda", "ext4", NULL));
    } else {
        OK(krun_set_root(id, argv[ROOT]));
    }
    OK(krun_set_workdir(id, "/tmp"));
    OK(krun_set_exec(id, argv[COMMAND], (const char *const *)&argv[COMMAND + 1],
                     env));
    (void)snprintf(path, sizeof(path), "%s/agent", argv[SOCKETS]);
    OK(krun_add_vsock_port2(id, 2695, path, true));
    (void)snprintf(path, sizeof(path), "%s/ready", argv[SOCKETS]);
    OK(krun_add_vsock_port2(id, 2696, path, false));
    OK(krun_set_console_output(id, argv[OUTPUT]));
    return client_returned(krun_start_enter(id));
}
