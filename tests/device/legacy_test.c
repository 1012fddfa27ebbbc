/* chip/i8042.h, cmos.h, exit_port.h and acpi_pm.h, on one bus */
#include "hk_test.h"

#include "base/compiler.h"
#include "bus/bus.h"
#include "chip/acpi_pm.h"
#include "chip/cmos.h"
#include "chip/exit_port.h"
#include "chip/i8042.h"

struct rig {
    struct hk_bus *bus;
    struct hk_i8042 *i8042;
    struct hk_cmos *cmos;
    struct hk_exit_port *exit_port;
    struct hk_acpi_pm *pm;
    int64_t now;
    int resets, power_offs, exits, edges;
    uint32_t status;
    bool level;
};

static void on_irq(void *controller, uint32_t pin, bool level)
{
    struct rig *rig = controller;

    assert_int_equal(pin, HK_I8042_IRQ);
    rig->edges += level && !rig->level;
    rig->level = level;
}

static void on_reset(void *opaque)
{
    ((struct rig *)opaque)->resets++;
}

static void on_power_off(void *opaque)
{
    ((struct rig *)opaque)->power_offs++;
}

static void on_exit_port(void *opaque, uint32_t status)
{
    struct rig *rig = opaque;

    rig->exits++;
    rig->status = status;
}

static int64_t on_now(void *opaque)
{
    return ((struct rig *)opaque)->now;
}

static const struct hk_acpi_pm_events pm_events = {
    .power_off = on_power_off,
    .reset = on_reset,
};

static void plug(struct rig *rig, uint64_t base, uint64_t len, uint32_t sizes,
                 const struct hk_bus_ops *ops, void *device)
{
    assert_int_equal(
        hk_bus_add(rig->bus, HK_BUS_PORT, base, len, sizes, ops, device), 0);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct hk_irq irq = {on_irq, rig, HK_I8042_IRQ};
    struct hk_cmos_config cmos = {
        .now = on_now,
        .opaque = rig,
        .ram_below_4g = 512u << 20,
        .ram_above_4g = 3ull << 30,
    };

    assert_int_equal(hk_bus_create(&rig->bus), 0);
    assert_int_equal(hk_i8042_create(irq, on_reset, rig, &rig->i8042), 0);
    assert_int_equal(hk_cmos_create(&cmos, &rig->cmos), 0);
    assert_int_equal(hk_exit_port_create(on_exit_port, rig, &rig->exit_port),
                     0);
    assert_int_equal(hk_acpi_pm_create(&pm_events, rig, &rig->pm), 0);
    plug(rig, HK_I8042_PORT, HK_I8042_PORTS, HK_BUS_SIZE_1, &hk_i8042_bus_ops,
         rig->i8042);
    plug(rig, HK_CMOS_PORT, HK_CMOS_PORTS, HK_BUS_SIZE_1, &hk_cmos_bus_ops,
         rig->cmos);
    plug(rig, HK_EXIT_PORT, HK_EXIT_PORT_PORTS,
         HK_BUS_SIZE_1 | HK_BUS_SIZE_2 | HK_BUS_SIZE_4, &hk_exit_port_bus_ops,
         rig->exit_port);
    plug(rig, HK_ACPI_PM_PORT, HK_ACPI_PM_PORTS, HK_BUS_SIZE_1,
         &hk_acpi_pm_bus_ops, rig->pm);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    hk_bus_destroy(rig->bus);
    hk_i8042_destroy(rig->i8042);
    hk_cmos_destroy(rig->cmos);
    hk_exit_port_destroy(rig->exit_port);
    hk_acpi_pm_destroy(rig->pm);
    free(rig);
    return 0;
}

static uint32_t in(struct rig *rig, uint32_t port, uint32_t size)
{
    return (uint32_t)hk_bus_read(rig->bus, HK_BUS_PORT, port, size);
}

static void out(struct rig *rig, uint32_t port, uint32_t size, uint32_t value)
{
    hk_bus_write(rig->bus, HK_BUS_PORT, port, size, value);
}

