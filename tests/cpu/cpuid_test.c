/*
 * CPUID: what it offers works, what it says is consistent.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"
#include "cpu/decode.h"

enum { EAX, EBX, ECX, EDX };

static void cpuid(struct tiny_vm *vm, uint32_t leaf, uint32_t sub,
                  uint32_t r[4])
{
    hk_cpu_cpuid(vm->machine, 0, leaf, sub, r);
}

/* An instruction that exists only with a feature. */
struct example {
    uint32_t leaf;
    uint8_t reg, bit;
    uint8_t len;
    uint8_t code[10];
};

static const struct example examples[] = {
    {1, ECX, 0, 4, {0xf2, 0x0f, 0xd0, 0xc1}},             /* ADDSUBPS */
    {1, ECX, 1, 6, {0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x00}}, /* PCLMUL */
    {1, ECX, 9, 5, {0x66, 0x0f, 0x38, 0x00, 0xc1}},       /* PSHUFB */
    {1, ECX, 13, 4, {0x48, 0x0f, 0xc7, 0x0e}},            /* CMPXCHG16B */
    {1, ECX, 19, 5, {0x66, 0x0f, 0x38, 0x17, 0xc1}},      /* PTEST */
    {1, ECX, 20, 5, {0x66, 0x0f, 0x38, 0x37, 0xc1}},      /* PCMPGTQ */
    {1, ECX, 22, 4, {0x0f, 0x38, 0xf0, 0x06}},            /* MOVBE */
    {1, ECX, 23, 4, {0xf3, 0x0f, 0xb8, 0xc1}},            /* POPCNT */
    {1, ECX, 25, 5, {0x66, 0x0f, 0x38, 0xdc, 0xc1}},      /* AESENC */
    {1, ECX, 26, 3, {0x0f, 0x01, 0xd0}},                  /* XGETBV */
    {1, ECX, 30, 3, {0x0f, 0xc7, 0xf0}},                  /* RDRAND */
    {1, EDX, 0, 2, {0xd9, 0xe8}},                         /* FLD1 */
    {1, EDX, 4, 2, {0x0f, 0x31}},                         /* RDTSC */
    {1, EDX, 8, 3, {0x0f, 0xc7, 0x0e}},                   /* CMPXCHG8B */
    {1, EDX, 15, 3, {0x0f, 0x44, 0xc1}},                  /* CMOV */
    {1, EDX, 19, 3, {0x0f, 0xae, 0x3e}},                  /* CLFLUSH */
    {1, EDX, 23, 3, {0x0f, 0xfc, 0xc1}},                  /* PADDB mm */
    {1, EDX, 24, 3, {0x0f, 0xae, 0x06}},                  /* FXSAVE */
    {1, EDX, 25, 3, {0x0f, 0x58, 0xc1}},                  /* ADDPS */
    {1, EDX, 26, 4, {0x66, 0x0f, 0x58, 0xc1}},            /* ADDPD */
    {7, EBX, 0, 5, {0xf3, 0x48, 0x0f, 0xae, 0xc0}},       /* RDFSBASE */
    {7, EBX, 3, 5, {0xc4, 0xe2, 0x78, 0xf2, 0xc1}},       /* ANDN */
    {7, EBX, 8, 5, {0xc4, 0xe2, 0x7b, 0xf5, 0xc1}},       /* PDEP */
    {7, EBX, 10, 5, {0x66, 0x0f, 0x38, 0x82, 0x06}},      /* INVPCID */
    {7, EBX, 18, 3, {0x0f, 0xc7, 0xf8}},                  /* RDSEED */
    {7, EBX, 19, 5, {0x66, 0x0f, 0x38, 0xf6, 0xc1}},      /* ADCX */
    {7, EBX, 20, 3, {0x0f, 0x01, 0xca}},                  /* CLAC */
    {7, EBX, 23, 4, {0x66, 0x0f, 0xae, 0x3e}},            /* CLFLUSHOPT */
    {7, EBX, 24, 4, {0x66, 0x0f, 0xae, 0x36}},            /* CLWB */
    {7, EBX, 29, 4, {0x0f, 0x38, 0xc8, 0xc1}},            /* SHA1NEXTE */
    {7, ECX, 22, 4, {0xf3, 0x0f, 0xc7, 0xf8}},            /* RDPID */
    {0x80000001, ECX, 0, 1, {0x9f}},                      /* LAHF */
    {0x80000001, ECX, 5, 4, {0xf3, 0x0f, 0xbd, 0xc1}},    /* LZCNT */
    {0x80000001, ECX, 8, 3, {0x0f, 0x0d, 0x0e}},          /* PREFETCHW */
    {0x80000001, EDX, 27, 3, {0x0f, 0x01, 0xf9}},         /* RDTSCP */
};

