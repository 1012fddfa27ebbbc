/* Bytes that grow. */
#include "guest/bytes.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 4096 };

static void fail(struct hk_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct hk_bytes){.failed = true};
}

static bool make_room(struct hk_bytes *bytes, size_t len)
{
    if (bytes->room - bytes->len >= len)
        return true;
    if (len > SIZE_MAX / 4 - bytes->len)
        return false;
    size_t room = bytes->room > 0 ? bytes->room * 2 : FIRST_ROOM;
    if (room < bytes->len + len)
        room = bytes->len + len;
    uint8_t *data = realloc(bytes->data, room);
    if (data == NULL)
        return false;
    bytes->data = data;
    bytes->room = room;
    return true;
}

void hk_bytes_add(struct hk_bytes *bytes, const void *data, size_t len)
{
    if (bytes->failed || len == 0)
        return;
    if (!make_room(bytes, len)) {
        fail(bytes);
        return;
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void hk_bytes_fini(struct hk_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct hk_bytes){0};
}

int hk_bytes_take(struct hk_bytes *bytes, uint8_t **data, size_t *len)
{
    if (bytes->failed)
        return -HK_ENOMEM;
    *data = bytes->data;
    *len = bytes->len;
    *bytes = (struct hk_bytes){0};
    return 0;
}
