/* chip/lapic.h: registers, delivery, IPIs and the timer, with a fake clock */
#include "hk_test.h"

#include "base/compiler.h"
#include "chip/lapic.h"

#include <stdatomic.h>
#include <uv.h>

enum {
    CPUS = 4,
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVTT = 0x320,
    LINT0 = 0x350,
    LVT_ERROR = 0x370,
    TMICT = 0x380,
    TMCCT = 0x390,
    TDCR = 0x3e0,
    SELF_IPI = 0x3f0,
    MASKED = 0x10000,
    PERIODIC = 0x20000,
    DEADLINE = 0x40000,
    DIVIDE_1 = 0xb,
    EN = 0x800,
    EXTD = 0x400,
    TSC_PER_TICK = 3, /* the fake machine: 3 GHz TSC, 1 GHz timer */
};
static const uint64_t TIMER_HZ = 1000000000, TSC_HZ = 3000000000;

struct vcpu {
    struct vm *vm;
    struct hk_lapic *apic;
    atomic_int wakes;
    int inits, sipis, nmis;
    uint8_t sipi_vector;
};

struct vm {
    struct hk_apic_bus *bus;
    struct vcpu vcpus[CPUS];
    uint64_t tsc;
    int eois;
    uint8_t eoi_vector;
};

static void on_wake(void *vcpu)
{
    ((struct vcpu *)vcpu)->wakes++;
}

static void on_init(void *vcpu)
{
    ((struct vcpu *)vcpu)->inits++;
}

static void on_sipi(void *opaque, uint8_t vector)
{
    struct vcpu *vcpu = opaque;

    vcpu->sipis++;
    vcpu->sipi_vector = vector;
}

static void on_nmi(void *vcpu)
{
    ((struct vcpu *)vcpu)->nmis++;
}

static uint64_t on_tsc(void *vcpu)
{
    return ((struct vcpu *)vcpu)->vm->tsc;
}

static void on_eoi(void *opaque, uint8_t vector)
{
    struct vm *vm = opaque;

    vm->eois++;
    vm->eoi_vector = vector;
}

static const struct hk_lapic_host host = {
    .wake = on_wake,
    .init = on_init,
    .sipi = on_sipi,
    .nmi = on_nmi,
    .tsc = on_tsc,
};

static uint32_t rd(struct hk_lapic *apic, uint32_t offset)
{
    return (uint32_t)hk_lapic_read(apic, offset, 4);
}

static void wr(struct hk_lapic *apic, uint32_t offset, uint32_t value)
{
    hk_lapic_write(apic, offset, 4, value);
}

static bool can_write(struct hk_lapic *apic, uint32_t offset, uint64_t value)
{
    return hk_lapic_msr_write(apic, HK_APIC_MSR_X2APIC + offset / 16, value);
}

static void msr_wr(struct hk_lapic *apic, uint32_t msr, uint64_t value)
{
    assert_true(hk_lapic_msr_write(apic, msr, value));
}

static uint64_t msr_rd(struct hk_lapic *apic, uint32_t msr)
{
    uint64_t value = 0;

    assert_true(hk_lapic_msr_read(apic, msr, &value));
    return value;
}

static uint64_t x2_rd(struct hk_lapic *apic, uint32_t offset)
{
    return msr_rd(apic, HK_APIC_MSR_X2APIC + offset / 16);
}

static void go_x2apic(struct hk_lapic *apic)
{
    msr_wr(apic, 0x1b, msr_rd(apic, 0x1b) | EXTD);
}

static int setup(void **state)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    assert_int_equal(hk_apic_bus_create(CPUS, TIMER_HZ, TSC_HZ, &vm->bus), 0);
    hk_apic_bus_set_eoi(vm->bus, on_eoi, vm);
    for (int i = 0; i < CPUS; i++) {
        vm->vcpus[i].vm = vm;
        assert_int_equal(
            hk_lapic_add(vm->bus, &host, &vm->vcpus[i], &vm->vcpus[i].apic), 0);
        wr(vm->vcpus[i].apic, SVR, 0x1ff);
        wr(vm->vcpus[i].apic, TDCR, DIVIDE_1);
    }
    vm->tsc = 1000000;
    *state = vm;
    return 0;
}

static int teardown(void **state)
{
    struct vm *vm = *state;

    hk_apic_bus_destroy(vm->bus);
    free(vm);
    return 0;
}

static struct hk_lapic *cpu(void **state, int index)
{
    struct vm *vm = *state;

    return vm->vcpus[index].apic;
}

static void deliver_to(void **state, int index, uint8_t vector, bool level)
{
    struct vm *vm = *state;
    struct hk_apic_msg msg = {
        .dest = (uint32_t)index,
        .vector = vector,
        .level = level,
        .assert_level = true,
    };

    hk_apic_bus_send(vm->bus, &msg);
}

static bool has_bit(struct hk_lapic *apic, uint32_t reg, uint8_t vector)
{
    return (rd(apic, reg + (vector / 32) * 16) >> (vector % 32) & 1) != 0;
}

static void reset_values_are_the_manuals(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 1);

    hk_lapic_reset(apic, false);
    assert_int_equal(rd(apic, ID), 1 << 24);
    assert_int_equal(rd(apic, VERSION), 0x50014);
    assert_int_equal(rd(apic, SVR), 0xff);
    assert_int_equal(rd(apic, DFR), 0xffffffff);
    assert_int_equal(rd(apic, LDR), 0);
    assert_int_equal(rd(apic, TPR), 0);
    for (uint32_t lvt = LVTT; lvt <= LVT_ERROR; lvt += 16)
        assert_int_equal(rd(apic, lvt), MASKED);
    assert_int_equal(msr_rd(apic, 0x1b), HK_APIC_BASE | EN);
    assert_int_equal(msr_rd(cpu(state, 0), 0x1b), HK_APIC_BASE | EN | 0x100);
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    assert_false(hk_lapic_has_interrupt(apic));
    assert_int_equal(hk_lapic_ack(apic), -1);
    assert_non_null(vm->bus);
}

