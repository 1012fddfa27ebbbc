/*
 * 16550A. The registers:
 *
 *   offset  DLAB=0 read   DLAB=0 write   DLAB=1
 *   0       RBR           THR            divisor low
 *   1       IER           IER            divisor high
 *   2       IIR           FCR
 *   3       LCR
 *   4       MCR
 *   5       LSR (read only)
 *   6       MSR (read only)
 *   7       scratch
 *
 * Interrupt causes, highest first: receiver line status, received data (or
 * the character time-out, which comes at once: no line is slow here),
 * transmitter empty, modem status.
 */
#include "chip/serial.h"

#include "base/lock.h"
#include "console/port.h"
#include "loop/loop.h"

#include <stdlib.h>
#include <string.h>

enum {
    REG_DATA,
    REG_IER,
    REG_IIR_FCR,
    REG_LCR,
    REG_MCR,
    REG_LSR,
    REG_MSR,
    REG_SCRATCH,
};

enum {
    IER_RX = 1 << 0,
    IER_TX = 1 << 1,
    IER_LINE = 1 << 2,
    IER_MODEM = 1 << 3,
    IER_BITS = 0x0f,

    IIR_NONE = 0x01,
    IIR_MODEM = 0x00,
    IIR_TX = 0x02,
    IIR_RX = 0x04,
    IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0,

    FCR_ENABLE = 1 << 0,
    FCR_CLEAR_RX = 1 << 1,
    FCR_CLEAR_TX = 1 << 2,

    LCR_DLAB = 1 << 7,

    MCR_DTR = 1 << 0,
    MCR_RTS = 1 << 1,
    MCR_OUT1 = 1 << 2,
    MCR_OUT2 = 1 << 3,
    MCR_LOOP = 1 << 4,
    MCR_BITS = 0x1f,

    LSR_DATA = 1 << 0,
    LSR_OVERRUN = 1 << 1,
    LSR_TX_READY = 1 << 5,
    LSR_TX_IDLE = 1 << 6,

    MSR_CTS = 1 << 4,
    MSR_DSR = 1 << 5,
    MSR_RI = 1 << 6,
    MSR_DCD = 1 << 7,
    /* The deltas are the low nibble, in the order of the high one; RI's
     * counts its trailing edge only. */
    MSR_DELTAS = 0x0f,
    MSR_RI_FELL = 1 << 2,
    MSR_CONNECTED = MSR_CTS | MSR_DSR | MSR_DCD,

    FIFO_SIZE = 16,
    DIVISOR_9600 = 12,
};

static const uint8_t trigger_levels[] = {1, 4, 8, 14};

struct hk_serial {
    struct hk_loop *loop;
    struct hk_port *port;
    struct hk_irq irq;
    struct hk_lock lock;

    uint8_t ier, lcr, mcr, msr, scratch;
    uint16_t divisor;
    bool fifos;
    uint8_t trigger;
    bool overrun;
    bool tx_pending; /* "transmitter empty" not yet told */
    bool line;       /* level of the interrupt line */

    uint8_t rx[FIFO_SIZE];
    uint32_t rx_first, rx_count;

    /* Bytes that the port did not take: [tx_first, tx_last). */
    uint8_t tx[HK_SERIAL_TX_MAX];
    uint32_t tx_first, tx_last;

    bool held_back; /* the port keeps input for us */
    bool posted;    /* resume_posted is on its way */
    bool dead;      /* destroyed while it was */
};

static uint8_t modem_inputs(const struct hk_serial *serial)
{
    uint8_t mcr = serial->mcr;

    if ((mcr & MCR_LOOP) == 0)
        return MSR_CONNECTED;
    return (uint8_t)(((mcr & MCR_RTS) != 0 ? MSR_CTS : 0) |
                     ((mcr & MCR_DTR) != 0 ? MSR_DSR : 0) |
                     ((mcr & MCR_OUT1) != 0 ? MSR_RI : 0) |
                     ((mcr & MCR_OUT2) != 0 ? MSR_DCD : 0));
}

static void update_modem(struct hk_serial *serial)
{
    uint8_t old = serial->msr & (uint8_t)~MSR_DELTAS;
    uint8_t now = modem_inputs(serial);
    uint8_t delta = (uint8_t)((old ^ now) >> 4);

    if ((now & MSR_RI) != 0)
        delta &= (uint8_t)~MSR_RI_FELL;
    serial->msr = now | (serial->msr & MSR_DELTAS) | delta;
}

static uint8_t interrupt_cause(const struct hk_serial *serial)
{
    if ((serial->ier & IER_LINE) != 0 && serial->overrun)
        return IIR_LINE;
    if ((serial->ier & IER_RX) != 0 && serial->rx_count != 0) {
        if (serial->fifos && serial->rx_count < serial->trigger)
            return IIR_TIMEOUT;
        return IIR_RX;
    }
    if ((serial->ier & IER_TX) != 0 && serial->tx_pending)
        return IIR_TX;
    if ((serial->ier & IER_MODEM) != 0 && (serial->msr & MSR_DELTAS) != 0)
        return IIR_MODEM;
    return IIR_NONE;
}

