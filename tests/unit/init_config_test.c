/* init's records, as the library writes them and init reads them. */
#include "hk_test.h"

#include "config.h"
#include "guest/init_config.h"
#include "wire/init_config.h"

#include <errno.h>

static struct hk_init_config writer;
static struct hk_config config;
static const char *why;
static uint8_t *data;
static size_t len;

static int start(void **state)
{
    hk_init_config_init(&writer);
    data = NULL;
    why = NULL;
    return 0;
}

static int finish(void **state)
{
    hk_init_config_fini(&writer);
    hk_config_fini(&config);
    free(data);
    return 0;
}

static int read_back(void)
{
    assert_int_equal(hk_init_config_take(&writer, &data, &len, NULL), 0);
    return hk_config_parse(data, len, &config, &why);
}

static void texts_come_back_in_order(void **state)
{
    static const char *const args[] = {"-c", "", "echo 'a\nb'", NULL};
    hk_init_config_add_text(&writer, HK_CFG_EXEC, "/bin/sh");
    hk_init_config_add_texts(&writer, HK_CFG_ARG, args);
    hk_init_config_add_text(&writer, HK_CFG_ENV, "A=\xc3\xa9");
    hk_init_config_add_text(&writer, HK_CFG_WORKDIR, NULL);
    hk_init_config_add_flags(&writer, HK_CFG_TTY | HK_CFG_EXIT_PORT);
    hk_init_config_add_size(&writer, 300, 65535);
    assert_int_equal(read_back(), 0);
    assert_string_equal(config.exec, "/bin/sh");
    assert_int_equal(config.args.count, 3);
    assert_string_equal(config.args.v[1], "");
    assert_string_equal(config.args.v[2], "echo 'a\nb'");
    assert_null(config.args.v[3]);
    assert_string_equal(config.env.v[0], "A=\xc3\xa9");
    assert_null(config.workdir);
    assert_int_equal(config.flags, HK_CFG_TTY | HK_CFG_EXIT_PORT);
    assert_int_equal(config.rows, 300);
    assert_int_equal(config.columns, 65535);
}

static void mounts_come_back_with_all_their_fields(void **state)
{
    struct hk_init_mount root = {.type = "virtiofs", .source = "/dev/root"};
    struct hk_init_mount volume = {.type = "virtiofs",
                                   .source = "vol0",
                                   .target = "/data",
                                   .options = "dax",
                                   .read_only = true};
    hk_init_config_add_mount(&writer, HK_CFG_ROOT, &root);
    hk_init_config_add_mount(&writer, HK_CFG_MOUNT, &volume);
    assert_int_equal(read_back(), 0);
    assert_true(config.has_root);
    assert_string_equal(config.root.source, "/dev/root");
    assert_string_equal(config.root.options, "");
    assert_false(config.root.read_only);
    assert_int_equal(config.mount_count, 1);
    assert_string_equal(config.mounts[0].target, "/data");
    assert_string_equal(config.mounts[0].options, "dax");
    assert_true(config.mounts[0].read_only);
}

static void every_shorter_file_is_refused(void **state)
{
    struct hk_init_mount root = {.type = "ext4", .source = "/dev/vda"};
    hk_init_config_add_text(&writer, HK_CFG_EXEC, "/bin/true");
    hk_init_config_add_mount(&writer, HK_CFG_ROOT, &root);
    hk_init_config_add_flags(&writer, HK_CFG_PID1);
    assert_int_equal(hk_init_config_take(&writer, &data, &len, NULL), 0);
    for (size_t i = 0; i < len; i++) {
        /* a copy of that size, so that a checker sees reads past it */
        uint8_t *cut = malloc(i + 1);
        memcpy(cut, data, i);
        why = NULL;
        assert_int_equal(hk_config_parse(cut, i, &config, &why), -EINVAL);
        assert_non_null(why);
        assert_null(config.exec);
        free(cut);
    }
}

static void what_init_does_not_know_is_refused(void **state)
{
    static const uint8_t unknown[] = {'H', 'U', 'S', 'K', 'C', 'F', 'G', '1',
                                      99,  0,   0,   0,   0,   0,   0,   0};
    assert_int_equal(hk_config_parse(unknown, sizeof(unknown), &config, &why),
                     -EINVAL);
    assert_non_null(strstr(why, "does not know"));
    hk_init_config_add_flags(&writer, 1u << 31);
    assert_int_equal(read_back(), -EINVAL);
    assert_non_null(strstr(why, "flags"));
}

static void a_text_with_a_nul_is_refused(void **state)
{
    hk_init_config_add_text(&writer, HK_CFG_EXEC, "abc");
    assert_int_equal(hk_init_config_take(&writer, &data, &len, NULL), 0);
    data[17] = 0;
    assert_int_equal(hk_config_parse(data, len, &config, &why), -EINVAL);
    assert_non_null(strstr(why, "NUL"));
}

static void too_many_mounts_are_refused(void **state)
{
    struct hk_init_mount m = {.type = "tmpfs", .source = "x", .target = "/x"};
    for (int i = 0; i <= HK_MOUNTS_MAX; i++)
        hk_init_config_add_mount(&writer, HK_CFG_MOUNT, &m);
    assert_int_equal(read_back(), -EINVAL);
    assert_non_null(strstr(why, "more mounts"));
}

static void too_much_text_is_told_once_at_the_end(void **state)
{
    struct hk_errmsg err;
    char *big = malloc(HK_CFG_MAX);
    memset(big, 'x', HK_CFG_MAX - 1);
    big[HK_CFG_MAX - 1] = '\0';
    hk_init_config_add_text(&writer, HK_CFG_ARG, big);
    hk_init_config_add_text(&writer, HK_CFG_ARG, "y");
    assert_int_equal(hk_init_config_take(&writer, &data, &len, &err),
                     -HK_E2BIG);
    assert_non_null(strstr(err.text, "1024 KiB"));
    free(big);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(texts_come_back_in_order),
    CASE(mounts_come_back_with_all_their_fields),
    CASE(every_shorter_file_is_refused),
    CASE(what_init_does_not_know_is_refused),
    CASE(a_text_with_a_nul_is_refused),
    CASE(too_many_mounts_are_refused),
    CASE(too_much_text_is_told_once_at_the_end),
};
HK_TEST_MAIN(cases)
