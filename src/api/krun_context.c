/*
 * The table of contexts.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "base/lock.h"
#include "os/event.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t default_mac[HK_KRUN_MAC_SIZE] = {0x5a, 0x94, 0xef,
                                                      0xe4, 0x0c, 0xee};

/* One for the process, like the ABI. */
static struct {
    struct hk_lock lock;
    struct hk_krun *first;
    uint32_t next_id;
} table;

static struct hk_krun **find(uint32_t ctx_id)
{
    struct hk_krun **place = &table.first;
    while (*place != NULL && (*place)->id != ctx_id)
        place = &(*place)->next;
    return place;
}

struct hk_krun *hk_krun_begin(uint32_t ctx_id)
{
    hk_lock(&table.lock);
    struct hk_krun *ctx = *find(ctx_id);
    if (ctx == NULL)
        hk_unlock(&table.lock);
    return ctx;
}

void hk_krun_end(void)
{
    hk_unlock(&table.lock);
}

struct hk_krun *hk_krun_take(uint32_t ctx_id)
{
    hk_lock(&table.lock);
    struct hk_krun **place = find(ctx_id);
    struct hk_krun *ctx = *place;
    if (ctx != NULL)
        *place = ctx->next;
    hk_unlock(&table.lock);
    return ctx;
}

void hk_krun_append(struct hk_krun_list *list, struct hk_krun_node *node)
{
    node->next = NULL;
    if (list->end == NULL)
        list->first = node;
    else
        *list->end = node;
    list->end = &node->next;
    list->count++;
}

/* Takes the first node off; NULL at the end. For freeing a list. */
static void *pop(struct hk_krun_list *list)
{
    struct hk_krun_node *node = list->first;
    if (node != NULL)
        list->first = node->next;
    return node;
}

static void free_shares(struct hk_krun *ctx)
{
    struct hk_krun_share *share;
    struct hk_krun_overlay *overlay;
    while ((share = pop(&ctx->shares)) != NULL) {
        while ((overlay = pop(&share->overlays)) != NULL) {
            free(overlay->path);
            free(overlay);
        }
        free(share->tag);
        free(share->path);
        free(share);
    }
}

static void free_devices(struct hk_krun *ctx)
{
    struct hk_krun_disk *disk;
    struct hk_krun_vsock_port *vsock_port;
    struct hk_krun_console *console;
    struct hk_krun_port *port;
    while ((disk = pop(&ctx->disks)) != NULL) {
        free(disk->id);
        free(disk->path);
        free(disk);
    }
    while ((vsock_port = pop(&ctx->vsock_ports)) != NULL) {
        free(vsock_port->path);
        free(vsock_port);
    }
    while ((console = pop(&ctx->consoles)) != NULL) {
        while ((port = pop(&console->ports)) != NULL) {
            free(port->name);
            free(port);
        }
        free(console);
    }
}

void hk_krun_free(struct hk_krun *ctx)
{
    if (ctx == NULL)
        return;
    char *texts[] = {ctx->kernel,    ctx->initramfs,      ctx->cmdline,
                     ctx->exec,      ctx->workdir,        ctx->root_device,
                     ctx->root_type, ctx->root_options,   ctx->root_disk,
                     ctx->data_disk, ctx->console_output, ctx->kernel_console};
    hk_krun_strings lists[] = {ctx->oem_strings, ctx->args, ctx->env,
                               ctx->rlimits, ctx->port_map};
    for (size_t i = 0; i < HK_COUNT(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < HK_COUNT(lists); i++)
        hk_krun_strings_free(lists[i]);
    free_shares(ctx);
    free_devices(ctx);
    hk_event_close(ctx->shutdown_event);
    free(ctx);
}

int32_t krun_create_ctx(void)
{
    struct hk_krun *ctx = calloc(1, sizeof(*ctx));
    if (ctx == NULL)
        return -HK_ENOMEM;
    ctx->cpus = 1;
    ctx->ram_mib = 128;
    ctx->shutdown_event = -1;
    memcpy(ctx->net_mac, default_mac, sizeof(default_mac));
    hk_krun_keep_kernel();

    hk_lock(&table.lock);
    bool is_full = table.next_id > INT32_MAX;
    if (!is_full) {
        ctx->id = table.next_id++;
        ctx->next = table.first;
        table.first = ctx;
    }
    hk_unlock(&table.lock);
    if (is_full) {
        hk_krun_free(ctx);
        return -HK_ENOMEM;
    }
    return (int32_t)ctx->id;
}

int32_t krun_free_ctx(uint32_t ctx_id)
{
    struct hk_krun *ctx = hk_krun_take(ctx_id);
    if (ctx == NULL)
        return hk_krun_end_running(ctx_id);
    hk_krun_free(ctx);
    return 0;
}
