#include "chip/i8042.h"

#include <stdlib.h>

enum {
    OFFSET_DATA = 0,
    OFFSET_PORT_B = 1,
    OFFSET_COMMAND = 4,

    STATUS_OUTPUT_FULL = 1 << 0,
    STATUS_SYSTEM = 1 << 2,
    STATUS_LAST_COMMAND = 1 << 3,
    STATUS_UNLOCKED = 1 << 4,
    STATUS_TIMEOUT = 1 << 6,

    CONTROL_KBD_IRQ = 1 << 0,
    CONTROL_SYSTEM = 1 << 2,
    CONTROL_KBD_OFF = 1 << 4,
    CONTROL_AUX_OFF = 1 << 5,

    COMMAND_READ_RAM = 0x20, /* to 0x3f; byte 0 is the control byte */
    COMMAND_WRITE_RAM = 0x60,
    COMMAND_AUX_OFF = 0xa7,
    COMMAND_AUX_ON = 0xa8,
    COMMAND_TEST_AUX = 0xa9,
    COMMAND_TEST_SELF = 0xaa,
    COMMAND_TEST_KBD = 0xab,
    COMMAND_KBD_OFF = 0xad,
    COMMAND_KBD_ON = 0xae,
    COMMAND_READ_INPUT = 0xc0,
    COMMAND_READ_OUTPUT = 0xd0,
    COMMAND_WRITE_OUTPUT = 0xd1,
    COMMAND_LOOP_KBD = 0xd2,
    COMMAND_LOOP_AUX = 0xd3,
    COMMAND_TO_AUX = 0xd4,
    COMMAND_PULSE = 0xf0, /* to 0xff: low bits clear are pulsed */

    OUTPUT_NOT_RESET = 1 << 0,
    OUTPUT_A20 = 1 << 1,

    TEST_PASSED = 0x55,
    TEST_CLOCK_STUCK = 0x01, /* the answer of a port that is not there */
    RESEND = 0xfe,           /* with STATUS_TIMEOUT: nobody answered */

    PORT_B_SPEAKER = 0x03,
    PORT_B_REFRESH = 1 << 4,
    PORT_B_TIMER = 1 << 5,

    RAM_SIZE = 32,
    QUEUE_SIZE = 16,
};

struct entry {
    uint8_t byte;
    bool timeout;
    bool irq; /* from the keyboard's side: raises its interrupt */
};

struct hk_i8042 {
    struct hk_irq irq;
    void (*reset)(void *opaque);
    void *opaque;
    uint8_t ram[RAM_SIZE];
    uint8_t output_port;
    uint8_t port_b;
    uint8_t command; /* that waits for its data byte, or 0 */
    bool last_was_command;
    bool line;
    struct entry queue[QUEUE_SIZE];
    uint32_t first, count;
};

int hk_i8042_create(struct hk_irq irq, void (*reset)(void *opaque),
                    void *opaque, struct hk_i8042 **out)
{
    struct hk_i8042 *i8042 = calloc(1, sizeof(*i8042));
    if (i8042 == NULL)
        return -HK_ENOMEM;
    i8042->irq = irq;
    i8042->reset = reset;
    i8042->opaque = opaque;
    i8042->ram[0] = CONTROL_KBD_IRQ | CONTROL_SYSTEM | CONTROL_AUX_OFF;
    i8042->output_port = OUTPUT_NOT_RESET | OUTPUT_A20;
    *out = i8042;
    return 0;
}

void hk_i8042_destroy(struct hk_i8042 *i8042)
{
    free(i8042);
}

/* The line is high while a keyboard byte is at the head of the queue. */
static void update_line(struct hk_i8042 *i8042)
{
    bool level = i8042->count != 0 && i8042->queue[i8042->first].irq &&
                 (i8042->ram[0] & CONTROL_KBD_IRQ) != 0;

    if (level == i8042->line)
        return;
    i8042->line = level;
    hk_irq_set(&i8042->irq, level);
}

static void lower_line(struct hk_i8042 *i8042)
{
    if (i8042->line)
        hk_irq_set(&i8042->irq, false);
    i8042->line = false;
}

static void push(struct hk_i8042 *i8042, struct entry entry)
{
    if (i8042->count == QUEUE_SIZE)
        return; /* nobody reads */
    i8042->queue[(i8042->first + i8042->count) % QUEUE_SIZE] = entry;
    i8042->count++;
}

static void answer(struct hk_i8042 *i8042, uint8_t byte)
{
    push(i8042, (struct entry){.byte = byte});
}

static uint8_t read_data(struct hk_i8042 *i8042)
{
    uint8_t byte = i8042->queue[i8042->first].byte;

    if (i8042->count != 0) {
        i8042->first = (i8042->first + 1) % QUEUE_SIZE;
        i8042->count--;
    }
    return byte;
}

