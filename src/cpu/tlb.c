/*
 * Guest linear memory, the slow way: soft-TLB fill, page crossing, MMIO,
 * pages that hold decoded code, pages watched by debug registers.
 *
 * How code pages stay honest
 * --------------------------
 * Each RAM page has a word: which 128-byte granules hold decoded code, and
 * whether some write TLB may map the page. A write entry is never made for a
 * page with code, so such writes come here and look at the granules. The
 * other way round, block.c sets the granules before it reads the bytes, and
 * when a write TLB may map the page it stops the world and takes those
 * entries away first. So every write is seen either by the reader of the
 * bytes or by the check here. Who finds the granules clear settles first: they
 * may have been cleared this moment by a vCPU that has yet to tell the rest.
 */
#include "cpu/block_int.h"
#include "cpu/cpu_int.h"
#include "cpu/mem_int.h"
#include "cpu/slow_int.h"

#include <string.h>

static void clear_view(struct hk_tlb_view *v)
{
    for (unsigned i = 0; i < HK_TLB_SIZE; i++) {
        v->rd[i].tag = HK_TLB_EMPTY(i);
        v->wr[i].tag = HK_TLB_EMPTY(i);
    }
}

void hk_tlb_flush_all(struct hk_cpu *c)
{
    for (unsigned i = 0; i < HK_VIEW_COUNT; i++)
        clear_view(&c->views[i]);
    for (unsigned i = 0; i < HK_ITLB_SIZE; i++)
        c->itlb[i].tag = HK_TLB_EMPTY(i);
    c->tlb_logged = 0;
    c->link = NULL;
}

void hk_tlb_flush_nonglobal(struct hk_cpu *c)
{
    if (c->tlb_logged > HK_TLB_LOG) {
        hk_tlb_flush_all(c);
        return;
    }
    for (uint32_t i = 0; i < c->tlb_logged; i++) {
        unsigned at = c->tlb_log[i];
        struct hk_tlb_view *v = &c->views[at >> 11];
        unsigned slot = at & (HK_TLB_SIZE - 1);
        if ((at & HK_TLB_SIZE) != 0)
            v->wr[slot].tag = HK_TLB_EMPTY(slot);
        else
            v->rd[slot].tag = HK_TLB_EMPTY(slot);
    }
    c->tlb_logged = 0;
    for (unsigned i = 0; i < HK_ITLB_SIZE; i++) {
        if (!c->itlb[i].global)
            c->itlb[i].tag = HK_TLB_EMPTY(i);
    }
    c->link = NULL;
}

void hk_tlb_flush_page(struct hk_cpu *c, uint64_t la)
{
    unsigned slot = hk_tlb_slot(la);
    for (unsigned i = 0; i < HK_VIEW_COUNT; i++) {
        c->views[i].rd[slot].tag = HK_TLB_EMPTY(slot);
        c->views[i].wr[slot].tag = HK_TLB_EMPTY(slot);
    }
    struct hk_itlb_entry *code = hk_itlb_slot(c, la);
    code->tag = HK_TLB_EMPTY(code - c->itlb);
    c->link = NULL;
}

static void log_slot(struct hk_cpu *c, unsigned view, bool write, unsigned slot)
{
    if (c->tlb_logged < HK_TLB_LOG)
        c->tlb_log[c->tlb_logged] =
            (uint16_t)(view << 11 | (unsigned)write << 10 | slot);
    if (c->tlb_logged <= HK_TLB_LOG)
        c->tlb_logged++;
}

/* Where one page's part of an access goes. */
struct place {
    uint8_t *host;      /* NULL: MMIO at gpa */
    uint64_t gpa;       /* valid when host is NULL or ram is set */
    struct hk_ram *ram; /* set when writes must check for decoded code */
};

static void set_entry(struct hk_tlb_entry *e, uint64_t la, uint8_t *host)
{
    e->tag = la & ~0xfffull;
    e->addend = (uintptr_t)host - (uintptr_t)la;
}

static void fill(struct hk_cpu *c, uint64_t la, unsigned view, bool write,
                 const struct hk_xlat *x, struct place *p)
{
    struct hk_ram *ram = p->ram;
    unsigned slot = hk_tlb_slot(la);
    struct hk_tlb_view *v = &c->views[view];
    if (write) {
        uint64_t was = atomic_fetch_or(&ram->pages[(p->gpa - ram->gpa) >> 12],
                                       HK_PAGE_WCACHED);
        if ((was & HK_PAGE_CODE) != 0)
            return; /* p->ram stays set: check after the write */
        hk_code_settle(c);
        set_entry(&v->wr[slot], la, p->host);
        if (!x->global)
            log_slot(c, view, true, slot);
    }
    set_entry(&v->rd[slot], la, p->host);
    if (!x->global)
        log_slot(c, view, false, slot);
    p->ram = NULL;
}

