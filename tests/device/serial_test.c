/* chip/serial.h, through the bus, in front of a memory port */
#include "hk_test.h"

#include "base/compiler.h"
#include "bus/bus.h"
#include "chip/serial.h"
#include "console/port.h"
#include "loop/loop.h"

enum {
    DATA,
    IER,
    FCR,
    LCR,
    MCR,
    LSR,
    MSR,
    SCRATCH,
    IIR = FCR,
    READY = 0x60,
};

struct rig {
    struct hk_bus *bus;
    struct hk_port *port;
    struct hk_serial *serial;
    bool level;
    int edges;
};

static void on_irq(void *controller, uint32_t pin, bool level)
{
    struct rig *rig = controller;

    assert_int_equal(pin, HK_SERIAL_COM1_IRQ);
    rig->edges += level && !rig->level;
    rig->level = level;
}

static struct rig *new_rig(struct hk_loop *loop)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct hk_irq irq = {on_irq, rig, HK_SERIAL_COM1_IRQ};

    assert_int_equal(hk_port_open_memory(&rig->port), 0);
    assert_int_equal(hk_serial_create(loop, rig->port, irq, &rig->serial), 0);
    assert_int_equal(hk_bus_create(&rig->bus), 0);
    assert_int_equal(hk_bus_add(rig->bus, HK_BUS_PORT, HK_SERIAL_COM1_PORT,
                                HK_SERIAL_PORTS, HK_BUS_SIZE_1,
                                &hk_serial_bus_ops, rig->serial),
                     0);
    return rig;
}

static void free_rig(struct rig *rig)
{
    hk_bus_destroy(rig->bus);
    hk_port_close(rig->port);
    hk_serial_destroy(rig->serial);
    free(rig);
}

static int setup(void **state)
{
    *state = new_rig(NULL);
    return 0;
}

static int teardown(void **state)
{
    free_rig(*state);
    return 0;
}

static uint8_t rd(struct rig *rig, uint32_t reg)
{
    return (uint8_t)hk_bus_read(rig->bus, HK_BUS_PORT,
                                HK_SERIAL_COM1_PORT + reg, 1);
}

static void wr(struct rig *rig, uint32_t reg, uint8_t value)
{
    hk_bus_write(rig->bus, HK_BUS_PORT, HK_SERIAL_COM1_PORT + reg, 1, value);
}

/* A guest that wants input enables the interrupt for it. */
static void feed(struct rig *rig, const char *text)
{
    wr(rig, IER, rd(rig, IER) | 0x01);
    hk_port_memory_feed(rig->port, (const uint8_t *)text, strlen(text));
}

static void assert_output(struct rig *rig, const char *text)
{
    size_t len;
    const uint8_t *bytes = hk_port_memory_bytes(rig->port, &len);

    assert_int_equal(len, strlen(text));
    if (len != 0)
        assert_memory_equal(bytes, text, len);
}

static void reset_values_are_the_datasheets(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rd(rig, IER), 0);
    assert_int_equal(rd(rig, IIR), 0x01);
    assert_int_equal(rd(rig, LCR), 0x03);
    assert_int_equal(rd(rig, MCR), 0x08);
    assert_int_equal(rd(rig, LSR), READY);
    assert_int_equal(rd(rig, MSR), 0xb0);
    assert_false(rig->level);
}

static void row034_a_byte_written_appears_on_the_host(void **state)
{
    wr(*state, DATA, 'H');
    wr(*state, DATA, 'i');
    assert_output(*state, "Hi");
    assert_int_equal(rd(*state, LSR), READY);
}

static void row037_received_bytes_read_in_order(void **state)
{
    struct rig *rig = *state;

    wr(rig, FCR, 0x01);
    feed(rig, "abc");
    assert_int_equal(rd(rig, LSR), READY | 1);
    assert_int_equal(rd(rig, DATA), 'a');
    assert_int_equal(rd(rig, DATA), 'b');
    assert_int_equal(rd(rig, DATA), 'c');
    assert_int_equal(rd(rig, LSR), READY);
    assert_int_equal(rd(rig, DATA), 0);
}

