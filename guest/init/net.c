/* Network interfaces: loopback, and eth0 by DHCP where that is asked for. */
#include "sys.h"

#include "dhcp.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MS = 500,
    TRIES = 8,
    CLIENT_PORT = 68,
    SERVER_PORT = 67,
};

static void name_request(struct ifreq *request, const char *name)
{
    *request = (struct ifreq){0};
    memcpy(request->ifr_name, name, strlen(name));
}

static bool bring_up(int fd, const char *name)
{
    struct ifreq request;
    name_request(&request, name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        return false;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

static struct sockaddr internet(uint32_t address)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(address)};
    struct sockaddr out;
    memcpy(&out, &in, sizeof(out));
    return out;
}

static void write_resolver(const struct hk_dhcp_lease *lease)
{
    char text[HK_DHCP_DNS_MAX * 32];
    size_t len = 0;
    for (size_t i = 0; i < lease->dns_count; i++) {
        uint32_t a = lease->dns[i];
        len += (size_t)hk_dhcp_format(text + len, sizeof(text) - len, a);
    }
    if (len == 0)
        return;
    int fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                  0644);
    if (fd < 0)
        return;
    (void)!write(fd, text, len);
    close(fd);
}

static bool apply(int fd, const struct hk_dhcp_lease *lease)
{
    struct ifreq request;
    name_request(&request, "eth0");
    request.ifr_addr = internet(lease->address);
    if (ioctl(fd, SIOCSIFADDR, &request) != 0)
        return false;
    request.ifr_netmask = internet(lease->mask);
    (void)ioctl(fd, SIOCSIFNETMASK, &request);
    if (lease->mtu != 0) {
        request.ifr_mtu = lease->mtu;
        (void)ioctl(fd, SIOCSIFMTU, &request);
    }
    if (lease->gateway != 0) {
        struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
        route.rt_dst = internet(0);
        route.rt_genmask = internet(0);
        route.rt_gateway = internet(lease->gateway);
        (void)ioctl(fd, SIOCADDRT, &route);
    }
    write_resolver(lease);
    return true;
}

static int open_client(void)
{
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_port = htons(CLIENT_PORT)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) ||
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", sizeof("eth0")) ||
        bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* One question and the wait for its answer: the answer's kind, or 0. */
static int ask(int fd, const struct hk_dhcp_ask *question,
               struct hk_dhcp_lease *lease)
{
    uint8_t packet[HK_DHCP_PACKET];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(SERVER_PORT),
                             .sin_addr.s_addr = htonl(INADDR_BROADCAST)};
    size_t len = hk_dhcp_build(question, packet);

    if (sendto(fd, packet, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        return 0;
    struct pollfd slot = {.fd = fd, .events = POLLIN};
    while (poll(&slot, 1, ANSWER_MS) > 0) {
        ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
        int kind =
            n > 0 ? hk_dhcp_parse(packet, (size_t)n, question, lease) : 0;
        if (kind != 0)
            return kind;
    }
    return 0;
}

static bool lease_address(int fd, const uint8_t mac[6],
                          struct hk_dhcp_lease *lease)
{
    struct hk_dhcp_ask question = {.kind = HK_DHCP_DISCOVER};
    memcpy(question.mac, mac, 6);
    (void)!getrandom(&question.id, sizeof(question.id), GRND_NONBLOCK);
    for (int i = 0; i < TRIES; i++) {
        int kind = ask(fd, &question, lease);
        if (kind == HK_DHCP_ACK)
            return true;
        if (kind == HK_DHCP_NAK) {
            question.kind = HK_DHCP_DISCOVER;
        } else if (kind == HK_DHCP_OFFER) {
            question.kind = HK_DHCP_REQUEST;
            question.address = lease->address;
            question.server = lease->server;
        }
    }
    return false;
}

static void configure_eth0(int fd)
{
    struct ifreq request;
    struct hk_dhcp_lease lease;
    uint8_t mac[6];

    name_request(&request, "eth0");
    if (!bring_up(fd, "eth0") || ioctl(fd, SIOCGIFHWADDR, &request) != 0)
        return;
    memcpy(mac, request.ifr_hwaddr.sa_data, sizeof(mac));
    int client = open_client();
    if (client < 0 || !lease_address(client, mac, &lease) || !apply(fd, &lease))
        hk_note("eth0 got no address by DHCP");
    if (client >= 0)
        close(client);
}

/*
 * A kernel that hands sockets over to the host (tsi_hijack) wants an interface
 * with an address other than loopback's, or programs think there is no
 * network.
 */
static void add_dummy(int fd)
{
    struct ifreq request;

    if (!bring_up(fd, "dummy0"))
        return;
    name_request(&request, "dummy0");
    request.ifr_addr = internet(0xcb007101); /* 203.0.113.1 */
    (void)ioctl(fd, SIOCSIFADDR, &request);
    request.ifr_netmask = internet(0xffffff00);
    (void)ioctl(fd, SIOCSIFNETMASK, &request);
}

static bool is_hijacked(void)
{
    size_t size;
    char *line = hk_read_file("/proc/cmdline", 65536, &size);
    bool found = line != NULL && hk_plan_has_word(line, "tsi_hijack");
    free(line);
    return found;
}

void hk_net_start(bool dhcp)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)bring_up(fd, "lo");
    if (is_hijacked())
        add_dummy(fd);
    if (dhcp)
        configure_eth0(fd);
    close(fd);
}
