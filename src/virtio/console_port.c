/*
 * The bytes of one port.
 *
 *   guest -> host   tx buffers are popped only while the port takes bytes; one
 *                   that it takes in part stays with us until it has room.
 *   host -> guest   input stays in the port until the guest has opened its
 *                   side (a Linux guest throws away what comes before) and has
 *                   put buffers into the rx queue; no bytes are kept here.
 *
 * At a reset the driver forgets its buffers, but what a program has written
 * is written: a Linux guest resets the device on its way to power off, while
 * output may still wait for a slow reader. So it is copied, up to a limit.
 */
#define HK_LOG_TAG "console"

#include "virtio/console_int.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

int vcon_pop(struct hk_virtq *vq, struct hk_chain **out)
{
    return vq != NULL && hk_virtq_pop(vq, out) == 1;
}

uint32_t vcon_rx_index(const struct vcon_port *p)
{
    return p->id == 0 ? 0 : 2 + 2 * p->id;
}

uint32_t vcon_tx_index(const struct vcon_port *p)
{
    return vcon_rx_index(p) + 1;
}

static struct hk_virtq *tx_queue(struct vcon_port *p)
{
    return hk_vdev_queue(&p->vcon->dev, vcon_tx_index(p));
}

/* ------------------------------------------------------------------ */
/* Host to guest                                                      */

static size_t on_input(void *opaque, const uint8_t *bytes, size_t len)
{
    struct vcon_port *p = opaque;
    struct hk_vdev *dev = &p->vcon->dev;
    struct hk_virtq *vq = hk_vdev_queue(dev, vcon_rx_index(p));
    struct hk_chain *chain;
    size_t taken = 0;

    if (!p->guest_open)
        return 0;
    while (taken < len && vcon_pop(vq, &chain)) {
        size_t n = hk_chain_write(chain, bytes + taken, len - taken);

        hk_virtq_push(vq, chain, (uint32_t)n);
        taken += n;
        if (n == 0) {
            hk_vdev_broken(dev, "a buffer for input cannot be written");
            break;
        }
    }
    if (taken != 0)
        hk_virtq_signal(vq);
    return taken;
}

static void on_input_end(void *opaque)
{
    vcon_end_begin(opaque);
}

static void on_broken(void *opaque, int code)
{
    vcon_end_broken(opaque);
}

static void on_resized(void *opaque, uint16_t columns, uint16_t rows)
{
    struct vcon_port *p = opaque;

    p->columns = columns;
    p->rows = rows;
    if (p->id == 0)
        vcon_tell_size(p->vcon, false);
    if (!p->console || !p->is_ready)
        return;
    p->sends |= VCON_SEND_RESIZE;
    vcon_control_send(p->vcon);
}

void vcon_port_open(struct vcon_port *p, bool open)
{
    p->guest_open = open;
    if (open)
        hk_port_resume(p->port);
    vcon_end_opened(p);
}

void vcon_port_rx_kick(struct vcon_port *p)
{
    if (p->guest_open)
        hk_port_resume(p->port);
}

/* ------------------------------------------------------------------ */
/* Guest to host                                                      */

static void drop_kept(struct vcon_port *p)
{
    free(p->kept);
    p->kept = NULL;
    p->kept_at = 0;
    p->kept_len = 0;
}

/* True when nothing is left from before a reset. */
static bool flush_kept(struct vcon_port *p)
{
    if (p->kept == NULL)
        return true;
    size_t n =
        hk_port_write(p->port, p->kept + p->kept_at, p->kept_len - p->kept_at);

    p->kept_at += n;
    p->moved += n;
    if (p->kept_at < p->kept_len)
        return false;
    drop_kept(p);
    return true;
}

/* True when the port has taken the whole buffer. */
static bool flush_chain(struct vcon_port *p)
{
    for (;;) {
        if (p->tx_rest.len == 0 &&
            hk_chain_read_iov(p->tx, hk_chain_read_left(p->tx), &p->tx_rest,
                              1) == 0)
            return true;
        size_t n = hk_port_write(p->port, p->tx_rest.base, p->tx_rest.len);

        p->tx_rest.base += n;
        p->tx_rest.len -= n;
        p->moved += n;
        if (p->tx_rest.len != 0)
            return false;
    }
}

