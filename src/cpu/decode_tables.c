/*
 * The opcode maps. Sources: Intel SDM volume 2, appendix A and the pages of
 * the instructions; AMD APM volume 3, appendix A.
 *
 * Opcodes of the MMX and SSE families carry the operation SSE here and are
 * looked up in the list of forms (sse.h).
 */
#include "cpu/decode_int.h"

/* clang-format off */

/* Leaves: operation, three operands, flags. M has a ModRM byte. */
#define L(o, a, b, c, f) \
    {.op = HK_OP_##o, .enc = {a, b, c}, .flags = (f)}
#define M(o, a, b, c, f) \
    {.op = HK_OP_##o, .enc = {a, b, c}, .flags = (f) | HK_DEC_MODRM}
#define FORK(by, table) {.kind = HK_DEC_BY_##by, .sub = (table)}
#define UD {.op = HK_OP_UD}

#define BY HK_DEC_BYTE
#define N64 HK_DEC_NO64
#define O64 HK_DEC_ONLY64
#define D64 HK_DEC_DEF64
#define F64 HK_DEC_FORCE64
#define LK HK_DEC_LOCK
#define MEM HK_DEC_MEM
#define REG HK_DEC_REG
#define M32 HK_DEC_MAX32
#define CC HK_DEC_COND
#define TES HK_DEC_TO_ES

typedef struct hk_dec_entry entry;

const uint8_t hk_dec_prefixes[256] = {
    [0x26] = HK_DEC_P_SEG + HK_SEG_ES, [0x2e] = HK_DEC_P_SEG + HK_SEG_CS,
    [0x36] = HK_DEC_P_SEG + HK_SEG_SS, [0x3e] = HK_DEC_P_SEG + HK_SEG_DS,
    [0x64] = HK_DEC_P_SEG + HK_SEG_FS, [0x65] = HK_DEC_P_SEG + HK_SEG_GS,
    [0x66] = HK_DEC_P_66, [0x67] = HK_DEC_P_67, [0xf0] = HK_DEC_P_LOCK,
    [0xf2] = HK_DEC_P_REP, [0xf3] = HK_DEC_P_REP,
    [0x40] = HK_DEC_P_REX, [0x41] = HK_DEC_P_REX, [0x42] = HK_DEC_P_REX,
    [0x43] = HK_DEC_P_REX, [0x44] = HK_DEC_P_REX, [0x45] = HK_DEC_P_REX,
    [0x46] = HK_DEC_P_REX, [0x47] = HK_DEC_P_REX, [0x48] = HK_DEC_P_REX,
    [0x49] = HK_DEC_P_REX, [0x4a] = HK_DEC_P_REX, [0x4b] = HK_DEC_P_REX,
    [0x4c] = HK_DEC_P_REX, [0x4d] = HK_DEC_P_REX, [0x4e] = HK_DEC_P_REX,
    [0x4f] = HK_DEC_P_REX,
};

#define O(where, size, arg) {HK_DEC_W_##where, HK_DEC_S_##size, arg}
const struct hk_dec_operand hk_dec_operands[HK_DEC_ENC_COUNT] = {
    [Eb] = O(E, 1, 0), [Ew] = O(E, 2, 0), [Ez] = O(E, Z, 0),
    [Ey] = O(E, Y, 0), [Ev] = O(E, V, 0), [Ec] = O(E, MODE, 0),
    [EvMw] = O(E, VM2, 0),
    [M0] = O(E, 0, 0), [Mb] = O(E, 1, 0), [Md] = O(E, 4, 0),
    [Mp] = O(E, FARP, 0), [Ma] = O(E, 2V, 0), [M2y] = O(E, 2Y, 0),
    [Mdq] = O(E, 16, 0), [Ms] = O(E, DESC, 0),
    [Gb] = O(G, 1, 0), [Gw] = O(G, 2, 0), [Gv] = O(G, V, 0),
    [Gy] = O(G, Y, 0), [Gc] = O(G, MODE, 0),
    [Zb] = O(Z, 1, 0), [Zv] = O(Z, V, 0),
    [AL] = O(FIXED, 1, 0), [AX] = O(FIXED, V, 0), [CL] = O(FIXED, 1, 1),
    [DX] = O(FIXED, 2, 2), [By] = O(VVVV, Y, 0),
    [Sw] = O(SREG, 2, 0), [So] = O(OSREG, 2, 0),
    [Cd] = O(CR, MODE, 0), [Dd] = O(DR, MODE, 0),
    [Ib] = O(IMM, 1, HK_DEC_I_U8), [Is] = O(IMM, V, HK_DEC_I_S8),
    [Iw] = O(IMM, 2, HK_DEC_I_U16), [Iz] = O(IMM, V, HK_DEC_I_Z),
    [Iv] = O(IMM, V, HK_DEC_I_V), [Jb] = O(IMM, V, HK_DEC_I_S8),
    [Jz] = O(IMM, V, HK_DEC_I_Z), [I1] = O(ONE, 1, 0),
    [Ap] = O(FAR, V, 0), [Ob] = O(OFFS, 1, 0), [Ov] = O(OFFS, V, 0),
};
#undef O

/* Immediate arithmetic, shifts: the same eight rows, other operands. */
#define ARITH(a, b, f) { \
    M(ADD, a, b, NO, LK | (f)), M(OR, a, b, NO, LK | (f)), \
    M(ADC, a, b, NO, LK | (f)), M(SBB, a, b, NO, LK | (f)), \
    M(AND, a, b, NO, LK | (f)), M(SUB, a, b, NO, LK | (f)), \
    M(XOR, a, b, NO, LK | (f)), M(CMP, a, b, NO, f)}
static const entry grp1_80[8] = ARITH(Eb, Ib, BY);
static const entry grp1_81[8] = ARITH(Ev, Iz, 0);
static const entry grp1_82[8] = ARITH(Eb, Ib, BY | N64);
static const entry grp1_83[8] = ARITH(Ev, Is, 0);

#define SHIFTS(a, b, f) { \
    M(ROL, a, b, NO, f), M(ROR, a, b, NO, f), M(RCL, a, b, NO, f), \
    M(RCR, a, b, NO, f), M(SHL, a, b, NO, f), M(SHR, a, b, NO, f), \
    M(SHL, a, b, NO, f), M(SAR, a, b, NO, f)}
