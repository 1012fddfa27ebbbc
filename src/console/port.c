/* The port's wrappers, and the port that does nothing. */
#include "console/port.h"

#include "base/assert.h"

#include <stdlib.h>

size_t hk_port_write(struct hk_port *port, const uint8_t *bytes, size_t len)
{
    size_t taken = port->ops->write(port, bytes, len);

    hk_assert(taken <= len);
    return taken;
}

void hk_port_listen(struct hk_port *port, const struct hk_port_events *events,
                    void *opaque)
{
    port->events = events;
    port->opaque = opaque;
    port->ops->listen(port);
}

void hk_port_resume(struct hk_port *port)
{
    port->ops->resume(port);
}

void hk_port_drain(struct hk_port *port)
{
    if (port->ops->drain != NULL)
        port->ops->drain(port);
}

bool hk_port_size(struct hk_port *port, uint16_t *columns, uint16_t *rows)
{
    return port->ops->size != NULL && port->ops->size(port, columns, rows);
}

void hk_port_set_give_up(struct hk_port *port, const atomic_bool *flag)
{
    port->give_up = flag;
}

void hk_port_close(struct hk_port *port)
{
    if (port != NULL)
        port->ops->close(port);
}

/* null */

static size_t null_write(struct hk_port *port, const uint8_t *bytes, size_t len)
{
    return len;
}

static void null_nothing(struct hk_port *port)
{
}

static void null_close(struct hk_port *port)
{
    free(port);
}

static const struct hk_port_ops null_ops = {
    .name = "null",
    .write = null_write,
    .listen = null_nothing,
    .resume = null_nothing,
    .close = null_close,
};

int hk_port_open_null(struct hk_port **out)
{
    struct hk_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return -HK_ENOMEM;
    port->ops = &null_ops;
    *out = port;
    return 0;
}
