/* cpu/sse.h: the table of forms, and forms as a guest runs them. */
#include "fp_tiny.h"

#include "cpu/sse.h"

static unsigned modrm_of(const struct hk_sse_form *form)
{
    const unsigned ext = form->modrm_ext < 0 ? 0 : (unsigned)form->modrm_ext;
    return (form->reg_ok ? 0xc0 : 0) | ext << 3;
}

static void every_form_is_found_by_its_own_fields(void **state)
{
    size_t count;
    const struct hk_sse_form *forms = hk_sse_forms(&count);
    assert_true(count > 300);
    for (size_t i = 0; i < count; i++) {
        const struct hk_sse_form *form = &forms[i];
        if (!hk_sse_host_has((enum hk_sse_feature)form->feature))
            continue;
        assert_ptr_equal(
            hk_sse_find(form->map, form->prefix, form->opcode, modrm_of(form)),
            form);
    }
}

static void a_form_without_memory_operand_wants_a_register(void **state)
{
    assert_non_null(hk_sse_find(1, 0, 0x50, 0xc1)); /* movmskps */
    assert_null(hk_sse_find(1, 0, 0x50, 0x01));
    assert_non_null(hk_sse_find(1, 0, 0x2b, 0x01)); /* movntps */
    assert_null(hk_sse_find(1, 0, 0x2b, 0xc1));
}

static void opcodes_outside_the_list_are_not_found(void **state)
{
    assert_null(hk_sse_find(1, 0xf3, 0x28, 0xc1));
    assert_null(hk_sse_find(1, 0x66, 0x73, 0xc1));
    assert_null(hk_sse_find(2, 0x66, 0xff, 0xc1));
    assert_null(hk_sse_find(3, 0, 0x00, 0xc1));
}

static void prefixes_and_groups_select_the_form(void **state)
{
    assert_string_equal(hk_sse_find(1, 0x66, 0x73, 0xf9)->name, "pslldq");
    assert_string_equal(hk_sse_find(1, 0xf2, 0x58, 0xc1)->name, "addsd");
    assert_string_equal(hk_sse_find(1, 0, 0x58, 0x01)->name, "addps");
    assert_true(hk_sse_find(1, 0x66, 0x70, 0xc1)->has_imm);
    assert_false(hk_sse_find(1, 0x66, 0xef, 0xc1)->has_imm);
}

/* ---- execution -------------------------------------------------------- */

static uint32_t lane32(const struct tiny *t, unsigned xmm, unsigned lane)
{
    return hk_get_le32(t->c->fpu.xmm[xmm] + 4 * lane);
}

static void set_lanes(struct tiny *t, unsigned xmm, uint32_t value)
{
    for (unsigned lane = 0; lane < 4; lane++)
        hk_put_le32(t->state.fxsave + 160 + 16 * xmm + 4 * lane, value);
}

static uint32_t mxcsr_after(struct tiny *t)
{
    struct hk_vcpu_state s;
    hk_cpu_get_state(t->c, &s);
    return hk_get_le32(s.fxsave + 24);
}

static void a_scalar_load_clears_what_is_above(void **state)
{
    struct tiny t;
    tiny_start(&t);
    set_lanes(&t, 0, 0x11111111);
    set_lanes(&t, 1, 0x22222222);
    hk_put_le32(tiny_ram + TINY_DATA, 0x3f800000);
    assert_int_equal(TINY(&t, 0xf3, 0x0f, 0x10, 0x03), TINY_DONE);
    assert_int_equal(lane32(&t, 0, 0), 0x3f800000);
    assert_int_equal(lane32(&t, 0, 1), 0);
    assert_int_equal(lane32(&t, 0, 3), 0);
    /* movss xmm0, xmm1 keeps it. */
    assert_int_equal(TINY(&t, 0xf3, 0x0f, 0x10, 0xc1), TINY_DONE);
    assert_int_equal(lane32(&t, 0, 0), 0x22222222);
    assert_int_equal(lane32(&t, 0, 1), 0x11111111);
    tiny_stop(&t);
}

static void a_scalar_operand_may_end_the_page(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RBX] = TINY_DATA + 4096 - 4;
    assert_int_equal(TINY(&t, 0xf3, 0x0f, 0x58, 0x03), TINY_DONE);
    /* addsd needs eight bytes. */
    assert_int_equal(TINY(&t, 0xf2, 0x0f, 0x58, 0x03), HK_VEC_PF);
    assert_int_equal(t.fault_rip, TINY_CODE);
    assert_int_equal(t.c->cr2, TINY_DATA + 4096);
    tiny_stop(&t);
}

