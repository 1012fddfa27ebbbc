/*
 * Exceptions: vectors, error codes, frames, restart, double and triple faults.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

static struct tiny_end run64(const uint8_t *code, const uint8_t *end,
                             struct hk_vcpu_state *out)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    tiny_load(vm, code, end);
    struct tiny_end e = tiny_run(vm);
    if (out != NULL)
        *out = vm->cpu[0].state;
    tiny_free(vm);
    return e;
}

#define RUN64(name) run64(name, name##_end, NULL)

/* ---- single exceptions -------------------------------------------------- */

TINY_ASM(code_div0, 64, "xor %ecx, %ecx; div %ecx; hlt");
TINY_ASM(code_div_big, 64, "mov $5, %edx; mov $3, %ecx; div %ecx; hlt");
TINY_ASM(code_idiv_min, 64,
         "mov $0x80000000, %eax; cdq; mov $-1, %ecx; idiv %ecx; hlt");

static void division_errors_are_faults(void **state)
{
    struct tiny_end e = RUN64(code_div0);
    assert_int_equal(e.vector, HK_VEC_DE);
    assert_int_equal(e.rip, TINY_CODE + 2);
    assert_true(e.rflags & HK_RF_RF);
    assert_int_equal(e.cs, TINY_CS64);
    assert_int_equal(e.rsp, TINY_STACK);
    assert_int_equal(e.ss, TINY_DS);
    assert_int_equal(RUN64(code_div_big).vector, HK_VEC_DE);
    assert_int_equal(RUN64(code_idiv_min).vector, HK_VEC_DE);
}

TINY_ASM(code_ud2, 64, "nop; ud2");
TINY_ASM(code_push_es, 64, ".byte 0x06");
TINY_ASM(code_lock_nop, 64, ".byte 0xf0, 0x90");
TINY_ASM(code_lock_reg, 64, ".byte 0xf0, 0x01, 0xc0");
TINY_ASM(code_mov_cs, 64, ".byte 0x8e, 0xc8");
TINY_ASM(code_mov_cr1, 64, ".byte 0x0f, 0x20, 0xc8");

static void undefined_instructions_are_faults(void **state)
{
    struct tiny_end e = RUN64(code_ud2);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(e.rip, TINY_CODE + 1);
    assert_int_equal(RUN64(code_push_es).vector, HK_VEC_UD);
    assert_int_equal(RUN64(code_lock_nop).vector, HK_VEC_UD);
    assert_int_equal(RUN64(code_lock_reg).vector, HK_VEC_UD);
    assert_int_equal(RUN64(code_mov_cs).vector, HK_VEC_UD);
    assert_int_equal(RUN64(code_mov_cr1).vector, HK_VEC_UD);
}

TINY_ASM(code_long, 64, ".fill 15, 1, 0x66; nop; hlt");

static void an_instruction_over_15_bytes_is_gp(void **state)
{
    struct tiny_end e = RUN64(code_long);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.rip, TINY_CODE);
}

TINY_ASM(code_noncanonical, 64,
         "movabs $0x800000000000, %rsi; mov (%rsi), %al; hlt");
TINY_ASM(code_noncanonical_stack, 64,
         "movabs $0x800000000010, %rsp; push %rax; hlt");
TINY_ASM(code_noncanonical_rbp, 64,
         "movabs $0x800000000010, %rbp; mov (%rbp), %rax; hlt");
TINY_ASM(code_noncanonical_jump, 64, "movabs $0x800000000000, %rsi; jmp *%rsi");

static void addresses_must_be_canonical(void **state)
{
    struct tiny_end e = RUN64(code_noncanonical);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.rip, TINY_CODE + 10);
    assert_int_equal(RUN64(code_noncanonical_rbp).vector, HK_VEC_SS);
    assert_int_equal(RUN64(code_noncanonical_jump).vector, HK_VEC_GP);
}

