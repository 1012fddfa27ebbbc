/*
 * The table of SSE forms and the search for one.
 */
#include "cpu/sse.h"

#include <cpuid.h>

#define X(id, insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits) \
    uint64_t hk_sse_stub_##id(void *, const void *, const void *);
#define XC(id, insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits)
#include "cpu/sse_forms.def"
#undef X
#undef XC

#define FORM(insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits, \
             stub)                                                            \
    {#insn,                                                                   \
     map,                                                                     \
     prefix,                                                                  \
     opcode,                                                                  \
     ext,                                                                     \
     HK_SSE_##feature,                                                        \
     mem,                                                                     \
     reg,                                                                     \
     HK_SSE_KIND_##kind >= HK_SSE_KIND_XMMI,                                  \
     HK_SSE_KIND_##kind,                                                      \
     HK_SSE_##traits,                                                         \
     stub},

static const struct hk_sse_form forms[] = {
#define X(id, insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits) \
    FORM(insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits,      \
         hk_sse_stub_##id)
#define XC(id, insn, map, prefix, opcode, ext, mem, reg, feature, kind, \
           traits)                                                      \
    FORM(insn, map, prefix, opcode, ext, mem, reg, feature, kind, traits, NULL)
#include "cpu/sse_forms.def"
#undef X
#undef XC
};

static unsigned key_of(const struct hk_sse_form *form)
{
    return form->map << 16 | form->opcode << 8 | form->prefix;
}

/* The first form with that key, or the next greater one. */
static size_t lower_bound(unsigned key)
{
    size_t low = 0, high = HK_COUNT(forms);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key_of(&forms[middle]) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct hk_sse_form *hk_sse_find(unsigned map, unsigned prefix,
                                      unsigned opcode, unsigned modrm)
{
    const unsigned key = map << 16 | opcode << 8 | prefix;
    const bool is_reg = modrm >> 6 == 3;
    for (size_t i = lower_bound(key);
         i < HK_COUNT(forms) && key_of(&forms[i]) == key; i++) {
        const struct hk_sse_form *form = &forms[i];
        if (form->modrm_ext >= 0 &&
            (unsigned)form->modrm_ext != (modrm >> 3 & 7))
            continue;
        if (is_reg ? !form->reg_ok : form->mem_size == 0)
            continue;
        if (hk_sse_host_has((enum hk_sse_feature)form->feature))
            return form;
    }
    return NULL;
}

const struct hk_sse_form *hk_sse_forms(size_t *count)
{
    *count = HK_COUNT(forms);
    return forms;
}

/* Where CPUID leaf 1 (7 for SHA) has the bit of a feature. */
static bool leaf_has(unsigned leaf, unsigned reg, unsigned bit)
{
    unsigned regs[4] = {0};
    if (!__get_cpuid_count(leaf, 0, &regs[0], &regs[1], &regs[2], &regs[3]))
        return false;
    return regs[reg] >> bit & 1;
}

static bool ask_host(enum hk_sse_feature feature)
{
    enum { EBX = 1, ECX = 2, EDX = 3 };
    switch (feature) {
    case HK_SSE_MMX:
    case HK_SSE_SSE:
    case HK_SSE_SSE2:
        return true; /* part of x86-64 */
    case HK_SSE_SSE3:
        return leaf_has(1, ECX, 0);
    case HK_SSE_SSSE3:
        return leaf_has(1, ECX, 9);
    case HK_SSE_SSE41:
        return leaf_has(1, ECX, 19);
    case HK_SSE_SSE42:
        return leaf_has(1, ECX, 20);
    case HK_SSE_AES:
        return leaf_has(1, ECX, 25);
    case HK_SSE_PCLMUL:
        return leaf_has(1, ECX, 1);
    case HK_SSE_SHA:
        return leaf_has(7, EBX, 29);
    case HK_SSE_FEATURE_COUNT:
        break;
    }
    return false;
}

/* CPUID traps in a VM and is slow there, so the answers are kept. */
bool hk_sse_host_has(enum hk_sse_feature feature)
{
    static _Atomic uint32_t known; /* two bits for each feature */
    const unsigned shift = 2 * (unsigned)feature;
    const uint32_t seen = known >> shift & 3;
    if (seen != 0)
        return seen == 3;
    const bool has = ask_host(feature);
    known |= (has ? 3u : 2u) << shift;
    return has;
}
