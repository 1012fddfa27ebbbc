/*
 * krun_*: the log. There is one for the process, husk's; these calls say how
 * much of it is written, where to, and in which form:
 *
 *     [2026-06-01T12:00:00.123456Z WARN  husk::vmm] the message
 */
#include "libkrun.h"

#include "api/krun_int.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LINE_MAX_SIZE = 1280,
    FIRST_OWNED_FD = 3, /* lower ones stay the process's */
};

/* Held while a line is written, so that the target is not closed under it. */
static struct {
    struct hk_lock lock;
    int fd;
    bool is_coloured;
} target = {.fd = 2};

static const struct {
    const char *name;
    const char *colour;
} levels[] = {
    [HK_LOG_OFF] = {"OFF", ""},       [HK_LOG_ERROR] = {"ERROR", "31"},
    [HK_LOG_WARN] = {"WARN", "33"},   [HK_LOG_INFO] = {"INFO", "32"},
    [HK_LOG_DEBUG] = {"DEBUG", "34"}, [HK_LOG_TRACE] = {"TRACE", "36"},
};

/* The date of a day counted from 1970-01-01, Gregorian. Counting years from
 * March puts the leap day last. */
static void split_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468; /* days since 0000-03-01 */
    int64_t era = z / 146097, in_era = z % 146097;
    int64_t y =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * in_year + 2) / 153;
    *day = (int)(in_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2 ? 1 : 0));
}

static void format_time(char *text, size_t size)
{
    struct timespec now = {0};
    (void)timespec_get(&now, TIME_UTC);
    int64_t seconds = (int64_t)now.tv_sec;
    int year, month, day;
    split_days(seconds / 86400, &year, &month, &day);
    int in_day = (int)(seconds % 86400);
    (void)snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", year,
                   month, day, in_day / 3600, in_day / 60 % 60, in_day % 60,
                   now.tv_nsec / 1000);
}

static void write_line(void *opaque, enum hk_log_level level, const char *tag,
                       const char *message)
{
    char line[LINE_MAX_SIZE], stamp[64];
    (void)opaque;
    format_time(stamp, sizeof(stamp));
    hk_lock(&target.lock);
    int len = snprintf(line, sizeof(line), "[%s %s%s%s%-5s%s husk::%s] %s",
                       stamp, target.is_coloured ? "\033[" : "",
                       target.is_coloured ? levels[level].colour : "",
                       target.is_coloured ? "m" : "", levels[level].name,
                       target.is_coloured ? "\033[0m" : "", tag, message);
    if (len >= (int)sizeof(line) - 1)
        len = (int)sizeof(line) - 2;
    if (len > 0) {
        line[len] = '\n';
        hk_process_print(target.fd, line, (size_t)len + 1);
    }
    hk_unlock(&target.lock);
}

/* ------------------------------------------------------------------ */
/* The environment's say                                              */

static bool same_word(const char *text, size_t len, const char *upper)
{
    if (strlen(upper) != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c != upper[i])
            return false;
    }
    return true;
}

/* One of RUST_LOG's words: a level, MODULE=LEVEL, or a module of which all is
 * wanted. -1 for a word without sense. */
static int parse_directive(const char *text, size_t len)
{
    const char *equals = memchr(text, '=', len);
    if (len == 0)
        return -1;
    if (equals != NULL) {
        len -= (size_t)(equals + 1 - text);
        text = equals + 1;
    }
    for (int i = 0; i < (int)HK_COUNT(levels); i++)
        if (same_word(text, len, levels[i].name))
            return i;
    return equals == NULL ? HK_LOG_TRACE : -1;
}

static enum hk_log_level level_of(const char *directives,
                                  enum hk_log_level otherwise)
{
    int found = -1;
    /* What follows a slash filters messages by their text: not here. */
    size_t end = strcspn(directives, "/");
    for (size_t at = 0; at < end;) {
        size_t len = strcspn(directives + at, ",/");
        int level = parse_directive(directives + at, len);
        found = level > found ? level : found;
        at += len + 1;
    }
    return found >= 0 ? (enum hk_log_level)found : otherwise;
}

static bool is_coloured(uint32_t style, const char *env_style, int fd)
{
    if (env_style != NULL && strcmp(env_style, "always") == 0)
        style = KRUN_LOG_STYLE_ALWAYS;
    if (env_style != NULL && strcmp(env_style, "never") == 0)
        style = KRUN_LOG_STYLE_NEVER;
    if (env_style != NULL && strcmp(env_style, "auto") == 0)
        style = KRUN_LOG_STYLE_AUTO;
    if (style == KRUN_LOG_STYLE_AUTO)
        return hk_process_is_terminal(fd);
    return style == KRUN_LOG_STYLE_ALWAYS;
}

/* ------------------------------------------------------------------ */
/* The calls                                                          */

static void set_log(int fd, uint32_t level, uint32_t style, bool heed_env)
{
    const char *env_level = heed_env ? getenv("RUST_LOG") : NULL;
    const char *env_style = heed_env ? getenv("RUST_LOG_STYLE") : NULL;
    enum hk_log_level chosen =
        level > HK_LOG_TRACE ? HK_LOG_TRACE : (enum hk_log_level)level;
    if (env_level != NULL)
        chosen = level_of(env_level, chosen);

    hk_lock(&target.lock);
    int old = target.fd;
    target.fd = fd;
    target.is_coloured = is_coloured(style, env_style, fd);
    hk_unlock(&target.lock);
    if (old >= FIRST_OWNED_FD && old != fd)
        hk_process_close(old);
    hk_log_set_sink(write_line, NULL);
    hk_log_set_level(chosen);
}

int32_t krun_set_log_level(uint32_t level)
{
    set_log(2, level, KRUN_LOG_STYLE_AUTO, true);
    return 0;
}

int32_t krun_init_log(int target_fd, uint32_t level, uint32_t style,
                      uint32_t options)
{
    if (target_fd < KRUN_LOG_TARGET_DEFAULT || target_fd == 0)
        return -HK_EINVAL;
    if (style > KRUN_LOG_STYLE_NEVER || options > KRUN_LOG_OPTION_NO_ENV) {
        if (target_fd >= FIRST_OWNED_FD)
            hk_process_close(target_fd);
        return -HK_EINVAL;
    }
    set_log(target_fd == KRUN_LOG_TARGET_DEFAULT ? 2 : target_fd, level, style,
            (options & KRUN_LOG_OPTION_NO_ENV) == 0);
    return 0;
}
