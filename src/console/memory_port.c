/* A port that keeps output in memory and is fed input by hand. */
#include "console/port.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct bytes {
    uint8_t *data;
    size_t len;
    size_t room;
};

struct memory_port {
    struct hk_port base;
    uv_mutex_t lock; /* guards output, limit and full */
    struct bytes output;
    size_t limit; /* bytes that will still be taken */
    bool full;
    struct bytes input; /* fed, not yet taken */
    bool end, told_end;
    uint16_t columns, rows; /* 0: none */
};

static bool append(struct bytes *bytes, const uint8_t *data, size_t len)
{
    if (len > bytes->room - bytes->len) {
        size_t room = (bytes->len + len) * 2;
        uint8_t *grown = realloc(bytes->data, room);

        if (grown == NULL)
            return false;
        bytes->data = grown;
        bytes->room = room;
    }
    if (len != 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    return true;
}

static size_t memory_write(struct hk_port *port, const uint8_t *bytes,
                           size_t len)
{
    struct memory_port *memory = (struct memory_port *)port;

    uv_mutex_lock(&memory->lock);
    size_t taken = len < memory->limit ? len : memory->limit;
    if (!append(&memory->output, bytes, taken))
        taken = 0;
    if (memory->limit != SIZE_MAX)
        memory->limit -= taken;
    memory->full = taken < len;
    uv_mutex_unlock(&memory->lock);
    return taken;
}

static void tell_end(struct memory_port *memory)
{
    const struct hk_port_events *events = memory->base.events;

    if (!memory->end || memory->told_end || memory->input.len != 0 ||
        events == NULL)
        return;
    memory->told_end = true;
    if (events->input_end != NULL)
        events->input_end(memory->base.opaque);
}

static void memory_resume(struct hk_port *port)
{
    struct memory_port *memory = (struct memory_port *)port;

    if (memory->input.len != 0 && port->events != NULL &&
        port->events->input != NULL) {
        size_t taken = port->events->input(port->opaque, memory->input.data,
                                           memory->input.len);
        hk_assert(taken <= memory->input.len);
        memory->input.len -= taken;
        memmove(memory->input.data, memory->input.data + taken,
                memory->input.len);
    }
    tell_end(memory);
}

static bool memory_size(struct hk_port *port, uint16_t *columns, uint16_t *rows)
{
    struct memory_port *memory = (struct memory_port *)port;

    *columns = memory->columns;
    *rows = memory->rows;
    return memory->columns != 0;
}

static void memory_close(struct hk_port *port)
{
    struct memory_port *memory = (struct memory_port *)port;

    uv_mutex_destroy(&memory->lock);
    free(memory->output.data);
    free(memory->input.data);
    free(memory);
}

static const struct hk_port_ops memory_ops = {
    .name = "memory",
    .write = memory_write,
    .listen = memory_resume,
    .resume = memory_resume,
    .size = memory_size,
    .close = memory_close,
};

int hk_port_open_memory(struct hk_port **out)
{
    struct memory_port *memory = calloc(1, sizeof(*memory));
    if (memory == NULL)
        return -HK_ENOMEM;
    if (uv_mutex_init(&memory->lock) != 0) {
        free(memory);
        return -HK_ENOMEM;
    }
    memory->base.ops = &memory_ops;
    memory->limit = SIZE_MAX;
    *out = &memory->base;
    return 0;
}

const uint8_t *hk_port_memory_bytes(struct hk_port *port, size_t *len)
{
    struct memory_port *memory = (struct memory_port *)port;

    *len = memory->output.len;
    return memory->output.data;
}

void hk_port_memory_feed(struct hk_port *port, const uint8_t *bytes, size_t len)
{
    struct memory_port *memory = (struct memory_port *)port;

    bool kept = append(&memory->input, bytes, len);

    hk_assert(kept);
    memory_resume(port);
}

void hk_port_memory_end(struct hk_port *port)
{
    struct memory_port *memory = (struct memory_port *)port;

    memory->end = true;
    tell_end(memory);
}

void hk_port_memory_break(struct hk_port *port, int code)
{
    if (port->events != NULL && port->events->broken != NULL)
        port->events->broken(port->opaque, code);
}

void hk_port_memory_set_size(struct hk_port *port, uint16_t columns,
                             uint16_t rows)
{
    struct memory_port *memory = (struct memory_port *)port;

    memory->columns = columns;
    memory->rows = rows;
    if (port->events != NULL && port->events->resized != NULL)
        port->events->resized(port->opaque, columns, rows);
}

void hk_port_memory_set_room(struct hk_port *port, size_t room)
{
    struct memory_port *memory = (struct memory_port *)port;

    uv_mutex_lock(&memory->lock);
    bool was_full = memory->full;
    memory->limit = room;
    memory->full = false;
    uv_mutex_unlock(&memory->lock);
    if (was_full && room != 0 && port->events != NULL &&
        port->events->writable != NULL)
        port->events->writable(port->opaque);
}
