/*
 * Streams. Each of the three is a relay between a port and a pipe with one
 * buffer: it waits either for something to read or for room to write, never
 * for both, so that a slow end holds the other one up.
 *
 * A port that closes on the host's side (POLLHUP) is the end of input, or a
 * reader that went away; the pipe is closed and the command gets end of file
 * or SIGPIPE, as from any pipe.
 *
 * The terminal's session is init's, and the command a process group in it:
 * the end of a session's leader hangs up its terminal, and output that is
 * still on its way would be lost.
 */
#include "streams.h"

#include "ports.h"
#include "sys.h"
#include "wire/console.h"
#include "wire/init_config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum {
    BUFFER = 32768,
    TTY_TRIES = 1000, /* ten seconds in all */
    TTY_PAUSE_US = 10000,
};

struct relay {
    int from, to;
    int child; /* the command's end of the pipe */
    int port;
    size_t at, len;
    bool last; /* end when there is nothing more to read right now */
    char *bytes;
};

static char buffers[HK_STREAMS][BUFFER];
static struct relay relay[HK_STREAMS] = {
    {-1, -1, -1, -1, 0, 0, false, buffers[0]},
    {-1, -1, -1, -1, 0, 0, false, buffers[1]},
    {-1, -1, -1, -1, 0, 0, false, buffers[2]},
};
static int control = -1, tty = -1, null_fd = -1;
static bool is_open;

static struct hk_port_wish wishes[] = {
    {HK_PORT_STDIN, HK_CFG_STDIN_PORT, -1},
    {HK_PORT_STDOUT, HK_CFG_STDOUT_PORT, -1},
    {HK_PORT_STDERR, HK_CFG_STDERR_PORT, -1},
    {HK_PORT_CONTROL, HK_CFG_CONTROL_PORT, -1},
};
enum { WISHES = sizeof(wishes) / sizeof(wishes[0]) };

void hk_streams_listen(const struct hk_config *config)
{
    if ((config->flags & (HK_CFG_STDIO_PORTS | HK_CFG_CONTROL_PORT)) != 0)
        hk_ports_listen();
}

/* Closed on exec: the command gets copies at 0 to 2. */
static void make_pipe(int number)
{
    struct relay *r = &relay[number];
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        hk_fail("cannot make a pipe", "", errno);
    int ours = number == 0 ? ends[1] : ends[0];
    r->child = number == 0 ? ends[0] : ends[1];
    r->from = number == 0 ? r->port : ours;
    r->to = number == 0 ? ours : r->port;
    (void)fcntl(ours, F_SETFL, O_NONBLOCK);
}

/* The node of a virtio console is there before the console behind it, which
 * the kernel announces to nobody. Its port is the device's first, so that it
 * is there once a later port has its name; the patience is for devices with
 * no other port. */
static int open_patiently(const char *path)
{
    for (int i = 0; i < TTY_TRIES; i++) {
        int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0 || (errno != ENODEV && errno != ENXIO && errno != ENOENT))
            return fd;
        (void)usleep(TTY_PAUSE_US);
    }
    return -1;
}

static void open_tty(const struct hk_config *config)
{
    char path[64];
    const char *name = config->console != NULL ? config->console : "console";

    hk_join(path, sizeof(path), "/dev/", name, NULL);
    tty = open_patiently(path);
    if (tty < 0)
        hk_fail("cannot open the terminal ", path, errno);
    (void)setsid();
    (void)ioctl(tty, TIOCSCTTY, 1);
    struct winsize size = {.ws_row = config->rows, .ws_col = config->columns};
    if (size.ws_row != 0 && size.ws_col != 0)
        (void)ioctl(tty, TIOCSWINSZ, &size);
}

void hk_streams_open(const struct hk_config *config)
{
    if (is_open)
        return;
    is_open = true;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    hk_ports_open(wishes, WISHES, config->flags);
    if ((config->flags & HK_CFG_TTY) != 0)
        open_tty(config);
    control = wishes[3].fd;
    for (int i = 0; i < HK_STREAMS; i++) {
        relay[i].port = wishes[i].fd;
        if (relay[i].port >= 0)
            make_pipe(i);
    }
}

int hk_streams_control(void)
{
    return control;
}

void hk_streams_own(unsigned uid)
{
    if (tty >= 0)
        (void)fchown(tty, uid, (gid_t)-1);
    for (int i = 0; i < HK_STREAMS; i++) {
        if (relay[i].child >= 0)
            (void)fchown(relay[i].child, uid, (gid_t)-1);
    }
}

void hk_streams_enter(bool direct)
{
    if (tty < 0 || direct) {
        (void)setsid();
    } else {
        (void)setpgid(0, 0);
        (void)tcsetpgrp(tty, getpid());
    }
    for (int i = 0; i < HK_STREAMS; i++) {
        int fd = direct ? relay[i].port : relay[i].child;
        if (fd < 0)
            fd = tty >= 0 ? tty : null_fd;
        else if (direct)
            (void)fcntl(fd, F_SETFL, 0);
        (void)dup2(fd, i);
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void hk_streams_started(void)
{
    for (int i = 0; i < HK_STREAMS; i++)
        close_fd(&relay[i].child);
}

static void close_relay(struct relay *r)
{
    close_fd(&r->from);
    close_fd(&r->to);
    r->at = r->len = 0;
}

void hk_streams_prepare(struct pollfd slot[HK_STREAMS])
{
    for (int i = 0; i < HK_STREAMS; i++) {
        const struct relay *r = &relay[i];
        bool writing = r->at < r->len;
        slot[i] = (struct pollfd){.fd = writing ? r->to : r->from,
                                  .events = writing ? POLLOUT : POLLIN};
    }
}

static void try_write(struct relay *r)
{
    while (r->at < r->len) {
        ssize_t n = write(r->to, r->bytes + r->at, r->len - r->at);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            close_relay(r);
            return;
        }
        r->at += (size_t)n;
    }
}

static void try_read(struct relay *r, bool hung_up)
{
    ssize_t n = read(r->from, r->bytes, BUFFER);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !hung_up && !r->last)
        return;
    if (n <= 0) {
        close_relay(r);
        return;
    }
    r->at = 0;
    r->len = (size_t)n;
    try_write(r);
}

void hk_streams_turn(const struct pollfd slot[HK_STREAMS])
{
    for (int i = 0; i < HK_STREAMS; i++) {
        struct relay *r = &relay[i];
        short what = slot[i].revents;
        if (slot[i].fd < 0 || (what == 0 && !r->last))
            continue;
        if (slot[i].events == POLLIN)
            try_read(r, (what & (POLLHUP | POLLERR)) != 0);
        else if ((what & POLLOUT) != 0)
            try_write(r);
        else if (what != 0)
            close_relay(r);
    }
}

void hk_streams_end_input(void)
{
    relay[0].last = true;
    if (relay[0].at == relay[0].len && relay[0].from >= 0)
        try_read(&relay[0], false);
}

void hk_streams_drain(void)
{
    struct pollfd slot[HK_STREAMS];

    hk_streams_started();
    close_relay(&relay[0]);
    while (relay[1].from >= 0 || relay[2].from >= 0) {
        hk_streams_prepare(slot);
        if (poll(slot, HK_STREAMS, -1) < 0 && errno != EINTR)
            break;
        hk_streams_turn(slot);
    }
    if (tty >= 0)
        (void)tcdrain(tty);
}

void hk_streams_complain(const char *line)
{
    int fd = relay[2].child >= 0 ? relay[2].child : tty;
    (void)!write(fd >= 0 ? fd : 2, line, strlen(line));
}
