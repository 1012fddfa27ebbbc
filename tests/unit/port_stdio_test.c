/* console/port.h: every kind of descriptor, in bulk, broken, and the ports
 * that have none. */
#define _GNU_SOURCE
#include "hk_test.h"

#include "base/compiler.h"
#include "base/log.h"
#include "console/port.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum { BULK = 50 << 20, BLOCK = 65536 };

struct rig {
    struct hk_loop *loop;
    struct hk_port *port;
    bool echoes; /* input goes straight back out */
    char got[8192];
    size_t len;
    int ends, breaks, writables;
    int code;
};

static size_t on_input(void *opaque, const uint8_t *bytes, size_t len)
{
    struct rig *rig = opaque;

    if (rig->echoes)
        return hk_port_write(rig->port, bytes, len);
    assert_true(rig->len + len <= sizeof(rig->got));
    memcpy(rig->got + rig->len, bytes, len);
    rig->len += len;
    return len;
}

static void on_end(void *opaque)
{
    struct rig *rig = opaque;

    rig->ends++;
    hk_loop_stop(rig->loop);
}

static void on_writable(void *opaque)
{
    struct rig *rig = opaque;

    rig->writables++;
    hk_port_resume(rig->port);
}

static void on_broken(void *opaque, int code)
{
    struct rig *rig = opaque;

    rig->breaks++;
    rig->code = code;
    hk_loop_stop(rig->loop);
}

static const struct hk_port_events events = {
    .input = on_input,
    .input_end = on_end,
    .writable = on_writable,
    .broken = on_broken,
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_int_equal(hk_loop_create(&rig->loop), 0);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    hk_port_close(rig->port);
    hk_loop_destroy(rig->loop);
    free(rig);
    return 0;
}

static void open_port(struct rig *rig, int in, int out)
{
    struct hk_errmsg err;

    assert_int_equal(hk_port_open_fds(rig->loop, in, out, 0, &rig->port, &err),
                     0);
    hk_port_listen(rig->port, &events, rig);
}

static void close_port(struct rig *rig)
{
    hk_port_close(rig->port);
    rig->port = NULL;
    hk_loop_turn(rig->loop);
}

/* Bulk: a thread feeds, one counts and checks */

static void fill_block(uint8_t *block, size_t at)
{
    for (size_t i = 0; i < BLOCK; i += 8) {
        uint64_t mark = (at + i) * UINT64_C(0x9e3779b97f4a7c15);

        memcpy(block + i, &mark, 8);
    }
}

static void feed_main(void *opaque)
{
    static uint8_t block[BLOCK];
    int fd = *(int *)opaque;

    for (size_t at = 0; at < BULK; at += BLOCK) {
        fill_block(block, at);
        for (size_t done = 0; done < BLOCK;) {
            ssize_t n = write(fd, block + done, BLOCK - done);

            assert_true(n > 0);
            done += (size_t)n;
        }
    }
    close(fd);
}

struct checker {
    int fd;
    size_t good; /* bytes right from the start on */
    size_t total;
};

static void check_main(void *opaque)
{
    static uint8_t wanted[BLOCK], block[BLOCK];
    struct checker *checker = opaque;
    ssize_t n;

    while ((n = read(checker->fd, block,
                     BLOCK - (size_t)(checker->total % BLOCK))) > 0) {
        size_t at = checker->total % BLOCK;

        if (at == 0)
            fill_block(wanted, checker->total);
        if (memcmp(block, wanted + at, (size_t)n) == 0)
            checker->good += (size_t)n;
        checker->total += (size_t)n;
    }
}

static void row045_50_mb_of_input_and_output_arrive_whole(void **state)
{
    struct rig *rig = *state;
    struct checker checker = {0};
    uv_thread_t feeder, reader;
    int in[2], out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    rig->echoes = true;
    open_port(rig, in[0], out[1]);
    checker.fd = out[0];
    assert_int_equal(uv_thread_create(&feeder, feed_main, &in[1]), 0);
    assert_int_equal(uv_thread_create(&reader, check_main, &checker), 0);
    hk_loop_run(rig->loop);
    hk_port_drain(rig->port);
    close_port(rig);
    close(out[1]);
    uv_thread_join(&feeder);
    uv_thread_join(&reader);
    assert_int_equal(checker.total, BULK);
    assert_int_equal(checker.good, BULK);
    assert_int_equal(rig->ends, 1);
    close(in[0]);
    close(out[0]);
}

/* Kinds of input */

static void assert_input(struct rig *rig, int fd, const char *text)
{
    open_port(rig, fd, -1);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->len, strlen(text));
    assert_memory_equal(rig->got, text, rig->len);
    hk_loop_turn(rig->loop);
    hk_port_resume(rig->port);
    hk_loop_turn(rig->loop);
    assert_int_equal(rig->ends, 1);
    close_port(rig);
}

