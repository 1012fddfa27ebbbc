/*
 * Walking a package or a folder. A .deb is an `ar` archive with a member
 * data.tar.* inside; both are read with libarchive, the inner one through the
 * outer. Filters are set by the member's name and not guessed: guessed ones
 * would be tried again on what comes out of the first.
 */
#include "guest/kernel_files.h"

#include "os/file.h"
#include "os/folder.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKAGE_MAX (1ull << 30)

enum {
    PATH_ROOM = 4096,
    ENTRIES_MAX = 200000,
    DEPTH_MAX = 16,
    PIECE = 64 << 10,
};

struct hk_kernel_files {
    const char *name; /* for messages */
    char *path;
    uint8_t *package; /* NULL: a folder */
    uint64_t package_size;
};

int hk_kernel_file_read(const struct hk_kernel_file *file, uint64_t max,
                        uint8_t **data, uint64_t *len, struct hk_errmsg *err)
{
    return file->read(file, max, data, len, err);
}

int hk_kernel_files_open(const char *source, struct hk_kernel_files **out,
                         struct hk_errmsg *err)
{
    struct hk_kernel_files *files = calloc(1, sizeof(*files));
    int rc = -HK_ENOMEM;

    if (files != NULL)
        files->path = malloc(strlen(source) + 1);
    if (files == NULL || files->path == NULL) {
        hk_kernel_files_close(files);
        return hk_err_set(err, rc, "out of memory");
    }
    memcpy(files->path, source, strlen(source) + 1);
    files->name = files->path;
    rc = 0;
    if (hk_os_kind_of(source) != HK_OS_FOLDER)
        rc = hk_os_file_read_all(source, PACKAGE_MAX, &files->package,
                                 &files->package_size, err);
    if (rc != 0) {
        hk_kernel_files_close(files);
        return rc;
    }
    *out = files;
    return 0;
}

void hk_kernel_files_close(struct hk_kernel_files *files)
{
    if (files == NULL)
        return;
    free(files->package);
    free(files->path);
    free(files);
}

/* ------------------------------------------------------------------ */
/* A package                                                          */

struct package {
    struct archive *outer, *inner;
    const struct hk_kernel_files *files;
    struct archive_entry *entry; /* of the inner one */
    char piece[PIECE];
};

static int damaged(const struct package *p, struct archive *archive,
                   struct hk_errmsg *err)
{
    const char *why = archive_error_string(archive);
    return hk_err_set(err, -HK_ENOEXEC,
                      "%s is no Debian package, or damaged (%s); download it "
                      "again",
                      p->files->name, why != NULL ? why : "no reason");
}

static la_ssize_t give_piece(struct archive *inner, void *opaque,
                             const void **data)
{
    struct package *p = opaque;
    la_ssize_t n = archive_read_data(p->outer, p->piece, sizeof(p->piece));
    if (n < 0)
        archive_set_error(inner, ARCHIVE_FATAL, "%s",
                          archive_error_string(p->outer));
    *data = p->piece;
    return n;
}

static int read_entry(const struct hk_kernel_file *file, uint64_t max,
                      uint8_t **data, uint64_t *len, struct hk_errmsg *err)
{
    struct package *p = file->source;
    la_int64_t size = archive_entry_size(p->entry);

    if (size < 0 || (uint64_t)size > max)
        return hk_err_set(err, -HK_EFBIG, "%s: the file %s is too large",
                          p->files->name, file->path);
    uint8_t *bytes = malloc((size_t)size + 1);
    if (bytes == NULL)
        return hk_err_set(err, -HK_ENOMEM, "%s: out of memory", file->path);
    la_ssize_t n = archive_read_data(p->inner, bytes, (size_t)size);
    if (n != size) {
        free(bytes);
        return damaged(p, p->inner, err);
    }
    bytes[size] = 0;
    *data = bytes;
    *len = (uint64_t)size;
    return 0;
}

static const char *skip_prefix(const char *path)
{
    if (strncmp(path, "./", 2) == 0)
        path += 2;
    while (*path == '/')
        path++;
    return strncmp(path, "usr/", 4) == 0 ? path + 4 : path;
}

static bool matters(const char *path)
{
    return strncmp(path, "boot/", 5) == 0 ||
           strncmp(path, "lib/modules/", 12) == 0;
}

static int walk_inner(struct package *p, hk_kernel_visit_fn visit, void *opaque,
                      struct hk_errmsg *err)
{
    for (int i = 0; i < ENTRIES_MAX; i++) {
        int rc = archive_read_next_header(p->inner, &p->entry);
        if (rc == ARCHIVE_EOF)
            return 0;
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            return damaged(p, p->inner, err);
        const char *path = archive_entry_pathname(p->entry);
        struct hk_kernel_file file = {.source = p, .read = read_entry};
        if (path == NULL || archive_entry_filetype(p->entry) != AE_IFREG)
            continue;
        file.path = skip_prefix(path);
        rc = matters(file.path) ? visit(opaque, &file, err) : 0;
        if (rc != 0)
            return rc;
    }
    return hk_err_set(err, -HK_EFBIG, "%s has too many files", p->files->name);
}

/* The filter for data.tar.xz and the like; -1 when unknown. */
static int filter_of(const char *name)
{
    static const struct {
        const char *end;
        int filter;
    } filters[] = {
        {"", ARCHIVE_FILTER_NONE},      {".xz", ARCHIVE_FILTER_XZ},
        {".zst", ARCHIVE_FILTER_ZSTD},  {".gz", ARCHIVE_FILTER_GZIP},
        {".bz2", ARCHIVE_FILTER_BZIP2}, {".lzma", ARCHIVE_FILTER_LZMA},
    };
    for (size_t i = 0; i < HK_COUNT(filters); i++) {
        if (strcmp(name + strlen("data.tar"), filters[i].end) == 0)
            return filters[i].filter;
    }
    return -1;
}

