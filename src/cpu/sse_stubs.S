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
 * An immediate selects one of 256 copies of a routine, each HK_SSE_SLOT bytes
 * long. The x87 stack is empty before and after. MXCSR holds the guest's
 * rounding and masks everything, see fpstate.c.
 */
#include "cpu/sse_abi.h"

    .text

.macro hk_entry id, align=HK_SSE_SLOT
    .balign \align
    HK_GLOBAL(hk_sse_stub_\id)
hk_sse_stub_\id:
.endm

/* xmm = xmm op xmm/mem: A1 destination, A2 source. */
.macro hk_stub_XMM id, insn
    hk_entry \id
    movaps (HK_A1), %xmm0
    \insn (HK_A2), %xmm0
    movaps %xmm0, (HK_A1)
    ret
.endm

.macro hk_stub_XMMI id, insn
    hk_entry \id
    .set hk_imm, 0
    .rept 256
    .balign HK_SSE_SLOT
    movaps (HK_A1), %xmm0
    \insn $hk_imm, (HK_A2), %xmm0
    movaps %xmm0, (HK_A1)
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

.macro hk_stub_INSERTPS id, insn
    hk_stub_XMMI \id, \insn
.endm

/* The same with xmm0 as a third source: A3 points to it. */
.macro hk_stub_XMM0 id, insn
    hk_entry \id
    movaps (HK_A1), %xmm1
    movaps (HK_A3), %xmm0
    \insn %xmm0, (HK_A2), %xmm1
    movaps %xmm1, (HK_A1)
    ret
.endm

.macro hk_stub_MMX id, insn
    hk_entry \id
    movq (HK_A1), %mm0
    \insn (HK_A2), %mm0
    movq %mm0, (HK_A1)
    emms
    ret
.endm

.macro hk_stub_MMXI id, insn
    hk_entry \id
    .set hk_imm, 0
    .rept 256
    .balign HK_SSE_SLOT
    movq (HK_A1), %mm0
    \insn $hk_imm, (HK_A2), %mm0
    movq %mm0, (HK_A1)
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
    movaps (HK_A1), %xmm0
    \insn $hk_imm, %xmm0
    movaps %xmm0, (HK_A1)
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

.macro hk_stub_SHIFT_MM id, insn
    hk_entry \id
    .set hk_imm, 0
    .rept 65
    .balign HK_SSE_SLOT
    movq (HK_A1), %mm0
    \insn $hk_imm, %mm0
    movq %mm0, (HK_A1)
    emms
    ret
    .set hk_imm, hk_imm + 1
    .endr
.endm

/* Conversions between the files. The first leaves the x87 stack in MMX state
 * even with a memory source. */
.macro hk_stub_XMM_MM id, insn
    hk_entry \id
    movaps (HK_A1), %xmm0
    \insn (HK_A2), %xmm0
    movaps %xmm0, (HK_A1)
    emms
    ret
.endm

.macro hk_stub_MM_XMM id, insn
    hk_entry \id
    \insn (HK_A2), %mm0
    movq %mm0, (HK_A1)
    emms
    ret
.endm

/* The 32-bit form, and the 64-bit form one slot later. */
.macro hk_stub_XMM_GPR id, insn
    hk_entry \id
    movaps (HK_A1), %xmm0
    \insn\()l (HK_A2), %xmm0
    movaps %xmm0, (HK_A1)
    ret
    .balign HK_SSE_SLOT
    movaps (HK_A1), %xmm0
    \insn\()q (HK_A2), %xmm0
    movaps %xmm0, (HK_A1)
    ret
.endm

/* Returns the value in rax; again the 64-bit form one slot later. */
.macro hk_stub_GPR_XMM id, insn
    hk_entry \id
    \insn (HK_A2), %eax
    ret
    .balign HK_SSE_SLOT
    \insn (HK_A2), %rax
    ret
.endm

.macro hk_stub_MASK id, insn
    hk_entry \id
    movaps (HK_A2), %xmm0
    \insn %xmm0, %eax
    ret
.endm

.macro hk_stub_MASK_MM id, insn
    hk_entry \id
    movq (HK_A2), %mm0
    \insn %mm0, %eax
    emms
    ret
.endm

/* Compares xmm (A1) with xmm/mem (A2); returns SF, ZF, PF and CF. */
.macro hk_stub_FLAGS id, insn
    hk_entry \id
    movaps (HK_A1), %xmm0
    \insn (HK_A2), %xmm0
    lahf
    movzbl %ah, %eax
    ret
.endm

/*
 * String compares of the operands in A1 and A2. A3 points to the two lengths
 * (of the E forms) and, 16 bytes on, to where the M forms' mask goes. Returns
 * the flags register, and in the upper half the index of the I forms.
 */
.macro hk_string id, insn, is_explicit, is_index
    hk_entry \id, HK_SSE_WIDE_SLOT
    .set hk_imm, 0
    .rept 256
    .balign HK_SSE_WIDE_SLOT
    movaps (HK_A1), %xmm1
    mov HK_A2, %r10
    mov HK_A3, %r11
    .if \is_explicit
    mov (%r11), %eax
    mov 4(%r11), %edx
    .endif
    \insn $hk_imm, (%r10), %xmm1
    .if \is_index
    pushf
    pop %rax
    shl $32, %rcx
    or %rcx, %rax
    .else
    movaps %xmm0, 16(%r11)
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

    HK_ASM_END
