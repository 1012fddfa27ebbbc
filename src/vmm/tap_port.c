/*
 * The console tap: a filter between the serial port and its back end.
 */
#include "vmm/tap_port.h"

#include "vmm/last_words.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { KEPT = 16384 }; /* bytes of the guest's log */

struct tap {
    struct hk_port port; /* first */
    struct hk_port *inner;
    void (*escape)(void *opaque);
    void *escape_opaque;
    uv_mutex_t lock; /* guards what follows */
    struct hk_words_scan scan;
    size_t at;    /* where the next byte is kept */
    bool is_full; /* every byte of `kept` was written once */
    char kept[KEPT];
};

static struct tap *tap_of(struct hk_port *port)
{
    return (struct tap *)(void *)port;
}

/* The last KEPT bytes, in a ring. */
static void keep(struct tap *tap, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        tap->kept[tap->at++] = (char)bytes[i];
        tap->is_full |= tap->at == KEPT;
        tap->at %= KEPT;
    }
}

static size_t tap_write(struct hk_port *port, const uint8_t *bytes, size_t len)
{
    struct tap *tap = tap_of(port);
    size_t taken = hk_port_write(tap->inner, bytes, len);
    uv_mutex_lock(&tap->lock);
    hk_words_feed(&tap->scan, bytes, taken);
    keep(tap, bytes, taken);
    uv_mutex_unlock(&tap->lock);
    return taken;
}

static size_t on_input(void *opaque, const uint8_t *bytes, size_t len)
{
    struct tap *tap = opaque;
    if (tap->port.events == NULL || tap->port.events->input == NULL)
        return len;
    return tap->port.events->input(tap->port.opaque, bytes, len);
}

static void on_input_end(void *opaque)
{
    struct tap *tap = opaque;
    if (tap->port.events != NULL && tap->port.events->input_end != NULL)
        tap->port.events->input_end(tap->port.opaque);
}

static void on_writable(void *opaque)
{
    struct tap *tap = opaque;
    if (tap->port.events != NULL && tap->port.events->writable != NULL)
        tap->port.events->writable(tap->port.opaque);
}

static void on_resized(void *opaque, uint16_t columns, uint16_t rows)
{
    struct tap *tap = opaque;
    if (tap->port.events != NULL && tap->port.events->resized != NULL)
        tap->port.events->resized(tap->port.opaque, columns, rows);
}

static void on_escape(void *opaque)
{
    struct tap *tap = opaque;
    tap->escape(tap->escape_opaque);
}

static const struct hk_port_events inner_events = {
    .input = on_input,
    .input_end = on_input_end,
    .writable = on_writable,
    .resized = on_resized,
    .escape = on_escape,
};

static void tap_listen(struct hk_port *port)
{
    struct tap *tap = tap_of(port);
    hk_port_listen(tap->inner, &inner_events, tap);
}

static void tap_resume(struct hk_port *port)
{
    hk_port_resume(tap_of(port)->inner);
}

/* The device in front keeps what did not fit; it is told to go on until all
 * of it (a few KiB) has passed. */
static void tap_drain(struct hk_port *port)
{
    enum { ROUNDS = 3 };
    struct tap *tap = tap_of(port);
    for (int i = 0; i < ROUNDS; i++) {
        hk_port_drain(tap->inner);
        on_writable(tap);
    }
    hk_port_drain(tap->inner);
}

static void tap_close(struct hk_port *port)
{
    struct tap *tap = tap_of(port);
    hk_port_close(tap->inner);
    uv_mutex_destroy(&tap->lock);
    free(tap);
}

static const struct hk_port_ops tap_ops = {
    .name = "tap",
    .write = tap_write,
    .listen = tap_listen,
    .resume = tap_resume,
    .drain = tap_drain,
    .close = tap_close,
};

int hk_tap_open(struct hk_port *take_inner, void (*escape)(void *opaque),
                void *opaque, struct hk_port **out)
{
    struct tap *tap = calloc(1, sizeof(*tap));
    if (tap == NULL || uv_mutex_init(&tap->lock) != 0) {
        hk_port_close(take_inner);
        free(tap);
        return -HK_ENOMEM;
    }
    tap->port.ops = &tap_ops;
    tap->inner = take_inner;
    tap->escape = escape;
    tap->escape_opaque = opaque;
    *out = &tap->port;
    return 0;
}

enum hk_words hk_tap_words(struct hk_port *port)
{
    struct tap *tap = tap_of(port);
    uv_mutex_lock(&tap->lock);
    enum hk_words words = tap->scan.last;
    uv_mutex_unlock(&tap->lock);
    return words;
}

void hk_tap_last_words(struct hk_port *port, char *text, size_t size)
{
    struct tap *tap = tap_of(port);
    static const char none[] = "";
    char *log = malloc(KEPT);
    size_t len = 0;
    uv_mutex_lock(&tap->lock);
    if (log != NULL && tap->is_full) {
        len = KEPT - tap->at;
        memcpy(log, tap->kept + tap->at, len);
    }
    if (log != NULL) {
        memcpy(log + len, tap->kept, tap->at);
        len += tap->at;
    }
    uv_mutex_unlock(&tap->lock);
    hk_last_words(log != NULL ? log : none, len, text, size);
    free(log);
}
