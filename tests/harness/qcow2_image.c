/* See qcow2_image.h. */
#include "qcow2_image.h"

#include "base/endian.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MASK 0x00fffffffffffe00ull
#define COPIED (1ull << 63)
#define PACKED (1ull << 62)

static void put_be32(struct mem_store *store, uint64_t at, uint32_t value)
{
    uint8_t bytes[4];
    hk_put_be32(bytes, value);
    mem_store_put(store, at, bytes, sizeof(bytes));
}

static void put_be64(struct mem_store *store, uint64_t at, uint64_t value)
{
    uint8_t bytes[8];
    hk_put_be64(bytes, value);
    mem_store_put(store, at, bytes, sizeof(bytes));
}

static void put_count_of_one(struct mem_store *store, uint64_t block,
                             uint64_t cluster, uint32_t order)
{
    uint64_t bits = 1ull << order;
    if (bits < 8) {
        uint8_t byte = store->bytes[block + cluster * bits / 8];
        byte = (uint8_t)(byte | 1u << (cluster * bits % 8));
        mem_store_put(store, block + cluster * bits / 8, &byte, 1);
    } else {
        uint8_t one = 1;
        mem_store_put(store, block + (cluster + 1) * (bits / 8) - 1, &one, 1);
    }
}

uint64_t qcow2_image_make(struct mem_store *store, const struct qcow2_shape *s)
{
    uint64_t cluster = 1ull << s->cluster_bits;
    uint64_t entries =
        (s->size + cluster * (cluster / 8) - 1) / (cluster * (cluster / 8));
    uint64_t l1 = 3 * cluster;
    uint64_t l1_clusters = (entries * 8 + cluster - 1) / cluster;
    uint32_t length = s->version == 3 ? 104 : 72;
    memset(store->bytes, 0, store->room);
    store->size = 0;
    mem_store_put(store, 0, "QFI\xfb", 4);
    put_be32(store, 4, s->version);
    put_be32(store, 20, s->cluster_bits);
    put_be64(store, 24, s->size);
    put_be32(store, 36, (uint32_t)entries);
    put_be64(store, 40, l1);
    put_be64(store, 48, cluster);
    put_be32(store, 56, 1);
    if (s->version == 3) {
        put_be32(store, 96, s->refcount_order);
        put_be32(store, 100, length);
    }
    if (s->backing) {
        size_t format = strlen(s->backing_format);
        put_be32(store, length, 0xe2792aca);
        put_be32(store, length + 4, (uint32_t)format);
        mem_store_put(store, length + 8, s->backing_format, format);
        put_be64(store, 8, length + 32);
        put_be32(store, 16, (uint32_t)strlen(s->backing));
        mem_store_put(store, length + 32, s->backing, strlen(s->backing));
    }
    put_be64(store, cluster, 2 * cluster);
    put_be64(store, l1 + l1_clusters * cluster - 8, 0);
    for (uint64_t i = 0; i < 3 + l1_clusters; i++)
        put_count_of_one(store, 2 * cluster, i, s->refcount_order);
    return l1;
}

/* ------------------------------------------------------------------ */

struct judge {
    const struct mem_store *store;
    struct qcow2_verdict *out;
    uint64_t cluster;
    uint32_t cluster_bits;
    uint32_t order;
    uint64_t count; /* clusters in the file, rounded up */
    uint32_t *uses;
    uint64_t reftable;
    uint64_t reftable_entries;
};

static void fault(struct judge *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (j->out->errors++ == 0)
        vsnprintf(j->out->text, sizeof(j->out->text), format, args);
    va_end(args);
}

static uint64_t load(struct judge *j, uint64_t at)
{
    uint8_t bytes[8] = {0};
    for (uint64_t i = 0; i < 8 && at + i < j->store->size; i++)
        bytes[i] = j->store->bytes[at + i];
    return hk_get_be64(bytes);
}

static void use(struct judge *j, uint64_t at, uint64_t len, const char *what)
{
    for (uint64_t c = at / j->cluster; c <= (at + len - 1) / j->cluster; c++) {
        if (c < j->count)
            j->uses[c]++;
        else
            fault(j, "%s at %#llx is outside the file", what,
                  (unsigned long long)at);
    }
}

