/* virtio/mmio.h and virtio/device.h, with a device that does what it is told */
#include "gdrv.h"
#include "hostile.h"

#include "base/compiler.h"
#include "base/log.h"
#include "bus/bus.h"

#include <stdatomic.h>
#include <uv.h>

enum { QUEUES = 3, QUEUE_SIZE = 8, CONFIG_BYTES = 20, TYPE = 42, OWN = 1 << 3 };

/* Echoes: each readable byte of a buffer comes back in its writable part. */
struct echo {
    struct hk_vdev dev;
    struct hk_loop *loop;
    int activate_rc;
    bool defer_reset;
    bool resetting;
    bool again;           /* ask for another kick from each kick */
    struct gdrv *meddler; /* its registers are written during activate */
    unsigned activations;
    unsigned resets;
    unsigned drains;
    unsigned kicks[QUEUES];
    uint64_t features;
    unsigned config_writes;
    uint32_t config_offset;
    uint32_t config_len;
    uint8_t config_bytes[8];
};

static struct echo *of_dev(struct hk_vdev *dev)
{
    return hk_container_of(dev, struct echo, dev);
}

static int echo_activate(struct hk_vdev *dev, uint64_t features)
{
    struct echo *echo = of_dev(dev);

    echo->activations++;
    echo->features = features;
    if (echo->meddler != NULL) {
        gdrv_write(echo->meddler, GDRV_QUEUE_SEL, 1);
        gdrv_write(echo->meddler, GDRV_QUEUE_READY, 0);
        gdrv_write(echo->meddler, GDRV_DRIVER_FEATURES, 0);
    }
    return echo->activate_rc;
}

static void echo_kick(struct hk_vdev *dev, uint32_t index)
{
    struct hk_virtq *vq = hk_vdev_queue(dev, index);
    struct hk_chain *chain;
    struct echo *echo = of_dev(dev);

    echo->kicks[index]++;
    while (hk_virtq_pop(vq, &chain) == 1) {
        uint8_t bytes[256];
        size_t len = hk_chain_read(chain, bytes, sizeof(bytes));
        len = hk_chain_write(chain, bytes, len);
        hk_virtq_push(vq, chain, (uint32_t)len);
    }
    hk_virtq_signal(vq);
    if (echo->again)
        hk_vdev_kick_again(dev, index);
    echo->again = false;
}

static void echo_config(struct hk_vdev *dev, uint32_t offset,
                        const uint8_t *bytes, uint32_t len)
{
    struct echo *echo = of_dev(dev);

    echo->config_writes++;
    echo->config_offset = offset;
    echo->config_len = len;
    memcpy(echo->config_bytes, bytes, len);
}

static void echo_reset(struct hk_vdev *dev)
{
    struct echo *echo = of_dev(dev);

    echo->resets++;
    echo->resetting = echo->defer_reset;
    if (!echo->defer_reset)
        hk_vdev_reset_done(dev);
}

static void finish_reset(void *opaque)
{
    struct echo *echo = opaque;

    if (echo->resetting) {
        echo->resetting = false;
        hk_vdev_reset_done(&echo->dev);
    }
}

static void echo_drain(struct hk_vdev *dev)
{
    of_dev(dev)->drains++;
}

static void echo_destroy(struct hk_vdev *dev)
{
    free(of_dev(dev));
}

static const struct hk_vdev_ops echo_ops = {
    .name = "echo",
    .type = TYPE,
    .activate = echo_activate,
    .kick = echo_kick,
    .config = echo_config,
    .reset = echo_reset,
    .drain = echo_drain,
    .destroy = echo_destroy,
};

static int make(struct hk_loop *loop, struct hk_pool *pool,
                struct hk_vdev **out)
{
    static const uint8_t config[CONFIG_BYTES] = {1, 2, 3,  4,  5,  6, 7,
                                                 8, 9, 10, 11, 12, 13};
    const struct hk_vdev_info info = {
        .features = OWN,
        .queue_count = QUEUES,
        .queue_size = {QUEUE_SIZE, QUEUE_SIZE * 2, 1},
        .config_size = CONFIG_BYTES,
        .config = config,
    };
    struct echo *echo = calloc(1, sizeof(*echo));

    (void)pool;
    assert_non_null(echo);
    echo->loop = loop;
    hk_vdev_init(&echo->dev, &echo_ops, loop, &info);
    *out = &echo->dev;
    return 0;
}

