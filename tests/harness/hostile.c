#include "hostile.h"

#include "bus/bus.h"

/* ------------------------------------------------------------------ */
/* Running a verb                                                     */

typedef void (*verb_fn)(struct gdrv *g, uint32_t queue);

/* The status register tells what the device is. */
static void check_truth(struct gdrv *g)
{
    uint32_t status = gdrv_status(g);

    assert_int_equal((status & GDRV_NEEDS_RESET) != 0,
                     hk_vdev_is_broken(g->dev));
    assert_int_equal(g->line, gdrv_read(g, GDRV_INTERRUPT_STATUS) != 0);
}

/* After whatever happened: the device works again. */
static void recover(struct gdrv *g, const struct hostile_target *target)
{
    gdrv_turn(g);
    check_truth(g);
    gdrv_start(g, target->features);
    (void)gdrv_take_interrupts(g, NULL);
    target->polite(g);
    check_truth(g);
    assert_int_equal(gdrv_status(g) & (GDRV_NEEDS_RESET | GDRV_FAILED), 0);
}

static void set_up(const struct hostile_target *target, struct gdrv *g)
{
    if (target->setup != NULL)
        target->setup();
    gdrv_init(g, target->make);
}

static void tear_down(const struct hostile_target *target, struct gdrv *g)
{
    gdrv_fini(g);
    if (target->teardown != NULL)
        target->teardown();
}

/* `started`: the verb finds the device ready, else after a reset. */
static void run(void **state, verb_fn verb, bool started)
{
    static const uint64_t rings[] = {
        0,
        HK_VIRTIO_F_EVENT_IDX | HK_VIRTIO_F_INDIRECT_DESC,
    };
    const struct hostile_target *target = *state;
    struct gdrv *g = malloc(sizeof(*g));

    assert_non_null(g);
    set_up(target, g);
    for (uint32_t queue = 0; queue < g->dev->info.queue_count; queue++) {
        for (size_t i = 0; i < 2; i++) {
            gdrv_reset(g);
            if (started)
                gdrv_start(g, target->features | rings[i]);
            verb(g, queue);
            recover(g, target);
        }
    }
    tear_down(target, g);
    free(g);
}

static void run_started(void **state, verb_fn verb)
{
    run(state, verb, true);
}

static void kick_and_turn(struct gdrv *g, uint32_t queue)
{
    gdrv_notify(g, queue);
    gdrv_turn(g);
    check_truth(g);
}

