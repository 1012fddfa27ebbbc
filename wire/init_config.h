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

/*
 * The command's streams: with HK_CFG_TTY all three are the console, else each
 * is /dev/null; then a stream whose port flag is set is that port instead.
 * init waits for the ports that are announced, and for no others. The device
 * says that the host's side of a port is open before it says the port's name,
 * so that a reader never takes "not yet open" for the end of input.
 */
enum hk_cfg_flags {
    HK_CFG_TTY = 1,            /* the console is the controlling terminal */
    HK_CFG_STDIN_PORT = 2,     /* HK_PORT_STDIN is there */
    HK_CFG_READ_ONLY = 4,      /* the root is mounted read-only */
    HK_CFG_PID1 = 8,           /* exec the command as process 1 */
    HK_CFG_DHCP = 16,          /* configure eth0 */
    HK_CFG_EXIT_PORT = 32,     /* report the status through the exit port */
    HK_CFG_EXIT_IOCTL = 64,    /* ... through ioctl 0x7602 on the root share */
    HK_CFG_CONFIG_FILE = 128,  /* read /.krun_config.json (or KRUN_CONFIG) */
    HK_CFG_CMDLINE = 256,      /* also obey libkrun's KRUN_* variables of the
                                  environment init was started with, and the
                                  arguments it was given */
    HK_CFG_WORKDIR_MUST = 512, /* a working directory that is missing is an
                                  error (125) rather than made */
    HK_CFG_STDOUT_PORT = 1024,
    HK_CFG_STDERR_PORT = 2048,
    HK_CFG_CONTROL_PORT = 4096, /* HK_PORT_CONTROL is there */
    HK_CFG_STDIO_PORTS =
        HK_CFG_STDIN_PORT | HK_CFG_STDOUT_PORT | HK_CFG_STDERR_PORT,
    HK_CFG_ALL_FLAGS = 8191,
};

/*
 * Mount records: five strings, each ended by NUL: file system type, source
 * (tag or device), target, options (mount data, may be empty), flags as
 * words: "ro" or "". A virtiofs source is the tag. Of the root the target is
 * ignored, and the type "auto" means: try the kernel's types in turn; without
 * an HK_CFG_ROOT record the root stays what it is. A root share that only
 * carries init for a root on a disk has the folders dev, proc, sys and
 * newroot.
 */
enum {
    HK_EXIT_IOCTL = 0x7602,      /* the argument itself is the status */
    HK_EXIT_IO_PORT = 0x501,     /* a 32-bit write of the status */
    HK_EXIT_IO_PORT_ID = 0x4b53, /* what a 16-bit read of it gives */
};

#endif
