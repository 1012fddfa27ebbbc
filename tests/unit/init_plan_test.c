/* What init decides before it acts: the command, its user, its status. */
#include "hk_test.h"

#include "dhcp.h"
#include "plan.h"
#include "status.h"
#include "user.h"
#include "wire/init_config.h"

#include <errno.h>
#include <sys/wait.h>

static struct hk_config config;
static char *no_args[] = {(char *)"/init", NULL};

static int start(void **state)
{
    memset(&config, 0, sizeof(config));
    config.flags = HK_CFG_CMDLINE | HK_CFG_CONFIG_FILE;
    return 0;
}

static int finish(void **state)
{
    hk_config_fini(&config);
    return 0;
}

static void put(const char *assignment)
{
    assert_int_equal(hk_env_put(&config.env, assignment), 0);
}

static const char *get(const char *key)
{
    return hk_env_get(&config.env, key);
}

static void take_file(const char *text)
{
    struct hk_spec spec;
    assert_int_equal(hk_spec_parse(text, strlen(text), &spec), 0);
    assert_int_equal(hk_plan_take_spec(&config, &spec), 0);
    hk_spec_fini(&spec);
}

static void take_kernel(char *const argv[], char *const variables[])
{
    assert_int_equal(hk_plan_take_cmdline(&config, argv, variables), 0);
}

static void finish_plan(void)
{
    assert_int_equal(hk_plan_finish(&config, "/var/me"), 0);
}

/* ------------------------------------------------------------------ */

static void without_anything_a_shell_runs(void **state)
{
    config.flags = 0;
    finish_plan();
    assert_string_equal(config.exec, "/bin/sh");
    assert_int_equal(config.args.count, 0);
    assert_string_equal(get("HOME"), "/var/me");
    assert_non_null(strstr(get("PATH"), "/usr/bin"));
    assert_null(get("TERM"));
    assert_null(config.hostname);
}

static void a_terminal_has_a_type(void **state)
{
    config.flags = HK_CFG_TTY;
    finish_plan();
    assert_string_equal(get("TERM"), "xterm");
}

static void the_kernels_words_name_command_and_arguments(void **state)
{
    char *argv[] = {(char *)"/init.krun", (char *)"-c", (char *)"exit 3", NULL};
    char *words[] = {(char *)"HOME=/",
                     (char *)"KRUN_INIT=/bin/sh",
                     (char *)"KRUN_WORKDIR=/tmp",
                     (char *)"KRUN_RLIMITS=\"6=1:2,7=3:4\"",
                     (char *)"KRUN_HOME=/var/x",
                     (char *)"KRUN_TERM=vt100",
                     (char *)"KRUN_INIT_PID1=1",
                     (char *)"KRUN_DHCP=1",
                     (char *)"HOSTNAME=box",
                     NULL};
    take_kernel(argv, words);
    finish_plan();
    assert_string_equal(config.exec, "/bin/sh");
    assert_int_equal(config.args.count, 2);
    assert_string_equal(config.args.v[1], "exit 3");
    assert_string_equal(config.workdir, "/tmp");
    assert_int_equal(config.rlimits.count, 2);
    assert_string_equal(config.rlimits.v[1], "7=3:4");
    assert_string_equal(get("HOME"), "/var/x");
    assert_string_equal(get("TERM"), "vt100");
    assert_string_equal(config.hostname, "box");
    assert_int_equal(config.flags & (HK_CFG_PID1 | HK_CFG_DHCP),
                     HK_CFG_PID1 | HK_CFG_DHCP);
}

static void without_the_flag_the_kernels_words_are_nothing(void **state)
{
    char *words[] = {(char *)"KRUN_INIT=/bin/evil", NULL};
    config.flags = 0;
    take_kernel(no_args, words);
    finish_plan();
    assert_string_equal(config.exec, "/bin/sh");
    assert_null(get("KRUN_INIT"));
}

static void records_win_over_the_kernels_words(void **state)
{
    char *words[] = {(char *)"KRUN_INIT=/a", (char *)"X=kernel", NULL};
    config.exec = strdup("/b");
    put("X=record");
    take_kernel(no_args, words);
    assert_string_equal(config.exec, "/b");
    assert_string_equal(get("X"), "record");
    assert_int_equal(config.env.count, 2);
}

static void a_block_root_may_be_named_by_variables(void **state)
{
    char *words[] = {(char *)"KRUN_BLOCK_ROOT_DEVICE=/dev/vda1",
                     (char *)"KRUN_BLOCK_ROOT_OPTIONS=noatime", NULL};
    take_kernel(no_args, words);
    assert_true(config.has_root);
    assert_string_equal(config.root.type, "auto");
    assert_string_equal(config.root.source, "/dev/vda1");
    assert_string_equal(config.root.options, "noatime");
}

static void the_file_gives_what_nobody_said(void **state)
{
    take_file("{\"process\":{\"args\":[\"/bin/a\",\"b\"],\"cwd\":\"/w\","
              "\"env\":[\"A=1\",\"HOME=/file\",\"TERM=file\"]}}");
    finish_plan();
    assert_string_equal(config.exec, "/bin/a");
    assert_string_equal(config.args.v[0], "b");
    assert_string_equal(config.workdir, "/w");
    assert_string_equal(get("A"), "1");
}

