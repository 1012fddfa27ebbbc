/*
 * Importing a kernel, in three parts: read what matters of the source, decide
 * which modules are needed and in which order, write the folder.
 *
 * A package is a stream, and what a module depends on stands in the module
 * itself (Debian's packages have no modules.dep). So the source is walked
 * once for the modules that a kernel is likely to need, and again only as
 * long as one of those read names another that was not.
 */
#include "guest/kernel_import.h"

#include "boot/image.h"
#include "boot/unpack.h"
#include "guest/kernel_files.h"
#include "guest/kernel_folder.h"
#include "guest/modinfo.h"
#include "os/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_MAX (256ull << 20)
#define MODULE_MAX (64ull << 20)

enum {
    PATH_ROOM = 4096,
    TEXT_MAX = 4 << 20,
    WALKS_MAX = 16,
    KNOWN_MAX = 16384, /* modules in a package */
    DEPTH_MAX = 16,
};

/* Besides the functions' own: what those of today's kernels depend on. */
static const char *const likely[] = {
    "virtio",
    "virtio_ring",
    "failover",
    "net_failover",
    "vsock",
    "fuse",
    "crc16",
    "mbcache",
    "jbd2",
    "libcrc32c",
    "raid6_pq",
    "xor",
    "fat",
    "soundcore",
    "snd",
    "snd_timer",
    "snd_pcm",
    "crc32c_intel",
    "netfs",
    "xxhash",
    "zstd_compress",
    "blake2b_generic",
    "vmw_vsock_virtio_transport_common",
};

/* A module that is in the source. */
struct module {
    char name[HK_KERNEL_NAME_MAX]; /* as the kernel names it, with '_' */
    uint8_t *data;                 /* unpacked; NULL until it was read */
    uint64_t size;
    uint32_t functions;
    bool wanted;
    bool placed; /* in `order` */
    bool open;   /* being placed: found again, its dependencies are a ring */
};

struct import {
    const char *source;
    char release[HK_KERNEL_NAME_MAX];
    uint8_t *kernel;
    uint64_t kernel_size;
    char *builtin; /* modules.builtin; NULL when missing */
    char *config;
    struct module *module;
    size_t module_count, module_room;
    size_t order[HK_KERNEL_MODULES_MAX];
    size_t order_count;
    uint32_t builtin_functions;
    bool more;  /* a module that is needed was not read */
    bool known; /* all modules' names are known: the first walk is over */
};

static void finish_import(struct import *in)
{
    for (size_t i = 0; i < in->module_count; i++)
        free(in->module[i].data);
    free(in->module);
    free(in->kernel);
    free(in->builtin);
    free(in->config);
}

/* ------------------------------------------------------------------ */
/* Reading                                                            */

/* "kernel/fs/virtio-rng.ko.xz" gives "virtio_rng"; false when it is no
 * module. */
static bool module_name(const char *path, char *name)
{
    const char *base = strrchr(path, '/');
    base = base != NULL ? base + 1 : path;
    const char *end = strstr(base, ".ko");
    size_t len = end != NULL ? (size_t)(end - base) : 0;

    if (len == 0 || len >= HK_KERNEL_NAME_MAX - 3 ||
        (end[3] != '\0' && strcmp(end, ".ko.xz") != 0 &&
         strcmp(end, ".ko.zst") != 0 && strcmp(end, ".ko.gz") != 0))
        return false;
    memcpy(name, base, len);
    name[len] = '\0';
    for (char *p = name; *p != '\0'; p++) {
        if (*p == '-')
            *p = '_';
    }
    return hk_kernel_name_is_plain(name);
}

static struct module *find_module(struct import *in, const char *name)
{
    for (size_t i = 0; i < in->module_count; i++) {
        if (strcmp(in->module[i].name, name) == 0)
            return &in->module[i];
    }
    return NULL;
}

