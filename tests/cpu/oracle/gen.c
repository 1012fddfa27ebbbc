/* A case for a form: bytes, place, state. */
#include "oracle.h"

#include <string.h>

enum {
    FLAG_FIXED = 0x202, /* IF and the bit that is always set */
    FLAG_TF = 0x100,
    FLAG_DF = 0x400,
    FLAG_ARITHMETIC = 0x8d5,
};

static uint64_t random_stack_pointer(struct oracle_rng *rng)
{
    uint64_t middle = ORACLE_STACK + 1024 + oracle_below(rng, 2048);
    uint32_t kind = oracle_below(rng, 100);
    if (kind < 85)
        return middle & ~7ull;
    if (kind < 90)
        return middle;
    if (kind < 94)
        return ORACLE_STACK + oracle_below(rng, 40);
    if (kind < 98)
        return ORACLE_STACK + ORACLE_STACK_SIZE - oracle_below(rng, 40);
    return oracle_integer(rng);
}

void oracle_random_state(struct oracle_rng *rng, struct oracle_case *c,
                         bool unmasked)
{
    struct oracle_state *s = &c->in;
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = oracle_integer(rng);
    s->gpr[HK_RSP] = random_stack_pointer(rng);
    s->rflags = FLAG_FIXED | (oracle_random(rng) & FLAG_ARITHMETIC);
    if (oracle_percent(rng, 25))
        s->rflags |= FLAG_DF;
    if (c->mode == ORACLE_STEP)
        s->rflags |= FLAG_TF;
    s->fs_base = ORACLE_DATA + 8 * oracle_below(rng, 512);
    s->gs_base = oracle_percent(rng, 50) ? 0 : ORACLE_DATA - 0x1234;
    if (c->code_size != HK_CODE64)
        s->fs_base = s->gs_base = 0;
    oracle_random_segments(rng, c);
    s->rip = c->code_address - oracle_base(c, HK_SEG_CS);
    s->gpr[HK_RSP] -= oracle_base(c, HK_SEG_SS);
    oracle_random_fxsave(rng, s->fxsave, unmasked);
}

static void clip_state(struct oracle_case *c)
{
    if (c->code_size == HK_CODE64)
        return;
    for (unsigned i = 0; i < 8; i++)
        c->in.gpr[i] &= 0xffffffff;
    for (unsigned i = 8; i < 16; i++)
        c->in.gpr[i] = 0;
}

/*
 * Mostly in the middle of a page, sometimes across pages or over the end. How
 * many bytes of an undefined instruction are fetched is no promise of any CPU,
 * so those never reach over the end.
 */
static uint32_t random_code_address(struct oracle_rng *rng,
                                    const struct oracle_form *form)
{
    uint32_t kind = oracle_below(rng, 100);
    if (kind < 88)
        return ORACLE_CODE + 128 + oracle_below(rng, 3072);
    if (kind < 97 || form->undefined || oracle_is_umip(form->op) ||
        oracle_enters_kernel(form->op))
        return ORACLE_CODE + ORACLE_PAGE - 1 - oracle_below(rng, 12);
    return ORACLE_CODE + ORACLE_CODE_SIZE - 1 - oracle_below(rng, 12);
}

static bool is_direct_branch(unsigned op)
{
    return op == HK_OP_JMP || op == HK_OP_JCC || op == HK_OP_CALL ||
           op == HK_OP_LOOP || op == HK_OP_LOOPE || op == HK_OP_LOOPNE ||
           op == HK_OP_JCXZ;
}

static bool is_locked(const struct oracle_form *form)
{
    return form->lock || (form->op == HK_OP_XCHG && form->is_mem);
}

/* Plain segments, and an operand that is there: the host's kernel, which
 * does these, reports faults in its own way. */
static bool is_out_of_reach(struct oracle_case *c)
{
    uint64_t at = oracle_insn_address(c, &c->insn, c->code_address);
    return oracle_is_umip(c->insn.op) && c->insn.is_mem &&
           at - ORACLE_DATA >= ORACLE_DATA_SIZE / 2;
}

static uint32_t memory_size(const struct oracle_form *form)
{
    return form->op == HK_OP_SSE || form->op == HK_OP_CMPXCHG16B ? 16 : 8;
}

/*
 * A locked access across cache lines stops all CPUs, and hosts punish it with
 * a pause of a millisecond or more, so there are few. Where the address could
 * not be chosen (one register as base and index) it can happen.
 */
