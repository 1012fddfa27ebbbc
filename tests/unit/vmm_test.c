/*
 * The life of a VM, with no guest: the scripted back end plays the vCPUs.
 */
#include "hk_test.h"
#include "scripted_hv.h"

#include "base/log.h"
#include "chip/acpi_pm.h"
#include "chip/exit_port.h"
#include "chip/lapic.h"
#include "vmm/vm.h"
#include "vmm/vm_int.h"

#include <uv.h>

enum {
    LONG_MS = 20000, /* a limit for what must happen; never waited for */
    APIC_EOI_VECTOR = 0x40,
    ICR_LOW = HK_APIC_BASE + 0x300,
    ICR_HIGH = HK_APIC_BASE + 0x310,
    SVR = HK_APIC_BASE + 0xf0,
    SVR_ON = 0x1ff,
    SVR_OFF = 0x0ff,
    ICR_INIT = 0x4500,
    ICR_SIPI = 0x4600,
    ICR_NMI = 0x4400,
    ICR_FIXED = 0x4000,
    ICR_TO_SELF = 0x40000,
    ICR_TO_OTHERS = 0xc0000,
    LVT_TIMER = HK_APIC_BASE + 0x320,
    LVT_TSC_DEADLINE = 0x40000,
    S5 = HK_ACPI_S5_TYPE << 2 | 0x20,
    IOAPIC_SELECT = 0xfec00000,
    IOAPIC_WINDOW = 0xfec00010,
    RUN_THRICE = 3,
};

#define OUT(port, v)               \
    {                              \
        SCRIPT_OUT, (port), (v), 1 \
    }
#define STORE(address, v)               \
    {                                   \
        SCRIPT_STORE, (address), (v), 4 \
    }
#define STEP(op)      \
    {                 \
        (op), 0, 0, 0 \
    }
#define EXIT_WITH(status) OUT(HK_EXIT_PORT, (status))
#define POWER_OFF OUT(HK_ACPI_SLEEP_CONTROL_PORT, S5)
#define RESET OUT(HK_ACPI_RESET_PORT, HK_ACPI_RESET_VALUE)
#define SEND(cpu, what) \
    STORE(ICR_HIGH, (uint64_t)(cpu) << 24), STORE(ICR_LOW, (what))
#define START_AP(cpu, vector) \
    SEND(cpu, ICR_INIT), SEND(cpu, ICR_SIPI | (vector))

static struct hk_vm *new_vm(void)
{
    struct hk_vm *vm = NULL;
    assert_int_equal(hk_vm_create(&vm), 0);
    return vm;
}

static int start(struct hk_vm *vm, struct scripted_plan *plan, uint32_t cpus,
                 struct hk_errmsg *err)
{
    const struct hk_vm_config config = {
        .hv = &scripted_hv,
        .memory = HK_VM_MEMORY_MIN,
        .cpus = cpus,
        .serial_in = -1,
        .serial_out = -1,
    };
    scripted_hv_use(plan);
    return hk_vm_start(vm, &config, err);
}

static void assert_nothing_left(struct scripted_plan *plan)
{
    assert_int_equal(atomic_load(&plan->vms), 0);
    assert_int_equal(atomic_load(&plan->vcpus), 0);
}

/* Runs to the end that the script brings about. */
static struct hk_vm_result run(struct scripted_plan *plan, uint32_t cpus)
{
    struct hk_vm *vm = new_vm();
    assert_int_equal(start(vm, plan, cpus, NULL), 0);
    assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
    assert_nothing_left(plan);
    struct hk_vm_result result = *hk_vm_result(vm);
    hk_vm_destroy(vm);
    return result;
}

static struct hk_vm_result run_one(const struct script_step *steps)
{
    struct scripted_plan plan = {.steps = {steps}};
    return run(&plan, 1);
}

/* ------------------------------------------------------------------ */
/* Ends                                                               */

static void ends_when_the_guest_powers_off(void **state)
{
    static const struct script_step steps[] = {POWER_OFF, STEP(SCRIPT_END)};
    (void)state;
    struct hk_vm_result result = run_one(steps);
    assert_int_equal(result.reason, HK_END_POWER_OFF);
    assert_string_equal(result.text, "the guest powered off");
}

