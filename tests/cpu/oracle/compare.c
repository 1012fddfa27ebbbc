/*
 * What counts as different.
 *
 * Everything a program in ring 3 can see is compared. Flags that the manuals
 * leave undefined are no exception: ours are those of the host. Exceptions:
 *
 *  - the precision flag of MXCSR when an unmasked overflow or underflow of an
 *    SSE instruction is delivered (no result shows what was rounded away);
 *    all of its exception flags when DPPS or DPPD deliver one, which depend on
 *    the order of their steps;
 *  - FOP, FIP, FDP, FCS and FDS of the x87 unit, in the state and where
 *    FXSAVE, FNSAVE and FNSTENV store them; MXCSR_MASK and the reserved bytes
 *    of the FXSAVE image;
 *  - the RPL of a null selector, which the kernel's return to its handler
 *    clears;
 *  - outside 64-bit mode R8 to R15 and the upper halves of the other
 *    registers, which cannot be seen there;
 *  - the present bit of a page fault beyond the addresses that the host's
 *    kernel gives to programs, where it says that the page is present;
 *  - the first eight bytes that FSTP m80 and FBSTP store when the other two are
 *    beyond a segment's limit.
 *
 * Some values are what they are, and only they are left out; that they were
 * written, the rest of the register and all else is compared: CPUID's four
 * words, RDTSC's and RDTSCP's two (not the number of the CPU), XGETBV's two,
 * RDPKRU's one, the number of RDRAND and RDSEED when there was one.
 *
 * The host's kernel does SGDT, SIDT, SLDT, STR and SMSW for programs. Our
 * tables lie where it says, so that all is compared but the limits of SGDT and
 * SIDT, and the upper half of a register, which it forgets to clear. Their
 * operand is always there, since it has faults of its own.
 *
 * SYSCALL, SYSENTER and INT 80h enter the host's kernel with numbers that it
 * does not know; ours is entered too and answers in the same way. What the
 * return from SYSENTER to 32-bit code leaves in registers of 64-bit code, and
 * the upper half of ESP after INT 80h on a 16-bit stack, is the kernel's doing.
 *
 * XSAVE and its kin are asked for the two components that our guests have.
 * IRET with AC goes to an aligned stack only: the host's kernel would take an
 * alignment check for a split lock and try for ever. Locked accesses across
 * cache lines are few, since hosts punish them.
 */
#include "oracle.h"

#include <string.h>

/* The host's kernel gives no program the last page of the lower half. */
#define PROGRAM_END 0x7ffffffff000u

enum {
    VECTOR_PF = 14,
    VECTOR_XM = 19,
    MXCSR_OE_UE = 0x18,
    MXCSR_PE = 0x20,
    MXCSR_FLAGS = 0x3f,
};

static void normalise_one(const struct oracle_case *c, struct oracle_result *r)
{
    uint8_t *fx = r->out.fxsave;
    for (unsigned i = 0; c->code_size != HK_CODE64 && i < 16; i++)
        r->out.gpr[i] &= i < 8 ? 0xffffffff : 0;
    for (unsigned i = 0; i < HK_SEG_COUNT; i++)
        if (oracle_is_null(r->out.seg[i]))
            r->out.seg[i] = 0;
    if (r->vector == VECTOR_PF && r->cr2 >= PROGRAM_END)
        r->error_code |= 1;
    memset(fx + 5, 0, 19);           /* reserved, FOP, FIP, FDP */
    memset(fx + 28, 0, 4);           /* MXCSR_MASK */
    for (unsigned i = 0; i < 8; i++) /* above each x87 register */
        memset(fx + 42 + 16 * i, 0, 6);
    memset(fx + 416, 0, 96);
}

static bool is_dot_product(const struct hk_insn *insn)
{
    return insn->op == HK_OP_SSE && insn->map == 3 &&
           (insn->opcode == 0x40 || insn->opcode == 0x41);
}

/* After #XM. */
static void forget_flags(const struct oracle_case *c,
                         struct oracle_result *native,
                         struct oracle_result *guest)
{
    uint8_t *a = native->out.fxsave + 24, *b = guest->out.fxsave + 24;
    if (is_dot_product(&c->insn)) {
        a[0] &= (uint8_t)~MXCSR_FLAGS;
        b[0] &= (uint8_t)~MXCSR_FLAGS;
    }
    unsigned masks = (a[0] | (unsigned)a[1] << 8) >> 7;
    if ((a[0] & ~masks & MXCSR_OE_UE) == 0)
        return;
    a[0] &= (uint8_t)~MXCSR_PE;
    b[0] &= (uint8_t)~MXCSR_PE;
}

static void forget(struct oracle_result *r, unsigned reg, uint64_t mask)
{
    r->out.gpr[reg] &= ~mask;
}

