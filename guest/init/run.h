/*
 * The command: started, watched, ended. One thread.
 */
#ifndef HK_INIT_RUN_H
#define HK_INIT_RUN_H

#include "config.h"
#include "user.h"

/* Runs the command to its end and returns the exit status for the host; by
 * then no other process is left. With HK_CFG_PID1 the command takes the
 * place of init, and this returns only when it cannot be started. */
int hk_run(const struct hk_config *config, const struct hk_user *user);

#endif
