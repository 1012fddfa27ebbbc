/*
 * Guest output as log lines. Bytes gather until a newline comes or the buffer
 * is full; the lock keeps the lines of several writers whole.
 */
#define HK_LOG_TAG "console"

#include "console/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { TAG_MAX = 64 };

struct log_port {
    struct hk_port base;
    enum hk_log_level level;
    char tag[TAG_MAX];
    uv_mutex_t lock; /* guards what follows */
    size_t len;
    bool is_rest; /* the line began in an earlier piece */
    char line[HK_PORT_LOG_LINE + 1];
};

static void log_line(struct log_port *port)
{
    size_t len = port->len;

    if (len > 0 && port->line[len - 1] == '\r')
        len--;
    port->len = 0;
    if (!hk_log_enabled(port->level))
        return;
    for (size_t i = 0; i < len; i++)
        if (port->line[i] == '\0')
            port->line[i] = '?';
    port->line[len] = '\0';
    hk_log_write(port->level, port->tag, "%s", port->line);
}

static void end_line(struct log_port *port)
{
    /* A line that filled the buffer exactly has been logged already. */
    if (port->len != 0 || !port->is_rest)
        log_line(port);
    port->is_rest = false;
}

/* The buffer is full and the line goes on. */
static void split_line(struct log_port *port)
{
    log_line(port);
    if (!port->is_rest && hk_log_enabled(port->level))
        HK_LOG_W("a line of %s is longer than %d bytes and is split", port->tag,
                 HK_PORT_LOG_LINE);
    port->is_rest = true;
}

/* Takes bytes up to and with the first newline; returns how many. */
static size_t take_some(struct log_port *port, const uint8_t *bytes, size_t len)
{
    const uint8_t *newline = memchr(bytes, '\n', len);
    size_t n = newline != NULL ? (size_t)(newline - bytes) : len;

    if (n > HK_PORT_LOG_LINE - port->len)
        n = HK_PORT_LOG_LINE - port->len;
    memcpy(port->line + port->len, bytes, n);
    port->len += n;
    if (n == len)
        return n;
    if (bytes + n == newline) {
        end_line(port);
        return n + 1;
    }
    split_line(port);
    return n;
}

static size_t log_write(struct hk_port *base, const uint8_t *bytes, size_t len)
{
    struct log_port *port = (struct log_port *)base;

    uv_mutex_lock(&port->lock);
    for (size_t at = 0; at < len;)
        at += take_some(port, bytes + at, len - at);
    uv_mutex_unlock(&port->lock);
    return len;
}

static void log_nothing(struct hk_port *base)
{
}

static void log_close(struct hk_port *base)
{
    struct log_port *port = (struct log_port *)base;

    if (port->len != 0)
        log_line(port);
    uv_mutex_destroy(&port->lock);
    free(port);
}

static const struct hk_port_ops log_ops = {
    .name = "log",
    .write = log_write,
    .listen = log_nothing,
    .resume = log_nothing,
    .close = log_close,
};

int hk_port_open_log(enum hk_log_level level, const char *tag,
                     struct hk_port **out)
{
    struct log_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return -HK_ENOMEM;
    if (uv_mutex_init(&port->lock) != 0) {
        free(port);
        return -HK_ENOMEM;
    }
    port->base.ops = &log_ops;
    port->level = level;
    (void)snprintf(port->tag, sizeof(port->tag), "%s", tag);
    *out = &port->base;
    return 0;
}
