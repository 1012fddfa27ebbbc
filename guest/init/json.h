/*
 * A strict JSON reader for small files from a root file system, which may
 * hold anything.
 *
 * The text is read once into a flat list of nodes in the order of the text;
 * node 0 is the whole, and each node says where its neighbour begins, so that
 * nothing here recurses. Children of an object are its keys and values in
 * turn.
 *
 * Limits: HK_JSON_MAX bytes, HK_JSON_DEPTH levels, HK_JSON_NODES nodes.
 * One thread. `text` is borrowed until fini.
 */
#ifndef HK_INIT_JSON_H
#define HK_INIT_JSON_H

#include <stddef.h>
#include <stdint.h>

enum {
    HK_JSON_MAX = 1 << 20,
    HK_JSON_DEPTH = 64,
    HK_JSON_NODES = 1 << 16,
    HK_JSON_NONE = 0, /* no node: the whole is nobody's child */
};

enum hk_json_type {
    HK_JSON_OBJECT,
    HK_JSON_ARRAY,
    HK_JSON_STRING,
    HK_JSON_NUMBER,
    HK_JSON_WORD, /* true, false, null */
};

struct hk_json_node {
    uint32_t type;
    uint32_t start, len; /* in the text; of a string without its quotes */
    uint32_t next;       /* first node after this one and its children */
};

struct hk_json {
    const char *text;
    struct hk_json_node *node;
    uint32_t count;
};

/* 0, -EINVAL not JSON, -E2BIG past a limit, -ENOMEM. */
int hk_json_parse(const char *text, size_t size, struct hk_json *json);
void hk_json_fini(struct hk_json *json);

/* First child of an object or array and the next one; HK_JSON_NONE at the end
 * and for other nodes. */
uint32_t hk_json_first(const struct hk_json *json, uint32_t parent);
uint32_t hk_json_next(const struct hk_json *json, uint32_t parent,
                      uint32_t child);

/* The value of a key, letter case ignored, of the type wanted; the first one
 * if there are several. */
uint32_t hk_json_get(const struct hk_json *json, uint32_t object,
                     const char *key, enum hk_json_type type);

/* A string with its escapes resolved, to be released with free(). NULL when
 * the node is no string, has a NUL inside, or there is no memory. */
char *hk_json_text(const struct hk_json *json, uint32_t node);

#endif