/* One chain of raw descriptors at 0, published and kicked. */
struct raw {
    hk_gpa_t gpa;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

static void offer(struct gdrv *g, uint32_t queue, const struct raw *raw,
                  uint32_t count)
{
    struct gdrv_queue *q = &g->queue[queue];

    for (uint32_t i = 0; i < count && i < q->size; i++)
        gdrv_set_desc(g, q->desc, i, raw[i].gpa, raw[i].len, raw[i].flags,
                      raw[i].next);
    gdrv_publish(g, queue, 0);
    kick_and_turn(g, queue);
}

static void restart(struct gdrv *g)
{
    gdrv_start(g, g->features & ~HK_VIRTIO_F_VERSION_1);
}

/* ------------------------------------------------------------------ */
/* Chains                                                             */

static void head_past_the_queue(struct gdrv *g, uint32_t queue)
{
    gdrv_publish(g, queue, (uint16_t)g->queue[queue].size);
    kick_and_turn(g, queue);
    restart(g);
    gdrv_publish(g, queue, 0xffff);
    kick_and_turn(g, queue);
}

void hostile_head_past_the_queue(void **state)
{
    run_started(state, head_past_the_queue);
}

static void looping_chain(struct gdrv *g, uint32_t queue)
{
    const hk_gpa_t buf = gdrv_alloc(g, 64, 16);
    const struct raw self[] = {{buf, 64, GDRV_DESC_NEXT, 0}};
    const struct raw pair[] = {
        {buf, 64, GDRV_DESC_NEXT | GDRV_DESC_WRITE, 1},
        {buf, 64, GDRV_DESC_NEXT | GDRV_DESC_WRITE, 0},
    };
    const struct raw empty[] = {{buf, 0, GDRV_DESC_NEXT, 0}};

    offer(g, queue, self, 1);
    restart(g);
    offer(g, queue, pair, 2);
    restart(g);
    offer(g, queue, empty, 1);
}

void hostile_looping_chain(void **state)
{
    run_started(state, looping_chain);
}

static void link_out_of_the_table(struct gdrv *g, uint32_t queue)
{
    const hk_gpa_t buf = gdrv_alloc(g, 64, 16);
    const struct raw just[] = {
        {buf, 64, GDRV_DESC_NEXT, (uint16_t)g->queue[queue].size}};
    const struct raw far[] = {{buf, 64, GDRV_DESC_NEXT, 0xffff}};

    offer(g, queue, just, 1);
    restart(g);
    offer(g, queue, far, 1);
}

void hostile_link_out_of_the_table(void **state)
{
    run_started(state, link_out_of_the_table);
}

static void nested_indirect_table(struct gdrv *g, uint32_t queue)
{
    const hk_gpa_t buf = gdrv_alloc(g, 64, 16);
    const hk_gpa_t table = gdrv_alloc(g, 32, 16);
    const struct raw head[] = {{table, 32, GDRV_DESC_INDIRECT, 0}};

    gdrv_set_desc(g, table, 0, buf, 64, GDRV_DESC_NEXT, 1);
    gdrv_set_desc(g, table, 1, table, 32, GDRV_DESC_INDIRECT, 0);
    offer(g, queue, head, 1);
}

void hostile_nested_indirect_table(void **state)
{
    run_started(state, nested_indirect_table);
}

static void indirect_table_of_wrong_size(struct gdrv *g, uint32_t queue)
{
    const uint32_t more = (g->queue[queue].size + 1) * 16;
    const uint32_t lengths[] = {0, 1, 15, 17, more, 0xfffffff0u, 0xffffffffu};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const hk_gpa_t table = gdrv_alloc(g, more, 16);
        const struct raw head[] = {{table, lengths[i], GDRV_DESC_INDIRECT, 0}};

        offer(g, queue, head, 1);
        restart(g);
    }
    const struct raw odd[] = {{GDRV_NO_RAM - 8, 16, GDRV_DESC_INDIRECT, 0}};
    offer(g, queue, odd, 1);
    restart(g);
    const struct raw wraps[] = {{UINT64_MAX - 7, 16, GDRV_DESC_INDIRECT, 0}};
    offer(g, queue, wraps, 1);
}

void hostile_indirect_table_of_wrong_size(void **state)
{
    run_started(state, indirect_table_of_wrong_size);
}

static void indirect_table_with_a_link(struct gdrv *g, uint32_t queue)
{
    const hk_gpa_t buf = gdrv_alloc(g, 64, 16);
    const hk_gpa_t table = gdrv_alloc(g, 32, 16);
    const struct raw head[] = {
        {table, 32, GDRV_DESC_INDIRECT | GDRV_DESC_NEXT, 0}};
    const struct raw loop[] = {{table, 32, GDRV_DESC_INDIRECT, 0}};

    gdrv_set_desc(g, table, 0, buf, 64, GDRV_DESC_NEXT, 1);
    gdrv_set_desc(g, table, 1, buf, 64, GDRV_DESC_NEXT, 0);
    offer(g, queue, head, 1);
    restart(g);
    gdrv_set_desc(g, table, 0, buf, 64, GDRV_DESC_NEXT, 0);
    offer(g, queue, loop, 1);
    restart(g);
    gdrv_set_desc(g, table, 0, buf, 64, GDRV_DESC_NEXT, 2);
    offer(g, queue, loop, 1);
}

void hostile_indirect_table_with_a_link(void **state)
{
    run_started(state, indirect_table_with_a_link);
}

static void writable_before_readable(struct gdrv *g, uint32_t queue)
{
    const hk_gpa_t buf = gdrv_alloc(g, 64, 16);
    const struct raw raw[] = {
        {buf, 32, GDRV_DESC_WRITE | GDRV_DESC_NEXT, 1},
        {buf + 32, 32, 0, 0},
    };

    offer(g, queue, raw, 2);
}

void hostile_writable_before_readable(void **state)
{
    run_started(state, writable_before_readable);
}

