/*
 * Decoded blocks and how control moves between them.
 *
 * A block is keyed by the guest-physical address of its first byte and the
 * mode it was decoded for, and never leaves its page. It ends with one or two
 * exits. An exit is a uop followed by a link: a data uop whose `imm` is the
 * next block once known, and whose `dst` says that it lies on the same page,
 * so that its mapping needs no check.
 *
 * Blocks belong to one vCPU. Dropping one overwrites its handlers with "leave
 * at this instruction", so links to it and a running one just fall out to the
 * run loop; memory comes back when the whole cache is emptied.
 */
#ifndef HK_CPU_BLOCK_INT_H
#define HK_CPU_BLOCK_INT_H

#include "cpu/cpu_int.h"
#include "cpu/uop_int.h"

enum { HK_BLOCK_MAX_INSNS = 64, HK_BLOCK_MAX_UOPS = 320 };

struct hk_block {
    uint64_t phys; /* of the first byte; ~0 when dropped */
    uint32_t mode;
    uint16_t bytes;
    uint16_t insns;
    uint32_t uop_count;
    struct hk_block *hash_next;
    struct hk_block *page_next;
    struct hk_uop uops[];
};

/* False for a block across two pages and for a dropped one. */
HK_INLINE bool hk_block_is_cached(const struct hk_block *b)
{
    return b->phys != ~0ull && (b->phys & 0xfff) + b->bytes <= 4096;
}

/* `size` is hk_cpu_config.code_bytes. */
int hk_code_cache_create(size_t size, struct hk_code_cache **out) HK_MUST_CHECK;
void hk_code_cache_destroy(struct hk_code_cache *cache);

/*
 * The block at c->rip in c->mode, decoded if need be. NULL: a fault (#PF or
 * #GP of the fetch) is pending. With `single` one instruction only, valid
 * until the next call.
 */
struct hk_block *hk_block_find(struct hk_cpu *c, bool single);

/* Remembers that the exit `link` of the block last run leads to `b`. */
void hk_block_link(struct hk_cpu *c, struct hk_uop *link, struct hk_block *b);

/* Decodes and emits into `b`; see build.c. */
void hk_build_insn(struct hk_builder *b, const struct hk_insn *i);
void hk_build_finish(struct hk_builder *b);
void *hk_code_alloc(struct hk_cpu *c, size_t size);

/*
 * RAM was written by `writer` (NULL: not a vCPU): drops decoded code there,
 * on every vCPU. The bytes are already in memory.
 */
void hk_code_written(struct hk_cpu_machine *m, struct hk_cpu *writer,
                     struct hk_ram *ram, uint64_t gpa, uint64_t len);
/*
 * Returns once the invalidations that others have begun are posted, and has
 * taken those for this vCPU: code of a page whose bits are clear is gone
 * then. May drop the running block.
 */
void hk_code_settle(struct hk_cpu *c);
/* Takes the invalidations other threads posted. */
void hk_code_take_posted(struct hk_cpu *c);

/* Handler of dropped uops. */
struct hk_uop *hk_uop_leave(struct hk_cpu *c, struct hk_uop *u);

/* Translates a code address; false: a fault is pending. */
bool hk_fetch_page(struct hk_cpu *c, uint64_t la, struct hk_itlb_entry **out);

HK_INLINE struct hk_itlb_entry *hk_itlb_slot(struct hk_cpu *c, uint64_t la)
{
    return &c->itlb[(la >> 12) & (HK_ITLB_SIZE - 1)];
}

/* The page of `la` is still mapped where block `b` was decoded from. */
HK_INLINE bool hk_itlb_maps(struct hk_cpu *c, uint64_t la,
                            const struct hk_block *b)
{
    const struct hk_itlb_entry *e = hk_itlb_slot(c, la);
    return e->tag == ((la & ~0xfffull) | (c->mode & HK_MODE_USER)) &&
           e->phys == (b->phys & ~0xfffull);
}

HK_INLINE bool hk_poked(struct hk_cpu *c)
{
    return atomic_load_explicit(&c->poke, memory_order_relaxed) != 0;
}

HK_INLINE struct hk_jump_entry *hk_jump_slot(struct hk_cpu *c, uint64_t rip)
{
    return &c->jump[(rip ^ (rip >> 12)) & (HK_JUMP_SIZE - 1)];
}

/* Goes on at `rip` by the exit's link. */
HK_INLINE struct hk_uop *hk_exit_direct(struct hk_cpu *c, uint64_t rip,
                                        struct hk_uop *link)
{
    struct hk_block *b = (struct hk_block *)(uintptr_t)link->imm;
    if (hk_likely(b != NULL && !hk_poked(c) && c->budget > 0) &&
        (link->dst != 0 ||
         hk_itlb_maps(c, rip + c->r[HK_SLOT_SEG + HK_SEG_CS], b))) {
        c->budget -= b->insns;
        c->r[HK_SLOT_RIP] = rip;
        HK_GOTO(c, b->uops);
    }
    c->rip = rip;
    c->link = link;
    return NULL;
}

/* The block at `rip` if the run loop need not be asked; else NULL. */
HK_INLINE struct hk_block *hk_jump_find(struct hk_cpu *c, uint64_t rip)
{
    const struct hk_jump_entry *e = hk_jump_slot(c, rip);
    struct hk_block *b = e->block;
    if (hk_likely(e->rip == rip && b != NULL && !hk_poked(c) && c->budget > 0 &&
                  b->mode == c->mode &&
                  hk_itlb_maps(c, rip + c->r[HK_SLOT_SEG + HK_SEG_CS], b)))
        return b;
    return NULL;
}

HK_INLINE struct hk_uop *hk_enter(struct hk_cpu *c, struct hk_block *b,
                                  uint64_t rip)
{
    c->budget -= b->insns;
    c->r[HK_SLOT_RIP] = rip;
    HK_GOTO(c, b->uops);
}

/* Goes on at a computed `rip`. */
HK_INLINE struct hk_uop *hk_exit_indirect(struct hk_cpu *c, uint64_t rip)
{
    struct hk_block *b = hk_jump_find(c, rip);
    if (hk_likely(b != NULL))
        return hk_enter(c, b, rip);
    c->rip = rip;
    return NULL;
}

/* state.c: the reset state. */
void hk_cpu_reset(struct hk_cpu *c);

#endif
