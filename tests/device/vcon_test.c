/* virtio/console.h behind its transport: bytes of ports, and their life */
#define _GNU_SOURCE
#include "vcon_rig.h"
#include "hostile.h"

#include "base/compiler.h"

#include <unistd.h>
#include <uv.h>

/* ------------------------------------------------------------------ */
/* Identity                                                           */

static void row048_type_3_and_version_1(void **state)
{
    struct gdrv *g = *state;

    assert_int_equal(gdrv_read(g, GDRV_DEVICE_ID), 3);
    assert_int_equal(gdrv_offered(g),
                     HK_VIRTIO_F_VERSION_1 | HK_VIRTIO_F_EVENT_IDX |
                         HK_VIRTIO_F_INDIRECT_DESC | VCON_SIZE |
                         VCON_MULTIPORT | VCON_EMERG_WRITE);
    assert_int_equal(gdrv_config(g, 4, 4), 3);
    gdrv_write(g, GDRV_QUEUE_SEL, 7);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_NUM_MAX), 64);
    gdrv_write(g, GDRV_QUEUE_SEL, 8);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_NUM_MAX), 0);
}

static void row048_a_device_without_ports_starts(void **state)
{
    struct gdrv *g = *state;

    rig.count = 0;
    remake(g);
    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 4);
    say(g, NO_ID, DEVICE_READY, 1);
    say(g, 0, PORT_READY, 1);
    expect_silence(g);
    gdrv_set_config(g, 8, 4, 'x');
    assert_int_equal(gdrv_status(g), 15);
}

static void row048_thirty_one_ports_work(void **state)
{
    struct gdrv *g = *state;

    for (rig.count = 0; rig.count < HK_VCON_PORTS_MAX; rig.count++)
        rig.ports[rig.count].name = "p";
    remake(g);
    start_open(g);
    put(g, 30, "last");
    assert_output(30, "last", 4);
    assert_output(29, "", 0);
}

static void too_many_ports_and_long_names_are_refused(void **state)
{
    struct gdrv *g = *state;
    char name[HK_VCON_NAME_MAX + 2];
    struct hk_vdev *dev;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (rig.count = 0; rig.count <= HK_VCON_PORTS_MAX; rig.count++)
        rig.ports[rig.count].name = "p";
    assert_int_equal(make(g->loop, NULL, &dev), -HK_EINVAL);
    rig.count = 2;
    rig.ports[1].name = name;
    assert_int_equal(make(g->loop, NULL, &dev), -HK_ENAMETOOLONG);
}

/* ------------------------------------------------------------------ */
/* Output                                                             */

static void row038_output_is_unchanged(void **state)
{
    static const char text[] = "\x1b[1m\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7"
                               "\r\n\t\x7f\xff";
    struct gdrv *g = *state;

    start_open(g);
    put(g, 0, text);
    assert_output(0, text, strlen(text));
}

static void row038_output_reaches_a_file_unchanged(void **state)
{
    static const char text[] = "caf\xc3\xa9\n";
    struct gdrv *g = *state;
    FILE *file = tmpfile();
    char got[sizeof(text)];
    struct hk_loop *loop;
    struct hk_vdev *dev;

    /* On a loop of its own, so that closing hands everything over. */
    (void)g;
    assert_int_equal(hk_loop_create(&loop), 0);
    assert_int_equal(hk_port_open_fds(loop, -1, fileno(file), 0,
                                      &rig.ports[0].take_port, NULL),
                     0);
    rig.count = 1;
    assert_int_equal(hk_vcon_create(loop, rig.ports, 1, &dev), 0);
    for (size_t i = 0; i < strlen(text); i++)
        dev->ops->config(dev, 8, (const uint8_t *)&text[i], 1);
    hk_vdev_destroy(dev);
    hk_loop_turn(loop);
    hk_loop_destroy(loop);
    rewind(file);
    assert_int_equal(fread(got, 1, sizeof(got), file), strlen(text));
    assert_memory_equal(got, text, strlen(text));
    fclose(file);
}

