/*
 * Page walks: the page-fault matrix, accessed and dirty bits, page sizes,
 * what drops a translation.
 */
#include "tiny_vm.h"

#include "cpu/cpu_int.h"

#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define NX (1ull << 63)

enum { ERR_P = 1, ERR_W = 2, ERR_U = 4, ERR_RSVD = 8, ERR_ID = 16 };

TINY_ASM(code_read, 64, "mov (%rsi), %rax; hlt");
TINY_ASM(code_write, 64, "mov %rax, (%rsi); hlt");
TINY_ASM(code_jump, 64, "jmp *%rsi");
TINY_ASM(code_user_read, 64, "mov (%rsi), %rax; int3");
TINY_ASM(code_user_write, 64, "mov %rax, (%rsi); int3");
TINY_ASM(code_stac_read, 64, "stac; mov (%rsi), %rax; hlt");
TINY_ASM(code_stac_write, 64, "stac; mov %rax, (%rsi); hlt");
TINY_ASM(code_cross_write, 64, "mov %rax, -4(%rsi); hlt");
TINY_ASM(code_hlt, 64, "hlt");

enum access { READ, WRITE, FETCH };

/* One cell of the matrix. */
struct cell {
    bool user;
    enum access access;
    uint64_t pte; /* flags */
    uint64_t cr0, cr4;
    bool nxe;
    bool stac;
    int64_t err; /* of #PF, or -1: works */
};

static const uint8_t *code_for(const struct cell *k, const uint8_t **end)
{
#define PICK(name) (*end = name##_end, name)
    if (k->access == FETCH)
        return PICK(code_jump);
    if (k->user)
        return k->access == WRITE ? PICK(code_user_write)
                                  : PICK(code_user_read);
    if (k->stac)
        return k->access == WRITE ? PICK(code_stac_write)
                                  : PICK(code_stac_read);
    return k->access == WRITE ? PICK(code_write) : PICK(code_read);
#undef PICK
}

static void check_cell(const struct cell *k)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    uint64_t la = TINY_USER_DATA;
    const uint8_t *end, *code = code_for(k, &end);
    if (k->user)
        tiny_load_user(vm, code, end);
    else
        tiny_load(vm, code, end);
    tiny_put(vm, la, code_hlt, 1);
    s->gpr[HK_RSI] = la;
    s->cr0 = (s->cr0 & ~HK_CR0_WP) | k->cr0;
    s->cr4 |= k->cr4;
    if (!k->nxe)
        s->efer &= ~HK_EFER_NXE;
    tiny_set_pte(vm, la, la | k->pte);
    struct tiny_end e = tiny_run(vm);
    if (k->err >= 0) {
        assert_int_equal(e.vector, HK_VEC_PF);
        assert_int_equal(e.err, k->err);
        assert_int_equal(e.cr2, la);
        assert_int_equal(tiny_pte(vm, la), la | k->pte);
    } else {
        assert_int_not_equal(e.vector, HK_VEC_PF);
        uint64_t want = la | k->pte | A | (k->access == WRITE ? D : 0);
        assert_int_equal(tiny_pte(vm, la), want);
    }
    tiny_free(vm);
}

static void check_cells(const struct cell *k, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_cell(&k[i]);
}

static void an_absent_page_faults_with_the_kind_of_access(void **state)
{
    static const struct cell k[] = {
        {.access = READ, .pte = 0, .err = 0},
        {.access = WRITE, .pte = W | U, .err = ERR_W},
        {.access = FETCH, .pte = 0, .nxe = true, .err = ERR_ID},
        {.access = FETCH, .pte = 0, .err = 0},
        {.user = true, .access = READ, .pte = 0, .err = ERR_U},
        {.user = true, .access = WRITE, .pte = W | U, .err = ERR_U | ERR_W},
        {.user = true, .access = FETCH, .nxe = true, .err = ERR_U | ERR_ID},
    };
    check_cells(k, HK_COUNT(k));
}

static void ring_3_needs_a_user_page(void **state)
{
    static const struct cell k[] = {
        {.user = true, .access = READ, .pte = P | W, .err = ERR_P | ERR_U},
        {.user = true, .access = READ, .pte = P | U, .err = -1},
        {.user = true,
         .access = WRITE,
         .pte = P | W,
         .err = ERR_P | ERR_U | ERR_W},
        {.user = true, .access = FETCH, .pte = P | W, .err = ERR_P | ERR_U},
        {.user = true, .access = FETCH, .pte = P | U, .err = -1},
    };
    check_cells(k, HK_COUNT(k));
}

