/* disk/disk.c: the checks around every operation; base/iov.h below them */
#include "disk_fakes.h"
#include "hk_test.h"

enum { SIZE = 300000 };

static struct mem_store store;

static int setup(void **state)
{
    mem_store_init(&store, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        store.bytes[i] = (uint8_t)(i % 251);
    return 0;
}

static int teardown(void **state)
{
    mem_store_fini(&store);
    return 0;
}

static void ranges_outside_the_disk_are_refused(void **state)
{
    uint8_t bytes[16];
    struct hk_disk *disk = mem_disk_create(&store, 0);
    assert_int_equal(hk_disk_read(disk, bytes, 1, SIZE), -HK_EINVAL);
    assert_int_equal(hk_disk_read(disk, bytes, 16, SIZE - 15), -HK_EINVAL);
    assert_int_equal(hk_disk_read(disk, bytes, 16, UINT64_MAX - 7), -HK_EINVAL);
    assert_int_equal(hk_disk_write(disk, bytes, 1, SIZE), -HK_EINVAL);
    assert_int_equal(hk_disk_zero(disk, 1, SIZE, true), -HK_EINVAL);
    assert_int_equal(hk_disk_zero(disk, 1, UINT64_MAX, true), -HK_EINVAL);
    assert_int_equal(hk_disk_trim(disk, SIZE, 1), -HK_EINVAL);
    assert_int_equal(hk_disk_trim(disk, 2, UINT64_MAX), -HK_EINVAL);
    assert_int_equal(hk_disk_read(disk, bytes, 16, SIZE - 16), 0);
    hk_disk_close(disk);
}

static void lengths_that_overflow_are_refused(void **state)
{
    uint8_t byte;
    struct hk_iov pieces[] = {{&byte, SIZE_MAX}, {&byte, 2}};
    struct hk_disk *disk = mem_disk_create(&store, 0);
    assert_int_equal(hk_disk_readv(disk, pieces, 2, 0), -HK_EINVAL);
    assert_int_equal(hk_disk_writev(disk, pieces, 2, 0), -HK_EINVAL);
    hk_disk_close(disk);
}

static void nothing_to_do_does_nothing(void **state)
{
    struct fault_plan plan = {.nth = 1, .for_ever = true};
    struct hk_disk *disk = fault_disk_create(mem_disk_create(&store, 0), &plan);
    assert_int_equal(hk_disk_readv(disk, NULL, 0, SIZE), 0);
    assert_int_equal(hk_disk_write(disk, NULL, 0, 0), 0);
    assert_int_equal(hk_disk_zero(disk, 5, 0, true), 0);
    assert_int_equal(hk_disk_trim(disk, 5, 0), 0);
    assert_int_equal(plan.seen, 0);
    assert_int_equal(hk_disk_flush(disk), -HK_EIO);
    hk_disk_close(disk);
}

static void a_disk_that_cannot_zero_gets_zeroes_written(void **state)
{
    struct hk_disk *disk = mem_disk_create(&store, MEM_NO_ZERO);
    assert_int_equal(hk_disk_zero(disk, 100, SIZE - 200, false), 0);
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(store.bytes[i],
                         i < 100 || i >= SIZE - 100 ? i % 251 : 0);
    hk_disk_close(disk);
}

static void a_disk_that_cannot_trim_takes_it_as_advice(void **state)
{
    struct hk_disk *disk = mem_disk_create(&store, MEM_NO_ZERO);
    assert_int_equal(hk_disk_trim(disk, 0, SIZE), 0);
    assert_int_equal(store.bytes[1], 1);
    hk_disk_close(disk);
}

static void a_store_grows_by_writing_past_its_end(void **state)
{
    uint8_t byte = 9;
    struct hk_disk *disk = mem_disk_create(&store, MEM_GROWS);
    assert_int_equal(hk_disk_write(disk, &byte, 1, SIZE + 99), 0);
    assert_int_equal(hk_disk_size(disk), SIZE + 100);
    assert_int_equal(hk_disk_read(disk, &byte, 1, SIZE + 98), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(hk_disk_zero(disk, SIZE + 100, 1, true), -HK_EINVAL);
    assert_int_equal(hk_disk_write(disk, &byte, 1, INT64_MAX), -HK_EINVAL);
    hk_disk_close(disk);
}

static void closing_flushes_a_writable_disk(void **state)
{
    hk_disk_close(mem_disk_create(&store, 0));
    assert_int_equal(store.flushes, 1);
    hk_disk_close(mem_disk_create(&store, MEM_READ_ONLY));
    assert_int_equal(store.flushes, 1);
    hk_disk_close(NULL);
}

static void pieces_are_cut_in_order(void **state)
{
    uint8_t bytes[10];
    const struct hk_iov pieces[] = {
        {bytes, 3}, {NULL, 0}, {bytes + 3, 4}, {bytes + 7, 3}};
    struct hk_iov_pos pos = {pieces, 4, 0};
    struct hk_iov out[4];
    size_t count;
    assert_int_equal(hk_iov_take(&pos, 5, out, 4, &count), 5);
    assert_int_equal(count, 2);
    assert_ptr_equal(out[1].base, bytes + 3);
    assert_int_equal(out[1].len, 2);
    assert_int_equal(hk_iov_take(&pos, 9, out, 1, &count), 2);
    assert_ptr_equal(out[0].base, bytes + 5);
    assert_int_equal(hk_iov_take(&pos, 9, out, 4, &count), 3);
    assert_int_equal(hk_iov_take(&pos, 9, out, 4, &count), 0);
    assert_int_equal(count, 0);
}

static void pieces_are_filled_and_emptied(void **state)
{
    uint8_t bytes[10], back[10];
    const struct hk_iov pieces[] = {{bytes, 3}, {bytes + 3, 7}};
    struct hk_iov_pos pos = {pieces, 2, 0};
    assert_int_equal(hk_iov_put(&pos, "abcde", 5), 5);
    assert_int_equal(hk_iov_put(&pos, NULL, 100), 5);
    assert_memory_equal(bytes, "abcde\0\0\0\0\0", 10);
    pos = (struct hk_iov_pos){pieces, 2, 0};
    assert_int_equal(hk_iov_get(&pos, back, 100), 10);
    assert_memory_equal(back, bytes, 10);
}

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(ranges_outside_the_disk_are_refused),
    CASE(lengths_that_overflow_are_refused),
    CASE(nothing_to_do_does_nothing),
    CASE(a_disk_that_cannot_zero_gets_zeroes_written),
    CASE(a_disk_that_cannot_trim_takes_it_as_advice),
    CASE(a_store_grows_by_writing_past_its_end),
    CASE(closing_flushes_a_writable_disk),
    CASE(pieces_are_cut_in_order),
    CASE(pieces_are_filled_and_emptied),
};
HK_TEST_MAIN(cases)
