/*
 * Runs a multiboot image on the software CPU: for bare-metal test suites.
 *
 *     multiboot_run [--cpus N] [--memory MIB] [--seconds N]
 *                   [--test-device 0] [--keys 1] [--amd 1] IMAGE [ARG...]
 *
 * The machine: RAM at 0, local APICs, an I/O APIC, COM1 (output only), a
 * debug-exit port at 0xf4, and the small test device that such suites expect:
 * an echo port at 0xe0, interrupt lines 0 to 23 at ports 0x2000 up, and 64 KiB
 * of plain memory at 0xff000000. The environment of the image says how many
 * CPUs and how much memory there is. --keys 1 offers protection keys, --amd 1
 * makes the processors AMD's. The exit status is what the image wrote to port
 * 0xf4, twice plus one, or 124 after --seconds.
 */
#include "chip/ioapic.h"
#include "chip/lapic.h"
#include "cpu/cpu.h"
#include "vmm/vm_int.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    MAX_CPUS = 16,
    SLICE = 20000,
    IO_MEM = 0xff000000u,
    IO_MEM_SIZE = 0x10000,
    INFO = 0x90000, /* the multiboot information and what it points to */
    MODULE = 0x91000,
    COMMAND = 0x91100,
    MEMORY_MAP = 0x91800,
    ENVIRONMENT = 0x92000,
    TSC_HZ = 1000000000,
};

struct metal_cpu {
    struct metal *m;
    struct hk_cpu *cpu;
    struct hk_lapic *apic;
    uv_thread_t thread;
    uint32_t index;
    uint64_t tsc_offset;
    /* Guarded by the machine's lock. */
    bool awake, init, started;
    int sipi;
};

struct metal {
    struct hk_cpu_machine *machine;
    struct hk_apic_bus *apics;
    struct hk_ioapic *ioapic;
    uint8_t *ram;
    uint64_t ram_size;
    uint8_t io_mem[IO_MEM_SIZE];
    uint64_t echo;
    bool keys;        /* protection keys are offered */
    bool amd;         /* the processors are AMD's */
    bool test_device; /* as the environment says; it is always there */
    atomic_uint pic;  /* requests of a bare 8259 pair, 0x08 and 0x70 up */
    uint8_t pic_mask[2];
    uint32_t count;
    struct metal_cpu cpu[MAX_CPUS];

    uv_mutex_t lock;
    uv_cond_t cond;
    uint32_t running;
    struct metal_cpu *exclusive;
    atomic_bool over;
    int status;
    uint64_t deadline;
};

static void finish(struct metal *m, int status)
{
    uv_mutex_lock(&m->lock);
    if (!atomic_load(&m->over))
        m->status = status;
    atomic_store(&m->over, true);
    uv_cond_broadcast(&m->cond);
    uv_mutex_unlock(&m->lock);
    for (uint32_t n = 0; n < m->count; n++)
        hk_cpu_poke(m->cpu[n].cpu, HK_CPU_POKE_EXIT);
}

/* ---- ports and memory --------------------------------------------------- */

static uint64_t port_read(void *vcpu, uint16_t port, uint32_t size)
{
    struct metal_cpu *c = vcpu;
    switch (port) {
    case 0x3fd:
        return 0x60; /* transmitter empty */
    case 0xe0:
        return c->m->echo;
    default:
        return ~0ull;
    }
}

static void port_write(void *vcpu, uint16_t port, uint32_t size, uint64_t value)
{
    struct metal_cpu *c = vcpu;
    if (port == 0x3f8) {
        putchar((int)(value & 0xff));
        if ((value & 0xff) == '\n')
            fflush(stdout);
    } else if (port == 0xf4) {
        finish(c->m, (int)(value << 1 | 1) & 0xff);
    } else if (port >= 0xe0 && port < 0xe4) {
        c->m->echo = value;
    } else if (port >= 0x2000 && port < 0x2000 + HK_IOAPIC_PINS) {
        struct hk_irq irq = hk_ioapic_irq(c->m->ioapic, port - 0x2000);
        hk_irq_set(&irq, value != 0);
        if (value != 0 && port < 0x2010) {
            atomic_fetch_or(&c->m->pic, 1u << (port - 0x2000));
            hk_cpu_poke(c->m->cpu[0].cpu, HK_CPU_POKE_INTERRUPT);
        }
    } else if (port == 0x21 || port == 0xa1) {
        c->m->pic_mask[port >> 7] = (uint8_t)value;
    }
}

