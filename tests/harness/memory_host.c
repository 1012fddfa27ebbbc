#include "memory_host.h"

#include "hk_test.h"

#include "base/compiler.h"
#include "fs/name.h"

struct memory_entry {
    struct memory_entry *next;
    struct memory_inode *inode;
    uint64_t cookie; /* of the entry */
    char name[HK_FS_NAME_MAX + 1];
};

struct memory_inode {
    uint32_t refs; /* names, open objects */
    bool removed;  /* a directory without a name takes no entries */
    struct hk_fs_attr attr;
    uint8_t *data;
    char *target;
    struct memory_entry *entries; /* by cookie */
    uint64_t next_cookie;
    char xname[HK_FS_NAME_MAX + 1]; /* one attribute is enough */
    uint8_t *xvalue;
    size_t xlen;
};

struct hk_fs_node {
    struct memory_inode *inode;
};

struct hk_fs_file {
    struct memory_inode *inode;
    uint32_t flags;
};

struct hk_fs_dir {
    struct memory_inode *inode;
};

enum { FIRST_COOKIE = 3, FILE_MAX = 4 << 20 };

static struct memory_host *host_of(struct hk_fs_root *root)
{
    return (struct memory_host *)(void *)root;
}

/* ------------------------------------------------------------------ */
/* The tree                                                           */

static struct memory_inode *new_inode(struct memory_host *host, uint32_t mode)
{
    struct memory_inode *inode = calloc(1, sizeof(*inode));

    assert_non_null(inode);
    inode->refs = 1;
    inode->next_cookie = FIRST_COOKIE;
    inode->attr = (struct hk_fs_attr){
        .dev = 1,
        .ino = ++host->next_ino,
        .birth = host->next_ino,
        .mode = mode,
        .nlink = (mode & HK_S_IFMT) == HK_S_IFDIR ? 2 : 1,
        .blksize = 4096,
    };
    if (host->reuse_inos && host->spare_ino != 0) {
        inode->attr.ino = host->spare_ino;
        host->spare_ino = 0;
    }
    return inode;
}

static void put_inode(struct memory_inode *inode)
{
    assert_true(inode->refs > 0);
    if (--inode->refs > 0)
        return;
    assert_null(inode->entries);
    free(inode->data);
    free(inode->target);
    free(inode->xvalue);
    free(inode);
}

static struct memory_entry **find(struct memory_inode *dir, const char *name)
{
    struct memory_entry **at = &dir->entries;

    assert_int_equal(hk_fs_name_check(name, strlen(name)), 0);
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void add_entry(struct memory_inode *dir, const char *name,
                      struct memory_inode *inode)
{
    struct memory_entry *entry = calloc(1, sizeof(*entry));
    struct memory_entry **at = &dir->entries;

    assert_non_null(entry);
    memcpy(entry->name, name, strlen(name) + 1);
    entry->inode = inode;
    entry->cookie = dir->next_cookie++;
    while (*at != NULL)
        at = &(*at)->next;
    *at = entry;
}

/* Takes the entry out; its reference to the inode is the caller's then. */
static struct memory_inode *take_entry(struct memory_entry **at)
{
    struct memory_entry *entry = *at;
    struct memory_inode *inode = entry->inode;

