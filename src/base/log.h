/*
 * Logging: one line per event, to a replaceable sink.
 *
 * A file that logs defines HK_LOG_TAG before including this header. Messages
 * carry no newline. Arguments are evaluated only when the level is enabled.
 * Lines that a guest can cause use the HK_LOG_GUEST_* form, which is limited
 * to a burst of HK_LOG_GUEST_BURST lines for each call site and process.
 *
 * Threads: any. The sink is called with no lock of ours held and must itself
 * be thread safe; hk_log_set_sink and hk_log_set_level may be called at any
 * time.
 */
#ifndef HK_BASE_LOG_H
#define HK_BASE_LOG_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>

enum hk_log_level {
    HK_LOG_OFF,
    HK_LOG_ERROR,
    HK_LOG_WARN,
    HK_LOG_INFO,
    HK_LOG_DEBUG,
    HK_LOG_TRACE,
};

enum { HK_LOG_GUEST_BURST = 10 };

/* Receives one formatted message; `tag` and `message` are borrowed. */
typedef void (*hk_log_sink_fn)(void *opaque, enum hk_log_level level,
                               const char *tag, const char *message);

/* NULL restores the default sink (stderr, "husk: level tag: message"). */
void hk_log_set_sink(hk_log_sink_fn sink, void *opaque);
void hk_log_set_level(enum hk_log_level level);
bool hk_log_enabled(enum hk_log_level level);
void hk_log_write(enum hk_log_level level, const char *tag, const char *format,
                  ...) HK_PRINTF(3, 4);

/* Counts one use of a rate-limited call site; true while it may log. */
bool hk_log_guest_allowed(atomic_uint *count);

#define HK_LOG_AT(level, ...)                             \
    do {                                                  \
        if (hk_log_enabled(level))                        \
            hk_log_write(level, HK_LOG_TAG, __VA_ARGS__); \
    } while (0)

#define HK_LOG_E(...) HK_LOG_AT(HK_LOG_ERROR, __VA_ARGS__)
#define HK_LOG_W(...) HK_LOG_AT(HK_LOG_WARN, __VA_ARGS__)
#define HK_LOG_I(...) HK_LOG_AT(HK_LOG_INFO, __VA_ARGS__)
#define HK_LOG_D(...) HK_LOG_AT(HK_LOG_DEBUG, __VA_ARGS__)
#define HK_LOG_T(...) HK_LOG_AT(HK_LOG_TRACE, __VA_ARGS__)

#define HK_LOG_GUEST_AT(level, ...)                                       \
    do {                                                                  \
        static atomic_uint hk_log_count;                                  \
        if (hk_log_enabled(level) && hk_log_guest_allowed(&hk_log_count)) \
            hk_log_write(level, HK_LOG_TAG, __VA_ARGS__);                 \
    } while (0)
#define HK_LOG_GUEST_W(...) HK_LOG_GUEST_AT(HK_LOG_WARN, __VA_ARGS__)
#define HK_LOG_GUEST_D(...) HK_LOG_GUEST_AT(HK_LOG_DEBUG, __VA_ARGS__)

#endif
