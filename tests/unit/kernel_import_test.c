/* Kernel folders: made from packages and folders, read back, refused. */
#include "hk_test.h"

#include "guest/init_config.h"
#include "guest/initramfs.h"
#include "guest/kernel.h"
#include "guest/kernel_folder.h"
#include "guest/kernel_import.h"
#include "guest/modinfo.h"
#include "make_kernel.h"
#include "os/file.h"
#include "os/folder.h"

#include <archive.h>
#include <archive_entry.h>

enum { PATH_ROOM = 512 };

static char top[PATH_ROOM / 2];
static struct hk_errmsg err;

static int start(void **state)
{
    err.text[0] = '\0';
    return hk_os_folder_make_new("kernel_import_test-", top, sizeof(top), NULL);
}

static int finish(void **state)
{
    return hk_os_tree_remove(top, NULL);
}

static const char *in_top(const char *path)
{
    static char text[4][PATH_ROOM];
    static int turn;
    char *to = text[turn++ % 4];
    int n = snprintf(to, PATH_ROOM, "%s/%s", top, path);
    assert_in_range(n, 1, PATH_ROOM - 1);
    return to;
}

static void put_file(const char *path, const void *data, size_t len)
{
    char folder[PATH_ROOM];
    snprintf(folder, sizeof(folder), "%s", in_top(path));
    *strrchr(folder, '/') = '\0';
    assert_int_equal(hk_os_folder_make(folder, NULL), 0);
    assert_int_equal(hk_os_file_write_all(in_top(path), data, len, NULL), 0);
}

static void put_text(const char *path, const char *text)
{
    put_file(path, text, strlen(text));
}

/* A module: an ELF header, the strings of .modinfo, names of sections, three
 * section headers (none, .modinfo, names). */
static struct made make_module(const char *depends)
{
    static const char names[] = "\0.modinfo\0.shstrtab";
    char info[256];
    int len = snprintf(info, sizeof(info), "license=GPL%cdepends=%s%cx=y", 0,
                       depends, 0);
    struct made m = {.size = 64 + (size_t)len + sizeof(names) + 3 * 64};
    size_t name_at = 64 + (size_t)len, headers = name_at + sizeof(names);
    uint8_t *b = m.bytes = calloc(1, m.size);
    memcpy(b, "\177ELF\2\1\1", 7);
    hk_put_le64(b + 0x28, headers);
    hk_put_le16(b + 0x3a, 64);
    hk_put_le16(b + 0x3c, 3);
    hk_put_le16(b + 0x3e, 2);
    memcpy(b + 64, info, (size_t)len);
    memcpy(b + name_at, names, sizeof(names));
    uint8_t *s = b + headers + 64;
    hk_put_le32(s, 1);
    hk_put_le64(s + 0x18, 64);
    hk_put_le64(s + 0x20, (uint64_t)len);
    s += 64;
    hk_put_le32(s, 10);
    hk_put_le64(s + 0x18, name_at);
    hk_put_le64(s + 0x20, sizeof(names));
    return m;
}

static void put_module(const char *name, const char *depends)
{
    char path[PATH_ROOM];
    struct made m = make_module(depends);
    snprintf(path, sizeof(path), "src/lib/modules/1.2-x/kernel/%s", name);
    put_file(path, m.bytes, m.size);
    free(m.bytes);
}

static struct made tiny_kernel(void)
{
    static const struct made_segment segment = {
        .paddr = 1 << 24, .file_size = 64, .mem_size = 64, .fill = 0x90};
    return make_elf(&segment, 1, 1 << 24);
}

static void put_kernel(void)
{
    struct made kernel = tiny_kernel();
    put_file("src/boot/vmlinuz-1.2-x", kernel.bytes, kernel.size);
    free(kernel.bytes);
    put_text("src/lib/modules/1.2-x/modules.builtin",
             "kernel/drivers/block/virtio_blk.ko\nkernel/a/known-one.ko\n");
}

