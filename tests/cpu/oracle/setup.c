/*
 * Registers and memory that a form needs to do something.
 *
 * With random operands a division would nearly always overflow, a compare and
 * exchange never match, a string instruction never reach memory. This file
 * gives the implicit operands of each family values that make both outcomes
 * likely. Registers which the memory operand was built from stay as they are.
 */
#include "oracle.h"

#include <string.h>

uint64_t oracle_pick_target(struct oracle_rng *rng, uint32_t size, bool locked,
                            bool is16)
{
    uint64_t base = is16 ? ORACLE_LOW : ORACLE_DATA;
    uint32_t area = is16 ? ORACLE_LOW_SIZE : ORACLE_DATA_SIZE;
    uint64_t at = base + 64 + oracle_below(rng, area - 640);
    uint32_t kind = oracle_below(rng, 100);

    if (kind < 50 || (locked && kind < 95))
        return at & ~15ull;
    if (kind < 56)
        return (at & ~63ull) + oracle_below(rng, size > 48 ? 1 : 64 - size);
    if (kind < 72 && !locked)
        return at;
    if (kind < 82 && !locked) /* across the middle */
        return base + area / 2 - oracle_below(rng, size + 1);
    if (kind < 87 && !locked) /* over the end */
        return base + area - oracle_below(rng, size + 1);
    if (kind < 90 && !locked) /* over the start */
        return base - oracle_below(rng, size + 1);
    if (kind < 94) /* nothing there */
        return base + area + (oracle_below(rng, 1024) & ~15u);
    if (kind < 97 && !is16) /* may not be written */
        return ORACLE_CODE + 64 + (oracle_below(rng, 4096) & ~15u);
    if (kind < 99 && !is16) /* not canonical */
        return 0x800000000000u + oracle_random(rng) % 0xff000000000000u;
    return at & ~15ull;
}

uint64_t oracle_pick_code(struct oracle_rng *rng, uint64_t from, uint64_t to)
{
    uint64_t at;
    do
        at = ORACLE_CODE + oracle_below(rng, ORACLE_CODE_SIZE);
    while (at >= from && at < to);
    return at;
}

struct oracle_patch *oracle_add_patch(struct oracle_case *c, uint64_t address,
                                      uint32_t size)
{
    static struct oracle_patch lost;
    struct oracle_patch *p = &lost;
    if (c->patch_count < ORACLE_MAX_PATCHES && address < 0xffffff00)
        p = &c->patches[c->patch_count++];
    p->address = (uint32_t)address;
    p->size = size;
    return p;
}

static bool is_address_register(const struct hk_insn *insn, unsigned reg)
{
    return insn->is_mem && (insn->base == reg || insn->index == reg);
}

static void set_gpr(struct oracle_case *c, unsigned reg, uint64_t value)
{
    if (!is_address_register(&c->insn, reg))
        c->in.gpr[reg] = value;
}

static uint64_t pick_data(struct oracle_rng *rng, const struct oracle_case *c,
                          uint32_t size, unsigned seg)
{
    bool low = c->insn.addrsize == 2 && oracle_base(c, seg) == 0;
    return oracle_pick_target(rng, size, false, low);
}

static void setup_string(struct oracle_rng *rng, struct oracle_case *c)
{
    uint32_t size = c->insn.opsize;
    uint64_t from = pick_data(rng, c, size, c->insn.seg);
    uint64_t to = pick_data(rng, c, size, HK_SEG_ES);
    uint8_t *pattern = oracle_add_patch(c, from, 64)->bytes;
    uint64_t count = oracle_percent(rng, 10) ? 0 : oracle_below(rng, 40);

    oracle_number_bytes(rng, pattern, 64);
    if (oracle_percent(rng, 30)) /* overlapping */
        to = from + oracle_below(rng, 64) - 32;
    else if (oracle_percent(rng, 60)) /* the same text, for compares */
        memcpy(oracle_add_patch(c, to, 64)->bytes, pattern, 64);
    if (oracle_percent(rng, 50)) /* a run of what SCAS looks for */
        for (unsigned i = 0; i < 64 && size <= 8; i += size)
            memcpy(pattern + i, &c->in.gpr[HK_RAX], size);
    if (oracle_percent(rng, 10))
        count = oracle_percent(rng, 50) ? oracle_below(rng, 9000)
                                        : oracle_integer(rng);
    from -= oracle_base(c, c->insn.seg);
    to -= oracle_base(c, HK_SEG_ES);
    if (c->insn.addrsize == 4 && c->code_size == HK_CODE64) {
        from |= oracle_random(rng) << 32;
        to |= oracle_random(rng) << 32;
        count |= oracle_random(rng) << 32;
    }
    c->in.gpr[HK_RSI] = from;
    c->in.gpr[HK_RDI] = to;
    c->in.gpr[HK_RCX] = count;
}