static const entry grp2_c0[8] = SHIFTS(Eb, Ib, BY);
static const entry grp2_c1[8] = SHIFTS(Ev, Ib, 0);
static const entry grp2_d0[8] = SHIFTS(Eb, I1, BY);
static const entry grp2_d1[8] = SHIFTS(Ev, I1, 0);
static const entry grp2_d2[8] = SHIFTS(Eb, CL, BY);
static const entry grp2_d3[8] = SHIFTS(Ev, CL, 0);

static const entry grp1a_8f[8] = {M(POP, Ev, NO, NO, D64)};

#define UNARY(e, i, f) { \
    M(TEST, e, i, NO, f), M(TEST, e, i, NO, f), M(NOT, e, NO, NO, LK | (f)), \
    M(NEG, e, NO, NO, LK | (f)), M(MUL, e, NO, NO, f), \
    M(IMUL1, e, NO, NO, f), M(DIV, e, NO, NO, f), M(IDIV, e, NO, NO, f)}
static const entry grp3_f6[8] = UNARY(Eb, Ib, BY);
static const entry grp3_f7[8] = UNARY(Ev, Iz, 0);

static const entry grp4_fe[8] = {
    M(INC, Eb, NO, NO, LK | BY), M(DEC, Eb, NO, NO, LK | BY),
};
static const entry grp5_ff[8] = {
    M(INC, Ev, NO, NO, LK), M(DEC, Ev, NO, NO, LK),
    M(CALL_IND, Ev, NO, NO, F64), M(CALL_FAR, Mp, NO, NO, MEM),
    M(JMP_IND, Ev, NO, NO, F64), M(JMP_FAR, Mp, NO, NO, MEM),
    M(PUSH, Ev, NO, NO, D64), UD,
};
static const entry grp11_c6[8] = {M(MOV, Eb, Ib, NO, BY)};
static const entry grp11_c7[8] = {M(MOV, Ev, Iz, NO, 0)};

static const entry op_63[2] = {
    M(ARPL, Ew, Gw, NO, 0), M(MOVSX, Gv, Ez, NO, 0),
};
#define X87 M(X87, NO, NO, NO, 0)

#define ALU(row, o, f) \
    [row] = M(o, Eb, Gb, NO, BY | (f)), [row + 1] = M(o, Ev, Gv, NO, f), \
    [row + 2] = M(o, Gb, Eb, NO, BY), [row + 3] = M(o, Gv, Ev, NO, 0), \
    [row + 4] = L(o, AL, Ib, NO, BY), [row + 5] = L(o, AX, Iz, NO, 0)
