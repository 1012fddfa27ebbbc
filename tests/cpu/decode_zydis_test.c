/*
 * The decoder against Zydis, another decoder, over random byte strings: what
 * is defined, its length, its operation, its memory operand and the sizes of
 * its operands. Where the two differ on purpose, known_difference and
 * is_claimed say why.
 */
#include "hk_test.h"

#include "base/compiler.h"
#include "cpu/decode.h"

#include <ctype.h>

#include <Zydis/Zydis.h>

enum { ROUNDS = 500000, WINDOW = 16 };

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static void fill_random(uint8_t bytes[WINDOW])
{
    uint64_t low = next_random(), high = next_random();
    memcpy(bytes, &low, 8);
    memcpy(bytes + 8, &high, 8);
}

static const uint8_t prefix_bytes[] = {
    0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64,
    0x65, 0x40, 0x41, 0x44, 0x48, 0x4f, 0x66, 0xf3, 0xf2, 0x48,
};

/* Prefixes, an opcode of some map (or VEX), and random bytes after it. */
static void make_structured(uint8_t bytes[WINDOW])
{
    fill_random(bytes);
    uint64_t choice = next_random();
    unsigned at = 0, prefixes = choice & 7;
    choice >>= 3;
    if (prefixes == 7)
        prefixes = choice & 15;
    else if (prefixes > 4)
        prefixes = 0;
    choice >>= 4;
    for (uint64_t pick = next_random(); at < prefixes && at < 14; at++) {
        bytes[at] = prefix_bytes[pick % HK_COUNT(prefix_bytes)];
        pick = pick / HK_COUNT(prefix_bytes) | next_random() << 50;
    }
    static const uint8_t escapes[8][2] = {
        {0}, {0}, {0x0f}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}, {0xc4}, {0xc5},
    };
    const uint8_t *escape = escapes[choice & 7];
    for (unsigned i = 0; i < 2 && escape[i] && at < WINDOW; i++)
        bytes[at++] = escape[i];
    if (escape[0] == 0xc4 && at + 2 < WINDOW) { /* more of the BMI group */
        bytes[at] = (bytes[at] & 0xe0) | (2 + (choice >> 3 & 1));
        bytes[at + 1] &= (choice >> 4 & 3) ? 0xfb : 0xff;
        bytes[at + 2] =
            (choice >> 6 & 3) ? 0xf0 | (bytes[at + 2] & 7) : bytes[at + 2];
    }
}

struct both {
    const uint8_t *bytes;
    enum hk_code_size size;
    int len;
    struct hk_insn ours;
    bool valid;
    ZydisDecodedInstruction theirs;
    ZydisDecodedOperand opnds[ZYDIS_MAX_OPERAND_COUNT];
};

static ZydisDecoder decoders[3];

static int make_decoders(void **state)
{
    static const ZydisMachineMode modes[] = {ZYDIS_MACHINE_MODE_LEGACY_16,
                                             ZYDIS_MACHINE_MODE_LEGACY_32,
                                             ZYDIS_MACHINE_MODE_LONG_64};
    static const ZydisStackWidth widths[] = {
        ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64};
    static const ZydisDecoderMode off[] = {
        ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYDIS_DECODER_MODE_KNC,
        ZYDIS_DECODER_MODE_MPX,          ZYDIS_DECODER_MODE_CET,
        ZYDIS_DECODER_MODE_CLDEMOTE,
    };
    for (unsigned i = 0; i < 3; i++) {
        if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoders[i], modes[i], widths[i])))
            return -1;
        for (unsigned j = 0; j < HK_COUNT(off); j++)
            if (!ZYAN_SUCCESS(
                    ZydisDecoderEnableMode(&decoders[i], off[j], ZYAN_FALSE)))
                return -1;
    }
    return 0;
}

static void report(const struct both *b, const char *what)
{
    fprintf(stderr, "%s: mode %d:", what, 16 << b->size);
    for (unsigned i = 0; i < WINDOW - 1; i++)
        fprintf(stderr, " %02x", b->bytes[i]);
    fprintf(stderr, "\n  ours %d bytes %s, theirs %u bytes %s\n", b->len,
            b->len > 0 ? hk_op_name((enum hk_op)b->ours.op) : "-",
            b->valid ? b->theirs.length : 0,
            b->valid ? ZydisMnemonicGetString(b->theirs.mnemonic) : "-");
}

