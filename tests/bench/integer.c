/* Loads that keep the integer units, the branches and the calls busy. */
#include "loads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static LOADS_OPAQUE uint32_t fib_of(uint32_t n)
{
    return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2);
}

static uint64_t fib(void)
{
    return fib_of(35);
}

/* Places queens row by row; the masks hold the attacked columns. */
static LOADS_OPAQUE unsigned place(unsigned all, unsigned columns,
                                   unsigned left, unsigned right)
{
    unsigned found = 0;
    if (columns == all)
        return 1;
    unsigned free = all & ~(columns | left | right);
    while (free != 0) {
        const unsigned bit = free & -free;
        free ^= bit;
        found +=
            place(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return found;
}

static uint64_t queens(void)
{
    uint64_t check = 0;
    for (unsigned n = 4; n <= 13; n++)
        check = loads_fold(check, place((1u << n) - 1, 0, 0, 0));
    return check;
}

static uint64_t sieve(void)
{
    enum { LIMIT = 1 << 20 };
    static uint8_t composite[LIMIT];
    uint64_t check = 0;
    for (int round = 0; round < 16; round++) {
        memset(composite, 0, sizeof composite);
        for (uint32_t i = 2 + (uint32_t)round; i < LIMIT; i++) {
            if (composite[i])
                continue;
            check = loads_fold(check, i);
            for (uint32_t k = 2 * i; k < LIMIT; k += i)
                composite[k] = 1;
        }
    }
    return check;
}

static void sift(uint32_t *heap, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && heap[child] < heap[child + 1])
            child++;
        if (heap[root] >= heap[child])
            return;
        const uint32_t value = heap[root];
        heap[root] = heap[child];
        heap[child] = value;
        root = child;
    }
}

static uint64_t sort(void)
{
    enum { COUNT = 1 << 19 };
    static uint32_t heap[COUNT];
    uint64_t state = 3, check = 0;
    for (uint32_t i = 0; i < COUNT; i++)
        heap[i] = (uint32_t)loads_random(&state);
    for (uint32_t i = COUNT / 2; i-- > 0;)
        sift(heap, i, COUNT);
    for (uint32_t left = COUNT; left-- > 1;) {
        const uint32_t largest = heap[0];
        heap[0] = heap[left];
        heap[left] = largest;
        sift(heap, 0, left);
    }
    for (uint32_t i = 0; i < COUNT; i += 1001)
        check = loads_fold(check, heap[i]);
    return check;
}

/* A machine of eight registers that reads its program from bytes. */
enum op {
    OP_ADD,
    OP_XOR,
    OP_MUL,
    OP_SHIFT,
    OP_LOAD,
    OP_STORE,
    OP_SKIP,
    OP_END
};

static LOADS_OPAQUE uint64_t interpret(const uint8_t *program, int rounds)
{
    uint64_t r[8] = {1, 2, 3, 5, 7, 11, 13, 17}, memory[32] = {0};
    const uint8_t *at = program;
    while (rounds > 0) {
        const unsigned to = at[1] & 7, from = at[1] >> 3 & 7;
        switch ((enum op) * at) {
        case OP_ADD:
            r[to] += r[from];
            break;
        case OP_XOR:
            r[to] ^= r[from] + at[1];
            break;
        case OP_MUL:
            r[to] = r[to] * r[from] + 1;
            break;
        case OP_SHIFT:
            r[to] ^= r[from] >> 5;
            break;
        case OP_LOAD:
            r[to] += memory[r[from] & 31];
            break;
        case OP_STORE:
            memory[r[to] & 31] = r[from];
            break;
        case OP_SKIP:
            at += (r[to] & 1) * 2;
            break;
        case OP_END:
            at = program - 2;
            rounds--;
            break;
        }
        at += 2;
    }
    return r[0] ^ r[3] ^ memory[9];
}

