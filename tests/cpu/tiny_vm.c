/*
 * See tiny_vm.h.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

/* ---- what the CPU asks of the world ------------------------------------- */

static uint64_t port_read(void *vcpu, uint16_t port, uint32_t size)
{
    struct tiny_cpu *t = vcpu;
    t->port = port;
    return t->port_value;
}

static void port_write(void *vcpu, uint16_t port, uint32_t size, uint64_t value)
{
    struct tiny_cpu *t = vcpu;
    t->port = port;
    t->port_value = value;
    t->port_writes++;
}

static uint64_t mem_read(void *vcpu, hk_gpa_t gpa, uint32_t size)
{
    return 0x1122334455667788ull;
}

static void mem_write(void *vcpu, hk_gpa_t gpa, uint32_t size, uint64_t value)
{
}

static bool apic_msr_read(void *vcpu, uint32_t msr, uint64_t *value)
{
    *value = 0;
    return msr == 0x1b;
}

static bool apic_msr_write(void *vcpu, uint32_t msr, uint64_t value)
{
    return msr == 0x1b;
}

static uint8_t get_cr8(void *vcpu)
{
    struct tiny_cpu *t = vcpu;
    return t->cr8;
}

static void set_cr8(void *vcpu, uint8_t value)
{
    struct tiny_cpu *t = vcpu;
    t->cr8 = value;
}

static bool has_interrupt(void *vcpu)
{
    struct tiny_cpu *t = vcpu;
    return t->irq >= 0;
}

static int ack_interrupt(void *vcpu)
{
    struct tiny_cpu *t = vcpu;
    int vector = t->irq;
    t->irq = -1;
    return vector;
}

static uint64_t tsc(void *vcpu)
{
    struct tiny_cpu *t = vcpu;
    return t->tsc += 1000;
}

static void set_tsc(void *vcpu, uint64_t value)
{
    struct tiny_cpu *t = vcpu;
    t->tsc = value;
}

static uint64_t wall_ns(void *vcpu)
{
    return 1700000000123456789ull;
}

static uint64_t random_bits(void *vcpu)
{
    return 0x5bd1e9955bd1e995ull;
}

/* ---- stopping the world ------------------------------------------------- */

static void exclusive_begin(void *vcpu)
{
    struct tiny_cpu *t = vcpu;
    struct tiny_vm *vm = t->vm;
    uv_mutex_lock(&vm->lock);
    vm->running--;
    uv_cond_broadcast(&vm->cond);
    while (vm->exclusive)
        uv_cond_wait(&vm->cond, &vm->lock);
    vm->exclusive = true;
    for (uint32_t n = 0; n < vm->count; n++) {
        if (&vm->cpu[n] != t)
            hk_cpu_poke(vm->cpu[n].cpu, HK_CPU_POKE_SAFEPOINT);
    }
    while (vm->running > 0)
        uv_cond_wait(&vm->cond, &vm->lock);
    uv_mutex_unlock(&vm->lock);
}

static void exclusive_end(void *vcpu)
{
    struct tiny_cpu *t = vcpu;
    uv_mutex_lock(&t->vm->lock);
    t->vm->exclusive = false;
    t->vm->running++;
    uv_cond_broadcast(&t->vm->cond);
    uv_mutex_unlock(&t->vm->lock);
}

static void safepoint(void *vcpu)
{
    struct tiny_cpu *t = vcpu;
    struct tiny_vm *vm = t->vm;
    uv_mutex_lock(&vm->lock);
    vm->running--;
    uv_cond_broadcast(&vm->cond);
    while (vm->exclusive)
        uv_cond_wait(&vm->cond, &vm->lock);
    vm->running++;
    uv_mutex_unlock(&vm->lock);
}

static const struct hk_cpu_host host = {
    .port_read = port_read,
    .port_write = port_write,
    .mem_read = mem_read,
    .mem_write = mem_write,
    .apic_msr_read = apic_msr_read,
    .apic_msr_write = apic_msr_write,
    .get_cr8 = get_cr8,
    .set_cr8 = set_cr8,
    .has_interrupt = has_interrupt,
    .ack_interrupt = ack_interrupt,
    .tsc = tsc,
    .set_tsc = set_tsc,
    .wall_ns = wall_ns,
    .random = random_bits,
    .exclusive_begin = exclusive_begin,
    .exclusive_end = exclusive_end,
    .safepoint = safepoint,
};

