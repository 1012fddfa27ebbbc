/*
 * Segments: limits and types in 32-bit mode, loads, far transfers, gates,
 * real mode, virtual-8086 mode, the I/O bit map.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

enum {
    SEL = TINY_SPARE, /* the segment of the test */
    SEL2 = TINY_SPARE + 8,
    LDT = TINY_SPARE + 0x10, /* 16 bytes in long mode */
    CONFORMING = TINY_SPARE + 0x20,
    GATE = TINY_SPARE + 0x30, /* 16 bytes in long mode */
};

TINY_ASM(code_read, 32, "mov %ecx, %ds; mov (%esi), %eax; hlt");
TINY_ASM(code_read8, 32, "mov %ecx, %ds; mov (%esi), %al; hlt");
TINY_ASM(code_write, 32, "mov %ecx, %ds; mov %eax, (%esi); hlt");
TINY_ASM(code_ss_read, 32, "mov %ecx, %ss; nop; mov %ss:(%esi), %eax; hlt");
TINY_ASM(code_cs_write, 32, "mov %eax, %cs:(%esi); hlt");
TINY_ASM(code_cs_read, 32, "mov %ecx, %ecx; mov %cs:(%esi), %eax; hlt");

static struct tiny_end run32(uint64_t desc, const uint8_t *code,
                             const uint8_t *end, uint32_t esi)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    tiny_set_desc(vm, SEL, desc);
    tiny_load(vm, code, end);
    vm->cpu[0].state.gpr[HK_RCX] = SEL;
    vm->cpu[0].state.gpr[HK_RSI] = esi;
    struct tiny_end e = tiny_run(vm);
    tiny_free(vm);
    return e;
}

#define RUN32(desc, name, esi) run32(desc, name, name##_end, esi)

static void an_access_must_end_within_the_limit(void **state)
{
    uint64_t d = tiny_desc(TINY_DATA, 0x0fff, 0x4093);
    assert_int_equal(RUN32(d, code_read, 0xffc).vector, -1);
    struct tiny_end e = RUN32(d, code_read, 0xffd);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.rip, TINY_CODE + 2);
    assert_int_equal(RUN32(d, code_read8, 0xfff).vector, -1);
    assert_int_equal(RUN32(d, code_read8, 0x1000).vector, HK_VEC_GP);
    assert_int_equal(RUN32(d, code_read, 0xfffffffe).vector, HK_VEC_GP);
}

TINY_ASM(code_bound, 32, "mov %ecx, %ds; mov $-1, %eax; bound %eax, (%esi)");

static void the_parts_of_an_operand_meet_the_limit_one_by_one(void **state)
{
    uint64_t d = tiny_desc(TINY_DATA, 0x0fff, 0x4093);
    /* -1 is below the lower bound, 0; the upper one is not looked at. */
    assert_int_equal(RUN32(d, code_bound, 0xffc).vector, HK_VEC_BR);
    assert_int_equal(RUN32(d, code_bound, 0xffd).vector, HK_VEC_GP);
}

TINY_ASM(code_pop_es, 32, "mov %ecx, %ss; mov %esi, %esp; pop %es; hlt");

static void a_popped_selector_is_two_bytes(void **state)
{
    uint64_t d = tiny_desc(TINY_DATA, 0x0fff, 0x4093);
    assert_int_equal(RUN32(d, code_pop_es, 0xffe).vector, -1);
    assert_int_equal(RUN32(d, code_pop_es, 0xfff).vector, HK_VEC_SS);
}

static void a_granular_limit_counts_pages(void **state)
{
    uint64_t d = tiny_desc(TINY_DATA, 1, 0xc093);
    assert_int_equal(RUN32(d, code_read, 0x1ffc).vector, -1);
    assert_int_equal(RUN32(d, code_read, 0x1ffd).vector, HK_VEC_GP);
}

