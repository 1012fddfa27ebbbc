/*
 * Signal handlers rather than blocked signals: other threads of the program,
 * whose masks are not ours, would still take the signal.
 */
#define _GNU_SOURCE
#include "os/endwatch.h"

#include "base/err.h"
#include "os/event.h"
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static const int end_signals[] = {SIGTERM, SIGINT};
enum { END_SIGNALS = HK_COUNT(end_signals) };

struct hk_endwatch {
    const struct hk_endwatch_events *events;
    void *opaque;
    atomic_uint requests;
    atomic_bool started;
    bool is_ours[END_SIGNALS];

    int event; /* that others signal, or -1: no thread */
    int close; /* ends the thread */
    bool has_thread;
    pthread_t thread;
};

/* Handlers have no other way to their watch; there are END_SIGNALS of them
 * at most inside it, each on a thread that did not block the other. */
static _Atomic(struct hk_endwatch *) current;
static atomic_int inside;

static void note(struct hk_endwatch *watch)
{
    unsigned before = atomic_fetch_add(&watch->requests, 1);
    if (!atomic_load(&watch->started))
        return;
    if (before == 0)
        watch->events->asked(watch->opaque);
    else
        watch->events->insisted(watch->opaque);
}

static void on_signal(int number)
{
    int saved = errno;
    (void)number;
    atomic_fetch_add(&inside, 1);
    struct hk_endwatch *watch = atomic_load(&current);
    if (watch != NULL)
        note(watch);
    atomic_fetch_sub(&inside, 1);
    errno = saved;
}

static void take_signals(struct hk_endwatch *watch)
{
    struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigfillset(&ours.sa_mask);
    for (int i = 0; i < (int)END_SIGNALS; i++) {
        struct sigaction now;
        watch->is_ours[i] = sigaction(end_signals[i], NULL, &now) == 0 &&
                            (now.sa_flags & SA_SIGINFO) == 0 &&
                            now.sa_handler == SIG_DFL &&
                            sigaction(end_signals[i], &ours, NULL) == 0;
    }
}

static void give_signals_back(const struct hk_endwatch *watch)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    (void)sigemptyset(&normal.sa_mask);
    for (int i = 0; i < (int)END_SIGNALS; i++)
        if (watch->is_ours[i])
            (void)sigaction(end_signals[i], &normal, NULL);
}

int hk_endwatch_create(int event, const struct hk_endwatch_events *events,
                       void *opaque, struct hk_endwatch **out)
{
    struct hk_endwatch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return -HK_ENOMEM;
    watch->events = events;
    watch->opaque = opaque;
    watch->event = event;
    watch->close = -1;
    struct hk_endwatch *none = NULL;
    if (!atomic_compare_exchange_strong(&current, &none, watch)) {
        free(watch);
        return -HK_EBUSY;
    }
    take_signals(watch);
    *out = watch;
    return 0;
}

static void *wait_for_event(void *opaque)
{
    struct hk_endwatch *watch = opaque;
    hk_thread_enter("hk-endwatch");
    if (!hk_event_wait_either(watch->close, watch->event))
        note(watch);
    return NULL;
}

static int start_thread(struct hk_endwatch *watch)
{
    int rc = hk_event_open(&watch->close);
    if (rc != 0)
        return rc;
    rc = -pthread_create(&watch->thread, NULL, wait_for_event, watch);
    watch->has_thread = rc == 0;
    return rc;
}

int hk_endwatch_start(struct hk_endwatch *watch)
{
    int rc = watch->event >= 0 ? start_thread(watch) : 0;
    if (rc != 0)
        return rc;
    atomic_store(&watch->started, true);
    if (atomic_load(&watch->requests) != 0)
        watch->events->asked(watch->opaque);
    return 0;
}

void hk_endwatch_destroy(struct hk_endwatch *watch)
{
    if (watch == NULL)
        return;
    give_signals_back(watch);
    atomic_store(&current, NULL);
    while (atomic_load(&inside) != 0)
        hk_thread_yield(); /* a handler on another thread is nearly done */
    if (watch->has_thread) {
        hk_event_set(watch->close);
        (void)pthread_join(watch->thread, NULL);
    }
    hk_event_close(watch->close);
    free(watch);
}
