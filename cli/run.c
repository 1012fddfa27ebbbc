/*
 * husk run: a command in a VM whose / is a directory of the host.
 *
 * Standard output belongs to the command alone; what Husk has to say goes to
 * standard error. Signals that end a program are passed on to the command
 * (signals.c); the command's exit status becomes ours.
 */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run_options {
    const char *backend;
    const char *kernel;
    const char *console;
    unsigned cpus;
    uint64_t memory;
    uint64_t timeout_ms; /* HUSK_FOREVER for none */
    int log_level;
    bool cpu_bugs_shown;
    bool read_only;
    bool interactive;
    bool tty;
    bool has_term; /* TERM was given */
    bool help;
};

enum {
    OPT_BACKEND = 256,
    OPT_KERNEL,
    OPT_CPUS,
    OPT_CPU_BUGS,
    OPT_MEMORY,
    OPT_HOSTNAME,
    OPT_NET,
    OPT_DISK,
    OPT_READ_ONLY,
    OPT_TIMEOUT,
    OPT_LOG,
    OPT_CONSOLE,

    STOP_GRACE_MS = 10000,   /* from SIGTERM to SIGKILL */
    TIMEOUT_GRACE_MS = 1000, /* the same when time is up */
};

static const char short_options[] = "+:he:w:u:v:p:it";

static const struct option long_options[] = {
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"kernel", required_argument, NULL, OPT_KERNEL},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"cpu-bugs", required_argument, NULL, OPT_CPU_BUGS},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"env", required_argument, NULL, 'e'},
    {"workdir", required_argument, NULL, 'w'},
    {"user", required_argument, NULL, 'u'},
    {"hostname", required_argument, NULL, OPT_HOSTNAME},
    {"volume", required_argument, NULL, 'v'},
    {"publish", required_argument, NULL, 'p'},
    {"net", required_argument, NULL, OPT_NET},
    {"disk", required_argument, NULL, OPT_DISK},
    {"read-only", no_argument, NULL, OPT_READ_ONLY},
    {"interactive", no_argument, NULL, 'i'},
    {"tty", no_argument, NULL, 't'},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"log", required_argument, NULL, OPT_LOG},
    {"console", required_argument, NULL, OPT_CONSOLE},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int help(void)
{
    puts("usage: husk run [OPTIONS] ROOT [--] [COMMAND [ARG...]]\n"
         "\n"
         "Runs COMMAND (default /bin/sh) in a virtual machine whose / is the\n"
         "directory ROOT, and ends with its exit status.\n"
         "\n"
         "  -i, --interactive        pass standard input to the command\n"
         "  -t, --tty                give the command this terminal\n"
         "  -e, --env K=V            set a variable; K alone: as it is here\n"
         "  -w, --workdir DIR        the command's directory (default /)\n"
         "  -u, --user USER[:GROUP]  run as, by number or by name in ROOT\n"
         "      --hostname NAME      the guest's name (default husk)\n"
         "  -v, --volume HOST:GUEST[:ro]\n"
         "                           the directory HOST at GUEST\n"
         "      --disk PATH[,ro][,format=raw|qcow2|vmdk]\n"
         "                           a disk: /dev/vda, /dev/vdb, ...\n"
         "      --read-only          ROOT cannot be changed\n"
         "      --net none           the only one in this version\n"
         "      --kernel PATH        a kernel, or a folder that 'husk kernel\n"
         "                           import' made\n"
         "      --cpus N             1 to 254 (default 1)\n"
         "      --memory SIZE        512M, 2G (default 512M)\n"
         "      --timeout SECONDS    end the command after that time\n"
         "      --backend NAME       auto or one that 'husk doctor' lists\n"
         "      --cpu-bugs hide|show tell the guest's kernel that its CPU has\n"
         "                           no speculation bugs (default), or not\n"
         "      --console FILE       what the guest's kernel says, to FILE\n"
         "      --log LEVEL          off, error, warn, info, debug, trace\n"
         "\n"
         "HUSK_BACKEND and HUSK_KERNEL stand in for --backend and --kernel.\n"
         "Exit status: the command's; 128+N signal N ended it, 124 timed out,\n"
         "125 Husk failed, 126 COMMAND cannot be executed, 127 not found.");
    return CLI_OK;
}

/* ------------------------------------------------------------------ */
/* Options that the VM hears of at once                               */

/* 0, or CLI_FAILED after the VM's sentence was printed. */
static int check(struct husk_vm *vm, int rc)
{
    return rc < 0 ? cli_fail("%s", husk_vm_error(vm)) : CLI_OK;
}

