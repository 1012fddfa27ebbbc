/* Shows a mismatch: the code, what went in, and only what differs. */
#include "oracle.h"

#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const gpr_names[16] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

static const char *const mode_names[] = {"16-bit", "32-bit", "64-bit"};
static const char *const seg_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

static void show_code(const struct oracle_case *c)
{
    static const ZydisMachineMode modes[] = {ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
                                             ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                                             ZYDIS_MACHINE_MODE_LONG_64};
    ZydisMachineMode mode = modes[c->code_size];
    ZydisDisassembledInstruction insn;
    uint32_t at = 0;
    while (at < c->code_len) {
        bool ok = ZYAN_SUCCESS(ZydisDisassembleIntel(
            mode, c->code_address + at, c->code + at, c->code_len - at, &insn));
        uint32_t len = ok ? insn.info.length : 1;
        printf("  %08" PRIx32 " ", c->code_address + at);
        for (uint32_t i = 0; i < len; i++)
            printf(" %02x", c->code[at + i]);
        printf("%*s %s\n", (int)(len < 12 ? 36 - 3 * len : 0), "",
               ok ? insn.text : "(bad)");
        at += len;
    }
}

static void show_field(const char *name, uint64_t in, uint64_t native,
                       uint64_t guest)
{
    if (native != guest)
        printf("  %-8s before %016" PRIx64 "  host %016" PRIx64
               "  ours %016" PRIx64 "\n",
               name, in, native, guest);
}

static void show_bytes(const char *name, unsigned index, const uint8_t *in,
                       const uint8_t *native, const uint8_t *guest,
                       unsigned size)
{
    if (memcmp(native, guest, size) == 0)
        return;
    const uint8_t *rows[] = {in, native, guest};
    static const char *const titles[] = {"before", "host", "ours"};
    for (unsigned r = 0; r < 3; r++) {
        printf("  %s%-4u %-6s ", name, index, titles[r]);
        for (unsigned i = size; i-- > 0;)
            printf("%02x%s", rows[r][i], i % 4 == 0 ? " " : "");
        printf("\n");
    }
}

static void show_fpu(const struct oracle_mismatch *m)
{
    const uint8_t *in = m->c->in.fxsave, *a = m->native->out.fxsave,
                  *b = m->guest->out.fxsave;
    show_bytes("fcw", 0, in, a, b, 2);
    show_bytes("fsw", 0, in + 2, a + 2, b + 2, 2);
    show_bytes("ftw", 0, in + 4, a + 4, b + 4, 1);
    show_bytes("mxcsr", 0, in + 24, a + 24, b + 24, 4);
    for (unsigned i = 0; i < 8; i++)
        show_bytes("st", i, in + 32 + 16 * i, a + 32 + 16 * i, b + 32 + 16 * i,
                   10);
    for (unsigned i = 0; i < 16; i++)
        show_bytes("xmm", i, in + 160 + 16 * i, a + 160 + 16 * i,
                   b + 160 + 16 * i, 16);
}

static void show_memory(const char *name, uint32_t base, const uint8_t *a,
                        const uint8_t *b, uint32_t size)
{
    unsigned shown = 0;
    for (uint32_t i = 0; a != NULL && i < size && shown < 6; i += 16) {
        if (memcmp(a + i, b + i, 16) == 0)
            continue;
        shown++;
        for (unsigned side = 0; side < 2; side++) {
            printf("  %s %08" PRIx32 " %s ", name, base + i,
                   side == 0 ? "host" : "ours");
            for (unsigned j = 0; j < 16; j++)
                printf("%02x ", (side == 0 ? a : b)[i + j]);
            printf("\n");
        }
    }
}

void oracle_report(const struct oracle_mismatch *m)
{
    const struct oracle_case *c = m->c;
    const struct oracle_state *in = &c->in;
    printf("mismatch: case %" PRIu64 " %s, %s, %s%s\n", c->number,
           c->form != NULL ? c->form->name : "(sequence)",
           mode_names[c->code_size], c->mode == ORACLE_STEP ? "one step, " : "",
           m->what);
    show_code(c);
    if (c->insn_count == 1 && c->insn.is_mem)
        printf("  operand at %" PRIx64 "\n",
               oracle_insn_address(c, &c->insn, c->code_address));
    show_field("vector", 0, m->native->vector, m->guest->vector);
    printf("  cs %x ss %x ds %x es %x fs %x gs %x\n", in->seg[HK_SEG_CS],
           in->seg[HK_SEG_SS], in->seg[HK_SEG_DS], in->seg[HK_SEG_ES],
           in->seg[HK_SEG_FS], in->seg[HK_SEG_GS]);
    if (m->native->vector == m->guest->vector)
        printf("  ended by vector %u at %x:%" PRIx64 "\n", m->native->vector,
               m->native->out.seg[HK_SEG_CS], m->native->out.rip);
    show_field("error", 0, m->native->error_code, m->guest->error_code);
    show_field("cr2", 0, m->native->cr2, m->guest->cr2);
    for (unsigned i = 0; i < 16; i++)
        show_field(gpr_names[i], in->gpr[i], m->native->out.gpr[i],
                   m->guest->out.gpr[i]);
    show_field("rip", in->rip, m->native->out.rip, m->guest->out.rip);
    show_field("rflags", in->rflags, m->native->out.rflags,
               m->guest->out.rflags);
    show_field("fs base", in->fs_base, m->native->out.fs_base,
               m->guest->out.fs_base);
    show_field("gs base", in->gs_base, m->native->out.gs_base,
               m->guest->out.gs_base);
    for (unsigned i = 0; i < HK_SEG_COUNT; i++)
        show_field(seg_names[i], in->seg[i], m->native->out.seg[i],
                   m->guest->out.seg[i]);
    show_fpu(m);
    const struct oracle_memory *a = m->native_memory, *b = m->guest_memory;
    show_memory("data ", ORACLE_DATA, a->data, b->data, ORACLE_DATA_SIZE);
    show_memory("stack", ORACLE_STACK, a->stack, b->stack, ORACLE_STACK_SIZE);
    show_memory("low  ", ORACLE_LOW, a->low, b->low, ORACLE_LOW_SIZE);
    printf("  repeat: scripts/cpu-fuzz --seed %" PRIu64 " --case %" PRIu64
           "\n\n",
           m->seed, c->number);
    fflush(stdout);
}
