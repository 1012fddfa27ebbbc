/*
 * Our side of a case: a machine with one vCPU.
 *
 * Its page tables map the sandbox at the host's linear addresses. Every
 * vector of its IDT leads to a HLT of its own in a ring-0 page, so that an
 * exception ends the run with the vector in RIP and the interrupted state in
 * the frame on the ring-0 stack.
 */
#include "oracle.h"

#include "base/endian.h"
#include "base/err.h"
#include "cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

/* Guest-physical layout. Ring 0 sees it at KERNEL_BASE. */
enum {
    RAM_SIZE = 0x40000,
    PML4 = 0x1000,
    PDPT_USER = 0x2000,
    PD_USER = 0x3000,
    PT_LOW = 0x4000,
    PT_SANDBOX = 0x5000,
    PDPT_KERNEL = 0x6000,
    PD_KERNEL = 0x7000,
    PT_KERNEL = 0x8000,
    GDT = 0x9000,
    TSS = 0x9800,
    IDT = 0xa000,
    HALTS = 0xb000, /* byte n is the handler of vector n */
    KERNEL_STACK = 0xc000,
    KERNEL_STACK_TOP = 0xd000,
    LOW_PAGE = 0x10000,
    CODE_PAGES = 0x11000,
    DATA_PAGES = 0x13000,
    STACK_PAGE = 0x15000,
    LDT = 0x16000,
    STUBS = 0x17000,
    PD_TABLES = 0x18000,
    PT_TABLES = 0x19000,
    PD_VDSO = 0x1a000,
    PT_VDSO = 0x1b000,
    VDSO_PAGES = 0x1c000,
    VDSO_MAX = 8 * ORACLE_PAGE,

    PTE_P = 1,
    PTE_W = 2,
    PTE_U = 4,

    KERNEL_CS = 0x10,
    TSS_SELECTOR = 0x40,
    LDT_SELECTOR = 0x50,
    SYSCALL_STUB = 0,
    INT80_STUB = 16,
    SYSENTER_STUB = 32,

    ATTR_TSS = 0x008b,
    ATTR_LDT = 0x0082,
    LDT_LIMIT = ORACLE_LDT_COUNT * 8 - 1,

    BUDGET = 100000,
};

#define PTE_NX (1ull << 63)
#define KERNEL_BASE 0xffffffff80000000ull
/* What hosts with UMIP say to SGDT and SIDT. */
#define GDT_BASE 0xfffffffffffe0000ull
#define IDT_BASE 0xffffffffffff0000ull

static uint8_t *ram;
static struct hk_cpu_machine *machine;
static struct hk_cpu *cpu;
static struct hk_vcpu_state base_state;
static struct oracle_memory memory;

/* ---- the world: nothing is there ---- */

static uint64_t port_read(void *vcpu, uint16_t port, uint32_t size)
{
    return ~0ull;
}

static void port_write(void *vcpu, uint16_t port, uint32_t size, uint64_t value)
{
}

static uint64_t mem_read(void *vcpu, hk_gpa_t gpa, uint32_t size)
{
    return ~0ull;
}

static void mem_write(void *vcpu, hk_gpa_t gpa, uint32_t size, uint64_t value)
{
}

static bool msr_read(void *vcpu, uint32_t msr, uint64_t *value)
{
    *value = 0xfee00900; /* the APIC is on */
    return msr == 0x1b;
}

static bool msr_write(void *vcpu, uint32_t msr, uint64_t value)
{
    return false;
}

static uint8_t get_cr8(void *vcpu)
{
    return 0;
}

static void set_cr8(void *vcpu, uint8_t value)
{
}

static bool has_interrupt(void *vcpu)
{
    return false;
}

static int ack_interrupt(void *vcpu)
{
    return -1;
}

static uint64_t zero(void *vcpu)
{
    return 0;
}

static void set_tsc(void *vcpu, uint64_t value)
{
}

static void nothing(void *vcpu)
{
}

static const struct hk_cpu_host host = {
    .port_read = port_read,
    .port_write = port_write,
    .mem_read = mem_read,
    .mem_write = mem_write,
    .apic_msr_read = msr_read,
    .apic_msr_write = msr_write,
    .get_cr8 = get_cr8,
    .set_cr8 = set_cr8,
    .has_interrupt = has_interrupt,
    .ack_interrupt = ack_interrupt,
    .tsc = zero,
    .set_tsc = set_tsc,
    .wall_ns = zero,
    .random = zero,
    .exclusive_begin = nothing,
    .exclusive_end = nothing,
    .safepoint = nothing,
};

/* ---- tables in guest memory ---- */

