/*
 * The memory-mapped transport (VIRTIO 1.2, 4.2.2). How this works:
 *
 *   vCPU threads                      home loop
 *   ------------                      ---------
 *   registers, under `lock`
 *   notify ------- post ------------> device: kick
 *   status, configuration writes:
 *     take the turn (`busy`)
 *     step the status machine
 *     only if the device must act:
 *       post, sleep ----------------> activate, reset, config
 *       wake <----------------------- end of the turn
 *   interrupt status, acknowledge <-- interrupts, without a lock
 *
 * The status machine. A driver goes up one step at a time, may set FAILED at
 * any time and may go back to the start at any time:
 *
 *   RESET 0 -> ACKNOWLEDGED 1 -> DRIVER 3 -> FEATURES_OK 11 -> DRIVER_OK 15
 *                                   |              |
 *                                   |              +- queues are set up here
 *                                   +- features are chosen here
 *
 * FEATURES_OK is not kept when the driver took a feature that was not offered
 * or left VERSION_1 out. DRIVER_OK is not kept, but FAILED set, when the
 * device cannot be activated. A write that is no legal step changes nothing.
 *
 * Locks. `lock` and the lock of the configuration space are leaves and held for
 * a few instructions. The monitor guards whose turn it is; nothing else is
 * taken inside. The home loop takes no turn, so it waits for nobody. When a
 * test's driver runs on the home loop's own thread, the loop is turned instead
 * of slept on.
 *
 * Interrupts. The line is level-triggered: high while the interrupt status is
 * not zero. For kernels that were told by the MP table that it is an edge, an
 * acknowledge that leaves a bit set makes a new edge. Raising the line wakes a
 * vCPU, which may at once want to acknowledge on the processor that the home
 * loop was just using; a lock held across the line would stop it there. So
 * there is none: whoever takes the status from zero, or to zero, sets the line
 * and then looks whether the status still says so (settle). The last one who
 * set the line has seen the last status, or another is about to set it.
 */
#define HK_LOG_TAG "virtio"

#include "virtio/mmio.h"
#include "virtio/host_int.h"

#include "base/assert.h"
#include "base/checked.h"
#include "base/log.h"
#include "loop/loop.h"
#include "loop/monitor.h"

#include <stdlib.h>
#include <string.h>

/* VIRTIO 1.2, 4.2.2 */
enum {
    REG_MAGIC = 0x00,
    REG_VERSION = 0x04,
    REG_DEVICE_ID = 0x08,
    REG_VENDOR_ID = 0x0c,
    REG_DEVICE_FEATURES = 0x10,
    REG_DEVICE_FEATURES_SEL = 0x14,
    REG_DRIVER_FEATURES = 0x20,
    REG_DRIVER_FEATURES_SEL = 0x24,
    REG_QUEUE_SEL = 0x30,
    REG_QUEUE_NUM_MAX = 0x34,
    REG_QUEUE_NUM = 0x38,
    REG_QUEUE_READY = 0x44,
    REG_QUEUE_NOTIFY = 0x50,
    REG_INTERRUPT_STATUS = 0x60,
    REG_INTERRUPT_ACK = 0x64,
    REG_STATUS = 0x70,
    REG_QUEUE_DESC_LOW = 0x80,
    REG_QUEUE_DESC_HIGH = 0x84,
    REG_QUEUE_AVAIL_LOW = 0x90,
    REG_QUEUE_AVAIL_HIGH = 0x94,
    REG_QUEUE_USED_LOW = 0xa0,
    REG_QUEUE_USED_HIGH = 0xa4,
    REG_SHM_SEL = 0xac,
    REG_SHM_LEN_LOW = 0xb0,
    REG_SHM_LEN_HIGH = 0xb4,
    REG_SHM_BASE_LOW = 0xb8,
    REG_SHM_BASE_HIGH = 0xbc,
    REG_CONFIG_GENERATION = 0xfc,
    REG_CONFIG = 0x100,

    MAGIC = 0x74726976, /* "virt" */
    VERSION = 2,

    INT_QUEUE = 1,
    INT_CONFIG = 2,
};

/* Bits of the status register (2.1), and the states that they make. */
enum {
    S_ACKNOWLEDGE = 1,
    S_DRIVER = 2,
    S_DRIVER_OK = 4,
    S_FEATURES_OK = 8,
    S_NEEDS_RESET = 64,
    S_FAILED = 128,
    S_STEPS = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK,

