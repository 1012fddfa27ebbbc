/*
 * Owners and modes on Linux, in one of two ways.
 *
 * Real: this process may give files away (it has the capabilities, and more
 * than a few user ids to give them to). Files are made with the identity of
 * the guest's process, on this thread only, so that the host's kernel does
 * what it does for any process: groups inherited from directories, set-id
 * bits. Permissions were checked by the guest's kernel; with
 * CAP_DAC_OVERRIDE kept, the host's do not get in the way.
 *
 * Override: an ordinary user. Every file belongs to that user on the host,
 * who always keeps the right to read and write it; what the guest shall see is
 * recorded in an extended attribute (override.h) unless it follows from the
 * file itself: our user and group are the guest's root. Set-id and sticky bits
 * exist in the record only, never on the host's files. Without extended
 * attributes, modes are the host's and changes of owner are accepted and
 * without effect.
 *
 * Either way device nodes never come into being on the host: a plain file with
 * a record stands for each. Opening one is the guest kernel's business.
 */
#define _GNU_SOURCE
#include "host_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NAMED_PATH = HK_LX_PATH + HK_FS_NAME_MAX + 2, IDS_ENOUGH = 65536 };

/* ------------------------------------------------------------------ */
/* Choosing                                                           */

static bool has_cap(const struct hk_lx_root *root, int cap)
{
    return (root->caps[cap / 32] >> (cap % 32) & 1) != 0;
}

static int get_caps(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};

    return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

/* User ids that exist here; a namespace of an ordinary user may have one. */
static uint64_t mapped_ids(void)
{
    unsigned long long inside, outside, count, sum = 0;
    FILE *file = fopen("/proc/self/uid_map", "re");

    if (file == NULL)
        return UINT64_MAX;
    while (fscanf(file, "%llu %llu %llu", &inside, &outside, &count) == 3)
        sum += count;
    fclose(file);
    return sum;
}

static mode_t read_umask(void)
{
    char line[128];
    unsigned mask = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Umask: %o", &mask) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return mask;
}

void hk_lx_choose_owners(struct hk_lx_root *root, enum hk_fs_owners owners)
{
    struct __user_cap_data_struct data[2];
    bool able;

    root->uid = geteuid();
    root->gid = getegid();
    root->umask = read_umask();
    if (get_caps(data) == 0) {
        root->caps[0] = data[0].effective;
        root->caps[1] = data[1].effective;
    }
    able = has_cap(root, CAP_CHOWN) && has_cap(root, CAP_FOWNER) &&
           has_cap(root, CAP_DAC_OVERRIDE) && has_cap(root, CAP_SETUID) &&
           has_cap(root, CAP_SETGID) && mapped_ids() >= IDS_ENOUGH;
    root->real =
        owners == HK_FS_OWNERS_REAL || (owners == HK_FS_OWNERS_AUTO && able);
}

/* ------------------------------------------------------------------ */
/* The calling thread's identity                                      */

static int raise_override(struct hk_lx_root *root)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    if (get_caps(data) < 0)
        return -errno;
    data[0].effective |= root->caps[0] & (1u << CAP_DAC_OVERRIDE);
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int hk_lx_enter(struct hk_lx_root *root, const struct hk_fs_caller *caller)
{
    int rc = 0;

    if (!root->real)
        return 0;
    syscall(SYS_setfsgid, caller->gid);
    syscall(SYS_setfsuid, caller->uid);
    /* They report nothing; asking for an invalid id tells the present one. */
    if ((uint32_t)syscall(SYS_setfsuid, -1) != caller->uid ||
        (uint32_t)syscall(SYS_setfsgid, -1) != caller->gid)
        rc = -HK_EINVAL;
    else if (caller->uid != root->uid)
        rc = raise_override(root);
    if (rc < 0)
        hk_lx_leave(root);
    return rc;
}

