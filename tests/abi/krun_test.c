/*
 * Each krun_* call: its errors, and what it remembers as far as another call
 * tells.
 */
#include "hk_test.h"

#include "libkrun.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NO_CONTEXT = 0x7fffffff };

static const char bad_text[] = "\xc3\x28"; /* not UTF-8 */
static uint8_t mac[6] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee};
static const char *const nothing[] = {NULL};
static const char *const bad_array[] = {"good", bad_text, NULL};

static uint32_t new_context(void)
{
    int32_t id = krun_create_ctx();
    assert_true(id >= 0);
    return (uint32_t)id;
}

/* ------------------------------------------------------------------ */
/* Contexts                                                           */

static void ids_begin_at_0_and_are_never_used_again(void **state)
{
    (void)state;
    assert_int_equal(krun_create_ctx(), 0);
    assert_int_equal(krun_free_ctx(0), 0);
    assert_int_equal(krun_create_ctx(), 1);
    assert_int_equal(krun_create_ctx(), 2);
    assert_int_equal(krun_free_ctx(2), 0);
    assert_int_equal(krun_create_ctx(), 3);
    assert_int_equal(krun_free_ctx(1), 0);
    assert_int_equal(krun_free_ctx(3), 0);
    assert_int_equal(krun_free_ctx(3), -ENOENT);
}

/* Every call that takes a context, with arguments that are right. */
#define GOOD_CALLS(id)                                                       \
    krun_free_ctx(id), krun_start_enter(id), krun_set_vm_config(id, 1, 128), \
        krun_set_nested_virt(id, true), krun_split_irqchip(id, true),        \
        krun_set_smbios_oem_strings(id, nothing), krun_setuid(id, 0),        \
        krun_setgid(id, 0), krun_get_shutdown_eventfd(id),                   \
        krun_set_kernel(id, "k", KRUN_KERNEL_FORMAT_ELF, NULL, NULL),        \
        krun_set_firmware(id, "f"), krun_set_tee_config_file(id, "t"),       \
        krun_set_kernel_console(id, "hvc0"),                                 \
        krun_set_exec(id, "/bin/sh", NULL, NULL), krun_set_env(id, NULL),    \
        krun_set_workdir(id, "/"), krun_set_rlimits(id, nothing),            \
        krun_set_root(id, "/"), krun_add_virtiofs(id, "t", "/"),             \
        krun_add_virtiofs2(id, "t", "/", 1),                                 \
        krun_add_virtiofs3(id, "t", NULL, 0, true),                          \
        krun_disable_implicit_init(id),                                      \
        krun_fs_add_overlay_file(id, "t", "f", NULL, 0, 0, false),           \
        krun_fs_add_overlay_dir(id, "t", "d", 0),                            \
        krun_add_disk(id, "d", "p", true),                                   \
        krun_add_disk2(id, "d", "p", KRUN_DISK_FORMAT_QCOW2, true),          \
        krun_add_disk3(id, "d", "p", KRUN_DISK_FORMAT_VMDK, true, true,      \
                       KRUN_SYNC_NONE),                                      \
        krun_set_root_disk(id, "p"), krun_set_data_disk(id, "p"),            \
        krun_set_root_disk_remount(id, "/dev/vda", NULL, NULL),              \
        krun_add_net_unixstream(id, NULL, 5, mac, 0, 0),                     \
        krun_add_net_unixgram(id, "p", -1, mac, COMPAT_NET_FEATURES,         \
                              NET_FLAG_VFKIT),                               \
        krun_add_net_tap(id, tap_name, mac, 0, NET_FLAG_DHCP_CLIENT),        \
        krun_add_net_tcp(id, "eth0", mac, NULL), krun_set_passt_fd(id, 5),   \
        krun_set_gvproxy_path(id, tap_name), krun_set_net_mac(id, mac),      \
        krun_disable_implicit_vsock(id), krun_add_vsock(id, 0),              \
        krun_add_vsock_port(id, 1, "p"),                                     \
        krun_add_vsock_port2(id, 1, "no such file", true),                   \
        krun_set_port_map(id, nothing), krun_disable_implicit_console(id),   \
        krun_set_console_output(id, "p"),                                    \
        krun_add_virtio_console_default(id, -1, -1, -1),                     \
        krun_add_serial_console_default(id, -1, -1),                         \
        krun_add_virtio_console_multiport(id),                               \
        krun_add_console_port_tty(id, 0, "n", tty),                          \
        krun_add_console_port_inout(id, 0, NULL, -1, -1),                    \
        krun_set_gpu_options(id, 0), krun_set_gpu_options2(id, 0, 0),        \
        krun_set_snd_device(id, false), krun_set_snd_device(id, true)

