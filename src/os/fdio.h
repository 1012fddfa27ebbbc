/*
 * Blocking I/O on borrowed descriptors that another thread can end, without
 * changing the descriptor: no mode that other holders of it would see.
 * Twins: linux/fdio.c.
 *
 * Threads: any; one reader and one writer of a descriptor at a time.
 */
#ifndef HK_OS_FDIO_H
#define HK_OS_FDIO_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Ends waits: once set it stays set. */
struct hk_fdio_stop;

int hk_fdio_stop_create(struct hk_fdio_stop **out) HK_MUST_CHECK;
void hk_fdio_stop_destroy(struct hk_fdio_stop *stop); /* NULL is legal */
void hk_fdio_stop_set(struct hk_fdio_stop *stop);

/*
 * Waits for data and reads some of it. Returns the count, 0 at the end,
 * -HK_ECANCELED when `stop` is set, or the host's error.
 */
int hk_fdio_read(int fd, void *to, size_t len,
                 struct hk_fdio_stop *stop) HK_MUST_CHECK;

/* Waits for room and writes some of the bytes; results as above, never 0. */
int hk_fdio_write(int fd, const void *from, size_t len,
                  struct hk_fdio_stop *stop) HK_MUST_CHECK;

/* False for a number that no open descriptor has. */
bool hk_fdio_is_open(int fd);

/* A second descriptor, closed on exec. Errors: the host's. */
int hk_fdio_dup(int fd, int *out) HK_MUST_CHECK;
void hk_fdio_close(int fd);

/* Called first in a thread of ours: signals of the process, and SIGPIPE of
 * its own writes, do not reach it. */
void hk_fdio_enter_thread(void);

#endif
