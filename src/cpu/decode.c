/*
 * The decoder proper; the opcode maps are in decode_tables.c.
 *
 * In order: prefixes, opcode (which may be VEX coded), the walk through the
 * forks of the table down to a leaf, sizes, ModRM with SIB and displacement,
 * operands with immediates, and last the rules that need all of it (LOCK, the
 * few opcodes with a life of their own). Every step may find the bytes at an
 * end or the instruction undefined, and says so by enum step.
 */
#include "cpu/decode.h"

#include "base/endian.h"
#include "cpu/decode_int.h"
#include "cpu/sse.h"

enum step {
    GO_ON,
    UNDEFINED,
    NO_MORE, /* bytes */
};

struct decoder {
    const uint8_t *at, *end; /* next byte; end of the readable ones */
    struct hk_insn *out;
    const struct hk_dec_entry *leaf;
    uint8_t seg;         /* override or HK_SEG_COUNT */
    uint8_t vvvv;        /* as VEX has it, uninverted */
    uint8_t lock, rex_w; /* 0 or 1 */
    bool has_modrm;
    bool addrsize_prefix;
};

enum { RSP = 4, RBP = 5, NO_SEG = HK_SEG_COUNT };

#define TRY(expr)                      \
    do {                               \
        enum step try_result = (expr); \
        if (try_result != GO_ON)       \
            return try_result;         \
    } while (0)

static enum step next_byte(struct decoder *d, uint8_t *out)
{
    if (d->at == d->end)
        return NO_MORE;
    *out = *d->at++;
    return GO_ON;
}

/* A little-endian number of 1, 2, 4 or 8 bytes. */
static enum step next_number(struct decoder *d, unsigned size, bool is_signed,
                             uint64_t *out)
{
    if ((size_t)(d->end - d->at) < size)
        return NO_MORE;
    const uint8_t *at = d->at;
    d->at += size;
    switch (size) {
    case 1:
        *out = is_signed ? (uint64_t)(int8_t)*at : *at;
        return GO_ON;
    case 2:
        *out = hk_get_le16(at);
        if (is_signed)
            *out = (uint64_t)(int16_t)*out;
        return GO_ON;
    case 4:
        *out = hk_get_le32(at);
        if (is_signed)
            *out = (uint64_t)(int32_t)*out;
        return GO_ON;
    default:
        *out = hk_get_le64(at);
        return GO_ON;
    }
}

static bool is_long(const struct decoder *d)
{
    return d->out->code_size == HK_CODE64;
}

/* CS, DS, ES and SS overrides do nothing in 64-bit mode. */
static void note_segment(struct decoder *d, unsigned seg)
{
    if (!is_long(d) || seg == HK_SEG_FS || seg == HK_SEG_GS)
        d->seg = (uint8_t)seg;
}

/*
 * Takes the prefixes; `*opcode` is the first byte that is none. A REX counts
 * only when nothing stands between it and the opcode.
 */
static enum step read_prefixes(struct decoder *d, uint8_t *opcode)
{
    struct hk_insn *out = d->out;
    for (;;) {
        uint8_t byte;
        TRY(next_byte(d, &byte));
        unsigned prefix = hk_dec_prefixes[byte];
        if (prefix == HK_DEC_P_NONE ||
            (prefix == HK_DEC_P_REX && !is_long(d))) {
            *opcode = byte;
            return GO_ON;
        }
        if (prefix == HK_DEC_P_REX) {
            out->rex = byte;
            continue;
        }
        out->rex = 0;
        if (prefix < HK_DEC_P_66)
            note_segment(d, prefix - HK_DEC_P_SEG);
        else if (prefix == HK_DEC_P_66)
            out->opsize_prefix = true;
        else if (prefix == HK_DEC_P_67)
            d->addrsize_prefix = true;
        else if (prefix == HK_DEC_P_LOCK)
            d->lock = 1;
        else
            out->rep = byte;
    }
}

/*
 * The payload of a VEX prefix: R, X, B inverted and the map, in the three
 * byte form, then W or R, vvvv inverted, L and the implied prefix.
 */
