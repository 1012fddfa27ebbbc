/*
 * System registers: CR0 to CR8, EFER and other MSRs, fast system calls, debug
 * registers, UMIP, the KVM clock.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

TINY_ASM(code_mov_cr0, 64, "mov %rax, %cr0; hlt");
TINY_ASM(code_mov_cr3, 64, "mov %rax, %cr3; hlt");
TINY_ASM(code_mov_cr4, 64, "mov %rax, %cr4; hlt");
TINY_ASM(code_mov_cr8, 64, "mov %rax, %cr8; mov %cr8, %rbx; hlt");
TINY_ASM(code_wrmsr, 64, "wrmsr; hlt");
TINY_ASM(code_rdmsr, 64, "rdmsr; hlt");

static struct tiny_end with_rax(const uint8_t *code, const uint8_t *end,
                                uint64_t rax, struct hk_vcpu_state *out)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    tiny_load(vm, code, end);
    vm->cpu[0].state.gpr[HK_RAX] = rax;
    struct tiny_end e = tiny_run(vm);
    if (out != NULL)
        *out = vm->cpu[0].state;
    tiny_free(vm);
    return e;
}

#define WITH(name, rax) with_rax(name, name##_end, rax, NULL)

/* ---- control registers -----------------------------------------------------
 */

static void impossible_cr0_values_are_gp(void **state)
{
    uint64_t now = HK_CR0_PE | HK_CR0_PG | HK_CR0_WP | HK_CR0_ET;
    assert_int_equal(WITH(code_mov_cr0, now).vector, -1);
    assert_int_equal(WITH(code_mov_cr0, now | 1ull << 32).vector, HK_VEC_GP);
    assert_int_equal(WITH(code_mov_cr0, now | HK_CR0_NW).vector, HK_VEC_GP);
    assert_int_equal(WITH(code_mov_cr0, now | HK_CR0_NW | HK_CR0_CD).vector,
                     -1);
    assert_int_equal(WITH(code_mov_cr0, now & ~HK_CR0_PE).vector, HK_VEC_GP);
    assert_int_equal(WITH(code_mov_cr0, now & ~HK_CR0_PG).vector, HK_VEC_GP);
}

static void impossible_cr4_values_are_gp(void **state)
{
    uint64_t now = HK_CR4_PAE | HK_CR4_PGE;
    assert_int_equal(WITH(code_mov_cr4, now | HK_CR4_SMEP).vector, -1);
    assert_int_equal(WITH(code_mov_cr4, now & ~HK_CR4_PAE).vector, HK_VEC_GP);
    assert_int_equal(WITH(code_mov_cr4, now | 1 << 12).vector, HK_VEC_GP);
    assert_int_equal(WITH(code_mov_cr4, now | 1ull << 40).vector, HK_VEC_GP);
}

static void cr3_has_reserved_bits(void **state)
{
    assert_int_equal(WITH(code_mov_cr3, TINY_PML4).vector, -1);
    assert_int_equal(WITH(code_mov_cr3, TINY_PML4 | 0x18).vector, -1);
    assert_int_equal(WITH(code_mov_cr3, TINY_PML4 | 1ull << 46).vector,
                     HK_VEC_GP);
    assert_int_equal(WITH(code_mov_cr3, TINY_PML4 | 1ull << 63).vector,
                     HK_VEC_GP);
}

TINY_ASM(code_pcid, 64,
         "mov %rax, %cr3; mov %cr4, %rcx; bts $17, %rcx; mov %rcx, %cr4;"
         "lea 5(%rax), %rdx; bts $63, %rdx; mov %rdx, %cr3; mov %cr3, %rbx;"
         "hlt");

static void pcid_follows_its_rules(void **state)
{
    struct hk_vcpu_state s;
    struct tiny_end e = with_rax(code_pcid, code_pcid_end, TINY_PML4, &s);
    assert_int_equal(e.vector, -1);
    assert_int_equal(s.gpr[HK_RBX], TINY_PML4 + 5);
    /* Not with bits 11-0 of CR3 set. */
    assert_int_equal(WITH(code_pcid, TINY_PML4 | 8).vector, HK_VEC_GP);
}

