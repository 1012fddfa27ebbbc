/*
 * The locked instructions that locks and counters are made of, for ordinary
 * memory: RAM that the write TLB has, within one cache line, 4 or 8 bytes in
 * 64-bit mode. What is out of the ordinary goes to atomic.c.
 */
#include "cpu/alu_int.h"
#include "cpu/atomic_int.h"
#include "cpu/mem_int.h"

#define SET32(c, off, v) HK_SET32(c, off, v)
#define SET64(c, off, v) (HK_R64(c, off) = (v))

/* A host pointer for the operand, or the slow twin. */
#define OPERAND(bits)                                      \
    const uint64_t la = hk_ea(c, u);                       \
    void *host;                                            \
    if (hk_unlikely(!hk_whit(c, la, (bits) / 8, &host)) || \
        hk_unlikely((la & 63) + (bits) / 8 > 64))          \
        return hk_uop_slow(c, u);                          \
    uint##bits##_t *p = host;

#define HANDLER(name, bits, body)                                        \
    static struct hk_uop *name##bits(struct hk_cpu *c, struct hk_uop *u) \
    {                                                                    \
        OPERAND(bits)                                                    \
        body HK_NEXT(c, u);                                              \
    }

/* The flags are those of the plain operation on the value that was there. */
#define FETCH(name, bits, fetch, value)                               \
    HANDLER(name, bits, const uint##bits##_t b = (value);             \
            const uint##bits##_t old = fetch(p, b, __ATOMIC_SEQ_CST); \
            (void)hk_##name##bits(old, b, &c->fl);)

#define STEP(name, bits, fetch)                                       \
    HANDLER(name, bits,                                               \
            const uint##bits##_t old = fetch(p, 1, __ATOMIC_SEQ_CST); \
            (void)hk_##name##bits(old, &c->fl);)

#define XCHG(bits)                                           \
    HANDLER(xchg, bits,                                      \
            const uint##bits##_t old = __atomic_exchange_n(  \
                p, HK_R##bits(c, u->src), __ATOMIC_SEQ_CST); \
            SET##bits(c, u->src, old);)

#define XADD(bits)                                                      \
    HANDLER(xadd, bits, const uint##bits##_t b = HK_R##bits(c, u->src); \
            const uint##bits##_t old =                                  \
                __atomic_fetch_add(p, b, __ATOMIC_SEQ_CST);             \
            SET##bits(c, u->src, old); (void)hk_add##bits(old, b, &c->fl);)

/* The accumulator is written only when the values differ. */
#define CMPXCHG(bits)                                                        \
    HANDLER(cmpxchg, bits,                                                   \
            const uint##bits##_t want = (uint##bits##_t)c->r[HK_RAX];        \
            uint##bits##_t old = want;                                       \
            if (!__atomic_compare_exchange_n(                                \
                    p, &old, HK_R##bits(c, u->src), false, __ATOMIC_SEQ_CST, \
                    __ATOMIC_SEQ_CST)) SET##bits(c, HK_RAX * 8, old);        \
            (void)hk_cmp##bits(want, old, &c->fl);)

#define SIZES(bits)                                             \
    FETCH(add, bits, __atomic_fetch_add, HK_R##bits(c, u->src)) \
    FETCH(sub, bits, __atomic_fetch_sub, HK_R##bits(c, u->src)) \
    FETCH(and, bits, __atomic_fetch_and, HK_R##bits(c, u->src)) \
    FETCH(or, bits, __atomic_fetch_or, HK_R##bits(c, u->src))   \
    STEP(inc, bits, __atomic_fetch_add)                         \
    STEP(dec, bits, __atomic_fetch_sub)                         \
    XCHG(bits)                                                  \
    XADD(bits)                                                  \
    CMPXCHG(bits)

SIZES(32)
SIZES(64)

static const struct {
    enum hk_op op;
    hk_uop_fn fn[2]; /* 4 and 8 bytes */
} handlers[] = {
    {HK_OP_ADD, {add32, add64}},
    {HK_OP_SUB, {sub32, sub64}},
    {HK_OP_AND, {and32, and64}},
    {HK_OP_OR, {or32, or64}},
    {HK_OP_INC, {inc32, inc64}},
    {HK_OP_DEC, {dec32, dec64}},
    {HK_OP_XCHG, {xchg32, xchg64}},
    {HK_OP_XADD, {xadd32, xadd64}},
    {HK_OP_CMPXCHG, {cmpxchg32, cmpxchg64}},
};

hk_uop_fn hk_atomic_fast(const struct hk_insn *i)
{
    unsigned size = i->opnd[0].size;
    bool has_source = i->op != HK_OP_INC && i->op != HK_OP_DEC;
    if (i->opnd[0].kind != HK_OPND_MEM || (size != 4 && size != 8) ||
        (has_source && i->opnd[1].kind != HK_OPND_GPR))
        return NULL;
    for (size_t n = 0; n < HK_COUNT(handlers); n++) {
        if (handlers[n].op == i->op)
            return handlers[n].fn[size == 8];
    }
    return NULL;
}