static void a_stack_that_is_not_canonical_is_ss(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_noncanonical_stack);
    tiny_set_gate(vm, HK_VEC_SS, TINY_STUBS + 12 * 16, TINY_CS64, 0x8e, 1);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_SS);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.rip, TINY_CODE + 10);
    assert_int_equal(e.rsp, 0x800000000010);
    tiny_free(vm);
}

TINY_ASM(code_ts, 64, "fld1; hlt");

static void ts_makes_floating_point_unavailable(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_ts);
    vm->cpu[0].state.cr0 |= HK_CR0_TS;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_NM);
    assert_int_equal(e.rip, TINY_CODE);
    tiny_free(vm);
}

TINY_ASM(code_int3, 64, "int3; hlt");
TINY_ASM(code_int80, 64, "int $0x80; hlt");
TINY_ASM(code_int1, 64, ".byte 0xf1; hlt");

static void software_interrupts_are_traps(void **state)
{
    struct tiny_end e = RUN64(code_int3);
    assert_int_equal(e.vector, HK_VEC_BP);
    assert_int_equal(e.rip, TINY_CODE + 1);
    assert_int_equal(e.rflags & HK_RF_RF, 0);
    e = RUN64(code_int80);
    assert_int_equal(e.vector, 0x80);
    assert_int_equal(e.rip, TINY_CODE + 2);
    assert_int_equal(RUN64(code_int1).vector, HK_VEC_DB);
}

static void int_n_from_ring_3_needs_the_gates_dpl(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD_USER(vm, code_int80);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, 0x80 * 8 + 2);
    assert_int_equal(e.rip, TINY_USER_CODE);
    tiny_set_gate(vm, 0x80, TINY_STUBS + 0x80 * 16, TINY_CS64, 0xee, 0);
    TINY_LOAD_USER(vm, code_int80);
    e = tiny_run(vm);
    assert_int_equal(e.vector, 0x80);
    assert_int_equal(e.rip, TINY_USER_CODE + 2);
    assert_int_equal(e.cs, TINY_USER_CS64);
    assert_int_equal(e.ss, TINY_USER_DS);
    assert_int_equal(e.rsp, TINY_USER_STACK);
    tiny_free(vm);
}

static void int1_from_ring_3_needs_no_dpl(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD_USER(vm, code_int1);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_DB);
    tiny_free(vm);
}

/* ---- single step -------------------------------------------------------- */

TINY_ASM(code_step, 64, "pushfq; orl $0x100, (%rsp); popfq; nop; nop; hlt");
TINY_ASM(code_step_ss, 64,
         "pushfq; orl $0x100, (%rsp); popfq; mov %ax, %ss; nop; nop; hlt");

static void tf_traps_after_the_next_instruction(void **state)
{
    struct hk_vcpu_state s;
    struct tiny_end e = run64(code_step, code_step_end, &s);
    assert_int_equal(e.vector, HK_VEC_DB);
    assert_int_equal(e.rip, TINY_CODE + 10);
    assert_true(e.rflags & HK_RF_TF);
    assert_int_equal(s.rflags & HK_RF_TF, 0);
    assert_int_equal(s.dr[6], 0xffff4ff0);
}

static void mov_ss_delays_the_single_step_trap(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_step_ss);
    vm->cpu[0].state.gpr[HK_RAX] = TINY_DS;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_DB);
    assert_int_equal(e.rip, TINY_CODE + 12);
    tiny_free(vm);
}

/* ---- frames ------------------------------------------------------------- */

static void an_ist_gate_switches_stacks_at_the_same_privilege(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_int3);
    tiny_set_gate(vm, 3, TINY_STUBS + 3 * 16, TINY_CS64, 0x8e, 1);
    vm->cpu[0].state.gpr[HK_RSP] = TINY_STACK - 4;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, 3);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RSP], TINY_IST1 - 40);
    assert_int_equal(e.rsp, TINY_STACK - 4);
    assert_int_equal(e.ss, TINY_DS);
    tiny_free(vm);
}