static void a_bus_without_clocks_or_places_is_refused(void **state)
{
    struct hk_apic_bus *bus;
    struct hk_lapic *apic;
    struct vm *vm = *state;

    assert_int_equal(hk_apic_bus_create(0, 1, 1, &bus), -HK_EINVAL);
    assert_int_equal(hk_apic_bus_create(1, 0, 1, &bus), -HK_EINVAL);
    assert_int_equal(hk_apic_bus_create(1, 1, 0, &bus), -HK_EINVAL);
    assert_int_equal(hk_lapic_add(vm->bus, &host, NULL, &apic), -HK_EINVAL);
    hk_apic_bus_destroy(NULL);
}

static void a_vector_goes_from_irr_to_isr_to_eoi(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 2);

    deliver_to(state, 2, 0x41, false);
    assert_int_equal(vm->vcpus[2].wakes, 1);
    assert_true(has_bit(apic, IRR, 0x41));
    assert_true(hk_lapic_has_interrupt(apic));
    assert_int_equal(hk_lapic_ack(apic), 0x41);
    assert_false(has_bit(apic, IRR, 0x41));
    assert_true(has_bit(apic, ISR, 0x41));
    assert_int_equal(rd(apic, PPR), 0x40);
    wr(apic, EOI, 0);
    assert_false(has_bit(apic, ISR, 0x41));
    assert_int_equal(rd(apic, PPR), 0);
    assert_int_equal(vm->eois, 0);
    wr(apic, EOI, 0); /* with nothing in service: harmless */
}

static void a_vector_asked_twice_is_delivered_once(void **state)
{
    struct vm *vm = *state;

    deliver_to(state, 0, 0x41, false);
    deliver_to(state, 0, 0x41, false);
    assert_int_equal(vm->vcpus[0].wakes, 1);
    assert_int_equal(hk_lapic_ack(cpu(state, 0)), 0x41);
    assert_int_equal(hk_lapic_ack(cpu(state, 0)), -1);
    /* But once more while it is in service. */
    deliver_to(state, 0, 0x41, false);
    assert_int_equal(hk_lapic_ack(cpu(state, 0)), -1);
    wr(cpu(state, 0), EOI, 0);
    assert_int_equal(hk_lapic_ack(cpu(state, 0)), 0x41);
}

static void higher_classes_interrupt_lower_ones_only(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);

    deliver_to(state, 0, 0x51, false);
    assert_int_equal(hk_lapic_ack(apic), 0x51);
    deliver_to(state, 0, 0x5f, false);
    deliver_to(state, 0, 0x42, false);
    assert_false(hk_lapic_has_interrupt(apic));
    deliver_to(state, 0, 0x60, false);
    assert_int_equal(hk_lapic_ack(apic), 0x60);
    wr(apic, EOI, 0);
    assert_int_equal(hk_lapic_ack(apic), -1);
    wr(apic, EOI, 0);
    assert_int_equal(hk_lapic_ack(apic), 0x5f);
    wr(apic, EOI, 0);
    assert_int_equal(hk_lapic_ack(apic), 0x42);
}

static void task_priority_holds_interrupts_back(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, TPR, 0x4f);
    assert_int_equal(rd(apic, PPR), 0x4f);
    assert_int_equal(hk_lapic_get_cr8(apic), 4);
    deliver_to(state, 0, 0x4f, false);
    assert_false(hk_lapic_has_interrupt(apic));
    deliver_to(state, 0, 0x50, false);
    assert_int_equal(hk_lapic_ack(apic), 0x50);
    assert_int_equal(rd(apic, PPR), 0x50);
    wr(apic, EOI, 0);
    hk_lapic_set_cr8(apic, 3);
    assert_int_equal(rd(apic, TPR), 0x30);
    assert_int_equal(hk_lapic_ack(apic), 0x4f);
    hk_lapic_set_cr8(apic, 0xff);
    assert_int_equal(rd(apic, TPR), 0xf0);
}

static void trigger_mode_follows_the_last_message_and_drives_eoi(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    deliver_to(state, 0, 0x79, true);
    assert_true(has_bit(apic, TMR, 0x79));
    assert_int_equal(hk_lapic_ack(apic), 0x79);
    wr(apic, EOI, 0);
    assert_int_equal(vm->eois, 1);
    assert_int_equal(vm->eoi_vector, 0x79);
    assert_true(has_bit(apic, TMR, 0x79));
    deliver_to(state, 0, 0x79, false);
    assert_false(has_bit(apic, TMR, 0x79));
    assert_int_equal(hk_lapic_ack(apic), 0x79);
    wr(apic, EOI, 0);
    assert_int_equal(vm->eois, 1);
}

static void a_software_disabled_apic_takes_no_vectors(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 1);
    struct hk_apic_msg nmi = {.dest = 1, .mode = HK_APIC_NMI};

    wr(apic, LVT_ERROR, 0xfe);
    wr(apic, LVTT, 0x30);
    wr(apic, SVR, 0xff);
    assert_int_equal(rd(apic, LVT_ERROR), MASKED | 0xfe);
    assert_int_equal(rd(apic, LVTT), MASKED | 0x30);
    wr(apic, LINT0, 0x700); /* masks cannot be cleared now */
    assert_int_equal(rd(apic, LINT0), MASKED | 0x700);
    deliver_to(state, 1, 0x41, false);
    assert_false(hk_lapic_has_interrupt(apic));
    hk_apic_bus_send(vm->bus, &nmi);
    assert_int_equal(vm->vcpus[1].nmis, 1);
    wr(apic, SVR, 0x1ff);
    assert_int_equal(rd(apic, LINT0), MASKED | 0x700);
}

static void ipi(struct hk_lapic *apic, uint32_t dest, uint32_t icr)
{
    wr(apic, ICR_HIGH, dest << 24);
    wr(apic, ICR, icr);
}

