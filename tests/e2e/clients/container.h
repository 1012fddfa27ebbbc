/*
 * The process in which a container runtime leaves its handler: number 1 of
 * process and mount namespaces of its own, in the container's root directory
 * with /proc, every descriptor above 2 closed.
 */
#ifndef CONTAINER_H
#define CONTAINER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "client.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static inline void container_must(int result, const char *what)
{
    if (result != 0) {
        perror(what);
        exit(CLIENT_FAILED);
    }
}

/* Called first in the new process. */
static inline void container_enter(const char *root)
{
    container_must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
    container_must(chroot(root), root);
    container_must(chdir("/"), "chdir");
    container_must(mount("proc", "/proc", "proc", 0, NULL), "mount /proc");
    for (int fd = 3; fd < 256; fd++)
        close(fd);
}

/* What an engine's default profile refuses, as it refuses it. Needs
 * PR_SET_NO_NEW_PRIVS. */
static inline void container_refuse_calls(void)
{
#define REFUSE(number, code)                             \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code))
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
        REFUSE(SYS_io_uring_setup, ENOSYS),
        REFUSE(SYS_userfaultfd, EPERM),
        REFUSE(SYS_open_by_handle_at, EPERM),
        REFUSE(SYS_name_to_handle_at, EPERM),
        REFUSE(SYS_perf_event_open, EPERM),
        REFUSE(SYS_mount, EPERM),
        REFUSE(SYS_unshare, EPERM),
        REFUSE(SYS_setns, EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
#undef REFUSE
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    container_must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program),
                   "seccomp");
}

/* Runs the function in such a process; gives its exit status, 128 and more
 * after a signal. */
static inline int container_run(int (*run)(void *opaque), void *opaque)
{
    enum { STACK = 1024 * 1024 };
    static char stack[STACK] __attribute__((aligned(16)));
    int status = 0;
    pid_t child =
        clone(run, stack + STACK, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, opaque);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("clone");
        return CLIENT_FAILED;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
