#include "boot/zeropage.h"

#include "base/endian.h"
#include "boot/layout.h"

#include <string.h>

/* Offsets in struct boot_params. */
enum {
    ACPI_RSDP_ADDR = 0x070,
    E820_ENTRIES = 0x1e8,
    BOOT_FLAG = 0x1fe,
    HEADER = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    KERNEL_ALIGNMENT = 0x230,
    CMDLINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    E820_TABLE = 0x2d0,
    E820_ENTRY_SIZE = 20,

    LOADER_UNDEFINED = 0xff,
    LOADED_HIGH = 1,
    PROTOCOL = 0x20f,
};

_Static_assert(E820_TABLE + HK_E820_MAX * E820_ENTRY_SIZE <= HK_ZEROPAGE_SIZE,
               "the memory map fits");

void hk_e820_ram(const struct hk_gmem *gmem, struct hk_e820_map *map)
{
    *map = (struct hk_e820_map){0};
    for (uint32_t i = 0; i < hk_gmem_region_count(gmem); i++) {
        struct hk_gmem_region r = hk_gmem_region(gmem, i);
        struct hk_e820 *last = map->count ? &map->entry[map->count - 1] : NULL;
        if (last && last->gpa + last->size == r.gpa)
            last->size += r.size;
        else
            map->entry[map->count++] = (struct hk_e820){
                .gpa = r.gpa, .size = r.size, .type = HK_E820_RAM};
    }
}

int hk_e820_build(const struct hk_gmem *gmem, struct hk_e820_map *map,
                  struct hk_errmsg *err)
{
    struct hk_e820_map ram;
    hk_e820_ram(gmem, &ram);
    if (ram.count == 0 || ram.entry[0].gpa != 0 ||
        ram.entry[0].size <= HK_BOOT_HIGH)
        return hk_err_set(err, -HK_EINVAL,
                          "the VM has no memory at address 0, or less than "
                          "1 MiB there; give it more");

    uint64_t high = ram.entry[0].size - HK_BOOT_HIGH;
    *map = (struct hk_e820_map){
        .entry = {{0, HK_BOOT_LOW_END, HK_E820_RAM},
                  {HK_BOOT_LOW_END, HK_BOOT_HIGH - HK_BOOT_LOW_END,
                   HK_E820_RESERVED},
                  {HK_BOOT_HIGH, high, HK_E820_RAM}},
        .count = 3};
    for (uint32_t i = 1; i < ram.count; i++)
        map->entry[map->count++] = ram.entry[i];
    return 0;
}

void hk_zeropage_write(const struct hk_zeropage *info,
                       uint8_t out[HK_ZEROPAGE_SIZE])
{
    memset(out, 0, HK_ZEROPAGE_SIZE);
    if (info->image->setup_size) {
        memcpy(out + HK_IMAGE_SETUP_AT, info->image->setup,
               info->image->setup_size);
        hk_put_le64(out + SETUP_DATA, 0); /* a file has no say in that */
    } else {
        hk_put_le16(out + VERSION, PROTOCOL);
        out[LOADFLAGS] = LOADED_HIGH;
        hk_put_le32(out + KERNEL_ALIGNMENT, 0x1000000);
    }
    hk_put_le16(out + BOOT_FLAG, 0xaa55);
    memcpy(out + HEADER, "HdrS", 4);
    out[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    hk_put_le32(out + CMD_LINE_PTR, info->cmdline_gpa);
    hk_put_le32(out + CMDLINE_SIZE, info->cmdline_len);
    hk_put_le32(out + RAMDISK_IMAGE, info->initrd_size ? info->initrd_gpa : 0);
    hk_put_le32(out + RAMDISK_SIZE, info->initrd_size);
    hk_put_le64(out + ACPI_RSDP_ADDR, info->rsdp_gpa);

    out[E820_ENTRIES] = (uint8_t)info->map->count;
    for (uint32_t i = 0; i < info->map->count; i++) {
        uint8_t *p = out + E820_TABLE + i * E820_ENTRY_SIZE;
        hk_put_le64(p, info->map->entry[i].gpa);
        hk_put_le64(p + 8, info->map->entry[i].size);
        hk_put_le32(p + 16, info->map->entry[i].type);
    }
}