static void cr8_is_the_task_priority(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_mov_cr8);
    vm->cpu[0].state.gpr[HK_RAX] = 9;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(vm->cpu[0].cr8, 9);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RBX], 9);
    tiny_free(vm);
    assert_int_equal(WITH(code_mov_cr8, 16).vector, HK_VEC_GP);
}

TINY_ASM(code_lmsw, 64, "lmsw %ax; smsw %rbx; clts; mov %cr0, %rcx; hlt");

static void lmsw_cannot_leave_protected_mode(void **state)
{
    struct hk_vcpu_state s;
    struct tiny_end e = with_rax(code_lmsw, code_lmsw_end, 8, &s);
    assert_int_equal(e.vector, -1);
    assert_int_equal(s.gpr[HK_RBX] & 0xf, HK_CR0_PE | HK_CR0_TS);
    assert_int_equal(s.gpr[HK_RCX] & 0xf, HK_CR0_PE);
}

TINY_ASM(user_hlt, 64, "hlt");
TINY_ASM(user_cr0, 64, "mov %cr0, %rax");
TINY_ASM(user_lgdt, 64, "lgdt (%rsp)");
TINY_ASM(user_rdmsr, 64, "rdmsr");
TINY_ASM(user_invlpg, 64, "invlpg (%rsp)");
TINY_ASM(user_clts, 64, "clts");
TINY_ASM(user_wbinvd, 64, "wbinvd");
TINY_ASM(user_ltr, 64, "ltr %ax");
TINY_ASM(user_dr, 64, "mov %dr6, %rax");
TINY_ASM(user_sysret, 64, "sysretq");
TINY_ASM(user_rdpmc, 64, "rdpmc");

static void privileged_instructions_are_gp_in_ring_3(void **state)
{
    static const struct {
        const uint8_t *code, *end;
    } k[] = {
#define C(name) {name, name##_end}
        C(user_hlt),    C(user_cr0),    C(user_lgdt),   C(user_rdmsr),
        C(user_invlpg), C(user_clts),   C(user_wbinvd), C(user_ltr),
        C(user_dr),     C(user_sysret), C(user_rdpmc),
#undef C
    };
    for (size_t n = 0; n < HK_COUNT(k); n++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
        tiny_load_user(vm, k[n].code, k[n].end);
        struct tiny_end e = tiny_run(vm);
        assert_int_equal(e.vector, HK_VEC_GP);
        assert_int_equal(e.err, 0);
        assert_int_equal(e.rip, TINY_USER_CODE);
        tiny_free(vm);
    }
}

TINY_ASM(user_sgdt, 64, "sgdt -16(%rsp); ud2");
TINY_ASM(user_smsw, 64, "smsw %eax; ud2");
TINY_ASM(user_str, 64, "str %eax; ud2");

static void umip_hides_the_tables_from_ring_3(void **state)
{
    static const struct {
        const uint8_t *code, *end;
    } k[] = {{user_sgdt, user_sgdt_end},
             {user_smsw, user_smsw_end},
             {user_str, user_str_end}};
    for (size_t n = 0; n < HK_COUNT(k); n++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
        tiny_load_user(vm, k[n].code, k[n].end);
        assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
        tiny_load_user(vm, k[n].code, k[n].end);
        vm->cpu[0].state.cr4 |= HK_CR4_UMIP;
        assert_int_equal(tiny_run(vm).vector, HK_VEC_GP);
        tiny_free(vm);
    }
}

/* ---- system calls
 * ------------------------------------------------------------ */

TINY_ASM(user_syscall, 64, "syscall; ud2");
TINY_ASM(kernel_hlt, 64, "hlt");
TINY_ASM(kernel_sysret, 64, "sysretq");

