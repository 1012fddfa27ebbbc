#include "chip/cmos.h"

#include <stdlib.h>

enum {
    REG_SECONDS = 0x00,
    REG_MINUTES = 0x02,
    REG_HOURS = 0x04,
    REG_WEEKDAY = 0x06,
    REG_DAY = 0x07,
    REG_MONTH = 0x08,
    REG_YEAR = 0x09,
    REG_A = 0x0a,
    REG_B = 0x0b,
    REG_D = 0x0d,
    REG_CENTURY = 0x32,
    REG_RAM_16M = 0x34,
    REG_RAM_4G = 0x5b,

    A_32768_HZ = 0x26, /* time base and rate; update in progress clear */
    B_24_HOURS = 0x02,
    D_BATTERY_GOOD = 0x80,
    BYTES = 128,
    RAM_UNIT_SHIFT = 16,
};
static const uint64_t MIB_16 = 16u << 20;
/* The last second that the clock can show, at the end of the year 9999. */
static const int64_t LAST_SECOND = 253402300799;

struct hk_cmos {
    struct hk_cmos_config config;
    uint8_t index;
    uint8_t bytes[BYTES];
    int64_t shown; /* second that the clock registers show */
};

/* A civil date from a count of days (proleptic Gregorian, from 1970). */
struct date {
    uint32_t year, month, day;
};

static bool is_leap(uint32_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static struct date to_date(uint32_t days)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30,
                                      31, 31, 30, 31, 30, 31};
    struct date date = {.year = 1970, .month = 1};

    while (days >= (is_leap(date.year) ? 366u : 365u))
        days -= is_leap(date.year++) ? 366 : 365;
    for (;;) {
        uint32_t length = lengths[date.month - 1];

        if (date.month == 2 && is_leap(date.year))
            length++;
        if (days < length)
            break;
        days -= length;
        date.month++;
    }
    date.day = days + 1;
    return date;
}

static uint8_t to_bcd(uint32_t value)
{
    return (uint8_t)(value / 10 << 4 | value % 10);
}

/* Copies the time of second `now` into the clock registers. */
static void show(struct hk_cmos *cmos, int64_t now)
{
    uint32_t days = (uint32_t)(now / 86400);
    uint32_t second = (uint32_t)(now % 86400);
    struct date date = to_date(days);
    uint8_t *bytes = cmos->bytes;

    bytes[REG_SECONDS] = to_bcd(second % 60);
    bytes[REG_MINUTES] = to_bcd(second / 60 % 60);
    bytes[REG_HOURS] = to_bcd(second / 3600);
    bytes[REG_WEEKDAY] = to_bcd((days + 4) % 7 + 1); /* Sunday is 1 */
    bytes[REG_DAY] = to_bcd(date.day);
    bytes[REG_MONTH] = to_bcd(date.month);
    bytes[REG_YEAR] = to_bcd(date.year % 100);
    bytes[REG_CENTURY] = to_bcd(date.year / 100);
    cmos->shown = now;
}

/*
 * A guest reads a time in several accesses. Reading status A or the seconds
 * takes a new second; the other registers stay with that one unless it is
 * long past, so that no guest sees 23:59 of the next day.
 */
static void refresh(struct hk_cmos *cmos, uint8_t index)
{
    int64_t now = cmos->config.now(cmos->config.opaque);

    if (now < 0)
        now = 0;
    if (now > LAST_SECOND)
        now = LAST_SECOND;
    if (index == REG_A || index == REG_SECONDS || now < cmos->shown ||
        now - cmos->shown > 1)
        show(cmos, now);
}

static void fill_ram_sizes(struct hk_cmos *cmos)
{
    uint64_t low = cmos->config.ram_below_4g;
    uint64_t high = cmos->config.ram_above_4g >> RAM_UNIT_SHIFT;

    low = low > MIB_16 ? (low - MIB_16) >> RAM_UNIT_SHIFT : 0;
    if (low > 0xffff)
        low = 0xffff;
    if (high > 0xffffff)
        high = 0xffffff;
    cmos->bytes[REG_RAM_16M] = (uint8_t)low;
    cmos->bytes[REG_RAM_16M + 1] = (uint8_t)(low >> 8);
    cmos->bytes[REG_RAM_4G] = (uint8_t)high;
    cmos->bytes[REG_RAM_4G + 1] = (uint8_t)(high >> 8);
    cmos->bytes[REG_RAM_4G + 2] = (uint8_t)(high >> 16);
}

int hk_cmos_create(const struct hk_cmos_config *config, struct hk_cmos **out)
{
    struct hk_cmos *cmos = calloc(1, sizeof(*cmos));
    if (cmos == NULL)
        return -HK_ENOMEM;
    cmos->config = *config;
    cmos->shown = -2;
    cmos->bytes[REG_A] = A_32768_HZ;
    cmos->bytes[REG_B] = B_24_HOURS;
    cmos->bytes[REG_D] = D_BATTERY_GOOD;
    fill_ram_sizes(cmos);
    *out = cmos;
    return 0;
}

void hk_cmos_destroy(struct hk_cmos *cmos)
{
    free(cmos);
}

static uint64_t cmos_read(void *device, uint64_t offset, uint32_t size)
{
    struct hk_cmos *cmos = device;

    if (offset == 0)
        return cmos->index;
    if (cmos->index <= REG_A || cmos->index == REG_CENTURY)
        refresh(cmos, cmos->index);
    return cmos->bytes[cmos->index];
}

static void cmos_write(void *device, uint64_t offset, uint32_t size,
                       uint64_t value)
{
    struct hk_cmos *cmos = device;

    if (offset == 0)
        cmos->index = value % BYTES;
}

const struct hk_bus_ops hk_cmos_bus_ops = {
    .name = "cmos",
    .read = cmos_read,
    .write = cmos_write,
};
