/*
 * The life of a VM: start, end, shut down in order.
 *
 *   start        builds the machine, makes all threads, then opens the gate
 *   hk_vm_end    any thread: notes the first reason, tells the vCPUs to stop,
 *                wakes the VM's own thread
 *   shut_down    that thread: the one place that takes a VM apart
 *   wait         any thread: sleeps until shut_down is through
 *
 * The order of shutting down (vCPUs, devices on their loop, loop, parts) is
 * what makes it free of locks: whoever is stopped later may still be called
 * by whoever is stopped earlier, never the other way round.
 */
#define HK_LOG_TAG "vm"
#include "vmm/vm_int.h"

#include "base/assert.h"
#include "base/log.h"
#include "loop/loop.h"
#include "os/process.h"
#include "os/thread.h"
#include "vmm/devices.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ */
/* The end                                                            */

static void stop_vcpus(struct hk_vm *vm)
{
    atomic_store(&vm->stopping, true);
    for (uint32_t i = 0; i < vm->machine.vcpu_count; i++)
        hk_vcpu_stop(&vm->machine.vcpus[i]);
    hk_devices_release(vm->machine.devices);
}

void hk_vm_end(struct hk_vm *vm, enum hk_end reason, int status,
               struct hk_vm_vcpu *asker)
{
    uv_mutex_lock(&vm->lock);
    bool first = vm->end_reason == HK_END_NONE;
    if (first) {
        vm->end_reason = reason;
        vm->end_status = status;
        vm->end_asker = asker;
    }
    uv_mutex_unlock(&vm->lock);
    if (!first)
        return;
    stop_vcpus(vm);
    uv_sem_post(&vm->wake);
}

static void take_leaving(struct hk_vm *vm, struct hk_leaving *leaving)
{
    struct hk_vm_vcpu *asker = vm->end_asker;
    *leaving = (struct hk_leaving){
        .apic_known = asker != NULL && asker->lapic != NULL,
        .pins = hk_machine_pins(vm),
        .words = vm->words,
    };
    if (asker != NULL)
        leaving->svr = asker->svr;
    HK_LOG_D("leaving: local APIC switched off %u times, virtual wire %d, "
             "pins %d, last words %d",
             leaving->svr.off_count, leaving->svr.virtual_wire,
             (int)leaving->pins, (int)leaving->words);
}

/* Init gave up before it could tell anybody but the kernel's log. */
static bool setup_failed(const struct hk_vm *vm)
{
    enum { INIT_FAILED = 125 };
    return atomic_load(&vm->control.has_init) && !vm->answered &&
           vm->end_status == INIT_FAILED;
}

/* libkrun's way to end: a status told to the root share, then a restart. */
static void take_noted_status(struct hk_vm *vm)
{
    int status = atomic_load(&vm->noted_status);
    if (status < 0 ||
        (vm->end_reason != HK_END_RESET && vm->end_reason != HK_END_POWER_OFF))
        return;
    vm->end_reason = HK_END_EXIT;
    vm->end_status = status;
}

/* Was the reset or triple fault a restart in order? */
static enum hk_end judge(struct hk_vm *vm)
{
    struct hk_leaving leaving;
    switch (vm->end_reason) {
    case HK_END_RESET:
        take_leaving(vm, &leaving);
        return hk_ending_is_orderly(&leaving) ? HK_END_RESET : HK_END_CRASH;
    case HK_END_TRIPLE_FAULT:
        take_leaving(vm, &leaving);
        return hk_ending_is_meant(&leaving) ? HK_END_RESET
                                            : HK_END_TRIPLE_FAULT;
    case HK_END_EXIT:
        return setup_failed(vm) ? HK_END_CRASH : HK_END_EXIT;
    case HK_END_NONE:
    case HK_END_POWER_OFF:
    case HK_END_CRASH:
    case HK_END_KILLED:
    case HK_END_ESCAPE:
    case HK_END_FAILED:
        break;
    }
    return vm->end_reason;
}