/* The set of processors that got `vector`; takes it from each. */
static unsigned receivers(void **state, int vector)
{
    unsigned set = 0;

    for (int i = 0; i < CPUS; i++) {
        if (hk_lapic_ack(cpu(state, i)) != vector)
            continue;
        set |= 1u << i;
        if (hk_lapic_is_mapped(cpu(state, i)))
            wr(cpu(state, i), EOI, 0);
        else
            assert_true(can_write(cpu(state, i), EOI, 0));
    }
    return set;
}

static void a_physical_ipi_reaches_one_or_all(void **state)
{
    ipi(cpu(state, 0), 2, 0x4055);
    assert_int_equal(receivers(state, 0x55), 0x4);
    ipi(cpu(state, 0), 0xff, 0x55); /* the level bit does not matter */
    assert_int_equal(receivers(state, 0x55), 0xf);
    ipi(cpu(state, 0), 9, 0x55);
    assert_int_equal(receivers(state, 0x55), 0);
    assert_int_equal(rd(cpu(state, 0), ICR_HIGH), 9u << 24);
    assert_int_equal(rd(cpu(state, 0), ICR), 0x55);
}

static void the_delivery_status_never_reads_busy(void **state)
{
    ipi(cpu(state, 0), 2, 0x5055);
    assert_int_equal(rd(cpu(state, 0), ICR), 0x4055);
}

static void shorthands_ignore_the_destination(void **state)
{
    ipi(cpu(state, 1), 3, 0x40055);
    assert_int_equal(receivers(state, 0x55), 0x2);
    ipi(cpu(state, 1), 3, 0x80055);
    assert_int_equal(receivers(state, 0x55), 0xf);
    ipi(cpu(state, 1), 3, 0xc0055);
    assert_int_equal(receivers(state, 0x55), 0xd);
}

static void flat_logical_destinations_are_bit_sets(void **state)
{
    for (int i = 0; i < CPUS; i++)
        wr(cpu(state, i), LDR, 0x01ffffffu << i);
    assert_int_equal(rd(cpu(state, 1), LDR), 0x03000000);
    for (int i = 0; i < CPUS; i++)
        wr(cpu(state, i), LDR, 0x01000000u << i);
    for (uint32_t set = 0; set < 0x100; set++) {
        ipi(cpu(state, 0), set, 0x855);
        assert_int_equal(receivers(state, 0x55), set & 0xf);
    }
}

static void a_logical_broadcast_needs_no_logical_id(void **state)
{
    ipi(cpu(state, 0), 0xff, 0x855);
    assert_int_equal(receivers(state, 0x55), 0xf);
}

static void cluster_logical_destinations_name_cluster_and_member(void **state)
{
    for (int i = 0; i < CPUS; i++) {
        wr(cpu(state, i), DFR, 0);
        wr(cpu(state, i), LDR,
           (i < 2 ? 0x10u : 0x20u) << 24 | 1u << (24 + i % 2));
    }
    assert_int_equal(rd(cpu(state, 0), DFR), 0x0fffffff);
    ipi(cpu(state, 0), 0x13, 0x855);
    assert_int_equal(receivers(state, 0x55), 0x3);
    ipi(cpu(state, 0), 0x22, 0x855);
    assert_int_equal(receivers(state, 0x55), 0x8);
    ipi(cpu(state, 0), 0x3f, 0x855);
    assert_int_equal(receivers(state, 0x55), 0);
    ipi(cpu(state, 0), 0xff, 0x855);
    assert_int_equal(receivers(state, 0x55), 0xf);
}

static void lowest_priority_picks_the_least_busy_processor(void **state)
{
    for (int i = 0; i < CPUS; i++)
        wr(cpu(state, i), TPR, i == 2 ? 0x10 : 0x20);
    ipi(cpu(state, 0), 0xff, 0x155);
    assert_int_equal(receivers(state, 0x55), 0x4);
    wr(cpu(state, 2), SVR, 0xff);
    ipi(cpu(state, 0), 0xff, 0x155);
    assert_int_equal(receivers(state, 0x55) & 0x4, 0);
}

static void lowest_priority_takes_turns_among_equals(void **state)
{
    unsigned all = 0;

    for (int i = 0; i < CPUS; i++) {
        ipi(cpu(state, 0), 0xff, 0x155);
        unsigned got = receivers(state, 0x55);
        assert_int_equal(got & (got - 1), 0);
        all |= got;
    }
    assert_int_equal(all, 0xf);
}

static void init_sipi_and_nmi_reach_the_vcpu(void **state)
{
    struct vm *vm = *state;

    ipi(cpu(state, 0), 1, 0xc500);
    assert_int_equal(vm->vcpus[1].inits, 1);
    ipi(cpu(state, 0), 1, 0x8500); /* INIT level de-assert: nothing */
    assert_int_equal(vm->vcpus[1].inits, 1);
    ipi(cpu(state, 0), 1, 0x4500);
    assert_int_equal(vm->vcpus[1].inits, 2);
    ipi(cpu(state, 0), 1, 0x4699);
    assert_int_equal(vm->vcpus[1].sipis, 1);
    assert_int_equal(vm->vcpus[1].sipi_vector, 0x99);
    ipi(cpu(state, 0), 1, 0x400);
    assert_int_equal(vm->vcpus[1].nmis, 1);
    assert_int_equal(vm->vcpus[1].wakes, 4);
    assert_int_equal(vm->vcpus[0].inits + vm->vcpus[0].nmis, 0);
    ipi(cpu(state, 0), 0, 0xc4500);
    assert_int_equal(vm->vcpus[3].inits, 1);
    assert_int_equal(vm->vcpus[0].inits, 0);
}

static void modes_that_mean_nothing_send_nothing(void **state)
{
    struct vm *vm = *state;

    ipi(cpu(state, 0), 1, 0x4255); /* SMI */
    ipi(cpu(state, 0), 1, 0x4355); /* remote read */
    ipi(cpu(state, 0), 1, 0x4755); /* ExtINT */
    assert_int_equal(vm->vcpus[1].wakes, 0);
    assert_false(hk_lapic_has_interrupt(cpu(state, 1)));
}

