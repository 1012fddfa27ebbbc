/*
 * Bytes for a form.
 *
 * The fields that are free (registers, ModRM and SIB, displacement, immediate,
 * prefixes without meaning) are drawn at random, then the decoder says whether
 * the result is still of the form. Registers of a memory operand are then
 * chosen so that the operand lies where the generator wants it.
 */
#include "oracle.h"

#include <string.h>

enum { SIB = 4, TRIES = 40 };

/* One instruction in the making. */
struct draft {
    uint8_t bytes[32];
    unsigned len;
    unsigned disp_at, disp_size; /* where the displacement is */
    uint8_t rex;
    bool addrsize_prefix;
};

static void put(struct draft *d, unsigned byte)
{
    d->bytes[d->len++] = (uint8_t)byte;
}

static void put_bytes(struct draft *d, uint64_t value, unsigned size)
{
    memcpy(d->bytes + d->len, &value, size);
    d->len += size;
}

static unsigned random_bits(struct oracle_rng *rng, unsigned mask)
{
    return (unsigned)oracle_random(rng) & mask;
}

/* Prefixes that change nothing, or only the address. */
static void draw_loose_prefixes(struct oracle_rng *rng,
                                const struct oracle_form *form, struct draft *d)
{
    static const uint8_t ignored[] = {0x2e, 0x3e, 0x26, 0x36};
    if (oracle_percent(rng, form->code_size == HK_CODE16 ? 30 : 8)) {
        put(d, 0x67);
        d->addrsize_prefix = true;
    }
    /* The host's kernel takes no two of them. */
    if (!oracle_is_umip(form->op) && oracle_percent(rng, 5))
        put(d, ignored[oracle_below(rng, 4)]);
    if (form->is_mem && oracle_percent(rng, 5))
        put(d, 0x64 + oracle_below(rng, 2));
    if (!form->vex && oracle_percent(rng, 2))
        put(d, oracle_percent(rng, 50) ? 0x66 : 0xf2 + oracle_below(rng, 2));
}

static void draw_vex(struct oracle_rng *rng, const struct oracle_form *form,
                     struct draft *d)
{
    unsigned pp = form->opsize_prefix       ? 1
                  : form->op_prefix == 0xf3 ? 2
                  : form->op_prefix == 0xf2 ? 3
                                            : 0;
    bool is64 = form->code_size == HK_CODE64;
    unsigned rxb = is64 ? random_bits(rng, 0xe0) : 0xe0;
    unsigned vvvv = random_bits(rng, 0x78) | (is64 ? 0 : 0x40);
    d->rex = 0x40 | (~rxb >> 5 & 7);
    put(d, 0xc4);
    put(d, rxb | form->map);
    put(d, (unsigned)form->rexw << 7 | vvvv | (unsigned)form->vex_l << 2 | pp);
}

static void draw_prefixes(struct oracle_rng *rng,
                          const struct oracle_form *form, struct draft *d)
{
    draw_loose_prefixes(rng, form, d);
    if (form->lock)
        put(d, 0xf0);
    if (form->vex) {
        draw_vex(rng, form, d);
        return;
    }
    if (form->opsize_prefix)
        put(d, 0x66);
    if (form->op_prefix != 0)
        put(d, form->op_prefix);
    if (form->code_size == HK_CODE64 &&
        (form->rexw || oracle_percent(rng, 50))) {
        d->rex = (uint8_t)(0x40 | random_bits(rng, 7) | form->rexw << 3);
        put(d, d->rex);
    }
    if (form->map != 0)
        put(d, 0x0f);
    if (form->map >= 2)
        put(d, form->map == 2 ? 0x38 : 0x3a);
}

/* A displacement of 0, 1 or 4 bytes; often small. */
static void draw_disp(struct oracle_rng *rng, struct draft *d, unsigned size)
{
    uint64_t value = oracle_percent(rng, 80)
                         ? (uint64_t)(int64_t)(oracle_below(rng, 256)) - 128
                         : oracle_random(rng);
    d->disp_at = d->len;
    d->disp_size = size;
    put_bytes(d, value, size);
}

static void draw_memory_modrm(struct oracle_rng *rng,
                              const struct oracle_form *form, struct draft *d)
{
    static const uint8_t disp_sizes[] = {0, 1, 4};
    unsigned reg = form->ext >= 0 ? (unsigned)form->ext : random_bits(rng, 7);
    unsigned mod = oracle_below(rng, 3);
    unsigned rm = random_bits(rng, 7);

    if (form->code_size != HK_CODE64 &&
        d->addrsize_prefix == (form->code_size == HK_CODE32)) {
        put(d, mod << 6 | reg << 3 | rm);
        bool absolute = mod == 0 && rm == 6;
        draw_disp(rng, d, absolute || mod == 2 ? 2 : mod);
        return;
    }
    put(d, mod << 6 | reg << 3 | rm);
    if (rm == SIB) {
        unsigned sib = random_bits(rng, 0xff);
        put(d, sib);
        if (mod == 0 && (sib & 7) == 5) {
            draw_disp(rng, d, 4);
            return;
        }
    } else if (mod == 0 && rm == 5) {
        draw_disp(rng, d, 4);
        return;
    }
    draw_disp(rng, d, disp_sizes[mod]);
}

static void draw_immediate(struct oracle_rng *rng, struct draft *d)
{
    put_bytes(d, oracle_integer(rng), 8);
    put_bytes(d, oracle_random(rng), 4);
}

