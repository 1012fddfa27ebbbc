/* See disk_fakes.h. Out of memory ends the test program. */
#include "disk_fakes.h"

#include "hk_test.h"

enum { SECTOR = 512 };

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* ------------------------------------------------------------------ */
/* Memory                                                             */

struct mem_disk {
    struct hk_disk disk;
    struct mem_store *store;
};

void mem_store_init(struct mem_store *store, size_t size)
{
    memset(store, 0, sizeof(*store));
    store->bytes = must(calloc(1, size + 1));
    store->size = size;
    store->room = size + 1;
    if (uv_mutex_init(&store->lock) != 0)
        abort();
}

void mem_store_fini(struct mem_store *store)
{
    free(store->bytes);
    uv_mutex_destroy(&store->lock);
}

static void make_room(struct mem_store *store, size_t size)
{
    if (size > store->room) {
        size_t room = size * 2;
        store->bytes = must(realloc(store->bytes, room));
        memset(store->bytes + store->room, 0, room - store->room);
        store->room = room;
    }
    if (size > store->size)
        store->size = size;
}

void mem_store_put(struct mem_store *store, uint64_t at, const void *bytes,
                   size_t len)
{
    make_room(store, at + len);
    memcpy(store->bytes + at, bytes, len);
}

void mem_store_copy(struct mem_store *to, const struct mem_store *from)
{
    memset(to->bytes, 0, to->room);
    to->size = 0;
    mem_store_put(to, 0, from->bytes, from->size);
}

void mem_store_load(struct mem_store *store, const char *path)
{
    FILE *file = must(fopen(path, "rb"));
    uint8_t part[4096];
    size_t n;
    store->size = 0;
    while ((n = fread(part, 1, sizeof(part), file)) > 0)
        mem_store_put(store, store->size, part, n);
    fclose(file);
}

void mem_store_save(const struct mem_store *store, const char *path)
{
    FILE *file = must(fopen(path, "wb"));
    if (fwrite(store->bytes, 1, store->size, file) != store->size ||
        fclose(file) != 0)
        abort();
}

static int mem_readv(struct hk_disk *disk, const struct hk_iov *iov,
                     size_t count, uint64_t offset)
{
    struct mem_store *store = ((struct mem_disk *)disk)->store;
    uv_mutex_lock(&store->lock);
    for (size_t i = 0; i < count; i++) {
        if (iov[i].len > 0)
            memcpy(iov[i].base, store->bytes + offset, iov[i].len);
        offset += iov[i].len;
    }
    uv_mutex_unlock(&store->lock);
    return 0;
}

static int mem_writev(struct hk_disk *disk, const struct hk_iov *iov,
                      size_t count, uint64_t offset)
{
    struct mem_store *store = ((struct mem_disk *)disk)->store;
    uint64_t len;
    if (!hk_iov_total(iov, count, &len) || offset + len > (64u << 20))
        return -HK_ENOSPC;
    uv_mutex_lock(&store->lock);
    for (size_t i = 0; i < count; i++) {
        if (iov[i].len > 0)
            mem_store_put(store, offset, iov[i].base, iov[i].len);
        offset += iov[i].len;
    }
    uv_mutex_unlock(&store->lock);
    return 0;
}

static int mem_flush(struct hk_disk *disk)
{
    struct mem_store *store = ((struct mem_disk *)disk)->store;
    uv_mutex_lock(&store->lock);
    store->flushes++;
    uv_mutex_unlock(&store->lock);
    return 0;
}

static int mem_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
                    bool may_trim)
{
    struct mem_store *store = ((struct mem_disk *)disk)->store;
    uv_mutex_lock(&store->lock);
    memset(store->bytes + offset, 0, len);
    uv_mutex_unlock(&store->lock);
    return 0;
}

static int mem_trim(struct hk_disk *disk, uint64_t offset, uint64_t len)
{
    return mem_zero(disk, offset, len, true);
}

static void just_free(struct hk_disk *disk)
{
    free(disk);
}

static const struct hk_disk_ops mem_ops = {
    .name = "memory",
    .readv = mem_readv,
    .writev = mem_writev,
    .flush = mem_flush,
    .trim = mem_trim,
    .zero = mem_zero,
    .close = just_free,
};

static const struct hk_disk_ops mem_plain_ops = {
    .name = "plain memory",
    .readv = mem_readv,
    .writev = mem_writev,
    .flush = mem_flush,
    .close = just_free,
};

