/*
 * A growing list of strings that it owns, kept as execve wants it: `v` ends
 * with NULL at any time. Also used for environments: then each is "K=V".
 *
 * Functions return 0 or -ENOMEM. One thread.
 */
#ifndef HK_INIT_STRV_H
#define HK_INIT_STRV_H

#include <stddef.h>

struct hk_strv {
    char **v; /* NULL while empty and never added to */
    size_t count, room;
};

int hk_strv_add(struct hk_strv *list, const char *text, size_t len);
void hk_strv_fini(struct hk_strv *list);

/* A copy with a NUL; NULL when out of memory. */
char *hk_text_copy(const char *text, size_t len);

/* Replaces `*to` by a copy. */
int hk_text_set(char **to, const char *text, size_t len);

/* The value of `key`, or NULL. */
const char *hk_env_get(const struct hk_strv *env, const char *key);

/* Sets "K=V", replacing the variable of that name. A text without '=' or
 * with an empty name is left out: it is no variable. */
int hk_env_put(struct hk_strv *env, const char *assignment);
int hk_env_set(struct hk_strv *env, const char *key, const char *value);

/* Only if there is no such variable yet. */
int hk_env_default(struct hk_strv *env, const char *key, const char *value);

#endif
