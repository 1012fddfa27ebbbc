/* Loads of threads, on one processor: locks, switches, births and deaths. */
#include "loads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

static _Atomic uint64_t counter;

/* Locked instructions that nobody contends for. */
static uint64_t atomics(void)
{
    uint64_t expected;
    atomic_store(&counter, 1);
    for (uint32_t i = 0; i < 30000000; i++) {
        atomic_fetch_add(&counter, i);
        expected = atomic_load(&counter);
        atomic_compare_exchange_strong(&counter, &expected, expected ^ i);
    }
    return atomic_load(&counter);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int whose_turn;
static uint64_t board;

static void *play(void *opaque)
{
    const int me = *(const int *)opaque;
    for (int i = 0; i < 6000; i++) {
        pthread_mutex_lock(&lock);
        while (whose_turn != me)
            pthread_cond_wait(&turned, &lock);
        board = board * 3 + (uint64_t)me;
        whose_turn = !me;
        pthread_cond_signal(&turned);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static uint64_t run_two(void *(*body)(void *))
{
    static int names[] = {0, 1};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        loads_need(pthread_create(&threads[i], NULL, body, &names[i]) == 0,
                   "thread");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return board;
}

/* Two threads wake each other. */
static uint64_t turns(void)
{
    board = 0;
    whose_turn = 0;
    return run_two(play);
}

static void *add(void *opaque)
{
    for (int i = 0; i < 2000000; i++) {
        pthread_mutex_lock(&lock);
        board += 1 + (uint64_t)i % 3;
        pthread_mutex_unlock(&lock);
    }
    return opaque;
}

/* Two threads share one lock and do not wait for each other. */
static uint64_t mutex(void)
{
    board = 0;
    return run_two(add);
}

static void *be_born(void *opaque)
{
    *(uint64_t *)opaque += 1;
    return NULL;
}

static uint64_t births(void)
{
    uint64_t count = 0;
    for (int i = 0; i < 1500; i++) {
        pthread_t thread;
        loads_need(pthread_create(&thread, NULL, be_born, &count) == 0,
                   "thread");
        pthread_join(thread, NULL);
    }
    return count;
}

const struct load loads_thread[] = {
    {"atomic", NULL, atomics}, {"turns", NULL, turns}, {"mutex", NULL, mutex},
    {"create", NULL, births},  {NULL, NULL, NULL},
};