static void ring_3_needs_a_writable_page(void **state)
{
    static const struct cell k[] = {
        {.user = true,
         .access = WRITE,
         .pte = P | U,
         .err = ERR_P | ERR_U | ERR_W},
        {.user = true,
         .access = WRITE,
         .pte = P | U,
         .cr0 = HK_CR0_WP,
         .err = ERR_P | ERR_U | ERR_W},
        {.user = true, .access = WRITE, .pte = P | W | U, .err = -1},
    };
    check_cells(k, HK_COUNT(k));
}

static void wp_decides_about_supervisor_writes(void **state)
{
    static const struct cell k[] = {
        {.access = WRITE, .pte = P, .err = -1},
        {.access = WRITE, .pte = P, .cr0 = HK_CR0_WP, .err = ERR_P | ERR_W},
        {.access = WRITE, .pte = P | U, .cr0 = HK_CR0_WP, .err = ERR_P | ERR_W},
        {.access = WRITE, .pte = P | W, .cr0 = HK_CR0_WP, .err = -1},
    };
    check_cells(k, HK_COUNT(k));
}

static void nx_forbids_fetches_only(void **state)
{
    static const struct cell k[] = {
        {.access = FETCH, .pte = P | NX, .nxe = true, .err = ERR_P | ERR_ID},
        {.user = true,
         .access = FETCH,
         .pte = P | U | NX,
         .nxe = true,
         .err = ERR_P | ERR_U | ERR_ID},
        {.access = READ, .pte = P | NX, .nxe = true, .err = -1},
        {.access = WRITE, .pte = P | W | NX, .nxe = true, .err = -1},
    };
    check_cells(k, HK_COUNT(k));
}

static void nx_is_reserved_without_nxe(void **state)
{
    static const struct cell k[] = {
        {.access = READ, .pte = P | NX, .err = ERR_P | ERR_RSVD},
        {.access = WRITE, .pte = P | W | NX, .err = ERR_P | ERR_W | ERR_RSVD},
        {.access = FETCH, .pte = P | NX, .err = ERR_P | ERR_RSVD},
    };
    check_cells(k, HK_COUNT(k));
}

static void address_bits_beyond_the_physical_are_reserved(void **state)
{
    static const struct cell k[] = {
        {.access = READ, .pte = P | 1ull << 46, .err = ERR_P | ERR_RSVD},
        {.access = READ, .pte = P | 1ull << 51, .err = ERR_P | ERR_RSVD},
        {.user = true,
         .access = WRITE,
         .pte = P | W | U | 1ull << 51,
         .err = ERR_P | ERR_W | ERR_U | ERR_RSVD},
        {.access = READ, .pte = P | 1ull << 52, .err = -1},
        {.access = READ, .pte = 1ull << 51, .err = 0},
    };
    check_cells(k, HK_COUNT(k));
}

static void smep_forbids_supervisor_fetches_from_user_pages(void **state)
{
    static const struct cell k[] = {
        {.access = FETCH,
         .pte = P | U,
         .cr4 = HK_CR4_SMEP,
         .err = ERR_P | ERR_ID},
        {.access = FETCH, .pte = P, .cr4 = HK_CR4_SMEP, .err = -1},
        {.access = FETCH, .pte = 0, .cr4 = HK_CR4_SMEP, .err = ERR_ID},
        {.access = READ, .pte = P | U, .cr4 = HK_CR4_SMEP, .err = -1},
        {.user = true,
         .access = FETCH,
         .pte = P | U,
         .cr4 = HK_CR4_SMEP,
         .err = -1},
    };
    check_cells(k, HK_COUNT(k));
}

static void smap_forbids_supervisor_data_on_user_pages(void **state)
{
    static const struct cell k[] = {
        {.access = READ, .pte = P | U, .cr4 = HK_CR4_SMAP, .err = ERR_P},
        {.access = WRITE,
         .pte = P | U | W,
         .cr4 = HK_CR4_SMAP,
         .err = ERR_P | ERR_W},
        {.access = READ,
         .pte = P | U,
         .cr4 = HK_CR4_SMAP,
         .stac = true,
         .err = -1},
        {.access = WRITE,
         .pte = P | U | W,
         .cr4 = HK_CR4_SMAP,
         .stac = true,
         .err = -1},
        {.access = READ, .pte = P, .cr4 = HK_CR4_SMAP, .err = -1},
        {.access = FETCH, .pte = P | U, .cr4 = HK_CR4_SMAP, .err = -1},
        {.user = true,
         .access = READ,
         .pte = P | U,
         .cr4 = HK_CR4_SMAP,
         .err = -1},
    };
    check_cells(k, HK_COUNT(k));
}

