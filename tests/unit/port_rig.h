/*
 * What the tests of console ports share: a loop with one port whose events are
 * kept.
 */
#ifndef PORT_RIG_H
#define PORT_RIG_H

#include "hk_test.h"

#include "base/compiler.h"
#include "console/port.h"
#include "loop/loop.h"

#include <unistd.h>

struct rig {
    struct hk_loop *loop;
    struct hk_port *port;
    char got[1 << 20];
    size_t len;
    size_t appetite; /* bytes taken before the guest is full */
    int ends, writables, escapes, resizes;
    uint16_t columns, rows;
    size_t stop_at; /* stops the loop when this much has come */
};

static inline size_t on_input(void *opaque, const uint8_t *bytes, size_t len)
{
    struct rig *rig = opaque;

    if (len > rig->appetite)
        len = rig->appetite;
    assert_true(rig->len + len <= sizeof(rig->got));
    memcpy(rig->got + rig->len, bytes, len);
    rig->len += len;
    rig->appetite -= len;
    if (rig->stop_at != 0 && rig->len >= rig->stop_at)
        hk_loop_stop(rig->loop);
    return len;
}

static inline void on_end(void *opaque)
{
    struct rig *rig = opaque;

    rig->ends++;
    hk_loop_stop(rig->loop);
}

static inline void on_writable(void *opaque)
{
    struct rig *rig = opaque;

    rig->writables++;
    hk_loop_stop(rig->loop);
}

static inline void on_resized(void *opaque, uint16_t columns, uint16_t rows)
{
    struct rig *rig = opaque;

    rig->resizes++;
    rig->columns = columns;
    rig->rows = rows;
    if (rig->resizes > 1)
        hk_loop_stop(rig->loop);
}

static inline void on_escape(void *opaque)
{
    struct rig *rig = opaque;

    rig->escapes++;
    hk_loop_stop(rig->loop);
}

static const struct hk_port_events events = {
    .input = on_input,
    .input_end = on_end,
    .writable = on_writable,
    .resized = on_resized,
    .escape = on_escape,
};

static inline int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_int_equal(hk_loop_create(&rig->loop), 0);
    rig->appetite = SIZE_MAX;
    *state = rig;
    return 0;
}

static inline int teardown(void **state)
{
    struct rig *rig = *state;

    hk_port_close(rig->port);
    hk_loop_destroy(rig->loop);
    free(rig);
    return 0;
}

static inline void open_port(struct rig *rig, int in, int out, unsigned raw)
{
    struct hk_errmsg err;

    assert_int_equal(
        hk_port_open_fds(rig->loop, in, out, raw, &rig->port, &err), 0);
}

static inline void listen_port(struct rig *rig)
{
    hk_port_listen(rig->port, &events, rig);
}

static inline void close_port(struct rig *rig)
{
    hk_port_close(rig->port);
    rig->port = NULL;
    hk_loop_turn(rig->loop);
}

static inline void write_all(int fd, const void *data, size_t len)
{
    assert_int_equal(write(fd, data, len), (ssize_t)len);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