static void packed_operands_must_be_aligned(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RBX] = TINY_DATA + 8;
    assert_int_equal(TINY(&t, 0x0f, 0x58, 0x03), HK_VEC_GP);
    assert_int_equal(TINY(&t, 0x0f, 0x28, 0x03), HK_VEC_GP);
    assert_int_equal(TINY(&t, 0x0f, 0x29, 0x03), HK_VEC_GP);
    assert_int_equal(TINY(&t, 0x0f, 0x10, 0x03), TINY_DONE);
    assert_int_equal(TINY(&t, 0x66, 0x0f, 0x3a, 0x63, 0x03, 0), TINY_DONE);
    tiny_stop(&t);
}

static void arithmetic_rounds_as_the_guest_says(void **state)
{
    struct tiny t;
    tiny_start(&t);
    set_lanes(&t, 0, 0x3f800000); /* 1 */
    set_lanes(&t, 1, 0x2f800000); /* far below its last bit */
    assert_int_equal(TINY(&t, 0x0f, 0x58, 0xc1), TINY_DONE);
    assert_int_equal(lane32(&t, 0, 2), 0x3f800000);
    hk_put_le32(t.state.fxsave + 24, 0x5f80); /* round up */
    assert_int_equal(TINY(&t, 0x0f, 0x58, 0xc1), TINY_DONE);
    assert_int_equal(lane32(&t, 0, 2), 0x3f800001);
    assert_int_equal(mxcsr_after(&t), 0x5fa0); /* and it was not exact */
    tiny_stop(&t);
}

static void the_hosts_mxcsr_survives_a_run(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le32(t.state.fxsave + 24, 0x7f80);
    const uint32_t before = __builtin_ia32_stmxcsr();
    set_lanes(&t, 0, 0x3f800000);
    assert_int_equal(TINY(&t, 0x0f, 0x5e, 0xc1), TINY_DONE); /* 1 / 0 */
    assert_int_equal(__builtin_ia32_stmxcsr(), before);
    assert_int_equal(mxcsr_after(&t), 0x7f84);
    tiny_stop(&t);
}

static void an_unmasked_exception_writes_nothing(void **state)
{
    struct tiny t;
    tiny_start(&t);
    set_lanes(&t, 0, 0x3f800000);
    hk_put_le32(t.state.fxsave + 24, 0x1d80); /* ZM clear */
    assert_int_equal(TINY(&t, 0x0f, 0x5e, 0xc1), HK_VEC_XM);
    assert_int_equal(t.fault_rip, TINY_CODE);
    assert_int_equal(lane32(&t, 0, 0), 0x3f800000);
    assert_int_equal(mxcsr_after(&t), 0x1d84);
    t.state.cr4 &= ~HK_CR4_OSXMMEXCPT;
    assert_int_equal(TINY(&t, 0x0f, 0x5e, 0xc1), HK_VEC_UD);
    tiny_stop(&t);
}

static void control_bits_disable_sse(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.cr0 |= HK_CR0_TS;
    assert_int_equal(TINY(&t, 0x0f, 0x58, 0xc1), HK_VEC_NM);
    t.state.cr0 |= HK_CR0_EM;
    assert_int_equal(TINY(&t, 0x0f, 0x58, 0xc1), HK_VEC_UD);
    t.state.cr0 &= ~(HK_CR0_TS | HK_CR0_EM);
    t.state.cr4 &= ~HK_CR4_OSFXSR;
    assert_int_equal(TINY(&t, 0x0f, 0x58, 0xc1), HK_VEC_UD);
    /* MMX does not need it. */
    assert_int_equal(TINY(&t, 0x0f, 0xfc, 0xc1), TINY_DONE);
    tiny_stop(&t);
}

