/* virtio/blk.h behind its transport */
#include "disk_fakes.h"
#include "gdrv.h"
#include "hostile.h"

#include "base/endian.h"
#include "virtio/blk.h"

#include <sys/stat.h>

enum {
    QUEUE = 0,
    TYPE_BLOCK = 2,
    SECTOR = 512,
    SECTORS = 4096,
    HEADER = 16,
    LARGEST = 1 << 16, /* data of one request here */
};

enum {
    F_SEG_MAX = 1 << 2,
    F_RO = 1 << 5,
    F_BLK_SIZE = 1 << 6,
    F_FLUSH = 1 << 9,
    F_TOPOLOGY = 1 << 10,
    F_DISCARD = 1 << 13,
    F_WRITE_ZEROES = 1 << 14,
    F_ALL = F_FLUSH | F_DISCARD | F_WRITE_ZEROES,
};

enum { IN, OUT, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK, IOERR, UNSUPP, UNTOUCHED = 0xee };

static struct mem_store store;
static struct fault_plan fault;
static struct hold_plan held;
static unsigned mem_flags;
static const char *id;
static const char *path; /* a file instead of memory */
static bool path_read_only;

static const char image[] = "blk_test.tmp.img";

static struct hk_disk *make_disk(void)
{
    struct hk_disk *disk = NULL;
    struct hk_errmsg err = {{0}};
    if (!path)
        return hold_disk_create(
            fault_disk_create(mem_disk_create(&store, mem_flags), &fault),
            &held);
    struct hk_disk_config config = {
        .path = path, .read_only = path_read_only, .sync = HK_DISK_SYNC_FULL};
    if (hk_disk_open(&config, &disk, &err) != 0)
        fail_msg("%s", err.text);
    return disk;
}

static int make(struct hk_loop *loop, struct hk_pool *pool,
                struct hk_vdev **out)
{
    return hk_blk_create(loop, pool, make_disk(), id, out);
}

static void setup_store(void)
{
    mem_store_init(&store, SECTORS * SECTOR);
    for (size_t i = 0; i < store.size; i++)
        store.bytes[i] = (uint8_t)(i / SECTOR * 7 + i);
    memset(&fault, 0, sizeof(fault));
    hold_plan_init(&held);
    mem_flags = 0;
    id = "an id";
    path = NULL;
    path_read_only = false;
}

static void teardown_store(void)
{
    hold_plan_fini(&held);
    mem_store_fini(&store);
}

static int setup(void **state)
{
    struct gdrv *g = malloc(sizeof(*g));
    assert_non_null(g);
    setup_store();
    *state = g;
    return 0;
}

/* The cases make the device themselves: some want another disk. */
static int teardown(void **state)
{
    gdrv_fini(*state);
    free(*state);
    teardown_store();
    remove(image);
    return 0;
}

static void start(struct gdrv *g, uint64_t features)
{
    gdrv_init(g, make);
    gdrv_start(g, features);
}

/* ------------------------------------------------------------------ */
/* Requests                                                           */

static void put_header(uint8_t *bytes, uint32_t type, uint64_t sector)
{
    hk_put_le32(bytes, type);
    hk_put_le32(bytes + 4, 0);
    hk_put_le64(bytes + 8, sector);
}

/* The status, after checking the used length. */
static int request(struct gdrv *g, uint32_t type, uint64_t sector,
                   const void *out, size_t out_len, void *in, size_t in_len)
{
    static uint8_t to[HEADER + LARGEST], from[LARGEST + 1];
    put_header(to, type, sector);
    if (out_len > 0)
        memcpy(to + HEADER, out, out_len);
    memset(from, UNTOUCHED, in_len + 1);
    int64_t used =
        gdrv_request(g, QUEUE, to, HEADER + out_len, from, in_len + 1);
    int status = from[in_len];
    assert_true(used >= 0 && used <= (int64_t)in_len + 1);
    if (status == OK)
        assert_int_equal(used, in_len + 1);
    if (in_len > 0)
        memcpy(in, from, in_len);
    return status;
}

