/* The x87 instructions as a guest runs them. */
#include "fp_tiny.h"

static uint16_t status_after(struct tiny *t)
{
    struct hk_vcpu_state s;
    hk_cpu_get_state(t->c, &s);
    return hk_get_le16(s.fxsave + 2);
}

static uint16_t control(struct tiny *t, uint16_t cw)
{
    hk_put_le16(t->state.fxsave, cw);
    return cw;
}

/* fld1; fld m32 at [rbx]; faddp; fstp m80 at [rbx+16] */
static const uint8_t add_to_one[] = {0xd9, 0xe8, 0xd9, 0x03, 0xde,
                                     0xc1, 0xdb, 0x7b, 0x10};

static void results_have_eighty_bits(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le32(tiny_ram + TINY_DATA, 0x20000000); /* 2^-63 */
    assert_int_equal(tiny_run(&t, add_to_one, sizeof(add_to_one)), TINY_DONE);
    assert_int_equal(hk_get_le64(tiny_ram + TINY_DATA + 16),
                     0x8000000000000001);
    assert_int_equal(hk_get_le16(tiny_ram + TINY_DATA + 24), 0x3fff);
    assert_int_equal(status_after(&t), 0);
    tiny_stop(&t);
}

static void the_control_word_sets_precision_and_rounding(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le32(tiny_ram + TINY_DATA, 0x20000000);
    control(&t, 0x27f); /* 53 bits */
    assert_int_equal(tiny_run(&t, add_to_one, sizeof(add_to_one)), TINY_DONE);
    assert_int_equal(hk_get_le64(tiny_ram + TINY_DATA + 16),
                     0x8000000000000000);
    assert_int_equal(status_after(&t), HK_X87_PE);
    control(&t, 0xa7f); /* and up */
    assert_int_equal(tiny_run(&t, add_to_one, sizeof(add_to_one)), TINY_DONE);
    assert_int_equal(hk_get_le64(tiny_ram + TINY_DATA + 16),
                     0x8000000000000800);
    assert_int_equal(status_after(&t), HK_X87_PE);
    /* Without the store C1 tells the direction. */
    assert_int_equal(tiny_run(&t, add_to_one, 6), TINY_DONE);
    assert_int_equal(status_after(&t), HK_X87_PE | HK_X87_C1 | 7 << 11);
    tiny_stop(&t);
}

static void the_ninth_push_overflows_the_stack(void **state)
{
    struct tiny t;
    tiny_start(&t);
    uint8_t code[18];
    for (unsigned i = 0; i < 9; i++) {
        code[2 * i] = 0xd9;
        code[2 * i + 1] = 0xe8;
    }
    assert_int_equal(tiny_run(&t, code, 16), TINY_DONE);
    assert_int_equal(status_after(&t), 0);
    assert_int_equal(t.c->fpu.tag, 0xff);
    assert_int_equal(tiny_run(&t, code, 18), TINY_DONE);
    assert_int_equal(status_after(&t),
                     HK_X87_IE | HK_X87_SF | HK_X87_C1 | 7 << 11);
    assert_int_equal(hk_get_le64(t.c->fpu.st[7]), 0xc000000000000000);
    assert_int_equal(hk_get_le16(t.c->fpu.st[7] + 8), 0xffff);
    tiny_stop(&t);
}

static void an_empty_register_underflows_the_stack(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le16(t.state.fxsave + 2, HK_X87_C1);
    assert_int_equal(TINY(&t, 0xd9, 0xe8, 0xd8, 0xc1), TINY_DONE);
    assert_int_equal(status_after(&t), HK_X87_IE | HK_X87_SF | 7 << 11);
    tiny_stop(&t);
}

