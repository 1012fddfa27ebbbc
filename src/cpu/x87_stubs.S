/*
 * Host routines for x87 instructions: operands are 80-bit registers in memory
 * and, where the instruction has one, a memory operand of its own size.
 *
 * The host's control word holds the guest's precision and rounding with
 * everything masked, and its stack is empty before and after. The routines of
 * x87_stubs.def return the status word after the instruction.
 */
#include "cpu/sse_abi.h"

    .text

.macro hk_x87_REG name, insn
    fldt (HK_A2)
    fldt (HK_A1)
    \insn %st(1), %st
    fnstsw %ax
    fstpt (HK_A1)
    fstp %st(0)
.endm

.macro hk_x87_MEM name, insn
    fldt (HK_A1)
    \insn (HK_A2)
    fnstsw %ax
    fstpt (HK_A1)
.endm

.macro hk_x87_CMPR name, insn
    fldt (HK_A2)
    fldt (HK_A1)
    \insn %st(1)
    fnstsw %ax
    fstp %st(0)
    fstp %st(0)
.endm

.macro hk_x87_CMPM name, insn
    fldt (HK_A1)
    \insn (HK_A2)
    fnstsw %ax
    fstp %st(0)
.endm

.macro hk_x87_LOAD name, insn
    \insn (HK_A2)
    fnstsw %ax
    fstpt (HK_A1)
.endm

.macro hk_x87_STORE name, insn
    fldt (HK_A1)
    \insn (HK_A2)
    fnstsw %ax
.endm

.macro hk_x87_UNARY name, insn
    fldt (HK_A1)
    \insn
    fnstsw %ax
    fstpt (HK_A1)
.endm

.macro hk_x87_CONST name, insn
    \insn
    fnstsw %ax
    fstpt (HK_A1)
.endm

.macro hk_x87_routine shape, name, insn
    .balign 16
    HK_GLOBAL(hk_x87_stub_\name)
hk_x87_stub_\name:
    hk_x87_\shape \name, \insn
    ret
.endm

/* Several to a line, so each ends with a separator. */
#define X(shape, name, insn) hk_x87_routine shape, name, insn;
#include "cpu/x87_stubs.def"
#undef X

/*
 * uint64_t hk_x87_run(image, code, operand, flags): loads the whole x87 state
 * from the 108-byte image, runs one instruction of the tables below with the
 * given memory operand and arithmetic flags, and saves the state. Exceptions
 * may be unmasked: they are only noted, as nothing here waits. Returns the
 * flags. Leaves the host's x87 as FNINIT does.
 */
    .balign 16
    HK_GLOBAL(hk_x87_run)
hk_x87_run:
    push %rbx
    mov HK_A1, %rbx
    mov HK_A2, %rax
    frstor (%rbx)
    push HK_A4
    mov HK_A3, HK_A1
    popf
    call *%rax
    pushf
    pop %rax
    fnsave (%rbx)
    pop %rbx
    ret

/* Every register form, by opcode and the low six bits of ModRM. */
    .balign 16
    HK_GLOBAL(hk_x87_reg_forms)
hk_x87_reg_forms:
    .set hk_form, 0
    .rept 512
    .byte 0xd8 + hk_form / 64, 0xc0 + hk_form % 64
    ret
    .balign HK_X87_SLOT
    .set hk_form, hk_form + 1
    .endr

/* Every memory form, by opcode and ModRM.reg. */
    .balign 16
    HK_GLOBAL(hk_x87_mem_forms)
hk_x87_mem_forms:
    .set hk_form, 0
    .rept 64
    .byte 0xd8 + hk_form / 8, hk_form % 8 * 8 + HK_A1_RM
    ret
    .balign HK_X87_SLOT
    .set hk_form, hk_form + 1
    .endr

    HK_ASM_END