static void a_file_is_read_to_its_end(void **state)
{
    FILE *file = tmpfile();

    assert_true(fputs("a file", file) >= 0);
    rewind(file);
    assert_input(*state, fileno(file), "a file");
    fclose(file);
}

static void a_socket_is_read_to_its_end(void **state)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(write(fds[1], "a socket", 8), 8);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    assert_input(*state, fds[0], "a socket");
    close(fds[0]);
    close(fds[1]);
}

static void a_fifo_is_read_to_its_end(void **state)
{
    char folder[] = "/tmp/husk-port-XXXXXX";
    char path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    int in = open(path, O_RDONLY | O_NONBLOCK);
    int out = open(path, O_WRONLY);
    assert_int_equal(write(out, "a fifo", 6), 6);
    close(out);
    assert_input(*state, in, "a fifo"); /* though it is non-blocking */
    close(in);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void what_cannot_be_read_is_an_end_of_input(void **state)
{
    struct rig *rig = *state;
    int only_written = open("/dev/null", O_WRONLY);
    int directory = open("/", O_RDONLY);

    assert_input(rig, only_written, "");
    rig->ends = 0;
    assert_input(rig, directory, "");
    close(only_written);
    close(directory);
}

/* Output that breaks */

static void assert_breaks(struct rig *rig, int fd, int code)
{
    open_port(rig, -1, fd);
    hk_loop_run(rig->loop); /* the end of the missing input */
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"x", 1), 1);
    hk_loop_run(rig->loop);
    assert_int_equal(rig->breaks, 1);
    assert_int_equal(rig->code, code);
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"y", 1), 1);
    hk_port_drain(rig->port);
    hk_loop_turn(rig->loop);
    assert_int_equal(rig->breaks, 1);
    close_port(rig);
}

static void drop_line(void *opaque, enum hk_log_level level, const char *tag,
                      const char *message)
{
}

static void a_full_disk_breaks_the_output(void **state)
{
    int fd = open("/dev/full", O_WRONLY);

    hk_log_set_sink(drop_line, NULL);
    assert_breaks(*state, fd, -HK_ENOSPC);
    hk_log_set_sink(NULL, NULL);
    close(fd);
}

static void a_pipe_without_a_reader_breaks_the_output(void **state)
{
    int fds[2];

    hk_log_set_sink(drop_line, NULL);
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_breaks(*state, fds[1], -HK_EPIPE);
    hk_log_set_sink(NULL, NULL);
    close(fds[1]);
}

static void a_descriptor_only_for_reading_breaks_the_output(void **state)
{
    int fd = open("/dev/null", O_RDONLY);

    hk_log_set_sink(drop_line, NULL);
    assert_breaks(*state, fd, -HK_EBADF);
    hk_log_set_sink(NULL, NULL);
    close(fd);
}

static void giving_up_ends_the_wait_for_a_reader(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[1 << 20];
    atomic_bool give_up = true;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    open_port(rig, -1, fds[1]);
    hk_port_set_give_up(rig->port, &give_up);
    assert_true(hk_port_write(rig->port, block, sizeof(block)) > 0);
    hk_port_drain(rig->port); /* would never end */
    close_port(rig);
    close(fds[0]);
    close(fds[1]);
}

/* Log */

struct lines {
    int count;
    enum hk_log_level level;
    char tag[16];
    char text[4][8192];
};

static void keep_line(void *opaque, enum hk_log_level level, const char *tag,
                      const char *message)
{
    struct lines *lines = opaque;

    assert_true(lines->count < 4);
    if (strcmp(tag, "guest") == 0)
        lines->level = level;
    snprintf(lines->tag, sizeof(lines->tag), "%s", tag);
    snprintf(lines->text[lines->count++], 8192, "%s", message);
}

static struct lines *open_log(struct rig *rig)
{
    struct lines *lines = calloc(1, sizeof(*lines));

    hk_log_set_sink(keep_line, lines);
    assert_int_equal(hk_port_open_log(HK_LOG_WARN, "guest", &rig->port), 0);
    hk_port_listen(rig->port, &events, rig);
    return lines;
}

static void close_log(struct lines *lines)
{
    hk_log_set_sink(NULL, NULL);
    free(lines);
}

static void put(struct rig *rig, const char *text, size_t len)
{
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)text, len), len);
}

