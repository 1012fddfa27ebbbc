/*
 * The list of back ends, as numbers and texts.
 */
#include "vmm/backend.h"

#include "hv/hv.h"

size_t hk_backend_count(void)
{
    size_t count = 0;
    while (hk_hv_backends[count] != NULL)
        count++;
    return count;
}

const struct hk_hv_ops *hk_backend_get(size_t index)
{
    return index < hk_backend_count() ? hk_hv_backends[index] : NULL;
}

const char *hk_backend_name(size_t index)
{
    const struct hk_hv_ops *ops = hk_backend_get(index);
    return ops != NULL ? ops->name : NULL;
}

const char *hk_backend_summary(size_t index)
{
    const struct hk_hv_ops *ops = hk_backend_get(index);
    return ops != NULL ? ops->summary : NULL;
}

int hk_backend_probe(size_t index, struct hk_errmsg *err)
{
    const struct hk_hv_ops *ops = hk_backend_get(index);
    if (ops == NULL)
        return hk_err_set(err, -HK_EINVAL, "there is no such back end");
    return ops->probe(err);
}

int hk_backend_choose(const char *name, size_t *index, struct hk_errmsg *err)
{
    const struct hk_hv_ops *ops = NULL;
    int rc = hk_hv_select(name, &ops, err);
    if (rc != 0)
        return rc;
    *index = 0;
    while (hk_hv_backends[*index] != ops)
        ++*index;
    return 0;
}