static int read_sectors(struct gdrv *g, uint64_t sector, void *to, size_t len)
{
    return request(g, IN, sector, NULL, 0, to, len);
}

static int write_sectors(struct gdrv *g, uint64_t sector, const void *from,
                         size_t len)
{
    return request(g, OUT, sector, from, len, NULL, 0);
}

static int range_request(struct gdrv *g, uint32_t type, uint64_t sector,
                         uint32_t sectors, uint32_t flags)
{
    uint8_t segment[16];
    hk_put_le64(segment, sector);
    hk_put_le32(segment + 8, sectors);
    hk_put_le32(segment + 12, flags);
    return request(g, type, 0, segment, sizeof(segment), NULL, 0);
}

/* ------------------------------------------------------------------ */
/* Rows                                                               */

static void put_file(size_t size)
{
    FILE *file = fopen(image, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(store.bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    path = image;
}

static void row061_the_capacity_is_the_file_size_in_sectors(void **state)
{
    struct gdrv *g = *state;
    put_file(77 * SECTOR);
    start(g, 0);
    assert_int_equal(gdrv_read(g, GDRV_DEVICE_ID), TYPE_BLOCK);
    assert_int_equal(gdrv_config(g, 0, 8), 77);
}

static void row061_a_file_without_write_permission_opens_read_only(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[SECTOR];
    put_file(8 * SECTOR);
    assert_int_equal(chmod(image, 0444), 0);
    path_read_only = true;
    start(g, F_RO);
    assert_int_equal(gdrv_config(g, 0, 8), 8);
    assert_int_equal(read_sectors(g, 3, bytes, SECTOR), OK);
    assert_memory_equal(bytes, store.bytes + 3 * SECTOR, SECTOR);
}

static void row062_a_read_gives_exactly_the_sectors(void **state)
{
    struct gdrv *g = *state;
    static uint8_t bytes[LARGEST];
    static const size_t counts[] = {1, 2, 7, 128};
    start(g, F_ALL);
    for (size_t i = 0; i < 4; i++) {
        size_t len = counts[i] * SECTOR;
        assert_int_equal(read_sectors(g, 100 + i, bytes, len), OK);
        assert_memory_equal(bytes, store.bytes + (100 + i) * SECTOR, len);
    }
    assert_int_equal(read_sectors(g, SECTORS - 1, bytes, SECTOR), OK);
    assert_memory_equal(bytes, store.bytes + store.size - SECTOR, SECTOR);
}

static void row062_pieces_of_any_size_are_filled_in_order(void **state)
{
    struct gdrv *g = *state;
    uint8_t header[HEADER], bytes[2 * SECTOR + 1];
    struct gdrv_buf bufs[130];
    struct gdrv_used used;
    size_t count = 1;
    start(g, F_ALL);
    put_header(header, IN, 5);
    bufs[0] = (struct gdrv_buf){gdrv_put(g, header, HEADER), HEADER, false};
    hk_gpa_t at = GDRV_SEAM - 500; /* over the seam of two regions */
    for (uint32_t left = sizeof(bytes); left > 0; count++) {
        uint32_t len = left > 9 ? 9 : left; /* the status is in the last one */
        bufs[count] = (struct gdrv_buf){at, len, true};
        at += len;
        left -= len;
    }
    gdrv_add(g, QUEUE, bufs, count);
    gdrv_kick(g, QUEUE);
    gdrv_turn(g);
    assert_true(gdrv_take_used(g, QUEUE, &used));
    assert_int_equal(used.len, sizeof(bytes));
    gdrv_load(g, GDRV_SEAM - 500, bytes, sizeof(bytes));
    assert_memory_equal(bytes, store.bytes + 5 * SECTOR, 2 * SECTOR);
    assert_int_equal(bytes[2 * SECTOR], OK);
}

static void row063_a_write_is_seen_by_the_host(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[3 * SECTOR], back[3 * SECTOR];
    put_file(64 * SECTOR);
    start(g, F_ALL);
    memset(bytes, 'w', sizeof(bytes));
    assert_int_equal(write_sectors(g, 9, bytes, sizeof(bytes)), OK);
    FILE *file = fopen(image, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 9 * SECTOR, SEEK_SET), 0);
    assert_int_equal(fread(back, 1, sizeof(back), file), sizeof(back));
    assert_memory_equal(bytes, back, sizeof(back));
    assert_int_equal(fseek(file, 8 * SECTOR, SEEK_SET), 0);
    assert_int_equal(fread(back, 1, SECTOR, file), SECTOR);
    assert_memory_equal(back, store.bytes + 8 * SECTOR, SECTOR);
    assert_int_equal(fclose(file), 0);
}

static void row064_a_flush_reaches_the_disk(void **state)
{
    struct gdrv *g = *state;
    start(g, F_ALL);
    assert_int_equal(write_sectors(g, 0, store.bytes, SECTOR), OK);
    assert_int_equal(store.flushes, 0);
    assert_int_equal(request(g, FLUSH, 0, NULL, 0, NULL, 0), OK);
    assert_int_equal(store.flushes, 1);
}

static void row064_without_the_feature_every_write_is_flushed(void **state)
{
    struct gdrv *g = *state;
    start(g, F_WRITE_ZEROES);
    assert_int_equal(write_sectors(g, 0, store.bytes, SECTOR), OK);
    assert_int_equal(store.flushes, 1);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 0), OK);
    assert_int_equal(store.flushes, 2);
}