static void an_init_keeps_mode_base_and_id(void **state)
{
    struct hk_lapic *apic = cpu(state, 1);

    wr(apic, ID, 7u << 24);
    wr(apic, TPR, 0x20);
    deliver_to(state, 7, 0x41, false);
    hk_lapic_reset(apic, true);
    assert_int_equal(rd(apic, ID), 7u << 24);
    assert_int_equal(rd(apic, TPR), 0);
    assert_int_equal(rd(apic, SVR), 0xff);
    assert_false(hk_lapic_has_interrupt(apic));
    go_x2apic(apic);
    hk_lapic_reset(apic, true);
    assert_int_equal(msr_rd(apic, 0x1b), HK_APIC_BASE | EN | EXTD);
    assert_int_equal(x2_rd(apic, LDR), 2);
}

static void the_xapic_id_can_be_changed_and_routes(void **state)
{
    struct hk_lapic *apic = cpu(state, 3);

    wr(apic, ID, 0x2a123456);
    assert_int_equal(rd(apic, ID), 0x2a000000);
    ipi(cpu(state, 0), 3, 0x55);
    assert_int_equal(receivers(state, 0x55), 0);
    ipi(cpu(state, 0), 0x2a, 0x55);
    assert_int_equal(receivers(state, 0x55), 0x8);
    /* Off and on again: the ID that CPUID tells. */
    msr_wr(apic, 0x1b, HK_APIC_BASE);
    msr_wr(apic, 0x1b, HK_APIC_BASE | EN);
    assert_int_equal(rd(apic, ID), 3u << 24);
}

static void illegal_vectors_are_errors_on_both_sides(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVT_ERROR, 0xfe);
    ipi(apic, 1, 0x4005);
    assert_int_equal(hk_lapic_ack(apic), 0xfe);
    wr(apic, EOI, 0);
    assert_int_equal(rd(apic, ESR), 0); /* not before a write */
    wr(apic, ESR, 0);
    assert_int_equal(rd(apic, ESR), 0x20);
    wr(apic, ESR, 0);
    assert_int_equal(rd(apic, ESR), 0);
    wr(cpu(state, 1), ESR, 0);
    assert_int_equal(rd(cpu(state, 1), ESR), 0x40);
    assert_false(hk_lapic_has_interrupt(cpu(state, 1)));
}

static void registers_that_do_not_exist_are_errors(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);
    const uint32_t holes[] = {0x000, 0x010, 0x040, 0x070, 0x0c0, 0x290,
                              0x2f0, 0x3a0, 0x3f0, 0x400, 0xff0};

    for (size_t i = 0; i < HK_COUNT(holes); i++) {
        assert_int_equal(rd(apic, holes[i]), 0);
        wr(apic, ESR, 0);
        assert_int_equal(rd(apic, ESR), 0x80);
        wr(apic, holes[i], 1);
        wr(apic, ESR, 0);
        assert_int_equal(rd(apic, ESR), 0x80);
    }
    wr(apic, VERSION, 0); /* exists, read only: no error */
    wr(apic, PPR, 0);
    wr(apic, ESR, 0);
    assert_int_equal(rd(apic, ESR), 0);
}

static void an_error_vector_that_is_illegal_does_not_recurse(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVT_ERROR, 0x03);
    rd(apic, 0x400);
    wr(apic, ESR, 0);
    assert_int_equal(rd(apic, ESR), 0xc0);
    assert_false(hk_lapic_has_interrupt(apic));
}

static void odd_shapes_of_access_are_harmless(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, TPR, 0x35);
    hk_lapic_write(apic, TPR, 1, 0xff);
    hk_lapic_write(apic, TPR, 2, 0xff);
    hk_lapic_write(apic, TPR + 4, 4, 0xff);
    hk_lapic_write(apic, 0x1000, 4, 0xff);
    hk_lapic_write(apic, UINT64_MAX, 8, 0xff);
    assert_int_equal(rd(apic, TPR), 0x35);
    assert_int_equal(hk_lapic_read(apic, TPR + 4, 4), 0);
    assert_int_equal(hk_lapic_read(apic, VERSION + 2, 1) & 0xff, 5);
    assert_true(hk_lapic_read(apic, 0x1000, 4) == UINT64_MAX);
    hk_lapic_write(apic, TPR, 8, UINT64_C(0xffffffff00000040));
    assert_int_equal(rd(apic, TPR), 0x40);
}

static void apic_base_allows_only_the_legal_steps(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);
    const struct {
        uint64_t mode;
        bool ok;
    } steps[] = {
        {EXTD, false},     {EN | EXTD, true}, {EXTD, false}, {EN, false},
        {EN | EXTD, true}, {0, true},         {EXTD, false}, {EN | EXTD, false},
        {0, true},         {EN, true},        {EXTD, false}, {0, true},
        {EN, true},
    };

    for (size_t i = 0; i < HK_COUNT(steps); i++)
        assert_int_equal(
            hk_lapic_msr_write(apic, 0x1b, HK_APIC_BASE | steps[i].mode),
            steps[i].ok);
}

static void apic_base_refuses_reserved_bits(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);
    const uint64_t base = HK_APIC_BASE | EN;

    hk_apic_bus_set_phys_bits(vm->bus, 40);
    assert_false(hk_lapic_msr_write(apic, 0x1b, base | 1));
    assert_false(hk_lapic_msr_write(apic, 0x1b, base | 0x200));
    assert_false(hk_lapic_msr_write(apic, 0x1b, base | 1ull << 40));
    assert_false(hk_lapic_msr_write(apic, 0x1b, base | 1ull << 63));
    assert_true(hk_lapic_msr_write(apic, 0x1b, base | 1ull << 39));
    assert_true(hk_lapic_base(apic) == (HK_APIC_BASE | 1ull << 39));
    msr_wr(apic, 0x1b, 0xfed40000 | EN);
    assert_int_equal(hk_lapic_base(apic), 0xfed40000);
    assert_int_equal(msr_rd(apic, 0x1b), 0xfed40000 | EN);
}