static void the_frame_is_16_byte_aligned(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_int3);
    vm->cpu[0].state.gpr[HK_RSP] = TINY_STACK - 3;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RSP], TINY_STACK - 16 - 40);
    assert_int_equal(e.rsp, TINY_STACK - 3);
    tiny_free(vm);
}

static void a_ring_3_exception_uses_rsp0_and_a_null_ss(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD_USER(vm, code_ud2);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RSP], TINY_STACK0 - 40);
    assert_int_equal(vm->cpu[0].state.ss.selector, 0);
    assert_int_equal(e.cs, TINY_USER_CS64);
    tiny_free(vm);
}

static void a_trap_gate_leaves_if_alone(void **state)
{
    for (int trap = 0; trap < 2; trap++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
        TINY_LOAD(vm, code_int3);
        tiny_set_gate(vm, 3, TINY_STUBS + 48, TINY_CS64, (uint8_t)(0x8e + trap),
                      0);
        vm->cpu[0].state.rflags |= HK_RF_IF;
        struct tiny_end e = tiny_run(vm);
        assert_true(e.rflags & HK_RF_IF);
        assert_int_equal((vm->cpu[0].state.rflags & HK_RF_IF) != 0, trap);
        tiny_free(vm);
    }
}

TINY_ASM(code_iret, 64,
         "mov %rsp, %rdi; push $0x23; push %rdi; push $0x202; push $0x2b;"
         "push $0x80000; iretq");
TINY_ASM(code_user_ud, 64, "mov %rsp, %rax; ud2");

static void iret_enters_ring_3(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_iret);
    tiny_put(vm, TINY_USER_CODE, code_user_ud, 5);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(e.rip, TINY_USER_CODE + 3);
    assert_int_equal(e.cs, 0x2b);
    assert_int_equal(e.ss, 0x23);
    assert_true(e.rflags & HK_RF_IF);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], TINY_STACK);
    tiny_free(vm);
}

TINY_ASM(code_iret_bad, 64,
         "push $0x10; push %rsp; push $2; push $8; movabs $1 << 47, %rax;"
         "push %rax; 1: iretq");
TINY_ASM(code_iret_data, 64,
         "push $0x10; push %rsp; push $2; push $0x10; push $0; 1: iretq");
TINY_ASM(code_iret_same, 64,
         "mov %rsp, %rax; push $0x10; push %rax; push $2; push $8;"
         "lea 1f(%rip), %rcx; push %rcx; iretq; 1: hlt");

static void iret_checks_what_it_returns_to(void **state)
{
    struct tiny_end e = RUN64(code_iret_bad);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, 0);
    e = RUN64(code_iret_data);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.err, 0x10);
    struct hk_vcpu_state s;
    e = run64(code_iret_same, code_iret_same_end, &s);
    assert_int_equal(e.vector, -1);
    assert_int_equal(s.gpr[HK_RSP], TINY_STACK);
}

TINY_ASM(code_iret_null, 64,
         "mov $3, %eax; mov %eax, %ds; mov %eax, %fs; push $0x23; push %rsp;"
         "push $2; push $0x2b; push $0x80000; iretq");
TINY_ASM(code_user_segments, 64, "mov %ds, %eax; mov %fs, %ecx; ud2");

static void iret_to_ring_3_clears_the_rpl_of_null_segments(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_iret_null);
    tiny_put(vm, TINY_USER_CODE, code_user_segments,
             (size_t)(code_user_segments_end - code_user_segments));
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 0);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RCX], 0);
    tiny_free(vm);
}

TINY_ASM(code_iret_small, 64,
         "movabs $0xffff800000060000, %rsp; push $0x4b; push $0x5678;"
         "push $2; push $0x1b; push $0x80000; iretq");
