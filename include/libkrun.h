/*
 * libkrun.h: the calls of libkrun 1.x, answered by Husk.
 *
 * A program built for libkrun.so.1 runs on this library as it is. New programs
 * should use husk.h: there a VM is an object, start returns, and failures come
 * with a sentence. docs/libkrun.md lists every difference from libkrun.
 *
 * How it goes: krun_create_ctx gives a number for a configuration; the other
 * calls fill the configuration in; krun_start_enter turns it into a running VM
 * and, when the VM ends, ends the calling process with the guest's status.
 *
 * What holds for every call, unless its own text says otherwise:
 *
 * - The result is 0, or a number that the call promises, or a negative Linux
 *   errno number.
 * - -EINVAL: an argument is wrong. A string must be there and be UTF-8; an
 *   array of strings ends with NULL, and only its first 4096 are looked at.
 *   Arguments are judged before the context is looked up.
 * - -ENOENT: no context has that number.
 * - -ENOTSUP: the call is known, but this build cannot do it. Every symbol is
 *   always there; krun_has_feature tells beforehand.
 * - Strings and arrays are copied. Descriptors stay the caller's and must be
 *   open while the VM runs.
 * - A call that sets something replaces what an earlier one set; a call that
 *   adds something adds it after what is there, and the guest numbers devices
 *   of a kind in that order.
 * - Files and sockets are named now and opened by krun_start_enter; a path
 *   that leads nowhere is its error, not the setter's.
 * - Any thread may make any call at any time. No call but krun_start_enter
 *   starts a thread or keeps a descriptor open. A context may be filled in
 *   before fork() and started in the child, even if the child closes every
 *   descriptor and changes its root directory in between.
 */
#ifndef LIBKRUN_H
#define LIBKRUN_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if !defined(_WIN32)
#include <unistd.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifndef KRUN_API
#if !defined(_WIN32) && defined(__GNUC__)
#define KRUN_API __attribute__((visibility("default")))
#else
#define KRUN_API
#endif
#endif

/* One end of a byte stream or a terminal: a HANDLE on Windows, where NULL and
 * INVALID_HANDLE_VALUE mean none; a descriptor elsewhere, where -1 does. */
#if defined(_WIN32)
typedef void *krun_stream_t;
#else
typedef int krun_stream_t;
#endif

/* ------------------------------------------------------------------ */
/* Log                                                                */

#define KRUN_LOG_TARGET_DEFAULT (-1) /* standard error */

#define KRUN_LOG_LEVEL_OFF 0
#define KRUN_LOG_LEVEL_ERROR 1
#define KRUN_LOG_LEVEL_WARN 2
#define KRUN_LOG_LEVEL_INFO 3
#define KRUN_LOG_LEVEL_DEBUG 4
#define KRUN_LOG_LEVEL_TRACE 5

#define KRUN_LOG_STYLE_AUTO 0 /* colours when the target is a terminal */
#define KRUN_LOG_STYLE_ALWAYS 1
#define KRUN_LOG_STYLE_NEVER 2

#define KRUN_LOG_OPTION_NO_ENV                    \
    1 /* RUST_LOG and RUST_LOG_STYLE do not count \
       */

/*
 * Messages of at least this importance go to standard error. Numbers above 5
 * count as 5. If the environment variable RUST_LOG is set it says the level
 * instead: words such as "debug" or "devices=trace", separated by commas, of
 * which the most talkative counts. Without any such call only errors are
 * written. Always 0; may be called again.
 */
KRUN_API int32_t krun_set_log_level(uint32_t level);

/*
 * The same with a target: KRUN_LOG_TARGET_DEFAULT, 1 (standard output), 2, or
 * a descriptor of 3 and more, which belongs to the library from then on, also
 * when the call fails for another reason. `style` is a KRUN_LOG_STYLE_*,
 * `options` 0 or KRUN_LOG_OPTION_NO_ENV.
 *
 * -EINVAL: target 0 or below -1, or an unknown style or option. A further call
 * replaces the target, and closes the one before if it was the library's.
 */
KRUN_API int32_t krun_init_log(int target_fd, uint32_t level, uint32_t style,
                               uint32_t options);

/* ------------------------------------------------------------------ */
/* Contexts                                                           */