    STATE_RESET = 0,
    STATE_ACKNOWLEDGED = S_ACKNOWLEDGE,
    STATE_DRIVER = STATE_ACKNOWLEDGED | S_DRIVER,
    STATE_FEATURES_OK = STATE_DRIVER | S_FEATURES_OK,
    STATE_DRIVER_OK = STATE_FEATURES_OK | S_DRIVER_OK,
};

/* Posts that quiesce waits for before it resets; a device that posts itself
 * again for ever must not keep a VM from ending. */
enum { QUIESCE_ROUNDS = 10000 };

/* What the home loop is asked to do. */
enum op { OP_NONE, OP_ACTIVATE, OP_RESET, OP_CONFIG };

struct hk_vmmio {
    struct hk_vhost host; /* first: it is what the core hands back */
    struct hk_irq irq;

    struct hk_lock lock; /* guards down to `setup` */
    uint32_t status;
    bool frozen; /* the device is being activated: no register changes */
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint64_t driver_features;
    uint32_t queue_sel;
    struct hk_vqueue_setup setup[HK_VDEV_QUEUES_MAX];

    atomic_uint isr; /* see settle */

    struct hk_monitor *monitor; /* guards busy, turns and released */
    bool busy;                  /* somebody has the turn */
    uint64_t turns;             /* that have ended */
    bool released;

    /* Of whoever has the turn, then of the home loop. */
    enum op op;
    uint32_t config_offset;
    uint32_t config_len;
    uint8_t config_bytes[8];
};

static struct hk_vmmio *of_host(struct hk_vhost *host)
{
    return hk_container_of(host, struct hk_vmmio, host);
}

static struct hk_loop *home(const struct hk_vmmio *t)
{
    return t->host.dev->loop;
}

static const char *name(const struct hk_vmmio *t)
{
    return t->host.dev->ops->name;
}

/* ------------------------------------------------------------------ */
/* Interrupts                                                         */

/* Sets the line to `level`, then to what the status has become meanwhile. */
static void settle(struct hk_vmmio *t, bool level)
{
    bool now = level;

    do {
        level = now;
        hk_irq_set(&t->irq, level);
        now = atomic_load(&t->isr) != 0;
    } while (now != level);
}

static void raise_interrupt(struct hk_vmmio *t, uint32_t bit)
{
    if (atomic_fetch_or(&t->isr, bit) == 0)
        settle(t, true);
}

static void acknowledge(struct hk_vmmio *t, uint32_t bits)
{
    uint32_t before = atomic_fetch_and(&t->isr, ~bits);

    if (before == 0)
        return;
    if ((before & ~bits) != 0 && (before & bits) != 0)
        hk_irq_set(&t->irq, false);
    settle(t, (before & ~bits) != 0);
}

static void on_queue_interrupt(struct hk_vhost *host)
{
    raise_interrupt(of_host(host), INT_QUEUE);
}

static void on_config_interrupt(struct hk_vhost *host)
{
    raise_interrupt(of_host(host), INT_CONFIG);
}

static void on_needs_reset(struct hk_vhost *host)
{
    struct hk_vmmio *t = of_host(host);

    hk_lock(&t->lock);
    t->status |= S_NEEDS_RESET;
    hk_unlock(&t->lock);
}

/* ------------------------------------------------------------------ */
/* Turns: status and configuration writes, one at a time              */

/* Lets others go on: sleeps, or turns the loop if it is ours. Inside the
 * monitor. */
static void wait_for_others(struct hk_vmmio *t)
{
    if (!hk_loop_is_here(home(t))) {
        hk_monitor_wait(t->monitor);
        return;
    }
    hk_monitor_leave(t->monitor);
    hk_loop_step(home(t));
    hk_monitor_enter(t->monitor);
}

/* False: the VM is at its end, nothing shall be done. */
static bool begin_turn(struct hk_vmmio *t)
{
    hk_monitor_enter(t->monitor);
    while (t->busy && !t->released)
        wait_for_others(t);
    bool mine = !t->released;
    if (mine)
        t->busy = true;
    hk_monitor_leave(t->monitor);
    return mine;
}

static void end_turn(struct hk_vmmio *t)
{
    hk_monitor_enter(t->monitor);
    t->busy = false;
    t->turns++;
    hk_monitor_wake(t->monitor);
    hk_monitor_leave(t->monitor);
}

