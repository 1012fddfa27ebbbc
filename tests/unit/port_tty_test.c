/* console/port.h at terminals */
#define _GNU_SOURCE
#include "port_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int open_pty(int *terminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    *terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(*terminal >= 0);
    return master;
}

static void row039_raw_mode_is_on_until_close(void **state)
{
    struct rig *rig = *state;
    struct termios before, raw, after;
    int terminal, master = open_pty(&terminal);

    assert_int_equal(tcgetattr(terminal, &before), 0);
    assert_true((before.c_lflag & ECHO) != 0);
    open_port(rig, terminal, terminal, true);
    listen_port(rig);
    assert_int_equal(tcgetattr(terminal, &raw), 0);
    assert_int_equal(raw.c_lflag & (ECHO | ICANON | ISIG), 0);
    assert_int_equal(raw.c_oflag & OPOST, 0);
    close_port(rig);
    assert_int_equal(tcgetattr(terminal, &after), 0);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_int_equal(after.c_iflag, before.c_iflag);
    assert_int_equal(after.c_oflag, before.c_oflag);
    close(terminal);
    close(master);
}

static void row039_the_emergency_hook_restores_the_terminal(void **state)
{
    struct rig *rig = *state;
    struct termios before, after;
    int terminal, master = open_pty(&terminal);

    hk_port_restore_terminal(); /* nothing raw: harmless */
    assert_int_equal(tcgetattr(terminal, &before), 0);
    open_port(rig, terminal, terminal, true);
    hk_port_restore_terminal();
    assert_int_equal(tcgetattr(terminal, &after), 0);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_int_equal(after.c_oflag, before.c_oflag);
    close_port(rig);
    close(terminal);
    close(master);
}

static void without_raw_the_terminal_is_left_alone(void **state)
{
    struct rig *rig = *state;
    struct termios before, during;
    int terminal, master = open_pty(&terminal);

    assert_int_equal(tcgetattr(terminal, &before), 0);
    open_port(rig, terminal, terminal, false);
    listen_port(rig);
    assert_int_equal(tcgetattr(terminal, &during), 0);
    assert_int_equal(during.c_lflag, before.c_lflag);
    rig->stop_at = 4;
    write_all(master,
              "a\x1d"
              "b\n",
              4);
    hk_loop_run(rig->loop);
    assert_memory_equal(rig->got,
                        "a\x1d"
                        "b\n",
                        4);
    assert_int_equal(rig->escapes, 0);
    close_port(rig);
    close(terminal);
    close(master);
}

static void typed_keys_arrive_and_the_end_key_does_not(void **state)
{
    struct rig *rig = *state;
    int terminal, master = open_pty(&terminal);

    open_port(rig, terminal, terminal, true);
    listen_port(rig);
    write_all(master,
              "ab\x03\x1d"
              "c",
              5);
    hk_loop_run(rig->loop);
    hk_loop_turn(rig->loop);
    assert_int_equal(rig->escapes, 1);
    assert_int_equal(rig->len, 4);
    assert_memory_equal(rig->got,
                        "ab\x03"
                        "c",
                        4);
    close_port(rig);
    close(terminal);
    close(master);
}

static void the_end_key_works_while_the_guest_takes_nothing(void **state)
{
    struct rig *rig = *state;
    int terminal, master = open_pty(&terminal);

    open_port(rig, terminal, terminal, true);
    rig->appetite = 0;
    listen_port(rig);
    write_all(master, "hang", 4);
    hk_loop_turn(rig->loop);
    write_all(master, "\x1d", 1);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->escapes, 1);
    assert_int_equal(rig->len, 0);
    rig->appetite = 100;
    hk_port_resume(rig->port);
    assert_int_equal(rig->len, 4);
    close_port(rig);
    close(terminal);
    close(master);
}

static void row041_a_resize_is_reported(void **state)
{
    struct rig *rig = *state;
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    int terminal, master = open_pty(&terminal);

    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    open_port(rig, terminal, terminal, true);
    listen_port(rig);
    assert_int_equal(rig->columns, 80);
    assert_int_equal(rig->rows, 24);
    size.ws_row = 50;
    size.ws_col = 132;
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    raise(SIGWINCH);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->columns, 132);
    assert_int_equal(rig->rows, 50);
    close_port(rig);
    close(terminal);
    close(master);
}

