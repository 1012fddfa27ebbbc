/* The decoder on encodings picked by hand, written as text. */
#include "hk_test.h"

#include "base/compiler.h"
#include "cpu/decode.h"
#include "cpu/sse.h"
#include "decode_cases.h"

#include <inttypes.h>

struct text {
    char at[160];
    size_t len;
};

static void add(struct text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->len, sizeof(t->at) - t->len, format, args);
    va_end(args);
    assert_true(n >= 0 && t->len + (size_t)n < sizeof(t->at));
    t->len += (size_t)n;
}

static const char *const seg_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

static void add_address(struct text *t, const struct hk_insn *i)
{
    add(t, "%s:a%u[", seg_names[i->seg], i->addrsize * 8);
    if (i->base == HK_REG_RIP)
        add(t, "rip");
    else if (i->base != HK_REG_NONE)
        add(t, "r%u", i->base);
    if (i->index != HK_REG_NONE)
        add(t, "+r%u*%u", i->index, 1u << i->scale);
    if (i->disp < 0)
        add(t, "-%" PRIx64, -(uint64_t)i->disp);
    else if (i->disp > 0 || (i->base == HK_REG_NONE))
        add(t, "+%" PRIx64, (uint64_t)i->disp);
    add(t, "]");
}

static void add_operand(struct text *t, const struct hk_insn *i,
                        const struct hk_operand *o)
{
    switch ((enum hk_opnd_kind)o->kind) {
    case HK_OPND_GPR:
        add(t, " r%u.%u", o->reg, o->size * 8);
        break;
    case HK_OPND_GPR8H:
        add(t, " h%u", o->reg);
        break;
    case HK_OPND_MEM:
        add(t, " m%u:", o->size * 8);
        add_address(t, i);
        break;
    case HK_OPND_IMM:
        add(t, " %" PRIx64 ".%u", i->imm, o->size * 8);
        break;
    case HK_OPND_SREG:
        add(t, " %s", seg_names[o->reg]);
        break;
    case HK_OPND_CR:
        add(t, " cr%u", o->reg);
        break;
    case HK_OPND_DR:
        add(t, " dr%u", o->reg);
        break;
    case HK_OPND_XMM:
    case HK_OPND_MM:
    case HK_OPND_NONE:
        break;
    }
}

/*
 * LENGTH [lock] OPERATION[.cc] o<operand size>, the operands, and what else
 * is there: the implied memory of string operations and raw memory.
 */
static struct text render(const struct hk_insn *i)
{
    struct text t = {.len = 0};
    bool has_mem = false;
    add(&t, "%u %s%s", i->len, i->lock ? "lock " : "",
        hk_op_name((enum hk_op)i->op));
    if (i->op == HK_OP_UD)
        return t;
    if (i->op == HK_OP_JCC || i->op == HK_OP_SETCC || i->op == HK_OP_CMOV)
        add(&t, ".%x", i->cc);
    add(&t, " o%u", i->opsize * 8);
    for (unsigned n = 0; n < HK_COUNT(i->opnd); n++) {
        add_operand(&t, i, &i->opnd[n]);
        has_mem |= i->opnd[n].kind == HK_OPND_MEM;
    }
    if (i->imm2)
        add(&t, " %x", i->imm2);
    if (i->rep)
        add(&t, " rep%x", i->rep & 15);
    if (i->is_mem && !has_mem) {
        add(&t, " m:");
        add_address(&t, i);
    }
    if (i->op >= HK_OP_MOVS && i->op <= HK_OP_STOS)
        add(&t, " %s a%u", seg_names[i->seg], i->addrsize * 8);
    if (i->sse)
        add(&t, " %s", i->sse->name);
    return t;
}

static size_t parse_hex(const char *hex, uint8_t *out, size_t max)
{
    size_t n = 0;
    for (; hex[0] && n < max; n++) {
        unsigned value;
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        out[n] = (uint8_t)value;
        hex += 2;
        while (*hex == ' ')
            hex++;
    }
    return n;
}

static void check(enum hk_code_size size, const struct encoding *list,
                  size_t count)
{
    unsigned bad = 0;
    for (size_t n = 0; n < count; n++) {
        uint8_t bytes[HK_INSN_MAX_LEN + 1];
        struct hk_insn insn;
        size_t len = parse_hex(list[n].bytes, bytes, sizeof(bytes));
        int got = hk_decode(bytes, len, size, &insn);
        struct text t = {.at = "more"};
        if (got == HK_DECODE_TOO_LONG)
            t = (struct text){.at = "too long"};
        else if (got > 0)
            t = render(&insn);
        if (strcmp(t.at, list[n].want) == 0)
            continue;
        bad++;
        fprintf(stderr, "    {\"%s\", \"%s\"}, want %s\n", list[n].bytes, t.at,
                list[n].want);
    }
    assert_int_equal(bad, 0);
}

