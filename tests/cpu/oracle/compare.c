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
 *  - in compatibility mode R8 to R15 and the upper halves of the other
 *    registers, which cannot be seen there;
 *  - the present bit of a page fault beyond the addresses that the host's
 *    kernel gives to programs, where it says that the page is present.
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
    if (c->code_size != HK_CODE64) {
        for (unsigned i = 0; i < 16; i++)
            r->out.gpr[i] &= i < 8 ? 0xffffffff : 0;
        r->out.fs_base = r->out.gs_base = 0;
    }
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

void oracle_normalise(const struct oracle_case *c, struct oracle_result *native,
                      struct oracle_result *guest)
{
    normalise_one(c, native);
    normalise_one(c, guest);
    if (native->vector == VECTOR_XM)
        forget_flags(c, native, guest);
}

bool oracle_results_equal(const struct oracle_result *a,
                          const struct oracle_result *b)
{
    return a->vector == b->vector && a->error_code == b->error_code &&
           a->cr2 == b->cr2 && memcmp(&a->out, &b->out, sizeof(a->out)) == 0;
}

/* Bytes of the memory operand that hold FPU addresses. */
static void ignored_bytes(const struct oracle_case *c, uint32_t *from,
                          uint32_t *to)
{
    const struct hk_insn *insn = &c->insn;
    bool is_store = insn->op == HK_OP_X87 && insn->is_mem &&
                    (insn->modrm >> 3 & 7) == 6 &&
                    (insn->opcode == 0xd9 || insn->opcode == 0xdd);
    *from = *to = 0;
    if (c->insn_count != 1)
        return;
    if (insn->op == HK_OP_FXSAVE) {
        *from = 5;
        *to = 32;          /* MXCSR is compared through the state */
    } else if (is_store) { /* FNSTENV, FNSAVE: 16-bit or 32-bit layout */
        *from = insn->opsize == 2 ? 6 : 12;
        *to = insn->opsize == 2 ? 14 : 28;
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

bool oracle_memory_equal(const struct oracle_case *c,
                         const struct oracle_memory *a,
                         const struct oracle_memory *b)
{
    uint32_t from, to;
    ignored_bytes(c, &from, &to);
    if (from != to) {
        uint64_t at = oracle_insn_address(&c->insn, &c->in, c->code_address);
        for (; from < to; from++) {
            blank(a, at + from);
            blank(b, at + from);
        }
    }
    return memcmp(a->data, b->data, ORACLE_DATA_SIZE) == 0 &&
           memcmp(a->stack, b->stack, ORACLE_STACK_SIZE) == 0 &&
           (a->low == NULL || memcmp(a->low, b->low, ORACLE_LOW_SIZE) == 0);
}