static int import(void)
{
    return hk_kernel_import(in_top("src"), in_top("out"), &err);
}

static int count_name(void *opaque, const char *name)
{
    ++*(int *)opaque;
    return 0;
}

/* Only what was there before: the source. */
static void nothing_is_left(void)
{
    int count = 0;
    assert_int_equal(hk_os_folder_list(top, count_name, &count, NULL), 0);
    assert_int_equal(count, 1);
}

/* ------------------------------------------------------------------ */

static void modinfo_is_found_and_hostile_files_are_refused(void **state)
{
    struct made m = make_module("a,b");
    struct hk_modinfo info;
    assert_int_equal(hk_modinfo_parse("m", m.bytes, m.size, &info, &err), 0);
    assert_string_equal(hk_modinfo_get(&info, "depends"), "a,b");
    assert_null(hk_modinfo_get(&info, "depend"));
    assert_null(hk_modinfo_get(&info, "x")); /* not ended by NUL */
    for (size_t i = 0; i < m.size; i++) {
        uint8_t *cut = malloc(i + 1);
        memcpy(cut, m.bytes, i);
        assert_int_equal(hk_modinfo_parse("m", cut, i, &info, &err),
                         -HK_ENOEXEC);
        free(cut);
    }
    for (size_t i = 0; i < m.size * 8; i++) { /* whatever comes of it */
        m.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        if (hk_modinfo_parse("m", m.bytes, m.size, &info, NULL) == 0)
            (void)hk_modinfo_get(&info, "depends");
        m.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    free(m.bytes);
}

static void a_signature_is_cut_off_once(void **state)
{
    static const char end[] = "~Module signature appended~\n";
    uint8_t file[200];
    memset(file, 7, sizeof(file));
    assert_int_equal(hk_modinfo_unsigned_size(file, sizeof(file)), 200);
    memcpy(file + sizeof(file) - 28, end, 28);
    memset(file + sizeof(file) - 32, 0, 4);
    file[sizeof(file) - 29] = 60;
    assert_int_equal(hk_modinfo_unsigned_size(file, sizeof(file)), 100);
    file[sizeof(file) - 31] = 60; /* longer than the file */
    assert_int_equal(hk_modinfo_unsigned_size(file, sizeof(file)), 200);
}

static void a_manifest_comes_back_as_it_was(void **state)
{
    static struct hk_kernel_manifest m, back;
    memset(&m, 0, sizeof(m));
    snprintf(m.release, sizeof(m.release), "6.1.0-56-cloud-amd64");
    snprintf(m.image, sizeof(m.image), "vmlinux");
    m.devices_from_cmdline = true;
    m.builtin = HK_KERNEL_MMIO | HK_KERNEL_DUMMY;
    snprintf(m.module[0].file, sizeof(m.module[0].file), "virtio_blk.ko");
    m.module[0].functions = HK_KERNEL_BLK | HK_KERNEL_NET;
    m.module_count = 1;
    char *text = hk_kernel_manifest_format(&m);
    assert_int_equal(hk_kernel_manifest_parse(text, &back, &err), 0);
    assert_memory_equal(&m, &back, sizeof(m));
    free(text);
}

static void bad_manifests_are_refused_by_line(void **state)
{
    static const char *const bad[][2] = {
        {"", "line 0"},
        {"husk-kernel 2\n", "line 1"},
        {"husk-kernel 1\nimage ../x\n", "line 2"},
        {"husk-kernel 1\nimage .x\n", "line 2"},
        {"husk-kernel 1\nimage a b\n", "line 2"},
        {"husk-kernel 1\nimage a\n", "line 2"},
        {"husk-kernel 1\nrelease r\nimage a\nmodule m.ko mmio,what\n",
         "line 4"},
        {"husk-kernel 1\nmodule a/b.ko mmio\n", "line 2"},
        {"husk-kernel 1\nbuiltin mmio  fs\n", "line 2"},
        {"husk-kernel 1\ndevices pci\n", "line 2"},
        {"husk-kernel 1\n\n", "line 2"},
    };
    static struct hk_kernel_manifest m;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(hk_kernel_manifest_parse(bad[i][0], &m, &err),
                         -HK_EBADMSG);
        if (strstr(err.text, bad[i][1]) == NULL)
            fail_msg("'%s' gives '%s'", bad[i][0], err.text);
    }
}

