/*
 * A port on two descriptors of the caller.
 *
 * Output is the output pump's business. Input comes one of two ways into one
 * buffer: a terminal is read by libuv, which opens it anew so that nobody
 * else sees our modes of reading; anything else (pipe, file, device) is read
 * by a thread, so that no descriptor of the caller's is made non-blocking.
 * The thread fills the buffer only while it is empty, the loop empties it.
 *
 *   terminal --> on_tty_read --\
 *                               buffer --> deliver --> events->input
 *   other ----> reader thread -/    (async handle wakes the loop)
 *
 * A terminal is read on even when the guest takes nothing, up to the size of
 * the buffer: the end key must work when the guest hangs.
 */
#include "console/port.h"

#include "base/assert.h"
#include "console/outpump.h"
#include "loop/loop.h"
#include "os/fdio.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    BUFFER_SIZE = 65536,
    ESCAPE_KEY = 0x1d, /* Ctrl-] */
};

struct fds_port {
    struct hk_port base;
    struct hk_loop *loop;
    int in_fd;
    bool is_tty;
    bool is_raw;
    bool closed;
    uint32_t open_handles;

    struct hk_outpump *pump;
    atomic_bool has_space;

    uv_async_t async;
    uv_tty_t tty;
    int tty_fd; /* our copy of in_fd while libuv did not take it, or -1 */
    uv_signal_t winch;

    bool has_reader;
    uv_thread_t reader;
    struct hk_fdio_stop *stop;
    uv_mutex_t lock; /* guards `filled`, `end` and `stopping` */
    uv_cond_t changed;
    bool filled; /* the buffer is the loop's (thread reading only) */
    bool end;
    bool stopping;
    bool told_end;

    bool is_reading; /* uv_read_start is in force */
    size_t first, last;
    uint8_t buffer[BUFFER_SIZE];
};

static struct fds_port *from_port(struct hk_port *port)
{
    return (struct fds_port *)port;
}

void hk_port_restore_terminal(void)
{
    uv_tty_reset_mode();
}

/* Output */

static void on_space(void *opaque)
{
    struct fds_port *port = opaque;

    atomic_store(&port->has_space, true);
    uv_async_send(&port->async);
}

static size_t fds_write(struct hk_port *base, const uint8_t *bytes, size_t len)
{
    struct fds_port *port = from_port(base);

    return port->pump == NULL ? len : hk_outpump_write(port->pump, bytes, len);
}

static void fds_drain(struct hk_port *base)
{
    struct fds_port *port = from_port(base);

    if (port->pump != NULL)
        hk_outpump_drain(port->pump);
}

/* Input */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf);
static void on_tty_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

/* The buffer is empty or has room: let more come. */
static void want_more(struct fds_port *port)
{
    if (port->is_tty) {
        if (!port->is_reading && !port->end)
            port->is_reading = uv_read_start((uv_stream_t *)&port->tty,
                                             on_alloc, on_tty_read) == 0;
        return;
    }
    if (!port->has_reader || port->first != port->last)
        return;
    uv_mutex_lock(&port->lock);
    port->filled = false;
    uv_cond_signal(&port->changed);
    uv_mutex_unlock(&port->lock);
}

static void deliver(struct fds_port *port)
{
    const struct hk_port_events *events = port->base.events;

    if (port->closed || events == NULL)
        return;
    if (port->first < port->last) {
        size_t len = port->last - port->first;
        size_t taken = len;

        if (events->input != NULL)
            taken = events->input(port->base.opaque, port->buffer + port->first,
                                  len);
        hk_assert(taken <= len);
        port->first += taken;
        if (taken < len)
            return;
    }
    port->first = 0;
    port->last = 0;
    if (!port->end) {
        want_more(port);
    } else if (!port->told_end) {
        port->told_end = true;
        if (events->input_end != NULL)
            events->input_end(port->base.opaque);
    }
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct fds_port *port = handle->data;

    memmove(port->buffer, port->buffer + port->first, port->last - port->first);
    port->last -= port->first;
    port->first = 0;
    buf->base = (char *)port->buffer + port->last;
    buf->len = BUFFER_SIZE - port->last;
}