/* ---- guest memory ------------------------------------------------------- */

void tiny_put(struct tiny_vm *vm, uint64_t gpa, const void *bytes, size_t len)
{
    assert_true(gpa + len <= TINY_RAM);
    memcpy(vm->ram + gpa, bytes, len);
    hk_cpu_machine_note_write(vm->machine, gpa, len);
}

uint64_t tiny_get64(const struct tiny_vm *vm, uint64_t gpa)
{
    uint64_t v;
    memcpy(&v, vm->ram + gpa, sizeof(v));
    return v;
}

void tiny_set64(struct tiny_vm *vm, uint64_t gpa, uint64_t value)
{
    tiny_put(vm, gpa, &value, sizeof(value));
}

uint64_t tiny_pte(const struct tiny_vm *vm, uint64_t la)
{
    return tiny_get64(vm, TINY_PT + (la >> 12) * 8);
}

void tiny_set_pte(struct tiny_vm *vm, uint64_t la, uint64_t pte)
{
    tiny_set64(vm, TINY_PT + (la >> 12) * 8, pte);
}

static void make_tables(struct tiny_vm *vm)
{
    tiny_set64(vm, TINY_PML4, TINY_PDPT | 7);
    tiny_set64(vm, TINY_PDPT, TINY_PD | 7);
    tiny_set64(vm, TINY_PD, TINY_PT | 7);
    for (uint64_t n = 1; n < TINY_RAM >> 21; n++)
        tiny_set64(vm, TINY_PD + n * 8, n << 21 | 0x83);
    for (uint64_t la = 0; la < 2 << 20; la += 4096) {
        bool user = la >= TINY_USER_CODE && la < TINY_USER_END;
        tiny_set_pte(vm, la, la | (user ? 7 : 3));
    }
}

uint64_t tiny_desc(uint32_t base, uint32_t limit, uint16_t attr)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
           (uint64_t)attr << 40 | (uint64_t)(limit & 0xf0000) << 32 |
           (uint64_t)(base >> 24) << 56;
}

void tiny_set_desc(struct tiny_vm *vm, uint16_t selector, uint64_t desc)
{
    tiny_set64(vm, TINY_GDT + (selector & ~7u), desc);
}

void tiny_set_gate(struct tiny_vm *vm, unsigned vector, uint64_t offset,
                   uint16_t selector, uint8_t type, unsigned ist)
{
    bool is64 = (vm->cpu[0].state.efer & HK_EFER_LME) != 0;
    uint64_t low = (offset & 0xffff) | (uint64_t)selector << 16 |
                   (uint64_t)ist << 32 | (uint64_t)type << 40 |
                   (offset >> 16 & 0xffff) << 48;
    uint64_t at = TINY_IDT + vector * (is64 ? 16 : 8);
    tiny_set64(vm, at, low);
    if (is64)
        tiny_set64(vm, at + 8, offset >> 32);
}

/* ---- modes -------------------------------------------------------------- */

static void fill_gdt(struct tiny_vm *vm, bool is64)
{
    tiny_set_desc(vm, TINY_CS64, tiny_desc(0, 0xfffff, 0xa09b));
    tiny_set_desc(vm, TINY_DS, tiny_desc(0, 0xfffff, 0xc093));
    tiny_set_desc(vm, TINY_USER_CS32, tiny_desc(0, 0xfffff, 0xc0fb));
    tiny_set_desc(vm, TINY_USER_DS, tiny_desc(0, 0xfffff, 0xc0f3));
    tiny_set_desc(vm, TINY_USER_CS64, tiny_desc(0, 0xfffff, 0xa0fb));
    tiny_set_desc(vm, TINY_TR, tiny_desc(TINY_TSS, 0x2067, 0x8b));
    tiny_set_desc(vm, TINY_CS32, tiny_desc(0, 0xfffff, 0xc09b));
    if (!is64)
        return;
    tiny_set64(vm, TINY_TSS + 4, TINY_STACK0);
    tiny_set64(vm, TINY_TSS + 0x24, TINY_IST1);
}

static struct hk_segment flat(uint16_t selector, uint16_t attr)
{
    return (struct hk_segment){
        .limit = 0xffffffff, .selector = selector, .attr = attr};
}