/* WRPKRU with RAX and no rights to key 1 but RAX's, then a read and a write of
 * the user page at RSI. */
TINY_ASM(code_keys, 64,
         "xor %ecx, %ecx; xor %edx, %edx; .byte 0x0f, 0x01, 0xef;"
         "mov (%rsi), %bl; mov %bl, (%rsi); hlt");

enum { READ_AT = TINY_CODE + 7, WRITE_AT = TINY_CODE + 9 };

static struct tiny_end run_keys(uint64_t cr4, uint64_t cr0, uint32_t pkru)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    uint64_t pte = TINY_PT + (TINY_USER_DATA >> 12) * 8;
    tiny_set64(vm, pte, tiny_get64(vm, pte) | 1ull << 59);
    s->cr4 |= cr4;
    s->cr0 = (s->cr0 & ~HK_CR0_WP) | cr0;
    s->gpr[HK_RSI] = TINY_USER_DATA;
    s->gpr[HK_RAX] = pkru;
    TINY_LOAD(vm, code_keys);
    struct tiny_end e = tiny_run(vm);
    tiny_free(vm);
    return e;
}

static void the_key_of_a_user_page_limits_data_accesses(void **state)
{
    assert_int_equal(run_keys(0, 0, 0).vector, HK_VEC_UD);
    assert_int_equal(run_keys(HK_CR4_PKE, 0, 0).vector, -1);
    struct tiny_end e = run_keys(HK_CR4_PKE, 0, 4); /* no access */
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.rip, READ_AT);
    assert_int_equal(e.err, ERR_P | 1 << 5);
    e = run_keys(HK_CR4_PKE, HK_CR0_WP, 8); /* no writes */
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.rip, WRITE_AT);
    assert_int_equal(e.err, ERR_P | ERR_W | 1 << 5);
    assert_int_equal(run_keys(HK_CR4_PKE, 0, 8).vector, -1);
    assert_int_equal(run_keys(HK_CR4_PKE, HK_CR0_WP, ~12u).vector, -1);
}

TINY_ASM(code_smap_switch, 64,
         "stac; mov (%rsi), %rax; clac; mov (%rsi), %rax; hlt");

static void clac_takes_back_what_stac_gave(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    vm->cpu[0].state.cr4 |= HK_CR4_SMAP;
    vm->cpu[0].state.gpr[HK_RSI] = TINY_USER_DATA;
    TINY_LOAD(vm, code_smap_switch);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.rip, TINY_CODE + 9);
    tiny_free(vm);
}

TINY_ASM(code_int3, 64, "int3");

static void implicit_accesses_respect_smap_whatever_ac_says(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    uint64_t idt = TINY_USER_DATA;
    vm->cpu[0].state.cr4 |= HK_CR4_SMAP;
    vm->cpu[0].state.rflags |= HK_RF_AC;
    memcpy(vm->ram + idt, vm->ram + TINY_IDT, 4096);
    vm->cpu[0].state.idtr.base = idt;
    TINY_LOAD(vm, code_int3);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.exit, HK_CPU_EXIT_SHUTDOWN);
    tiny_free(vm);
}

static void every_level_takes_part_in_the_rights(void **state)
{
    static const uint64_t tables[] = {TINY_PML4, TINY_PDPT, TINY_PD};
    for (size_t n = 0; n < HK_COUNT(tables); n++) {
        struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
        uint64_t entry = tiny_get64(vm, tables[n]);
        TINY_LOAD_USER(vm, code_user_write);
        vm->cpu[0].state.gpr[HK_RSI] = TINY_USER_DATA;
        tiny_set64(vm, tables[n], entry & ~W);
        vm->cpu[0].state.cr0 &= ~HK_CR0_WP;
        struct tiny_end e = tiny_run(vm);
        assert_int_equal(e.vector, HK_VEC_PF);
        assert_int_equal(e.err, ERR_P | ERR_W | ERR_U);
        assert_int_equal(tiny_get64(vm, tables[n]), (entry & ~W) | A);
        tiny_free(vm);
    }
}

