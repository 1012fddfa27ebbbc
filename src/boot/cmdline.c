/*
 * Building the kernel command line. The text is one flat buffer; finding a
 * word walks it with the kernel's own rules: spaces separate, a double quote
 * toggles, `--` alone ends the words that are the kernel's.
 */
#include "boot/cmdline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hk_cmdline_init(struct hk_cmdline *line, size_t max)
{
    if (max > HK_CMDLINE_MAX)
        max = HK_CMDLINE_MAX;
    *line = (struct hk_cmdline){.text = calloc(1, max + 1), .max = max};
    return line->text ? 0 : -HK_ENOMEM;
}

void hk_cmdline_fini(struct hk_cmdline *line)
{
    free(line->text);
    *line = (struct hk_cmdline){0};
}

static int check_printable(const char *text, struct hk_errmsg *err)
{
    for (const char *p = text; *p; p++) {
        if (*p < 0x20 || *p > 0x7e)
            return hk_err_set(err, -HK_EINVAL,
                              "the kernel command line has the byte 0x%02x at "
                              "position %zu; only printable ASCII is allowed",
                              (unsigned char)*p, (size_t)(p - text));
    }
    return 0;
}

int hk_cmdline_check(const char *text, size_t max, struct hk_errmsg *err)
{
    size_t len = strlen(text);
    if (len > max)
        return hk_err_set(err, -HK_E2BIG,
                          "the kernel command line has %zu bytes, this kernel "
                          "takes %zu; shorten it",
                          len, max);
    return check_printable(text, err);
}

struct word {
    size_t start, len;
};

/* The next word at or after *pos; false at the end. */
static bool next_word(const char *text, size_t *pos, struct word *word)
{
    size_t at = *pos;
    bool quoted = false;

    while (text[at] == ' ')
        at++;
    word->start = at;
    for (; text[at] && (quoted || text[at] != ' '); at++) {
        if (text[at] == '"')
            quoted = !quoted;
    }
    word->len = at - word->start;
    *pos = at;
    return word->len > 0;
}

static bool word_is(const char *text, struct word word, const char *what)
{
    return word.len == strlen(what) &&
           memcmp(text + word.start, what, word.len) == 0;
}

/* True when the word is `key` or starts with `key=`. */
static bool word_has_key(const char *text, struct word word, const char *key,
                         size_t key_len)
{
    const char *p = text + word.start;
    if (*p == '"' && word.len > 1) { /* "key=a b" quoted as a whole */
        p++;
        word.len--;
    }
    if (word.len < key_len || memcmp(p, key, key_len) != 0)
        return false;
    return word.len == key_len || p[key_len] == '=';
}

/* Where the kernel's words end: at `--` or at the end of the text. */
static size_t kernel_end(const struct hk_cmdline *line)
{
    struct word word;
    size_t pos = 0;
    while (next_word(line->text, &pos, &word)) {
        if (word_is(line->text, word, "--"))
            return word.start;
    }
    return line->len;
}

static bool find_key(const struct hk_cmdline *line, const char *key,
                     size_t key_len, struct word *word)
{
    size_t pos = 0;
    while (next_word(line->text, &pos, word)) {
        if (word_is(line->text, *word, "--"))
            return false;
        if (word_has_key(line->text, *word, key, key_len))
            return true;
    }
    return false;
}

bool hk_cmdline_has(const struct hk_cmdline *line, const char *key)
{
    struct word word;
    return find_key(line, key, strlen(key), &word);
}

/* Replaces [at, at+cut) by `text`, all or nothing. */
static int splice(struct hk_cmdline *line, size_t at, size_t cut,
                  const char *text, size_t text_len, struct hk_errmsg *err)
{
    size_t kept = line->len - cut;
    if (text_len > line->max || kept > line->max - text_len)
        return hk_err_set(err, -HK_E2BIG,
                          "the kernel command line would have %zu bytes, at "
                          "most %zu fit; shorten it",
                          kept + text_len, line->max);
    memmove(line->text + at + text_len, line->text + at + cut,
            line->len - at - cut + 1);
    memcpy(line->text + at, text, text_len);
    line->len = kept + text_len;
    return 0;
}

/* Puts `text` at `at` with the spaces that separate it from its neighbours. */
static int insert_spaced(struct hk_cmdline *line, size_t at, const char *text,
                         struct hk_errmsg *err)
{
    size_t len = strlen(text);
    bool before = at > 0 && line->text[at - 1] != ' ';
    bool after = at < line->len;
    char *spaced = malloc(len + 3);
    if (!spaced)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");

    int total = snprintf(spaced, len + 3, "%s%s%s", before ? " " : "", text,
                         after ? " " : "");
    int rc = splice(line, at, 0, spaced, (size_t)total, err);
    free(spaced);
    return rc;
}

int hk_cmdline_add(struct hk_cmdline *line, const char *words,
                   struct hk_errmsg *err)
{
    int rc = check_printable(words, err);
    if (rc || *words == '\0')
        return rc;
    return insert_spaced(line, kernel_end(line), words, err);
}

