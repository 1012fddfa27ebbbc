/* virtio/fs.h behind its transport, on a directory of the host */
#include "fs_cases.h"

/* ------------------------------------------------------------------ */
/* Owners on the host: only who may give files away                   */

static void need_rights(void)
{
    if (geteuid() != 0)
        hk_skip("needs to be root");
}

static void owners_are_real_for_root(void **state)
{
    struct hk_fuse_entry_out out;

    need_rights();
    rig.c.uid = 1234;
    rig.c.gid = 4321;
    new_file(1, "f", 04751, "x", NULL);
    assert_int_equal(host_stat("share/f").st_uid, 1234);
    assert_int_equal(host_stat("share/f").st_gid, 4321);
    assert_int_equal(host_stat("share/f").st_mode, S_IFREG | 04751);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0710, &out), 0);
    assert_int_equal(host_stat("share/d").st_uid, 1234);
    assert_int_equal(host_stat("share/d").st_mode, S_IFDIR | 0710);
    assert_int_equal(fuse_symlink(&rig.c, 1, "l", "x", &out), 0);
    assert_int_equal(host_stat("share/l").st_uid, 1234);
    assert_int_equal(fuse_mknod(&rig.c, 1, "p", S_IFIFO | 0600, 0, &out), 0);
    assert_int_equal(host_stat("share/p").st_uid, 1234);
    assert_true(S_ISFIFO(host_stat("share/p").st_mode));
    assert_int_equal(fuse_chown(&rig.c, look(1, "f"), 5, 6), 0);
    assert_int_equal(host_stat("share/f").st_uid, 5);
    assert_int_equal(host_stat("share/f").st_gid, 6);
    char text[64];
    assert_true(getxattr(at("share/f"), HK_FS_OVERRIDE_XATTR, text, 64) < 0);
}

/* The guest's kernel checked who may write there, with groups we know not. */
static void the_hosts_permissions_do_not_interfere_for_root(void **state)
{
    struct hk_fuse_entry_out out;

    need_rights();
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0700, &out), 0);
    rig.c.uid = 1234;
    rig.c.gid = 4321;
    uint64_t f = new_file(out.nodeid, "f", 0, "x", NULL);
    assert_string_equal(text_of(f), "x");
    assert_int_equal(host_stat("share/d/f").st_uid, 1234);
    /* The thread is root again afterwards. */
    assert_int_equal(fuse_unlink(&rig.c, look(1, "d"), "f"), 0);
    assert_int_equal(geteuid(), 0);
}

static void devices_do_not_appear_on_the_host(void **state)
{
    struct hk_fuse_entry_out out;

    need_rights();
    int rc = fuse_mknod(&rig.c, 1, "null", S_IFCHR | 0666, 0x103, &out);
    if (rc == -HK_EPERM)
        hk_skip("no extended attributes in %s", rig.top);
    assert_int_equal(rc, 0);
    assert_int_equal(out.attr.mode, S_IFCHR | 0666);
    assert_true(S_ISREG(host_stat("share/null").st_mode));
    assert_int_equal(fuse_mknod(&rig.c, 1, "white", S_IFCHR, 0, &out), 0);
    assert_true(S_ISCHR(host_stat("share/white").st_mode));
    assert_int_equal(host_stat("share/white").st_rdev, 0);
}

static void overrides_work_for_root_too(void **state)
{
    rig.root.owners = HK_FS_OWNERS_OVERRIDE;
    rig_again();
    uint64_t f = new_file(1, "f", 0644, "x", NULL);
    if (no_xattrs(f))
        hk_skip("no extended attributes in %s", rig.top);
    assert_int_equal(fuse_chown(&rig.c, f, 99, 98), 0);
    assert_int_equal(attr_of(f).uid, 99);
    assert_int_equal(host_stat("share/f").st_uid, geteuid());
}

/* Numbers are unique across the host's file systems. */
static void other_file_systems_have_other_numbers(void **state)
{
    const struct hk_fs_root_config config = {.path = "/"};
    const struct hk_fuse_config fuse_config = {0};
    struct hk_fs_root *root;
    struct hk_fuse *fuse;
    struct fuse_client c;
    struct hk_fuse_entry_out out;

    assert_int_equal(hk_fs_root_open(&config, &root, NULL), 0);
    assert_int_equal(hk_fuse_create(root, &fuse_config, &fuse), 0);
    fuse_client_direct(&c, fuse);
    fuse_init(&c);
    assert_int_equal(fuse_lookup(&c, 1, "proc", &out), 0);
    assert_true(out.attr.ino >> 63 != 0);
    uint64_t proc = out.attr.ino;
    assert_int_equal(fuse_lookup(&c, out.nodeid, "version", &out), 0);
    assert_true(out.attr.ino >> 63 != 0);
    assert_int_not_equal(out.attr.ino, proc);
    assert_int_equal(fuse_lookup(&c, 1, "bin", &out), 0);
    assert_int_equal(out.attr.ino >> 63, 0);
    fuse_client_fini(&c);
    hk_fuse_destroy(fuse);
}

/* ------------------------------------------------------------------ */
/* The shared hostile set                                             */

static void hostile_setup(void)
{
    memset(&rig, 0, sizeof(rig));
    rig.tag = "share";
    make_tree();
    put_file("share/f", "x");
}

static void polite(struct gdrv *g)
{
    struct hk_fuse_entry_out out;

    fuse_client_gdrv(&rig.c, g);
    fuse_init(&rig.c);
    assert_int_equal(fuse_lookup(&rig.c, 1, "f", &out), 0);
    assert_int_equal(out.attr.size, 1);
    fuse_client_fini(&rig.c);
    assert_true(gdrv_take_interrupts(g, NULL) > 0);
}

static void dress(struct gdrv *g, uint32_t queue, hk_gpa_t to, uint32_t len,
                  uint32_t seed)
{
    struct hk_fuse_in_header head = {
        .len = seed % 7 == 0 ? seed : len,
        .opcode = seed % 5 == 0 ? HK_FUSE_INIT : seed >> 8 & 63,
        .nodeid = 1,
    };

    (void)queue;
    if (len >= sizeof(head))
        gdrv_store(g, to, &head, sizeof(head));
}

static struct hostile_target target = {
    .make = make_device,
    .polite = polite,
    .dress = dress,
    .setup = hostile_setup,
    .teardown = drop_tree,
};

static const struct CMUnitTest cases[] = {
    COMMON_CASES,
    CASE(owners_are_real_for_root),
    CASE(the_hosts_permissions_do_not_interfere_for_root),
    CASE(devices_do_not_appear_on_the_host),
    CASE(overrides_work_for_root_too),
    CASE(other_file_systems_have_other_numbers),
    HOSTILE_CASES(&target),
};
HK_TEST_MAIN(cases)