static void row064_the_disk_is_flushed_when_the_vm_ends(void **state)
{
    struct gdrv g;
    setup_store();
    start(&g, F_ALL);
    assert_int_equal(write_sectors(&g, 0, store.bytes, SECTOR), OK);
    assert_int_equal(store.flushes, 0);
    gdrv_fini(&g);
    assert_true(store.flushes > 0);
    teardown_store();
}

static void row065_the_id_has_at_most_20_bytes(void **state)
{
    struct gdrv *g = *state;
    char text[21] = {0};
    id = "a name of more than twenty bytes";
    start(g, 0);
    assert_int_equal(request(g, GET_ID, 0, NULL, 0, text, 20), OK);
    assert_string_equal(text, "a name of more than ");
    memset(text, 0, sizeof(text));
    assert_int_equal(request(g, GET_ID, 0, NULL, 0, text, 6), OK);
    assert_string_equal(text, "a name");
}

static void row065_a_short_id_is_padded(void **state)
{
    struct gdrv *g = *state;
    uint8_t text[20], want[20] = "an id";
    start(g, 0);
    assert_int_equal(request(g, GET_ID, 0, NULL, 0, text, 20), OK);
    assert_memory_equal(text, want, 20);
}

static void row065_without_an_id_the_image_names_itself(void **state)
{
    struct gdrv *g = *state;
    struct stat info;
    char text[21] = {0}, want[64];
    put_file(SECTOR);
    id = NULL;
    start(g, 0);
    assert_int_equal(stat(image, &info), 0);
    snprintf(want, sizeof(want), "%llu%llu%llu",
             (unsigned long long)info.st_dev, (unsigned long long)info.st_rdev,
             (unsigned long long)info.st_ino);
    want[20] = '\0';
    assert_int_equal(request(g, GET_ID, 0, NULL, 0, text, 20), OK);
    assert_string_equal(text, want);
}

