#include "boot/aml.h"

#include "base/endian.h"

#include <string.h>

enum {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_EXT = 0x5b,
    OP_EXT_DEVICE = 0x82,

    LENGTH_BYTES = 3, /* a scope's length: three bytes, twenty bits */
    LENGTH_MAX = 0xfffff,

    RES_IO = 0x47,
    RES_MEMORY32 = 0x86,
    RES_INTERRUPT = 0x89,
    RES_END = 0x79,
};

static void put(struct hk_aml *aml, const void *bytes, size_t len)
{
    if (aml->failed || len > aml->size - aml->len) {
        aml->failed = true;
        return;
    }
    memcpy(aml->bytes + aml->len, bytes, len);
    aml->len += len;
}

static void put_byte(struct hk_aml *aml, uint8_t byte)
{
    put(aml, &byte, 1);
}

static void put_text(struct hk_aml *aml, const char *text)
{
    put(aml, text, strlen(text));
}

/* Reserves the length field (20.2.4); filled by hk_aml_end. */
static hk_aml_mark reserve_length(struct hk_aml *aml)
{
    static const uint8_t zero[LENGTH_BYTES];
    hk_aml_mark mark = aml->len;
    put(aml, zero, LENGTH_BYTES);
    return mark;
}

void hk_aml_end(struct hk_aml *aml, hk_aml_mark mark)
{
    if (aml->failed)
        return;
    size_t len = aml->len - mark;
    if (len > LENGTH_MAX) {
        aml->failed = true;
        return;
    }
    uint8_t *p = aml->bytes + mark;
    p[0] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (len & 0xf));
    p[1] = (uint8_t)(len >> 4);
    p[2] = (uint8_t)(len >> 12);
}

hk_aml_mark hk_aml_scope_begin(struct hk_aml *aml, const char *name)
{
    put_byte(aml, OP_SCOPE);
    hk_aml_mark mark = reserve_length(aml);
    put_text(aml, name);
    return mark;
}

hk_aml_mark hk_aml_device_begin(struct hk_aml *aml, const char *name)
{
    put_byte(aml, OP_EXT);
    put_byte(aml, OP_EXT_DEVICE);
    hk_aml_mark mark = reserve_length(aml);
    put_text(aml, name);
    return mark;
}

static void put_int(struct hk_aml *aml, uint32_t value)
{
    uint8_t bytes[4];
    hk_put_le32(bytes, value);
    if (value <= 1) { /* ZeroOp and OneOp are their own value */
        put_byte(aml, (uint8_t)value);
    } else if (value <= 0xff) {
        put_byte(aml, OP_BYTE);
        put(aml, bytes, 1);
    } else if (value <= 0xffff) {
        put_byte(aml, OP_WORD);
        put(aml, bytes, 2);
    } else {
        put_byte(aml, OP_DWORD);
        put(aml, bytes, 4);
    }
}

static void put_name(struct hk_aml *aml, const char *name)
{
    put_byte(aml, OP_NAME);
    put_text(aml, name);
}

void hk_aml_name_int(struct hk_aml *aml, const char *name, uint32_t value)
{
    put_name(aml, name);
    put_int(aml, value);
}

void hk_aml_name_string(struct hk_aml *aml, const char *name, const char *text)
{
    put_name(aml, name);
    put_byte(aml, OP_STRING);
    put(aml, text, strlen(text) + 1);
}

static uint32_t hex_digit(char c)
{
    return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

void hk_aml_name_eisa(struct hk_aml *aml, const char *name, const char *id)
{
    /* Three letters of five bits, four digits of four, big endian. */
    uint32_t code = 0;
    for (int i = 0; i < 3; i++)
        code = code << 5 | (uint32_t)(id[i] - '@');
    for (int i = 3; i < 7; i++)
        code = code << 4 | hex_digit(id[i]);
    const uint8_t bytes[4] = {(uint8_t)(code >> 24), (uint8_t)(code >> 16),
                              (uint8_t)(code >> 8), (uint8_t)code};
    put_name(aml, name);
    put_byte(aml, OP_DWORD);
    put(aml, bytes, sizeof(bytes));
}

void hk_aml_name_package(struct hk_aml *aml, const char *name,
                         const uint8_t *values, uint8_t count)
{
    put_name(aml, name);
    put_byte(aml, OP_PACKAGE);
    hk_aml_mark mark = reserve_length(aml);
    put_byte(aml, count);
    for (uint8_t i = 0; i < count; i++)
        put_int(aml, values[i]);
    hk_aml_end(aml, mark);
}

struct hk_aml_crs hk_aml_crs_begin(struct hk_aml *aml)
{
    struct hk_aml_crs crs;
    put_name(aml, "_CRS");
    put_byte(aml, OP_BUFFER);
    crs.buffer = reserve_length(aml);
    put_byte(aml, OP_BYTE);
    put_byte(aml, 0); /* size, filled at the end */
    crs.start = aml->len;
    return crs;
}

void hk_aml_crs_io(struct hk_aml *aml, uint16_t port, uint8_t count)
{
    uint8_t r[8] = {RES_IO, 1 /* decodes 16 bits */};
    hk_put_le16(r + 2, port);
    hk_put_le16(r + 4, port);
    r[6] = 1; /* alignment */
    r[7] = count;
    put(aml, r, sizeof(r));
}

void hk_aml_crs_memory(struct hk_aml *aml, uint32_t gpa, uint32_t size)
{
    uint8_t r[12] = {RES_MEMORY32, 9, 0, 1 /* writable */};
    hk_put_le32(r + 4, gpa);
    hk_put_le32(r + 8, size);
    put(aml, r, sizeof(r));
}

void hk_aml_crs_irq(struct hk_aml *aml, uint32_t gsi, bool level)
{
    /* Flags: consumer; edge or level; active high; not shared. */
    uint8_t r[9] = {RES_INTERRUPT, 6, 0, level ? 0x01 : 0x03, 1 /* one */};
    hk_put_le32(r + 5, gsi);
    put(aml, r, sizeof(r));
}

void hk_aml_crs_end(struct hk_aml *aml, struct hk_aml_crs crs)
{
    const uint8_t end[2] = {RES_END, 0 /* no checksum */};
    put(aml, end, sizeof(end));
    if (aml->failed)
        return;
    size_t size = aml->len - crs.start;
    if (size > 0xff) {
        aml->failed = true;
        return;
    }
    aml->bytes[crs.start - 1] = (uint8_t)size;
    hk_aml_end(aml, crs.buffer);
}
