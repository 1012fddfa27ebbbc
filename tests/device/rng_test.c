/* virtio/rng.h behind its transport */
#include "gdrv.h"
#include "hostile.h"

#include "base/compiler.h"
#include "virtio/rng.h"

enum { QUEUE = 0, TYPE_ENTROPY = 4 };

/* The host's entropy: counts, a sequence that repeats late, failures. */
static struct {
    unsigned calls;
    unsigned fail;   /* the next so many calls fail */
    size_t greatest; /* request */
    uint64_t state;
} source;

static int read_source(void *opaque, void *to, size_t len)
{
    uint8_t *out = to;

    assert_ptr_equal(opaque, &source);
    source.calls++;
    source.greatest = len > source.greatest ? len : source.greatest;
    if (source.fail > 0) {
        source.fail--;
        memset(to, 0xaa, len / 2); /* as far as it came */
        return -HK_EIO;
    }
    for (size_t i = 0; i < len; i++) {
        source.state = source.state * 6364136223846793005u + 1;
        out[i] = (uint8_t)(source.state >> 56);
    }
    return 0;
}

static int make(struct hk_loop *loop, struct hk_pool *pool,
                struct hk_vdev **out)
{
    (void)pool;
    memset(&source, 0, sizeof(source));
    source.state = 1;
    return hk_rng_create(loop, read_source, &source, out);
}

static int setup(void **state)
{
    struct gdrv *g = malloc(sizeof(*g));

    assert_non_null(g);
    gdrv_init(g, make);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    gdrv_fini(*state);
    free(*state);
    return 0;
}

/* Every value occurs about as often as the others. */
static void check_spread(const uint8_t *bytes, size_t len)
{
    unsigned count[256] = {0};

    for (size_t i = 0; i < len; i++)
        count[bytes[i]]++;
    for (int i = 0; i < 256; i++)
        assert_in_range(count[i], 1, len / 64);
}

static void row058_buffers_are_filled_from_the_source(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[4096], more[4096];

    gdrv_start(g, 0);
    assert_int_equal(gdrv_request(g, QUEUE, NULL, 0, bytes, sizeof(bytes)),
                     sizeof(bytes));
    check_spread(bytes, sizeof(bytes));
    assert_int_equal(gdrv_request(g, QUEUE, NULL, 0, more, sizeof(more)),
                     sizeof(more));
    assert_memory_not_equal(bytes, more, sizeof(bytes));
}

static void row058_a_small_buffer_gets_no_byte_too_many(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[16];

    gdrv_start(g, 0);
    hk_gpa_t at = gdrv_alloc(g, 16, 16);
    assert_int_equal(hk_gmem_fill(g->gmem, at, 0x5a, 16), 0);
    const struct gdrv_buf bufs[] = {{at, 3, true}, {at + 8, 2, true}};
    gdrv_add(g, QUEUE, bufs, 2);
    gdrv_kick(g, QUEUE);
    gdrv_turn(g);
    struct gdrv_used used;
    assert_true(gdrv_take_used(g, QUEUE, &used));
    assert_int_equal(used.len, 5);
    gdrv_load(g, at, bytes, sizeof(bytes));
    for (int i = 3; i < 8; i++)
        assert_int_equal(bytes[i], 0x5a);
    for (int i = 10; i < 16; i++)
        assert_int_equal(bytes[i], 0x5a);
}

static void row058_a_huge_buffer_is_filled_in_part(void **state)
{
    struct gdrv *g = *state;
    struct gdrv_used used;

    gdrv_start(g, 0);
    const struct gdrv_buf buf = {0x100000, 4 << 20, true};
    gdrv_add(g, QUEUE, &buf, 1);
    gdrv_kick(g, QUEUE);
    gdrv_turn(g);
    assert_true(gdrv_take_used(g, QUEUE, &used));
    assert_int_equal(used.len, 4096);
    assert_true(source.greatest <= 4096);
}

static void row059_one_queue_of_256_and_version_1(void **state)
{
    struct gdrv *g = *state;

    assert_int_equal(gdrv_read(g, GDRV_DEVICE_ID), TYPE_ENTROPY);
    gdrv_write(g, GDRV_QUEUE_SEL, 0);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_NUM_MAX), 256);
    gdrv_write(g, GDRV_QUEUE_SEL, 1);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_NUM_MAX), 0);
    assert_int_equal(gdrv_offered(g), HK_VIRTIO_F_VERSION_1 |
                                          HK_VIRTIO_F_EVENT_IDX |
                                          HK_VIRTIO_F_INDIRECT_DESC);
}

