/*
 * Locked instructions, XCHG with memory, XADD, CMPXCHG and its wide forms.
 *
 * A guest atomic is a host compare-exchange on the same RAM. Where that is
 * not possible (MMIO, a page that holds code, a cache line or page crossing)
 * the other vCPUs are stopped for the one access.
 */
#include "cpu/atomic_int.h"

#include "cpu/alu_int.h"
#include "cpu/block_int.h"
#include "cpu/mem_int.h"

#define LOCK_LOOP(bits)                                                        \
    static void loop##bits(struct hk_cpu *c, const struct hk_insn *i,          \
                           uint##bits##_t *p, hk_atomic_fn change)             \
    {                                                                          \
        uint##bits##_t old = __atomic_load_n(p, __ATOMIC_RELAXED);             \
        uint16_t fl = c->fl;                                                   \
        for (;;) {                                                             \
            uint64_t v = old;                                                  \
            c->fl = fl;                                                        \
            if (!change(c, i, old, &v))                                        \
                v = old;                                                       \
            uint##bits##_t want = (uint##bits##_t)v;                           \
            if (__atomic_compare_exchange_n(                                   \
                    p, &old, want, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) \
                return;                                                        \
        }                                                                      \
    }

LOCK_LOOP(8)
LOCK_LOOP(16)
LOCK_LOOP(32)
LOCK_LOOP(64)

static bool stop_world_update(struct hk_cpu *c, const struct hk_insn *i,
                              uint64_t la, uint32_t size, hk_atomic_fn change)
{
    const struct hk_cpu_host *h = &c->machine->host;
    bool others = c->machine->cpu_count > 1;
    uint64_t old;
    if (others)
        h->exclusive_begin(c->opaque);
    bool ok = hk_mem_read(c, la, size, HK_ACC_WRITE, &old);
    if (ok) {
        uint64_t v = old;
        if (!change(c, i, old, &v))
            v = old;
        ok = hk_mem_write(c, la, size, HK_ACC_WRITE, v);
    }
    if (others)
        h->exclusive_end(c->opaque);
    return ok;
}

bool hk_atomic_update(struct hk_cpu *c, const struct hk_insn *i, uint64_t la,
                      uint32_t size, hk_atomic_fn change)
{
    void *p = hk_wptr(c, la, size);
    if (p == NULL && (la & 63) + size <= 64) {
        /* A first touch: fill the TLB, then try again. */
        uint64_t ignored;
        if (!hk_mem_read(c, la, size, HK_ACC_WRITE, &ignored))
            return false;
        p = hk_wptr(c, la, size);
    }
    if (p == NULL || (la & 63) + size > 64)
        return stop_world_update(c, i, la, size, change);
    switch (size) {
    case 1:
        loop8(c, i, p, change);
        break;
    case 2:
        loop16(c, i, p, change);
        break;
    case 4:
        loop32(c, i, p, change);
        break;
    default:
        loop64(c, i, p, change);
        break;
    }
    return true;
}

/* ---- LOCK ADD and its kind ----------------------------------------------- */

static uint64_t source(const struct hk_cpu *c, const struct hk_insn *i)
{
    return i->opnd[1].kind == HK_OPND_IMM ? i->imm : hk_reg_get(c, &i->opnd[1]);
}

#define BY_SIZE(name)                                           \
    switch (i->opnd[0].size) {                                  \
    case 1:                                                     \
        *v = hk_##name##8((uint8_t)old, (uint8_t)s, &c->fl);    \
        break;                                                  \
    case 2:                                                     \
        *v = hk_##name##16((uint16_t)old, (uint16_t)s, &c->fl); \
        break;                                                  \
    case 4:                                                     \
        *v = hk_##name##32((uint32_t)old, (uint32_t)s, &c->fl); \
        break;                                                  \
    default:                                                    \
        *v = hk_##name##64(old, s, &c->fl);                     \
        break;                                                  \
    }                                                           \
    return true

#define BY_SIZE1(name)                             \
    switch (i->opnd[0].size) {                     \
    case 1:                                        \
        *v = hk_##name##8((uint8_t)old, &c->fl);   \
        break;                                     \
    case 2:                                        \
        *v = hk_##name##16((uint16_t)old, &c->fl); \
        break;                                     \
    case 4:                                        \
        *v = hk_##name##32((uint32_t)old, &c->fl); \
        break;                                     \
    default:                                       \
        *v = hk_##name##64(old, &c->fl);           \
        break;                                     \
    }                                              \
    return true

#define CHANGE2(name)                                                    \
    static bool change_##name(struct hk_cpu *c, const struct hk_insn *i, \
                              uint64_t old, uint64_t *v)                 \
    {                                                                    \
        uint64_t s = source(c, i);                                       \
        BY_SIZE(name);                                                   \
    }
