/*
 * A qcow2 image, then requests. The first byte says whether it is read-only,
 * the second how many bytes at the end are requests: a kind, a position and a
 * length each. The rest is the image, without the zeroes at its end.
 */
#include "disk_fakes.h"

#include "base/endian.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IMAGE_BYTES = 64 * 1024, REQUEST_BYTES = 6, LEN_MAX = 20000 };

/* A disk below is there only to be looked through. */
static int open_named(void *opaque, const char *name,
                      enum hk_disk_format format, struct hk_disk **out,
                      struct hk_errmsg *err)
{
    if (name[0] != 'b')
        return hk_err_set(err, -HK_ENOENT, "not there");
    *out = mem_disk_create(opaque, MEM_READ_ONLY);
    return 0;
}

static void request(struct hk_disk *disk, const uint8_t *r)
{
    static uint8_t bytes[LEN_MAX];
    uint64_t size = hk_disk_size(disk);
    uint64_t at = hk_get_le16(r + 1) * (size / 65536 + 1) + r[3];
    size_t len = hk_get_le16(r + 4) % LEN_MAX;
    switch (r[0] % 6) {
    case 0:
        (void)!hk_disk_write(disk, bytes, len, at);
        break;
    case 1:
        (void)!hk_disk_flush(disk);
        break;
    case 2:
        (void)!hk_disk_trim(disk, at, len);
        break;
    case 3:
        (void)!hk_disk_zero(disk, at, len, r[0] & 16);
        break;
    default:
        (void)!hk_disk_read(disk, bytes, len, at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem_store store, base;
    struct hk_errmsg err = {{0}};
    struct hk_disk_opener opener = {open_named, &base};
    struct hk_disk *disk = NULL;
    if (size < 2)
        return 0;
    bool read_only = data[0] & 1;
    size_t requests = data[1] * REQUEST_BYTES;
    size_t image = size - 2;
    if (requests > image)
        requests = image;
    image -= requests;
    hk_log_set_level(HK_LOG_OFF);
    mem_store_init(&base, 10000);
    mem_store_init(&store, IMAGE_BYTES);
    mem_store_put(&store, 0, data + 2, image);
    int rc = hk_qcow2_open(
        mem_disk_create(&store, read_only ? MEM_READ_ONLY : MEM_GROWS), &opener,
        &disk, &err);
    if ((rc < 0) != (err.text[0] != '\0'))
        abort();
    for (size_t i = 0; rc == 0 && i + REQUEST_BYTES <= requests;
         i += REQUEST_BYTES)
        request(disk, data + 2 + image + i);
    hk_disk_close(disk);
    mem_store_fini(&store);
    mem_store_fini(&base);
    return 0;
}
