/*
 * The cache of decoded blocks of one vCPU: building, looking up, dropping.
 * block_int.h says what a block is.
 */
#include "cpu/block_int.h"

#include "base/assert.h"
#include "cpu/decode.h"

#include <stdlib.h>
#include <string.h>

enum {
    HASH_SIZE = 1 << 15,
    PAGE_HASH_SIZE = 1 << 12,
    ARENA_SIZE = 48 << 20,     /* unless the caller says otherwise */
    ARENA_RESERVE = 128 << 10, /* more than one block takes */
    ARENA_LEAST = 2 * ARENA_RESERVE,
    PAGE_SIZE = 4096,
};

struct code_page {
    uint64_t gpa;
    struct hk_block *blocks;
    struct code_page *next;
};

struct hk_code_cache {
    struct hk_block *hash[HASH_SIZE];
    struct code_page *pages[PAGE_HASH_SIZE];
    uint8_t *arena;
    size_t size, used; /* of the arena */
    /* Scratch of the builder. */
    struct hk_uop uops[HK_BLOCK_MAX_UOPS];
    hk_uop_fn nf[HK_BLOCK_MAX_UOPS];
    uint8_t info[HK_BLOCK_MAX_UOPS];
};

int hk_code_cache_create(size_t size, struct hk_code_cache **out)
{
    struct hk_code_cache *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return -HK_ENOMEM;
    k->size = size == 0 ? ARENA_SIZE : size < ARENA_LEAST ? ARENA_LEAST : size;
    k->arena = malloc(k->size);
    if (k->arena == NULL) {
        free(k);
        return -HK_ENOMEM;
    }
    *out = k;
    return 0;
}

void hk_code_cache_destroy(struct hk_code_cache *k)
{
    if (k == NULL)
        return;
    free(k->arena);
    free(k);
}

void *hk_code_alloc(struct hk_cpu *c, size_t size)
{
    struct hk_code_cache *k = c->code;
    size = (size + 15) & ~(size_t)15;
    hk_assert(k->used + size <= k->size);
    void *p = k->arena + k->used;
    k->used += size;
    return p;
}

void hk_code_drop_all(struct hk_cpu *c)
{
    struct hk_code_cache *k = c->code;
    memset(k->hash, 0, sizeof(k->hash));
    memset(k->pages, 0, sizeof(k->pages));
    memset(c->jump, 0, sizeof(c->jump));
    k->used = 0;
    c->link = NULL;
}

static unsigned block_hash(uint64_t phys, uint32_t mode)
{
    uint64_t h = (phys ^ (uint64_t)mode << 20) * 0x9e3779b97f4a7c15ull;
    return (unsigned)(h >> 49);
}

static unsigned page_hash(uint64_t gpa)
{
    return (unsigned)(((gpa >> 12) * 0x9e3779b97f4a7c15ull) >> 52);
}

static struct code_page *find_page(struct hk_code_cache *k, uint64_t gpa)
{
    struct code_page *p = k->pages[page_hash(gpa)];
    while (p != NULL && p->gpa != gpa)
        p = p->next;
    return p;
}

struct hk_uop *hk_uop_leave(struct hk_cpu *c, struct hk_uop *u)
{
    c->rip = c->r[HK_SLOT_RIP] + u->start;
    return NULL;
}

static void kill_block(struct hk_code_cache *k, struct hk_block *b)
{
    struct hk_block **at = &k->hash[block_hash(b->phys, b->mode)];
    while (*at != NULL && *at != b)
        at = &(*at)->hash_next;
    if (*at == b)
        *at = b->hash_next;
    for (uint32_t i = 0; i < b->uop_count; i++)
        b->uops[i].fn = hk_uop_leave;
    b->phys = ~0ull;
}

static void drop_blocks(struct hk_code_cache *k, struct code_page *p)
{
    for (struct hk_block *b = p->blocks; b != NULL; b = b->page_next)
        kill_block(k, b);
    p->blocks = NULL;
}

void hk_code_drop_page(struct hk_cpu *c, uint64_t gpa)
{
    struct code_page *p = find_page(c->code, gpa & ~0xfffull);
    if (p != NULL)
        drop_blocks(c->code, p);
}

/* ---- invalidation across vCPUs ----------------------------------------- */

static void spin_lock(atomic_flag *lock)
{
    while (atomic_flag_test_and_set_explicit(lock, memory_order_acquire))
        hk_cpu_relax();
}

static void spin_unlock(atomic_flag *lock)
{
    atomic_flag_clear_explicit(lock, memory_order_release);
}

static void post_invalidation(struct hk_cpu *c, uint64_t page)
{
    struct hk_inval *v = &c->inval;
    spin_lock(&v->lock);
    if (v->count < HK_INVAL_MAX)
        v->page[v->count++] = page;
    else
        v->count = HK_INVAL_MAX + 1;
    spin_unlock(&v->lock);
    hk_cpu_poke(c, HK_CPU_POKE_CODE);
}