static void the_environment_wins_but_for_home_and_term(void **state)
{
    put("A=mine");
    put("HOME=/mine");
    put("TERM=mine");
    take_file("{\"Env\":[\"A=file\",\"HOME=/file\",\"TERM=file\"]}");
    assert_string_equal(get("A"), "mine");
    assert_string_equal(get("HOME"), "/file");
    assert_string_equal(get("TERM"), "file");
    put("KRUN_HOME=/last");
    finish_plan();
    assert_string_equal(get("HOME"), "/last");
}

static void command_and_folder_win_over_the_file(void **state)
{
    config.exec = strdup("/mine");
    config.workdir = strdup("/here");
    take_file("{\"Cmd\":[\"/file\"],\"WorkingDir\":\"/there\"}");
    finish_plan();
    assert_string_equal(config.exec, "/mine");
    assert_int_equal(config.args.count, 0);
    assert_string_equal(config.workdir, "/here");
}

static void arguments_alone_are_a_command_without_a_file(void **state)
{
    char *argv[] = {(char *)"/init.krun", (char *)"/bin/ls", (char *)"-l",
                    NULL};
    char *words[] = {NULL};
    take_kernel(argv, words);
    finish_plan();
    assert_string_equal(config.exec, "/bin/ls");
    assert_int_equal(config.args.count, 1);
    assert_null(config.args.v[1]);
}

static void the_file_wins_over_arguments_alone(void **state)
{
    char *argv[] = {(char *)"/init.krun", (char *)"x", NULL};
    char *words[] = {NULL};
    take_kernel(argv, words);
    take_file("{\"Entrypoint\":[\"/e\",\"1\"],\"cmd\":[\"2\"]}");
    finish_plan();
    assert_string_equal(config.exec, "/e");
    assert_int_equal(config.args.count, 2);
    assert_string_equal(config.args.v[1], "2");
}

static void words_of_the_kernel_end_at_two_dashes(void **state)
{
    static const char line[] = "quiet tsi_hijack_unix x -- tsi_hijack\n";
    assert_true(hk_plan_has_word(line, "quiet"));
    assert_true(hk_plan_has_word("tsi_hijack\n", "tsi_hijack"));
    assert_false(hk_plan_has_word(line, "tsi_hijack"));
    assert_false(hk_plan_has_word("", "tsi_hijack"));
}

/* ------------------------------------------------------------------ */

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken line\n"
                             "bob:x:1000:1001:Bob:/var/bob:/bin/sh\n"
                             "77:x:5:6::/seven:/bin/sh";
static const char group[] = "wheel:x:10:root,bob\n"
                            "audio:x:29:bobby\n"
                            "video:x:44:bob";

static struct hk_user user;
static const char *why;

static int find(const char *who)
{
    return hk_user_find(passwd, group, who, &user, &why);
}

static void a_name_brings_its_groups_and_home(void **state)
{
    assert_int_equal(find("bob"), 0);
    assert_int_equal(user.uid, 1000);
    assert_int_equal(user.gid, 1001);
    assert_string_equal(user.home, "/var/bob");
    assert_int_equal(user.group_count, 2);
    assert_int_equal(user.group[0], 10);
    assert_int_equal(user.group[1], 44);
}

static void a_number_is_looked_up_too(void **state)
{
    assert_int_equal(find("1000"), 0);
    assert_int_equal(user.gid, 1001);
    assert_int_equal(user.group_count, 2);
    assert_int_equal(find("4321"), 0);
    assert_int_equal(user.uid, 4321);
    assert_int_equal(user.gid, 0);
    assert_string_equal(user.home, "");
}

static void a_name_of_digits_goes_before_a_number(void **state)
{
    assert_int_equal(find("77"), 0);
    assert_int_equal(user.uid, 5);
    assert_string_equal(user.home, "/seven");
}

static void a_group_replaces_the_users_own(void **state)
{
    assert_int_equal(find("bob:audio"), 0);
    assert_int_equal(user.gid, 29);
    assert_int_equal(user.group_count, 0);
    assert_int_equal(find("3:4"), 0);
    assert_int_equal(user.gid, 4);
}

static void who_is_not_there_is_refused(void **state)
{
    assert_int_equal(find("eve"), -ENOENT);
    assert_non_null(strstr(why, "user"));
    assert_int_equal(find("bob:eves"), -ENOENT);
    assert_non_null(strstr(why, "group"));
    assert_int_equal(find(""), -ENOENT);
    assert_int_equal(find("4294967295"), -ENOENT); /* means "no id" */
}

/* ------------------------------------------------------------------ */

static void statuses_are_a_shells(void **state)
{
    assert_int_equal(hk_status_of_wait(7 << 8), 7);
    assert_int_equal(hk_status_of_wait(9), 137);
    assert_int_equal(hk_status_of_wait(11 | 128), 139); /* with a core */
    assert_int_equal(hk_status_of_exec(ENOENT), 127);
    assert_int_equal(hk_status_of_exec(EACCES), 126);
    assert_int_equal(hk_status_of_exec(ENOEXEC), 126);
}

