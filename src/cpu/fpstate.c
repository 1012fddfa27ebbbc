/*
 * The x87, MMX and SSE state of a vCPU as a whole: reset, the hand-over of
 * the host's control registers, and the memory images of FXSAVE and XSAVE.
 *
 * Source: Intel SDM volume 1, 10.5 (FXSAVE) and 13 (XSAVE).
 */
#include "cpu/cpu_int.h"
#include "base/endian.h"

#include <string.h>

/* ---- the host's control registers ------------------------------------- */

static void host_x87_set(uint16_t cw)
{
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(cw));
}

static uint16_t host_x87_cw(void)
{
    uint16_t cw;
    __asm__ volatile("fnstcw %0" : "=m"(cw));
    return cw;
}

void hk_fp_enter(struct hk_cpu *c)
{
    struct hk_fpu *f = &c->fpu;
    f->host_mxcsr = __builtin_ia32_stmxcsr();
    f->host_cw = host_x87_cw();
    f->entered = true;
    __builtin_ia32_ldmxcsr(f->mxcsr | HK_MXCSR_MASKS);
    host_x87_set(f->cw | HK_X87_EXC);
}

void hk_fp_leave(struct hk_cpu *c)
{
    struct hk_fpu *f = &c->fpu;
    f->mxcsr = hk_mxcsr_get(c);
    f->entered = false;
    host_x87_set(f->host_cw);
    __builtin_ia32_ldmxcsr(f->host_mxcsr);
}

uint32_t hk_mxcsr_get(struct hk_cpu *c)
{
    uint32_t value = c->fpu.mxcsr;
    if (c->fpu.entered)
        value |= __builtin_ia32_stmxcsr() & HK_MXCSR_EXC;
    return value;
}

void hk_mxcsr_set(struct hk_cpu *c, uint32_t value)
{
    c->fpu.mxcsr = value;
    if (c->fpu.entered)
        __builtin_ia32_ldmxcsr(value | HK_MXCSR_MASKS);
}

void hk_x87_update(struct hk_cpu *c)
{
    struct hk_fpu *f = &c->fpu;
    f->sw &= (uint16_t) ~(HK_X87_ES | HK_X87_B);
    if (f->sw & ~f->cw & HK_X87_EXC)
        f->sw |= HK_X87_ES | HK_X87_B;
    if (f->entered)
        host_x87_set(f->cw | HK_X87_EXC);
}

/* ---- reset ------------------------------------------------------------ */

void hk_x87_init(struct hk_cpu *c)
{
    struct hk_fpu *f = &c->fpu;
    f->cw = HK_X87_CW_RESET;
    f->sw = 0;
    f->top = 0;
    f->tag = 0;
    f->fop = f->fcs = f->fds = 0;
    f->fip = f->fdp = 0;
    hk_x87_update(c);
}

/* INIT leaves the state alone; power-on has 0x40 in the control word. */
void hk_fp_reset(struct hk_cpu *c, bool init)
{
    if (init)
        return;
    hk_x87_init(c);
    memset(c->fpu.st, 0, sizeof(c->fpu.st));
    memset(c->fpu.xmm, 0, sizeof(c->fpu.xmm));
    hk_mxcsr_set(c, HK_MXCSR_RESET);
    c->fpu.cw = 0x40;
    c->fpu.tag = 0xff;
    hk_x87_update(c);
}

/* ---- status and tag words --------------------------------------------- */

uint16_t hk_x87_status(const struct hk_cpu *c)
{
    return (uint16_t)(c->fpu.sw | c->fpu.top << HK_X87_TOP_SHIFT);
}

void hk_x87_set_status(struct hk_cpu *c, uint16_t sw)
{
    c->fpu.top = sw >> HK_X87_TOP_SHIFT & 7;
    c->fpu.sw = (uint16_t)(sw & ~(7 << HK_X87_TOP_SHIFT));
}

/* 0 valid, 1 zero, 2 special: everything that is not a normal number. */
static unsigned tag_of(const uint8_t st[16])
{
    const unsigned exponent = hk_get_le16(st + 8) & 0x7fff;
    const uint64_t significand = hk_get_le64(st);
    if (exponent == 0)
        return significand == 0 ? 1 : 2;
    if (exponent == 0x7fff)
        return 2;
    return significand >> 63 ? 0 : 2;
}

uint16_t hk_x87_full_tag(const struct hk_cpu *c)
{
    unsigned tw = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned tag = c->fpu.tag >> i & 1 ? tag_of(c->fpu.st[i]) : 3;
        tw |= tag << (2 * i);
    }
    return (uint16_t)tw;
}

void hk_x87_set_full_tag(struct hk_cpu *c, uint16_t tw)
{
    unsigned tag = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((tw >> (2 * i) & 3) != 3)
            tag |= 1u << i;
    }
    c->fpu.tag = (uint8_t)tag;
}