static void ends_with_the_status_from_the_exit_port(void **state)
{
    static const struct script_step steps[] = {EXIT_WITH(42), STEP(SCRIPT_END)};
    (void)state;
    struct hk_vm_result result = run_one(steps);
    assert_int_equal(result.reason, HK_END_EXIT);
    assert_int_equal(result.status, 42);
}

static void the_first_end_counts(void **state)
{
    static const struct script_step steps[] = {EXIT_WITH(1), POWER_OFF, RESET,
                                               STEP(SCRIPT_TRIPLE)};
    (void)state;
    assert_int_equal(run_one(steps).reason, HK_END_EXIT);
}

static void a_triple_fault_names_the_vcpu(void **state)
{
    static const struct script_step steps[] = {STEP(SCRIPT_TRIPLE)};
    (void)state;
    struct hk_vm_result result = run_one(steps);
    assert_int_equal(result.reason, HK_END_TRIPLE_FAULT);
    assert_non_null(strstr(result.text, "vCPU 0"));
}

static void a_back_end_that_gives_up_is_a_failure(void **state)
{
    static const struct script_step fails[] = {STEP(SCRIPT_FAIL)};
    static const struct script_step debugs[] = {STEP(SCRIPT_DEBUG)};
    (void)state;
    hk_log_set_level(HK_LOG_OFF);
    assert_int_equal(run_one(fails).reason, HK_END_FAILED);
    assert_int_equal(run_one(debugs).reason, HK_END_FAILED);
    hk_log_set_level(HK_LOG_WARN);
}

static void a_bare_reset_is_a_restart(void **state)
{
    static const struct script_step acpi[] = {RESET, STEP(SCRIPT_END)};
    static const struct script_step i8042[] = {OUT(0x64, 0xfe),
                                               STEP(SCRIPT_END)};
    (void)state;
    assert_int_equal(run_one(acpi).reason, HK_END_RESET);
    assert_int_equal(run_one(i8042).reason, HK_END_RESET);
}

static void a_reset_with_pins_in_use_is_a_crash(void **state)
{
    static const struct script_step steps[] = {STORE(IOAPIC_SELECT, 0x18),
                                               STORE(IOAPIC_WINDOW, 0x31),
                                               RESET, STEP(SCRIPT_END)};
    (void)state;
    struct hk_vm_result result = run_one(steps);
    assert_int_equal(result.reason, HK_END_CRASH);
    assert_string_equal(result.text,
                        "the guest restarted without shutting down");
}

static void a_reset_after_a_shutdown_is_a_restart(void **state)
{
    static const struct script_step steps[] = {
        STORE(SVR, SVR_ON),
        STORE(IOAPIC_SELECT, 0x18),
        STORE(IOAPIC_WINDOW, 0x31),
        STORE(IOAPIC_WINDOW, 0x10000), /* clear_IO_APIC */
        STORE(SVR, SVR_OFF),           /* stop_other_cpus */
        STORE(SVR, SVR_OFF),           /* lapic_shutdown */
        RESET,
        STEP(SCRIPT_END)};
    (void)state;
    assert_int_equal(run_one(steps).reason, HK_END_RESET);
}

static void a_reset_after_one_switch_off_is_a_crash(void **state)
{
    static const struct script_step steps[] = {
        STORE(SVR, SVR_ON), STORE(SVR, SVR_OFF), RESET, STEP(SCRIPT_END)};
    (void)state;
    assert_int_equal(run_one(steps).reason, HK_END_CRASH);
}

static void print(struct script_step *steps, size_t *at, const char *text)
{
    for (; *text != '\0'; text++)
        steps[(*at)++] = (struct script_step)OUT(0x3f8, (uint8_t)*text);
}

static void a_panic_on_the_console_makes_a_reset_a_crash(void **state)
{
    static struct script_step steps[128];
    size_t at = 0;
    (void)state;
    print(steps, &at, "Kernel panic - not syncing: gone\r\n");
    steps[at++] = (struct script_step)RESET;
    struct hk_vm_result result = run_one(steps);
    assert_int_equal(result.reason, HK_END_CRASH);
    assert_string_equal(result.text, "the guest's kernel panicked: gone");
}

