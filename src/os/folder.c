/*
 * Folders, with libuv's synchronous calls. Its error numbers differ from host
 * to host, their names do not: the names are looked up in our list.
 */
#include "os/folder.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

enum {
    PATH_ROOM = 4096,
    DEPTH_MAX = 32,
    FOLDER_MODE = 0755,
    FILE_MODE = 0644,
    PIECE = 1 << 30,
};

static int code_of(int uv_code)
{
#define NAME_CASE(name, number, text) {#name, number},
    static const struct {
        const char *name;
        int number;
    } names[] = {HK_ERR_LIST(NAME_CASE)};
#undef NAME_CASE
    const char *name = uv_err_name(uv_code);
    for (size_t i = 0; i < HK_COUNT(names); i++) {
        if (strcmp(name, names[i].name) == 0)
            return -names[i].number;
    }
    return -HK_EIO;
}

/* The result of a call that is 0 or negative. */
static int finish(int rc, const char *path, struct hk_errmsg *err)
{
    if (rc >= 0)
        return 0;
    int code = code_of(rc);
    return hk_err_set(err, code, "%s: %s", path, hk_err_text(code));
}

enum hk_os_kind hk_os_kind_of(const char *path)
{
    uv_fs_t req;
    enum hk_os_kind kind = HK_OS_NOTHING;

    if (uv_fs_stat(NULL, &req, path, NULL) == 0) {
        unsigned type = (unsigned)(req.statbuf.st_mode & 0170000);
        kind = type == 0100000   ? HK_OS_FILE
               : type == 0040000 ? HK_OS_FOLDER
                                 : HK_OS_OTHER;
    }
    uv_fs_req_cleanup(&req);
    return kind;
}

static int make_one(const char *path)
{
    uv_fs_t req;
    int rc = uv_fs_mkdir(NULL, &req, path, FOLDER_MODE, NULL);
    uv_fs_req_cleanup(&req);
    if (rc != 0 && hk_os_kind_of(path) == HK_OS_FOLDER)
        return 0;
    return rc;
}

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

int hk_os_folder_make(const char *path, struct hk_errmsg *err)
{
    char part[PATH_ROOM];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part))
        return hk_err_set(err, -HK_ENAMETOOLONG,
                          "the path of a folder is empty or too long");
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (!is_slash(part[i]))
            continue;
        char slash = part[i];
        part[i] = '\0';
        if (hk_os_kind_of(part) == HK_OS_NOTHING)
            (void)make_one(part); /* a failure shows in the last one */
        part[i] = slash;
    }
    return finish(make_one(path), path, err);
}

int hk_os_folder_make_new(const char *prefix, char *path, size_t size,
                          struct hk_errmsg *err)
{
    char pattern[PATH_ROOM];
    uv_fs_t req;

    int n = snprintf(pattern, sizeof(pattern), "%sXXXXXX", prefix);
    if (n < 0 || (size_t)n >= sizeof(pattern) || (size_t)n >= size)
        return hk_err_set(err, -HK_ENAMETOOLONG, "%s: the path is too long",
                          prefix);
    int rc = uv_fs_mkdtemp(NULL, &req, pattern, NULL);
    if (rc == 0)
        (void)snprintf(path, size, "%s", req.path);
    uv_fs_req_cleanup(&req);
    rc = finish(rc, prefix, err);
    if (rc == 0) { /* made for its owner alone; what we make is for all */
        (void)uv_fs_chmod(NULL, &req, path, FOLDER_MODE, NULL);
        uv_fs_req_cleanup(&req);
    }
    return rc;
}

int hk_os_folder_list(const char *path,
                      int (*fn)(void *opaque, const char *name), void *opaque,
                      struct hk_errmsg *err)
{
    uv_fs_t req;
    uv_dirent_t entry;

    int rc = uv_fs_scandir(NULL, &req, path, 0, NULL);
    if (rc < 0) {
        uv_fs_req_cleanup(&req);
        return finish(rc, path, err);
    }
    rc = 0;
    /* Always to the end: libuv loses the last entry otherwise. */
    while (uv_fs_scandir_next(&req, &entry) == 0) {
        if (rc == 0)
            rc = fn(opaque, entry.name);
    }
    uv_fs_req_cleanup(&req);
    return rc;
}

struct removal {
    const char *path;
    unsigned depth;
    struct hk_errmsg *err;
};

static int remove_tree(const char *path, unsigned depth, struct hk_errmsg *err);

static int remove_child(void *opaque, const char *name)
{
    const struct removal *parent = opaque;
    char path[PATH_ROOM];

    int n = snprintf(path, sizeof(path), "%s/%s", parent->path, name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return hk_err_set(parent->err, -HK_ENAMETOOLONG,
                          "%s: a path in it is too long", parent->path);
    return remove_tree(path, parent->depth + 1, parent->err);
}

/* -1: nothing there, 0: no folder, 1: a folder (links are not followed). */
static int folder_is(const char *path)
{
    uv_fs_t req;
    int is = -1;
    if (uv_fs_lstat(NULL, &req, path, NULL) == 0)
        is = (req.statbuf.st_mode & 0170000) == 0040000;
    uv_fs_req_cleanup(&req);
    return is;
}

static int remove_tree(const char *path, unsigned depth, struct hk_errmsg *err)
{
    uv_fs_t req;
    int is = folder_is(path), rc;

    if (is < 0)
        return 0;
    if (depth > DEPTH_MAX)
        return hk_err_set(err, -HK_ELOOP, "%s lies too deep to be removed",
                          path);
    if (is == 0) {
        rc = uv_fs_unlink(NULL, &req, path, NULL);
    } else {
        struct removal self = {path, depth, err};
        rc = hk_os_folder_list(path, remove_child, &self, err);
        if (rc != 0)
            return rc;
        rc = uv_fs_rmdir(NULL, &req, path, NULL);
    }
    uv_fs_req_cleanup(&req);
    return finish(rc, path, err);
}

int hk_os_tree_remove(const char *path, struct hk_errmsg *err)
{
    return remove_tree(path, 0, err);
}

int hk_os_rename(const char *from, const char *to, struct hk_errmsg *err)
{
    uv_fs_t req;
    int rc = uv_fs_rename(NULL, &req, from, to, NULL);
    uv_fs_req_cleanup(&req);
    return finish(rc, to, err);
}

static int write_bytes(uv_file file, const char *data, size_t len)
{
    int64_t at = 0;
    while (len > 0) {
        uv_fs_t req;
        unsigned piece = len < PIECE ? (unsigned)len : PIECE;
        uv_buf_t buf = uv_buf_init(NULL, piece);
        memcpy(&buf.base, &data, sizeof(data)); /* libuv does not change it */
        int rc = uv_fs_write(NULL, &req, file, &buf, 1, at, NULL);
        uv_fs_req_cleanup(&req);
        if (rc <= 0)
            return rc == 0 ? UV_EIO : rc;
        data += rc;
        at += rc;
        len -= (size_t)rc;
    }
    return 0;
}

int hk_os_file_write_all(const char *path, const void *data, size_t len,
                         struct hk_errmsg *err)
{
    uv_fs_t req;
    int file = uv_fs_open(NULL, &req, path,
                          UV_FS_O_WRONLY | UV_FS_O_CREAT | UV_FS_O_TRUNC,
                          FILE_MODE, NULL);
    uv_fs_req_cleanup(&req);
    if (file < 0)
        return finish(file, path, err);
    int rc = write_bytes(file, data, len);
    int closed = uv_fs_close(NULL, &req, file, NULL);
    uv_fs_req_cleanup(&req);
    return finish(rc != 0 ? rc : closed, path, err);
}