static void an_unmasked_exception_waits_for_the_next_instruction(void **state)
{
    struct tiny t;
    tiny_start(&t);
    control(&t, 0x37b);
    /* fld1; fldz; fdivp; nop; fnstsw ax; fnop */
    const uint8_t code[] = {0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9,
                            0x90, 0xdf, 0xe0, 0xd9, 0xd0};
    assert_int_equal(tiny_run(&t, code, sizeof(code)), HK_VEC_MF);
    assert_int_equal(t.fault_rip, TINY_CODE + 9);
    assert_int_equal(t.c->r[HK_RAX] & 0xff, HK_X87_ZE | HK_X87_ES);
    assert_int_equal(t.c->fpu.top, 6); /* the division did not pop */
    /* fnclex instead of fnop: nothing happens. */
    const uint8_t cleared[] = {0xd9, 0xe8, 0xd9, 0xee, 0xde,
                               0xf9, 0xdb, 0xe2, 0x9b};
    assert_int_equal(tiny_run(&t, cleared, sizeof(cleared)), TINY_DONE);
    tiny_stop(&t);
}

static void fwait_and_mmx_wait_too(void **state)
{
    struct tiny t;
    tiny_start(&t);
    control(&t, 0x37e);
    hk_put_le16(t.state.fxsave + 2, HK_X87_IE);
    assert_int_equal(TINY(&t, 0x9b), HK_VEC_MF);
    assert_int_equal(TINY(&t, 0x0f, 0x6f, 0xc1), HK_VEC_MF);
    assert_int_equal(TINY(&t, 0x0f, 0x77), HK_VEC_MF);
    assert_int_equal(TINY(&t, 0xdb, 0xe3), TINY_DONE); /* fninit */
    tiny_stop(&t);
}

static void compares_write_codes_or_flags(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.rflags = 2 | HK_RF_OF | HK_RF_ZF;
    /* fld1; fldz; fcomi st1; fucompp */
    assert_int_equal(TINY(&t, 0xd9, 0xe8, 0xd9, 0xee, 0xdb, 0xf1, 0xda, 0xe9),
                     TINY_DONE);
    assert_int_equal(hk_get_rflags(t.c) & HK_RF_ARITH, HK_RF_CF);
    assert_int_equal(status_after(&t), HK_X87_C0);
    assert_int_equal(t.c->fpu.tag, 0);
    tiny_stop(&t);
}

static void conditional_moves_read_the_flags(void **state)
{
    struct tiny t;
    tiny_start(&t);
    /* fld1; fldz; fcmove st1 */
    const uint8_t code[] = {0xd9, 0xe8, 0xd9, 0xee, 0xda, 0xc9};
    assert_int_equal(tiny_run(&t, code, sizeof(code)), TINY_DONE);
    assert_int_equal(hk_get_le64(t.c->fpu.st[6]), 0);
    t.state.rflags = 2 | HK_RF_ZF;
    assert_int_equal(tiny_run(&t, code, sizeof(code)), TINY_DONE);
    assert_int_equal(hk_get_le64(t.c->fpu.st[6]), 0x8000000000000000);
    tiny_stop(&t);
}

static void integers_and_decimals_come_and_go(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le64(tiny_ram + TINY_DATA, (uint64_t)-1234567890123);
    /* fild m64; fld st0; fbstp [rbx+16]; fistp m64 [rbx+32] */
    const uint8_t code[] = {0xdf, 0x2b, 0xd9, 0xc0, 0xdf,
                            0x73, 0x10, 0xdf, 0x7b, 0x20};
    assert_int_equal(tiny_run(&t, code, sizeof(code)), TINY_DONE);
    assert_int_equal(hk_get_le64(tiny_ram + TINY_DATA + 16),
                     0x0001234567890123);
    assert_int_equal(hk_get_le16(tiny_ram + TINY_DATA + 24), 0x8000);
    assert_int_equal(hk_get_le64(tiny_ram + TINY_DATA + 32),
                     (uint64_t)-1234567890123);
    tiny_stop(&t);
}

static void a_store_that_faults_changes_nothing(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RBX] = TINY_DATA + 4096;
    /* fldpi; fstp m32 [rbx] loses precision */
    assert_int_equal(TINY(&t, 0xd9, 0xeb, 0xd9, 0x1b), HK_VEC_PF);
    assert_int_equal(t.fault_rip, TINY_CODE + 2);
    assert_int_equal(status_after(&t), 7 << 11);
    tiny_stop(&t);
}

