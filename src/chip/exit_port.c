#include "chip/exit_port.h"

#include <stdlib.h>

struct hk_exit_port {
    void (*fn)(void *opaque, uint32_t status);
    void *opaque;
    bool done;
};

int hk_exit_port_create(void (*fn)(void *opaque, uint32_t status), void *opaque,
                        struct hk_exit_port **out)
{
    struct hk_exit_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return -HK_ENOMEM;
    port->fn = fn;
    port->opaque = opaque;
    *out = port;
    return 0;
}

void hk_exit_port_destroy(struct hk_exit_port *port)
{
    free(port);
}

static uint64_t exit_read(void *device, uint64_t offset, uint32_t size)
{
    return offset == 0 ? HK_EXIT_PORT_ID : 0;
}

static void exit_write(void *device, uint64_t offset, uint32_t size,
                       uint64_t value)
{
    struct hk_exit_port *port = device;

    if (offset != 0 || port->done)
        return;
    port->done = true;
    port->fn(port->opaque, (uint32_t)value);
}

const struct hk_bus_ops hk_exit_port_bus_ops = {
    .name = "exit",
    .read = exit_read,
    .write = exit_write,
};
