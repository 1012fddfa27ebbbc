/*
 * Micro-operations: what a decoded block is made of, and how families emit
 * them.
 *
 * A uop is 32 bytes: a handler and its operands. A handler does its work and
 * ends with HK_NEXT(c, u), which tail-calls the handler of the next uop. To
 * leave the block it returns NULL with c->rip set: hk_uop_fault for a pending
 * exception, HK_LEAVE after an instruction that changed the mode.
 *
 * Builds without optimisation or with a sanitizer cannot rely on tail calls;
 * there HK_NEXT returns the next uop and the run loop calls it. Handlers are
 * written once for both.
 *
 * Rules for handlers
 * - GPR operands are byte offsets into struct hk_cpu's r[] (dst, src), so
 *   that AH to DH are ordinary byte operands. A 32-bit result is stored as 64
 *   bits, zero extended. 8- and 16-bit results leave the rest alone.
 * - Memory: hk_ea(c, u) is the linear address; hk_ld*, hk_st* and hk_wptr are
 *   in mem_int.h. On false: `return hk_uop_fault(c, u)`, with nothing of the
 *   instruction done yet.
 * - At most one store for each instruction, in its last uop. A store may
 *   overwrite the handlers of this very block (self-modifying code), so that
 *   HK_NEXT leaves it; nothing but `fn` changes then.
 * - c->fl holds the flags after every instruction. A handler that only
 *   writes them may have a twin without (`nf`), which the builder picks when
 *   a later uop overwrites all flags before anything reads them or faults.
 */
#ifndef HK_CPU_UOP_INT_H
#define HK_CPU_UOP_INT_H

#include "cpu/cpu_int.h"

/* Tail calls need the optimiser and no instrumentation. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define HK_TAIL_CALLS 1
#else
#define HK_TAIL_CALLS 0
#endif

typedef struct hk_uop *(*hk_uop_fn)(struct hk_cpu *c, struct hk_uop *u);

struct hk_uop {
    hk_uop_fn fn;
    uint64_t imm;   /* immediate, branch delta, or pointer */
    int32_t disp;   /* displacement of the memory operand */
    uint16_t dst;   /* byte offset in r[], or family use */
    uint16_t src;   /* byte offset in r[], or family use */
    uint8_t base;   /* slot */
    uint8_t index;  /* slot */
    uint8_t scale;  /* shift count, 0 to 3 */
    uint8_t seg;    /* slot of the segment base */
    uint16_t start; /* offset of this instruction in the block */
    uint16_t next;  /* offset of the next instruction */
};

_Static_assert(sizeof(struct hk_uop) == 32, "a uop is half a cache line");

#if HK_TAIL_CALLS
#define HK_NEXT(c, u) return (u)[1].fn((c), (u) + 1)
#define HK_GOTO(c, u) return (u)->fn((c), (u))
#else
#define HK_NEXT(c, u) return (u) + 1
#define HK_GOTO(c, u) return (u)
#endif

/* Leaves the block after this instruction. */
#define HK_LEAVE(c, u)                              \
    do {                                            \
        (c)->rip = (c)->r[HK_SLOT_RIP] + (u)->next; \
        return NULL;                                \
    } while (0)

/* Leaves with the pending exception; the instruction has not happened. */
HK_COLD struct hk_uop *hk_uop_fault(struct hk_cpu *c, struct hk_uop *u);

/* Linear address of the uop's memory operand. */
HK_INLINE uint64_t hk_ea(const struct hk_cpu *c, const struct hk_uop *u)
{
    return c->r[u->base] + (c->r[u->index] << u->scale) +
           (uint64_t)(int64_t)u->disp + c->r[u->seg];
}

/* The same where the operand is only a base and a displacement. */
HK_INLINE uint64_t hk_ea_flat(const struct hk_cpu *c, const struct hk_uop *u)
{
    return c->r[u->base] + (uint64_t)(int64_t)u->disp;
}

/* Register operands by byte offset. */
HK_INLINE void *hk_reg(struct hk_cpu *c, unsigned offset)
{
    return (char *)c->r + offset;
}

#define HK_R8(c, off) (*(uint8_t *)hk_reg((c), (off)))
#define HK_R16(c, off) (*(uint16_t *)hk_reg((c), (off)))
#define HK_R32(c, off) (*(uint32_t *)hk_reg((c), (off)))
#define HK_R64(c, off) (*(uint64_t *)hk_reg((c), (off)))
/* A 32-bit result: clears the upper half. */
#define HK_SET32(c, off, value) (HK_R64((c), (off)) = (uint32_t)(value))

/* ---- building --------------------------------------------------------- */

/* What the builder must know about a uop for dead-flag elimination. */
enum {
    HK_UF_READS = 1,  /* reads c->fl, or writes only part of it */
    HK_UF_WRITES = 2, /* writes all of c->fl */
    HK_UF_FAULTS = 4, /* may fault or leave: flags must be right before it */
};

struct hk_builder {
    struct hk_cpu *c;
    const struct hk_insn *insn; /* being emitted */
    uint32_t mode;
    uint16_t start, next; /* of this instruction in the block */
    uint32_t count;
    bool ended;    /* a terminator was emitted */
    bool sti_last; /* the last instruction so far is STI */
    struct hk_uop *uops;
    hk_uop_fn *nf; /* twin without flags, by uop; NULL: none */
    uint8_t *info; /* HK_UF_*, by uop */
};

