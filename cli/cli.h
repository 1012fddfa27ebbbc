/*
 * The husk command: what its files share. It uses the public header and the C
 * library only.
 */
#ifndef HUSK_CLI_H
#define HUSK_CLI_H

#include "husk.h"

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses that are not the guest's. */
enum {
    CLI_OK = 0,
    CLI_GUEST_CRASHED = 1,
    CLI_TIMED_OUT = 124,
    CLI_FAILED = 125,
    CLI_SIGNALLED = 128, /* plus the signal's number */
};

/* Prints "husk: SENTENCE" on stderr; returns CLI_FAILED. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sub-commands: argv[0] is the sub-command's name. */
int cli_boot(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_kernel(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_version(int argc, char **argv);

/*
 * Numbers from the command line. Each gives 0, or CLI_FAILED after it has
 * said what is wrong with `option`.
 */
int cli_parse_count(const char *option, const char *text, unsigned *out);
/* 512M, 2G, 1048576; K, M, G, T, also as KiB and so on. */
int cli_parse_size(const char *option, const char *text, uint64_t *bytes);
/* Seconds with an optional fraction; more than 0. */
int cli_parse_seconds(const char *option, const char *text, uint64_t *ms);
/* One of two words; `*second` says which. */
int cli_parse_choice(const char *option, const char *text, const char *a,
                     const char *b, bool *second);
int cli_parse_level(const char *option, const char *text, int *level);

/* What getopt_long (with ':' first) found wrong with the words of the
 * sub-command argv[0]. */
int cli_bad_option(int argc, char **argv, int option);

/* --disk PATH[,ro][,format=raw|qcow2|vmdk] */
int cli_add_disk(struct husk_vm *vm, const char *text);

/*
 * From here until cli_forget_signals, SIGINT, SIGQUIT and SIGHUP go to the
 * command in the VM; SIGTERM asks it to end and kills it after `grace_ms`.
 * The second signal, or the first when there is no command to send it to,
 * ends the VM at once; one more of that kind does what it does without us.
 * `grace_ms` 0: the first ends the VM. A signal that is ignored when we start
 * (nohup, a job in the background) stays ignored.
 */
void cli_pass_signals(struct husk_vm *vm, unsigned grace_ms);
void cli_forget_signals(void);

/* The number of the last such signal, or `none`. */
int cli_signal_or(int none);

/* "24.0 GiB". */
void cli_format_size(uint64_t bytes, char *text, size_t size);

#endif
