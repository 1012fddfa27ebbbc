/*
 * Port and memory-mapped dispatch.
 *
 * Two address spaces, ports (0 to 0xffff) and guest-physical memory, each a
 * sorted list of regions. A device registers a region with a constant table
 * of operations; the bus calls it with the offset inside the region.
 *
 * An access that no region claims reads all ones and ignores writes; it is
 * counted, and logged once for each address up to a limit.
 *
 * Threads: regions are added before the first vCPU runs; access from any
 * thread afterwards. Each region has its own lock, held across the operation,
 * so a device sees one access at a time. A device whose accesses may wait says
 * `own_lock` and does without: its operations are called side by side.
 */
#ifndef HK_BUS_BUS_H
#define HK_BUS_BUS_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum hk_bus_space { HK_BUS_PORT, HK_BUS_MEM };

enum {
    HK_BUS_SIZE_1 = 1,
    HK_BUS_SIZE_2 = 2,
    HK_BUS_SIZE_4 = 4,
    HK_BUS_SIZE_8 = 8,
    HK_BUS_SIZE_ANY = 15,
};

/*
 * `offset` is relative to the region and offset+size is within it; `size` is
 * 1, 2, 4 or 8 and one of the region's allowed sizes. Both are optional: a
 * missing read gives all ones, a missing write is ignored.
 */
struct hk_bus_ops {
    const char *name;
    bool own_lock;
    uint64_t (*read)(void *device, uint64_t offset, uint32_t size);
    void (*write)(void *device, uint64_t offset, uint32_t size, uint64_t value);
};

struct hk_bus;

int hk_bus_create(struct hk_bus **out) HK_MUST_CHECK;
void hk_bus_destroy(struct hk_bus *bus);

/*
 * `sizes` is a set of HK_BUS_SIZE_*; an access of another size is treated as
 * unclaimed. `ops` and `device` are borrowed until destroy. Errors:
 * -HK_EINVAL empty or wrapping range; -HK_EEXIST overlap; -HK_ENOMEM.
 */
int hk_bus_add(struct hk_bus *bus, enum hk_bus_space space, uint64_t base,
               uint64_t len, uint32_t sizes, const struct hk_bus_ops *ops,
               void *device) HK_MUST_CHECK;

uint64_t hk_bus_read(struct hk_bus *bus, enum hk_bus_space space, uint64_t addr,
                     uint32_t size);
void hk_bus_write(struct hk_bus *bus, enum hk_bus_space space, uint64_t addr,
                  uint32_t size, uint64_t value);

/* Accesses no region claimed so far. */
uint64_t hk_bus_unclaimed(const struct hk_bus *bus);

#endif
