#define HK_LOG_TAG "bus"

#include "bus/bus.h"

#include "base/checked.h"
#include "base/lock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPACES = 2,
    PORT_LIMIT = 0x10000,
    /* Unclaimed addresses that get a log line of their own. */
    SEEN_MAX = 64,
};

struct region {
    uint64_t first;
    uint64_t last; /* inclusive, so that the top of the space is expressible */
    uint32_t sizes;
    const struct hk_bus_ops *ops;
    void *device;
    struct hk_lock lock;
};

/* Regions are pointers: growing the list must not move their locks. */
struct space {
    struct region **regions; /* by address */
    size_t count;
};

struct seen {
    uint64_t addr;
    enum hk_bus_space space;
};

struct hk_bus {
    struct space spaces[SPACES];
    atomic_uint_fast64_t unclaimed;
    struct hk_lock seen_lock;
    struct seen seen[SEEN_MAX];
    atomic_uint seen_count;
};

int hk_bus_create(struct hk_bus **out)
{
    struct hk_bus *bus = calloc(1, sizeof(*bus));
    if (bus == NULL)
        return -HK_ENOMEM;
    *out = bus;
    return 0;
}

void hk_bus_destroy(struct hk_bus *bus)
{
    if (bus == NULL)
        return;
    for (size_t s = 0; s < SPACES; s++) {
        for (size_t i = 0; i < bus->spaces[s].count; i++)
            free(bus->spaces[s].regions[i]);
        free(bus->spaces[s].regions);
    }
    free(bus);
}

/* Index of the first region that ends at or after `addr`. */
static size_t find_from(const struct space *space, uint64_t addr)
{
    size_t low = 0;
    size_t high = space->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (space->regions[mid]->last < addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int insert(struct space *space, size_t at, struct region *region)
{
    struct region **grown =
        realloc(space->regions, (space->count + 1) * sizeof(*grown));
    if (grown == NULL)
        return -HK_ENOMEM;
    memmove(grown + at + 1, grown + at, (space->count - at) * sizeof(*grown));
    grown[at] = region;
    space->regions = grown;
    space->count++;
    return 0;
}

int hk_bus_add(struct hk_bus *bus, enum hk_bus_space space, uint64_t base,
               uint64_t len, uint32_t sizes, const struct hk_bus_ops *ops,
               void *device)
{
    struct space *list = &bus->spaces[space];

    if (len == 0 || (sizes & HK_BUS_SIZE_ANY) == 0)
        return -HK_EINVAL;
    if (base > UINT64_MAX - (len - 1))
        return -HK_EINVAL;
    if (space == HK_BUS_PORT && !hk_range_within(base, len, PORT_LIMIT))
        return -HK_EINVAL;

    size_t at = find_from(list, base);
    if (at < list->count && list->regions[at]->first <= base + (len - 1))
        return -HK_EEXIST;

    struct region *region = calloc(1, sizeof(*region));
    if (region == NULL)
        return -HK_ENOMEM;
    region->first = base;
    region->last = base + (len - 1);
    region->sizes = sizes;
    region->ops = ops;
    region->device = device;
    int rc = insert(list, at, region);
    if (rc != 0)
        free(region);
    return rc;
}

/* The region that claims this whole access, or NULL. */
static struct region *claim(struct hk_bus *bus, enum hk_bus_space space,
                            uint64_t addr, uint32_t size)
{
    const struct space *list = &bus->spaces[space];
    size_t at = find_from(list, addr);

    if (at == list->count)
        return NULL;
    struct region *region = list->regions[at];
    if (addr < region->first || region->last - addr < size - 1)
        return NULL;
    return (region->sizes & size) != 0 ? region : NULL;
}

static bool is_access_size(uint32_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static uint64_t ones(uint32_t size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

/* True the first time that an address comes, until the table is full. */
static bool is_news(struct hk_bus *bus, enum hk_bus_space space, uint64_t addr)
{
    bool news = false;

    if (atomic_load_explicit(&bus->seen_count, memory_order_relaxed) ==
        SEEN_MAX)
        return false;
    hk_lock(&bus->seen_lock);
    unsigned count = atomic_load(&bus->seen_count);
    unsigned i = 0;
    while (i < count &&
           (bus->seen[i].addr != addr || bus->seen[i].space != space))
        i++;
    if (i == count && count < SEEN_MAX) {
        bus->seen[count].addr = addr;
        bus->seen[count].space = space;
        atomic_store(&bus->seen_count, count + 1);
        news = true;
    }
    hk_unlock(&bus->seen_lock);
    return news;
}

static void note_unclaimed(struct hk_bus *bus, enum hk_bus_space space,
                           uint64_t addr, uint32_t size, const char *verb)
{
    atomic_fetch_add_explicit(&bus->unclaimed, 1, memory_order_relaxed);
    if (is_news(bus, space, addr))
        HK_LOG_D("unclaimed %s of %u bytes at %s 0x%" PRIx64, verb,
                 (unsigned)size, space == HK_BUS_PORT ? "port" : "address",
                 addr);
}

static void enter(struct region *region)
{
    if (!region->ops->own_lock)
        hk_lock(&region->lock);
}

static void leave(struct region *region)
{
    if (!region->ops->own_lock)
        hk_unlock(&region->lock);
}

uint64_t hk_bus_read(struct hk_bus *bus, enum hk_bus_space space, uint64_t addr,
                     uint32_t size)
{
    struct region *region;

    if (!is_access_size(size))
        return UINT64_MAX;
    region = claim(bus, space, addr, size);
    if (region == NULL) {
        note_unclaimed(bus, space, addr, size, "read");
        return ones(size);
    }
    if (region->ops->read == NULL)
        return ones(size);
    enter(region);
    uint64_t value =
        region->ops->read(region->device, addr - region->first, size);
    leave(region);
    return value & ones(size);
}

void hk_bus_write(struct hk_bus *bus, enum hk_bus_space space, uint64_t addr,
                  uint32_t size, uint64_t value)
{
    struct region *region;

    if (!is_access_size(size))
        return;
    region = claim(bus, space, addr, size);
    if (region == NULL) {
        note_unclaimed(bus, space, addr, size, "write");
        return;
    }
    if (region->ops->write == NULL)
        return;
    enter(region);
    region->ops->write(region->device, addr - region->first, size,
                       value & ones(size));
    leave(region);
}

uint64_t hk_bus_unclaimed(const struct hk_bus *bus)
{
    return atomic_load_explicit(&bus->unclaimed, memory_order_relaxed);
}
