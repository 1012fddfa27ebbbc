/* bus/bus.h and base/lock.h */
#include "hk_test.h"

#include "base/lock.h"
#include "bus/bus.h"
#include "bus/irq.h"
#include "bus/irq_share.h"

#include <uv.h>

struct probe {
    uint64_t offset;
    uint64_t value;
    uint32_t size;
    int reads;
    int writes;
};

static uint64_t probe_read(void *device, uint64_t offset, uint32_t size)
{
    struct probe *probe = device;

    probe->reads++;
    probe->offset = offset;
    probe->size = size;
    return 0x1122334455667788;
}

static void probe_write(void *device, uint64_t offset, uint32_t size,
                        uint64_t value)
{
    struct probe *probe = device;

    probe->writes++;
    probe->offset = offset;
    probe->size = size;
    probe->value = value;
}

static const struct hk_bus_ops probe_ops = {
    .name = "probe",
    .read = probe_read,
    .write = probe_write,
};
static const struct hk_bus_ops silent_ops = {.name = "silent"};

static struct hk_bus *new_bus(void)
{
    struct hk_bus *bus;

    assert_int_equal(hk_bus_create(&bus), 0);
    return bus;
}

static void an_access_reaches_its_region_with_the_offset(void **state)
{
    struct hk_bus *bus = new_bus();
    struct probe a = {0}, b = {0};

    assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, 0x2000, 0x100, HK_BUS_SIZE_ANY,
                                &probe_ops, &b),
                     0);
    assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, 0x1000, 0x100, HK_BUS_SIZE_ANY,
                                &probe_ops, &a),
                     0);
    assert_true(hk_bus_read(bus, HK_BUS_MEM, 0x20fc, 4) == 0x55667788);
    assert_int_equal(b.offset, 0xfc);
    assert_int_equal(b.size, 4);
    hk_bus_write(bus, HK_BUS_MEM, 0x1001, 1, 0x1ff);
    assert_int_equal(a.offset, 1);
    assert_int_equal(a.value, 0xff);
    assert_int_equal(a.reads, 0);
    assert_int_equal(b.writes, 0);
    hk_bus_destroy(bus);
}

static void row023_stores_and_loads_of_every_size_carry_their_data(void **state)
{
    struct hk_bus *bus = new_bus();
    struct probe probe = {0};
    const uint64_t data = 0x8877665544332211;

    assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, 0xd0000000, 0x1000,
                                HK_BUS_SIZE_ANY, &probe_ops, &probe),
                     0);
    for (uint32_t size = 1; size <= 8; size *= 2) {
        uint64_t mask = size == 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;

        hk_bus_write(bus, HK_BUS_MEM, 0xd0000010, size, data);
        assert_int_equal(probe.value, data & mask);
        assert_int_equal(probe.size, size);
        assert_true(hk_bus_read(bus, HK_BUS_MEM, 0xd0000010, size) ==
                    (0x1122334455667788 & mask));
    }
    hk_bus_destroy(bus);
}

static void row022_unclaimed_port_reads_ones(void **state)
{
    struct hk_bus *bus = new_bus();

    assert_int_equal(hk_bus_read(bus, HK_BUS_PORT, 0x21, 1), 0xff);
    assert_int_equal(hk_bus_read(bus, HK_BUS_PORT, 0xcf8, 2), 0xffff);
    assert_int_equal(hk_bus_read(bus, HK_BUS_PORT, 0xcfc, 4), 0xffffffff);
    hk_bus_write(bus, HK_BUS_PORT, 0x21, 1, 0);
    assert_int_equal(hk_bus_unclaimed(bus), 4);
    hk_bus_destroy(bus);
}

static void row022_unclaimed_address_reads_ones_and_ignores_writes(void **state)
{
    struct hk_bus *bus = new_bus();

    assert_true(hk_bus_read(bus, HK_BUS_MEM, UINT64_MAX, 8) == UINT64_MAX);
    assert_true(hk_bus_read(bus, HK_BUS_MEM, 0xdead0000, 8) == UINT64_MAX);
    hk_bus_write(bus, HK_BUS_MEM, 0xdead0000, 8, 1);
    assert_int_equal(hk_bus_unclaimed(bus), 3);
    hk_bus_destroy(bus);
}

