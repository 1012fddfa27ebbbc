/* Lists of strings, and environments made of them. */
#include "strv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 8 };

char *hk_text_copy(const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

int hk_text_set(char **to, const char *text, size_t len)
{
    char *copy = hk_text_copy(text, len);
    if (copy == NULL)
        return -ENOMEM;
    free(*to);
    *to = copy;
    return 0;
}

static int grow(struct hk_strv *list)
{
    size_t room = list->room > 0 ? list->room * 2 : FIRST_ROOM;
    char **v = realloc(list->v, room * sizeof(*v));
    if (v == NULL)
        return -ENOMEM;
    list->v = v;
    list->room = room;
    return 0;
}

/* Takes `text`, also on failure. */
static int add_taken(struct hk_strv *list, char *text)
{
    if (text == NULL)
        return -ENOMEM;
    if (list->count + 1 >= list->room && grow(list) != 0) {
        free(text);
        return -ENOMEM;
    }
    list->v[list->count++] = text;
    list->v[list->count] = NULL;
    return 0;
}

int hk_strv_add(struct hk_strv *list, const char *text, size_t len)
{
    return add_taken(list, hk_text_copy(text, len));
}

void hk_strv_fini(struct hk_strv *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->v[i]);
    free(list->v);
    *list = (struct hk_strv){0};
}

/* The place of the variable that `text` names up to a '=' or its end. */
static char **find(const struct hk_strv *env, const char *text, size_t len)
{
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->v[i], text, len) == 0 && env->v[i][len] == '=')
            return &env->v[i];
    }
    return NULL;
}

const char *hk_env_get(const struct hk_strv *env, const char *key)
{
    size_t len = strlen(key);
    char **at = find(env, key, len);
    return at != NULL ? *at + len + 1 : NULL;
}

int hk_env_put(struct hk_strv *env, const char *assignment)
{
    size_t len = strcspn(assignment, "=");
    if (len == 0 || assignment[len] == '\0')
        return 0;
    char **at = find(env, assignment, len);
    if (at != NULL)
        return hk_text_set(at, assignment, strlen(assignment));
    return hk_strv_add(env, assignment, strlen(assignment));
}

int hk_env_set(struct hk_strv *env, const char *key, const char *value)
{
    size_t key_len = strlen(key), len = strlen(value);
    char *text = malloc(key_len + len + 2);
    if (text == NULL)
        return -ENOMEM;
    memcpy(text, key, key_len);
    text[key_len] = '=';
    memcpy(text + key_len + 1, value, len + 1);
    int rc = hk_env_put(env, text);
    free(text);
    return rc;
}

int hk_env_default(struct hk_strv *env, const char *key, const char *value)
{
    return hk_env_get(env, key) != NULL ? 0 : hk_env_set(env, key, value);
}
