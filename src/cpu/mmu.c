/*
 * The guest's page tables: Intel SDM volume 3, chapter 4 "Paging".
 *
 * One walk serves one access. It runs at every soft-TLB miss, so it reads
 * the tables through host pointers, collects the rights on the way down and
 * judges them once, at the leaf.
 *
 *   long mode   PML4 -> PDPT -> PD -> PT     pages of 1G, 2M, 4K
 *   PAE                 PDPT -> PD -> PT              2M, 4K
 *   32-bit                     PD -> PT              4M, 4K
 *
 * Accessed and dirty bits are set by compare and exchange on guest RAM, as
 * other vCPUs and the guest itself change the same entries. When an entry
 * changes under us, it is judged again. Tables in ROM keep their bits; tables
 * outside RAM read as absent.
 */
#include "cpu/cpu_int.h"
#include "cpu/slow_int.h"

#include <stdatomic.h>

#define PTE_P 1ull
#define PTE_RW 2ull
#define PTE_US 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

/* Error code of #PF. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_ID = 16, PF_PK = 32 };

struct walk {
    struct hk_cpu *c;
    uint64_t la;
    uint64_t rights; /* R/W and U/S of all levels so far */
    uint64_t nx;     /* NX of any level so far */
    uint64_t rsvd;   /* reserved bits of every entry */
    uint64_t pte;    /* the leaf */
    uint64_t size;   /* of the page */
    bool user, write, fetch;
    bool no_user_data; /* SMAP is in force for this access */
};

enum step { STEP_OK, STEP_FAULT, STEP_AGAIN };

static enum step fault(struct walk *w, uint32_t err)
{
    struct hk_cpu *c = w->c;
    bool has_nx =
        (c->msr.efer & HK_EFER_NXE) != 0 && (c->cr4 & HK_CR4_PAE) != 0;
    if (w->write)
        err |= PF_W;
    if (w->user)
        err |= PF_U;
    if (w->fetch && (has_nx || (c->cr4 & HK_CR4_SMEP) != 0))
        err |= PF_ID;
    (void)hk_fault_page(c, w->la, err);
    return STEP_FAULT;
}

static bool may_write(const struct walk *w)
{
    return (w->rights & PTE_RW) != 0 ||
           (!w->user && (w->c->cr0 & HK_CR0_WP) == 0);
}

static bool is_allowed(const struct walk *w)
{
    bool user_page = (w->rights & PTE_US) != 0;
    if (w->fetch && (w->nx & PTE_NX) != 0)
        return false;
    if (w->write && !may_write(w))
        return false;
    if (w->user)
        return user_page;
    if (!user_page)
        return true;
    return w->fetch ? (w->c->cr4 & HK_CR4_SMEP) == 0 : !w->no_user_data;
}

/* PF_PK when the protection key of the leaf forbids a data access. The rights
 * registers have two bits for each key: no access, no writes. */
static uint32_t key_error(const struct walk *w, uint64_t leaf)
{
    const struct hk_cpu *c = w->c;
    bool user_page = (w->rights & PTE_US) != 0;
    uint64_t on = c->cr4 & (user_page ? HK_CR4_PKE : HK_CR4_PKS);
    if (hk_likely(on == 0) || w->fetch || !hk_is_long(c))
        return 0;
    uint64_t rights = user_page ? c->pkru : c->msr.pkrs;
    unsigned key = rights >> (leaf >> 59 & 15) * 2 & 3;
    bool writes_count = w->user || (c->cr0 & HK_CR0_WP) != 0;
    bool bad = (key & 1) != 0 || ((key & 2) != 0 && w->write && writes_count);
    return bad ? PF_PK : 0;
}

/* A table entry in guest RAM. */
struct slot {
    struct hk_ram *ram;
    uint64_t gpa;
    void *host;
};

