/* virtio/virtq.h: a queue behind the real transport, popped by the test. */
#include "gdrv.h"
#include "hk_test.h"

#include "base/compiler.h"

enum {
    Q = 0,
    QUEUE_SIZE = 16,
    BIG = 1, /* the index of a queue of the largest size */
    ROUNDS = 70000,
};

static const uint64_t event_idx = HK_VIRTIO_F_EVENT_IDX;
static const uint64_t indirect = HK_VIRTIO_F_INDIRECT_DESC;

/* ------------------------------------------------------------------ */
/* A device that leaves its queues to the test                        */

struct idle {
    struct hk_vdev dev;
    unsigned kicks;
};

static int idle_activate(struct hk_vdev *dev, uint64_t features)
{
    (void)dev;
    (void)features;
    return 0;
}

static void idle_kick(struct hk_vdev *dev, uint32_t index)
{
    (void)index;
    hk_container_of(dev, struct idle, dev)->kicks++;
}

static void idle_reset(struct hk_vdev *dev)
{
    hk_vdev_reset_done(dev);
}

static void idle_destroy(struct hk_vdev *dev)
{
    free(hk_container_of(dev, struct idle, dev));
}

static const struct hk_vdev_ops idle_ops = {
    .name = "idle",
    .type = 1,
    .activate = idle_activate,
    .kick = idle_kick,
    .reset = idle_reset,
    .destroy = idle_destroy,
};

static int make(struct hk_loop *loop, struct hk_pool *pool,
                struct hk_vdev **out)
{
    const struct hk_vdev_info info = {
        .queue_count = 2,
        .queue_size = {QUEUE_SIZE, HK_VIRTQ_SIZE_MAX},
    };
    struct idle *idle = calloc(1, sizeof(*idle));

    (void)pool;
    assert_non_null(idle);
    hk_vdev_init(&idle->dev, &idle_ops, loop, &info);
    *out = &idle->dev;
    return 0;
}

struct rig {
    struct gdrv g;
    struct hk_virtq *vq;
    hk_gpa_t seen_gpa; /* by the watcher of guest memory */
    uint64_t seen_len;
    unsigned seen;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    gdrv_init(&rig->g, make);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    gdrv_fini(&rig->g);
    free(rig);
    return 0;
}

static struct rig *begin(void **state, uint64_t features)
{
    struct rig *rig = *state;

    gdrv_start(&rig->g, features);
    rig->vq = hk_vdev_queue(rig->g.dev, Q);
    assert_non_null(rig->vq);
    return rig;
}

static struct hk_chain *pop(struct rig *rig)
{
    struct hk_chain *chain = NULL;

    assert_int_equal(hk_virtq_pop(rig->vq, &chain), 1);
    assert_ptr_equal(hk_chain_queue(chain), rig->vq);
    return chain;
}

static void pop_none(struct rig *rig)
{
    struct hk_chain *chain;

    assert_int_equal(hk_virtq_pop(rig->vq, &chain), 0);
}

static void pop_breaks(struct rig *rig)
{
    struct hk_chain *chain;

    assert_int_equal(hk_virtq_pop(rig->vq, &chain), -HK_EPROTO);
    assert_true(hk_vdev_is_broken(rig->g.dev));
    assert_true((gdrv_status(&rig->g) & GDRV_NEEDS_RESET) != 0);
    pop_none(rig); /* it is said once */
    assert_false(hk_virtq_has_more(rig->vq));
}

static struct gdrv_buf buffer(struct rig *rig, uint32_t len, bool writable)
{
    return (struct gdrv_buf){gdrv_alloc(&rig->g, len, 16), len, writable};
}

static struct gdrv_buf text(struct rig *rig, const char *bytes)
{
    uint32_t len = (uint32_t)strlen(bytes);
    return (struct gdrv_buf){gdrv_put(&rig->g, bytes, len), len, false};
}

/* ------------------------------------------------------------------ */
/* Chains                                                             */

static void nothing_comes_out_of_an_empty_queue(void **state)
{
    struct rig *rig = begin(state, 0);

    pop_none(rig);
    assert_false(hk_virtq_has_more(rig->vq));
    assert_int_equal(hk_virtq_size(rig->vq), QUEUE_SIZE);
    assert_int_equal(hk_virtq_index(rig->vq), Q);
    assert_int_equal(hk_virtq_in_flight(rig->vq), 0);
}

