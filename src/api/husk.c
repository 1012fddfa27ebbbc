/*
 * husk_*: argument checks and a configuration in front of vmm/. Files, the
 * workload and consoles are in husk_files.c, husk_workload.c, husk_console.c.
 */
#include "api/husk_int.h"

#include "base/log.h"
#include "guest/kernel.h"
#include "vmm/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)HUSK_END_FAILED == (int)HK_END_FAILED &&
                   (int)HUSK_END_CRASH == (int)HK_END_CRASH &&
                   (int)HUSK_END_ESCAPE == (int)HK_END_ESCAPE,
               "the public end reasons are vmm's");
_Static_assert((int)HUSK_MAX_CPUS == (int)HK_VM_CPUS_MAX, "one limit");
_Static_assert(HUSK_MIN_MEMORY == HK_VM_MEMORY_MIN, "one limit");
_Static_assert((int)HUSK_LOG_TRACE == (int)HK_LOG_TRACE, "one scale");
_Static_assert((int)HUSK_COUNTER_WAKES == (int)HK_VM_WAKES, "one list");

const char *husk_version(void)
{
    return HUSK_VERSION;
}

const char *husk_error_text(int code)
{
    return hk_err_text(code);
}

int husk_log_set_level(int level)
{
    if (level < HUSK_LOG_OFF || level > HUSK_LOG_TRACE)
        return -HK_EINVAL;
    hk_log_set_level((enum hk_log_level)level);
    return 0;
}

/* ------------------------------------------------------------------ */
/* A VM: create and configure                                         */

int husk_vm_create(struct husk_vm **out)
{
    struct husk_vm *vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return -HK_ENOMEM;
    int rc = hk_vm_create(&vm->vm);
    if (rc != 0) {
        free(vm);
        return rc;
    }
    vm->config = (struct hk_vm_config){
        .cmdline_additions = true,
        .memory = (uint64_t)512 << 20,
        .cpus = 1,
        .kernel_format = HUSK_KERNEL_AUTO,
        .serial_in = -1,
        .serial_out = -1,
    };
    vm->parts = (struct hk_vm_parts){
        .stdio = {.kind = HK_VM_STDIO_NONE, .fd = {-1, -1, -1}},
        .kernel_log = -1,
    };
    *out = vm;
    return 0;
}

void husk_vm_destroy(struct husk_vm *vm)
{
    if (vm == NULL)
        return;
    hk_vm_destroy(vm->vm);
    hk_husk_free_files(&vm->parts);
    hk_husk_free_workload(&vm->parts);
    hk_husk_free_consoles(&vm->parts);
    free(vm->backend);
    free(vm->kernel);
    free(vm->initrd);
    free(vm->cmdline);
    free(vm);
}

const char *husk_vm_error(struct husk_vm *vm)
{
    return vm->err.text;
}

static int set_string(struct husk_vm *vm, char **slot, const char *text)
{
    int rc = hk_husk_begin(vm);
    return rc != 0 ? rc : hk_husk_set_string(vm, slot, text);
}

int husk_vm_set_backend(struct husk_vm *vm, const char *name)
{
    return set_string(vm, &vm->backend, name);
}

int husk_vm_set_kernel(struct husk_vm *vm, const char *path)
{
    if (path != NULL && path[0] == '\0')
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "the path of the kernel is empty");
    return set_string(vm, &vm->kernel, path);
}

int husk_vm_set_kernel_format(struct husk_vm *vm, int format)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0 &&
        (format < HUSK_KERNEL_AUTO || format > HUSK_KERNEL_IMAGE_ZSTD))
        return hk_err_set(&vm->err, -HK_EINVAL, "%d is no kernel format",
                          format);
    if (rc == 0)
        vm->config.kernel_format = format;
    return rc;
}

int husk_vm_set_initrd(struct husk_vm *vm, const char *path)
{
    if (path != NULL && path[0] == '\0')
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "the path of the initrd is empty");
    return set_string(vm, &vm->initrd, path);
}

