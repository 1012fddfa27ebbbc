/*
 * The JSON reader. What may come next is one of three states: a value, a key,
 * or what follows a finished value; the open objects and arrays are a stack
 * of node numbers.
 */
#include "json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct hk_json *json;
    const char *text;
    uint32_t at, size;
    uint32_t room; /* nodes that fit into json->node */
    uint32_t open[HK_JSON_DEPTH];
    uint32_t depth;
};

static void skip_blanks(struct reader *r)
{
    while (r->at < r->size && strchr(" \t\r\n", r->text[r->at]) != NULL &&
           r->text[r->at] != '\0')
        r->at++;
}

/* The character to be read, 0 at the end. */
static char look(const struct reader *r)
{
    return r->at < r->size ? r->text[r->at] : '\0';
}

static int add_node(struct reader *r, enum hk_json_type type, uint32_t start,
                    uint32_t len)
{
    struct hk_json *json = r->json;
    if (json->count == HK_JSON_NODES)
        return -E2BIG;
    if (json->count == r->room) {
        uint32_t room = r->room > 0 ? r->room * 2 : 64;
        void *node = realloc(json->node, room * sizeof(*json->node));
        if (node == NULL)
            return -ENOMEM;
        json->node = node;
        r->room = room;
    }
    json->node[json->count] =
        (struct hk_json_node){type, start, len, json->count + 1};
    json->count++;
    return 0;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F');
}

/* Past the escape at r->at; false when it is none. */
static bool skip_escape(struct reader *r)
{
    r->at++;
    char c = look(r);
    if (c == '\0' || strchr("\"\\/bfnrtu", c) == NULL)
        return false;
    r->at++;
    for (int i = 0; c == 'u' && i < 4; i++, r->at++) {
        if (!is_hex(look(r)))
            return false;
    }
    return true;
}

static int read_string(struct reader *r)
{
    uint32_t start = ++r->at;

    while (r->at < r->size && r->text[r->at] != '"') {
        if ((unsigned char)r->text[r->at] < 0x20)
            return -EINVAL;
        if (r->text[r->at] != '\\')
            r->at++;
        else if (!skip_escape(r))
            return -EINVAL;
    }
    if (r->at >= r->size)
        return -EINVAL;
    return add_node(r, HK_JSON_STRING, start, r->at++ - start);
}

static uint32_t skip_digits(struct reader *r)
{
    uint32_t start = r->at;
    while (look(r) >= '0' && look(r) <= '9')
        r->at++;
    return r->at - start;
}

static int read_number(struct reader *r)
{
    uint32_t start = r->at;

    if (look(r) == '-')
        r->at++;
    bool zero = look(r) == '0';
    uint32_t digits = skip_digits(r);
    if (digits == 0 || (zero && digits > 1))
        return -EINVAL;
    if (look(r) == '.') {
        r->at++;
        if (skip_digits(r) == 0)
            return -EINVAL;
    }
    if (look(r) == 'e' || look(r) == 'E') {
        r->at++;
        if (look(r) == '+' || look(r) == '-')
            r->at++;
        if (skip_digits(r) == 0)
            return -EINVAL;
    }
    return add_node(r, HK_JSON_NUMBER, start, r->at - start);
}

static int read_word(struct reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        uint32_t len = (uint32_t)strlen(words[i]);
        if (r->size - r->at < len ||
            memcmp(r->text + r->at, words[i], len) != 0)
            continue;
        r->at += len;
        return add_node(r, HK_JSON_WORD, r->at - len, len);
    }
    return -EINVAL;
}

/* Opens an object or array, or reads a whole simple value; `*opened` says
 * which. */
static int read_value(struct reader *r, bool *opened)
{
    char c = look(r);

    *opened = c == '{' || c == '[';
    if (*opened) {
        if (r->depth == HK_JSON_DEPTH)
            return -E2BIG;
        r->open[r->depth++] = r->json->count;
        return add_node(r, c == '{' ? HK_JSON_OBJECT : HK_JSON_ARRAY, r->at++,
                        0);
    }
    if (c == '"')
        return read_string(r);
    if (c == '-' || (c >= '0' && c <= '9'))
        return read_number(r);
    return read_word(r);
}

static bool in_object(const struct reader *r)
{
    return r->json->node[r->open[r->depth - 1]].type == HK_JSON_OBJECT;
}

static int read_key(struct reader *r)
{
    if (look(r) != '"')
        return -EINVAL;
    int rc = read_string(r);
    if (rc != 0)
        return rc;
    skip_blanks(r);
    if (look(r) != ':')
        return -EINVAL;
    r->at++;
    skip_blanks(r);
    return 0;
}

