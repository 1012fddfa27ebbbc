/* Loads that live in the guest's kernel. */
#include "loads.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t syscalls(void)
{
    uint64_t check = 0;
    for (int i = 0; i < 250000; i++)
        check += (uint64_t)(syscall(SYS_getpid) > 0);
    return check;
}

/* The value differs, of course; that it never goes back is the check. */
static uint64_t clocks(void)
{
    uint64_t forward = 0;
    struct timespec last = {0}, next;
    for (int i = 0; i < 150000; i++) {
        clock_gettime(CLOCK_MONOTONIC, &next);
        forward += next.tv_sec > last.tv_sec || next.tv_nsec >= last.tv_nsec;
        last = next;
    }
    return forward;
}

/* Each page is met for the first time: zeroed and mapped by the kernel. */
static uint64_t faults(void)
{
    enum { PAGE = 4096, SIZE = 16 << 20 };
    uint64_t check = 0;
    for (int round = 0; round < 5; round++) {
        uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        loads_need(p != MAP_FAILED, "mmap");
        madvise(p, SIZE, MADV_NOHUGEPAGE);
        for (uint32_t at = 0; at < SIZE; at += PAGE)
            check += ++p[at];
        munmap(p, SIZE);
    }
    return check;
}

static uint64_t protect(void)
{
    enum { SIZE = 8 * 4096 };
    uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t check = 0;
    loads_need(p != MAP_FAILED, "mmap");
    for (int i = 0; i < 12000; i++) {
        loads_need(mprotect(p, SIZE / 2, PROT_READ) == 0, "mprotect");
        check += p[0];
        loads_need(mprotect(p, SIZE / 2, PROT_READ | PROT_WRITE) == 0,
                   "mprotect");
        p[0]++;
    }
    munmap(p, SIZE);
    return check;
}

static uint64_t status_of(pid_t child)
{
    int status = 0;
    loads_need(child > 0 && waitpid(child, &status, 0) == child, "child");
    return (uint64_t)status;
}

static uint64_t forks(void)
{
    uint64_t check = 0;
    for (int i = 0; i < 250; i++) {
        const pid_t child = fork();
        if (child == 0)
            _exit(i & 63);
        check = loads_fold(check, status_of(child));
    }
    return check;
}

static uint64_t execs(void)
{
    uint64_t check = 0;
    for (int i = 0; i < 150; i++) {
        const pid_t child = fork();
        if (child == 0) {
            execl("/proc/self/exe", "loads", "nothing", (char *)NULL);
            _exit(1);
        }
        check = loads_fold(check, status_of(child));
    }
    return check;
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int number)
{
    signals_seen += number;
}

static uint64_t signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    loads_need(sigaction(SIGUSR2, &action, NULL) == 0, "sigaction");
    for (int i = 0; i < 50000; i++)
        raise(SIGUSR2);
    return (uint64_t)signals_seen;
}

/* One byte to a child and back: two switches of process each. */
static uint64_t pipes(void)
{
    enum { TRIPS = 10000 };
    int there[2], back[2];
    uint64_t check = 0;
    uint8_t byte = 0;
    loads_need(pipe(there) == 0 && pipe(back) == 0, "pipe");
    const pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1) {
            byte = (uint8_t)(byte * 5 + 1);
            loads_need(write(back[1], &byte, 1) == 1, "write");
        }
        _exit(0);
    }
    close(there[0]);
    for (int i = 0; i < TRIPS; i++) {
        loads_need(write(there[1], &byte, 1) == 1, "write");
        loads_need(read(back[0], &byte, 1) == 1, "read");
        check = loads_fold(check, byte);
    }
    close(there[1]);
    close(back[0]);
    close(back[1]);
    return check + status_of(child);
}

/* Much through a pipe. */
static uint64_t stream(void)
{
    enum { SIZE = 32768, TIMES = 2400 };
    static uint8_t data[SIZE];
    int ends[2];
    uint64_t total = 0;
    ssize_t got;
    loads_need(pipe(ends) == 0, "pipe");
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < TIMES; i++)
            loads_need(write(ends[1], data, SIZE) == SIZE, "write");
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], data, SIZE)) > 0)
        total += (uint64_t)got;
    close(ends[0]);
    return total + status_of(child);
}

static uint64_t files(void)
{
    static const uint8_t data[3000];
    uint64_t check = 0;
    char name[32];
    for (int i = 0; i < 2000; i++) {
        struct stat status;
        snprintf(name, sizeof name, "/tmp/file-%d", i & 15);
        const int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
        loads_need(fd >= 0, name);
        loads_need(write(fd, data, sizeof data) == sizeof data, name);
        loads_need(fstat(fd, &status) == 0, name);
        check += (uint64_t)status.st_size;
        close(fd);
        loads_need((i & 1) == 0 || unlink(name) == 0, name);
    }
    return check;
}

const struct load loads_kernel[] = {
    {"syscall", NULL, syscalls}, {"clock", NULL, clocks},
    {"fault", NULL, faults},     {"protect", NULL, protect},
    {"fork", NULL, forks},       {"exec", NULL, execs},
    {"signal", NULL, signals},   {"pipe", NULL, pipes},
    {"stream", NULL, stream},    {"files", NULL, files},
    {NULL, NULL, NULL},
};