static bool in_apic(struct metal_cpu *c, hk_gpa_t gpa, uint64_t *offset)
{
    *offset = gpa - hk_lapic_base(c->apic);
    return hk_lapic_is_mapped(c->apic) && *offset < HK_APIC_SIZE;
}

static uint64_t mem_read(void *vcpu, hk_gpa_t gpa, uint32_t size)
{
    struct metal_cpu *c = vcpu;
    uint64_t offset, value = ~0ull;
    if (in_apic(c, gpa, &offset))
        return hk_lapic_read(c->apic, offset, size);
    if (gpa - HK_IOAPIC_BASE < HK_IOAPIC_SIZE)
        return hk_ioapic_bus_ops.read(c->m->ioapic, gpa - HK_IOAPIC_BASE, size);
    if (gpa - IO_MEM <= IO_MEM_SIZE - size) {
        value = 0;
        memcpy(&value, c->m->io_mem + (gpa - IO_MEM), size);
    }
    return value;
}

static void mem_write(void *vcpu, hk_gpa_t gpa, uint32_t size, uint64_t value)
{
    struct metal_cpu *c = vcpu;
    uint64_t offset;
    if (in_apic(c, gpa, &offset))
        hk_lapic_write(c->apic, offset, size, value);
    else if (gpa - HK_IOAPIC_BASE < HK_IOAPIC_SIZE)
        hk_ioapic_bus_ops.write(c->m->ioapic, gpa - HK_IOAPIC_BASE, size,
                                value);
    else if (gpa - IO_MEM <= IO_MEM_SIZE - size)
        memcpy(c->m->io_mem + (gpa - IO_MEM), &value, size);
}

/* ---- APIC --------------------------------------------------------------- */

static bool msr_read(void *vcpu, uint32_t msr, uint64_t *value)
{
    return hk_lapic_msr_read(((struct metal_cpu *)vcpu)->apic, msr, value);
}

static bool msr_write(void *vcpu, uint32_t msr, uint64_t value)
{
    return hk_lapic_msr_write(((struct metal_cpu *)vcpu)->apic, msr, value);
}

static uint8_t get_cr8(void *vcpu)
{
    return hk_lapic_get_cr8(((struct metal_cpu *)vcpu)->apic);
}

static void set_cr8(void *vcpu, uint8_t value)
{
    hk_lapic_set_cr8(((struct metal_cpu *)vcpu)->apic, value);
}

/* The 8259s reach the boot processor only, as ExtINT. */
static unsigned pic_waiting(struct metal_cpu *c)
{
    unsigned mask = c->m->pic_mask[0] | (unsigned)c->m->pic_mask[1] << 8;
    return c->index == 0 ? atomic_load(&c->m->pic) & ~mask : 0;
}

static bool has_interrupt(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    return hk_lapic_has_interrupt(c->apic) || pic_waiting(c) != 0;
}

static int ack_interrupt(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    if (hk_lapic_has_interrupt(c->apic))
        return hk_lapic_ack(c->apic);
    for (unsigned n = 0; n < 16; n++) {
        if ((pic_waiting(c) >> n & 1) != 0) {
            atomic_fetch_and(&c->m->pic, ~(1u << n));
            return (int)(n < 8 ? 0x08 + n : 0x68 + n);
        }
    }
    return -1;
}

static uint64_t tsc(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    return uv_hrtime() + __atomic_load_n(&c->tsc_offset, __ATOMIC_RELAXED);
}