static int add_env(struct husk_vm *vm, const char *text)
{
    if (strchr(text, '=') != NULL)
        return check(vm, husk_vm_add_env(vm, text));
    const char *value = getenv(text);
    if (value == NULL)
        return CLI_OK; /* not set here: not set there */
    size_t size = strlen(text) + strlen(value) + 2;
    char *assignment = malloc(size);
    if (assignment == NULL)
        return cli_fail("out of memory");
    (void)snprintf(assignment, size, "%s=%s", text, value);
    int rc = check(vm, husk_vm_add_env(vm, assignment));
    free(assignment);
    return rc;
}

/* Cuts ":ro" or ":rw" off the end of `text`; the flags it stands for. */
static unsigned take_mode(char *text)
{
    size_t len = strlen(text);
    if (len < 3)
        return 0;
    char *end = text + len - 3;
    bool read_only = strcmp(end, ":ro") == 0;
    if (read_only || strcmp(end, ":rw") == 0)
        *end = '\0';
    return read_only ? HUSK_SHARE_READ_ONLY : 0;
}

/* HOST:GUEST, cut at the last colon before a slash: a host path may have
 * colons, C:\dir among them. NULL when there is none. */
static char *cut_volume(char *text)
{
    char *cut = NULL;
    for (char *p = text; (p = strchr(p, ':')) != NULL; p++) {
        if (p[1] == '/')
            cut = p;
    }
    if (cut == NULL || cut == text)
        return NULL;
    *cut = '\0';
    return cut + 1;
}

static int add_volume(struct husk_vm *vm, const char *text)
{
    char *host = strdup(text);
    if (host == NULL)
        return cli_fail("out of memory");
    unsigned flags = take_mode(host);
    const char *guest = cut_volume(host);
    int rc;
    if (guest == NULL)
        rc = cli_fail("--volume wants HOST:GUEST[:ro] with an absolute GUEST, "
                      "not '%s'",
                      text);
    else
        rc = check(vm, husk_vm_add_volume(vm, host, guest, flags));
    free(host);
    return rc;
}

/* ------------------------------------------------------------------ */
/* Options                                                            */

static int refuse_net(const char *option, const char *text)
{
    if (strcmp(option, "--net") == 0 && strcmp(text, "none") == 0)
        return CLI_OK;
    return cli_fail("%s %s is not in this version yet; a guest has no network",
                    option, text);
}

/* What changes the VM directly. */
static int take_vm_option(struct husk_vm *vm, int option)
{
    switch (option) {
    case 'w':
        return check(vm, husk_vm_set_workdir(vm, optarg));
    case 'u':
        return check(vm, husk_vm_set_user(vm, optarg));
    case 'v':
        return add_volume(vm, optarg);
    case 'p':
        return refuse_net("--publish", optarg);
    case OPT_NET:
        return refuse_net("--net", optarg);
    case OPT_HOSTNAME:
        return check(vm, husk_vm_set_hostname(vm, optarg));
    case OPT_DISK:
        return cli_add_disk(vm, optarg);
    }
    return CLI_FAILED;
}

static int take_option(struct husk_vm *vm, struct run_options *o, int option)
{
    switch (option) {
    case OPT_BACKEND:
        o->backend = optarg;
        return CLI_OK;
    case OPT_KERNEL:
        o->kernel = optarg;
        return CLI_OK;
    case OPT_CONSOLE:
        o->console = optarg;
        return CLI_OK;
    case 'e':
        o->has_term |=
            strcspn(optarg, "=") == 4 && strncmp(optarg, "TERM", 4) == 0;
        return add_env(vm, optarg);
    case OPT_READ_ONLY:
        o->read_only = true;
        return CLI_OK;
    case 'i':
        o->interactive = true;
        return CLI_OK;
    case 't':
        o->tty = true;
        return CLI_OK;
    case 'h':
        o->help = true;
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
    }
    return take_vm_option(vm, option);
}

static int parse_options(struct husk_vm *vm, int argc, char **argv,
                         struct run_options *o)
{
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, short_options, long_options, NULL);
        if (option == -1)
            return CLI_OK;
        if (option == ':' || option == '?')
            return cli_bad_option(argc, argv, option);
        int rc = take_option(vm, o, option);
        if (rc != CLI_OK)
            return rc;
    }
}

