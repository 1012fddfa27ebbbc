/*
 * Shared by the files of the slow instructions: segments, events, system
 * registers, debug registers, MSRs, CPUID and kvmclock.
 *
 * All functions that return bool follow hk_slow_fn: false means that an
 * exception is pending. Own thread only.
 */
#ifndef HK_CPU_SLOW_INT_H
#define HK_CPU_SLOW_INT_H

#include "cpu/cpu_int.h"

/* Values of c->shadow: after MOV SS debug traps wait as well. */
enum { HK_SHADOW_STI = 1, HK_SHADOW_SS = 2 };

/* Segment and gate types (type field of a system descriptor). */
enum {
    HK_SYS_TSS16 = 1,
    HK_SYS_LDT = 2,
    HK_SYS_TSS16_BUSY = 3,
    HK_SYS_CALL16 = 4,
    HK_SYS_TASK = 5,
    HK_SYS_INT16 = 6,
    HK_SYS_TRAP16 = 7,
    HK_SYS_TSS = 9,
    HK_SYS_TSS_BUSY = 11,
    HK_SYS_CALL = 12,
    HK_SYS_INT = 14,
    HK_SYS_TRAP = 15,
};

/* Type bits of code and data segments. */
enum {
    HK_TYPE_ACCESSED = 1,
    HK_TYPE_RW = 2,         /* data: writable; code: readable */
    HK_TYPE_DOWN = 4,       /* data: expands down */
    HK_TYPE_CONFORMING = 4, /* code */
    HK_TYPE_CODE = 8,
};

/* A code or data segment, or a system one, as the tables hold it. */
struct hk_desc {
    uint64_t raw;
    uint64_t addr; /* linear address of the descriptor */
    uint16_t selector;
    uint16_t attr; /* as in struct hk_segment */
};

HK_INLINE unsigned hk_desc_dpl(const struct hk_desc *d)
{
    return d->attr >> HK_SEG_DPL_SHIFT & 3;
}

HK_INLINE bool hk_desc_is_code(const struct hk_desc *d)
{
    return (d->attr & (HK_SEG_S | HK_TYPE_CODE)) == (HK_SEG_S | HK_TYPE_CODE);
}

HK_INLINE bool hk_desc_is_present(const struct hk_desc *d)
{
    return (d->attr & HK_SEG_P) != 0;
}

HK_INLINE bool hk_is_null(uint16_t selector)
{
    return (selector & ~3) == 0;
}

/* Protected mode without virtual-8086: segments come from descriptors. */
HK_INLINE bool hk_is_protected(const struct hk_cpu *c)
{
    return (c->cr0 & HK_CR0_PE) != 0 && (c->sysflags & HK_RF_VM) == 0;
}

HK_INLINE unsigned hk_iopl(const struct hk_cpu *c)
{
    return c->sysflags >> 12 & 3;
}

/* #GP(0) unless the CPL is 0. */
HK_INLINE bool hk_need_cpl0(struct hk_cpu *c)
{
    return c->cpl == 0 || hk_fault_err(c, HK_VEC_GP, 0);
}

/* ---- seg.c -------------------------------------------------------------- */

/* Reads the descriptor of a selector that is not null; `vector` (selector)
 * when it is outside its table. */
bool hk_desc_read(struct hk_cpu *c, uint16_t selector, unsigned vector,
                  struct hk_desc *d) HK_MUST_CHECK;
/* The same, but outside the table `*ok` is false and nothing is pending. */
bool hk_desc_peek(struct hk_cpu *c, uint16_t selector, struct hk_desc *d,
                  bool *ok) HK_MUST_CHECK;
/* Upper half of a 16-byte system descriptor: bits 63-32 of the base. */
bool hk_desc_high(struct hk_cpu *c, const struct hk_desc *d,
                  uint64_t *high) HK_MUST_CHECK;
/* Sets the accessed bit in memory where it is clear. */
bool hk_desc_touch(struct hk_cpu *c, struct hk_desc *d) HK_MUST_CHECK;
void hk_desc_unpack(const struct hk_desc *d, struct hk_segment *s);

/* Offset within the limit (expand-down included). */
bool hk_seg_in_limit(const struct hk_segment *s, uint64_t off, uint32_t size);

/* The checks of a stack segment for privilege `cpl`, then its segment;
 * `bad` is the vector of selector errors (#GP or #TS). */
bool hk_seg_check_stack(struct hk_cpu *c, uint16_t selector, unsigned cpl,
                        unsigned bad, struct hk_segment *s) HK_MUST_CHECK;

/* MOV to a segment register other than CS, with every check. */
bool hk_seg_load(struct hk_cpu *c, unsigned seg,
                 uint16_t selector) HK_MUST_CHECK;
/* As real mode and virtual-8086 mode load them. */
void hk_seg_load_real(struct hk_cpu *c, unsigned seg, uint16_t selector);
void hk_seg_set_null(struct hk_cpu *c, unsigned seg, uint16_t selector);
/* Flat ring 0 or 3 segments as SYSCALL and SYSENTER make them. */
void hk_seg_set_flat_code(struct hk_cpu *c, uint16_t selector, unsigned cpl,
                          bool code64);
