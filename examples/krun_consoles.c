/*
 * A VM with several consoles, by the calls of libkrun.
 *
 *     krun_consoles ROOT
 *
 * ROOT is a directory with a shell. The guest finds two ports of its own by
 * their names, asks a question through one and writes what it was answered
 * through the other; its ordinary output goes where ours goes.
 *
 * krun_start_enter takes the process over, so the VM is in a child, and this
 * process has the other ends of the ports.
 */
#include <libkrun.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char script[] = "for port in /sys/class/virtio-ports/*; do"
                             "  case $(cat $port/name) in"
                             "  question) question=/dev/${port##*/} ;;"
                             "  notes) notes=/dev/${port##*/} ;;"
                             "  esac;"
                             "done;"
                             "exec 3<>$question;"
                             "echo 'what is six times seven?' >&3;"
                             "read answer <&3;"
                             "echo \"the host says $answer\" >$notes;"
                             "echo 'the guest is done'";

/* Each call gives 0 or more, or an error number below 0. */
static int must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        _exit(1);
    }
    return result;
}

static void run(const char *root, int question, int notes)
{
    const char *const args[] = {"-c", script, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    uint32_t id = (uint32_t)must(krun_create_ctx(), "context");
    must(krun_set_vm_config(id, 1, 256), "size");
    must(krun_set_root(id, root), "root");
    must(krun_set_exec(id, "/bin/sh", args, env), "command");
    uint32_t console =
        (uint32_t)must(krun_add_virtio_console_multiport(id), "console");
    must(krun_add_console_port_inout(id, console, "question", question,
                                     question),
         "port");
    must(krun_add_console_port_inout(id, console, "notes", -1, notes), "port");
    must(krun_start_enter(id), "start"); /* comes back only to say why not */
}

int main(int argc, char **argv)
{
    int question[2], notes[2];
    char text[256];
    if (argc != 2) {
        fprintf(stderr, "usage: krun_consoles ROOT\n");
        return 1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, question) != 0 ||
        pipe(notes) != 0) {
        perror("krun_consoles");
        return 1;
    }
    pid_t vm = fork();
    if (vm == 0)
        run(argv[1], question[1], notes[1]);
    close(question[1]);
    close(notes[1]);

    ssize_t len = read(question[0], text, sizeof(text));
    if (len > 0)
        printf("the guest asks: %.*s", (int)len, text);
    if (len > 0 && write(question[0], "42\n", 3) != 3)
        perror("answer");
    while ((len = read(notes[0], text, sizeof(text))) > 0)
        printf("the guest notes: %.*s", (int)len, text);
    fflush(stdout);

    int status = 0;
    if (waitpid(vm, &status, 0) != vm || !WIFEXITED(status))
        return 1;
    return WEXITSTATUS(status);
}