static void compares_set_the_flags(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.rflags = 2 | HK_RF_OF | HK_RF_SF | HK_RF_AF;
    set_lanes(&t, 1, 0x3f800000);
    assert_int_equal(TINY(&t, 0x0f, 0x2f, 0xc1), TINY_DONE); /* 0 < 1 */
    assert_int_equal(hk_get_rflags(t.c) & HK_RF_ARITH, HK_RF_CF);
    set_lanes(&t, 1, 0x7fc00000);
    assert_int_equal(TINY(&t, 0x0f, 0x2e, 0xc1), TINY_DONE); /* unordered */
    assert_int_equal(hk_get_rflags(t.c) & HK_RF_ARITH,
                     HK_RF_CF | HK_RF_PF | HK_RF_ZF);
    tiny_stop(&t);
}

static void string_compares_give_the_index(void **state)
{
    struct tiny t;
    if (!hk_sse_host_has(HK_SSE_SSE42))
        hk_skip("the host has no SSE4.2");
    tiny_start(&t);
    memcpy(t.state.fxsave + 160, "l", 1);
    memcpy(t.state.fxsave + 176, "hello", 5);
    t.state.gpr[HK_RAX] = 1;
    t.state.gpr[HK_RDX] = 5;
    t.state.gpr[HK_RCX] = UINT64_MAX;
    assert_int_equal(TINY(&t, 0x66, 0x0f, 0x3a, 0x61, 0xc1, 0), TINY_DONE);
    assert_int_equal(t.c->r[HK_RCX], 2);
    assert_true(hk_get_rflags(t.c) & HK_RF_CF);
    /* With REX.W the lengths are 64 bits: 2^32 is not 0. */
    t.state.gpr[HK_RDX] = UINT64_C(1) << 32;
    assert_int_equal(TINY(&t, 0x66, 0x0f, 0x3a, 0x61, 0xc1, 0), TINY_DONE);
    assert_int_equal(t.c->r[HK_RCX], 16);
    assert_int_equal(TINY(&t, 0x66, 0x48, 0x0f, 0x3a, 0x61, 0xc1, 0),
                     TINY_DONE);
    assert_int_equal(t.c->r[HK_RCX], 2);
    tiny_stop(&t);
}

static void immediates_select_their_routine(void **state)
{
    struct tiny t;
    tiny_start(&t);
    for (unsigned lane = 0; lane < 4; lane++)
        hk_put_le32(t.state.fxsave + 176 + 4 * lane, lane + 1);
    assert_int_equal(TINY(&t, 0x66, 0x0f, 0x70, 0xc1, 0x1b), TINY_DONE);
    assert_int_equal(lane32(&t, 0, 0), 4);
    assert_int_equal(lane32(&t, 0, 3), 1);
    assert_int_equal(TINY(&t, 0x66, 0x0f, 0x73, 0xd9, 200), TINY_DONE);
    assert_int_equal(lane32(&t, 1, 0), 0); /* psrldq by 200 */
    assert_int_equal(TINY(&t, 0x66, 0x0f, 0x73, 0xd9, 4), TINY_DONE);
    assert_int_equal(lane32(&t, 1, 0), 2);
    tiny_stop(&t);
}

static void integer_conversions_take_both_sizes(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RDX] = UINT64_C(0x100000002);
    const uint8_t code[] = {0xf2, 0x0f, 0x2a, 0xc2,       /* cvtsi2sd */
                            0xf2, 0x48, 0x0f, 0x2a, 0xca, /* 64 bits */
                            0xf2, 0x48, 0x0f, 0x2c, 0xc1, /* cvttsd2si */
                            0xf2, 0x0f, 0x2c, 0xc9};      /* 32 bits */
    assert_int_equal(tiny_run(&t, code, sizeof(code)), TINY_DONE);
    assert_int_equal(hk_get_le64(t.c->fpu.xmm[0]), 0x4000000000000000);
    assert_int_equal(t.c->r[HK_RAX], 0x100000002);
    assert_int_equal(t.c->r[HK_RCX], 0x80000000); /* does not fit */
    tiny_stop(&t);
}

static void mmx_registers_are_x87_registers(void **state)
{
    struct tiny t;
    tiny_start(&t);
    hk_put_le16(t.state.fxsave + 2, 5 << 11);
    hk_put_le64(tiny_ram + TINY_DATA, 0x1122334455667788);
    assert_int_equal(TINY(&t, 0x0f, 0x6f, 0x13), TINY_DONE); /* movq mm2 */
    assert_int_equal(t.c->fpu.top, 0);
    assert_int_equal(t.c->fpu.tag, 0xff);
    assert_int_equal(hk_get_le64(t.c->fpu.st[2]), 0x1122334455667788);
    assert_int_equal(hk_get_le16(t.c->fpu.st[2] + 8), 0xffff);
    const uint8_t code[] = {0x0f, 0x6f, 0x13, 0x0f, 0xfc, 0xd2, 0x0f, 0x77};
    assert_int_equal(tiny_run(&t, code, sizeof(code)), TINY_DONE);
    assert_int_equal(hk_get_le64(t.c->fpu.st[2]), 0x22446688aaccee10);
    assert_int_equal(t.c->fpu.tag, 0); /* emms */
    tiny_stop(&t);
}