static void set_tsc(void *vcpu, uint64_t value)
{
    struct metal_cpu *c = vcpu;
    __atomic_store_n(&c->tsc_offset, value - uv_hrtime(), __ATOMIC_RELAXED);
}

static uint64_t wall_ns(void *vcpu)
{
    uv_timeval64_t now = {0, 0};
    (void)uv_gettimeofday(&now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_usec * 1000;
}

static uint64_t random_bits(void *vcpu)
{
    uint64_t v = 0;
    (void)uv_random(NULL, NULL, &v, sizeof(v), 0, NULL);
    return v;
}

static void wake(struct metal_cpu *c)
{
    uv_mutex_lock(&c->m->lock);
    c->awake = true;
    uv_cond_broadcast(&c->m->cond);
    uv_mutex_unlock(&c->m->lock);
}

static void on_wake(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    hk_cpu_poke(c->cpu, HK_CPU_POKE_INTERRUPT);
    wake(c);
}

static void on_init(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    uv_mutex_lock(&c->m->lock);
    c->init = true;
    c->sipi = -1;
    uv_mutex_unlock(&c->m->lock);
    hk_cpu_poke(c->cpu, HK_CPU_POKE_EXIT);
    wake(c);
}

static void on_sipi(void *vcpu, uint8_t vector)
{
    struct metal_cpu *c = vcpu;
    uv_mutex_lock(&c->m->lock);
    if (c->sipi < 0)
        c->sipi = vector;
    uv_mutex_unlock(&c->m->lock);
    wake(c);
}

static void on_nmi(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    hk_cpu_poke(c->cpu, HK_CPU_POKE_NMI);
    wake(c);
}

static const struct hk_lapic_host apic_host = {
    .wake = on_wake,
    .init = on_init,
    .sipi = on_sipi,
    .nmi = on_nmi,
    .tsc = tsc,
};

static void send_message(void *opaque, const struct hk_apic_msg *msg)
{
    struct metal *m = opaque;
    hk_apic_bus_send(m->apics, msg);
}

static void on_eoi(void *opaque, uint8_t vector)
{
    struct metal *m = opaque;
    hk_ioapic_eoi(m->ioapic, vector);
}

/* ---- stopping the world ------------------------------------------------- */

/* With the lock held. */
static void stand_aside(struct metal_cpu *c)
{
    struct metal *m = c->m;
    m->running--;
    uv_cond_broadcast(&m->cond);
    while (m->exclusive != NULL)
        uv_cond_wait(&m->cond, &m->lock);
    m->running++;
}

static void safepoint(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    uv_mutex_lock(&c->m->lock);
    stand_aside(c);
    uv_mutex_unlock(&c->m->lock);
}

static void exclusive_begin(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    struct metal *m = c->m;
    uv_mutex_lock(&m->lock);
    while (m->exclusive != NULL)
        stand_aside(c);
    m->exclusive = c;
    for (uint32_t n = 0; n < m->count; n++) {
        if (&m->cpu[n] != c)
            hk_cpu_poke(m->cpu[n].cpu, HK_CPU_POKE_SAFEPOINT);
    }
    while (m->running > 1)
        uv_cond_wait(&m->cond, &m->lock);
    uv_mutex_unlock(&m->lock);
}

static void exclusive_end(void *vcpu)
{
    struct metal_cpu *c = vcpu;
    uv_mutex_lock(&c->m->lock);
    c->m->exclusive = NULL;
    uv_cond_broadcast(&c->m->cond);
    uv_mutex_unlock(&c->m->lock);
}

static const struct hk_cpu_host cpu_host = {
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
    .tsc = tsc,
    .set_tsc = set_tsc,
    .wall_ns = wall_ns,
    .random = random_bits,
    .exclusive_begin = exclusive_begin,
    .exclusive_end = exclusive_end,
    .safepoint = safepoint,
};

/* ---- a vCPU's thread ---------------------------------------------------- */

/* Takes INIT and start-up; true when the vCPU may run. */
static bool take_orders(struct metal_cpu *c)
{
    uv_mutex_lock(&c->m->lock);
    bool init = c->init;
    int sipi = -1;
    c->init = false;
    if (init)
        c->started = false;
    if (!c->started && c->sipi >= 0) {
        sipi = c->sipi;
        c->started = true;
    }
    c->sipi = -1;
    bool started = c->started;
    uv_mutex_unlock(&c->m->lock);
    if (init)
        hk_lapic_reset(c->apic, true);
    if (sipi >= 0) {
        struct hk_vcpu_state s;
        hk_cpu_get_state(c->cpu, &s);
        hk_vcpu_startup_state(&s, (uint8_t)sipi);
        if (hk_cpu_set_state(c->cpu, &s) != 0)
            finish(c->m, 125);
    }
    return started;
}

static void rest(struct metal_cpu *c)
{
    struct metal *m = c->m;
    uint64_t due = hk_lapic_poll_timer(c->apic);
    uint64_t now = tsc(c);
    uint64_t wait = due > now ? due - now : 0;
    if (wait > 100000000)
        wait = 100000000;
    uv_mutex_lock(&m->lock);
    if (!c->awake && !atomic_load(&m->over) && wait != 0)
        (void)uv_cond_timedwait(&m->cond, &m->lock, wait);
    c->awake = false;
    uv_mutex_unlock(&m->lock);
}

static enum hk_cpu_exit run_slice(struct metal_cpu *c)
{
    struct metal *m = c->m;
    uv_mutex_lock(&m->lock);
    while (m->exclusive != NULL)
        uv_cond_wait(&m->cond, &m->lock);
    m->running++;
    uv_mutex_unlock(&m->lock);
    enum hk_cpu_exit why = hk_cpu_run(c->cpu, SLICE);
    uv_mutex_lock(&m->lock);
    m->running--;
    uv_cond_broadcast(&m->cond);
    uv_mutex_unlock(&m->lock);
    return why;
}

static void print_place(struct metal_cpu *c, const char *what)
{
    struct hk_vcpu_state s;
    hk_cpu_get_state(c->cpu, &s);
    printf("\nvCPU %u: %s at %x:%llx, stack %x:%llx\n", c->index, what,
           s.cs.selector, (unsigned long long)s.rip, s.ss.selector,
           (unsigned long long)s.gpr[HK_RSP]);
}

static void cpu_thread(void *opaque)
{
    struct metal_cpu *c = opaque;
    struct metal *m = c->m;
    while (!atomic_load(&m->over)) {
        if (uv_hrtime() > m->deadline && !atomic_load(&m->over)) {
            print_place(c, "out of time");
            finish(m, 124);
        }
        if (!take_orders(c)) {
            rest(c);
            continue;
        }
        (void)hk_lapic_poll_timer(c->apic);
        enum hk_cpu_exit why = run_slice(c);
        if (why == HK_CPU_EXIT_HALTED)
            rest(c);
        if (why == HK_CPU_EXIT_SHUTDOWN) {
            print_place(c, "triple fault");
            finish(m, 123);
        }
    }
}

/* ---- loading ------------------------------------------------------------ */

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    (void)fseek(f, 0, SEEK_END);
    long end = ftell(f);
    uint8_t *bytes = end > 0 ? malloc((size_t)end) : NULL;
    (void)fseek(f, 0, SEEK_SET);
    if (bytes != NULL && fread(bytes, 1, (size_t)end, f) != (size_t)end) {
        free(bytes);
        bytes = NULL;
    }
    (void)fclose(f);
    *size = (size_t)end;
    return bytes;
}