/* ROOT [--] [COMMAND [ARG...]], from optind. */
static int take_words(struct husk_vm *vm, int argc, char **argv,
                      const struct run_options *o)
{
    if (optind >= argc)
        return cli_fail("no root given; name the directory that becomes / "
                        "after the options");
    const char *root = argv[optind++];
    if (root[0] == '\0')
        return cli_fail("the root is empty; name the directory that becomes "
                        "/");
    unsigned flags = o->read_only ? HUSK_SHARE_READ_ONLY : 0;
    int rc = check(vm, husk_vm_set_root(vm, root, flags));
    if (rc != CLI_OK)
        return rc;
    if (optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    if (optind >= argc)
        return CLI_OK;
    return check(vm,
                 husk_vm_set_command(vm, argv[optind],
                                     (const char *const *)&argv[optind + 1]));
}

/* ------------------------------------------------------------------ */
/* The VM                                                             */

static int set_streams(struct husk_vm *vm, const struct run_options *o)
{
    if (!o->tty)
        return check(vm, husk_vm_set_stdio(vm, o->interactive ? 0 : -1, 1, 2));
    int rc = o->has_term ? CLI_OK : add_env(vm, "TERM");
    /* A terminal that cannot be typed at is of no use to anybody: with or
     * without --interactive. */
    return rc == CLI_OK ? check(vm, husk_vm_set_terminal(vm, 0, 1)) : rc;
}

static int configure(struct husk_vm *vm, const struct run_options *o,
                     FILE *console)
{
    if (husk_vm_set_backend(vm, o->backend) != 0 ||
        husk_vm_set_kernel(vm, o->kernel) != 0 ||
        husk_vm_set_cpus(vm, o->cpus) != 0 ||
        husk_vm_set_cpu_bugs(vm, o->cpu_bugs_shown) != 0 ||
        husk_vm_set_memory(vm, o->memory) != 0)
        return check(vm, -1);
    if (console != NULL && husk_vm_set_kernel_log(vm, fileno(console)) != 0)
        return check(vm, -1);
    return set_streams(vm, o);
}

/* The exit status for the way the VM ended, after a word about it if that is
 * not what was wanted. */
static int conclude(struct husk_vm *vm)
{
    switch (husk_vm_end_reason(vm)) {
    case HUSK_END_EXIT:
        return husk_vm_end_status(vm);
    case HUSK_END_POWER_OFF: /* by the command itself */
    case HUSK_END_RESET:
        return CLI_OK;
    case HUSK_END_KILLED:
        return CLI_SIGNALLED + cli_signal_or(SIGTERM);
    case HUSK_END_ESCAPE:
        return CLI_SIGNALLED + SIGINT;
    case HUSK_END_CRASH:
    case HUSK_END_TRIPLE_FAULT:
    case HUSK_END_FAILED:
    case HUSK_END_NONE:
        break;
    }
    return cli_fail("%s", husk_vm_end_text(vm));
}

static int wait_for_end(struct husk_vm *vm, const struct run_options *o)
{
    if (husk_vm_wait(vm, o->timeout_ms) == 0)
        return conclude(vm);
    (void)husk_vm_stop(vm, TIMEOUT_GRACE_MS);
    (void)cli_fail("timed out after %.3g seconds",
                   (double)o->timeout_ms / 1000);
    return CLI_TIMED_OUT;
}

static int run(struct husk_vm *vm, const struct run_options *o)
{
    cli_pass_signals(vm, STOP_GRACE_MS);
    int rc = husk_vm_start(vm);
    if (rc == 0)
        rc = wait_for_end(vm, o);
    else if (cli_signal_or(0) != 0)
        rc = CLI_SIGNALLED + cli_signal_or(0);
    else
        rc = cli_fail("%s", husk_vm_error(vm));
    cli_forget_signals();
    return rc;
}

static int run_words(struct husk_vm *vm, int argc, char **argv)
{
    struct run_options o = {
        .cpus = 1,
        .memory = (uint64_t)512 << 20,
        .timeout_ms = HUSK_FOREVER,
        .log_level = HUSK_LOG_WARN,
    };
    int rc = check(vm, husk_vm_set_hostname(vm, "husk"));
    if (rc == CLI_OK)
        rc = parse_options(vm, argc, argv, &o);
    if (rc != CLI_OK)
        return rc;
    if (o.help)
        return help();
    rc = take_words(vm, argc, argv, &o);
    if (rc != CLI_OK)
        return rc;
    if (o.backend == NULL)
        o.backend = getenv("HUSK_BACKEND");
    (void)husk_log_set_level(o.log_level);

    FILE *console = NULL;
    if (o.console != NULL) {
        console = fopen(o.console, "wb");
        if (console == NULL)
            return cli_fail("cannot write the console to '%s': %s", o.console,
                            strerror(errno));
    }
    rc = configure(vm, &o, console);
    if (rc == CLI_OK)
        rc = run(vm, &o);
    if (console != NULL)
        (void)fclose(console);
    return rc;
}

int cli_run(int argc, char **argv)
{
    struct husk_vm *vm = NULL;
    int rc = husk_vm_create(&vm);
    if (rc != 0)
        return cli_fail("cannot make a VM: %s", husk_error_text(rc));
    rc = run_words(vm, argc, argv);
    husk_vm_destroy(vm);
    return rc;
}