static void a_disabled_apic_is_deaf_but_keeps_cr8(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 1);

    hk_lapic_set_cr8(apic, 5);
    deliver_to(state, 1, 0x81, false);
    msr_wr(apic, 0x1b, HK_APIC_BASE);
    assert_false(hk_lapic_is_mapped(apic));
    assert_false(hk_lapic_is_enabled(apic));
    assert_int_equal(rd(apic, VERSION), 0xffffffff);
    assert_false(hk_lapic_has_interrupt(apic));
    assert_int_equal(hk_lapic_get_cr8(apic), 5);
    hk_lapic_set_cr8(apic, 10);
    assert_int_equal(hk_lapic_get_cr8(apic), 10);
    wr(apic, TPR, 0);
    ipi(cpu(state, 0), 1, 0x4500);
    ipi(cpu(state, 0), 0xff, 0x4055);
    assert_int_equal(vm->vcpus[1].inits, 0);
    msr_wr(apic, 0x1b, HK_APIC_BASE | EN);
    assert_int_equal(rd(apic, SVR), 0xff);
    assert_int_equal(rd(apic, TPR), 0xa0);
}

static void x2apic_mode_hides_the_page_and_xapic_mode_the_msrs(void **state)
{
    struct hk_lapic *apic = cpu(state, 1);
    uint64_t value;

    assert_false(hk_lapic_msr_read(apic, 0x803, &value));
    assert_false(hk_lapic_msr_write(apic, 0x808, 0));
    wr(apic, ID, 9u << 24);
    go_x2apic(apic);
    assert_false(hk_lapic_is_mapped(apic));
    assert_int_equal(rd(apic, VERSION), 0xffffffff);
    wr(apic, TPR, 0x50);
    assert_int_equal(x2_rd(apic, TPR), 0);
    assert_int_equal(x2_rd(apic, VERSION), 0x50014);
    assert_int_equal(x2_rd(apic, ID), 1);
    assert_int_equal(x2_rd(apic, LDR), 2);
    assert_int_equal(x2_rd(apic, SVR), 0x1ff);
}

static void x2apic_logical_ids_are_cluster_and_bit(void **state)
{
    struct hk_apic_bus *bus;
    struct vm *vm = *state;
    struct hk_lapic *apic = NULL;

    assert_int_equal(hk_apic_bus_create(40, 1, 1, &bus), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(hk_lapic_add(bus, &host, &vm->vcpus[0], &apic), 0);
    go_x2apic(apic);
    assert_int_equal(x2_rd(apic, ID), 39);
    assert_int_equal(x2_rd(apic, LDR), 2 << 16 | 1 << 7);
    hk_apic_bus_destroy(bus);
}

static void x2apic_reserved_bits_and_registers_fault(void **state)
{
    struct hk_lapic *apic = cpu(state, 0);
    const struct {
        uint32_t reg;
        uint64_t value;
        bool ok;
    } rows[] = {
        {ID, 0, false},
        {VERSION, 0, false},
        {TPR, 0xff, true},
        {TPR, 0x100, false},
        {TPR, 1ull << 32, false},
        {0x90, 0, false},
        {PPR, 0, false},
        {EOI, 0, true},
        {EOI, 1, false},
        {0xc0, 0, false},
        {LDR, 0, false},
        {DFR, 0, false},
        {SVR, 0x1ff, true},
        {SVR, 0x11ff, false},
        {ISR, 0, false},
        {TMR, 0, false},
        {IRR, 0, false},
        {ESR, 0, true},
        {ESR, 1, false},
        {0x2f0, 0, false},
        {ICR_HIGH, 0, false},
        {ICR, 0x2000, false},
        {ICR, 0x10000, false},
        {ICR, 0x100000, false},
        {LVTT, 0x710ff, true},
        {LVTT, 0x80000, false},
        {LVTT, 0x100, false},
        {LINT0, 0x1f7ff, true},
        {LINT0, 0x800, false},
        {LVT_ERROR, 0x110ff, true},
        {LVT_ERROR, 0x100, false},
        {TMICT, 0xffffffff, true},
        {TMICT, 1ull << 32, false},
        {TMCCT, 0, false},
        {TDCR, 0xb, true},
        {TDCR, 4, false},
        {SELF_IPI, 0xff, true},
        {SELF_IPI, 0x100, false},
        {0x400, 0, false},
        {0xff0, 0, false},
    };
    const uint32_t unreadable[] = {0,   0x10,     0x90,  EOI,   0xc0,
                                   DFR, ICR_HIGH, 0x2f0, 0x3a0, SELF_IPI};
    uint64_t value;

    go_x2apic(apic);
    for (size_t i = 0; i < HK_COUNT(rows); i++)
        if (can_write(apic, rows[i].reg, rows[i].value) != rows[i].ok)
            fail_msg("register %x value %llx", rows[i].reg,
                     (unsigned long long)rows[i].value);
    for (size_t i = 0; i < HK_COUNT(unreadable); i++)
        assert_false(
            hk_lapic_msr_read(apic, 0x800 + unreadable[i] / 16, &value));
    assert_false(hk_lapic_msr_read(apic, 0x900, &value));
    assert_false(hk_lapic_msr_read(apic, 0x7ff, &value));
    assert_false(hk_lapic_msr_write(apic, 0, 0));
}

static void x2apic_ipis_have_wide_destinations(void **state)
{
    for (int i = 0; i < CPUS; i++)
        go_x2apic(cpu(state, i));
    assert_true(can_write(cpu(state, 0), ICR, 2ull << 32 | 0x55));
    assert_int_equal(x2_rd(cpu(state, 0), ICR), 2ull << 32 | 0x55);
    assert_int_equal(receivers(state, 0x55), 0x4);
    assert_true(can_write(cpu(state, 0), ICR, 0xffffffffull << 32 | 0x55));
    assert_int_equal(receivers(state, 0x55), 0xf);
    /* 255 is an ordinary ID here. */
    assert_true(can_write(cpu(state, 0), ICR, 0xffull << 32 | 0x55));
    assert_int_equal(receivers(state, 0x55), 0);
    assert_true(can_write(cpu(state, 0), ICR, 0x6ull << 32 | 0x855));
    assert_int_equal(receivers(state, 0x55), 0x6);
    assert_true(can_write(cpu(state, 0), ICR, 0x10001ull << 32 | 0x855));
    assert_int_equal(receivers(state, 0x55), 0);
    assert_true(can_write(cpu(state, 0), ICR, 0xffffffffull << 32 | 0x855));
    assert_int_equal(receivers(state, 0x55), 0xf);
}

static void the_self_ipi_register_interrupts_its_own_processor(void **state)
{
    struct vm *vm = *state;

    go_x2apic(cpu(state, 2));
    assert_true(can_write(cpu(state, 2), SELF_IPI, 0x66));
    assert_int_equal(vm->vcpus[2].wakes, 1);
    assert_int_equal(receivers(state, 0x66), 0x4);
}

static void device_messages_reach_x2apic_processors(void **state)
{
    struct vm *vm = *state;
    struct hk_apic_msg msg = {.dest = 0xff, .vector = 0x55};

    for (int i = 0; i < CPUS; i++)
        go_x2apic(cpu(state, i));
    hk_apic_bus_send(vm->bus, &msg);
    assert_int_equal(receivers(state, 0x55), 0xf);
    msg.dest = 0xd;
    msg.logical = true;
    hk_apic_bus_send(vm->bus, &msg);
    assert_int_equal(receivers(state, 0x55), 0xd);
}

static void an_msi_write_becomes_a_message(void **state)
{
    struct hk_apic_msg msg;

    hk_apic_msg_from_msi(0xfee03004, 0xc155, &msg);
    assert_int_equal(msg.dest, 3);
    assert_int_equal(msg.vector, 0x55);
    assert_int_equal(msg.mode, HK_APIC_LOWEST);
    assert_true(msg.logical);
    assert_true(msg.level);
    assert_true(msg.assert_level);
}

static void a_one_shot_timer_fires_once_on_time(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);
    uint64_t start = vm->tsc;

    wr(apic, LVTT, 0xee);
    wr(apic, TMICT, 1000);
    assert_int_equal(hk_lapic_poll_timer(apic), start + 1000 * TSC_PER_TICK);
    assert_int_equal(rd(apic, TMCCT), 1000);
    vm->tsc = start + 1000 * TSC_PER_TICK - 1;
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
    assert_int_equal(rd(apic, TMCCT), 1);
    vm->tsc++;
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    assert_int_equal(hk_lapic_ack(apic), 0xee);
    assert_int_equal(vm->vcpus[0].wakes, 1);
    wr(apic, EOI, 0);
    vm->tsc += 1000000;
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
    assert_int_equal(rd(apic, TMCCT), 0);
    assert_int_equal(rd(apic, TMICT), 1000);
}

