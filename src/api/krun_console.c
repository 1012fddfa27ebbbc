/*
 * krun_*: consoles and their ports.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "os/process.h"

#include <stdlib.h>

/* As descriptors, what callers hand in; below 0 all mean none. */
static int to_fd(krun_stream_t stream)
{
    return stream < 0 ? -1 : stream;
}

int32_t krun_disable_implicit_console(uint32_t ctx_id)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->no_console = true;
    hk_krun_end();
    return 0;
}

int32_t krun_set_console_output(uint32_t ctx_id, const char *c_filepath)
{
    char *copy = NULL;
    int rc = hk_krun_copy_text(c_filepath, &copy);
    if (rc != 0)
        return rc;
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    rc = -HK_ENOENT;
    if (ctx != NULL) {
        rc = ctx->console_output == NULL ? 0 : -HK_EINVAL;
        if (rc == 0)
            ctx->console_output = copy;
        hk_krun_end();
    }
    if (rc != 0)
        free(copy);
    return rc;
}

/* Gives the console's number. */
static int add_console(uint32_t ctx_id, const struct hk_krun_console *model)
{
    struct hk_krun_console *console = malloc(sizeof(*console));
    if (console == NULL)
        return -HK_ENOMEM;
    *console = *model;
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL) {
        free(console);
        return -HK_ENOENT;
    }
    int number = (int)ctx->consoles.count;
    hk_krun_append(&ctx->consoles, &console->node);
    hk_krun_end();
    return number;
}

int32_t krun_add_virtio_console_default(uint32_t ctx_id, krun_stream_t input_fd,
                                        krun_stream_t output_fd,
                                        krun_stream_t err_fd)
{
    struct hk_krun_console model = {
        .kind = HK_KRUN_CONSOLE_DEFAULT,
        .in_fd = to_fd(input_fd),
        .out_fd = to_fd(output_fd),
        .err_fd = to_fd(err_fd),
    };
    int rc = add_console(ctx_id, &model);
    return rc < 0 ? rc : 0;
}

int32_t krun_add_serial_console_default(uint32_t ctx_id, krun_stream_t input_fd,
                                        krun_stream_t output_fd)
{
    struct hk_krun_console model = {
        .kind = HK_KRUN_CONSOLE_SERIAL,
        .in_fd = to_fd(input_fd),
        .out_fd = to_fd(output_fd),
        .err_fd = -1,
    };
    int rc = add_console(ctx_id, &model);
    return rc < 0 ? rc : 0;
}

int32_t krun_add_virtio_console_multiport(uint32_t ctx_id)
{
    struct hk_krun_console model = {
        .kind = HK_KRUN_CONSOLE_PORTS,
        .in_fd = -1,
        .out_fd = -1,
        .err_fd = -1,
    };
    return add_console(ctx_id, &model);
}

/* The multiport console of that number, or NULL. */
static struct hk_krun_console *find_console(struct hk_krun *ctx,
                                            uint32_t number)
{
    struct hk_krun_node *node = ctx->consoles.first;
    for (; node != NULL && number != 0; number--)
        node = node->next;
    struct hk_krun_console *console = (struct hk_krun_console *)(void *)node;
    return console != NULL && console->kind == HK_KRUN_CONSOLE_PORTS ? console
                                                                     : NULL;
}

static int add_port(uint32_t ctx_id, uint32_t console_id, const char *name,
                    const struct hk_krun_port *model)
{
    struct hk_krun_port *port = malloc(sizeof(*port));
    if (port == NULL)
        return -HK_ENOMEM;
    *port = *model;
    int rc = hk_krun_copy_text(name != NULL ? name : "", &port->name);
    if (rc != 0) {
        free(port);
        return rc;
    }
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    rc = -HK_ENOENT;
    if (ctx != NULL) {
        struct hk_krun_console *console = find_console(ctx, console_id);
        rc = console != NULL ? 0 : -HK_EINVAL;
        if (rc == 0)
            hk_krun_append(&console->ports, &port->node);
        hk_krun_end();
    }
    if (rc != 0) {
        free(port->name);
        free(port);
    }
    return rc;
}

int32_t krun_add_console_port_tty(uint32_t ctx_id, uint32_t console_id,
                                  const char *name, krun_stream_t tty_fd)
{
    int fd = to_fd(tty_fd);
    if (fd < 0)
        return -HK_EINVAL;
    if (!hk_process_is_terminal(fd))
        return -HK_ENOTTY;
    struct hk_krun_port model = {.is_tty = true, .in_fd = fd, .out_fd = fd};
    return add_port(ctx_id, console_id, name, &model);
}

int32_t krun_add_console_port_inout(uint32_t ctx_id, uint32_t console_id,
                                    const char *name, krun_stream_t input_fd,
                                    krun_stream_t output_fd)
{
    struct hk_krun_port model = {.in_fd = to_fd(input_fd),
                                 .out_fd = to_fd(output_fd)};
    return add_port(ctx_id, console_id, name, &model);
}
