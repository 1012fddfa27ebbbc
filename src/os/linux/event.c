#define _GNU_SOURCE
#include "os/event.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int hk_event_open(int *out)
{
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return -errno;
    *out = event;
    return 0;
}

void hk_event_close(int event)
{
    if (event >= 0)
        (void)close(event);
}

void hk_event_set(int event)
{
    uint64_t one = 1;
    ssize_t n = write(event, &one, sizeof(one));
    (void)n; /* fails only when it is set already */
}

/* True when something was there to be taken back. */
static bool take(int event)
{
    uint64_t count;
    return read(event, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

bool hk_event_wait_either(int first, int second)
{
    /* poll passes over negative descriptors. */
    struct pollfd fds[] = {
        {.fd = first, .events = POLLIN},
        {.fd = second, .events = POLLIN},
    };
    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue; /* a signal came */
        for (int i = 0; i < 2; i++) {
            if ((fds[i].revents & POLLIN) != 0 && take(fds[i].fd))
                return i == 0;
            if ((fds[i].revents & ~POLLIN) != 0)
                fds[i].fd = -1;
        }
    }
}
