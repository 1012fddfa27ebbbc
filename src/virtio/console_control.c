/*
 * Messages about ports (VIRTIO 1.2, 5.3.6.2):
 *
 *   driver                       device
 *   DEVICE_READY     -->
 *                    <--         PORT_ADD, for each port
 *   PORT_READY       -->
 *                    <--         CONSOLE_PORT or none, PORT_OPEN, PORT_NAME,
 *                                RESIZE
 *   PORT_OPEN 1/0    -->         somebody opened or closed the guest's side
 *                    <--         PORT_OPEN 0: the end of the host's input
 *                    <--         RESIZE: the window has changed
 *
 * What is to be said is kept as bits and said with the state of the moment a
 * buffer is there for it, so a driver that asks and asks makes nothing grow.
 * Messages that make no sense are ignored, as are ports that do not exist.
 */
#define HK_LOG_TAG "console"

#include "virtio/console_int.h"

#include "base/endian.h"
#include "base/log.h"

#include <string.h>

enum {
    DEVICE_READY = 0,
    PORT_ADD = 1,
    PORT_READY = 3,
    CONSOLE_PORT = 4,
    RESIZE = 5,
    PORT_OPEN = 6,
    PORT_NAME = 7,
};

enum { HEADER = 8, MESSAGE_MAX = HEADER + HK_VCON_NAME_MAX };

/* ------------------------------------------------------------------ */
/* To the driver                                                      */

static size_t put_header(uint8_t *to, uint32_t port, uint16_t event,
                         uint16_t value)
{
    hk_put_le32(to, port);
    hk_put_le16(to + 4, event);
    hk_put_le16(to + 6, value);
    return HEADER;
}

static size_t put_size(const struct vcon_port *p, uint8_t *to)
{
    bool rows_first = p->vcon->rows_first;

    hk_put_le16(to, rows_first ? p->rows : p->columns);
    hk_put_le16(to + 2, rows_first ? p->columns : p->rows);
    return 4;
}

/* The message of one VCON_SEND_ bit; returns its length. */
static size_t put_message(const struct vcon_port *p, uint32_t send, uint8_t *to)
{
    size_t len;

    switch (send) {
    case VCON_SEND_ADD:
        return put_header(to, p->id, PORT_ADD, 1);
    case VCON_SEND_CONSOLE:
        return put_header(to, p->id, CONSOLE_PORT, 1);
    case VCON_SEND_OPEN:
        return put_header(to, p->id, PORT_OPEN, p->is_open);
    case VCON_SEND_NAME:
        len = put_header(to, p->id, PORT_NAME, 1);
        memcpy(to + len, p->name, strlen(p->name));
        return len + strlen(p->name);
    default: /* VCON_SEND_RESIZE */
        len = put_header(to, p->id, RESIZE, 1);
        return len + put_size(p, to + len);
    }
}

/* False when there is no buffer for it, or none that is large enough. */
static bool send_one(struct vcon *vcon, struct vcon_port *p, uint32_t send)
{
    struct hk_virtq *vq = hk_vdev_queue(&vcon->dev, VCON_CONTROL_RX);
    uint8_t message[MESSAGE_MAX];
    struct hk_chain *chain;

    if (!vcon_pop(vq, &chain))
        return false;
    size_t len = put_message(p, send, message);
    if (hk_chain_writable(chain) < len) {
        hk_virtq_push(vq, chain, 0);
        hk_vdev_broken(&vcon->dev, "a buffer for control messages is short");
        return false;
    }
    hk_virtq_push(vq, chain, (uint32_t)hk_chain_write(chain, message, len));
    p->sends &= ~send;
    return true;
}

static bool send_all_of(struct vcon *vcon, struct vcon_port *p)
{
    while (p->sends != 0)
        if (!send_one(vcon, p, p->sends & (~p->sends + 1)))
            return false;
    return true;
}

void vcon_control_send(struct vcon *vcon)
{
    struct hk_virtq *vq = hk_vdev_queue(&vcon->dev, VCON_CONTROL_RX);

    if (!vcon->multiport || vq == NULL)
        return;
    for (uint32_t i = 0; i < vcon->count; i++)
        if (!send_all_of(vcon, &vcon->ports[i]))
            break;
    hk_virtq_signal(vq);
}

/* ------------------------------------------------------------------ */
/* From the driver                                                    */

static void on_device_ready(struct vcon *vcon, bool good)
{
    if (!good) {
        HK_LOG_GUEST_W("the guest could not set the device up");
        return;
    }
    for (uint32_t i = 0; i < vcon->count; i++)
        vcon->ports[i].sends |= VCON_SEND_ADD;
}

static void on_port_ready(struct vcon_port *p, bool good)
{
    p->is_ready = good;
    if (!good) {
        HK_LOG_GUEST_W("the guest could not set port %u up", p->id);
        return;
    }
    p->sends |= VCON_SEND_OPEN;
    if (p->console)
        p->sends |= VCON_SEND_CONSOLE;
    if (p->name[0] != '\0')
        p->sends |= VCON_SEND_NAME;
    if (p->console && p->columns != 0)
        p->sends |= VCON_SEND_RESIZE;
}

static void on_message(struct vcon *vcon, const uint8_t *message)
{
    uint32_t id = hk_get_le32(message);
    uint16_t event = hk_get_le16(message + 4);
    bool value = hk_get_le16(message + 6) != 0;
    struct vcon_port *p = id < vcon->count ? &vcon->ports[id] : NULL;

    if (event == DEVICE_READY)
        on_device_ready(vcon, value);
    else if (event == PORT_READY && p != NULL)
        on_port_ready(p, value);
    else if (event == PORT_OPEN && p != NULL && p->is_ready)
        vcon_port_open(p, value);
    else
        HK_LOG_GUEST_D("control message %u for port %u is ignored", event, id);
}

void vcon_control_receive(struct vcon *vcon)
{
    struct hk_virtq *vq = hk_vdev_queue(&vcon->dev, VCON_CONTROL_TX);
    uint32_t budget = vq == NULL ? 0 : hk_virtq_size(vq);
    uint8_t message[HEADER];
    struct hk_chain *chain;

    if (vq == NULL || !vcon->multiport)
        return;
    while (budget > 0 && vcon_pop(vq, &chain)) {
        bool is_whole = hk_chain_read(chain, message, HEADER) == HEADER;

        hk_virtq_push(vq, chain, 0);
        if (is_whole)
            on_message(vcon, message);
        budget--;
    }
    hk_virtq_signal(vq);
    vcon_control_send(vcon);
    if (budget == 0)
        hk_vdev_kick_again(&vcon->dev, VCON_CONTROL_TX);
}
