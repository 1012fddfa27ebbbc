#include "os/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    /* A pipe that polls as writable takes this much without blocking. */
    PIPE_CHUNK = 4096,
    /* A terminal that does takes at least about this. */
    TTY_CHUNK = 256,
};

struct hk_fdio_stop {
    int event;
};

int hk_fdio_stop_create(struct hk_fdio_stop **out)
{
    struct hk_fdio_stop *stop = calloc(1, sizeof(*stop));
    if (stop == NULL)
        return -HK_ENOMEM;
    stop->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop->event < 0) {
        int code = errno;

        free(stop);
        return -code;
    }
    *out = stop;
    return 0;
}

void hk_fdio_stop_destroy(struct hk_fdio_stop *stop)
{
    if (stop == NULL)
        return;
    close(stop->event);
    free(stop);
}

void hk_fdio_stop_set(struct hk_fdio_stop *stop)
{
    uint64_t one = 1;
    ssize_t n = write(stop->event, &one, sizeof(one));

    (void)n; /* fails only when it is set already */
}

/* 0 when `fd` is ready, or an error. */
static int wait_ready(int fd, short events, const struct hk_fdio_stop *stop)
{
    struct pollfd fds[] = {
        {.fd = fd, .events = events},
        {.fd = stop->event, .events = POLLIN},
    };

    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    if (fds[1].revents != 0)
        return -HK_ECANCELED;
    return (fds[0].revents & POLLNVAL) != 0 ? -HK_EBADF : 0;
}

static bool is_passing(int code)
{
    return code == EINTR || code == EAGAIN || code == EWOULDBLOCK;
}

int hk_fdio_read(int fd, void *to, size_t len, struct hk_fdio_stop *stop)
{
    if (fd < 0)
        return -HK_EBADF;
    for (;;) {
        int rc = wait_ready(fd, POLLIN, stop);
        if (rc != 0)
            return rc;
        ssize_t n = read(fd, to, len);
        if (n >= 0)
            return (int)n;
        if (!is_passing(errno))
            return -errno;
    }
}

int hk_fdio_write(int fd, const void *from, size_t len,
                  struct hk_fdio_stop *stop)
{
    size_t chunk = isatty(fd) ? TTY_CHUNK : PIPE_CHUNK;

    if (fd < 0)
        return -HK_EBADF;
    if (len > chunk)
        len = chunk;
    for (;;) {
        int rc = wait_ready(fd, POLLOUT, stop);
        if (rc != 0)
            return rc;
        ssize_t n = write(fd, from, len);
        if (n > 0)
            return (int)n;
        if (n == 0)
            return -HK_EIO;
        if (!is_passing(errno))
            return -errno;
    }
}

bool hk_fdio_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

int hk_fdio_dup(int fd, int *out)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    *out = copy;
    return 0;
}

void hk_fdio_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

void hk_fdio_enter_thread(void)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}
