/*
 * Numbers and words on the command line.
 */
#include "cli.h"

#include <ctype.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads digits; false when there is none or the number is too large. */
static bool read_number(const char **text, uint64_t *out)
{
    const char *p = *text;
    uint64_t value = 0;
    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p); p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    }
    *text = p;
    *out = value;
    return true;
}

int cli_parse_count(const char *option, const char *text, unsigned *out)
{
    const char *p = text;
    uint64_t value;
    if (!read_number(&p, &value) || *p != '\0' || value > UINT32_MAX)
        return cli_fail("%s wants a whole number, not '%s'", option, text);
    *out = (unsigned)value;
    return CLI_OK;
}

/* The power of two that a unit stands for; false for anything else. */
static bool read_unit(const char *unit, unsigned *shift)
{
    static const char letters[] = "KMGT";
    *shift = 0;
    if (*unit == '\0')
        return true;
    const char *at = strchr(letters, toupper((unsigned char)*unit));
    if (at == NULL)
        return false;
    *shift = 10 * ((unsigned)(at - letters) + 1);
    unit++;
    return *unit == '\0' || strcmp(unit, "B") == 0 || strcmp(unit, "iB") == 0;
}

int cli_parse_size(const char *option, const char *text, uint64_t *bytes)
{
    const char *p = text;
    uint64_t value;
    unsigned shift;
    if (!read_number(&p, &value) || !read_unit(p, &shift))
        return cli_fail("%s wants a size such as 512M or 2G, not '%s'", option,
                        text);
    if (value > UINT64_MAX >> shift)
        return cli_fail("%s: '%s' is more than any host has", option, text);
    *bytes = value << shift;
    return CLI_OK;
}

int cli_parse_seconds(const char *option, const char *text, uint64_t *ms)
{
    const char *p = text;
    uint64_t seconds, thousandths = 0;
    bool good = read_number(&p, &seconds) && seconds <= UINT32_MAX;
    if (good && *p == '.') {
        uint64_t digit_worth = 100;
        for (p++; isdigit((unsigned char)*p); p++) {
            thousandths += (uint64_t)(*p - '0') * digit_worth;
            digit_worth /= 10;
        }
    }
    if (!good || *p != '\0' || seconds * 1000 + thousandths == 0)
        return cli_fail("%s wants seconds, more than 0, not '%s'", option,
                        text);
    *ms = seconds * 1000 + thousandths;
    return CLI_OK;
}

int cli_parse_choice(const char *option, const char *text, const char *a,
                     const char *b, bool *second)
{
    *second = strcmp(text, b) == 0;
    if (*second || strcmp(text, a) == 0)
        return CLI_OK;
    return cli_fail("%s wants %s or %s, not '%s'", option, a, b, text);
}

int cli_parse_level(const char *option, const char *text, int *level)
{
    static const char *const names[] = {"off",  "error", "warn",
                                        "info", "debug", "trace"};
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
        if (strcmp(text, names[i]) == 0) {
            *level = i;
            return CLI_OK;
        }
    }
    return cli_fail("%s wants off, error, warn, info, debug or trace, not '%s'",
                    option, text);
}

int cli_bad_option(int argc, char **argv, int option)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    if (option == ':')
        return cli_fail("%s needs a value; 'husk %s --help' lists the options",
                        word, argv[0]);
    if (optopt > 0 && optopt < 256)
        return cli_fail("there is no option -%c; 'husk %s --help' lists them",
                        optopt, argv[0]);
    return cli_fail("there is no option %s; 'husk %s --help' lists them", word,
                    argv[0]);
}

/* One word after the path; 0, or CLI_FAILED. */
static int read_disk_word(const char *word, int *format, unsigned *flags)
{
    static const char *const formats[] = {
        [HUSK_DISK_RAW] = "format=raw",
        [HUSK_DISK_QCOW2] = "format=qcow2",
        [HUSK_DISK_VMDK] = "format=vmdk",
    };
    if (strcmp(word, "ro") == 0) {
        *flags |= HUSK_DISK_READ_ONLY;
        return CLI_OK;
    }
    for (int i = 0; i < (int)(sizeof(formats) / sizeof(formats[0])); i++) {
        if (strcmp(word, formats[i]) == 0) {
            *format = i;
            return CLI_OK;
        }
    }
    return cli_fail("--disk wants PATH[,ro][,format=raw|qcow2|vmdk]; '%s' is "
                    "none of them",
                    word);
}

int cli_add_disk(struct husk_vm *vm, const char *text)
{
    int format = HUSK_DISK_RAW;
    unsigned flags = 0;
    char *path = strdup(text);
    if (path == NULL)
        return cli_fail("out of memory");
    int rc = CLI_OK;
    char *comma = strchr(path, ',');
    while (rc == CLI_OK && comma != NULL) {
        char *word = comma + 1;
        *comma = '\0';
        comma = strchr(word, ',');
        if (comma != NULL)
            *comma = '\0';
        rc = read_disk_word(word, &format, &flags);
    }
    if (rc == CLI_OK &&
        husk_vm_add_disk(vm, NULL, path, format, HUSK_SYNC_FULL, flags) != 0)
        rc = cli_fail("%s", husk_vm_error(vm));
    free(path);
    return rc;
}

void cli_format_size(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, size, "%.*f %s", unit == 0 ? 0 : 1, value,
                   units[unit]);
}