    *at = entry->next;
    free(entry);
    return inode;
}

static void drop_name(struct memory_host *host, struct memory_inode *inode)
{
    inode->attr.nlink--;
    inode->attr.ctime.sec++;
    inode->removed = true;
    host->spare_ino = inode->attr.ino;
    put_inode(inode);
}

static bool is_dir(const struct memory_inode *inode)
{
    return (inode->attr.mode & HK_S_IFMT) == HK_S_IFDIR;
}

static void free_tree(struct memory_inode *inode)
{
    while (inode->entries != NULL) {
        struct memory_inode *child = take_entry(&inode->entries);

        if (child->refs == 1)
            free_tree(child);
        else
            put_inode(child);
    }
    put_inode(inode);
}

/* ------------------------------------------------------------------ */
/* Open objects                                                       */

static int count_open(struct memory_host *host, uint32_t *kind)
{
    uint32_t sum = host->nodes + host->files + host->dirs;

    if (host->limit != 0 && sum >= host->limit)
        return -HK_EMFILE;
    if (sum + 1 > host->most)
        host->most = sum + 1;
    (*kind)++;
    return 0;
}

static int m_lookup(struct hk_fs_root *root, struct hk_fs_node *dir,
                    const char *name, struct hk_fs_attr *attr)
{
    struct memory_entry *entry;

    (void)root;
    if (!is_dir(dir->inode))
        return -HK_ENOTDIR;
    entry = *find(dir->inode, name);
    if (entry == NULL)
        return -HK_ENOENT;
    *attr = entry->inode->attr;
    return 0;
}

static int m_open_node(struct hk_fs_root *root, struct hk_fs_node *dir,
                       const char *name, struct hk_fs_node **out,
                       struct hk_fs_attr *attr)
{
    struct memory_host *host = host_of(root);
    struct memory_inode *inode = host->root;

    host->calls++;
    if (dir != NULL) {
        int rc = m_lookup(root, dir, name, attr);

        if (rc < 0)
            return rc;
        inode = (*find(dir->inode, name))->inode;
    }
    if (count_open(host, &host->nodes) < 0)
        return -HK_EMFILE;
    *attr = inode->attr;
    *out = calloc(1, sizeof(**out));
    assert_non_null(*out);
    (*out)->inode = inode;
    inode->refs++;
    return 0;
}

static void m_close_node(struct hk_fs_root *root, struct hk_fs_node *node)
{
    host_of(root)->nodes--;
    put_inode(node->inode);
    free(node);
}

static int m_open(struct hk_fs_root *root, struct hk_fs_node *node,
                  uint32_t flags, struct hk_fs_file **out)
{
    struct memory_host *host = host_of(root);

    assert_int_equal(node->inode->attr.mode & HK_S_IFMT, HK_S_IFREG);
    if (count_open(host, &host->files) < 0)
        return -HK_EMFILE;
    if ((flags & HK_FS_TRUNCATE) != 0)
        node->inode->attr.size = 0;
    *out = calloc(1, sizeof(**out));
    assert_non_null(*out);
    (*out)->inode = node->inode;
    (*out)->flags = flags;
    node->inode->refs++;
    return 0;
}

static void m_close(struct hk_fs_root *root, struct hk_fs_file *file)
{
    host_of(root)->files--;
    put_inode(file->inode);
    free(file);
}

static int m_open_dir(struct hk_fs_root *root, struct hk_fs_node *node,
                      struct hk_fs_dir **out)
{
    struct memory_host *host = host_of(root);

    assert_true(is_dir(node->inode));
    if (count_open(host, &host->dirs) < 0)
        return -HK_EMFILE;
    *out = calloc(1, sizeof(**out));
    assert_non_null(*out);
    (*out)->inode = node->inode;
    node->inode->refs++;
    return 0;
}

static void m_close_dir(struct hk_fs_root *root, struct hk_fs_dir *dir)
{
    host_of(root)->dirs--;
    put_inode(dir->inode);
    free(dir);
}

static void m_close_root(struct hk_fs_root *root)
{
    struct memory_host *host = host_of(root);

    assert_false(host->closed);
    assert_int_equal(host->nodes + host->files + host->dirs, 0);
    host->closed = true;
}

/* ------------------------------------------------------------------ */
/* Attributes                                                         */

static int m_getattr(struct hk_fs_root *root, struct hk_fs_node *node,
                     struct hk_fs_file *file, struct hk_fs_attr *attr)
{
    (void)root;
    *attr = file != NULL ? file->inode->attr : node->inode->attr;
    return 0;
}

static int resize(struct memory_inode *inode, uint64_t size)
{
    uint8_t *data;

    if (size > FILE_MAX)
        return -HK_EFBIG;
    data = realloc(inode->data, size + (size == 0));
    assert_non_null(data);
    if (size > inode->attr.size)
        memset(data + inode->attr.size, 0, size - inode->attr.size);
    inode->data = data;
    inode->attr.size = size;
    inode->attr.ctime.sec++;
    return 0;
}

static int m_setattr(struct hk_fs_root *root, struct hk_fs_node *node,
                     struct hk_fs_file *file, const struct hk_fs_set *set)
{
    struct memory_inode *inode = node != NULL ? node->inode : file->inode;
    struct hk_fs_attr *attr = &inode->attr;