static enum step read_vex(struct decoder *d, uint8_t first)
{
    struct hk_insn *out = d->out;
    uint8_t rxb = 0xe0, map = 1, last;
    if (out->opsize_prefix || out->rep || d->lock || out->rex)
        return UNDEFINED;
    if (first == 0xc4) {
        TRY(next_byte(d, &rxb));
        map = rxb & 0x1f;
    }
    TRY(next_byte(d, &last));
    TRY(next_byte(d, &out->opcode));
    if (first == 0xc5)
        rxb = (last & 0x80) | 0x60;
    else
        d->rex_w = last >> 7;

    out->vex = true;
    out->vex_l = last >> 2 & 1;
    d->vvvv = out->vvvv = (uint8_t)~last >> 3 & 15;
    out->rex = 0x40 | (uint8_t)~rxb >> 5;
    if (!is_long(d)) { /* only eight registers, 32 bits wide */
        d->rex_w = 0;
        out->vvvv &= 7;
        out->rex = 0x40;
    }
    out->rex |= (uint8_t)(d->rex_w << 3);
    static const uint8_t implied[4] = {0, 0x66, 0xf3, 0xf2};
    out->opsize_prefix = implied[last & 3] == 0x66;
    out->rep = (last & 3) >= 2 ? implied[last & 3] : 0;
    if (map < 1 || map > 3 || out->vex_l)
        return UNDEFINED;
    out->map = map;
    d->leaf = hk_dec_vex(map, out->opcode);
    return GO_ON;
}

/* C4 and C5 are LES and LDS with a memory operand outside 64-bit mode. */
static enum step is_vex(const struct decoder *d, uint8_t opcode, bool *out)
{
    *out = false;
    if (opcode != 0xc4 && opcode != 0xc5)
        return GO_ON;
    if (is_long(d)) {
        *out = true;
        return GO_ON;
    }
    if (d->at == d->end)
        return NO_MORE;
    *out = *d->at >= 0xc0;
    return GO_ON;
}

static enum step read_opcode(struct decoder *d)
{
    struct hk_insn *out = d->out;
    bool vex;
    TRY(read_prefixes(d, &out->opcode));
    TRY(is_vex(d, out->opcode, &vex));
    if (vex)
        return read_vex(d, out->opcode);
    d->rex_w = out->rex >> 3 & 1;
    if (out->opcode != 0x0f) {
        d->leaf = &hk_dec_one[out->opcode];
        return GO_ON;
    }
    TRY(next_byte(d, &out->opcode));
    if (out->opcode == 0x38) {
        out->map = 2;
        TRY(next_byte(d, &out->opcode));
        d->leaf = &hk_dec_0f38[out->opcode];
    } else if (out->opcode == 0x3a) {
        out->map = 3;
        TRY(next_byte(d, &out->opcode));
        d->leaf = &hk_dec_0f3a[out->opcode];
    } else {
        out->map = 1;
        d->leaf = &hk_dec_0f[out->opcode];
    }
    return GO_ON;
}

static enum step need_modrm(struct decoder *d)
{
    if (d->has_modrm)
        return GO_ON;
    d->has_modrm = true;
    return next_byte(d, &d->out->modrm);
}

/* The mandatory prefix: the last of F2 and F3 wins over 66. */
static unsigned mandatory(const struct decoder *d)
{
    return d->out->rep ? d->out->rep : d->out->opsize_prefix ? 0x66 : 0;
}

static unsigned prefix_index(const struct decoder *d)
{
    switch (mandatory(d)) {
    case 0x66:
        return 1;
    case 0xf3:
        return 2;
    case 0xf2:
        return 3;
    default:
        return 0;
    }
}