/*
 * A new configuration: 1 vCPU, 128 MiB, a console on the process's standard
 * streams. Gives its number: 0 for the first, never one used before. -ENOMEM.
 */
KRUN_API int32_t krun_create_ctx(void);

/*
 * Forgets a configuration. While krun_start_enter runs on it in another
 * thread: ends that VM, at once and without asking the guest;
 * krun_start_enter then returns -ECANCELED. Returns without waiting.
 */
KRUN_API int32_t krun_free_ctx(uint32_t ctx_id);

/*
 * Runs the VM. The context is used up by the call, whatever comes of it.
 *
 * The process ends (by _exit: no exit handlers, no flushing of stdio) when the
 * VM does, with the workload's status: 0 to 255 as it exited, 128+n if signal
 * n ended it, 125 if the guest could not set it up, 126 if its program could
 * not be executed, 127 if it was not found. Where the guest gave no status: 0
 * when it shut down in order, 137 when it was ended by force, and when it
 * crashed 125, or 1 if its init was not ours.
 *
 * Only a failure to start returns, with the VM gone and descriptors and
 * terminal as before: -ENOENT no such context, or no kernel; -EINVAL something
 * in the configuration does not exist or does not fit; -EPERM and the like
 * from the change of user. The log has a sentence.
 *
 * Before the guest runs, the thread is named "VM:" and the value of the
 * environment variable HOSTNAME, or "libkrun VM", and the limit of open
 * descriptors is raised as far as allowed. While it runs, SIGTERM and SIGINT
 * ask the guest to shut down, and end it after 10 seconds or when asked twice,
 * except a signal for which the program has a handler or which it ignores.
 */
KRUN_API int32_t krun_start_enter(uint32_t ctx_id);

/* ------------------------------------------------------------------ */
/* Machine                                                            */

/* -EINVAL when either is 0. What the host cannot give is an error at start. */
KRUN_API int32_t krun_set_vm_config(uint32_t ctx_id, uint8_t num_vcpus,
                                    uint32_t ram_mib);

/* The most vCPUs that a VM can have here. -EINVAL when no back end works. */
KRUN_API int32_t krun_get_max_vcpus(void);

/* Whether the guest may run VMs itself, where krun_check_nested_virt says 1;
 * elsewhere it makes no difference. Default false. */
KRUN_API int32_t krun_set_nested_virt(uint32_t ctx_id, bool enabled);

/* 1 if guests can run VMs of their own, 0 if not. -EOPNOTSUPP where the host
 * system has no such thing. */
KRUN_API int32_t krun_check_nested_virt(void);

/* Accepted, and without effect: Husk's I/O APIC is always its own. */
KRUN_API int32_t krun_split_irqchip(uint32_t ctx_id, bool enable);

/* Kept for guests that have such a table; x86-64 guests see none. An empty
 * array takes the strings away. */
KRUN_API int32_t krun_set_smbios_oem_strings(uint32_t ctx_id,
                                             const char *const oem_strings[]);

/*
 * The process's user and group once disks are open and before shared
 * directories are and the guest runs, group first. krun_start_enter gives the
 * system's error if it refuses. Without effect on Windows.
 */
KRUN_API int32_t krun_setuid(uint32_t ctx_id, uint32_t uid);
KRUN_API int32_t krun_setgid(uint32_t ctx_id, uint32_t gid);

/*
 * A descriptor; eight bytes written to it, a number that is not 0 in the
 * host's byte order, ask the guest to shut down as SIGTERM does. The same one
 * at every call. The library keeps it until the VM has ended, so it must not
 * be closed. This is the one descriptor that a context keeps.
 */
KRUN_API int32_t krun_get_shutdown_eventfd(uint32_t ctx_id);

#define KRUN_FEATURE_NET 0
#define KRUN_FEATURE_BLK 1
#define KRUN_FEATURE_GPU 2
#define KRUN_FEATURE_INPUT 4
#define KRUN_FEATURE_TEE 6
#define KRUN_FEATURE_AMD_SEV 7
#define KRUN_FEATURE_INTEL_TDX 8
#define KRUN_FEATURE_AWS_NITRO 9
#define KRUN_FEATURE_VIRGL_RESOURCE_MAP2 10
#define KRUN_FEATURE_INIT_BLOB 11

/* 1 if this build can do it, 0 if not, -EINVAL for a number that is not one
 * of the above. */
