/*
 * The KVM paravirtual clock: how a guest learns the rate of its TSC and the
 * time of day without measuring anything. Layout: Linux,
 * Documentation/virt/kvm/x86/msr.rst.
 *
 * Guest time is the TSC scaled to nanoseconds, on every vCPU the same, so
 * that the clock is stable and never needs to be written again unless the
 * guest sets its TSC.
 */
#include "cpu/slow_int.h"

#include <string.h>

enum {
    MSR_WALL_CLOCK_OLD = 0x11,
    MSR_SYSTEM_TIME_OLD = 0x12,
    MSR_WALL_CLOCK = 0x4b564d00,
    MSR_SYSTEM_TIME = 0x4b564d01,
};

enum { FLAG_TSC_STABLE = 1 };

struct vcpu_time {
    uint32_t version; /* odd while being written */
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time; /* ns at tsc_timestamp */
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad[2];
};

struct wall_clock {
    uint32_t version;
    uint32_t sec, nsec;
};

_Static_assert(sizeof(struct vcpu_time) == 32, "a guest interface");
_Static_assert(sizeof(struct wall_clock) == 12, "a guest interface");

struct scale {
    uint32_t mul;
    int8_t shift;
};

/* ns = ((ticks << shift) * mul) >> 32, with mul as large as fits. */
static struct scale scale_of(uint64_t hz)
{
    struct scale s = {0, 0};
    uint64_t ticks = hz;
    const uint64_t ns = 1000000000;
    while (ticks > 2 * ns) {
        ticks >>= 1;
        s.shift--;
    }
    while (ticks <= ns) {
        ticks <<= 1;
        s.shift++;
    }
    /* The exact rate, not the rounded one, decides the multiplier. */
    unsigned __int128 n = (unsigned __int128)ns << 32;
    if (s.shift < 0)
        n <<= -s.shift;
    else
        n >>= s.shift;
    s.mul = (uint32_t)(n / hz);
    return s;
}

static uint64_t ticks_to_ns(struct scale s, uint64_t ticks)
{
    ticks = s.shift < 0 ? ticks >> -s.shift : ticks << s.shift;
    return (uint64_t)((unsigned __int128)ticks * s.mul >> 32);
}

/* Ticks of guest time: the TSC less what the guest has added to it. */
static uint64_t system_ns(struct hk_cpu *c)
{
    struct scale s = scale_of(c->machine->config.tsc_hz);
    return ticks_to_ns(s, hk_tsc_now(c) - c->msr.tsc_adjust);
}

static bool is_ram(struct hk_cpu *c, uint64_t gpa, uint64_t size)
{
    uint64_t left = 0;
    return hk_phys_ptr(c->machine, gpa, &left) != NULL && left >= size;
}

void hk_kvmclock_update(struct hk_cpu *c)
{
    struct scale s = scale_of(c->machine->config.tsc_hz);
    uint64_t gpa = c->msr.kvm_system_time & ~1ull;
    struct vcpu_time t = {
        .tsc_timestamp = c->msr.tsc_adjust,
        .tsc_to_system_mul = s.mul,
        .tsc_shift = s.shift,
        .flags = FLAG_TSC_STABLE,
    };
    if ((c->msr.kvm_system_time & 1) == 0)
        return;
    uint32_t version = 0;
    memcpy(&version, hk_phys_ptr(c->machine, gpa, NULL), sizeof(version));
    t.version = (version | 1) + 2;
    (void)hk_phys_write(c, gpa, &t, sizeof(t.version));
    atomic_thread_fence(memory_order_release);
    (void)hk_phys_write(c, gpa + 4, (char *)&t + 4, sizeof(t) - 4);
    atomic_thread_fence(memory_order_release);
    t.version++;
    (void)hk_phys_write(c, gpa, &t, sizeof(t.version));
}

static bool write_system_time(struct hk_cpu *c, uint64_t value)
{
    bool on = (value & 1) != 0;
    if (on && ((value & 2) != 0 ||
               !is_ram(c, value & ~1ull, sizeof(struct vcpu_time))))
        return false;
    c->msr.kvm_system_time = value;
    hk_kvmclock_update(c);
    return true;
}

static bool write_wall_clock(struct hk_cpu *c, uint64_t gpa)
{
    uint64_t now;
    uint64_t booted = system_ns(c);
    if (!is_ram(c, gpa, sizeof(struct wall_clock)))
        return false;
    HK_OUTSIDE(c, now = c->machine->host.wall_ns(c->opaque));
    uint64_t then = now > booted ? now - booted : 0;
    struct wall_clock w = {
        .version = 2,
        .sec = (uint32_t)(then / 1000000000),
        .nsec = (uint32_t)(then % 1000000000),
    };
    c->msr.kvm_wall_clock = gpa;
    return hk_phys_write(c, gpa, &w, sizeof(w));
}

bool hk_kvmclock_read(struct hk_cpu *c, uint32_t msr, uint64_t *value)
{
    if (msr == MSR_SYSTEM_TIME || msr == MSR_SYSTEM_TIME_OLD)
        *value = c->msr.kvm_system_time;
    else if (msr == MSR_WALL_CLOCK || msr == MSR_WALL_CLOCK_OLD)
        *value = c->msr.kvm_wall_clock;
    else
        return false;
    return true;
}

bool hk_kvmclock_write(struct hk_cpu *c, uint32_t msr, uint64_t value)
{
    if (msr == MSR_SYSTEM_TIME || msr == MSR_SYSTEM_TIME_OLD)
        return write_system_time(c, value);
    if (msr == MSR_WALL_CLOCK || msr == MSR_WALL_CLOCK_OLD)
        return write_wall_clock(c, value);
    return false;
}
