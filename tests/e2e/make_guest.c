/*
 * make_guest OUT WORD...: writes the first file system of a guest with our
 * init and its configuration, as the library does for a VM with a root.
 *
 *     exec=PATH arg=TEXT env=K=V workdir=DIR user=WHO hostname=NAME
 *     rlimit=TEXT console=NAME    the record of that kind
 *     flags=NUMBER                enum hk_cfg_flags
 *     rows=N,M                    the size of the terminal
 *     root=TYPE,SOURCE[,OPTIONS]  root record;  mount=TYPE,SOURCE,TARGET
 *     kernel=FOLDER,NAME,...      the modules for these functions out of a
 *                                 kernel folder
 *     file=SOURCE:PATH            a file in the archive, with mode 755
 *     dir=PATH                    a folder in the archive
 */
#include "guest/init_config.h"
#include "guest/initramfs.h"
#include "guest/kernel_folder.h"
#include "os/file.h"
#include "wire/init_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 28, FIELDS = 3 };

static struct hk_initramfs archive;
static struct hk_init_config config;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "make_guest: %s: %s\n", what, why);
    exit(1);
}

static void add_file(const char *source, const char *path)
{
    struct hk_errmsg err;
    uint8_t *data;
    uint64_t len;
    if (hk_os_file_read_all(source, FILE_MAX, &data, &len, &err) != 0)
        fail(source, err.text);
    hk_initramfs_add_file(&archive, path, 0755, data, len);
    free(data);
}

static void add_modules(char *text)
{
    struct hk_kernel_folder *folder;
    struct hk_errmsg err;
    uint32_t functions = 0;

    char *names = strchr(text, ',');
    while (names != NULL) {
        *names++ = '\0';
        size_t len = strcspn(names, ",");
        uint32_t bit = hk_kernel_function_find(names, len);
        if (bit == 0)
            fail(names, "no such function");
        functions |= bit;
        names = names[len] == ',' ? names + len : NULL;
    }
    if (hk_kernel_folder_open(text, &folder, &err) != 0 ||
        hk_kernel_folder_add_modules(folder, functions, &archive, &config,
                                     &err) != 0)
        fail(text, err.text);
    hk_kernel_folder_close(folder);
}

/* Splits at commas, in place. */
static void add_mount(unsigned kind, char *text)
{
    char *field[FIELDS] = {text};
    for (int i = 1; i < FIELDS && field[i - 1] != NULL; i++) {
        field[i] = strchr(field[i - 1], ',');
        if (field[i] != NULL)
            *field[i]++ = '\0';
    }
    if (field[1] == NULL)
        fail(text, "a mount has a type and a source");
    struct hk_init_mount mount = {.type = field[0], .source = field[1]};
    if (kind == HK_CFG_ROOT)
        mount.options = field[2];
    else
        mount.target = field[2];
    hk_init_config_add_mount(&config, kind, &mount);
}

static int add_text(const char *key, const char *value)
{
    static const struct {
        const char *key;
        unsigned kind;
    } texts[] = {
        {"exec", HK_CFG_EXEC},     {"arg", HK_CFG_ARG},
        {"env", HK_CFG_ENV},       {"workdir", HK_CFG_WORKDIR},
        {"user", HK_CFG_USER},     {"hostname", HK_CFG_HOSTNAME},
        {"rlimit", HK_CFG_RLIMIT}, {"console", HK_CFG_CONSOLE},
    };
    for (size_t i = 0; i < HK_COUNT(texts); i++) {
        if (strcmp(key, texts[i].key) != 0)
            continue;
        hk_init_config_add_text(&config, texts[i].kind, value);
        return 1;
    }
    return 0;
}

static void add_word(char *word)
{
    char *value = strchr(word, '=');
    if (value == NULL)
        fail(word, "not KEY=VALUE");
    *value++ = '\0';
    if (add_text(word, value))
        return;
    char *colon = strchr(value, ':');
    char *end = value;
    if (strcmp(word, "flags") == 0) {
        hk_init_config_add_flags(&config, (uint32_t)strtoul(value, NULL, 0));
    } else if (strcmp(word, "rows") == 0) {
        unsigned long rows = strtoul(value, &end, 10);
        hk_init_config_add_size(&config, (uint16_t)rows,
                                (uint16_t)strtoul(end + 1, NULL, 10));
    } else if (strcmp(word, "root") == 0) {
        add_mount(HK_CFG_ROOT, value);
    } else if (strcmp(word, "mount") == 0) {
        add_mount(HK_CFG_MOUNT, value);
    } else if (strcmp(word, "kernel") == 0) {
        add_modules(value);
    } else if (strcmp(word, "dir") == 0) {
        hk_initramfs_add_dir(&archive, value, 0755);
    } else if (strcmp(word, "file") == 0 && colon != NULL) {
        *colon = '\0';
        add_file(value, colon + 1);
    } else {
        fail(word, "unknown word");
    }
}

static void write_out(const char *path)
{
    struct hk_errmsg err;
    uint8_t *data;
    size_t len;

    if (hk_init_config_take(&config, &data, &len, &err) != 0)
        fail(path, err.text);
    hk_initramfs_add_file(&archive, HK_CFG_PATH + 1, 0400, data, len);
    free(data);
    if (hk_initramfs_take(&archive, &data, &len, &err) != 0)
        fail(path, err.text);
    FILE *out = fopen(path, "wb");
    if (out == NULL || fwrite(data, 1, len, out) != len || fclose(out) != 0)
        fail(path, "cannot write it");
    free(data);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        fail("usage", "make_guest OUT WORD...");
    hk_initramfs_init(&archive);
    hk_initramfs_add_base(&archive);
    hk_init_config_init(&config);
    for (int i = 2; i < argc; i++)
        add_word(argv[i]);
    write_out(argv[1]);
    hk_init_config_fini(&config);
    hk_initramfs_fini(&archive);
    return 0;
}
