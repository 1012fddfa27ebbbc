/*
 * Private to the x87 files.
 */
#ifndef HK_CPU_X87_INT_H
#define HK_CPU_X87_INT_H

#include "cpu/sse_int.h"

/*
 * How x87 uops use their fields: `dst` holds the opcode as FOP does (low
 * three bits of the opcode byte, then ModRM), `src` what the handler wants,
 * `imm` a host routine.
 */
HK_INLINE uint16_t hk_x87_fop(const struct hk_insn *i)
{
    return (uint16_t)((i->opcode & 7) << 8 | i->modrm);
}

/* The bytes of a memory operand: negative if written, 0 if the opcode has
 * none or is a control instruction. */
int hk_x87_mem_size(unsigned fop);

/*
 * Runs the instruction on the host with the whole guest state loaded, so that
 * stack faults, unmasked exceptions and all flags come out as the hardware
 * has them. About 100 ns. This is also a uop handler.
 */
struct hk_uop *hk_x87_exact(struct hk_cpu *c, struct hk_uop *u);

/* Stores 80 bits as hosts do, in two parts: the second may fault after the
 * first was written. */
bool hk_x87_store10(struct hk_cpu *c, uint64_t la, const void *from);

/* The control instruction for this opcode, or NULL. */
hk_slow_fn hk_x87_control(unsigned fop);

/* The instruction pointer, which every instruction but control ones sets. */
HK_INLINE void hk_x87_note(struct hk_cpu *c, const struct hk_uop *u)
{
    c->fpu.fip = c->r[HK_SLOT_RIP] + u->start;
}

#endif