static void row037_a_read_without_data_returns_at_once(void **state)
{
    assert_int_equal(rd(*state, DATA), 0);
    assert_int_equal(rd(*state, LSR), READY);
}

static void without_fifos_one_byte_is_held_at_a_time(void **state)
{
    struct rig *rig = *state;

    feed(rig, "xyz");
    assert_int_equal(rd(rig, DATA), 'x');
    assert_int_equal(rd(rig, DATA), 'y');
    assert_int_equal(rd(rig, DATA), 'z');
    assert_int_equal(rd(rig, LSR), READY);
}

static void input_waits_until_the_guest_listens(void **state)
{
    struct rig *rig = *state;

    hk_port_memory_feed(rig->port, (const uint8_t *)"early", 5);
    assert_int_equal(rd(rig, LSR), READY);
    wr(rig, FCR, 0x07); /* a driver's set-up: clear, and read for luck */
    assert_int_equal(rd(rig, DATA), 0);
    wr(rig, IER, 0x01);
    assert_int_equal(rd(rig, LSR), READY | 1);
    assert_int_equal(rd(rig, DATA), 'e');
    assert_int_equal(rd(rig, DATA), 'a');
}

static void row035_long_input_is_never_overrun(void **state)
{
    struct rig *rig = *state;
    char text[1000];

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)('a' + i % 26);
    text[sizeof(text) - 1] = '\0';
    wr(rig, FCR, 0x01);
    feed(rig, text);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        assert_int_equal(rd(rig, LSR), READY | 1);
        assert_int_equal(rd(rig, DATA), text[i]);
    }
    assert_int_equal(rd(rig, LSR), READY);
}

static void input_resumes_through_the_loop(void **state)
{
    struct hk_loop *loop;
    assert_int_equal(hk_loop_create(&loop), 0);
    struct rig *rig = new_rig(loop);

    feed(rig, "12");
    assert_int_equal(rd(rig, DATA), '1');
    assert_int_equal(rd(rig, LSR), READY);
    hk_loop_turn(loop);
    assert_int_equal(rd(rig, DATA), '2');
    free_rig(rig);
    hk_loop_destroy(loop);
}

static void destroy_with_a_resume_on_its_way_is_safe(void **state)
{
    struct hk_loop *loop;
    assert_int_equal(hk_loop_create(&loop), 0);
    struct rig *rig = new_rig(loop);

    feed(rig, "12");
    rd(rig, DATA);
    free_rig(rig);
    hk_loop_destroy(loop);
}

static void the_divisor_is_behind_dlab(void **state)
{
    struct rig *rig = *state;

    wr(rig, LCR, 0x83);
    assert_int_equal(rd(rig, DATA), 12);
    assert_int_equal(rd(rig, IER), 0);
    wr(rig, DATA, 0x34);
    wr(rig, IER, 0x12);
    assert_int_equal(rd(rig, DATA), 0x34);
    assert_int_equal(rd(rig, IER), 0x12);
    wr(rig, LCR, 0x03);
    assert_int_equal(rd(rig, IER), 0);
    assert_output(rig, "");
}

static void the_scratch_register_keeps_its_byte(void **state)
{
    wr(*state, SCRATCH, 0x5a);
    assert_int_equal(rd(*state, SCRATCH), 0x5a);
}

static void enabling_the_transmitter_interrupt_raises_it(void **state)
{
    struct rig *rig = *state;

    wr(rig, IER, 0x02);
    assert_true(rig->level);
    assert_int_equal(rd(rig, IIR), 0x02);
    assert_false(rig->level);
    assert_int_equal(rd(rig, IIR), 0x01);
    wr(rig, IER, 0x00);
    wr(rig, IER, 0x02);
    assert_int_equal(rd(rig, IIR), 0x02);
}

static void each_byte_sent_raises_the_transmitter_interrupt(void **state)
{
    struct rig *rig = *state;

    wr(rig, IER, 0x02);
    rd(rig, IIR);
    int edges = rig->edges;
    wr(rig, DATA, 'x');
    assert_int_equal(rig->edges, edges + 1);
    assert_int_equal(rd(rig, IIR), 0x02);
}

