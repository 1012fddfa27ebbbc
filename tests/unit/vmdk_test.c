/* disk/vmdk.c and its parts: hand-made images in memory, and images of
 * qemu-img where it is installed */
#include "disk_fakes.h"
#include "hk_test.h"

#include "base/endian.h"

enum { SECTOR = 512, GRAIN = 8 * SECTOR, SIZE = 3 << 20 };

static struct mem_store store, extent;
static bool extent_is_there;

static int open_named(void *opaque, const char *name,
                      enum hk_disk_format format, struct hk_disk **out,
                      struct hk_errmsg *err)
{
    if (!extent_is_there || strcmp(name, "e.vmdk") != 0)
        return hk_err_set(err, -HK_ENOENT, "%s: not there", name);
    assert_int_equal(format, HK_DISK_RAW);
    *out = mem_disk_create(&extent, MEM_READ_ONLY);
    return 0;
}

static const struct hk_disk_opener opener = {open_named, NULL};

static int setup(void **state)
{
    mem_store_init(&store, 0);
    mem_store_init(&extent, 0);
    extent_is_there = true;
    return 0;
}

static int teardown(void **state)
{
    mem_store_fini(&store);
    mem_store_fini(&extent);
    return 0;
}

static struct hk_disk *must_open(void)
{
    struct hk_disk *disk = NULL;
    struct hk_errmsg err = {{0}};
    if (hk_vmdk_open(mem_disk_create(&store, MEM_READ_ONLY), &opener, &disk,
                     &err) != 0)
        fail_msg("%s", err.text);
    return disk;
}

static void refuse(int code, const char *words)
{
    struct hk_disk *disk = NULL;
    struct hk_errmsg err = {{0}};
    assert_int_equal(hk_vmdk_open(mem_disk_create(&store, MEM_READ_ONLY),
                                  &opener, &disk, &err),
                     code);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void put_text(const char *text)
{
    store.size = 0;
    mem_store_put(&store, 0, text, strlen(text));
}

static void put32(struct mem_store *to, uint64_t at, uint32_t value)
{
    uint8_t bytes[4];
    hk_put_le32(bytes, value);
    mem_store_put(to, at, bytes, 4);
}

static void put64(struct mem_store *to, uint64_t at, uint64_t value)
{
    uint8_t bytes[8];
    hk_put_le64(bytes, value);
    mem_store_put(to, at, bytes, 8);
}

/* 20 grains: 1 and 3 have data, 2 is a zero grain, the others are holes. */
static void put_sparse(struct mem_store *to)
{
    uint8_t bytes[GRAIN];
    to->size = 0;
    memset(to->bytes, 0, to->room);
    put32(to, 0, 0x564d444b);
    put32(to, 4, 1);
    put32(to, 8, 4);
    put64(to, 12, 20 * GRAIN / SECTOR);
    put64(to, 20, GRAIN / SECTOR);
    put32(to, 44, 512);
    put64(to, 56, 1); /* directory */
    put32(to, SECTOR, 2);
    put32(to, 2 * SECTOR + 4, 8);
    put32(to, 2 * SECTOR + 8, 1);
    put32(to, 2 * SECTOR + 12, 16);
    memset(bytes, 'a', sizeof(bytes));
    mem_store_put(to, 8 * SECTOR, bytes, sizeof(bytes));
    memset(bytes, 'b', sizeof(bytes));
    mem_store_put(to, 16 * SECTOR, bytes, sizeof(bytes));
}

static void a_sparse_image_is_read(void **state)
{
    uint8_t bytes[5 * GRAIN];
    put_sparse(&store);
    struct hk_disk *disk = must_open();
    assert_int_equal(hk_disk_size(disk), 20 * GRAIN);
    assert_true(disk->info.read_only);
    assert_int_equal(hk_disk_write(disk, "x", 1, 0), -HK_EROFS);
    assert_int_equal(hk_disk_flush(disk), 0);
    memset(bytes, 1, sizeof(bytes));
    assert_int_equal(hk_disk_read(disk, bytes + 3, sizeof(bytes) - 3, 3), 0);
    for (size_t i = 3; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], "\0a\0b\0"[i / GRAIN]);
    hk_disk_close(disk);
}