#define X8(row, ...) \
    [row] = __VA_ARGS__, [row + 1] = __VA_ARGS__, [row + 2] = __VA_ARGS__, \
    [row + 3] = __VA_ARGS__, [row + 4] = __VA_ARGS__, \
    [row + 5] = __VA_ARGS__, [row + 6] = __VA_ARGS__, [row + 7] = __VA_ARGS__
#define X16(row, ...) X8(row, __VA_ARGS__), X8(row + 8, __VA_ARGS__)

const struct hk_dec_entry hk_dec_one[256] = {
    ALU(0x00, ADD, LK), ALU(0x08, OR, LK), ALU(0x10, ADC, LK),
    ALU(0x18, SBB, LK), ALU(0x20, AND, LK), ALU(0x28, SUB, LK),
    ALU(0x30, XOR, LK), ALU(0x38, CMP, 0),
    [0x06] = L(PUSH_SREG, So, NO, NO, N64),
    [0x07] = L(POP_SREG, So, NO, NO, N64),
    [0x0e] = L(PUSH_SREG, So, NO, NO, N64),
    [0x16] = L(PUSH_SREG, So, NO, NO, N64),
    [0x17] = L(POP_SREG, So, NO, NO, N64),
    [0x1e] = L(PUSH_SREG, So, NO, NO, N64),
    [0x1f] = L(POP_SREG, So, NO, NO, N64),
    [0x27] = L(DAA, NO, NO, NO, N64), [0x2f] = L(DAS, NO, NO, NO, N64),
    [0x37] = L(AAA, NO, NO, NO, N64), [0x3f] = L(AAS, NO, NO, NO, N64),
    X8(0x40, L(INC, Zv, NO, NO, N64)), X8(0x48, L(DEC, Zv, NO, NO, N64)),
    X8(0x50, L(PUSH, Zv, NO, NO, D64)), X8(0x58, L(POP, Zv, NO, NO, D64)),
    [0x60] = L(PUSHA, NO, NO, NO, N64), [0x61] = L(POPA, NO, NO, NO, N64),
    /* The register form in the other modes is EVEX, as all of 64-bit mode. */
    [0x62] = M(BOUND, Gv, Ma, NO, MEM | N64), [0x63] = FORK(MODE, op_63),
    [0x68] = L(PUSH, Iz, NO, NO, D64), [0x69] = M(IMUL, Gv, Ev, Iz, 0),
    [0x6a] = L(PUSH, Is, NO, NO, D64), [0x6b] = M(IMUL, Gv, Ev, Is, 0),
    [0x6c] = L(INS, NO, NO, NO, BY | TES),
    [0x6d] = L(INS, NO, NO, NO, M32 | TES),
    [0x6e] = L(OUTS, NO, NO, NO, BY), [0x6f] = L(OUTS, NO, NO, NO, M32),
    X16(0x70, L(JCC, Jb, NO, NO, F64 | CC)),
    [0x80] = FORK(REG, grp1_80), [0x81] = FORK(REG, grp1_81),
    [0x82] = FORK(REG, grp1_82), [0x83] = FORK(REG, grp1_83),
    [0x84] = M(TEST, Eb, Gb, NO, BY), [0x85] = M(TEST, Ev, Gv, NO, 0),
    [0x86] = M(XCHG, Eb, Gb, NO, BY | LK), [0x87] = M(XCHG, Ev, Gv, NO, LK),
    [0x88] = M(MOV, Eb, Gb, NO, BY), [0x89] = M(MOV, Ev, Gv, NO, 0),
    [0x8a] = M(MOV, Gb, Eb, NO, BY), [0x8b] = M(MOV, Gv, Ev, NO, 0),
    [0x8c] = M(MOV_FROM_SREG, EvMw, Sw, NO, 0),
    [0x8d] = M(LEA, Gv, M0, NO, MEM),
    [0x8e] = M(MOV_TO_SREG, Sw, Ew, NO, 0), [0x8f] = FORK(REG, grp1a_8f),
    X8(0x90, L(XCHG, Zv, AX, NO, 0)), /* 90 becomes NOP or PAUSE */
    [0x98] = L(CBW, NO, NO, NO, 0), [0x99] = L(CWD, NO, NO, NO, 0),
    [0x9a] = L(CALL_FAR, Ap, NO, NO, N64), [0x9b] = L(FWAIT, NO, NO, NO, 0),
    [0x9c] = L(PUSHF, NO, NO, NO, D64), [0x9d] = L(POPF, NO, NO, NO, D64),
    [0x9e] = L(SAHF, NO, NO, NO, 0), [0x9f] = L(LAHF, NO, NO, NO, 0),
    [0xa0] = L(MOV, AL, Ob, NO, BY), [0xa1] = L(MOV, AX, Ov, NO, 0),
    [0xa2] = L(MOV, Ob, AL, NO, BY), [0xa3] = L(MOV, Ov, AX, NO, 0),
    [0xa4] = L(MOVS, NO, NO, NO, BY), [0xa5] = L(MOVS, NO, NO, NO, 0),
    [0xa6] = L(CMPS, NO, NO, NO, BY), [0xa7] = L(CMPS, NO, NO, NO, 0),
    [0xa8] = L(TEST, AL, Ib, NO, BY), [0xa9] = L(TEST, AX, Iz, NO, 0),
    [0xaa] = L(STOS, NO, NO, NO, BY | TES), [0xab] = L(STOS, NO, NO, NO, TES),
    [0xac] = L(LODS, NO, NO, NO, BY), [0xad] = L(LODS, NO, NO, NO, 0),
    [0xae] = L(SCAS, NO, NO, NO, BY | TES), [0xaf] = L(SCAS, NO, NO, NO, TES),
    X8(0xb0, L(MOV, Zb, Ib, NO, BY)), X8(0xb8, L(MOV, Zv, Iv, NO, 0)),
    [0xc0] = FORK(REG, grp2_c0), [0xc1] = FORK(REG, grp2_c1),
    [0xc2] = L(RET, Iw, NO, NO, F64), [0xc3] = L(RET, NO, NO, NO, F64),
    [0xc4] = M(LES, Gv, Mp, NO, MEM | N64), /* else VEX */
    [0xc5] = M(LDS, Gv, Mp, NO, MEM | N64),
    [0xc6] = FORK(REG, grp11_c6), [0xc7] = FORK(REG, grp11_c7),
    [0xc8] = L(ENTER, Iw, Ib, NO, D64), [0xc9] = L(LEAVE, NO, NO, NO, D64),
    [0xca] = L(RET_FAR, Iw, NO, NO, 0), [0xcb] = L(RET_FAR, NO, NO, NO, 0),
    [0xcc] = L(INT3, NO, NO, NO, 0), [0xcd] = L(INT, Ib, NO, NO, 0),
    [0xce] = L(INTO, NO, NO, NO, N64), [0xcf] = L(IRET, NO, NO, NO, 0),
    [0xd0] = FORK(REG, grp2_d0), [0xd1] = FORK(REG, grp2_d1),
    [0xd2] = FORK(REG, grp2_d2), [0xd3] = FORK(REG, grp2_d3),
    [0xd4] = L(AAM, Ib, NO, NO, N64), [0xd5] = L(AAD, Ib, NO, NO, N64),
    [0xd6] = L(SALC, NO, NO, NO, N64), [0xd7] = L(XLAT, NO, NO, NO, BY),
    X8(0xd8, X87),
    [0xe0] = L(LOOPNE, Jb, NO, NO, F64), [0xe1] = L(LOOPE, Jb, NO, NO, F64),
    [0xe2] = L(LOOP, Jb, NO, NO, F64), [0xe3] = L(JCXZ, Jb, NO, NO, F64),
    [0xe4] = L(IN, AL, Ib, NO, BY), [0xe5] = L(IN, AX, Ib, NO, M32),
    [0xe6] = L(OUT, Ib, AL, NO, BY), [0xe7] = L(OUT, Ib, AX, NO, M32),
    [0xe8] = L(CALL, Jz, NO, NO, F64), [0xe9] = L(JMP, Jz, NO, NO, F64),
    [0xea] = L(JMP_FAR, Ap, NO, NO, N64), [0xeb] = L(JMP, Jb, NO, NO, F64),
    [0xec] = L(IN, AL, DX, NO, BY), [0xed] = L(IN, AX, DX, NO, M32),
    [0xee] = L(OUT, DX, AL, NO, BY), [0xef] = L(OUT, DX, AX, NO, M32),
    [0xf1] = L(INT1, NO, NO, NO, 0), [0xf4] = L(HLT, NO, NO, NO, 0),
    [0xf5] = L(CMC, NO, NO, NO, 0), [0xf6] = FORK(REG, grp3_f6),
    [0xf7] = FORK(REG, grp3_f7), [0xf8] = L(CLC, NO, NO, NO, 0),
    [0xf9] = L(STC, NO, NO, NO, 0), [0xfa] = L(CLI, NO, NO, NO, 0),
    [0xfb] = L(STI, NO, NO, NO, 0), [0xfc] = L(CLD, NO, NO, NO, 0),
    [0xfd] = L(STD, NO, NO, NO, 0), [0xfe] = FORK(REG, grp4_fe),
    [0xff] = FORK(REG, grp5_ff),
};

