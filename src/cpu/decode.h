/*
 * The x86 instruction decoder: bytes in, a value out. Executes nothing, reads
 * nothing but the bytes given, keeps no state; any thread.
 *
 * Sources: Intel SDM volume 2, chapter 2 and appendix A; AMD APM volume 3.
 */
#ifndef HK_CPU_DECODE_H
#define HK_CPU_DECODE_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HK_INSN_MAX_LEN = 15 };

enum hk_op {
#define X(op, emitter) HK_OP_##op,
#include "cpu/ops.def"
#undef X
    HK_OP_COUNT
};

enum hk_code_size { HK_CODE16, HK_CODE32, HK_CODE64 };

enum hk_seg_index {
    HK_SEG_ES,
    HK_SEG_CS,
    HK_SEG_SS,
    HK_SEG_DS,
    HK_SEG_FS,
    HK_SEG_GS,
    HK_SEG_COUNT
};

/* Base and index are GPR numbers 0-15, or these. */
enum { HK_REG_NONE = 16, HK_REG_RIP = 17 };

enum hk_opnd_kind {
    HK_OPND_NONE,
    HK_OPND_GPR,   /* reg 0-15, the low `size` bytes */
    HK_OPND_GPR8H, /* reg 0-3: AH, CH, DH, BH */
    HK_OPND_MEM,   /* the memory operand below, `size` bytes */
    HK_OPND_IMM,   /* imm */
    HK_OPND_SREG,  /* reg = enum hk_seg_index */
    HK_OPND_CR,
    HK_OPND_DR,
    HK_OPND_XMM, /* by form, see sse.h */
    HK_OPND_MM,
};

struct hk_operand {
    uint8_t kind; /* enum hk_opnd_kind */
    uint8_t reg;
    uint8_t size; /* bytes; 0 where it has no data size (LEA's memory) */
};

struct hk_sse_form;

struct hk_insn {
    uint16_t op;       /* enum hk_op */
    uint8_t len;       /* 1 to 15 */
    uint8_t code_size; /* enum hk_code_size it was decoded for */

    /* Operands in Intel order: destination first. */
    struct hk_operand opnd[4];
    uint8_t cc; /* condition of JCC, SETCC, CMOV: 0 to 15 */

    uint8_t opsize;   /* effective operand size, bytes: 1, 2, 4, 8 */
    uint8_t addrsize; /* effective address size, bytes: 2, 4, 8 */
    uint8_t rep;      /* 0, 0xf2 or 0xf3: the last such prefix */
    bool lock;        /* legal LOCK prefix (illegal ones decode to UD) */
    bool opsize_prefix;
    bool is_mem; /* the ModRM or moffs operand is memory */

    /* Memory operand: seg:[base + index << scale + disp]. For HK_REG_RIP the
     * base is the address of the next instruction. */
    uint8_t seg; /* enum hk_seg_index, override and defaults applied */
    uint8_t base, index, scale;
    int64_t disp;

    /* Immediate, sign extended to 64 bits where the instruction says so. For
     * relative branches the displacement; for far pointers the offset. */
    uint64_t imm;
    uint16_t imm2; /* ENTER's level, a far pointer's selector */

    /* Raw fields, for families that decode further (x87, SSE). */
    uint8_t map; /* 0 one byte, 1 0f, 2 0f38, 3 0f3a */
    uint8_t opcode, modrm;
    uint8_t rex; /* 0x40-0x4f or 0 (VEX fields are folded in) */
    bool vex;
    uint8_t vex_l, vvvv;
    uint8_t reg, rm; /* ModRM fields with REX bits; rm only if !is_mem */

    const struct hk_sse_form *sse; /* only for HK_OP_SSE */
};

enum {
    HK_DECODE_MORE = -1,     /* the bytes end inside the instruction */
    HK_DECODE_TOO_LONG = -2, /* over 15 bytes: #GP(0) */
};

/*
 * Decodes the instruction at `bytes`, of which `avail` may be read. Returns
 * its length; an undefined one gives op HK_OP_UD and the bytes looked at.
 */
int hk_decode(const uint8_t *bytes, size_t avail, enum hk_code_size size,
              struct hk_insn *out) HK_MUST_CHECK;

/* Name of an operation, for logs and tests; static storage. */
const char *hk_op_name(enum hk_op op);

#endif