static void an_unknown_context_is_enoent_everywhere(void **state)
{
    char tap_name[] = "tap0";
    int master = -1, tty = -1;
    (void)state;
    assert_int_equal(openpty(&master, &tty, NULL, NULL, NULL), 0);
    int32_t results[] = {GOOD_CALLS(NO_CONTEXT)};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        if (results[i] != -ENOENT)
            fail_msg("call %zu of the list gave %d", i, results[i]);
    close(master);
    close(tty);
}

/* The same calls with one argument that is wrong, on no context at all. */
static void arguments_are_judged_before_the_context(void **state)
{
    uint32_t id = NO_CONTEXT;
    char bad[] = "\xff", good[] = "x";
    uint8_t many[6] = {0x01, 0, 0, 0, 0, 1};
    const char *const not_a_map[] = {"80", NULL};
    (void)state;
    int32_t results[] = {
        krun_set_vm_config(id, 0, 128),
        krun_set_vm_config(id, 1, 0),
        krun_set_smbios_oem_strings(id, NULL),
        krun_set_smbios_oem_strings(id, bad_array),
        krun_set_kernel(id, NULL, 1, NULL, NULL),
        krun_set_kernel(id, bad_text, 1, NULL, NULL),
        krun_set_kernel(id, "k", 6, NULL, NULL),
        krun_set_kernel(id, "k", 1, "no such file", NULL),
        krun_set_kernel(id, "k", 1, NULL, bad_text),
        krun_set_kernel(id, "no such file", 0, NULL, NULL),
        krun_set_kernel(id, "/", 0, NULL, NULL),
        krun_set_firmware(id, bad_text),
        krun_set_firmware(id, NULL),
        krun_set_tee_config_file(id, bad_text),
        krun_set_kernel_console(id, bad_text),
        krun_set_exec(id, NULL, NULL, NULL),
        krun_set_exec(id, bad_text, NULL, NULL),
        krun_set_exec(id, "x", bad_array, NULL),
        krun_set_exec(id, "x", NULL, bad_array),
        krun_set_env(id, bad_array),
        krun_set_workdir(id, NULL),
        krun_set_workdir(id, bad_text),
        krun_set_rlimits(id, NULL),
        krun_set_rlimits(id, bad_array),
        krun_set_root(id, NULL),
        krun_set_root(id, bad_text),
        krun_add_virtiofs(id, NULL, "/"),
        krun_add_virtiofs(id, "t", bad_text),
        krun_add_virtiofs2(id, bad_text, "/", 0),
        krun_add_virtiofs3(id, NULL, "/", 0, false),
        krun_set_mapped_volumes(id, nothing),
        krun_fs_add_overlay_file(id, NULL, "f", NULL, 0, 0, false),
        krun_fs_add_overlay_file(id, "t", NULL, NULL, 0, 0, false),
        krun_fs_add_overlay_file(id, "t", "f", NULL, 1, 0, false),
        krun_fs_add_overlay_file(id, "t", "", NULL, 0, 0, false),
        krun_fs_add_overlay_dir(id, NULL, "d", 0),
        krun_fs_add_overlay_dir(id, "t", NULL, 0),
        krun_fs_add_overlay_dir(id, "t", "d/", 0),
        krun_add_disk(id, NULL, "p", false),
        krun_add_disk(id, "d", bad_text, false),
        krun_add_disk2(id, "d", "p", 3, false),
        krun_add_disk3(id, "d", "p", 3, false, false, 0),
        krun_add_disk3(id, "d", "p", 0, false, false, 3),
        krun_set_root_disk(id, NULL),
        krun_set_data_disk(id, bad_text),
        krun_set_root_disk_remount(id, NULL, NULL, NULL),
        krun_set_root_disk_remount(id, "/dev/vda", bad_text, NULL),
        krun_add_net_unixstream(id, NULL, -1, mac, 0, 0),
        krun_add_net_unixstream(id, "p", 5, mac, 0, 0),
        krun_add_net_unixstream(id, "p", -1, NULL, 0, 0),
        krun_add_net_unixstream(id, "p", -1, many, 0, 0),
        krun_add_net_unixstream(id, "p", -1, mac, 1 << 2, 0),
        krun_add_net_unixstream(id, "p", -1, mac, 0, NET_FLAG_VFKIT),
        krun_add_net_unixgram(id, bad_text, -1, mac, 0, 0),
        krun_add_net_unixgram(id, "p", -1, mac, 0, 4),
        krun_add_net_tap(id, bad, mac, 0, 0),
        krun_add_net_tap(id, good, mac, NET_FEATURE_GUEST_TSO4, 0),
        krun_add_net_tap(id, good, mac, NET_FEATURE_GUEST_TSO6, 0),
        krun_add_net_tap(id, good, mac, NET_FEATURE_GUEST_UFO, 0),
        krun_add_net_tcp(id, NULL, mac, NULL),
        krun_add_net_tcp(id, "eth0", NULL, NULL),
        krun_add_net_tcp(id, "eth0", mac, "host"),
        krun_add_net_tcp(id, "eth0", mac, "host:0"),
        krun_add_net_tcp(id, "eth0", mac, "host:65536"),
        krun_add_net_tcp(id, "eth0", mac, "host:80x"),
        krun_add_net_tcp(id, "eth0", mac, ":80"),
        krun_add_net_tcp(id, "eth0", mac, "::1:80"),
        krun_set_passt_fd(id, -1),
        krun_set_gvproxy_path(id, bad),
        krun_set_net_mac(id, NULL),
        krun_add_vsock(id, 4),
        krun_add_vsock_port(id, 1, NULL),
        krun_add_vsock_port2(id, 1, bad_text, true),
        krun_set_port_map(id, NULL),
        krun_set_port_map(id, not_a_map),
        krun_set_console_output(id, NULL),
        krun_set_console_output(id, bad_text),
        krun_add_console_port_tty(id, 0, "n", -1),
        krun_add_console_port_inout(id, 0, bad_text, -1, -1),
    };
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        if (results[i] != -EINVAL)
            fail_msg("call %zu of the list gave %d", i, results[i]);
}

