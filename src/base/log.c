/*
 * Log lines: level check, formatting into a bounded buffer, and a sink that
 * can be exchanged while other threads log.
 *
 * The sink and its opaque pointer must change together. A spin lock covers
 * only the copy of these two words; the sink itself runs without it.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

/* Room for the longest line of a console that is logged (console/port.h). */
enum { MESSAGE_MAX = 4608 };

static const char *const level_names[] = {
    [HK_LOG_OFF] = "off",   [HK_LOG_ERROR] = "error", [HK_LOG_WARN] = "warning",
    [HK_LOG_INFO] = "info", [HK_LOG_DEBUG] = "debug", [HK_LOG_TRACE] = "trace",
};

struct sink {
    hk_log_sink_fn write;
    void *opaque;
};

static void write_stderr(void *opaque, enum hk_log_level level, const char *tag,
                         const char *message)
{
    /* One call for the whole line, so that threads do not mix theirs. */
    fprintf(stderr, "husk: %s %s: %s\n", level_names[level], tag, message);
}

static atomic_int current_level = HK_LOG_WARN;
static atomic_flag sink_busy = ATOMIC_FLAG_INIT;
static struct sink current_sink = {write_stderr, NULL};

static void lock_sink(void)
{
    while (atomic_flag_test_and_set_explicit(&sink_busy, memory_order_acquire))
        ;
}

static void unlock_sink(void)
{
    atomic_flag_clear_explicit(&sink_busy, memory_order_release);
}

void hk_log_set_sink(hk_log_sink_fn sink, void *opaque)
{
    struct sink wanted = {write_stderr, NULL};
    if (sink != NULL)
        wanted = (struct sink){sink, opaque};
    lock_sink();
    current_sink = wanted;
    unlock_sink();
}

void hk_log_set_level(enum hk_log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool hk_log_enabled(enum hk_log_level level)
{
    return (int)level <=
               atomic_load_explicit(&current_level, memory_order_relaxed) &&
           level != HK_LOG_OFF;
}

/* A guest's bytes in a message must not move the reader's cursor. */
static void hide_control_bytes(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            *text = '?';
    }
}

void hk_log_write(enum hk_log_level level, const char *tag, const char *format,
                  ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (len < 0)
        return;
    hide_control_bytes(message);

    lock_sink();
    struct sink sink = current_sink;
    unlock_sink();
    sink.write(sink.opaque, level, tag, message);
}

bool hk_log_guest_allowed(atomic_uint *count)
{
    /* The plain load first keeps the counter from wrapping. */
    if (atomic_load_explicit(count, memory_order_relaxed) >= HK_LOG_GUEST_BURST)
        return false;
    return atomic_fetch_add_explicit(count, 1, memory_order_relaxed) <
           HK_LOG_GUEST_BURST;
}