static void check_two_parts(struct rig *rig, struct hk_chain *chain,
                            const struct gdrv_buf *bufs)
{
    char in[16] = {0};
    uint8_t out[8];

    assert_int_equal(hk_chain_readable(chain), 7);
    assert_int_equal(hk_chain_writable(chain), 8);
    assert_int_equal(hk_chain_read(chain, in, 2), 2);
    assert_int_equal(hk_chain_read_left(chain), 5);
    assert_int_equal(hk_chain_read(chain, in + 2, sizeof(in) - 2), 5);
    assert_string_equal(in, "onethre");
    assert_int_equal(hk_chain_read(chain, in, 1), 0);
    assert_int_equal(hk_chain_write(chain, "abcde", 5), 5);
    assert_int_equal(hk_chain_write_left(chain), 3);
    assert_int_equal(hk_chain_write(chain, "fghij", 5), 3);
    gdrv_load(&rig->g, bufs[2].gpa, out, 3);
    gdrv_load(&rig->g, bufs[3].gpa, out + 3, 5);
    assert_memory_equal(out, "abcdefgh", 8);
}

static void bytes_cross_from_buffer_to_buffer(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf bufs[] = {text(rig, "one"), text(rig, "thre"),
                                    buffer(rig, 3, true), buffer(rig, 5, true)};

    gdrv_add(&rig->g, Q, bufs, 4);
    assert_true(hk_virtq_has_more(rig->vq));
    check_two_parts(rig, pop(rig), bufs);
    assert_int_equal(hk_virtq_in_flight(rig->vq), 1);
    pop_none(rig);
}

static void an_indirect_table_is_a_chain_too(void **state)
{
    struct rig *rig = begin(state, indirect);
    const struct gdrv_buf bufs[] = {text(rig, "one"), text(rig, "thre"),
                                    buffer(rig, 3, true), buffer(rig, 5, true)};

    gdrv_add_indirect(&rig->g, Q, bufs, 4);
    check_two_parts(rig, pop(rig), bufs);
}

static void a_chain_may_end_in_an_indirect_table(void **state)
{
    struct rig *rig = begin(state, indirect);
    struct gdrv *g = &rig->g;
    const struct gdrv_buf bufs[] = {text(rig, "one"), text(rig, "thre"),
                                    buffer(rig, 3, true), buffer(rig, 5, true)};
    hk_gpa_t table = gdrv_alloc(g, 48, 16);

    gdrv_set_desc(g, table, 0, bufs[1].gpa, 4, GDRV_DESC_NEXT, 2);
    gdrv_set_desc(g, table, 2, bufs[2].gpa, 3, GDRV_DESC_NEXT | GDRV_DESC_WRITE,
                  1);
    gdrv_set_desc(g, table, 1, bufs[3].gpa, 5, GDRV_DESC_WRITE, 0);
    gdrv_set_desc(g, g->queue[Q].desc, 4, bufs[0].gpa, 3, GDRV_DESC_NEXT, 9);
    gdrv_set_desc(g, g->queue[Q].desc, 9, table, 48, GDRV_DESC_INDIRECT, 0);
    gdrv_publish(g, Q, 4);
    check_two_parts(rig, pop(rig), bufs);
}

static void a_chain_may_be_as_long_as_the_queue(void **state)
{
    struct rig *rig = begin(state, 0);
    struct gdrv_buf bufs[QUEUE_SIZE];

    for (int i = 0; i < QUEUE_SIZE; i++)
        bufs[i] = buffer(rig, 10, i >= 8);
    gdrv_add(&rig->g, Q, bufs, QUEUE_SIZE);
    struct hk_chain *chain = pop(rig);
    assert_int_equal(hk_chain_readable(chain), 80);
    assert_int_equal(hk_chain_writable(chain), 80);
}

