/*
 * husk: picks the sub-command.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("husk: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return CLI_FAILED;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    bool has_options; /* and --help */
    const char *usage;
} commands[] = {
    {"boot", cli_boot, true,
     "boot [OPTIONS] KERNEL            boot a kernel, serial console here"},
    {"run", cli_run, true,
     "run [OPTIONS] ROOT [--] [COMMAND [ARG...]]\n"
     "                                      run a command whose / is ROOT"},
    {"kernel", cli_kernel, true,
     "kernel import|list ...           the guest kernels of this host"},
    {"doctor", cli_doctor, false,
     "doctor                           what works on this host, and why not"},
    {"version", cli_version, false,
     "version                          print the version"},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static int help(void)
{
    puts("husk runs Linux in small virtual machines.\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  husk %s\n", commands[i].usage);
    puts("\n'husk help run' and 'husk help boot' list their options.");
    return CLI_OK;
}

/* husk help NAME: as husk NAME --help. */
static int help_of(const char *name)
{
    char word[] = "--help";
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char command[32];
        char *words[] = {command, word, NULL};
        if (strcmp(name, commands[i].name) != 0)
            continue;
        (void)snprintf(command, sizeof(command), "%s", name);
        if (commands[i].has_options)
            return commands[i].run(2, words);
        printf("husk %s\n", commands[i].usage);
        return CLI_OK;
    }
    return cli_fail("there is no command '%s'; 'husk help' lists them", name);
}

int cli_version(int argc, char **argv)
{
    if (argc > 1)
        return cli_fail("version takes no argument, but got '%s'", argv[1]);
    printf("husk %s\n", husk_version());
    return CLI_OK;
}

/*
 * A stream that was closed before we began would lend its number to the next
 * file that is opened, and the console would then talk to that. Nothing is
 * put in its place. (Where there is no such device, streams are never
 * missing.)
 */
static void fill_missing_streams(void)
{
    static FILE *held[3];
    for (int i = 0; i < 3; i++) {
        held[i] = fopen("/dev/null", "r+");
        if (held[i] == NULL)
            return;
        if (fileno(held[i]) > 2) {
            (void)fclose(held[i]);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    fill_missing_streams();
    if (argc < 2)
        return cli_fail("no command given; 'husk help' lists them");
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 ||
        strcmp(name, "-h") == 0)
        return argc > 2 ? help_of(argv[2]) : help();
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return cli_fail("there is no command '%s'; 'husk help' lists them", name);
}