static uint64_t counted(struct judge *j, uint64_t cluster)
{
    uint64_t bits = 1ull << j->order;
    uint64_t per_block = j->cluster * 8 / bits;
    uint64_t index = cluster % per_block;
    if (cluster / per_block >= j->reftable_entries)
        return 0;
    uint64_t block = load(j, j->reftable + cluster / per_block * 8) & MASK;
    if (block == 0)
        return 0;
    if (bits < 8) {
        uint64_t at = block + index * bits / 8;
        uint8_t byte = at < j->store->size ? j->store->bytes[at] : 0;
        return (uint64_t)(byte >> (index * bits % 8)) & ((1u << bits) - 1);
    }
    return load(j, block + index * (bits / 8)) >> (64 - bits);
}

static void check_copied(struct judge *j, uint64_t entry, const char *what)
{
    uint64_t count = counted(j, (entry & MASK) / j->cluster);
    if (((entry & COPIED) != 0) != (count == 1))
        fault(j, "%s %#llx: flag and count %llu do not fit", what,
              (unsigned long long)entry, (unsigned long long)count);
}

static void walk_l2(struct judge *j, uint64_t table, bool active)
{
    for (uint64_t i = 0; i < j->cluster / 8; i++) {
        uint64_t entry = load(j, table + i * 8);
        if (entry & PACKED) {
            uint32_t bits = 62 - (j->cluster_bits - 8);
            uint64_t at = entry & ((1ull << bits) - 1);
            uint64_t n = (entry >> bits & ((1ull << (62 - bits)) - 1)) + 1;
            use(j, at, n * 512 - at % 512, "packed cluster");
            continue;
        }
        if ((entry & MASK) == 0)
            continue;
        use(j, entry & MASK, j->cluster, "data cluster");
        if (active)
            check_copied(j, entry, "L2 entry");
    }
}

static void walk_l1(struct judge *j, uint64_t table, uint64_t entries,
                    bool active)
{
    if (entries > 0)
        use(j, table, entries * 8, "L1 table");
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t entry = load(j, table + i * 8);
        if ((entry & MASK) == 0)
            continue;
        use(j, entry & MASK, j->cluster, "L2 table");
        if (active)
            check_copied(j, entry, "L1 entry");
        walk_l2(j, entry & MASK, active);
    }
}

static void walk_snapshots(struct judge *j)
{
    const uint8_t *h = j->store->bytes;
    uint64_t start = hk_get_be64(h + 64), at = start;
    for (uint32_t i = 0; i < hk_get_be32(h + 60); i++) {
        uint64_t ids = load(j, at + 8) >> 32; /* after L1 offset, L1 entries */
        walk_l1(j, load(j, at), ids, false);
        uint64_t lens = load(j, at + 12);
        uint64_t extra = load(j, at + 36) >> 32;
        at += 40 + extra + (lens >> 48) + (lens >> 32 & 0xffff);
        at = (at + 7) & ~7ull;
    }
    if (at > start)
        use(j, start, at - start, "snapshot table");
}

void qcow2_image_check(const struct mem_store *store, struct qcow2_verdict *out)
{
    const uint8_t *h = store->bytes;
    struct judge j = {.store = store, .out = out};
    memset(out, 0, sizeof(*out));
    j.cluster_bits = hk_get_be32(h + 20);
    j.cluster = 1ull << j.cluster_bits;
    j.order = hk_get_be32(h + 4) == 3 ? hk_get_be32(h + 96) : 4;
    j.count = (store->size + j.cluster - 1) / j.cluster;
    j.uses = calloc(j.count + 1, sizeof(*j.uses));
    if (!j.uses)
        abort();
    j.reftable = hk_get_be64(h + 48);
    j.reftable_entries = hk_get_be32(h + 56) * j.cluster / 8;
    use(&j, 0, j.cluster, "header");
    use(&j, j.reftable, j.reftable_entries * 8, "refcount table");
    for (uint64_t i = 0; i < j.reftable_entries; i++)
        if (load(&j, j.reftable + i * 8) & MASK)
            use(&j, load(&j, j.reftable + i * 8) & MASK, j.cluster,
                "refcount block");
    walk_l1(&j, hk_get_be64(h + 40), hk_get_be32(h + 36), true);
    walk_snapshots(&j);
    for (uint64_t c = 0; c < j.count; c++) {
        uint64_t count = counted(&j, c);
        if (count < j.uses[c])
            fault(&j, "cluster %llu has %u users and count %llu",
                  (unsigned long long)c, j.uses[c], (unsigned long long)count);
        out->leaks += count > j.uses[c];
    }
    free(j.uses);
}
