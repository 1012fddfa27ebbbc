/*
 * Hardware task switches.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

#include <string.h>

enum {
    TASK_TSS = TINY_DATA + 0x1000,
    TASK_CODE = TINY_CODE + 0x1000,
    TASK_STACK = TINY_STACK - 0x1000,
};

/* The task to switch to, with the code at [code, end). */
static struct tiny_vm *new_task(const uint8_t *code, const uint8_t *end)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    uint32_t tss[26] = {0};
    tss[8] = TASK_CODE;
    tss[9] = 2;
    tss[14] = TASK_STACK;
    for (unsigned n = 18; n < 24; n++)
        tss[n] = TINY_DS;
    tss[19] = TINY_CS32;
    tiny_put(vm, TASK_TSS, tss, sizeof(tss));
    tiny_set_desc(vm, TINY_SPARE, tiny_desc(TASK_TSS, sizeof(tss) - 1, 0x89));
    tiny_put(vm, TASK_CODE, code, (size_t)(end - code));
    return vm;
}

#define NEW_TASK(name) new_task(name, name##_end)

static unsigned type_of(const struct tiny_vm *vm, uint16_t selector)
{
    return tiny_get64(vm, TINY_GDT + selector) >> 40 & 0x1f;
}

TINY_ASM(code_call, 32, "mov $5, %eax; lcall $0x48, $0; hlt");
TINY_ASM(task_returns, 32,
         "pushf; pop %ebx; mov %ebx, 0x28000; mov $9, %eax; iret");

static void a_called_task_returns_by_iret(void **state)
{
    struct tiny_vm *vm = NEW_TASK(task_returns);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_call);
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RAX], 5);
    assert_int_equal(s->gpr[HK_RSP], TINY_STACK);
    assert_int_equal(s->tr.selector, TINY_TR);
    assert_true(s->cr0 & HK_CR0_TS);
    assert_int_equal(s->rflags & HK_RF_NT, 0);
    assert_true(tiny_get64(vm, TINY_DATA) & HK_RF_NT);
    assert_int_equal((uint16_t)tiny_get64(vm, TASK_TSS), TINY_TR);
    assert_int_equal((uint32_t)tiny_get64(vm, TASK_TSS + 0x28), 9);
    assert_int_equal(type_of(vm, TINY_SPARE), 9);
    tiny_free(vm);
}

TINY_ASM(code_jump, 32, "ljmp $0x48, $0");
TINY_ASM(task_stops, 32, "mov %esp, %ecx; hlt");

static void a_jump_leaves_the_old_task_idle(void **state)
{
    struct tiny_vm *vm = NEW_TASK(task_stops);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_jump);
    tiny_set_desc(vm, TINY_TR, tiny_desc(TINY_TSS, 0x67, 0x8b));
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->tr.selector, TINY_SPARE);
    assert_int_equal(s->gpr[HK_RCX], TASK_STACK);
    assert_int_equal(s->rflags & HK_RF_NT, 0);
    assert_int_equal(type_of(vm, TINY_SPARE), 11);
    assert_int_equal(type_of(vm, TINY_TR), 9);
    assert_int_equal((uint16_t)tiny_get64(vm, TASK_TSS), 0);
    tiny_free(vm);
}

static void a_busy_task_cannot_be_entered(void **state)
{
    struct tiny_vm *vm = NEW_TASK(task_stops);
    TINY_LOAD(vm, code_jump);
    tiny_set_desc(vm, TINY_SPARE, tiny_desc(TASK_TSS, 0x67, 0x8b));
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, TINY_SPARE);
    assert_int_equal(vm->cpu[0].state.tr.selector, TINY_TR);
    tiny_free(vm);
}

static void a_small_tss_is_ts_of_the_old_task(void **state)
{
    struct tiny_vm *vm = NEW_TASK(task_stops);
    TINY_LOAD(vm, code_jump);
    tiny_set_desc(vm, TINY_SPARE, tiny_desc(TASK_TSS, 0x66, 0x89));
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_TS);
    assert_int_equal(e.err, TINY_SPARE);
    assert_int_equal(e.rip, TINY_CODE);
    tiny_free(vm);
}

static void a_bad_segment_is_a_fault_of_the_new_task(void **state)
{
    struct tiny_vm *vm = NEW_TASK(task_stops);
    TINY_LOAD(vm, code_jump);
    tiny_put(vm, TASK_TSS + 0x54, &(uint32_t){0xf8}, 4);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_TS);
    assert_int_equal(e.err, 0xf8);
    assert_int_equal(e.rip, TASK_CODE);
    assert_int_equal(vm->cpu[0].state.tr.selector, TINY_SPARE);
    tiny_free(vm);
}

TINY_ASM(code_double, 32, "xor %ecx, %ecx; div %ecx; hlt");
TINY_ASM(task_pops, 32, "pop %edx; hlt");

static void a_task_gate_takes_a_double_fault(void **state)
{
    struct tiny_vm *vm = NEW_TASK(task_pops);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_double);
    tiny_set_gate(vm, HK_VEC_DE, 0, TINY_CS32, 0x0e, 0);
    tiny_set_gate(vm, HK_VEC_DF, 0, TINY_SPARE, 0x85, 0);
    s->gpr[HK_RDX] = 0;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->tr.selector, TINY_SPARE);
    assert_int_equal(s->gpr[HK_RSP], TASK_STACK);
    assert_int_equal(s->gpr[HK_RDX], 0);
    assert_true(s->rflags & HK_RF_NT);
    assert_int_equal((uint32_t)tiny_get64(vm, TINY_TSS + 0x20), TINY_CODE + 2);
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_called_task_returns_by_iret),
    cmocka_unit_test(a_jump_leaves_the_old_task_idle),
    cmocka_unit_test(a_busy_task_cannot_be_entered),
    cmocka_unit_test(a_small_tss_is_ts_of_the_old_task),
    cmocka_unit_test(a_bad_segment_is_a_fault_of_the_new_task),
    cmocka_unit_test(a_task_gate_takes_a_double_fault),
};
HK_TEST_MAIN(cases)
