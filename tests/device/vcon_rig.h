/*
 * What the tests of the console device share: a device with ports in memory,
 * and a driver that speaks the control messages as Linux does.
 */
#ifndef VCON_RIG_H
#define VCON_RIG_H

#include "gdrv.h"
#include "hk_test.h"

#include "base/endian.h"
#include "console/port.h"
#include "virtio/console.h"

enum {
    VCON_SIZE = 1,
    VCON_MULTIPORT = 2,
    VCON_EMERG_WRITE = 4,

    CONTROL_RX = 2,
    CONTROL_TX = 3,

    DEVICE_READY = 0,
    PORT_ADD = 1,
    PORT_REMOVE = 2,
    PORT_READY = 3,
    CONSOLE_PORT = 4,
    RESIZE = 5,
    PORT_OPEN = 6,
    PORT_NAME = 7,

    NO_ID = -1,
    PAGE = 4096,
};

/* What the next device is made of, and its ports. */
static struct {
    uint32_t count;
    struct hk_vcon_port_config ports[HK_VCON_PORTS_MAX + 1];
    bool own_ports; /* take_port is filled by the test */
} rig;

static inline struct hk_port *port_of(uint32_t id)
{
    return rig.ports[id].take_port;
}

static inline int make(struct hk_loop *loop, struct hk_pool *pool,
                       struct hk_vdev **out)
{
    for (uint32_t i = 0; i < rig.count && !rig.own_ports; i++)
        assert_int_equal(hk_port_open_memory(&rig.ports[i].take_port), 0);
    return hk_vcon_create(loop, rig.ports, rig.count, out);
}

static inline uint32_t rx_of(uint32_t id)
{
    return id == 0 ? 0 : 2 + 2 * id;
}

static inline uint32_t tx_of(uint32_t id)
{
    return rx_of(id) + 1;
}

/* A console and two streams. */
static inline int setup(void **state)
{
    struct gdrv *g = malloc(sizeof(*g));

    memset(&rig, 0, sizeof(rig));
    rig.count = 3;
    rig.ports[0].console = true;
    rig.ports[1].name = "krun-stdin";
    rig.ports[2].name = "krun-stdout";
    gdrv_init(g, make);
    *state = g;
    return 0;
}

static inline int teardown(void **state)
{
    gdrv_fini(*state);
    free(*state);
    return 0;
}

/* Makes another device; the test says before what of. */
static inline void remake(struct gdrv *g)
{
    gdrv_fini(g);
    gdrv_init(g, make);
}

struct message {
    int id;
    uint16_t event, value;
    size_t len; /* of what follows */
    uint8_t rest[300];
};

static inline void say(struct gdrv *g, int id, uint16_t event, uint16_t value)
{
    uint8_t bytes[8];

    hk_put_le32(bytes, (uint32_t)id);
    hk_put_le16(bytes + 4, event);
    hk_put_le16(bytes + 6, value);
    assert_int_equal(gdrv_request(g, CONTROL_TX, bytes, 8, NULL, 0), 0);
}

/* Buffers of the control queue by head. */
static hk_gpa_t control_buf[HK_VIRTQ_SIZE_MAX];

static inline void give_control(struct gdrv *g, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct gdrv_buf buf = {gdrv_alloc(g, PAGE, 16), PAGE, true};

        control_buf[gdrv_add(g, CONTROL_RX, &buf, 1)] = buf.gpa;
    }
    gdrv_kick(g, CONTROL_RX);
    gdrv_turn(g);
}

static inline bool hear(struct gdrv *g, struct message *message)
{
    struct gdrv_used used;
    uint8_t bytes[308];

    if (!gdrv_take_used(g, CONTROL_RX, &used))
        return false;
    assert_in_range(used.len, 8, sizeof(bytes));
    gdrv_load(g, control_buf[used.head], bytes, used.len);
    message->id = (int)hk_get_le32(bytes);
    message->event = hk_get_le16(bytes + 4);
    message->value = hk_get_le16(bytes + 6);
    message->len = used.len - 8;
    memcpy(message->rest, bytes + 8, message->len);
    return true;
}

static inline void expect(struct gdrv *g, int id, uint16_t event,
                          uint16_t value)
{
    struct message message = {.id = -2, .event = 99};

    (void)hear(g, &message);
    assert_int_equal(message.id, id);
    assert_int_equal(message.event, event);
    assert_int_equal(message.value, value);
}

static inline void expect_silence(struct gdrv *g)
{
    struct message message;

    gdrv_turn(g);
    assert_false(hear(g, &message));
}

/* From reset to all ports open on both sides, all messages heard. */
static inline void start_open(struct gdrv *g)
{
    struct message message;

    gdrv_start(g, VCON_MULTIPORT | VCON_SIZE);
    give_control(g, 32);
    say(g, NO_ID, DEVICE_READY, 1);
    for (uint32_t i = 0; i < rig.count; i++) {
        say(g, (int)i, PORT_READY, 1);
        say(g, (int)i, PORT_OPEN, 1);
    }
    while (hear(g, &message))
        ;
    give_control(g, g->queue[CONTROL_RX].free_count);
}

static inline void assert_output(uint32_t id, const void *bytes, size_t len)
{
    size_t have;
    const uint8_t *got = hk_port_memory_bytes(port_of(id), &have);

    assert_int_equal(have, len);
    if (len != 0)
        assert_memory_equal(got, bytes, len);
}

static inline void feed(uint32_t id, const void *bytes, size_t len)
{
    hk_port_memory_feed(port_of(id), bytes, len);
}

/* One page for input; returns where. */
static inline hk_gpa_t give_page(struct gdrv *g, uint32_t id)
{
    const struct gdrv_buf buf = {gdrv_alloc(g, PAGE, 16), PAGE, true};

    gdrv_add(g, rx_of(id), &buf, 1);
    gdrv_kick(g, rx_of(id));
    gdrv_turn(g);
    return buf.gpa;
}

/* The next used buffer of input, which lies at `at`, holds this. */
static inline void assert_input(struct gdrv *g, uint32_t id, hk_gpa_t at,
                                const char *text)
{
    struct gdrv_used used = {0};
    char bytes[PAGE];

    assert_true(gdrv_take_used(g, rx_of(id), &used));
    assert_int_equal(used.len, strlen(text));
    gdrv_load(g, at, bytes, used.len);
    assert_memory_equal(bytes, text, used.len);
}

static inline void assert_no_input(struct gdrv *g, uint32_t id)
{
    struct gdrv_used used;

    gdrv_turn(g);
    assert_false(gdrv_take_used(g, rx_of(id), &used));
}

static inline void put(struct gdrv *g, uint32_t id, const char *text)
{
    assert_int_equal(gdrv_request(g, tx_of(id), text, strlen(text), NULL, 0),
                     0);
}

#endif
