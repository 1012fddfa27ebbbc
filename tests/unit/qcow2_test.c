/* disk/qcow2.c and its parts, on memory; with images of qemu-img where it is
 * installed. */
#include "disk_fakes.h"
#include "hk_test.h"
#include "qcow2_image.h"

#include "base/endian.h"
#include "base/log.h"

#include <unistd.h>

enum { SIZE = 3 << 20 };

static const struct qcow2_shape plain = {3, 12, 4, SIZE, NULL, NULL};

/* ------------------------------------------------------------------ */
/* Helpers                                                            */

static struct mem_store backing_store;
static bool backing_is_there;

static int open_named(void *opaque, const char *name,
                      enum hk_disk_format format, struct hk_disk **out,
                      struct hk_errmsg *err)
{
    if (!backing_is_there || strcmp(name, "base") != 0)
        return hk_err_set(err, -HK_ENOENT, "%s: not there", name);
    *out = mem_disk_create(&backing_store, MEM_READ_ONLY);
    return 0;
}

static const struct hk_disk_opener opener = {open_named, NULL};

static struct hk_disk *must_open(struct hk_disk *store)
{
    struct hk_disk *disk = NULL;
    struct hk_errmsg err = {{0}};
    if (hk_qcow2_open(store, &opener, &disk, &err) != 0)
        fail_msg("%s", err.text);
    return disk;
}

static struct hk_disk *open_mem(struct mem_store *store)
{
    return must_open(mem_disk_create(store, MEM_GROWS));
}

static void refuse(struct mem_store *store, unsigned flags, int code,
                   const char *words)
{
    struct hk_disk *disk = NULL;
    struct hk_errmsg err = {{0}};
    assert_int_equal(
        hk_qcow2_open(mem_disk_create(store, flags), &opener, &disk, &err),
        code);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void check_image(const struct mem_store *store, bool leaks_are_fine)
{
    struct qcow2_verdict verdict;
    qcow2_image_check(store, &verdict);
    if (verdict.errors)
        fail_msg("%u errors: %s", verdict.errors, verdict.text);
    if (!leaks_are_fine && verdict.leaks)
        fail_msg("%u leaks", verdict.leaks);
}

static void fill(uint8_t *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)test_random(&seed);
}

static void put64(struct mem_store *store, uint64_t at, uint64_t value)
{
    uint8_t bytes[8];
    hk_put_be64(bytes, value);
    mem_store_put(store, at, bytes, 8);
}

static void put32(struct mem_store *store, uint64_t at, uint32_t value)
{
    uint8_t bytes[4];
    hk_put_be32(bytes, value);
    mem_store_put(store, at, bytes, 4);
}

/* ------------------------------------------------------------------ */
/* Single properties                                                  */