/* ------------------------------------------------------------------ */
/* Kill and wait                                                      */

static void wait_gives_up_when_told_to(void **state)
{
    struct scripted_plan plan = {0};
    struct hk_vm *vm = new_vm();
    (void)state;
    assert_int_equal(hk_vm_wait(vm, 0), -HK_EINVAL);
    assert_int_equal(start(vm, &plan, 1, NULL), 0);
    assert_int_equal(hk_vm_wait(vm, 1), -HK_ETIMEDOUT);
    assert_int_equal(hk_vm_result(vm)->reason, HK_END_NONE);
    hk_vm_kill(vm);
    assert_int_equal(hk_vm_wait(vm, HK_VM_FOREVER), 0);
    assert_int_equal(hk_vm_wait(vm, 0), 0);
    assert_int_equal(hk_vm_result(vm)->reason, HK_END_KILLED);
    hk_vm_destroy(vm);
    assert_nothing_left(&plan);
}

static void a_kill_reaches_running_halted_and_waiting_vcpus(void **state)
{
    static const struct script_step halts[] = {STEP(SCRIPT_HLT),
                                               STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {halts}};
    struct hk_vm *vm = new_vm();
    (void)state;
    assert_int_equal(start(vm, &plan, 3, NULL), 0);
    while (hk_vm_counter(vm, HK_VM_HALTS) == 0)
        uv_sleep(0);
    hk_vm_kill(vm);
    assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
    assert_int_equal(hk_vm_counter(vm, HK_VM_HALTS), 1);
    hk_vm_destroy(vm);
    assert_nothing_left(&plan);
}

static void a_vm_killed_before_start_cannot_start(void **state)
{
    struct scripted_plan plan = {0};
    struct hk_vm *vm = new_vm();
    (void)state;
    hk_vm_kill(vm);
    assert_int_equal(start(vm, &plan, 1, NULL), -HK_ECANCELED);
    hk_vm_destroy(vm);
    assert_nothing_left(&plan);
}

static void a_vm_runs_once(void **state)
{
    static const struct script_step steps[] = {POWER_OFF, STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {steps}};
    struct hk_vm *vm = new_vm();
    (void)state;
    assert_int_equal(start(vm, &plan, 1, NULL), 0);
    assert_int_equal(start(vm, &plan, 1, NULL), -HK_EBUSY);
    assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
    assert_int_equal(start(vm, &plan, 1, NULL), -HK_EBUSY);
    hk_vm_destroy(vm);
}

static void destroy_ends_a_running_vm(void **state)
{
    struct scripted_plan plan = {0};
    struct hk_vm *vm = new_vm();
    (void)state;
    assert_int_equal(start(vm, &plan, 2, NULL), 0);
    hk_vm_destroy(vm);
    assert_nothing_left(&plan);
    hk_vm_destroy(NULL);
}

/* ------------------------------------------------------------------ */
/* Failing starts                                                     */

static void a_failed_start_leaves_nothing_and_can_be_repeated(void **state)
{
    static const struct script_step steps[] = {POWER_OFF, STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {steps}, .fail_vm = -HK_EACCES};
    struct hk_errmsg err = {""};
    struct hk_vm *vm = new_vm();
    (void)state;
    assert_int_equal(start(vm, &plan, 2, &err), -HK_EACCES);
    assert_string_equal(err.text, "the script says no");
    plan.fail_vm = 0;
    for (uint32_t at = 1; at <= 3; at++) {
        atomic_store(&plan.created, 0);
        plan.fail_at = at;
        assert_int_equal(start(vm, &plan, 3, &err), -HK_ENOSPC);
        assert_nothing_left(&plan);
    }
    plan.fail_at = 0;
    assert_int_equal(start(vm, &plan, 2, &err), 0);
    assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
    assert_int_equal(hk_vm_result(vm)->reason, HK_END_POWER_OFF);
    hk_vm_destroy(vm);
}

