/*
 * The records of wire/init_config.h, read into a struct.
 *
 * One thread. Everything in the struct is its own.
 */
#ifndef HK_INIT_CONFIG_H
#define HK_INIT_CONFIG_H

#include "strv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HK_MOUNTS_MAX = 64 };

struct hk_mount {
    char *type, *source, *target, *options; /* none is NULL */
    bool read_only;
};

struct hk_config {
    uint32_t flags; /* enum hk_cfg_flags */
    struct hk_strv modules;
    bool has_root;
    struct hk_mount root;
    struct hk_mount mounts[HK_MOUNTS_MAX];
    size_t mount_count;
    char *exec; /* this and the texts below: NULL when not given */
    char *workdir, *user, *hostname, *console;
    struct hk_strv args, env, rlimits;
    uint16_t rows, columns; /* 0: not given */
};

/*
 * 0, -EINVAL or -ENOMEM; then `*why` is a static text and the struct empty.
 * A later record replaces an earlier one of the kinds that come once.
 */
int hk_config_parse(const uint8_t *data, size_t size, struct hk_config *config,
                    const char **why);
void hk_config_fini(struct hk_config *config);

/* Sets the root, replacing the old one. 0 or -ENOMEM. */
int hk_config_set_root(struct hk_config *config, const char *type,
                       const char *source, const char *options);

#endif