static void length_that_wraps(struct gdrv *g, uint32_t queue)
{
    const struct raw readable[] = {{UINT64_MAX - 15, 32, 0, 0}};
    const struct raw writable[] = {
        {UINT64_MAX - 15, 0xffffffffu, GDRV_DESC_WRITE, 0}};

    offer(g, queue, readable, 1);
    restart(g);
    offer(g, queue, writable, 1);
}

void hostile_length_that_wraps(void **state)
{
    run_started(state, length_that_wraps);
}

static void chain_of_too_many_bytes(struct gdrv *g, uint32_t queue)
{
    const uint32_t size = g->queue[queue].size;

    for (uint32_t i = 0; i < size; i++) {
        uint16_t flags = i + 1 < size ? GDRV_DESC_NEXT : 0;
        gdrv_set_desc(g, g->queue[queue].desc, i, 0, GDRV_RAM, flags,
                      (uint16_t)(i + 1));
    }
    if (size >= 512) { /* else it is legal, and slow */
        gdrv_publish(g, queue, 0);
        kick_and_turn(g, queue);
    }
}

void hostile_chain_of_too_many_bytes(void **state)
{
    run_started(state, chain_of_too_many_bytes);
}

static void address_outside_memory(struct gdrv *g, uint32_t queue)
{
    const struct raw raws[] = {
        {GDRV_NO_RAM, 64, 0, 0},
        {GDRV_NO_RAM - 32, 64, GDRV_DESC_WRITE, 0},
        {GDRV_BASE, 4, 0, 0}, /* a device's registers */
        {0, 0xffffffffu, GDRV_DESC_WRITE, 0},
        {UINT64_C(1) << 63, 1, 0, 0},
    };

    for (size_t i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
        offer(g, queue, &raws[i], 1);
        restart(g);
    }
}

void hostile_address_outside_memory(void **state)
{
    run_started(state, address_outside_memory);
}

static void empty_buffers(struct gdrv *g, uint32_t queue)
{
    const struct raw readable[] = {{0x1000, 0, 0, 0}};
    const struct raw writable[] = {{0x1000, 0, GDRV_DESC_WRITE, 0}};
    const struct raw nowhere[] = {{GDRV_NO_RAM, 0, 0, 0}};

    offer(g, queue, readable, 1);
    restart(g);
    offer(g, queue, writable, 1);
    restart(g);
    offer(g, queue, nowhere, 1);
}

void hostile_empty_buffers(void **state)
{
    run_started(state, empty_buffers);
}

static void same_buffer_twice(struct gdrv *g, uint32_t queue)
{
    const hk_gpa_t buf = gdrv_alloc(g, 64, 16);

    gdrv_set_desc(g, g->queue[queue].desc, 0, buf, 64, GDRV_DESC_WRITE, 0);
    gdrv_publish(g, queue, 0);
    gdrv_publish(g, queue, 0);
    kick_and_turn(g, queue);
}

void hostile_same_buffer_twice(void **state)
{
    run_started(state, same_buffer_twice);
}

static void change_after_kick(struct gdrv *g, uint32_t queue)
{
    struct gdrv_queue *q = &g->queue[queue];
    const hk_gpa_t buf = gdrv_alloc(g, 4096, 16);
    const struct gdrv_buf bufs[] = {{buf, 2048, false},
                                    {buf + 2048, 2048, true}};

    gdrv_add(g, queue, bufs, q->size > 1 ? 2 : 1);
    gdrv_notify(g, queue);
    assert_int_equal(hk_gmem_fill(g->gmem, q->desc, 0xff, q->size * 16), 0);
    assert_int_equal(hk_gmem_fill(g->gmem, buf, 0xff, 4096), 0);
    gdrv_turn(g);
    check_truth(g);
    gdrv_notify(g, queue);
    gdrv_set_avail_idx(g, queue, 0);
    gdrv_turn(g);
}

void hostile_change_after_kick(void **state)
{
    run_started(state, change_after_kick);
}

static void available_index_jumps(struct gdrv *g, uint32_t queue)
{
    const uint16_t size = (uint16_t)g->queue[queue].size;
    const uint16_t jumps[] = {(uint16_t)(size + 1), 0x8000, 0xffff};

    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        gdrv_set_avail_idx(g, queue, jumps[i]);
        kick_and_turn(g, queue);
        restart(g);
    }
}

