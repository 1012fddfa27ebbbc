/*
 * CMOS memory and real-time clock (MC146818), read only.
 *
 *   0x70  index (bit 7, the NMI mask, is ignored)
 *   0x71  data
 *
 *   00 02 04 06 07 08 09 32  seconds minutes hours weekday day month year
 *                            century, BCD, UTC
 *   0a 0b 0c 0d              status: never updating, 24 hours BCD, no
 *                            interrupt, battery good
 *   34 35                    memory from 16 MiB to 4 GiB in 64 KiB units
 *   5b 5c 5d                 memory above 4 GiB in 64 KiB units
 *
 * The clock runs on the host's: writes are ignored. Threads: any; the bus
 * region's lock is enough.
 */
#ifndef HK_CHIP_CMOS_H
#define HK_CHIP_CMOS_H

#include "base/compiler.h"
#include "bus/bus.h"

enum {
    HK_CMOS_PORT = 0x70,
    HK_CMOS_PORTS = 2,
};

struct hk_cmos;

struct hk_cmos_config {
    /* Seconds since 1970 UTC; any thread. */
    int64_t (*now)(void *opaque);
    void *opaque;
    uint64_t ram_below_4g; /* bytes, from address 0 */
    uint64_t ram_above_4g;
};

int hk_cmos_create(const struct hk_cmos_config *config,
                   struct hk_cmos **out) HK_MUST_CHECK;
void hk_cmos_destroy(struct hk_cmos *cmos); /* NULL is legal */

/* Table for hk_bus_add at HK_CMOS_PORT, HK_CMOS_PORTS, HK_BUS_SIZE_1. */
extern const struct hk_bus_ops hk_cmos_bus_ops;

#endif
