/* The bounded caches of L2 tables and refcount blocks. */
#include "disk/qcow2_int.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { TABLES_MIN = 8, TABLES_MAX = 1024 };

int qcow2_cache_init(struct qcow2_cache *cache, uint64_t cluster_size,
                     uint64_t bytes_max)
{
    uint64_t count = bytes_max / cluster_size;
    if (count < TABLES_MIN)
        count = TABLES_MIN;
    if (count > TABLES_MAX)
        count = TABLES_MAX;
    uint32_t buckets = 1;
    while (buckets < count)
        buckets *= 2;
    cache->count = (uint32_t)count;
    cache->bucket_mask = buckets - 1;
    cache->tables = calloc(count, sizeof(*cache->tables));
    cache->buckets = calloc(buckets, sizeof(*cache->buckets));
    return cache->tables && cache->buckets ? 0 : -HK_ENOMEM;
}

void qcow2_cache_fini(struct qcow2_cache *cache)
{
    for (uint32_t i = 0; cache->tables && i < cache->count; i++)
        free(cache->tables[i].bytes);
    free(cache->tables);
    free(cache->buckets);
    *cache = (struct qcow2_cache){0};
}

bool qcow2_cache_has_room(const struct qcow2_cache *cache)
{
    return cache->dirty < cache->count;
}

void qcow2_cache_set_dirty(struct qcow2_cache *cache, struct qcow2_table *table)
{
    if (!table->dirty)
        cache->dirty++;
    table->dirty = true;
}

static uint32_t *bucket(struct qcow2_cache *cache, uint64_t offset)
{
    uint64_t hash = (offset >> QCOW2_CLUSTER_BITS_MIN) * 0x9e3779b97f4a7c15ull;
    return &cache->buckets[(hash >> 32) & cache->bucket_mask];
}

static void link_table(struct qcow2_cache *cache, struct qcow2_table *table,
                       uint64_t offset)
{
    uint32_t *head = bucket(cache, offset);
    table->offset = offset;
    table->next = *head;
    *head = (uint32_t)(table - cache->tables) + 1;
}

static void unlink_table(struct qcow2_cache *cache, struct qcow2_table *table)
{
    if (table->offset == 0)
        return;
    uint32_t *at = bucket(cache, table->offset);
    uint32_t self = (uint32_t)(table - cache->tables) + 1;
    while (*at != self)
        at = &cache->tables[*at - 1].next;
    *at = table->next;
    table->offset = 0;
}

static struct qcow2_table *find(struct qcow2_cache *cache, uint64_t offset)
{
    for (uint32_t i = *bucket(cache, offset); i != 0;
         i = cache->tables[i - 1].next)
        if (cache->tables[i - 1].offset == offset)
            return &cache->tables[i - 1];
    return NULL;
}

/* The clean table that was used longest ago, or NULL. */
static struct qcow2_table *oldest_clean(struct qcow2_cache *cache)
{
    struct qcow2_table *oldest = NULL;
    for (uint32_t i = 0; i < cache->count; i++) {
        struct qcow2_table *table = &cache->tables[i];
        if (table->offset == 0)
            return table;
        if (!table->dirty && (!oldest || table->used < oldest->used))
            oldest = table;
    }
    return oldest;
}

static int write_table(struct hk_qcow2 *q, struct qcow2_cache *cache,
                       struct qcow2_table *table)
{
    int rc =
        hk_disk_write(q->store, table->bytes, q->cluster_size, table->offset);
    if (rc < 0)
        return rc;
    table->dirty = false;
    cache->dirty--;
    return 0;
}

int qcow2_cache_write(struct hk_qcow2 *q, struct qcow2_cache *cache)
{
    for (uint32_t i = 0; cache->dirty > 0 && i < cache->count; i++) {
        if (!cache->tables[i].dirty)
            continue;
        int rc = write_table(q, cache, &cache->tables[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Counts may reach the file at any time: one that is too high is a leak, and
 * they are counted down only when that is safe. L2 tables have to wait for
 * what they refer to, so all tables are written in order. */
static int make_room(struct hk_qcow2 *q, struct qcow2_cache *cache)
{
    if (cache == &q->refblocks)
        return qcow2_cache_write(q, cache);
    hk_assert(!q->flushing);
    return qcow2_write_tables(q, false);
}

/* An unused slot with memory. */
static int take_slot(struct hk_qcow2 *q, struct qcow2_cache *cache,
                     struct qcow2_table **out)
{
    struct qcow2_table *table = oldest_clean(cache);
    if (!table) {
        int rc = make_room(q, cache);
        if (rc < 0)
            return rc;
        table = oldest_clean(cache);
    }
    hk_assert(table);
    unlink_table(cache, table);
    if (!table->bytes)
        table->bytes = malloc(q->cluster_size);
    if (!table->bytes)
        return -HK_ENOMEM;
    *out = table;
    return 0;
}

int qcow2_cache_get(struct hk_qcow2 *q, struct qcow2_cache *cache,
                    uint64_t offset, struct qcow2_table **out)
{
    struct qcow2_table *table = find(cache, offset);
    if (!table) {
        int rc = take_slot(q, cache, &table);
        if (rc == 0)
            rc = qcow2_store_read(q, table->bytes, q->cluster_size, offset);
        if (rc < 0)
            return rc;
        link_table(cache, table, offset);
    }
    table->used = ++cache->clock;
    *out = table;
    return 0;
}

int qcow2_cache_make(struct hk_qcow2 *q, struct qcow2_cache *cache,
                     uint64_t offset, struct qcow2_table **out)
{
    struct qcow2_table *table = find(cache, offset);
    if (table && table->dirty) /* of a time before the cluster was freed */
        cache->dirty--;
    if (table)
        table->dirty = false;
    if (!table) {
        int rc = take_slot(q, cache, &table);
        if (rc < 0)
            return rc;
        link_table(cache, table, offset);
    }
    memset(table->bytes, 0, q->cluster_size);
    table->used = ++cache->clock;
    qcow2_cache_set_dirty(cache, table);
    *out = table;
    return 0;
}

void qcow2_cache_move(struct qcow2_cache *cache, struct qcow2_table *table,
                      uint64_t offset)
{
    hk_assert(!table->dirty);
    struct qcow2_table *stale = find(cache, offset);
    if (stale) {
        if (stale->dirty)
            cache->dirty--;
        stale->dirty = false;
        unlink_table(cache, stale);
    }
    unlink_table(cache, table);
    link_table(cache, table, offset);
    qcow2_cache_set_dirty(cache, table);
}
