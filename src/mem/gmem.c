/*
 * Guest physical memory: a sorted array of at most HK_GMEM_MAX_REGIONS
 * regions. A machine has two or three, so lookups are a short loop.
 */
#include "mem/gmem.h"

#include "base/checked.h"
#include "os/mem.h"

#include <stdlib.h>
#include <string.h>

struct hk_gmem {
    struct hk_gmem_region region[HK_GMEM_MAX_REGIONS];
    uint32_t count;
    hk_gmem_watch_fn watch;
    void *watch_opaque;
};

int hk_gmem_create(struct hk_gmem **out)
{
    struct hk_gmem *gmem = calloc(1, sizeof(*gmem));
    if (!gmem)
        return -HK_ENOMEM;
    *out = gmem;
    return 0;
}

void hk_gmem_destroy(struct hk_gmem *gmem)
{
    if (!gmem)
        return;
    for (uint32_t i = 0; i < gmem->count; i++)
        hk_os_mem_free(gmem->region[i].host, gmem->region[i].size);
    free(gmem);
}

static bool region_is_sane(hk_gpa_t gpa, uint64_t size)
{
    uint64_t end;
    if (size == 0 || !hk_add_u64(gpa, size, &end))
        return false;
    return gpa % HK_GMEM_PAGE == 0 && size % HK_GMEM_PAGE == 0;
}

/* Keeps the array sorted; the caller has checked for room. */
static void insert_region(struct hk_gmem *gmem, struct hk_gmem_region region)
{
    uint32_t at = gmem->count;
    while (at > 0 && gmem->region[at - 1].gpa > region.gpa) {
        gmem->region[at] = gmem->region[at - 1];
        at--;
    }
    gmem->region[at] = region;
    gmem->count++;
}

int hk_gmem_add(struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t size,
                struct hk_errmsg *err)
{
    if (!region_is_sane(gpa, size))
        return hk_err_set(err, -HK_EINVAL,
                          "guest memory of %llu bytes at %#llx is not a "
                          "whole number of pages",
                          (unsigned long long)size, (unsigned long long)gpa);
    for (uint32_t i = 0; i < gmem->count; i++) {
        const struct hk_gmem_region *r = &gmem->region[i];
        if (hk_ranges_overlap(gpa, size, r->gpa, r->size))
            return hk_err_set(err, -HK_EEXIST,
                              "guest memory at %#llx overlaps the region at "
                              "%#llx",
                              (unsigned long long)gpa,
                              (unsigned long long)r->gpa);
    }
    if (gmem->count == HK_GMEM_MAX_REGIONS)
        return hk_err_set(err, -HK_ENOSPC,
                          "guest memory has at most %d regions",
                          HK_GMEM_MAX_REGIONS);

    struct hk_gmem_region region = {.gpa = gpa, .size = size};
    int rc = hk_os_mem_alloc(size, &region.host);
    if (rc)
        return hk_err_set(err, rc,
                          "the host refused %llu MiB of guest memory: %s; "
                          "ask for less",
                          (unsigned long long)(size >> 20), hk_err_text(rc));
    insert_region(gmem, region);
    return 0;
}

uint32_t hk_gmem_region_count(const struct hk_gmem *gmem)
{
    return gmem->count;
}

struct hk_gmem_region hk_gmem_region(const struct hk_gmem *gmem, uint32_t index)
{
    if (index >= gmem->count)
        return (struct hk_gmem_region){0};
    return gmem->region[index];
}

uint64_t hk_gmem_total(const struct hk_gmem *gmem)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < gmem->count; i++)
        total += gmem->region[i].size;
    return total;
}

/*
 * Host address of `gpa`, and in `*run` how many bytes follow it in the same
 * region; NULL when `gpa` is not RAM.
 */
static uint8_t *find(const struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t *run)
{
    for (uint32_t i = 0; i < gmem->count; i++) {
        const struct hk_gmem_region *r = &gmem->region[i];
        if (gpa < r->gpa)
            return NULL; /* sorted: no later region can hold it */
        uint64_t offset = gpa - r->gpa;
        if (offset < r->size) {
            *run = r->size - offset;
            return r->host + offset;
        }
    }
    return NULL;
}

bool hk_gmem_has(const struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t len)
{
    uint64_t run;
    if (len == 0)
        return true;
    if (UINT64_MAX - gpa < len)
        return false;
    while (find(gmem, gpa, &run)) {
        if (run >= len)
            return true;
        gpa += run;
        len -= run;
    }
    return false;
}

int hk_gmem_copy_in(struct hk_gmem *gmem, void *to, hk_gpa_t from, uint64_t len)
{
    uint64_t run;
    uint8_t *out = to;
    const uint8_t *host = find(gmem, from, &run);
    if (hk_likely(host && run >= len)) {
        memcpy(out, host, (size_t)len);
        return 0;
    }
    if (!hk_gmem_has(gmem, from, len))
        return -HK_EFAULT;
    while (len > 0 && (host = find(gmem, from, &run)) != NULL) {
        uint64_t step = run < len ? run : len;
        memcpy(out, host, (size_t)step);
        out += step;
        from += step;
        len -= step;
    }
    return 0;
}

static void tell_watch(struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t len)
{
    if (gmem->watch && len > 0)
        gmem->watch(gmem->watch_opaque, gpa, len);
}

uint64_t hk_gmem_span(const struct hk_gmem *gmem, hk_gpa_t gpa, uint64_t len,
                      uint8_t **host)
{
    uint64_t run;
    uint8_t *found = find(gmem, gpa, &run);
    if (!found)
        return 0;
    *host = found;
    return run < len ? run : len;
}

void hk_gmem_wrote(struct hk_gmem *gmem, const uint8_t *host, uint64_t len)
{
    if (!gmem->watch)
        return;
    for (uint32_t i = 0; i < gmem->count; i++) {
        const struct hk_gmem_region *r = &gmem->region[i];
        uint64_t offset = (uintptr_t)host - (uintptr_t)r->host;
        if ((uintptr_t)host >= (uintptr_t)r->host && offset < r->size) {
            tell_watch(gmem, r->gpa + offset, len);
            return;
        }
    }
}

int hk_gmem_copy_out(struct hk_gmem *gmem, hk_gpa_t to, const void *from,
                     uint64_t len)
{
    const uint8_t *in = from;
    hk_gpa_t at = to;
    uint64_t left = len, run;
    uint8_t *host;

    if (!hk_gmem_has(gmem, to, len))
        return -HK_EFAULT;
    while (left > 0 && (host = find(gmem, at, &run)) != NULL) {
        uint64_t step = run < left ? run : left;
        memcpy(host, in, (size_t)step);
        in += step;
        at += step;
        left -= step;
    }
    tell_watch(gmem, to, len);
    return 0;
}

int hk_gmem_fill(struct hk_gmem *gmem, hk_gpa_t to, uint8_t value, uint64_t len)
{
    hk_gpa_t at = to;
    uint64_t left = len, run;
    uint8_t *host;

    if (!hk_gmem_has(gmem, to, len))
        return -HK_EFAULT;
    while (left > 0 && (host = find(gmem, at, &run)) != NULL) {
        uint64_t step = run < left ? run : left;
        memset(host, value, (size_t)step);
        at += step;
        left -= step;
    }
    tell_watch(gmem, to, len);
    return 0;
}

void hk_gmem_set_watch(struct hk_gmem *gmem, hk_gmem_watch_fn watch,
                       void *opaque)
{
    gmem->watch = watch;
    gmem->watch_opaque = opaque;
}
