/*
 * husk.h: run Linux inside small virtual machines, from C.
 *
 * A VM is an object. Make one, say what it should be, start it, wait for its
 * end, ask how it ended, destroy it. A process may have many at once; they
 * share nothing but the log. The library never ends the process, starts no
 * thread before husk_vm_start, and handles no signal but SIGWINCH, and that
 * only while a console is a terminal.
 *
 *     struct husk_vm *vm;
 *     if (husk_vm_create(&vm) < 0) ...
 *     if (husk_vm_set_kernel(vm, "vmlinuz") < 0 ||
 *         husk_vm_set_cpus(vm, 2) < 0 ||
 *         husk_vm_start(vm) < 0)
 *         fprintf(stderr, "%s\n", husk_vm_error(vm));
 *     else if (husk_vm_wait(vm, HUSK_FOREVER) == 0)
 *         printf("%s\n", husk_vm_end_text(vm));
 *     husk_vm_destroy(vm);
 *
 * Results: functions that return int give 0 (or a count) on success and a
 * negative Linux errno number on failure, on every host: -22 is -EINVAL on
 * Windows too. husk_vm_error then has a sentence for people.
 *
 * Strings are UTF-8. What a function is given it copies. What it hands out is
 * borrowed; each function says until when.
 *
 * Threads: calls on different VMs never disturb each other. Calls on one VM
 * are made by one thread at a time, except husk_vm_wait, husk_vm_stop,
 * husk_vm_ask_stop, husk_vm_signal and husk_vm_kill, which any thread may make
 * at any time between create and destroy.
 */
#ifndef HUSK_H
#define HUSK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef HUSK_API
#if defined(_WIN32)
#define HUSK_API
#elif defined(__GNUC__)
#define HUSK_API __attribute__((visibility("default")))
#else
#define HUSK_API
#endif
#endif

/* The library's version, "1.2.3". Static storage. */
HUSK_API const char *husk_version(void);

/* A few words for an error number (sign ignored). Never NULL; static. */
HUSK_API const char *husk_error_text(int code);

/* ------------------------------------------------------------------ */
/* Log: one for the process                                           */

enum husk_log_level {
    HUSK_LOG_OFF = 0,
    HUSK_LOG_ERROR = 1,
    HUSK_LOG_WARN = 2, /* the default */
    HUSK_LOG_INFO = 3,
    HUSK_LOG_DEBUG = 4,
    HUSK_LOG_TRACE = 5
};

/*
 * Receives one message without a newline. `module` and `message` are borrowed
 * for the call. Called on any thread, also on several at once.
 */
typedef void (*husk_log_fn)(void *opaque, int level, const char *module,
                            const char *message);

/* -EINVAL when `level` is not an enum husk_log_level. */
HUSK_API int husk_log_set_level(int level);

/* NULL restores the default, which writes to standard error. */
HUSK_API void husk_log_set_handler(husk_log_fn fn, void *opaque);

/* ------------------------------------------------------------------ */
/* Back ends and the host                                             */

/* Number of back ends in this build, in the order that "auto" tries them. */
HUSK_API size_t husk_backend_count(void);

/* "kvm", "whpx", "soft". NULL past the end. Static storage. */
HUSK_API const char *husk_backend_name(size_t index);

/* One line about the back end. NULL past the end. Static storage. */
HUSK_API const char *husk_backend_summary(size_t index);

/*
 * Tries the back end. 0 when it works on this host; otherwise a negative code
 * and a sentence why not in `why` (at most `size` bytes with the end byte;
 * NULL and 0 to do without). May take some milliseconds: a guest is really
 * run where that is the only proof.
 */
HUSK_API int husk_backend_probe(size_t index, char *why, size_t size);

/*
 * What a name stands for: "auto" or NULL is the first that works, anything
 * else must be in this build and work. Returns the index of the back end, or
 * a negative code; `why` gets the reason either way.
 */
HUSK_API int husk_backend_choose(const char *name, char *why, size_t size);

/* Logical CPUs that this process may use; at least 1. */
HUSK_API unsigned husk_host_cpus(void);

/* Memory of the host in bytes, or the limit set on this process if less. */
HUSK_API uint64_t husk_host_memory(void);

/*
 * The host CPU's features that matter for speed, as words separated by one
 * blank ("sse4.2 avx2 bmi2 ..."), cut to `size`. Returns the full length.
 */
