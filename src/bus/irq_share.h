/*
 * One interrupt pin for several devices: high while any of them is. A device
 * that rises while another already holds the pin makes a new edge, so that a
 * guest that has the pin as an edge hears of it too.
 *
 * Threads: any; the lock is held across the pin's own `set`.
 */
#ifndef HK_BUS_IRQ_SHARE_H
#define HK_BUS_IRQ_SHARE_H

#include "base/lock.h"
#include "bus/irq.h"

/* Both are the caller's memory, zeroed first, and stay as long as the lines
 * made of them. */
struct hk_irq_share {
    struct hk_lock lock; /* guards `high` here and in the members */
    struct hk_irq pin;
    uint32_t high; /* members that are */
};

struct hk_irq_member {
    struct hk_irq_share *share;
    bool high;
};

static inline void hk_irq_share_set(void *member, uint32_t pin, bool level)
{
    struct hk_irq_member *m = (struct hk_irq_member *)member;
    struct hk_irq_share *share = m->share;
    (void)pin;

    hk_lock(&share->lock);
    if (m->high != level) {
        m->high = level;
        share->high = level ? share->high + 1 : share->high - 1;
        if (share->high == 0 || (level && share->high > 1))
            hk_irq_set(&share->pin, false);
        if (level)
            hk_irq_set(&share->pin, true);
    }
    hk_unlock(&share->lock);
}

/* A line of its own for one more device on the shared pin. */
static inline struct hk_irq hk_irq_share_join(struct hk_irq_share *share,
                                              struct hk_irq_member *member)
{
    member->share = share;
    return (struct hk_irq){
        .set = hk_irq_share_set,
        .controller = member,
        .pin = share->pin.pin,
    };
}

#endif