static const entry grp6_00[8] = {
    M(SLDT, EvMw, NO, NO, 0), M(STR, EvMw, NO, NO, 0),
    M(LLDT, Ew, NO, NO, 0), M(LTR, Ew, NO, NO, 0),
    M(VERR, Ew, NO, NO, 0), M(VERW, Ew, NO, NO, 0), UD, UD,
};

/* 0F 01: memory forms by reg, register forms by reg, then rm and prefix. */
static const entry vmcall[4] = {M(VMCALL, NO, NO, NO, 0)};
static const entry vmmcall[4] = {M(VMCALL, NO, NO, NO, 0)};
static const entry clac[4] = {M(CLAC, NO, NO, NO, 0)};
static const entry stac[4] = {M(STAC, NO, NO, NO, 0)};
static const entry xgetbv[4] = {M(XGETBV, NO, NO, NO, 0)};
static const entry xsetbv[4] = {M(XSETBV, NO, NO, NO, 0)};
static const entry reg_01_0[8] = {[1] = FORK(PREFIX, vmcall)};
static const entry reg_01_1[8] = {
    [2] = FORK(PREFIX, clac), [3] = FORK(PREFIX, stac),
};
static const entry reg_01_2[8] = {
    [0] = FORK(PREFIX, xgetbv), [1] = FORK(PREFIX, xsetbv),
};
static const entry reg_01_3[8] = {[1] = FORK(PREFIX, vmmcall)};
static const entry rdpkru[4] = {M(RDPKRU, NO, NO, NO, 0)};
static const entry wrpkru[4] = {M(WRPKRU, NO, NO, NO, 0)};
static const entry reg_01_5[8] = {
    [6] = FORK(PREFIX, rdpkru), [7] = FORK(PREFIX, wrpkru),
};
static const entry reg_01_7[8] = {
    [0] = M(SWAPGS, NO, NO, NO, O64), [1] = M(RDTSCP, NO, NO, NO, 0),
};
#define BY_MOD(name, mem, reg) static const entry name[2] = {mem, reg}
BY_MOD(op_01_0, M(SGDT, Ms, NO, NO, F64), FORK(RM, reg_01_0));
BY_MOD(op_01_1, M(SIDT, Ms, NO, NO, F64), FORK(RM, reg_01_1));
BY_MOD(op_01_2, M(LGDT, Ms, NO, NO, F64), FORK(RM, reg_01_2));
BY_MOD(op_01_3, M(LIDT, Ms, NO, NO, F64), FORK(RM, reg_01_3));
BY_MOD(op_01_5, UD, FORK(RM, reg_01_5));
BY_MOD(op_01_7, M(INVLPG, M0, NO, NO, 0), FORK(RM, reg_01_7));
static const entry grp7_01[8] = {
    FORK(MOD, op_01_0), FORK(MOD, op_01_1), FORK(MOD, op_01_2),
    FORK(MOD, op_01_3), M(SMSW, EvMw, NO, NO, 0), FORK(MOD, op_01_5),
    M(LMSW, Ew, NO, NO, 0), FORK(MOD, op_01_7),
};

