/*
 * qcow2, versions 2 and 3 (docs/interop/qcow2 of QEMU is the specification).
 *
 * How this works
 *
 *   L1 table ---> L2 tables ---> clusters with the guest's data
 *   refcount table ---> refcount blocks: how often each cluster is used
 *
 * The L1 and refcount tables are in memory whole; L2 tables and refcount
 * blocks go through bounded caches that are written back at a flush.
 *
 * Order on the file. A process that is killed, or a host that loses power,
 * may leave clusters that nothing refers to ("leaks"), never two users of one
 * cluster. Therefore a flush writes, with a flush of the store between each:
 *   1. data (already written by the requests) and refcount blocks
 *   2. the refcount table
 *   3. L2 tables
 *   4. L1 entries
 * and what becomes free is only counted down after 4, when no reference to it
 * is on the file any more (qcow2_flush.c).
 *
 * Threads. `lock` guards everything below it; it is never held during data
 * I/O. Every request is counted in `in_flight`. Three things wait:
 *  - a request that allocates a guest cluster enters its range in `busy`;
 *    others that change the same cluster's entry wait;
 *  - while a flush is writing tables (`flushing`), nobody changes tables;
 *  - before freed clusters may be used again, all requests that were running
 *    when they became free must have ended (`draining`): a late write must
 *    not land in a cluster that has a new owner.
 * Whoever waits for `busy` or `flushing` holds neither, so there is no cycle.
 *
 * The file is hostile: every offset that comes from it is checked when used.
 */
#ifndef HK_DISK_QCOW2_INT_H
#define HK_DISK_QCOW2_INT_H

#include "disk/disk.h"

#include <uv.h>

enum {
    QCOW2_CLUSTER_BITS_MIN = 9,
    QCOW2_CLUSTER_BITS_MAX = 21,
    QCOW2_L1_BYTES_MAX = 32 << 20,
    QCOW2_REFTABLE_BYTES_MAX = 8 << 20,
    QCOW2_SECTOR = 512,
    QCOW2_SECTOR_ENTRIES = 64, /* table entries in a sector */
    QCOW2_RUN_BYTES = 2 << 20, /* allocated in one step, at most */
    QCOW2_RUN_CLUSTERS = 128,  /* the same */
    QCOW2_FREED_MAX = 4096,
};

/* Table entries. */
#define QCOW2_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW2_COPIED (1ull << 63)     /* nobody else uses it */
#define QCOW2_COMPRESSED (1ull << 62) /* L2 */
#define QCOW2_ZERO 1ull               /* L2, version 3 */

struct qcow2_header {
    uint32_t version;
    uint32_t cluster_bits;
    uint64_t size;
    uint32_t l1_entries;
    uint64_t l1_offset;
    uint64_t reftable_offset;
    uint32_t reftable_clusters;
    uint32_t refcount_order;
    uint64_t incompatible;
    uint64_t autoclear;
    uint32_t length;
    bool is_zstd;
    char backing[1024]; /* name, or empty */
    char backing_format[16];
};

/* Reads and checks the header; pure but for the reads. */
int qcow2_header_read(struct hk_disk *store, struct qcow2_header *header,
                      struct hk_errmsg *err) HK_MUST_CHECK;

/* ---- a bounded cache of tables of one cluster each (qcow2_cache.c) ---- */

struct qcow2_table {
    uint64_t offset; /* on the store; 0: unused */
    uint8_t *bytes;  /* big-endian, as on the store; NULL: not yet made */
    uint64_t used;   /* time of last use */
    uint32_t next;   /* in its hash chain; index + 1 */
    bool dirty;
};

struct qcow2_cache {
    struct qcow2_table *tables;
    uint32_t *buckets; /* index + 1 of the first of a chain */
    uint32_t count;
    uint32_t bucket_mask;
    uint32_t dirty;
    uint64_t clock;
};

/* ---- a set of cluster numbers (qcow2_set.c) ---- */

struct qcow2_set {
    uint64_t *slots; /* number + 1; 0 is free */
    uint64_t mask;
    uint64_t count;
};

int qcow2_set_add(struct qcow2_set *set, uint64_t number) HK_MUST_CHECK;
void qcow2_set_remove(struct qcow2_set *set, uint64_t number);
bool qcow2_set_has(const struct qcow2_set *set, uint64_t number);
void qcow2_set_fini(struct qcow2_set *set);

/* ---- an open image ---- */