KRUN_API int32_t krun_has_feature(uint64_t feature);

/* ------------------------------------------------------------------ */
/* Kernel                                                             */

/*
 * Without these calls the kernel is that of an installed libkrunfw, else the
 * default kernel of husk. It is found when the library is loaded or the first
 * context is made, whichever can, so that a later change of the root directory
 * does no harm.
 */

#define KRUN_KERNEL_FORMAT_RAW 0       /* code, for 0x80000000 */
#define KRUN_KERNEL_FORMAT_ELF 1       /* vmlinux */
#define KRUN_KERNEL_FORMAT_PE_GZ 2     /* arm64 only */
#define KRUN_KERNEL_FORMAT_IMAGE_BZ2 3 /* a bzImage by its compression */
#define KRUN_KERNEL_FORMAT_IMAGE_GZ 4
#define KRUN_KERNEL_FORMAT_IMAGE_ZSTD 5

/*
 * `initramfs` NULL: none. `cmdline` NULL: the default command line, which
 * starts our init. Given, it stands first, and what libkrun adds follows: the
 * settings of the workload as KRUN_* words, its environment, and after "--"
 * its arguments.
 *
 * -EINVAL: unknown format, an initramfs that does not exist, a raw kernel that
 * cannot be read.
 */
KRUN_API int32_t krun_set_kernel(uint32_t ctx_id, const char *kernel_path,
                                 uint32_t kernel_format, const char *initramfs,
                                 const char *cmdline);

/* Husk starts kernels, not firmware: -ENOTSUP. */
KRUN_API int32_t krun_set_firmware(uint32_t ctx_id, const char *firmware_path);

/* For confidential VMs, which Husk has not: -ENOTSUP. */
KRUN_API int32_t krun_set_tee_config_file(uint32_t ctx_id,
                                          const char *filepath);

/* The kernel's console: "hvc0", "ttyS0,115200". Replaces the first console=
 * of the command line; is added where there is none. */
KRUN_API int32_t krun_set_kernel_console(uint32_t ctx_id,
                                         const char *console_id);

/* ------------------------------------------------------------------ */
/* Workload                                                           */

/*
 * The program that our init runs in the guest. `argv` holds its arguments
 * WITHOUT the program's own name (which is `exec_path`); NULL for none.
 * `envp` is the whole environment, "KEY=VALUE" each; NULL means a copy of this
 * process's environment as it is now, an empty array means nothing.
 *
 * Some variables speak to init: HOSTNAME names the guest; KRUN_INIT_PID1=1
 * makes the program process 1; KRUN_DHCP=1 sets eth0 up; KRUN_HOME and
 * KRUN_TERM become HOME and TERM; KRUN_CONFIG is the path of the file below.
 *
 * Without this call init takes command, environment and working directory from
 * the file /.krun_config.json of the root, if there is one (an OCI runtime or
 * image configuration), and else runs /bin/sh. Of the environment, what is
 * given here comes before the file, except HOME and TERM.
 */
KRUN_API int32_t krun_set_exec(uint32_t ctx_id, const char *exec_path,
                               const char *const argv[],
                               const char *const envp[]);

/* The environment alone; replaces that of krun_set_exec. */
KRUN_API int32_t krun_set_env(uint32_t ctx_id, const char *const envp[]);

/* Where the program starts, an absolute path in the guest; one that is not
 * there ends it with status 125. Default: what the file says, else "/". */
KRUN_API int32_t krun_set_workdir(uint32_t ctx_id, const char *workdir_path);

/* "RESOURCE=SOFT:HARD", all three numbers as Linux has them. Init leaves out
 * what it does not understand. */
KRUN_API int32_t krun_set_rlimits(uint32_t ctx_id, const char *const rlimits[]);

/* ------------------------------------------------------------------ */
/* Files                                                              */

#define KRUN_FS_ROOT_TAG "/dev/root" /* the share that is the guest's / */

/*
 * A directory of the host becomes the guest's root, with our init in it,
 * unseen: it is there for one look-up of /init.krun.
 * The guest can do in shared directories, and only there, what the process's
 * user can do.
 */
KRUN_API int32_t krun_set_root(uint32_t ctx_id, const char *root_path);