static void the_spaces_are_separate(void **state)
{
    struct hk_bus *bus = new_bus();
    struct probe probe = {0};

    assert_int_equal(hk_bus_add(bus, HK_BUS_PORT, 0x3f8, 8, HK_BUS_SIZE_1,
                                &probe_ops, &probe),
                     0);
    hk_bus_read(bus, HK_BUS_MEM, 0x3f8, 1);
    assert_int_equal(probe.reads, 0);
    hk_bus_read(bus, HK_BUS_PORT, 0x3f8, 1);
    assert_int_equal(probe.reads, 1);
    hk_bus_destroy(bus);
}

static void a_size_that_the_region_forbids_is_unclaimed(void **state)
{
    struct hk_bus *bus = new_bus();
    struct probe probe = {0};

    assert_int_equal(hk_bus_add(bus, HK_BUS_PORT, 0x3f8, 8,
                                HK_BUS_SIZE_1 | HK_BUS_SIZE_4, &probe_ops,
                                &probe),
                     0);
    assert_int_equal(hk_bus_read(bus, HK_BUS_PORT, 0x3f8, 2), 0xffff);
    assert_int_equal(probe.reads, 0);
    hk_bus_read(bus, HK_BUS_PORT, 0x3f8, 4);
    assert_int_equal(probe.reads, 1);
    hk_bus_destroy(bus);
}

static void an_access_across_the_end_of_a_region_is_unclaimed(void **state)
{
    struct hk_bus *bus = new_bus();
    struct probe probe = {0};

    assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, 0x1000, 6, HK_BUS_SIZE_ANY,
                                &probe_ops, &probe),
                     0);
    assert_int_equal(hk_bus_read(bus, HK_BUS_MEM, 0x1003, 4), 0xffffffff);
    assert_int_equal(hk_bus_read(bus, HK_BUS_MEM, 0xfff, 2), 0xffff);
    hk_bus_write(bus, HK_BUS_MEM, 0x1000, 8, 0);
    assert_int_equal(probe.reads + probe.writes, 0);
    hk_bus_read(bus, HK_BUS_MEM, 0x1002, 4);
    assert_int_equal(probe.reads, 1);
    hk_bus_destroy(bus);
}

static void sizes_that_do_not_exist_do_nothing(void **state)
{
    struct hk_bus *bus = new_bus();
    struct probe probe = {0};

    assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, 0, 0x1000, HK_BUS_SIZE_ANY,
                                &probe_ops, &probe),
                     0);
    const uint32_t bad[] = {0, 3, 5, 6, 7, 9, 16, UINT32_MAX};
    for (size_t i = 0; i < HK_COUNT(bad); i++) {
        hk_bus_read(bus, HK_BUS_MEM, 0, bad[i]);
        hk_bus_write(bus, HK_BUS_MEM, 0, bad[i], 0);
    }
    assert_int_equal(probe.reads + probe.writes, 0);
    hk_bus_destroy(bus);
}

static void missing_operations_read_ones_and_ignore_writes(void **state)
{
    struct hk_bus *bus = new_bus();

    assert_int_equal(
        hk_bus_add(bus, HK_BUS_PORT, 0x80, 1, HK_BUS_SIZE_1, &silent_ops, NULL),
        0);
    assert_int_equal(hk_bus_read(bus, HK_BUS_PORT, 0x80, 1), 0xff);
    hk_bus_write(bus, HK_BUS_PORT, 0x80, 1, 1);
    assert_int_equal(hk_bus_unclaimed(bus), 0);
    hk_bus_destroy(bus);
}

static void overlapping_regions_are_refused(void **state)
{
    struct hk_bus *bus = new_bus();
    const struct {
        uint64_t base;
        uint64_t len;
        int rc;
    } rows[] = {
        {0x1000, 0x100, 0},
        {0x1000, 0x100, -HK_EEXIST},
        {0xfff, 2, -HK_EEXIST},
        {0x10ff, 1, -HK_EEXIST},
        {0x800, 0x1000, -HK_EEXIST},
        {0x1010, 4, -HK_EEXIST},
        {0x1100, 1, 0},
        {0xfff, 1, 0},
        {UINT64_MAX, 1, 0},
        {UINT64_MAX - 3, 4, -HK_EEXIST},
        {UINT64_MAX - 3, 3, 0},
    };

    for (size_t i = 0; i < HK_COUNT(rows); i++)
        assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, rows[i].base, rows[i].len,
                                    HK_BUS_SIZE_ANY, &silent_ops, NULL),
                         rows[i].rc);
    hk_bus_destroy(bus);
}