static void describe_fault(struct hk_vm *vm, struct hk_vm_result *result)
{
    const struct hk_vm_vcpu *vcpu = vm->end_asker;
    struct hk_vcpu_state state;
    if (vcpu == NULL || vm->machine.hv->vcpu_get_state(vcpu->hv, &state) != 0) {
        (void)snprintf(result->text, sizeof(result->text),
                       "the guest stopped with a triple fault");
        return;
    }
    (void)snprintf(result->text, sizeof(result->text),
                   "vCPU %u stopped with a triple fault at 0x%" PRIx64
                   " (cr2 0x%" PRIx64 ", cr3 0x%" PRIx64 ")",
                   vcpu->index, state.rip, state.cr2, state.cr3);
}

static const char *plain_text(const struct hk_vm *vm, enum hk_end reason)
{
    switch (reason) {
    case HK_END_POWER_OFF:
        return "the guest powered off";
    case HK_END_RESET:
        return "the guest asked for a restart";
    case HK_END_CRASH:
        return vm->end_reason == HK_END_EXIT ? "the guest could not be set up"
               : vm->words == HK_WORDS_PANIC
                   ? "the guest's kernel panicked"
                   : "the guest restarted without shutting down";
    case HK_END_KILLED:
        return "the VM was killed";
    case HK_END_ESCAPE:
        return "the VM was ended from the terminal";
    case HK_END_FAILED:
        return "the VM cannot go on; the log says why";
    case HK_END_NONE:
    case HK_END_EXIT:
    case HK_END_TRIPLE_FAULT:
        break;
    }
    return "";
}

/* No vCPU runs and the console is closed, but the parts still exist. */
static void conclude(struct hk_vm *vm, struct hk_vm_result *result)
{
    take_noted_status(vm);
    *result = (struct hk_vm_result){.reason = judge(vm)};
    if (result->reason == HK_END_EXIT) {
        result->status = vm->end_status;
        (void)snprintf(result->text, sizeof(result->text),
                       "the workload ended with status %d", result->status);
    } else if (result->reason == HK_END_TRIPLE_FAULT) {
        describe_fault(vm, result);
    } else {
        bool crash = result->reason == HK_END_CRASH;
        const char *words = crash ? vm->last_words : "";
        (void)snprintf(result->text, sizeof(result->text), "%s%s%s",
                       plain_text(vm, result->reason),
                       words[0] != '\0' ? ": " : "", words);
    }
    HK_LOG_I("%s", result->text);
}

/* ------------------------------------------------------------------ */
/* Shutting down                                                      */

static void join_vcpus(struct hk_vm *vm)
{
    for (uint32_t i = 0; i < vm->machine.vcpu_count; i++) {
        struct hk_vm_vcpu *vcpu = &vm->machine.vcpus[i];
        if (vcpu->has_thread)
            (void)uv_thread_join(&vcpu->thread);
        vcpu->has_thread = false;
        for (uint32_t c = 0; c < HK_VM_COUNTERS; c++)
            vm->counted[c] += atomic_load(&vcpu->counters[c]);
    }
}

static void join_loop(struct hk_vm *vm)
{
    if (!vm->has_loop_thread)
        return;
    hk_loop_stop(vm->machine.loop);
    (void)uv_thread_join(&vm->loop_thread); /* quiesces the devices */
    vm->has_loop_thread = false;
}

static void shut_down(struct hk_vm *vm)
{
    struct hk_vm_result result;
    stop_vcpus(vm);
    join_vcpus(vm);
    join_loop(vm);
    conclude(vm, &result);

    /* The counters of the vCPUs go away under the lock of hk_vm_counter. */
    uv_mutex_lock(&vm->lock);
    hk_machine_take_down(vm);
    vm->result = result;
    vm->state = HK_VM_DONE;
    uv_cond_broadcast(&vm->cond);
    uv_mutex_unlock(&vm->lock);
}

