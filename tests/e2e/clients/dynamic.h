/*
 * Clients that look libkrun.so.1 up when they run.
 */
#ifndef DYNAMIC_H
#define DYNAMIC_H

#include "client.h"

#include <dlfcn.h>

/* The library, as the loader finds it. */
static inline void *dynamic_open(void)
{
    void *handle = dlopen("libkrun.so.1", RTLD_NOW);
    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(CLIENT_FAILED);
    }
    return handle;
}

static inline void *dynamic_find(void *handle, const char *name)
{
    void *symbol = dlsym(handle, name);
    if (symbol == NULL) {
        fprintf(stderr, "there is no %s\n", name);
        exit(CLIENT_FAILED);
    }
    return symbol;
}

/* Declares a pointer to the function of that name, which shadows it. */
#define FIND(handle, name) \
    __typeof__(name) *name##_ = (__typeof__(name) *)dynamic_find(handle, #name)

#endif