static void row042_chained_buffers_are_one_piece_of_output(void **state)
{
    struct gdrv *g = *state;
    struct gdrv_used used;

    start_open(g);
    const struct gdrv_buf bufs[] = {
        {gdrv_put(g, "one ", 4), 4, false},
        {gdrv_put(g, "", 0), 0, false},
        {gdrv_put(g, "two ", 4), 4, false},
        {gdrv_put(g, "three", 5), 5, false},
    };
    gdrv_add(g, tx_of(2), bufs, 4);
    gdrv_kick(g, tx_of(2));
    gdrv_turn(g);
    assert_true(gdrv_take_used(g, tx_of(2), &used));
    assert_int_equal(used.len, 0);
    assert_output(2, "one two three", 13);
}

static void row042_the_used_index_counts_every_buffer(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    for (int i = 0; i < 64; i++) {
        const struct gdrv_buf buf = {gdrv_put(g, "x", 1), 1, false};

        gdrv_add(g, tx_of(1), &buf, 1);
    }
    gdrv_kick(g, tx_of(1));
    gdrv_turn(g);
    assert_int_equal(gdrv_load16(g, g->queue[tx_of(1)].used + 2), 64);
}

static void a_full_port_stops_output_until_it_has_room(void **state)
{
    struct gdrv *g = *state;
    struct gdrv_used used;

    start_open(g);
    hk_port_memory_set_room(port_of(2), 6);
    const struct gdrv_buf chain[] = {
        {gdrv_put(g, "abc", 3), 3, false},
        {gdrv_put(g, "defgh", 5), 5, false},
    };
    const struct gdrv_buf next = {gdrv_put(g, "ijk", 3), 3, false};
    gdrv_add(g, tx_of(2), chain, 2);
    gdrv_add(g, tx_of(2), &next, 1);
    gdrv_kick(g, tx_of(2));
    gdrv_turn(g);
    assert_output(2, "abcdef", 6);
    assert_false(gdrv_take_used(g, tx_of(2), &used));
    gdrv_notify(g, tx_of(2));
    gdrv_turn(g);
    assert_output(2, "abcdef", 6);
    hk_port_memory_set_room(port_of(2), 3);
    assert_true(gdrv_take_used(g, tx_of(2), &used));
    assert_false(gdrv_take_used(g, tx_of(2), &used));
    hk_port_memory_set_room(port_of(2), SIZE_MAX);
    assert_output(2, "abcdefghijk", 11);
    assert_true(gdrv_take_used(g, tx_of(2), &used));
}

static void a_full_port_does_not_hold_up_the_others(void **state)
{
    struct gdrv *g = *state;
    const struct gdrv_buf buf = {gdrv_put(g, "stuck", 5), 5, false};

    start_open(g);
    hk_port_memory_set_room(port_of(1), 0);
    gdrv_add(g, tx_of(1), &buf, 1);
    gdrv_kick(g, tx_of(1));
    put(g, 2, "free");
    assert_output(1, "", 0);
    assert_output(2, "free", 4);
}

static void output_of_a_device_that_is_reset_is_kept(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    hk_port_memory_set_room(port_of(2), 2);
    for (int i = 0; i < 3; i++) {
        const struct gdrv_buf buf = {gdrv_put(g, "line\n", 5), 5, false};

        gdrv_add(g, tx_of(2), &buf, 1);
    }
    gdrv_kick(g, tx_of(2));
    gdrv_turn(g);
    start_open(g);
    const struct gdrv_buf buf = {gdrv_put(g, "after", 5), 5, false};
    gdrv_add(g, tx_of(2), &buf, 1);
    gdrv_kick(g, tx_of(2));
    gdrv_turn(g);
    gdrv_reset(g);
    assert_output(2, "li", 2);
    hk_port_memory_set_room(port_of(2), SIZE_MAX);
    assert_output(2, "line\nline\nline\nafter", 20);
}

