/* chip/ioapic.h, through the bus as a guest would */
#include "hk_test.h"

#include "base/compiler.h"
#include "bus/bus.h"
#include "chip/ioapic.h"

enum {
    PIN = 14,
    LEVEL = 0x8000,
    MASKED = 0x10000,
    LOGICAL = 0x800,
    REMOTE_IRR = 0x4000,
    SENT_MAX = 64,
};

struct rig {
    struct hk_bus *bus;
    struct hk_ioapic *ioapic;
    int sent;
    struct hk_apic_msg msgs[SENT_MAX];
};

static void on_send(void *opaque, const struct hk_apic_msg *msg)
{
    struct rig *rig = opaque;

    rig->msgs[rig->sent++ % SENT_MAX] = *msg;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_int_equal(hk_ioapic_create(0, on_send, rig, &rig->ioapic), 0);
    assert_int_equal(hk_bus_create(&rig->bus), 0);
    assert_int_equal(hk_bus_add(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE,
                                HK_IOAPIC_SIZE, HK_BUS_SIZE_ANY,
                                &hk_ioapic_bus_ops, rig->ioapic),
                     0);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    hk_bus_destroy(rig->bus);
    hk_ioapic_destroy(rig->ioapic);
    free(rig);
    return 0;
}

static uint32_t rd(struct rig *rig, uint32_t reg)
{
    hk_bus_write(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE, 4, reg);
    return (uint32_t)hk_bus_read(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE + 0x10,
                                 4);
}

static void wr(struct rig *rig, uint32_t reg, uint32_t value)
{
    hk_bus_write(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE, 4, reg);
    hk_bus_write(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE + 0x10, 4, value);
}

static void set_entry(struct rig *rig, uint32_t pin, uint32_t low, uint8_t dest)
{
    wr(rig, 0x11 + 2 * pin, (uint32_t)dest << 24);
    wr(rig, 0x10 + 2 * pin, low);
}

static uint32_t low(struct rig *rig, uint32_t pin)
{
    return rd(rig, 0x10 + 2 * pin);
}

static void line(struct rig *rig, uint32_t pin, bool level)
{
    struct hk_irq irq = hk_ioapic_irq(rig->ioapic, pin);

    hk_irq_set(&irq, level);
}

static void pulse(struct rig *rig, uint32_t pin)
{
    line(rig, pin, true);
    line(rig, pin, false);
}

static void entries_are_masked_after_reset(void **state)
{
    for (uint32_t pin = 0; pin < HK_IOAPIC_PINS; pin++) {
        assert_int_equal(low(*state, pin), MASKED);
        assert_int_equal(rd(*state, 0x11 + 2 * pin), 0);
    }
}

static void the_version_is_read_only_and_counts_24_pins(void **state)
{
    assert_int_equal(rd(*state, 1), 0x00170020);
    wr(*state, 1, ~0x00170020u);
    assert_int_equal(rd(*state, 1), 0x00170020);
}

static void only_the_four_id_bits_are_writable(void **state)
{
    uint32_t old = rd(*state, 0);

    wr(*state, 0, ~old);
    assert_int_equal(rd(*state, 0) ^ old, 0x0f000000);
}

static void the_arbitration_id_follows_the_id(void **state)
{
    wr(*state, 0, 0x0f000000);
    assert_int_equal(rd(*state, 2), 0x0f000000);
    wr(*state, 2, 0);
    assert_int_equal(rd(*state, 2), 0x0f000000);
}

static void registers_that_do_not_exist_read_zero(void **state)
{
    wr(*state, 0x40, 0xffffffff);
    assert_int_equal(rd(*state, 0x40), 0);
    assert_int_equal(rd(*state, 3), 0);
    assert_int_equal(rd(*state, 0xff), 0);
}