TINY_ASM(code_user_ud32, 32, "ud2");

static void a_16_bit_stack_shows_nothing_above_esp(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    tiny_set64(vm, TINY_PML4 + 256 * 8, tiny_get64(vm, TINY_PML4));
    tiny_set_desc(vm, TINY_SPARE, tiny_desc(0, 0xffff, 0xf3));
    TINY_LOAD(vm, code_iret_small);
    tiny_put(vm, TINY_USER_CODE, code_user_ud32, 2);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(e.ss, TINY_SPARE | 3);
    assert_int_equal(e.rsp, 0x55678);
    tiny_free(vm);
}

/* ---- REP and restarts --------------------------------------------------- */

TINY_ASM(code_rep_movs, 64, "cld; rep movsb; hlt");
TINY_ASM(code_rep_movs_down, 64, "std; rep movsb; hlt");
TINY_ASM(code_rep_stos, 64, "cld; rep stosq; hlt");
TINY_ASM(code_repe_cmps, 64, "cld; repe cmpsw; hlt");
TINY_ASM(code_rep_lods, 64, "cld; rep lodsl; hlt");
TINY_ASM(code_repne_scas, 64, "cld; repne scasb; hlt");
TINY_ASM(code_rep_outs, 64, "cld; rep outsb; hlt");
TINY_ASM(code_rep_ins, 64, "cld; rep insb; hlt");

struct rep_case {
    const uint8_t *code, *end;
    uint64_t rsi, rdi, rcx;
    uint64_t left, rsi_after, rdi_after;
    uint32_t err;
};

enum { HOLE = TINY_DATA + 0x2000 };

static void check_rep(const struct rep_case *k)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    tiny_load(vm, k->code, k->end);
    s->gpr[HK_RSI] = k->rsi;
    s->gpr[HK_RDI] = k->rdi;
    s->gpr[HK_RCX] = k->rcx;
    s->gpr[HK_RAX] = 1;
    tiny_set_pte(vm, HOLE, 0);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, k->err);
    assert_int_equal(e.rip, TINY_CODE + 1);
    assert_int_equal(s->gpr[HK_RCX], k->left);
    assert_int_equal(s->gpr[HK_RSI], k->rsi_after);
    assert_int_equal(s->gpr[HK_RDI], k->rdi_after);
    /* With the page there, the same instruction ends as if uncut. */
    tiny_set_pte(vm, HOLE, HOLE | 3);
    s->rip = e.rip;
    s->gpr[HK_RSP] = TINY_STACK;
    e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(s->gpr[HK_RCX], 0);
    tiny_free(vm);
}

static void a_fault_inside_a_rep_string_restarts_there(void **state)
{
#define C(name) name, name##_end
    static const struct rep_case k[] = {
        {C(code_rep_movs), HOLE - 100, TINY_DATA, 200, 100, HOLE,
         TINY_DATA + 100, 0},
        {C(code_rep_movs), TINY_DATA, HOLE - 100, 200, 100, TINY_DATA + 100,
         HOLE, 2},
        {C(code_rep_movs_down), HOLE + 0x1003, TINY_DATA + 0x900, 200, 196,
         HOLE + 0xfff, TINY_DATA + 0x900 - 4, 0},
        {C(code_rep_stos), 5, HOLE - 64, 32, 24, 5, HOLE, 2},
        {C(code_repe_cmps), TINY_DATA, HOLE - 64, 64, 32, TINY_DATA + 64, HOLE,
         0},
        {C(code_rep_lods), HOLE - 16, 5, 8, 4, HOLE, 5, 0},
        {C(code_repne_scas), 5, HOLE - 16, 32, 16, 5, HOLE, 0},
        {C(code_rep_outs), HOLE - 16, 5, 32, 16, HOLE, 5, 0},
        {C(code_rep_ins), 5, HOLE - 16, 32, 16, 5, HOLE, 2},
    };
#undef C
    for (size_t n = 0; n < HK_COUNT(k); n++)
        check_rep(&k[n]);
}

