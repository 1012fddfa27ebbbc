/*
 * Entry to and return from the host's side of a case.
 *
 * oracle_native_enter(ucontext) keeps the callee-saved registers, sets the
 * FS and GS bases of the case and leaves by rt_sigreturn. The signal that
 * ends the case arrives in oracle_native_handler on the alternate stack. It
 * first makes the world safe for C again (flags, FS base), then either goes
 * back to the caller of oracle_native_enter or, for a signal that has nothing
 * to do with a case, returns from the signal.
 */
    .intel_syntax noprefix
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
    mov rax, [rip + oracle_native_fs]
    wrfsbase rax
    mov rax, [rip + oracle_native_gs]
    wrgsbase rax
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
    mov rax, [rip + oracle_native_fs]
    wrfsbase rax
    mov rax, [rip + oracle_native_gs]
    wrgsbase rax
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

    .globl oracle_native_load_segments
    .hidden oracle_native_load_segments
    .type oracle_native_load_segments, @function
oracle_native_load_segments:
    mov eax, 0x2b
    mov ds, eax
    mov es, eax
    ret
    .size oracle_native_load_segments, . - oracle_native_load_segments

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

    .section .note.GNU-stack, "", @progbits
