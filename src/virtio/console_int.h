/*
 * Inside the console device: what its files share.
 *
 *   console.c          the device: queues, configuration, life
 *   console_control.c  messages about ports
 *   console_port.c     the bytes of one port
 *   console_end.c      what the guest hears of the end of input
 */
#ifndef HK_VIRTIO_CONSOLE_INT_H
#define HK_VIRTIO_CONSOLE_INT_H

#include "console/port.h"
#include "virtio/console.h"
#include "virtio/device.h"

enum {
    VCON_CONTROL_RX = 2, /* named from the guest's side */
    VCON_CONTROL_TX = 3,
};

/* Messages that wait for a buffer of the control queue; sent in this order.
 * "Open" goes before the name: a guest that finds the port by its name must
 * not take "not yet open" for the end of input. */
enum {
    VCON_SEND_ADD = 1 << 0,
    VCON_SEND_CONSOLE = 1 << 1,
    VCON_SEND_OPEN = 1 << 2,
    VCON_SEND_NAME = 1 << 3,
    VCON_SEND_RESIZE = 1 << 4,
};

struct hk_timer;
struct vcon;

struct vcon_port {
    struct vcon *vcon;
    struct hk_timer *blink; /* see console_end.c */
    uint64_t blink_open_ms; /* how long the side is open next */
    uint32_t id;
    struct hk_port *port;
    char name[HK_VCON_NAME_MAX + 1];
    bool console;
    bool hides_end;
    bool goes_on;

    bool ended;       /* no more input will come; the guest has all of it */
    bool is_deserted; /* ... and the output broke: nobody is left */
    bool is_open;     /* what the guest was told, or will be */
    bool guest_open;  /* somebody in the guest reads */
    bool is_ready;    /* the guest has made its side of the port */
    uint32_t sends;   /* VCON_SEND_* */
    uint16_t columns, rows; /* 0: not known */

    struct hk_chain *tx;   /* output that the port did not take yet ... */
    struct hk_iov tx_rest; /* ... and the piece of it that is begun */
    bool is_full;          /* the port will tell when it has room */
    uint64_t moved;        /* bytes the port has taken so far */

    uint8_t *kept; /* output from before a reset, or NULL */
    size_t kept_at, kept_len;
};

struct vcon {
    struct hk_vdev dev;
    bool rows_first;
    bool multiport; /* negotiated */
    bool size_told; /* without MULTIPORT: told again after the first output */
    uint32_t count;
    struct vcon_port ports[];
};

/* 0 or 1 like hk_virtq_pop; also 0 for a queue that is not there. */
int vcon_pop(struct hk_virtq *vq, struct hk_chain **out) HK_MUST_CHECK;

/* console.c */
void vcon_tell_size(struct vcon *vcon, bool again);

/* console_control.c */
void vcon_control_receive(struct vcon *vcon);
void vcon_control_send(struct vcon *vcon);

/* console_port.c */
uint32_t vcon_rx_index(const struct vcon_port *p);
uint32_t vcon_tx_index(const struct vcon_port *p);
void vcon_port_listen(struct vcon_port *p);
void vcon_port_open(struct vcon_port *p, bool open); /* by the guest */
void vcon_port_rx_kick(struct vcon_port *p);
void vcon_port_tx_kick(struct vcon_port *p);
void vcon_port_drain(struct vcon_port *p);
/* The driver is about to reset the device: saves what it has written. */
void vcon_port_leave(struct vcon_port *p);
void vcon_port_reset(struct vcon_port *p);
void vcon_port_fini(struct vcon_port *p);

/* console_end.c */
void vcon_end_begin(struct vcon_port *p);  /* the port's input ended */
void vcon_end_broken(struct vcon_port *p); /* its output broke */
void vcon_end_opened(struct vcon_port *p); /* by the guest, or closed */
void vcon_end_reset(struct vcon_port *p);

#endif
