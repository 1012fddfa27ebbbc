/* A VMDK image: a first byte whose low bit says that the rest is an extent
 * named by a fixed descriptor, else it is the image itself; all of it is read.
 */
#include "disk_fakes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ_MAX = 1 << 20, PART = 7777 };

static int open_named(void *opaque, const char *name,
                      enum hk_disk_format format, struct hk_disk **out,
                      struct hk_errmsg *err)
{
    if (name[0] != 'e')
        return hk_err_set(err, -HK_ENOENT, "not there");
    *out = mem_disk_create(opaque, MEM_READ_ONLY);
    return 0;
}

static void read_all(struct hk_disk *disk)
{
    static uint8_t bytes[PART];
    uint64_t size = hk_disk_size(disk);
    if (size > READ_MAX)
        size = READ_MAX;
    for (uint64_t at = 0; at < size; at += PART)
        (void)!hk_disk_read(disk, bytes, size - at < PART ? size - at : PART,
                            at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "# Disk DescriptorFile\n"
                               "RW 9 FLAT \"e\" 1\nRW 8 SPARSE \"e\"\n";
    struct mem_store store, extent;
    struct hk_errmsg err = {{0}};
    struct hk_disk_opener opener = {open_named, &extent};
    struct hk_disk *disk = NULL;
    if (size < 1)
        return 0;
    mem_store_init(&store, 0);
    mem_store_init(&extent, 0);
    mem_store_put(&extent, 0, data + 1, size - 1);
    if (data[0] & 1)
        mem_store_put(&store, 0, text, sizeof(text) - 1);
    else
        mem_store_put(&store, 0, data + 1, size - 1);
    int rc = hk_vmdk_open(mem_disk_create(&store, MEM_READ_ONLY), &opener,
                          &disk, &err);
    if ((rc < 0) != (err.text[0] != '\0'))
        abort();
    if (rc == 0)
        read_all(disk);
    hk_disk_close(disk);
    mem_store_fini(&store);
    mem_store_fini(&extent);
    return 0;
}
