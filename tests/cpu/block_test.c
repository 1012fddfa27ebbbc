/*
 * Decoded blocks: where they end, how they are linked, that flags dropped as
 * dead are really dead, and that changed code is seen.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

#include <string.h>

enum { ELSEWHERE = 0x40000 };

/* add $8, %rax lies across a page end; the next page of the address space is
 * not the next one of memory, where a trap waits. */
TINY_ASM(code_across, 64,
         "add $8, %rax\n"
         "add $1, %rax\n"
         "add $1, %rax\n"
         "hlt");

static void an_instruction_across_pages_goes_on_in_the_second(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    size_t len = (size_t)(code_across_end - code_across);
    uint8_t traps[64];
    memset(traps, 0xcc, sizeof(traps));
    tiny_put(vm, TINY_CODE + 0xfff, code_across, 1);
    tiny_put(vm, TINY_CODE + 0x1000, traps, sizeof(traps));
    tiny_put(vm, ELSEWHERE, code_across + 1, len - 1);
    tiny_set_pte(vm, TINY_CODE + 0x1000, ELSEWHERE | 3);
    for (int round = 0; round < 3; round++) {
        vm->cpu[0].state.rip = TINY_CODE + 0xfff;
        vm->cpu[0].state.gpr[HK_RAX] = 0;
        struct tiny_end e = tiny_run(vm);
        assert_int_equal(e.vector, -1);
        assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 10);
    }
    tiny_free(vm);
}

/* The second page is replaced between two runs of the same address. */
static void the_second_page_is_looked_up_every_time(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    static const uint8_t other[] = {0x83, 0xc0, 0x20, 0xf4};
    size_t len = (size_t)(code_across_end - code_across);
    tiny_put(vm, TINY_CODE + 0xfff, code_across, 1);
    tiny_put(vm, ELSEWHERE, code_across + 1, len - 1);
    tiny_put(vm, ELSEWHERE + 0x1000, other, sizeof(other));
    tiny_set_pte(vm, TINY_CODE + 0x1000, ELSEWHERE | 3);
    vm->cpu[0].state.rip = TINY_CODE + 0xfff;
    (void)tiny_run(vm);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 10);
    tiny_set_pte(vm, TINY_CODE + 0x1000, (ELSEWHERE + 0x1000) | 3);
    vm->cpu[0].state.rip = TINY_CODE + 0xfff;
    vm->cpu[0].state.gpr[HK_RAX] = 0;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 0x20);
    tiny_free(vm);
}

/* The flags of the first ADD are dead only if the load does not fault. */
TINY_ASM(code_dead_flags, 64,
         "mov $-1, %rax\n"
         "mov $0x7fe00000, %ebx\n"
         "add $1, %rax\n"
         "mov (%rbx), %rcx\n"
         "add $5, %rcx\n"
         "hlt");

static void
a_fault_shows_flags_that_a_later_instruction_overwrites(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_dead_flags);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.rflags & (HK_RF_CF | HK_RF_ZF | HK_RF_SF),
                     HK_RF_CF | HK_RF_ZF);
    tiny_free(vm);
}

/* INC keeps CF, so the flags of the ADD before it are not dead. */
TINY_ASM(code_inc, 64,
         "mov $-1, %rax\n"
         "xor %ecx, %ecx\n"
         "add $1, %rax\n"
         "inc %rcx\n"
         "setc %dl\n"
         "cmp $1, %rcx\n"
         "sete %dh\n"
         "hlt");

static void inc_keeps_the_carry_of_the_add_before_it(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_inc);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RDX] & 0xffff, 0x0101);
    tiny_free(vm);
}

/* A loop of several blocks on two pages, long enough to be linked. */
TINY_ASM(code_loop, 64,
         "xor %eax, %eax\n"
         "mov $10000, %ecx\n"
         "1: call 2f\n"
         "test $1, %cl\n"
         "jz 3f\n"
         "add $2, %rax\n"
         "3: dec %ecx\n"
         "jnz 1b\n"
         "hlt\n"
         ".skip 4200, 0x90\n"
         "2: inc %rax\n"
         "ret\n");

static void linked_blocks_count_like_single_steps(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_loop);
    struct tiny_end e;
    do {
        e = tiny_run_cpu(vm, 0, 1000);
    } while (e.exit == HK_CPU_EXIT_BUDGET);
    assert_int_equal(e.exit, HK_CPU_EXIT_HALTED);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 20000);
    tiny_free(vm);
}

/* A page that another mapping shows at a second address holds the same
 * blocks; what is relative to RIP must follow the address. */
TINY_ASM(code_where, 64,
         "lea 0(%rip), %rax\n"
         "jmp 1f\n"
         "ud2\n"
         "1: lea 0(%rip), %rbx\n"
         "hlt");

static void one_page_at_two_addresses_keeps_its_own_addresses(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    uint64_t second = TINY_CODE + 0x3000;
    TINY_LOAD(vm, code_where);
    tiny_set_pte(vm, second, TINY_CODE | 3);
    for (int round = 0; round < 4; round++) {
        uint64_t base = round % 2 == 0 ? TINY_CODE : second;
        vm->cpu[0].state.rip = base;
        struct tiny_end e = tiny_run(vm);
        assert_int_equal(e.vector, -1);
        assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], base + 7);
        assert_int_equal(vm->cpu[0].state.gpr[HK_RBX], base + 18);
    }
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(an_instruction_across_pages_goes_on_in_the_second),
    cmocka_unit_test(the_second_page_is_looked_up_every_time),
    cmocka_unit_test(a_fault_shows_flags_that_a_later_instruction_overwrites),
    cmocka_unit_test(inc_keeps_the_carry_of_the_add_before_it),
    cmocka_unit_test(linked_blocks_count_like_single_steps),
    cmocka_unit_test(one_page_at_two_addresses_keeps_its_own_addresses),
};
HK_TEST_MAIN(cases)
