/* A set of cluster numbers: open addressing, at most half full. */
#include "disk/qcow2_int.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

static uint64_t place(const struct qcow2_set *set, uint64_t number)
{
    uint64_t hash = number * 0x9e3779b97f4a7c15ull;
    return (hash ^ hash >> 29) & set->mask;
}

/* The slot of the number, or the free one where it would go. */
static uint64_t find(const struct qcow2_set *set, uint64_t number)
{
    uint64_t at = place(set, number);
    while (set->slots[at] != 0 && set->slots[at] != number + 1)
        at = (at + 1) & set->mask;
    return at;
}

bool qcow2_set_has(const struct qcow2_set *set, uint64_t number)
{
    return set->slots && set->slots[find(set, number)] != 0;
}

static int grow(struct qcow2_set *set)
{
    uint64_t slots = set->slots ? (set->mask + 1) * 2 : FIRST_SLOTS;
    struct qcow2_set bigger = {.mask = slots - 1, .count = set->count};
    bigger.slots = calloc(slots, sizeof(*bigger.slots));
    if (!bigger.slots)
        return -HK_ENOMEM;
    for (uint64_t i = 0; set->slots && i <= set->mask; i++)
        if (set->slots[i] != 0)
            bigger.slots[find(&bigger, set->slots[i] - 1)] = set->slots[i];
    free(set->slots);
    *set = bigger;
    return 0;
}

int qcow2_set_add(struct qcow2_set *set, uint64_t number)
{
    if (!set->slots || set->count * 2 > set->mask) {
        int rc = grow(set);
        if (rc < 0)
            return rc;
    }
    uint64_t at = find(set, number);
    if (set->slots[at] != 0)
        return -HK_EEXIST;
    set->slots[at] = number + 1;
    set->count++;
    return 0;
}

/* What follows in the same cluster of slots moves up, so that no search
 * stops early at the gap. */
void qcow2_set_remove(struct qcow2_set *set, uint64_t number)
{
    if (!qcow2_set_has(set, number))
        return;
    uint64_t gap = find(set, number);
    set->slots[gap] = 0;
    set->count--;
    for (uint64_t at = (gap + 1) & set->mask; set->slots[at] != 0;
         at = (at + 1) & set->mask) {
        uint64_t moved = set->slots[at];
        set->slots[at] = 0;
        set->slots[find(set, moved - 1)] = moved;
    }
}

void qcow2_set_fini(struct qcow2_set *set)
{
    free(set->slots);
    *set = (struct qcow2_set){0};
}
