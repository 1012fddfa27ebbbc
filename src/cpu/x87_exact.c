/*
 * The complete way to run an x87 instruction: load the guest's whole state
 * into the host, run the one instruction, save the state.
 *
 * The state has the guest's own masks. An unmasked exception on x87 is only
 * noted by the instruction that causes it and raised by the next one that
 * waits, and nothing between the load and the save waits, so the host never
 * traps and its saved state says exactly what the guest's hardware would.
 */
#include "cpu/x87_int.h"

#include "base/endian.h"
#include "cpu/sse_abi.h"

/* The 32-bit protected-mode image of FNSAVE. */
struct image {
    uint16_t cw, cw_pad, sw, sw_pad, tw, tw_pad;
    uint32_t fip;
    uint16_t fcs, fop;
    uint32_t fdp;
    uint16_t fds, fds_pad;
    uint8_t st[8][10];
};
_Static_assert(sizeof(struct image) == 108, "the format of FNSAVE");

/* x87_stubs.S */
uint64_t hk_x87_run(struct image *image, const void *code, void *operand,
                    uint64_t flags);
extern const uint8_t hk_x87_reg_forms[], hk_x87_mem_forms[];

int hk_x87_mem_size(unsigned fop)
{
    static const int8_t sizes[8][8] = {
        {4, 4, 4, 4, 4, 4, 4, 4}, {4, 0, -4, -4, 0, 0, 0, 0},
        {4, 4, 4, 4, 4, 4, 4, 4}, {4, -4, -4, -4, 0, 10, 0, -10},
        {8, 8, 8, 8, 8, 8, 8, 8}, {8, -8, -8, -8, 0, 0, 0, 0},
        {2, 2, 2, 2, 2, 2, 2, 2}, {2, -2, -2, -2, 10, 8, -10, -8},
    };
    return sizes[fop >> 8 & 7][fop >> 3 & 7];
}

static void pack(const struct hk_cpu *c, struct image *image)
{
    const struct hk_fpu *f = &c->fpu;
    *image = (struct image){.cw = f->cw, .sw = hk_x87_status(c)};
    for (unsigned i = 0; i < 8; i++) {
        if (!(f->tag >> i & 1))
            image->tw |= (uint16_t)(3 << 2 * i);
        memcpy(image->st[i], f->st[(f->top + i) & 7], 10);
    }
}

/* FNSAVE has left the host as after FNINIT, so the control word is due. */
static void unpack(struct hk_cpu *c, const struct image *image)
{
    struct hk_fpu *f = &c->fpu;
    hk_x87_set_status(c, image->sw);
    hk_x87_set_full_tag(c, image->tw);
    for (unsigned i = 0; i < 8; i++)
        memcpy(f->st[(f->top + i) & 7], image->st[i], 10);
    hk_x87_update(c);
}

/* FCOMI and its kin, which write RFLAGS. */
static bool writes_flags(unsigned fop)
{
    const unsigned opcode = fop >> 8, modrm = fop & 0xff;
    return (opcode == 3 || opcode == 7) && modrm >= 0xe8 && modrm < 0xf8;
}

/* An unmasked exception, except for lost precision, stops a store. */
static bool was_stored(const struct image *image, uint16_t cw)
{
    return (image->sw & ~cw & (HK_X87_EXC & ~HK_X87_PE)) == 0;
}

/* The opcode and data pointers are only noted with an unmasked exception, as
 * CPUID tells (7.EBX bit 6). */
static void note_exception(struct hk_cpu *c, const struct hk_uop *u)
{
    c->fpu.fop = u->dst;
    if ((u->dst & 0xff) < 0xc0)
        c->fpu.fdp = hk_ea(c, u) - c->r[u->seg];
}

static bool run_reg(struct hk_cpu *c, const struct hk_uop *u,
                    struct image *image)
{
    const unsigned form = (u->dst >> 8) * 64u + (u->dst & 0x3f);
    const uint64_t rf = hk_x87_run(image, hk_x87_reg_forms + form * HK_X87_SLOT,
                                   NULL, hk_fl_to_rf(c->fl) | 2);
    if (writes_flags(u->dst))
        c->fl = hk_fl_from_rf(rf);
    return true;
}

bool hk_x87_store10(struct hk_cpu *c, uint64_t la, const void *from)
{
    const uint8_t *bytes = from;
    uint64_t rest = la + 8;
    if (!hk_is_code64(c))
        rest = (uint32_t)rest;
    return hk_mem_write(c, la, 8, HK_ACC_WRITE, hk_get_le64(bytes)) &&
           hk_mem_write(c, rest, 2, HK_ACC_WRITE, hk_get_le16(bytes + 8));
}

static bool run_mem(struct hk_cpu *c, const struct hk_uop *u,
                    struct image *image)
{
    const unsigned form = (u->dst >> 8) * 8u + (u->dst >> 3 & 7);
    const int size = hk_x87_mem_size(u->dst);
    const uint64_t la = hk_ea(c, u);
    struct hk_sse_buf operand;
    if (size > 0 &&
        !hk_mem_read_bytes(c, la, operand.bytes, (uint32_t)size, HK_ACC_READ))
        return false;
    hk_x87_run(image, hk_x87_mem_forms + form * HK_X87_SLOT, operand.bytes, 2);
    if (size == -10 && was_stored(image, c->fpu.cw))
        return hk_x87_store10(c, la, operand.bytes);
    if (size < 0 && was_stored(image, c->fpu.cw))
        return hk_mem_write_bytes(c, la, operand.bytes, (uint32_t)-size,
                                  HK_ACC_WRITE);
    return true;
}

static HK_NOINLINE bool run(struct hk_cpu *c, const struct hk_uop *u)
{
    struct image image;
    if (c->fpu.sw & HK_X87_ES)
        return hk_fault(c, HK_VEC_MF);
    pack(c, &image);
    const bool done =
        (u->dst & 0xff) >= 0xc0 ? run_reg(c, u, &image) : run_mem(c, u, &image);
    if (!done) {
        hk_x87_update(c);
        return false;
    }
    unpack(c, &image);
    hk_x87_note(c, u);
    if (c->fpu.sw & HK_X87_ES)
        note_exception(c, u);
    return true;
}

struct hk_uop *hk_x87_exact(struct hk_cpu *c, struct hk_uop *u)
{
    if (!run(c, u))
        return hk_uop_fault(c, u);
    HK_NEXT(c, u);
}