/* Sends a command and returns its answer, or -1 when there is none. */
static int command(struct rig *rig, uint8_t value)
{
    out(rig, 0x64, 1, value);
    return (in(rig, 0x64, 1) & 1) != 0 ? (int)in(rig, 0x60, 1) : -1;
}

static void the_reset_pulse_resets(void **state)
{
    struct rig *rig = *state;

    out(rig, 0x64, 1, 0xff); /* pulses nothing */
    assert_int_equal(rig->resets, 0);
    out(rig, 0x64, 1, 0xfe);
    assert_int_equal(rig->resets, 1);
    out(rig, 0x64, 1, 0xd1); /* the same by the output port */
    out(rig, 0x60, 1, 0xfe);
    assert_int_equal(rig->resets, 2);
}

static void the_control_byte_reads_back(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(in(rig, 0x64, 1), 0x14);
    assert_int_equal(command(rig, 0x20), 0x25);
    out(rig, 0x64, 1, 0x60);
    out(rig, 0x60, 1, 0x74);
    assert_int_equal(command(rig, 0x20), 0x74);
    assert_int_equal(command(rig, 0xae), -1);
    assert_int_equal(command(rig, 0x20), 0x64);
    assert_int_equal(command(rig, 0xaa), 0x55);
    assert_int_equal(command(rig, 0xd0), 0x03);
}

static void a_probe_learns_at_once_that_no_mouse_is_there(void **state)
{
    struct rig *rig = *state;

    out(rig, 0x64, 1, 0xd3);
    out(rig, 0x60, 1, 0x5a);
    assert_int_equal(in(rig, 0x64, 1) & 0x21, 0x01);
    assert_int_equal(in(rig, 0x60, 1), 0x5a);
    int answer = command(rig, 0xa9);
    assert_true(answer > 0 && answer < 4);
}

static void a_keyboard_command_times_out_at_once(void **state)
{
    struct rig *rig = *state;

    out(rig, 0x60, 1, 0xf2);
    assert_int_equal(rig->edges, 1);
    assert_int_equal(in(rig, 0x64, 1) & 0x41, 0x41);
    out(rig, 0x60, 1, 0xed);
    assert_int_equal(in(rig, 0x60, 1), 0xfe);
    assert_int_equal(rig->edges, 2);
    assert_int_equal(in(rig, 0x60, 1), 0xfe);
    assert_false(rig->level);
    assert_int_equal(in(rig, 0x64, 1) & 1, 0);
}

static void the_keyboard_interrupt_obeys_the_control_byte(void **state)
{
    struct rig *rig = *state;

    out(rig, 0x64, 1, 0x60);
    out(rig, 0x60, 1, 0x04);
    out(rig, 0x60, 1, 0xf2);
    assert_int_equal(rig->edges, 0);
}

static void a_full_queue_drops_and_drains(void **state)
{
    struct rig *rig = *state;
    int read = 0;

    for (int i = 0; i < 1000; i++)
        out(rig, 0x60, 1, 0xff);
    while ((in(rig, 0x64, 1) & 1) != 0 && read < 1000) {
        in(rig, 0x60, 1);
        read++;
    }
    assert_int_equal(read, 16);
}

static void port_b_never_keeps_a_guest_waiting(void **state)
{
    struct rig *rig = *state;
    uint32_t first = in(rig, 0x61, 1);

    assert_int_equal(first & 0xc0, 0); /* no NMI reason */
    assert_int_equal(first & 0x20, 0x20);
    assert_int_equal((first ^ in(rig, 0x61, 1)) & 0x10, 0x10);
    out(rig, 0x61, 1, 0xff);
    assert_int_equal(in(rig, 0x61, 1) & 0xc3, 0x03);
}

static uint32_t cmos(struct rig *rig, uint8_t index)
{
    out(rig, 0x70, 1, index);
    return in(rig, 0x71, 1);
}

