/*
 * krunkit: firmware and a disk. There is no firmware here, and the program is
 * told so by the call, not by a VM that does not start; all else is taken.
 *
 *     krunkit DISK SHARE SOCKET-FOLDER
 */
#include "client.h"

#include "libkrun.h"

#include <errno.h>

int main(int argc, char **argv)
{
    uint8_t mac[] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee};
    const char *const oem[] = {"io.systemd.credential:a=b", NULL};
    char path[256];
    if (argc < 4)
        return CLIENT_FAILED;
    OK(krun_init_log(KRUN_LOG_TARGET_DEFAULT, KRUN_LOG_LEVEL_WARN,
                     KRUN_LOG_STYLE_AUTO, 0));
    uint32_t id = (uint32_t)NUMBER(krun_create_ctx());
    GIVES(-ENOTSUP, krun_set_firmware(id, "/usr/share/OVMF/OVMF.fd"));
    OK(krun_set_vm_config(id, 2, 512));
    OK(krun_set_gpu_options2(id, VIRGLRENDERER_VENUS | VIRGLRENDERER_NO_VIRGL,
                             (uint64_t)8 << 30));
    OK(krun_add_disk2(id, "disk", argv[1], KRUN_DISK_FORMAT_RAW, false));
    (void)snprintf(path, sizeof(path), "%s/net", argv[3]);
    GIVES(-ENOTSUP, krun_add_net_unixgram(id, path, -1, mac,
                                          COMPAT_NET_FEATURES, NET_FLAG_VFKIT));
    (void)snprintf(path, sizeof(path), "%s/vsock", argv[3]);
    OK(krun_add_vsock_port2(id, 1024, path, true));
    OK(krun_add_virtiofs(id, "shared", argv[2]));
    OK(krun_set_smbios_oem_strings(id, oem));
    if (NUMBER(krun_check_nested_virt()) == 1)
        OK(krun_set_nested_virt(id, true));
    (void)NUMBER(krun_get_shutdown_eventfd(id));
    return krun_start_enter(id) < 0 ? 0 : CLIENT_FAILED;
}