HUSK_API size_t husk_host_cpu_features(char *text, size_t size);

/* ------------------------------------------------------------------ */
/* Guest kernels                                                      */

/*
 * A kernel is named by the path of its file, by the path of a kernel folder,
 * by the name of a kernel folder of this user or host, or by "libkrunfw" where
 * that library is installed.
 *
 * Makes a kernel folder out of a Debian kernel package (.deb) or an unpacked
 * one (a directory with boot/ and lib/modules/): the kernel and the modules
 * that a VM needs. `folder` is a path, or a name without a slash for one below
 * $XDG_DATA_HOME/husk/kernels; NULL is the name "default". Replaces a folder
 * of the same kind; nothing is left behind on failure. A sentence goes to
 * `why` (at most `size` bytes).
 */
HUSK_API int husk_kernel_import(const char *source, const char *folder,
                                char *why, size_t size);

/*
 * The kernel used when none is given: HUSK_KERNEL, an installed libkrunfw,
 * then the folder "default" below husk/kernels of $XDG_DATA_HOME and of the
 * folders in $XDG_DATA_DIRS (/usr/local/share and /usr/share). Its name;
 * -ENAMETOOLONG when it does not fit into `size`; -ENOENT and a sentence when
 * there is none.
 */
HUSK_API int husk_kernel_default(char *path, size_t size, char *why,
                                 size_t why_size);

/*
 * Calls `fn` with the path of each kernel folder of this user and host and the
 * release of the kernel in it, until it returns something other than 0, which
 * is then the result. Both are borrowed for the call.
 */
HUSK_API int husk_kernel_list(int (*fn)(void *opaque, const char *path,
                                        const char *release),
                              void *opaque);

/* ------------------------------------------------------------------ */
/* A VM: create and configure                                         */

struct husk_vm;

enum { HUSK_MAX_CPUS = 254 };

#define HUSK_MIN_MEMORY ((uint64_t)32 << 20)

/*
 * Makes a VM with 1 CPU, 512 MiB, back end "auto", no kernel and no console.
 * -ENOMEM. Holds no thread and no descriptor until it is started.
 */
HUSK_API int husk_vm_create(struct husk_vm **vm);

/*
 * Kills the VM if it runs, waits until nothing of it is left, frees it. NULL
 * is legal. Not from a callback of the library.
 */
HUSK_API void husk_vm_destroy(struct husk_vm *vm);

/*
 * What went wrong in the last failed call on this VM, as one sentence without
 * a newline; "" if nothing did. Borrowed until the next call on the VM.
 */
HUSK_API const char *husk_vm_error(struct husk_vm *vm);

/*
 * The husk_vm_set_* functions say what the VM will be. Each checks what can be
 * checked without the host and leaves the old value in place when it fails.
 * All fail with -EBUSY after husk_vm_start.
 */

/* "auto" (or NULL), or the name of a back end. Looked up by husk_vm_start. */
HUSK_API int husk_vm_set_backend(struct husk_vm *vm, const char *name);

/*
 * Path of a kernel: bzImage, ELF or raw, or a kernel folder that
 * husk_kernel_import made. Read by husk_vm_start. NULL: the default of this
 * host, as husk_kernel_default says.
 */
HUSK_API int husk_vm_set_kernel(struct husk_vm *vm, const char *path);

enum husk_kernel_format { /* numbers of krun_set_kernel, and AUTO */
                          HUSK_KERNEL_AUTO = -1,
                          HUSK_KERNEL_RAW =
                              0, /* loaded and entered at 0x80000000 */
                          HUSK_KERNEL_ELF = 1,
                          HUSK_KERNEL_PE_GZ =
                              2, /* arm64; refused by husk_vm_start */
                          HUSK_KERNEL_IMAGE_BZ2 = 3,
                          HUSK_KERNEL_IMAGE_GZ = 4,
                          HUSK_KERNEL_IMAGE_ZSTD = 5
};

/* What kind of file the kernel is, where its contents shall not decide. */
HUSK_API int husk_vm_set_kernel_format(struct husk_vm *vm, int format);

/* Path of an initial RAM disk, or NULL for none. */
HUSK_API int husk_vm_set_initrd(struct husk_vm *vm, const char *path);