static void utf8_is_well_formed_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2x",
                                      "\xe0\x9f\xbf",
                                      "\xe1\x80",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf1\x80\x80",
                                      "\xff"};
    uint32_t id = new_context();
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(krun_set_workdir(id, good[i]), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(krun_set_workdir(id, bad[i]), -EINVAL);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void arrays_count_up_to_4096_strings(void **state)
{
    enum { MAX = 4096 };
    static const char *array[MAX + 2];
    uint32_t id = new_context();
    (void)state;
    for (int i = 0; i < MAX; i++)
        array[i] = "A=B";
    array[MAX] = bad_text; /* beyond what is looked at */
    assert_int_equal(krun_set_exec(id, "/bin/sh", array, array), 0);
    assert_int_equal(krun_set_env(id, array), 0);
    assert_int_equal(krun_set_rlimits(id, array), 0);
    array[MAX - 1] = bad_text;
    assert_int_equal(krun_set_exec(id, "/bin/sh", array, nothing), -EINVAL);
    assert_int_equal(krun_free_ctx(id), 0);
}

static int count_entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void
filling_a_context_starts_no_thread_and_keeps_no_descriptor(void **state)
{
    int threads = count_entries("/proc/self/task");
    int descriptors = count_entries("/proc/self/fd");
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_set_vm_config(id, 4, 4096), 0);
    assert_int_equal(krun_set_root(id, "/"), 0);
    assert_int_equal(krun_add_disk(id, "d", "/dev/null", true), 0);
    assert_int_equal(krun_set_kernel(id, "/proc/self/exe", 0, NULL, NULL), 0);
    for (uint32_t port = 50000; port < 50200; port++)
        assert_int_equal(krun_add_vsock_port(id, port, "/run/socket"), 0);
    assert_int_equal(krun_set_console_output(id, "/dev/null"), 0);
    assert_int_equal(krun_add_virtio_console_default(id, 0, 1, 2), 0);
    assert_int_equal(count_entries("/proc/self/task"), threads);
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_int_equal(krun_free_ctx(id), 0);
}