static void an_indirect_table_may_be_as_long_as_the_queue(void **state)
{
    struct rig *rig = begin(state, indirect);
    struct gdrv_buf bufs[QUEUE_SIZE];

    for (int i = 0; i < QUEUE_SIZE; i++)
        bufs[i] = buffer(rig, 10, true);
    gdrv_add_indirect(&rig->g, Q, bufs, QUEUE_SIZE);
    assert_int_equal(hk_chain_writable(pop(rig)), 160);
}

static void empty_descriptors_are_passed_over(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf bufs[] = {
        {GDRV_NO_RAM, 0, false}, text(rig, "ab"),      {0, 0, false},
        {UINT64_MAX, 0, true},   buffer(rig, 2, true), {0, 0, true}};
    char in[4] = {0};

    gdrv_add(&rig->g, Q, bufs, HK_COUNT(bufs));
    struct hk_chain *chain = pop(rig);
    assert_int_equal(hk_chain_read(chain, in, 4), 2);
    assert_string_equal(in, "ab");
    assert_int_equal(hk_chain_write(chain, "xyz", 3), 2);
}

static void a_buffer_may_cross_from_region_to_region(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = {GDRV_SEAM - 3, 8, true};
    struct hk_iov iov[4];
    uint8_t out[8];

    gdrv_add(&rig->g, Q, &buf, 1);
    struct hk_chain *chain = pop(rig);
    assert_int_equal(hk_chain_writable(chain), 8);
    assert_int_equal(hk_chain_write(chain, "12345678", 8), 8);
    gdrv_load(&rig->g, GDRV_SEAM - 3, out, 8);
    assert_memory_equal(out, "12345678", 8);
    hk_virtq_push(rig->vq, chain, 8);
    struct gdrv_used used;
    assert_true(gdrv_take_used(&rig->g, Q, &used));

    gdrv_add(&rig->g, Q, &buf, 1);
    chain = pop(rig);
    assert_int_equal(hk_chain_write_iov(chain, 8, iov, 4), 2);
    assert_int_equal(iov[0].len, 3);
    assert_int_equal(iov[1].len, 5);
}

static void rings_may_cross_from_region_to_region(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;
    struct gdrv_used used;

    gdrv_negotiate(g, event_idx);
    g->heap = GDRV_SEAM - 64; /* in the middle of the descriptors */
    gdrv_setup_queue(g, Q, 0);
    hk_gpa_t end = g->heap;
    gdrv_driver_ok(g);
    rig->vq = hk_vdev_queue(g->dev, Q);
    for (int i = 0; i < 3 * QUEUE_SIZE; i++) {
        const struct gdrv_buf buf = {end, 4, true};
        uint16_t head = gdrv_add(g, Q, &buf, 1);
        hk_virtq_push(rig->vq, pop(rig), 4);
        assert_true(gdrv_take_used(g, Q, &used));
        assert_int_equal(used.head, head);
    }
}

static void skip_zeroes_and_writes_in_place(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf bufs[] = {text(rig, "abcdef"), buffer(rig, 4, true),
                                    buffer(rig, 4, true)};
    uint8_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    uint8_t out[8];
    char in[4] = {0};

    gdrv_store(&rig->g, bufs[1].gpa, ones, 4);
    gdrv_store(&rig->g, bufs[2].gpa, ones, 4);
    gdrv_add(&rig->g, Q, bufs, 3);
    struct hk_chain *chain = pop(rig);
    assert_int_equal(hk_chain_skip(chain, 3), 3);
    assert_int_equal(hk_chain_read(chain, in, 3), 3);
    assert_string_equal(in, "def");
    assert_int_equal(hk_chain_skip(chain, 1), 0);
    assert_int_equal(hk_chain_write_zeroes(chain, 5), 5);
    assert_int_equal(hk_chain_write_at(chain, 7, "Z?", 2), 1);
    assert_int_equal(hk_chain_write_at(chain, 8, "?", 1), 0);
    assert_int_equal(hk_chain_write_at(chain, 9, "?", 1), 0);
    assert_int_equal(hk_chain_write_at(chain, 3, "MN", 2), 2);
    assert_int_equal(hk_chain_write_left(chain), 3); /* unmoved by it */
    gdrv_load(&rig->g, bufs[1].gpa, out, 4);
    gdrv_load(&rig->g, bufs[2].gpa, out + 4, 4);
    assert_memory_equal(out, "\0\0\0MN\1\1Z", 8);
}