#define CHANGE1(name)                                                    \
    static bool change_##name(struct hk_cpu *c, const struct hk_insn *i, \
                              uint64_t old, uint64_t *v)                 \
    {                                                                    \
        BY_SIZE1(name);                                                  \
    }

CHANGE2(add)
CHANGE2(or)
CHANGE2(adc)
CHANGE2(sbb)
CHANGE2(and)
CHANGE2(sub)
CHANGE2(xor)
CHANGE2(cmp)
CHANGE1(inc)
CHANGE1(dec)
CHANGE1(neg)

static bool change_not(struct hk_cpu *c, const struct hk_insn *i, uint64_t old,
                       uint64_t *v)
{
    *v = ~old;
    return true;
}

static hk_atomic_fn change_for(unsigned op)
{
    static const hk_atomic_fn two[] = {change_add, change_or,  change_adc,
                                       change_sbb, change_and, change_sub,
                                       change_xor};
    static const hk_atomic_fn one[] = {change_inc, change_dec, change_neg,
                                       change_not};
    return op >= HK_OP_INC ? one[op - HK_OP_INC] : two[op - HK_OP_ADD];
}

static bool slow_locked(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la;
    uint32_t size = i->opnd[0].size;
    if (!hk_insn_linear(c, i, size, HK_ACC_WRITE, &la))
        return false;
    return hk_atomic_update(c, i, la, size, change_for(i->op));
}

/* The common shapes without the detour through the operand decoder. */
struct fast_locked {
    hk_atomic_fn change;
    struct hk_insn insn;
};

static struct hk_uop *op_locked(struct hk_cpu *c, struct hk_uop *u)
{
    const struct fast_locked *f = (const struct fast_locked *)(uintptr_t)u->imm;
    if (!hk_atomic_update(c, &f->insn, hk_ea(c, u), u->src, f->change))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}

static void emit_fast(struct hk_builder *b, const struct hk_insn *i,
                      hk_atomic_fn change)
{
    struct fast_locked *f = hk_code_alloc(b->c, sizeof(*f));
    f->change = change;
    f->insn = *i;
    uint32_t size = i->opnd[0].size;
    struct hk_mem_ref m = hk_emit_mem(b, size, HK_ACC_WRITE);
    struct hk_uop *u = hk_emit(b, op_locked, HK_UF_READS | HK_UF_FAULTS);
    hk_use_mem(u, m);
    u->imm = (uint64_t)(uintptr_t)f;
    u->src = (uint16_t)size;
}

/* False: no handler of its own, nothing was emitted. */
static bool emit_ordinary(struct hk_builder *b, const struct hk_insn *i,
                          hk_slow_fn slow)
{
    hk_uop_fn fast = hk_atomic_fast(i);
    if (fast == NULL || (b->mode & HK_MODE_SIZE) != HK_CODE64)
        return false;
    struct hk_mem_ref m = hk_emit_mem(b, i->opnd[0].size, HK_ACC_WRITE);
    struct hk_uop *u = hk_emit_slow_twin(b, fast, slow);
    hk_use_mem(u, m);
    if (i->opnd[1].kind == HK_OPND_GPR)
        u->src = hk_reg_offset(&i->opnd[1]);
    return true;
}

void hk_emit_locked(struct hk_builder *b, const struct hk_insn *i)
{
    if (emit_ordinary(b, i, slow_locked))
        return;
    if ((b->mode & HK_MODE_SIZE) == HK_CODE64)
        emit_fast(b, i, change_for(i->op));
    else
        hk_emit_slow(b, slow_locked, false);
}

/* ---- XCHG, XADD, CMPXCHG ------------------------------------------------- */

/* The old value reaches the register in the last round only, so it is put
 * aside and written once the update has happened. */