static void walking_sets_accessed_bits_at_every_level(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_read);
    vm->cpu[0].state.gpr[HK_RSI] = TINY_DATA;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_true(tiny_get64(vm, TINY_PML4) & A);
    assert_true(tiny_get64(vm, TINY_PDPT) & A);
    assert_true(tiny_get64(vm, TINY_PD) & A);
    assert_int_equal(tiny_get64(vm, TINY_PD) & D, 0);
    assert_int_equal(tiny_pte(vm, TINY_DATA) & (A | D), A);
    tiny_free(vm);
}

TINY_ASM(code_read_then_write, 64,
         "mov (%rsi), %rax; mov (%rdi), %rbx; mov %rax, (%rsi);"
         "mov (%rdi), %rcx; hlt");

static void a_write_after_a_read_still_sets_the_dirty_bit(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    TINY_LOAD(vm, code_read_then_write);
    s->gpr[HK_RSI] = TINY_DATA;
    s->gpr[HK_RDI] = TINY_PT + (TINY_DATA >> 12) * 8;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RBX] & (A | D), A);
    assert_int_equal(s->gpr[HK_RCX] & (A | D), A | D);
    tiny_free(vm);
}

static void a_large_page_maps_and_keeps_its_bits(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_write);
    vm->cpu[0].state.gpr[HK_RSI] = TINY_BIG + 0x12348;
    vm->cpu[0].state.gpr[HK_RAX] = 0xabcdef;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(tiny_get64(vm, TINY_BIG + 0x12348), 0xabcdef);
    assert_int_equal(tiny_get64(vm, TINY_PD + 8), TINY_BIG | 0x83 | A | D);
    tiny_free(vm);
}

static void a_gigabyte_page_maps(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_read);
    tiny_set64(vm, TINY_PDPT + 8, 0x83);
    tiny_set64(vm, TINY_DATA, 0x1234);
    vm->cpu[0].state.gpr[HK_RSI] = (1 << 30) + TINY_DATA;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(vm->cpu[0].state.gpr[HK_RAX], 0x1234);
    assert_int_equal(tiny_get64(vm, TINY_PDPT + 8), 0x83 | A);
    tiny_free(vm);
}

static void a_misaligned_large_page_is_a_reserved_bit(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_read);
    tiny_set64(vm, TINY_PD + 8, (TINY_BIG + 0x2000) | 0x83);
    vm->cpu[0].state.gpr[HK_RSI] = TINY_BIG;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, ERR_P | ERR_RSVD);
    tiny_free(vm);
}

static void page_size_in_the_top_table_is_reserved(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_read);
    tiny_set64(vm, TINY_PML4 + 8, TINY_PDPT | 0x83);
    vm->cpu[0].state.gpr[HK_RSI] = 1ull << 39;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, ERR_P | ERR_RSVD);
    tiny_free(vm);
}

static void a_table_outside_ram_reads_as_absent(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    TINY_LOAD(vm, code_read);
    tiny_set64(vm, TINY_PD + 16, 0xfee00000 | 7);
    vm->cpu[0].state.gpr[HK_RSI] = 0x400000;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, 0);
    tiny_free(vm);
}

static void a_crossing_write_that_faults_writes_nothing(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    uint64_t second = TINY_DATA + 0x1000;
    TINY_LOAD(vm, code_cross_write);
    vm->cpu[0].state.gpr[HK_RSI] = second;
    vm->cpu[0].state.gpr[HK_RAX] = ~0ull;
    tiny_set_pte(vm, second, 0);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, ERR_W);
    assert_int_equal(e.cr2, second);
    assert_int_equal(e.rip, TINY_CODE);
    assert_int_equal(tiny_get64(vm, second - 8), 0);
    tiny_free(vm);
}

/* Reads, changes the PTE (pointer in rdi, value in rbx), reads again after
 * one instruction that may or may not drop the translation. */
#define REMAP(name, how)                               \
    TINY_ASM(name, 64,                                 \
             "mov (%rsi), %rax; mov %rbx, (%rdi);" how \
             "; mov (%rsi), %rcx; hlt")
REMAP(code_remap_invlpg, "invlpg (%rsi)");
REMAP(code_remap_invlpg_far, "invlpg 0x1ff000(%rsi)");
REMAP(code_remap_cr3, "mov %cr3, %rdx; mov %rdx, %cr3");
REMAP(code_remap_pge, "mov %cr4, %rdx; xor $0x80, %dl; mov %rdx, %cr4");

