/*
 * The split virtqueue, device side. How this works:
 *
 *   guest memory, shared with a driver that may be hostile
 *
 *   descriptors             available ring         used ring
 *   +----------------+      +-------+              +-------+
 *   |0 addr len fl nx|      | flags | driver       | flags | device
 *   |1 addr len fl nx| <-+  | idx   | writes       | idx   | writes
 *   |2 addr len fl nx|   |  | [0]   |              | [0]   | id, written
 *   |...             |   +--| [1]   |              | [1]   |
 *   +----------------+      | ...   |              | ...   |
 *                           | used_ |              | avail_|
 *                           | event |              | event |
 *                           +-------+              +-------+
 *
 * The driver describes a buffer by a chain of descriptors, writes the number
 * of the first into the available ring and raises its idx. The device takes
 * it from there (pop) and, when done, writes the number and how many bytes it
 * wrote into the used ring and raises that idx (push). Both indexes run free
 * from 0 to 65535 and around; the slot is the index modulo the size.
 *
 * Who waits for whom. Each side tells the other when it wants to be told. With
 * the event index it writes the index whose passing it wants to hear of:
 * used_event by the driver, avail_event by the device. Before sleeping, a side
 * publishes its wish and then looks at the other's idx once more; after
 * raising idx, a side looks at the other's wish. Each is a store followed by a
 * load of something else, which processors like to turn round, so all four
 * accesses are sequentially consistent: one of the two sides then sees the
 * other, and no wake-up is lost. hk_virtq_pop does this by itself whenever it
 * finds nothing: a device that pops until there is nothing is armed.
 *
 * What is trusted: nothing. The addresses of the three areas are checked once
 * and kept. `next_avail`, `used` and the chains are ours alone; the driver's
 * memory is never used to remember anything. Of what it writes
 *   - the idx may lead ours by what it can have: the size less what we hold;
 *   - a head is below the size and not one that we hold;
 *   - a descriptor is copied, then checked, then used;
 *   - a chain ends after at most `size` buffers, whatever links it has, and
 *     comprises at most 4 GiB;
 *   - an indirect table is copied as a whole, has 1 to `size` entries, ends a
 *     chain and has no table in it;
 *   - readable parts come first;
 *   - every byte of a buffer is RAM (it may cross from one region to the
 *     next); it becomes a list of host spans here and now.
 * Anything else stops the queue until the driver resets the device. What the
 * driver does to the bytes of a buffer afterwards is between it and the
 * device's own reading.
 *
 * Memory: chains are made with the queue, one for each buffer that the driver
 * can make available. The span list of a chain grows to what the driver uses
 * and is kept, so a steady load allocates nothing; free chains are a stack, so
 * that a few of them do all the work.
 */
#include "virtio/virtq.h"
#include "virtio/chain_int.h"
#include "virtio/virtq_int.h"

#include "base/assert.h"
#include "base/checked.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

enum {
    DESC_BYTES = 16,
    DESC_F_NEXT = 1,
    DESC_F_WRITE = 2,
    DESC_F_INDIRECT = 4,

    AVAIL_F_NO_INTERRUPT = 1,
    USED_F_NO_NOTIFY = 1,

    /* Both rings: flags and idx, then the entries, then the event. */
    RING_IDX = 2,
    RING_ENTRIES = 4,
    AVAIL_ENTRY_BYTES = 2,
    USED_ENTRY_BYTES = 8,
    EVENT_BYTES = 2,

    SPANS_FIRST = 8,
    /* A buffer crosses from one RAM region to the next at most so often. */
    SPANS_SLACK = HK_GMEM_MAX_REGIONS,
};

static const uint64_t CHAIN_BYTES_MAX = UINT64_C(1) << 32;

/* One of the three areas; `host` is NULL when it is not in one piece. */
struct area {
    hk_gpa_t gpa;
    uint8_t *host;
};

struct hk_virtq {
    struct hk_gmem *gmem;
    const struct hk_virtq_host *host;
    void *opaque;
    uint32_t index;
    uint32_t size;
    bool event_idx;
    bool indirect;
    bool stopped;
    bool kicks_wanted;
    struct area desc;
    struct area avail;
    struct area used;

