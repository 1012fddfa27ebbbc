/* virtio/console.h behind its transport: messages about ports */
#include "vcon_rig.h"

#include <uv.h>

static void ports_are_added_once_the_driver_is_ready(void **state)
{
    struct gdrv *g = *state;

    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    expect_silence(g);
    say(g, NO_ID, DEVICE_READY, 1);
    for (int i = 0; i < 3; i++)
        expect(g, i, PORT_ADD, 1);
    expect_silence(g);
}

static void a_driver_that_failed_gets_no_ports(void **state)
{
    struct gdrv *g = *state;

    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    say(g, NO_ID, DEVICE_READY, 0);
    say(g, 0, PORT_READY, 0);
    expect_silence(g);
}

static void a_console_is_told_to_be_one_then_opened(void **state)
{
    struct gdrv *g = *state;

    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    say(g, 0, PORT_READY, 1);
    expect(g, 0, CONSOLE_PORT, 1);
    expect(g, 0, PORT_OPEN, 1);
    expect_silence(g);
}

static void a_stream_is_opened_before_it_is_named(void **state)
{
    struct gdrv *g = *state;
    struct message message;

    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    say(g, 2, PORT_READY, 1);
    expect(g, 2, PORT_OPEN, 1);
    assert_true(hear(g, &message));
    assert_int_equal(message.event, PORT_NAME);
    assert_int_equal(message.len, 11);
    assert_memory_equal(message.rest, "krun-stdout", 11);
    expect_silence(g);
}

static void assert_resize(struct gdrv *g, uint16_t first, uint16_t second)
{
    struct message message = {.event = 99};

    assert_true(hear(g, &message));
    assert_int_equal(message.event, RESIZE);
    assert_int_equal(message.len, 4);
    assert_int_equal(hk_get_le16(message.rest), first);
    assert_int_equal(hk_get_le16(message.rest + 2), second);
}

static void row041_a_console_learns_its_size_and_changes_of_it(void **state)
{
    struct gdrv *g = *state;

    hk_port_memory_set_size(port_of(0), 80, 24);
    gdrv_start(g, VCON_MULTIPORT | VCON_SIZE);
    give_control(g, 8);
    say(g, 0, PORT_READY, 1);
    expect(g, 0, CONSOLE_PORT, 1);
    expect(g, 0, PORT_OPEN, 1);
    assert_resize(g, 80, 24);
    hk_port_memory_set_size(port_of(0), 132, 50);
    assert_resize(g, 132, 50);
    assert_int_equal(gdrv_config(g, 0, 2), 132);
    assert_int_equal(gdrv_config(g, 2, 2), 50);
    expect_silence(g);
}

static void row041_old_kernels_get_rows_first(void **state)
{
    struct gdrv *g = *state;

    hk_vcon_set_rows_first(g->dev, true);
    start_open(g);
    hk_port_memory_set_size(port_of(0), 132, 50);
    assert_resize(g, 50, 132);
    assert_int_equal(gdrv_config(g, 0, 2), 132);
}

static void a_stream_has_no_size(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    hk_port_memory_set_size(port_of(1), 80, 24);
    expect_silence(g);
}

static void the_end_of_input_comes_after_the_last_byte(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    feed(1, "last", 4);
    hk_port_memory_end(port_of(1));
    expect_silence(g);
    hk_gpa_t at = give_page(g, 1);
    assert_input(g, 1, at, "last");
    expect(g, 1, PORT_OPEN, 0);
    expect_silence(g);
}

static void input_that_ended_before_the_guest_was_up_is_delivered(void **state)
{
    struct gdrv *g = *state;

    feed(1, "early", 5);
    hk_port_memory_end(port_of(1));
    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    hk_gpa_t at = give_page(g, 1);
    say(g, 1, PORT_READY, 1);
    expect(g, 1, PORT_OPEN, 1);
    expect(g, 1, PORT_NAME, 1);
    assert_no_input(g, 1);
    say(g, 1, PORT_OPEN, 1);
    assert_input(g, 1, at, "early");
    expect(g, 1, PORT_OPEN, 0);
}