static void syscall_and_sysret_go_there_and_back(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD_USER(vm, user_syscall);
    tiny_put(vm, TINY_CODE, kernel_hlt, 1);
    s->lstar = TINY_CODE;
    s->star = (uint64_t)TINY_CS64 << 32 | 0x13ull << 48;
    s->fmask = HK_RF_IF | HK_RF_DF;
    s->rflags = HK_RF_IF | HK_RF_DF | HK_RF_CF | 2;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(s->rip, TINY_CODE + 1);
    assert_int_equal(s->gpr[HK_RCX], TINY_USER_CODE + 2);
    assert_int_equal(s->gpr[HK_R11], HK_RF_IF | HK_RF_DF | HK_RF_CF | 2);
    assert_int_equal(s->rflags, HK_RF_CF | 2);
    assert_int_equal(s->cs.selector, TINY_CS64);
    assert_int_equal(s->ss.selector, TINY_CS64 + 8);
    assert_int_equal(s->gpr[HK_RSP], TINY_USER_STACK);
    s->rip = TINY_CODE;
    tiny_put(vm, TINY_CODE, kernel_sysret, 3);
    e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(e.rip, TINY_USER_CODE + 2);
    assert_int_equal(e.cs, 0x23);
    assert_int_equal(e.ss, 0x1b);
    assert_int_equal(e.rflags & (HK_RF_IF | HK_RF_DF | HK_RF_CF),
                     HK_RF_IF | HK_RF_DF | HK_RF_CF);
    tiny_free(vm);
}

static void syscall_without_sce_is_undefined(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD_USER(vm, user_syscall);
    vm->cpu[0].state.efer &= ~HK_EFER_SCE;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(e.rip, TINY_USER_CODE);
    tiny_free(vm);
}

TINY_ASM(user_syscall32, 32, "syscall; ud2");
TINY_ASM(kernel_sysenter, 64, "sysenter");

static struct tiny_end syscall_from_compatibility_mode(struct tiny_vm *vm)
{
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD_USER(vm, user_syscall32);
    s->cs.selector = TINY_USER_CS32;
    s->cs.attr = 0xc0fb; /* 32-bit code for ring 3 */
    tiny_put(vm, TINY_CODE, kernel_hlt, 1);
    s->cstar = TINY_CODE;
    s->star = (uint64_t)TINY_CS64 << 32;
    return tiny_run(vm);
}

static void syscall_from_compatibility_mode_is_amds(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct tiny_end e = syscall_from_compatibility_mode(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(e.rip, TINY_USER_CODE);
    tiny_free(vm);
    vm = tiny_new_amd(TINY_LONG, 1);
    e = syscall_from_compatibility_mode(vm);
    assert_int_equal(e.vector, -1);
    assert_int_equal(vm->cpu[0].state.rip, TINY_CODE + 1);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RCX], TINY_USER_CODE + 2);
    assert_int_equal(vm->cpu[0].state.cs.selector, TINY_CS64);
    tiny_free(vm);
}

static void amds_long_mode_has_no_sysenter(void **state)
{
    struct tiny_vm *vm = tiny_new_amd(TINY_LONG, 1);
    TINY_LOAD(vm, kernel_sysenter);
    vm->cpu[0].state.sysenter_cs = TINY_CS64;
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
    tiny_free(vm);
}

static void sysret_to_a_bad_address_faults_in_ring_0(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, kernel_sysret);
    vm->cpu[0].state.gpr[HK_RCX] = 1ull << 47;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP);
    assert_int_equal(e.cs, TINY_CS64);
    assert_int_equal(e.rsp, TINY_STACK);
    tiny_free(vm);
}

TINY_ASM(user_sysenter, 64, "sysenter");
TINY_ASM(kernel_sysexit, 64, "mov %cs, %ebx; sysexitq");