static void received_data_raises_and_reading_clears(void **state)
{
    struct rig *rig = *state;

    wr(rig, IER, 0x01);
    feed(rig, "a");
    assert_true(rig->level);
    assert_int_equal(rd(rig, IIR), 0x04);
    assert_true(rig->level);
    rd(rig, DATA);
    assert_false(rig->level);
}

static void interrupts_are_reported_by_priority(void **state)
{
    struct rig *rig = *state;

    wr(rig, FCR, 0x01);
    wr(rig, MCR, 0x10); /* loopback: modem inputs drop */
    wr(rig, IER, 0x0f);
    for (int i = 0; i < 17; i++)
        wr(rig, DATA, 'x');
    assert_int_equal(rd(rig, IIR), 0xc6);
    assert_int_equal(rd(rig, LSR), READY | 0x03);
    assert_int_equal(rd(rig, LSR), READY | 0x01);
    assert_int_equal(rd(rig, IIR), 0xc4);
    for (int i = 0; i < 16; i++)
        rd(rig, DATA);
    assert_int_equal(rd(rig, IIR), 0xc2);
    assert_int_equal(rd(rig, IIR), 0xc0);
    assert_int_equal(rd(rig, MSR), 0x0b);
    assert_int_equal(rd(rig, IIR), 0xc1);
    assert_false(rig->level);
}

static void bytes_below_the_trigger_time_out(void **state)
{
    struct rig *rig = *state;

    wr(rig, FCR, 0xc1); /* trigger at 14 */
    wr(rig, IER, 0x01);
    feed(rig, "0123456789abc");
    assert_int_equal(rd(rig, IIR), 0xcc);
    feed(rig, "d");
    assert_int_equal(rd(rig, IIR), 0xc4);
}

static void loopback_returns_bytes_and_modem_lines(void **state)
{
    struct rig *rig = *state;

    wr(rig, FCR, 0x01);
    wr(rig, MCR, 0x1a);
    assert_int_equal(rd(rig, MSR) & 0xf0, 0x90);
    wr(rig, DATA, 'q');
    assert_int_equal(rd(rig, DATA), 'q');
    feed(rig, "z"); /* waits: the pin is cut off */
    assert_int_equal(rd(rig, LSR), READY);
    wr(rig, MCR, 0x0b);
    assert_int_equal(rd(rig, MSR) & 0xf0, 0xb0);
    assert_int_equal(rd(rig, DATA), 'z');
    assert_output(rig, "");
}

static void the_fifos_are_detected_as_16550a(void **state)
{
    struct rig *rig = *state;

    /* The steps of Linux's autoconfig. */
    wr(rig, IER, 0x00);
    assert_int_equal(rd(rig, IER) & 0x0f, 0);
    wr(rig, IER, 0x0f);
    assert_int_equal(rd(rig, IER) & 0x0f, 0x0f);
    wr(rig, IER, 0x00);
    wr(rig, LCR, 0xbf);
    wr(rig, IIR, 0x00);
    wr(rig, LCR, 0x00);
    wr(rig, FCR, 0x01);
    assert_int_equal(rd(rig, IIR) >> 6, 3);
    wr(rig, LCR, 0x80);
    assert_int_not_equal(rd(rig, IIR), 0);
    wr(rig, FCR, 0x21);
    assert_int_equal(rd(rig, IIR) >> 5, 6);
    wr(rig, LCR, 0x03);
    wr(rig, IER, 0x40);
    assert_int_equal(rd(rig, IER), 0);
    wr(rig, FCR, 0x00);
    assert_int_equal(rd(rig, IIR), 0x01);
}

static void clearing_the_receive_fifo_drops_its_bytes(void **state)
{
    struct rig *rig = *state;

    wr(rig, FCR, 0x01);
    feed(rig, "abc");
    wr(rig, FCR, 0x03);
    assert_int_equal(rd(rig, LSR), READY);
}