static void the_clock_shows_the_hosts_time_in_bcd(void **state)
{
    struct rig *rig = *state;
    const struct {
        int64_t now;
        uint8_t century, year, month, day, weekday, hour, minute, second;
    } rows[] = {
        {0, 0x19, 0x70, 1, 1, 5, 0, 0, 0},
        {951782399, 0x20, 0x00, 0x02, 0x28, 2, 0x23, 0x59, 0x59},
        {951782400, 0x20, 0x00, 0x02, 0x29, 3, 0, 0, 0},
        {951868800, 0x20, 0x00, 0x03, 0x01, 4, 0, 0, 0},
        {1735689599, 0x20, 0x24, 0x12, 0x31, 3, 0x23, 0x59, 0x59},
        {4107542400, 0x21, 0x00, 0x03, 0x01, 2, 0, 0, 0},
        {253402300799, 0x99, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59},
        {INT64_MAX, 0x99, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59},
        {-1, 0x19, 0x70, 1, 1, 5, 0, 0, 0},
    };

    for (size_t i = 0; i < HK_COUNT(rows); i++) {
        rig->now = rows[i].now;
        assert_int_equal(cmos(rig, 0x00), rows[i].second);
        assert_int_equal(cmos(rig, 0x02), rows[i].minute);
        assert_int_equal(cmos(rig, 0x04), rows[i].hour);
        assert_int_equal(cmos(rig, 0x06), rows[i].weekday);
        assert_int_equal(cmos(rig, 0x07), rows[i].day);
        assert_int_equal(cmos(rig, 0x08), rows[i].month);
        assert_int_equal(cmos(rig, 0x09), rows[i].year);
        assert_int_equal(cmos(rig, 0x32), rows[i].century);
    }
}

static void a_time_read_across_midnight_is_whole(void **state)
{
    struct rig *rig = *state;

    rig->now = 86399;
    assert_int_equal(cmos(rig, 0x0a) & 0x80, 0);
    assert_int_equal(cmos(rig, 0x00), 0x59);
    rig->now = 86400;
    assert_int_equal(cmos(rig, 0x04), 0x23);
    assert_int_equal(cmos(rig, 0x07), 0x01);
    assert_int_equal(cmos(rig, 0x00), 0x00);
    assert_int_equal(cmos(rig, 0x07), 0x02);
}

static void the_clock_is_never_updating_and_its_battery_is_good(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(cmos(rig, 0x0a) & 0x80, 0);
    assert_int_equal(cmos(rig, 0x0b), 0x02);
    assert_int_equal(cmos(rig, 0x0c), 0);
    assert_int_equal(cmos(rig, 0x0d), 0x80);
    out(rig, 0x71, 1, 0xff); /* read only */
    assert_int_equal(cmos(rig, 0x0d), 0x80);
}

static void the_index_ignores_the_nmi_bit(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(cmos(rig, 0x8d), 0x80);
    assert_int_equal(in(rig, 0x70, 1), 0x0d);
}

static void memory_sizes_are_in_units_of_64_kib(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(cmos(rig, 0x34) | cmos(rig, 0x35) << 8, (512 - 16) * 16);
    assert_int_equal(cmos(rig, 0x5b) | cmos(rig, 0x5c) << 8 |
                         cmos(rig, 0x5d) << 16,
                     3 * 16384);
}

static void memory_sizes_saturate(void **state)
{
    struct rig *rig = *state;
    struct hk_cmos_config config = {
        .now = on_now,
        .opaque = rig,
        .ram_below_4g = UINT64_MAX,
        .ram_above_4g = UINT64_MAX,
    };
    struct hk_cmos *big;

    assert_int_equal(hk_cmos_create(&config, &big), 0);
    hk_cmos_bus_ops.write(big, 0, 1, 0x35);
    assert_int_equal(hk_cmos_bus_ops.read(big, 1, 1), 0xff);
    hk_cmos_bus_ops.write(big, 0, 1, 0x5d);
    assert_int_equal(hk_cmos_bus_ops.read(big, 1, 1), 0xff);
    hk_cmos_destroy(big);
}

