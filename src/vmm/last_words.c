/*
 * Picking the lines of a log that say what happened. A kernel in trouble
 * writes one line that matters and a screen of registers and addresses.
 */
#include "vmm/last_words.h"

#include <stdbool.h>
#include <string.h>

static const char panic_mark[] = "Kernel panic - not syncing: ";
static const char init_mark[] = "husk: "; /* our init */

enum { LINES = 2 }; /* of a log without a panic */

struct line {
    const char *start;
    size_t len;
};

static bool begins(struct line line, const char *with)
{
    size_t len = strlen(with);
    return line.len >= len && memcmp(line.start, with, len) == 0;
}

/* Where `what` stands in the line, or NULL. */
static const char *find(struct line line, const char *what)
{
    size_t len = strlen(what);
    for (size_t i = 0; i + len <= line.len; i++) {
        if (memcmp(line.start + i, what, len) == 0)
            return line.start + i;
    }
    return NULL;
}

/* The next line from *at, without "[    1.234567] " and line ends. */
static bool next_line(const char **at, const char *end, struct line *line)
{
    if (*at >= end)
        return false;
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    const char *stop = newline != NULL ? newline : end;
    *line = (struct line){*at, (size_t)(stop - *at)};
    *at = newline != NULL ? newline + 1 : end;
    while (line->len > 0 && line->start[line->len - 1] == '\r')
        line->len--;
    const char *stamp = begins(*line, "[") ? find(*line, "] ") : NULL;
    if (stamp != NULL && stamp - line->start < 20) {
        line->len -= (size_t)(stamp + 2 - line->start);
        line->start = stamp + 2;
    }
    return true;
}

/* Lines that say nothing to people who do not have the kernel's source. */
static bool is_noise(struct line line)
{
    static const char *const noise[] = {
        " ",    "Call Trace", "RIP:",    "RSP:",   "RAX:",     "RDX:",
        "RBP:", "R10:",       "R13:",    "FS:",    "CS:",      "CR2:",
        "DR0:", "DR3:",       "Code:",   "CPU:",   "Hardware", "Modules",
        "---[", "Kernel Off", "</TASK>", "<TASK>", "ORIG_RAX", "CR0:",
        "PKRU", "RCX:",       "RSI:",    "R08:",   "R11:",
    };
    if (line.len == 0)
        return true;
    for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++) {
        if (begins(line, noise[i]))
            return true;
    }
    return false;
}

/* Adds the line to the text, printable and as far as it fits. */
static void add(char *text, size_t size, struct line line)
{
    size_t at = strlen(text);
    if (at > 0 && at + 2 < size) {
        memcpy(text + at, "; ", 2);
        at += 2;
    }
    for (size_t i = 0; i < line.len && at + 1 < size; i++) {
        char c = line.start[i];
        text[at++] = c >= 0x20 && c <= 0x7e ? c : '?';
    }
    text[at] = '\0';
}

struct found {
    struct line init, panic;
    struct line last[LINES]; /* oldest first */
};

static void look(const char *log, size_t len, struct found *found)
{
    struct line line;
    const char *at = log, *end = log + len;
    while (next_line(&at, end, &line)) {
        const char *panic = find(line, panic_mark);
        if (begins(line, "---[ end"))
            continue;
        if (panic != NULL) {
            found->panic.start = panic + strlen(panic_mark);
            found->panic.len =
                (size_t)(line.start + line.len - found->panic.start);
        } else if (begins(line, init_mark)) {
            found->init = (struct line){line.start + strlen(init_mark),
                                        line.len - strlen(init_mark)};
        } else if (!is_noise(line)) {
            memmove(&found->last[0], &found->last[1],
                    (LINES - 1) * sizeof(line));
            found->last[LINES - 1] = line;
        }
    }
}

void hk_last_words(const char *log, size_t len, char *text, size_t size)
{
    struct found found;
    if (size == 0)
        return;
    memset(&found, 0, sizeof(found));
    text[0] = '\0';
    look(log, len, &found);
    if (found.init.len > 0)
        add(text, size, found.init);
    if (found.panic.len > 0)
        add(text, size, found.panic);
    if (text[0] != '\0')
        return;
    for (int i = 0; i < LINES; i++) {
        if (found.last[i].len > 0)
            add(text, size, found.last[i]);
    }
}
