/*
 * DHCP packets (RFC 2131, 2132, 4039): what a client that wants one address
 * says, and what servers answer. Addresses are numbers in host order.
 */
#ifndef HK_INIT_DHCP_H
#define HK_INIT_DHCP_H

#include <stddef.h>
#include <stdint.h>

enum {
    HK_DHCP_PACKET = 1500,
    HK_DHCP_DNS_MAX = 3, /* as many as a resolver looks at */
    HK_DHCP_DISCOVER = 1,
    HK_DHCP_OFFER = 2,
    HK_DHCP_REQUEST = 3,
    HK_DHCP_ACK = 5,
    HK_DHCP_NAK = 6,
};

struct hk_dhcp_ask {
    int kind; /* DISCOVER or REQUEST */
    uint32_t id;
    uint8_t mac[6];
    uint32_t address, server; /* for REQUEST */
};

struct hk_dhcp_lease {
    uint32_t address, mask, gateway, server;
    uint32_t dns[HK_DHCP_DNS_MAX];
    size_t dns_count;
    int mtu; /* 1280 to 65520, or 0 */
};

/* Returns the length. `packet` has HK_DHCP_PACKET bytes. */
size_t hk_dhcp_build(const struct hk_dhcp_ask *ask, uint8_t *packet);

/* The kind of the answer, or 0 when it is none to this question. */
int hk_dhcp_parse(const uint8_t *packet, size_t size,
                  const struct hk_dhcp_ask *ask, struct hk_dhcp_lease *lease);

/* "nameserver A.B.C.D\n"; returns its length. `size` is at least 32. */
int hk_dhcp_format(char *text, size_t size, uint32_t address);

#endif