static void finish_chain(struct vcon_port *p)
{
    hk_virtq_push(tx_queue(p), p->tx, 0);
    p->tx = NULL;
    p->tx_rest.len = 0;
}

/* Moves what is available until the port is full. At most `budget` buffers;
 * returns how many it did not use. */
static uint32_t flush(struct vcon_port *p, uint32_t budget)
{
    p->is_full = !flush_kept(p);
    while (!p->is_full && budget > 0) {
        if (p->tx == NULL && !vcon_pop(tx_queue(p), &p->tx))
            break;
        p->is_full = !flush_chain(p);
        if (p->is_full)
            break;
        finish_chain(p);
        budget--;
    }
    if (tx_queue(p) != NULL)
        hk_virtq_signal(tx_queue(p));
    return budget;
}

static void flush_fairly(struct vcon_port *p)
{
    struct hk_virtq *vq = tx_queue(p);

    if (flush(p, vq == NULL ? 0 : hk_virtq_size(vq)) == 0 && vq != NULL)
        hk_vdev_kick_again(&p->vcon->dev, vcon_tx_index(p));
}

void vcon_port_tx_kick(struct vcon_port *p)
{
    if (!p->is_full)
        flush_fairly(p);
}

static void on_writable(void *opaque)
{
    flush_fairly(opaque);
}

void vcon_port_drain(struct vcon_port *p)
{
    flush(p, UINT32_MAX);
    while (p->is_full) {
        uint64_t before = p->moved;

        hk_port_drain(p->port);
        flush(p, UINT32_MAX);
        if (p->moved == before)
            return; /* nobody takes it */
    }
    hk_port_drain(p->port);
}

/* Makes room for `len` more bytes as far as the limit allows; returns for how
 * many. */
static size_t grow_kept(struct vcon_port *p, uint64_t len)
{
    size_t room = HK_VCON_KEPT_MAX - p->kept_len;
    size_t more = len < room ? (size_t)len : room;
    uint8_t *grown = more == 0 ? NULL : realloc(p->kept, p->kept_len + more);

    if (grown == NULL)
        return 0;
    p->kept = grown;
    return more;
}

static bool keep(struct vcon_port *p, const uint8_t *bytes, uint64_t len)
{
    size_t n = grow_kept(p, len);

    if (n != 0)
        memcpy(p->kept + p->kept_len, bytes, n);
    p->kept_len += n;
    return n == len;
}

/* What is left of the buffer in p->tx. */
static bool keep_chain(struct vcon_port *p)
{
    uint64_t len = hk_chain_read_left(p->tx);

    if (!keep(p, p->tx_rest.base, p->tx_rest.len))
        return false;
    size_t n = grow_kept(p, len);
    if (n != 0)
        p->kept_len += hk_chain_read(p->tx, p->kept + p->kept_len, n);
    return n == len;
}

void vcon_port_leave(struct vcon_port *p)
{
    bool all = true;

    flush(p, UINT32_MAX);
    if (!p->is_full)
        return;
    if (p->kept_at != 0) {
        p->kept_len -= p->kept_at;
        memmove(p->kept, p->kept + p->kept_at, p->kept_len);
        p->kept_at = 0;
    }
    while (all && (p->tx != NULL || vcon_pop(tx_queue(p), &p->tx))) {
        all = keep_chain(p);
        finish_chain(p);
    }
    if (!all)
        HK_LOG_GUEST_W("port %u: output is lost: the driver reset the device "
                       "before the host took it",
                       p->id);
}

/* ------------------------------------------------------------------ */
/* Life                                                               */

static const struct hk_port_events events = {
    .input = on_input,
    .input_end = on_input_end,
    .writable = on_writable,
    .resized = on_resized,
    .broken = on_broken,
};

void vcon_port_listen(struct vcon_port *p)
{
    hk_port_listen(p->port, &events, p);
}

void vcon_port_reset(struct vcon_port *p)
{
    p->tx = NULL;
    p->tx_rest.len = 0;
    p->guest_open = false;
    p->is_ready = false;
    p->sends = 0;
    vcon_end_reset(p);
}

void vcon_port_fini(struct vcon_port *p)
{
    vcon_end_reset(p);
    hk_port_close(p->port);
    drop_kept(p);
}