static void activate(struct hk_vmmio *t)
{
    int rc = hk_vhost_activate(&t->host, t->driver_features, t->setup);

    hk_lock(&t->lock);
    t->status |= rc == 0 ? S_DRIVER_OK : S_FAILED;
    t->frozen = false;
    hk_unlock(&t->lock);
}

/* On the home loop. A reset may end its turn later. */
static void act(struct hk_vmmio *t)
{
    const struct hk_vdev *dev = t->host.dev;

    switch (t->op) {
    case OP_ACTIVATE:
        activate(t);
        break;
    case OP_RESET:
        hk_vhost_reset(&t->host); /* leads to on_reset_done */
        return;
    case OP_CONFIG:
        if (!t->host.broken)
            dev->ops->config(t->host.dev, t->config_offset, t->config_bytes,
                             t->config_len);
        break;
    case OP_NONE:
        return;
    }
    t->op = OP_NONE;
    end_turn(t);
}

static void act_posted(void *opaque)
{
    struct hk_vhost *host = opaque;

    hk_vhost_post_ran(host);
    act(of_host(host));
}

static bool start(struct hk_vmmio *t, enum op op)
{
    t->op = op;
    if (hk_loop_is_here(home(t))) {
        act(t);
        return true;
    }
    if (hk_vhost_post(&t->host, act_posted) == 0)
        return true;
    HK_LOG_GUEST_W("%s: a register write is lost: no host memory", name(t));
    t->op = OP_NONE;
    return false;
}

/* With the turn: has the home loop do `op`, which ends the turn, and waits. */
static void perform(struct hk_vmmio *t, enum op op)
{
    hk_monitor_enter(t->monitor);
    uint64_t turn = t->turns;
    hk_monitor_leave(t->monitor);
    if (!start(t, op)) {
        end_turn(t);
        return;
    }
    hk_monitor_enter(t->monitor);
    while (t->turns == turn && !t->released)
        wait_for_others(t);
    hk_monitor_leave(t->monitor);
}

/* ------------------------------------------------------------------ */
/* The status machine                                                 */

static void clear_registers(struct hk_vmmio *t)
{
    hk_lock(&t->lock);
    t->status = STATE_RESET;
    t->device_features_sel = 0;
    t->driver_features_sel = 0;
    t->driver_features = 0;
    t->queue_sel = 0;
    memset(t->setup, 0, sizeof(t->setup));
    hk_unlock(&t->lock);
    acknowledge(t, INT_QUEUE | INT_CONFIG);
}

static void on_reset_done(struct hk_vhost *host)
{
    struct hk_vmmio *t = of_host(host);

    clear_registers(t);
    if (t->op != OP_RESET)
        return; /* the end of the VM asked for it */
    t->op = OP_NONE;
    end_turn(t);
}

/* NULL, or what is wrong with the features that the driver took. */
static const char *check_features(const struct hk_vmmio *t)
{
    if ((t->driver_features & ~t->host.dev->info.features) != 0)
        return "the driver takes features that were not offered";
    if ((t->driver_features & HK_VIRTIO_F_VERSION_1) == 0)
        return "the driver does not take VERSION_1";
    return NULL;
}

/* Makes the step to `want`, or what of it does not need the home loop, which
 * *op is for. NULL, or why there is no such step. */
static const char *step(struct hk_vmmio *t, uint32_t want, enum op *op)
{
    uint32_t from = t->status & S_STEPS;
    const char *wrong = NULL;

    if (from == want)
        return NULL;
    if ((from == STATE_RESET && want == STATE_ACKNOWLEDGED) ||
        (from == STATE_ACKNOWLEDGED && want == STATE_DRIVER)) {
        t->status |= want;
    } else if (from == STATE_DRIVER && want == STATE_FEATURES_OK) {
        wrong = check_features(t);
        t->status |= wrong == NULL ? want : 0;
    } else if (from == STATE_FEATURES_OK && want == STATE_DRIVER_OK) {
        t->frozen = true;
        *op = OP_ACTIVATE;
    } else {
        wrong = "no such step is allowed";
    }
    return wrong;
}

/* What a write of the status register asks of the home loop. NULL, or why it
 * changes nothing. */
