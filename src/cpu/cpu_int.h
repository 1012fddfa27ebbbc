/*
 * Private state of the software CPU, shared by the files of this folder.
 *
 * How the pieces fit
 * ------------------
 * run.c      the loop: pokes, events, find a block, run it
 * block.c    decoded blocks: build, look up, link, drop when code changes
 * tlb.c      memory: soft TLB fill, page crossing, MMIO, code pages
 * mmu.c      the guest's page tables
 * event.c    delivery of exceptions and interrupts
 * <family>.c one file per instruction family: emitters and handlers
 *
 * A block is a run of micro-operations (uops, uop_int.h). Each has a handler
 * that does the work and tail-calls the next one. Inside a block c->rip is
 * stale: the address of the block is r[HK_SLOT_RIP] and every uop knows its
 * offset, so that faults are precise and straight code pays nothing.
 */
#ifndef HK_CPU_CPU_INT_H
#define HK_CPU_CPU_INT_H

#include "base/compiler.h"
#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "cpu/fpu_int.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Slots of r[]: the GPRs and what addresses are made of. */
enum hk_slot {
    HK_SLOT_RSP = 4,
    HK_SLOT_ZERO = 16, /* always 0: "no base", "no index" */
    HK_SLOT_RIP = 17,  /* address (with CS base: offset) of this block */
    HK_SLOT_EA = 18,   /* made by an address uop */
    HK_SLOT_SEG = 19,  /* 19..24: effective segment bases, enum hk_seg_index */
    HK_SLOT_TMP = 25,
    HK_SLOT_TMP2 = 26,
    HK_SLOT_COUNT = 28,
};

/* Arithmetic flags as `lahf; seto %al` gives them in AX: one 16-bit value. */
enum {
    HK_FL_OF = 0x0001,
    HK_FL_CF = 0x0100,
    HK_FL_PF = 0x0400,
    HK_FL_AF = 0x1000,
    HK_FL_ZF = 0x4000,
    HK_FL_SF = 0x8000,
    HK_FL_ALL = 0xd501,
    HK_FL_FIXED = 0x0200, /* lahf's bit 1 */
};

/* RFLAGS bits in their architectural places. */
enum {
    HK_RF_CF = 1 << 0,
    HK_RF_PF = 1 << 2,
    HK_RF_AF = 1 << 4,
    HK_RF_ZF = 1 << 6,
    HK_RF_SF = 1 << 7,
    HK_RF_TF = 1 << 8,
    HK_RF_IF = 1 << 9,
    HK_RF_DF = 1 << 10,
    HK_RF_OF = 1 << 11,
    HK_RF_IOPL = 3 << 12,
    HK_RF_NT = 1 << 14,
    HK_RF_RF = 1 << 16,
    HK_RF_VM = 1 << 17,
    HK_RF_AC = 1 << 18,
    HK_RF_VIF = 1 << 19,
    HK_RF_VIP = 1 << 20,
    HK_RF_ID = 1 << 21,
    HK_RF_ARITH = 0x8d5,
};

#define HK_CR0_PE (1ull << 0)
#define HK_CR0_MP (1ull << 1)
#define HK_CR0_EM (1ull << 2)
#define HK_CR0_TS (1ull << 3)
#define HK_CR0_ET (1ull << 4)
#define HK_CR0_NE (1ull << 5)
#define HK_CR0_WP (1ull << 16)
#define HK_CR0_AM (1ull << 18)
#define HK_CR0_NW (1ull << 29)
#define HK_CR0_CD (1ull << 30)
#define HK_CR0_PG (1ull << 31)

#define HK_CR4_VME (1ull << 0)
#define HK_CR4_PVI (1ull << 1)
#define HK_CR4_TSD (1ull << 2)
#define HK_CR4_DE (1ull << 3)
#define HK_CR4_PSE (1ull << 4)
#define HK_CR4_PAE (1ull << 5)
#define HK_CR4_MCE (1ull << 6)
#define HK_CR4_PGE (1ull << 7)
#define HK_CR4_PCE (1ull << 8)
#define HK_CR4_OSFXSR (1ull << 9)
#define HK_CR4_OSXMMEXCPT (1ull << 10)
#define HK_CR4_UMIP (1ull << 11)
#define HK_CR4_FSGSBASE (1ull << 16)
#define HK_CR4_PCIDE (1ull << 17)
#define HK_CR4_OSXSAVE (1ull << 18)
#define HK_CR4_SMEP (1ull << 20)
#define HK_CR4_SMAP (1ull << 21)
#define HK_CR4_PKE (1ull << 22)
#define HK_CR4_PKS (1ull << 24)