static void row047_each_line_of_output_is_a_log_line(void **state)
{
    struct rig *rig = *state;
    struct lines *lines = open_log(rig);

    put(rig, "one\r\ntw", 7);
    put(rig, "o\n\nrest", 7);
    assert_int_equal(lines->count, 3);
    assert_string_equal(lines->text[0], "one");
    assert_string_equal(lines->text[1], "two");
    assert_string_equal(lines->text[2], "");
    assert_string_equal(lines->tag, "guest");
    assert_int_equal(lines->level, HK_LOG_WARN);
    close_port(rig);
    assert_int_equal(lines->count, 4);
    assert_string_equal(lines->text[3], "rest");
    close_log(lines);
}

static void row047_a_line_of_4096_bytes_is_logged_whole(void **state)
{
    struct rig *rig = *state;
    struct lines *lines = open_log(rig);
    char line[4097];

    memset(line, 'l', 4096);
    line[4096] = '\n';
    put(rig, line, sizeof(line));
    assert_int_equal(lines->count, 1);
    assert_int_equal(strlen(lines->text[0]), 4096);
    assert_memory_equal(lines->text[0], line, 4096);
    close_log(lines);
}

static void row047_a_longer_line_is_split_with_a_message(void **state)
{
    struct rig *rig = *state;
    struct lines *lines = open_log(rig);
    char line[4098];

    memset(line, 'l', 4097);
    line[4097] = '\n';
    put(rig, line, sizeof(line));
    assert_int_equal(lines->count, 3);
    assert_int_equal(strlen(lines->text[0]), 4096);
    assert_non_null(strstr(lines->text[1], "split"));
    assert_string_equal(lines->text[2], "l");
    close_log(lines);
}

static void a_nul_in_a_line_does_not_hide_the_rest(void **state)
{
    struct rig *rig = *state;
    struct lines *lines = open_log(rig);

    put(rig, "a\0b\n", 4);
    assert_string_equal(lines->text[0], "a?b");
    close_log(lines);
}

/* Calls */

struct peer {
    char got[64];
    size_t len;
    size_t room;
};

static size_t peer_write(void *opaque, const uint8_t *bytes, size_t len)
{
    struct peer *peer = opaque;

    len = len < peer->room ? len : peer->room;
    memcpy(peer->got + peer->len, bytes, len);
    peer->len += len;
    peer->room -= len;
    return len;
}

static void a_calls_port_hands_output_to_its_owner(void **state)
{
    struct rig *rig = *state;
    struct peer peer = {.room = 2};

    assert_int_equal(hk_port_open_calls(peer_write, &peer, &rig->port), 0);
    hk_port_listen(rig->port, &events, rig);
    assert_int_equal(hk_port_write(rig->port, (const uint8_t *)"abc", 3), 2);
    hk_port_calls_writable(rig->port);
    assert_int_equal(rig->writables, 1);
    assert_memory_equal(peer.got, "ab", 2);
}

static void a_calls_port_keeps_input_until_it_is_wanted(void **state)
{
    static const uint8_t block[HK_PORT_CALLS_ROOM];
    struct rig *rig = *state;

    assert_int_equal(hk_port_open_calls(NULL, NULL, &rig->port), 0);
    assert_true(hk_port_calls_feed(rig->port, (const uint8_t *)"ab", 2));
    assert_false(hk_port_calls_feed(rig->port, block, sizeof(block) - 1));
    assert_int_equal(rig->len, 0);
    hk_port_listen(rig->port, &events, rig);
    assert_memory_equal(rig->got, "ab", 2);
    assert_true(hk_port_calls_feed(rig->port, block, sizeof(block)));
    assert_int_equal(rig->len, 2 + sizeof(block));
    hk_port_calls_end(rig->port);
    hk_port_calls_end(rig->port);
    assert_int_equal(rig->ends, 1);
    assert_false(hk_port_calls_feed(rig->port, block, 1));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest cases[] = {
    CASE(row045_50_mb_of_input_and_output_arrive_whole),
    CASE(a_file_is_read_to_its_end),
    CASE(a_socket_is_read_to_its_end),
    CASE(a_fifo_is_read_to_its_end),
    CASE(what_cannot_be_read_is_an_end_of_input),
    CASE(a_full_disk_breaks_the_output),
    CASE(a_pipe_without_a_reader_breaks_the_output),
    CASE(a_descriptor_only_for_reading_breaks_the_output),
    CASE(giving_up_ends_the_wait_for_a_reader),
    CASE(row047_each_line_of_output_is_a_log_line),
    CASE(row047_a_line_of_4096_bytes_is_logged_whole),
    CASE(row047_a_longer_line_is_split_with_a_message),
    CASE(a_nul_in_a_line_does_not_hide_the_rest),
    CASE(a_calls_port_hands_output_to_its_owner),
    CASE(a_calls_port_keeps_input_until_it_is_wanted),
};
HK_TEST_MAIN(cases)