static void the_size_of_a_terminal_can_be_asked(void **state)
{
    struct rig *rig = *state;
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    int terminal, master = open_pty(&terminal);
    uint16_t columns, rows;

    open_port(rig, -1, terminal, 0);
    assert_false(hk_port_size(rig->port, &columns, &rows)); /* 0 x 0 */
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    assert_true(hk_port_size(rig->port, &columns, &rows));
    assert_int_equal(columns, 80);
    assert_int_equal(rows, 24);
    close_port(rig);
    open_port(rig, -1, -1, 0);
    assert_false(hk_port_size(rig->port, &columns, &rows));
    close_port(rig);
    close(terminal);
    close(master);
}

static void row041_a_resize_of_a_foreign_terminal_is_reported(void **state)
{
    struct rig *rig = *state;
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    int terminal, master = open_pty(&terminal);

    /* No signal tells of it: the terminal is not this session's. */
    open_port(rig, terminal, terminal, 0);
    rig->resizes = 1;
    listen_port(rig);
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->columns, 80);
    close_port(rig);
    close(terminal);
    close(master);
}

static atomic_int winches;

static void on_winch(int number)
{
    atomic_fetch_add(&winches, 1);
}

static void the_processs_own_resize_handler_is_kept(void **state)
{
    struct rig *rig = *state;
    struct sigaction own = {.sa_handler = on_winch}, after;
    int terminal, master = open_pty(&terminal);

    assert_int_equal(sigaction(SIGWINCH, &own, NULL), 0);
    open_port(rig, terminal, terminal, 0);
    listen_port(rig);
    atomic_store(&winches, 0);
    raise(SIGWINCH);
    assert_int_equal(atomic_load(&winches), 1);
    close_port(rig);
    assert_int_equal(sigaction(SIGWINCH, NULL, &after), 0);
    assert_ptr_equal(after.sa_handler, on_winch);
    raise(SIGWINCH);
    assert_int_equal(atomic_load(&winches), 2);
    own.sa_handler = SIG_DFL;
    assert_int_equal(sigaction(SIGWINCH, &own, NULL), 0);
    close(terminal);
    close(master);
}

static void no_resize_handler_is_left_behind(void **state)
{
    struct rig *rig = *state;
    struct sigaction during, after;
    int terminal, master = open_pty(&terminal);

    open_port(rig, terminal, terminal, 0);
    listen_port(rig);
    assert_int_equal(sigaction(SIGWINCH, NULL, &during), 0);
    assert_ptr_not_equal(during.sa_handler, SIG_DFL);
    close_port(rig);
    assert_int_equal(sigaction(SIGWINCH, NULL, &after), 0);
    assert_ptr_equal(after.sa_handler, SIG_DFL);
    close(terminal);
    close(master);
}

static void row046_two_ports_of_one_terminal_restore_it_last(void **state)
{
    struct rig *rig = *state;
    struct termios before, during, after;
    struct hk_port *other;
    int terminal, master = open_pty(&terminal);
    struct hk_errmsg err;

    assert_int_equal(tcgetattr(terminal, &before), 0);
    open_port(rig, terminal, terminal, HK_PORT_RAW);
    assert_int_equal(hk_port_open_fds(rig->loop, terminal, terminal,
                                      HK_PORT_RAW, &other, &err),
                     0);
    close_port(rig);
    assert_int_equal(tcgetattr(terminal, &during), 0);
    assert_int_equal(during.c_lflag & ICANON, 0);
    hk_port_close(other);
    hk_loop_turn(rig->loop);
    assert_int_equal(tcgetattr(terminal, &after), 0);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_int_equal(after.c_oflag, before.c_oflag);
    close(terminal);
    close(master);
}

