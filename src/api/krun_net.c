/*
 * krun_*: network cards. There is no such device yet: the calls judge their
 * arguments and then say so.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"

#include <string.h>

enum {
    KNOWN_FEATURES = NET_FEATURE_CSUM | NET_FEATURE_GUEST_CSUM |
                     NET_FEATURE_GUEST_TSO4 | NET_FEATURE_GUEST_TSO6 |
                     NET_FEATURE_GUEST_UFO | NET_FEATURE_HOST_TSO4 |
                     NET_FEATURE_HOST_TSO6 | NET_FEATURE_HOST_UFO,
    GUEST_SEGMENTS =
        NET_FEATURE_GUEST_TSO4 | NET_FEATURE_GUEST_TSO6 | NET_FEATURE_GUEST_UFO,
};

static int no_device(uint32_t ctx_id)
{
    if (hk_krun_begin(ctx_id) == NULL)
        return -HK_ENOENT;
    hk_krun_end();
    return -HK_ENOTSUP;
}

/* A card's own address: not one that stands for many receivers. */
static bool is_card_mac(const uint8_t *mac)
{
    return mac != NULL && (mac[0] & 1) == 0;
}

static bool is_socket(const char *path, int fd)
{
    if (path != NULL && !hk_krun_is_utf8(path))
        return false;
    return (path != NULL) != (fd >= 0);
}

static bool are_options(const uint8_t *mac, uint32_t features, uint32_t flags,
                        uint32_t known_flags)
{
    return is_card_mac(mac) && (features & ~(uint32_t)KNOWN_FEATURES) == 0 &&
           (flags & ~known_flags) == 0;
}

int32_t krun_add_net_unixstream(uint32_t ctx_id, const char *c_path, int fd,
                                uint8_t *const c_mac, uint32_t features,
                                uint32_t flags)
{
    if (!is_socket(c_path, fd) ||
        !are_options(c_mac, features, flags, NET_FLAG_DHCP_CLIENT))
        return -HK_EINVAL;
    return no_device(ctx_id);
}

int32_t krun_add_net_unixgram(uint32_t ctx_id, const char *c_path, int fd,
                              uint8_t *const c_mac, uint32_t features,
                              uint32_t flags)
{
    if (!is_socket(c_path, fd) ||
        !are_options(c_mac, features, flags,
                     NET_FLAG_VFKIT | NET_FLAG_DHCP_CLIENT))
        return -HK_EINVAL;
    return no_device(ctx_id);
}

int32_t krun_add_net_tap(uint32_t ctx_id, char *c_tap_name,
                         uint8_t *const c_mac, uint32_t features,
                         uint32_t flags)
{
    if (c_tap_name == NULL || !hk_krun_is_utf8(c_tap_name) ||
        !are_options(c_mac, features, flags, NET_FLAG_DHCP_CLIENT))
        return -HK_EINVAL;
    if ((features & GUEST_SEGMENTS) != 0 &&
        (features & NET_FEATURE_GUEST_CSUM) == 0)
        return -HK_EINVAL;
    return no_device(ctx_id);
}

/* "HOST:PORT" with a port from 1 to 65535; an IPv6 host has brackets. */
static bool is_tcp_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!hk_krun_is_utf8(text) || colon == NULL || colon == text)
        return false;
    uint32_t port = 0;
    const char *p = colon + 1;
    for (; *p >= '0' && *p <= '9' && port <= UINT16_MAX; p++)
        port = port * 10 + (uint32_t)(*p - '0');
    bool has_brackets = text[0] == '[' && colon[-1] == ']';
    return *p == '\0' && port >= 1 && port <= UINT16_MAX &&
           (has_brackets || strchr(text, ':') == colon);
}

int32_t krun_add_net_tcp(uint32_t ctx_id, const char *c_iface_id,
                         const uint8_t *c_mac, const char *c_tcp_addr)
{
    if (c_iface_id == NULL || !hk_krun_is_utf8(c_iface_id) ||
        !is_card_mac(c_mac))
        return -HK_EINVAL;
    if (c_tcp_addr != NULL && !is_tcp_address(c_tcp_addr))
        return -HK_EINVAL;
    return no_device(ctx_id);
}

int32_t krun_set_passt_fd(uint32_t ctx_id, int fd)
{
    return fd < 0 ? -HK_EINVAL : no_device(ctx_id);
}

int32_t krun_set_gvproxy_path(uint32_t ctx_id, char *c_path)
{
    if (c_path == NULL || !hk_krun_is_utf8(c_path))
        return -HK_EINVAL;
    return no_device(ctx_id);
}

int32_t krun_set_net_mac(uint32_t ctx_id, uint8_t *const c_mac)
{
    if (c_mac == NULL)
        return -HK_EINVAL;
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    memcpy(ctx->net_mac, c_mac, sizeof(ctx->net_mac));
    hk_krun_end();
    return 0;
}
