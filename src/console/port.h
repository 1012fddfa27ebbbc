/*
 * Console port back ends: where a guest's console bytes go and come from.
 *
 * For callers (serial, later virtio console):
 *   write     takes some or all of the bytes and says how many. When that is
 *             not all of them the port is full: keep the rest and wait for
 *             the writable event. Never blocks, never calls an event itself.
 *   listen    sets the callbacks; called once before any data moves.
 *   close     stops callbacks, restores what was changed (terminal modes) and
 *             frees; NULL is legal.
 * Threads: everything on the home loop's thread, callbacks too, except
 * hk_port_write, which may come from any thread (a vCPU printing).
 */
#ifndef HK_CONSOLE_PORT_H
#define HK_CONSOLE_PORT_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_loop;
struct hk_port;

/* All optional, on the home loop's thread. */
struct hk_port_events {
    /* Bytes for the guest; returns how many were taken, the port keeps the
     * rest and pauses reading until hk_port_resume. */
    size_t (*input)(void *opaque, const uint8_t *bytes, size_t len);
    void (*input_end)(void *opaque); /* end of file; at most once */
    void (*writable)(void *opaque);
    void (*resized)(void *opaque, uint16_t columns, uint16_t rows);
    void (*escape)(void *opaque); /* the terminal's end key was typed */
};

/* For implementers; the instance struct begins with struct hk_port. */
struct hk_port_ops {
    const char *name;
    size_t (*write)(struct hk_port *port, const uint8_t *bytes, size_t len);
    void (*listen)(struct hk_port *port);
    void (*resume)(struct hk_port *port);
    void (*drain)(struct hk_port *port); /* optional: blocks until all output
                                            is handed to the host */
    void (*close)(struct hk_port *port);
};

struct hk_port {
    const struct hk_port_ops *ops;
    const struct hk_port_events *events;
    void *opaque;
};

size_t hk_port_write(struct hk_port *port, const uint8_t *bytes, size_t len);
void hk_port_listen(struct hk_port *port, const struct hk_port_events *events,
                    void *opaque);
void hk_port_resume(struct hk_port *port);
void hk_port_drain(struct hk_port *port);
void hk_port_close(struct hk_port *port);

/* Discards output, no input. */
int hk_port_open_null(struct hk_port **out) HK_MUST_CHECK;

/* Keeps all output in memory (tests); input is fed by hk_port_memory_feed. */
int hk_port_open_memory(struct hk_port **out) HK_MUST_CHECK;
const uint8_t *hk_port_memory_bytes(struct hk_port *port, size_t *len);
void hk_port_memory_feed(struct hk_port *port, const uint8_t *bytes,
                         size_t len);

/* Lets the port take `room` more bytes, then be full; without a call it never
 * is. Calls the writable event when the port was full. */
void hk_port_memory_set_room(struct hk_port *port, size_t room);

/*
 * Descriptors borrowed from the caller; -1 for none. With `raw` and an
 * in_fd that is a terminal, the terminal is put into raw mode until close and
 * Ctrl-] (0x1d) becomes the escape event instead of input. One port of a
 * process may be raw at a time.
 *
 * Output is taken into a buffer and handed to the host in order by a thread
 * of the port; what is in the buffer when the port is closed is written out
 * unless the host does not take it within a second. A closed or missing
 * in_fd is an input_end, an out_fd that breaks discards from then on.
 */
int hk_port_open_fds(struct hk_loop *loop, int in_fd, int out_fd, bool raw,
                     struct hk_port **out, struct hk_errmsg *err) HK_MUST_CHECK;

/* Puts the terminal back as it was before a port made it raw, for the
 * handlers of signals that end the process. Async-signal-safe; harmless when
 * nothing is raw. */
void hk_port_restore_terminal(void);

#endif