void hk_seg_set_flat_stack(struct hk_cpu *c, uint16_t selector, unsigned cpl);

/* Mask of the stack pointer in the current mode. */
uint64_t hk_stack_mask(const struct hk_cpu *c);
void hk_stack_set(struct hk_cpu *c, uint64_t sp);

/* ---- mmu.c -------------------------------------------------------------- */

/* INVLPG: drops the page of `la`, which may be a large one. */
void hk_mmu_invalidate(struct hk_cpu *c, uint64_t la);

/* ---- event.c ------------------------------------------------------------ */

/* One attempt at a software event of an instruction: false leaves its
 * exception pending, to be delivered as that of the instruction. */
bool hk_event_software(struct hk_cpu *c, enum hk_event_kind kind,
                       unsigned vector) HK_MUST_CHECK;
/* The debug trap after an instruction. */
void hk_event_debug_trap(struct hk_cpu *c);

/* Stack for privilege `cpl` from the TSS, outside long mode; `ss` has passed
 * its checks. */
bool hk_tss_stack(struct hk_cpu *c, unsigned cpl, struct hk_segment *ss,
                  uint64_t *sp) HK_MUST_CHECK;
/* RSP0-2 (index 0-2) or IST1-7 (index 4-10) of the 64-bit TSS. */
bool hk_tss_rsp(struct hk_cpu *c, unsigned index, uint64_t *rsp) HK_MUST_CHECK;

/* ---- task.c ------------------------------------------------------------- */

enum hk_task_how { HK_TASK_JUMP, HK_TASK_CALL, HK_TASK_RETURN };

/* To the task of a TSS selector; `rflags` is what the old task keeps. After
 * a fault `*entered` tells whether it is one of the new task. */
bool hk_task_switch(struct hk_cpu *c, uint16_t selector, enum hk_task_how how,
                    uint64_t rflags, bool *entered) HK_MUST_CHECK;
/* The same as the end of an instruction: delivers faults of the new task. */
bool hk_task_instruction(struct hk_cpu *c, uint16_t selector,
                         enum hk_task_how how) HK_MUST_CHECK;
/* IRET with NT set: back to the task before. */
bool hk_task_return(struct hk_cpu *c) HK_MUST_CHECK;

struct hk_stack; /* below */

/* ---- far.c -------------------------------------------------------------- */

/* The checks of RET and IRET for the code segment returned to; the offset is
 * checked last, after the stack segment, and cut to what the code can see. */
bool hk_far_return_code(struct hk_cpu *c, uint16_t selector,
                        struct hk_desc *cs) HK_MUST_CHECK;
bool hk_far_return_offset(struct hk_cpu *c, const struct hk_desc *cs,
                          uint64_t *offset) HK_MUST_CHECK;
/* The outer stack pointer and, above it but read first, its selector. */
bool hk_far_pop_stack(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                      uint64_t *selector, uint64_t *sp) HK_MUST_CHECK;
/* And for the stack segment that goes with it. */
bool hk_far_return_stack(struct hk_cpu *c, uint16_t selector,
                         const struct hk_desc *cs,
                         struct hk_segment *ss) HK_MUST_CHECK;
/* Loads CS:RIP and SS:RSP; data segments too privileged become null. */
void hk_far_commit_outer(struct hk_cpu *c, const struct hk_desc *cs,
                         uint64_t offset, const struct hk_segment *ss,
                         uint64_t sp);

/* ---- operand.c ---------------------------------------------------------- */

/* A far pointer in memory: offset of i->opsize bytes, selector. */
bool hk_far_operand(struct hk_cpu *c, const struct hk_insn *i, uint64_t *offset,
                    uint64_t *selector) HK_MUST_CHECK;

/* A stack being written or read before anything of it is committed. */
struct hk_stack {
    struct hk_segment ss;
    uint64_t sp, mask;
    unsigned acc; /* HK_ACC_SYSTEM when the privilege has changed */
    uint32_t err; /* error code of #SS */
    bool flat;    /* 64-bit mode */
};

void hk_stack_current(const struct hk_cpu *c, struct hk_stack *s);
bool hk_stack_push(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                   uint64_t value) HK_MUST_CHECK;
bool hk_stack_pop(struct hk_cpu *c, struct hk_stack *s, uint32_t size,
                  uint64_t *value) HK_MUST_CHECK;

/* ---- debug.c ------------------------------------------------------------ */

/* Before an instruction in HK_MODE_STEP: false when an execute breakpoint
 * made #DB pending. */
bool hk_debug_before_insn(struct hk_cpu *c) HK_MUST_CHECK;
/* After it, when no exception is pending: single step and data breakpoints
 * that were hit; delivers #DB. */