/* A table that is in memory whole, with marks for what differs. */
struct qcow2_root {
    uint64_t *entries; /* host byte order */
    uint32_t count;
    uint8_t *dirty; /* one byte for each sector of the table */
    bool any_dirty;
    uint64_t offset;      /* on the store */
    uint32_t store_count; /* entries that have room there */
};

struct qcow2_freed {
    uint64_t cluster;
    uint64_t count;
};

struct qcow2_freed_list {
    struct qcow2_freed item[QCOW2_FREED_MAX];
    uint32_t count;
};

struct qcow2_busy {
    uint64_t first; /* guest clusters */
    uint64_t end;
    struct qcow2_busy *next;
};

struct qcow2_packed; /* unpacked clusters that were read last */

struct hk_qcow2 {
    struct hk_disk disk;
    struct hk_disk *store;
    struct hk_disk *backing; /* or NULL */
    struct qcow2_header header;
    uint32_t cluster_bits;
    uint64_t cluster_size;
    uint32_t l2_bits;       /* log2 of entries in an L2 table */
    uint32_t refblock_bits; /* log2 of counts in a refcount block */

    bool has_lock;
    uv_mutex_t lock;
    uv_cond_t changed; /* busy, flushing, in_flight, draining */
    bool broken;       /* the file contradicts itself: no more changes */
    bool flushing;
    bool draining;
    uint64_t in_flight;
    struct qcow2_busy *busy;

    struct qcow2_root l1;
    struct qcow2_root reftable;
    struct qcow2_cache l2;
    struct qcow2_cache refblocks;
    struct qcow2_set tables; /* clusters that hold tables: never data */

    uint64_t next_free;  /* no free cluster below */
    uint64_t fresh_from; /* clusters from here on were never written */

    /* No table refers to these any more in memory (freed), or on the file
     * either (settled). They are still counted as used. */
    struct qcow2_freed_list freed;
    struct qcow2_freed_list settled;
    uint64_t promised; /* room in `freed` that running requests will need */

    struct qcow2_packed *packed;
};

static inline uint64_t qcow2_round_up(const struct hk_qcow2 *q, uint64_t bytes)
{
    return (bytes + q->cluster_size - 1) >> q->cluster_bits;
}

/* A table or data cluster that may exist: aligned, not the header, within
 * the file. */
bool qcow2_is_cluster(const struct hk_qcow2 *q, uint64_t offset);

/* One log line, no more writing; returns -HK_EIO. Lock held. */
int qcow2_broken(struct hk_qcow2 *q, const char *what);

/* Reads from the store; what lies past its end is zeroes. */
int qcow2_store_read(struct hk_qcow2 *q, void *to, size_t len,
                     uint64_t offset) HK_MUST_CHECK;

/* Moves bytes between a disk and the next pieces of a list. */
int qcow2_move(struct hk_disk *disk, struct hk_iov_pos *pos, uint64_t len,
               uint64_t offset, bool is_write) HK_MUST_CHECK;

/* -- cache: lock held. A table stays valid until the next get of the same
 * cache. -- */
int qcow2_cache_init(struct qcow2_cache *cache, uint64_t cluster_size,
                     uint64_t bytes_max) HK_MUST_CHECK;
void qcow2_cache_fini(struct qcow2_cache *cache);
bool qcow2_cache_has_room(const struct qcow2_cache *cache);
void qcow2_cache_set_dirty(struct qcow2_cache *cache,
                           struct qcow2_table *table);
int qcow2_cache_get(struct hk_qcow2 *q, struct qcow2_cache *cache,
                    uint64_t offset, struct qcow2_table **out) HK_MUST_CHECK;
/* A table of zeroes, dirty, for a cluster that was just allocated. */
int qcow2_cache_make(struct hk_qcow2 *q, struct qcow2_cache *cache,
                     uint64_t offset, struct qcow2_table **out) HK_MUST_CHECK;
/* Gives a clean table another place; it is dirty then. */
void qcow2_cache_move(struct qcow2_cache *cache, struct qcow2_table *table,
                      uint64_t offset);
int qcow2_cache_write(struct hk_qcow2 *q,
                      struct qcow2_cache *cache) HK_MUST_CHECK;

/* -- refcounts: lock held -- */
int qcow2_refcount_get(struct hk_qcow2 *q, uint64_t cluster,
                       uint64_t *count) HK_MUST_CHECK;
int qcow2_refcount_add(struct hk_qcow2 *q, uint64_t cluster,
                       int delta) HK_MUST_CHECK;
/* Makes sure that the cluster has a refcount block; `*made` when one was
 * made, which may have taken any free cluster. */
int qcow2_refblock_ensure(struct hk_qcow2 *q, uint64_t cluster,
                          bool *made) HK_MUST_CHECK;