/* Takes the end key out of `n` new bytes; returns how often it was there. */
static size_t strip_escapes(struct fds_port *port, size_t n)
{
    uint8_t *to = port->buffer + port->last;
    const uint8_t *from = to;
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        if (port->is_raw && from[i] == ESCAPE_KEY)
            found++;
        else
            *to++ = from[i];
    }
    port->last += n - found;
    return found;
}

static void stop_reading(struct fds_port *port)
{
    port->is_reading = false;
    uv_read_stop((uv_stream_t *)&port->tty);
}

static void on_tty_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fds_port *port = stream->data;
    const struct hk_port_events *events = port->base.events;

    if (n == 0)
        return;
    if (n < 0) {
        port->end = true;
        stop_reading(port);
    } else if (strip_escapes(port, (size_t)n) != 0 && events->escape != NULL) {
        events->escape(port->base.opaque);
    }
    deliver(port);
    if (!port->closed && port->is_reading &&
        port->last - port->first == BUFFER_SIZE)
        stop_reading(port);
}

/* The reader thread: fills the buffer, then waits until it is empty. */
static void reader_main(void *opaque)
{
    struct fds_port *port = opaque;
    int n;

    hk_fdio_enter_thread();
    do {
        n = hk_fdio_read(port->in_fd, port->buffer, BUFFER_SIZE, port->stop);
        uv_mutex_lock(&port->lock);
        if (n > 0) {
            port->last = (size_t)n;
            port->filled = true;
        } else {
            port->end = true;
        }
        uv_mutex_unlock(&port->lock);
        uv_async_send(&port->async);
        uv_mutex_lock(&port->lock);
        while (port->filled && !port->stopping)
            uv_cond_wait(&port->changed, &port->lock);
        if (port->stopping)
            n = 0;
        uv_mutex_unlock(&port->lock);
    } while (n > 0);
}

static bool has_news(struct fds_port *port)
{
    if (port->is_tty)
        return false;
    uv_mutex_lock(&port->lock);
    bool news = port->filled || port->end;
    uv_mutex_unlock(&port->lock);
    return news;
}

static void on_async(uv_async_t *async)
{
    struct fds_port *port = async->data;
    const struct hk_port_events *events = port->base.events;

    if (port->closed || events == NULL)
        return;
    if (atomic_exchange(&port->has_space, false) && events->writable != NULL)
        events->writable(port->base.opaque);
    if (!port->closed && has_news(port))
        deliver(port);
}

static void fds_resume(struct hk_port *base)
{
    struct fds_port *port = from_port(base);

    if (port->is_tty || has_news(port))
        deliver(port);
}

static void on_winch(uv_signal_t *signal, int number)
{
    struct fds_port *port = signal->data;
    const struct hk_port_events *events = port->base.events;
    int columns, rows;

    if (port->closed || events->resized == NULL ||
        uv_tty_get_winsize(&port->tty, &columns, &rows) != 0)
        return;
    events->resized(port->base.opaque, (uint16_t)columns, (uint16_t)rows);
}

static void fds_listen(struct hk_port *base)
{
    struct fds_port *port = from_port(base);

    if (port->is_tty) {
        on_winch(&port->winch, 0);
        want_more(port);
    } else if (port->in_fd >= 0 &&
               uv_thread_create(&port->reader, reader_main, port) == 0) {
        port->has_reader = true;
    } else {
        port->end = true;
    }
    uv_async_send(&port->async); /* for what happened before */
}

/* Opening and closing */

static void free_port(struct fds_port *port)
{
    hk_fdio_close(port->tty_fd);
    hk_fdio_stop_destroy(port->stop);
    uv_cond_destroy(&port->changed);
    uv_mutex_destroy(&port->lock);
    free(port);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct fds_port *port = handle->data;

    if (--port->open_handles == 0)
        free_port(port);
}

static void close_handle(uv_handle_t *handle)
{
    uv_close(handle, on_handle_closed);
}

static void stop_reader(struct fds_port *port)
{
    if (!port->has_reader)
        return;
    uv_mutex_lock(&port->lock);
    port->stopping = true;
    uv_cond_signal(&port->changed);
    uv_mutex_unlock(&port->lock);
    hk_fdio_stop_set(port->stop);
    uv_thread_join(&port->reader);
    port->has_reader = false;
}