static void row039_two_terminals_are_raw_and_restored_apart(void **state)
{
    struct rig *rig = *state;
    struct termios before, after;
    struct hk_port *other;
    int first, second, master = open_pty(&first), master2 = open_pty(&second);
    struct hk_errmsg err;

    assert_int_equal(tcgetattr(first, &before), 0);
    open_port(rig, first, first, HK_PORT_RAW);
    assert_int_equal(
        hk_port_open_fds(rig->loop, second, second, HK_PORT_RAW, &other, &err),
        0);
    hk_port_restore_terminal();
    assert_int_equal(tcgetattr(first, &after), 0);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_int_equal(tcgetattr(second, &after), 0);
    assert_int_equal(after.c_lflag, before.c_lflag);
    hk_port_close(other);
    close_port(rig);
    close(first);
    close(second);
    close(master);
    close(master2);
}

static void row039_exit_restores_the_terminal(void **state)
{
    struct rig *rig = *state;
    struct termios before, after;
    int terminal, master = open_pty(&terminal), status;

    assert_int_equal(tcgetattr(terminal, &before), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct hk_loop *loop;
        struct hk_port *port;

        if (hk_loop_create(&loop) != 0 ||
            hk_port_open_fds(loop, terminal, terminal, HK_PORT_RAW, &port,
                             NULL) != 0 ||
            tcgetattr(terminal, &after) != 0 || (after.c_lflag & ECHO) != 0)
            _exit(1);
        exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(tcgetattr(terminal, &after), 0);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_int_equal(rig->ends, 0);
    close(terminal);
    close(master);
}

static void without_an_end_key_every_key_is_the_guests(void **state)
{
    struct rig *rig = *state;
    int terminal, master = open_pty(&terminal);

    open_port(rig, terminal, terminal, HK_PORT_RAW | HK_PORT_NO_ESCAPE);
    listen_port(rig);
    rig->stop_at = 2;
    write_all(master, "\x1d\x03", 2);
    hk_loop_run(rig->loop);
    assert_memory_equal(rig->got, "\x1d\x03", 2);
    assert_int_equal(rig->escapes, 0);
    close_port(rig);
    close(terminal);
    close(master);
}

static void row040_escape_sequences_reach_the_terminal_as_they_are(void **state)
{
    static const char text[] = "\x1b[31mred\x1b[0m\x1b[2J\r\n\xc3\xa4";
    struct rig *rig = *state;
    int terminal, master = open_pty(&terminal);
    char got[sizeof(text)];

    open_port(rig, terminal, terminal, HK_PORT_RAW);
    listen_port(rig);
    assert_int_equal(
        hk_port_write(rig->port, (const uint8_t *)text, strlen(text)),
        strlen(text));
    for (size_t at = 0; at < strlen(text);) {
        ssize_t n = read(master, got + at, strlen(text) - at);

        assert_true(n > 0);
        at += (size_t)n;
    }
    assert_memory_equal(got, text, strlen(text));
    close_port(rig);
    close(terminal);
    close(master);
}

static void a_terminal_that_hangs_up_is_an_end_of_input(void **state)
{
    struct rig *rig = *state;
    int terminal, master = open_pty(&terminal);

    open_port(rig, terminal, terminal, true);
    listen_port(rig);
    close(master);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->ends, 1);
    close_port(rig);
    close(terminal);
}

static const struct CMUnitTest cases[] = {
    CASE(row039_raw_mode_is_on_until_close),
    CASE(row039_the_emergency_hook_restores_the_terminal),
    CASE(without_raw_the_terminal_is_left_alone),
    CASE(typed_keys_arrive_and_the_end_key_does_not),
    CASE(the_end_key_works_while_the_guest_takes_nothing),
    CASE(row041_a_resize_is_reported),
    CASE(the_size_of_a_terminal_can_be_asked),
    CASE(row041_a_resize_of_a_foreign_terminal_is_reported),
    CASE(the_processs_own_resize_handler_is_kept),
    CASE(no_resize_handler_is_left_behind),
    CASE(row046_two_ports_of_one_terminal_restore_it_last),
    CASE(row039_two_terminals_are_raw_and_restored_apart),
    CASE(row039_exit_restores_the_terminal),
    CASE(without_an_end_key_every_key_is_the_guests),
    CASE(row040_escape_sequences_reach_the_terminal_as_they_are),
    CASE(a_terminal_that_hangs_up_is_an_end_of_input),
};
HK_TEST_MAIN(cases)
