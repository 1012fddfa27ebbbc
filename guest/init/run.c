/*
 * Watching the command. One loop waits for ended children, for what the host
 * says on the control port, for the streams, and for the end of the grace
 * that a STOP gives. The loop ends with the command; what else still runs is
 * killed then, as the machine is there for the command alone.
 */
#include "run.h"

#include "exec.h"
#include "status.h"
#include "streams.h"
#include "sys.h"
#include "wire/console.h"
#include "wire/init_config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct watch {
    pid_t pid; /* also the process group */
    int children, control;
    int status; /* -1 while the command runs */
    uint8_t record[sizeof(struct hk_control)];
    size_t have;
    int64_t kill_at; /* milliseconds; -1 for never */
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void report(int control, uint32_t kind, uint32_t value)
{
    struct hk_control record = {kind, value};
    if (control >= 0)
        (void)!write(control, &record, sizeof(record));
}

static void send_signal(const struct watch *w, int number)
{
    if (kill(-w->pid, number) != 0)
        (void)kill(w->pid, number);
}

static void obey(struct watch *w, const struct hk_control *record)
{
    switch (record->kind) {
    case HK_CONTROL_SIGNAL:
        if (record->value > 0 && record->value <= 64)
            send_signal(w, (int)record->value);
        break;
    case HK_CONTROL_STOP:
        send_signal(w, SIGTERM);
        send_signal(w, SIGCONT);
        w->kill_at = now_ms() + record->value;
        break;
    case HK_CONTROL_STDIN_END:
        hk_streams_end_input();
        break;
    }
}

/* Records may come in pieces. A port whose host is gone is left alone. */
static void hear(struct watch *w)
{
    for (;;) {
        struct hk_control record;
        ssize_t n =
            read(w->control, w->record + w->have, sizeof(w->record) - w->have);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            w->control = -1;
            return;
        }
        w->have += (size_t)n;
        if (w->have < sizeof(w->record))
            continue;
        w->have = 0;
        memcpy(&record, w->record, sizeof(record));
        obey(w, &record);
    }
}

static void reap(struct watch *w)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(w->children, &info, sizeof(info)) > 0)
        continue;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == w->pid)
            w->status = hk_status_of_wait(status);
    }
}

static int patience(const struct watch *w)
{
    if (w->kill_at < 0)
        return -1;
    int64_t left = w->kill_at - now_ms();
    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void watch(struct watch *w)
{
    struct pollfd slot[2 + HK_STREAMS];

    while (w->status < 0) {
        slot[0] = (struct pollfd){.fd = w->children, .events = POLLIN};
        slot[1] = (struct pollfd){.fd = w->control, .events = POLLIN};
        hk_streams_prepare(slot + 2);
        if (poll(slot, 2 + HK_STREAMS, patience(w)) < 0 && errno != EINTR)
            hk_fail("cannot wait for the command", "", errno);
        if (slot[1].fd >= 0 && slot[1].revents != 0)
            hear(w);
        hk_streams_turn(slot + 2);
        if (slot[0].revents != 0)
            reap(w);
        if (w->kill_at >= 0 && now_ms() >= w->kill_at) {
            send_signal(w, SIGKILL);
            w->kill_at = -1;
        }
    }
}

/* Waits until the new process has become the command, or says why not. */
static bool has_started(int from, struct hk_exec_error *error)
{
    ssize_t n;
    do {
        n = read(from, error, sizeof(*error));
    } while (n < 0 && errno == EINTR);
    close(from);
    return n != (ssize_t)sizeof(*error);
}

static void kill_rest(void)
{
    (void)kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
}

static int refused(int control, const struct hk_exec_error *error)
{
    hk_complain(error->text);
    report(control, HK_CONTROL_FAILED, (uint32_t)error->error);
    return error->status;
}

static int run_instead(const struct hk_config *config,
                       const struct hk_user *user)
{
    struct hk_exec_error error;
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 3);

    hk_streams_enter(true);
    hk_exec(config, user, &error);
    (void)dup2(saved, 2);
    return refused(hk_streams_control(), &error);
}

int hk_run(const struct hk_config *config, const struct hk_user *user)
{
    struct watch w = {
        .control = hk_streams_control(), .status = -1, .kill_at = -1};
    struct hk_exec_error error;
    sigset_t children;
    int tell[2];

    if (user != NULL)
        hk_streams_own(user->uid);
    if ((config->flags & HK_CFG_PID1) != 0)
        return run_instead(config, user);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &children, NULL);
    w.children = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    if (w.children < 0 || pipe2(tell, O_CLOEXEC) != 0)
        hk_fail("cannot watch the command", "", errno);
    w.pid = fork();
    if (w.pid < 0)
        hk_fail("cannot make a process for the command", "", errno);
    if (w.pid == 0) {
        hk_streams_enter(false);
        hk_exec(config, user, &error);
        (void)!write(tell[1], &error, sizeof(error));
        _exit(error.status);
    }
    close(tell[1]);
    if (!has_started(tell[0], &error)) {
        kill_rest();
        return refused(w.control, &error);
    }
    report(w.control, HK_CONTROL_STARTED, (uint32_t)w.pid);
    hk_streams_started();
    watch(&w);
    kill_rest();
    return w.status;
}
