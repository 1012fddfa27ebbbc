/*
 * The catalogue of forms, asked from the decoder.
 *
 * Every combination of mandatory prefix, REX.W, LOCK, VEX, opcode map, opcode
 * and ModRM kind is decoded once with plain operands. What comes out under
 * the same key (operation, opcode, sizes, register or memory) is one form.
 * Only what an opcode map cannot tell is written down here: which opcodes
 * have a ModRM byte, and which operations the host cannot be asked about.
 */
#include "oracle.h"

#include "base/compiler.h"
#include "cpu/sse.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FORMS = 16384, HASH_SIZE = 65536 };

static struct oracle_form *forms;
static size_t form_count;
static uint16_t *hash; /* form index + 1 */
static const struct hk_sse_form *sse_forms;

bool oracle_has_modrm(unsigned map, unsigned opcode)
{
    static const uint32_t one_byte[8] = {0x0f0f0f0f, 0x0f0f0f0f, 0,
                                         0x00000a0c, 0x0000ffff, 0,
                                         0xff0f00f3, 0xc0c00000};
    static const uint32_t two_byte[8] = {0xffffa00f, 0x0000ffff, 0xffffffff,
                                         0xff7fffff, 0xffff0000, 0xfffff8f8,
                                         0xffff00ff, 0xffffffff};
    if (map >= 2)
        return true;
    const uint32_t *bits = map == 0 ? one_byte : two_byte;
    return bits[opcode >> 5] >> (opcode & 31) & 1;
}

/* A register of a CPUID leaf: 0 EAX to 3 EDX. Leaf 0xd: subleaf 1. */
static uint32_t host_cpuid(uint32_t leaf, unsigned reg)
{
    uint32_t r[4] = {0};
    __cpuid_count(leaf, leaf == 0xd, r[0], r[1], r[2], r[3]);
    return r[reg];
}

static bool host_is_kvm_guest(void)
{
    uint32_t r[4] = {0};
    if ((host_cpuid(1, 2) >> 31 & 1) != 0)
        __cpuid(0x40000000, r[0], r[1], r[2], r[3]);
    return memcmp(&r[1], "KVMKVMKVM\0\0\0", 12) == 0;
}

/* False for what this host cannot do. */
static bool host_has(const struct hk_insn *insn)
{
    switch (insn->op) {
    case HK_OP_SSE:
        return hk_sse_host_has(insn->sse->feature);
    case HK_OP_ANDN:
    case HK_OP_BEXTR:
    case HK_OP_BLSI:
    case HK_OP_BLSMSK:
    case HK_OP_BLSR:
    case HK_OP_TZCNT:
        return __builtin_cpu_supports("bmi");
    case HK_OP_BZHI:
    case HK_OP_MULX:
    case HK_OP_PDEP:
    case HK_OP_PEXT:
    case HK_OP_RORX:
    case HK_OP_SARX:
    case HK_OP_SHLX:
    case HK_OP_SHRX:
        return __builtin_cpu_supports("bmi2");
    case HK_OP_ADCX:
    case HK_OP_ADOX:
        return __builtin_cpu_supports("adx");
    case HK_OP_LZCNT:
        return __builtin_cpu_supports("lzcnt");
    case HK_OP_MOVBE:
        return __builtin_cpu_supports("movbe");
    case HK_OP_RDPKRU: /* the kernel has turned it on */
    case HK_OP_WRPKRU:
        return host_cpuid(7, 2) >> 4 & 1;
    case HK_OP_RDRAND:
        return host_cpuid(1, 2) >> 30 & 1;
    case HK_OP_RDSEED:
        return host_cpuid(7, 1) >> 18 & 1;
    case HK_OP_RDPID:
        return host_cpuid(7, 2) >> 22 & 1;
    case HK_OP_XSAVE:
    case HK_OP_XRSTOR:
    case HK_OP_XGETBV:
        return host_cpuid(1, 2) >> 27 & 1;
    case HK_OP_XSAVEOPT:
        return (host_cpuid(1, 2) >> 27 & 1) && (host_cpuid(0xd, 0) & 1);
    default:
        return true;
    }
}

