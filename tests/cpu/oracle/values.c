/* Random values. Uniform bits alone would never meet a boundary, so most
 * values are boundaries of some width, or numbers that mean something. */
#include "oracle.h"

#include "base/compiler.h"

#include <string.h>

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void oracle_rng_init(struct oracle_rng *rng, uint64_t seed, uint64_t number)
{
    rng->state = mix(seed + 0x9e3779b97f4a7c15u) ^ mix(number * 2 + 1);
}

uint64_t oracle_random(struct oracle_rng *rng)
{
    rng->state += 0x9e3779b97f4a7c15u;
    return mix(rng->state);
}

uint32_t oracle_below(struct oracle_rng *rng, uint32_t bound)
{
    return (uint32_t)((oracle_random(rng) >> 32) * bound >> 32);
}

bool oracle_percent(struct oracle_rng *rng, uint32_t percent)
{
    return oracle_below(rng, 100) < percent;
}

uint64_t oracle_integer(struct oracle_rng *rng)
{
    uint64_t bit = 1ull << oracle_below(rng, 64);
    uint64_t r = oracle_random(rng);
    switch (oracle_below(rng, 14)) {
    case 0:
        return 0;
    case 1:
        return ~0ull;
    case 2:
        return bit;
    case 3:
        return bit - 1;
    case 4:
        return ~bit;
    case 5:
        return 0 - bit;
    case 6:
        return (8ull << oracle_below(rng, 4)) + r % 3 - 1; /* width and +-1 */
    case 7:
        return r % 33 - 16;
    case 8:
        return r & 0xff;
    case 9:
        return (uint64_t)(int64_t)(int32_t)r;
    case 10:
        return r & 0xffffffff;
    case 11:
        return (r & 0xff) * 0x0101010101010101u;
    default:
        return r;
    }
}

static const uint32_t floats[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0x3fc00000,
    0x40000000, 0x40400000, 0x00000001, 0x807fffff, 0x00800000, 0x80800001,
    0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345,
    0x7f800001, 0xffa00000, 0x4effffff, 0x4f000000, 0xcf000000, 0x4f800000,
    0x5f000000, 0xdf000000, 0x3effffff, 0x41200000, 0x34000000, 0x4b000001,
};

static const uint64_t doubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000,
    0xbff0000000000000, 0x3fe0000000000000, 0x3ff8000000000000,
    0x4000000000000000, 0x4008000000000000, 0x0000000000000001,
    0x800fffffffffffff, 0x0010000000000000, 0x8010000000000001,
    0x7fefffffffffffff, 0xffefffffffffffff, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0xfff8000123456789,
    0x7ff0000000000001, 0xfff4000000000000, 0x41dfffffffc00000,
    0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000,
    0x43e0000000000000, 0xc3e0000000000000, 0x36a0000000000000,
    0x47efffffe0000000, 0x47effffff0000000, 0x3fdfffffffffffff,
};

static uint32_t random_float(struct oracle_rng *rng)
{
    uint32_t r = (uint32_t)oracle_random(rng);
    if (oracle_percent(rng, 40))
        return floats[oracle_below(rng, HK_COUNT(floats))];
    if (oracle_percent(rng, 60)) /* near 1, so that sums round */
        return (r & 0x807fffff) | (119 + oracle_below(rng, 16)) << 23;
    return r;
}

static uint64_t random_double(struct oracle_rng *rng)
{
    uint64_t r = oracle_random(rng);
    if (oracle_percent(rng, 40))
        return doubles[oracle_below(rng, HK_COUNT(doubles))];
    if (oracle_percent(rng, 60))
        return (r & 0x800fffffffffffffu) |
               (uint64_t)(1008 + oracle_below(rng, 32)) << 52;
    return r;
}