void hk_lx_leave(struct hk_lx_root *root)
{
    if (!root->real)
        return;
    syscall(SYS_setfsuid, root->uid);
    syscall(SYS_setfsgid, root->gid);
}

/* ------------------------------------------------------------------ */
/* Records                                                            */

static bool read_record(int fd, const char *name, struct hk_fs_override *out)
{
    char path[NAMED_PATH], text[HK_FS_OVERRIDE_MAX];
    ssize_t len;

    hk_lx_path(fd, path);
    if (name != NULL) {
        size_t at = strlen(path);

        snprintf(path + at, sizeof(path) - at, "/%s", name);
        len = lgetxattr(path, HK_FS_OVERRIDE_XATTR, text, sizeof(text));
    } else
        len = getxattr(path, HK_FS_OVERRIDE_XATTR, text, sizeof(text));
    return len > 0 && hk_fs_override_parse(text, (size_t)len, out);
}

static int write_record(int fd, const struct hk_fs_override *record)
{
    char path[HK_LX_PATH], text[HK_FS_OVERRIDE_MAX];
    size_t len = hk_fs_override_format(record, text);

    hk_lx_path(fd, path);
    return setxattr(path, HK_FS_OVERRIDE_XATTR, text, len, 0) < 0 ? -errno : 0;
}

static void remove_record(int fd)
{
    char path[HK_LX_PATH];

    hk_lx_path(fd, path);
    (void)removexattr(path, HK_FS_OVERRIDE_XATTR);
}

static bool can_have_record(const struct hk_lx_root *root, uint32_t type)
{
    return root->xattrs && (type == HK_S_IFREG || type == HK_S_IFDIR);
}

static uint32_t seen_uid(const struct hk_lx_root *root, uint32_t uid)
{
    return uid == root->uid ? 0 : uid;
}

static uint32_t seen_gid(const struct hk_lx_root *root, uint32_t gid)
{
    return gid == root->gid ? 0 : gid;
}

/* An empty plain file may stand for a special one. */
static void view_special(struct hk_fs_attr *attr,
                         const struct hk_fs_override *record)
{
    uint32_t type = record->mode & HK_S_IFMT;

    if (type == 0 || (attr->mode & HK_S_IFMT) != HK_S_IFREG)
        return;
    attr->mode = type | (attr->mode & 07777);
    attr->rdev = record->rdev;
}

void hk_lx_view(struct hk_lx_root *root, int fd, const char *name,
                struct hk_fs_attr *attr)
{
    uint32_t type = attr->mode & HK_S_IFMT;
    struct hk_fs_override record;
    bool found;

    if (root->real && (type != HK_S_IFREG || attr->size > 0))
        return;
    found = can_have_record(root, type) && read_record(fd, name, &record);
    if (root->real) {
        if (found)
            view_special(attr, &record);
        return;
    }
    attr->uid = seen_uid(root, attr->uid);
    attr->gid = seen_gid(root, attr->gid);
    if (found) {
        attr->uid = record.uid;
        attr->gid = record.gid;
        attr->mode = type | (record.mode & 07777);
        view_special(attr, &record);
    }
}

/* ------------------------------------------------------------------ */
/* Changing                                                           */

static int set_mode(int fd, uint32_t mode)
{
    char path[HK_LX_PATH];

    hk_lx_path(fd, path);
    return chmod(path, mode & 07777) < 0 ? -errno : 0;
}

/* The mode that a file of ours has on the host. */
static uint32_t host_mode(uint32_t mode, uint32_t type)
{
    return (mode & 0777) | (type == HK_S_IFDIR ? 0700 : 0600);
}

/*
 * Brings the record to what the guest shall see, given the host's own
 * attributes; none is kept where these say it all.
 */
