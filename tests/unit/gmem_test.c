/* Guest physical memory: what is RAM, and copies that respect it. */
#include "hk_test.h"

#include "mem/gmem.h"

enum { PAGE = HK_GMEM_PAGE };

static struct hk_gmem *make(void)
{
    struct hk_gmem *gmem;
    assert_int_equal(hk_gmem_create(&gmem), 0);
    return gmem;
}

static void add(struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t size)
{
    assert_int_equal(hk_gmem_add(gmem, gpa, size, NULL), 0);
}

static void row132_new_memory_is_zero_and_page_aligned(void **state)
{
    struct hk_gmem *gmem = make();
    uint8_t bytes[64], zero[64] = {0};
    add(gmem, 0x10000, 4 * PAGE);

    struct hk_gmem_region r = hk_gmem_region(gmem, 0);
    assert_int_equal((uintptr_t)r.host % PAGE, 0);
    for (uint64_t at = 0; at < r.size; at += sizeof(bytes)) {
        assert_int_equal(
            hk_gmem_copy_in(gmem, bytes, r.gpa + at, sizeof(bytes)), 0);
        assert_memory_equal(bytes, zero, sizeof(bytes));
    }
    hk_gmem_destroy(gmem);
}

static void row132_every_access_is_bounds_checked(void **state)
{
    struct hk_gmem *gmem = make();
    uint8_t byte = 7, two[2] = {1, 2};
    add(gmem, 0x10000, PAGE);
    hk_gpa_t last = 0x10000 + PAGE - 1;

    assert_int_equal(hk_gmem_copy_in(gmem, &byte, last, 1), 0);
    assert_int_equal(hk_gmem_copy_in(gmem, two, last, 2), -HK_EFAULT);
    assert_int_equal(hk_gmem_copy_out(gmem, last, two, 2), -HK_EFAULT);
    assert_int_equal(hk_gmem_copy_out(gmem, 0xffff, two, 2), -HK_EFAULT);
    assert_int_equal(hk_gmem_fill(gmem, last, 9, 2), -HK_EFAULT);
    assert_int_equal(hk_gmem_copy_in(gmem, &byte, UINT64_MAX, 1), -HK_EFAULT);
    assert_int_equal(hk_gmem_copy_in(gmem, &byte, 0x10000, UINT64_MAX),
                     -HK_EFAULT);
    assert_int_equal(hk_gmem_fill(gmem, 0x10000, 0, UINT64_MAX - 0xffff),
                     -HK_EFAULT);
    hk_gmem_destroy(gmem);
}

static void a_failed_copy_moves_nothing(void **state)
{
    struct hk_gmem *gmem = make();
    uint8_t in[2 * PAGE], out = 0xee;
    memset(in, 0x55, sizeof(in));
    add(gmem, 0, PAGE);

    assert_int_equal(hk_gmem_copy_out(gmem, 0, in, sizeof(in)), -HK_EFAULT);
    assert_int_equal(hk_gmem_copy_in(gmem, &out, 0, 1), 0);
    assert_int_equal(out, 0);
    hk_gmem_destroy(gmem);
}

static void a_copy_spans_adjacent_regions(void **state)
{
    struct hk_gmem *gmem = make();
    uint8_t in[PAGE * 2], out[PAGE * 2];
    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 7 + i / 256);
    add(gmem, 2 * PAGE, PAGE);
    add(gmem, PAGE, PAGE);
    add(gmem, 3 * PAGE, PAGE);
    hk_gpa_t at = PAGE + PAGE / 2;

    assert_true(hk_gmem_has(gmem, PAGE, 3 * PAGE));
    assert_int_equal(hk_gmem_copy_out(gmem, at, in, sizeof(in)), 0);
    assert_int_equal(hk_gmem_copy_in(gmem, out, at, sizeof(out)), 0);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(hk_gmem_fill(gmem, PAGE, 0x42, 3 * PAGE), 0);
    assert_int_equal(hk_gmem_copy_in(gmem, out, at, sizeof(out)), 0);
    for (unsigned i = 0; i < sizeof(out); i++)
        assert_int_equal(out[i], 0x42);
    hk_gmem_destroy(gmem);
}

