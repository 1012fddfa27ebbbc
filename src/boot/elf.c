/*
 * ELF64 executables for x86-64 (System V ABI, generic part, chapters 4 and
 * 5), loaded by physical address as a boot loader does.
 */
#include "boot/image_int.h"

#include "base/checked.h"
#include "base/endian.h"
#include "boot/layout.h"

#include <string.h>

enum {
    EHDR_SIZE = 64,
    PHDR_SIZE = 56,
    PHDRS_MAX = 128,
    CLASS_64 = 2,
    DATA_LE = 1,
    TYPE_EXEC = 2,
    TYPE_DYN = 3,
    MACHINE_X86_64 = 62,
    PT_LOAD = 1,
    PT_INTERP = 3,
};

struct phdr {
    uint32_t type;
    uint64_t offset, vaddr, paddr, file_size, mem_size;
};

static struct phdr read_phdr(const uint8_t *p)
{
    return (struct phdr){
        .type = hk_get_le32(p),
        .offset = hk_get_le64(p + 8),
        .vaddr = hk_get_le64(p + 16),
        .paddr = hk_get_le64(p + 24),
        .file_size = hk_get_le64(p + 32),
        .mem_size = hk_get_le64(p + 40),
    };
}

static int check_header(const char *name, const uint8_t *data, uint64_t size,
                        struct hk_errmsg *err)
{
    if (size < EHDR_SIZE || memcmp(data, "\177ELF", 4) != 0)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is not an ELF file, or only a piece of one",
                          name);
    if (data[4] != CLASS_64)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is a 32-bit ELF file; Husk boots 64-bit kernels "
                          "only",
                          name);
    uint16_t type = hk_get_le16(data + 16);
    uint16_t machine = hk_get_le16(data + 18);
    if (data[5] != DATA_LE || machine != MACHINE_X86_64)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is for another processor (ELF machine %u); get "
                          "a kernel for x86-64",
                          name, machine);
    if (type != TYPE_EXEC && type != TYPE_DYN)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is an ELF file of type %u, not an executable; "
                          "give a linked vmlinux",
                          name, type);
    return 0;
}

static int check_phdr_table(const char *name, const uint8_t *data,
                            uint64_t size, struct hk_errmsg *err)
{
    uint64_t offset = hk_get_le64(data + 32);
    uint16_t entry_size = hk_get_le16(data + 54);
    uint16_t count = hk_get_le16(data + 56);

    if (count == 0 || count > PHDRS_MAX || entry_size != PHDR_SIZE)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s has %u ELF program headers of %u bytes; a kernel "
                          "has 1 to %d of %d",
                          name, count, entry_size, PHDRS_MAX, PHDR_SIZE);
    if (!hk_range_within(offset, (uint64_t)count * PHDR_SIZE, size))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is cut short: its program headers lie past its "
                          "end; copy it again",
                          name);
    return 0;
}

/* Checks one PT_LOAD against the file, the layout and its predecessors. */
static int check_segment(const char *name, const struct phdr *ph, uint64_t size,
                         const struct hk_image *image, struct hk_errmsg *err)
{
    unsigned long long at = ph->paddr;
    uint64_t end;

    if (ph->file_size > ph->mem_size ||
        !hk_range_within(ph->offset, ph->file_size, size))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s is damaged or cut short: its segment at %#llx "
                          "is not in the file; copy it again",
                          name, at);
    if (!hk_add_u64(ph->paddr, ph->mem_size, &end) || end > 1ull << 52)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s has a segment at %#llx that runs past the end of "
                          "physical memory; it is not a kernel for this VM",
                          name, at);
    if (ph->paddr < HK_BOOT_HIGH)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s has a segment at %#llx, below 1 MiB, where the "
                          "boot structures are; link it higher",
                          name, at);
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct hk_image_segment *s = &image->segment[i];
        if (hk_ranges_overlap(ph->paddr, ph->mem_size, s->gpa, s->mem_size))
            return hk_err_set(err, -HK_ENOEXEC,
                              "%s has overlapping segments at %#llx and %#llx; "
                              "it is damaged",
                              name, (unsigned long long)s->gpa, at);
    }
    if (image->segment_count == HK_IMAGE_SEGMENTS_MAX)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s has more than %d segments; it is not a kernel",
                          name, HK_IMAGE_SEGMENTS_MAX);
    return 0;
}

static void add_segment(struct hk_image *image, const struct phdr *ph,
                        const uint8_t *data)
{
    struct hk_image_segment *s = &image->segment[image->segment_count++];
    *s = (struct hk_image_segment){.gpa = ph->paddr,
                                   .mem_size = ph->mem_size,
                                   .file_size = ph->file_size,
                                   .bytes = data + ph->offset};
    if (image->segment_count == 1 || s->gpa < image->start)
        image->start = s->gpa;
    if (s->gpa + s->mem_size > image->end)
        image->end = s->gpa + s->mem_size;
}

/*
 * Linux gives a physical entry address, other kernels a virtual one: take it
 * as physical when a segment lies there, else translate it.
 */
static bool find_entry(const uint8_t *data, uint64_t entry, bool virtual_entry,
                       uint64_t *out)
{
    const uint8_t *table = data + hk_get_le64(data + 32);
    uint16_t count = hk_get_le16(data + 56);

    for (uint16_t i = 0; i < count; i++) {
        struct phdr ph = read_phdr(table + (size_t)i * PHDR_SIZE);
        uint64_t base = virtual_entry ? ph.vaddr : ph.paddr;
        if (ph.type == PT_LOAD && entry >= base && entry - base < ph.mem_size) {
            *out = ph.paddr + (entry - base);
            return true;
        }
    }
    return false;
}

int hk_elf_parse(const char *name, const uint8_t *data, uint64_t size,
                 struct hk_image *image, struct hk_errmsg *err)
{
    int rc = check_header(name, data, size, err);
    if (rc == 0)
        rc = check_phdr_table(name, data, size, err);
    if (rc)
        return rc;

    const uint8_t *table = data + hk_get_le64(data + 32);
    uint16_t count = hk_get_le16(data + 56);
    for (uint16_t i = 0; i < count; i++) {
        struct phdr ph = read_phdr(table + (size_t)i * PHDR_SIZE);
        if (ph.type == PT_INTERP)
            return hk_err_set(err, -HK_ENOEXEC,
                              "%s is a program, not a kernel; give a bzImage "
                              "or a vmlinux",
                              name);
        if (ph.type != PT_LOAD || ph.mem_size == 0)
            continue;
        rc = check_segment(name, &ph, size, image, err);
        if (rc)
            return rc;
        add_segment(image, &ph, data);
    }
    if (image->segment_count == 0)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s has nothing to load; it is not a kernel", name);

    uint64_t entry = hk_get_le64(data + 24);
    if (!find_entry(data, entry, false, &image->entry) &&
        !find_entry(data, entry, true, &image->entry))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s starts at %#llx, outside of its segments; it is "
                          "damaged",
                          name, (unsigned long long)entry);
    return 0;
}