/* 80 bits: the significand, and sign with exponent. */
static void random_extended(struct oracle_rng *rng, uint8_t to[10])
{
    static const uint16_t exponents[] = {0,      1,      0x3ffe, 0x3fff,
                                         0x4000, 0x401e, 0x403e, 0x7ffe,
                                         0x7fff, 0x3bcd, 0x43ff};
    static const uint64_t significands[] = {
        0x8000000000000000, 0xc000000000000000, 0xffffffffffffffff, 0, 1,
        0x8000000000000001, 0xa000000000000000, 0x4000000000000000};
    uint64_t bits = oracle_random(rng);
    uint16_t exponent = (uint16_t)(0x3ff0 + oracle_below(rng, 32));
    if (oracle_percent(rng, 30))
        bits = significands[oracle_below(rng, HK_COUNT(significands))];
    if (oracle_percent(rng, 40))
        exponent = exponents[oracle_below(rng, HK_COUNT(exponents))];
    if (exponent != 0 && oracle_percent(rng, 90))
        bits |= 1ull << 63; /* else an unnormal, which is invalid */
    exponent |= (uint16_t)(oracle_below(rng, 2) << 15);
    memcpy(to, &bits, 8);
    memcpy(to + 8, &exponent, 2);
}

/* A packed decimal of 18 digits. */
static void random_bcd(struct oracle_rng *rng, uint8_t to[10])
{
    for (unsigned i = 0; i < 9; i++)
        to[i] = (uint8_t)(oracle_below(rng, 10) | oracle_below(rng, 10) << 4);
    to[9] = (uint8_t)(oracle_below(rng, 2) << 7);
}

void oracle_number_bytes(struct oracle_rng *rng, uint8_t *to, uint32_t size)
{
    uint32_t kind = oracle_below(rng, 7);
    uint8_t unit[16];
    uint32_t step;
    for (uint32_t done = 0; done < size; done += step) {
        uint32_t f = random_float(rng);
        uint64_t d = oracle_random(rng);
        step = 8;
        if (kind <= 1) {
            memcpy(unit, &f, step = 4);
        } else if (kind <= 3) {
            d = random_double(rng);
        } else if (kind == 4) {
            d = oracle_integer(rng);
        } else if (kind == 5 && oracle_percent(rng, 70)) {
            random_extended(rng, unit);
            step = 10;
        } else if (kind == 5) {
            random_bcd(rng, unit);
            step = 10;
        }
        if (step == 8)
            memcpy(unit, &d, 8);
        memcpy(to + done, unit, size - done < step ? size - done : step);
    }
}

static void put16(uint8_t *to, uint32_t value)
{
    uint16_t v = (uint16_t)value;
    memcpy(to, &v, 2);
}

/*
 * Precision, rounding and masks of both units. Pending x87 exceptions appear
 * only with `unmasked`, since every waiting instruction would fault.
 */
void oracle_random_fxsave(struct oracle_rng *rng, uint8_t image[512],
                          bool unmasked)
{
    static const uint16_t precision[] = {0x000, 0x200, 0x300, 0x300};
    uint32_t mxcsr = 0x1f80 | oracle_below(rng, 4) << 13;
    uint32_t control =
        precision[oracle_below(rng, 4)] | 0x7f | oracle_below(rng, 4) << 10;
    uint32_t status =
        oracle_below(rng, 8) << 11 | ((uint32_t)oracle_random(rng) & 0x4700);

    if (oracle_percent(rng, 30))
        mxcsr |= (uint32_t)oracle_random(rng) & 0x807f; /* flags, DAZ, FTZ */
    if (oracle_percent(rng, 30))
        status |= (uint32_t)oracle_random(rng) & 0x7f;
    if (unmasked) {
        mxcsr &= ~((uint32_t)oracle_random(rng) & 0x1f80);
        control &= ~((uint32_t)oracle_random(rng) & 0x3f);
    }
    if (status & ~control & 0x3f)
        status |= 0x8080; /* what a pending exception looks like */

    memset(image, 0, 512);
    put16(image, control);
    put16(image + 2, status);
    static const uint8_t tags[] = {0xff, 0x00, 0xff, 0x80, 0x7f};
    image[4] = oracle_percent(rng, 50) ? tags[oracle_below(rng, HK_COUNT(tags))]
                                       : (uint8_t)oracle_random(rng);
    memcpy(image + 24, &mxcsr, 4);
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *st = image + 32 + 16 * i;
        if (oracle_percent(rng, 10)) {
            uint64_t mmx = oracle_integer(rng);
            memcpy(st, &mmx, 8);
            put16(st + 8, 0xffff);
        } else {
            random_extended(rng, st);
        }
    }
    for (unsigned i = 0; i < 16; i++)
        oracle_number_bytes(rng, image + 160 + 16 * i, 16);
}
