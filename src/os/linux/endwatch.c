/*
 * Signal handlers write to an event, a thread waits for it. Handlers, not
 * blocked signals: other threads of the program would still take the signal.
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
    int foreign; /* the event that others signal, or -1 */
    int own;     /* set by the handlers and by destroy */
    atomic_uint requests;
    atomic_bool closing;
    bool has_thread;
    pthread_t thread;
    bool is_ours[END_SIGNALS];
};

/* Handlers have no other way to their watch. */
static _Atomic(struct hk_endwatch *) current;

static void on_signal(int number)
{
    int saved = errno;
    (void)number;
    struct hk_endwatch *watch = atomic_load(&current);
    if (watch != NULL && atomic_fetch_add(&watch->requests, 1) == 0)
        hk_event_set(watch->own);
    else if (watch != NULL)
        watch->events->insisted(watch->opaque);
    errno = saved;
}

static void take_signals(struct hk_endwatch *watch)
{
    struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigemptyset(&ours.sa_mask);
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
    watch->foreign = event;
    int rc = hk_event_open(&watch->own);
    if (rc != 0) {
        free(watch);
        return rc;
    }
    struct hk_endwatch *none = NULL;
    if (!atomic_compare_exchange_strong(&current, &none, watch)) {
        hk_event_close(watch->own);
        free(watch);
        return -HK_EBUSY;
    }
    take_signals(watch);
    *out = watch;
    return 0;
}

static void *run(void *opaque)
{
    struct hk_endwatch *watch = opaque;
    hk_thread_enter("hk-endwatch");
    bool is_own = hk_event_wait_either(watch->own, watch->foreign);
    if (!is_own)
        (void)atomic_fetch_add(&watch->requests, 1);
    if (!atomic_load(&watch->closing))
        watch->events->asked(watch->opaque);
    return NULL;
}

int hk_endwatch_start(struct hk_endwatch *watch)
{
    int code = pthread_create(&watch->thread, NULL, run, watch);
    watch->has_thread = code == 0;
    return -code;
}

void hk_endwatch_destroy(struct hk_endwatch *watch)
{
    if (watch == NULL)
        return;
    give_signals_back(watch);
    atomic_store(&watch->closing, true);
    if (watch->has_thread) {
        hk_event_set(watch->own);
        (void)pthread_join(watch->thread, NULL);
    }
    atomic_store(&current, NULL);
    hk_event_close(watch->own);
    free(watch);
}
