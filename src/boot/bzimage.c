/*
 * The Linux/x86 boot protocol's setup header (kernel documentation,
 * arch/x86/boot), as far as it is needed to find the packed kernel:
 *
 *   0x1f1 setup_sects       0x22c initrd_addr_max    0x248 payload_offset
 *   0x1f4 syssize           0x236 xloadflags         0x24c payload_length
 *   0x1fe boot_flag         0x238 cmdline_size
 *   0x201 header's length   0x206 version
 *   0x202 "HdrS"
 *
 * The payload starts payload_offset bytes after the setup sectors. Its last
 * four bytes are the unpacked size; a gzip stream ends so by itself, for the
 * others the kernel's build appends them.
 */
#include "boot/image_int.h"

#include "base/checked.h"
#include "base/endian.h"
#include "boot/cmdline.h"
#include "boot/unpack.h"

#include <string.h>

enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    BOOT_FLAG = 0x1fe,
    HEADER_LEN = 0x201,
    MAGIC = 0x202,
    VERSION = 0x206,
    INITRD_ADDR_MAX = 0x22c,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PAYLOAD_OFFSET = 0x248,
    PAYLOAD_LENGTH = 0x24c,

    SECTOR = 512,
    HEADER_MIN = 0x250, /* through payload_length */
    VERSION_PAYLOAD = 0x208,
    VERSION_XLOADFLAGS = 0x20c,
    XLF_KERNEL_64 = 1,
    SIZE_BYTES = 4,
    OLD_CMDLINE_MAX = 255,
};

bool hk_bzimage_is(const uint8_t *data, uint64_t size)
{
    return size >= MAGIC + 4 && memcmp(data + MAGIC, "HdrS", 4) == 0;
}

static int check_header(const char *name, const uint8_t *data, uint64_t size,
                        struct hk_errmsg *err)
{
    if (!hk_bzimage_is(data, size) || size < HEADER_MIN)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is not a bzImage, or only a piece of one", name);
    if (hk_get_le16(data + BOOT_FLAG) != 0xaa55)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is a damaged bzImage: its boot signature is "
                          "missing; copy it again",
                          name);
    uint16_t version = hk_get_le16(data + VERSION);
    if (version < VERSION_PAYLOAD)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s speaks boot protocol %u.%02u, Husk needs 2.08: "
                          "use Linux 2.6.26 or later",
                          name, version >> 8, version & 0xff);
    if (version >= VERSION_XLOADFLAGS &&
        !(hk_get_le16(data + XLOADFLAGS) & XLF_KERNEL_64))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is a 32-bit kernel; get one for x86-64", name);
    return 0;
}

/* The file must hold all that its header promises. */
static int check_length(const char *name, const uint8_t *data, uint64_t size,
                        uint64_t setup_end, struct hk_errmsg *err)
{
    uint64_t promised = setup_end + (uint64_t)hk_get_le32(data + SYSSIZE) * 16;
    uint64_t offset = hk_get_le32(data + PAYLOAD_OFFSET);
    uint64_t length = hk_get_le32(data + PAYLOAD_LENGTH);

    /* syssize counts units of 16: the last may be partly filled. */
    if (setup_end > size || promised >= size + 16)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is cut short: it has %llu bytes, its header "
                          "promises %llu; copy it again",
                          name, (unsigned long long)size,
                          (unsigned long long)promised);
    if (length <= SIZE_BYTES ||
        !hk_range_within(offset, length, size - setup_end))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is a damaged bzImage: its payload of %llu bytes "
                          "at %#llx is not inside the file; copy it again",
                          name, (unsigned long long)length,
                          (unsigned long long)(setup_end + offset));
    return 0;
}

/* What the zero page and the loader want to know later. */
static void keep_setup(const uint8_t *data, uint64_t size,
                       struct hk_image *image)
{
    uint64_t end = MAGIC + (uint64_t)data[HEADER_LEN];
    if (end < HEADER_MIN)
        end = HEADER_MIN;
    if (end > HK_IMAGE_SETUP_END)
        end = HK_IMAGE_SETUP_END;
    if (end > size)
        end = size;
    image->setup_size = (uint32_t)(end - HK_IMAGE_SETUP_AT);
    memcpy(image->setup, data + HK_IMAGE_SETUP_AT, image->setup_size);

    image->cmdline_max = hk_get_le32(data + CMDLINE_SIZE);
    if (image->cmdline_max == 0)
        image->cmdline_max = OLD_CMDLINE_MAX;
    if (image->cmdline_max > HK_CMDLINE_MAX)
        image->cmdline_max = HK_CMDLINE_MAX;
    uint32_t last = hk_get_le32(data + INITRD_ADDR_MAX);
    if (last != 0 && last < image->initrd_last)
        image->initrd_last = last;
}

int hk_bzimage_parse(const char *name, const uint8_t *data, uint64_t size,
                     struct hk_bzimage *out, struct hk_image *image,
                     struct hk_errmsg *err)
{
    int rc = check_header(name, data, size, err);
    if (rc)
        return rc;
    uint64_t sects = data[SETUP_SECTS] ? data[SETUP_SECTS] : 4;
    uint64_t setup_end = (sects + 1) * SECTOR;
    rc = check_length(name, data, size, setup_end, err);
    if (rc)
        return rc;

    const uint8_t *payload =
        data + setup_end + hk_get_le32(data + PAYLOAD_OFFSET);
    uint64_t length = hk_get_le32(data + PAYLOAD_LENGTH);
    const struct hk_packing *packing = hk_packing_find(payload, length);
    if (!packing)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is packed in a way Husk does not know (first "
                          "bytes %02x %02x %02x %02x); use a kernel packed "
                          "with zstd, xz, lz4 or gzip",
                          name, payload[0], payload[1], payload[2], payload[3]);
    *out = (struct hk_bzimage){
        .payload = payload,
        .payload_size = packing->has_own_size ? length : length - SIZE_BYTES,
        .unpacked_size = hk_get_le32(payload + length - SIZE_BYTES),
        .packing = packing,
    };
    if (out->unpacked_size == 0)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is a damaged bzImage: its payload unpacks to "
                          "nothing; copy it again",
                          name);
    keep_setup(data, size, image);
    return 0;
}
