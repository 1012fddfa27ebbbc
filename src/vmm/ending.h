/*
 * How a VM ended, and how to tell a restart from a crash.
 *
 * A guest kernel that panics with panic=-1 asks for the same reset as one
 * that was told to reboot: the same register, the same value. What differs is
 * what Linux does before, and that is what hk_ending_judge looks at.
 *
 *   orderly (reboot -f, kernel_restart)      emergency (panic, SysRq-b)
 *   ------------------------------------     ---------------------------
 *   prints "reboot: Restarting system"       a panic prints "Kernel panic -
 *                                            not syncing: ..."
 *   masks and clears every I/O APIC pin      leaves the pins as they are
 *   stops the other CPUs, which switches     stops the other CPUs (a panic)
 *     its own local APIC off                   or not (SysRq-b)
 *   shuts its local APIC down: off a second
 *     time; with legacy interrupts then on
 *     again with spurious vector 0x0f
 *   asks for the reset                       asks for the reset
 *
 * The state of the interrupt controllers is the better witness: no program in
 * the guest can print it. The log decides where that state says nothing: a
 * panic before any device had an interrupt, or a back end whose local APICs
 * we do not see. In the log the later of the two lines counts.
 *
 * Any thread; no state but the structs'.
 */
#ifndef HK_VMM_ENDING_H
#define HK_VMM_ENDING_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ------------------------------------------------------------------ */
/* The last words on the serial console                               */

enum hk_words { HK_WORDS_NONE, HK_WORDS_RESTART, HK_WORDS_PANIC };

/* Zeroed to begin with. Looks at a byte stream in any cuts. */
struct hk_words_scan {
    uint8_t at_panic;   /* bytes matched so far of the panic line */
    uint8_t at_restart; /* and of the restart line */
    enum hk_words last;
};

void hk_words_feed(struct hk_words_scan *scan, const uint8_t *bytes,
                   size_t len);

/* ------------------------------------------------------------------ */
/* What a vCPU did to the switch of its local APIC                    */

/* Zeroed to begin with; the vCPU's own thread. */
struct hk_svr_watch {
    uint32_t off_count; /* times switched off since it was last on */
    bool virtual_wire;  /* on, with Linux's vector for virtual wire mode */
};

/* The guest writes the spurious-interrupt vector register. */
void hk_svr_note(struct hk_svr_watch *watch, uint32_t value);

/* ------------------------------------------------------------------ */
/* The judgement                                                      */

enum hk_pins { HK_PINS_UNKNOWN, HK_PINS_CLEAR, HK_PINS_IN_USE };

struct hk_leaving {
    bool apic_known;         /* `svr` was really watched */
    struct hk_svr_watch svr; /* of the vCPU that asked for the reset */
    enum hk_pins pins;       /* I/O APIC: all entries masked and empty? */
    enum hk_words words;
};

/* True when the guest shut down in order before it asked for the reset. */
bool hk_ending_is_orderly(const struct hk_leaving *leaving);

/*
 * True when a triple fault was the guest's way to restart (reboot=t): only
 * hard evidence counts, a log line does not.
 */
bool hk_ending_is_meant(const struct hk_leaving *leaving);

#endif