    (void)root;
    if ((set->flags & HK_FS_SET_MODE) != 0)
        attr->mode = (attr->mode & HK_S_IFMT) | set->mode;
    if ((set->flags & HK_FS_SET_UID) != 0)
        attr->uid = set->uid;
    if ((set->flags & HK_FS_SET_GID) != 0)
        attr->gid = set->gid;
    if ((set->flags & HK_FS_SET_MTIME) != 0)
        attr->mtime = set->mtime;
    if ((set->flags & HK_FS_SET_SIZE) != 0)
        return resize(inode, set->size);
    return 0;
}

static int m_readlink(struct hk_fs_root *root, struct hk_fs_node *node,
                      char *to, size_t size)
{
    size_t len = strlen(node->inode->target);

    (void)root;
    memcpy(to, node->inode->target, len < size ? len : size);
    return (int)(len < size ? len : size);
}

static int m_statfs(struct hk_fs_root *root, struct hk_fs_node *node,
                    struct hk_fs_statfs *out)
{
    (void)root;
    (void)node;
    *out = (struct hk_fs_statfs){
        .blocks = 1000, .bsize = 4096, .frsize = 4096, .namelen = 255};
    return 0;
}

/* ------------------------------------------------------------------ */
/* Names                                                              */

static int make_inode(struct memory_host *host, struct memory_inode *dir,
                      const char *name, uint32_t mode,
                      const struct hk_fs_caller *caller,
                      struct memory_inode **out)
{
    if (!is_dir(dir))
        return -HK_ENOTDIR;
    if (*find(dir, name) != NULL)
        return -HK_EEXIST;
    if (dir->removed)
        return -HK_ENOENT;
    *out = new_inode(host, mode);
    if (caller != NULL) {
        (*out)->attr.uid = caller->uid;
        (*out)->attr.gid = caller->gid;
    }
    add_entry(dir, name, *out);
    return 0;
}

static int m_make(struct hk_fs_root *root, struct hk_fs_node *dir,
                  const char *name, const struct hk_fs_make *make,
                  const struct hk_fs_caller *caller)
{
    struct memory_inode *inode;
    int rc =
        make_inode(host_of(root), dir->inode, name, make->mode, caller, &inode);

    if (rc == 0 && make->target != NULL)
        inode->target = strdup(make->target);
    if (rc == 0)
        inode->attr.rdev = make->rdev;
    return rc;
}

static int m_create(struct hk_fs_root *root, struct hk_fs_node *dir,
                    const char *name, uint32_t mode, uint32_t open_flags,
                    const struct hk_fs_caller *caller, struct hk_fs_file **out,
                    struct hk_fs_attr *attr)
{
    struct memory_host *host = host_of(root);
    struct memory_inode *inode;
    int rc;

