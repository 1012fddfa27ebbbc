/*
 * husk.h: shares, volumes, disks and the root, as far as they are only noted.
 */
#include "hk_test.h"

#include "api/husk_int.h"

static struct husk_vm *vm;

static int make_vm(void **state)
{
    (void)state;
    return husk_vm_create(&vm);
}

static int drop_vm(void **state)
{
    (void)state;
    husk_vm_destroy(vm);
    return 0;
}

/* The call failed with the code and said a sentence that has the word. */
static void refused(int rc, int code, const char *word)
{
    const char *said = husk_vm_error(vm);
    assert_int_equal(rc, code);
    if (strstr(said, word) == NULL)
        fail_msg("'%s' does not speak of '%s'", said, word);
    assert_null(strchr(said, '\n'));
}

static void a_root_is_a_share_with_its_tag(void **state)
{
    (void)state;
    char path[] = "/srv/root";
    assert_int_equal(husk_vm_set_root(vm, path, HUSK_SHARE_READ_ONLY), 0);
    path[1] = 'x'; /* it was copied */
    assert_int_equal(vm->parts.root.kind, HK_VM_ROOT_SHARE);
    assert_true(vm->parts.root.read_only);
    assert_int_equal(vm->parts.share_count, 1);
    assert_string_equal(vm->parts.shares[0].tag, "/dev/root");
    assert_string_equal(vm->parts.shares[0].host_path, "/srv/root");
    assert_true(vm->parts.shares[0].read_only);
}

static void a_second_root_replaces_the_first(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_set_root(vm, "/a", HUSK_SHARE_READ_ONLY), 0);
    assert_int_equal(husk_vm_set_root(vm, "/b", 0), 0);
    assert_int_equal(vm->parts.share_count, 1);
    assert_string_equal(vm->parts.shares[0].host_path, "/b");
    assert_false(vm->parts.shares[0].read_only);
    assert_false(vm->parts.root.read_only);
}

static void no_root_takes_the_root_back(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_add_share(vm, "one", "/1", 0), 0);
    assert_int_equal(husk_vm_set_root(vm, "/a", 0), 0);
    assert_int_equal(husk_vm_add_share(vm, "two", "/2", 0), 2);
    assert_int_equal(husk_vm_set_root(vm, NULL, 0), 0);
    assert_int_equal(vm->parts.root.kind, HK_VM_ROOT_NONE);
    assert_int_equal(vm->parts.share_count, 2);
    assert_string_equal(vm->parts.shares[0].tag, "one");
    assert_string_equal(vm->parts.shares[1].tag, "two");
    assert_int_equal(husk_vm_set_root(vm, NULL, 0), 0);
}

static void a_share_with_the_tag_of_the_root_is_the_root(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_add_share(vm, "/dev/root", NULL, 0), 0);
    assert_int_equal(vm->parts.root.kind, HK_VM_ROOT_SHARE);
    refused(husk_vm_add_share(vm, "/dev/root", "/x", 0), -17, "/dev/root");
}

static void a_bad_root_leaves_the_old_one(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_set_root(vm, "/a", 0), 0);
    refused(husk_vm_set_root(vm, "", 0), -22, "empty");
    refused(husk_vm_set_root(vm, "/b", 8), -22, "0x8");
    assert_string_equal(vm->parts.shares[0].host_path, "/a");
}

static void tags_are_checked(void **state)
{
    (void)state;
    refused(husk_vm_add_share(vm, NULL, "/x", 0), -22, "not 0");
    refused(husk_vm_add_share(vm, "", "/x", 0), -22, "not 0");
    refused(
        husk_vm_add_share(vm, "0123456789012345678901234567890123456", "/", 0),
        -22, "not 37");
    refused(husk_vm_add_share(vm, "husk-vol0", "/x", 0), -22, "Husk's own");
    refused(husk_vm_add_share(vm, "t", "", 0), -22, "empty");
    refused(husk_vm_add_share(vm, "t", "/x", 2), -22, "0x2");
    assert_int_equal(
        husk_vm_add_share(vm, "012345678901234567890123456789012345", "/", 0),
        0);
    assert_int_equal(vm->parts.share_count, 1);
}

