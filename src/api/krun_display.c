/*
 * krun_*: what needs a graphics, sound or input device, or a device in
 * another process. There is none of these; the answers are those of a libkrun
 * that was built without them.
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"

int32_t krun_set_gpu_options(uint32_t ctx_id, uint32_t virgl_flags)
{
    return krun_set_gpu_options2(ctx_id, virgl_flags, 0);
}

int32_t krun_set_gpu_options2(uint32_t ctx_id, uint32_t virgl_flags,
                              uint64_t shm_size)
{
    if (hk_krun_begin(ctx_id) == NULL)
        return -HK_ENOENT;
    hk_krun_end();
    return 0;
}

int32_t krun_set_snd_device(uint32_t ctx_id, bool enable)
{
    if (hk_krun_begin(ctx_id) == NULL)
        return -HK_ENOENT;
    hk_krun_end();
    return enable ? -HK_ENOTSUP : 0;
}

int32_t krun_add_display(uint32_t ctx_id, uint32_t width, uint32_t height)
{
    return -HK_ENOTSUP;
}

int32_t krun_display_set_edid(uint32_t ctx_id, uint32_t display_id,
                              const uint8_t *edid_blob, size_t blob_size)
{
    return -HK_ENOTSUP;
}

int32_t krun_display_set_dpi(uint32_t ctx_id, uint32_t display_id, uint32_t dpi)
{
    return -HK_ENOTSUP;
}

int32_t krun_display_set_physical_size(uint32_t ctx_id, uint32_t display_id,
                                       uint16_t width_mm, uint16_t height_mm)
{
    return -HK_ENOTSUP;
}

int32_t krun_display_set_refresh_rate(uint32_t ctx_id, uint32_t display_id,
                                      uint32_t refresh_rate)
{
    return -HK_ENOTSUP;
}

int32_t krun_set_display_backend(uint32_t ctx_id, const void *display_backend,
                                 size_t backend_size)
{
    return -HK_ENOTSUP;
}

int krun_add_input_device(uint32_t ctx_id, const void *config_backend,
                          size_t config_backend_size,
                          const void *events_backend,
                          size_t events_backend_size)
{
    return -HK_ENOTSUP;
}

int krun_add_input_device_fd(uint32_t ctx_id, int input_fd)
{
    return -HK_ENOTSUP;
}

int32_t krun_add_vhost_user_device(uint32_t ctx_id, uint32_t device_type,
                                   const char *socket_path, const char *name,
                                   uint16_t num_queues,
                                   const uint16_t *queue_sizes)
{
    return -HK_ENOTSUP;
}