static const char *judge_status(struct hk_vmmio *t, uint32_t value, enum op *op)
{
    const uint32_t known = S_STEPS | S_NEEDS_RESET | S_FAILED;

    *op = OP_NONE;
    if (value == 0) {
        *op = OP_RESET;
        return NULL;
    }
    if ((value & S_FAILED) != 0) {
        bool is_news = (t->status & S_FAILED) == 0;
        t->status |= S_FAILED;
        return is_news ? "the driver gave up" : NULL;
    }
    if ((t->status & S_FAILED) != 0)
        return "only a reset helps now";
    if ((value & ~known) != 0)
        return "it has bits that do not exist";
    return step(t, value & S_STEPS, op);
}

/* One line about a write that was not carried out as it stands. With no lock
 * held: the log may be slow. */
static void complain(const struct hk_vmmio *t, const char *wrong, uint32_t reg,
                     uint32_t value)
{
    if (wrong != NULL)
        HK_LOG_GUEST_W("%s: register 0x%02x, value 0x%x: %s", name(t),
                       (unsigned)reg, (unsigned)value, wrong);
}

static void write_status(struct hk_vmmio *t, uint32_t value)
{
    if (!begin_turn(t))
        return;
    enum op op;
    hk_lock(&t->lock);
    const char *wrong = judge_status(t, value, &op);
    bool live = (t->status & S_DRIVER_OK) != 0;
    hk_unlock(&t->lock);
    complain(t, wrong, REG_STATUS, value);

    if (op == OP_RESET && !live) {
        clear_registers(t);
        op = OP_NONE;
    }
    if (op == OP_NONE)
        end_turn(t);
    else
        perform(t, op);
}

/* ------------------------------------------------------------------ */
/* Queues and features; with the lock held                            */

/* Features and queues may be written in one state only. */
static bool is_state(const struct hk_vmmio *t, uint32_t state)
{
    return !t->frozen && (t->status & (S_STEPS | S_FAILED)) == state;
}

static const char *write_features(struct hk_vmmio *t, uint32_t value)
{
    /* Linux writes zeroes to words that have no features. */
    if (t->driver_features_sel > 1)
        return value == 0 ? NULL : "there are no features so high";
    if (!is_state(t, STATE_DRIVER))
        return "features are not to be chosen now";
    uint32_t shift = t->driver_features_sel * 32;
    t->driver_features &= ~(UINT64_C(0xffffffff) << shift);
    t->driver_features |= (uint64_t)value << shift;
    return NULL;
}

static uint32_t read_features(const struct hk_vmmio *t)
{
    if (t->device_features_sel > 1)
        return 0;
    return (uint32_t)(t->host.dev->info.features >>
                      (t->device_features_sel * 32));
}

/* The queue that is selected, or NULL. */
static struct hk_vqueue_setup *selected(struct hk_vmmio *t)
{
    if (t->queue_sel >= t->host.dev->info.queue_count)
        return NULL;
    return &t->setup[t->queue_sel];
}

static const char *write_ready(struct hk_vmmio *t,
                               struct hk_vqueue_setup *queue, uint32_t value)
{
    queue->ready = false;
    if (value != 1)
        return NULL;
    const char *wrong = hk_vhost_check_queue(&t->host, t->queue_sel, queue);
    queue->ready = wrong == NULL;
    return wrong;
}

static void set_low(uint64_t *gpa, uint32_t value)
{
    *gpa = (*gpa & ~UINT64_C(0xffffffff)) | value;
}

static void set_high(uint64_t *gpa, uint32_t value)
{
    *gpa = (*gpa & UINT64_C(0xffffffff)) | (uint64_t)value << 32;
}

static const char *write_queue(struct hk_vmmio *t, uint32_t reg, uint32_t value)
{
    struct hk_vqueue_setup *queue = selected(t);

    if (queue == NULL)
        return "there is no such queue";
    if (!is_state(t, STATE_FEATURES_OK) ||
        (queue->ready && reg != REG_QUEUE_READY)) {
        /* Drivers switch queues off after a reset, which did it already. */
        return reg == REG_QUEUE_READY && value == 0
                   ? NULL
                   : "the queue is not to be changed now";
    }
    switch (reg) {
    case REG_QUEUE_NUM:
        queue->size = value;
        break;
    case REG_QUEUE_READY:
        return write_ready(t, queue, value);
    case REG_QUEUE_DESC_LOW:
        set_low(&queue->desc, value);
        break;
    case REG_QUEUE_DESC_HIGH:
        set_high(&queue->desc, value);
        break;
    case REG_QUEUE_AVAIL_LOW:
        set_low(&queue->avail, value);
        break;
    case REG_QUEUE_AVAIL_HIGH:
        set_high(&queue->avail, value);
        break;
    case REG_QUEUE_USED_LOW:
        set_low(&queue->used, value);
        break;
    case REG_QUEUE_USED_HIGH:
        set_high(&queue->used, value);
        break;
    default:
        break;
    }
    return NULL;
}

