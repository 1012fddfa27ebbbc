/*
 * The work pool: a queue under a lock, threads that take from it, a list of
 * finished items that the loop empties.
 *
 *   submit -> [waiting] -> a worker: work() -> [finished] -> loop: done()
 *
 * The loop is woken by a handle of the pool's own, which cannot fail, so that
 * no finished item is ever lost for want of memory. When not one thread can be
 * made, items go to the `stranded` list and the loop does the work.
 */
#define HK_LOG_TAG "pool"

#include "loop/pool.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "loop/loop.h"
#include "os/thread.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { THREADS_MAX = 64, NAME_BYTES = 16 };

struct list {
    struct hk_work *first;
    struct hk_work **end; /* where the next item is linked */
};

struct hk_pool {
    uv_async_t async;
    char name[NAME_BYTES];
    uint32_t max_threads;

    /* The loop's thread only. */
    uint32_t pending;
    uint32_t thread_count;
    uv_thread_t threads[THREADS_MAX];
    bool warned;
    struct list stranded;

    uv_mutex_t lock; /* guards what follows; a leaf lock */
    uv_cond_t cond;  /* waiting or stopping changed */
    struct list waiting;
    struct list finished;
    uint32_t idle;   /* threads that wait for an item */
    uint32_t queued; /* items in `waiting` */
    bool stopping;
};

static void list_init(struct list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_add(struct list *list, struct hk_work *work)
{
    work->next = NULL;
    *list->end = work;
    list->end = &work->next;
}

static struct hk_work *list_take(struct list *list)
{
    struct hk_work *work = list->first;

    list->first = work->next;
    if (list->first == NULL)
        list->end = &list->first;
    work->next = NULL;
    return work;
}

/* ------------------------------------------------------------------ */
/* Workers                                                            */

static void worker_main(void *opaque)
{
    struct hk_pool *pool = opaque;

    hk_thread_enter(pool->name);
    uv_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->waiting.first == NULL && !pool->stopping) {
            pool->idle++;
            uv_cond_wait(&pool->cond, &pool->lock);
            pool->idle--;
        }
        if (pool->waiting.first == NULL)
            break;
        struct hk_work *work = list_take(&pool->waiting);
        pool->queued--;
        uv_mutex_unlock(&pool->lock);
        work->work(work);
        uv_mutex_lock(&pool->lock);
        list_add(&pool->finished, work);
        uv_async_send(&pool->async);
    }
    uv_mutex_unlock(&pool->lock);
}

static void warn(struct hk_pool *pool)
{
    HK_LOG_W("%s: the host allows only %u of %u threads", pool->name,
             (unsigned)pool->thread_count, (unsigned)pool->max_threads);
    pool->warned = true;
}

static void add_thread(struct hk_pool *pool)
{
    uv_thread_t *thread = &pool->threads[pool->thread_count];

    if (uv_thread_create(thread, worker_main, pool) == 0)
        pool->thread_count++;
    else if (!pool->warned)
        warn(pool);
}

/* ------------------------------------------------------------------ */
/* The loop's side                                                    */

static struct hk_work *take_all(struct list *list)
{
    struct hk_work *first = list->first;

    list_init(list);
    return first;
}

static void finish(struct hk_pool *pool, struct hk_work *work)
{
    while (work != NULL) {
        struct hk_work *next = work->next;

        pool->pending--;
        work->done(work); /* may submit it again, or free it */
        work = next;
    }
}

static void on_async(uv_async_t *async)
{
    struct hk_pool *pool = async->data;
    struct hk_work *stranded = take_all(&pool->stranded);

    for (struct hk_work *work = stranded; work != NULL; work = work->next)
        work->work(work);
    finish(pool, stranded);

    uv_mutex_lock(&pool->lock);
    struct hk_work *finished = take_all(&pool->finished);
    uv_mutex_unlock(&pool->lock);
    finish(pool, finished);
}

void hk_pool_submit(struct hk_pool *pool, struct hk_work *work)
{
    pool->pending++;
    uv_mutex_lock(&pool->lock);
    bool has_idle = pool->idle > pool->queued;
    uv_mutex_unlock(&pool->lock);
    if (!has_idle && pool->thread_count < pool->max_threads)
        add_thread(pool);

    if (pool->thread_count == 0) {
        list_add(&pool->stranded, work);
        uv_async_send(&pool->async);
        return;
    }
    uv_mutex_lock(&pool->lock);
    list_add(&pool->waiting, work);
    pool->queued++;
    uv_cond_signal(&pool->cond);
    uv_mutex_unlock(&pool->lock);
}

uint32_t hk_pool_pending(const struct hk_pool *pool)
{
    return pool->pending;
}

int hk_pool_create(struct hk_loop *loop, const char *name, uint32_t threads,
                   struct hk_pool **out)
{
    hk_assert(threads >= 1 && threads <= THREADS_MAX);
    struct hk_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return -HK_ENOMEM;
    (void)snprintf(pool->name, sizeof(pool->name), "%s", name);
    pool->max_threads = threads;
    list_init(&pool->stranded);
    list_init(&pool->waiting);
    list_init(&pool->finished);
    if (uv_mutex_init(&pool->lock) != 0) {
        free(pool);
        return -HK_ENOMEM;
    }
    if (uv_cond_init(&pool->cond) != 0) {
        uv_mutex_destroy(&pool->lock);
        free(pool);
        return -HK_ENOMEM;
    }
    if (uv_async_init(hk_loop_uv(loop), &pool->async, on_async) != 0) {
        uv_cond_destroy(&pool->cond);
        uv_mutex_destroy(&pool->lock);
        free(pool);
        return -HK_ENOMEM;
    }
    pool->async.data = pool;
    *out = pool;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct hk_pool *pool = handle->data;

    uv_cond_destroy(&pool->cond);
    uv_mutex_destroy(&pool->lock);
    free(pool);
}

void hk_pool_destroy(struct hk_pool *pool)
{
    if (pool == NULL)
        return;
    hk_assert(pool->pending == 0);
    uv_mutex_lock(&pool->lock);
    pool->stopping = true;
    uv_cond_broadcast(&pool->cond);
    uv_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        (void)uv_thread_join(&pool->threads[i]);
    uv_close((uv_handle_t *)&pool->async, on_closed);
}
