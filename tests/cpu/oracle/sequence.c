/*
 * Cases of several instructions.
 *
 * They run at full speed to the int3 behind them, so that decoded blocks,
 * links between blocks and flags that nobody reads are exercised. A few
 * registers hold pointers and are rarely written; branches go forward only.
 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

enum { POINTERS = 3, MAX_BYTES = 400, MAX_BRANCHES = ORACLE_MAX_SEQUENCE };

enum group { GROUP_INTEGER, GROUP_SSE, GROUP_X87, GROUP_BRANCH, GROUP_COUNT };

static struct {
    uint16_t *list;
    size_t count;
} groups[3][GROUP_COUNT]; /* by enum hk_code_size */

/* A branch whose displacement is still to be set. */
struct branch {
    uint32_t end; /* offset of the byte behind it */
    uint32_t size;
};

struct building {
    struct oracle_rng rng;
    struct oracle_case *c;
    uint16_t pointers; /* bit set of GPRs */
    uint32_t starts[ORACLE_MAX_SEQUENCE + 1];
    struct branch branches[MAX_BRANCHES];
    uint32_t branch_count;
};

static bool is_forward_branch(unsigned op)
{
    return op == HK_OP_JMP || op == HK_OP_JCC || op == HK_OP_CALL ||
           op == HK_OP_LOOP || op == HK_OP_LOOPE || op == HK_OP_LOOPNE ||
           op == HK_OP_JCXZ;
}

/* What would end nearly every sequence, or shows FPU addresses. */
static bool is_unfit(const struct oracle_form *form)
{
    if (form->undefined || form->privileged || form->why_not != NULL)
        return true;
    if (oracle_is_umip(form->op) || oracle_enters_kernel(form->op))
        return true;
    if (form->lock && form->op == HK_OP_UD)
        return true;
    switch (form->op) {
    case HK_OP_INT3:
    case HK_OP_INT1:
    case HK_OP_INTO:
    case HK_OP_BOUND:
    case HK_OP_UD:
    case HK_OP_RET:
    case HK_OP_JMP_IND:
    case HK_OP_CALL_IND:
    case HK_OP_POPF:
    case HK_OP_ENTER:
    case HK_OP_LEAVE:
    case HK_OP_FXSAVE:
    case HK_OP_FXRSTOR:
    case HK_OP_LDMXCSR:
    case HK_OP_XSAVE:
    case HK_OP_XSAVEOPT:
    case HK_OP_XRSTOR:
    case HK_OP_CPUID: /* with values of their own */
    case HK_OP_RDTSC:
    case HK_OP_RDTSCP:
    case HK_OP_RDRAND:
    case HK_OP_RDSEED:
    case HK_OP_XGETBV:
    case HK_OP_RDPKRU:
    case HK_OP_WRPKRU:
    case HK_OP_RDPMC:
    case HK_OP_MOV_TO_SREG: /* selectors out of nowhere */
    case HK_OP_POP_SREG:
    case HK_OP_LDS:
    case HK_OP_LES:
    case HK_OP_LFS:
    case HK_OP_LGS:
    case HK_OP_LSS:
    case HK_OP_JMP_FAR:
    case HK_OP_CALL_FAR:
    case HK_OP_RET_FAR:
    case HK_OP_IRET:
    case HK_OP_WRFSBASE:
    case HK_OP_WRGSBASE:
        return true;
    case HK_OP_X87: /* FLDENV, FNSTENV, FRSTOR, FNSAVE */
        return form->is_mem &&
               ((form->opcode == 0xd9 && (form->ext & 5) == 4) ||
                (form->opcode == 0xdd && (form->ext & 5) == 4));
    default:
        return false;
    }
}

static enum group group_of(const struct oracle_form *form)
{
    if (is_forward_branch(form->op))
        return GROUP_BRANCH;
    if (form->op == HK_OP_SSE)
        return GROUP_SSE;
    return form->op == HK_OP_X87 || form->op == HK_OP_EMMS ? GROUP_X87
                                                           : GROUP_INTEGER;
}