static bool is_split_lock(const struct oracle_case *c)
{
    uint64_t at = oracle_insn_address(c, &c->insn, c->code_address);
    return c->insn.is_mem && is_locked(c->form) &&
           (at & 63) + memory_size(c->form) > 64;
}

/*
 * A wide displacement would leave the sandbox: keep most within it. The
 * displacement is the last field of a branch.
 */
static void tame_branch(struct oracle_rng *rng, struct oracle_case *c)
{
    struct hk_insn *insn = &c->insn;
    uint32_t size = insn->opsize == 2 ? 2 : 4;
    bool is_short = insn->map == 0 &&
                    ((insn->opcode & 0xf0) == 0x70 || insn->opcode == 0xeb ||
                     (insn->opcode & 0xfc) == 0xe0);
    if (!is_short && oracle_percent(rng, 85)) {
        /* An operand-size prefix does not shorten it in 64-bit mode. */
        if (c->code_size == HK_CODE64)
            size = 4;
        uint32_t to = (uint32_t)oracle_pick_code(rng, 0, 0);
        uint32_t delta = to - (c->code_address + c->code_len);
        memcpy(c->code + c->code_len - size, &delta, size);
        if (hk_decode(c->code, c->code_len, c->code_size, insn) < 0)
            c->code_len = 0; /* cannot happen: only the target changed */
    }
    uint64_t target = c->code_address + c->code_len + insn->imm;
    if (target - c->code_address < c->code_len) { /* into itself */
        c->mode = ORACLE_STEP;
        c->in.rflags |= FLAG_TF;
    }
}

static uint64_t pick_place(struct oracle_rng *rng,
                           const struct oracle_form *form)
{
    uint64_t at =
        oracle_pick_target(rng, memory_size(form), is_locked(form), false);
    bool is_xsave = form->op == HK_OP_XSAVE || form->op == HK_OP_XSAVEOPT ||
                    form->op == HK_OP_XRSTOR;
    if (is_xsave && oracle_percent(rng, 95))
        at &= ~63ull;
    if (oracle_is_umip(form->op))
        at = ORACLE_DATA + oracle_below(rng, ORACLE_DATA_SIZE / 2 - 16);
    return form->code_size == HK_CODE64 ? at : at & 0xffffffff;
}

/* Where code ends within an instruction, the host's kernel sees one of those
 * that it does for programs, and does it. */
static bool tempts_kernel(const struct oracle_form *form)
{
    return oracle_is_umip(form->op) ||
           (form->undefined && form->map == 1 && form->opcode <= 1);
}

/* The instruction with its place and state; false when it is unfit. */
static bool try_single(struct oracle_rng *rng, struct oracle_case *c)
{
    const struct oracle_form *form = c->form;
    oracle_random_state(rng, c, oracle_percent(rng, 8));
    if (tempts_kernel(form)) {
        oracle_plain_segments(c);
        c->in.rip = c->code_address - oracle_base(c, HK_SEG_CS);
    }
    struct oracle_place place = {.target = pick_place(rng, form),
                                 .code_address = c->code_address};
    c->code_len = oracle_insn_make(rng, form, &place, c, c->code, &c->insn);
    clip_state(c);
    if (c->code_len == 0 || is_out_of_reach(c))
        return false;
    return !is_split_lock(c) || oracle_percent(rng, 5);
}

static bool has_frame(unsigned op)
{
    return op == HK_OP_RET || op == HK_OP_RET_FAR || op == HK_OP_IRET ||
           op == HK_OP_POP_SREG;
}

void oracle_case_single(struct oracle_case *c, const struct oracle_form *form,
                        uint64_t seed, uint64_t number)
{
    enum { TRIES = 8 };
    struct oracle_rng rng;
    oracle_rng_init(&rng, seed, number);
    memset(c, 0, offsetof(struct oracle_case, patches));
    c->number = number;
    c->form = form;
    c->code_size = form->code_size;
    c->code_address = random_code_address(&rng, form);
    c->mode = oracle_percent(&rng, 20) ? ORACLE_STEP : ORACLE_RUN;
    c->insn_count = 1;
    bool made = false;
    for (unsigned i = 0; i < TRIES && !made; i++)
        made = try_single(&rng, c);
    if (!made) {
        c->code_len = 0;
        return;
    }
    oracle_setup_operands(&rng, c);
    if (!has_frame(c->insn.op))
        oracle_number_bytes(
            &rng, oracle_add_patch(c, oracle_stack_address(c), 16)->bytes, 16);
    if (is_direct_branch(c->insn.op))
        tame_branch(&rng, c);
    clip_state(c);
}