/* Extensions that this CPU does not have, or has no instruction of its own
 * for in the decoder. */
static bool is_claimed_extension(ZydisISAExt ext)
{
    switch (ext) {
    case ZYDIS_ISA_EXT_ADOX_ADCX:
    case ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH:
    case ZYDIS_ISA_EXT_BASE:
    case ZYDIS_ISA_EXT_BMI1:
    case ZYDIS_ISA_EXT_BMI2:
    case ZYDIS_ISA_EXT_CLFLUSHOPT:
    case ZYDIS_ISA_EXT_CLFSH:
    case ZYDIS_ISA_EXT_CLWB:
    case ZYDIS_ISA_EXT_INVPCID:
    case ZYDIS_ISA_EXT_LONGMODE:
    case ZYDIS_ISA_EXT_LZCNT:
    case ZYDIS_ISA_EXT_MOVBE:
    case ZYDIS_ISA_EXT_PAUSE:
    case ZYDIS_ISA_EXT_PREFETCHWT1:
    case ZYDIS_ISA_EXT_RDPID:
    case ZYDIS_ISA_EXT_RDRAND:
    case ZYDIS_ISA_EXT_RDSEED:
    case ZYDIS_ISA_EXT_RDTSCP:
    case ZYDIS_ISA_EXT_RDWRFSGS:
    case ZYDIS_ISA_EXT_SMAP:
    case ZYDIS_ISA_EXT_X87:
    case ZYDIS_ISA_EXT_XSAVE:
    case ZYDIS_ISA_EXT_XSAVEOPT:
        return true;
    default:
        return false;
    }
}

/* The forms of sse.h have a test of their own; here they only count when
 * both decoders know them. */
static bool is_sse_extension(ZydisISAExt ext)
{
    switch (ext) {
    case ZYDIS_ISA_EXT_AES:
    case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_PCLMULQDQ:
    case ZYDIS_ISA_EXT_SHA:
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
    case ZYDIS_ISA_EXT_SSE3:
    case ZYDIS_ISA_EXT_SSE4:
    case ZYDIS_ISA_EXT_SSSE3:
        return true;
    default:
        return false;
    }
}

static bool is_claimed(const struct both *b)
{
    return is_claimed_extension(b->theirs.meta.isa_ext) ||
           is_sse_extension(b->theirs.meta.isa_ext);
}

static bool known_difference(const struct both *b)
{
    switch ((enum hk_op)b->ours.op) {
    case HK_OP_X87: /* holes in the maps are for x87.c to refuse */
        return !b->valid;
    case HK_OP_UD: /* always undefined, though Zydis has names for them */
        return b->theirs.mnemonic == ZYDIS_MNEMONIC_UD0 ||
               b->theirs.mnemonic == ZYDIS_MNEMONIC_UD1 ||
               b->theirs.mnemonic == ZYDIS_MNEMONIC_UD2 ||
               b->theirs.mnemonic == ZYDIS_MNEMONIC_RSM;
    default:
        return false;
    }
}

/* Operands that Zydis shows in another size: LAR and LSL read 16 bits of a
 * source register, and MOVSXD with a 16-bit operand size reads 2 bytes. */
static bool known_operand_difference(const struct both *b)
{
    return b->theirs.mnemonic == ZYDIS_MNEMONIC_LAR ||
           b->theirs.mnemonic == ZYDIS_MNEMONIC_LSL ||
           (b->theirs.mnemonic == ZYDIS_MNEMONIC_MOVSXD && b->ours.opsize == 2);
}

/* Zydis's names of our operations where they are others; a name may end in
 * '*' for any rest. */
