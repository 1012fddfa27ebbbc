/*
 * husk.h on the software CPU, with kernels of a few instructions.
 */
#include "hk_test.h"

#include "base/endian.h"
#include "husk.h"

enum { LONG_MS = 60000, LOAD_AT = 0x1000000, FILE_SIZE = 4096 };

/* mov dx, 0x501; mov al, STATUS; out dx, al; hlt; jmp to the hlt */
static const uint8_t exits_with_42[] = {0x66, 0xba, 0x01, 0x05, 0xb0,
                                        42,   0xee, 0xf4, 0xeb, 0xfd};
static const uint8_t spins[] = {0xeb, 0xfe};
static const uint8_t halts[] = {0xfa, 0xf4, 0xeb, 0xfd};
/* lidt with a limit of 0 from the stack, then ud2 */
static const uint8_t faults[] = {0x6a, 0x00, 0x6a, 0x00, 0x0f,
                                 0x01, 0x1c, 0x24, 0x0f, 0x0b};

/* An ELF64 whose one segment is the code. */
static void write_kernel(const char *path, const uint8_t *code, size_t len)
{
    static uint8_t file[FILE_SIZE];
    memset(file, 0, sizeof(file));
    memcpy(file, "\177ELF\2\1\1", 7);
    hk_put_le16(file + 16, 2);  /* executable */
    hk_put_le16(file + 18, 62); /* x86-64 */
    hk_put_le32(file + 20, 1);
    hk_put_le64(file + 24, LOAD_AT);
    hk_put_le64(file + 32, 64);
    hk_put_le16(file + 52, 64);
    hk_put_le16(file + 54, 56);
    hk_put_le16(file + 56, 1);
    hk_put_le32(file + 64, 1); /* load */
    hk_put_le32(file + 68, 5);
    hk_put_le64(file + 72, 128);
    hk_put_le64(file + 80, LOAD_AT);
    hk_put_le64(file + 88, LOAD_AT);
    hk_put_le64(file + 96, len);
    hk_put_le64(file + 104, 65536);
    memcpy(file + 128, code, len);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file, 1, sizeof(file), out), sizeof(file));
    assert_int_equal(fclose(out), 0);
}

static struct husk_vm *new_vm(const uint8_t *code, size_t len)
{
    char path[64];
    static int number;
    struct husk_vm *vm = NULL;
    (void)snprintf(path, sizeof(path), "api_test.%d.elf", number++);
    write_kernel(path, code, len);
    assert_int_equal(husk_vm_create(&vm), 0);
    assert_int_equal(husk_vm_set_backend(vm, "soft"), 0);
    assert_int_equal(husk_vm_set_kernel(vm, path), 0);
    assert_int_equal(husk_vm_set_memory(vm, HUSK_MIN_MEMORY), 0);
    int rc = husk_vm_start(vm);
    (void)remove(path);
    if (rc != 0)
        fail_msg("%s", husk_vm_error(vm));
    return vm;
}

#define NEW_VM(code) new_vm(code, sizeof(code))

static void a_guest_gives_its_status(void **state)
{
    struct husk_vm *vm = NEW_VM(exits_with_42);
    (void)state;
    assert_int_equal(husk_vm_wait(vm, LONG_MS), 0);
    assert_int_equal(husk_vm_end_reason(vm), HUSK_END_EXIT);
    assert_int_equal(husk_vm_end_status(vm), 42);
    assert_string_equal(husk_vm_end_text(vm),
                        "the workload ended with status 42");
    assert_int_equal(husk_vm_counter(vm, HUSK_COUNTER_PORT_ACCESSES), 1);
    assert_int_equal(husk_vm_counter(vm, -1), 0);
    assert_int_equal(husk_vm_counter(vm, 99), 0);
    husk_vm_destroy(vm);
}

static void a_guest_without_fault_handler_is_a_triple_fault(void **state)
{
    struct husk_vm *vm = NEW_VM(faults);
    (void)state;
    assert_int_equal(husk_vm_wait(vm, LONG_MS), 0);
    assert_int_equal(husk_vm_end_reason(vm), HUSK_END_TRIPLE_FAULT);
    husk_vm_destroy(vm);
}

static void a_spinning_guest_is_killed(void **state)
{
    struct husk_vm *vm = NEW_VM(spins);
    (void)state;
    assert_int_equal(husk_vm_wait(vm, 1), -110);
    assert_int_equal(husk_vm_end_reason(vm), HUSK_END_NONE);
    assert_string_equal(husk_vm_end_text(vm), "");
    husk_vm_kill(vm);
    assert_int_equal(husk_vm_wait(vm, LONG_MS), 0);
    assert_int_equal(husk_vm_end_reason(vm), HUSK_END_KILLED);
    husk_vm_destroy(vm);
}

static void a_halted_guest_is_stopped(void **state)
{
    struct husk_vm *vm = NEW_VM(halts);
    (void)state;
    assert_int_equal(husk_vm_stop(vm, 0), 0);
    assert_int_equal(husk_vm_end_reason(vm), HUSK_END_KILLED);
    assert_int_equal(husk_vm_stop(vm, 0), 0);
    husk_vm_destroy(vm);
}

