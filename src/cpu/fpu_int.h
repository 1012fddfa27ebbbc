/*
 * x87, MMX and SSE state of one vCPU.
 *
 * `st` holds the eight physical x87 registers (80 bits each, MMX aliases the
 * low 64), `tag` one bit for each physical register: 1 means not empty.
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
    uint16_t cw;
    uint16_t sw; /* without TOP */
    uint8_t top;
    uint8_t tag;
    uint16_t fop;
    uint16_t fcs, fds;
    uint64_t fip, fdp;
    uint32_t mxcsr;
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

#endif
