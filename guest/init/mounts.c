/*
 * File systems. The kernel's own (dev, proc, sys) are mounted before anything
 * else and move along when the root changes. Where a root that cannot be
 * written lacks a mount point, that file system is left out with a note: a
 * command may well do without.
 */
#include "sys.h"

#include "wire/init_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NEW_ROOT "/newroot"

enum {
    RAMFS = 0x858458f6,
    TMPFS = 0x01021994,
    FUSE = 0x65735546,
    PACKED_MODULE = 4, /* MODULE_INIT_COMPRESSED_FILE */
};

struct place {
    const char *path, *type, *options;
    unsigned long flags;
};

#define QUIET (MS_NOEXEC | MS_NOSUID | MS_NODEV | MS_RELATIME)

static const struct place first[] = {
    {"/dev", "devtmpfs", "mode=755", MS_NOSUID | MS_RELATIME},
    {"/proc", "proc", NULL, QUIET},
    {"/sys", "sysfs", NULL, QUIET},
};

static const struct place later[] = {
    {"/sys/fs/cgroup", "cgroup2", NULL, QUIET},
    {"/dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666",
     MS_NOEXEC | MS_NOSUID | MS_RELATIME},
    {"/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV | MS_RELATIME},
};

static unsigned long magic_of(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 ? (unsigned long)fs.f_type : 0;
}

bool hk_root_is_share(void)
{
    return magic_of("/") == FUSE;
}

bool hk_root_is_archive(void)
{
    unsigned long magic = magic_of("/");
    return magic == RAMFS || magic == TMPFS;
}

/* The kernel of libkrunfw mounts a root share itself and finds init there. */
static bool has_root_to_mount(const struct hk_config *config)
{
    return config->has_root &&
           !(hk_root_is_share() && strcmp(config->root.type, "virtiofs") == 0);
}

static void mount_place(const struct place *p)
{
    char text[128];

    (void)mkdir(p->path, 0755);
    if (mount(p->type, p->path, p->type, p->flags, p->options) == 0 ||
        errno == EBUSY)
        return;
    hk_join(text, sizeof(text), "cannot mount ", p->path, ": ", strerror(errno),
            NULL);
    hk_note(text);
}

void hk_first_mounts(void)
{
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        mount_place(&first[i]);
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

void hk_mount_system(void)
{
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},
        {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"},
    };
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
        mount_place(&later[i]);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        (void)symlink(links[i][0], links[i][1]);
    (void)chmod("/dev/kvm", 0666);
    (void)mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}

void hk_seal_root(const struct hk_config *config)
{
    if ((config->flags & HK_CFG_READ_ONLY) != 0)
        (void)mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}

void hk_load_modules(const struct hk_strv *modules)
{
    for (size_t i = 0; i < modules->count; i++) {
        const char *path = modules->v[i], *end = strrchr(path, '.');
        bool packed = end != NULL && strcmp(end, ".ko") != 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "",
                               packed ? PACKED_MODULE : 0) != 0 &&
                       errno != EEXIST))
            hk_fail("cannot load the kernel module ", path, errno);
        close(fd);
        (void)unlink(path);
    }
}

/* Tries the types of /proc/filesystems that need a device, in its order. */
static int mount_any(const char *device, const char *path, unsigned long flags,
                     const char *options)
{
    size_t size;
    char *text = hk_read_file("/proc/filesystems", 65536, &size);
    int error = ENODEV;

    for (char *line = text; line != NULL && *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        char *after = *end != '\0' ? end + 1 : end;
        *end = '\0';
        if (*line == '\t' &&
            mount(device, path, line + 1, flags, options) == 0) {
            free(text);
            return 0;
        }
        if (*line == '\t' && errno != EINVAL)
            error = errno;
        line = after;
    }
    free(text);
    errno = error;
    return -1;
}

static int mount_one(const struct hk_mount *m, const char *path)
{
    unsigned long flags = MS_RELATIME | (m->read_only ? MS_RDONLY : 0);
    const char *options = *m->options != '\0' ? m->options : NULL;

    if (strcmp(m->type, "auto") == 0 || *m->type == '\0')
        return mount_any(m->source, path, flags, options);
    return mount(m->source, path, m->type, flags, options);
}

/* What the archive brought takes memory until it is removed. */
static void free_archive(void)
{
    static const char *const files[] = {"/init", "/husk.cfg", "/dev/console",
                                        "/dev/null"};
    if (!hk_root_is_archive())
        return;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        (void)unlink(files[i]);
}

void hk_mount_root(const struct hk_config *config)
{
    if (!has_root_to_mount(config))
        return;
    struct hk_mount root = config->root;
    if ((config->flags & HK_CFG_READ_ONLY) != 0)
        root.read_only = true;
    (void)mkdir(NEW_ROOT, 0755);
    if (mount_one(&root, NEW_ROOT) != 0)
        hk_fail("cannot mount the root file system ", config->root.source,
                errno);
}

void hk_enter_root(const struct hk_config *config)
{
    char path[64];

    if (!has_root_to_mount(config))
        return;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        hk_join(path, sizeof(path), NEW_ROOT, first[i].path, NULL);
        (void)mkdir(path, 0755);
        if (mount(first[i].path, path, NULL, MS_MOVE, NULL) != 0) {
            hk_join(path, sizeof(path), "the root has no folder ",
                    first[i].path, NULL);
            hk_note(path);
        }
    }
    free_archive();
    if (chdir(NEW_ROOT) != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 ||
        chroot(".") != 0 || chdir("/") != 0)
        hk_fail("cannot move to the root file system", "", errno);
}

void hk_mount_volumes(const struct hk_config *config)
{
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct hk_mount *m = &config->mounts[i];
        if (hk_make_folders(m->target) != 0)
            hk_fail("cannot make the mount point ", m->target, errno);
        if (mount_one(m, m->target) != 0)
            hk_fail("cannot mount ", m->target, errno);
    }
}

/* True when something is mounted at the folder: its device differs from the
 * one above it. */
static bool is_mounted(const char *path)
{
    char above[PATH_MAX];
    struct stat a, b;

    hk_join(above, sizeof(above), path, "/..", NULL);
    return lstat(path, &a) == 0 && lstat(above, &b) == 0 &&
           (a.st_dev != b.st_dev || a.st_ino == b.st_ino);
}

void hk_mount_tmpfs(const struct hk_strv *folders)
{
    for (size_t i = 0; i < folders->count; i++) {
        const char *path = folders->v[i];
        struct place p = {path, "tmpfs", "mode=1777",
                          MS_NOSUID | MS_NODEV | MS_RELATIME};
        if (*path == '/' && hk_make_folders(path) == 0 && !is_mounted(path))
            mount_place(&p);
    }
}

void hk_unmount_all(const struct hk_config *config)
{
    sync();
    for (size_t i = config->mount_count; i-- > 0;)
        (void)umount2(config->mounts[i].target, MNT_DETACH);
    if (config->has_root && !hk_root_is_share())
        (void)mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}