static void an_empty_image_reads_as_zeroes(void **state)
{
    struct mem_store store;
    uint8_t bytes[9000];
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    struct hk_disk *disk = open_mem(&store);
    assert_int_equal(hk_disk_size(disk), SIZE);
    memset(bytes, 1, sizeof(bytes));
    assert_int_equal(hk_disk_read(disk, bytes, sizeof(bytes), 4000), 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(hk_disk_read(disk, bytes, 1, SIZE), -HK_EINVAL);
    hk_disk_close(disk);
    mem_store_fini(&store);
}

static void what_is_written_is_there_after_reopening(void **state)
{
    struct mem_store store;
    uint8_t bytes[10000], back[10000];
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    struct hk_disk *disk = open_mem(&store);
    fill(bytes, sizeof(bytes), 1);
    assert_int_equal(hk_disk_write(disk, bytes, sizeof(bytes), 123456), 0);
    hk_disk_close(disk);
    check_image(&store, false);
    disk = open_mem(&store);
    assert_int_equal(hk_disk_read(disk, back, sizeof(back), 123456), 0);
    assert_memory_equal(bytes, back, sizeof(bytes));
    assert_int_equal(hk_disk_read(disk, back, 1, 123455), 0);
    assert_int_equal(back[0], 0);
    hk_disk_close(disk);
    mem_store_fini(&store);
}

static void a_trimmed_cluster_is_used_again(void **state)
{
    struct mem_store store;
    uint8_t bytes[4096];
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    struct hk_disk *disk = open_mem(&store);
    fill(bytes, sizeof(bytes), 1);
    assert_int_equal(hk_disk_write(disk, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(hk_disk_flush(disk), 0);
    size_t size = store.size;
    for (int i = 1; i < 20; i++) {
        assert_int_equal(hk_disk_trim(disk, 4096 * (uint64_t)(i - 1), 4096), 0);
        assert_int_equal(hk_disk_flush(disk), 0);
        assert_int_equal(
            hk_disk_write(disk, bytes, sizeof(bytes), 4096 * (uint64_t)i), 0);
    }
    hk_disk_close(disk);
    assert_int_equal(store.size, size);
    check_image(&store, false);
    mem_store_fini(&store);
}

static void a_flush_reaches_the_store(void **state)
{
    struct mem_store store, copy;
    uint8_t bytes[100], back[100];
    mem_store_init(&store, 0);
    mem_store_init(&copy, 0);
    qcow2_image_make(&store, &plain);
    struct hk_disk *disk = open_mem(&store);
    fill(bytes, sizeof(bytes), 7);
    assert_int_equal(hk_disk_write(disk, bytes, sizeof(bytes), 5000), 0);
    assert_int_equal(hk_disk_flush(disk), 0);
    assert_true(store.flushes > 0);
    mem_store_copy(&copy, &store); /* the image at this moment */
    hk_disk_close(disk);
    disk = open_mem(&copy);
    assert_int_equal(hk_disk_read(disk, back, sizeof(back), 5000), 0);
    assert_memory_equal(bytes, back, sizeof(back));
    hk_disk_close(disk);
    mem_store_fini(&store);
    mem_store_fini(&copy);
}

static void a_read_only_image_is_not_touched(void **state)
{
    struct mem_store store, copy;
    uint8_t bytes[100] = {1};
    mem_store_init(&store, 0);
    mem_store_init(&copy, 0);
    qcow2_image_make(&store, &plain);
    mem_store_copy(&copy, &store);
    struct hk_disk *disk = must_open(mem_disk_create(&store, MEM_READ_ONLY));
    assert_int_equal(hk_disk_write(disk, bytes, 100, 0), -HK_EROFS);
    assert_int_equal(hk_disk_trim(disk, 0, 4096), -HK_EROFS);
    assert_int_equal(hk_disk_zero(disk, 0, 4096, true), -HK_EROFS);
    assert_int_equal(hk_disk_flush(disk), 0);
    hk_disk_close(disk);
    assert_int_equal(store.size, copy.size);
    assert_memory_equal(store.bytes, copy.bytes, copy.size);
    mem_store_fini(&store);
    mem_store_fini(&copy);
}

static void a_new_cluster_takes_the_rest_from_the_backing_file(void **state)
{
    struct mem_store store;
    struct qcow2_shape shape = plain;
    uint8_t back[8192];
    shape.backing = "base";
    shape.backing_format = "raw";
    mem_store_init(&store, 0);
    mem_store_init(&backing_store, 10000); /* shorter than the image */
    fill(backing_store.bytes, 10000, 3);
    backing_is_there = true;
    qcow2_image_make(&store, &shape);
    struct hk_disk *disk = open_mem(&store);
    assert_int_equal(hk_disk_read(disk, back, sizeof(back), 4096), 0);
    assert_memory_equal(back, backing_store.bytes + 4096, 10000 - 4096);
    for (size_t i = 10000 - 4096; i < sizeof(back); i++)
        assert_int_equal(back[i], 0);
    assert_int_equal(hk_disk_write(disk, "change", 6, 9000), 0);
    assert_int_equal(hk_disk_read(disk, back, sizeof(back), 4096), 0);
    assert_memory_equal(back + 9000 - 4096, "change", 6);
    assert_memory_equal(back, backing_store.bytes + 4096, 9000 - 4096);
    assert_memory_equal(back + 9006 - 4096, backing_store.bytes + 9006,
                        10000 - 9006);
    assert_int_equal(hk_disk_zero(disk, 0, 4096, true), 0);
    assert_int_equal(hk_disk_read(disk, back, 4096, 0), 0);
    assert_int_equal(back[0] | back[4095], 0);
    hk_disk_close(disk);
    check_image(&store, false);
    backing_is_there = false;
    mem_store_fini(&backing_store);
    mem_store_fini(&store);
}

static void autoclear_bits_are_cleared_by_a_writer_only(void **state)
{
    struct mem_store store;
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    put64(&store, 88, 3);
    hk_disk_close(must_open(mem_disk_create(&store, MEM_READ_ONLY)));
    assert_int_equal(hk_get_be64(store.bytes + 88), 3);
    hk_disk_close(open_mem(&store));
    assert_int_equal(hk_get_be64(store.bytes + 88), 0);
    mem_store_fini(&store);
}

static void a_disk_that_does_not_grow_can_be_full(void **state)
{
    struct mem_store store;
    uint8_t bytes[4096];
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    uint8_t last = 0;
    mem_store_put(&store, 4096 * 12 - 1, &last, 1);
    struct hk_disk *disk = must_open(mem_disk_create(&store, 0));
    fill(bytes, sizeof(bytes), 5);
    int rc = 0;
    uint64_t at = 0;
    for (; rc == 0; at += 4096)
        rc = hk_disk_write(disk, bytes, sizeof(bytes), at);
    assert_int_equal(rc, -HK_ENOSPC);
    assert_int_equal(at / 4096, 8); /* 4 tables, an L2 table, 7 clusters */
    assert_int_equal(hk_disk_write(disk, bytes, sizeof(bytes), 0), 0);
    hk_disk_close(disk);
    check_image(&store, false);
    mem_store_fini(&store);
}

/* ------------------------------------------------------------------ */
/* Refusals                                                           */

static void foreign_and_newer_images_are_refused(void **state)
{
    static const struct {
        uint64_t at;
        uint32_t value;
        int code;
        const char *words;
    } bad[] = {
        {0, 0x12345678, -HK_EBADMSG, "not a qcow2 image"},
        {4, 1, -HK_ENOTSUP, "version 1"},
        {4, 4, -HK_ENOTSUP, "version 4"},
        {20, 8, -HK_EBADMSG, "impossible size"},
        {20, 22, -HK_EBADMSG, "impossible size"},
        {24, 0xffffffff, -HK_EBADMSG, "large"},
        {24, 0x00ffffff, -HK_EBADMSG, "too small for its size"},
        {32, 2, -HK_ENOTSUP, "encryption"},
        {36, 0x01000000, -HK_EBADMSG, "too large"},
        {40, 1, -HK_EBADMSG, "impossible places"},
        {44, 12289, -HK_EBADMSG, "impossible places"},
        {44, 4096, -HK_EBADMSG, "impossible places"},
        {44, 0, -HK_EBADMSG, "impossible places"},
        {52, 0, -HK_EBADMSG, "impossible places"},
        {56, 0, -HK_EBADMSG, "impossible size"},
        {56, 0x7fffffff, -HK_EBADMSG, "impossible size"},
        {76, 1, -HK_EBADMSG, "check -r all"},
        {76, 2, -HK_EBADMSG, "marked as damaged"},
        {76, 4, -HK_ENOTSUP, "external data file"},
        {76, 16, -HK_ENOTSUP, "extended L2"},
        {76, 32, -HK_ENOTSUP, "newer feature"},
        {72, 1, -HK_ENOTSUP, "newer feature"},
        {96, 7, -HK_EBADMSG, "impossible width"},
        {100, 96, -HK_EBADMSG, "impossible length"},
        {100, 8192, -HK_EBADMSG, "impossible length"},
        {16, 1024, -HK_EBADMSG, "impossible name"},
        {12, 0xffffffff, -HK_EBADMSG, "impossible name"},
        {4096 + 4, 4096 * 3, -HK_EBADMSG, "on top of each other"},
        {4096 + 4, 4096 * 9, -HK_EBADMSG, "outside the file"},
        {4096 * 3 + 4, 4096 * 2, -HK_EBADMSG, "on top of each other"},
        {4096 * 3 + 4, 4097, -HK_EBADMSG, "on top of each other"},
    };
    struct mem_store store;
    mem_store_init(&store, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        qcow2_image_make(&store, &plain);
        if (bad[i].at == 12)
            put32(&store, 16, 4);
        if (bad[i].at == 16)
            put32(&store, 12, 200);
        put32(&store, bad[i].at, bad[i].value);
        refuse(&store, MEM_GROWS, bad[i].code, bad[i].words);
    }
    mem_store_fini(&store);
}

static void short_files_are_refused(void **state)
{
    struct mem_store store;
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    for (size_t size = 0; size < 4096 * 3; size += size < 200 ? 1 : 511) {
        store.size = size;
        refuse(&store, MEM_GROWS, -HK_EBADMSG, "");
    }
    mem_store_fini(&store);
}

static void an_unclean_image_can_be_read(void **state)
{
    struct mem_store store;
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    put64(&store, 72, 3);
    hk_disk_close(must_open(mem_disk_create(&store, MEM_READ_ONLY)));
    mem_store_fini(&store);
}

static void a_backing_file_without_a_format_is_refused(void **state)
{
    struct mem_store store;
    struct qcow2_shape shape = plain;
    mem_store_init(&store, 0);
    shape.backing = "base";
    shape.backing_format = "";
    qcow2_image_make(&store, &shape);
    refuse(&store, MEM_GROWS, -HK_ENOTSUP, "rebase");
    shape.backing_format = "vdi";
    qcow2_image_make(&store, &shape);
    refuse(&store, MEM_GROWS, -HK_ENOTSUP, "vdi");
    shape.backing_format = "raw";
    qcow2_image_make(&store, &shape);
    refuse(&store, MEM_GROWS, -HK_ENOENT, "backing file: base: not there");
    mem_store_fini(&store);
}

/* A damaged image fails the request and is not written any more. */
static void damaged_tables_fail_requests(void **state)
{
    static const struct {
        uint64_t entry;
        bool reads;
    } bad[] = {
        {0x8000000000001200, false},           /* not aligned */
        {0x8000000100000000, false},           /* past the end */
        {0x8000000000000000 | 4096 * 2, true}, /* the refcount block */
        {0x8000000000000000 | 4096 * 3, true}, /* the L1 table */
        {0x4000000100000000, false},           /* packed, past the end */
        {0x4000000000000000, false},           /* packed, the header */
    };
    struct mem_store store;
    uint8_t bytes[4096];
    mem_store_init(&store, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t l1 = qcow2_image_make(&store, &plain);
        put64(&store, l1, 0x8000000000000000 | 4096 * 4);
        put64(&store, 4096 * 5 - 8, 0);
        put64(&store, 4096 * 4, bad[i].entry);
        uint8_t one = 1;
        mem_store_put(&store, 4096 * 2 + 9, &one, 1);
        struct hk_disk *disk = open_mem(&store);
        assert_int_equal(hk_disk_read(disk, bytes, 4096, 0),
                         bad[i].reads ? 0 : -HK_EIO);
        assert_int_equal(hk_disk_write(disk, bytes, 512, 0), -HK_EIO);
        hk_disk_close(disk);
    }
    mem_store_fini(&store);
}

static void a_table_in_a_free_cluster_stops_writing(void **state)
{
    struct mem_store store;
    uint8_t none = 0;
    mem_store_init(&store, 0);
    qcow2_image_make(&store, &plain);
    mem_store_put(&store, 4096 * 2 + 7, &none, 1); /* the L1 table's count */
    struct hk_disk *disk = open_mem(&store);
    assert_int_equal(hk_disk_write(disk, "x", 1, 0), -HK_EIO);
    assert_int_equal(hk_disk_flush(disk), -HK_EIO);
    hk_disk_close(disk);
    mem_store_fini(&store);
}

/* ------------------------------------------------------------------ */
/* Against a model                                                    */

struct model {
    uint8_t bytes[SIZE];
    uint8_t buffer[SIZE];
};

static struct model model;

static int do_write(struct hk_disk *disk, uint64_t at, size_t len,
                    uint32_t *random)
{
    size_t cut = len / 3;
    fill(model.buffer, len, test_random(random));
    struct hk_iov pieces[] = {
        {model.buffer, cut}, {NULL, 0}, {model.buffer + cut, len - cut}};
    int rc = hk_disk_writev(disk, pieces, 3, at);
    if (rc == 0)
        memcpy(model.bytes + at, model.buffer, len);
    return rc;
}

static void compare(struct hk_disk *disk, uint64_t at, size_t len)
{
    memset(model.buffer, 0xee, len);
    assert_int_equal(hk_disk_read(disk, model.buffer, len, at), 0);
    if (memcmp(model.buffer, model.bytes + at, len) != 0)
        fail_msg("wrong bytes in %zu at %llu", len, (unsigned long long)at);
}

/* Trimmed bytes may be old or zeroes: the model takes what the disk says. */
static void do_trim(struct hk_disk *disk, uint64_t at, size_t len)
{
    assert_int_equal(hk_disk_trim(disk, at, len), 0);
    assert_int_equal(hk_disk_read(disk, model.buffer, len, at), 0);
    for (size_t i = 0; i < len; i++)
        if (model.buffer[i] != 0 && model.buffer[i] != model.bytes[at + i])
            fail_msg("a trimmed byte is neither old nor zero");
    memcpy(model.bytes + at, model.buffer, len);
}

static void random_step(struct hk_disk *disk, uint32_t *random)
{
    uint64_t at = test_random(random) % SIZE;
    size_t len = 1 + test_random(random) %
                         (test_random(random) % 4 == 0 ? 200000 : 9000);
    if (len > SIZE - at)
        len = (size_t)(SIZE - at);
    switch (test_random(random) % 10) {
    case 0:
    case 1:
    case 2:
    case 3:
        assert_int_equal(do_write(disk, at, len, random), 0);
        break;
    case 4:
        assert_int_equal(hk_disk_flush(disk), 0);
        break;
    case 5:
        do_trim(disk, at, len);
        break;
    case 6:
        assert_int_equal(hk_disk_zero(disk, at, len, len & 1), 0);
        memset(model.bytes + at, 0, len);
        break;
    default:
        compare(disk, at, len);
    }
}

static void run_against_model(const struct qcow2_shape *shape, unsigned flags,
                              uint32_t seed)
{
    struct mem_store store;
    uint32_t random = seed;
    mem_store_init(&store, 0);
    qcow2_image_make(&store, shape);
    memset(model.bytes, 0, SIZE);
    if (shape->backing)
        memcpy(model.bytes, backing_store.bytes, backing_store.size);
    for (int life = 0; life < 4; life++) {
        struct hk_disk *disk =
            must_open(mem_disk_create(&store, flags | MEM_GROWS));
        for (int step = 0; step < 120; step++)
            random_step(disk, &random);
        compare(disk, 0, SIZE);
        hk_disk_close(disk);
        check_image(&store, false);
    }
    mem_store_fini(&store);
}

static void random_requests_agree_with_a_model(void **state)
{
    for (uint32_t bits = 9; bits <= 17; bits += 2)
        for (uint32_t order = 0; order <= 6; order++) {
            struct qcow2_shape shape = {3, bits, order, SIZE, NULL, NULL};
            run_against_model(&shape, order & 1 ? MEM_NO_ZERO : 0,
                              bits * 10 + order);
        }
}

static void random_requests_agree_in_version_2(void **state)
{
    for (uint32_t bits = 9; bits <= 16; bits += 3) {
        struct qcow2_shape shape = {2, bits, 4, SIZE, NULL, NULL};
        run_against_model(&shape, 0, bits);
    }
}

static void random_requests_agree_above_a_backing_file(void **state)
{
    mem_store_init(&backing_store, SIZE / 2 + 777);
    fill(backing_store.bytes, backing_store.size, 99);
    backing_is_there = true;
    for (uint32_t version = 2; version <= 3; version++)
        for (uint32_t bits = 9; bits <= 16; bits += 3) {
            struct qcow2_shape shape = {version, bits, 4, SIZE, "base", "raw"};
            run_against_model(&shape, 0, bits + version);
        }
    backing_is_there = false;
    mem_store_fini(&backing_store);
}

/* ------------------------------------------------------------------ */
/* Failures and crashes                                               */

/* Requests that may fail; the model follows those that did not. A failed
 * write may have changed any part of its range: the model forgets nothing,
 * so failing ranges are made known by reading them again. */
static void step_that_may_fail(struct hk_disk *disk, uint32_t *random)
{
    uint64_t at = test_random(random) % (SIZE - 20000);
    size_t len = 1 + test_random(random) % 20000;
    uint32_t kind = test_random(random) % 6;
    int rc = 0;
    if (kind < 3)
        rc = do_write(disk, at, len, random);
    else if (kind == 3)
        rc = hk_disk_flush(disk);
    else
        rc = hk_disk_zero(disk, at, len, kind == 4);
    if (kind > 3 && rc == 0)
        memset(model.bytes + at, 0, len);
    if (rc < 0 && kind != 3 && hk_disk_read(disk, model.buffer, len, at) == 0)
        memcpy(model.bytes + at, model.buffer, len);
}

static void a_failing_store_never_damages_the_image(void **state)
{
    static const struct qcow2_shape shape = {3, 10, 4, SIZE, NULL, NULL};
    for (unsigned nth = 1; nth < 400; nth += nth < 60 ? 1 : 13) {
        struct mem_store store;
        struct fault_plan plan = {.nth = 0};
        uint32_t random = nth;
        mem_store_init(&store, 0);
        qcow2_image_make(&store, &shape);
        memset(model.bytes, 0, SIZE);
        struct hk_disk *disk = must_open(
            fault_disk_create(mem_disk_create(&store, MEM_GROWS), &plan));
        plan.nth = plan.seen + nth;
        for (int step = 0; step < 40; step++)
            step_that_may_fail(disk, &random);
        plan.nth = 0;
        compare(disk, 0, SIZE);
        hk_disk_close(disk);
        check_image(&store, true);
        disk = open_mem(&store);
        compare(disk, 0, SIZE);
        hk_disk_close(disk);
        mem_store_fini(&store);
    }
}

static void a_failing_store_is_told_at_opening(void **state)
{
    for (unsigned nth = 1; nth < 20; nth++) {
        struct mem_store store;
        struct fault_plan plan = {.nth = nth};
        struct hk_disk *disk = NULL;
        struct hk_errmsg err = {{0}};
        mem_store_init(&store, 0);
        qcow2_image_make(&store, &plain);
        int rc = hk_qcow2_open(
            fault_disk_create(mem_disk_create(&store, MEM_GROWS), &plan),
            &opener, &disk, &err);
        if (rc == 0)
            hk_disk_close(disk);
        else
            assert_true(err.text[0] != '\0');
        assert_int_equal(rc == 0, plan.seen < nth || rc == 0);
        mem_store_fini(&store);
        if (rc == 0)
            return;
    }
    fail_msg("opening never succeeds");
}

/* Writes with a flush now and then until the power goes; afterwards all that
 * was flushed has to be there and the image sound. */
static void crash_once(const struct qcow2_shape *shape, unsigned nth,
                       bool loses)
{
    static uint8_t flushed[SIZE];
    static uint8_t changed[SIZE / 512 + 1]; /* since the flush, by sector */
    struct mem_store store;
    struct crash_plan plan;
    uint32_t random = nth * 7 + loses;
    mem_store_init(&store, 0);
    qcow2_image_make(&store, shape);
    crash_plan_init(&plan, &store);
    plan.loses = loses;
    plan.seed = nth;
    memset(model.bytes, 0, SIZE);
    memset(flushed, 0, SIZE);
    memset(changed, 0, sizeof(changed));
    struct hk_disk *disk =
        must_open(crash_disk_create(mem_disk_create(&store, MEM_GROWS), &plan));
    plan.nth = plan.seen + nth;
    while (!plan.is_dead) {
        uint64_t at = test_random(&random) % (SIZE - 70000);
        size_t len = 1 + test_random(&random) % 60000;
        uint32_t kind = test_random(&random) % 8;
        if (kind == 0 && hk_disk_flush(disk) == 0) {
            memcpy(flushed, model.bytes, SIZE);
            memset(changed, 0, sizeof(changed));
        }
        if (kind == 0)
            continue;
        memset(changed + at / 512, 1, (at + len - 1) / 512 - at / 512 + 1);
        if (kind > 2)
            (void)do_write(disk, at, len, &random);
        else if (hk_disk_zero(disk, at, len, true) == 0)
            memset(model.bytes + at, 0, len);
    }
    hk_disk_close(disk);
    crash_plan_finish(&plan);
    check_image(&store, true);
    disk = open_mem(&store);
    assert_int_equal(hk_disk_read(disk, model.buffer, SIZE, 0), 0);
    for (size_t i = 0; i < SIZE; i++)
        if (!changed[i / 512] && model.buffer[i] != flushed[i])
            fail_msg("crash %u: flushed byte %zu is lost", nth, i);
    hk_disk_close(disk);
    mem_store_fini(&store);
}

static void a_killed_writer_leaves_leaks_at_worst(void **state)
{
    static const struct qcow2_shape small = {3, 9, 4, SIZE, NULL, NULL};
    for (unsigned nth = 1; nth < 300; nth += 7) {
        crash_once(&plain, nth, false);
        crash_once(&small, nth * 3, false);
    }
}

static void a_power_cut_leaves_leaks_at_worst(void **state)
{
    static const struct qcow2_shape small = {3, 9, 4, SIZE, NULL, NULL};
    for (unsigned nth = 1; nth < 300; nth += 7) {
        crash_once(&plain, nth, true);
        crash_once(&small, nth * 3, true);
    }
}

/* ------------------------------------------------------------------ */
/* With qemu-img                                                      */

static const char image[] = "qcow2_test.tmp.qcow2";
static const char base[] = "qcow2_test.tmp.raw";

static void need_qemu(void)
{
    if (system("qemu-img --version >/dev/null 2>&1") != 0)
        hk_skip("qemu-img is not installed (package qemu-utils)");
}

static void run(const char *format, ...)
{
    char command[512];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static struct hk_disk *open_file(const char *path, enum hk_disk_format format)
{
    struct hk_disk_config config = {.path = path, .format = format};
    struct hk_errmsg err = {{0}};
    struct hk_disk *disk = NULL;
    if (hk_disk_open(&config, &disk, &err) != 0)
        fail_msg("%s", err.text);
    return disk;
}

static void put_base(uint32_t seed)
{
    FILE *file = fopen(base, "wb");
    assert_non_null(file);
    fill(model.bytes, SIZE, seed);
    memset(model.bytes + SIZE / 3, 'x', SIZE / 3); /* compresses well */
    assert_int_equal(fwrite(model.bytes, 1, SIZE, file), SIZE);
    assert_int_equal(fclose(file), 0);
}

static int remove_files(void **state)
{
    remove(image);
    remove(base);
    return 0;
}

/* Reads, random steps, reopens; qemu-img checks and compares. */
static void exercise_file(uint32_t seed)
{
    uint32_t random = seed;
    for (int life = 0; life < 2; life++) {
        struct hk_disk *disk = open_file(image, HK_DISK_QCOW2);
        compare(disk, 0, SIZE);
        for (int step = 0; step < 100; step++)
            random_step(disk, &random);
        hk_disk_close(disk);
        run("qemu-img check -q %s", image);
    }
    FILE *file = fopen(base, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(model.bytes, 1, SIZE, file), SIZE);
    assert_int_equal(fclose(file), 0);
}

static void images_of_qemu_img_are_read_and_written(void **state)
{
    static const char *const options[] = {
        "compat=1.1", "compat=0.10", "compat=1.1,refcount_bits=1",
        "compat=1.1,cluster_size=512,refcount_bits=64",
        "compat=1.1,cluster_size=2M,lazy_refcounts=on"};
    need_qemu();
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        put_base((uint32_t)i);
        run("qemu-img convert -f raw -O qcow2 -o %s %s %s", options[i], base,
            image);
        exercise_file((uint32_t)i);
        run("qemu-img compare -q -f raw -F qcow2 %s %s", base, image);
    }
}

static void compressed_images_are_read_and_written(void **state)
{
    static const char *const options[] = {"compression_type=zlib",
                                          "compression_type=zstd",
                                          "compat=0.10,cluster_size=4096"};
    need_qemu();
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        put_base((uint32_t)i);
        run("qemu-img convert -c -f raw -O qcow2 -o %s %s %s", options[i], base,
            image);
        exercise_file((uint32_t)i + 10);
        run("qemu-img compare -q -f raw -F qcow2 %s %s", base, image);
    }
}

static void snapshots_keep_their_contents(void **state)
{
    need_qemu();
    put_base(1);
    run("qemu-img convert -f raw -O qcow2 -o cluster_size=4096 %s %s", base,
        image);
    run("qemu-img snapshot -c before %s", image);
    exercise_file(20);
    run("qemu-img compare -q -f raw -F qcow2 %s %s", base, image);
    put_base(1);
    run("qemu-img snapshot -a before %s", image);
    run("qemu-img check -q %s", image);
    run("qemu-img compare -q -f raw -F qcow2 %s %s", base, image);
}

static void a_chain_of_files_is_opened(void **state)
{
    need_qemu();
    put_base(2);
    run("qemu-img create -q -f qcow2 -b %s -F raw %s", base, image);
    struct hk_disk *disk = open_file(image, HK_DISK_QCOW2);
    uint32_t random = 3;
    for (int step = 0; step < 100; step++)
        random_step(disk, &random);
    compare(disk, 0, SIZE);
    hk_disk_close(disk);
    run("qemu-img check -q %s", image);
    disk = open_file(image, HK_DISK_QCOW2);
    compare(disk, 0, SIZE);
    hk_disk_close(disk);
}

static void a_backing_file_elsewhere_is_refused(void **state)
{
    static const char *const names[] = {"../x", "/etc/passwd", "sub/x",
                                        "json:{}", "nbd:x"};
    need_qemu();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct hk_disk_config config = {.path = image, .format = HK_DISK_QCOW2};
        struct hk_errmsg err = {{0}};
        struct hk_disk *disk = NULL;
        run("qemu-img create -q -u -f qcow2 -b '%s' -F raw %s 1M", names[i],
            image);
        assert_int_equal(hk_disk_open(&config, &disk, &err), -HK_EPERM);
        assert_non_null(strstr(err.text, image));
        assert_non_null(strstr(err.text, "own folder"));
    }
}

static void a_link_as_a_backing_file_is_refused(void **state)
{
    struct hk_disk_config config = {.path = image, .format = HK_DISK_QCOW2};
    struct hk_errmsg err = {{0}};
    struct hk_disk *disk = NULL;
    need_qemu();
    assert_int_equal(symlink("/etc/passwd", base), 0);
    run("qemu-img create -q -u -f qcow2 -b %s -F raw %s 1M", base, image);
    assert_int_equal(hk_disk_open(&config, &disk, &err), -HK_ELOOP);
}

static void a_chain_in_a_circle_is_refused(void **state)
{
    struct hk_disk_config config = {
        .path = image, .format = HK_DISK_QCOW2, .read_only = true};
    struct qcow2_shape shape = plain;
    struct mem_store store;
    struct hk_errmsg err = {{0}};
    struct hk_disk *disk = NULL;
    mem_store_init(&store, 0);
    shape.backing = image;
    shape.backing_format = "qcow2";
    qcow2_image_make(&store, &shape);
    mem_store_save(&store, image);
    mem_store_fini(&store);
    assert_int_equal(hk_disk_open(&config, &disk, &err), -HK_ELOOP);
    assert_non_null(strstr(err.text, "circle"));
    config.read_only = false;
    assert_int_equal(hk_disk_open(&config, &disk, &err), -HK_EBUSY);
}

/* Damage is told in the log; here it is wanted. */
static int be_quiet(void **state)
{
    hk_log_set_level(HK_LOG_OFF);
    return 0;
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(an_empty_image_reads_as_zeroes),
    cmocka_unit_test(what_is_written_is_there_after_reopening),
    cmocka_unit_test(a_trimmed_cluster_is_used_again),
    cmocka_unit_test(a_flush_reaches_the_store),
    cmocka_unit_test(a_read_only_image_is_not_touched),
    cmocka_unit_test(a_new_cluster_takes_the_rest_from_the_backing_file),
    cmocka_unit_test(autoclear_bits_are_cleared_by_a_writer_only),
    cmocka_unit_test(a_disk_that_does_not_grow_can_be_full),
    cmocka_unit_test(foreign_and_newer_images_are_refused),
    cmocka_unit_test(short_files_are_refused),
    cmocka_unit_test(an_unclean_image_can_be_read),
    cmocka_unit_test(a_backing_file_without_a_format_is_refused),
    cmocka_unit_test(damaged_tables_fail_requests),
    cmocka_unit_test(a_table_in_a_free_cluster_stops_writing),
    cmocka_unit_test(random_requests_agree_with_a_model),
    cmocka_unit_test(random_requests_agree_in_version_2),
    cmocka_unit_test(random_requests_agree_above_a_backing_file),
    cmocka_unit_test(a_failing_store_never_damages_the_image),
    cmocka_unit_test(a_failing_store_is_told_at_opening),
    cmocka_unit_test(a_killed_writer_leaves_leaks_at_worst),
    cmocka_unit_test(a_power_cut_leaves_leaks_at_worst),
    cmocka_unit_test_teardown(images_of_qemu_img_are_read_and_written,
                              remove_files),
    cmocka_unit_test_teardown(compressed_images_are_read_and_written,
                              remove_files),
    cmocka_unit_test_teardown(snapshots_keep_their_contents, remove_files),
    cmocka_unit_test_teardown(a_chain_of_files_is_opened, remove_files),
    cmocka_unit_test_teardown(a_backing_file_elsewhere_is_refused,
                              remove_files),
    cmocka_unit_test_teardown(a_link_as_a_backing_file_is_refused,
                              remove_files),
    cmocka_unit_test_teardown(a_chain_in_a_circle_is_refused, remove_files),
};
HK_TEST_MAIN_WITH(cases, be_quiet, NULL)