/* Walks the forks down to a leaf that exists in this mode. */
static enum step find_leaf(struct decoder *d)
{
    const struct hk_dec_entry *e = d->leaf;
    while (e->kind != HK_DEC_LEAF) {
        if (e->kind <= HK_DEC_BY_MOD)
            TRY(need_modrm(d));
        uint8_t modrm = d->out->modrm;
        switch ((enum hk_dec_kind)e->kind) {
        case HK_DEC_BY_REG:
            e = &e->sub[modrm >> 3 & 7];
            break;
        case HK_DEC_BY_RM:
            e = &e->sub[modrm & 7];
            break;
        case HK_DEC_BY_MOD:
            e = &e->sub[modrm >= 0xc0];
            break;
        case HK_DEC_BY_PREFIX:
            e = &e->sub[prefix_index(d)];
            break;
        case HK_DEC_BY_MODE:
            e = &e->sub[is_long(d)];
            break;
        case HK_DEC_LEAF:
            break;
        }
    }
    d->leaf = e;
    d->out->op = e->op;
    if (e->flags & HK_DEC_MODRM)
        TRY(need_modrm(d));
    else if (e->op == HK_OP_UD)
        return UNDEFINED;
    if (e->flags & (is_long(d) ? HK_DEC_NO64 : HK_DEC_ONLY64))
        return UNDEFINED;
    return GO_ON;
}

static unsigned operand_size(const struct decoder *d)
{
    const struct hk_insn *out = d->out;
    unsigned flags = d->leaf->flags;
    if (flags & HK_DEC_BYTE)
        return 1;
    if (out->vex)
        return d->rex_w ? 8 : 4;
    if (!is_long(d))
        return (out->code_size == HK_CODE16) != out->opsize_prefix ? 2 : 4;
    if ((flags & HK_DEC_FORCE64) || (d->rex_w && !(flags & HK_DEC_MAX32)))
        return 8;
    if (out->opsize_prefix && !d->rex_w)
        return 2;
    return flags & HK_DEC_DEF64 ? 8 : 4;
}

static void set_sizes(struct decoder *d)
{
    struct hk_insn *out = d->out;
    out->opsize = (uint8_t)operand_size(d);
    if (is_long(d))
        out->addrsize = d->addrsize_prefix ? 4 : 8;
    else
        out->addrsize =
            (out->code_size == HK_CODE16) != d->addrsize_prefix ? 2 : 4;
    out->seg = d->seg != NO_SEG ? d->seg : HK_SEG_DS;
    if (d->leaf->flags & HK_DEC_TO_ES)
        out->seg = HK_SEG_ES;
    if (d->leaf->flags & HK_DEC_COND)
        out->cc = out->opcode & 15;
}

/* SDM volume 2, table 2-1. */
static enum step read_address16(struct decoder *d)
{
    enum { BX = 3, BP = 5, SI = 6, DI = 7, NONE = HK_REG_NONE };
    static const uint8_t bases[8] = {BX, BX, BP, BP, SI, DI, BP, BX};
    static const uint8_t indexes[8] = {SI, DI, SI, DI, NONE, NONE, NONE, NONE};
    struct hk_insn *out = d->out;
    unsigned mod = out->modrm >> 6, rm = out->modrm & 7;
    unsigned bytes = mod; /* of displacement */
    uint64_t disp = 0;
    out->base = bases[rm];
    out->index = indexes[rm];
    if (mod == 0 && rm == 6) {
        out->base = HK_REG_NONE;
        bytes = 2;
    }
    if (bytes != 0)
        TRY(next_number(d, bytes, true, &disp));
    out->disp = (int64_t)disp;
    if (out->base == BP && d->seg == NO_SEG)
        out->seg = HK_SEG_SS;
    return GO_ON;
}

static enum step read_sib(struct decoder *d)
{
    struct hk_insn *out = d->out;
    uint8_t sib;
    TRY(next_byte(d, &sib));
    unsigned index = (sib >> 3 & 7) | (out->rex & 2) << 2;
    out->base = (uint8_t)((sib & 7) | (out->rex & 1) << 3);
    if (index != RSP) {
        out->index = (uint8_t)index;
        out->scale = sib >> 6;
    }
    if ((sib & 7) == RBP && out->modrm < 0x40)
        out->base = HK_REG_NONE;
    return GO_ON;
}