static void no_more_is_kept_than_the_limit(void **state)
{
    enum { BIG = 3 << 20 };
    struct gdrv *g = *state;
    const struct gdrv_buf buf = {0x100000, BIG, false};
    size_t len;

    start_open(g);
    hk_port_memory_set_room(port_of(2), 0);
    gdrv_add(g, tx_of(2), &buf, 1);
    gdrv_add(g, tx_of(2), &buf, 1);
    gdrv_kick(g, tx_of(2));
    gdrv_turn(g);
    gdrv_reset(g);
    hk_port_memory_set_room(port_of(2), SIZE_MAX);
    hk_port_memory_bytes(port_of(2), &len);
    assert_int_equal(len, HK_VCON_KEPT_MAX);
}

static void an_emergency_byte_needs_no_queue(void **state)
{
    struct gdrv *g = *state;

    gdrv_negotiate(g, 0);
    gdrv_set_config(g, 8, 4, 'E');
    gdrv_set_config(g, 8, 1, '!');
    gdrv_set_config(g, 0, 4, 0x00180050); /* not to be written */
    assert_output(0, "E!", 2);
    assert_int_equal(gdrv_config(g, 0, 4), 0);
}

/* ------------------------------------------------------------------ */
/* Drain                                                              */

struct slow_reader {
    int fd;
    size_t total;
};

static void read_all(void *opaque)
{
    struct slow_reader *reader = opaque;
    char bytes[1000];
    ssize_t n;

    while ((n = read(reader->fd, bytes, sizeof(bytes))) > 0)
        reader->total += (size_t)n;
}

static int make_pipe_port(struct hk_loop *loop, struct hk_pool *pool,
                          struct hk_vdev **out)
{
    assert_int_equal(hk_port_open_fds(loop, -1,
                                      (int)(intptr_t)rig.ports[0].name, 0,
                                      &rig.ports[0].take_port, NULL),
                     0);
    rig.ports[0].name = "out";
    return hk_vcon_create(loop, rig.ports, 1, out);
}

static void the_end_waits_for_a_slow_reader(void **state)
{
    enum { BIG = 2 << 20 };
    struct gdrv *g = *state;
    struct slow_reader reader = {0};
    const struct gdrv_buf buf = {0x100000, BIG, false};
    uv_thread_t thread;
    int fds[2];

    gdrv_fini(g);
    assert_int_equal(pipe(fds), 0);
    rig.count = 1;
    rig.ports[0].name = (const char *)(intptr_t)fds[1];
    gdrv_init(g, make_pipe_port);
    start_open(g);
    gdrv_add(g, tx_of(0), &buf, 1);
    gdrv_add(g, tx_of(0), &buf, 1); /* and nobody kicks */
    reader.fd = fds[0];
    assert_int_equal(uv_thread_create(&thread, read_all, &reader), 0);
    hk_vmmio_quiesce(g->transport, true);
    close(fds[1]);
    uv_thread_join(&thread);
    close(fds[0]);
    assert_int_equal(reader.total, 2 * BIG);
    hk_port_close(NULL);
}

static void the_end_does_not_wait_for_a_port_that_takes_nothing(void **state)
{
    struct gdrv *g = *state;
    const struct gdrv_buf buf = {gdrv_put(g, "x", 1), 1, false};

    start_open(g);
    hk_port_memory_set_room(port_of(2), 0);
    gdrv_add(g, tx_of(2), &buf, 1);
    hk_vmmio_quiesce(g->transport, true);
    assert_output(2, "", 0);
}

/* ------------------------------------------------------------------ */
/* Input                                                              */

static void row038_input_reaches_the_guest(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    hk_gpa_t at = give_page(g, 0);
    feed(0, "k\x1b[A\x03", 5);
    assert_input(g, 0, at, "k\x1b[A\x03");
    assert_true(gdrv_take_interrupts(g, NULL) > 0);
}

