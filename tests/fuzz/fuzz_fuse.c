/*
 * Any sequence of FUSE requests to a server on a host in memory. An input is
 * a list of records: opcode, which known inode, flags, room for the reply,
 * length, body. Known inodes and handles are those of earlier replies, so that
 * a short input gets far; flags turn that off, and make lengths lie.
 */
#include "fuse_client.h"
#include "memory_host.h"

#include "base/endian.h"
#include "base/log.h"

enum {
    RECORD = 6,
    KNOWN = 16,
    BODY_MAX = 8192,
    FIX_HANDLE = 1, /* the body begins with a handle */
    RAW_NODE = 2,   /* the inode's number is made up */
    LYING = 4,      /* the header's length is another */
    SMALL_ROOM = 8,
};

static const char overlay_bytes[] = "bytes in memory";

static struct {
    uint64_t nodes[KNOWN];
    uint64_t handles[KNOWN];
    uint32_t node_count;
    uint32_t handle_count;
} known;

static void remember(const struct fuse_client *c, uint32_t opcode)
{
    const uint8_t *body = c->reply + sizeof(struct hk_fuse_out_header);
    uint32_t len = c->reply_len;

    if (len == 16 + sizeof(struct hk_fuse_entry_out) ||
        opcode == HK_FUSE_CREATE)
        known.nodes[known.node_count++ % KNOWN] = hk_get_le64(body);
    if (opcode == HK_FUSE_OPEN || opcode == HK_FUSE_OPENDIR)
        known.handles[known.handle_count++ % KNOWN] = hk_get_le64(body);
    if (opcode == HK_FUSE_CREATE && len > 16 + sizeof(struct hk_fuse_entry_out))
        known.handles[known.handle_count++ % KNOWN] =
            hk_get_le64(body + sizeof(struct hk_fuse_entry_out));
}

static void send_record(struct fuse_client *c, const uint8_t *record,
                        const uint8_t *body, size_t len)
{
    uint8_t message[sizeof(struct hk_fuse_in_header) + BODY_MAX];
    struct hk_fuse_in_header head = {
        .len = (uint32_t)(sizeof(head) + len),
        .opcode = record[0] & 63,
        .nodeid = known.nodes[record[1] % KNOWN],
        .uid = record[1] >> 6,
    };

    if ((record[2] & RAW_NODE) != 0)
        head.nodeid = record[1];
    if ((record[2] & LYING) != 0)
        head.len += record[3];
    c->room = (record[2] & SMALL_ROOM) != 0 ? record[3] : 8192;
    memcpy(message + sizeof(head), body, len);
    if ((record[2] & FIX_HANDLE) != 0 && len >= 8)
        hk_put_le64(message + sizeof(head), known.handles[body[0] % KNOWN]);
    memcpy(message, &head, sizeof(head));
    if (fuse_send(c, message, sizeof(head) + len) >
        sizeof(struct hk_fuse_out_header))
        remember(c, head.opcode);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct hk_fuse_config config = {.max_nodes = 64,
                                          .max_descriptors = 32};
    struct memory_host *host = memory_host_create();
    struct fuse_client c;
    struct hk_fuse *fuse;

    hk_log_set_level(HK_LOG_OFF);
    memset(&known, 0, sizeof(known));
    for (int i = 0; i < KNOWN; i++)
        known.nodes[i] = HK_FUSE_ROOT_ID;
    memory_host_add(host, "a", HK_S_IFREG | 0644, "text of a");
    memory_host_add(host, "l", HK_S_IFLNK | 0777, "../../etc/passwd");
    memory_host_add(host, "d", HK_S_IFDIR | 0755, NULL);
    memory_host_add(host, "d/e", HK_S_IFREG | 0644, "text of e");
    assert_int_equal(hk_fuse_create(&host->base, &config, &fuse), 0);
    assert_int_equal(hk_fuse_add_file(fuse, "v", overlay_bytes, 15, 0644, true),
                     0);
    fuse_client_direct(&c, fuse);
    fuse_init(&c);
    while (size >= RECORD) {
        size_t len = hk_get_le16(data + 4) % BODY_MAX;
        const uint8_t *record = data;

        data += RECORD;
        size -= RECORD;
        if (len > size)
            len = size;
        send_record(&c, record, data, len);
        data += len;
        size -= len;
    }
    fuse_client_fini(&c);
    hk_fuse_destroy(fuse);
    memory_host_free(host);
    return 0;
}
