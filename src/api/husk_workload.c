/*
 * husk_vm_set_command, _env, _workdir, _user, _hostname, _rlimits: what runs
 * in the guest and as whom. The guest's own files decide what a name means.
 */
#include "api/husk_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTNAME_MAX = 64, USER_MAX = 255, RLIMIT_IDS = 16 };

_Static_assert((int)HUSK_WORKLOAD_PID1 == (int)HK_VM_WORKLOAD_PID1 &&
                   (int)HUSK_WORKLOAD_CONFIG_FILE ==
                       (int)HK_VM_WORKLOAD_CONFIG_FILE &&
                   (int)HUSK_WORKLOAD_DHCP == (int)HK_VM_WORKLOAD_DHCP,
               "the public flags are vmm's");

int husk_vm_set_command(struct husk_vm *vm, const char *path,
                        const char *const args[])
{
    struct hk_vm_workload *workload = &vm->parts.workload;
    int rc = hk_husk_begin(vm);
    if (rc != 0)
        return rc;
    if (path == NULL || path[0] == '\0')
        return hk_err_set(&vm->err, -HK_EINVAL, "the command is empty");
    char *copy = NULL;
    rc = hk_husk_set_string(vm, &copy, path);
    if (rc == 0)
        rc = hk_husk_set_list(vm, &workload->args, args);
    if (rc != 0) {
        free(copy);
        return rc;
    }
    free(workload->command);
    workload->command = copy;
    return 0;
}

/* ------------------------------------------------------------------ */
/* Environment                                                        */

/* Length of the name in "NAME=value"; 0 when it is none. */
static size_t name_length(const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    return equals != NULL ? (size_t)(equals - assignment) : 0;
}

static int check_assignment(struct husk_vm *vm, const char *assignment)
{
    if (assignment == NULL || name_length(assignment) == 0)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "'%s' is no environment variable; write NAME=value",
                          assignment != NULL ? assignment : "");
    return 0;
}

int husk_vm_set_env(struct husk_vm *vm, const char *const env[])
{
    int rc = hk_husk_begin(vm);
    for (size_t i = 0; rc == 0 && env != NULL && env[i] != NULL; i++)
        rc = check_assignment(vm, env[i]);
    if (rc == 0)
        rc = hk_husk_set_list(vm, &vm->parts.workload.env, env);
    return rc;
}

int husk_vm_add_env(struct husk_vm *vm, const char *assignment)
{
    char ***env = &vm->parts.workload.env;
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = check_assignment(vm, assignment);
    if (rc != 0)
        return rc;
    size_t len = name_length(assignment) + 1; /* with the = */
    size_t count = 0;
    for (; *env != NULL && (*env)[count] != NULL; count++) {
        if (strncmp((*env)[count], assignment, len) == 0)
            return hk_husk_set_string(vm, &(*env)[count], assignment);
    }
    char *copy = strdup(assignment);
    char **grown = realloc(*env, (count + 2) * sizeof(*grown));
    if (grown != NULL)
        *env = grown;
    if (copy == NULL || grown == NULL) {
        if (grown != NULL)
            grown[count] = NULL;
        free(copy);
        return hk_husk_no_memory(vm);
    }
    grown[count] = copy;
    grown[count + 1] = NULL;
    return 0;
}

/* ------------------------------------------------------------------ */
/* Where and as whom                                                  */

int husk_vm_set_workdir(struct husk_vm *vm, const char *path)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_guest_path(vm, "the working directory", path);
    if (rc == 0)
        rc = hk_husk_set_string(vm, &vm->parts.workload.workdir, path);
    return rc;
}

/* "NAME" or "NAME:GROUP", in letters that may stand in a password file. */
static bool is_user(const char *user)
{
    size_t len = strlen(user);
    const char *colon = strchr(user, ':');
    if (len == 0 || len > USER_MAX || user[0] == ':' || user[len - 1] == ':')
        return false;
    if (colon != NULL && strchr(colon + 1, ':') != NULL)
        return false;
    for (const char *p = user; *p != '\0'; p++) {
        if (iscntrl((unsigned char)*p) || *p == '/')
            return false;
    }
    return true;
}

int husk_vm_set_user(struct husk_vm *vm, const char *user)
{
    int rc = hk_husk_begin(vm);
    if (rc != 0)
        return rc;
    if (user == NULL || !is_user(user))
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "'%s' is no user; write UID, UID:GID or names",
                          user != NULL ? user : "");
    return hk_husk_set_string(vm, &vm->parts.workload.user, user);
}

int husk_vm_set_hostname(struct husk_vm *vm, const char *name)
{
    int rc = hk_husk_begin(vm);
    if (rc != 0)
        return rc;
    size_t len = name != NULL ? strlen(name) : 0;
    if (len == 0 || len > HOSTNAME_MAX)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "a host name has 1 to %d bytes, not %zu",
                          HOSTNAME_MAX, len);
    for (const char *p = name; *p != '\0'; p++) {
        if (iscntrl((unsigned char)*p) || *p == ' ' || *p == '/')
            return hk_err_set(&vm->err, -HK_EINVAL,
                              "the host name has a character that no host "
                              "name may have");
    }
    return hk_husk_set_string(vm, &vm->parts.workload.hostname, name);
}

/* ------------------------------------------------------------------ */
/* Limits                                                             */

/* Reads digits and the character after them; false when there are none. */
static bool read_number(const char **text, char end, unsigned long long *value)
{
    const char *p = *text;
    *value = 0;
    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p); p++) {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (unsigned)(*p - '0'), value))
            return false;
    }
    if (*p != end)
        return false;
    *text = end != '\0' ? p + 1 : p;
    return true;
}

static int check_rlimit(struct husk_vm *vm, const char *text)
{
    unsigned long long id, soft, hard;
    const char *p = text;
    if (!read_number(&p, '=', &id) || !read_number(&p, ':', &soft) ||
        !read_number(&p, '\0', &hard) || id >= RLIMIT_IDS || soft > hard)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "'%s' is no limit; write ID=SOFT:HARD with numbers, "
                          "the soft limit not above the hard one",
                          text);
    return 0;
}

int husk_vm_set_rlimits(struct husk_vm *vm, const char *const rlimits[])
{
    int rc = hk_husk_begin(vm);
    for (size_t i = 0; rc == 0 && rlimits != NULL && rlimits[i] != NULL; i++)
        rc = check_rlimit(vm, rlimits[i]);
    if (rc == 0)
        rc = hk_husk_set_list(vm, &vm->parts.workload.rlimits, rlimits);
    return rc;
}

int husk_vm_set_workload_flags(struct husk_vm *vm, unsigned flags)
{
    int rc = hk_husk_begin(vm);
    if (rc == 0)
        rc = hk_husk_check_flags(vm, flags, HK_VM_WORKLOAD_ALL);
    if (rc == 0)
        vm->parts.workload.flags = flags;
    return rc;
}

void hk_husk_free_workload(struct hk_vm_parts *parts)
{
    struct hk_vm_workload *workload = &parts->workload;
    free(workload->command);
    hk_husk_free_list(workload->args);
    hk_husk_free_list(workload->env);
    free(workload->workdir);
    free(workload->user);
    free(workload->hostname);
    hk_husk_free_list(workload->rlimits);
}