#define HK_EFER_SCE (1ull << 0)
#define HK_EFER_LME (1ull << 8)
#define HK_EFER_LMA (1ull << 10)
#define HK_EFER_NXE (1ull << 11)

enum hk_vector {
    HK_VEC_DE = 0,
    HK_VEC_DB = 1,
    HK_VEC_NMI = 2,
    HK_VEC_BP = 3,
    HK_VEC_OF = 4,
    HK_VEC_BR = 5,
    HK_VEC_UD = 6,
    HK_VEC_NM = 7,
    HK_VEC_DF = 8,
    HK_VEC_TS = 10,
    HK_VEC_NP = 11,
    HK_VEC_SS = 12,
    HK_VEC_GP = 13,
    HK_VEC_PF = 14,
    HK_VEC_MF = 16,
    HK_VEC_AC = 17,
    HK_VEC_MC = 18,
    HK_VEC_XM = 19,
};

/* Attribute bits of a segment (struct hk_segment.attr). */
enum {
    HK_SEG_TYPE = 0xf,
    HK_SEG_S = 1 << 4,
    HK_SEG_DPL_SHIFT = 5,
    HK_SEG_P = 1 << 7,
    HK_SEG_L = 1 << 13,
    HK_SEG_DB = 1 << 14,
    HK_SEG_G = 1 << 15,
};

/* The mode a block was decoded for: everything its uops were chosen by. */
enum {
    HK_MODE_SIZE = 3,    /* enum hk_code_size */
    HK_MODE_STACK32 = 4, /* SS.B, outside 64-bit mode */
    HK_MODE_FP_NM = 8,   /* CR0.TS: fp and SSE raise #NM */
    HK_MODE_FP_EM = 16,  /* CR0.EM: x87 raises #NM, SSE #UD */
    HK_MODE_SSE_UD = 32, /* CR4.OSFXSR is clear */
    HK_MODE_USER = 64,   /* CPL is 3 */
    HK_MODE_PROT = 128,  /* CR0.PE */
    HK_MODE_V86 = 256,
    HK_MODE_STEP = 512,   /* one instruction per block (TF, shadow, debug) */
    HK_MODE_CSLIM = 1024, /* outside 64-bit mode: CS limit below 4 GiB - 1 */
};

/* Kinds of access, for translation and faults. */
enum hk_access {
    HK_ACC_READ = 0,
    HK_ACC_WRITE = 1,
    HK_ACC_FETCH = 2,
    HK_ACC_KIND = 3,
    HK_ACC_SYSTEM = 4, /* implicit supervisor: GDT, IDT, TSS, page tables */
};

struct hk_exc {
    bool pending;
    bool has_err;
    bool noncanonical; /* becomes #SS when the segment was SS */
    uint8_t vector;
    uint32_t err;
};

/* One soft-TLB entry: hit when (address ^ tag) <= 4096 - size. */
struct hk_tlb_entry {
    uint64_t tag;     /* page address, or HK_TLB_EMPTY */
    uintptr_t addend; /* host = address + addend */
};

/*
 * The tag of an empty entry: a page that is looked up in the slot beside it,
 * so no address matches here, canonical or not.
 */
#define HK_TLB_EMPTY(slot) (1ull << 62 | ((uint64_t)(slot) ^ 1) << 12)

enum {
    HK_TLB_SIZE = 1024,
    HK_ITLB_SIZE = 512,
    HK_JUMP_SIZE = 4096,
    HK_TLB_LOG = 512
};

/* Views: who is asking. User, kernel with SMAP in force, kernel without. */
enum { HK_VIEW_USER, HK_VIEW_KERNEL, HK_VIEW_KERNEL_AC, HK_VIEW_COUNT };

struct hk_tlb_view {
    struct hk_tlb_entry rd[HK_TLB_SIZE];
    struct hk_tlb_entry wr[HK_TLB_SIZE];
};

struct hk_itlb_entry {
    uint64_t tag;  /* page address | HK_MODE_USER, or HK_TLB_EMPTY */
    uint64_t phys; /* guest-physical page address */
    uint8_t *host;
    bool global;
};