struct rig {
    struct gdrv g;
    struct echo *echo;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    gdrv_init(&rig->g, make);
    rig->echo = of_dev(rig->g.dev);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    rig->echo->defer_reset = false;
    gdrv_fini(&rig->g);
    free(rig);
    return 0;
}

static void check_echo(struct gdrv *g, uint32_t queue)
{
    char back[6] = {0};

    assert_int_equal(gdrv_request(g, queue, "hello", 5, back, 5), 5);
    assert_string_equal(back, "hello");
}

/* ------------------------------------------------------------------ */
/* Registers                                                          */

static void says_what_it_is(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    assert_int_equal(gdrv_read(g, GDRV_MAGIC), 0x74726976);
    assert_int_equal(gdrv_read(g, GDRV_VERSION), 2);
    assert_int_equal(gdrv_read(g, GDRV_DEVICE_ID), TYPE);
    assert_int_equal(gdrv_read(g, GDRV_VENDOR_ID), 0);
    assert_int_equal(gdrv_status(g), 0);
}

static void has_no_shared_memory(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    for (uint32_t id = 0; id < 3; id++) {
        gdrv_write(g, GDRV_SHM_SEL, id);
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(gdrv_read(g, GDRV_SHM_LEN + 4 * i), 0xffffffff);
    }
}

static void queues_have_their_own_largest_sizes(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;
    static const uint32_t sizes[] = {QUEUE_SIZE, QUEUE_SIZE * 2, 1, 0};

    for (uint32_t i = 0; i < HK_COUNT(sizes); i++) {
        gdrv_write(g, GDRV_QUEUE_SEL, i);
        assert_int_equal(gdrv_read(g, GDRV_QUEUE_NUM_MAX), sizes[i]);
    }
}

