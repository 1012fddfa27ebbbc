/*
 * husk kernel: takes kernels from a distribution's packages and shows which
 * there are.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 4096, WHY_ROOM = 512 };

static int help(void)
{
    puts("usage: husk kernel import DEB|DIR [NAME]\n"
         "       husk kernel list\n"
         "\n"
         "import takes the kernel, and the modules that a VM needs, out of a\n"
         "Debian kernel package (linux-image-*.deb) or an unpacked one. NAME\n"
         "is the name of the new kernel folder or its path; without it the\n"
         "kernel becomes the default of 'husk run'.\n"
         "list shows the kernels that there are; * marks the default.\n"
         "\n"
         "Kernels are kept in $XDG_DATA_HOME/husk/kernels; those of the whole\n"
         "host in husk/kernels of the folders in $XDG_DATA_DIRS.");
    return CLI_OK;
}

static int import(int argc, char **argv)
{
    char why[WHY_ROOM];
    if (argc < 2 || argc > 3)
        return cli_fail("kernel import takes a package and maybe a name; "
                        "'husk kernel --help' says more");
    if (argc == 3 && argv[2][0] == '\0')
        return cli_fail("the name of the new kernel is empty");
    if (husk_kernel_import(argv[1], argc == 3 ? argv[2] : NULL, why,
                           sizeof(why)) != 0)
        return cli_fail("%s", why);
    return CLI_OK;
}

static int show(void *opaque, const char *path, const char *release)
{
    const char *mark = strcmp(path, opaque) == 0 ? "*" : " ";
    printf("%s %s %s\n", mark, release, path);
    return 0;
}

static int list(int argc, char **argv)
{
    char chosen[PATH_ROOM] = "", why[WHY_ROOM];
    if (argc > 1)
        return cli_fail("kernel list takes no argument, but got '%s'", argv[1]);
    int rc = husk_kernel_default(chosen, sizeof(chosen), why, sizeof(why));
    (void)husk_kernel_list(show, chosen);
    if (rc != 0)
        return cli_fail("%s", why);
    printf("default: %s\n", chosen);
    return CLI_OK;
}

int cli_kernel(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "import") == 0)
        return import(argc - 1, argv + 1);
    if (strcmp(verb, "list") == 0)
        return list(argc - 1, argv + 1);
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
        return help();
    if (*verb == '\0')
        return cli_fail("kernel what? 'husk kernel --help' lists the verbs");
    return cli_fail("there is no 'husk kernel %s'; 'husk kernel --help' lists "
                    "the verbs",
                    verb);
}
