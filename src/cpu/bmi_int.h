/*
 * The bit manipulation instructions in plain C, for hosts without them: the
 * guest is told of BMI and LZCNT everywhere.
 */
#ifndef HK_CPU_BMI_INT_H
#define HK_CPU_BMI_INT_H

#include "cpu/decode.h"

/* Operations that hk_bmi_compute knows: TZCNT, LZCNT and those of the BMI
 * emitter less MULX and RORX. */
bool hk_bmi_can_compute(enum hk_op op);

/*
 * The result of `op` for operands of `bits` (16, 32 or 64) in Intel order,
 * destination left out; unused ones are ignored. `*fl` (HK_FL_*) becomes the
 * flags, or stays for an operation that writes none.
 */
uint64_t hk_bmi_compute(enum hk_op op, unsigned bits, uint64_t a, uint64_t b,
                        uint16_t *fl);

#endif
