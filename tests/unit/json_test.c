/* init's JSON reader, and what it takes from configuration files. */
#include "hk_test.h"

#include "json.h"
#include "spec.h"

#include <errno.h>

static int parse(const char *text)
{
    struct hk_json json;
    int rc = hk_json_parse(text, strlen(text), &json);
    if (rc == 0)
        hk_json_fini(&json);
    else
        assert_null(json.node);
    return rc;
}

static void takes_what_is_json(void **state)
{
    static const char *const good[] = {"{}",
                                       "[]",
                                       " null ",
                                       "true",
                                       "-0.5e+10",
                                       "\"\"",
                                       "0",
                                       "[1,[2,[]],{}]",
                                       "{\"a\":{\"b\":[{}]},\"c\":1}",
                                       "\"\\u0041\\n\\\"\"",
                                       "[ ]",
                                       "{ }",
                                       "\t[\r\n1 ,\t2 ]"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (parse(good[i]) != 0)
            fail_msg("refused %s", good[i]);
    }
}

static void refuses_what_is_not(void **state)
{
    static const char *const bad[] = {"",         " ",          "{",
                                      "}",        "[1,]",       "{\"a\"}",
                                      "{\"a\":}", "{\"a\":1,}", "[1 2]",
                                      "{1:2}",    "01",         "1.",
                                      ".5",       "-",          "1e",
                                      "tru",      "nullx",      "\"a",
                                      "\"\n\"",   "\"\\x\"",    "\"\\u12g4\"",
                                      "\"\\",     "[}",         "{]",
                                      "[1]]",     "{}{}",       "[,1]",
                                      "'a'",      "// c\n1",    "\"\\u123"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i]) != -EINVAL)
            fail_msg("took %s", bad[i]);
    }
}

static void depth_and_count_have_limits(void **state)
{
    char deep[HK_JSON_DEPTH * 2 + 3];
    memset(deep, '[', HK_JSON_DEPTH);
    memset(deep + HK_JSON_DEPTH, ']', HK_JSON_DEPTH);
    deep[HK_JSON_DEPTH * 2] = '\0';
    assert_int_equal(parse(deep), 0);
    memset(deep, '[', HK_JSON_DEPTH + 1);
    assert_int_equal(parse(deep), -E2BIG);

    char *many = malloc(2 * HK_JSON_NODES + 2);
    for (size_t i = 0; i < HK_JSON_NODES; i++)
        memcpy(many + 2 * i, i == 0 ? "[1" : ",1", 2);
    memcpy(many + (size_t)2 * HK_JSON_NODES, "]", 2);
    assert_int_equal(parse(many), -E2BIG);
    free(many);
}

static void expect_text(const char *text, const char *wanted)
{
    struct hk_json json;
    assert_int_equal(hk_json_parse(text, strlen(text), &json), 0);
    char *got = hk_json_text(&json, 0);
    if (wanted == NULL)
        assert_null(got);
    else
        assert_string_equal(got, wanted);
    free(got);
    hk_json_fini(&json);
}

static void strings_lose_their_escapes(void **state)
{
    expect_text("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz");
    expect_text("\"\\u00e9\\u20AC\"", "\xc3\xa9\xe2\x82\xac");
    expect_text("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80");
    expect_text("\"\\ud83dx\"", "\xef\xbf\xbdx");
    expect_text("\"\\ude00\"", "\xef\xbf\xbd");
    expect_text("\"a\\u0000b\"", NULL);
    expect_text("12", NULL);
}

static void keys_are_found_in_any_case_and_by_type(void **state)
{
    static const char text[] = "{\"ARGS\":1,\"x\":{\"args\":[]},\"Args\":[2]}";
    struct hk_json json;
    assert_int_equal(hk_json_parse(text, strlen(text), &json), 0);
    uint32_t at = hk_json_get(&json, 0, "args", HK_JSON_ARRAY);
    assert_int_not_equal(at, HK_JSON_NONE);
    uint32_t item = hk_json_first(&json, at);
    assert_int_equal(text[json.node[item].start], '2');
    assert_int_equal(hk_json_next(&json, at, item), HK_JSON_NONE);
    assert_int_equal(hk_json_get(&json, 0, "args", HK_JSON_STRING),
                     HK_JSON_NONE);
    assert_int_equal(hk_json_get(&json, at, "args", HK_JSON_ARRAY),
                     HK_JSON_NONE);
    hk_json_fini(&json);
}

static void read_spec(const char *text, struct hk_spec *spec)
{
    assert_int_equal(hk_spec_parse(text, strlen(text), spec), 0);
}

static void hooks_are_not_the_command(void **state)
{
    struct hk_spec spec;
    read_spec("{\"hooks\":{\"prestart\":[{\"args\":[\"no\"],\"env\":[\"N=1\"]}"
              "]},\"process\":{\"args\":[\"yes\"]}}",
              &spec);
    assert_int_equal(spec.args.count, 1);
    assert_string_equal(spec.args.v[0], "yes");
    assert_int_equal(spec.env.count, 0);
    hk_spec_fini(&spec);
}

static void an_images_file_is_understood(void **state)
{
    struct hk_spec spec;
    read_spec("{\"config\":{\"Env\":[\"A=1\",7,\"B=2\"],\"Cmd\":[\"c\"],"
              "\"Entrypoint\":[\"e\"],\"WorkingDir\":\"/w\"}}",
              &spec);
    assert_int_equal(spec.args.count, 2);
    assert_string_equal(spec.args.v[0], "e");
    assert_string_equal(spec.args.v[1], "c");
    assert_int_equal(spec.env.count, 2);
    assert_string_equal(spec.cwd, "/w");
    hk_spec_fini(&spec);
}

static void only_plain_tmpfs_mounts_count(void **state)
{
    struct hk_spec spec;
    read_spec("{\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\","
              "\"source\":\"proc\"},{\"destination\":\"/dev/shm\",\"type\":"
              "\"tmpfs\",\"source\":\"shm\"},{\"destination\":\"/run\","
              "\"type\":\"tmpfs\",\"source\":\"tmpfs\"},4]}",
              &spec);
    assert_int_equal(spec.tmpfs.count, 1);
    assert_string_equal(spec.tmpfs.v[0], "/run");
    hk_spec_fini(&spec);
}

static void wrong_types_are_passed_over(void **state)
{
    struct hk_spec spec;
    read_spec("{\"args\":\"x\",\"env\":{},\"cwd\":[],\"mounts\":{}}", &spec);
    assert_int_equal(spec.args.count + spec.env.count, 0);
    assert_null(spec.cwd);
    hk_spec_fini(&spec);
    read_spec("[]", &spec);
    hk_spec_fini(&spec);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(takes_what_is_json),
    cmocka_unit_test(refuses_what_is_not),
    cmocka_unit_test(depth_and_count_have_limits),
    cmocka_unit_test(strings_lose_their_escapes),
    cmocka_unit_test(keys_are_found_in_any_case_and_by_type),
    cmocka_unit_test(hooks_are_not_the_command),
    cmocka_unit_test(an_images_file_is_understood),
    cmocka_unit_test(only_plain_tmpfs_mounts_count),
    cmocka_unit_test(wrong_types_are_passed_over),
};
HK_TEST_MAIN(cases)
