/* Reading a container's configuration file. */
#include "spec.h"

#include "json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Adds the strings of an array. */
static int add_strings(const struct hk_json *json, uint32_t array,
                       struct hk_strv *list)
{
    if (array == HK_JSON_NONE)
        return 0;
    for (uint32_t at = hk_json_first(json, array); at != HK_JSON_NONE;
         at = hk_json_next(json, array, at)) {
        if (json->node[at].type != HK_JSON_STRING)
            continue;
        char *text = hk_json_text(json, at);
        if (text == NULL)
            continue;
        int rc = hk_strv_add(list, text, strlen(text));
        free(text);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* The first of some keys that has a value of the type. */
static uint32_t get_any(const struct hk_json *json, uint32_t object,
                        const char *const keys[], enum hk_json_type type)
{
    for (; *keys != NULL; keys++) {
        uint32_t value = hk_json_get(json, object, *keys, type);
        if (value != HK_JSON_NONE)
            return value;
    }
    return HK_JSON_NONE;
}

/* Entrypoint and command, environment and folder out of one object; what an
 * earlier object gave stays. */
static int take_object(const struct hk_json *json, uint32_t object,
                       struct hk_spec *spec)
{
    static const char *const entry[] = {"entrypoint", NULL};
    static const char *const args[] = {"args", "cmd", NULL};
    static const char *const env[] = {"env", NULL};
    static const char *const cwd[] = {"cwd", "workingdir", NULL};
    int rc = 0;

    if (spec->args.count == 0) {
        rc = add_strings(json, get_any(json, object, entry, HK_JSON_ARRAY),
                         &spec->args);
        if (rc == 0)
            rc = add_strings(json, get_any(json, object, args, HK_JSON_ARRAY),
                             &spec->args);
    }
    if (rc == 0 && spec->env.count == 0)
        rc = add_strings(json, get_any(json, object, env, HK_JSON_ARRAY),
                         &spec->env);
    uint32_t folder = get_any(json, object, cwd, HK_JSON_STRING);
    if (spec->cwd == NULL && folder != HK_JSON_NONE)
        spec->cwd = hk_json_text(json, folder);
    return rc;
}

static bool has_word(const struct hk_json *json, uint32_t object,
                     const char *key, const char *word)
{
    uint32_t at = hk_json_get(json, object, key, HK_JSON_STRING);
    if (at == HK_JSON_NONE)
        return false;
    const struct hk_json_node *n = &json->node[at];
    return n->len == strlen(word) &&
           memcmp(json->text + n->start, word, n->len) == 0;
}

static int take_mounts(const struct hk_json *json, struct hk_spec *spec)
{
    uint32_t mounts = hk_json_get(json, 0, "mounts", HK_JSON_ARRAY);
    if (mounts == HK_JSON_NONE)
        return 0;
    for (uint32_t at = hk_json_first(json, mounts); at != HK_JSON_NONE;
         at = hk_json_next(json, mounts, at)) {
        if (!has_word(json, at, "type", "tmpfs") ||
            !has_word(json, at, "source", "tmpfs"))
            continue;
        uint32_t where = hk_json_get(json, at, "destination", HK_JSON_STRING);
        char *path = where != HK_JSON_NONE ? hk_json_text(json, where) : NULL;
        if (path == NULL)
            continue;
        int rc = hk_strv_add(&spec->tmpfs, path, strlen(path));
        free(path);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int take_all(const struct hk_json *json, struct hk_spec *spec)
{
    static const char *const objects[] = {"process", "config"};
    int rc = 0;

    for (int i = 0; i < 2 && rc == 0; i++) {
        uint32_t object = hk_json_get(json, 0, objects[i], HK_JSON_OBJECT);
        if (object != HK_JSON_NONE)
            rc = take_object(json, object, spec);
    }
    if (rc == 0)
        rc = take_object(json, 0, spec);
    return rc == 0 ? take_mounts(json, spec) : rc;
}

int hk_spec_parse(const char *text, size_t size, struct hk_spec *spec)
{
    struct hk_json json;

    *spec = (struct hk_spec){0};
    int rc = hk_json_parse(text, size, &json);
    if (rc != 0)
        return rc;
    rc = take_all(&json, spec);
    hk_json_fini(&json);
    if (rc != 0)
        hk_spec_fini(spec);
    return rc;
}

void hk_spec_fini(struct hk_spec *spec)
{
    hk_strv_fini(&spec->args);
    hk_strv_fini(&spec->env);
    hk_strv_fini(&spec->tmpfs);
    free(spec->cwd);
    *spec = (struct hk_spec){0};
}