static void an_expand_down_segment_begins_above_its_limit(void **state)
{
    uint64_t big = tiny_desc(0, 0x27fff, 0x4097);
    assert_int_equal(RUN32(big, code_read, 0x28000).vector, -1);
    assert_int_equal(RUN32(big, code_read, 0x27fff).vector, HK_VEC_GP);
    uint64_t small = tiny_desc(0x20000, 0x7fff, 0x0097);
    assert_int_equal(RUN32(small, code_read, 0xfffc).vector, -1);
    assert_int_equal(RUN32(small, code_read, 0xfffd).vector, HK_VEC_GP);
    assert_int_equal(RUN32(small, code_read, 0x7fff).vector, HK_VEC_GP);
}

static void the_type_decides_about_writes_and_reads(void **state)
{
    uint64_t read_only = tiny_desc(0, 0xfffff, 0xc091);
    assert_int_equal(RUN32(read_only, code_read, TINY_DATA).vector, -1);
    assert_int_equal(RUN32(read_only, code_write, TINY_DATA).vector, HK_VEC_GP);
    uint64_t any = tiny_desc(0, 0xfffff, 0xc093);
    assert_int_equal(RUN32(any, code_cs_write, TINY_DATA).vector, HK_VEC_GP);
    assert_int_equal(RUN32(any, code_cs_read, TINY_DATA).vector, -1);
}

static void stack_segment_limits_are_ss(void **state)
{
    uint64_t d = tiny_desc(0, TINY_STACK + 0xfff, 0x4093);
    struct tiny_end e = RUN32(d, code_ss_read, TINY_STACK + 0xffd);
    assert_int_equal(e.vector, HK_VEC_SS);
    assert_int_equal(e.err, 0);
}

/* ---- loads --------------------------------------------------------------- */

TINY_ASM(code_load_ds, 32, "mov %ecx, %ds; hlt");
TINY_ASM(code_load_ss, 32, "mov %ecx, %ss; hlt");
TINY_ASM(code_null_read, 32, "mov %ecx, %ds; mov (%esi), %al; hlt");

static void check_load(const uint8_t *code, const uint8_t *end, uint64_t desc,
                       uint16_t selector, int vector, uint32_t err)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    tiny_load(vm, code, end);
    tiny_set_desc(vm, SEL, desc);
    vm->cpu[0].state.gpr[HK_RCX] = selector;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, vector);
    if (vector >= 0)
        assert_int_equal(e.err, err);
    tiny_free(vm);
}

#define LOAD_DS(d, s, v, e) \
    check_load(code_load_ds, code_load_ds_end, d, s, v, e)
#define LOAD_SS(d, s, v, e) \
    check_load(code_load_ss, code_load_ss_end, d, s, v, e)

static void data_segment_loads_are_checked(void **state)
{
    LOAD_DS(tiny_desc(0, 1, 0x0093), SEL, -1, 0);
    LOAD_DS(tiny_desc(0, 1, 0x009b), SEL, -1, 0); /* readable code */
    LOAD_DS(tiny_desc(0, 1, 0x0099), SEL, HK_VEC_GP, SEL);
    LOAD_DS(tiny_desc(0, 1, 0x0089), SEL, HK_VEC_GP, SEL); /* a TSS */
    LOAD_DS(tiny_desc(0, 1, 0x0013), SEL, HK_VEC_NP, SEL);
    LOAD_DS(tiny_desc(0, 1, 0x0093), SEL | 3, HK_VEC_GP, SEL);
    LOAD_DS(tiny_desc(0, 1, 0x00f3), SEL | 3, -1, 0);
    LOAD_DS(tiny_desc(0, 1, 0x009f), SEL | 3, -1, 0); /* conforming */
    LOAD_DS(0, 0xf8 + 0x100, HK_VEC_GP, 0x1f8);       /* beyond the table */
    LOAD_DS(0, SEL | 4, HK_VEC_GP, SEL | 4);          /* no LDT */
    LOAD_DS(0, 3, -1, 0);                             /* null */
}

static void stack_segment_loads_are_checked(void **state)
{
    LOAD_SS(tiny_desc(0, 0xfffff, 0xc093), SEL, -1, 0);
    LOAD_SS(tiny_desc(0, 0xfffff, 0xc091), SEL, HK_VEC_GP, SEL);
    LOAD_SS(tiny_desc(0, 0xfffff, 0xc09b), SEL, HK_VEC_GP, SEL);
    LOAD_SS(tiny_desc(0, 0xfffff, 0xc0f3), SEL, HK_VEC_GP, SEL);
    LOAD_SS(tiny_desc(0, 0xfffff, 0xc093), SEL | 3, HK_VEC_GP, SEL);
    LOAD_SS(tiny_desc(0, 0xfffff, 0xc013), SEL, HK_VEC_SS, SEL);
    LOAD_SS(0, 0, HK_VEC_GP, 0);
}