static void row066_features_and_limits(void **state)
{
    struct gdrv *g = *state;
    start(g, 0);
    uint64_t own = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_DISCARD |
                   F_WRITE_ZEROES;
    assert_int_equal(gdrv_offered(g), own | HK_VIRTIO_F_VERSION_1 |
                                          HK_VIRTIO_F_EVENT_IDX |
                                          HK_VIRTIO_F_INDIRECT_DESC);
    gdrv_write(g, GDRV_QUEUE_SEL, 0);
    assert_int_equal(gdrv_read(g, GDRV_QUEUE_NUM_MAX), 256);
    assert_int_equal(gdrv_config(g, 12, 4), 254); /* seg_max */
    assert_int_equal(gdrv_config(g, 20, 4), 512); /* blk_size */
    assert_int_equal(gdrv_config(g, 36, 4), 1 << 21);
    assert_int_equal(gdrv_config(g, 40, 4), 1);
    assert_int_equal(gdrv_config(g, 48, 4), 1 << 21);
    assert_int_equal(gdrv_config(g, 52, 4), 1);
    assert_int_equal(gdrv_config(g, 56, 1), 1);
}

static void row066_a_plain_disk_offers_no_more_than_it_can(void **state)
{
    struct gdrv *g = *state;
    mem_flags = MEM_NO_ZERO;
    start(g, F_FLUSH);
    assert_int_equal(gdrv_offered(g) & (F_DISCARD | F_WRITE_ZEROES | F_RO), 0);
    assert_int_equal(range_request(g, DISCARD, 0, 8, 0), UNSUPP);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 0), UNSUPP);
}

static void row066_a_read_only_disk_refuses_every_change(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[SECTOR] = {0};
    mem_flags = MEM_READ_ONLY;
    /* Also a driver that does not take the feature is kept from writing. */
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            start(g, F_RO);
        else
            gdrv_start(g, 0);
        assert_int_equal(gdrv_offered(g) &
                             (F_RO | F_FLUSH | F_DISCARD | F_WRITE_ZEROES),
                         F_RO | F_FLUSH);
        assert_int_equal(write_sectors(g, 0, bytes, SECTOR), IOERR);
        assert_int_equal(range_request(g, DISCARD, 0, 8, 0), IOERR);
        assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 0), IOERR);
        assert_int_equal(read_sectors(g, 0, bytes, SECTOR), OK);
        assert_memory_equal(bytes, store.bytes, SECTOR);
        assert_int_equal(request(g, FLUSH, 0, NULL, 0, NULL, 0), OK);
        memset(bytes, 0, sizeof(bytes));
    }
}