static void row042_input_fills_chained_buffers(void **state)
{
    struct gdrv *g = *state;
    const hk_gpa_t at = gdrv_alloc(g, 64, 16);
    const struct gdrv_buf bufs[] = {{at, 3, true}, {at + 3, 9, true}};
    struct gdrv_used used;
    char got[8];

    start_open(g);
    gdrv_add(g, rx_of(1), bufs, 2);
    gdrv_kick(g, rx_of(1));
    feed(1, "chained", 7);
    assert_true(gdrv_take_used(g, rx_of(1), &used));
    assert_int_equal(used.len, 7);
    gdrv_load(g, at, got, 7);
    assert_memory_equal(got, "chained", 7);
}

static void row042_input_waits_for_buffers(void **state)
{
    struct gdrv *g = *state;
    const hk_gpa_t at = gdrv_alloc(g, 64, 16);
    struct gdrv_used used;
    char got[8];

    start_open(g);
    feed(1, "abcdefg", 7);
    for (int i = 0; i < 3; i++) {
        const struct gdrv_buf buf = {at + 3 * (unsigned)i, 3, true};

        assert_no_input(g, 1);
        gdrv_add(g, rx_of(1), &buf, 1);
        gdrv_kick(g, rx_of(1));
        gdrv_turn(g);
        assert_true(gdrv_take_used(g, rx_of(1), &used));
        assert_int_equal(used.len, i < 2 ? 3 : 1);
    }
    gdrv_load(g, at, got, 7);
    assert_memory_equal(got, "abcdefg", 7);
}

static void input_waits_until_the_guest_opens_the_port(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    say(g, 1, PORT_OPEN, 0);
    hk_gpa_t at = give_page(g, 1);
    feed(1, "early", 5);
    assert_no_input(g, 1);
    say(g, 1, PORT_OPEN, 1);
    assert_input(g, 1, at, "early");
}

static void input_survives_a_reset(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    feed(1, "kept", 4);
    start_open(g);
    hk_gpa_t at = give_page(g, 1);
    assert_input(g, 1, at, "kept");
}

static void a_buffer_for_input_that_cannot_be_written_breaks(void **state)
{
    struct gdrv *g = *state;
    const struct gdrv_buf buf = {gdrv_put(g, "ro", 2), 2, false};

    start_open(g);
    gdrv_add(g, rx_of(1), &buf, 1);
    gdrv_kick(g, rx_of(1));
    feed(1, "x", 1);
    gdrv_turn(g);
    assert_true(hk_vdev_is_broken(g->dev));
    start_open(g);
    hk_gpa_t at = give_page(g, 1);
    assert_input(g, 1, at, "x");
}

static void row046_ports_do_not_mix(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    hk_gpa_t at[3];
    for (uint32_t i = 0; i < 3; i++)
        at[i] = give_page(g, i);
    feed(2, "to two", 6);
    feed(0, "to zero", 7);
    put(g, 1, "from one");
    put(g, 0, "from zero");
    assert_input(g, 0, at[0], "to zero");
    assert_input(g, 2, at[2], "to two");
    assert_no_input(g, 1);
    assert_output(0, "from zero", 9);
    assert_output(1, "from one", 8);
    assert_output(2, "", 0);
}

/* ------------------------------------------------------------------ */
/* A driver without MULTIPORT                                         */

static void without_multiport_port_0_works_alone(void **state)
{
    struct gdrv *g = *state;

    gdrv_start(g, VCON_SIZE);
    hk_gpa_t at = give_page(g, 0);
    feed(0, "in", 2);
    assert_input(g, 0, at, "in");
    put(g, 0, "out");
    assert_output(0, "out", 3);
}

