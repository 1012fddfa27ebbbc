/* Owner and mode as text; see override.h. */
#include "fs/override.h"

#include "fs/host.h"

#include <stdio.h>
#include <string.h>

struct text {
    const char *at;
    const char *end;
};

/* A number of that base, at least one digit, at most 32 bits. */
static bool take_number(struct text *text, uint32_t base, uint32_t *out)
{
    uint64_t value = 0;
    const char *start = text->at;

    while (text->at < text->end && *text->at >= '0' &&
           *text->at < (char)('0' + base)) {
        value = value * base + (uint32_t)(*text->at - '0');
        if (value > UINT32_MAX)
            return false;
        text->at++;
    }
    *out = (uint32_t)value;
    return text->at > start;
}

static bool take_char(struct text *text, char c)
{
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

static bool take_word(struct text *text, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(text->end - text->at) < len ||
        memcmp(text->at, word, len) != 0)
        return false;
    text->at += len;
    return true;
}

static bool take_device(struct text *text, struct hk_fs_override *out,
                        uint32_t type)
{
    uint32_t major, minor;

    if (!take_number(text, 10, &major) || !take_char(text, '-') ||
        !take_number(text, 10, &minor))
        return false;
    out->mode = type | (out->mode & 07777);
    out->rdev = hk_fs_rdev(major, minor);
    return true;
}

static bool take_kind(struct text *text, struct hk_fs_override *out)
{
    if (take_word(text, "char-"))
        return take_device(text, out, HK_S_IFCHR);
    if (take_word(text, "block-"))
        return take_device(text, out, HK_S_IFBLK);
    if (take_word(text, "pipe"))
        out->mode = HK_S_IFIFO | (out->mode & 07777);
    else if (take_word(text, "socket"))
        out->mode = HK_S_IFSOCK | (out->mode & 07777);
    else /* "file", "dir", "symlink": the host's file is that itself */
        text->at = text->end;
    return true;
}

static bool is_special(uint32_t type)
{
    return type == HK_S_IFCHR || type == HK_S_IFBLK || type == HK_S_IFIFO ||
           type == HK_S_IFSOCK;
}

bool hk_fs_override_parse(const char *text, size_t len,
                          struct hk_fs_override *out)
{
    struct text t = {text, text + len};
    struct hk_fs_override got = {.rdev = 0};

    if (!take_number(&t, 10, &got.uid) || !take_char(&t, ':') ||
        !take_number(&t, 10, &got.gid) || !take_char(&t, ':') ||
        !take_number(&t, 8, &got.mode) || got.mode > 0177777)
        return false;
    if (!is_special(got.mode & HK_S_IFMT))
        got.mode &= 07777;
    if (take_char(&t, ':') && !take_kind(&t, &got))
        return false;
    if (t.at != t.end)
        return false;
    *out = got;
    return true;
}

size_t hk_fs_override_format(const struct hk_fs_override *in, char *text)
{
    uint32_t type = in->mode & HK_S_IFMT;
    int len = snprintf(text, HK_FS_OVERRIDE_MAX, "%u:%u:0%o", in->uid, in->gid,
                       in->mode & 0177777);

    if (type == HK_S_IFCHR || type == HK_S_IFBLK)
        len += snprintf(text + len, HK_FS_OVERRIDE_MAX - (size_t)len,
                        ":%s-%u-%u", type == HK_S_IFCHR ? "char" : "block",
                        hk_fs_rdev_major(in->rdev), hk_fs_rdev_minor(in->rdev));
    return (size_t)len;
}

uint32_t hk_fs_rdev(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12;
}

uint32_t hk_fs_rdev_major(uint32_t rdev)
{
    return rdev >> 8 & 0xfff;
}

uint32_t hk_fs_rdev_minor(uint32_t rdev)
{
    return (rdev & 0xff) | (rdev >> 12 & 0xfff00);
}
