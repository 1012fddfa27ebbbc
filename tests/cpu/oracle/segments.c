/*
 * Descriptors that both sides have.
 *
 * The host's kernel lets a program fill its local descriptor table, so that
 * 16-bit code, limits, expand-down and absent segments can be tried; the
 * guest gets the same table. The global one is the host's: what LAR and LSL
 * show of it is copied, and of what they do not show all is known that
 * matters, which is that ring 3 may not use it.
 */
#define _GNU_SOURCE
#include "oracle.h"

#include "base/err.h"

#include <asm/ldt.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in struct hk_segment. */
enum {
    CODE = 0x00fb, /* present, ring 3, readable; accessed, like all of them */
    CODE_NOREAD = 0x00f9,
    DATA = 0x00f3,
    DATA_CONST = 0x00f1,
    DATA_DOWN = 0x00f7,
    ABSENT_CODE = 0x007b,
    ABSENT_CONFORMING = 0x007f,
    ABSENT_DATA = 0x0073,
    AVL = 0x1000,
    BIG = 0x4000,
    PAGES = 0x8000,
};

struct row {
    uint32_t base, limit; /* the limit as the descriptor has it */
    uint16_t attr;
};

static const struct row rows[ORACLE_LDT_COUNT] = {
    [ORACLE_CODE16] = {ORACLE_CODE, ORACLE_CODE_SIZE - 1, CODE},
    [ORACLE_CODE16_SMALL] = {ORACLE_CODE, ORACLE_PAGE - 1, CODE_NOREAD},
    [ORACLE_CODE32] = {0, 0xfffff, CODE | BIG | PAGES},
    [ORACLE_CODE32_BASED] = {ORACLE_CODE, ORACLE_CODE_SIZE - 1, CODE | BIG},
    [ORACLE_CODE32_NOREAD] = {0, 0xfffff, CODE_NOREAD | BIG | PAGES},
    [ORACLE_CODE_ABSENT] = {0, 0xfffff, ABSENT_CODE | BIG | PAGES},
    [ORACLE_CONFORMING_ABSENT] = {0, 0xfffff, ABSENT_CONFORMING | BIG},
    [ORACLE_DATA16] = {ORACLE_DATA, ORACLE_DATA_SIZE - 1, DATA},
    [ORACLE_STACK16] = {ORACLE_STACK, ORACLE_STACK_SIZE - 1, DATA},
    [ORACLE_DATA32] = {ORACLE_DATA, ORACLE_DATA_SIZE / 4 * 3 - 1, DATA | BIG},
    [ORACLE_DATA_CONST] = {ORACLE_DATA, ORACLE_DATA_SIZE - 1, DATA_CONST | BIG},
    [ORACLE_DOWN32] = {ORACLE_DATA, ORACLE_PAGE - 1, DATA_DOWN | BIG},
    [ORACLE_DOWN16] = {ORACLE_DATA, ORACLE_PAGE - 1, DATA_DOWN},
    [ORACLE_DATA_ABSENT] = {ORACLE_DATA, ORACLE_PAGE - 1, ABSENT_DATA | BIG},
    [ORACLE_STACK32] = {ORACLE_STACK, ORACLE_STACK_SIZE - 1, DATA | BIG},
    [ORACLE_FLAT32] = {0, 0xfffff, DATA | BIG | PAGES},
    [ORACLE_FLAT_CONST] = {0, 0xfffff, DATA_CONST | AVL | BIG | PAGES},
    [ORACLE_DOWN_PAGES] = {0, ORACLE_DATA / ORACLE_PAGE,
                           DATA_DOWN | BIG | PAGES},
};

static uint64_t gdt[ORACLE_GDT_COUNT];

static uint64_t pack(const struct row *r)
{
    return (r->limit & 0xffffu) | (uint64_t)(r->base & 0xffffff) << 16 |
           (uint64_t)r->attr << 40 | (uint64_t)(r->limit >> 16 & 0xf) << 48 |
           (uint64_t)(r->base >> 24) << 56;
}