/* Why a form cannot be compared on this host; NULL if it can. */
static const char *why_not(const struct hk_insn *insn)
{
    static const char vmcall[] =
        "the host is no guest of KVM, which answers it";
    static const char vmmcall[] = "KVM below the host rewrites it";
    static const char sysenter[] = "this kernel maps no vDSO to return to";
    static const char amd[] = "does something else on processors of AMD";
    if (!host_has(insn))
        return "this host does not have it";
    if (insn->op == HK_OP_VMCALL && !host_is_kvm_guest())
        return vmcall;
    if (insn->op == HK_OP_VMCALL && insn->modrm != 0xc1)
        return vmmcall;
    if (insn->op == HK_OP_SYSENTER && !__builtin_cpu_is("intel"))
        return amd;
    if (insn->op == HK_OP_SYSENTER && !oracle_vdso_can_exchange())
        return sysenter;
    if (insn->op == HK_OP_SYSCALL && insn->code_size != HK_CODE64 &&
        !__builtin_cpu_is("intel"))
        return amd;
    return NULL;
}

bool oracle_is_privileged(unsigned op)
{
    switch (op) {
    case HK_OP_CLI:
    case HK_OP_STI:
    case HK_OP_IN:
    case HK_OP_OUT:
    case HK_OP_INS:
    case HK_OP_OUTS:
    case HK_OP_HLT:
    case HK_OP_SYSRET:
    case HK_OP_SYSEXIT:
    case HK_OP_RDMSR:
    case HK_OP_WRMSR:
    case HK_OP_MOV_FROM_CR:
    case HK_OP_MOV_TO_CR:
    case HK_OP_MOV_FROM_DR:
    case HK_OP_MOV_TO_DR:
    case HK_OP_LGDT:
    case HK_OP_LIDT:
    case HK_OP_LLDT:
    case HK_OP_LTR:
    case HK_OP_LMSW:
    case HK_OP_CLTS:
    case HK_OP_INVLPG:
    case HK_OP_INVPCID:
    case HK_OP_INVD:
    case HK_OP_WBINVD:
    case HK_OP_SWAPGS:
    case HK_OP_XSETBV:
    case HK_OP_STAC:
    case HK_OP_CLAC:
        return true;
    default:
        return false;
    }
}

static bool is_string(unsigned op)
{
    return op == HK_OP_MOVS || op == HK_OP_CMPS || op == HK_OP_SCAS ||
           op == HK_OP_LODS || op == HK_OP_STOS;
}

/* x87 register forms in which rm is a part of the opcode. */
static bool x87_rm_is_opcode(unsigned opcode, unsigned reg)
{
    switch (opcode) {
    case 0xd9:
        return reg >= 2;
    case 0xda:
        return reg >= 4;
    case 0xdb:
    case 0xdf:
        return reg == 4;
    case 0xde:
        return reg == 3;
    default:
        return false;
    }
}

static bool rm_is_opcode(const struct hk_insn *insn)
{
    if (insn->is_mem)
        return false;
    if (insn->map == 1 && insn->opcode == 0x01)
        return true;
    return insn->op == HK_OP_X87 &&
           x87_rm_is_opcode(insn->opcode, insn->modrm >> 3 & 7);
}

/* Opcodes whose low three bits are a register. */
static bool is_register_opcode(const struct hk_insn *insn)
{
    if (insn->map == 1)
        return insn->opcode >= 0xc8 && insn->opcode <= 0xcf;
    if (insn->map != 0)
        return false;
    return (insn->opcode >= 0x40 && insn->opcode <= 0x5f) ||
           (insn->opcode >= 0x90 && insn->opcode <= 0x97) ||
           (insn->opcode >= 0xb0 && insn->opcode <= 0xbf);
}