static void status_bits_of_an_entry_are_read_only(void **state)
{
    set_entry(*state, PIN, 0xffffffff & ~0x700u, 0xff);
    assert_int_equal(low(*state, PIN), 0x1a8ff);
    assert_int_equal(rd(*state, 0x11 + 2 * PIN), 0xff000000);
}

static void an_edge_sends_one_message(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x76 | LOGICAL, 3);
    line(rig, PIN, true);
    line(rig, PIN, true);
    assert_int_equal(rig->sent, 1);
    assert_int_equal(rig->msgs[0].vector, 0x76);
    assert_int_equal(rig->msgs[0].dest, 3);
    assert_true(rig->msgs[0].logical);
    assert_false(rig->msgs[0].level);
    line(rig, PIN, false);
    assert_int_equal(rig->sent, 1);
    line(rig, PIN, true);
    assert_int_equal(rig->sent, 2);
    assert_int_equal(low(rig, PIN) & REMOTE_IRR, 0);
}

static void a_masked_edge_is_lost(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x81 | MASKED, 0);
    pulse(rig, PIN);
    line(rig, PIN, true);
    set_entry(rig, PIN, 0x81, 0);
    assert_int_equal(rig->sent, 0);
    line(rig, PIN, false);
    line(rig, PIN, true);
    assert_int_equal(rig->sent, 1);
}

static void a_level_is_sent_once_until_eoi(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x77 | LEVEL, 0);
    line(rig, PIN, true);
    line(rig, PIN, false);
    line(rig, PIN, true);
    assert_int_equal(rig->sent, 1);
    assert_true(rig->msgs[0].level);
    assert_int_equal(low(rig, PIN) & REMOTE_IRR, REMOTE_IRR);
    line(rig, PIN, false);
    hk_ioapic_eoi(rig->ioapic, 0x77);
    assert_int_equal(low(rig, PIN) & REMOTE_IRR, 0);
    assert_int_equal(rig->sent, 1);
    line(rig, PIN, true);
    assert_int_equal(rig->sent, 2);
}

static void a_level_still_high_at_eoi_is_sent_again(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x9a | LEVEL, 0);
    line(rig, PIN, true);
    hk_ioapic_eoi(rig->ioapic, 0x9b);
    assert_int_equal(rig->sent, 1);
    hk_ioapic_eoi(rig->ioapic, 0x9a);
    assert_int_equal(rig->sent, 2);
}

static void a_masked_level_is_sent_when_unmasked(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x82 | LEVEL | MASKED, 0);
    line(rig, PIN, true);
    assert_int_equal(rig->sent, 0);
    set_entry(rig, PIN, 0x82 | LEVEL, 0);
    assert_int_equal(rig->sent, 1);
}

static void a_level_masked_by_its_handler_is_sent_after_unmasking(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x83 | LEVEL, 0);
    line(rig, PIN, true);
    set_entry(rig, PIN, 0x83 | LEVEL | MASKED, 0);
    assert_int_equal(low(rig, PIN) & REMOTE_IRR, REMOTE_IRR);
    hk_ioapic_eoi(rig->ioapic, 0x83);
    assert_int_equal(rig->sent, 1);
    set_entry(rig, PIN, 0x83 | LEVEL, 0);
    assert_int_equal(rig->sent, 2);
}

static void remote_irr_survives_writes_of_the_entry(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x84 | LEVEL, 0);
    line(rig, PIN, true);
    wr(rig, 0x11 + 2 * PIN, 1u << 24);
    wr(rig, 0x10 + 2 * PIN, 0x84 | LEVEL);
    assert_int_equal(low(rig, PIN) & REMOTE_IRR, REMOTE_IRR);
    assert_int_equal(rig->sent, 1);
    hk_ioapic_eoi(rig->ioapic, 0x84);
    assert_int_equal(rig->sent, 2);
    assert_int_equal(rig->msgs[1].dest, 1);
}