static void input_that_never_was_is_an_end_at_once(void **state)
{
    struct gdrv *g = *state;

    hk_port_memory_end(port_of(1));
    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    say(g, 1, PORT_READY, 1);
    expect(g, 1, PORT_OPEN, 0);
    expect(g, 1, PORT_NAME, 1);
}

static void the_end_is_told_again_after_a_reset(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    hk_port_memory_end(port_of(1));
    expect(g, 1, PORT_OPEN, 0);
    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    say(g, 1, PORT_READY, 1);
    expect(g, 1, PORT_OPEN, 0);
}

static void a_console_is_not_told_of_the_end(void **state)
{
    struct gdrv *g = *state;

    start_open(g);
    hk_port_memory_end(port_of(0));
    expect_silence(g);
    say(g, 0, PORT_READY, 1);
    expect(g, 0, CONSOLE_PORT, 1);
    expect(g, 0, PORT_OPEN, 1);
}

static void a_port_may_hide_the_end(void **state)
{
    struct gdrv *g = *state;

    rig.ports[1].hides_end = true;
    remake(g);
    start_open(g);
    hk_port_memory_end(port_of(1));
    expect_silence(g);
    put(g, 1, "still");
    assert_output(1, "still", 5);
}

/* The next message, however long it takes. */
static void expect_later(struct gdrv *g, int id, uint16_t event, uint16_t value)
{
    struct gdrv_queue *q = &g->queue[CONTROL_RX];

    while (gdrv_load16(g, q->used + 2) == q->used_idx) {
        gdrv_turn(g);
        uv_sleep(1);
    }
    expect(g, id, event, value);
}

static void start_with_port_that_goes_on(struct gdrv *g)
{
    rig.ports[1].goes_on = true;
    remake(g);
    start_open(g);
}

static void a_port_that_goes_on_closes_only_for_a_moment(void **state)
{
    struct gdrv *g = *state;

    start_with_port_that_goes_on(g);
    hk_port_memory_end(port_of(1));
    expect_later(g, 1, PORT_OPEN, 0);
    expect_later(g, 1, PORT_OPEN, 1);
    put(g, 1, "answer");
    assert_output(1, "answer", 6);
    expect_later(g, 1, PORT_OPEN, 0); /* for readers who were elsewhere */
    say(g, 1, PORT_OPEN, 0);
    expect(g, 1, PORT_OPEN, 1);
    say(g, 1, PORT_OPEN, 1); /* the next reader */
    expect(g, 1, PORT_OPEN, 0);
}

static void a_port_that_goes_on_closes_when_its_output_breaks(void **state)
{
    struct gdrv *g = *state;

    start_with_port_that_goes_on(g);
    hk_port_memory_end(port_of(1));
    expect_later(g, 1, PORT_OPEN, 0);
    expect_later(g, 1, PORT_OPEN, 1);
    hk_port_memory_break(port_of(1), -HK_EPIPE);
    expect(g, 1, PORT_OPEN, 0);
    say(g, 1, PORT_OPEN, 0);
    say(g, 1, PORT_OPEN, 1);
    expect_silence(g);
}

static void a_port_whose_output_broke_first_ends_for_good(void **state)
{
    struct gdrv *g = *state;

    start_with_port_that_goes_on(g);
    hk_port_memory_break(port_of(1), -HK_EPIPE);
    expect_silence(g);
    hk_port_memory_end(port_of(1));
    expect(g, 1, PORT_OPEN, 0);
    say(g, 1, PORT_OPEN, 1);
    expect_silence(g);
}

static void a_port_of_output_only_closes_when_it_breaks(void **state)
{
    struct gdrv *g = *state;

    rig.ports[1].hides_end = true;
    start_with_port_that_goes_on(g);
    hk_port_memory_end(port_of(1));
    expect_silence(g);
    hk_port_memory_break(port_of(1), -HK_EPIPE);
    expect(g, 1, PORT_OPEN, 0);
    expect_silence(g);
}

