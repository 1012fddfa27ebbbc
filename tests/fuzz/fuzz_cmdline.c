/* The command line builder: the input is a list of NUL-ended words; the first
 * byte of each says what to do with it. */
#include "boot/cmdline.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int apply(struct hk_cmdline *line, char op, const char *word,
                 struct hk_errmsg *err)
{
    switch (op & 7) {
    case 0:
        return hk_cmdline_add(line, word, err);
    case 1:
        return hk_cmdline_add_value(line, "key", word, err);
    case 2:
        return hk_cmdline_add_value(line, word, "value", err);
    case 3:
        return hk_cmdline_set(line, "key", word, err);
    case 4:
        return hk_cmdline_set(line, word, "value", err);
    case 5:
        return hk_cmdline_add_arg(line, word, err);
    case 6:
        return hk_cmdline_add_default(line, word, err);
    default:
        return hk_cmdline_add_virtio(line, strlen(word) << 12, 4096, 5, err);
    }
}

/* True when the text is as long as it says, printable, and within bounds. */
static bool is_sane(const struct hk_cmdline *line)
{
    return line->len <= line->max && strlen(line->text) == line->len &&
           hk_cmdline_check(line->text, line->max, NULL) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hk_cmdline line;
    struct hk_cmdline_defaults defaults = {.console = "ttyS0"};
    struct hk_errmsg err;
    char before[65];

    if (hk_cmdline_init(&line, sizeof(before) - 1))
        return 0;
    while (size > 1) {
        const uint8_t *end = memchr(data + 1, 0, size - 1);
        if (!end)
            break;
        memcpy(before, line.text, line.len + 1);
        int rc = apply(&line, (char)data[0], (const char *)data + 1, &err);
        if (!is_sane(&line) || (rc && strcmp(before, line.text) != 0))
            abort();
        size -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    line.len = 0;
    line.text[0] = '\0';
    if (hk_cmdline_add_defaults(&line, &defaults, &err) == 0)
        abort(); /* 64 bytes are too few for all of them */
    if (!is_sane(&line))
        abort();
    hk_cmdline_fini(&line);
    return 0;
}