static void init_groups(void)
{
    size_t total = oracle_form_count();
    for (unsigned i = 0; i < 3 * GROUP_COUNT; i++)
        groups[i / GROUP_COUNT][i % GROUP_COUNT].list =
            calloc(total, sizeof(uint16_t));
    for (size_t i = 0; i < total; i++) {
        const struct oracle_form *form = oracle_form_get(i);
        if (is_unfit(form))
            continue;
        unsigned size = form->code_size;
        enum group group = group_of(form);
        groups[size][group].list[groups[size][group].count++] = (uint16_t)i;
    }
}

static const struct oracle_form *pick_form(struct building *b)
{
    static const uint8_t weights[] = {60, 80, 90, 100};
    uint32_t kind = oracle_below(&b->rng, 100);
    unsigned group = 0;
    while (kind >= weights[group])
        group++;
    unsigned size = b->c->code_size;
    uint32_t count = (uint32_t)groups[size][group].count;
    if (count == 0)
        return NULL;
    uint16_t index = groups[size][group].list[oracle_below(&b->rng, count)];
    return oracle_form_get(index);
}

/* Writing a pointer register or RSP would make the rest fault, or lock
 * something across cache lines. */
static bool spoils_pointers(const struct building *b,
                            const struct hk_insn *insn)
{
    uint16_t kept = b->pointers | 1 << HK_RSP;
    for (unsigned i = 0; i < 2; i++) {
        const struct hk_operand *o = &insn->opnd[i];
        unsigned reg = o->kind == HK_OPND_GPR8H ? o->reg & 3 : o->reg;
        bool is_gpr = o->kind == HK_OPND_GPR || o->kind == HK_OPND_GPR8H;
        bool written = i == 0 || insn->op == HK_OP_XCHG ||
                       insn->op == HK_OP_XADD || insn->op == HK_OP_MULX;
        if (is_gpr && written && kept >> reg & 1)
            return true;
    }
    /* SSE and MMX to a general register, ModRM.reg or rm */
    return insn->op == HK_OP_SSE &&
           ((kept >> insn->reg & 1) || (kept >> insn->rm & 1)) && !insn->is_mem;
}

/* The host punishes locked accesses across a cache line with a millisecond. */
static bool is_split_lock(const struct building *b, const struct hk_insn *insn,
                          uint32_t at)
{
    if (!insn->is_mem || !(insn->lock || insn->op == HK_OP_XCHG))
        return false;
    if (insn->op >= HK_OP_BT && insn->op <= HK_OP_BTC &&
        insn->opnd[1].kind == HK_OPND_GPR)
        return true; /* its offset is not known */
    return (oracle_insn_address(b->c, insn, at) & 63) > 48;
}

static bool is_unwanted(struct building *b, const struct hk_insn *insn,
                        uint32_t at)
{
    if (is_split_lock(b, insn, at))
        return true;
    if (spoils_pointers(b, insn))
        return true;
    return (insn->op == HK_OP_DIV || insn->op == HK_OP_IDIV) &&
           oracle_percent(&b->rng, 80);
}

static void note_branch(struct building *b, const struct hk_insn *insn,
                        uint32_t end)
{
    bool is_short = insn->map == 0 &&
                    ((insn->opcode & 0xf0) == 0x70 || insn->opcode == 0xeb ||
                     (insn->opcode & 0xfc) == 0xe0);
    bool is_word = insn->opsize == 2 && b->c->code_size != HK_CODE64;
    struct branch *branch = &b->branches[b->branch_count++];
    branch->end = end;
    branch->size = is_short ? 1 : is_word ? 2 : 4;
}

/* Appends one instruction; false when nothing was found. */
static bool append(struct building *b)
{
    struct oracle_case *c = b->c;
    const struct oracle_form *form = pick_form(b);
    uint32_t at = c->code_address + c->code_len;
    struct oracle_place place = {.code_address = at, .pointers = b->pointers};
    struct hk_insn insn;
    uint8_t bytes[16];

    if (form == NULL)
        return false;
    place.target = ORACLE_DATA + 256 + oracle_below(&b->rng, 7000);
    unsigned len = oracle_insn_make(&b->rng, form, &place, c, bytes, &insn);
    if (len == 0 || c->code_len + len > MAX_BYTES || is_unwanted(b, &insn, at))
        return false;
    memcpy(c->code + c->code_len, bytes, len);
    b->starts[c->insn_count++] = c->code_len;
    c->code_len += len;
    if (is_forward_branch(insn.op))
        note_branch(b, &insn, c->code_len);
    if (c->insn_count == 1)
        c->insn = insn;
    return true;
}