/* ---- the legacy image ------------------------------------------------- */

enum {
    IMG_FCW = 0,
    IMG_FSW = 2,
    IMG_FTW = 4,
    IMG_FOP = 6,
    IMG_FIP = 8,
    IMG_FDP = 16,
    IMG_MXCSR = 24,
    IMG_MXCSR_MASK = 28,
    IMG_ST = 32,
    IMG_XMM = 160,
    IMG_XMM_END = 416,
    IMG_SIZE = 512,
};

/* The x87 part: bytes 0 to 23 and the registers. `wide` selects the format
 * with 64-bit pointers. */
static void put_x87(const struct hk_cpu *c, uint8_t *img, bool wide)
{
    const struct hk_fpu *f = &c->fpu;
    hk_put_le16(img + IMG_FCW, f->cw);
    hk_put_le16(img + IMG_FSW, hk_x87_status(c));
    hk_put_le16(img + IMG_FTW, f->tag);
    hk_put_le16(img + IMG_FOP, f->fop);
    hk_put_le64(img + IMG_FIP, f->fip);
    hk_put_le64(img + IMG_FDP, f->fdp);
    if (!wide) {
        hk_put_le32(img + IMG_FIP + 4, f->fcs);
        hk_put_le32(img + IMG_FDP + 4, f->fds);
    }
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *slot = img + IMG_ST + 16 * i;
        memcpy(slot, f->st[(f->top + i) & 7], 10);
        memset(slot + 10, 0, 6);
    }
}

static void get_x87(struct hk_cpu *c, const uint8_t *img, bool wide)
{
    struct hk_fpu *f = &c->fpu;
    f->cw = (hk_get_le16(img + IMG_FCW) & 0x1f3f) | 0x40;
    hk_x87_set_status(c, hk_get_le16(img + IMG_FSW));
    f->tag = img[IMG_FTW];
    f->fop = hk_get_le16(img + IMG_FOP) & 0x7ff;
    f->fip = hk_get_le64(img + IMG_FIP);
    f->fdp = hk_get_le64(img + IMG_FDP);
    f->fcs = f->fds = 0;
    if (!wide) {
        f->fcs = hk_get_le16(img + IMG_FIP + 4);
        f->fds = hk_get_le16(img + IMG_FDP + 4);
        f->fip = (uint32_t)f->fip;
        f->fdp = (uint32_t)f->fdp;
    }
    for (unsigned i = 0; i < 8; i++)
        memcpy(f->st[(f->top + i) & 7], img + IMG_ST + 16 * i, 10);
    hk_x87_update(c);
}

static void put_mxcsr(struct hk_cpu *c, uint8_t *img)
{
    hk_put_le32(img + IMG_MXCSR, hk_mxcsr_get(c));
    hk_put_le32(img + IMG_MXCSR_MASK, HK_MXCSR_VALID);
}

void hk_fp_get_fxsave(struct hk_cpu *c, uint8_t image[512])
{
    memset(image, 0, IMG_SIZE);
    put_x87(c, image, true);
    put_mxcsr(c, image);
    memcpy(image + IMG_XMM, c->fpu.xmm, sizeof(c->fpu.xmm));
}

bool hk_fp_set_fxsave(struct hk_cpu *c, const uint8_t image[512])
{
    const uint32_t mxcsr = hk_get_le32(image + IMG_MXCSR);
    if (mxcsr & ~(uint32_t)HK_MXCSR_VALID)
        return false;
    get_x87(c, image, true);
    hk_mxcsr_set(c, mxcsr);
    memcpy(c->fpu.xmm, image + IMG_XMM, sizeof(c->fpu.xmm));
    return true;
}

/* ---- FXSAVE, FXRSTOR -------------------------------------------------- */

/* XMM8 to XMM15 exist in 64-bit code only. */
static uint32_t xmm_bytes(const struct hk_cpu *c)
{
    return hk_is_code64(c) ? 256 : 128;
}

static bool is_wide(const struct hk_insn *i)
{
    return (i->rex & 8) != 0;
}

/* In the order of hosts: the segment for the start, alignment, the segment for
 * the last byte, whose offset wraps. */
static bool area_linear(struct hk_cpu *c, const struct hk_insn *i,
                        uint32_t align, uint32_t size, unsigned acc,
                        uint64_t *la)
{
    if (!hk_insn_linear(c, i, 4, acc, la))
        return false;
    if ((*la & (align - 1)) != 0)
        return hk_fault_err(c, HK_VEC_GP, 0);
    uint64_t last = hk_insn_offset(c, i) + size - 1, ignored;
    if (i->addrsize < 8)
        last &= (1ull << i->addrsize * 8) - 1;
    return hk_seg_linear(c, i->seg, last, 1, acc, &ignored);
}

