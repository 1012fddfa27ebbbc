/*
 * Operands of the instructions that deal with segments, far pointers, the
 * kernel and the state of the FPU as a whole: selectors that exist, frames on
 * the stack that lead back into the sandbox, numbers of no system call.
 */
#include "oracle.h"

#include <string.h>

#define FLAG_TF 0x100ull
#define FLAG_AC 0x40000ull

bool oracle_is_umip(unsigned op)
{
    return op == HK_OP_SGDT || op == HK_OP_SIDT || op == HK_OP_SLDT ||
           op == HK_OP_STR || op == HK_OP_SMSW;
}

bool oracle_enters_kernel(unsigned op)
{
    return op == HK_OP_SYSCALL || op == HK_OP_SYSENTER || op == HK_OP_INT;
}

/* The code bytes have changed; the form has not. */
static void decode_again(struct oracle_case *c)
{
    if (hk_decode(c->code, c->code_len, c->code_size, &c->insn) < 0)
        c->code_len = 0;
}

static void no_single_step(struct oracle_case *c)
{
    c->mode = ORACLE_RUN;
    c->in.rflags &= ~FLAG_TF;
}

/* ---- into the kernel ---- */

/* The kernel returns with ESP = EBP to code that pops EBP, EDX, ECX and EIP. */
static void setup_sysenter(struct oracle_rng *rng, struct oracle_case *c)
{
    uint64_t bp = ORACLE_STACK + 64 + oracle_below(rng, 2048);
    uint32_t *frame = (uint32_t *)(void *)oracle_add_patch(c, bp, 16)->bytes;
    uint64_t end = c->code_address + c->code_len;
    for (unsigned i = 0; i < 3; i++)
        frame[i] = (uint32_t)oracle_integer(rng);
    frame[3] = (uint32_t)oracle_pick_code(rng, c->code_address, end);
    c->in.gpr[HK_RBP] = oracle_random(rng) << 32 | bp;
}

/* No host has a call of this number; the rest of RAX does not matter. */
static void setup_kernel(struct oracle_rng *rng, struct oracle_case *c)
{
    static const uint8_t gates[] = {0x80, 3, 4};
    uint32_t number = 2000 + oracle_below(rng, 1 << 28);
    c->in.gpr[HK_RAX] = oracle_random(rng) << 32 | number;
    no_single_step(c);
    if (c->insn.op == HK_OP_SYSENTER)
        setup_sysenter(rng, c);
    if (c->insn.op != HK_OP_INT)
        return;
    uint32_t kind = oracle_below(rng, 8);
    c->code[c->code_len - 1] =
        kind < 3 ? gates[kind] : (uint8_t)oracle_random(rng);
    decode_again(c);
}

/* ---- selectors ---- */

static void put_operand(struct oracle_case *c, unsigned index, unsigned offset,
                        uint16_t value)
{
    const struct hk_operand *o = &c->insn.opnd[index];
    if (c->insn.is_mem && c->patch_count != 0)
        memcpy(c->patches[0].bytes + 16 + offset, &value, 2);
    else if (o->kind == HK_OPND_GPR)
        c->in.gpr[o->reg & 15] = (c->in.gpr[o->reg & 15] & ~0xffffull) | value;
}

static void setup_pop(struct oracle_rng *rng, struct oracle_case *c)
{
    struct oracle_patch *p = oracle_add_patch(c, oracle_stack_address(c), 16);
    uint16_t selector = oracle_pick_selector(rng);
    oracle_number_bytes(rng, p->bytes, 16);
    memcpy(p->bytes, &selector, 2);
}

/* ---- far transfers ---- */

/* An offset in the segment that lies in the code area, if it can. */
static uint64_t pick_offset(struct oracle_rng *rng, const struct oracle_case *c,
                            uint16_t selector)
{
    uint64_t to =
        oracle_pick_code(rng, c->code_address, c->code_address + c->code_len);
    if (oracle_percent(rng, 4))
        return oracle_integer(rng);
    return to - oracle_segment(selector).base;
}

static void setup_far_pointer(struct oracle_rng *rng, struct oracle_case *c)
{
    uint16_t selector = oracle_pick_code_selector(rng);
    uint64_t offset = pick_offset(rng, c, selector);
    uint32_t size = c->insn.opsize;
    if (c->insn.is_mem) {
        memcpy(c->patches[0].bytes + 16, &offset, size);
        memcpy(c->patches[0].bytes + 16 + size, &selector, 2);
        return;
    }
    memcpy(c->code + c->code_len - size - 2, &offset, size);
    memcpy(c->code + c->code_len - 2, &selector, 2);
    decode_again(c);
}

static uint16_t pick_stack_selector(struct oracle_rng *rng)
{
    static const uint16_t stacks[] = {
        ORACLE_GDT_DS, ORACLE_SELECTOR(ORACLE_STACK16),
        ORACLE_SELECTOR(ORACLE_STACK32), ORACLE_SELECTOR(ORACLE_FLAT32)};
    if (oracle_percent(rng, 20))
        return oracle_pick_selector(rng);
    return stacks[oracle_below(rng, HK_COUNT(stacks))];
}

