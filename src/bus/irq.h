/*
 * An interrupt line as a device sees it. The device does not know which
 * controller is behind it; a zeroed line is legal and does nothing.
 * `set` must be callable from any thread.
 */
#ifndef HK_BUS_IRQ_H
#define HK_BUS_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hk_irq {
    void (*set)(void *controller, uint32_t pin, bool level);
    void *controller;
    uint32_t pin;
};

static inline void hk_irq_set(const struct hk_irq *irq, bool level)
{
    if (irq->set != NULL)
        irq->set(irq->controller, irq->pin, level);
}

static inline void hk_irq_pulse(const struct hk_irq *irq)
{
    hk_irq_set(irq, true);
    hk_irq_set(irq, false);
}

#endif