static bool limit(const char *text, struct hk_rlimit *out)
{
    return hk_rlimit_parse(text, (unsigned)strlen(text), out);
}

static void limits_are_read_in_both_forms(void **state)
{
    struct hk_rlimit l;
    assert_true(limit("7=100:200", &l));
    assert_int_equal(l.resource, 7);
    assert_int_equal(l.soft, 100);
    assert_int_equal(l.hard, 200);
    assert_true(limit("6:1:18446744073709551615", &l));
    assert_true(l.hard == UINT64_MAX);
    assert_true(limit("6=unlimited:-1", &l));
    assert_true(l.soft == UINT64_MAX && l.hard == UINT64_MAX);
}

static void limits_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {"",        "7",
                                      "7=",      "7=1",
                                      "7=1:",    "=1:2",
                                      "7=1:2x",  "7=a:2",
                                      "7=1:2:",  "x=1:2",
                                      "-1=1:2",  "7=1 :2",
                                      "256=1:1", "7=18446744073709551616:1"};
    struct hk_rlimit l;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (limit(bad[i], &l))
            fail_msg("took \"%s\"", bad[i]);
    }
}

/* ------------------------------------------------------------------ */

static const struct hk_dhcp_ask question = {
    .kind = HK_DHCP_DISCOVER, .id = 0x01020304, .mac = {2, 0, 0, 0, 0, 1}};

/* A server's answer: the question with some fields and options replaced. */
static size_t make_answer(uint8_t *packet, const uint8_t *options, size_t len)
{
    (void)hk_dhcp_build(&question, packet);
    packet[0] = 2;
    memcpy(packet + 16, "\x0a\x00\x02\x0f", 4);
    memcpy(packet + 240, options, len);
    return 240 + len;
}

static void a_lease_is_read_from_the_answer(void **state)
{
    static const uint8_t options[] = {
        53, 1, 5, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0,  2, 2,    54,   4, 10, 0,
        2,  2, 6, 8, 1, 1,   1,   1,   8, 8, 8, 8,  26, 2, 0x05, 0x78, 0, 255};
    uint8_t packet[HK_DHCP_PACKET];
    struct hk_dhcp_lease lease;
    char text[64];
    size_t size = make_answer(packet, options, sizeof(options));
    assert_int_equal(hk_dhcp_parse(packet, size, &question, &lease),
                     HK_DHCP_ACK);
    assert_int_equal(lease.address, 0x0a00020f);
    assert_int_equal(lease.mask, 0xffffff00);
    assert_int_equal(lease.gateway, 0x0a000202);
    assert_int_equal(lease.server, 0x0a000202);
    assert_int_equal(lease.mtu, 1400);
    assert_int_equal(lease.dns_count, 2);
    int n = hk_dhcp_format(text, sizeof(text), lease.dns[1]);
    text[n] = '\0';
    assert_string_equal(text, "nameserver 8.8.8.8\n");
}

static void answers_to_others_and_cut_ones_are_none(void **state)
{
    static const uint8_t options[] = {53, 1, 2, 1, 4, 255, 255, 255, 0};
    uint8_t packet[HK_DHCP_PACKET];
    struct hk_dhcp_lease lease;
    size_t size = make_answer(packet, options, sizeof(options));
    assert_int_equal(hk_dhcp_parse(packet, size, &question, &lease),
                     HK_DHCP_OFFER);
    assert_int_equal(hk_dhcp_parse(packet, size - 1, &question, &lease), 0);
    assert_int_equal(hk_dhcp_parse(packet, 239, &question, &lease), 0);
    struct hk_dhcp_ask other = question;
    other.id++;
    assert_int_equal(hk_dhcp_parse(packet, size, &other, &lease), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(without_anything_a_shell_runs),
    CASE(a_terminal_has_a_type),
    CASE(the_kernels_words_name_command_and_arguments),
    CASE(without_the_flag_the_kernels_words_are_nothing),
    CASE(records_win_over_the_kernels_words),
    CASE(a_block_root_may_be_named_by_variables),
    CASE(the_file_gives_what_nobody_said),
    CASE(the_environment_wins_but_for_home_and_term),
    CASE(command_and_folder_win_over_the_file),
    CASE(arguments_alone_are_a_command_without_a_file),
    CASE(the_file_wins_over_arguments_alone),
    CASE(words_of_the_kernel_end_at_two_dashes),
    CASE(a_name_brings_its_groups_and_home),
    CASE(a_number_is_looked_up_too),
    CASE(a_name_of_digits_goes_before_a_number),
    CASE(a_group_replaces_the_users_own),
    CASE(who_is_not_there_is_refused),
    CASE(statuses_are_a_shells),
    CASE(limits_are_read_in_both_forms),
    CASE(limits_that_are_none_are_refused),
    CASE(a_lease_is_read_from_the_answer),
    CASE(answers_to_others_and_cut_ones_are_none),
};
HK_TEST_MAIN(cases)