void hostile_available_index_jumps(void **state)
{
    run_started(state, available_index_jumps);
}

/* ------------------------------------------------------------------ */
/* The status machine and set-up                                      */

static void wrong_order_of_states(struct gdrv *g, uint32_t queue)
{
    static const uint8_t orders[][4] = {
        {GDRV_DRIVER, 0, 0, 0},
        {GDRV_DRIVER_OK, 0, 0, 0},
        {GDRV_ACKNOWLEDGE, GDRV_ACKNOWLEDGE | GDRV_DRIVER_OK, 0, 0},
        {GDRV_ACKNOWLEDGE, 3, 3 | GDRV_DRIVER_OK, 0},
        {GDRV_ACKNOWLEDGE, 3, 3 | GDRV_FAILED, 11},
        {0xff, 0x7f, 15, 4},
        {0x10, 0x20, 0x40, 0x80},
    };

    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        gdrv_reset(g);
        for (size_t k = 0; k < 4 && orders[i][k] != 0; k++)
            gdrv_write(g, GDRV_STATUS, orders[i][k]);
        assert_int_equal(gdrv_status(g) & GDRV_DRIVER_OK, 0);
        assert_false(hk_vdev_is_active(g->dev));
        gdrv_notify(g, queue);
        gdrv_turn(g);
    }
    gdrv_write(g, GDRV_STATUS, 0xffffff00u); /* not a reset */
    gdrv_start(g, 0);
    gdrv_write(g, GDRV_STATUS, GDRV_ACKNOWLEDGE); /* backwards */
    assert_int_equal(gdrv_status(g), 15);
    gdrv_write(g, GDRV_STATUS, 15 | GDRV_FAILED);
    gdrv_notify(g, queue);
    gdrv_turn(g);
}

void hostile_wrong_order_of_states(void **state)
{
    run(state, wrong_order_of_states, false);
}

static void try_features(struct gdrv *g, uint64_t features)
{
    gdrv_reset(g);
    gdrv_write(g, GDRV_STATUS, GDRV_ACKNOWLEDGE);
    gdrv_write(g, GDRV_STATUS, GDRV_ACKNOWLEDGE | GDRV_DRIVER);
    gdrv_write(g, GDRV_DRIVER_FEATURES_SEL, 1);
    gdrv_write(g, GDRV_DRIVER_FEATURES, (uint32_t)(features >> 32));
    gdrv_write(g, GDRV_DRIVER_FEATURES_SEL, 0);
    gdrv_write(g, GDRV_DRIVER_FEATURES, (uint32_t)features);
    gdrv_write(g, GDRV_STATUS, 11);
    assert_int_equal(gdrv_status(g), GDRV_ACKNOWLEDGE | GDRV_DRIVER);
}

static void feature_not_offered(struct gdrv *g, uint32_t queue)
{
    const uint64_t offered = gdrv_offered(g);

    for (unsigned bit = 0; bit < 64; bit++)
        if ((offered & (UINT64_C(1) << bit)) == 0)
            try_features(g, HK_VIRTIO_F_VERSION_1 | UINT64_C(1) << bit);
    try_features(g, offered & ~HK_VIRTIO_F_VERSION_1);
    gdrv_notify(g, queue);
}

void hostile_feature_not_offered(void **state)
{
    run(state, feature_not_offered, false);
}

static void add_some(struct gdrv *g, uint32_t queue)
{
    struct gdrv_queue *q = &g->queue[queue];
    const hk_gpa_t buf = gdrv_alloc(g, 1024, 16);
    const struct gdrv_buf bufs[] = {{buf, 512, false}, {buf + 512, 512, true}};
    const size_t per = q->size > 1 ? 2 : 1;

    while (q->free_count >= per && q->avail_idx < 8)
        gdrv_add(g, queue, bufs, per);
}

static void reset_in_flight(struct gdrv *g, uint32_t queue)
{
    add_some(g, queue);
    gdrv_notify(g, queue);
    restart(g); /* before the kick was delivered */
    add_some(g, queue);
    gdrv_notify(g, queue);
    hk_loop_turn(g->loop); /* delivered; workers may still be at it */
    hk_gpa_t used = g->queue[queue].used;
    uint16_t before = gdrv_load16(g, used + 2);
    gdrv_reset(g);
    uint16_t after = gdrv_load16(g, used + 2);
    gdrv_turn(g);
    assert_int_equal(gdrv_load16(g, used + 2), after);
    (void)before;
}

