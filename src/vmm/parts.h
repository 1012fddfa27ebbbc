/*
 * What a VM is given besides CPUs, memory and a kernel: files, a workload,
 * consoles. Plain data; whoever fills it owns every string and array and
 * keeps them until the VM has ended. Descriptors are borrowed as long.
 */
#ifndef HK_VMM_PARTS_H
#define HK_VMM_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HK_VM_TAG_MAX = 36, /* bytes of a share's tag (VIRTIO 1.2, 5.11.4) */
    HK_VM_SHARES_MAX = 64,
    HK_VM_DISKS_MAX = 64,
    HK_VM_CONSOLES_MAX = 16,
    HK_VM_PORTS_MAX = 32,     /* of one console */
    HK_VM_PORT_NAME_MAX = 63, /* bytes */
};

#define HK_VM_ROOT_TAG "/dev/root"
#define HK_VM_TAG_PREFIX "husk-" /* tags of our own */

/* ------------------------------------------------------------------ */
/* Files                                                              */

/* A file or directory of a share that is only in memory. */
struct hk_vm_file {
    char *path; /* relative; parents come before in the list */
    const void *data;
    size_t size;
    uint32_t mode;
    bool is_dir;
    bool one_shot;
};

struct hk_vm_share {
    char *tag;
    char *host_path;  /* NULL: only the files */
    char *guest_path; /* where init mounts it; NULL: nowhere */
    bool read_only;
    struct hk_vm_file *files;
    uint32_t file_count;
};

struct hk_vm_disk {
    char *id; /* NULL: the image's own */
    char *path;
    int format; /* enum hk_disk_format */
    int sync;   /* enum hk_disk_sync */
    bool read_only;
    bool direct;
};

enum hk_vm_root_kind {
    HK_VM_ROOT_NONE,  /* no init of ours runs */
    HK_VM_ROOT_SHARE, /* the share with HK_VM_ROOT_TAG */
    HK_VM_ROOT_DISK,
};

struct hk_vm_root {
    enum hk_vm_root_kind kind;
    bool read_only;
    char *device;  /* disk: "/dev/vda" */
    char *type;    /* disk: NULL or "auto": what the kernel finds */
    char *options; /* disk: NULL: none */
};

/* ------------------------------------------------------------------ */
/* The workload                                                       */

enum hk_vm_workload_flags { /* those of husk.h */
                            HK_VM_WORKLOAD_PID1 = 1,
                            HK_VM_WORKLOAD_CONFIG_FILE = 2,
                            HK_VM_WORKLOAD_DHCP = 4,
                            HK_VM_WORKLOAD_ALL = 7,

                            /* Not of husk.h: KRUN_* variables speak to init, as
                               in libkrun. */
                            HK_VM_WORKLOAD_LIBKRUN = 8,
};

/* Lists end with NULL; a list may be NULL. */
struct hk_vm_workload {
    char *command; /* NULL: the configuration file's, or /bin/sh */
    char **args;   /* without the command itself */
    char **env;
    char *workdir; /* NULL: "/" */
    char *user;    /* NULL: root */
    char *hostname;
    char **rlimits;
    unsigned flags;
};

enum hk_vm_stdio_kind {
    HK_VM_STDIO_NONE,     /* /dev/null */
    HK_VM_STDIO_PORTS,    /* a stream each */
    HK_VM_STDIO_TERMINAL, /* one terminal */
};

struct hk_vm_stdio {
    enum hk_vm_stdio_kind kind;
    int fd[3]; /* in, out, err; -1: none */
};

/* ------------------------------------------------------------------ */
/* More consoles                                                      */

struct hk_vm_port {
    char *name; /* NULL: none */
    bool is_tty;
    int in_fd, out_fd; /* -1: none; the same one for a terminal */
};

struct hk_vm_console {
    bool is_default; /* made of the three descriptors, as libkrun does */
    int fd[3];
    struct hk_vm_port *ports;
    uint32_t port_count;
};

/* ------------------------------------------------------------------ */

struct hk_vm_parts {
    struct hk_vm_root root;
    struct hk_vm_share *shares;
    uint32_t share_count;
    uint32_t volume_count; /* shares with a guest path */
    struct hk_vm_disk *disks;
    uint32_t disk_count;
    struct hk_vm_workload workload;
    struct hk_vm_stdio stdio;
    struct hk_vm_console *consoles;
    uint32_t console_count;
    int kernel_log; /* descriptor or -1 */
};

#endif