/* Checks common to both; gives the linear address. Like hardware, looks at
 * the last byte first, which shows in CR2. */
static bool fx_begin(struct hk_cpu *c, const struct hk_insn *i, unsigned acc,
                     uint64_t *la)
{
    if (c->cr0 & (HK_CR0_TS | HK_CR0_EM))
        return hk_fault(c, HK_VEC_NM);
    if (!area_linear(c, i, 16, IMG_SIZE, acc, la))
        return false;
    return hk_mem_probe(c, *la + IMG_SIZE - 1, 1, acc);
}

bool hk_slow_fxsave(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t image[IMG_SIZE];
    uint64_t la;
    if (!fx_begin(c, i, HK_ACC_WRITE, &la) ||
        !hk_mem_probe(c, la, IMG_SIZE, HK_ACC_WRITE))
        return false;
    put_x87(c, image, is_wide(i));
    put_mxcsr(c, image);
    memcpy(image + IMG_XMM, c->fpu.xmm, xmm_bytes(c));
    return hk_mem_write_bytes(c, la, image, IMG_XMM + xmm_bytes(c),
                              HK_ACC_WRITE);
}

bool hk_slow_fxrstor(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t image[IMG_SIZE];
    uint64_t la;
    if (!fx_begin(c, i, HK_ACC_READ, &la) ||
        !hk_mem_read_bytes(c, la, image, IMG_SIZE, HK_ACC_READ))
        return false;
    const uint32_t mxcsr = hk_get_le32(image + IMG_MXCSR);
    if (mxcsr & ~(uint32_t)HK_MXCSR_VALID)
        return hk_fault_err(c, HK_VEC_GP, 0);
    get_x87(c, image, is_wide(i));
    hk_mxcsr_set(c, mxcsr);
    memcpy(c->fpu.xmm, image + IMG_XMM, xmm_bytes(c));
    return true;
}

/* ---- XSAVE, XRSTOR: x87 and SSE components, standard format ------------ */

enum {
    XS_X87 = 1,
    XS_SSE = 2,
    XS_KNOWN = XS_X87 | XS_SSE,
    XS_HEADER_SIZE = 64,
    XS_SIZE = IMG_SIZE + XS_HEADER_SIZE,
};

static bool all_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

/* The components that are not in their initial state. */
static unsigned in_use(const struct hk_cpu *c)
{
    const struct hk_fpu *f = &c->fpu;
    unsigned used = 0;
    if (f->cw != HK_X87_CW_RESET || hk_x87_status(c) != 0 || f->tag != 0 ||
        f->fop != 0 || f->fip != 0 || f->fdp != 0 || f->fcs != 0 ||
        f->fds != 0 || !all_zero(f->st[0], sizeof(f->st)))
        used |= XS_X87;
    if (!all_zero(f->xmm[0], xmm_bytes(c)))
        used |= XS_SSE;
    return used;
}

static bool xs_begin(struct hk_cpu *c, const struct hk_insn *i, unsigned acc,
                     uint64_t *la, unsigned *rfbm)
{
    if (!(c->cr4 & HK_CR4_OSXSAVE))
        return hk_fault(c, HK_VEC_UD);
    if (c->cr0 & HK_CR0_TS)
        return hk_fault(c, HK_VEC_NM);
    if (!area_linear(c, i, 64, XS_SIZE, acc, la))
        return false;
    *rfbm = (unsigned)(c->xcr0 & (uint32_t)c->r[0] & XS_KNOWN);
    return true;
}

/* Which pieces of the legacy area are accessed, in the order of hosts: what is
 * looked at first shows in CR2. */
static bool xs_probe(struct hk_cpu *c, uint64_t la, unsigned parts,
                     unsigned rfbm, unsigned acc)
{
    if (parts & XS_X87 && (!hk_mem_probe(c, la, IMG_MXCSR, acc) ||
                           !hk_mem_probe(c, la + IMG_ST, 128, acc)))
        return false;
    if (rfbm & XS_SSE && !hk_mem_probe(c, la + IMG_MXCSR, 8, acc))
        return false;
    return !(parts & XS_SSE) ||
           hk_mem_probe(c, la + IMG_XMM, xmm_bytes(c), acc);
}

/* Writes [from, to) of the image. All of it was probed. */
static bool put_part(struct hk_cpu *c, uint64_t la, const uint8_t *image,
                     uint32_t from, uint32_t to)
{
    return hk_mem_write_bytes(c, la + from, image + from, to - from,
                              HK_ACC_WRITE);
}