static void damaged_sparse_images_are_refused(void **state)
{
    static const struct {
        uint64_t at;
        uint32_t value;
        int code;
        const char *words;
    } bad[] = {
        {0, 1, -HK_EBADMSG, "not a VMDK image"},
        {4, 4, -HK_ENOTSUP, "version 4"},
        {4, 0, -HK_ENOTSUP, "version 0"},
        {20, 0, -HK_EBADMSG, "grains"},
        {20, 3, -HK_EBADMSG, "grains"},
        {20, 0x10000, -HK_EBADMSG, "grains"},
        {44, 0, -HK_EBADMSG, "tables"},
        {44, 513, -HK_EBADMSG, "tables"},
        {16, 0x7fffffff, -HK_EBADMSG, "impossible size"},
        {16, 0x10000, -HK_EBADMSG, "directory"},
        {60, 0x7fffffff, -HK_EBADMSG, "directory"},
        {56, 24, -HK_EBADMSG, "directory"},
        {8, 1 << 16, -HK_ENOTSUP, "compression"},
        {36, 0x10000000, -HK_EBADMSG, "descriptor"},
        {36, 2000, -HK_EBADMSG, "descriptor"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_sparse(&store);
        put32(&store, bad[i].at, bad[i].value);
        refuse(bad[i].code, bad[i].words);
    }
    put_sparse(&store);
    put64(&store, 56, UINT64_MAX); /* says its directory is at the end */
    refuse(-HK_EBADMSG, "not a VMDK image");
}

static void tables_and_grains_outside_the_file_fail_reads(void **state)
{
    uint8_t bytes[SECTOR];
    put_sparse(&store);
    put32(&store, 2 * SECTOR + 4, 0x7fffffff);
    struct hk_disk *disk = must_open();
    assert_int_equal(hk_disk_read(disk, bytes, SECTOR, GRAIN), -HK_EIO);
    assert_int_equal(hk_disk_read(disk, bytes, SECTOR, 3 * GRAIN), 0);
    hk_disk_close(disk);
    put_sparse(&store);
    put32(&store, SECTOR, 0x7fffffff);
    disk = must_open();
    assert_int_equal(hk_disk_read(disk, bytes, SECTOR, 3 * GRAIN), -HK_EIO);
    hk_disk_close(disk);
}

static void a_descriptor_lists_extents_of_every_kind(void **state)
{
    uint8_t bytes[20];
    put_text("# Disk DescriptorFile\nversion=1\r\nparentCID=ffffffff\n"
             "createType=\"twoGbMaxExtentFlat\"\n"
             "RW 4 ZERO\nRW 2 FLAT \"e.vmdk\" 1\nRDONLY 1 ZERO\n"
             "RW 3 FLAT \"e.vmdk\" 0\n");
    for (int i = 0; i < 3 * SECTOR; i++) {
        uint8_t byte = (uint8_t)(1 + i / SECTOR);
        mem_store_put(&extent, (uint64_t)i, &byte, 1);
    }
    struct hk_disk *disk = must_open();
    assert_int_equal(hk_disk_size(disk), 10 * SECTOR);
    for (uint64_t i = 0; i < 10; i++) {
        size_t len = i < 9 ? 20 : 10;
        assert_int_equal(hk_disk_read(disk, bytes, len, (i + 1) * SECTOR - 10),
                         0);
        assert_int_equal(bytes[9], "\0\0\0\0\2\3\0\1\2\3"[i]);
        if (i < 9)
            assert_int_equal(bytes[10], "\0\0\0\0\2\3\0\1\2\3"[i + 1]);
    }
    hk_disk_close(disk);
}

static void a_descriptor_may_name_sparse_extents(void **state)
{
    uint8_t byte;
    put_sparse(&extent);
    put_text("# Disk DescriptorFile\ncreateType=\"twoGbMaxExtentSparse\"\n"
             "RW 8 ZERO\nRW 160 SPARSE \"e.vmdk\"\n");
    struct hk_disk *disk = must_open();
    assert_int_equal(hk_disk_read(disk, &byte, 1, 2 * GRAIN), 0);
    assert_int_equal(byte, 'a');
    hk_disk_close(disk);
    put_text("# Disk DescriptorFile\ncreateType=\"twoGbMaxExtentSparse\"\n"
             "RW 161 SPARSE \"e.vmdk\"\n");
    refuse(-HK_EBADMSG, "too short");
}

static void other_descriptors_are_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *words;
    } bad[] = {
        {"parentCID=12345678\n", -HK_ENOTSUP, "difference"},
        {"createType=\"vmfsSparse\"\n", -HK_ENOTSUP, "vmfsSparse"},
        {"createType = \"fullDevice\"\n", -HK_ENOTSUP, "fullDevice"},
        {"RW 1 VMFS \"x\" 0\n", -HK_ENOTSUP, "VMFS"},
        {"RW 0 ZERO\n", -HK_EBADMSG, "no sense"},
        {"RW x ZERO\n", -HK_EBADMSG, "no sense"},
        {"RW -1 ZERO\n", -HK_EBADMSG, "no sense"},
        {"RW 18014398509481984 ZERO\n", -HK_EBADMSG, "no sense"},
        {"RW 1 FLAT x 0\n", -HK_EBADMSG, "no sense"},
        {"RW 1 FLAT \"x\n", -HK_EBADMSG, "no sense"},
        {"RW 1 FLAT \"\" 0\n", -HK_EBADMSG, "no sense"},
        {"RW 1 FLAT \"x\"\n", -HK_EBADMSG, "no sense"},
        {"RW 1 FLAT \"x\" 0\n", -HK_ENOENT, "extent: x: not there"},
        {"RW 9 FLAT \"e.vmdk\" 0\n", -HK_EBADMSG, "too short"},
        {"RW 1 FLAT \"e.vmdk\" 9007199254740991\n", -HK_EBADMSG, "too short"},
        {"RW 18014398509481983 ZERO\nRW 18014398509481983 ZERO\n", -HK_EBADMSG,
         "impossibly large"},
        {"", -HK_EBADMSG, "no extent"},
    };
    char text[512];
    uint8_t bytes[8 * SECTOR] = {0};
    mem_store_put(&extent, 0, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "# Disk DescriptorFile\n%s", bad[i].text);
        put_text(text);
        refuse(bad[i].code, bad[i].words);
    }
    snprintf(text, sizeof(text), "# Disk DescriptorFile");
    put_text(text);
    char *line = calloc(1, 4000);
    assert_non_null(line);
    memset(line, 'y', 3000);
    mem_store_put(&store, 21, line, 3000);
    refuse(-HK_EBADMSG, "too long");
    free(line);
}