static void row041_without_multiport_the_size_is_configuration(void **state)
{
    struct gdrv *g = *state;
    uint32_t status;

    rig.count = 1;
    remake(g);
    hk_port_memory_set_size(port_of(0), 80, 24);
    gdrv_start(g, VCON_SIZE);
    assert_true(gdrv_take_interrupts(g, &status) > 0);
    assert_int_equal(status & 2, 2); /* told, though nothing has changed */
    assert_int_equal(gdrv_config(g, 0, 2), 80);
    assert_int_equal(gdrv_config(g, 2, 2), 24);
    put(g, 0, "$ ");
    gdrv_take_interrupts(g, &status);
    assert_int_equal(status & 2, 2); /* once more: the console is up */
    put(g, 0, "$ ");
    gdrv_take_interrupts(g, &status);
    assert_int_equal(status & 2, 0);
    hk_port_memory_set_size(port_of(0), 132, 50);
    gdrv_take_interrupts(g, &status);
    assert_int_equal(status & 2, 2);
    assert_int_equal(gdrv_config(g, 0, 4), 50 << 16 | 132);
}

/* ------------------------------------------------------------------ */
/* Hostile drivers                                                    */

static void polite(struct gdrv *g)
{
    size_t before, after;

    hk_port_memory_bytes(port_of(0), &before);
    put(g, 0, "p");
    hk_port_memory_bytes(port_of(0), &after);
    assert_int_equal(after, before + 1);
    hk_port_memory_feed(port_of(0), (const uint8_t *)"q", 1);
    give_page(g, 0);
    say(g, 0, PORT_READY, 1);
    say(g, 0, PORT_OPEN, 1);
    gdrv_turn(g);
    struct gdrv_used used;
    assert_true(gdrv_take_used(g, 0, &used));
}

static void three_ports(void)
{
    memset(&rig, 0, sizeof(rig));
    rig.count = 3;
    rig.ports[0].console = true;
    rig.ports[1].name = "one";
    rig.ports[2].name = "two";
}

/* Half of the garbage becomes a control message that means something. */
static void dress(struct gdrv *g, uint32_t queue, hk_gpa_t at, uint32_t len,
                  uint32_t seed)
{
    uint8_t bytes[8];

    if (queue != CONTROL_TX || len < 8)
        return;
    hk_put_le32(bytes, seed % 5);
    hk_put_le16(bytes + 4, (uint16_t)(seed / 5 % 9));
    hk_put_le16(bytes + 6, (uint16_t)(seed / 45 % 3));
    gdrv_store(g, at, bytes, 8);
}

static struct hostile_target target = {
    .make = make,
    .polite = polite,
    .features = VCON_MULTIPORT | VCON_SIZE,
    .dress = dress,
    .setup = three_ports,
};

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(row048_type_3_and_version_1),
    CASE(row048_a_device_without_ports_starts),
    CASE(row048_thirty_one_ports_work),
    CASE(too_many_ports_and_long_names_are_refused),
    CASE(row038_output_is_unchanged),
    CASE(row038_output_reaches_a_file_unchanged),
    CASE(row042_chained_buffers_are_one_piece_of_output),
    CASE(row042_the_used_index_counts_every_buffer),
    CASE(a_full_port_stops_output_until_it_has_room),
    CASE(a_full_port_does_not_hold_up_the_others),
    CASE(output_of_a_device_that_is_reset_is_kept),
    CASE(no_more_is_kept_than_the_limit),
    CASE(an_emergency_byte_needs_no_queue),
    CASE(the_end_waits_for_a_slow_reader),
    CASE(the_end_does_not_wait_for_a_port_that_takes_nothing),
    CASE(row038_input_reaches_the_guest),
    CASE(row042_input_fills_chained_buffers),
    CASE(row042_input_waits_for_buffers),
    CASE(input_waits_until_the_guest_opens_the_port),
    CASE(input_survives_a_reset),
    CASE(a_buffer_for_input_that_cannot_be_written_breaks),
    CASE(row046_ports_do_not_mix),
    CASE(without_multiport_port_0_works_alone),
    CASE(row041_without_multiport_the_size_is_configuration),
    HOSTILE_CASES(&target),
};
HK_TEST_MAIN(cases)
