/*
 * Entry to and return from the host's side of a case.
 *
 * oracle_native_enter(ucontext) keeps the callee-saved registers, sets the
 * segments of the case and leaves by rt_sigreturn. The signal that
 * ends the case arrives in oracle_native_handler on the alternate stack. It
 * first makes the world safe for C again (flags, segments), then either goes
 * back to the caller of oracle_native_enter or, for a signal that has nothing
 * to do with a case, returns from the signal.
 */
    .intel_syntax noprefix
    .set AT_ES, 0 /* two bytes each, enum hk_seg_index */
    .set AT_DS, 6
    .set AT_FS, 8
    .set AT_GS, 10
    .text

    .globl oracle_native_enter
    .hidden oracle_native_enter
    .type oracle_native_enter, @function
oracle_native_enter:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rip + saved_rsp], rsp
    rdfsbase rax
    mov [rip + host_fs], rax
    rdgsbase rax
    mov [rip + host_gs], rax
    call load_segments
    mov rsp, rdi
    mov eax, 15
    syscall
    ud2
    .size oracle_native_enter, . - oracle_native_enter

    .globl oracle_native_handler
    .hidden oracle_native_handler
    .type oracle_native_handler, @function
oracle_native_handler:
    push 0x202
    popfq
    cld
    cmp dword ptr [rip + oracle_native_inside], 0
    je 1f
    rdfsbase rax
    mov [rip + oracle_native_fs], rax
    rdgsbase rax
    mov [rip + oracle_native_gs], rax
    mov [rip + oracle_native_seg + AT_ES], es
    mov [rip + oracle_native_seg + AT_DS], ds
    mov [rip + oracle_native_seg + AT_FS], fs
    mov [rip + oracle_native_seg + AT_GS], gs
    mov eax, 0x2b
    mov ds, eax
    mov es, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov rax, [rip + host_fs]
    wrfsbase rax
    mov rax, [rip + host_gs]
    wrgsbase rax
1:  push rbp
    mov rbp, rsp
    and rsp, -16
    call oracle_native_caught
    test eax, eax
    jnz 2f
    mov rsp, rbp
    pop rbp
    cmp dword ptr [rip + oracle_native_inside], 0
    je 3f
    call load_segments
3:  ret
2:  mov rsp, [rip + saved_rsp]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
    .size oracle_native_handler, . - oracle_native_handler

    .globl oracle_native_restorer
    .hidden oracle_native_restorer
    .type oracle_native_restorer, @function
oracle_native_restorer:
    mov eax, 15
    syscall
    ud2
    .size oracle_native_restorer, . - oracle_native_restorer

/* DS, ES, FS and GS of the case. The bases are what the selectors say,
 * unless those are null. Changes RAX. */
    .type load_segments, @function
load_segments:
    movzx eax, word ptr [rip + oracle_native_seg + AT_ES]
    mov es, eax
    movzx eax, word ptr [rip + oracle_native_seg + AT_DS]
    mov ds, eax
    movzx eax, word ptr [rip + oracle_native_seg + AT_FS]
    mov fs, eax
    movzx eax, word ptr [rip + oracle_native_seg + AT_GS]
    mov gs, eax
    mov rax, [rip + oracle_native_fs]
    wrfsbase rax
    mov rax, [rip + oracle_native_gs]
    wrgsbase rax
    ret
    .size load_segments, . - load_segments

    .bss
    .balign 8
saved_rsp: .skip 8
host_fs: .skip 8
host_gs: .skip 8
    .globl oracle_native_fs, oracle_native_gs, oracle_native_inside
    .hidden oracle_native_fs, oracle_native_gs, oracle_native_inside
oracle_native_fs: .skip 8
oracle_native_gs: .skip 8
oracle_native_inside: .skip 8
    .globl oracle_native_seg
    .hidden oracle_native_seg
oracle_native_seg: .skip 16

    .section .note.GNU-stack, "", @progbits