static void modules_come_in_the_order_of_their_needs(void **state)
{
    struct hk_kernel_folder *folder;
    put_kernel();
    put_module("virtio_mmio.ko", "virtio-ring,surprise");
    put_module("virtio-ring.ko", "");
    put_module("surprise.ko", "known_one"); /* read by a second walk */
    put_module("virtio-rng.ko", "virtio_ring");
    put_module("unrelated.ko", "nowhere");
    if (import() != 0)
        fail_msg("%s", err.text);
    assert_int_equal(hk_kernel_folder_open(in_top("out"), &folder, &err), 0);
    const struct hk_kernel_manifest *m = hk_kernel_folder_manifest(folder);
    assert_string_equal(m->release, "1.2-x");
    assert_int_equal(m->builtin, HK_KERNEL_BLK);
    assert_int_equal(m->module_count, 4);
    assert_string_equal(m->module[0].file, "virtio_ring.ko");
    assert_int_equal(m->module[0].functions, HK_KERNEL_MMIO | HK_KERNEL_RNG);
    assert_string_equal(m->module[1].file, "surprise.ko");
    assert_string_equal(m->module[2].file, "virtio_mmio.ko");
    assert_string_equal(m->module[3].file, "virtio_rng.ko");
    assert_int_equal(hk_kernel_folder_functions(folder),
                     HK_KERNEL_BLK | HK_KERNEL_MMIO | HK_KERNEL_RNG);
    assert_int_equal(hk_os_kind_of(hk_kernel_folder_image(folder)), HK_OS_FILE);
    hk_kernel_folder_close(folder);
}

static void a_guest_gets_the_modules_it_was_asked_for(void **state)
{
    struct hk_kernel_folder *folder;
    struct hk_initramfs archive;
    struct hk_init_config config;
    uint8_t *data;
    size_t len;

    put_kernel();
    put_module("virtio_mmio.ko", "virtio");
    put_module("virtio.ko", "");
    put_module("virtio_net.ko", "virtio");
    assert_int_equal(import(), 0);
    assert_int_equal(hk_kernel_folder_open(in_top("out"), &folder, &err), 0);
    hk_initramfs_init(&archive);
    hk_init_config_init(&config);
    assert_int_equal(
        hk_kernel_folder_add_modules(folder, HK_KERNEL_MMIO | HK_KERNEL_BLK,
                                     &archive, &config, &err),
        0);
    assert_int_equal(hk_init_config_take(&config, &data, &len, NULL), 0);
    static const char orders[] = "HUSKCFG1"
                                 "\1\0\0\0\x12\0\0\0/modules/virtio.ko"
                                 "\1\0\0\0\x17\0\0\0/modules/virtio_mmio.ko"
                                 "\0\0\0\0\0\0\0";
    assert_int_equal(len, sizeof(orders));
    assert_memory_equal(data, orders, len);
    free(data);
    assert_int_equal(hk_kernel_folder_add_modules(folder, HK_KERNEL_SND,
                                                  &archive, &config, &err),
                     -HK_ENOTSUP);
    assert_non_null(strstr(err.text, "cannot do snd"));
    hk_init_config_fini(&config);
    hk_initramfs_fini(&archive);
    hk_kernel_folder_close(folder);
}

