/* The images of FXSAVE and XSAVE, and MXCSR. */
#include "fp_tiny.h"

enum { AREA = TINY_DATA };

static void fxsave_writes_what_the_state_holds(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le16(t.state.fxsave, 0x27f);
    hk_put_le16(t.state.fxsave + 2, 3 << 11 | HK_X87_C0);
    t.state.fxsave[4] = 0x18;
    hk_put_le32(t.state.fxsave + 24, 0x3fa1);
    for (unsigned i = 32; i < 416; i++)
        t.state.fxsave[i] = (uint8_t)(i >= 160 || i % 16 < 10 ? i * 7 : 0);
    /* fxsave64 [rbx] */
    assert_int_equal(TINY(&t, 0x48, 0x0f, 0xae, 0x03), TINY_DONE);
    assert_memory_equal(tiny_ram + AREA, t.state.fxsave, 24);
    assert_int_equal(hk_get_le32(tiny_ram + AREA + 24), 0x3fa1);
    assert_int_equal(hk_get_le32(tiny_ram + AREA + 28), 0xffff);
    assert_memory_equal(tiny_ram + AREA + 32, t.state.fxsave + 32, 384);
    struct hk_vcpu_state after;
    hk_cpu_get_state(t.c, &after);
    assert_memory_equal(after.fxsave + 32, t.state.fxsave + 32, 384);
    tiny_stop(&t);
}

static void fxrstor_checks_alignment_and_mxcsr(void **state)
{
    struct tiny t;
    tiny_start(&t);
    memcpy(tiny_ram + AREA, t.state.fxsave, 512);
    tiny_ram[AREA + 160] = 0x42;
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x0b), TINY_DONE);
    assert_int_equal(t.c->fpu.xmm[0][0], 0x42);
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x4b, 0x08), HK_VEC_GP);
    hk_put_le32(tiny_ram + AREA + 24, 0x10000);
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x0b), HK_VEC_GP);
    t.state.cr0 |= HK_CR0_TS;
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x0b), HK_VEC_NM);
    tiny_stop(&t);
}

static void xsave_tells_which_parts_are_in_use(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RAX] = 7;
    memset(tiny_ram + AREA, 0xee, 576);
    hk_put_le64(tiny_ram + AREA + 512, 4); /* not ours: stays */
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x23), TINY_DONE);
    assert_int_equal(hk_get_le64(tiny_ram + AREA + 512), 4);
    assert_int_equal(tiny_ram[AREA + 160], 0);
    t.state.fxsave[161] = 9;
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x23), TINY_DONE);
    assert_int_equal(hk_get_le64(tiny_ram + AREA + 512), 4 | 2);
    /* fld1; xsave with only the SSE part asked for */
    t.state.gpr[HK_RAX] = 2;
    memset(tiny_ram + AREA, 0xee, 160);
    assert_int_equal(TINY(&t, 0xd9, 0xe8, 0x0f, 0xae, 0x23), TINY_DONE);
    assert_int_equal(tiny_ram[AREA], 0xee);
    assert_int_equal(hk_get_le32(tiny_ram + AREA + 24), 0x1f80);
    assert_int_equal(hk_get_le64(tiny_ram + AREA + 512), 4 | 2);
    tiny_stop(&t);
}

static void xsaveopt_leaves_initial_parts_alone(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RAX] = 3;
    memset(tiny_ram + AREA, 0xee, 512);
    hk_put_le64(tiny_ram + AREA + 512, 3);
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x33), TINY_DONE);
    assert_int_equal(hk_get_le64(tiny_ram + AREA + 512), 0);
    assert_int_equal(tiny_ram[AREA + 160], 0xee);
    assert_int_equal(tiny_ram[AREA], 0xee);
    tiny_stop(&t);
}

static void xrstor_initialises_parts_that_are_absent(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RAX] = 3;
    t.state.fxsave[160] = 1;
    memset(tiny_ram + AREA, 0, 576);
    memset(tiny_ram + AREA + 160, 0x77, 256);
    hk_put_le32(tiny_ram + AREA + 24, 0x1fa0);
    /* fld1; xrstor [rbx] */
    assert_int_equal(TINY(&t, 0xd9, 0xe8, 0x0f, 0xae, 0x2b), TINY_DONE);
    assert_int_equal(t.c->fpu.xmm[0][0], 0);
    assert_int_equal(t.c->fpu.tag, 0);
    assert_int_equal(t.c->fpu.cw, 0x37f);
    assert_int_equal(t.c->fpu.mxcsr, 0x1fa0);
    hk_put_le64(tiny_ram + AREA + 512, 2);
    assert_int_equal(TINY(&t, 0xd9, 0xe8, 0x0f, 0xae, 0x2b), TINY_DONE);
    assert_int_equal(t.c->fpu.xmm[0][0], 0x77);
    tiny_stop(&t);
}

static void xrstor_refuses_a_bad_header(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RAX] = 3;
    memset(tiny_ram + AREA, 0, 576);
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x2b), TINY_DONE);
    hk_put_le64(tiny_ram + AREA + 512, 4); /* not in XCR0 */
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x2b), HK_VEC_GP);
    hk_put_le64(tiny_ram + AREA + 512, 3);
    tiny_ram[AREA + 520] = 1;
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x2b), HK_VEC_GP);
    tiny_ram[AREA + 520] = 0;
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x6b, 0x20), HK_VEC_GP);
    t.state.cr4 &= ~HK_CR4_OSXSAVE;
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x2b), HK_VEC_UD);
    tiny_stop(&t);
}

static void mxcsr_is_loaded_stored_and_checked(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le32(tiny_ram + AREA, 0x9f81);
    /* ldmxcsr [rbx]; stmxcsr [rbx+4] */
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x13, 0x0f, 0xae, 0x5b, 0x04),
                     TINY_DONE);
    assert_int_equal(hk_get_le32(tiny_ram + AREA + 4), 0x9f81);
    hk_put_le32(tiny_ram + AREA, 0x10000);
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x13), HK_VEC_GP);
    t.state.cr4 &= ~HK_CR4_OSFXSR;
    assert_int_equal(TINY(&t, 0x0f, 0xae, 0x13), HK_VEC_UD);
    tiny_stop(&t);
}

static void a_state_with_reserved_mxcsr_bits_is_refused(void **state)
{
    struct tiny t;
    uint8_t image[512] = {0};
    tiny_start(&t);
    hk_put_le32(image + 24, 0x80000000);
    assert_false(hk_fp_set_fxsave(t.c, image));
    hk_put_le32(image + 24, 0x1f80);
    assert_true(hk_fp_set_fxsave(t.c, image));
    tiny_stop(&t);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(fxsave_writes_what_the_state_holds),
    cmocka_unit_test(fxrstor_checks_alignment_and_mxcsr),
    cmocka_unit_test(xsave_tells_which_parts_are_in_use),
    cmocka_unit_test(xsaveopt_leaves_initial_parts_alone),
    cmocka_unit_test(xrstor_initialises_parts_that_are_absent),
    cmocka_unit_test(xrstor_refuses_a_bad_header),
    cmocka_unit_test(mxcsr_is_loaded_stored_and_checked),
    cmocka_unit_test(a_state_with_reserved_mxcsr_bits_is_refused),
};
HK_TEST_MAIN(cases)
