/*
 * How a restart is told from a crash.
 */
#include "hk_test.h"

#include "vmm/ending.h"

enum { ON = 0x1ff, OFF = 0x0ff, VIRTUAL_WIRE = 0x10f };

static enum hk_words words_of(const char *text)
{
    struct hk_words_scan scan = {0};
    hk_words_feed(&scan, (const uint8_t *)text, strlen(text));
    return scan.last;
}

static void the_last_line_counts(void **state)
{
    static const char panic[] = "[  1.0] Kernel panic - not syncing: Oh\r\n";
    static const char restart[] = "[  1.0] reboot: Restarting system\r\n";
    char both[200];
    (void)state;
    assert_int_equal(words_of(""), HK_WORDS_NONE);
    assert_int_equal(words_of("Kernel panic - not sync"), HK_WORDS_NONE);
    assert_int_equal(words_of(panic), HK_WORDS_PANIC);
    assert_int_equal(words_of(restart), HK_WORDS_RESTART);
    (void)snprintf(both, sizeof(both), "%s%s", panic, restart);
    assert_int_equal(words_of(both), HK_WORDS_RESTART);
    (void)snprintf(both, sizeof(both), "%s%s", restart, panic);
    assert_int_equal(words_of(both), HK_WORDS_PANIC);
}

static void a_line_may_arrive_in_any_cuts(void **state)
{
    static const char text[] = "xKernelKernel panic - not syncing: y";
    (void)state;
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct hk_words_scan scan = {0};
        hk_words_feed(&scan, (const uint8_t *)text, cut);
        hk_words_feed(&scan, (const uint8_t *)text + cut,
                      sizeof(text) - 1 - cut);
        assert_int_equal(scan.last, HK_WORDS_PANIC);
    }
}

static void a_line_may_begin_inside_a_broken_one(void **state)
{
    (void)state;
    assert_int_equal(words_of("reboot: Rereboot: Restarting system"),
                     HK_WORDS_RESTART);
    assert_int_equal(words_of("rreboot: Restarting system"), HK_WORDS_RESTART);
    assert_int_equal(words_of("reboot: Restarreboot: Restarting system"),
                     HK_WORDS_RESTART);
}

static void the_apic_switch_is_counted_since_it_was_last_on(void **state)
{
    struct hk_svr_watch watch = {0};
    (void)state;
    hk_svr_note(&watch, ON);
    assert_int_equal(watch.off_count, 0);
    hk_svr_note(&watch, OFF);
    hk_svr_note(&watch, OFF);
    assert_int_equal(watch.off_count, 2);
    hk_svr_note(&watch, ON);
    assert_int_equal(watch.off_count, 0);
    assert_false(watch.virtual_wire);
}

static void virtual_wire_needs_a_switch_off_before(void **state)
{
    struct hk_svr_watch watch = {0};
    (void)state;
    hk_svr_note(&watch, VIRTUAL_WIRE);
    assert_false(watch.virtual_wire);
    hk_svr_note(&watch, OFF);
    hk_svr_note(&watch, VIRTUAL_WIRE);
    assert_true(watch.virtual_wire);
    hk_svr_note(&watch, OFF);
    assert_false(watch.virtual_wire);
}

static struct hk_leaving leaving(uint32_t off, enum hk_pins pins,
                                 enum hk_words words)
{
    return (struct hk_leaving){
        .apic_known = true,
        .svr = {.off_count = off},
        .pins = pins,
        .words = words,
    };
}

static bool orderly(struct hk_leaving l)
{
    return hk_ending_is_orderly(&l);
}

static void a_full_shutdown_is_orderly_whatever_was_printed(void **state)
{
    struct hk_leaving wire = leaving(0, HK_PINS_CLEAR, HK_WORDS_PANIC);
    (void)state;
    assert_true(orderly(leaving(2, HK_PINS_CLEAR, HK_WORDS_NONE)));
    assert_true(orderly(leaving(2, HK_PINS_CLEAR, HK_WORDS_PANIC)));
    wire.svr.virtual_wire = true;
    assert_true(orderly(wire));
}

static void pins_in_use_mean_a_crash(void **state)
{
    (void)state;
    assert_false(orderly(leaving(1, HK_PINS_IN_USE, HK_WORDS_PANIC)));
    assert_false(orderly(leaving(1, HK_PINS_IN_USE, HK_WORDS_NONE)));
    assert_false(orderly(leaving(0, HK_PINS_IN_USE, HK_WORDS_NONE)));
    /* reboot=force skips the shutdown, but says that it restarts. */
    assert_true(orderly(leaving(0, HK_PINS_IN_USE, HK_WORDS_RESTART)));
}

static void an_early_panic_is_a_crash_with_and_without_a_console(void **state)
{
    (void)state;
    assert_false(orderly(leaving(1, HK_PINS_CLEAR, HK_WORDS_PANIC)));
    assert_false(orderly(leaving(1, HK_PINS_CLEAR, HK_WORDS_NONE)));
    assert_false(orderly(leaving(0, HK_PINS_CLEAR, HK_WORDS_PANIC)));
}

static void a_guest_without_interrupts_may_restart(void **state)
{
    (void)state;
    assert_true(orderly(leaving(0, HK_PINS_CLEAR, HK_WORDS_NONE)));
    assert_true(orderly(leaving(1, HK_PINS_CLEAR, HK_WORDS_RESTART)));
}

static void the_log_decides_where_local_apics_are_not_ours(void **state)
{
    struct hk_leaving l = {.pins = HK_PINS_CLEAR, .words = HK_WORDS_NONE};
    (void)state;
    assert_true(orderly(l));
    l.words = HK_WORDS_PANIC;
    assert_false(orderly(l));
    l.words = HK_WORDS_RESTART;
    assert_true(orderly(l));
}

static void a_triple_fault_is_meant_only_after_a_shutdown(void **state)
{
    struct hk_leaving l = leaving(2, HK_PINS_CLEAR, HK_WORDS_NONE);
    (void)state;
    assert_true(hk_ending_is_meant(&l));
    l = leaving(1, HK_PINS_CLEAR, HK_WORDS_RESTART);
    assert_false(hk_ending_is_meant(&l));
    l = leaving(0, HK_PINS_CLEAR, HK_WORDS_NONE);
    assert_false(hk_ending_is_meant(&l));
    l = leaving(2, HK_PINS_IN_USE, HK_WORDS_NONE);
    assert_false(hk_ending_is_meant(&l));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_last_line_counts),
    cmocka_unit_test(a_line_may_arrive_in_any_cuts),
    cmocka_unit_test(a_line_may_begin_inside_a_broken_one),
    cmocka_unit_test(the_apic_switch_is_counted_since_it_was_last_on),
    cmocka_unit_test(virtual_wire_needs_a_switch_off_before),
    cmocka_unit_test(a_full_shutdown_is_orderly_whatever_was_printed),
    cmocka_unit_test(pins_in_use_mean_a_crash),
    cmocka_unit_test(an_early_panic_is_a_crash_with_and_without_a_console),
    cmocka_unit_test(a_guest_without_interrupts_may_restart),
    cmocka_unit_test(the_log_decides_where_local_apics_are_not_ours),
    cmocka_unit_test(a_triple_fault_is_meant_only_after_a_shutdown),
};
HK_TEST_MAIN(cases)
