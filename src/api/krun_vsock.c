/*
 * krun_*: ports between guest and host.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "os/process.h"

#include <stdlib.h>
#include <string.h>

int32_t krun_disable_implicit_vsock(uint32_t ctx_id)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->vsock = HK_KRUN_VSOCK_OFF;
    hk_krun_end();
    return 0;
}

int32_t krun_add_vsock(uint32_t ctx_id, uint32_t tsi_features)
{
    uint32_t known = KRUN_TSI_HIJACK_INET | KRUN_TSI_HIJACK_UNIX;
    if ((tsi_features & ~known) != 0)
        return -HK_EINVAL;
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    bool is_free = ctx->vsock == HK_KRUN_VSOCK_OFF;
    if (is_free) {
        ctx->vsock = HK_KRUN_VSOCK_ADDED;
        ctx->tsi = tsi_features;
    }
    hk_krun_end();
    return is_free ? 0 : -HK_EEXIST;
}

/* The entry of that port, or NULL. */
static struct hk_krun_vsock_port *find_port(struct hk_krun *ctx, uint32_t port)
{
    struct hk_krun_node *node = ctx->vsock_ports.first;
    for (; node != NULL; node = node->next) {
        struct hk_krun_vsock_port *found =
            (struct hk_krun_vsock_port *)(void *)node;
        if (found->port == port)
            return found;
    }
    return NULL;
}

static void free_port(struct hk_krun_vsock_port *port)
{
    if (port == NULL)
        return;
    free(port->path);
    free(port);
}

/* With the table locked; leaves in `*entry` what is to be freed. */
static int put_port(struct hk_krun *ctx, struct hk_krun_vsock_port **entry)
{
    if (ctx->vsock == HK_KRUN_VSOCK_OFF)
        return -HK_ENODEV;
    struct hk_krun_vsock_port *old = find_port(ctx, (*entry)->port);
    if (old == NULL) {
        hk_krun_append(&ctx->vsock_ports, &(*entry)->node);
        *entry = NULL;
        return 0;
    }
    char *path = old->path;
    old->path = (*entry)->path;
    old->listen = (*entry)->listen;
    (*entry)->path = path;
    return 0;
}

int32_t krun_add_vsock_port(uint32_t ctx_id, uint32_t port,
                            const char *c_filepath)
{
    return krun_add_vsock_port2(ctx_id, port, c_filepath, false);
}

int32_t krun_add_vsock_port2(uint32_t ctx_id, uint32_t port,
                             const char *c_filepath, bool listen)
{
    struct hk_krun_vsock_port *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return -HK_ENOMEM;
    entry->port = port;
    entry->listen = listen;
    int rc = hk_krun_copy_text(c_filepath, &entry->path);
    if (rc == 0 && listen) {
        int exists = hk_process_path_exists(c_filepath);
        if (exists != 0)
            rc = exists > 0 ? -HK_EEXIST : -HK_EINVAL;
    }
    if (rc == 0) {
        struct hk_krun *ctx = hk_krun_begin(ctx_id);
        rc = -HK_ENOENT;
        if (ctx != NULL) {
            rc = put_port(ctx, &entry);
            hk_krun_end();
        }
    }
    free_port(entry);
    return rc;
}

/* ------------------------------------------------------------------ */
/* Port map                                                           */

/* Decimal digits up to `end`, at most 65535. */
static bool parse_port(const char **text, char end, uint16_t *port)
{
    uint32_t value = 0;
    const char *p = *text;
    for (; *p >= '0' && *p <= '9' && value <= UINT16_MAX; p++)
        value = value * 10 + (uint32_t)(*p - '0');
    if (p == *text || value > UINT16_MAX || *p != end)
        return false;
    *text = p + 1;
    *port = (uint16_t)value;
    return true;
}

/* Marks a port as seen; false if it was. */
static bool mark(uint8_t *seen, uint16_t port)
{
    uint8_t bit = (uint8_t)(1U << (port % 8));
    bool is_new = (seen[port / 8] & bit) == 0;
    seen[port / 8] |= bit;
    return is_new;
}

enum { SEEN_SIZE = (UINT16_MAX + 1) / 8 };

static int check_port_map(hk_krun_strings map)
{
    uint8_t *seen = calloc(2, SEEN_SIZE); /* host ports, then guest ports */
    if (seen == NULL)
        return -HK_ENOMEM;
    int rc = 0;
    for (size_t i = 0; rc == 0 && map[i] != NULL; i++) {
        const char *text = map[i];
        uint16_t host = 0, guest = 0;
        if (!parse_port(&text, ':', &host) ||
            !parse_port(&text, '\0', &guest) || !mark(seen, host) ||
            !mark(seen + SEEN_SIZE, guest))
            rc = -HK_EINVAL;
    }
    free(seen);
    return rc;
}

int32_t krun_set_port_map(uint32_t ctx_id, const char *const port_map[])
{
    hk_krun_strings copy = NULL;
    int rc = hk_krun_copy_array(port_map, &copy);
    if (rc == 0)
        rc = check_port_map(copy);
    if (rc == 0) {
        struct hk_krun *ctx = hk_krun_begin(ctx_id);
        rc = ctx == NULL                       ? -HK_ENOENT
             : ctx->vsock == HK_KRUN_VSOCK_OFF ? -HK_ENODEV
                                               : 0;
        if (rc == 0) {
            hk_krun_strings old = ctx->port_map;
            ctx->port_map = copy;
            copy = old;
        }
        if (ctx != NULL)
            hk_krun_end();
    }
    hk_krun_strings_free(copy);
    return rc;
}
