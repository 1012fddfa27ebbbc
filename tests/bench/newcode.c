/* Loads that write machine code and run it, as translators and script
 * engines in the guest do. */
#include "loads.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

enum { REGION = 1 << 16, SPACE = 256 };

static uint8_t *region;

static void prepare_region(void)
{
    if (region != NULL)
        return;
    region = mmap(NULL, REGION, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    loads_need(region != MAP_FAILED, "memory for code");
}

typedef uint64_t (*generated)(uint64_t);

static uint8_t *put(uint8_t *at, const uint8_t *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

static uint8_t *put_word(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

/* A function of `seed` steps: add, exclusive-or and turn constants. */
static generated generate(uint8_t *at, uint32_t seed)
{
    static const uint8_t take[] = {0x48, 0x89, 0xf8}; /* mov rax, rdi */
    static const uint8_t add[] = {0x48, 0x05};        /* add rax, imm32 */
    static const uint8_t xor [] = {0x48, 0x35};       /* xor rax, imm32 */
    static const uint8_t turn[] = {0x48, 0xc1, 0xc0}; /* rol rax, imm8 */
    generated function;
    uint8_t *start = at;
    at = put(at, take, sizeof take);
    for (uint32_t i = 0; i < 6; i++) {
        at = put_word(put(at, add, sizeof add), seed * 7 + i);
        at = put_word(put(at, xor, sizeof xor), (seed + i) & 0x7fffffff);
        at = put(at, turn, sizeof turn);
        *at++ = (uint8_t)(1 + (seed + i) % 63);
    }
    *at = 0xc3; /* ret */
    memcpy(&function, &start, sizeof function);
    return function;
}

static uint64_t call(generated function, uint64_t value, int times)
{
    for (int i = 0; i < times; i++)
        value = function(value);
    return value;
}

/* Fresh functions in a region that is used again and again. */
static uint64_t fresh(void)
{
    uint64_t value = 1;
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t *at = region + i * SPACE % REGION;
        value = call(generate(at, i), value, 40);
    }
    return value;
}

/* One constant of a function is changed before each call. */
static uint64_t patch(void)
{
    generated function = generate(region, 1);
    uint64_t value = 1;
    for (uint32_t i = 0; i < 20000; i++) {
        put_word(region + 5, i);
        value = call(function, value, 2);
    }
    return value;
}

/* Written while writable, run while executable, never both at once. */
static uint64_t guarded(void)
{
    uint64_t value = 1;
    for (uint32_t i = 0; i < 2500; i++) {
        uint8_t *at = region + i * SPACE % REGION;
        loads_need(mprotect(region, REGION, PROT_READ | PROT_WRITE) == 0,
                   "mprotect");
        generated function = generate(at, i);
        loads_need(mprotect(region, REGION, PROT_READ | PROT_EXEC) == 0,
                   "mprotect");
        value = call(function, value, 40);
    }
    loads_need(mprotect(region, REGION, PROT_READ | PROT_WRITE | PROT_EXEC) ==
                   0,
               "mprotect");
    return value;
}

const struct load loads_code[] = {
    {"fresh", prepare_region, fresh},
    {"patch", prepare_region, patch},
    {"guarded", prepare_region, guarded},
    {NULL, NULL, NULL},
};