static void unpack(uint64_t raw, uint16_t selector, struct hk_segment *s)
{
    s->selector = selector;
    s->attr = (uint16_t)(raw >> 40 & 0xf0ff);
    s->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
    s->limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));
    if (s->attr & PAGES)
        s->limit = s->limit << 12 | 0xfff;
}

/* ---- the host's tables ---- */

static uint64_t ask_host(uint32_t selector)
{
    uint32_t rights = 0, limit = 0;
    bool ok, ok2;
    __asm__("lar %2, %0" : "+r"(rights), "=@ccz"(ok) : "r"(selector));
    __asm__("lsl %2, %0" : "+r"(limit), "=@ccz"(ok2) : "r"(selector));
    if (!ok || !ok2)
        return 0;
    struct row r = {.attr = (uint16_t)(rights >> 8)};
    r.limit = r.attr & PAGES ? limit >> 12 : limit;
    return pack(&r);
}

void oracle_segments_init(void)
{
    static const struct row kernel[] = {
        {0, 0xfffff, 0xc09b}, {0, 0xfffff, 0xa09b}, {0, 0xfffff, 0xc093}};
    for (unsigned i = 1; i < ORACLE_GDT_COUNT; i++) {
        gdt[i] = ask_host(i << 3 | 3);
        if (gdt[i] == 0 && i <= HK_COUNT(kernel))
            gdt[i] = pack(&kernel[i - 1]);
    }
}

int oracle_segments_install(void)
{
    for (unsigned i = 0; i < ORACLE_LDT_COUNT; i++) {
        const struct row *r = &rows[i];
        if (i == ORACLE_HOLE)
            continue;
        struct user_desc d = {
            .entry_number = i,
            .base_addr = r->base,
            .limit = r->limit,
            .seg_32bit = (r->attr & BIG) != 0,
            .contents = r->attr >> 2 & 3,
            .read_exec_only = (r->attr & 2) == 0,
            .limit_in_pages = (r->attr & PAGES) != 0,
            .seg_not_present = (r->attr & 0x80) == 0,
            .useable = (r->attr & AVL) != 0,
        };
        if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) != 0)
            return -HK_ENOSYS;
    }
    return 0;
}

const uint64_t *oracle_gdt(void)
{
    return gdt;
}

void oracle_ldt(uint64_t table[ORACLE_LDT_COUNT])
{
    for (unsigned i = 0; i < ORACLE_LDT_COUNT; i++)
        table[i] = i == ORACLE_HOLE ? 0 : pack(&rows[i]);
}

/* ---- loads ---- */

bool oracle_is_null(uint16_t selector)
{
    return (selector & ~3) == 0;
}

struct hk_segment oracle_segment(uint16_t selector)
{
    struct hk_segment s = {.selector = selector};
    unsigned index = selector >> 3;
    if (oracle_is_null(selector))
        return s;
    if ((selector & 4) == 0 && index < ORACLE_GDT_COUNT)
        unpack(gdt[index], selector, &s);
    else if ((selector & 4) != 0 && index < ORACLE_LDT_COUNT)
        unpack(pack(&rows[index]), selector, &s);
    return s;
}

uint64_t oracle_base(const struct oracle_case *c, unsigned seg)
{
    if (c->code_size != HK_CODE64)
        return oracle_segment(c->in.seg[seg]).base;
    return seg == HK_SEG_FS   ? c->in.fs_base
           : seg == HK_SEG_GS ? c->in.gs_base
                              : 0;
}

uint64_t oracle_linear(const struct oracle_case *c, unsigned seg,
                       uint64_t offset)
{
    uint64_t at = oracle_base(c, seg) + offset;
    return c->code_size == HK_CODE64 ? at : (uint32_t)at;
}

bool oracle_has_big_stack(const struct oracle_case *c)
{
    return c->code_size == HK_CODE64 ||
           (oracle_segment(c->in.seg[HK_SEG_SS]).attr & BIG) != 0;
}

