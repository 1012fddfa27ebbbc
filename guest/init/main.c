/*
 * init: the first process of a guest. It makes the system that the command
 * expects, runs the command and ends the machine with its status. The steps
 * in main are the whole story; each fails with one sentence (hk_fail).
 */
#include "config.h"
#include "plan.h"
#include "run.h"
#include "spec.h"
#include "streams.h"
#include "sys.h"
#include "user.h"
#include "wire/init_config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACCOUNTS_MAX = 1 << 20 };

struct hk_config hk_config;

/*
 * The host's records: beside us in the archive, or a file that the host puts
 * into the root share, where every other name may be a stranger's. Without
 * any we were started the way libkrun starts its
 * init: everything is in our environment and arguments.
 */
static void read_config(char **argv)
{
    const char *why = "";
    size_t size;
    const char *path =
        hk_root_is_archive() ? HK_CFG_PATH : "/" HK_CFG_SHARE_NAME;
    char *data = hk_read_file(path, HK_CFG_MAX, &size);

    if (data == NULL)
        hk_config.flags = HK_CFG_CMDLINE | HK_CFG_CONFIG_FILE |
                          HK_CFG_EXIT_PORT | HK_CFG_EXIT_IOCTL;
    else if (hk_config_parse((uint8_t *)data, size, &hk_config, &why) != 0)
        hk_fail(why, "", 0);
    free(data);
    if (hk_plan_take_cmdline(&hk_config, argv, environ) != 0)
        hk_fail("there is no memory for the configuration", "", 0);
}

/* A root may have no such file; one that is damaged is worth a word. */
static void read_spec(void)
{
    const char *path = hk_plan_spec_path(&hk_config);
    struct hk_spec spec;
    size_t size;

    if ((hk_config.flags & HK_CFG_CONFIG_FILE) == 0)
        return;
    char *text = hk_read_file(path, HK_CFG_MAX, &size);
    if (text == NULL)
        return;
    int rc = hk_spec_parse(text, size, &spec);
    free(text);
    if (rc != 0)
        hk_fail("cannot understand the configuration file ", path, -rc);
    if (hk_plan_take_spec(&hk_config, &spec) != 0)
        hk_fail("there is no memory for the configuration", "", 0);
    hk_mount_tmpfs(&spec.tmpfs);
    hk_spec_fini(&spec);
}

/* NULL when the command runs as root and nothing was said. */
static const struct hk_user *find_user(void)
{
    static struct hk_user user;
    const char *why;
    size_t size;

    if (hk_config.user == NULL || *hk_config.user == '\0')
        return NULL;
    char *passwd = hk_read_file("/etc/passwd", ACCOUNTS_MAX, &size);
    char *group = hk_read_file("/etc/group", ACCOUNTS_MAX, &size);
    int rc =
        hk_user_find(passwd != NULL ? passwd : "", group != NULL ? group : "",
                     hk_config.user, &user, &why);
    free(passwd);
    free(group);
    if (rc != 0)
        hk_fail(why, "", 0);
    return &user;
}

static void name_host(void)
{
    const char *name = hk_config.hostname;
    if (name != NULL && sethostname(name, strlen(name)) != 0)
        hk_fail("cannot set the host name ", name, errno);
}

int main(int argc, char **argv)
{
    (void)argc;
    if (getpid() != 1) {
        static const char text[] = "husk init: only for process 1\n";
        (void)!write(2, text, sizeof(text) - 1);
        return 125;
    }
    (void)umask(022);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGTTOU, SIG_IGN); /* the terminal is the command's */
    hk_first_mounts();
    read_config(argv);
    hk_streams_listen(&hk_config);
    hk_load_modules(&hk_config.modules);
    hk_mount_root(&hk_config);
    hk_streams_open(&hk_config);
    hk_enter_root(&hk_config);
    hk_mount_system();
    hk_mount_volumes(&hk_config);
    read_spec();
    const struct hk_user *user = find_user();
    if (hk_plan_finish(&hk_config, user != NULL ? user->home : "/root") != 0)
        hk_fail("there is no memory for the configuration", "", 0);
    name_host();
    hk_seal_root(&hk_config);
    hk_net_start((hk_config.flags & HK_CFG_DHCP) != 0);
    hk_end(&hk_config, hk_run(&hk_config, user));
}