static unsigned view_index(const struct hk_cpu *c, unsigned acc)
{
    if ((acc & HK_ACC_SYSTEM) != 0)
        return HK_VIEW_KERNEL;
    return (unsigned)(c->view - c->views);
}

static bool noncanonical(struct hk_cpu *c)
{
    (void)hk_fault_err(c, HK_VEC_GP, 0);
    c->exc.noncanonical = true;
    return false;
}

/*
 * The last byte of a page-crossing access is checked for the hole in the
 * address space before the first one can raise a page fault.
 */
static bool end_is_canonical(struct hk_cpu *c, uint64_t la, uint32_t len)
{
    if (hk_likely((la & 0xfff) + len <= 4096 || hk_is_canonical(la + len - 1)))
        return true;
    return noncanonical(c);
}

/* Translates the page of `la`; false: a fault is pending. */
static bool locate(struct hk_cpu *c, uint64_t la, unsigned acc, struct place *p)
{
    bool write = (acc & HK_ACC_KIND) == HK_ACC_WRITE;
    unsigned view = view_index(c, acc);
    unsigned slot = hk_tlb_slot(la);
    const struct hk_tlb_entry *e =
        write ? &c->views[view].wr[slot] : &c->views[view].rd[slot];
    p->ram = NULL;
    if ((la ^ e->tag) <= 4095) {
        p->host = (uint8_t *)(uintptr_t)(la + e->addend);
        return true;
    }
    if (!hk_is_canonical(la))
        return noncanonical(c);
    struct hk_xlat x;
    if (!hk_mmu_walk(c, la, acc, &x))
        return false;
    p->gpa = x.gpa;
    p->host = NULL;
    struct hk_ram *ram = hk_phys_ram(c->machine, x.gpa);
    if (ram == NULL || (write && !ram->writable))
        return true;
    p->host = ram->host + (x.gpa - ram->gpa);
    p->ram = ram;
    if (!(c->dr[7] & 0xff) || !hk_debug_watches_page(c, la))
        fill(c, la, view, write, &x, p);
    return true;
}

static uint64_t place_read(struct hk_cpu *c, const struct place *p,
                           uint32_t size)
{
    uint64_t v = 0;
    if (p->host == NULL) {
        HK_OUTSIDE(c, v = c->machine->host.mem_read(c->opaque, p->gpa, size));
        return v;
    }
    switch (size) {
    case 1:
        return *p->host;
    case 2:
        memcpy(&v, p->host, 2);
        return v;
    case 4:
        memcpy(&v, p->host, 4);
        return v;
    case 8:
        memcpy(&v, p->host, 8);
        return v;
    default: /* a part of an access across pages */
        memcpy(&v, p->host, size);
        return v;
    }
}

/* The sizes of whole accesses are constants here: each is one host move,
 * seen whole and only once by other vCPUs. */
static void place_write(struct hk_cpu *c, const struct place *p, uint32_t size,
                        uint64_t v)
{
    if (p->host == NULL) {
        HK_OUTSIDE(c, c->machine->host.mem_write(c->opaque, p->gpa, size, v));
        return;
    }
    switch (size) {
    case 1:
        *p->host = (uint8_t)v;
        break;
    case 2:
        memcpy(p->host, &v, 2);
        break;
    case 4:
        memcpy(p->host, &v, 4);
        break;
    case 8:
        memcpy(p->host, &v, 8);
        break;
    default: /* a part of an access across pages */
        memcpy(p->host, &v, size);
        break;
    }
    if (p->ram != NULL)
        hk_code_written(c->machine, c, p->ram, p->gpa, size);
}

/* A device register is never cut in odd sizes: split to powers of two. */
static uint32_t part_size(const struct place *p, uint32_t size)
{
    if (p->host != NULL)
        return size;
    uint32_t part = size >= 4 ? 4 : size >= 2 ? 2 : 1;
    return part;
}

static uint64_t read_part(struct hk_cpu *c, struct place p, uint32_t size)
{
    uint64_t v = 0;
    uint32_t at = 0;
    if (p.host == NULL && size == 8)
        return place_read(c, &p, 8);
    while (at < size) {
        uint32_t part = part_size(&p, size - at);
        v |= place_read(c, &p, part) << (8 * at);
        at += part;
        p.gpa += part;
    }
    return v;
}

static void write_part(struct hk_cpu *c, struct place p, uint32_t size,
                       uint64_t v)
{
    uint32_t at = 0;
    if (p.host == NULL && size == 8) {
        place_write(c, &p, 8, v);
        return;
    }
    while (at < size) {
        uint32_t part = part_size(&p, size - at);
        place_write(c, &p, part, v >> (8 * at));
        at += part;
        p.gpa += part;
    }
}

static uint64_t low_bytes(uint64_t v, uint32_t size)
{
    return size == 8 ? v : v & ((1ull << (8 * size)) - 1);
}