/* SDM volume 2, tables 2-2 and 2-3, section 2.2.1. */
static enum step read_address32(struct decoder *d)
{
    struct hk_insn *out = d->out;
    unsigned mod = out->modrm >> 6, rm = out->modrm & 7;
    unsigned bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    uint64_t disp = 0;
    out->base = (uint8_t)(rm | (out->rex & 1) << 3);
    if (rm == RSP) {
        TRY(read_sib(d));
        if (out->base == HK_REG_NONE)
            bytes = 4;
    } else if (mod == 0 && rm == RBP) {
        out->base = is_long(d) ? HK_REG_RIP : HK_REG_NONE;
        bytes = 4;
    }
    if (bytes != 0)
        TRY(next_number(d, bytes, true, &disp));
    out->disp = (int64_t)disp;
    if ((out->base == RSP || out->base == RBP) && d->seg == NO_SEG)
        out->seg = HK_SEG_SS;
    return GO_ON;
}

static enum step read_modrm(struct decoder *d)
{
    struct hk_insn *out = d->out;
    unsigned flags = d->leaf->flags;
    out->reg = (uint8_t)((out->modrm >> 3 & 7) | (out->rex & 4) << 1);
    if (out->modrm >= 0xc0 || (flags & HK_DEC_ANYMOD)) {
        out->rm = (uint8_t)((out->modrm & 7) | (out->rex & 1) << 3);
        return flags & HK_DEC_MEM ? UNDEFINED : GO_ON;
    }
    if (flags & HK_DEC_REG)
        return UNDEFINED;
    out->is_mem = true;
    return out->addrsize == 2 ? read_address16(d) : read_address32(d);
}

static unsigned size_of(const struct decoder *d, enum hk_dec_size size)
{
    const struct hk_insn *out = d->out;
    unsigned y = d->rex_w ? 8 : 4;
    switch (size) {
    case HK_DEC_S_0:
        return 0;
    case HK_DEC_S_1:
        return 1;
    case HK_DEC_S_2:
        return 2;
    case HK_DEC_S_4:
        return 4;
    case HK_DEC_S_8:
        return 8;
    case HK_DEC_S_16:
        return 16;
    case HK_DEC_S_V:
        return out->opsize;
    case HK_DEC_S_Z:
        return out->opsize < 4 ? out->opsize : 4;
    case HK_DEC_S_Y:
        return y;
    case HK_DEC_S_2Y:
        return 2 * y;
    case HK_DEC_S_2V:
        return 2 * (unsigned)out->opsize;
    case HK_DEC_S_FARP:
        return out->opsize + 2U;
    case HK_DEC_S_MODE:
        return is_long(d) ? 8 : 4;
    case HK_DEC_S_DESC:
        return is_long(d) ? 10 : 6;
    case HK_DEC_S_VM2:
        return out->is_mem ? 2 : out->opsize;
    }
    return 0;
}

static void set_gpr(const struct decoder *d, struct hk_operand *to,
                    unsigned reg)
{
    to->kind = HK_OPND_GPR;
    to->reg = (uint8_t)reg;
    if (to->size == 1 && reg >= 4 && reg < 8 && d->out->rex == 0) {
        to->kind = HK_OPND_GPR8H;
        to->reg = (uint8_t)(reg - 4);
    }
}

static enum step read_immediate(struct decoder *d, enum hk_dec_imm form)
{
    struct hk_insn *out = d->out;
    uint64_t level;
    unsigned z = out->opsize < 4 ? out->opsize : 4;
    switch (form) {
    case HK_DEC_I_U8:
        if (out->op != HK_OP_ENTER)
            return next_number(d, 1, false, &out->imm);
        TRY(next_number(d, 1, false, &level));
        out->imm2 = (uint16_t)level;
        return GO_ON;
    case HK_DEC_I_S8:
        return next_number(d, 1, true, &out->imm);
    case HK_DEC_I_U16:
        return next_number(d, 2, false, &out->imm);
    case HK_DEC_I_Z:
        return next_number(d, z, true, &out->imm);
    case HK_DEC_I_V:
        return next_number(d, out->opsize, true, &out->imm);
    }
    return UNDEFINED;
}

