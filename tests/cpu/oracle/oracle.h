/*
 * The differential fuzzer: our CPU against the host's own.
 *
 * A case is a state, a few bytes of memory and a few bytes of code. Both
 * sides start from it at the same linear addresses in ring 3 and run until
 * the first exception (the trap flag, an int3 behind the code, or a fault),
 * and everything a program could see afterwards has to be the same.
 *
 *   forms.c   asks the decoder which forms there are
 *   insn.c    bytes for a form: prefixes, ModRM, immediates
 *   values.c  random values with a bias to the interesting ones
 *   segments.c  descriptors that both sides have, and selectors
 *   gen.c     a case for a form
 *   setup.c   registers and memory that a form needs to do something
 *   setup_system.c  the same for selectors, far pointers, XSAVE
 *   sequence.c  a case of several instructions
 *   native.c  the host's side: a crafted signal frame and a signal
 *   vdso.c    where the host's kernel returns to from SYSENTER
 *   guest.c   our side: a machine with the same pages
 *   compare.c what counts as different, with the documented exceptions
 *   report.c  shows a mismatch
 *   fuzz.c    the loop over case numbers
 *
 * A case depends on the seed and its number alone, so that any of them can be
 * repeated. Linux on x86-64 only. Not thread safe: fork for more.
 */
#ifndef HK_TESTS_ORACLE_H
#define HK_TESTS_ORACLE_H

#include "cpu/decode.h"
#include "hv/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The sandbox, the same linear addresses on both sides. Around the named
 * areas nothing is mapped.
 */
enum {
    ORACLE_PAGE = 4096,
    ORACLE_CODE = 0x10000000, /* read and execute, filled with int3 */
    ORACLE_CODE_SIZE = 2 * ORACLE_PAGE,
    ORACLE_DATA = 0x10010000, /* read and write */
    ORACLE_DATA_SIZE = 2 * ORACLE_PAGE,
    ORACLE_STACK = 0x10020000, /* read and write */
    ORACLE_STACK_SIZE = ORACLE_PAGE,
    ORACLE_RESERVED = 0x200000, /* nothing else lives in this range */
    ORACLE_LOW = 0x9000,        /* for 16-bit addresses, where allowed */
    ORACLE_LOW_SIZE = ORACLE_PAGE,
    ORACLE_MEM_SIZE = ORACLE_DATA_SIZE + ORACLE_STACK_SIZE + ORACLE_LOW_SIZE,

    ORACLE_MAX_CODE = 512,
    ORACLE_MAX_PATCHES = 4,
    ORACLE_PATCH_SIZE = 576,
    ORACLE_MAX_SEQUENCE = 30,
};

/* What a program in ring 3 can see of the CPU. */
struct oracle_state {
    uint64_t gpr[16];
    uint64_t rip, rflags;
    uint64_t fs_base, gs_base;
    uint16_t seg[HK_SEG_COUNT]; /* selectors */
    uint8_t fxsave[512] __attribute__((aligned(64)));
};

/* Bytes put into writable memory before the case. */
struct oracle_patch {
    uint32_t address, size;
    uint8_t bytes[ORACLE_PATCH_SIZE];
};

enum oracle_mode {
    ORACLE_STEP, /* trap flag set, one step */
    ORACLE_RUN,  /* until the int3 behind the code */
};

struct oracle_form;

struct oracle_case {
    uint64_t number;
    enum hk_code_size code_size; /* other than HK_CODE64: compatibility */
    enum oracle_mode mode;
    uint32_t code_address, code_len; /* linear */
    uint8_t code[ORACLE_MAX_CODE];
    uint32_t insn_count;
    const struct oracle_form *form; /* of the only one, or NULL */
    struct hk_insn insn;            /* the first instruction, decoded */
    struct oracle_state in;
    uint32_t patch_count;
    struct oracle_patch patches[ORACLE_MAX_PATCHES];
};

/* `vector` of a case that did not end; it is not compared. */
enum { ORACLE_TIMEOUT = 256 };

struct oracle_result {
    struct oracle_state out;
    uint32_t vector; /* of the exception that ended it */
    uint64_t error_code;
    uint64_t cr2; /* page faults only, else 0 */
};

/* The writable memory of a side as three host pointers. */
struct oracle_memory {
    uint8_t *data, *stack, *low; /* low is NULL where the host refuses it */
    uint8_t *code;
};

/* ---- forms.c ---- */

/* One kind of instruction: what the generator varies is not part of it. */
struct oracle_form {
    enum hk_code_size code_size;
    uint8_t op_prefix; /* 0, 0xf2 or 0xf3 */
    bool opsize_prefix, rexw, lock, vex, vex_l;
    uint8_t map, opcode;
    uint8_t opcode_variants; /* 8: the low bits of the opcode are a register */
    bool has_modrm, is_mem;
    int8_t ext; /* fixed reg field of ModRM, or -1 */
    int8_t rm;  /* fixed rm field, or -1 */
    uint16_t op;
    bool undefined;      /* expected to be #UD */
    bool privileged;     /* always faults in ring 3 */
    const char *why_not; /* it is not compared, or NULL */
    uint64_t key;
    char name[56];
};