uint64_t oracle_stack_address(const struct oracle_case *c)
{
    uint64_t sp = c->in.gpr[HK_RSP];
    if (!oracle_has_big_stack(c))
        sp &= 0xffff;
    return oracle_linear(c, HK_SEG_SS, sp);
}

void oracle_follow_selectors(struct oracle_state *s)
{
    if (!oracle_is_null(s->seg[HK_SEG_FS]))
        s->fs_base = oracle_segment(s->seg[HK_SEG_FS]).base;
    if (!oracle_is_null(s->seg[HK_SEG_GS]))
        s->gs_base = oracle_segment(s->seg[HK_SEG_GS]).base;
}

/* ---- choosing ---- */

uint16_t oracle_pick_selector(struct oracle_rng *rng)
{
    uint32_t kind = oracle_below(rng, 100);
    uint32_t rpl = oracle_percent(rng, 85) ? 3 : oracle_below(rng, 4);
    if (kind < 60)
        return (uint16_t)(oracle_below(rng, ORACLE_LDT_COUNT + 2) << 3 | 4 |
                          rpl);
    if (kind < 90)
        return (uint16_t)(oracle_below(rng, ORACLE_GDT_COUNT + 2) << 3 | rpl);
    if (kind < 96)
        return (uint16_t)rpl;
    return (uint16_t)oracle_random(rng);
}

uint16_t oracle_pick_code_selector(struct oracle_rng *rng)
{
    static const uint16_t codes[] = {ORACLE_GDT_CS32,
                                     ORACLE_GDT_CS64,
                                     ORACLE_SELECTOR(ORACLE_CODE16),
                                     ORACLE_SELECTOR(ORACLE_CODE16_SMALL),
                                     ORACLE_SELECTOR(ORACLE_CODE32),
                                     ORACLE_SELECTOR(ORACLE_CODE32_BASED),
                                     ORACLE_SELECTOR(ORACLE_CODE32_NOREAD)};
    if (oracle_percent(rng, 25))
        return oracle_pick_selector(rng);
    return codes[oracle_below(rng, HK_COUNT(codes))];
}

/* Loads of these never fault. */
static uint16_t pick_data(struct oracle_rng *rng, enum oracle_ldt usual,
                          bool writable)
{
    static const uint16_t others[] = {ORACLE_SELECTOR(ORACLE_DATA16),
                                      ORACLE_SELECTOR(ORACLE_DATA32),
                                      ORACLE_SELECTOR(ORACLE_FLAT32),
                                      ORACLE_SELECTOR(ORACLE_DOWN32),
                                      ORACLE_SELECTOR(ORACLE_DOWN16),
                                      ORACLE_SELECTOR(ORACLE_DOWN_PAGES),
                                      ORACLE_SELECTOR(ORACLE_DATA_CONST),
                                      ORACLE_SELECTOR(ORACLE_FLAT_CONST),
                                      ORACLE_SELECTOR(ORACLE_CODE32),
                                      ORACLE_GDT_CS32,
                                      ORACLE_GDT_DS,
                                      0};
    enum { WRITABLE = 6 };
    if (oracle_percent(rng, 75))
        return usual == ORACLE_HOLE ? ORACLE_GDT_DS : ORACLE_SELECTOR(usual);
    return others[oracle_below(rng, writable ? WRITABLE : HK_COUNT(others))];
}

static void segments_16(struct oracle_rng *rng, struct oracle_case *c)
{
    static const uint16_t stacks[] = {
        ORACLE_SELECTOR(ORACLE_STACK16), ORACLE_SELECTOR(ORACLE_STACK16),
        ORACLE_SELECTOR(ORACLE_STACK16), ORACLE_SELECTOR(ORACLE_STACK32),
        ORACLE_GDT_DS};
    uint16_t *seg = c->in.seg;
    /* How much of an undefined instruction is fetched is no promise. */
    uint32_t room = c->form != NULL && c->form->undefined ? 16 : 0;
    bool in_small = c->code_address < ORACLE_CODE + ORACLE_PAGE - room;
    seg[HK_SEG_CS] = in_small && oracle_percent(rng, 15)
                         ? ORACLE_SELECTOR(ORACLE_CODE16_SMALL)
                         : ORACLE_SELECTOR(ORACLE_CODE16);
    seg[HK_SEG_SS] = stacks[oracle_below(rng, HK_COUNT(stacks))];
    seg[HK_SEG_DS] = pick_data(rng, ORACLE_DATA16, oracle_percent(rng, 50));
    seg[HK_SEG_ES] = pick_data(rng, ORACLE_DATA16, oracle_percent(rng, 50));
}

