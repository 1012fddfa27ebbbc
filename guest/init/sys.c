/* Messages, files and the end of the machine. */
#include "sys.h"

#include "status.h"
#include "streams.h"
#include "wire/console.h"
#include "wire/init_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SENTENCE = 512 };

void hk_join(char *to, size_t size, ...)
{
    va_list args;
    size_t at = 0;
    const char *text;

    va_start(args, size);
    while ((text = va_arg(args, const char *)) != NULL) {
        size_t len = strlen(text);
        if (len > size - 1 - at)
            len = size - 1 - at;
        memcpy(to + at, text, len);
        at += len;
    }
    va_end(args);
    to[at] = '\0';
}

void hk_note(const char *text)
{
    char line[SENTENCE];
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    hk_join(line, sizeof(line), "<3>husk: ", text, "\n", NULL);
    (void)!write(fd, line, strlen(line));
    close(fd);
}

void hk_complain(const char *text)
{
    char line[SENTENCE];
    hk_note(text);
    hk_join(line, sizeof(line), "husk: ", text, "\n", NULL);
    hk_streams_complain(line);
}

/* The host need not look for the reason elsewhere: it was said. */
static void report_failure(int error)
{
    const struct hk_control record = {HK_CONTROL_FAILED, (uint32_t)error};
    int control = hk_streams_control();
    if (control >= 0)
        (void)!write(control, &record, sizeof(record));
}

_Noreturn void hk_fail(const char *text, const char *what, int error)
{
    static bool failing;
    char line[SENTENCE];

    hk_join(line, sizeof(line), text, what, error != 0 ? ": " : "",
            error != 0 ? strerror(error) : "", NULL);
    if (failing) { /* telling about the first failure failed */
        hk_note(line);
        hk_end(&hk_config, HK_STATUS_SETUP);
    }
    failing = true;
    hk_streams_open(&hk_config);
    hk_complain(line);
    report_failure(error);
    hk_end(&hk_config, HK_STATUS_SETUP);
}

char *hk_read_file(const char *path, size_t max, size_t *size)
{
    size_t room = 4096, len = 0;
    char *text = malloc(room);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (text != NULL && fd >= 0) {
        ssize_t n = read(fd, text + len, room - 1 - len);
        if (n <= 0) {
            close(fd);
            if (n < 0)
                break;
            text[len] = '\0';
            *size = len;
            return text;
        }
        len += (size_t)n;
        if (len < room - 1)
            continue;
        if (len > max) {
            close(fd);
            errno = EFBIG;
            break;
        }
        room *= 2;
        char *more = realloc(text, room);
        if (more == NULL)
            close(fd);
        else
            text = more;
        fd = more == NULL ? -1 : fd;
    }
    free(text);
    return NULL;
}

int hk_make_folders(const char *path)
{
    char part[4096];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, len + 1);
    for (char *p = part + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(part, 0755);
        *p = '/';
    }
    struct stat st;
    if (mkdir(part, 0755) == 0)
        return 0;
    int error = errno;
    if (stat(part, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    errno = error;
    return -1;
}

static void say_by_ioctl(int status)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && hk_root_is_share())
        (void)ioctl(fd, HK_EXIT_IOCTL, status);
    if (fd >= 0)
        close(fd);
}

/* Ends the machine at once where there is such a port. */
static void say_by_port(int status)
{
    if (ioperm(HK_EXIT_IO_PORT, 4, 1) == 0 &&
        inw(HK_EXIT_IO_PORT) == HK_EXIT_IO_PORT_ID)
        outl((unsigned)status, HK_EXIT_IO_PORT);
}

_Noreturn void hk_end(const struct hk_config *config, int status)
{
    hk_streams_drain();
    hk_unmount_all(config);
    if ((config->flags & HK_CFG_EXIT_IOCTL) != 0)
        say_by_ioctl(status);
    if ((config->flags & HK_CFG_EXIT_PORT) != 0 || config->flags == 0)
        say_by_port(status);
    (void)reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}
