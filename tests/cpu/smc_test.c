/*
 * Code that changes: by itself in the same block, in the next instruction,
 * through another mapping, by another vCPU, by the host.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

/* Rewrites the immediate of a later MOV of the same block. */
TINY_ASM(code_same_block, 64,
         "movl $0x1234, 1f+1(%rip); nop; nop; nop; 1: mov $1, %eax; hlt");
/* Rewrites the very next instruction. */
TINY_ASM(code_next, 64, "movl $0x5678, 1f+1(%rip); 1: mov $1, %eax; hlt");
/* Runs a subroutine, changes it, runs it again; then a thousand times. */
TINY_ASM(code_loop, 64,
         "xor %ecx, %ecx; xor %edx, %edx;"
         "2: mov %ecx, 1f+1(%rip); call 1f; add %eax, %edx; inc %ecx;"
         "cmp $1000, %ecx; jne 2b; hlt; .balign 64; 1: mov $1, %eax; ret");
/* Rewrites an instruction before it in the block and jumps there. */
TINY_ASM(code_back, 64,
         "xor %ecx, %ecx; 1: mov $1, %eax; inc %ecx; cmp $2, %ecx; je 2f;"
         "movl $7, 1b+1(%rip); jmp 1b; 2: hlt");
/* A REP MOVS overwrites what follows it. */
TINY_ASM(code_rep, 64,
         "lea 1f(%rip), %rdi; mov $5, %ecx; rep movsb; 1: mov $1, %eax; hlt");
/* A locked operation as the writer. */
TINY_ASM(code_locked, 64, "lock addl $41, 1f+1(%rip); 1: mov $1, %eax; hlt");

static uint64_t run(const uint8_t *code, const uint8_t *end,
                    struct hk_vcpu_state *out)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    static const uint8_t other[] = {0xb8, 0x99, 0, 0, 0};
    tiny_put(vm, TINY_DATA, other, sizeof(other));
    s->gpr[HK_RSI] = TINY_DATA;
    tiny_load(vm, code, end);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.exit, HK_CPU_EXIT_HALTED);
    assert_int_equal(e.vector, -1);
    uint64_t rax = s->gpr[HK_RAX];
    if (out != NULL)
        *out = *s;
    tiny_free(vm);
    return rax;
}

#define RUN(name) run(name, name##_end, NULL)

static void a_later_instruction_of_the_block_changes(void **state)
{
    assert_int_equal(RUN(code_same_block), 0x1234);
}

static void the_next_instruction_changes(void **state)
{
    assert_int_equal(RUN(code_next), 0x5678);
}

static void an_earlier_instruction_of_the_block_changes(void **state)
{
    assert_int_equal(RUN(code_back), 7);
}

static void a_string_store_changes_what_follows(void **state)
{
    assert_int_equal(RUN(code_rep), 0x99);
}

static void a_locked_store_changes_what_follows(void **state)
{
    assert_int_equal(RUN(code_locked), 42);
}

static void a_subroutine_changes_again_and_again(void **state)
{
    struct hk_vcpu_state s;
    (void)run(code_loop, code_loop_end, &s);
    assert_int_equal(s.gpr[HK_RDX], 499500);
}

TINY_ASM(code_alias, 64,
         "call *%rdi; mov %eax, %ebx; movl $9, 1(%rsi); call *%rdi; hlt");
TINY_ASM(code_sub, 64, "mov $1, %eax; ret");

static void a_write_through_another_mapping_counts(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    uint64_t code = TINY_DATA + 0x1000, alias = TINY_DATA + 0x5000;
    TINY_LOAD(vm, code_alias);
    tiny_put(vm, code, code_sub, (size_t)(code_sub_end - code_sub));
    tiny_set_pte(vm, alias, code | 3);
    s->gpr[HK_RDI] = code;
    s->gpr[HK_RSI] = alias;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RBX], 1);
    assert_int_equal(s->gpr[HK_RAX], 9);
    tiny_free(vm);
}

TINY_ASM(code_remap, 64,
         "call *%rdi; mov %eax, %ebx; mov %rdx, (%rsi); invlpg (%rdi);"
         "call *%rdi; hlt");

