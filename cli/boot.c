/*
 * husk boot: a kernel on the serial console.
 *
 * Signals end the VM in order (signals.c), so that the terminal is as before;
 * the command then ends with 128 plus the signal's number.
 */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISKS_MAX = 26 };

struct boot_options {
    const char *backend;
    const char *kernel;
    const char *initrd;
    const char *cmdline;
    const char *console;
    const char *disk[DISKS_MAX];
    unsigned disk_count;
    unsigned cpus;
    uint64_t memory;
    uint64_t timeout_ms; /* HUSK_FOREVER for none */
    int log_level;
    bool no_additions;
    bool cpu_bugs_shown;
    bool help;
};

enum {
    OPT_BACKEND = 256,
    OPT_KERNEL,
    OPT_CPUS,
    OPT_CPU_BUGS,
    OPT_MEMORY,
    OPT_INITRD,
    OPT_CMDLINE,
    OPT_NO_ADDITIONS,
    OPT_CONSOLE,
    OPT_DISK,
    OPT_TIMEOUT,
    OPT_LOG,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"kernel", required_argument, NULL, OPT_KERNEL},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"cpu-bugs", required_argument, NULL, OPT_CPU_BUGS},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"initrd", required_argument, NULL, OPT_INITRD},
    {"cmdline", required_argument, NULL, OPT_CMDLINE},
    {"no-cmdline-additions", no_argument, NULL, OPT_NO_ADDITIONS},
    {"console", required_argument, NULL, OPT_CONSOLE},
    {"disk", required_argument, NULL, OPT_DISK},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"log", required_argument, NULL, OPT_LOG},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int help(void)
{
    puts("usage: husk boot [OPTIONS] KERNEL\n"
         "\n"
         "Boots KERNEL (bzImage or ELF) with its serial console on standard\n"
         "input and output. At a terminal, Ctrl-] ends the VM.\n"
         "\n"
         "  --backend NAME           auto or one that 'husk doctor' lists\n"
         "  --kernel PATH            instead of KERNEL\n"
         "  --initrd FILE            initial RAM disk\n"
         "  --cmdline TEXT           kernel command line\n"
         "  --no-cmdline-additions   add nothing to it\n"
         "  --cpus N                 1 to 254 (default 1)\n"
         "  --cpu-bugs hide|show     tell the guest's kernel that its CPU has\n"
         "                           no speculation bugs (default), or not\n"
         "  --memory SIZE            512M, 2G (default 512M)\n"
         "  --disk PATH[,ro][,format=raw|qcow2|vmdk]\n"
         "                           a disk: /dev/vda, /dev/vdb, ...\n"
         "  --console FILE           console output to FILE, no input\n"
         "  --timeout SECONDS        end the VM after that time\n"
         "  --log LEVEL              off, error, warn, info, debug, trace\n"
         "\n"
         "HUSK_BACKEND and HUSK_KERNEL stand in for --backend and KERNEL.\n"
         "Exit status: 0 the guest powered off or restarted in order, 1 it\n"
         "crashed, 124 timed out, 125 Husk failed, 130 ended by Ctrl-] or\n"
         "Ctrl-C, 128+N ended by signal N, or what the guest wrote to the\n"
         "exit port.");
    return CLI_OK;
}

/* ------------------------------------------------------------------ */
/* Options                                                            */

static int take_option(struct boot_options *o, int option)
{
    switch (option) {
    case OPT_BACKEND:
        o->backend = optarg;
        return CLI_OK;
    case OPT_KERNEL:
        o->kernel = optarg;
        return CLI_OK;
    case OPT_INITRD:
        o->initrd = optarg;
        return CLI_OK;
    case OPT_CMDLINE:
        o->cmdline = optarg;
        return CLI_OK;
    case OPT_NO_ADDITIONS:
        o->no_additions = true;
        return CLI_OK;
    case OPT_CONSOLE:
        o->console = optarg;
        return CLI_OK;
    case OPT_DISK:
        if (o->disk_count == DISKS_MAX)
            return cli_fail("at most %d disks", DISKS_MAX);
        o->disk[o->disk_count++] = optarg;
        return CLI_OK;
    case OPT_CPUS:
        return cli_parse_count("--cpus", optarg, &o->cpus);
    case OPT_CPU_BUGS:
        return cli_parse_choice("--cpu-bugs", optarg, "hide", "show",
                                &o->cpu_bugs_shown);
    case OPT_MEMORY:
        return cli_parse_size("--memory", optarg, &o->memory);
    case OPT_TIMEOUT:
        return cli_parse_seconds("--timeout", optarg, &o->timeout_ms);
    case OPT_LOG:
        return cli_parse_level("--log", optarg, &o->log_level);
    case OPT_HELP:
        o->help = true;
        return CLI_OK;
    }
    return CLI_FAILED;
}