static void the_environment_has_two_sizes(void **state)
{
    struct tiny t;
    tiny_start(&t);
    memset(tiny_ram + TINY_DATA, 0, 64);
    /* fld1; fnstenv [rbx]; 16-bit fnstenv [rbx+32] */
    assert_int_equal(TINY(&t, 0xd9, 0xe8, 0xd9, 0x33, 0x66, 0xd9, 0x73, 0x20),
                     TINY_DONE);
    assert_int_equal(hk_get_le32(tiny_ram + TINY_DATA), 0xffff037f);
    assert_int_equal(hk_get_le32(tiny_ram + TINY_DATA + 4), 0xffff3800);
    assert_int_equal(hk_get_le32(tiny_ram + TINY_DATA + 8), 0xffff3fff);
    assert_int_equal(hk_get_le32(tiny_ram + TINY_DATA + 12), TINY_CODE);
    assert_int_equal(hk_get_le16(tiny_ram + TINY_DATA + 34), 0x3800);
    assert_int_equal(hk_get_le16(tiny_ram + TINY_DATA + 36), 0x3fff);
    assert_int_equal(hk_get_le16(tiny_ram + TINY_DATA + 46), 0);
    tiny_stop(&t);
}

static void fsave_and_frstor_keep_everything(void **state)
{
    struct tiny t;
    tiny_start(&t);
    /* fldpi; fld1; fnsave [rbx]; frstor [rbx] */
    const uint8_t code[] = {0xd9, 0xeb, 0xd9, 0xe8, 0xdd, 0x33, 0xdd, 0x23};
    assert_int_equal(tiny_run(&t, code, 6), TINY_DONE);
    assert_int_equal(t.c->fpu.tag, 0);
    assert_int_equal(status_after(&t), 0);
    assert_int_equal(tiny_run(&t, code, 8), TINY_DONE);
    assert_int_equal(t.c->fpu.tag, 0xc0);
    assert_int_equal(status_after(&t), 6 << 11);
    assert_int_equal(hk_get_le64(t.c->fpu.st[6]), 0x8000000000000000);
    assert_int_equal(hk_get_le64(t.c->fpu.st[7]), 0xc90fdaa22168c235);
    tiny_stop(&t);
}

static void undefined_opcodes_and_a_missing_unit_fault(void **state)
{
    struct tiny t;
    tiny_start(&t);
    assert_int_equal(TINY(&t, 0xd9, 0xd1), HK_VEC_UD);
    assert_int_equal(TINY(&t, 0xd9, 0x0b), HK_VEC_UD);
    assert_int_equal(TINY(&t, 0xdf, 0xf8), HK_VEC_UD);
    assert_int_equal(TINY(&t, 0xdc, 0xd0), TINY_DONE); /* fcom, an alias */
    t.state.cr0 |= HK_CR0_TS;
    assert_int_equal(TINY(&t, 0xd9, 0xe8), HK_VEC_NM);
    assert_int_equal(TINY(&t, 0xdb, 0xe3), HK_VEC_NM);
    assert_int_equal(TINY(&t, 0x9b), HK_VEC_NM);
    t.state.cr0 &= ~HK_CR0_MP;
    assert_int_equal(TINY(&t, 0x9b), TINY_DONE);
    tiny_stop(&t);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(results_have_eighty_bits),
    cmocka_unit_test(the_control_word_sets_precision_and_rounding),
    cmocka_unit_test(the_ninth_push_overflows_the_stack),
    cmocka_unit_test(an_empty_register_underflows_the_stack),
    cmocka_unit_test(an_unmasked_exception_waits_for_the_next_instruction),
    cmocka_unit_test(fwait_and_mmx_wait_too),
    cmocka_unit_test(compares_write_codes_or_flags),
    cmocka_unit_test(conditional_moves_read_the_flags),
    cmocka_unit_test(integers_and_decimals_come_and_go),
    cmocka_unit_test(a_store_that_faults_changes_nothing),
    cmocka_unit_test(the_environment_has_two_sizes),
    cmocka_unit_test(fsave_and_frstor_keep_everything),
    cmocka_unit_test(undefined_opcodes_and_a_missing_unit_fault),
};
HK_TEST_MAIN(cases)