struct hk_disk *mem_disk_create(struct mem_store *store, unsigned flags)
{
    struct mem_disk *mem = must(calloc(1, sizeof(*mem)));
    struct hk_disk_info info = {.block_size = SECTOR,
                                .read_only = (flags & MEM_READ_ONLY) != 0,
                                .grows = (flags & MEM_GROWS) != 0,
                                .can_trim = !(flags & MEM_NO_ZERO),
                                .can_zero = !(flags & MEM_NO_ZERO),
                                .id = "memory"};
    mem->store = store;
    hk_disk_init(&mem->disk, flags & MEM_NO_ZERO ? &mem_plain_ops : &mem_ops,
                 &info, store->size);
    return &mem->disk;
}

/* ------------------------------------------------------------------ */
/* Filters                                                            */

struct filter {
    struct hk_disk disk;
    struct hk_disk *below;
    void *plan;
};

static struct hk_disk *below(struct hk_disk *disk)
{
    return ((struct filter *)disk)->below;
}

static void filter_close(struct hk_disk *disk)
{
    hk_disk_close(below(disk));
    free(disk);
}

static struct hk_disk *filter_create(struct hk_disk *take_below,
                                     const struct hk_disk_ops *ops, void *plan)
{
    struct filter *filter = must(calloc(1, sizeof(*filter)));
    filter->below = take_below;
    filter->plan = plan;
    hk_disk_init(&filter->disk, ops, &take_below->info,
                 hk_disk_size(take_below));
    return &filter->disk;
}

/* -- fault -- */

static bool fails(struct hk_disk *disk)
{
    struct fault_plan *plan = ((struct filter *)disk)->plan;
    unsigned seen = atomic_fetch_add(&plan->seen, 1) + 1;
    return plan->nth != 0 &&
           (seen == plan->nth || (plan->for_ever && seen > plan->nth));
}

static int fault_readv(struct hk_disk *disk, const struct hk_iov *iov,
                       size_t count, uint64_t offset)
{
    return fails(disk) ? -HK_EIO
                       : hk_disk_readv(below(disk), iov, count, offset);
}

static int fault_writev(struct hk_disk *disk, const struct hk_iov *iov,
                        size_t count, uint64_t offset)
{
    return fails(disk) ? -HK_EIO
                       : hk_disk_writev(below(disk), iov, count, offset);
}

static int fault_flush(struct hk_disk *disk)
{
    return fails(disk) ? -HK_EIO : hk_disk_flush(below(disk));
}

static int fault_trim(struct hk_disk *disk, uint64_t offset, uint64_t len)
{
    return fails(disk) ? -HK_EIO : hk_disk_trim(below(disk), offset, len);
}

static int fault_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
                      bool may_trim)
{
    return fails(disk) ? -HK_EIO
                       : hk_disk_zero(below(disk), offset, len, may_trim);
}

struct hk_disk *fault_disk_create(struct hk_disk *take_below,
                                  struct fault_plan *plan)
{
    static const struct hk_disk_ops ops = {
        .name = "fault",
        .readv = fault_readv,
        .writev = fault_writev,
        .flush = fault_flush,
        .trim = fault_trim,
        .zero = fault_zero,
        .close = filter_close,
    };
    return filter_create(take_below, &ops, plan);
}

/* -- crash -- */

struct crash_write {
    struct crash_write *next;
    uint64_t at;
    size_t len;
    uint8_t bytes[];
};

void crash_plan_init(struct crash_plan *plan, struct mem_store *store)
{
    memset(plan, 0, sizeof(*plan));
    plan->store = store;
    mem_store_init(&plan->stable, 0);
    mem_store_copy(&plan->stable, store);
}

static void forget_pending(struct crash_plan *plan)
{
    while (plan->pending) {
        struct crash_write *next = plan->pending->next;
        free(plan->pending);
        plan->pending = next;
    }
}

static bool dies(struct hk_disk *disk)
{
    struct crash_plan *plan = ((struct filter *)disk)->plan;
    plan->seen++;
    if (plan->nth != 0 && plan->seen >= plan->nth)
        plan->is_dead = true;
    return plan->is_dead;
}

static void note_write(struct crash_plan *plan, const struct hk_iov *iov,
                       size_t count, uint64_t at)
{
    struct hk_iov_pos pos = {iov, count, 0};
    struct crash_write **end = &plan->pending;
    uint64_t len = 0;
    (void)hk_iov_total(iov, count, &len);
    struct crash_write *w = must(malloc(sizeof(*w) + len));
    w->next = NULL;
    w->at = at;
    w->len = len;
    (void)hk_iov_get(&pos, w->bytes, len);
    while (*end)
        end = &(*end)->next;
    *end = w;
}

static int crash_readv(struct hk_disk *disk, const struct hk_iov *iov,
                       size_t count, uint64_t offset)
{
    return hk_disk_readv(below(disk), iov, count, offset);
}