static void a_page_mapped_elsewhere_runs_the_new_code(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    uint64_t one = TINY_DATA + 0x1000, two = TINY_DATA + 0x2000;
    TINY_LOAD(vm, code_remap);
    tiny_put(vm, one, code_sub, (size_t)(code_sub_end - code_sub));
    tiny_put(vm, two, code_sub, (size_t)(code_sub_end - code_sub));
    tiny_put(vm, two + 1, "\x02", 1);
    s->gpr[HK_RDI] = one;
    s->gpr[HK_RSI] = TINY_PT + (one >> 12) * 8;
    s->gpr[HK_RDX] = two | 3;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RBX], 1);
    assert_int_equal(s->gpr[HK_RAX], 2);
    tiny_free(vm);
}

static void what_the_host_writes_is_run(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    static const uint8_t code[] = {0xb8, 1, 0, 0, 0, 0xf4};
    tiny_load(vm, code, code + sizeof(code));
    for (uint32_t n = 1; n < 50; n++) {
        s->rip = TINY_CODE;
        tiny_put(vm, TINY_CODE + 1, &n, 4);
        assert_int_equal(tiny_run(vm).vector, -1);
        assert_int_equal(s->gpr[HK_RAX], n);
    }
    tiny_free(vm);
}

/* ---- two vCPUs --------------------------------------------------------------
 */

/* Calls the subroutine at rdi until it gives 2 in eax. */
TINY_ASM(code_wait, 64,
         "1: call *%rdi; movl %eax, (%rsi); cmp $2, %eax; jne 1b; hlt");
/* Waits until the other side runs, then changes its subroutine. */
TINY_ASM(code_change, 64,
         "1: pause; cmpl $1, (%rsi); jne 1b; movb $2, 1(%rdi); hlt");

static void other_thread(void *opaque)
{
    struct tiny_vm *vm = opaque;
    for (;;) {
        struct tiny_end e = tiny_run_cpu(vm, 1, 20000);
        if (e.exit != HK_CPU_EXIT_BUDGET)
            break;
    }
}

static void another_vcpu_changes_code_that_runs(void **state)
{
    for (int round = 0; round < 20; round++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 2);
        uint64_t sub = TINY_DATA + 0x1000;
        uv_thread_t thread;
        tiny_put(vm, TINY_CODE, code_wait, (size_t)(code_wait_end - code_wait));
        tiny_put(vm, TINY_CODE + 0x1000, code_change,
                 (size_t)(code_change_end - code_change));
        tiny_put(vm, sub, code_sub, (size_t)(code_sub_end - code_sub));
        for (unsigned n = 0; n < 2; n++) {
            struct hk_vcpu_state *s = &vm->cpu[n].state;
            s->rip = TINY_CODE + n * 0x1000;
            s->gpr[HK_RSP] = TINY_STACK - n * 0x1000;
            s->gpr[HK_RDI] = sub;
            s->gpr[HK_RSI] = TINY_DATA + 0x2000;
        }
        assert_int_equal(uv_thread_create(&thread, other_thread, vm), 0);
        struct tiny_end e;
        do {
            e = tiny_run_cpu(vm, 0, 20000);
        } while (e.exit == HK_CPU_EXIT_BUDGET);
        assert_int_equal(uv_thread_join(&thread), 0);
        assert_int_equal(e.exit, HK_CPU_EXIT_HALTED);
        assert_int_equal(e.vector, -1);
        assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 2);
        tiny_free(vm);
    }
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_later_instruction_of_the_block_changes),
    cmocka_unit_test(the_next_instruction_changes),
    cmocka_unit_test(an_earlier_instruction_of_the_block_changes),
    cmocka_unit_test(a_string_store_changes_what_follows),
    cmocka_unit_test(a_locked_store_changes_what_follows),
    cmocka_unit_test(a_subroutine_changes_again_and_again),
    cmocka_unit_test(a_write_through_another_mapping_counts),
    cmocka_unit_test(a_page_mapped_elsewhere_runs_the_new_code),
    cmocka_unit_test(what_the_host_writes_is_run),
    cmocka_unit_test(another_vcpu_changes_code_that_runs),
};
HK_TEST_MAIN(cases)
