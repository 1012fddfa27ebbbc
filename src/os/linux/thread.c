/*
 * Thread names and signal masks, by the POSIX thread library.
 */
#define _GNU_SOURCE
#include "os/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

enum { NAME_SIZE = 16 }; /* the kernel's limit, with the end byte */

void hk_thread_enter(const char *name)
{
    char shown[NAME_SIZE];
    (void)snprintf(shown, sizeof(shown), "%s", name);
    (void)pthread_setname_np(pthread_self(), shown);

    static const int faults[] = {SIGSEGV, SIGBUS,  SIGFPE,
                                 SIGILL,  SIGTRAP, SIGABRT};
    sigset_t blocked;
    (void)sigfillset(&blocked);
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        (void)sigdelset(&blocked, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

void hk_thread_yield(void)
{
    (void)sched_yield();
}
