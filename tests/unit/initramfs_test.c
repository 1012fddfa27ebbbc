/* The archive that is a guest's first file system, read back by libarchive. */
#include "hk_test.h"

#include "guest/init_image.h"
#include "guest/initramfs.h"

#include <archive.h>
#include <archive_entry.h>

static struct hk_initramfs made;
static uint8_t *data;
static size_t len;
static struct archive *reader;
static struct archive_entry *entry;

static int start(void **state)
{
    hk_initramfs_init(&made);
    reader = archive_read_new();
    archive_read_support_format_cpio(reader);
    return 0;
}

static int finish(void **state)
{
    archive_read_free(reader);
    hk_initramfs_fini(&made);
    free(data);
    data = NULL;
    return 0;
}

static void open_it(void)
{
    assert_int_equal(hk_initramfs_take(&made, &data, &len, NULL), 0);
    assert_int_equal(len % 4, 0);
    assert_int_equal(archive_read_open_memory(reader, data, len), ARCHIVE_OK);
}

static void next(const char *path)
{
    assert_int_equal(archive_read_next_header(reader, &entry), ARCHIVE_OK);
    assert_string_equal(archive_entry_pathname(entry), path);
}

static void files_of_any_length_come_back(void **state)
{
    static const char text[] = "abcdefgh";
    char name[16], got[16];
    for (unsigned i = 0; i <= 8; i++) {
        snprintf(name, sizeof(name), "f%.*s", (int)i, text);
        hk_initramfs_add_file(&made, name, 0640, text, i);
    }
    open_it();
    for (unsigned i = 0; i <= 8; i++) {
        snprintf(name, sizeof(name), "f%.*s", (int)i, text);
        next(name);
        assert_int_equal(archive_entry_mode(entry), 0100640);
        assert_int_equal(archive_read_data(reader, got, sizeof(got)), i);
        assert_memory_equal(got, text, i);
    }
    assert_int_equal(archive_read_next_header(reader, &entry), ARCHIVE_EOF);
}

static void a_guest_starts_with_init_and_a_console(void **state)
{
    hk_initramfs_add_base(&made);
    open_it();
    bool console = false, init = false;
    while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
        const char *path = archive_entry_pathname(entry);
        if (strcmp(path, "dev/console") == 0) {
            console = true;
            assert_int_equal(archive_entry_filetype(entry), AE_IFCHR);
            assert_int_equal(archive_entry_rdevmajor(entry), 5);
            assert_int_equal(archive_entry_rdevminor(entry), 1);
        } else if (strcmp(path, "init") == 0) {
            init = true;
            assert_int_equal(archive_entry_size(entry), hk_init_image_size);
            assert_int_equal(archive_entry_perm(entry), 0755);
        }
    }
    assert_true(console && init);
}

static void init_is_a_small_program_that_needs_nothing(void **state)
{
    assert_memory_equal(hk_init_image,
                        "\x7f"
                        "ELF\x02\x01",
                        6);
    assert_true(hk_init_image_size < 96 * 1024);
    /* no interpreter: nothing of the root is needed to start it */
    for (size_t i = 0; i + 8 < hk_init_image_size; i++)
        assert_int_not_equal(memcmp(hk_init_image + i, "/lib/ld-", 8), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(files_of_any_length_come_back),
    CASE(a_guest_starts_with_init_and_a_console),
    CASE(init_is_a_small_program_that_needs_nothing),
};
HK_TEST_MAIN(cases)
