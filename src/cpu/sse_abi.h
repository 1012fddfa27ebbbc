/*
 * What the host routines of sse_stubs.S and x87_stubs.S share with C. Read by
 * the assembler too.
 *
 * The routines use the host's own calling convention: through another one the
 * compiler would save ten vector registers around every guest instruction
 * where the conventions differ. They change only registers that a callee may
 * change in both.
 */
#ifndef HK_CPU_SSE_ABI_H
#define HK_CPU_SSE_ABI_H

/* Distances between the copies of a routine, in bytes. */
#define HK_SSE_SLOT 16
#define HK_SSE_WIDE_SLOT 64 /* the string compares */
#define HK_X87_SLOT 4

#ifdef __ASSEMBLER__
/* clang-format off */

/* The first four arguments. HK_A1_RM is the ModRM byte's r/m of (HK_A1). */
#ifdef __ELF__
#define HK_A1 %rdi
#define HK_A2 %rsi
#define HK_A3 %rdx
#define HK_A4 %rcx
#define HK_A1_RM 7
#define HK_GLOBAL(symbol) \
    .globl symbol;        \
    .hidden symbol;       \
    .type symbol, @function
#define HK_ASM_END .section .note.GNU-stack, "", @progbits
#else
#define HK_A1 %rcx
#define HK_A2 %rdx
#define HK_A3 %r8
#define HK_A4 %r9
#define HK_A1_RM 1
#define HK_GLOBAL(symbol) .globl symbol
#define HK_ASM_END
#endif

/* clang-format on */
#endif
#endif
