/*
 * What libuv leaves out about threads.
 */
#ifndef HK_OS_THREAD_H
#define HK_OS_THREAD_H

/*
 * Called first by every thread of ours: gives it a name (at most 15 bytes
 * are kept) and keeps the process's asynchronous signals away from it, so
 * that a signal handler runs on a thread of the program that uses the
 * library. Faults raised by the thread itself stay deliverable.
 */
void hk_thread_enter(const char *name);

/* Lets other threads of the host run first; returns at once if none wants. */
void hk_thread_yield(void);

#endif
