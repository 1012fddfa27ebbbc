/*
 * Private to the decoder: how its opcode tables are written.
 *
 * An entry is a leaf (an operation and how its operands are encoded) or a
 * fork that picks one of several entries by a field of the instruction. An
 * all-zero entry is an undefined opcode.
 */
#ifndef HK_CPU_DECODE_INT_H
#define HK_CPU_DECODE_INT_H

#include "cpu/decode.h"

enum hk_dec_kind {
    HK_DEC_LEAF,
    HK_DEC_BY_REG,    /* 8 entries, ModRM.reg */
    HK_DEC_BY_RM,     /* 8 entries, ModRM.rm */
    HK_DEC_BY_MOD,    /* 2 entries: memory, register */
    HK_DEC_BY_PREFIX, /* 4 entries: none, 66, F3, F2 */
    HK_DEC_BY_MODE,   /* 2 entries: 16/32-bit, 64-bit */
};

/* Flags of a leaf. */
enum {
    HK_DEC_MODRM = 1 << 0,    /* a ModRM byte follows */
    HK_DEC_BYTE = 1 << 1,     /* operand size 1 */
    HK_DEC_NO64 = 1 << 2,     /* undefined in 64-bit mode */
    HK_DEC_ONLY64 = 1 << 3,   /* undefined elsewhere */
    HK_DEC_DEF64 = 1 << 4,    /* 64-bit mode: size 8, or 2 by prefix */
    HK_DEC_FORCE64 = 1 << 5,  /* 64-bit mode: size 8 always */
    HK_DEC_LOCK = 1 << 6,     /* LOCK is legal on a memory destination */
    HK_DEC_MEM = 1 << 7,      /* undefined with a register operand */
    HK_DEC_REG = 1 << 8,      /* undefined with a memory operand */
    HK_DEC_ANYMOD = 1 << 9,   /* ModRM.mod ignored: always a register */
    HK_DEC_MAX32 = 1 << 10,   /* REX.W does not widen */
    HK_DEC_COND = 1 << 11,    /* the opcode's low 4 bits are a condition */
    HK_DEC_TO_ES = 1 << 12,   /* the implied operand is ES:(E)DI */
    HK_DEC_NO_VVVV = 1 << 13, /* VEX.vvvv must be unused */
};

/* Where an operand comes from. */
enum hk_dec_where {
    HK_DEC_W_NONE,
    HK_DEC_W_E,     /* ModRM.rm: register or memory */
    HK_DEC_W_G,     /* ModRM.reg: general register */
    HK_DEC_W_Z,     /* register in the opcode's low 3 bits */
    HK_DEC_W_FIXED, /* the register `arg` */
    HK_DEC_W_VVVV,  /* VEX.vvvv */
    HK_DEC_W_SREG,  /* ModRM.reg: segment register */
    HK_DEC_W_OSREG, /* segment register in the opcode's bits 3 to 5 */
    HK_DEC_W_CR,
    HK_DEC_W_DR,
    HK_DEC_W_IMM,  /* `arg` says how many bytes, see below */
    HK_DEC_W_ONE,  /* the constant 1 */
    HK_DEC_W_FAR,  /* offset in the code, selector after it */
    HK_DEC_W_OFFS, /* memory at an absolute offset in the code */
};

/* How large an operand is. */
enum hk_dec_size {
    HK_DEC_S_0, /* no data size */
    HK_DEC_S_1,
    HK_DEC_S_2,
    HK_DEC_S_4,
    HK_DEC_S_8,
    HK_DEC_S_16,
    HK_DEC_S_V,    /* operand size */
    HK_DEC_S_Z,    /* operand size, at most 4 */
    HK_DEC_S_Y,    /* 8 with REX.W, else 4 */
    HK_DEC_S_2Y,   /* twice that */
    HK_DEC_S_2V,   /* twice the operand size */
    HK_DEC_S_FARP, /* operand size and a selector */
    HK_DEC_S_MODE, /* 8 in 64-bit mode, else 4 */
    HK_DEC_S_DESC, /* a descriptor table pointer: 10 or 6 */
    HK_DEC_S_VM2,  /* register: operand size; memory: 2 */
};

/* `arg` of HK_DEC_W_IMM. */
enum hk_dec_imm {
    HK_DEC_I_U8,
    HK_DEC_I_S8,
    HK_DEC_I_U16,
    HK_DEC_I_Z, /* 2 or 4 bytes by operand size, sign extended */
    HK_DEC_I_V, /* 2, 4 or 8 bytes by operand size */
};

/* clang-format off */
/* Operand encodings, named after the tables of the SDM's appendix A. */
enum hk_dec_enc {
    NO, /* none */
    Eb, Ew, Ez, Ey, Ev, Ec, EvMw, /* Ec: as wide as the mode */
    M0, Mb, Md, Mp, Ma, M2y, Mdq, Ms,
    Gb, Gw, Gv, Gy, Gc,
    Zb, Zv,
    AL, AX, CL, DX, By,
    Sw, So, Cd, Dd,
    Ib, Is, Iw, Iz, Iv, Jb, Jz, I1, Ap, Ob, Ov,
    HK_DEC_ENC_COUNT
};
/* clang-format on */

struct hk_dec_operand {
    uint8_t where, size, arg; /* enum hk_dec_where, hk_dec_size, see above */
};

struct hk_dec_entry {
    const struct hk_dec_entry *sub; /* of a fork */
    uint16_t op;                    /* of a leaf: enum hk_op */
    uint16_t flags;
    uint8_t enc[3]; /* enum hk_dec_enc */
    uint8_t kind;   /* enum hk_dec_kind */
};

/* What a byte is before the opcode. */
enum hk_dec_prefix {
    HK_DEC_P_NONE,
    HK_DEC_P_SEG, /* up to HK_DEC_P_SEG + HK_SEG_GS */
    HK_DEC_P_66 = HK_DEC_P_SEG + HK_SEG_COUNT,
    HK_DEC_P_67,
    HK_DEC_P_LOCK,
    HK_DEC_P_REP,
    HK_DEC_P_REX, /* in 64-bit mode */
};

extern const uint8_t hk_dec_prefixes[256];
extern const struct hk_dec_operand hk_dec_operands[HK_DEC_ENC_COUNT];
extern const struct hk_dec_entry hk_dec_one[256]; /* the one-byte map */
extern const struct hk_dec_entry hk_dec_0f[256];
extern const struct hk_dec_entry hk_dec_0f38[256];
extern const struct hk_dec_entry hk_dec_0f3a[256];

/* The entry of a VEX opcode; `map` as in struct hk_insn. Never NULL. */
const struct hk_dec_entry *hk_dec_vex(unsigned map, unsigned opcode);

#endif