static void offers_what_the_device_has_and_the_core_adds(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    assert_int_equal(gdrv_offered(g), OWN | HK_VIRTIO_F_VERSION_1 |
                                          HK_VIRTIO_F_EVENT_IDX |
                                          HK_VIRTIO_F_INDIRECT_DESC);
    gdrv_write(g, GDRV_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(gdrv_read(g, GDRV_DEVICE_FEATURES), 0);
}

static void only_whole_aligned_registers_can_be_read(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    assert_int_equal(hk_bus_read(g->bus, HK_BUS_MEM, GDRV_BASE, 1), 0);
    assert_int_equal(hk_bus_read(g->bus, HK_BUS_MEM, GDRV_BASE, 8), 0);
    assert_int_equal(hk_bus_read(g->bus, HK_BUS_MEM, GDRV_BASE + 1, 4), 0);
    hk_bus_write(g->bus, HK_BUS_MEM, GDRV_BASE + GDRV_STATUS, 1, 1);
    assert_int_equal(gdrv_status(g), 0);
}

/* ------------------------------------------------------------------ */
/* The status machine                                                 */

static void climbs_one_step_at_a_time(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    gdrv_negotiate(g, OWN);
    gdrv_setup_queue(g, 0, 0);
    assert_int_equal(rig->echo->activations, 0);
    gdrv_driver_ok(g);
    assert_int_equal(rig->echo->activations, 1);
    assert_int_equal(rig->echo->features, OWN | HK_VIRTIO_F_VERSION_1);
    assert_int_equal(hk_vdev_features(g->dev), rig->echo->features);
    assert_true(hk_vdev_is_active(g->dev));
    gdrv_driver_ok(g); /* the same again is no step */
    assert_int_equal(rig->echo->activations, 1);
}

static void steps_that_are_none_change_nothing(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;
    static const struct {
        uint32_t from, to;
    } steps[] = {{0, 2},  {0, 3}, {0, 15}, {1, 9},  {1, 15}, {3, 7},
                 {3, 15}, {3, 1}, {11, 3}, {11, 7}, {1, 17}, {3, 0x103}};

    for (size_t i = 0; i < HK_COUNT(steps); i++) {
        gdrv_reset(g);
        if (steps[i].from == 11) {
            gdrv_negotiate(g, 0);
        } else {
            if (steps[i].from >= 1)
                gdrv_write(g, GDRV_STATUS, 1);
            if (steps[i].from >= 3)
                gdrv_write(g, GDRV_STATUS, 3);
        }
        gdrv_write(g, GDRV_STATUS, steps[i].to);
        assert_int_equal(gdrv_status(g), steps[i].from);
    }
}

static void after_failed_only_a_reset_helps(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    gdrv_write(g, GDRV_STATUS, 1);
    gdrv_write(g, GDRV_STATUS, 1 | GDRV_FAILED);
    assert_int_equal(gdrv_status(g), 1 | GDRV_FAILED);
    gdrv_write(g, GDRV_STATUS, 3);
    assert_int_equal(gdrv_status(g), 1 | GDRV_FAILED);
    gdrv_start(g, 0);
    check_echo(g, 0);
}

static void row131_a_failed_activation_sets_failed(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    rig->echo->activate_rc = -HK_EIO;
    gdrv_negotiate(g, 0);
    gdrv_setup_queue(g, 0, 0);
    gdrv_write(g, GDRV_STATUS, 15);
    assert_int_equal(gdrv_status(g), 11 | GDRV_FAILED);
    assert_false(hk_vdev_is_active(g->dev));
    assert_null(hk_vdev_queue(g->dev, 0));
    gdrv_notify(g, 0);
    gdrv_turn(g);
    assert_int_equal(rig->echo->kicks[0], 0);
}

static unsigned log_lines;

static void on_log(void *opaque, enum hk_log_level level, const char *tag,
                   const char *message)
{
    (void)opaque;
    (void)level;
    (void)tag;
    if (strstr(message, "echo: cannot be activated") != NULL)
        log_lines++;
}

static void row131_a_failed_activation_is_logged(void **state)
{
    struct rig *rig = *state;

    log_lines = 0;
    hk_log_set_sink(on_log, NULL);
    rig->echo->activate_rc = -HK_EIO;
    gdrv_negotiate(&rig->g, 0);
    gdrv_write(&rig->g, GDRV_STATUS, 15);
    hk_log_set_sink(NULL, NULL);
    assert_int_equal(log_lines, 1);
}

static void row131_after_a_failed_activation_a_reset_helps(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    rig->echo->activate_rc = -HK_EIO;
    gdrv_negotiate(g, 0);
    gdrv_write(g, GDRV_STATUS, 15);
    rig->echo->activate_rc = 0;
    gdrv_start(g, 0);
    assert_int_equal(rig->echo->resets, 0); /* there was nothing to reset */
    check_echo(g, 0);
}

static void row131_a_good_activation_sets_driver_ok(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    gdrv_start(g, 0);
    assert_int_equal(gdrv_status(g), 15);
}

static void features_are_chosen_in_their_state_only(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    gdrv_write(g, GDRV_DRIVER_FEATURES, OWN); /* too early */
    gdrv_negotiate(g, 0);
    gdrv_write(g, GDRV_DRIVER_FEATURES, OWN); /* too late */
    gdrv_driver_ok(g);
    assert_int_equal(rig->echo->features, HK_VIRTIO_F_VERSION_1);
}

static void features_beyond_the_words_are_zero(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    gdrv_write(g, GDRV_STATUS, 1);
    gdrv_write(g, GDRV_STATUS, 3);
    gdrv_write(g, GDRV_DRIVER_FEATURES_SEL, 1);
    gdrv_write(g, GDRV_DRIVER_FEATURES, 1);
    gdrv_write(g, GDRV_DRIVER_FEATURES_SEL, 3);
    gdrv_write(g, GDRV_DRIVER_FEATURES, 0xffffffff);
    gdrv_write(g, GDRV_STATUS, 11);
    gdrv_driver_ok(g);
    assert_int_equal(rig->echo->features, HK_VIRTIO_F_VERSION_1);
}

static void a_ready_queue_keeps_its_geometry(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    gdrv_negotiate(g, 0);
    for (uint32_t i = 0; i < QUEUES; i++)
        gdrv_setup_queue(g, i, 0);
    gdrv_write(g, GDRV_QUEUE_SEL, 0);
    gdrv_write(g, GDRV_QUEUE_NUM, 1);
    gdrv_write64(g, GDRV_QUEUE_DESC, 0x40);
    gdrv_write64(g, GDRV_QUEUE_AVAIL, GDRV_NO_RAM);
    gdrv_driver_ok(g);
    gdrv_write64(g, GDRV_QUEUE_USED, 0);
    gdrv_write(g, GDRV_QUEUE_READY, 0);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_READY), 1);
    for (int i = 0; i < 20; i++)
        check_echo(g, 0);
}