static void every_divider_divides(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);
    const struct {
        uint32_t code, divisor;
    } rows[] = {
        {0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
        {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1},
    };

    wr(apic, LVTT, 0xee);
    for (size_t i = 0; i < HK_COUNT(rows); i++) {
        wr(apic, TDCR, rows[i].code);
        assert_int_equal(rd(apic, TDCR), rows[i].code);
        wr(apic, TMICT, 7);
        assert_int_equal(hk_lapic_poll_timer(apic),
                         vm->tsc + 7ull * rows[i].divisor * TSC_PER_TICK);
    }
    wr(apic, TDCR, 0xffffffff);
    assert_int_equal(rd(apic, TDCR), 0xb);
}

static void the_longest_count_does_not_overflow(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);
    uint64_t whole = 0xffffffffull * 128 * TSC_PER_TICK;

    vm->tsc = 1ull << 62;
    wr(apic, LVTT, 0xee);
    wr(apic, TDCR, 0xa);
    wr(apic, TMICT, 0xffffffff);
    assert_true(hk_lapic_poll_timer(apic) == vm->tsc + whole);
    vm->tsc += whole - 1;
    assert_int_equal(rd(apic, TMCCT), 1);
    vm->tsc += 1;
    hk_lapic_poll_timer(apic);
    assert_int_equal(hk_lapic_ack(apic), 0xee);
}

static void a_periodic_timer_keeps_its_phase(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);
    const uint64_t period = 300000 * TSC_PER_TICK;
    uint64_t start = vm->tsc;

    wr(apic, LVTT, PERIODIC | 0xee);
    wr(apic, TMICT, 300000);
    assert_int_equal(hk_lapic_poll_timer(apic), start + period);
    /* Polled late, and read in between: the next expiry stays in place. */
    vm->tsc = start + period + 12345;
    assert_int_equal(rd(apic, TMCCT), 300000 - 12345 / TSC_PER_TICK);
    assert_int_equal(hk_lapic_poll_timer(apic), start + 2 * period);
    assert_int_equal(hk_lapic_ack(apic), 0xee);
    wr(apic, EOI, 0);
    /* Ten periods missed give one interrupt. */
    vm->tsc = start + 12 * period + 5;
    assert_int_equal(hk_lapic_poll_timer(apic), start + 13 * period);
    assert_int_equal(hk_lapic_ack(apic), 0xee);
    wr(apic, EOI, 0);
    assert_false(hk_lapic_has_interrupt(apic));
    wr(apic, TMICT, 0);
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    assert_int_equal(rd(apic, TMCCT), 0);
}

static void a_period_of_one_tick_does_not_ask_for_endless_polls(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, PERIODIC | 0xee);
    wr(apic, TMICT, 1);
    for (int i = 0; i < 10; i++) {
        uint64_t due = hk_lapic_poll_timer(apic);

        assert_true(due >= vm->tsc + TSC_HZ / 100000);
        vm->tsc = due;
    }
}