/* Appends a uop with start, next and a zero memory operand set. Never fails:
 * the builder stops before an instruction when fewer than
 * HK_UOPS_PER_INSN + 2 uops are left. */
enum { HK_UOPS_PER_INSN = 8 };
struct hk_uop *hk_emit(struct hk_builder *b, hk_uop_fn fn, unsigned info);

/* The same for a flag-writing handler with a twin that leaves c->fl alone. */
struct hk_uop *hk_emit_fl(struct hk_builder *b, hk_uop_fn fn, hk_uop_fn nf,
                          unsigned info);

/*
 * Prepares the instruction's memory operand for an access of `size` bytes of
 * kind `acc`; where mode or prefixes ask for it this emits address uops (with
 * their segment checks). Must come before hk_emit of the uop that uses it;
 * then hk_use_mem fills that uop's address fields.
 */
struct hk_mem_ref {
    uint8_t base, index, scale, seg;
    int32_t disp;
};
struct hk_mem_ref hk_emit_mem(struct hk_builder *b, uint32_t size,
                              unsigned acc);
/* After the uop of an x87 store: outside 64-bit mode its address uop leaves
 * the fault of the segment to it, and it may turn out not to store. */
void hk_emit_forget_fault(struct hk_builder *b);
HK_INLINE void hk_use_mem(struct hk_uop *u, struct hk_mem_ref m)
{
    u->base = m.base;
    u->index = m.index;
    u->scale = m.scale;
    u->seg = m.seg;
    u->disp = m.disp;
}

/* True when hk_ea_flat gives its address. The bases of ES, CS, SS and DS are
 * zero in 64-bit mode; elsewhere an address uop has added them. */
HK_INLINE bool hk_mem_is_flat(struct hk_mem_ref m)
{
    return m.index == HK_SLOT_ZERO && m.seg != HK_SLOT_SEG + HK_SEG_FS &&
           m.seg != HK_SLOT_SEG + HK_SEG_GS;
}

/* Byte offset in r[] of a GPR or GPR8H operand. */
HK_INLINE uint16_t hk_reg_offset(const struct hk_operand *o)
{
    return o->kind == HK_OPND_GPR8H ? (uint16_t)(o->reg * 8 + 1)
                                    : (uint16_t)(o->reg * 8);
}

enum {
    HK_OFF_TMP = HK_SLOT_TMP * 8,
    HK_OFF_TMP2 = HK_SLOT_TMP2 * 8,
};

/*
 * Makes operand `n` readable as a register: the offset of the register
 * itself; for memory, a load (zero extended to 64 bits) into `tmp`
 * (HK_OFF_TMP or HK_OFF_TMP2); for an immediate a uop that puts it there.
 * With HK_ACC_WRITE the load checks write permission for a later
 * hk_emit_writeback.
 */
uint16_t hk_emit_operand(struct hk_builder *b, unsigned n, uint16_t tmp,
                         unsigned acc);

/* For a memory operand `n` loaded into `tmp` with HK_ACC_WRITE: emits the
 * store of its low bytes. Nothing for a register. */
void hk_emit_writeback(struct hk_builder *b, unsigned n, uint16_t tmp);

/* The instruction as a call of `fn`; `ends` leaves the block afterwards. */
void hk_emit_slow(struct hk_builder *b, hk_slow_fn fn, bool ends);

/*
 * The same with a handler for the ordinary case: `fast` does everything, or
 * returns hk_uop_slow(c, u) before it has changed anything. The uop's `imm`
 * is taken.
 */
struct hk_uop *hk_emit_slow_twin(struct hk_builder *b, hk_uop_fn fast,
                                 hk_slow_fn slow);
struct hk_uop *hk_uop_slow(struct hk_cpu *c, struct hk_uop *u);

/* Raises vector (error code 0 where it has one) instead of the instruction;
 * ends the block. */
void hk_emit_raise(struct hk_builder *b, unsigned vector);

typedef void (*hk_emit_fn)(struct hk_builder *b, const struct hk_insn *i);

/* Emitters of the families named in ops.def. */
#define X(op, emitter) \
    void hk_emit_##emitter(struct hk_builder *b, const struct hk_insn *i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
#include "cpu/ops.def"
#pragma GCC diagnostic pop
#undef X

/* ---- flags by the host ------------------------------------------------ */

/* Ends an asm body that sets the host's flags: catches them in %ax. */
#define HK_ASM_FLAGS "\n\tlahf\n\tseto %%al"

HK_INLINE bool hk_cond(uint16_t fl, unsigned cc)
{
    bool v;
    switch (cc >> 1) {
    case 0:
        v = (fl & HK_FL_OF) != 0;
        break;
    case 1:
        v = (fl & HK_FL_CF) != 0;
        break;
    case 2:
        v = (fl & HK_FL_ZF) != 0;
        break;
    case 3:
        v = (fl & (HK_FL_CF | HK_FL_ZF)) != 0;
        break;
    case 4:
        v = (fl & HK_FL_SF) != 0;
        break;
    case 5:
        v = (fl & HK_FL_PF) != 0;
        break;
    case 6:
        v = (((fl >> 15) ^ fl) & 1) != 0;
        break;
    default:
        v = (((fl >> 15) ^ fl) & 1) != 0 || (fl & HK_FL_ZF) != 0;
        break;
    }
    return v ^ (cc & 1);
}

#endif