static void row059_a_full_queue_is_served(void **state)
{
    struct gdrv *g = *state;
    struct gdrv_used used;

    gdrv_start(g, HK_VIRTIO_F_EVENT_IDX);
    const struct gdrv_buf buf = {gdrv_alloc(g, 64, 16), 64, true};
    for (int i = 0; i < 256; i++)
        gdrv_add(g, QUEUE, &buf, 1);
    gdrv_kick(g, QUEUE);
    gdrv_turn(g);
    for (int i = 0; i < 256; i++) {
        assert_true(gdrv_take_used(g, QUEUE, &used));
        assert_int_equal(used.len, 64);
    }
    assert_int_equal(gdrv_take_interrupts(g, NULL), 1);
}

static void row059_served_from_activation_to_reset(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[8];

    for (int i = 0; i < 3; i++) {
        gdrv_start(g, 0);
        assert_int_equal(gdrv_request(g, QUEUE, NULL, 0, bytes, 8), 8);
        unsigned calls = source.calls;
        gdrv_reset(g);
        gdrv_notify(g, QUEUE);
        gdrv_turn(g);
        assert_int_equal(source.calls, calls);
    }
}

static void row059_needs_its_queue_to_be_activated(void **state)
{
    struct gdrv *g = *state;

    gdrv_negotiate(g, 0);
    gdrv_write(g, GDRV_STATUS, 15);
    assert_int_equal(gdrv_status(g), 11 | GDRV_FAILED);
}

static void row060_a_failure_leaves_the_buffer_with_the_driver(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[32], zero[32] = {0};
    struct gdrv_used used;

    gdrv_start(g, 0);
    hk_gpa_t at = gdrv_alloc(g, sizeof(bytes), 16);
    assert_int_equal(hk_gmem_fill(g->gmem, at, 0, sizeof(bytes)), 0);
    const struct gdrv_buf buf = {at, sizeof(bytes), true};
    gdrv_add(g, QUEUE, &buf, 1);
    source.fail = 1;
    gdrv_kick(g, QUEUE);
    gdrv_turn(g);
    assert_false(gdrv_take_used(g, QUEUE, &used));
    assert_int_equal(gdrv_take_interrupts(g, NULL), 0);
    gdrv_load(g, at, bytes, sizeof(bytes));
    assert_memory_equal(bytes, zero, sizeof(bytes)); /* not one stale byte */
    assert_int_equal(gdrv_status(g), 15);
}

static void try_again(struct gdrv *g, uint64_t features)
{
    struct gdrv_used used;

    gdrv_start(g, features);
    const struct gdrv_buf buf = {gdrv_alloc(g, 64, 16), 32, true};
    uint16_t first = gdrv_add(g, QUEUE, &buf, 1);
    source.fail = 1;
    assert_true(gdrv_kick(g, QUEUE));
    gdrv_turn(g);
    uint16_t second = gdrv_add(g, QUEUE, &buf, 1);
    assert_true(gdrv_kick(g, QUEUE));
    gdrv_turn(g);
    assert_true(gdrv_take_used(g, QUEUE, &used));
    assert_int_equal(used.head, first);
    assert_int_equal(used.len, 32);
    assert_true(gdrv_take_used(g, QUEUE, &used));
    assert_int_equal(used.head, second);
}

static void row060_the_next_kick_tries_again(void **state)
{
    try_again(*state, 0);
}

static void row060_the_next_kick_comes_with_events_too(void **state)
{
    try_again(*state, HK_VIRTIO_F_EVENT_IDX);
}

static void a_readable_buffer_is_given_back_empty(void **state)
{
    struct gdrv *g = *state;

    gdrv_start(g, 0);
    assert_int_equal(gdrv_request(g, QUEUE, "text", 4, NULL, 0), 0);
    assert_int_equal(source.calls, 0);
}

static void polite(struct gdrv *g)
{
    uint8_t bytes[64];

    source.fail = 0;
    assert_int_equal(gdrv_request(g, QUEUE, NULL, 0, bytes, sizeof(bytes)),
                     sizeof(bytes));
    assert_true(gdrv_take_interrupts(g, NULL) > 0);
}

static struct hostile_target target = {.make = make, .polite = polite};

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(row058_buffers_are_filled_from_the_source),
    CASE(row058_a_small_buffer_gets_no_byte_too_many),
    CASE(row058_a_huge_buffer_is_filled_in_part),
    CASE(row059_one_queue_of_256_and_version_1),
    CASE(row059_a_full_queue_is_served),
    CASE(row059_served_from_activation_to_reset),
    CASE(row059_needs_its_queue_to_be_activated),
    CASE(row060_a_failure_leaves_the_buffer_with_the_driver),
    CASE(row060_the_next_kick_tries_again),
    CASE(row060_the_next_kick_comes_with_events_too),
    CASE(a_readable_buffer_is_given_back_empty),
    HOSTILE_CASES(&target),
};
HK_TEST_MAIN(cases)
