/*
 * A port between the guest and the VMM: output becomes calls, input comes
 * from calls.
 */
#include "console/port.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

struct calls_port {
    struct hk_port base;
    size_t (*write)(void *opaque, const uint8_t *bytes, size_t len);
    void *opaque;
    bool end, told_end;
    size_t len;
    uint8_t input[HK_PORT_CALLS_ROOM]; /* fed, not yet taken */
};

static struct calls_port *from_port(struct hk_port *port)
{
    return (struct calls_port *)port;
}

static size_t calls_write(struct hk_port *base, const uint8_t *bytes,
                          size_t len)
{
    struct calls_port *port = from_port(base);

    return port->write == NULL ? len : port->write(port->opaque, bytes, len);
}

static void tell_end(struct calls_port *port)
{
    const struct hk_port_events *events = port->base.events;

    if (!port->end || port->told_end || port->len != 0 || events == NULL)
        return;
    port->told_end = true;
    if (events->input_end != NULL)
        events->input_end(port->base.opaque);
}

static void calls_resume(struct hk_port *base)
{
    struct calls_port *port = from_port(base);
    const struct hk_port_events *events = base->events;

    if (port->len != 0 && events != NULL && events->input != NULL) {
        size_t taken = events->input(base->opaque, port->input, port->len);

        hk_assert(taken <= port->len);
        port->len -= taken;
        memmove(port->input, port->input + taken, port->len);
    }
    tell_end(port);
}

static void calls_close(struct hk_port *base)
{
    free(from_port(base));
}

static const struct hk_port_ops calls_ops = {
    .name = "calls",
    .write = calls_write,
    .listen = calls_resume,
    .resume = calls_resume,
    .close = calls_close,
};

int hk_port_open_calls(size_t (*write)(void *opaque, const uint8_t *bytes,
                                       size_t len),
                       void *opaque, struct hk_port **out)
{
    struct calls_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return -HK_ENOMEM;
    port->base.ops = &calls_ops;
    port->write = write;
    port->opaque = opaque;
    *out = &port->base;
    return 0;
}

bool hk_port_calls_feed(struct hk_port *base, const uint8_t *bytes, size_t len)
{
    struct calls_port *port = from_port(base);

    if (port->end || len > HK_PORT_CALLS_ROOM - port->len)
        return false;
    memcpy(port->input + port->len, bytes, len);
    port->len += len;
    calls_resume(base);
    return true;
}

void hk_port_calls_end(struct hk_port *base)
{
    struct calls_port *port = from_port(base);

    port->end = true;
    tell_end(port);
}

void hk_port_calls_writable(struct hk_port *base)
{
    if (base->events != NULL && base->events->writable != NULL)
        base->events->writable(base->opaque);
}