static void start_protected(struct tiny_vm *vm, struct hk_vcpu_state *s,
                            bool is64)
{
    s->cr0 = HK_CR0_PE | HK_CR0_ET | HK_CR0_NE | HK_CR0_MP;
    s->cr4 = HK_CR4_OSFXSR;
    s->cs = is64 ? flat(TINY_CS64, 0xa09b) : flat(TINY_CS32, 0xc09b);
    s->ds = s->es = s->ss = s->fs = s->gs = flat(TINY_DS, 0xc093);
    s->gdtr = (struct hk_table_reg){TINY_GDT, 0xff};
    s->idtr = (struct hk_table_reg){TINY_IDT, is64 ? 0xfff : 0x7ff};
    s->tr = (struct hk_segment){TINY_TSS, 0x2067, TINY_TR, 0x8b};
    s->rip = TINY_CODE;
    s->gpr[HK_RSP] = TINY_STACK;
    if (is64) {
        s->cr0 |= HK_CR0_PG | HK_CR0_WP;
        s->cr3 = TINY_PML4;
        s->cr4 |= HK_CR4_PAE | HK_CR4_PGE;
        s->efer = HK_EFER_LME | HK_EFER_LMA | HK_EFER_SCE | HK_EFER_NXE;
    } else {
        uint64_t stack0 = (uint64_t)TINY_DS << 32 | TINY_STACK0;
        tiny_set64(vm, TINY_TSS + 4, stack0);
    }
}

static void start_real(struct hk_vcpu_state *s)
{
    struct hk_segment zero = {.limit = 0xffff, .attr = 0x93};
    s->cs = s->ds = s->es = s->ss = s->fs = s->gs = zero;
    s->idtr.limit = 0x3ff;
    s->rip = 0x7c00;
    s->gpr[HK_RSP] = 0x7000;
}

static void make_vectors(struct tiny_vm *vm, enum tiny_mode mode)
{
    uint16_t cs = mode == TINY_LONG ? TINY_CS64 : TINY_CS32;
    for (unsigned v = 0; v < 256; v++) {
        uint64_t at = TINY_STUBS + v * 16;
        uint8_t hlt = 0xf4;
        tiny_put(vm, at, &hlt, 1);
        if (mode == TINY_REAL)
            tiny_put(vm, v * 4, &(uint16_t[2]){(uint16_t)at, 0}, 4);
        else
            tiny_set_gate(vm, v, at, cs, 0x8e, 0);
    }
}

static void start_cpu(struct tiny_vm *vm, struct tiny_cpu *t,
                      enum tiny_mode mode)
{
    t->vm = vm;
    t->irq = -1;
    assert_int_equal(hk_cpu_create(vm->machine, t, &t->cpu), 0);
    hk_cpu_get_state(t->cpu, &t->state);
    if (mode == TINY_REAL)
        start_real(&t->state);
    else
        start_protected(vm, &t->state, mode == TINY_LONG);
}

static struct tiny_vm *new_vm(enum tiny_mode mode, uint32_t cpus,
                              uint32_t code_bytes, bool amd)
{
    struct tiny_vm *vm = calloc(1, sizeof(*vm));
    struct hk_cpu_config config = {.host = &host,
                                   .vcpu_count = cpus,
                                   .tsc_hz = 2100000000,
                                   .tell_safe = true,
                                   .protection_keys = true,
                                   .amd = amd,
                                   .code_bytes = code_bytes};
    assert_non_null(vm);
    assert_true(cpus <= HK_COUNT(vm->cpu));
    vm->ram = aligned_alloc(4096, TINY_RAM);
    assert_non_null(vm->ram);
    memset(vm->ram, 0, TINY_RAM);
    HK_RACY_MEMORY(vm->ram, TINY_RAM);
    uv_mutex_init(&vm->lock);
    uv_cond_init(&vm->cond);
    vm->count = cpus;
    assert_int_equal(hk_cpu_machine_create(&config, &vm->machine), 0);
    assert_int_equal(
        hk_cpu_machine_map(vm->machine, 0, TINY_RAM, vm->ram, true), 0);
    if (mode != TINY_REAL)
        fill_gdt(vm, mode == TINY_LONG);
    make_tables(vm);
    for (uint32_t n = 0; n < cpus; n++)
        start_cpu(vm, &vm->cpu[n], mode);
    make_vectors(vm, mode);
    return vm;
}

struct tiny_vm *tiny_new_code(enum tiny_mode mode, uint32_t cpus,
                              uint32_t code_bytes)
{
    return new_vm(mode, cpus, code_bytes, false);
}