static void empty_and_wrapping_regions_are_refused(void **state)
{
    struct hk_bus *bus = new_bus();

    assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, 0x1000, 0, HK_BUS_SIZE_ANY,
                                &silent_ops, NULL),
                     -HK_EINVAL);
    assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, UINT64_MAX, 2, HK_BUS_SIZE_ANY,
                                &silent_ops, NULL),
                     -HK_EINVAL);
    assert_int_equal(hk_bus_add(bus, HK_BUS_PORT, 0xffff, 2, HK_BUS_SIZE_ANY,
                                &silent_ops, NULL),
                     -HK_EINVAL);
    assert_int_equal(
        hk_bus_add(bus, HK_BUS_PORT, 0xffff, 1, 0, &silent_ops, NULL),
        -HK_EINVAL);
    assert_int_equal(hk_bus_add(bus, HK_BUS_PORT, 0xffff, 1, HK_BUS_SIZE_ANY,
                                &silent_ops, NULL),
                     0);
    hk_bus_destroy(bus);
}

static void every_region_of_many_is_found(void **state)
{
    struct hk_bus *bus = new_bus();
    struct probe probes[100] = {{0}};

    for (size_t i = 0; i < HK_COUNT(probes); i++) {
        size_t at = (i * 37) % HK_COUNT(probes);

        assert_int_equal(hk_bus_add(bus, HK_BUS_MEM, 0x1000 * at, 0x800,
                                    HK_BUS_SIZE_ANY, &probe_ops, &probes[at]),
                         0);
    }
    for (size_t i = 0; i < HK_COUNT(probes); i++) {
        hk_bus_read(bus, HK_BUS_MEM, 0x1000 * i + 0x7f8, 8);
        hk_bus_read(bus, HK_BUS_MEM, 0x1000 * i + 0x800, 8);
        assert_int_equal(probes[i].reads, 1);
        assert_int_equal(probes[i].offset, 0x7f8);
    }
    assert_int_equal(hk_bus_unclaimed(bus), HK_COUNT(probes));
    hk_bus_destroy(bus);
}

enum { THREADS = 4, ROUNDS = 20000 };

struct race {
    struct hk_bus *bus;
    int inside;
    uint64_t sum;
};

static void race_write(void *device, uint64_t offset, uint32_t size,
                       uint64_t value)
{
    struct race *race = device;

    assert_int_equal(race->inside++, 0);
    race->sum += value;
    race->inside--;
}

static const struct hk_bus_ops race_ops = {
    .name = "race",
    .write = race_write,
};

static void race_main(void *opaque)
{
    struct race *race = opaque;

    for (int i = 0; i < ROUNDS; i++)
        hk_bus_write(race->bus, HK_BUS_PORT, 0x10, 1, 1);
}

static void a_device_sees_one_access_at_a_time(void **state)
{
    struct race race = {.bus = new_bus()};
    uv_thread_t threads[THREADS];

    assert_int_equal(hk_bus_add(race.bus, HK_BUS_PORT, 0x10, 1, HK_BUS_SIZE_1,
                                &race_ops, &race),
                     0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&threads[i], race_main, &race), 0);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(race.sum, THREADS * ROUNDS);
    hk_bus_destroy(race.bus);
}

static void a_held_lock_cannot_be_taken_again(void **state)
{
    struct hk_lock lock = {0};

    assert_true(hk_lock_try(&lock));
    assert_false(hk_lock_try(&lock));
    hk_unlock(&lock);
    assert_true(hk_lock_try(&lock));
}

static void a_zeroed_interrupt_line_does_nothing(void **state)
{
    struct hk_irq irq = {0};

    hk_irq_set(&irq, true);
    hk_irq_pulse(&irq);
}

