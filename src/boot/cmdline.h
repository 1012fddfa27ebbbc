/*
 * The kernel command line, built word by word.
 *
 * Linux splits it at spaces; double quotes keep spaces inside a word; what
 * follows the word `--` are arguments for init. Words are therefore added
 * before a `--`, arguments after it. Only printable ASCII (0x20 to 0x7e) is
 * allowed. A failed call leaves the text as it was and says why.
 *
 * Caller owns the struct: init, then fini. One thread at a time.
 */
#ifndef HK_BOOT_CMDLINE_H
#define HK_BOOT_CMDLINE_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HK_CMDLINE_MAX = 0xffff,      /* bytes without the NUL */
    HK_CMDLINE_LINUX_MAX = 0x7ff, /* what x86 kernels keep of it */
};

struct hk_cmdline {
    char *text; /* never NULL after init */
    size_t len;
    size_t max; /* bytes without the NUL */
};

/* `max` at most HK_CMDLINE_MAX. -HK_ENOMEM. */
int hk_cmdline_init(struct hk_cmdline *line, size_t max) HK_MUST_CHECK;
void hk_cmdline_fini(struct hk_cmdline *line);

/*
 * Adds `words` (one or more, separated by spaces; empty adds nothing) with
 * one space before them. -HK_EINVAL a character that is not printable ASCII;
 * -HK_E2BIG the line is full.
 */
int hk_cmdline_add(struct hk_cmdline *line, const char *words,
                   struct hk_errmsg *err) HK_MUST_CHECK;

/* Adds key=value. -HK_EINVAL also when the key is empty, the key has a space,
 * a quote or `=`, or the value has a quote. A value with spaces is quoted. */
int hk_cmdline_add_value(struct hk_cmdline *line, const char *key,
                         const char *value,
                         struct hk_errmsg *err) HK_MUST_CHECK;

/* Replaces the first word `key` or `key=...` before `--`, or adds one. */
int hk_cmdline_set(struct hk_cmdline *line, const char *key, const char *value,
                   struct hk_errmsg *err) HK_MUST_CHECK;

/* Adds `word` ("key" or "key=value") unless its key is already there: the
 * user's word wins over a default. */
int hk_cmdline_add_default(struct hk_cmdline *line, const char *word,
                           struct hk_errmsg *err) HK_MUST_CHECK;

/* True when the word `key` or `key=...` stands before `--`. */
bool hk_cmdline_has(const struct hk_cmdline *line, const char *key);

/* Adds one argument for init after `--`, quoted when it has spaces. An empty
 * argument or one with a quote cannot be told to Linux: -HK_EINVAL. */
int hk_cmdline_add_arg(struct hk_cmdline *line, const char *arg,
                       struct hk_errmsg *err) HK_MUST_CHECK;

/* Adds virtio_mmio.device=SIZE@GPA:IRQ for kernels without ACPI. */
int hk_cmdline_add_virtio(struct hk_cmdline *line, uint64_t gpa, uint64_t size,
                          uint32_t irq, struct hk_errmsg *err) HK_MUST_CHECK;

/* What to add for a kernel that Husk did not configure. */
struct hk_cmdline_defaults {
    const char *console; /* "ttyS0", "hvc0"; NULL adds no console= */
    uint64_t tsc_khz;    /* tsc_early_khz=; 0 when the CPU tells it */
    bool virtio_only;    /* no PCI in this machine: do not look for it */
    bool trust_guest;    /* mitigations=off: the guest's processes trust
                            each other */
    bool quiet;          /* no kernel messages below warnings */
};

/*
 * Adds what saves a stock kernel work and harms nothing; any word whose key
 * the line already has is left out.
 */
int hk_cmdline_add_defaults(struct hk_cmdline *line,
                            const struct hk_cmdline_defaults *defaults,
                            struct hk_errmsg *err) HK_MUST_CHECK;

/* 0 when `text` is printable ASCII of at most `max` bytes, else as for add. */
int hk_cmdline_check(const char *text, size_t max,
                     struct hk_errmsg *err) HK_MUST_CHECK;

#endif