/* ------------------------------------------------------------------ */
/* Machine and kernel                                                 */

static void features_are_told_for_known_numbers_only(void **state)
{
    static const uint64_t known[] = {0, 1, 2, 4, 6, 7, 8, 9, 10, 11};
    static const uint64_t unknown[] = {3, 5, 12, 255, UINT64_MAX};
    static const uint64_t absent[] = {
        KRUN_FEATURE_NET,       KRUN_FEATURE_GPU,
        KRUN_FEATURE_INPUT,     KRUN_FEATURE_TEE,
        KRUN_FEATURE_AMD_SEV,   KRUN_FEATURE_INTEL_TDX,
        KRUN_FEATURE_AWS_NITRO, KRUN_FEATURE_VIRGL_RESOURCE_MAP2};
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_in_range(krun_has_feature(known[i]), 0, 1);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(krun_has_feature(unknown[i]), -EINVAL);
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_int_equal(krun_has_feature(absent[i]), 0);
}

static void the_init_is_there_when_the_feature_says_so(void **state)
{
    const uint8_t *init = NULL;
    size_t size = 0;
    (void)state;
    assert_int_equal(krun_get_default_init(NULL, &size), -EINVAL);
    assert_int_equal(krun_get_default_init(&init, NULL), -EINVAL);
    int32_t rc = krun_get_default_init(&init, &size);
    if (krun_has_feature(KRUN_FEATURE_INIT_BLOB) == 1) {
        assert_int_equal(rc, 0);
        assert_true(size > 1024);
        assert_memory_equal(init, "\177ELF\2\1", 6);
    } else {
        assert_int_equal(rc, -ENOTSUP);
    }
}

static void machine_settings_are_taken(void **state)
{
    const char *const oem[] = {"a", "b", NULL};
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_set_vm_config(id, 255, UINT32_MAX), 0);
    assert_int_equal(krun_set_nested_virt(id, true), 0);
    assert_int_equal(krun_split_irqchip(id, true), 0);
    assert_int_equal(krun_split_irqchip(id, false), 0);
    assert_int_equal(krun_set_smbios_oem_strings(id, oem), 0);
    assert_int_equal(krun_set_smbios_oem_strings(id, nothing), 0);
    assert_int_equal(krun_setuid(id, 1000), 0);
    assert_int_equal(krun_setgid(id, 1000), 0);
    assert_in_range(krun_get_max_vcpus(), 1, 254);
    assert_in_range(krun_check_nested_virt(), 0, 1);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void the_shutdown_event_is_one_descriptor_till_the_end(void **state)
{
    uint32_t id = new_context();
    uint64_t one = 1;
    (void)state;
    int event = krun_get_shutdown_eventfd(id);
    assert_true(event > 2);
    assert_int_equal(krun_get_shutdown_eventfd(id), event);
    assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
    assert_int_equal(krun_free_ctx(id), 0);
    assert_int_equal(fcntl(event, F_GETFD), -1);
}

static void kernels_are_taken_and_firmware_is_not(void **state)
{
    uint32_t id = new_context();
    (void)state;
    for (uint32_t format = 1; format <= 5; format++)
        assert_int_equal(
            krun_set_kernel(id, "no such file", format, NULL, "a=b"), 0);
    assert_int_equal(krun_set_kernel(id, "/proc/self/exe", 0, NULL, NULL), 0);
    assert_int_equal(krun_set_kernel(id, "k", 1, "/proc/self/exe", ""), 0);
    assert_int_equal(krun_set_kernel_console(id, "ttyS0"), 0);
    assert_int_equal(krun_set_firmware(id, "f"), -ENOTSUP);
    assert_int_equal(krun_set_tee_config_file(id, "f"), -ENOTSUP);
    assert_int_equal(krun_free_ctx(id), 0);
}