static void pieces_move_the_position(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf bufs[] = {text(rig, "abc"), text(rig, "def"),
                                    text(rig, "ghi")};
    struct hk_iov iov[3];
    char in[8] = {0};

    gdrv_add(&rig->g, Q, bufs, 3);
    struct hk_chain *chain = pop(rig);
    assert_int_equal(hk_chain_read_iov(chain, 4, iov, 3), 2);
    assert_memory_equal(iov[0].base, "abc", 3);
    assert_int_equal(iov[1].len, 1);
    assert_int_equal(hk_chain_read_iov(chain, 9, iov, 1), 1); /* max */
    assert_int_equal(iov[0].len, 2);
    assert_int_equal(hk_chain_read(chain, in, 8), 3);
    assert_string_equal(in, "ghi");
    assert_int_equal(hk_chain_read_iov(chain, 1, iov, 3), 0);
    assert_int_equal(hk_chain_write_iov(chain, 1, iov, 3), 0);
}

static void on_write(void *opaque, hk_gpa_t gpa, uint64_t len)
{
    struct rig *rig = opaque;

    rig->seen++;
    rig->seen_gpa = gpa;
    rig->seen_len = len;
}

static void the_watcher_hears_of_what_was_written(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = {GDRV_SEAM, 64, true};
    struct hk_iov iov[1];

    gdrv_add(&rig->g, Q, &buf, 1);
    struct hk_chain *chain = pop(rig);
    hk_gmem_set_watch(rig->g.gmem, on_write, rig);
    assert_int_equal(hk_chain_write(chain, "abcd", 4), 4);
    assert_int_equal(rig->seen, 1);
    assert_int_equal(rig->seen_gpa, GDRV_SEAM);
    assert_int_equal(rig->seen_len, 4);
    assert_int_equal(hk_chain_write_zeroes(chain, 2), 2);
    assert_int_equal(rig->seen_gpa, GDRV_SEAM + 4);
    assert_int_equal(hk_chain_write_iov(chain, 10, iov, 1), 1);
    assert_int_equal(rig->seen, 2);
    hk_chain_wrote(chain, iov, 1);
    assert_int_equal(rig->seen_gpa, GDRV_SEAM + 6);
    assert_int_equal(rig->seen_len, 10);
}

static void a_tag_lasts_from_pop_to_push(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = buffer(rig, 4, true);

    for (int i = 0; i < 2; i++) {
        struct gdrv_used used;
        gdrv_add(&rig->g, Q, &buf, 1);
        struct hk_chain *chain = pop(rig);
        assert_int_equal(hk_chain_tag(chain), 0);
        hk_chain_set_tag(chain, 42);
        assert_int_equal(hk_chain_tag(chain), 42);
        hk_virtq_push(rig->vq, chain, 0);
        assert_true(gdrv_take_used(&rig->g, Q, &used));
    }
}

/* ------------------------------------------------------------------ */
/* The rings                                                          */

static void buffers_may_be_pushed_in_any_order(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = buffer(rig, 8, true);
    struct hk_chain *chains[3];
    uint16_t heads[3];
    struct gdrv_used used;

    for (int i = 0; i < 3; i++) {
        heads[i] = gdrv_add(&rig->g, Q, &buf, 1);
        chains[i] = pop(rig);
    }
    assert_int_equal(hk_virtq_in_flight(rig->vq), 3);
    for (uint32_t i = 3; i > 0; i--)
        hk_virtq_push(rig->vq, chains[i - 1], i);
    for (uint32_t i = 3; i > 0; i--) {
        assert_true(gdrv_take_used(&rig->g, Q, &used));
        assert_int_equal(used.head, heads[i - 1]);
        assert_int_equal(used.len, i);
    }
    assert_int_equal(hk_virtq_in_flight(rig->vq), 0);
}

static void no_more_is_reported_than_was_writable(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = buffer(rig, 8, true);
    struct gdrv_used used;

    gdrv_add(&rig->g, Q, &buf, 1);
    hk_virtq_push(rig->vq, pop(rig), 9);
    assert_true(gdrv_take_used(&rig->g, Q, &used));
    assert_int_equal(used.len, 8);
}