static void row067_discarded_and_zeroed_ranges_free_space(void **state)
{
    struct gdrv *g = *state;
    struct stat before, after;
    uint8_t bytes[SECTOR];
    put_file(SECTORS * SECTOR);
    start(g, F_ALL);
    assert_int_equal(request(g, FLUSH, 0, NULL, 0, NULL, 0), OK);
    assert_int_equal(stat(image, &before), 0);
    assert_int_equal(range_request(g, DISCARD, 0, 1024, 0), OK);
    assert_int_equal(range_request(g, WRITE_ZEROES, 2048, 1024, 1), OK);
    assert_int_equal(request(g, FLUSH, 0, NULL, 0, NULL, 0), OK);
    assert_int_equal(stat(image, &after), 0);
    assert_int_equal(after.st_size, SECTORS * SECTOR);
    assert_int_equal(read_sectors(g, 2048 + 1023, bytes, SECTOR), OK);
    for (int i = 0; i < SECTOR; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(read_sectors(g, 2048 + 1024, bytes, SECTOR), OK);
    assert_memory_equal(bytes, store.bytes + 3072 * SECTOR, SECTOR);
    if (before.st_blocks < SECTORS)
        hk_skip("this file system does not show its use of space");
    assert_int_equal(after.st_blocks, before.st_blocks - 2048);
}

/* ------------------------------------------------------------------ */
/* Checks                                                             */

static void sectors_outside_the_disk_are_an_error(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[2 * SECTOR] = {0};
    static const uint64_t sectors[] = {SECTORS - 1, SECTORS, 1ull << 54,
                                       (1ull << 55) - 1, UINT64_MAX};
    start(g, F_ALL);
    for (size_t i = 0; i < 5; i++) {
        uint64_t s = sectors[i];
        assert_int_equal(read_sectors(g, s, bytes, sizeof(bytes)), IOERR);
        assert_int_equal(write_sectors(g, s, bytes, sizeof(bytes)), IOERR);
        assert_int_equal(range_request(g, DISCARD, s, 2, 0), IOERR);
        assert_int_equal(range_request(g, WRITE_ZEROES, s, 2, 0), IOERR);
    }
    assert_int_equal(fault.seen, 0);
    assert_int_equal(read_sectors(g, 0, bytes, SECTOR), OK);
}

static void lengths_that_are_no_sectors_are_an_error(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[SECTOR + 1] = {0};
    start(g, F_ALL);
    assert_int_equal(read_sectors(g, 0, bytes, SECTOR + 1), IOERR);
    assert_int_equal(read_sectors(g, 0, bytes, 1), IOERR);
    assert_int_equal(write_sectors(g, 0, bytes, SECTOR - 1), IOERR);
    assert_int_equal(fault.seen, 0);
    assert_int_equal(write_sectors(g, 0, NULL, 0), OK); /* nothing to do */
}

static void unknown_requests_are_not_supported(void **state)
{
    struct gdrv *g = *state;
    static const uint32_t types[] = {2,  3,  5,  6,  7,          9,         10,
                                     12, 14, 15, 16, 0x80000000, UINT32_MAX};
    start(g, F_ALL);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        assert_int_equal(request(g, types[i], 0, NULL, 0, NULL, 0), UNSUPP);
}

static void flags_of_ranges_are_checked(void **state)
{
    struct gdrv *g = *state;
    start(g, F_ALL);
    assert_int_equal(range_request(g, DISCARD, 0, 8, 1), UNSUPP);
    assert_int_equal(range_request(g, DISCARD, 0, 8, 2), UNSUPP);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 2), UNSUPP);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 0x80000001), UNSUPP);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 1), OK);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 0), OK);
    assert_int_equal(range_request(g, DISCARD, 0, 0, 0), OK);
}

static void ranges_need_one_whole_segment_of_legal_size(void **state)
{
    struct gdrv *g = *state;
    uint8_t segments[32] = {0};
    start(g, F_ALL);
    for (size_t len = 0; len <= 32; len++)
        assert_int_equal(request(g, DISCARD, 0, segments, len, NULL, 0),
                         len == 16 ? OK : IOERR);
    assert_int_equal(range_request(g, DISCARD, 0, (1 << 21) + 1, 0), IOERR);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, UINT32_MAX, 0), IOERR);
}

static void ranges_that_were_not_agreed_on_are_not_supported(void **state)
{
    struct gdrv *g = *state;
    start(g, F_FLUSH);
    assert_int_equal(range_request(g, DISCARD, 0, 8, 0), UNSUPP);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 0), UNSUPP);
}

static void a_short_header_is_an_error(void **state)
{
    struct gdrv *g = *state;
    uint8_t header[HEADER] = {0}, status;
    start(g, F_ALL);
    for (size_t len = 0; len < HEADER; len++) {
        status = UNTOUCHED;
        assert_int_equal(gdrv_request(g, QUEUE, header, len, &status, 1), 1);
        assert_int_equal(status, IOERR);
    }
}

static void no_room_for_a_status_breaks_the_device(void **state)
{
    struct gdrv *g = *state;
    uint8_t header[HEADER] = {0}, bytes[SECTOR];
    start(g, F_ALL);
    assert_int_equal(gdrv_request(g, QUEUE, header, HEADER, NULL, 0), -1);
    assert_true(gdrv_status(g) & GDRV_NEEDS_RESET);
    gdrv_start(g, F_ALL);
    assert_int_equal(read_sectors(g, 0, bytes, SECTOR), OK);
}

/* ------------------------------------------------------------------ */
/* Faults, and many at a time                                         */

