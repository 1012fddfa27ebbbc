/*
 * krun_start_enter with kernels of a few instructions: what it does to the
 * process, how it ends, and what a context outlives. Each start is in a child
 * process, which the call takes over.
 */
#define _GNU_SOURCE
#include "hk_test.h"

#include "libkrun.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOAD_AT = 0x1000000, FILE_SIZE = 4096, RETURNED = 200 };

/* mov dx, 0x501; mov al, 42; out dx, al; hlt; jmp to the hlt */
static const uint8_t exits_with_42[] = {0x66, 0xba, 0x01, 0x05, 0xb0,
                                        42,   0xee, 0xf4, 0xeb, 0xfd};
/* writes an R to the serial port, then halts for ever */
static const uint8_t says_r_and_halts[] = {0x66, 0xba, 0xf8, 0x03, 0xb0, 'R',
                                           0xee, 0xfa, 0xf4, 0xeb, 0xfd};

static char folder[] = "krun_start_test.XXXXXX";
static char exit_kernel[64], halt_kernel[64];

static void put(uint8_t *at, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* An ELF64 whose one segment is the code. */
static void write_kernel(const char *path, const uint8_t *code, size_t len)
{
    static uint8_t file[FILE_SIZE];
    memset(file, 0, sizeof(file));
    memcpy(file, "\177ELF\2\1\1", 7);
    put(file + 16, 2, 2);  /* executable */
    put(file + 18, 62, 2); /* x86-64 */
    put(file + 20, 1, 4);
    put(file + 24, LOAD_AT, 8);
    put(file + 32, 64, 8);
    put(file + 52, 64, 2);
    put(file + 54, 56, 2);
    put(file + 56, 1, 2);
    put(file + 64, 1, 4); /* load */
    put(file + 68, 5, 4);
    put(file + 72, 128, 8);
    put(file + 80, LOAD_AT, 8);
    put(file + 88, LOAD_AT, 8);
    put(file + 96, len, 8);
    put(file + 104, 65536, 8);
    memcpy(file + 128, code, len);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file, 1, sizeof(file), out), sizeof(file));
    assert_int_equal(fclose(out), 0);
}

static int make_kernels(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(exit_kernel, sizeof(exit_kernel), "%s/exit", folder);
    (void)snprintf(halt_kernel, sizeof(halt_kernel), "%s/halt", folder);
    write_kernel(exit_kernel, exits_with_42, sizeof(exits_with_42));
    write_kernel(halt_kernel, says_r_and_halts, sizeof(says_r_and_halts));
    return 0;
}

static int remove_kernels(void **state)
{
    (void)state;
    (void)remove(exit_kernel);
    (void)remove(halt_kernel);
    return rmdir(folder);
}

static uint32_t context_with(const char *kernel)
{
    int32_t id = krun_create_ctx();
    assert_true(id >= 0);
    assert_int_equal(krun_set_kernel((uint32_t)id, kernel,
                                     KRUN_KERNEL_FORMAT_ELF, NULL, NULL),
                     0);
    assert_int_equal(krun_disable_implicit_console((uint32_t)id), 0);
    return (uint32_t)id;
}

/* In a child process: what the call returned, if it did, as a status. */
static void start(uint32_t id)
{
    int32_t rc = krun_start_enter(id);
    _exit(rc < 0 && rc > -40 ? RETURNED - rc : RETURNED);
}

static int status_of(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Starts the VM that says R, after what `prepare` does in the child, and
 * comes back once it runs. Standard error is silent. */
static pid_t start_halting(void (*prepare)(uint32_t id))
{
    int fds[2];
    char letter = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint32_t id = context_with(halt_kernel);
        if (krun_add_serial_console_default(id, -1, fds[1]) != 0)
            _exit(1);
        if (prepare != NULL)
            prepare(id);
        start(id);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &letter, 1), 1);
    assert_int_equal(letter, 'R');
    close(fds[0]);
    return child;
}

/* ------------------------------------------------------------------ */

static void the_process_ends_with_the_guests_status(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        start(context_with(exit_kernel));
    assert_int_equal(status_of(child), 42);
}

