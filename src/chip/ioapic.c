#include "chip/ioapic.h"

#include "base/assert.h"
#include "base/lock.h"

#include <stdlib.h>

/* Memory-mapped registers, and the indirect ones that SELECT names. */
enum {
    REG_SELECT = 0x00,
    REG_WINDOW = 0x10,
    REG_EOI = 0x40,
    IND_ID = 0x00,
    IND_VERSION = 0x01,
    IND_ARBITRATION = 0x02,
    IND_ENTRIES = 0x10, /* two for each pin */
};

enum {
    VERSION = 0x20,
    ID_SHIFT = 24,
    ID_BITS = 0xf,
};

/*
 * A redirection entry:
 *
 *   63    56 55        17 16 15 14  13 12 11 10   8 7      0
 *  +--------+------------+--+--+---+--+--+--+------+--------+
 *  |  dest  |  reserved  |M |T |IRR|P |S |L | mode | vector |
 *  +--------+------------+--+--+---+--+--+--+------+--------+
 */
static const uint64_t LOGICAL = UINT64_C(1) << 11;
static const uint64_t REMOTE_IRR = UINT64_C(1) << 14;
static const uint64_t LEVEL = UINT64_C(1) << 15;
static const uint64_t MASKED = UINT64_C(1) << 16;
static const uint64_t LOW_WRITABLE = 0x1afff;
static const uint64_t HIGH_WRITABLE = UINT64_C(0xff) << 56;

struct hk_ioapic {
    void (*send)(void *opaque, const struct hk_apic_msg *msg);
    void *opaque;
    struct hk_lock lock;
    uint8_t id;
    uint8_t select;
    uint32_t lines; /* level of each pin */
    uint64_t entries[HK_IOAPIC_PINS];
};

/* What to send once the lock is released. */
struct outbox {
    uint32_t count;
    struct hk_apic_msg msgs[HK_IOAPIC_PINS];
};

int hk_ioapic_create(uint8_t id,
                     void (*send)(void *opaque, const struct hk_apic_msg *),
                     void *opaque, struct hk_ioapic **out)
{
    struct hk_ioapic *ioapic = calloc(1, sizeof(*ioapic));
    if (ioapic == NULL)
        return -HK_ENOMEM;
    ioapic->send = send;
    ioapic->opaque = opaque;
    ioapic->id = id & ID_BITS;
    for (size_t i = 0; i < HK_IOAPIC_PINS; i++)
        ioapic->entries[i] = MASKED;
    *out = ioapic;
    return 0;
}

void hk_ioapic_destroy(struct hk_ioapic *ioapic)
{
    free(ioapic);
}

static void flush(struct hk_ioapic *ioapic, const struct outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++)
        ioapic->send(ioapic->opaque, &outbox->msgs[i]);
}

static enum hk_apic_mode entry_mode(uint64_t entry)
{
    return (enum hk_apic_mode)((entry >> 8) & 7);
}

/* Trigger mode counts for fixed and lowest priority only: the other modes are
 * edges whatever the bit says, and no EOI follows them. */
static bool is_level(uint64_t entry)
{
    return (entry & LEVEL) != 0 && entry_mode(entry) <= HK_APIC_LOWEST;
}

static void put(struct outbox *outbox, uint64_t entry)
{
    outbox->msgs[outbox->count++] = (struct hk_apic_msg){
        .dest = (uint32_t)(entry >> 56),
        .vector = (uint8_t)entry,
        .mode = entry_mode(entry),
        .logical = (entry & LOGICAL) != 0,
        .level = is_level(entry),
        .assert_level = true,
    };
}

/* Sends a level-triggered pin that is asserted and not yet accepted. */
static void service_level(struct hk_ioapic *ioapic, uint32_t pin,
                          struct outbox *outbox)
{
    uint64_t *entry = &ioapic->entries[pin];

    if (!is_level(*entry) || (*entry & (MASKED | REMOTE_IRR)) != 0 ||
        (ioapic->lines & (1u << pin)) == 0)
        return;
    *entry |= REMOTE_IRR;
    put(outbox, *entry);
}

static void set_pin(void *controller, uint32_t pin, bool level)
{
    struct hk_ioapic *ioapic = controller;
    struct outbox outbox;
    uint32_t bit = 1u << pin;

    outbox.count = 0;
    hk_lock(&ioapic->lock);
    bool rose = level && (ioapic->lines & bit) == 0;
    if (level)
        ioapic->lines |= bit;
    else
        ioapic->lines &= ~bit;
    if (is_level(ioapic->entries[pin]))
        service_level(ioapic, pin, &outbox);
    else if (rose && (ioapic->entries[pin] & MASKED) == 0)
        put(&outbox, ioapic->entries[pin]); /* a masked edge is lost */
    hk_unlock(&ioapic->lock);
    flush(ioapic, &outbox);
}