HK_INLINE bool find_slot(const struct walk *w, uint64_t gpa, struct slot *s)
{
    struct hk_cpu_machine *m = w->c->machine;
    /* Tables are nearly always in the first stretch of RAM. */
    s->ram = &m->ram[0];
    if (hk_unlikely(gpa - s->ram->gpa >= s->ram->size)) {
        s->ram = hk_phys_ram(m, gpa);
        if (s->ram == NULL)
            return false;
    }
    s->gpa = gpa;
    s->host = s->ram->host + (gpa - s->ram->gpa);
    return true;
}

static void note_write(const struct walk *w, const struct slot *s)
{
    uint64_t word = atomic_load_explicit(
        &s->ram->pages[(s->gpa - s->ram->gpa) >> 12], memory_order_relaxed);
    if (hk_unlikely((word & HK_PAGE_CODE) != 0))
        hk_cpu_machine_note_write(w->c->machine, s->gpa, sizeof(uint64_t));
}

/* Sets bits of an entry seen as `pte`; false: it has changed, look again. */
static bool mark64(const struct walk *w, const struct slot *s, uint64_t pte,
                   uint64_t bits)
{
    if (hk_likely((pte & bits) == bits) || !s->ram->writable)
        return true;
    if (!atomic_compare_exchange_strong((_Atomic uint64_t *)s->host, &pte,
                                        pte | bits))
        return false;
    note_write(w, s);
    return true;
}

static bool mark32(const struct walk *w, const struct slot *s, uint64_t pte,
                   uint64_t bits)
{
    uint32_t seen = (uint32_t)pte;
    if (hk_likely((pte & bits) == bits) || !s->ram->writable)
        return true;
    if (!atomic_compare_exchange_strong((_Atomic uint32_t *)s->host, &seen,
                                        (uint32_t)(pte | bits)))
        return false;
    note_write(w, s);
    return true;
}

HK_INLINE uint64_t load64(const struct slot *s)
{
    return atomic_load_explicit((_Atomic uint64_t *)s->host,
                                memory_order_relaxed);
}

HK_INLINE uint64_t load32(const struct slot *s)
{
    return atomic_load_explicit((_Atomic uint32_t *)s->host,
                                memory_order_relaxed);
}

/* The leaf's bits that this access needs. */
HK_INLINE uint64_t leaf_bits(const struct walk *w)
{
    return w->write ? PTE_A | PTE_D : PTE_A;
}

/* One entry of 8 bytes. On STEP_OK `*pte` is the entry and `*leaf` tells. */
HK_INLINE enum step entry64(struct walk *w, uint64_t gpa, unsigned level,
                            uint64_t *pte, bool *leaf)
{
    struct slot s;
    if (hk_unlikely(!find_slot(w, gpa, &s)))
        return fault(w, 0);
    uint64_t e = load64(&s);
    if ((e & PTE_P) == 0)
        return fault(w, 0);
    uint64_t rsvd = w->rsvd;
    *leaf = level == 1;
    if (level == 4) {
        rsvd |= PTE_PS;
    } else if (level != 1 && (e & PTE_PS) != 0) {
        rsvd |= level == 3 ? 0x3fffe000ull : 0x1fe000ull;
        *leaf = true;
    }
    if (hk_unlikely((e & rsvd) != 0))
        return fault(w, PF_P | PF_RSVD);
    uint64_t rights = w->rights, nx = w->nx;
    w->rights &= e;
    w->nx |= e;
    if (*leaf && hk_unlikely(!is_allowed(w)))
        return fault(w, PF_P | key_error(w, e));
    if (*leaf && hk_unlikely(key_error(w, e) != 0))
        return fault(w, PF_P | PF_PK);
    if (hk_unlikely(!mark64(w, &s, e, *leaf ? leaf_bits(w) : PTE_A))) {
        w->rights = rights;
        w->nx = nx;
        return STEP_AGAIN;
    }
    *pte = e;
    return STEP_OK;
}

