/*
 * nerdbox: binds its symbols at once, brings its own kernel and a disk with
 * its own init, reads the guest's console from a FIFO, starts on a thread.
 *
 *     nerdbox KERNEL DISK FIFO SOCKET-FOLDER SHARE
 */
#define _GNU_SOURCE
#include "dynamic.h"

#include "libkrun.h"

#include <pthread.h>
#include <signal.h>

static uint32_t id;
static int32_t (*start_enter)(uint32_t ctx_id);

static void bind_everything(void *handle)
{
    static const char *const names[] = {
        "krun_init_log",           "krun_set_log_level",
        "krun_create_ctx",         "krun_free_ctx",
        "krun_set_vm_config",      "krun_set_kernel",
        "krun_set_exec",           "krun_add_disk",
        "krun_add_disk2",          "krun_add_virtiofs3",
        "krun_set_console_output", "krun_add_vsock_port2",
        "krun_add_net_unixstream", "krun_add_net_unixgram",
        "krun_set_gvproxy_path",   "krun_set_net_mac",
        "krun_set_gpu_options",    "krun_get_shutdown_eventfd",
        "krun_start_enter"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)dynamic_find(handle, names[i]);
}

static void *run(void *opaque)
{
    int32_t rc = start_enter(id);
    (void)opaque;
    exit(client_returned(rc));
}

int main(int argc, char **argv)
{
    const char *const args[] = {"-vsock-rpc-port=1025", NULL};
    const char *const env[] = {"PATH=/bin:/sbin", NULL};
    char path[256];
    pthread_t thread;
    if (argc < 6)
        return CLIENT_FAILED;
    void *handle = dlopen("libkrun.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (handle == NULL)
        return CLIENT_FAILED;
    bind_everything(handle);
    FIND(handle, krun_init_log);
    FIND(handle, krun_create_ctx);
    FIND(handle, krun_add_disk2);
    FIND(handle, krun_set_vm_config);
    FIND(handle, krun_add_virtiofs3);
    FIND(handle, krun_set_kernel);
    FIND(handle, krun_set_exec);
    FIND(handle, krun_set_console_output);
    FIND(handle, krun_add_vsock_port2);
    FIND(handle, krun_start_enter);
    start_enter = krun_start_enter_;
    OK(krun_init_log_(2, KRUN_LOG_LEVEL_ERROR, KRUN_LOG_STYLE_AUTO, 0));
    id = (uint32_t)NUMBER(krun_create_ctx_());
    OK(krun_add_disk2_(id, "vmrootfs", argv[2], KRUN_DISK_FORMAT_RAW, true));
    OK(krun_set_vm_config_(id, 2, 512));
    OK(krun_add_virtiofs3_(id, "shared", argv[5], 0, true));
    OK(krun_set_kernel_(id, argv[1], KRUN_KERNEL_FORMAT_ELF, NULL,
                        "console=hvc0 root=/dev/vda ro rootfstype=ext4 quiet "
                        "init=/sbin/vminitd"));
    OK(krun_set_exec_(id, "/sbin/vminitd", args, env));
    OK(krun_set_console_output_(id, argv[3]));
    (void)snprintf(path, sizeof(path), "%s/rpc", argv[4]);
    OK(krun_add_vsock_port2_(id, 1025, path, false));
    (void)snprintf(path, sizeof(path), "%s/stream", argv[4]);
    OK(krun_add_vsock_port2_(id, 1026, path, true));
    if (pthread_create(&thread, NULL, run, NULL) != 0)
        return CLIENT_FAILED;
    (void)pthread_join(thread, NULL);
    return CLIENT_FAILED;
}