static void registers_are_frozen_during_activation(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    rig->echo->meddler = g;
    gdrv_start(g, OWN);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_READY), 1);
    gdrv_notify(g, 1); /* is delivered only to a ready queue */
    gdrv_turn(g);
    assert_int_equal(rig->echo->kicks[1], 1);
    rig->echo->meddler = NULL;
}

static void a_queue_may_be_smaller_than_offered(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    gdrv_negotiate(g, 0);
    gdrv_setup_queue(g, 1, 2);
    gdrv_driver_ok(g);
    assert_int_equal(hk_virtq_size(hk_vdev_queue(g->dev, 1)), 2);
    assert_null(hk_vdev_queue(g->dev, 0));
    assert_null(hk_vdev_queue(g->dev, QUEUES));
    for (int i = 0; i < 10; i++)
        check_echo(g, 1);
}

/* ------------------------------------------------------------------ */
/* Kicks and interrupts                                               */

static void many_kicks_at_once_are_one(void **state)
{
    struct rig *rig = *state;

    gdrv_start(&rig->g, 0);
    for (int i = 0; i < 1000; i++)
        gdrv_notify(&rig->g, i % 2);
    gdrv_turn(&rig->g);
    assert_int_equal(rig->echo->kicks[0], 1);
    assert_int_equal(rig->echo->kicks[1], 1);
    assert_int_equal(rig->echo->kicks[2], 0);
}

static void note_order(void *opaque)
{
    struct echo *echo = opaque;

    assert_int_equal(echo->kicks[0], 1);
    echo->kicks[1] = 77;
}

static void kick_again_lets_others_have_their_turn(void **state)
{
    struct rig *rig = *state;

    gdrv_start(&rig->g, 0);
    rig->echo->again = true;
    gdrv_notify(&rig->g, 0);
    assert_int_equal(hk_loop_post(rig->g.loop, note_order, rig->echo), 0);
    gdrv_turn(&rig->g);
    assert_int_equal(rig->echo->kicks[0], 2);
    assert_int_equal(rig->echo->kicks[1], 77);
}

static void a_kick_from_before_a_reset_is_forgotten(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    gdrv_start(g, 0);
    gdrv_notify(g, 0);
    gdrv_reset(g);
    gdrv_turn(g);
    assert_int_equal(rig->echo->kicks[0], 0);
}

static void the_line_is_high_until_all_is_acknowledged(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;
    const uint8_t byte = 99;

    gdrv_start(g, 0);
    check_echo(g, 0);
    assert_true(g->line);
    assert_int_equal(gdrv_read(g, GDRV_INTERRUPT_STATUS), 1);
    hk_vdev_set_config(g->dev, 0, &byte, 1, true);
    assert_int_equal(gdrv_read(g, GDRV_INTERRUPT_STATUS), 3);
    assert_int_equal(g->rises, 1);
    gdrv_write(g, GDRV_INTERRUPT_ACK, 1);
    assert_int_equal(gdrv_read(g, GDRV_INTERRUPT_STATUS), 2);
    assert_true(g->line);
    assert_int_equal(g->rises, 2); /* a new edge for what is left */
    gdrv_write(g, GDRV_INTERRUPT_ACK, 2);
    assert_false(g->line);
    gdrv_write(g, GDRV_INTERRUPT_ACK, 3);
    assert_int_equal(g->rises, 2);
}

static void a_reset_lowers_the_line(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    gdrv_start(g, 0);
    check_echo(g, 0);
    assert_true(g->line);
    gdrv_reset(g);
    assert_false(g->line);
    assert_int_equal(gdrv_read(g, GDRV_INTERRUPT_STATUS), 0);
}

/* ------------------------------------------------------------------ */
/* The configuration space                                            */

static void configuration_is_read_in_any_width(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;

    assert_int_equal(gdrv_config(g, 0, 1), 1);
    assert_int_equal(gdrv_config(g, 2, 2), 0x0403);
    assert_int_equal(gdrv_config(g, 4, 4), 0x08070605);
    assert_int_equal(gdrv_config(g, 0, 8), UINT64_C(0x0807060504030201));
    assert_int_equal(gdrv_config(g, 1, 2), 0x0302);
    assert_int_equal(gdrv_config(g, CONFIG_BYTES - 1, 4), 0);
    assert_int_equal(gdrv_config(g, 12, 8), 13); /* zero after the end */
}