/* After a value: closes what ends here, then either a comma, and `*more`, or
 * the end of it all. */
static int read_follow(struct reader *r, bool *more)
{
    *more = false;
    for (;;) {
        skip_blanks(r);
        if (r->depth == 0)
            return r->at == r->size ? 0 : -EINVAL;
        char c = look(r);
        if (c == ',') {
            r->at++;
            *more = true;
            return 0;
        }
        if (c != (in_object(r) ? '}' : ']'))
            return -EINVAL;
        r->at++;
        r->json->node[r->open[--r->depth]].next = r->json->count;
    }
}

static int read_all(struct reader *r)
{
    for (;;) {
        skip_blanks(r);
        int rc = r->depth > 0 && in_object(r) ? read_key(r) : 0;
        bool opened = false, more;
        if (rc == 0)
            rc = read_value(r, &opened);
        if (rc != 0)
            return rc;
        skip_blanks(r);
        if (opened && look(r) != '}' && look(r) != ']')
            continue;
        rc = read_follow(r, &more);
        if (rc != 0 || !more)
            return rc;
    }
}

int hk_json_parse(const char *text, size_t size, struct hk_json *json)
{
    *json = (struct hk_json){.text = text};
    if (size > HK_JSON_MAX)
        return -E2BIG;
    struct reader r = {.json = json, .text = text, .size = (uint32_t)size};
    int rc = read_all(&r);
    if (rc != 0)
        hk_json_fini(json);
    return rc;
}

void hk_json_fini(struct hk_json *json)
{
    free(json->node);
    *json = (struct hk_json){0};
}

uint32_t hk_json_first(const struct hk_json *json, uint32_t parent)
{
    return parent < json->count && json->node[parent].next > parent + 1
               ? parent + 1
               : HK_JSON_NONE;
}

uint32_t hk_json_next(const struct hk_json *json, uint32_t parent,
                      uint32_t child)
{
    uint32_t next = json->node[child].next;
    return next < json->node[parent].next ? next : HK_JSON_NONE;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_key(const struct hk_json *json, uint32_t node, const char *key)
{
    const struct hk_json_node *n = &json->node[node];
    if (n->len != strlen(key))
        return false;
    for (uint32_t i = 0; i < n->len; i++) {
        if (lower(json->text[n->start + i]) != lower(key[i]))
            return false;
    }
    return true;
}

uint32_t hk_json_get(const struct hk_json *json, uint32_t object,
                     const char *key, enum hk_json_type type)
{
    if (object >= json->count || json->node[object].type != HK_JSON_OBJECT)
        return HK_JSON_NONE;
    uint32_t at = hk_json_first(json, object);
    while (at != HK_JSON_NONE) {
        uint32_t value = at + 1; /* a key is one node */
        if (is_key(json, at, key) && json->node[value].type == (uint32_t)type)
            return value;
        at = hk_json_next(json, object, value);
    }
    return HK_JSON_NONE;
}

/* Four hexadecimal digits that were checked when the text was read. */
static uint32_t hex4(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = lower(p[i]);
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return value;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3f));
    return more + 1;
}

/* The \u escape at `p` (past the u), with the low half that may follow it; a
 * half without its other half becomes U+FFFD. `*used`: characters read. */
static uint32_t code_point(const char *p, const char *end, size_t *used)
{
    uint32_t c = hex4(p);
    *used = 4;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c < 0xdc00 && end - p >= 10 && p[4] == '\\' && p[5] == 'u') {
        uint32_t low = hex4(p + 6);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *used = 10;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

char *hk_json_text(const struct hk_json *json, uint32_t node)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const struct hk_json_node *n = &json->node[node];
    if (node >= json->count || n->type != HK_JSON_STRING)
        return NULL;
    char *out = malloc(n->len + 1); /* no escape grows */
    if (out == NULL)
        return NULL;

    size_t len = 0, used;
    const char *p = json->text + n->start, *end = p + n->len;
    while (p < end) {
        if (*p != '\\') {
            out[len++] = *p++;
            continue;
        }
        p += 2;
        const char *simple = strchr(from, p[-1]);
        if (p[-1] == 'u') {
            len += put_utf8(out + len, code_point(p, end, &used));
            p += used;
        } else {
            out[len++] = simple != NULL ? to[simple - from] : p[-1];
        }
    }
    out[len] = '\0';
    if (memchr(out, 0, len) == NULL)
        return out;
    free(out);
    return NULL;
}
