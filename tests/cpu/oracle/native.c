/*
 * The host's side of a case.
 *
 * A signal frame with the wanted registers is built by hand and left by
 * rt_sigreturn; the exception that ends the case comes back as a signal whose
 * frame has everything: registers, FXSAVE image, vector, error code and CR2.
 * glibc's sigaction is not used, since the handler must be entered before any
 * C code touches thread-local storage: the FS base may be the case's.
 *
 * The timer's signal is let through only by the mask in that frame, so that it
 * never arrives while the registers are half ours.
 *
 * A timer of CPU time looks ten times a second whether a case hangs (a branch
 * to itself).
 */
#define _GNU_SOURCE
#include "oracle.h"

#include "base/err.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    HWCAP2_FSGSBASE_BIT = 2,
    ALT_STACK_SIZE = 256 * 1024,
    REG_COUNT = 16,
    STUCK_TICKS = 8 /* several may come at once on a busy machine */
};

/* The kernel's struct sigaction. */
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

enum { KERNEL_SA_RESTORER = 0x04000000 };

/* Kernel bits of uc_flags: SS is in the frame and is taken as it is. */
enum { KERNEL_UC_SS = 2 | 4 };

/* In native_entry.S. */
void oracle_native_enter(void *ucontext);
void oracle_native_handler(int sig);
void oracle_native_restorer(void);
extern uint64_t oracle_native_fs, oracle_native_gs;
extern uint16_t oracle_native_seg[HK_SEG_COUNT];
extern volatile int oracle_native_inside;
int oracle_native_caught(int sig, siginfo_t *info, void *context);

static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS,
                              SIGFPE,  SIGILL,  SIGVTALRM};

static struct kernel_sigaction old_actions[HK_COUNT(signals)];
static struct oracle_memory memory;
static uint8_t *alt_stack;
static cpu_set_t old_cpus;
static uint8_t *reserved;
static struct oracle_result *current;
static uint64_t runs, runs_at_tick;
static unsigned same_ticks; /* since the run changed */

/* Space for a frame: the kernel wants the FP image aligned to 64. */
static struct {
    uint8_t fxsave[512] __attribute__((aligned(64)));
    ucontext_t uc;
} frame;

/* gregs index of each register in enum hk_gpr order. */
static const uint8_t greg_of[REG_COUNT] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static bool is_stuck(const ucontext_t *uc)
{
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    bool in_code = rip - ORACLE_CODE < ORACLE_CODE_SIZE;
    same_ticks = runs == runs_at_tick ? same_ticks + 1 : 0;
    runs_at_tick = runs;
    return in_code && same_ticks >= STUCK_TICKS;
}

/* Called by the handler; true: the case is over. */
__attribute__((no_sanitize("address", "undefined"))) int
oracle_native_caught(int sig, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    const greg_t *g = uc->uc_mcontext.gregs;
    struct oracle_result *r = current;

    if (sig == SIGVTALRM && !is_stuck(uc))
        return 0;
    if (!oracle_native_inside) {
        signal(sig, SIG_DFL); /* a bug of our own: crash as usual */
        return 0;
    }
    oracle_native_inside = 0;
    for (unsigned i = 0; i < REG_COUNT; i++)
        r->out.gpr[i] = (uint64_t)g[greg_of[i]];
    r->out.rip = (uint64_t)g[REG_RIP];
    r->out.rflags = (uint64_t)g[REG_EFL];
    r->out.fs_base = oracle_native_fs;
    r->out.gs_base = oracle_native_gs;
    memcpy(r->out.seg, oracle_native_seg, sizeof(r->out.seg));
    r->out.seg[HK_SEG_CS] = (uint16_t)g[REG_CSGSFS];
    r->out.seg[HK_SEG_SS] = (uint16_t)(g[REG_CSGSFS] >> 48);
    __builtin_memcpy(r->out.fxsave, uc->uc_mcontext.fpregs, 512);
    r->vector = sig == SIGVTALRM ? ORACLE_TIMEOUT : (uint32_t)g[REG_TRAPNO];
    r->error_code = (uint64_t)g[REG_ERR];
    r->cr2 = r->vector == 14 ? (uint64_t)g[REG_CR2] : 0;
    if (r->vector != 8 && r->vector != 14 && (r->vector < 10 || r->vector > 13))
        r->error_code = 0;
    return 1;
}

void oracle_native_run(const struct oracle_case *c, struct oracle_result *r)
{
    greg_t *g = frame.uc.uc_mcontext.gregs;
    for (unsigned i = 0; i < REG_COUNT; i++)
        g[greg_of[i]] = (greg_t)c->in.gpr[i];
    g[REG_RIP] = (greg_t)c->in.rip;
    g[REG_EFL] = (greg_t)c->in.rflags;
    g[REG_CSGSFS] =
        (greg_t)(c->in.seg[HK_SEG_CS] | (uint64_t)c->in.seg[HK_SEG_SS] << 48);
    memcpy(frame.fxsave, c->in.fxsave, sizeof(frame.fxsave));
    oracle_native_fs = c->in.fs_base;
    oracle_native_gs = c->in.gs_base;
    memcpy(oracle_native_seg, c->in.seg, sizeof(oracle_native_seg));
    current = r;
    runs++;
    oracle_native_inside = 1;
    oracle_native_enter(&frame.uc);
}

