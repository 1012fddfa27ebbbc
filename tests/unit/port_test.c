/* console/port.h */
#define _GNU_SOURCE
#include "port_rig.h"

#include "console/outpump.h"

#include <fcntl.h>
#include <unistd.h>
#include <uv.h>

static void the_null_port_takes_everything(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(hk_port_open_null(&rig->port), 0);
    listen_port(rig);
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"abc", 3), 3);
    hk_port_resume(rig->port);
    hk_port_drain(rig->port);
    hk_port_close(NULL);
}

static void the_memory_port_keeps_output_and_input(void **state)
{
    struct rig *rig = *state;
    size_t len;

    assert_int_equal(hk_port_open_memory(&rig->port), 0);
    hk_port_memory_feed(rig->port, (const uint8_t *)"ab", 2);
    rig->appetite = 1;
    listen_port(rig);
    assert_int_equal(rig->len, 1);
    hk_port_memory_feed(rig->port, (const uint8_t *)"c", 1);
    rig->appetite = 9;
    hk_port_resume(rig->port);
    assert_memory_equal(rig->got, "abc", 3);
    hk_port_memory_set_room(rig->port, 2);
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"xyz", 3), 2);
    assert_int_equal(rig->writables, 0);
    hk_port_memory_set_room(rig->port, 1);
    assert_int_equal(rig->writables, 1);
    assert_memory_equal(hk_port_memory_bytes(rig->port, &len), "xy", 2);
    assert_int_equal(len, 2);
}

struct feeder {
    int fd;
    size_t len;
};

static void feed_main(void *opaque)
{
    struct feeder *feeder = opaque;
    char block[1000];

    for (size_t at = 0; at < feeder->len;) {
        size_t n = feeder->len - at;

        n = n < sizeof(block) ? n : sizeof(block);
        for (size_t i = 0; i < n; i++)
            block[i] = (char)((at + i) % 251);
        write_all(feeder->fd, block, n);
        at += n;
    }
    close(feeder->fd);
}

static void take_some_more(void *opaque)
{
    struct rig *rig = opaque;

    if (rig->port == NULL || rig->ends != 0)
        return;
    rig->appetite = 777;
    hk_port_resume(rig->port);
    assert_int_equal(hk_loop_post(rig->loop, take_some_more, rig), 0);
}

static void row045_a_pipe_is_delivered_whole_to_a_slow_guest(void **state)
{
    struct rig *rig = *state;
    struct feeder feeder = {.len = 300000};
    uv_thread_t thread;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    feeder.fd = fds[1];
    open_port(rig, fds[0], -1, false);
    rig->appetite = 10;
    listen_port(rig);
    assert_int_equal(uv_thread_create(&thread, feed_main, &feeder), 0);
    assert_int_equal(hk_loop_post(rig->loop, take_some_more, rig), 0);
    hk_loop_run(rig->loop);
    uv_thread_join(&thread);
    assert_int_equal(rig->ends, 1);
    assert_int_equal(rig->len, feeder.len);
    for (size_t i = 0; i < rig->len; i++)
        if ((uint8_t)rig->got[i] != i % 251)
            fail_msg("byte %zu is wrong", i);
    close_port(rig);
    close(fds[0]);
}

static void row045_the_callers_descriptors_stay_open_and_unchanged(void **state)
{
    struct rig *rig = *state;
    int in[2], out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    open_port(rig, in[0], out[1], false);
    listen_port(rig);
    hk_loop_turn(rig->loop);
    assert_int_equal(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
    close_port(rig);
    assert_true(fcntl(in[0], F_GETFD) >= 0);
    assert_true(fcntl(out[1], F_GETFD) >= 0);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

static void assert_ends_at_once(struct rig *rig, int in)
{
    open_port(rig, in, -1, true);
    listen_port(rig);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->ends, 1);
    assert_int_equal(rig->len, 0);
    hk_loop_turn(rig->loop);
    hk_port_resume(rig->port);
    hk_loop_turn(rig->loop);
    assert_int_equal(rig->ends, 1);
}

static void no_input_is_an_end_of_input(void **state)
{
    assert_ends_at_once(*state, -1);
}

static void the_null_device_is_an_end_of_input(void **state)
{
    int fd = open("/dev/null", O_RDONLY);

    assert_ends_at_once(*state, fd);
    close(fd);
}

static void a_closed_descriptor_is_an_end_of_input(void **state)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    close(fds[1]);
    assert_ends_at_once(*state, fds[0]);
}

static void row044_close_ends_a_reader_that_waits(void **state)
{
    struct rig *rig = *state;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    open_port(rig, fds[0], -1, false);
    listen_port(rig);
    close_port(rig);
    assert_int_equal(rig->ends, 0);
    close(fds[0]);
    close(fds[1]);
}

enum { WRITERS = 4, LINES = 3000, LINE = 16 };

struct writer {
    struct rig *rig;
    int number;
};

static void write_lines(void *opaque)
{
    struct writer *writer = opaque;
    char line[LINE + 1];

    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "%d:%013d\n", writer->number, i);
        /* All or nothing does not hold for a full port: wait for room. */
        for (size_t at = 0; at < LINE;) {
            size_t n = hk_port_write(writer->rig->port,
                                     (const uint8_t *)line + at, LINE - at);
            assert_true(n == LINE - at || at == 0);
            at += n;
            if (n == 0)
                uv_sleep(0);
        }
    }
}

