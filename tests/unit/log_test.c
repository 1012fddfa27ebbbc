/* base/log.h */
#define HK_LOG_TAG "unit"
#include "hk_test.h"

#include "base/log.h"

#include <uv.h>

struct seen {
    unsigned int lines;
    enum hk_log_level level;
    char tag[32];
    char text[8192];
};

static void remember(void *opaque, enum hk_log_level level, const char *tag,
                     const char *message)
{
    struct seen *seen = opaque;
    seen->lines++;
    seen->level = level;
    snprintf(seen->tag, sizeof(seen->tag), "%s", tag);
    snprintf(seen->text, sizeof(seen->text), "%s", message);
}

static struct seen seen;

static int listen_at_info(void **state)
{
    memset(&seen, 0, sizeof(seen));
    hk_log_set_sink(remember, &seen);
    hk_log_set_level(HK_LOG_INFO);
    return 0;
}

static int restore(void **state)
{
    hk_log_set_sink(NULL, NULL);
    hk_log_set_level(HK_LOG_WARN);
    return 0;
}

static void sink_gets_level_tag_and_text(void **state)
{
    HK_LOG_W("disk %d is %s", 3, "full");
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.level, HK_LOG_WARN);
    assert_string_equal(seen.tag, "unit");
    assert_string_equal(seen.text, "disk 3 is full");
}

static int calls;

static int count_call(void)
{
    return ++calls;
}

static void disabled_levels_do_not_evaluate(void **state)
{
    calls = 0;
    HK_LOG_D("%d", count_call());
    assert_int_equal(calls, 0);
    assert_int_equal(seen.lines, 0);
    HK_LOG_I("%d", count_call());
    assert_int_equal(calls, 1);
}

static void off_silences_everything(void **state)
{
    hk_log_set_level(HK_LOG_OFF);
    HK_LOG_E("x");
    assert_int_equal(seen.lines, 0);
    assert_false(hk_log_enabled(HK_LOG_OFF));
}

static void guest_lines_stop_after_a_burst(void **state)
{
    for (int i = 0; i < 3 * HK_LOG_GUEST_BURST; i++)
        HK_LOG_GUEST_W("again %d", i);
    assert_int_equal(seen.lines, HK_LOG_GUEST_BURST);
}

static void control_bytes_are_hidden(void **state)
{
    HK_LOG_W("a\x1b[2Jb\nc\x7f");
    assert_string_equal(seen.text, "a?[2Jb?c?");
}

static void long_messages_are_cut(void **state)
{
    char text[6000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    HK_LOG_W("%s", text);
    assert_int_equal(strlen(seen.text), 4607);
}

static atomic_uint lines_seen;

static void count_line(void *opaque, enum hk_log_level level, const char *tag,
                       const char *message)
{
    /* The pair (function, pointer) must never be torn. */
    atomic_fetch_add((atomic_uint *)opaque, 1);
}

enum { THREAD_LINES = 2000 };

static void log_many(void *opaque)
{
    for (int i = 0; i < THREAD_LINES; i++)
        HK_LOG_W("line %d", i);
}

static void sinks_change_while_threads_log(void **state)
{
    static atomic_uint other;
    uv_thread_t threads[2];
    atomic_store(&lines_seen, 0);
    atomic_store(&other, 0);
    hk_log_set_sink(count_line, &lines_seen);
    for (int i = 0; i < 2; i++)
        assert_int_equal(uv_thread_create(&threads[i], log_many, NULL), 0);
    for (int i = 0; i < 1000; i++)
        hk_log_set_sink(count_line, i % 2 != 0 ? &lines_seen : &other);
    for (int i = 0; i < 2; i++)
        assert_int_equal(uv_thread_join(&threads[i]), 0);
    assert_int_equal(atomic_load(&lines_seen) + atomic_load(&other),
                     2 * THREAD_LINES);
}

#define LOG_CASE(fn) \
    cmocka_unit_test_setup_teardown(fn, listen_at_info, restore)

static const struct CMUnitTest cases[] = {
    LOG_CASE(sink_gets_level_tag_and_text),
    LOG_CASE(disabled_levels_do_not_evaluate),
    LOG_CASE(off_silences_everything),
    LOG_CASE(guest_lines_stop_after_a_burst),
    LOG_CASE(control_bytes_are_hidden),
    LOG_CASE(long_messages_are_cut),
    LOG_CASE(sinks_change_while_threads_log),
};
HK_TEST_MAIN(cases)