static void remap(const uint8_t *code, const uint8_t *end, uint64_t flags,
                  uint64_t want)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    uint64_t other = TINY_DATA + 0x1000;
    tiny_set64(vm, TINY_DATA, 1);
    tiny_set64(vm, other, 2);
    tiny_set_pte(vm, TINY_DATA, TINY_DATA | flags);
    tiny_load(vm, code, end);
    s->gpr[HK_RSI] = TINY_DATA;
    s->gpr[HK_RDI] = TINY_PT + (TINY_DATA >> 12) * 8;
    s->gpr[HK_RBX] = other | flags;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RAX], 1);
    assert_int_equal(s->gpr[HK_RCX], want);
    tiny_free(vm);
}

static void invlpg_drops_one_page_global_or_not(void **state)
{
    remap(code_remap_invlpg, code_remap_invlpg_end, P | W, 2);
    remap(code_remap_invlpg, code_remap_invlpg_end, P | W | 0x100, 2);
}

static void loading_cr3_drops_pages_that_are_not_global(void **state)
{
    remap(code_remap_cr3, code_remap_cr3_end, P | W, 2);
    remap(code_remap_cr3, code_remap_cr3_end, P | W | 0x100, 1);
}

static void changing_pge_drops_global_pages(void **state)
{
    remap(code_remap_pge, code_remap_pge_end, P | W | 0x100, 2);
}

static void invlpg_drops_a_large_page_as_a_whole(void **state)
{
    struct tiny_vm *vm = tiny_new(TINY_LONG, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    tiny_set64(vm, TINY_BIG, 1);
    tiny_set64(vm, 2 * TINY_BIG, 2);
    TINY_LOAD(vm, code_remap_invlpg_far);
    s->gpr[HK_RSI] = TINY_BIG;
    s->gpr[HK_RDI] = TINY_PD + 8;
    s->gpr[HK_RBX] = (2 * TINY_BIG) | 0x83;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(s->gpr[HK_RAX], 1);
    assert_int_equal(s->gpr[HK_RCX], 2);
    tiny_free(vm);
}

/* ---- 32-bit and PAE paging ---------------------------------------------- */

TINY_ASM(code32_write, 32, "mov %eax, (%esi); hlt");
TINY_ASM(code32_read, 32, "mov (%esi), %eax; hlt");

static struct tiny_vm *paging32(bool pae)
{
    struct tiny_vm *vm = tiny_new(TINY_PROT32, 1);
    struct hk_vcpu_state *s = &vm->cpu[0].state;
    s->cr0 |= HK_CR0_PG | HK_CR0_WP;
    if (pae) { /* PDPTEs at TINY_PML4 */
        s->cr4 |= HK_CR4_PAE;
        s->cr3 = TINY_PML4;
        tiny_set64(vm, TINY_PML4, TINY_PD | 1);
    } else { /* one directory at TINY_PDPT, one table at TINY_PML4 */
        uint32_t pte[1024];
        for (uint32_t n = 0; n < 1024; n++)
            pte[n] = n << 12 | 3;
        tiny_put(vm, TINY_PML4, pte, sizeof(pte));
        tiny_put(vm, TINY_PDPT, &(uint32_t){TINY_PML4 | 3}, 4);
        s->cr4 |= HK_CR4_PSE;
        s->cr3 = TINY_PDPT;
    }
    return vm;
}

static void two_level_paging_maps_and_marks(void **state)
{
    struct tiny_vm *vm = paging32(false);
    TINY_LOAD(vm, code32_write);
    vm->cpu[0].state.gpr[HK_RSI] = TINY_DATA;
    vm->cpu[0].state.gpr[HK_RAX] = 77;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(tiny_get64(vm, TINY_DATA), 77);
    uint32_t pte = (uint32_t)tiny_get64(vm, TINY_PML4 + (TINY_DATA >> 12) * 4);
    assert_int_equal(pte, TINY_DATA | 3 | A | D);
    tiny_free(vm);
}

static void two_level_paging_has_4m_pages(void **state)
{
    struct tiny_vm *vm = paging32(false);
    TINY_LOAD(vm, code32_write);
    tiny_put(vm, TINY_PDPT + 4, &(uint32_t){0x400000 | 0x83}, 4);
    vm->cpu[0].state.gpr[HK_RSI] = 0x654320;
    vm->cpu[0].state.gpr[HK_RAX] = 78;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(tiny_get64(vm, 0x654320), 78);
    assert_int_equal((uint32_t)tiny_get64(vm, TINY_PDPT + 4),
                     0x400000 | 0x83 | A | D);
    tiny_free(vm);
}

static void two_level_paging_faults_without_the_fetch_bit(void **state)
{
    struct tiny_vm *vm = paging32(false);
    TINY_LOAD(vm, code32_read);
    vm->cpu[0].state.gpr[HK_RSI] = 0x800000;
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, 0);
    assert_int_equal(e.cr2, 0x800000);
    tiny_free(vm);
}