static void sysenter_and_sysexit_use_their_msrs(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD_USER(vm, user_sysenter);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_GP); /* CS MSR is null */
    TINY_LOAD_USER(vm, user_sysenter);
    tiny_put(vm, TINY_CODE, kernel_sysexit, 5);
    tiny_put(vm, TINY_USER_CODE + 0x40, "\x0f\x0b", 2);
    s->sysenter_cs = TINY_CS64;
    s->sysenter_eip = TINY_CODE;
    s->sysenter_esp = TINY_STACK;
    s->gpr[HK_RDX] = TINY_USER_CODE + 0x40;
    s->gpr[HK_RCX] = TINY_USER_STACK - 8;
    e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_UD);
    assert_int_equal(e.rip, TINY_USER_CODE + 0x40);
    assert_int_equal(e.cs, TINY_CS64 + 35);
    assert_int_equal(e.ss, TINY_CS64 + 43);
    assert_int_equal(e.rsp, TINY_USER_STACK - 8);
    assert_int_equal(s->gpr[HK_RBX], TINY_CS64);
    tiny_free(vm);
}

/* ---- MSRs
 * -------------------------------------------------------------------- */

static int wrmsr(uint32_t msr, uint64_t value)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_wrmsr);
    s->gpr[HK_RCX] = msr;
    s->gpr[HK_RAX] = (uint32_t)value;
    s->gpr[HK_RDX] = value >> 32;
    int vector = tiny_run(vm).vector;
    if (vector < 0) { /* reads back */
        s->rip = TINY_CODE + 0x100;
        tiny_put(vm, s->rip, code_rdmsr, 3);
        s->gpr[HK_RAX] = s->gpr[HK_RDX] = 0;
        assert_int_equal(tiny_run(vm).vector, -1);
        assert_int_equal(s->gpr[HK_RAX] | s->gpr[HK_RDX] << 32, value);
    }
    tiny_free(vm);
    return vector;
}

static void msrs_take_what_the_manual_says(void **state)
{
    uint64_t efer = HK_EFER_LME | HK_EFER_LMA | HK_EFER_SCE | HK_EFER_NXE;
    assert_int_equal(wrmsr(0xc0000080, efer), -1);
    assert_int_equal(wrmsr(0xc0000080, efer & ~HK_EFER_LME), HK_VEC_GP);
    assert_int_equal(wrmsr(0xc0000080, efer | 1 << 1), HK_VEC_GP);
    assert_int_equal(wrmsr(0xc0000081, 0x1234567890abcdef), -1);
    assert_int_equal(wrmsr(0xc0000082, 0xffff800000000000), -1);
    assert_int_equal(wrmsr(0xc0000082, 0x0000800000000000), HK_VEC_GP);
    assert_int_equal(wrmsr(0xc0000084, 0x47700), -1);
    assert_int_equal(wrmsr(0xc0000102, 1ull << 47), HK_VEC_GP);
    assert_int_equal(wrmsr(0xc0000100, 0x1000), -1);
    assert_int_equal(wrmsr(0xc0000103, 7), -1);
    assert_int_equal(wrmsr(0x277, 0x0007040600070406), -1);
    assert_int_equal(wrmsr(0x277, 2), HK_VEC_GP);
    assert_int_equal(wrmsr(0x12345678, 0), HK_VEC_GP);
    assert_int_equal(wrmsr(0x10a, 0), HK_VEC_GP);
}

TINY_ASM(code_tsc_adjust, 64,
         "mov $0x3b, %ecx; mov $1, %edx; xor %eax, %eax; wrmsr; rdtsc; hlt");
TINY_ASM(code_tsc_write, 64,
         "mov $0x10, %ecx; mov $5, %edx; xor %eax, %eax; wrmsr; rdtsc; mov "
         "%rdx, %rbx; mov $0x3b, %ecx; rdmsr; hlt");