    if (host->limit != 0 &&
        host->nodes + host->files + host->dirs >= host->limit)
        return -HK_EMFILE;
    rc = make_inode(host, dir->inode, name, HK_S_IFREG | mode, caller, &inode);
    if (rc < 0)
        return rc;
    struct hk_fs_node node = {inode};
    *attr = inode->attr;
    return m_open(root, &node, open_flags & ~(uint32_t)HK_FS_TRUNCATE, out);
}

static int m_link(struct hk_fs_root *root, struct hk_fs_node *node,
                  struct hk_fs_node *dir, const char *name)
{
    (void)root;
    if (*find(dir->inode, name) != NULL)
        return -HK_EEXIST;
    if (dir->inode->removed)
        return -HK_ENOENT;
    node->inode->refs++;
    node->inode->attr.nlink++;
    add_entry(dir->inode, name, node->inode);
    return 0;
}

static int m_unlink(struct hk_fs_root *root, struct hk_fs_node *dir,
                    const char *name, bool directory)
{
    struct memory_entry **at = find(dir->inode, name);

    if (*at == NULL)
        return -HK_ENOENT;
    if (directory != is_dir((*at)->inode))
        return directory ? -HK_ENOTDIR : -HK_EISDIR;
    if ((*at)->inode->entries != NULL)
        return -HK_ENOTEMPTY;
    drop_name(host_of(root), take_entry(at));
    return 0;
}

/* Whether `inode` is `tree` or below it. */
static bool contains(const struct memory_inode *tree,
                     const struct memory_inode *inode)
{
    if (tree == inode)
        return true;
    for (struct memory_entry *e = tree->entries; e != NULL; e = e->next)
        if (contains(e->inode, inode))
            return true;
    return false;
}

static int m_rename(struct hk_fs_root *root, struct hk_fs_node *dir,
                    const char *name, struct hk_fs_node *new_dir,
                    const char *new_name, uint32_t flags)
{
    struct memory_entry **from = find(dir->inode, name);
    struct memory_entry **to = find(new_dir->inode, new_name);
    struct memory_inode *moved;

    if (*from == NULL || new_dir->inode->removed)
        return -HK_ENOENT;
    if (contains((*from)->inode, new_dir->inode))
        return -HK_EINVAL;
    if ((flags & HK_FS_RENAME_EXCHANGE) != 0) {
        if (*to == NULL)
            return -HK_ENOENT;
        if (contains((*to)->inode, dir->inode))
            return -HK_EINVAL;
        moved = (*from)->inode;
        (*from)->inode = (*to)->inode;
        (*to)->inode = moved;
        return 0;
    }
    if (*to != NULL) {
        if ((flags & HK_FS_RENAME_NOREPLACE) != 0)
            return -HK_EEXIST;
        if ((*to)->inode == (*from)->inode)
            return 0;
        if ((*to)->inode->entries != NULL)
            return -HK_ENOTEMPTY;
        drop_name(host_of(root), take_entry(to));
    }
    moved = take_entry(find(dir->inode, name));
    add_entry(new_dir->inode, new_name, moved);
    return 0;
}

/* ------------------------------------------------------------------ */
/* Data                                                               */

static int64_t m_readv(struct hk_fs_root *root, struct hk_fs_file *file,
                       const struct hk_iov *iov, size_t count, uint64_t offset)
{
    uint64_t done = 0, size = file->inode->attr.size;

    (void)root;
    for (size_t i = 0; i < count && offset + done < size; i++) {
        uint64_t len = size - offset - done;

        if (len > iov[i].len)
            len = iov[i].len;
        memcpy(iov[i].base, file->inode->data + offset + done, len);
        done += len;
    }
    return (int64_t)done;
}

static int64_t m_writev(struct hk_fs_root *root, struct hk_fs_file *file,
                        const struct hk_iov *iov, size_t count, uint64_t offset,
                        bool append)
{
    uint64_t sum = 0;
    int rc;

    (void)root;
    for (size_t i = 0; i < count; i++)
        sum += iov[i].len;
    if (append)
        offset = file->inode->attr.size;
    if (offset > FILE_MAX || sum > FILE_MAX)
        return -HK_EFBIG;
    if (offset + sum > file->inode->attr.size) {
        rc = resize(file->inode, offset + sum);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(file->inode->data + offset, iov[i].base, iov[i].len);
        offset += iov[i].len;
    }
    file->inode->attr.ctime.sec++;
    return (int64_t)sum;
}

static int m_flush(struct hk_fs_root *root, struct hk_fs_file *file)
{
    (void)root;
    (void)file;
    return 0;
}

static int m_fsync(struct hk_fs_root *root, struct hk_fs_file *file,
                   bool data_only)
{
    (void)root;
    (void)file;
    (void)data_only;
    return 0;
}

static int m_fallocate(struct hk_fs_root *root, struct hk_fs_file *file,
                       uint32_t flags, uint64_t offset, uint64_t len)
{
    (void)root;
    if (flags != 0)
        return -HK_ENOTSUP;
    return offset + len > file->inode->attr.size
               ? resize(file->inode, offset + len)
               : 0;
}

static int64_t m_seek(struct hk_fs_root *root, struct hk_fs_file *file,
                      uint64_t offset, enum hk_fs_seek whence)
{
    (void)root;
    if (whence == HK_FS_SEEK_END)
        return (int64_t)(file->inode->attr.size + offset);
    return (int64_t)offset;
}

static int64_t m_copy(struct hk_fs_root *root, struct hk_fs_file *from,
                      uint64_t from_offset, struct hk_fs_file *to,
                      uint64_t to_offset, uint64_t len)
{
    uint64_t size = from->inode->attr.size;

    if (from_offset >= size)
        return 0;
    if (len > size - from_offset)
        len = size - from_offset;
    uint8_t *copy = malloc(len + 1);
    struct hk_iov iov = {copy, len};
    assert_non_null(copy);
    memcpy(copy, from->inode->data + from_offset, len);
    int64_t done = m_writev(root, to, &iov, 1, to_offset, false);
    free(copy);
    return done;
}

static int m_next_entry(struct hk_fs_root *root, struct hk_fs_dir *dir,
                        uint64_t cookie, struct hk_fs_dirent *out)
{
    struct memory_entry *entry = dir->inode->entries;

    (void)root;
    *out = (struct hk_fs_dirent){
        .ino = dir->inode->attr.ino, .type = 4, .next = cookie + 1};
    if (cookie < 2) {
        out->name = cookie == 0 ? "." : "..";
        out->len = (uint32_t)cookie + 1;
        return 1;
    }
    while (entry != NULL && entry->cookie < cookie)
        entry = entry->next;
    if (entry == NULL)
        return 0;
    *out = (struct hk_fs_dirent){
        .ino = entry->inode->attr.ino,
        .next = entry->cookie + 1,
        .type = entry->inode->attr.mode >> 12,
        .len = (uint32_t)strlen(entry->name),
        .name = entry->name,
    };
    return 1;
}

static int m_sync_dir(struct hk_fs_root *root, struct hk_fs_dir *dir,
                      bool data_only)
{
    (void)root;
    (void)dir;
    (void)data_only;
    return 0;
}

/* ------------------------------------------------------------------ */
/* Attributes by name                                                 */

static int m_get_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                       const char *name, void *to, size_t size)
{
    struct memory_inode *inode = node->inode;

    (void)root;
    if (inode->xvalue == NULL || strcmp(inode->xname, name) != 0)
        return -HK_ENODATA;
    if (size != 0 && size < inode->xlen)
        return -HK_ERANGE;
    if (size != 0)
        memcpy(to, inode->xvalue, inode->xlen);
    return (int)inode->xlen;
}