static void fds_close(struct hk_port *base)
{
    struct fds_port *port = from_port(base);

    port->closed = true;
    stop_reader(port);
    hk_outpump_destroy(port->pump);
    port->pump = NULL;
    if (port->is_tty) {
        /* After the output: its line ends were made for raw mode. */
        if (port->is_raw)
            uv_tty_set_mode(&port->tty, UV_TTY_MODE_NORMAL);
        close_handle((uv_handle_t *)&port->winch);
        close_handle((uv_handle_t *)&port->tty);
    }
    close_handle((uv_handle_t *)&port->async);
}

static const struct hk_port_ops fds_ops = {
    .name = "fds",
    .write = fds_write,
    .listen = fds_listen,
    .resume = fds_resume,
    .drain = fds_drain,
    .close = fds_close,
};

static int open_tty(struct fds_port *port, bool raw, struct hk_errmsg *err)
{
    uv_loop_t *uv = hk_loop_uv(port->loop);
    uv_os_fd_t used;
    int rc = hk_fdio_dup(port->in_fd, &port->tty_fd);
    if (rc != 0)
        return hk_err_set(err, rc, "terminal: %s", hk_err_text(rc));

    rc = uv_tty_init(uv, &port->tty, port->tty_fd, 0);
    if (rc != 0)
        return hk_err_set(err, -HK_EIO, "terminal: %s", uv_strerror(rc));
    port->tty.data = port;
    port->is_tty = true;
    port->open_handles++;
    /* Normally libuv opens the terminal anew; otherwise it keeps our copy. */
    if (uv_fileno((uv_handle_t *)&port->tty, &used) == 0 &&
        (intptr_t)used == (intptr_t)port->tty_fd)
        port->tty_fd = -1;
    uv_signal_init(uv, &port->winch);
    port->winch.data = port;
    port->open_handles++;
    uv_signal_start(&port->winch, on_winch, SIGWINCH);
    if (!raw)
        return 0;
    /* IO mode also leaves output alone; a Windows console has only RAW. */
    rc = uv_tty_set_mode(&port->tty, UV_TTY_MODE_IO);
    if (rc != 0)
        rc = uv_tty_set_mode(&port->tty, UV_TTY_MODE_RAW);
    if (rc != 0)
        return hk_err_set(err, -HK_EIO, "terminal: cannot set raw mode: %s",
                          uv_strerror(rc));
    port->is_raw = true;
    return 0;
}

static int create(struct hk_loop *loop, int in_fd, struct fds_port **out)
{
    struct fds_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return -HK_ENOMEM;
    port->base.ops = &fds_ops;
    port->loop = loop;
    port->in_fd = in_fd;
    port->tty_fd = -1;
    if (uv_mutex_init(&port->lock) != 0) {
        free(port);
        return -HK_ENOMEM;
    }
    if (uv_cond_init(&port->changed) != 0) {
        uv_mutex_destroy(&port->lock);
        free(port);
        return -HK_ENOMEM;
    }
    int rc = hk_fdio_stop_create(&port->stop);
    if (rc == 0 && uv_async_init(hk_loop_uv(loop), &port->async, on_async) != 0)
        rc = -HK_ENOMEM;
    if (rc != 0) {
        free_port(port);
        return rc;
    }
    port->async.data = port;
    port->open_handles = 1;
    *out = port;
    return 0;
}

int hk_port_open_fds(struct hk_loop *loop, int in_fd, int out_fd, bool raw,
                     struct hk_port **out, struct hk_errmsg *err)
{
    struct fds_port *port = NULL;

    /* Now, before our own descriptors take the free numbers. */
    if (!hk_fdio_is_open(in_fd))
        in_fd = -1;
    if (!hk_fdio_is_open(out_fd))
        out_fd = -1;
    int rc = create(loop, in_fd, &port);
    if (rc != 0)
        return hk_err_set(err, rc, "console: %s", hk_err_text(rc));
    if (out_fd >= 0) {
        rc = hk_outpump_create(out_fd, on_space, port, &port->pump);
        if (rc != 0)
            hk_err_set(err, rc, "console output: %s", hk_err_text(rc));
    }
    if (rc == 0 && in_fd >= 0 && uv_guess_handle(in_fd) == UV_TTY)
        rc = open_tty(port, raw, err);
    if (rc != 0) {
        fds_close(&port->base);
        return rc;
    }
    *out = &port->base;
    return 0;
}