static void every_kind_of_failure_is_told(void **state)
{
    struct gdrv *g = *state;
    uint8_t bytes[SECTOR] = {0};
    start(g, F_ALL);
    fault.nth = 1;
    fault.for_ever = true;
    assert_int_equal(read_sectors(g, 0, bytes, SECTOR), IOERR);
    assert_int_equal(write_sectors(g, 0, bytes, SECTOR), IOERR);
    assert_int_equal(request(g, FLUSH, 0, NULL, 0, NULL, 0), IOERR);
    assert_int_equal(range_request(g, DISCARD, 0, 8, 0), IOERR);
    assert_int_equal(range_request(g, WRITE_ZEROES, 0, 8, 0), IOERR);
    fault.nth = 0;
    assert_int_equal(read_sectors(g, 0, bytes, SECTOR), OK);
    assert_int_equal(gdrv_status(g), 15);
}

static void a_failed_flush_fails_a_write_without_the_feature(void **state)
{
    struct gdrv *g = *state;
    start(g, 0);
    fault.nth = 2; /* the write is the first call */
    assert_int_equal(write_sectors(g, 0, store.bytes, SECTOR), IOERR);
}

struct flight {
    hk_gpa_t at; /* header, data, status */
    uint16_t head;
};

static void launch(struct gdrv *g, struct flight *f, uint64_t sector)
{
    uint8_t header[HEADER], status = UNTOUCHED;
    put_header(header, IN, sector);
    f->at = gdrv_alloc(g, HEADER + SECTOR + 1, 16);
    gdrv_store(g, f->at, header, HEADER);
    gdrv_store(g, f->at + HEADER + SECTOR, &status, 1);
    const struct gdrv_buf bufs[] = {{f->at, HEADER, false},
                                    {f->at + HEADER, SECTOR + 1, true}};
    f->head = gdrv_add(g, QUEUE, bufs, 2);
}

static void many_requests_are_in_flight_at_once(void **state)
{
    struct gdrv *g = *state;
    struct flight flights[100];
    struct gdrv_used used;
    uint8_t bytes[SECTOR + 1];
    start(g, F_ALL | HK_VIRTIO_F_EVENT_IDX);
    hold_plan_set(&held, true);
    for (uint64_t i = 0; i < 100; i++)
        launch(g, &flights[i], i * 3);
    gdrv_kick(g, QUEUE);
    hk_loop_turn(g->loop);
    hold_plan_await(&held, 2); /* two workers are in the disk */
    assert_false(gdrv_take_used(g, QUEUE, &used));
    hold_plan_set(&held, false);
    gdrv_turn(g);
    for (int i = 0; i < 100; i++)
        assert_true(gdrv_take_used(g, QUEUE, &used));
    for (uint64_t i = 0; i < 100; i++) {
        gdrv_load(g, flights[i].at + HEADER, bytes, sizeof(bytes));
        assert_memory_equal(bytes, store.bytes + i * 3 * SECTOR, SECTOR);
        assert_int_equal(bytes[SECTOR], OK);
    }
    assert_true(gdrv_take_interrupts(g, NULL) > 0);
}

/* Lets the disk go on while the loop waits for the device's reset. */
static void let_go(void *opaque)
{
    (void)opaque;
    hold_plan_set(&held, false);
}

static void a_reset_waits_for_requests_and_uses_no_buffer(void **state)
{
    struct gdrv *g = *state;
    struct flight flights[10];
    uv_thread_t helper;
    uint8_t bytes[SECTOR];
    start(g, F_ALL);
    hold_plan_set(&held, true);
    for (uint64_t i = 0; i < 10; i++)
        launch(g, &flights[i], i);
    gdrv_kick(g, QUEUE);
    hk_loop_turn(g->loop);
    hold_plan_await(&held, 1);
    hk_gpa_t used_idx = g->queue[QUEUE].used + 2;
    assert_int_equal(uv_thread_create(&helper, let_go, NULL), 0);
    gdrv_write(g, GDRV_STATUS, 0); /* returns when the reset is done */
    uv_thread_join(&helper);
    assert_int_equal(gdrv_status(g), 0);
    assert_int_equal(hk_pool_pending(g->pool), 0);
    assert_int_equal(gdrv_load16(g, used_idx), 0);
    gdrv_start(g, F_ALL);
    assert_int_equal(read_sectors(g, 0, bytes, SECTOR), OK);
    assert_memory_equal(bytes, store.bytes, SECTOR);
}

