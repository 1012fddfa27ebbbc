/*
 * What a configuration may ask for, checked before anything is built.
 */
#include "vmm/vm.h"

#include "boot/cmdline.h"
#include "vmm/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <uv.h>

int hk_vm_check_cpus(uint32_t count, struct hk_errmsg *err)
{
    if (count >= 1 && count <= HK_VM_CPUS_MAX)
        return 0;
    return hk_err_set(err, -HK_EINVAL, "a VM has 1 to %d CPUs, not %" PRIu32,
                      HK_VM_CPUS_MAX, count);
}

/* "1536M" or, where that is not exact, "4097 bytes". */
static const char *format_size(uint64_t bytes, char *text, size_t size)
{
    const uint64_t mega = (uint64_t)1 << 20;
    if (bytes >= mega)
        (void)snprintf(text, size, "%" PRIu64 "M", bytes / mega);
    else
        (void)snprintf(text, size, "%" PRIu64 " bytes", bytes);
    return text;
}

int hk_vm_check_memory(uint64_t bytes, struct hk_errmsg *err)
{
    char asked[32], limit[32];
    format_size(bytes, asked, sizeof(asked));
    if (bytes < HK_VM_MEMORY_MIN)
        return hk_err_set(err, -HK_EINVAL,
                          "%s of memory is too little; give the VM at least %s",
                          asked,
                          format_size(HK_VM_MEMORY_MIN, limit, sizeof(limit)));
    uint64_t host = hk_host_memory();
    if (host != 0 && bytes > host)
        return hk_err_set(err, -HK_ENOMEM,
                          "%s of memory is more than this host allows (%s); "
                          "give the VM less",
                          asked, format_size(host, limit, sizeof(limit)));
    return 0;
}

int hk_vm_check_cmdline(const char *text, struct hk_errmsg *err)
{
    return hk_cmdline_check(text, HK_CMDLINE_LINUX_MAX, err);
}

int hk_vm_check_tty(int fd, struct hk_errmsg *err)
{
    if (uv_guess_handle(fd) == UV_TTY)
        return 0;
    return hk_err_set(err, -HK_ENOTTY, "descriptor %d is no terminal", fd);
}