#define HINT(o) M(o, NO, NO, NO, 0)
BY_MOD(op_0d, HINT(PREFETCH), HINT(NOP));

static const entry grp8_ba[8] = {
    UD, UD, UD, UD, M(BT, Ev, Ib, NO, 0), M(BTS, Ev, Ib, NO, LK),
    M(BTR, Ev, Ib, NO, LK), M(BTC, Ev, Ib, NO, LK),
};

/* 0F AE: by mod, then reg, then prefix. */
static const entry fxsave[4] = {M(FXSAVE, M0, NO, NO, 0)};
static const entry fxrstor[4] = {M(FXRSTOR, M0, NO, NO, 0)};
static const entry ldmxcsr[4] = {M(LDMXCSR, Md, NO, NO, 0)};
static const entry stmxcsr[4] = {M(STMXCSR, Md, NO, NO, 0)};
static const entry xsave[4] = {M(XSAVE, M0, NO, NO, 0)};
static const entry xrstor[4] = {M(XRSTOR, M0, NO, NO, 0)};
static const entry xsaveopt[4] = {
    M(XSAVEOPT, M0, NO, NO, 0), M(CLFLUSH, Mb, NO, NO, 0) /* CLWB */,
};
static const entry clflush[4] = {
    M(CLFLUSH, Mb, NO, NO, 0), M(CLFLUSH, Mb, NO, NO, 0), /* CLFLUSHOPT */
};
static const entry mem_ae[8] = {
    FORK(PREFIX, fxsave), FORK(PREFIX, fxrstor), FORK(PREFIX, ldmxcsr),
    FORK(PREFIX, stmxcsr), FORK(PREFIX, xsave), FORK(PREFIX, xrstor),
    FORK(PREFIX, xsaveopt), FORK(PREFIX, clflush),
};
static const entry rdfsbase[4] = {[2] = M(RDFSBASE, Ey, NO, NO, O64)};
static const entry rdgsbase[4] = {[2] = M(RDGSBASE, Ey, NO, NO, O64)};
static const entry wrfsbase[4] = {[2] = M(WRFSBASE, Ey, NO, NO, O64)};
static const entry wrgsbase[4] = {[2] = M(WRGSBASE, Ey, NO, NO, O64)};
static const entry lfence[4] = {M(LFENCE, NO, NO, NO, 0)};
static const entry mfence[4] = {M(MFENCE, NO, NO, NO, 0)};
static const entry sfence[4] = {M(SFENCE, NO, NO, NO, 0)};
static const entry reg_ae[8] = {
    FORK(PREFIX, rdfsbase), FORK(PREFIX, rdgsbase), FORK(PREFIX, wrfsbase),
    FORK(PREFIX, wrgsbase), UD, FORK(PREFIX, lfence),
    FORK(PREFIX, mfence), FORK(PREFIX, sfence),
};
BY_MOD(op_ae, FORK(REG, mem_ae), FORK(REG, reg_ae));