static enum step read_far(struct decoder *d)
{
    uint64_t selector;
    TRY(next_number(d, d->out->opsize, false, &d->out->imm));
    TRY(next_number(d, 2, false, &selector));
    d->out->imm2 = (uint16_t)selector;
    return GO_ON;
}

static enum step read_offset(struct decoder *d)
{
    struct hk_insn *out = d->out;
    uint64_t disp;
    TRY(next_number(d, out->addrsize, false, &disp));
    out->disp = (int64_t)disp;
    out->is_mem = true;
    return GO_ON;
}

static void set_special(struct hk_operand *to, enum hk_opnd_kind kind,
                        unsigned reg)
{
    to->kind = (uint8_t)kind;
    to->reg = (uint8_t)reg;
}

static enum step read_operand(struct decoder *d, unsigned enc,
                              struct hk_operand *to)
{
    const struct hk_dec_operand *how = &hk_dec_operands[enc];
    struct hk_insn *out = d->out;
    to->size = (uint8_t)size_of(d, (enum hk_dec_size)how->size);
    switch ((enum hk_dec_where)how->where) {
    case HK_DEC_W_NONE:
        break;
    case HK_DEC_W_E:
        if (out->is_mem)
            to->kind = HK_OPND_MEM;
        else
            set_gpr(d, to, out->rm);
        break;
    case HK_DEC_W_G:
        set_gpr(d, to, out->reg);
        break;
    case HK_DEC_W_Z:
        set_gpr(d, to, (out->opcode & 7U) | (out->rex & 1U) << 3);
        break;
    case HK_DEC_W_FIXED:
        set_gpr(d, to, how->arg);
        break;
    case HK_DEC_W_VVVV:
        set_gpr(d, to, out->vvvv);
        break;
    case HK_DEC_W_SREG: /* REX.R has no say here */
        set_special(to, HK_OPND_SREG, out->modrm >> 3 & 7);
        break;
    case HK_DEC_W_OSREG:
        set_special(to, HK_OPND_SREG, out->opcode >> 3 & 7);
        break;
    case HK_DEC_W_CR:
        set_special(to, HK_OPND_CR, out->reg);
        break;
    case HK_DEC_W_DR:
        set_special(to, HK_OPND_DR, out->reg);
        break;
    case HK_DEC_W_IMM:
        to->kind = HK_OPND_IMM;
        return read_immediate(d, (enum hk_dec_imm)how->arg);
    case HK_DEC_W_ONE:
        to->kind = HK_OPND_IMM;
        out->imm = 1;
        break;
    case HK_DEC_W_FAR:
        to->kind = HK_OPND_IMM;
        return read_far(d);
    case HK_DEC_W_OFFS:
        to->kind = HK_OPND_MEM;
        return read_offset(d);
    }
    return GO_ON;
}

static enum step read_operands(struct decoder *d)
{
    struct hk_insn *out = d->out;
    for (unsigned i = 0; i < HK_COUNT(d->leaf->enc); i++) {
        if (d->leaf->enc[i] == NO)
            break;
        TRY(read_operand(d, d->leaf->enc[i], &out->opnd[i]));
    }
    return GO_ON;
}

static enum step find_sse(struct decoder *d)
{
    struct hk_insn *out = d->out;
    out->sse = hk_sse_find(out->map, mandatory(d), out->opcode, out->modrm);
    if (!out->sse)
        return UNDEFINED;
    if (out->is_mem ? out->sse->mem_size == 0 : !out->sse->reg_ok)
        return UNDEFINED;
    if (out->sse->has_imm)
        return next_number(d, 1, false, &out->imm);
    return GO_ON;
}

/*
 * 90 with register 0 is no XCHG (which would clear the upper half of RAX),
 * and F3 90 is PAUSE even with REX.B, as on hardware.
 */
