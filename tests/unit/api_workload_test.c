/*
 * husk.h: the workload and consoles, as far as they are only noted.
 */
#include "hk_test.h"

#include "api/husk_int.h"

#include <sys/wait.h>
#include <unistd.h>

static struct husk_vm *vm;

static int make_vm(void **state)
{
    (void)state;
    return husk_vm_create(&vm);
}

static int drop_vm(void **state)
{
    (void)state;
    husk_vm_destroy(vm);
    return 0;
}

/* The call failed with the code and said a sentence that has the word. */
static void refused(int rc, int code, const char *word)
{
    const char *said = husk_vm_error(vm);
    assert_int_equal(rc, code);
    if (strstr(said, word) == NULL)
        fail_msg("'%s' does not speak of '%s'", said, word);
    assert_null(strchr(said, '\n')); /* one line */
}

static void a_command_is_copied(void **state)
{
    (void)state;
    char path[] = "/bin/ls", first[] = "-l";
    const char *args[] = {first, "/", NULL};
    const struct hk_vm_workload *workload = &vm->parts.workload;
    assert_int_equal(husk_vm_set_command(vm, path, args), 0);
    path[0] = first[0] = 'x';
    assert_string_equal(workload->command, "/bin/ls");
    assert_string_equal(workload->args[0], "-l");
    assert_string_equal(workload->args[1], "/");
    assert_null(workload->args[2]);
    assert_int_equal(husk_vm_set_command(vm, "sh", NULL), 0);
    assert_string_equal(workload->command, "sh");
    assert_null(workload->args[0]);
    refused(husk_vm_set_command(vm, "", args), -22, "empty");
    refused(husk_vm_set_command(vm, NULL, args), -22, "empty");
    assert_string_equal(workload->command, "sh");
}

static void variables_are_added_and_replaced(void **state)
{
    (void)state;
    const char *env[] = {"A=1", "AB=2", NULL};
    const struct hk_vm_workload *workload = &vm->parts.workload;
    assert_int_equal(husk_vm_add_env(vm, "OLD=gone"), 0);
    assert_int_equal(husk_vm_set_env(vm, env), 0);
    assert_int_equal(husk_vm_add_env(vm, "A="), 0);
    assert_int_equal(husk_vm_add_env(vm, "C=x=y"), 0);
    assert_string_equal(workload->env[0], "A=");
    assert_string_equal(workload->env[1], "AB=2");
    assert_string_equal(workload->env[2], "C=x=y");
    assert_null(workload->env[3]);
    assert_int_equal(husk_vm_set_env(vm, NULL), 0);
    assert_null(workload->env[0]);
}

static void what_is_no_variable_is_refused(void **state)
{
    (void)state;
    const char *env[] = {"A=1", "B", NULL};
    assert_int_equal(husk_vm_add_env(vm, "K=v"), 0);
    refused(husk_vm_add_env(vm, "A"), -22, "'A'");
    refused(husk_vm_add_env(vm, "=1"), -22, "'=1'");
    refused(husk_vm_add_env(vm, NULL), -22, "variable");
    refused(husk_vm_set_env(vm, env), -22, "'B'");
    assert_string_equal(vm->parts.workload.env[0], "K=v");
}

static void where_and_as_whom_are_checked(void **state)
{
    (void)state;
    const struct hk_vm_workload *workload = &vm->parts.workload;
    assert_int_equal(husk_vm_set_workdir(vm, "/tmp"), 0);
    refused(husk_vm_set_workdir(vm, "tmp"), -22, "absolute");
    refused(husk_vm_set_workdir(vm, "/tmp/.."), -22, "'..'");
    assert_string_equal(workload->workdir, "/tmp");

    static const char *const users[] = {"0", "1000:1000", "www-data", "me:us",
                                        NULL};
    for (size_t i = 0; users[i] != NULL; i++) {
        assert_int_equal(husk_vm_set_user(vm, users[i]), 0);
        assert_string_equal(workload->user, users[i]);
    }
    static const char *const none[] = {"", ":1", "1:", "a:b:c", "a\nb", NULL};
    for (size_t i = 0; none[i] != NULL; i++)
        refused(husk_vm_set_user(vm, none[i]), -22, "user");
    refused(husk_vm_set_user(vm, NULL), -22, "user");
    assert_string_equal(workload->user, "me:us");
}

static void host_names_have_a_length(void **state)
{
    (void)state;
    char name[66];
    memset(name, 'a', sizeof(name));
    name[65] = '\0';
    refused(husk_vm_set_hostname(vm, name), -22, "not 65");
    name[64] = '\0';
    assert_int_equal(husk_vm_set_hostname(vm, name), 0);
    assert_string_equal(vm->parts.workload.hostname, name);
    refused(husk_vm_set_hostname(vm, ""), -22, "not 0");
    refused(husk_vm_set_hostname(vm, NULL), -22, "not 0");
    refused(husk_vm_set_hostname(vm, "a b"), -22, "character");
}

static void limits_are_numbers(void **state)
{
    (void)state;
    const char *good[] = {"7=1024:4096", "6=0:18446744073709551615", NULL};
    assert_int_equal(husk_vm_set_rlimits(vm, good), 0);
    static const char *const bad[] = {
        "7",      "7=1",        "7=1:",   "=1:2",   "7=2:1",
        "16=1:2", "NOFILE=1:2", "7=-1:2", "7=1:2 ", "7=1:18446744073709551616",
        NULL};
    for (size_t i = 0; bad[i] != NULL; i++) {
        const char *list[] = {bad[i], NULL};
        refused(husk_vm_set_rlimits(vm, list), -22, bad[i]);
    }
    assert_string_equal(vm->parts.workload.rlimits[1],
                        "6=0:18446744073709551615");
    refused(husk_vm_set_workload_flags(vm, 8), -22, "0x8");
    assert_int_equal(
        husk_vm_set_workload_flags(vm, HUSK_WORKLOAD_PID1 | HUSK_WORKLOAD_DHCP),
        0);
}