static void segments_32(struct oracle_rng *rng, struct oracle_case *c)
{
    static const uint16_t codes[] = {ORACLE_SELECTOR(ORACLE_CODE32),
                                     ORACLE_SELECTOR(ORACLE_CODE32_BASED),
                                     ORACLE_SELECTOR(ORACLE_CODE32_NOREAD)};
    static const uint16_t stacks[] = {ORACLE_SELECTOR(ORACLE_STACK16),
                                      ORACLE_SELECTOR(ORACLE_STACK32),
                                      ORACLE_SELECTOR(ORACLE_FLAT32)};
    uint16_t *seg = c->in.seg;
    if (oracle_percent(rng, 20))
        seg[HK_SEG_CS] = codes[oracle_below(rng, HK_COUNT(codes))];
    if (oracle_percent(rng, 20))
        seg[HK_SEG_SS] = stacks[oracle_below(rng, HK_COUNT(stacks))];
    if (oracle_percent(rng, 40)) {
        seg[HK_SEG_DS] = pick_data(rng, ORACLE_HOLE, oracle_percent(rng, 50));
        seg[HK_SEG_ES] = pick_data(rng, ORACLE_HOLE, oracle_percent(rng, 50));
    }
}

/* Their bases and limits count for nothing, until other code is entered. */
static void segments_64(struct oracle_rng *rng, struct oracle_case *c)
{
    c->in.seg[HK_SEG_DS] = pick_data(rng, ORACLE_HOLE, false);
    c->in.seg[HK_SEG_SS] = oracle_percent(rng, 50)
                               ? ORACLE_SELECTOR(ORACLE_STACK16)
                               : ORACLE_SELECTOR(ORACLE_STACK32);
}

void oracle_plain_segments(struct oracle_case *c)
{
    uint16_t *seg = c->in.seg;
    for (unsigned i = 0; i < HK_SEG_COUNT; i++)
        seg[i] = ORACLE_GDT_DS;
    if (c->code_size == HK_CODE16) {
        seg[HK_SEG_CS] = ORACLE_SELECTOR(ORACLE_CODE16);
        seg[HK_SEG_SS] = ORACLE_SELECTOR(ORACLE_DATA16);
        seg[HK_SEG_DS] = seg[HK_SEG_ES] = ORACLE_SELECTOR(ORACLE_DATA16);
    } else {
        bool is64 = c->code_size == HK_CODE64;
        seg[HK_SEG_CS] = is64 ? ORACLE_GDT_CS64 : ORACLE_GDT_CS32;
        seg[HK_SEG_FS] = seg[HK_SEG_GS] = 0;
    }
    oracle_follow_selectors(&c->in);
}

void oracle_random_segments(struct oracle_rng *rng, struct oracle_case *c)
{
    uint16_t *seg = c->in.seg;
    bool is64 = c->code_size == HK_CODE64;
    oracle_plain_segments(c);
    seg[HK_SEG_FS] = seg[HK_SEG_GS] = 0;
    if (c->code_size == HK_CODE16)
        segments_16(rng, c);
    else if (!is64)
        segments_32(rng, c);
    else if (oracle_percent(rng, 10))
        segments_64(rng, c);
    if (oracle_percent(rng, is64 ? 10 : 60))
        seg[HK_SEG_FS] = pick_data(rng, ORACLE_DATA32, false);
    if (oracle_percent(rng, is64 ? 10 : 60))
        seg[HK_SEG_GS] = pick_data(rng, ORACLE_FLAT32, false);
    oracle_follow_selectors(&c->in);
}