struct pin {
    bool high;
    unsigned rises;
};

static void set_pin(void *controller, uint32_t number, bool level)
{
    struct pin *pin = controller;

    assert_int_equal(number, 5);
    pin->rises += level && !pin->high;
    pin->high = level;
}

static void a_shared_pin_is_high_while_one_member_is(void **state)
{
    struct pin pin = {0};
    struct hk_irq_share share = {
        .pin = {.set = set_pin, .controller = &pin, .pin = 5}};
    struct hk_irq_member members[2] = {0};
    struct hk_irq one = hk_irq_share_join(&share, &members[0]);
    struct hk_irq two = hk_irq_share_join(&share, &members[1]);

    hk_irq_set(&one, false);
    assert_false(pin.high);
    hk_irq_set(&one, true);
    hk_irq_set(&one, true);
    assert_int_equal(pin.rises, 1);
    hk_irq_set(&two, true);
    assert_true(pin.high);
    assert_int_equal(pin.rises, 2); /* an edge for the second */
    hk_irq_set(&one, false);
    hk_irq_set(&one, false);
    assert_true(pin.high);
    hk_irq_set(&two, false);
    assert_false(pin.high);
    assert_int_equal(pin.rises, 2);
}

struct slow_pin {
    struct hk_irq line;
    bool high;
};

/* Before it rises, the device has lowered its line already. */
static void set_slowly(void *controller, uint32_t number, bool level)
{
    struct slow_pin *pin = controller;

    if (level)
        hk_irq_set(&pin->line, false);
    pin->high = level;
}

static void a_shared_pin_that_rises_too_late_falls_again(void **state)
{
    struct slow_pin pin = {0};
    struct hk_irq_share share = {
        .pin = {.set = set_slowly, .controller = &pin}};
    struct hk_irq_member member = {0};

    pin.line = hk_irq_share_join(&share, &member);
    hk_irq_set(&pin.line, true);
    assert_false(pin.high);
}

static void side_write(void *device, uint64_t offset, uint32_t size,
                       uint64_t value)
{
    struct hk_bus *bus = device;

    if (offset == 0) /* an access from inside an access */
        hk_bus_write(bus, HK_BUS_MEM, 0x1008, 4, 1);
}

static void a_region_with_its_own_locks_is_not_locked(void **state)
{
    static const struct hk_bus_ops ops = {
        .name = "side", .own_lock = true, .write = side_write};
    struct hk_bus *bus = new_bus();

    assert_int_equal(
        hk_bus_add(bus, HK_BUS_MEM, 0x1000, 0x10, HK_BUS_SIZE_ANY, &ops, bus),
        0);
    hk_bus_write(bus, HK_BUS_MEM, 0x1000, 4, 1);
    hk_bus_destroy(bus);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(an_access_reaches_its_region_with_the_offset),
    cmocka_unit_test(row023_stores_and_loads_of_every_size_carry_their_data),
    cmocka_unit_test(row022_unclaimed_port_reads_ones),
    cmocka_unit_test(row022_unclaimed_address_reads_ones_and_ignores_writes),
    cmocka_unit_test(the_spaces_are_separate),
    cmocka_unit_test(a_size_that_the_region_forbids_is_unclaimed),
    cmocka_unit_test(an_access_across_the_end_of_a_region_is_unclaimed),
    cmocka_unit_test(sizes_that_do_not_exist_do_nothing),
    cmocka_unit_test(missing_operations_read_ones_and_ignore_writes),
    cmocka_unit_test(overlapping_regions_are_refused),
    cmocka_unit_test(empty_and_wrapping_regions_are_refused),
    cmocka_unit_test(every_region_of_many_is_found),
    cmocka_unit_test(a_device_sees_one_access_at_a_time),
    cmocka_unit_test(a_held_lock_cannot_be_taken_again),
    cmocka_unit_test(a_zeroed_interrupt_line_does_nothing),
    cmocka_unit_test(a_shared_pin_is_high_while_one_member_is),
    cmocka_unit_test(a_shared_pin_that_rises_too_late_falls_again),
    cmocka_unit_test(a_region_with_its_own_locks_is_not_locked),
};
HK_TEST_MAIN(cases)