struct hk_irq hk_ioapic_irq(struct hk_ioapic *ioapic, uint32_t pin)
{
    hk_assert(pin < HK_IOAPIC_PINS);
    return (struct hk_irq){
        .set = set_pin,
        .controller = ioapic,
        .pin = pin,
    };
}

static void finish_vector(struct hk_ioapic *ioapic, uint8_t vector,
                          struct outbox *outbox)
{
    for (uint32_t pin = 0; pin < HK_IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->entries[pin];

        if ((*entry & REMOTE_IRR) == 0 || (uint8_t)*entry != vector)
            continue;
        *entry &= ~REMOTE_IRR;
        service_level(ioapic, pin, outbox);
    }
}

void hk_ioapic_eoi(struct hk_ioapic *ioapic, uint8_t vector)
{
    struct outbox outbox;

    outbox.count = 0;
    hk_lock(&ioapic->lock);
    finish_vector(ioapic, vector, &outbox);
    hk_unlock(&ioapic->lock);
    flush(ioapic, &outbox);
}

static uint32_t read_indirect(const struct hk_ioapic *ioapic)
{
    uint32_t index = ioapic->select;

    if (index == IND_ID || index == IND_ARBITRATION)
        return (uint32_t)ioapic->id << ID_SHIFT;
    if (index == IND_VERSION)
        return (HK_IOAPIC_PINS - 1) << 16 | VERSION;
    if (index < IND_ENTRIES || index >= IND_ENTRIES + 2 * HK_IOAPIC_PINS)
        return 0;
    uint64_t entry = ioapic->entries[(index - IND_ENTRIES) / 2];
    return (uint32_t)((index & 1) != 0 ? entry >> 32 : entry);
}

static void write_entry(struct hk_ioapic *ioapic, uint32_t index,
                        uint32_t value, struct outbox *outbox)
{
    uint32_t pin = (index - IND_ENTRIES) / 2;
    uint64_t *entry = &ioapic->entries[pin];

    if ((index & 1) != 0) {
        *entry =
            (*entry & ~HIGH_WRITABLE) | ((uint64_t)value << 32 & HIGH_WRITABLE);
        return;
    }
    *entry = (*entry & ~LOW_WRITABLE) | (value & LOW_WRITABLE);
    /* An edge entry has no remote IRR; some guests clear a stuck one by
     * switching to edge and back. */
    if (!is_level(*entry))
        *entry &= ~REMOTE_IRR;
    service_level(ioapic, pin, outbox);
}

static void write_indirect(struct hk_ioapic *ioapic, uint32_t value,
                           struct outbox *outbox)
{
    uint32_t index = ioapic->select;

    if (index == IND_ID)
        ioapic->id = (uint8_t)(value >> ID_SHIFT) & ID_BITS;
    else if (index >= IND_ENTRIES && index < IND_ENTRIES + 2 * HK_IOAPIC_PINS)
        write_entry(ioapic, index, value, outbox);
}

static uint64_t ioapic_read(void *device, uint64_t offset, uint32_t size)
{
    struct hk_ioapic *ioapic = device;
    uint32_t value = 0;

    hk_lock(&ioapic->lock);
    if (offset == REG_SELECT)
        value = ioapic->select;
    else if (offset == REG_WINDOW)
        value = read_indirect(ioapic);
    hk_unlock(&ioapic->lock);
    return value;
}

static void ioapic_write(void *device, uint64_t offset, uint32_t size,
                         uint64_t value)
{
    struct hk_ioapic *ioapic = device;
    struct outbox outbox;

    outbox.count = 0;
    hk_lock(&ioapic->lock);
    if (offset == REG_SELECT)
        ioapic->select = (uint8_t)value;
    else if (offset == REG_WINDOW)
        write_indirect(ioapic, (uint32_t)value, &outbox);
    else if (offset == REG_EOI)
        finish_vector(ioapic, (uint8_t)value, &outbox);
    hk_unlock(&ioapic->lock);
    flush(ioapic, &outbox);
}

const struct hk_bus_ops hk_ioapic_bus_ops = {
    .name = "ioapic",
    .read = ioapic_read,
    .write = ioapic_write,
};
