/* DHCP packets. The fixed part has 236 bytes, then a magic number, then
 * options of one byte kind, one byte length. */
#include "dhcp.h"

#include <stdbool.h>
#include <string.h>

enum {
    AT_ID = 4,
    AT_FLAGS = 10,
    AT_YOURS = 16,
    AT_MAC = 28,
    AT_MAGIC = 236,
    AT_OPTIONS = 240,
    BOOT_REQUEST = 1,
    BOOT_REPLY = 2,
    ETHERNET = 1,
    OPT_PAD = 0,
    OPT_MASK = 1,
    OPT_ROUTER = 3,
    OPT_DNS = 6,
    OPT_MTU = 26,
    OPT_ADDRESS = 50,
    OPT_KIND = 53,
    OPT_SERVER = 54,
    OPT_WANTED = 55,
    OPT_RAPID = 80,
    OPT_END = 255,
    MTU_MIN = 1280,
    MTU_MAX = 65520,
};

static const uint8_t magic[4] = {99, 130, 83, 99};

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

static uint8_t *put_option32(uint8_t *p, uint8_t kind, uint32_t value)
{
    p[0] = kind;
    p[1] = 4;
    put32(p + 2, value);
    return p + 6;
}

size_t hk_dhcp_build(const struct hk_dhcp_ask *ask, uint8_t *packet)
{
    static const uint8_t wanted[] = {OPT_WANTED, 4,       OPT_MASK,
                                     OPT_ROUTER, OPT_DNS, OPT_MTU};
    uint8_t *p = packet + AT_OPTIONS;

    memset(packet, 0, HK_DHCP_PACKET);
    packet[0] = BOOT_REQUEST;
    packet[1] = ETHERNET;
    packet[2] = sizeof(ask->mac);
    put32(packet + AT_ID, ask->id);
    packet[AT_FLAGS] = 0x80; /* answer by broadcast: we have no address */
    memcpy(packet + AT_MAC, ask->mac, sizeof(ask->mac));
    memcpy(packet + AT_MAGIC, magic, sizeof(magic));
    *p++ = OPT_KIND;
    *p++ = 1;
    *p++ = (uint8_t)ask->kind;
    if (ask->kind == HK_DHCP_REQUEST) {
        p = put_option32(p, OPT_ADDRESS, ask->address);
        p = put_option32(p, OPT_SERVER, ask->server);
    } else {
        *p++ = OPT_RAPID;
        *p++ = 0;
    }
    memcpy(p, wanted, sizeof(wanted));
    p += sizeof(wanted);
    *p++ = OPT_END;
    size_t len = (size_t)(p - packet);
    return len < 300 ? 300 : len; /* what old relays insist on */
}

static void take_option(int kind, const uint8_t *data, size_t len,
                        struct hk_dhcp_lease *lease, int *answer)
{
    if (kind == OPT_KIND && len == 1)
        *answer = data[0];
    else if (kind == OPT_MTU && len == 2)
        lease->mtu = data[0] << 8 | data[1];
    else if (len < 4)
        return;
    else if (kind == OPT_MASK)
        lease->mask = get32(data);
    else if (kind == OPT_ROUTER)
        lease->gateway = get32(data);
    else if (kind == OPT_SERVER)
        lease->server = get32(data);
    for (size_t at = 0; kind == OPT_DNS && len - at >= 4; at += 4) {
        if (lease->dns_count < HK_DHCP_DNS_MAX)
            lease->dns[lease->dns_count++] = get32(data + at);
    }
}

static bool is_ours(const uint8_t *packet, size_t size,
                    const struct hk_dhcp_ask *ask)
{
    return size >= AT_OPTIONS && packet[0] == BOOT_REPLY &&
           get32(packet + AT_ID) == ask->id &&
           memcmp(packet + AT_MAC, ask->mac, sizeof(ask->mac)) == 0 &&
           memcmp(packet + AT_MAGIC, magic, sizeof(magic)) == 0;
}

/* The mask that an address had before there were masks, for servers that
 * send none. */
static uint32_t class_mask(uint32_t address)
{
    if (address >> 31 == 0)
        return 0xff000000;
    return address >> 30 == 2 ? 0xffff0000 : 0xffffff00;
}

int hk_dhcp_parse(const uint8_t *packet, size_t size,
                  const struct hk_dhcp_ask *ask, struct hk_dhcp_lease *lease)
{
    int answer = 0;

    if (!is_ours(packet, size, ask))
        return 0;
    *lease = (struct hk_dhcp_lease){.address = get32(packet + AT_YOURS)};
    for (size_t at = AT_OPTIONS; at < size && packet[at] != OPT_END;) {
        if (packet[at] == OPT_PAD) {
            at++;
            continue;
        }
        if (size - at < 2 || size - at - 2 < packet[at + 1])
            return 0;
        take_option(packet[at], packet + at + 2, packet[at + 1], lease,
                    &answer);
        at += 2u + packet[at + 1];
    }
    if (lease->mask == 0)
        lease->mask = class_mask(lease->address);
    if (lease->mtu != 0 && lease->mtu < MTU_MIN)
        lease->mtu = MTU_MIN;
    if (lease->mtu > MTU_MAX)
        lease->mtu = MTU_MAX;
    if (answer != HK_DHCP_NAK && lease->address == 0)
        return 0;
    return answer == HK_DHCP_OFFER || answer == HK_DHCP_ACK ||
                   answer == HK_DHCP_NAK
               ? answer
               : 0;
}

int hk_dhcp_format(char *text, size_t size, uint32_t address)
{
    static const char word[] = "nameserver ";
    size_t at = sizeof(word) - 1;

    if (size < 32)
        return 0;
    memcpy(text, word, at);
    for (int shift = 24; shift >= 0; shift -= 8) {
        unsigned v = address >> shift & 0xff;
        if (v >= 100)
            text[at++] = (char)('0' + v / 100);
        if (v >= 10)
            text[at++] = (char)('0' + v / 10 % 10);
        text[at++] = (char)('0' + v % 10);
        text[at++] = shift > 0 ? '.' : '\n';
    }
    return (int)at;
}