static void a_change_raises_the_generation(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;
    const uint8_t same = 1, other = 200;

    gdrv_start(g, 0);
    uint32_t generation = gdrv_read(g, GDRV_CONFIG_GENERATION);
    hk_vdev_set_config(g->dev, 0, &same, 1, true);
    assert_int_equal(gdrv_read(g, GDRV_CONFIG_GENERATION), generation);
    assert_int_equal(gdrv_take_interrupts(g, NULL), 0);
    hk_vdev_set_config(g->dev, 0, &other, 1, false);
    assert_int_equal(gdrv_read(g, GDRV_CONFIG_GENERATION), generation + 1);
    assert_int_equal(gdrv_take_interrupts(g, NULL), 0);
    hk_vdev_set_config(g->dev, 0, &same, 1, true);
    assert_int_equal(gdrv_read(g, GDRV_CONFIG_GENERATION), generation + 2);
    uint32_t bits;
    assert_int_equal(gdrv_take_interrupts(g, &bits), 1);
    assert_int_equal(bits, 2);
}

static void nobody_is_told_of_a_change_before_activation(void **state)
{
    struct gdrv *g = &((struct rig *)*state)->g;
    const uint8_t other = 200;

    hk_vdev_set_config(g->dev, 0, &other, 1, true);
    assert_int_equal(g->rises, 0);
    assert_int_equal(gdrv_config(g, 0, 1), 200);
}

static void the_device_gets_what_the_driver_writes(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;

    gdrv_set_config(g, 0, 4, 1); /* no driver yet */
    assert_int_equal(rig->echo->config_writes, 0);
    gdrv_start(g, 0);
    gdrv_set_config(g, 6, 2, 0xabcd);
    assert_int_equal(rig->echo->config_writes, 1);
    assert_int_equal(rig->echo->config_offset, 6);
    assert_int_equal(rig->echo->config_len, 2);
    assert_int_equal(rig->echo->config_bytes[0], 0xcd);
    assert_int_equal(rig->echo->config_bytes[1], 0xab);
    assert_int_equal(gdrv_config(g, 6, 2), 0x0807); /* it did not keep them */
    gdrv_set_config(g, CONFIG_BYTES - 1, 2, 1);
    gdrv_set_config(g, CONFIG_BYTES, 1, 1);
    assert_int_equal(rig->echo->config_writes, 1);
}

/* ------------------------------------------------------------------ */
/* Broken devices, resets, the end                                    */

static void a_broken_device_says_so_and_stops(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;
    uint32_t bits;

    gdrv_start(g, 0);
    gdrv_publish(g, 0, QUEUE_SIZE);
    gdrv_notify(g, 0);
    gdrv_turn(g);
    assert_int_equal(gdrv_status(g), 15 | GDRV_NEEDS_RESET);
    assert_int_equal(gdrv_take_interrupts(g, &bits), 1);
    assert_int_equal(bits, 2);
    gdrv_notify(g, 0);
    gdrv_notify(g, 1);
    gdrv_turn(g);
    assert_int_equal(rig->echo->kicks[0], 1);
    assert_int_equal(rig->echo->kicks[1], 0);
    gdrv_set_config(g, 0, 1, 1);
    assert_int_equal(rig->echo->config_writes, 0);
    gdrv_start(g, 0);
    assert_int_equal(rig->echo->resets, 1);
    check_echo(g, 0);
    check_echo(g, 1);
}

static void a_reset_may_take_its_time(void **state)
{
    struct rig *rig = *state;
    struct hk_timer *timer;

    gdrv_start(&rig->g, 0);
    rig->echo->defer_reset = true;
    assert_int_equal(
        hk_timer_add(rig->g.loop, 1, 0, finish_reset, rig->echo, &timer), 0);
    gdrv_write(&rig->g, GDRV_STATUS, 0);
    assert_int_equal(gdrv_status(&rig->g), 0);
    assert_false(rig->echo->resetting);
    hk_timer_remove(timer);
}