/* Makes the catalogue; false when out of memory. */
bool oracle_forms_init(void);
size_t oracle_form_count(void);
const struct oracle_form *oracle_form_get(size_t index);

/* True when the decoded instruction is of that form. */
bool oracle_form_is(const struct oracle_form *form, const struct hk_insn *insn);
bool oracle_has_modrm(unsigned map, unsigned opcode);
bool oracle_is_privileged(unsigned op);

/* ---- values.c ---- */

struct oracle_rng {
    uint64_t state;
};

/* ---- segments.c ---- */

/* Entries of the local descriptor table. */
enum oracle_ldt {
    ORACLE_CODE16,       /* the code area */
    ORACLE_CODE16_SMALL, /* its first page, not readable */
    ORACLE_CODE32,
    ORACLE_CODE32_BASED, /* the code area */
    ORACLE_CODE32_NOREAD,
    ORACLE_CODE_ABSENT,
    ORACLE_CONFORMING_ABSENT,
    ORACLE_DATA16,     /* the data area */
    ORACLE_STACK16,    /* the stack area */
    ORACLE_DATA32,     /* three quarters of the data area */
    ORACLE_DATA_CONST, /* the data area */
    ORACLE_DOWN32,     /* expand-down, from the data area's middle up */
    ORACLE_DOWN16,
    ORACLE_DATA_ABSENT,
    ORACLE_STACK32, /* the stack area */
    ORACLE_FLAT32,
    ORACLE_HOLE, /* nothing */
    ORACLE_FLAT_CONST,
    ORACLE_DOWN_PAGES, /* expand-down, limit in pages, base 0 */
    ORACLE_LDT_COUNT
};

enum {
    ORACLE_GDT_COUNT = 16,
    ORACLE_GDT_CS32 = 0x23,
    ORACLE_GDT_DS = 0x2b,
    ORACLE_GDT_CS64 = 0x33,
};

#define ORACLE_SELECTOR(entry) ((uint16_t)((entry) << 3 | 7))

/* Looks at the host's GDT; before anything else of this file. */
void oracle_segments_init(void);
/* Gives this process the table above; 0 or a negative error. */
int oracle_segments_install(void);
const uint64_t *oracle_gdt(void);
void oracle_ldt(uint64_t table[ORACLE_LDT_COUNT]);
/* What a load of the selector gives; a null one gives an unusable segment. */
struct hk_segment oracle_segment(uint16_t selector);

bool oracle_is_null(uint16_t selector);
/* Any selector, good or bad for a load. */
uint16_t oracle_pick_selector(struct oracle_rng *rng);
/* One for a far transfer; mostly code. */
uint16_t oracle_pick_code_selector(struct oracle_rng *rng);
/* Flat ones, but for 16-bit code. */
void oracle_plain_segments(struct oracle_case *c);
/* All six registers, valid for c->code_size and c->code_address. */
void oracle_random_segments(struct oracle_rng *rng, struct oracle_case *c);
/* Sets fs_base and gs_base as the selectors say. */
void oracle_follow_selectors(struct oracle_state *s);

/* Linear address of an offset in a segment register. */
uint64_t oracle_linear(const struct oracle_case *c, unsigned seg,
                       uint64_t offset);
uint64_t oracle_base(const struct oracle_case *c, unsigned seg);
/* The stack pointer has more than 16 bits. */
bool oracle_has_big_stack(const struct oracle_case *c);
uint64_t oracle_stack_address(const struct oracle_case *c);

void oracle_rng_init(struct oracle_rng *rng, uint64_t seed, uint64_t number);
uint64_t oracle_random(struct oracle_rng *rng);
uint32_t oracle_below(struct oracle_rng *rng, uint32_t bound);
bool oracle_percent(struct oracle_rng *rng, uint32_t percent);
/* An integer, often a boundary of some width. */
uint64_t oracle_integer(struct oracle_rng *rng);
/* `size` bytes that look like numbers of one kind. */
void oracle_number_bytes(struct oracle_rng *rng, uint8_t *to, uint32_t size);
void oracle_random_fxsave(struct oracle_rng *rng, uint8_t image[512],
                          bool unmasked);

/* ---- insn.c ---- */

/* How the generator asks for a memory operand. */
struct oracle_place {
    uint64_t target;       /* wanted linear address */
    uint32_t code_address; /* linear, of this instruction */
    uint16_t pointers;     /* bit set of registers for base; 0: any */
};

/*
 * Writes an instruction of `form` and decodes it. Registers of c->in that
 * its memory operand uses are changed so that it lies at place->target, unless
 * place->pointers is not 0, when they are taken as they are. Returns the
 * length, 0 when nothing fitting was found.
 */