static void notify(struct hk_vmmio *t, uint32_t index)
{
    hk_lock(&t->lock);
    bool live = (t->status & S_DRIVER_OK) != 0 && (t->status & S_FAILED) == 0 &&
                index < t->host.dev->info.queue_count && t->setup[index].ready;
    hk_unlock(&t->lock);
    if (live)
        hk_vhost_kick(&t->host, index);
    else
        HK_LOG_GUEST_D("%s: a kick of queue %u, which is not in use", name(t),
                       (unsigned)index);
}

/* ------------------------------------------------------------------ */
/* Registers                                                          */

static uint32_t read_locked(struct hk_vmmio *t, uint32_t reg)
{
    const struct hk_vqueue_setup *queue = selected(t);

    switch (reg) {
    case REG_DEVICE_FEATURES:
        return read_features(t);
    case REG_QUEUE_NUM_MAX:
        return queue == NULL ? 0 : t->host.dev->info.queue_size[t->queue_sel];
    case REG_QUEUE_READY:
        return queue != NULL && queue->ready;
    case REG_STATUS:
        return t->status;
    default:
        return 0;
    }
}

static uint32_t read_register(struct hk_vmmio *t, uint32_t reg)
{
    switch (reg) {
    case REG_MAGIC:
        return MAGIC;
    case REG_VERSION:
        return VERSION;
    case REG_DEVICE_ID:
        return t->host.dev->ops->type;
    case REG_VENDOR_ID:
        return 0;
    case REG_INTERRUPT_STATUS:
        return atomic_load(&t->isr);
    case REG_SHM_LEN_LOW:
    case REG_SHM_LEN_HIGH:
    case REG_SHM_BASE_LOW:
    case REG_SHM_BASE_HIGH:
        return UINT32_MAX; /* there is no shared memory (4.2.2) */
    case REG_CONFIG_GENERATION:
        return hk_vhost_generation(&t->host);
    default:
        break;
    }
    hk_lock(&t->lock);
    uint32_t value = read_locked(t, reg);
    hk_unlock(&t->lock);
    return value;
}

static bool is_queue_register(uint32_t reg)
{
    return reg == REG_QUEUE_NUM || reg == REG_QUEUE_READY ||
           (reg >= REG_QUEUE_DESC_LOW && reg <= REG_QUEUE_USED_HIGH);
}

/* NULL, or why the write changes nothing. */
static const char *write_locked(struct hk_vmmio *t, uint32_t reg,
                                uint32_t value)
{
    switch (reg) {
    case REG_DEVICE_FEATURES_SEL:
        t->device_features_sel = value;
        return NULL;
    case REG_DRIVER_FEATURES_SEL:
        t->driver_features_sel = value;
        return NULL;
    case REG_DRIVER_FEATURES:
        return write_features(t, value);
    case REG_SHM_SEL: /* whichever: there is none */
        return NULL;
    case REG_QUEUE_SEL:
        t->queue_sel = value;
        return NULL;
    default:
        return is_queue_register(reg) ? write_queue(t, reg, value) : NULL;
    }
}

static void write_register(struct hk_vmmio *t, uint32_t reg, uint32_t value)
{
    switch (reg) {
    case REG_QUEUE_NOTIFY:
        notify(t, value);
        return;
    case REG_INTERRUPT_ACK:
        acknowledge(t, value);
        return;
    case REG_STATUS:
        write_status(t, value);
        return;
    default:
        break;
    }
    hk_lock(&t->lock);
    const char *wrong = write_locked(t, reg, value);
    hk_unlock(&t->lock);
    complain(t, wrong, reg, value);
}