static void
a_full_port_makes_the_transmitter_busy_and_loses_nothing(void **state)
{
    struct rig *rig = *state;

    wr(rig, IER, 0x02);
    rd(rig, IIR);
    hk_port_memory_set_room(rig->port, 2);
    wr(rig, DATA, '1');
    wr(rig, DATA, '2');
    rd(rig, IIR);
    wr(rig, DATA, '3');
    wr(rig, DATA, '4');
    wr(rig, DATA, '5');
    assert_int_equal(rd(rig, LSR), 0);
    assert_false(rig->level);
    assert_output(rig, "12");
    hk_port_memory_set_room(rig->port, 1);
    assert_output(rig, "123");
    assert_int_equal(rd(rig, LSR), 0);
    hk_port_memory_set_room(rig->port, SIZE_MAX);
    assert_output(rig, "12345");
    assert_int_equal(rd(rig, LSR), READY);
    assert_true(rig->level);
    assert_int_equal(rd(rig, IIR), 0x02);
}

static void a_guest_that_ignores_busy_is_bounded(void **state)
{
    struct rig *rig = *state;
    size_t len;

    hk_port_memory_set_room(rig->port, 0);
    for (int i = 0; i < 3 * HK_SERIAL_TX_MAX; i++)
        wr(rig, DATA, (uint8_t)i);
    hk_port_memory_set_room(rig->port, SIZE_MAX);
    const uint8_t *bytes = hk_port_memory_bytes(rig->port, &len);
    assert_int_equal(len, HK_SERIAL_TX_MAX);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], (uint8_t)i);
}

static void wide_accesses_are_unclaimed(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(hk_bus_read(rig->bus, HK_BUS_PORT, HK_SERIAL_COM1_PORT, 2),
                     0xffff);
    hk_bus_write(rig->bus, HK_BUS_PORT, HK_SERIAL_COM1_PORT, 4, 0x41414141);
    assert_output(rig, "");
}

static void wild_accesses_keep_the_invariants(void **state)
{
    struct rig *rig = *state;
    uint64_t seed = 0xfeedface;

    for (int i = 0; i < 100000; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        uint32_t reg = (uint32_t)(seed >> 8) % 8;

        if ((seed & 7) < 3)
            wr(rig, reg, (uint8_t)(seed >> 16));
        else if ((seed & 7) < 6)
            rd(rig, reg);
        else if ((seed & 7) == 6)
            feed(rig, "?");
        else
            hk_port_memory_set_room(rig->port, (seed >> 16) % 20);
        /* The line is what the cause register says. */
        assert_int_equal(rd(rig, LSR) & 0x9c, 0);
        bool level = rig->level;
        assert_int_equal((rd(rig, IIR) & 1) == 0, level);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(reset_values_are_the_datasheets),
    CASE(row034_a_byte_written_appears_on_the_host),
    CASE(row037_received_bytes_read_in_order),
    CASE(row037_a_read_without_data_returns_at_once),
    CASE(without_fifos_one_byte_is_held_at_a_time),
    CASE(input_waits_until_the_guest_listens),
    CASE(row035_long_input_is_never_overrun),
    cmocka_unit_test(input_resumes_through_the_loop),
    cmocka_unit_test(destroy_with_a_resume_on_its_way_is_safe),
    CASE(the_divisor_is_behind_dlab),
    CASE(the_scratch_register_keeps_its_byte),
    CASE(enabling_the_transmitter_interrupt_raises_it),
    CASE(each_byte_sent_raises_the_transmitter_interrupt),
    CASE(received_data_raises_and_reading_clears),
    CASE(interrupts_are_reported_by_priority),
    CASE(bytes_below_the_trigger_time_out),
    CASE(loopback_returns_bytes_and_modem_lines),
    CASE(the_fifos_are_detected_as_16550a),
    CASE(clearing_the_receive_fifo_drops_its_bytes),
    CASE(a_full_port_makes_the_transmitter_busy_and_loses_nothing),
    CASE(a_guest_that_ignores_busy_is_bounded),
    CASE(wide_accesses_are_unclaimed),
    CASE(wild_accesses_keep_the_invariants),
};
HK_TEST_MAIN(cases)
