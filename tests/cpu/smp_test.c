/*
 * Two vCPUs on two threads: locked instructions, code changed by the other,
 * and standing still for each other. Also the emptying of the cache of
 * decoded code, which happens in the middle of everything.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

enum { ROUNDS = 20000, AT = TINY_CODE + 0x1000 };

/* The host may let one wait for long while the other spins. */
static const uint64_t BUDGET = INT64_MAX;

struct worker {
    struct tiny_vm *vm;
    unsigned n;
    struct tiny_end end;
};

static void work(void *opaque)
{
    struct worker *w = opaque;
    w->end = tiny_run_cpu(w->vm, w->n, BUDGET);
}

/* Runs both vCPUs until both have halted. */
static void run_both(struct tiny_vm *vm)
{
    struct worker w[2] = {{.vm = vm, .n = 0}, {.vm = vm, .n = 1}};
    uv_thread_t thread;
    assert_int_equal(uv_thread_create(&thread, work, &w[1]), 0);
    work(&w[0]);
    uv_thread_join(&thread);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(w[n].end.exit, HK_CPU_EXIT_HALTED);
        assert_int_equal(w[n].end.vector, -1);
    }
}

/* Both run `code` with RCX rounds and RDI at `data`. */
static void run_same(struct tiny_vm *vm, const uint8_t *code,
                     const uint8_t *end, uint64_t data, uint64_t rounds)
{
    tiny_load(vm, code, end);
    for (unsigned n = 0; n < 2; n++) {
        struct hk_vcpu_state *s = &vm->cpu[n].state;
        s->gpr[HK_RCX] = rounds;
        s->gpr[HK_RDI] = data;
        s->gpr[HK_RSP] = TINY_STACK - n * 0x1000;
    }
    run_both(vm);
}

/* ---- locked instructions ------------------------------------------------- */

/* One of each: INC, ADD, XADD, a CMPXCHG loop, XCHG as a lock. */
TINY_ASM(code_count, 64,
         "1: lock incq (%rdi); lock addq $1, (%rdi);"
         "   mov $1, %eax; lock xadd %rax, (%rdi);"
         "   mov (%rdi), %rax;"
         "2: lea 1(%rax), %rdx; lock cmpxchg %rdx, (%rdi); jne 2b;"
         "3: mov $1, %eax; xchg %eax, 16(%rdi); test %eax, %eax; jz 4f;"
         "   pause; jmp 3b;"
         "4: incq 8(%rdi); movl $0, 16(%rdi);"
         "   dec %ecx; jnz 1b; hlt");

static void counts(uint64_t data, uint64_t rounds)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 2);
    run_same(vm, code_count, code_count_end, data, rounds);
    assert_int_equal(tiny_get64(vm, data), 4 * 2 * rounds);
    assert_int_equal(tiny_get64(vm, data + 8), 2 * rounds);
    tiny_free(vm);
}

static void locked_instructions_lose_nothing(void **state)
{
    counts(TINY_DATA, ROUNDS);
}

static void locked_instructions_across_lines_lose_nothing(void **state)
{
    counts(TINY_DATA + 61, ROUNDS / 20);
}

static void locked_instructions_across_pages_lose_nothing(void **state)
{
    counts(TINY_DATA + 0xffd, ROUNDS / 20);
}

static void locked_instructions_beside_code_lose_nothing(void **state)
{
    counts(TINY_CODE + 0x800, ROUNDS / 20);
}

TINY_ASM(code_pair, 64,
         "mov %ecx, %r8d;"
         "1: mov (%rdi), %rax; mov 8(%rdi), %rdx;"
         "2: lea 1(%rax), %rbx; lea 2(%rdx), %rcx;"
         "   lock cmpxchg16b (%rdi); jne 2b;"
         "   dec %r8d; jnz 1b; hlt");