static void what_is_put_back_comes_out_again(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = buffer(rig, 8, true);
    struct gdrv_used used;

    uint16_t first = gdrv_add(&rig->g, Q, &buf, 1);
    gdrv_add(&rig->g, Q, &buf, 1);
    hk_virtq_unpop(rig->vq, pop(rig));
    assert_int_equal(hk_virtq_in_flight(rig->vq), 0);
    assert_true(hk_virtq_has_more(rig->vq));
    struct hk_chain *one = pop(rig);
    struct hk_chain *two = pop(rig);
    hk_virtq_unpop(rig->vq, two);
    hk_virtq_push(rig->vq, one, 0);
    assert_true(gdrv_take_used(&rig->g, Q, &used));
    assert_int_equal(used.head, first);
    hk_virtq_push(rig->vq, pop(rig), 0);
    pop_none(rig);
}

static void go_round(struct rig *rig)
{
    const struct gdrv_buf buf = buffer(rig, 8, true);
    struct gdrv_used used;

    for (int i = 0; i < ROUNDS; i++) {
        uint16_t head = gdrv_add(&rig->g, Q, &buf, 1);
        (void)gdrv_kick(&rig->g, Q);
        hk_virtq_push(rig->vq, pop(rig), 5);
        pop_none(rig);
        hk_virtq_signal(rig->vq);
        assert_true(gdrv_take_used(&rig->g, Q, &used));
        assert_int_equal(used.head, head);
        assert_int_equal(used.len, 5);
    }
}

static void the_indexes_go_round(void **state)
{
    go_round(begin(state, 0));
}

static void the_indexes_go_round_with_events(void **state)
{
    struct rig *rig = begin(state, event_idx);

    go_round(rig);
    assert_int_equal(gdrv_take_interrupts(&rig->g, NULL), 1);
}

static void with_events_one_kick_per_empty_queue(void **state)
{
    struct rig *rig = begin(state, event_idx);
    const struct gdrv_buf buf = buffer(rig, 8, true);

    gdrv_add(&rig->g, Q, &buf, 1);
    assert_true(gdrv_kick(&rig->g, Q));
    gdrv_add(&rig->g, Q, &buf, 1);
    assert_false(gdrv_kick(&rig->g, Q)); /* it has not looked yet */
    hk_virtq_push(rig->vq, pop(rig), 0);
    gdrv_add(&rig->g, Q, &buf, 1);
    assert_false(gdrv_kick(&rig->g, Q));
    hk_virtq_push(rig->vq, pop(rig), 0);
    hk_virtq_push(rig->vq, pop(rig), 0);
    pop_none(rig); /* armed from here on */
    gdrv_add(&rig->g, Q, &buf, 1);
    assert_true(gdrv_kick(&rig->g, Q));
}

static void with_events_interrupts_come_when_asked_for(void **state)
{
    struct rig *rig = begin(state, event_idx);
    struct gdrv *g = &rig->g;
    const struct gdrv_buf buf = buffer(rig, 8, true);
    hk_gpa_t event = g->queue[Q].avail + 4 + 2 * QUEUE_SIZE;

    for (int i = 0; i < 4; i++)
        gdrv_add(g, Q, &buf, 1);
    gdrv_store16(g, event, 2); /* tell me when the third is used */
    for (int i = 0; i < 4; i++) {
        hk_virtq_push(rig->vq, pop(rig), 0);
        hk_virtq_signal(rig->vq);
        assert_int_equal(gdrv_take_interrupts(g, NULL), i == 2);
    }
    hk_virtq_signal(rig->vq); /* nothing new */
    assert_int_equal(gdrv_take_interrupts(g, NULL), 0);
}

static void with_events_a_batch_that_passes_the_event_interrupts(void **state)
{
    struct rig *rig = begin(state, event_idx);
    struct gdrv *g = &rig->g;
    const struct gdrv_buf buf = buffer(rig, 8, true);

    for (int i = 0; i < 4; i++)
        gdrv_add(g, Q, &buf, 1);
    gdrv_store16(g, g->queue[Q].avail + 4 + 2 * QUEUE_SIZE, 1);
    for (int i = 0; i < 4; i++)
        hk_virtq_push(rig->vq, pop(rig), 0);
    hk_virtq_signal(rig->vq);
    assert_int_equal(gdrv_take_interrupts(g, NULL), 1);
}