struct elf32 {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum;
};

struct elf32_segment {
    uint32_t type, offset, vaddr, paddr, filesz, memsz;
};

/* The entry point, or 0. */
static uint32_t load_elf(struct metal *m, const uint8_t *file, size_t size)
{
    struct elf32 e;
    if (size < sizeof(e))
        return 0;
    memcpy(&e, file, sizeof(e));
    if (memcmp(e.ident, "\177ELF\1", 5) != 0)
        return 0;
    for (unsigned n = 0; n < e.phnum; n++) {
        struct elf32_segment s;
        uint64_t at = e.phoff + (uint64_t)n * e.phentsize;
        if (at + sizeof(s) > size)
            return 0;
        memcpy(&s, file + at, sizeof(s));
        if (s.type != 1)
            continue;
        if ((uint64_t)s.offset + s.filesz > size || s.filesz > s.memsz ||
            (uint64_t)s.paddr + s.memsz > m->ram_size)
            return 0;
        memcpy(m->ram + s.paddr, file + s.offset, s.filesz);
    }
    return e.entry;
}

static void put32(struct metal *m, uint32_t at, uint32_t value)
{
    memcpy(m->ram + at, &value, sizeof(value));
}

static void put_range(struct metal *m, uint32_t at, uint64_t base,
                      uint64_t size)
{
    put32(m, at, 20);
    memcpy(m->ram + at + 4, &base, 8);
    memcpy(m->ram + at + 12, &size, 8);
    put32(m, at + 20, 1);
}