/*
 * The kernel command line. -EINVAL when it holds a byte that is not printable
 * ASCII, -E2BIG when it is too long for any kernel.
 */
HUSK_API int husk_vm_set_cmdline(struct husk_vm *vm, const char *text);

/*
 * Whether Husk adds parameters of its own to that command line: those that
 * spare a stock kernel work, and the console, each only if the command line
 * does not speak of it (on by default; docs/boot.md lists them). 0 turns them
 * off.
 */
HUSK_API int husk_vm_set_cmdline_additions(struct husk_vm *vm, int on);

/* 1 to HUSK_MAX_CPUS; -EINVAL outside. The back end may allow fewer. */
HUSK_API int husk_vm_set_cpus(struct husk_vm *vm, unsigned count);

/*
 * Whether the guest is told of the speculation weaknesses of CPUs like its
 * own, where the back end decides that (soft does). 0, the default: it is
 * told that there are none, and does without defences that cost time. 1: its
 * kernel defends itself. SECURITY.md says what each choice gives up.
 */
HUSK_API int husk_vm_set_cpu_bugs(struct husk_vm *vm, int shown);

/*
 * RAM in bytes, rounded up to pages. -EINVAL below HUSK_MIN_MEMORY, -ENOMEM
 * above husk_host_memory.
 */
HUSK_API int husk_vm_set_memory(struct husk_vm *vm, uint64_t bytes);

enum husk_serial_flags {
    /*
     * If in_fd is a terminal, put it into raw mode while the VM runs, so that
     * every key reaches the guest; Ctrl-] then ends the VM.
     */
    HUSK_SERIAL_RAW = 1
};

/*
 * The first serial port: guest output goes to out_fd, input comes from in_fd;
 * -1 for none. The descriptors stay the caller's and must stay open until the
 * VM has ended. The end of input is not an end of the VM. -EINVAL for unknown
 * flags.
 */
HUSK_API int husk_vm_set_serial(struct husk_vm *vm, int in_fd, int out_fd,
                                unsigned flags);

/* ------------------------------------------------------------------ */
/* A VM: files                                                        */

enum husk_share_flags {
    HUSK_SHARE_READ_ONLY = 1 /* every change fails with EROFS, whatever the
                                guest does */
};

/*
 * The directory `path` becomes the guest's /. A VM with a root gets an init
 * of ours that runs the command, unless it has an initial RAM disk of its
 * own. Looked up by husk_vm_start. NULL: no root. -EINVAL an empty path.
 */
HUSK_API int husk_vm_set_root(struct husk_vm *vm, const char *path,
                              unsigned flags);

/*
 * The root is a disk that was added: `device` as the guest names it
 * ("/dev/vda"); `type` NULL or "auto": tried in turn; `options` may be NULL.
 * Comes before a root of husk_vm_add_share. -EINVAL.
 */
HUSK_API int husk_vm_set_root_disk(struct husk_vm *vm, const char *device,
                                   const char *type, const char *options,
                                   unsigned flags);

/*
 * A directory of the host at `guest_path`, absolute, made if it is missing
 * where the root can be written. -EINVAL.
 */
HUSK_API int husk_vm_add_volume(struct husk_vm *vm, const char *host_path,
                                const char *guest_path, unsigned flags);

/*
 * A shared directory by virtio-fs tag (1 to 36 bytes, not "husk-..."), mounted
 * by nobody; the tag "/dev/root" is the root's. `host_path` NULL: only what
 * husk_vm_add_share_file and _dir put there. Returns the share's number.
 * -EINVAL; -EEXIST a tag that is taken.
 */
HUSK_API int husk_vm_add_share(struct husk_vm *vm, const char *tag,
                               const char *host_path, unsigned flags);

/*
 * A file in a share that is only in memory: read-only, not listed. `path` is
 * relative; its parents are directories of husk_vm_add_share_dir. `data` is
 * NOT copied and stays until the VM has ended. `one_shot`: found once, then
 * gone. -ENOENT no such share or parent, -ENOTDIR, -EEXIST.
 */
HUSK_API int husk_vm_add_share_file(struct husk_vm *vm, const char *tag,
                                    const char *path, const void *data,
                                    size_t size, unsigned mode, int one_shot);
HUSK_API int husk_vm_add_share_dir(struct husk_vm *vm, const char *tag,
                                   const char *path, unsigned mode);