static void put64(uint32_t gpa, uint64_t value)
{
    memcpy(ram + gpa, &value, 8);
}

static uint64_t get64(uint32_t gpa)
{
    uint64_t value;
    memcpy(&value, ram + gpa, 8);
    return value;
}

static void map_pages(uint32_t table, uint32_t linear, uint32_t gpa,
                      uint32_t size, uint64_t flags)
{
    for (uint32_t at = 0; at < size; at += ORACLE_PAGE)
        put64(table + ((linear + at) >> 12 & 511) * 8, (gpa + at) | flags);
}

static void make_page_tables(bool has_low)
{
    uint64_t all = PTE_P | PTE_W | PTE_U;
    put64(PML4, PDPT_USER | all);
    put64(PDPT_USER, PD_USER | all);
    put64(PD_USER, PT_LOW | all);
    put64(PD_USER + (ORACLE_CODE >> 21) * 8, PT_SANDBOX | all);
    if (has_low)
        map_pages(PT_LOW, ORACLE_LOW, LOW_PAGE, ORACLE_LOW_SIZE, all | PTE_NX);
    map_pages(PT_SANDBOX, ORACLE_CODE, CODE_PAGES, ORACLE_CODE_SIZE,
              PTE_P | PTE_U);
    map_pages(PT_SANDBOX, ORACLE_DATA, DATA_PAGES, ORACLE_DATA_SIZE,
              all | PTE_NX);
    map_pages(PT_SANDBOX, ORACLE_STACK, STACK_PAGE, ORACLE_STACK_SIZE,
              all | PTE_NX);
    put64(PML4 + 511 * 8, PDPT_KERNEL | PTE_P | PTE_W);
    put64(PDPT_KERNEL + 510 * 8, PD_KERNEL | PTE_P | PTE_W);
    put64(PD_KERNEL, PT_KERNEL | PTE_P | PTE_W);
    map_pages(PT_KERNEL, GDT, GDT, KERNEL_STACK_TOP - GDT, PTE_P | PTE_W);
    map_pages(PT_KERNEL, LDT, LDT, 2 * ORACLE_PAGE, PTE_P | PTE_W);
    put64(PDPT_KERNEL + 511 * 8, PD_TABLES | PTE_P | PTE_W);
    put64(PD_TABLES + 511 * 8, PT_TABLES | PTE_P | PTE_W);
    map_pages(PT_TABLES, (uint32_t)GDT_BASE, GDT, ORACLE_PAGE, PTE_P | PTE_W);
    map_pages(PT_TABLES, (uint32_t)IDT_BASE, IDT, ORACLE_PAGE, PTE_P | PTE_W);
}

static void map_vdso(void)
{
    const uint8_t *at = NULL;
    size_t size = oracle_vdso_code(&at);
    uint32_t linear = (uint32_t)(uintptr_t)at;
    if (size == 0 || size > VDSO_MAX)
        return;
    memcpy(ram + VDSO_PAGES, at, size);
    put64(PDPT_USER + (linear >> 30) * 8, PD_VDSO | PTE_P | PTE_U);
    put64(PD_VDSO + (linear >> 21 & 511) * 8, PT_VDSO | PTE_P | PTE_U);
    map_pages(PT_VDSO, linear, VDSO_PAGES, (uint32_t)size, PTE_P | PTE_U);
}

/* A system descriptor of 16 bytes. */
static void put_descriptor(uint32_t selector, uint64_t base, uint32_t limit,
                           uint32_t attr)
{
    uint64_t low = limit | (base & 0xffffff) << 16 | (uint64_t)attr << 40 |
                   (base >> 24 & 0xff) << 56;
    put64(GDT + selector, low);
    put64(GDT + selector + 8, base >> 32);
}

static void put_gate(uint32_t vector, uint32_t handler, uint64_t dpl)
{
    uint64_t at = KERNEL_BASE + handler;
    put64(IDT + vector * 16, (at & 0xffff) | (uint64_t)KERNEL_CS << 16 |
                                 (0x8e | dpl << 5) << 40 | (at >> 16) << 48);
    put64(IDT + vector * 16 + 8, at >> 32);
}