/* SSE forms with a general register, where REX.W selects its size. */
static bool sse_has_wide(const struct hk_insn *insn)
{
    static const uint8_t two_byte[] = {0x2a, 0x2c, 0x2d, 0x6e, 0x7e, 0xc3};
    if (insn->map == 1)
        return memchr(two_byte, insn->opcode, sizeof(two_byte)) != NULL;
    return insn->map == 3 && (insn->opcode == 0x16 || insn->opcode == 0x22);
}

static uint64_t push_key(uint64_t key, uint64_t field)
{
    key = (key ^ field) * 0x9e3779b97f4a7c15u;
    return key ^ key >> 29;
}

static uint64_t key_of(const struct hk_insn *insn)
{
    unsigned opcode = insn->opcode;
    if (is_register_opcode(insn))
        opcode &= 0xf8;
    if (insn->op == HK_OP_NOP && insn->map == 0)
        opcode = 0x90;

    uint64_t key = push_key(1, insn->code_size);
    key = push_key(key, insn->op);
    key = push_key(key, (uint64_t)insn->map << 16 | opcode << 8 |
                            (unsigned)insn->vex << 4 |
                            (unsigned)insn->lock << 1 | insn->is_mem);
    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = insn->opnd[i].kind;
        if (kind == HK_OPND_GPR8H)
            kind = HK_OPND_GPR;
        key = push_key(key, kind << 8 | insn->opnd[i].size);
    }
    if (insn->op == HK_OP_SSE) {
        bool wide = (insn->rex & 8) && sse_has_wide(insn);
        key = push_key(key, (uint64_t)(insn->sse - sse_forms) << 1 | wide);
    } else if (insn->op == HK_OP_X87) {
        key = push_key(key, insn->modrm >> 3 & 7);
        if (rm_is_opcode(insn))
            key = push_key(key, insn->modrm & 7);
    } else {
        key = push_key(key, insn->opsize);
        key = push_key(key, insn->opnd[0].kind == HK_OPND_SREG ||
                                    insn->opnd[1].kind == HK_OPND_SREG
                                ? insn->reg
                                : 0);
    }
    if (insn->op == HK_OP_VMCALL) /* or VMMCALL */
        key = push_key(key, insn->modrm);
    if (is_string(insn->op) || insn->op == HK_OP_INS || insn->op == HK_OP_OUTS)
        key = push_key(key, insn->rep);
    return key;
}

bool oracle_form_is(const struct oracle_form *form, const struct hk_insn *insn)
{
    if (form->undefined)
        return insn->op == HK_OP_UD;
    return key_of(insn) == form->key;
}

static void name_operands(const struct hk_insn *insn, char *name, size_t size)
{
    static const char *const kinds[] = {"",   "r",  "r",  "m",   "imm",
                                        "sr", "cr", "dr", "xmm", "mm"};
    for (unsigned i = 0; i < 4; i++) {
        const struct hk_operand *o = &insn->opnd[i];
        if (o->kind == HK_OPND_NONE || o->kind >= HK_COUNT(kinds))
            break;
        size_t used = strlen(name);
        if (o->size != 0 && o->kind <= HK_OPND_IMM)
            snprintf(name + used, size - used, "%s%s%u", i ? "," : " ",
                     kinds[o->kind], o->size * 8u);
        else
            snprintf(name + used, size - used, "%s%s", i ? "," : " ",
                     kinds[o->kind]);
    }
}

