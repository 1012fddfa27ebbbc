/* loop/loop.h */
#include "hk_test.h"

#include "base/compiler.h"
#include "loop/loop.h"

#include <uv.h>

struct log {
    struct hk_loop *loop;
    struct hk_timer *timer;
    int calls;
    int order[8];
    int stop_after;
};

struct entry {
    struct log *log;
    int number;
};

static struct hk_loop *new_loop(void)
{
    struct hk_loop *loop;

    assert_int_equal(hk_loop_create(&loop), 0);
    return loop;
}

static void record(void *opaque)
{
    struct entry *entry = opaque;

    entry->log->order[entry->log->calls++] = entry->number;
}

static void count(void *opaque)
{
    struct log *log = opaque;

    if (++log->calls == log->stop_after)
        hk_loop_stop(log->loop);
}

static void stop(void *opaque)
{
    hk_loop_stop(opaque);
}

static void row136_posts_run_in_order_and_once(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {0};
    struct entry entries[] = {{&log, 1}, {&log, 2}, {&log, 3}};

    for (size_t i = 0; i < HK_COUNT(entries); i++)
        assert_int_equal(hk_loop_post(loop, record, &entries[i]), 0);
    assert_int_equal(log.calls, 0);
    hk_loop_turn(loop);
    hk_loop_turn(loop);
    assert_int_equal(log.calls, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(log.order[i], i + 1);
    hk_loop_destroy(loop);
}

static void what_is_posted_before_stop_runs_before_run_returns(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop};

    assert_int_equal(hk_loop_post(loop, stop, loop), 0);
    assert_int_equal(hk_loop_post(loop, count, &log), 0);
    hk_loop_run(loop);
    assert_int_equal(log.calls, 1);
    hk_loop_destroy(loop);
}

static void a_stop_before_run_is_not_lost(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop};

    assert_int_equal(hk_loop_post(loop, count, &log), 0);
    hk_loop_stop(loop);
    hk_loop_run(loop);
    assert_int_equal(log.calls, 1);
    hk_loop_destroy(loop);
}

static void a_loop_runs_again_after_a_stop(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop, .stop_after = 1};

    for (int i = 1; i <= 3; i++) {
        log.stop_after = i;
        assert_int_equal(hk_loop_post(loop, count, &log), 0);
        hk_loop_run(loop);
        assert_int_equal(log.calls, i);
    }
    hk_loop_destroy(loop);
}

static void destroy_runs_what_is_left(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop};

    assert_int_equal(hk_loop_post(loop, count, &log), 0);
    hk_loop_destroy(loop);
    assert_int_equal(log.calls, 1);
    hk_loop_destroy(NULL);
}

static void post_again(void *opaque)
{
    struct log *log = opaque;

    if (++log->calls < 100)
        assert_int_equal(hk_loop_post(log->loop, post_again, log), 0);
}

static void a_posted_function_may_post(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop};

    assert_int_equal(hk_loop_post(loop, post_again, &log), 0);
    hk_loop_turn(loop);
    assert_int_equal(log.calls, 100);
    hk_loop_destroy(loop);
}

enum { THREADS = 4, POSTS = 5000 };

static void post_many(void *opaque)
{
    struct log *log = opaque;

    for (int i = 0; i < POSTS; i++)
        assert_int_equal(hk_loop_post(log->loop, count, log), 0);
}

static void row136_posts_from_many_threads_all_run(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop, .stop_after = THREADS * POSTS};
    uv_thread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&threads[i], post_many, &log), 0);
    hk_loop_run(loop);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(log.calls, THREADS * POSTS);
    hk_loop_destroy(loop);
}

static void row136_a_one_shot_timer_fires_once(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log shot = {.loop = loop};
    struct log later = {.loop = loop, .stop_after = 3};

    assert_int_equal(hk_timer_add(loop, 0, 0, count, &shot, &shot.timer), 0);
    assert_int_equal(hk_timer_add(loop, 1, 1, count, &later, &later.timer), 0);
    hk_loop_run(loop);
    assert_int_equal(shot.calls, 1);
    assert_true(later.calls >= 3);
    hk_timer_remove(shot.timer);
    hk_timer_remove(later.timer);
    hk_timer_remove(NULL);
    hk_loop_destroy(loop);
}

static void row136_a_removed_timer_does_not_fire(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop};

    assert_int_equal(hk_timer_add(loop, 0, 0, count, &log, &log.timer), 0);
    hk_timer_remove(log.timer);
    hk_loop_turn(loop);
    assert_int_equal(log.calls, 0);
    hk_loop_destroy(loop);
}

static void remove_own(void *opaque)
{
    struct log *log = opaque;

    log->calls++;
    hk_timer_remove(log->timer);
    hk_loop_stop(log->loop);
}

static void a_timer_may_remove_itself(void **state)
{
    struct hk_loop *loop = new_loop();
    struct log log = {.loop = loop};

    assert_int_equal(hk_timer_add(loop, 0, 1, remove_own, &log, &log.timer), 0);
    hk_loop_run(loop);
    hk_loop_turn(loop);
    assert_int_equal(log.calls, 1);
    hk_loop_destroy(loop);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(row136_posts_run_in_order_and_once),
    cmocka_unit_test(what_is_posted_before_stop_runs_before_run_returns),
    cmocka_unit_test(a_stop_before_run_is_not_lost),
    cmocka_unit_test(a_loop_runs_again_after_a_stop),
    cmocka_unit_test(destroy_runs_what_is_left),
    cmocka_unit_test(a_posted_function_may_post),
    cmocka_unit_test(row136_posts_from_many_threads_all_run),
    cmocka_unit_test(row136_a_one_shot_timer_fires_once),
    cmocka_unit_test(row136_a_removed_timer_does_not_fire),
    cmocka_unit_test(a_timer_may_remove_itself),
};
HK_TEST_MAIN(cases)