static void two_level_paging_marks_nothing_when_it_faults(void **state)
{
    struct tiny_vm *vm = paging32(false);
    TINY_LOAD(vm, code32_read);
    tiny_put(vm, TINY_PDPT + 8, &(uint32_t){0x400000 | P | W}, 4);
    vm->cpu[0].state.gpr[HK_RSI] = 0x800000;
    assert_int_equal(tiny_run(vm).vector, HK_VEC_PF);
    assert_int_equal((uint32_t)tiny_get64(vm, TINY_PDPT + 8), 0x400000 | P | W);
    tiny_free(vm);
}

static void pae_paging_maps_2m_pages(void **state)
{
    struct tiny_vm *vm = paging32(true);
    TINY_LOAD(vm, code32_write);
    vm->cpu[0].state.gpr[HK_RSI] = TINY_BIG + 0x340;
    vm->cpu[0].state.gpr[HK_RAX] = 79;
    assert_int_equal(tiny_run(vm).vector, -1);
    assert_int_equal(tiny_get64(vm, TINY_BIG + 0x340), 79);
    tiny_free(vm);
}

static void pae_paging_reserves_bits_62_to_52(void **state)
{
    struct tiny_vm *vm = paging32(true);
    TINY_LOAD(vm, code32_read);
    vm->cpu[0].state.gpr[HK_RSI] = TINY_DATA;
    tiny_set_pte(vm, TINY_DATA, TINY_DATA | 3 | 1ull << 55);
    struct tiny_end e = tiny_run(vm);
    assert_int_equal(e.vector, HK_VEC_PF);
    assert_int_equal(e.err, ERR_P | ERR_RSVD);
    tiny_free(vm);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(an_absent_page_faults_with_the_kind_of_access),
    cmocka_unit_test(ring_3_needs_a_user_page),
    cmocka_unit_test(ring_3_needs_a_writable_page),
    cmocka_unit_test(wp_decides_about_supervisor_writes),
    cmocka_unit_test(nx_forbids_fetches_only),
    cmocka_unit_test(nx_is_reserved_without_nxe),
    cmocka_unit_test(address_bits_beyond_the_physical_are_reserved),
    cmocka_unit_test(smep_forbids_supervisor_fetches_from_user_pages),
    cmocka_unit_test(smap_forbids_supervisor_data_on_user_pages),
    cmocka_unit_test(the_key_of_a_user_page_limits_data_accesses),
    cmocka_unit_test(clac_takes_back_what_stac_gave),
    cmocka_unit_test(implicit_accesses_respect_smap_whatever_ac_says),
    cmocka_unit_test(every_level_takes_part_in_the_rights),
    cmocka_unit_test(walking_sets_accessed_bits_at_every_level),
    cmocka_unit_test(a_write_after_a_read_still_sets_the_dirty_bit),
    cmocka_unit_test(a_large_page_maps_and_keeps_its_bits),
    cmocka_unit_test(a_gigabyte_page_maps),
    cmocka_unit_test(a_misaligned_large_page_is_a_reserved_bit),
    cmocka_unit_test(page_size_in_the_top_table_is_reserved),
    cmocka_unit_test(a_table_outside_ram_reads_as_absent),
    cmocka_unit_test(a_crossing_write_that_faults_writes_nothing),
    cmocka_unit_test(invlpg_drops_one_page_global_or_not),
    cmocka_unit_test(loading_cr3_drops_pages_that_are_not_global),
    cmocka_unit_test(changing_pge_drops_global_pages),
    cmocka_unit_test(invlpg_drops_a_large_page_as_a_whole),
    cmocka_unit_test(two_level_paging_maps_and_marks),
    cmocka_unit_test(two_level_paging_has_4m_pages),
    cmocka_unit_test(two_level_paging_faults_without_the_fetch_bit),
    cmocka_unit_test(two_level_paging_marks_nothing_when_it_faults),
    cmocka_unit_test(pae_paging_maps_2m_pages),
    cmocka_unit_test(pae_paging_reserves_bits_62_to_52),
};
HK_TEST_MAIN(cases)
