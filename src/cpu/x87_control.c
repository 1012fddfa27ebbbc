/*
 * x87 control instructions: they move state and compute nothing. All but
 * FLDCW, FLDENV and FRSTOR do not wait for pending exceptions.
 */
#include "cpu/x87_int.h"

#include "base/endian.h"

/* Waiting instructions raise an exception that is pending. */
static bool wait_for_exceptions(struct hk_cpu *c)
{
    return c->fpu.sw & HK_X87_ES ? hk_fault(c, HK_VEC_MF) : true;
}

static uint16_t valid_cw(uint64_t value)
{
    return (uint16_t)((value & 0x1f3f) | 0x40);
}

static bool fninit(struct hk_cpu *c, const struct hk_insn *i)
{
    hk_x87_init(c);
    return true;
}

static bool fnclex(struct hk_cpu *c, const struct hk_insn *i)
{
    c->fpu.sw &= (uint16_t) ~(HK_X87_EXC | HK_X87_SF);
    hk_x87_update(c);
    return true;
}

/* FNENI, FNDISI and FNSETPM meant something before the 387. */
static bool no_operation(struct hk_cpu *c, const struct hk_insn *i)
{
    return true;
}

static bool fnstsw_ax(struct hk_cpu *c, const struct hk_insn *i)
{
    HK_R16(c, 0) = hk_x87_status(c);
    return true;
}

static bool store_word(struct hk_cpu *c, const struct hk_insn *i,
                       uint16_t value)
{
    uint64_t la;
    return hk_insn_linear(c, i, 2, HK_ACC_WRITE, &la) &&
           hk_mem_write(c, la, 2, HK_ACC_WRITE, value);
}

static bool fnstsw(struct hk_cpu *c, const struct hk_insn *i)
{
    return store_word(c, i, hk_x87_status(c));
}

static bool fnstcw(struct hk_cpu *c, const struct hk_insn *i)
{
    return store_word(c, i, c->fpu.cw);
}

static bool fldcw(struct hk_cpu *c, const struct hk_insn *i)
{
    uint64_t la, value;
    if (!wait_for_exceptions(c) || !hk_insn_linear(c, i, 2, HK_ACC_READ, &la) ||
        !hk_mem_read(c, la, 2, HK_ACC_READ, &value))
        return false;
    c->fpu.cw = valid_cw(value);
    hk_x87_update(c);
    return true;
}

/* ---- the environment: four layouts of 14 or 28 bytes ------------------- */

enum { ENV_MAX = 28, REGS_SIZE = 80 };

static bool is_protected(const struct hk_cpu *c)
{
    return (c->mode & (HK_MODE_PROT | HK_MODE_V86)) == HK_MODE_PROT;
}

static uint32_t env_size(const struct hk_insn *i)
{
    return i->opsize == 2 ? 14 : 28;
}

/* The last four fields as words of the 16-bit or double words of the 32-bit
 * format. Real mode packs the opcode with the upper bits of the pointer. */
static void pointer_fields(const struct hk_cpu *c, uint32_t field[4])
{
    const struct hk_fpu *f = &c->fpu;
    const uint32_t fip = (uint32_t)f->fip, fdp = (uint32_t)f->fdp;
    if (is_protected(c)) {
        field[0] = fip;
        field[1] = f->fcs | (uint32_t)f->fop << 16;
        field[2] = fdp;
        field[3] = f->fds | 0xffff0000;
    } else {
        field[0] = fip & 0xffff;
        field[1] = (fip >> 4 & 0xffff000) | f->fop;
        field[2] = fdp & 0xffff;
        field[3] = fdp >> 4 & 0xffff000;
    }
}

static void put_env(const struct hk_cpu *c, const struct hk_insn *i,
                    uint8_t *env)
{
    const uint32_t words[3] = {c->fpu.cw, hk_x87_status(c), hk_x87_full_tag(c)};
    uint32_t field[4];
    pointer_fields(c, field);
    for (unsigned n = 0; n < 7; n++) {
        uint32_t value = n < 3 ? words[n] | 0xffff0000 : field[n - 3];
        if (i->opsize == 2)
            hk_put_le16(env + 2 * n, (uint16_t)value);
        else
            hk_put_le32(env + 4 * n, value);
    }
}