static int keep_record(struct hk_lx_root *root, int fd,
                       const struct hk_fs_attr *host,
                       const struct hk_fs_override *wanted)
{
    uint32_t type = host->mode & HK_S_IFMT;
    struct hk_fs_override old;
    int rc;

    if (!can_have_record(root, type))
        return 0;
    if ((wanted->mode & HK_S_IFMT) == 0 &&
        wanted->uid == seen_uid(root, host->uid) &&
        wanted->gid == seen_gid(root, host->gid) &&
        wanted->mode == (host->mode & 07777)) {
        if (read_record(fd, NULL, &old))
            remove_record(fd);
        return 0;
    }
    rc = write_record(fd, wanted);
    /* Another file system below the root may be without attributes. */
    if (rc == -HK_ENOTSUP && (wanted->mode & HK_S_IFMT) == 0)
        rc = 0;
    return rc;
}

static uint32_t without_set_id(uint32_t mode)
{
    mode &= ~(uint32_t)HK_S_ISUID;
    if ((mode & 010) != 0)
        mode &= ~(uint32_t)HK_S_ISGID;
    return mode;
}

/* What the guest sees now, as a record. */
static void record_of(const struct hk_fs_attr *seen, uint32_t host_type,
                      struct hk_fs_override *out)
{
    uint32_t type = seen->mode & HK_S_IFMT;

    *out = (struct hk_fs_override){
        .uid = seen->uid,
        .gid = seen->gid,
        .mode = (seen->mode & 07777) | (type != host_type ? type : 0),
        .rdev = seen->rdev,
    };
}

static void apply(const struct hk_fs_set *set, bool is_dir,
                  struct hk_fs_override *record)
{
    uint32_t type = record->mode & HK_S_IFMT;

    if ((set->flags & HK_FS_SET_UID) != 0)
        record->uid = set->uid;
    if ((set->flags & HK_FS_SET_GID) != 0)
        record->gid = set->gid;
    if ((set->flags & (HK_FS_SET_UID | HK_FS_SET_GID)) != 0 && !is_dir)
        record->mode = without_set_id(record->mode);
    if ((set->flags & HK_FS_SET_MODE) != 0)
        record->mode = type | (set->mode & 07777);
}

/* With the lock on records. */
static int set_overridden(struct hk_lx_root *root, int fd,
                          const struct hk_fs_set *set)
{
    struct hk_fs_attr host, seen;
    struct hk_fs_override record;
    uint32_t type, mode;
    int rc = hk_lx_stat(root, fd, NULL, true, &host);

    if (rc < 0)
        return rc;
    seen = host;
    hk_lx_view(root, fd, NULL, &seen);
    type = host.mode & HK_S_IFMT;
    record_of(&seen, type, &record);
    apply(set, type == HK_S_IFDIR, &record);
    if (type == HK_S_IFLNK)
        return (set->flags & HK_FS_SET_MODE) != 0 ? -HK_ENOTSUP : 0;
    mode = host_mode(record.mode, type);
    if ((set->flags & HK_FS_SET_MODE) != 0 && mode != (host.mode & 07777)) {
        rc = set_mode(fd, mode);
        if (rc < 0)
            return rc;
        host.mode = type | mode;
    }
    return keep_record(root, fd, &host, &record);
}

