/* vmm/devices.h in a VM whose vCPU is a script */
#include "hk_test.h"
#include "scripted_hv.h"

#include "base/compiler.h"
#include "chip/acpi_pm.h"
#include "virtio/device.h"
#include "vmm/devices.h"
#include "vmm/vm.h"

#include <uv.h>

enum {
    LONG_MS = 20000, /* a limit for what must happen; never waited for */
    S5 = HK_ACPI_S5_TYPE << 2 | 0x20,
    SLOT = 0x1000,
    DEVICE_ID = 0x08,
    STATUS = 0x70,
    FEATURES = 0x20,
    FEATURES_SEL = 0x24,
    TYPE_ENTROPY = 4,
    TYPE_TEST = 40,
    MANY = 100,
};

#define SLOT_AT(index) (0xd0000000u + (index)*SLOT)
#define STORE(address, v)               \
    {                                   \
        SCRIPT_STORE, (address), (v), 4 \
    }
#define LOAD(address)                \
    {                                \
        SCRIPT_LOAD, (address), 0, 4 \
    }
#define POWER_OFF                                     \
    {                                                 \
        SCRIPT_OUT, HK_ACPI_SLEEP_CONTROL_PORT, S5, 1 \
    }
#define THE_END             \
    {                       \
        SCRIPT_END, 0, 0, 0 \
    }

/* What the test's devices were asked; all of them together. */
static struct {
    int fail_at; /* 1-based make call that fails, or 0 */
    int made;
    int active;
    int drained;
    int reset;
    int destroyed;
    uv_sem_t activated;
} seen;

static int test_activate(struct hk_vdev *dev, uint64_t features)
{
    (void)dev;
    (void)features;
    seen.active++;
    uv_sem_post(&seen.activated);
    return 0;
}

static void test_kick(struct hk_vdev *dev, uint32_t index)
{
    (void)dev;
    (void)index;
}

static void test_reset(struct hk_vdev *dev)
{
    seen.reset++;
    hk_vdev_reset_done(dev);
}

static void test_drain(struct hk_vdev *dev)
{
    (void)dev;
    seen.drained++;
}

static void test_destroy(struct hk_vdev *dev)
{
    seen.destroyed++;
    free(dev);
}

static const struct hk_vdev_ops test_ops = {
    .name = "test",
    .type = TYPE_TEST,
    .activate = test_activate,
    .kick = test_kick,
    .reset = test_reset,
    .drain = test_drain,
    .destroy = test_destroy,
};

static int make_test(void *opaque, const struct hk_device_env *env,
                     struct hk_vdev **out, struct hk_errmsg *err)
{
    const struct hk_vdev_info info = {.queue_count = 1, .queue_size = {4}};

    assert_ptr_equal(opaque, &seen);
    assert_non_null(env->loop);
    assert_non_null(env->pool);
    assert_non_null(env->gmem);
    if (seen.made + 1 == seen.fail_at)
        return hk_err_set(err, -HK_EIO, "the test's device is broken");
    struct hk_vdev *dev = calloc(1, sizeof(*dev));
    assert_non_null(dev);
    hk_vdev_init(dev, &test_ops, env->loop, &info);
    seen.made++;
    *out = dev;
    return 0;
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    return uv_sem_init(&seen.activated, 0);
}

static int teardown(void **state)
{
    (void)state;
    uv_sem_destroy(&seen.activated);
    return 0;
}

static int start(struct hk_vm *vm, struct scripted_plan *plan, uint32_t count,
                 struct hk_errmsg *err)
{
    static struct hk_vm_device devices[HK_DEVICES_MAX];
    const struct hk_vm_config config = {
        .hv = &scripted_hv,
        .memory = HK_VM_MEMORY_MIN,
        .cpus = 1,
        .serial_in = -1,
        .serial_out = -1,
        .devices = devices,
        .device_count = count,
    };

    for (uint32_t i = 0; i < count; i++)
        devices[i] = (struct hk_vm_device){make_test, &seen};
    scripted_hv_use(plan);
    return hk_vm_start(vm, &config, err);
}

/* Runs the steps to their end; returns what the vCPU loaded last. */
static uint64_t run(const struct script_step *steps, uint32_t count)
{
    struct scripted_plan plan = {.steps = {steps}};
    struct hk_vm *vm;

    assert_int_equal(hk_vm_create(&vm), 0);
    assert_int_equal(start(vm, &plan, count, NULL), 0);
    assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
    hk_vm_destroy(vm);
    assert_int_equal(seen.destroyed, seen.made);
    return atomic_load(&plan.seen[0].last);
}

static void every_machine_has_an_entropy_device(void **state)
{
    static const struct script_step steps[] = {LOAD(SLOT_AT(0) + DEVICE_ID),
                                               POWER_OFF, THE_END};
    (void)state;
    assert_int_equal(run(steps, 0), TYPE_ENTROPY);
}