void hk_debug_after_insn(struct hk_cpu *c);
/* The trap after an instruction that set TF with effect on itself (SYSRET). */
void hk_debug_single_step(struct hk_cpu *c);
/* A data access of a page for which hk_debug_watches_page is true. */
void hk_debug_data(struct hk_cpu *c, uint64_t la, uint32_t size, bool write);
bool hk_debug_watches_page(const struct hk_cpu *c, uint64_t la);
void hk_debug_io(struct hk_cpu *c, uint16_t port, uint32_t size);

/* ---- msr.c, kvmclock.c, cpuid.c ----------------------------------------- */

bool hk_msr_read(struct hk_cpu *c, uint32_t msr, uint64_t *value) HK_MUST_CHECK;
bool hk_msr_write(struct hk_cpu *c, uint32_t msr, uint64_t value) HK_MUST_CHECK;
uint64_t hk_msr_arch_capabilities(const struct hk_cpu_machine *m);

uint64_t hk_tsc_now(struct hk_cpu *c);

bool hk_kvmclock_read(struct hk_cpu *c, uint32_t msr, uint64_t *value);
bool hk_kvmclock_write(struct hk_cpu *c, uint32_t msr, uint64_t value);
/* The TSC was set: the guest's copy of the clock follows. */
void hk_kvmclock_update(struct hk_cpu *c);

/* CR4 bits that CPUID offers. */
uint64_t hk_cr4_allowed(const struct hk_cpu_machine *m);

/* ---- system registers, shared with state.c ------------------------------ */

enum { HK_PHYS_BITS = 46 };

/* XCR0: x87 and SSE. */
#define HK_XCR0_ALLOWED 3ull

#define HK_DR6_ONE 0xffff0ff0ull
#define HK_DR7_ONE 0x400ull

/* ---- callbacks out of the library --------------------------------------- */

/* Around a callback that may use floating point. */
#define HK_OUTSIDE(c, statement) \
    do {                         \
        hk_fp_leave(c);          \
        statement;               \
        hk_fp_enter(c);          \
    } while (0)

/* ---- slow functions, by file -------------------------------------------- */

#define HK_SLOW(name) \
    bool hk_slow_##name(struct hk_cpu *c, const struct hk_insn *i)

/* far.c, iret.c */
HK_SLOW(jmp_far);
HK_SLOW(call_far);
HK_SLOW(ret_far);
HK_SLOW(iret);
/* sys.c */
HK_SLOW(int3);
HK_SLOW(int_n);
HK_SLOW(into);
HK_SLOW(int1);
HK_SLOW(cli);
HK_SLOW(hlt);
HK_SLOW(cpuid);
HK_SLOW(rdtsc);
HK_SLOW(rdtscp);
HK_SLOW(rdpmc);
HK_SLOW(rdpid);
HK_SLOW(rdmsr);
HK_SLOW(wrmsr);
HK_SLOW(xgetbv);
HK_SLOW(xsetbv);
HK_SLOW(rdpkru);
HK_SLOW(wrpkru);
HK_SLOW(stac);
HK_SLOW(clac);
HK_SLOW(bound);
HK_SLOW(vmcall);
HK_SLOW(salc);
HK_SLOW(invd);
/* sys_call.c */
HK_SLOW(syscall);
HK_SLOW(sysret);
HK_SLOW(sysenter);
HK_SLOW(sysexit);
HK_SLOW(swapgs);
HK_SLOW(rdfsbase);
HK_SLOW(rdgsbase);
HK_SLOW(wrfsbase);
HK_SLOW(wrgsbase);
/* sys_reg.c */
HK_SLOW(mov_from_cr);
HK_SLOW(mov_to_cr);
HK_SLOW(mov_from_dr);
HK_SLOW(mov_to_dr);
HK_SLOW(lmsw);
HK_SLOW(smsw);
HK_SLOW(clts);
HK_SLOW(invlpg);
HK_SLOW(invpcid);
/* sys_seg.c */
HK_SLOW(lgdt);
HK_SLOW(lidt);
HK_SLOW(sgdt);
HK_SLOW(sidt);
HK_SLOW(lldt);
HK_SLOW(ltr);
HK_SLOW(sldt);
HK_SLOW(str);
HK_SLOW(verr);
HK_SLOW(verw);
HK_SLOW(lar);
HK_SLOW(lsl);
HK_SLOW(arpl);
HK_SLOW(mov_from_sreg);
HK_SLOW(mov_to_sreg);
HK_SLOW(push_sreg);
HK_SLOW(pop_sreg);
HK_SLOW(load_far);
/* io.c */
HK_SLOW(in);
HK_SLOW(out);
HK_SLOW(ins);
HK_SLOW(outs);
/* fpstate.c */
HK_SLOW(fxsave);
HK_SLOW(fxrstor);
HK_SLOW(xsave); /* XSAVEOPT as well */
HK_SLOW(xrstor);
HK_SLOW(ldmxcsr);
HK_SLOW(stmxcsr);

#endif
