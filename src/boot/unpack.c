/*
 * Unpacking with libarchive's raw reader. Exactly one filter is set, by the
 * magic bytes: left to choose by itself the library would also unpack what
 * comes out of the first filter, layer after layer, and a few bytes of input
 * could then cost any amount of work.
 */
#include "boot/unpack.h"

#include "base/endian.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_BUFFER = 1 << 20,
    LZMA_DICTIONARY_AT = 1,
    LZMA_DICTIONARY_MAX = 1 << 28,
    LZ4_FIRST_BLOCK = 4,
};

static const struct hk_packing packings[] = {
    {"gzip", {0x1f, 0x8b}, 2, true, ARCHIVE_FILTER_GZIP},
    {"bzip2", {'B', 'Z', 'h'}, 3, false, ARCHIVE_FILTER_BZIP2},
    {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, false, ARCHIVE_FILTER_XZ},
    {"lzma", {0x5d, 0, 0}, 3, false, ARCHIVE_FILTER_LZMA},
    {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, false, ARCHIVE_FILTER_LZ4},
    {"lz4-frame", {0x04, 0x22, 0x4d, 0x18}, 4, false, 0},
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, false, ARCHIVE_FILTER_ZSTD},
    {"lzo", {0x89, 'L', 'Z', 'O'}, 4, false, 0},
};

const struct hk_packing *hk_packing_find(const uint8_t *data, uint64_t size)
{
    for (size_t i = 0; i < HK_COUNT(packings); i++) {
        const struct hk_packing *p = &packings[i];
        if (size >= p->magic_size && memcmp(data, p->magic, p->magic_size) == 0)
            return p;
    }
    return NULL;
}

struct output {
    uint8_t *bytes;
    uint64_t len, size;
};

/* Room for at least one more byte; doubles up to the limit and one more. */
static int grow(struct output *out, uint64_t max)
{
    uint64_t size = out->size ? out->size * 2 : FIRST_BUFFER;
    if (out->len < out->size)
        return 0;
    if (size > max + 1)
        size = max + 1;
    uint8_t *bytes = realloc(out->bytes, (size_t)size);
    if (!bytes)
        return -HK_ENOMEM;
    out->bytes = bytes;
    out->size = size;
    return 0;
}

static int too_big(const struct hk_unpack *job, struct hk_errmsg *err)
{
    return hk_err_set(err, -HK_EFBIG,
                      "%s: its %s payload unpacks to more than %llu MiB, the "
                      "most that this VM can take; give the VM more memory or "
                      "use a smaller kernel",
                      job->name, job->packing->name,
                      (unsigned long long)(job->max >> 20));
}

static int damaged(const struct hk_unpack *job, struct archive *reader,
                   struct hk_errmsg *err)
{
    const char *why = archive_error_string(reader);
    return hk_err_set(err, -HK_ENOEXEC,
                      "%s: its %s payload is damaged (%s); copy or download "
                      "the kernel again",
                      job->name, job->packing->name, why ? why : "no reason");
}

/* Reads to the end of the stream or one byte past the limit. */
static int drain(const struct hk_unpack *job, struct archive *reader,
                 struct output *out, struct hk_errmsg *err)
{
    uint64_t limit = job->expected ? job->expected : job->max;
    for (;;) {
        if (grow(out, limit))
            return hk_err_set(err, -HK_ENOMEM,
                              "%s: no memory to unpack it on the host",
                              job->name);
        la_ssize_t n = archive_read_data(reader, out->bytes + out->len,
                                         (size_t)(out->size - out->len));
        if (n < 0)
            return damaged(job, reader, err);
        if (n == 0)
            break;
        out->len += (uint64_t)n;
        if (out->len > limit)
            break;
    }
    if (job->expected && out->len != job->expected)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s: its %s payload does not unpack to the %llu "
                          "bytes it promises; copy or download the kernel "
                          "again",
                          job->name, job->packing->name,
                          (unsigned long long)job->expected);
    return out->len > job->max ? too_big(job, err) : 0;
}

/*
 * Two formats make the library allocate what a length field says before it
 * looks at the data. True when those fields are honest: every block of the
 * lz4 legacy form (a size, then so many bytes) is there, and an lzma
 * dictionary is no larger than the largest that xz makes.
 */
static bool lengths_are_sane(const struct hk_unpack *job)
{
    uint64_t at = LZ4_FIRST_BLOCK;

    if (job->packing->filter == ARCHIVE_FILTER_LZMA)
        return job->size >= LZMA_DICTIONARY_AT + 4 &&
               hk_get_le32(job->data + LZMA_DICTIONARY_AT) <=
                   LZMA_DICTIONARY_MAX;
    if (job->packing->filter != ARCHIVE_FILTER_LZ4)
        return true;
    while (job->size - at >= 4) {
        uint32_t block = hk_get_le32(job->data + at);
        if (block > job->size - at - 4)
            return false;
        at += 4 + (uint64_t)block;
    }
    return at == job->size;
}

static int unpack_with(const struct hk_unpack *job, struct archive *reader,
                       struct output *out, struct hk_errmsg *err)
{
    struct archive_entry *entry;
    int filter = job->packing->filter;

    if (archive_read_support_format_raw(reader) != ARCHIVE_OK ||
        archive_read_append_filter(reader, filter) != ARCHIVE_OK)
        return hk_err_set(err, -HK_ENOTSUP,
                          "%s: this build of Husk cannot unpack %s", job->name,
                          job->packing->name);
    if (archive_read_open_memory(reader, job->data, (size_t)job->size) !=
            ARCHIVE_OK ||
        archive_read_next_header(reader, &entry) != ARCHIVE_OK)
        return damaged(job, reader, err);
    return drain(job, reader, out, err);
}

int hk_unpack_run(const struct hk_unpack *job, uint8_t **out,
                  uint64_t *out_size, struct hk_errmsg *err)
{
    struct output output = {0};

    if (job->packing->filter == 0)
        return hk_err_set(err, -HK_ENOTSUP,
                          "%s is packed with %s, which Husk cannot unpack; "
                          "use a kernel packed with zstd, xz, lz4 or gzip",
                          job->name, job->packing->name);
    if (job->expected > job->max)
        return too_big(job, err);
    if (!lengths_are_sane(job))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s: its %s payload is damaged (a length in it is "
                          "wrong); copy or download the kernel again",
                          job->name, job->packing->name);

    struct archive *reader = archive_read_new();
    if (!reader)
        return hk_err_set(err, -HK_ENOMEM, "%s: out of memory", job->name);
    int rc = unpack_with(job, reader, &output, err);
    archive_read_free(reader);
    if (rc) {
        free(output.bytes);
        return rc;
    }
    *out = output.bytes;
    *out_size = output.len;
    return 0;
}