/* The value of an operand before the instruction, memory by its patch. */
static uint64_t operand_value(const struct oracle_case *c, unsigned index)
{
    const struct hk_operand *o = &c->insn.opnd[index];
    uint64_t value = 0;
    if (o->kind == HK_OPND_GPR)
        value = c->in.gpr[o->reg & 15];
    else if (o->kind == HK_OPND_GPR8H)
        value = c->in.gpr[o->reg & 3] >> 8;
    else if (o->kind == HK_OPND_MEM && c->patch_count != 0)
        memcpy(&value, c->patches[0].bytes + 16, 8);
    return o->size >= 8 ? value : value & ((1ull << o->size * 8) - 1);
}

static void setup_divide(struct oracle_rng *rng, struct oracle_case *c)
{
    uint32_t size = c->insn.opsize;
    uint64_t divisor = operand_value(c, 0);
    uint64_t low = oracle_integer(rng), high = oracle_integer(rng);

    if (c->insn.op == HK_OP_IDIV && oracle_percent(rng, 50))
        high = low >> (size * 8 - 1) & 1 ? ~0ull : 0;
    else if (oracle_percent(rng, 40))
        high = 0;
    else if (divisor != 0 && oracle_percent(rng, 70))
        high %= c->insn.op == HK_OP_IDIV ? divisor / 2 + 1 : divisor;
    if (size == 1) {
        set_gpr(c, HK_RAX, (low & 0xff) | (high & 0xff) << 8);
        return;
    }
    set_gpr(c, HK_RAX, low);
    set_gpr(c, HK_RDX, high);
}

static void setup_cmpxchg_wide(struct oracle_rng *rng, struct oracle_case *c)
{
    uint64_t both[2] = {0, 0};
    if (c->patch_count == 0 || oracle_percent(rng, 50))
        return;
    memcpy(both, c->patches[0].bytes + 16, 16);
    if (c->insn.op == HK_OP_CMPXCHG8B) {
        set_gpr(c, HK_RAX, both[0] & 0xffffffff);
        set_gpr(c, HK_RDX, both[0] >> 32);
    } else {
        set_gpr(c, HK_RAX, both[0]);
        set_gpr(c, HK_RDX, both[1]);
    }
}

/* A place to go in code, put where the branch takes it from. */
static void setup_indirect(struct oracle_rng *rng, struct oracle_case *c)
{
    uint64_t end = c->code_address + c->code_len;
    uint64_t to =
        oracle_pick_code(rng, c->code_address, end) - oracle_base(c, HK_SEG_CS);

    if (oracle_percent(rng, 15))
        return;
    if (c->insn.op == HK_OP_RET)
        memcpy(oracle_add_patch(c, oracle_stack_address(c), 8)->bytes, &to, 8);
    else if (c->insn.is_mem && c->patch_count != 0)
        memcpy(c->patches[0].bytes + 16, &to, 8);
    else if (c->insn.opnd[0].kind == HK_OPND_GPR)
        c->in.gpr[c->insn.opnd[0].reg & 15] = to;
}

static void setup_fxrstor(struct oracle_rng *rng, struct oracle_case *c)
{
    uint64_t at = oracle_insn_address(c, &c->insn, c->code_address);
    struct oracle_patch *p = oracle_add_patch(c, at, 512);
    oracle_random_fxsave(rng, p->bytes, oracle_percent(rng, 10));
    if (oracle_percent(rng, 5))
        oracle_number_bytes(rng, p->bytes + 24, 4); /* a bad MXCSR */
}

