/* Finding virtio console ports by name. */
#include "ports.h"

#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FOLDER "/sys/class/virtio-ports"

/* From the kernel's linux/netlink.h, which the C library does not bring. */
struct netlink_address {
    uint16_t family, pad;
    uint32_t port, groups;
};

enum {
    NETLINK_UEVENT = 15,
    UEVENTS = 1,
    PATIENCE_MS = 10000, /* a host that has not said it by then never will */
};

static int events = -1;

void hk_ports_listen(void)
{
    struct netlink_address address = {.family = AF_NETLINK, .groups = UEVENTS};
    events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_UEVENT);
    if (events >= 0 && bind(events, (const struct sockaddr *)(void *)&address,
                            sizeof(address)) != 0) {
        close(events);
        events = -1;
    }
}

/* The port's name without the newline; "" when it has none (yet). */
static void read_name(const char *device, char *name, size_t size)
{
    char path[320];
    name[0] = '\0';
    hk_join(path, sizeof(path), FOLDER "/", device, "/name", NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, name, size - 1);
    close(fd);
    name[n > 0 ? n : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

static void open_port(struct hk_port_wish *wish, const char *device)
{
    char path[320];
    hk_join(path, sizeof(path), "/dev/", device, NULL);
    wish->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (wish->fd < 0)
        hk_fail("cannot open the console port ", wish->name, errno);
}

static void look_around(struct hk_port_wish *wish, size_t count, uint32_t flags)
{
    char name[64];
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        read_name(entry->d_name, name, sizeof(name));
        for (size_t i = 0; i < count; i++) {
            if ((flags & wish[i].flag) != 0 && wish[i].fd < 0 &&
                strcmp(name, wish[i].name) == 0)
                open_port(&wish[i], entry->d_name);
        }
    }
    if (folder != NULL)
        closedir(folder);
}

static const char *first_missing(const struct hk_port_wish *wish, size_t count,
                                 uint32_t flags)
{
    for (size_t i = 0; i < count; i++) {
        if ((flags & wish[i].flag) != 0 && wish[i].fd < 0)
            return wish[i].name;
    }
    return NULL;
}

void hk_ports_open(struct hk_port_wish *wish, size_t count, uint32_t flags)
{
    char message[4096];
    const char *missing;

    for (;;) {
        if (first_missing(wish, count, flags) != NULL)
            look_around(wish, count, flags);
        missing = first_missing(wish, count, flags);
        if (missing == NULL)
            break;
        struct pollfd slot = {.fd = events, .events = POLLIN};
        if (events < 0 || poll(&slot, 1, PATIENCE_MS) <= 0)
            hk_fail("the console device has no port ", missing, 0);
        while (recv(events, message, sizeof(message), MSG_DONTWAIT) > 0)
            continue;
    }
    if (events >= 0)
        close(events);
    events = -1;
}