static bool is_likely(const char *name)
{
    for (size_t i = 0; i < HK_COUNT(likely); i++) {
        if (strcmp(name, likely[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < HK_KERNEL_FUNCTIONS; i++) {
        const char *const *m = hk_kernel_function_modules(i);
        for (; *m != NULL; m++) {
            if (strcmp(name, *m) == 0)
                return true;
        }
    }
    return false;
}

static int know_module(struct import *in, const char *name, struct module **out,
                       struct hk_errmsg *err)
{
    *out = in->known ? find_module(in, name) : NULL;
    if (*out != NULL || in->known)
        return 0;
    if (in->module_count == KNOWN_MAX)
        return hk_err_set(err, -HK_EFBIG, "%s has too many modules",
                          in->source);
    if (in->module_count == in->module_room) {
        size_t room = in->module_room > 0 ? in->module_room * 2 : 256;
        void *more = realloc(in->module, room * sizeof(*in->module));
        if (more == NULL)
            return hk_err_set(err, -HK_ENOMEM, "out of memory");
        in->module = more;
        in->module_room = room;
    }
    struct module *m = &in->module[in->module_count++];
    *m = (struct module){.wanted = is_likely(name)};
    snprintf(m->name, sizeof(m->name), "%s", name);
    *out = m;
    return 0;
}

/* Takes `data`; the module then has it unpacked and without a signature. */
static int keep_module(struct module *m, const char *path, uint8_t *data,
                       uint64_t size, struct hk_errmsg *err)
{
    const struct hk_packing *packing = hk_packing_find(data, size);
    if (packing != NULL) {
        struct hk_unpack job = {.name = path,
                                .packing = packing,
                                .data = data,
                                .size = size,
                                .max = MODULE_MAX};
        uint8_t *unpacked;
        int rc = hk_unpack_run(&job, &unpacked, &size, err);
        free(data);
        if (rc != 0)
            return rc;
        data = unpacked;
    }
    m->data = data;
    m->size = hk_modinfo_unsigned_size(data, size);
    return 0;
}

static int visit_module(struct import *in, const struct hk_kernel_file *file,
                        struct hk_errmsg *err)
{
    char name[HK_KERNEL_NAME_MAX];
    struct module *m;
    uint8_t *data;
    uint64_t size;

    if (!module_name(file->path, name))
        return 0;
    int rc = know_module(in, name, &m, err);
    if (rc != 0 || m == NULL || !m->wanted || m->data != NULL)
        return rc;
    rc = hk_kernel_file_read(file, MODULE_MAX, &data, &size, err);
    return rc == 0 ? keep_module(m, file->path, data, size, err) : rc;
}

static int visit_kernel(struct import *in, const struct hk_kernel_file *file,
                        struct hk_errmsg *err)
{
    const char *release = file->path + strlen("boot/vmlinuz-");

    if (in->known)
        return 0;
    if (in->kernel != NULL)
        return hk_err_set(err, -HK_EINVAL,
                          "%s has several kernels (%s and %s); give a folder "
                          "with one of them",
                          in->source, in->release, release);
    if (!hk_kernel_name_is_plain(release))
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s: the kernel's name is none that a kernel has",
                          in->source);
    snprintf(in->release, sizeof(in->release), "%s", release);
    return hk_kernel_file_read(file, KERNEL_MAX, &in->kernel, &in->kernel_size,
                               err);
}

static int read_text(const struct hk_kernel_file *file, char **text,
                     struct hk_errmsg *err)
{
    uint8_t *data;
    uint64_t size;

    if (*text != NULL)
        return 0;
    int rc = hk_kernel_file_read(file, TEXT_MAX, &data, &size, err);
    if (rc == 0)
        *text = (char *)data;
    return rc;
}

static int visit(void *opaque, const struct hk_kernel_file *file,
                 struct hk_errmsg *err)
{
    struct import *in = opaque;
    const char *end = strrchr(file->path, '/');

    if (strncmp(file->path, "boot/vmlinuz-", 13) == 0)
        return visit_kernel(in, file, err);
    if (strncmp(file->path, "boot/config-", 12) == 0)
        return read_text(file, &in->config, err);
    if (end != NULL && strcmp(end, "/modules.builtin") == 0)
        return read_text(file, &in->builtin, err);
    if (strncmp(file->path, "lib/modules/", 12) == 0)
        return visit_module(in, file, err);
    return 0;
}

/* ------------------------------------------------------------------ */
/* Deciding                                                           */

/* modules.builtin has a line "kernel/.../NAME.ko" for each. Without the file
 * what is not there as a module counts as missing. */
static bool is_builtin(const struct import *in, const char *name)
{
    char line[PATH_ROOM], found[HK_KERNEL_NAME_MAX];
    for (const char *p = in->builtin; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, "\n");
        if (len < sizeof(line)) {
            memcpy(line, p, len);
            line[len] = '\0';
            if (module_name(line, found) && strcmp(found, name) == 0)
                return true;
        }
        p += len;
        p += *p == '\n';
    }
    return false;
}

static int place(struct import *in, const char *name, unsigned depth,
                 struct hk_errmsg *err);

/* "a,b,c", as .modinfo has it. */
static int place_all(struct import *in, const char *list, unsigned depth,
                     struct hk_errmsg *err)
{
    char name[HK_KERNEL_NAME_MAX];
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        int rc = 0;
        if (len >= sizeof(name))
            return hk_err_set(err, -HK_ENOEXEC,
                              "%s: a module depends on one with too long a "
                              "name",
                              in->source);
        memcpy(name, list, len);
        name[len] = '\0';
        for (char *p = name; *p != '\0'; p++)
            *p = *p == '-' ? '_' : *p;
        if (len > 0)
            rc = place(in, name, depth, err);
        if (rc != 0)
            return rc;
        list += len;
        list += *list == ',';
    }
    return 0;
}