/* Programs ask for round numbers, whatever the host has. */
static void more_memory_than_the_host_has_is_no_error(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        uint32_t id = context_with(exit_kernel);
        (void)krun_set_log_level(0);
        (void)krun_set_vm_config(id, 1, UINT32_MAX);
        start(id);
    }
    assert_int_equal(status_of(child), 42);
}

static void never_run(void)
{
    static const char text[] = "exit handlers were run\n";
    ssize_t n = write(2, text, sizeof(text) - 1);
    (void)n;
    _exit(99);
}

static void exit_handlers_are_not_run(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        (void)atexit(never_run);
        start(context_with(exit_kernel));
    }
    assert_int_equal(status_of(child), 42);
}

static void a_context_outlives_fork_and_closed_descriptors(void **state)
{
    (void)state;
    uint32_t id = context_with(exit_kernel);
    pid_t child = fork();
    if (child == 0) {
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        (void)krun_set_log_level(1);
        (void)krun_set_vm_config(id, 2, 256);
        start(id);
    }
    assert_int_equal(status_of(child), 42);
    assert_int_equal(krun_free_ctx(id), 0); /* ours is still there */
}

static void it_runs_with_few_descriptors_and_as_any_user(void **state)
{
    (void)state;
    if (chmod(folder, 0755) != 0)
        fail();
    pid_t child = fork();
    if (child == 0) {
        struct rlimit few = {128, 256};
        if (setrlimit(RLIMIT_NOFILE, &few) != 0)
            _exit(1);
        if (getuid() == 0 && (setgid(1000) != 0 || setuid(1000) != 0))
            _exit(2);
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        start(context_with(exit_kernel));
    }
    assert_int_equal(status_of(child), 42);
}

static void a_failed_start_returns_and_uses_the_context_up(void **state)
{
    (void)state;
    uint32_t id = context_with("no such kernel");
    assert_int_equal(krun_set_log_level(0), 0);
    assert_int_equal(krun_start_enter(id), -EINVAL);
    assert_int_equal(krun_start_enter(id), -ENOENT);
    assert_int_equal(krun_free_ctx(id), -ENOENT);

    id = context_with(exit_kernel); /* too little memory for any kernel */
    assert_int_equal(krun_set_vm_config(id, 1, 1), 0);
    assert_int_equal(krun_start_enter(id), -EINVAL);
    id = context_with(exit_kernel);
    assert_int_equal(krun_set_vm_config(id, 255, 128), 0);
    assert_int_equal(krun_start_enter(id), -EINVAL);
    assert_int_equal(krun_set_log_level(1), 0);
}

static void named(uint32_t id)
{
    (void)id;
    setenv("HOSTNAME", "box", 1);
}

static void not_named(uint32_t id)
{
    (void)id;
    unsetenv("HOSTNAME");
}

static void read_name(pid_t child, char *name, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)child);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(name, (int)size, file));
    (void)fclose(file);
}

static void the_process_is_named_after_the_guest(void **state)
{
    char name[64];
    (void)state;
    pid_t child = start_halting(named);
    read_name(child, name, sizeof(name));
    assert_string_equal(name, "VM:box\n");
    kill(child, SIGKILL);
    assert_int_equal(status_of(child), 1000 + SIGKILL);

    child = start_halting(not_named);
    read_name(child, name, sizeof(name));
    assert_string_equal(name, "libkrun VM\n");
    kill(child, SIGKILL);
    assert_int_equal(status_of(child), 1000 + SIGKILL);
}

static void few_descriptors(uint32_t id)
{
    struct rlimit limit;
    (void)id;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        _exit(1);
    limit.rlim_cur = 64;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        _exit(1);
}

static void the_limit_of_descriptors_is_raised(void **state)
{
    struct rlimit limit, now;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    pid_t child = start_halting(few_descriptors);
    assert_int_equal(prlimit(child, RLIMIT_NOFILE, NULL, &now), 0);
    assert_int_equal(now.rlim_cur, limit.rlim_max);
    kill(child, SIGKILL);
    (void)status_of(child);
}

/* There is no init in this guest that could be asked. */
static void sigterm_and_sigint_end_the_vm(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    (void)state;
    for (int i = 0; i < 2; i++) {
        pid_t child = start_halting(NULL);
        kill(child, signals[i]);
        assert_int_equal(status_of(child), 128 + SIGKILL);
    }
}

