/*
 * The descriptor of a VMDK image:
 *
 *     # Disk DescriptorFile
 *     parentCID=ffffffff
 *     createType="monolithicFlat"
 *     RW 204800 FLAT "disk-flat.vmdk" 0
 */
#include "disk/vmdk_int.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024 };

#define SECTORS_MAX (INT64_MAX / VMDK_SECTOR)

static const char *const create_types[] = {
    "monolithicSparse",   "monolithicFlat",  "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat", "streamOptimized",
};

static bool is_known_type(const char *type)
{
    for (size_t i = 0; i < HK_COUNT(create_types); i++)
        if (strcmp(type, create_types[i]) == 0)
            return true;
    return false;
}

/* KEY=VALUE or KEY = "VALUE"; the value is cut out of `line` in place. */
static char *value_of(char *line, const char *key)
{
    size_t len = strlen(key);
    if (strncmp(line, key, len) != 0)
        return NULL;
    char *at = line + len;
    at += strspn(at, " \t");
    if (*at++ != '=')
        return NULL;
    at += strspn(at, " \t\"");
    at[strcspn(at, "\"\r")] = '\0';
    return at;
}

static bool parse_number(char **at, uint64_t *out)
{
    char *end;
    *at += strspn(*at, " \t");
    if (**at < '0' || **at > '9')
        return false;
    unsigned long long number = strtoull(*at, &end, 10);
    *at = end;
    *out = number;
    return number <= SECTORS_MAX;
}

static bool parse_word(char **at, char *word, size_t size)
{
    *at += strspn(*at, " \t");
    size_t len = strcspn(*at, " \t\r");
    if (len == 0 || len >= size)
        return false;
    memcpy(word, *at, len);
    word[len] = '\0';
    *at += len;
    return true;
}

static bool parse_quoted(char **at, char *text, size_t size)
{
    *at += strspn(*at, " \t");
    if (**at != '"')
        return false;
    size_t len = strcspn(*at + 1, "\"");
    if (len == 0 || len >= size || (*at)[1 + len] != '"')
        return false;
    memcpy(text, *at + 1, len);
    text[len] = '\0';
    *at += len + 2;
    return true;
}

static int bad_line(const char *line, struct hk_errmsg *err)
{
    return hk_err_set(err, -HK_EBADMSG,
                      "a line of its descriptor makes no sense: %.100s", line);
}

static int parse_extent(char *text, struct vmdk_line *line,
                        struct hk_errmsg *err)
{
    char *at = text, word[32];
    if (!parse_word(&at, word, sizeof(word)) ||
        !parse_number(&at, &line->sectors) ||
        !parse_word(&at, word, sizeof(word)) || line->sectors == 0)
        return bad_line(text, err);
    if (strcmp(word, "ZERO") == 0) {
        line->kind = VMDK_HOLE;
        return 0;
    }
    if (strcmp(word, "FLAT") != 0 && strcmp(word, "SPARSE") != 0)
        return hk_err_set(err, -HK_ENOTSUP,
                          "extents of the kind %s are not supported; "
                          "`qemu-img convert` makes a qcow2 image of it",
                          word);
    line->kind = word[0] == 'F' ? VMDK_FLAT : VMDK_SPARSE;
    if (!parse_quoted(&at, line->file, sizeof(line->file)))
        return bad_line(text, err);
    if (line->kind == VMDK_FLAT && !parse_number(&at, &line->first))
        return bad_line(text, err);
    return 0;
}

static bool is_extent(const char *line)
{
    static const char *const access[] = {"RW ", "RDONLY ", "NOACCESS "};
    for (size_t i = 0; i < HK_COUNT(access); i++)
        if (strncmp(line, access[i], strlen(access[i])) == 0)
            return true;
    return false;
}

static int add_extent(char *text, struct vmdk_descriptor *out,
                      struct hk_errmsg *err)
{
    if (out->count == VMDK_EXTENTS_MAX)
        return hk_err_set(err, -HK_ENOTSUP, "it has more than %d extents",
                          VMDK_EXTENTS_MAX);
    struct vmdk_line *line =
        realloc(out->line, (out->count + 1) * sizeof(*line));
    if (!line)
        return hk_err_set(err, -HK_ENOMEM, "out of memory");
    out->line = line;
    memset(&line[out->count], 0, sizeof(*line));
    return parse_extent(text, &line[out->count++], err);
}

static int parse_line(char *line, struct vmdk_descriptor *out,
                      struct hk_errmsg *err)
{
    char *value = value_of(line, "parentCID");
    if (value && strcmp(value, "ffffffff") != 0)
        return hk_err_set(err, -HK_ENOTSUP,
                          "it only holds the difference to another image; "
                          "`qemu-img convert` makes one image of both");
    value = value_of(line, "createType");
    if (value && !is_known_type(value))
        return hk_err_set(err, -HK_ENOTSUP,
                          "images of the kind %.60s are not supported; "
                          "`qemu-img convert` makes a qcow2 image of it",
                          value);
    return is_extent(line) ? add_extent(line, out, err) : 0;
}

int vmdk_descriptor_parse(const char *text, struct vmdk_descriptor *out,
                          struct hk_errmsg *err)
{
    char line[LINE_MAX_BYTES];
    int rc = 0;
    *out = (struct vmdk_descriptor){0};
    while (rc == 0 && *text) {
        size_t len = strcspn(text, "\n");
        if (len >= sizeof(line)) {
            rc = hk_err_set(err, -HK_EBADMSG,
                            "a line of its descriptor is too long");
            break;
        }
        memcpy(line, text, len);
        line[len] = '\0';
        rc = parse_line(line, out, err);
        text += len + (text[len] == '\n');
    }
    if (rc == 0 && out->count == 0)
        rc = hk_err_set(err, -HK_EBADMSG, "its descriptor names no extent");
    if (rc < 0) {
        free(out->line);
        out->line = NULL;
    }
    return rc;
}
