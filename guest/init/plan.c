/* Who wins when several sources speak of the same thing. */
#include "plan.h"

#include "wire/init_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_SHELL "/bin/sh"

static int set_text(char **to, const char *text)
{
    return hk_text_set(to, text, strlen(text));
}

/* "ID=SOFT:HARD,..." in quotes or not. */
static int take_rlimits(struct hk_config *config, const char *text)
{
    int rc = 0;
    for (const char *p = text; *p != '\0' && rc == 0;) {
        size_t len = strcspn(p, ",\"");
        if (len > 0)
            rc = hk_strv_add(&config->rlimits, p, len);
        p += len;
        p += strspn(p, ",\"");
    }
    return rc;
}

/* Kernel parameters that init would take for variables of the command. */
static int take_environ(struct hk_config *config, char *const variables[])
{
    struct hk_strv env = {0};
    int rc = 0;

    for (size_t i = 0; variables[i] != NULL && rc == 0; i++)
        rc = hk_env_put(&env, variables[i]);
    for (size_t i = 0; i < config->env.count && rc == 0; i++)
        rc = hk_env_put(&env, config->env.v[i]);
    if (rc != 0) {
        hk_strv_fini(&env);
        return rc;
    }
    hk_strv_fini(&config->env);
    config->env = env;
    return 0;
}

static int take_root_disk(struct hk_config *config)
{
    const char *device = hk_env_get(&config->env, "KRUN_BLOCK_ROOT_DEVICE");
    const char *type = hk_env_get(&config->env, "KRUN_BLOCK_ROOT_FSTYPE");
    const char *options = hk_env_get(&config->env, "KRUN_BLOCK_ROOT_OPTIONS");

    if (device == NULL || *device == '\0')
        return 0;
    return hk_config_set_root(config,
                              type != NULL && *type != '\0' ? type : "auto",
                              device, options != NULL ? options : "");
}

static int take_variables(struct hk_config *config)
{
    const char *exec = hk_env_get(&config->env, "KRUN_INIT");
    const char *workdir = hk_env_get(&config->env, "KRUN_WORKDIR");
    const char *rlimits = hk_env_get(&config->env, "KRUN_RLIMITS");
    const char *pid1 = hk_env_get(&config->env, "KRUN_INIT_PID1");
    const char *dhcp = hk_env_get(&config->env, "KRUN_DHCP");
    int rc = 0;

    if (config->exec == NULL && exec != NULL && *exec != '\0')
        rc = set_text(&config->exec, exec);
    if (rc == 0 && config->workdir == NULL && workdir != NULL &&
        *workdir != '\0') {
        config->flags |= HK_CFG_WORKDIR_MUST;
        rc = set_text(&config->workdir, workdir);
    }
    if (rc == 0 && rlimits != NULL)
        rc = take_rlimits(config, rlimits);
    if (pid1 != NULL && *pid1 == '1')
        config->flags |= HK_CFG_PID1;
    if (dhcp != NULL && *dhcp == '1')
        config->flags |= HK_CFG_DHCP;
    return rc == 0 ? take_root_disk(config) : rc;
}

int hk_plan_take_cmdline(struct hk_config *config, char *const argv[],
                         char *const variables[])
{
    if ((config->flags & HK_CFG_CMDLINE) == 0)
        return 0;
    int rc = take_environ(config, variables);
    if (rc == 0)
        rc = take_variables(config);
    if (rc != 0 || config->args.count > 0 || argv[0] == NULL)
        return rc;
    for (size_t i = 1; argv[i] != NULL && rc == 0; i++)
        rc = hk_strv_add(&config->args, argv[i], strlen(argv[i]));
    return rc;
}

const char *hk_plan_spec_path(const struct hk_config *config)
{
    const char *path = hk_env_get(&config->env, "KRUN_CONFIG");
    return path != NULL && *path != '\0' ? path : "/.krun_config.json";
}

static int take_spec_env(struct hk_config *config, const struct hk_spec *spec)
{
    for (size_t i = 0; i < spec->env.count; i++) {
        const char *text = spec->env.v[i];
        char *key = hk_text_copy(text, strcspn(text, "="));
        if (key == NULL)
            return -ENOMEM;
        int wins = strcmp(key, "HOME") == 0 || strcmp(key, "TERM") == 0 ||
                   hk_env_get(&config->env, key) == NULL;
        free(key);
        int rc = wins ? hk_env_put(&config->env, text) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* The file's command counts only when there is none yet. Arguments without a
 * command are the command line's own, and lose against the file. */
static int take_spec_args(struct hk_config *config, const struct hk_spec *spec)
{
    if (config->exec != NULL || spec->args.count == 0)
        return 0;
    hk_strv_fini(&config->args);
    int rc = set_text(&config->exec, spec->args.v[0]);
    for (size_t i = 1; i < spec->args.count && rc == 0; i++)
        rc = hk_strv_add(&config->args, spec->args.v[i],
                         strlen(spec->args.v[i]));
    return rc;
}

int hk_plan_take_spec(struct hk_config *config, const struct hk_spec *spec)
{
    int rc = take_spec_env(config, spec);
    if (rc == 0)
        rc = take_spec_args(config, spec);
    if (rc == 0 && config->workdir == NULL && spec->cwd != NULL &&
        *spec->cwd != '\0')
        rc = set_text(&config->workdir, spec->cwd);
    return rc;
}

/* Arguments without a command are the command and its arguments. */
static int name_command(struct hk_config *config)
{
    struct hk_strv *args = &config->args;
    if (config->exec != NULL)
        return 0;
    if (args->count == 0)
        return set_text(&config->exec, DEFAULT_SHELL);
    config->exec = args->v[0];
    args->count--;
    memmove(args->v, args->v + 1, (args->count + 1) * sizeof(*args->v));
    return 0;
}

static int override(struct hk_config *config, const char *from, const char *to)
{
    const char *value = hk_env_get(&config->env, from);
    return value != NULL ? hk_env_set(&config->env, to, value) : 0;
}

int hk_plan_finish(struct hk_config *config, const char *home)
{
    int rc = name_command(config);

    if (rc == 0 && (config->flags & HK_CFG_CMDLINE) != 0) {
        const char *name = hk_env_get(&config->env, "HOSTNAME");
        rc = override(config, "KRUN_HOME", "HOME");
        if (rc == 0)
            rc = override(config, "KRUN_TERM", "TERM");
        if (rc == 0 && config->hostname == NULL)
            rc = set_text(&config->hostname,
                          name != NULL && *name != '\0' ? name : "localhost");
    }
    if (rc == 0)
        rc = hk_env_default(&config->env, "PATH", DEFAULT_PATH);
    if (rc == 0)
        rc = hk_env_default(&config->env, "HOME", *home != '\0' ? home : "/");
    if (rc == 0 && (config->flags & HK_CFG_TTY) != 0)
        rc = hk_env_default(&config->env, "TERM", "xterm");
    return rc;
}

bool hk_plan_has_word(const char *line, const char *word)
{
    while (*line != '\0') {
        size_t len = strcspn(line, " \n");
        if (len == 2 && memcmp(line, "--", 2) == 0)
            return false;
        if (len == strlen(word) && memcmp(line, word, len) == 0)
            return true;
        line += len;
        line += *line != '\0';
    }
    return false;
}
