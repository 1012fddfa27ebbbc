/*
 * A tiny machine for instruction tests: one vCPU in 64-bit ring 0, flat
 * segments, identity-mapped pages, an IDT whose handlers halt.
 *
 * tiny_run executes bytes followed by HLT and returns the vector of the
 * exception that ended them, or TINY_DONE.
 */
#ifndef FP_TINY_H
#define FP_TINY_H

#include "hk_test.h"

#include "base/endian.h"
#include "cpu/cpu_int.h"

enum {
    TINY_DONE = -1,
    TINY_STUCK = -2, /* neither halted nor an exception */
    TINY_RAM = 2 << 20,
    TINY_HANDLERS = 0x8000,
    TINY_CODE = 0x10000,
    TINY_DATA = 0x20000, /* one page; the next one is not present */
};

struct tiny {
    struct hk_cpu_machine *machine;
    struct hk_cpu *c;
    struct hk_vcpu_state state; /* at the start of tiny_run */
    uint64_t fault_rip;         /* after an exception */
};

static HK_ALIGNED(4096) uint8_t tiny_ram[TINY_RAM];

static uint64_t tiny_port_read(void *v, uint16_t port, uint32_t size)
{
    return 0;
}

static void tiny_port_write(void *v, uint16_t port, uint32_t size,
                            uint64_t value)
{
}

static uint64_t tiny_mem_read(void *v, hk_gpa_t gpa, uint32_t size)
{
    return 0;
}

static void tiny_mem_write(void *v, hk_gpa_t gpa, uint32_t size, uint64_t value)
{
}

static bool tiny_msr_read(void *v, uint32_t msr, uint64_t *value)
{
    return false;
}

static bool tiny_msr_write(void *v, uint32_t msr, uint64_t value)
{
    return false;
}

static uint8_t tiny_get_cr8(void *v)
{
    return 0;
}

static void tiny_set_cr8(void *v, uint8_t value)
{
}

static bool tiny_has_interrupt(void *v)
{
    return false;
}

static int tiny_ack_interrupt(void *v)
{
    return -1;
}

static uint64_t tiny_zero(void *v)
{
    return 0;
}

static void tiny_set_tsc(void *v, uint64_t value)
{
}

static void tiny_nothing(void *v)
{
}

static const struct hk_cpu_host tiny_host = {
    .port_read = tiny_port_read,
    .port_write = tiny_port_write,
    .mem_read = tiny_mem_read,
    .mem_write = tiny_mem_write,
    .apic_msr_read = tiny_msr_read,
    .apic_msr_write = tiny_msr_write,
    .get_cr8 = tiny_get_cr8,
    .set_cr8 = tiny_set_cr8,
    .has_interrupt = tiny_has_interrupt,
    .ack_interrupt = tiny_ack_interrupt,
    .tsc = tiny_zero,
    .set_tsc = tiny_set_tsc,
    .wall_ns = tiny_zero,
    .random = tiny_zero,
    .exclusive_begin = tiny_nothing,
    .exclusive_end = tiny_nothing,
    .safepoint = tiny_nothing,
};

static void tiny_tables(void)
{
    memset(tiny_ram, 0, sizeof(tiny_ram));
    hk_put_le64(tiny_ram + 0x1000, 0x2003);
    hk_put_le64(tiny_ram + 0x2000, 0x3003);
    hk_put_le64(tiny_ram + 0x3000, 0x4003);
    for (unsigned i = 0; i < 512; i++)
        hk_put_le64(tiny_ram + 0x4000 + 8 * i, i * 4096 + 3);
    hk_put_le64(tiny_ram + 0x4000 + 8 * (TINY_DATA / 4096 + 1), 0);
    hk_put_le64(tiny_ram + 0x5008, 0x00af9a000000ffff);
    hk_put_le64(tiny_ram + 0x5010, 0x00cf92000000ffff);
    hk_put_le64(tiny_ram + 0x6000 + 36, 0xb000); /* IST1 */
    for (unsigned v = 0; v < 32; v++) {
        const uint64_t at = TINY_HANDLERS + 16 * v;
        tiny_ram[at] = 0xf4;
        hk_put_le64(tiny_ram + 0x7000 + 16 * v,
                    at | 8u << 16 | UINT64_C(0x8e01) << 32);
    }
}

static void tiny_start(struct tiny *t)
{
    const struct hk_segment data = {0, 0xffffffff, 16, 0xc093};
    const struct hk_cpu_config config = {
        .host = &tiny_host, .vcpu_count = 1, .tsc_hz = 1000000000};
    struct hk_vcpu_state *s = &t->state;
    tiny_tables();
    assert_int_equal(hk_cpu_machine_create(&config, &t->machine), 0);
    assert_int_equal(
        hk_cpu_machine_map(t->machine, 0, TINY_RAM, tiny_ram, true), 0);
    assert_int_equal(hk_cpu_create(t->machine, NULL, &t->c), 0);
    hk_cpu_get_state(t->c, s);
    s->cs = (struct hk_segment){0, 0xffffffff, 8, 0xa09b};
    s->ds = s->es = s->ss = s->fs = s->gs = data;
    s->tr = (struct hk_segment){0x6000, 0x67, 24, 0x8b};
    s->gdtr = (struct hk_table_reg){0x5000, 31};
    s->idtr = (struct hk_table_reg){0x7000, 511};
    s->cr0 = 0x80050033;
    s->cr3 = 0x1000;
    s->cr4 = 0x40620; /* OSXSAVE, OSXMMEXCPT, OSFXSR, PAE */
    s->efer = 0xd00;
    s->xcr0 = 3;
    s->rflags = 2;
    s->gpr[HK_RBX] = TINY_DATA;
    s->gpr[HK_RSP] = 0xa000;
    memset(s->fxsave, 0, sizeof(s->fxsave));
    hk_put_le16(s->fxsave, 0x37f);
    hk_put_le32(s->fxsave + 24, 0x1f80);
}

static void tiny_stop(struct tiny *t)
{
    hk_cpu_machine_destroy(t->machine);
}

/* The CPU keeps its state for a look at t->c afterwards. */
static int tiny_run(struct tiny *t, const void *bytes, size_t count)
{
    memcpy(tiny_ram + TINY_CODE, bytes, count);
    tiny_ram[TINY_CODE + count] = 0xf4;
    hk_cpu_machine_note_write(t->machine, TINY_CODE, count + 1);
    t->state.rip = TINY_CODE;
    assert_int_equal(hk_cpu_set_state(t->c, &t->state), 0);
    if (hk_cpu_run(t->c, 100000000) != HK_CPU_EXIT_HALTED)
        return TINY_STUCK;
    if (t->c->rip == TINY_CODE + count + 1)
        return TINY_DONE;
    const unsigned vector = (unsigned)(t->c->rip - TINY_HANDLERS) / 16;
    const uint64_t rsp = t->c->r[HK_RSP];
    /* The frame ends at a 16-byte boundary: an error code makes six words. */
    t->fault_rip = hk_get_le64(tiny_ram + rsp + (rsp & 8 ? 0 : 8));
    return (int)vector;
}

/* TINY(t, 0x90, 0x90): runs these bytes. */
#define TINY(t, ...)                              \
    tiny_run((t), (const uint8_t[]){__VA_ARGS__}, \
             sizeof((const uint8_t[]){__VA_ARGS__}))

#endif