static void quiesce_drains_when_asked(void **state)
{
    struct rig *rig = *state;

    gdrv_start(&rig->g, 0);
    hk_vmmio_quiesce(rig->g.transport, true);
    assert_int_equal(rig->echo->drains, 1);
    assert_int_equal(rig->echo->resets, 1);
    assert_false(hk_vdev_is_active(rig->g.dev));
    hk_vmmio_quiesce(rig->g.transport, true); /* once is enough */
    assert_int_equal(rig->echo->drains, 1);
    assert_int_equal(rig->echo->resets, 1);
}

static void quiesce_of_an_idle_device_does_nothing(void **state)
{
    struct rig *rig = *state;

    hk_vmmio_quiesce(rig->g.transport, true);
    assert_int_equal(rig->echo->drains + rig->echo->resets, 0);
}

static void quiesce_without_drain_only_resets(void **state)
{
    struct rig *rig = *state;

    gdrv_start(&rig->g, 0);
    hk_vmmio_quiesce(rig->g.transport, false);
    assert_int_equal(rig->echo->drains, 0);
    assert_int_equal(rig->echo->resets, 1);
}

static void quiesce_delivers_the_last_kick(void **state)
{
    struct rig *rig = *state;

    gdrv_start(&rig->g, 0);
    gdrv_notify(&rig->g, 0);
    hk_vmmio_quiesce(rig->g.transport, true);
    assert_int_equal(rig->echo->kicks[0], 1);
}

/* Another transport and device, with an interrupt line of the test's. */
static void replace_transport(struct rig *rig, struct hk_irq irq)
{
    struct gdrv *g = &rig->g;
    struct hk_vdev *dev;

    hk_vmmio_quiesce(g->transport, false);
    hk_vmmio_destroy(g->transport);
    hk_bus_destroy(g->bus);
    assert_int_equal(make(g->loop, g->pool, &dev), 0);
    assert_int_equal(hk_vmmio_create(dev, g->gmem, irq, &g->transport), 0);
    g->dev = dev;
    rig->echo = of_dev(dev);
    assert_int_equal(hk_bus_create(&g->bus), 0);
    assert_int_equal(hk_bus_add(g->bus, HK_BUS_MEM, GDRV_BASE, HK_VMMIO_SIZE,
                                HK_BUS_SIZE_ANY, &hk_vmmio_bus_ops,
                                g->transport),
                     0);
}

/* A pin that is slow: before it rises, the driver has acknowledged already. */
static void set_slowly(void *controller, uint32_t pin, bool level)
{
    struct gdrv *g = controller;

    (void)pin;
    if (level)
        gdrv_write(g, GDRV_INTERRUPT_ACK, 3);
    g->line = level;
}

static void a_line_that_rises_too_late_falls_again(void **state)
{
    struct rig *rig = *state;
    const struct hk_irq irq = {.set = set_slowly, .controller = &rig->g};
    const uint8_t byte = 99;

    replace_transport(rig, irq);
    gdrv_start(&rig->g, 0);
    hk_vdev_set_config(rig->g.dev, 0, &byte, 1, true);
    assert_int_equal(gdrv_read(&rig->g, GDRV_INTERRUPT_STATUS), 0);
    assert_false(rig->g.line);
}

/* ------------------------------------------------------------------ */
/* A driver on a thread of its own                                    */

enum { ROUND_TRIPS = 3000, RESTARTS = 50 };

struct vcpu {
    struct rig *rig;
    uv_thread_t thread;
    uv_sem_t interrupt;
    int trips;
    atomic_bool done;
};

static void run_loop_beside(struct rig *rig, struct vcpu *vcpu,
                            void (*body)(void *))
{
    vcpu->rig = rig;
    assert_int_equal(uv_thread_create(&vcpu->thread, body, vcpu), 0);
    hk_loop_run(rig->g.loop);
    assert_int_equal(uv_thread_join(&vcpu->thread), 0);
}

static void set_line(void *controller, uint32_t pin, bool level)
{
    struct vcpu *vcpu = controller;

    (void)pin;
    if (level)
        uv_sem_post(&vcpu->interrupt);
}

/* Host memory of the ring's index, accessed as a kernel's would be. */
static uint16_t *index_of(struct gdrv *g, hk_gpa_t ring)
{
    uint8_t *host;

    assert_int_equal(hk_gmem_span(g->gmem, ring + 2, 2, &host), 2);
    return (uint16_t *)(void *)host;
}

