/*
 * Runs a ROM that tests the CPU from the reset vector: for bare-metal suites.
 *
 *     rom_run [--post PORT] [--text PORT] [--millions N] ROM
 *
 * The machine: one CPU, 1 MiB of RAM with the ROM over its end, and the ROM
 * once more below 4 GiB. What the ROM writes to the text port (0xe9) goes to
 * stdout; bytes to the POST port (0x190) are shown on stderr. The exit status
 * is 0 when the last POST byte was 0xff, 1 when the CPU stopped earlier, and
 * 124 after N million instructions (default 1000).
 */
#include "cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RAM_SIZE = 1 << 20, SLICE = 1000000 };

struct rom_machine {
    struct hk_cpu_machine *machine;
    struct hk_cpu *cpu;
    uint8_t *ram, *rom;
    size_t rom_size;
    uint16_t post_port, text_port;
    int post; /* the last one, or -1 */
    bool over;
    uint64_t tsc;
};

static uint64_t port_read(void *vcpu, uint16_t port, uint32_t size)
{
    return ~0ull;
}

static void port_write(void *vcpu, uint16_t port, uint32_t size, uint64_t value)
{
    struct rom_machine *m = vcpu;
    if (port == m->text_port)
        putchar((int)(value & 0xff));
    if (port != m->post_port)
        return;
    m->post = (int)(value & 0xff);
    (void)fprintf(stderr, "POST %02x\n", (unsigned)m->post);
    if (m->post == 0xff) {
        m->over = true;
        hk_cpu_poke(m->cpu, HK_CPU_POKE_EXIT);
    }
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

static uint64_t count(void *vcpu)
{
    return ++((struct rom_machine *)vcpu)->tsc;
}

static void set_tsc(void *vcpu, uint64_t value)
{
    ((struct rom_machine *)vcpu)->tsc = value;
}

static void nothing(void *vcpu)
{
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
    .tsc = count,
    .set_tsc = set_tsc,
    .wall_ns = count,
    .random = count,
    .exclusive_begin = nothing,
    .exclusive_end = nothing,
    .safepoint = nothing,
};

/* The whole file into page-aligned memory. */
static int read_rom(struct rom_machine *m, const char *path)
{
    FILE *f = fopen(path, "rb");
    long size = -1;
    if (f != NULL && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    if (size > 0 && size <= RAM_SIZE / 2 && size % 4096 == 0) {
        m->rom_size = (size_t)size;
        m->rom = aligned_alloc(4096, m->rom_size);
        rewind(f);
        if (m->rom != NULL && fread(m->rom, 1, m->rom_size, f) != m->rom_size)
            m->rom_size = 0;
    }
    if (f != NULL)
        (void)fclose(f);
    return m->rom != NULL && m->rom_size != 0 ? 0 : -1;
}

static int make_machine(struct rom_machine *m)
{
    struct hk_cpu_config config = {.host = &cpu_host,
                                   .vcpu_count = 1,
                                   .tsc_hz = 1000000000,
                                   .tell_safe = true};
    uint64_t low = RAM_SIZE - m->rom_size;
    m->ram = aligned_alloc(4096, low);
    if (m->ram == NULL)
        return -1;
    memset(m->ram, 0, low);
    if (hk_cpu_machine_create(&config, &m->machine) < 0 ||
        hk_cpu_machine_map(m->machine, 0, low, m->ram, true) < 0 ||
        hk_cpu_machine_map(m->machine, low, m->rom_size, m->rom, false) < 0 ||
        hk_cpu_machine_map(m->machine, (1ull << 32) - m->rom_size, m->rom_size,
                           m->rom, false) < 0 ||
        hk_cpu_create(m->machine, m, &m->cpu) < 0)
        return -1;
    return 0;
}

static void print_place(struct rom_machine *m, const char *what)
{
    struct hk_vcpu_state s;
    hk_cpu_get_state(m->cpu, &s);
    (void)fprintf(
        stderr,
        "%s at %04x:%08llx (linear %llx), flags %llx\n"
        "eax %llx ebx %llx ecx %llx edx %llx esi %llx edi %llx "
        "esp %x:%llx\n",
        what, s.cs.selector, (unsigned long long)s.rip,
        (unsigned long long)(s.cs.base + s.rip), (unsigned long long)s.rflags,
        (unsigned long long)s.gpr[HK_RAX], (unsigned long long)s.gpr[HK_RBX],
        (unsigned long long)s.gpr[HK_RCX], (unsigned long long)s.gpr[HK_RDX],
        (unsigned long long)s.gpr[HK_RSI], (unsigned long long)s.gpr[HK_RDI],
        s.ss.selector, (unsigned long long)s.gpr[HK_RSP]);
}

static int run(struct rom_machine *m, unsigned long millions)
{
    for (unsigned long n = 0; n < millions && !m->over; n++) {
        enum hk_cpu_exit why = hk_cpu_run(m->cpu, SLICE);
        if ((why != HK_CPU_EXIT_HALTED && why != HK_CPU_EXIT_SHUTDOWN) ||
            m->over)
            continue;
        print_place(m, why == HK_CPU_EXIT_HALTED ? "halted" : "triple fault");
        return 1;
    }
    if (m->over)
        return 0;
    print_place(m, "still running");
    return 124;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: rom_run [--post PORT] [--text PORT] "
                          "[--millions N] ROM\n");
    return 125;
}

int main(int argc, char **argv)
{
    struct rom_machine m = {.post_port = 0x190, .text_port = 0xe9, .post = -1};
    unsigned long millions = 1000;
    int at = 1, status = 125;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        unsigned long value = strtoul(argv[at + 1], NULL, 0);
        if (strcmp(argv[at], "--post") == 0)
            m.post_port = (uint16_t)value;
        else if (strcmp(argv[at], "--text") == 0)
            m.text_port = (uint16_t)value;
        else if (strcmp(argv[at], "--millions") == 0)
            millions = value;
    }
    if (at + 1 != argc)
        return usage();
    if (read_rom(&m, argv[at]) < 0 || make_machine(&m) < 0)
        (void)fprintf(stderr, "rom_run: cannot load %s\n", argv[at]);
    else
        status = run(&m, millions);
    (void)fflush(stdout);
    if (m.machine != NULL)
        hk_cpu_machine_destroy(m.machine);
    free(m.ram);
    free(m.rom);
    return status;
}