TINY_ASM(code_stos_cross, 64, "stosq; hlt");
TINY_ASM(code_rmw_cross, 64, "addq $1, (%rsi); hlt");
TINY_ASM(code_push_cross, 64, "mov %rsi, %rsp; push %rax; hlt");
TINY_ASM(code_call_cross, 64, "mov %rsi, %rsp; call 1f; 1: hlt");
TINY_ASM(code_xchg_cross, 64, "xchg %rax, (%rsi); hlt");
TINY_ASM(code_sse_cross, 64, "movups %xmm0, (%rsi); hlt");

static void a_fault_in_the_second_half_changes_nothing(void **state)
{
    static const struct {
        const uint8_t *code, *end;
        uint64_t rsi;
        unsigned at;
    } k[] = {
        {code_stos_cross, code_stos_cross_end, HOLE - 4, 0},
        {code_rmw_cross, code_rmw_cross_end, HOLE - 4, 0},
        {code_push_cross, code_push_cross_end, HOLE + 4, 3},
        {code_call_cross, code_call_cross_end, HOLE + 4, 3},
        {code_xchg_cross, code_xchg_cross_end, HOLE - 4, 0},
        {code_sse_cross, code_sse_cross_end, HOLE - 8, 0},
    };
    for (size_t n = 0; n < HK_COUNT(k); n++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
        struct hk_vcpu_state *s = &vm->cpu[0].state;
        tiny_load(vm, k[n].code, k[n].end);
        s->gpr[HK_RSI] = s->gpr[HK_RDI] = k[n].rsi;
        s->gpr[HK_RAX] = ~0ull;
        memset(s->fxsave + 160, 0xff, 16);
        tiny_set_pte(vm, HOLE, 0);
        tiny_set_gate(vm, 14, TINY_STUBS + 14 * 16, TINY_CS64, 0x8e, 1);
        struct tiny_end e = tiny_run(vm);
        assert_int_equal(e.vector, HK_VEC_PF);
        assert_int_equal(e.err, 2);
        assert_int_equal(e.cr2, HOLE);
        assert_int_equal(e.rip, TINY_CODE + k[n].at);
        assert_int_equal(tiny_get64(vm, HOLE - 8), 0);
        assert_int_equal(s->gpr[HK_RAX], ~0ull);
        assert_int_equal(s->gpr[HK_RDI], k[n].rsi);
        tiny_free(vm);
    }
}

TINY_ASM(code_nops, 64, ".fill 13, 1, 0x90; mov $0x11223344, %eax; hlt");

static void a_fetch_across_a_page_faults_at_the_second_page(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    uint64_t start = HOLE - 16; /* the MOV begins 3 bytes before HOLE */
    tiny_put(vm, start, code_nops, (size_t)(code_nops_end - code_nops));
    vm->cpu[0].state.rip = start;
    tiny_set_pte(vm, HOLE, 0);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, 0x10);
    assert_int_equal(e.cr2, HOLE);
    assert_int_equal(e.rip, HOLE - 3);
    tiny_set_pte(vm, HOLE, HOLE | 3);
    vm->cpu[0].state.rip = e.rip;
    e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 0x11223344);
    tiny_free(vm);
}

static void code_after_a_crossing_comes_from_the_next_virtual_page(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    uint64_t start = HOLE - 16, elsewhere = TINY_DATA + 0x5000;
    size_t len = (size_t)(code_nops_end - code_nops);
    /* The second page is not the physical neighbour of the first. */
    tiny_put(vm, start, code_nops, len);
    tiny_put(vm, elsewhere, code_nops + 16, len - 16);
    tiny_put(vm, HOLE + 2, "\x0f\x0b", 2);
    tiny_set_pte(vm, HOLE, elsewhere | 3);
    vm->cpu[0].state.rip = start;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 0x11223344);
    assert_int_equal(vm->cpu[0].state.rip, HOLE + 3);
    tiny_free(vm);
}

