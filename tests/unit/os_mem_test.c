/* os/mem.h */
#include "hk_test.h"

#include "base/err.h"
#include "os/mem.h"

static void memory_is_zeroed_aligned_and_writable(void **state)
{
    const uint64_t size = 1 << 20;
    uint8_t *memory = NULL;
    assert_int_equal(hk_os_mem_alloc(size, &memory), 0);
    assert_int_equal((uintptr_t)memory % 4096, 0);
    for (uint64_t i = 0; i < size; i++)
        assert_int_equal(memory[i], 0);
    memory[0] = 1;
    memory[size - 1] = 2;
    hk_os_mem_free(memory, size);
}

static void a_large_area_costs_nothing_untouched(void **state)
{
    const uint64_t size = UINT64_C(64) << 30;
    uint8_t *memory = NULL;
    assert_int_equal(hk_os_mem_alloc(size, &memory), 0);
    memory[size / 2] = 1;
    hk_os_mem_free(memory, size);
}

static void impossible_sizes_are_refused(void **state)
{
    uint8_t *memory = NULL;
    assert_int_equal(hk_os_mem_alloc(0, &memory), -HK_EINVAL);
    assert_int_equal(hk_os_mem_alloc(UINT64_MAX, &memory), -HK_EINVAL);
    assert_int_equal(hk_os_mem_alloc(UINT64_C(1) << 62, &memory), -HK_ENOMEM);
    assert_null(memory);
}

static void freeing_nothing_is_legal(void **state)
{
    hk_os_mem_free(NULL, 4096);
}

static void the_host_has_some_memory(void **state)
{
    assert_true(hk_os_mem_total() > UINT64_C(16) << 20);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(memory_is_zeroed_aligned_and_writable),
    cmocka_unit_test(a_large_area_costs_nothing_untouched),
    cmocka_unit_test(impossible_sizes_are_refused),
    cmocka_unit_test(freeing_nothing_is_legal),
    cmocka_unit_test(the_host_has_some_memory),
};
HK_TEST_MAIN(cases)