static void behind_the_last_device_there_is_nothing(void **state)
{
    static const struct script_step steps[] = {LOAD(SLOT_AT(1) + DEVICE_ID),
                                               POWER_OFF, THE_END};
    (void)state;
    assert_int_equal(run(steps, 0), 0xffffffff);
}

static void devices_take_the_slots_in_order(void **state)
{
    static const struct script_step steps[] = {LOAD(SLOT_AT(MANY) + DEVICE_ID),
                                               POWER_OFF, THE_END};
    (void)state;
    assert_int_equal(run(steps, MANY), TYPE_TEST);
    assert_int_equal(seen.made, MANY);
}

static void more_devices_than_slots_are_refused(void **state)
{
    static const struct script_step steps[] = {THE_END};
    struct scripted_plan plan = {.steps = {steps}};
    struct hk_errmsg err;
    struct hk_vm *vm;

    (void)state;
    assert_int_equal(hk_vm_create(&vm), 0);
    assert_int_equal(start(vm, &plan, HK_DEVICES_MAX, &err), -HK_ENOSPC);
    assert_non_null(strstr(err.text, "attach fewer"));
    hk_vm_destroy(vm);
    assert_int_equal(seen.made, HK_DEVICES_MAX);
    assert_int_equal(seen.destroyed, HK_DEVICES_MAX);
}

static void a_device_that_cannot_be_made_fails_the_start(void **state)
{
    static const struct script_step steps[] = {POWER_OFF, THE_END};
    struct scripted_plan plan = {.steps = {steps}};
    struct hk_errmsg err;
    struct hk_vm *vm;

    (void)state;
    seen.fail_at = 3;
    assert_int_equal(hk_vm_create(&vm), 0);
    assert_int_equal(start(vm, &plan, 5, &err), -HK_EIO);
    assert_string_equal(err.text, "the test's device is broken");
    assert_int_equal(seen.made, 2);
    assert_int_equal(seen.destroyed, 2);
    seen.fail_at = 0; /* and nothing of it is left over */
    assert_int_equal(start(vm, &plan, 5, &err), 0);
    assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
    hk_vm_destroy(vm);
    assert_int_equal(seen.destroyed, 7);
}

#define ACTIVATE(slot)                                                         \
    STORE(SLOT_AT(slot) + STATUS, 1), STORE(SLOT_AT(slot) + STATUS, 3),        \
        STORE(SLOT_AT(slot) + FEATURES_SEL, 1),                                \
        STORE(SLOT_AT(slot) + FEATURES, 1), STORE(SLOT_AT(slot) + STATUS, 11), \
        STORE(SLOT_AT(slot) + STATUS, 15)

static void a_vcpu_waits_for_what_it_asks_of_a_device(void **state)
{
    static const struct script_step steps[] = {
        ACTIVATE(1), STORE(SLOT_AT(1) + STATUS, 0),
        ACTIVATE(1), LOAD(SLOT_AT(1) + STATUS),
        POWER_OFF,   THE_END};
    (void)state;
    assert_int_equal(run(steps, 1), 15);
    assert_int_equal(seen.active, 2);
    assert_int_equal(seen.reset, 2); /* the second at the end */
}

static void a_guest_that_ends_by_itself_is_drained(void **state)
{
    static const struct script_step steps[] = {ACTIVATE(1), POWER_OFF, THE_END};
    (void)state;
    (void)run(steps, 3);
    assert_int_equal(seen.drained, 1); /* the one that was active */
    assert_int_equal(seen.reset, 1);
}

static void a_guest_that_is_killed_is_not_drained(void **state)
{
    static const struct script_step steps[] = {ACTIVATE(1), THE_END};
    struct scripted_plan plan = {.steps = {steps}};
    struct hk_vm *vm;

    (void)state;
    assert_int_equal(hk_vm_create(&vm), 0);
    assert_int_equal(start(vm, &plan, 1, NULL), 0);
    uv_sem_wait(&seen.activated);
    hk_vm_kill(vm);
    assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
    hk_vm_destroy(vm);
    assert_int_equal(seen.drained, 0);
    assert_int_equal(seen.reset, 1);
    assert_int_equal(seen.destroyed, 1);
}

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(every_machine_has_an_entropy_device),
    CASE(behind_the_last_device_there_is_nothing),
    CASE(devices_take_the_slots_in_order),
    CASE(more_devices_than_slots_are_refused),
    CASE(a_device_that_cannot_be_made_fails_the_start),
    CASE(a_vcpu_waits_for_what_it_asks_of_a_device),
    CASE(a_guest_that_ends_by_itself_is_drained),
    CASE(a_guest_that_is_killed_is_not_drained),
};
HK_TEST_MAIN(cases)