static void other_files_are_refused(void **state)
{
    put_text("hello, this is no image");
    refuse(-HK_EBADMSG, "not a VMDK image");
    put_text("x");
    refuse(-HK_EBADMSG, "not a VMDK image");
}

static void writing_is_refused_with_a_way_out(void **state)
{
    struct hk_disk *disk = NULL;
    struct hk_errmsg err = {{0}};
    put_sparse(&store);
    assert_int_equal(
        hk_vmdk_open(mem_disk_create(&store, 0), &opener, &disk, &err),
        -HK_EROFS);
    assert_non_null(strstr(err.text, "qemu-img convert"));
}

static void a_failing_store_is_told(void **state)
{
    uint8_t bytes[SECTOR];
    for (unsigned nth = 1; nth < 12; nth++) {
        struct fault_plan plan = {.nth = nth};
        struct hk_disk *disk = NULL;
        struct hk_errmsg err = {{0}};
        put_sparse(&store);
        int rc = hk_vmdk_open(
            fault_disk_create(mem_disk_create(&store, MEM_READ_ONLY), &plan),
            &opener, &disk, &err);
        if (rc < 0) {
            assert_true(err.text[0] != '\0');
            continue;
        }
        rc = hk_disk_read(disk, bytes, SECTOR, GRAIN);
        assert_int_equal(rc, plan.seen >= nth ? -HK_EIO : 0);
        plan.nth = 0;
        assert_int_equal(hk_disk_read(disk, bytes, SECTOR, GRAIN), 0);
        assert_int_equal(bytes[0], 'a');
        hk_disk_close(disk);
        if (rc == 0)
            return;
    }
    fail_msg("reading never succeeds");
}

/* ------------------------------------------------------------------ */

static const char base[] = "vmdk_test.tmp.raw";
static const char image[] = "vmdk_test.tmp.vmdk";

static void images_of_qemu_img_are_read(void **state)
{
    static const char *const kinds[] = {
        "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
        "twoGbMaxExtentFlat", "streamOptimized"};
    static uint8_t want[SIZE], got[SIZE];
    uint32_t random = 1;
    if (system("qemu-img --version >/dev/null 2>&1") != 0)
        hk_skip("qemu-img is not installed (package qemu-utils)");
    for (size_t i = 0; i < SIZE; i++)
        want[i] = (uint8_t)test_random(&random);
    memset(want + SIZE / 4, 0, SIZE / 4);
    memset(want + SIZE / 2, 'x', SIZE / 4);
    FILE *file = fopen(base, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(want, 1, SIZE, file), SIZE);
    assert_int_equal(fclose(file), 0);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char command[256];
        struct hk_disk_config config = {
            .path = image, .format = HK_DISK_VMDK, .read_only = true};
        struct hk_errmsg err = {{0}};
        struct hk_disk *disk = NULL;
        snprintf(command, sizeof(command),
                 "rm -f vmdk_test.tmp*.vmdk; "
                 "qemu-img convert -f raw -O vmdk -o subformat=%s %s %s",
                 kinds[i], base, image);
        assert_int_equal(system(command), 0);
        if (hk_disk_open(&config, &disk, &err) != 0)
            fail_msg("%s: %s", kinds[i], err.text);
        assert_int_equal(hk_disk_size(disk), SIZE);
        assert_int_equal(hk_disk_read(disk, got, SIZE, 0), 0);
        assert_memory_equal(got, want, SIZE);
        for (uint64_t at = 777; at < SIZE - 100000; at += 98765) {
            assert_int_equal(hk_disk_read(disk, got, 70000, at), 0);
            assert_memory_equal(got, want + at, 70000);
        }
        hk_disk_close(disk);
    }
}

static int remove_files(void **state)
{
    (void)!system("rm -f vmdk_test.tmp*");
    return teardown(state);
}

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(a_sparse_image_is_read),
    CASE(damaged_sparse_images_are_refused),
    CASE(tables_and_grains_outside_the_file_fail_reads),
    CASE(a_descriptor_lists_extents_of_every_kind),
    CASE(a_descriptor_may_name_sparse_extents),
    CASE(other_descriptors_are_refused),
    CASE(other_files_are_refused),
    CASE(writing_is_refused_with_a_way_out),
    CASE(a_failing_store_is_told),
    cmocka_unit_test_setup_teardown(images_of_qemu_img_are_read, setup,
                                    remove_files),
};
HK_TEST_MAIN(cases)
