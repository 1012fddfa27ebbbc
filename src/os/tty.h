/*
 * Terminals: raw mode, size, and news of a changed size.
 * Twins: linux/tty.c.
 *
 * A terminal that several callers make raw is made raw once and restored when
 * the last of them is done. What is still raw when the process exits is
 * restored then; a process that is killed calls hk_tty_restore_all from its
 * signal handler first.
 *
 * Threads: any, unless said otherwise.
 */
#ifndef HK_OS_TTY_H
#define HK_OS_TTY_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct uv_tty_s;

enum { HK_TTY_RAW_MAX = 32 }; /* different terminals raw at a time */

struct hk_tty_raw; /* one claim to raw mode */

bool hk_tty_is(int fd);

/*
 * Every byte as it is, both ways: no echo, lines, signals, translation. `tty`
 * is the handle that reads the terminal `fd`. Errors: the host's; -HK_ENOSPC
 * for too many terminals.
 */
int hk_tty_raw_set(struct uv_tty_s *tty, int fd,
                   struct hk_tty_raw **out) HK_MUST_CHECK;
void hk_tty_raw_unset(struct hk_tty_raw *raw); /* NULL is legal */

/* Async-signal-safe; harmless when nothing is raw. */
void hk_tty_restore_all(void);

/* False when the terminal does not know its size, or has none. */
bool hk_tty_size(int fd, uint16_t *columns, uint16_t *rows);

/* Does the host tell this process of changes of the size? Not of those of a
 * terminal that belongs to another session. */
bool hk_tty_tells_size(int fd);

/*
 * Calls `changed` on the loop's thread whenever some terminal may have another
 * size. A handler of the process for the same news goes on being called and
 * is in place again after the last watch was stopped. Both functions: the
 * loop's thread.
 */
struct hk_tty_watch;

int hk_tty_watch_start(struct uv_loop_s *loop, void (*changed)(void *opaque),
                       void *opaque, struct hk_tty_watch **out) HK_MUST_CHECK;
void hk_tty_watch_stop(struct hk_tty_watch *watch); /* NULL is legal */

#endif