static void tsc_adjust_and_tsc_move_together(void **state)
{
    struct hk_vcpu_state s;
    (void)with_rax(code_tsc_adjust, code_tsc_adjust_end, 0, &s);
    assert_int_equal(s.gpr[HK_RDX], 1);
    (void)with_rax(code_tsc_write, code_tsc_write_end, 0, &s);
    assert_int_equal(s.gpr[HK_RBX], 5);
    assert_int_equal(s.gpr[HK_RDX], 4); /* 5 << 32 less a little */
}

TINY_ASM(user_rdtsc, 64, "rdtsc; ud2");
TINY_ASM(user_rdtscp, 64, "rdtscp; ud2");

static void tsd_keeps_the_tsc_from_ring_3(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD_USER(vm, user_rdtsc);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
    vm->cpu[0].state.cr4 |= HK_CR4_TSD;
    TINY_LOAD_USER(vm, user_rdtsc);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_GP);
    TINY_LOAD_USER(vm, user_rdtscp);
    assert_int_equal(tiny_run(vm).vector, HK_VEC_GP);
    tiny_free(vm);
}

TINY_ASM(code_xsetbv, 64,
         "xor %ecx, %ecx; xor %edx, %edx; xsetbv; xor %ecx, "
         "%ecx; xgetbv; hlt");

static void xcr0_takes_x87_and_sse_only(void **state)
{
    static const struct {
        uint64_t value, cr4;
        int vector;
    } k[] = {
        {3, HK_CR4_OSXSAVE, -1},
        {1, HK_CR4_OSXSAVE, -1},
        {2, HK_CR4_OSXSAVE, HK_VEC_GP},
        {7, HK_CR4_OSXSAVE, HK_VEC_GP},
        {3, 0, HK_VEC_UD},
    };
    for (size_t n = 0; n < HK_COUNT(k); n++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
        TINY_LOAD(vm, code_xsetbv);
        vm->cpu[0].state.cr4 |= k[n].cr4;
        vm->cpu[0].state.gpr[HK_RAX] = k[n].value;
        assert_int_equal(tiny_run(vm).vector, k[n].vector);
        if (k[n].vector < 0)
            assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], k[n].value);
        tiny_free(vm);
    }
}

/* ---- debug registers
 * ----------------------------------------------------------- */

TINY_ASM(code_nops, 64, "nop; nop; nop; hlt");
TINY_ASM(code_store, 64, "nop; movl $1, (%rsi); nop; mov (%rsi), %eax; hlt");

enum { G0 = 2, WRITE4 = 0xd << 16, ACCESS4 = 0xf << 16 };

static void an_execute_breakpoint_is_a_fault(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_nops);
    s->dr[0] = TINY_CODE + 1;
    s->dr[7] = G0;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_DB);
    assert_int_equal(e.rip, TINY_CODE + 1);
    assert_int_equal(s->dr[6], 0xffff0ff1);
    /* With RF the instruction runs, and only that one. */
    s->rip = e.rip;
    s->rflags |= HK_RF_RF;
    e = tiny_run(vm);
    assert_int_equal(e.vector, -1);
    tiny_free(vm);
}

static void a_data_breakpoint_is_a_trap(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_store);
    s->dr[0] = TINY_DATA;
    s->dr[7] = G0 | WRITE4;
    s->gpr[HK_RSI] = TINY_DATA + 3; /* overlaps by a byte */
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_DB);
    assert_int_equal(e.rip, TINY_CODE + 7);
    assert_int_equal(s->dr[6], 0xffff0ff1);
    s->rip = e.rip; /* reads do not hit */
    s->gpr[HK_RSP] = TINY_STACK;
    assert_int_equal(tiny_run(vm).vector, -1);
    s->rip = TINY_CODE + 7;
    s->dr[7] = G0 | ACCESS4;
    s->gpr[HK_RSP] = TINY_STACK;
    e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_DB);
    assert_int_equal(e.rip, TINY_CODE + 10);
    tiny_free(vm);
}

