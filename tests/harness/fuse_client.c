#include "fuse_client.h"

enum { REQUEST_MAX = (1 << 20) + (1 << 17), GDRV_QUEUE = 1, HIPRIO = 0 };

/* ------------------------------------------------------------------ */
/* Bytes to a server in memory: buffers in pieces of odd sizes        */

struct memory_io {
    const uint8_t *in;
    size_t in_len;
    size_t in_at;
    uint8_t *out;
    size_t out_len;
    size_t out_at;
    size_t copied;
    size_t lent;
};

enum { PIECE = 1000 };

static uint64_t m_readable(void *io)
{
    return ((struct memory_io *)io)->in_len;
}

static uint64_t m_writable(void *io)
{
    return ((struct memory_io *)io)->out_len;
}

static size_t m_read(void *io, void *to, size_t len)
{
    struct memory_io *m = io;

    if (len > m->in_len - m->in_at)
        len = m->in_len - m->in_at;
    if (len > 0)
        memcpy(to, m->in + m->in_at, len);
    m->in_at += len;
    m->copied += len;
    return len;
}

static size_t m_write(void *io, const void *from, size_t len)
{
    struct memory_io *m = io;

    if (len > m->out_len - m->out_at)
        len = m->out_len - m->out_at;
    if (len > 0)
        memcpy(m->out + m->out_at, from, len);
    m->out_at += len;
    m->copied += len;
    return len;
}

static size_t m_write_at(void *io, uint64_t at, const void *from, size_t len)
{
    struct memory_io *m = io;

    if (at > m->out_len)
        return 0;
    if (len > m->out_len - at)
        len = m->out_len - (size_t)at;
    memcpy(m->out + at, from, len);
    return len;
}

static size_t cut(uint8_t *base, size_t *at, size_t end, uint64_t len,
                  struct hk_iov *iov, size_t max)
{
    size_t count = 0;

    while (count < max && *at < end && len > 0) {
        size_t one = end - *at < PIECE ? end - *at : PIECE;

        if (one > len)
            one = (size_t)len;
        iov[count++] = (struct hk_iov){base + *at, one};
        *at += one;
        len -= one;
    }
    return count;
}

static size_t m_read_iov(void *io, uint64_t len, struct hk_iov *iov, size_t max)
{
    struct memory_io *m = io;
    size_t before = m->in_at;
    size_t count =
        cut((uint8_t *)(uintptr_t)m->in, &m->in_at, m->in_len, len, iov, max);

    m->lent += m->in_at - before;
    return count;
}

static size_t m_write_iov(void *io, uint64_t len, struct hk_iov *iov,
                          size_t max)
{
    struct memory_io *m = io;
    size_t before = m->out_at;
    size_t count = cut(m->out, &m->out_at, m->out_len, len, iov, max);

    m->lent += m->out_at - before;
    return count;
}

static void m_wrote(void *io, const struct hk_iov *iov, size_t count)
{
    (void)io;
    (void)iov;
    (void)count;
}

static const struct hk_fuse_io_ops memory_ops = {
    .readable = m_readable,
    .writable = m_writable,
    .read = m_read,
    .write = m_write,
    .write_at = m_write_at,
    .read_iov = m_read_iov,
    .write_iov = m_write_iov,
    .wrote = m_wrote,
};

/* ------------------------------------------------------------------ */

static void start(struct fuse_client *c)
{
    memset(c, 0, sizeof(*c));
    c->request = malloc(REQUEST_MAX);
    c->reply = malloc(FUSE_REPLY_MAX);
    assert_non_null(c->request);
    assert_non_null(c->reply);
    c->room = 65536;
}

void fuse_client_direct(struct fuse_client *c, struct hk_fuse *fuse)
{
    start(c);
    c->fuse = fuse;
}

void fuse_client_gdrv(struct fuse_client *c, struct gdrv *g)
{
    start(c);
    c->g = g;
}

void fuse_client_fini(struct fuse_client *c)
{
    free(c->request);
    free(c->reply);
    memset(c, 0, sizeof(*c));
}

