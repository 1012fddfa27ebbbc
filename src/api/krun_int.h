/*
 * What a krun_* context holds, and the table of contexts.
 *
 * A context is plain memory: no thread, no descriptor (but the event that was
 * asked for by krun_get_shutdown_eventfd), nothing of a VM. So it survives
 * fork(), closed descriptors and a new root directory. krun_start_enter takes
 * it out of the table and says it all again to husk.h.
 *
 * The form of every setter: judge the arguments and copy them, then
 *
 *     struct hk_krun *ctx = hk_krun_begin(ctx_id);
 *     if (ctx == NULL)
 *         give the copy back, -HK_ENOENT
 *     change ctx: exchange pointers, link nodes; nothing that can fail or wait
 *     hk_krun_end();
 *
 * Threads: any; one lock for the table and all that is in it, held between
 * hk_krun_begin and hk_krun_end.
 */
#ifndef HK_API_KRUN_INT_H
#define HK_API_KRUN_INT_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HK_KRUN_ARRAY_MAX = 4096, /* strings of an array that count */
    HK_KRUN_TAG_MAX = 36,     /* bytes of a virtio-fs tag */
    HK_KRUN_MAC_SIZE = 6,
};

/* ------------------------------------------------------------------ */
/* Lists: in the order of adding, never reordered                     */

struct hk_krun_node {
    struct hk_krun_node *next;
};

struct hk_krun_list {
    struct hk_krun_node *first;
    struct hk_krun_node **end; /* where the next one is hung; NULL: empty */
    unsigned count;
};

void hk_krun_append(struct hk_krun_list *list, struct hk_krun_node *node);

/* Strings, in one block of pointers ended by NULL; freed with hk_krun_free. */
typedef char **hk_krun_strings;
void hk_krun_strings_free(hk_krun_strings strings); /* NULL is legal */

/* ------------------------------------------------------------------ */
/* Parts of a context                                                 */

struct hk_krun_overlay {
    struct hk_krun_node node;
    char *path; /* relative, without a slash at either end */
    bool is_dir;
    const uint8_t *data; /* the caller's */
    size_t size;
    uint32_t mode;
    bool one_shot;
};

struct hk_krun_share {
    struct hk_krun_node node;
    char *tag;
    char *path; /* NULL: nothing but overlays */
    bool read_only;
    bool is_root;
    bool with_init; /* our init is in it */
    bool for_disk;  /* stands in for a root on a disk */
    struct hk_krun_list overlays;
};

struct hk_krun_disk {
    struct hk_krun_node node;
    char *id;
    char *path;
    uint32_t format; /* KRUN_DISK_FORMAT_* */
    uint32_t sync;   /* KRUN_SYNC_* */
    bool read_only;
    bool direct;
};

struct hk_krun_port {
    struct hk_krun_node node;
    char *name; /* never NULL */
    bool is_tty;
    int in_fd, out_fd; /* in_fd is the terminal of a tty port */
};

enum hk_krun_console_kind {
    HK_KRUN_CONSOLE_DEFAULT,
    HK_KRUN_CONSOLE_SERIAL,
    HK_KRUN_CONSOLE_PORTS,
};

struct hk_krun_console {
    struct hk_krun_node node;
    enum hk_krun_console_kind kind;
    int in_fd, out_fd, err_fd;
    struct hk_krun_list ports;
};

struct hk_krun_vsock_port {
    struct hk_krun_node node;
    uint32_t port;
    char *path;
    bool listen;
};

/* Whether there is a vsock device, and who wants it. */
enum hk_krun_vsock {
    HK_KRUN_VSOCK_IMPLICIT,
    HK_KRUN_VSOCK_OFF,
    HK_KRUN_VSOCK_ADDED,
};

/* ------------------------------------------------------------------ */
/* The context                                                        */

struct hk_krun {
    uint32_t id;
    struct hk_krun *next;

