/*
 * Two small tables of the process, because terminals and signal handlers are
 * the process's: raw terminals, and watches of the window size.
 *
 * Both are read by signal handlers, which may not wait for a lock. So an entry
 * is filled before an atomic says that it counts, and emptied after. A watch
 * is freed only once no handler runs that may still see it.
 */
#include "os/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <uv.h>

bool hk_tty_is(int fd)
{
    return fd >= 0 && isatty(fd) != 0;
}

/* ------------------------------------------------------------------ */
/* Raw mode                                                           */

struct hk_tty_raw {
    atomic_bool active; /* the fields below are valid */
    uint32_t claims;
    int fd; /* ours */
    dev_t device;
    struct termios before;
};

static struct hk_tty_raw raws[HK_TTY_RAW_MAX];
static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock; /* guards changes of both tables */

static void set_up(void)
{
    if (uv_mutex_init(&lock) != 0)
        abort();
    (void)atexit(hk_tty_restore_all);
}

static void take_lock(void)
{
    uv_once(&once, set_up);
    uv_mutex_lock(&lock);
}

static int set_mode(int fd, const struct termios *mode)
{
    int rc;

    do
        rc = tcsetattr(fd, TCSANOW, mode);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : -errno;
}

void hk_tty_restore_all(void)
{
    int code = errno;

    for (size_t i = 0; i < HK_TTY_RAW_MAX; i++)
        if (atomic_load(&raws[i].active))
            (void)tcsetattr(raws[i].fd, TCSANOW, &raws[i].before);
    errno = code;
}

static struct hk_tty_raw *find_raw(dev_t device)
{
    for (size_t i = 0; i < HK_TTY_RAW_MAX; i++)
        if (atomic_load(&raws[i].active) && raws[i].device == device)
            return &raws[i];
    return NULL;
}

static struct hk_tty_raw *find_free_raw(void)
{
    for (size_t i = 0; i < HK_TTY_RAW_MAX; i++)
        if (!atomic_load(&raws[i].active))
            return &raws[i];
    return NULL;
}

static void make_raw(struct termios *mode)
{
    mode->c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | INPCK | ISTRIP |
                                 INLCR | IGNCR | ICRNL | IXON);
    mode->c_oflag &= ~(tcflag_t)OPOST;
    mode->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    mode->c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    mode->c_cflag |= CS8;
    mode->c_cc[VMIN] = 1;
    mode->c_cc[VTIME] = 0;
}

/* With the lock held. */
static int add_raw(int fd, dev_t device, struct hk_tty_raw **out)
{
    struct hk_tty_raw *raw = find_free_raw();
    struct termios mode;

    if (raw == NULL)
        return -HK_ENOSPC;
    if (tcgetattr(fd, &raw->before) != 0)
        return -errno;
    raw->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (raw->fd < 0)
        return -errno;
    raw->device = device;
    raw->claims = 1;
    mode = raw->before;
    make_raw(&mode);
    atomic_store(&raw->active, true);
    int rc = set_mode(fd, &mode);
    if (rc != 0) {
        atomic_store(&raw->active, false);
        close(raw->fd);
        return rc;
    }
    *out = raw;
    return 0;
}

int hk_tty_raw_set(struct uv_tty_s *tty, int fd, struct hk_tty_raw **out)
{
    struct stat info;
    int rc = 0;

    (void)tty; /* libuv remembers only one terminal's former mode */
    if (fstat(fd, &info) != 0)
        return -errno;
    take_lock();
    struct hk_tty_raw *raw = find_raw(info.st_rdev);
    if (raw != NULL) {
        raw->claims++;
        *out = raw;
    } else {
        rc = add_raw(fd, info.st_rdev, out);
    }
    uv_mutex_unlock(&lock);
    return rc;
}