uint32_t fuse_send(struct fuse_client *c, const void *bytes, size_t len)
{
    assert_true(c->room <= FUSE_REPLY_MAX);
    if (c->fuse != NULL) {
        /* Exact sizes let the address checker see one byte too many. */
        uint8_t *in = malloc(len + (len == 0));
        uint8_t *out = malloc(c->room + (c->room == 0));
        struct memory_io io = {in, len, 0, out, c->room, 0, 0, 0};

        assert_non_null(in);
        assert_non_null(out);
        memcpy(in, bytes, len);
        memset(out, 0xee, c->room);
        c->reply_len = hk_fuse_serve(c->fuse, &memory_ops, &io);
        assert_true(c->reply_len <= c->room);
        memcpy(c->reply, out, c->room);
        c->copied = io.copied;
        c->lent = io.lent;
        free(in);
        free(out);
    } else {
        int64_t n =
            gdrv_request(c->g, GDRV_QUEUE, bytes, len, c->reply, c->room);

        assert_true(n >= 0);
        c->reply_len = (uint32_t)n;
    }
    return c->reply_len;
}

int fuse_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid,
              const void *body, size_t body_len, const void *extra,
              size_t extra_len, void *out, size_t out_len)
{
    struct hk_fuse_in_header in = {
        .len = (uint32_t)(sizeof(in) + body_len + extra_len),
        .opcode = opcode,
        .unique = ++c->unique,
        .nodeid = nodeid,
        .uid = c->uid,
        .gid = c->gid,
        .pid = 77,
    };
    struct hk_fuse_out_header head;
    size_t len;

    assert_true(in.len <= REQUEST_MAX);
    memcpy(c->request, &in, sizeof(in));
    if (body_len > 0)
        memcpy(c->request + sizeof(in), body, body_len);
    if (extra_len > 0)
        memcpy(c->request + sizeof(in) + body_len, extra, extra_len);
    if (fuse_send(c, c->request, in.len) == 0)
        return FUSE_NOTHING;
    assert_true(c->reply_len >= sizeof(head));
    memcpy(&head, c->reply, sizeof(head));
    assert_int_equal(head.len, c->reply_len);
    assert_int_equal(head.unique, c->unique);
    assert_in_range(-head.error, 0, 200);
    if (head.error != 0) {
        assert_int_equal(head.len, sizeof(head));
        return head.error;
    }
    len = head.len - sizeof(head);
    if (out_len > 0)
        memcpy(out, c->reply + sizeof(head), len < out_len ? len : out_len);
    return (int)len;
}

#define CALL(c, op, node, in, extra, extra_len, out)                 \
    fuse_call(c, op, node, in, sizeof(*(in)), extra, extra_len, out, \
              sizeof(*(out)))

/* Only fixed replies: the length has to be right. */
static int fixed(int got, size_t want)
{
    if (got >= 0)
        assert_int_equal(got, want);
    return got < 0 ? got : 0;
}

void fuse_init(struct fuse_client *c)
{
    struct hk_fuse_init_out out;
    struct {
        struct hk_fuse_init_in in;
        uint32_t flags2;
        uint32_t unused[11];
    } in = {.in = {7, 38, 131072, 0x73ffffff}};

    assert_int_equal(CALL(c, HK_FUSE_INIT, 0, &in, NULL, 0, &out), sizeof(out));
    assert_int_equal(out.major, 7);
    assert_int_equal(out.max_write, 1 << 20);
}

int fuse_lookup(struct fuse_client *c, uint64_t dir, const char *name,
                struct hk_fuse_entry_out *out)
{
    int rc = fixed(fuse_call(c, HK_FUSE_LOOKUP, dir, NULL, 0, name,
                             strlen(name) + 1, out, sizeof(*out)),
                   sizeof(*out));

    return rc == 0 && out->nodeid == 0 ? -HK_ENOENT : rc;
}

uint64_t fuse_walk(struct fuse_client *c, const char *path)
{
    struct hk_fuse_entry_out out = {.nodeid = HK_FUSE_ROOT_ID};
    char copy[4096], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *name = strtok_r(copy, "/", &save); name != NULL;
         name = strtok_r(NULL, "/", &save))
        assert_int_equal(fuse_lookup(c, out.nodeid, name, &out), 0);
    return out.nodeid;
}

int fuse_forget(struct fuse_client *c, uint64_t node, uint64_t count)
{
    const struct hk_fuse_forget_in in = {count};

    return fuse_call(c, HK_FUSE_FORGET, node, &in, sizeof(in), NULL, 0, NULL,
                     0);
}

int fuse_getattr(struct fuse_client *c, uint64_t node, struct hk_fuse_attr *out)
{
    const struct hk_fuse_getattr_in in = {0};
    struct hk_fuse_attr_out reply;
    int rc = fixed(CALL(c, HK_FUSE_GETATTR, node, &in, NULL, 0, &reply),
                   sizeof(reply));

    if (rc == 0)
        *out = reply.attr;
    return rc;
}

