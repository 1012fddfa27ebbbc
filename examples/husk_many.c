/*
 * Several virtual machines at once in one process, on the same root. Each is
 * told its number; what they print comes out in the order of the numbers.
 *
 *     husk_many ROOT COUNT
 */
#include <husk.h>

#include <stdio.h>
#include <stdlib.h>

struct guest {
    struct husk_vm *vm;
    FILE *output;
};

static int start(struct guest *guest, const char *root, int number)
{
    const char *const args[] = {"-c", "echo VM $NUMBER is $(uname -n)", NULL};
    char variable[32], name[32];
    snprintf(variable, sizeof(variable), "NUMBER=%d", number);
    snprintf(name, sizeof(name), "guest%d", number);
    guest->output = tmpfile();
    if (guest->output == NULL || husk_vm_create(&guest->vm) < 0)
        return -1;
    struct husk_vm *vm = guest->vm;
    if (husk_vm_set_root(vm, root, HUSK_SHARE_READ_ONLY) < 0 ||
        husk_vm_set_command(vm, "/bin/sh", args) < 0 ||
        husk_vm_add_env(vm, variable) < 0 ||
        husk_vm_set_hostname(vm, name) < 0 ||
        husk_vm_set_memory(vm, (uint64_t)128 << 20) < 0 ||
        husk_vm_set_stdio(vm, -1, fileno(guest->output), 2) < 0)
        return -1;
    return husk_vm_start(vm);
}

/* Waits for one; true when its command went well. */
static int finish(struct guest *guest)
{
    int c;
    husk_vm_wait(guest->vm, HUSK_FOREVER);
    rewind(guest->output);
    while ((c = getc(guest->output)) != EOF)
        putchar(c);
    if (husk_vm_end_reason(guest->vm) != HUSK_END_EXIT)
        fprintf(stderr, "husk_many: %s\n", husk_vm_end_text(guest->vm));
    return husk_vm_end_reason(guest->vm) == HUSK_END_EXIT &&
           husk_vm_end_status(guest->vm) == 0;
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (count < 1 || count > 64) {
        fprintf(stderr, "usage: husk_many ROOT COUNT   (1 to 64)\n");
        return 125;
    }
    struct guest *guests = calloc((size_t)count, sizeof(*guests));
    int started = 0, good = 0;
    if (guests == NULL)
        return 125;
    while (started < count && start(&guests[started], argv[1], started) == 0)
        started++;
    if (started < count && guests[started].vm != NULL)
        fprintf(stderr, "husk_many: %s\n", husk_vm_error(guests[started].vm));
    for (int i = 0; i < started; i++)
        good += finish(&guests[i]);
    for (int i = 0; i < count; i++) {
        husk_vm_destroy(guests[i].vm);
        if (guests[i].output != NULL)
            fclose(guests[i].output);
    }
    free(guests);
    return good == count ? 0 : 1;
}
