#include "loop/monitor.h"

#include "base/err.h"

#include <stdlib.h>
#include <uv.h>

struct hk_monitor {
    uv_mutex_t lock;
    uv_cond_t cond;
};

int hk_monitor_create(struct hk_monitor **out)
{
    struct hk_monitor *monitor = calloc(1, sizeof(*monitor));
    if (monitor == NULL)
        return -HK_ENOMEM;
    if (uv_mutex_init(&monitor->lock) != 0) {
        free(monitor);
        return -HK_ENOMEM;
    }
    if (uv_cond_init(&monitor->cond) != 0) {
        uv_mutex_destroy(&monitor->lock);
        free(monitor);
        return -HK_ENOMEM;
    }
    *out = monitor;
    return 0;
}

void hk_monitor_destroy(struct hk_monitor *monitor)
{
    if (monitor == NULL)
        return;
    uv_cond_destroy(&monitor->cond);
    uv_mutex_destroy(&monitor->lock);
    free(monitor);
}

void hk_monitor_enter(struct hk_monitor *monitor)
{
    uv_mutex_lock(&monitor->lock);
}

void hk_monitor_leave(struct hk_monitor *monitor)
{
    uv_mutex_unlock(&monitor->lock);
}

void hk_monitor_wait(struct hk_monitor *monitor)
{
    uv_cond_wait(&monitor->cond, &monitor->lock);
}

void hk_monitor_wake(struct hk_monitor *monitor)
{
    uv_cond_broadcast(&monitor->cond);
}