/* Features without an instruction of their own; tested by what they are. */
static const struct {
    uint32_t leaf;
    uint8_t reg;
    uint32_t bits;
} plain[] = {
    {1, ECX, 1u << 17 | 1u << 21 | 1u << 24 | 1u << 27 | 1u << 31},
    {1, EDX,
     1u << 2 | 1u << 3 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 9 | 1u << 11 |
         1u << 13 | 1u << 14 | 1u << 16 | 1u << 17 | 1u << 28},
    {7, EBX, 1u << 1 | 1u << 7 | 1u << 9 | 1u << 13},
    {7, ECX, 1u << 2 | 1u << 3 | 1u << 31},
    {7, EDX, 1u << 4 | 1u << 29},
    {0x80000001, EDX, 1u << 11 | 1u << 20 | 1u << 26 | 1u << 29},
};

static struct tiny_vm *machine(void)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    s->cr4 |= HK_CR4_OSXSAVE | HK_CR4_FSGSBASE | HK_CR4_OSXMMEXCPT;
    s->gpr[HK_RSI] = TINY_DATA;
    return vm;
}

static void every_feature_offered_has_its_instruction(void **state)
{
    for (size_t n = 0; n < HK_COUNT(examples); n++) {
        const struct example *x = &examples[n];
        struct tiny_vm *vm = machine();
        uint32_t r[4];
        uint8_t code[16];
        cpuid(vm, x->leaf, 0, r);
        if ((r[x->reg] >> x->bit & 1) != 0) {
            memcpy(code, x->code, x->len);
            code[x->len] = 0xf4;
            tiny_load(vm, code, code + x->len + 1);
            vm->cpu[0].state.gpr[HK_RCX] = 0;
            struct tiny_end e = tiny_run(vm);
            if (e.vector != -1)
                print_error("leaf %x reg %u bit %u\n", x->leaf, x->reg, x->bit);
            assert_int_equal(e.vector, -1);
        }
        tiny_free(vm);
    }
}

static void nothing_is_offered_that_this_test_does_not_know(void **state)
{
    static const uint32_t leaves[] = {1, 7, 0x80000001};
    struct tiny_vm *vm = machine();
    for (size_t l = 0; l < HK_COUNT(leaves); l++) {
        uint32_t known[4] = {0}, r[4];
        for (size_t n = 0; n < HK_COUNT(examples); n++) {
            if (examples[n].leaf == leaves[l])
                known[examples[n].reg] |= 1u << examples[n].bit;
        }
        for (size_t n = 0; n < HK_COUNT(plain); n++) {
            if (plain[n].leaf == leaves[l])
                known[plain[n].reg] |= plain[n].bits;
        }
        cpuid(vm, leaves[l], 0, r);
        assert_int_equal(r[ECX] & ~known[ECX], 0);
        assert_int_equal(r[EDX] & ~known[EDX], 0);
        if (leaves[l] != 1)
            assert_int_equal(r[EBX] & ~known[EBX], 0);
    }
    tiny_free(vm);
}

static void every_cr4_bit_has_its_cpuid_bit(void **state)
{
    static const struct {
        uint64_t cr4;
        uint32_t leaf;
        uint8_t reg, bit;
    } k[] = {
        {HK_CR4_DE, 1, EDX, 2},      {HK_CR4_PSE, 1, EDX, 3},
        {HK_CR4_PAE, 1, EDX, 6},     {HK_CR4_PGE, 1, EDX, 13},
        {HK_CR4_OSFXSR, 1, EDX, 24}, {HK_CR4_OSXSAVE, 1, ECX, 26},
        {HK_CR4_PCIDE, 1, ECX, 17},  {HK_CR4_FSGSBASE, 7, EBX, 0},
        {HK_CR4_SMEP, 7, EBX, 7},    {HK_CR4_SMAP, 7, EBX, 20},
        {HK_CR4_UMIP, 7, ECX, 2},    {HK_CR4_VME, 1, EDX, 1},
        {HK_CR4_MCE, 1, EDX, 7},     {1ull << 12, 7, ECX, 16},
        {HK_CR4_PKE, 7, ECX, 3},     {1ull << 23, 7, ECX, 7},
        {HK_CR4_PKS, 7, ECX, 31},
    };
    struct tiny_vm *vm = machine();
    for (size_t n = 0; n < HK_COUNT(k); n++) {
        struct hk_vcpu_state s = vm->cpu[0].state;
        uint32_t r[4];
        cpuid(vm, k[n].leaf, 0, r);
        s.cr4 |= k[n].cr4;
        bool takes = hk_cpu_set_state(vm->cpu[0].cpu, &s) == 0;
        assert_int_equal(takes, r[k[n].reg] >> k[n].bit & 1);
    }
    tiny_free(vm);
}