static void too_many_cpus_for_the_back_end_are_refused(void **state)
{
    struct scripted_plan plan = {.max_vcpus = 2};
    struct hk_errmsg err = {""};
    struct hk_vm *vm = new_vm();
    (void)state;
    assert_int_equal(start(vm, &plan, 3, &err), -HK_EINVAL);
    assert_string_equal(err.text, "back end scripted has at most 2 CPUs in a "
                                  "VM, not 3");
    hk_vm_destroy(vm);
    assert_nothing_left(&plan);
}

static void limits_are_checked_before_anything_is_built(void **state)
{
    struct hk_errmsg err = {""};
    (void)state;
    assert_int_equal(hk_vm_check_cpus(0, &err), -HK_EINVAL);
    assert_string_equal(err.text, "a VM has 1 to 254 CPUs, not 0");
    assert_int_equal(hk_vm_check_cpus(1, &err), 0);
    assert_int_equal(hk_vm_check_cpus(254, &err), 0);
    assert_int_equal(hk_vm_check_cpus(255, &err), -HK_EINVAL);
    assert_int_equal(hk_vm_check_memory(HK_VM_MEMORY_MIN, &err), 0);
    assert_int_equal(hk_vm_check_memory(HK_VM_MEMORY_MIN - 1, &err),
                     -HK_EINVAL);
    assert_int_equal(hk_vm_check_memory((uint64_t)1 << 60, &err), -HK_ENOMEM);
    assert_int_equal(hk_vm_check_cmdline("root=/dev/vda", &err), 0);
    assert_int_equal(hk_vm_check_cmdline("a\nb", &err), -HK_EINVAL);
}

/* ------------------------------------------------------------------ */
/* Interrupts, INIT and start-up                                      */

