/*
 * A tiny machine for CPU tests: a few MiB of RAM with page tables, GDT, IDT
 * and TSS in known places, one or more vCPUs, and nothing else.
 *
 * Every IDT vector leads to its own HLT, so that an exception ends the run
 * and shows as the address it stopped at. Code comes from TINY_ASM.
 */
#ifndef HK_TEST_TINY_VM_H
#define HK_TEST_TINY_VM_H

#include "cpu/cpu.h"
#include "hk_test.h"

#include <uv.h>

/* Where things are; all of it below 2 MiB, identity mapped. */
enum {
    TINY_RAM = 8 << 20,
    TINY_GDT = 0x1000,
    TINY_IDT = 0x2000,
    TINY_TSS = 0x3000,
    TINY_STUBS = 0x8000, /* 16 bytes for each vector */
    TINY_PML4 = 0x10000,
    TINY_PDPT = 0x11000,
    TINY_PD = 0x12000,
    TINY_PT = 0x13000,     /* 4K pages of the first 2 MiB */
    TINY_CODE = 0x20000,   /* supervisor */
    TINY_DATA = 0x28000,   /* supervisor */
    TINY_STACK = 0x60000,  /* top; supervisor */
    TINY_STACK0 = 0x68000, /* RSP0 of the TSS */
    TINY_IST1 = 0x6c000,
    TINY_USER_CODE = 0x80000,
    TINY_USER_DATA = 0x90000,
    TINY_USER_STACK = 0xa0000, /* top */
    TINY_USER_END = 0xc0000,
    TINY_BIG = 0x200000, /* a 2 MiB page, supervisor */
};

/* Selectors. */
enum {
    TINY_CS64 = 0x08,
    TINY_DS = 0x10,
    TINY_USER_CS32 = 0x1b, /* order as SYSRET wants it */
    TINY_USER_DS = 0x23,
    TINY_USER_CS64 = 0x2b,
    TINY_TR = 0x30,
    TINY_CS32 = 0x40,
    TINY_SPARE = 0x48, /* 0x48 to 0xff: for the test */
};

enum tiny_mode { TINY_REAL, TINY_PROT32, TINY_LONG };

struct tiny_vm;

struct tiny_cpu {
    struct tiny_vm *vm;
    struct hk_cpu *cpu;
    struct hk_vcpu_state state; /* set before tiny_run, read after it */
    uint64_t tsc;
    uint8_t cr8;
    int irq; /* vector to deliver, or -1 */
    uint16_t port;
    uint64_t port_value;
    uint32_t port_writes;
};

struct tiny_vm {
    struct hk_cpu_machine *machine;
    uint8_t *ram;
    uint32_t count;
    struct tiny_cpu cpu[2];

    uv_mutex_t lock;
    uv_cond_t cond;
    uint32_t running;
    bool exclusive;
};

/* How a run ended. */
struct tiny_end {
    enum hk_cpu_exit exit;
    int vector;   /* -1: the code's own HLT, or no HLT at all */
    uint32_t err; /* of vectors with an error code */
    /* The frame of the exception. */
    uint64_t rip, cs, rflags, rsp, ss;
    uint64_t cr2;
};

struct tiny_vm *tiny_new(enum tiny_mode mode, uint32_t cpus);
/* With so much memory for decoded code; see hk_cpu_config. */
struct tiny_vm *tiny_new_code(enum tiny_mode mode, uint32_t cpus,
                              uint32_t code_bytes);
/* With AMD's processors. */
struct tiny_vm *tiny_new_amd(enum tiny_mode mode, uint32_t cpus);
void tiny_free(struct tiny_vm *vm);

void tiny_put(struct tiny_vm *vm, uint64_t gpa, const void *bytes, size_t len);
uint64_t tiny_get64(const struct tiny_vm *vm, uint64_t gpa);
void tiny_set64(struct tiny_vm *vm, uint64_t gpa, uint64_t value);

/* Copies code to where the mode starts and points RIP at it. */
void tiny_load(struct tiny_vm *vm, const uint8_t *code, const uint8_t *end);
/* The same for ring 3 code. */
void tiny_load_user(struct tiny_vm *vm, const uint8_t *code,
                    const uint8_t *end);

/* The 4K page table entry of an address below 2 MiB. */
uint64_t tiny_pte(const struct tiny_vm *vm, uint64_t la);
void tiny_set_pte(struct tiny_vm *vm, uint64_t la, uint64_t pte);

/* A segment descriptor as its 8 bytes; attr as in struct hk_segment. */
uint64_t tiny_desc(uint32_t base, uint32_t limit, uint16_t attr);
void tiny_set_desc(struct tiny_vm *vm, uint16_t selector, uint64_t desc);
/* A gate of the current mode. `type` has the present bit and the DPL. */
void tiny_set_gate(struct tiny_vm *vm, unsigned vector, uint64_t offset,
                   uint16_t selector, uint8_t type, unsigned ist);

/* Sets the state of vCPU n, runs it (at most `budget` instructions), and
 * reads the state back. */
struct tiny_end tiny_run_cpu(struct tiny_vm *vm, unsigned n, uint64_t budget);
struct tiny_end tiny_run(struct tiny_vm *vm);

/* Assembles `text` (AT&T) into name .. name_end; mode is 16, 32 or 64. */
#define TINY_ASM(name, mode, text)                   \
    extern const uint8_t name[], name##_end[];       \
    __asm__(".pushsection .rodata\n"                 \
            ".globl " #name "\n" #name ":\n"         \
            ".code" #mode "\n" text "\n"             \
            ".globl " #name "_end\n" #name "_end:\n" \
            ".code64\n.popsection\n")

#define TINY_LOAD(vm, name) tiny_load((vm), name, name##_end)
#define TINY_LOAD_USER(vm, name) tiny_load_user((vm), name, name##_end)

#endif
