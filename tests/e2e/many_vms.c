/*
 * Starts several VMs at once in this process, again and again, ends them in
 * different ways, and looks at what is left of them: descriptors, threads,
 * memory. TAP; for the tests of husk run.
 *
 *     many_vms ROOT VMS ROUNDS
 */
#include "husk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VMS_MAX = 32, LIMIT_MS = 240000, MEMORY_SLACK_KIB = 16384 };

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* Resident memory in KiB. */
static long memory(void)
{
    char line[128];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    }
    if (status != NULL)
        fclose(status);
    return kib;
}

static struct husk_vm *start(const char *root, int number, int out_fd)
{
    /* Some end by themselves, some are stopped, some are killed. */
    static const char *const scripts[] = {"exit 3", "exec sleep 1000",
                                          "exec sleep 1000"};
    const char *const args[] = {"-c", scripts[number % 3], NULL};
    struct husk_vm *vm = NULL;
    if (husk_vm_create(&vm) < 0)
        return NULL;
    if (husk_vm_set_root(vm, root, HUSK_SHARE_READ_ONLY) < 0 ||
        husk_vm_set_command(vm, "/bin/sh", args) < 0 ||
        husk_vm_set_memory(vm, (uint64_t)96 << 20) < 0 ||
        husk_vm_set_stdio(vm, -1, out_fd, out_fd) < 0 ||
        husk_vm_start(vm) < 0) {
        printf("# %s\n", husk_vm_error(vm));
        husk_vm_destroy(vm);
        return NULL;
    }
    return vm;
}

/* True when the VM ended as it should. */
static int finish(struct husk_vm *vm, int number)
{
    enum husk_end want = number % 3 == 0 ? HUSK_END_EXIT : HUSK_END_KILLED;
    if (number % 3 == 1)
        husk_vm_kill(vm);
    else if (number % 3 == 2)
        (void)husk_vm_stop(vm, 0);
    int rc = husk_vm_wait(vm, LIMIT_MS);
    enum husk_end end = husk_vm_end_reason(vm);
    /* One that was told to stop after its command began ends by a status. */
    int good =
        rc == 0 && (end == want || (number % 3 == 2 && end == HUSK_END_EXIT));
    if (good && number % 3 == 0)
        good = husk_vm_end_status(vm) == 3;
    if (!good)
        printf("# VM %d: %d, %s\n", number, rc, husk_vm_end_text(vm));
    husk_vm_destroy(vm);
    return good;
}

static int round_of(const char *root, int vms, int out_fd)
{
    struct husk_vm *vm[VMS_MAX];
    int good = 1;
    for (int i = 0; i < vms; i++)
        vm[i] = start(root, i, out_fd);
    for (int i = 0; i < vms; i++)
        good &= vm[i] != NULL && finish(vm[i], i);
    return good;
}

static void report(int number, int good, const char *name)
{
    printf("%sok %d - %s\n", good ? "" : "not ", number, name);
}

int main(int argc, char **argv)
{
    int vms = argc == 4 ? (int)strtol(argv[2], NULL, 10) : 0;
    int rounds = argc == 4 ? (int)strtol(argv[3], NULL, 10) : 0;
    if (vms < 1 || vms > VMS_MAX || rounds < 2) {
        fprintf(stderr, "usage: many_vms ROOT VMS ROUNDS\n");
        return 2;
    }
    int out_fd = open("/dev/null", O_WRONLY);
    /* The first round fills caches that stay. */
    int good = round_of(argv[1], vms, out_fd);
    unsigned files = count_entries("/proc/self/fd");
    unsigned threads = count_entries("/proc/self/task");
    long before = memory();
    for (int i = 1; i < rounds; i++)
        good &= round_of(argv[1], vms, out_fd);
    unsigned files_after = count_entries("/proc/self/fd");
    unsigned threads_after = count_entries("/proc/self/task");
    long after = memory();
    printf(
        "1..4\n# %u and %u descriptors, %u and %u threads, %ld and %ld KiB\n",
        files, files_after, threads, threads_after, before, after);
    report(1, good, "many_vms_at_once_end_as_they_should");
    report(2, files_after == files, "they_leave_no_descriptor");
    report(3, threads_after == threads, "they_leave_no_thread");
    report(4, after - before < MEMORY_SLACK_KIB, "they_leave_no_memory");
    close(out_fd);
    return 0;
}
