/*
 * Error numbers and sentences: lookups in the one list of err.h, and the
 * bounded formatting of a sentence.
 */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static unsigned int magnitude(int code)
{
    return code < 0 ? 0u - (unsigned int)code : (unsigned int)code;
}

const char *hk_err_text(int code)
{
    switch (magnitude(code)) {
    case 0:
        return "no error";
#define TEXT_CASE(name, number, text) \
    case number:                      \
        return text;
        HK_ERR_LIST(TEXT_CASE)
#undef TEXT_CASE
    }
    return "unknown error";
}

const char *hk_err_name(int code)
{
    switch (magnitude(code)) {
    case 0:
        return "OK";
#define NAME_CASE(name, number, text) \
    case number:                      \
        return #name;
        HK_ERR_LIST(NAME_CASE)
#undef NAME_CASE
    }
    return "EUNKNOWN";
}

/*
 * Arguments may point into msg->text, so the result is built aside. They may
 * be names of files or what a user typed: one line stays one line.
 */
static void replace(struct hk_errmsg *msg, const char *format, va_list args)
{
    struct hk_errmsg made;
    if (vsnprintf(made.text, sizeof(made.text), format, args) < 0)
        made.text[0] = '\0';
    for (char *p = made.text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    *msg = made;
}

int hk_err_set(struct hk_errmsg *msg, int code, const char *format, ...)
{
    if (msg == NULL)
        return code;
    va_list args;
    va_start(args, format);
    replace(msg, format, args);
    va_end(args);
    return code;
}

int hk_err_prepend(struct hk_errmsg *msg, int code, const char *format, ...)
{
    if (msg == NULL)
        return code;
    struct hk_errmsg present = *msg;
    va_list args;
    va_start(args, format);
    replace(msg, format, args);
    va_end(args);

    size_t used = strlen(msg->text);
    snprintf(msg->text + used, sizeof(msg->text) - used, ": %s", present.text);
    return code;
}