/* ------------------------------------------------------------------ */
/* Files and disks                                                    */

static void shares_with_long_tags_are_refused(void **state)
{
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(
        krun_add_virtiofs(id, "123456789012345678901234567890123456", "/"), 0);
    assert_int_equal(
        krun_add_virtiofs(id, "1234567890123456789012345678901234567", "/"),
        -EINVAL);
    assert_int_equal(krun_set_root(id, "/"), 0);
    assert_int_equal(krun_set_root(id, "/"), 0);
    assert_int_equal(krun_add_virtiofs2(id, "devshm", "/dev/shm/", 512 << 20),
                     0);
    assert_int_equal(krun_set_mapped_volumes(id, nothing), -EINVAL);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void overlays_need_their_share_and_their_parents(void **state)
{
    static const uint8_t data[] = "data";
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_fs_add_overlay_dir(id, "t", "d", 0755), -ENOENT);
    assert_int_equal(krun_add_virtiofs3(id, "t", NULL, 0, false), 0);
    assert_int_equal(krun_fs_add_overlay_dir(id, "t", "/d", 0755), 0);
    assert_int_equal(krun_fs_add_overlay_dir(id, "t", "d/e", 0755), 0);
    assert_int_equal(
        krun_fs_add_overlay_file(id, "t", "/d/e/f", data, 4, 0444, true), 0);
    assert_int_equal(
        krun_fs_add_overlay_file(id, "t", "d/e/f", data, 4, 0444, true), 0);
    assert_int_equal(
        krun_fs_add_overlay_file(id, "t", "d/x/f", data, 4, 0444, true),
        -ENOENT);
    assert_int_equal(
        krun_fs_add_overlay_file(id, "t", "d/e/f/g", data, 4, 0444, true),
        -ENOTDIR);
    assert_int_equal(krun_fs_add_overlay_dir(id, "t", "d//x", 0755), -ENOENT);
    assert_int_equal(krun_fs_add_overlay_dir(id, "t", "/", 0755), -EINVAL);
    assert_int_equal(krun_fs_add_overlay_dir(id, "t", "d/..", 0755), -EINVAL);
    assert_int_equal(krun_fs_add_overlay_dir(id, "t", "./d", 0755), -EINVAL);
    assert_int_equal(
        krun_fs_add_overlay_file(id, "t", "empty", NULL, 0, 0444, false), 0);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void a_root_disk_needs_a_disk_and_no_root_share(void **state)
{
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_set_root_disk(id, "p"), 0);
    assert_int_equal(krun_set_root_disk_remount(id, "/dev/vda", "ext4", NULL),
                     -EINVAL);
    assert_int_equal(krun_add_disk(id, "d", "p", false), 0);
    assert_int_equal(krun_set_root_disk_remount(id, "/dev/vda", "ext4", "ro"),
                     0);
    assert_int_equal(krun_set_root_disk_remount(id, "/dev/vda", "ext4", NULL),
                     -EINVAL);
    /* It stands in for a share, which can be added to. */
    assert_int_equal(krun_fs_add_overlay_dir(id, KRUN_FS_ROOT_TAG, "d", 0755),
                     0);
    assert_int_equal(krun_free_ctx(id), 0);

    id = new_context();
    assert_int_equal(krun_add_disk(id, "d", "p", false), 0);
    assert_int_equal(krun_set_root(id, "/"), 0);
    assert_int_equal(krun_set_root_disk_remount(id, "/dev/vda", NULL, NULL),
                     -EINVAL);
    assert_int_equal(krun_free_ctx(id), 0);
}

/* ------------------------------------------------------------------ */
/* vsock                                                              */