static void a_load_sets_the_accessed_bit(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    TINY_LOAD(vm, code_load_ds);
    tiny_set_desc(vm, SEL, tiny_desc(0, 1, 0x0092));
    vm->cpu[0].state.gpr[HK_RCX] = SEL;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(tiny_get64(vm, TINY_GDT + SEL), tiny_desc(0, 1, 0x0093));
    tiny_free(vm);
}

static void a_null_segment_cannot_be_used(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    TINY_LOAD(vm, code_null_read);
    vm->cpu[0].state.gpr[HK_RCX] = 0;
    vm->cpu[0].state.gpr[HK_RSI] = TINY_DATA;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.rip, TINY_CODE + 2);
    tiny_free(vm);
}

TINY_ASM(code_ldt, 32,
         "mov %edx, %eax; lldt %ax; mov %ecx, %fs; mov %fs:(%esi), %eax;"
         "sldt %ebx; hlt");

static void the_ldt_serves_selectors_with_ti(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_ldt);
    tiny_set_desc(vm, LDT, tiny_desc(TINY_DATA, 15, 0x82));
    tiny_set64(vm, TINY_DATA + 8, tiny_desc(TINY_DATA + 0x100, 3, 0x4093));
    tiny_set64(vm, TINY_DATA + 0x100, 0x12345678);
    s->gpr[HK_RDX] = LDT;
    s->gpr[HK_RCX] = 12;
    s->gpr[HK_RSI] = 0;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RAX], 0x12345678);
    assert_int_equal(s->gpr[HK_RBX], LDT);
    assert_int_equal(s->fs.base, TINY_DATA + 0x100);
    tiny_free(vm);
}

TINY_ASM(code_ltr, 32, "ltr %cx; str %eax; hlt");

static void ltr_marks_the_tss_busy_and_refuses_a_busy_one(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_ltr);
    tiny_set_desc(vm, SEL, tiny_desc(TINY_TSS, 0x67, 0x89));
    s->gpr[HK_RCX] = SEL;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RAX], SEL);
    assert_int_equal(tiny_get64(vm, TINY_GDT + SEL) >> 40 & 0xff, 0x8b);
    s->rip = TINY_CODE;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, SEL);
    tiny_free(vm);
}

TINY_ASM(code_ask, 32,
         "lar %ecx, %eax; setz %dl; lsl %ecx, %ebx; setz %dh; verr %cx;"
         "setz %cl; hlt");

static void lar_lsl_and_verr_tell_about_a_selector(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_ask);
    tiny_set_desc(vm, SEL, tiny_desc(0x12345678, 0x54321, 0xc093));
    s->gpr[HK_RCX] = SEL;
    s->gpr[HK_RDX] = 0;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RAX], 0xc59300); /* with limit bits */
    assert_int_equal(s->gpr[HK_RBX], 0x54321fff);
    assert_int_equal(s->gpr[HK_RDX], 0x101);
    assert_int_equal(s->gpr[HK_RCX] & 0xff, 1);
    tiny_free(vm);
}

/* ---- far transfers --------------------------------------------------------
 */

TINY_ASM(code_far_jump, 32, ".byte 0xea; .long 0x20100; .word 0x68; hlt");

static void a_far_jump_checks_the_code_segment(void **state)
{
    static const struct {
        uint16_t attr;
        int vector;
    } k[] = {
        {0xc09b, -1},        {0xc09f, -1}, /* conforming */
        {0xc0fb, HK_VEC_GP},               /* less privileged */
        {0xc093, HK_VEC_GP},               /* data */
        {0xc01b, HK_VEC_NP},
    };
    for (size_t n = 0; n < HK_COUNT(k); n++) {
        struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
        TINY_LOAD(vm, code_far_jump);
        tiny_put(vm, 0x20100, "\xf4", 1);
        tiny_set_desc(vm, CONFORMING, tiny_desc(0, 0xfffff, k[n].attr));
        struct tiny_end e = tiny_run(vm);
        assert_int_equal(e.vector, k[n].vector);
        if (k[n].vector >= 0)
            assert_int_equal(e.err, CONFORMING);
        else
            assert_int_equal(vm->cpu[0].state.rip, 0x20101);
        tiny_free(vm);
    }
}