static void a_hole_between_regions_is_not_memory(void **state)
{
    struct hk_gmem *gmem = make();
    add(gmem, 0, PAGE);
    add(gmem, 2 * PAGE, PAGE);

    assert_false(hk_gmem_has(gmem, 0, 3 * PAGE));
    assert_false(hk_gmem_has(gmem, PAGE, 1));
    assert_false(hk_gmem_has(gmem, PAGE - 1, 2));
    assert_true(hk_gmem_has(gmem, PAGE - 1, 1));
    assert_true(hk_gmem_has(gmem, PAGE, 0));
    hk_gmem_destroy(gmem);
}

static void regions_are_listed_in_ascending_order(void **state)
{
    struct hk_gmem *gmem = make();
    add(gmem, 0x30000, PAGE);
    add(gmem, 0x10000, 2 * PAGE);
    add(gmem, 0x20000, PAGE);

    assert_int_equal(hk_gmem_region_count(gmem), 3);
    assert_int_equal(hk_gmem_region(gmem, 0).gpa, 0x10000);
    assert_int_equal(hk_gmem_region(gmem, 1).gpa, 0x20000);
    assert_int_equal(hk_gmem_region(gmem, 2).gpa, 0x30000);
    assert_int_equal(hk_gmem_region(gmem, 3).size, 0);
    assert_int_equal(hk_gmem_total(gmem), 4 * PAGE);
    hk_gmem_destroy(gmem);
}

static void refuses_a_bad_region(void **state)
{
    struct hk_gmem *gmem = make();
    struct hk_errmsg err = {{0}};
    add(gmem, 0x10000, 2 * PAGE);

    assert_int_equal(hk_gmem_add(gmem, 1, PAGE, &err), -HK_EINVAL);
    assert_int_equal(hk_gmem_add(gmem, 0, 1, &err), -HK_EINVAL);
    assert_int_equal(hk_gmem_add(gmem, 0, 0, &err), -HK_EINVAL);
    assert_int_equal(hk_gmem_add(gmem, -(uint64_t)PAGE, 2 * PAGE, &err),
                     -HK_EINVAL);
    assert_int_equal(hk_gmem_add(gmem, 0x11000, 2 * PAGE, &err), -HK_EEXIST);
    assert_int_equal(hk_gmem_add(gmem, 0xf000, 2 * PAGE, &err), -HK_EEXIST);
    assert_non_null(strstr(err.text, "overlaps"));
    assert_int_equal(hk_gmem_region_count(gmem), 1);
    hk_gmem_destroy(gmem);
}

static void refuses_one_region_too_many(void **state)
{
    struct hk_gmem *gmem = make();
    for (uint64_t i = 0; i < HK_GMEM_MAX_REGIONS; i++)
        add(gmem, i * 2 * PAGE, PAGE);
    assert_int_equal(hk_gmem_add(gmem, 0x1000000, PAGE, NULL), -HK_ENOSPC);
    hk_gmem_destroy(gmem);
}

static void says_so_when_the_host_has_no_memory(void **state)
{
    struct hk_gmem *gmem = make();
    struct hk_errmsg err = {{0}};
    assert_int_equal(hk_gmem_add(gmem, 0, 1ull << 62, &err), -HK_ENOMEM);
    assert_non_null(strstr(err.text, "ask for less"));
    assert_int_equal(hk_gmem_region_count(gmem), 0);
    hk_gmem_destroy(gmem);
}

struct seen {
    hk_gpa_t gpa;
    uint64_t len;
    int calls;
};

static void note(void *opaque, hk_gpa_t gpa, uint64_t len)
{
    struct seen *seen = opaque;
    *seen = (struct seen){gpa, len, seen->calls + 1};
}