struct hk_uop;
struct hk_block;

struct hk_jump_entry {
    uint64_t rip;
    struct hk_block *block; /* NULL: empty */
};

/* One stretch of RAM and, for each page, what caches know of it: low 32 bits
 * the 128-byte granules that hold decoded code, HK_PAGE_WCACHED when some
 * write TLB may map the page. */
#define HK_PAGE_CODE 0xffffffffull
#define HK_PAGE_WCACHED (1ull << 32)

struct hk_ram {
    uint64_t gpa, size;
    uint8_t *host;
    bool writable;
    _Atomic uint64_t *pages;
};

enum { HK_CPU_MAX_RAM = 32, HK_INVAL_MAX = 64 };

/* PAUSEs in one run that count as spinning: some ten microseconds. */
enum { HK_PAUSES_MAX = 500 };

/* Pages whose code other vCPUs changed; guarded by `lock`. */
struct hk_inval {
    atomic_flag lock;
    uint32_t count; /* HK_INVAL_MAX + 1: drop everything */
    uint64_t page[HK_INVAL_MAX];
};

struct hk_cpu_machine {
    struct hk_cpu_config config;
    struct hk_cpu_host host;
    uint32_t ram_count;
    struct hk_ram ram[HK_CPU_MAX_RAM];
    uint32_t cpu_count;
    struct hk_cpu *cpus[HK_CPU_MAX_VCPUS];
    /* Held while the code bits of a page are cleared and every vCPU is told,
     * so that who sees the bits clear can wait until all have been told. */
    atomic_flag code_lock;
};

struct hk_msrs {
    uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, tsc_adjust, misc_enable, spec_ctrl;
    uint64_t kvm_system_time, kvm_wall_clock;
    uint64_t pkrs;
};

struct hk_code_cache; /* block.c */

struct hk_cpu {
    /* Hot: one or two cache lines. */
    uint64_t r[HK_SLOT_COUNT];
    struct hk_tlb_view *view;
    int64_t budget;
    atomic_uint poke;
    uint32_t mode;     /* HK_MODE_* */
    uint16_t fl;       /* HK_FL_* | HK_FL_FIXED */
    uint32_t sysflags; /* RFLAGS less the arithmetic flags */

    uint64_t rip;        /* offset in CS; valid outside blocks only */
    struct hk_uop *link; /* exit that wants to be linked, or NULL */
    struct hk_exc exc;
    uint8_t cpl;
    uint8_t shadow; /* STI or MOV SS: no interrupt before the next one */
    bool halted;
    bool shutdown;
    bool in_delivery;       /* of an event; see event.c */
    bool irq_check;         /* an interrupt may be deliverable: ask the host */
    uint8_t nmi_pending;    /* 0 to 2 */
    atomic_uint nmi_posted; /* by other threads, with HK_CPU_POKE_NMI */
    bool nmi_blocked;       /* until the next IRET */
    bool step_tf; /* TF at the start of the instruction being stepped */
    uint64_t insns;
    uint32_t pauses; /* since hk_cpu_run was entered */

    /* Architectural state. */
    struct hk_segment seg[HK_SEG_COUNT]; /* architectural bases */
    struct hk_segment ldtr, tr;
    struct hk_table_reg gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, xcr0;
    uint64_t dr[8];
    struct hk_msrs msr;
    uint32_t pkru;    /* rights of user pages by their key */
    uint8_t dbg_hits; /* data breakpoints that this instruction has hit */
    bool dbg_detect;  /* the pending #DB is DR7.GD's */
    bool dbg_keep_rf; /* RF was loaded by this very instruction */
    uint64_t large_2m[64], large_1g; /* areas with large pages, see mmu.c */
    struct hk_fpu fpu;
    uint64_t phys_mask; /* valid physical address bits */

    /* Linear and physical views. */
    struct hk_cpu_machine *machine;
    void *opaque; /* for the host callbacks */
    uint32_t index;
    struct hk_code_cache *code;
    struct hk_inval inval;
    /* Slots filled with non-global pages since the last flush: view << 11 |
     * write << 10 | slot. More than fit: everything is flushed. */
    uint32_t tlb_logged;
    uint16_t tlb_log[HK_TLB_LOG];
    struct hk_itlb_entry itlb[HK_ITLB_SIZE];
    struct hk_jump_entry jump[HK_JUMP_SIZE];
    struct hk_tlb_view views[HK_VIEW_COUNT];
};

