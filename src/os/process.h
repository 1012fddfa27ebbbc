/*
 * The process that the library lives in: what it is given, and what
 * krun_start_enter does to it. Twins: linux/process.c.
 *
 * Threads: any, except where said.
 */
#ifndef HK_OS_PROCESS_H
#define HK_OS_PROCESS_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "K=V" each, ended by NULL. Borrowed until the environment changes; the
 * caller sees to it that no other thread changes it meanwhile. */
const char *const *hk_process_environment(void);

/* The name that listings of processes show, at most 15 bytes of it: that of
 * the calling thread, which is the process's on its first thread. */
void hk_process_set_name(const char *name);

/*
 * Puts something harmless where the process has standard input, output or
 * error closed, so that no file of ours gets such a number: a stray print
 * would go there, and libuv ends a process that closes one.
 */
void hk_process_fill_standard(void);

/* As many open descriptors as the system allows without asking for more. */
void hk_process_raise_file_limit(void);

/* Changes the whole process for good: group first. NULL: not that one.
 * The system's error; the group may be changed then. */
int hk_process_set_ids(const uint32_t *uid, const uint32_t *gid) HK_MUST_CHECK;

/* Ends the process as it stands, with these 8 bits of status. */
HK_NORETURN void hk_process_exit(int status);

/* Writes all of it, waiting where need be; what cannot be written is lost. */
void hk_process_print(int fd, const char *text, size_t len);

/* Is the descriptor a terminal? */
bool hk_process_is_terminal(int fd);

/*
 * Opens a file for writing from its beginning; makes it if it is not there.
 * Does not wait for the reader of a FIFO: -HK_ENXIO when there is none.
 * Errors: the system's.
 */
int hk_process_open_output(const char *path, int *fd) HK_MUST_CHECK;
void hk_process_close(int fd); /* -1 is legal */

/* Is there something at the path? 1, 0, or the system's error. A link that
 * leads nowhere counts as nothing. */
int hk_process_path_exists(const char *path) HK_MUST_CHECK;

/* Whether the host's own hypervisor lets guests be hypervisors: 1, 0, or
 * -HK_ENOTSUP on systems that have no such setting. */
int hk_process_nested_virt(void) HK_MUST_CHECK;

#endif
