/*
 * Port input and output: IN, OUT, INS, OUTS.
 *
 * A repeated INS or OUTS keeps RCX, RSI and RDI exact after every element, so
 * that a fault in the middle restarts where it happened. Long runs come back
 * to the run loop now and then, with RIP on the instruction.
 */
#include "cpu/slow_int.h"

enum { REP_BATCH = 256 };

/* The I/O permission bit map of the TSS. */
static bool bitmap_allows(struct hk_cpu *c, uint16_t port, uint32_t size)
{
    uint64_t base, bits;
    unsigned acc = HK_ACC_READ | HK_ACC_SYSTEM;
    bool tss32 = (c->tr.attr & HK_SEG_P) != 0 &&
                 (c->tr.attr & HK_SEG_TYPE) == HK_SYS_TSS_BUSY;
    if (!tss32 || c->tr.limit < 103)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_mem_read(c, c->tr.base + 102, 2, acc, &base))
        return false;
    uint64_t at = base + port / 8;
    if (at + 1 > c->tr.limit)
        return hk_fault_err(c, HK_VEC_GP, 0);
    if (!hk_mem_read(c, c->tr.base + at, 2, acc, &bits))
        return false;
    if ((bits >> (port & 7) & ((1u << size) - 1)) != 0)
        return hk_fault_err(c, HK_VEC_GP, 0);
    return true;
}

static bool may_use(struct hk_cpu *c, uint16_t port, uint32_t size)
{
    bool v86 = (c->sysflags & HK_RF_VM) != 0;
    if ((c->cr0 & HK_CR0_PE) == 0 || (!v86 && c->cpl <= hk_iopl(c)))
        return true;
    return bitmap_allows(c, port, size);
}

static uint64_t port_in(struct hk_cpu *c, uint16_t port, uint32_t size)
{
    uint64_t v;
    HK_OUTSIDE(c, v = c->machine->host.port_read(c->opaque, port, size));
    hk_debug_io(c, port, size);
    return size == 1 ? (uint8_t)v : size == 2 ? (uint16_t)v : (uint32_t)v;
}

static void port_out(struct hk_cpu *c, uint16_t port, uint32_t size,
                     uint64_t value)
{
    HK_OUTSIDE(c, c->machine->host.port_write(c->opaque, port, size, value));
    hk_debug_io(c, port, size);
}

/* Opcode bit 0: not a byte; bit 3: port in DX. */
static uint32_t io_size(const struct hk_insn *i)
{
    return (i->opcode & 1) == 0 ? 1 : i->opsize == 2 ? 2 : 4;
}

static uint16_t io_port(const struct hk_cpu *c, const struct hk_insn *i)
{
    return (uint16_t)((i->opcode & 8) != 0 ? c->r[HK_RDX] : i->imm & 0xff);
}

static struct hk_operand accumulator(uint32_t size)
{
    return (struct hk_operand){
        .kind = HK_OPND_GPR, .reg = HK_RAX, .size = (uint8_t)size};
}

bool hk_slow_in(struct hk_cpu *c, const struct hk_insn *i)
{
    uint32_t size = io_size(i);
    uint16_t port = io_port(c, i);
    struct hk_operand acc = accumulator(size);
    if (!may_use(c, port, size))
        return false;
    hk_reg_set(c, &acc, port_in(c, port, size));
    return true;
}

bool hk_slow_out(struct hk_cpu *c, const struct hk_insn *i)
{
    uint32_t size = io_size(i);
    uint16_t port = io_port(c, i);
    struct hk_operand acc = accumulator(size);
    if (!may_use(c, port, size))
        return false;
    port_out(c, port, size, hk_reg_get(c, &acc));
    return true;
}

/* ---- strings ------------------------------------------------------------ */

static uint64_t addr_mask(const struct hk_insn *i)
{
    return i->addrsize == 8 ? ~0ull : i->addrsize == 4 ? 0xffffffff : 0xffff;
}

static void reg_write(struct hk_cpu *c, const struct hk_insn *i, unsigned reg,
                      uint64_t value)
{
    struct hk_operand o = {
        .kind = HK_OPND_GPR, .reg = (uint8_t)reg, .size = i->addrsize};
    hk_reg_set(c, &o, value);
}

static void advance(struct hk_cpu *c, const struct hk_insn *i, unsigned reg,
                    uint32_t size)
{
    bool down = (c->sysflags & HK_RF_DF) != 0;
    reg_write(c, i, reg, down ? c->r[reg] - size : c->r[reg] + size);
}

static bool ins_one(struct hk_cpu *c, const struct hk_insn *i, uint32_t size)
{
    uint16_t port = (uint16_t)c->r[HK_RDX];
    uint64_t off = c->r[HK_RDI] & addr_mask(i);
    uint64_t la;
    if (!may_use(c, port, size) ||
        !hk_seg_linear(c, HK_SEG_ES, off, size, HK_ACC_WRITE, &la) ||
        !hk_mem_probe(c, la, size, HK_ACC_WRITE) ||
        !hk_mem_write(c, la, size, HK_ACC_WRITE, port_in(c, port, size)))
        return false;
    advance(c, i, HK_RDI, size);
    return true;
}

static bool outs_one(struct hk_cpu *c, const struct hk_insn *i, uint32_t size)
{
    uint16_t port = (uint16_t)c->r[HK_RDX];
    uint64_t off = c->r[HK_RSI] & addr_mask(i);
    uint64_t la, value;
    if (!may_use(c, port, size) ||
        !hk_seg_linear(c, i->seg, off, size, HK_ACC_READ, &la) ||
        !hk_mem_read(c, la, size, HK_ACC_READ, &value))
        return false;
    port_out(c, port, size, value);
    advance(c, i, HK_RSI, size);
    return true;
}

typedef bool (*element_fn)(struct hk_cpu *c, const struct hk_insn *i,
                           uint32_t size);

static bool repeat(struct hk_cpu *c, const struct hk_insn *i, element_fn one)
{
    uint32_t size = io_size(i);
    uint64_t next = c->rip;
    bool single = (c->mode & HK_MODE_STEP) != 0;
    unsigned batch = single ? 1 : REP_BATCH;
    if (i->rep == 0)
        return one(c, i, size);
    if (!may_use(c, (uint16_t)c->r[HK_RDX], size)) /* even for no element */
        return false;
    while ((c->r[HK_RCX] & addr_mask(i)) != 0) {
        if (batch-- == 0) {
            c->rip = next - i->len;
            return true;
        }
        if (!one(c, i, size))
            return false;
        reg_write(c, i, HK_RCX, c->r[HK_RCX] - 1);
    }
    return true;
}

bool hk_slow_ins(struct hk_cpu *c, const struct hk_insn *i)
{
    return repeat(c, i, ins_one);
}

bool hk_slow_outs(struct hk_cpu *c, const struct hk_insn *i)
{
    return repeat(c, i, outs_one);
}
