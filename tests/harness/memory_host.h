/*
 * A host layer in memory, for tests of the FUSE server: a tree of files that
 * belongs to nobody, with faults on demand.
 *
 * It counts what it gives out: `nodes`, `files` and `dirs` are zero again when
 * the server has closed everything. It asserts on what a server must never
 * ask: names with a separator, objects that were closed. Threads: one.
 */
#ifndef MEMORY_HOST_H
#define MEMORY_HOST_H

#include "fs/host.h"

struct memory_host {
    struct hk_fs_root base;
    struct memory_inode *root;
    uint64_t next_ino;
    uint32_t nodes; /* open now */
    uint32_t files;
    uint32_t dirs;
    uint32_t most;   /* open at once so far, all kinds */
    uint32_t limit;  /* open at once before -EMFILE; 0: none */
    uint32_t calls;  /* open_node, all told */
    bool reuse_inos; /* the next file has the number of one that was removed */
    uint64_t spare_ino;
    bool closed; /* close_root was called; the owner frees it */
};

struct memory_host *memory_host_create(void);
void memory_host_free(struct memory_host *host); /* after close_root */

/* What someone else does on the host: no server knows of it. */
void memory_host_add(struct memory_host *host, const char *path, uint32_t mode,
                     const char *text);
void memory_host_remove(struct memory_host *host, const char *path);
void memory_host_rename(struct memory_host *host, const char *from,
                        const char *to);

#endif
