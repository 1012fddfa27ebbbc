/*
 * The main function of a fuzz target in an ordinary build: gives it each file
 * of its corpus folder, then bytes from a fixed random sequence. What is wrong
 * shows as a crash, a failed assertion or a sanitizer's report.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEED_BYTES_MAX = 1 << 20, RANDOM_RUNS = 2000, RANDOM_BYTES_MAX = 512 };

static int replay_file(const char *folder, const char *name)
{
    static uint8_t bytes[SEED_BYTES_MAX];
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);

    /* A copy of the exact size lets the sanitizer see one byte too many. */
    uint8_t *copy = malloc(size + (size == 0));
    if (copy == NULL)
        return 0;
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 1;
}

static int replay_folder(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        if (e->d_name[0] != '.')
            count += replay_file(folder, e->d_name);
    closedir(dir);
    return count;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void replay_random(void)
{
    uint32_t state = 1;
    for (int run = 0; run < RANDOM_RUNS; run++) {
        size_t size = next_random(&state) % RANDOM_BYTES_MAX;
        uint8_t *bytes = malloc(size + (size == 0));
        if (bytes == NULL)
            return;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)next_random(&state);
        LLVMFuzzerTestOneInput(bytes, size);
        free(bytes);
    }
}

int main(int argc, char **argv)
{
    bool has_corpus = argc > 1;
    printf("1..%d\n", has_corpus ? 2 : 1);
    fflush(stdout);
    replay_random();
    printf("ok 1 - survives_random_bytes\n");
    fflush(stdout);
    if (!has_corpus)
        return 0;
    int count = replay_folder(argv[1]);
    if (count > 0)
        printf("ok 2 - survives_its_corpus\n");
    else
        printf("ok 2 - survives_its_corpus # SKIP it has no corpus\n");
    return 0;
}