static void osxsave_mirrors_cr4(void **state)
{
    struct tiny_vm *vm = machine();
    uint32_t r[4];
    cpuid(vm, 1, 0, r);
    assert_int_equal(r[ECX] >> 27 & 1, 0);
    assert_int_equal(hk_cpu_set_state(vm->cpu[0].cpu, &vm->cpu[0].state), 0);
    cpuid(vm, 1, 0, r);
    assert_int_equal(r[ECX] >> 27 & 1, 1);
    tiny_free(vm);
}

TINY_ASM(code_xsave, 64,
         "xor %ecx, %ecx; xor %edx, %edx; mov $3, %eax; xsetbv;"
         "mov $-1, %eax; mov $-1, %edx; xsave (%rsi); hlt");

static void xsave_writes_as_much_as_leaf_d_says(void **state)
{
    struct tiny_vm *vm = machine();
    uint32_t r[4];
    cpuid(vm, 0xd, 0, r);
    assert_int_equal(r[EAX], 3);
    assert_int_equal(r[EBX], 576);
    assert_int_equal(r[ECX], 576);
    memset(vm->ram + TINY_DATA, 0xee, 1024);
    memset(vm->ram + TINY_DATA + 512, 0, 64);
    TINY_LOAD(vm, code_xsave);
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(vm->ram[TINY_DATA + 576], 0xee);
    assert_int_not_equal(vm->ram[TINY_DATA + 24], 0xee);
    cpuid(vm, 0xd, 2, r);
    assert_int_equal(r[EAX] | r[EBX] | r[ECX] | r[EDX], 0);
    tiny_free(vm);
}

static void names_and_limits_are_ours(void **state)
{
    struct tiny_vm *vm = machine();
    uint32_t r[4];
    char name[49] = "";
    cpuid(vm, 0, 0, r);
    assert_int_equal(r[EAX], 0x16);
    assert_memory_equal(&r[EBX], "Genu", 4);
    assert_memory_equal(&r[EDX], "ineI", 4);
    assert_memory_equal(&r[ECX], "ntel", 4);
    for (uint32_t n = 0; n < 3; n++) {
        cpuid(vm, 0x80000002 + n, 0, r);
        memcpy(name + n * 16, r, 16);
    }
    assert_string_equal(name, "Husk Software CPU");
    cpuid(vm, 0x40000000, 0, r);
    assert_memory_equal(&r[EBX], "KVMKVMKVM\0\0\0", 12);
    cpuid(vm, 0x80000008, 0, r);
    assert_int_equal(r[EAX], 48 << 8 | 46);
    tiny_free(vm);
}

static void the_tsc_rate_is_told_exactly(void **state)
{
    struct tiny_vm *vm = machine();
    uint32_t r[4];
    cpuid(vm, 0x15, 0, r);
    assert_int_not_equal(r[EAX], 0);
    assert_int_equal((uint64_t)r[ECX] * r[EBX] / r[EAX], 2100000000);
    cpuid(vm, 0x16, 0, r);
    assert_int_equal(r[EAX], 2100);
    cpuid(vm, 0x80000007, 0, r);
    assert_int_equal(r[EDX], 1 << 8);
    tiny_free(vm);
}

static void topology_numbers_each_vcpu(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 2);
    uint32_t r[4];
    hk_cpu_cpuid(vm->machine, 1, 1, 0, r);
    assert_int_equal(r[EBX] >> 24, 1);
    assert_int_equal(r[EBX] >> 16 & 0xff, 2);
    hk_cpu_cpuid(vm->machine, 1, 0xb, 0, r);
    assert_int_equal(r[EBX], 1);
    assert_int_equal(r[ECX], 0x100);
    assert_int_equal(r[EDX], 1);
    hk_cpu_cpuid(vm->machine, 1, 0xb, 1, r);
    assert_int_equal(r[EAX], 1);
    assert_int_equal(r[EBX], 2);
    assert_int_equal(r[ECX], 0x201);
    hk_cpu_cpuid(vm->machine, 1, 0xb, 2, r);
    assert_int_equal(r[EBX], 0);
    assert_int_equal(r[ECX], 2);
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(every_feature_offered_has_its_instruction),
    cmocka_unit_test(nothing_is_offered_that_this_test_does_not_know),
    cmocka_unit_test(every_cr4_bit_has_its_cpuid_bit),
    cmocka_unit_test(osxsave_mirrors_cr4),
    cmocka_unit_test(xsave_writes_as_much_as_leaf_d_says),
    cmocka_unit_test(names_and_limits_are_ours),
    cmocka_unit_test(the_tsc_rate_is_told_exactly),
    cmocka_unit_test(topology_numbers_each_vcpu),
};
HK_TEST_MAIN(cases)