static const struct {
    enum hk_op ours;
    const char *theirs[4];
} aliases[] = {
    {HK_OP_AAA, {"aaa"}},
    {HK_OP_CALL_FAR, {"call"}},
    {HK_OP_CALL_IND, {"call"}},
    {HK_OP_CBW, {"cbw", "cwde", "cdqe"}},
    {HK_OP_CLFLUSH, {"clflush", "clflushopt", "clwb"}},
    {HK_OP_CMPS, {"cmps*"}},
    {HK_OP_CWD, {"cwd", "cdq", "cqo"}},
    {HK_OP_FWAIT, {"fwait"}},
    {HK_OP_FXRSTOR, {"fxrstor", "fxrstor64"}},
    {HK_OP_FXSAVE, {"fxsave", "fxsave64"}},
    {HK_OP_IMUL1, {"imul"}},
    {HK_OP_INS, {"ins*"}},
    {HK_OP_IRET, {"iret", "iretd", "iretq"}},
    {HK_OP_JCXZ, {"jcxz", "jecxz", "jrcxz"}},
    {HK_OP_JMP_FAR, {"jmp"}},
    {HK_OP_JMP_IND, {"jmp"}},
    {HK_OP_LODS, {"lods*"}},
    {HK_OP_MOV, {"mov", "movsx*", "movzx", "movnti"}},
    {HK_OP_MOVS, {"movs*"}},
    {HK_OP_MOVSX, {"movsx", "movsxd"}},
    {HK_OP_MOV_FROM_CR, {"mov"}},
    {HK_OP_MOV_FROM_DR, {"mov"}},
    {HK_OP_MOV_FROM_SREG, {"mov"}},
    {HK_OP_MOV_TO_CR, {"mov"}},
    {HK_OP_MOV_TO_DR, {"mov"}},
    {HK_OP_MOV_TO_SREG, {"mov"}},
    {HK_OP_NOP, {"nop", "prefetch*"}},
    {HK_OP_OUTS, {"outs*"}},
    {HK_OP_POPA, {"popa", "popad"}},
    {HK_OP_POPF, {"popf", "popfd", "popfq"}},
    {HK_OP_POP_SREG, {"pop"}},
    {HK_OP_PREFETCH, {"prefetch*", "nop"}},
    {HK_OP_PUSHA, {"pusha", "pushad"}},
    {HK_OP_PUSHF, {"pushf", "pushfd", "pushfq"}},
    {HK_OP_PUSH_SREG, {"push"}},
    {HK_OP_RET_FAR, {"ret"}},
    {HK_OP_SCAS, {"scas*"}},
    {HK_OP_STOS, {"stos*"}},
    {HK_OP_SYSRET, {"sysret"}},
    {HK_OP_VMCALL, {"vmcall", "vmmcall"}},
    {HK_OP_XRSTOR, {"xrstor", "xrstor64"}},
    {HK_OP_XSAVE, {"xsave", "xsave64"}},
    {HK_OP_XSAVEOPT, {"xsaveopt", "xsaveopt64"}},
};

static bool fits(const char *pattern, const char *name)
{
    size_t len = strlen(pattern);
    if (pattern[len - 1] == '*')
        return strncmp(pattern, name, len - 1) == 0;
    return strcmp(pattern, name) == 0;
}

static bool same_condition(const char *stem, const char *name, unsigned cc)
{
    static const char *const suffixes[16] = {
        "o", "no", "b", "nb", "z", "nz", "be", "nbe",
        "s", "ns", "p", "np", "l", "nl", "le", "nle",
    };
    size_t len = strlen(stem);
    return strncmp(stem, name, len) == 0 &&
           strcmp(suffixes[cc], name + len) == 0;
}

static bool same_name(const char *theirs, const char *ours)
{
    while (*theirs && tolower((unsigned char)*ours) == *theirs) {
        theirs++;
        ours++;
    }
    return *theirs == '\0' && *ours == '\0';
}