/* ---- flags ------------------------------------------------------------ */

HK_INLINE uint32_t hk_fl_to_rf(uint16_t fl)
{
    return ((uint32_t)(fl >> 8) & 0xd5) | ((uint32_t)(fl & 1) << 11);
}

HK_INLINE uint16_t hk_fl_from_rf(uint64_t rf)
{
    return (uint16_t)(((rf & 0xd5) << 8) | ((rf >> 11) & 1) | HK_FL_FIXED);
}

/* The whole RFLAGS register. */
HK_INLINE uint64_t hk_get_rflags(const struct hk_cpu *c)
{
    return (uint64_t)(c->sysflags | hk_fl_to_rf(c->fl) | 2);
}

/* Sets all bits as given (bit 1 forced), and follows TF, AC, VM changes by
 * hk_update_mode. */
void hk_set_rflags(struct hk_cpu *c, uint64_t rflags);

/* ---- faults ----------------------------------------------------------- */

/* Makes an exception pending; both return false. The first one wins. */
HK_COLD bool hk_fault(struct hk_cpu *c, unsigned vector);
HK_COLD bool hk_fault_err(struct hk_cpu *c, unsigned vector, uint32_t err);
/* #PF: sets CR2 as well. */
HK_COLD bool hk_fault_page(struct hk_cpu *c, uint64_t la, uint32_t err);

/* ---- run.c ------------------------------------------------------------ */

/* After any change of CR0, CR4, EFER, CS, SS, CPL, AC, VM, TF, debug
 * registers: recomputes c->mode, c->view and the effective segment bases. */
void hk_update_mode(struct hk_cpu *c);

/* ---- tlb.c ------------------------------------------------------------ */

void hk_tlb_flush_all(struct hk_cpu *c);
void hk_tlb_flush_nonglobal(struct hk_cpu *c);
void hk_tlb_flush_page(struct hk_cpu *c, uint64_t la);

/*
 * Linear memory of `size` bytes (1 to 8), little endian, any alignment and
 * page crossing, MMIO included. False: an exception is pending and nothing
 * was written. `acc` is HK_ACC_READ or HK_ACC_WRITE, | HK_ACC_SYSTEM. A read
 * with HK_ACC_WRITE checks write permission (read-modify-write).
 */
bool hk_mem_read(struct hk_cpu *c, uint64_t la, uint32_t size, unsigned acc,
                 uint64_t *value) HK_MUST_CHECK;
bool hk_mem_write(struct hk_cpu *c, uint64_t la, uint32_t size, unsigned acc,
                  uint64_t value) HK_MUST_CHECK;

/* Any number of bytes; writes check every page before the first byte. */
bool hk_mem_read_bytes(struct hk_cpu *c, uint64_t la, void *to, uint32_t len,
                       unsigned acc) HK_MUST_CHECK;
bool hk_mem_write_bytes(struct hk_cpu *c, uint64_t la, const void *from,
                        uint32_t len, unsigned acc) HK_MUST_CHECK;
/* Only the check: true when all of [la, la+len) may be accessed so. */
bool hk_mem_probe(struct hk_cpu *c, uint64_t la, uint32_t len,
                  unsigned acc) HK_MUST_CHECK;

/* RAM behind a guest-physical address, or NULL (MMIO). `*left` gets the
 * bytes to the end of the region. */
uint8_t *hk_phys_ptr(struct hk_cpu_machine *m, uint64_t gpa, uint64_t *left);
/* The same with the page's cache word. */
struct hk_ram *hk_phys_ram(struct hk_cpu_machine *m, uint64_t gpa);

/* Physical accesses for page walks and kvmclock; false: not RAM. The write
 * takes care of decoded code. */
bool hk_phys_read64(struct hk_cpu_machine *m, uint64_t gpa, uint64_t *value);
bool hk_phys_write(struct hk_cpu *c, uint64_t gpa, const void *from,
                   uint32_t len);

/* ---- mmu.c ------------------------------------------------------------ */

struct hk_xlat {
    uint64_t gpa;  /* of `la` itself, not of its page */
    bool writable; /* later writes of the same kind need no walk: allowed
                      and the dirty bit is set */
    bool global;
    bool user; /* U/S of the whole walk */
};