static void without_events_a_flag_stops_interrupts(void **state)
{
    struct rig *rig = begin(state, 0);
    struct gdrv *g = &rig->g;
    const struct gdrv_buf buf = buffer(rig, 8, true);

    gdrv_store16(g, g->queue[Q].avail, 1);
    gdrv_add(g, Q, &buf, 1);
    hk_virtq_push(rig->vq, pop(rig), 0);
    hk_virtq_signal(rig->vq);
    assert_int_equal(gdrv_take_interrupts(g, NULL), 0);
    gdrv_store16(g, g->queue[Q].avail, 0);
    gdrv_add(g, Q, &buf, 1);
    hk_virtq_push(rig->vq, pop(rig), 0);
    hk_virtq_signal(rig->vq);
    assert_int_equal(gdrv_take_interrupts(g, NULL), 1);
}

static void unwanted_kicks_do_not_come(void **state)
{
    static const uint64_t features[] = {0, HK_VIRTIO_F_EVENT_IDX};

    for (size_t i = 0; i < HK_COUNT(features); i++) {
        struct rig *rig = begin(state, features[i]);
        const struct gdrv_buf buf = buffer(rig, 8, true);
        unsigned kicks = 0;

        hk_virtq_want_kicks(rig->vq, false);
        for (int k = 0; k < QUEUE_SIZE; k++) {
            gdrv_add(&rig->g, Q, &buf, 1);
            kicks += gdrv_kick(&rig->g, Q);
        }
        assert_true(kicks <= 1); /* the one that was asked for before */
        hk_virtq_want_kicks(rig->vq, true);
        for (int k = 0; k < QUEUE_SIZE; k++)
            hk_virtq_push(rig->vq, pop(rig), 0);
        pop_none(rig);
        struct gdrv_used used;
        while (gdrv_take_used(&rig->g, Q, &used))
            ;
        gdrv_add(&rig->g, Q, &buf, 1);
        assert_true(gdrv_kick(&rig->g, Q));
    }
}

/* ------------------------------------------------------------------ */
/* Broken rules: each stops the queue                                 */

static void publish_one(struct rig *rig, hk_gpa_t gpa, uint32_t len,
                        uint16_t flags, uint16_t next)
{
    gdrv_set_desc(&rig->g, rig->g.queue[Q].desc, 0, gpa, len, flags, next);
    gdrv_publish(&rig->g, Q, 0);
}

static void breaks_on_a_head_past_the_queue(void **state)
{
    struct rig *rig = begin(state, 0);

    gdrv_publish(&rig->g, Q, QUEUE_SIZE);
    pop_breaks(rig);
}

static void breaks_on_a_chain_longer_than_the_queue(void **state)
{
    struct rig *rig = begin(state, 0);

    publish_one(rig, 0x1000, 1, GDRV_DESC_NEXT, 0);
    pop_breaks(rig);
}

static void breaks_on_a_long_chain_through_a_table(void **state)
{
    struct rig *rig = begin(state, indirect);
    struct gdrv *g = &rig->g;
    hk_gpa_t table = gdrv_alloc(g, QUEUE_SIZE * 16, 16);

    for (uint32_t i = 0; i < QUEUE_SIZE; i++)
        gdrv_set_desc(g, table, i, 0x1000, 1,
                      i + 1 < QUEUE_SIZE ? GDRV_DESC_NEXT : 0,
                      (uint16_t)(i + 1));
    gdrv_set_desc(g, g->queue[Q].desc, 1, table, QUEUE_SIZE * 16,
                  GDRV_DESC_INDIRECT, 0);
    publish_one(rig, 0x1000, 1, GDRV_DESC_NEXT, 1); /* one before it */
    pop_breaks(rig);
}

static void breaks_on_a_link_out_of_the_table(void **state)
{
    struct rig *rig = begin(state, 0);

    publish_one(rig, 0x1000, 1, GDRV_DESC_NEXT, QUEUE_SIZE);
    pop_breaks(rig);
}