static int walk_data(struct package *p, const char *name,
                     hk_kernel_visit_fn visit, void *opaque,
                     struct hk_errmsg *err)
{
    int filter = filter_of(name);
    p->inner = archive_read_new();
    if (p->inner == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    if (filter < 0 || archive_read_support_format_tar(p->inner) != ARCHIVE_OK ||
        (filter != ARCHIVE_FILTER_NONE &&
         archive_read_append_filter(p->inner, filter) != ARCHIVE_OK))
        return hk_err_set(err, -HK_ENOTSUP, "%s: this build cannot unpack %s",
                          p->files->name, name);
    if (archive_read_open(p->inner, p, NULL, give_piece, NULL) != ARCHIVE_OK)
        return damaged(p, p->inner, err);
    return walk_inner(p, visit, opaque, err);
}

/* A package has three members; a few more are forgiven. */
static int walk_outer(struct package *p, hk_kernel_visit_fn visit, void *opaque,
                      struct hk_errmsg *err)
{
    struct archive_entry *entry;

    if (p->outer == NULL ||
        archive_read_support_format_ar(p->outer) != ARCHIVE_OK ||
        archive_read_open_memory(p->outer, p->files->package,
                                 (size_t)p->files->package_size) != ARCHIVE_OK)
        return damaged(p, p->outer, err);
    for (int i = 0; i < 8; i++) {
        if (archive_read_next_header(p->outer, &entry) != ARCHIVE_OK)
            return damaged(p, p->outer, err);
        const char *name = archive_entry_pathname(entry);
        if (name != NULL && strncmp(name, "data.tar", 8) == 0)
            return walk_data(p, name, visit, opaque, err);
    }
    return damaged(p, p->outer, err);
}

static int walk_package(struct hk_kernel_files *files, hk_kernel_visit_fn visit,
                        void *opaque, struct hk_errmsg *err)
{
    struct package *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    p->files = files;
    p->outer = archive_read_new();
    int rc = walk_outer(p, visit, opaque, err);
    archive_read_free(p->inner);
    archive_read_free(p->outer);
    free(p);
    return rc;
}

/* ------------------------------------------------------------------ */
/* A folder                                                           */

struct walk {
    const struct hk_kernel_files *files;
    hk_kernel_visit_fn visit;
    void *opaque;
    struct hk_errmsg *err;
    unsigned left, depth;
    char path[PATH_ROOM];
    size_t root; /* bytes of the path before what visitors see */
};

static int read_disk(const struct hk_kernel_file *file, uint64_t max,
                     uint8_t **data, uint64_t *len, struct hk_errmsg *err)
{
    const struct walk *w = file->source;
    return hk_os_file_read_all(w->path, max, data, len, err);
}

static int walk_folder(struct walk *w);

static int walk_name(void *opaque, const char *name)
{
    struct walk *w = opaque;
    size_t len = strlen(w->path);
    int rc = 0;

    if (w->left-- == 0)
        return hk_err_set(w->err, -HK_EFBIG, "%s has too many files",
                          w->files->name);
    int n = snprintf(w->path + len, sizeof(w->path) - len, "/%s", name);
    enum hk_os_kind kind = HK_OS_NOTHING;
    if (n > 0 && (size_t)n < sizeof(w->path) - len)
        kind = hk_os_kind_of(w->path);
    struct hk_kernel_file file = {
        .path = w->path + w->root, .source = w, .read = read_disk};
    if (kind == HK_OS_FILE)
        rc = w->visit(w->opaque, &file, w->err);
    else if (kind == HK_OS_FOLDER && strcmp(name, "build") != 0 &&
             strcmp(name, "source") != 0)
        rc = walk_folder(w);
    w->path[len] = '\0';
    return rc;
}

static int walk_folder(struct walk *w)
{
    if (w->depth == DEPTH_MAX)
        return 0;
    w->depth++;
    int rc = hk_os_folder_list(w->path, walk_name, w, w->err);
    w->depth--;
    return rc;
}

static int walk_tree(struct hk_kernel_files *files, hk_kernel_visit_fn visit,
                     void *opaque, struct hk_errmsg *err)
{
    static const char *const tops[] = {"boot", "lib/modules",
                                       "usr/lib/modules"};
    struct walk *w = calloc(1, sizeof(*w));
    int rc = 0;

    if (w == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    *w = (struct walk){.files = files,
                       .visit = visit,
                       .opaque = opaque,
                       .err = err,
                       .left = ENTRIES_MAX};
    for (size_t i = 0; i < HK_COUNT(tops) && rc == 0; i++) {
        int n =
            snprintf(w->path, sizeof(w->path), "%s/%s", files->path, tops[i]);
        if (n < 0 || (size_t)n >= sizeof(w->path) ||
            hk_os_kind_of(w->path) != HK_OS_FOLDER)
            continue;
        w->root = (size_t)n - strlen(tops[i]);
        if (strncmp(tops[i], "usr/", 4) == 0)
            w->root += 4;
        rc = walk_folder(w);
        if (rc == 0 && i == 1)
            break; /* the two lib/modules are often one and the same */
    }
    free(w);
    return rc;
}

int hk_kernel_files_walk(struct hk_kernel_files *files,
                         hk_kernel_visit_fn visit, void *opaque,
                         struct hk_errmsg *err)
{
    if (files->package != NULL)
        return walk_package(files, visit, opaque, err);
    return walk_tree(files, visit, opaque, err);
}