static int check_key(const char *key, struct hk_errmsg *err)
{
    if (*key == '\0' || strpbrk(key, " =\""))
        return hk_err_set(err, -HK_EINVAL,
                          "\"%s\" is no name for a kernel parameter: it must "
                          "not be empty or have a space, a quote or '='",
                          key);
    return check_printable(key, err);
}

/* "key=value" in new memory, quoted where needed; NULL with `*rc` set. */
static char *format_word(const char *key, const char *value, int *rc,
                         struct hk_errmsg *err)
{
    *rc = check_key(key, err);
    if (*rc == 0)
        *rc = check_printable(value, err);
    if (*rc == 0 && strchr(value, '"'))
        *rc = hk_err_set(err, -HK_EINVAL,
                         "the value of the kernel parameter %s has a quote, "
                         "which cannot be passed on",
                         key);
    if (*rc)
        return NULL;

    const char *quote = strchr(value, ' ') ? "\"" : "";
    size_t size = strlen(key) + strlen(value) + 4;
    char *word = malloc(size);
    if (!word) {
        *rc = hk_err_set(err, -HK_ENOMEM, "out of memory");
        return NULL;
    }
    snprintf(word, size, "%s=%s%s%s", key, quote, value, quote);
    return word;
}

int hk_cmdline_add_value(struct hk_cmdline *line, const char *key,
                         const char *value, struct hk_errmsg *err)
{
    int rc;
    char *word = format_word(key, value, &rc, err);
    if (!word)
        return rc;
    rc = insert_spaced(line, kernel_end(line), word, err);
    free(word);
    return rc;
}

int hk_cmdline_set(struct hk_cmdline *line, const char *key, const char *value,
                   struct hk_errmsg *err)
{
    struct word old;
    int rc;
    char *word = format_word(key, value, &rc, err);
    if (!word)
        return rc;
    if (find_key(line, key, strlen(key), &old))
        rc = splice(line, old.start, old.len, word, strlen(word), err);
    else
        rc = insert_spaced(line, kernel_end(line), word, err);
    free(word);
    return rc;
}

int hk_cmdline_add_default(struct hk_cmdline *line, const char *word,
                           struct hk_errmsg *err)
{
    struct word old;
    if (find_key(line, word, strcspn(word, "="), &old))
        return 0;
    return hk_cmdline_add(line, word, err);
}

int hk_cmdline_add_arg(struct hk_cmdline *line, const char *arg,
                       struct hk_errmsg *err)
{
    int rc = check_printable(arg, err);
    if (rc)
        return rc;
    if (*arg == '\0' || strchr(arg, '"'))
        return hk_err_set(err, -HK_EINVAL,
                          "an empty argument or one with a quote cannot be "
                          "passed on the kernel command line");
    bool first = kernel_end(line) == line->len;
    size_t size = strlen(arg) + 6;
    char *text = malloc(size);
    if (!text)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    const char *quote = strchr(arg, ' ') ? "\"" : "";
    snprintf(text, size, "%s%s%s%s", first ? "-- " : "", quote, arg, quote);
    rc = insert_spaced(line, line->len, text, err);
    free(text);
    return rc;
}

int hk_cmdline_add_virtio(struct hk_cmdline *line, uint64_t gpa, uint64_t size,
                          uint32_t irq, struct hk_errmsg *err)
{
    char word[96];
    bool whole = size % 1024 == 0;
    snprintf(word, sizeof(word), "virtio_mmio.device=%llu%s@0x%llx:%u",
             (unsigned long long)(whole ? size / 1024 : size), whole ? "K" : "",
             (unsigned long long)gpa, irq);
    return hk_cmdline_add(line, word, err);
}

int hk_cmdline_add_defaults(struct hk_cmdline *line,
                            const struct hk_cmdline_defaults *defaults,
                            struct hk_errmsg *err)
{
    char console[64] = "", tsc[64] = "";
    if (defaults->console)
        snprintf(console, sizeof(console), "console=%s", defaults->console);
    if (defaults->tsc_khz)
        snprintf(tsc, sizeof(tsc), "tsc_early_khz=%llu",
                 (unsigned long long)defaults->tsc_khz);
    const char *const words[] = {
        console,
        tsc,
        "reboot=k",       /* i8042 pulse: one port write ends the VM */
        "panic=-1",       /* a panic is the end, not a hang */
        "no_timer_check", /* there is no PIT to check */
        /* Self-tests of every cipher: half of a stock kernel's boot. */
        "cryptomgr.notests",
        "8250.nr_uarts=1",
        "random.trust_cpu=on",
        defaults->virtio_only ? "pci=off" : "",
        defaults->trust_guest ? "mitigations=off" : "",
        defaults->quiet ? "quiet" : "",
    };
    for (size_t i = 0; i < HK_COUNT(words); i++) {
        if (words[i][0] == '\0')
            continue;
        int rc = hk_cmdline_add_default(line, words[i], err);
        if (rc)
            return rc;
    }
    return 0;
}
