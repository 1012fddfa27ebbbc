/* Exit statuses and resource limits. */
#include "status.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

int hk_status_of_wait(int wait_status)
{
    if (WIFEXITED(wait_status))
        return WEXITSTATUS(wait_status);
    if (WIFSIGNALED(wait_status))
        return HK_STATUS_SIGNAL + WTERMSIG(wait_status);
    return HK_STATUS_SETUP;
}

int hk_status_of_exec(int error)
{
    return error == ENOENT || error == ENOTDIR ? HK_STATUS_NOT_FOUND
                                               : HK_STATUS_NOT_EXECUTABLE;
}

/* A number up to `end` or one of `stops`; moves past the stop. */
static bool take_number(const char **at, const char *end, const char *stops,
                        uint64_t *out)
{
    const char *p = *at;
    uint64_t value = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    }
    if (p == *at)
        return false;
    *out = value;
    *at = p < end ? p + 1 : p;
    return *stops == '\0' ? p == end : p < end && strchr(stops, *p) != NULL;
}

static bool take_limit(const char **at, const char *end, const char *stops,
                       uint64_t *out)
{
    static const char *const none[] = {"-1", "unlimited"};
    size_t left = (size_t)(end - *at);

    for (int i = 0; i < 2; i++) {
        size_t len = strlen(none[i]);
        if (left < len || memcmp(*at, none[i], len) != 0)
            continue;
        *out = UINT64_MAX;
        *at += len;
        if (*stops == '\0')
            return *at == end;
        return *at < end && *(*at)++ == *stops;
    }
    return take_number(at, end, stops, out);
}

bool hk_rlimit_parse(const char *text, unsigned len, struct hk_rlimit *out)
{
    const char *at = text, *end = text + len;
    uint64_t resource;

    if (!take_number(&at, end, "=:", &resource) || resource > 255 ||
        !take_limit(&at, end, ":", &out->soft) ||
        !take_limit(&at, end, "", &out->hard))
        return false;
    out->resource = (unsigned)resource;
    return true;
}
