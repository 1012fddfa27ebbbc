/* Loads that move, fill, search and follow memory. */
#include "loads.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 2 << 20, TEXT = 1 << 14 };

static uint8_t *from, *to;
static char *text;

static void *memory_for(size_t size)
{
    void *memory = NULL;
    loads_need(posix_memalign(&memory, 4096, size) == 0, "memory");
    memset(memory, 7, size);
    return memory;
}

static void prepare_blocks(void)
{
    if (from != NULL)
        return;
    from = memory_for(BLOCK);
    to = memory_for(BLOCK);
    for (uint32_t i = 0; i < BLOCK; i++)
        from[i] = (uint8_t)(i ^ i >> 9);
}

static uint64_t check_block(const uint8_t *block)
{
    uint64_t check = 0;
    for (uint32_t i = 0; i < BLOCK; i += 4093)
        check = loads_fold(check, block[i]);
    return check;
}

/* The compiler may not join, drop or replace what was done to memory. */
static void barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static uint64_t copy(void)
{
    for (int i = 0; i < 120; i++) {
        memcpy(to, from, BLOCK);
        from[i] ^= 1;
        barrier();
    }
    return check_block(to);
}

static uint64_t fill(void)
{
    for (int i = 0; i < 800; i++) {
        memset(to, i, BLOCK);
        barrier();
    }
    return check_block(to);
}

static uint64_t rep_copy(void)
{
    for (int i = 0; i < 40; i++) {
        void *d = to, *s = from;
        size_t n = BLOCK;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
        d = to;
        n = BLOCK / 64;
        __asm__ volatile("rep stosq" : "+D"(d), "+c"(n) : "a"(i) : "memory");
    }
    return check_block(to);
}

static uint64_t copy_words(void)
{
    for (int i = 0; i < 300; i++) {
        const uint64_t *s = (const uint64_t *)(const void *)from;
        uint64_t *d = (uint64_t *)(void *)to;
        for (uint32_t k = 0; k < BLOCK / 8; k++) {
            uint64_t v = s[k];
            __asm__("" : "+r"(v)); /* stays a loop of single words */
            d[k] = v;
        }
        barrier();
    }
    return check_block(to);
}

static uint64_t copy_small(void)
{
    void *(*volatile function)(void *, const void *, size_t) = memcpy;
    uint64_t check = 0;
    for (uint32_t i = 0; i < 3000000; i++) {
        const uint32_t n = 3 + (i * 11 & 127);
        function(to + (i & 4095), from + (i * 3 & 4095), n);
        check += to[i & 4095];
    }
    return check;
}

static void prepare_text(void)
{
    text = memory_for(TEXT);
    for (uint32_t i = 0; i < TEXT; i++)
        text[i] = (char)('a' + i % 23);
    text[TEXT - 1] = 0;
}

static uint64_t scan(void)
{
    uint64_t check = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        const char *start = text + (i & 1023);
        barrier();
        check += strlen(start + (TEXT >> 1));
        check += (uint64_t)(strchr(start, 'z') == NULL);
        check += (uint64_t)(strcmp(start, start + 23 * 64) < 0);
        check += (uint64_t)(strstr(start + TEXT - 2000, "wac") == NULL);
    }
    return check;
}

/* A ring of cells in random order, one cache line each. */
struct cell {
    struct cell *next;
    uint64_t value;
    uint8_t rest[48];
};

static struct cell *ring;

static void make_ring(uint32_t count)
{
    uint64_t state = 13;
    free(ring);
    ring = memory_for(count * sizeof *ring);
    uint32_t *order = memory_for(count * sizeof *order);
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        const uint32_t k = (uint32_t)(loads_random(&state) >> 16) % i;
        const uint32_t value = order[i];
        order[i] = order[k];
        order[k] = value;
    }
    for (uint32_t i = 0; i < count; i++) {
        ring[order[i]].next = &ring[order[(i + 1) % count]];
        ring[order[i]].value = i;
    }
    free(order);
}

static void prepare_near(void)
{
    make_ring((16 << 10) / sizeof(struct cell));
}

static void prepare_far(void)
{
    make_ring((32 << 20) / sizeof(struct cell));
}

static uint64_t follow(uint32_t steps)
{
    const struct cell *cell = ring;
    for (uint32_t i = 0; i < steps; i++)
        cell = cell->next;
    return cell->value - ring->value;
}

static uint64_t chase_near(void)
{
    return follow(60000011);
}

static uint64_t chase_far(void)
{
    return follow(2000003);
}

static uint64_t heap(void)
{
    enum { SLOTS = 512 };
    static uint64_t *slots[SLOTS];
    uint64_t state = 17, check = 0;
    for (uint64_t i = 0; i < 1500000; i++) {
        const uint64_t random = loads_random(&state);
        uint64_t **slot = &slots[random >> 40 & (SLOTS - 1)];
        if (*slot != NULL)
            check = loads_fold(check, **slot);
        free(*slot);
        *slot = malloc(8 + (random >> 20 & 1023));
        **slot = i;
    }
    return check;
}

/* An ordered binary tree: grow it, then look values up. */
struct node {
    struct node *child[2];
    uint64_t key;
};

static uint64_t tree(void)
{
    enum { NODES = 40000 };
    struct node *nodes = memory_for(NODES * sizeof *nodes), *root = NULL;
    uint64_t state = 19, check = 0;
    for (int i = 0; i < NODES; i++) {
        nodes[i] = (struct node){{NULL, NULL}, loads_random(&state)};
        struct node **at = &root;
        while (*at != NULL)
            at = &(*at)->child[nodes[i].key > (*at)->key];
        *at = &nodes[i];
    }
    for (int i = 0; i < 16 * NODES; i++) {
        const uint64_t key = loads_random(&state);
        const struct node *at = root;
        uint64_t depth = 0;
        for (; at != NULL; depth++)
            at = at->child[key > at->key];
        check = loads_fold(check, depth);
    }
    free(nodes);
    return check;
}

const struct load loads_memory[] = {
    {"copy", prepare_blocks, copy},
    {"copy-small", prepare_blocks, copy_small},
    {"copy-words", prepare_blocks, copy_words},
    {"fill", prepare_blocks, fill},
    {"rep-copy", prepare_blocks, rep_copy},
    {"scan", prepare_text, scan},
    {"chase-near", prepare_near, chase_near},
    {"chase-far", prepare_far, chase_far},
    {"heap", NULL, heap},
    {"tree", NULL, tree},
    {NULL, NULL, NULL},
};