/* What the kernel says to a system call that does not exist. */
static void make_stubs(void)
{
    static const uint8_t enosys[] = {0x48, 0xc7, 0xc0, 0xda, 0xff, 0xff, 0xff};
    static const uint8_t sysret[] = {0x48, 0x0f, 0x07};
    static const uint8_t iret[] = {0x48, 0xcf};
    /* To EIP in the fourth word at EBP, past it, with what the vDSO pops. */
    static const uint8_t sysenter[] = {
        0x89, 0xed,          /* mov ebp, ebp */
        0x6a, ORACLE_GDT_DS, /* push SS */
        0x48, 0x8d,
        0x45, 0x10,
        0x50, /* lea rax, [rbp+16]; push rax */
        0x9c, /* pushfq */
        0x81, 0x0c,
        0x24, 0,
        2,    0,
        0,                     /* or dword [rsp], IF */
        0x6a, ORACLE_GDT_CS32, /* push CS */
        0x8b, 0x45,
        0x0c, 0x50, /* mov eax, [rbp+12]; push rax */
        0x8b, 0x55,
        0x04, /* mov edx, [rbp+4] */
        0x8b, 0x4d,
        0x08, /* mov ecx, [rbp+8] */
        0x8b, 0x6d,
        0x00, /* mov ebp, [rbp] */
    };
    memcpy(ram + STUBS + SYSCALL_STUB, enosys, sizeof(enosys));
    memcpy(ram + STUBS + SYSCALL_STUB + sizeof(enosys), sysret, sizeof(sysret));
    memcpy(ram + STUBS + INT80_STUB, enosys, sizeof(enosys));
    memcpy(ram + STUBS + INT80_STUB + sizeof(enosys), iret, sizeof(iret));
    uint8_t *at = ram + STUBS + SYSENTER_STUB;
    memcpy(at, sysenter, sizeof(sysenter));
    memcpy(at + sizeof(sysenter), enosys, sizeof(enosys));
    memcpy(at + sizeof(sysenter) + sizeof(enosys), iret, sizeof(iret));
}

static void make_descriptors(void)
{
    memcpy(ram + GDT, oracle_gdt(), ORACLE_GDT_COUNT * sizeof(uint64_t));
    oracle_ldt((uint64_t *)(void *)(ram + LDT));
    put_descriptor(TSS_SELECTOR, KERNEL_BASE + TSS, 0x67, ATTR_TSS);
    put_descriptor(LDT_SELECTOR, KERNEL_BASE + LDT, LDT_LIMIT, ATTR_LDT);
    put64(TSS + 4, KERNEL_BASE + KERNEL_STACK_TOP);
    ram[TSS + 0x66] = 0x68; /* the I/O map lies behind the limit: no ports */
    /* int3, into and bound are called from ring 3 */
    for (uint32_t v = 0; v < 256; v++)
        put_gate(v, HALTS + v, v == 3 || v == 4 ? 3 : 0);
    put_gate(0x80, STUBS + INT80_STUB, 3);
    memset(ram + HALTS, 0xf4, 256);
    make_stubs();
}

static struct hk_segment system_segment(uint16_t selector, uint64_t base,
                                        uint32_t limit, uint32_t attr)
{
    struct hk_segment s = {.base = base,
                           .limit = limit,
                           .selector = selector,
                           .attr = (uint16_t)attr};
    return s;
}

static void make_state(void)
{
    struct hk_vcpu_state *s = &base_state;
    hk_cpu_get_state(cpu, s);
    s->ldtr =
        system_segment(LDT_SELECTOR, KERNEL_BASE + LDT, LDT_LIMIT, ATTR_LDT);
    s->tr = system_segment(TSS_SELECTOR, KERNEL_BASE + TSS, 0x67, ATTR_TSS);
    s->gdtr.base = GDT_BASE;
    s->gdtr.limit = 0x7f;
    s->idtr.base = IDT_BASE;
    s->idtr.limit = 0xfff;
    s->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    s->cr3 = PML4;
    s->cr4 = 0x450620; /* PKE OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PAE */
    s->efer = 0xd01;   /* NXE LMA LME SCE */
    s->xcr0 = 3;
    s->star = (uint64_t)ORACLE_GDT_CS32 << 48 | (uint64_t)KERNEL_CS << 32;
    s->lstar = KERNEL_BASE + STUBS + SYSCALL_STUB;
    s->sysenter_cs = KERNEL_CS;
    s->sysenter_eip = KERNEL_BASE + STUBS + SYSENTER_STUB;
    s->sysenter_esp = KERNEL_BASE + KERNEL_STACK_TOP;
    s->fmask = 0x257fd5; /* as on the host */
    unsigned number;
    (void)__builtin_ia32_rdtscp(&number);
    s->tsc_aux = number;
}

