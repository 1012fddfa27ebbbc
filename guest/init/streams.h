/*
 * The command's standard streams: the terminal, or pipes whose other ends
 * init connects to the ports of the console device. Pipes, and not the ports
 * themselves, because a port can be opened only once: a command that opens
 * /dev/stdout again would fail.
 *
 * One thread.
 */
#ifndef HK_INIT_STREAMS_H
#define HK_INIT_STREAMS_H

#include "config.h"

#include <poll.h>
#include <stdbool.h>

enum { HK_STREAMS = 3 };

/* Before modules are loaded: hears of ports from then on. */
void hk_streams_listen(const struct hk_config *config);

/* Waits for the ports that are announced and opens them and the terminal.
 * Calls hk_fail when one does not come. A second call does nothing. */
void hk_streams_open(const struct hk_config *config);

/* The control port, or -1. */
int hk_streams_control(void);

/* Sets `uid` as the owner of what the command may want to open again. */
void hk_streams_own(unsigned uid);

/* In the process of the command: streams 0 to 2 and the session. With
 * `direct`, the ports themselves take the place of the pipes. */
void hk_streams_enter(bool direct);

/* In init, once the command has its ends. */
void hk_streams_started(void);

/* Waiting: fills HK_STREAMS slots (fd -1: nothing to wait for), and acts on
 * what poll said about them. */
void hk_streams_prepare(struct pollfd slot[HK_STREAMS]);
void hk_streams_turn(const struct pollfd slot[HK_STREAMS]);

/* No more input comes: what has come is still handed on. */
void hk_streams_end_input(void);

/* Hands on what is left of the output. The command's processes are dead. */
void hk_streams_drain(void);

/* A line to the command's standard error, as good as possible. */
void hk_streams_complain(const char *line);

#endif