TINY_ASM(code_gate_target, 32, "mov 8(%esp), %eax; mov %esp, %ebx; lret $4");
TINY_ASM(code_gate_user, 32,
         "push $0x55; .byte 0x9a; .long 0; .word 0x7b; mov %esp, %ecx; int3");

static void a_call_gate_switches_stacks_and_copies_parameters(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    uint32_t at = TINY_CODE + 0x800;
    TINY_LOAD_USER(vm, code_gate_user);
    tiny_put(vm, at, code_gate_target,
             (size_t)(code_gate_target_end - code_gate_target));
    tiny_set_gate(vm, 3, TINY_STUBS + 48, TINY_CS32, 0xee, 0);
    /* One parameter, DPL 3. */
    tiny_set_desc(vm, GATE,
                  (at & 0xffff) | (uint64_t)TINY_CS32 << 16 | 1ull << 32 |
                      0xecull << 40 | (uint64_t)(at >> 16) << 48);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, 3);
    assert_int_equal(s->gpr[HK_RAX], 0x55);
    assert_int_equal(s->gpr[HK_RBX], TINY_STACK0 - 20);
    assert_int_equal(s->gpr[HK_RCX], TINY_USER_STACK);
    assert_int_equal(e.cs, TINY_USER_CS32);
    tiny_free(vm);
}

/* ---- 64-bit mode ------------------------------------------------------------
 */

TINY_ASM(code64_gate_user, 64,
         "sub $16, %rsp; movl $0, (%rsp); movw $0x7b, 4(%rsp);"
         "lcall *(%rsp); hlt");
TINY_ASM(code64_gate_target, 64, "mov (%rsp), %rax; mov 24(%rsp), %rbx; hlt");

static void a_64_bit_call_gate_uses_rsp0(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    uint64_t at = TINY_CODE + 0x800;
    TINY_LOAD_USER(vm, code64_gate_user);
    tiny_put(vm, at, code64_gate_target,
             (size_t)(code64_gate_target_end - code64_gate_target));
    tiny_set_desc(vm, GATE,
                  (at & 0xffff) | (uint64_t)TINY_CS64 << 16 | 0xecull << 40 |
                      (at >> 16) << 48);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(s->gpr[HK_RSP], TINY_STACK0 - 32);
    assert_int_equal(s->gpr[HK_RAX],
                     TINY_USER_CODE +
                         (uint64_t)(code64_gate_user_end - code64_gate_user) -
                         1);
    assert_int_equal(s->gpr[HK_RBX], TINY_USER_DS);
    assert_int_equal(s->ss.selector, 0);
    tiny_free(vm);
}

TINY_ASM(code64_null_ss, 64, "xor %eax, %eax; mov %ax, %ss; push %rax; hlt");
TINY_ASM(code64_bases, 64,
         "wrfsbase %rax; wrgsbase %rbx; mov %fs:(%rsi), %rcx;"
         "mov %gs:(%rsi), %rdx; rdfsbase %r8; rdgsbase %r9; hlt");
TINY_ASM(code64_bad_base, 64, "wrfsbase %rax; hlt");
TINY_ASM(code64_swapgs, 64, "swapgs; mov %gs:(%rsi), %rdx; hlt");

static void ring_0_may_have_a_null_stack_segment(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code64_null_ss);
    assert_int_equal(tiny_run(vm).vector, -1);
    tiny_free(vm);
}