static void one_vsock_device_is_the_most(void **state)
{
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_add_vsock(id, 0), -EEXIST); /* the implicit one */
    assert_int_equal(krun_disable_implicit_vsock(id), 0);
    assert_int_equal(krun_add_vsock_port(id, 1, "p"), -ENODEV);
    assert_int_equal(krun_add_vsock_port2(id, 1, "p", true), -ENODEV);
    assert_int_equal(krun_set_port_map(id, nothing), -ENODEV);
    assert_int_equal(
        krun_add_vsock(id, KRUN_TSI_HIJACK_INET | KRUN_TSI_HIJACK_UNIX), 0);
    assert_int_equal(krun_add_vsock(id, 0), -EEXIST);
    assert_int_equal(krun_add_vsock_port(id, 1, "p"), 0);
    assert_int_equal(krun_add_vsock_port(id, 1, "q"), 0);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void listening_refuses_a_path_that_is_taken(void **state)
{
    char folder[] = "krun_test.XXXXXX", path[64];
    uint32_t id = new_context();
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    assert_int_equal(krun_add_vsock_port2(id, 1, path, true), 0);
    assert_int_equal(krun_add_vsock_port2(id, 1, folder, true), -EEXIST);
    assert_int_equal(krun_add_vsock_port2(id, 1, folder, false), 0);
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(krun_add_vsock_port2(id, 1, path, true), -EEXIST);
    /* A file is no directory: that cannot be told. */
    (void)snprintf(path, sizeof(path), "%s/file/socket", folder);
    assert_int_equal(krun_add_vsock_port2(id, 1, path, true), -EINVAL);
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void port_maps_have_each_port_once(void **state)
{
    static const char *const bad[] = {
        "80",    ":80", "80:",      "80:80:80", "a:80",   "80:a",
        "-1:80", "",    "80:65536", "65536:80", " 80:80", "80:80 ",
    };
    const char *const good[] = {"18000:8000", "0:0", "65535:65535", NULL};
    const char *const host_twice[] = {"80:1", "80:2", NULL};
    const char *const guest_twice[] = {"1:80", "2:80", NULL};
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_set_port_map(id, good), 0);
    assert_int_equal(krun_set_port_map(id, nothing), 0);
    assert_int_equal(krun_set_port_map(id, host_twice), -EINVAL);
    assert_int_equal(krun_set_port_map(id, guest_twice), -EINVAL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *const map[] = {bad[i], NULL};
        if (krun_set_port_map(id, map) != -EINVAL)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(krun_free_ctx(id), 0);
}

/* ------------------------------------------------------------------ */
/* Consoles                                                           */

static void console_output_is_set_once(void **state)
{
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_set_console_output(id, "a"), 0);
    assert_int_equal(krun_set_console_output(id, "a"), -EINVAL);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void consoles_count_from_0_and_only_multiport_takes_ports(void **state)
{
    int master = -1, tty = -1;
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(openpty(&master, &tty, NULL, NULL, NULL), 0);
    assert_int_equal(krun_disable_implicit_console(id), 0);
    assert_int_equal(krun_add_virtio_console_multiport(id), 0);
    assert_int_equal(krun_add_virtio_console_default(id, 0, 1, 2), 0);
    assert_int_equal(krun_add_serial_console_default(id, -1, 1), 0);
    assert_int_equal(krun_add_virtio_console_multiport(id), 3);
    assert_int_equal(krun_add_console_port_tty(id, 0, "a", tty), 0);
    assert_int_equal(krun_add_console_port_tty(id, 3, NULL, tty), 0);
    assert_int_equal(krun_add_console_port_inout(id, 3, "b", 0, -1), 0);
    assert_int_equal(krun_add_console_port_inout(id, 3, NULL, -1, 1), 0);
    for (uint32_t number = 1; number <= 5; number++) {
        if (number == 3)
            continue;
        assert_int_equal(krun_add_console_port_tty(id, number, "a", tty),
                         -EINVAL);
        assert_int_equal(krun_add_console_port_inout(id, number, "a", 0, 1),
                         -EINVAL);
    }
    assert_int_equal(krun_add_console_port_tty(id, 0, "a", -1), -EINVAL);
    int null = open("/dev/null", O_RDWR);
    assert_int_equal(krun_add_console_port_tty(id, 0, "a", null), -ENOTTY);
    close(null);
    close(master);
    close(tty);
    assert_int_equal(krun_free_ctx(id), 0);
}

/* ------------------------------------------------------------------ */
/* What is not in this build                                          */

static void gpu_options_are_taken_and_forgotten(void **state)
{
    uint32_t id = new_context();
    (void)state;
    assert_int_equal(krun_set_gpu_options(id, 1283), 0);
    assert_int_equal(krun_set_gpu_options2(id, UINT32_MAX, UINT64_MAX), 0);
    assert_int_equal(krun_set_snd_device(id, false), 0);
    assert_int_equal(krun_set_snd_device(id, true), -ENOTSUP);
    assert_int_equal(krun_free_ctx(id), 0);
}

static void absent_devices_answer_enotsup_whatever_the_context(void **state)
{
    uint8_t blob[128] = {0};
    uint32_t ids[] = {NO_CONTEXT, new_context()};
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint32_t id = ids[i];
        int32_t results[] = {
            krun_add_display(id, 800, 600),
            krun_display_set_edid(id, 0, blob, sizeof(blob)),
            krun_display_set_dpi(id, 0, 300),
            krun_display_set_physical_size(id, 0, 300, 200),
            krun_display_set_refresh_rate(id, 0, 60),
            krun_set_display_backend(id, blob, sizeof(blob)),
            krun_add_input_device(id, blob, 8, blob, 8),
            krun_add_input_device_fd(id, 0),
            krun_add_vhost_user_device(id, KRUN_VIRTIO_DEVICE_RNG, "p", NULL, 0,
                                       NULL),
        };
        for (size_t k = 0; k < sizeof(results) / sizeof(results[0]); k++)
            assert_int_equal(results[k], -ENOTSUP);
    }
    assert_int_equal(krun_free_ctx(ids[1]), 0);
}

