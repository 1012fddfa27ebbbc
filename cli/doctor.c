/*
 * husk doctor: what works on this host, and why not.
 */
#include "cli.h"

#include <stdio.h>

/* One row for each back end; how many work. */
static unsigned print_backends(void)
{
    unsigned working = 0;
    printf("%-8s  %-6s  %s\n", "BACK END", "WORKS", "");
    for (size_t i = 0; i < husk_backend_count(); i++) {
        char why[512] = "";
        int rc = husk_backend_probe(i, why, sizeof(why));
        printf("%-8s  %-6s  %s\n", husk_backend_name(i), rc == 0 ? "yes" : "no",
               rc == 0 ? husk_backend_summary(i) : why);
        working += rc == 0 ? 1 : 0;
    }
    return working;
}

static void print_choice(void)
{
    char why[512] = "";
    int index = husk_backend_choose("auto", why, sizeof(why));
    if (index < 0)
        printf("auto      none: %s\n", why);
    else
        printf("auto      %s: %s\n", husk_backend_name((size_t)index), why);
}

static void print_host(void)
{
    char memory[32], features[256];
    uint64_t bytes = husk_host_memory();
    cli_format_size(bytes, memory, sizeof(memory));
    (void)husk_host_cpu_features(features, sizeof(features));
    printf("host      %u CPUs, %s of memory\n", husk_host_cpus(),
           bytes != 0 ? memory : "an unknown amount");
    printf("features  %s\n", features);
}

static void print_kernel(void)
{
    char name[4096] = "", why[512] = "";
    int rc = husk_kernel_default(name, sizeof(name), why, sizeof(why));
    printf("kernel    %s%s\n", rc == 0 ? "" : "none: ", rc == 0 ? name : why);
}

int cli_doctor(int argc, char **argv)
{
    if (argc > 1)
        return cli_fail("doctor takes no argument, but got '%s'", argv[1]);
    printf("husk %s\n\n", husk_version());
    unsigned working = print_backends();
    putchar('\n');
    print_choice();
    print_host();
    print_kernel();
    if (working == 0)
        return cli_fail("no back end works on this host");
    return CLI_OK;
}