void hostile_reset_in_flight(void **state)
{
    run_started(state, reset_in_flight);
}

/* Sets a queue up with these values; true when the device took it. */
static bool try_queue(struct gdrv *g, uint32_t queue, uint32_t size,
                      hk_gpa_t desc, hk_gpa_t avail, hk_gpa_t used)
{
    gdrv_negotiate(g, 0);
    gdrv_write(g, GDRV_QUEUE_SEL, queue);
    gdrv_write(g, GDRV_QUEUE_NUM, size);
    gdrv_write64(g, GDRV_QUEUE_DESC, desc);
    gdrv_write64(g, GDRV_QUEUE_AVAIL, avail);
    gdrv_write64(g, GDRV_QUEUE_USED, used);
    gdrv_write(g, GDRV_QUEUE_READY, 1);
    bool ready = gdrv_read(g, GDRV_QUEUE_READY) == 1;
    gdrv_write(g, GDRV_STATUS, 15); /* may be refused by the device */
    gdrv_notify(g, queue);
    gdrv_turn(g);
    check_truth(g);
    return ready;
}

static void queue_of_wrong_size(struct gdrv *g, uint32_t queue)
{
    const uint32_t max = g->dev->info.queue_size[queue];
    const uint32_t sizes[] = {0,       3,       max * 2,     max + 1,
                              0x10000, 0x10001, 0x80000000u, 0xffffffffu};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_false(try_queue(g, queue, sizes[i], 0x10000, 0x20000, 0x30000));
}

void hostile_queue_of_wrong_size(void **state)
{
    run(state, queue_of_wrong_size, false);
}

static void misaligned_rings(struct gdrv *g, uint32_t queue)
{
    assert_false(try_queue(g, queue, 1, 0x10008, 0x20000, 0x30000));
    assert_false(try_queue(g, queue, 1, 0x10001, 0x20000, 0x30000));
    assert_false(try_queue(g, queue, 1, 0x10000, 0x20001, 0x30000));
    assert_false(try_queue(g, queue, 1, 0x10000, 0x20000, 0x30002));
}

void hostile_misaligned_rings(void **state)
{
    run(state, misaligned_rings, false);
}

static void rings_outside_memory(struct gdrv *g, uint32_t queue)
{
    const hk_gpa_t out[] = {GDRV_NO_RAM, GDRV_NO_RAM - 4, GDRV_BASE,
                            UINT64_MAX - 15, UINT64_C(1) << 63};

    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        const hk_gpa_t at = out[i] & ~UINT64_C(3);
        assert_false(try_queue(g, queue, 1, at & ~UINT64_C(15), 0x20000, at));
        assert_false(try_queue(g, queue, 1, 0x10000, at, 0x30000));
        assert_false(try_queue(g, queue, 1, 0x10000, 0x20000, at));
    }
}

void hostile_rings_outside_memory(void **state)
{
    run(state, rings_outside_memory, false);
}

static void ready_without_addresses(struct gdrv *g, uint32_t queue)
{
    gdrv_negotiate(g, 0);
    gdrv_write(g, GDRV_QUEUE_SEL, queue);
    gdrv_write(g, GDRV_QUEUE_READY, 1); /* not even a size */
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_READY), 0);
    /* Address 0 is memory, so this is a queue; a strange one. */
    (void)try_queue(g, queue, g->dev->info.queue_size[queue], 0, 0, 0);
}

void hostile_ready_without_addresses(void **state)
{
    run(state, ready_without_addresses, false);
}

