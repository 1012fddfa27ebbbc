/* Writing init's configuration. */
#include "guest/init_config.h"

#include "base/endian.h"
#include "wire/init_config.h"

#include <string.h>

enum { HEADER = 8 };

void hk_init_config_init(struct hk_init_config *config)
{
    *config = (struct hk_init_config){0};
    hk_bytes_add(&config->bytes, HK_CFG_MAGIC, sizeof(HK_CFG_MAGIC) - 1);
}

void hk_init_config_fini(struct hk_init_config *config)
{
    hk_bytes_fini(&config->bytes);
}

/* The header of a record of `len` bytes, which the caller then adds; false
 * when the file is (or would be) too long. */
static bool begin(struct hk_init_config *config, unsigned kind, size_t len)
{
    uint8_t header[HEADER] = {0};

    if (config->rc != 0)
        return false;
    /* the closing record still has to fit */
    if (len > HK_CFG_MAX ||
        config->bytes.len + len > HK_CFG_MAX - (size_t)2 * HEADER) {
        config->rc = hk_err_set(&config->err, -HK_E2BIG,
                                "the command's arguments and environment are "
                                "longer than %d KiB in all; shorten them",
                                HK_CFG_MAX / 1024);
        return false;
    }
    hk_put_le16(header, (uint16_t)kind);
    hk_put_le32(header + 4, (uint32_t)len);
    hk_bytes_add(&config->bytes, header, sizeof(header));
    return true;
}

static void add(struct hk_init_config *config, unsigned kind, const void *data,
                size_t len)
{
    if (begin(config, kind, len))
        hk_bytes_add(&config->bytes, data, len);
}

void hk_init_config_add_text(struct hk_init_config *config, unsigned kind,
                             const char *text)
{
    if (text != NULL)
        add(config, kind, text, strlen(text));
}

void hk_init_config_add_texts(struct hk_init_config *config, unsigned kind,
                              const char *const list[])
{
    for (; list != NULL && *list != NULL; list++)
        hk_init_config_add_text(config, kind, *list);
}

void hk_init_config_add_flags(struct hk_init_config *config, uint32_t flags)
{
    uint8_t data[4];
    hk_put_le32(data, flags);
    add(config, HK_CFG_FLAGS, data, sizeof(data));
}

void hk_init_config_add_size(struct hk_init_config *config, uint16_t rows,
                             uint16_t columns)
{
    uint8_t data[4];
    hk_put_le16(data, rows);
    hk_put_le16(data + 2, columns);
    add(config, HK_CFG_ROWS_COLS, data, sizeof(data));
}

void hk_init_config_add_mount(struct hk_init_config *config, unsigned kind,
                              const struct hk_init_mount *mount)
{
    const char *const field[] = {
        mount->type,
        mount->source,
        mount->target != NULL ? mount->target : "/",
        mount->options != NULL ? mount->options : "",
        mount->read_only ? "ro" : "",
    };
    size_t len = 0;

    for (size_t i = 0; i < HK_COUNT(field); i++)
        len += strlen(field[i]) + 1;
    if (!begin(config, kind, len))
        return;
    for (size_t i = 0; i < HK_COUNT(field); i++)
        hk_bytes_add(&config->bytes, field[i], strlen(field[i]) + 1);
}

int hk_init_config_take(struct hk_init_config *config, uint8_t **data,
                        size_t *len, struct hk_errmsg *err)
{
    static const uint8_t end[HEADER] = {HK_CFG_END};

    if (config->rc != 0)
        return hk_err_set(err, config->rc, "%s", config->err.text);
    hk_bytes_add(&config->bytes, end, sizeof(end));
    if (hk_bytes_take(&config->bytes, data, len) == 0)
        return 0;
    return hk_err_set(err, -HK_ENOMEM,
                      "out of memory for the command's arguments");
}
