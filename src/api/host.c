/*
 * husk_backend_*, husk_host_* and the log handler.
 */
#include "husk.h"

#include "base/err.h"
#include "base/log.h"
#include "vmm/backend.h"
#include "vmm/host.h"

#include <stdio.h>

size_t husk_backend_count(void)
{
    return hk_backend_count();
}

const char *husk_backend_name(size_t index)
{
    return hk_backend_name(index);
}

const char *husk_backend_summary(size_t index)
{
    return hk_backend_summary(index);
}

static void give_text(const struct hk_errmsg *msg, char *text, size_t size)
{
    if (text != NULL && size != 0)
        (void)snprintf(text, size, "%s", msg->text);
}

int husk_backend_probe(size_t index, char *why, size_t size)
{
    struct hk_errmsg msg = {""};
    int rc = hk_backend_probe(index, &msg);
    give_text(&msg, why, size);
    return rc;
}

int husk_backend_choose(const char *name, char *why, size_t size)
{
    size_t index = 0;
    struct hk_errmsg msg = {""};
    int rc = hk_backend_choose(name, &index, &msg);
    give_text(&msg, why, size);
    return rc != 0 ? rc : (int)index;
}

unsigned husk_host_cpus(void)
{
    return hk_host_cpus();
}

uint64_t husk_host_memory(void)
{
    return hk_host_memory();
}

size_t husk_host_cpu_features(char *text, size_t size)
{
    return hk_host_cpu_features(text, size);
}

/*
 * The base log hands one opaque pointer to one function, ours has another
 * signature only in the type of `level`. A call through the wrong type would
 * be undefined, so the pair is kept here; like the log itself it is one for
 * the process. Replaced only as a whole, under the caller's own order.
 */
static struct {
    husk_log_fn fn;
    void *opaque;
} handler;

static void forward(void *opaque, enum hk_log_level level, const char *tag,
                    const char *message)
{
    (void)opaque;
    handler.fn(handler.opaque, (int)level, tag, message);
}

void husk_log_set_handler(husk_log_fn fn, void *opaque)
{
    if (fn == NULL) {
        hk_log_set_sink(NULL, NULL);
        return;
    }
    handler.fn = fn;
    handler.opaque = opaque;
    hk_log_set_sink(forward, NULL);
}