static void switching_to_edge_clears_remote_irr(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x84 | LEVEL, 0);
    line(rig, PIN, true);
    line(rig, PIN, false);
    set_entry(rig, PIN, 0x84 | MASKED, 0);
    set_entry(rig, PIN, 0x84 | LEVEL | MASKED, 0);
    assert_int_equal(low(rig, PIN), 0x84 | LEVEL | MASKED);
}

static void the_eoi_register_ends_its_vector_only(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, 3, 0x50 | LEVEL, 0);
    set_entry(rig, 4, 0x51 | LEVEL, 0);
    line(rig, 3, true);
    line(rig, 4, true);
    line(rig, 3, false);
    line(rig, 4, false);
    hk_bus_write(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE + 0x40, 4, 0x50);
    assert_int_equal(low(rig, 3) & REMOTE_IRR, 0);
    assert_int_equal(low(rig, 4) & REMOTE_IRR, REMOTE_IRR);
}

static void one_eoi_ends_every_pin_of_a_shared_vector(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, 3, 0x50 | LEVEL, 0);
    set_entry(rig, 4, 0x50 | LEVEL, 0);
    line(rig, 3, true);
    line(rig, 4, true);
    hk_ioapic_eoi(rig->ioapic, 0x50);
    assert_int_equal(rig->sent, 4);
}

static void other_delivery_modes_pass_through_as_edges(void **state)
{
    struct rig *rig = *state;
    const enum hk_apic_mode modes[] = {HK_APIC_SMI, HK_APIC_NMI, HK_APIC_INIT,
                                       HK_APIC_EXTINT};

    for (size_t i = 0; i < HK_COUNT(modes); i++) {
        set_entry(rig, PIN, (uint32_t)modes[i] << 8 | LEVEL | 0x20, 0);
        pulse(rig, PIN);
        assert_int_equal(rig->sent, i + 1);
        assert_int_equal(rig->msgs[i].mode, modes[i]);
        assert_false(rig->msgs[i].level);
        assert_int_equal(low(rig, PIN) & REMOTE_IRR, 0);
    }
}

static void the_polarity_bit_is_kept_and_changes_nothing(void **state)
{
    struct rig *rig = *state;

    set_entry(rig, PIN, 0x60 | 0x2000, 0);
    assert_int_equal(low(rig, PIN), 0x2060);
    pulse(rig, PIN);
    assert_int_equal(rig->sent, 1);
}

static void narrow_accesses_of_the_registers_work(void **state)
{
    struct rig *rig = *state;

    hk_bus_write(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE, 1, 1);
    assert_int_equal(
        hk_bus_read(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE + 0x10, 1), 0x20);
    assert_int_equal(hk_bus_read(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE, 4), 1);
}

/* What a guest, its kernel and its processors do, together. */
struct machine {
    struct hk_apic_bus *apics;
    struct hk_lapic *apic;
    struct hk_ioapic *ioapic;
};

static void ignore(void *vcpu)
{
}

static void ignore_sipi(void *vcpu, uint8_t vector)
{
}

static uint64_t no_time(void *vcpu)
{
    return 0;
}

static const struct hk_lapic_host host = {
    .wake = ignore,
    .init = ignore,
    .sipi = ignore_sipi,
    .nmi = ignore,
    .tsc = no_time,
};

static void to_apics(void *opaque, const struct hk_apic_msg *msg)
{
    struct machine *machine = opaque;

    hk_apic_bus_send(machine->apics, msg);
}

static void to_ioapic(void *opaque, uint8_t vector)
{
    struct machine *machine = opaque;

    hk_ioapic_eoi(machine->ioapic, vector);
}