/*
 * A shared directory, to be mounted by its tag: mount -t virtiofs TAG DIR.
 * `shm_size` is accepted for compatibility. `c_path` NULL (only
 * krun_add_virtiofs3): nothing but overlays, below. The tag "/dev/root" makes
 * it the root, as krun_set_root does. A read-only share refuses each change
 * with EROFS; a read-only root needs the directories /dev, /proc and /sys.
 */
KRUN_API int32_t krun_add_virtiofs(uint32_t ctx_id, const char *c_tag,
                                   const char *c_path);
KRUN_API int32_t krun_add_virtiofs2(uint32_t ctx_id, const char *c_tag,
                                    const char *c_path, uint64_t shm_size);
KRUN_API int32_t krun_add_virtiofs3(uint32_t ctx_id, const char *c_tag,
                                    const char *c_path, uint64_t shm_size,
                                    bool read_only);

/* Long dead in libkrun too: always -EINVAL. */
KRUN_API int32_t krun_set_mapped_volumes(uint32_t ctx_id,
                                         const char *const mapped_volumes[]);

/* Roots that are added after this do not get our init. */
KRUN_API int32_t krun_disable_implicit_init(uint32_t ctx_id);

/* The init that a root gets, an ELF program, for those who place it
 * themselves. Borrowed for ever. -ENOTSUP if the build has none. */
KRUN_API int32_t krun_get_default_init(const uint8_t **data_out,
                                       size_t *len_out);

/*
 * A file or an empty directory that the guest finds in an added share though
 * the host has none there. Both are read-only and missing from listings. A
 * leading slash of `path` is skipped; a parent must be the share's own root or
 * an overlay directory. `data` is NOT copied: it must stay until the VM ends.
 * `one_shot`: found by the first look-up and by none after.
 *
 * -ENOENT no such share or parent, -ENOTDIR the parent is a file, -EINVAL an
 * empty name, or no data with a length that is not 0.
 */
KRUN_API int32_t krun_fs_add_overlay_file(uint32_t ctx_id, const char *fs_tag,
                                          const char *path, const uint8_t *data,
                                          size_t data_len, uint32_t mode,
                                          bool one_shot);
KRUN_API int32_t krun_fs_add_overlay_dir(uint32_t ctx_id, const char *fs_tag,
                                         const char *path, uint32_t mode);

/* ------------------------------------------------------------------ */
/* Disks                                                              */

#define KRUN_DISK_FORMAT_RAW 0
#define KRUN_DISK_FORMAT_QCOW2 1
#define KRUN_DISK_FORMAT_VMDK 2

#define KRUN_SYNC_NONE 0    /* the guest's flushes are not carried out */
#define KRUN_SYNC_RELAXED 1 /* up to the host's file system */
#define KRUN_SYNC_FULL 2    /* down to the medium */

/*
 * A disk image or block device: /dev/vda, vdb, ... `block_id` is the serial
 * number that the guest reads, 20 bytes of it. Defaults: raw, buffered,
 * KRUN_SYNC_FULL. Images other than raw may name further files of the host:
 * give none that a stranger made. -EINVAL: unknown format or sync mode.
 */
KRUN_API int32_t krun_add_disk(uint32_t ctx_id, const char *block_id,
                               const char *disk_path, bool read_only);
KRUN_API int32_t krun_add_disk2(uint32_t ctx_id, const char *block_id,
                                const char *disk_path, uint32_t disk_format,
                                bool read_only);
KRUN_API int32_t krun_add_disk3(uint32_t ctx_id, const char *block_id,
                                const char *disk_path, uint32_t disk_format,
                                bool read_only, bool direct_io,
                                uint32_t sync_mode);

/* Older forms: the first and the second disk, raw. Without effect once a
 * krun_add_disk* was called. */
KRUN_API int32_t krun_set_root_disk(uint32_t ctx_id, const char *disk_path);
KRUN_API int32_t krun_set_data_disk(uint32_t ctx_id, const char *disk_path);

/*
 * The guest's root is a file system on a disk: `device` as the guest names it
 * ("/dev/vda1"), `fstype` NULL or "auto" to try what the kernel knows,
 * `options` NULL or mount options. -EINVAL: no krun_add_disk* before this, or
 * there is a root share.
 */
KRUN_API int32_t krun_set_root_disk_remount(uint32_t ctx_id, const char *device,
                                            const char *fstype,
                                            const char *options);

