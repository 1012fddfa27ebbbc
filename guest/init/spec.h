/*
 * The command as a container's configuration file tells it: the runtime
 * specification (process.args, .env, .cwd; mounts) or an image's
 * (Entrypoint and Cmd, Env, WorkingDir), with the keys at the top or in a
 * "config" object; letter case does not matter.
 */
#ifndef HK_INIT_SPEC_H
#define HK_INIT_SPEC_H

#include "strv.h"

struct hk_spec {
    struct hk_strv args; /* with the command itself */
    struct hk_strv env;
    struct hk_strv tmpfs; /* where the file wants one */
    char *cwd;            /* or NULL */
};

/* 0; -EINVAL and -E2BIG of hk_json_parse; -ENOMEM. Things of the wrong type
 * are passed over. The spec is empty on failure. */
int hk_spec_parse(const char *text, size_t size, struct hk_spec *spec);
void hk_spec_fini(struct hk_spec *spec);

#endif