/* Every branch gets a later instruction, or the end, as its target. */
static void set_branches(struct building *b)
{
    struct oracle_case *c = b->c;
    b->starts[c->insn_count] = c->code_len;
    for (uint32_t i = 0; i < b->branch_count; i++) {
        const struct branch *branch = &b->branches[i];
        uint32_t first = 0;
        while (b->starts[first] < branch->end)
            first++;
        uint32_t reach = c->insn_count - first + 1;
        uint32_t to = first + oracle_below(&b->rng, reach > 8 ? 8 : reach);
        uint32_t delta = b->starts[to] - branch->end;
        memcpy(c->code + branch->end - branch->size, &delta, branch->size);
    }
}

/* Where a pointer register shall point, as an offset in its segment. */
static uint64_t pick_pointer(struct building *b, uint32_t least, uint32_t mask)
{
    uint64_t at = (ORACLE_DATA + least + oracle_below(&b->rng, 7000)) & ~mask;
    return at - oracle_base(b->c, HK_SEG_DS);
}

static void pick_pointers(struct building *b)
{
    static const uint8_t candidates[] = {HK_RBX, HK_RBP, HK_R8,  HK_R10,
                                         HK_R12, HK_R13, HK_R14, HK_R15};
    static const uint8_t counts[] = {1, 2, 8}; /* by enum hk_code_size */
    uint64_t *gpr = b->c->in.gpr;
    for (unsigned i = 0; i < POINTERS; i++) {
        uint8_t reg =
            candidates[oracle_below(&b->rng, counts[b->c->code_size])];
        b->pointers |= (uint16_t)(1 << reg);
        gpr[reg] = pick_pointer(b, 512, 15);
    }
    gpr[HK_RSP] = (ORACLE_STACK + 1536 + oracle_below(&b->rng, 1024)) & ~7u;
    gpr[HK_RSP] -= oracle_base(b->c, HK_SEG_SS);
    if (oracle_percent(&b->rng, 80)) {
        gpr[HK_RSI] = pick_pointer(b, 256, 0);
        gpr[HK_RDI] = pick_pointer(b, 256, 0);
        gpr[HK_RCX] = oracle_below(&b->rng, 64);
    }
}

/* Segments in which all of the sandbox can be reached. */
static void pick_segments(struct building *b)
{
    struct oracle_case *c = b->c;
    oracle_plain_segments(c);
    if (c->code_size == HK_CODE16)
        c->in.seg[HK_SEG_SS] = oracle_percent(&b->rng, 50)
                                   ? ORACLE_SELECTOR(ORACLE_STACK16)
                                   : ORACLE_SELECTOR(ORACLE_STACK32);
    c->in.rip = c->code_address - oracle_base(c, HK_SEG_CS);
}

void oracle_case_sequence(struct oracle_case *c, uint64_t seed, uint64_t number)
{
    struct building b = {.c = c};
    if (groups[0][0].list == NULL)
        init_groups();
    oracle_rng_init(&b.rng, seed, number);
    memset(c, 0, offsetof(struct oracle_case, patches));
    c->number = number;
    c->mode = ORACLE_RUN;
    uint32_t kind = oracle_below(&b.rng, 100);
    c->code_size = kind < 65 ? HK_CODE64 : kind < 85 ? HK_CODE32 : HK_CODE16;
    c->code_address = ORACLE_CODE + 64 + oracle_below(&b.rng, 7000);
    oracle_random_state(&b.rng, c, false);
    pick_segments(&b);
    pick_pointers(&b);
    uint32_t wanted = 2 + oracle_below(&b.rng, ORACLE_MAX_SEQUENCE - 1);
    for (unsigned i = 0; i < 8 * wanted && c->insn_count < wanted; i++)
        append(&b);
    set_branches(&b);
    if (c->code_size == HK_CODE64)
        return;
    for (unsigned i = 0; i < 16; i++)
        c->in.gpr[i] = i < 8 ? c->in.gpr[i] & 0xffffffff : 0;
}
