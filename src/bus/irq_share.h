/*
 * One interrupt pin for several devices: high while any of them is. A device
 * that rises while another already holds the pin makes a new edge, so that a
 * guest that has the pin as an edge hears of it too.
 *
 * Threads: any. There is no lock, because setting the pin may wake a vCPU that
 * sets it next: whoever changes the set of raised members sets the pin and
 * then looks whether the set still says so.
 */
#ifndef HK_BUS_IRQ_SHARE_H
#define HK_BUS_IRQ_SHARE_H

#include "bus/irq.h"

#include <stdatomic.h>

enum { HK_IRQ_SHARE_MAX = 32 };

/* Both are the caller's memory, zeroed first, and stay as long as the lines
 * made of them. */
struct hk_irq_share {
    struct hk_irq pin;
    uint32_t count;     /* members */
    atomic_uint raised; /* a bit for each member that is high */
};

struct hk_irq_member {
    struct hk_irq_share *share;
    uint32_t bit;
};

static inline void hk_irq_share_set(void *member, uint32_t pin, bool level)
{
    struct hk_irq_member *m = (struct hk_irq_member *)member;
    struct hk_irq_share *share = m->share;
    uint32_t before = level ? atomic_fetch_or(&share->raised, m->bit)
                            : atomic_fetch_and(&share->raised, ~m->bit);
    (void)pin;

    if (((before & m->bit) != 0) == level)
        return;
    bool now = level || before != m->bit;
    if (level && before != 0) /* a new edge */
        hk_irq_set(&share->pin, false);
    do {
        level = now;
        hk_irq_set(&share->pin, level);
        now = atomic_load(&share->raised) != 0;
    } while (now != level);
}

/* A line of its own for one more device on the shared pin; at most
 * HK_IRQ_SHARE_MAX. */
static inline struct hk_irq hk_irq_share_join(struct hk_irq_share *share,
                                              struct hk_irq_member *member)
{
    member->share = share;
    member->bit = 1u << (share->count++ % HK_IRQ_SHARE_MAX);
    return (struct hk_irq){
        .set = hk_irq_share_set,
        .controller = member,
        .pin = share->pin.pin,
    };
}

#endif
