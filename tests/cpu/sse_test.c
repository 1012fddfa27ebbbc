/* cpu/sse.h: the table of forms. */
#include "hk_test.h"

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

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(every_form_is_found_by_its_own_fields),
    cmocka_unit_test(a_form_without_memory_operand_wants_a_register),
    cmocka_unit_test(opcodes_outside_the_list_are_not_found),
    cmocka_unit_test(prefixes_and_groups_select_the_form),
};
HK_TEST_MAIN(cases)