static void an_ap_starts_at_the_vector_in_real_mode(void **state)
{
    static const struct script_step boot[] = {START_AP(1, 0x9a),
                                              STEP(SCRIPT_END)};
    static const struct script_step ap[] = {EXIT_WITH(7), STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    struct hk_vm_result result = run(&plan, 2);
    assert_int_equal(result.status, 7);
    const struct hk_vcpu_state *s = &plan.seen[1].state;
    assert_int_equal(atomic_load(&plan.seen[1].states), 1);
    assert_int_equal(s->cs.selector, 0x9a00);
    assert_int_equal(s->cs.base, 0x9a000);
    assert_int_equal(s->cs.limit, 0xffff);
    assert_int_equal(s->rip, 0);
    assert_int_equal(s->cr0 & 0x80000001, 0); /* neither paging nor PE */
    assert_int_equal(s->efer, 0);
    assert_int_equal(s->rflags, 2);
}

static void an_ap_without_init_does_not_start(void **state)
{
    static const struct script_step boot[] = {SEND(1, ICR_FIXED | 0x40),
                                              SEND(1, ICR_NMI), EXIT_WITH(1),
                                              STEP(SCRIPT_END)};
    static const struct script_step ap[] = {EXIT_WITH(2), STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    assert_int_equal(run(&plan, 2).status, 1);
    assert_int_equal(atomic_load(&plan.seen[1].runs), 0);
}

static void the_second_start_up_is_ignored(void **state)
{
    /* The AP answers with an interrupt after it started, the boot processor
     * sends the second start-up then, and the AP ends the VM. */
    static const struct script_step boot[] = {
        STORE(SVR, SVR_ON),       STEP(SCRIPT_CLI),
        START_AP(1, 0x08),        {SCRIPT_AWAIT, 0, 1, 0},
        SEND(1, ICR_SIPI | 0x09), SEND(1, ICR_FIXED | 0x50),
        STEP(SCRIPT_END)};
    static const struct script_step ap[] = {
        STORE(SVR, SVR_ON),    STEP(SCRIPT_CLI), SEND(0, ICR_FIXED | 0x40),
        {SCRIPT_HLT, 0, 1, 0}, EXIT_WITH(3),     STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    assert_int_equal(run(&plan, 2).status, 3);
    assert_int_equal(atomic_load(&plan.seen[1].states), 1);
    assert_int_equal(atomic_load(&plan.seen[1].vector), 0x50);
}

static void init_stops_a_running_ap(void **state)
{
    static const struct script_step boot[] = {
        STORE(SVR, SVR_ON),      STEP(SCRIPT_CLI), START_AP(1, 0x08),
        {SCRIPT_AWAIT, 0, 1, 0}, STEP(SCRIPT_EOI), START_AP(1, 0x0a),
        {SCRIPT_AWAIT, 0, 1, 0}, EXIT_WITH(0),     STEP(SCRIPT_END)};
    static const struct script_step ap[] = {
        STORE(SVR, SVR_ON), SEND(0, ICR_FIXED | 0x40), STEP(SCRIPT_AWAIT),
        STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}, .restart_at_set = true};
    (void)state;
    assert_int_equal(run(&plan, 2).reason, HK_END_EXIT);
    assert_int_equal(atomic_load(&plan.seen[1].states), 2);
    assert_int_equal(plan.seen[1].state.cs.base, 0xa000);
}

static void init_of_the_boot_processor_is_a_reset(void **state)
{
    static const struct script_step boot[] = {START_AP(1, 8), STEP(SCRIPT_END)};
    static const struct script_step ap[] = {SEND(0, ICR_INIT),
                                            STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    assert_int_equal(run(&plan, 2).reason, HK_END_RESET);
}

static void an_interrupt_wakes_a_halted_vcpu(void **state)
{
    static const struct script_step boot[] = {
        STORE(SVR, SVR_ON),    STEP(SCRIPT_CLI), START_AP(1, 8),
        {SCRIPT_HLT, 0, 1, 0}, EXIT_WITH(5),     STEP(SCRIPT_END)};
    static const struct script_step ap[] = {
        STORE(SVR, SVR_ON), SEND(0, ICR_FIXED | 0x77), STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    assert_int_equal(run(&plan, 2).status, 5);
    assert_int_equal(atomic_load(&plan.seen[0].vector), 0x77);
}

/* 0x77 is in service when 0x66 arrives: only the end of 0x77 lets it in, and
 * the vCPU has to hear of that. */
static void an_end_of_interrupt_that_lets_the_next_one_in_is_told(void **state)
{
    static const struct script_step with_two[] = {STORE(SVR, SVR_ON),
                                                  STEP(SCRIPT_CLI),
                                                  SEND(0, ICR_FIXED | 0x77),
                                                  {SCRIPT_AWAIT, 0, 1, 0},
                                                  SEND(0, ICR_FIXED | 0x66),
                                                  STEP(SCRIPT_EOI),
                                                  EXIT_WITH(5),
                                                  STEP(SCRIPT_END)};
    static const struct script_step with_one[] = {STORE(SVR, SVR_ON),
                                                  STEP(SCRIPT_CLI),
                                                  SEND(0, ICR_FIXED | 0x77),
                                                  {SCRIPT_AWAIT, 0, 1, 0},
                                                  STEP(SCRIPT_EOI),
                                                  SEND(0, ICR_FIXED | 0x66),
                                                  EXIT_WITH(5),
                                                  STEP(SCRIPT_END)};
    struct scripted_plan two = {.steps = {with_two}};
    struct scripted_plan one = {.steps = {with_one}};
    (void)state;
    assert_int_equal(run(&two, 1).status, 5);
    assert_int_equal(run(&one, 1).status, 5);
    assert_int_equal(atomic_load(&two.seen[0].interrupts), 1);
    assert_true(atomic_load(&two.seen[0].pokes) >= 3);
    assert_int_equal(atomic_load(&two.seen[0].pokes),
                     atomic_load(&one.seen[0].pokes));
}

static void an_nmi_wakes_a_halted_vcpu_with_interrupts_off(void **state)
{
    static const struct script_step boot[] = {STEP(SCRIPT_CLI), START_AP(1, 8),
                                              STEP(SCRIPT_HLT), EXIT_WITH(6),
                                              STEP(SCRIPT_END)};
    /* Again and again: the first may come before the halt. */
    static const struct script_step ap[] = {
        SEND(0, ICR_NMI), {SCRIPT_JUMP, 0, UINT64_MAX, 0}, STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    assert_int_equal(run(&plan, 2).status, 6);
    assert_true(atomic_load(&plan.seen[0].nmis) > 0);
}

static void the_deadline_timer_wakes_a_halted_vcpu(void **state)
{
    static const struct script_step steps[] = {
        STORE(SVR, SVR_ON),    STORE(LVT_TIMER, LVT_TSC_DEADLINE | 0xec),
        STEP(SCRIPT_CLI),      {SCRIPT_TIMER, 0, 1000000, 0},
        {SCRIPT_HLT, 0, 1, 0}, EXIT_WITH(8),
        STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {steps}};
    (void)state;
    assert_int_equal(run(&plan, 1).status, 8);
    assert_int_equal(atomic_load(&plan.seen[0].vector), 0xec);
    assert_int_equal(atomic_load(&plan.seen[0].faults), 0);
}

static void a_masked_interrupt_does_not_make_a_halted_vcpu_spin(void **state)
{
    static const struct script_step boot[] = {
        STORE(SVR, SVR_ON), STEP(SCRIPT_CLI), START_AP(1, 8), STEP(SCRIPT_HLT),
        STEP(SCRIPT_END)};
    /* Twenty interrupts that vCPU 0 cannot take, then the end. */
    static const struct script_step ap[] = {SEND(0, ICR_FIXED | 0x30),
                                            {SCRIPT_JUMP, 0, 20, 0},
                                            EXIT_WITH(9),
                                            STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    assert_int_equal(run(&plan, 2).status, 9);
    assert_true(atomic_load(&plan.seen[0].runs) <= RUN_THRICE);
    assert_int_equal(atomic_load(&plan.seen[0].interrupts), 0);
}

/* Two vCPUs wake each other in turn; one lost wake-up and it hangs. */
static void no_wake_up_is_lost_in_ten_thousand(void **state)
{
    static const struct script_step boot[] = {
        STORE(SVR, SVR_ON),
        STEP(SCRIPT_CLI),
        START_AP(1, 8),
        {SCRIPT_HLT, 0, 1, 0}, /* step 6 */
        STEP(SCRIPT_EOI),
        SEND(1, ICR_FIXED | 0x41),
        {SCRIPT_JUMP, 6, 10000, 0},
        EXIT_WITH(11),
        STEP(SCRIPT_END)};
    static const struct script_step ap[] = {
        STORE(SVR, SVR_ON),         STEP(SCRIPT_CLI),
        SEND(0, ICR_FIXED | 0x42), /* steps 2, 3 */
        {SCRIPT_HLT, 0, 1, 0},      STEP(SCRIPT_EOI),
        {SCRIPT_JUMP, 2, 20000, 0}, STEP(SCRIPT_END)};
    struct scripted_plan plan = {.steps = {boot, ap}};
    (void)state;
    assert_int_equal(run(&plan, 2).status, 11);
    assert_true(atomic_load(&plan.seen[0].interrupts) >= 10000);
}

/* ------------------------------------------------------------------ */
/* Many                                                               */

static void a_thousand_starts_and_kills_race_cleanly(void **state)
{
    static const struct script_step halts[] = {STEP(SCRIPT_HLT),
                                               STEP(SCRIPT_END)};
    static const struct script_step starts[] = {START_AP(1, 8),
                                                STEP(SCRIPT_END)};
    static const struct script_step ends[] = {POWER_OFF, STEP(SCRIPT_END)};
    static const struct script_step *const scripts[] = {halts, starts, ends};
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        struct scripted_plan plan = {.steps = {scripts[i % 3], halts}};
        struct hk_vm *vm = new_vm();
        assert_int_equal(start(vm, &plan, 2, NULL), 0);
        if (i % 7 == 0)
            (void)!hk_vm_wait(vm, 0);
        hk_vm_kill(vm);
        assert_int_equal(hk_vm_wait(vm, LONG_MS), 0);
        hk_vm_destroy(vm);
        assert_nothing_left(&plan);
    }
}

static void many_vms_live_side_by_side(void **state)
{
    enum { VMS = 8, ROUNDS = 10 };
    static const struct script_step boot[] = {
        STORE(SVR, SVR_ON),    STEP(SCRIPT_CLI), START_AP(1, 8),
        {SCRIPT_HLT, 0, 1, 0}, EXIT_WITH(4),     STEP(SCRIPT_END)};
    static const struct script_step ap[] = {
        STORE(SVR, SVR_ON), SEND(0, ICR_FIXED | 0x40), STEP(SCRIPT_END)};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct scripted_plan plans[VMS];
        struct hk_vm *vms[VMS];
        for (int i = 0; i < VMS; i++) {
            memset(&plans[i], 0, sizeof(plans[i]));
            plans[i].steps[0] = boot;
            plans[i].steps[1] = ap;
            vms[i] = new_vm();
            assert_int_equal(start(vms[i], &plans[i], 2, NULL), 0);
        }
        for (int i = 0; i < VMS; i++) {
            assert_int_equal(hk_vm_wait(vms[i], LONG_MS), 0);
            assert_int_equal(hk_vm_result(vms[i])->status, 4);
            hk_vm_destroy(vms[i]);
            assert_nothing_left(&plans[i]);
        }
    }
}

static void the_next_descriptor_stays_the_same(void **state)
{
    static const struct script_step ends[] = {POWER_OFF, STEP(SCRIPT_END)};
    (void)state;
    (void)run_one(ends); /* libuv opens what it keeps for the process */
    FILE *before = tmpfile();
    int first = fileno(before);
    (void)fclose(before);
    for (int i = 0; i < 20; i++)
        (void)run_one(ends);
    FILE *after = tmpfile();
    assert_int_equal(fileno(after), first);
    (void)fclose(after);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(ends_when_the_guest_powers_off),
    cmocka_unit_test(ends_with_the_status_from_the_exit_port),
    cmocka_unit_test(the_first_end_counts),
    cmocka_unit_test(a_triple_fault_names_the_vcpu),
    cmocka_unit_test(a_back_end_that_gives_up_is_a_failure),
    cmocka_unit_test(a_bare_reset_is_a_restart),
    cmocka_unit_test(a_reset_with_pins_in_use_is_a_crash),
    cmocka_unit_test(a_reset_after_a_shutdown_is_a_restart),
    cmocka_unit_test(a_reset_after_one_switch_off_is_a_crash),
    cmocka_unit_test(a_panic_on_the_console_makes_a_reset_a_crash),
    cmocka_unit_test(wait_gives_up_when_told_to),
    cmocka_unit_test(a_kill_reaches_running_halted_and_waiting_vcpus),
    cmocka_unit_test(a_vm_killed_before_start_cannot_start),
    cmocka_unit_test(a_vm_runs_once),
    cmocka_unit_test(destroy_ends_a_running_vm),
    cmocka_unit_test(a_failed_start_leaves_nothing_and_can_be_repeated),
    cmocka_unit_test(too_many_cpus_for_the_back_end_are_refused),
    cmocka_unit_test(limits_are_checked_before_anything_is_built),
    cmocka_unit_test(an_ap_starts_at_the_vector_in_real_mode),
    cmocka_unit_test(an_ap_without_init_does_not_start),
    cmocka_unit_test(the_second_start_up_is_ignored),
    cmocka_unit_test(init_stops_a_running_ap),
    cmocka_unit_test(init_of_the_boot_processor_is_a_reset),
    cmocka_unit_test(an_interrupt_wakes_a_halted_vcpu),
    cmocka_unit_test(an_end_of_interrupt_that_lets_the_next_one_in_is_told),
    cmocka_unit_test(an_nmi_wakes_a_halted_vcpu_with_interrupts_off),
    cmocka_unit_test(the_deadline_timer_wakes_a_halted_vcpu),
    cmocka_unit_test(a_masked_interrupt_does_not_make_a_halted_vcpu_spin),
    cmocka_unit_test(no_wake_up_is_lost_in_ten_thousand),
    cmocka_unit_test(a_thousand_starts_and_kills_race_cleanly),
    cmocka_unit_test(many_vms_live_side_by_side),
    cmocka_unit_test(the_next_descriptor_stays_the_same),
};
HK_TEST_MAIN(cases)