static void messages_wait_for_buffers(void **state)
{
    struct gdrv *g = *state;

    gdrv_start(g, VCON_MULTIPORT);
    say(g, NO_ID, DEVICE_READY, 1);
    give_control(g, 1);
    expect(g, 0, PORT_ADD, 1);
    expect_silence(g);
    /* However often it is asked for, a message is sent once. */
    for (int i = 0; i < 100; i++)
        say(g, 2, PORT_READY, 1);
    give_control(g, 8);
    expect(g, 1, PORT_ADD, 1);
    expect(g, 2, PORT_ADD, 1);
    expect(g, 2, PORT_OPEN, 1);
    expect(g, 2, PORT_NAME, 1);
    expect_silence(g);
}

static void messages_that_make_no_sense_are_ignored(void **state)
{
    static const uint16_t events[] = {PORT_ADD, PORT_REMOVE, CONSOLE_PORT,
                                      RESIZE,   PORT_NAME,   8,
                                      0x7fff,   0xffff};
    struct gdrv *g = *state;

    start_open(g);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        for (int id = -1; id < 4; id++)
            say(g, id, events[i], 1);
    say(g, 3, PORT_READY, 1);
    say(g, 3, PORT_OPEN, 1);
    say(g, NO_ID, PORT_OPEN, 1);
    say(g, 0x7fffffff, PORT_READY, 1);
    expect_silence(g);
    assert_int_equal(gdrv_status(g), 15);
}

static void short_messages_are_ignored(void **state)
{
    static const uint8_t bytes[7] = {0};
    struct gdrv *g = *state;

    start_open(g);
    for (size_t len = 1; len < 8; len++)
        assert_int_equal(gdrv_request(g, CONTROL_TX, bytes, len, NULL, 0), 0);
    expect_silence(g);
    assert_int_equal(gdrv_status(g), 15);
}

static void a_port_cannot_be_opened_before_it_is_ready(void **state)
{
    struct gdrv *g = *state;

    gdrv_start(g, VCON_MULTIPORT);
    give_control(g, 8);
    give_page(g, 1);
    feed(1, "x", 1);
    say(g, 1, PORT_OPEN, 1);
    assert_no_input(g, 1);
}

static void a_short_buffer_for_messages_breaks_the_device(void **state)
{
    struct gdrv *g = *state;
    const struct gdrv_buf buf = {gdrv_alloc(g, 16, 16), 15, true};

    gdrv_start(g, VCON_MULTIPORT);
    gdrv_add(g, CONTROL_RX, &buf, 1); /* enough for the first message */
    gdrv_add(g, CONTROL_RX, &buf, 1); /* not for the name */
    gdrv_kick(g, CONTROL_RX);
    say(g, 2, PORT_READY, 1);
    assert_true(hk_vdev_is_broken(g->dev));
    start_open(g);
    assert_false(hk_vdev_is_broken(g->dev));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(ports_are_added_once_the_driver_is_ready),
    CASE(a_driver_that_failed_gets_no_ports),
    CASE(a_console_is_told_to_be_one_then_opened),
    CASE(a_stream_is_opened_before_it_is_named),
    CASE(row041_a_console_learns_its_size_and_changes_of_it),
    CASE(row041_old_kernels_get_rows_first),
    CASE(a_stream_has_no_size),
    CASE(the_end_of_input_comes_after_the_last_byte),
    CASE(input_that_ended_before_the_guest_was_up_is_delivered),
    CASE(input_that_never_was_is_an_end_at_once),
    CASE(the_end_is_told_again_after_a_reset),
    CASE(a_console_is_not_told_of_the_end),
    CASE(a_port_may_hide_the_end),
    CASE(a_port_that_goes_on_closes_only_for_a_moment),
    CASE(a_port_that_goes_on_closes_when_its_output_breaks),
    CASE(a_port_of_output_only_closes_when_it_breaks),
    CASE(a_port_whose_output_broke_first_ends_for_good),
    CASE(messages_wait_for_buffers),
    CASE(messages_that_make_no_sense_are_ignored),
    CASE(short_messages_are_ignored),
    CASE(a_port_cannot_be_opened_before_it_is_ready),
    CASE(a_short_buffer_for_messages_breaks_the_device),
};
HK_TEST_MAIN(cases)