/* Sleeps until the device has used as many buffers as were added. */
static void wait_used(struct vcpu *vcpu, uint16_t want)
{
    struct gdrv *g = &vcpu->rig->g;
    const struct gdrv_queue *q = &g->queue[0];
    uint16_t *used = index_of(g, q->used);
    hk_gpa_t event = q->avail + 4 + 2 * q->size;

    for (;;) {
        uint16_t *ask = index_of(g, event - 2);
        uint16_t seen = __atomic_load_n(used, __ATOMIC_SEQ_CST);
        if (seen == want)
            return;
        __atomic_store_n(ask, seen, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(used, __ATOMIC_SEQ_CST) != seen)
            continue;
        uv_sem_wait(&vcpu->interrupt);
        gdrv_write(g, GDRV_INTERRUPT_ACK, gdrv_read(g, GDRV_INTERRUPT_STATUS));
    }
}

static void make_trips(void *opaque)
{
    struct vcpu *vcpu = opaque;
    struct gdrv *g = &vcpu->rig->g;
    const struct gdrv_queue *q = &g->queue[0];
    uint16_t *avail = index_of(g, q->avail);
    uint16_t *event = index_of(g, q->used + 4 + 8 * q->size - 2);

    for (uint16_t i = 0; i < ROUND_TRIPS; i++) {
        gdrv_store16(g, q->avail + 4 + 2 * (i % q->size), i % q->size);
        __atomic_store_n(avail, (uint16_t)(i + 1), __ATOMIC_SEQ_CST);
        if (__atomic_load_n(event, __ATOMIC_SEQ_CST) == i)
            gdrv_notify(g, 0);
        wait_used(vcpu, (uint16_t)(i + 1));
        vcpu->trips++;
    }
    hk_loop_stop(g->loop);
}

static void two_threads_lose_no_kick_and_no_interrupt(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;
    struct vcpu vcpu = {0};
    const struct hk_irq irq = {.set = set_line, .controller = &vcpu};

    assert_int_equal(uv_sem_init(&vcpu.interrupt, 0), 0);
    replace_transport(rig, irq);
    gdrv_start(g, HK_VIRTIO_F_EVENT_IDX);
    hk_gpa_t buf = gdrv_alloc(g, 64, 16);
    for (uint32_t i = 0; i < g->queue[0].size; i++)
        gdrv_set_desc(g, g->queue[0].desc, i, buf, 64, GDRV_DESC_WRITE, 0);
    run_loop_beside(rig, &vcpu, make_trips);
    assert_int_equal(vcpu.trips, ROUND_TRIPS);
    uv_sem_destroy(&vcpu.interrupt);
}

static void restart_often(void *opaque)
{
    struct vcpu *vcpu = opaque;
    struct gdrv *g = &vcpu->rig->g;

    for (int i = 0; i < RESTARTS; i++) {
        gdrv_start(g, 0);
        gdrv_notify(g, 0);
        gdrv_set_config(g, 0, 4, 1);
        vcpu->trips += gdrv_status(g) == 15;
        gdrv_reset(g);
        vcpu->trips += gdrv_status(g) == 0;
    }
    hk_loop_stop(g->loop);
}

static void a_waiting_vcpu_sees_the_outcome(void **state)
{
    struct rig *rig = *state;
    struct vcpu vcpu = {0};

    run_loop_beside(rig, &vcpu, restart_often);
    assert_int_equal(vcpu.trips, 2 * RESTARTS);
    assert_int_equal(rig->echo->activations, RESTARTS);
    assert_int_equal(rig->echo->resets, RESTARTS);
    assert_int_equal(rig->echo->config_writes, RESTARTS);
}

static void fight(void *opaque)
{
    struct vcpu *vcpu = opaque;
    struct gdrv *g = &vcpu->rig->g;
    static const uint32_t values[] = {0, 1, 3, 11, 15, 15, 0};

    for (int i = 0; i < 300; i++) {
        gdrv_write(g, GDRV_STATUS, values[i % HK_COUNT(values)]);
        gdrv_notify(g, i % QUEUES);
        (void)gdrv_status(g);
        gdrv_write(g, GDRV_DRIVER_FEATURES_SEL, 1);
        gdrv_write(g, GDRV_DRIVER_FEATURES, 1);
        gdrv_write(g, GDRV_INTERRUPT_ACK, 3);
    }
    atomic_store(&vcpu->done, true);
}