static void adjust_xchg(struct hk_insn *out)
{
    if (out->map != 0 || out->opcode != 0x90)
        return;
    if (out->rep == 0xf3)
        out->op = HK_OP_PAUSE;
    else if (out->opnd[0].reg == 0)
        out->op = HK_OP_NOP;
    else
        return;
    out->opnd[0] = out->opnd[1] = (struct hk_operand){0};
}

static bool is_legal_sreg(const struct hk_insn *out)
{
    unsigned sreg = out->modrm >> 3 & 7;
    return sreg < HK_SEG_COUNT &&
           (out->op == HK_OP_MOV_FROM_SREG || sreg != HK_SEG_CS);
}

/* Rules of single instructions that the tables cannot say. */
static enum step adjust(struct decoder *d)
{
    struct hk_insn *out = d->out;
    bool ok = true;
    switch (out->op) {
    case HK_OP_XCHG:
        adjust_xchg(out);
        break;
    case HK_OP_MOVZX:
    case HK_OP_MOVSX: /* those that widen nothing */
        if (out->opnd[0].size == out->opnd[1].size)
            out->op = HK_OP_MOV;
        break;
    case HK_OP_CMPXCHG8B:
        if (d->rex_w)
            out->op = HK_OP_CMPXCHG16B;
        break;
    case HK_OP_MOV_FROM_SREG:
    case HK_OP_MOV_TO_SREG:
        ok = is_legal_sreg(out);
        break;
    case HK_OP_MOV_FROM_CR:
    case HK_OP_MOV_TO_CR: /* 0, 2, 3, 4, 8 */
        ok = 0x11d >> out->reg & 1;
        break;
    case HK_OP_MOV_FROM_DR:
    case HK_OP_MOV_TO_DR:
        ok = out->reg < 8;
        break;
    default:
        break;
    }
    if ((d->leaf->flags & HK_DEC_NO_VVVV) && d->vvvv != 0)
        ok = false;
    return ok ? GO_ON : UNDEFINED;
}

static enum step check_lock(struct decoder *d)
{
    if (!d->lock)
        return GO_ON;
    if (!(d->leaf->flags & HK_DEC_LOCK) || d->out->opnd[0].kind != HK_OPND_MEM)
        return UNDEFINED;
    d->out->lock = true;
    return GO_ON;
}

static enum step decode_all(struct decoder *d)
{
    TRY(read_opcode(d));
    TRY(find_leaf(d));
    set_sizes(d);
    if (d->has_modrm)
        TRY(read_modrm(d));
    TRY(read_operands(d));
    if (d->out->op == HK_OP_SSE)
        TRY(find_sse(d));
    TRY(adjust(d));
    TRY(check_lock(d));
    return d->out->op == HK_OP_UD ? UNDEFINED : GO_ON;
}

/* What is left of an undefined instruction: nothing to touch. */
static void make_undefined(struct hk_insn *out)
{
    out->op = HK_OP_UD;
    out->is_mem = false;
    out->sse = NULL;
    for (unsigned i = 0; i < HK_COUNT(out->opnd); i++)
        out->opnd[i] = (struct hk_operand){0};
}

int hk_decode(const uint8_t *bytes, size_t avail, enum hk_code_size size,
              struct hk_insn *out)
{
    bool whole = avail >= HK_INSN_MAX_LEN;
    struct decoder d = {
        .at = bytes,
        .end = bytes + (whole ? (size_t)HK_INSN_MAX_LEN : avail),
        .out = out,
        .seg = NO_SEG,
    };
    *out = (struct hk_insn){
        .code_size = (uint8_t)size,
        .base = HK_REG_NONE,
        .index = HK_REG_NONE,
    };
    enum step result = decode_all(&d);
    if (result == NO_MORE)
        return whole ? HK_DECODE_TOO_LONG : HK_DECODE_MORE;
    out->len = (uint8_t)(d.at - bytes);
    if (result == UNDEFINED)
        make_undefined(out);
    return out->len;
}
