/*
 * husk_vm_set_serial, _stdio, _terminal, _add_console, _add_port: where a
 * VM's bytes go and come from. Descriptors are only noted.
 */
#include "api/husk_int.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ */
/* The serial port and the kernel's messages                          */

int husk_vm_set_serial(struct husk_vm *vm, int in_fd, int out_fd,
                       unsigned flags)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_fd(vm, in_fd);
    if (rc == 0)
        rc = hk_husk_check_fd(vm, out_fd);
    if (rc == 0)
        rc = hk_husk_check_flags(vm, flags, HUSK_SERIAL_RAW);
    if (rc != 0)
        return rc;
    vm->config.serial_in = in_fd;
    vm->config.serial_out = out_fd;
    vm->config.serial_raw = (flags & HUSK_SERIAL_RAW) != 0;
    return 0;
}

int husk_vm_set_kernel_log(struct husk_vm *vm, int fd)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_fd(vm, fd);
    if (rc == 0)
        vm->parts.kernel_log = fd;
    return rc;
}

/* ------------------------------------------------------------------ */
/* The command's streams                                              */

static int set_stdio(struct husk_vm *vm, enum hk_vm_stdio_kind kind,
                     const int fd[3])
{
    int rc = hk_husk_begin(vm);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = hk_husk_check_fd(vm, fd[i]);
    if (rc != 0)
        return rc;
    vm->parts.stdio.kind = kind;
    memcpy(vm->parts.stdio.fd, fd, sizeof(vm->parts.stdio.fd));
    return 0;
}

int husk_vm_set_stdio(struct husk_vm *vm, int in_fd, int out_fd, int err_fd)
{
    const int fd[3] = {in_fd, out_fd, err_fd};
    return set_stdio(vm, HK_VM_STDIO_PORTS, fd);
}

int husk_vm_set_terminal(struct husk_vm *vm, int in_fd, int out_fd)
{
    const int fd[3] = {in_fd, out_fd, -1};
    return set_stdio(vm, HK_VM_STDIO_TERMINAL, fd);
}

/* ------------------------------------------------------------------ */
/* More consoles                                                      */

/* A new console, not counted yet. */
static struct hk_vm_console *new_console(struct husk_vm *vm)
{
    struct hk_vm_parts *parts = &vm->parts;
    if (parts->console_count == HK_VM_CONSOLES_MAX) {
        (void)hk_err_set(&vm->err, -HK_EINVAL, "a VM has at most %d consoles",
                         HK_VM_CONSOLES_MAX);
        return NULL;
    }
    return hk_husk_grow(vm, (void **)&parts->consoles, parts->console_count,
                        sizeof(*parts->consoles));
}

int husk_vm_add_console(struct husk_vm *vm)
{
    int rc = hk_husk_begin(vm);
    if (rc != 0)
        return rc;
    bool full = vm->parts.console_count == HK_VM_CONSOLES_MAX;
    if (new_console(vm) == NULL)
        return full ? -HK_EINVAL : -HK_ENOMEM;
    return (int)vm->parts.console_count++;
}

int husk_vm_add_console_default(struct husk_vm *vm, int in_fd, int out_fd,
                                int err_fd)
{
    const int fd[3] = {in_fd, out_fd, err_fd};
    int rc = hk_husk_begin(vm);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = hk_husk_check_fd(vm, fd[i]);
    if (rc == 0)
        rc = husk_vm_add_console(vm);
    if (rc < 0)
        return rc;
    struct hk_vm_console *console = &vm->parts.consoles[rc];
    console->is_default = true;
    memcpy(console->fd, fd, sizeof(fd));
    return rc;
}

static int check_port(struct husk_vm *vm, unsigned console, const char *name)
{
    if (console >= vm->parts.console_count)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "there is no console %u; husk_vm_add_console makes "
                          "them",
                          console);
    const struct hk_vm_console *to = &vm->parts.consoles[console];
    if (to->is_default)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "console %u has the ports of three descriptors; add "
                          "another console for more",
                          console);
    if (to->port_count == HK_VM_PORTS_MAX)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "a console has at most %d ports", HK_VM_PORTS_MAX);
    if (name != NULL &&
        (strlen(name) > HK_VM_PORT_NAME_MAX || strchr(name, '/') != NULL))
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "the name of a port has at most %d bytes and no /",
                          HK_VM_PORT_NAME_MAX);
    return 0;
}

static int add_port(struct husk_vm *vm, unsigned number, const char *name,
                    const struct hk_vm_port *port)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = check_port(vm, number, name);
    if (rc == 0)
        rc = hk_husk_check_fd(vm, port->in_fd);
    if (rc == 0)
        rc = hk_husk_check_fd(vm, port->out_fd);
    if (rc == 0 && port->is_tty)
        rc = hk_vm_check_tty(port->in_fd, &vm->err);
    if (rc != 0)
        return rc;
    struct hk_vm_console *console = &vm->parts.consoles[number];
    struct hk_vm_port *slot = hk_husk_grow(vm, (void **)&console->ports,
                                           console->port_count, sizeof(*slot));
    if (slot == NULL)
        return -HK_ENOMEM;
    *slot = *port;
    rc = hk_husk_set_string(vm, &slot->name, name);
    if (rc == 0)
        console->port_count++;
    return rc;
}

int husk_vm_add_port_tty(struct husk_vm *vm, unsigned console, const char *name,
                         int tty_fd)
{
    const struct hk_vm_port port = {
        .is_tty = true,
        .in_fd = tty_fd,
        .out_fd = tty_fd,
    };
    return add_port(vm, console, name, &port);
}

int husk_vm_add_port(struct husk_vm *vm, unsigned console, const char *name,
                     int in_fd, int out_fd)
{
    const struct hk_vm_port port = {.in_fd = in_fd, .out_fd = out_fd};
    return add_port(vm, console, name, &port);
}

void hk_husk_free_consoles(struct hk_vm_parts *parts)
{
    for (uint32_t i = 0; i < parts->console_count; i++) {
        struct hk_vm_console *console = &parts->consoles[i];
        for (uint32_t k = 0; k < console->port_count; k++)
            free(console->ports[k].name);
        free(console->ports);
    }
    free(parts->consoles);
}
