/*
 * What the host tells init: a file of records, carried to the guest as
 * /husk.cfg in the initramfs, or as the one-shot virtual file .husk.cfg in
 * the root share where there is no initramfs.
 *
 *     "HUSKCFG1"  then records  { u16 kind, u16 0, u32 len, len bytes }
 *
 * all little endian, without padding; strings have no closing NUL and hold no
 * NUL; the last record is HK_CFG_END. Unknown kinds are an error: host and
 * init are built together.
 *
 * Order matters within a kind (arguments, mounts). Environment strings are
 * "K=V".
 */
#ifndef HK_WIRE_INIT_CONFIG_H
#define HK_WIRE_INIT_CONFIG_H

#include <stdint.h>

#define HK_CFG_MAGIC "HUSKCFG1"
#define HK_CFG_PATH "/husk.cfg"       /* in the initramfs */
#define HK_CFG_SHARE_NAME ".husk.cfg" /* in the root share */

enum {
    HK_CFG_MAX = 1 << 20, /* bytes of the whole file */
};

enum hk_cfg_kind {
    HK_CFG_END = 0,
    HK_CFG_MODULE = 1, /* path in the initramfs; load in this order */
    HK_CFG_ROOT = 2,   /* hk_cfg_mount record: what / is */
    HK_CFG_MOUNT = 3,  /* hk_cfg_mount record: a volume */
    HK_CFG_EXEC = 4,   /* path or name of the command: argv[0] */
    HK_CFG_ARG = 5,    /* one each, argv[1]... */
    HK_CFG_ENV = 6,    /* one each */
    HK_CFG_WORKDIR = 7,
    HK_CFG_USER = 8, /* "UID", "UID:GID", "NAME" or "NAME:GROUP", looked
                        up in the guest's own /etc */
    HK_CFG_HOSTNAME = 9,
    HK_CFG_RLIMIT = 10,    /* "ID=SOFT:HARD", numeric */
    HK_CFG_FLAGS = 11,     /* u32 of hk_cfg_flags */
    HK_CFG_CONSOLE = 12,   /* device name of the workload's terminal, "hvc0";
                              with HK_CFG_TTY */
    HK_CFG_ROWS_COLS = 13, /* u16 rows, u16 columns at the start */
};

enum hk_cfg_flags {
    HK_CFG_TTY = 1,           /* stdin, stdout and stderr are the console */
    HK_CFG_STDIO_PORTS = 2,   /* they are the ports named krun-std*; one that is
                                 missing is /dev/null */
    HK_CFG_READ_ONLY = 4,     /* the root is mounted read-only */
    HK_CFG_PID1 = 8,          /* exec the command as process 1 */
    HK_CFG_DHCP = 16,         /* configure eth0 */
    HK_CFG_EXIT_PORT = 32,    /* report the status through the exit port */
    HK_CFG_EXIT_IOCTL = 64,   /* ... through ioctl 0x7602 on the root share */
    HK_CFG_CONFIG_FILE = 128, /* read /.krun_config.json (or KRUN_CONFIG) */
    HK_CFG_CMDLINE = 256,     /* also obey libkrun's KRUN_* variables of the
                                 environment init was started with */
    HK_CFG_WORKDIR_MUST = 512, /* a working directory that is missing is an
                                  error (125) rather than made */
};

/* Mount records: five strings, each ended by NUL: file system type, source
 * (tag or device), target, options (mount data, may be empty), flags as
 * words: "ro" or "". A virtiofs source is the tag. */

#endif