static bool change_xchg(struct hk_cpu *c, const struct hk_insn *i, uint64_t old,
                        uint64_t *v)
{
    *v = hk_reg_get(c, &i->opnd[1]);
    c->r[HK_SLOT_TMP] = old;
    return true;
}

static bool change_xadd(struct hk_cpu *c, const struct hk_insn *i, uint64_t old,
                        uint64_t *v)
{
    c->r[HK_SLOT_TMP] = old;
    return change_add(c, i, old, v);
}

static uint64_t size_mask(unsigned size)
{
    return size == 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

static bool change_cmpxchg(struct hk_cpu *c, const struct hk_insn *i,
                           uint64_t old, uint64_t *v)
{
    struct hk_insn with_acc = *i;
    uint64_t ignored;
    with_acc.opnd[1].kind = HK_OPND_IMM;
    with_acc.imm = old;
    c->r[HK_SLOT_TMP] = old;
    /* Flags as CMP rAX, old. */
    (void)change_cmp(c, &with_acc, c->r[HK_RAX], &ignored);
    if (((c->r[HK_RAX] ^ old) & size_mask(i->opnd[0].size)) != 0)
        return false;
    *v = hk_reg_get(c, &i->opnd[1]);
    return true;
}

static bool update_operand(struct hk_cpu *c, const struct hk_insn *i,
                           hk_atomic_fn change)
{
    uint32_t size = i->opnd[0].size;
    uint64_t la;
    if (i->opnd[0].kind == HK_OPND_MEM)
        return hk_insn_linear(c, i, size, HK_ACC_WRITE, &la) &&
               hk_atomic_update(c, i, la, size, change);
    uint64_t old = hk_reg_get(c, &i->opnd[0]) & size_mask(size);
    uint64_t v = old;
    if (change(c, i, old, &v))
        hk_reg_set(c, &i->opnd[0], v);
    return true;
}

static bool slow_xchg(struct hk_cpu *c, const struct hk_insn *i)
{
    if (!update_operand(c, i, change_xchg))
        return false;
    hk_reg_set(c, &i->opnd[1], c->r[HK_SLOT_TMP]);
    return true;
}

static bool slow_xadd(struct hk_cpu *c, const struct hk_insn *i)
{
    /* XADD r,r: the source is written first, then the sum. */
    if (i->opnd[0].kind == HK_OPND_MEM) {
        if (!update_operand(c, i, change_xadd))
            return false;
        hk_reg_set(c, &i->opnd[1], c->r[HK_SLOT_TMP]);
        return true;
    }
    uint64_t old = hk_reg_get(c, &i->opnd[0]), sum = 0;
    (void)change_add(c, i, old, &sum);
    hk_reg_set(c, &i->opnd[1], old);
    hk_reg_set(c, &i->opnd[0], sum);
    return true;
}

static bool slow_cmpxchg(struct hk_cpu *c, const struct hk_insn *i)
{
    struct hk_operand acc = {
        .kind = HK_OPND_GPR, .reg = HK_RAX, .size = i->opnd[0].size};
    if (!update_operand(c, i, change_cmpxchg))
        return false;
    if ((c->fl & HK_FL_ZF) == 0)
        hk_reg_set(c, &acc, c->r[HK_SLOT_TMP]);
    return true;
}

void hk_emit_xchg(struct hk_builder *b, const struct hk_insn *i)
{
    if (i->opnd[0].kind != HK_OPND_MEM && i->opnd[1].kind == HK_OPND_MEM) {
        /* Memory first, whichever way it was written. */
        struct hk_insn swapped = *i;
        swapped.opnd[0] = i->opnd[1];
        swapped.opnd[1] = i->opnd[0];
        const struct hk_insn *saved = b->insn;
        b->insn = &swapped;
        if (!emit_ordinary(b, &swapped, slow_xchg))
            hk_emit_slow(b, slow_xchg, false);
        b->insn = saved;
        return;
    }
    if (!emit_ordinary(b, i, slow_xchg))
        hk_emit_slow(b, slow_xchg, false);
}

void hk_emit_xadd(struct hk_builder *b, const struct hk_insn *i)
{
    if (!emit_ordinary(b, i, slow_xadd))
        hk_emit_slow(b, slow_xadd, false);
}

void hk_emit_cmpxchg(struct hk_builder *b, const struct hk_insn *i)
{
    if (!emit_ordinary(b, i, slow_cmpxchg))
        hk_emit_slow(b, slow_cmpxchg, false);
}

/* ---- CMPXCHG8B, CMPXCHG16B ------------------------------------------------
 */

static bool change_8b(struct hk_cpu *c, const struct hk_insn *i, uint64_t old,
                      uint64_t *v)
{
    uint64_t want = (uint32_t)c->r[HK_RAX] | c->r[HK_RDX] << 32;
    c->r[HK_SLOT_TMP] = old;
    if (old != want)
        return false;
    *v = (uint32_t)c->r[HK_RBX] | c->r[HK_RCX] << 32;
    return true;
}

static void set_zf(struct hk_cpu *c, bool zf)
{
    c->fl = (uint16_t)(zf ? c->fl | HK_FL_ZF : c->fl & ~HK_FL_ZF);
}

static bool slow_8b(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la;
    uint64_t want = (uint32_t)c->r[HK_RAX] | c->r[HK_RDX] << 32;
    if (!hk_insn_linear(c, i, 8, HK_ACC_WRITE, &la) ||
        !hk_atomic_update(c, i, la, 8, change_8b))
        return false;
    uint64_t old = c->r[HK_SLOT_TMP];
    set_zf(c, old == want);
    if (old != want) {
        c->r[HK_RAX] = (uint32_t)old;
        c->r[HK_RDX] = old >> 32;
    }
    return true;
}

static bool host_cas16(uint64_t *p, uint64_t old[2], const uint64_t want[2])
{
    bool equal;
    __asm__ volatile("lock cmpxchg16b %[m]"
                     : [m] "+m"(*(__uint128_t *)p), "+a"(old[0]), "+d"(old[1]),
                       "=@ccz"(equal)
                     : "b"(want[0]), "c"(want[1])
                     : "memory");
    return equal;
}

/* A page with code, or MMIO: everybody else stands still. */
static bool slow_16b_alone(struct hk_cpu *c, uint64_t la, uint64_t old[2],
                           const uint64_t want[2], bool *equal)
{
    const struct hk_cpu_host *h = &c->machine->host;
    bool others = c->machine->cpu_count > 1;
    uint64_t now[2] = {0, 0};
    if (others)
        h->exclusive_begin(c->opaque);
    bool ok = hk_mem_read(c, la, 8, HK_ACC_WRITE, &now[0]) &&
              hk_mem_read(c, la + 8, 8, HK_ACC_WRITE, &now[1]);
    *equal = ok && now[0] == old[0] && now[1] == old[1];
    if (ok) {
        const uint64_t *v = *equal ? want : now;
        ok = hk_mem_write(c, la, 8, HK_ACC_WRITE, v[0]) &&
             hk_mem_write(c, la + 8, 8, HK_ACC_WRITE, v[1]);
    }
    if (others)
        h->exclusive_end(c->opaque);
    old[0] = now[0];
    old[1] = now[1];
    return ok;
}

static bool slow_16b(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la, ignored;
    uint64_t old[2] = {c->r[HK_RAX], c->r[HK_RDX]};
    const uint64_t want[2] = {c->r[HK_RBX], c->r[HK_RCX]};
    bool equal;
    /* Alignment comes before the other checks: always #GP, never #SS. */
    if (((hk_insn_offset(c, i) + c->r[HK_SLOT_SEG + i->seg]) & 15) != 0)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_insn_linear(c, i, 16, HK_ACC_WRITE, &la))
        return false;
    if (!hk_mem_read(c, la, 8, HK_ACC_WRITE, &ignored))
        return false;
    uint64_t *p = hk_wptr(c, la, 16);
    if (p != NULL)
        equal = host_cas16(p, old, want);
    else if (!slow_16b_alone(c, la, old, want, &equal))
        return false;
    set_zf(c, equal);
    if (!equal) {
        c->r[HK_RAX] = old[0];
        c->r[HK_RDX] = old[1];
    }
    return true;
}

void hk_emit_cmpxchg_wide(struct hk_builder *b, const struct hk_insn *i)
{
    hk_emit_slow(b, i->op == HK_OP_CMPXCHG16B ? slow_16b : slow_8b, false);
}