/* ------------------------------------------------------------------ */
/* Network                                                            */

#define NET_FLAG_VFKIT 1       /* begin with the greeting that vfkit sends */
#define NET_FLAG_DHCP_CLIENT 2 /* init sets eth0 up by DHCP */

#define NET_FEATURE_CSUM (1 << 0)
#define NET_FEATURE_GUEST_CSUM (1 << 1)
#define NET_FEATURE_GUEST_TSO4 (1 << 7)
#define NET_FEATURE_GUEST_TSO6 (1 << 8)
#define NET_FEATURE_GUEST_UFO (1 << 10)
#define NET_FEATURE_HOST_TSO4 (1 << 11)
#define NET_FEATURE_HOST_TSO6 (1 << 12)
#define NET_FEATURE_HOST_UFO (1 << 14)

#define COMPAT_NET_FEATURES                                               \
    (NET_FEATURE_CSUM | NET_FEATURE_GUEST_CSUM | NET_FEATURE_GUEST_TSO4 | \
     NET_FEATURE_GUEST_UFO | NET_FEATURE_HOST_TSO4 | NET_FEATURE_HOST_UFO)

/*
 * Network cards eth0, eth1, ... behind a proxy process, which is reached by a
 * stream socket (passt, socket_vmnet), a datagram socket (gvproxy,
 * vmnet-helper), a TAP device or a TCP address "HOST:PORT" (NULL: connected to
 * nothing). Of a path and a descriptor give one; the other is NULL or -1.
 * `c_mac` points to 6 bytes.
 *
 * These calls check their arguments; this build then answers -ENOTSUP.
 * -EINVAL: both or neither of path and descriptor; unknown features or flags
 * (NET_FLAG_VFKIT is for datagram sockets only); no MAC address, or one for
 * many receivers; for TAP segmentation offloads without
 * NET_FEATURE_GUEST_CSUM; an address without a port.
 */
KRUN_API int32_t krun_add_net_unixstream(uint32_t ctx_id, const char *c_path,
                                         int fd, uint8_t *const c_mac,
                                         uint32_t features, uint32_t flags);
KRUN_API int32_t krun_add_net_unixgram(uint32_t ctx_id, const char *c_path,
                                       int fd, uint8_t *const c_mac,
                                       uint32_t features, uint32_t flags);
KRUN_API int32_t krun_add_net_tap(uint32_t ctx_id, char *c_tap_name,
                                  uint8_t *const c_mac, uint32_t features,
                                  uint32_t flags);
KRUN_API int32_t krun_add_net_tcp(uint32_t ctx_id, const char *c_iface_id,
                                  const uint8_t *c_mac, const char *c_tcp_addr);

/* Older forms for one card: krun_add_net_unixstream by descriptor,
 * krun_add_net_unixgram by path with the greeting, and the card's address
 * (default 5a:94:ef:e4:0c:ee). The first two: -ENOTSUP like the above. */
KRUN_API int32_t krun_set_passt_fd(uint32_t ctx_id, int fd);
KRUN_API int32_t krun_set_gvproxy_path(uint32_t ctx_id, char *c_path);
KRUN_API int32_t krun_set_net_mac(uint32_t ctx_id, uint8_t *const c_mac);

/* ------------------------------------------------------------------ */
/* Sockets between guest and host                                     */

#define KRUN_TSI_HIJACK_INET (1 << 0)
#define KRUN_TSI_HIJACK_UNIX (1 << 1)

/*
 * This build has no such device yet: the calls below check and keep what they
 * are given, krun_start_enter says in the log that it has no effect, and the
 * guest finds no vsock device.
 */

/* No vsock device but one of krun_add_vsock. */
KRUN_API int32_t krun_disable_implicit_vsock(uint32_t ctx_id);

/* The vsock device, guest number 3; `tsi_features` says which of the guest's
 * sockets are carried through the host. -EEXIST: there is one, the implicit
 * one included. -EINVAL: unknown feature. */
KRUN_API int32_t krun_add_vsock(uint32_t ctx_id, uint32_t tsi_features);

/*
 * Connects a port of the device with a UNIX socket of the host. `listen`
 * false: the guest connects, the library connects on to the socket at the
 * path, each time. True: the library makes that socket and connects to the
 * guest's port whoever connects to it. The same port again replaces.
 *
 * -EEXIST: something is at the path of a listening one. -EINVAL: that cannot
 * be told. -ENODEV: there is no vsock device.
 */