/* From the table at `table` down; `level` is its level (4 is the PML4). */
HK_INLINE bool walk64(struct walk *w, uint64_t table, unsigned level)
{
    for (; level >= 1;) {
        unsigned shift = 3 + 9 * level;
        uint64_t pte = 0;
        bool leaf = false;
        enum step step = entry64(w, table + ((w->la >> shift) & 0x1ff) * 8,
                                 level, &pte, &leaf);
        if (hk_unlikely(step == STEP_AGAIN))
            continue;
        if (step == STEP_FAULT)
            return false;
        if (leaf) {
            w->pte = pte | (w->write ? PTE_D : 0);
            w->size = 1ull << shift;
            return true;
        }
        table = pte & PTE_ADDR;
        level--;
    }
    return false;
}

static bool walk_long(struct walk *w)
{
    struct hk_cpu *c = w->c;
    return walk64(w, c->cr3 & c->phys_mask & PTE_ADDR, 4);
}

static bool walk_pae(struct walk *w)
{
    struct hk_cpu *c = w->c;
    struct slot s;
    uint64_t gpa = (c->cr3 & 0xffffffe0) + ((w->la >> 30) & 3) * 8;
    if (!find_slot(w, gpa, &s))
        return fault(w, 0) == STEP_OK;
    uint64_t e = load64(&s);
    if ((e & PTE_P) == 0)
        return fault(w, 0) == STEP_OK;
    if ((e & (w->rsvd | PTE_NX | 0x1e6)) != 0)
        return fault(w, PF_P | PF_RSVD) == STEP_OK;
    return walk64(w, e & PTE_ADDR, 2);
}

/* A 4M page: address bits 39-32 are in bits 20-13 (PSE-36). */
static enum step large32(struct walk *w, const struct slot *s, uint64_t e)
{
    if ((e & 1ull << 21) != 0)
        return fault(w, PF_P | PF_RSVD);
    w->rights &= e;
    if (!is_allowed(w))
        return fault(w, PF_P);
    if (!mark32(w, s, e, leaf_bits(w)))
        return STEP_AGAIN;
    w->pte = (e & 0xffc00fff & ~0x1000ull) | ((e >> 13) & 0xff) << 32;
    w->pte |= w->write ? PTE_D : 0;
    w->size = 1ull << 22;
    return STEP_OK;
}

static enum step small32(struct walk *w, uint64_t table)
{
    struct slot s;
    if (!find_slot(w, table + ((w->la >> 12) & 0x3ff) * 4, &s))
        return fault(w, 0);
    uint64_t e = load32(&s);
    if ((e & PTE_P) == 0)
        return fault(w, 0);
    w->rights &= e;
    if (!is_allowed(w))
        return fault(w, PF_P);
    if (!mark32(w, &s, e, leaf_bits(w)))
        return STEP_AGAIN;
    w->pte = e | (w->write ? PTE_D : 0);
    w->size = 4096;
    return STEP_OK;
}

static enum step try_walk32(struct walk *w)
{
    struct hk_cpu *c = w->c;
    struct slot s;
    w->rights = PTE_RW | PTE_US;
    if (!find_slot(w, (c->cr3 & 0xfffff000) + ((w->la >> 22) & 0x3ff) * 4, &s))
        return fault(w, 0);
    uint64_t e = load32(&s);
    if ((e & PTE_P) == 0)
        return fault(w, 0);
    if ((e & PTE_PS) != 0 && (c->cr4 & HK_CR4_PSE) != 0)
        return large32(w, &s, e);
    w->rights &= e;
    /* As the 386 did: a walk that ends in a fault marks nothing. */
    enum step step = small32(w, e & 0xfffff000);
    if (step == STEP_OK && !mark32(w, &s, e, PTE_A))
        return STEP_AGAIN;
    return step;
}

static bool walk32(struct walk *w)
{
    enum step step;
    do {
        step = try_walk32(w);
    } while (step == STEP_AGAIN);
    return step == STEP_OK;
}

/* ---- large pages -------------------------------------------------------- */

/*
 * The soft TLB holds 4K pieces, but one INVLPG drops a large page as a whole.
 * Which 2M and 1G areas ever had a large page is kept in two small hashed
 * sets; a false hit only costs time.
 */
