/*
 * One host routine for each SSE form: the instruction itself between loads
 * and stores of the guest's registers, which live in memory.
 *
 * The operands are pointers, so a guest's register numbers and addresses
 * never become part of code. A form's second operand is always given as
 * memory: the instruction then reads exactly as many bytes as the guest's
 * would, and the register file serves as well as guest RAM. Both are aligned
 * as the instruction wants it (sse.c checks guest addresses first).
 *
 * System V calling convention on every host. Routines change only rax, rcx,
 * rdx, xmm0 and xmm1 and leave the x87 stack empty. An immediate selects one
 * of 256 copies of a routine, each HK_SSE_SLOT bytes long. MXCSR holds the
 * guest's rounding and masks everything, see fpstate.c.
 */
#include "cpu/sse_slot.h"

#ifdef __ELF__
#define HIDDEN(symbol) .hidden symbol; .type symbol, @function
#else
#define HIDDEN(symbol)
#endif

    .text

.macro hk_entry id, align=HK_SSE_SLOT
    .balign \align
    .globl hk_sse_stub_\id
    HIDDEN(hk_sse_stub_\id)
hk_sse_stub_\id:
.endm

/* xmm = xmm op xmm/mem: rdi destination, rsi source. */
.macro hk_stub_XMM id, insn
    hk_entry \id
    movaps (%rdi), %xmm0
    \insn (%rsi), %xmm0
    movaps %xmm0, (%rdi)
    ret
.endm

.macro hk_stub_XMMI id, insn
    hk_entry \id
    .set hk_imm, 0
    .rept 256
    .balign HK_SSE_SLOT
    movaps (%rdi), %xmm0
    \insn $hk_imm, (%rsi), %xmm0
    movaps %xmm0, (%rdi)
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

.macro hk_stub_INSERTPS id, insn
    hk_stub_XMMI \id, \insn
.endm

/* The same with xmm0 as a third source: rdx points to it. */
.macro hk_stub_XMM0 id, insn
    hk_entry \id
    movaps (%rdi), %xmm1
    movaps (%rdx), %xmm0
    \insn %xmm0, (%rsi), %xmm1
    movaps %xmm1, (%rdi)
    ret
.endm

.macro hk_stub_MMX id, insn
    hk_entry \id
    movq (%rdi), %mm0
    \insn (%rsi), %mm0
    movq %mm0, (%rdi)
    emms
    ret
.endm

.macro hk_stub_MMXI id, insn
    hk_entry \id
    .set hk_imm, 0
    .rept 256
    .balign HK_SSE_SLOT
    movq (%rdi), %mm0
    \insn $hk_imm, (%rsi), %mm0
    movq %mm0, (%rdi)
    emms
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

/* Shifts by an immediate; counts of 64 and more are all alike. */
.macro hk_stub_SHIFT id, insn
    hk_entry \id
    .set hk_imm, 0
    .rept 65
    .balign HK_SSE_SLOT
    movaps (%rdi), %xmm0
    \insn $hk_imm, %xmm0
    movaps %xmm0, (%rdi)
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

.macro hk_stub_SHIFT_MM id, insn
    hk_entry \id
    .set hk_imm, 0
    .rept 65
    .balign HK_SSE_SLOT
    movq (%rdi), %mm0
    \insn $hk_imm, %mm0
    movq %mm0, (%rdi)
    emms
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

/* Conversions between the files. The first leaves the x87 stack in MMX state
 * even with a memory source. */
.macro hk_stub_XMM_MM id, insn
    hk_entry \id
    movaps (%rdi), %xmm0
    \insn (%rsi), %xmm0
    movaps %xmm0, (%rdi)
    emms
    ret
.endm

.macro hk_stub_MM_XMM id, insn
    hk_entry \id
    \insn (%rsi), %mm0
    movq %mm0, (%rdi)
    emms
    ret
.endm

/* The 32-bit form, and the 64-bit form one slot later. */
.macro hk_stub_XMM_GPR id, insn
    hk_entry \id
    movaps (%rdi), %xmm0
    \insn\()l (%rsi), %xmm0
    movaps %xmm0, (%rdi)
    ret
    .balign HK_SSE_SLOT
    movaps (%rdi), %xmm0
    \insn\()q (%rsi), %xmm0
    movaps %xmm0, (%rdi)
    ret
.endm

/* Returns the value in rax; again the 64-bit form one slot later. */
.macro hk_stub_GPR_XMM id, insn
    hk_entry \id
    \insn (%rsi), %eax
    ret
    .balign HK_SSE_SLOT
    \insn (%rsi), %rax
    ret
.endm

.macro hk_stub_MASK id, insn
    hk_entry \id
    movaps (%rsi), %xmm0
    \insn %xmm0, %eax
    ret
.endm

.macro hk_stub_MASK_MM id, insn
    hk_entry \id
    movq (%rsi), %mm0
    \insn %mm0, %eax
    emms
    ret
.endm

/* Compares xmm (rdi) with xmm/mem (rsi); returns SF, ZF, PF and CF. */
.macro hk_stub_FLAGS id, insn
    hk_entry \id
    movaps (%rdi), %xmm0
    \insn (%rsi), %xmm0
    lahf
    movzbl %ah, %eax
    ret
.endm

/*
 * String compares: rdi and rsi the operands, edx and ecx the lengths (of the
 * E forms), r8 where the M forms' mask goes. Returns the flags register, and
 * the index of the I forms in the upper half.
 */
.macro hk_string id, insn, is_explicit, is_index
    hk_entry \id, HK_SSE_WIDE_SLOT
    .set hk_imm, 0
    .rept 256
    .balign HK_SSE_WIDE_SLOT
    movaps (%rdi), %xmm1
    .if \is_explicit
    mov %edx, %eax
    mov %ecx, %edx
    .endif
    \insn $hk_imm, (%rsi), %xmm1
    .if \is_index
    pushf
    pop %rax
    shl $32, %rcx
    or %rcx, %rax
    .else
    movaps %xmm0, (%r8)
    pushf
    pop %rax
    .endif
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

.macro hk_stub_ESTRM id, insn
    hk_string \id, \insn, 1, 0
.endm
.macro hk_stub_ESTRI id, insn
    hk_string \id, \insn, 1, 1
.endm
.macro hk_stub_ISTRM id, insn
    hk_string \id, \insn, 0, 0
.endm
.macro hk_stub_ISTRI id, insn
    hk_string \id, \insn, 0, 1
.endm

#define X(id, insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits) \
    hk_stub_##kind id, insn
#define XC(id, insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits)
#include "cpu/sse_forms.def"

#ifdef __ELF__
    .section .note.GNU-stack, "", @progbits
#endif