/* RIP and CS, for IRET also RFLAGS, RSP and SS. */
static void setup_frame(struct oracle_rng *rng, struct oracle_case *c)
{
    struct oracle_patch *p = oracle_add_patch(c, oracle_stack_address(c), 40);
    uint16_t cs = oracle_pick_code_selector(rng);
    uint64_t frame[5];
    uint32_t size = c->insn.opsize;
    oracle_number_bytes(rng, (uint8_t *)frame, sizeof(frame));
    frame[0] = pick_offset(rng, c, cs);
    frame[1] = (frame[1] & ~0xffffull) | cs;
    if (c->insn.op == HK_OP_IRET) {
        frame[2] = oracle_random(rng);
        if (oracle_percent(rng, 50))
            frame[2] &= ~FLAG_TF;
        /* The host's kernel takes an alignment check for a split lock and
         * begins again, for ever. */
        if ((c->in.gpr[HK_RSP] & 7) != 0)
            frame[2] &= ~FLAG_AC;
        frame[3] = ORACLE_STACK + oracle_below(rng, ORACLE_STACK_SIZE);
        frame[4] = (frame[4] & ~0xffffull) | pick_stack_selector(rng);
    }
    for (unsigned i = 0; i < 5; i++)
        memcpy(p->bytes + i * size, &frame[i], size);
}

/* ---- XSAVE ---- */

static uint64_t host_components(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

/*
 * Of the components that the host has, only x87 and SSE are asked for: no
 * others are offered to our guests.
 */
static void setup_xsave(struct oracle_rng *rng, struct oracle_case *c)
{
    uint64_t others = host_components() & ~3ull;
    uint64_t asked = oracle_random(rng) & ~others;
    uint64_t at = oracle_insn_address(c, &c->insn, c->code_address);
    struct oracle_patch *p = &c->patches[0];
    p->address = (uint32_t)at;
    p->size = ORACLE_PATCH_SIZE;
    c->in.gpr[HK_RAX] = oracle_random(rng) << 32 | (uint32_t)asked;
    c->in.gpr[HK_RDX] = oracle_random(rng) << 32 | asked >> 32;
    oracle_random_fxsave(rng, p->bytes, oracle_percent(rng, 10));
    if (oracle_percent(rng, 5))
        oracle_number_bytes(rng, p->bytes + 24, 4); /* a bad MXCSR */
    memset(p->bytes + 512, 0, 64);
    p->bytes[512] = (uint8_t)oracle_below(rng, 4);
    uint32_t kind = oracle_below(rng, 20);
    if (kind == 0) /* a component that nobody has */
        p->bytes[512 + 7] = 0x40;
    else if (kind == 1) /* reserved, without the bit of the compact format */
        p->bytes[520 + oracle_below(rng, 7)] = 1;
    else if (kind == 2)
        p->bytes[528 + oracle_below(rng, 8)] = 1;
    else if (kind == 3)
        p->bytes[536 + oracle_below(rng, 40)] = 1;
}

/* ---- numbers in registers ---- */

static void setup_number(struct oracle_rng *rng, struct oracle_case *c)
{
    uint64_t *gpr = c->in.gpr;
    uint64_t high = oracle_random(rng) << 32;
    switch (c->insn.op) {
    case HK_OP_CPUID:
        gpr[HK_RAX] =
            high | oracle_below(rng, 2) << 31 | oracle_below(rng, 0x22);
        gpr[HK_RCX] =
            oracle_percent(rng, 70) ? oracle_below(rng, 4) : oracle_random(rng);
        break;
    case HK_OP_WRPKRU: /* key 0 is that of all memory */
        gpr[HK_RAX] &= ~3ull;
        if (oracle_percent(rng, 90))
            gpr[HK_RDX] = high;
        /* fall through */
    case HK_OP_RDPKRU:
        if (oracle_percent(rng, 90))
            gpr[HK_RCX] = high;
        break;
    case HK_OP_XGETBV: /* 1 is not offered to our guests */
        gpr[HK_RCX] = oracle_percent(rng, 80) ? high : oracle_integer(rng);
        if ((uint32_t)gpr[HK_RCX] == 1)
            gpr[HK_RCX]++;
        break;
    default:
        break;
    }
}

void oracle_setup_system(struct oracle_rng *rng, struct oracle_case *c)
{
    if (oracle_is_umip(c->insn.op)) /* done by the host's kernel */
        no_single_step(c);
    switch (c->insn.op) {
    case HK_OP_SYSCALL:
    case HK_OP_SYSENTER:
    case HK_OP_INT:
        setup_kernel(rng, c);
        break;
    case HK_OP_VERR:
    case HK_OP_VERW:
        put_operand(c, 0, 0, oracle_pick_selector(rng));
        break;
    case HK_OP_LAR:
    case HK_OP_LSL:
    case HK_OP_MOV_TO_SREG:
        put_operand(c, 1, 0, oracle_pick_selector(rng));
        break;
    case HK_OP_POP_SREG:
        setup_pop(rng, c);
        break;
    case HK_OP_LDS:
    case HK_OP_LES:
    case HK_OP_LFS:
    case HK_OP_LGS:
    case HK_OP_LSS:
        put_operand(c, 1, c->insn.opsize, oracle_pick_selector(rng));
        break;
    case HK_OP_JMP_FAR:
    case HK_OP_CALL_FAR:
        setup_far_pointer(rng, c);
        break;
    case HK_OP_RET_FAR:
    case HK_OP_IRET:
        setup_frame(rng, c);
        break;
    case HK_OP_XSAVE:
    case HK_OP_XSAVEOPT:
    case HK_OP_XRSTOR:
        setup_xsave(rng, c);
        break;
    default:
        setup_number(rng, c);
        break;
    }
}