KRUN_API int32_t krun_add_vsock_port(uint32_t ctx_id, uint32_t port,
                                     const char *c_filepath);
KRUN_API int32_t krun_add_vsock_port2(uint32_t ctx_id, uint32_t port,
                                      const char *c_filepath, bool listen);

/*
 * Which ports of the host stand for ports on which the guest listens:
 * "HOSTPORT:GUESTPORT" each. -EINVAL: not of that form, or a port of either
 * side twice. -ENODEV: there is no vsock device.
 */
KRUN_API int32_t krun_set_port_map(uint32_t ctx_id,
                                   const char *const port_map[]);

/* ------------------------------------------------------------------ */
/* Consoles                                                           */

/*
 * hvc0, hvc1, ... by order. Unless switched off, the first is an implicit one
 * on the process's standard streams: those that are terminals are the guest's
 * terminal; each of the others is a stream of its own (ports "krun-stdin",
 * "krun-stdout", "krun-stderr") that init puts in place of the workload's.
 */

/* No implicit console. */
KRUN_API int32_t krun_disable_implicit_console(uint32_t ctx_id);

/*
 * The implicit console has no input, and its output goes to this file, which
 * krun_start_enter makes or empties; a FIFO must have a reader then.
 * -EINVAL when called again.
 */
KRUN_API int32_t krun_set_console_output(uint32_t ctx_id,
                                         const char *c_filepath);

/* A console of its own like the implicit one, on these three; -1 for none. */
KRUN_API int32_t krun_add_virtio_console_default(uint32_t ctx_id,
                                                 krun_stream_t input_fd,
                                                 krun_stream_t output_fd,
                                                 krun_stream_t err_fd);

/* A serial port, ttyS0. A second one is an error of krun_start_enter. */
KRUN_API int32_t krun_add_serial_console_default(uint32_t ctx_id,
                                                 krun_stream_t input_fd,
                                                 krun_stream_t output_fd);

/* A console device without ports; gives the number for the next two. Consoles
 * of all three kinds count, from 0; the implicit one does not. */
KRUN_API int32_t krun_add_virtio_console_multiport(uint32_t ctx_id);

/*
 * Ports of such a device: a terminal (hvcN), whose size the guest follows, and
 * a byte stream that the guest finds by its name below
 * /sys/class/virtio-ports. `name` NULL: without a name. -EINVAL: no multiport
 * device has that number, no terminal given; -ENOTTY: it is none.
 */
KRUN_API int32_t krun_add_console_port_tty(uint32_t ctx_id, uint32_t console_id,
                                           const char *name,
                                           krun_stream_t tty_fd);
KRUN_API int32_t krun_add_console_port_inout(uint32_t ctx_id,
                                             uint32_t console_id,
                                             const char *name,
                                             krun_stream_t input_fd,
                                             krun_stream_t output_fd);

/* ------------------------------------------------------------------ */
/* Graphics, sound, input: not in this build                          */

#define VIRGLRENDERER_USE_EGL (1 << 0)
#define VIRGLRENDERER_THREAD_SYNC (1 << 1)
#define VIRGLRENDERER_USE_GLX (1 << 2)
#define VIRGLRENDERER_USE_SURFACELESS (1 << 3)
#define VIRGLRENDERER_USE_GLES (1 << 4)
#define VIRGLRENDERER_USE_EXTERNAL_BLOB (1 << 5)
#define VIRGLRENDERER_VENUS (1 << 6)
#define VIRGLRENDERER_NO_VIRGL (1 << 7)
#define VIRGLRENDERER_USE_ASYNC_FENCE_CB (1 << 8)
#define VIRGLRENDERER_RENDER_SERVER (1 << 9)
#define VIRGLRENDERER_DRM (1 << 10)

/* Accepted, and without effect: programs ask for a GPU whether or not they
 * need it. */
KRUN_API int32_t krun_set_gpu_options(uint32_t ctx_id, uint32_t virgl_flags);
KRUN_API int32_t krun_set_gpu_options2(uint32_t ctx_id, uint32_t virgl_flags,
                                       uint64_t shm_size);

/* Sound: false is accepted, true -ENOTSUP. */
KRUN_API int32_t krun_set_snd_device(uint32_t ctx_id, bool enable);

