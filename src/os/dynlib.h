/*
 * Libraries that are looked for at run time.
 * Twins: linux/dynlib.c.
 *
 * Threads: any; one library by one thread at a time.
 */
#ifndef HK_OS_DYNLIB_H
#define HK_OS_DYNLIB_H

#include "base/compiler.h"
#include "base/err.h"

struct hk_dynlib;

/*
 * Opens version `version` of the library `name` ("krunfw"), as the host's
 * loader finds it. -HK_ENOENT with a sentence: there is none, or it cannot be
 * loaded.
 */
int hk_dynlib_open(const char *name, unsigned version, struct hk_dynlib **out,
                   struct hk_errmsg *err) HK_MUST_CHECK;
void hk_dynlib_close(struct hk_dynlib *library); /* NULL is legal */

/* Puts the address of `symbol` into `*function`, which has the size of a
 * pointer. -HK_ENOENT with a sentence. */
int hk_dynlib_find(struct hk_dynlib *library, const char *symbol,
                   void *function, struct hk_errmsg *err) HK_MUST_CHECK;

#endif
