/*
 * A 32-bit vDSO in a 64-bit process.
 *
 * The kernel never returns from SYSENTER to the instruction behind it but to
 * a place in the vDSO of 32-bit programs, which pops EBP, EDX and ECX and
 * returns. A process may exchange its vDSO for that one; glibc, which has
 * pointers into the old one, must not ask for the time from then on. So this
 * is for forked processes that do nothing else.
 */
#define _GNU_SOURCE
#include "oracle.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAP_VDSO_32 = 0x2002, /* of arch_prctl */
    VDSO_AT = 0x5b3d7000,
    MAX_PARTS = 8,
};

struct part {
    uintptr_t from, to;
    bool is_code;
};

/* Code and data of the present one. */
static size_t find_parts(struct part parts[MAX_PARTS])
{
    char line[256];
    size_t count = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        struct part p = {.is_code = strstr(line, "[vdso]") != NULL};
        if (!p.is_code && strstr(line, "[vvar") == NULL)
            continue;
        if (count < MAX_PARTS &&
            sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &p.from, &p.to) == 2)
            parts[count++] = p;
    }
    if (f != NULL)
        fclose(f);
    return count;
}

static void unmap(bool code)
{
    struct part parts[MAX_PARTS];
    size_t count = find_parts(parts);
    for (size_t i = 0; i < count; i++)
        if (code || !parts[i].is_code)
            munmap((void *)parts[i].from, parts[i].to - parts[i].from);
}

bool oracle_vdso_exchange(void)
{
    unmap(true);
    bool ok = syscall(SYS_arch_prctl, MAP_VDSO_32, VDSO_AT) > 0;
    unmap(false);
    return ok;
}

size_t oracle_vdso_code(const uint8_t **at)
{
    struct part parts[MAX_PARTS];
    size_t count = find_parts(parts);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].is_code && parts[i].from - VDSO_AT < ORACLE_RESERVED) {
            *at = (const uint8_t *)parts[i].from;
            return parts[i].to - parts[i].from;
        }
    }
    return 0;
}

bool oracle_vdso_can_exchange(void)
{
    static int can = -1;
    int status = 1;
    if (can >= 0)
        return can;
    pid_t pid = fork();
    if (pid == 0)
        _exit(oracle_vdso_exchange() ? 0 : 1);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        status = 1;
    can = status == 0;
    return can;
}
