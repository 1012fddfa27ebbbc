/*
 * From the parts of a VM to init's orders, read back by init's own reader.
 */
#include "hk_test.h"

#include "config.h"
#include "vmm/consoles.h"
#include "vmm/parts.h"
#include "vmm/workload.h"
#include "wire/init_config.h"

static struct hk_vm_parts parts;
static struct hk_streams streams;
static struct hk_config config;

static char *copies[32]; /* strings of the parts, which are not const */
static size_t copied;

static char *text(const char *constant)
{
    assert_true(copied < sizeof(copies) / sizeof(copies[0]));
    copies[copied] = strdup(constant);
    assert_non_null(copies[copied]);
    return copies[copied++];
}

static int set_up(void **state)
{
    (void)state;
    parts = (struct hk_vm_parts){.root.kind = HK_VM_ROOT_SHARE};
    streams = (struct hk_streams){0};
    config = (struct hk_config){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hk_config_fini(&config);
    while (copied > 0)
        free(copies[--copied]);
    return 0;
}

static void read_back(void)
{
    uint8_t *data = NULL;
    size_t len = 0;
    const char *why = "";
    struct hk_errmsg err = {""};
    int rc = hk_workload_make_records(&parts, &streams, &data, &len, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
    rc = hk_config_parse(data, len, &config, &why);
    free(data);
    if (rc != 0)
        fail_msg("%s", why);
}

static void a_shared_root_is_mounted_by_its_tag(void **state)
{
    (void)state;
    read_back();
    assert_true(config.has_root);
    assert_string_equal(config.root.type, "virtiofs");
    assert_string_equal(config.root.source, "/dev/root");
    assert_false(config.root.read_only);
    assert_int_equal(config.flags & HK_CFG_READ_ONLY, 0);
    assert_int_not_equal(config.flags & HK_CFG_EXIT_PORT, 0);
    assert_int_equal(config.mount_count, 0);
    assert_null(config.exec); /* init's default */
}

static void a_root_on_a_disk_is_its_device(void **state)
{
    (void)state;
    parts.root = (struct hk_vm_root){
        .kind = HK_VM_ROOT_DISK,
        .read_only = true,
        .device = text("/dev/vda"),
        .options = text("noatime"),
    };
    read_back();
    assert_string_equal(config.root.type, "auto");
    assert_string_equal(config.root.source, "/dev/vda");
    assert_string_equal(config.root.options, "noatime");
    assert_int_not_equal(config.flags & HK_CFG_READ_ONLY, 0);
    assert_int_equal(config.flags & HK_CFG_EXIT_IOCTL, 0);
}

static void volumes_are_mounted_in_order_and_shares_are_not(void **state)
{
    (void)state;
    struct hk_vm_share shares[] = {
        {.tag = text("/dev/root"), .host_path = text("/r")},
        {.tag = text("plain"), .host_path = text("/p")},
        {.tag = text("husk-vol0"), .guest_path = text("/one")},
        {.tag = text("husk-vol1"),
         .guest_path = text("/two"),
         .read_only = true},
    };
    parts.shares = shares;
    parts.share_count = 4;
    read_back();
    assert_int_equal(config.mount_count, 2);
    assert_string_equal(config.mounts[0].source, "husk-vol0");
    assert_string_equal(config.mounts[0].target, "/one");
    assert_false(config.mounts[0].read_only);
    assert_string_equal(config.mounts[1].target, "/two");
    assert_true(config.mounts[1].read_only);
}

static void the_command_arrives_as_it_is(void **state)
{
    (void)state;
    char *args[] = {text("-c"), text("a \"b\"\n"), text(""), NULL};
    char *env[] = {text("A=1"), text("B="), NULL};
    char *rlimits[] = {text("7=1:2"), NULL};
    parts.workload = (struct hk_vm_workload){
        .command = text("sh"),
        .args = args,
        .env = env,
        .workdir = text("/tmp"),
        .user = text("1:2"),
        .hostname = text("name"),
        .rlimits = rlimits,
        .flags = HK_VM_WORKLOAD_DHCP | HK_VM_WORKLOAD_PID1,
    };
    read_back();
    assert_string_equal(config.exec, "sh");
    assert_int_equal(config.args.count, 3);
    assert_string_equal(config.args.v[1], "a \"b\"\n");
    assert_string_equal(config.args.v[2], "");
    assert_int_equal(config.env.count, 2);
    assert_string_equal(config.env.v[1], "B=");
    assert_string_equal(config.workdir, "/tmp");
    assert_string_equal(config.user, "1:2");
    assert_string_equal(config.hostname, "name");
    assert_string_equal(config.rlimits.v[0], "7=1:2");
    uint32_t want = HK_CFG_DHCP | HK_CFG_PID1 | HK_CFG_WORKDIR_MUST;
    assert_int_equal(config.flags & want, want);
}

static void streams_are_announced(void **state)
{
    (void)state;
    streams = (struct hk_streams){
        .flags = HK_CFG_TTY | HK_CFG_CONTROL_PORT,
        .columns = 80,
        .rows = 24,
    };
    read_back();
    assert_int_equal(config.flags & HK_CFG_STDIO_PORTS, 0);
    assert_int_not_equal(config.flags & HK_CFG_CONTROL_PORT, 0);
    assert_string_equal(config.console, "hvc0");
    assert_int_equal(config.rows, 24);
    assert_int_equal(config.columns, 80);
}

static void too_much_is_refused_with_a_sentence(void **state)
{
    enum { MANY = 600, LONG = 2000 };
    static char big[LONG];
    static char *args[MANY + 1];
    uint8_t *data = NULL;
    size_t len = 0;
    struct hk_errmsg err = {""};
    (void)state;
    memset(big, 'x', LONG - 1);
    for (int i = 0; i < MANY; i++)
        args[i] = big;
    parts.workload.args = args;
    assert_int_equal(
        hk_workload_make_records(&parts, &streams, &data, &len, &err),
        -HK_E2BIG);
    assert_true(err.text[0] != '\0');
}

static void the_first_file_system_has_init_and_its_orders(void **state)
{
    uint8_t *data = NULL;
    size_t len = 0;
    struct hk_errmsg err = {""};
    (void)state;
    assert_int_equal(
        hk_workload_make(&parts, &streams, NULL, &data, &len, &err), 0);
    assert_memory_equal(data, "070701", 6);
    bool found = false; /* the name, padding, then the orders */
    for (size_t i = 0; i + 32 <= len && !found; i++) {
        size_t after = (i + sizeof("husk.cfg") + 3) & ~(size_t)3;
        found = memcmp(data + i, "husk.cfg", sizeof("husk.cfg")) == 0 &&
                memcmp(data + after, HK_CFG_MAGIC, 8) == 0;
    }
    assert_true(found);
    free(data);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest cases[] = {
    CASE(a_shared_root_is_mounted_by_its_tag),
    CASE(a_root_on_a_disk_is_its_device),
    CASE(volumes_are_mounted_in_order_and_shares_are_not),
    CASE(the_command_arrives_as_it_is),
    CASE(streams_are_announced),
    CASE(too_much_is_refused_with_a_sentence),
    CASE(the_first_file_system_has_init_and_its_orders),
};
HK_TEST_MAIN(cases)
