/*
 * Strings that callers of krun_* hand in: checked, copied, kept.
 */
#include "api/krun_int.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/*
 * The length of the well-formed UTF-8 sequence at `s`, or 0. Surrogates,
 * longer forms than needed and numbers above U+10FFFF are not well-formed
 * (Unicode, table 3-7). The NUL at the end stops every comparison in time.
 */
static size_t sequence(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t more;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        more = 1;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        more = 2;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        more = 3;
    else
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    if (s[0] == 0xed)
        high = 0x9f;
    if (s[0] == 0xf0)
        low = 0x90;
    if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return more + 1;
}

bool hk_krun_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s != '\0') {
        size_t len = sequence(s);
        if (len == 0)
            return false;
        s += len;
    }
    return true;
}

int hk_krun_copy_text(const char *text, char **out)
{
    if (text == NULL || !hk_krun_is_utf8(text))
        return -HK_EINVAL;
    *out = strdup(text);
    return *out != NULL ? 0 : -HK_ENOMEM;
}

int hk_krun_copy_optional(const char *text, char **out)
{
    *out = NULL;
    return text == NULL ? 0 : hk_krun_copy_text(text, out);
}

int hk_krun_copy_array(const char *const array[], hk_krun_strings *out)
{
    if (array == NULL)
        return -HK_EINVAL;
    size_t count = 0;
    while (count < HK_KRUN_ARRAY_MAX && array[count] != NULL)
        count++;
    hk_krun_strings copy = calloc(count + 1, sizeof(*copy));
    int rc = copy != NULL ? 0 : -HK_ENOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = hk_krun_copy_text(array[i], &copy[i]);
    if (rc != 0) {
        hk_krun_strings_free(copy);
        return rc;
    }
    *out = copy;
    return 0;
}

void hk_krun_strings_free(hk_krun_strings strings)
{
    if (strings == NULL)
        return;
    for (size_t i = 0; strings[i] != NULL; i++)
        free(strings[i]);
    free(strings);
}

int hk_krun_set_text(uint32_t ctx_id, int rc, char *take_text, size_t slot)
{
    struct hk_krun *ctx = rc == 0 ? hk_krun_begin(ctx_id) : NULL;
    char *old = take_text;
    if (ctx != NULL) {
        char **place = (char **)(void *)((char *)ctx + slot);
        old = *place;
        *place = take_text;
        hk_krun_end();
    }
    if (rc == 0)
        free(old);
    return rc != 0 || ctx != NULL ? rc : -HK_ENOENT;
}

int hk_krun_set_strings(uint32_t ctx_id, int rc, hk_krun_strings take_strings,
                        size_t slot)
{
    struct hk_krun *ctx = rc == 0 ? hk_krun_begin(ctx_id) : NULL;
    hk_krun_strings old = take_strings;
    if (ctx != NULL) {
        hk_krun_strings *place =
            (hk_krun_strings *)(void *)((char *)ctx + slot);
        old = *place;
        *place = take_strings;
        hk_krun_end();
    }
    if (rc == 0)
        hk_krun_strings_free(old);
    return rc != 0 || ctx != NULL ? rc : -HK_ENOENT;
}
