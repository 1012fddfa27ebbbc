/*
 * A VM with console ports, for consoles_test.py:
 *
 *     console_vm KERNEL INITRD CMDLINE LOG_FD PORT...
 *
 * PORT is NAME=tty:FD or NAME=io:IN_FD:OUT_FD; the name may be empty. All
 * ports are of one device. Exits with 0 when the guest powered off or
 * restarted in order.
 */
#include "husk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_MS = 600000 };

static int add_port(struct husk_vm *vm, unsigned console, char *spec)
{
    char *kind = strchr(spec, '=');
    int in, out;

    if (kind == NULL)
        return -1;
    *kind++ = '\0';
    const char *name = spec[0] != '\0' ? spec : NULL;
    if (sscanf(kind, "tty:%d", &in) == 1)
        return husk_vm_add_port_tty(vm, console, name, in);
    if (sscanf(kind, "io:%d:%d", &in, &out) == 2)
        return husk_vm_add_port(vm, console, name, in, out);
    return -1;
}

static int configure(struct husk_vm *vm, int argc, char **argv)
{
    if (husk_vm_set_kernel(vm, argv[1]) < 0 ||
        husk_vm_set_initrd(vm, argv[2]) < 0 ||
        husk_vm_set_cmdline(vm, argv[3]) < 0 ||
        husk_vm_set_serial(vm, -1, (int)strtol(argv[4], NULL, 10), 0) < 0 ||
        husk_vm_set_backend(vm, getenv("HUSK_BACKEND")) < 0)
        return -1;
    int console = husk_vm_add_console(vm);
    for (int i = 5; console >= 0 && i < argc; i++)
        if (add_port(vm, (unsigned)console, argv[i]) < 0)
            return -1;
    return console;
}

int main(int argc, char **argv)
{
    struct husk_vm *vm;

    if (argc < 5 || husk_vm_create(&vm) < 0)
        return 2;
    if (configure(vm, argc, argv) < 0 || husk_vm_start(vm) < 0 ||
        husk_vm_wait(vm, LIMIT_MS) < 0) {
        fprintf(stderr, "console_vm: %s\n", husk_vm_error(vm));
        husk_vm_destroy(vm);
        return 1;
    }
    enum husk_end end = husk_vm_end_reason(vm);
    fprintf(stderr, "console_vm: %s\n", husk_vm_end_text(vm));
    husk_vm_destroy(vm);
    return end == HUSK_END_POWER_OFF || end == HUSK_END_RESET ? 0 : 1;
}