static void a_kept_kernel_is_there_when_its_folder_is_gone(void **state)
{
    char name[PATH_ROOM];
    struct hk_kernel kernel;
    struct hk_initramfs archive;
    struct hk_init_config config;

    put_kernel();
    put_module("virtio_mmio.ko", "");
    assert_int_equal(import(), 0);
    assert_int_equal(hk_kernel_keep(in_top("out"), name, 4), -HK_ENAMETOOLONG);
    assert_int_equal(hk_kernel_keep(in_top("out"), name, sizeof(name)), 0);
    assert_string_equal(name, in_top("out"));
    assert_int_equal(hk_os_tree_remove(name, NULL), 0);
    assert_int_equal(hk_kernel_open(name, &kernel, &err), 0);
    assert_int_equal(kernel.kind, HK_KERNEL_FOLDER);
    hk_initramfs_init(&archive);
    hk_init_config_init(&config);
    assert_int_equal(hk_kernel_folder_add_modules(kernel.folder, HK_KERNEL_MMIO,
                                                  &archive, &config, &err),
                     0);
    uint8_t *data;
    uint64_t len;
    assert_int_equal(
        hk_os_file_read_all(kernel.path, 1 << 30, &data, &len, NULL), 0);
    free(data);
    hk_init_config_fini(&config);
    hk_initramfs_fini(&archive);
    hk_kernel_close(&kernel);
    assert_int_equal(hk_kernel_keep(in_top("other"), name, sizeof(name)),
                     -HK_ENOENT);
}

static void a_module_without_what_it_needs_is_refused(void **state)
{
    put_kernel();
    put_module("virtio_mmio.ko", "missing");
    assert_int_equal(import(), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "missing is needed"));
    nothing_is_left();
}

static void modules_in_a_ring_are_refused(void **state)
{
    put_kernel();
    put_module("virtio_mmio.ko", "virtio");
    put_module("virtio.ko", "virtio_ring");
    put_module("virtio_ring.ko", "virtio");
    assert_int_equal(import(), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "depends on itself"));
    nothing_is_left();
}

static void sources_without_one_kernel_are_refused(void **state)
{
    put_module("virtio_mmio.ko", "");
    assert_int_equal(import(), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "no boot/vmlinuz"));
    put_kernel();
    put_text("src/boot/vmlinuz-1.3", "x");
    assert_int_equal(import(), -HK_EINVAL);
    assert_non_null(strstr(err.text, "several kernels"));
    nothing_is_left();
}

static void a_broken_kernel_or_module_is_refused(void **state)
{
    put_kernel();
    put_text("src/lib/modules/1.2-x/kernel/virtio_mmio.ko", "no module");
    assert_int_equal(import(), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "virtio_mmio is no kernel module"));
    put_module("virtio_mmio.ko", "");
    put_text("src/boot/vmlinuz-1.2-x", "no kernel");
    assert_int_equal(import(), -HK_ENOEXEC);
    assert_non_null(strstr(err.text, "vmlinuz-1.2-x"));
    nothing_is_left();
}

static void an_older_kernel_folder_is_replaced_and_nothing_else(void **state)
{
    put_kernel();
    assert_int_equal(import(), 0);
    put_text("out/extra", "x");
    assert_int_equal(import(), 0);
    assert_int_equal(hk_os_kind_of(in_top("out/extra")), HK_OS_NOTHING);
    put_text("out/manifest", "mine\n");
    assert_int_equal(import(), -HK_EEXIST);
    assert_int_equal(hk_os_kind_of(in_top("out/vmlinux")), HK_OS_FILE);
}

/* ------------------------------------------------------------------ */
/* Packages                                                           */

static struct made packed; /* what the archive below writes to */

static void add_member(struct archive *a, const char *path, const void *data,
                       size_t len)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)len);
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, data, len), len);
    archive_entry_free(entry);
}

static struct made make_archive(int filter, int (*format)(struct archive *),
                                void (*fill)(struct archive *))
{
    static char room[1 << 16];
    size_t used;
    struct archive *a = archive_write_new();
    assert_int_equal(format(a), ARCHIVE_OK);
    if (filter != 0)
        assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
    archive_write_set_bytes_in_last_block(a, 1);
    assert_int_equal(archive_write_open_memory(a, room, sizeof(room), &used),
                     ARCHIVE_OK);
    fill(a);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    struct made made = {malloc(used), used};
    memcpy(made.bytes, room, used);
    return made;
}