static void there_is_an_end_to_shares(void **state)
{
    (void)state;
    for (int i = 0; i < HK_VM_SHARES_MAX; i++) {
        char tag[8];
        (void)snprintf(tag, sizeof(tag), "t%d", i);
        assert_int_equal(husk_vm_add_share(vm, tag, "/x", 0), i);
    }
    refused(husk_vm_add_share(vm, "more", "/x", 0), -22, "at most");
}

static void volumes_get_tags_of_their_own(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_set_root(vm, "/r", 0), 0);
    assert_int_equal(husk_vm_add_volume(vm, "/h", "/g", 0), 0);
    assert_int_equal(
        husk_vm_add_volume(vm, "rel", "/g/2", HUSK_SHARE_READ_ONLY), 0);
    assert_string_equal(vm->parts.shares[1].tag, "husk-vol0");
    assert_string_equal(vm->parts.shares[1].guest_path, "/g");
    assert_string_equal(vm->parts.shares[2].tag, "husk-vol1");
    assert_string_equal(vm->parts.shares[2].host_path, "rel");
    assert_true(vm->parts.shares[2].read_only);
}

static void volumes_are_checked(void **state)
{
    (void)state;
    refused(husk_vm_add_volume(vm, "/h", "g", 0), -22, "absolute");
    refused(husk_vm_add_volume(vm, "/h", NULL, 0), -22, "absolute");
    refused(husk_vm_add_volume(vm, "/h", "/a/../b", 0), -22, "'..'");
    refused(husk_vm_add_volume(vm, "/h", "/..", 0), -22, "'..'");
    refused(husk_vm_add_volume(vm, "/h", "//", 0), -22, "root");
    refused(husk_vm_add_volume(vm, "", "/g", 0), -22, "host path");
    refused(husk_vm_add_volume(vm, NULL, "/g", 0), -22, "host path");
    assert_int_equal(husk_vm_add_volume(vm, "/h", "/..g/a..", 0), 0);
    refused(husk_vm_add_volume(vm, "/i", "/..g/a..", 0), -22, "two volumes");
    assert_int_equal(vm->parts.share_count, 1);
}

static void files_in_memory_have_a_place(void **state)
{
    (void)state;
    static const char data[] = "data";
    assert_int_equal(husk_vm_add_share(vm, "t", NULL, 0), 0);
    assert_int_equal(husk_vm_add_share_dir(vm, "t", "d", 0755), 0);
    assert_int_equal(
        husk_vm_add_share_file(vm, "t", "d/f", data, sizeof(data), 0644, 1), 0);
    const struct hk_vm_share *share = &vm->parts.shares[0];
    assert_int_equal(share->file_count, 2);
    assert_true(share->files[0].is_dir);
    assert_string_equal(share->files[1].path, "d/f");
    assert_ptr_equal(share->files[1].data, data); /* not copied */
    assert_int_equal(share->files[1].size, sizeof(data));
    assert_true(share->files[1].one_shot);
}

static void files_without_a_place_are_refused(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_add_share(vm, "t", NULL, 0), 0);
    assert_int_equal(husk_vm_add_share_file(vm, "t", "f", "", 0, 0644, 0), 0);
    refused(husk_vm_add_share_file(vm, "u", "f", "", 0, 0, 0), -2, "'u'");
    refused(husk_vm_add_share_file(vm, NULL, "f", "", 0, 0, 0), -2, "share");
    refused(husk_vm_add_share_file(vm, "t", "d/f", "", 0, 0, 0), -2, "d/f");
    refused(husk_vm_add_share_file(vm, "t", "f/f", "", 0, 0, 0), -20, "f/f");
    refused(husk_vm_add_share_file(vm, "t", "f", "", 0, 0, 0), -17, "'f'");
    refused(husk_vm_add_share_dir(vm, "t", "f", 0), -17, "'f'");
    refused(husk_vm_add_share_file(vm, "t", "g", NULL, 1, 0, 0), -22, "data");
    refused(husk_vm_add_share_file(vm, "t", "g", "", 0, 010000, 0), -22,
            "mode");
    static const char *const paths[] = {NULL,   "",  "/f",   "f/", "a//b",
                                        "../f", ".", "a/..", "./f"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        refused(husk_vm_add_share_dir(vm, "t", paths[i], 0755), -22, "path");
    assert_int_equal(vm->parts.shares[0].file_count, 1);
}