int fuse_setattr(struct fuse_client *c, uint64_t node,
                 const struct hk_fuse_setattr_in *in, struct hk_fuse_attr *out)
{
    struct hk_fuse_attr_out reply;
    int rc = fixed(CALL(c, HK_FUSE_SETATTR, node, in, NULL, 0, &reply),
                   sizeof(reply));

    if (rc == 0 && out != NULL)
        *out = reply.attr;
    return rc;
}

int fuse_chmod(struct fuse_client *c, uint64_t node, uint32_t mode)
{
    const struct hk_fuse_setattr_in in = {.valid = HK_FATTR_MODE, .mode = mode};

    return fuse_setattr(c, node, &in, NULL);
}

int fuse_chown(struct fuse_client *c, uint64_t node, uint32_t uid, uint32_t gid)
{
    const struct hk_fuse_setattr_in in = {
        .valid = HK_FATTR_UID | HK_FATTR_GID, .uid = uid, .gid = gid};

    return fuse_setattr(c, node, &in, NULL);
}

int fuse_truncate(struct fuse_client *c, uint64_t node, uint64_t size)
{
    const struct hk_fuse_setattr_in in = {.valid = HK_FATTR_SIZE, .size = size};

    return fuse_setattr(c, node, &in, NULL);
}

int fuse_readlink(struct fuse_client *c, uint64_t node, char *to, size_t size)
{
    int rc =
        fuse_call(c, HK_FUSE_READLINK, node, NULL, 0, NULL, 0, to, size - 1);

    if (rc >= 0) {
        assert_true((size_t)rc < size);
        to[rc] = '\0';
    }
    return rc;
}

int fuse_open(struct fuse_client *c, uint64_t node, uint32_t flags,
              struct hk_fuse_open_out *out)
{
    const struct hk_fuse_open_in in = {flags, 0};

    return fixed(CALL(c, HK_FUSE_OPEN, node, &in, NULL, 0, out), sizeof(*out));
}

