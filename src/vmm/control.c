/*
 * The host's side of the control port.
 */
#define HK_LOG_TAG "control"
#include "vmm/control.h"

#include "base/endian.h"
#include "base/log.h"
#include "console/port.h"
#include "loop/loop.h"
#include "vmm/vm_int.h"
#include "wire/console.h"

#include <string.h>

enum {
    /* How long after its own deadline init may take to end the machine. */
    END_SLACK_MS = 3000,
};

_Static_assert(sizeof(struct hk_control) ==
                   sizeof(((struct hk_control_state *)0)->bytes),
               "a whole record fits");

/* ------------------------------------------------------------------ */
/* From init                                                          */

static void take_record(struct hk_vm *vm, uint32_t kind, uint32_t value)
{
    switch (kind) {
    case HK_CONTROL_STARTED:
        HK_LOG_D("the workload runs as process %u", value);
        vm->answered = true;
        atomic_store(&vm->control.runs, true);
        break;
    case HK_CONTROL_FAILED:
        vm->answered = true;
        HK_LOG_D("the workload could not be started: %s",
                 hk_err_text((int)(value & 0xfff)));
        break;
    default:
        HK_LOG_GUEST_D("control record of the unknown kind %u", kind);
        break;
    }
}

static size_t on_output(void *opaque, const uint8_t *bytes, size_t len)
{
    struct hk_vm *vm = opaque;
    struct hk_control_state *control = &vm->control;
    for (size_t i = 0; i < len; i++) {
        control->bytes[control->have++] = bytes[i];
        if (control->have < sizeof(control->bytes))
            continue;
        control->have = 0;
        take_record(vm, hk_get_le32(control->bytes),
                    hk_get_le32(control->bytes + 4));
    }
    return len;
}

int hk_control_open(struct hk_vm *vm, struct hk_port **out)
{
    int rc = hk_port_open_calls(on_output, vm, &vm->control.port);
    if (rc == 0)
        *out = vm->control.port;
    return rc;
}

/* ------------------------------------------------------------------ */
/* To init                                                            */

static bool send_record(struct hk_vm *vm, uint32_t kind, uint32_t value)
{
    uint8_t bytes[sizeof(struct hk_control)];
    if (vm->control.port == NULL)
        return false;
    hk_put_le32(bytes, kind);
    hk_put_le32(bytes + 4, value);
    return hk_port_calls_feed(vm->control.port, bytes, sizeof(bytes));
}

static void send_signals(struct hk_vm *vm)
{
    uint64_t signals = atomic_exchange(&vm->control.signals, 0);
    for (uint32_t n = 1; n <= HK_VM_SIGNAL_MAX; n++) {
        if ((signals >> (n - 1) & 1) != 0 &&
            !send_record(vm, HK_CONTROL_SIGNAL, n))
            HK_LOG_W("signal %u did not reach the workload", n);
    }
}

/* Pulls the plug, and nobody waits for readers of its output. */
static void on_no_more_patience(void *opaque)
{
    struct hk_vm *vm = opaque;
    atomic_store(&vm->kill_requested, true);
    hk_vm_end(vm, HK_END_KILLED, 0, NULL);
}

static void begin_stop(struct hk_vm *vm, uint64_t grace_ms)
{
    struct hk_control_state *control = &vm->control;
    if (grace_ms > UINT32_MAX)
        grace_ms = UINT32_MAX;
    if (control->timer != NULL)
        return; /* it goes on as it began */
    if (!atomic_load(&control->runs) ||
        !send_record(vm, HK_CONTROL_STOP, (uint32_t)grace_ms) ||
        hk_timer_add(vm->machine.loop, grace_ms + END_SLACK_MS, 0,
                     on_no_more_patience, vm, &control->timer) != 0)
        on_no_more_patience(vm);
}

void hk_control_serve(void *opaque)
{
    struct hk_vm *vm = opaque;
    send_signals(vm);
    uint64_t stop = atomic_exchange(&vm->control.stop_plus, 0);
    if (stop != 0)
        begin_stop(vm, stop - 1);
}

void hk_control_close(struct hk_vm *vm)
{
    struct hk_control_state *control = &vm->control;
    atomic_store(&control->runs, false);
    hk_timer_remove(control->timer);
    control->timer = NULL;
    control->port = NULL;
}

/* ------------------------------------------------------------------ */
/* For callers: nothing but what a signal handler may do              */

int hk_vm_ask_stop(struct hk_vm *vm, uint64_t grace_ms)
{
    if (!atomic_load(&vm->was_started))
        return -HK_EINVAL;
    if (!atomic_load(&vm->control.runs)) {
        hk_vm_kill(vm);
        return 0;
    }
    uint64_t plus = grace_ms < UINT64_MAX ? grace_ms + 1 : grace_ms;
    atomic_store(&vm->control.stop_plus, plus);
    uv_sem_post(&vm->wake);
    return 0;
}

int hk_vm_signal(struct hk_vm *vm, int number)
{
    if (number < 1 || number > HK_VM_SIGNAL_MAX)
        return -HK_EINVAL;
    if (!atomic_load(&vm->control.runs))
        return -HK_ENOTCONN;
    (void)atomic_fetch_or(&vm->control.signals, 1ull << (number - 1));
    uv_sem_post(&vm->wake);
    return 0;
}