static long set_action(int sig, const struct kernel_sigaction *action,
                       struct kernel_sigaction *old)
{
    return syscall(SYS_rt_sigaction, sig, action, old, sizeof(uint64_t));
}

static int map_at(uint32_t address, uint32_t size, int protection, int flags,
                  int fd)
{
    void *want = (void *)(uintptr_t)address;
    void *got =
        mmap(want, size, protection, flags | MAP_FIXED | MAP_POPULATE, fd, 0);
    return got == want ? 0 : -HK_ENOMEM;
}

/* Code has a second, writable view. */
static int map_code(void)
{
    int fd = memfd_create("oracle-code", 0);
    if (fd < 0 || ftruncate(fd, ORACLE_CODE_SIZE) < 0)
        return -HK_ENOMEM;
    memory.code =
        mmap(NULL, ORACLE_CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int ret = memory.code == MAP_FAILED ? -HK_ENOMEM : 0;
    if (ret == 0)
        ret = map_at(ORACLE_CODE, ORACLE_CODE_SIZE, PROT_READ | PROT_EXEC,
                     MAP_SHARED, fd);
    close(fd);
    return ret;
}

static int map_sandbox(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    void *want = (void *)(uintptr_t)ORACLE_CODE;
    reserved = mmap(want, ORACLE_RESERVED, PROT_NONE,
                    flags | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    if (reserved != want)
        return -HK_EEXIST;
    if (map_code() < 0 ||
        map_at(ORACLE_DATA, ORACLE_DATA_SIZE, PROT_READ | PROT_WRITE, flags,
               -1) < 0 ||
        map_at(ORACLE_STACK, ORACLE_STACK_SIZE, PROT_READ | PROT_WRITE, flags,
               -1) < 0)
        return -HK_ENOMEM;
    memory.data = (void *)(uintptr_t)ORACLE_DATA;
    memory.stack = (void *)(uintptr_t)ORACLE_STACK;
    memory.low = NULL; /* needs a privilege, so it is optional */
    void *low = mmap((void *)(uintptr_t)ORACLE_LOW, ORACLE_LOW_SIZE,
                     PROT_READ | PROT_WRITE,
                     flags | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
    if (low == (void *)(uintptr_t)ORACLE_LOW)
        memory.low = low;
    return 0;
}

static int take_signals(void)
{
    stack_t alt = {.ss_sp = alt_stack, .ss_size = ALT_STACK_SIZE};
    struct kernel_sigaction action = {
        .handler = (void *)oracle_native_handler,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | KERNEL_SA_RESTORER,
        .restorer = (void *)oracle_native_restorer,
        .mask = 1ull << (SIGVTALRM - 1),
    };
    sigset_t ticks;
    sigemptyset(&ticks);
    sigaddset(&ticks, SIGVTALRM);
    if (sigaltstack(&alt, NULL) < 0 || sigprocmask(SIG_BLOCK, &ticks, NULL) < 0)
        return -HK_EINVAL;
    frame.uc.uc_stack = alt;
    frame.uc.uc_flags = KERNEL_UC_SS;
    frame.uc.uc_mcontext.fpregs = (void *)frame.fxsave;
    for (size_t i = 0; i < HK_COUNT(signals); i++)
        if (set_action(signals[i], &action, &old_actions[i]) < 0)
            return -HK_EINVAL;
    struct itimerval tick = {{0, 100000}, {0, 100000}};
    return setitimer(ITIMER_VIRTUAL, &tick, NULL) < 0 ? -HK_EINVAL : 0;
}

/* RDPID, RDTSCP and LSL show the number of the CPU. */
static void stay_on_this_cpu(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    sched_getaffinity(0, sizeof(old_cpus), &old_cpus);
    sched_setaffinity(0, sizeof(one), &one);
}

int oracle_native_open(const char **why)
{
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)) {
        *why = "the kernel does not let programs set the FS base";
        return -HK_ENOSYS;
    }
    if (map_sandbox() < 0) {
        *why = "the sandbox could not be mapped at its fixed address";
        return -HK_ENOMEM;
    }
    alt_stack = mmap(NULL, ALT_STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (alt_stack == MAP_FAILED || take_signals() < 0) {
        *why = "the signal handlers could not be installed";
        return -HK_ENOMEM;
    }
    if (oracle_segments_install() < 0) {
        *why = "the kernel lets nobody make descriptors";
        return -HK_ENOSYS;
    }
    stay_on_this_cpu();
    oracle_segments_init();
    return 0;
}

void oracle_native_close(void)
{
    struct itimerval off = {{0, 0}, {0, 0}};
    stack_t none = {.ss_flags = SS_DISABLE};

    setitimer(ITIMER_VIRTUAL, &off, NULL);
    for (size_t i = 0; i < HK_COUNT(signals); i++)
        set_action(signals[i], &old_actions[i], NULL);
    sigaltstack(&none, NULL);
    sched_setaffinity(0, sizeof(old_cpus), &old_cpus);
    munmap(alt_stack, ALT_STACK_SIZE);
    munmap(reserved, ORACLE_RESERVED);
    munmap(memory.code, ORACLE_CODE_SIZE);
    if (memory.low != NULL)
        munmap(memory.low, ORACLE_LOW_SIZE);
    memset(&memory, 0, sizeof(memory));
}

const struct oracle_memory *oracle_native_memory(void)
{
    return &memory;
}
