/*
 * The last steps in the process that becomes the command.
 */
#ifndef HK_INIT_EXEC_H
#define HK_INIT_EXEC_H

#include "config.h"
#include "user.h"

/* What a process that could not become the command says to init. */
struct hk_exec_error {
    int status;     /* 125, 126 or 127 */
    int error;      /* errno */
    char text[256]; /* a sentence without the end of a line */
};

/* Returns only on failure. `user` NULL: stays root. */
void hk_exec(const struct hk_config *config, const struct hk_user *user,
             struct hk_exec_error *error);

#endif