static void rings_on_top_of_each_other(struct gdrv *g, uint32_t queue)
{
    const uint32_t max = g->dev->info.queue_size[queue];

    gdrv_negotiate(g, 0);
    for (uint32_t i = 0; i < g->dev->info.queue_count; i++)
        gdrv_setup_queue(g, i, 0);
    gdrv_write(g, GDRV_QUEUE_SEL, queue);
    gdrv_write(g, GDRV_QUEUE_READY, 0);
    const hk_gpa_t at = gdrv_alloc(g, max * 32, 16);
    gdrv_write64(g, GDRV_QUEUE_DESC, at);
    gdrv_write64(g, GDRV_QUEUE_AVAIL, at);
    gdrv_write64(g, GDRV_QUEUE_USED, at);
    gdrv_write(g, GDRV_QUEUE_READY, 1);
    g->queue[queue].desc = at;
    g->queue[queue].avail = at;
    g->queue[queue].used = at;
    gdrv_driver_ok(g);
    for (int i = 0; i < 20 && !hk_vdev_is_broken(g->dev); i++) {
        gdrv_publish(g, queue, 0);
        kick_and_turn(g, queue);
    }
}

void hostile_rings_on_top_of_each_other(void **state)
{
    run(state, rings_on_top_of_each_other, false);
}

static void kick_before_the_driver_is_ok(struct gdrv *g, uint32_t queue)
{
    gdrv_notify(g, queue);
    gdrv_turn(g);
    gdrv_negotiate(g, 0);
    gdrv_setup_queue(g, queue, 0);
    add_some(g, queue);
    gdrv_notify(g, queue);
    gdrv_turn(g);
    assert_int_equal(gdrv_load16(g, g->queue[queue].used + 2), 0);
}

void hostile_kick_before_the_driver_is_ok(void **state)
{
    run(state, kick_before_the_driver_is_ok, false);
}

static void kick_of_an_absent_queue(struct gdrv *g, uint32_t queue)
{
    (void)queue;
    gdrv_notify(g, g->dev->info.queue_count);
    gdrv_notify(g, 64);
    gdrv_notify(g, 0xffffffffu);
    gdrv_write(g, GDRV_QUEUE_SEL, g->dev->info.queue_count);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_NUM_MAX), 0);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_READY), 0);
    gdrv_write(g, GDRV_QUEUE_SEL, 0xffffffffu);
    gdrv_write(g, GDRV_QUEUE_NUM, 1);
    gdrv_write(g, GDRV_QUEUE_READY, 1);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_READY), 0);
    gdrv_turn(g);
}

void hostile_kick_of_an_absent_queue(void **state)
{
    run_started(state, kick_of_an_absent_queue);
}

static void start_without_queues(struct gdrv *g, uint32_t queue)
{
    gdrv_negotiate(g, 0);
    gdrv_write(g, GDRV_STATUS, 15); /* the device may take it or fail */
    gdrv_notify(g, queue);
    gdrv_turn(g);
    gdrv_negotiate(g, 0);
    for (uint32_t i = 0; i < g->dev->info.queue_count; i++)
        if (i != queue)
            gdrv_setup_queue(g, i, 0);
    gdrv_write(g, GDRV_STATUS, 15);
    for (uint32_t i = 0; i < g->dev->info.queue_count; i++)
        gdrv_notify(g, i);
    gdrv_turn(g);
}

void hostile_start_without_queues(void **state)
{
    run(state, start_without_queues, false);
}

/* ------------------------------------------------------------------ */
/* Everything else                                                    */

static void access_outside_configuration(struct gdrv *g, uint32_t queue)
{
    const uint32_t end = g->dev->info.config_size;
    const uint32_t last = HK_VMMIO_SIZE - GDRV_CONFIG - 8;

    (void)queue;
    for (uint32_t size = 1; size <= 8; size *= 2) {
        assert_int_equal(gdrv_config(g, end, size), 0);
        assert_int_equal(gdrv_config(g, last, size), 0);
        gdrv_set_config(g, end, size, UINT64_MAX);
        gdrv_set_config(g, last, size, UINT64_MAX);
        if (end != 0) {
            (void)gdrv_config(g, end - 1, size);
            if (size > 1)
                gdrv_set_config(g, end - 1, size, UINT64_MAX);
        }
        assert_int_equal(gdrv_config(g, end, size), 0);
    }
}