static int release(struct fuse_client *c, uint32_t op, uint64_t node,
                   uint64_t fh)
{
    const struct hk_fuse_release_in in = {.fh = fh};

    return fuse_call(c, op, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

int fuse_release(struct fuse_client *c, uint64_t node, uint64_t fh)
{
    return release(c, HK_FUSE_RELEASE, node, fh);
}

static int read_some(struct fuse_client *c, uint32_t op, uint64_t node,
                     uint64_t fh, uint64_t at, void *to, uint32_t size)
{
    const struct hk_fuse_read_in in = {.fh = fh, .offset = at, .size = size};
    uint32_t room = c->room;
    int rc;

    c->room = size + (uint32_t)sizeof(struct hk_fuse_out_header);
    rc = fuse_call(c, op, node, &in, sizeof(in), NULL, 0, to, size);
    c->room = room;
    return rc;
}

int fuse_read(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t at,
              void *to, uint32_t size)
{
    return read_some(c, HK_FUSE_READ, node, fh, at, to, size);
}

int fuse_write(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t at,
               const void *from, uint32_t size, uint32_t open_flags)
{
    const struct hk_fuse_write_in in = {
        .fh = fh, .offset = at, .size = size, .flags = open_flags};
    struct hk_fuse_write_out out;
    int rc =
        fixed(CALL(c, HK_FUSE_WRITE, node, &in, from, size, &out), sizeof(out));

    return rc < 0 ? rc : (int)out.size;
}

int fuse_create(struct fuse_client *c, uint64_t dir, const char *name,
                uint32_t flags, uint32_t mode, struct hk_fuse_entry_out *entry,
                struct hk_fuse_open_out *open)
{
    const struct hk_fuse_create_in in = {.flags = flags, .mode = mode};
    struct {
        struct hk_fuse_entry_out entry;
        struct hk_fuse_open_out open;
    } out;
    int rc =
        fixed(CALL(c, HK_FUSE_CREATE, dir, &in, name, strlen(name) + 1, &out),
              sizeof(out));

    if (rc == 0) {
        *entry = out.entry;
        *open = out.open;
    }
    return rc;
}

int fuse_mkdir(struct fuse_client *c, uint64_t dir, const char *name,
               uint32_t mode, struct hk_fuse_entry_out *out)
{
    const struct hk_fuse_mkdir_in in = {.mode = mode};

    return fixed(CALL(c, HK_FUSE_MKDIR, dir, &in, name, strlen(name) + 1, out),
                 sizeof(*out));
}

int fuse_mknod(struct fuse_client *c, uint64_t dir, const char *name,
               uint32_t mode, uint32_t rdev, struct hk_fuse_entry_out *out)
{
    const struct hk_fuse_mknod_in in = {.mode = mode, .rdev = rdev};

    return fixed(CALL(c, HK_FUSE_MKNOD, dir, &in, name, strlen(name) + 1, out),
                 sizeof(*out));
}

static size_t join(char *to, size_t size, const char *a, const char *b)
{
    int n = snprintf(to, size, "%s%c%s", a, '\0', b);

    assert_true((size_t)n + 1 <= size);
    return (size_t)n + 1;
}

int fuse_symlink(struct fuse_client *c, uint64_t dir, const char *name,
                 const char *target, struct hk_fuse_entry_out *out)
{
    char both[8192];
    size_t len = join(both, sizeof(both), name, target);

    return fixed(fuse_call(c, HK_FUSE_SYMLINK, dir, NULL, 0, both, len, out,
                           sizeof(*out)),
                 sizeof(*out));
}

int fuse_link(struct fuse_client *c, uint64_t node, uint64_t dir,
              const char *name, struct hk_fuse_entry_out *out)
{
    const struct hk_fuse_link_in in = {node};

    return fixed(CALL(c, HK_FUSE_LINK, dir, &in, name, strlen(name) + 1, out),
                 sizeof(*out));
}

int fuse_unlink(struct fuse_client *c, uint64_t dir, const char *name)
{
    return fuse_call(c, HK_FUSE_UNLINK, dir, NULL, 0, name, strlen(name) + 1,
                     NULL, 0);
}

int fuse_rmdir(struct fuse_client *c, uint64_t dir, const char *name)
{
    return fuse_call(c, HK_FUSE_RMDIR, dir, NULL, 0, name, strlen(name) + 1,
                     NULL, 0);
}

int fuse_rename(struct fuse_client *c, uint64_t dir, const char *name,
                uint64_t new_dir, const char *new_name, uint32_t flags)
{
    const struct hk_fuse_rename2_in in = {new_dir, flags, 0};
    char both[8192];
    size_t len = join(both, sizeof(both), name, new_name);

    return fuse_call(c, flags != 0 ? HK_FUSE_RENAME2 : HK_FUSE_RENAME, dir, &in,
                     flags != 0 ? sizeof(in) : sizeof(struct hk_fuse_rename_in),
                     both, len, NULL, 0);
}

int fuse_opendir(struct fuse_client *c, uint64_t node, uint64_t *fh)
{
    const struct hk_fuse_open_in in = {0, 0};
    struct hk_fuse_open_out out;
    int rc =
        fixed(CALL(c, HK_FUSE_OPENDIR, node, &in, NULL, 0, &out), sizeof(out));

    *fh = out.fh;
    return rc;
}

int fuse_releasedir(struct fuse_client *c, uint64_t node, uint64_t fh)
{
    return release(c, HK_FUSE_RELEASEDIR, node, fh);
}

int fuse_readdir(struct fuse_client *c, uint64_t node, uint64_t fh,
                 uint64_t offset, void *to, uint32_t size)
{
    return read_some(c, HK_FUSE_READDIR, node, fh, offset, to, size);
}

int fuse_setxattr(struct fuse_client *c, uint64_t node, const char *name,
                  const void *value, uint32_t size, uint32_t flags)
{
    const struct hk_fuse_setxattr_in in = {size, flags};
    size_t len = strlen(name) + 1;
    char *both = malloc(len + size);
    int rc;

    assert_non_null(both);
    memcpy(both, name, len);
    if (size > 0)
        memcpy(both + len, value, size);
    rc = fuse_call(c, HK_FUSE_SETXATTR, node, &in, sizeof(in), both, len + size,
                   NULL, 0);
    free(both);
    return rc;
}

/* The value, or its length when `size` is 0. */
static int get_x(struct fuse_client *c, uint32_t op, uint64_t node,
                 const char *name, void *to, uint32_t size)
{
    const struct hk_fuse_getxattr_in in = {size, 0};
    struct hk_fuse_getxattr_out out;
    size_t len = name != NULL ? strlen(name) + 1 : 0;
    int rc;

    if (size != 0)
        return fuse_call(c, op, node, &in, sizeof(in), name, len, to, size);
    rc = fixed(CALL(c, op, node, &in, name, len, &out), sizeof(out));
    return rc < 0 ? rc : (int)out.size;
}

int fuse_getxattr(struct fuse_client *c, uint64_t node, const char *name,
                  void *to, uint32_t size)
{
    return get_x(c, HK_FUSE_GETXATTR, node, name, to, size);
}

int fuse_listxattr(struct fuse_client *c, uint64_t node, char *to,
                   uint32_t size)
{
    return get_x(c, HK_FUSE_LISTXATTR, node, NULL, to, size);
}

int fuse_removexattr(struct fuse_client *c, uint64_t node, const char *name)
{
    return fuse_call(c, HK_FUSE_REMOVEXATTR, node, NULL, 0, name,
                     strlen(name) + 1, NULL, 0);
}

int fuse_fsync(struct fuse_client *c, uint32_t opcode, uint64_t node,
               uint64_t fh, bool data_only)
{
    const struct hk_fuse_fsync_in in = {fh, data_only, 0};

    return fuse_call(c, opcode, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

int fuse_fallocate(struct fuse_client *c, uint64_t node, uint64_t fh,
                   uint32_t mode, uint64_t offset, uint64_t len)
{
    const struct hk_fuse_fallocate_in in = {fh, offset, len, mode, 0};

    return fuse_call(c, HK_FUSE_FALLOCATE, node, &in, sizeof(in), NULL, 0, NULL,
                     0);
}

int64_t fuse_lseek(struct fuse_client *c, uint64_t node, uint64_t fh,
                   uint64_t offset, uint32_t whence)
{
    const struct hk_fuse_lseek_in in = {fh, offset, whence, 0};
    struct hk_fuse_lseek_out out;
    int rc =
        fixed(CALL(c, HK_FUSE_LSEEK, node, &in, NULL, 0, &out), sizeof(out));

    return rc < 0 ? rc : (int64_t)out.offset;
}

int fuse_access(struct fuse_client *c, uint64_t node, uint32_t mask)
{
    const struct hk_fuse_access_in in = {mask, 0};

    return fuse_call(c, HK_FUSE_ACCESS, node, &in, sizeof(in), NULL, 0, NULL,
                     0);
}

int fuse_copy(struct fuse_client *c, const struct hk_fuse_copy_in *in,
              uint64_t nodeid)
{
    struct hk_fuse_write_out out;
    int rc = fixed(CALL(c, HK_FUSE_COPY_FILE_RANGE, nodeid, in, NULL, 0, &out),
                   sizeof(out));

    return rc < 0 ? rc : (int)out.size;
}

/* ------------------------------------------------------------------ */

struct names {
    char **list;
    size_t count;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes one reply apart; returns the offset to go on with. */
static uint64_t take_names(struct fuse_client *c, const uint8_t *bytes,
                           size_t len, bool plus, struct names *names)
{
    size_t head = plus ? sizeof(struct hk_fuse_direntplus)
                       : sizeof(struct hk_fuse_dirent);
    uint64_t off = 0;

    for (size_t at = 0; at < len;) {
        struct hk_fuse_direntplus e;

        assert_true(len - at >= head);
        memcpy(plus ? (void *)&e : (void *)&e.dirent, bytes + at, head);
        assert_true(e.dirent.namelen <= len - at - head);
        names->list = realloc(names->list, (names->count + 1) * sizeof(char *));
        names->list[names->count++] =
            strndup((const char *)bytes + at + head, e.dirent.namelen);
        off = e.dirent.off;
        at += (head + e.dirent.namelen + 7) & ~(size_t)7;
        if (plus && e.entry.nodeid != 0) {
            assert_int_equal(e.entry.attr.mode >> 12, e.dirent.type);
            (void)fuse_forget(c, e.entry.nodeid, 1);
        }
    }
    return off;
}

char *fuse_list(struct fuse_client *c, uint64_t node, uint32_t size, bool plus)
{
    uint32_t op = plus ? HK_FUSE_READDIRPLUS : HK_FUSE_READDIR;
    uint8_t *bytes = malloc(size);
    struct names names = {NULL, 0};
    uint64_t fh, offset = 0;
    size_t len = 1;
    int got;

    assert_non_null(bytes);
    assert_int_equal(fuse_opendir(c, node, &fh), 0);
    while ((got = read_some(c, op, node, fh, offset, bytes, size)) > 0)
        offset = take_names(c, bytes, (size_t)got, plus, &names);
    assert_int_equal(got, 0);
    assert_int_equal(fuse_releasedir(c, node, fh), 0);
    free(bytes);
    qsort(names.list, names.count, sizeof(char *), by_text);
    for (size_t i = 0; i < names.count; i++)
        len += strlen(names.list[i]) + 1;
    char *text = calloc(1, len);
    assert_non_null(text);
    for (size_t i = 0, at = 0; i < names.count; i++) {
        at += (size_t)snprintf(text + at, len - at, "%s%s", i > 0 ? " " : "",
                               names.list[i]);
        free(names.list[i]);
    }
    free(names.list);
    return text;
}