static void breaks_on_a_readable_buffer_after_a_writable_one(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf bufs[] = {buffer(rig, 4, true),
                                    buffer(rig, 4, false)};

    gdrv_add(&rig->g, Q, bufs, 2);
    pop_breaks(rig);
}

static void breaks_on_a_buffer_that_wraps(void **state)
{
    struct rig *rig = begin(state, 0);

    publish_one(rig, UINT64_MAX, 2, 0, 0);
    pop_breaks(rig);
}

static void breaks_on_a_buffer_outside_memory(void **state)
{
    struct rig *rig = begin(state, 0);

    publish_one(rig, GDRV_NO_RAM - 1, 2, 0, 0);
    pop_breaks(rig);
}

static void breaks_on_a_chain_of_more_than_4_gib(void **state)
{
    struct rig *rig = begin(state, 0);
    struct gdrv *g = &rig->g;
    const uint32_t fits = 256; /* times the memory is 4 GiB */

    rig->vq = hk_vdev_queue(g->dev, BIG);
    for (uint32_t i = 0; i <= fits; i++)
        gdrv_set_desc(g, g->queue[BIG].desc, i, 0, i < fits ? GDRV_RAM : 1,
                      i < fits ? GDRV_DESC_NEXT : 0, (uint16_t)(i + 1));
    gdrv_publish(g, BIG, 1); /* without the first: it just fits */
    struct hk_chain *chain = pop(rig);
    assert_true(hk_chain_readable(chain) < UINT64_C(1) << 32);
    hk_virtq_push(rig->vq, chain, 0);
    gdrv_publish(g, BIG, 0);
    pop_breaks(rig);
}

static void breaks_on_a_table_that_was_not_negotiated(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = buffer(rig, 4, true);

    gdrv_add_indirect(&rig->g, Q, &buf, 1);
    pop_breaks(rig);
}

static void breaks_on_a_table_in_a_table(void **state)
{
    struct rig *rig = begin(state, indirect);
    hk_gpa_t table = gdrv_alloc(&rig->g, 16, 16);

    gdrv_set_desc(&rig->g, table, 0, table, 16, GDRV_DESC_INDIRECT, 0);
    publish_one(rig, table, 16, GDRV_DESC_INDIRECT, 0);
    pop_breaks(rig);
}

static void breaks_on_a_table_with_a_link(void **state)
{
    struct rig *rig = begin(state, indirect);
    hk_gpa_t table = gdrv_alloc(&rig->g, 16, 16);

    gdrv_set_desc(&rig->g, table, 0, 0x1000, 16, 0, 0);
    publish_one(rig, table, 16, GDRV_DESC_INDIRECT | GDRV_DESC_NEXT, 1);
    pop_breaks(rig);
}

static void breaks_on_a_table_of_wrong_length(void **state)
{
    static const uint32_t lengths[] = {0, 8, 24, (QUEUE_SIZE + 1) * 16};

    for (size_t i = 0; i < HK_COUNT(lengths); i++) {
        struct rig *rig = begin(state, indirect);
        publish_one(rig, 0x1000, lengths[i], GDRV_DESC_INDIRECT, 0);
        pop_breaks(rig);
    }
}

static void breaks_on_a_table_outside_memory(void **state)
{
    struct rig *rig = begin(state, indirect);

    publish_one(rig, GDRV_NO_RAM - 16, 32, GDRV_DESC_INDIRECT, 0);
    pop_breaks(rig);
}

static void breaks_on_an_index_more_than_the_queue_ahead(void **state)
{
    struct rig *rig = begin(state, 0);

    gdrv_set_avail_idx(&rig->g, Q, QUEUE_SIZE + 1);
    pop_breaks(rig);
}

static void breaks_on_more_buffers_than_the_queue_has(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = buffer(rig, 4, true);

    for (int i = 0; i < QUEUE_SIZE; i++) {
        gdrv_add(&rig->g, Q, &buf, 1);
        (void)pop(rig);
    }
    gdrv_publish(&rig->g, Q, 0); /* none was given back */
    pop_breaks(rig);
}