    uint16_t next_avail;  /* what we pop next */
    uint16_t seen_avail;  /* the driver's idx when we last looked */
    uint16_t armed_avail; /* the avail_event we published */
    uint16_t next_used;   /* our used idx */
    uint32_t unsignalled; /* pushes since the driver was last considered */
    uint32_t in_flight;

    struct hk_chain *chains; /* `size` of them */
    struct hk_chain *free;
    bool *held;     /* by head: popped and not pushed */
    uint8_t *table; /* a copy of an indirect table; `size` entries */
};

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

/* ------------------------------------------------------------------ */
/* The shared areas                                                   */

static uint64_t desc_bytes(uint32_t size)
{
    return (uint64_t)size * DESC_BYTES;
}

static uint64_t avail_bytes(uint32_t size)
{
    return RING_ENTRIES + (uint64_t)size * AVAIL_ENTRY_BYTES + EVENT_BYTES;
}

static uint64_t used_bytes(uint32_t size)
{
    return RING_ENTRIES + (uint64_t)size * USED_ENTRY_BYTES + EVENT_BYTES;
}

static void area_init(struct area *area, struct hk_gmem *gmem, hk_gpa_t gpa,
                      uint64_t bytes)
{
    area->gpa = gpa;
    if (hk_gmem_span(gmem, gpa, bytes, &area->host) < bytes)
        area->host = NULL;
}

/*
 * The host address of a field. The area is RAM and the field aligned, so it
 * lies in one piece even when the area does not.
 */
static uint8_t *field(struct hk_virtq *vq, const struct area *area,
                      uint64_t offset)
{
    uint8_t *host = NULL;

    if (area->host != NULL)
        return area->host + offset;
    (void)!hk_gmem_span(vq->gmem, area->gpa + offset, 1, &host);
    return host;
}

