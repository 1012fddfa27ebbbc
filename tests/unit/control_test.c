/*
 * The control port, with a guest's init played by the test.
 */
#include "hk_test.h"

#include "base/endian.h"
#include "console/port.h"
#include "loop/loop.h"
#include "vmm/vm_int.h"
#include "wire/console.h"

static struct hk_vm *vm;
static struct hk_port *port;
static uint8_t heard[256]; /* what init got */
static size_t heard_len;

static size_t on_input(void *opaque, const uint8_t *bytes, size_t len)
{
    (void)opaque;
    assert_true(len <= sizeof(heard) - heard_len);
    memcpy(heard + heard_len, bytes, len);
    heard_len += len;
    return len;
}

static const struct hk_port_events events = {.input = on_input};

static int set_up(void **state)
{
    (void)state;
    heard_len = 0;
    if (hk_vm_create(&vm) != 0 || hk_loop_create(&vm->machine.loop) != 0 ||
        hk_control_open(vm, &port) != 0)
        return -1;
    hk_port_listen(port, &events, NULL);
    atomic_store(&vm->was_started, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hk_control_close(vm);
    hk_port_close(port);
    hk_loop_destroy(vm->machine.loop);
    vm->machine.loop = NULL;
    hk_vm_destroy(vm);
    return 0;
}

static void init_says(uint32_t kind, uint32_t value)
{
    uint8_t record[8];
    hk_put_le32(record, kind);
    hk_put_le32(record + 4, value);
    /* in two pieces: a stream has no borders */
    assert_int_equal(hk_port_write(port, record, 3), 3);
    assert_int_equal(hk_port_write(port, record + 3, 5), 5);
}

static void init_heard(size_t number, uint32_t kind, uint32_t value)
{
    assert_true(heard_len >= 8 * (number + 1));
    assert_int_equal(hk_get_le32(heard + 8 * number), kind);
    assert_int_equal(hk_get_le32(heard + 8 * number + 4), value);
}

static void a_signal_waits_for_a_workload(void **state)
{
    (void)state;
    assert_int_equal(hk_vm_signal(vm, 15), -HK_ENOTCONN);
    init_says(HK_CONTROL_STARTED, 80);
    assert_true(vm->answered);
    assert_int_equal(hk_vm_signal(vm, 15), 0);
    assert_int_equal(heard_len, 0); /* the loop sends */
    hk_control_serve(vm);
    assert_int_equal(heard_len, 8);
    init_heard(0, HK_CONTROL_SIGNAL, 15);
}

static void several_signals_arrive_once_each(void **state)
{
    (void)state;
    init_says(HK_CONTROL_STARTED, 80);
    assert_int_equal(hk_vm_signal(vm, 64), 0);
    assert_int_equal(hk_vm_signal(vm, 1), 0);
    assert_int_equal(hk_vm_signal(vm, 1), 0);
    hk_control_serve(vm);
    hk_control_serve(vm);
    assert_int_equal(heard_len, 16);
    init_heard(0, HK_CONTROL_SIGNAL, 1);
    init_heard(1, HK_CONTROL_SIGNAL, 64);
}

static void what_is_no_signal_is_refused(void **state)
{
    (void)state;
    init_says(HK_CONTROL_STARTED, 80);
    assert_int_equal(hk_vm_signal(vm, 0), -HK_EINVAL);
    assert_int_equal(hk_vm_signal(vm, 65), -HK_EINVAL);
    assert_int_equal(hk_vm_signal(vm, -1), -HK_EINVAL);
}

static void a_workload_is_asked_to_stop(void **state)
{
    (void)state;
    init_says(HK_CONTROL_STARTED, 80);
    assert_int_equal(hk_vm_ask_stop(vm, 600000), 0);
    hk_control_serve(vm);
    init_heard(0, HK_CONTROL_STOP, 600000);
    assert_int_equal(vm->end_reason, HK_END_NONE);
    assert_int_equal(hk_vm_ask_stop(vm, 0), 0); /* it goes on as it began */
    hk_control_serve(vm);
    assert_int_equal(heard_len, 8);
}

static void without_a_workload_a_stop_is_the_end(void **state)
{
    (void)state;
    assert_int_equal(hk_vm_ask_stop(vm, 600000), 0);
    assert_true(atomic_load(&vm->kill_requested));
    assert_int_equal(heard_len, 0);
}

static void a_vm_that_was_not_started_is_not_stopped(void **state)
{
    (void)state;
    atomic_store(&vm->was_started, false);
    assert_int_equal(hk_vm_ask_stop(vm, 0), -HK_EINVAL);
    assert_false(atomic_load(&vm->kill_requested));
}

/* Init takes nothing any more: what does not fit is the end too. */
static void an_init_that_does_not_listen_is_not_waited_for(void **state)
{
    (void)state;
    init_says(HK_CONTROL_STARTED, 80);
    hk_port_calls_end(port);
    assert_int_equal(hk_vm_ask_stop(vm, 600000), 0);
    hk_control_serve(vm);
    assert_int_equal(vm->end_reason, HK_END_KILLED);
}

static void a_workload_that_cannot_start_is_an_answer(void **state)
{
    (void)state;
    init_says(HK_CONTROL_FAILED, 2);
    assert_true(vm->answered);
    assert_int_equal(hk_vm_signal(vm, 15), -HK_ENOTCONN);
}

static void records_of_the_future_are_passed_over(void **state)
{
    (void)state;
    init_says(0xffffffff, 0xffffffff);
    init_says(0, 0);
    assert_false(vm->answered);
    init_says(HK_CONTROL_STARTED, 1);
    assert_true(vm->answered);
}

static void after_the_end_nothing_is_sent(void **state)
{
    (void)state;
    init_says(HK_CONTROL_STARTED, 80);
    assert_int_equal(hk_vm_signal(vm, 15), 0);
    hk_control_close(vm);
    hk_control_serve(vm);
    assert_int_equal(heard_len, 0);
    assert_int_equal(hk_vm_signal(vm, 15), -HK_ENOTCONN);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest cases[] = {
    CASE(a_signal_waits_for_a_workload),
    CASE(several_signals_arrive_once_each),
    CASE(what_is_no_signal_is_refused),
    CASE(a_workload_is_asked_to_stop),
    CASE(without_a_workload_a_stop_is_the_end),
    CASE(a_vm_that_was_not_started_is_not_stopped),
    CASE(an_init_that_does_not_listen_is_not_waited_for),
    CASE(a_workload_that_cannot_start_is_an_answer),
    CASE(records_of_the_future_are_passed_over),
    CASE(after_the_end_nothing_is_sent),
};
HK_TEST_MAIN(cases)