static void row071_network_cards_answer_an_error_code(void **state)
{
    char name[] = "tap0";
    uint32_t id = new_context();
    (void)state;
    int32_t results[] = {
        krun_add_net_unixstream(id, "p", -1, mac, COMPAT_NET_FEATURES, 0),
        krun_add_net_unixgram(id, NULL, 0, mac, 0, NET_FLAG_VFKIT),
        krun_add_net_tap(id, name, mac,
                         NET_FEATURE_GUEST_CSUM | NET_FEATURE_GUEST_TSO4, 0),
        krun_add_net_tcp(id, "eth0", mac, "localhost:9000"),
        krun_add_net_tcp(id, "eth0", mac, "[::1]:9000"),
        krun_add_net_tcp(id, "eth0", mac, NULL),
        krun_set_passt_fd(id, 0),
        krun_set_gvproxy_path(id, name),
    };
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        assert_int_equal(results[i], -ENOTSUP);
    assert_int_equal(krun_set_net_mac(id, mac), 0);
    assert_int_equal(krun_free_ctx(id), 0);
}

/* ------------------------------------------------------------------ */
/* Log                                                                */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void log_targets_belong_to_the_library(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(krun_init_log(0, 1, 0, 0), -EINVAL);
    assert_int_equal(krun_init_log(-2, 1, 0, 0), -EINVAL);
    assert_int_equal(krun_init_log(2, 1, 3, 0), -EINVAL);
    assert_int_equal(krun_init_log(2, 1, 0, 2), -EINVAL);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(
        krun_init_log(fds[1], 9, KRUN_LOG_STYLE_NEVER, KRUN_LOG_OPTION_NO_ENV),
        0);
    assert_true(is_open(fds[1]));
    /* Once more is no harm; the old target is closed. */
    assert_int_equal(krun_init_log(KRUN_LOG_TARGET_DEFAULT, 1, 0, 0), 0);
    assert_false(is_open(fds[1]));
    assert_int_equal(krun_set_log_level(1), 0);
    assert_int_equal(krun_set_log_level(99), 0);
    assert_int_equal(krun_set_log_level(0), 0);
    int other = dup(fds[0]);
    assert_int_equal(krun_init_log(other, 1, 3, 0), -EINVAL);
    assert_false(is_open(other));
    close(fds[0]);
}

/* What the log says of a failed start; "" when it says nothing. The target is
 * replaced by each call. */