int husk_vm_set_cmdline(struct husk_vm *vm, const char *text)
{
    if (text != NULL) {
        int rc = hk_vm_check_cmdline(text, &vm->err);
        if (rc != 0)
            return rc;
    }
    return set_string(vm, &vm->cmdline, text);
}

int husk_vm_set_cmdline_additions(struct husk_vm *vm, int on)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        vm->config.cmdline_additions = on != 0;
    return rc;
}

int husk_vm_set_cpus(struct husk_vm *vm, unsigned count)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_vm_check_cpus(count, &vm->err);
    if (rc == 0)
        vm->config.cpus = count;
    return rc;
}

int husk_vm_set_cpu_bugs(struct husk_vm *vm, int shown)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        vm->config.cpu_bugs_shown = shown != 0;
    return rc;
}

int husk_vm_set_memory(struct husk_vm *vm, uint64_t bytes)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_vm_check_memory(bytes, &vm->err);
    if (rc == 0)
        vm->config.memory = bytes;
    return rc;
}

/* ------------------------------------------------------------------ */
/* A VM: run                                                          */

enum { KERNEL_NAME_MAX = 4096 };

/* The kernel's name: the one that was set, or the default. */
static int choose_kernel(struct husk_vm *vm, char *name, size_t size)
{
    if (vm->kernel == NULL)
        return hk_kernel_default(name, size, &vm->err);
    if ((size_t)snprintf(name, size, "%s", vm->kernel) >= size)
        return hk_err_set(&vm->err, -HK_ENAMETOOLONG,
                          "the path of the kernel is too long");
    return 0;
}

int husk_vm_start(struct husk_vm *vm)
{
    if (vm->started)
        return hk_err_set(&vm->err, -HK_EBUSY, "a VM runs only once");
    char kernel[KERNEL_NAME_MAX] = "";
    int rc = choose_kernel(vm, kernel, sizeof(kernel));
    if (rc != 0)
        return rc;
    struct hk_vm_config config = vm->config;
    config.kernel = kernel;
    config.initrd = vm->initrd;
    config.cmdline = vm->cmdline;
    config.parts = &vm->parts;
    size_t backend = 0;
    rc = hk_backend_choose(vm->backend, &backend, &vm->err);
    config.hv = rc == 0 ? hk_backend_get(backend) : NULL;
    if (rc == 0)
        rc = hk_vm_start(vm->vm, &config, &vm->err);
    vm->started = rc == 0;
    return rc;
}

int husk_vm_wait(struct husk_vm *vm, uint64_t timeout_ms)
{
    return hk_vm_wait(vm->vm, timeout_ms);
}

int husk_vm_ask_stop(struct husk_vm *vm, uint64_t grace_ms)
{
    return hk_vm_ask_stop(vm->vm, grace_ms);
}

int husk_vm_stop(struct husk_vm *vm, uint64_t grace_ms)
{
    int rc = hk_vm_ask_stop(vm->vm, grace_ms);
    return rc == 0 ? hk_vm_wait(vm->vm, HK_VM_FOREVER) : rc;
}

int husk_vm_signal(struct husk_vm *vm, int number)
{
    int rc = hk_vm_signal(vm->vm, number);
    bool has_init = vm->parts.root.kind != HK_VM_ROOT_NONE;
    return rc == -HK_ENOTCONN && !has_init ? -HK_ENOTSUP : rc;
}

void husk_vm_kill(struct husk_vm *vm)
{
    hk_vm_kill(vm->vm);
}

enum husk_end husk_vm_end_reason(struct husk_vm *vm)
{
    return (enum husk_end)hk_vm_result(vm->vm)->reason;
}

int husk_vm_end_status(struct husk_vm *vm)
{
    return hk_vm_result(vm->vm)->status;
}

const char *husk_vm_end_text(struct husk_vm *vm)
{
    return hk_vm_result(vm->vm)->text;
}

uint64_t husk_vm_counter(struct husk_vm *vm, int counter)
{
    if (counter < 0 || counter >= HK_VM_COUNTERS)
        return 0;
    return hk_vm_counter(vm->vm, (enum hk_vm_counter)counter);
}