static void update_line(struct hk_serial *serial)
{
    bool level = interrupt_cause(serial) != IIR_NONE;

    if (level == serial->line)
        return;
    serial->line = level;
    hk_irq_set(&serial->irq, level);
}

static uint32_t rx_room(const struct hk_serial *serial)
{
    uint32_t size = serial->fifos ? FIFO_SIZE : 1;

    return serial->rx_count < size ? size - serial->rx_count : 0;
}

static void push_rx(struct hk_serial *serial, uint8_t byte)
{
    serial->rx[(serial->rx_first + serial->rx_count) % FIFO_SIZE] = byte;
    serial->rx_count++;
}

static bool is_tx_empty(const struct hk_serial *serial)
{
    return serial->tx_first == serial->tx_last;
}

/* Hands waiting output to the port. */
static void flush_tx(struct hk_serial *serial)
{
    if (is_tx_empty(serial))
        return;
    serial->tx_first +=
        (uint32_t)hk_port_write(serial->port, serial->tx + serial->tx_first,
                                serial->tx_last - serial->tx_first);
    if (!is_tx_empty(serial))
        return;
    serial->tx_first = 0;
    serial->tx_last = 0;
    serial->tx_pending = true;
}

static void transmit(struct hk_serial *serial, uint8_t byte)
{
    serial->tx_pending = false;
    if ((serial->mcr & MCR_LOOP) != 0) {
        if (rx_room(serial) != 0)
            push_rx(serial, byte);
        else
            serial->overrun = true;
        serial->tx_pending = true;
        return;
    }
    if (serial->tx_last == HK_SERIAL_TX_MAX) {
        memmove(serial->tx, serial->tx + serial->tx_first,
                serial->tx_last - serial->tx_first);
        serial->tx_last -= serial->tx_first;
        serial->tx_first = 0;
    }
    if (serial->tx_last == HK_SERIAL_TX_MAX)
        return; /* written 4096 times against a busy transmitter */
    serial->tx[serial->tx_last++] = byte;
    flush_tx(serial);
}

static void resume_posted(void *opaque)
{
    struct hk_serial *serial = opaque;

    hk_lock(&serial->lock);
    serial->posted = false;
    bool dead = serial->dead;
    bool resume = serial->held_back && !dead;
    if (resume)
        serial->held_back = false;
    hk_unlock(&serial->lock);
    if (dead)
        free(serial);
    else if (resume)
        hk_port_resume(serial->port);
}

/*
 * Is the guest ready for input? Not in loopback mode, which cuts the input
 * pin off, and not while it does not want to hear of input: a driver that
 * probes or opens the port clears the FIFOs and reads the data register "for
 * luck", which would eat what was piped in before the guest was up.
 */
static bool is_listening(const struct hk_serial *serial)
{
    return (serial->mcr & MCR_LOOP) == 0 && (serial->ier & IER_RX) != 0;
}

/* With the lock held: true when the caller must call resume_posted itself,
 * because there is no loop. */
static bool ask_for_input(struct hk_serial *serial)
{
    if (!serial->held_back || serial->posted || rx_room(serial) == 0 ||
        !is_listening(serial))
        return false;
    if (serial->loop == NULL)
        return true;
    serial->posted = hk_loop_post(serial->loop, resume_posted, serial) == 0;
    return false;
}

static uint8_t read_data(struct hk_serial *serial)
{
    if (serial->rx_count == 0)
        return 0;
    uint8_t byte = serial->rx[serial->rx_first];
    serial->rx_first = (serial->rx_first + 1) % FIFO_SIZE;
    serial->rx_count--;
    return byte;
}