static void the_watcher_hears_of_host_writes_only(void **state)
{
    struct hk_gmem *gmem = make();
    struct seen seen = {0};
    uint8_t bytes[16] = {1};
    add(gmem, 0, PAGE);
    hk_gmem_set_watch(gmem, note, &seen);

    assert_int_equal(hk_gmem_copy_in(gmem, bytes, 0, sizeof(bytes)), 0);
    assert_int_equal(hk_gmem_copy_out(gmem, PAGE - 1, bytes, 2), -HK_EFAULT);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(hk_gmem_copy_out(gmem, 0x80, bytes, sizeof(bytes)), 0);
    assert_int_equal(seen.gpa, 0x80);
    assert_int_equal(seen.len, sizeof(bytes));
    assert_int_equal(hk_gmem_fill(gmem, 0x200, 1, 3), 0);
    assert_int_equal(seen.gpa, 0x200);
    assert_int_equal(seen.calls, 2);
    hk_gmem_destroy(gmem);
}

static void row132_a_span_is_never_more_than_one_piece(void **state)
{
    struct hk_gmem *gmem = make();
    uint8_t *host = NULL, *next = NULL;
    uint8_t byte = 0;
    add(gmem, PAGE, PAGE);
    add(gmem, 2 * PAGE, PAGE);

    assert_int_equal(hk_gmem_span(gmem, PAGE + 8, 16, &host), 16);
    assert_int_equal(hk_gmem_span(gmem, 2 * PAGE - 8, 16, &host), 8);
    assert_int_equal(hk_gmem_span(gmem, 2 * PAGE, 8, &next), 8);
    host[7] = 42;
    next[0] = 43;
    assert_int_equal(hk_gmem_copy_in(gmem, &byte, 2 * PAGE - 1, 1), 0);
    assert_int_equal(byte, 42);
    assert_int_equal(hk_gmem_copy_in(gmem, &byte, 2 * PAGE, 1), 0);
    assert_int_equal(byte, 43);
    assert_int_equal(hk_gmem_span(gmem, PAGE, UINT64_MAX, &host), PAGE);
    assert_int_equal(hk_gmem_span(gmem, PAGE - 1, 2, &host), 0);
    assert_int_equal(hk_gmem_span(gmem, 3 * PAGE, 1, &host), 0);
    assert_int_equal(hk_gmem_span(gmem, UINT64_MAX, 1, &host), 0);
    hk_gmem_destroy(gmem);
}

static void the_watcher_hears_of_writes_through_a_span(void **state)
{
    struct hk_gmem *gmem = make();
    struct seen seen = {0};
    uint8_t *host = NULL;
    add(gmem, 0, PAGE);
    add(gmem, 4 * PAGE, PAGE);

    assert_int_equal(hk_gmem_span(gmem, 4 * PAGE + 5, 9, &host), 9);
    hk_gmem_wrote(gmem, host, 9); /* nobody watches yet */
    hk_gmem_set_watch(gmem, note, &seen);
    assert_int_equal(seen.calls, 0);
    hk_gmem_wrote(gmem, host, 9);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.gpa, 4 * PAGE + 5);
    assert_int_equal(seen.len, 9);
    hk_gmem_wrote(gmem, host, 0);
    assert_int_equal(seen.calls, 1);
    hk_gmem_destroy(gmem);
}

static void destroying_nothing_is_legal(void **state)
{
    hk_gmem_destroy(NULL);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(row132_new_memory_is_zero_and_page_aligned),
    cmocka_unit_test(row132_every_access_is_bounds_checked),
    cmocka_unit_test(a_failed_copy_moves_nothing),
    cmocka_unit_test(a_copy_spans_adjacent_regions),
    cmocka_unit_test(a_hole_between_regions_is_not_memory),
    cmocka_unit_test(regions_are_listed_in_ascending_order),
    cmocka_unit_test(refuses_a_bad_region),
    cmocka_unit_test(refuses_one_region_too_many),
    cmocka_unit_test(says_so_when_the_host_has_no_memory),
    cmocka_unit_test(the_watcher_hears_of_host_writes_only),
    cmocka_unit_test(row132_a_span_is_never_more_than_one_piece),
    cmocka_unit_test(the_watcher_hears_of_writes_through_a_span),
    cmocka_unit_test(destroying_nothing_is_legal),
};
HK_TEST_MAIN(cases)