static void streams_are_noted(void **state)
{
    (void)state;
    const struct hk_vm_stdio *stdio = &vm->parts.stdio;
    assert_int_equal(stdio->kind, HK_VM_STDIO_NONE);
    assert_int_equal(husk_vm_set_stdio(vm, -1, 1, 2), 0);
    assert_int_equal(stdio->kind, HK_VM_STDIO_PORTS);
    assert_int_equal(stdio->fd[0], -1);
    assert_int_equal(stdio->fd[2], 2);
    refused(husk_vm_set_terminal(vm, -2, 1), -22, "-2");
    assert_int_equal(stdio->kind, HK_VM_STDIO_PORTS);
    assert_int_equal(husk_vm_set_terminal(vm, 0, 1), 0);
    assert_int_equal(stdio->kind, HK_VM_STDIO_TERMINAL);
    assert_int_equal(husk_vm_set_kernel_log(vm, 2), 0);
    assert_int_equal(vm->parts.kernel_log, 2);
    refused(husk_vm_set_kernel_log(vm, -5), -22, "-5");
    refused(husk_vm_set_serial(vm, 0, -3, 0), -22, "-3");
}

static void consoles_have_numbers_and_ports(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_add_console(vm), 0);
    assert_int_equal(husk_vm_add_console_default(vm, 0, 1, 2), 1);
    assert_int_equal(husk_vm_add_port(vm, 0, "data", -1, 1), 0);
    assert_int_equal(husk_vm_add_port(vm, 0, NULL, 0, -1), 0);
    const struct hk_vm_console *console = &vm->parts.consoles[0];
    assert_int_equal(console->port_count, 2);
    assert_string_equal(console->ports[0].name, "data");
    assert_null(console->ports[1].name);
    assert_true(vm->parts.consoles[1].is_default);
    refused(husk_vm_add_port(vm, 1, "x", -1, 1), -22, "console 1");
    refused(husk_vm_add_port(vm, 2, "x", -1, 1), -22, "console 2");
    refused(husk_vm_add_port(vm, 0, "a/b", -1, 1), -22, "name");
    refused(husk_vm_add_port(vm, 0, "x", -2, 1), -22, "-2");
}

static void a_terminal_port_wants_a_terminal(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(husk_vm_add_console(vm), 0);
    refused(husk_vm_add_port_tty(vm, 0, "tty", ends[0]), -25, "terminal");
    refused(husk_vm_add_port_tty(vm, 0, "tty", -1), -25, "terminal");
    assert_int_equal(vm->parts.consoles[0].port_count, 0);
    close(ends[0]);
    close(ends[1]);
}

static void there_is_an_end_to_consoles(void **state)
{
    (void)state;
    for (int i = 0; i < HK_VM_CONSOLES_MAX; i++)
        assert_int_equal(husk_vm_add_console(vm), i);
    refused(husk_vm_add_console(vm), -22, "at most");
    for (int i = 0; i < HK_VM_PORTS_MAX; i++)
        assert_int_equal(husk_vm_add_port(vm, 0, NULL, -1, -1), 0);
    refused(husk_vm_add_port(vm, 0, NULL, -1, -1), -22, "at most");
}

static void kernel_formats_are_numbers_of_old(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_set_kernel_format(vm, HUSK_KERNEL_AUTO), 0);
    assert_int_equal(husk_vm_set_kernel_format(vm, 5), 0);
    refused(husk_vm_set_kernel_format(vm, 6), -22, "6");
    refused(husk_vm_set_kernel_format(vm, -2), -22, "-2");
}

static void a_signal_needs_a_workload(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_signal(vm, 15), -95);
    assert_int_equal(husk_vm_set_root(vm, "/", 0), 0);
    assert_int_equal(husk_vm_signal(vm, 15), -107);
    assert_int_equal(husk_vm_signal(vm, 0), -22);
    assert_int_equal(husk_vm_signal(vm, 65), -22);
}

/* Made before a fork, filled in the child. */
static void a_vm_survives_fork(void **state)
{
    int status = 0;
    (void)state;
    assert_int_equal(husk_vm_set_root(vm, "/before", 0), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool good = husk_vm_add_env(vm, "K=v") == 0 &&
                    husk_vm_set_root(vm, "/after", 0) == 0 &&
                    strcmp(vm->parts.shares[0].host_path, "/after") == 0;
        husk_vm_destroy(vm);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_string_equal(vm->parts.shares[0].host_path, "/before");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_vm, drop_vm)

static const struct CMUnitTest cases[] = {
    CASE(a_command_is_copied),
    CASE(variables_are_added_and_replaced),
    CASE(what_is_no_variable_is_refused),
    CASE(where_and_as_whom_are_checked),
    CASE(host_names_have_a_length),
    CASE(limits_are_numbers),
    CASE(streams_are_noted),
    CASE(consoles_have_numbers_and_ports),
    CASE(a_terminal_port_wants_a_terminal),
    CASE(there_is_an_end_to_consoles),
    CASE(kernel_formats_are_numbers_of_old),
    CASE(a_signal_needs_a_workload),
    CASE(a_vm_survives_fork),
};
HK_TEST_MAIN(cases)
