/*
 * Routing of interrupt messages among local APICs (Intel SDM volume 3,
 * "Determining IPI Destination").
 *
 * A destination is narrow (8 bits: I/O APIC, MSI, an IPI from xAPIC mode) or
 * wide (32 bits: an IPI from x2APIC mode). 0xff is everybody when narrow and
 * an ordinary ID when wide.
 */
#include "chip/lapic_int.h"

#include <stdlib.h>

enum {
    NARROW_ALL = 0xff,
    CLUSTER_SHIFT = 4, /* of an 8-bit logical ID in the cluster model */
};
static const uint32_t WIDE_ALL = UINT32_MAX;

int hk_apic_bus_create(uint32_t max, uint64_t timer_hz, uint64_t tsc_hz,
                       struct hk_apic_bus **out)
{
    struct hk_apic_bus *bus;

    if (max == 0 || timer_hz == 0 || tsc_hz == 0)
        return -HK_EINVAL;
    bus = calloc(1, sizeof(*bus) + (size_t)max * sizeof(bus->apics[0]));
    if (bus == NULL)
        return -HK_ENOMEM;
    bus->max = max;
    bus->phys_bits = 52;
    bus->timer_hz = timer_hz;
    bus->tsc_hz = tsc_hz;
    *out = bus;
    return 0;
}

void hk_apic_bus_destroy(struct hk_apic_bus *bus)
{
    if (bus == NULL)
        return;
    for (uint32_t i = 0; i < bus->count; i++)
        free(bus->apics[i]);
    free(bus);
}

void hk_apic_bus_set_eoi(struct hk_apic_bus *bus,
                         void (*eoi)(void *opaque, uint8_t vector),
                         void *opaque)
{
    bus->eoi = eoi;
    bus->eoi_opaque = opaque;
}

void hk_apic_bus_set_phys_bits(struct hk_apic_bus *bus, uint32_t bits)
{
    bus->phys_bits = bits;
}

int hk_lapic_add(struct hk_apic_bus *bus, const struct hk_lapic_host *host,
                 void *vcpu, struct hk_lapic **out)
{
    struct hk_lapic *apic;

    if (bus->count == bus->max)
        return -HK_EINVAL;
    apic = calloc(1, sizeof(*apic));
    if (apic == NULL)
        return -HK_ENOMEM;
    apic->bus = bus;
    apic->host = host;
    apic->vcpu = vcpu;
    apic->index = bus->count;
    hk_lapic_reset(apic, false);
    bus->apics[bus->count] = apic;
    bus->count++;
    *out = apic;
    return 0;
}

static bool matches_physical(const struct hk_lapic *apic, uint32_t dest,
                             bool wide)
{
    return dest == (wide ? WIDE_ALL : NARROW_ALL) || dest == apic->id;
}

static bool matches_logical(const struct hk_lapic *apic, uint32_t dest,
                            bool wide)
{
    uint32_t ldr = apic->ldr;

    if (dest == (wide ? WIDE_ALL : NARROW_ALL))
        return true;
    if ((apic->base & LAPIC_BASE_EXTD) != 0)
        return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff) != 0;
    if (dest > NARROW_ALL)
        return false;

    uint32_t logical = ldr >> 24;
    if (apic->dfr >> 28 == 0xf)
        return (logical & dest) != 0;
    return logical >> CLUSTER_SHIFT == dest >> CLUSTER_SHIFT &&
           (logical & dest & 0xf) != 0;
}

static bool is_addressed(const struct hk_lapic *apic,
                         const struct hk_lapic *from,
                         const struct hk_apic_msg *msg, enum lapic_short to,
                         bool wide)
{
    if ((apic->base & LAPIC_BASE_EN) == 0)
        return false;
    switch (to) {
    case LAPIC_SHORT_SELF:
        return apic == from;
    case LAPIC_SHORT_ALL:
        return true;
    case LAPIC_SHORT_OTHERS:
        return apic != from;
    case LAPIC_SHORT_NONE:
        break;
    }
    return msg->logical ? matches_logical(apic, msg->dest, wide)
                        : matches_physical(apic, msg->dest, wide);
}

static void deliver_vector(struct hk_lapic *apic, const struct hk_apic_msg *msg)
{
    bool wake;

    if ((apic->svr & LAPIC_SVR_ENABLE) == 0)
        return;
    if (msg->vector < LAPIC_FIRST_VECTOR)
        wake = hk_lapic_raise_error(apic, LAPIC_ESR_RECV_VECTOR);
    else
        wake = hk_lapic_accept(apic, msg->vector, msg->level);
    if (wake)
        apic->host->wake(apic->vcpu);
}

static void deliver(struct hk_lapic *apic, const struct hk_apic_msg *msg)
{
    switch (msg->mode) {
    case HK_APIC_FIXED:
    case HK_APIC_LOWEST:
        deliver_vector(apic, msg);
        return;
    case HK_APIC_NMI:
        apic->host->nmi(apic->vcpu);
        break;
    case HK_APIC_INIT:
        apic->host->init(apic->vcpu);
        break;
    case HK_APIC_STARTUP:
        apic->host->sipi(apic->vcpu, msg->vector);
        break;
    case HK_APIC_SMI:    /* no system management mode */
    case HK_APIC_EXTINT: /* no 8259 that could name a vector */
    default:
        return;
    }
    apic->host->wake(apic->vcpu);
}

/* Of the addressed APICs the one with the lowest processor priority; equals
 * take turns. */
static struct hk_lapic *find_lowest(struct hk_apic_bus *bus,
                                    const struct hk_lapic *from,
                                    const struct hk_apic_msg *msg,
                                    enum lapic_short to, bool wide)
{
    uint32_t count = bus->count;
    uint32_t first = atomic_fetch_add(&bus->rotor, 1) % count;
    struct hk_lapic *best = NULL;

    for (uint32_t i = 0; i < count; i++) {
        struct hk_lapic *apic = bus->apics[(first + i) % count];

        if (!is_addressed(apic, from, msg, to, wide) ||
            (apic->svr & LAPIC_SVR_ENABLE) == 0)
            continue;
        if (best == NULL || apic->ppr < best->ppr)
            best = apic;
    }
    return best;
}

void hk_apic_bus_route(struct hk_apic_bus *bus, struct hk_lapic *from,
                       const struct hk_apic_msg *msg, enum lapic_short to,
                       bool wide)
{
    uint32_t count = bus->count;

    if (count == 0)
        return;
    if (msg->mode == HK_APIC_LOWEST) {
        struct hk_lapic *apic = find_lowest(bus, from, msg, to, wide);

        if (apic != NULL)
            deliver(apic, msg);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (is_addressed(bus->apics[i], from, msg, to, wide))
            deliver(bus->apics[i], msg);
}

void hk_apic_bus_send(struct hk_apic_bus *bus, const struct hk_apic_msg *msg)
{
    bool wide = msg->dest > NARROW_ALL;

    hk_apic_bus_route(bus, NULL, msg, LAPIC_SHORT_NONE, wide);
}

void hk_apic_msg_from_msi(uint64_t address, uint32_t data,
                          struct hk_apic_msg *out)
{
    *out = (struct hk_apic_msg){
        .dest = (uint32_t)(address >> 12) & 0xff,
        .vector = (uint8_t)data,
        .mode = (enum hk_apic_mode)((data >> 8) & 7),
        .logical = (address & (1u << 2)) != 0,
        .level = (data & (1u << 15)) != 0,
        .assert_level = (data & (1u << 14)) != 0,
    };
}
