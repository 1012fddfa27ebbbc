/*
 * The event loop on libuv.
 *
 * Posts go into one of two vectors that change places: posting threads fill
 * one under the lock while the loop runs the other. The async handle is sent
 * only when the filling vector stops being empty, so a burst of posts costs
 * one wake-up, and the vectors keep their memory, so that a steady load
 * allocates nothing.
 */
#define HK_LOG_TAG "loop"

#include "loop/loop.h"

#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "os/thread.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

enum {
    FIRST_POSTS = 64,
    /* hk_loop_destroy gives up on functions that post themselves again. */
    DESTROY_ROUNDS = 1000,
    /* hk_loop_turn: idle iterations in a row that mean "nothing is ready".
     * libuv needs one for the poll and one for what the poll started. */
    IDLE_TURNS = 3,
};

struct post {
    hk_loop_fn fn;
    void *opaque;
};

struct posts {
    struct post *items;
    size_t count;
    size_t room;
};

struct hk_loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_mutex_t lock; /* guards `filling` */
    struct posts filling;
    struct posts running; /* the loop's thread only */
    atomic_bool stopping;
    atomic_uintptr_t owner; /* the thread's mark */
    uint64_t work;          /* functions called so far, for hk_loop_turn */
};

struct hk_timer {
    uv_timer_t uv;
    struct hk_loop *loop;
    hk_loop_fn fn;
    void *opaque;
};

/* Its address tells threads apart. */
static _Thread_local char thread_mark;

static void own(struct hk_loop *loop)
{
    atomic_store(&loop->owner, (uintptr_t)&thread_mark);
}

bool hk_loop_is_here(const struct hk_loop *loop)
{
    return atomic_load(&loop->owner) == (uintptr_t)&thread_mark;
}

/* Runs what was posted before the call. True if there was anything. */
static bool run_posts(struct hk_loop *loop)
{
    uv_mutex_lock(&loop->lock);
    struct posts batch = loop->filling;
    loop->filling = loop->running;
    loop->running = batch;
    uv_mutex_unlock(&loop->lock);

    for (size_t i = 0; i < batch.count; i++)
        batch.items[i].fn(batch.items[i].opaque);
    loop->work += batch.count;
    loop->running.count = 0;
    return batch.count != 0;
}

static void on_async(uv_async_t *async)
{
    struct hk_loop *loop = async->data;

    run_posts(loop);
    if (atomic_load(&loop->stopping))
        uv_stop(&loop->uv);
}

int hk_loop_create(struct hk_loop **out)
{
    struct hk_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return -HK_ENOMEM;
    if (uv_mutex_init(&loop->lock) != 0) {
        free(loop);
        return -HK_ENOMEM;
    }
    if (uv_loop_init(&loop->uv) != 0) {
        uv_mutex_destroy(&loop->lock);
        free(loop);
        return -HK_ENOMEM;
    }
    if (uv_async_init(&loop->uv, &loop->async, on_async) != 0) {
        uv_loop_close(&loop->uv);
        uv_mutex_destroy(&loop->lock);
        free(loop);
        return -HK_ENOMEM;
    }
    loop->async.data = loop;
    own(loop);
    hk_lock_set_yield(hk_thread_yield);
    *out = loop;
    return 0;
}

static void count_open(uv_handle_t *handle, void *opaque)
{
    size_t *open = opaque;

    if (!uv_is_closing(handle))
        (*open)++;
}

void hk_loop_destroy(struct hk_loop *loop)
{
    size_t open = 0;

    if (loop == NULL)
        return;
    for (int i = 0; i < DESTROY_ROUNDS && run_posts(loop); i++)
        ;
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_walk(&loop->uv, count_open, &open);
    if (open != 0) {
        /* Running on would wait for them for ever: leak instead. */
        HK_LOG_E("%zu handles were not closed", open);
        return;
    }
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop->uv) != 0)
        HK_LOG_E("the loop is still busy");
    uv_mutex_destroy(&loop->lock);
    free(loop->filling.items);
    free(loop->running.items);
    free(loop);
}

void hk_loop_run(struct hk_loop *loop)
{
    own(loop);
    while (!atomic_load(&loop->stopping))
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    run_posts(loop);
    atomic_store(&loop->stopping, false);
}

void hk_loop_stop(struct hk_loop *loop)
{
    atomic_store(&loop->stopping, true);
    uv_async_send(&loop->async);
}

void hk_loop_turn(struct hk_loop *loop)
{
    int idle = 0;

    while (idle < IDLE_TURNS) {
        uint64_t before = loop->work;

        uv_run(&loop->uv, UV_RUN_NOWAIT);
        idle = loop->work == before ? idle + 1 : 0;
    }
}

void hk_loop_step(struct hk_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_ONCE);
}

static bool grow(struct posts *posts)
{
    size_t room = posts->room == 0 ? FIRST_POSTS : posts->room * 2;
    struct post *items = realloc(posts->items, room * sizeof(*items));

    if (items == NULL)
        return false;
    posts->items = items;
    posts->room = room;
    return true;
}

int hk_loop_post(struct hk_loop *loop, hk_loop_fn fn, void *opaque)
{
    int rc = 0;
    bool first;

    uv_mutex_lock(&loop->lock);
    struct posts *posts = &loop->filling;
    first = posts->count == 0;
    if (posts->count == posts->room && !grow(posts))
        rc = -HK_ENOMEM;
    else
        posts->items[posts->count++] = (struct post){fn, opaque};
    uv_mutex_unlock(&loop->lock);
    if (rc == 0 && first)
        uv_async_send(&loop->async);
    return rc;
}

static void on_timer(uv_timer_t *uv)
{
    struct hk_timer *timer = uv->data;

    timer->loop->work++;
    timer->fn(timer->opaque);
}

int hk_timer_add(struct hk_loop *loop, uint64_t delay_ms, uint64_t period_ms,
                 hk_loop_fn fn, void *opaque, struct hk_timer **out)
{
    struct hk_timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL)
        return -HK_ENOMEM;
    timer->loop = loop;
    timer->fn = fn;
    timer->opaque = opaque;
    /* Neither call can fail for a callback that is not NULL. */
    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    uv_update_time(&loop->uv);
    uv_timer_start(&timer->uv, on_timer, delay_ms, period_ms);
    *out = timer;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void hk_timer_remove(struct hk_timer *timer)
{
    if (timer != NULL)
        uv_close((uv_handle_t *)&timer->uv, on_timer_closed);
}

struct uv_loop_s *hk_loop_uv(struct hk_loop *loop)
{
    return &loop->uv;
}
