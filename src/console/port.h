/*
 * Console port back ends: where a guest's console bytes go and come from.
 *
 * For callers (serial port, virtio console):
 *   write     takes some or all of the bytes and says how many. When that is
 *             not all of them the port is full: keep the rest and wait for
 *             the writable event. Never blocks, never calls an event itself.
 *             The bytes may be guest memory that changes while they are read.
 *   listen    sets the callbacks; called once before any data moves. May call
 *             events at once.
 *   resume    the rest of the input that was not taken is welcome now. May
 *             call events at once.
 *   drain     blocks until all output is handed to the host, or cannot be, or
 *             the flag of hk_port_set_give_up is raised.
 *   size      columns and rows of a terminal; false for what is none.
 *   close     stops callbacks, restores what was changed (terminal modes) and
 *             frees; NULL is legal.
 * Threads: everything on the home loop's thread, callbacks too, except
 * hk_port_write, which may come from any thread (a vCPU printing).
 */
#ifndef HK_CONSOLE_PORT_H
#define HK_CONSOLE_PORT_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"

#include <stdatomic.h>
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
    /* The host takes no output any more, for this reason; the port goes on
     * and discards. At most once. */
    void (*broken)(void *opaque, int code);
};

/* For implementers; the instance struct begins with struct hk_port. */
struct hk_port_ops {
    const char *name;
    size_t (*write)(struct hk_port *port, const uint8_t *bytes, size_t len);
    void (*listen)(struct hk_port *port);
    void (*resume)(struct hk_port *port);
    void (*drain)(struct hk_port *port); /* optional: nothing waits */
    bool (*size)(struct hk_port *port, uint16_t *columns,
                 uint16_t *rows); /* optional: no terminal */
    void (*close)(struct hk_port *port);
};

struct hk_port {
    const struct hk_port_ops *ops;
    const struct hk_port_events *events;
    void *opaque;
    const atomic_bool *give_up; /* or NULL */
};

size_t hk_port_write(struct hk_port *port, const uint8_t *bytes, size_t len);
void hk_port_listen(struct hk_port *port, const struct hk_port_events *events,
                    void *opaque);
void hk_port_resume(struct hk_port *port);
void hk_port_drain(struct hk_port *port);
bool hk_port_size(struct hk_port *port, uint16_t *columns,
                  uint16_t *rows) HK_MUST_CHECK;
void hk_port_close(struct hk_port *port);

/* A flag of the caller's, borrowed until close: once it is true, nobody waits
 * for a reader that does not read, neither drain nor close. */
void hk_port_set_give_up(struct hk_port *port, const atomic_bool *flag);

/* Discards output, no input. */
int hk_port_open_null(struct hk_port **out) HK_MUST_CHECK;

/* ------------------------------------------------------------------ */
/* Memory: for tests                                                  */

/* Keeps all output in memory; input is fed by hk_port_memory_feed, and ends
 * with hk_port_memory_end. */
int hk_port_open_memory(struct hk_port **out) HK_MUST_CHECK;
const uint8_t *hk_port_memory_bytes(struct hk_port *port, size_t *len);
void hk_port_memory_feed(struct hk_port *port, const uint8_t *bytes,
                         size_t len);
void hk_port_memory_end(struct hk_port *port);
void hk_port_memory_break(struct hk_port *port, int code); /* the output */

/* Lets the port take `room` more bytes, then be full; without a call it never
 * is. Calls the writable event when the port was full. */
void hk_port_memory_set_room(struct hk_port *port, size_t room);

/* Gives the port a size, and tells it. */
void hk_port_memory_set_size(struct hk_port *port, uint16_t columns,
                             uint16_t rows);

/* ------------------------------------------------------------------ */
/* Log: guest output as log lines                                     */

enum { HK_PORT_LOG_LINE = 4096 };

/*
 * Each line becomes one message. One of more than HK_PORT_LOG_LINE bytes is
 * cut into pieces of that length, with a warning. What has no newline yet is
 * logged by close. `tag` is copied. No input, and no end of it.
 */
int hk_port_open_log(enum hk_log_level level, const char *tag,
                     struct hk_port **out) HK_MUST_CHECK;

/* ------------------------------------------------------------------ */
/* Calls: a channel between the guest and the VMM itself              */

enum { HK_PORT_CALLS_ROOM = 4096 };

/*
 * Output goes to `write`, which says how many bytes it took; it may be called
 * on any thread that writes, and after a short count hk_port_calls_writable
 * is due. NULL discards. Input comes from hk_port_calls_feed, which keeps up
 * to HK_PORT_CALLS_ROOM bytes for the guest and takes all of `bytes` or
 * (false) none.
 */
int hk_port_open_calls(size_t (*write)(void *opaque, const uint8_t *bytes,
                                       size_t len),
                       void *opaque, struct hk_port **out) HK_MUST_CHECK;
bool hk_port_calls_feed(struct hk_port *port, const uint8_t *bytes,
                        size_t len) HK_MUST_CHECK;
void hk_port_calls_end(struct hk_port *port);
void hk_port_calls_writable(struct hk_port *port);

/* ------------------------------------------------------------------ */
/* Descriptors                                                        */

enum hk_port_flags {
    /* An in_fd that is a terminal is put into raw mode until close, and
     * Ctrl-] (0x1d) becomes the escape event instead of input. */
    HK_PORT_RAW = 1,
    /* Ctrl-] is a key like any other. */
    HK_PORT_NO_ESCAPE = 2,
};

/*
 * Descriptors borrowed from the caller; -1 for none. No mode of theirs is
 * changed that other holders would see, but that of a terminal when asked.
 * The same terminal may have any number of ports.
 *
 * Output is taken into a buffer and handed to the host in order by a thread
 * of the port; what is in the buffer when the port is closed is written out
 * unless the host does not take it within a second. A closed or missing
 * in_fd is an input_end, an out_fd that breaks discards from then on.
 *
 * The size is that of the terminal among out_fd and in_fd, in this order.
 */
int hk_port_open_fds(struct hk_loop *loop, int in_fd, int out_fd,
                     unsigned flags, struct hk_port **out,
                     struct hk_errmsg *err) HK_MUST_CHECK;

/* Puts terminals back as they were before ports made them raw, for the
 * handlers of signals that end the process. Async-signal-safe; harmless when
 * nothing is raw. An ordinary exit of the process does it by itself. */
void hk_port_restore_terminal(void);

#endif