/* Unlike hk_code_drop_all this is legal while a block runs. */
static void drop_all_pages(struct hk_code_cache *k)
{
    for (unsigned i = 0; i < PAGE_HASH_SIZE; i++) {
        for (struct code_page *p = k->pages[i]; p != NULL; p = p->next)
            drop_blocks(k, p);
    }
}

void hk_code_take_posted(struct hk_cpu *c)
{
    struct hk_inval *v = &c->inval;
    uint64_t page[HK_INVAL_MAX];
    spin_lock(&v->lock);
    uint32_t count = v->count;
    if (count <= HK_INVAL_MAX)
        memcpy(page, v->page, count * sizeof(page[0]));
    v->count = 0;
    spin_unlock(&v->lock);
    if (count > HK_INVAL_MAX) {
        drop_all_pages(c->code);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        hk_code_drop_page(c, page[i]);
}

static uint64_t granule_mask(uint64_t first, uint64_t last)
{
    unsigned a = (unsigned)(first & 0xfff) >> 7;
    unsigned b = (unsigned)(last & 0xfff) >> 7;
    return ((2ull << b) - 1) & ~((1ull << a) - 1) & HK_PAGE_CODE;
}

void hk_code_settle(struct hk_cpu *c)
{
    struct hk_cpu_machine *m = c->machine;
    if (m->cpu_count == 1)
        return;
    spin_lock(&m->code_lock);
    spin_unlock(&m->code_lock);
    if ((atomic_load_explicit(&c->poke, memory_order_acquire) &
         HK_CPU_POKE_CODE) != 0)
        hk_code_take_posted(c);
}

/* Clears the page's bits and tells every other vCPU, as one step. */
static void tell_others(struct hk_cpu_machine *m, const struct hk_cpu *writer,
                        _Atomic uint64_t *word, uint64_t page)
{
    spin_lock(&m->code_lock);
    atomic_fetch_and(word, ~HK_PAGE_CODE);
    for (uint32_t i = 0; i < m->cpu_count; i++) {
        if (m->cpus[i] != writer)
            post_invalidation(m->cpus[i], page);
    }
    spin_unlock(&m->code_lock);
}

static void page_written(struct hk_cpu_machine *m, struct hk_cpu *writer,
                         _Atomic uint64_t *word, uint64_t page, uint64_t mask)
{
    if ((atomic_load_explicit(word, memory_order_relaxed) & mask) != 0) {
        tell_others(m, writer, word, page);
        if (writer != NULL)
            hk_code_drop_page(writer, page);
    }
    /* Another vCPU may just have cleared the bits of code that is ours. */
    if (writer != NULL)
        hk_code_settle(writer);
}

void hk_code_written(struct hk_cpu_machine *m, struct hk_cpu *writer,
                     struct hk_ram *ram, uint64_t gpa, uint64_t len)
{
    /* Orders the bytes, already written, before the look at the granules:
     * the other half is in claim_granules. */
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t end = gpa + len;
    while (gpa < end) {
        uint64_t page = gpa & ~0xfffull;
        uint64_t stop = page + PAGE_SIZE < end ? page + PAGE_SIZE : end;
        page_written(m, writer, &ram->pages[(page - ram->gpa) >> 12], page,
                     granule_mask(gpa, stop - 1));
        gpa = stop;
    }
}

static void drop_write_entries(struct hk_cpu *c, const uint8_t *host)
{
    for (unsigned v = 0; v < HK_VIEW_COUNT; v++) {
        for (unsigned i = 0; i < HK_TLB_SIZE; i++) {
            struct hk_tlb_entry *e = &c->views[v].wr[i];
            if (e->tag + e->addend == (uintptr_t)host)
                e->tag = HK_TLB_EMPTY(i);
        }
    }
}

/* A write TLB may map a page that is about to hold code. */
static void take_write_entries(struct hk_cpu *c, struct hk_ram *ram,
                               uint64_t page)
{
    struct hk_cpu_machine *m = c->machine;
    const uint8_t *host = ram->host + (page - ram->gpa);
    bool others = m->cpu_count > 1;
    if (others)
        m->host.exclusive_begin(c->opaque);
    for (uint32_t i = 0; i < m->cpu_count; i++)
        drop_write_entries(m->cpus[i], host);
    atomic_fetch_and(&ram->pages[(page - ram->gpa) >> 12], ~HK_PAGE_WCACHED);
    if (others)
        m->host.exclusive_end(c->opaque);
}

/* Marks the bytes [gpa, gpa+len) of one page as decoded, before they are
 * read. */
static void claim_granules(struct hk_cpu *c, struct hk_ram *ram, uint64_t gpa,
                           uint32_t len)
{
    uint64_t page = gpa & ~0xfffull;
    uint64_t last = gpa + len - 1;
    if ((last & ~0xfffull) != page)
        last = page | 0xfff;
    uint64_t mask = granule_mask(gpa, last);
    _Atomic uint64_t *word = &ram->pages[(page - ram->gpa) >> 12];
    uint64_t was = atomic_load_explicit(word, memory_order_acquire);
    if ((was & mask) != mask)
        was = atomic_fetch_or(word, mask);
    if ((was & HK_PAGE_WCACHED) != 0)
        take_write_entries(c, ram, page);
}

/* ---- building ---------------------------------------------------------- */

struct fetch {
    struct hk_ram *ram;
    uint64_t phys;       /* of the first byte */
    const uint8_t *host; /* of the page */
    uint32_t at;         /* offset in the page of the next instruction */
    uint32_t start;
};

/*
 * The instruction at the end of a page: joins the bytes of both. The first
 * page is mapped; a fault on the second counts only when its bytes matter.
 */
static int decode_across(struct hk_cpu *c, const struct fetch *f,
                         uint64_t la_next, struct hk_insn *i)
{
    uint8_t bytes[HK_INSN_MAX_LEN + 1];
    uint32_t have = PAGE_SIZE - f->at;
    struct hk_itlb_entry *e;
    if (!hk_fetch_page(c, la_next, &e))
        return 0;
    memcpy(bytes, f->host + f->at, have);
    if (e->host != NULL)
        memcpy(bytes + have, e->host, sizeof(bytes) - have);
    else
        memset(bytes + have, 0xff, sizeof(bytes) - have);
    return hk_decode(bytes, sizeof(bytes),
                     (enum hk_code_size)(c->mode & HK_MODE_SIZE), i);
}

static bool within_limit(const struct hk_cpu *c, uint64_t rip, int len)
{
    if ((c->mode & HK_MODE_CSLIM) == 0)
        return true;
    return rip + (uint64_t)len - 1 <= c->seg[HK_SEG_CS].limit;
}

/* Length of the next instruction; 0: fault pending; < 0: stop before it. */
static int next_insn(struct hk_cpu *c, struct fetch *f, bool first,
                     struct hk_insn *i)
{
    if (f->at >= PAGE_SIZE)
        return -1; /* the next page may be anywhere */
    uint32_t left = PAGE_SIZE - f->at;
    claim_granules(c, f->ram, (f->phys & ~0xfffull) + f->at, HK_INSN_MAX_LEN);
    int len = hk_decode(f->host + f->at, left,
                        (enum hk_code_size)(c->mode & HK_MODE_SIZE), i);
    if (len == HK_DECODE_MORE) {
        if (!first)
            return -1;
        uint64_t la = c->rip + c->r[HK_SLOT_SEG + HK_SEG_CS];
        if (!hk_is_code64(c))
            la = (uint32_t)la;
        if (!within_limit(c, c->rip + left, 1)) {
            (void)hk_fault_err(c, HK_VEC_GP, 0);
            return 0;
        }
        len = decode_across(c, f, (la | 0xfff) + 1, i);
    }
    if (len == HK_DECODE_TOO_LONG) {
        if (!first)
            return -1;
        (void)hk_fault_err(c, HK_VEC_GP, 0);
        return 0;
    }
    return len;
}

/* Decodes and emits up to `max` instructions. False: fault pending. */
static bool build_insns(struct hk_cpu *c, struct hk_builder *b, struct fetch *f,
                        uint32_t max, uint16_t *count)
{
    *count = 0;
    while (*count < max && !b->ended &&
           b->count + HK_UOPS_PER_INSN + 2 <= HK_BLOCK_MAX_UOPS) {
        struct hk_insn i;
        int len = next_insn(c, f, *count == 0, &i);
        if (len == 0)
            return false;
        if (len < 0)
            break;
        uint32_t done = f->at - f->start;
        if (!within_limit(c, c->rip + done, len)) {
            if (*count != 0)
                break;
            return hk_fault_err(c, HK_VEC_GP, 0);
        }
        b->start = (uint16_t)done;
        b->next = (uint16_t)(done + (uint32_t)len);
        hk_build_insn(b, &i);
        f->at += (uint32_t)len;
        (*count)++;
    }
    return true;
}

static struct hk_block *store_block(struct hk_cpu *c,
                                    const struct hk_builder *b)
{
    size_t size = b->count * sizeof(struct hk_uop);
    struct hk_block *k = hk_code_alloc(c, sizeof(*k) + size);
    memset(k, 0, sizeof(*k));
    k->uop_count = b->count;
    memcpy(k->uops, b->uops, size);
    return k;
}

static void insert_block(struct hk_cpu *c, struct hk_block *b)
{
    struct hk_code_cache *k = c->code;
    struct hk_block **at = &k->hash[block_hash(b->phys, b->mode)];
    b->hash_next = *at;
    *at = b;
    uint64_t gpa = b->phys & ~0xfffull;
    struct code_page *p = find_page(k, gpa);
    if (p == NULL) {
        p = hk_code_alloc(c, sizeof(*p));
        struct code_page **head = &k->pages[page_hash(gpa)];
        *p = (struct code_page){.gpa = gpa, .next = *head};
        *head = p;
    }
    b->page_next = p->blocks;
    p->blocks = b;
}

static struct hk_block *build(struct hk_cpu *c, struct hk_ram *ram,
                              uint64_t phys, bool single)
{
    struct hk_code_cache *k = c->code;
    struct hk_builder b = {
        .c = c, .mode = c->mode, .uops = k->uops, .nf = k->nf, .info = k->info};
    struct fetch f = {.ram = ram, .phys = phys, .at = (uint32_t)(phys & 0xfff)};
    uint16_t count;
    f.host = ram->host + ((phys & ~0xfffull) - ram->gpa);
    f.start = f.at;
    if (!build_insns(c, &b, &f, single ? 1 : HK_BLOCK_MAX_INSNS, &count))
        return NULL;
    hk_build_finish(&b);
    struct hk_block *n = store_block(c, &b);
    n->phys = phys;
    n->mode = c->mode;
    n->bytes = (uint16_t)(f.at - f.start);
    n->insns = count;
    return n;
}

/* Code outside RAM reads as all ones there; nothing runs from MMIO. */
static struct hk_block *fetch_nothing(struct hk_cpu *c)
{
    (void)hk_fault(c, HK_VEC_UD);
    return NULL;
}

static struct hk_block *build_single(struct hk_cpu *c, struct hk_ram *ram,
                                     uint64_t phys)
{
    size_t mark = c->code->used;
    struct hk_block *b = build(c, ram, phys, true);
    c->code->used = mark;
    return b;
}

static struct hk_block *find_cached(struct hk_cpu *c, uint64_t phys)
{
    struct hk_block *b = c->code->hash[block_hash(phys, c->mode)];
    while (b != NULL && (b->phys != phys || b->mode != c->mode))
        b = b->hash_next;
    return b;
}

static void remember_jump(struct hk_cpu *c, struct hk_block *b)
{
    struct hk_jump_entry *e = hk_jump_slot(c, c->rip);
    e->rip = c->rip;
    e->block = b;
}

static struct hk_block *build_cached(struct hk_cpu *c, struct hk_ram *ram,
                                     uint64_t phys)
{
    if (c->code->used + ARENA_RESERVE > c->code->size)
        hk_code_drop_all(c);
    size_t mark = c->code->used;
    struct hk_block *b = build(c, ram, phys, false);
    if (b == NULL)
        return NULL;
    if ((phys & 0xfff) + b->bytes > PAGE_SIZE) {
        /* Depends on two pages: good for this once. */
        c->code->used = mark;
        return b;
    }
    insert_block(c, b);
    return b;
}

struct hk_block *hk_block_find(struct hk_cpu *c, bool single)
{
    uint64_t la = c->rip + c->r[HK_SLOT_SEG + HK_SEG_CS];
    struct hk_itlb_entry *e;
    if (!hk_is_code64(c))
        la = (uint32_t)la;
    if ((c->mode & HK_MODE_CSLIM) != 0 && c->rip > c->seg[HK_SEG_CS].limit) {
        (void)hk_fault_err(c, HK_VEC_GP, 0);
        return NULL;
    }
    if (!hk_fetch_page(c, la, &e))
        return NULL;
    uint64_t phys = e->phys | (la & 0xfff);
    struct hk_block *b;
    if (!single) {
        b = find_cached(c, phys);
        if (b != NULL) {
            remember_jump(c, b);
            return b;
        }
    }
    struct hk_ram *ram = hk_phys_ram(c->machine, phys);
    if (ram == NULL)
        return fetch_nothing(c);
    if (single)
        return build_single(c, ram, phys);
    b = build_cached(c, ram, phys);
    if (b != NULL && hk_block_is_cached(b))
        remember_jump(c, b);
    return b;
}

void hk_block_link(struct hk_cpu *c, struct hk_uop *link, struct hk_block *b)
{
    /* c->r[HK_SLOT_RIP] is still the address of the block that was left. */
    uint64_t base = c->r[HK_SLOT_SEG + HK_SEG_CS];
    uint64_t from = c->r[HK_SLOT_RIP] + base;
    uint64_t to = c->rip + base;
    if (!hk_block_is_cached(b) || (c->mode & HK_MODE_CSLIM) != 0)
        return;
    link->imm = (uint64_t)(uintptr_t)b;
    link->dst = (from ^ to) < PAGE_SIZE;
}