/*
 * Walks the guest's page tables for one access: `acc` is an HK_ACC_ kind,
 * perhaps | HK_ACC_SYSTEM; otherwise c->cpl and EFLAGS.AC decide. Sets
 * accessed and dirty bits. False: #PF is pending. `la` is canonical. With
 * paging off the address is the physical one.
 */
bool hk_mmu_walk(struct hk_cpu *c, uint64_t la, unsigned acc,
                 struct hk_xlat *out) HK_MUST_CHECK;

/* The four PDPTEs of PAE paging outside long mode are read from memory at
 * each walk. */

/* ---- event.c ---------------------------------------------------------- */

enum hk_event_kind {
    HK_EVENT_EXTERNAL, /* interrupt from the APIC */
    HK_EVENT_NMI,
    HK_EVENT_FAULT,     /* c->exc, with its error code */
    HK_EVENT_SOFT,      /* INT n, INT3, INTO: checks DPL */
    HK_EVENT_SOFT_PRIV, /* INT1: no DPL check */
};

/*
 * Delivers an event through the IDT (or IVT), with everything that can go
 * wrong on the way: contributory faults, double fault, and shutdown, which
 * sets c->shutdown. c->rip is the address to push. For HK_EVENT_FAULT the
 * vector and error come from c->exc, which is cleared.
 */
void hk_event_deliver(struct hk_cpu *c, enum hk_event_kind kind,
                      unsigned vector);

/* ---- seg.c ------------------------------------------------------------ */

/*
 * Offset to linear address with all segment checks (null, limit, type,
 * canonical). `size` bytes from `off`. False: #GP or #SS is pending.
 */
bool hk_seg_linear(struct hk_cpu *c, unsigned seg, uint64_t off, uint32_t size,
                   unsigned acc, uint64_t *la) HK_MUST_CHECK;

/* Effective offset of the memory operand (address size applied). c->rip is
 * the address of the next instruction. */
uint64_t hk_insn_offset(const struct hk_cpu *c, const struct hk_insn *i);
/* hk_insn_offset + hk_seg_linear. */
bool hk_insn_linear(struct hk_cpu *c, const struct hk_insn *i, uint32_t size,
                    unsigned acc, uint64_t *la) HK_MUST_CHECK;

/* Stack of the current mode for slow instructions: `size` 2, 4 or 8. */
bool hk_push(struct hk_cpu *c, uint32_t size, uint64_t value) HK_MUST_CHECK;
bool hk_pop(struct hk_cpu *c, uint32_t size, uint64_t *value) HK_MUST_CHECK;

/* ---- slow instructions ------------------------------------------------ */

/*
 * Executes one decoded instruction. c->rip is the address of the next one.
 * False: an exception is pending; c->rip will be put back.
 */
typedef bool (*hk_slow_fn)(struct hk_cpu *c, const struct hk_insn *i);

/* The function for an operation of the emitters `sys` and `sys_end`. */
hk_slow_fn hk_slow_find(enum hk_op op);

/* Register operand access for slow functions (GPR, GPR8H). */
uint64_t hk_reg_get(const struct hk_cpu *c, const struct hk_operand *o);
/* Writes as hardware does: 32-bit writes clear the upper half. */
void hk_reg_set(struct hk_cpu *c, const struct hk_operand *o, uint64_t value);
/* Register, memory or immediate operand; false: a fault is pending. */
bool hk_opnd_get(struct hk_cpu *c, const struct hk_insn *i,
                 const struct hk_operand *o, uint64_t *value) HK_MUST_CHECK;
bool hk_opnd_set(struct hk_cpu *c, const struct hk_insn *i,
                 const struct hk_operand *o, uint64_t value) HK_MUST_CHECK;

/* ---- block.c ---------------------------------------------------------- */

/* Drops decoded code on the page of `gpa` (whole page). Own thread. */
void hk_code_drop_page(struct hk_cpu *c, uint64_t gpa);
void hk_code_drop_all(struct hk_cpu *c);

HK_INLINE bool hk_is_long(const struct hk_cpu *c)
{
    return (c->msr.efer & HK_EFER_LMA) != 0;
}

HK_INLINE bool hk_is_code64(const struct hk_cpu *c)
{
    return (c->mode & HK_MODE_SIZE) == HK_CODE64;
}

HK_INLINE bool hk_is_canonical(uint64_t la)
{
    return (uint64_t)((int64_t)(la << 16) >> 16) == la;
}

#endif