enum husk_disk_format {
    HUSK_DISK_RAW = 0,
    HUSK_DISK_QCOW2 = 1,
    HUSK_DISK_VMDK = 2
};

enum husk_disk_sync {
    HUSK_SYNC_NONE = 0,
    HUSK_SYNC_RELAXED = 1,
    HUSK_SYNC_FULL = 2 /* a flush reaches stable storage */
};

enum husk_disk_flags {
    HUSK_DISK_READ_ONLY = 1,
    HUSK_DISK_DIRECT = 2 /* past the host's page cache */
};

/* A disk: /dev/vda, vdb, ... in the order added. `id` may be NULL. Opened by
 * husk_vm_start. -EINVAL. */
HUSK_API int husk_vm_add_disk(struct husk_vm *vm, const char *id,
                              const char *path, int format, int sync,
                              unsigned flags);

/* ------------------------------------------------------------------ */
/* A VM: the workload                                                 */

/*
 * The command: a path, or a name to look for in the guest's PATH, and its
 * arguments without the name itself, ended by NULL (NULL for none). Without a
 * call: /bin/sh.
 */
HUSK_API int husk_vm_set_command(struct husk_vm *vm, const char *path,
                                 const char *const args[]);

/* The command's whole environment, "K=V" each, ended by NULL; NULL: empty. */
HUSK_API int husk_vm_set_env(struct husk_vm *vm, const char *const env[]);

/* Adds one variable, or replaces the one of that name. */
HUSK_API int husk_vm_add_env(struct husk_vm *vm, const char *assignment);

/* An absolute path in the guest; default "/". */
HUSK_API int husk_vm_set_workdir(struct husk_vm *vm, const char *path);

/* "UID", "UID:GID", "NAME", "NAME:GROUP" as the guest's files know them;
 * default root. */
HUSK_API int husk_vm_set_user(struct husk_vm *vm, const char *user);

/* 1 to 64 bytes. */
HUSK_API int husk_vm_set_hostname(struct husk_vm *vm, const char *name);

/* "ID=SOFT:HARD" each, numbers of Linux, ended by NULL. */
HUSK_API int husk_vm_set_rlimits(struct husk_vm *vm,
                                 const char *const rlimits[]);

enum husk_workload_flags {
    HUSK_WORKLOAD_PID1 = 1,        /* the command is process 1 */
    HUSK_WORKLOAD_CONFIG_FILE = 2, /* obey /.krun_config.json of the root */
    HUSK_WORKLOAD_DHCP = 4
};
HUSK_API int husk_vm_set_workload_flags(struct husk_vm *vm, unsigned flags);

/*
 * The command's standard streams, kept apart; -1 for none (/dev/null in the
 * guest). Borrowed until the VM has ended. The end of in_fd reaches the
 * command as end of file; all output is handed over before husk_vm_wait
 * returns. When the reader of out_fd or err_fd goes away, the command meets
 * what a program meets at a broken pipe.
 */
HUSK_API int husk_vm_set_stdio(struct husk_vm *vm, int in_fd, int out_fd,
                               int err_fd);

/*
 * Instead: all three are a terminal in the guest, with the size of the host's
 * and its changes. in_fd is put into raw mode while the VM runs if it is a
 * terminal.
 */
HUSK_API int husk_vm_set_terminal(struct husk_vm *vm, int in_fd, int out_fd);

/* ------------------------------------------------------------------ */
/* A VM: more consoles                                                */

/* An empty console device; ports are added to it. Returns its number. */
HUSK_API int husk_vm_add_console(struct husk_vm *vm);

/* The device that libkrun makes of three descriptors: port 0 is hvcN, and
 * each that is no terminal gets a port of its own ("krun-stdin", ...). */
HUSK_API int husk_vm_add_console_default(struct husk_vm *vm, int in_fd,
                                         int out_fd, int err_fd);

/* A terminal port; -ENOTTY when fd is none. `name` may be NULL. */
HUSK_API int husk_vm_add_port_tty(struct husk_vm *vm, unsigned console,
                                  const char *name, int tty_fd);

/* A byte stream: /dev/virtio-ports/NAME in the guest; -1 for no direction. */
HUSK_API int husk_vm_add_port(struct husk_vm *vm, unsigned console,
                              const char *name, int in_fd, int out_fd);