static void name_form(struct oracle_form *form, const struct hk_insn *insn)
{
    static const char *const maps[] = {"", "0f", "0f38", "0f3a"};
    const char *op = form->undefined ? "ud"
                     : insn->sse != NULL && insn->op == HK_OP_SSE
                         ? insn->sse->name
                         : hk_op_name(insn->op);
    char bytes[16], ext[12] = "", prefix[4] = "";
    snprintf(bytes, sizeof(bytes), "%s%02x", maps[form->map & 3], form->opcode);
    if (form->ext >= 0 && form->rm >= 0)
        snprintf(ext, sizeof(ext), "/%d/%d", form->ext, form->rm);
    else if (form->ext >= 0)
        snprintf(ext, sizeof(ext), "/%d", form->ext);
    if (form->op_prefix != 0)
        snprintf(prefix, sizeof(prefix), "%02x", form->op_prefix);
    snprintf(form->name, sizeof(form->name), "%s%s%s%s%s%s%s%s%s",
             form->lock ? "lock " : "", op,
             form->code_size == HK_CODE64   ? " ["
             : form->code_size == HK_CODE32 ? ".c32 ["
                                            : ".c16 [",
             form->vex ? "vex " : "", prefix, form->opsize_prefix ? "66" : "",
             bytes, ext, form->rexw ? " W]" : "]");
    if (!form->undefined)
        name_operands(insn, form->name, sizeof(form->name));
}

static uint64_t undefined_key(const struct oracle_form *form)
{
    return push_key(push_key(2, form->code_size),
                    (uint64_t)form->map << 16 | (uint64_t)form->opcode << 8 |
                        form->is_mem);
}

/* Adds the form if its key is new. */
static void add_form(struct oracle_form *form, const struct hk_insn *insn)
{
    uint64_t key = form->undefined ? undefined_key(form) : key_of(insn);
    size_t at = key % HASH_SIZE;
    while (hash[at] != 0) {
        if (forms[hash[at] - 1].key == key)
            return;
        at = (at + 1) % HASH_SIZE;
    }
    if (form_count == MAX_FORMS)
        abort(); /* the enum above is too small */
    form->key = key;
    form->op = insn->op;
    form->privileged = oracle_is_privileged(insn->op);
    form->opcode_variants =
        !form->undefined && is_register_opcode(insn) ? 8 : 1;
    name_form(form, insn);
    forms[form_count] = *form;
    hash[at] = (uint16_t)++form_count;
}

/* The bytes of the form with plain operands. */
static size_t plain_bytes(const struct oracle_form *form, unsigned modrm,
                          uint8_t *b)
{
    size_t n = 0;
    if (form->lock)
        b[n++] = 0xf0;
    if (form->vex) {
        unsigned pp = form->opsize_prefix       ? 1
                      : form->op_prefix == 0xf3 ? 2
                      : form->op_prefix == 0xf2 ? 3
                                                : 0;
        b[n++] = 0xc4;
        b[n++] = (uint8_t)(0xe0 | form->map);
        b[n++] = (uint8_t)(form->rexw << 7 | 0x78 | form->vex_l << 2 | pp);
    } else {
        if (form->opsize_prefix)
            b[n++] = 0x66;
        if (form->op_prefix != 0)
            b[n++] = form->op_prefix;
        if (form->rexw)
            b[n++] = 0x48;
        if (form->map != 0)
            b[n++] = 0x0f;
        if (form->map >= 2)
            b[n++] = form->map == 2 ? 0x38 : 0x3a;
    }
    b[n++] = form->opcode;
    if (form->has_modrm)
        b[n++] = (uint8_t)modrm;
    memset(b + n, 0, 16);
    return n + 16;
}

/* An illegal LOCK on something that is fine without. */
static bool is_illegal_lock(const struct oracle_form *form, unsigned modrm)
{
    struct oracle_form without = *form;
    struct hk_insn insn;
    uint8_t bytes[32];
    without.lock = false;
    size_t n = plain_bytes(&without, modrm, bytes);
    return hk_decode(bytes, n, form->code_size, &insn) > 0 &&
           insn.op != HK_OP_UD;
}

/* True when another reg field means the same form. */
static bool is_reg_free(const struct oracle_form *form, unsigned modrm,
                        uint64_t key)
{
    for (unsigned reg = 8; reg < 64; reg += 8) {
        struct hk_insn insn;
        uint8_t bytes[32];
        size_t n = plain_bytes(form, modrm ^ reg, bytes);
        if (hk_decode(bytes, n, form->code_size, &insn) > 0 &&
            insn.op != HK_OP_UD && key_of(&insn) == key)
            return true;
    }
    return false;
}

