/* File sharing by an ordinary user: when started by root, gives up root */
#include "fs_cases.h"

#include <grp.h>

enum { NOBODY = 65534 };

static uint64_t plain_file(const char *name, uint32_t mode)
{
    uint64_t f = new_file(1, name, mode, "x", NULL);

    if (no_xattrs(f))
        hk_skip("no extended attributes in %s", rig.top);
    (void)fuse_removexattr(&rig.c, f, "user.probe");
    return f;
}

static bool has_record(const char *path, char *text)
{
    ssize_t len = getxattr(at(path), HK_FS_OVERRIDE_XATTR, text, 64);

    if (len >= 0)
        text[len] = '\0';
    return len >= 0;
}

static void the_vms_user_is_the_guests_root(void **state)
{
    put_file("share/f", "x");
    assert_int_equal(attr_of(1).uid, 0);
    assert_int_equal(attr_of(1).gid, 0);
    assert_int_equal(attr_of(look(1, "f")).uid, 0);
    assert_int_equal(symlink("f", at("share/l")), 0);
    assert_int_equal(attr_of(look(1, "l")).uid, 0);
}

static void an_ordinary_file_of_root_needs_no_record(void **state)
{
    char text[65];
    uint64_t f = plain_file("f", 0644);

    assert_false(has_record("share/f", text));
    assert_int_equal(fuse_chown(&rig.c, f, 12, 34), 0);
    assert_true(has_record("share/f", text));
    assert_string_equal(text, "12:34:0644");
    assert_int_equal(fuse_chown(&rig.c, f, 0, 0), 0);
    assert_false(has_record("share/f", text));
}

static void set_id_bits_are_never_on_the_host(void **state)
{
    uint64_t f = plain_file("f", 04755);
    struct hk_fuse_entry_out out;

    assert_int_equal(attr_of(f).mode, S_IFREG | 04755);
    assert_int_equal(host_stat("share/f").st_mode, S_IFREG | 0755);
    assert_int_equal(fuse_chmod(&rig.c, f, 07777), 0);
    assert_int_equal(host_stat("share/f").st_mode, S_IFREG | 0777);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 01777, &out), 0);
    assert_int_equal(host_stat("share/d").st_mode & 07000, 0);
}

static void the_user_keeps_access_on_the_host(void **state)
{
    uint64_t f = plain_file("f", 0);
    struct hk_fuse_entry_out out;

    assert_int_equal(attr_of(f).mode, S_IFREG);
    assert_int_equal(host_stat("share/f").st_mode, S_IFREG | 0600);
    assert_string_equal(text_of(f), "x");
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0500, &out), 0);
    assert_int_equal(out.attr.mode, S_IFDIR | 0500);
    new_file(out.nodeid, "inside", 0400, "y", NULL);
    assert_string_equal(get_file("share/d/inside"), "y");
}

/* As root in the guest may, whatever the mode says. */
static void files_that_were_read_only_before_can_be_changed(void **state)
{
    char text[65];

    (void)plain_file("probe", 0644);
    put_file("share/f", "old");
    assert_int_equal(mkdir(at("share/d"), 0755), 0);
    put_file("share/d/f", "deep");
    assert_int_equal(chmod(at("share/f"), 0444), 0);
    assert_int_equal(chmod(at("share/d"), 0), 0);
    uint64_t f = look(1, "f"), d = look(1, "d");
    uint64_t fh = open_node(f, HK_O_RDWR | HK_O_TRUNC);
    assert_int_equal(fuse_write(&rig.c, f, fh, 0, "new", 3, 2), 3);
    assert_string_equal(get_file("share/f"), "new");
    assert_int_equal(attr_of(f).mode, S_IFREG | 0444);
    assert_true(has_record("share/f", text));
    assert_int_equal(fuse_unlink(&rig.c, d, "f"), 0);
    assert_int_equal(attr_of(d).mode, S_IFDIR);
    assert_int_equal(host_stat("share/d").st_mode, S_IFDIR | 0700);
}

static void a_read_only_share_changes_no_mode(void **state)
{
    struct hk_fuse_open_out open;

    put_file("share/f", "x");
    uint64_t f = look(1, "f");
    stop_changing();
    assert_int_equal(chmod(at("share/f"), 0), 0);
    f = look(1, "f");
    assert_int_equal(fuse_open(&rig.c, f, 0, &open), -HK_EACCES);
    assert_int_equal(host_stat("share/f").st_mode, S_IFREG);
}

static void files_of_others_stay_theirs(void **state)
{
    const struct hk_fs_root_config config = {.path = "/"};
    const struct hk_fuse_config fuse_config = {0};
    struct hk_fs_root *root;
    struct hk_fuse *fuse;
    struct fuse_client c;
    struct hk_fuse_open_out open;

    assert_int_equal(hk_fs_root_open(&config, &root, NULL), 0);
    assert_int_equal(hk_fuse_create(root, &fuse_config, &fuse), 0);
    fuse_client_direct(&c, fuse);
    fuse_init(&c);
    uint64_t passwd = fuse_walk(&c, "etc/passwd");
    assert_int_equal(fuse_open(&c, passwd, 0, &open), 0);
    assert_int_equal(fuse_open(&c, passwd, 2, &open), -HK_EACCES);
    assert_int_equal(fuse_chmod(&c, passwd, 0666), -HK_EPERM);
    assert_true(fuse_truncate(&c, passwd, 0) < 0);
    fuse_client_fini(&c);
    hk_fuse_destroy(fuse);
}

static const struct CMUnitTest cases[] = {
    COMMON_CASES,
    CASE(the_vms_user_is_the_guests_root),
    CASE(an_ordinary_file_of_root_needs_no_record),
    CASE(set_id_bits_are_never_on_the_host),
    CASE(the_user_keeps_access_on_the_host),
    CASE(files_that_were_read_only_before_can_be_changed),
    CASE(a_read_only_share_changes_no_mode),
    CASE(files_of_others_stay_theirs),
};

int main(int argc, char **argv)
{
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 ||
                           setuid(NOBODY) != 0)) {
        perror("cannot become an ordinary user");
        return 1;
    }
    return hk_test_main(argc, argv, cases, HK_COUNT(cases), NULL, NULL);
}