static void changing_the_timer_mode_goes_on_with_the_count(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);
    const uint32_t count = 0x999999;

    wr(apic, LVTT, MASKED);
    wr(apic, TMICT, count);
    wr(apic, LVTT, MASKED | PERIODIC);
    assert_int_equal(rd(apic, TMICT), count);
    vm->tsc += (uint64_t)(count - 100) * TSC_PER_TICK;
    assert_int_equal(rd(apic, TMCCT), 100);
    vm->tsc += 150 * TSC_PER_TICK;
    assert_int_equal(rd(apic, TMCCT), count - 50);
    wr(apic, LVTT, MASKED);
    assert_int_equal(rd(apic, TMCCT), count - 50);
    vm->tsc += (uint64_t)count * TSC_PER_TICK;
    assert_int_equal(rd(apic, TMCCT), 0);
    wr(apic, LVTT, MASKED | PERIODIC);
    assert_int_equal(rd(apic, TMCCT), 0);
    vm->tsc += (uint64_t)count * TSC_PER_TICK;
    assert_int_equal(rd(apic, TMCCT), 0);
}

static void changing_the_divider_keeps_the_count(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, 0xee);
    wr(apic, TMICT, 1000);
    vm->tsc += 400 * TSC_PER_TICK;
    wr(apic, TDCR, 0x0);
    assert_int_equal(rd(apic, TMCCT), 600);
    assert_int_equal(hk_lapic_poll_timer(apic), vm->tsc + 1200 * TSC_PER_TICK);
}

static void a_masked_timer_counts_in_silence(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, MASKED | 0xee);
    wr(apic, TMICT, 1000);
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    vm->tsc += 2000 * TSC_PER_TICK;
    wr(apic, LVTT, 0xee); /* expired while masked: lost */
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
}

static void a_deadline_fires_once_and_then_reads_zero(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);
    uint64_t when = vm->tsc + 500;

    wr(apic, LVTT, DEADLINE | 0xef);
    msr_wr(apic, 0x6e0, when);
    assert_int_equal(msr_rd(apic, 0x6e0), when);
    assert_int_equal(hk_lapic_poll_timer(apic), when);
    assert_int_equal(rd(apic, TMCCT), 0);
    vm->tsc = when - 1;
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
    vm->tsc = when;
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    assert_int_equal(hk_lapic_ack(apic), 0xef);
    assert_int_equal(msr_rd(apic, 0x6e0), 0);
}

static void a_deadline_in_the_past_fires_at_once(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, DEADLINE | 0xef);
    msr_wr(apic, 0x6e0, vm->tsc);
    assert_int_equal(hk_lapic_ack(apic), 0xef);
    assert_int_equal(msr_rd(apic, 0x6e0), 0);
    wr(apic, EOI, 0);
    msr_wr(apic, 0x6e0, vm->tsc + 10);
    msr_wr(apic, 0x6e0, 0); /* disarmed */
    vm->tsc += 100;
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
}

static void deadline_and_count_modes_do_not_mix(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, 0xee);
    msr_wr(apic, 0x6e0, vm->tsc + 10); /* ignored in one-shot mode */
    assert_int_equal(msr_rd(apic, 0x6e0), 0);
    wr(apic, TMICT, 1000);
    wr(apic, LVTT, DEADLINE | 0xef); /* disarms */
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    wr(apic, TMICT, 5); /* ignored in deadline mode */
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    msr_wr(apic, 0x6e0, vm->tsc + 10);
    wr(apic, LVTT, 0xee); /* disarms */
    vm->tsc += 100000;
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
    assert_int_equal(msr_rd(apic, 0x6e0), 0);
    wr(apic, LVTT, PERIODIC | DEADLINE | 0xee); /* reserved: never counts */
    wr(apic, TMICT, 5);
    vm->tsc += 100000;
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    assert_false(hk_lapic_has_interrupt(apic));
}

static void a_deadline_that_passes_masked_is_disarmed(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, DEADLINE | MASKED | 0xef);
    msr_wr(apic, 0x6e0, vm->tsc + 10);
    assert_true(hk_lapic_poll_timer(apic) == UINT64_MAX);
    vm->tsc += 10;
    assert_int_equal(msr_rd(apic, 0x6e0), 0);
    wr(apic, LVTT, DEADLINE | 0xef);
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
}

static void a_timer_with_an_illegal_vector_is_an_error(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, 0x05);
    wr(apic, TMICT, 10);
    vm->tsc += 1000;
    hk_lapic_poll_timer(apic);
    assert_false(hk_lapic_has_interrupt(apic));
    wr(apic, ESR, 0);
    assert_int_equal(rd(apic, ESR), 0x40);
}

static void a_clock_that_goes_back_does_not_fire_the_timer(void **state)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, 0);

    wr(apic, LVTT, 0xee);
    wr(apic, TMICT, 1000);
    vm->tsc = 10;
    hk_lapic_poll_timer(apic);
    assert_int_equal(rd(apic, TMCCT), 1000);
    assert_false(hk_lapic_has_interrupt(apic));
}

enum { SENDERS = 3, SENDS = 300 };

struct sender {
    struct hk_lapic *apic;
    uint8_t vector;
    atomic_int received;
};

static void send_many(void *opaque)
{
    struct sender *sender = opaque;

    for (int i = 0; i < SENDS; i++) {
        ipi(sender->apic, 0, 0x4000u | sender->vector);
        while (atomic_load(&sender->received) == i)
            uv_sleep(0);
    }
}