/* The VM's own thread: waits for the end, then takes the VM apart. */
static void vm_main(void *opaque)
{
    struct hk_vm *vm = opaque;
    hk_thread_enter("husk-vm");
    while (!atomic_load(&vm->stopping)) {
        uv_sem_wait(&vm->wake);
        if (atomic_load(&vm->kill_requested))
            hk_vm_end(vm, HK_END_KILLED, 0, NULL);
        else if (hk_loop_post(vm->machine.loop, hk_control_serve, vm) != 0)
            HK_LOG_W("out of memory: a signal is lost");
    }
    shut_down(vm);
}

static void loop_main(void *opaque)
{
    struct hk_vm *vm = opaque;
    hk_thread_enter("husk-loop");
    hk_loop_run(vm->machine.loop);
    hk_machine_quiesce(vm);
}

/* ------------------------------------------------------------------ */
/* Starting                                                           */

static int start_threads(struct hk_vm *vm)
{
    if (uv_thread_create(&vm->loop_thread, loop_main, vm) != 0)
        return -HK_EAGAIN;
    vm->has_loop_thread = true;
    for (uint32_t i = 0; i < vm->machine.vcpu_count; i++) {
        struct hk_vm_vcpu *vcpu = &vm->machine.vcpus[i];
        if (uv_thread_create(&vcpu->thread, hk_vcpu_main, vcpu) != 0)
            return -HK_EAGAIN;
        vcpu->has_thread = true;
    }
    if (uv_thread_create(&vm->thread, vm_main, vm) != 0)
        return -HK_EAGAIN;
    vm->has_thread = true;
    return 0;
}

/* Some threads could not be made: ends those that exist; none entered the
 * guest. The VM's own thread is made last, so it is not among them. */
static void abandon(struct hk_vm *vm)
{
    hk_assert(!vm->has_thread);
    stop_vcpus(vm);
    uv_mutex_lock(&vm->lock);
    uv_cond_broadcast(&vm->cond);
    uv_mutex_unlock(&vm->lock);
    join_vcpus(vm);
    join_loop(vm);
}

static int check_config(const struct hk_vm_config *config,
                        struct hk_errmsg *err)
{
    int rc = hk_vm_check_cpus(config->cpus, err);
    if (rc == 0)
        rc = hk_vm_check_memory(config->memory, err);
    if (rc == 0 && config->cmdline != NULL)
        rc = hk_vm_check_cmdline(config->cmdline, err);
    return rc;
}

/* Forgets a start that failed, so that the next one begins afresh. */
static void forget(struct hk_vm *vm)
{
    hk_machine_take_down(vm);
    memset(vm->counted, 0, sizeof(vm->counted));
    atomic_store(&vm->stopping, false);
    atomic_store(&vm->reset_asked, false);
    vm->end_reason = HK_END_NONE;
    vm->end_asker = NULL;
    vm->words = HK_WORDS_NONE;
    atomic_store(&vm->control.has_init, false);
    atomic_store(&vm->noted_status, -1);
}

int hk_vm_start(struct hk_vm *vm, const struct hk_vm_config *config,
                struct hk_errmsg *err)
{
    uv_mutex_lock(&vm->lock);
    bool is_new = vm->state == HK_VM_NEW;
    uv_mutex_unlock(&vm->lock);
    if (!is_new)
        return hk_err_set(err, -HK_EBUSY, "the VM was already started");
    if (atomic_load(&vm->kill_requested))
        return hk_err_set(err, -HK_ECANCELED,
                          "the VM was killed before it was started");
    int rc = check_config(config, err);
    if (rc != 0)
        return rc;