static void disks_are_noted_in_order(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_add_disk(vm, NULL, "a.img", HUSK_DISK_RAW,
                                      HUSK_SYNC_FULL, HUSK_DISK_READ_ONLY),
                     0);
    assert_int_equal(husk_vm_add_disk(vm, "id", "b.img", HUSK_DISK_QCOW2,
                                      HUSK_SYNC_NONE, HUSK_DISK_DIRECT),
                     0);
    assert_int_equal(vm->parts.disk_count, 2);
    assert_string_equal(vm->parts.disks[0].path, "a.img");
    assert_null(vm->parts.disks[0].id);
    assert_true(vm->parts.disks[0].read_only);
    assert_false(vm->parts.disks[0].direct);
    assert_string_equal(vm->parts.disks[1].id, "id");
    assert_int_equal(vm->parts.disks[1].format, HUSK_DISK_QCOW2);
    assert_int_equal(vm->parts.disks[1].sync, HUSK_SYNC_NONE);
    assert_true(vm->parts.disks[1].direct);
}

static void disks_are_checked(void **state)
{
    (void)state;
    refused(husk_vm_add_disk(vm, NULL, "", 0, 0, 0), -22, "empty");
    refused(husk_vm_add_disk(vm, NULL, NULL, 0, 0, 0), -22, "empty");
    refused(husk_vm_add_disk(vm, NULL, "d", 3, 0, 0), -22, "format");
    refused(husk_vm_add_disk(vm, NULL, "d", -1, 0, 0), -22, "format");
    refused(husk_vm_add_disk(vm, NULL, "d", 0, 3, 0), -22, "flush");
    refused(husk_vm_add_disk(vm, NULL, "d", 0, 0, 4), -22, "0x4");
    assert_int_equal(vm->parts.disk_count, 0);
}

static void a_root_disk_is_a_device_of_the_guest(void **state)
{
    (void)state;
    assert_int_equal(husk_vm_set_root(vm, "/r", 0), 0);
    assert_int_equal(husk_vm_set_root_disk(vm, "/dev/vda", "ext4", "noatime",
                                           HUSK_SHARE_READ_ONLY),
                     0);
    assert_int_equal(vm->parts.root.kind, HK_VM_ROOT_DISK);
    assert_true(vm->parts.root.read_only);
    assert_string_equal(vm->parts.root.device, "/dev/vda");
    refused(husk_vm_set_root_disk(vm, "vda", NULL, NULL, 0), -22, "absolute");
    assert_string_equal(vm->parts.root.type, "ext4");
    assert_int_equal(husk_vm_set_root_disk(vm, "/dev/vdb", NULL, NULL, 0), 0);
    assert_null(vm->parts.root.type);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_vm, drop_vm)

static const struct CMUnitTest cases[] = {
    CASE(a_root_is_a_share_with_its_tag),
    CASE(a_second_root_replaces_the_first),
    CASE(no_root_takes_the_root_back),
    CASE(a_share_with_the_tag_of_the_root_is_the_root),
    CASE(a_bad_root_leaves_the_old_one),
    CASE(tags_are_checked),
    CASE(there_is_an_end_to_shares),
    CASE(volumes_get_tags_of_their_own),
    CASE(volumes_are_checked),
    CASE(files_in_memory_have_a_place),
    CASE(files_without_a_place_are_refused),
    CASE(disks_are_noted_in_order),
    CASE(disks_are_checked),
    CASE(a_root_disk_is_a_device_of_the_guest),
};
HK_TEST_MAIN(cases)
