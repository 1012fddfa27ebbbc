/*
 * What several parts of init need from the system. One thread; only for
 * process 1 of a guest.
 */
#ifndef HK_INIT_SYS_H
#define HK_INIT_SYS_H

#include "config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Puts texts after each other into `to`, cut to `size`. Ends with NULL. */
void hk_join(char *to, size_t size, ...);

/* One line for the kernel log. */
void hk_note(const char *text);

/* A sentence to both the command's standard error and the kernel log. */
void hk_complain(const char *text);

/*
 * Set-up failed: complains with "TEXT: WHY" (`error` is an errno, 0 for
 * none), and ends the machine with status 125.
 */
_Noreturn void hk_fail(const char *text, const char *what, int error);

/* The whole of a file with a NUL after it, to be released with free(). NULL
 * with errno set when it cannot be read or has more than `max` bytes. */
char *hk_read_file(const char *path, size_t max, size_t *size);

/* Makes a folder and the ones above it. 0, or -1 with errno set. */
int hk_make_folders(const char *path);

/* The first file system: /dev, /proc and /sys, and streams 0 to 2. */
void hk_first_mounts(void);

/* Loads the kernel modules in order and frees their memory. */
void hk_load_modules(const struct hk_strv *modules);

/* Mounts the root, if the configuration has one; then moves there. Between
 * the two, devices are still found whatever the root lacks. */
void hk_mount_root(const struct hk_config *config);
void hk_enter_root(const struct hk_config *config);

/* Whatever else every system has mounted; then the volumes. */
void hk_mount_system(void);
void hk_mount_volumes(const struct hk_config *config);
void hk_mount_tmpfs(const struct hk_strv *folders);

/* Makes the root read-only, if it shall be, also one that was there from the
 * start. */
void hk_seal_root(const struct hk_config *config);

/* Leaves no dirty file system behind. */
void hk_unmount_all(const struct hk_config *config);

/* True when / is what the kernel unpacked at its start. */
bool hk_root_is_archive(void);

/* True when / is a virtiofs share. */
bool hk_root_is_share(void);

/* Loopback up; with `dhcp`, eth0 too (a failure is only noted). */
void hk_net_start(bool dhcp);

/*
 * Says the status in every way the configuration names and restarts the
 * machine, which is its end.
 */
_Noreturn void hk_end(const struct hk_config *config, int status);

/* The configuration, for hk_fail; empty until it is read. */
extern struct hk_config hk_config;

#endif
