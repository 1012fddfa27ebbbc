/*
 * Folders and whole files by path: make, list, rename, remove, write. One
 * source for every host: libuv does the differences.
 *
 * Paths are UTF-8. Threads: any. Every function that takes `err` fills it
 * with one sentence that names the path; `err` may be NULL. Errors not named
 * are the host's.
 */
#ifndef HK_OS_FOLDER_H
#define HK_OS_FOLDER_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum hk_os_kind { HK_OS_NOTHING, HK_OS_FILE, HK_OS_FOLDER, HK_OS_OTHER };

/* What is at the path, links followed; NOTHING also when it is out of reach. */
enum hk_os_kind hk_os_kind_of(const char *path);

/* Makes a folder and those above it; one that is there is fine. */
int hk_os_folder_make(const char *path, struct hk_errmsg *err) HK_MUST_CHECK;

/* Makes a folder of its own, named `prefix` and some characters; the path
 * goes to `path`. -HK_ENAMETOOLONG. */
int hk_os_folder_make_new(const char *prefix, char *path, size_t size,
                          struct hk_errmsg *err) HK_MUST_CHECK;

/* Calls `fn` for each name in the folder, in no order, until it returns
 * something other than 0, which is then the result. `name` is borrowed. */
int hk_os_folder_list(const char *path,
                      int (*fn)(void *opaque, const char *name), void *opaque,
                      struct hk_errmsg *err) HK_MUST_CHECK;

/* Removes a file, or a folder with all that is in it; links are not followed.
 * Nothing there is no error. -HK_ELOOP deeper than 32 folders. */
int hk_os_tree_remove(const char *path, struct hk_errmsg *err);

/* Replaces a file `to`, and a folder only if it is empty. */
int hk_os_rename(const char *from, const char *to,
                 struct hk_errmsg *err) HK_MUST_CHECK;

/* A new file with these bytes; one that is there is replaced. */
int hk_os_file_write_all(const char *path, const void *data, size_t len,
                         struct hk_errmsg *err) HK_MUST_CHECK;

#endif
