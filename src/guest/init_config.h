/*
 * Writes the file that tells the guest's init what to do: the records of
 * wire/init_config.h.
 *
 *     struct hk_init_config config;
 *     hk_init_config_init(&config);
 *     hk_init_config_add_text(&config, HK_CFG_EXEC, "/bin/true");
 *     ...
 *     rc = hk_init_config_take(&config, &data, &len, err);
 *     hk_init_config_fini(&config);
 *
 * The first failure is remembered and told by take; the adding functions
 * return nothing. One thread; the caller owns the struct.
 */
#ifndef HK_GUEST_INIT_CONFIG_H
#define HK_GUEST_INIT_CONFIG_H

#include "base/compiler.h"
#include "base/err.h"
#include "guest/bytes.h"

#include <stdbool.h>

struct hk_init_config {
    struct hk_bytes bytes;
    int rc;
    struct hk_errmsg err;
};

void hk_init_config_init(struct hk_init_config *config);
void hk_init_config_fini(struct hk_init_config *config);

/* One record of an enum hk_cfg_kind that is text: MODULE, EXEC, ARG, ENV,
 * WORKDIR, USER, HOSTNAME, RLIMIT, CONSOLE. NULL adds nothing. */
void hk_init_config_add_text(struct hk_init_config *config, unsigned kind,
                             const char *text);

/* Each of a list that ends with NULL; NULL adds nothing. */
void hk_init_config_add_texts(struct hk_init_config *config, unsigned kind,
                              const char *const list[]);

/* Bits of enum hk_cfg_flags; once. */
void hk_init_config_add_flags(struct hk_init_config *config, uint32_t flags);

/* The terminal's size. */
void hk_init_config_add_size(struct hk_init_config *config, uint16_t rows,
                             uint16_t columns);

struct hk_init_mount {
    const char *type;    /* "virtiofs", "ext4", "auto" */
    const char *source;  /* tag or device */
    const char *target;  /* absolute; ignored for the root */
    const char *options; /* or NULL */
    bool read_only;
};

/* `kind` is HK_CFG_ROOT or HK_CFG_MOUNT. */
void hk_init_config_add_mount(struct hk_init_config *config, unsigned kind,
                              const struct hk_init_mount *mount);

/* The whole file, the caller's to free(). -HK_E2BIG more than HK_CFG_MAX
 * bytes (arguments and environment are too long); -HK_ENOMEM. */
int hk_init_config_take(struct hk_init_config *config, uint8_t **data,
                        size_t *len, struct hk_errmsg *err) HK_MUST_CHECK;

#endif
