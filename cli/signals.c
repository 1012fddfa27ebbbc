/*
 * Signals of a running VM. Handlers do the work themselves: what they call is
 * made for that, and the thread that waits for the VM need not wake up.
 */
#include "cli.h"

#include <signal.h>
#include <stddef.h>

static struct husk_vm *volatile target;
static volatile sig_atomic_t last;
static volatile unsigned grace;

static void on_signal(int number)
{
    struct husk_vm *vm = target;
    bool first = last == 0;
    last = number;
    if (vm == NULL)
        return;
    int rc = -1;
    if (first && grace != 0)
        rc = number == SIGTERM ? husk_vm_ask_stop(vm, grace)
                               : husk_vm_signal(vm, number);
    /* Handlers are one-shot on some hosts. Whoever is not served by a kill
     * gets what the signal does without us. */
    (void)signal(number, rc == 0 ? on_signal : SIG_DFL);
    if (rc != 0)
        husk_vm_kill(vm);
}

static const int numbers[] = {
    SIGINT,
    SIGTERM,
#ifdef SIGHUP
    SIGHUP,
#endif
#ifdef SIGQUIT
    SIGQUIT,
#endif
};

enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };

void cli_pass_signals(struct husk_vm *vm, unsigned grace_ms)
{
    grace = grace_ms;
    target = vm;
    for (size_t i = 0; i < COUNT; i++) {
        if (signal(numbers[i], on_signal) == SIG_IGN)
            (void)signal(numbers[i], SIG_IGN);
    }
#ifdef SIGPIPE
    /* A reader that went away must not leave the terminal in raw mode. */
    (void)signal(SIGPIPE, SIG_IGN);
#endif
}

void cli_forget_signals(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (signal(numbers[i], SIG_IGN) != SIG_IGN)
            (void)signal(numbers[i], SIG_DFL);
    }
    target = NULL;
}

int cli_signal_or(int none)
{
    return last != 0 ? (int)last : none;
}