TINY_ASM(code_dr7, 64, "nop; mov %rax, %dr7; hlt");
TINY_ASM(code_dr5, 64, "mov %dr5, %rbx; hlt");

static void general_detect_guards_the_debug_registers(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_dr7);
    s->dr[7] = 1 << 13;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_DB);
    assert_int_equal(e.rip, TINY_CODE + 1);
    assert_int_equal(s->dr[6], 0xffff2ff0);
    assert_int_equal(s->dr[7], 0x400); /* cleared for the handler */
    tiny_free(vm);
}

static void dr5_is_dr7_unless_de_is_set(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_dr5);
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RBX], 0x400);
    s->rip = TINY_CODE;
    s->cr4 |= HK_CR4_DE;
    assert_int_equal(tiny_run(vm).vector, HK_VEC_UD);
    tiny_free(vm);
}

static void the_upper_half_of_dr7_is_gp(void **state)
{
    assert_int_equal(WITH(code_dr7, 0x400).vector, -1);
    assert_int_equal(WITH(code_dr7, 1ull << 32).vector, HK_VEC_GP);
}

/* ---- the KVM clock
 * ---------------------------------------------------------------- */

struct vcpu_time {
    uint32_t version, pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t mul;
    int8_t shift;
    uint8_t flags, pad[2];
};

static uint64_t clock_ns(const struct vcpu_time *t, uint64_t tsc)
{
    uint64_t ticks = tsc - t->tsc_timestamp;
    ticks = t->shift < 0 ? ticks >> -t->shift : ticks << t->shift;
    return t->system_time + (uint64_t)((unsigned __int128)ticks * t->mul >> 32);
}

static int set_clock(struct tiny_vm *vm, uint32_t msr, uint64_t value)
{
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    s->rip = TINY_CODE;
    TINY_LOAD(vm, code_wrmsr);
    s->gpr[HK_RCX] = msr;
    s->gpr[HK_RAX] = (uint32_t)value;
    s->gpr[HK_RDX] = value >> 32;
    return tiny_run(vm).vector;
}

static void the_system_clock_scales_the_tsc_exactly(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct vcpu_time t;
    assert_int_equal(set_clock(vm, 0x4b564d01, TINY_DATA | 1), -1);
    memcpy(&t, vm->ram + TINY_DATA, sizeof(t));
    assert_int_equal(t.version & 1, 0);
    assert_int_equal(t.flags & 1, 1);
    uint64_t hour = 2100000000ull * 3600;
    uint64_t ns = clock_ns(&t, hour + t.tsc_timestamp) - t.system_time;
    assert_in_range(ns, 3600ull * 1000000000 - 3000, 3600ull * 1000000000);
    /* Moving the TSC does not move the clock. */
    uint64_t before = clock_ns(&t, vm->cpu[0].tsc);
    assert_int_equal(set_clock(vm, 0x10, 1ull << 50), -1);
    memcpy(&t, vm->ram + TINY_DATA, sizeof(t));
    uint64_t after = clock_ns(&t, vm->cpu[0].tsc);
    assert_in_range(after, before, before + 100000);
    tiny_free(vm);
}

static void the_wall_clock_says_when_the_machine_started(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    uint32_t w[3];
    assert_int_equal(set_clock(vm, 0x4b564d00, TINY_DATA), -1);
    memcpy(w, vm->ram + TINY_DATA, sizeof(w));
    assert_int_equal(w[0] & 1, 0);
    assert_int_equal(w[1], 1700000000);
    tiny_free(vm);
}

static void a_clock_outside_ram_is_gp(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    assert_int_equal(set_clock(vm, 0x4b564d01, 0xfee00001), HK_VEC_GP);
    vm->cpu[0].state.gpr[HK_RSP] = TINY_STACK;
    assert_int_equal(set_clock(vm, 0x4b564d01, (TINY_RAM - 16) | 1), HK_VEC_GP);
    tiny_free(vm);
}

/* ---- state
 * ---------------------------------------------------------------------- */

