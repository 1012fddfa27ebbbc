/*
 * krun_*: size and nature of the machine.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "husk.h"
#include "os/event.h"
#include "os/process.h"
#include "vmm/backend.h"

#include <stdlib.h>

int32_t krun_set_vm_config(uint32_t ctx_id, uint8_t num_vcpus, uint32_t ram_mib)
{
    if (num_vcpus == 0 || ram_mib == 0)
        return -HK_EINVAL;
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->cpus = num_vcpus;
    ctx->ram_mib = ram_mib;
    hk_krun_end();
    return 0;
}

int32_t krun_get_max_vcpus(void)
{
    size_t index = 0;
    uint32_t count = 0;
    if (hk_backend_choose(getenv("HUSK_BACKEND"), &index, NULL) != 0 ||
        hk_backend_max_cpus(index, &count, NULL) != 0)
        return -HK_EINVAL;
    return (int32_t)count;
}

int32_t krun_set_nested_virt(uint32_t ctx_id, bool enabled)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->nested = enabled;
    hk_krun_end();
    return 0;
}

/* A software CPU has no such instructions; of the others, the host's kernel
 * knows. */
int32_t krun_check_nested_virt(void)
{
    int host = hk_process_nested_virt();
    if (host <= 0)
        return host;
    return husk_backend_choose("kvm", NULL, 0) >= 0 ? 1 : 0;
}

int32_t krun_split_irqchip(uint32_t ctx_id, bool enable)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->split_irqchip = enable;
    hk_krun_end();
    return 0;
}

int32_t krun_set_smbios_oem_strings(uint32_t ctx_id,
                                    const char *const oem_strings[])
{
    hk_krun_strings copy = NULL;
    int rc = hk_krun_copy_array(oem_strings, &copy);
    return hk_krun_set_strings(ctx_id, rc, copy, HK_KRUN_SLOT(oem_strings));
}

int32_t krun_setuid(uint32_t ctx_id, uint32_t uid)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->has_uid = true;
    ctx->uid = uid;
    hk_krun_end();
    return 0;
}

int32_t krun_setgid(uint32_t ctx_id, uint32_t gid)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    ctx->has_gid = true;
    ctx->gid = gid;
    hk_krun_end();
    return 0;
}

int32_t krun_get_shutdown_eventfd(uint32_t ctx_id)
{
    struct hk_krun *ctx = hk_krun_begin(ctx_id);
    if (ctx == NULL)
        return -HK_ENOENT;
    if (ctx->shutdown_event < 0) {
        int event = -1;
        int rc = hk_event_open(&event);
        ctx->shutdown_event = rc == 0 ? event : -1;
    }
    int event = ctx->shutdown_event;
    hk_krun_end();
    return event >= 0 ? event : -HK_EINVAL;
}

int32_t krun_has_feature(uint64_t feature)
{
    switch (feature) {
    case KRUN_FEATURE_BLK:
    case KRUN_FEATURE_INIT_BLOB:
        return 1;
    case KRUN_FEATURE_NET:
    case KRUN_FEATURE_GPU:
    case KRUN_FEATURE_INPUT:
    case KRUN_FEATURE_TEE:
    case KRUN_FEATURE_AMD_SEV:
    case KRUN_FEATURE_INTEL_TDX:
    case KRUN_FEATURE_AWS_NITRO:
    case KRUN_FEATURE_VIRGL_RESOURCE_MAP2:
        return 0;
    default:
        return -HK_EINVAL;
    }
}