static void write_config(struct hk_vmmio *t, uint64_t offset, uint32_t size,
                         uint64_t value)
{
    const struct hk_vdev *dev = t->host.dev;

    if (dev->ops->config == NULL || size > sizeof(t->config_bytes) ||
        !hk_range_within(offset, size, dev->info.config_size)) {
        HK_LOG_GUEST_D("%s: a write to configuration byte %u", name(t),
                       (unsigned)offset);
        return;
    }
    if (!begin_turn(t))
        return;
    hk_lock(&t->lock);
    bool may = (t->status & S_DRIVER) != 0 && (t->status & S_FAILED) == 0;
    hk_unlock(&t->lock);
    if (!may) {
        end_turn(t);
        return;
    }
    t->config_offset = (uint32_t)offset;
    t->config_len = size;
    memcpy(t->config_bytes, &value, size);
    perform(t, OP_CONFIG);
}

static bool is_register(uint64_t offset, uint32_t size)
{
    return size == 4 && offset % 4 == 0;
}

static uint64_t mmio_read(void *device, uint64_t offset, uint32_t size)
{
    struct hk_vmmio *t = device;
    uint64_t value = 0;

    if (offset >= REG_CONFIG)
        hk_vhost_read_config(&t->host, offset - REG_CONFIG, &value, size);
    else if (is_register(offset, size))
        value = read_register(t, (uint32_t)offset);
    else
        HK_LOG_GUEST_W("%s: a read of %u bytes at register 0x%x", name(t),
                       (unsigned)size, (unsigned)offset);
    return value;
}

static void mmio_write(void *device, uint64_t offset, uint32_t size,
                       uint64_t value)
{
    struct hk_vmmio *t = device;

    if (offset >= REG_CONFIG)
        write_config(t, offset - REG_CONFIG, size, value);
    else if (is_register(offset, size))
        write_register(t, (uint32_t)offset, (uint32_t)value);
    else
        HK_LOG_GUEST_W("%s: a write of %u bytes at register 0x%x", name(t),
                       (unsigned)size, (unsigned)offset);
}

const struct hk_bus_ops hk_vmmio_bus_ops = {
    .name = "virtio-mmio",
    .own_lock = true,
    .read = mmio_read,
    .write = mmio_write,
};

/* ------------------------------------------------------------------ */
/* Life                                                               */

static const struct hk_vhost_ops host_ops = {
    .queue_interrupt = on_queue_interrupt,
    .config_interrupt = on_config_interrupt,
    .needs_reset = on_needs_reset,
    .reset_done = on_reset_done,
};

int hk_vmmio_create(struct hk_vdev *take_dev, struct hk_gmem *gmem,
                    struct hk_irq irq, struct hk_vmmio **out)
{
    struct hk_vmmio *t = calloc(1, sizeof(*t));
    if (t == NULL || hk_monitor_create(&t->monitor) != 0) {
        free(t);
        hk_vdev_destroy(take_dev);
        return -HK_ENOMEM;
    }
    t->irq = irq;
    hk_vhost_init(&t->host, &host_ops, take_dev, gmem);
    *out = t;
    return 0;
}

struct hk_vdev *hk_vmmio_device(struct hk_vmmio *t)
{
    return t->host.dev;
}

void hk_vmmio_release(struct hk_vmmio *t)
{
    hk_monitor_enter(t->monitor);
    t->released = true;
    hk_monitor_wake(t->monitor);
    hk_monitor_leave(t->monitor);
}

void hk_vmmio_quiesce(struct hk_vmmio *t, bool drain)
{
    struct hk_vhost *host = &t->host;
    struct hk_vdev *dev = host->dev;

    hk_vmmio_release(t);
    /* The driver's last kicks, and writes whose vCPU no longer waits. */
    for (int i = 0; i < QUIESCE_ROUNDS && atomic_load(&host->posts) != 0; i++)
        hk_loop_step(dev->loop);
    bool is_live = host->active && !host->resetting && !host->broken;
    if (drain && (is_live || dev->ops->leave != NULL) &&
        dev->ops->drain != NULL)
        dev->ops->drain(dev);
    if (host->active && !host->resetting)
        hk_vhost_reset(host);
    while (host->resetting || atomic_load(&host->posts) != 0)
        hk_loop_step(dev->loop);
}

void hk_vmmio_destroy(struct hk_vmmio *t)
{
    if (t == NULL)
        return;
    hk_vhost_fini(&t->host);
    hk_monitor_destroy(t->monitor);
    free(t);
}