static uint64_t interpreter(void)
{
    uint8_t program[258];
    uint64_t state = 5;
    for (int i = 0; i < 256; i++)
        program[i] = (uint8_t)(loads_random(&state) >> 9) % (i & 1 ? 64 : 7);
    program[254] = program[256] =
        OP_END; /* also when the last one is skipped */
    return interpret(program, 120000);
}

static uint64_t crc(void)
{
    enum { SIZE = 1 << 16 };
    static uint32_t table[256];
    static uint8_t data[SIZE];
    uint32_t sum = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;
        for (int bit = 0; bit < 8; bit++)
            v = v >> 1 ^ (v & 1 ? 0x82f63b78u : 0);
        table[i] = v;
    }
    for (uint32_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * i >> 3);
    for (int round = 0; round < 400; round++)
        for (uint32_t i = 0; i < SIZE; i++)
            sum = table[(sum ^ data[i]) & 255] ^ sum >> 8;
    return sum;
}

static uint64_t turn(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

/* Adds, turns and exclusive-ors, as ciphers of today do; no memory. */
static uint64_t cipher(void)
{
    uint64_t a = 1, b = 2, c = 3, d = 4;
    for (int i = 0; i < 60000000; i++) {
        a += b;
        d = turn(d ^ a, 13);
        c += d;
        b = turn(b ^ c, 29) + (uint64_t)i;
    }
    return a ^ b ^ c ^ d;
}

static LOADS_OPAQUE uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint64_t divide(void)
{
    uint64_t state = 7, check = 0;
    for (int i = 0; i < 1000000; i++) {
        const uint64_t a = loads_random(&state) >> 8;
        const uint64_t b = loads_random(&state) >> 20;
        check = loads_fold(check, common_divisor(a, b | 1));
    }
    return check;
}

static LOADS_OPAQUE uint64_t step_add(uint64_t v)
{
    return v + 0x1234567;
}
static LOADS_OPAQUE uint64_t step_mul(uint64_t v)
{
    return v * 0x10dcd;
}
static LOADS_OPAQUE uint64_t step_turn(uint64_t v)
{
    return turn(v, 7);
}
static LOADS_OPAQUE uint64_t step_fold(uint64_t v)
{
    return v ^ v >> 31;
}

/* Calls through a table, in an order that no predictor learns. */
static uint64_t calls(void)
{
    static uint64_t (*const steps[])(uint64_t) = {step_add, step_mul, step_turn,
                                                  step_fold};
    uint64_t value = 9;
    for (int i = 0; i < 14000000; i++)
        value = steps[value >> 19 & 3](value + (uint64_t)i);
    return value;
}

/* Bits counted, found and turned round. */
static uint64_t bits(void)
{
    uint64_t state = 11, check = 0;
    for (int i = 0; i < 10000000; i++) {
        const uint64_t v = loads_random(&state) | 1ull << (i & 63);
        check += (uint64_t)__builtin_popcountll(v);
        check ^= (uint64_t)__builtin_ctzll(v) << (i & 31);
        check += (uint64_t)__builtin_clzll(v);
        check ^= __builtin_bswap64(v);
    }
    return check;
}

/* Numbers to text and back, through the C library. */
static uint64_t format(void)
{
    uint64_t check = 0;
    char text[64];
    for (unsigned i = 0; i < 120000; i++) {
        snprintf(text, sizeof text, "%u:%08x,%s", i * 7919, i, "text");
        check = loads_fold(check, strtoul(text, NULL, 10) + strlen(text));
    }
    return check;
}

const struct load loads_integer[] = {
    {"fib", NULL, fib},
    {"queens", NULL, queens},
    {"sieve", NULL, sieve},
    {"sort", NULL, sort},
    {"interpreter", NULL, interpreter},
    {"crc", NULL, crc},
    {"cipher", NULL, cipher},
    {"divide", NULL, divide},
    {"calls", NULL, calls},
    {"bits", NULL, bits},
    {"format", NULL, format},
    {NULL, NULL, NULL},
};