unsigned oracle_insn_make(struct oracle_rng *rng,
                          const struct oracle_form *form,
                          const struct oracle_place *place,
                          struct oracle_case *c, uint8_t *bytes,
                          struct hk_insn *insn);

/* Linear address of the memory operand of an instruction at linear `at`. */
uint64_t oracle_insn_address(const struct oracle_case *c,
                             const struct hk_insn *insn, uint64_t at);

/* ---- setup.c ---- */

/* Where a memory operand of `size` bytes shall lie: mostly in the data area,
 * aligned or not, sometimes across its middle or over its end. */
uint64_t oracle_pick_target(struct oracle_rng *rng, uint32_t size, bool locked,
                            bool is16);
/* An address in the code area outside [from, to). */
uint64_t oracle_pick_code(struct oracle_rng *rng, uint64_t from, uint64_t to);
struct oracle_patch *oracle_add_patch(struct oracle_case *c, uint64_t address,
                                      uint32_t size);
/* Implicit operands of c->insn, and numbers in memory. */
void oracle_setup_operands(struct oracle_rng *rng, struct oracle_case *c);

/* ---- setup_system.c ---- */

void oracle_setup_system(struct oracle_rng *rng, struct oracle_case *c);
/* What hosts with UMIP leave to their kernel. */
bool oracle_is_umip(unsigned op);
/* SYSCALL, SYSENTER, INT n. */
bool oracle_enters_kernel(unsigned op);

/* ---- gen.c ---- */

void oracle_random_state(struct oracle_rng *rng, struct oracle_case *c,
                         bool unmasked);

void oracle_case_single(struct oracle_case *c, const struct oracle_form *form,
                        uint64_t seed, uint64_t number);

/* ---- sequence.c ---- */

void oracle_case_sequence(struct oracle_case *c, uint64_t seed,
                          uint64_t number);

/* ---- native.c ---- */

/* 0, or a negative error with the reason in `why` (static storage). */
int oracle_native_open(const char **why);
void oracle_native_close(void);
const struct oracle_memory *oracle_native_memory(void);
void oracle_native_run(const struct oracle_case *c, struct oracle_result *r);

/* ---- vdso.c ---- */

bool oracle_vdso_can_exchange(void);
/* Before oracle_open; for a process of which nothing else is wanted. */
bool oracle_vdso_exchange(void);
/* Its code, which random pointers may find; the size, 0 if not exchanged. */
size_t oracle_vdso_code(const uint8_t **at);

/* ---- guest.c ---- */

/* `has_low`: as in the host's memory. */
int oracle_guest_open(bool has_low, const char **why);
void oracle_guest_close(void);
const struct oracle_memory *oracle_guest_memory(void);
/* Memory of the guest was written by the fuzzer. */
void oracle_guest_code_changed(const struct oracle_case *c);
void oracle_guest_run(const struct oracle_case *c, struct oracle_result *r);

/* ---- compare.c ---- */

/* Blanks what is not compared, in both. */
void oracle_normalise(const struct oracle_case *c, struct oracle_result *native,
                      struct oracle_result *guest);
bool oracle_results_equal(const struct oracle_result *a,
                          const struct oracle_result *b);
/* Also blanks what is not compared in memory. `faulted`: by the result of the
 * host, the segment did not take the access. */
bool oracle_memory_equal(const struct oracle_case *c, bool faulted,
                         const struct oracle_memory *a,
                         const struct oracle_memory *b);

/* ---- report.c ---- */

struct oracle_mismatch {
    const struct oracle_case *c;
    const struct oracle_result *native, *guest;
    const struct oracle_memory *native_memory, *guest_memory;
    uint64_t seed;
    const char *what; /* "cold", "warm" */
};

void oracle_report(const struct oracle_mismatch *m);

/* ---- fuzz.c ---- */

/* The address checker's own memory lies where random pointers point, so the
 * host cannot be asked in a program built with it. */
#if defined(__SANITIZE_ADDRESS__)
#define ORACLE_HAS_HOST 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ORACLE_HAS_HOST 0
#endif
#endif
#ifndef ORACLE_HAS_HOST
#define ORACLE_HAS_HOST 1
#endif

struct oracle_options {
    uint64_t seed, first, count, stride;
    uint32_t report_limit; /* mismatches shown */
    bool no_sequences, no_singles;
    bool self;          /* native against native */
    bool guest_only;    /* ours alone: does it survive? */
    bool plant;         /* change a result now and then: must be found */
    const char *filter; /* part of a form's name, or NULL */
};

struct oracle_totals {
    uint64_t cases, sequences, mismatches, timeouts, unmade;
    uint32_t *per_form; /* oracle_form_count() counters */
    uint32_t *per_form_bad;
};

/* Both sides and the catalogue; 0, or a negative error and why. */
int oracle_open(const char **why);
void oracle_close(void);

/* Runs cases first, first + stride, ... below first + count. */
void oracle_fuzz(const struct oracle_options *options,
                 struct oracle_totals *totals);

#endif