static int place_found(struct import *in, struct module *m, unsigned depth,
                       struct hk_errmsg *err)
{
    struct hk_modinfo info;

    if (m->data == NULL) { /* the next walk brings it */
        m->wanted = true;
        in->more = true;
        return 0;
    }
    int rc = hk_modinfo_parse(m->name, m->data, m->size, &info, err);
    if (rc != 0)
        return rc;
    const char *depends = hk_modinfo_get(&info, "depends");
    m->open = true;
    rc = place_all(in, depends != NULL ? depends : "", depth + 1, err);
    m->open = false;
    if (rc != 0)
        return rc;
    if (in->order_count == HK_KERNEL_MODULES_MAX)
        return hk_err_set(err, -HK_EFBIG, "%s: too many modules are needed",
                          in->source);
    m->placed = true;
    in->order[in->order_count++] = (size_t)(m - in->module);
    return 0;
}

/* Puts a module into the order, after what it depends on. */
static int place(struct import *in, const char *name, unsigned depth,
                 struct hk_errmsg *err)
{
    struct module *m = find_module(in, name);

    if (m == NULL) {
        if (in->builtin == NULL || is_builtin(in, name))
            return 0;
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s: the module %s is needed and missing", in->source,
                          name);
    }
    if (m->placed)
        return 0;
    if (m->open || depth > DEPTH_MAX)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s: the module %s depends on itself", in->source,
                          name);
    return place_found(in, m, depth, err);
}