static void breaks_on_a_buffer_that_is_in_use(void **state)
{
    struct rig *rig = begin(state, 0);

    publish_one(rig, 0x1000, 4, 0, 0);
    (void)pop(rig);
    gdrv_publish(&rig->g, Q, 0);
    pop_breaks(rig);
}

static void a_broken_queue_takes_back_what_was_popped(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = buffer(rig, 4, true);
    hk_gpa_t used = rig->g.queue[Q].used + 2;

    gdrv_add(&rig->g, Q, &buf, 1);
    struct hk_chain *chain = pop(rig);
    gdrv_publish(&rig->g, Q, QUEUE_SIZE);
    pop_breaks(rig);
    assert_int_equal(hk_chain_write(chain, "abcd", 4), 4); /* still memory */
    hk_virtq_push(rig->vq, chain, 4);
    hk_virtq_signal(rig->vq);
    assert_int_equal(gdrv_load16(&rig->g, used), 0); /* but nothing is told */
    assert_int_equal(hk_virtq_in_flight(rig->vq), 0);
}

static void a_descriptor_is_read_once(void **state)
{
    struct rig *rig = begin(state, 0);
    const struct gdrv_buf buf = text(rig, "abcd");
    char in[8] = {0};

    uint16_t head = gdrv_add(&rig->g, Q, &buf, 1);
    struct hk_chain *chain = pop(rig);
    gdrv_set_desc(&rig->g, rig->g.queue[Q].desc, head, GDRV_NO_RAM, 1 << 30,
                  GDRV_DESC_WRITE, 0);
    assert_int_equal(hk_chain_read(chain, in, 8), 4);
    assert_string_equal(in, "abcd");
}

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(nothing_comes_out_of_an_empty_queue),
    CASE(bytes_cross_from_buffer_to_buffer),
    CASE(an_indirect_table_is_a_chain_too),
    CASE(a_chain_may_end_in_an_indirect_table),
    CASE(a_chain_may_be_as_long_as_the_queue),
    CASE(an_indirect_table_may_be_as_long_as_the_queue),
    CASE(empty_descriptors_are_passed_over),
    CASE(a_buffer_may_cross_from_region_to_region),
    CASE(rings_may_cross_from_region_to_region),
    CASE(skip_zeroes_and_writes_in_place),
    CASE(pieces_move_the_position),
    CASE(the_watcher_hears_of_what_was_written),
    CASE(a_tag_lasts_from_pop_to_push),
    CASE(buffers_may_be_pushed_in_any_order),
    CASE(no_more_is_reported_than_was_writable),
    CASE(what_is_put_back_comes_out_again),
    CASE(the_indexes_go_round),
    CASE(the_indexes_go_round_with_events),
    CASE(with_events_one_kick_per_empty_queue),
    CASE(with_events_interrupts_come_when_asked_for),
    CASE(with_events_a_batch_that_passes_the_event_interrupts),
    CASE(without_events_a_flag_stops_interrupts),
    CASE(unwanted_kicks_do_not_come),
    CASE(breaks_on_a_head_past_the_queue),
    CASE(breaks_on_a_chain_longer_than_the_queue),
    CASE(breaks_on_a_long_chain_through_a_table),
    CASE(breaks_on_a_link_out_of_the_table),
    CASE(breaks_on_a_readable_buffer_after_a_writable_one),
    CASE(breaks_on_a_buffer_that_wraps),
    CASE(breaks_on_a_buffer_outside_memory),
    CASE(breaks_on_a_chain_of_more_than_4_gib),
    CASE(breaks_on_a_table_that_was_not_negotiated),
    CASE(breaks_on_a_table_in_a_table),
    CASE(breaks_on_a_table_with_a_link),
    CASE(breaks_on_a_table_of_wrong_length),
    CASE(breaks_on_a_table_outside_memory),
    CASE(breaks_on_an_index_more_than_the_queue_ahead),
    CASE(breaks_on_more_buffers_than_the_queue_has),
    CASE(breaks_on_a_buffer_that_is_in_use),
    CASE(a_broken_queue_takes_back_what_was_popped),
    CASE(a_descriptor_is_read_once),
};
HK_TEST_MAIN(cases)
