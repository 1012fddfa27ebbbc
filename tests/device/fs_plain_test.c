/*
 * File sharing on a poorer host: an ordinary user, a kernel without openat2, a
 * file system without extended attributes. A seccomp filter plays all three.
 */
#include "fs_cases.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { NOBODY = 65534 };

#define REFUSE(call, error)                            \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

static bool become_poor(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        REFUSE(SYS_openat2, ENOSYS),
        REFUSE(SYS_setxattr, EOPNOTSUPP),
        REFUSE(SYS_fsetxattr, EOPNOTSUPP),
        REFUSE(SYS_getxattr, EOPNOTSUPP),
        REFUSE(SYS_lgetxattr, EOPNOTSUPP),
        REFUSE(SYS_listxattr, EOPNOTSUPP),
        REFUSE(SYS_removexattr, EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {HK_COUNT(code), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void the_host_is_poor(void **state)
{
    struct open_how how = {.flags = O_PATH};
    char text[8];

    assert_int_equal(syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)),
                     -1);
    assert_int_equal(errno, ENOSYS);
    assert_int_equal(getxattr("/", "user.x", text, 8), -1);
    assert_int_equal(errno, EOPNOTSUPP);
}

static void modes_are_the_hosts(void **state)
{
    struct hk_fuse_entry_out out;
    uint64_t f = new_file(1, "f", 0640, "x", NULL);

    assert_int_equal(attr_of(f).mode, S_IFREG | 0640);
    assert_int_equal(fuse_chmod(&rig.c, f, 04755), 0);
    /* Nobody but the VM's user may get that user's rights by it. */
    assert_int_equal(host_stat("share/f").st_mode, S_IFREG | 0755);
    assert_int_equal(fuse_chmod(&rig.c, f, 0), 0);
    assert_int_equal(host_stat("share/f").st_mode, S_IFREG | 0600);
    assert_int_equal(fuse_mkdir(&rig.c, 1, "d", 0777, &out), 0);
    assert_int_equal(out.attr.mode, S_IFDIR | 0777);
}

static void a_change_of_owner_does_nothing(void **state)
{
    uint64_t f = new_file(1, "f", 0644, "x", NULL);

    assert_int_equal(fuse_chown(&rig.c, f, 12, 34), 0);
    assert_int_equal(attr_of(f).uid, 0);
}

static void pipes_are_real_and_devices_are_refused(void **state)
{
    struct hk_fuse_entry_out out;

    assert_int_equal(fuse_mknod(&rig.c, 1, "p", S_IFIFO | 0600, 0, &out), 0);
    assert_true(S_ISFIFO(host_stat("share/p").st_mode));
    assert_int_equal(fuse_mknod(&rig.c, 1, "c", S_IFCHR | 0600, 0x103, &out),
                     -HK_EPERM);
    assert_false(host_has("share/c"));
}

static void attributes_are_not_supported(void **state)
{
    char text[8];
    uint64_t f = new_file(1, "f", 0644, "x", NULL);

    assert_int_equal(fuse_setxattr(&rig.c, f, "user.a", "x", 1, 0),
                     -HK_ENOTSUP);
    assert_int_equal(fuse_getxattr(&rig.c, f, "user.a", text, 8), -HK_ENOTSUP);
}

static const struct CMUnitTest cases[] = {
    CASE(the_host_is_poor),
    CASE(modes_are_the_hosts),
    CASE(a_change_of_owner_does_nothing),
    CASE(pipes_are_real_and_devices_are_refused),
    CASE(attributes_are_not_supported),
    CASE(row112_a_listing_equals_the_directory),
    CASE(row113_contents_are_equal_at_any_offset),
    CASE(row116_written_bytes_are_on_the_host),
    CASE(row117_make_and_remove),
    CASE(row117_an_open_file_outlives_its_name),
    CASE(row118_rename_within_and_across),
    CASE(row119_size_and_times_are_set),
    CASE(row123_links_round_trip),
    CASE(row125_hard_links_are_one_file),
    CASE(a_read_only_share_refuses_every_change),
    CASE(hostile_names_reach_nothing),
    CASE(links_to_the_outside_are_only_text),
    CASE(special_files_of_the_host_are_not_opened),
    CASE(races_with_the_host_yield_nothing),
    CASE(a_large_tree_needs_few_descriptors),
};

int main(int argc, char **argv)
{
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 ||
                           setuid(NOBODY) != 0)) {
        perror("cannot become an ordinary user");
        return 1;
    }
    if (!become_poor()) {
        printf("1..0 # SKIP no seccomp filters here\n");
        return 0;
    }
    return hk_test_main(argc, argv, cases, HK_COUNT(cases), NULL, NULL);
}
