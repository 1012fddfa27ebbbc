/*
 * The terminal side of a descriptor port: keys through libuv, and the window
 * size, which is that of the terminal shown to the user: the output's if it
 * is one.
 *
 * A change is told by a signal, but only to the session that the terminal
 * belongs to; a terminal of another session is looked at twice a second.
 */
#include "console/fds_int.h"

#include "loop/loop.h"

#include <string.h>

enum { SIZE_PERIOD_MS = 500 };

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct hk_fds_port *port = handle->data;

    memmove(port->buffer, port->buffer + port->first, port->last - port->first);
    port->last -= port->first;
    port->first = 0;
    buf->base = (char *)port->buffer + port->last;
    buf->len = HK_FDS_BUFFER - port->last;
}

/* Takes the end key out of `n` new bytes; returns how often it was there. */
static size_t strip_escapes(struct hk_fds_port *port, size_t n)
{
    uint8_t *to = port->buffer + port->last;
    const uint8_t *from = to;
    size_t found = 0;

    if (!port->takes_escape || memchr(from, HK_FDS_ESCAPE_KEY, n) == NULL) {
        port->last += n;
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (from[i] == HK_FDS_ESCAPE_KEY)
            found++;
        else
            *to++ = from[i];
    }
    port->last += n - found;
    return found;
}

static void stop_reading(struct hk_fds_port *port)
{
    port->is_reading = false;
    uv_read_stop((uv_stream_t *)&port->tty);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct hk_fds_port *port = stream->data;
    const struct hk_port_events *events = port->base.events;

    if (n == 0)
        return;
    if (n < 0) {
        port->end = true;
        stop_reading(port);
    } else if (strip_escapes(port, (size_t)n) != 0 && events->escape != NULL) {
        events->escape(port->base.opaque);
    }
    hk_fds_deliver(port);
    if (!port->closed && port->is_reading &&
        port->last - port->first == HK_FDS_BUFFER)
        stop_reading(port);
}

void hk_fds_tty_want_more(struct hk_fds_port *port)
{
    if (port->is_reading || port->end)
        return;
    if (uv_read_start((uv_stream_t *)&port->tty, on_alloc, on_read) == 0)
        port->is_reading = true;
    else
        port->end = true;
}

int hk_fds_tty_open(struct hk_fds_port *port, unsigned flags,
                    struct hk_errmsg *err)
{
    uv_os_fd_t used;
    int rc = hk_fdio_dup(port->in_fd, &port->tty_fd);
    if (rc != 0)
        return hk_err_set(err, rc, "terminal: %s", hk_err_text(rc));

    rc = uv_tty_init(hk_loop_uv(port->loop), &port->tty, port->tty_fd, 0);
    if (rc != 0)
        return hk_err_set(err, -HK_EIO, "terminal: %s", uv_strerror(rc));
    port->tty.data = port;
    port->is_tty = true;
    port->open_handles++;
    /* Normally libuv opens the terminal anew; otherwise it keeps our copy. */
    if (uv_fileno((uv_handle_t *)&port->tty, &used) == 0 &&
        (intptr_t)used == (intptr_t)port->tty_fd)
        port->tty_fd = -1;
    if ((flags & HK_PORT_RAW) == 0)
        return 0;
    rc = hk_tty_raw_set(&port->tty, port->in_fd, &port->raw);
    if (rc != 0)
        return hk_err_set(err, rc, "terminal: cannot set raw mode: %s",
                          hk_err_text(rc));
    port->takes_escape = (flags & HK_PORT_NO_ESCAPE) == 0;
    return 0;
}

void hk_fds_tty_close(struct hk_fds_port *port)
{
    hk_tty_raw_unset(port->raw);
    port->raw = NULL;
    if (port->is_tty)
        uv_close((uv_handle_t *)&port->tty, hk_fds_on_handle_closed);
}

/* Size */

bool hk_fds_size(struct hk_port *base, uint16_t *columns, uint16_t *rows)
{
    const struct hk_fds_port *port = (const struct hk_fds_port *)base;

    return port->size_fd >= 0 && hk_tty_size(port->size_fd, columns, rows);
}

static void look_at_size(void *opaque)
{
    struct hk_fds_port *port = opaque;
    const struct hk_port_events *events = port->base.events;
    uint16_t columns, rows;

    if (port->closed || !hk_fds_size(&port->base, &columns, &rows) ||
        (columns == port->columns && rows == port->rows))
        return;
    port->columns = columns;
    port->rows = rows;
    if (events->resized != NULL)
        events->resized(port->base.opaque, columns, rows);
}

/* Without news of the size there is still the size. */
void hk_fds_size_open(struct hk_fds_port *port)
{
    if (port->size_fd < 0)
        return;
    look_at_size(port);
    if (!hk_tty_tells_size(port->size_fd) &&
        hk_timer_add(port->loop, SIZE_PERIOD_MS, SIZE_PERIOD_MS, look_at_size,
                     port, &port->size_timer) != 0)
        port->size_timer = NULL;
    if (hk_tty_watch_start(hk_loop_uv(port->loop), look_at_size, port,
                           &port->watch) != 0)
        port->watch = NULL;
}

void hk_fds_size_close(struct hk_fds_port *port)
{
    hk_timer_remove(port->size_timer);
    hk_tty_watch_stop(port->watch);
    port->size_timer = NULL;
    port->watch = NULL;
}