/* -- allocation: lock held -- */
struct qcow2_run {
    uint64_t first; /* host cluster */
    uint64_t count;
    bool is_fresh; /* never written: reads as zeroes */
};
int qcow2_find_free(struct hk_qcow2 *q, uint64_t want, bool exactly,
                    struct qcow2_run *run) HK_MUST_CHECK;
int qcow2_alloc(struct hk_qcow2 *q, uint64_t want, bool exactly,
                struct qcow2_run *run) HK_MUST_CHECK;
/* Clusters that no table ever referred to. */
void qcow2_unalloc(struct hk_qcow2 *q, const struct qcow2_run *run);

/* -- requests: they take the lock -- */
void qcow2_begin(struct hk_qcow2 *q); /* counts in; leaves with lock held */
void qcow2_end(struct hk_qcow2 *q);   /* lock held; releases it */

/* Lock held: until tables may be changed and no busy range overlaps; true
 * when the lock was given up for that. */
bool qcow2_wait_quiet(struct hk_qcow2 *q, uint64_t first, uint64_t end);

/*
 * Within a request, lock held (and given up meanwhile): until the entries of
 * `count` guest clusters may be changed and what they free has room in the
 * list, by a flush if need be. The caller changes them, or enters them in
 * `promised` and `busy`, before it unlocks.
 */
int qcow2_want_change(struct hk_qcow2 *q, uint64_t first,
                      uint64_t count) HK_MUST_CHECK;

/* -- tables: lock held -- */

enum qcow2_kind { QCOW2_HOLE, QCOW2_ZEROES, QCOW2_DATA, QCOW2_PACKED };

struct qcow2_extent {
    enum qcow2_kind kind;
    bool in_place;  /* DATA: may be overwritten where it is */
    uint64_t len;   /* bytes from the position asked for */
    uint64_t host;  /* DATA: position on the store */
    uint64_t entry; /* PACKED: of the one cluster */
};

int qcow2_lookup(struct hk_qcow2 *q, uint64_t offset, uint64_t len,
                 struct qcow2_extent *out) HK_MUST_CHECK;
/* The L2 table of a guest cluster, ready to be changed; `index` is the entry's
 * place in it. After qcow2_wait_quiet. */
int qcow2_l2_for_change(struct hk_qcow2 *q, uint64_t cluster,
                        struct qcow2_table **out,
                        uint32_t *index) HK_MUST_CHECK;
uint64_t qcow2_entry_get(const struct qcow2_table *table, uint32_t index);
/* Replaces an entry; what it referred to goes to the freed list. */
int qcow2_entry_set(struct hk_qcow2 *q, struct qcow2_table *table,
                    uint32_t index, uint64_t entry) HK_MUST_CHECK;
void qcow2_root_set(struct qcow2_root *root, uint32_t index, uint64_t entry);
int qcow2_root_load(struct hk_qcow2 *q, struct qcow2_root *root,
                    uint64_t offset, uint32_t count) HK_MUST_CHECK;
void qcow2_root_fini(struct qcow2_root *root);

/* Where a compressed cluster lies. */
struct qcow2_packing {
    uint64_t offset;
    uint64_t len;
};
struct qcow2_packing qcow2_packing_of(const struct hk_qcow2 *q, uint64_t entry);

/* -- flush (qcow2_flush.c) -- */
int qcow2_flush(struct hk_qcow2 *q) HK_MUST_CHECK; /* takes the lock */
/* Lock held and kept, inside a request: all tables to the file. */
int qcow2_write_tables(struct hk_qcow2 *q, bool may_unlock) HK_MUST_CHECK;

/* -- compressed clusters (qcow2_packed.c) -- */
int qcow2_packed_create(struct hk_qcow2 *q) HK_MUST_CHECK;
void qcow2_packed_destroy(struct qcow2_packed *packed);
int qcow2_packed_read(struct hk_qcow2 *q, uint64_t entry, uint64_t at,
                      struct hk_iov_pos *to, uint64_t len) HK_MUST_CHECK;

/* -- data -- */
int qcow2_readv(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                uint64_t offset);
/* Within a request, no lock held. */
int qcow2_read_range(struct hk_qcow2 *q, struct hk_iov_pos *to, uint64_t len,
                     uint64_t offset) HK_MUST_CHECK;
int qcow2_writev(struct hk_disk *disk, const struct hk_iov *iov, size_t count,
                 uint64_t offset);
int qcow2_trim(struct hk_disk *disk, uint64_t offset, uint64_t len);
int qcow2_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
               bool may_trim);

#endif