static void get_env(struct hk_cpu *c, const struct hk_insn *i,
                    const uint8_t *env)
{
    struct hk_fpu *f = &c->fpu;
    uint32_t field[7];
    for (unsigned n = 0; n < 7; n++)
        field[n] = i->opsize == 2 ? hk_get_le16(env + 2 * n)
                                  : hk_get_le32(env + 4 * n);
    f->cw = valid_cw(field[0]);
    hk_x87_set_status(c, (uint16_t)field[1]);
    hk_x87_set_full_tag(c, (uint16_t)field[2]);
    f->fip = field[3];
    f->fdp = field[5];
    if (is_protected(c)) {
        f->fcs = (uint16_t)field[4];
        f->fds = (uint16_t)field[6];
        if (i->opsize != 2)
            f->fop = field[4] >> 16 & 0x7ff;
    } else {
        f->fip = (field[3] & 0xffff) | (field[4] & 0xffff000) << 4;
        f->fop = field[4] & 0x7ff;
        f->fdp = (field[5] & 0xffff) | (field[6] & 0xffff000) << 4;
        f->fcs = f->fds = 0;
    }
}

/* The linear address of an image. Like hardware, looks at the first field,
 * segment and page, and then at the last byte, which shows in CR2. */
static bool image_linear(struct hk_cpu *c, const struct hk_insn *i,
                         uint32_t size, unsigned acc, uint64_t *la)
{
    uint32_t field = i->opsize == 2 ? 2 : 4;
    return hk_insn_linear(c, i, field, acc, la) &&
           hk_mem_probe(c, *la, field, acc) &&
           hk_insn_linear(c, i, size, acc, la) &&
           hk_mem_probe(c, *la + size - 1, 1, acc);
}

static bool fnstenv(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t env[ENV_MAX];
    uint64_t la;
    put_env(c, i, env);
    if (!image_linear(c, i, env_size(i), HK_ACC_WRITE, &la) ||
        !hk_mem_write_bytes(c, la, env, env_size(i), HK_ACC_WRITE))
        return false;
    c->fpu.cw |= HK_X87_EXC;
    hk_x87_update(c);
    return true;
}

static bool fldenv(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t env[ENV_MAX];
    uint64_t la;
    if (!wait_for_exceptions(c) ||
        !image_linear(c, i, env_size(i), HK_ACC_READ, &la) ||
        !hk_mem_read_bytes(c, la, env, env_size(i), HK_ACC_READ))
        return false;
    get_env(c, i, env);
    hk_x87_update(c);
    return true;
}

static bool fnsave(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t image[ENV_MAX + REGS_SIZE];
    const uint32_t env = env_size(i), size = env + REGS_SIZE;
    uint64_t la;
    put_env(c, i, image);
    for (unsigned n = 0; n < 8; n++)
        memcpy(image + env + 10 * n, c->fpu.st[(c->fpu.top + n) & 7], 10);
    if (!image_linear(c, i, size, HK_ACC_WRITE, &la) ||
        !hk_mem_write_bytes(c, la, image, size, HK_ACC_WRITE))
        return false;
    hk_x87_init(c);
    return true;
}

static bool frstor(struct hk_cpu *c, const struct hk_insn *i)
{
    uint8_t image[ENV_MAX + REGS_SIZE];
    const uint32_t env = env_size(i), size = env + REGS_SIZE;
    uint64_t la;
    if (!wait_for_exceptions(c) ||
        !image_linear(c, i, size, HK_ACC_READ, &la) ||
        !hk_mem_read_bytes(c, la, image, size, HK_ACC_READ))
        return false;
    get_env(c, i, image);
    for (unsigned n = 0; n < 8; n++)
        memcpy(c->fpu.st[(c->fpu.top + n) & 7], image + env + 10 * n, 10);
    hk_x87_update(c);
    return true;
}

hk_slow_fn hk_x87_control(unsigned fop)
{
    switch (fop) {
    case 0x3e0:
    case 0x3e1:
    case 0x3e4:
        return no_operation;
    case 0x3e2:
        return fnclex;
    case 0x3e3:
        return fninit;
    case 0x7e0:
        return fnstsw_ax;
    }
    if ((fop & 0xff) >= 0xc0)
        return NULL;
    switch (fop & 0x738) {
    case 0x120:
        return fldenv;
    case 0x128:
        return fldcw;
    case 0x130:
        return fnstenv;
    case 0x138:
        return fnstcw;
    case 0x520:
        return frstor;
    case 0x530:
        return fnsave;
    case 0x538:
        return fnstsw;
    default:
        return NULL;
    }
}