static void fs_and_gs_bases_move_by_instruction(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code64_bases);
    s->gpr[HK_RAX] = TINY_DATA;
    s->gpr[HK_RBX] = TINY_DATA + 0x100;
    s->gpr[HK_RSI] = 8;
    tiny_set64(vm, TINY_DATA + 8, 11);
    tiny_set64(vm, TINY_DATA + 0x108, 22);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD); /* no CR4.FSGSBASE */
    s->rip = TINY_CODE;
    s->cr4 |= HK_CR4_FSGSBASE;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RCX], 11);
    assert_int_equal(s->gpr[HK_RDX], 22);
    assert_int_equal(s->gpr[HK_R8], TINY_DATA);
    assert_int_equal(s->gpr[HK_R9], TINY_DATA + 0x100);
    tiny_free(vm);
}

static void a_base_must_be_canonical(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code64_bad_base);
    vm->cpu[0].state.cr4 |= HK_CR4_FSGSBASE;
    vm->cpu[0].state.gpr[HK_RAX] = 1ull << 47;
    assert_int_equal(tiny_run(vm).vector, HK_VEC_GP);
    tiny_free(vm);
}

static void swapgs_exchanges_the_bases(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code64_swapgs);
    s->kernel_gs_base = TINY_DATA;
    s->gs.base = 0x1234;
    s->gpr[HK_RSI] = 0;
    tiny_set64(vm, TINY_DATA, 33);
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RDX], 33);
    assert_int_equal(s->kernel_gs_base, 0x1234);
    TINY_LOAD_USER(vm, code64_swapgs);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_GP);
    tiny_free(vm);
}

/* ---- ports
 * -------------------------------------------------------------------- */

TINY_ASM(code64_out, 64, "out %ax, %dx; ud2");
TINY_ASM(code64_cli, 64, "cli; ud2");

static void the_io_bit_map_lets_ring_3_use_single_ports(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct tiny_cpu *t = &vm->cpu[0];
    uint8_t *map = vm->ram + TINY_TSS + 104;
    vm->ram[TINY_TSS + 102] = 104;
    memset(map, 0xff, 0x2001);
    map[0x3f8 / 8] = 0xfc; /* 3f8 and 3f9 */
    t->state.gpr[HK_RDX] = 0x3f8;
    t->state.gpr[HK_RAX] = 0xbeef;
    TINY_LOAD_USER(vm, code64_out);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
    assert_int_equal(t->port, 0x3f8);
    assert_int_equal(t->port_value, 0xbeef);
    t->state.gpr[HK_RDX] = 0x3f9; /* the second byte is 3fa */
    TINY_LOAD_USER(vm, code64_out);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, 0);
    assert_int_equal(t->port_writes, 1);
    tiny_free(vm);
}

static void iopl_3_lets_ring_3_use_all_ports_and_cli(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct tiny_cpu *t = &vm->cpu[0];
    t->state.rflags |= HK_RF_IOPL;
    TINY_LOAD_USER(vm, code64_out);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
    assert_int_equal(t->port_writes, 1);
    TINY_LOAD_USER(vm, code64_cli);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
    t->state.rflags &= ~(uint64_t)HK_RF_IOPL;
    TINY_LOAD_USER(vm, code64_cli);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_GP);
    tiny_free(vm);
}

/* ---- real and virtual-8086 mode ----------------------------------------- */

TINY_ASM(code16_limit, 16, "mov $0xffff, %si; mov (%si), %ax; hlt");
TINY_ASM(code16_int, 16, "mov $0x1234, %ax; int $0x21; hlt");
TINY_ASM(code16_far, 16, "lcall $0x700, $0x10; hlt");
TINY_ASM(code16_far_to, 16, "mov %cs, %ax; lret");

static void a_word_at_the_end_of_a_real_mode_segment_is_gp(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_REAL, 1);
    TINY_LOAD(vm, code16_limit);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.rip, 0x7c03);
    tiny_free(vm);
}

static void real_mode_interrupts_go_through_the_ivt(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_REAL, 1);
    TINY_LOAD(vm, code16_int);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, 0x21);
    assert_int_equal(e.rip, 0x7c05);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RSP], 0x7000 - 6);
    tiny_free(vm);
}

static void real_mode_far_calls_come_back(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_REAL, 1);
    TINY_LOAD(vm, code16_far);
    tiny_put(vm, 0x7010, code16_far_to,
             (size_t)(code16_far_to_end - code16_far_to));
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 0x700);
    assert_int_equal(vm->cpu[0].state.cs.selector, 0);
    assert_int_equal(vm->cpu[0].state.rip, 0x7c06);
    tiny_free(vm);
}

