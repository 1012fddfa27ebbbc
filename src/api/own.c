/*
 * Copies of what callers give, and the checks that several files need.
 */
#include "api/husk_int.h"

#include <stdlib.h>
#include <string.h>

int hk_husk_begin(struct husk_vm *vm)
{
    if (vm->started)
        return hk_err_set(&vm->err, -HK_EBUSY,
                          "the VM was started; it can no longer be changed");
    return 0;
}

int hk_husk_no_memory(struct husk_vm *vm)
{
    return hk_err_set(&vm->err, -HK_ENOMEM, "out of memory");
}

int hk_husk_check_flags(struct husk_vm *vm, unsigned flags, unsigned known)
{
    if ((flags & ~known) != 0)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "the flags 0x%x have bits that mean nothing here",
                          flags);
    return 0;
}

int hk_husk_check_fd(struct husk_vm *vm, int fd)
{
    if (fd < -1)
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "%d is not a descriptor; -1 means none", fd);
    return 0;
}

/* Is one of the path's components ".."? */
static bool climbs(const char *path)
{
    for (const char *p = path; *p != '\0';) {
        size_t len = strcspn(p, "/");
        if (len == 2 && memcmp(p, "..", 2) == 0)
            return true;
        p += len;
        p += strspn(p, "/");
    }
    return false;
}

int hk_husk_check_guest_path(struct husk_vm *vm, const char *what,
                             const char *path)
{
    if (path == NULL || path[0] != '/')
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "%s '%s' is not absolute; begin it with /", what,
                          path != NULL ? path : "");
    if (climbs(path))
        return hk_err_set(&vm->err, -HK_EINVAL,
                          "%s '%s' has '..' in it; write it out", what, path);
    return 0;
}

int hk_husk_set_string(struct husk_vm *vm, char **slot, const char *text)
{
    char *copy = NULL;
    if (text != NULL) {
        copy = strdup(text);
        if (copy == NULL)
            return hk_husk_no_memory(vm);
    }
    free(*slot);
    *slot = copy;
    return 0;
}

void hk_husk_free_list(char **list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

int hk_husk_set_list(struct husk_vm *vm, char ***slot, const char *const list[])
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    if (copy == NULL)
        return hk_husk_no_memory(vm);
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(list[i]);
        if (copy[i] == NULL) {
            hk_husk_free_list(copy);
            return hk_husk_no_memory(vm);
        }
    }
    hk_husk_free_list(*slot);
    *slot = copy;
    return 0;
}

void *hk_husk_grow(struct husk_vm *vm, void **array, uint32_t count,
                   size_t size)
{
    /* the counts have limits far below an overflow */
    uint8_t *grown = realloc(*array, (count + 1) * size);
    if (grown == NULL) {
        (void)hk_husk_no_memory(vm);
        return NULL;
    }
    *array = grown;
    memset(grown + count * size, 0, size);
    return grown + count * size;
}