/* ---- exceptions of exceptions ------------------------------------------- */

static void an_absent_gate_is_np_with_the_vector(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_int80);
    tiny_set_gate(vm, 0x80, 0, TINY_CS64, 0x0e, 0);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_NP);
    assert_int_equal(e.err, 0x80 * 8 + 2);
    assert_int_equal(e.rip, TINY_CODE);
    tiny_free(vm);
}

static void a_fault_of_a_fault_says_that_it_is_external(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_ud2);
    tiny_set_gate(vm, HK_VEC_UD, 0, TINY_CS64, 0x0e, 0);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_NP);
    assert_int_equal(e.err, HK_VEC_UD * 8 + 3);
    tiny_free(vm);
}

TINY_ASM(code_load_bad, 64, "mov $0xf0, %eax; mov %ax, %ds; hlt");

static void contributory_faults_make_a_double_fault(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_load_bad);
    tiny_set_gate(vm, HK_VEC_GP, 0, TINY_CS64, 0x0e, 0);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_DF);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.rip, TINY_CODE + 5);
    tiny_free(vm);
}

TINY_ASM(code_bad_stack, 64, "movabs $0x40000000, %rsp; push %rax; hlt");

static void a_page_fault_on_its_own_stack_is_a_double_fault(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_bad_stack);
    tiny_set_gate(vm, HK_VEC_DF, TINY_STUBS + 8 * 16, TINY_CS64, 0x8e, 1);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_DF);
    assert_int_equal(e.rsp, 0x40000000);
    assert_true(e.cr2 < 0x40000000 && e.cr2 >= 0x40000000 - 64);
    tiny_free(vm);
}

static void a_benign_fault_then_a_page_fault_is_serial(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_ud2);
    /* The #UD handler's stack is absent, the #PF handler's is not. */
    tiny_set64(vm, TINY_TSS + 0x2c, 0x40000000); /* IST2 */
    tiny_set_gate(vm, HK_VEC_UD, TINY_STUBS + 6 * 16, TINY_CS64, 0x8e, 2);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.rip, TINY_CODE + 1);
    tiny_free(vm);
}

static void a_third_fault_shuts_down(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_bad_stack);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.exit, HK_CPU_EXIT_SHUTDOWN);
    tiny_free(vm);
}

TINY_ASM(code_lidt0, 64, "lidt (%rsi); ud2");

static void an_empty_idt_shuts_down(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_lidt0);
    vm->cpu[0].state.gpr[HK_RSI] = TINY_DATA;
    assert_int_equal(tiny_run(vm).exit, HK_CPU_EXIT_SHUTDOWN);
    tiny_free(vm);
}

/* ---- interrupts --------------------------------------------------------- */

TINY_ASM(code_sti_hlt, 64, "sti; hlt; hlt");
TINY_ASM(code_sti_cli, 64, "sti; cli; nop; hlt");
TINY_ASM(code_sti_nops, 64, "sti; nop; nop; hlt");
TINY_ASM(code_sti_mov_ss, 64, "sti; mov %ax, %ss; nop; nop; hlt");

static struct tiny_end run_irq(const uint8_t *code, const uint8_t *end)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    tiny_load(vm, code, end);
    vm->cpu[0].state.gpr[HK_RAX] = TINY_DS;
    vm->cpu[0].irq = 0x41;
    struct tiny_end e = tiny_run(vm);
    tiny_free(vm);
    return e;
}

#define RUN_IRQ(name) run_irq(name, name##_end)