static void setup_bit_offset(struct oracle_rng *rng, struct oracle_case *c)
{
    const struct hk_operand *o = &c->insn.opnd[1];
    if (c->insn.is_mem && o->kind == HK_OPND_GPR && oracle_percent(rng, 80))
        set_gpr(c, o->reg & 15, oracle_below(rng, 16000) - 8000ull);
}

/* Families with implicit pointers and counts. */
static void setup_implicit(struct oracle_rng *rng, struct oracle_case *c)
{
    switch (c->insn.op) {
    case HK_OP_MOVS:
    case HK_OP_CMPS:
    case HK_OP_SCAS:
    case HK_OP_LODS:
    case HK_OP_STOS:
        setup_string(rng, c);
        break;
    case HK_OP_XLAT:
        c->in.gpr[HK_RBX] = pick_data(rng, c, 1, c->insn.seg) -
                            oracle_base(c, c->insn.seg) -
                            (c->in.gpr[HK_RAX] & 0xff);
        break;
    case HK_OP_LEAVE:
    case HK_OP_ENTER:
        if (oracle_percent(rng, 90))
            c->in.gpr[HK_RBP] =
                c->in.gpr[HK_RSP] + 8ull * (oracle_below(rng, 32) - 8);
        break;
    case HK_OP_LOOP:
    case HK_OP_LOOPE:
    case HK_OP_LOOPNE:
    case HK_OP_JCXZ:
        if (oracle_percent(rng, 70))
            c->in.gpr[HK_RCX] &= ~0xffffffffull;
        c->in.gpr[HK_RCX] += oracle_below(rng, 3);
        break;
    case HK_OP_SSE: /* MASKMOVQ, MASKMOVDQU store at rdi */
        if (c->insn.map == 1 && c->insn.opcode == 0xf7)
            c->in.gpr[HK_RDI] = pick_data(rng, c, 16, c->insn.seg) -
                                oracle_base(c, c->insn.seg);
        break;
    default:
        break;
    }
}

static void setup_by_op(struct oracle_rng *rng, struct oracle_case *c)
{
    switch (c->insn.op) {
    case HK_OP_ROL:
    case HK_OP_ROR:
    case HK_OP_RCL:
    case HK_OP_RCR:
    case HK_OP_SHL:
    case HK_OP_SHR:
    case HK_OP_SAR:
    case HK_OP_SHLD:
    case HK_OP_SHRD:
        if (oracle_percent(rng, 70))
            set_gpr(c, HK_RCX, oracle_below(rng, 72));
        break;
    case HK_OP_DIV:
    case HK_OP_IDIV:
        setup_divide(rng, c);
        break;
    case HK_OP_CMPXCHG:
        if (oracle_percent(rng, 50))
            set_gpr(c, HK_RAX, operand_value(c, 0));
        break;
    case HK_OP_CMPXCHG8B:
    case HK_OP_CMPXCHG16B:
        setup_cmpxchg_wide(rng, c);
        break;
    case HK_OP_BT:
    case HK_OP_BTS:
    case HK_OP_BTR:
    case HK_OP_BTC:
        setup_bit_offset(rng, c);
        break;
    case HK_OP_RET:
    case HK_OP_JMP_IND:
    case HK_OP_CALL_IND:
        setup_indirect(rng, c);
        break;
    case HK_OP_FXRSTOR:
        setup_fxrstor(rng, c);
        break;
    case HK_OP_LDMXCSR:
        if (c->patch_count != 0 && oracle_percent(rng, 80))
            memset(c->patches[0].bytes + 18, 0, 2);
        break;
    default:
        setup_implicit(rng, c);
        oracle_setup_system(rng, c);
        break;
    }
}

void oracle_setup_operands(struct oracle_rng *rng, struct oracle_case *c)
{
    if (c->insn.is_mem) {
        uint64_t at = oracle_insn_address(c, &c->insn, c->code_address);
        struct oracle_patch *p = oracle_add_patch(c, at - 16, 64);
        oracle_number_bytes(rng, p->bytes, 16);
        oracle_number_bytes(rng, p->bytes + 16, 48);
    }
    setup_by_op(rng, c);
}