static void the_exit_port_gives_the_first_status(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(in(rig, HK_EXIT_PORT, 2), HK_EXIT_PORT_ID);
    out(rig, HK_EXIT_PORT + 1, 1, 9); /* not the register */
    assert_int_equal(rig->exits, 0);
    out(rig, HK_EXIT_PORT, 4, 0x12345678);
    out(rig, HK_EXIT_PORT, 1, 1);
    assert_int_equal(rig->exits, 1);
    assert_int_equal(rig->status, 0x12345678);
}

static void the_exit_port_takes_bytes_and_words(void **state)
{
    struct rig *rig = *state;

    out(rig, HK_EXIT_PORT, 1, 0x17f);
    assert_int_equal(rig->status, 0x7f);
}

static void sleeping_in_s5_powers_off(void **state)
{
    struct rig *rig = *state;

    out(rig, HK_ACPI_SLEEP_CONTROL_PORT, 1, HK_ACPI_S5_TYPE << 2);
    assert_int_equal(rig->power_offs, 0);
    assert_int_equal(in(rig, HK_ACPI_SLEEP_CONTROL_PORT, 1),
                     HK_ACPI_S5_TYPE << 2);
    out(rig, HK_ACPI_SLEEP_CONTROL_PORT, 1, 0x20 | 3 << 2); /* S3: no */
    assert_int_equal(rig->power_offs, 0);
    out(rig, HK_ACPI_SLEEP_STATUS_PORT, 1, 0x80);
    assert_int_equal(in(rig, HK_ACPI_SLEEP_STATUS_PORT, 1), 0);
    out(rig, HK_ACPI_SLEEP_CONTROL_PORT, 1, 0x20 | HK_ACPI_S5_TYPE << 2);
    assert_int_equal(rig->power_offs, 1);
    assert_int_equal(rig->resets, 0);
}

static void the_reset_register_resets(void **state)
{
    struct rig *rig = *state;

    out(rig, HK_ACPI_RESET_PORT, 1, 0);
    assert_int_equal(rig->resets, 0);
    out(rig, HK_ACPI_RESET_PORT, 1, HK_ACPI_RESET_VALUE);
    assert_int_equal(rig->resets, 1);
}

static void wild_accesses_are_harmless(void **state)
{
    struct rig *rig = *state;
    const uint32_t bases[] = {0x60, 0x70, HK_EXIT_PORT, HK_ACPI_PM_PORT};
    uint64_t seed = 0xabcdef;

    for (int i = 0; i < 100000; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        uint32_t port =
            bases[seed % HK_COUNT(bases)] + (uint32_t)(seed >> 8) % 8;
        uint32_t size = 1u << (seed >> 20) % 3;

        rig->now = (int64_t)(seed >> (seed & 31));
        if ((seed & 0x100000000) != 0)
            out(rig, port, size, (uint32_t)(seed >> 24));
        else
            in(rig, port, size);
        assert_int_equal(in(rig, 0x64, 1) & 0xa2, 0);
        assert_int_equal(cmos(rig, 0x0a) & 0x80, 0);
    }
    assert_true(rig->exits <= 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(the_reset_pulse_resets),
    CASE(the_control_byte_reads_back),
    CASE(a_probe_learns_at_once_that_no_mouse_is_there),
    CASE(a_keyboard_command_times_out_at_once),
    CASE(the_keyboard_interrupt_obeys_the_control_byte),
    CASE(a_full_queue_drops_and_drains),
    CASE(port_b_never_keeps_a_guest_waiting),
    CASE(the_clock_shows_the_hosts_time_in_bcd),
    CASE(a_time_read_across_midnight_is_whole),
    CASE(the_clock_is_never_updating_and_its_battery_is_good),
    CASE(the_index_ignores_the_nmi_bit),
    CASE(memory_sizes_are_in_units_of_64_kib),
    CASE(memory_sizes_saturate),
    CASE(the_exit_port_gives_the_first_status),
    CASE(the_exit_port_takes_bytes_and_words),
    CASE(sleeping_in_s5_powers_off),
    CASE(the_reset_register_resets),
    CASE(wild_accesses_are_harmless),
};
HK_TEST_MAIN(cases)
