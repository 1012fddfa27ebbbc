/*
 * A port on two descriptors of the caller.
 *
 * Output is the output pump's business. Input comes one of two ways into one
 * buffer: a terminal is read by libuv, which opens it anew so that nobody
 * else sees our modes of reading; anything else (pipe, file, device) is read
 * by a thread, so that no descriptor of the caller's is made non-blocking.
 * The thread fills the buffer only while it is empty, the loop empties it.
 *
 *   terminal --> on_read --\
 *                               buffer --> deliver --> events->input
 *   other ----> reader thread -/    (async handle wakes the loop)
 *
 * A terminal is read on even when the guest takes nothing, up to the size of
 * the buffer: the end key must work when the guest hangs.
 */
#include "console/fds_int.h"

#include "base/assert.h"
#include "loop/loop.h"

#include <stdlib.h>

static struct hk_fds_port *from_port(struct hk_port *port)
{
    return (struct hk_fds_port *)port;
}

void hk_port_restore_terminal(void)
{
    hk_tty_restore_all();
}

/* Output */

static void on_space(void *opaque)
{
    struct hk_fds_port *port = opaque;

    atomic_store(&port->has_space, true);
    uv_async_send(&port->async);
}

static void on_broken(void *opaque)
{
    struct hk_fds_port *port = opaque;

    atomic_store(&port->has_broken, true);
    uv_async_send(&port->async);
}

static size_t fds_write(struct hk_port *base, const uint8_t *bytes, size_t len)
{
    struct hk_fds_port *port = from_port(base);

    return port->pump == NULL ? len : hk_outpump_write(port->pump, bytes, len);
}

static void fds_drain(struct hk_port *base)
{
    struct hk_fds_port *port = from_port(base);

    if (port->pump != NULL)
        hk_outpump_drain(port->pump, base->give_up);
}

/* Input */

/* The buffer is empty or has room: let more come. */
static void want_more(struct hk_fds_port *port)
{
    if (port->is_tty) {
        hk_fds_tty_want_more(port);
        return;
    }
    if (!port->has_reader || port->first != port->last)
        return;
    uv_mutex_lock(&port->lock);
    port->filled = false;
    uv_cond_signal(&port->changed);
    uv_mutex_unlock(&port->lock);
}

void hk_fds_deliver(struct hk_fds_port *port)
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

/* The reader thread: fills the buffer, then waits until it is empty. */
static void reader_main(void *opaque)
{
    struct hk_fds_port *port = opaque;
    int n;

    hk_fdio_enter_thread();
    do {
        n = hk_fdio_read(port->in_fd, port->buffer, HK_FDS_BUFFER, port->stop);
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

static bool has_news(struct hk_fds_port *port)
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
    struct hk_fds_port *port = async->data;
    const struct hk_port_events *events = port->base.events;

    if (port->closed || events == NULL)
        return;
    if (atomic_exchange(&port->has_space, false) && events->writable != NULL)
        events->writable(port->base.opaque);
    if (!port->closed && atomic_exchange(&port->has_broken, false) &&
        events->broken != NULL)
        events->broken(port->base.opaque, hk_outpump_error(port->pump));
    if (!port->closed && has_news(port))
        hk_fds_deliver(port);
}

static void fds_resume(struct hk_port *base)
{
    struct hk_fds_port *port = from_port(base);

    if (port->is_tty || has_news(port))
        hk_fds_deliver(port);
}

static void fds_listen(struct hk_port *base)
{
    struct hk_fds_port *port = from_port(base);

    hk_fds_size_open(port);
    if (port->is_tty) {
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

static void free_port(struct hk_fds_port *port)
{
    hk_fdio_close(port->tty_fd);
    hk_fdio_stop_destroy(port->stop);
    uv_cond_destroy(&port->changed);
    uv_mutex_destroy(&port->lock);
    free(port);
}

void hk_fds_on_handle_closed(uv_handle_t *handle)
{
    struct hk_fds_port *port = handle->data;

    if (--port->open_handles == 0)
        free_port(port);
}

static void stop_reader(struct hk_fds_port *port)
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
    struct hk_fds_port *port = from_port(base);

    port->closed = true;
    stop_reader(port);
    hk_fds_size_close(port);
    hk_outpump_destroy(port->pump, base->give_up);
    port->pump = NULL;
    hk_fds_tty_close(port); /* after the output, which was made for raw mode */
    uv_close((uv_handle_t *)&port->async, hk_fds_on_handle_closed);
}

static const struct hk_port_ops fds_ops = {
    .name = "fds",
    .write = fds_write,
    .listen = fds_listen,
    .resume = fds_resume,
    .drain = fds_drain,
    .size = hk_fds_size,
    .close = fds_close,
};

static int create(struct hk_loop *loop, int in_fd, int out_fd,
                  struct hk_fds_port **out)
{
    struct hk_fds_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return -HK_ENOMEM;
    port->base.ops = &fds_ops;
    port->loop = loop;
    port->in_fd = in_fd;
    port->out_fd = out_fd;
    port->size_fd = hk_tty_is(out_fd) ? out_fd : hk_tty_is(in_fd) ? in_fd : -1;
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

static int open_output(struct hk_fds_port *port, struct hk_errmsg *err)
{
    const struct hk_outpump_owner owner = {on_space, on_broken, port};

    if (port->out_fd < 0)
        return 0;
    int rc = hk_outpump_create(port->out_fd, &owner, &port->pump);
    if (rc != 0)
        return hk_err_set(err, rc, "console output: %s", hk_err_text(rc));
    return 0;
}

int hk_port_open_fds(struct hk_loop *loop, int in_fd, int out_fd,
                     unsigned flags, struct hk_port **out,
                     struct hk_errmsg *err)
{
    struct hk_fds_port *port = NULL;

    /* Now, before our own descriptors take the free numbers. */
    if (!hk_fdio_is_open(in_fd))
        in_fd = -1;
    if (!hk_fdio_is_open(out_fd))
        out_fd = -1;
    int rc = create(loop, in_fd, out_fd, &port);
    if (rc != 0)
        return hk_err_set(err, rc, "console: %s", hk_err_text(rc));
    rc = open_output(port, err);
    if (rc == 0 && uv_guess_handle(in_fd) == UV_TTY)
        rc = hk_fds_tty_open(port, flags, err);
    if (rc != 0) {
        fds_close(&port->base);
        return rc;
    }
    *out = &port->base;
    return 0;
}