static int set_real(int fd, const struct hk_fs_set *set)
{
    uid_t uid = (set->flags & HK_FS_SET_UID) != 0 ? set->uid : (uid_t)-1;
    gid_t gid = (set->flags & HK_FS_SET_GID) != 0 ? set->gid : (gid_t)-1;

    if ((set->flags & (HK_FS_SET_UID | HK_FS_SET_GID)) != 0 &&
        fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return (set->flags & HK_FS_SET_MODE) != 0 ? set_mode(fd, set->mode) : 0;
}

int hk_lx_set_owner(struct hk_lx_root *root, int fd,
                    const struct hk_fs_set *set)
{
    int rc;

    if (root->real)
        return set_real(fd, set);
    pthread_mutex_lock(&root->owners);
    rc = set_overridden(root, fd, set);
    pthread_mutex_unlock(&root->owners);
    return rc;
}

int hk_lx_kill_priv(struct hk_lx_root *root, int fd)
{
    struct hk_fs_attr attr;
    struct hk_fs_set set = {.flags = HK_FS_SET_MODE};
    int rc = hk_lx_stat(root, fd, NULL, false, &attr);

    set.mode = without_set_id(attr.mode) & 07777;
    if (rc < 0 || set.mode == (attr.mode & 07777))
        return rc;
    return hk_lx_set_owner(root, fd, &set);
}

/* ------------------------------------------------------------------ */
/* New files                                                          */

int hk_lx_inherit(struct hk_lx_root *root, int dir,
                  const struct hk_fs_caller *caller, uint32_t mode,
                  struct hk_fs_override *out)
{
    struct hk_fs_attr attr;
    int rc;

    *out = (struct hk_fs_override){
        .uid = caller->uid, .gid = caller->gid, .mode = mode};
    if (root->real)
        return 0; /* the host's kernel does it */
    rc = hk_lx_stat(root, dir, NULL, false, &attr);
    if (rc == 0 && (attr.mode & HK_S_ISGID) != 0) {
        out->gid = attr.gid;
        if ((mode & HK_S_IFMT) == HK_S_IFDIR)
            out->mode |= HK_S_ISGID;
    }
    return rc;
}

/*
 * Undoes what this process's umask took away: the guest's was applied
 * already. Only where nothing but the umask was at work, because a default
 * ACL of the directory has the right to take bits away.
 */
static int undo_umask(struct hk_lx_root *root, int fd,
                      const struct hk_fs_attr *host, uint32_t wanted)
{
    uint32_t got = host->mode & 07777;

    if (got == wanted || got != (wanted & ~root->umask) ||
        (root->real ? false : host->uid != root->uid))
        return 0;
    return set_mode(fd, wanted);
}

int hk_lx_adopt_new(struct hk_lx_root *root, int fd,
                    const struct hk_fs_override *wanted)
{
    uint32_t special = wanted->mode & HK_S_IFMT;
    struct hk_fs_override record = *wanted;
    struct hk_fs_attr host;
    int rc = hk_lx_stat(root, fd, NULL, true, &host);

    if (rc < 0)
        return rc;
    if (special == (host.mode & HK_S_IFMT))
        special = 0;
    record.mode = special | (wanted->mode & 07777);
    if (root->real || !root->xattrs) {
        uint32_t mode = wanted->mode & 07777;

        if (!root->real)
            mode = host_mode(mode, host.mode & HK_S_IFMT);
        rc = undo_umask(root, fd, &host, mode);
        if (rc == 0 && special != 0)
            rc = root->xattrs ? write_record(fd, &record) : -HK_EPERM;
        return rc;
    }
    return keep_record(root, fd, &host, &record);
}

bool hk_lx_reach(struct hk_lx_root *root, int fd)
{
    struct hk_fs_attr host, seen;
    struct hk_fs_override record;
    uint32_t type, mode;
    bool changed = false;

    if (root->real || root->read_only || !root->xattrs)
        return false;
    pthread_mutex_lock(&root->owners);
    if (hk_lx_stat(root, fd, NULL, true, &host) == 0 && host.uid == root->uid) {
        type = host.mode & HK_S_IFMT;
        mode = host_mode(host.mode, type);
        seen = host;
        hk_lx_view(root, fd, NULL, &seen);
        record_of(&seen, type, &record);
        /* An attribute can only be written once the mode allows it. */
        if ((host.mode & mode) != mode && can_have_record(root, type) &&
            set_mode(fd, mode) == 0) {
            changed = write_record(fd, &record) == 0;
            if (!changed)
                (void)set_mode(fd, host.mode);
        }
    }
    pthread_mutex_unlock(&root->owners);
    return changed;
}