static int parse_options(int argc, char **argv, struct boot_options *o)
{
    opterr = 0;
    for (;;) {
        /* '+': stop at the kernel; ':': tell missing values apart */
        int option = getopt_long(argc, argv, "+:h", long_options, NULL);
        if (option == -1)
            break;
        if (option == 'h')
            option = OPT_HELP;
        if (option == ':' || option == '?')
            return cli_bad_option(argc, argv, option);
        int rc = take_option(o, option);
        if (rc != CLI_OK)
            return rc;
    }
    if (o->help)
        return CLI_OK;
    if (optind < argc) {
        if (o->kernel != NULL)
            return cli_fail("two kernels given, '%s' and '%s'; give one",
                            o->kernel, argv[optind]);
        o->kernel = argv[optind++];
    }
    if (optind < argc)
        return cli_fail("'%s' follows the kernel; options come before it",
                        argv[optind]);
    if (o->kernel == NULL)
        o->kernel = getenv("HUSK_KERNEL");
    if (o->backend == NULL)
        o->backend = getenv("HUSK_BACKEND");
    if (o->kernel == NULL || o->kernel[0] == '\0')
        return cli_fail("no kernel given; name one after the options or in "
                        "HUSK_KERNEL");
    return CLI_OK;
}

/* ------------------------------------------------------------------ */
/* The VM                                                             */

static int configure(struct husk_vm *vm, const struct boot_options *o,
                     FILE *console)
{
    int in_fd = 0, out_fd = 1;
    unsigned flags = HUSK_SERIAL_RAW;
    if (console != NULL) {
        in_fd = -1;
        out_fd = fileno(console);
        flags = 0;
    }
    if (husk_vm_set_backend(vm, o->backend) != 0 ||
        husk_vm_set_kernel(vm, o->kernel) != 0 ||
        husk_vm_set_initrd(vm, o->initrd) != 0 ||
        husk_vm_set_cmdline(vm, o->cmdline) != 0 ||
        husk_vm_set_cmdline_additions(vm, !o->no_additions) != 0 ||
        husk_vm_set_cpus(vm, o->cpus) != 0 ||
        husk_vm_set_cpu_bugs(vm, o->cpu_bugs_shown) != 0 ||
        husk_vm_set_memory(vm, o->memory) != 0 ||
        husk_vm_set_serial(vm, in_fd, out_fd, flags) != 0)
        return cli_fail("%s", husk_vm_error(vm));
    int rc = CLI_OK;
    for (unsigned i = 0; rc == CLI_OK && i < o->disk_count; i++)
        rc = cli_add_disk(vm, o->disk[i]);
    return rc;
}

/* The exit status for the way the VM ended, after a word about it if that is
 * not what was wanted. */
static int conclude(struct husk_vm *vm)
{
    switch (husk_vm_end_reason(vm)) {
    case HUSK_END_POWER_OFF:
    case HUSK_END_RESET:
        return CLI_OK;
    case HUSK_END_EXIT:
        return husk_vm_end_status(vm);
    case HUSK_END_CRASH:
    case HUSK_END_TRIPLE_FAULT:
        (void)cli_fail("%s", husk_vm_end_text(vm));
        return CLI_GUEST_CRASHED;
    case HUSK_END_ESCAPE:
        return CLI_SIGNALLED + SIGINT;
    case HUSK_END_KILLED:
        return CLI_SIGNALLED + cli_signal_or(SIGTERM);
    case HUSK_END_FAILED:
    case HUSK_END_NONE:
        break;
    }
    return cli_fail("%s", husk_vm_end_text(vm));
}

static int run(struct husk_vm *vm, const struct boot_options *o)
{
    cli_pass_signals(vm, 0);
    int rc = husk_vm_start(vm);
    if (rc != 0 && cli_signal_or(0) != 0)
        return CLI_SIGNALLED + cli_signal_or(0);
    if (rc != 0)
        return cli_fail("%s", husk_vm_error(vm));
    if (husk_vm_wait(vm, o->timeout_ms) == 0)
        return conclude(vm);
    husk_vm_kill(vm);
    (void)husk_vm_wait(vm, HUSK_FOREVER);
    if (husk_vm_end_reason(vm) != HUSK_END_KILLED || cli_signal_or(0) != 0)
        return conclude(vm); /* it ended by itself in the same moment */
    (void)cli_fail("timed out after %.3g seconds",
                   (double)o->timeout_ms / 1000);
    return CLI_TIMED_OUT;
}

static int boot(const struct boot_options *o, FILE *console)
{
    struct husk_vm *vm = NULL;
    int rc = husk_vm_create(&vm);
    if (rc != 0)
        return cli_fail("cannot make a VM: %s", husk_error_text(rc));
    rc = configure(vm, o, console);
    if (rc == CLI_OK)
        rc = run(vm, o);
    cli_forget_signals();
    husk_vm_destroy(vm);
    return rc;
}

int cli_boot(int argc, char **argv)
{
    struct boot_options o = {
        .cpus = 1,
        .memory = (uint64_t)512 << 20,
        .timeout_ms = HUSK_FOREVER,
        .log_level = HUSK_LOG_WARN,
    };
    int rc = parse_options(argc, argv, &o);
    if (rc != CLI_OK)
        return rc;
    if (o.help)
        return help();
    (void)husk_log_set_level(o.log_level);

    FILE *console = NULL;
    if (o.console != NULL) {
        console = fopen(o.console, "wb");
        if (console == NULL)
            return cli_fail("cannot write the console to '%s': %s", o.console,
                            strerror(errno));
    }
    rc = boot(&o, console);
    if (console != NULL)
        (void)fclose(console);
    return rc;
}