static const char *log_of_a_failed_start(uint32_t level, uint32_t style,
                                         uint32_t options)
{
    static char text[4096];
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(krun_init_log(fds[1], level, style, options), 0);
    uint32_t id = new_context();
    assert_int_equal(krun_set_kernel(id, "no such file", 1, NULL, NULL), 0);
    assert_int_equal(krun_disable_implicit_console(id), 0);
    assert_true(krun_start_enter(id) < 0);
    assert_int_equal(krun_free_ctx(id), -ENOENT); /* used up */
    ssize_t len = read(fds[0], text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = '\0';
    assert_int_equal(krun_init_log(2, 0, 0, KRUN_LOG_OPTION_NO_ENV), 0);
    close(fds[0]);
    return text;
}

static void log_lines_have_time_level_and_place(void **state)
{
    (void)state;
    const char *text = log_of_a_failed_start(1, KRUN_LOG_STYLE_NEVER, 1);
    int year, month, day, hour, minute, second, micro;
    assert_int_equal(sscanf(text,
                            "[%4d-%2d-%2dT%2d:%2d:%2d.%6dZ ERROR husk::", &year,
                            &month, &day, &hour, &minute, &second, &micro),
                     7);
    assert_true(year >= 2024);
    assert_in_range(month, 1, 12);
    assert_non_null(strstr(text, "no such file"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    text = log_of_a_failed_start(1, KRUN_LOG_STYLE_ALWAYS, 1);
    assert_non_null(strstr(text, "\033[31mERROR\033[0m"));
}

static void
the_environment_overrides_level_and_style_unless_told_not(void **state)
{
    (void)state;
    setenv("RUST_LOG", "off", 1);
    assert_string_equal(log_of_a_failed_start(5, 2, 0), "");
    assert_string_not_equal(log_of_a_failed_start(1, 2, KRUN_LOG_OPTION_NO_ENV),
                            "");
    setenv("RUST_LOG", "devices=off,vmm=error", 1);
    setenv("RUST_LOG_STYLE", "always", 1);
    assert_non_null(strstr(log_of_a_failed_start(0, 2, 0), "\033[31m"));
    unsetenv("RUST_LOG_STYLE");
    setenv("RUST_LOG", "vmm=nonsense", 1);
    assert_string_equal(log_of_a_failed_start(0, 2, 0), "");
    unsetenv("RUST_LOG");
    assert_string_equal(log_of_a_failed_start(0, 2, 0), "");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(ids_begin_at_0_and_are_never_used_again),
    cmocka_unit_test(an_unknown_context_is_enoent_everywhere),
    cmocka_unit_test(arguments_are_judged_before_the_context),
    cmocka_unit_test(utf8_is_well_formed_utf8),
    cmocka_unit_test(arrays_count_up_to_4096_strings),
    cmocka_unit_test(
        filling_a_context_starts_no_thread_and_keeps_no_descriptor),
    cmocka_unit_test(features_are_told_for_known_numbers_only),
    cmocka_unit_test(the_init_is_there_when_the_feature_says_so),
    cmocka_unit_test(machine_settings_are_taken),
    cmocka_unit_test(the_shutdown_event_is_one_descriptor_till_the_end),
    cmocka_unit_test(kernels_are_taken_and_firmware_is_not),
    cmocka_unit_test(shares_with_long_tags_are_refused),
    cmocka_unit_test(overlays_need_their_share_and_their_parents),
    cmocka_unit_test(a_root_disk_needs_a_disk_and_no_root_share),
    cmocka_unit_test(one_vsock_device_is_the_most),
    cmocka_unit_test(listening_refuses_a_path_that_is_taken),
    cmocka_unit_test(port_maps_have_each_port_once),
    cmocka_unit_test(console_output_is_set_once),
    cmocka_unit_test(consoles_count_from_0_and_only_multiport_takes_ports),
    cmocka_unit_test(gpu_options_are_taken_and_forgotten),
    cmocka_unit_test(absent_devices_answer_enotsup_whatever_the_context),
    cmocka_unit_test(row071_network_cards_answer_an_error_code),
    cmocka_unit_test(log_targets_belong_to_the_library),
    cmocka_unit_test(log_lines_have_time_level_and_place),
    cmocka_unit_test(the_environment_overrides_level_and_style_unless_told_not),
};
HK_TEST_MAIN(cases)