static void look_whether_done(void *opaque)
{
    struct vcpu *vcpus = opaque;

    if (atomic_load(&vcpus[0].done) && atomic_load(&vcpus[1].done))
        hk_loop_stop(vcpus[0].rig->g.loop);
}

static void two_vcpus_may_fight_over_a_device(void **state)
{
    struct rig *rig = *state;
    struct vcpu vcpus[2] = {{.rig = rig}, {.rig = rig}};
    struct hk_timer *timer;

    assert_int_equal(
        hk_timer_add(rig->g.loop, 1, 1, look_whether_done, vcpus, &timer), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(uv_thread_create(&vcpus[i].thread, fight, &vcpus[i]),
                         0);
    hk_loop_run(rig->g.loop);
    for (int i = 0; i < 2; i++)
        assert_int_equal(uv_thread_join(&vcpus[i].thread), 0);
    hk_timer_remove(timer);
    gdrv_start(&rig->g, 0);
    check_echo(&rig->g, 0);
}

static void reset_and_wait(void *opaque)
{
    struct vcpu *vcpu = opaque;

    gdrv_write(&vcpu->rig->g, GDRV_STATUS, 0);
    atomic_store(&vcpu->done, true);
}

static void released_vcpus_wait_no_more(void **state)
{
    struct rig *rig = *state;
    struct gdrv *g = &rig->g;
    struct vcpu vcpu = {.rig = rig};

    gdrv_start(g, 0);
    rig->echo->defer_reset = true;
    assert_int_equal(uv_thread_create(&vcpu.thread, reset_and_wait, &vcpu), 0);
    while (!rig->echo->resetting)
        hk_loop_step(g->loop);
    assert_false(atomic_load(&vcpu.done));
    hk_vmmio_release(g->transport);
    assert_int_equal(uv_thread_join(&vcpu.thread), 0);
    gdrv_write(g, GDRV_STATUS, 0); /* nor does a later one */
    finish_reset(rig->echo);
}

/* ------------------------------------------------------------------ */

static void polite(struct gdrv *g)
{
    for (uint32_t i = 0; i < QUEUES - 1; i++)
        check_echo(g, i);
}

static struct hostile_target target = {
    .make = make,
    .polite = polite,
    .features = OWN,
};

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(says_what_it_is),
    CASE(has_no_shared_memory),
    CASE(queues_have_their_own_largest_sizes),
    CASE(offers_what_the_device_has_and_the_core_adds),
    CASE(only_whole_aligned_registers_can_be_read),
    CASE(climbs_one_step_at_a_time),
    CASE(steps_that_are_none_change_nothing),
    CASE(after_failed_only_a_reset_helps),
    CASE(row131_a_failed_activation_sets_failed),
    CASE(row131_a_failed_activation_is_logged),
    CASE(row131_after_a_failed_activation_a_reset_helps),
    CASE(row131_a_good_activation_sets_driver_ok),
    CASE(features_are_chosen_in_their_state_only),
    CASE(features_beyond_the_words_are_zero),
    CASE(a_ready_queue_keeps_its_geometry),
    CASE(registers_are_frozen_during_activation),
    CASE(a_queue_may_be_smaller_than_offered),
    CASE(many_kicks_at_once_are_one),
    CASE(kick_again_lets_others_have_their_turn),
    CASE(a_kick_from_before_a_reset_is_forgotten),
    CASE(the_line_is_high_until_all_is_acknowledged),
    CASE(a_reset_lowers_the_line),
    CASE(configuration_is_read_in_any_width),
    CASE(a_change_raises_the_generation),
    CASE(nobody_is_told_of_a_change_before_activation),
    CASE(the_device_gets_what_the_driver_writes),
    CASE(a_broken_device_says_so_and_stops),
    CASE(a_reset_may_take_its_time),
    CASE(quiesce_drains_when_asked),
    CASE(quiesce_of_an_idle_device_does_nothing),
    CASE(quiesce_without_drain_only_resets),
    CASE(quiesce_delivers_the_last_kick),
    CASE(a_line_that_rises_too_late_falls_again),
    CASE(two_threads_lose_no_kick_and_no_interrupt),
    CASE(a_waiting_vcpu_sees_the_outcome),
    CASE(two_vcpus_may_fight_over_a_device),
    CASE(released_vcpus_wait_no_more),
    HOSTILE_CASES(&target),
};
HK_TEST_MAIN(cases)