static void masked_stores_write_selected_bytes(void **state)
{
    struct tiny t;
    tiny_start(&t);
    t.state.gpr[HK_RDI] = TINY_DATA + 3;
    set_lanes(&t, 0, 0xddccbbaa);
    set_lanes(&t, 1, 0x00008000);
    memset(tiny_ram + TINY_DATA, 0x55, 32);
    assert_int_equal(TINY(&t, 0x66, 0x0f, 0xf7, 0xc1), TINY_DONE);
    assert_int_equal(tiny_ram[TINY_DATA + 3], 0x55);
    assert_int_equal(tiny_ram[TINY_DATA + 4], 0xbb);
    assert_int_equal(tiny_ram[TINY_DATA + 5], 0x55);
    assert_int_equal(tiny_ram[TINY_DATA + 16], 0xbb);
    tiny_stop(&t);
}

/* Each kind of handler must jump to the next one, not call it. */
static void long_loops_need_no_stack(void **state)
{
    static const uint8_t bodies[][6] = {
        {0xf2, 0x0f, 0x58, 0x03, 0x90, 0x90}, /* addsd xmm0, [rbx] */
        {0x66, 0x0f, 0xfe, 0x03, 0x90, 0x90}, /* paddd xmm0, [rbx] */
        {0x0f, 0x28, 0x03, 0x0f, 0x29, 0x03}, /* movaps both ways */
        {0x0f, 0xfc, 0x03, 0x0f, 0x2f, 0x03}, /* paddb mm, comiss */
        {0x66, 0x0f, 0x3a, 0x63, 0x03, 0x00}, /* pcmpistri */
        {0xd9, 0x03, 0xd8, 0x03, 0xdd, 0xd8}, /* fld, fadd, fstp */
        {0xdb, 0x2b, 0xdb, 0x3b, 0x90, 0x90}, /* fld, fstp m80 */
        {0xd9, 0xe8, 0xd9, 0xfe, 0xdd, 0x1b}, /* fld1, fsin, fstp m64 */
    };
    struct tiny t;
    tiny_start(&t);
    for (size_t i = 0; i < HK_COUNT(bodies); i++) {
        uint8_t code[12] = {0};
        memcpy(code, bodies[i], 6);
        memcpy(code + 6, (const uint8_t[]){0xff, 0xce, 0x75, 0xf6}, 4);
        t.state.gpr[HK_RSI] = 200000;
        assert_int_equal(tiny_run(&t, code, 10), TINY_DONE);
        assert_int_equal(t.c->r[HK_RSI], 0);
    }
    tiny_stop(&t);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(every_form_is_found_by_its_own_fields),
    cmocka_unit_test(a_form_without_memory_operand_wants_a_register),
    cmocka_unit_test(opcodes_outside_the_list_are_not_found),
    cmocka_unit_test(prefixes_and_groups_select_the_form),
    cmocka_unit_test(a_scalar_load_clears_what_is_above),
    cmocka_unit_test(a_scalar_operand_may_end_the_page),
    cmocka_unit_test(packed_operands_must_be_aligned),
    cmocka_unit_test(arithmetic_rounds_as_the_guest_says),
    cmocka_unit_test(the_hosts_mxcsr_survives_a_run),
    cmocka_unit_test(an_unmasked_exception_writes_nothing),
    cmocka_unit_test(control_bits_disable_sse),
    cmocka_unit_test(compares_set_the_flags),
    cmocka_unit_test(string_compares_give_the_index),
    cmocka_unit_test(immediates_select_their_routine),
    cmocka_unit_test(integer_conversions_take_both_sizes),
    cmocka_unit_test(mmx_registers_are_x87_registers),
    cmocka_unit_test(masked_stores_write_selected_bytes),
    cmocka_unit_test(long_loops_need_no_stack),
};
HK_TEST_MAIN(cases)
