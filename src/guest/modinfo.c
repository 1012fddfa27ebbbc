/*
 * Finding .modinfo: the ELF header names the section headers (0x28, count at
 * 0x3c, the section with the names at 0x3e); each has its name's offset (0),
 * its place (0x18) and its size (0x20) in the file.
 */
#include "guest/modinfo.h"

#include "base/checked.h"
#include "base/endian.h"

#include <string.h>

enum {
    EHDR_SIZE = 64,
    SHDR_SIZE = 64,
    SECTIONS_MAX = 4096,
    SIGNATURE_HEADER = 12,
};

static const char section_name[] = ".modinfo";
static const char signature_end[] = "~Module signature appended~\n";

struct section {
    uint64_t at, size;
    uint32_t name;
};

struct file {
    const uint8_t *data;
    uint64_t size;
    uint64_t headers;
    uint16_t count;
};

/* False when it does not lie inside the file. */
static bool get_section(const struct file *f, uint16_t index,
                        struct section *out)
{
    const uint8_t *h = f->data + f->headers + (uint64_t)index * SHDR_SIZE;
    out->name = hk_get_le32(h);
    out->at = hk_get_le64(h + 0x18);
    out->size = hk_get_le64(h + 0x20);
    return hk_range_within(out->at, out->size, f->size);
}

static bool open_elf(const uint8_t *data, uint64_t size, struct file *f)
{
    if (size < EHDR_SIZE ||
        memcmp(data,
               "\x7f"
               "ELF\x02\x01",
               6) != 0 ||
        hk_get_le16(data + 0x3a) != SHDR_SIZE)
        return false;
    *f = (struct file){data, size, hk_get_le64(data + 0x28),
                       hk_get_le16(data + 0x3c)};
    return f->count > 0 && f->count <= SECTIONS_MAX &&
           hk_range_within(f->headers, (uint64_t)f->count * SHDR_SIZE, size);
}

static bool find_section(const struct file *f, struct section *out)
{
    struct section names;
    uint16_t index = hk_get_le16(f->data + 0x3e);

    if (index >= f->count || !get_section(f, index, &names))
        return false;
    for (uint16_t i = 0; i < f->count; i++) {
        if (get_section(f, i, out) &&
            hk_range_within(out->name, sizeof(section_name), names.size) &&
            memcmp(f->data + names.at + out->name, section_name,
                   sizeof(section_name)) == 0)
            return true;
    }
    return false;
}

int hk_modinfo_parse(const char *name, const uint8_t *file, uint64_t size,
                     struct hk_modinfo *info, struct hk_errmsg *err)
{
    struct file f;
    struct section section;

    *info = (struct hk_modinfo){0};
    if (!open_elf(file, size, &f) || !find_section(&f, &section))
        return hk_err_set(err, -HK_ENOEXEC, "%s is no kernel module", name);
    const char *text = (const char *)file + section.at;
    while (section.size > 0 && text[section.size - 1] != '\0')
        section.size--; /* a last string without an end does not count */
    info->text = text;
    info->len = section.size;
    return 0;
}

const char *hk_modinfo_get(const struct hk_modinfo *info, const char *key)
{
    size_t key_len = strlen(key);
    for (uint64_t at = 0; at < info->len;) {
        const char *text = info->text + at;
        if (strncmp(text, key, key_len) == 0 && text[key_len] == '=')
            return text + key_len + 1;
        at += strlen(text) + 1;
    }
    return NULL;
}

uint64_t hk_modinfo_unsigned_size(const uint8_t *file, uint64_t size)
{
    const uint64_t end = sizeof(signature_end) - 1;
    if (size < end + SIGNATURE_HEADER ||
        memcmp(file + size - end, signature_end, end) != 0)
        return size;
    /* the header's last four bytes: the signature's length, big endian */
    const uint8_t *p = file + size - end - 4;
    uint64_t len = (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 |
                   (uint64_t)p[2] << 8 | p[3];
    uint64_t all = end + SIGNATURE_HEADER + len;
    return all < size ? size - all : size;
}