static void
interrupts_from_many_threads_are_neither_lost_nor_doubled(void **state)
{
    struct sender senders[SENDERS];
    uv_thread_t threads[SENDERS];
    int total = 0;

    for (int i = 0; i < SENDERS; i++) {
        senders[i].apic = cpu(state, i + 1);
        senders[i].vector = (uint8_t)(0x41 + 0x10 * i);
        atomic_init(&senders[i].received, 0);
    }
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(uv_thread_create(&threads[i], send_many, &senders[i]),
                         0);
    while (total < SENDERS * SENDS) {
        if (!hk_lapic_has_interrupt(cpu(state, 0))) {
            uv_sleep(0);
            continue;
        }
        int vector = hk_lapic_ack(cpu(state, 0));
        assert_true(vector >= 0x41);
        wr(cpu(state, 0), EOI, 0);
        atomic_fetch_add(&senders[(vector - 0x41) / 0x10].received, 1);
        total++;
    }
    for (int i = 0; i < SENDERS; i++)
        uv_thread_join(&threads[i]);
    assert_false(hk_lapic_has_interrupt(cpu(state, 0)));
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void one_random_step(void **state, uint64_t *seed)
{
    struct vm *vm = *state;
    struct hk_lapic *apic = cpu(state, (int)(random_next(seed) % CPUS));
    uint64_t r = random_next(seed);
    uint64_t value = random_next(seed) >> (random_next(seed) % 64);
    uint64_t out;

    switch (r % 8) {
    case 0:
        hk_lapic_read(apic, value, 1u << (r >> 8) % 4);
        break;
    case 1:
        hk_lapic_write(apic, (r >> 8) % 0x41 * 16, 1u << (r >> 32) % 4, value);
        break;
    case 2:
        (void)!hk_lapic_msr_read(apic, 0x800 + (r >> 8) % 0x110, &out);
        break;
    case 3:
        (void)!hk_lapic_msr_write(apic, 0x800 + (r >> 8) % 0x41, value);
        break;
    case 4:
        (void)!hk_lapic_msr_write(apic, 0x1b,
                                  HK_APIC_BASE | ((r >> 8) % 4 << 10));
        break;
    case 5:
        (void)!hk_lapic_msr_write(apic, 0x6e0, vm->tsc + value);
        break;
    case 6:
        vm->tsc += value >> 20;
        break;
    default:
        hk_lapic_set_cr8(apic, (uint8_t)value);
        break;
    }
}

static void wild_accesses_keep_the_invariants(void **state)
{
    struct vm *vm = *state;
    uint64_t seed = 0x9e3779b97f4a7c15;

    for (int i = 0; i < 100000; i++) {
        one_random_step(state, &seed);
        struct hk_lapic *apic = cpu(state, i % CPUS);
        uint64_t due = hk_lapic_poll_timer(apic);
        assert_true(due > vm->tsc);
        bool has = hk_lapic_has_interrupt(apic);
        int vector = hk_lapic_ack(apic);
        assert_int_equal(has, vector >= 0);
        assert_true(vector < 256 && (vector < 0 || vector >= 16));
        assert_true(vector < 0 || (vector >> 4) > 0 + (hk_lapic_get_cr8(apic)));
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(reset_values_are_the_manuals),
    CASE(a_bus_without_clocks_or_places_is_refused),
    CASE(a_vector_goes_from_irr_to_isr_to_eoi),
    CASE(a_vector_asked_twice_is_delivered_once),
    CASE(higher_classes_interrupt_lower_ones_only),
    CASE(task_priority_holds_interrupts_back),
    CASE(trigger_mode_follows_the_last_message_and_drives_eoi),
    CASE(a_software_disabled_apic_takes_no_vectors),
    CASE(a_physical_ipi_reaches_one_or_all),
    CASE(the_delivery_status_never_reads_busy),
    CASE(shorthands_ignore_the_destination),
    CASE(flat_logical_destinations_are_bit_sets),
    CASE(a_logical_broadcast_needs_no_logical_id),
    CASE(cluster_logical_destinations_name_cluster_and_member),
    CASE(lowest_priority_picks_the_least_busy_processor),
    CASE(lowest_priority_takes_turns_among_equals),
    CASE(init_sipi_and_nmi_reach_the_vcpu),
    CASE(modes_that_mean_nothing_send_nothing),
    CASE(an_init_keeps_mode_base_and_id),
    CASE(the_xapic_id_can_be_changed_and_routes),
    CASE(illegal_vectors_are_errors_on_both_sides),
    CASE(registers_that_do_not_exist_are_errors),
    CASE(an_error_vector_that_is_illegal_does_not_recurse),
    CASE(odd_shapes_of_access_are_harmless),
    CASE(apic_base_allows_only_the_legal_steps),
    CASE(apic_base_refuses_reserved_bits),
    CASE(a_disabled_apic_is_deaf_but_keeps_cr8),
    CASE(x2apic_mode_hides_the_page_and_xapic_mode_the_msrs),
    CASE(x2apic_logical_ids_are_cluster_and_bit),
    CASE(x2apic_reserved_bits_and_registers_fault),
    CASE(x2apic_ipis_have_wide_destinations),
    CASE(the_self_ipi_register_interrupts_its_own_processor),
    CASE(device_messages_reach_x2apic_processors),
    CASE(an_msi_write_becomes_a_message),
    CASE(a_one_shot_timer_fires_once_on_time),
    CASE(every_divider_divides),
    CASE(the_longest_count_does_not_overflow),
    CASE(a_periodic_timer_keeps_its_phase),
    CASE(a_period_of_one_tick_does_not_ask_for_endless_polls),
    CASE(changing_the_timer_mode_goes_on_with_the_count),
    CASE(changing_the_divider_keeps_the_count),
    CASE(a_masked_timer_counts_in_silence),
    CASE(a_deadline_fires_once_and_then_reads_zero),
    CASE(a_deadline_in_the_past_fires_at_once),
    CASE(deadline_and_count_modes_do_not_mix),
    CASE(a_deadline_that_passes_masked_is_disarmed),
    CASE(a_timer_with_an_illegal_vector_is_an_error),
    CASE(a_clock_that_goes_back_does_not_fire_the_timer),
    CASE(interrupts_from_many_threads_are_neither_lost_nor_doubled),
    CASE(wild_accesses_keep_the_invariants),
};
HK_TEST_MAIN(cases)
