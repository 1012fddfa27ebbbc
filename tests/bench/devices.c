/*
 * Loads that measure devices: a shared folder, which is the working folder,
 * and a disk, /dev/vda. Time is taken outside; so nothing here waits for the
 * host's own disk, whose speed is not the question: no load synchronises.
 *
 * FILE_IN and the first half of the disk hold data made on the host; FILE_OUT
 * and the second half are written here and looked at there afterwards.
 */
#define _GNU_SOURCE
#include "loads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_IN "in"
#define FILE_OUT "out"
#define DISK "/dev/vda"

enum {
    MIB = 1 << 20,
    BIG = MIB,
    MIDDLE = 65536,
    SMALL = 4096,
    /* Amounts, in MiB or pieces; loads_device_amounts says them. */
    BIG_MIB = 64,
    SMALL_MIB = 16,
    FILES = 1000,
    RANDOM_READS = 4096,
};

static unsigned char buffer[BIG] __attribute__((aligned(SMALL)));

/* Some of the bytes: all of them would measure the CPU. */
static uint64_t fold_pages(uint64_t check, size_t len)
{
    for (size_t at = 0; at < len; at += SMALL) {
        uint64_t word;
        memcpy(&word, buffer + at, sizeof word);
        check = loads_fold(check, word);
    }
    return check;
}

/* Nothing that was read before may be in the guest's memory. */
static void forget(void)
{
    const int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    loads_need(fd >= 0 && write(fd, "3", 1) == 1, "drop_caches");
    close(fd);
}

static void forget_and_remove(void)
{
    loads_need(unlink(FILE_OUT) == 0 || errno == ENOENT, FILE_OUT);
    forget();
}

static uint64_t read_all(const char *path, int flags, size_t piece,
                         size_t total)
{
    uint64_t check = 1;
    const int fd = open(path, O_RDONLY | flags);
    loads_need(fd >= 0, path);
    for (size_t at = 0; at < total; at += piece) {
        loads_need(read(fd, buffer, piece) == (ssize_t)piece, path);
        check = fold_pages(check, piece);
    }
    close(fd);
    return check;
}

/* What is written depends on the place alone. */
static uint64_t write_all(const char *path, int flags, size_t start,
                          size_t piece, size_t total)
{
    uint64_t check = 1;
    const int fd = open(path, O_WRONLY | flags, 0644);
    loads_need(fd >= 0 && lseek(fd, (off_t)start, SEEK_SET) >= 0, path);
    for (size_t at = 0; at < total; at += piece) {
        for (size_t page = 0; page < piece; page += SMALL) {
            const uint64_t word = (at + page) * 0x9ddfea08eb382d69ull + 1;
            memcpy(buffer + page, &word, sizeof word);
        }
        check = fold_pages(check, piece);
        loads_need(write(fd, buffer, piece) == (ssize_t)piece, path);
    }
    loads_need(close(fd) == 0, path);
    return check;
}

/* ------------------------------------------------------------------ */
/* The shared folder                                                  */

static uint64_t file_read_big(void)
{
    return read_all(FILE_IN, 0, BIG, (size_t)BIG_MIB * MIB);
}

static uint64_t file_read_small(void)
{
    return read_all(FILE_IN, 0, SMALL, (size_t)SMALL_MIB * MIB);
}

static uint64_t file_write_big(void)
{
    return write_all(FILE_OUT, O_CREAT | O_TRUNC, 0, BIG,
                     (size_t)BIG_MIB * MIB);
}

static uint64_t file_write_small(void)
{
    return write_all(FILE_OUT, O_CREAT | O_TRUNC, 0, SMALL,
                     (size_t)SMALL_MIB * MIB);
}

static const char *file_name(int number)
{
    static char name[32];
    (void)snprintf(name, sizeof name, "many/f%d", number);
    return name;
}

static void make_none(void)
{
    loads_need(mkdir("many", 0755) == 0 || errno == EEXIST, "many");
    for (int i = 0; i < FILES; i++)
        (void)unlink(file_name(i));
    forget();
}