/* The modules of one function; those before the last are optional. */
static int place_function(struct import *in, size_t number,
                          struct hk_errmsg *err)
{
    const char *const *name = hk_kernel_function_modules(number);
    const char *last = name[0];
    while (last != NULL && name[1] != NULL)
        last = *++name;
    if (find_module(in, last) == NULL) {
        if (is_builtin(in, last))
            in->builtin_functions |= 1u << number;
        return 0;
    }
    name = hk_kernel_function_modules(number);
    for (; *name != NULL; name++) {
        int rc = find_module(in, *name) != NULL ? place(in, *name, 0, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void mark(struct import *in, const char *name, uint32_t function,
                 unsigned depth)
{
    char next[HK_KERNEL_NAME_MAX];
    struct hk_modinfo info;
    struct module *m = find_module(in, name);

    if (m == NULL || m->data == NULL || (m->functions & function) != 0 ||
        depth > DEPTH_MAX)
        return;
    m->functions |= function;
    if (hk_modinfo_parse(m->name, m->data, m->size, &info, NULL) != 0)
        return;
    const char *list = hk_modinfo_get(&info, "depends");
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        snprintf(next, sizeof(next), "%.*s", (int)len, list);
        for (char *p = next; *p != '\0'; p++)
            *p = *p == '-' ? '_' : *p;
        mark(in, next, function, depth + 1);
        list += len;
        list += *list == ',';
    }
}

/* Says of each module which functions need it. */
static void mark_all(struct import *in)
{
    for (size_t i = 0; i < HK_KERNEL_FUNCTIONS; i++) {
        const char *const *name = hk_kernel_function_modules(i);
        for (; *name != NULL && (in->builtin_functions >> i & 1) == 0; name++)
            mark(in, *name, 1u << i, 0);
    }
}

/* One walk over the source and the order that follows from it. */
static int read_and_order(struct import *in, struct hk_kernel_files *files,
                          struct hk_errmsg *err)
{
    int rc = hk_kernel_files_walk(files, visit, in, err);
    if (rc != 0)
        return rc;
    in->known = true;
    in->more = false;
    in->order_count = 0;
    for (size_t i = 0; i < in->module_count; i++)
        in->module[i].placed = false;
    for (size_t i = 0; i < HK_KERNEL_FUNCTIONS && rc == 0; i++)
        rc = place_function(in, i, err);
    return rc;
}

static int read_source(struct import *in, struct hk_errmsg *err)
{
    struct hk_kernel_files *files;
    int rc = hk_kernel_files_open(in->source, &files, err);
    if (rc != 0)
        return rc;
    for (int i = 0; i < WALKS_MAX; i++) {
        rc = read_and_order(in, files, err);
        if (rc != 0 || !in->more)
            break;
    }
    hk_kernel_files_close(files);
    if (rc != 0)
        return rc;
    if (in->kernel == NULL)
        return hk_err_set(err, -HK_ENOEXEC,
                          "%s has no boot/vmlinuz-*: give a Debian package "
                          "linux-image-* or a folder with one unpacked",
                          in->source);
    mark_all(in);
    return 0;
}

/* ------------------------------------------------------------------ */
/* Writing                                                            */

static int write_kernel(const struct import *in, const char *folder,
                        struct hk_errmsg *err)
{
    char path[PATH_ROOM + 16], name[HK_KERNEL_NAME_MAX + 16];
    struct hk_image image;

    snprintf(path, sizeof(path), "%s/vmlinux", folder);
    snprintf(name, sizeof(name), "vmlinuz-%s", in->release);
    struct hk_image_source source = {
        .name = name, .data = in->kernel, .size = in->kernel_size};
    int rc = hk_image_parse(&source, &image, err);
    if (rc == 0 && image.unpacked != NULL)
        rc = hk_os_file_write_all(path, image.unpacked,
                                  (size_t)image.unpacked_size, err);
    else if (rc == 0)
        rc = hk_os_file_write_all(path, in->kernel, (size_t)in->kernel_size,
                                  err);
    hk_image_fini(&image);
    return rc;
}

static int write_modules(const struct import *in, const char *folder,
                         struct hk_kernel_manifest *manifest,
                         struct hk_errmsg *err)
{
    char path[PATH_ROOM + HK_KERNEL_NAME_MAX + 16];

    snprintf(path, sizeof(path), "%s/modules", folder);
    int rc = hk_os_folder_make(path, err);
    for (size_t i = 0; i < in->order_count && rc == 0; i++) {
        const struct module *m = &in->module[in->order[i]];
        struct hk_kernel_module *out =
            &manifest->module[manifest->module_count++];
        snprintf(out->file, sizeof(out->file), "%.*s.ko",
                 HK_KERNEL_NAME_MAX - 4, m->name);
        out->functions = m->functions;
        snprintf(path, sizeof(path), "%s/modules/%s", folder, out->file);
        rc = hk_os_file_write_all(path, m->data, (size_t)m->size, err);
    }
    return rc;
}

/* A kernel without ACPI finds devices by its command line alone. */
static bool has_no_acpi(const struct import *in)
{
    return in->config != NULL &&
           strstr(in->config, "\nCONFIG_ACPI=y\n") == NULL;
}

static int write_folder(const struct import *in, const char *folder,
                        struct hk_errmsg *err)
{
    char path[PATH_ROOM + 16];
    struct hk_kernel_manifest *m = calloc(1, sizeof(*m));
    char *text = NULL;

    if (m == NULL)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    snprintf(m->release, sizeof(m->release), "%s", in->release);
    snprintf(m->image, sizeof(m->image), "vmlinux");
    m->devices_from_cmdline = has_no_acpi(in);
    m->builtin = in->builtin_functions;
    int rc = write_kernel(in, folder, err);
    if (rc == 0)
        rc = write_modules(in, folder, m, err);
    if (rc == 0) {
        text = hk_kernel_manifest_format(m);
        rc = text != NULL ? 0 : hk_err_set(err, -HK_ENOMEM, "out of memory");
    }
    snprintf(path, sizeof(path), "%s/" HK_KERNEL_MANIFEST, folder);
    if (rc == 0)
        rc = hk_os_file_write_all(path, text, strlen(text), err);
    free(text);
    free(m);
    return rc;
}

/* Moves the finished folder to its name, the old one out of the way first. */
static int move_in(const char *made, const char *folder, struct hk_errmsg *err)
{
    char old[PATH_ROOM + 16];

    if (hk_os_kind_of(folder) == HK_OS_NOTHING)
        return hk_os_rename(made, folder, err);
    snprintf(old, sizeof(old), "%s.old", made);
    int rc = hk_os_rename(folder, old, err);
    if (rc != 0)
        return rc;
    rc = hk_os_rename(made, folder, err);
    if (rc == 0)
        (void)hk_os_tree_remove(old, NULL);
    else if (hk_os_rename(old, folder, NULL) != 0)
        rc = hk_err_prepend(err, rc, "the old kernel folder is now %s", old);
    return rc;
}

static int write_all(const struct import *in, const char *folder,
                     struct hk_errmsg *err)
{
    char prefix[PATH_ROOM], made[PATH_ROOM];

    snprintf(prefix, sizeof(prefix), "%s", folder);
    char *slash = strrchr(prefix, '/');
    if (slash != NULL && slash != prefix) {
        *slash = '\0';
        int rc = hk_os_folder_make(prefix, err);
        if (rc != 0)
            return rc;
    }
    snprintf(prefix, sizeof(prefix), "%.*s.new-", PATH_ROOM - 16, folder);
    int rc = hk_os_folder_make_new(prefix, made, sizeof(made), err);
    if (rc != 0)
        return rc;
    rc = write_folder(in, made, err);
    if (rc == 0)
        rc = move_in(made, folder, err);
    if (rc != 0)
        (void)hk_os_tree_remove(made, NULL);
    return rc;
}

static int check_target(const char *folder, struct hk_errmsg *err)
{
    size_t len = strlen(folder);
    if (len == 0 || len > PATH_ROOM - 64 || folder[len - 1] == '/')
        return hk_err_set(err, -HK_EINVAL,
                          "'%s' cannot be the path of a kernel folder", folder);
    if (hk_os_kind_of(folder) == HK_OS_NOTHING || hk_kernel_folder_is(folder))
        return 0;
    return hk_err_set(err, -HK_EEXIST,
                      "%s is there and is no kernel folder; remove it or "
                      "choose another name",
                      folder);
}

int hk_kernel_import(const char *source, const char *folder,
                     struct hk_errmsg *err)
{
    struct import in = {.source = source};

    int rc = check_target(folder, err);
    if (rc == 0)
        rc = read_source(&in, err);
    if (rc == 0)
        rc = write_all(&in, folder, err);
    finish_import(&in);
    return rc;
}