static void eight_vms_run_at_once(void **state)
{
    enum { VMS = 8, ROUNDS = 3 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct husk_vm *vms[VMS];
        for (int i = 0; i < VMS; i++)
            vms[i] = i % 2 == 0 ? NEW_VM(exits_with_42) : NEW_VM(halts);
        for (int i = 0; i < VMS; i++) {
            if (i % 2 == 1)
                husk_vm_kill(vms[i]);
            assert_int_equal(husk_vm_wait(vms[i], LONG_MS), 0);
            assert_int_equal(husk_vm_end_reason(vms[i]),
                             i % 2 == 0 ? HUSK_END_EXIT : HUSK_END_KILLED);
            husk_vm_destroy(vms[i]);
        }
    }
}

static void a_started_vm_cannot_be_changed(void **state)
{
    struct husk_vm *vm = NEW_VM(halts);
    (void)state;
    assert_int_equal(husk_vm_set_cpus(vm, 1), -16);
    assert_int_equal(husk_vm_set_memory(vm, HUSK_MIN_MEMORY), -16);
    assert_int_equal(husk_vm_set_kernel(vm, "k"), -16);
    assert_int_equal(husk_vm_set_initrd(vm, NULL), -16);
    assert_int_equal(husk_vm_set_cmdline(vm, "x"), -16);
    assert_int_equal(husk_vm_set_cmdline_additions(vm, 0), -16);
    assert_int_equal(husk_vm_set_serial(vm, -1, -1, 0), -16);
    assert_int_equal(husk_vm_set_backend(vm, "soft"), -16);
    assert_int_equal(husk_vm_start(vm), -16);
    husk_vm_destroy(vm);
}

static void a_refused_setting_keeps_the_old_one(void **state)
{
    struct husk_vm *vm = NULL;
    (void)state;
    assert_int_equal(husk_vm_create(&vm), 0);
    assert_string_equal(husk_vm_error(vm), "");
    assert_int_equal(husk_vm_set_cpus(vm, 255), -22);
    assert_string_equal(husk_vm_error(vm), "a VM has 1 to 254 CPUs, not 255");
    assert_int_equal(husk_vm_set_kernel(vm, ""), -22);
    assert_int_equal(husk_vm_set_initrd(vm, ""), -22);
    assert_int_equal(husk_vm_set_serial(vm, -2, 0, 0), -22);
    assert_int_equal(husk_vm_set_serial(vm, 0, 0, 2), -22);
    assert_int_equal(setenv("HUSK_KERNEL", "/no/such/default", 1), 0);
    assert_int_equal(husk_vm_start(vm), -2);
    assert_non_null(strstr(husk_vm_error(vm), "/no/such/default"));
    assert_int_equal(husk_vm_set_kernel(vm, "/no/such/kernel"), 0);
    assert_int_equal(husk_vm_set_backend(vm, "magic"), 0);
    assert_int_equal(husk_vm_start(vm), -22);
    assert_int_equal(husk_vm_set_backend(vm, NULL), 0);
    assert_int_equal(husk_vm_start(vm), -2);
    assert_non_null(strstr(husk_vm_error(vm), "/no/such/kernel"));
    husk_vm_destroy(vm);
}

static void back_ends_are_listed(void **state)
{
    char why[8] = "";
    (void)state;
    assert_true(husk_backend_count() > 0);
    assert_null(husk_backend_name(husk_backend_count()));
    assert_null(husk_backend_summary(husk_backend_count()));
    assert_int_equal(husk_backend_probe(husk_backend_count(), NULL, 0), -22);
    int index = husk_backend_choose("soft", why, sizeof(why));
    assert_true(index >= 0);
    assert_string_equal(husk_backend_name((size_t)index), "soft");
    assert_int_equal(strlen(why), sizeof(why) - 1); /* cut, and ended */
    assert_true(husk_host_cpus() >= 1);
    assert_true(husk_host_memory() > HUSK_MIN_MEMORY);
}

static void host_features_are_cut_to_the_buffer(void **state)
{
    char text[9];
    (void)state;
    size_t full = husk_host_cpu_features(NULL, 0);
    assert_int_equal(husk_host_cpu_features(text, sizeof(text)), full);
    assert_true(strlen(text) < sizeof(text));
}

static int log_lines;

static void count_line(void *opaque, int level, const char *module,
                       const char *message)
{
    (void)level;
    (void)message;
    assert_ptr_equal(opaque, &log_lines);
    assert_true(module[0] != '\0');
    __atomic_add_fetch(&log_lines, 1, __ATOMIC_SEQ_CST);
}

static void the_log_goes_to_the_handler(void **state)
{
    (void)state;
    assert_int_equal(husk_log_set_level(-1), -22);
    assert_int_equal(husk_log_set_level(6), -22);
    assert_int_equal(husk_log_set_level(HUSK_LOG_INFO), 0);
    husk_log_set_handler(count_line, &log_lines);
    husk_vm_destroy(NEW_VM(halts));
    husk_log_set_handler(NULL, NULL);
    assert_int_equal(husk_log_set_level(HUSK_LOG_WARN), 0);
    assert_true(log_lines > 0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_guest_gives_its_status),
    cmocka_unit_test(a_guest_without_fault_handler_is_a_triple_fault),
    cmocka_unit_test(a_spinning_guest_is_killed),
    cmocka_unit_test(a_halted_guest_is_stopped),
    cmocka_unit_test(eight_vms_run_at_once),
    cmocka_unit_test(a_started_vm_cannot_be_changed),
    cmocka_unit_test(a_refused_setting_keeps_the_old_one),
    cmocka_unit_test(back_ends_are_listed),
    cmocka_unit_test(host_features_are_cut_to_the_buffer),
    cmocka_unit_test(the_log_goes_to_the_handler),
};
HK_TEST_MAIN(cases)
