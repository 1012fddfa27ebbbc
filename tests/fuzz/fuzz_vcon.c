/*
 * The console device and a driver that says anything: the input is a list of
 * steps, each a verb and an argument byte. Rings are in order; what is in them
 * is not. Other tests break the rings.
 */
#include "gdrv.h"

#include "base/endian.h"
#include "console/port.h"
#include "virtio/console.h"

#include <stdlib.h>
#include <string.h>

enum {
    PORTS = 3,
    QUEUES = 2 + 2 * PORTS,
    PAGE = 4096,
    STEPS = 400,
    CONTROL_TX = 3,
};

struct input {
    const uint8_t *at;
    size_t left;
};

static struct hk_port *ports[PORTS];

static uint8_t next(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static int make(struct hk_loop *loop, struct hk_pool *pool,
                struct hk_vdev **out)
{
    struct hk_vcon_port_config config[PORTS] = {
        {.console = true}, {.name = "one"}, {.name = "two"}};

    for (int i = 0; i < PORTS; i++) {
        if (hk_port_open_memory(&config[i].take_port) != 0)
            abort();
        ports[i] = config[i].take_port;
    }
    return hk_vcon_create(loop, config, PORTS, out);
}

static void add_buffer(struct gdrv *g, struct input *in, hk_gpa_t page)
{
    uint32_t queue = next(in) % QUEUES;
    uint8_t shape = next(in);
    uint32_t len = 1 + (uint32_t)next(in) * 16;
    const struct gdrv_buf bufs[] = {
        {page, len < 64 ? len : 64, false},
        {page + 64, len, (shape & 1) != 0},
        {page + 64 + len / 2, len, true},
    };
    size_t first = (shape >> 1) % 3;
    size_t count = first == 1 ? 1 : 3 - first;

    if (g->queue[queue].free_count >= count)
        gdrv_add(g, queue, bufs + first, count);
    gdrv_notify(g, queue);
}

static void say(struct gdrv *g, struct input *in, hk_gpa_t page)
{
    const struct gdrv_buf buf = {page, 1 + next(in) % 12, false};
    uint8_t message[12] = {0};

    hk_put_le32(message, next(in) % 5 == 4 ? ~0u : next(in) % 4u);
    hk_put_le16(message + 4, next(in) % 9);
    hk_put_le16(message + 6, next(in) % 2);
    gdrv_store(g, page, message, sizeof(message));
    if (g->queue[CONTROL_TX].free_count > 0)
        gdrv_add(g, CONTROL_TX, &buf, 1);
    gdrv_notify(g, CONTROL_TX);
}

static void host(struct input *in)
{
    static const uint8_t bytes[200];
    struct hk_port *port = ports[next(in) % PORTS];

    switch (next(in) % 4) {
    case 0:
        hk_port_memory_feed(port, bytes, next(in) % sizeof(bytes));
        break;
    case 1:
        hk_port_memory_set_room(port, next(in));
        break;
    case 2:
        hk_port_memory_set_size(port, next(in), next(in));
        break;
    default:
        hk_port_memory_end(port);
    }
}

static void take_all(struct gdrv *g)
{
    struct gdrv_used used;

    gdrv_turn(g);
    for (uint32_t i = 0; i < QUEUES; i++)
        while (!hk_vdev_is_broken(g->dev) && gdrv_take_used(g, i, &used))
            if (used.len > 3 * PAGE)
                abort();
}

static void step(struct gdrv *g, struct input *in, hk_gpa_t pages)
{
    hk_gpa_t page = pages + (hk_gpa_t)(next(in) % 16) * 2 * PAGE;

    switch (next(in) % 8) {
    case 0:
    case 1:
        say(g, in, page);
        break;
    case 2:
    case 3:
    case 4:
        add_buffer(g, in, page);
        break;
    case 5:
        host(in);
        break;
    case 6:
        gdrv_set_config(g, next(in) % 12, 1, next(in));
        break;
    default:
        take_all(g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    static struct gdrv g;
    hk_gpa_t pages;

    gdrv_init(&g, make);
    gdrv_start(&g, next(&in) & 3);
    pages = gdrv_alloc(&g, 40 * PAGE, PAGE);
    for (int i = 0; i < STEPS && in.left > 0; i++) {
        step(&g, &in, pages);
        if (!hk_vdev_is_broken(g.dev) && next(&in) != 255)
            continue;
        gdrv_start(&g, next(&in) & 3);
        pages = gdrv_alloc(&g, 40 * PAGE, PAGE);
    }
    take_all(&g);
    hk_vmmio_quiesce(g.transport, true);
    gdrv_fini(&g);
    return 0;
}