#define CASE(name, size, list)             \
    static void name(void **state)         \
    {                                      \
        check(size, list, HK_COUNT(list)); \
    }

CASE(decodes_arithmetic, HK_CODE64, decodes_arithmetic_list)
CASE(decodes_moves, HK_CODE64, decodes_moves_list)
CASE(decodes_shifts_and_bits, HK_CODE64, decodes_shifts_and_bits_list)
CASE(decodes_vex_bit_instructions, HK_CODE64, decodes_vex_bit_instructions_list)
CASE(decodes_atomics, HK_CODE64, decodes_atomics_list)
CASE(decodes_stack_and_branches, HK_CODE64, decodes_stack_and_branches_list)
CASE(decodes_strings, HK_CODE64, decodes_strings_list)
CASE(decodes_system_instructions, HK_CODE64, decodes_system_instructions_list)
CASE(decodes_sse_through_its_list, HK_CODE64, decodes_sse_through_its_list_list)
CASE(decodes_addresses_in_64_bit_mode, HK_CODE64,
     decodes_addresses_in_64_bit_mode_list)
CASE(obeys_prefix_order, HK_CODE64, obeys_prefix_order_list)
CASE(refuses_what_is_too_long, HK_CODE64, refuses_what_is_too_long_list)
CASE(asks_for_more_bytes, HK_CODE64, asks_for_more_bytes_list)
CASE(decodes_32_bit_mode, HK_CODE32, decodes_32_bit_mode_list)
CASE(decodes_16_bit_mode, HK_CODE16, decodes_16_bit_mode_list)

static void names_operations(void **state)
{
    assert_string_equal(hk_op_name(HK_OP_UD), "UD");
    assert_string_equal(hk_op_name(HK_OP_SSE), "SSE");
    assert_string_equal(hk_op_name(HK_OP_COUNT), "?");
}

static void keeps_raw_fields_for_later_stages(void **state)
{
    static const uint8_t fld[] = {0x65, 0xdb, 0x68, 0x10};
    static const uint8_t addps[] = {0x45, 0x0f, 0x58, 0xca};
    struct hk_insn i;
    assert_int_equal(hk_decode(fld, sizeof(fld), HK_CODE64, &i), 4);
    assert_int_equal(i.op, HK_OP_X87);
    assert_int_equal(i.opcode, 0xdb);
    assert_int_equal(i.modrm, 0x68);
    assert_int_equal(i.seg, HK_SEG_GS);
    assert_int_equal(i.base, 0);
    assert_int_equal(i.disp, 16);

    assert_int_equal(hk_decode(addps, sizeof(addps), HK_CODE64, &i), 4);
    assert_int_equal(i.op, HK_OP_SSE);
    assert_non_null(i.sse);
    assert_string_equal(i.sse->name, "addps");
    assert_int_equal(i.map, 1);
    assert_int_equal(i.reg, 9);
    assert_int_equal(i.rm, 10);
    assert_int_equal(i.rex, 0x45);
}

static void folds_vex_fields_into_rex(void **state)
{
    static const uint8_t shlx[] = {0xc4, 0x42, 0xe1, 0xf7, 0xc1};
    struct hk_insn i;
    assert_int_equal(hk_decode(shlx, sizeof(shlx), HK_CODE64, &i), 5);
    assert_int_equal(i.op, HK_OP_SHLX);
    assert_true(i.vex);
    assert_int_equal(i.rex, 0x4d);
    assert_int_equal(i.vvvv, 3);
    assert_int_equal(i.opnd[0].reg, 8);
    assert_int_equal(i.opnd[1].reg, 9);
    assert_int_equal(i.opnd[2].reg, 3);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(decodes_arithmetic),
    cmocka_unit_test(decodes_moves),
    cmocka_unit_test(decodes_shifts_and_bits),
    cmocka_unit_test(decodes_vex_bit_instructions),
    cmocka_unit_test(decodes_atomics),
    cmocka_unit_test(decodes_stack_and_branches),
    cmocka_unit_test(decodes_strings),
    cmocka_unit_test(decodes_system_instructions),
    cmocka_unit_test(decodes_sse_through_its_list),
    cmocka_unit_test(decodes_addresses_in_64_bit_mode),
    cmocka_unit_test(obeys_prefix_order),
    cmocka_unit_test(refuses_what_is_too_long),
    cmocka_unit_test(asks_for_more_bytes),
    cmocka_unit_test(decodes_32_bit_mode),
    cmocka_unit_test(decodes_16_bit_mode),
    cmocka_unit_test(names_operations),
    cmocka_unit_test(keeps_raw_fields_for_later_stages),
    cmocka_unit_test(folds_vex_fields_into_rex),
};
HK_TEST_MAIN(cases)