/* By prefix: none, 66, F3, F2. */
static const entry op_b8[4] = {[2] = M(POPCNT, Gv, Ev, NO, 0)};
#define SCAN(plain, f3) { \
    M(plain, Gv, Ev, NO, 0), M(plain, Gv, Ev, NO, 0), \
    M(f3, Gv, Ev, NO, 0), M(plain, Gv, Ev, NO, 0)}
static const entry op_bc[4] = SCAN(BSF, TZCNT);
static const entry op_bd[4] = SCAN(BSR, LZCNT);
/* MOVNTI: a plain store is a legal way to do it. */
static const entry op_c3[4] = {M(MOV, Ey, Gy, NO, MEM)};

static const entry rdrand[4] = {
    M(RDRAND, Ev, NO, NO, 0), M(RDRAND, Ev, NO, NO, 0),
};
static const entry rdseed[4] = {
    M(RDSEED, Ev, NO, NO, 0), M(RDSEED, Ev, NO, NO, 0),
    M(RDPID, Ec, NO, NO, 0),
};
BY_MOD(op_c7_6, UD, FORK(PREFIX, rdrand));
BY_MOD(op_c7_7, UD, FORK(PREFIX, rdseed));
static const entry grp9_c7[8] = {
    [1] = M(CMPXCHG8B, M2y, NO, NO, MEM | LK), /* 16B with REX.W */
    [6] = FORK(MOD, op_c7_6), [7] = FORK(MOD, op_c7_7),
};

static const entry emms[4] = {L(EMMS, NO, NO, NO, 0)};

#define SSE L(SSE, NO, NO, NO, HK_DEC_MODRM)
#define FROM(o, r) M(o, Ec, r, NO, HK_DEC_ANYMOD | F64)
#define TO(o, r) M(o, r, Ec, NO, HK_DEC_ANYMOD | F64)

