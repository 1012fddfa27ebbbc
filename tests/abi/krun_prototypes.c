/*
 * The prototypes of libkrun, recorded as programs have them compiled in. That
 * this file compiles together with libkrun.h is the test.
 */
#include "libkrun.h"

int32_t krun_add_console_port_inout(uint32_t, uint32_t, const char *, int, int);
int32_t krun_add_console_port_tty(uint32_t, uint32_t, const char *, int);
int32_t krun_add_disk(uint32_t, const char *, const char *, bool);
int32_t krun_add_disk2(uint32_t, const char *, const char *, uint32_t, bool);
int32_t krun_add_disk3(uint32_t, const char *, const char *, uint32_t, bool,
                       bool, uint32_t);
int32_t krun_add_display(uint32_t, uint32_t, uint32_t);
int krun_add_input_device(uint32_t, const void *, size_t, const void *, size_t);
int krun_add_input_device_fd(uint32_t, int);
int32_t krun_add_net_tap(uint32_t, char *, uint8_t *const, uint32_t, uint32_t);
int32_t krun_add_net_tcp(uint32_t, const char *, const uint8_t *, const char *);
int32_t krun_add_net_unixgram(uint32_t, const char *, int, uint8_t *const,
                              uint32_t, uint32_t);
int32_t krun_add_net_unixstream(uint32_t, const char *, int, uint8_t *const,
                                uint32_t, uint32_t);
int32_t krun_add_serial_console_default(uint32_t, int, int);
int32_t krun_add_vhost_user_device(uint32_t, uint32_t, const char *,
                                   const char *, uint16_t, const uint16_t *);
int32_t krun_add_virtio_console_default(uint32_t, int, int, int);
int32_t krun_add_virtio_console_multiport(uint32_t);
int32_t krun_add_virtiofs(uint32_t, const char *, const char *);
int32_t krun_add_virtiofs2(uint32_t, const char *, const char *, uint64_t);
int32_t krun_add_virtiofs3(uint32_t, const char *, const char *, uint64_t,
                           bool);
int32_t krun_add_vsock(uint32_t, uint32_t);
int32_t krun_add_vsock_port(uint32_t, uint32_t, const char *);
int32_t krun_add_vsock_port2(uint32_t, uint32_t, const char *, bool);
int32_t krun_check_nested_virt(void);
int32_t krun_create_ctx(void);
int32_t krun_disable_implicit_console(uint32_t);
int32_t krun_disable_implicit_init(uint32_t);
int32_t krun_disable_implicit_vsock(uint32_t);
int32_t krun_display_set_dpi(uint32_t, uint32_t, uint32_t);
int32_t krun_display_set_edid(uint32_t, uint32_t, const uint8_t *, size_t);
int32_t krun_display_set_physical_size(uint32_t, uint32_t, uint16_t, uint16_t);
int32_t krun_display_set_refresh_rate(uint32_t, uint32_t, uint32_t);
int32_t krun_free_ctx(uint32_t);
int32_t krun_fs_add_overlay_dir(uint32_t, const char *, const char *, uint32_t);
int32_t krun_fs_add_overlay_file(uint32_t, const char *, const char *,
                                 const uint8_t *, size_t, uint32_t, bool);
int32_t krun_get_default_init(const uint8_t **, size_t *);
int32_t krun_get_max_vcpus(void);
int32_t krun_get_shutdown_eventfd(uint32_t);
int32_t krun_has_feature(uint64_t);
int32_t krun_init_log(int, uint32_t, uint32_t, uint32_t);
int32_t krun_set_console_output(uint32_t, const char *);
int32_t krun_set_data_disk(uint32_t, const char *);
int32_t krun_set_display_backend(uint32_t, const void *, size_t);
int32_t krun_set_env(uint32_t, const char *const *);
int32_t krun_set_exec(uint32_t, const char *, const char *const *,
                      const char *const *);
int32_t krun_set_firmware(uint32_t, const char *);
int32_t krun_set_gpu_options(uint32_t, uint32_t);
int32_t krun_set_gpu_options2(uint32_t, uint32_t, uint64_t);
int32_t krun_set_gvproxy_path(uint32_t, char *);
int32_t krun_set_kernel(uint32_t, const char *, uint32_t, const char *,
                        const char *);
int32_t krun_set_kernel_console(uint32_t, const char *);
int32_t krun_set_log_level(uint32_t);
int32_t krun_set_mapped_volumes(uint32_t, const char *const *);
int32_t krun_set_nested_virt(uint32_t, bool);
int32_t krun_set_net_mac(uint32_t, uint8_t *const);
int32_t krun_set_passt_fd(uint32_t, int);
int32_t krun_set_port_map(uint32_t, const char *const *);
int32_t krun_set_rlimits(uint32_t, const char *const *);
int32_t krun_set_root(uint32_t, const char *);
int32_t krun_set_root_disk(uint32_t, const char *);
int32_t krun_set_root_disk_remount(uint32_t, const char *, const char *,
                                   const char *);
int32_t krun_set_smbios_oem_strings(uint32_t, const char *const *);
int32_t krun_set_snd_device(uint32_t, bool);
int32_t krun_set_tee_config_file(uint32_t, const char *);
int32_t krun_set_vm_config(uint32_t, uint8_t, uint32_t);
int32_t krun_set_workdir(uint32_t, const char *);
int32_t krun_setgid(uint32_t, gid_t);
int32_t krun_setuid(uint32_t, uid_t);
int32_t krun_split_irqchip(uint32_t, bool);
int32_t krun_start_enter(uint32_t);