void hostile_access_outside_configuration(void **state)
{
    run_started(state, access_outside_configuration);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

enum { REGISTER_WRITES = 2000, RING_KICKS = 2000 };

static void write_random(struct gdrv *g, uint32_t *seed)
{
    static const uint32_t statuses[] = {0, 1, 3, 11, 15, 15, 11, 3, 128};
    uint32_t offset = next_random(seed) % 0x110;
    uint32_t value = next_random(seed);
    uint32_t size = 4;

    if (value % 4 != 0)
        offset &= ~3u;
    if (value % 16 == 1)
        size = 1u << (next_random(seed) % 4);
    if (value % 3 == 0)
        value %= 16;
    if (offset == GDRV_STATUS)
        value = statuses[next_random(seed) % 9];
    if (next_random(seed) % 2 == 0)
        hk_bus_write(g->bus, HK_BUS_MEM, (uint64_t)GDRV_BASE + offset, size,
                     value);
    else
        (void)hk_bus_read(g->bus, HK_BUS_MEM, (uint64_t)GDRV_BASE + offset,
                          size);
}

static void random_registers(struct gdrv *g, uint32_t queue)
{
    uint32_t seed = 7 + queue;

    for (int i = 0; i < REGISTER_WRITES; i++) {
        write_random(g, &seed);
        if (i % 16 == 0)
            gdrv_turn(g);
    }
}

void hostile_random_registers(void **state)
{
    run_started(state, random_registers);
}

/* An address that is memory most of the time. */
static hk_gpa_t random_gpa(uint32_t *seed)
{
    static const hk_gpa_t edges[] = {
        0,           GDRV_SEAM - 16,    GDRV_NO_RAM - 16,
        GDRV_NO_RAM, UINT64_C(1) << 32, UINT64_MAX - 16};

    if (next_random(seed) % 16 == 0)
        return edges[next_random(seed) % 6] + next_random(seed) % 16;
    return GDRV_SEAM / 2 + next_random(seed) % (GDRV_SEAM / 2);
}

static uint32_t random_len(uint32_t *seed)
{
    switch (next_random(seed) % 32) {
    case 0:
        return 0;
    case 1:
        return next_random(seed) << 8;
    default:
        return 1 + next_random(seed) % 300;
    }
}

static void random_descs(struct gdrv *g, uint32_t queue, uint32_t *seed,
                         const struct hostile_target *target)
{
    struct gdrv_queue *q = &g->queue[queue];

    for (int i = 0; i < 4; i++) {
        uint32_t at = next_random(seed) % q->size;
        hk_gpa_t gpa = random_gpa(seed);
        uint32_t len = random_len(seed);
        uint16_t flags = next_random(seed) % 4 & 3;

        if (next_random(seed) % 32 == 0)
            flags = (uint16_t)next_random(seed);
        gdrv_set_desc(g, q->desc, at, gpa, len, flags,
                      (uint16_t)(next_random(seed) % (q->size + 1)));
        if (target->dress != NULL && (flags & GDRV_DESC_WRITE) == 0 &&
            hk_gmem_has(g->gmem, gpa, len) && len < 0x1000)
            target->dress(g, queue, gpa, len, next_random(seed));
    }
}

static void kick_at_random(struct gdrv *g, uint32_t *seed,
                           const struct hostile_target *target)
{
    uint32_t queue = next_random(seed) % g->dev->info.queue_count;
    struct gdrv_queue *q = &g->queue[queue];

    random_descs(g, queue, seed, target);
    for (uint32_t n = next_random(seed) % 3; n > 0; n--)
        gdrv_publish(g, queue, (uint16_t)(next_random(seed) % q->size));
    if (next_random(seed) % 64 == 0)
        gdrv_set_avail_idx(g, queue, (uint16_t)next_random(seed));
    gdrv_notify(g, queue);
}

void hostile_random_rings(void **state)
{
    const struct hostile_target *target = *state;
    const uint64_t rings = HK_VIRTIO_F_EVENT_IDX | HK_VIRTIO_F_INDIRECT_DESC;
    struct gdrv *g = malloc(sizeof(*g));
    uint32_t seed = 11;

    assert_non_null(g);
    set_up(target, g);
    gdrv_start(g, target->features);
    for (int i = 0; i < RING_KICKS; i++) {
        kick_at_random(g, &seed, target);
        if (next_random(&seed) % 4 == 0)
            gdrv_turn(g);
        if (hk_vdev_is_broken(g->dev) || next_random(&seed) % 64 == 0)
            gdrv_start(g, target->features | (seed & 0x800 ? rings : 0));
    }
    recover(g, target);
    tear_down(target, g);
    free(g);
}
