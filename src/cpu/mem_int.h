/*
 * The memory fast path: one compare, one load or store.
 *
 * A page's entry matches when the address differs from the tag only in its
 * low bits and the access ends inside the page: (la ^ tag) <= 4096 - size.
 * Everything else (miss, page crossing, MMIO, code pages, watched pages)
 * goes to tlb.c.
 */
#ifndef HK_CPU_MEM_INT_H
#define HK_CPU_MEM_INT_H

#include "cpu/cpu_int.h"

#include <string.h>

HK_INLINE unsigned hk_tlb_slot(uint64_t la)
{
    return (unsigned)(la >> 12) & (HK_TLB_SIZE - 1);
}

/* Host pointer for reading `size` bytes at `la`, or NULL: use the slow way. */
HK_INLINE const void *hk_rptr(const struct hk_cpu *c, uint64_t la,
                              uint32_t size)
{
    const struct hk_tlb_entry *e = &c->view->rd[hk_tlb_slot(la)];
    if (hk_likely((la ^ e->tag) <= 4096 - size))
        return (const void *)(uintptr_t)(la + e->addend);
    return NULL;
}

/* The same for writing (and reading). */
HK_INLINE void *hk_wptr(const struct hk_cpu *c, uint64_t la, uint32_t size)
{
    const struct hk_tlb_entry *e = &c->view->wr[hk_tlb_slot(la)];
    if (hk_likely((la ^ e->tag) <= 4096 - size))
        return (void *)(uintptr_t)(la + e->addend);
    return NULL;
}

/*
 * The same for handlers that have a slow twin: true on a hit. Without a null
 * pointer to test and without a call behind it, such a handler needs no stack
 * frame.
 */
HK_INLINE bool hk_rhit(const struct hk_cpu *c, uint64_t la, uint32_t size,
                       const void **p)
{
    const struct hk_tlb_entry *e = &c->view->rd[hk_tlb_slot(la)];
    *p = (const void *)(uintptr_t)(la + e->addend);
    return hk_likely((la ^ e->tag) <= 4096 - size);
}

HK_INLINE bool hk_whit(const struct hk_cpu *c, uint64_t la, uint32_t size,
                       void **p)
{
    const struct hk_tlb_entry *e = &c->view->wr[hk_tlb_slot(la)];
    *p = (void *)(uintptr_t)(la + e->addend);
    return hk_likely((la ^ e->tag) <= 4096 - size);
}

/*
 * Fast handlers: `statement` works on v (and stores it back, for RMW and
 * STORE); a miss goes to `slow`, a handler that does everything. `ea` is
 * hk_ea or hk_ea_flat.
 */
#define HK_FAST_LOAD(name, slow, bits, ea, statement)              \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        const void *p;                                             \
        uint##bits##_t v;                                          \
        if (hk_unlikely(!hk_rhit(c, ea(c, u), (bits) / 8, &p)))    \
            return slow(c, u);                                     \
        memcpy(&v, p, (bits) / 8);                                 \
        statement;                                                 \
        HK_NEXT(c, u);                                             \
    }

#define HK_FAST_STORE(name, slow, bits, ea, value)                 \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        void *p;                                                   \
        uint##bits##_t v = (value);                                \
        if (hk_unlikely(!hk_whit(c, ea(c, u), (bits) / 8, &p)))    \
            return slow(c, u);                                     \
        memcpy(p, &v, (bits) / 8);                                 \
        HK_NEXT(c, u);                                             \
    }

#define HK_FAST_RMW(name, slow, bits, ea, statement)               \
    static struct hk_uop *name(struct hk_cpu *c, struct hk_uop *u) \
    {                                                              \
        void *p;                                                   \
        uint##bits##_t v;                                          \
        if (hk_unlikely(!hk_whit(c, ea(c, u), (bits) / 8, &p)))    \
            return slow(c, u);                                     \
        memcpy(&v, p, (bits) / 8);                                 \
        statement;                                                 \
        memcpy(p, &v, (bits) / 8);                                 \
        HK_NEXT(c, u);                                             \
    }

#define HK_MEM_ACCESSORS(bits)                                          \
    HK_INLINE bool hk_ld##bits(struct hk_cpu *c, uint64_t la,           \
                               uint##bits##_t *v)                       \
    {                                                                   \
        const void *p = hk_rptr(c, la, (bits) / 8);                     \
        if (hk_likely(p != NULL)) {                                     \
            memcpy(v, p, (bits) / 8);                                   \
            return true;                                                \
        }                                                               \
        uint64_t wide;                                                  \
        if (!hk_mem_read(c, la, (bits) / 8, HK_ACC_READ, &wide))        \
            return false;                                               \
        *v = (uint##bits##_t)wide;                                      \
        return true;                                                    \
    }                                                                   \
    /* Load for a later store to the same place: checks the right to */ \
    HK_INLINE bool hk_ldw##bits(struct hk_cpu *c, uint64_t la,          \
                                uint##bits##_t *v)                      \
    {                                                                   \
        const void *p = hk_wptr(c, la, (bits) / 8);                     \
        if (hk_likely(p != NULL)) {                                     \
            memcpy(v, p, (bits) / 8);                                   \
            return true;                                                \
        }                                                               \
        uint64_t wide;                                                  \
        if (!hk_mem_read(c, la, (bits) / 8, HK_ACC_WRITE, &wide))       \
            return false;                                               \
        *v = (uint##bits##_t)wide;                                      \
        return true;                                                    \
    }                                                                   \
    HK_INLINE bool hk_st##bits(struct hk_cpu *c, uint64_t la,           \
                               uint##bits##_t v)                        \
    {                                                                   \
        void *p = hk_wptr(c, la, (bits) / 8);                           \
        if (hk_likely(p != NULL)) {                                     \
            memcpy(p, &v, (bits) / 8);                                  \
            return true;                                                \
        }                                                               \
        return hk_mem_write(c, la, (bits) / 8, HK_ACC_WRITE, v);        \
    }

HK_MEM_ACCESSORS(8)
HK_MEM_ACCESSORS(16)
HK_MEM_ACCESSORS(32)
HK_MEM_ACCESSORS(64)

#undef HK_MEM_ACCESSORS

#endif