static void put_information(struct metal *m, int argc, char **argv)
{
    char *environment = (char *)m->ram + ENVIRONMENT;
    char *command = (char *)m->ram + COMMAND;
    int len = snprintf(environment, 256,
                       "NR_CPUS=%u\nMEMSIZE=%u\nTEST_DEVICE=%d\nBOOTLOADER=1\n",
                       m->count, (unsigned)(m->ram_size >> 20), m->test_device);
    size_t used = 0;
    for (int n = 0; n < argc; n++)
        used += (size_t)snprintf(command + used, 512 - used, "%s%s",
                                 n == 0 ? "" : " ", argv[n]);
    put32(m, INFO, 1 | 4 | 8 | 64);
    put32(m, INFO + 4, 640);
    put32(m, INFO + 8, (uint32_t)(m->ram_size >> 10) - 1024);
    put32(m, INFO + 16, COMMAND);
    put32(m, INFO + 20, 1);
    put32(m, INFO + 24, MODULE);
    put32(m, MODULE, ENVIRONMENT);
    put32(m, MODULE + 4, ENVIRONMENT + (uint32_t)len);
    put32(m, INFO + 44, 48);
    put32(m, INFO + 48, MEMORY_MAP);
    put_range(m, MEMORY_MAP, 0, 0x9fc00);
    put_range(m, MEMORY_MAP + 24, 0x100000, m->ram_size - 0x100000);
}

static int enter_image(struct metal *m, uint32_t entry)
{
    struct hk_vcpu_state s;
    struct hk_segment data = {
        .limit = 0xffffffff, .selector = 16, .attr = 0xc093};
    hk_cpu_get_state(m->cpu[0].cpu, &s);
    s.cr0 = 0x11;
    s.cs = data;
    s.cs.selector = 8;
    s.cs.attr = 0xc09b;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.rip = entry;
    s.gpr[HK_RAX] = 0x2badb002;
    s.gpr[HK_RBX] = INFO;
    return hk_cpu_set_state(m->cpu[0].cpu, &s);
}

/* ---- the machine -------------------------------------------------------- */

static int make_cpus(struct metal *m)
{
    for (uint32_t n = 0; n < m->count; n++) {
        struct metal_cpu *c = &m->cpu[n];
        c->m = m;
        c->index = n;
        c->sipi = -1;
        c->started = n == 0;
        c->tsc_offset = 0 - uv_hrtime();
        if (n > 0)
            c->tsc_offset = m->cpu[0].tsc_offset;
        if (hk_lapic_add(m->apics, &apic_host, c, &c->apic) < 0 ||
            hk_cpu_create(m->machine, c, &c->cpu) < 0)
            return -1;
    }
    return 0;
}

