/* The manifest of a kernel folder: reading and writing its text. */
#include "guest/kernel_folder.h"

#include "guest/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
    const char *text;
    size_t len;
    unsigned number;
    struct hk_errmsg *err;
};

static int refuse(const struct line *line, const char *why)
{
    return hk_err_set(line->err, -HK_EBADMSG,
                      "line %u of the manifest: %s; import the kernel again",
                      line->number, why);
}

static bool is_plain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || (c != '\0' && strchr("._+-", c) != NULL);
}

static bool is_plain(const char *name, size_t len)
{
    if (len == 0 || len >= HK_KERNEL_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_plain_char(name[i]))
            return false;
    }
    return true;
}

bool hk_kernel_name_is_plain(const char *name)
{
    return is_plain(name, strlen(name));
}

/* The next word of the line, which loses it. */
static struct line take_word(struct line *line, const char *separators)
{
    struct line word = *line;
    word.len = 0;
    while (word.len < line->len &&
           strchr(separators, line->text[word.len]) == NULL)
        word.len++;
    size_t used = word.len + (word.len < line->len ? 1 : 0);
    line->text += used;
    line->len -= used;
    return word;
}

static bool is_word(const struct line *word, const char *text)
{
    return strlen(text) == word->len &&
           memcmp(word->text, text, word->len) == 0;
}

static int take_name(struct line *line, char *name)
{
    struct line word = take_word(line, " ");
    if (!is_plain(word.text, word.len))
        return refuse(line, "a name in it is none");
    memset(name, 0, HK_KERNEL_NAME_MAX);
    memcpy(name, word.text, word.len);
    return 0;
}

static int take_functions(struct line *line, const char *separators,
                          uint32_t *functions)
{
    while (line->len > 0) {
        struct line word = take_word(line, separators);
        uint32_t bit = hk_kernel_function_find(word.text, word.len);
        if (bit == 0)
            return refuse(line, "it names a function that is none");
        *functions |= bit;
    }
    return 0;
}

static int take_devices(struct line *line, struct hk_kernel_manifest *manifest)
{
    struct line word = take_word(line, " ");
    manifest->devices_from_cmdline = is_word(&word, "cmdline");
    if (manifest->devices_from_cmdline || is_word(&word, "acpi"))
        return 0;
    return refuse(line, "devices come from acpi or cmdline");
}

static int take_module(struct line *line, struct hk_kernel_manifest *manifest)
{
    if (manifest->module_count == HK_KERNEL_MODULES_MAX)
        return refuse(line, "there are too many modules");
    struct hk_kernel_module *module =
        &manifest->module[manifest->module_count++];
    int rc = take_name(line, module->file);
    return rc == 0 ? take_functions(line, ",", &module->functions) : rc;
}

static int take_line(struct line *line, struct hk_kernel_manifest *manifest)
{
    struct line key = take_word(line, " ");
    if (is_word(&key, "release"))
        return take_name(line, manifest->release);
    if (is_word(&key, "image"))
        return take_name(line, manifest->image);
    if (is_word(&key, "devices"))
        return take_devices(line, manifest);
    if (is_word(&key, "builtin"))
        return take_functions(line, " ", &manifest->builtin);
    if (is_word(&key, "module"))
        return take_module(line, manifest);
    return refuse(line, "it is of no kind that this version knows");
}

int hk_kernel_manifest_parse(const char *text,
                             struct hk_kernel_manifest *manifest,
                             struct hk_errmsg *err)
{
    struct line line = {.number = 0, .err = err};

    memset(manifest, 0, sizeof(*manifest));
    while (*text != '\0') {
        line.text = text;
        line.len = strcspn(text, "\n");
        line.number++;
        text += line.len;
        text += *text == '\n';
        if (line.number == 1 && !is_word(&line, HK_KERNEL_MANIFEST_FIRST))
            return refuse(&line,
                          "it is not of a kernel folder of this version");
        int rc = line.number > 1 ? take_line(&line, manifest) : 0;
        if (rc == 0 && line.number > 1 && line.len > 0)
            rc = refuse(&line, "there is something after its end");
        if (rc != 0)
            return rc;
    }
    if (manifest->image[0] != '\0' && manifest->release[0] != '\0')
        return 0;
    return refuse(&line, "the kernel or its release is missing before it");
}

static void add_text(struct hk_bytes *out, const char *text)
{
    hk_bytes_add(out, text, strlen(text));
}

static void add_functions(struct hk_bytes *out, uint32_t functions,
                          const char *separator)
{
    const char *before = " ";
    for (size_t i = 0; i < HK_KERNEL_FUNCTIONS; i++) {
        if ((functions >> i & 1) == 0)
            continue;
        add_text(out, before);
        add_text(out, hk_kernel_function_name(i));
        before = separator;
    }
    add_text(out, "\n");
}

char *hk_kernel_manifest_format(const struct hk_kernel_manifest *manifest)
{
    struct hk_bytes out = {0};
    uint8_t *text;
    size_t len;

    add_text(&out, HK_KERNEL_MANIFEST_FIRST "\nrelease ");
    add_text(&out, manifest->release);
    add_text(&out, "\nimage ");
    add_text(&out, manifest->image);
    add_text(&out, manifest->devices_from_cmdline ? "\ndevices cmdline"
                                                  : "\ndevices acpi");
    add_text(&out, "\nbuiltin");
    add_functions(&out, manifest->builtin, " ");
    for (size_t i = 0; i < manifest->module_count; i++) {
        add_text(&out, "module ");
        add_text(&out, manifest->module[i].file);
        add_functions(&out, manifest->module[i].functions, ",");
    }
    hk_bytes_add(&out, "", 1);
    return hk_bytes_take(&out, &text, &len) == 0 ? (char *)text : NULL;
}