static void sti_lets_interrupts_in_after_the_next_instruction(void **state)
{
    struct tiny_end e = RUN_IRQ(code_sti_nops);
    assert_int_equal(e.vector, 0x41);
    assert_int_equal(e.rip, TINY_CODE + 2);
    assert_int_equal(RUN_IRQ(code_sti_cli).vector, -1);
    e = RUN_IRQ(code_sti_hlt);
    assert_int_equal(e.vector, 0x41);
    assert_int_equal(e.rip, TINY_CODE + 2);
}

static void mov_ss_holds_interrupts_for_one_instruction(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_sti_mov_ss);
    vm->cpu[0].state.gpr[HK_RAX] = TINY_DS;
    vm->cpu[0].irq = 0x41;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, 0x41);
    assert_int_equal(e.rip, TINY_CODE + 4);
    tiny_free(vm);
}

static void an_nmi_waits_for_the_iret_of_the_one_before(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct tiny_cpu *t = &vm->cpu[0];
    TINY_LOAD(vm, code_sti_hlt);
    hk_cpu_poke(t->cpu, HK_CPU_POKE_NMI);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_NMI);
    hk_cpu_poke(t->cpu, HK_CPU_POKE_NMI);
    assert_int_equal(hk_cpu_run(t->cpu, 10), HK_CPU_EXIT_HALTED);
    hk_cpu_get_state(t->cpu, &t->state);
    assert_int_equal(t->state.rip, TINY_STUBS + 2 * 16 + 1);
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(division_errors_are_faults),
    cmocka_unit_test(undefined_instructions_are_faults),
    cmocka_unit_test(an_instruction_over_15_bytes_is_gp),
    cmocka_unit_test(addresses_must_be_canonical),
    cmocka_unit_test(a_stack_that_is_not_canonical_is_ss),
    cmocka_unit_test(ts_makes_floating_point_unavailable),
    cmocka_unit_test(software_interrupts_are_traps),
    cmocka_unit_test(int_n_from_ring_3_needs_the_gates_dpl),
    cmocka_unit_test(int1_from_ring_3_needs_no_dpl),
    cmocka_unit_test(tf_traps_after_the_next_instruction),
    cmocka_unit_test(mov_ss_delays_the_single_step_trap),
    cmocka_unit_test(an_ist_gate_switches_stacks_at_the_same_privilege),
    cmocka_unit_test(the_frame_is_16_byte_aligned),
    cmocka_unit_test(a_ring_3_exception_uses_rsp0_and_a_null_ss),
    cmocka_unit_test(a_trap_gate_leaves_if_alone),
    cmocka_unit_test(iret_enters_ring_3),
    cmocka_unit_test(iret_checks_what_it_returns_to),
    cmocka_unit_test(iret_to_ring_3_clears_the_rpl_of_null_segments),
    cmocka_unit_test(a_16_bit_stack_shows_nothing_above_esp),
    cmocka_unit_test(a_fault_inside_a_rep_string_restarts_there),
    cmocka_unit_test(a_fault_in_the_second_half_changes_nothing),
    cmocka_unit_test(a_fetch_across_a_page_faults_at_the_second_page),
    cmocka_unit_test(code_after_a_crossing_comes_from_the_next_virtual_page),
    cmocka_unit_test(an_absent_gate_is_np_with_the_vector),
    cmocka_unit_test(a_fault_of_a_fault_says_that_it_is_external),
    cmocka_unit_test(contributory_faults_make_a_double_fault),
    cmocka_unit_test(a_page_fault_on_its_own_stack_is_a_double_fault),
    cmocka_unit_test(a_benign_fault_then_a_page_fault_is_serial),
    cmocka_unit_test(a_third_fault_shuts_down),
    cmocka_unit_test(an_empty_idt_shuts_down),
    cmocka_unit_test(sti_lets_interrupts_in_after_the_next_instruction),
    cmocka_unit_test(mov_ss_holds_interrupts_for_one_instruction),
    cmocka_unit_test(an_nmi_waits_for_the_iret_of_the_one_before),
};
HK_TEST_MAIN(cases)
