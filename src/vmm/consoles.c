/*
 * Console devices from what the caller asked for.
 */
#include "vmm/consoles.h"

#include "base/log.h"
#include "console/port.h"
#include "virtio/console.h"
#include "vmm/vm_int.h"
#include "wire/console.h"
#include "wire/init_config.h"

#include <string.h>

static const char *const stream_names[3] = {HK_PORT_STDIN, HK_PORT_STDOUT,
                                            HK_PORT_STDERR};
static const uint32_t stream_flags[3] = {HK_CFG_STDIN_PORT, HK_CFG_STDOUT_PORT,
                                         HK_CFG_STDERR_PORT};

/* ------------------------------------------------------------------ */
/* The serial port                                                    */

static unsigned serial_flags(const struct hk_vm_config *config)
{
    return (config->serial_raw ? HK_PORT_RAW : 0u) |
           (config->no_end_key ? HK_PORT_NO_ESCAPE : 0u);
}

int hk_consoles_open_serial(struct hk_loop *loop,
                            const struct hk_vm_config *config,
                            struct hk_port **out, struct hk_errmsg *err)
{
    const struct hk_vm_parts *parts = config->parts;
    if (config->serial_in >= 0 || config->serial_out >= 0)
        return hk_port_open_fds(loop, config->serial_in, config->serial_out,
                                serial_flags(config), out, err);
    if (parts != NULL && parts->kernel_log >= 0)
        return hk_port_open_fds(loop, -1, parts->kernel_log, 0, out, err);
    if (parts != NULL && parts->root.kind != HK_VM_ROOT_NONE)
        return hk_port_open_log(HK_LOG_DEBUG, "guest", out);
    return hk_port_open_null(out);
}

/* ------------------------------------------------------------------ */
/* A device in the making                                             */

struct making {
    struct hk_vm *vm;
    struct hk_vcon_port_config port[HK_VCON_PORTS_MAX];
    uint32_t count;
    int rc; /* the first failure; nothing is added after it */
    struct hk_errmsg *err;
};

/* Takes the port; `rc` is what opening it gave. */
static void add_port(struct making *making, int rc, struct hk_port *take_port,
                     const char *name, bool console)
{
    if (rc == 0)
        hk_port_set_give_up(take_port, &making->vm->kill_requested);
    if (rc == 0 && making->count == HK_VCON_PORTS_MAX) {
        hk_port_close(take_port);
        rc = hk_err_set(making->err, -HK_EINVAL,
                        "a console has at most %d ports", HK_VCON_PORTS_MAX);
    }
    if (rc != 0) {
        making->rc = rc;
        return;
    }
    making->port[making->count++] = (struct hk_vcon_port_config){
        .name = name,
        .console = console,
        .take_port = take_port,
    };
}

/* Returns the port, or NULL after a failure. */
static struct hk_port *add_fds(struct making *making, int in_fd, int out_fd,
                               unsigned flags, const char *name, bool console)
{
    struct hk_port *port = NULL;
    if (making->rc != 0)
        return NULL;
    int rc = hk_port_open_fds(making->vm->machine.loop, in_fd, out_fd, flags,
                              &port, making->err);
    add_port(making, rc, port, name, console);
    if (making->rc == 0) {
        making->port[making->count - 1].hides_end = in_fd < 0;
        making->port[making->count - 1].goes_on = out_fd >= 0;
    }
    return making->rc == 0 ? port : NULL;
}

static void add_control(struct making *making)
{
    struct hk_port *port = NULL;
    if (making->rc != 0)
        return;
    int rc = hk_control_open(making->vm, &port);
    add_port(making, rc, port, HK_PORT_CONTROL, false);
    if (making->rc == 0)
        making->port[making->count - 1].hides_end = true;
}

static int finish(struct making *making, struct hk_vdev **out)
{
    if (making->rc == 0)
        return hk_vcon_create(making->vm->machine.loop, making->port,
                              making->count, out);
    for (uint32_t i = 0; i < making->count; i++)
        hk_port_close(making->port[i].take_port);
    return making->rc;
}

/* ------------------------------------------------------------------ */
/* The devices                                                        */

static void add_terminal(struct making *making, const struct hk_vm_stdio *stdio,
                         struct hk_streams *streams)
{
    struct hk_port *port = add_fds(making, stdio->fd[0], stdio->fd[1],
                                   HK_PORT_RAW | HK_PORT_NO_ESCAPE, NULL, true);
    streams->flags |= HK_CFG_TTY;
    if (port == NULL || !hk_port_size(port, &streams->columns, &streams->rows))
        streams->columns = streams->rows = 0;
}