/* Kernel and init messages, to a descriptor; -1 (the default): to the log at
 * level debug. Borrowed. */
HUSK_API int husk_vm_set_kernel_log(struct husk_vm *vm, int fd);

/* ------------------------------------------------------------------ */
/* A VM: run                                                          */

/*
 * Builds the machine, loads the kernel and starts the vCPUs; returns once
 * they run. On failure nothing is left behind, the VM stays configured, and
 * husk_vm_error names the thing and what to do. -EBUSY when already started:
 * a VM runs once.
 */
HUSK_API int husk_vm_start(struct husk_vm *vm);

#define HUSK_FOREVER UINT64_MAX

/*
 * Waits until the VM has ended: all its threads are done, all its output is
 * handed to the host, terminals are as before. 0 then, also when called
 * again. -ETIMEDOUT after `timeout_ms` milliseconds, -EINVAL when not started.
 */
HUSK_API int husk_vm_wait(struct husk_vm *vm, uint64_t timeout_ms);

/*
 * Asks the guest to shut down and gives it `grace_ms`, then kills it. Returns
 * like husk_vm_wait. A VM with a root has an init that can be asked: it sends
 * SIGTERM to the command. A guest that cannot be asked is killed at once.
 */
HUSK_API int husk_vm_stop(struct husk_vm *vm, uint64_t grace_ms);

/*
 * Begins what husk_vm_stop does and returns at once; husk_vm_wait tells of
 * the end. Any thread, also from a signal handler. -EINVAL when not started.
 */
HUSK_API int husk_vm_ask_stop(struct husk_vm *vm, uint64_t grace_ms);

/*
 * Sends a signal, by its Linux number, to the command's process group. Any
 * thread, also from a signal handler; two of the same number may arrive as
 * one. -EINVAL no such number, -ENOTCONN no command runs (yet, or any more),
 * -ENOTSUP a VM without an init of ours.
 */
HUSK_API int husk_vm_signal(struct husk_vm *vm, int number);

/*
 * Ends the VM like pulling the plug. Returns at once; use husk_vm_wait. Legal
 * at any time, also more than once and from a signal handler. A VM killed
 * before it was started cannot be started.
 */
HUSK_API void husk_vm_kill(struct husk_vm *vm);

/* ------------------------------------------------------------------ */
/* A VM: how it ended                                                 */

enum husk_end {
    HUSK_END_NONE = 0,         /* it has not ended */
    HUSK_END_POWER_OFF = 1,    /* the guest switched itself off */
    HUSK_END_RESET = 2,        /* the guest shut down and asked for a restart */
    HUSK_END_EXIT = 3,         /* the workload ended: husk_vm_end_status */
    HUSK_END_CRASH = 4,        /* kernel panic, or a restart with no shutdown */
    HUSK_END_TRIPLE_FAULT = 5, /* the CPU gave up: no usable fault handler */
    HUSK_END_KILLED = 6,       /* husk_vm_kill, husk_vm_stop, destroy */
    HUSK_END_ESCAPE = 7,       /* the end key was typed at the terminal */
    HUSK_END_FAILED = 8        /* Husk could not go on: husk_vm_end_text */
};

/* Valid once husk_vm_wait returned 0; HUSK_END_NONE before. */
HUSK_API enum husk_end husk_vm_end_reason(struct husk_vm *vm);

/* The workload's exit status, 0 to 255, for HUSK_END_EXIT; 0 otherwise. */
HUSK_API int husk_vm_end_status(struct husk_vm *vm);

/* One sentence about the end. Borrowed until destroy. "" before the end. */
HUSK_API const char *husk_vm_end_text(struct husk_vm *vm);

enum husk_counter {
    HUSK_COUNTER_PORT_ACCESSES = 0,   /* port reads and writes */
    HUSK_COUNTER_MEMORY_ACCESSES = 1, /* device memory reads and writes */
    HUSK_COUNTER_HALTS = 2,           /* times a vCPU went to sleep */
    HUSK_COUNTER_WAKES = 3            /* interrupts that reached a vCPU */
};

/* A count since start, any time; 0 for an unknown counter. */
HUSK_API uint64_t husk_vm_counter(struct husk_vm *vm, int counter);

#ifdef __cplusplus
}
#endif

#endif
