#define HK_LOG_TAG "console"

#include "console/outpump.h"

#include "base/err.h"
#include "base/log.h"
#include "os/fdio.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const uint64_t CLOSE_WAIT_NS = UINT64_C(1000000000);
/* How often a wait looks whether it should be given up. */
static const uint64_t LOOK_NS = UINT64_C(50000000);

struct hk_outpump {
    int fd;
    struct hk_outpump_owner owner;
    struct hk_fdio_stop *stop;
    uv_thread_t thread;
    uv_mutex_t lock; /* guards all below */
    uv_cond_t changed;
    bool stopping;
    int error;    /* not 0: output is thrown away from now on */
    bool starved; /* a writer was told "full" */
    size_t first, count;
    uint8_t ring[HK_OUTPUMP_SIZE];
};

/* The host takes no more. With the lock held. */
static void give_in(struct hk_outpump *pump, int code)
{
    pump->error = code;
    pump->count = 0;
    if (code == -HK_ECANCELED)
        return;
    if (code == -HK_EPIPE) /* whoever read has seen enough */
        HK_LOG_I("nobody reads the output any more");
    else
        HK_LOG_W("output is lost from here on: %s", hk_err_text(code));
    pump->owner.broken(pump->owner.opaque);
}

/* Sends what lies in one piece. Called and returns with the lock held. */
static void send_some(struct hk_outpump *pump)
{
    size_t len = HK_OUTPUMP_SIZE - pump->first;

    if (len > pump->count)
        len = pump->count;
    /* Writers only fill the free part, so this one may be read unlocked. */
    uv_mutex_unlock(&pump->lock);
    int n = hk_fdio_write(pump->fd, pump->ring + pump->first, len, pump->stop);
    uv_mutex_lock(&pump->lock);

    if (n > 0) {
        pump->first = (pump->first + (size_t)n) % HK_OUTPUMP_SIZE;
        pump->count -= (size_t)n;
    } else {
        give_in(pump, n);
    }
    uv_cond_broadcast(&pump->changed);
    if (pump->starved && pump->count <= HK_OUTPUMP_SIZE / 2) {
        pump->starved = false;
        pump->owner.space(pump->owner.opaque);
    }
}

static void pump_main(void *opaque)
{
    struct hk_outpump *pump = opaque;

    hk_fdio_enter_thread();
    uv_mutex_lock(&pump->lock);
    for (;;) {
        while (pump->count == 0 && !pump->stopping)
            uv_cond_wait(&pump->changed, &pump->lock);
        if (pump->count == 0)
            break;
        send_some(pump);
    }
    uv_mutex_unlock(&pump->lock);
}

int hk_outpump_create(int fd, const struct hk_outpump_owner *owner,
                      struct hk_outpump **out)
{
    struct hk_outpump *pump = calloc(1, sizeof(*pump));
    if (pump == NULL)
        return -HK_ENOMEM;
    pump->fd = fd;
    pump->owner = *owner;
    int rc = hk_fdio_stop_create(&pump->stop);
    if (rc != 0) {
        free(pump);
        return rc;
    }
    if (uv_mutex_init(&pump->lock) == 0) {
        if (uv_cond_init(&pump->changed) == 0) {
            if (uv_thread_create(&pump->thread, pump_main, pump) == 0) {
                *out = pump;
                return 0;
            }
            uv_cond_destroy(&pump->changed);
        }
        uv_mutex_destroy(&pump->lock);
    }
    hk_fdio_stop_destroy(pump->stop);
    free(pump);
    return -HK_EAGAIN;
}

static bool is_given_up(const atomic_bool *give_up)
{
    return give_up != NULL && atomic_load(give_up);
}

/* With the lock held: until empty, given up, or `end` (uv_hrtime). */
static void wait_empty(struct hk_outpump *pump, const atomic_bool *give_up,
                       uint64_t end)
{
    while (pump->count != 0 && !is_given_up(give_up)) {
        uint64_t now = uv_hrtime();
        if (now >= end)
            return;
        uint64_t wait = end - now < LOOK_NS ? end - now : LOOK_NS;
        (void)uv_cond_timedwait(&pump->changed, &pump->lock, wait);
    }
}

void hk_outpump_destroy(struct hk_outpump *pump, const atomic_bool *give_up)
{
    if (pump == NULL)
        return;
    uv_mutex_lock(&pump->lock);
    pump->stopping = true;
    uv_cond_broadcast(&pump->changed);
    wait_empty(pump, give_up, uv_hrtime() + CLOSE_WAIT_NS);
    uv_mutex_unlock(&pump->lock);
    hk_fdio_stop_set(pump->stop);
    uv_thread_join(&pump->thread);
    uv_cond_destroy(&pump->changed);
    uv_mutex_destroy(&pump->lock);
    hk_fdio_stop_destroy(pump->stop);
    free(pump);
}

static void append(struct hk_outpump *pump, const uint8_t *bytes, size_t len)
{
    size_t at = (pump->first + pump->count) % HK_OUTPUMP_SIZE;
    size_t whole = HK_OUTPUMP_SIZE - at;

    if (whole > len)
        whole = len;
    memcpy(pump->ring + at, bytes, whole);
    memcpy(pump->ring, bytes + whole, len - whole);
    pump->count += len;
}

size_t hk_outpump_write(struct hk_outpump *pump, const uint8_t *bytes,
                        size_t len)
{
    size_t taken = len;

    uv_mutex_lock(&pump->lock);
    if (pump->error == 0) {
        size_t room = HK_OUTPUMP_SIZE - pump->count;

        taken = len < room ? len : room;
        if (pump->count == 0 && taken != 0)
            uv_cond_broadcast(&pump->changed);
        append(pump, bytes, taken);
        if (taken < len)
            pump->starved = true;
    }
    uv_mutex_unlock(&pump->lock);
    return taken;
}

void hk_outpump_drain(struct hk_outpump *pump, const atomic_bool *give_up)
{
    uv_mutex_lock(&pump->lock);
    wait_empty(pump, give_up, UINT64_MAX);
    uv_mutex_unlock(&pump->lock);
}

int hk_outpump_error(struct hk_outpump *pump)
{
    uv_mutex_lock(&pump->lock);
    int error = pump->error;
    uv_mutex_unlock(&pump->lock);
    return error;
}