struct tiny_vm *tiny_new(enum tiny_mode mode, uint32_t cpus)
{
    return new_vm(mode, cpus, 0, false);
}

struct tiny_vm *tiny_new_amd(enum tiny_mode mode, uint32_t cpus)
{
    return new_vm(mode, cpus, 0, true);
}

void tiny_free(struct tiny_vm *vm)
{
    hk_cpu_machine_destroy(vm->machine);
    uv_cond_destroy(&vm->cond);
    uv_mutex_destroy(&vm->lock);
    free(vm->ram);
    free(vm);
}

void tiny_load(struct tiny_vm *vm, const uint8_t *code, const uint8_t *end)
{
    tiny_put(vm, vm->cpu[0].state.rip, code, (size_t)(end - code));
}

void tiny_load_user(struct tiny_vm *vm, const uint8_t *code, const uint8_t *end)
{
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    bool is64 = (s->efer & HK_EFER_LMA) != 0;
    s->cs = is64 ? flat(TINY_USER_CS64, 0xa0fb) : flat(TINY_USER_CS32, 0xc0fb);
    s->ss = s->ds = s->es = s->fs = s->gs = flat(TINY_USER_DS, 0xc0f3);
    s->rip = TINY_USER_CODE;
    s->gpr[HK_RSP] = TINY_USER_STACK;
    tiny_put(vm, TINY_USER_CODE, code, (size_t)(end - code));
}

/* ---- running ------------------------------------------------------------ */

static bool has_error_code(int v)
{
    return v == 8 || (v >= 10 && v <= 14) || v == 17;
}

static uint64_t field(const struct tiny_vm *vm, uint64_t at, unsigned width)
{
    uint64_t v = 0;
    if (at + width <= TINY_RAM)
        memcpy(&v, vm->ram + at, width);
    return v;
}

static void read_frame(const struct tiny_vm *vm, const struct tiny_cpu *t,
                       struct tiny_end *e)
{
    const struct hk_vcpu_state *s = &t->state;
    bool is64 = (s->efer & HK_EFER_LMA) != 0;
    bool real = (s->cr0 & HK_CR0_PE) == 0;
    unsigned w = is64 ? 8 : real ? 2 : 4;
    uint64_t at = s->gpr[HK_RSP] + (is64 ? 0 : s->ss.base);
    if (has_error_code(e->vector) && !real) {
        e->err = (uint32_t)field(vm, at, w);
        at += w;
    }
    e->rip = field(vm, at, w);
    e->cs = field(vm, at + w, w);
    e->rflags = field(vm, at + 2 * w, w);
    e->rsp = field(vm, at + 3 * w, w);
    e->ss = field(vm, at + 4 * w, w);
}

static void enter(struct tiny_vm *vm)
{
    uv_mutex_lock(&vm->lock);
    while (vm->exclusive)
        uv_cond_wait(&vm->cond, &vm->lock);
    vm->running++;
    uv_mutex_unlock(&vm->lock);
}

static void leave(struct tiny_vm *vm)
{
    uv_mutex_lock(&vm->lock);
    vm->running--;
    uv_cond_broadcast(&vm->cond);
    uv_mutex_unlock(&vm->lock);
}

struct tiny_end tiny_run_cpu(struct tiny_vm *vm, unsigned n, uint64_t budget)
{
    struct tiny_cpu *t = &vm->cpu[n];
    struct tiny_end e = {.vector = -1};
    enter(vm);
    int rc = hk_cpu_set_state(t->cpu, &t->state);
    uint64_t start = hk_cpu_instructions(t->cpu), done = 0;
    do {
        if (rc == 0)
            e.exit = hk_cpu_run(t->cpu, budget - done);
        done = hk_cpu_instructions(t->cpu) - start;
    } while (e.exit == HK_CPU_EXIT_SPINNING && done < budget);
    leave(vm);
    assert_int_equal(rc, 0);
    hk_cpu_get_state(t->cpu, &t->state);
    e.cr2 = t->state.cr2;
    uint64_t at = t->state.rip - 1 - TINY_STUBS;
    if (e.exit == HK_CPU_EXIT_HALTED && at < 256 * 16 && at % 16 == 0) {
        e.vector = (int)(at / 16);
        read_frame(vm, t, &e);
    }
    return e;
}

struct tiny_end tiny_run(struct tiny_vm *vm)
{
    return tiny_run_cpu(vm, 0, 1000000);
}
