/*
 * The archive: for each entry a header of 13 numbers as 8 hexadecimal digits
 * each after a magic number, the name with a NUL, padding to 4 bytes, the
 * contents, padding to 4 bytes; at the end an entry with a name of its own.
 * (Linux: Documentation/driver-api/early-userspace/buffer-format.rst)
 *
 * Written by hand: libarchive's writer copies block by block through a
 * callback, and the modules of a guest are megabytes on the way to every
 * start.
 */
#include "guest/initramfs.h"

#include "guest/init_image.h"

#include <stdio.h>
#include <string.h>

enum {
    MODE_DIR = 0040000,
    MODE_FILE = 0100000,
    MODE_CHAR = 0020000,
    HEADER_SIZE = 110,
};

struct entry {
    const char *path;
    unsigned mode, major, minor;
    const void *data;
    size_t len;
};

static void pad(struct hk_bytes *bytes)
{
    static const uint8_t zeros[4];
    hk_bytes_add(bytes, zeros, -bytes->len & 3);
}

static void add(struct hk_initramfs *archive, const struct entry *e)
{
    struct hk_bytes *bytes = &archive->bytes;
    char header[HEADER_SIZE + 1];
    size_t name = strlen(e->path) + 1;

    snprintf(header, sizeof(header),
             "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
             ++archive->inode, e->mode, 0u, 0u, 1u, 0u, (unsigned)e->len, 0u,
             0u, e->major, e->minor, (unsigned)name, 0u);
    hk_bytes_add(bytes, header, HEADER_SIZE);
    hk_bytes_add(bytes, e->path, name);
    pad(bytes);
    hk_bytes_add(bytes, e->data, e->len);
    pad(bytes);
}

void hk_initramfs_init(struct hk_initramfs *archive)
{
    *archive = (struct hk_initramfs){0};
}

void hk_initramfs_fini(struct hk_initramfs *archive)
{
    hk_bytes_fini(&archive->bytes);
}

void hk_initramfs_add_dir(struct hk_initramfs *archive, const char *path,
                          unsigned mode)
{
    struct entry e = {.path = path, .mode = MODE_DIR | mode};
    add(archive, &e);
}

void hk_initramfs_add_file(struct hk_initramfs *archive, const char *path,
                           unsigned mode, const void *data, size_t len)
{
    struct entry e = {
        .path = path, .mode = MODE_FILE | mode, .data = data, .len = len};
    if (len <= UINT32_MAX) {
        add(archive, &e);
        return;
    }
    hk_bytes_fini(&archive->bytes);
    archive->bytes.failed = true;
}

void hk_initramfs_add_char_device(struct hk_initramfs *archive,
                                  const char *path, unsigned mode,
                                  unsigned major, unsigned minor)
{
    struct entry e = {
        .path = path, .mode = MODE_CHAR | mode, .major = major, .minor = minor};
    add(archive, &e);
}

void hk_initramfs_add_base(struct hk_initramfs *archive)
{
    static const char *const folders[] = {"dev", "proc", "sys", "newroot",
                                          "modules"};
    for (size_t i = 0; i < HK_COUNT(folders); i++)
        hk_initramfs_add_dir(archive, folders[i], 0755);
    hk_initramfs_add_char_device(archive, "dev/console", 0600, 5, 1);
    hk_initramfs_add_char_device(archive, "dev/null", 0666, 1, 3);
    hk_initramfs_add_file(archive, "init", 0755, hk_init_image,
                          hk_init_image_size);
}

int hk_initramfs_take(struct hk_initramfs *archive, uint8_t **data, size_t *len,
                      struct hk_errmsg *err)
{
    static const struct entry trailer = {.path = "TRAILER!!!"};

    add(archive, &trailer);
    if (hk_bytes_take(&archive->bytes, data, len) == 0)
        return 0;
    return hk_err_set(err, -HK_ENOMEM,
                      "out of memory for the guest's first file system");
}