static bool draw(struct oracle_rng *rng, const struct oracle_form *form,
                 struct draft *d, struct hk_insn *insn)
{
    unsigned variant = form->opcode_variants > 1 ? random_bits(rng, 7) : 0;
    memset(d, 0, sizeof(*d));
    draw_prefixes(rng, form, d);
    put(d, (form->opcode & ~(form->opcode_variants - 1u)) | variant);
    if (form->has_modrm && form->is_mem)
        draw_memory_modrm(rng, form, d);
    else if (form->has_modrm)
        put(d, 0xc0 |
                   (form->ext >= 0 ? (unsigned)form->ext : random_bits(rng, 7))
                       << 3 |
                   (form->rm >= 0 ? (unsigned)form->rm : random_bits(rng, 7)));
    else if (form->is_mem) /* an absolute offset */
        draw_disp(rng, d, d->addrsize_prefix ? 4 : 8);
    draw_immediate(rng, d);
    int len = hk_decode(d->bytes, d->len, form->code_size, insn);
    if (len <= 0)
        return false;
    d->len = (unsigned)len;
    return oracle_form_is(form, insn);
}

static uint64_t address_mask(const struct hk_insn *insn)
{
    return insn->addrsize == 8 ? ~0ull : (1ull << insn->addrsize * 8) - 1;
}

uint64_t oracle_insn_address(const struct oracle_case *c,
                             const struct hk_insn *insn, uint64_t at)
{
    uint64_t offset = (uint64_t)insn->disp;
    if (insn->base < 16)
        offset += c->in.gpr[insn->base];
    else if (insn->base == HK_REG_RIP)
        offset += at + insn->len;
    if (insn->index < 16)
        offset += c->in.gpr[insn->index] << insn->scale;
    return oracle_linear(c, insn->seg, offset & address_mask(insn));
}

/* Moves the displacement by `delta`, as far as it can go. */
static void move_disp(struct draft *d, uint64_t delta)
{
    uint64_t disp = 0;
    memcpy(&disp, d->bytes + d->disp_at, d->disp_size);
    disp += delta;
    memcpy(d->bytes + d->disp_at, &disp, d->disp_size);
}

/* Gives the base, the index or the displacement the value that is missing. */
static void aim(struct oracle_rng *rng, const struct oracle_place *place,
                struct oracle_case *c, struct draft *d,
                const struct hk_insn *insn)
{
    struct oracle_state *state = &c->in;
    uint64_t mask = address_mask(insn);
    uint64_t above = mask == ~0ull || oracle_percent(rng, 50)
                         ? 0
                         : oracle_random(rng) & ~mask;
    bool low = insn->addrsize == 2 && oracle_base(c, insn->seg) == 0;
    uint64_t target =
        low ? ORACLE_LOW + (place->target & 0xfff) : place->target;
    if (insn->index < 16 && insn->base != insn->index)
        state->gpr[insn->index] = oracle_percent(rng, 70)
                                      ? oracle_below(rng, 128)
                                      : oracle_integer(rng);
    uint64_t missing =
        target - oracle_insn_address(c, insn, place->code_address);
    if (insn->base < 16 && insn->base != insn->index) {
        uint64_t value = state->gpr[insn->base] + missing;
        state->gpr[insn->base] = (value & mask) | above;
    } else if (d->disp_size >= 4 || (d->disp_size == 2 && mask == 0xffff)) {
        move_disp(d, missing);
    } else if (insn->index < 16) {
        unsigned shift = insn->scale;
        if (insn->base == insn->index) /* x + x*s: cannot do better */
            state->gpr[insn->index] += missing / ((1u << shift) + 1);
        else
            state->gpr[insn->index] += missing >> shift;
    }
}

static bool uses_pointers(const struct hk_insn *insn, uint16_t pointers)
{
    unsigned least = insn->code_size == HK_CODE16 ? 2 : 4;
    if (insn->base == HK_REG_RIP)
        return true;
    if (insn->index < 16 && insn->base == insn->index)
        return false;
    return insn->base < 16 && (pointers >> insn->base & 1) &&
           insn->index >= 16 && insn->addrsize >= least;
}

/* One try; 0 when the draft turned out unfit. */
static unsigned make_once(struct oracle_rng *rng,
                          const struct oracle_form *form,
                          const struct oracle_place *place,
                          struct oracle_case *c, uint8_t *bytes,
                          struct hk_insn *insn)
{
    struct draft d;
    if (!draw(rng, form, &d, insn))
        return 0;
    bool loose = !form->lock && form->op != HK_OP_XCHG;
    if (insn->is_mem && place->pointers != 0 &&
        !(loose && oracle_percent(rng, 5))) {
        if (!uses_pointers(insn, place->pointers))
            return 0;
        if (insn->base == HK_REG_RIP)
            aim(rng, place, c, &d, insn);
        else if (d.disp_size > 1) /* keep it near */
            memset(d.bytes + d.disp_at + 1, 0, d.disp_size - 1);
    } else if (insn->is_mem && place->pointers == 0) {
        aim(rng, place, c, &d, insn);
    }
    if (hk_decode(d.bytes, d.len, form->code_size, insn) != (int)d.len)
        return 0;
    memcpy(bytes, d.bytes, d.len);
    return d.len;
}

unsigned oracle_insn_make(struct oracle_rng *rng,
                          const struct oracle_form *form,
                          const struct oracle_place *place,
                          struct oracle_case *c, uint8_t *bytes,
                          struct hk_insn *insn)
{
    unsigned tries = place->pointers != 0 ? 4 * TRIES : TRIES;
    for (unsigned i = 0; i < tries; i++) {
        unsigned len = make_once(rng, form, place, c, bytes, insn);
        if (len != 0)
            return len;
    }
    return 0;
}