/* A port of its own for one of the three streams. */
static void add_stream(struct making *making, int number, int fd,
                       struct hk_streams *streams)
{
    bool is_input = number == 0;
    (void)add_fds(making, is_input ? fd : -1, is_input ? -1 : fd, 0,
                  stream_names[number], false);
    streams->flags |= stream_flags[number];
}

/* The workload's streams and the control port. */
static int make_workload(struct hk_vm *vm, const struct hk_vm_stdio *stdio,
                         struct hk_streams *streams, struct hk_vdev **out,
                         struct hk_errmsg *err)
{
    struct making making = {.vm = vm, .err = err};
    if (stdio->kind == HK_VM_STDIO_TERMINAL)
        add_terminal(&making, stdio, streams);
    for (int i = 0; stdio->kind == HK_VM_STDIO_PORTS && i < 3; i++) {
        if (stdio->fd[i] >= 0)
            add_stream(&making, i, stdio->fd[i], streams);
    }
    add_control(&making);
    streams->flags |= HK_CFG_CONTROL_PORT;
    return finish(&making, out);
}

/* As libkrun makes it: a console of the terminals among the descriptors, and
 * a stream for each that is none. */
static void add_default(struct making *making,
                        const struct hk_vm_console *console,
                        struct hk_streams *streams)
{
    bool is_tty[3];
    for (int i = 0; i < 3; i++)
        is_tty[i] =
            console->fd[i] >= 0 && hk_vm_check_tty(console->fd[i], NULL) == 0;
    int in_fd = is_tty[0] ? console->fd[0] : -1;
    int out_fd = is_tty[1] ? console->fd[1] : is_tty[2] ? console->fd[2] : -1;
    struct hk_port *port = add_fds(making, in_fd, out_fd,
                                   HK_PORT_RAW | HK_PORT_NO_ESCAPE, NULL, true);
    bool first = (streams->flags & HK_CFG_TTY) == 0;
    if (port != NULL && first &&
        !hk_port_size(port, &streams->columns, &streams->rows))
        streams->columns = streams->rows = 0;
    if (in_fd >= 0 || out_fd >= 0)
        streams->flags |= HK_CFG_TTY;
    for (int i = 0; i < 3; i++) {
        if (console->fd[i] >= 0 && !is_tty[i])
            add_stream(making, i, console->fd[i], streams);
    }
}

static void add_ports(struct making *making,
                      const struct hk_vm_console *console,
                      struct hk_streams *streams)
{
    for (uint32_t i = 0; i < console->port_count; i++) {
        const struct hk_vm_port *port = &console->ports[i];
        unsigned flags = port->is_tty ? HK_PORT_RAW | HK_PORT_NO_ESCAPE : 0;
        (void)add_fds(making, port->in_fd, port->out_fd, flags, port->name,
                      port->is_tty);
        if (port->is_tty)
            streams->flags |= HK_CFG_TTY;
        for (int k = 0; port->name != NULL && k < 3; k++) {
            if (strcmp(port->name, stream_names[k]) == 0)
                streams->flags |= stream_flags[k];
        }
    }
}

static int make_console(struct hk_vm *vm, const struct hk_vm_console *console,
                        struct hk_streams *streams, struct hk_vdev **out,
                        struct hk_errmsg *err)
{
    struct making making = {.vm = vm, .err = err};
    if (console->is_default)
        add_default(&making, console, streams);
    else
        add_ports(&making, console, streams);
    return finish(&making, out);
}

int hk_consoles_create(struct hk_vm *vm, const struct hk_vm_config *config,
                       int (*add)(struct hk_vm *vm, struct hk_vdev *take_dev,
                                  struct hk_errmsg *err),
                       struct hk_streams *streams, struct hk_errmsg *err)
{
    const struct hk_vm_parts *parts = config->parts;
    struct hk_vdev *dev = NULL;
    *streams = (struct hk_streams){0};
    if (parts == NULL)
        return 0;
    /* Without streams of its own the workload has the caller's consoles, and
     * the first of these shall be hvc0. */
    bool has_init = parts->root.kind != HK_VM_ROOT_NONE;
    int rc = 0;
    if (has_init)
        rc = make_workload(vm, &parts->stdio, streams, &dev, err);
    if (rc == 0 && dev != NULL)
        rc = add(vm, dev, err);
    for (uint32_t i = 0; rc == 0 && i < parts->console_count; i++) {
        rc = make_console(vm, &parts->consoles[i], streams, &dev, err);
        if (rc == 0)
            rc = add(vm, dev, err);
    }
    return rc;
}