static void own_handler(int number)
{
    _exit(number == SIGTERM ? 77 : 78);
}

static void handles_itself(uint32_t id)
{
    (void)id;
    (void)signal(SIGTERM, own_handler);
    (void)signal(SIGINT, SIG_IGN);
}

static void a_programs_own_signal_handlers_stay(void **state)
{
    (void)state;
    pid_t child = start_halting(handles_itself);
    kill(child, SIGINT); /* ignored */
    kill(child, SIGTERM);
    assert_int_equal(status_of(child), 77);
}

/* A process 1 without handlers gets no signal that could end it. */
static int start_as_process_1(void *opaque)
{
    int *fds = opaque;
    uint32_t id = context_with(halt_kernel);
    if (krun_add_serial_console_default(id, -1, fds[1]) != 0)
        return 1;
    start(id);
    return 1;
}

static void sigterm_ends_the_vm_of_a_process_1(void **state)
{
    enum { STACK = 256 * 1024 };
    static uint8_t stack[STACK] __attribute__((aligned(16)));
    int fds[2];
    char letter = 0;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid_t child =
        clone(start_as_process_1, stack + STACK, CLONE_NEWPID | SIGCHLD, fds);
    if (child < 0) {
        close(fds[0]);
        close(fds[1]);
        hk_skip("this user may not make process namespaces");
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &letter, 1), 1);
    kill(child, SIGTERM);
    assert_int_equal(status_of(child), 128 + SIGKILL);
    close(fds[0]);
}

static void the_shutdown_event_ends_the_vm(void **state)
{
    int fds[2];
    char letter = 0;
    uint64_t one = 1;
    (void)state;
    uint32_t id = context_with(halt_kernel);
    int event = krun_get_shutdown_eventfd(id);
    assert_true(event >= 0);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        if (krun_add_serial_console_default(id, -1, fds[1]) != 0)
            _exit(1);
        start(id);
    }
    assert_int_equal(read(fds[0], &letter, 1), 1);
    assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
    assert_int_equal(status_of(child), 128 + SIGKILL);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(krun_free_ctx(id), 0);
}

/* ------------------------------------------------------------------ */
/* krun_free_ctx from another thread                                  */

static void *free_when_it_runs(void *opaque)
{
    const int *numbers = opaque; /* context, read end */
    char letter = 0;
    if (read(numbers[1], &letter, 1) != 1)
        return NULL;
    return krun_free_ctx((uint32_t)numbers[0]) == 0 ? opaque : NULL;
}

static void krun_free_ctx_ends_a_running_vm(void **state)
{
    int fds[2];
    pthread_t thread;
    void *result = NULL;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    uint32_t id = context_with(halt_kernel);
    assert_int_equal(krun_add_serial_console_default(id, -1, fds[1]), 0);
    int numbers[2] = {(int)id, fds[0]};
    assert_int_equal(pthread_create(&thread, NULL, free_when_it_runs, numbers),
                     0);
    assert_int_equal(krun_start_enter(id), -ECANCELED);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, numbers);
    assert_int_equal(krun_free_ctx(id), -ENOENT);
    close(fds[0]);
    close(fds[1]);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_process_ends_with_the_guests_status),
    cmocka_unit_test(more_memory_than_the_host_has_is_no_error),
    cmocka_unit_test(exit_handlers_are_not_run),
    cmocka_unit_test(a_context_outlives_fork_and_closed_descriptors),
    cmocka_unit_test(it_runs_with_few_descriptors_and_as_any_user),
    cmocka_unit_test(a_failed_start_returns_and_uses_the_context_up),
    cmocka_unit_test(the_process_is_named_after_the_guest),
    cmocka_unit_test(the_limit_of_descriptors_is_raised),
    cmocka_unit_test(sigterm_and_sigint_end_the_vm),
    cmocka_unit_test(a_programs_own_signal_handlers_stay),
    cmocka_unit_test(sigterm_ends_the_vm_of_a_process_1),
    cmocka_unit_test(the_shutdown_event_ends_the_vm),
    cmocka_unit_test(krun_free_ctx_ends_a_running_vm),
};
HK_TEST_MAIN_WITH(cases, make_kernels, remove_kernels)