const struct hk_dec_entry hk_dec_0f[256] = {
    [0x00] = FORK(REG, grp6_00), [0x01] = FORK(REG, grp7_01),
    [0x02] = M(LAR, Gv, Ew, NO, 0), [0x03] = M(LSL, Gv, Ew, NO, 0),
    [0x05] = L(SYSCALL, NO, NO, NO, 0), [0x06] = L(CLTS, NO, NO, NO, 0),
    [0x07] = L(SYSRET, NO, NO, NO, 0), [0x08] = L(INVD, NO, NO, NO, 0),
    [0x09] = L(WBINVD, NO, NO, NO, 0), [0x0d] = FORK(MOD, op_0d),
    X8(0x10, SSE), [0x18] = HINT(PREFETCH),
    [0x19] = HINT(NOP), [0x1a] = HINT(NOP), [0x1b] = HINT(NOP),
    [0x1c] = HINT(NOP), [0x1d] = HINT(NOP), [0x1e] = HINT(NOP),
    [0x1f] = HINT(NOP),
    [0x20] = FROM(MOV_FROM_CR, Cd), [0x21] = FROM(MOV_FROM_DR, Dd),
    [0x22] = TO(MOV_TO_CR, Cd), [0x23] = TO(MOV_TO_DR, Dd),
    X8(0x28, SSE),
    [0x30] = L(WRMSR, NO, NO, NO, 0), [0x31] = L(RDTSC, NO, NO, NO, 0),
    [0x32] = L(RDMSR, NO, NO, NO, 0), [0x33] = L(RDPMC, NO, NO, NO, 0),
    [0x34] = L(SYSENTER, NO, NO, NO, 0), [0x35] = L(SYSEXIT, NO, NO, NO, 0),
    X16(0x40, M(CMOV, Gv, Ev, NO, CC)),
    X16(0x50, SSE), X8(0x60, SSE), X8(0x68, SSE),
    [0x70] = SSE, [0x71] = SSE, [0x72] = SSE, [0x73] = SSE, [0x74] = SSE,
    [0x75] = SSE, [0x76] = SSE, [0x77] = FORK(PREFIX, emms),
    [0x7c] = SSE, [0x7d] = SSE, [0x7e] = SSE, [0x7f] = SSE,
    X16(0x80, L(JCC, Jz, NO, NO, F64 | CC)),
    X16(0x90, M(SETCC, Eb, NO, NO, BY | CC)),
    [0xa0] = L(PUSH_SREG, So, NO, NO, D64),
    [0xa1] = L(POP_SREG, So, NO, NO, D64), [0xa2] = L(CPUID, NO, NO, NO, 0),
    [0xa3] = M(BT, Ev, Gv, NO, 0), [0xa4] = M(SHLD, Ev, Gv, Ib, 0),
    [0xa5] = M(SHLD, Ev, Gv, CL, 0),
    [0xa8] = L(PUSH_SREG, So, NO, NO, D64),
    [0xa9] = L(POP_SREG, So, NO, NO, D64),
    [0xab] = M(BTS, Ev, Gv, NO, LK), [0xac] = M(SHRD, Ev, Gv, Ib, 0),
    [0xad] = M(SHRD, Ev, Gv, CL, 0), [0xae] = FORK(MOD, op_ae),
    [0xaf] = M(IMUL, Gv, Ev, NO, 0),
    [0xb0] = M(CMPXCHG, Eb, Gb, NO, BY | LK),
    [0xb1] = M(CMPXCHG, Ev, Gv, NO, LK), [0xb2] = M(LSS, Gv, Mp, NO, MEM),
    [0xb3] = M(BTR, Ev, Gv, NO, LK), [0xb4] = M(LFS, Gv, Mp, NO, MEM),
    [0xb5] = M(LGS, Gv, Mp, NO, MEM), [0xb6] = M(MOVZX, Gv, Eb, NO, 0),
    [0xb7] = M(MOVZX, Gv, Ew, NO, 0), [0xb8] = FORK(PREFIX, op_b8),
    [0xb9] = M(UD, NO, NO, NO, 0), [0xba] = FORK(REG, grp8_ba),
    [0xbb] = M(BTC, Ev, Gv, NO, LK), [0xbc] = FORK(PREFIX, op_bc),
    [0xbd] = FORK(PREFIX, op_bd), [0xbe] = M(MOVSX, Gv, Eb, NO, 0),
    [0xbf] = M(MOVSX, Gv, Ew, NO, 0),
    [0xc0] = M(XADD, Eb, Gb, NO, BY | LK), [0xc1] = M(XADD, Ev, Gv, NO, LK),
    [0xc2] = SSE, [0xc3] = FORK(PREFIX, op_c3), [0xc4] = SSE, [0xc5] = SSE,
    [0xc6] = SSE, [0xc7] = FORK(REG, grp9_c7),
    X8(0xc8, L(BSWAP, Zv, NO, NO, 0)),
    X16(0xd0, SSE), X16(0xe0, SSE), X8(0xf0, SSE),
    [0xf8] = SSE, [0xf9] = SSE, [0xfa] = SSE, [0xfb] = SSE, [0xfc] = SSE,
    [0xfd] = SSE, [0xfe] = SSE, [0xff] = M(UD, NO, NO, NO, 0),
};

