/* Reading the host's records. The host is trusted, the file may still be cut
 * or of another version: every length is checked before it is used. */
#include "config.h"

#include "wire/init_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 8, MOUNT_STRINGS = 5 };

struct record {
    unsigned kind;
    const char *data;
    size_t len;
};

static const char no_memory[] = "there is no memory for the configuration";

static uint32_t get_le(const uint8_t *p, int bytes)
{
    uint32_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | p[bytes];
    return value;
}

static void free_mount(struct hk_mount *mount)
{
    free(mount->type);
    free(mount->source);
    free(mount->target);
    free(mount->options);
    *mount = (struct hk_mount){0};
}

static int take_flags(const struct record *r, struct hk_config *config,
                      const char **why)
{
    if (r->len != 4) {
        *why = "the flags in the configuration are damaged";
        return -EINVAL;
    }
    config->flags = get_le((const uint8_t *)r->data, 4);
    if ((config->flags & ~(uint32_t)HK_CFG_ALL_FLAGS) == 0)
        return 0;
    *why = "the configuration has flags that this init does not know";
    return -EINVAL;
}

static int take_size(const struct record *r, struct hk_config *config,
                     const char **why)
{
    if (r->len != 4) {
        *why = "the terminal size in the configuration is damaged";
        return -EINVAL;
    }
    config->rows = (uint16_t)get_le((const uint8_t *)r->data, 2);
    config->columns = (uint16_t)get_le((const uint8_t *)r->data + 2, 2);
    return 0;
}

/* Splits five strings, each ended by NUL, that fill the record exactly. */
static int split_mount(const struct record *r, const char *field[],
                       const char **why)
{
    const char *at = r->data, *end = r->data + r->len;

    for (int i = 0; i < MOUNT_STRINGS; i++) {
        const char *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
        if (nul == NULL) {
            *why = "a mount in the configuration is cut short";
            return -EINVAL;
        }
        field[i] = at;
        at = nul + 1;
    }
    if (at == end && (*field[4] == '\0' || strcmp(field[4], "ro") == 0))
        return 0;
    *why = "a mount in the configuration has words this init does not know";
    return -EINVAL;
}

static int fill_mount(struct hk_mount *mount, const char *const field[])
{
    char **to[] = {&mount->type, &mount->source, &mount->target,
                   &mount->options};
    for (int i = 0; i < 4; i++) {
        if (hk_text_set(to[i], field[i], strlen(field[i])) != 0)
            return -ENOMEM;
    }
    mount->read_only = *field[4] != '\0';
    return 0;
}

static int take_mount(const struct record *r, struct hk_config *config,
                      const char **why)
{
    const char *field[MOUNT_STRINGS];
    struct hk_mount *mount = &config->root;

    int rc = split_mount(r, field, why);
    if (rc != 0)
        return rc;
    if (r->kind == HK_CFG_ROOT) {
        config->has_root = true;
    } else if (config->mount_count == HK_MOUNTS_MAX) {
        *why = "the configuration has more mounts than init can take";
        return -EINVAL;
    } else {
        mount = &config->mounts[config->mount_count++];
    }
    *why = no_memory;
    return fill_mount(mount, field);
}

static int take_text(const struct record *r, struct hk_config *config,
                     const char **why)
{
    *why = no_memory;
    switch (r->kind) {
    case HK_CFG_MODULE:
        return hk_strv_add(&config->modules, r->data, r->len);
    case HK_CFG_EXEC:
        return hk_text_set(&config->exec, r->data, r->len);
    case HK_CFG_ARG:
        return hk_strv_add(&config->args, r->data, r->len);
    case HK_CFG_ENV:
        return hk_strv_add(&config->env, r->data, r->len);
    case HK_CFG_WORKDIR:
        return hk_text_set(&config->workdir, r->data, r->len);
    case HK_CFG_USER:
        return hk_text_set(&config->user, r->data, r->len);
    case HK_CFG_HOSTNAME:
        return hk_text_set(&config->hostname, r->data, r->len);
    case HK_CFG_RLIMIT:
        return hk_strv_add(&config->rlimits, r->data, r->len);
    case HK_CFG_CONSOLE:
        return hk_text_set(&config->console, r->data, r->len);
    }
    *why = "the configuration has a record that this init does not know";
    return -EINVAL;
}

static int take_record(const struct record *r, struct hk_config *config,
                       const char **why)
{
    switch (r->kind) {
    case HK_CFG_FLAGS:
        return take_flags(r, config, why);
    case HK_CFG_ROWS_COLS:
        return take_size(r, config, why);
    case HK_CFG_ROOT:
    case HK_CFG_MOUNT:
        return take_mount(r, config, why);
    }
    if (memchr(r->data, 0, r->len) == NULL)
        return take_text(r, config, why);
    *why = "a text in the configuration has a NUL inside";
    return -EINVAL;
}

static int take_all(const uint8_t *data, size_t size, struct hk_config *config,
                    const char **why)
{
    size_t at = sizeof(HK_CFG_MAGIC) - 1;

    while (size - at >= HEADER) {
        struct record r = {get_le(data + at, 2),
                           (const char *)data + at + HEADER,
                           get_le(data + at + 4, 4)};
        if (r.kind == HK_CFG_END)
            return 0;
        at += HEADER;
        if (r.len > size - at)
            break;
        at += r.len;
        int rc = take_record(&r, config, why);
        if (rc != 0)
            return rc;
    }
    *why = "the configuration is cut short";
    return -EINVAL;
}

int hk_config_parse(const uint8_t *data, size_t size, struct hk_config *config,
                    const char **why)
{
    const size_t magic = sizeof(HK_CFG_MAGIC) - 1;

    *config = (struct hk_config){0};
    if (size < magic || size > HK_CFG_MAX ||
        memcmp(data, HK_CFG_MAGIC, magic) != 0) {
        *why = "the configuration is none that this init knows";
        return -EINVAL;
    }
    int rc = take_all(data, size, config, why);
    if (rc != 0)
        hk_config_fini(config);
    return rc;
}

void hk_config_fini(struct hk_config *config)
{
    struct hk_strv *lists[] = {&config->modules, &config->args, &config->env,
                               &config->rlimits};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        hk_strv_fini(lists[i]);
    for (size_t i = 0; i < config->mount_count; i++)
        free_mount(&config->mounts[i]);
    free_mount(&config->root);
    free(config->exec);
    free(config->workdir);
    free(config->user);
    free(config->hostname);
    free(config->console);
    *config = (struct hk_config){0};
}

int hk_config_set_root(struct hk_config *config, const char *type,
                       const char *source, const char *options)
{
    const char *const field[] = {type, source, "/", options, ""};
    config->has_root = true;
    return fill_mount(&config->root, field);
}
