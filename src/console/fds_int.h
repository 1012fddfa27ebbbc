/*
 * Inside the descriptor port: what fds.c and fds_tty.c share.
 */
#ifndef HK_CONSOLE_FDS_INT_H
#define HK_CONSOLE_FDS_INT_H

#include "console/outpump.h"
#include "console/port.h"
#include "os/fdio.h"
#include "os/tty.h"

#include <uv.h>

struct hk_timer;

enum {
    HK_FDS_BUFFER = 65536,
    HK_FDS_ESCAPE_KEY = 0x1d, /* Ctrl-] */
};

struct hk_fds_port {
    struct hk_port base;
    struct hk_loop *loop;
    int in_fd, out_fd;
    bool is_tty; /* in_fd is a terminal */
    bool takes_escape;
    bool closed;
    uint32_t open_handles;

    struct hk_outpump *pump;
    atomic_bool has_space, has_broken;
    uv_async_t async;

    uv_tty_t tty;
    int tty_fd; /* our copy of in_fd while libuv did not take it, or -1 */
    struct hk_tty_raw *raw;

    int size_fd; /* the terminal that gives the size, or -1 */
    uint16_t columns, rows;
    struct hk_tty_watch *watch;
    struct hk_timer *size_timer;

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
    uint8_t buffer[HK_FDS_BUFFER];
};

/* fds.c: hands the guest what is in the buffer, then the end. */
void hk_fds_deliver(struct hk_fds_port *port);
void hk_fds_on_handle_closed(uv_handle_t *handle);

/* fds_tty.c: input from a terminal, and the size of one. */
int hk_fds_tty_open(struct hk_fds_port *port, unsigned flags,
                    struct hk_errmsg *err) HK_MUST_CHECK;
void hk_fds_tty_want_more(struct hk_fds_port *port);
void hk_fds_tty_close(struct hk_fds_port *port);

void hk_fds_size_open(struct hk_fds_port *port);
bool hk_fds_size(struct hk_port *base, uint16_t *columns, uint16_t *rows);
void hk_fds_size_close(struct hk_fds_port *port);

#endif