static bool same_operation(const struct both *b)
{
    const char *name = ZydisMnemonicGetString(b->theirs.mnemonic);
    enum hk_op op = (enum hk_op)b->ours.op;
    if (op == HK_OP_X87)
        return b->theirs.meta.isa_ext == ZYDIS_ISA_EXT_X87 ||
               b->theirs.mnemonic == ZYDIS_MNEMONIC_FISTTP;
    if (op == HK_OP_SSE)
        return is_sse_extension(b->theirs.meta.isa_ext);
    if (op == HK_OP_JCC)
        return same_condition("j", name, b->ours.cc);
    if (op == HK_OP_SETCC)
        return same_condition("set", name, b->ours.cc);
    if (op == HK_OP_CMOV)
        return same_condition("cmov", name, b->ours.cc);
    for (unsigned i = 0; i < HK_COUNT(aliases); i++) {
        if (aliases[i].ours != op)
            continue;
        for (unsigned j = 0; j < 4 && aliases[i].theirs[j]; j++)
            if (fits(aliases[i].theirs[j], name))
                return true;
        return false;
    }
    return same_name(name, hk_op_name(op));
}

static uint8_t register_number(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE)
        return HK_REG_NONE;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
        return HK_REG_RIP;
    return (uint8_t)ZydisRegisterGetId(reg);
}

