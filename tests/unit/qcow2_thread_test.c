/* disk/qcow2.c with requests side by side */
#include "disk_fakes.h"
#include "hk_test.h"
#include "qcow2_image.h"

#include "base/endian.h"
#include "os/thread.h"

enum { SIZE = 3 << 20 };

static const struct qcow2_shape plain = {3, 12, 4, SIZE, NULL, NULL};

static struct hk_disk *must_open(struct hk_disk *store)
{
    struct hk_disk *disk = NULL;
    struct hk_errmsg err = {{0}};
    if (hk_qcow2_open(store, NULL, &disk, &err) != 0)
        fail_msg("%s", err.text);
    return disk;
}

static void check_image(const struct mem_store *store)
{
    struct qcow2_verdict verdict;
    qcow2_image_check(store, &verdict);
    if (verdict.errors || verdict.leaks)
        fail_msg("%u errors, %u leaks: %s", verdict.errors, verdict.leaks,
                 verdict.text);
}

static void fill(uint8_t *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)test_random(&seed);
}

enum { THREADS = 4, SLICE = SIZE / THREADS / 512 * 512 };

struct worker {
    struct hk_disk *disk;
    uint32_t number;
    uint8_t want[SLICE];
    uint8_t got[SLICE];
    unsigned wrong;
    uv_thread_t thread;
};

/* Each owns every fourth sector: neighbours share clusters. */
static void work(void *opaque)
{
    struct worker *w = opaque;
    uint32_t random = w->number + 1;
    for (int step = 0; step < 400; step++) {
        uint32_t sector = test_random(&random) % (SLICE / 512);
        uint64_t at = ((uint64_t)sector * THREADS + w->number) * 512;
        uint8_t *want = w->want + sector * 512;
        switch (test_random(&random) % 6) {
        case 0:
            w->wrong += hk_disk_flush(w->disk) != 0;
            break;
        case 1:
            w->wrong += hk_disk_zero(w->disk, at, 512, true) != 0;
            memset(want, 0, 512);
            break;
        case 2:
            w->wrong += hk_disk_read(w->disk, w->got, 512, at) != 0 ||
                        memcmp(w->got, want, 512) != 0;
            break;
        default:
            fill(want, 512, test_random(&random));
            w->wrong += hk_disk_write(w->disk, want, 512, at) != 0;
        }
    }
}

static void threads_do_not_get_in_each_others_way(void **state)
{
    static struct worker workers[THREADS];
    uint8_t bytes[512];
    for (uint32_t bits = 9; bits <= 15; bits += 3) {
        struct qcow2_shape shape = {3, bits, 4, SIZE, NULL, NULL};
        struct mem_store store;
        mem_store_init(&store, 0);
        qcow2_image_make(&store, &shape);
        struct hk_disk *disk = must_open(mem_disk_create(&store, MEM_GROWS));
        for (uint32_t i = 0; i < THREADS; i++) {
            memset(&workers[i], 0, sizeof(workers[i]));
            workers[i].disk = disk;
            workers[i].number = i;
            assert_int_equal(
                uv_thread_create(&workers[i].thread, work, &workers[i]), 0);
        }
        for (uint32_t i = 0; i < THREADS; i++)
            uv_thread_join(&workers[i].thread);
        for (uint32_t i = 0; i < THREADS; i++) {
            assert_int_equal(workers[i].wrong, 0);
            for (uint32_t s = 0; s < SLICE / 512; s++) {
                uint64_t at = ((uint64_t)s * THREADS + i) * 512;
                assert_int_equal(hk_disk_read(disk, bytes, 512, at), 0);
                assert_memory_equal(bytes, workers[i].want + s * 512, 512);
            }
        }
        hk_disk_close(disk);
        check_image(&store);
        mem_store_fini(&store);
    }
}

/* One write is held up below while its cluster is trimmed, freed by a flush,
 * and wanted by another write. */
struct late {
    struct hk_disk *disk;
    atomic_bool done;
};

static void write_late(void *opaque)
{
    uint8_t bytes[4096];
    struct late *late = opaque;
    memset(bytes, 'l', sizeof(bytes));
    (void)!hk_disk_write(late->disk, bytes, sizeof(bytes), 0);
}

static void flush_and_write(void *opaque)
{
    uint8_t bytes[4096];
    struct late *late = opaque;
    memset(bytes, 'n', sizeof(bytes));
    if (hk_disk_flush(late->disk) == 0)
        (void)!hk_disk_write(late->disk, bytes, sizeof(bytes), 8192);
    atomic_store(&late->done, true);
}

static void a_late_write_never_hits_a_new_owner(void **state)
{
    struct mem_store store;
    struct hold_plan plan;
    struct late late = {0};
    uv_thread_t writer, flusher;
    uint8_t bytes[4096] = {1};
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    hold_plan_init(&plan);
    late.disk =
        must_open(hold_disk_create(mem_disk_create(&store, MEM_GROWS), &plan));
    assert_int_equal(hk_disk_write(late.disk, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(hk_disk_flush(late.disk), 0);
    uint64_t l2 = hk_get_be64(store.bytes + 4096 * 3) & 0xffffffffffffull;
    plan.writes_at = hk_get_be64(store.bytes + l2) & 0xffffffffffffull;
    hold_plan_set(&plan, true);
    assert_int_equal(uv_thread_create(&writer, write_late, &late), 0);
    hold_plan_await(&plan, 1);
    assert_int_equal(hk_disk_trim(late.disk, 0, 4096), 0);
    assert_int_equal(uv_thread_create(&flusher, flush_and_write, &late), 0);
    for (int i = 0; i < 1000 && !atomic_load(&late.done); i++)
        hk_thread_yield();
    hold_plan_set(&plan, false);
    uv_thread_join(&writer);
    uv_thread_join(&flusher);
    assert_int_equal(hk_disk_read(late.disk, bytes, sizeof(bytes), 8192), 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 'n');
    hk_disk_close(late.disk);
    check_image(&store);
    hold_plan_fini(&plan);
    mem_store_fini(&store);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(threads_do_not_get_in_each_others_way),
    cmocka_unit_test(a_late_write_never_hits_a_new_owner),
};
HK_TEST_MAIN(cases)
