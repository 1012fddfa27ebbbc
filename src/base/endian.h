/*
 * Loads and stores of either byte order at any alignment, for wire and file
 * formats.
 * The caller has checked that the bytes exist. Any thread; no state.
 */
#ifndef HK_BASE_ENDIAN_H
#define HK_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "big-endian hosts need byte swaps here");

static inline uint16_t hk_get_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t hk_get_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t hk_get_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void hk_put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void hk_put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void hk_put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline uint16_t hk_get_be16(const void *p)
{
    return __builtin_bswap16(hk_get_le16(p));
}

static inline uint32_t hk_get_be32(const void *p)
{
    return __builtin_bswap32(hk_get_le32(p));
}

static inline uint64_t hk_get_be64(const void *p)
{
    return __builtin_bswap64(hk_get_le64(p));
}

static inline void hk_put_be16(void *p, uint16_t v)
{
    hk_put_le16(p, __builtin_bswap16(v));
}

static inline void hk_put_be32(void *p, uint32_t v)
{
    hk_put_le32(p, __builtin_bswap32(v));
}

static inline void hk_put_be64(void *p, uint64_t v)
{
    hk_put_le64(p, __builtin_bswap64(v));
}

#endif
