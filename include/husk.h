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
 * are made by one thread at a time, except husk_vm_wait, husk_vm_stop and
 * husk_vm_kill, which any thread may make at any time between create and
 * destroy.
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
 * Path of a kernel: bzImage, ELF, or raw. Read by husk_vm_start. Mandatory.
 */
HUSK_API int husk_vm_set_kernel(struct husk_vm *vm, const char *path);

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
 * like husk_vm_wait. A guest that cannot be asked is killed at once: so far
 * that is every guest of husk_vm_set_kernel, which has no agent of ours.
 */
HUSK_API int husk_vm_stop(struct husk_vm *vm, uint64_t grace_ms);

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