/* By prefix: none, 66, F3, F2. */
static const entry op_3882[4] = {[1] = M(INVPCID, Gc, Mdq, NO, MEM)};
static const entry op_38f0[4] = {
    M(MOVBE, Gv, Ev, NO, MEM), M(MOVBE, Gv, Ev, NO, MEM), UD,
    M(CRC32, Gy, Eb, NO, 0),
};
static const entry op_38f1[4] = {
    M(MOVBE, Ev, Gv, NO, MEM), M(MOVBE, Ev, Gv, NO, MEM), UD,
    M(CRC32, Gy, Ev, NO, 0),
};
static const entry op_38f6[4] = {
    UD, M(ADCX, Gy, Ey, NO, 0), M(ADOX, Gy, Ey, NO, 0), UD,
};

const struct hk_dec_entry hk_dec_0f38[256] = {
    X16(0x00, SSE), X16(0x10, SSE), X16(0x20, SSE), X16(0x30, SSE),
    [0x40] = SSE, [0x41] = SSE, [0x82] = FORK(PREFIX, op_3882),
    X8(0xc8, SSE), X16(0xd0, SSE),
    [0xf0] = FORK(PREFIX, op_38f0), [0xf1] = FORK(PREFIX, op_38f1),
    [0xf6] = FORK(PREFIX, op_38f6),
};

const struct hk_dec_entry hk_dec_0f3a[256] = {
    X8(0x08, SSE), X8(0x10, SSE), X8(0x20, SSE), X8(0x40, SSE),
    X8(0x60, SSE), X8(0xc8, SSE), X8(0xd8, SSE),
};

/* The VEX coded general-register instructions (BMI1 and BMI2). */
static const entry vex_f2[4] = {M(ANDN, Gy, By, Ey, 0)};
static const entry vex_f3_1[4] = {M(BLSR, By, Ey, NO, 0)};
static const entry vex_f3_2[4] = {M(BLSMSK, By, Ey, NO, 0)};
static const entry vex_f3_3[4] = {M(BLSI, By, Ey, NO, 0)};
static const entry vex_f3[8] = {
    UD, FORK(PREFIX, vex_f3_1), FORK(PREFIX, vex_f3_2),
    FORK(PREFIX, vex_f3_3), UD, UD, UD, UD,
};
static const entry vex_f5[4] = {
    M(BZHI, Gy, Ey, By, 0), UD, M(PEXT, Gy, By, Ey, 0),
    M(PDEP, Gy, By, Ey, 0),
};
static const entry vex_f6[4] = {[3] = M(MULX, Gy, By, Ey, 0)};
static const entry vex_f7[4] = {
    M(BEXTR, Gy, Ey, By, 0), M(SHLX, Gy, Ey, By, 0),
    M(SARX, Gy, Ey, By, 0), M(SHRX, Gy, Ey, By, 0),
};
static const entry vex_3af0[4] = {
    [3] = M(RORX, Gy, Ey, Ib, HK_DEC_NO_VVVV),
};
static const entry vex_38[6] = {
    FORK(PREFIX, vex_f2), FORK(REG, vex_f3), UD, FORK(PREFIX, vex_f5),
    FORK(PREFIX, vex_f6), FORK(PREFIX, vex_f7),
};
static const entry vex_3a = FORK(PREFIX, vex_3af0);
static const entry undefined = UD;
/* clang-format on */

const struct hk_dec_entry *hk_dec_vex(unsigned map, unsigned opcode)
{
    if (map == 2 && opcode >= 0xf2 && opcode <= 0xf7)
        return &vex_38[opcode - 0xf2];
    if (map == 3 && opcode == 0xf0)
        return &vex_3a;
    return &undefined;
}

static const char *const op_names[HK_OP_COUNT] = {
#define X(op, emitter) #op,
#include "cpu/ops.def"
#undef X
};

const char *hk_op_name(enum hk_op op)
{
    return (unsigned)op < HK_OP_COUNT ? op_names[op] : "?";
}