static int crash_writev(struct hk_disk *disk, const struct hk_iov *iov,
                        size_t count, uint64_t offset)
{
    struct crash_plan *plan = ((struct filter *)disk)->plan;
    if (dies(disk))
        return -HK_EIO;
    if (plan->loses)
        note_write(plan, iov, count, offset);
    return hk_disk_writev(below(disk), iov, count, offset);
}

static int crash_flush(struct hk_disk *disk)
{
    struct crash_plan *plan = ((struct filter *)disk)->plan;
    if (dies(disk))
        return -HK_EIO;
    if (plan->loses) {
        forget_pending(plan);
        mem_store_copy(&plan->stable, plan->store);
    }
    return 0;
}

struct hk_disk *crash_disk_create(struct hk_disk *take_below,
                                  struct crash_plan *plan)
{
    static const struct hk_disk_ops ops = {
        .name = "crash",
        .readv = crash_readv,
        .writev = crash_writev,
        .flush = crash_flush,
        .close = filter_close,
    };
    return filter_create(take_below, &ops, plan);
}

void crash_plan_finish(struct crash_plan *plan)
{
    for (struct crash_write *w = plan->pending; w; w = w->next) {
        for (size_t done = 0; done < w->len;) {
            size_t part = SECTOR - (w->at + done) % SECTOR;
            if (part > w->len - done)
                part = w->len - done;
            if (test_random(&plan->seed) & 1)
                mem_store_put(&plan->stable, w->at + done, w->bytes + done,
                              part);
            done += part;
        }
    }
    if (plan->loses && plan->is_dead)
        mem_store_copy(plan->store, &plan->stable);
    forget_pending(plan);
    mem_store_fini(&plan->stable);
}

/* -- hold -- */

void hold_plan_init(struct hold_plan *plan)
{
    memset(plan, 0, sizeof(*plan));
    if (uv_mutex_init(&plan->lock) != 0 || uv_cond_init(&plan->changed) != 0)
        abort();
}

void hold_plan_fini(struct hold_plan *plan)
{
    uv_cond_destroy(&plan->changed);
    uv_mutex_destroy(&plan->lock);
}

void hold_plan_set(struct hold_plan *plan, bool held)
{
    uv_mutex_lock(&plan->lock);
    plan->held = held;
    uv_cond_broadcast(&plan->changed);
    uv_mutex_unlock(&plan->lock);
}

void hold_plan_await(struct hold_plan *plan, unsigned waiting)
{
    uv_mutex_lock(&plan->lock);
    while (plan->waiting < waiting)
        uv_cond_wait(&plan->changed, &plan->lock);
    uv_mutex_unlock(&plan->lock);
}

static void hold(struct hk_disk *disk, uint64_t write_at)
{
    struct hold_plan *plan = ((struct filter *)disk)->plan;
    if (plan->writes_at != 0 && plan->writes_at != write_at)
        return;
    uv_mutex_lock(&plan->lock);
    plan->waiting++;
    uv_cond_broadcast(&plan->changed);
    while (plan->held)
        uv_cond_wait(&plan->changed, &plan->lock);
    plan->waiting--;
    uv_mutex_unlock(&plan->lock);
}

static int hold_readv(struct hk_disk *disk, const struct hk_iov *iov,
                      size_t count, uint64_t offset)
{
    hold(disk, 0);
    return hk_disk_readv(below(disk), iov, count, offset);
}

static int hold_writev(struct hk_disk *disk, const struct hk_iov *iov,
                       size_t count, uint64_t offset)
{
    hold(disk, offset);
    return hk_disk_writev(below(disk), iov, count, offset);
}

static int hold_flush(struct hk_disk *disk)
{
    hold(disk, 0);
    return hk_disk_flush(below(disk));
}

static int hold_trim(struct hk_disk *disk, uint64_t offset, uint64_t len)
{
    hold(disk, 0);
    return hk_disk_trim(below(disk), offset, len);
}

static int hold_zero(struct hk_disk *disk, uint64_t offset, uint64_t len,
                     bool may_trim)
{
    hold(disk, 0);
    return hk_disk_zero(below(disk), offset, len, may_trim);
}

struct hk_disk *hold_disk_create(struct hk_disk *take_below,
                                 struct hold_plan *plan)
{
    static const struct hk_disk_ops ops = {
        .name = "hold",
        .readv = hold_readv,
        .writev = hold_writev,
        .flush = hold_flush,
        .trim = hold_trim,
        .zero = hold_zero,
        .close = filter_close,
    };
    return filter_create(take_below, &ops, plan);
}
