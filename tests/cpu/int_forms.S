/*
 * Integer instructions for int_test.c, which runs each on the host and on the
 * software CPU. A form is an instruction and the flags that the manuals leave
 * undefined after it; memory is at RBP, and R9 is a small signed bit number.
 */

/* RFLAGS bits. */
#define CF 0x001
#define PF 0x004
#define AF 0x010
#define ZF 0x040
#define SF 0x080
#define OF 0x800

    .section .data.hk_int_forms, "aw"
    .balign 8
    .globl hk_int_forms
hk_int_forms:

    .text

.macro form undefined:req, insn:vararg
    .text
10: \insn
11: ret
    .section .data.hk_int_text, "aw"
12: .asciz "\insn"
    .section .data.hk_int_forms, "aw"
    .quad 10b, 11b, 12b, \undefined
    .text
.endm

/* By CL and by immediates, registers (one high byte) and memory. */
.macro shifts op:req
    form AF | OF, \op\()b %cl, %bl
    form AF | OF, \op\()b %cl, %ah
    form AF | OF, \op\()b %cl, 3(%rbp)
    form AF | OF, \op\()w %cl, %dx
    form AF | OF, \op\()w %cl, (%rbp)
    form AF | OF, \op\()l %cl, %r8d
    form AF | OF, \op\()l %cl, %ecx
    form AF | OF, \op\()l %cl, 8(%rbp)
    form AF | OF, \op\()q %cl, %rbx
    form AF | OF, \op\()q %cl, (%rbp)
    form AF, \op\()b $1, %dl
    form AF, \op\()l $1, %edx
    form AF, \op\()q $1, (%rbp)
    .irp n, 0, 3, 7, 8, 9, 15, 16, 17, 18, 31, 32, 33
    form AF | OF, \op\()b $\n, %bh
    form AF | OF, \op\()w $\n, %bx
    form AF | OF, \op\()l $\n, %ebx
    form AF | OF, \op\()q $\n, %rbx
    .endr
    form AF | OF, \op\()q $63, %r11
    form AF | OF, \op\()w $5, 2(%rbp)
    form AF | OF, \op\()l $0, (%rbp)
    form AF | OF, \op\()b $5, 2(%rbp)
    form AF | OF, \op\()l $5, 2(%rbp)
    form AF | OF, \op\()q $5, 2(%rbp)
    form AF, \op\()w $1, 2(%rbp)
.endm

.irp op, rol, ror, rcl, rcr, shl, shr, sar
    shifts \op
.endr

.macro doubles op:req
    form AF | OF, \op\()w %cl, %dx, %bx
    form AF | OF, \op\()l %cl, %edx, %ebx
    form AF | OF, \op\()q %cl, %r8, %rbx
    form AF | OF, \op\()l %cl, %ecx, %ecx
    form AF | OF, \op\()q %cl, %rdx, (%rbp)
    form AF | OF, \op\()w %cl, %dx, (%rbp)
    .irp n, 0, 1, 8, 15, 16, 17, 31
    form AF | OF, \op\()w $\n, %dx, %bx
    form AF | OF, \op\()l $\n, %edx, %ebx
    form AF | OF, \op\()q $\n, %rdx, %rbx
    .endr
    form AF | OF, \op\()l $7, %edx, (%rbp)
.endm
    doubles shld
    doubles shrd

#define MULTIPLY (SF | ZF | AF | PF)
.irp op, mul, imul
    form MULTIPLY, \op\()b %bl
    form MULTIPLY, \op\()b %ah
    form MULTIPLY, \op\()b (%rbp)
    form MULTIPLY, \op\()w %bx
    form MULTIPLY, \op\()l %ebx
    form MULTIPLY, \op\()l %edx
    form MULTIPLY, \op\()q %rbx
    form MULTIPLY, \op\()q %rax
    form MULTIPLY, \op\()q (%rbp)
.endr
    form MULTIPLY, imulw %dx, %bx
    form MULTIPLY, imull %edx, %ebx
    form MULTIPLY, imulq %rdx, %rbx
    form MULTIPLY, imulq (%rbp), %rbx
    form MULTIPLY, imulw $-300, %dx, %bx
    form MULTIPLY, imull $77, %edx, %ebx
    form MULTIPLY, imull $-77777, (%rbp), %ebx
    form MULTIPLY, imulq $-5, %rdx, %rbx
    form MULTIPLY, imulq $0x12345678, %rax, %rdx

/* int_test.c keeps these from faulting. */
.irp op, div, idiv
    form CF | PF | AF | ZF | SF | OF, \op\()b %bl
    form CF | PF | AF | ZF | SF | OF, \op\()b %ah
    form CF | PF | AF | ZF | SF | OF, \op\()w %bx
    form CF | PF | AF | ZF | SF | OF, \op\()l %ebx
    form CF | PF | AF | ZF | SF | OF, \op\()l (%rbp)
    form CF | PF | AF | ZF | SF | OF, \op\()q %rbx
    form CF | PF | AF | ZF | SF | OF, \op\()q %rdx
    form CF | PF | AF | ZF | SF | OF, \op\()q (%rbp)
.endr

#define BIT (PF | AF | SF | OF)
.irp op, bt, bts, btr, btc
    form BIT, \op\()w %dx, %bx
    form BIT, \op\()l %edx, %ebx
    form BIT, \op\()q %rdx, %rbx
    form BIT, \op\()q %rbx, %rbx
    form BIT, \op\()w $15, %bx
    form BIT, \op\()l $33, %ebx
    form BIT, \op\()q $63, %rbx
    form BIT, \op\()w $9, (%rbp)
    form BIT, \op\()l $31, 4(%rbp)
    form BIT, \op\()q $200, (%rbp)
    form BIT, \op\()w %r9w, (%rbp)
    form BIT, \op\()l %r9d, (%rbp)
    form BIT, \op\()q %r9, 3(%rbp)