static int m_set_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                       const char *name, const void *value, size_t size,
                       uint32_t flags)
{
    struct memory_inode *inode = node->inode;

    (void)root;
    (void)flags;
    free(inode->xvalue);
    inode->xvalue = malloc(size + 1);
    assert_non_null(inode->xvalue);
    memcpy(inode->xvalue, value, size);
    inode->xlen = size;
    memcpy(inode->xname, name, strlen(name) + 1);
    return 0;
}

static int m_list_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                        char *to, size_t size)
{
    size_t len = strlen(node->inode->xname) + 1;

    (void)root;
    if (node->inode->xvalue == NULL)
        return 0;
    if (size != 0 && size < len)
        return -HK_ERANGE;
    if (size != 0)
        memcpy(to, node->inode->xname, len);
    return (int)len;
}

static int m_remove_xattr(struct hk_fs_root *root, struct hk_fs_node *node,
                          const char *name)
{
    int rc = m_get_xattr(root, node, name, NULL, 0);

    if (rc < 0)
        return rc;
    free(node->inode->xvalue);
    node->inode->xvalue = NULL;
    return 0;
}

static const struct hk_fs_ops memory_ops = {
    .name = "memory",
    .close_root = m_close_root,
    .lookup = m_lookup,
    .open_node = m_open_node,
    .close_node = m_close_node,
    .getattr = m_getattr,
    .setattr = m_setattr,
    .readlink = m_readlink,
    .statfs = m_statfs,
    .make = m_make,
    .create = m_create,
    .link = m_link,
    .unlink = m_unlink,
    .rename = m_rename,
    .open = m_open,
    .close = m_close,
    .readv = m_readv,
    .writev = m_writev,
    .flush = m_flush,
    .fsync = m_fsync,
    .fallocate = m_fallocate,
    .seek = m_seek,
    .copy = m_copy,
    .open_dir = m_open_dir,
    .close_dir = m_close_dir,
    .next_entry = m_next_entry,
    .sync_dir = m_sync_dir,
    .get_xattr = m_get_xattr,
    .set_xattr = m_set_xattr,
    .list_xattr = m_list_xattr,
    .remove_xattr = m_remove_xattr,
};

