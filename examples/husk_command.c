/*
 * Runs a command in a virtual machine whose / is a directory, collects what
 * it prints, shows it with a mark before each line, and ends with its status.
 *
 *     husk_command ROOT COMMAND [ARG...]
 */
#include <husk.h>

#include <stdio.h>

static int fail(struct husk_vm *vm)
{
    fprintf(stderr, "husk_command: %s\n", husk_vm_error(vm));
    return 125;
}

static int configure(struct husk_vm *vm, const char *root, char **command,
                     int out_fd)
{
    const char *const *args = (const char *const *)&command[1];
    if (husk_vm_set_root(vm, root, HUSK_SHARE_READ_ONLY) < 0 ||
        husk_vm_set_command(vm, command[0], args) < 0 ||
        husk_vm_add_env(vm, "GREETING=hello") < 0 ||
        husk_vm_set_hostname(vm, "example") < 0 ||
        husk_vm_set_memory(vm, (uint64_t)256 << 20) < 0 ||
        husk_vm_set_stdio(vm, -1, out_fd, 2) < 0)
        return -1;
    return 0;
}

static void show(FILE *output)
{
    int c, last = '\n';
    rewind(output);
    while ((c = getc(output)) != EOF) {
        if (last == '\n')
            fputs("guest: ", stdout);
        putchar(c);
        last = c;
    }
}

static int run(struct husk_vm *vm, const char *root, char **command,
               FILE *output)
{
    if (configure(vm, root, command, fileno(output)) < 0 ||
        husk_vm_start(vm) < 0)
        return fail(vm);
    husk_vm_wait(vm, HUSK_FOREVER);
    show(output);
    if (husk_vm_end_reason(vm) == HUSK_END_EXIT)
        return husk_vm_end_status(vm);
    fprintf(stderr, "husk_command: %s\n", husk_vm_end_text(vm));
    return 125;
}

int main(int argc, char **argv)
{
    struct husk_vm *vm;
    if (argc < 3) {
        fprintf(stderr, "usage: husk_command ROOT COMMAND [ARG...]\n");
        return 125;
    }
    FILE *output = tmpfile();
    if (output == NULL || husk_vm_create(&vm) < 0)
        return 125;
    int status = run(vm, argv[1], &argv[2], output);
    husk_vm_destroy(vm);
    fclose(output);
    return status;
}