static void try_form(struct oracle_form form, unsigned modrm)
{
    struct hk_insn insn;
    uint8_t bytes[32];
    size_t n = plain_bytes(&form, modrm, bytes);

    if (hk_decode(bytes, n, form.code_size, &insn) <= 0)
        return;
    if (insn.vex != form.vex) /* LES and LDS have no register form */
        return;
    form.is_mem = form.has_modrm ? modrm < 0xc0 : insn.is_mem;
    form.ext = -1;
    form.rm = -1;
    if (insn.op == HK_OP_UD) {
        form.undefined = true;
        if (form.lock && !form.vex && !form.rexw && !form.opsize_prefix &&
            form.op_prefix == 0 && is_illegal_lock(&form, modrm))
            add_form(&form, &insn);
        return;
    }
    if (insn.lock != form.lock)
        return;
    form.why_not = why_not(&insn);
    if (form.has_modrm && !is_reg_free(&form, modrm, key_of(&insn)))
        form.ext = (int8_t)(modrm >> 3 & 7);
    if (form.has_modrm && rm_is_opcode(&insn))
        form.rm = (int8_t)(modrm & 7);
    add_form(&form, &insn);
}

static void try_opcode(const struct oracle_form *form)
{
    if (!form->has_modrm) {
        try_form(*form, 0);
        return;
    }
    for (unsigned reg = 0; reg < 8; reg++) {
        try_form(*form, reg << 3 | 1); /* [rcx] or [bx+di] */
        for (unsigned rm = 0; rm < 8; rm++)
            try_form(*form, 0xc0 | reg << 3 | rm);
    }
}

static bool is_prefix_byte(enum hk_code_size size, unsigned opcode)
{
    switch (opcode) {
    case 0x0f:
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
        return true;
    case 0x62: /* EVEX in 64-bit mode, and VEX, which is enumerated apart */
    case 0xc4:
    case 0xc5:
        return size == HK_CODE64;
    default:
        return size == HK_CODE64 && (opcode & 0xf0) == 0x40;
    }
}

static void try_map(struct oracle_form *form)
{
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        if (form->map == 0 && is_prefix_byte(form->code_size, opcode))
            continue;
        if (form->map == 1 && (opcode == 0x38 || opcode == 0x3a))
            continue;
        form->opcode = (uint8_t)opcode;
        form->has_modrm = oracle_has_modrm(form->map, opcode);
        for (int lock = 0; lock < 2; lock++) {
            form->lock = lock;
            try_opcode(form);
        }
    }
}

static void try_code_size(enum hk_code_size size)
{
    static const uint8_t op_prefixes[] = {0, 0xf3, 0xf2};
    for (unsigned bits = 0; bits < 24; bits++) {
        struct oracle_form form = {.code_size = size};
        form.op_prefix = op_prefixes[bits % 3];
        form.opsize_prefix = bits / 3 & 1;
        form.rexw = bits / 6 & 1;
        form.vex = bits / 12;
        if (form.rexw && !form.vex && size != HK_CODE64)
            continue;
        if (form.vex && form.opsize_prefix && form.op_prefix != 0)
            continue;
        for (unsigned map = form.vex ? 1 : 0; map < 4; map++) {
            form.map = (uint8_t)map;
            try_map(&form);
        }
    }
}

bool oracle_forms_init(void)
{
    if (forms != NULL)
        return true;
    size_t sse_count;
    sse_forms = hk_sse_forms(&sse_count);
    forms = calloc(MAX_FORMS, sizeof(*forms));
    hash = calloc(HASH_SIZE, sizeof(*hash));
    if (forms == NULL || hash == NULL)
        return false;
    try_code_size(HK_CODE64);
    try_code_size(HK_CODE32);
    try_code_size(HK_CODE16);
    return true;
}

size_t oracle_form_count(void)
{
    return form_count;
}

const struct oracle_form *oracle_form_get(size_t index)
{
    return &forms[index];
}
