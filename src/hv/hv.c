/*
 * The list of back ends in this build, and the choice among them.
 */
#define HK_LOG_TAG "hv"
#include "hv/hv.h"

#include "base/log.h"
#include "hv/soft/soft.h"

#include <stdio.h>
#include <string.h>

/* Best first. Hardware back ends join in front of the software CPU. */
const struct hk_hv_ops *const hk_hv_backends[] = {
    &hk_hv_soft,
    NULL,
};

const struct hk_hv_ops *hk_hv_find(const char *name)
{
    for (uint32_t i = 0; hk_hv_backends[i] != NULL; i++) {
        if (strcmp(hk_hv_backends[i]->name, name) == 0)
            return hk_hv_backends[i];
    }
    return NULL;
}

/* Appends "; NAME: WHY" to the list of refusals, within its bounds. */
static void add_refusal(struct hk_errmsg *all, const char *name,
                        const char *why)
{
    size_t used = strlen(all->text);
    size_t left = sizeof(all->text) - used;
    (void)snprintf(all->text + used, left, "%s%s: %s", used == 0 ? "" : "; ",
                   name, why);
}

static int select_auto(const struct hk_hv_ops **out, struct hk_errmsg *err)
{
    struct hk_errmsg refused = {""};
    for (uint32_t i = 0; hk_hv_backends[i] != NULL; i++) {
        const struct hk_hv_ops *ops = hk_hv_backends[i];
        struct hk_errmsg why = {""};
        if (ops->probe(&why) != 0) {
            add_refusal(&refused, ops->name, why.text);
            continue;
        }
        *out = ops;
        return hk_err_set(err, 0, "%s",
                          refused.text[0] == '\0'
                              ? "it is the first choice and works"
                              : refused.text);
    }
    return hk_err_set(err, -HK_ENODEV, "no back end works on this host (%s)",
                      refused.text[0] != '\0' ? refused.text
                                              : "this build has none");
}

/* "soft" or "kvm, soft", for the sentence about an unknown name. */
static void list_names(char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = 0; hk_hv_backends[i] != NULL; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ", ",
                       hk_hv_backends[i]->name);
    }
}

static int select_named(const char *name, const struct hk_hv_ops **out,
                        struct hk_errmsg *err)
{
    const struct hk_hv_ops *ops = hk_hv_find(name);
    if (ops == NULL) {
        char names[128];
        list_names(names, sizeof(names));
        return hk_err_set(err, -HK_EINVAL,
                          "back end '%.32s' is not in this build; choose "
                          "auto or one of: %s",
                          name, names);
    }
    struct hk_errmsg why = {""};
    int rc = ops->probe(&why);
    if (rc != 0)
        return hk_err_set(err, rc, "back end %s does not work here: %s", name,
                          why.text);
    *out = ops;
    return hk_err_set(err, 0, "it was asked for");
}

int hk_hv_select(const char *name, const struct hk_hv_ops **out,
                 struct hk_errmsg *err)
{
    struct hk_errmsg why = {""};
    bool is_auto = name == NULL || strcmp(name, "auto") == 0;
    int rc = is_auto ? select_auto(out, &why) : select_named(name, out, &why);
    if (rc == 0)
        HK_LOG_I("back end %s: %s", (*out)->name, why.text);
    return hk_err_set(err, rc, "%s", why.text);
}