    uint8_t cpus;
    uint32_t ram_mib;
    bool nested;
    bool split_irqchip;
    hk_krun_strings oem_strings;
    bool has_uid, has_gid;
    uint32_t uid, gid;
    int shutdown_event; /* descriptor or -1 */

    char *kernel; /* NULL: the default one */
    uint32_t kernel_format;
    char *initramfs;
    char *cmdline;
    char *kernel_console;

    char *exec;
    hk_krun_strings args; /* NULL: none */
    hk_krun_strings env;  /* NULL: never given, which is like an empty one */
    char *workdir;
    hk_krun_strings rlimits;

    struct hk_krun_list shares;
    bool no_init; /* for roots to come */
    char *root_device;
    char *root_type;
    char *root_options;

    struct hk_krun_list disks;
    char *root_disk; /* the older calls' */
    char *data_disk;

    enum hk_krun_vsock vsock;
    uint32_t tsi;
    struct hk_krun_list vsock_ports;
    hk_krun_strings port_map;
    uint8_t net_mac[HK_KRUN_MAC_SIZE];

    bool no_console;
    char *console_output;
    struct hk_krun_list consoles;
};

/* The context of that number, with the table locked; or NULL, and nothing is
 * locked. */
struct hk_krun *hk_krun_begin(uint32_t ctx_id);
void hk_krun_end(void);

/* Takes a context out of the table: the caller's to free. NULL: not there. */
struct hk_krun *hk_krun_take(uint32_t ctx_id);
void hk_krun_free(struct hk_krun *ctx); /* NULL is legal */

/* Ends the VM that runs by this number; 0, or -HK_ENOENT. In krun_start.c. */
int hk_krun_end_running(uint32_t ctx_id);

/* ------------------------------------------------------------------ */
/* From a context to a VM                                             */

struct husk_vm;

/*
 * Says all of the context to the VM. `*output` becomes a descriptor that the
 * caller closes when the VM has ended, or stays -1. -HK_ENOENT there is no
 * kernel; other codes with a sentence in husk_vm_error or in the log.
 */
int hk_krun_build(const struct hk_krun *ctx, struct husk_vm *vm,
                  int *output) HK_MUST_CHECK;

/* Finds the default kernel, unless that was done. */
void hk_krun_keep_kernel(void);

/* The name of the kernel that was found; NULL: none. Static storage. */
const char *hk_krun_kept_kernel(void);

/* The kernel command line for a guest in which our init is not the first
 * program; the caller's to free(). */
int hk_krun_compose_cmdline(const struct hk_krun *ctx, char **out,
                            struct hk_errmsg *err) HK_MUST_CHECK;

/* ------------------------------------------------------------------ */
/* Arguments                                                          */

/* -HK_EINVAL for NULL and for what is not UTF-8, -HK_ENOMEM. */
int hk_krun_copy_text(const char *text, char **out) HK_MUST_CHECK;

/* The same where NULL is legal and stays NULL. */
int hk_krun_copy_optional(const char *text, char **out) HK_MUST_CHECK;

/* Strings up to NULL or HK_KRUN_ARRAY_MAX of them. -HK_EINVAL for NULL and
 * for a string that is not UTF-8, -HK_ENOMEM. */
int hk_krun_copy_array(const char *const array[],
                       hk_krun_strings *out) HK_MUST_CHECK;

bool hk_krun_is_utf8(const char *text);

/*
 * Puts a string in a slot of the context, freeing what was there. `rc` is the
 * result of copying; `slot` the offset of a char * in struct hk_krun.
 */
int hk_krun_set_text(uint32_t ctx_id, int rc, char *take_text, size_t slot);
#define HK_KRUN_SLOT(field) offsetof(struct hk_krun, field)

/* The same for a block of strings. */
int hk_krun_set_strings(uint32_t ctx_id, int rc, hk_krun_strings take_strings,
                        size_t slot);

#endif
