/* Building the kernel command line. */
#include "hk_test.h"

#include "boot/cmdline.h"

static struct hk_cmdline line;

static int start(void **state)
{
    return hk_cmdline_init(&line, HK_CMDLINE_LINUX_MAX);
}

static int finish(void **state)
{
    hk_cmdline_fini(&line);
    return 0;
}

static void add(const char *words)
{
    assert_int_equal(hk_cmdline_add(&line, words, NULL), 0);
}

static void words_are_separated_by_one_space(void **state)
{
    add("quiet");
    add("");
    add("root=/dev/vda rw");
    assert_string_equal(line.text, "quiet root=/dev/vda rw");
    assert_int_equal(line.len, strlen(line.text));
}

static void a_value_with_spaces_is_quoted(void **state)
{
    assert_int_equal(hk_cmdline_add_value(&line, "a", "b", NULL), 0);
    assert_int_equal(hk_cmdline_add_value(&line, "k", "x y=z", NULL), 0);
    assert_string_equal(line.text, "a=b k=\"x y=z\"");
}

static void refuses_what_a_kernel_cannot_read(void **state)
{
    struct hk_errmsg err = {{0}};
    add("quiet");
    assert_int_equal(hk_cmdline_add(&line, "a\nb", &err), -HK_EINVAL);
    assert_non_null(strstr(err.text, "0x0a at position 1"));
    assert_int_equal(hk_cmdline_add(&line, "\x7f", &err), -HK_EINVAL);
    assert_int_equal(hk_cmdline_add(&line, "caf\xc3\xa9", &err), -HK_EINVAL);
    assert_int_equal(hk_cmdline_add_value(&line, "", "v", &err), -HK_EINVAL);
    assert_int_equal(hk_cmdline_add_value(&line, "a b", "v", &err), -HK_EINVAL);
    assert_int_equal(hk_cmdline_add_value(&line, "a=b", "v", &err), -HK_EINVAL);
    assert_int_equal(hk_cmdline_add_value(&line, "a", "\"", &err), -HK_EINVAL);
    assert_int_equal(hk_cmdline_add_arg(&line, "", &err), -HK_EINVAL);
    assert_string_equal(line.text, "quiet");
}

static void the_line_may_be_full_but_not_longer(void **state)
{
    struct hk_errmsg err = {{0}};
    char word[HK_CMDLINE_LINUX_MAX + 2];
    memset(word, 'x', sizeof(word));
    word[HK_CMDLINE_LINUX_MAX + 1] = '\0';
    assert_int_equal(hk_cmdline_add(&line, word, &err), -HK_E2BIG);
    assert_non_null(strstr(err.text, "shorten it"));
    word[HK_CMDLINE_LINUX_MAX] = '\0';
    add(word);
    assert_int_equal(line.len, HK_CMDLINE_LINUX_MAX);
    assert_int_equal(hk_cmdline_add(&line, "y", &err), -HK_E2BIG);
    assert_string_equal(line.text, word);
}

static void replaces_the_first_word_with_that_key(void **state)
{
    add("console=hvc0 consoleblank=0 console=tty0");
    assert_int_equal(hk_cmdline_set(&line, "console", "ttyS0", NULL), 0);
    assert_string_equal(line.text, "console=ttyS0 consoleblank=0 console=tty0");
    assert_int_equal(hk_cmdline_set(&line, "root", "/dev/vda", NULL), 0);
    assert_string_equal(
        line.text, "console=ttyS0 consoleblank=0 console=tty0 root=/dev/vda");
}

static void arguments_for_init_stay_last(void **state)
{
    add("quiet");
    assert_int_equal(hk_cmdline_add_arg(&line, "echo", NULL), 0);
    assert_int_equal(hk_cmdline_add_arg(&line, "a b", NULL), 0);
    add("rw");
    assert_string_equal(line.text, "quiet rw -- echo \"a b\"");
    assert_int_equal(hk_cmdline_set(&line, "echo", "1", NULL), 0);
    assert_string_equal(line.text, "quiet rw echo=1 -- echo \"a b\"");
}

static void a_key_after_the_dashes_or_in_quotes_is_not_a_parameter(void **state)
{
    add("a=\"x quiet\" -- quiet");
    assert_false(hk_cmdline_has(&line, "quiet"));
    assert_true(hk_cmdline_has(&line, "a"));
    assert_false(hk_cmdline_has(&line, "a="));
}

static void a_user_word_wins_over_a_default(void **state)
{
    add("panic=5");
    assert_int_equal(hk_cmdline_add_default(&line, "panic=-1", NULL), 0);
    assert_int_equal(hk_cmdline_add_default(&line, "quiet", NULL), 0);
    assert_int_equal(hk_cmdline_add_default(&line, "quiet", NULL), 0);
    assert_string_equal(line.text, "panic=5 quiet");
}

static void stock_kernels_get_what_saves_work(void **state)
{
    struct hk_cmdline_defaults d = {
        .console = "ttyS0", .tsc_khz = 1000000, .virtio_only = true};
    add("reboot=t");
    assert_int_equal(hk_cmdline_add_defaults(&line, &d, NULL), 0);
    assert_string_equal(line.text,
                        "reboot=t console=ttyS0 tsc_early_khz=1000000 "
                        "panic=-1 no_timer_check cryptomgr.notests "
                        "8250.nr_uarts=1 random.trust_cpu=on pci=off");
    assert_false(hk_cmdline_has(&line, "mitigations"));
}

static void virtio_devices_are_named_by_size_address_and_interrupt(void **state)
{
    assert_int_equal(hk_cmdline_add_virtio(&line, 0xd0000000, 4096, 5, NULL),
                     0);
    assert_int_equal(hk_cmdline_add_virtio(&line, 0xd0001000, 0x200, 6, NULL),
                     0);
    assert_string_equal(line.text, "virtio_mmio.device=4K@0xd0000000:5 "
                                   "virtio_mmio.device=512@0xd0001000:6");
}

static void a_finished_line_can_be_checked(void **state)
{
    struct hk_errmsg err = {{0}};
    assert_int_equal(hk_cmdline_check("abc", 3, &err), 0);
    assert_int_equal(hk_cmdline_check("abcd", 3, &err), -HK_E2BIG);
    assert_int_equal(hk_cmdline_check("a\t", 3, &err), -HK_EINVAL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(words_are_separated_by_one_space),
    CASE(a_value_with_spaces_is_quoted),
    CASE(refuses_what_a_kernel_cannot_read),
    CASE(the_line_may_be_full_but_not_longer),
    CASE(replaces_the_first_word_with_that_key),
    CASE(arguments_for_init_stay_last),
    CASE(a_key_after_the_dashes_or_in_quotes_is_not_a_parameter),
    CASE(a_user_word_wins_over_a_default),
    CASE(stock_kernels_get_what_saves_work),
    CASE(virtio_devices_are_named_by_size_address_and_interrupt),
    CASE(a_finished_line_can_be_checked),
};
HK_TEST_MAIN(cases)