static void make_many(void)
{
    loads_need(mkdir("many", 0755) == 0 || errno == EEXIST, "many");
    for (int i = 0; i < FILES; i++) {
        const int fd = open(file_name(i), O_CREAT | O_WRONLY, 0644);
        loads_need(fd >= 0, file_name(i));
        close(fd);
    }
    forget();
}

static uint64_t file_create(void)
{
    for (int i = 0; i < FILES; i++) {
        const int fd = open(file_name(i), O_CREAT | O_EXCL | O_WRONLY, 0644);
        loads_need(fd >= 0, file_name(i));
        close(fd);
    }
    return FILES;
}

static uint64_t file_stat(void)
{
    struct stat st;
    uint64_t check = 1;
    for (int i = 0; i < FILES; i++) {
        loads_need(stat(file_name(i), &st) == 0, file_name(i));
        check = loads_fold(check, st.st_mode ^ (uint64_t)st.st_size);
    }
    return check;
}

static uint64_t file_unlink(void)
{
    for (int i = 0; i < FILES; i++)
        loads_need(unlink(file_name(i)) == 0, file_name(i));
    return FILES;
}

/* ------------------------------------------------------------------ */
/* The disk, without the guest's page cache                           */

static uint64_t disk_read_big(void)
{
    return read_all(DISK, O_DIRECT, BIG, (size_t)BIG_MIB * MIB);
}

static uint64_t disk_read_middle(void)
{
    return read_all(DISK, O_DIRECT, MIDDLE, (size_t)BIG_MIB * MIB);
}

static uint64_t disk_read_small(void)
{
    return read_all(DISK, O_DIRECT, SMALL, (size_t)SMALL_MIB * MIB);
}

static uint64_t disk_write_big(void)
{
    return write_all(DISK, O_DIRECT, (size_t)BIG_MIB * MIB, BIG,
                     (size_t)BIG_MIB * MIB);
}

static uint64_t disk_write_middle(void)
{
    return write_all(DISK, O_DIRECT, (size_t)BIG_MIB * MIB, MIDDLE,
                     (size_t)BIG_MIB * MIB);
}

static uint64_t disk_random(void)
{
    uint64_t check = 1, state = 1;
    const int fd = open(DISK, O_RDONLY | O_DIRECT);
    loads_need(fd >= 0, DISK);
    for (int i = 0; i < RANDOM_READS; i++) {
        const uint64_t pages = (uint64_t)BIG_MIB * MIB / SMALL;
        const off_t at = (off_t)(loads_random(&state) % pages * SMALL);
        loads_need(pread(fd, buffer, SMALL, at) == SMALL, DISK);
        check = fold_pages(check, SMALL);
    }
    close(fd);
    return check;
}

const struct load loads_device[] = {
    {"file-read-1m", forget, file_read_big},
    {"file-read-4k", forget, file_read_small},
    {"file-write-1m", forget_and_remove, file_write_big},
    {"file-write-4k", forget_and_remove, file_write_small},
    {"file-create", make_none, file_create},
    {"file-stat", make_many, file_stat},
    {"file-unlink", make_many, file_unlink},
    {"disk-read-1m", forget, disk_read_big},
    {"disk-read-64k", forget, disk_read_middle},
    {"disk-read-4k", forget, disk_read_small},
    {"disk-read-4k-random", forget, disk_random},
    {"disk-write-1m", forget, disk_write_big},
    {"disk-write-64k", forget, disk_write_middle},
    {0},
};

const struct load_amount loads_device_amounts[] = {
    {"file-read-1m", BIG_MIB, "MiB"},
    {"file-read-4k", SMALL_MIB, "MiB"},
    {"file-write-1m", BIG_MIB, "MiB"},
    {"file-write-4k", SMALL_MIB, "MiB"},
    {"file-create", FILES, "files"},
    {"file-stat", FILES, "files"},
    {"file-unlink", FILES, "files"},
    {"disk-read-1m", BIG_MIB, "MiB"},
    {"disk-read-64k", BIG_MIB, "MiB"},
    {"disk-read-4k", SMALL_MIB, "MiB"},
    {"disk-read-4k-random", RANDOM_READS, "reads"},
    {"disk-write-1m", BIG_MIB, "MiB"},
    {"disk-write-64k", BIG_MIB, "MiB"},
    {0},
};