static void row043_output_of_many_threads_is_whole(void **state)
{
    struct rig *rig = *state;
    struct writer writers[WRITERS];
    uv_thread_t threads[WRITERS];
    FILE *file = tmpfile();
    int next[WRITERS] = {0};
    char line[LINE + 2];

    open_port(rig, -1, fileno(file), false);
    listen_port(rig);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){rig, i};
        assert_int_equal(
            uv_thread_create(&threads[i], write_lines, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        uv_thread_join(&threads[i]);
    hk_port_drain(rig->port);
    rewind(file);
    for (int i = 0; i < WRITERS * LINES; i++) {
        assert_non_null(fgets(line, sizeof(line), file));
        int who = line[0] - '0';
        assert_true(who >= 0 && who < WRITERS);
        assert_int_equal(strtol(line + 2, NULL, 10), next[who]++);
    }
    assert_null(fgets(line, sizeof(line), file));
    close_port(rig);
    fclose(file);
}

static void drain_returns_after_the_host_has_all(void **state)
{
    struct rig *rig = *state;
    char got[16];
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    open_port(rig, -1, fds[1], false);
    listen_port(rig);
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"hello", 5), 5);
    hk_port_drain(rig->port);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(fds[0], got, sizeof(got)), 5);
    assert_memory_equal(got, "hello", 5);
    close_port(rig);
    close(fds[0]);
    close(fds[1]);
}

static void close_writes_what_is_left(void **state)
{
    struct rig *rig = *state;
    char got[16];
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    open_port(rig, -1, fds[1], false);
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"bye", 3), 3);
    close_port(rig);
    assert_int_equal(read(fds[0], got, sizeof(got)), 3);
    close(fds[0]);
    close(fds[1]);
}

static size_t fill(struct rig *rig)
{
    uint8_t block[4096];
    size_t total = 0;
    int refused = 0;

    memset(block, 'f', sizeof(block));
    /* The pump moves on what it can; full is when it stays full. */
    while (refused < 100) {
        size_t n = hk_port_write(rig->port, block, sizeof(block));

        total += n;
        if (n != 0) {
            refused = 0;
        } else {
            refused++;
            uv_sleep(0);
        }
    }
    return total;
}

static size_t count_until_end(int fd)
{
    char block[4096];
    size_t total = 0;
    ssize_t n;

    while ((n = read(fd, block, sizeof(block))) > 0)
        total += (size_t)n;
    return total;
}

struct sink {
    int fd;
    size_t total;
};

static void sink_main(void *opaque)
{
    struct sink *sink = opaque;

    sink->total = count_until_end(sink->fd);
}

static void a_full_port_says_so_and_when_it_has_room(void **state)
{
    struct rig *rig = *state;
    struct sink sink;
    uv_thread_t thread;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    open_port(rig, -1, fds[1], false);
    hk_port_listen(rig->port, &events, rig);
    rig->ends = 0;
    hk_loop_run(rig->loop); /* the end of the missing input */
    size_t total = fill(rig);
    assert_true(total >= HK_OUTPUMP_SIZE);
    assert_int_equal(rig->writables, 0);
    sink.fd = fds[0];
    assert_int_equal(uv_thread_create(&thread, sink_main, &sink), 0);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->writables, 1);
    hk_port_drain(rig->port);
    close_port(rig);
    close(fds[1]);
    uv_thread_join(&thread);
    assert_int_equal(sink.total, total);
    close(fds[0]);
}

static void a_broken_pipe_discards_and_kills_nobody(void **state)
{
    struct rig *rig = *state;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    open_port(rig, -1, fds[1], false);
    listen_port(rig);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"x", 1), 1);
        hk_port_drain(rig->port);
    }
    close_port(rig);
    close(fds[1]);
}

static void row046_two_ports_do_not_mix(void **state)
{
    struct rig *rig = *state;
    struct rig *other = calloc(1, sizeof(*other));
    int a[2], b[2];

    other->loop = rig->loop;
    other->appetite = SIZE_MAX;
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    open_port(rig, a[0], -1, false);
    open_port(other, b[0], -1, false);
    listen_port(rig);
    listen_port(other);
    write_all(a[1], "first", 5);
    write_all(b[1], "second", 6);
    close(a[1]);
    close(b[1]);
    while (rig->ends + other->ends < 2)
        hk_loop_run(rig->loop);
    assert_int_equal(rig->len, 5);
    assert_memory_equal(rig->got, "first", 5);
    assert_int_equal(other->len, 6);
    assert_memory_equal(other->got, "second", 6);
    close_port(other);
    free(other);
    close_port(rig);
    close(a[0]);
    close(b[0]);
}

static const struct CMUnitTest cases[] = {
    CASE(the_null_port_takes_everything),
    CASE(the_memory_port_keeps_output_and_input),
    CASE(row045_a_pipe_is_delivered_whole_to_a_slow_guest),
    CASE(row045_the_callers_descriptors_stay_open_and_unchanged),
    CASE(no_input_is_an_end_of_input),
    CASE(the_null_device_is_an_end_of_input),
    CASE(a_closed_descriptor_is_an_end_of_input),
    CASE(row044_close_ends_a_reader_that_waits),
    CASE(row043_output_of_many_threads_is_whole),
    CASE(drain_returns_after_the_host_has_all),
    CASE(close_writes_what_is_left),
    CASE(a_full_port_says_so_and_when_it_has_room),
    CASE(a_broken_pipe_discards_and_kills_nobody),
    CASE(row046_two_ports_do_not_mix),
};
HK_TEST_MAIN(cases)