static uint8_t read_iir(struct hk_serial *serial)
{
    uint8_t cause = interrupt_cause(serial);

    if (cause == IIR_TX)
        serial->tx_pending = false;
    return cause | (serial->fifos ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct hk_serial *serial)
{
    uint8_t lsr = serial->rx_count != 0 ? LSR_DATA : 0;

    if (is_tx_empty(serial))
        lsr |= LSR_TX_READY | LSR_TX_IDLE;
    if (serial->overrun)
        lsr |= LSR_OVERRUN;
    serial->overrun = false;
    return lsr;
}

static uint8_t read_msr(struct hk_serial *serial)
{
    uint8_t msr = serial->msr;

    serial->msr &= (uint8_t)~MSR_DELTAS;
    return msr;
}

static uint8_t read_register(struct hk_serial *serial, uint64_t reg)
{
    bool divisor = (serial->lcr & LCR_DLAB) != 0;

    switch (reg) {
    case REG_DATA:
        return divisor ? (uint8_t)serial->divisor : read_data(serial);
    case REG_IER:
        return divisor ? (uint8_t)(serial->divisor >> 8) : serial->ier;
    case REG_IIR_FCR:
        return read_iir(serial);
    case REG_LCR:
        return serial->lcr;
    case REG_MCR:
        return serial->mcr;
    case REG_LSR:
        return read_lsr(serial);
    case REG_MSR:
        return read_msr(serial);
    case REG_SCRATCH:
        return serial->scratch;
    default:
        return 0xff;
    }
}

static uint64_t serial_read(void *device, uint64_t offset, uint32_t size)
{
    struct hk_serial *serial = device;

    hk_lock(&serial->lock);
    uint8_t value = read_register(serial, offset);
    bool resume = ask_for_input(serial);
    update_line(serial);
    hk_unlock(&serial->lock);
    if (resume)
        resume_posted(serial);
    return value;
}

static void write_ier(struct hk_serial *serial, uint8_t value)
{
    uint8_t rose = value & (uint8_t)~serial->ier;

    serial->ier = value & IER_BITS;
    /* Enabling the interrupt of an empty transmitter raises it at once;
     * drivers test for that. */
    if ((rose & IER_TX) != 0 && is_tx_empty(serial))
        serial->tx_pending = true;
}

static void write_fcr(struct hk_serial *serial, uint8_t value)
{
    bool enable = (value & FCR_ENABLE) != 0;

    if (enable != serial->fifos || (value & FCR_CLEAR_RX) != 0)
        serial->rx_count = 0;
    serial->fifos = enable;
    serial->trigger = enable ? trigger_levels[value >> 6] : 1;
    /* The transmit FIFO is not emptied by FCR_CLEAR_TX: on a line, what the
     * guest wrote would mostly be gone by now. */
}

static void write_register(struct hk_serial *serial, uint64_t reg,
                           uint8_t value)
{
    bool divisor = (serial->lcr & LCR_DLAB) != 0;

    switch (reg) {
    case REG_DATA:
        if (divisor)
            serial->divisor = (serial->divisor & 0xff00) | value;
        else
            transmit(serial, value);
        break;
    case REG_IER:
        if (divisor)
            serial->divisor = (uint16_t)((serial->divisor & 0xff) | value << 8);
        else
            write_ier(serial, value);
        break;
    case REG_IIR_FCR:
        write_fcr(serial, value);
        break;
    case REG_LCR:
        serial->lcr = value;
        break;
    case REG_MCR:
        serial->mcr = value & MCR_BITS;
        update_modem(serial);
        break;
    case REG_SCRATCH:
        serial->scratch = value;
        break;
    default: /* LSR and MSR are read only */
        break;
    }
}

static void serial_write(void *device, uint64_t offset, uint32_t size,
                         uint64_t value)
{
    struct hk_serial *serial = device;

    hk_lock(&serial->lock);
    write_register(serial, offset, (uint8_t)value);
    bool resume = ask_for_input(serial);
    update_line(serial);
    hk_unlock(&serial->lock);
    if (resume)
        resume_posted(serial);
}

const struct hk_bus_ops hk_serial_bus_ops = {
    .name = "serial",
    .read = serial_read,
    .write = serial_write,
};

static size_t on_input(void *opaque, const uint8_t *bytes, size_t len)
{
    struct hk_serial *serial = opaque;
    size_t taken = 0;

    hk_lock(&serial->lock);
    if (is_listening(serial))
        while (taken < len && rx_room(serial) != 0)
            push_rx(serial, bytes[taken++]);
    serial->held_back = taken < len;
    update_line(serial);
    hk_unlock(&serial->lock);
    return taken;
}

static void on_writable(void *opaque)
{
    struct hk_serial *serial = opaque;

    hk_lock(&serial->lock);
    flush_tx(serial);
    update_line(serial);
    hk_unlock(&serial->lock);
}

static const struct hk_port_events port_events = {
    .input = on_input,
    .writable = on_writable,
};

int hk_serial_create(struct hk_loop *loop, struct hk_port *port,
                     struct hk_irq irq, struct hk_serial **out)
{
    struct hk_serial *serial = calloc(1, sizeof(*serial));
    if (serial == NULL)
        return -HK_ENOMEM;
    serial->loop = loop;
    serial->port = port;
    serial->irq = irq;
    serial->lcr = 0x03; /* eight bits, no parity, one stop */
    serial->mcr = MCR_OUT2;
    serial->msr = MSR_CONNECTED;
    serial->divisor = DIVISOR_9600;
    serial->trigger = 1;
    *out = serial;
    hk_port_listen(port, &port_events, serial);
    return 0;
}

void hk_serial_destroy(struct hk_serial *serial)
{
    if (serial == NULL)
        return;
    hk_lock(&serial->lock);
    serial->dead = true;
    bool posted = serial->posted;
    hk_unlock(&serial->lock);
    if (!posted)
        free(serial);
}
