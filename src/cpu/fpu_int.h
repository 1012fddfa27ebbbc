/*
 * x87, MMX and SSE state of one vCPU.
 *
 * `st` holds the eight physical x87 registers (80 bits each, MMX aliases the
 * low 64), `tag` one bit for each physical register: 1 means not empty.
 *
 * While the vCPU is entered (hk_fp_enter) the host's MXCSR holds the guest's
 * rounding and the sticky flags that are newer than `mxcsr`; every exception
 * is masked there. The masks in `mxcsr` are always exact. The host's x87
 * control word holds the guest's precision and rounding, all masked, and its
 * stack is empty; `sw` is always exact and its ES and B follow its flags and
 * the masks of `cw`.
 */
#ifndef HK_CPU_FPU_INT_H
#define HK_CPU_FPU_INT_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_cpu;

struct hk_fpu {
    HK_ALIGNED(16) uint8_t xmm[16][16];
    HK_ALIGNED(16) uint8_t st[8][16];
    /* For handlers, which must not have locals whose address escapes: the
     * compiler could then not make the call of the next one a jump. */
    HK_ALIGNED(16) uint8_t scratch[16];
    uint16_t cw;
    uint16_t sw; /* without TOP */
    uint8_t top;
    uint8_t tag;
    uint16_t fop;
    uint16_t fcs, fds;
    uint64_t fip, fdp;
    uint32_t mxcsr;
    bool entered;
    uint32_t host_mxcsr; /* while entered: the host's own */
    uint16_t host_cw;
};

/* Bits of the x87 status and control words. */
enum {
    HK_X87_IE = 0x01,
    HK_X87_DE = 0x02,
    HK_X87_ZE = 0x04,
    HK_X87_OE = 0x08,
    HK_X87_UE = 0x10,
    HK_X87_PE = 0x20,
    HK_X87_EXC = 0x3f, /* flags in SW, masks in CW */
    HK_X87_SF = 0x40,
    HK_X87_ES = 0x80,
    HK_X87_C0 = 0x100,
    HK_X87_C1 = 0x200,
    HK_X87_C2 = 0x400,
    HK_X87_C3 = 0x4000,
    HK_X87_B = 0x8000,
    HK_X87_TOP_SHIFT = 11,
    HK_X87_CW_RESET = 0x37f,
};

enum {
    HK_MXCSR_EXC = 0x3f,
    HK_MXCSR_MASKS = 0x1f80,
    HK_MXCSR_UM = 0x800,
    HK_MXCSR_FTZ = 0x8000,
    HK_MXCSR_VALID = 0xffff,
    HK_MXCSR_RESET = 0x1f80,
};

/* Power-on (init false) or INIT state. */
void hk_fp_reset(struct hk_cpu *c, bool init);

/*
 * Around every stretch in which fp instructions may run: enter puts the
 * guest's rounding and masks into the host's control registers, leave takes
 * the sticky flags back and restores the host's. Called by hk_cpu_run and
 * around every callback out of the library.
 */
void hk_fp_enter(struct hk_cpu *c);
void hk_fp_leave(struct hk_cpu *c);

/* The 512-byte FXSAVE64 image, all 16 XMM registers. */
void hk_fp_get_fxsave(struct hk_cpu *c, uint8_t image[512]);
/* False when MXCSR has reserved bits set (nothing is changed). */
bool hk_fp_set_fxsave(struct hk_cpu *c, const uint8_t image[512]) HK_MUST_CHECK;

/* After a change of `cw`, or of the flags in `sw` other than new ones by an
 * instruction: sets ES and B and the host's control word. */
void hk_x87_update(struct hk_cpu *c);
/* What FNINIT does. */
void hk_x87_init(struct hk_cpu *c);
/* The status word with TOP, and the 16-bit tag word. */
uint16_t hk_x87_status(const struct hk_cpu *c);
uint16_t hk_x87_full_tag(const struct hk_cpu *c);
void hk_x87_set_status(struct hk_cpu *c, uint16_t sw);
void hk_x87_set_full_tag(struct hk_cpu *c, uint16_t tw);

/* MXCSR with all sticky flags, and its replacement (valid bits only). */
uint32_t hk_mxcsr_get(struct hk_cpu *c);
void hk_mxcsr_set(struct hk_cpu *c, uint32_t value);

/* Slow instructions (hk_slow_fn) of fpstate.c. */
struct hk_insn;
bool hk_slow_fxsave(struct hk_cpu *c, const struct hk_insn *i);
bool hk_slow_fxrstor(struct hk_cpu *c, const struct hk_insn *i);
bool hk_slow_xsave(struct hk_cpu *c, const struct hk_insn *i);
bool hk_slow_xsaveopt(struct hk_cpu *c, const struct hk_insn *i);
bool hk_slow_xrstor(struct hk_cpu *c, const struct hk_insn *i);
bool hk_slow_ldmxcsr(struct hk_cpu *c, const struct hk_insn *i);
bool hk_slow_stmxcsr(struct hk_cpu *c, const struct hk_insn *i);

#endif