    hk_process_fill_standard();
    hk_process_raise_file_limit(); /* shared directories need many */
    rc = hk_machine_build(vm, config, err);
    if (rc != 0) {
        forget(vm);
        return rc;
    }
    rc = start_threads(vm);
    if (rc != 0) {
        abandon(vm);
        forget(vm);
        return hk_err_set(err, rc, "the host allows no more threads");
    }
    uv_mutex_lock(&vm->lock);
    if (vm->state == HK_VM_NEW) /* a kill may have ended it already */
        vm->state = HK_VM_STARTED;
    atomic_store(&vm->was_started, true);
    vm->go = true;
    uv_cond_broadcast(&vm->cond);
    uv_mutex_unlock(&vm->lock);
    return 0;
}

/* ------------------------------------------------------------------ */
/* For callers                                                        */

static int init_locks(struct hk_vm *vm)
{
    if (uv_mutex_init(&vm->lock) != 0)
        return -HK_ENOMEM;
    if (uv_cond_init(&vm->cond) != 0) {
        uv_mutex_destroy(&vm->lock);
        return -HK_ENOMEM;
    }
    if (uv_sem_init(&vm->wake, 0) != 0) {
        uv_cond_destroy(&vm->cond);
        uv_mutex_destroy(&vm->lock);
        return -HK_ENOMEM;
    }
    return 0;
}

int hk_vm_create(struct hk_vm **out)
{
    struct hk_vm *vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return -HK_ENOMEM;
    atomic_store(&vm->noted_status, -1);
    int rc = init_locks(vm);
    if (rc != 0) {
        free(vm);
        return rc;
    }
    *out = vm;
    return 0;
}

void hk_vm_destroy(struct hk_vm *vm)
{
    if (vm == NULL)
        return;
    if (vm->has_thread) {
        hk_vm_kill(vm);
        (void)uv_thread_join(&vm->thread);
    }
    uv_sem_destroy(&vm->wake);
    uv_cond_destroy(&vm->cond);
    uv_mutex_destroy(&vm->lock);
    free(vm);
}

void hk_vm_kill(struct hk_vm *vm)
{
    /* Nothing but what a signal handler may do. */
    atomic_store(&vm->kill_requested, true);
    uv_sem_post(&vm->wake);
}

/* Waits on vm->cond with vm->lock held until `end` (uv_hrtime). */
static int wait_done(struct hk_vm *vm, uint64_t end)
{
    while (vm->state != HK_VM_DONE) {
        if (end == UINT64_MAX) {
            uv_cond_wait(&vm->cond, &vm->lock);
            continue;
        }
        uint64_t now = uv_hrtime();
        if (now >= end)
            return -HK_ETIMEDOUT;
        (void)uv_cond_timedwait(&vm->cond, &vm->lock, end - now);
    }
    return 0;
}

int hk_vm_wait(struct hk_vm *vm, uint64_t timeout_ms)
{
    const uint64_t longest = UINT64_MAX / 4000000; /* no overflow below */
    uint64_t end = UINT64_MAX;
    if (timeout_ms < longest)
        end = uv_hrtime() + timeout_ms * 1000000;

    uv_mutex_lock(&vm->lock);
    int rc = vm->state == HK_VM_NEW ? -HK_EINVAL : wait_done(vm, end);
    uv_mutex_unlock(&vm->lock);
    return rc;
}

const struct hk_vm_result *hk_vm_result(struct hk_vm *vm)
{
    static const struct hk_vm_result none = {.reason = HK_END_NONE};
    uv_mutex_lock(&vm->lock);
    bool done = vm->state == HK_VM_DONE;
    uv_mutex_unlock(&vm->lock);
    return done ? &vm->result : &none;
}

uint64_t hk_vm_counter(struct hk_vm *vm, enum hk_vm_counter counter)
{
    uint64_t sum = 0;
    uv_mutex_lock(&vm->lock);
    if (vm->state == HK_VM_STARTED) {
        for (uint32_t i = 0; i < vm->machine.vcpu_count; i++)
            sum += atomic_load(&vm->machine.vcpus[i].counters[counter]);
    } else {
        sum = vm->counted[counter];
    }
    uv_mutex_unlock(&vm->lock);
    return sum;
}
