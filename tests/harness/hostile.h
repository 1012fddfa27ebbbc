/*
 * The shared hostile set: what a driver must not do, done to any device. Each
 * case is run on each of the device's queues, with and without the event
 * index and indirect tables, and holds when the host lives, the status
 * register tells the truth, and a reset makes the device work again: then
 * `polite` is called on a started device and asserts a round trip.
 *
 *     static struct hostile_target target = {
 *         .make = make_rng, .polite = polite};
 *
 *     static const struct CMUnitTest cases[] = {
 *         ...
 *         HOSTILE_CASES(&target),
 *     };
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "gdrv.h"
#include "hk_test.h"

struct hostile_target {
    gdrv_make_fn make;
    void (*polite)(struct gdrv *g);
    uint64_t features; /* of the device's own that polite and the rest take */
    /*
     * Optional: makes the bytes of a readable buffer look like a request, so
     * that garbage gets past the first check. `seed` is a random number.
     */
    void (*dress)(struct gdrv *g, uint32_t queue, hk_gpa_t at, uint32_t len,
                  uint32_t seed);
    /* Optional: a fixture of the device's own (a folder, a disk). */
    void (*setup)(void);
    void (*teardown)(void);
};

void hostile_head_past_the_queue(void **state);
void hostile_looping_chain(void **state);
void hostile_link_out_of_the_table(void **state);
void hostile_nested_indirect_table(void **state);
void hostile_indirect_table_of_wrong_size(void **state);
void hostile_indirect_table_with_a_link(void **state);
void hostile_writable_before_readable(void **state);
void hostile_length_that_wraps(void **state);
void hostile_chain_of_too_many_bytes(void **state);
void hostile_address_outside_memory(void **state);
void hostile_empty_buffers(void **state);
void hostile_same_buffer_twice(void **state);
void hostile_change_after_kick(void **state);
void hostile_available_index_jumps(void **state);
void hostile_wrong_order_of_states(void **state);
void hostile_feature_not_offered(void **state);
void hostile_reset_in_flight(void **state);
void hostile_queue_of_wrong_size(void **state);
void hostile_misaligned_rings(void **state);
void hostile_rings_outside_memory(void **state);
void hostile_ready_without_addresses(void **state);
void hostile_rings_on_top_of_each_other(void **state);
void hostile_kick_before_the_driver_is_ok(void **state);
void hostile_kick_of_an_absent_queue(void **state);
void hostile_start_without_queues(void **state);
void hostile_access_outside_configuration(void **state);
void hostile_random_registers(void **state);
void hostile_random_rings(void **state);

#define HOSTILE_CASE(function, target) \
    cmocka_unit_test_prestate(function, target)

/* The whole set as entries of a list of cases. */
#define HOSTILE_CASES(target)                                       \
    HOSTILE_CASE(hostile_head_past_the_queue, target),              \
        HOSTILE_CASE(hostile_looping_chain, target),                \
        HOSTILE_CASE(hostile_link_out_of_the_table, target),        \
        HOSTILE_CASE(hostile_nested_indirect_table, target),        \
        HOSTILE_CASE(hostile_indirect_table_of_wrong_size, target), \
        HOSTILE_CASE(hostile_indirect_table_with_a_link, target),   \
        HOSTILE_CASE(hostile_writable_before_readable, target),     \
        HOSTILE_CASE(hostile_length_that_wraps, target),            \
        HOSTILE_CASE(hostile_chain_of_too_many_bytes, target),      \
        HOSTILE_CASE(hostile_address_outside_memory, target),       \
        HOSTILE_CASE(hostile_empty_buffers, target),                \
        HOSTILE_CASE(hostile_same_buffer_twice, target),            \
        HOSTILE_CASE(hostile_change_after_kick, target),            \
        HOSTILE_CASE(hostile_available_index_jumps, target),        \
        HOSTILE_CASE(hostile_wrong_order_of_states, target),        \
        HOSTILE_CASE(hostile_feature_not_offered, target),          \
        HOSTILE_CASE(hostile_reset_in_flight, target),              \
        HOSTILE_CASE(hostile_queue_of_wrong_size, target),          \
        HOSTILE_CASE(hostile_misaligned_rings, target),             \
        HOSTILE_CASE(hostile_rings_outside_memory, target),         \
        HOSTILE_CASE(hostile_ready_without_addresses, target),      \
        HOSTILE_CASE(hostile_rings_on_top_of_each_other, target),   \
        HOSTILE_CASE(hostile_kick_before_the_driver_is_ok, target), \
        HOSTILE_CASE(hostile_kick_of_an_absent_queue, target),      \
        HOSTILE_CASE(hostile_start_without_queues, target),         \
        HOSTILE_CASE(hostile_access_outside_configuration, target), \
        HOSTILE_CASE(hostile_random_registers, target),             \
        HOSTILE_CASE(hostile_random_rings, target)

#endif
