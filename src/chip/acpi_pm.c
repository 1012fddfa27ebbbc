#include "chip/acpi_pm.h"

#include <stdlib.h>

enum {
    SLP_TYP_SHIFT = 2,
    SLP_TYP_MASK = 0x7,
    SLP_EN = 1 << 5,
};

struct hk_acpi_pm {
    const struct hk_acpi_pm_events *events;
    void *opaque;
    uint8_t control;
};

int hk_acpi_pm_create(const struct hk_acpi_pm_events *events, void *opaque,
                      struct hk_acpi_pm **out)
{
    struct hk_acpi_pm *pm = calloc(1, sizeof(*pm));
    if (pm == NULL)
        return -HK_ENOMEM;
    pm->events = events;
    pm->opaque = opaque;
    *out = pm;
    return 0;
}

void hk_acpi_pm_destroy(struct hk_acpi_pm *pm)
{
    free(pm);
}

static uint64_t pm_read(void *device, uint64_t offset, uint32_t size)
{
    const struct hk_acpi_pm *pm = device;

    if (offset == HK_ACPI_SLEEP_CONTROL_PORT - HK_ACPI_PM_PORT)
        return pm->control;
    return 0;
}

static void write_control(struct hk_acpi_pm *pm, uint8_t value)
{
    uint8_t type = (value >> SLP_TYP_SHIFT) & SLP_TYP_MASK;

    /* SLP_EN is a trigger and reads as zero. */
    pm->control = (uint8_t)(type << SLP_TYP_SHIFT);
    if ((value & SLP_EN) != 0 && type == HK_ACPI_S5_TYPE &&
        pm->events->power_off != NULL)
        pm->events->power_off(pm->opaque);
}

static void pm_write(void *device, uint64_t offset, uint32_t size,
                     uint64_t value)
{
    struct hk_acpi_pm *pm = device;

    switch (offset + HK_ACPI_PM_PORT) {
    case HK_ACPI_SLEEP_CONTROL_PORT:
        write_control(pm, (uint8_t)value);
        break;
    case HK_ACPI_RESET_PORT:
        if (value == HK_ACPI_RESET_VALUE && pm->events->reset != NULL)
            pm->events->reset(pm->opaque);
        break;
    default:
        break;
    }
}

const struct hk_bus_ops hk_acpi_pm_bus_ops = {
    .name = "acpi-pm",
    .read = pm_read,
    .write = pm_write,
};
