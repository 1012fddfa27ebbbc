#define _GNU_SOURCE
#include "os/process.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 16 }; /* the kernel's limit, with the end byte */

const char *const *hk_process_environment(void)
{
    static const char *const none[] = {NULL};
    return environ != NULL ? (const char *const *)environ : none;
}

void hk_process_set_name(const char *name)
{
    char shown[NAME_SIZE];
    (void)snprintf(shown, sizeof(shown), "%s", name);
    (void)pthread_setname_np(pthread_self(), shown);
}

void hk_process_fill_standard(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_NOCTTY);
        if (fd < 0) /* a root directory without devices */
            fd = open("/", O_PATH);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

void hk_process_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The C library changes all threads of the process, as POSIX wants. */
int hk_process_set_ids(const uint32_t *uid, const uint32_t *gid)
{
    if (gid != NULL && setgid(*gid) != 0)
        return -errno;
    if (uid != NULL && setuid(*uid) != 0)
        return -errno;
    return 0;
}

HK_NORETURN void hk_process_exit(int status)
{
    _exit(status & 0xff);
}

void hk_process_print(int fd, const char *text, size_t len)
{
    while (len != 0) {
        ssize_t n = write(fd, text, len);
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd poller = {.fd = fd, .events = POLLOUT};
            (void)poll(&poller, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            return;
        }
    }
}

bool hk_process_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

/* O_NONBLOCK only for the opening: whoever else holds a FIFO's end does not
 * see it, and a writer that blocks is what the console's pump expects. */
int hk_process_open_output(const char *path, int *fd)
{
    int opened = open(
        path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        0666);
    if (opened < 0)
        return -errno;
    int flags = fcntl(opened, F_GETFL);
    if (flags >= 0)
        (void)fcntl(opened, F_SETFL, flags & ~O_NONBLOCK);
    *fd = opened;
    return 0;
}

void hk_process_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

int hk_process_path_exists(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

/* A module parameter that is a yes or no; false when it cannot be read. */
static bool says_yes(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    int c = fgetc(file);
    (void)fclose(file);
    return c == '1' || c == 'Y' || c == 'y';
}

int hk_process_nested_virt(void)
{
    return says_yes("/sys/module/kvm_intel/parameters/nested") ||
                   says_yes("/sys/module/kvm_amd/parameters/nested")
               ? 1
               : 0;
}
