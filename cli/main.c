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
    const char *usage;
} commands[] = {
    {"boot", cli_boot,
     "boot [OPTIONS] KERNEL            boot a kernel, serial console here"},
    {"run", cli_run,
     "run [OPTIONS] ROOT [--] COMMAND  run a command (not in this build yet)"},
    {"doctor", cli_doctor,
     "doctor                           what works on this host, and why not"},
    {"version", cli_version,
     "version                          print the version"},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static int help(void)
{
    puts("husk runs Linux in small virtual machines.\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  husk %s\n", commands[i].usage);
    puts("\n'husk boot --help' lists the options of boot.");
    return CLI_OK;
}

int cli_version(int argc, char **argv)
{
    if (argc > 1)
        return cli_fail("version takes no argument, but got '%s'", argv[1]);
    printf("husk %s\n", husk_version());
    return CLI_OK;
}

int cli_run(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_fail("run is not part of this build yet; 'husk boot' boots a "
                    "kernel with an initrd");
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
        return help();
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return cli_fail("there is no command '%s'; 'husk help' lists them", name);
}