.endr
.irp op, bts, btr, btc
    form BIT, lock \op\()w %r9w, (%rbp)
    form BIT, lock \op\()l %r9d, (%rbp)
    form BIT, lock \op\()q %r9, (%rbp)
    form BIT, lock \op\()l $17, (%rbp)
    form BIT, lock \op\()q $41, 8(%rbp)
.endr

#define SCAN (CF | PF | AF | SF | OF)
.irp op, bsf, bsr
    form SCAN, \op\()w %dx, %bx
    form SCAN, \op\()l %edx, %ebx
    form SCAN, \op\()q %rdx, %rbx
    form SCAN, \op\()q (%rbp), %rbx
.endr
#define COUNT (PF | AF | SF | OF)
.irp op, tzcnt, lzcnt
    form COUNT, \op\()w %dx, %bx
    form COUNT, \op\()l %edx, %ebx
    form COUNT, \op\()q %rdx, %rbx
    form COUNT, \op\()l (%rbp), %ebx
.endr
    form 0, popcntw %dx, %bx
    form 0, popcntl %edx, %ebx
    form 0, popcntq %rdx, %rbx
    form 0, popcntq (%rbp), %rbx

.irp op, andn, pdep, pext
    form AF | PF, \op %ebx, %edx, %eax
    form AF | PF, \op %rbx, %rdx, %rdx
    form AF | PF, \op (%rbp), %rdx, %rax
.endr
.irp op, bextr, bzhi, sarx, shlx, shrx
    form AF | SF | PF, \op %ebx, %edx, %eax
    form AF | SF | PF, \op %rbx, %rdx, %rdx
    form AF | SF | PF, \op %rbx, (%rbp), %rax
.endr
.irp op, blsi, blsmsk, blsr
    form AF | PF, \op %edx, %ebx
    form AF | PF, \op %rdx, %rbx
    form AF | PF, \op (%rbp), %rbx
.endr
    form 0, mulx %ebx, %eax, %r8d
    form 0, mulx %rbx, %rax, %r8
    form 0, mulx %rbx, %rax, %rax
    form 0, mulx (%rbp), %rdx, %rax
    form 0, rorx $7, %edx, %ebx
    form 0, rorx $0, %rdx, %rbx
    form 0, rorx $63, (%rbp), %rbx
.irp op, adcx, adox
    form 0, \op %edx, %ebx
    form 0, \op %rdx, %rbx
    form 0, \op (%rbp), %rbx
.endr
    form 0, crc32b %dl, %ebx
    form 0, crc32b %ah, %ebx
    form 0, crc32b (%rbp), %rbx
    form 0, crc32w %dx, %ebx
    form 0, crc32l %edx, %ebx
    form 0, crc32l (%rbp), %ebx
    form 0, crc32q %rdx, %rbx

    .section .data.hk_int_forms, "aw"
    .quad 0, 0, 0, 0

/*
 * Guest code for 32-bit mode, never run on the host: a decimal instruction
 * with every AX, CF and AF; EDI is a hash of the results and their flags.
 */
    .section .data.hk_int_decimal, "aw"
    .balign 8
    .globl hk_int_decimal
hk_int_decimal:

.macro decimal insn:vararg
    .text
    .code32
10: movl $2166136261, %edi
    xorl %esi, %esi
1:  xorl %ebx, %ebx
2:  movl %ebx, %ecx
    movl %ebx, %edx
    andl $1, %ecx
    shrl $1, %edx
    shll $4, %edx
    orl %edx, %ecx
    orl $2, %ecx
    pushl %ecx
    movl %esi, %eax
    popfl
    \insn
    pushfl
    popl %ecx
    andl $(CF | PF | AF | ZF | SF | OF), %ecx
    xorl %eax, %edi
    imull $16777619, %edi
    xorl %ecx, %edi
    imull $16777619, %edi
    incl %ebx
    cmpl $4, %ebx
    jb 2b
    incl %esi
    cmpl $0x10000, %esi
    jb 1b
    hlt
11: .code64
    .section .data.hk_int_text, "aw"
12: .asciz "\insn"
    .section .data.hk_int_decimal, "aw"
    .quad 10b, 11b, 12b, 0
    .text
.endm
    decimal daa
    decimal das
    decimal aaa
    decimal aas
    decimal aam
    decimal aad
    decimal aam $7
    decimal aad $0x77
    .section .data.hk_int_decimal, "aw"
    .quad 0, 0, 0, 0

/*
 * hk_int_run(regs, code): loads RAX, RCX, RDX, RBX, RBP, R8, R9, R11 and the
 * arithmetic flags from regs[], calls the code and stores them back.
 */
    .text
    .globl hk_int_run
hk_int_run:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    movq %rdi, %r12
    movq %rsi, %r13
    movq 0(%r12), %rax
    movq 8(%r12), %rcx
    movq 16(%r12), %rdx
    movq 24(%r12), %rbx
    movq 40(%r12), %rbp
    movq 64(%r12), %r8
    movq 72(%r12), %r9
    movq 88(%r12), %r11
    pushq 128(%r12)
    popfq
    call *%r13
    pushfq
    popq 128(%r12)
    movq %rax, 0(%r12)
    movq %rcx, 8(%r12)
    movq %rdx, 16(%r12)
    movq %rbx, 24(%r12)
    movq %r8, 64(%r12)
    movq %r9, 72(%r12)
    movq %r11, 88(%r12)
    cld
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

#if defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
