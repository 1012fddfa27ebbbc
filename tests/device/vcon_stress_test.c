/* virtio/console.h on real descriptors: both directions at once, in bulk */
#define _GNU_SOURCE
#include "vcon_rig.h"

#include <fcntl.h>
#include <unistd.h>
#include <uv.h>

enum { TOTAL = 8 << 20, PORTS = 3, PAGES = 32 };

/* One port: a thread feeds it, the driver echoes, a thread checks. */
struct stream {
    uint32_t id;
    int in[2], out[2];
    uv_thread_t feeder, checker;
    size_t checked; /* bytes right from the start on */
    size_t total;
    hk_gpa_t rx[HK_VIRTQ_SIZE_MAX]; /* page by head */
    hk_gpa_t tx[HK_VIRTQ_SIZE_MAX];
    hk_gpa_t spare[PAGES]; /* pages for the echo */
    uint32_t spares;
    size_t echoed;
};

static struct stream streams[PORTS];

static uint8_t byte_at(uint32_t id, size_t at)
{
    return (uint8_t)((at * 2654435761u >> 13) + id);
}

static void feed_main(void *opaque)
{
    struct stream *s = opaque;
    uint8_t block[3000];

    for (size_t at = 0; at < TOTAL;) {
        size_t len = TOTAL - at < sizeof(block) ? TOTAL - at : sizeof(block);

        for (size_t i = 0; i < len; i++)
            block[i] = byte_at(s->id, at + i);
        for (size_t done = 0; done < len;) {
            ssize_t n = write(s->in[1], block + done, len - done);

            assert_true(n > 0);
            done += (size_t)n;
        }
        at += len;
    }
    close(s->in[1]);
}

static void check_main(void *opaque)
{
    struct stream *s = opaque;
    uint8_t block[5000];
    ssize_t n;

    while (s->total < TOTAL &&
           (n = read(s->out[0], block, sizeof(block))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            s->checked += block[i] == byte_at(s->id, s->total + (size_t)i);
        s->total += (size_t)n;
    }
}

static int make_streams(struct hk_loop *loop, struct hk_pool *pool,
                        struct hk_vdev **out)
{
    (void)pool;
    for (uint32_t i = 0; i < PORTS; i++) {
        struct stream *s = &streams[i];

        s->id = i;
        assert_int_equal(pipe(s->in), 0);
        assert_int_equal(pipe(s->out), 0);
        assert_int_equal(hk_port_open_fds(loop, s->in[0], s->out[1], 0,
                                          &rig.ports[i].take_port, NULL),
                         0);
    }
    return hk_vcon_create(loop, rig.ports, PORTS, out);
}

static void give_pages(struct gdrv *g, struct stream *s)
{
    for (int i = 0; i < PAGES; i++) {
        const struct gdrv_buf buf = {gdrv_alloc(g, PAGE, 16), PAGE, true};

        s->rx[gdrv_add(g, rx_of(s->id), &buf, 1)] = buf.gpa;
        s->spare[s->spares++] = gdrv_alloc(g, PAGE, 16);
    }
    gdrv_kick(g, rx_of(s->id));
}

/* Sends back what came, as far as there are pages for it. */
static void echo(struct gdrv *g, struct stream *s)
{
    struct gdrv_used used;
    uint8_t bytes[PAGE];

    while (gdrv_take_used(g, tx_of(s->id), &used))
        s->spare[s->spares++] = s->tx[used.head];
    while (s->spares > 0 && gdrv_take_used(g, rx_of(s->id), &used)) {
        const struct gdrv_buf in = {s->rx[used.head], PAGE, true};
        const struct gdrv_buf out = {s->spare[--s->spares], used.len, false};

        gdrv_load(g, in.gpa, bytes, used.len);
        gdrv_store(g, out.gpa, bytes, used.len);
        s->tx[gdrv_add(g, tx_of(s->id), &out, 1)] = out.gpa;
        s->rx[gdrv_add(g, rx_of(s->id), &in, 1)] = in.gpa;
        s->echoed += used.len;
    }
    gdrv_kick(g, tx_of(s->id));
    gdrv_kick(g, rx_of(s->id));
}

static bool is_done(struct gdrv *g)
{
    static uint32_t ends;
    struct message message;
    size_t echoed = 0;

    while (hear(g, &message))
        ends += message.event == PORT_OPEN && message.value == 0;
    for (int i = 0; i < PORTS; i++)
        echoed += streams[i].echoed;
    return ends == PORTS && echoed == (size_t)PORTS * TOTAL;
}

static void row043_three_ports_echo_at_once_and_lose_nothing(void **state)
{
    static struct gdrv g;

    (void)state;
    memset(&rig, 0, sizeof(rig));
    rig.count = PORTS;
    for (uint32_t i = 0; i < PORTS; i++)
        rig.ports[i].name = "echo";
    gdrv_init(&g, make_streams);
    start_open(&g);
    for (int i = 0; i < PORTS; i++) {
        struct stream *s = &streams[i];

        give_pages(&g, s);
        assert_int_equal(uv_thread_create(&s->feeder, feed_main, s), 0);
        assert_int_equal(uv_thread_create(&s->checker, check_main, s), 0);
    }
    while (!is_done(&g)) {
        gdrv_turn(&g);
        for (int i = 0; i < PORTS; i++)
            echo(&g, &streams[i]);
        uv_sleep(0);
    }
    hk_vmmio_quiesce(g.transport, true);
    for (int i = 0; i < PORTS; i++) {
        struct stream *s = &streams[i];

        uv_thread_join(&s->feeder);
        uv_thread_join(&s->checker);
        assert_int_equal(s->total, TOTAL);
        assert_int_equal(s->checked, TOTAL);
    }
    gdrv_fini(&g);
    for (int i = 0; i < PORTS; i++) {
        close(streams[i].in[0]);
        close(streams[i].out[0]);
        close(streams[i].out[1]);
    }
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(row043_three_ports_echo_at_once_and_lose_nothing),
};
HK_TEST_MAIN(cases)