static void fill_raw(struct archive *a)
{
    struct made m = make_module("");
    add_member(a, "module", m.bytes, m.size);
    free(m.bytes);
}

static void fill_data(struct archive *a)
{
    struct made kernel = tiny_kernel();
    struct made module =
        make_archive(ARCHIVE_FILTER_XZ, archive_write_set_format_raw, fill_raw);
    add_member(a, "./boot/vmlinuz-9", kernel.bytes, kernel.size);
    add_member(a, "./boot/config-9", "A=1\nCONFIG_B=y\n", 15);
    add_member(a, "./usr/lib/modules/9/kernel/virtio_mmio.ko.xz", module.bytes,
               module.size);
    free(kernel.bytes);
    free(module.bytes);
}

static void fill_deb(struct archive *a)
{
    add_member(a, "debian-binary", "2.0\n", 4);
    add_member(a, "data.tar.xz", packed.bytes, packed.size);
}

static void put_package(void)
{
    packed = make_archive(ARCHIVE_FILTER_XZ, archive_write_set_format_gnutar,
                          fill_data);
    struct made deb =
        make_archive(0, archive_write_set_format_ar_svr4, fill_deb);
    free(packed.bytes);
    put_file("src/k.deb", deb.bytes, deb.size);
    free(deb.bytes);
}

static void a_package_is_read_with_its_packed_modules(void **state)
{
    struct hk_kernel_folder *folder;
    put_package();
    if (hk_kernel_import(in_top("src/k.deb"), in_top("out"), &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(hk_kernel_folder_open(in_top("out"), &folder, &err), 0);
    const struct hk_kernel_manifest *m = hk_kernel_folder_manifest(folder);
    assert_int_equal(m->module_count, 1);
    assert_string_equal(m->module[0].file, "virtio_mmio.ko");
    assert_true(m->devices_from_cmdline); /* its configuration has no ACPI */
    hk_kernel_folder_close(folder);

    uint8_t *data;
    uint64_t len;
    struct made plain = make_module("");
    assert_int_equal(hk_os_file_read_all(in_top("out/modules/virtio_mmio.ko"),
                                         1 << 20, &data, &len, NULL),
                     0);
    assert_int_equal(len, plain.size);
    assert_memory_equal(data, plain.bytes, plain.size);
    free(plain.bytes);
    free(data);
}

static void a_cut_package_is_refused_at_any_length(void **state)
{
    uint8_t *data;
    uint64_t len;
    put_package();
    assert_int_equal(
        hk_os_file_read_all(in_top("src/k.deb"), 1 << 20, &data, &len, NULL),
        0);
    for (uint64_t i = 0; i < len - 1; i += 97) {
        put_file("src/k.deb", data, (size_t)i);
        assert_true(hk_kernel_import(in_top("src/k.deb"), in_top("out"), &err) <
                    0);
        assert_int_not_equal(strlen(err.text), 0);
    }
    free(data);
    nothing_is_left();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)
static const struct CMUnitTest cases[] = {
    CASE(modinfo_is_found_and_hostile_files_are_refused),
    CASE(a_signature_is_cut_off_once),
    CASE(a_manifest_comes_back_as_it_was),
    CASE(bad_manifests_are_refused_by_line),
    CASE(modules_come_in_the_order_of_their_needs),
    CASE(a_guest_gets_the_modules_it_was_asked_for),
    CASE(a_kept_kernel_is_there_when_its_folder_is_gone),
    CASE(a_module_without_what_it_needs_is_refused),
    CASE(modules_in_a_ring_are_refused),
    CASE(sources_without_one_kernel_are_refused),
    CASE(a_broken_kernel_or_module_is_refused),
    CASE(an_older_kernel_folder_is_replaced_and_nothing_else),
    CASE(a_package_is_read_with_its_packed_modules),
    CASE(a_cut_package_is_refused_at_any_length),
};
HK_TEST_MAIN(cases)
