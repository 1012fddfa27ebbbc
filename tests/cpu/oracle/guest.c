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

    PTE_P = 1,
    PTE_W = 2,
    PTE_U = 4,

    KERNEL_CS = 0x10,
    USER_CS32 = 0x23,
    USER_DS = 0x2b,
    USER_CS = 0x33,
    TSS_SELECTOR = 0x40,

    ATTR_CODE64 = 0xa0fb, /* G, L, present, ring 3, execute-read, accessed */
    ATTR_CODE32 = 0xc0fb, /* G, D */
    ATTR_DATA = 0xc0f3,
    ATTR_TSS = 0x008b,
    ATTR_LDT = 0x0082,

    BUDGET = 100000,
};

#define PTE_NX (1ull << 63)
#define KERNEL_BASE 0xffffffff80000000ull

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
    return false;
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
}

/* A descriptor from base, limit (in its own unit) and attributes. */
static void put_descriptor(uint32_t selector, uint64_t base, uint32_t limit,
                           uint32_t attr)
{
    uint64_t low = (limit & 0xffff) | (base & 0xffffff) << 16 |
                   (uint64_t)(attr & 0xff) << 40 |
                   (uint64_t)(limit >> 16 & 15) << 48 |
                   (uint64_t)(attr >> 12) << 52 | (base >> 24 & 0xff) << 56;
    put64(GDT + (selector & ~7u), low);
}

static void make_descriptors(void)
{
    put_descriptor(KERNEL_CS, 0, 0xfffff, 0xa09b);
    put_descriptor(0x18, 0, 0xfffff, 0xc093);
    put_descriptor(USER_CS32, 0, 0xfffff, ATTR_CODE32);
    put_descriptor(USER_DS, 0, 0xfffff, ATTR_DATA);
    put_descriptor(USER_CS, 0, 0xfffff, ATTR_CODE64);
    put_descriptor(TSS_SELECTOR, KERNEL_BASE + TSS, 0x67, ATTR_TSS);
    put64(GDT + TSS_SELECTOR + 8, KERNEL_BASE >> 32);
    put64(TSS + 4, KERNEL_BASE + KERNEL_STACK_TOP);
    ram[TSS + 0x66] = 0x68; /* the I/O map lies behind the limit: no ports */
    for (uint32_t v = 0; v < 256; v++) {
        /* int3, into and bound are called from ring 3 */
        uint64_t dpl = v == 3 || v == 4 ? 3 : 0;
        uint64_t handler = KERNEL_BASE + HALTS + v;
        put64(IDT + v * 16, (handler & 0xffff) | (uint64_t)KERNEL_CS << 16 |
                                (0x8e | dpl << 5) << 40 |
                                (handler >> 16) << 48);
        put64(IDT + v * 16 + 8, handler >> 32);
    }
    memset(ram + HALTS, 0xf4, 256);
}

static struct hk_segment segment(uint16_t selector, uint32_t attr)
{
    struct hk_segment s = {
        .limit = 0xffffffff, .selector = selector, .attr = (uint16_t)attr};
    return s;
}

static void make_state(void)
{
    struct hk_vcpu_state *s = &base_state;
    hk_cpu_get_state(cpu, s);
    s->cs = segment(USER_CS, ATTR_CODE64);
    s->ss = s->ds = s->es = segment(USER_DS, ATTR_DATA);
    s->fs = s->gs = segment(0, ATTR_DATA);
    s->ldtr = segment(0, ATTR_LDT);
    s->ldtr.limit = 0;
    s->tr = segment(TSS_SELECTOR, ATTR_TSS);
    s->tr.base = KERNEL_BASE + TSS;
    s->tr.limit = 0x67;
    s->gdtr.base = KERNEL_BASE + GDT;
    s->gdtr.limit = 0x7f;
    s->idtr.base = KERNEL_BASE + IDT;
    s->idtr.limit = 0xfff;
    s->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    s->cr3 = PML4;
    s->cr4 = 0x50620; /* OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PAE */
    s->efer = 0xd01;  /* NXE LMA LME SCE */
    s->xcr0 = 1;
}

int oracle_guest_open(bool has_low, const char **why)
{
    struct hk_cpu_config config = {
        .host = &host, .vcpu_count = 1, .tsc_hz = 1000000000};
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
    s.fs.base = c->in.fs_base;
    s.gs.base = c->in.gs_base;
    memcpy(s.fxsave, c->in.fxsave, sizeof(s.fxsave));
    if (c->code_size == HK_CODE32)
        s.cs = segment(USER_CS32, ATTR_CODE32);
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