static uint8_t read_status(const struct hk_i8042 *i8042)
{
    uint8_t status = STATUS_UNLOCKED;

    if ((i8042->ram[0] & CONTROL_SYSTEM) != 0)
        status |= STATUS_SYSTEM;
    if (i8042->last_was_command)
        status |= STATUS_LAST_COMMAND;
    if (i8042->count != 0) {
        status |= STATUS_OUTPUT_FULL;
        if (i8042->queue[i8042->first].timeout)
            status |= STATUS_TIMEOUT;
    }
    return status;
}

static void pull_reset(struct hk_i8042 *i8042)
{
    if (i8042->reset != NULL)
        i8042->reset(i8042->opaque);
}

static void write_command(struct hk_i8042 *i8042, uint8_t value)
{
    i8042->last_was_command = true;
    i8042->command = 0;
    if (value >= COMMAND_PULSE) {
        if ((value & OUTPUT_NOT_RESET) == 0)
            pull_reset(i8042);
        return;
    }
    if (value >= COMMAND_READ_RAM && value < COMMAND_READ_RAM + RAM_SIZE) {
        answer(i8042, i8042->ram[value - COMMAND_READ_RAM]);
        return;
    }
    if (value >= COMMAND_WRITE_RAM && value < COMMAND_WRITE_RAM + RAM_SIZE) {
        i8042->command = value;
        return;
    }
    switch (value) {
    case COMMAND_AUX_OFF:
        i8042->ram[0] |= CONTROL_AUX_OFF;
        break;
    case COMMAND_AUX_ON:
        i8042->ram[0] &= (uint8_t)~CONTROL_AUX_OFF;
        break;
    case COMMAND_TEST_AUX:
    case COMMAND_TEST_KBD:
        answer(i8042, TEST_CLOCK_STUCK);
        break;
    case COMMAND_TEST_SELF:
        i8042->ram[0] |= CONTROL_SYSTEM;
        answer(i8042, TEST_PASSED);
        break;
    case COMMAND_KBD_OFF:
        i8042->ram[0] |= CONTROL_KBD_OFF;
        break;
    case COMMAND_KBD_ON:
        i8042->ram[0] &= (uint8_t)~CONTROL_KBD_OFF;
        break;
    case COMMAND_READ_INPUT:
        answer(i8042, 0);
        break;
    case COMMAND_READ_OUTPUT:
        answer(i8042, i8042->output_port);
        break;
    case COMMAND_WRITE_OUTPUT:
    case COMMAND_LOOP_KBD:
    case COMMAND_LOOP_AUX:
    case COMMAND_TO_AUX:
        i8042->command = value;
        break;
    default:
        break;
    }
}

static void write_data(struct hk_i8042 *i8042, uint8_t value)
{
    uint8_t command = i8042->command;

    i8042->last_was_command = false;
    i8042->command = 0;
    switch (command) {
    case 0: /* to the keyboard: there is none */
        push(i8042, (struct entry){RESEND, .timeout = true, .irq = true});
        break;
    case COMMAND_TO_AUX:
        push(i8042, (struct entry){RESEND, .timeout = true});
        break;
    case COMMAND_WRITE_OUTPUT:
        i8042->output_port = value;
        if ((value & OUTPUT_NOT_RESET) == 0)
            pull_reset(i8042);
        break;
    case COMMAND_LOOP_KBD:
        push(i8042, (struct entry){value, .irq = true});
        break;
    case COMMAND_LOOP_AUX:
        /* Without the mouse's bit in the status: there is no mouse port. */
        answer(i8042, value);
        break;
    default: /* COMMAND_WRITE_RAM and up */
        i8042->ram[command - COMMAND_WRITE_RAM] = value;
        break;
    }
}

static uint64_t i8042_read(void *device, uint64_t offset, uint32_t size)
{
    struct hk_i8042 *i8042 = device;
    uint8_t value = 0xff;

    if (offset == OFFSET_DATA) {
        value = read_data(i8042);
        lower_line(i8042); /* the next byte is a new edge */
        update_line(i8042);
    } else if (offset == OFFSET_COMMAND) {
        value = read_status(i8042);
    } else if (offset == OFFSET_PORT_B) {
        i8042->port_b ^= PORT_B_REFRESH;
        value = i8042->port_b | PORT_B_TIMER;
    }
    return value;
}

static void i8042_write(void *device, uint64_t offset, uint32_t size,
                        uint64_t value)
{
    struct hk_i8042 *i8042 = device;

    if (offset == OFFSET_DATA)
        write_data(i8042, (uint8_t)value);
    else if (offset == OFFSET_COMMAND)
        write_command(i8042, (uint8_t)value);
    else if (offset == OFFSET_PORT_B)
        i8042->port_b = (uint8_t)((i8042->port_b & PORT_B_REFRESH) |
                                  (value & PORT_B_SPEAKER));
    update_line(i8042);
}

const struct hk_bus_ops hk_i8042_bus_ops = {
    .name = "i8042",
    .read = i8042_read,
    .write = i8042_write,
};