/* In 32-bit code an access may wrap at 4 GiB. */
static uint64_t next_page(const struct hk_cpu *c, uint64_t la)
{
    uint64_t next = (la | 0xfff) + 1;
    return hk_is_long(c) && hk_is_code64(c) ? next : (uint32_t)next;
}

bool hk_mem_read(struct hk_cpu *c, uint64_t la, uint32_t size, unsigned acc,
                 uint64_t *value)
{
    struct place a, b;
    if ((c->dr[7] & 0xff) != 0)
        hk_debug_data(c, la, size, (acc & HK_ACC_KIND) == HK_ACC_WRITE);
    if (!end_is_canonical(c, la, size) || !locate(c, la, acc, &a))
        return false;
    uint32_t first = 4096 - (uint32_t)(la & 0xfff);
    if (hk_likely(first >= size)) {
        *value = low_bytes(read_part(c, a, size), size);
        return true;
    }
    if (!locate(c, next_page(c, la), acc, &b))
        return false;
    uint64_t low = low_bytes(read_part(c, a, first), first);
    uint64_t high = low_bytes(read_part(c, b, size - first), size - first);
    *value = low | high << (8 * first);
    return true;
}

bool hk_mem_write(struct hk_cpu *c, uint64_t la, uint32_t size, unsigned acc,
                  uint64_t value)
{
    struct place a, b;
    if ((c->dr[7] & 0xff) != 0)
        hk_debug_data(c, la, size, true);
    if (!end_is_canonical(c, la, size) || !locate(c, la, acc, &a))
        return false;
    uint32_t first = 4096 - (uint32_t)(la & 0xfff);
    if (hk_likely(first >= size)) {
        write_part(c, a, size, value);
        return true;
    }
    if (!locate(c, next_page(c, la), acc, &b))
        return false;
    write_part(c, a, first, low_bytes(value, first));
    write_part(c, b, size - first, value >> (8 * first));
    return true;
}

bool hk_mem_probe(struct hk_cpu *c, uint64_t la, uint32_t len, unsigned acc)
{
    struct place p;
    if (!end_is_canonical(c, la, len))
        return false;
    for (uint64_t at = la;; at = next_page(c, at)) {
        if (!locate(c, at, acc, &p))
            return false;
        uint32_t room = 4096 - (uint32_t)(at & 0xfff);
        if (room >= len)
            return true;
        len -= room;
    }
}

bool hk_mem_read_bytes(struct hk_cpu *c, uint64_t la, void *to, uint32_t len,
                       unsigned acc)
{
    uint8_t *out = to;
    if (!end_is_canonical(c, la, len))
        return false;
    while (len != 0) {
        struct place p;
        if (!locate(c, la, acc, &p))
            return false;
        uint32_t room = 4096 - (uint32_t)(la & 0xfff);
        uint32_t part = len < room ? len : room;
        if (p.host != NULL) {
            memcpy(out, p.host, part);
        } else {
            part = part >= 8 ? 8 : part >= 4 ? 4 : part >= 2 ? 2 : 1;
            uint64_t v = place_read(c, &p, part);
            memcpy(out, &v, part);
        }
        out += part;
        la = part == room ? next_page(c, la) : la + part;
        len -= part;
    }
    return true;
}

bool hk_mem_write_bytes(struct hk_cpu *c, uint64_t la, const void *from,
                        uint32_t len, unsigned acc)
{
    const uint8_t *in = from;
    if (!hk_mem_probe(c, la, len, acc))
        return false;
    while (len != 0) {
        uint32_t room = 4096 - (uint32_t)(la & 0xfff);
        uint32_t part = len < room ? len : room;
        part = part >= 8 ? 8 : part >= 4 ? 4 : part >= 2 ? 2 : 1;
        uint64_t v = 0;
        memcpy(&v, in, part);
        if (!hk_mem_write(c, la, part, acc, v))
            return false;
        in += part;
        la = part == room ? next_page(c, la) : la + part;
        len -= part;
    }
    return true;
}

bool hk_fetch_page(struct hk_cpu *c, uint64_t la, struct hk_itlb_entry **out)
{
    struct hk_itlb_entry *e = hk_itlb_slot(c, la);
    uint64_t tag = (la & ~0xfffull) | (c->mode & HK_MODE_USER);
    *out = e;
    if (e->tag == tag)
        return true;
    if (!hk_is_canonical(la))
        return hk_fault_err(c, HK_VEC_GP, 0);
    struct hk_xlat x;
    if (!hk_mmu_walk(c, la, HK_ACC_FETCH, &x))
        return false;
    uint64_t page = x.gpa & ~0xfffull;
    e->host = hk_phys_ptr(c->machine, page, NULL);
    e->phys = page;
    e->global = x.global;
    e->tag = tag;
    return true;
}
