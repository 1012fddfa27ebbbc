/*
 * loads: the fixed work of `make bench`, and the marks around it.
 *
 *   loads list                        "group name" of each load
 *   loads run NAME...                 runs loads
 *   loads time NAME COMMAND [ARG...]  runs a program as if it were a load
 *   loads devices                     "name amount unit" of each device load
 *   loads tsc                         rate of the time stamp counter, in kHz
 *
 * Around a load two lines are printed, "@begin NAME" and "@end NAME", and
 * after each the program waits for a line of input. Whoever reads the console
 * samples the machine's processor time while the guest sleeps, so that the
 * sample does not depend on how soon the reader gets its turn. "@check NAME
 * VALUE" follows.
 */
#include "loads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name;
    const struct load *loads;
} groups[] = {
    {"integer", loads_integer}, {"memory", loads_memory},
    {"float", loads_float},     {"kernel", loads_kernel},
    {"threads", loads_thread},  {"code", loads_code},
    {"device", loads_device},
};

enum { GROUPS = sizeof groups / sizeof *groups };

void loads_need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "loads: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void mark(const char *what, const char *name)
{
    char byte = 0;
    printf("@%s %s\n", what, name);
    fflush(stdout);
    while (byte != '\n' && read(STDIN_FILENO, &byte, 1) == 1)
        continue;
}

static void report(const char *name, uint64_t check)
{
    printf("@check %s %016llx\n", name, (unsigned long long)check);
    fflush(stdout);
}

static const struct load *find(const char *name)
{
    for (int i = 0; i < GROUPS; i++)
        for (const struct load *l = groups[i].loads; l->name != NULL; l++)
            if (strcmp(l->name, name) == 0)
                return l;
    return NULL;
}

/* Device loads are another table's, and not among them. */
static int list(void)
{
    for (int i = 0; groups[i].loads != loads_device; i++)
        for (const struct load *l = groups[i].loads; l->name != NULL; l++)
            printf("%s %s\n", groups[i].name, l->name);
    return 0;
}

static int list_devices(void)
{
    for (const struct load_amount *a = loads_device_amounts; a->name != NULL;
         a++)
        printf("%s %u %s\n", a->name, a->amount, a->unit);
    return 0;
}

static int run(char **names)
{
    for (; *names != NULL; names++) {
        const struct load *load = find(*names);
        if (load == NULL) {
            fprintf(stderr, "loads: no load %s\n", *names);
            return 1;
        }
        if (load->prepare != NULL)
            load->prepare();
        mark("begin", load->name);
        const uint64_t check = load->run();
        mark("end", load->name);
        report(load->name, check);
    }
    return 0;
}

static uint64_t check_of_file(const char *path)
{
    uint64_t check = 1;
    FILE *file = fopen(path, "rb");
    loads_need(file != NULL, path);
    for (int c; (c = getc(file)) != EOF;)
        check = loads_fold(check, (uint64_t)c);
    fclose(file);
    return check;
}

/* The check value is that of the program's output. */
static int time_program(const char *name, char **command)
{
    const char *output = "/tmp/output";
    int status = 0;
    mark("begin", name);
    const pid_t child = fork();
    loads_need(child >= 0, "fork");
    if (child == 0) {
        const int fd = open(output, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        loads_need(fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0, output);
        execvp(command[0], command);
        loads_need(0, command[0]);
    }
    loads_need(waitpid(child, &status, 0) == child, "waitpid");
    mark("end", name);
    if (status != 0) {
        fprintf(stderr, "loads: %s ended with status %#x\n", name, status);
        return 1;
    }
    report(name, check_of_file(output));
    return 0;
}

struct instant {
    uint64_t tsc;
    double ns;
};

/* The closest pair of clock and counter out of many. */
static struct instant now(void)
{
    struct instant best = {0};
    uint64_t best_gap = UINT64_MAX;
    for (int i = 0; i < 100; i++) {
        struct timespec t;
        const uint64_t before = __builtin_ia32_rdtsc();
        clock_gettime(CLOCK_MONOTONIC_RAW, &t);
        const uint64_t after = __builtin_ia32_rdtsc();
        if (after - before < best_gap) {
            best_gap = after - before;
            best.tsc = before + best_gap / 2;
            best.ns = (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
        }
    }
    return best;
}

static int tsc(void)
{
    const struct timespec pause = {.tv_nsec = 500000000};
    const struct instant from = now();
    nanosleep(&pause, NULL);
    const struct instant to = now();
    printf("%.0f\n", (double)(to.tsc - from.tsc) / (to.ns - from.ns) * 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "list") == 0)
        return list();
    if (strcmp(verb, "devices") == 0)
        return list_devices();
    if (strcmp(verb, "run") == 0)
        return run(argv + 2);
    if (strcmp(verb, "time") == 0 && argc > 3)
        return time_program(argv[2], argv + 3);
    if (strcmp(verb, "tsc") == 0)
        return tsc();
    if (strcmp(verb, "nothing") == 0) /* what the exec load starts */
        return 0;
    fprintf(stderr, "usage: loads list | devices | run NAME... | "
                    "time NAME COMMAND... | tsc\n");
    return 1;
}