static const ZydisDecodedOperand *find_memory(const struct both *b)
{
    for (unsigned i = 0; i < b->theirs.operand_count; i++)
        if (b->opnds[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            b->opnds[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
            return &b->opnds[i];
    return NULL;
}

static unsigned shift_of(unsigned scale)
{
    return scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
}

/*
 * Zydis 4.0 takes R13D as the base of a SIB without base (base 5, mod 0) when
 * both a 67 prefix and REX.B are there. SDM volume 2, table 2-3: none.
 */
static bool is_sib_slip(const struct both *b)
{
    return b->ours.code_size == HK_CODE64 && b->ours.addrsize == 4 &&
           (b->ours.modrm & 0xc7) == 0x04 && (b->ours.rex & 1) &&
           b->ours.base == HK_REG_NONE;
}

static bool same_memory(const struct both *b)
{
    const ZydisDecodedOperand *m = find_memory(b);
    const struct hk_insn *o = &b->ours;
    if (!m)
        return !o->is_mem;
    uint64_t mask = o->addrsize == 8   ? ~0ull
                    : o->addrsize == 4 ? 0xffffffff
                                       : 0xffff;
    return o->is_mem && o->base == register_number(m->mem.base) &&
           o->index == register_number(m->mem.index) &&
           (o->index == HK_REG_NONE || o->scale == shift_of(m->mem.scale)) &&
           (((uint64_t)o->disp ^ (uint64_t)m->mem.disp.value) & mask) == 0 &&
           (o->op == HK_OP_LEA ||
            o->seg == ZydisRegisterGetId(m->mem.segment)) &&
           o->addrsize * 8 == b->theirs.address_width;
}

/* Zydis numbers byte registers AL..BL, AH..BH, SPL..DIL, R8B..R15B. */
static bool same_register(const struct hk_operand *o, ZydisRegister reg)
{
    unsigned id = (unsigned)ZydisRegisterGetId(reg);
    if (ZydisRegisterGetClass(reg) != ZYDIS_REGCLASS_GPR8)
        return o->kind == HK_OPND_GPR && o->reg == id;
    if (id >= 4 && id < 8)
        return o->kind == HK_OPND_GPR8H && o->reg == id - 4;
    return o->kind == HK_OPND_GPR && o->reg == (id < 4 ? id : id - 4);
}

/* Zydis gives sizes to memory that has none for us: what is not accessed,
 * only named, or larger than a byte can say. */
static bool is_sized(const struct both *b, const struct hk_operand *o)
{
    return o->size != 0 && b->ours.op != HK_OP_CLFLUSH;
}

static bool same_immediate(const struct both *b, const ZydisDecodedOperand *z)
{
    uint64_t theirs = z->imm.value.u;
    if (b->ours.op == HK_OP_ENTER && z->size == 8)
        return b->ours.imm2 == theirs;
    if (b->ours.opsize == 1)
        return (uint8_t)b->ours.imm == (uint8_t)theirs;
    if (b->ours.opsize == 2)
        return (uint16_t)b->ours.imm == (uint16_t)theirs;
    if (b->ours.opsize == 4)
        return (uint32_t)b->ours.imm == (uint32_t)theirs;
    return b->ours.imm == theirs;
}

static bool same_operand(const struct both *b, const struct hk_operand *o,
                         const ZydisDecodedOperand *z)
{
    switch (o->kind) {
    case HK_OPND_GPR:
    case HK_OPND_GPR8H:
        return z->type == ZYDIS_OPERAND_TYPE_REGISTER &&
               same_register(o, z->reg.value) && o->size * 8 == z->size;
    case HK_OPND_MEM:
        return z->type == ZYDIS_OPERAND_TYPE_MEMORY &&
               (!is_sized(b, o) || o->size * 8 == z->size);
    case HK_OPND_IMM:
        return z->type == ZYDIS_OPERAND_TYPE_POINTER
                   ? b->ours.imm == z->ptr.offset &&
                         b->ours.imm2 == z->ptr.segment
                   : z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
                         same_immediate(b, z);
    case HK_OPND_SREG:
    case HK_OPND_CR:
    case HK_OPND_DR:
        return z->type == ZYDIS_OPERAND_TYPE_REGISTER &&
               o->reg == (unsigned)ZydisRegisterGetId(z->reg.value);
    default:
        return true;
    }
}

static bool same_operands(const struct both *b)
{
    for (unsigned i = 0; i < b->theirs.operand_count_visible && i < 4; i++)
        if (!same_operand(b, &b->ours.opnd[i], &b->opnds[i]))
            return false;
    return true;
}

/* The beginning of an instruction is no instruction. */
static bool stops_at_every_end(const struct both *b)
{
    struct hk_insn part;
    for (int len = 0; len < b->len; len++)
        if (hk_decode(b->bytes, (size_t)len, b->size, &part) != HK_DECODE_MORE)
            return false;
    return true;
}

static const char *compare(struct both *b)
{
    b->len = hk_decode(b->bytes, WINDOW - 1, b->size, &b->ours);
    b->valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(
        &decoders[b->size], b->bytes, WINDOW - 1, &b->theirs, b->opnds));
    bool ours = b->len > 0 && b->ours.op != HK_OP_UD;
    if (!ours && (!b->valid || !is_claimed(b)))
        return NULL;
    if (known_difference(b))
        return NULL;
    if (ours != b->valid)
        return ours ? "only we know it" : "only they know it";
    if (b->len != b->theirs.length)
        return "length";
    if (!same_operation(b))
        return "operation";
    if (!is_sib_slip(b) && !same_memory(b))
        return "memory operand";
    if (!known_operand_difference(b) && !same_operands(b))
        return "operands";
    if (!stops_at_every_end(b))
        return "part of it";
    return NULL;
}

static void run(enum hk_code_size size, void (*make)(uint8_t bytes[WINDOW]))
{
    unsigned bad = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t bytes[WINDOW];
        struct both b = {.bytes = bytes, .size = size};
        make(bytes);
        const char *what = compare(&b);
        if (what && bad++ < 20)
            report(&b, what);
    }
    assert_int_equal(bad, 0);
}

#define CASE(name, size, make)     \
    static void name(void **state) \
    {                              \
        run(size, make);           \
    }
CASE(agrees_on_random_16_bit_code, HK_CODE16, fill_random)
CASE(agrees_on_random_32_bit_code, HK_CODE32, fill_random)
CASE(agrees_on_random_64_bit_code, HK_CODE64, fill_random)
CASE(agrees_on_structured_16_bit_code, HK_CODE16, make_structured)
CASE(agrees_on_structured_32_bit_code, HK_CODE32, make_structured)
CASE(agrees_on_structured_64_bit_code, HK_CODE64, make_structured)

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(agrees_on_random_16_bit_code),
    cmocka_unit_test(agrees_on_random_32_bit_code),
    cmocka_unit_test(agrees_on_random_64_bit_code),
    cmocka_unit_test(agrees_on_structured_16_bit_code),
    cmocka_unit_test(agrees_on_structured_32_bit_code),
    cmocka_unit_test(agrees_on_structured_64_bit_code),
};
HK_TEST_MAIN_WITH(cases, make_decoders, NULL)