/* ------------------------------------------------------------------ */

struct memory_host *memory_host_create(void)
{
    struct memory_host *host = calloc(1, sizeof(*host));

    assert_non_null(host);
    host->base.ops = &memory_ops;
    host->next_ino = 10;
    host->root = new_inode(host, HK_S_IFDIR | 0755);
    return host;
}

void memory_host_free(struct memory_host *host)
{
    assert_true(host->closed);
    free_tree(host->root);
    free(host);
}

/* The directory of a path's last component, which is copied to `leaf`. */
static struct memory_inode *walk(struct memory_host *host, const char *path,
                                 char *leaf)
{
    struct memory_inode *at = host->root;

    for (;;) {
        size_t len = strcspn(path, "/");

        memcpy(leaf, path, len);
        leaf[len] = '\0';
        if (path[len] == '\0')
            return at;
        assert_non_null(*find(at, leaf));
        at = (*find(at, leaf))->inode;
        path += len + 1;
    }
}

void memory_host_add(struct memory_host *host, const char *path, uint32_t mode,
                     const char *text)
{
    char leaf[HK_FS_NAME_MAX + 1];
    struct memory_inode *dir = walk(host, path, leaf), *inode = NULL;

    assert_int_equal(make_inode(host, dir, leaf, mode, NULL, &inode), 0);
    if ((mode & HK_S_IFMT) == HK_S_IFLNK)
        inode->target = strdup(text);
    else if (text != NULL) {
        assert_int_equal(resize(inode, strlen(text)), 0);
        memcpy(inode->data, text, strlen(text));
    }
}

void memory_host_remove(struct memory_host *host, const char *path)
{
    char leaf[HK_FS_NAME_MAX + 1];
    struct memory_inode *dir = walk(host, path, leaf);
    struct memory_entry **at = find(dir, leaf);

    assert_non_null(*at);
    drop_name(host, take_entry(at));
}

void memory_host_rename(struct memory_host *host, const char *from,
                        const char *to)
{
    char leaf[HK_FS_NAME_MAX + 1];
    struct memory_inode *moved, *old_dir = walk(host, from, leaf);
    struct memory_entry **at = find(old_dir, leaf);

    assert_non_null(*at);
    moved = take_entry(at);
    struct memory_inode *dir = walk(host, to, leaf);
    add_entry(dir, leaf, moved);
}