static unsigned area_hash(uint64_t area)
{
    return (unsigned)((area * 0x9e3779b97f4a7c15ull) >> 52);
}

static void note_large(struct hk_cpu *c, uint64_t la, uint64_t size)
{
    unsigned bit = area_hash(la >> 21);
    c->large_2m[bit >> 6] |= 1ull << (bit & 63);
    if (size != 1ull << 21) /* 1G, or 4M outside long mode */
        c->large_1g |= 1ull << (area_hash(la >> 30) & 63);
}

static void drop_area(struct hk_cpu *c, struct hk_tlb_entry *e, uint64_t la)
{
    unsigned first = (unsigned)(la >> 12) & (HK_TLB_SIZE - 1) & ~511u;
    for (unsigned n = first; n < first + 512; n++) {
        if ((e[n].tag ^ la) >> 21 == 0)
            e[n].tag = HK_TLB_EMPTY(n);
    }
}

void hk_mmu_invalidate(struct hk_cpu *c, uint64_t la)
{
    unsigned bit = area_hash(la >> 21);
    if ((c->large_1g >> (area_hash(la >> 30) & 63) & 1) != 0) {
        hk_tlb_flush_all(c);
        return;
    }
    hk_tlb_flush_page(c, la);
    if ((c->large_2m[bit >> 6] >> (bit & 63) & 1) == 0)
        return;
    for (unsigned v = 0; v < HK_VIEW_COUNT; v++) {
        drop_area(c, c->views[v].rd, la);
        drop_area(c, c->views[v].wr, la);
    }
    for (unsigned n = 0; n < HK_ITLB_SIZE; n++) {
        if ((c->itlb[n].tag ^ la) >> 21 == 0)
            c->itlb[n].tag = HK_TLB_EMPTY(n);
    }
}

/* ---- the walk ----------------------------------------------------------- */

static void unpaged(struct hk_cpu *c, uint64_t la, struct hk_xlat *out)
{
    out->gpa = la & c->phys_mask;
    out->writable = true;
    out->global = false;
    out->user = true;
}

bool hk_mmu_walk(struct hk_cpu *c, uint64_t la, unsigned acc,
                 struct hk_xlat *out)
{
    if ((c->cr0 & HK_CR0_PG) == 0) {
        unpaged(c, la, out);
        return true;
    }
    bool implicit = (acc & HK_ACC_SYSTEM) != 0;
    struct walk w = {
        .c = c,
        .la = la,
        .rights = PTE_RW | PTE_US,
        .rsvd = PTE_ADDR & ~c->phys_mask,
        .user = c->cpl == 3 && !implicit,
        .write = (acc & HK_ACC_KIND) == HK_ACC_WRITE,
        .fetch = (acc & HK_ACC_KIND) == HK_ACC_FETCH,
        .no_user_data = (c->cr4 & HK_CR4_SMAP) != 0 &&
                        (implicit || (c->sysflags & HK_RF_AC) == 0),
    };
    if ((c->msr.efer & HK_EFER_NXE) == 0)
        w.rsvd |= PTE_NX;
    bool ok;
    if (hk_likely(hk_is_long(c))) {
        ok = walk_long(&w);
    } else if ((c->cr4 & HK_CR4_PAE) != 0) {
        w.rsvd |= 0x7ff0000000000000ull;
        ok = walk_pae(&w);
    } else {
        ok = walk32(&w);
    }
    if (!ok)
        return false;
    if (w.size != 4096)
        note_large(c, la, w.size);
    out->gpa = (w.pte & PTE_ADDR & ~(w.size - 1)) | (la & (w.size - 1));
    out->writable = (w.pte & PTE_D) != 0 && may_write(&w);
    out->global = (w.pte & PTE_G) != 0 && (c->cr4 & HK_CR4_PGE) != 0;
    out->user = (w.rights & PTE_US) != 0;
    return true;
}