static void pairs_change_together(void **state)
{
    static const uint64_t places[] = {TINY_DATA, TINY_CODE + 0x800};
    for (size_t n = 0; n < HK_COUNT(places); n++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 2);
        uint64_t rounds = n == 0 ? ROUNDS : ROUNDS / 20;
        run_same(vm, code_pair, code_pair_end, places[n], rounds);
        assert_int_equal(tiny_get64(vm, places[n]), 2 * rounds);
        assert_int_equal(tiny_get64(vm, places[n] + 8), 4 * rounds);
        tiny_free(vm);
    }
}

/* ---- order ------------------------------------------------------------------
 */

/*
 * A message: the data first, then the flag, and the answer back. The reader
 * stops with the wrong data in RAX.
 */
TINY_ASM(code_writer, 64,
         "mov $1, %eax;"
         "1: mov %eax, (%rdi); mov %eax, 64(%rdi);"
         "2: cmp %eax, 128(%rdi); pause; jne 2b;"
         "   inc %eax; dec %ecx; jnz 1b; hlt");
TINY_ASM(code_reader, 64,
         "mov $1, %edx;"
         "1: cmp %edx, 64(%rdi); pause; jne 1b;"
         "   mov (%rdi), %eax; cmp %edx, %eax; jne 9f;"
         "   mov %edx, 128(%rdi);"
         "   inc %edx; dec %ecx; jnz 1b; xor %eax, %eax; 9: hlt");

static void start_pair(struct tiny_vm *vm, const uint8_t *second,
                       const uint8_t *end, uint64_t rounds)
{
    struct hk_vcpu_state *s = &vm->cpu[1].state;
    s->rip = AT;
    tiny_put(vm, AT, second, (size_t)(end - second));
    for (unsigned n = 0; n < 2; n++) {
        vm->cpu[n].state.gpr[HK_RCX] = rounds;
        vm->cpu[n].state.gpr[HK_RDI] = TINY_DATA;
        vm->cpu[n].state.gpr[HK_RSP] = TINY_STACK - n * 0x1000;
    }
}

static void stores_are_seen_in_order(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 2);
    TINY_LOAD(vm, code_writer);
    start_pair(vm, code_reader, code_reader_end, 200);
    run_both(vm);
    assert_int_equal(vm->cpu[1].state.gpr[HK_RAX], 0);
    tiny_free(vm);
}

TINY_ASM(code_spin, 64, "1: pause; jmp 1b");
TINY_ASM(code_work, 64, "1: inc %eax; jmp 1b");

static enum hk_cpu_exit run_one(const uint8_t *code, const uint8_t *end)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    tiny_load(vm, code, end);
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, &vm->cpu[0].state), 0);
    enum hk_cpu_exit why = hk_cpu_run(vm->cpu[0].cpu, 100000);
    tiny_free(vm);
    return why;
}

static void a_vcpu_that_spins_makes_room(void **state)
{
    assert_int_equal(run_one(code_spin, code_spin_end), HK_CPU_EXIT_SPINNING);
    assert_int_equal(run_one(code_work, code_work_end), HK_CPU_EXIT_BUDGET);
}

/* ---- code changed by the other vCPU ---------------------------------------
 */

/*
 * The protocol for cross-modifying code of SDM volume 3, 9.1.3: new code,
 * then the flag; the other side sees the flag, serialises, runs the code.
 * The code is `mov $n, %eax; ret` at RDI + 0x100.
 */
TINY_ASM(code_changer, 64,
         "mov $1, %eax;"
         "1: mov %eax, 0x101(%rdi); mov %eax, (%rdi);"
         "2: cmp %eax, 64(%rdi); pause; jne 2b;"
         "   inc %eax; dec %ecx; jnz 1b; hlt");
TINY_ASM(code_runner, 64,
         "mov %ecx, %r8d; mov $1, %r9d; lea 0x100(%rdi), %rsi;"
         "1: cmp %r9d, (%rdi); pause; jne 1b;"
         "   xor %eax, %eax; cpuid;"
         "   call *%rsi; cmp %r9d, %eax; jne 9f;"
         "   mov %r9d, 64(%rdi);"
         "   inc %r9d; dec %r8d; jnz 1b; xor %eax, %eax; 9: hlt");

