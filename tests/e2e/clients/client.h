/*
 * What the programs here share. Each makes the calls that one program out
 * there makes of libkrun, in the same order and from the same kind of
 * process, and so becomes the VM. krun_clients_test.sh runs them.
 *
 *     PROGRAM ROOT [COMMAND [ARG...]]
 *
 * A call that does not answer as it must ends the program with 99 and a line
 * that names the call.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENT_FAILED = 99 };

static inline int32_t client_check(const char *call, int32_t result,
                                   int32_t wanted)
{
    if (result != wanted) {
        fprintf(stderr, "%s gave %d, not %d\n", call, (int)result, (int)wanted);
        exit(CLIENT_FAILED);
    }
    return result;
}

/* The call must answer 0, or `wanted`. */
#define OK(call) client_check(#call, call, 0)
#define GIVES(wanted, call) client_check(#call, call, wanted)

/* The call must answer a number that is not negative. */
static inline int32_t client_number(const char *call, int32_t result)
{
    if (result < 0)
        client_check(call, result, 0);
    return result;
}
#define NUMBER(call) client_number(#call, call)

/* krun_start_enter came back: that is a failure of its own. */
static inline int client_returned(int32_t result)
{
    fprintf(stderr, "krun_start_enter returned %d\n", (int)result);
    return 1;
}

#endif
