/* loop/pool.h and loop/monitor.h */
#include "hk_test.h"

#include "base/compiler.h"
#include "loop/loop.h"
#include "loop/monitor.h"
#include "loop/pool.h"

#include <stdatomic.h>
#include <uv.h>

enum { THREADS = 4, ITEMS = 2000 };

struct rig {
    struct hk_loop *loop;
    struct hk_pool *pool;
    uv_thread_t loop_thread;
    unsigned done;
    unsigned again; /* items to submit once more from `done` */
    atomic_uint running;
    atomic_uint most; /* that ran at one time */
    uv_barrier_t barrier;
};

struct item {
    struct hk_work work; /* first */
    struct rig *rig;
    uv_thread_t worker;
    atomic_uint worked;
    unsigned done;
};

static void start(struct rig *rig, uint32_t threads)
{
    memset(rig, 0, sizeof(*rig));
    rig->loop_thread = uv_thread_self();
    assert_int_equal(hk_loop_create(&rig->loop), 0);
    assert_int_equal(hk_pool_create(rig->loop, "test", threads, &rig->pool), 0);
}

static void finish(struct rig *rig)
{
    assert_int_equal(hk_pool_pending(rig->pool), 0);
    hk_pool_destroy(rig->pool);
    hk_loop_destroy(rig->loop);
}

static void run_all(struct rig *rig)
{
    while (hk_pool_pending(rig->pool) != 0)
        hk_loop_step(rig->loop);
}

static struct item *item_of(struct hk_work *work)
{
    return hk_container_of(work, struct item, work);
}

static void work(struct hk_work *w)
{
    struct item *item = item_of(w);

    item->worker = uv_thread_self();
    atomic_fetch_add(&item->worked, 1);
}

static void done(struct hk_work *w)
{
    struct item *item = item_of(w);
    uv_thread_t self = uv_thread_self();

    assert_true(uv_thread_equal(&self, &item->rig->loop_thread));
    item->done++;
    item->rig->done++;
    if (item->rig->again > 0) {
        item->rig->again--;
        hk_pool_submit(item->rig->pool, w);
    }
}

static struct item make_item(struct rig *rig)
{
    return (struct item){.work = {.work = work, .done = done}, .rig = rig};
}

static void work_runs_on_a_worker_and_done_on_the_loop(void **state)
{
    struct rig rig;
    start(&rig, 1);
    struct item item = make_item(&rig);

    hk_pool_submit(rig.pool, &item.work);
    assert_int_equal(hk_pool_pending(rig.pool), 1);
    assert_int_equal(item.done, 0);
    run_all(&rig);
    assert_int_equal(atomic_load(&item.worked), 1);
    assert_int_equal(item.done, 1);
    assert_false(uv_thread_equal(&item.worker, &rig.loop_thread));
    finish(&rig);
}

static void every_item_is_done_once(void **state)
{
    static struct item items[ITEMS];
    struct rig rig;
    start(&rig, THREADS);

    for (int i = 0; i < ITEMS; i++) {
        items[i] = make_item(&rig);
        hk_pool_submit(rig.pool, &items[i].work);
        if (i % 16 == 0)
            hk_loop_turn(rig.loop);
    }
    run_all(&rig);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(atomic_load(&items[i].worked), 1);
        assert_int_equal(items[i].done, 1);
    }
    finish(&rig);
}

static void an_item_may_be_submitted_again_from_done(void **state)
{
    struct rig rig;
    start(&rig, 2);
    struct item item = make_item(&rig);

    rig.again = 100;
    hk_pool_submit(rig.pool, &item.work);
    run_all(&rig);
    assert_int_equal(item.done, 101);
    finish(&rig);
}

static void meet(struct hk_work *w)
{
    struct item *item = item_of(w);

    /* Passes only when all of them are here at one time. */
    (void)uv_barrier_wait(&item->rig->barrier);
    atomic_fetch_add(&item->worked, 1);
}

static void as_many_items_as_threads_run_side_by_side(void **state)
{
    struct item items[THREADS];
    struct rig rig;
    start(&rig, THREADS);

    assert_int_equal(uv_barrier_init(&rig.barrier, THREADS), 0);
    for (int i = 0; i < THREADS; i++) {
        items[i] = make_item(&rig);
        items[i].work.work = meet;
        hk_pool_submit(rig.pool, &items[i].work);
    }
    run_all(&rig);
    assert_int_equal(rig.done, THREADS);
    uv_barrier_destroy(&rig.barrier);
    finish(&rig);
}

static void count_most(struct hk_work *w)
{
    struct rig *rig = item_of(w)->rig;
    unsigned now = atomic_fetch_add(&rig->running, 1) + 1;
    unsigned most = atomic_load(&rig->most);

    while (now > most && !atomic_compare_exchange_weak(&rig->most, &most, now))
        ;
    uv_sleep(0);
    atomic_fetch_sub(&rig->running, 1);
}

static void no_more_items_run_than_there_are_threads(void **state)
{
    static struct item items[200];
    struct rig rig;
    start(&rig, 2);

    for (size_t i = 0; i < HK_COUNT(items); i++) {
        items[i] = make_item(&rig);
        items[i].work.work = count_most;
        hk_pool_submit(rig.pool, &items[i].work);
    }
    run_all(&rig);
    assert_in_range(atomic_load(&rig.most), 1, 2);
    finish(&rig);
}

static void a_pool_that_was_never_used_can_go(void **state)
{
    struct rig rig;
    start(&rig, 64);

    finish(&rig);
    hk_pool_destroy(NULL);
}

/* ------------------------------------------------------------------ */
/* Monitor                                                            */

struct handover {
    struct hk_monitor *monitor;
    int value;
};

static void produce(void *opaque)
{
    struct handover *h = opaque;

    for (int i = 1; i <= 1000; i++) {
        hk_monitor_enter(h->monitor);
        while (h->value != 0)
            hk_monitor_wait(h->monitor);
        h->value = i;
        hk_monitor_wake(h->monitor);
        hk_monitor_leave(h->monitor);
    }
}

static void a_monitor_hands_over_values_in_order(void **state)
{
    struct handover h = {0};
    uv_thread_t thread;

    assert_int_equal(hk_monitor_create(&h.monitor), 0);
    assert_int_equal(uv_thread_create(&thread, produce, &h), 0);
    for (int i = 1; i <= 1000; i++) {
        hk_monitor_enter(h.monitor);
        while (h.value == 0)
            hk_monitor_wait(h.monitor);
        assert_int_equal(h.value, i);
        h.value = 0;
        hk_monitor_wake(h.monitor);
        hk_monitor_leave(h.monitor);
    }
    assert_int_equal(uv_thread_join(&thread), 0);
    hk_monitor_destroy(h.monitor);
    hk_monitor_destroy(NULL);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(work_runs_on_a_worker_and_done_on_the_loop),
    cmocka_unit_test(every_item_is_done_once),
    cmocka_unit_test(an_item_may_be_submitted_again_from_done),
    cmocka_unit_test(as_many_items_as_threads_run_side_by_side),
    cmocka_unit_test(no_more_items_run_than_there_are_threads),
    cmocka_unit_test(a_pool_that_was_never_used_can_go),
    cmocka_unit_test(a_monitor_hands_over_values_in_order),
};
HK_TEST_MAIN(cases)
