/*
 * Restart or crash: see ending.h for the reasoning.
 */
#include "vmm/ending.h"

#include <string.h>

static const char panic_line[] = "Kernel panic - not syncing";
static const char restart_line[] = "reboot: Restarting system";

/* How much of `line` is matched once `c` follows its first `at` bytes. */
static uint8_t advance(const char *line, uint8_t at, char c)
{
    while (line[at] != c) {
        if (at == 0)
            return 0;
        /* The longest shorter beginning of the line that just went by. */
        uint8_t shorter = (uint8_t)(at - 1);
        while (shorter > 0 && memcmp(line, line + at - shorter, shorter) != 0)
            shorter--;
        at = shorter;
    }
    return (uint8_t)(at + 1);
}

void hk_words_feed(struct hk_words_scan *scan, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = (char)bytes[i];
        scan->at_panic = advance(panic_line, scan->at_panic, c);
        scan->at_restart = advance(restart_line, scan->at_restart, c);
        if (scan->at_panic == sizeof(panic_line) - 1) {
            scan->last = HK_WORDS_PANIC;
            scan->at_panic = 0;
        }
        if (scan->at_restart == sizeof(restart_line) - 1) {
            scan->last = HK_WORDS_RESTART;
            scan->at_restart = 0;
        }
    }
}

enum {
    SVR_ENABLE = 1 << 8,
    SVR_VECTOR = 0xff,
    VIRTUAL_WIRE_VECTOR = 0x0f, /* Linux: disconnect_bsp_APIC */
};

void hk_svr_note(struct hk_svr_watch *watch, uint32_t value)
{
    if ((value & SVR_ENABLE) == 0) {
        if (watch->off_count < UINT32_MAX)
            watch->off_count++;
        watch->virtual_wire = false;
        return;
    }
    bool was_off = watch->off_count > 0;
    watch->virtual_wire =
        was_off && (value & SVR_VECTOR) == VIRTUAL_WIRE_VECTOR;
    watch->off_count = 0;
}

bool hk_ending_is_meant(const struct hk_leaving *leaving)
{
    if (!leaving->apic_known || leaving->pins == HK_PINS_IN_USE)
        return false;
    return leaving->svr.virtual_wire || leaving->svr.off_count >= 2;
}

bool hk_ending_is_orderly(const struct hk_leaving *leaving)
{
    if (hk_ending_is_meant(leaving))
        return true;

    /* Pins in use: not shut down, unless told to skip that (reboot=force). */
    if (leaving->pins == HK_PINS_IN_USE)
        return leaving->words == HK_WORDS_RESTART;

    switch (leaving->words) {
    case HK_WORDS_PANIC:
        return false;
    case HK_WORDS_RESTART:
        return true;
    case HK_WORDS_NONE:
        break;
    }
    /* Nothing was said. Switched off exactly once is how a panic leaves the
     * local APIC; never at all is a guest that does not use it. */
    return !(leaving->apic_known && leaving->svr.off_count == 1);
}