/* Ends while a request is in flight: quiesce waits for it. */
static void a_vm_may_end_with_requests_in_flight(void **state)
{
    struct gdrv g;
    struct flight flight;
    uv_thread_t helper;
    setup_store();
    start(&g, F_ALL);
    hold_plan_set(&held, true);
    launch(&g, &flight, 1);
    gdrv_kick(&g, QUEUE);
    hk_loop_turn(g.loop);
    hold_plan_await(&held, 1);
    assert_int_equal(uv_thread_create(&helper, let_go, NULL), 0);
    gdrv_fini(&g);
    uv_thread_join(&helper);
    teardown_store();
}

/* ------------------------------------------------------------------ */

static void polite(struct gdrv *g)
{
    uint8_t bytes[SECTOR];
    fault.nth = 0;
    assert_int_equal(read_sectors(g, 17, bytes, SECTOR), OK);
    assert_true(gdrv_take_interrupts(g, NULL) > 0);
}

/* A header of some kind near the disk's end. */
static void dress(struct gdrv *g, uint32_t queue, hk_gpa_t at, uint32_t len,
                  uint32_t seed)
{
    static const uint32_t types[] = {IN,      OUT,          FLUSH, GET_ID,
                                     DISCARD, WRITE_ZEROES, 99,    IN};
    uint8_t header[HEADER];
    if (len < HEADER)
        return;
    put_header(header, types[seed % 8], seed / 8 % (SECTORS + 2));
    gdrv_store(g, at, header, HEADER);
}

static struct hostile_target target = {
    .make = make,
    .polite = polite,
    .features = F_ALL,
    .dress = dress,
    .setup = setup_store,
    .teardown = teardown_store,
};

#define CASE(function) \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(row061_the_capacity_is_the_file_size_in_sectors),
    CASE(row061_a_file_without_write_permission_opens_read_only),
    CASE(row062_a_read_gives_exactly_the_sectors),
    CASE(row062_pieces_of_any_size_are_filled_in_order),
    CASE(row063_a_write_is_seen_by_the_host),
    CASE(row064_a_flush_reaches_the_disk),
    CASE(row064_without_the_feature_every_write_is_flushed),
    cmocka_unit_test(row064_the_disk_is_flushed_when_the_vm_ends),
    CASE(row065_the_id_has_at_most_20_bytes),
    CASE(row065_a_short_id_is_padded),
    CASE(row065_without_an_id_the_image_names_itself),
    CASE(row066_features_and_limits),
    CASE(row066_a_plain_disk_offers_no_more_than_it_can),
    CASE(row066_a_read_only_disk_refuses_every_change),
    CASE(row067_discarded_and_zeroed_ranges_free_space),
    CASE(sectors_outside_the_disk_are_an_error),
    CASE(lengths_that_are_no_sectors_are_an_error),
    CASE(unknown_requests_are_not_supported),
    CASE(flags_of_ranges_are_checked),
    CASE(ranges_need_one_whole_segment_of_legal_size),
    CASE(ranges_that_were_not_agreed_on_are_not_supported),
    CASE(a_short_header_is_an_error),
    CASE(no_room_for_a_status_breaks_the_device),
    CASE(every_kind_of_failure_is_told),
    CASE(a_failed_flush_fails_a_write_without_the_feature),
    CASE(many_requests_are_in_flight_at_once),
    CASE(a_reset_waits_for_requests_and_uses_no_buffer),
    cmocka_unit_test(a_vm_may_end_with_requests_in_flight),
    HOSTILE_CASES(&target),
};
HK_TEST_MAIN(cases)