/* Values that are what they are: the rest of the register is compared. */
static void forget_values(const struct oracle_case *c, struct oracle_result *r)
{
    const struct hk_operand *to = &c->insn.opnd[0];
    const uint64_t low = 0xffffffff;
    switch (c->insn.op) {
    case HK_OP_CPUID:
        forget(r, HK_RBX, low);
        forget(r, HK_RCX, low);
        forget(r, HK_RAX, low);
        forget(r, HK_RDX, low);
        break;
    case HK_OP_RDTSC:
    case HK_OP_RDTSCP:
    case HK_OP_XGETBV:
        forget(r, HK_RAX, low);
        forget(r, HK_RDX, low);
        break;
    case HK_OP_RDPKRU:
        forget(r, HK_RAX, low);
        break;
    case HK_OP_RDRAND:
    case HK_OP_RDSEED:
        forget(r, to->reg, to->size == 8 ? ~0ull : (1ull << to->size * 8) - 1);
        break;
    case HK_OP_SYSENTER: /* to 32-bit code */
        for (unsigned i = 0; i < 16; i++)
            forget(r, i, i < 8 ? ~low : ~0ull);
        break;
    case HK_OP_INT: /* a return to a 16-bit stack: the kernel's business */
        if (!oracle_has_big_stack(c))
            forget(r, HK_RSP, 0xffff0000);
        break;
    case HK_OP_SLDT:
    case HK_OP_STR:
    case HK_OP_SMSW: /* the host's kernel forgets the upper half */
        if (to->kind == HK_OPND_GPR && to->size == 4)
            forget(r, to->reg, ~low);
        break;
    default:
        break;
    }
}

/* Also when the instruction behind could not be fetched. */
static bool has_completed(const struct oracle_case *c,
                          const struct oracle_result *r)
{
    return r->out.rip != c->in.rip;
}

void oracle_normalise(const struct oracle_case *c, struct oracle_result *native,
                      struct oracle_result *guest)
{
    normalise_one(c, native);
    normalise_one(c, guest);
    if (c->insn_count == 1 && has_completed(c, native) &&
        has_completed(c, guest)) {
        forget_values(c, native);
        forget_values(c, guest);
    }
    if (native->vector == VECTOR_XM)
        forget_flags(c, native, guest);
}

bool oracle_results_equal(const struct oracle_result *a,
                          const struct oracle_result *b)
{
    return a->vector == b->vector && a->error_code == b->error_code &&
           a->cr2 == b->cr2 && memcmp(&a->out, &b->out, sizeof(a->out)) == 0;
}

struct range {
    uint32_t from, to;
};

enum { MAX_RANGES = 2 };

/* FSTP m80 and FBSTP, which store eight bytes and two. */
static bool is_ten_bytes(const struct hk_insn *insn)
{
    unsigned reg = insn->modrm >> 3 & 7;
    return insn->is_mem && ((insn->opcode == 0xdb && reg == 7) ||
                            (insn->opcode == 0xdf && reg == 6));
}

/* Bytes of the memory operand that are not compared. */
static void ignored_bytes(const struct oracle_case *c, bool faulted,
                          struct range r[MAX_RANGES])
{
    const struct hk_insn *insn = &c->insn;
    bool is_store = insn->op == HK_OP_X87 && insn->is_mem &&
                    (insn->modrm >> 3 & 7) == 6 &&
                    (insn->opcode == 0xd9 || insn->opcode == 0xdd);
    bool is_small = insn->opsize == 2;
    if (c->insn_count != 1)
        return;
    switch (insn->op) {
    case HK_OP_FXSAVE:
    case HK_OP_XSAVE:
    case HK_OP_XSAVEOPT:
        r[0] = (struct range){5, 24};
        r[1] = (struct range){28, 32};
        break;
    case HK_OP_SGDT: /* the limit */
    case HK_OP_SIDT:
        r[0] = (struct range){0, 2};
        break;
    case HK_OP_X87: /* FNSTENV, FNSAVE: 16-bit or 32-bit layout */
        if (is_store)
            r[0] = is_small ? (struct range){6, 14} : (struct range){12, 28};
        if (faulted && is_ten_bytes(insn))
            r[0] = (struct range){0, 8};
        break;
    default:
        break;
    }
}

static void blank(const struct oracle_memory *m, uint64_t address)
{
    if (address - ORACLE_DATA < ORACLE_DATA_SIZE)
        m->data[address - ORACLE_DATA] = 0;
    else if (address - ORACLE_STACK < ORACLE_STACK_SIZE)
        m->stack[address - ORACLE_STACK] = 0;
    else if (m->low != NULL && address - ORACLE_LOW < ORACLE_LOW_SIZE)
        m->low[address - ORACLE_LOW] = 0;
}

bool oracle_memory_equal(const struct oracle_case *c, bool faulted,
                         const struct oracle_memory *a,
                         const struct oracle_memory *b)
{
    struct range ranges[MAX_RANGES] = {{0, 0}};
    ignored_bytes(c, faulted, ranges);
    uint64_t at = oracle_insn_address(c, &c->insn, c->code_address);
    for (unsigned i = 0; i < MAX_RANGES; i++) {
        for (uint32_t n = ranges[i].from; n < ranges[i].to; n++) {
            blank(a, at + n);
            blank(b, at + n);
        }
    }
    return memcmp(a->data, b->data, ORACLE_DATA_SIZE) == 0 &&
           memcmp(a->stack, b->stack, ORACLE_STACK_SIZE) == 0 &&
           (a->low == NULL || memcmp(a->low, b->low, ORACLE_LOW_SIZE) == 0);
}
