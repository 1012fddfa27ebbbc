/* From what became of the command to an exit status, and a few numbers that
 * come as text. */
#ifndef HK_INIT_STATUS_H
#define HK_INIT_STATUS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HK_STATUS_SETUP = 125,
    HK_STATUS_NOT_EXECUTABLE = 126,
    HK_STATUS_NOT_FOUND = 127,
    HK_STATUS_SIGNAL = 128, /* plus the signal's number */
};

/* Of a status that waitpid gave for a process that has ended. */
int hk_status_of_wait(int wait_status);

/* Of the errno of a failed exec: not found or not executable. */
int hk_status_of_exec(int error);

struct hk_rlimit {
    unsigned resource;
    uint64_t soft, hard; /* UINT64_MAX: no limit */
};

/* "ID=SOFT:HARD" or "ID:SOFT:HARD" of `len` bytes; "-1" and "unlimited" mean
 * no limit. False when it is something else. */
bool hk_rlimit_parse(const char *text, unsigned len, struct hk_rlimit *out);

#endif