static uint16_t load16(struct hk_virtq *vq, const struct area *area,
                       uint64_t offset)
{
    const uint16_t *p =
        __builtin_assume_aligned(field(vq, area, offset), sizeof(*p));
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void store16(struct hk_virtq *vq, const struct area *area,
                    uint64_t offset, uint16_t value)
{
    uint16_t *p = __builtin_assume_aligned(field(vq, area, offset), sizeof(*p));
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

static uint64_t used_event_offset(const struct hk_virtq *vq)
{
    return RING_ENTRIES + (uint64_t)vq->size * AVAIL_ENTRY_BYTES;
}

static uint64_t avail_event_offset(const struct hk_virtq *vq)
{
    return RING_ENTRIES + (uint64_t)vq->size * USED_ENTRY_BYTES;
}

/* Asks for a kick when the driver's index passes `at`. */
static void arm(struct hk_virtq *vq, uint16_t at)
{
    vq->armed_avail = at;
    store16(vq, &vq->used, avail_event_offset(vq), at);
}

/* ------------------------------------------------------------------ */
/* Life                                                               */

const char *hk_virtq_check(const struct hk_virtq_config *config)
{
    uint32_t size = config->size;

    if (!hk_is_power_of_two(size) || size > HK_VIRTQ_SIZE_MAX)
        return "its size is not one that was offered";
    if (config->desc % 16 != 0 || config->avail % 2 != 0 ||
        config->used % 4 != 0)
        return "one of its areas is not aligned";
    if (!hk_gmem_has(config->gmem, config->desc, desc_bytes(size)) ||
        !hk_gmem_has(config->gmem, config->avail, avail_bytes(size)) ||
        !hk_gmem_has(config->gmem, config->used, used_bytes(size)))
        return "one of its areas is not in memory";
    return NULL;
}

static int make_chains(struct hk_virtq *vq)
{
    vq->chains = calloc(vq->size, sizeof(*vq->chains));
    vq->held = calloc(vq->size, sizeof(*vq->held));
    if (vq->indirect)
        vq->table = calloc(vq->size, DESC_BYTES);
    if (vq->chains == NULL || vq->held == NULL ||
        (vq->indirect && vq->table == NULL))
        return -HK_ENOMEM;
    for (uint32_t i = vq->size; i > 0; i--) {
        struct hk_chain *chain = &vq->chains[i - 1];
        chain->vq = vq;
        chain->next_free = vq->free;
        vq->free = chain;
    }
    return 0;
}

int hk_virtq_create(const struct hk_virtq_config *config, struct hk_virtq **out)
{
    if (hk_virtq_check(config) != NULL)
        return -HK_EINVAL;
    struct hk_virtq *vq = calloc(1, sizeof(*vq));
    if (vq == NULL)
        return -HK_ENOMEM;
    vq->gmem = config->gmem;
    vq->host = config->host;
    vq->opaque = config->opaque;
    vq->index = config->index;
    vq->size = config->size;
    vq->event_idx = config->event_idx;
    vq->indirect = config->indirect;
    area_init(&vq->desc, vq->gmem, config->desc, desc_bytes(vq->size));
    area_init(&vq->avail, vq->gmem, config->avail, avail_bytes(vq->size));
    area_init(&vq->used, vq->gmem, config->used, used_bytes(vq->size));
    if (make_chains(vq) != 0) {
        hk_virtq_destroy(vq);
        return -HK_ENOMEM;
    }
    store16(vq, &vq->used, 0, 0);
    hk_virtq_want_kicks(vq, true);
    *out = vq;
    return 0;
}

void hk_virtq_stop(struct hk_virtq *vq)
{
    vq->stopped = true;
}

void hk_virtq_destroy(struct hk_virtq *vq)
{
    if (vq == NULL)
        return;
    for (uint32_t i = 0; vq->chains != NULL && i < vq->size; i++)
        free(vq->chains[i].spans);
    free(vq->chains);
    free(vq->held);
    free(vq->table);
    free(vq);
}

struct hk_gmem *hk_virtq_gmem(const struct hk_virtq *vq)
{
    return vq->gmem;
}

uint32_t hk_virtq_size(const struct hk_virtq *vq)
{
    return vq->size;
}

uint32_t hk_virtq_index(const struct hk_virtq *vq)
{
    return vq->index;
}

uint32_t hk_virtq_in_flight(const struct hk_virtq *vq)
{
    return vq->in_flight;
}

/* ------------------------------------------------------------------ */
/* Descriptors to chains                                              */

/* Stops the queue; the caller returns the result. */
static int break_rule(struct hk_virtq *vq, const char *reason)
{
    vq->stopped = true;
    vq->host->broken(vq->opaque, reason);
    return -HK_EPROTO;
}

static struct desc parse_desc(const uint8_t *bytes)
{
    return (struct desc){
        .addr = hk_get_le64(bytes),
        .len = hk_get_le32(bytes + 8),
        .flags = hk_get_le16(bytes + 12),
        .next = hk_get_le16(bytes + 14),
    };
}

static int grow_spans(struct hk_chain *chain)
{
    uint32_t room = chain->room == 0 ? SPANS_FIRST : chain->room * 2;
    struct span *spans = realloc(chain->spans, room * sizeof(*spans));

    if (spans == NULL)
        return -HK_ENOMEM;
    chain->spans = spans;
    chain->room = room;
    return 0;
}

/* Adds [addr, addr+len) as host spans. NULL, or what is wrong. */
static const char *add_spans(struct hk_chain *chain, uint64_t addr,
                             uint64_t len)
{
    const struct hk_virtq *vq = chain->vq;
    uint64_t end;

    if (!hk_add_u64(addr, len, &end))
        return "a buffer wraps around the end of the address space";
    while (len > 0) {
        uint8_t *host;
        uint64_t run = hk_gmem_span(vq->gmem, addr, len, &host);

        if (run == 0)
            return "a buffer is not in memory";
        if (chain->count == vq->size + SPANS_SLACK)
            return "a buffer has too many pieces";
        if (chain->count == chain->room && grow_spans(chain) != 0)
            return "there is no host memory for its buffers";
        chain->spans[chain->count++] = (struct span){host, run};
        addr += run;
        len -= run;
    }
    return NULL;
}

static const char *add_desc(struct hk_chain *chain, const struct desc *desc)
{
    bool writable = (desc->flags & DESC_F_WRITE) != 0;

    if (!writable && chain->writable != 0)
        return "a readable buffer follows a writable one";
    if (chain->readable + chain->writable + desc->len > CHAIN_BYTES_MAX)
        return "a chain has more than 4 GiB";
    const char *wrong = add_spans(chain, desc->addr, desc->len);
    if (wrong != NULL)
        return wrong;
    if (writable) {
        chain->writable += desc->len;
    } else {
        chain->readable += desc->len;
        chain->first_writable = chain->count;
    }
    return NULL;
}

static void chain_rewind(struct hk_chain *chain)
{
    chain->rd = (struct cursor){.span = 0, .left = chain->readable};
    chain->wr = (struct cursor){
        .span = chain->first_writable,
        .left = chain->writable,
    };
}

/* The descriptors of one table: the queue's own or an indirect copy. */
struct walk {
    struct hk_chain *chain;
    const uint8_t *table; /* NULL: the queue's own */
    uint32_t entries;
    uint32_t budget; /* buffers that the chain may still have */
};

static struct desc load_desc(struct walk *walk, uint32_t at)
{
    struct hk_virtq *vq = walk->chain->vq;
    uint64_t offset = (uint64_t)at * DESC_BYTES;
    uint8_t copy[DESC_BYTES];

    if (walk->table != NULL)
        return parse_desc(walk->table + offset);
    memcpy(copy, field(vq, &vq->desc, offset), sizeof(copy));
    return parse_desc(copy);
}

/*
 * Follows links from `at` until the last buffer or an indirect descriptor,
 * which is left in *indirect for the caller. NULL, or what is wrong.
 */
static const char *follow(struct walk *walk, uint32_t at, struct desc *indirect)
{
    indirect->flags = 0;
    while (walk->budget > 0) {
        struct desc desc = load_desc(walk, at);

        if ((desc.flags & DESC_F_INDIRECT) != 0) {
            *indirect = desc;
            return NULL;
        }
        walk->budget--;
        const char *wrong = add_desc(walk->chain, &desc);
        if (wrong != NULL || (desc.flags & DESC_F_NEXT) == 0)
            return wrong;
        at = desc.next;
        if (at >= walk->entries)
            return "a link leads out of the table";
    }
    return "a chain is longer than the queue";
}

static const char *follow_indirect(struct walk *walk, const struct desc *desc)
{
    struct hk_virtq *vq = walk->chain->vq;
    struct desc nested;

    if (!vq->indirect)
        return "an indirect table, which was not negotiated";
    if ((desc->flags & DESC_F_NEXT) != 0)
        return "an indirect descriptor has a link";
    if (desc->len == 0 || desc->len % DESC_BYTES != 0)
        return "an indirect table has a wrong length";
    walk->entries = desc->len / DESC_BYTES;
    if (walk->entries > vq->size)
        return "an indirect table is longer than the queue";
    if (hk_gmem_copy_in(vq->gmem, vq->table, desc->addr, desc->len) != 0)
        return "an indirect table is not in memory";
    walk->table = vq->table;
    const char *wrong = follow(walk, 0, &nested);
    if (wrong == NULL && nested.flags != 0)
        return "an indirect table within an indirect table";
    return wrong;
}

/* Fills the chain from the descriptors that begin at its head. */
static const char *gather(struct hk_virtq *vq, struct hk_chain *chain)
{
    struct walk walk = {
        .chain = chain,
        .entries = vq->size,
        .budget = vq->size,
    };
    struct desc indirect;

    chain->tag = 0;
    chain->count = 0;
    chain->first_writable = 0;
    chain->readable = 0;
    chain->writable = 0;
    const char *wrong = follow(&walk, chain->head, &indirect);
    if (wrong == NULL && indirect.flags != 0)
        wrong = follow_indirect(&walk, &indirect);
    chain_rewind(chain);
    return wrong;
}

/* ------------------------------------------------------------------ */
/* The rings                                                          */

/* Looks at the driver's idx. NULL, or what is wrong with it. */
static const char *refresh(struct hk_virtq *vq)
{
    uint16_t idx = load16(vq, &vq->avail, RING_IDX);
    uint16_t waiting = (uint16_t)(idx - vq->next_avail);

    if (waiting + vq->in_flight > vq->size)
        return "the available index is more than the queue ahead";
    vq->seen_avail = idx;
    return NULL;
}

/* Is there something to pop? Arms the driver's kick when there is not. */
static const char *look(struct hk_virtq *vq, bool *found)
{
    const char *wrong = NULL;

    if (vq->next_avail == vq->seen_avail)
        wrong = refresh(vq);
    if (wrong == NULL && vq->next_avail == vq->seen_avail && vq->event_idx &&
        vq->kicks_wanted && vq->armed_avail != vq->next_avail) {
        arm(vq, vq->next_avail);
        wrong = refresh(vq);
    }
    *found = vq->next_avail != vq->seen_avail;
    return wrong;
}

int hk_virtq_pop(struct hk_virtq *vq, struct hk_chain **out)
{
    bool found;

    if (vq->stopped)
        return 0;
    const char *wrong = look(vq, &found);
    if (wrong != NULL)
        return break_rule(vq, wrong);
    if (!found)
        return 0;

    uint64_t slot = vq->next_avail & (vq->size - 1);
    uint16_t head =
        load16(vq, &vq->avail, RING_ENTRIES + slot * AVAIL_ENTRY_BYTES);
    if (head >= vq->size)
        return break_rule(vq, "a head is not within the queue");
    if (vq->held[head])
        return break_rule(vq, "a buffer was made available twice");

    struct hk_chain *chain = vq->free; /* there is one: see refresh */
    chain->head = head;
    chain->avail = vq->next_avail;
    wrong = gather(vq, chain);
    if (wrong != NULL)
        return break_rule(vq, wrong);
    vq->free = chain->next_free;
    vq->held[head] = true;
    vq->next_avail++;
    vq->in_flight++;
    *out = chain;
    return 1;
}

static void release(struct hk_virtq *vq, struct hk_chain *chain)
{
    vq->held[chain->head] = false;
    vq->in_flight--;
    chain->next_free = vq->free;
    vq->free = chain;
}

void hk_virtq_unpop(struct hk_virtq *vq, struct hk_chain *chain)
{
    /* Only the last one: the ring is popped in order. */
    hk_assert(chain->vq == vq && vq->held[chain->head]);
    hk_assert((uint16_t)(chain->avail + 1) == vq->next_avail);
    vq->next_avail--;
    release(vq, chain);
}

void hk_virtq_push(struct hk_virtq *vq, struct hk_chain *chain,
                   uint32_t written)
{
    uint8_t entry[USED_ENTRY_BYTES];
    uint64_t slot = vq->next_used & (vq->size - 1);

    hk_assert(chain->vq == vq && vq->held[chain->head]);
    release(vq, chain);
    if (vq->stopped)
        return;
    if (written > chain->writable)
        written = (uint32_t)chain->writable;
    hk_put_le32(entry, chain->head);
    hk_put_le32(entry + 4, written);
    memcpy(field(vq, &vq->used, RING_ENTRIES + slot * USED_ENTRY_BYTES), entry,
           sizeof(entry));
    vq->next_used++;
    vq->unsignalled++;
    store16(vq, &vq->used, RING_IDX, vq->next_used);
}

/* Did the driver ask to hear of what was pushed since it was last asked? */
static bool driver_waits(struct hk_virtq *vq)
{
    if (!vq->event_idx)
        return (load16(vq, &vq->avail, 0) & AVAIL_F_NO_INTERRUPT) == 0;
    if (vq->unsignalled > UINT16_MAX)
        return true; /* the index went round: it passed every event */
    uint16_t event = load16(vq, &vq->avail, used_event_offset(vq));
    return (uint16_t)(vq->next_used - event - 1) < vq->unsignalled;
}

void hk_virtq_signal(struct hk_virtq *vq)
{
    if (vq->stopped || vq->unsignalled == 0)
        return;
    bool waits = driver_waits(vq);
    vq->unsignalled = 0;
    if (waits)
        vq->host->interrupt(vq->opaque);
}

void hk_virtq_want_kicks(struct hk_virtq *vq, bool on)
{
    vq->kicks_wanted = on;
    if (vq->stopped)
        return;
    if (!vq->event_idx)
        store16(vq, &vq->used, 0, on ? 0 : USED_F_NO_NOTIFY);
    else if (on) /* not at what we pop next: that may have passed already */
        arm(vq, load16(vq, &vq->avail, RING_IDX));
    /* Off: the event stays where it is and is passed once at most. */
}

bool hk_virtq_has_more(struct hk_virtq *vq)
{
    if (vq->stopped)
        return false;
    return load16(vq, &vq->avail, RING_IDX) != vq->next_avail;
}
