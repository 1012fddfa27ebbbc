/*
 * The list of back ends, as numbers and texts.
 */
#include "vmm/backend.h"

#include "hv/hv.h"
#include "vmm/vm.h"

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

int hk_backend_max_cpus(size_t index, uint32_t *count, struct hk_errmsg *err)
{
    static const struct hk_hv_sink no_sink;
    const struct hk_hv_vm_config config = {
        .sink = &no_sink, .vcpu_count = 1, .ram_bytes = HK_VM_MEMORY_MIN};
    const struct hk_hv_ops *ops = hk_backend_get(index);
    struct hk_hv_vm *vm = NULL;
    struct hk_hv_caps caps;
    if (ops == NULL)
        return hk_err_set(err, -HK_EINVAL, "there is no such back end");
    int rc = ops->vm_create(&config, &vm, err);
    if (rc != 0)
        return rc;
    ops->vm_caps(vm, &caps);
    ops->vm_destroy(vm);
    *count = caps.max_vcpus < HK_VM_CPUS_MAX ? caps.max_vcpus : HK_VM_CPUS_MAX;
    return 0;
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