static void a_level_line_goes_round_through_the_local_apic(void **state)
{
    struct machine m;
    struct rig rig = {0};

    assert_int_equal(hk_apic_bus_create(1, 1, 1, &m.apics), 0);
    assert_int_equal(hk_lapic_add(m.apics, &host, NULL, &m.apic), 0);
    assert_int_equal(hk_ioapic_create(0, to_apics, &m, &m.ioapic), 0);
    hk_apic_bus_set_eoi(m.apics, to_ioapic, &m);
    assert_int_equal(hk_bus_create(&rig.bus), 0);
    assert_int_equal(hk_bus_add(rig.bus, HK_BUS_MEM, HK_IOAPIC_BASE,
                                HK_IOAPIC_SIZE, HK_BUS_SIZE_ANY,
                                &hk_ioapic_bus_ops, m.ioapic),
                     0);
    rig.ioapic = m.ioapic;
    hk_lapic_write(m.apic, 0xf0, 4, 0x1ff);
    set_entry(&rig, PIN, 0x9a | LEVEL, 0);
    line(&rig, PIN, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hk_lapic_ack(m.apic), 0x9a);
        assert_false(hk_lapic_has_interrupt(m.apic));
        if (i == 2)
            line(&rig, PIN, false);
        hk_lapic_write(m.apic, 0xb0, 4, 0);
    }
    assert_false(hk_lapic_has_interrupt(m.apic));
    hk_bus_destroy(rig.bus);
    hk_ioapic_destroy(m.ioapic);
    hk_apic_bus_destroy(m.apics);
}

static void wild_accesses_keep_the_invariants(void **state)
{
    struct rig *rig = *state;
    uint64_t seed = 0x1234567;

    for (int i = 0; i < 100000; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        uint32_t size = 1u << (seed >> 60) % 4;
        uint64_t offset =
            (seed & 1) != 0 ? (seed >> 8) % 0x60 : (seed >> 8) % 0x1000;
        uint32_t pin = (uint32_t)(seed >> 20) % HK_IOAPIC_PINS;

        if ((seed & 6) == 0)
            line(rig, pin, (seed & 8) != 0);
        else if ((seed & 6) == 2)
            hk_ioapic_eoi(rig->ioapic, (uint8_t)(seed >> 30));
        else if ((seed & 6) == 4)
            hk_bus_write(rig->bus, HK_BUS_MEM, HK_IOAPIC_BASE + offset, size,
                         seed >> 24);
        else
            wr(rig, (uint32_t)(seed >> 12) % 0x48, (uint32_t)(seed >> 24));
        uint32_t entry = low(rig, pin);
        assert_int_equal(entry & 0x1000, 0);
        if ((entry & LEVEL) == 0)
            assert_int_equal(entry & REMOTE_IRR, 0);
    }
    assert_int_equal(rd(rig, 1), 0x00170020);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(entries_are_masked_after_reset),
    CASE(the_version_is_read_only_and_counts_24_pins),
    CASE(only_the_four_id_bits_are_writable),
    CASE(the_arbitration_id_follows_the_id),
    CASE(registers_that_do_not_exist_read_zero),
    CASE(status_bits_of_an_entry_are_read_only),
    CASE(an_edge_sends_one_message),
    CASE(a_masked_edge_is_lost),
    CASE(a_level_is_sent_once_until_eoi),
    CASE(a_level_still_high_at_eoi_is_sent_again),
    CASE(a_masked_level_is_sent_when_unmasked),
    CASE(a_level_masked_by_its_handler_is_sent_after_unmasking),
    CASE(remote_irr_survives_writes_of_the_entry),
    CASE(switching_to_edge_clears_remote_irr),
    CASE(the_eoi_register_ends_its_vector_only),
    CASE(one_eoi_ends_every_pin_of_a_shared_vector),
    CASE(other_delivery_modes_pass_through_as_edges),
    CASE(the_polarity_bit_is_kept_and_changes_nothing),
    CASE(narrow_accesses_of_the_registers_work),
    cmocka_unit_test(a_level_line_goes_round_through_the_local_apic),
    CASE(wild_accesses_keep_the_invariants),
};
HK_TEST_MAIN(cases)
