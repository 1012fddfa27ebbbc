/*
 * The loads of `make bench`: programs of fixed work that run in the guest.
 * Each gives a check value that every correct machine gives too; no load may
 * let it depend on time, on addresses, or on what the CPU offers.
 */
#ifndef LOADS_H
#define LOADS_H

#include <stdint.h>

struct load {
    const char *name;
    /* Makes ready what is not to be measured; optional. */
    void (*prepare)(void);
    /* Does the work and returns the check value. */
    uint64_t (*run)(void);
};

/* One table for each group, ended by a NULL name. */
extern const struct load loads_integer[];
extern const struct load loads_memory[];
extern const struct load loads_float[];
extern const struct load loads_kernel[];
extern const struct load loads_thread[];
extern const struct load loads_code[];
extern const struct load loads_device[];

/* How much work a device load is: rates are made of it. */
struct load_amount {
    const char *name;
    unsigned amount;
    const char *unit;
};
/* As loads_device, ended alike. */
extern const struct load_amount loads_device_amounts[];

/* Keeps the compiler from seeing through a call. */
#define LOADS_OPAQUE __attribute__((noinline, noclone, noipa))

/* Next value of a pseudo-random row; `state` starts anywhere but at 0. */
static inline uint64_t loads_random(uint64_t *state)
{
    *state = *state * 0x5851f42d4c957f2dull + 0x14057b7ef767814full;
    const uint64_t high = *state >> 32;
    return *state ^ (high * high);
}

/* Joins a value to a check value. */
static inline uint64_t loads_fold(uint64_t check, uint64_t value)
{
    return (check ^ value) * 0x9ddfea08eb382d69ull + (check >> 47);
}

/* Ends the program with a sentence when what it stands on does not work. */
void loads_need(int ok, const char *what);

#endif