static void a_state_no_cpu_can_have_is_refused(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state s = vm->cpu[0].state;
    s.cr0 &= ~HK_CR0_PE;
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, &s), -22);
    s = vm->cpu[0].state;
    s.efer &= ~HK_EFER_LMA;
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, &s), -22);
    s = vm->cpu[0].state;
    s.cr4 |= 1 << 13;
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, &s), -22);
    s = vm->cpu[0].state;
    s.gs.base = 1ull << 47;
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, &s), -22);
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, &vm->cpu[0].state), 0);
    tiny_free(vm);
}

static void a_state_reads_back_as_it_was_set(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state, out;
    for (unsigned n = 0; n < 16; n++)
        s->gpr[n] = n * 0x1111111111111111ull;
    s->rflags = HK_RF_CF | HK_RF_ZF | HK_RF_IF | HK_RF_DF | 2;
    s->dr[0] = 0x1234;
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->cr8 = 3;
    s->lstar = 0xffffffff81000000;
    s->xcr0 = 3;
    memset(s->fxsave + 160, 0x5a, 256);
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, s), 0);
    hk_cpu_get_state(vm->cpu[0].cpu, &out);
    assert_memory_equal(out.gpr, s->gpr, sizeof(out.gpr));
    assert_int_equal(out.rflags, s->rflags);
    assert_memory_equal(out.dr, s->dr, sizeof(out.dr));
    assert_int_equal(out.cr8, 3);
    assert_int_equal(out.lstar, s->lstar);
    assert_int_equal(out.cr0, s->cr0);
    assert_int_equal(out.cr3, s->cr3);
    assert_int_equal(out.cr4, s->cr4);
    assert_int_equal(out.efer, s->efer);
    assert_int_equal(out.xcr0, 3);
    assert_memory_equal(out.fxsave + 160, s->fxsave + 160, 256);
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(impossible_cr0_values_are_gp),
    cmocka_unit_test(impossible_cr4_values_are_gp),
    cmocka_unit_test(cr3_has_reserved_bits),
    cmocka_unit_test(pcid_follows_its_rules),
    cmocka_unit_test(cr8_is_the_task_priority),
    cmocka_unit_test(lmsw_cannot_leave_protected_mode),
    cmocka_unit_test(privileged_instructions_are_gp_in_ring_3),
    cmocka_unit_test(umip_hides_the_tables_from_ring_3),
    cmocka_unit_test(syscall_and_sysret_go_there_and_back),
    cmocka_unit_test(syscall_without_sce_is_undefined),
    cmocka_unit_test(syscall_from_compatibility_mode_is_amds),
    cmocka_unit_test(amds_long_mode_has_no_sysenter),
    cmocka_unit_test(sysret_to_a_bad_address_faults_in_ring_0),
    cmocka_unit_test(sysenter_and_sysexit_use_their_msrs),
    cmocka_unit_test(msrs_take_what_the_manual_says),
    cmocka_unit_test(tsc_adjust_and_tsc_move_together),
    cmocka_unit_test(tsd_keeps_the_tsc_from_ring_3),
    cmocka_unit_test(xcr0_takes_x87_and_sse_only),
    cmocka_unit_test(an_execute_breakpoint_is_a_fault),
    cmocka_unit_test(a_data_breakpoint_is_a_trap),
    cmocka_unit_test(general_detect_guards_the_debug_registers),
    cmocka_unit_test(dr5_is_dr7_unless_de_is_set),
    cmocka_unit_test(the_upper_half_of_dr7_is_gp),
    cmocka_unit_test(the_system_clock_scales_the_tsc_exactly),
    cmocka_unit_test(the_wall_clock_says_when_the_machine_started),
    cmocka_unit_test(a_clock_outside_ram_is_gp),
    cmocka_unit_test(a_state_no_cpu_can_have_is_refused),
    cmocka_unit_test(a_state_reads_back_as_it_was_set),
};
HK_TEST_MAIN(cases)