/* XSAVEOPT leaves out components in their initial state. */
bool hk_slow_xsave(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t image[IMG_SIZE];
    uint64_t la, old_bv;
    unsigned rfbm = 0;
    const unsigned used = in_use(c);
    if (!xs_begin(c, i, HK_ACC_WRITE, &la, &rfbm))
        return false;
    const unsigned parts = i->op == HK_OP_XSAVEOPT ? rfbm & used : rfbm;
    if (!hk_mem_probe(c, la + XS_SIZE - 1, 1, HK_ACC_WRITE) ||
        !xs_probe(c, la, parts, rfbm, HK_ACC_WRITE) ||
        !hk_mem_read(c, la + IMG_SIZE, 8, HK_ACC_WRITE, &old_bv))
        return false;
    put_x87(c, image, is_wide(i));
    put_mxcsr(c, image);
    memcpy(image + IMG_XMM, c->fpu.xmm, sizeof(c->fpu.xmm));
    if (parts & XS_X87 && (!put_part(c, la, image, 0, IMG_MXCSR) ||
                           !put_part(c, la, image, IMG_ST, IMG_XMM)))
        return false;
    if (rfbm & XS_SSE && !put_part(c, la, image, IMG_MXCSR, IMG_ST))
        return false;
    if (parts & XS_SSE &&
        !put_part(c, la, image, IMG_XMM, IMG_XMM + xmm_bytes(c)))
        return false;
    const uint64_t bv = (old_bv & ~(uint64_t)rfbm) | (used & rfbm);
    return hk_mem_write(c, la + IMG_SIZE, 8, HK_ACC_WRITE, bv);
}

bool hk_slow_xsaveopt(struct hk_cpu *c, const struct hk_insn *i)
{
    return hk_slow_xsave(c, i);
}

/* The header, which must be one of the standard format. Hosts look whether the
 * legacy area is there before they judge it. */
static bool xs_read_header(struct hk_cpu *c, uint64_t la, unsigned rfbm,
                           uint8_t *header)
{
    if (!hk_mem_probe(c, la + IMG_SIZE + 8, 8, HK_ACC_READ) ||
        !xs_probe(c, la, rfbm, rfbm, HK_ACC_READ) ||
        !hk_mem_read_bytes(c, la + IMG_SIZE, header, XS_HEADER_SIZE,
                           HK_ACC_READ))
        return false;
    if ((hk_get_le64(header) & ~c->xcr0) != 0 || !all_zero(header + 8, 16))
        return hk_fault_err(c, HK_VEC_GP, 0);
    return true;
}

bool hk_slow_xrstor(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t image[XS_SIZE];
    uint64_t la;
    unsigned rfbm = 0;
    if (!xs_begin(c, i, HK_ACC_READ, &la, &rfbm) ||
        !xs_read_header(c, la, rfbm, image + IMG_SIZE))
        return false;
    const uint64_t bv = hk_get_le64(image + IMG_SIZE);
    if (rfbm != 0 && !hk_mem_read_bytes(c, la, image, IMG_SIZE, HK_ACC_READ))
        return false;
    const uint32_t mxcsr = hk_get_le32(image + IMG_MXCSR);
    if (rfbm & XS_SSE && mxcsr & ~(uint32_t)HK_MXCSR_VALID)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (rfbm & XS_X87 & bv) {
        get_x87(c, image, is_wide(i));
    } else if (rfbm & XS_X87) {
        memset(c->fpu.st, 0, sizeof(c->fpu.st));
        hk_x87_init(c);
    }
    if (rfbm & XS_SSE) {
        hk_mxcsr_set(c, mxcsr);
        if (!(bv & XS_SSE))
            memset(image + IMG_XMM, 0, 256);
        memcpy(c->fpu.xmm, image + IMG_XMM, xmm_bytes(c));
    }
    return true;
}

/* ---- MXCSR ------------------------------------------------------------ */

static bool mxcsr_begin(struct hk_cpu *c)
{
    if (c->cr0 & HK_CR0_EM || !(c->cr4 & HK_CR4_OSFXSR))
        return hk_fault(c, HK_VEC_UD);
    if (c->cr0 & HK_CR0_TS)
        return hk_fault(c, HK_VEC_NM);
    return true;
}

bool hk_slow_ldmxcsr(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la, value;
    if (!mxcsr_begin(c) || !hk_insn_linear(c, i, 4, HK_ACC_READ, &la) ||
        !hk_mem_read(c, la, 4, HK_ACC_READ, &value))
        return false;
    if (value & ~(uint64_t)HK_MXCSR_VALID)
        return hk_fault_err(c, HK_VEC_GP, 0);
    hk_mxcsr_set(c, (uint32_t)value);
    return true;
}

bool hk_slow_stmxcsr(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la;
    return mxcsr_begin(c) && hk_insn_linear(c, i, 4, HK_ACC_WRITE, &la) &&
           hk_mem_write(c, la, 4, HK_ACC_WRITE, hk_mxcsr_get(c));
}
