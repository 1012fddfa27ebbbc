/*
 * Not a client of its own: each word before "--" is one call, so that tests
 * can say which rule they look at.
 *
 *     settings ROOT [WORD...] [-- COMMAND [ARG...]]
 *
 *     env=K=V workdir=DIR rlimit=R inherit noenv readonly uid=N gid=N
 *     console=FILE noconsole cpus=N oneshot=NAME=TEXT file=NAME=TEXT
 *     noinit (no init in the root) init=FILE (that one there)
 *     defaultinit (the library's own there) again (the root a second time)
 */
#include "client.h"

#include "libkrun.h"

enum { WORDS_MAX = 64 };

struct settings {
    const char *root;
    const char *env[WORDS_MAX];
    const char *rlimits[WORDS_MAX];
    size_t env_count, rlimit_count;
    int has_env, read_only, no_init, again;
};

/* The rest of the word after "NAME=", or NULL. */
static const char *value_of(const char *word, const char *name)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && word[len] == '=' ? word + len + 1
                                                             : NULL;
}

static void add_file(uint32_t id, const char *text, int one_shot)
{
    char name[64];
    const char *equals = strchr(text, '=');
    (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
    OK(krun_fs_add_overlay_file(id, KRUN_FS_ROOT_TAG, name,
                                (const uint8_t *)equals + 1, strlen(equals + 1),
                                0444, one_shot != 0));
}

/* The file becomes /init.krun. */
static void add_init(uint32_t id, const char *path)
{
    enum { ROOM = 65536 };
    static uint8_t text[ROOM];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        exit(CLIENT_FAILED);
    size_t len = fread(text, 1, ROOM, file);
    fclose(file);
    OK(krun_fs_add_overlay_file(id, KRUN_FS_ROOT_TAG, "init.krun", text, len,
                                0755, false));
}

static void add_default_init(uint32_t id)
{
    const uint8_t *data = NULL;
    size_t len = 0;
    OK(krun_get_default_init(&data, &len));
    OK(krun_fs_add_overlay_file(id, KRUN_FS_ROOT_TAG, "init.krun", data, len,
                                0755, true));
}

/* Words that are needed before the root is added. */
static void take_early(struct settings *s, const char *word)
{
    const char *value;
    if ((value = value_of(word, "env")) != NULL)
        s->env[s->env_count++] = value;
    if ((value = value_of(word, "rlimit")) != NULL)
        s->rlimits[s->rlimit_count++] = value;
    if (strcmp(word, "noenv") == 0 || value_of(word, "env") != NULL)
        s->has_env = 1;
    if (strcmp(word, "readonly") == 0)
        s->read_only = 1;
    if (strcmp(word, "noinit") == 0)
        s->no_init = 1;
    if (strcmp(word, "again") == 0)
        s->again = 1;
}

static void take_late(uint32_t id, const char *word)
{
    const char *value;
    if ((value = value_of(word, "workdir")) != NULL)
        OK(krun_set_workdir(id, value));
    if ((value = value_of(word, "uid")) != NULL)
        OK(krun_setuid(id, (uint32_t)strtoul(value, NULL, 10)));
    if ((value = value_of(word, "gid")) != NULL)
        OK(krun_setgid(id, (uint32_t)strtoul(value, NULL, 10)));
    if ((value = value_of(word, "cpus")) != NULL)
        OK(krun_set_vm_config(id, (uint8_t)strtoul(value, NULL, 10), 256));
    if ((value = value_of(word, "console")) != NULL)
        OK(krun_set_console_output(id, value));
    if ((value = value_of(word, "oneshot")) != NULL)
        add_file(id, value, 1);
    if ((value = value_of(word, "file")) != NULL)
        add_file(id, value, 0);
    if ((value = value_of(word, "init")) != NULL)
        add_init(id, value);
    if (strcmp(word, "defaultinit") == 0)
        add_default_init(id);
    if (strcmp(word, "noconsole") == 0)
        OK(krun_disable_implicit_console(id));
}

int main(int argc, char **argv)
{
    struct settings s = {.root = argv[1]};
    int end = 2;
    while (end < argc && strcmp(argv[end], "--") != 0)
        take_early(&s, argv[end++]);
    uint32_t id = (uint32_t)NUMBER(krun_create_ctx());
    OK(krun_set_vm_config(id, 1, 256));
    if (s.no_init)
        OK(krun_disable_implicit_init(id));
    OK(krun_add_virtiofs3(id, KRUN_FS_ROOT_TAG, s.root, 0, s.read_only != 0));
    if (s.again)
        OK(krun_set_root(id, "/nowhere"));
    for (int i = 2; i < end; i++)
        take_late(id, argv[i]);
    OK(krun_set_rlimits(id, s.rlimits));
    const char *const *env = s.has_env ? s.env : NULL;
    if (end + 1 < argc)
        OK(krun_set_exec(id, argv[end + 1], (const char *const *)&argv[end + 2],
                         env));
    else
        OK(krun_set_env(id, env));
    return client_returned(krun_start_enter(id));
}