TINY_ASM(code32_to_v86, 32,
         "pushl $0; pushl $0; pushl $0; pushl $0; pushl $0x700;"
         "pushl $0x800; pushl $0x20002; pushl $0x900; pushl $0; iretl");
TINY_ASM(code16_v86, 16, "mov %cs, %ax; mov %ss, %bx; ud2");

static void iret_enters_virtual_8086_mode_and_a_fault_leaves_it(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code32_to_v86);
    tiny_put(vm, 0x9000, code16_v86, (size_t)(code16_v86_end - code16_v86));
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(s->gpr[HK_RAX] & 0xffff, 0x900);
    assert_int_equal(s->gpr[HK_RBX] & 0xffff, 0x700);
    assert_int_equal(e.cs, 0x900);
    assert_int_equal(e.rip, 4);
    assert_true(e.rflags & HK_RF_VM);
    assert_int_equal(s->rflags & HK_RF_VM, 0);
    assert_int_equal(e.rsp, 0x800);
    assert_int_equal(e.ss, 0x700);
    assert_int_equal(s->gpr[HK_RSP], TINY_STACK0 - 36);
    assert_int_equal(s->ds.selector, 0);
    tiny_free(vm);
}

static void a_16_bit_gate_saves_virtual_8086_segments_as_words(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code32_to_v86);
    tiny_put(vm, 0x9000, code16_v86, (size_t)(code16_v86_end - code16_v86));
    tiny_set_gate(vm, HK_VEC_UD, TINY_STUBS + 16 * HK_VEC_UD, TINY_CS32, 0x86,
                  0);
    (void)tiny_run(vm);
    assert_int_equal(s->rflags & HK_RF_VM, 0);
    assert_int_equal(s->gpr[HK_RSP], TINY_STACK0 - 18);
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(an_access_must_end_within_the_limit),
    cmocka_unit_test(the_parts_of_an_operand_meet_the_limit_one_by_one),
    cmocka_unit_test(a_popped_selector_is_two_bytes),
    cmocka_unit_test(a_granular_limit_counts_pages),
    cmocka_unit_test(an_expand_down_segment_begins_above_its_limit),
    cmocka_unit_test(the_type_decides_about_writes_and_reads),
    cmocka_unit_test(stack_segment_limits_are_ss),
    cmocka_unit_test(data_segment_loads_are_checked),
    cmocka_unit_test(stack_segment_loads_are_checked),
    cmocka_unit_test(a_load_sets_the_accessed_bit),
    cmocka_unit_test(a_null_segment_cannot_be_used),
    cmocka_unit_test(the_ldt_serves_selectors_with_ti),
    cmocka_unit_test(ltr_marks_the_tss_busy_and_refuses_a_busy_one),
    cmocka_unit_test(lar_lsl_and_verr_tell_about_a_selector),
    cmocka_unit_test(a_far_jump_checks_the_code_segment),
    cmocka_unit_test(a_call_gate_switches_stacks_and_copies_parameters),
    cmocka_unit_test(a_64_bit_call_gate_uses_rsp0),
    cmocka_unit_test(ring_0_may_have_a_null_stack_segment),
    cmocka_unit_test(fs_and_gs_bases_move_by_instruction),
    cmocka_unit_test(a_base_must_be_canonical),
    cmocka_unit_test(swapgs_exchanges_the_bases),
    cmocka_unit_test(the_io_bit_map_lets_ring_3_use_single_ports),
    cmocka_unit_test(iopl_3_lets_ring_3_use_all_ports_and_cli),
    cmocka_unit_test(a_word_at_the_end_of_a_real_mode_segment_is_gp),
    cmocka_unit_test(real_mode_interrupts_go_through_the_ivt),
    cmocka_unit_test(real_mode_far_calls_come_back),
    cmocka_unit_test(iret_enters_virtual_8086_mode_and_a_fault_leaves_it),
    cmocka_unit_test(a_16_bit_gate_saves_virtual_8086_segments_as_words),
};
HK_TEST_MAIN(cases)