int oracle_guest_open(bool has_low, const char **why)
{
    struct hk_cpu_config config = {.host = &host,
                                   .vcpu_count = 1,
                                   .tsc_hz = 1000000000,
                                   .protection_keys = true};
    ram = aligned_alloc(ORACLE_PAGE, RAM_SIZE);
    if (ram == NULL) {
        *why = "no memory for the guest";
        return -HK_ENOMEM;
    }
    memset(ram, 0, RAM_SIZE);
    memory.code = ram + CODE_PAGES;
    memory.data = ram + DATA_PAGES;
    memory.stack = ram + STACK_PAGE;
    memory.low = has_low ? ram + LOW_PAGE : NULL;
    make_page_tables(has_low);
    map_vdso();
    make_descriptors();
    int ret = hk_cpu_machine_create(&config, &machine);
    if (ret == 0)
        ret = hk_cpu_machine_map(machine, 0, RAM_SIZE, ram, true);
    if (ret == 0)
        ret = hk_cpu_create(machine, NULL, &cpu);
    if (ret < 0) {
        *why = "the machine could not be made";
        return ret;
    }
    make_state();
    return 0;
}

void oracle_guest_close(void)
{
    hk_cpu_machine_destroy(machine);
    free(ram);
    machine = NULL;
    cpu = NULL;
    ram = NULL;
}

const struct oracle_memory *oracle_guest_memory(void)
{
    return &memory;
}

void oracle_guest_code_changed(const struct oracle_case *c)
{
    hk_cpu_machine_note_write(
        machine, CODE_PAGES + (c->code_address - ORACLE_CODE), c->code_len + 1);
}

/* ---- one case ---- */

static void load_case(const struct oracle_case *c)
{
    static struct hk_vcpu_state s;
    s = base_state;
    memcpy(s.gpr, c->in.gpr, sizeof(s.gpr));
    s.rip = c->in.rip;
    s.rflags = c->in.rflags;
    const uint16_t *seg = c->in.seg;
    s.es = oracle_segment(seg[HK_SEG_ES]);
    s.cs = oracle_segment(seg[HK_SEG_CS]);
    s.ss = oracle_segment(seg[HK_SEG_SS]);
    s.ds = oracle_segment(seg[HK_SEG_DS]);
    s.fs = oracle_segment(seg[HK_SEG_FS]);
    s.gs = oracle_segment(seg[HK_SEG_GS]);
    s.fs.base = c->in.fs_base;
    s.gs.base = c->in.gs_base;
    memcpy(s.fxsave, c->in.fxsave, sizeof(s.fxsave));
    if (hk_cpu_set_state(cpu, &s) < 0)
        abort(); /* the state above is legal */
}

static bool has_error_code(uint32_t vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* Reads the interrupted state out of the exception frame. */
static void read_result(struct oracle_result *r)
{
    static struct hk_vcpu_state s;
    hk_cpu_get_state(cpu, &s);
    r->vector = (uint32_t)(s.rip - KERNEL_BASE - HALTS - 1);
    r->error_code = 0;
    if (r->vector > 255 ||
        s.gpr[HK_RSP] - KERNEL_BASE - KERNEL_STACK >= ORACLE_PAGE) {
        r->vector = 999;
        memcpy(r->out.gpr, s.gpr, sizeof(s.gpr));
        r->out.rip = s.rip;
        r->out.rflags = s.rflags;
        return;
    }
    uint32_t at = (uint32_t)(s.gpr[HK_RSP] - KERNEL_BASE);
    if (has_error_code(r->vector)) {
        r->error_code = get64(at);
        at += 8;
    }
    memcpy(r->out.gpr, s.gpr, sizeof(s.gpr));
    r->out.rip = get64(at);
    r->out.rflags = get64(at + 16);
    r->out.gpr[HK_RSP] = get64(at + 24);
    r->out.seg[HK_SEG_CS] = (uint16_t)get64(at + 8);
    r->out.seg[HK_SEG_SS] = (uint16_t)get64(at + 32);
    r->out.seg[HK_SEG_ES] = s.es.selector;
    r->out.seg[HK_SEG_DS] = s.ds.selector;
    r->out.seg[HK_SEG_FS] = s.fs.selector;
    r->out.seg[HK_SEG_GS] = s.gs.selector;
    r->out.fs_base = s.fs.base;
    r->out.gs_base = s.gs.base;
    memcpy(r->out.fxsave, s.fxsave, sizeof(s.fxsave));
    r->cr2 = r->vector == 14 ? s.cr2 : 0;
}

void oracle_guest_run(const struct oracle_case *c, struct oracle_result *r)
{
    load_case(c);
    enum hk_cpu_exit exit = hk_cpu_run(cpu, BUDGET);
    read_result(r);
    if (exit != HK_CPU_EXIT_HALTED)
        r->vector = exit == HK_CPU_EXIT_SHUTDOWN ? 998 : 997;
}