void hk_tty_raw_unset(struct hk_tty_raw *raw)
{
    if (raw == NULL)
        return;
    take_lock();
    if (--raw->claims == 0) {
        (void)set_mode(raw->fd, &raw->before);
        atomic_store(&raw->active, false);
        close(raw->fd);
    }
    uv_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------ */
/* Size                                                               */

bool hk_tty_size(int fd, uint16_t *columns, uint16_t *rows)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 ||
        size.ws_row == 0)
        return false;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return true;
}

bool hk_tty_tells_size(int fd)
{
    pid_t owner = tcgetsid(fd);

    return owner >= 0 && owner == getsid(0);
}

enum { WATCH_MAX = 256 };

struct hk_tty_watch {
    uv_async_t async;
    void (*changed)(void *opaque);
    void *opaque;
    size_t slot;
};

static _Atomic(struct hk_tty_watch *) watches[WATCH_MAX];
static size_t watch_count;
static atomic_uint handlers_running;
static struct sigaction former; /* what on_winch passes the signal on to */

static void on_winch(int number, siginfo_t *info, void *context)
{
    int code = errno;

    atomic_fetch_add(&handlers_running, 1);
    for (size_t i = 0; i < WATCH_MAX; i++) {
        struct hk_tty_watch *watch = atomic_load(&watches[i]);

        if (watch != NULL)
            uv_async_send(&watch->async);
    }
    atomic_fetch_sub(&handlers_running, 1);
    errno = code;
    if ((former.sa_flags & SA_SIGINFO) != 0)
        former.sa_sigaction(number, info, context);
    else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN)
        former.sa_handler(number);
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 &&
           action->sa_sigaction == on_winch;
}

/* With the lock held. SA_ONSTACK: some runtimes have small stacks. */
static void install_handler(void)
{
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigaction present;

    if (sigaction(SIGWINCH, NULL, &present) != 0 || is_ours(&present))
        return;
    former = present;
    ours.sa_sigaction = on_winch;
    (void)sigaction(SIGWINCH, &ours, NULL);
}

/* Unless somebody came after us who may pass the signal on to us. */
static void remove_handler(void)
{
    struct sigaction present;

    if (sigaction(SIGWINCH, NULL, &present) == 0 && is_ours(&present))
        (void)sigaction(SIGWINCH, &former, NULL);
}

static void on_watch(uv_async_t *async)
{
    struct hk_tty_watch *watch = async->data;

    watch->changed(watch->opaque);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* With the lock held. */
static bool add_watch(struct hk_tty_watch *watch)
{
    for (size_t i = 0; i < WATCH_MAX; i++) {
        if (atomic_load(&watches[i]) != NULL)
            continue;
        watch->slot = i;
        atomic_store(&watches[i], watch);
        if (watch_count++ == 0)
            install_handler();
        return true;
    }
    return false;
}

int hk_tty_watch_start(struct uv_loop_s *loop, void (*changed)(void *opaque),
                       void *opaque, struct hk_tty_watch **out)
{
    struct hk_tty_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return -HK_ENOMEM;
    if (uv_async_init(loop, &watch->async, on_watch) != 0) {
        free(watch);
        return -HK_ENOMEM;
    }
    watch->async.data = watch;
    watch->changed = changed;
    watch->opaque = opaque;
    take_lock();
    bool added = add_watch(watch);
    uv_mutex_unlock(&lock);
    if (!added) {
        uv_close((uv_handle_t *)&watch->async, on_watch_closed);
        return -HK_ENOSPC;
    }
    *out = watch;
    return 0;
}

void hk_tty_watch_stop(struct hk_tty_watch *watch)
{
    if (watch == NULL)
        return;
    take_lock();
    atomic_store(&watches[watch->slot], NULL);
    if (--watch_count == 0)
        remove_handler();
    uv_mutex_unlock(&lock);
    while (atomic_load(&handlers_running) != 0)
        uv_sleep(0);
    uv_close((uv_handle_t *)&watch->async, on_watch_closed);
}