#define KRUN_MAX_DISPLAYS 16

/* The calls from here to the end of this part answer -ENOTSUP, whatever the
 * context. Structures: libkrun_display.h and libkrun_input.h. */

/* A display of this size; its number. */
KRUN_API int32_t krun_add_display(uint32_t ctx_id, uint32_t width,
                                  uint32_t height);

/* What a display says of itself: a whole EDID (copied), or parts of one. */
KRUN_API int32_t krun_display_set_edid(uint32_t ctx_id, uint32_t display_id,
                                       const uint8_t *edid_blob,
                                       size_t blob_size);
KRUN_API int32_t krun_display_set_dpi(uint32_t ctx_id, uint32_t display_id,
                                      uint32_t dpi);
KRUN_API int32_t krun_display_set_physical_size(uint32_t ctx_id,
                                                uint32_t display_id,
                                                uint16_t width_mm,
                                                uint16_t height_mm);
KRUN_API int32_t krun_display_set_refresh_rate(uint32_t ctx_id,
                                               uint32_t display_id,
                                               uint32_t refresh_rate);

/* Where pictures go: a struct krun_display_backend and its size. */
KRUN_API int32_t krun_set_display_backend(uint32_t ctx_id,
                                          const void *display_backend,
                                          size_t backend_size);

/* An input device: a struct krun_input_config, a struct
 * krun_input_event_provider and their sizes; or an event device of Linux. */
KRUN_API int krun_add_input_device(uint32_t ctx_id, const void *config_backend,
                                   size_t config_backend_size,
                                   const void *events_backend,
                                   size_t events_backend_size);
KRUN_API int krun_add_input_device_fd(uint32_t ctx_id, int input_fd);

/* ------------------------------------------------------------------ */
/* Devices in other processes: not in this build                      */

/* Numbers of virtio. */
#define KRUN_VIRTIO_DEVICE_CONSOLE 3
#define KRUN_VIRTIO_DEVICE_RNG 4
#define KRUN_VIRTIO_DEVICE_RTC 17
#define KRUN_VIRTIO_DEVICE_INPUT 18
#define KRUN_VIRTIO_DEVICE_VSOCK 19
#define KRUN_VIRTIO_DEVICE_SND 25
#define KRUN_VIRTIO_DEVICE_CAN 36

/* How many queues such a device usually has, and their sizes as an array. */
#define KRUN_VHOST_USER_CONSOLE_NUM_QUEUES 4
#define KRUN_VHOST_USER_CONSOLE_QUEUE_SIZES ((uint16_t[]){128, 128, 64, 64})
#define KRUN_VHOST_USER_RNG_NUM_QUEUES 1
#define KRUN_VHOST_USER_RNG_QUEUE_SIZES ((uint16_t[]){256})
#define KRUN_VHOST_USER_RTC_NUM_QUEUES 2
#define KRUN_VHOST_USER_RTC_QUEUE_SIZES ((uint16_t[]){1024, 1024})
#define KRUN_VHOST_USER_INPUT_NUM_QUEUES 2
#define KRUN_VHOST_USER_INPUT_QUEUE_SIZES ((uint16_t[]){1024, 1024})
#define KRUN_VHOST_USER_SND_NUM_QUEUES 4
#define KRUN_VHOST_USER_SND_QUEUE_SIZES ((uint16_t[]){64, 64, 64, 64})
#define KRUN_VHOST_USER_VSOCK_NUM_QUEUES 3
#define KRUN_VHOST_USER_VSOCK_QUEUE_SIZES ((uint16_t[]){128, 128, 128})
#define KRUN_VHOST_USER_CAN_NUM_QUEUES 3
#define KRUN_VHOST_USER_CAN_QUEUE_SIZES ((uint16_t[]){64, 64, 64})

/*
 * A device that another process is, reached by a vhost-user socket.
 * `num_queues` 0: as many as it says, with `queue_sizes` ended by 0; NULL: 256
 * each. -ENOTSUP, whatever the arguments.
 */
KRUN_API int32_t krun_add_vhost_user_device(
    uint32_t ctx_id, uint32_t device_type, const char *socket_path,
    const char *name, uint16_t num_queues, const uint16_t *queue_sizes);

#ifdef __cplusplus
}
#endif

#endif