static void changed_code_is_run_after_the_flag(void **state)
{
    static const uint8_t routine[] = {0xb8, 0, 0, 0, 0, 0xc3};
    struct tiny_vm *vm = tiny_new(TINY_LONG, 2);
    tiny_put(vm, TINY_DATA + 0x100, routine, sizeof(routine));
    TINY_LOAD(vm, code_changer);
    start_pair(vm, code_runner, code_runner_end, 100);
    run_both(vm);
    assert_int_equal(vm->cpu[1].state.gpr[HK_RAX], 0);
    tiny_free(vm);
}

/* Both write code and run it at once, each its own on the same page. */
TINY_ASM(code_generator, 64,
         "1: mov %ecx, 1(%rdi); call *%rdi; cmp %ecx, %eax; jne 9f;"
         "   dec %ecx; jnz 1b; xor %eax, %eax; 9: hlt");

static void two_vcpus_make_code_on_one_page(void **state)
{
    static const uint8_t routine[] = {0xb8, 0, 0, 0, 0, 0xc3};
    struct tiny_vm *vm = tiny_new(TINY_LONG, 2);
    TINY_LOAD(vm, code_generator);
    for (unsigned n = 0; n < 2; n++) {
        uint64_t at = TINY_DATA + n * 0x200;
        tiny_put(vm, at, routine, sizeof(routine));
        vm->cpu[n].state.gpr[HK_RCX] = 2000;
        vm->cpu[n].state.gpr[HK_RDI] = at;
        vm->cpu[n].state.gpr[HK_RSP] = TINY_STACK - n * 0x1000;
    }
    run_both(vm);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 0);
    assert_int_equal(vm->cpu[1].state.gpr[HK_RAX], 0);
    tiny_free(vm);
}

/* ---- the cache of decoded code is emptied -----------------------------------
 */

enum { LINKS = 20000, LINK_SIZE = 16 };

/* inc %rax; jmp to the next link. */
static void put_links(struct tiny_vm *vm)
{
    uint8_t link[] = {0x48, 0xff, 0xc0, 0xe9, LINK_SIZE - 8, 0, 0, 0};
    uint8_t last[] = {0xc3};
    for (uint64_t n = 0; n < LINKS; n++)
        tiny_put(vm, TINY_BIG + n * LINK_SIZE, link, sizeof(link));
    tiny_put(vm, TINY_BIG + LINKS * LINK_SIZE, last, sizeof(last));
}

TINY_ASM(code_walk, 64, "1: call *%rdi; dec %ecx; jnz 1b; hlt");

static void a_full_cache_is_emptied_and_filled_again(void **state)
{
    struct tiny_vm *vm = tiny_new_code(TINY_LONG, 2, 1);
    put_links(vm);
    run_same(vm, code_walk, code_walk_end, TINY_BIG, 3);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 3 * LINKS);
    assert_int_equal(vm->cpu[1].state.gpr[HK_RAX], 3 * LINKS);
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(locked_instructions_lose_nothing),
    cmocka_unit_test(locked_instructions_across_lines_lose_nothing),
    cmocka_unit_test(locked_instructions_across_pages_lose_nothing),
    cmocka_unit_test(locked_instructions_beside_code_lose_nothing),
    cmocka_unit_test(pairs_change_together),
    cmocka_unit_test(stores_are_seen_in_order),
    cmocka_unit_test(a_vcpu_that_spins_makes_room),
    cmocka_unit_test(changed_code_is_run_after_the_flag),
    cmocka_unit_test(two_vcpus_make_code_on_one_page),
    cmocka_unit_test(a_full_cache_is_emptied_and_filled_again),
};
HK_TEST_MAIN(cases)