static int make_machine(struct metal *m)
{
    struct hk_cpu_config config = {.host = &cpu_host,
                                   .vcpu_count = m->count,
                                   .tsc_hz = TSC_HZ,
                                   .tell_safe = true,
                                   .protection_keys = m->keys,
                                   .amd = m->amd};
    m->ram = aligned_alloc(4096, m->ram_size);
    if (m->ram == NULL)
        return -1;
    memset(m->ram, 0, m->ram_size);
    if (hk_cpu_machine_create(&config, &m->machine) < 0 ||
        hk_cpu_machine_map(m->machine, 0, m->ram_size, m->ram, true) < 0 ||
        hk_apic_bus_create(m->count, HK_CPU_CRYSTAL_HZ, TSC_HZ, &m->apics) <
            0 ||
        hk_ioapic_create(0, send_message, m, &m->ioapic) < 0)
        return -1;
    hk_apic_bus_set_eoi(m->apics, on_eoi, m);
    hk_apic_bus_set_phys_bits(m->apics, 46);
    return make_cpus(m);
}

static int run(struct metal *m)
{
    for (uint32_t n = 0; n < m->count; n++) {
        if (uv_thread_create(&m->cpu[n].thread, cpu_thread, &m->cpu[n]) != 0)
            return 125;
    }
    for (uint32_t n = 0; n < m->count; n++)
        (void)uv_thread_join(&m->cpu[n].thread);
    return m->status;
}

static void destroy_machine(struct metal *m)
{
    hk_cpu_machine_destroy(m->machine);
    hk_apic_bus_destroy(m->apics);
    hk_ioapic_destroy(m->ioapic);
    uv_cond_destroy(&m->cond);
    uv_mutex_destroy(&m->lock);
    free(m->ram);
    free(m);
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: multiboot_run [--cpus N] [--memory MIB] "
                          "[--seconds N] IMAGE [ARG...]\n");
    return 125;
}

static int load_and_run(struct metal *m, int argc, char **argv)
{
    size_t size = 0;
    uint8_t *file = read_file(argv[0], &size);
    uint32_t entry = 0;
    if (make_machine(m) == 0 && file != NULL)
        entry = load_elf(m, file, size);
    free(file);
    if (entry == 0) {
        (void)fprintf(stderr, "multiboot_run: cannot load %s\n", argv[0]);
        return 125;
    }
    put_information(m, argc, argv);
    if (enter_image(m, entry) != 0)
        return 125;
    return run(m);
}

int main(int argc, char **argv)
{
    struct metal *m = calloc(1, sizeof(*m));
    unsigned long cpus = 1, mib = 128, seconds = 60, device = 1, keys = 0;
    unsigned long amd = 0;
    int at = 1;
    if (m == NULL)
        return 125;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        unsigned long value = strtoul(argv[at + 1], NULL, 0);
        if (strcmp(argv[at], "--cpus") == 0)
            cpus = value;
        else if (strcmp(argv[at], "--memory") == 0)
            mib = value;
        else if (strcmp(argv[at], "--seconds") == 0)
            seconds = value;
        else if (strcmp(argv[at], "--test-device") == 0)
            device = value;
        else if (strcmp(argv[at], "--keys") == 0)
            keys = value;
        else if (strcmp(argv[at], "--amd") == 0)
            amd = value;
    }
    if (at >= argc || cpus == 0 || cpus > MAX_CPUS || mib < 2 || mib > 3072) {
        free(m);
        return usage();
    }
    m->count = (uint32_t)cpus;
    m->ram_size = (uint64_t)mib << 20;
    m->test_device = device != 0;
    m->keys = keys != 0;
    m->amd = amd != 0;
    m->deadline = uv_hrtime() + (uint64_t)seconds * 1000000000;
    (void)uv_mutex_init(&m->lock);
    (void)uv_cond_init(&m->cond);
    int status = load_and_run(m, argc - at, argv + at);
    (void)fflush(stdout);
    destroy_machine(m);
    return status;
}
